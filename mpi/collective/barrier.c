/*
 * barrier - nobody goes on before all have come
 *
 * In each of --phases one rank holds back, another one each time, until all others have sent it a
 * message: they are about to enter MPI_Barrier. Each sends it a second one when it has left. If a
 * second message arrives before the last rank has entered, the barrier let somebody pass too early.
 * No clock is asked, so neither a busy machine nor clocks that differ can mislead the check. Then
 * the barrier itself is timed, from the first entry to the last exit.
 *
 * What can go wrong: a barrier says when, not what. It moves no data, completes no message, and
 * does not order what ranks print: their lines travel to the terminal each on its own way. --fault
 * neighbors waits only for the ranks beside it, as one may in a stencil, and is no barrier from
 * four ranks on.
 *
 * Run:     make run P=collective/barrier N=4 ARGS="--show"
 * Try:     --algorithm all on 2, 4, 8, 16 ranks: whose time grows with p, whose with lg p?
 * Try:     --fault neighbors on 3, 4, 5 ranks: who leaves early, and who cannot?
 * Test:    -n 1 --show
 * Test:    -n 3 --phases 0
 * Test:    -n 5 --phases 7 --algorithm all --show
 * Test:    -n 2 --start window --as osu
 * Test(1): -n 4 --fault neighbors --show
 * Test(1): -n 5 --fault neighbors
 * Test:    -n 3 --fault neighbors
 * Test:    -n 4 --fault neighbors --phases 0
 */
#include "local/lib/clock.h"
#include "mpi/lib/coll/barrier.h"
#include "mpi/lib/coll/bound.h"
#include "mpi/lib/compare.h"

static struct {
    struct compare_options compare;
    size_t phases;
    bool show;
    const char *fault;
} opt = { .compare = COMPARE_DEFAULTS(0), .phases = 20 };

static const struct arg options[] = {
    { "phases", ARG_SIZE, &opt.phases, "times that a rank comes last before it is timed",
      .max = 1 << 20 },
    { "show", ARG_FLAG, &opt.show, "print who enters last and who left before that, in 4 phases" },
    { "fault", ARG_CHOICE, &opt.fault, "wait for the ranks beside it alone",
      .choices = "neighbors" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

enum { COME = 1, LEFT, SHOW_PHASES = 4 };

struct barrier {
    struct world *world;
    const struct coll_algorithm *algorithm; /* of the last call */
};

static void wait_for_neighbors(const struct world *w)
{
    const int left = (w->rank - 1 + w->size) % w->size, right = (w->rank + 1) % w->size;

    MPI_Sendrecv(NULL, 0, MPI_BYTE, right, 0, NULL, 0, MPI_BYTE, left, 0, w->comm,
                 MPI_STATUS_IGNORE);
    MPI_Sendrecv(NULL, 0, MPI_BYTE, left, 0, NULL, 0, MPI_BYTE, right, 0, w->comm,
                 MPI_STATUS_IGNORE);
}

static int call(void *arg, const struct coll_algorithm *algorithm,
                const struct coll_options *coll)
{
    struct barrier *b = arg;

    b->algorithm = algorithm;
    if (arg_is(opt.fault, "neighbors"))
        wait_for_neighbors(b->world);
    else if (algorithm)
        return algorithm->barrier(b->world->comm, coll);
    else
        MPI_Barrier(b->world->comm);
    return 0;
}

static uint64_t open_nothing(void *arg, uint64_t bytes)
{
    (void)arg;
    return bytes;
}

static void nothing(void *arg)
{
    (void)arg;
}

/*
 * A rank that has left the barrier, or MPI_PROC_NULL if none has. A slow rank and one that waits
 * look alike, so how long is waited decides how soon a broken barrier is found, not whether a right
 * one passes. Where the mistake is made on purpose, somebody is sure to leave.
 */
static int find_early(const struct world *w)
{
    enum { LOOKS = 20 };
    MPI_Status status;
    int found = 0;

    if (opt.fault && w->size > 3) {
        MPI_Probe(MPI_ANY_SOURCE, LEFT, w->comm, &status);
        return status.MPI_SOURCE;
    }
    for (int look = 0; look < LOOKS && !found; look++) {
        clock_sleep(1e-4);
        MPI_Iprobe(MPI_ANY_SOURCE, LEFT, w->comm, &found, &status);
    }
    return found ? status.MPI_SOURCE : MPI_PROC_NULL;
}

static void hear_all(const struct world *w, int tag)
{
    for (int rank = 0; rank < w->size; rank++)
        if (rank != w->rank)
            MPI_Recv(NULL, 0, MPI_BYTE, rank, tag, w->comm, MPI_STATUS_IGNORE);
}

/* Returns what find_early() says to the rank that is last; MPI_PROC_NULL on the others. */
static int run_phase(struct barrier *b, int last)
{
    const struct world *const w = b->world;
    int early = MPI_PROC_NULL;

    if (w->rank == last) {
        hear_all(w, COME);
        early = find_early(w);
    } else {
        MPI_Send(NULL, 0, MPI_BYTE, last, COME, w->comm);
    }
    call(b, b->algorithm, &(struct coll_options){ 0 });
    if (w->rank == last)
        hear_all(w, LEFT);
    else
        MPI_Send(NULL, 0, MPI_BYTE, last, LEFT, w->comm);
    return early;
}

static void show_phase(const struct world *w, size_t phase, int early)
{
    char line[128] = "", who[32] = "nobody";

    if (early != MPI_PROC_NULL)
        snprintf(who, sizeof who, "rank %d", early);
    if (phase % (size_t)w->size == (size_t)w->rank)
        snprintf(line, sizeof line, "phase %zu: rank %d enters as the last of %d, left before: "
                 "%s\n", phase, w->rank, w->size, who);
    world_print(w, line);
}

static struct verdict check(void *arg)
{
    struct barrier *const b = arg;
    const struct world *const w = b->world;
    uint64_t wrong = UINT64_MAX;
    int shown[SHOW_PHASES], culprit = MPI_PROC_NULL;

    for (size_t phase = 0; phase < opt.phases; phase++) {
        const int early = run_phase(b, (int)(phase % (size_t)w->size));
        if (phase < SHOW_PHASES)
            shown[phase] = early;
        if (early != MPI_PROC_NULL && wrong == UINT64_MAX) {
            wrong = phase;
            culprit = early;
        }
    }
    for (size_t phase = 0; opt.show && phase < opt.phases && phase < SHOW_PHASES; phase++)
        show_phase(w, phase, shown[phase]);
    return verify_places(w, wrong, "phase %zu: rank %d left before rank %d had entered",
                         (size_t)wrong, culprit, w->rank);
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    struct barrier b = { .world = &w };
    const struct compare compare = {
        .algorithms = coll_barrier_algorithms,
        .op = MPI_OP_NULL,
        .unit = 1,
        .bound = coll_bound_barrier,
        .arg = &b,
        .open = open_nothing,
        .close = nothing,
        .fill = nothing,
        .call = call,
        .check = check,
    };
    char what[128];

    snprintf(what, sizeof what, "%zu phases, nobody left before all had come", opt.phases);
    opt.compare.plot.x = "ranks";
    opt.compare.plot.x_label = "ranks";
    if (status == PASS)
        status = compare_run(&w, &compare, &opt.compare, what);
    if (status == PASS)
        program_fault(&w.program, opt.fault, true, opt.phases == 0
                      ? "there is no phase" : "on up to three ranks all are neighbours");
    return world_close(&w, status);
}
