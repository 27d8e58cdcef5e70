/*
 * summa - C = A B on a grid of ranks, panel by panel
 *
 * The ranks are a grid of p rows and q columns. Each has a block of A, of B and of C; sizes need
 * not divide, and p and q need not be equal. For each panel of some columns of A and as many rows
 * of B the ranks that have them broadcast them along their row and their column of the grid, and
 * every rank adds the product of its two pieces to its block of C (van de Geijn, Watts, "SUMMA:
 * scalable universal matrix multiplication algorithm", Concurrency 9, 1997):
 *
 *   blocking   broadcast, multiply, broadcast, multiply
 *   overlap    the next panel is broadcast while this one is multiplied
 *
 * The product of the pieces is a BLAS's (--kernel blas) or a loop to read (--kernel openmp), by the
 * threads of the rank. `alone` is the same number of operations in one call of the kernel on each
 * rank, without any broadcast: what the rows before it are compared with, in turns.
 *
 * All numbers are whole, so that every sum is exact in any order. First A(i,k) = i + k, B(k,j) = k
 * - j, and each C(i,j) is compared with its closed form; then random ones, and C x with A (B x) for
 * two random vectors x (Freivalds 1979).
 *
 * What can go wrong: to take for granted that p divides n; a panel across the border of two blocks
 * (--fault border takes its second part from the wrong rank).
 *
 * Run:     make run P=summa N=2 ARGS="--n 2000 --variant all"
 * Try:     --panel 16, 64, 256, 1024: what is lost at either end?
 * Try:     --kernel openmp: how far is a plain loop from a BLAS?
 * Test:    -n 1 -t 1 --variant all --n 100 --kernel openmp
 * Test:    -n 2 -t 2 --variant all --n 129 --panel 10
 * Test:    -n 3 -t 1 --variant all --n 100 --panel 64 --kernel openmp
 * Test:    -n 4 -t 2 --variant all --n 61 --panel 7 --kernel openmp
 * Test:    -n 3 -t 3 --variant all --n 2
 * Test:    -n 2 -t 1 --variant all --n 1 --kernel openmp
 * Test:    -n 2 -t 1 --variant all --n 0
 * Test(1): -n 2 -t 1 --fault border --n 50 --panel 10 --kernel openmp
 * Test:    -n 1 -t 1 --fault border --n 50 --kernel openmp
 * Test(2): -n 1 --threads 0
 * Test(2): -n 1 --panel 0
 * Test(2): -n 1 --n 100000
 */
#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_BLAS
#include <cblas.h>
#endif

#include "hybrid/lib/place.h"
#include "hybrid/lib/room.h"
#include "local/lib/data.h"
#include "local/lib/pages.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"

static struct {
    size_t n, panel, seed;
    int threads;
    const char *variant, *kernel, *place, *fault;
    struct timing_options timing;
} opt = { .n = 500, .panel = 256, .variant = "overlap", .kernel = "blas", .place = "balanced",
          .timing = TIMING_DEFAULTS };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "rows, and columns, of the matrices" },
    { "panel", ARG_SIZE, &opt.panel, "columns of A that are broadcast at a time", .min = 1 },
    { "variant", ARG_CHOICE, &opt.variant, "when panels travel", .choices = "blocking|overlap|all" },
    { "kernel", ARG_CHOICE, &opt.kernel, "who multiplies the pieces", .choices = "blas|openmp" },
    PLACE_THREADS_ARG(&opt.threads),
    { "place", ARG_CHOICE, &opt.place, "where they run", .choices = PLACE_CHOICES },
    { "seed", ARG_SIZE, &opt.seed, "of the random matrices" },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "border" },
    TIMING_ARGS(&opt.timing),
    ARGS_END,
};

struct product {
    const struct world *world;
    struct place *place;
    int grid[2], mine[2];        /* rows and columns of the grid; this rank's place in it */
    MPI_Comm row, column;        /* the ranks of its row, and of its column */
    struct block rows, columns;  /* of C; A has these rows, B these columns */
    struct block a_columns, b_rows;
    double *a, *b, *c;
    double *a_panels[2], *b_panels[2];
    double *slab_a, *slab_b;     /* for `alone`: rows x n, n x columns */
};

/* ---- The kernel: C += A B of an m x k and a k x n piece ---- */

#ifdef HAVE_BLAS
/* Each of our threads, bound where it should be, has some rows; the BLAS's own would run
 * anywhere. */
static void multiply_blas(struct product *p, const double *a, size_t a_stride, const double *b, size_t k)
{
    const int n = (int)p->columns.count;

#pragma omp parallel num_threads(opt.threads)
    {
        place_thread(p->place, omp_get_thread_num());
        const struct block mine = block_of(p->rows.count, (uint64_t)omp_get_num_threads(),
                                           (uint64_t)omp_get_thread_num());
        if (mine.count > 0 && n > 0)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)mine.count, n, (int)k, 1,
                        a + mine.start * a_stride, (int)a_stride, b, n, 1,
                        p->c + mine.start * (size_t)n, n);
    }
}
#endif

/* Four rows at a time, so that a row of B is fetched once for four of C. */
static void multiply_openmp(struct product *p, const double *a, size_t a_stride, const double *b,
                            size_t k)
{
    const size_t n = p->columns.count, m = p->rows.count;

#pragma omp parallel for schedule(static) num_threads(opt.threads)
    for (size_t i = 0; i < m; i += 4) {
        place_thread(p->place, omp_get_thread_num());
        for (size_t l = 0; l < k; l++) {
            const double *const from = b + l * n;
            for (size_t row = i; row < m && row < i + 4; row++) {
                const double factor = a[row * a_stride + l];
                double *const to = p->c + row * n;
#pragma omp simd
                for (size_t j = 0; j < n; j++)
                    to[j] += factor * from[j];
            }
        }
    }
}

static void multiply(struct product *p, const double *a, size_t a_stride, const double *b, size_t k)
{
#ifdef HAVE_BLAS
    if (arg_is(opt.kernel, "blas")) {
        multiply_blas(p, a, a_stride, b, k);
        return;
    }
#endif
    multiply_openmp(p, a, a_stride, b, k);
}

/* ---- Panels ---- */

/* Some columns of A and rows of B: they belong to one column and one row of the grid. */
struct panel {
    size_t start, count;
    int a_owner, b_owner;
};

static int owner_of(size_t index, int parts)
{
    int part = 0;

    while (part + 1 < parts && block_of(opt.n, (uint64_t)parts, (uint64_t)part + 1).start <= index)
        part++;
    return part;
}

/* The panel that begins at `start`; it ends at the border of a block at the latest. */
static struct panel panel_at(const struct product *p, size_t start)
{
    struct panel panel = { start, opt.n - start < opt.panel ? opt.n - start : opt.panel,
                           owner_of(start, p->grid[1]), owner_of(start, p->grid[0]) };
    const struct block a = block_of(opt.n, (uint64_t)p->grid[1], (uint64_t)panel.a_owner);
    const struct block b = block_of(opt.n, (uint64_t)p->grid[0], (uint64_t)panel.b_owner);

    if (!opt.fault && start + panel.count > a.start + a.count)
        panel.count = a.start + a.count - start;
    if (!opt.fault && start + panel.count > b.start + b.count)
        panel.count = b.start + b.count - start;
    return panel;
}

/* Starts its two broadcasts. The owner copies its columns of A together first. */
static void start_panel(struct product *p, const struct panel *panel, int buffer,
                        MPI_Request requests[2])
{
    double *const a = p->a_panels[buffer], *const b = p->b_panels[buffer];

    if (p->mine[1] == panel->a_owner)
        for (size_t i = 0; i < p->rows.count; i++) {
            const size_t at = panel->start - p->a_columns.start, most = p->a_columns.count - at;
            memcpy(a + i * panel->count, p->a + i * p->a_columns.count + at,
                   (panel->count < most ? panel->count : most) * sizeof *a);
        }
    if (p->mine[0] == panel->b_owner) {
        const size_t at = panel->start - p->b_rows.start, most = p->b_rows.count - at;
        memcpy(b, p->b + at * p->columns.count,
               (panel->count < most ? panel->count : most) * p->columns.count * sizeof *b);
    }
    MPI_Ibcast(a, (int)(p->rows.count * panel->count), MPI_DOUBLE, panel->a_owner, p->row,
               &requests[0]);
    MPI_Ibcast(b, (int)(panel->count * p->columns.count), MPI_DOUBLE, panel->b_owner, p->column,
               &requests[1]);
}

/* ---- Variants: C = A B ---- */

static void clear(struct product *p)
{
    memset(p->c, 0, p->rows.count * p->columns.count * sizeof *p->c);
}

static void blocking(void *arg)
{
    struct product *const p = arg;
    MPI_Request requests[2];

    clear(p);
    for (size_t k = 0; k < opt.n;) {
        const struct panel panel = panel_at(p, k);
        start_panel(p, &panel, 0, requests);
        MPI_Waitall(2, requests, MPI_STATUSES_IGNORE);
        multiply(p, p->a_panels[0], panel.count, p->b_panels[0], panel.count);
        k += panel.count;
    }
}

static void overlap(void *arg)
{
    struct product *const p = arg;
    MPI_Request requests[2][2];
    struct panel now, next = { 0, 0, 0, 0 };

    clear(p);
    if (opt.n > 0) {
        next = panel_at(p, 0);
        start_panel(p, &next, 0, requests[0]);
    }
    for (int buffer = 0; next.count > 0; buffer = !buffer) {
        now = next;
        next.count = 0;
        MPI_Waitall(2, requests[buffer], MPI_STATUSES_IGNORE);
        if (now.start + now.count < opt.n) {
            next = panel_at(p, now.start + now.count);
            start_panel(p, &next, !buffer, requests[!buffer]);
        }
        multiply(p, p->a_panels[buffer], now.count, p->b_panels[buffer], now.count);
    }
}

/* As many operations, without a broadcast. What it computes is of no use. */
static void alone(void *arg)
{
    struct product *const p = arg;

    clear(p);
    multiply(p, p->slab_a, opt.n, p->slab_b, opt.n);
}

static const struct variant {
    const char *name;
    void (*run)(void *product);
} variants[] = { { "blocking", blocking }, { "overlap", overlap }, { "alone", alone } };
enum { ALONE = 2, VARIANTS = 3 };

/* ---- Numbers, and whether the product is right ---- */

static double a_at(bool is_random, uint64_t i, uint64_t k)
{
    return is_random ? (double)(element(i * opt.n + k, opt.seed) % 17) - 8 : (double)(i + k);
}

static double b_at(bool is_random, uint64_t k, uint64_t j)
{
    return is_random ? (double)(element(k * opt.n + j, opt.seed + 1) % 17) - 8 : (double)k - (double)j;
}

static void fill(struct product *p, bool is_random)
{
#pragma omp parallel num_threads(opt.threads)
    {
        place_thread(p->place, omp_get_thread_num());
#pragma omp for schedule(static) nowait
        for (size_t i = 0; i < p->rows.count; i++)
            for (size_t k = 0; k < p->a_columns.count; k++)
                p->a[i * p->a_columns.count + k] =
                    a_at(is_random, p->rows.start + i, p->a_columns.start + k);
#pragma omp for schedule(static) nowait
        for (size_t k = 0; k < p->b_rows.count; k++)
            for (size_t j = 0; j < p->columns.count; j++)
                p->b[k * p->columns.count + j] =
                    b_at(is_random, p->b_rows.start + k, p->columns.start + j);
    }
}

/* The sum over k of (i + k)(k - j). */
static double c_at(uint64_t i, uint64_t j)
{
    const double n = (double)opt.n, x = (double)i, y = (double)j;
    const double first = n * (n - 1) / 2, second = (n - 1) * n * (2 * n - 1) / 6;

    return x * first - n * x * y + second - y * first;
}

static struct verdict check_closed_form(struct product *p, const char *variant)
{
    uint64_t wrong = UINT64_MAX, i = 0, j = 0;

    for (uint64_t at = 0; at < p->rows.count * p->columns.count && wrong == UINT64_MAX; at++) {
        i = p->rows.start + at / p->columns.count;
        j = p->columns.start + at % p->columns.count;
        if (p->c[at] != c_at(i, j))
            wrong = at;
    }
    return verify_places(p->world, wrong == UINT64_MAX ? wrong : i * opt.n + j, "%s: C(%" PRIu64 ",%"
                         PRIu64 ") is %.17g, not %.17g", variant, i, j,
                         wrong == UINT64_MAX ? 0 : p->c[wrong], c_at(i, j));
}

/* y = M x, of which this rank has the block `m`; x and y are whole on all ranks. */
static void apply(const struct product *p, const double *m, struct block rows, struct block columns,
                  const double *x, double *y)
{
    memset(y, 0, opt.n * sizeof *y);
    for (uint64_t i = 0; i < rows.count; i++)
        for (uint64_t j = 0; j < columns.count; j++)
            y[rows.start + i] += m[i * columns.count + j] * x[columns.start + j];
    MPI_Allreduce(MPI_IN_PLACE, y, (int)opt.n, MPI_DOUBLE, MPI_SUM, p->world->comm);
}

/* C x against A (B x), for a random vector of -1 and 1: a wrong C is found in one of two cases, at
 * least, so two vectors are taken beside the closed form. */
static struct verdict check_vectors(struct product *p, const char *variant)
{
    double *const x = world_alloc(p->world, 4 * opt.n, sizeof *x);
    double *const bx = x + opt.n, *const abx = bx + opt.n, *const cx = abx + opt.n;
    uint64_t wrong = UINT64_MAX, vector = 0;

    for (; vector < 2 && wrong == UINT64_MAX; vector++) {
        for (uint64_t j = 0; j < opt.n; j++)
            x[j] = element(j, opt.seed + 2 + vector) >> 20 & 1 ? 1 : -1;
        apply(p, p->b, p->b_rows, p->columns, x, bx);
        apply(p, p->a, p->rows, p->a_columns, bx, abx);
        apply(p, p->c, p->rows, p->columns, x, cx);
        for (uint64_t i = 0; i < opt.n && wrong == UINT64_MAX; i++)
            if (cx[i] != abx[i])
                wrong = i;
    }
    const uint64_t i = wrong == UINT64_MAX ? 0 : wrong;
    const struct verdict verdict =
        verify_places(p->world, wrong, "%s: random matrices: (C x)(%" PRIu64 ") is %.17g, and (A (B x))(%"
                      PRIu64 ") is %.17g", variant, i, opt.n ? cx[i] : 0, i, opt.n ? abx[i] : 0);
    free(x);
    return verdict;
}

static struct verdict check(struct product *p, const struct variant *variant)
{
    fill(p, false);
    variant->run(p);
    const struct verdict closed = check_closed_form(p, variant->name);
    fill(p, true);
    variant->run(p);
    return verdict_both(closed, check_vectors(p, variant->name));
}

/* ---- Memory ---- */

static double *open_pages(const struct world *w, size_t count)
{
    double *const pages = pages_alloc(count * sizeof *pages, true);

    if (!pages)
        world_abort(w, UNABLE, "no memory for %zu elements: give a smaller --n", count);
    memset(pages, 0, count * sizeof *pages);
    return pages;
}

static size_t size_of_a_panel(const struct product *p)
{
    return p->rows.count * (opt.panel < opt.n ? opt.panel : opt.n);
}

static size_t size_of_b_panel(const struct product *p)
{
    return (opt.panel < opt.n ? opt.panel : opt.n) * p->columns.count;
}

static void open_product(struct product *p, const struct world *w, struct place *place)
{
    *p = (struct product){ .world = w, .place = place };
    MPI_Dims_create(w->size, 2, p->grid);
    p->mine[0] = w->rank / p->grid[1];
    p->mine[1] = w->rank % p->grid[1];
    MPI_Comm_split(w->comm, p->mine[0], p->mine[1], &p->row);
    MPI_Comm_split(w->comm, p->mine[1], p->mine[0], &p->column);
    p->rows = p->b_rows = block_of(opt.n, (uint64_t)p->grid[0], (uint64_t)p->mine[0]);
    p->columns = p->a_columns = block_of(opt.n, (uint64_t)p->grid[1], (uint64_t)p->mine[1]);
    p->a = open_pages(w, p->rows.count * p->a_columns.count);
    p->b = open_pages(w, p->b_rows.count * p->columns.count);
    p->c = open_pages(w, p->rows.count * p->columns.count);
    for (int i = 0; i < 2; i++) {
        p->a_panels[i] = open_pages(w, size_of_a_panel(p));
        p->b_panels[i] = open_pages(w, size_of_b_panel(p));
    }
    p->slab_a = open_pages(w, p->rows.count * opt.n);
    p->slab_b = open_pages(w, opt.n * p->columns.count);
}

static void close_product(struct product *p)
{
    const size_t element_bytes = sizeof *p->a;

    pages_free(p->slab_b, opt.n * p->columns.count * element_bytes);
    pages_free(p->slab_a, p->rows.count * opt.n * element_bytes);
    for (int i = 0; i < 2; i++) {
        pages_free(p->b_panels[i], size_of_b_panel(p) * element_bytes);
        pages_free(p->a_panels[i], size_of_a_panel(p) * element_bytes);
    }
    pages_free(p->c, p->rows.count * p->columns.count * element_bytes);
    pages_free(p->b, p->b_rows.count * p->columns.count * element_bytes);
    pages_free(p->a, p->rows.count * p->a_columns.count * element_bytes);
    MPI_Comm_free(&p->column);
    MPI_Comm_free(&p->row);
}

/* ---- Runs ---- */

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void add_row(struct world *w, const struct product *p, const char *variant,
                    const struct timing *timing, double alone_secs, bool right)
{
    const double operations = 2 * pow((double)opt.n, 3), secs = secs_of(timing);
    const bool is_timed = right && secs > 0 && opt.n > 0;
    struct record row = w->program.record;
    char grid[32];

    snprintf(grid, sizeof grid, "%dx%d", p->grid[0], p->grid[1]);
    record_text(&row, "variant", variant);
    record_text(&row, "kernel", opt.kernel);
    record_int(&row, "n", (int64_t)opt.n);
    record_text(&row, "grid", grid);
    record_int(&row, "panel", (int64_t)opt.panel);
    record_real(&row, "flops_per_s", is_timed ? operations / secs : NAN);
    record_real(&row, "efficiency", is_timed ? alone_secs / secs : NAN);
    timing_fields(&row, timing, 3 * 8 * opt.n * opt.n, right && opt.n > 0);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && is_timed)
        timing_notes(&w->program, timing);
}

/* Each chosen variant checked, then all and `alone` in turns, and the product checked once more. */
static struct verdict run_each(struct world *w, struct product *p)
{
    struct timing_case cases[VARIANTS];
    struct timing timings[VARIANTS];
    const char *names[VARIANTS];
    struct verdict all = { .right = true };
    int count = 0;

    for (int i = 0; i < ALONE; i++)
        if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name)) {
            all = verdict_both(all, check(p, &variants[i]));
            cases[count] = (struct timing_case){ variants[i].run, p };
            names[count++] = variants[i].name;
        }
    cases[count] = (struct timing_case){ alone, p };
    names[count] = "alone";
    timing_run_each(w, &opt.timing, 3 * 8 * opt.n * opt.n, cases, count + 1, timings);
    for (int i = 0; i <= count; i++)
        add_row(w, p, names[i], &timings[i], secs_of(&timings[count]), all.right);
    return all;
}

static struct verdict run_fault(struct world *w, struct product *p)
{
    const struct timing none = { .slowest_rank = -1 };

    fill(p, false);
    blocking(p);
    const struct verdict verdict = check_closed_form(p, opt.fault);
    add_row(w, p, opt.fault, &none, NAN, verdict.right);
    program_fault(&w->program, opt.fault, verdict.right, "no panel lies across a border");
    return verdict;
}

static enum status run(struct world *w)
{
    struct product product;
    struct place place;

    place_open(&place, w, opt.threads, opt.place);
    if (*place.reason)
        program_note(&w->program, "threads are not bound: %s", place.reason);
#ifdef HAVE_BLAS
    openblas_set_num_threads(1);
#endif
    open_product(&product, w, &place);
    const struct verdict verdict = opt.fault ? run_fault(w, &product) : run_each(w, &product);
    close_product(&product);
    place_close(&place);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu x %zu elements of a product: by their closed form, "
                           "and for random matrices by random vectors", opt.n, opt.n);
}

/* Three blocks, and two slabs, each of all blocks in a row or a column of the grid. */
static enum status check_room(const struct world *w)
{
    int grid[2] = { 0, 0 };

    MPI_Dims_create(w->size, 2, grid);
    const uint64_t rows = opt.n / (uint64_t)grid[0] + 1, columns = opt.n / (uint64_t)grid[1] + 1;
    return room_for(w, (3 * rows * columns + opt.n * (rows + columns)) * sizeof(double), 0);
}

int main(int argc, char **argv)
{
    static const size_t most_n = 20000; /* sums below 2^53, blocks that MPI can count */
    struct world w;

    opt.threads = omp_get_max_threads();
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, opt.threads, options);
    if (status == PASS && opt.n > most_n)
        status = world_usage(&w, "--n %zu: at most %zu", opt.n, most_n);
    if (status == PASS)
        status = check_room(&w);
#ifndef HAVE_BLAS
    if (status == PASS && arg_is(opt.kernel, "blas")) {
        if (w.rank == 0)
            program_error("this build has no OpenBLAS: install it and build again, or take --kernel "
                          "openmp");
        status = UNABLE;
    }
#endif
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
