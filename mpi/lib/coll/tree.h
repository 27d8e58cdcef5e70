/*
 * tree - the binomial tree that scatter walks down and gather walks up, with the blocks that
 * travel along it.
 */
#ifndef MPI_LIB_COLL_TREE_H
#define MPI_LIB_COLL_TREE_H

#include "mpi/lib/coll/team.h"

/*
 * Ranks are counted from the root on: v = (rank - root) mod size. The subtree of v holds the ranks
 * v ... v + span - 1. Its parent is v - bit, its children are v + bit / 2, v + bit / 4 ... v + 1,
 * as far as they exist.
 */
struct coll_tree {
    int size, root, v, bit, span;
    int *starts; /* of the blocks, counted from the root on, and behind the last; elements */
};

/* Returns 0, or -1 with errno ENOMEM. The caller frees tree->starts. */
int coll_tree_open(struct coll_tree *tree, const int counts[], int root,
                   const struct coll_team *team);

/* The rank v places behind the root. */
int coll_tree_rank(const struct coll_tree *tree, int v);

/* The span of the child v + bit; 0 if there is none. */
int coll_tree_child(const struct coll_tree *tree, int bit);

/* The elements of the subtree. */
int coll_tree_count(const struct coll_tree *tree);

/*
 * The messages that carry the blocks of the ranks v ... v + span - 1, and where they lie in what
 * this rank holds: an array of all blocks in rank order on the root, those of its subtree on
 * another. Between the root and another they are two where the last rank lies between.
 */
struct coll_run {
    int start, count; /* elements */
};
int coll_tree_runs(const struct coll_tree *tree, int v, int span, bool of_root,
                   struct coll_run runs[2]);

#endif
