/*
 * coll - collective operations by hand: what all of them have in common.
 *
 * One file an operation (bcast.h, allreduce.h ...); each has a table of algorithms, whose header
 * tells where each comes from and what it costs. The functions take the standard's arguments and a
 * struct coll_options. Where MPI has a form with counts and displacements (MPI_Scatterv,
 * MPI_Gatherv, MPI_Allgatherv), ours takes the counts alone, as MPI_Reduce_scatter does: `counts`
 * has an entry a rank, the same on all ranks, and blocks lie one behind the other in rank order.
 * MPI_IN_PLACE may stand where the standard allows it. Datatypes are of any kind, and the same on
 * both sides.
 *
 * All functions are collective over `comm`, an intracommunicator, and are not to be called from two
 * threads for one communicator. The first call on a communicator duplicates it (coll_team), which
 * costs more. They return 0, or -1 with errno ENOMEM, ENOTSUP (the operation does not commute, and
 * the algorithm would change the order of its operands; or the algorithm cannot run on this layout:
 * see coll_admits) or that of the shared window; an error of MPI goes to the handler of `comm`. A
 * rank that gets -1 for want of memory leaves the others waiting: end the job.
 *
 * Costs are given in the model of Hockney ("The communication challenge for MPP", Parallel
 * Computing 20, 1994): a message of n bytes takes a + n b, a rank sends one and receives one at a
 * time, and to combine n bytes takes n c. p ranks; lg is the logarithm to the base 2, rounded up; n
 * is what the larger buffer of a rank holds in all.
 */
#ifndef MPI_LIB_COLL_COLL_H
#define MPI_LIB_COLL_COLL_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

struct coll_options {
    size_t segment;     /* bytes of one message of a pipeline; 0: as the model advises */
    double start_bytes; /* a / b, the bytes that could travel while one message starts; 0: unknown.
                         * Both are the same on all ranks */
};

struct coll_cost { /* seconds; a byte */
    double a, b, c;
};

/* What the predictions are made of: the costs, ranks, bytes (n above) and a segment's bytes. */
struct coll_case {
    struct coll_cost cost;
    int ranks;
    double bytes;
    const struct coll_options *options;
};

typedef int coll_barrier(MPI_Comm comm, const struct coll_options *options);
typedef int coll_bcast(void *buffer, int count, MPI_Datatype datatype, int root, MPI_Comm comm,
                       const struct coll_options *options);
typedef int coll_scatter(const void *sendbuf, const int counts[], MPI_Datatype datatype,
                         void *recvbuf, int root, MPI_Comm comm,
                         const struct coll_options *options);
typedef int coll_gather(const void *sendbuf, void *recvbuf, const int counts[],
                        MPI_Datatype datatype, int root, MPI_Comm comm,
                        const struct coll_options *options);
typedef int coll_allgather(const void *sendbuf, void *recvbuf, const int counts[],
                           MPI_Datatype datatype, MPI_Comm comm,
                           const struct coll_options *options);
typedef int coll_alltoall(const void *sendbuf, int count, MPI_Datatype datatype, void *recvbuf,
                          MPI_Comm comm, const struct coll_options *options);
typedef int coll_reduce(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                        MPI_Op op, int root, MPI_Comm comm, const struct coll_options *options);
typedef int coll_allreduce(const void *sendbuf, void *recvbuf, int count, MPI_Datatype datatype,
                           MPI_Op op, MPI_Comm comm, const struct coll_options *options);
typedef int coll_reduce_scatter(const void *sendbuf, void *recvbuf, const int counts[],
                                MPI_Datatype datatype, MPI_Op op, MPI_Comm comm,
                                const struct coll_options *options);

enum coll_needs {
    COLL_COMMUTATIVE = 1, /* changes the order of the operands */
    COLL_SHARED = 2,      /* memory that ranks of a node share, and no simulation */
    COLL_ONE_NODE = 4,
    COLL_FLOOD = 8,  /* p (p - 1) messages at once: too many to simulate with many ranks */
};

struct coll_algorithm { /* a table ends with an entry without name */
    const char *name;
    union {             /* all NULL: "mpi", the library's own, which the caller calls itself */
        coll_barrier *barrier;
        coll_bcast *bcast;
        coll_scatter *scatter;
        coll_gather *gather;
        coll_allgather *allgather;
        coll_alltoall *alltoall;
        coll_reduce *reduce;
        coll_allreduce *allreduce; /* and scan, exscan */
        coll_reduce_scatter *reduce_scatter;
    };
    unsigned needs;     /* of enum coll_needs */
    double (*secs)(const struct coll_case *c); /* the model's prediction; NULL: it does not apply */
};

/*
 * Whether the algorithm can do `op` (MPI_OP_NULL where there is none) on `comm`. NULL if so, else
 * the reason, for people: "it reorders the operands of an operation that does not commute". The
 * same on all ranks. Collective at the first call on a communicator.
 */
const char *coll_admits(const struct coll_algorithm *algorithm, MPI_Op op, MPI_Comm comm);

/* The segment of a pipeline for `bytes` through `hops` messages one behind the other, in bytes, at
 * least 1: options->segment, or the one that the model makes the fastest, sqrt(bytes a / (hops b)),
 * within 1 KiB and 1 MiB. */
size_t coll_segment(const struct coll_options *options, double bytes, int hops);

/* lg: the least k with 2^k >= ranks. */
int coll_lg(int ranks);

#endif
