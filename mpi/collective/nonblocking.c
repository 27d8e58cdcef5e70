/*
 * nonblocking - start a collective operation, compute, complete it: does one hide in the other?
 *
 * Every rank starts an operation on --count elements of 8 bytes, computes for as long as the
 * operation takes alone (or --compute), in --tests + 1 parts with a test between any two of them,
 * and completes it:
 *
 *   ibcast      MPI_Ibcast from the root
 *   iallreduce  MPI_Iallreduce, a sum
 *   ialltoall   MPI_Ialltoall, a block of count / ranks elements, rounded up, for each rank
 *   several     these three and an MPI_Ibarrier under way at once
 *   sparse      each rank has blocks for a few ranks, and none of those knows of it. MPI_Issend
 *               ends when its message is received; MPI_Ibarrier, which a rank enters when its own
 *               have ended, is over when all have (Hoefler, Siebert, Lumsdaine 2010)
 *   persistent  MPI_Allreduce_init once, then MPI_Start again and again (MPI 4)
 *
 * The three times are those of the operation alone, the computation alone, and both; the overlap is
 * what both together save, as a share of the shorter one.
 *
 * What can go wrong: to start operations in another order on another rank. They are matched by
 * order on a communicator, as blocking ones are, and a test or wait in another order is harmless,
 * but a start is not. To touch a buffer before the end: --fault early, which strikes if the library
 * has not read it yet. To expect progress from nobody: most libraries go on only inside MPI calls,
 * so --tests 0 may hide nothing. And in sparse, to take a message of the next exchange for one of
 * this: a rank may learn late that an exchange is over. Two tags in turn keep them apart.
 *
 * Run:     make run P=collective/nonblocking N=2
 * Try:     --tests 0, 1, 10, 1000: how much help does an operation need, and when is it too much?
 * Try:     --variant several beside the first three: do four at once take as long as one by one?
 * Try:     --variant ibcast --fault early --count 1, then 1M: what had left before it was cleared?
 * Test:    -n 1 --count 0:1
 * Test:    -n 3 --count 1001 --root 2 --compute 1ms --variant several
 * Test:    -n 4 --count 10 --variant ialltoall --tests 0
 * Test:    -n 7 --count 100 --variant sparse --seed 3
 * Test:    -n 2 --count 8M --iterations 1 --warmup 0 --variant ibcast
 * Test:    -n 3 --count 100 --variant sparse --as imb --iterations 100
 * Test(1): -n 3 --count 100 --fault corrupt --variant ibcast
 * Test(1): -n 3 --count 100 --fault corrupt --variant sparse
 * Test:    -n 2 --count 0 --fault corrupt
 * Test(2): -n 2 --root 2
 * Test(2): -n 2 --count 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range count;
    int root;
    const char *variant, *fault;
    double compute;
    size_t tests, seed;
    struct timing_options timing;
} opt = { .count = { 1 << 17, 1 << 17 }, .variant = "all", .tests = 20,
          .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "How much of a collective operation hides behind computing",
    .x = "bytes", .x_label = "size of a rank's buffer (bytes)",
    .y = "overlap_percent", .y_label = "overlap (% of the shorter of the two)",
    .series = "variant",
    .linear_y = true,
};

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "elements of 8 bytes that a rank has" },
    { "root", ARG_INT, &opt.root, "rank that broadcasts" },
    { "variant", ARG_CHOICE, &opt.variant, "the operation",
      .choices = "ibcast|iallreduce|ialltoall|several|sparse|persistent|all" },
    { "compute", ARG_SECS, &opt.compute, "time to compute for; 0: as long as the operation takes",
      .max = 3600 },
    { "tests", ARG_SIZE, &opt.tests, "tests during the computation", .max = 1 << 20 },
    { "seed", ARG_SIZE, &opt.seed, "other elements, other partners" },
    { "fault", ARG_CHOICE, &opt.fault, "clear what was given too early, or give a wrong element",
      .choices = "early|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { BCAST, ALLREDUCE, ALLTOALL, BUFFERS }; /* sparse uses those of alltoall */
enum { PARTNERS_MAX = 4 };

struct buffer {
    uint64_t *out, *in, count;
};

/* An exchange of the sparse kind that is under way. */
struct sparse {
    int tag;
    int partners[PARTNERS_MAX], count;
    MPI_Request sends[PARTNERS_MAX], barrier;
    bool in_barrier;
    int *received; /* messages from each rank */
};

struct overlap {
    const struct world *world;
    const struct variant *variant;
    int block; /* elements from one rank to another */
    struct buffer buffers[BUFFERS];
    MPI_Request requests[BUFFERS + 1];
    int started; /* requests */
    struct sparse sparse;
    uint64_t steps;      /* of the computation */
    uint64_t value;      /* its state: closed form below */
    uint64_t done_steps; /* in all */
};

/* ---- The operations: start, test, wait ---- */

static void start_ibcast(struct overlap *o)
{
    const struct buffer *b = &o->buffers[BCAST];

    MPI_Ibcast(o->world->rank == opt.root ? b->out : b->in, (int)b->count, MPI_UINT64_T, opt.root,
               o->world->comm, &o->requests[o->started++]);
}

static void start_iallreduce(struct overlap *o)
{
    const struct buffer *b = &o->buffers[ALLREDUCE];

    MPI_Iallreduce(b->out, b->in, (int)b->count, MPI_UINT64_T, MPI_SUM, o->world->comm,
                   &o->requests[o->started++]);
}

static void start_ialltoall(struct overlap *o)
{
    const struct buffer *b = &o->buffers[ALLTOALL];

    MPI_Ialltoall(b->out, o->block, MPI_UINT64_T, b->in, o->block, MPI_UINT64_T, o->world->comm,
                  &o->requests[o->started++]);
}

/* In the same order on all ranks. */
static void start_several(struct overlap *o)
{
    start_ibcast(o);
    start_iallreduce(o);
    start_ialltoall(o);
    MPI_Ibarrier(o->world->comm, &o->requests[o->started++]);
}

static bool test_requests(struct overlap *o)
{
    int complete;

    MPI_Testall(o->started, o->requests, &complete, MPI_STATUSES_IGNORE);
    return complete;
}

static void wait_requests(struct overlap *o)
{
    MPI_Waitall(o->started, o->requests, MPI_STATUSES_IGNORE);
}

static void start_persistent(struct overlap *o)
{
    MPI_Start(&o->requests[0]);
}

/* Not MPI_Testall, which in MPICH 4.0 does not know requests of persistent collectives. */
static bool test_persistent(struct overlap *o)
{
    int complete;

    MPI_Test(&o->requests[0], &complete, MPI_STATUS_IGNORE);
    return complete;
}

static void wait_persistent(struct overlap *o)
{
    MPI_Wait(&o->requests[0], MPI_STATUS_IGNORE);
}

/* A partner's buffer is read until the partner has it: each has a block of its own. */
static void start_sparse(struct overlap *o)
{
    struct sparse *s = &o->sparse;

    s->tag = 1 - s->tag;
    s->in_barrier = false;
    for (int i = 0; i < s->count; i++)
        MPI_Issend(o->buffers[ALLTOALL].out + (size_t)s->partners[i] * (size_t)o->block, o->block,
                   MPI_UINT64_T, s->partners[i], s->tag, o->world->comm, &s->sends[i]);
}

static bool test_sparse(struct overlap *o)
{
    const MPI_Comm comm = o->world->comm;
    struct sparse *s = &o->sparse;
    int arrived, complete;
    MPI_Status status;

    MPI_Iprobe(MPI_ANY_SOURCE, s->tag, comm, &arrived, &status);
    if (arrived) {
        const int from = status.MPI_SOURCE;
        MPI_Recv(o->buffers[ALLTOALL].in + (size_t)from * (size_t)o->block, o->block, MPI_UINT64_T,
                 from, s->tag, comm, MPI_STATUS_IGNORE);
        s->received[from]++;
    }
    if (s->in_barrier) {
        MPI_Test(&s->barrier, &complete, MPI_STATUS_IGNORE);
        return complete;
    }
    MPI_Testall(s->count, s->sends, &complete, MPI_STATUSES_IGNORE);
    if (complete) {
        MPI_Ibarrier(comm, &s->barrier);
        s->in_barrier = true;
    }
    return false;
}

static void wait_sparse(struct overlap *o)
{
    while (!test_sparse(o))
        if (o->world->oversubscribed)
            sched_yield(); /* those that are waited for may need this core */
}

static const struct variant {
    const char *name;
    void (*start)(struct overlap *o);
    bool (*test)(struct overlap *o);
    void (*wait)(struct overlap *o);
    int first, last; /* buffers that it fills */
} variants[] = {
    { "ibcast", start_ibcast, test_requests, wait_requests, BCAST, BCAST },
    { "iallreduce", start_iallreduce, test_requests, wait_requests, ALLREDUCE, ALLREDUCE },
    { "ialltoall", start_ialltoall, test_requests, wait_requests, ALLTOALL, ALLTOALL },
    { "several", start_several, test_requests, wait_requests, BCAST, ALLTOALL },
    { "sparse", start_sparse, test_sparse, wait_sparse, ALLTOALL, ALLTOALL },
    { "persistent", start_persistent, test_persistent, wait_persistent, ALLREDUCE, ALLREDUCE },
};

static bool has_persistent(void)
{
    return MPI_VERSION >= 4;
}

static void set_up_persistent(struct overlap *o)
{
#if MPI_VERSION >= 4
    const struct buffer *b = &o->buffers[ALLREDUCE];

    MPI_Allreduce_init(b->out, b->in, (int)b->count, MPI_UINT64_T, MPI_SUM, o->world->comm,
                       MPI_INFO_NULL, &o->requests[0]);
#else
    o->requests[0] = MPI_REQUEST_NULL;
#endif
}

/* ---- The computation ---- */

static const uint64_t factor = UINT64_C(6364136223846793005), increment = 1442695040888963407;

/* A step cannot begin before the last one has ended, and no compiler can leave one out. */
static void compute(struct overlap *o, uint64_t steps)
{
    uint64_t value = o->value;

    for (uint64_t i = 0; i < steps; i++)
        value = value * factor + increment;
    o->value = value;
    o->done_steps += steps;
}

/* The state after `steps` from 0, in log2(steps) of them: x -> a x + c, squared and composed. */
static uint64_t value_after(uint64_t steps)
{
    uint64_t a = factor, c = increment, value = 0;

    for (; steps > 0; steps >>= 1) {
        if (steps & 1)
            value = value * a + c;
        c = c * a + c;
        a *= a;
    }
    return value;
}

/* How many steps last for `secs`: rank 0 tries, at its quickest, and all take its answer. */
static uint64_t steps_for(struct overlap *o, double secs)
{
    const uint64_t some = 1000000;
    double least = INFINITY;

    for (int trial = 0; trial < 5; trial++) {
        const int64_t begin = clock_ns();
        compute(o, some);
        least = fmin(least, clock_secs(begin, clock_ns()));
    }
    uint64_t steps = (uint64_t)fmin(1e18, secs / least * (double)some);
    MPI_Bcast(&steps, 1, MPI_UINT64_T, 0, o->world->comm);
    return steps;
}

/* ---- What is timed ---- */

static void start(struct overlap *o)
{
    o->started = 0;
    o->variant->start(o);
}

static void compute_and_complete(struct overlap *o)
{
    const uint64_t parts = opt.tests + 1;
    bool complete = false;

    for (uint64_t part = 0; part < parts; part++) {
        if (part > 0 && !complete)
            complete = o->variant->test(o);
        compute(o, o->steps / parts + (part < o->steps % parts));
    }
    if (!complete)
        o->variant->wait(o);
}

static void both(void *arg)
{
    start(arg);
    compute_and_complete(arg);
}

static void communicate_alone(void *arg)
{
    struct overlap *o = arg;

    start(o);
    o->variant->wait(o);
}

static void compute_alone(void *arg)
{
    struct overlap *o = arg;

    compute(o, o->steps);
}

/* ---- Data and checks ---- */

/* The ranks that `rank` sends to: 0 to PARTNERS_MAX of them, all different. Each rank knows this of
 * all, for the check; the exchange does not ask. */
static int partners_of(const struct world *w, int rank, int partners[PARTNERS_MAX])
{
    const uint64_t wanted = ((uint64_t)rank + 1 + opt.seed) % (PARTNERS_MAX + 1);
    int count = 0;

    for (uint64_t i = 0; i < wanted; i++) {
        const uint64_t place = (uint64_t)rank * PARTNERS_MAX + i;
        const int to = (byte_element(2 * place, opt.seed) * 256 +
                        byte_element(2 * place + 1, opt.seed)) % w->size;
        bool known = false;
        for (int j = 0; j < count; j++)
            known = known || partners[j] == to;
        if (!known)
            partners[count++] = to;
    }
    return count;
}

static bool sends_to(const struct world *w, int rank, int to)
{
    int partners[PARTNERS_MAX];
    const int count = partners_of(w, rank, partners);

    for (int i = 0; i < count; i++)
        if (partners[i] == to)
            return true;
    return false;
}

/* What lies at `place` of what `rank` gives: no two ranks and no two buffers give the same. */
static uint64_t given(const struct overlap *o, int buffer, int rank, uint64_t place)
{
    return element(((uint64_t)rank * BUFFERS + (uint64_t)buffer) * o->buffers[buffer].count + place,
                   opt.seed);
}

static void fill(struct overlap *o)
{
    const bool sparse = arg_is(o->variant->name, "sparse"); /* where the root may have no partner */

    for (int i = o->variant->first; i <= o->variant->last; i++) {
        const struct buffer *b = &o->buffers[i];
        for (uint64_t place = 0; place < b->count; place++)
            b->out[place] = given(o, i, o->world->rank, place);
        memset(b->in, 0, b->count * sizeof *b->in);
        if (arg_is(opt.fault, "corrupt"))
            for (uint64_t place = 0; place < b->count; place += (uint64_t)o->block)
                b->out[place] ^= sparse || o->world->rank == opt.root;
    }
    memset(o->sparse.received, 0, (size_t)o->world->size * sizeof *o->sparse.received);
}

static uint64_t expected(const struct overlap *o, int buffer, uint64_t place)
{
    const struct world *w = o->world;
    uint64_t sum = 0;

    if (buffer == BCAST)
        return given(o, BCAST, opt.root, place);
    if (buffer == ALLREDUCE) {
        for (int rank = 0; rank < w->size; rank++)
            sum += given(o, ALLREDUCE, rank, place);
        return sum;
    }
    const uint64_t block = (uint64_t)o->block;
    return given(o, ALLTOALL, (int)(place / block), (uint64_t)w->rank * block + place % block);
}

static struct verdict check_buffer(const struct overlap *o, int buffer)
{
    const struct world *w = o->world;
    const struct buffer *b = &o->buffers[buffer];
    const bool source = buffer == BCAST && w->rank == opt.root;
    const uint64_t *held = source ? b->out : b->in;
    const bool sparse = arg_is(o->variant->name, "sparse");
    /* with --fault early the root has cleared this itself */
    uint64_t place = source && arg_is(opt.fault, "early") ? b->count : 0;

    while (place < b->count) {
        const bool nothing =
            sparse && o->sparse.received[place / (uint64_t)o->block] == 0; /* and counted below */
        if (held[place] != (nothing ? 0 : expected(o, buffer, place)))
            break;
        place++;
    }
    return verify_places(w, place < b->count ? place : UINT64_MAX,
                         "rank %d: element %" PRIu64 " of what %s brought is wrong", w->rank, place,
                         o->variant->name);
}

/* Each message exactly once, none from elsewhere, and as many received as sent. */
static struct verdict check_messages(const struct overlap *o)
{
    const struct world *w = o->world;
    int64_t sent = o->sparse.count, received = 0, wrong = -1;

    for (int rank = w->size - 1; rank >= 0; rank--) {
        received += o->sparse.received[rank];
        if (o->sparse.received[rank] != sends_to(w, rank, w->rank))
            wrong = rank;
    }
    MPI_Allreduce(MPI_IN_PLACE, &sent, 1, MPI_INT64_T, MPI_SUM, w->comm);
    MPI_Allreduce(MPI_IN_PLACE, &received, 1, MPI_INT64_T, MPI_SUM, w->comm);
    return verdict_both(
        verify_places(w, wrong < 0 ? UINT64_MAX : (uint64_t)wrong,
                      "rank %d got %d messages from rank %d, not %d", w->rank,
                      wrong < 0 ? 0 : o->sparse.received[wrong], (int)wrong,
                      wrong < 0 ? 0 : sends_to(w, (int)wrong, w->rank)),
        verify_places(w, sent == received ? UINT64_MAX : 0,
                      "%" PRId64 " messages were sent, and %" PRId64 " received", sent, received));
}

static struct verdict check(struct overlap *o)
{
    struct verdict verdict = { .right = true };

    fill(o);
    start(o);
    if (arg_is(opt.fault, "early"))
        for (int i = o->variant->first; i <= o->variant->last; i++)
            if (i != BCAST || o->world->rank == opt.root)
                memset(o->buffers[i].out, 0, o->buffers[i].count * sizeof(uint64_t));
    compute_and_complete(o);
    for (int i = o->variant->first; i <= o->variant->last; i++)
        verdict = verdict_both(verdict, check_buffer(o, i));
    if (arg_is(o->variant->name, "sparse"))
        verdict = verdict_both(verdict, check_messages(o));
    const bool computed = o->value == value_after(o->done_steps);
    return verdict_both(verdict, verify_places(o->world, computed ? UINT64_MAX : 0,
                                               "rank %d computed a wrong value", o->world->rank));
}

/* ---- Runs ---- */

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void add_row(struct world *w, const struct overlap *o, double alone, double work,
                    const struct timing *together, uint64_t bytes, bool right)
{
    const double saved = alone + work - secs_of(together);
    const double shorter = fmin(alone, work);
    const bool known = right && shorter > 1e-6; /* less is lost among the calls of the clock */
    struct record row = w->program.record;

    record_text(&row, "variant", o->variant->name);
    record_int(&row, "tests", (int64_t)opt.tests);
    record_real(&row, "operation_s", right ? alone : NAN);
    record_real(&row, "compute_s", right ? work : NAN);
    record_real(&row, "saved_s", right ? saved : NAN);
    record_real(&row, "overlap_percent", known ? 100 * fmax(0, fmin(1, saved / shorter)) : NAN);
    timing_fields(&row, together, bytes, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, together);
}

/* The most blocks that a rank sends, or receives, of the sparse kind. */
static int sparse_blocks(const struct overlap *o)
{
    const struct world *w = o->world;
    int received = 0;

    for (int rank = 0; rank < w->size; rank++)
        received += sends_to(w, rank, w->rank);
    int most = o->sparse.count > received ? o->sparse.count : received;
    MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT, MPI_MAX, w->comm);
    return most;
}

/* The buffers that the variant uses. Returns what the larger one of a rank holds, in bytes. */
static uint64_t overlap_open(struct overlap *o, size_t count)
{
    const struct world *w = o->world;
    const size_t size = (size_t)w->size;
    uint64_t bytes = 0;

    o->block = (int)((count + size - 1) / size);
    for (int i = o->variant->first; i <= o->variant->last; i++) {
        struct buffer *b = &o->buffers[i];
        b->count = i == ALLTOALL ? (size_t)o->block * size : count;
        b->out = world_alloc(w, b->count, sizeof *b->out);
        b->in = world_alloc(w, b->count, sizeof *b->in);
        bytes += b->count * sizeof *b->out;
    }
    o->sparse.received = world_alloc(w, size, sizeof *o->sparse.received);
    o->sparse.count = partners_of(w, w->rank, o->sparse.partners);
    if (arg_is(o->variant->name, "persistent"))
        set_up_persistent(o);
    if (arg_is(o->variant->name, "sparse"))
        return (uint64_t)sparse_blocks(o) * (uint64_t)o->block * sizeof(uint64_t);
    return bytes;
}

static void overlap_close(struct overlap *o)
{
    if (arg_is(o->variant->name, "persistent"))
        MPI_Request_free(&o->requests[0]);
    for (int i = 0; i < BUFFERS; i++) {
        free(o->buffers[i].out);
        free(o->buffers[i].in);
    }
    free(o->sparse.received);
}

static struct verdict run_variant(struct world *w, const struct variant *variant, size_t count)
{
    struct overlap o = { .world = w, .variant = variant };
    struct timing alone = { .as = opt.timing.as }, computing = alone, together = alone;
    const uint64_t bytes = overlap_open(&o, count);
    struct verdict verdict = check(&o);

    if (verdict.right) {
        alone = timing_run(w, &opt.timing, bytes, communicate_alone, &o);
        o.steps = steps_for(&o, opt.compute > 0 ? opt.compute : secs_of(&alone));
        computing = timing_run(w, &opt.timing, bytes, compute_alone, &o);
        together = timing_run(w, &opt.timing, bytes, both, &o);
        verdict = check(&o);
    }
    add_row(w, &o, secs_of(&alone), secs_of(&computing), &together, bytes, verdict.right);
    overlap_close(&o);
    return verdict;
}

static bool runs(const struct variant *variant)
{
    if (arg_is(variant->name, "persistent") && !has_persistent())
        return false;
    return arg_is(opt.variant, "all") || arg_is(opt.variant, variant->name);
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t count = opt.count.from;
    char counts[64];

    if (arg_is(opt.variant, "all") && !has_persistent())
        program_note(&w->program, "persistent is left out: this MPI library has no "
                                  "MPI_Allreduce_init");
    do
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (runs(&variants[i]))
                verdict = verdict_both(verdict, run_variant(w, &variants[i], count));
    while ((count = range_next(&opt.count, count)) > 0);

    program_fault(&w->program, opt.fault, verdict.right,
                  opt.count.to == 0               ? "there are no elements"
                  : arg_is(opt.fault, "corrupt") ? "no rank has a partner"
                                                  : "the library had read the elements in time");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (w->oversubscribed)
        program_note(&w->program, "ranks share cores, where others compute while one waits: the "
                                  "overlap says nothing");
    return program_verdict(&w->program, true, "%s elements and a computation on %d rank%s, both "
                           "right", range_text(&opt.count, counts), w->size,
                           w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS && opt.count.to > INT_MAX)
        status = world_usage(&w, "--count %zu: counts of MPI are int: give at most %d",
                             opt.count.to, INT_MAX);
    if (status == PASS && arg_is(opt.variant, "persistent") && !has_persistent()) {
        if (w.rank == 0)
            program_error("--variant persistent: MPI_Allreduce_init came with MPI 4, and this "
                          "library has not got it: choose another variant");
        status = UNABLE;
    }
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
