/*
 * allreduce - sum, mean and deviation of what all ranks have, on all of them
 *
 * MPI_Allreduce is a reduction whose result every rank gets. Floating-point addition is not
 * associative: in which order the numbers are added decides the last bits, and the order is that of
 * the algorithm. So the sum is compared with one that rank 0 forms serially with compensation
 * (Neumaier, ZAMM 54, 1974), within p times the rounding error of the numbers' magnitudes; sums of
 * integers (--type int) must be exact. And all ranks must have the same bits: a rank that tests
 * `sum > limit` must come to the same end as the others.
 *
 * What can go wrong: each rank forms the result for itself from what it receives, in its own order:
 * --fault own_order does so, the sums differ in their last bits, and only a comparison of bits
 * shows it. The mean of nothing is no number: with --bytes 0 none is told.
 *
 * Run:     make run P=allreduce N=4 ARGS="--show"
 * Try:     --algorithm all --bytes 8:4M: which one is right for short, which for long vectors?
 * Try:     --show --algorithm linear, ring, recursive_doubling: how many digits do they share?
 * Try:     --fault own_order on 2, 3, 4 ranks: why not on 2?
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all --show
 * Test:    -n 5 --bytes 10K --algorithm all --in-place
 * Test:    -n 7 --type int --algorithm all --bytes 1000
 * Test:    -n 4 --bytes 8:16K --seconds 0.01
 * Test(1): -n 4 --fault own_order --bytes 8K
 * Test:    -n 2 --fault own_order --bytes 8K
 * Test(1): -n 3 --fault corrupt --type int
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/coll/allreduce.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"

static struct {
    struct compare_options compare;
    const char *type, *fault;
    bool in_place, show;
} opt = { .compare = COMPARE_DEFAULTS(80), .type = "double" };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of a vector, in elements of 8 bytes" },
    { "type", ARG_CHOICE, &opt.type, "of the elements", .choices = "double|int" },
    { "in-place", ARG_FLAG, &opt.in_place, "the vector lies where the result goes" },
    { "show", ARG_FLAG, &opt.show, "print the vectors, the sums, mean and deviation" },
    { "fault", ARG_CHOICE, &opt.fault, "each rank adds in its own order, or spoils an element",
      .choices = "own_order|corrupt" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

union element {
    double real;
    int64_t number;
};

struct allreduce {
    struct world *world;
    bool real;
    MPI_Datatype type;
    int count;
    union element *in, *out;
};

static union element input(const struct allreduce *a, int r, int i)
{
    if (a->real) /* of different magnitudes, so that the order tells */
        return (union element){ .real = ((r * 31 + i) % 1000 + 1) / 3.0 *
                                        (1 << (r * 7 + i * 3) % 20) };
    return (union element){ .number = ((int64_t)r + 1) * i };
}

/* Starts with what this rank has, and adds the others' as they lie in its own order. */
static int add_in_own_order(const struct allreduce *a)
{
    const struct world *const w = a->world;
    union element *const all =
        world_alloc(w, (size_t)w->size * (size_t)a->count, sizeof *all);

    MPI_Allgather(a->in, a->count, a->type, all, a->count, a->type, w->comm);
    memcpy(a->out, a->in, (size_t)a->count * sizeof *a->out);
    for (int step = 1; step < w->size; step++)
        MPI_Reduce_local(all + (ptrdiff_t)((w->rank + step) % w->size) * a->count, a->out, a->count,
                         a->type, MPI_SUM);
    free(all);
    return 0;
}

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct allreduce *a = arg;
    const void *const sendbuf = opt.in_place ? MPI_IN_PLACE : (void *)a->in;

    if (arg_is(opt.fault, "own_order"))
        return add_in_own_order(a);
    if (algorithm)
        return algorithm->allreduce(sendbuf, a->out, a->count, a->type, MPI_SUM, a->world->comm,
                                    coll);
    return MPI_Allreduce(sendbuf, a->out, a->count, a->type, MPI_SUM, a->world->comm);
}

static uint64_t open_vectors(void *arg, uint64_t bytes)
{
    struct allreduce *a = arg;

    a->count = (int)(bytes / sizeof *a->in);
    a->in = world_alloc(a->world, (size_t)a->count, sizeof *a->in);
    a->out = world_alloc(a->world, (size_t)a->count, sizeof *a->out);
    return (uint64_t)a->count * sizeof *a->in;
}

static void close_vectors(void *arg)
{
    struct allreduce *a = arg;

    free(a->out);
    free(a->in);
}

static void fill(void *arg)
{
    const struct allreduce *a = arg;
    const int rank = a->world->rank;

    for (int i = 0; i < a->count; i++)
        a->in[i] = input(a, rank, i);
    if (arg_is(opt.fault, "corrupt") && rank == a->world->size - 1 && a->count > 0)
        a->in[a->count / 2].number += 1;
    memset(a->out, 0xee, (size_t)a->count * sizeof *a->out);
    if (opt.in_place)
        memcpy(a->out, a->in, (size_t)a->count * sizeof *a->out);
}

/* The sum over ranks of element i, and of the magnitudes; errors are caught and added last. */
static double compensated_sum(const struct allreduce *a, int i, double *magnitude)
{
    double sum = 0, lost = 0;

    *magnitude = 0;
    for (int r = 0; r < a->world->size; r++) {
        const double x = input(a, r, i).real, next = sum + x;
        lost += fabs(sum) >= fabs(x) ? (sum - next) + x : (x - next) + sum;
        sum = next;
        *magnitude += fabs(x);
    }
    return sum + lost;
}

static bool is_sum(const struct allreduce *a, int i)
{
    const int p = a->world->size;
    double magnitude;

    if (!a->real)
        return a->out[i].number == (int64_t)p * (p + 1) / 2 * i;
    const double expected = compensated_sum(a, i, &magnitude);
    return fabs(a->out[i].real - expected) <= p * DBL_EPSILON * magnitude;
}

/* Rank 0 looks at the values; that the others' are the same a digest shows. */
static struct verdict check(void *arg)
{
    const struct allreduce *a = arg;
    const struct world *const w = a->world;
    uint64_t mine = digest(a->out, (uint64_t)a->count * sizeof *a->out), first = mine;
    int wrong = -1;

    for (int i = a->count - 1; w->rank == 0 && i >= 0; i--)
        if (!is_sum(a, i))
            wrong = i;
    MPI_Bcast(&first, 1, MPI_UINT64_T, 0, w->comm);
    const struct verdict verdict = verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)wrong,
                                                 "sum %d is wrong", wrong);
    return verdict_both(verdict, verify_places(w, mine == first ? UINT64_MAX : (uint64_t)w->rank,
                                               "rank %d has other bits than rank 0", w->rank));
}

static void print_elements(const struct allreduce *a, const char *when, const union element *from)
{
    char line[64 + 26 * SHOW_MOST];
    size_t used = (size_t)snprintf(line, sizeof line, "%s rank %d:", when, a->world->rank);

    for (int i = 0; i < a->count && i < SHOW_MOST; i++)
        used += (size_t)(a->real ? snprintf(line + used, sizeof line - used, " %.17g", from[i].real)
                                 : snprintf(line + used, sizeof line - used, " %lld",
                                            (long long)from[i].number));
    snprintf(line + used, sizeof line - used, "%s\n", a->count > SHOW_MOST ? " ..."
                                                      : a->count ? "" : " nothing");
    world_print(a->world, line);
}

/* Of all elements of all ranks: two reductions, because deviations are from the mean. */
static void tell_mean(const struct allreduce *a)
{
    const struct world *const w = a->world;
    const double count = (double)a->count * w->size;
    double sum = 0, squares = 0;

    for (int i = 0; i < a->count; i++)
        sum += a->real ? a->in[i].real : (double)a->in[i].number;
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, w->comm);
    for (int i = 0; i < a->count; i++) {
        const double off = (a->real ? a->in[i].real : (double)a->in[i].number) - sum / count;
        squares += off * off;
    }
    MPI_Allreduce(MPI_IN_PLACE, &squares, 1, MPI_DOUBLE, MPI_SUM, w->comm);
    if (count > 0)
        program_note(&a->world->program, "mean %.6g, standard deviation %.6g, of %.0f numbers",
                     sum / count, sqrt(squares / count), count);
    else
        program_note(&a->world->program, "no numbers: they have no mean");
}

static void show(void *arg, const char *when)
{
    const struct allreduce *a = arg;

    if (strcmp(when, "before") == 0) {
        print_elements(a, when, a->in);
        return;
    }
    print_elements(a, when, a->out);
    tell_mean(a);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    const bool real = arg_is(opt.type, "double");
    struct allreduce a = { .world = &w, .real = real,
                           .type = real ? MPI_DOUBLE : MPI_INT64_T };
    const struct compare compare = {
        .algorithms = coll_allreduce_algorithms,
        .op = MPI_SUM,
        .unit = sizeof *a.in,
        .bound = coll_bound_allreduce,
        .arg = &a,
        .open = open_vectors,
        .close = close_vectors,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };
    char sizes[64], what[128];

    snprintf(what, sizeof what, "%s bytes of sums, right and with the same bits",
             range_text(&opt.compare.bytes, sizes));
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, arg_is(opt.fault, "corrupt")
                      ? "there is no element" : w.size < 3
                      ? "two numbers have one order, but for their places"
                      : "all orders came to the same bits");
    return world_close(&w, status);
}
