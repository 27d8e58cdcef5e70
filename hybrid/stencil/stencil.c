/*
 * stencil - a field steps through time on ranks and threads, and their edges travel in eight ways
 *
 * Each point of an n x n field becomes a weighted mean of itself and of the --radius points next to
 * it in four directions (a star). The field is cut into parts among the ranks, so before each step
 * a rank needs the outermost rows and columns, the edges, of its neighbours' parts:
 *
 *   flat        ranks alone, one thread each: receive, send, wait, compute
 *   masteronly  threads compute; between parallel regions the main thread exchanges edges
 *   funneled    one parallel region: while the main thread waits for edges, the others compute the
 *               inner points, that need none; then all compute what is left
 *   serialized  any thread may call MPI, one at a time: the first to arrive sends, the first to run
 *               out of inner points waits
 *   multiple    each thread exchanges the edges of its own rows (MPI_THREAD_MULTIPLE)
 *   tasks       bands of rows are tasks; what must come first is written down (depend), and no
 *               barrier separates the steps
 *   shared      ranks of a node lie in one MPI-3 shared window: an edge is read where it is, and
 *               only between nodes there are messages
 *   pthreads    as funneled, with a team of our own instead of OpenMP's
 *
 * All give the same bits. A field that is linear has a known result, which is compared at every
 * point, before and after the measurement; a rough one is compared with a serial loop, wholly where
 * it is small, otherwise in squares at the corners and in the middle of each part.
 *
 * A step moves 16 bytes a point where the field is larger than the caches and stores go past them,
 * 24 with ordinary stores, which read a line before they write it. --roofline measures, in turns
 * with the variants, what memory can give (triad), and tells the share that is reached. The waiting
 * is the share of the threads' time that is not spent in the kernel.
 *
 * What can go wrong: to compute a point before its edges are there (--fault early); to send to all
 * neighbours before receiving from any (--fault blocking: it hangs, today or with larger edges).
 *
 * With --checkpoint FILE one run is done, up to --steps, and the field saved in FILE at its end,
 * every so many steps, and when any rank gets SIGUSR1: then all stop at one step, with status 75.
 * --restart goes on from there, on any number of ranks, to the same bits. --image draws the field.
 *
 * Run:     make run P=stencil N=2 T=1 ARGS="--variant all"
 * Try:     -n 1 -t 2, then -n 2 -t 1, --variant all --roofline --n 4000: do threads beat ranks?
 * Try:     --variant all --n 100 --steps 1000: what does an exchange cost?
 * Try:     --fault early: which point is the first wrong one?
 * Try:     --field rough --n 400 --steps 300 --image field.png, and with other radii
 * Try:     --n 2000 --steps 100000 --checkpoint field, and kill -USR1 one rank; then --restart
 * Test:    -n 1 -t 1 --variant all --n 100
 * Test:    -n 2 -t 2 --variant all --n 61 --radius 3 --steps 7
 * Test:    -n 3 -t 1 --variant all --n 97 --radius 5
 * Test:    -n 1 -t 3 --variant all --n 50
 * Test:    -n 4 -t 2 --variant all --n 53 --node-ranks 2
 * Test:    -n 3 -t 3 --variant all --n 40 --steps 5 --node-ranks 1
 * Test:    -n 4 -t 1 --variant all --n 5 --steps 3
 * Test:    -n 2 -t 1 --variant all --n 0
 * Test:    -n 2 -t 1 --variant all --n 1 --radius 7
 * Test:    -n 2 -t 2 --steps 0
 * Test:    -n 2 -t 1 --variant shared --n 1500 --steps 3 --iterations 3 --roofline
 * Test(1): -n 2 -t 1 --fault early --n 50
 * Test:    -n 1 -t 1 --fault early --n 50
 * Test(3): -n 2 -t 1 --fault blocking --n 50 --limit 0.3
 * Test(3): -n 4 -t 1 --fault blocking --n 50 --limit 0.3
 * Test(2): --radius 0
 * Test(2): --radius 33
 * Test(2): --threads 0
 * Test(2): --variant overlap
 * Test(2): --restart
 * Test(2): --variant all --checkpoint /tmp/field
 * Test(2): --checkpoint hybrid/stencil/stencil.c --restart
 * Test(77): -n 2 -t 1 --n 4000000
 * Test(77): -n 1 -t 1 --n 1073741824 --steps 0
 * Test(2): --checkpoint /nonexistent/field
 * Test(2): --checkpoint /dev/null
 * Test(2): --checkpoint same.png --image same.png
 * Test(2): --image field.jpg
 * Test(2): --image field.png --field rough --steps 100000
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/checkpoint.h"
#include "hybrid/lib/crew.h"
#include "hybrid/lib/picture.h"
#include "hybrid/lib/plane.h"
#include "hybrid/lib/roof.h"
#include "hybrid/lib/room.h"
#include "local/lib/clock.h"
#include "local/lib/file.h"
#include "local/lib/image.h"
#include "local/lib/size.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/timing.h"

static struct {
    size_t n, steps, seed;
    int radius, threads, node_ranks;
    const char *variant, *place, *fault;
    double limit;
    bool roofline, restart;
    const char *field, *checkpoint, *image;
    size_t checkpoint_every;
    struct timing_options timing;
} opt = { .n = 1000, .steps = 10, .radius = 2, .node_ranks = INT_MAX, .variant = "funneled",
          .place = "balanced", .limit = 2, .field = "linear", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "rows, and columns, of the field" },
    { "radius", ARG_INT, &opt.radius, "points in each direction that a point needs",
      .min = 1, .max = STAR_RADIUS_MOST },
    { "steps", ARG_SIZE, &opt.steps, "steps of one run" },
    { "variant", ARG_CHOICE, &opt.variant, "how edges travel", .choices =
      "flat|masteronly|funneled|serialized|multiple|tasks|shared|pthreads|all" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "where they run", .choices = PLACE_CHOICES },
    { "node-ranks", ARG_INT, &opt.node_ranks, "shared: ranks that share a window at most",
      .min = 1 },
    { "seed", ARG_SIZE, &opt.seed, "another rough field" },
    { "field", ARG_CHOICE, &opt.field, "with --checkpoint or --image: the field",
      .choices = "linear|rough" },
    { "checkpoint", ARG_FILE, &opt.checkpoint,
      "run the steps once, and save the field in this file" },
    { "checkpoint-every", ARG_SIZE, &opt.checkpoint_every,
      "save it after so many steps; 0: at the end, and on SIGUSR1" },
    { "restart", ARG_FLAG, &opt.restart, "go on from that file, up to --steps" },
    { "image", ARG_FILE, &opt.image, "run the steps once, and draw the field into this PNG file" },
    { "roofline", ARG_FLAG, &opt.roofline, "measure what memory can give, and compare" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose, instead of a variant",
      .choices = "early|blocking" },
    { "limit", ARG_SECS, &opt.limit, "after which a deadlock ends with status 3" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

enum { REQUESTS = 2 * PLANE_SIDES };

struct worker {
    _Alignas(LINE_BYTES) int64_t busy_ns; /* in the kernel */
};

struct run {
    const struct world *world;
    struct plane *plane;
    struct place *place;
    const struct variant *variant;
    uint64_t steps;
    struct verdict verdict;
    struct worker *workers;
    int64_t elapsed_ns, total_ns;   /* in the steps: of late, and of all times */
    atomic_int unbound;              /* threads that could not be bound */
    MPI_Request requests[REQUESTS];  /* serialized: of whoever sent */
    int request_count;
    struct stall stall;              /* --fault blocking */
};

/* ---- What all variants do ---- */

static struct block all_rows(const struct run *run)
{
    return (struct block){ 0, run->plane->rows.count };
}

static struct block all_columns(const struct run *run)
{
    return (struct block){ 0, run->plane->columns.count };
}

/* The rows that one of some threads, or bands, has for its own. */
static struct block share(const struct run *run, int parts, int part)
{
    return block_of(run->plane->rows.count, (uint64_t)parts, (uint64_t)part);
}

/* So many of `wanted` shares that each is as thick as an edge. */
static int thick_shares(const struct run *run, int wanted)
{
    const uint64_t most = run->plane->rows.count / (uint64_t)opt.radius;

    return most < 1 ? 1 : most < (uint64_t)wanted ? (int)most : wanted;
}

static struct block both(struct block a, struct block b)
{
    const uint64_t start = a.start > b.start ? a.start : b.start;
    const uint64_t a_end = a.start + a.count, b_end = b.start + b.count;
    const uint64_t end = a_end < b_end ? a_end : b_end;

    return (struct block){ start, end > start ? end - start : 0 };
}

/* The calling thread's first act in each region: a new one begins where the main one runs. */
static int enter(struct run *run)
{
    const int thread = omp_get_thread_num();

    if (place_thread(run->place, thread))
        atomic_fetch_add(&run->unbound, 1);
    return thread;
}

static void compute(struct run *run, int thread, uint64_t step, struct block rows,
                    struct block columns)
{
    const int64_t begin = clock_ns();

    plane_compute(run->plane, step, rows, columns);
    run->workers[thread].busy_ns += clock_ns() - begin;
}

/* Of some rows the points that need no edge, and the others. */
static void compute_inner(struct run *run, int thread, uint64_t step, struct block rows)
{
    compute(run, thread, step, both(rows, plane_inner_rows(run->plane)),
            plane_inner_columns(run->plane));
}

static void compute_rim(struct run *run, int thread, uint64_t step, struct block rows)
{
    const struct block inner = plane_inner_rows(run->plane);
    const struct block columns = plane_inner_columns(run->plane), all = all_columns(run);
    const uint64_t below = inner.start + inner.count, right = columns.start + columns.count;

    compute(run, thread, step, both(rows, (struct block){ 0, inner.start }), all);
    compute(run, thread, step, both(rows, inner), (struct block){ 0, columns.start });
    compute(run, thread, step, both(rows, inner), (struct block){ right, all.count - right });
    compute(run, thread, step,
            both(rows, (struct block){ below, run->plane->rows.count - below }), all);
}

/* Asks the neighbours for the edges beside `rows`, and sends them ours. Where there is no neighbour
 * it is MPI_PROC_NULL: a call that does nothing. Returns the number of requests. */
static int start_edges(const struct plane *p, uint64_t step, struct block rows, int tag,
                       const int neighbors[PLANE_SIDES], MPI_Request requests[REQUESTS])
{
    const int radius = p->star.radius, count = (int)rows.count;
    const ptrdiff_t row = (ptrdiff_t)rows.start, bottom = (ptrdiff_t)p->rows.count;
    const ptrdiff_t right = (ptrdiff_t)p->columns.count;
    const int to_left = neighbors[PLANE_LEFT], to_right = neighbors[PLANE_RIGHT];
    const int to_up = neighbors[PLANE_UP], to_down = neighbors[PLANE_DOWN];
    MPI_Request *r = requests;

    MPI_Irecv(plane_at(p, step, row, -radius), count, p->column_edge, to_left, tag, p->comm, r++);
    MPI_Irecv(plane_at(p, step, row, right), count, p->column_edge, to_right, tag, p->comm, r++);
    MPI_Isend(plane_at(p, step, row, 0), count, p->column_edge, to_left, tag, p->comm, r++);
    MPI_Isend(plane_at(p, step, row, right - radius), count, p->column_edge, to_right, tag,
              p->comm, r++);
    if (row == 0) {
        MPI_Irecv(plane_at(p, step, -radius, 0), radius, p->row_edge, to_up, 0, p->comm, r++);
        MPI_Isend(plane_at(p, step, 0, 0), radius, p->row_edge, to_up, 0, p->comm, r++);
    }
    if (row + (ptrdiff_t)rows.count == bottom) {
        MPI_Irecv(plane_at(p, step, bottom, 0), radius, p->row_edge, to_down, 0, p->comm, r++);
        MPI_Isend(plane_at(p, step, bottom - radius, 0), radius, p->row_edge, to_down, 0, p->comm,
                  r++);
    }
    return (int)(r - requests);
}

static void exchange(const struct run *run, uint64_t step)
{
    MPI_Request requests[REQUESTS];
    const int count = start_edges(run->plane, step, all_rows(run), 0, run->plane->neighbors,
                                  requests);

    MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
}

/* ---- The variants: each does steps from `first` to `end` - 1 ---- */

static void flat(struct run *run, uint64_t first, uint64_t end)
{
    if (place_thread(run->place, 0))
        atomic_fetch_add(&run->unbound, 1);
    for (uint64_t step = first; step < end; step++) {
        exchange(run, step);
        compute(run, 0, step, all_rows(run), all_columns(run));
    }
}

static void compute_by_threads(struct run *run, uint64_t step)
{
#pragma omp parallel num_threads(run->place->threads)
    {
        const int thread = enter(run);
        compute(run, thread, step, share(run, omp_get_num_threads(), thread), all_columns(run));
    }
}

static void masteronly(struct run *run, uint64_t first, uint64_t end)
{
    for (uint64_t step = first; step < end; step++) {
        exchange(run, step);
        compute_by_threads(run, step);
    }
}

enum { BANDS_A_THREAD = 8 };

static void funneled(struct run *run, uint64_t first, uint64_t end)
{
    const int bands = thick_shares(run, BANDS_A_THREAD * run->place->threads);

#pragma omp parallel num_threads(run->place->threads)
    {
        const int thread = enter(run), threads = omp_get_num_threads();
        MPI_Request requests[REQUESTS];
        int count = 0;

        for (uint64_t step = first; step < end; step++) {
            if (thread == 0)
                count = start_edges(run->plane, step, all_rows(run), 0, run->plane->neighbors,
                                    requests);
            if (thread == 0 && threads > 1) /* the others have begun with the inner points */
                MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
#pragma omp for schedule(dynamic) nowait
            for (int band = 0; band < bands; band++)
                compute_inner(run, thread, step, share(run, bands, band));
            if (thread == 0 && threads == 1)
                MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
#pragma omp barrier
            compute_rim(run, thread, step, share(run, threads, thread));
#pragma omp barrier
        }
    }
}

static void serialized(struct run *run, uint64_t first, uint64_t end)
{
    const int bands = thick_shares(run, BANDS_A_THREAD * run->place->threads);

#pragma omp parallel num_threads(run->place->threads)
    {
        const int thread = enter(run), threads = omp_get_num_threads();

        for (uint64_t step = first; step < end; step++) {
#pragma omp single nowait
            run->request_count = start_edges(run->plane, step, all_rows(run), 0,
                                             run->plane->neighbors, run->requests);
#pragma omp for schedule(dynamic)
            for (int band = 0; band < bands; band++)
                compute_inner(run, thread, step, share(run, bands, band));
#pragma omp single
            MPI_Waitall(run->request_count, run->requests, MPI_STATUSES_IGNORE);
            compute_rim(run, thread, step, share(run, threads, thread));
#pragma omp barrier
        }
    }
}

static void multiple(struct run *run, uint64_t first, uint64_t end)
{
    /* Each thread's rows are as thick as an edge, so the first alone needs the one above, and the
     * last the one below; neighbours to the left and right have as many rows, cut alike. */
    const int most = thick_shares(run, run->place->threads);

#pragma omp parallel num_threads(run->place->threads)
    {
        const int thread = enter(run), threads = omp_get_num_threads();
        const int sharers = threads < most ? threads : most;
        const struct block rows = share(run, sharers, thread < sharers ? thread : 0);
        MPI_Request requests[REQUESTS];

        for (uint64_t step = first; step < end; step++) {
            if (thread < sharers) {
                const int count = start_edges(run->plane, step, rows, thread,
                                              run->plane->neighbors, requests);
                compute_inner(run, thread, step, rows);
                MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
                compute_rim(run, thread, step, rows);
            }
#pragma omp barrier
        }
    }
}

static void tasks(struct run *run, uint64_t first, uint64_t end)
{
    const int bands = thick_shares(run, BANDS_A_THREAD / 2 * run->place->threads);
    const bool sides = run->plane->parts[1] > 1;
    const int every = sides || bands == 1 ? 1 : bands - 1; /* else the outermost bands are sent */
    /* What depend() speaks of: in either field each band, with one more on both sides that nobody
     * writes, and the edges. */
    char *const tokens = world_alloc(run->world, 2 * ((size_t)bands + 3), 1);

#pragma omp parallel num_threads(run->place->threads)
    {
        enter(run);
#pragma omp single
#pragma omp task /* libgomp frees what it knows of dependences with the task that has children */
        for (uint64_t step = first; step < end; step++) {
            char *const in = tokens + 1 + step % 2 * ((size_t)bands + 3);
            char *const out = tokens + 1 + (step + 1) % 2 * ((size_t)bands + 3);
            char *const edges = in + bands + 1;
            (void)out, (void)every; /* gcc 12 does not count depend() as a use */

            /* Whoever waits here has sent before: of all ranks that wait, those in the earliest
             * step have all they wait for under way. So no order of tasks leads to a deadlock. */
#pragma omp task depend(iterator(int i = 0 : bands : every), in : in[i]) depend(out : *edges)
            exchange(run, step);
            for (int band = 0; band < bands; band++) {
#pragma omp task depend(in : in[band - 1], in[band], in[band + 1]) depend(out : out[band])
                compute_inner(run, omp_get_thread_num(), step, share(run, bands, band));
#pragma omp task depend(in : in[band - 1], in[band], in[band + 1], *edges) depend(inout : out[band])
                compute_rim(run, omp_get_thread_num(), step, share(run, bands, band));
            }
        }
    }
    free(tokens);
}

/* Copies the edges of those who share memory, and exchanges messages with the others. */
static void exchange_shared(struct run *run, uint64_t step)
{
    struct plane *const p = run->plane;
    MPI_Request requests[REQUESTS];
    int others[PLANE_SIDES], done;

    plane_announce(p, step);
    for (int side = 0; side < PLANE_SIDES; side++)
        others[side] = p->peers[side].step ? MPI_PROC_NULL : p->neighbors[side];
    const int count = start_edges(p, step, all_rows(run), 0, others, requests);
    for (enum plane_side side = 0; side < PLANE_SIDES; side++) {
        if (!p->peers[side].step)
            continue;
        for (unsigned looks = 0; !plane_peer_ready(p, side, step); looks++) {
            line_wait(looks);
            if (looks % 256 == 255) /* messages of ours may need it to make their way */
                MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
        }
        plane_copy_edge(p, side, step);
    }
    MPI_Waitall(count, requests, MPI_STATUSES_IGNORE);
}

/* A neighbour reads our points of `step` - 1 in its own step `step` - 1. It has ended that when it
 * announces `step`, and only then we write over them: one number a rank is all that is needed. */
static void shared(struct run *run, uint64_t first, uint64_t end)
{
    for (uint64_t step = first; step < end; step++) {
        exchange_shared(run, step);
        compute_by_threads(run, step);
    }
}

struct voyage { /* of the crew */
    struct run *run;
    uint64_t first, end;
};

static void crew_steps(void *arg, struct crew *crew, int thread)
{
    const struct voyage *const voyage = arg;
    struct run *const run = voyage->run;
    const struct block rows = share(run, crew->threads, thread);

    for (uint64_t step = voyage->first; step < voyage->end; step++) {
        if (thread == 0)
            exchange(run, step);
        compute_inner(run, thread, step, rows);
        crew_wait(crew);
        compute_rim(run, thread, step, rows);
        crew_wait(crew);
    }
}

static void pthreads(struct run *run, uint64_t first, uint64_t end)
{
    struct voyage voyage = { run, first, end };

    /* OpenMP's threads may still spin, on the cores that the crew is about to get. */
    omp_pause_resource_all(omp_pause_soft);
    const int unbound = crew_run(run->place, crew_steps, &voyage);
    if (unbound < 0)
        world_abort(run->world, UNABLE, "--threads %d: %s: give fewer", run->place->threads,
                    strerror(errno));
    atomic_fetch_add(&run->unbound, unbound);
}

/* ---- The mistakes ---- */

/* The edges that are used are those of two steps ago, or were never there. */
static void early(struct run *run, uint64_t first, uint64_t end)
{
    for (uint64_t step = first; step < end; step++) {
        compute(run, 0, step, all_rows(run), all_columns(run));
        exchange(run, step);
    }
}

static void blocking(struct run *run, uint64_t first, uint64_t end)
{
    const struct plane *const p = run->plane;
    const ptrdiff_t bottom = (ptrdiff_t)p->rows.count, right = (ptrdiff_t)p->columns.count;
    const int radius = p->star.radius, rows = (int)bottom;
    const ptrdiff_t row_of[] = { 0, bottom - radius, 0, 0 };
    const ptrdiff_t column_of[] = { 0, 0, 0, right - radius };
    const ptrdiff_t beside_row[] = { -radius, bottom, 0, 0 };
    const ptrdiff_t beside_column[] = { 0, 0, -radius, right };

    for (uint64_t step = first; step < end; step++) {
        for (int side = 0; side < PLANE_SIDES; side++) {
            const bool flat_edge = side == PLANE_UP || side == PLANE_DOWN;
            stall_enter(&run->stall, "MPI_Ssend", p->neighbors[side], 0);
            MPI_Ssend(plane_at(p, step, row_of[side], column_of[side]), flat_edge ? radius : rows,
                      flat_edge ? p->row_edge : p->column_edge, p->neighbors[side], 0, p->comm);
            stall_leave(&run->stall);
        }
        for (int side = 0; side < PLANE_SIDES; side++) {
            const bool flat_edge = side == PLANE_UP || side == PLANE_DOWN;
            stall_enter(&run->stall, "MPI_Recv", p->neighbors[side], 0);
            MPI_Recv(plane_at(p, step, beside_row[side], beside_column[side]),
                     flat_edge ? radius : rows, flat_edge ? p->row_edge : p->column_edge,
                     p->neighbors[side], 0, p->comm, MPI_STATUS_IGNORE);
            stall_leave(&run->stall);
        }
        compute(run, 0, step, all_rows(run), all_columns(run));
    }
}

static const struct variant {
    const char *name;
    void (*steps)(struct run *run, uint64_t first, uint64_t end);
    int level;      /* of MPI's threads that it needs */
    bool one_thread, window, fault;
} variants[] = {
    { "flat", flat, MPI_THREAD_SINGLE, .one_thread = true },
    { "masteronly", masteronly, MPI_THREAD_FUNNELED },
    { "funneled", funneled, MPI_THREAD_FUNNELED },
    { "serialized", serialized, MPI_THREAD_SERIALIZED },
    { "multiple", multiple, MPI_THREAD_MULTIPLE },
    { "tasks", tasks, MPI_THREAD_SERIALIZED },
    { "shared", shared, MPI_THREAD_FUNNELED, .window = true },
    { "pthreads", pthreads, MPI_THREAD_FUNNELED },
    { "early", early, MPI_THREAD_SINGLE, .one_thread = true, .fault = true },
    { "blocking", blocking, MPI_THREAD_FUNNELED, .one_thread = true, .fault = true },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static bool is_chosen(const struct variant *variant)
{
    if (opt.fault)
        return arg_is(opt.fault, variant->name);
    return !variant->fault && (arg_is(opt.variant, "all") || arg_is(opt.variant, variant->name));
}

/* ---- Runs ---- */

static void advance(void *arg)
{
    struct run *const run = arg;
    const uint64_t first = run->plane->step, end = first + run->steps;
    const int64_t begin = clock_ns();

    if (run->plane->comm != MPI_COMM_NULL && end > first)
        run->variant->steps(run, first, end);
    run->plane->step = end;
    run->elapsed_ns += clock_ns() - begin;
}

static struct verdict check(struct run *run, uint64_t *compared)
{
    const char *const name = run->variant->name;
    struct plane *const p = run->plane;

    plane_fill(p, run->place, PLANE_LINEAR, opt.seed, 0);
    advance(run);
    const struct verdict linear = plane_check_linear(p, name);
    plane_fill(p, run->place, PLANE_ROUGH, opt.seed, 0);
    advance(run);
    return verdict_both(linear, plane_check_rough(p, name, compared));
}

/* Collective. The share of the threads' time that is not spent in the kernel, over all ranks that
 * have a part. */
static double waiting_of(const struct run *run)
{
    const int threads = run->variant->one_thread ? 1 : run->place->threads;
    const bool idle = run->plane->comm == MPI_COMM_NULL;
    double secs[2] = { 0, idle ? 0 : 1e-9 * threads * (double)run->elapsed_ns };

    for (int i = 0; i < threads; i++)
        secs[0] += 1e-9 * (double)run->workers[i].busy_ns;
    MPI_Allreduce(MPI_IN_PLACE, secs, 2, MPI_DOUBLE, MPI_SUM, run->world->comm);
    return secs[1] > 0 ? 100 * fmax(0, 1 - secs[0] / secs[1]) : NAN;
}

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

/* `limit`: of the triad, which was the first of the cases; NULL where it was not measured. The
 * share of it is the median over rounds, because a machine's speed changes, a ratio does not. */
static void add_row(struct world *w, const struct run *run, const struct timing *timing,
                    const struct timing *limit)
{
    const struct plane *const p = run->plane;
    const bool right = run->verdict.right;
    const double updates = (double)p->n * (double)p->n * (double)run->steps;
    const double bytes = updates * star_bytes(p->stream), secs = secs_of(timing);
    const double waiting = waiting_of(run);
    const bool known = right && secs > 0;
    struct record row = w->program.record;
    char grid[32];

    snprintf(grid, sizeof grid, "%dx%d", p->parts[0], p->parts[1]);
    record_text(&row, "variant", run->variant->name);
    row.aside = true;
    record_int(&row, "n", (int64_t)p->n);
    record_int(&row, "radius", p->star.radius);
    record_int(&row, "steps", (int64_t)run->steps);
    record_text(&row, "grid", grid);
    record_int(&row, "bytes_per_point", star_bytes(p->stream));
    record_real(&row, "speedup", known && !limit && !timing->as ? timing->ratio.median : NAN);
    row.aside = false;
    record_real(&row, "waiting_percent", right ? waiting : NAN);
    record_real(&row, "flops_per_s", known ? updates * star_flops(&p->star) / secs : NAN);
    timing_fields(&row, timing, (uint64_t)bytes, known);
    row.aside = !limit;
    record_real(&row, "limit_bytes_per_s", limit ? roof_bytes(w) / secs_of(limit) : NAN);
    record_real(&row, "limit_fraction",
                limit && known ? bytes / roof_bytes(w) * timing->ratio.median : NAN);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && known)
        timing_notes(&w->program, timing);
}

/* ---- The comparison ---- */

struct planes {
    struct plane plain, window; /* shared has its own */
    bool has_plain, has_window;
};

static enum status open_planes(struct world *w, struct planes *planes)
{
    char error[160];

    for (int i = 0; i < VARIANTS; i++)
        if (is_chosen(&variants[i])) {
            planes->has_window = planes->has_window || variants[i].window;
            planes->has_plain = planes->has_plain || !variants[i].window;
        }
    const size_t fields = 2 * (size_t)(planes->has_window + planes->has_plain); /* now and next */
    const size_t points = opt.n * opt.n / (size_t)w->size;
    if (room_for(w, size_product(fields * sizeof(double), points), 0) != PASS)
        return UNABLE;
    if (planes->has_window && plane_open(&planes->window, w, opt.n, opt.radius, opt.node_ranks,
                                         error, sizeof error)) {
        if (w->rank == 0)
            program_error("%s", error);
        return UNABLE;
    }
    if (planes->has_plain)
        plane_open(&planes->plain, w, opt.n, opt.radius, 0, NULL, 0);
    return PASS;
}

static void close_planes(struct planes *planes)
{
    if (planes->has_plain)
        plane_close(&planes->plain);
    if (planes->has_window)
        plane_close(&planes->window);
}

static void tell_parts(struct world *w, const struct plane *p, const struct place *place)
{
    const int used = p->parts[0] * p->parts[1];

    program_note(&w->program, "%d x %d parts; a point: %d operations, %d bytes%s", p->parts[0],
                 p->parts[1], star_flops(&p->star), star_bytes(p->stream),
                 p->stream ? ", for stores go past the caches" : "");
    if (used < w->size)
        program_note(&w->program, "%d of %d ranks are idle: with more parts some would be thinner "
                     "than the radius", w->size - used, w->size);
    if (!place->applied && place->reason[0])
        program_note(&w->program, "threads are not bound: %s", place->reason);
}

/* Collective. All variants in turns, and the limit, from LINEAR as it begins; then it is compared
 * once more. */
static struct verdict measure(struct world *w, struct run *runs, int count, struct planes *planes,
                              struct timing *timings)
{
    struct timing_case cases[VARIANTS + 1];
    struct place *const place = runs->place;
    struct roof roof = { .place = place };
    struct verdict verdict = { .right = true };

    if (opt.roofline)
        roof_open(&roof, w, place);
    if (planes->has_plain)
        plane_fill(&planes->plain, place, PLANE_LINEAR, opt.seed, 0);
    if (planes->has_window)
        plane_fill(&planes->window, place, PLANE_LINEAR, opt.seed, 0);
    for (int i = 0; i < count; i++) {
        cases[opt.roofline + i] = (struct timing_case){ advance, &runs[i] };
        runs[i].elapsed_ns = 0;
        memset(runs[i].workers, 0, (size_t)place->threads * sizeof *runs[i].workers);
    }
    if (opt.roofline)
        cases[0] = (struct timing_case){ roof_triad, &roof };
    timing_run_each(w, &opt.timing, 2 * sizeof(double) * opt.n * opt.n, cases,
                    count + opt.roofline, timings);
    if (opt.roofline)
        roof_close(&roof);
    if (planes->has_plain)
        verdict = plane_check_linear(&planes->plain, "what was measured");
    if (planes->has_window)
        verdict = verdict_both(verdict, plane_check_linear(&planes->window, "what was measured"));
    return verdict;
}

static int find_runs(struct world *w, struct planes *planes, struct place *place, struct run *runs)
{
    int count = 0;

    for (int i = 0; i < VARIANTS; i++)
        if (is_chosen(&variants[i])) {
            runs[count] = (struct run){
                .world = w,
                .plane = variants[i].window ? &planes->window : &planes->plain,
                .place = place,
                .variant = &variants[i],
                .steps = opt.steps,
                .workers = aligned_alloc(LINE_BYTES,
                                         (size_t)place->threads * sizeof(struct worker)),
            };
            if (!runs[count].workers)
                world_abort(w, UNABLE, "no memory for %d threads", place->threads);
            memset(runs[count].workers, 0, (size_t)place->threads * sizeof(struct worker));
            count++;
        }
    return count;
}

static struct verdict run_each(struct world *w, struct planes *planes, struct place *place,
                               uint64_t *compared)
{
    struct run runs[VARIANTS];
    struct timing timings[VARIANTS + 1];
    const struct timing *const of_runs = timings + opt.roofline; /* the limit is the first */
    const int count = find_runs(w, planes, place, runs);
    struct verdict all = { .right = true };
    int unbound = 0;

    if (arg_is(opt.fault, "blocking") && stall_start(&runs->stall, w, opt.limit))
        world_abort(w, UNABLE, "--limit: %s: the watchdog cannot start", strerror(errno));
    for (int i = 0; i <= VARIANTS; i++)
        timings[i] = (struct timing){ .as = opt.timing.as };
    for (int i = 0; i < count; i++) {
        runs[i].verdict = check(&runs[i], compared);
        all = verdict_both(all, runs[i].verdict);
    }
    if (all.right) {
        all = measure(w, runs, count, planes, timings);
        for (int i = 0; i < count; i++)
            runs[i].verdict = verdict_both(runs[i].verdict, all);
    }
    stall_stop(&runs->stall);
    for (int i = 0; i < count; i++) {
        add_row(w, &runs[i], &of_runs[i], opt.roofline && all.right ? timings : NULL);
        unbound += atomic_load(&runs[i].unbound);
        free(runs[i].workers);
    }
    MPI_Allreduce(MPI_IN_PLACE, &unbound, 1, MPI_INT, MPI_SUM, w->comm);
    if (unbound > 0)
        program_note(&w->program, "the system did not bind a thread where it should run: %d times",
                     unbound);
    return all;
}

/* ---- One long run, with checkpoints ---- */

static volatile sig_atomic_t asked_to_stop;

static void on_usr1(int number)
{
    (void)number;
    asked_to_stop = 1;
}

/* Collective. A disk that is full today may have room tomorrow: the run goes on. */
static int save(const struct run *run)
{
    char error[160];

    if (checkpoint_write(run->plane, opt.checkpoint, error, sizeof error) == 0)
        return 0;
    if (run->world->rank == 0)
        program_error("%s: no checkpoint at step %" PRIu64 "%s", error, run->plane->step,
                      run->plane->step < opt.steps ? ", the run goes on" : "");
    return -1;
}

/* How many steps to do before the ranks agree again: as many as last for about `secs`, for a signal
 * should not wait for long, and many steps should not wait for an agreement. */
static uint64_t next_chunk(const struct run *run, uint64_t last)
{
    const double secs = 0.05, lasted = 1e-9 * (double)run->elapsed_ns;
    const uint64_t left = opt.steps - run->plane->step;
    uint64_t chunk = last == 0 ? 1 : lasted < secs ? 2 * last : last > 1 ? last / 2 : 1;

    if (opt.checkpoint_every > 0) {
        const uint64_t until = opt.checkpoint_every - run->plane->step % opt.checkpoint_every;
        chunk = chunk < until ? chunk : until;
    }
    return chunk < left ? chunk : left;
}

/* Steps up to opt.steps, or to where all ranks agree to stop: returns STOPPED then, with all saved;
 * FAIL where the last field could not be. One rank's signal, and rank 0's clock, go for all. */
static enum status sail(struct run *run, double *secs)
{
    uint64_t chunk = 0, saved = opt.restart ? run->plane->step : UINT64_MAX;

    if (opt.checkpoint && !opt.restart && opt.steps == 0 && save(run) == 0)
        saved = 0;
    while (run->plane->step < opt.steps) {
        const bool asked = asked_to_stop;
        uint64_t agreed[2] = { asked, 0 };
        if (run->world->rank == 0)
            agreed[1] = next_chunk(run, chunk);
        MPI_Allreduce(MPI_IN_PLACE, agreed, 2, MPI_UINT64_T, MPI_SUM, run->world->comm);
        if (agreed[0] > 0 && (saved == run->plane->step || save(run) == 0))
            return STOPPED;
        if (asked) /* and not saved: the next signal asks again */
            asked_to_stop = 0;
        run->steps = chunk = agreed[1];
        run->elapsed_ns = 0;
        advance(run);
        run->total_ns += run->elapsed_ns;
        *secs += 1e-9 * (double)run->elapsed_ns;
        const bool due = opt.checkpoint_every > 0 &&
                         run->plane->step % opt.checkpoint_every == 0;
        if (opt.checkpoint && (due || run->plane->step == opt.steps) && save(run) == 0)
            saved = run->plane->step;
    }
    return opt.checkpoint && saved != run->plane->step ? FAIL : PASS;
}

/* What earlier runs were writing when they were killed: each as large as the field. */
static void clear_drafts(struct world *w)
{
    const int swept = opt.checkpoint && w->rank == 0 ? file_sweep(opt.checkpoint) : 0;

    if (swept > 0)
        program_note(&w->program, "removed %d unfinished checkpoint%s of runs that were killed",
                     swept, swept == 1 ? "" : "s");
}

/* Fills the plane, with the file's field where there is one to go on from. */
static enum status begin_run(struct world *w, struct run *run)
{
    const enum plane_form form = arg_is(opt.field, "rough") ? PLANE_ROUGH : PLANE_LINEAR;
    char error[256];

    if (!opt.restart) {
        plane_fill(run->plane, run->place, form, opt.seed, 0);
        return PASS;
    }
    if (checkpoint_read(run->plane, run->place, opt.checkpoint, form, opt.seed, error,
                        sizeof error))
        return world_usage(w, "--restart: %s", error);
    if (run->plane->step > opt.steps)
        return world_usage(w, "--restart: %s: it is of step %" PRIu64 ", behind --steps %zu: give "
                           "more", opt.checkpoint, run->plane->step, opt.steps);
    program_note(&w->program, "goes on from step %" PRIu64, run->plane->step);
    return PASS;
}

static struct verdict check_field(const struct run *run)
{
    uint64_t compared;

    if (run->plane->form == PLANE_LINEAR)
        return plane_check_linear(run->plane, run->variant->name);
    return plane_check_rough(run->plane, run->variant->name, &compared);
}

static void add_long_row(struct world *w, struct run *run, uint64_t steps, double secs)
{
    struct timing timing = { .start = "once", .stop = STOP_ITERATIONS, .slowest_rank = -1,
                             .clocks = 1 };

    MPI_Allreduce(MPI_IN_PLACE, &secs, 1, MPI_DOUBLE, MPI_MAX, w->comm);
    stats_summarize(&secs, 1, &timing.summary);
    run->steps = steps;
    add_row(w, run, &timing, NULL);
}

static enum status draw(const struct run *run)
{
    if (!opt.image || picture_write(run->plane, opt.image) == 0)
        return PASS;
    if (run->world->rank == 0)
        program_error("--image %s: %s", opt.image, strerror(errno));
    return FAIL;
}

static enum status run_once(struct world *w, struct planes *planes, struct place *place)
{
    struct run run;
    double secs = 0;

    clear_drafts(w);
    find_runs(w, planes, place, &run);
    enum status status = begin_run(w, &run);
    if (status == PASS) {
        const uint64_t first = run.plane->step;
        status = sail(&run, &secs);
        const uint64_t step = run.plane->step;
        run.verdict = check_field(&run);
        run.elapsed_ns = run.total_ns;
        add_long_row(w, &run, step - first, secs);
        if (status == STOPPED && run.verdict.right)
            program_note(&w->program, "stopped at step %" PRIu64 ", saved in %s: go on with "
                         "--restart", step, opt.checkpoint);
        const enum status drawn = draw(&run);
        const enum status right =
            run.verdict.right
                ? program_verdict(&w->program, true, "%" PRIu64 " steps of %zu x %zu points, the "
                                  "%s field is what it must be", step, opt.n, opt.n, opt.field)
                : program_verdict(&w->program, false, "%s", run.verdict.wrong);
        status = right != PASS ? right : drawn != PASS ? drawn : status;
    }
    free(run.workers);
    return status;
}

static enum status run_all(struct world *w, struct planes *planes, struct place *place)
{
    uint64_t compared = 0;
    const struct verdict verdict = run_each(w, planes, place, &compared);

    program_fault(&w->program, opt.fault, verdict.right, "no rank has a neighbour");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu steps of %zu x %zu points: a linear field has "
                           "its known result, and %" PRIu64 " points of a rough one are as a "
                           "serial loop makes them", opt.steps, opt.n, opt.n, compared);
}

static enum status run(struct world *w)
{
    struct planes planes = { .has_plain = false };
    struct place place;
    enum status status = open_planes(w, &planes);

    if (status != PASS)
        return status;
    place_open(&place, w, opt.threads, opt.place);
    tell_parts(w, planes.has_plain ? &planes.plain : &planes.window, &place);
    if (opt.checkpoint || opt.image)
        status = run_once(w, &planes, &place);
    else
        status = run_all(w, &planes, &place);
    place_close(&place);
    close_planes(&planes);
    return status;
}

/* The lowest level that will do, before world_open() has read the options: a higher one slows
 * messages down. */
static int level_needed(int argc, char **argv)
{
    const char *name = opt.variant;
    int level = MPI_THREAD_SINGLE;
    bool known = false;

    for (int i = 1; i < argc; i++) {
        const char *const equals = strchr(argv[i], '=');
        if (strncmp(argv[i], "--v", 3) == 0)
            name = equals ? equals + 1 : i + 1 < argc ? argv[i + 1] : "";
        if (strncmp(argv[i], "--fa", 4) == 0)
            return MPI_THREAD_FUNNELED;
    }
    for (int i = 0; i < VARIANTS; i++)
        if (arg_is(name, "all") || arg_is(name, variants[i].name)) {
            level = variants[i].level > level ? variants[i].level : level;
            known = true;
        }
    return known ? level : MPI_THREAD_SINGLE;
}

/* Whether what will be written can be, before the steps are done. */
static enum status check_files(void)
{
    struct file_draft draft;
    char error[256];

    if (opt.image) {
        const enum status status = image_check(opt.image, error, sizeof error);
        if (status != PASS) {
            program_error("--image %s", error);
            return status;
        }
    }
    if (opt.checkpoint && file_begin(&draft, opt.checkpoint)) {
        program_error("--checkpoint %s: %s: name a file that can be written", opt.checkpoint,
                      strerror(errno));
        return USAGE;
    }
    if (opt.checkpoint)
        file_drop(&draft);
    return PASS;
}

static enum status check_options(struct world *w)
{
    if (opt.roofline && opt.timing.as)
        return world_usage(w, "--roofline and --as: means of separate runs say nothing of a share: "
                           "leave one out");
    if (opt.roofline && (opt.checkpoint || opt.image))
        return world_usage(w, "--roofline: with --checkpoint or --image nothing is measured: leave "
                           "it out");
    if ((opt.checkpoint || opt.image) && (opt.fault || arg_is(opt.variant, "all")))
        return world_usage(w, "--checkpoint and --image are of one run: name one variant");
    if ((opt.restart || opt.checkpoint_every > 0) && !opt.checkpoint)
        return world_usage(w, "--restart and --checkpoint-every: which file? give --checkpoint");
    if ((opt.checkpoint || opt.image) && arg_is(opt.field, "rough") &&
        !plane_can_check_rough(opt.n, opt.radius, opt.steps))
        return world_usage(w, "--field rough: %zu steps are too many for the serial loop that "
                           "checks it: give less, or --field linear", opt.steps);
    const struct star star = star_make(opt.radius);
    if (opt.n > INT_MAX || !plane_exact(opt.n, &star, opt.steps))
        return world_usage(w, "--n %zu --steps %zu: numbers would not stay exact: give less",
                           opt.n, opt.steps);
    return world_agree(w, w->rank == 0 ? check_files() : PASS);
}

int main(int argc, char **argv)
{
    struct world w;
    struct sigaction usr1 = { .sa_handler = on_usr1, .sa_flags = SA_RESTART };

    sigemptyset(&usr1.sa_mask);
    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, level_needed(argc, argv), opt.threads, options);
    if (status == PASS)
        status = check_options(&w);
    if (status == PASS && opt.checkpoint)
        sigaction(SIGUSR1, &usr1, NULL);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
