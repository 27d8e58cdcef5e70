/*
 * farm - a master hands out tasks of uneven cost, and workers ask for more
 *
 * The work is a picture of the Mandelbrot set, cut into --tasks strips of rows. Strips that cross the set
 * cost many times as much as the others, and nobody knows which before. Rank 0 is the master: it
 * receives a result from any worker (MPI_ANY_SOURCE), sees in the status who sent it, and sends that
 * worker its next tasks, or the word that there are none.
 *
 *   dynamic  one task at a time
 *   chunk    many tasks at first, fewer and fewer as they become less
 *   static   each worker gets its part at the start, whatever it costs
 *
 * The picture is the same, byte for byte, on any number of ranks. The table sets the time against
 * the ideal: all work divided by the sum of the workers' speeds. A worker made slow by --slow shows
 * what the master's freedom is worth.
 *
 * What can go wrong: tasks that are too large. Whoever gets the last one keeps all others waiting,
 * and ten times as long if it is the slow one. Tasks that are too small cost messages instead. And a worker that nobody
 * tells to stop waits for ever (--fault no_stop); a task may be handed out twice (--fault twice).
 *
 * Run:     make run P=farm N=4 ARGS="--image mandelbrot.png"
 * Try:     --variant all --slow 1:10: which way suffers?
 * Try:     --slow 1:10 with --tasks 20, 100 and 600: who is the last, and with what?
 * Try:     1, 2 and 8 ranks, each with --image, and compare the files
 * Test:    -n 1 --tasks 0
 * Test:    -n 3 --tasks 1 --variant all
 * Test:    -n 5 --tasks 1000 --width 31 --height 17 --variant all
 * Test:    -n 4 --slow 1:10 --variant all --width 120 --height 100
 * Test(1): -n 3 --fault twice --width 90 --height 60
 * Test(3): -n 3 --fault no_stop --limit 0.3 --width 90 --height 60
 * Test(2): -n 2 --slow 1
 * Test(2): -n 2 --slow 5:2
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
    size_t tasks, width, height, depth;
    const char *variant, *slow, *image, *fault;
    double limit;
    bool show;
    int slow_rank, slow_factor; /* from --slow */
} opt = { 600, 900, 600, 500, .variant = "dynamic", .limit = 2, .slow_rank = -1, .slow_factor = 1 };

static const struct arg options[] = {
    { "tasks", ARG_SIZE, &opt.tasks, "strips that the picture is cut into" },
    { "width", ARG_SIZE, &opt.width, "of the picture, in pixels", .min = 1 },
    { "height", ARG_SIZE, &opt.height, "of the picture, in pixels", .min = 1 },
    { "depth", ARG_SIZE, &opt.depth, "iterations after which a point counts as in the set", .min = 1 },
    { "variant", ARG_CHOICE, &opt.variant, "how tasks are handed out",
      .choices = "dynamic|chunk|static|all" },
    { "slow", ARG_TEXT, &opt.slow, "RANK:FACTOR, a worker that takes FACTOR times as long" },
    { "image", ARG_TEXT, &opt.image, "write the picture to this .png file" },
    { "show", ARG_FLAG, &opt.show, "print how many tasks each worker did" },
    { "fault", ARG_CHOICE, &opt.fault, "do not tell a worker to stop, or hand a task out twice",
      .choices = "no_stop|twice" },
    { "limit", ARG_SECS, &opt.limit, "after which a worker that waits in vain ends the job" },
    ARGS_END,
};

enum { WORK = 0, RESULT = 1 }; /* tags */
enum { SIZE_MAX_PIXELS = 20000, AHEAD = 8 };

/* What the master sends: tasks first ... first + count - 1; none means to stop. */
struct order {
    int first, count;
};

/* What a worker sends before the strip's pixels, in the same message. */
struct result {
    int task;
    int pixels;
    double cpu_secs; /* of computing it once */
};

struct farm {
    const struct world *world;
    const char *variant;
    struct stall *stall;
    uint16_t *picture; /* master: iterations of each pixel */
    int *visits;       /* master: how often each task's result came */
    int next;          /* master: the first task that was not handed out */
    int *outstanding;  /* master: tasks that each rank has */
    int *orders;       /* master: how many each rank got */
    int *stopped;      /* master: which ranks were told to stop */
    int *done;         /* master: tasks that each rank did */
    double *busy_secs, *cost_secs; /* master: of each rank, as it took and as one would without --slow */
    int bytes;         /* of the longest message */
    char *message;     /* a worker: AHEAD of them */
};

/* ---- The work ---- */

/* Pixel centres lie symmetrically about the real axis, so that the picture is its own mirror. */
static double real_of(size_t column)
{
    return -2.2 + 3.2 * ((double)column + 0.5) / (double)opt.width;
}

static double imaginary_of(size_t row)
{
    return 1.1 * (2 * ((double)row + 0.5) - (double)opt.height) / (double)opt.height;
}

/* Iterations of z -> z^2 + c before |z| > 2, at most --depth. */
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

static struct block rows_of(int task)
{
    return block_of(opt.height, opt.tasks, (uint64_t)task);
}

static void compute(int task, uint16_t *pixels)
{
    const struct block rows = rows_of(task);

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

/* ---- A worker ---- */

/* A slow worker computes again and again; CPU time, so that waiting for a core is not counted. */
static int work_on(const struct farm *f, int task, char *message)
{
    const int times = f->world->rank == opt.slow_rank ? opt.slow_factor : 1;
    struct result *result = (struct result *)(void *)message;
    const double begin = cpu_secs();

    for (int i = 0; i < times; i++)
        compute(task, (uint16_t *)(void *)(message + sizeof *result));
    result->task = task;
    result->pixels = (int)(rows_of(task).count * opt.width);
    result->cpu_secs = (cpu_secs() - begin) / times;
    return (int)sizeof *result + result->pixels * (int)sizeof(uint16_t);
}

/* Results leave while the next task is computed: a worker does not wait for the master. */
static void worker(const struct farm *f)
{
    const MPI_Comm comm = f->world->comm;
    MPI_Request requests[AHEAD];
    struct order order;
    int slot = 0;

    for (int i = 0; i < AHEAD; i++)
        requests[i] = MPI_REQUEST_NULL;
    for (;;) {
        stall_enter(f->stall, "MPI_Recv", 0, WORK);
        MPI_Recv(&order, 2, MPI_INT, 0, WORK, comm, MPI_STATUS_IGNORE);
        stall_leave(f->stall);
        if (order.count == 0)
            break;
        for (int task = order.first; task < order.first + order.count; task++) {
            char *message = f->message + (size_t)slot * (size_t)f->bytes;
            MPI_Wait(&requests[slot], MPI_STATUS_IGNORE); /* the result that was in this slot */
            const int bytes = work_on(f, task, message);
            MPI_Isend(message, bytes, MPI_BYTE, 0, RESULT, comm, &requests[slot]);
            slot = (slot + 1) % AHEAD;
        }
    }
    MPI_Waitall(AHEAD, requests, MPI_STATUSES_IGNORE);
}

/* ---- The master ---- */

static struct order next_order(struct farm *f, int rank)
{
    const int left = (int)opt.tasks - f->next, workers = f->world->size - 1;
    int count = left > 0;

    if (strcmp(f->variant, "static") == 0)
        count = f->orders[rank] > 0 ? 0 : (int)block_of(opt.tasks, (uint64_t)workers,
                                                        (uint64_t)(rank - 1)).count;
    else if (strcmp(f->variant, "chunk") == 0 && left > 4 * workers)
        count = left / (4 * workers);
    const struct order order = { f->next, count };
    f->next += count;
    return order;
}

/* Gives a worker its next tasks, or the word to stop, after which it gets nothing. */
static void give(struct farm *f, int rank)
{
    struct order order = next_order(f, rank);
    const bool forgotten = arg_is(opt.fault, "no_stop") && rank == f->world->size - 1;

    if (f->stopped[rank])
        return;
    f->orders[rank]++;
    f->outstanding[rank] += order.count;
    f->stopped[rank] = order.count == 0;
    if (arg_is(opt.fault, "twice") && order.count > 0 && order.first > 0)
        order.first--;
    if (order.count > 0 || !forgotten)
        MPI_Send(&order, 2, MPI_INT, rank, WORK, f->world->comm);
}

static void keep(struct farm *f, int rank)
{
    const struct result *result = (struct result *)(void *)f->message;
    const struct block rows = rows_of(result->task);

    memcpy(f->picture + rows.start * opt.width, f->message + sizeof *result,
           (size_t)result->pixels * sizeof *f->picture);
    f->visits[result->task]++;
    f->done[rank]++;
    f->cost_secs[rank] += result->cpu_secs;
    f->busy_secs[rank] += result->cpu_secs * (rank == opt.slow_rank ? opt.slow_factor : 1);
}

/* Asleep between looks: the core belongs to the workers. */
static void wait_for_result(const struct farm *f)
{
    int arrived = 0;

    for (;;) {
        MPI_Iprobe(MPI_ANY_SOURCE, RESULT, f->world->comm, &arrived, MPI_STATUS_IGNORE);
        if (arrived)
            return;
        nanosleep(&(struct timespec){ 0, 20000 }, NULL);
    }
}

/* A worker has its next orders before it needs them, so that it never waits for the master, which
 * may be off its core for some milliseconds where ranks share cores. */
static void master(struct farm *f)
{
    for (int ahead = 0; ahead < AHEAD; ahead++)
        for (int rank = 1; rank < f->world->size; rank++)
            give(f, rank);
    for (size_t results = 0; results < opt.tasks; results++) {
        MPI_Status status;
        wait_for_result(f);
        MPI_Recv(f->message, f->bytes, MPI_BYTE, MPI_ANY_SOURCE, RESULT, f->world->comm, &status);
        keep(f, status.MPI_SOURCE);
        if (--f->outstanding[status.MPI_SOURCE] < AHEAD)
            give(f, status.MPI_SOURCE);
    }
}

/* One rank alone is master and worker. */
static void alone(struct farm *f)
{
    for (; f->next < (int)opt.tasks; f->next++) {
        work_on(f, f->next, f->message);
        keep(f, 0);
    }
}

/* ---- Checks, on the master ---- */

/* In the main cardioid or in the disc of period 2, where no point ever escapes: closed forms. */
static bool surely_inside(double a, double b)
{
    const double margin = 1e-9, q = (a - 0.25) * (a - 0.25) + b * b;

    return q * (q + (a - 0.25)) < 0.25 * b * b - margin || (a + 1) * (a + 1) + b * b < 0.0625 - margin;
}

static uint16_t pixel(const struct farm *f, size_t row, size_t column)
{
    return f->picture[row * opt.width + column];
}

/*
 * What does not come from the code that computed it: points that are inside by a closed form, those
 * with |c| > 2, which escape at once, and the mirror, whose rows other tasks computed.
 */
static bool pixel_is_right(const struct farm *f, size_t row, size_t column)
{
    const double a = real_of(column), b = imaginary_of(row);
    const uint16_t value = pixel(f, row, column);

    if (surely_inside(a, b) && value != opt.depth)
        return false;
    if (a * a + b * b > 4.000001 && value != 1)
        return false;
    return value == pixel(f, opt.height - 1 - row, column);
}

/* The first task that was not done once, or whose strip is wrong; UINT64_MAX if there is none. */
static uint64_t first_wrong(const struct farm *f)
{
    for (int task = 0; task < (int)opt.tasks; task++) {
        const struct block rows = rows_of(task);
        if (f->visits[task] != 1)
            return (uint64_t)task;
        for (size_t row = rows.start; row < rows.start + rows.count; row++) {
            const size_t sample = row * 37 % opt.width; /* one of each row is computed again */
            if (pixel(f, row, sample) != iterations(real_of(sample), imaginary_of(row)))
                return (uint64_t)task;
            for (size_t column = 0; column < opt.width; column++)
                if (!pixel_is_right(f, row, column))
                    return (uint64_t)task;
        }
    }
    return UINT64_MAX;
}

/* ---- Results ---- */

/* All work over the sum of speeds; ranks that share cores have only their share of one. */
static double ideal_secs(const struct farm *f)
{
    const struct world *w = f->world;
    const int workers = w->size > 1 ? w->node_size - 1 : 1;
    double cost = 0, speed = w->size > 1 ? w->size - 1 : 1, share = 1;
    struct cpus cpus;

    for (int rank = 0; rank < w->size; rank++)
        cost += f->cost_secs[rank];
    if (opt.slow_rank > 0)
        speed += 1.0 / opt.slow_factor - 1;
    if (w->oversubscribed && workers > 0 && cpus_granted(&cpus) == 0)
        share = fmin(1, (double)cpus_count(&cpus) / workers);
    return cost / (speed * share);
}

static void add_row(struct world *w, const struct farm *f, double secs, bool right)
{
    struct record row = w->program.record;
    const double ideal = w->rank == 0 ? ideal_secs(f) : 0;
    double most = 0, sum = 0;
    char text[64];

    for (int rank = w->size > 1; rank < w->size && w->rank == 0; rank++) {
        most = fmax(most, f->busy_secs[rank]);
        sum += f->busy_secs[rank];
        if (opt.show) {
            snprintf(text, sizeof text, "rank %d: %d tasks, %.1f ms busy", rank, f->done[rank],
                     1e3 * f->busy_secs[rank]);
            program_note(&w->program, "%s", text);
        }
    }
    const double mean = sum / (w->size > 1 ? w->size - 1 : 1);
    record_text(&row, "variant", f->variant);
    record_int(&row, "tasks", (int64_t)opt.tasks);
    record_text(&row, "slow", opt.slow ? opt.slow : "no");
    record_real(&row, "total_s", right ? secs : NAN);
    record_real(&row, "ideal_s", right ? ideal : NAN);
    record_real(&row, "against_ideal", right && ideal > 0 ? secs / ideal : NAN);
    record_real(&row, "busy_mean_s", right ? mean : NAN);
    record_real(&row, "busy_max_s", right ? most : NAN);
    record_real(&row, "tasks_per_s", right && secs > 0 ? (double)opt.tasks / secs : NAN);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
}

/* Black inside, and from blue over white to brown the longer a point took to escape. */
static void colour(uint16_t value, unsigned char rgb[3])
{
    const double t = value >= opt.depth ? 0 : 0.5 + 0.5 * sin(0.7 * sqrt((double)value) - 1.2);
    const bool inside = value >= opt.depth;

    rgb[0] = inside ? 0 : (unsigned char)(20 + 225 * t);
    rgb[1] = inside ? 0 : (unsigned char)(30 + 205 * t * t);
    rgb[2] = inside ? 0 : (unsigned char)(90 + 130 * (1 - (1 - t) * (1 - t)));
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
        program_error("--image %s: %s: name a file that can be written", opt.image, strerror(errno));
    return result;
}

/* ---- Runs ---- */

static void *zeros(const struct world *w, size_t count, size_t size)
{
    void *memory = world_alloc(w, count, size);

    memset(memory, 0, count * size);
    return memory;
}

static struct farm farm_open(const struct world *w, const char *variant, struct stall *stall)
{
    const bool leads = w->rank == 0;
    const size_t ranks = leads ? (size_t)w->size : 0;
    const size_t rows = opt.tasks > 0 ? (size_t)rows_of(0).count : 0;
    const size_t alignment = _Alignof(struct result);
    const size_t bytes = (sizeof(struct result) + rows * opt.width * sizeof(uint16_t) + alignment - 1) /
                         alignment * alignment;

    return (struct farm){
        .world = w,
        .variant = variant,
        .stall = stall,
        .picture = zeros(w, leads ? opt.width * opt.height : 0, sizeof(uint16_t)),
        .visits = zeros(w, leads ? opt.tasks : 0, sizeof(int)),
        .outstanding = zeros(w, ranks, sizeof(int)),
        .orders = zeros(w, ranks, sizeof(int)),
        .stopped = zeros(w, ranks, sizeof(int)),
        .done = zeros(w, ranks, sizeof(int)),
        .busy_secs = zeros(w, ranks, sizeof(double)),
        .cost_secs = zeros(w, ranks, sizeof(double)),
        .bytes = (int)bytes,
        .message = world_alloc(w, leads ? 1 : AHEAD, bytes),
    };
}

static void farm_close(struct farm *f)
{
    free(f->message);
    free(f->cost_secs);
    free(f->busy_secs);
    free(f->done);
    free(f->stopped);
    free(f->orders);
    free(f->outstanding);
    free(f->visits);
    free(f->picture);
}

static struct verdict run_variant(struct world *w, const char *variant)
{
    struct stall stall = { 0 };
    struct farm f = farm_open(w, variant, &stall);

    if (arg_is(opt.fault, "no_stop") && stall_start(&stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault", strerror(errno));
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

    const uint64_t wrong = w->rank == 0 ? first_wrong(&f) : UINT64_MAX;
    struct verdict verdict =
        verify_places(w, wrong, "%s: task %" PRIu64 " was not done once, or a pixel of it is wrong",
                      variant, wrong);
    if (verdict.right && w->rank == 0 && opt.image && write_image(&f))
        w->program.lost = true;
    add_row(w, &f, secs, verdict.right);
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

    program_fault(&w->program, opt.fault, verdict.right, "there is no worker, or no second task");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu tasks, each done once, by %d worker%s", opt.tasks,
                           w->size > 1 ? w->size - 1 : 1, w->size > 2 ? "s" : "");
}

/* ---- Options ---- */

static enum status check_slow(struct world *w)
{
    char end;

    if (!opt.slow)
        return PASS;
    if (sscanf(opt.slow, "%d:%d%c", &opt.slow_rank, &opt.slow_factor, &end) != 2 || opt.slow_factor < 1)
        return world_usage(w, "--slow %s: give RANK:FACTOR, whole numbers, as in 1:10", opt.slow);
    if (opt.slow_rank < 1 || opt.slow_rank >= w->size)
        return world_usage(w, "--slow %s: the workers are ranks 1 to %d: choose one of them", opt.slow,
                           w->size - 1);
    return PASS;
}

static enum status check_image(struct world *w)
{
    const char *end = opt.image ? strrchr(opt.image, '.') : NULL;

    if (!opt.image)
        return PASS;
    if (!end || strcmp(end, ".png") != 0)
        return world_usage(w, "--image %s: not .png: end the file's name with it", opt.image);
    if (w->rank > 0)
        return PASS;
    if (!image_possible()) {
        program_error("--image: this build cannot write PNG: install libpng and build again");
        return UNABLE;
    }
    FILE *file = fopen(opt.image, "wb");
    if (!file || fclose(file)) {
        program_error("--image %s: %s: name a file that can be written", opt.image, strerror(errno));
        return USAGE;
    }
    return PASS;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS)
        status = check_slow(&w);
    if (status == PASS && (opt.width > SIZE_MAX_PIXELS || opt.height > SIZE_MAX_PIXELS ||
                           opt.tasks > 1000000 || opt.depth > UINT16_MAX))
        status = world_usage(&w, "too large: give at most %d for --width and --height, 1000000 for "
                             "--tasks, %d for --depth", SIZE_MAX_PIXELS, UINT16_MAX);
    if (status == PASS && !(opt.limit > 0))
        status = world_usage(&w, "--limit 0: no time to tell a stall: give more than 0");
    if (status == PASS)
        status = world_agree(&w, check_image(&w));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
