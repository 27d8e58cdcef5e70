/*
 * stream - copy, scale, add and triad over all ranks and threads, and who touched the memory first
 *
 * Three arrays of --count elements on each node are cut into one part a rank, and these into one
 * part a thread. STREAM's four loops run over them, in turns:
 *
 *   copy   c = a         16 bytes an element       add    c = a + b     24 bytes
 *   scale  b = 3 c       16                        triad  a = b - c     24
 *
 * An element takes next to no computing, so this is the bandwidth of the memory, the limit of most
 * programs. Each turn changes the sign of a: after k turns a is (-1)^k times what it was, and b and
 * c are 3 and 4 times what a was before the last turn. Every element of all three is checked.
 *
 * The system gives a page of memory when it is first touched, on the NUMA node of who touches it:
 *
 *   good    each thread touches its own part first, and finds it near
 *   bad     the master of each rank touches all of the rank's part, as a loop without threads does,
 *           and the threads on other NUMA nodes fetch theirs from there
 *   shared  the arrays lie in one window of the node; each thread touches its own part
 *
 * The system is asked where the pages are, and they must be where this says. On one NUMA node there
 * is no difference. The window is in small pages as a rule, which costs some bandwidth.
 *
 * Bytes are counted as STREAM and likwid-bench do, without the lines that ordinary stores read
 * before they write to them. --stores past goes past the caches and does without that reading.
 * best_tenth is what one in ten samples reached; to_first is the bandwidth as a share of the first
 * variant's, in turns.
 *
 * What can go wrong: to let the master fill the arrays. To drop what is left over when the count
 * does not divide (--fault remainder). Threads that are not bound leave their pages behind when the
 * system moves them.
 *
 * Run:     make run P=shared/stream N=1 T=2 ARGS="--variant all"
 * Try:     --stores ordinary: copy and scale should lose a third, add and triad a quarter
 * Try:     2 ranks of 1 thread, 1 rank of 2 threads: is there a difference?
 * Try:     --pages small: what do misses in the page tables cost?
 * Try:     --count 1K, 100K, 10M: where are the caches? (--stores ordinary)
 * Test:    -n 1 -t 1 --variant all --count 100003
 * Test:    -n 2 -t 3 --variant all --count 10007 --stores ordinary --pages small
 * Test:    -n 3 -t 2 --variant all --count 1000 --seed 7
 * Test:    -n 4 -t 1 --variant all --count 3
 * Test:    -n 1 -t 3 --variant all --count 0 --place none
 * Test:    -n 2 -t 1 --count 1M --as imb --iterations 3
 * Test(1): -n 3 -t 2 --count 1003 --fault remainder
 * Test(77): -n 1 --count 1024G
 * Test(2): -n 1 --threads 0
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hybrid/lib/numa.h"
#include "hybrid/lib/place.h"
#include "hybrid/lib/room.h"
#include "hybrid/lib/stream.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    size_t count, seed;
    int threads;
    const char *place, *variant, *stores, *pages, *fault;
    struct timing_options timing;
} opt = { .count = 20 << 20, .place = "balanced", .variant = "good", .stores = "past",
          .pages = "huge", .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "elements of 8 bytes of each array, on each node",
      .max = (size_t)1 << 48 },
    { "variant", ARG_CHOICE, &opt.variant, "who touches the arrays first, and where they lie",
      .choices = "good|bad|shared|all" },
    { "stores", ARG_CHOICE, &opt.stores, "past the caches, or through them",
      .choices = "past|ordinary" },
    { "pages", ARG_CHOICE, &opt.pages, "pages of memory to ask for (not for the window)",
      .choices = "huge|small" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "how to bind them", .choices = PLACE_CHOICES },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "fault", ARG_CHOICE, &opt.fault, "nobody takes what is left over", .choices = "remainder" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

/* The arrays of one variant: this rank's part of them. */
struct arrays {
    const struct world *world;
    struct place *place;
    const char *variant;
    const struct stream *stream;
    double *a, *b, *c;
    struct block block;   /* of the node's elements */
    MPI_Win window;       /* or MPI_WIN_NULL */
    uint64_t turns;       /* done with all four loops */
    bool added;           /* since the last triad */
    int unbound;          /* errno of a thread that could not be bound */
    int asked;            /* 0, or errno of who asked where pages are */
    struct numa_pages pages;
};

static struct block my_part(const struct arrays *x)
{
    const uint64_t threads = (uint64_t)omp_get_num_threads();
    const uint64_t thread = (uint64_t)omp_get_thread_num();

    if (arg_is(opt.fault, "remainder"))
        return (struct block){ x->block.count / threads * thread, x->block.count / threads };
    return block_of(x->block.count, threads, thread);
}

/* ---- The four loops ---- */

/* Each thread of a region comes through here first: a new one may be among them. */
static struct block begin(struct arrays *x)
{
    if (place_thread(x->place, omp_get_thread_num())) {
#pragma omp atomic write
        x->unbound = errno;
    }
    return my_part(x);
}

static void copy(void *arg)
{
    struct arrays *const x = arg;

#pragma omp parallel num_threads(opt.threads)
    {
        const struct block my = begin(x);
        x->stream->scale(x->c + my.start, x->a + my.start, 1, my.count);
    }
}

static void scale(void *arg)
{
    struct arrays *const x = arg;

#pragma omp parallel num_threads(opt.threads)
    {
        const struct block my = begin(x);
        x->stream->scale(x->b + my.start, x->c + my.start, 3, my.count);
    }
}

static void add(void *arg)
{
    struct arrays *const x = arg;

#pragma omp parallel num_threads(opt.threads)
    {
        const struct block my = begin(x);
        x->stream->triad(x->c + my.start, x->a + my.start, x->b + my.start, 1, my.count);
    }
    x->added = true;
}

/* To repeat a loop changes nothing; so a turn is over with the first triad behind an add. */
static void triad(void *arg)
{
    struct arrays *const x = arg;

#pragma omp parallel num_threads(opt.threads)
    {
        const struct block my = begin(x);
        x->stream->triad(x->a + my.start, x->b + my.start, x->c + my.start, -1, my.count);
    }
    x->turns += x->added;
    x->added = false;
}

static const struct loop {
    const char *name;
    void (*run)(void *arrays);
    uint64_t bytes; /* an element */
} loops[] = { { "copy", copy, 16 }, { "scale", scale, 16 }, { "add", add, 24 },
              { "triad", triad, 24 } };
enum { LOOPS = sizeof loops / sizeof *loops, VARIANTS = 3 };

/* ---- Arrays, and where they lie ---- */

/* An integer far below 2^53: it and four times it are exact. */
static double a_at(const struct arrays *x, uint64_t i)
{
    const uint64_t place = (uint64_t)x->world->node * opt.count + x->block.start + i;

    return (double)(element(place, opt.seed) % ((uint64_t)1 << 40) + 1);
}

static void touch(struct arrays *x, struct block part)
{
    for (uint64_t i = part.start; i < part.start + part.count; i++) {
        x->a[i] = a_at(x, i);
        x->b[i] = x->c[i] = -1;
    }
}

/* By each thread, for its part of an array. */
static void ask(struct arrays *x, const double *array, struct block part, int node)
{
    const size_t small = (size_t)sysconf(_SC_PAGESIZE), huge = 2 << 20, most = 4096;
    const bool is_huge = arg_is(opt.pages, "huge") && x->window == MPI_WIN_NULL;
    struct numa_pages pages = { 0 };
    const int failed = node < 0 ? ENOSYS
                       : numa_ask(array + part.start, part.count * sizeof *array,
                                  is_huge ? huge : small, most, node, &pages) ? errno : 0;

#pragma omp critical
    {
        x->asked = failed ? failed : x->asked;
        x->pages.on_node += pages.on_node;
        x->pages.elsewhere += pages.elsewhere;
        x->pages.untouched += pages.untouched;
    }
}

static void first_touch(struct arrays *x)
{
    const bool by_master = arg_is(x->variant, "bad");
    int master_node = -1;

#pragma omp parallel num_threads(opt.threads)
    {
        begin(x);
        const struct block my = block_of(x->block.count, (uint64_t)omp_get_num_threads(),
                                         (uint64_t)omp_get_thread_num());
        if (by_master) {
#pragma omp master
            {
                touch(x, (struct block){ 0, x->block.count });
                master_node = numa_here();
            }
        } else {
            touch(x, my);
        }
#pragma omp barrier
        const int node = by_master ? master_node : numa_here();
        ask(x, x->a, my, node);
        ask(x, x->b, my, node);
        ask(x, x->c, my, node);
    }
}

/* Bytes of one array in the window: whole pages, so that no page has parts of two arrays. */
static size_t window_stride(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (opt.count * sizeof(double) + page - 1) / page * page;
}

static void open_window(struct arrays *x)
{
    const struct world *const w = x->world;
    const size_t stride = window_stride();
    unsigned char *base;
    MPI_Aint bytes;
    int unit;

    MPI_Win_allocate_shared(w->node_rank == 0 ? (MPI_Aint)(3 * stride) : 0, 1, MPI_INFO_NULL,
                            w->node_comm, &base, &x->window);
    MPI_Win_shared_query(x->window, 0, &bytes, &unit, &base);
    x->a = (double *)(void *)base + x->block.start;
    x->b = (double *)(void *)(base + stride) + x->block.start;
    x->c = (double *)(void *)(base + 2 * stride) + x->block.start;
}

static double *open_pages(const struct arrays *x)
{
    double *const array = pages_alloc(x->block.count * sizeof *array, arg_is(opt.pages, "huge"));

    if (!array)
        world_abort(x->world, UNABLE, "no memory for %" PRIu64 " elements: give a smaller --count",
                    x->block.count);
    return array;
}

/* Collective. */
static void arrays_open(struct arrays *x, const struct world *w, struct place *place,
                        const char *variant)
{
    *x = (struct arrays){
        .world = w,
        .place = place,
        .variant = variant,
        .stream = arg_is(opt.stores, "past") ? stream_past_caches() : stream_ordinary(),
        .block = block_of(opt.count, (uint64_t)w->node_size, (uint64_t)w->node_rank),
        .window = MPI_WIN_NULL,
    };
    if (arg_is(variant, "shared")) {
        open_window(x);
    } else {
        x->a = open_pages(x);
        x->b = open_pages(x);
        x->c = open_pages(x);
    }
    first_touch(x);
}

/* Collective. */
static void arrays_close(struct arrays *x)
{
    const size_t bytes = x->block.count * sizeof *x->a;

    if (x->window != MPI_WIN_NULL) {
        MPI_Win_free(&x->window);
        return;
    }
    pages_free(x->c, bytes);
    pages_free(x->b, bytes);
    pages_free(x->a, bytes);
}

/* ---- Checks ---- */

/* By the closed form. The first wrong place of this rank's part, or UINT64_MAX. */
static uint64_t first_wrong(const struct arrays *x)
{
    const double sign = x->turns % 2 ? -1 : 1;
    uint64_t wrong = UINT64_MAX;

#pragma omp parallel for schedule(static) num_threads(opt.threads) reduction(min : wrong)
    for (uint64_t i = 0; i < x->block.count; i++) {
        const double start = a_at(x, i), last = -sign * start; /* a before the last turn */
        if ((x->a[i] != sign * start || x->b[i] != 3 * last || x->c[i] != 4 * last) && i < wrong)
            wrong = i;
    }
    return wrong;
}

/* Collective. One page in a hundred may be elsewhere: the system may have moved some. */
static struct verdict check_pages(const struct arrays *x)
{
    const struct numa_pages *const p = &x->pages;
    const size_t all = p->on_node + p->elsewhere + p->untouched;
    const bool wrong = p->untouched * 100 > all || (x->place->applied && p->elsewhere * 100 > all);

    return verify_places(x->world, wrong ? x->block.start : UINT64_MAX, "%s: rank %d: of %zu pages "
                         "%zu are on another NUMA node than who touched them first, %zu on none",
                         x->variant, x->world->rank, all, p->elsewhere, p->untouched);
}

/* Collective. */
static struct verdict check(const struct arrays *x)
{
    const uint64_t i = first_wrong(x);
    const bool none = i == UINT64_MAX;
    struct verdict verdict = verify_places(x->world, x->unbound ? 0 : UINT64_MAX, "%s: rank %d: a "
                                           "thread cannot be bound: %s", x->variant,
                                           x->world->rank, strerror(x->unbound));

    verdict = verdict_both(verdict, verify_places(
        x->world, none ? UINT64_MAX : x->block.start + i, "%s: element %" PRIu64 " of node %d is "
        "%.17g, %.17g, %.17g in a, b, c after %" PRIu64 " turns from %.17g", x->variant,
        none ? 0 : x->block.start + i, x->world->node, none ? 0 : x->a[i], none ? 0 : x->b[i],
        none ? 0 : x->c[i], x->turns, none ? 0 : a_at(x, i)));
    return verdict_both(verdict, check_pages(x));
}

/* ---- Runs ---- */

static void add_row(struct world *w, const struct arrays *x, const struct loop *loop,
                    const struct timing *timing, const struct timing *first, bool right)
{
    const uint64_t bytes = loop->bytes * opt.count * (uint64_t)w->nodes;
    const bool is_measured = right && !timing->as && bytes > 0;
    struct record row = w->program.record;

    record_text(&row, "variant", x->variant);
    record_text(&row, "loop", loop->name);
    record_int(&row, "count", (int64_t)opt.count);
    record_text(&row, "stores", x->stream->kind);
    timing_fields(&row, timing, bytes, right);
    record_real(&row, "best_tenth_bytes_per_s",
                is_measured ? (double)bytes / timing->summary.p10 : NAN);
    record_real(&row, "to_first", is_measured ? timing->ratio.median / first->ratio.median : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

/* Collective. What the system said of all pages. */
static void tell_pages(struct world *w, const struct arrays *x)
{
    unsigned long long pages[4] = { x->pages.on_node, x->pages.elsewhere, x->pages.untouched,
                                    (unsigned long long)(x->asked != 0) };

    MPI_Allreduce(MPI_IN_PLACE, pages, 4, MPI_UNSIGNED_LONG_LONG, MPI_SUM, w->comm);
    if (pages[3])
        program_note(&w->program, "%s: where the pages are is not known: the system does not tell",
                     x->variant);
    else
        program_note(&w->program, "%s: of %llu pages asked for, %llu are on the NUMA node of the "
                     "thread that touched them first", x->variant, pages[0] + pages[1] + pages[2],
                     pages[0]);
}

static enum status measure(struct world *w, struct arrays *arrays, int variants)
{
    struct timing_case cases[VARIANTS * LOOPS];
    struct timing timings[VARIANTS * LOOPS];
    struct verdict verdict = { .right = true };

    for (int i = 0; i < variants * LOOPS; i++)
        cases[i] = (struct timing_case){ loops[i % LOOPS].run, &arrays[i / LOOPS] };
    timing_run_each(w, &opt.timing, 24 * opt.count, cases, variants * LOOPS, timings);
    for (int v = 0; v < variants; v++) {
        const struct verdict of_variant = check(&arrays[v]);
        for (int i = 0; i < LOOPS; i++)
            add_row(w, &arrays[v], &loops[i], &timings[v * LOOPS + i], &timings[i],
                    of_variant.right);
        verdict = verdict_both(verdict, of_variant);
    }
    program_fault(&w->program, opt.fault, verdict.right, "every part can be shared out evenly");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d variant%s, %zu elements of a, b and c on each "
                           "node after %" PRIu64 " turns, each as it must be", variants,
                           variants == 1 ? "" : "s", opt.count, arrays[0].turns);
}

static enum status run(struct world *w)
{
    static const char *const names[VARIANTS] = { "good", "bad", "shared" };
    struct arrays arrays[VARIANTS];
    struct place place;
    int variants = 0, nodes = numa_nodes();

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    for (int i = 0; i < VARIANTS; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, names[i]))
            arrays_open(&arrays[variants++], w, &place, names[i]);
    MPI_Allreduce(MPI_IN_PLACE, &nodes, 1, MPI_INT, MPI_MAX, w->comm);
    if (nodes == 1)
        program_note(&w->program, "1 NUMA node: every page is near every thread, whoever touched "
                     "it first");
    for (int i = 0; i < variants; i++)
        tell_pages(w, &arrays[i]);
    const enum status status = measure(w, arrays, variants);
    for (int i = 0; i < variants; i++)
        arrays_close(&arrays[i]);
    place_close(&place);
    return status;
}

/* Whether the arrays of all chosen variants fit, side by side. */
static enum status check_room(const struct world *w)
{
    const bool all = arg_is(opt.variant, "all"), shared = arg_is(opt.variant, "shared");
    const uint64_t mine = block_of(opt.count, (uint64_t)w->node_size, (uint64_t)w->node_rank).count;

    return room_for(w, shared ? 0 : (all ? 2 : 1) * 3 * mine * sizeof(double),
                    all || shared ? 3 * window_stride() : 0);
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS)
        status = check_room(&w);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
