/*
 * reduce - combine what all ranks have, element by element, into one result on the root
 *
 * Each rank has a vector, and MPI_Reduce with --op forms the sum, product, largest, bitwise and of
 * the elements with the same index. maxloc works on pairs of a value and a rank: the largest value,
 * and who had it. The inputs are chosen so that each result has a closed form: element i of rank r
 * is (r + 1) i for the sum, whose result is p (p + 1) / 2 times i.
 *
 * What can go wrong: only the root has the result; recvbuf means nothing on the others, and a
 * program that prints it there prints whatever was in it (--show prints what the others have:
 * nothing). A sum of floating-point numbers depends on the order: see allreduce.
 *
 * Run:     make run P=collective/reduce N=4 ARGS="--show"
 * Try:     --op maxloc --show: who has the largest?
 * Try:     --algorithm all --bytes 8:4M: when does it pay to let each rank combine a part?
 * Try:     --algorithm rabenseifner on 4 and on 5 ranks: what does the fifth cost?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 5 --bytes 1000 --algorithm all --root 3 --in-place --show
 * Test:    -n 4 --op maxloc --show
 * Test:    -n 3 --op max --bytes 8:2K --seconds 0.01
 * Test:    -n 7 --op band --algorithm all
 * Test:    -n 2 --op prod
 * Test(1): -n 3 --fault twice
 * Test:    -n 1 --bytes 8 --fault twice
 * Test(1): -n 3 --fault corrupt
 * Test(2): -n 2 --root 2
 * Test(2): -n 2 --op minus
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/lib/coll/bound.h"
#include "mpi/lib/coll/reduce.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    const char *op, *fault;
    int root;
    bool in_place, show;
} opt = { .compare = COMPARE_DEFAULTS(80), .op = "sum" };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of a vector, in elements of 8 bytes" },
    { "op", ARG_CHOICE, &opt.op, "how elements are combined",
      .choices = "sum|prod|max|maxloc|band" },
    { "root", ARG_INT, &opt.root, "rank that gets the result" },
    { "in-place", ARG_FLAG, &opt.in_place, "the root's vector lies where the result goes" },
    { "show", ARG_FLAG, &opt.show, "print the vectors before and the result after" },
    { "fault", ARG_CHOICE, &opt.fault, "start the root's result at its own input, or spoil one",
      .choices = "twice|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

union element {
    uint64_t number;
    int pair[2]; /* maxloc: value, rank, as MPI_2INT wants them */
};

static union element sum_input(int r, int i, int size)
{
    (void)size;
    return (union element){ .number = ((uint64_t)r + 1) * (uint64_t)i };
}

static union element sum_result(int i, int size)
{
    return (union element){ .number = (uint64_t)size * ((uint64_t)size + 1) / 2 * (uint64_t)i };
}

/* One rank has i + 2, the others 1. */
static union element prod_input(int r, int i, int size)
{
    return (union element){ .number = r == i % size ? (uint64_t)i + 2 : 1 };
}

static union element prod_result(int i, int size)
{
    (void)size;
    return (union element){ .number = (uint64_t)i + 2 };
}

static union element max_input(int r, int i, int size)
{
    return (union element){ .number = (uint64_t)i * 1000 + (uint64_t)((r + i) % size) };
}

static union element max_result(int i, int size)
{
    return (union element){ .number = (uint64_t)i * 1000 + (uint64_t)size - 1 };
}

static union element maxloc_input(int r, int i, int size)
{
    return (union element){ .pair = { (r + i) % size, r } };
}

static union element maxloc_result(int i, int size)
{
    return (union element){ .pair = { size - 1, (size - 1 - i % size + size) % size } };
}

/* Each rank has one bit cleared. */
static union element band_input(int r, int i, int size)
{
    (void)size;
    return (union element){ .number = ~(UINT64_C(1) << (r + i) % 64) };
}

static union element band_result(int i, int size)
{
    union element all = { .number = UINT64_MAX };

    for (int r = 0; r < size && r < 64; r++)
        all.number &= band_input(r, i, size).number;
    return all;
}

static const struct operation {
    const char *name;
    union element (*input)(int r, int i, int size);
    union element (*result)(int i, int size);
} operations[] = {
    { "sum", sum_input, sum_result },          { "prod", prod_input, prod_result },
    { "max", max_input, max_result },          { "band", band_input, band_result },
    { "maxloc", maxloc_input, maxloc_result },
};

struct reduce {
    struct world *world;
    const struct operation *operation;
    MPI_Op op;
    MPI_Datatype type;
    int count;
    union element *in, *out; /* out on the root alone */
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct reduce *r = arg;
    const void *const sendbuf = r->out && opt.in_place ? MPI_IN_PLACE : (void *)r->in;

    if (algorithm)
        return algorithm->reduce(sendbuf, r->out, r->count, r->type, r->op, opt.root,
                                 r->world->comm, coll);
    return MPI_Reduce(sendbuf, r->out, r->count, r->type, r->op, opt.root, r->world->comm);
}

static uint64_t open_vectors(void *arg, uint64_t bytes)
{
    struct reduce *r = arg;
    const bool root = r->world->rank == opt.root;

    r->count = (int)(bytes / sizeof *r->in);
    r->in = world_alloc(r->world, (size_t)r->count, sizeof *r->in);
    r->out = root ? world_alloc(r->world, (size_t)r->count, sizeof *r->out) : NULL;
    return (uint64_t)r->count * sizeof *r->in;
}

static void close_vectors(void *arg)
{
    struct reduce *r = arg;

    free(r->out);
    free(r->in);
}

/* With --in-place a timed call begins where the last one ended; here the input is set anew. */
static void fill(void *arg)
{
    const struct reduce *r = arg;
    const int rank = r->world->rank, size = r->world->size;

    for (int i = 0; i < r->count; i++)
        r->in[i] = r->operation->input(rank, i, size);
    if (arg_is(opt.fault, "corrupt") && rank == size - 1 && r->count > 0)
        r->in[r->count / 2].number ^= 1;
    if (r->out)
        memset(r->out, 0xee, (size_t)r->count * sizeof *r->out);
    if (r->out && opt.in_place)
        memcpy(r->out, r->in, (size_t)r->count * sizeof *r->out);
}

/* As if the result had to be added to what the root has already. */
static void count_twice(const struct reduce *r)
{
    for (int i = 0; r->out && i < r->count; i++)
        r->out[i].number += r->in[i].number;
}

static struct verdict check(void *arg)
{
    const struct reduce *r = arg;
    int wrong = -1;

    if (arg_is(opt.fault, "twice"))
        count_twice(r);
    for (int i = r->count - 1; r->out && i >= 0; i--) {
        const union element result = r->operation->result(i, r->world->size);
        if (memcmp(&r->out[i], &result, sizeof result) != 0)
            wrong = i;
    }
    return verify_places(r->world, wrong < 0 ? UINT64_MAX : (uint64_t)wrong,
                         "element %d of the %s on the root is wrong", wrong, opt.op);
}

static void show(void *arg, const char *when)
{
    const struct reduce *r = arg;
    const bool before = strcmp(when, "before") == 0;
    const union element *const from = before ? r->in : r->out;
    uint64_t numbers[2 * SHOW_MOST + 2], count = from ? (uint64_t)r->count : 0;

    for (uint64_t i = 0; i < count && i < SHOW_MOST; i++)
        numbers[i] = from[i].number;
    if (r->operation->result != maxloc_result) {
        show_elements(r->world, when, from ? numbers : NULL, count);
        return;
    }
    for (uint64_t i = 0; i < 2 * count && i < 2 * SHOW_MOST; i++) /* value, rank, value, rank */
        numbers[i] = (uint64_t)from[i / 2].pair[i % 2];
    show_elements(r->world, when, from ? numbers : NULL, 2 * count);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    const MPI_Op ops[] = { MPI_SUM, MPI_PROD, MPI_MAX, MPI_BAND, MPI_MAXLOC };
    size_t which = 0;

    while (strcmp(operations[which].name, opt.op) != 0)
        which++;
    struct reduce r = { .world = &w, .operation = &operations[which], .op = ops[which],
                        .type = ops[which] == MPI_MAXLOC ? MPI_2INT
                                : ops[which] == MPI_MAX ? MPI_INT64_T : MPI_UINT64_T };
    const struct compare compare = {
        .algorithms = coll_reduce_algorithms,
        .op = r.op,
        .unit = sizeof *r.in,
        .bound = coll_bound_reduce,
        .arg = &r,
        .open = open_vectors,
        .close = close_vectors,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s of %s bytes, right on the root", opt.op,
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "twice")
                      ? "no element changes by it" : "there is no element");
    return world_close(&w, status);
}
