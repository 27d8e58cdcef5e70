/*
 * eager - from which size on does a standard send wait for the receiver?
 *
 * MPI_Send may return before the message is received: libraries send small messages at once
 * ("eager") into memory that the receiving side keeps ready, and ask first for large ones. A
 * program in which all ranks send first therefore works up to a size that nobody wrote down, and
 * hangs above it (see cycle). This program finds that size to the byte, and never hangs: it starts
 * a message by MPI_Isend while no receive is posted, and asks MPI_Test whether the send is
 * complete. --trips short messages go to the receiver and back meanwhile. They cannot overtake the
 * first, so what is not complete by then waits for a receive. Only now the receiver posts one, into
 * which every byte must arrive.
 *
 * The limit belongs to the transport: it is found for rank 0 and itself, the next rank on its own
 * node, and the first rank on another node (or for --partner alone).
 *
 * What can go wrong: to rely on the limit. The standard promises none (MPI 3.1, section 3.4), and
 * it differs with library, network and setting.
 *
 * Simulated: no, it has no MPI_T interface
 * Run:     make run P=eager N=2
 * Try:     cycle --fault send_first --bytes with the limit, and with one byte more
 * Try:     export OMPI_MCA_btl_vader_eager_limit=8192 (Open MPI): which row moves?
 * Test:    -n 2 --bytes 0:1M
 * Test:    -n 3 --partner 2 --bytes 0:100
 * Test:    -n 2 --bytes 1000
 * Test(1): -n 2 --fault corrupt
 * Test:    -n 2 --fault corrupt --bytes 0
 * Test(2): -n 2 --partner 2
 * Test(2): -n 2 --bytes 3G
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    struct range bytes;
    int partner;
    size_t trips, seed;
    const char *fault;
} opt = { { 0, 1 << 20 }, -1, 1, 0, NULL };

static const struct arg options[] = {
    { "bytes", ARG_RANGE, &opt.bytes, "the limit is looked for between these sizes" },
    { "partner", ARG_INT, &opt.partner, "only between rank 0 and this rank" },
    { "trips", ARG_SIZE, &opt.trips,
      "times that the receiver answers while a send may complete without a receive", .min = 1,
      .max = 1000 },
    { "seed", ARG_SIZE, &opt.seed, "other bytes" },
    { "fault", ARG_CHOICE, &opt.fault, "send a wrong byte", .choices = "corrupt" },
    ARGS_END,
};

enum { DATA = 0, CONTROL = 1 }; /* tags */

/* What the sender says on CONTROL instead of a size. */
enum { END = -1, ALIVE = -2 };

struct search {
    const struct world *world;
    int partner;
    unsigned char *out, *in;
    int probes;
    uint64_t wrong; /* on the receiver: the first wrong byte */
    bool monotone;
};

/* The receiver: told of a size, it posts the receive, which up to then was not there. */
static void receive(struct search *s, int bytes)
{
    memset(s->in, 0, (size_t)bytes);
    MPI_Recv(s->in, bytes, MPI_BYTE, 0, DATA, s->world->comm, MPI_STATUS_IGNORE);
    const uint64_t place = bytes_check(s->in, 0, (uint64_t)bytes, opt.seed);
    if (place < (uint64_t)bytes && place < s->wrong)
        s->wrong = place;
}

static void serve(struct search *s)
{
    int bytes;

    for (;;) {
        MPI_Recv(&bytes, 1, MPI_INT, 0, CONTROL, s->world->comm, MPI_STATUS_IGNORE);
        if (bytes == END)
            return;
        if (bytes == ALIVE)
            MPI_Send(NULL, 0, MPI_BYTE, 0, CONTROL, s->world->comm);
        else
            receive(s, bytes);
    }
}

/* A send that needs nothing of the receiver's program completes within a few calls. */
static bool is_complete(MPI_Request *request)
{
    enum { CALLS = 100 };
    int complete = 0;

    for (int call = 0; call < CALLS && !complete; call++)
        MPI_Test(request, &complete, MPI_STATUS_IGNORE);
    return complete;
}

/* The partner's library may have to take a message in before its send is complete: messages of one
 * rank are matched in order, so by its answer it has done so, however busy its core is. */
static void make_trip(const struct search *s)
{
    const int alive = ALIVE;

    if (s->partner == s->world->rank)
        return;
    MPI_Send(&alive, 1, MPI_INT, s->partner, CONTROL, s->world->comm);
    MPI_Recv(NULL, 0, MPI_BYTE, s->partner, CONTROL, s->world->comm, MPI_STATUS_IGNORE);
}

/* Whether a send of `bytes` completes with no receive posted. */
static bool completes_alone(struct search *s, int bytes)
{
    const MPI_Comm comm = s->world->comm;
    MPI_Request request;

    s->probes++;
    MPI_Isend(s->out, bytes, MPI_BYTE, s->partner, DATA, comm, &request);
    bool complete = is_complete(&request);
    for (size_t trip = 0; trip < opt.trips && !complete; trip++) {
        make_trip(s);
        complete = is_complete(&request);
    }

    if (s->partner == s->world->rank)
        receive(s, bytes);
    else
        MPI_Send(&bytes, 1, MPI_INT, s->partner, CONTROL, comm);
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    return complete;
}

/* The largest size that completes alone, by bisection; -1 where not even the least one does. */
static int64_t find_limit(struct search *s)
{
    int64_t passes = -1, waits = (int64_t)opt.bytes.to + 1; /* `waits` is not known to */

    completes_alone(s, 0); /* connections are made by the first message */
    if (completes_alone(s, (int)opt.bytes.from))
        passes = (int64_t)opt.bytes.from;
    else
        waits = (int64_t)opt.bytes.from;
    if (passes >= 0 && completes_alone(s, (int)opt.bytes.to))
        return (int64_t)opt.bytes.to;
    while (passes >= 0 && waits - passes > 1) {
        const int64_t middle = passes + (waits - passes) / 2;
        if (completes_alone(s, (int)middle))
            passes = middle;
        else
            waits = middle;
    }
    return passes;
}

/* Bisection found one edge. Below it every size must pass, and above it wait: looked at in powers
 * of two, and three times close to the edge. */
static bool is_monotone(struct search *s, int64_t limit)
{
    const int64_t from = (int64_t)opt.bytes.from, to = (int64_t)opt.bytes.to;
    bool same = true;

    for (int64_t bytes = from; bytes <= to; bytes = bytes > 0 ? 2 * bytes : 1)
        same = completes_alone(s, (int)bytes) == (bytes <= limit) && same;
    for (int again = 0; again < 3; again++) {
        if (limit >= from)
            same = completes_alone(s, (int)limit) && same;
        if (limit < to)
            same = !completes_alone(s, (int)(limit + 1 > from ? limit + 1 : from)) && same;
    }
    return same;
}

static const char *where_is(const struct world *w, int partner, const int *nodes)
{
    return partner == w->rank ? "itself" : nodes[partner] == w->node ? "same node" : "other node";
}

static void add_row(struct world *w, const struct search *s, const char *where, int64_t limit,
                    bool right)
{
    struct record row = w->program.record;

    record_int(&row, "partner", s->partner);
    record_text(&row, "where", where);
    if (limit >= 0)
        record_int(&row, "passes_up_to_bytes", limit);
    else
        record_null(&row, "passes_up_to_bytes");
    if (limit < (int64_t)opt.bytes.to)
        record_int(&row, "waits_from_bytes", limit >= 0 ? limit + 1 : (int64_t)opt.bytes.from);
    else
        record_null(&row, "waits_from_bytes");
    record_bool(&row, "sharp", s->monotone);
    record_int(&row, "probes", s->probes);
    record_bool(&row, "verified", right);
    program_row(&w->program, &row);
    if (!s->monotone)
        program_note(&w->program,
                     "rank %d: some sizes below that limit wait, or above it pass: it is "
                     "no sharp edge there",
                     s->partner);
}

static struct verdict look_at(struct world *w, int partner, const int *nodes)
{
    struct search s = { .world = w, .partner = partner, .wrong = UINT64_MAX };
    int64_t limit = -1;

    s.out = world_alloc(w, opt.bytes.to, 1);
    s.in = world_alloc(w, opt.bytes.to, 1);
    bytes_fill(s.out, 0, opt.bytes.to, opt.seed);
    if (arg_is(opt.fault, "corrupt") && opt.bytes.to > 0)
        s.out[opt.bytes.to - 1] ^= 1;
    if (w->rank == 0) {
        limit = find_limit(&s);
        s.monotone = is_monotone(&s, limit);
        if (partner != 0)
            MPI_Send(&(const int){ END }, 1, MPI_INT, partner, CONTROL, w->comm);
    } else if (w->rank == partner) {
        serve(&s);
    }
    world_rest(w);
    const struct verdict verdict = verify_places(w, s.wrong,
                                                 "rank %d: byte %" PRIu64 " of a message is "
                                                 "wrong",
                                                 w->rank, s.wrong);
    add_row(w, &s, where_is(w, partner, nodes), limit, verdict.right);
    free(s.in);
    free(s.out);
    return verdict;
}

/* The limits that the library tells of itself, by MPI_T: what was found may differ by headers. */
static void tell_parameters(struct world *w)
{
    int provided, count;

    MPI_T_init_thread(MPI_THREAD_SINGLE, &provided);
    MPI_T_cvar_get_num(&count);
    for (int i = 0; i < count; i++) {
        char name[128], text[8];
        int name_length = sizeof name, text_length = sizeof text, verbosity, bind, scope, elements;
        long long value = 0;
        MPI_Datatype type;
        MPI_T_enum values;
        MPI_T_cvar_handle handle;

        if (MPI_T_cvar_get_info(i, name, &name_length, &verbosity, &type, &values, text,
                                &text_length, &bind, &scope) ||
            !strstr(name, "eager_limit") || bind != MPI_T_BIND_NO_OBJECT ||
            MPI_T_cvar_handle_alloc(i, NULL, &handle, &elements))
            continue;
        if (elements == 1 && MPI_T_cvar_read(handle, &value) == MPI_SUCCESS)
            program_note(&w->program, "the library says: %s = %lld", name, value);
        MPI_T_cvar_handle_free(&handle);
    }
    MPI_T_finalize();
}

/* The first partner of each kind, or the one asked for: -1 ends the list. */
static void choose_partners(const struct world *w, const int *nodes, int partners[4])
{
    int count = 0, same = -1, other = -1;

    for (int rank = w->size - 1; rank > 0; rank--)
        *(nodes[rank] == nodes[0] ? &same : &other) = rank;
    if (opt.partner >= 0) {
        partners[count++] = opt.partner;
    } else {
        partners[count++] = 0;
        if (same > 0)
            partners[count++] = same;
        if (other > 0)
            partners[count++] = other;
    }
    partners[count] = -1;
}

static enum status run(struct world *w)
{
    struct verdict verdict = { .right = true };
    int *nodes = world_alloc(w, (size_t)w->size, sizeof *nodes);
    int partners[4], count = 0;

    MPI_Allgather(&w->node, 1, MPI_INT, nodes, 1, MPI_INT, w->comm);
    choose_partners(w, nodes, partners);
    if (w->rank == 0)
        tell_parameters(w);
    for (; partners[count] >= 0; count++)
        verdict = verdict_both(verdict, look_at(w, partners[count], nodes));
    free(nodes);
    program_fault(&w->program, opt.fault, verdict.right, "the messages have no byte");
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    return program_verdict(&w->program, true,
                           "%d partner%s of rank 0; every message arrived once its "
                           "receive was posted",
                           count, count == 1 ? "" : "s");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_SINGLE, 1, options);

    if (status == PASS && opt.partner >= w.size)
        status = world_usage(&w, "--partner %d: ranks are 0 to %d: choose one of them", opt.partner,
                             w.size - 1);
    if (status == PASS && opt.bytes.to > INT_MAX)
        status = world_usage(&w, "--bytes %zu: a count is an int: give at most %d", opt.bytes.to,
                             INT_MAX);
    if (status == PASS)
        status = run(&w);
    return world_close(&w, status);
}
