/*
 * message_rate - small messages from many threads: what each thread level of MPI gives
 *
 * The first half of the ranks sends, each to its partner in the second half. Each of T threads has
 * --count messages of 8 bytes to send in a sample, in windows of --window: so many sends are
 * started, and completed together, and the receiver says when it has them. T is 1, 2, 4 ... up to
 * --threads. Who calls MPI is the variant:
 *
 *   single      one thread, and there is no other: it sends the messages of all T
 *   funneled    the master, for its team: the others make the messages and check them
 *   serialized  each thread its own, one thread in MPI at a time, behind a lock of ours
 *   multiple    each thread its own, when it likes; one communicator, and a tag for each thread
 *   comm_each   the same with a communicator for each thread, so that nothing need be shared
 *
 * Every message carries the number of its thread and its own, and must arrive once and in order.
 *
 * The thread level is chosen when MPI starts, for the whole run. One variant alone runs at the
 * level that it needs; all of them together run at MPI_THREAD_MULTIPLE, which the row tells
 * (level). A level above SINGLE costs something even where only one thread calls. to_first is the
 * rate as a multiple of the first variant's, in turns.
 *
 * What can go wrong: threads that share a communicator and a tag get each other's messages, since
 * MPI knows ranks and not threads (--fault same_tag). To wait in MPI while the lock is held: the
 * message that is waited for may be that of a thread that waits for the lock; so serialized tests,
 * and gives the lock away in between.
 *
 * Ranks: 2
 * Run:     make run P=message_rate N=2 T=2
 * Try:     --variant single, then --variant all: what does the level alone cost?
 * Try:     --variant all --threads 4: does a second thread send more than one alone?
 * Try:     --window 1: what remains when each message waits for the last one?
 * Test:    -n 2 -t 3 --count 65
 * Test:    -n 3 -t 2 --count 33 --window 7
 * Test:    -n 2 -t 2 --variant single --count 1000
 * Test:    -n 2 -t 3 --variant funneled --count 10 --window 1
 * Test:    -n 4 -t 2 --variant serialized --count 10
 * Test:    -n 2 -t 2 --variant comm_each --count 0
 * Test(1): -n 2 -t 2 --fault same_tag
 * Test(1): -n 4 -t 3 --fault same_tag --variant multiple
 * Test:    -n 2 -t 1 --fault same_tag
 * Test(2): -n 2 --fault same_tag --variant single
 * Test(2): -n 2 --window 0
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/place.h"
#include "local/lib/line.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

enum { MOST_THREADS = 512, MOST_WINDOW = 1 << 16, DONE = MOST_THREADS /* tags from here on */ };

static struct {
    size_t count, window;
    int threads;
    const char *place, *variant, *fault;
    struct timing_options timing;
} opt = { .count = 640, .window = 64, .place = "balanced", .variant = "all",
          .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "messages of each thread in a sample" },
    { "window", ARG_SIZE, &opt.window, "messages that are under way at once", .min = 1,
      .max = MOST_WINDOW },
    { "threads", ARG_INT, &opt.threads, "threads of each rank at most", .min = 1,
      .max = MOST_THREADS },
    { "place", ARG_CHOICE, &opt.place, "how to bind them", .choices = PLACE_CHOICES },
    { "variant", ARG_CHOICE, &opt.variant, "who calls MPI",
      .choices = "single|funneled|serialized|multiple|comm_each|all" },
    { "fault", ARG_CHOICE, &opt.fault, "one tag for all threads", .choices = "same_tag" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

/* What one thread sends or receives. */
struct lane {
    _Alignas(LINE_BYTES) uint64_t *stamps; /* of a window */
    MPI_Request *requests;
    MPI_Comm comm;
    int thread;
    uint64_t next;  /* number of the first message that is not yet checked, or made */
    uint64_t wrong; /* number of the first message that was wrong, or UINT64_MAX */
    uint64_t found; /* its stamp */
};

struct traffic {
    const struct world *world;
    struct place *place;
    const struct variant *variant;
    int peer;     /* -1: the odd rank has none */
    bool sends;
    int threads;
    struct lane *lanes;
    int unbound;  /* errno of a thread that could not be bound */
    uint64_t samples;
};

static uint64_t stamp_of(int thread, uint64_t number)
{
    return (uint64_t)thread << 48 | (number & (((uint64_t)1 << 48) - 1));
}

/* ---- A window, step by step ---- */

static void make(struct lane *lane, size_t count)
{
    for (size_t i = 0; i < count; i++)
        lane->stamps[i] = stamp_of(lane->thread, lane->next + i);
    lane->next += count;
}

static void check_stamps(struct lane *lane, size_t count)
{
    for (size_t i = 0; i < count; i++, lane->next++)
        if (lane->stamps[i] != stamp_of(lane->thread, lane->next) && lane->wrong == UINT64_MAX) {
            lane->wrong = lane->next;
            lane->found = lane->stamps[i];
        }
}

static void start(const struct traffic *t, struct lane *lane, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (t->sends)
            MPI_Isend(&lane->stamps[i], 1, MPI_UINT64_T, t->peer, lane->thread, lane->comm,
                      &lane->requests[i]);
        else
            MPI_Irecv(&lane->stamps[i], 1, MPI_UINT64_T, t->peer, lane->thread, lane->comm,
                      &lane->requests[i]);
}

/* The receiver has a window, and the sender may go on. */
static void start_done(const struct traffic *t, struct lane *lane)
{
    if (t->sends)
        MPI_Irecv(NULL, 0, MPI_BYTE, t->peer, DONE + lane->thread, lane->comm, lane->requests);
    else
        MPI_Isend(NULL, 0, MPI_BYTE, t->peer, DONE + lane->thread, lane->comm, lane->requests);
}

/* Some libraries' waits leave no core to the rank that is waited for. */
static void complete(const struct traffic *t, struct lane *lane, size_t count)
{
    int is_complete = 0;

    if (!t->world->oversubscribed) {
        MPI_Waitall((int)count, lane->requests, MPI_STATUSES_IGNORE);
        return;
    }
    while (MPI_Testall((int)count, lane->requests, &is_complete, MPI_STATUSES_IGNORE), !is_complete)
        sched_yield();
}

/* Outside the lock. */
static void complete_in_turns(struct lane *lane, size_t count)
{
    int is_complete = 0;

    for (unsigned looks = 0; !is_complete; looks++) {
#pragma omp critical(mpi)
        MPI_Testall((int)count, lane->requests, &is_complete, MPI_STATUSES_IGNORE);
        if (!is_complete)
            line_wait(looks);
    }
}

static size_t window_after(size_t done)
{
    return opt.count - done < opt.window ? opt.count - done : opt.window;
}

/* ---- The variants: a sample of this rank ---- */

static void bind(struct traffic *t, int thread)
{
    if (place_thread(t->place, thread)) {
#pragma omp atomic write
        t->unbound = errno;
    }
}

/* All messages of a lane, by the thread that calls. */
static void run_lane(const struct traffic *t, struct lane *lane)
{
    for (size_t done = 0, count; (count = window_after(done)) > 0; done += count) {
        if (t->sends)
            make(lane, count);
        start(t, lane, count);
        complete(t, lane, count);
        start_done(t, lane);
        complete(t, lane, 1);
        if (!t->sends)
            check_stamps(lane, count);
    }
}

static void by_one(void *arg)
{
    struct traffic *const t = arg;

    bind(t, 0);
    for (int i = 0; i < t->threads && t->peer >= 0; i++)
        run_lane(t, &t->lanes[i]);
}

static void by_each(void *arg)
{
    struct traffic *const t = arg;

#pragma omp parallel num_threads(t->threads) if (t->peer >= 0)
    {
        bind(t, omp_get_thread_num());
        if (t->peer >= 0)
            run_lane(t, &t->lanes[omp_get_thread_num()]);
    }
}

/* The master's part: a window of all lanes. */
static void pass_windows(const struct traffic *t, size_t count)
{
    for (int i = 0; i < t->threads; i++)
        start(t, &t->lanes[i], count);
    for (int i = 0; i < t->threads; i++)
        complete(t, &t->lanes[i], count);
    for (int i = 0; i < t->threads; i++)
        start_done(t, &t->lanes[i]);
    for (int i = 0; i < t->threads; i++)
        complete(t, &t->lanes[i], 1);
}

static void by_master(void *arg)
{
    struct traffic *const t = arg;

#pragma omp parallel num_threads(t->threads) if (t->peer >= 0)
    {
        struct lane *const lane = &t->lanes[omp_get_thread_num()];
        bind(t, lane->thread);
        for (size_t done = 0, count; t->peer >= 0 && (count = window_after(done)) > 0;
             done += count) {
            if (t->sends)
                make(lane, count);
#pragma omp barrier
#pragma omp master
            pass_windows(t, count);
#pragma omp barrier
            if (!t->sends)
                check_stamps(lane, count);
        }
    }
}

static void in_turns(void *arg)
{
    struct traffic *const t = arg;

#pragma omp parallel num_threads(t->threads) if (t->peer >= 0)
    {
        struct lane *const lane = &t->lanes[omp_get_thread_num()];
        bind(t, lane->thread);
        for (size_t done = 0, count; t->peer >= 0 && (count = window_after(done)) > 0;
             done += count) {
            if (t->sends)
                make(lane, count);
#pragma omp critical(mpi)
            start(t, lane, count);
            complete_in_turns(lane, count);
#pragma omp critical(mpi)
            start_done(t, lane);
            complete_in_turns(lane, 1);
            if (!t->sends)
                check_stamps(lane, count);
        }
    }
}

/* --fault same_tag: the last thread sends first, and the first thread receives first. */
static void mix_up(struct traffic *t)
{
#pragma omp parallel num_threads(t->threads) if (t->peer >= 0)
    {
        struct lane *const lane = &t->lanes[omp_get_thread_num()];
        const int turn = t->sends ? t->threads - 1 - lane->thread : lane->thread;
        make(lane, t->sends ? 1 : 0);
        for (int now = 0; now < t->threads && t->peer >= 0; now++) {
#pragma omp barrier
            if (now == turn && t->sends)
                MPI_Isend(lane->stamps, 1, MPI_UINT64_T, t->peer, 0, lane->comm, lane->requests);
            else if (now == turn)
                MPI_Irecv(lane->stamps, 1, MPI_UINT64_T, t->peer, 0, lane->comm, lane->requests);
        }
        if (t->peer >= 0)
            complete(t, lane, 1);
        if (t->peer >= 0 && !t->sends)
            check_stamps(lane, 1);
    }
}

static const struct variant {
    const char *name;
    void (*run)(void *traffic);
    int level;
    bool comm_each;
} variants[] = {
    { "single", by_one, MPI_THREAD_SINGLE },
    { "funneled", by_master, MPI_THREAD_FUNNELED },
    { "serialized", in_turns, MPI_THREAD_SERIALIZED },
    { "multiple", by_each, MPI_THREAD_MULTIPLE },
    { "comm_each", by_each, MPI_THREAD_MULTIPLE, true },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

/* ---- Traffic: who sends to whom, and whether all arrived ---- */

/* Collective. */
static void traffic_open(struct traffic *t, const struct world *w, struct place *place,
                         const struct variant *variant, int threads)
{
    const int half = w->size / 2;

    *t = (struct traffic){
        .world = w,
        .place = place,
        .variant = variant,
        .peer = w->rank < half ? w->rank + half : w->rank < 2 * half ? w->rank - half : -1,
        .sends = w->rank < half,
        .threads = threads,
        .lanes = aligned_alloc(LINE_BYTES, (size_t)threads * sizeof *t->lanes),
    };
    if (!t->lanes)
        world_abort(w, UNABLE, "no memory for %d threads", threads);
    for (int i = 0; i < threads; i++) {
        struct lane *const lane = &t->lanes[i];
        *lane = (struct lane){ .thread = i, .comm = w->comm, .wrong = UINT64_MAX };
        lane->stamps = world_alloc(w, opt.window, sizeof *lane->stamps);
        lane->requests = world_alloc(w, opt.window, sizeof *lane->requests);
        if (variant->comm_each)
            MPI_Comm_dup(w->comm, &lane->comm);
    }
}

/* Collective. */
static void traffic_close(struct traffic *t)
{
    for (int i = 0; i < t->threads; i++) {
        if (t->variant->comm_each)
            MPI_Comm_free(&t->lanes[i].comm);
        free(t->lanes[i].requests);
        free(t->lanes[i].stamps);
    }
    free(t->lanes);
}

/* The first lane that has not had the messages of all samples. */
static const struct lane *first_lost(const struct traffic *t)
{
    const uint64_t all = opt.fault ? 1 : t->samples * opt.count;

    for (int i = 0; i < t->threads && t->peer >= 0; i++)
        if (t->lanes[i].next != all)
            return &t->lanes[i];
    return NULL;
}

/* Collective. */
static struct verdict check(const struct traffic *t)
{
    const struct world *const w = t->world;
    const struct lane *const lost = first_lost(t), *wrong = NULL;
    const char *const name = t->variant->name;
    struct verdict verdict = verify_places(w, t->unbound ? 0 : UINT64_MAX, "%s: rank %d: a thread "
                                           "cannot be bound: %s", name, w->rank,
                                           strerror(t->unbound));

    for (int i = t->threads - 1; i >= 0; i--)
        if (t->lanes[i].wrong != UINT64_MAX)
            wrong = &t->lanes[i];
    const uint64_t found = wrong ? wrong->found : 0;
    verdict = verdict_both(verdict, verify_places(
        w, wrong ? (uint64_t)wrong->thread : UINT64_MAX, "%s: rank %d, thread %d got message "
        "%" PRIu64 " of thread %" PRIu64 ", not its own message %" PRIu64, name, w->rank,
        wrong ? wrong->thread : 0, found & (((uint64_t)1 << 48) - 1), found >> 48,
        wrong ? wrong->wrong : 0));
    return verdict_both(verdict, verify_places(
        w, lost ? (uint64_t)lost->thread : UINT64_MAX, "%s: rank %d, thread %d has sent or "
        "received %" PRIu64 " messages, not %zu in each of %" PRIu64 " samples", name, w->rank,
        lost ? lost->thread : 0, lost ? lost->next : 0, opt.count, t->samples));
}

/* ---- Runs ---- */

static void sample(void *arg)
{
    struct traffic *const t = arg;

    t->samples++;
    t->variant->run(t);
}

static const char *level_name(void)
{
    int level;

    MPI_Query_thread(&level);
    return level == MPI_THREAD_SINGLE       ? "SINGLE"
           : level == MPI_THREAD_FUNNELED   ? "FUNNELED"
           : level == MPI_THREAD_SERIALIZED ? "SERIALIZED"
                                            : "MULTIPLE";
}

static void add_row(struct world *w, const struct traffic *t, const struct timing *timing,
                    bool right)
{
    const double messages = (double)opt.count * t->threads * (w->size / 2);
    const bool is_timed = right && !timing->as && !opt.fault && opt.count > 0;
    struct record row = w->program.record;

    record_text(&row, "variant", t->variant->name);
    record_text(&row, "level", level_name());
    record_int(&row, "team", t->threads);
    record_int(&row, "pairs", w->size / 2);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "window", (int64_t)opt.window);
    timing_fields(&row, timing, (uint64_t)messages * sizeof(uint64_t), right && !opt.fault);
    record_real(&row, "messages_per_s", is_timed ? messages / timing->summary.median : NAN);
    record_real(&row, "to_first", is_timed ? timing->ratio.median : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

static bool is_chosen(const struct variant *variant)
{
    if (opt.fault)
        return arg_is(variant->name, "multiple");
    return arg_is(opt.variant, "all") || arg_is(opt.variant, variant->name);
}

/* Collective. All chosen variants in turns, with teams of one size. */
static struct verdict run_teams(struct world *w, struct place *place, int threads)
{
    struct traffic traffics[VARIANTS];
    struct timing_case cases[VARIANTS];
    struct timing timings[VARIANTS] = { { .as = NULL } };
    struct verdict verdict = { .right = true };
    int count = 0;

    for (int i = 0; i < VARIANTS; i++)
        if (is_chosen(&variants[i])) {
            traffic_open(&traffics[count], w, place, &variants[i], threads);
            cases[count] = (struct timing_case){ sample, &traffics[count] };
            count++;
        }
    if (opt.fault)
        mix_up(&traffics[0]);
    else
        timing_run_each(w, &opt.timing, opt.count * sizeof(uint64_t), cases, count, timings);
    for (int i = 0; i < count; i++) {
        const struct verdict of_variant = check(&traffics[i]);
        add_row(w, &traffics[i], &timings[i], of_variant.right);
        verdict = verdict_both(verdict, of_variant);
        traffic_close(&traffics[i]);
    }
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    struct place place;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    if (arg_is(opt.variant, "all") && !opt.fault)
        program_note(&w->program, "all variants run at MPI_THREAD_MULTIPLE: one alone runs at the "
                     "level that it needs");
    if (w->size % 2)
        program_note(&w->program, "rank %d has no partner and looks on", w->size - 1);
    for (int threads = opt.fault ? opt.threads : 1; verdict.right;) {
        verdict = run_teams(w, &place, threads);
        if (threads == opt.threads)
            break;
        threads = 2 * threads < opt.threads ? 2 * threads : opt.threads;
    }
    place_close(&place);
    program_fault(&w->program, opt.fault, verdict.right,
                  "one thread has nobody to be mixed up with");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d pair%s of ranks, up to %d thread%s each: every "
                           "message arrived once and in order", w->size / 2,
                           w->size / 2 == 1 ? "" : "s", opt.threads, opt.threads == 1 ? "" : "s");
}

/* MPI wants to know the level before it hands over the options: so --variant is looked for here.
 * What this does not understand gets the highest level, and a variant runs at that as well. */
static int level_for(int argc, char **argv)
{
    const char *name = "all";

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--variant=", 10) == 0)
            name = argv[i] + 10;
        else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc)
            name = argv[i + 1];
        else if (strncmp(argv[i], "--fault", 7) == 0)
            return MPI_THREAD_MULTIPLE;
    for (int i = 0; i < VARIANTS; i++)
        if (strcmp(name, variants[i].name) == 0)
            return variants[i].level;
    return MPI_THREAD_MULTIPLE;
}

static enum status check_options(const struct world *w)
{
    if (opt.fault && !arg_is(opt.variant, "all") && !arg_is(opt.variant, "multiple"))
        return world_usage(w, "--fault %s: a mistake of variant multiple", opt.fault);
    return world_needs(w, 2);
}

int main(int argc, char **argv)
{
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, level_for(argc, argv), opt.threads, options);
    if (status == PASS)
        status = check_options(&w);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
