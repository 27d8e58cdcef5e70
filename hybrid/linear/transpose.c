/*
 * transpose - B is A with rows and columns exchanged, on ranks that have some rows of each
 *
 * A and B are n x n. Each rank has a block of rows of both, so all but one block of what it needs
 * for its rows of B lies in the other ranks' rows of A:
 *
 *   alltoall  each rank transposes what every other one needs into a buffer, MPI_Alltoallv moves
 *             it, and its rows are copied to where they belong
 *   pairwise  the same by MPI_Sendrecv, one partner after the other: buffers of one block alone
 *   shared    the ranks of a node have A in one window and read each other's blocks where they are;
 *             with ranks of other nodes it goes pairwise
 *
 * Threads share out the rows of B. All three go through memory by tiles (hybrid/lib/tile.h): one of
 * A and B is walked across its rows, and a plain loop would use 8 bytes of every 64 that it
 * fetches.
 *
 * 16 bytes are counted an element, one reading and one writing; --roofline tells the share of what
 * the triad gives at the same time.
 *
 * What can go wrong: n that the ranks do not divide (blocks are uneven here); to read in the window
 * before its owner has written (--fault no_wait), or to write while others still read.
 *
 * Run:     make run P=transpose N=2 ARGS="--variant all --roofline --n 4096"
 * Try:     --n 4095, 4096, 4097 --variant shared: who fears powers of 2?
 * Try:     -n 1 -t 2, then -n 2 -t 1
 * Test:    -n 1 -t 1 --variant all --n 100
 * Test:    -n 2 -t 2 --variant all --n 129
 * Test:    -n 3 -t 1 --variant all --n 1000
 * Test:    -n 4 -t 3 --variant all --n 67 --roofline --iterations 2
 * Test:    -n 3 -t 2 --variant all --n 2
 * Test:    -n 2 -t 1 --variant all --n 0
 * Test:    -n 1 -t 3 --variant all --n 1
 * Test(1): -n 2 -t 1 --fault no_wait --n 100
 * Test:    -n 1 -t 1 --fault no_wait --n 100
 * Test(2): -n 1 --threads 0
 * Test(2): -n 1 --variant columns
 * Test(77): -n 1 --n 3M
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/roof.h"
#include "hybrid/lib/room.h"
#include "hybrid/lib/tile.h"
#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    size_t n;
    int threads;
    const char *variant, *place, *fault;
    bool roofline;
    struct timing_options timing;
} opt = { .n = 1000, .variant = "shared", .place = "balanced", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "rows, and columns, of the matrices" },
    { "variant", ARG_CHOICE, &opt.variant, "how blocks travel",
      .choices = "alltoall|pairwise|shared|all" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "where they run", .choices = PLACE_CHOICES },
    { "roofline", ARG_FLAG, &opt.roofline, "measure what memory can give, and compare" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "no_wait" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct matrices {
    const struct world *world;
    struct place *place;
    struct block rows;    /* of this rank */
    double *a, *b;        /* rows.count x n */
    double *out, *in;     /* buffers for blocks, as many elements */
    MPI_Win window;       /* of A on this node */
    const double **peers; /* A of each rank of the job, NULL on other nodes */
    int *counts, *starts, *in_counts, *in_starts;
};

static struct block rows_of(const struct matrices *m, int rank)
{
    return block_of(opt.n, (uint64_t)m->world->size, (uint64_t)rank);
}

/* This thread's part of `count` rows, in whole tiles, so that no line has two writers. */
static struct block my_rows(struct matrices *m, uint64_t count)
{
    enum { TILE = 8 };
    const int thread = omp_get_thread_num();
    struct block part;

    place_thread(m->place, thread);
    part = block_of((count + TILE - 1) / TILE, (uint64_t)omp_get_num_threads(), (uint64_t)thread);
    part.start *= TILE;
    part.count = part.count * TILE;
    if (part.start + part.count > count)
        part.count = count > part.start ? count - part.start : 0;
    return part;
}

/* ---- Blocks ---- */

/* What rank `to` needs of ours: its rows, our columns. */
static void pack(struct matrices *m, int to, double *buffer)
{
    const struct block theirs = rows_of(m, to), part = my_rows(m, theirs.count);

    tile_transpose(buffer + part.start * m->rows.count, m->rows.count,
                   m->a + theirs.start + part.start, opt.n, m->rows.count, part.count);
}

static void unpack(struct matrices *m, int from, const double *buffer)
{
    const struct block theirs = rows_of(m, from), part = my_rows(m, m->rows.count);

    for (uint64_t i = part.start; i < part.start + part.count; i++)
        memcpy(m->b + i * opt.n + theirs.start, buffer + i * theirs.count,
               theirs.count * sizeof *buffer);
}

/* From rank `from`'s A, which is in reach. */
static void fetch(struct matrices *m, int from)
{
    const struct block theirs = rows_of(m, from), part = my_rows(m, m->rows.count);

    tile_transpose(m->b + part.start * opt.n + theirs.start, opt.n,
                   m->peers[from] + m->rows.start + part.start, opt.n, theirs.count, part.count);
}

/* ---- Variants ---- */

static void alltoall(void *arg)
{
    struct matrices *const m = arg;

#pragma omp parallel num_threads(opt.threads)
    for (int to = 0; to < m->world->size; to++)
        pack(m, to, m->out + m->starts[to]);
    MPI_Alltoallv(m->out, m->counts, m->starts, MPI_DOUBLE, m->in, m->in_counts, m->in_starts,
                  MPI_DOUBLE, m->world->comm);
#pragma omp parallel num_threads(opt.threads)
    for (int from = 0; from < m->world->size; from++)
        unpack(m, from, m->in + m->in_starts[from]);
}

/* With every rank, or with those of other nodes. */
static void exchange(struct matrices *m, bool all)
{
    const int size = m->world->size, rank = m->world->rank;

    for (int step = 0; step < size; step++) {
        const int to = (rank + step) % size, from = (rank - step + size) % size;
        const bool gives = all || !m->peers[to], takes = all || !m->peers[from];
        if (gives) {
#pragma omp parallel num_threads(opt.threads)
            pack(m, to, m->out);
        }
        MPI_Sendrecv(m->out, gives ? m->counts[to] : 0, MPI_DOUBLE, gives ? to : MPI_PROC_NULL, 0,
                     m->in, takes ? m->in_counts[from] : 0, MPI_DOUBLE, takes ? from : MPI_PROC_NULL,
                     0, m->world->comm, MPI_STATUS_IGNORE);
        if (takes) {
#pragma omp parallel num_threads(opt.threads)
            unpack(m, from, m->in);
        }
    }
}

static void pairwise(void *arg)
{
    exchange(arg, true);
}

/* All ranks of the node have written before anybody reads, and have read before anybody writes. */
static void meet(struct matrices *m)
{
    MPI_Win_sync(m->window);
    MPI_Barrier(m->world->node_comm);
    MPI_Win_sync(m->window);
}

static void fetch_node(struct matrices *m)
{
#pragma omp parallel num_threads(opt.threads)
    for (int step = 0; step < m->world->size; step++) {
        const int from = (m->world->rank + step) % m->world->size; /* not all of one at once */
        if (m->peers[from])
            fetch(m, from);
    }
}

static void shared(void *arg)
{
    struct matrices *const m = arg;

    meet(m);
    fetch_node(m);
    if (m->world->nodes > 1)
        exchange(m, false);
    meet(m);
}

static const struct variant {
    const char *name;
    void (*run)(void *matrices);
} variants[] = { { "alltoall", alltoall }, { "pairwise", pairwise }, { "shared", shared } };
enum { VARIANTS = sizeof variants / sizeof *variants };

/* ---- The matrices ---- */

static double a_at(uint64_t i, uint64_t j)
{
    return (double)(i * opt.n + j + 1);
}

/* Each thread the rows that it will work on; B is none of its values. */
static void fill(struct matrices *m)
{
#pragma omp parallel num_threads(opt.threads)
    {
        const struct block part = my_rows(m, m->rows.count);
        for (uint64_t i = part.start; i < part.start + part.count; i++)
            for (uint64_t j = 0; j < opt.n; j++) {
                m->a[i * opt.n + j] = a_at(m->rows.start + i, j);
                m->b[i * opt.n + j] = 0;
            }
    }
}

static struct verdict check(struct matrices *m, const char *variant)
{
    uint64_t wrong = UINT64_MAX;

#pragma omp parallel for schedule(static) num_threads(opt.threads) reduction(min : wrong)
    for (uint64_t at = 0; at < m->rows.count * opt.n; at++)
        if (m->b[at] != a_at(at % opt.n, m->rows.start + at / opt.n) && at < wrong)
            wrong = at;
    const uint64_t i = wrong == UINT64_MAX ? 0 : m->rows.start + wrong / opt.n;
    const uint64_t j = wrong == UINT64_MAX ? 0 : wrong % opt.n;
    return verify_places(m->world, wrong == UINT64_MAX ? wrong : i * opt.n + j, "%s: B(%" PRIu64 ",%"
                         PRIu64 ") is %.17g, not %.17g, which is A(%" PRIu64 ",%" PRIu64 ")", variant,
                         i, j, wrong == UINT64_MAX ? 0 : m->b[wrong], a_at(j, i), j, i);
}

static void open_counts(struct matrices *m)
{
    const struct world *const w = m->world;
    const size_t size = (size_t)w->size;
    int out = 0, in = 0;

    m->counts = world_alloc(w, 4 * size, sizeof *m->counts);
    m->starts = m->counts + size;
    m->in_counts = m->starts + size;
    m->in_starts = m->in_counts + size;
    for (int rank = 0; rank < w->size; rank++) {
        const int count = (int)(rows_of(m, rank).count * m->rows.count);
        m->counts[rank] = m->in_counts[rank] = count;
        m->starts[rank] = out;
        m->in_starts[rank] = in;
        out += count;
        in += count;
    }
}

/* Where the A of every rank of this node is. */
static void open_window(struct matrices *m)
{
    const struct world *const w = m->world;
    const MPI_Aint bytes = (MPI_Aint)(m->rows.count * opt.n * sizeof(double));
    MPI_Group all, node;

    MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, w->node_comm, &m->a, &m->window);
    MPI_Win_lock_all(MPI_MODE_NOCHECK, m->window);
    m->peers = world_alloc(w, (size_t)w->size, sizeof *m->peers);
    MPI_Comm_group(w->comm, &all);
    MPI_Comm_group(w->node_comm, &node);
    for (int rank = 0; rank < w->size; rank++) {
        MPI_Aint size;
        int on_node, unit;
        void *base = NULL;
        MPI_Group_translate_ranks(all, 1, &rank, node, &on_node);
        if (on_node != MPI_UNDEFINED)
            MPI_Win_shared_query(m->window, on_node, &size, &unit, &base);
        m->peers[rank] = base;
    }
    MPI_Group_free(&node);
    MPI_Group_free(&all);
}

static double *open_pages(const struct world *w, uint64_t count)
{
    double *const pages = pages_alloc(count * sizeof *pages, true);

    if (!pages)
        world_abort(w, UNABLE, "no memory for %" PRIu64 " elements: give a smaller --n", count);
    return pages;
}

static void open_matrices(struct matrices *m, const struct world *w, struct place *place)
{
    *m = (struct matrices){ .world = w, .place = place };
    m->rows = rows_of(m, w->rank);
    const uint64_t count = m->rows.count * opt.n;
    open_counts(m);
    open_window(m);
    m->b = open_pages(w, count);
    m->out = open_pages(w, count);
    m->in = open_pages(w, count);
    fill(m);
}

static void close_matrices(struct matrices *m)
{
    const size_t bytes = m->rows.count * opt.n * sizeof(double);

    pages_free(m->in, bytes);
    pages_free(m->out, bytes);
    pages_free(m->b, bytes);
    free(m->peers);
    free(m->counts);
    MPI_Win_unlock_all(m->window);
    MPI_Win_free(&m->window);
}

/* --fault no_wait: rank 0 reads before the others have written. */
static struct verdict run_fault(struct matrices *m)
{
    const struct world *const w = m->world;

    if (w->rank > 0)
        memset(m->a, 0, m->rows.count * opt.n * sizeof *m->a);
    meet(m);
    if (w->rank == 0)
        fetch_node(m);
    meet(m);
    if (w->rank > 0)
        fill(m);
    meet(m);
    if (w->rank > 0)
        fetch_node(m);
    if (w->nodes > 1)
        exchange(m, false);
    return check(m, "no_wait");
}

/* ---- Rows of the report ---- */

static bool is_chosen(const struct variant *variant)
{
    return arg_is(opt.variant, "all") || arg_is(opt.variant, variant->name);
}

static void add_row(struct world *w, const char *variant, const struct timing *timing, double limit,
                    bool right)
{
    const double bytes = 16.0 * (double)opt.n * (double)opt.n;
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    struct record row = w->program.record;

    record_text(&row, "variant", variant);
    record_int(&row, "n", (int64_t)opt.n);
    timing_fields(&row, timing, (uint64_t)bytes, right && opt.n > 0);
    record_real(&row, "limit_bytes_per_s", limit);
    record_real(&row, "limit_fraction", right && secs > 0 ? bytes / secs / limit : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

/* Each variant once, checked; then all in turns, with the limit if it is asked for; then
 * checked. */
static struct verdict compare(struct world *w, struct matrices *m)
{
    struct timing_case cases[VARIANTS + 1];
    struct timing timings[VARIANTS + 1];
    const char *names[VARIANTS];
    struct verdict all = { .right = true };
    struct roof roof;
    double bytes_per_s = NAN;
    int count = 0;

    for (int i = 0; i < VARIANTS; i++)
        if (is_chosen(&variants[i])) {
            memset(m->b, 0, m->rows.count * opt.n * sizeof *m->b);
            variants[i].run(m);
            all = verdict_both(all, check(m, variants[i].name));
            cases[count] = (struct timing_case){ variants[i].run, m };
            names[count++] = variants[i].name;
        }
    if (opt.roofline) {
        roof_open(&roof, w, m->place);
        cases[count] = (struct timing_case){ roof_triad, &roof };
    }
    timing_run_each(w, &opt.timing, 16 * opt.n * opt.n, cases, count + opt.roofline, timings);
    if (opt.roofline) {
        roof_close(&roof);
        bytes_per_s = roof_bytes(w) / (timings[count].as ? timings[count].quoted
                                                         : timings[count].summary.median);
    }
    all = verdict_both(all, check(m, "what was measured"));
    for (int i = 0; i < count; i++)
        add_row(w, names[i], &timings[i], bytes_per_s, all.right);
    return all;
}

static enum status run(struct world *w)
{
    struct matrices matrices;
    struct place place;
    struct verdict verdict;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    open_matrices(&matrices, w, &place);
    if (opt.fault) {
        const struct timing none = { .slowest_rank = -1 };
        verdict = run_fault(&matrices);
        add_row(w, opt.fault, &none, NAN, verdict.right);
        program_fault(&w->program, opt.fault, verdict.right, "there is nobody to wait for");
    } else {
        verdict = compare(w, &matrices);
    }
    close_matrices(&matrices);
    place_close(&place);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu x %zu elements, each where its row and column say, "
                           "on %d ranks of %d threads", opt.n, opt.n, w->size, opt.threads);
}

/* A of the node's ranks in their window, B and two buffers of each in its own memory. */
static enum status check_room(const struct world *w)
{
    const uint64_t rows = block_of(opt.n, (uint64_t)w->size, (uint64_t)w->rank).count;
    const uint64_t own = rows * opt.n * sizeof(double);
    uint64_t window;

    MPI_Allreduce(&own, &window, 1, MPI_UINT64_T, MPI_SUM, w->node_comm);
    return room_for(w, 3 * own, window);
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    const uint64_t rows = opt.n / (uint64_t)w.size + 1;
    if (status == PASS && (opt.n > UINT32_MAX || rows * opt.n > INT_MAX)) {
        if (w.rank == 0)
            program_error("--n %zu: a rank's part has more elements than MPI can count: start more "
                          "ranks", opt.n);
        status = UNABLE;
    }
    if (status == PASS)
        status = check_room(&w);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
