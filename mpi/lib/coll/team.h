/*
 * team - what the algorithms of mpi/lib/coll share, and nobody else needs: the private communicator
 * of a communicator, buffers of datatypes, and messages.
 */
#ifndef MPI_LIB_COLL_TEAM_H
#define MPI_LIB_COLL_TEAM_H

#include "mpi/lib/coll/coll.h"

/* Messages that a rank has on their way to others, and as many from them: more would only lengthen
 * the queues that are searched. */
enum { COLL_AT_ONCE = 8 };

struct coll_window;

/* Kept as an attribute of a communicator, and freed with it, or by MPI_Finalize. */
struct coll_team {
    MPI_Comm caller;    /* the communicator */
    struct coll_team *older, *younger; /* in the list of all, NULL at its ends */
    MPI_Comm comm;      /* its duplicate: our messages never meet the caller's */
    int rank, size;
    /* From here on 0 or NULL until coll_team_nodes(): */
    MPI_Comm node;      /* the ranks of this node, in the order of comm */
    int node_rank, node_size;
    MPI_Comm leaders;   /* the first rank of each node; MPI_COMM_NULL on the others */
    int nodes;
    int *node_of;       /* of each rank: its node, counted in the order of the first ranks, */
    int *place_of;      /* and its rank there */
    int *node_sizes;    /* ranks of each node */
    bool ordered;       /* the ranks of each node are neighbours in rank order */
    struct coll_window *window; /* shared.c's; NULL until it is needed */
};

/* Collective at the first call for a communicator. NULL with errno ENOMEM. */
struct coll_team *coll_team(MPI_Comm comm);

/* Collective at the first call for a team: finds out who sits where. Returns 0, or -1 with
 * ENOMEM. */
int coll_team_nodes(struct coll_team *team);

/* Frees a window, collective over the node: shared.c's, called when the communicator is freed. */
void coll_window_free(struct coll_window *window);

/* The address of element `index` of an array. */
void *coll_at(const void *array, ptrdiff_t index, MPI_Datatype datatype);

/* Room for `count` elements: to be freed by coll_free(). NULL with errno ENOMEM. */
void *coll_alloc(size_t count, MPI_Datatype datatype);
void coll_free(void *elements, MPI_Datatype datatype);

/* Copies elements; nothing if both are the same array. */
void coll_copy(const void *from, void *to, int count, MPI_Datatype datatype);

/* Where the blocks start: size + 1 elements, NULL with errno ENOMEM. The caller frees it. */
int *coll_starts(const int counts[], int size);

/* Bytes of data in one element. */
size_t coll_size(MPI_Datatype datatype);

/* Elements of one segment, at least 1. */
int coll_segment_count(const struct coll_options *options, int count, MPI_Datatype datatype,
                       int hops);

/*
 * Fewer ranks for algorithms that want a power of two of them, `count`: of the first 2 * rest ranks
 * each pair is one, the others stand for themselves. So neighbours in the new order are neighbours
 * in the old one.
 */
struct coll_fold {
    int count, rest;
    int rank;  /* of this rank among the `count`; -1: its pair's other one takes part for it */
    int other; /* the other one of the pair, -1: none */
};
struct coll_fold coll_fold(int rank, int size);

/* The rank that takes part as `folded`, which is the first of those that it stands for; the size
 * where folded == count. */
int coll_unfold(const struct coll_fold *fold, int folded);

#endif
