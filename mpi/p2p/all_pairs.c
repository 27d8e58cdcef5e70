/*
 * all_pairs - latency and bandwidth between every two ranks, and who is slow
 *
 * Every rank plays ping-pong with every other one, as in a tournament: in each round all ranks are in
 * disjoint pairs (with an odd number one rests), and after ranks - 1 rounds all have met. --bytes
 * gives the latency and --large-bytes the bandwidth of each link. Distances show: the same core,
 * socket, node, switch. The slowest links are named, and the slowest host: the one whose links to
 * others are slower than the links among the others.
 *
 * What can go wrong: the pairs of a round share cores, memory and network. --variant alone lets one
 * pair play at a time: the difference is what they take from each other.
 *
 * Ranks: 2
 * Run:     make run P=all_pairs N=4
 * Try:     on two nodes or more: --plot pairs.svg; which squares are light?
 * Try:     --variant alone: which links were disturbed by the others?
 * Test:    -n 4 --seconds 0.01 --variant alone
 * Test:    -n 7 --seconds 0.01 --bytes 0 --large-bytes 1
 * Test(1): -n 4 --seconds 0.01 --fault skip
 * Test(1): -n 3 --seconds 0.01 --fault corrupt
 * Test(2): -n 2 --large-bytes 3G
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
} opt = { 8, 1 << 20, .variant = "rounds",
          .timing = { .secs = 0.1, .iterations = 10000, .warmup = 1, .start = "barrier" } };

static struct plot plot = {
    .title = "Bandwidth between all pairs of ranks",
    .x = "from_name", .x_label = "rank and host", .y = "to_name", .y_label = "rank and host",
    .map = "large_bytes_per_s", .map_label = "MB/s (10^6 bytes), large messages",
};

static const struct arg options[] = {
    { "bytes", ARG_SIZE, &opt.bytes, "size of the message that gives the latency" },
    { "large-bytes", ARG_SIZE, &opt.large_bytes, "size of the message that gives the bandwidth" },
    { "variant", ARG_CHOICE, &opt.variant, "disjoint pairs at the same time, or one pair alone",
      .choices = "rounds|alone" },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "leave one pair out, or send a wrong byte",
      .choices = "skip|corrupt" },
    PAIR_ARGS(&opt.timing),
    PLOT_ARG(&plot),
    ARGS_END,
};

enum { HOST = 64, MATRIX_MAX = 16, LINKS_NAMED = 3 };

/* What the lower rank of a pair knows of it in the end; a row of numbers, to be gathered. */
struct link {
    struct timing latency;
    double large_secs;
    uint64_t meetings, wrong; /* the first wrong byte, or UINT64_MAX */
};

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

/* Each rank sends bytes of a row of its own, so that nobody can mistake whom it played with. */
static struct timing play(const struct pair *pair, size_t bytes, uint64_t *wrong)
{
    const struct world *w = pair->world;
    struct pingpong p = { pair, world_alloc(w, bytes, 1), world_alloc(w, bytes, 1), (int)bytes };

    bytes_fill(p.out, 0, bytes, opt.seed + (uint64_t)w->rank);
    memset(p.in, 0, bytes);
    if (arg_is(opt.fault, "corrupt") && w->rank == w->size - 1 && bytes > 0)
        p.out[bytes - 1] ^= 1;
    struct timing timing = pair_run(pair, &opt.timing, bytes, pingpong, &p);
    pair_scale(&timing, 0.5);
    const uint64_t place = bytes_check(p.in, 0, bytes, opt.seed + (uint64_t)pair->peer);
    if (place < bytes && place < *wrong)
        *wrong = place;
    free(p.in);
    free(p.out);
    return timing;
}

static double secs_of(const struct timing *timing)
{
    return timing->as ? timing->quoted : timing->summary.median;
}

static void meet(const struct world *w, int peer, struct link *links)
{
    const struct pair pair = { w, peer, w->rank < peer };
    struct link *link = &links[peer];

    link->meetings++;
    link->latency = play(&pair, opt.bytes, &link->wrong);
    const struct timing large = play(&pair, opt.large_bytes, &link->wrong);
    link->large_secs = secs_of(&large);
}

/*
 * The peer in a round of the tournament: rank `last` stays where it is and the others move round
 * it (the circle method). With an odd number of ranks the one who would meet `last` rests: -1.
 */
static int peer_in(int round, int rank, int size)
{
    const int last = size % 2 == 0 ? size - 1 : size, others = last;
    int peer = -1;

    if (rank == last) {
        for (int i = 0; i < others; i++)
            if ((2 * i) % others == round)
                peer = i;
    } else {
        peer = (round - rank + others) % others;
        if (peer == rank)
            peer = last < size ? last : -1;
    }
    return peer;
}

static bool skipped(int a, int b)
{
    return arg_is(opt.fault, "skip") && (a == 0 || b == 0) && (a == 1 || b == 1);
}

static void tournament(const struct world *w, struct link *links)
{
    const int rounds = w->size % 2 == 0 ? w->size - 1 : w->size;
    const bool alone = arg_is(opt.variant, "alone");

    for (int round = 0; round < rounds; round++) {
        const int mine = peer_in(round, w->rank, w->size);
        /* alone: the lower ranks of the round's pairs take their turns */
        for (int turn = 0; turn < (alone ? w->size : 1); turn++) {
            const int lower = mine < w->rank ? mine : w->rank;
            if (mine >= 0 && !skipped(w->rank, mine) && (!alone || lower == turn))
                meet(w, mine, links);
            if (!alone || peer_in(round, turn, w->size) > turn)
                world_rest(w);
        }
    }
}

/* ---- What rank 0 makes of it ---- */

struct result {
    int size;
    struct link *links;  /* [from * size + to], known for from < to */
    char (*hosts)[HOST]; /* of each rank */
};

static const struct link *link_of(const struct result *r, int a, int b)
{
    return &r->links[(a < b ? a : b) * r->size + (a < b ? b : a)];
}

static bool between_hosts(const struct result *r, int a, int b)
{
    return strcmp(r->hosts[a], r->hosts[b]) != 0;
}

static double rate(const struct link *link)
{
    return link->large_secs > 0 ? 1e-6 * (double)opt.large_bytes / link->large_secs : 0;
}

/* The median time of a large message on the links between hosts that touch `host`, or that do not;
 * 0 where there is none. */
static double median_secs(const struct result *r, const char *host, bool touching, double *room)
{
    struct summary summary;
    size_t count = 0;

    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            if (between_hosts(r, a, b) &&
                (strcmp(r->hosts[a], host) == 0 || strcmp(r->hosts[b], host) == 0) == touching)
                room[count++] = link_of(r, a, b)->large_secs;
    return stats_summarize(room, count, &summary) == 0 ? summary.median : 0;
}

/* A host is slow if its links take half as long again as those among the others, or longer. */
static void name_slow_host(struct world *w, const struct result *r, double *room)
{
    double worst = 1.5, its = 0, others = 0;
    const char *slowest = NULL;
    bool several = false;

    for (int rank = 0; rank < r->size; rank++) {
        several = several || between_hosts(r, 0, rank);
        const double touching = median_secs(r, r->hosts[rank], true, room);
        const double apart = median_secs(r, r->hosts[rank], false, room);
        if (apart > 0 && touching / apart > worst) {
            worst = touching / apart;
            slowest = r->hosts[rank];
            its = touching;
            others = apart;
        }
    }
    const double megabytes = 1e-6 * (double)opt.large_bytes;
    if (slowest)
        program_note(&w->program, "slowest host: %s: %.1f MB/s to the others, who have %.1f MB/s among "
                     "themselves", slowest, megabytes / its, megabytes / others);
    else if (!several)
        program_note(&w->program, "all ranks are on one host");
    else
        program_note(&w->program, "no host is clearly slower than the others");
}

static int by_large_secs(const void *a, const void *b)
{
    const struct link *x = *(const struct link *const *)a, *y = *(const struct link *const *)b;

    return (x->large_secs < y->large_secs) - (x->large_secs > y->large_secs);
}

static void name_slow_links(struct world *w, const struct result *r)
{
    const size_t all = (size_t)r->size * (size_t)(r->size - 1) / 2;
    const struct link **order = world_alloc(w, all, sizeof *order);
    size_t count = 0;

    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            order[count++] = link_of(r, a, b);
    qsort(order, count, sizeof *order, by_large_secs);
    for (size_t i = 0; i < count && i < LINKS_NAMED; i++) {
        const int a = (int)((order[i] - r->links) / r->size), b = (int)((order[i] - r->links) % r->size);
        program_note(&w->program, "slow link %zu: rank %d (%s) and rank %d (%s): %.1f MB/s, %.2f us",
                     i + 1, a, r->hosts[a], b, r->hosts[b], rate(order[i]),
                     1e6 * secs_of(&order[i]->latency));
    }
    free(order);
}

static void print_matrix(struct world *w, const struct result *r, bool latency)
{
    char line[16 * (MATRIX_MAX + 1)];

    program_note(&w->program, latency ? "half round trip of %zu bytes, us"
                                      : "large messages of %zu bytes, MB/s",
                 latency ? opt.bytes : opt.large_bytes);
    for (int a = -1; a < r->size; a++) {
        int length = a < 0 ? snprintf(line, sizeof line, "%8s", "rank")
                           : snprintf(line, sizeof line, "%8d", a);
        for (int b = 0; b < r->size; b++) {
            if (a < 0)
                length += snprintf(line + length, sizeof line - (size_t)length, " %8d", b);
            else if (a == b)
                length += snprintf(line + length, sizeof line - (size_t)length, " %8s", "-");
            else
                length += snprintf(line + length, sizeof line - (size_t)length, " %8.*f",
                                   latency ? 2 : 1, latency ? 1e6 * secs_of(&link_of(r, a, b)->latency)
                                                            : rate(link_of(r, a, b)));
        }
        program_note(&w->program, "%s", line);
    }
}

static struct record row_of(const struct world *w, const struct result *r, int from, int to)
{
    struct record row = w->program.record;
    const struct link *link = link_of(r, from, to);
    const bool right = from != to && link->meetings == 1 && link->wrong == UINT64_MAX;
    char name[HOST + 16];

    record_int(&row, "from", from);
    record_int(&row, "to", to);
    record_text(&row, "from_host", r->hosts[from]);
    record_text(&row, "to_host", r->hosts[to]);
    timing_fields(&row, &link->latency, opt.bytes, right);
    record_int(&row, "large_bytes", (int64_t)opt.large_bytes);
    record_real(&row, "large_s", right ? link->large_secs : NAN);
    record_real(&row, "large_bytes_per_s", right ? 1e6 * rate(link) : NAN);
    record_bool(&row, "verified", right);
    row.aside = true;
    record_text(&row, "variant", opt.variant);
    snprintf(name, sizeof name, "%d %s", from, r->hosts[from]);
    record_text(&row, "from_name", name);
    snprintf(name, sizeof name, "%d %s", to, r->hosts[to]);
    record_text(&row, "to_name", name);
    return row;
}

/* The whole square, row by row, so that the axes are in rank order; nobody meets itself. */
static void draw(struct world *w, const struct result *r)
{
    for (int from = 0; w->program.plot && from < r->size; from++) {
        for (int to = 0; to < r->size; to++) {
            const struct record row = row_of(w, r, from, to);
            plot_add(w->program.plot, &row);
        }
    }
}

static void tell(struct world *w, const struct result *r)
{
    double *room = world_alloc(w, (size_t)r->size * (size_t)r->size, sizeof *room);

    draw(w, r);
    for (int from = 0; from < r->size; from++) {
        for (int to = from + 1; to < r->size; to++) {
            const struct record row = row_of(w, r, from, to);
            program_row(&w->program, &row);
        }
    }
    if (r->size <= MATRIX_MAX) {
        print_matrix(w, r, true);
        print_matrix(w, r, false);
    }
    name_slow_host(w, r, room);
    name_slow_links(w, r);
    free(room);
}

/* Rank 0: the first pair that did not meet once, or whose bytes were wrong; else UINT64_MAX. */
static uint64_t first_wrong(const struct result *r)
{
    for (int a = 0; a < r->size; a++)
        for (int b = a + 1; b < r->size; b++)
            if (link_of(r, a, b)->meetings != 1 || link_of(r, a, b)->wrong != UINT64_MAX ||
                r->links[b * r->size + a].wrong != UINT64_MAX)
                return (uint64_t)(a * r->size + b);
    return UINT64_MAX;
}

static enum status run(struct world *w)
{
    const size_t size = (size_t)w->size, all = w->rank == 0 ? size : 0;
    struct link *mine = world_alloc(w, size, sizeof *mine);
    struct result r = { w->size, world_alloc(w, all * size, sizeof *r.links),
                        world_alloc(w, all, sizeof *r.hosts) };
    char host[HOST] = "";
    uint64_t wrong = UINT64_MAX;

    for (size_t i = 0; i < size; i++)
        mine[i] = (struct link){ .wrong = UINT64_MAX };
    tournament(w, mine);
    gethostname(host, sizeof host - 1);
    MPI_Gather(host, HOST, MPI_CHAR, r.hosts, HOST, MPI_CHAR, 0, w->comm);
    for (size_t i = 0; i < size; i++) {
        mine[i].latency.as = NULL; /* pointers, of no use elsewhere: rank 0 has its own */
        mine[i].latency.start = NULL;
    }
    MPI_Datatype row;
    MPI_Type_contiguous((int)(size * sizeof *mine), MPI_BYTE, &row);
    MPI_Type_commit(&row);
    MPI_Gather(mine, 1, row, r.links, 1, row, 0, w->comm);
    MPI_Type_free(&row);
    if (w->rank == 0) {
        for (size_t i = 0; i < size * size; i++)
            r.links[i].latency.as = opt.timing.as;
        wrong = first_wrong(&r);
        tell(w, &r);
    }
    const struct verdict verdict = verify_places(w, wrong, "ranks %d and %d did not meet once, or a byte "
                                                 "between them is wrong", (int)(wrong / size),
                                                 (int)(wrong % size));
    free(r.hosts);
    free(r.links);
    free(mine);
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true, "%zu pairs of %d ranks met once, every byte as it was sent",
                           size * (size - 1) / 2, w->size);
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
    if (status == PASS)
        status = world_agree(&w, program_plot(&w.program, &plot));
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
