/*
 * alltoallv - every rank sorts its items by their owner and sends each to it
 *
 * Rank 0 owns the values 0 to 999, rank 1 those from 1000 to 1999, and so on. Every rank makes
 * --count items in no order and puts those of one owner together (a counting sort), as a bucket
 * sort does, or a code whose particles have moved. How much it will get nobody knows before: the
 * counts are exchanged first, by MPI_Alltoall, and then the items, in one of three ways:
 *
 *   sparse  MPI_Isend and MPI_Irecv for those pairs alone that have items
 *   v       MPI_Alltoallv
 *   w       MPI_Alltoallw: a datatype for each pair, and so displacements in bytes
 *
 * With --density D a rank has items for only D % of the ranks, as many for each as make up --count.
 * Times are those of both steps; --known leaves out the exchange of the counts.
 *
 * Every item carries its sender, its owner and its number among those of this pair, and its value
 * is a function of these three. No item may be missing, come twice, or come to another rank.
 *
 * What can go wrong: an item that is forgotten on both sides makes no error, only a smaller total
 * (--fault drop). If the receiver expects less than is sent, the message is truncated: MPI looks,
 * in most cases, and the job ends (--fault counts, which depends on the library).
 *
 * Run:     make run P=alltoallv N=4 ARGS="--count 6 --density 50 --variant v --show"
 * Try:     --count 6 --show: which items come from which rank?
 * Try:     --density 12:100 --count 100 --plot alltoallv.svg on 8 ranks: does sparse pay?
 * Try:     the same with --known: what does it cost that nobody knows the counts?
 * Try:     --variant v --fault counts: what does the library say?
 * Test:    -n 1 --show
 * Test:    -n 3 --count 1 --density 0:100
 * Test:    -n 4 --count 0
 * Test:    -n 5 --count 1001 --density 40 --seed 7 --known
 * Test:    -n 4 --count 9 --density 100 --show --seconds 0.01
 * Test:    -n 2 --count 512K --density 50:100 --iterations 2
 * Test(1): -n 3 --variant v --fault drop
 * Test(1): -n 1 --variant sparse --fault drop
 * Test:    -n 2 --density 0 --fault drop
 * Test(2): -n 3 --count 100M
 * Test(2): -n 3 --count 3G --variant v
 * Test(2): -n 2 --density 101
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/show.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range density;
    size_t count, seed;
    const char *variant, *fault;
    bool known, show;
    struct timing_options timing;
} opt = { .count = 1000, .density = { 50, 50 }, .variant = "all", .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Items to their owners",
    .x = "density", .x_label = "ranks that a rank has items for (%)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "variant", .linear_x = true, .linear_y = true,
};

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "items of 16 bytes that each rank makes" },
    { "density", ARG_RANGE, &opt.density, "ranks that each rank has items for, in percent" },
    { "variant", ARG_CHOICE, &opt.variant, "how the items travel", .choices = "sparse|v|w|all" },
    { "known", ARG_FLAG, &opt.known, "measure without the exchange of the counts" },
    { "seed", ARG_SIZE, &opt.seed, "other items" },
    { "show", ARG_FLAG, &opt.show, "print the values before and after" },
    { "fault", ARG_CHOICE, &opt.fault, "forget the last item of a pair, or expect one too few",
      .choices = "drop|counts" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { VALUES = 1000 }; /* that one rank owns */

struct item {
    uint32_t value, from, to, number; /* the number counts the items of one pair, from 0 */
};

/* What a rank sends to all others, or gets from them: entries by rank, in items. */
struct parts {
    int *counts, *starts;
    int *byte_starts;   /* for MPI_Alltoallw */
    struct item *items; /* in the order of the ranks */
    uint64_t total;
};

struct exchange {
    const struct world *world;
    uint32_t owners; /* that I have items for: the ranks behind me, on a ring */
    uint64_t most;   /* items that a rank sends or gets, whichever is more */
    struct parts out, in;
    MPI_Datatype item, *types; /* one for all, and the same for each rank */
    MPI_Request *requests;
    void (*send_items)(const struct exchange *e);
};

/* ---- The ways ---- */

static void v(const struct exchange *e)
{
    MPI_Alltoallv(e->out.items, e->out.counts, e->out.starts, e->item, e->in.items, e->in.counts,
                  e->in.starts, e->item, e->world->comm);
}

static void w(const struct exchange *e)
{
    MPI_Alltoallw(e->out.items, e->out.counts, e->out.byte_starts, e->types, e->in.items,
                  e->in.counts, e->in.byte_starts, e->types, e->world->comm);
}

/* Receives are posted first, so that items can go straight to their places. */
static void sparse(const struct exchange *e)
{
    const struct parts *out = &e->out, *in = &e->in;
    const int size = e->world->size;
    int started = 0;

    for (int rank = 0; rank < size; rank++)
        if (in->counts[rank] > 0)
            MPI_Irecv(in->items + in->starts[rank], in->counts[rank], e->item, rank, 0,
                      e->world->comm, &e->requests[started++]);
    for (int rank = 0; rank < size; rank++)
        if (out->counts[rank] > 0)
            MPI_Isend(out->items + out->starts[rank], out->counts[rank], e->item, rank, 0,
                      e->world->comm, &e->requests[started++]);
    MPI_Waitall(started, e->requests, MPI_STATUSES_IGNORE);
}

static const struct variant {
    const char *name;
    void (*send_items)(const struct exchange *e);
} variants[] = { { "sparse", sparse }, { "v", v }, { "w", w } };

/* The exclusive prefix sums of the counts. */
static void set_starts(struct parts *parts, int size)
{
    parts->total = 0;
    for (int rank = 0; rank < size; rank++) {
        parts->starts[rank] = (int)parts->total;
        parts->byte_starts[rank] = (int)(parts->total * sizeof(struct item)); /* see check_limits */
        parts->total += (uint64_t)parts->counts[rank];
    }
}

/* The first rank that there are items for, or from; -1 if there are none. A fault strikes there. */
static int first_with_items(const struct parts *parts, int size)
{
    for (int rank = 0; rank < size; rank++)
        if (parts->counts[rank] > 0)
            return rank;
    return -1;
}

static void exchange_counts(struct exchange *e)
{
    MPI_Alltoall(e->out.counts, 1, MPI_INT, e->in.counts, 1, MPI_INT, e->world->comm);
    set_starts(&e->in, e->world->size); /* of what is truly sent: nothing leaves the buffer */
    const int rank = first_with_items(&e->in, e->world->size);
    if (arg_is(opt.fault, "counts") && rank >= 0)
        e->in.counts[rank]--;
}

static void exchange(void *arg)
{
    struct exchange *e = arg;

    if (!opt.known)
        exchange_counts(e);
    e->send_items(e);
}

/* ---- Items ---- */

/* A number below `end` that is a function of the others. */
static uint32_t drawn(uint64_t a, uint64_t b, uint64_t c, uint32_t end)
{
    const uint64_t words[] = { a, b, c, opt.seed };

    return (uint32_t)(digest(words, sizeof words) % end);
}

static uint32_t value_of(uint32_t from, uint32_t to, uint32_t number)
{
    return to * VALUES + drawn(from, to, number, VALUES);
}

/* Item i that this rank makes. `counts` says how many each owner has already. */
static struct item make_item(const struct exchange *e, size_t i, int *counts)
{
    const uint32_t from = (uint32_t)e->world->rank, size = (uint32_t)e->world->size;
    const uint32_t to = (from + 1 + drawn(from, i, size, e->owners)) % size;
    const uint32_t number = (uint32_t)counts[to]++;

    return (struct item){ value_of(from, to, number), from, to, number };
}

/* A counting sort by owner, which is known from the value. */
static void sort_items(const struct exchange *e, const struct item *made)
{
    const size_t bytes = (size_t)e->world->size * sizeof(int);
    int *const next = world_alloc(e->world, bytes, 1);

    memcpy(next, e->out.starts, bytes);
    for (uint64_t i = 0; i < e->out.total; i++)
        e->out.items[next[made[i].value / VALUES]++] = made[i];
    free(next);
}

static void show(const struct exchange *e, const char *when, const struct item *items,
                 uint64_t count)
{
    uint64_t values[SHOW_MOST];

    if (!opt.show)
        return;
    for (uint64_t i = 0; i < count && i < SHOW_MOST; i++)
        values[i] = items[i].value;
    show_elements(e->world, when, values, count);
}

static void make_items(struct exchange *e)
{
    const int size = e->world->size;
    const size_t count = e->owners > 0 ? opt.count : 0;
    struct item *const made = world_alloc(e->world, count, sizeof *made);

    memset(e->out.counts, 0, (size_t)size * sizeof *e->out.counts);
    for (size_t i = 0; i < count; i++)
        made[i] = make_item(e, i, e->out.counts);
    set_starts(&e->out, size);
    show(e, "made  ", made, count);
    e->out.items = world_alloc(e->world, count, sizeof *e->out.items);
    sort_items(e, made);
    free(made);
    show(e, "sorted", e->out.items, count);
    const int rank = first_with_items(&e->out, size);
    if (arg_is(opt.fault, "drop") && rank >= 0)
        e->out.counts[rank]--;
}

/* Each item in its place, as its stamp says; as many as were made; nothing written behind them. */
static struct verdict check(const struct exchange *e)
{
    const struct world *world = e->world;
    const struct item nothing = { 0 };
    uint64_t sums[2] = { e->out.total, 0 }, wrong = UINT64_MAX;
    int from = 0;

    for (int rank = 0; rank < world->size; rank++) {
        const struct item *item = e->in.items + e->in.starts[rank];
        for (int i = 0; i < e->in.counts[rank]; i++, item++, sums[1]++)
            if (wrong == UINT64_MAX &&
                (item->from != (uint32_t)rank || item->to != (uint32_t)world->rank ||
                 item->number != (uint32_t)i ||
                 item->value != value_of(item->from, item->to, item->number))) {
                wrong = (uint64_t)i;
                from = rank;
            }
    }
    struct verdict verdict = verify_places(world, wrong, "item %" PRIu64 " that rank %d got from "
                                           "rank %d is another one", wrong, world->rank, from);
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_UINT64_T, MPI_SUM, world->comm);
    verdict = verdict_both(verdict, verify_places(world, sums[0] == sums[1] ? UINT64_MAX : 0,
                                                  "%" PRIu64 " items arrived of %" PRIu64
                                                  " that were made", sums[1], sums[0]));
    const bool intact = memcmp(e->in.items + e->in.total, &nothing, sizeof nothing) == 0;
    return verdict_both(verdict, verify_places(world, intact ? UINT64_MAX : e->in.total,
                                               "rank %d: written behind its items", world->rank));
}

/* ---- Runs ---- */

static struct parts parts_open(const struct world *world)
{
    const size_t size = (size_t)world->size;

    return (struct parts){ .counts = world_alloc(world, size, sizeof(int)),
                           .starts = world_alloc(world, size, sizeof(int)),
                           .byte_starts = world_alloc(world, size, sizeof(int)) };
}

static void parts_close(struct parts *parts)
{
    free(parts->items);
    free(parts->byte_starts);
    free(parts->starts);
    free(parts->counts);
}

static void exchange_open(struct exchange *e, const struct world *world, size_t density)
{
    const size_t size = (size_t)world->size;

    *e = (struct exchange){ .world = world, .owners = (uint32_t)((size * density + 99) / 100) };
    MPI_Type_contiguous(sizeof(struct item) / sizeof(uint32_t), MPI_UINT32_T, &e->item);
    MPI_Type_commit(&e->item);
    e->types = world_alloc(world, size, sizeof *e->types);
    for (size_t rank = 0; rank < size; rank++)
        e->types[rank] = e->item;
    e->requests = world_alloc(world, 2 * size, sizeof *e->requests);
    e->out = parts_open(world);
    e->in = parts_open(world);
    make_items(e);
    exchange_counts(e);
    e->in.items = world_alloc(world, (size_t)e->in.total + 1, sizeof *e->in.items);
    const int64_t mine = (int64_t)(e->in.total > e->out.total ? e->in.total : e->out.total);
    int64_t most;
    MPI_Allreduce(&mine, &most, 1, MPI_INT64_T, MPI_MAX, world->comm);
    e->most = (uint64_t)most;
}

static void exchange_close(struct exchange *e)
{
    parts_close(&e->in);
    parts_close(&e->out);
    free(e->requests);
    free(e->types);
    MPI_Type_free(&e->item);
}

static void add_row(struct world *world, const struct exchange *e, const struct variant *variant,
                    size_t density, const struct timing *timing, bool right)
{
    struct record row = world->program.record;

    record_text(&row, "variant", variant->name);
    record_int(&row, "density", (int64_t)density);
    record_int(&row, "count", (int64_t)opt.count);
    row.aside = true;
    record_bool(&row, "known", opt.known);
    row.aside = false;
    timing_fields(&row, timing, e->most * sizeof(struct item), right);
    record_bool(&row, "verified", right);
    program_row(&world->program, &row);
}

static struct verdict run_variant(struct world *world, struct exchange *e,
                                  const struct variant *variant, size_t density)
{
    struct timing timing = { .start = opt.timing.start };

    memset(e->in.items, 0, ((size_t)e->in.total + 1) * sizeof *e->in.items);
    e->send_items = variant->send_items;
    exchange(e);
    show(e, variant->name, e->in.items, e->in.total);
    struct verdict verdict = check(e);
    if (verdict.right) {
        timing = timing_run(world, &opt.timing, e->most * sizeof(struct item), exchange, e);
        verdict = check(e);
    }
    add_row(world, e, variant, density, &timing, verdict.right);
    return verdict;
}

static enum status run(struct world *world)
{
    struct verdict verdict = { .right = true };
    size_t density = opt.density.from;
    char densities[64];

    do {
        struct exchange e;
        exchange_open(&e, world, density);
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
                verdict = verdict_both(verdict, run_variant(world, &e, &variants[i], density));
        exchange_close(&e);
    } while ((density = range_next(&opt.density, density)) > 0);

    program_fault(&world->program, opt.fault, verdict.right, "there are no items");
    if (!verdict.right)
        return program_verdict(&world->program, false, "%s", verdict.wrong);
    return program_verdict(&world->program, true, "items of %d rank%s, up to %zu of each, for %s "
                           "%% of the ranks: each item once, at its owner", world->size,
                           world->size == 1 ? "" : "s", opt.count,
                           range_text(&opt.density, densities));
}

/* Everything may go to one rank, and its displacements are int. */
static enum status check_limits(struct world *world)
{
    const bool in_bytes = arg_is(opt.variant, "w") || arg_is(opt.variant, "all");
    const size_t most = INT_MAX / (size_t)world->size / (in_bytes ? sizeof(struct item) : 1);

    if (opt.density.to > 100)
        return world_usage(world, "--density %zu: it is in percent: give at most 100",
                           opt.density.to);
    if (opt.count > most && in_bytes)
        return world_usage(world, "--count %zu: all may go to one rank, and displacements are int, "
                           "with --variant w in bytes: give at most %zu, or another variant",
                           opt.count, most);
    if (opt.count > most)
        return world_usage(world, "--count %zu: all may go to one rank, and displacements are int: "
                           "give at most %zu", opt.count, most);
    return PASS;
}

int main(int argc, char **argv)
{
    struct world world;
    enum status status = world_open(&world, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = check_limits(&world);
    if (status == PASS)
        status = world_agree(&world, program_plot(&world.program, &plot));
    if (status == PASS)
        status = run(&world);
    return world_close(&world, status);
}
