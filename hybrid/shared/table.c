/*
 * table - one table a node, in a window that its ranks share, or one table a rank
 *
 * Each rank looks up --count entries, at random places, in a table of --bytes that all of them
 * need:
 *
 *   shared  one table a node (MPI_Win_allocate_shared). Each rank fills its part of it, and then
 *           all of them read all of it, by plain loads
 *   each    one table a rank, as without such a window: each rank fills its own
 *
 * The table holds at each place a number that follows from the place, so every look-up is checked.
 * The memory behind the tables of a node is measured, and must be that of one table, or of one a
 * rank. It is the sum of what the system tells each rank of its table (proportional set size),
 * where a page that n processes share counts as one nth for each of them.
 *
 * What can go wrong: a window is memory, not a message. Nobody may read before the writer has
 * written, and both have said so: MPI_Win_sync, a barrier, MPI_Win_sync. --fault no_sync lets a
 * reader in before. And a window that is larger than the file system it lies in, /dev/shm, may be
 * given all the same, and ends the program by SIGBUS when it is touched; so the room is looked up
 * first.
 *
 * Run:     make run P=shared/table N=2 ARGS="--variant all"
 * Try:     --variant all on 2, 4, 8 ranks: the memory of the node
 * Try:     --variant all --bytes 64K, 1M, 1G: whose table stays in the caches?
 * Try:     --variant all --pages huge: what do misses in the page tables cost?
 * Test:    -n 1 -t 1 --variant all --bytes 16M --count 1000
 * Test:    -n 2 -t 3 --variant all --bytes 16M --count 1003 --seed 5
 * Test:    -n 3 -t 2 --variant all --bytes 1001 --count 7
 * Test:    -n 2 -t 1 --variant each --bytes 1M --count 0 --place none --pages huge
 * Test(1): -n 4 -t 1 --bytes 8 --count 1 --fault no_sync
 * Test(1): -n 2 -t 2 --fault no_sync
 * Test:    -n 2 -t 1 --bytes 0 --fault no_sync
 * Test(77): -n 1 --fault no_sync
 * Test(77): -n 2 --bytes 4096G
 * Test(2): -n 2 --variant each --fault no_sync
 * Test(2): -n 1 --threads 0
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/pss.h"
#include "hybrid/lib/room.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    size_t bytes, count, seed;
    int threads;
    const char *place, *variant, *pages, *fault;
    struct timing_options timing;
} opt = { .bytes = 64 << 20, .count = 1 << 18, .place = "balanced", .variant = "shared",
          .pages = "small", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "bytes", ARG_SIZE, &opt.bytes, "size of a table, of entries of 8 bytes",
      .max = (size_t)1 << 48 },
    { "count", ARG_SIZE, &opt.count, "look-ups of each rank" },
    { "variant", ARG_CHOICE, &opt.variant, "one table a node, or one a rank",
      .choices = "shared|each|all" },
    { "pages", ARG_CHOICE, &opt.pages, "pages of memory to ask for, for a table a rank",
      .choices = "small|huge" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "how to bind them", .choices = PLACE_CHOICES },
    { "seed", ARG_SIZE, &opt.seed, "other entries, other places" },
    { "fault", ARG_CHOICE, &opt.fault, "read what is not written yet", .choices = "no_sync" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct table {
    const struct world *world;
    struct place *place;
    const char *variant;
    uint64_t *entries;
    uint64_t size;    /* entries */
    MPI_Win window;   /* or MPI_WIN_NULL */
    uint64_t looked;  /* entries, in one pass */
    uint64_t wrong;   /* the least place that was found to be wrong, or UINT64_MAX */
    uint64_t found;   /* what was there */
    int unbound;      /* errno of a thread that could not be bound */
    double tables;    /* of this node */
    double memory;    /* behind these, in bytes; NAN: not known */
};

/* ---- Filling and looking up ---- */

/* Each thread of a region comes through here first: a new one may be among them. */
static struct block begin(struct table *t, uint64_t count)
{
    if (place_thread(t->place, omp_get_thread_num())) {
#pragma omp atomic write
        t->unbound = errno;
    }
    return block_of(count, (uint64_t)omp_get_num_threads(), (uint64_t)omp_get_thread_num());
}

static void fill(struct table *t, struct block part)
{
#pragma omp parallel num_threads(opt.threads)
    {
        const struct block my = begin(t, part.count);
        elements_fill(t->entries + part.start + my.start, part.start + my.start, my.count,
                      opt.seed);
    }
}

/* A place of the table, at random: the same for the same look-up. */
static uint64_t place_of(const struct table *t, uint64_t lookup)
{
    uint64_t bits = (lookup + opt.seed + 1) * UINT64_C(0x9e3779b97f4a7c15);

    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint64_t)(0x1p-53 * (double)(bits >> 11) * (double)t->size);
}

static void look_up(void *arg)
{
    struct table *const t = arg;
    const uint64_t lookups = t->size > 0 ? opt.count : 0; /* an empty table holds nothing */
    uint64_t wrong = UINT64_MAX, looked = 0;

#pragma omp parallel num_threads(opt.threads) reduction(min : wrong) reduction(+ : looked)
    {
        const struct block my = begin(t, lookups);
        const uint64_t first = (uint64_t)t->world->rank * lookups + my.start;
        for (uint64_t i = first; i < first + my.count; i++) {
            const uint64_t at = place_of(t, i);
            if (t->entries[at] != element(at, opt.seed) && at < wrong)
                wrong = at;
            looked++;
        }
    }
    t->looked = looked;
    if (wrong < t->wrong) {
        t->wrong = wrong;
        t->found = t->entries[wrong];
    }
}

/* ---- The two ways to have a table ---- */

/* What was stored before is there for all ranks of the node that come through here. */
static void pass_on(const struct table *t)
{
    MPI_Win_sync(t->window);
    MPI_Barrier(t->world->node_comm);
    MPI_Win_sync(t->window);
}

/* --fault no_sync: rank 0 of the node fills the table only when rank 1 says that it has read. */
static void fill_late(struct table *t)
{
    const struct world *const w = t->world;

    if (w->node_rank == 0) {
        memset(t->entries, 0, t->size * sizeof *t->entries);
        pass_on(t);
        if (w->node_size > 1)
            MPI_Recv(NULL, 0, MPI_BYTE, 1, 0, w->node_comm, MPI_STATUS_IGNORE);
        fill(t, (struct block){ 0, t->size });
    } else {
        pass_on(t);
        if (w->node_rank == 1) {
            look_up(t);
            MPI_Send(NULL, 0, MPI_BYTE, 0, 0, w->node_comm);
        }
    }
}

static void open_shared(struct table *t)
{
    const struct world *const w = t->world;
    MPI_Aint bytes = w->node_rank == 0 ? (MPI_Aint)(t->size * sizeof *t->entries) : 0;
    int unit = sizeof *t->entries;

    MPI_Win_allocate_shared(bytes, unit, MPI_INFO_NULL, w->node_comm, &t->entries, &t->window);
    MPI_Win_shared_query(t->window, 0, &bytes, &unit, &t->entries);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, t->window);
    if (arg_is(opt.fault, "no_sync"))
        fill_late(t);
    else
        fill(t, block_of(t->size, (uint64_t)w->node_size, (uint64_t)w->node_rank));
    pass_on(t);
    t->tables = 1;
}

static void open_each(struct table *t)
{
    const size_t bytes = t->size * sizeof *t->entries;

    t->entries = pages_alloc(bytes, arg_is(opt.pages, "huge"));
    if (!t->entries)
        world_abort(t->world, UNABLE, "no memory for a table of %zu bytes: give fewer --bytes",
                    bytes);
    fill(t, (struct block){ 0, t->size });
    t->tables = t->world->node_size;
}

/* Collective over the node. Known on its rank 0; NAN where the system does not tell. */
static double node_memory(const struct table *t)
{
    const struct world *const w = t->world;
    uint64_t mine;

    MPI_Barrier(w->node_comm); /* all have touched what they touch */
    const bool told = pss_bytes(t->entries, t->size * sizeof *t->entries, &mine) == 0;
    double bytes = told ? (double)mine : NAN, all = NAN;
    MPI_Reduce(&bytes, &all, 1, MPI_DOUBLE, MPI_SUM, 0, w->node_comm);
    MPI_Barrier(w->node_comm); /* nobody gives any back before all have asked */
    return all;
}

/* Collective. */
static void table_open(struct table *t, const struct world *w, struct place *place,
                       const char *variant)
{
    *t = (struct table){ .world = w, .place = place, .variant = variant, .window = MPI_WIN_NULL,
                         .wrong = UINT64_MAX,
                         .size = (opt.bytes + sizeof *t->entries - 1) / sizeof *t->entries };
    if (arg_is(variant, "shared"))
        open_shared(t);
    else
        open_each(t);
    look_up(t);
    t->memory = node_memory(t);
}

/* Collective. */
static void table_close(struct table *t)
{
    if (t->window == MPI_WIN_NULL) {
        pages_free(t->entries, t->size * sizeof *t->entries);
    } else {
        MPI_Win_unlock_all(t->window);
        MPI_Win_free(&t->window);
    }
}

/* ---- Checks and rows ---- */

/* Collective. Where a table is large against what else may lie beside it in its mapping. */
static struct verdict check_memory(const struct table *t)
{
    const double large = 16 << 20, wanted = t->tables * (double)opt.bytes;
    const bool wrong = (double)opt.bytes >= large && t->world->node_rank == 0 &&
                       (t->memory < 0.5 * wanted || t->memory > 1.5 * wanted);

    return verify_places(t->world, wrong ? (uint64_t)t->world->node : UINT64_MAX, "%s: %.0f "
                         "tables of node %d take %.1f MB of memory, not %.1f", t->variant,
                         t->tables, t->world->node, 1e-6 * t->memory, 1e-6 * wanted);
}

/* Collective. */
static struct verdict check(const struct table *t)
{
    const struct world *const w = t->world;
    const uint64_t lookups = t->size > 0 ? opt.count : 0;
    struct verdict verdict = verify_places(w, t->unbound ? 0 : UINT64_MAX, "%s: rank %d: a thread "
                                           "cannot be bound: %s", t->variant, w->rank,
                                           strerror(t->unbound));

    verdict = verdict_both(verdict, verify_places(w, t->looked == lookups ? UINT64_MAX : 0, "%s: "
                           "rank %d looked up %" PRIu64 " entries, not %" PRIu64, t->variant,
                           w->rank, t->looked, lookups));
    verdict = verdict_both(verdict, verify_places(w, t->wrong, "%s: rank %d found %" PRIu64 " at "
                           "place %" PRIu64 " of the table, not %" PRIu64, t->variant, w->rank,
                           t->found, t->wrong, element(t->wrong, opt.seed)));
    return verdict_both(verdict, check_memory(t));
}

/* Times are those of a pass: all ranks, each all of its look-ups, each of them checked. */
static void add_row(struct world *w, const struct table *t, const struct timing *timing, bool right)
{
    const double lookups = (double)t->looked * w->size;
    const bool is_timed = right && !opt.fault;
    struct record row = w->program.record;

    record_text(&row, "variant", t->variant);
    record_int(&row, "table_bytes", (int64_t)opt.bytes);
    record_int(&row, "tables_a_node", (int64_t)t->tables);
    record_real(&row, "node_memory_bytes", t->memory);
    record_int(&row, "count", (int64_t)opt.count);
    timing_fields(&row, timing, t->looked * sizeof *t->entries, is_timed);
    record_real(&row, "lookups_per_s", is_timed && !timing->as && lookups > 0
                                           ? lookups / timing->summary.median : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static enum status measure(struct world *w, struct table *tables, int variants)
{
    struct timing_case cases[2];
    struct timing timings[2] = { { .as = NULL } };
    struct verdict verdict = { .right = true };

    for (int i = 0; i < variants; i++)
        cases[i] = (struct timing_case){ look_up, &tables[i] };
    if (!opt.fault)
        timing_run_each(w, &opt.timing, opt.count * sizeof(uint64_t), cases, variants, timings);
    for (int i = 0; i < variants; i++) {
        const struct verdict of_variant = check(&tables[i]);
        add_row(w, &tables[i], &timings[i], of_variant.right);
        verdict = verdict_both(verdict, of_variant);
    }
    program_fault(&w->program, opt.fault, verdict.right, "nothing was looked up");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%" PRIu64 " look-ups of each of %d rank%s, each "
                           "found what belongs at its place", tables[0].looked, w->size,
                           w->size == 1 ? "" : "s");
}

static enum status run(struct world *w)
{
    static const char *const names[] = { "shared", "each" };
    struct table tables[2];
    struct place place;
    int variants = 0;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    for (int i = 0; i < 2; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, names[i]))
            table_open(&tables[variants++], w, &place, names[i]);
    const enum status status = measure(w, tables, variants);
    for (int i = 0; i < variants; i++)
        table_close(&tables[i]);
    place_close(&place);
    return status;
}

static enum status check_options(const struct world *w)
{
    const bool all = arg_is(opt.variant, "all"), shared = arg_is(opt.variant, "shared");

    if (opt.fault && !shared)
        return world_usage(w, "--fault %s: a mistake with a shared table: give --variant shared",
                           opt.fault);
    if (opt.fault && w->most_ranks_on_a_node < 2) {
        if (w->rank == 0)
            program_error("--fault %s: a reader and a writer are needed: 2 ranks on one node",
                          opt.fault);
        return UNABLE;
    }
    return room_for(w, shared ? 0 : opt.bytes, all || shared ? opt.bytes : 0);
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS)
        status = check_options(&w);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
