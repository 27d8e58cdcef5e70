/*
 * send_recv - rank 0 sends an array and a text to every other rank
 *
 * The first message of most MPI courses. Rank 0 sends --count integers, and then a text, to each
 * other rank; each has a tag that says which is which. The receiver gives the most that it can
 * take, and reads from the status who sent, with which tag, and how many elements really came:
 * the text is shorter than the room for it, and has no end unless the sender sends one.
 *
 * What can go wrong: a destination that does not exist, a receive that is too small for its
 * message, and a sender that dies while the others wait for it. --fault makes each of them; an
 * error handler names the rank and the call, and ends the whole job instead of leaving the others
 * waiting.
 *
 * Run:     make run P=send_recv N=3 ARGS="--count 5 --show"
 * Try:     --fault truncate: which rank notices, and in which call?
 * Try:     --fault die on 4 ranks: what becomes of the three that wait?
 * Test:    -n 1
 * Test:    -n 2 --count 0 --show
 * Test:    -n 5 --count 100001
 * Test(1): -n 3 --fault rank
 * Test(1): -n 3 --fault truncate
 * Test(1): -n 3 --fault die
 * Test(1): -n 3 --fault corrupt
 * Test(2): -n 2 --count 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/show.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t count, seed;
    bool show;
    const char *fault;
    struct timing_options timing;
} opt = { .count = 1000, .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "count", ARG_SIZE, &opt.count, "elements of 8 bytes to each rank" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "show", ARG_FLAG, &opt.show, "print what each rank received" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose",
      .choices = "rank|truncate|die|corrupt" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

enum { NUMBERS = 1, TEXT = 2 }; /* tags */
enum { TEXT_ROOM = 64 };        /* bytes */

struct delivery {
    const struct world *world;
    uint64_t *array;
    char text[TEXT_ROOM];
    MPI_Status numbers_status, text_status;
};

static int greet(char text[TEXT_ROOM], int rank)
{
    return snprintf(text, TEXT_ROOM, "hello rank %d, from rank 0", rank) + 1; /* with its end */
}

/* Each rank gets another part of one long row. */
static uint64_t start_of(int rank)
{
    return (uint64_t)rank * opt.count;
}

static void send_to(struct delivery *d, int rank)
{
    const int length = greet(d->text, rank);
    int to = rank;

    elements_fill(d->array, start_of(rank), opt.count, opt.seed);
    if (arg_is(opt.fault, "rank"))
        to = d->world->size; /* ranks are 0 to size - 1 */
    if (arg_is(opt.fault, "corrupt") && opt.count > 0)
        d->array[opt.count / 2] ^= 1;
    MPI_Send(d->array, (int)opt.count, MPI_UINT64_T, to, NUMBERS, d->world->comm);
    MPI_Send(d->text, length, MPI_CHAR, to, TEXT, d->world->comm);
}

static void receive(struct delivery *d)
{
    int room = (int)opt.count;

    if (arg_is(opt.fault, "truncate") && room > 0)
        room--;
    MPI_Recv(d->array, room, MPI_UINT64_T, 0, NUMBERS, d->world->comm, &d->numbers_status);
    MPI_Recv(d->text, TEXT_ROOM, MPI_CHAR, 0, TEXT, d->world->comm, &d->text_status);
}

static void deliver(void *arg)
{
    struct delivery *d = arg;

    if (d->world->rank > 0) {
        receive(d);
        return;
    }
    if (arg_is(opt.fault, "die") && d->world->size > 1)
        world_abort(d->world, FAIL, "fails before it has sent anything (--fault die): the job ends");
    for (int rank = 1; rank < d->world->size; rank++)
        send_to(d, rank);
}

/* Whether the status tells what was sent: the source, the tag, and how many elements. */
static bool status_is(const MPI_Status *status, MPI_Datatype type, int tag, int expected)
{
    int count;

    MPI_Get_count(status, type, &count);
    return status->MPI_SOURCE == 0 && status->MPI_TAG == tag && count == expected;
}

static struct verdict check(const struct delivery *d)
{
    const struct world *w = d->world;
    const char *wrong = NULL;
    uint64_t place = 0;
    char text[TEXT_ROOM];

    if (w->rank > 0) {
        const int length = greet(text, w->rank);
        place = elements_check(d->array, start_of(w->rank), opt.count, opt.seed);
        if (place < opt.count)
            wrong = "an element is wrong";
        else if (!status_is(&d->numbers_status, MPI_UINT64_T, NUMBERS, (int)opt.count) ||
                 !status_is(&d->text_status, MPI_CHAR, TEXT, length))
            wrong = "source, tag or count is not as it was sent";
        else if (strcmp(d->text, text) != 0)
            wrong = "the text is not the one sent";
    }
    return verify_places(w, wrong ? (uint64_t)w->rank : UINT64_MAX, "rank %d: %s (at %" PRIu64 ")",
                         w->rank, wrong ? wrong : "", place);
}

static void show(const struct delivery *d)
{
    char line[2 * TEXT_ROOM] = "";
    int count;

    if (d->world->rank > 0) {
        MPI_Get_count(&d->text_status, MPI_CHAR, &count);
        snprintf(line, sizeof line, "rank %d: \"%s\" (%d characters from rank %d, tag %d)\n",
                 d->world->rank, d->text, count, d->text_status.MPI_SOURCE, d->text_status.MPI_TAG);
    }
    show_elements(d->world, "received", d->world->rank > 0 ? d->array : NULL, opt.count);
    world_print(d->world, line);
}

static enum status run(struct world *w)
{
    struct delivery d = { .world = w, .array = world_alloc(w, opt.count, sizeof *d.array) };
    struct timing timing = { 0 };
    struct record row = w->program.record;

    memset(d.array, 0, opt.count * sizeof *d.array);
    deliver(&d);
    if (opt.show)
        show(&d);
    struct verdict verdict = check(&d);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, opt.count * sizeof *d.array, deliver, &d);
        verdict = check(&d);
    }
    free(d.array);
    record_int(&row, "count", (int64_t)opt.count);
    record_int(&row, "messages", 2 * (w->size - 1));
    timing_fields(&row, &timing, opt.count * sizeof *d.array, verdict.right);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    program_fault(&w->program, opt.fault, verdict.right, "no element is sent");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (w->size == 1)
        return program_verdict(&w->program, true, "1 rank: nobody to send to, no message was sent");
    return program_verdict(&w->program, true, "%zu elements and a text arrived at each of %d other "
                           "rank%s", opt.count, w->size - 1, w->size == 2 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.count > INT_MAX)
        status = world_usage(&w, "--count %zu: a count is an int: give at most %d", opt.count,
                             INT_MAX);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
