#include "mpi/lib/coll/tree.h"

#include <stdlib.h>

int coll_tree_open(struct coll_tree *tree, const int counts[], int root,
                   const struct coll_team *team)
{
    const int size = team->size;

    *tree = (struct coll_tree){ .size = size, .root = root, .bit = 1,
                                .v = (team->rank - root + size) % size };
    while (tree->bit < size && !(tree->v & tree->bit))
        tree->bit *= 2;
    tree->span = tree->v + tree->bit < size ? tree->bit : size - tree->v;
    tree->starts = malloc(((size_t)size + 1) * sizeof *tree->starts);
    if (!tree->starts)
        return -1;
    tree->starts[0] = 0;
    for (int v = 0; v < size; v++)
        tree->starts[v + 1] = tree->starts[v] + counts[coll_tree_rank(tree, v)];
    return 0;
}

int coll_tree_rank(const struct coll_tree *tree, int v)
{
    return (tree->root + v) % tree->size;
}

int coll_tree_child(const struct coll_tree *tree, int bit)
{
    const int child = tree->v + bit;

    return child >= tree->size ? 0 : child + bit < tree->size ? bit : tree->size - child;
}

int coll_tree_count(const struct coll_tree *tree)
{
    return tree->starts[tree->v + tree->span] - tree->starts[tree->v];
}

int coll_tree_runs(const struct coll_tree *tree, int v, int span, bool of_root,
                   struct coll_run runs[2])
{
    const int *const starts = tree->starts, wrap = tree->size - tree->root;
    const int middle = of_root && v < wrap && wrap < v + span ? wrap : v + span;
    int in_rank_order = starts[v] - starts[wrap]; /* before it, in an array of all blocks */

    if (v < wrap)
        in_rank_order += starts[tree->size];
    runs[0].start = tree->v == 0 ? in_rank_order : starts[v] - starts[tree->v];
    runs[0].count = starts[middle] - starts[v];
    runs[1].start = tree->v == 0 ? 0 : starts[middle] - starts[tree->v];
    runs[1].count = starts[v + span] - starts[middle];
    return middle < v + span ? 2 : 1;
}
