/*
 * all_pairs - latency and bandwidth between every two ranks, and the host that is slow
 *
 * Every rank plays ping-pong with every other one, as in a tournament: in each round all ranks are
 * in disjoint pairs (with an odd number one rests), and when all rounds are over each two have met
 * once. --bytes gives the latency of a link, --large-bytes its bandwidth. Distances show: the same
 * socket, the same node, the same switch. Slow links are named, and a slow host: one whose fastest
 * link to another host still takes 1.5 times as long as the typical link between those hosts of
 * which this cannot be said. One slow link, or a distant switch, makes no host slow.
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
    .map = "large_bytes_per_s", .map_label = "bandwidth (MB/s, 10^6 bytes per second)",
};

static const struct arg options[] = {
    { "bytes", ARG_SIZE, &opt.bytes, "size of the message that gives the latency" },
    { "large-bytes", ARG_SIZE, &opt.large_bytes, "size of the message that gives the bandwidth" },
    { "variant", ARG_CHOICE, &opt.variant, "the pairs of a round at the same time, or one alone",
      .choices = "rounds|alone|all" },
    { "seconds", ARG_SECS, &opt.timing.secs, "time budget for a pair and a size" },
    { "iterations", ARG_SIZE, &opt.timing.iterations, "samples of a pair and a size at most",
      .min = 1 },
    { "warmup", ARG_SIZE, &opt.timing.warmup, "iterations before the first sample at least" },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "leave one pair out, or send a wrong byte",
      .choices = "skip|corrupt" },
    PLOT_ARG(&plot),
    ARGS_END,
};

static const double clearly = 1.5; /* times slower */

enum { HOST = 64, MATRIX_MAX = 16, LINKS_NAMED = 3, CELL = 32, LATENCY = 0, LARGE = 1 };

/* What the lower rank of a pair measures. Plain: it is gathered as bytes. */
struct link {
    struct measured {
        struct summary summary;
        enum stop stop;
    } of[2]; /* LATENCY, LARGE */
};

/* What a rank counts of its meetings with another one. */
struct visits {
    int met, wrong; /* messages in which a byte was wrong */
};

struct wrong {
    uint64_t place; /* the first wrong byte that this rank received; UINT64_MAX: none */
    size_t bytes;
    int from;
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
static void check(struct pingpong *p, struct visits *visits, struct wrong *wrong)
{
    const uint64_t bytes = (uint64_t)p->bytes;

    memset(p->in, 0, bytes);
    pingpong(p, 1);
    const uint64_t place = bytes_check(p->in, 0, bytes, opt.seed + (uint64_t)p->pair->peer);
    visits->wrong += place < bytes;
    if (place < bytes && place < wrong->place)
        *wrong = (struct wrong){ place, bytes, p->pair->peer };
}

/* Each rank sends bytes of a row of its own, so that nobody can mistake whom it played with. */
static struct measured play(const struct world *w, int peer, size_t bytes, struct visits *visits,
                            struct wrong *wrong)
{
    const struct pair pair = { .world = w, .peer = peer, .leads = w->rank < peer };
    struct pingpong p = { &pair, world_alloc(w, bytes, 1), world_alloc(w, bytes, 1), (int)bytes };

    bytes_fill(p.out, 0, bytes, opt.seed + (uint64_t)w->rank);
    if (arg_is(opt.fault, "corrupt") && w->rank == w->size - 1 && bytes > 0)
        p.out[bytes - 1] ^= 1;
    check(&p, visits, wrong);
    struct timing timing = pair_run(&pair, &opt.timing, bytes, pingpong, &p);
    pair_scale(&timing, 0.5);
    check(&p, visits, wrong);
    free(p.in);
    free(p.out);
    return (struct measured){ timing.summary, timing.stop };
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

/* All ranks call it; those in `pair` play, first with small messages all of them, then with large
 * ones, and the others wait asleep. */
static void meet(const struct world *w, int peer, bool plays, struct link *links,
                 struct visits *visits, struct wrong *wrong)
{
    for (int size = LATENCY; size <= LARGE; size++) {
        if (plays)
            links[peer].of[size] = play(w, peer, size == LARGE ? opt.large_bytes : opt.bytes,
                                        &visits[peer], wrong);
        world_rest(w);
    }
    if (plays)
        visits[peer].met++;
}

static void tournament(const struct world *w, bool alone, struct link *links,
                       struct visits *visits, struct wrong *wrong)
{
    const int rounds = w->size - 1 + w->size % 2;

    for (int round = 0; round < rounds; round++) {
        const int peer = peer_in(round, w->rank, w->size);
        const bool plays = peer >= 0 && !left_out(w->rank, peer);
        if (!alone)
            meet(w, peer, plays, links, visits, wrong);
        for (int turn = 0; alone && turn < w->size; turn++) /* the lower rank of each pair */
            if (peer_in(round, turn, w->size) > turn)
                meet(w, peer, plays && (turn == w->rank || turn == peer), links, visits, wrong);
    }
}

/* ---- What rank 0 makes of it ---- */

struct host {
    char name[HOST];
    double fastest; /* seconds of its fastest link to another host */
    bool slow;
    double secs;    /* of a slow one: the median of its links to others */
};

struct result {
    const char *variant;
    int size, hosts;
    struct link *links;    /* of pairs, see link_of() */
    struct visits *visits; /* [rank * size + peer] */
    struct host *host;     /* hosts, in the order of their lowest ranks */
    int *host_of;          /* rank */
    int slowest;           /* of the slow hosts, or -1 */
    double typical;        /* seconds of a link between hosts that are not slow */
    double *room;          /* for a number of each pair */
};

/* Each rank has gathered its links to the ranks above it: a triangle, row after row. */
static size_t triangle(int size, int row)
{
    return (size_t)row * (size_t)(2 * size - row - 1) / 2;
}

static const struct link *link_of(const struct result *r, int a, int b)
{
    const int low = a < b ? a : b, high = a < b ? b : a;

    return &r->links[triangle(r->size, low) + (size_t)(high - low - 1)];
}

static double secs_of(const struct result *r, int a, int b, int size)
{
    return link_of(r, a, b)->of[size].summary.median;
}

static double rate(double secs)
{
    return (double)opt.large_bytes / secs;
}

static bool right(const struct result *r, int a, int b)
{
    const struct visits there = r->visits[a * r->size + b], back = r->visits[b * r->size + a];

    return there.met == 1 && back.met == 1 && there.wrong == 0 && back.wrong == 0;
}

/* Whether a link counts, as seen from `host`. */
typedef bool choice(const struct result *r, int a, int b, int host);

static bool within(const struct result *r, int a, int b, int host)
{
    (void)host;
    return r->host_of[a] == r->host_of[b];
}

static bool between(const struct result *r, int a, int b, int host)
{
    return !within(r, a, b, host);
}

static bool touching(const struct result *r, int a, int b, int host)
{
    return !within(r, a, b, host) && (r->host_of[a] == host || r->host_of[b] == host);
}

static bool trusted(const struct result *r, int a, int b, int host)
{
    return !within(r, a, b, host) && !r->host[r->host_of[a]].slow && !r->host[r->host_of[b]].slow;
}

/* The median of the links chosen, in seconds, and their number; NaN without any. */
static double median_of(const struct result *r, int size, choice *counts, int host, size_t *count)
{
    struct summary summary = { .median = NAN };

    *count = 0;
    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            if (right(r, a, b) && counts(r, a, b, host))
                r->room[(*count)++] = secs_of(r, a, b, size);
    stats_summarize(r->room, *count, &summary);
    return summary.median;
}

static int by_number(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void find_fastest_links(struct result *r, int size)
{
    for (int h = 0; h < r->hosts; h++)
        r->host[h].fastest = INFINITY;
    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            if (right(r, a, b) && between(r, a, b, 0)) {
                struct host *const one = &r->host[r->host_of[a]], *two = &r->host[r->host_of[b]];
                one->fastest = fmin(one->fastest, secs_of(r, a, b, size));
                two->fastest = fmin(two->fastest, secs_of(r, a, b, size));
            }
}

/*
 * Marks the slow hosts. Suspected is a host whose fastest link is clearly slower than the typical
 * host's fastest; slow, if it is also clearly slower than the typical link between hosts that are
 * not suspected: noise makes some links of every host slow, but not the fastest one. At most half
 * of the hosts can be slow.
 */
static void find_slow_hosts(struct result *r, int size)
{
    size_t count;

    find_fastest_links(r, size);
    for (int h = 0; h < r->hosts; h++)
        r->room[h] = r->host[h].fastest;
    qsort(r->room, (size_t)r->hosts, sizeof *r->room, by_number);
    const double fastest = r->room[(r->hosts - 1) / 2];
    for (int h = 0; h < r->hosts; h++)
        r->host[h].slow = r->host[h].fastest >= clearly * fastest;
    r->typical = median_of(r, size, trusted, 0, &count);
    r->slowest = -1;
    for (int h = 0; h < r->hosts; h++) {
        struct host *const host = &r->host[h];
        host->slow = host->slow && isfinite(host->fastest) && host->fastest >= clearly * r->typical;
        host->secs = host->slow ? median_of(r, size, touching, h, &count) : NAN;
        if (host->slow && (r->slowest < 0 || host->secs > r->host[r->slowest].secs))
            r->slowest = h;
    }
}

static void name_slow_host(struct world *w, const struct result *r, int size, int host)
{
    const char *const rank = host == r->slowest ? "slowest host" : "also a slow host";
    const double secs = r->host[host].secs;

    if (size == LARGE)
        program_note(&w->program, "%s: %s: its links to others have %.1f MB/s, links between the "
                     "others %.1f MB/s", rank, r->host[host].name, 1e-6 * rate(secs),
                     1e-6 * rate(r->typical));
    else
        program_note(&w->program, "%s by latency: %s: its links to others take %.1f us, links "
                     "between the others %.1f us", rank, r->host[host].name, 1e6 * secs,
                     1e6 * r->typical);
}

static void name_slow_hosts(struct world *w, struct result *r)
{
    int named = 0;

    for (int size = LARGE; size >= LATENCY; size--) {
        find_slow_hosts(r, size);
        if (r->slowest >= 0)
            name_slow_host(w, r, size, r->slowest);
        for (int h = 0; h < r->hosts; h++) {
            named += r->host[h].slow;
            if (r->host[h].slow && h != r->slowest)
                name_slow_host(w, r, size, h);
        }
    }
    if (r->hosts == 1)
        program_note(&w->program, "all on one host: links between ranks");
    else if (r->hosts == 2)
        program_note(&w->program, "two hosts share their links: neither can be told to be slow");
    else if (named == 0)
        program_note(&w->program, "no host is clearly slower than the others");
}

struct place {
    double secs;
    int a, b;
};

static int slowest_first(const void *a, const void *b)
{
    return by_number(&((const struct place *)b)->secs, &((const struct place *)a)->secs);
}

/* Links within a host and links between hosts are compared each with their own kind. */
static void name_slow_links(struct world *w, const struct result *r, const char *kind,
                            choice *counts)
{
    size_t links, count = 0;
    const double large = median_of(r, LARGE, counts, 0, &links);
    const double latency = median_of(r, LATENCY, counts, 0, &links);
    struct place *places = world_alloc(w, links, sizeof *places);

    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            if (right(r, a, b) && counts(r, a, b, 0))
                places[count++] = (struct place){ secs_of(r, a, b, LARGE), a, b };
    qsort(places, count, sizeof *places, slowest_first);
    if (count > 0)
        program_note(&w->program, "%zu link%s %s: %.1f MB/s, %.2f us (medians)%s", count,
                     count == 1 ? "" : "s", kind, 1e-6 * rate(large), 1e6 * latency,
                     count == 1 ? "" : "; the slowest:");
    for (size_t i = 0; count > 1 && i < count && i < LINKS_NAMED; i++)
        program_note(&w->program, "slow link %s: rank %d (%s) and rank %d (%s): %.1f MB/s, %.2f us",
                     kind, places[i].a, r->host[r->host_of[places[i].a]].name, places[i].b,
                     r->host[r->host_of[places[i].b]].name, 1e-6 * rate(places[i].secs),
                     1e6 * secs_of(r, places[i].a, places[i].b, LATENCY));
    free(places);
}

/* As wide as the others, with four digits or more. */
static int print_cell(char *text, double value)
{
    const int decimals = value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0;

    return isnan(value) ? snprintf(text, CELL, " %8s", "-")
                        : snprintf(text, CELL, " %8.*f", decimals, value);
}

static void print_matrix(struct world *w, const struct result *r, int size)
{
    char line[CELL * (MATRIX_MAX + 1)];

    if (size == LATENCY)
        program_note(&w->program, "half round trip of %zu bytes, us", opt.bytes);
    else
        program_note(&w->program, "bandwidth of messages of %zu bytes, MB/s", opt.large_bytes);
    int length = snprintf(line, CELL, "%8s", "rank");
    for (int b = 0; b < r->size; b++)
        length += snprintf(line + length, CELL, " %8d", b);
    program_note(&w->program, "%s", line);
    for (int a = 0; a < r->size; a++) {
        length = snprintf(line, CELL, "%8d", a);
        for (int b = 0; b < r->size; b++) {
            const double secs = a != b && right(r, a, b) ? secs_of(r, a, b, size) : NAN;
            length += print_cell(line + length, size == LATENCY ? 1e6 * secs : 1e-6 * rate(secs));
        }
        program_note(&w->program, "%s", line);
    }
}

static struct record row_of(const struct world *w, const struct result *r, int from, int to)
{
    struct record row = w->program.record;
    const bool is_right = from != to && right(r, from, to);
    const struct link none = { 0 }, *const link = from != to ? link_of(r, from, to) : &none;
    const struct summary *const large = &link->of[LARGE].summary;
    const struct timing latency = { .summary = link->of[LATENCY].summary, .slowest_rank = -1,
                                    .stop = link->of[LATENCY].stop, .start = "back to back",
                                    .clocks = 1 };
    const char *const hosts[] = { r->host[r->host_of[from]].name, r->host[r->host_of[to]].name };
    char name[HOST + 16];

    record_text(&row, "variant", r->variant);
    record_int(&row, "from", from);
    record_int(&row, "to", to);
    record_text(&row, "from_host", hosts[0]);
    record_text(&row, "to_host", hosts[1]);
    timing_fields(&row, &latency, opt.bytes, is_right);
    record_int(&row, "large_bytes", (int64_t)opt.large_bytes);
    record_real(&row, "large_s", is_right ? large->median : NAN);
    record_real(&row, "large_bytes_per_s", is_right ? rate(large->median) : NAN);
    record_bool(&row, "verified", is_right);
    row.aside = true;
    record_real(&row, "large_ci_low_s", is_right && large->has_ci ? large->ci_low : NAN);
    record_real(&row, "large_ci_high_s", is_right && large->has_ci ? large->ci_high : NAN);
    record_int(&row, "large_iterations", (int64_t)large->count);
    record_text(&row, "slowest_host", r->slowest < 0 ? NULL : r->host[r->slowest].name);
    snprintf(name, sizeof name, "%d %s", from, hosts[0]);
    record_text(&row, "from_name", name);
    snprintf(name, sizeof name, "%d %s", to, hosts[1]);
    record_text(&row, "to_name", name);
    return row;
}

/* The whole square, row by row, so that the axes are in rank order; nobody meets itself. */
static void draw(struct world *w, const struct result *r)
{
    for (int from = 0; from < r->size; from++) {
        for (int to = 0; to < r->size; to++) {
            const struct record row = row_of(w, r, from, to);
            plot_add(w->program.plot, &row);
        }
    }
}

static void tell(struct world *w, struct result *r)
{
    find_slow_hosts(r, LARGE);
    if (w->program.plot)
        draw(w, r);
    for (int from = 0; from < r->size; from++) {
        for (int to = from + 1; to < r->size; to++) {
            const struct record row = row_of(w, r, from, to);
            program_row(&w->program, &row);
        }
    }
    if (r->size <= MATRIX_MAX) {
        print_matrix(w, r, LATENCY);
        print_matrix(w, r, LARGE);
    }
    name_slow_hosts(w, r);
    name_slow_links(w, r, "between hosts", between);
    name_slow_links(w, r, "within a host", within);
}

/* ---- A tournament, gathered and verified ---- */

/* Rank 0: the first pair that did not meet once, a * size + b; else UINT64_MAX. */
static uint64_t first_missed(const struct result *r)
{
    for (int a = 0; a < r->size; a++)
        for (int b = 0; b < r->size; b++)
            if (r->visits[a * r->size + b].met != (a != b))
                return (uint64_t)a * (uint64_t)r->size + (uint64_t)b;
    return UINT64_MAX;
}

static void number_hosts(const struct world *w, struct result *r, const char (*names)[HOST])
{
    for (int rank = 0; rank < w->size; rank++) {
        int h = 0;
        while (h < r->hosts && strcmp(r->host[h].name, names[rank]) != 0)
            h++;
        if (h == r->hosts)
            memcpy(r->host[r->hosts++].name, names[rank], HOST);
        r->host_of[rank] = h;
    }
}

static void gather_hosts(const struct world *w, struct result *r)
{
    char name[HOST] = "";
    char(*names)[HOST] = world_alloc(w, w->rank == 0 ? (size_t)w->size : 0, HOST);

    gethostname(name, sizeof name - 1);
    MPI_Gather(name, HOST, MPI_CHAR, names, HOST, MPI_CHAR, 0, w->comm);
    if (w->rank == 0)
        number_hosts(w, r, names);
    free(names);
}

/* Rank 0 gets the links of each rank to those above it, and what each counted. */
static void gather(const struct world *w, const struct result *r, struct link *links,
                   struct visits *visits)
{
    const int size = w->size;
    int *counts = world_alloc(w, (size_t)size, sizeof *counts);
    int *places = world_alloc(w, (size_t)size, sizeof *places);
    MPI_Datatype type;

    for (int rank = 0; rank < size; rank++) {
        counts[rank] = size - 1 - rank;
        places[rank] = (int)triangle(size, rank);
    }
    MPI_Type_contiguous(sizeof(struct link), MPI_BYTE, &type);
    MPI_Type_commit(&type);
    MPI_Gatherv(links + w->rank + 1, counts[w->rank], type, r->links, counts, places, type, 0,
                w->comm);
    MPI_Type_free(&type);
    MPI_Gather(visits, 2 * size, MPI_INT, r->visits, 2 * size, MPI_INT, 0, w->comm);
    free(places);
    free(counts);
}

static struct verdict run_variant(struct world *w, struct result *r)
{
    const size_t size = (size_t)w->size;
    struct link *links = world_alloc(w, size, sizeof *links);
    struct visits *visits = world_alloc(w, size, sizeof *visits);
    struct wrong wrong = { .place = UINT64_MAX };

    memset(links, 0, size * sizeof *links);
    memset(visits, 0, size * sizeof *visits);
    tournament(w, arg_is(r->variant, "alone"), links, visits, &wrong);
    gather(w, r, links, visits);
    const uint64_t missed = w->rank == 0 ? first_missed(r) : UINT64_MAX;
    if (w->rank == 0)
        tell(w, r);
    free(visits);
    free(links);
    return verdict_both(
        verify_places(w, wrong.place, "byte %" PRIu64 " of a message of %zu bytes from rank %d to "
                      "rank %d is wrong", wrong.place, wrong.bytes, wrong.from, w->rank),
        verify_places(w, missed, "ranks %d and %d met %d times instead of once", (int)(missed / size),
                      (int)(missed % size), missed < UINT64_MAX ? r->visits[missed].met : 0));
}

/* How much faster a pair is that is alone: the median of the pairs' own ratios. */
static void compare(struct world *w, const struct result *rounds, const struct result *alone)
{
    for (int size = LATENCY; size <= LARGE; size++) {
        size_t count = 0;
        struct summary ratio;
        for (int a = 0; a < w->size; a++)
            for (int b = a + 1; b < w->size; b++)
                if (right(rounds, a, b) && right(alone, a, b))
                    rounds->room[count++] = secs_of(rounds, a, b, size) / secs_of(alone, a, b, size);
        if (stats_summarize(rounds->room, count, &ratio) == 0)
            program_note(&w->program, "a message of %zu bytes takes %.2f times as long in a round "
                         "as alone (median of %zu links; p10 %.2f, p90 %.2f)",
                         size == LARGE ? opt.large_bytes : opt.bytes, ratio.median, count, ratio.p10,
                         ratio.p90);
    }
}

static struct result result_open(const struct world *w, const char *variant)
{
    const size_t size = w->rank == 0 ? (size_t)w->size : 0;

    return (struct result){
        .variant = variant,
        .size = w->size,
        .links = world_alloc(w, size * (size - 1) / 2, sizeof(struct link)),
        .visits = world_alloc(w, size * size, sizeof(struct visits)),
        .host = world_alloc(w, size, sizeof(struct host)),
        .host_of = world_alloc(w, size, sizeof(int)),
        .room = world_alloc(w, size * size, sizeof(double)),
    };
}

static void result_close(struct result *r)
{
    free(r->room);
    free(r->host_of);
    free(r->host);
    free(r->visits);
    free(r->links);
}

static enum status run(struct world *w)
{
    static const char *const variants[] = { "rounds", "alone" };
    const bool all = arg_is(opt.variant, "all");
    struct result results[2];
    struct verdict verdict = { .right = true };

    for (int i = 0; i < 2; i++) {
        results[i] = result_open(w, variants[i]);
        gather_hosts(w, &results[i]);
        if (all || arg_is(opt.variant, variants[i]))
            verdict = verdict_both(verdict, run_variant(w, &results[i]));
    }
    if (all && w->rank == 0)
        compare(w, &results[0], &results[1]);
    for (int i = 0; i < 2; i++)
        result_close(&results[i]);

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
