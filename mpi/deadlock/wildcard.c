/*
 * wildcard - a receive from any rank takes the message that was meant for the next receive
 *
 * In each of --rounds rounds rank 0 asks all other ranks for a result, and one of them, another one
 * each round, for an answer as well. It takes the results as they come, by MPI_ANY_SOURCE, and then
 * the answer from the rank that it asked. If nothing but the order of the receives tells the two
 * apart, a wildcard receive may take the answer: then a result is left over, and rank 0 waits for
 * an answer that it already has. It depends on who is quick, so such a program works for years.
 *
 * The right ways, each checked: every message is taken by the receive it was meant for.
 *   tags    results and answers have different tags; the wildcard is for the source alone
 *   comm    answers travel on a communicator of their own, as a library's messages should
 *   mprobe  MPI_Mprobe finds any message, the status tells what it is, and MPI_Mrecv takes just
 *           that one
 *
 * The mistake is to have one tag and one communicator. --fault race leaves it to chance whether an
 * answer comes before another rank's result, and says so if none does. --fault steal forces that
 * order on any machine: the rank with the answer lets the others send their results only when its
 * answer has been taken; always a deadlock, status 3. It takes three ranks: messages from one rank
 * do not overtake each other.
 *
 * Run:     make run P=wildcard N=4 ARGS="--rounds 1 --show"
 * Try:     --fault steal: what did rank 0 take, and what does it wait for?
 * Try:     --fault race --rounds 1, some times: how often does it strike? And in 20 rounds?
 * Test:    -n 1
 * Test:    -n 3 --rounds 1 --show
 * Test:    -n 2 --rounds 0
 * Test:    -n 4 --rounds 1000 --variant mprobe
 * Test:    -n 2 --fault race
 * Test(1): -n 2 --fault corrupt
 * Test(3): -n 3 --fault steal --limit 0.3
 * Test(3): -n 5 --fault steal --limit 0.3
 * Test(77): -n 2 --fault steal
 * Test(2): -n 2 --variant tag
 * Test(2): -n 3 --fault steal --limit 0
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "local/lib/data.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/verify.h"
#include "mpi/lib/world.h"

static struct {
    size_t rounds, seed;
    const char *variant, *fault;
    double limit;
    bool show;
} opt = { .rounds = 20, .variant = "all", .limit = 2 };

static const struct arg options[] = {
    { "rounds", ARG_SIZE, &opt.rounds, "how often rank 0 asks", .max = 1 << 20 },
    { "variant", ARG_CHOICE, &opt.variant, "what tells results from answers",
      .choices = "tags|comm|mprobe|all" },
    { "fault", ARG_CHOICE, &opt.fault,
      "nothing tells them apart: by force, or by chance; or a wrong answer",
      .choices = "steal|race|corrupt" },
    { "limit", ARG_SECS, &opt.limit, "after which a deadlock ends with status 3" },
    { "seed", ARG_SIZE, &opt.seed, "other results and answers" },
    { "show", ARG_FLAG, &opt.show, "print what each receive took in the last round" },
    ARGS_END,
};

/* Tags. Without a way to tell them apart, answers have the tag of results. */
enum { RESULT = 1, ANSWER = 2, QUESTION = 3, PERMISSION = 4 };

struct question {
    int64_t round;
    int64_t expert; /* the rank that shall send an answer as well */
};

/* What a receive of rank 0 got. */
struct taken {
    int from, kind; /* RESULT or ANSWER: what the receive was meant for */
    uint64_t value;
};

struct wildcard {
    struct world *world;
    MPI_Comm results, answers; /* the same communicator, except in variant comm */
    int answer_tag;
    bool forced;               /* --fault steal */
    struct question question;
    /* On rank 0: */
    struct taken *taken;       /* in the order taken: one from each rank, and the answer */
    uint64_t wrong;            /* the first round in which one was not what it should be */
    char what[96];             /* and which */
    struct stall stall;        /* started for a fault only */
};

/* Every message of the run has a place, so that nothing can pass for something else. */
static uint64_t value_of(const struct wildcard *c, int rank, int kind)
{
    const uint64_t round = (uint64_t)c->question.round, size = (uint64_t)c->world->size;

    return element((round * size + (uint64_t)rank) * 2 + (kind == ANSWER), opt.seed);
}

/* ---- The other ranks ---- */

static void send(struct wildcard *c, int kind, int tag, MPI_Comm comm)
{
    uint64_t value = value_of(c, c->world->rank, kind);

    if (arg_is(opt.fault, "corrupt") && kind == ANSWER)
        value ^= 1;
    if (c->forced && c->world->rank == c->question.expert) {
        stall_enter(&c->stall, "MPI_Ssend", 0, tag);
        MPI_Ssend(&value, 1, MPI_UINT64_T, 0, tag, comm);
    } else {
        stall_enter(&c->stall, "MPI_Send", 0, tag);
        MPI_Send(&value, 1, MPI_UINT64_T, 0, tag, comm);
    }
    stall_leave(&c->stall);
}

/* Steal: MPI_Ssend returns when its message has been taken. So the expert knows that rank 0 has its
 * result and its answer, both by wildcards, before any other rank may send. */
static void await_permission(struct wildcard *c)
{
    const int expert = (int)c->question.expert;

    if (!c->forced || c->world->rank == expert)
        return;
    stall_enter(&c->stall, "MPI_Recv", expert, PERMISSION);
    MPI_Recv(NULL, 0, MPI_BYTE, expert, PERMISSION, c->world->comm, MPI_STATUS_IGNORE);
    stall_leave(&c->stall);
}

static void give_permission(struct wildcard *c)
{
    for (int rank = 1; c->forced && rank < c->world->size; rank++)
        if (rank != c->world->rank)
            MPI_Send(NULL, 0, MPI_BYTE, rank, PERMISSION, c->world->comm);
}

static void serve(struct wildcard *c)
{
    stall_enter(&c->stall, "MPI_Recv", 0, QUESTION);
    MPI_Recv(&c->question, 2, MPI_INT64_T, 0, QUESTION, c->world->comm, MPI_STATUS_IGNORE);
    stall_leave(&c->stall);
    await_permission(c);
    send(c, RESULT, RESULT, c->results);
    if (c->world->rank == c->question.expert) {
        send(c, ANSWER, c->answer_tag, c->answers);
        give_permission(c);
    }
}

/* ---- Rank 0 ---- */

static void receive(struct wildcard *c, struct taken *taken, int from, int tag, MPI_Comm comm)
{
    MPI_Status status;

    stall_enter(&c->stall, "MPI_Recv", from, tag);
    MPI_Recv(&taken->value, 1, MPI_UINT64_T, from, tag, comm, &status);
    stall_leave(&c->stall);
    taken->from = status.MPI_SOURCE;
}

/* What a program that trusts its receives would never find out. */
static void tell_theft(struct wildcard *c)
{
    for (int i = 0; i < c->world->size - 1; i++)
        if (c->taken[i].value == value_of(c, c->taken[i].from, ANSWER))
            program_note(&c->world->program, "round %" PRId64 ": receive %d, from any rank, took "
                         "the answer of rank %d", c->question.round, i + 1, c->taken[i].from);
}

/* All results, then the answer: right if nothing but a result can match the wildcard. */
static void take_in_order(struct wildcard *c)
{
    const int others = c->world->size - 1;

    for (int i = 0; i < others; i++) {
        c->taken[i].kind = RESULT;
        receive(c, &c->taken[i], MPI_ANY_SOURCE, RESULT, c->results);
    }
    tell_theft(c);
    c->taken[others].kind = ANSWER;
    receive(c, &c->taken[others], (int)c->question.expert, c->answer_tag, c->answers);
}

/* Whatever comes, looked at before it is taken. The message that was found cannot be taken by
 * another receive, not even by that of another thread, as it could after MPI_Probe. */
static void take_as_found(struct wildcard *c)
{
    MPI_Message message;
    MPI_Status status;

    for (int i = 0; i < c->world->size; i++) {
        MPI_Mprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, c->results, &message, &status);
        c->taken[i].from = status.MPI_SOURCE;
        c->taken[i].kind = status.MPI_TAG;
        MPI_Mrecv(&c->taken[i].value, 1, MPI_UINT64_T, &message, MPI_STATUS_IGNORE);
    }
}

/* One from each rank and the answer, each in the receive that was meant for it. */
static void check_round(struct wildcard *c, int *results_of)
{
    const int size = c->world->size;
    int answers = 0;

    memset(results_of, 0, (size_t)size * sizeof *results_of);
    for (int i = 0; i < size && c->wrong == UINT64_MAX; i++) {
        const struct taken *taken = &c->taken[i];
        const bool asked = taken->kind == RESULT || taken->from == c->question.expert;
        const bool first = taken->kind == RESULT ? results_of[taken->from]++ == 0 : answers++ == 0;
        if (asked && first && taken->value == value_of(c, taken->from, taken->kind))
            continue;
        c->wrong = (uint64_t)c->question.round;
        snprintf(c->what, sizeof c->what, "receive %d took %" PRIu64 " from rank %d: not %s", i + 1,
                 taken->value, taken->from, taken->kind == RESULT ? "its result" : "the answer");
    }
}

static void ask(struct wildcard *c, void (*take)(struct wildcard *c), int *results_of)
{
    for (int rank = 1; rank < c->world->size; rank++)
        MPI_Send(&c->question, 2, MPI_INT64_T, rank, QUESTION, c->world->comm);
    take(c);
    check_round(c, results_of);
}

static void show(const struct wildcard *c, const char *name)
{
    for (int i = 0; i < c->world->size && c->world->rank == 0; i++)
        fprintf(program_text(&c->world->program), "%s, receive %d: the %s of rank %d\n", name,
                i + 1, c->taken[i].kind == RESULT ? "result" : "answer", c->taken[i].from);
}

/* ---- Runs ---- */

static const struct way {
    const char *name, *safe;
    int answer_tag;
    bool own_comm;
    void (*take)(struct wildcard *c);
} ways[] = {
    { "tags", "by the standard", ANSWER, false, take_in_order },
    { "comm", "by the standard", RESULT, true, take_in_order },
    { "mprobe", "by the standard", ANSWER, false, take_as_found },
};

static const struct way mistake = { "none", "only by chance", RESULT, false, take_in_order };

static struct verdict run_way(struct world *w, const struct way *way)
{
    const size_t size = (size_t)w->size;
    const size_t rounds = size > 1 ? opt.rounds : 0;
    struct wildcard c = { .world = w, .answer_tag = way->answer_tag, .wrong = UINT64_MAX,
                          .forced = arg_is(opt.fault, "steal") };
    struct record row = w->program.record;

    MPI_Comm_dup(w->comm, &c.results);
    c.answers = c.results;
    if (way->own_comm)
        MPI_Comm_dup(w->comm, &c.answers);
    c.taken = world_alloc(w, size, sizeof *c.taken);
    int *results_of = world_alloc(w, size, sizeof *results_of);
    if (way == &mistake && stall_start(&c.stall, w, opt.limit))
        world_abort(w, UNABLE, "the limit cannot be watched: %s: leave out --fault",
                    strerror(errno));
    for (size_t round = 0; round < rounds; round++) {
        c.question = (struct question){ (int64_t)round, (int64_t)(1 + round % (size - 1)) };
        if (w->rank == 0)
            ask(&c, way->take, results_of);
        else
            serve(&c);
    }
    stall_stop(&c.stall);
    if (opt.show && rounds > 0)
        show(&c, way->name);
    const struct verdict verdict =
        verify_places(w, c.wrong, "%s, round %" PRIu64 ": %s", way->name, c.wrong, c.what);
    record_text(&row, "variant", way->name);
    record_text(&row, "safe", way->safe);
    record_int(&row, "rounds", (int64_t)rounds);
    record_int(&row, "messages_taken", (int64_t)(rounds * size));
    record_bool(&row, "verified", verdict.right);
    program_row(&w->program, &row);
    free(results_of);
    free(c.taken);
    if (way->own_comm)
        MPI_Comm_free(&c.answers);
    MPI_Comm_free(&c.results);
    return verdict;
}

static enum status run_ways(struct world *w)
{
    struct verdict verdict = { .right = true };
    int run = 0;

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!arg_is(opt.variant, "all") && !arg_is(opt.variant, ways[i].name))
            continue;
        verdict = verdict_both(verdict, run_way(w, &ways[i]));
        run++;
    }
    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    program_fault(&w->program, opt.fault, true, "no message was sent");
    if (w->size == 1)
        return program_verdict(&w->program, true, "1 rank: nobody to ask, no message was sent");
    return program_verdict(&w->program, true, "%zu round%s in %d way%s: every message taken by the "
                           "receive it was meant for", opt.rounds, opt.rounds == 1 ? "" : "s", run,
                           run == 1 ? "" : "s");
}

/* It ends in stall's report and status 3, or by luck every answer came last. */
static enum status run_mistake(struct world *w)
{
    const struct verdict verdict = run_way(w, &mistake);

    if (!verdict.right)
        return program_verdict(&w->program, false, "%s", verdict.wrong);
    program_fault(&w->program, opt.fault, true,
                  w->size < 3 ? "messages from one rank do not overtake each other"
                              : "no answer came before another rank's result");
    return program_verdict(&w->program, true, "every message was taken by its receive");
}

int main(int argc, char **argv)
{
    struct world w;
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);
    const bool forced = arg_is(opt.fault, "steal"), by_chance = arg_is(opt.fault, "race");

    if (status == PASS && !(opt.limit > 0))
        status = world_usage(&w, "--limit 0: no time to tell a stall: give more than 0");
    if (status == PASS && forced)
        status = world_needs(&w, 3);
    if (status == PASS)
        status = forced || by_chance ? run_mistake(&w) : run_ways(&w);
    return world_close(&w, status);
}
