/*
 * user_op - reductions by operations of one's own: order, pieces, and what may be swapped
 *
 * MPI_Op_create makes an operation out of a function of ours. It must be associative, because the
 * library sets the brackets; whether it commutes is what we say. Two are shown, on structs that a
 * derived datatype describes, --count of them on each rank:
 *
 *   affine    maps x -> a x + b modulo 2^31 - 1, one after the other. The order counts
 *   variance  number, mean and squared deviations of a group of samples, merged two by two (Chan,
 *             Golub, LeVeque 1979). Groups may be empty. The order does not count, but for rounding
 *
 * Both go through MPI_Reduce, MPI_Allreduce, MPI_Scan, MPI_Reduce_local (with the next rank's
 * operand, no message) and a binomial tree written by hand. Each rank computes what it must hold
 * by itself and in another way: a point goes through the maps in rank order; samples are gone
 * through one by one. Each time stands beside that of MPI_SUM on as many bytes.
 *
 * What can go wrong: the function is told how many elements it gets, because large vectors arrive
 * in pieces. Its second argument is the right operand and receives the result, so that the left
 * one, which a tree holds, is not the one that changes: --fault reversed. An operation that does
 * not commute, but was created with commute = true, is right until the library makes use of it:
 * --fault commute, which may strike or not.
 *
 * Run:     make run P=user_op N=4
 * Try:     --count 1 --show on 4 ranks: follow the maps from rank to rank
 * Try:     --fault commute on 2 to 8 ranks, --root 0 and 1: where does the library reorder?
 * Try:     --call reduce --count 1:1M --plot user_op.svg: when does the function itself cost?
 * Test:    -n 1 --count 3 --show
 * Test:    -n 3 --count 0
 * Test:    -n 3 --root 2 --count 1:5 --call reduce --seed 7
 * Test:    -n 7 --root 5 --count 10 --call tree
 * Test:    -n 2 --count 300K --variant affine --call allreduce
 * Test(1): -n 2 --count 10 --fault reversed
 * Test(1): -n 5 --count 10 --fault reversed --root 3 --call tree
 * Test:    -n 3 --fault reversed --variant variance --call tree
 * Test:    -n 1 --fault commute
 * Test(1): -n 3 --fault corrupt --call scan --variant variance
 * Test(2): -n 2 --root 2
 * Test(2): -n 2 --count 1G
 */
#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range count;
    int root;
    size_t seed;
    const char *variant, *call, *fault;
    bool show;
    struct timing_options timing;
} opt = { .count = { 1000, 1000 }, .variant = "all", .call = "all",
          .timing = { .secs = 0.25, .iterations = 100000, .warmup = 5, .start = "barrier" } };

static struct plot plot = {
    .title = "Reductions by an operation of one's own",
    .x = "bytes", .x_label = "size of a rank's operand (bytes)",
    .y = "times_sum", .y_label = "median time (times that of MPI_SUM)",
    .series = "curve",
};

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "elements that each rank gives" },
    { "root", ARG_INT, &opt.root, "rank that gets the result of reduce and tree" },
    { "variant", ARG_CHOICE, &opt.variant, "the operation", .choices = "affine|variance|all" },
    { "call", ARG_CHOICE, &opt.call, "how the elements meet",
      .choices = "reduce|allreduce|scan|reduce_local|tree|all" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "show", ARG_FLAG, &opt.show, "print the first elements before and after" },
    { "fault", ARG_CHOICE, &opt.fault,
      "say that affine commutes, swap the operands in the tree, or give a wrong element",
      .choices = "commute|reversed|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

/* The operands of `ranks` ranks from `first` on, in this order, behind the last rank 0 again. */
struct factors {
    int first, ranks, size;
    uint64_t count;
};

static uint64_t place_of(const struct factors *factors, int i, uint64_t entry)
{
    return (uint64_t)((factors->first + i) % factors->size) * factors->count + entry;
}

/* ---- affine ---- */

static const uint64_t prime = (UINT64_C(1) << 31) - 1; /* products of residues fit in 64 bits */

struct affine { /* x -> a x + b */
    uint64_t a, b;
};

static struct affine affine_at(uint64_t place)
{
    return (struct affine){ element(2 * place, opt.seed) % prime,
                            element(2 * place + 1, opt.seed) % prime };
}

static void affine_fill(void *elements, uint64_t start, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        ((struct affine *)elements)[i] = affine_at(start + i);
}

/* The right operand becomes left op right: first the left map, then the right one. */
static void affine_compose(void *invec, void *inoutvec, int *count, MPI_Datatype *type)
{
    const struct affine *left = invec;
    struct affine *right = inoutvec;

    (void)type;
    for (int i = 0; i < *count; i++) {
        right[i].b = (right[i].a * left[i].b + right[i].b) % prime;
        right[i].a = right[i].a * left[i].a % prime;
    }
}

/* Two points go through the maps one by one; where they end tells a and b. */
static bool affine_right(const void *elements, uint64_t entry, const struct factors *factors)
{
    const struct affine *result = (const struct affine *)elements + entry;
    uint64_t from_0 = 0, from_1 = 1;

    for (int i = 0; i < factors->ranks; i++) {
        const struct affine map = affine_at(place_of(factors, i, entry));
        from_0 = (map.a * from_0 + map.b) % prime;
        from_1 = (map.a * from_1 + map.b) % prime;
    }
    return result->b == from_0 && (result->a + result->b) % prime == from_1;
}

static void affine_text(const void *elements, uint64_t entry, char text[64])
{
    const struct affine *map = (const struct affine *)elements + entry;

    snprintf(text, 64, "%" PRIu64 " x + %" PRIu64, map->a, map->b);
}

static MPI_Datatype affine_type(void)
{
    MPI_Datatype type;

    MPI_Type_contiguous(2, MPI_UINT64_T, &type);
    MPI_Type_commit(&type);
    return type;
}

/* ---- variance ---- */

struct group {
    uint64_t samples;
    double mean, squares; /* of the deviations from the mean */
};

enum { GROUP_MAX = 4, SAMPLE_MAX = 1000 };

static int samples_at(uint64_t place)
{
    return (int)(place % GROUP_MAX);
}

static double sample_at(uint64_t place, int sample)
{
    return (double)(element(GROUP_MAX * place + (uint64_t)sample, opt.seed) % SAMPLE_MAX);
}

static void group_fill(void *elements, uint64_t start, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct group group = { .samples = (uint64_t)samples_at(start + i) };
        for (int sample = 0; sample < samples_at(start + i); sample++)
            group.mean += sample_at(start + i, sample) / (double)group.samples;
        for (int sample = 0; sample < samples_at(start + i); sample++)
            group.squares += pow(sample_at(start + i, sample) - group.mean, 2);
        ((struct group *)elements)[i] = group;
    }
}

static void group_merge(void *invec, void *inoutvec, int *count, MPI_Datatype *type)
{
    const struct group *left = invec;
    struct group *right = inoutvec;

    (void)type;
    for (int i = 0; i < *count; i++) {
        const uint64_t samples = left[i].samples + right[i].samples;
        if (samples == 0)
            continue; /* two empty groups have no mean */
        const double apart = right[i].mean - left[i].mean;
        const double share = (double)left[i].samples / (double)samples;
        right[i].squares += left[i].squares + apart * apart * share * (double)right[i].samples;
        right[i].mean -= apart * share;
        right[i].samples = samples;
    }
}

/* All samples in two passes. Each merge rounds a few times, at no more than the largest mean and
 * the largest sum of squares that there can be. */
static bool group_right(const void *elements, uint64_t entry, const struct factors *factors)
{
    const struct group *result = (const struct group *)elements + entry;
    const double rounding = 8 * DBL_EPSILON * (factors->ranks + 1) * SAMPLE_MAX;
    long double mean = 0, squares = 0;
    uint64_t samples = 0;

    for (int i = 0; i < factors->ranks; i++) {
        const uint64_t place = place_of(factors, i, entry);
        for (int sample = 0; sample < samples_at(place); sample++, samples++)
            mean += sample_at(place, sample);
    }
    mean /= samples > 0 ? samples : 1;
    for (int i = 0; i < factors->ranks; i++) {
        const uint64_t place = place_of(factors, i, entry);
        for (int sample = 0; sample < samples_at(place); sample++)
            squares += (sample_at(place, sample) - mean) * (sample_at(place, sample) - mean);
    }
    return result->samples == samples && fabsl(result->mean - mean) <= rounding &&
           fabsl(result->squares - squares) <= rounding * (double)samples * SAMPLE_MAX;
}

static void group_text(const void *elements, uint64_t entry, char text[64])
{
    const struct group *group = (const struct group *)elements + entry;

    snprintf(text, 64, "%" PRIu64 " samples, mean %g, squares %g", group->samples, group->mean,
             group->squares);
}

/* Its members one by one, so that a library may send it to a machine of another layout. */
static MPI_Datatype group_type(void)
{
    const int lengths[] = { 1, 1, 1 };
    const MPI_Aint displacements[] = { offsetof(struct group, samples),
                                       offsetof(struct group, mean),
                                       offsetof(struct group, squares) };
    const MPI_Datatype types[] = { MPI_UINT64_T, MPI_DOUBLE, MPI_DOUBLE };
    MPI_Datatype members, type;

    MPI_Type_create_struct(3, lengths, displacements, types, &members);
    MPI_Type_create_resized(members, 0, sizeof(struct group), &type);
    MPI_Type_commit(&type);
    MPI_Type_free(&members);
    return type;
}

static const struct variant {
    const char *name;
    size_t size;
    bool commutes;
    MPI_User_function *function;
    MPI_Datatype (*type)(void);
    void (*fill)(void *elements, uint64_t start, uint64_t count);
    bool (*right)(const void *elements, uint64_t entry, const struct factors *factors);
    void (*text)(const void *elements, uint64_t entry, char text[64]);
} variants[] = {
    { "affine", sizeof(struct affine), false, affine_compose, affine_type, affine_fill,
      affine_right, affine_text },
    { "variance", sizeof(struct group), true, group_merge, group_type, group_fill, group_right,
      group_text },
};

/* ---- The calls ---- */

struct reduction {
    const struct world *world;
    MPI_Op op;
    MPI_Datatype type;
    int count;
    size_t bytes;              /* of `count` elements */
    unsigned char *in, *out, *work;
};

static void reduce(void *arg)
{
    const struct reduction *r = arg;

    MPI_Reduce(r->in, r->out, r->count, r->type, r->op, opt.root, r->world->comm);
}

static void allreduce(void *arg)
{
    const struct reduction *r = arg;

    MPI_Allreduce(r->in, r->out, r->count, r->type, r->op, r->world->comm);
}

static void scan(void *arg)
{
    const struct reduction *r = arg;

    MPI_Scan(r->in, r->out, r->count, r->type, r->op, r->world->comm);
}

/* What `out` holds is the right operand, and then the result. */
static void reduce_local(void *arg)
{
    const struct reduction *r = arg;

    MPI_Reduce_local(r->in, r->out, r->count, r->type, r->op);
}

/*
 * A binomial tree to rank 0: in round `distance` each rank that is still in it either receives the
 * product of the `distance` ranks behind its own ones, or sends and is done. It begins at rank 0
 * whatever the root is: ranks counted from the root on would wrap round, and out of order.
 */
static void tree(void *arg)
{
    const struct reduction *r = arg;
    const struct world *w = r->world;
    unsigned char *mine = r->out, *theirs = r->work;

    memcpy(mine, r->in, r->bytes);
    for (int distance = 1; distance < w->size; distance *= 2) {
        if (w->rank & distance) {
            MPI_Send(mine, r->count, r->type, w->rank - distance, 0, w->comm);
            break;
        }
        if (w->rank + distance >= w->size)
            continue;
        MPI_Recv(theirs, r->count, r->type, w->rank + distance, 0, w->comm, MPI_STATUS_IGNORE);
        if (arg_is(opt.fault, "reversed")) { /* the result lands where one wants it, but is wrong */
            MPI_Reduce_local(theirs, mine, r->count, r->type, r->op);
            continue;
        }
        MPI_Reduce_local(mine, theirs, r->count, r->type, r->op);
        unsigned char *const result = theirs;
        theirs = mine;
        mine = result;
    }
    if (opt.root != 0 && w->rank == 0)
        MPI_Send(mine, r->count, r->type, opt.root, 1, w->comm);
    else if (opt.root != 0 && w->rank == opt.root)
        MPI_Recv(r->out, r->count, r->type, 0, 1, w->comm, MPI_STATUS_IGNORE);
    else if (mine != r->out)
        memcpy(r->out, mine, r->bytes);
}

enum result { AT_ROOT, AT_ALL, UP_TO_ME, ME_AND_NEXT };

static const struct call {
    const char *name;
    enum result result; /* who holds the product of whom */
    void (*run)(void *reduction);
} calls[] = {
    { "reduce", AT_ROOT, reduce }, { "allreduce", AT_ALL, allreduce },
    { "scan", UP_TO_ME, scan },    { "reduce_local", ME_AND_NEXT, reduce_local },
    { "tree", AT_ROOT, tree },
};

/* The factors of what this rank must hold after a call; no ranks: nothing. */
static struct factors factors_of(const struct world *w, const struct call *call, uint64_t count)
{
    const struct factors all = { 0, w->size, w->size, count };

    if (call->result == UP_TO_ME)
        return (struct factors){ 0, w->rank + 1, w->size, count };
    if (call->result == ME_AND_NEXT)
        return (struct factors){ w->rank, 2, w->size, count };
    if (call->result == AT_ROOT && w->rank != opt.root)
        return (struct factors){ 0, 0, w->size, count };
    return all;
}

/* ---- Runs ---- */

static void show(const struct reduction *r, const struct variant *variant, const char *when,
                 const unsigned char *elements)
{
    char line[512], text[64];
    int length = snprintf(line, sizeof line, "%-12s  rank %d:", when, r->world->rank);

    for (int i = 0; i < r->count && i < 3 && elements; i++) {
        variant->text(elements, (uint64_t)i, text);
        length += snprintf(line + length, sizeof line - (size_t)length, "%s %s", i ? ";" : "",
                           text);
    }
    snprintf(line + length, sizeof line - (size_t)length, "%s\n", r->count > 3 ? "; ..." : "");
    world_print(r->world, elements ? line : "");
}

static void fill(const struct reduction *r, const struct variant *variant, const struct call *call)
{
    const uint64_t count = (uint64_t)r->count;
    const int rank = r->world->rank, next = (rank + 1) % r->world->size;

    variant->fill(r->in, (uint64_t)rank * count, count);
    if (arg_is(opt.fault, "corrupt") && rank == 0 && count > 0)
        r->in[count / 2 * variant->size] ^= 1;
    if (call->result == ME_AND_NEXT)
        variant->fill(r->out, (uint64_t)next * count, count);
    else
        memset(r->out, 0xee, r->bytes);
}

static struct verdict check(const struct reduction *r, const struct variant *variant,
                            const struct call *call)
{
    const uint64_t count = (uint64_t)r->count;
    const struct factors factors = factors_of(r->world, call, count);
    char text[64] = "";
    uint64_t entry = 0;

    while (entry < count && (factors.ranks == 0 || variant->right(r->out, entry, &factors)))
        entry++;
    if (entry < count)
        variant->text(r->out, entry, text);
    return verify_places(r->world, entry < count ? entry : UINT64_MAX, "rank %d: element %" PRIu64
                         " of %s after %s is %s, which is not what %d ranks from %d on make",
                         r->world->rank, entry, variant->name, call->name, text, factors.ranks,
                         factors.first);
}

static struct verdict try(struct reduction *r, const struct variant *variant,
                          const struct call *call)
{
    fill(r, variant, call);
    call->run(r);
    return check(r, variant, call);
}

/* The same call with MPI_SUM, on as many bytes. */
static struct timing time_sum(const struct world *w, const struct reduction *r,
                              const struct call *call)
{
    struct reduction sum = *r;

    sum.op = MPI_SUM;
    sum.type = MPI_UINT64_T;
    sum.count = (int)(r->bytes / sizeof(uint64_t));
    return timing_run(w, &opt.timing, r->bytes, call->run, &sum);
}

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void add_row(struct world *w, const struct reduction *r, const struct variant *variant,
                    const struct call *call, const struct timing *timing, double sum_secs,
                    bool right)
{
    struct record row = w->program.record;
    char curve[64];

    snprintf(curve, sizeof curve, "%s, %s", variant->name, call->name);
    record_text(&row, "variant", variant->name);
    record_text(&row, "call", call->name);
    record_int(&row, "count", r->count);
    timing_fields(&row, timing, r->bytes, right);
    record_real(&row, "sum_s", right ? sum_secs : NAN);
    record_real(&row, "times_sum", right ? secs_of(timing) / sum_secs : NAN);
    row.aside = true;
    record_text(&row, "curve", curve);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

static struct verdict run_call(struct world *w, struct reduction *r, const struct variant *variant,
                               const struct call *call)
{
    struct timing timing = { .as = opt.timing.as }, sum = timing;
    struct verdict verdict = try(r, variant, call);

    if (opt.show)
        show(r, variant, call->name, factors_of(w, call, 0).ranks > 0 ? r->out : NULL);
    if (verdict.right) {
        sum = time_sum(w, r, call);
        fill(r, variant, call);
        timing = timing_run(w, &opt.timing, r->bytes, call->run, r);
        if (call->result == ME_AND_NEXT) /* where each repetition added a factor */
            verdict = try(r, variant, call);
        else
            verdict = check(r, variant, call);
    }
    add_row(w, r, variant, call, &timing, secs_of(&sum), verdict.right);
    return verdict;
}

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t count)
{
    struct verdict verdict = { .right = true };
    struct reduction r = { .world = w, .count = (int)count, .bytes = count * variant->size };

    r.in = world_alloc(w, r.bytes, 1);
    r.out = world_alloc(w, r.bytes, 1);
    r.work = world_alloc(w, r.bytes, 1);
    r.type = variant->type();
    MPI_Op_create(variant->function, variant->commutes || arg_is(opt.fault, "commute"), &r.op);
    if (opt.show) {
        variant->fill(r.in, (uint64_t)w->rank * count, count);
        show(&r, variant, "before", r.in);
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (arg_is(opt.call, "all") || arg_is(opt.call, calls[i].name))
            verdict = verdict_both(verdict, run_call(w, &r, variant, &calls[i]));
    MPI_Op_free(&r.op);
    MPI_Type_free(&r.type);
    free(r.work);
    free(r.out);
    free(r.in);
    return verdict;
}

static const char *why_not_struck(const struct world *w)
{
    if (opt.count.to == 0)
        return "there are no elements";
    if (w->size == 1)
        return "one rank has nobody to change places with";
    if (arg_is(opt.variant, "variance"))
        return "groups may be merged in any order";
    if (arg_is(opt.fault, "reversed"))
        return "only the tree is written by hand, and it did not run";
    return "the library kept the order of ranks all the same";
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t count = opt.count.from;
    char counts[64];

    do
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
                verdict = verdict_both(verdict, run_variant(w, &variants[i], count));
    while ((count = range_next(&opt.count, count)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, why_not_struck(w));
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%s elements a rank on %d rank%s, each combined in "
                           "rank order", range_text(&opt.count, counts), w->size,
                           w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    const size_t most = INT_MAX / (sizeof(struct group) / sizeof(uint64_t));
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS && opt.count.to > most)
        status = world_usage(&w, "--count %zu: counts of MPI are int, and MPI_SUM counts the words "
                             "of an element: give at most %zu", opt.count.to, most);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
