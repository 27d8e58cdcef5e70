/*
 * ring - a token goes round, and every rank adds its number to it
 *
 * Rank 0 sends the token to rank 1, that to rank 2, and the last rank back to rank 0, --rounds
 * times. Nothing else keeps the ranks in order: a rank can only pass on what it has received. Each
 * rank knows what the token must hold when it comes by: the sum of all ranks for every round that
 * is complete, and of the ranks before it in this one. At the end that is rounds * P * (P - 1) / 2.
 *
 * What can go wrong: only one rank works at any moment, so the time grows with the number of ranks;
 * the table has the time of one hop. And one rank alone is its own neighbour: a blocking send to
 * oneself may never return, because the receive comes after it. Here it posts the receive first.
 *
 * Run:     make run P=ring N=4 ARGS="--show"
 * Try:     --rounds 1000 on 2 ranks, then on 4 and 8: does a hop cost the same?
 * Try:     --fault lost --show: what becomes of the sum if one rank passes on an old token?
 * Test:    -n 1 --rounds 5 --show
 * Test:    -n 4 --rounds 1 --show
 * Test:    -n 3 --rounds 0 --show
 * Test:    -n 5 --rounds 500 --iterations 2
 * Test(1): -n 4 --fault lost
 * Test(1): -n 2 --rounds 1 --fault lost
 * Test:    -n 1 --fault lost
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
    { "rounds", ARG_SIZE, &opt.rounds, "how often the token goes round", .max = 1 << 20 },
    { "show", ARG_FLAG, &opt.show, "print the token as each rank saw it last" },
    { "fault", ARG_CHOICE, &opt.fault, "the last rank passes on the token of the round before",
      .choices = "lost" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct ring {
    const struct world *world;
    uint64_t seen;  /* the token as it came to this rank last */
    uint64_t round, wrong; /* the first round, from 0, in which it was not right, and what it was */
};

/* The token when it comes to this rank in `round`; to rank 0 it comes at the end of a round. */
static uint64_t expected(const struct world *w, uint64_t round)
{
    const uint64_t rank = (uint64_t)w->rank, size = (uint64_t)w->size;
    const uint64_t all = size * (size - 1) / 2;

    return rank == 0 ? (round + 1) * all : round * all + rank * (rank - 1) / 2;
}

/* One rank is both ends of the message, so neither may block before the other has begun. */
static uint64_t send_to_myself(const struct world *w, uint64_t token)
{
    MPI_Request request;
    uint64_t received;

    MPI_Irecv(&received, 1, MPI_UINT64_T, 0, 0, w->comm, &request);
    MPI_Send(&token, 1, MPI_UINT64_T, 0, 0, w->comm);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    return received;
}

/* One round. `last` is the token as it came to this rank in the round before; returns it as it
 * comes in this one. */
static uint64_t pass_on(const struct world *w, uint64_t last)
{
    const int left = (w->rank + w->size - 1) % w->size, right = (w->rank + 1) % w->size;
    uint64_t token;

    if (w->size == 1)
        return send_to_myself(w, last);
    if (w->rank == 0) { /* adds its number, 0 */
        MPI_Send(&last, 1, MPI_UINT64_T, right, 0, w->comm);
        MPI_Recv(&token, 1, MPI_UINT64_T, left, 0, w->comm, MPI_STATUS_IGNORE);
        return token;
    }
    MPI_Recv(&token, 1, MPI_UINT64_T, left, 0, w->comm, MPI_STATUS_IGNORE);
    const bool lost = arg_is(opt.fault, "lost") && w->rank == w->size - 1;
    const uint64_t next = lost ? last : token + (uint64_t)w->rank;
    MPI_Send(&next, 1, MPI_UINT64_T, right, 0, w->comm);
    return token;
}

static void go_round(void *arg)
{
    struct ring *ring = arg;
    uint64_t token = 0;

    for (uint64_t round = 0; round < opt.rounds; round++) {
        token = pass_on(ring->world, token);
        if (token != expected(ring->world, round) && round < ring->round) {
            ring->round = round;
            ring->wrong = token;
        }
    }
    ring->seen = token;
}

static struct verdict check(const struct ring *ring)
{
    const struct world *w = ring->world;

    return verify_places(w, ring->round, "round %" PRIu64 ", rank %d: the token was %" PRIu64
                         ", it should be %" PRIu64, ring->round, w->rank, ring->wrong,
                         expected(w, ring->round));
}

static void show(const struct ring *ring)
{
    char line[96];

    if (opt.rounds > 0)
        snprintf(line, sizeof line, "rank %d: in round %zu the token came as %" PRIu64 "\n",
                 ring->world->rank, opt.rounds - 1, ring->seen);
    else
        snprintf(line, sizeof line, "rank %d: the token never came\n", ring->world->rank);
    world_print(ring->world, line);
}

static void add_row(struct world *w, const struct timing *timing, bool right)
{
    const double hops = (double)opt.rounds * w->size;
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    struct record row = w->program.record;

    record_int(&row, "rounds", (int64_t)opt.rounds);
    record_real(&row, "hop_s", right && hops > 0 ? secs / hops : NAN);
    timing_fields(&row, timing, sizeof(uint64_t), right && hops > 0);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && right)
        timing_notes(&w->program, timing);
}

static enum status run(struct world *w)
{
    struct ring ring = { .world = w, .round = UINT64_MAX };
    struct timing timing = { 0 };

    go_round(&ring);
    if (opt.show)
        show(&ring);
    struct verdict verdict = check(&ring);
    program_fault(&w->program, opt.fault, verdict.right,
                  opt.rounds > 0 ? "one rank passes nothing on" : "the token does not go round");
    if (verdict.right && opt.rounds > 0) {
        timing = timing_run(w, &opt.timing, sizeof(uint64_t), go_round, &ring);
        verdict = check(&ring);
    }
    add_row(w, &timing, verdict.right);
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
