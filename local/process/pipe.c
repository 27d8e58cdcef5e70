/*
 * pipe - numbers through a chain of processes, and what a way between two processes costs
 *
 * The parent writes the numbers 0 to --count - 1 into a chain of --stages processes, each of which
 * squares what it reads and passes it on, and reads the results. Then it sends blocks to a process
 * that sends them back, in turns over each way:
 *
 *   pipe        one direction, a buffer in the kernel (64 KiB on Linux)
 *   socketpair  both directions
 *   ring        two queues in shared memory (local/lib/queue): no system call while both are awake
 *
 * The end of a pipe comes when every writing end is closed, in every process that has one. A read
 * may return less than was asked for, and a write to a pipe that nobody reads raises SIGPIPE.
 *
 * What can go wrong: the parent keeps a writing end open, so the stages never see the end (--fault
 * leak). Two processes write to each other more than the pipes hold before either reads (--fault
 * full).
 *
 * Run:     make run P=process/pipe ARGS="--stages 3 --variant all"
 * Try:     --variant all --bytes 8:256K: from which size on is the pipe no slower than the ring?
 * Try:     --variant all --place apart, and --place together: what does another core cost?
 * Try:     --fault full: who waits for whom?
 * Test:    --variant all --bytes 8:64K
 * Test:    --variant all --count 0 --bytes 8
 * Test:    --count 1 --stages 64 --bytes 24
 * Test:    --variant socketpair --count 100001 --stages 1 --bytes 8
 * Test:    --count 1001 --stages 0 --bytes 8
 * Test:    --variant all --place together --seconds 0.02
 * Test:    --variant all --place apart --seconds 0.02
 * Test(3): --fault leak --limit 100ms
 * Test(3): --fault full --limit 100ms
 * Test(3): --fault leak --variant socketpair --limit 100ms
 * Test(3): --fault leak --limit 1ms --stages 64 --count 1000
 * Test(2): --bytes 12
 */
#ifdef __linux__
#define _GNU_SOURCE 1 /* sched_setaffinity */
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local/lib/children.h"
#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/line.h"
#include "local/lib/program.h"
#include "local/lib/queue.h"
#include "local/lib/turns.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static struct {
    size_t stages, count, rounds, iterations;
    struct range bytes;
    double limit, secs;
    const char *variant, *fault, *place;
} opt = { .stages = 2, .count = 10, .rounds = 100, .iterations = 10000, .bytes = { 8, 8 },
          .limit = 2, .secs = 0.3, .variant = "pipe", .place = "free" };

static const struct arg options[] = {
    { "stages", ARG_SIZE, &opt.stages, "processes of the chain", .max = CHILDREN_MAX },
    { "count", ARG_SIZE, &opt.count, "numbers that go through it", .max = 1 << 20 },
    { "bytes", ARG_RANGE, &opt.bytes, "a block that goes there and back, multiples of 8",
      .min = 8, .max = 1 << 26 },
    { "rounds", ARG_SIZE, &opt.rounds, "times that it does, in a sample", .min = 1,
      .max = 1 << 20 },
    { "variant", ARG_CHOICE, &opt.variant, "the way between processes",
      .choices = "pipe|socketpair|ring|all" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "leak|full" },
    { "place", ARG_CHOICE, &opt.place, "the two processes: on one CPU, on the first and the last "
      "granted, or as the system likes", .choices = "together|apart|free" },
    { "limit", ARG_SECS, &opt.limit, "leak, full: how long is waited for what cannot come",
      .max = 1000000 },
    { "seconds", ARG_SECS, &opt.secs, "time budget for one row" },
    { "iterations", ARG_SIZE, &opt.iterations, "samples of one row at most", .min = 1,
      .max = SAMPLES_MAX },
    ARGS_END,
};

/* All of it, though read() and write() may do less at a time. False: the end, or an error. */
static bool read_all(int file, void *data, size_t bytes)
{
    for (char *at = data; bytes > 0;) {
        const ssize_t got = read(file, at, bytes);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        at += got > 0 ? got : 0;
        bytes -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool write_all(int file, const void *data, size_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        const ssize_t put = write(file, at, bytes);
        if (put < 0 && errno != EINTR)
            return false;
        at += put > 0 ? put : 0;
        bytes -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

/* What is written into ends[1] is read from ends[0]. */
static int connect_ends(const char *variant, int ends[2])
{
    return strcmp(variant, "socketpair") == 0 ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends)
                                              : pipe(ends);
}

/* ---- The chain ---- */

struct chain {
    int (*links)[2]; /* stage i reads from links[i] and writes into links[i + 1] */
    size_t links_count;
    struct children children;
};

static void close_end(int *end)
{
    if (*end >= 0)
        close(*end);
    *end = -1;
}

/* A stage has all ends that were open when it was forked; it keeps its two. */
static int square(void *arg, size_t stage)
{
    const struct chain *const chain = arg;
    uint64_t number;

    for (size_t i = 0; i < chain->links_count; i++) {
        if (i != stage)
            close_end(&chain->links[i][0]);
        if (i != stage + 1)
            close_end(&chain->links[i][1]);
    }
    while (read_all(chain->links[stage][0], &number, sizeof number)) {
        number *= number;
        if (!write_all(chain->links[stage + 1][1], &number, sizeof number))
            return 1;
    }
    return 0;
}

static uint64_t expected_of(uint64_t number)
{
    for (size_t i = 0; i < opt.stages; i++)
        number *= number;
    return number;
}

/* A chain that ended too early: by whose fault. Its end of a pipe closes just before it can be seen
 * to have ended. */
static enum status tell_gap(struct program *program, struct children *children, size_t got)
{
    char text[128] = "no stage has died";
    size_t who;

    for (int i = 0; i < 500 && !children_fell(children, &who); i++)
        clock_sleep(1e-3);
    if (children_fell(children, &who))
        children_tell(children, who, text, sizeof text);
    return program_verdict(program, false, "%zu of %zu numbers came out of the chain: %s", got,
                           opt.count, text);
}

/* Writes while it can and reads while something comes, so that a full chain does not stop it. */
static enum status feed(struct program *program, struct children *children, int in, int out)
{
    size_t written = 0, got = 0, who;
    bool ended = false;
    char text[128];

    fcntl(in, F_SETFL, fcntl(in, F_GETFL) | O_NONBLOCK);
    if (opt.count == 0 && !arg_is(opt.fault, "leak"))
        close(in);
    while (!ended) {
        struct pollfd files[] = { { .fd = out, .events = POLLIN },
                                  { .fd = written < opt.count ? in : -1, .events = POLLOUT } };
        /* When all numbers have come back nothing is under way but the end. */
        const bool is_last = opt.fault && got == opt.count;
        const int ready = children_poll(children, files, 2, is_last ? opt.limit : HUGE_VAL, &who);
        if (ready < 0 && errno == ECHILD) {
            children_tell(children, who, text, sizeof text);
            return program_verdict(program, false, "%s", text);
        }
        if (ready < 0)
            return program_verdict(program, false, "poll: %s", strerror(errno));
        if (ready == 0) {
            program_verdict(program, false, "leak: the parent waits for the end of the chain's "
                            "output, and the first stage for the end of its input: an end of that "
                            "pipe is still open for writing, in the parent");
            return STALLED;
        }
        if (files[1].revents) {
            const uint64_t number = written;
            if (write(in, &number, sizeof number) == sizeof number)
                written++;
            else if (errno != EAGAIN)
                return tell_gap(program, children, got);
            if (written == opt.count && !arg_is(opt.fault, "leak"))
                close(in);
        }
        if (files[0].revents) {
            uint64_t result;
            ended = !read_all(out, &result, sizeof result);
            if (!ended && result != expected_of(got))
                return program_verdict(program, false, "number %zu: %" PRIu64 ", not %" PRIu64, got,
                                       result, expected_of(got));
            got += !ended;
        }
    }
    return got == opt.count ? PASS : tell_gap(program, children, got);
}

/* Another one at the end. 0, or -1 with errno. */
static int add_link(struct chain *chain, const char *variant)
{
    if (connect_ends(variant, chain->links[chain->links_count]))
        return -1;
    chain->links_count++;
    return 0;
}

/* A link and the stage before it, which alone keeps what it reads and what it writes. */
static int add_stage(struct chain *chain, const char *variant)
{
    const size_t stage = chain->children.count;

    if (add_link(chain, variant))
        return -1;
    const pid_t child = child_start(square, chain, stage);
    if (child < 0)
        return -1;
    children_add(&chain->children, child);
    close_end(&chain->links[stage][0]);
    close_end(&chain->links[stage + 1][1]);
    return 0;
}

static enum status run_chain(struct program *program, const char *variant)
{
    struct chain chain = { .links = calloc(opt.stages + 1, sizeof *chain.links) };
    enum status status = UNABLE;
    char text[128];
    size_t who;

    if (chain.links && children_open(&chain.children, opt.stages) == 0)
        status = PASS;
    if (status == PASS && add_link(&chain, variant))
        status = UNABLE;
    while (status == PASS && chain.children.count < opt.stages)
        if (add_stage(&chain, variant))
            status = UNABLE;
    if (status == UNABLE) {
        program_error("%zu stages: %s: give fewer --stages", opt.stages, strerror(errno));
        for (size_t i = 0; i < 2 * chain.links_count; i++)
            close_end(&chain.links[i / 2][i % 2]);
    }
    if (status == PASS) {
        status = feed(program, &chain.children, chain.links[0][1], chain.links[opt.stages][0]);
        close(chain.links[opt.stages][0]);
    }
    if (status == PASS && !children_join(&chain.children, NULL, NULL, &who)) {
        children_tell(&chain.children, who, text, sizeof text);
        status = program_verdict(program, false, "%s", text);
    }
    children_close(&chain.children);
    if (status == STALLED)
        close(chain.links[0][1]);
    free(chain.links);
    return status;
}

/* ---- --fault full ---- */

/* Two processes, each with an end of a socket pair, that write before they read. */
struct writers {
    int ends[2];
    atomic_size_t written[2]; /* bytes, by each */
};

/* Writes on, with write()s that wait for room. */
static int write_on(void *arg, size_t side)
{
    struct writers *const w = arg;
    char block[4096] = { 0 };
    ssize_t put;

    while ((put = write(w->ends[side], block, sizeof block)) > 0 || errno == EINTR)
        atomic_fetch_add(&w->written[side], put > 0 ? (size_t)put : 0);
    return 1;
}

/* Starts both and watches them: whoever wrote itself would be stuck. Both are ended. Each has
 * written something and nobody writes more: both are in write(). */
static enum status fill_both(struct program *program)
{
    struct writers *const w = children_map(sizeof *w);
    struct children children = { 0 };
    size_t before, written = 0, who;
    char text[128];
    bool fell;

    if (!w || socketpair(AF_UNIX, SOCK_STREAM, 0, w->ends) ||
        children_begin(&children, 2, write_on, w)) {
        program_error("two processes and a socket pair: %s: raise the limit of processes",
                      strerror(errno));
        return UNABLE;
    }
    do {
        before = written;
        fell = children_poll(&children, NULL, 0, opt.limit, &who) < 0;
        written = w->written[0] + w->written[1];
    } while (!fell && (written != before || w->written[0] == 0 || w->written[1] == 0));
    if (fell)
        children_tell(&children, who, text, sizeof text);
    children_close(&children);
    for (int i = 0; i < 2; i++)
        close(w->ends[i]);
    children_unmap(w, sizeof *w);
    if (fell)
        return program_verdict(program, false, "full: %s", text);
    program_verdict(program, false, "full: each of two processes writes, and waits for the other to "
                    "read: %zu bytes are under way, and there is room for no more", written);
    return STALLED;
}

/* ---- There and back ---- */

struct way {
    const char *variant;
    int there[2], back[2];
    struct queue *queues[2];
    void *memory;
    size_t queue_bytes, bytes;
    uint64_t *block;
    pid_t child;
    int ended; /* what it ended with */
    bool wrong;
};

/* A queue has no end that closes when the other process dies: the parent looks, some times a
 * second. Whether it is worth while to wait on. */
static bool goes_on(const struct way *w)
{
    int status;

    return errno == ETIMEDOUT && !child_has_ended(w->child, &status);
}

static bool send_block(struct way *w, int side)
{
    const double look_secs = side == 0 ? 0.1 : HUGE_VAL;

    if (!w->memory)
        return write_all(side == 0 ? w->there[1] : w->back[1], w->block, w->bytes);
    for (size_t done = 0; done < w->bytes / 8;) {
        done += queue_push(w->queues[side], w->block + done, w->bytes / 8 - done, look_secs);
        if (done < w->bytes / 8 && !goes_on(w))
            return false;
    }
    return true;
}

static bool receive_block(struct way *w, int side)
{
    const double look_secs = side == 1 ? 0.1 : HUGE_VAL;

    if (!w->memory)
        return read_all(side == 0 ? w->there[0] : w->back[0], w->block, w->bytes);
    for (size_t done = 0; done < w->bytes / 8;) {
        const size_t more =
            queue_pop(w->queues[side], w->block + done, w->bytes / 8 - done, look_secs);
        if (more == 0 && !goes_on(w))
            return false;
        done += more;
    }
    return true;
}

/* To the first CPU that was granted, or to the last: by the mask that the parent began with, for it
 * binds itself as well. 0, or -1 with errno. */
static int pin(bool to_last)
{
#ifdef __linux__
    static cpu_set_t granted;
    static bool is_known;
    cpu_set_t one;
    int chosen = -1;

    if (!is_known && sched_getaffinity(0, sizeof granted, &granted))
        return -1;
    is_known = true;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &granted) && (chosen < 0 || to_last))
            chosen = cpu;
    CPU_ZERO(&one);
    CPU_SET(chosen, &one);
    return sched_setaffinity(0, sizeof one, &one);
#else
    (void)to_last;
    errno = ENOSYS;
    return -1;
#endif
}

static int echo(void *arg, size_t worker)
{
    struct way *const w = arg;

    (void)worker;
    if (!arg_is(opt.place, "free") && pin(arg_is(opt.place, "apart")))
        return 1;
    if (!w->memory) {
        close(w->there[1]);
        close(w->back[0]);
    }
    while (receive_block(w, 0))
        if (!send_block(w, 1))
            return 1;
    return 0;
}

static void round_trip(void *arg)
{
    struct way *const w = arg;

    w->wrong = w->wrong || !send_block(w, 0) || !receive_block(w, 1);
}

static int open_way(struct way *w, const char *variant, size_t bytes)
{
    *w = (struct way){ .variant = variant, .bytes = bytes, .block = malloc(bytes) };
    if (!w->block)
        return -1;
    if (strcmp(variant, "ring") == 0) {
        const size_t capacity = 64 << 10;
        w->queue_bytes = queue_bytes(capacity / 8, QUEUE_SINGLE | QUEUE_SHARED);
        w->memory = children_map(2 * w->queue_bytes);
        for (int i = 0; w->memory && i < 2; i++)
            w->queues[i] = queue_init((char *)w->memory + (size_t)i * w->queue_bytes, capacity / 8,
                                      QUEUE_SINGLE | QUEUE_SHARED);
        if (!w->memory || !w->queues[0] || !w->queues[1])
            return -1;
    } else if (connect_ends(variant, w->there) || connect_ends(variant, w->back)) {
        return -1;
    }
    w->child = child_start(echo, w, 0);
    if (w->child < 0)
        return -1;
    if (!w->memory) {
        close(w->there[0]);
        close(w->back[1]);
    }
    for (size_t i = 0; i < bytes / 8; i++)
        w->block[i] = element(i, bytes);
    return 0;
}

/* The status of the child, which is told that it is over. */
static int close_way(struct way *w)
{
    if (w->memory)
        queue_close(w->queues[0]);
    else
        close(w->there[1]);
    if (w->wrong)
        kill(w->child, SIGKILL); /* it may wait for what does not come */
    const int status = child_wait(w->child);
    if (w->memory) {
        queue_destroy(w->queues[0]);
        queue_destroy(w->queues[1]);
        children_unmap(w->memory, 2 * w->queue_bytes);
    } else {
        close(w->back[0]);
    }
    w->wrong |= elements_check(w->block, 0, w->bytes / 8, w->bytes) != w->bytes / 8;
    free(w->block);
    return status;
}

static void add_row(struct program *program, const struct way *w, const struct turn *turn)
{
    struct record row = program->record;

    record_text(&row, "variant", w->variant);
    record_int(&row, "bytes", (int64_t)w->bytes);
    record_summary(&row, &turn->summary, !w->wrong);
    record_real(&row, "bytes_per_s", w->wrong ? NAN : 2 * (double)w->bytes / turn->summary.median);
    record_real(&row, "speedup", w->wrong ? NAN : turn->speedup.median);
    record_bool(&row, "verified", !w->wrong);
    program_row(program, &row);
}

static enum status compare(struct program *program, const char **chosen, size_t count, size_t bytes)
{
    const struct stop_rule rule = { 30, opt.iterations, opt.secs, 0.02 };
    struct way ways[3];
    struct turn turns[3];
    enum status status = PASS;
    size_t opened = 0;
    char text[128];

    while (opened < count && open_way(&ways[opened], chosen[opened], bytes) == 0) {
        turns[opened] = (struct turn){ .operation = round_trip, .arg = &ways[opened],
                                       .failed = &ways[opened].wrong, .batch = opt.rounds };
        opened++;
    }
    if (opened < count || (turns_run(turns, count, &rule) && errno != ECANCELED)) {
        program_error("%s, %zu bytes: %s: give smaller --bytes, or raise the limits of processes and "
                      "memory", chosen[opened < count ? opened : 0], bytes, strerror(errno));
        status = UNABLE;
    }
    /* The last one first: its process has copies of all ends that were open when it was forked. */
    for (size_t i = opened; i-- > 0;)
        ways[i].ended = close_way(&ways[i]);
    for (size_t i = 0; i < opened && status == PASS; i++) {
        child_tell("the other process", ways[i].child, ways[i].ended, text, sizeof text);
        if (ways[i].wrong || ways[i].ended != 0)
            status = program_verdict(program, false, "%s: a block of %zu bytes came back changed, "
                                     "or not at all: %s", ways[i].variant, bytes, text);
    }
    for (size_t i = 0; i < opened && status == PASS; i++)
        add_row(program, &ways[i], &turns[i]);
    return status;
}

int main(int argc, char **argv)
{
    static const char *const variants[] = { "pipe", "socketpair", "ring" };
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);
    const char *chosen[3];
    size_t count = 0;

    signal(SIGPIPE, SIG_IGN); /* a process that is gone shows as EPIPE */
    if (status == PASS && opt.bytes.from % 8 != 0)
        status = program_usage(&program, "--bytes %zu: not a multiple of 8", opt.bytes.from);
    opt.bytes.to -= opt.bytes.to % 8;
    for (size_t i = 0; i < LENGTH(variants); i++)
        if (arg_is(opt.variant, variants[i]) || arg_is(opt.variant, "all"))
            chosen[count++] = variants[i];
    if (status == PASS && arg_is(opt.fault, "full"))
        status = fill_both(&program);
    else
        for (size_t i = 0; i < count && status == PASS; i++)
            if (strcmp(chosen[i], "ring") != 0)
                status = run_chain(&program, chosen[i]);
    if (status == PASS && !arg_is(opt.place, "free") && pin(false)) {
        program_error("--place %s: processes cannot choose their CPU here: %s", opt.place,
                      strerror(errno));
        status = UNABLE;
    }
    for (size_t bytes = opt.bytes.from; bytes && status == PASS && !opt.fault;
         bytes = range_next(&opt.bytes, bytes))
        status = compare(&program, chosen, count, bytes);
    if (status == PASS)
        program_verdict(&program, true, "%zu numbers through %zu stages, in order, then the end; "
                        "every block came back as it was", opt.count, opt.stages);
    return program_close(&program, status);
}
