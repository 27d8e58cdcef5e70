#include "hybrid/lib/cure.h"
#include "hybrid/lib/plan.h"

#include <stdio.h>
#include <string.h>

int cure_cores(const struct job *job)
{
    const int cores = plan_cores(job->topology, job->cpus);
    const int each = cores / job->most_on_a_node;

    return each < 1 ? 1 : each < job->threads ? each : job->threads;
}

/* Hardware threads of the cores that may be used. */
static int pus_per_core(const struct job *job)
{
    const int cores = plan_cores(job->topology, job->cpus);
    const int pus = hwloc_bitmap_weight(job->cpus);

    return cores > 0 && pus > cores ? (pus + cores - 1) / cores : 1;
}

/*
 * Elsewhere: mpirun takes no notice of its own mask, but its ranks inherit it if it does not bind
 * them. More ranks than cores are not bound at all.
 */
void cure_mpirun(const struct job *job, bool elsewhere, char *line, size_t size)
{
    const bool is_mpich = strstr(job->mpi, "MPICH");
    const bool fits = plan_cores(job->topology, job->cpus) >= job->most_on_a_node;
    const char *const launcher = is_mpich ? "mpiexec" : "mpirun";
    const char *const unbound = is_mpich ? "-bind-to none" : "--bind-to none";
    char cpus[256];

    hwloc_bitmap_list_snprintf(cpus, sizeof cpus, job->cpus);
    if (elsewhere)
        snprintf(line, size, "taskset -c %s %s -n %d %s %s", cpus, launcher, job->ranks, unbound,
                 job->program);
    else if (!fits)
        snprintf(line, size, "%s -n %d %s%s %s", launcher, job->ranks,
                 is_mpich ? "" : "--oversubscribe ", unbound, job->program);
    else if (is_mpich)
        snprintf(line, size, "mpiexec -n %d -bind-to core:%d %s", job->ranks, cure_cores(job),
                 job->program);
    else
        snprintf(line, size, "mpirun -n %d --map-by slot:PE=%d --bind-to core %s", job->ranks,
                 cure_cores(job), job->program);
}

/* Elsewhere: --exact gives a step CPUs that no other step of the job has. */
void cure_srun(const struct job *job, bool elsewhere, char *line, size_t size)
{
    snprintf(line, size, "srun %s-n %d -c %d --cpu-bind=cores %s", elsewhere ? "--exact " : "",
             job->ranks, cure_cores(job) * pus_per_core(job), job->program);
}

void cure_threads(const struct job *job, char *line, size_t size)
{
    snprintf(line, size, "export OMP_NUM_THREADS=%d OMP_PLACES=cores OMP_PROC_BIND=close",
             job->threads);
}

static size_t add(char *text, size_t at, size_t size, const char *more, size_t count)
{
    for (size_t i = 0; i < count && at + 1 < size; i++)
        text[at++] = more[i];
    text[at] = '\0';
    return at;
}

char *cure_quote(char **argv, char *text, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:=,+@%";
    size_t at = 0;

    text[0] = '\0';
    for (char **word = argv; *word; word++) {
        at = add(text, at, size, " ", word != argv);
        if (**word && strspn(*word, plain) == strlen(*word)) {
            at = add(text, at, size, *word, strlen(*word));
            continue;
        }
        at = add(text, at, size, "'", 1);
        for (const char *c = *word; *c; c++)
            at = *c == '\'' ? add(text, at, size, "'\\''", 4) : add(text, at, size, c, 1);
        at = add(text, at, size, "'", 1);
    }
    return text;
}
