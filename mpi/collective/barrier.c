/*
 * barrier - nobody goes on before all have come
 *
 * In each of --phases one rank comes late, another one each time. All ranks write down when they
 * entered MPI_Barrier and when they left it, on a common clock: nobody may leave a phase before the
 * last one has entered it. Then the barrier itself is timed, from the first entry to the last exit.
 *
 * What can go wrong: a barrier says when, not what. It moves no data, completes no message, and
 * does not order what ranks print: their lines travel to the terminal each on its own way. --fault
 * neighbors waits only for the ranks beside it, as one may in a stencil, and is no barrier from
 * four ranks on.
 *
 * Run:     make run P=collective/barrier N=4 ARGS="--show"
 * Try:     --algorithm all on 2, 4, 8, 16 ranks: whose time grows with p, whose with lg p?
 * Try:     --fault neighbors on 3, 4, 5 ranks: who leaves early?
 * Test:    -n 1 --show
 * Test:    -n 3 --phases 0
 * Test:    -n 5 --phases 7 --algorithm all --show
 * Test:    -n 2 --start window --as osu
 * Test(1): -n 5 --fault neighbors
 * Test:    -n 3 --fault neighbors
 */
#include <math.h>
#include <stdlib.h>

#include "local/lib/clock.h"
#include "mpi/lib/clocks.h"
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
    { "phases", ARG_SIZE, &opt.phases, "times that a rank comes late before it is timed" },
    { "show", ARG_FLAG, &opt.show, "print when each rank came and went, in the first phases" },
    { "fault", ARG_CHOICE, &opt.fault, "wait for the ranks beside it alone",
      .choices = "neighbors" },
    COMPARE_ARGS(&opt.compare),
    ARGS_END,
};

enum { SHOW_PHASES = 4 };

static const double late_secs = 2e-3;

struct barrier {
    struct world *world;
    int64_t *enter, *leave; /* of each phase, on the common clock */
    struct clocks clocks;
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

static int64_t now(const struct barrier *b)
{
    return clocks_global_ns(&b->clocks, clock_ns());
}

static uint64_t open_phases(void *arg, uint64_t bytes)
{
    struct barrier *b = arg;

    b->enter = world_alloc(b->world, opt.phases, sizeof *b->enter);
    b->leave = world_alloc(b->world, opt.phases, sizeof *b->leave);
    clocks_open(&b->clocks, b->world);
    clocks_sync(&b->clocks, 0.1);
    return bytes;
}

static void close_phases(void *arg)
{
    struct barrier *b = arg;

    clocks_close(&b->clocks);
    free(b->leave);
    free(b->enter);
}

static void fill(void *arg)
{
    (void)arg;
}

static void show_phase(const struct barrier *b, size_t phase, int64_t origin)
{
    char line[128];

    snprintf(line, sizeof line, "phase %zu, rank %d: came at %.3f ms, went at %.3f ms\n", phase,
             b->world->rank, 1e-6 * (double)(b->enter[phase] - origin),
             1e-6 * (double)(b->leave[phase] - origin));
    world_print(b->world, line);
}

static struct verdict check(void *arg)
{
    const struct barrier *b = arg;
    const struct world *const w = b->world;
    /* Who does not wait leaves as early as the late one sleeps. Half of that is far above what the
     * clocks of two hosts differ by, also where a busy machine has spoilt their comparison. */
    const double margin_ns = 1e9 * fmax(late_secs / 2, 2 * clocks_residual(&b->clocks));
    uint64_t wrong = UINT64_MAX;
    int64_t origin = now(b);

    MPI_Bcast(&origin, 1, MPI_INT64_T, 0, w->comm);
    for (size_t phase = 0; phase < opt.phases; phase++) {
        if (phase % (size_t)w->size == (size_t)w->rank)
            clock_sleep(late_secs);
        b->enter[phase] = now(b);
        call(arg, b->algorithm, &(struct coll_options){ 0 });
        b->leave[phase] = now(b);
    }
    for (size_t phase = opt.phases; phase-- > 0;) {
        int64_t last = b->enter[phase];
        MPI_Allreduce(MPI_IN_PLACE, &last, 1, MPI_INT64_T, MPI_MAX, w->comm);
        if ((double)b->leave[phase] < (double)last - margin_ns)
            wrong = phase;
    }
    for (size_t phase = 0; opt.show && phase < opt.phases && phase < SHOW_PHASES; phase++)
        show_phase(b, phase, origin);
    return verify_places(w, wrong, "phase %zu: rank %d left before the last one had entered",
                         (size_t)wrong, w->rank);
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
        .open = open_phases,
        .close = close_phases,
        .fill = fill,
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
