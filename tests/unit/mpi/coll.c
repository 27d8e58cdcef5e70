/*
 * coll - every operation by every algorithm of mpi/lib/coll, on many numbers of ranks
 *
 * For communicators of --from to --to ranks, sizes from nothing to --most bytes, and the first, a
 * middle and the last rank as root, each result is compared with what the operation means, computed
 * by each rank alone. Blocks are uneven. Reductions run with a sum and with an operation that does
 * not commute, so that a wrong order shows; with and without MPI_IN_PLACE; and data also with a
 * datatype that has gaps, which must stay as they were.
 *
 * Test:    -n 9 --from 1
 * Test:    -n 17 --from 16
 * Test:    -n 3 --from 1 --most 16K --segment 100
 * Test:    -n 2 --most 4M --from 2
 * Test:    -n 5 --most 8K
 * Test:    -n 8 --most 8
 * Test(1): -n 3 --from 2 --break
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/coll/allgather.h"
#include "mpi/lib/coll/allreduce.h"
#include "mpi/lib/coll/alltoall.h"
#include "mpi/lib/coll/barrier.h"
#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/gather.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/coll/reduce_scatter.h"
#include "mpi/lib/coll/scan.h"
#include "mpi/lib/coll/scatter.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    int from, to;
    size_t most, segment;
    bool break_it;
} opt = { .most = (1 << 20) + 8 };

static const struct arg options[] = {
    { "from", ARG_INT, &opt.from, "ranks of the smallest communicator, 0: all" },
    { "to", ARG_INT, &opt.to, "ranks of the largest one, 0: all" },
    { "most", ARG_SIZE, &opt.most, "bytes of the largest size" },
    { "segment", ARG_SIZE, &opt.segment, "bytes of a message in a pipeline, 0: as advised" },
    { "break", ARG_FLAG, &opt.break_it, "spoil what rank 1 sends" },
    ARGS_END,
};

/* What one call works with. Elements are pairs of numbers; `gap` numbers of padding may follow. */
struct job {
    MPI_Comm comm;
    int rank, size, root;
    int count;      /* elements in all */
    int *counts, *starts;
    MPI_Datatype type;
    int width;      /* numbers from element to element: 2, or 3 with a gap */
    MPI_Op op;
    bool in_place, simulated;
    struct coll_options options;
    uint64_t *in, *out;     /* size * count elements each at most */
    uint64_t *prefix;       /* of the operation: the first `rank`, rank + 1 and all ranks' inputs */
    const char *failed;     /* what is wrong in the first call that was */
    char place[128];
};

static const uint64_t untouched = UINT64_C(0x5a5a5a5a5a5a5a5a);

/* Number k of element i that rank r contributes. */
static uint64_t number(int r, int i, int k)
{
    return element((uint64_t)i * 2 + (uint64_t)k, (uint64_t)r + 1) | 1;
}

/* Maps x -> a x + b modulo 2^64, one after the other: x comes first. */
static void compose(void *in, void *inout, int *length, MPI_Datatype *type)
{
    const uint64_t *x = in;
    uint64_t *y = inout;

    (void)type;
    for (int i = 0; i < *length; i++, x += 2, y += 2) {
        y[1] = y[0] * x[1] + y[1];
        y[0] *= x[0];
    }
}

static void add(void *in, void *inout, int *length, MPI_Datatype *type)
{
    const uint64_t *x = in;
    uint64_t *y = inout;

    (void)type;
    for (int i = 0; i < 2 * *length; i++)
        y[i] += x[i];
}

/* Fills elements 0 ... count - 1 at `at` with those from `start` on of rank r. */
static void fill(const struct job *j, uint64_t *at, int r, int start, int count)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 2; k++)
            at[i * j->width + k] = number(r, start + i, k);
    if (opt.break_it && j->rank == 1 && count > 0 && r == 1)
        at[0] ^= 4;
}

static void clear(uint64_t *at, const struct job *j, int count)
{
    for (int i = 0; i < count * j->width; i++)
        at[i] = untouched;
}

/* Whether elements at `at` are those from `start` on of rank r, and gaps are untouched. */
static bool holds(const struct job *j, const uint64_t *at, int r, int start, int count)
{
    for (int i = 0; i < count; i++)
        for (int k = 0; k < j->width; k++)
            if (at[i * j->width + k] != (k < 2 ? number(r, start + i, k) : untouched))
                return false;
    return true;
}

static uint64_t *at(const struct job *j, uint64_t *array, int index)
{
    return array + (ptrdiff_t)index * j->width;
}

static bool test_barrier(struct job *j, const struct coll_algorithm *a)
{
    return a->barrier(j->comm, &j->options) == 0;
}

static bool test_bcast(struct job *j, const struct coll_algorithm *a)
{
    if (j->rank == j->root) {
        fill(j, j->out, 1, 0, j->count);
        for (int i = 0; i < j->count && j->width > 2; i++)
            j->out[i * j->width + 2] = untouched;
    }
    return a->bcast(j->out, j->count, j->type, j->root, j->comm, &j->options) == 0 &&
           holds(j, j->out, 1, 0, j->count);
}

static bool test_scatter(struct job *j, const struct coll_algorithm *a)
{
    const int mine = j->counts[j->rank], start = j->starts[j->rank];
    const bool stays = j->in_place && j->rank == j->root;

    if (j->rank == j->root)
        fill(j, j->in, 1, 0, j->count);
    if (stays)
        clear(j->out, j, mine);
    return a->scatter(j->in, j->counts, j->type, stays ? MPI_IN_PLACE : (void *)j->out, j->root,
                      j->comm, &j->options) == 0 &&
           (stays ? holds(j, at(j, j->in, start), 1, start, mine)
                  : holds(j, j->out, 1, start, mine));
}

/* Each rank's own block, where the operation wants it; what to pass as sendbuf. */
static const void *own_block(struct job *j, bool in_place)
{
    const int mine = j->counts[j->rank], start = j->starts[j->rank];

    fill(j, in_place ? at(j, j->out, start) : j->in, j->rank, start, mine);
    return in_place ? MPI_IN_PLACE : (void *)j->in;
}

static bool all_blocks(struct job *j)
{
    for (int r = 0; r < j->size; r++)
        if (!holds(j, at(j, j->out, j->starts[r]), r, j->starts[r], j->counts[r]))
            return false;
    return true;
}

static bool test_gather(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_block(j, j->in_place && j->rank == j->root);

    return a->gather(send, j->out, j->counts, j->type, j->root, j->comm, &j->options) == 0 &&
           (j->rank != j->root || all_blocks(j));
}

static bool test_allgather(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_block(j, j->in_place);

    return a->allgather(send, j->out, j->counts, j->type, j->comm, &j->options) == 0 &&
           all_blocks(j);
}

/* Element `to` * count + i of rank r goes to rank `to`. */
static bool test_alltoall(struct job *j, const struct coll_algorithm *a)
{
    const int count = j->count / j->size;

    fill(j, j->in_place ? j->out : j->in, j->rank, 0, count * j->size);
    if (a->alltoall(j->in_place ? MPI_IN_PLACE : (void *)j->in, count, j->type, j->out, j->comm,
                    &j->options))
        return false;
    for (int r = 0; r < j->size; r++)
        if (!holds(j, at(j, j->out, r * count), r, j->rank * count, count))
            return false;
    return true;
}

/* The inputs of ranks 0 ... ranks - 1, combined in that order. */
static void serial(const struct job *j, int ranks, MPI_User_function *op, uint64_t *result)
{
    MPI_Datatype type = j->type;
    int one = 1;

    for (int i = 0; i < j->count; i++) {
        uint64_t *const sum = result + 2 * (ptrdiff_t)i;
        for (int r = ranks - 1; r >= 0; r--) {
            uint64_t mine[2] = { number(r, i, 0), number(r, i, 1) };
            if (r == ranks - 1)
                memcpy(sum, mine, sizeof mine);
            else
                op(mine, sum, &one, &type);
        }
    }
}

static bool is_prefix(const struct job *j, const uint64_t *result, int which, int start, int count)
{
    const uint64_t *expected = j->prefix + 2 * ((ptrdiff_t)which * j->count + start);

    return count == 0 || memcmp(result, expected, 2 * (size_t)count * sizeof *result) == 0;
}

static const void *own_vector(struct job *j, bool in_place)
{
    fill(j, in_place ? j->out : j->in, j->rank, 0, j->count);
    return in_place ? MPI_IN_PLACE : (void *)j->in;
}

static bool test_reduce(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_vector(j, j->in_place && j->rank == j->root);

    return a->reduce(send, j->out, j->count, j->type, j->op, j->root, j->comm, &j->options) == 0 &&
           (j->rank != j->root || is_prefix(j, j->out, 2, 0, j->count));
}

static bool test_allreduce(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_vector(j, j->in_place);

    return a->allreduce(send, j->out, j->count, j->type, j->op, j->comm, &j->options) == 0 &&
           is_prefix(j, j->out, 2, 0, j->count);
}

static bool test_reduce_scatter(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_vector(j, j->in_place);

    return a->reduce_scatter(send, j->out, j->counts, j->type, j->op, j->comm, &j->options) == 0 &&
           is_prefix(j, j->out, 2, j->starts[j->rank], j->counts[j->rank]);
}

static bool test_scan(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_vector(j, j->in_place);

    return a->allreduce(send, j->out, j->count, j->type, j->op, j->comm, &j->options) == 0 &&
           is_prefix(j, j->out, 1, 0, j->count);
}

static bool test_exscan(struct job *j, const struct coll_algorithm *a)
{
    const void *const send = own_vector(j, j->in_place);

    if (a->allreduce(send, j->out, j->count, j->type, j->op, j->comm, &j->options))
        return false;
    if (j->rank == 0) /* it has no result: the buffer stays */
        return j->in_place ? holds(j, j->out, 0, 0, j->count)
                           : j->count == 0 || j->out[0] == untouched;
    return is_prefix(j, j->out, 0, 0, j->count);
}

enum kind { NO_DATA, ROOTED, MOVES, REDUCES, REDUCES_ROOTED };

static const struct operation {
    const char *name;
    const struct coll_algorithm *algorithms;
    bool (*test)(struct job *job, const struct coll_algorithm *algorithm);
    enum kind kind;
} operations[] = {
    { "barrier", coll_barrier_algorithms, test_barrier, NO_DATA },
    { "bcast", coll_bcast_algorithms, test_bcast, ROOTED },
    { "scatter", coll_scatter_algorithms, test_scatter, ROOTED },
    { "gather", coll_gather_algorithms, test_gather, ROOTED },
    { "allgather", coll_allgather_algorithms, test_allgather, MOVES },
    { "alltoall", coll_alltoall_algorithms, test_alltoall, MOVES },
    { "reduce", coll_reduce_algorithms, test_reduce, REDUCES_ROOTED },
    { "allreduce", coll_allreduce_algorithms, test_allreduce, REDUCES },
    { "reduce_scatter", coll_reduce_scatter_algorithms, test_reduce_scatter, REDUCES },
    { "scan", coll_scan_algorithms, test_scan, REDUCES },
    { "exscan", coll_exscan_algorithms, test_exscan, REDUCES },
};

static uint64_t calls;

static void test(struct job *j, const struct operation *operation, const char *what)
{
    for (const struct coll_algorithm *a = operation->algorithms + 1; a->name; a++) {
        if (coll_admits(a, j->op, j->comm) || (j->simulated && (a->needs & COLL_FLOOD)))
            continue; /* a flood can be simulated, but not that often */
        clear(j->out, j, j->count);
        calls++;
        if (operation->test(j, a) || j->failed)
            continue;
        j->failed = operation->name;
        snprintf(j->place, sizeof j->place, "%s by %s, %d ranks, root %d, %d elements, %s%s",
                 operation->name, a->name, j->size, j->root, j->count, what,
                 j->in_place ? ", in place" : "");
    }
}

/* One operation with all that it admits of roots, places and reductions. */
static void test_all(struct job *j, const struct operation *operation, const MPI_Op ops[2],
                     MPI_Datatype plain, MPI_Datatype gaps)
{
    static MPI_User_function *const functions[] = { add, compose };
    static const char *const names[] = { "a sum", "composition" };
    const bool rooted = operation->kind == ROOTED || operation->kind == REDUCES_ROOTED;
    const bool reduces = operation->kind == REDUCES || operation->kind == REDUCES_ROOTED;
    const int roots[] = { 0, j->size / 2, j->size - 1 };
    const bool many = j->simulated && j->size > 64; /* one process does the work of all */

    for (int k = 0; k < (reduces ? 2 : 1); k++) {
        j->op = reduces ? ops[k] : MPI_OP_NULL;
        for (int which = 0; reduces && which < 3; which++)
            serial(j, which == 2 ? j->size : j->rank + which, functions[k],
                   j->prefix + 2 * (ptrdiff_t)which * j->count);
        for (int r = 0; r < (rooted ? 3 : 1); r++) {
            if (r > 0 && roots[r] == roots[r - 1])
                continue;
            j->root = rooted ? roots[r] : 0;
            if (many && rooted && r != 1)
                continue;
            for (int p = 0; p < (many ? 1 : 2); p++) {
                j->in_place = p;
                if (p == 0 || operation->kind > NO_DATA)
                    test(j, operation, reduces ? names[k] : "dense");
            }
            j->in_place = false;
            if (reduces || j->count > 1024)
                continue;
            j->type = gaps;
            j->width = 3;
            test(j, operation, "gaps");
            j->type = plain;
            j->width = 2;
        }
    }
}

static void test_size(struct world *w, struct job *j, size_t bytes)
{
    MPI_Datatype pair, plain, gaps;
    MPI_Op ops[2];
    const int elements = (int)((bytes + 15) / 16);

    MPI_Type_contiguous(2, MPI_UINT64_T, &plain);
    MPI_Type_commit(&plain);
    MPI_Type_contiguous(2, MPI_UINT64_T, &pair);
    MPI_Type_create_resized(pair, 0, 3 * sizeof(uint64_t), &gaps);
    MPI_Type_commit(&gaps);
    MPI_Op_create(add, true, &ops[0]);
    MPI_Op_create(compose, false, &ops[1]);
    j->count = elements;
    j->type = plain;
    j->width = 2;
    for (int r = 0; r < j->size; r++) {
        const struct block block = block_of((uint64_t)elements, (uint64_t)j->size, (uint64_t)r);
        j->counts[r] = (int)block.count;
        j->starts[r] = (int)block.start;
    }
    j->in = world_alloc(w, (size_t)elements * 3 + 1, sizeof *j->in);
    j->out = world_alloc(w, (size_t)elements * 3 + 1, sizeof *j->out);
    j->prefix = world_alloc(w, (size_t)elements * 6 + 1, sizeof *j->prefix);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        test_all(j, &operations[i], ops, plain, gaps);
    free(j->prefix);
    free(j->out);
    free(j->in);
    MPI_Op_free(&ops[0]);
    MPI_Op_free(&ops[1]);
    MPI_Type_free(&gaps);
    MPI_Type_free(&pair);
    MPI_Type_free(&plain);
}

static struct verdict test_ranks(struct world *w, int ranks)
{
    const bool member = w->rank < ranks;
    const size_t sizes[] = { 0, 1, 7 * 16, 8 << 10, opt.most };
    struct job j = { .size = ranks, .rank = w->rank, .simulated = w->simulated,
                     .options.segment = opt.segment };

    MPI_Comm_split(w->comm, member ? 0 : MPI_UNDEFINED, w->rank, &j.comm);
    if (member) {
        j.counts = world_alloc(w, (size_t)ranks, sizeof *j.counts);
        j.starts = world_alloc(w, (size_t)ranks, sizeof *j.starts);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            if (sizes[i] <= opt.most)
                test_size(w, &j, sizes[i]);
        free(j.starts);
        free(j.counts);
        MPI_Comm_free(&j.comm);
    }
    world_rest(w);
    return verify_places(w, j.failed ? (uint64_t)w->rank : UINT64_MAX, "rank %d: %s: wrong",
                         w->rank, j.place);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct verdict verdict = { .right = true };

    if (status == PASS) {
        const int to = opt.to > 0 ? opt.to : w.size, from = opt.from > 0 ? opt.from : w.size;
        for (int ranks = from; ranks <= to && ranks <= w.size; ranks++)
            verdict = verdict_both(verdict, test_ranks(&w, ranks));
        status = program_verdict(&w.program, verdict.right, verdict.right ? "%s%" PRIu64 " calls"
                                 : "%s", verdict.wrong, calls);
    }
    return world_close(&w, status);
}
