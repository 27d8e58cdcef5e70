/*
 * all_pairs - latency and bandwidth between every two ranks, and the host that is slow
 *
 * Every rank plays ping-pong with every other one, as in a tournament: in each round all ranks are
 * in disjoint pairs (with an odd number one rests), and when all rounds are over each two have met
 * once. --bytes gives the latency of a link, --large-bytes its bandwidth. Distances show: the same
 * socket, the same node, the same switch. The slowest links are named, and a slow host: one whose
 * links to others, even the fastest, take 1.5 times as long as the median of those that do not
 * touch it. One slow link, or a distant switch, makes no host slow; where more than a third of the
 * hosts are slow, none stands out.
 *
 * What can go wrong: the pairs of a round share cores, memory and network. --variant alone lets one
 * pair play at a time, which takes as many times longer as there are pairs in a round; --variant
 * all shows what they take from each other. And messages that are too small for the bandwidth: what
 * fits into the buffers on the way seems to arrive at once.
 *
 * Ranks: 2
 * Run:     make run P=all_pairs N=4
 * Try:     on two nodes or more: --plot pairs.svg; which squares are light?
 * Try:     --variant all: how much bandwidth has a pair that is alone?
 * Try:     --large-bytes 16K across nodes: is a slow link still found?
 * Test:    -n 4 --seconds 0.01 --variant all
 * Test:    -n 7 --seconds 0.01 --bytes 0 --large-bytes 1
 * Test:    -n 3 --seconds 0.01 --bytes 0 --large-bytes 0 --fault corrupt
 * Test(1): -n 4 --seconds 0.01 --fault skip
 * Test(1): -n 5 --seconds 0.01 --variant alone --fault skip
 * Test(1): -n 3 --seconds 0.01 --fault corrupt
 * Test(2): -n 2 --large-bytes 3G
 * Test(2): -n 2 --variant all --plot pairs.svg
 */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "local/lib/data.h"
#include "mpi/lib/pair.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t bytes, large_bytes, seed;
    const char *variant, *fault;
    struct timing_options timing;
} opt = { .bytes = 8, .large_bytes = 1 << 20, .variant = "rounds",
          .timing = { .secs = 0.1, .iterations = 10000, .warmup = 1 } };

static struct plot plot = {
    .title = "Bandwidth between every two ranks",
    .x = "to_name", .x_label = "rank and host", .y = "from_name", .y_label = "rank and host",
    .map = "large_bytes_per_s", .map_label = "bandwidth (MB/s)",
};

static const struct arg options[] = {
    { "bytes", ARG_SIZE, &opt.bytes, "size of the message that gives the latency" },
    { "large-bytes", ARG_SIZE, &opt.large_bytes, "size of the message that gives the bandwidth" },
    { "variant", ARG_CHOICE, &opt.variant, "the pairs of a round at the same time, or one alone",
      .choices = "rounds|alone|all" },
    { "seconds", ARG_SECS, &opt.timing.secs, "time budget for a pair and a size",
      .max = TIMING_SECS_MAX },
    { "iterations", ARG_SIZE, &opt.timing.iterations, "samples of a pair and a size at most",
      .min = 1, .max = TIMING_ITERATIONS_MAX },
    { "warmup", ARG_SIZE, &opt.timing.warmup, "iterations before the first sample at least",
      .max = TIMING_WARMUP_MAX },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "leave one pair out, or send a wrong byte",
      .choices = "skip|corrupt" },
    PLOT_ARG(&plot),
    ARGS_END,
};

static const double clearly = 1.5; /* times slower */

enum { HOST = 64, MATRIX_MAX = 16, LINKS_NAMED = 3, LATENCY = 0, LARGE = 1, SIZES = 2 };

static const char *const units[SIZES] = { "us", "MB/s" };

/* What a rank knows of its meetings with another one. Plain: it is gathered as bytes. */
struct link {
    int met;
    enum stop stop;                /* of the latency */
    uint64_t wrong;                /* the first wrong byte that came from there, or UINT64_MAX */
    struct summary summary[SIZES]; /* if this is the lower rank: half round trips */
};

struct place {
    int node;
    char host[HOST];
};

/* ---- A pair ---- */

struct pingpong {
    const struct pair *pair;
    unsigned char *out, *in;
    int bytes;
};

static void pingpong(void *arg, size_t times)
{
    const struct pingpong *p = arg;
    const MPI_Comm comm = p->pair->world->comm;
    const int peer = p->pair->peer;

    for (size_t i = 0; i < times; i++) {
        if (p->pair->leads)
            MPI_Send(p->out, p->bytes, MPI_BYTE, peer, 0, comm);
        MPI_Recv(p->in, p->bytes, MPI_BYTE, peer, 0, comm, MPI_STATUS_IGNORE);
        if (!p->pair->leads)
            MPI_Send(p->out, p->bytes, MPI_BYTE, peer, 0, comm);
    }
}

/* One round trip of which every byte is looked at. */
static void check(struct pingpong *p, struct link *link)
{
    const uint64_t bytes = (uint64_t)p->bytes;

    memset(p->in, 0, bytes);
    pingpong(p, 1);
    const uint64_t place = bytes_check(p->in, 0, bytes, opt.seed + (uint64_t)p->pair->peer);
    if (place < bytes && place < link->wrong)
        link->wrong = place;
}

/* Each rank sends bytes of a row of its own, so that nobody can mistake whom it played with. */
static void play(const struct world *w, int peer, int size, struct link *link)
{
    const size_t bytes = size == LARGE ? opt.large_bytes : opt.bytes;
    const struct pair pair = { .world = w, .peer = peer, .leads = w->rank < peer };
    struct pingpong p = { &pair, world_alloc(w, bytes, 1), world_alloc(w, bytes, 1), (int)bytes };

    bytes_fill(p.out, 0, bytes, opt.seed + (uint64_t)w->rank);
    if (arg_is(opt.fault, "corrupt") && w->rank == w->size - 1 && bytes > 0)
        p.out[bytes - 1] ^= 1;
    check(&p, link);
    struct timing timing = pair_run(&pair, &opt.timing, bytes, pingpong, &p);
    pair_scale(&timing, 0.5);
    check(&p, link);
    free(p.in);
    free(p.out);
    link->summary[size] = timing.summary;
    if (size == LATENCY)
        link->stop = timing.stop;
}

/* ---- The tournament ---- */

/*
 * Whom `rank` meets in a round: the last rank stays where it is and the others move round it (the
 * circle method), so that two of them meet when their sum is the round, modulo their number. An odd
 * number of ranks has no last one, and who would meet it rests: -1.
 */
static int peer_in(int round, int rank, int size)
{
    const int others = size - 1 + size % 2; /* an odd number */
    const int last = size % 2 == 0 ? size - 1 : -1;

    if (rank == last)
        return (int)((int64_t)round * ((others + 1) / 2) % others); /* twice this is the round */
    const int peer = (round - rank + others) % others;
    return peer == rank ? last : peer;
}

static bool left_out(int a, int b)
{
    return arg_is(opt.fault, "skip") && a + b == 1;
}

/* All ranks call it. Those that play do so with small messages first, until all are ready for large
 * ones; the others wait asleep. */
static void meet(const struct world *w, int peer, bool plays, struct link *links)
{
    for (int size = LATENCY; size <= LARGE; size++) {
        if (plays)
            play(w, peer, size, &links[peer]);
        world_rest(w);
    }
    if (plays)
        links[peer].met++;
}

static void tournament(const struct world *w, bool alone, struct link *links)
{
    const int rounds = w->size - 1 + w->size % 2;

    for (int round = 0; round < rounds; round++) {
        const int peer = peer_in(round, w->rank, w->size);
        const bool plays = peer >= 0 && !left_out(w->rank, peer);
        if (!alone)
            meet(w, peer, plays, links);
        for (int turn = 0; alone && turn < w->size; turn++) /* the lower rank of each pair */
            if (peer_in(round, turn, w->size) > turn)
                meet(w, peer, plays && (turn == w->rank || turn == peer), links);
    }
}

/* ---- What rank 0 makes of it ---- */

struct meeting {
    double secs;
    int a, b;
};

struct result {
    const char *variant;
    struct link *links;        /* [rank * ranks + peer]; this and all below only on rank 0 */
    const struct place *where; /* each rank */
    struct meeting *meetings;  /* the right ones, those that took longest first */
    size_t count;
    int slowest;               /* node of the slow host with the least bandwidth, or -1 */
};

static bool is_right(const struct world *w, const struct result *r, int a, int b)
{
    const struct link *there = &r->links[a * w->size + b], *back = &r->links[b * w->size + a];

    return there->met == 1 && there->wrong == UINT64_MAX && back->met == 1 &&
           back->wrong == UINT64_MAX;
}

/* As the lower rank knows it, who measured it. */
static const struct link *link_of(const struct world *w, const struct result *r, int a, int b)
{
    return a < b ? &r->links[a * w->size + b] : &r->links[b * w->size + a];
}

static double secs_of(const struct world *w, const struct result *r, int a, int b, int size)
{
    return link_of(w, r, a, b)->summary[size].median;
}

/* As people see it: microseconds of a small message, MB/s of a large one. */
static double figure(int size, double secs)
{
    return size == LARGE ? 1e-6 * (double)opt.large_bytes / secs : 1e6 * secs;
}

static int longest_first(const void *a, const void *b)
{
    const double x = ((const struct meeting *)a)->secs, y = ((const struct meeting *)b)->secs;

    return (x < y) - (x > y);
}

static void sort_meetings(const struct world *w, struct result *r, int size)
{
    r->count = 0;
    for (int a = 0; a < w->size; a++)
        for (int b = a + 1; b < w->size; b++)
            if (is_right(w, r, a, b))
                r->meetings[r->count++] = (struct meeting){ secs_of(w, r, a, b, size), a, b };
    qsort(r->meetings, r->count, sizeof *r->meetings, longest_first);
}

enum which { WITHIN, BETWEEN, TOUCHING, APART }; /* hosts; the last two: of links between them */

static bool is_one(const struct result *r, const struct meeting *m, enum which which, int node)
{
    const int a = r->where[m->a].node, b = r->where[m->b].node;
    const bool touching = a == node || b == node;

    if (which == WITHIN || a == b)
        return which == WITHIN && a == b;
    return which == BETWEEN || touching == (which == TOUCHING);
}

/* Of the meetings that are such ones the first (share 0, the slowest), the median (0.5), the
 * fastest (1); NULL if there are none. */
static const struct meeting *find(const struct result *r, enum which which, int node, double share)
{
    const struct meeting *const end = r->meetings + r->count, *m;
    size_t count = 0;

    for (m = r->meetings; m < end; m++)
        count += is_one(r, m, which, node);
    if (count == 0)
        return NULL;
    size_t before = (size_t)(share * (double)(count - 1));
    for (m = r->meetings; !is_one(r, m, which, node) || before-- > 0; m++)
        ;
    return m;
}

/* How many times longer the links of a slow host take than the others; 0 if it is not slow. */
static double slowness(const struct result *r, int node)
{
    const struct meeting *const fastest = find(r, TOUCHING, node, 1);
    const struct meeting *const others = find(r, APART, node, 0.5);

    if (!fastest || !others || fastest->secs < clearly * others->secs)
        return 0;
    return find(r, TOUCHING, node, 0.5)->secs / others->secs;
}

static int slowest_host(const struct world *w, const struct result *r)
{
    double most = 0;
    int slowest = -1;

    for (int node = 0; node < w->nodes; node++) {
        const double its = slowness(r, node);
        if (its > most) {
            most = its;
            slowest = node;
        }
    }
    return slowest;
}

static const char *host_name(const struct result *r, int node)
{
    const struct place *where = r->where;

    while (where->node != node)
        where++;
    return where->host;
}

static void name_slow_host(struct world *w, const struct result *r, int size, int node,
                           const char *which)
{
    program_note(&w->program, "%s%s: %s: its links to others have %.1f %s, links between the "
                 "others %.1f %s", which, size == LARGE ? "" : " by latency", host_name(r, node),
                 figure(size, find(r, TOUCHING, node, 0.5)->secs), units[size],
                 figure(size, find(r, APART, node, 0.5)->secs), units[size]);
}

static void name_slow_links(struct world *w, const struct result *r, int size, enum which which)
{
    const struct meeting *m = r->meetings, *const median = find(r, which, 0, 0.5);
    char text[LINKS_NAMED * (2 * HOST + 64)] = "";
    size_t length = 0;

    for (int named = 0; median && named < LINKS_NAMED && m < r->meetings + r->count; m++)
        if (is_one(r, m, which, 0))
            length += (size_t)snprintf(text + length, sizeof text - length,
                                       "%s %.1f (rank %d on %s, rank %d on %s)",
                                       named++ > 0 ? "," : "", figure(size, m->secs), m->a,
                                       r->where[m->a].host, m->b, r->where[m->b].host);
    if (median)
        program_note(&w->program, "links %s, %s: median %.1f, slowest%s",
                     which == WITHIN ? "within a host" : "between hosts", units[size],
                     figure(size, median->secs), text);
}

static void name_slow_ones(struct world *w, struct result *r)
{
    bool found = false;

    for (int size = LARGE; size >= LATENCY; size--) {
        sort_meetings(w, r, size);
        const int slowest = slowest_host(w, r);
        if (slowest >= 0)
            name_slow_host(w, r, size, slowest, "slowest host");
        for (int node = 0; slowest >= 0 && node < w->nodes; node++)
            if (node != slowest && slowness(r, node) > 0)
                name_slow_host(w, r, size, node, "another slow host");
        found = found || slowest >= 0;
        name_slow_links(w, r, size, BETWEEN);
        name_slow_links(w, r, size, WITHIN);
    }
    if (w->nodes == 1)
        program_note(&w->program, "all on one host: links between ranks");
    else if (w->nodes == 2)
        program_note(&w->program, "two hosts share their links: neither is the slow one");
    else if (!found)
        program_note(&w->program, "no host is clearly slower than the others");
}

static void print_matrix(struct world *w, const struct result *r, int size)
{
    char line[32 * (MATRIX_MAX + 1)];

    program_note(&w->program, "%s, messages of %zu bytes, %s", r->variant,
                 size == LATENCY ? opt.bytes : opt.large_bytes, units[size]);
    for (int a = -1; a < w->size; a++) {
        int length = a < 0 ? snprintf(line, 32, "    rank") : snprintf(line, 32, "%8d", a);
        for (int b = 0; b < w->size; b++) {
            const bool known = a >= 0 && a != b && is_right(w, r, a, b);
            const double value = known ? figure(size, secs_of(w, r, a, b, size)) : 0;
            if (a < 0)
                length += snprintf(line + length, 32, " %8d", b);
            else if (!known)
                length += snprintf(line + length, 32, "        -");
            else
                length += snprintf(line + length, 32, " %8.*f",
                                   value < 10 ? 3 : value < 1000 ? 1 : 0, value);
        }
        program_note(&w->program, "%s", line);
    }
}

static struct record row_of(const struct world *w, const struct result *r, int from, int to)
{
    struct record row = w->program.record;
    const struct link *link = link_of(w, r, from, to);
    const struct summary *large = &link->summary[LARGE];
    const struct timing latency = { .summary = link->summary[LATENCY], .stop = link->stop,
                                    .start = "back to back", .slowest_rank = -1, .clocks = 1 };
    const bool right = from != to && is_right(w, r, from, to);
    const bool has_ci = right && large->has_ci;
    char name[HOST + 16];

    record_text(&row, "variant", r->variant);
    record_int(&row, "from", from);
    record_int(&row, "to", to);
    record_text(&row, "from_host", r->where[from].host);
    record_text(&row, "to_host", r->where[to].host);
    timing_fields(&row, &latency, opt.bytes, right);
    record_int(&row, "large_bytes", (int64_t)opt.large_bytes);
    record_real(&row, "large_s", right ? large->median : NAN);
    record_real(&row, "large_bytes_per_s", right ? (double)opt.large_bytes / large->median : NAN);
    record_bool(&row, "verified", right);
    row.aside = true;
    record_int(&row, "large_iterations", (int64_t)large->count);
    record_real(&row, "large_ci_low_s", has_ci ? large->ci_low : NAN);
    record_real(&row, "large_ci_high_s", has_ci ? large->ci_high : NAN);
    record_text(&row, "slowest_host", r->slowest < 0 ? NULL : host_name(r, r->slowest));
    snprintf(name, sizeof name, "%d %s", from, r->where[from].host);
    record_text(&row, "from_name", name);
    snprintf(name, sizeof name, "%d %s", to, r->where[to].host);
    record_text(&row, "to_name", name);
    return row;
}

/* Rows are of pairs, but the map is the whole square, in rank order. */
static void tell(struct world *w, struct result *r)
{
    sort_meetings(w, r, LARGE);
    r->slowest = slowest_host(w, r);
    for (int from = 0; from < w->size; from++) {
        for (int to = 0; to < w->size; to++) {
            const struct record row = row_of(w, r, from, to);
            if (from < to)
                program_row(&w->program, &row);
            else if (w->program.plot)
                plot_add(w->program.plot, &row);
        }
    }
    for (int size = LATENCY; size <= LARGE && w->size <= MATRIX_MAX; size++)
        print_matrix(w, r, size);
    name_slow_ones(w, r);
}

/* ---- A tournament, gathered and verified ---- */

/* Rank 0: the first place of the square that is not as it should be, described; else UINT64_MAX. */
static uint64_t first_wrong(const struct world *w, const struct result *r, char text[128])
{
    for (int a = 0; a < w->size; a++) {
        for (int b = 0; b < w->size; b++) {
            const struct link *link = &r->links[a * w->size + b];
            if (link->met == (a != b) && link->wrong == UINT64_MAX)
                continue;
            if (link->met != (a != b))
                snprintf(text, 128, "ranks %d and %d met %d times, not once", a, b, link->met);
            else
                snprintf(text, 128, "byte %" PRIu64 " of a message from rank %d to rank %d is "
                         "wrong", link->wrong, b, a);
            return (uint64_t)a * (uint64_t)w->size + (uint64_t)b;
        }
    }
    return UINT64_MAX;
}

static struct verdict run_variant(struct world *w, struct result *r)
{
    const size_t size = (size_t)w->size, all = w->rank == 0 ? size * size : 0;
    struct link *mine = world_alloc(w, size, sizeof *mine);
    MPI_Datatype row;
    uint64_t wrong = UINT64_MAX;
    char text[128] = "";

    r->links = world_alloc(w, all, sizeof *r->links);
    r->meetings = world_alloc(w, all, sizeof *r->meetings);
    for (size_t i = 0; i < size; i++)
        mine[i] = (struct link){ .wrong = UINT64_MAX };
    tournament(w, arg_is(r->variant, "alone"), mine);
    MPI_Type_contiguous((int)(size * sizeof *mine), MPI_BYTE, &row);
    MPI_Type_commit(&row);
    MPI_Gather(mine, 1, row, r->links, 1, row, 0, w->comm);
    MPI_Type_free(&row);
    if (w->rank == 0) {
        wrong = first_wrong(w, r, text);
        tell(w, r);
    }
    free(mine);
    return verify_places(w, wrong, "%s", text);
}

/* How much the pairs of a round take from each other: the median of the links' own ratios. */
static void compare(struct world *w, const struct result *rounds, const struct result *alone)
{
    double *ratios = world_alloc(w, (size_t)w->size * (size_t)w->size, sizeof *ratios);

    for (int size = LATENCY; size <= LARGE; size++) {
        struct summary ratio;
        size_t count = 0;
        for (int a = 0; a < w->size; a++)
            for (int b = a + 1; b < w->size; b++)
                if (is_right(w, rounds, a, b) && is_right(w, alone, a, b))
                    ratios[count++] = secs_of(w, rounds, a, b, size) /
                                      secs_of(w, alone, a, b, size);
        if (stats_summarize(ratios, count, &ratio) == 0)
            program_note(&w->program, "messages of %zu bytes take %.2f times as long in a round as "
                         "alone (median of the links; p10 %.2f, p90 %.2f)",
                         size == LARGE ? opt.large_bytes : opt.bytes, ratio.median, ratio.p10,
                         ratio.p90);
    }
    free(ratios);
}

static enum status run(struct world *w)
{
    const bool all = arg_is(opt.variant, "all");
    struct place mine = { .node = w->node };
    struct place *where = world_alloc(w, w->rank == 0 ? (size_t)w->size : 0, sizeof *where);
    struct result results[] = { { .variant = "rounds", .where = where },
                                { .variant = "alone", .where = where } };
    struct verdict verdict = { .right = true };

    gethostname(mine.host, sizeof mine.host - 1);
    MPI_Gather(&mine, sizeof mine, MPI_BYTE, where, sizeof mine, MPI_BYTE, 0, w->comm);
    for (struct result *r = results; r < results + 2; r++)
        if (all || arg_is(opt.variant, r->variant))
            verdict = verdict_both(verdict, run_variant(w, r));
    if (all && w->rank == 0)
        compare(w, &results[0], &results[1]);
    for (struct result *r = results; r < results + 2; r++) {
        free(r->meetings);
        free(r->links);
    }
    free(where);

    program_fault(&w->program, opt.fault, verdict.right, "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%d pairs of %d ranks met once%s, every byte as it "
                           "was sent", w->size * (w->size - 1) / 2, w->size,
                           all ? " in each variant" : "");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);
    const size_t most = opt.bytes > opt.large_bytes ? opt.bytes : opt.large_bytes;

    if (status == PASS)
        status = world_needs(&w, 2);
    if (status == PASS && most > INT_MAX)
        status = world_usage(&w, "a message of %zu bytes: a count is an int: give at most %d", most,
                             INT_MAX);
    if (status == PASS && plot.file && arg_is(opt.variant, "all"))
        status = world_usage(&w, "--plot %s: one map shows one variant: choose rounds or alone",
                             plot.file);
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
