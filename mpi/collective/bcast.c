/*
 * bcast - the root's data on every rank
 *
 * MPI_Bcast is called by all ranks; on the root it sends, on the others it receives. How the data
 * travels is the library's affair, and makes the difference: sent by the root to one after the
 * other, it takes p - 1 times as long as one message; handed on by those who have it, lg p times;
 * cut into segments that follow one another along a chain, hardly longer than one message.
 * --algorithm runs these by hand, next to the library's own (mpi), and prints what the model says
 * of each: a for the start of a message, b for each byte, both measured at the beginning.
 *
 * What can go wrong: all ranks must call it. --fault if_root calls it on the root alone. If the
 * data is small, the root is done at once, and the others hold nothing; if it is large, the root
 * waits for those who never come.
 *
 * Run:     make run P=bcast N=4 ARGS="--bytes 16 --show"
 * Try:     --algorithm all --bytes 8:4M: which one is the fastest, and does the model know?
 * Try:     --algorithm chain --bytes 1M --segment 1K, 64K, 1M: why is the middle one best?
 * Try:     --fault if_root --bytes 8, then --bytes 1M
 * Test:    -n 1 --show
 * Test:    -n 3 --bytes 0 --algorithm all
 * Test:    -n 4 --bytes 5:100 --algorithm linear,shared --root 3 --show
 * Test:    -n 5 --bytes 100K --algorithm all --seconds 0.02
 * Test:    -n 2 --bytes 64K --start window --as osu
 * Test(1): -n 3 --fault corrupt
 * Test(1): -n 2 --fault if_root --bytes 8
 * Test(3): -n 3 --fault if_root --bytes 4M --limit 1s
 * Test(2): -n 2 --algorithm fastest
 * Test(2): -n 2 --algorithm auto
 * Test(2): -n 2 --root 2
 * Test(2): -n 2 --bytes 3G
 * Test(2): -n 2 --table /nonexistent
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/coll/bcast.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/compare.h"
#include "mpi/lib/show.h"
#include "mpi/lib/stall.h"

static struct {
    struct compare_options compare;
    int root;
    size_t seed;
    bool show;
    const char *fault;
    double limit;
} opt = { .compare = COMPARE_DEFAULTS(1 << 20), .limit = 2 };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.compare.bytes, "size of the root's data" },
    { "root", ARG_INT, &opt.root, "rank that has the data" },
    { "seed", ARG_SIZE, &opt.seed, "other data" },
    { "show", ARG_FLAG, &opt.show, "print the data of each rank before and after" },
    { "fault", ARG_CHOICE, &opt.fault, "call it on the root alone, or spoil a byte of the root's",
      .choices = "if_root|corrupt" },
    { "limit", ARG_SECS, &opt.limit, "end a call of --fault if_root that takes longer" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

struct bcast {
    struct world *world;
    unsigned char *buffer;
    int count;
};

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    const struct bcast *b = arg;

    if (algorithm)
        return algorithm->bcast(b->buffer, b->count, MPI_BYTE, opt.root, b->world->comm, coll);
    return MPI_Bcast(b->buffer, b->count, MPI_BYTE, opt.root, b->world->comm);
}

static uint64_t open_buffer(void *arg, uint64_t bytes)
{
    struct bcast *b = arg;

    b->buffer = world_alloc(b->world, bytes, 1);
    b->count = (int)bytes;
    return bytes;
}

static void close_buffer(void *arg)
{
    free(((struct bcast *)arg)->buffer);
}

static void fill(void *arg)
{
    const struct bcast *b = arg;

    memset(b->buffer, 0xee, (size_t)b->count);
    if (b->world->rank != opt.root)
        return;
    bytes_fill(b->buffer, 0, (uint64_t)b->count, opt.seed);
    if (arg_is(opt.fault, "corrupt") && b->count > 0)
        b->buffer[b->count / 2] ^= 1;
}

static struct verdict check(void *arg)
{
    const struct bcast *b = arg;
    const uint64_t right = bytes_check(b->buffer, 0, (uint64_t)b->count, opt.seed);

    return verify_places(b->world, right == (uint64_t)b->count ? UINT64_MAX : right,
                         "byte %d of %d is wrong on rank %d", (int)right, b->count, b->world->rank);
}

static void show(void *arg, const char *when)
{
    const struct bcast *b = arg;

    show_bytes(b->world, when, b->buffer, (uint64_t)b->count);
}

/* `if (rank == root) MPI_Bcast(...)`: what it comes to depends on whether the root waits. */
static enum status run_if_root(struct world *w)
{
    struct bcast b = { .world = w };
    struct stall stall = { 0 };

    open_buffer(&b, opt.compare.bytes.to);
    fill(&b);
    if (stall_start(&stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    if (w->rank == opt.root) {
        stall_enter(&stall, "MPI_Bcast", STALL_ALL, -1);
        call(&b, NULL, NULL);
        stall_leave(&stall);
    }
    stall_stop(&stall);
    const struct verdict verdict = check(&b);
    close_buffer(&b);
    program_fault(&w->program, opt.fault, verdict.right, w->size == 1
                  ? "the root is alone" : "there is nothing to send");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s: the root alone called MPI_Bcast",
                               verdict.wrong);
    return program_verdict(&w->program, true, "all ranks hold the data");
}

/* The watchdog of --fault is a thread; without it a higher level would only slow messages down. */
static int thread_level(char **argv)
{
    while (*argv && strncmp(*argv, "--fa", 4) != 0)
        argv++;
    return *argv ? MPI_THREAD_FUNNELED : MPI_THREAD_SINGLE;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, thread_level(argv), 1, options);
    struct bcast b = { .world = &w };
    const struct compare compare = {
        .algorithms = coll_bcast_algorithms,
        .op = MPI_OP_NULL,
        .unit = 1,
        .bound = coll_bound_bcast,
        .arg = &b,
        .open = open_buffer,
        .close = close_buffer,
        .fill = fill,
        .call = call,
        .check = check,
        .show = opt.show ? show : NULL,
    };

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS) {
        char sizes[64], what[128];
        snprintf(what, sizeof what, "%s bytes of the root, right",
                 range_text(&opt.compare.bytes, sizes));
        status = arg_is(opt.fault, "if_root") ? run_if_root(&w)
                                              : compare_run(&w, &compare, &opt.compare, what);
    }
    return world_close(&w, status);
}
