/*
 * scatterv - parts of different sizes from the root's array, and what it costs that they differ
 *
 * MPI_Scatterv takes a count and a displacement for each rank, so parts may differ, be empty, lie
 * apart from each other or in another order than the ranks. Only the root needs these arrays, but
 * each rank must know the length of its own part: here all compute it. The shapes share out the
 * same number of elements, --count times 1 + 2 + ... + ranks:
 *
 *   equal_v  the same for each rank
 *   equal    the same, by MPI_Scatter where that will do (all divides, no gaps, rank order)
 *   rising   --count elements for rank 0, twice as many for rank 1, three times for rank 2 ...
 *   random   drawn from --seed
 *   zero     every second rank gets nothing
 *   one      one rank gets all, the others nothing
 *
 * Every element is a function of its place in the root's array, so each rank can tell alone that
 * its part is the right one. Gaps hold zeros, which must arrive nowhere; words around the received
 * part show that nothing was written beside it.
 *
 * What can go wrong: displacements count elements of the type that is sent, not bytes (--fault
 * bytes); they count from the start of the array, and so must include the gaps (--fault packed).
 * Both are int: arrays that are too long are refused.
 *
 * Run:     make run P=scatterv N=4 ARGS="--shape rising --count 1 --gap 2 --show"
 * Try:     --shape rising --count 1 --order reverse --show: where does rank 0's part lie?
 * Try:     --count 10K: which decides, the longest part or how much is sent by the root?
 * Try:     --count 1:64K --plot scatterv.svg: from which size on do the shapes differ?
 * Try:     --count 1 --shape rising --fault bytes --show: which rank gets its part all the same?
 * Test:    -n 1 --show --gap 3
 * Test:    -n 3 --count 1:3 --root 2 --in-place
 * Test:    -n 4 --count 0 --gap 1 --show
 * Test:    -n 4 --count 7 --gap 5 --order reverse --root 1 --in-place --show
 * Test:    -n 2 --count 2M --shape one --iterations 3
 * Test(1): -n 3 --count 5 --shape rising --fault bytes
 * Test(1): -n 3 --count 1000 --gap 1 --order reverse --in-place --fault bytes
 * Test(1): -n 2 --shape one --gap 2 --fault packed
 * Test:    -n 3 --count 5 --fault packed
 * Test(2): -n 1 --count 3G
 * Test(2): -n 2 --count 1 --gap 2G
 * Test(2): -n 2 --count 100M --fault bytes
 * Test(2): -n 2 --root 2
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
    struct range count;
    const char *shape, *order, *fault;
    size_t gap, seed;
    int root;
    bool in_place, show;
    struct timing_options timing;
} opt = { .count = { 1000, 1000 }, .shape = "all", .order = "rank", .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "Parts of different sizes by MPI_Scatterv",
    .x = "bytes", .x_label = "all parts together (bytes)",
    .y = "median_s", .low = "p10_s", .high = "p90_s",
    .y_label = "until the last rank has left (us): median, p10 to p90",
    .series = "shape",
};

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "unit of the parts: 1, 2, 3 ... times so many elements" },
    { "shape", ARG_CHOICE, &opt.shape, "which rank gets how much",
      .choices = "equal_v|equal|rising|random|zero|one|all" },
    { "gap", ARG_SIZE, &opt.gap, "elements between two parts, which nobody gets" },
    { "order", ARG_CHOICE, &opt.order, "how the parts lie in the array",
      .choices = "rank|reverse" },
    { "root", ARG_INT, &opt.root, "rank that holds the whole array" },
    { "in-place", ARG_FLAG, &opt.in_place, "the root's part stays in the array" },
    { "seed", ARG_SIZE, &opt.seed, "other elements, and other random parts" },
    { "show", ARG_FLAG, &opt.show, "print the array before and the parts after" },
    { "fault", ARG_CHOICE, &opt.fault, "give displacements in bytes, or without the gaps",
      .choices = "bytes|packed" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

struct scatter {
    const struct world *world;
    const char *shape;
    int *counts, *starts; /* one entry a rank, in elements */
    int *displacements;   /* what MPI is told: the starts, unless a fault is made */
    size_t extent;        /* elements from the first part to the end of the last, gaps included */
    bool equal;           /* MPI_Scatter will do */
    uint64_t *all;        /* the array, on the root only */
    void *part;           /* where mine arrives, or MPI_IN_PLACE */
};

static void scatter(void *arg)
{
    const struct scatter *s = arg;
    const int mine = s->counts[s->world->rank];

    if (s->equal)
        MPI_Scatter(s->all, mine, MPI_UINT64_T, s->part, mine, MPI_UINT64_T, opt.root,
                    s->world->comm);
    else
        MPI_Scatterv(s->all, s->counts, s->displacements, MPI_UINT64_T, s->part, mine, MPI_UINT64_T,
                     opt.root, s->world->comm);
}

/* ---- Shapes and places ---- */

static const char *const shapes[] = { "equal_v", "equal", "rising", "random", "zero", "one" };

/* How much a rank gets, in proportion to the others. */
static uint64_t weight(const char *shape, uint64_t rank, uint64_t size)
{
    const uint64_t behind_root = (rank + size - (uint64_t)opt.root) % size;
    const uint64_t from[] = { rank, opt.seed };

    if (arg_is(shape, "rising"))
        return rank + 1;
    if (arg_is(shape, "random"))
        return 1 + digest(from, sizeof from) % 1000;
    if (arg_is(shape, "zero"))
        return size == 1 || behind_root % 2;
    if (arg_is(shape, "one"))
        return behind_root == 1 % size;
    return 1;
}

/* The rank whose part is number i in the array. */
static int rank_of(const struct world *w, int i)
{
    return arg_is(opt.order, "reverse") ? w->size - 1 - i : i;
}

/* Shares out `total` elements: cuts at the sums of the weights, so that all are handed out. */
static void share_out(int *counts, const char *shape, uint64_t size, uint64_t total)
{
    uint64_t all = 0, sum = 0, cut = 0;

    for (uint64_t rank = 0; rank < size; rank++)
        all += weight(shape, rank, size);
    for (uint64_t rank = 0; rank < size; rank++) {
        sum += weight(shape, rank, size);
        counts[rank] = (int)(total * sum / all - cut);
        cut = total * sum / all;
    }
}

/* Puts the parts behind each other, `gap` elements apart. Returns where the last one ends. */
static size_t lay_out(int *starts, const int *counts, const struct world *w, size_t gap)
{
    size_t end = 0;

    for (int i = 0; i < w->size; i++) {
        const int rank = rank_of(w, i);
        starts[rank] = (int)(end + (i > 0) * gap);
        end = (size_t)starts[rank] + (size_t)counts[rank];
    }
    return end;
}

static size_t sum_to(size_t size)
{
    return size * (size + 1) / 2;
}

static struct scatter scatter_open(const struct world *w, const char *shape, size_t count)
{
    const size_t size = (size_t)w->size, total = count * sum_to(size);
    struct scatter s = {
        .world = w,
        .shape = shape,
        .counts = world_alloc(w, size, sizeof *s.counts),
        .starts = world_alloc(w, size, sizeof *s.starts),
        .displacements = world_alloc(w, size, sizeof *s.displacements),
    };

    share_out(s.counts, shape, size, total);
    s.extent = lay_out(s.starts, s.counts, w, opt.gap);
    lay_out(s.displacements, s.counts, w, arg_is(opt.fault, "packed") ? 0 : opt.gap);
    if (arg_is(opt.fault, "bytes"))
        for (size_t rank = 0; rank < size; rank++)
            s.displacements[rank] *= (int)sizeof *s.all;
    s.equal = arg_is(shape, "equal") && total % size == 0 && !opt.fault &&
              (opt.gap == 0 || size == 1) && arg_is(opt.order, "rank");
    return s;
}

static void scatter_close(struct scatter *s)
{
    free(s->displacements);
    free(s->starts);
    free(s->counts);
}

/* ---- The array, and the check ---- */

/* What the root must have: --fault bytes reads up to 8 times as far, from memory that is there. */
static size_t room(const struct scatter *s)
{
    return arg_is(opt.fault, "bytes") ? s->extent * sizeof *s->all : s->extent;
}

static void fill_array(struct scatter *s)
{
    memset(s->all, 0, room(s) * sizeof *s->all);
    for (int rank = 0; rank < s->world->size; rank++)
        elements_fill(s->all + s->starts[rank], (uint64_t)s->starts[rank],
                      (uint64_t)s->counts[rank], opt.seed);
}

/* The first place where the root's array is not as it was filled, or UINT64_MAX. */
static uint64_t check_array(const struct scatter *s)
{
    uint64_t place = 0;

    for (int i = 0; s->all && i < s->world->size; i++) {
        const int rank = rank_of(s->world, i);
        const uint64_t start = (uint64_t)s->starts[rank], count = (uint64_t)s->counts[rank];
        for (; place < start; place++)
            if (s->all[place] != 0)
                return place;
        place += elements_check(s->all + start, start, count, opt.seed);
        if (place < start + count)
            return place;
    }
    return UINT64_MAX;
}

/* `mine` lies between two words of which all bits were set. */
static struct verdict check(const struct scatter *s, const uint64_t *mine)
{
    const struct world *w = s->world;
    const uint64_t start = (uint64_t)s->starts[w->rank], held = (uint64_t)s->counts[w->rank];
    const bool intact =
        s->part == MPI_IN_PLACE || (mine[-1] == UINT64_MAX && mine[held] == UINT64_MAX);
    const uint64_t changed = check_array(s);
    struct verdict verdict = verify_elements(w, mine, start, held, opt.seed);

    verdict = verdict_both(verdict, verify_places(w, intact ? UINT64_MAX : start,
                                                  "rank %d: written beside its part", w->rank));
    return verdict_both(verdict, verify_places(w, changed, "the root's array has changed at %"
                                               PRIu64, changed));
}

/* ---- Runs ---- */

static void add_row(struct world *w, const struct scatter *s, size_t count,
                    const struct timing *timing, bool right)
{
    const size_t total = count * sum_to((size_t)w->size);
    struct record row = w->program.record;
    int longest = 0;

    for (int rank = 0; rank < w->size; rank++)
        longest = s->counts[rank] > longest ? s->counts[rank] : longest;
    record_text(&row, "shape", s->shape);
    record_text(&row, "call", s->equal ? "MPI_Scatter" : "MPI_Scatterv");
    record_int(&row, "count", (int64_t)count);
    record_int(&row, "longest", longest);
    record_int(&row, "sent", (int64_t)total - s->counts[opt.root]);
    row.aside = true;
    record_int(&row, "gap", (int64_t)opt.gap);
    record_text(&row, "order", opt.order);
    row.aside = false;
    timing_fields(&row, timing, total * sizeof *s->all, right);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (right && opt.count.from == opt.count.to && w->rank == 0)
        timing_notes(&w->program, timing);
}

static struct verdict run_shape(struct world *w, const char *shape, size_t count)
{
    const bool root = w->rank == opt.root;
    struct scatter s = scatter_open(w, shape, count);
    const size_t held = (size_t)s.counts[w->rank];
    uint64_t *const guarded = world_alloc(w, held + 2, sizeof *guarded);
    uint64_t *mine = guarded + 1;
    struct timing timing = { .start = opt.timing.start };

    memset(guarded, 0xff, (held + 2) * sizeof *guarded);
    s.part = mine;
    if (root) {
        s.all = world_alloc(w, room(&s), sizeof *s.all);
        fill_array(&s);
    }
    if (root && opt.in_place) {
        s.part = MPI_IN_PLACE;
        mine = s.all + s.starts[w->rank];
    }
    if (opt.show)
        show_elements(w, "before", s.all, s.extent);
    scatter(&s);
    if (opt.show)
        show_elements(w, "after ", mine, held);
    struct verdict verdict = check(&s, mine);
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, count * sum_to((size_t)w->size) * sizeof *s.all,
                            scatter, &s);
        verdict = check(&s, mine);
    }
    add_row(w, &s, count, &timing, verdict.right);
    free(s.all);
    free(guarded);
    scatter_close(&s);
    return verdict;
}

static const char *why_not_struck(const struct world *w)
{
    if (w->size == 1)
        return "the only part begins at 0";
    if (arg_is(opt.fault, "packed") && opt.gap == 0)
        return "there are no gaps: give --gap";
    return "no part that travels begins elsewhere than at 0";
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t count = opt.count.from;
    char counts[64];

    do
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            if (arg_is(opt.shape, "all") || arg_is(opt.shape, shapes[i]))
                verdict = verdict_both(verdict, run_shape(w, shapes[i], count));
    while ((count = range_next(&opt.count, count)) > 0);

    program_fault(&w->program, opt.fault, verdict.right, why_not_struck(w));
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%s times %zu element%s, each in its place on %d "
                           "rank%s", range_text(&opt.count, counts), sum_to((size_t)w->size),
                           w->size == 1 ? "" : "s", w->size, w->size == 1 ? "" : "s");
}

/* Displacements are int, those of --fault bytes 8 times as large. */
static enum status check_limits(struct world *w)
{
    const size_t size = (size_t)w->size;
    const size_t most = arg_is(opt.fault, "bytes") ? INT_MAX / sizeof(uint64_t) : INT_MAX;

    if (opt.gap > most / size)
        return world_usage(w, "--gap %zu: displacements of MPI are int: give at most %zu", opt.gap,
                           most / size);
    if (opt.count.to > (most - opt.gap * (size - 1)) / sum_to(size))
        return world_usage(w, "--count %zu: displacements of MPI are int, the array is %zu times "
                           "as long: give at most %zu", opt.count.to, sum_to(size),
                           (most - opt.gap * (size - 1)) / sum_to(size));
    return PASS;
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && (opt.root < 0 || opt.root >= w.size))
        status = world_usage(&w, "--root %d: ranks are 0 to %d: choose one of them", opt.root,
                             w.size - 1);
    if (status == PASS)
        status = check_limits(&w);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
