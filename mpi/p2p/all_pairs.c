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

enum { HOST = 64, MATRIX_MAX = 16, LINKS_NAMED = 3, LATENCY = 0, LARGE = 1 };

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
};

struct result {
    const char *variant;
    int size, hosts;
    struct link *links;    /* of pairs, see link_of() */
    struct visits *visits; /* [rank * size + peer] */
    struct host *host;     /* hosts, in the order of their lowest ranks */
    int *host_of;          /* rank */
    const char *slowest;   /* the host with the least bandwidth, or NULL */
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
 * not suspected: so noise, which makes some links of each host slow, makes no host slow. Returns
 * the typical time.
 */
static double find_slow_hosts(struct result *r, int size)
{
    size_t count;

    find_fastest_links(r, size);
    for (int h = 0; h < r->hosts; h++)
        r->room[h] = r->host[h].fastest;
    qsort(r->room, (size_t)r->hosts, sizeof *r->room, by_number);
    const double typical_fastest = r->room[(r->hosts - 1) / 2];
    for (int h = 0; h < r->hosts; h++)
        r->host[h].slow = r->host[h].fastest >= clearly * typical_fastest;
    const double typical = median_of(r, size, trusted, 0, &count);
    for (int h = 0; h < r->hosts; h++)
        r->host[h].slow = r->host[h].slow && isfinite(r->host[h].fastest) &&
                          r->host[h].fastest >= clearly * typical;
    return typical;
}

/* The slow host whose links take longest; -1 if there is none. */
static int slowest_host(const struct result *r, int size, double *secs)
{
    int slowest = -1;
    size_t count;

    *secs = 0;
    for (int h = 0; h < r->hosts; h++) {
        const double its = r->host[h].slow ? median_of(r, size, touching, h, &count) : 0;
        if (its > *secs) {
            slowest = h;
            *secs = its;
        }
    }
    return slowest;
}

static void judge_hosts(struct world *w, struct result *r, int size)
{
    const double typical = find_slow_hosts(r, size);
    double secs;

    for (int h = slowest_host(r, size, &secs), first = true; h >= 0;
         r->host[h].slow = false, h = slowest_host(r, size, &secs), first = false) {
        if (size == LARGE)
            program_note(&w->program, "%s: %s: its links to others have %.1f MB/s, links between "
                         "the others %.1f MB/s", first ? "slowest host" : "also slow",
                         r->host[h].name, 1e-6 * rate(secs), 1e-6 * rate(typical));
        else
            program_note(&w->program, "%s: %s: its links to others take %.1f us for %zu bytes, "
                         "links between the others %.1f us",
                         first ? "slowest host by latency" : "also slow", r->host[h].name,
                         1e6 * secs, opt.bytes, 1e6 * typical);
    }
}
