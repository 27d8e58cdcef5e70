#include "mpi/lib/compare.h"
#include "local/lib/clock.h"
#include "local/lib/file.h"
#include "mpi/lib/coll/tune.h"
#include "mpi/lib/pair.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHMS_MAX = 16, COST_BYTES = 1 << 20, SIZES_MAX = 66 /* of 64 bits, that double */ };

/* One competitor. */
struct entrant {
    const struct run *run;
    const char *name;
    const struct coll_algorithm *algorithm; /* NULL: what the table says for the size */
    bool right;
};

/* How much faster than MPI's own each entrant was. */
struct trial {
    uint64_t bytes;
    double speedup[ALGORITHMS_MAX];
};

struct run {
    struct world *world;
    const struct compare *compare;
    struct compare_options *options;
    struct coll_options coll;
    struct coll_cost cost;
    struct tune table;
    struct entrant entrants[ALGORITHMS_MAX];
    int count;
    uint64_t bytes; /* of this row */
    struct trial *trials; /* --tune: one a size, on rank 0 */
    int trial_count;
};

/* ---- The model's costs ---- */

struct bounce {
    const struct world *world;
    char *buffer;
    int peer, bytes;
    bool leads;
};

static void bounce(void *arg, size_t times)
{
    const struct bounce *b = arg;

    for (size_t i = 0; i < times; i++) {
        if (b->leads)
            MPI_Send(b->buffer, b->bytes, MPI_BYTE, b->peer, 0, b->world->comm);
        MPI_Recv(b->buffer, b->bytes, MPI_BYTE, b->peer, 0, b->world->comm, MPI_STATUS_IGNORE);
        if (!b->leads)
            MPI_Send(b->buffer, b->bytes, MPI_BYTE, b->peer, 0, b->world->comm);
    }
}

static double combine_secs(void *buffer)
{
    double *const x = buffer, *const y = x + COST_BYTES / sizeof *x;
    double least = INFINITY;

    for (int i = 0; i < 9; i++) {
        const int64_t begin = clock_ns();
        MPI_Reduce_local(x, y, COST_BYTES / (int)sizeof *x, MPI_DOUBLE, MPI_SUM);
        least = fmin(least, clock_secs(begin, clock_ns()));
    }
    return least / COST_BYTES;
}

/* Collective. Ranks 0 and the last one measure, the others sleep. */
static void measure_cost(struct run *run)
{
    const struct world *const w = run->world;
    const int last = w->size - 1;
    const struct timing_options budget = { .secs = fmin(0.1, run->options->timing.secs),
                                           .iterations = w->simulated ? 3 : 10000, .warmup = 3 };
    struct bounce b = { .world = w, .leads = w->rank == 0, .peer = w->rank == 0 ? last : 0 };

    if (w->size > 1 && (w->rank == 0 || w->rank == last)) {
        const struct pair pair = { .world = w, .peer = b.peer, .leads = b.leads };
        b.buffer = calloc(2, COST_BYTES);
        if (!b.buffer)
            world_abort(w, FAIL, "no memory for %d bytes", 2 * COST_BYTES);
        b.bytes = 8;
        const double shortest = pair_run(&pair, &budget, 8, bounce, &b).summary.median / 2;
        b.bytes = COST_BYTES;
        const double longest = pair_run(&pair, &budget, COST_BYTES, bounce, &b).summary.median / 2;
        run->cost.b = (longest - shortest) / (COST_BYTES - 8);
        run->cost.a = fmax(0, shortest - 8 * run->cost.b);
        if (w->rank == 0)
            run->cost.c = combine_secs(b.buffer);
        free(b.buffer);
    }
    world_rest(w);
    MPI_Bcast(&run->cost, 3, MPI_DOUBLE, 0, w->comm);
    run->coll = (struct coll_options){ .segment = run->options->segment,
                                       .start_bytes = run->cost.b > 0 ? run->cost.a / run->cost.b
                                                                      : 0 };
}

/* ---- Who takes part ---- */

static const struct coll_algorithm *named(const struct compare *compare, const char *name)
{
    const struct coll_algorithm *a = compare->algorithms;

    while (a->name && strcmp(a->name, name) != 0)
        a++;
    return a->name ? a : NULL;
}

/* The table's text, read by rank 0, on all ranks; NULL if there is none. */
static char *share_table(const struct world *w, const char *path, enum status *status)
{
    unsigned char *text = NULL;
    size_t length = 0;
    int64_t shared = -1;

    if (w->rank == 0 && file_read(path, 1, &text, &length))
        program_error("table %s: %s: make one by --tune %s", path, strerror(errno), path);
    else if (length > INT_MAX)
        program_error("table %s: %zu bytes are no table: make one by --tune", path, length);
    else
        shared = (int64_t)length;
    MPI_Bcast(&shared, 1, MPI_INT64_T, 0, w->comm);
    if (shared < 0) {
        *status = USAGE;
        return NULL;
    }
    if (w->rank > 0)
        text = world_alloc(w, (size_t)shared + 1, 1);
    text[shared] = '\0';
    MPI_Bcast(text, (int)shared, MPI_CHAR, 0, w->comm);
    return (char *)text;
}

static enum status read_table(struct run *run)
{
    struct world *const w = run->world;
    const char *path = run->options->table ? run->options->table : getenv("LOCKSTEP_TABLE");
    int given = path && *path, line;
    enum status status = PASS;

    MPI_Bcast(&given, 1, MPI_INT, 0, w->comm); /* the environment may differ from rank to rank */
    if (!given)
        return PASS;
    char *text = share_table(w, path, &status);
    if (!text)
        return status;
    if (tune_read(&run->table, text, program_name, w->nodes, w->size, run->compare->algorithms,
                  &line))
        status = world_usage(w, "table %s: line %d is no entry: make a new one by --tune", path,
                             line);
    free(text);
    return status;
}

static enum status enter(struct run *run, const char *name, bool asked)
{
    struct world *const w = run->world;
    const struct coll_algorithm *const algorithm = named(run->compare, name);
    const bool is_auto = strcmp(name, "auto") == 0;

    if (!is_auto && !algorithm) {
        char names[256] = "";
        for (const struct coll_algorithm *a = run->compare->algorithms; a->name; a++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s, ", a->name);
        return world_usage(w, "--algorithm %s: not known: choose of %sauto and all", name, names);
    }
    if (is_auto && run->table.count == 0) {
        if (asked)
            return world_usage(w, "--algorithm auto: there is no table for %s: make one by --tune "
                               "FILE, name it by --table FILE", program_name);
        return PASS;
    }
    const char *const reason =
        is_auto ? NULL : coll_admits(algorithm, run->compare->op, w->comm);
    if (reason && !asked) {
        program_note(&w->program, "%s is left out: %s", name, reason);
        return PASS;
    }
    if (reason) {
        if (w->rank == 0)
            program_error("--algorithm %s: %s: choose another one", name, reason);
        return algorithm->needs & COLL_COMMUTATIVE ? USAGE : UNABLE;
    }
    if (run->count == ALGORITHMS_MAX)
        return world_usage(w, "--algorithm: more than %d names: leave some out", ALGORITHMS_MAX);
    run->entrants[run->count++] = (struct entrant){ .run = run, .name = is_auto ? "auto"
                                                                                : algorithm->name,
                                                    .algorithm = algorithm };
    return PASS;
}

static enum status enter_all(struct run *run)
{
    const char *text = run->options->tune ? "all" : run->options->algorithm;
    enum status status = PASS;

    if (strcmp(text, "all") == 0) {
        for (const struct coll_algorithm *a = run->compare->algorithms; a->name; a++)
            enter(run, a->name, false);
        return run->options->tune ? PASS : enter(run, "auto", false);
    }
    while (status == PASS && *text) {
        char name[64];
        const size_t length = strcspn(text, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), text);
        status = enter(run, name, true);
        text += length + (text[length] == ',');
    }
    if (status == PASS && run->count == 0)
        status = world_usage(run->world, "--algorithm: no name: give one, or all");
    return status;
}

/* ---- One size ---- */

/* The algorithm of an entrant; NULL for MPI's own. Looked up each time: a user of it would. */
static const struct coll_algorithm *chosen(const struct entrant *entrant)
{
    const struct coll_algorithm *algorithm = entrant->algorithm;

    if (!algorithm) {
        algorithm = tune_find(&entrant->run->table, entrant->run->bytes)->algorithm;
        if (coll_admits(algorithm, entrant->run->compare->op, entrant->run->world->comm))
            return NULL;
    }
    return algorithm == entrant->run->compare->algorithms ? NULL : algorithm; /* the first is mpi */
}

static void call(void *arg)
{
    const struct entrant *const entrant = arg;
    const struct run *const run = entrant->run;

    if (run->compare->call(run->compare->arg, chosen(entrant), &run->coll))
        world_abort(run->world, FAIL, "%s by %s: %s", program_name, entrant->name,
                    strerror(errno));
}

static struct verdict verify(struct run *run, struct entrant *entrant)
{
    const struct compare *const c = run->compare;

    c->fill(c->arg);
    call(entrant);
    struct verdict verdict = c->check(c->arg);
    if (!verdict.right && run->count > 1) {
        char wrong[sizeof verdict.wrong];
        memcpy(wrong, verdict.wrong, sizeof wrong);
        snprintf(verdict.wrong, sizeof verdict.wrong, "%s: %.*s", entrant->name, 120, wrong);
    }
    entrant->right = entrant->right && verdict.right;
    return verdict;
}

static int fastest(const struct run *run, const struct timing *timings)
{
    int best = -1;

    for (int i = 0; i < run->count; i++)
        if (run->entrants[i].right &&
            (best < 0 || timings[i].summary.median < timings[best].summary.median))
            best = i;
    return best;
}

static void add_row(struct run *run, int i, const struct timing *timings, int best)
{
    struct world *const w = run->world;
    const struct entrant *const entrant = &run->entrants[i];
    const struct coll_algorithm *const algorithm = chosen(entrant);
    const struct coll_case c = { run->cost, w->size, (double)run->bytes, &run->coll };
    const double median = timings[i].summary.median;
    const bool timed = entrant->right && !timings[i].as && median > 0;
    const double bound = run->compare->bound(&c);
    struct record row = w->program.record;

    record_text(&row, "algorithm", entrant->name);
    if (run->compare->fields)
        run->compare->fields(run->compare->arg, &row);
    timing_fields(&row, &timings[i], run->bytes, entrant->right);
    record_text(&row, "fastest", i == best && run->count > 1 ? "*" : "");
    record_real(&row, "speedup", timed ? timings[i].ratio.median : NAN);
    record_real(&row, "model_s", algorithm && algorithm->secs ? algorithm->secs(&c) : NAN);
    record_real(&row, "of_bound", timed && bound > 0 ? median / bound : NAN);
    row.aside = true;
    record_real(&row, "speedup_low", timed && timings[i].ratio.has_ci ? timings[i].ratio.ci_low
                                                                        : NAN);
    record_real(&row, "speedup_high", timed && timings[i].ratio.has_ci ? timings[i].ratio.ci_high
                                                                         : NAN);
    record_text(&row, "means", algorithm ? algorithm->name : "mpi");
    record_real(&row, "alpha_s", run->cost.a > 0 ? run->cost.a : NAN);
    record_real(&row, "beta_s", run->cost.b > 0 ? run->cost.b : NAN);
    record_real(&row, "gamma_s", run->cost.c > 0 ? run->cost.c : NAN);
    row.aside = false;
    record_bool(&row, "verified", entrant->right);
    program_row(&w->program, &row);
    if (w->rank == 0 && entrant->right)
        timing_notes(&w->program, &timings[i]);
}

static void keep_trial(struct run *run, const struct timing *timings)
{
    struct trial *const trial = &run->trials[run->trial_count++];

    trial->bytes = run->bytes;
    for (int i = 0; i < run->count; i++)
        trial->speedup[i] = timings[i].ratio.median;
}

/*
 * The best entrant for a size, by the mean over it and its neighbours: what was the fastest by
 * chance is not beside it. MPI's own, unless another one is clearly better, since another launch
 * may differ by some per cent.
 */
static const struct coll_algorithm *best_at(const struct run *run, int at)
{
    const double clearly = 1.1;
    const struct coll_algorithm *best = run->compare->algorithms;
    double most = clearly;

    for (int i = 1; i < run->count; i++) {
        double product = 1;
        int n = 0;
        for (int k = at > 0 ? at - 1 : 0; k <= at + 1 && k < run->trial_count; k++, n++)
            product *= run->trials[k].speedup[i];
        const double mean = pow(product, 1.0 / n);
        if (mean > most && run->trials[at].speedup[i] > clearly) {
            best = run->entrants[i].algorithm;
            most = mean;
        }
    }
    return best;
}

static struct verdict run_size(struct run *run, uint64_t bytes)
{
    const struct compare *const c = run->compare;
    struct timing timings[ALGORITHMS_MAX] = { 0 };
    struct timing_case cases[ALGORITHMS_MAX];
    struct verdict verdict = { .right = true };

    run->bytes = c->open(c->arg, bytes);
    for (int i = 0; i < run->count; i++) {
        run->entrants[i].right = true;
        if (c->show && i == 0) {
            c->fill(c->arg);
            c->show(c->arg, "before");
        }
        verdict = verdict_both(verdict, verify(run, &run->entrants[i]));
        if (c->show && i == run->count - 1)
            c->show(c->arg, "after ");
        cases[i] = (struct timing_case){ call, &run->entrants[i] };
    }
    if (verdict.right)
        timing_run_each(run->world, &run->options->timing, run->bytes, cases, run->count, timings);
    for (int i = 0; verdict.right && i < run->count; i++)
        verdict = verdict_both(verdict, verify(run, &run->entrants[i]));
    const int best = verdict.right ? fastest(run, timings) : -1;
    for (int i = 0; i < run->count; i++) {
        run->entrants[i].right = run->entrants[i].right && verdict.right;
        add_row(run, i, timings, best);
    }
    c->close(c->arg);
    if (run->trials && verdict.right)
        keep_trial(run, timings);
    return verdict;
}

/* ---- All ---- */

static enum status write_table(struct run *run)
{
    struct world *const w = run->world;
    const char *const path = run->options->tune;
    struct tune_entry entries[SIZES_MAX];
    enum status status = PASS;
    int count = 0;

    for (int i = 0; i < run->trial_count; i++) {
        const struct coll_algorithm *const best = best_at(run, i);
        if (count == 0 || entries[count - 1].algorithm != best)
            entries[count++] = (struct tune_entry){ run->trials[i].bytes, best };
    }
    if (w->rank == 0 && tune_write(path, program_name, w->nodes, w->size, entries, count)) {
        program_error("--tune %s: %s: name a file that can be written", path, strerror(errno));
        status = FAIL;
    }
    return world_agree(w, status);
}

static enum status run_range(struct run *run, const char *what)
{
    struct world *const w = run->world;
    const struct range *const range = &run->options->bytes;
    struct verdict verdict = { .right = true };
    uint64_t bytes = range->from;

    if (run->cost.a > 0)
        program_note(&w->program, "model: a = %.3g us, b = %.3g us a MB, c = %.3g us a MB",
                     1e6 * run->cost.a, 1e12 * run->cost.b, 1e12 * run->cost.c);
    if (run->options->tune && w->rank == 0)
        run->trials = world_alloc(w, SIZES_MAX, sizeof *run->trials);
    do
        verdict = verdict_both(verdict, run_size(run, bytes));
    while ((bytes = range_next(range, bytes)) > 0);
    enum status status = PASS;
    if (run->options->tune && verdict.right)
        status = write_table(run);
    free(run->trials);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    if (status != PASS)
        return status;
    return program_verdict(&w->program, true, "%s on %d rank%s", what, w->size,
                           w->size == 1 ? "" : "s");
}

enum status compare_run(struct world *world, const struct compare *compare,
                        struct compare_options *options, const char *what)
{
    struct run run = { .world = world, .compare = compare, .options = options };

    options->plot.title = program_name;
    enum status status = world_agree(world, program_plot(&world->program, &options->plot));
    if (status == PASS && options->bytes.to / compare->unit > INT_MAX)
        status = world_usage(world, "--bytes %zu: counts of MPI are int: give at most %zu",
                             options->bytes.to, compare->unit * INT_MAX);
    if (status == PASS)
        status = read_table(&run);
    if (status == PASS)
        status = enter_all(&run);
    if (status == PASS) {
        if (run.count > 1 || chosen(&run.entrants[0])) /* MPI's own alone needs no model */
            measure_cost(&run);
        status = run_range(&run, what);
    }
    tune_close(&run.table);
    return status;
}
