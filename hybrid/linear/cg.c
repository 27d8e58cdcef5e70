/*
 * cg - the conjugate gradient method, on ranks and threads
 *
 * The equations are Poisson's on a square: 4 u(i,j) - u(i-1,j) - u(i+1,j) - u(i,j-1) - u(i,j+1) =
 * f(i,j) for i, j from 1 to n, and 0 around it. Each rank has a block of rows of the field, and
 * needs one row of each neighbour's; and every step needs two scalar products, for which all ranks
 * wait for all:
 *
 *   classic    exchange edges, multiply, and two allreduces a step (Hestenes, Stiefel 1952)
 *   overlap    the same, but inner rows are multiplied while the edges travel
 *   pipelined  one allreduce a step, which is under way during the multiplication (Ghysels,
 *              Vanroose, Parallel Computing 40, 2014). What is carried along drifts away from what it stands
 *              for, so every --renew steps it is computed anew
 *
 * Sums of floating-point numbers depend on their order, so steps and bits change with the number of
 * ranks and threads. With --reproducible each row of the field is summed by itself, and the n sums
 * are gathered and added in the order of the rows: the same bits on any number of either.
 *
 * f is such that u(i,j) = i (n + 1 - i) j (n + 1 - j) solves it exactly, all in whole numbers. In
 * the end the residual is computed anew, and the error is compared with what the residual allows:
 * it is at most the residual's norm divided by the least eigenvalue, 8 sin^2(pi / (2 n + 2)).
 *
 * What can go wrong: not to converge (--steps is the most; --tolerance below what rounding leaves);
 * edges of the step before (--fault stale: convergence may still be reported, the error tells).
 *
 * Run:     make run P=cg N=2 ARGS="--variant all"
 * Try:     -n 1 to 4, without and with --reproducible: steps, and the digest of the solution
 * Try:     --variant pipelined --renew 1000000: how far do residual and solution drift apart?
 * Try:     --n 50, 200, 1000 --variant all: which share of the time do the allreduces take?
 * Test:    -n 1 -t 1 --variant all --n 50
 * Test:    -n 2 -t 2 --variant all --n 61
 * Test:    -n 3 -t 1 --variant all --n 40 --reproducible
 * Test:    -n 4 -t 3 --variant all --n 37
 * Test:    -n 3 -t 2 --variant all --n 2 --reproducible
 * Test:    -n 4 -t 1 --variant all --n 1
 * Test:    -n 2 -t 1 --variant all --n 0
 * Test(1): -n 2 -t 1 --n 60 --steps 5
 * Test(1): -n 2 -t 1 --n 60 --fault stale
 * Test(1): -n 2 -t 1 --n 50 --variant pipelined --renew 1M --tolerance 1e-14
 * Test:    -n 1 -t 1 --n 60 --fault stale
 * Test(2): -n 1 --threads 0
 * Test(2): -n 1 --n 20000
 * Test(2): -n 1 --tolerance 1
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "hybrid/lib/place.h"
#include "hybrid/lib/room.h"
#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    size_t n, steps, renew;
    int threads;
    bool reproducible;
    const char *tolerance, *variant, *place, *fault;
    struct timing_options timing;
} opt = { .n = 200, .renew = 50, .tolerance = "1e-8", .variant = "classic", .place = "balanced",
          .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "rows, and columns, of the field" },
    { "tolerance", ARG_TEXT, &opt.tolerance, "of the residual's norm, as a share of f's" },
    { "steps", ARG_SIZE, &opt.steps, "steps at most; 0: ten times n" },
    { "variant", ARG_CHOICE, &opt.variant, "what is waited for",
      .choices = "classic|overlap|pipelined|all" },
    { "renew", ARG_SIZE, &opt.renew, "pipelined: steps after which residuals are computed anew",
      .min = 1 },
    { "reproducible", ARG_FLAG, &opt.reproducible, "the same bits on any number of ranks and threads" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "where they run", .choices = PLACE_CHOICES },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "stale" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

enum { VECTORS = 8, DOTS = 2 };

struct solver {
    const struct world *world;
    struct place *place;
    double tolerance;
    struct block rows;         /* of this rank */
    int up, down;              /* who has the next rows, or MPI_PROC_NULL */
    double *x, *f, *r, *p, *q; /* fields: the rows, and one row of edges above and below */
    double *w, *s, *z;         /* pipelined: A r, A p, A q */
    void *memory;
    double *row_sums, *all_sums; /* reproducible: DOTS for each row, of this rank and of all */
    int *counts, *starts;
    MPI_Request request;       /* of the sums under way */
    double sums[DOTS];
    int sums_count;
    uint64_t steps;            /* that the last run took */
    bool has_converged;
    double f_norm;
    int64_t waited_ns, elapsed_ns; /* for sums; in all */
};

static double *row_of(double *field, uint64_t i)
{
    return field + (i + 1) * opt.n;
}

/* ---- Fields ---- */

/* The rows `from` to `end` - 1 of out = A in. */
static void multiply(struct solver *s, double *out, double *in, uint64_t from, uint64_t end)
{
    const size_t n = opt.n;

#pragma omp parallel for schedule(static) num_threads(opt.threads)
    for (uint64_t i = from; i < end; i++) {
        const double *const above = row_of(in, i) - n, *const here = above + n;
        const double *const below = here + n;
        double *const to = row_of(out, i);
        for (size_t j = 0; j < n; j++)
            to[j] = 4 * here[j] - above[j] - below[j] - (j > 0 ? here[j - 1] : 0) -
                    (j + 1 < n ? here[j + 1] : 0);
    }
    (void)s;
}

/* y = x + factor * y, or y += factor * x. */
static void scale_add(struct solver *s, double *y, double factor, double *x)
{
#pragma omp parallel for schedule(static) num_threads(opt.threads)
    for (uint64_t i = 0; i < s->rows.count; i++)
        for (size_t j = 0; j < opt.n; j++)
            row_of(y, i)[j] = row_of(x, i)[j] + factor * row_of(y, i)[j];
}

static void add_scaled(struct solver *s, double *y, double factor, double *x)
{
#pragma omp parallel for schedule(static) num_threads(opt.threads)
    for (uint64_t i = 0; i < s->rows.count; i++)
        for (size_t j = 0; j < opt.n; j++)
            row_of(y, i)[j] += factor * row_of(x, i)[j];
}

/* ---- Edges ---- */

static void start_edges(struct solver *s, double *field, MPI_Request requests[4])
{
    const int n = (int)opt.n;
    const uint64_t count = s->rows.count;

    MPI_Irecv(row_of(field, 0) - n, n, MPI_DOUBLE, s->up, 0, s->world->comm, &requests[0]);
    MPI_Irecv(row_of(field, count), n, MPI_DOUBLE, s->down, 0, s->world->comm, &requests[1]);
    MPI_Isend(row_of(field, 0), n, MPI_DOUBLE, s->up, 0, s->world->comm, &requests[2]);
    MPI_Isend(row_of(field, count) - n, n, MPI_DOUBLE, s->down, 0, s->world->comm, &requests[3]);
}

static void multiply_all(struct solver *s, double *out, double *in)
{
    MPI_Request requests[4];

    start_edges(s, in, requests);
    MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
    multiply(s, out, in, 0, s->rows.count);
}

static void multiply_overlapped(struct solver *s, double *out, double *in)
{
    const uint64_t count = s->rows.count;
    MPI_Request requests[4];

    start_edges(s, in, requests);
    if (count > 2)
        multiply(s, out, in, 1, count - 1);
    MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
    multiply(s, out, in, 0, count > 0);
    if (count > 1)
        multiply(s, out, in, count - 1, count);
}

/* --fault stale: the edges that came for the first product stay. */
static void multiply_stale(struct solver *s, double *out, double *in)
{
    if (s->steps == 0)
        multiply_all(s, out, in);
    else
        multiply(s, out, in, 0, s->rows.count);
}

/* ---- Sums over all ranks ---- */

static double sum_of_row(const double *a, const double *b)
{
    double sum = 0;

    for (size_t j = 0; j < opt.n; j++)
        sum += a[j] * b[j];
    return sum;
}

/* Starts the scalar products of `count` pairs of fields. */
static void start_sums(struct solver *s, double *pairs[][2], int count)
{
    s->sums_count = count;
    for (int k = 0; k < count; k++) {
        double sum = 0;
#pragma omp parallel for schedule(static) num_threads(opt.threads) reduction(+ : sum)
        for (uint64_t i = 0; i < s->rows.count; i++) {
            const double of_row = sum_of_row(row_of(pairs[k][0], i), row_of(pairs[k][1], i));
            s->row_sums[i * DOTS + (size_t)k] = of_row;
            sum += of_row;
        }
        s->sums[k] = sum;
    }
    if (opt.reproducible)
        MPI_Iallgatherv(s->row_sums, (int)s->rows.count * DOTS, MPI_DOUBLE, s->all_sums, s->counts,
                        s->starts, MPI_DOUBLE, s->world->comm, &s->request);
    else
        MPI_Iallreduce(MPI_IN_PLACE, s->sums, count, MPI_DOUBLE, MPI_SUM, s->world->comm,
                       &s->request);
}

static void finish_sums(struct solver *s)
{
    const int64_t begin = clock_ns();

    MPI_Wait(&s->request, MPI_STATUS_IGNORE);
    s->waited_ns += clock_ns() - begin;
    for (int k = 0; k < s->sums_count && opt.reproducible; k++) {
        s->sums[k] = 0;
        for (size_t i = 0; i < opt.n; i++)
            s->sums[k] += s->all_sums[i * DOTS + (size_t)k];
    }
}

static double dot(struct solver *s, double *a, double *b)
{
    double *pair[1][2] = { { a, b } };

    start_sums(s, pair, 1);
    finish_sums(s);
    return s->sums[0];
}

/* ---- The method ---- */

static uint64_t most_steps(void)
{
    return opt.steps ? opt.steps : 10 * opt.n;
}

/* x = 0, so the residual is f. */
static double start(struct solver *s)
{
    const size_t bytes = s->rows.count * opt.n * sizeof(double);

    memset(row_of(s->x, 0), 0, bytes);
    memcpy(row_of(s->r, 0), row_of(s->f, 0), bytes);
    memcpy(row_of(s->p, 0), row_of(s->f, 0), bytes);
    s->steps = 0;
    return dot(s, s->r, s->r);
}

static void iterate(struct solver *s, void (*product)(struct solver *, double *, double *))
{
    double residual = start(s);
    const double enough = s->tolerance * s->tolerance * residual;

    s->f_norm = sqrt(residual);
    while (residual > enough && s->steps < most_steps()) {
        product(s, s->q, s->p);
        const double alpha = residual / dot(s, s->p, s->q);
        add_scaled(s, s->x, alpha, s->p);
        add_scaled(s, s->r, -alpha, s->q);
        const double next = dot(s, s->r, s->r);
        scale_add(s, s->p, next / residual, s->r);
        residual = next;
        s->steps++;
    }
    s->has_converged = residual <= enough;
}

static void classic(struct solver *s)
{
    iterate(s, multiply_all);
}

static void overlap(struct solver *s)
{
    iterate(s, multiply_overlapped);
}

static void stale(struct solver *s)
{
    iterate(s, multiply_stale);
}

/* r = f - A x, and what follows from it and from p. */
static void renew(struct solver *s)
{
    multiply_all(s, s->r, s->x);
    scale_add(s, s->r, -1, s->f);
    multiply_all(s, s->w, s->r);
    multiply_all(s, s->q, s->p);
    multiply_all(s, s->z, s->q);
}

/* w = A r; then q = A p and z = A q follow by recurrence, from s = A w. */
static void pipelined(struct solver *s)
{
    const size_t bytes = (s->rows.count + 2) * opt.n * sizeof(double);
    double *pairs[DOTS][2] = { { s->r, s->r }, { s->w, s->r } };
    double alpha = 0, last = start(s);
    const double enough = s->tolerance * s->tolerance * last;

    s->f_norm = sqrt(last);
    memset(s->p, 0, bytes);
    memset(s->q, 0, bytes);
    memset(s->z, 0, bytes);
    multiply_overlapped(s, s->w, s->r);
    for (;;) {
        start_sums(s, pairs, DOTS);
        multiply_overlapped(s, s->s, s->w);
        finish_sums(s);
        const double residual = s->sums[0], beta = s->steps ? residual / last : 0;
        s->has_converged = residual <= enough;
        if (s->has_converged || s->steps >= most_steps())
            break;
        alpha = residual / (s->sums[1] - (s->steps ? beta * residual / alpha : 0));
        scale_add(s, s->z, beta, s->s);
        scale_add(s, s->q, beta, s->w);
        scale_add(s, s->p, beta, s->r);
        add_scaled(s, s->x, alpha, s->p);
        add_scaled(s, s->r, -alpha, s->q);
        add_scaled(s, s->w, -alpha, s->z);
        last = residual;
        if (++s->steps % opt.renew == 0)
            renew(s);
    }
}

static const struct variant {
    const char *name;
    void (*solve)(struct solver *solver);
    bool is_fault;
} variants[] = {
    { "classic", classic, false },
    { "overlap", overlap, false },
    { "pipelined", pipelined, false },
    { "stale", stale, true },
};
enum { VARIANTS = sizeof variants / sizeof *variants };

struct run {
    struct solver *solver;
    const struct variant *variant;
    uint64_t steps, digest;
    int64_t waited_ns, elapsed_ns;
};

static void solve(void *arg)
{
    struct run *const run = arg;
    const int64_t begin = clock_ns();

    run->solver->waited_ns = 0;
    run->variant->solve(run->solver);
    run->waited_ns += run->solver->waited_ns;
    run->elapsed_ns += clock_ns() - begin;
}

/* ---- The equations, and whether they are solved ---- */

static double known(uint64_t i, uint64_t j)
{
    const double n1 = (double)(opt.n + 1), y = (double)(i + 1), x = (double)(j + 1);

    return y * (n1 - y) * x * (n1 - x);
}

static double f_at(uint64_t i, uint64_t j)
{
    const double n1 = (double)(opt.n + 1), y = (double)(i + 1), x = (double)(j + 1);

    return 2 * y * (n1 - y) + 2 * x * (n1 - x);
}

/* Each thread touches first what it will work on. */
static void fill(struct solver *s)
{
    double *const fields[VECTORS] = { s->x, s->f, s->r, s->p, s->q, s->w, s->s, s->z };

#pragma omp parallel num_threads(opt.threads)
    {
        place_thread(s->place, omp_get_thread_num());
#pragma omp for schedule(static)
        for (uint64_t i = 0; i < s->rows.count; i++)
            for (size_t j = 0; j < opt.n; j++)
                for (int k = 0; k < VECTORS; k++)
                    row_of(fields[k], i)[j] = k == 1 ? f_at(s->rows.start + i, j) : 0;
    }
}

/* A digest of the solution that does not depend on who has which rows. */
static uint64_t digest_of(const struct solver *s)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < s->rows.count; i++)
        for (size_t j = 0; j < opt.n; j++) {
            uint64_t bits;
            memcpy(&bits, &row_of(s->x, i)[j], sizeof bits);
            sum += bits * (2 * ((s->rows.start + i) * opt.n + j) + 1);
        }
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_UINT64_T, MPI_SUM, s->world->comm);
    return sum;
}

/* The residual anew, and the error; both as norms. */
static void find_error(struct solver *s, double *residual, double *error)
{
    double sums[2] = { 0, 0 };

    multiply_all(s, s->q, s->x);
    for (uint64_t i = 0; i < s->rows.count; i++)
        for (size_t j = 0; j < opt.n; j++) {
            const double r = row_of(s->f, i)[j] - row_of(s->q, i)[j];
            const double e = row_of(s->x, i)[j] - known(s->rows.start + i, j);
            sums[0] += r * r;
            sums[1] += e * e;
        }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, s->world->comm);
    *residual = sqrt(sums[0]);
    *error = sqrt(sums[1]);
}

static struct verdict check(struct run *run)
{
    static const double pi = 3.14159265358979323846;
    struct solver *const s = run->solver;
    const double half = sin(pi / (2 * (double)(opt.n + 1)));
    const double least_eigenvalue = 8 * half * half;
    double residual, error;
    struct verdict verdict = { .right = true };

    find_error(s, &residual, &error);
    /* Rounding leaves some units in the last place of A x, whose terms are up to 8 x. */
    const double rounding = 1e-14 * (double)opt.n * s->f_norm / least_eigenvalue;
    const double allowed = 1.5 * s->tolerance * s->f_norm + rounding;
    if (!s->has_converged) {
        verdict.right = false;
        snprintf(verdict.wrong, sizeof verdict.wrong, "%s: not converged after %" PRIu64 " steps: the "
                 "residual is %.3g of f", run->variant->name, run->steps, residual / s->f_norm);
    } else if (opt.n > 0 && !(residual <= allowed)) {
        verdict.right = false;
        snprintf(verdict.wrong, sizeof verdict.wrong, "%s: after %" PRIu64 " steps the residual is "
                 "%.3g of f, not %s", run->variant->name, run->steps, residual / s->f_norm,
                 opt.tolerance);
    } else if (opt.n > 0 && !(error <= 1.01 * residual / least_eigenvalue + rounding)) {
        verdict.right = false;
        snprintf(verdict.wrong, sizeof verdict.wrong, "%s: the solution is off by %.3g, and the "
                 "residual allows %.3g", run->variant->name, error, residual / least_eigenvalue);
    }
    return verdict;
}

/* ---- Memory ---- */

static void open_solver(struct solver *s, const struct world *w, struct place *place,
                        double tolerance)
{
    *s = (struct solver){ .world = w, .place = place, .tolerance = tolerance };
    s->rows = block_of(opt.n, (uint64_t)w->size, (uint64_t)w->rank);
    const bool has_rows = s->rows.count > 0;
    const uint64_t end = s->rows.start + s->rows.count;
    s->up = has_rows && s->rows.start > 0 ? w->rank - 1 : MPI_PROC_NULL;
    s->down = has_rows && end < opt.n ? w->rank + 1 : MPI_PROC_NULL;
    const size_t field = (s->rows.count + 2) * opt.n;
    s->memory = pages_alloc(VECTORS * field * sizeof(double), true);
    if (!s->memory)
        world_abort(w, UNABLE, "no memory for %d fields of %zu elements: give a smaller --n", VECTORS,
                    field);
    double **const fields[VECTORS] = { &s->x, &s->f, &s->r, &s->p, &s->q, &s->w, &s->s, &s->z };
    for (int k = 0; k < VECTORS; k++)
        *fields[k] = (double *)s->memory + (size_t)k * field;
    s->row_sums = world_alloc(w, s->rows.count * DOTS, sizeof(double));
    s->all_sums = world_alloc(w, opt.n * DOTS, sizeof(double));
    s->counts = world_alloc(w, 2 * (size_t)w->size, sizeof(int));
    s->starts = s->counts + w->size;
    memset(s->row_sums, 0, s->rows.count * DOTS * sizeof(double));
    for (int rank = 0; rank < w->size; rank++) {
        const struct block rows = block_of(opt.n, (uint64_t)w->size, (uint64_t)rank);
        s->counts[rank] = (int)rows.count * DOTS;
        s->starts[rank] = (int)rows.start * DOTS;
    }
    fill(s);
}

static void close_solver(struct solver *s)
{
    free(s->counts);
    free(s->all_sums);
    free(s->row_sums);
    pages_free(s->memory, VECTORS * (s->rows.count + 2) * opt.n * sizeof(double));
}

/* ---- Runs ---- */

static void add_row(struct world *w, const struct run *run, const struct timing *timing, bool right)
{
    const double secs = timing->as ? timing->quoted : timing->summary.median;
    const bool is_timed = right && secs > 0;
    struct record row = w->program.record;
    char digest[32];

    snprintf(digest, sizeof digest, "%016" PRIx64, run->digest);
    record_text(&row, "variant", run->variant->name);
    record_int(&row, "n", (int64_t)opt.n);
    record_int(&row, "steps", (int64_t)run->steps);
    record_bool(&row, "reproducible", opt.reproducible);
    record_text(&row, "digest", digest);
    record_real(&row, "step_s", is_timed && run->steps ? secs / (double)run->steps : NAN);
    record_real(&row, "waiting_percent",
                is_timed ? 100 * (double)run->waited_ns / (double)run->elapsed_ns : NAN);
    timing_fields(&row, timing, 8 * opt.n * opt.n, right && opt.n > 0 && !opt.fault);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && is_timed)
        timing_notes(&w->program, timing);
}

static struct verdict run_each(struct world *w, struct solver *s)
{
    struct run runs[VARIANTS];
    struct timing_case cases[VARIANTS];
    struct timing timings[VARIANTS] = { { .slowest_rank = -1 } };
    struct verdict all = { .right = true };
    int count = 0;

    for (int i = 0; i < VARIANTS; i++) {
        const bool chosen = variants[i].is_fault ? arg_is(opt.fault, variants[i].name)
                                                 : !opt.fault && (arg_is(opt.variant, "all") ||
                                                                  arg_is(opt.variant, variants[i].name));
        if (!chosen)
            continue;
        runs[count] = (struct run){ s, &variants[i], 0, 0, 0, 0 };
        solve(&runs[count]);
        runs[count].steps = s->steps;
        runs[count].digest = digest_of(s);
        all = verdict_both(all, check(&runs[count]));
        runs[count].waited_ns = runs[count].elapsed_ns = 0;
        cases[count] = (struct timing_case){ solve, &runs[count] };
        count++;
    }
    if (all.right && !opt.fault)
        timing_run_each(w, &opt.timing, 8 * opt.n * opt.n, cases, count, timings);
    for (int i = 0; i < count; i++)
        add_row(w, &runs[i], &timings[i], all.right);
    return all;
}

static enum status run(struct world *w, double tolerance)
{
    struct solver solver;
    struct place place;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
    open_solver(&solver, w, &place, tolerance);
    const struct verdict verdict = run_each(w, &solver);
    program_fault(&w->program, opt.fault, verdict.right, "there are no edges");
    close_solver(&solver);
    place_close(&place);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu x %zu equations solved: the residual is within %s of "
                           "f, and the error within what it allows", opt.n, opt.n, opt.tolerance);
}

int main(int argc, char **argv)
{
    static const size_t most_n = 10000; /* the solution's whole numbers stay below 2^53 */
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    char *end = NULL;
    const double tolerance = strtod(opt.tolerance, &end);
    if (status == PASS && opt.n > most_n)
        status = world_usage(&w, "--n %zu: at most %zu, or the solution is not exact", opt.n, most_n);
    if (status == PASS && (*end || !(tolerance > 0) || !(tolerance < 1)))
        status = world_usage(&w, "--tolerance %s: a number above 0 and below 1", opt.tolerance);
    const uint64_t rows = block_of(opt.n, (uint64_t)w.size, (uint64_t)w.rank).count;
    if (status == PASS)
        status = room_for(&w, VECTORS * (rows + 2) * opt.n * sizeof(double), 0);
    if (status == PASS)
        status = run(&w, tolerance);
    return world_close(&w, status);
}
