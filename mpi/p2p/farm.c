/*
 * farm - a master hands out tasks of uneven cost, and workers come back for more
 *
 * The work is a picture of the Mandelbrot set, cut into --tasks strips of rows. Strips that cross
 * the set cost many times as much as the others, and nobody knows which before. Rank 0 is the
 * master: it receives results from any worker (MPI_ANY_SOURCE, several at once by MPI_Waitsome),
 * sees in the status who sent each, and sends that worker its next order. When all results are in,
 * every worker gets the word to stop.
 *
 *   dynamic  an order is one task
 *   chunk    an order is a share of what is left: many tasks at first, then fewer and fewer
 *   static   each worker gets its part at the start, whatever it costs
 *
 * The picture is the same, byte for byte, on any number of ranks. The table sets the time against
 * the ideal: all work over the sum of the workers' speeds. Work is CPU time: waiting for a core is
 * none. Workers that share cores count with their share of one, which makes the ideal an estimate:
 * they have more once others are done. A worker made slow by --slow shows what it is worth that
 * the master decides late.
 *
 * What can go wrong: large tasks; whoever gets the last one keeps all others waiting. Small tasks
 * cost messages instead. With --ahead 1 a worker has nothing to do until the master has answered,
 * which takes milliseconds where they share a core; the more tasks lie ready, the more of them wait
 * behind a slow worker. And a worker that nobody tells to stop waits for ever (--fault no_stop), or
 * a task is done twice (--fault twice).
 *
 * Run:     make run P=farm N=4 ARGS="--image mandelbrot.png"
 * Try:     --variant all --slow 1:10: which way suffers?
 * Try:     --slow 1:10 with --tasks 20, 100 and 600: who is the last, and with what?
 * Try:     --slow 1:10 --show with --ahead 1, 8 and 64: what waits behind the slow worker?
 * Try:     1, 2 and 8 ranks, each with --image, and compare the files
 * Test:    -n 1 --tasks 0
 * Test:    -n 3 --tasks 1 --variant all
 * Test:    -n 5 --tasks 1000 --width 31 --height 17 --variant all --ahead 1
 * Test:    -n 4 --slow 1:10 --variant all --width 120 --height 100 --ahead 16 --show
 * Test:    -n 1 --fault twice --width 90 --height 60
 * Test:    -n 3 --depth 1 --width 90 --height 61 --ahead 64
 * Test(1): -n 3 --fault twice --width 90 --height 60 --variant all
 * Test(3): -n 3 --fault no_stop --limit 0.3 --width 90 --height 60
 * Test(2): -n 2 --slow 1
 * Test(2): -n 2 --slow 5:2
 * Test(2): -n 1 --slow 1:2
 * Test(2): -n 2 --width 20001
 * Test(2): -n 2 --image farm.jpg
 * Test(2): -n 2 --image /nonexistent/farm.png
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "local/lib/clock.h"
#include "local/lib/cpus.h"
#include "local/lib/data.h"
#include "local/lib/image.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t tasks, width, height, depth, ahead;
    const char *variant, *slow, *image, *fault;
    double limit;
    bool show;
    int slow_rank, slow_factor; /* from --slow */
} opt = { 600, 900, 600, 500, 0, .variant = "dynamic", .limit = 2, .slow_rank = -1 };

static const struct arg options[] = {
    { "tasks", ARG_SIZE, &opt.tasks, "strips that the picture is cut into" },
    { "width", ARG_SIZE, &opt.width, "of the picture, in pixels", .min = 1 },
    { "height", ARG_SIZE, &opt.height, "of the picture, in pixels", .min = 1 },
    { "depth", ARG_SIZE, &opt.depth, "iterations after which a point is in the set", .min = 1,
      .max = 1 << 20 },
    { "ahead", ARG_SIZE, &opt.ahead,
      "tasks that a worker is to have at a time; 0: 1 to 8, by how many there are" },
    { "variant", ARG_CHOICE, &opt.variant, "how tasks are handed out",
      .choices = "dynamic|chunk|static|all" },
    { "slow", ARG_TEXT, &opt.slow, "RANK:FACTOR, a worker that computes FACTOR times as long" },
    { "image", ARG_FILE, &opt.image, "write the picture to this .png file" },
    { "show", ARG_FLAG, &opt.show, "print how many tasks each worker did" },
    { "fault", ARG_CHOICE, &opt.fault, "do not tell a worker to stop, or have a task done twice",
      .choices = "no_stop|twice" },
    { "limit", ARG_SECS, &opt.limit, "after which a worker that waits in vain ends the job" },
    ARGS_END,
};

enum { WORK = 0, RESULT = 1 }; /* tags */
enum { SIDE_MOST = 20000, TASKS_MOST = 1000000, AHEAD_MOST = 64, RECEIVES = 8 };

/* What the master sends: tasks first ... first + count - 1; none is the word to stop. */
struct order {
    int first, count;
};

/* What a worker sends: the order, what it cost, and the rows' pixels. */
struct result {
    struct order order;
    double cpu_secs;
    uint16_t pixels[]; /* iterations */
};

/* What the master knows of a rank. */
struct account {
    bool given;  /* it got an order */
    int waiting; /* tasks given to it whose result has not come */
    int done;
    double cpu_secs;
};

struct farm {
    const struct world *world;
    const char *variant;
    struct stall *stall;
    int ahead;           /* tasks that a worker is to have, so also orders at most */
    size_t result_bytes; /* of the longest result */
    int slots;           /* results in the buffer: to receive on the master, to send on a worker */
    char *results;
    /* The master's: */
    uint16_t *picture;
    int *visits; /* how often each task's result came */
    struct account *accounts;
    int next;        /* the first task that was not handed out */
    int outstanding; /* orders handed out whose result has not come */
};

/* ---- The work ---- */

/* Pixel centres lie symmetrically about the real axis, so that the picture is its own mirror. */
static double real_of(size_t column)
{
    return -2.4 + 3.6 * ((double)column + 0.5) / (double)opt.width;
}

static double imaginary_of(size_t row)
{
    return 1.2 * (2 * ((double)row + 0.5) - (double)opt.height) / (double)opt.height;
}

/* Iterations of z -> z^2 + c, c = a + b i, before |z| > 2; at most --depth. */
static uint16_t iterations(double a, double b)
{
    double x = 0, y = 0, xx = 0, yy = 0;
    size_t count = 0;

    for (; count < opt.depth && xx + yy <= 4; count++) {
        y = 2 * x * y + b;
        x = xx - yy + a;
        xx = x * x;
        yy = y * y;
    }
    return (uint16_t)count;
}

static struct block rows_of(struct order order)
{
    const uint64_t last = (uint64_t)(order.first + order.count - 1);
    const struct block begin = block_of(opt.height, opt.tasks, (uint64_t)order.first);
    const struct block end = block_of(opt.height, opt.tasks, last);

    return (struct block){ begin.start, end.start + end.count - begin.start };
}

static void compute(struct order order, uint16_t *pixels)
{
    const struct block rows = rows_of(order);

    for (uint64_t row = rows.start; row < rows.start + rows.count; row++)
        for (size_t column = 0; column < opt.width; column++)
            *pixels++ = iterations(real_of(column), imaginary_of(row));
}

static double cpu_secs(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int factor_of(int rank)
{
    return rank == opt.slow_rank ? opt.slow_factor : 1;
}

/* A slow worker computes the same again and again. Returns the bytes of the result. */
static int work_on(const struct farm *f, struct order order, struct result *result)
{
    const double begin = cpu_secs();

    for (int times = factor_of(f->world->rank); times > 0; times--)
        compute(order, result->pixels);
    result->order = order;
    result->cpu_secs = cpu_secs() - begin;
    return (int)(sizeof *result + rows_of(order).count * opt.width * sizeof *result->pixels);
}

static struct result *result_at(const struct farm *f, int slot)
{
    return (struct result *)(void *)(f->results + (size_t)slot * f->result_bytes);
}

/* ---- A worker ---- */

/*
 * Receives for all orders that it can have are always posted, so that the master's sends need not
 * wait, and results leave while the next order is worked on: neither waits for the other to look.
 */
static void worker(const struct farm *f)
{
    const MPI_Comm comm = f->world->comm;
    const int ahead = f->ahead;
    MPI_Request orders_in[AHEAD_MOST], results_out[AHEAD_MOST];
    struct order orders[AHEAD_MOST];

    for (int slot = 0; slot < ahead; slot++) {
        MPI_Irecv(&orders[slot], 2, MPI_INT, 0, WORK, comm, &orders_in[slot]);
        results_out[slot] = MPI_REQUEST_NULL;
    }
    for (int slot = 0;; slot = (slot + 1) % ahead) {
        stall_enter(f->stall, "MPI_Wait", 0, WORK);
        MPI_Wait(&orders_in[slot], MPI_STATUS_IGNORE);
        stall_leave(f->stall);
        if (orders[slot].count == 0)
            break;
        const int out = slot % f->slots;
        MPI_Wait(&results_out[out], MPI_STATUS_IGNORE);
        const int bytes = work_on(f, orders[slot], result_at(f, out));
        MPI_Irecv(&orders[slot], 2, MPI_INT, 0, WORK, comm, &orders_in[slot]);
        MPI_Isend(result_at(f, out), bytes, MPI_BYTE, 0, RESULT, comm, &results_out[out]);
    }
    MPI_Waitall(ahead, results_out, MPI_STATUSES_IGNORE);
    MPI_Waitall(ahead, orders_in, MPI_STATUSES_IGNORE); /* as many words to stop */
}

/* ---- The master ---- */

/* How many of the tasks that are `left` a worker gets with its next order. */
static int order_count(const struct farm *f, int rank, int left)
{
    const uint64_t workers = (uint64_t)f->world->size - 1;
    const int share = left / (4 * (int)workers);

    if (strcmp(f->variant, "static") == 0)
        return f->accounts[rank].given
                   ? 0
                   : (int)block_of(opt.tasks, workers, (uint64_t)rank - 1).count;
    if (strcmp(f->variant, "chunk") == 0 && share > 1)
        return share;
    return left > 0;
}

/* Returns whether there was an order for this worker. */
static bool give(struct farm *f, int rank)
{
    const int count = order_count(f, rank, (int)opt.tasks - f->next);
    struct order order = { f->next, count };

    f->accounts[rank].given = true;
    if (count == 0)
        return false;
    if (arg_is(opt.fault, "twice") && order.first > 0)
        order.first--;
    MPI_Send(&order, 2, MPI_INT, rank, WORK, f->world->comm);
    f->next += count;
    f->accounts[rank].waiting += count;
    f->outstanding++;
    return true;
}

/* In turns, so that few tasks do not all go to the first worker. */
static void give_first(struct farm *f)
{
    for (int turn = 0; turn < f->ahead; turn++)
        for (int rank = 1; rank < f->world->size; rank++)
            if (f->accounts[rank].waiting < f->ahead)
                give(f, rank);
}

/* When all results are here every worker has its receives posted, and each must get its message. */
static void stop_all(const struct farm *f)
{
    const struct order stop = { 0, 0 };
    const int told = f->world->size - arg_is(opt.fault, "no_stop");

    for (int rank = 1; rank < told; rank++)
        for (int i = 0; i < f->ahead; i++)
            MPI_Send(&stop, 2, MPI_INT, rank, WORK, f->world->comm);
}

static void keep(struct farm *f, int rank, const struct result *result)
{
    const struct order order = result->order;
    const struct block rows = rows_of(order);

    memcpy(f->picture + rows.start * opt.width, result->pixels,
           rows.count * opt.width * sizeof *f->picture);
    for (int task = order.first; task < order.first + order.count; task++)
        f->visits[task]++;
    f->accounts[rank].waiting -= order.count;
    f->accounts[rank].done += order.count;
    f->accounts[rank].cpu_secs += result->cpu_secs;
}

/* Posts receives, but no more than results will come: none may be left over at the end. */
static void expect_results(const struct farm *f, MPI_Request *requests)
{
    int posted = 0;

    for (int slot = 0; slot < f->slots; slot++)
        posted += requests[slot] != MPI_REQUEST_NULL;
    for (int slot = 0; slot < f->slots && posted < f->outstanding; slot++) {
        if (requests[slot] != MPI_REQUEST_NULL)
            continue;
        MPI_Irecv(result_at(f, slot), (int)f->result_bytes, MPI_BYTE, MPI_ANY_SOURCE, RESULT,
                  f->world->comm, &requests[slot]);
        posted++;
    }
}

/* MPI_Waitsome keeps its core busy; where workers need that core, the master sleeps between looks.
 * Returns how many results came. */
static int wait_for_results(const struct farm *f, MPI_Request *requests, int *slots,
                            MPI_Status *statuses)
{
    int count = 0;

    if (!f->world->oversubscribed) {
        MPI_Waitsome(f->slots, requests, &count, slots, statuses);
        return count;
    }
    for (;;) {
        MPI_Testsome(f->slots, requests, &count, slots, statuses);
        if (count > 0)
            return count;
        clock_sleep(20e-6);
    }
}

static void master(struct farm *f)
{
    MPI_Request requests[RECEIVES];
    MPI_Status statuses[RECEIVES];
    int slots[RECEIVES];

    for (int slot = 0; slot < f->slots; slot++)
        requests[slot] = MPI_REQUEST_NULL;
    give_first(f);
    while (f->outstanding > 0) {
        expect_results(f, requests);
        const int count = wait_for_results(f, requests, slots, statuses);
        f->outstanding -= count;
        for (int i = 0; i < count; i++) {
            const int rank = statuses[i].MPI_SOURCE;
            keep(f, rank, result_at(f, slots[i]));
            while (f->accounts[rank].waiting < f->ahead && give(f, rank))
                ;
        }
    }
    stop_all(f);
}

/* One rank alone is master and worker. */
static void alone(struct farm *f)
{
    for (struct order order = { 0, 1 }; order.first < (int)opt.tasks; order.first++) {
        work_on(f, order, result_at(f, 0));
        keep(f, 0, result_at(f, 0));
    }
}

/* ---- Checks, on the master ---- */

/*
 * What closed forms tell of c = a + b i, or -1: in the main cardioid or in the disc of period 2 no
 * point ever escapes; z1 = c and z2 = c (c + 1) show who escapes at once. Not next to a boundary,
 * where rounding decides.
 */
static int known_count(double a, double b)
{
    const double margin = 1e-9;
    const double z1 = a * a + b * b, c1 = (a + 1) * (a + 1) + b * b; /* |z1|^2, |c + 1|^2 */
    const double q = (a - 0.25) * (a - 0.25) + b * b;

    if (q * (q + a - 0.25) < 0.25 * b * b - margin || c1 < 0.0625 - margin)
        return (int)opt.depth;
    if (z1 > 4 + margin)
        return 1;
    if (z1 < 4 - margin && z1 * c1 > 4 + margin)
        return opt.depth < 2 ? (int)opt.depth : 2;
    return -1;
}

/*
 * Against the code that computed it: the closed forms, and the mirror. Against its way here: one
 * pixel of each row is computed again, and the mirror, whose rows belong to other tasks.
 */
static bool row_is_right(const struct farm *f, size_t row)
{
    const uint16_t *const pixels = f->picture + row * opt.width;
    const uint16_t *const mirror = f->picture + (opt.height - 1 - row) * opt.width;
    const double imaginary = imaginary_of(row);
    const size_t sample = row * 37 % opt.width;

    for (size_t column = 0; column < opt.width; column++) {
        const int known = known_count(real_of(column), imaginary);
        if (pixels[column] != mirror[column] || (known >= 0 && pixels[column] != known))
            return false;
    }
    return pixels[sample] == iterations(real_of(sample), imaginary);
}

static struct verdict check(const struct farm *f)
{
    const bool leads = f->world->rank == 0;
    uint64_t visited = UINT64_MAX, row = UINT64_MAX;

    for (size_t task = opt.tasks; leads && task-- > 0;)
        if (f->visits[task] != 1)
            visited = task;
    for (size_t i = opt.height; leads && opt.tasks > 0 && i-- > 0;)
        if (!row_is_right(f, i))
            row = i;
    return verdict_both(verify_places(f->world, visited, "%s: task %" PRIu64 " was done %d times",
                                      f->variant, visited,
                                      visited == UINT64_MAX ? 1 : f->visits[visited]),
                        verify_places(f->world, row, "%s: a pixel of row %" PRIu64 " is wrong",
                                      f->variant, row));
}

/* ---- Results ---- */

/* Collective. Of all workers, on rank 0; 1 is a worker with a core of its own and no --slow. */
static double speed_of_all(const struct world *w)
{
    const bool works = w->rank > 0 || w->size == 1;
    int workers = works;
    double share = 1, sum = 0;
    struct cpus cpus;

    MPI_Allreduce(MPI_IN_PLACE, &workers, 1, MPI_INT, MPI_SUM, w->node_comm);
    if (cpus_granted(&cpus) == 0) {
        MPI_Allreduce(MPI_IN_PLACE, cpus.words, CPUS_WORDS, MPI_UINT64_T, MPI_BOR, w->node_comm);
        share = workers > 0 ? fmin(1, (double)cpus_count(&cpus) / workers) : 0;
    }
    const double mine = works ? share / factor_of(w->rank) : 0;
    MPI_Reduce(&mine, &sum, 1, MPI_DOUBLE, MPI_SUM, 0, w->comm);
    return sum;
}

static void show_accounts(struct world *w, const struct farm *f)
{
    for (int rank = w->size > 1; rank < w->size; rank++)
        program_note(&w->program, "%s: rank %d did %d tasks in %.1f ms", f->variant, rank,
                     f->accounts[rank].done, 1e3 * f->accounts[rank].cpu_secs);
}

static void add_row(struct world *w, const struct farm *f, double secs, double speed, bool right)
{
    const int workers = w->size > 1 ? w->size - 1 : 1;
    double most = 0, sum = 0, work = 0;

    for (int rank = w->size > 1; rank < w->size; rank++) {
        most = fmax(most, f->accounts[rank].cpu_secs);
        sum += f->accounts[rank].cpu_secs;
        work += f->accounts[rank].cpu_secs / factor_of(rank);
    }
    const double ideal = work / speed, mean = sum / workers;
    struct record row = w->program.record;
    record_text(&row, "variant", f->variant);
    record_int(&row, "tasks", (int64_t)opt.tasks);
    record_int(&row, "ahead", f->ahead);
    record_text(&row, "slow", opt.slow);
    row.aside = true;
    record_int(&row, "width", (int64_t)opt.width);
    record_int(&row, "height", (int64_t)opt.height);
    record_int(&row, "depth", (int64_t)opt.depth);
    row.aside = false;
    record_real(&row, "total_s", right ? secs : NAN);
    record_real(&row, "ideal_s", right ? ideal : NAN);
    record_real(&row, "against_ideal", right && ideal > 0 ? secs / ideal : NAN);
    record_real(&row, "busy_mean_s", right ? mean : NAN);
    record_real(&row, "busy_max_s", right ? most : NAN);
    record_real(&row, "imbalance", right && mean > 0 ? most / mean : NAN);
    record_real(&row, "tasks_per_s", right ? (double)opt.tasks / secs : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

/* Black inside; outside in waves, the longer a point took to escape. */
static void colour(uint16_t value, unsigned char rgb[3])
{
    if (value >= opt.depth)
        memset(rgb, 0, 3);
    else
        image_colour(0.5 + 0.5 * sin(0.7 * sqrt((double)value) - 1.2), rgb);
}

static int write_image(const struct farm *f)
{
    const size_t pixels = opt.width * opt.height;
    unsigned char *rgb = world_alloc(f->world, pixels, 3);

    for (size_t i = 0; i < pixels; i++)
        colour(f->picture[i], rgb + 3 * i);
    const int result = image_write_png(opt.image, rgb, (int)opt.width, (int)opt.height);
    free(rgb);
    if (result)
        program_error("--image %s: %s: name a file that can be written", opt.image,
                      strerror(errno));
    return result;
}

/* ---- Runs ---- */

static void *zeros(const struct world *w, size_t count, size_t size)
{
    void *memory = world_alloc(w, count, size);

    memset(memory, 0, count * size);
    return memory;
}

/* Few, where there are few tasks: what lies behind a slow worker is a small part of its share. */
static int choose_ahead(const struct world *w)
{
    const size_t part = w->size > 1 ? opt.tasks / (size_t)(w->size - 1) / 16 : 1;

    if (opt.ahead > 0)
        return (int)opt.ahead;
    return part < 1 ? 1 : part > 8 ? 8 : (int)part;
}

static struct farm farm_open(const struct world *w, const char *variant, struct stall *stall)
{
    const bool leads = w->rank == 0;
    struct farm f = { .world = w, .variant = variant, .stall = stall, .ahead = choose_ahead(w) };

    f.accounts = zeros(w, (size_t)w->size, sizeof *f.accounts);
    /* The first order is the longest, and the first strips are the highest. */
    const int longest = w->size > 1 ? order_count(&f, 1, (int)opt.tasks) : opt.tasks > 0;
    const size_t rows = longest > 0 ? rows_of((struct order){ 0, longest }).count : 0;
    const size_t pixels = (rows * opt.width + 3) / 4 * 4; /* results lie aligned behind another */
    f.result_bytes = sizeof(struct result) + pixels * sizeof(uint16_t);
    const int room = leads ? RECEIVES : f.ahead;
    const int orders = longest > 0 ? (int)opt.tasks / longest + 1 : 1; /* as long as that */
    f.slots = room < orders ? room : orders;
    f.results = world_alloc(w, (size_t)f.slots, f.result_bytes);
    f.picture = zeros(w, leads ? opt.width * opt.height : 0, sizeof *f.picture);
    f.visits = zeros(w, leads ? opt.tasks : 0, sizeof *f.visits);
    return f;
}

static void farm_close(struct farm *f)
{
    free(f->visits);
    free(f->picture);
    free(f->results);
    free(f->accounts);
}

static struct verdict run_variant(struct world *w, const char *variant)
{
    struct stall stall = { 0 };
    struct farm f = farm_open(w, variant, &stall);

    if (arg_is(opt.fault, "no_stop") && stall_start(&stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    MPI_Barrier(w->comm);
    const int64_t begin = clock_ns();
    if (w->size == 1)
        alone(&f);
    else if (w->rank == 0)
        master(&f);
    else
        worker(&f);
    const double secs = clock_secs(begin, clock_ns());
    stall_stop(&stall);

    const struct verdict verdict = check(&f);
    const double speed = speed_of_all(w);
    if (opt.show && w->rank == 0)
        show_accounts(w, &f);
    add_row(w, &f, secs, speed, verdict.right);
    if (verdict.right && w->rank == 0 && opt.image && write_image(&f))
        w->program.lost = true;
    farm_close(&f);
    return verdict;
}

static enum status run(struct world *w)
{
    static const char *const variants[] = { "dynamic", "chunk", "static" };
    struct verdict verdict = { .right = true };

    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i]))
            verdict = verdict_both(verdict, run_variant(w, variants[i]));

    program_fault(&w->program, opt.fault, verdict.right,
                  w->size > 1 ? "there is no second order" : "there is no worker");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu tasks, each done once, by %d worker%s",
                           opt.tasks, w->size > 1 ? w->size - 1 : 1, w->size > 2 ? "s" : "");
}

/* ---- Options ---- */

static enum status check_slow(struct world *w)
{
    char end;

    if (!opt.slow)
        return PASS;
    if (sscanf(opt.slow, "%9d:%9d%c", &opt.slow_rank, &opt.slow_factor, &end) != 2 ||
        opt.slow_factor < 1)
        return world_usage(w, "--slow %s: give RANK:FACTOR, whole numbers, as in 1:10", opt.slow);
    if (w->size == 1)
        return world_usage(w, "--slow %s: there is no worker: run it on 2 ranks or more", opt.slow);
    if (opt.slow_rank < 1 || opt.slow_rank >= w->size)
        return world_usage(w, "--slow %s: the workers are ranks 1 to %d: choose one of them",
                           opt.slow, w->size - 1);
    return PASS;
}

static enum status check_sizes(const struct world *w)
{
    if (opt.width > SIDE_MOST || opt.height > SIDE_MOST || opt.depth > UINT16_MAX)
        return world_usage(w, "too large: give at most %d for --width and --height, %d for --depth",
                           SIDE_MOST, UINT16_MAX);
    if (opt.tasks > TASKS_MOST || opt.ahead > AHEAD_MOST)
        return world_usage(w, "too many: give at most %d for --tasks, %d for --ahead", TASKS_MOST,
                           AHEAD_MOST);
    if (!(opt.limit > 0))
        return world_usage(w, "--limit 0: no time to tell a stall: give more than 0");
    return PASS;
}

static enum status check_image(const struct world *w)
{
    char error[512];

    if (!opt.image || w->rank > 0)
        return PASS;
    const enum status status = image_check(opt.image, error, sizeof error);
    if (status != PASS)
        program_error("--image %s", error);
    return status;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS)
        status = check_sizes(&w);
    if (status == PASS)
        status = check_slow(&w);
    if (status == PASS)
        status = world_agree(&w, check_image(&w));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
