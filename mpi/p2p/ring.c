/*
 * ring - a token goes round, and every rank adds its number to it
 *
 * Rank 0 sends the token to rank 1, that to rank 2, and the last rank back to rank 0, --rounds
 * times. Nobody counts or waits for a signal: a rank can only send on what it has received, so the
 * dependence alone keeps the ranks in order. Each rank knows what the token must hold when it comes
 * by: the sum of all ranks for every round that is complete, and of the ranks before it.
 *
 * What can go wrong: one rank alone would send to itself, and a blocking send to oneself may never
 * return; here it posts the receive first. And only one rank works at any moment: time grows with
 * the number of ranks. The table gives the time of one hop.
 *
 * Run:     make run P=ring N=4 ARGS="--show"
 * Try:     2, 4, 8 ranks: does a hop cost the same? With more ranks than cores?
 * Try:     --fault lost: what if one rank passes on an old token?
 * Test:    -n 1 --rounds 5 --show
 * Test:    -n 4 --rounds 1 --show
 * Test:    -n 3 --rounds 0
 * Test:    -n 5 --rounds 1000 --iterations 2
 * Test(1): -n 4 --fault lost
 * Test(2): -n 2 --rounds -1
 */
#include <inttypes.h>
#include <math.h>

#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t rounds;
    bool show;
    const char *fault;
    struct timing_options timing;
} opt = { .rounds = 3, .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "rounds", ARG_SIZE, &opt.rounds, "how often the token goes round" },
    { "show", ARG_FLAG, &opt.show, "print what each rank saw in the last round" },
    { "fault", ARG_CHOICE, &opt.fault, "the last rank passes on the token of the round before",
      .choices = "lost" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct ring {
    const struct world *world;
    uint64_t seen;  /* the token as it came to this rank last */
    uint64_t wrong; /* the first round in which it was not what it must be; UINT64_MAX: none */
};

/* The token when it comes to `rank` in `round`, counted from 0: rank 0 sees it at the end. */
static uint64_t expected(const struct world *w, uint64_t round)
{
    const uint64_t rank = (uint64_t)w->rank, size = (uint64_t)w->size;
    const uint64_t all = size * (size - 1) / 2;

    return rank == 0 ? (round + 1) * all : round * all + rank * (rank - 1) / 2;
}

/* The one rank of a job of one is both ends of the message. */
static uint64_t send_to_myself(const struct world *w, uint64_t token)
{
    MPI_Request request;
    uint64_t received;

    MPI_Irecv(&received, 1, MPI_UINT64_T, 0, 0, w->comm, &request);
    MPI_Send(&token, 1, MPI_UINT64_T, 0, 0, w->comm);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    return received;
}

static uint64_t pass_on(const struct world *w, uint64_t token, uint64_t before)
{
    const int left = (w->rank + w->size - 1) % w->size, right = (w->rank + 1) % w->size;

    if (w->size == 1)
        return send_to_myself(w, token);
    if (w->rank == 0) {
        MPI_Send(&token, 1, MPI_UINT64_T, right, 0, w->comm);
        MPI_Recv(&token, 1, MPI_UINT64_T, left, 0, w->comm, MPI_STATUS_IGNORE);
        return token;
    }
    MPI_Recv(&token, 1, MPI_UINT64_T, left, 0, w->comm, MPI_STATUS_IGNORE);
    uint64_t next = token + (uint64_t)w->rank;
    if (arg_is(opt.fault, "lost") && w->rank == w->size - 1)
        next = before;
    MPI_Send(&next, 1, MPI_UINT64_T, right, 0, w->comm);
    return token;
}

static void go_round(void *arg)
{
    struct ring *ring = arg;
    uint64_t token = 0;

    for (uint64_t round = 0; round < opt.rounds; round++) {
        const uint64_t before = round > 0 ? token : 0;
        token = pass_on(ring->world, token, before);
        if (token != expected(ring->world, round) && ring->wrong == UINT64_MAX)
            ring->wrong = round;
    }
    ring->seen = token;
}

static void show(const struct ring *ring)
{
    char line[96];

    snprintf(line, sizeof line, "rank %d: the token came as %" PRIu64 "%s\n", ring->world->rank,
             ring->seen, opt.rounds == 0 ? " (it never came)" : "");
    world_print(ring->world, line);
}

static enum status run(struct world *w)
{
    struct ring ring = { .world = w, .wrong = UINT64_MAX };
    struct record row = w->program.record;

    go_round(&ring);
    if (opt.show)
        show(&ring);
    const struct timing timing = timing_run(w, &opt.timing, sizeof(uint64_t), go_round, &ring);
    const struct verdict verdict =
        verify_places(w, ring.wrong, "rank %d: the token of round %" PRIu64 " was not %" PRIu64,
                      w->rank, ring.wrong, expected(w, ring.wrong));
    const double hops = (double)opt.rounds * w->size;

    record_int(&row, "rounds", (int64_t)opt.rounds);
    record_real(&row, "hop_s", verdict.right && hops > 0
                                   ? (timing.as ? timing.quoted : timing.summary.median) / hops
                                   : NAN);
    timing_fields(&row, &timing, sizeof(uint64_t), verdict.right);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    if (w->rank == 0 && verdict.right)
        timing_notes(&w->program, &timing);
    program_fault(&w->program, opt.fault, verdict.right, "nobody passes on an old token");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu round%s past %d rank%s, the token right at each "
                           "of them", opt.rounds, opt.rounds == 1 ? "" : "s", w->size,
                           w->size == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
