#include "mpi/lib/coll/team.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int team_key = MPI_KEYVAL_INVALID;

/* Those that are not freed yet, the youngest first. */
static struct coll_team *teams;

static void leave_list(struct coll_team *team)
{
    if (team->older)
        team->older->younger = team->younger;
    if (team->younger)
        team->younger->older = team->older;
    else
        teams = team->older;
}

static void team_free(struct coll_team *team)
{
    leave_list(team);
    if (team->window)
        coll_window_free(team->window);
    if (team->leaders != MPI_COMM_NULL)
        MPI_Comm_free(&team->leaders);
    if (team->node != MPI_COMM_NULL)
        MPI_Comm_free(&team->node);
    if (team->comm != MPI_COMM_NULL)
        MPI_Comm_free(&team->comm);
    free(team->node_of);
    free(team);
}

static int on_delete(MPI_Comm comm, int key, void *team, void *extra)
{
    (void)comm;
    (void)key;
    (void)extra;
    team_free(team);
    return MPI_SUCCESS;
}

/*
 * MPI_Finalize frees MPI_COMM_SELF before anything else (MPI 3.1, section 8.7.1), while MPI still
 * works: the teams of communicators that nobody frees, as MPI_COMM_WORLD, end here. Later would be
 * too late for their windows. All ranks of a team have made it in the same order.
 */
static int on_finalize(MPI_Comm self, int key, void *value, void *extra)
{
    (void)self;
    (void)key;
    (void)value;
    (void)extra;
    while (teams)
        MPI_Comm_delete_attr(teams->caller, team_key);
    return MPI_SUCCESS;
}

static void make_keys(void)
{
    int self_key;

    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_delete, &team_key, NULL);
    MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, on_finalize, &self_key, NULL);
    MPI_Comm_set_attr(MPI_COMM_SELF, self_key, NULL);
    MPI_Comm_free_keyval(&self_key); /* lives on while MPI_COMM_SELF has it */
}

/* Nodes are counted in the order of their first ranks. */
int coll_team_nodes(struct coll_team *team)
{
    const size_t size = (size_t)team->size;
    int mine[2], nodes = 0;

    if (team->node_of)
        return 0;
    int *const all = team->node_of = malloc(3 * size * sizeof *all);
    if (!all)
        return -1;
    team->place_of = all + size;
    team->node_sizes = all + 2 * size;
    MPI_Comm_split_type(team->comm, MPI_COMM_TYPE_SHARED, team->rank, MPI_INFO_NULL, &team->node);
    MPI_Comm_rank(team->node, &team->node_rank);
    MPI_Comm_size(team->node, &team->node_size);
    MPI_Comm_split(team->comm, team->node_rank == 0 ? 0 : MPI_UNDEFINED, team->rank,
                   &team->leaders);
    mine[0] = team->rank;
    MPI_Bcast(mine, 1, MPI_INT, 0, team->node);
    mine[1] = team->node_rank;
    MPI_Allgather(&mine[0], 1, MPI_INT, all, 1, MPI_INT, team->comm);
    MPI_Allgather(&mine[1], 1, MPI_INT, team->place_of, 1, MPI_INT, team->comm);
    team->ordered = true;
    for (int rank = 0; rank < team->size; rank++) {
        const bool first = all[rank] == rank; /* of its node; those before are numbered already */
        team->ordered = team->ordered && (first || team->node_of[rank - 1] == nodes - 1);
        all[rank] = first ? nodes++ : all[all[rank]];
        team->ordered = team->ordered && all[rank] == nodes - 1;
        team->node_sizes[all[rank]] = first ? 1 : team->node_sizes[all[rank]] + 1;
    }
    team->nodes = nodes;
    return 0;
}

struct coll_team *coll_team(MPI_Comm comm)
{
    struct coll_team *team;
    int found, size;

    if (team_key == MPI_KEYVAL_INVALID)
        make_keys();
    MPI_Comm_get_attr(comm, team_key, &team, &found);
    if (found)
        return team;

    MPI_Comm_size(comm, &size);
    team = calloc(1, sizeof *team);
    if (!team)
        return NULL;
    team->comm = team->node = team->leaders = MPI_COMM_NULL;
    team->size = size;
    MPI_Comm_dup(comm, &team->comm);
    MPI_Comm_rank(team->comm, &team->rank);
    MPI_Comm_set_attr(comm, team_key, team);
    team->caller = comm;
    team->older = teams;
    if (teams)
        teams->younger = team;
    teams = team;
    return team;
}

const char *coll_admits(const struct coll_algorithm *algorithm, MPI_Op op, MPI_Comm comm)
{
    struct coll_team *team;
    int commutes = 1;

    if (op != MPI_OP_NULL)
        MPI_Op_commutative(op, &commutes);
    if ((algorithm->needs & COLL_COMMUTATIVE) && !commutes)
        return "it changes the order of the operands, and the operation does not commute";
#ifdef SIMULATED
    int size;
    MPI_Comm_size(comm, &size);
    if (algorithm->needs & COLL_SHARED)
        return "simulated: ranks that spin on shared memory would spin for ever";
    if ((algorithm->needs & COLL_FLOOD) && size > 256)
        return "simulated: p (p - 1) messages take too long beyond 256 ranks";
#endif
    if (!(algorithm->needs & (COLL_SHARED | COLL_ONE_NODE)))
        return NULL;
    if (!(team = coll_team(comm)) || coll_team_nodes(team))
        return "no memory";
    if ((algorithm->needs & COLL_ONE_NODE) && team->nodes > 1)
        return "its ranks must share one node";
    if (!commutes && !team->ordered)
        return "it combines node by node, the ranks of a node are not neighbours, and the "
               "operation does not commute";
    return NULL;
}

size_t coll_segment(const struct coll_options *options, double bytes, int hops)
{
    const double start_bytes = options->start_bytes > 0 ? options->start_bytes : 4096;

    if (options->segment > 0)
        return options->segment;
    const double best = sqrt(bytes * start_bytes / (hops > 0 ? hops : 1));
    return (size_t)fmin(fmax(best, 1024), 1 << 20);
}

int coll_segment_count(const struct coll_options *options, int count, MPI_Datatype datatype,
                       int hops)
{
    const size_t size = coll_size(datatype);
    const size_t segment = coll_segment(options, (double)count * (double)size, hops);
    const size_t elements = size > 0 ? segment / size : (size_t)count;

    return elements < 1 ? 1 : elements < (size_t)count ? (int)elements : count > 0 ? count : 1;
}

int coll_lg(int ranks)
{
    int lg = 0;

    while (lg < 31 && (1 << lg) < ranks)
        lg++;
    return lg;
}

size_t coll_size(MPI_Datatype datatype)
{
    int size;

    MPI_Type_size(datatype, &size);
    return (size_t)size;
}

void *coll_at(const void *array, ptrdiff_t index, MPI_Datatype datatype)
{
    MPI_Aint low, extent;

    MPI_Type_get_extent(datatype, &low, &extent);
    return (char *)array + index * extent;
}

void *coll_alloc(size_t count, MPI_Datatype datatype)
{
    MPI_Aint low, extent, true_low, true_extent;

    MPI_Type_get_extent(datatype, &low, &extent);
    MPI_Type_get_true_extent(datatype, &true_low, &true_extent);
    const size_t step = (size_t)(extent < 0 ? -extent : extent);
    char *bytes = malloc((count > 0 ? count - 1 : 0) * step + (size_t)true_extent + 1);
    return bytes ? bytes - true_low : NULL;
}

void coll_free(void *elements, MPI_Datatype datatype)
{
    MPI_Aint true_low, true_extent;

    if (!elements)
        return;
    MPI_Type_get_true_extent(datatype, &true_low, &true_extent);
    free((char *)elements + true_low);
}

void coll_copy(const void *from, void *to, int count, MPI_Datatype datatype)
{
    MPI_Aint low, extent, true_low, true_extent;

    if (from == to || count == 0)
        return;
    MPI_Type_get_extent(datatype, &low, &extent);
    MPI_Type_get_true_extent(datatype, &true_low, &true_extent);
    const size_t size = coll_size(datatype);
    if (true_low == 0 && extent == true_extent && size == (size_t)extent)
        memcpy(to, from, (size_t)count * size);
    else
        MPI_Sendrecv(from, count, datatype, 0, 0, to, count, datatype, 0, 0, MPI_COMM_SELF,
                     MPI_STATUS_IGNORE);
}

int *coll_starts(const int counts[], int size)
{
    int *starts = malloc(((size_t)size + 1) * sizeof *starts);

    if (!starts)
        return NULL;
    starts[0] = 0;
    for (int i = 0; i < size; i++)
        starts[i + 1] = starts[i] + counts[i];
    return starts;
}

struct coll_fold coll_fold(int rank, int size)
{
    struct coll_fold fold = { .count = 1, .other = -1 };

    while (fold.count <= size / 2)
        fold.count *= 2;
    fold.rest = size - fold.count;
    if (rank >= 2 * fold.rest) {
        fold.rank = rank - fold.rest;
    } else {
        fold.rank = rank % 2 == 0 ? rank / 2 : -1;
        fold.other = rank ^ 1;
    }
    return fold;
}

int coll_unfold(const struct coll_fold *fold, int folded)
{
    return folded < fold->rest ? 2 * folded : folded + fold->rest;
}
