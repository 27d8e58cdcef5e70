/*
 * datatype - send a column, a block, items, structures: described to MPI, or packed by hand
 *
 * What a program wants to send seldom lies in one piece. A derived datatype tells MPI where the
 * pieces are; the alternative is a loop that copies them into a buffer, and another that copies
 * them out of it. Every rank of a ring sends to the next one, of a matrix of --count x --count
 * elements or of --count particles, and both ways are timed:
 *
 *   vector    one column: MPI_Type_vector
 *   subarray  an inner block: MPI_Type_create_subarray
 *   indexed   scattered items, one of each row: MPI_Type_create_indexed_block
 *   resized   two columns one after the other: MPI_Type_create_resized
 *   struct    particles, members of several types: MPI_Type_create_struct, offsets by offsetof
 *   pack      the column again, by MPI_Pack and MPI_Unpack
 *
 * What can go wrong: the extent of a type is not its size (the table has both). Where one ends the
 * next begins: of two columns the second would begin behind the end of the first, in the last row,
 * unless the extent is made that of one element. --fault extent leaves that out. And the offset of
 * a member is not the sum of the sizes before it: there is padding, which is not sent.
 *
 * Run:     make run P=datatype N=2
 * Try:     --count 10:2000 --plot datatype.svg: when does the description cost more than the loop?
 * Try:     --count 5 --variant resized --show, and with --fault extent: where is column 1?
 * Test:    -n 1 --count 0:3
 * Test:    -n 3 --count 7 --show
 * Test:    -n 2 --count 500 --variant subarray --as osu --iterations 10
 * Test(1): -n 2 --count 5 --variant resized --fault extent --show
 * Test:    -n 2 --count 5 --variant vector --fault extent
 * Test:    -n 1 --count 1 --fault extent
 * Test(1): -n 3 --count 5 --fault corrupt
 * Test:    -n 1 --count 0 --fault corrupt
 * Test(2): -n 2 --count 20000
 */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/timing.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range count;
    const char *variant, *fault;
    size_t seed;
    bool show;
    struct timing_options timing;
} opt = { .count = { 1000, 1000 }, .variant = "all", .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "A datatype against a loop that packs",
    .x = "count",
    .x_label = "rows and columns of the matrix; particles",
    .y = "ratio",
    .y_label = "time by datatype / time by hand",
    .series = "variant",
    .linear_y = true,
};

static const struct arg options[] = {
    { "count", ARG_RANGE, &opt.count, "rows and columns of the matrix; particles" },
    { "variant", ARG_CHOICE, &opt.variant, "what is sent",
      .choices = "vector|subarray|indexed|resized|struct|pack|all" },
    { "seed", ARG_SIZE, &opt.seed, "other elements" },
    { "show", ARG_FLAG, &opt.show, "print what arrived in a small matrix" },
    { "fault", ARG_CHOICE, &opt.fault, "leave the extent as it is, or send a wrong element",
      .choices = "extent|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { COUNT_MAX = 8192, SHOW_COUNT = 10, SHOW_TEXT = 4096 };

struct particle {
    int32_t number;
    double weight;
    char name[3];
};

/* The elements of the matrix that are sent: `columns` of each of `rows` rows from `row` on; they
 * begin at `column`, or where scattered() says. */
struct part {
    int row, rows, column, columns;
    bool scattered;
};

struct layout {
    const struct world *world;
    const char *name;
    int n, left, right;
    MPI_Datatype type;
    int count;           /* of the type, in one message */
    size_t start;        /* of the first one: so many elements into the array */
    bool particles;      /* are sent, all of them; else: */
    struct part part;    /* of the matrix */
    uint64_t *from, *to; /* the matrices, or memory for as many particles */
    int items;           /* of each: a row or a particle of them at least behind its end */
    size_t item_bytes;
    char *packed_out, *packed_in;
    int packed_bytes;
};

/* ---- What is sent: each function sets type and part, and what is not as for one type ---- */

/* One column: n pieces of one element, a row apart. */
static void column(struct layout *l)
{
    MPI_Type_vector(l->n, 1, l->n, MPI_UINT64_T, &l->type);
    l->start = (size_t)l->n / 2;
    l->part = (struct part){ .rows = l->n, .column = l->n / 2, .columns = 1 };
}

/* Without the first and the last quarter of rows and columns. */
static void block(struct layout *l)
{
    const int first = l->n / 4, size = l->n - 2 * first;
    const int all[] = { l->n, l->n }, sizes[] = { size, size }, starts[] = { first, first };

    if (size == 0) /* a subarray has at least one element */
        MPI_Type_contiguous(0, MPI_UINT64_T, &l->type);
    else
        MPI_Type_create_subarray(2, all, sizes, starts, MPI_ORDER_C, MPI_UINT64_T, &l->type);
    l->part = (struct part){ first, size, first, size, false };
}

/* In which column the element of a row stands: no stride would do. */
static int scattered(int n, int row)
{
    return row * row % n;
}

static void list(struct layout *l)
{
    int *places = world_alloc(l->world, (size_t)l->n, sizeof *places);

    for (int row = 0; row < l->n; row++)
        places[row] = row * l->n + scattered(l->n, row);
    MPI_Type_create_indexed_block(l->n, 1, places, MPI_UINT64_T, &l->type);
    free(places);
    l->part = (struct part){ .rows = l->n, .columns = 1, .scattered = true };
}

/* Two columns: the extent says where the second begins, one element after the first. */
static void columns(struct layout *l)
{
    MPI_Datatype column_type;

    l->count = l->n < 2 ? l->n : 2;
    l->part = (struct part){ .rows = l->n, .columns = l->count };
    MPI_Type_vector(l->n, 1, l->n, MPI_UINT64_T, &column_type);
    if (arg_is(opt.fault, "extent")) {
        l->type = column_type;
        return;
    }
    MPI_Type_create_resized(column_type, 0, sizeof(uint64_t), &l->type);
    MPI_Type_free(&column_type);
}

/* They lie in an array: the extent is that of the structure, with the padding at its end. */
static void particles(struct layout *l)
{
    const int lengths[] = { 1, 1, 3 };
    const MPI_Aint offsets[] = { offsetof(struct particle, number),
                                 offsetof(struct particle, weight),
                                 offsetof(struct particle, name) };
    const MPI_Datatype types[] = { MPI_INT32_T, MPI_DOUBLE, MPI_CHAR };
    MPI_Datatype members;

    MPI_Type_create_struct(3, lengths, offsets, types, &members);
    MPI_Type_create_resized(members, 0, sizeof(struct particle), &l->type);
    MPI_Type_free(&members);
    l->particles = true;
    l->count = l->n;
}

/* ---- How it is sent ---- */

static void by_type(void *arg)
{
    const struct layout *l = arg;

    MPI_Sendrecv(l->from + l->start, l->count, l->type, l->right, 0, l->to + l->start, l->count,
                 l->type, l->left, 0, l->world->comm, MPI_STATUS_IGNORE);
}

static void pass_packed(const struct layout *l, int bytes, MPI_Datatype type)
{
    MPI_Sendrecv(l->packed_out, bytes, type, l->right, 0, l->packed_in, bytes, type, l->left, 0,
                 l->world->comm, MPI_STATUS_IGNORE);
}

static void by_pack(void *arg)
{
    const struct layout *l = arg;
    int used = 0, read = 0;

    MPI_Pack(l->from + l->start, l->count, l->type, l->packed_out, l->packed_bytes, &used,
             l->world->comm);
    pass_packed(l, used, MPI_PACKED);
    MPI_Unpack(l->packed_in, used, &read, l->to + l->start, l->count, l->type, l->world->comm);
}

/* Copies a piece into the buffer, or (`in`) out of it. Returns where the buffer goes on. */
static char *copy(void *piece, char *packed, size_t bytes, bool in)
{
    memcpy(in ? piece : packed, in ? packed : piece, bytes);
    return packed + bytes;
}

static int first_column(const struct layout *l, int row)
{
    return l->part.scattered ? scattered(l->n, row) : l->part.column;
}

static void copy_matrix(const struct layout *l, uint64_t *matrix, char *packed, bool in)
{
    const size_t n = (size_t)l->n, bytes = (size_t)l->part.columns * sizeof *matrix;

    for (int row = l->part.row; row < l->part.row + l->part.rows; row++) {
        uint64_t *first = matrix + (size_t)row * n + (size_t)first_column(l, row);
        if (l->part.columns == 1) /* a length that the compiler knows is a mere assignment */
            packed = copy(first, packed, sizeof *first, in);
        else
            packed = copy(first, packed, bytes, in);
    }
}

static void copy_particles(const struct layout *l, void *array, char *packed, bool in)
{
    for (struct particle *p = array; p < (struct particle *)array + l->n; p++) {
        packed = copy(&p->number, packed, sizeof p->number, in);
        packed = copy(&p->weight, packed, sizeof p->weight, in);
        packed = copy(p->name, packed, sizeof p->name, in);
    }
}

static int bytes_of(const struct layout *l)
{
    int size;

    MPI_Type_size(l->type, &size);
    return size * l->count;
}

static void by_hand(void *arg)
{
    const struct layout *l = arg;
    if (l->particles)
        copy_particles(l, l->from, l->packed_out, false);
    else
        copy_matrix(l, l->from, l->packed_out, false);
    pass_packed(l, bytes_of(l), MPI_BYTE);
    if (l->particles)
        copy_particles(l, l->to, l->packed_in, true);
    else
        copy_matrix(l, l->to, l->packed_in, true);
}

static const struct variant {
    const char *name;
    void (*describe)(struct layout *l);
    void (*pass_on)(void *layout);
} variants[] = {
    { "vector", column, by_type },   { "subarray", block, by_type },   { "indexed", list, by_type },
    { "resized", columns, by_type }, { "struct", particles, by_type }, { "pack", column, by_pack },
};

/* ---- Memory and checks ---- */

static void layout_open(struct layout *l, const struct world *w, const struct variant *variant,
                        int n)
{
    *l = (struct layout){ .world = w, .name = variant->name, .n = n, .count = 1 };
    l->left = (w->rank + w->size - 1) % w->size;
    l->right = (w->rank + 1) % w->size;
    variant->describe(l);
    MPI_Type_commit(&l->type);
    MPI_Pack_size(l->count, l->type, w->comm, &l->packed_bytes);
    l->item_bytes = l->particles ? sizeof(struct particle) : sizeof *l->from;
    l->items = l->particles ? n + 1 : n * (n + 1);
    if (arg_is(opt.fault, "extent")) /* a second column reaches into a second matrix */
        l->items *= 2;
    l->from = world_alloc(w, (size_t)l->items, l->item_bytes);
    l->to = world_alloc(w, (size_t)l->items, l->item_bytes);
    l->packed_out = world_alloc(w, (size_t)l->packed_bytes, 1);
    l->packed_in = world_alloc(w, (size_t)l->packed_bytes, 1);
}

static void layout_close(struct layout *l)
{
    free(l->packed_in);
    free(l->packed_out);
    free(l->to);
    free(l->from);
    MPI_Type_free(&l->type);
}

/* Whether item i is among those sent: told from its row and column. */
static bool is_sent(const struct layout *l, int i)
{
    if (l->particles)
        return i < l->n;
    if (i >= l->n * l->n)
        return false;
    const int row = i / l->n, column = i % l->n - first_column(l, row);
    return row >= l->part.row && row < l->part.row + l->part.rows && column >= 0 &&
           column < l->part.columns;
}

/* Particle i of `rank`. Byte by byte, because padding has a value here as well. */
static void write_particle(unsigned char *to, int rank, int i, int padding)
{
    const uint64_t value = element((uint64_t)i, opt.seed + 1 + (uint64_t)rank);
    const int32_t number = (int32_t)(value % INT32_MAX);
    const double weight = (double)number / 4;
    const char name[3] = { (char)('a' + i % 26), (char)('a' + rank % 26), 'z' };

    memset(to, padding, sizeof(struct particle));
    memcpy(to + offsetof(struct particle, number), &number, sizeof number);
    memcpy(to + offsetof(struct particle, weight), &weight, sizeof weight);
    memcpy(to + offsetof(struct particle, name), name, sizeof name);
}

static void write_item(const struct layout *l, void *to, int rank, int i, int padding)
{
    if (l->particles)
        write_particle(to, rank, i, padding);
    else
        *(uint64_t *)to = element((uint64_t)i, opt.seed + 1 + (uint64_t)rank);
}

static void *item(const struct layout *l, uint64_t *array, int i)
{
    return (char *)array + (size_t)i * l->item_bytes;
}

static void fill(const struct layout *l)
{
    for (int i = 0; i < l->items; i++)
        write_item(l, item(l, l->from, i), l->world->rank, i, 0xff);
    for (int i = l->items - 1; i >= 0 && arg_is(opt.fault, "corrupt"); i--) {
        if (is_sent(l, i)) {
            *(unsigned char *)item(l, l->from, i) ^= 1;
            return;
        }
    }
}

/* The first item that is wrong, or -1. What was not sent must still be 0, padding included. */
static int first_wrong(const struct layout *l)
{
    for (int i = 0; i < l->items; i++) {
        uint64_t expected[sizeof(struct particle) / sizeof(uint64_t) + 1] = { 0 };
        if (is_sent(l, i))
            write_item(l, expected, l->left, i, 0);
        if (memcmp(item(l, l->to, i), expected, l->item_bytes) != 0)
            return i;
    }
    return -1;
}

static struct verdict check(struct layout *l, void (*pass_on)(void *), const char *how)
{
    const int n = l->n > 0 ? l->n : 1;
    char where[64] = "";

    memset(l->to, 0, (size_t)l->items * l->item_bytes);
    pass_on(l);
    const int i = first_wrong(l);
    if (l->particles)
        snprintf(where, sizeof where, "particle %d", i);
    else
        snprintf(where, sizeof where, "row %d, column %d", i / n, i % n);
    return verify_places(l->world, i < 0 ? UINT64_MAX : (uint64_t)i,
                         "%s %s: %s of rank %d is wrong", l->name, how, where, l->world->rank);
}

static size_t show_row(const uint64_t *row, int n, char *text, size_t room)
{
    size_t used = 0;

    for (int i = 0; i < n; i++)
        used += row[i] ? (size_t)snprintf(text + used, room - used, " %8" PRIu64, row[i])
                       : (size_t)snprintf(text + used, room - used, " %8s", ".");
    return used + (size_t)snprintf(text + used, room - used, "\n");
}

/* The matrix as it arrived, and what was written behind it; a dot where nothing was. */
static void show(const struct layout *l)
{
    const size_t n = (size_t)l->n, room = SHOW_TEXT;
    char text[SHOW_TEXT];
    size_t used = (size_t)snprintf(text, room, "%s, rank %d:\n", l->name, l->world->rank);

    for (size_t row = 0; row < (size_t)l->items / n; row++) {
        bool written = row < n;
        for (size_t i = row * n; i < (row + 1) * n; i++)
            written = written || l->to[i] != 0;
        if (!written)
            continue;
        used += (size_t)snprintf(text + used, room - used, row < n ? "      " : "behind");
        used += show_row(l->to + row * n, l->n, text + used, room - used);
    }
    world_print(l->world, text);
}

/* ---- Runs ---- */

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void add_row(struct world *w, const struct layout *l, const struct timing *timing,
                    const struct timing *hand, bool right)
{
    const bool measured = right && l->n > 0, interval = measured && hand->summary.has_ci;
    struct record row = w->program.record;
    MPI_Aint lower, extent;
    int size;

    MPI_Type_size(l->type, &size);
    MPI_Type_get_extent(l->type, &lower, &extent);
    record_text(&row, "variant", l->name);
    record_int(&row, "count", l->n);
    record_int(&row, "type_size", size);
    record_int(&row, "type_extent", extent);
    timing_fields(&row, timing, (uint64_t)bytes_of(l), measured);
    record_real(&row, "by_hand_s", measured ? secs_of(hand) : NAN);
    record_real(&row, "ratio", measured ? secs_of(timing) / secs_of(hand) : NAN);
    row.aside = true;
    record_real(&row, "by_hand_ci_low_s", interval ? hand->summary.ci_low : NAN);
    record_real(&row, "by_hand_ci_high_s", interval ? hand->summary.ci_high : NAN);
    row.aside = false;
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (w->rank == 0 && measured)
        timing_notes(&w->program, timing);
}

static struct verdict run_variant(struct world *w, const struct variant *variant, int n)
{
    struct timing timing = { .as = opt.timing.as }, hand = timing;
    struct layout l;

    layout_open(&l, w, variant, n);
    fill(&l);
    struct verdict verdict = check(&l, by_hand, "by hand");
    verdict = verdict_both(verdict, check(&l, variant->pass_on, "by datatype"));
    if (opt.show && !l.particles && n > 0 && n <= SHOW_COUNT)
        show(&l);
    if (verdict.right && n > 0) {
        const uint64_t bytes = (uint64_t)bytes_of(&l);
        timing = timing_run(w, &opt.timing, bytes, variant->pass_on, &l);
        hand = timing_run(w, &opt.timing, bytes, by_hand, &l);
        verdict = check(&l, variant->pass_on, "by datatype");
    }
    add_row(w, &l, &timing, &hand, verdict.right);
    layout_close(&l);
    return verdict;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    size_t count = opt.count.from;
    char counts[64];

    do
        for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
            if (arg_is(opt.variant, "all") || arg_is(opt.variant, variants[i].name))
                verdict = verdict_both(verdict, run_variant(w, &variants[i], (int)count));
    while ((count = range_next(&opt.count, count)) > 0);

    program_fault(&w->program, opt.fault, verdict.right,
                  arg_is(opt.fault, "extent") ? "no second column is sent" : "nothing is sent");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%s row%s: by datatype and by hand every element "
                           "arrived in its place, and nothing else",
                           range_text(&opt.count, counts), opt.count.to == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.count.to > COUNT_MAX)
        status = world_usage(&w,
                             "--count %zu: a matrix has the square of it in elements: give at "
                             "most %d",
                             opt.count.to, COUNT_MAX);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
