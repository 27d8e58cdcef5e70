/*
 * cure - the command lines that place a job's ranks and threads well. Pure. Thread-safe.
 */
#ifndef HYBRID_LIB_CURE_H
#define HYBRID_LIB_CURE_H

#include <hwloc.h>
#include <stdbool.h>
#include <stddef.h>

/* The job that is to be placed. */
struct job {
    const char *mpi;        /* library and version: MPICH has other options than Open MPI */
    int ranks, most_on_a_node;
    int threads;            /* the most of any rank */
    hwloc_topology_t topology; /* of a node */
    hwloc_const_bitmap_t cpus; /* where the job may be; REMEDY_ELSEWHERE: that nobody uses */
    const char *program;    /* with its arguments, as the shell takes them */
};

/*
 * Each writes one line without its end. cure_cores(): as many cores a rank as the node has for it,
 * at most one a thread. The launchers' lines bind each rank to so many; cure_threads() is the line
 * for OpenMP's threads within their rank. `elsewhere`: on job->cpus and nowhere else.
 */
int cure_cores(const struct job *job);
void cure_mpirun(const struct job *job, bool elsewhere, char *line, size_t size);
void cure_srun(const struct job *job, bool elsewhere, char *line, size_t size);
void cure_threads(const struct job *job, char *line, size_t size);

/* argv as one text that the shell reads as the same words. Returns `text`. */
char *cure_quote(char **argv, char *text, size_t size);

#endif
