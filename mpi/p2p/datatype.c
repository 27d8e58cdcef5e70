/*
 * datatype - send a column, a block, scattered items, structures: described to MPI, or packed by
 * hand
 *
 * What a program wants to send seldom lies in one piece. A derived datatype tells MPI where the
 * pieces are; the alternative is to copy them into a buffer and out of it again. Each way is timed
 * against such a loop, on --count x --count elements that every rank sends to the next one on a
 * ring:
 *
 *   vector    one column: MPI_Type_vector
 *   subarray  an inner block: MPI_Type_create_subarray
 *   indexed   scattered elements, here the diagonal: MPI_Type_create_indexed_block
 *   resized   two columns one behind the other: MPI_Type_create_resized
 *   struct    particles with members of several types: MPI_Type_create_struct, offsets by offsetof
 *   pack      the column again, by MPI_Pack and MPI_Unpack
 *
 * What can go wrong: the extent of a type is not its size. Where one ends the next begins: two
 * vectors in a row lie a whole matrix apart, unless the extent is set to one element. --fault
 * extent leaves that out. And offsets of members are not the sum of sizes: there is padding.
 *
 * Run:     make run P=datatype N=2
 * Try:     --count 10:2000 --plot datatype.svg: when does the description cost more than the loop?
 * Try:     --fault extent: which elements arrived instead of the second column?
 * Test:    -n 1 --count 0:1 --seconds 0.02
 * Test:    -n 3 --count 7 --seconds 0.02
 * Test:    -n 2 --count 500 --variant subarray
 * Test(1): -n 2 --count 5 --variant resized --fault extent
 * Test(1): -n 3 --count 5 --fault corrupt
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
    struct timing_options timing;
} opt = { .count = { 300, 300 }, .variant = "all", .timing = TIMING_DEFAULTS };

static struct plot plot = {
    .title = "A datatype against a loop that packs",
    .x = "count",
    .x_label = "rows of the matrix",
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
    { "fault", ARG_CHOICE, &opt.fault, "leave the extent as it is, or send a wrong element",
      .choices = "extent|corrupt" },
    TIMING_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { COUNT_MAX = 8192 };

struct particle {
    int32_t number;
    double weight;
    char name[3];
};

struct layout {
    const struct world *world;
    const struct variant *variant;
    int n, left, right;
    MPI_Datatype type;
    int count;    /* of the type, in what is sent */
    size_t start; /* byte of the array at which the first one begins */
    unsigned char *from, *to, *packed_out, *packed_in;
    size_t packed_bytes;
};

/* ---- What is sent: as a datatype, and by a loop that packs it ---- */

static int column_of(int n)
{
    return n / 2;
}

static uint64_t *matrix_at(const struct layout *l, unsigned char *matrix, int row, int column)
{
    return (uint64_t *)(void *)matrix + (size_t)row * (size_t)l->n + (size_t)column;
}

static void copy_elements(void *to, const void *from, int count)
{
    memcpy(to, from, (size_t)count * sizeof(uint64_t));
}

static MPI_Datatype vector_type(const struct layout *l)
{
    MPI_Datatype type;

    MPI_Type_vector(l->n, 1, l->n, MPI_UINT64_T, &type);
    return type;
}

static void vector_by_hand(const struct layout *l, unsigned char *matrix, uint64_t *packed, bool in)
{
    for (int row = 0; row < l->n; row++) {
        uint64_t *cell = matrix_at(l, matrix, row, column_of(l->n));
        *(in ? cell : &packed[row]) = in ? packed[row] : *cell;
    }
}

static MPI_Datatype subarray_type(const struct layout *l)
{
    const int all[2] = { l->n, l->n }, start[2] = { l->n / 4, l->n / 4 };
    const int size[2] = { l->n - 2 * start[0], l->n - 2 * start[1] };
    MPI_Datatype type;

    if (l->n == 0) /* a subarray has at least one element */
        MPI_Type_contiguous(0, MPI_UINT64_T, &type);
    else
        MPI_Type_create_subarray(2, all, size, start, MPI_ORDER_C, MPI_UINT64_T, &type);
    return type;
}

static void subarray_by_hand(const struct layout *l, unsigned char *matrix, uint64_t *packed,
                             bool in)
{
    const int start = l->n / 4, size = l->n - 2 * start;

    for (int row = 0; row < size; row++) {
        uint64_t *cells = matrix_at(l, matrix, start + row, start);
        copy_elements(in ? cells : packed, in ? packed : cells, size);
        packed += size;
    }
}

static MPI_Datatype indexed_type(const struct layout *l)
{
    int *places = world_alloc(l->world, (size_t)l->n, sizeof *places);
    MPI_Datatype type;

    for (int i = 0; i < l->n; i++)
        places[i] = i * l->n + i;
    MPI_Type_create_indexed_block(l->n, 1, places, MPI_UINT64_T, &type);
    free(places);
    return type;
}

static void indexed_by_hand(const struct layout *l, unsigned char *matrix, uint64_t *packed,
                            bool in)
{
    for (int i = 0; i < l->n; i++) {
        uint64_t *cell = matrix_at(l, matrix, i, i);
        *(in ? cell : &packed[i]) = in ? packed[i] : *cell;
    }
}

/* A column whose successor begins one element further: the next column. */
static MPI_Datatype resized_type(const struct layout *l)
{
    MPI_Datatype column = vector_type(l), type;

    if (arg_is(opt.fault, "extent"))
        return column;
    MPI_Type_create_resized(column, 0, sizeof(uint64_t), &type);
    MPI_Type_free(&column);
    return type;
}

static void resized_by_hand(const struct layout *l, unsigned char *matrix, uint64_t *packed,
                            bool in)
{
    for (int column = 0; column < l->count; column++) {
        for (int row = 0; row < l->n; row++) {
            uint64_t *cell = matrix_at(l, matrix, row, column);
            *(in ? cell : packed) = in ? *packed : *cell;
            packed++;
        }
    }
}

/* The extent is the structure's size, padding at its end included: they lie in an array. */
static MPI_Datatype struct_type(const struct layout *l)
{
    const int lengths[] = { 1, 1, 3 };
    const MPI_Aint offsets[] = { offsetof(struct particle, number),
                                 offsetof(struct particle, weight),
                                 offsetof(struct particle, name) };
    const MPI_Datatype types[] = { MPI_INT32_T, MPI_DOUBLE, MPI_CHAR };
    MPI_Datatype members, type;

    (void)l;
    MPI_Type_create_struct(3, lengths, offsets, types, &members);
    MPI_Type_create_resized(members, 0, sizeof(struct particle), &type);
    MPI_Type_free(&members);
    return type;
}

static void struct_by_hand(const struct layout *l, unsigned char *array, uint64_t *packed, bool in)
{
    unsigned char *next = (unsigned char *)packed;

    for (int i = 0; i < l->n; i++) {
        struct particle *p = (struct particle *)(void *)array + i;
        memcpy(in ? (void *)&p->number : next, in ? next : (void *)&p->number, sizeof p->number);
        next += sizeof p->number;
        memcpy(in ? (void *)&p->weight : next, in ? next : (void *)&p->weight, sizeof p->weight);
        next += sizeof p->weight;
        memcpy(in ? p->name : (void *)next, in ? (void *)next : p->name, sizeof p->name);
        next += sizeof p->name;
    }
}

/* ---- How it is sent ---- */

static void typed(void *arg)
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

static void pack(void *arg)
{
    const struct layout *l = arg;
    int used = 0, read = 0;

    MPI_Pack(l->from + l->start, l->count, l->type, l->packed_out, (int)l->packed_bytes, &used,
             l->world->comm);
    pass_packed(l, used, MPI_PACKED);
    MPI_Unpack(l->packed_in, used, &read, l->to + l->start, l->count, l->type, l->world->comm);
}

static const struct variant {
    const char *name;
    MPI_Datatype (*type)(const struct layout *l);
    void (*by_hand)(const struct layout *l, unsigned char *array, uint64_t *packed, bool in);
    void (*pass_on)(void *layout);
} variants[] = {
    { "vector", vector_type, vector_by_hand, typed },
    { "subarray", subarray_type, subarray_by_hand, typed },
    { "indexed", indexed_type, indexed_by_hand, typed },
    { "resized", resized_type, resized_by_hand, typed },
    { "struct", struct_type, struct_by_hand, typed },
    { "pack", vector_type, vector_by_hand, pack },
};

static void by_hand(void *arg)
{
    const struct layout *l = arg;
    int bytes;

    MPI_Type_size(l->type, &bytes);
    bytes *= l->count;
    l->variant->by_hand(l, l->from, (uint64_t *)(void *)l->packed_out, false);
    pass_packed(l, bytes, MPI_BYTE);
    l->variant->by_hand(l, l->to, (uint64_t *)(void *)l->packed_in, true);
}

/* ---- Memory and checks ---- */

static bool is_struct(const struct layout *l)
{
    return l->variant->type == struct_type;
}

static void layout_open(struct layout *l, const struct world *w, const struct variant *variant,
                        int n)
{
    const size_t cells = (size_t)n * (size_t)n, reach = 2; /* of --fault extent: a second matrix */

    *l = (struct layout){ .world = w,
                          .variant = variant,
                          .n = n,
                          .left = (w->rank + w->size - 1) % w->size,
                          .right = (w->rank + 1) % w->size };
    l->type = variant->type(l);
    MPI_Type_commit(&l->type);
    if (variant->type == vector_type)
        l->start = (size_t)column_of(n) * sizeof(uint64_t);
    l->count = is_struct(l) ? n : variant->type == resized_type && n > 1 ? 2 : n > 0;
    l->from = world_alloc(w, reach * cells + 1, sizeof(struct particle));
    l->to = world_alloc(w, reach * cells + 1, sizeof(struct particle));
    l->packed_bytes = (cells + 8) * sizeof(uint64_t) + (size_t)n * sizeof(struct particle);
    l->packed_out = world_alloc(w, l->packed_bytes, 1);
    l->packed_in = world_alloc(w, l->packed_bytes, 1);
}

static void layout_close(struct layout *l)
{
    free(l->packed_in);
    free(l->packed_out);
    free(l->to);
    free(l->from);
    MPI_Type_free(&l->type);
}

/* Whether an element is among those sent: told from its row and column alone. */
static bool is_sent(const struct layout *l, int row, int column)
{
    const int quarter = l->n / 4;

    if (l->variant->type == subarray_type)
        return row >= quarter && row < l->n - quarter && column >= quarter &&
               column < l->n - quarter;
    if (l->variant->type == indexed_type)
        return row == column;
    if (l->variant->type == resized_type)
        return column < 2;
    return column == column_of(l->n);
}

static struct particle particle(int rank, int i)
{
    const uint64_t number = element((uint64_t)i, opt.seed) + 1000 * (uint64_t)rank;

    return (struct particle){ (int32_t)number,
                              (double)number / 4,
                              { (char)('a' + number % 26), (char)('a' + rank % 26), 'z' } };
}

static uint64_t seed_of(int rank)
{
    return opt.seed + 1 + (uint64_t)rank;
}

static void fill(const struct layout *l)
{
    const size_t cells = (size_t)l->n * (size_t)l->n;

    memset(l->from, 0, (2 * cells + 1) * sizeof(struct particle));
    memset(l->to, 0, (2 * cells + 1) * sizeof(struct particle));
    if (is_struct(l))
        for (int i = 0; i < l->n; i++)
            ((struct particle *)(void *)l->from)[i] = particle(l->world->rank, i);
    else
        elements_fill((uint64_t *)(void *)l->from, 0, cells, seed_of(l->world->rank));
    if (arg_is(opt.fault, "corrupt") && l->n > 0) /* an element that all ways send: in the middle */
        *(is_struct(l) ? l->from : (unsigned char *)matrix_at(l, l->from, l->n / 2, l->n / 2)) ^= 1;
}

static bool particle_is(const struct particle *p, const struct particle *expected)
{
    return p->number == expected->number && p->weight == expected->weight &&
           memcmp(p->name, expected->name, sizeof p->name) == 0;
}

/* The place of the first element that is wrong; what was not sent must still be 0. */
static uint64_t first_wrong(const struct layout *l)
{
    for (int i = 0; is_struct(l) && i < l->n; i++) {
        const struct particle expected = particle(l->left, i);
        if (!particle_is((struct particle *)(void *)l->to + i, &expected))
            return (uint64_t)i;
    }
    for (int row = 0; !is_struct(l) && row < l->n; row++) {
        for (int column = 0; column < l->n; column++) {
            const uint64_t place = (uint64_t)row * (uint64_t)l->n + (uint64_t)column;
            const uint64_t expected = is_sent(l, row, column) ? element(place, seed_of(l->left))
                                                              : 0;
            if (*matrix_at(l, l->to, row, column) != expected)
                return place;
        }
    }
    return UINT64_MAX;
}

static struct verdict check(const struct layout *l, void (*pass_on)(void *), const char *how)
{
    fill(l);
    pass_on((void *)(uintptr_t)l);
    const uint64_t place = first_wrong(l);
    const uint64_t n = l->n > 0 ? (uint64_t)l->n : 1;
    return verify_places(l->world, place,
                         "%s %s: row %" PRIu64 ", column %" PRIu64 " of rank %d is "
                         "wrong",
                         l->variant->name, how, is_struct(l) ? place : place / n,
                         is_struct(l) ? 0 : place % n, l->world->rank);
}

/* ---- Runs ---- */

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static struct verdict run_variant(struct world *w, const struct variant *variant, int n)
{
    struct timing timing = { 0 }, hand = { 0 };
    struct record row = w->program.record;
    struct layout l;
    int size;

    layout_open(&l, w, variant, n);
    MPI_Type_size(l.type, &size);
    const uint64_t bytes = (uint64_t)size * (uint64_t)l.count;
    struct verdict verdict = check(&l, variant->pass_on, "by datatype");
    verdict = verdict_both(verdict, check(&l, by_hand, "by hand"));
    if (verdict.right) {
        timing = timing_run(w, &opt.timing, bytes, variant->pass_on, &l);
        hand = timing_run(w, &opt.timing, bytes, by_hand, &l);
        verdict = check(&l, variant->pass_on, "by datatype");
    }
    layout_close(&l);
    record_text(&row, "variant", variant->name);
    record_int(&row, "count", n);
    timing_fields(&row, &timing, bytes, verdict.right);
    record_real(&row, "by_hand_s", verdict.right ? secs_of(&hand) : NAN);
    record_real(&row, "ratio", verdict.right ? secs_of(&timing) / secs_of(&hand) : NAN);
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
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
                  "there is no second column, or it is not sent");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%s rows: by datatype and by hand every element arrived in "
                           "its place, and nothing else",
                           range_text(&opt.count, counts));
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.count.to > COUNT_MAX)
        status = world_usage(&w,
                             "--count %zu: a matrix has its square of elements: give at most %d",
                             opt.count.to, COUNT_MAX);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
