/*
 * stall - who is stuck is told from who is slow, and a job that is stuck ends with 3
 *
 * Without options the verdict over a table of rows; with --pattern a job that stalls for real, or
 * seems to.
 *
 * Test:    -n 1
 * Test:    -n 3
 * Test(3): -n 1 --pattern ring
 * Test(3): -n 2 --pattern ring
 * Test(3): -n 3 --pattern ring
 * Test(3): -n 5 --pattern ring
 * Test(3): -n 8 --pattern ring
 * Test(3): -n 2 --pattern finish
 * Test(3): -n 3 --pattern finish
 * Test(3): -n 3 --pattern finish --root 1
 * Test(3): -n 2 --pattern skip
 * Test(3): -n 3 --pattern skip
 * Test(3): -n 3 --pattern skip --root 1
 * Test(3): -n 3 --pattern comms
 * Test(3): -n 3 --pattern any
 * Test(3): -n 4 --pattern part
 * Test(3): -n 2 --pattern hidden --limit 0.1
 * Test(3): -n 3 --pattern awake
 * Test:    -n 1 --pattern safe
 * Test:    -n 3 --pattern safe
 * Test:    -n 5 --pattern safe
 * Test:    -n 1 --pattern slow
 * Test:    -n 2 --pattern slow
 * Test:    -n 3 --pattern slow
 * Test:    -n 2 --pattern transfer
 * Test:    -n 3 --pattern collective
 * Test:    -n 3 --pattern mpilens
 * Test:    -n 1 --pattern refused
 * Test:    -n 3 --pattern refused
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "local/lib/clock.h"
#include "mpi/lib/stall.h"
#include "mpi/lib/stall_lines.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

enum { MOST = 8 };

static struct world w;
static struct stall stall;
static struct {
    const char *pattern;
    double limit;
    int root;
} opt = { .limit = 0.3 };

static const struct arg options[] = {
    { "pattern", ARG_CHOICE, &opt.pattern, "what the ranks do",
      .choices = "ring|finish|skip|comms|any|part|hidden|awake|safe|slow|transfer|collective|"
                 "mpilens|refused" },
    { "limit", ARG_SECS, &opt.limit, "what a call may last" },
    { "root", ARG_INT, &opt.root, "the rank that does not play along" },
    ARGS_END,
};

/* ---- The verdict ---- */

/*
 * A row in short: computing "C", finished "F", gone "G", silent "Z", or letters and peers of a
 * call: S send, R receive, W both, B barrier; peer a digit, * any source, - nobody, none: all
 * (for a barrier the digit is its communicator); a tag t7. The limit is 1 s, the row lasts for 2;
 * 0.5 if it ends in "!", 20 if in "+".
 */
static struct stall_row row_of(const char *text)
{
    static const char letters[] = "SRWB";
    static const char *const calls[] = { "MPI_Ssend", "MPI_Recv", "MPI_Waitall", "MPI_Barrier" };
    struct stall_row row = { .step = 2, .secs = 2, .host = "h1" };
    const char *c = text + 1;

    if (strchr(text, '!'))
        row.secs = 0.5;
    if (strchr(text, '+'))
        row.secs = 20;
    row.state = *text == 'F'   ? STALL_FINISHED
                : *text == 'G' ? STALL_GONE
                : *text == 'Z' ? STALL_SILENT
                : *text == 'C' ? STALL_COMPUTING
                               : STALL_CALLING;
    if (row.state != STALL_CALLING)
        return row;
    snprintf(row.call, sizeof row.call, "%s", calls[strchr(letters, *text) - letters]);
    if (*text == 'B') {
        row.peers[0] = STALL_ALL;
        row.tags[0] = *c >= '0' && *c <= '9' ? *c - '0' : -1;
        row.waits = 1;
        return row;
    }
    for (; *c && strchr("0123456789*-t", *c); c++) {
        if (*c == 't') {
            c++;
            row.tags[row.waits - 1] = *c == '*' ? MPI_ANY_TAG : *c - '0';
            continue;
        }
        row.peers[row.waits++] = *c == '*' ? MPI_ANY_SOURCE : *c == '-' ? MPI_PROC_NULL : *c - '0';
    }
    return row;
}

/* "" if not stalled, else the cycle with its first rank again at the end, or the chain. */
static void verdict_text(const struct stall_verdict *v, char *text)
{
    *text = '\0';
    if (v->overdue >= 0)
        text += sprintf(text, "overdue %d", v->overdue);
    for (int i = 0; i < v->path_length; i++)
        text += sprintf(text, "%s%d", i > 0 ? " " : "", v->path[i]);
    if (v->cycle)
        sprintf(text, " %d", v->path[0]);
}

static void verdicts(void **state)
{
    static const struct {
        const char *ranks[MOST + 1], *expected;
        int stuck;
    } rows[] = {
        { { "C" }, "", 0 },
        { { "F", "F" }, "", 0 },
        { { "C", "C", "F" }, "", 0 },
        { { "R0" }, "0 0", 1 }, /* self */
        { { "S0" }, "0 0", 1 },
        { { "W0" }, "", 0 },  /* both ends of it are here */
        { { "R*" }, "0", 1 }, /* one rank only: from whom? */
        { { "R-" }, "", 0 },
        { { "B" }, "", 0 },
        { { "R1", "R0" }, "0 1 0", 2 },
        { { "S1", "S0" }, "0 1 0", 2 },
        { { "R1", "S0" }, "", 0 }, /* one slow transfer */
        { { "R1t1", "S0t2" }, "0 1 0", 2 },
        { { "R1t*", "S0t2" }, "", 0 },
        { { "W1", "R0" }, "", 0 },
        { { "R1!", "R0" }, "", 0 }, /* limits not reached */
        { { "R1", "R0!" }, "", 0 },
        { { "R1!", "R0!" }, "", 0 },
        { { "R4", "R0", "R1", "R2", "R3" }, "0 4 3 2 1 0", 5 },
        { { "R1", "R2", "R3", "R4", "R0!" }, "", 0 },
        { { "R1", "R2", "F" }, "0 1 2", 2 },
        { { "R1", "R2", "G" }, "0 1 2", 2 },
        { { "R1", "R2", "F!" }, "", 0 }, /* what it sent may still be on its way */
        { { "R1", "R2", "C" }, "", 0 },
        { { "R1", "R2", "C+" }, "", 0 },
        { { "R1", "R2", "Z" }, "", 0 },
        { { "R1", "R2", "R-" }, "", 0 },
        { { "R1", "S2", "R1" }, "", 0 }, /* after the transfer rank 1 may send to 0 */
        { { "C", "R2", "R1" }, "1 2 1", 2 },
        { { "R*", "R*", "R*" }, "0 1 0", 3 },
        { { "R*", "R*", "C" }, "", 0 },
        { { "R*", "R*", "F" }, "0 1 0", 2 },
        { { "R*", "F", "F" }, "0 1", 1 },
        { { "R*", "S0", "F" }, "", 0 },
        { { "R*t1", "S0t2", "F" }, "0 1 0", 2 },
        { { "R*", "R0", "S1" }, "0 1 0", 3 },
        { { "R*", "W02", "F" }, "1 2", 1 }, /* one of two things that rank 1 waits for is well */
        { { "R*", "R0", "S0" }, "", 0 },
        { { "B", "B", "B" }, "", 0 }, /* slow */
        { { "B", "B", "C" }, "", 0 },
        { { "B", "B", "B!" }, "", 0 },
        { { "B", "B", "F" }, "0 2", 2 },
        { { "F", "B", "B" }, "1 0", 2 },
        { { "B0", "B1", "B1" }, "0 1 0", 3 },
        { { "B", "R0", "B" }, "0 1 0", 3 },
        { { "B", "R2", "F" }, "0 1 2", 2 }, /* one that is stuck is named before one that ended */
        { { "R1", "R0", "R3", "R2" }, "0 1 0", 4 },       /* two cycles: the lowest */
        { { "R3", "R2", "R1", "R4", "R3" }, "1 2 1", 5 }, /* rank 0 is in none */
        { { "R4", "R3", "C", "R1", "R0" }, "0 4 0", 4 },
        { { "R1", "R2", "R1", "F" }, "1 2 1", 3 },
        { { "W12", "R0", "C" }, "", 0 },
        { { "W12", "S0", "F" }, "0 2", 1 }, /* all are waited for; rank 1 is not in vain */
        { { "W21", "R0", "F" }, "0 2", 1 },
        { { "W*2", "C", "F" }, "0 2", 1 },
        { { "W12", "W02", "W01" }, "", 0 },
        { { "R1", "W*" }, "0 1 0", 2 }, /* any source: it can only be a receive */
        { { "R1+", "C" }, "overdue 0", 0 },
        { { "C", "Z+" }, "overdue 1", 0 },
        { { "B+", "B+" }, "overdue 0", 0 },
        { { "C+", "F+" }, "", 0 },
        { { "R9", "R9+" }, "overdue 1", 0 }, /* no such rank: known to nobody but MPI */
    };
    (void)state;

    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct stall_row ranks[MOST];
        struct stall_verdict v;
        char text[64];
        int count = 0;

        for (; rows[i].ranks[count]; count++)
            ranks[count] = row_of(rows[i].ranks[count]);
        assert_int_equal(stall_judge(ranks, count, 1, &v), 0);
        verdict_text(&v, text);
        if (strcmp(text, rows[i].expected) != 0 || v.stuck_count != rows[i].stuck)
            fail_msg("row %zu (%s %s ...): \"%s\", %d stuck; expected \"%s\", %d", i,
                     rows[i].ranks[0], count > 1 ? rows[i].ranks[1] : "", text, v.stuck_count,
                     rows[i].expected, rows[i].stuck);
        assert_int_equal(v.stalled, *text != '\0');
        stall_verdict_free(&v);
    }
}

static void described(const char *const *texts, const char *expected)
{
    struct stall_row rows[MOST];
    struct stall_verdict v;
    char *text;
    size_t length;
    int count = 0;

    for (; texts[count]; count++)
        rows[count] = row_of(texts[count]);
    assert_int_equal(stall_judge(rows, count, 1, &v), 0);
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    stall_describe(out, rows, count, 1, &v);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
    stall_verdict_free(&v);
}

static void descriptions(void **state)
{
    (void)state;
    described((const char *const[]){ "R1t*", "S2t4", "W0*", NULL },
              "stalled: no rank can go on (limit 1 s)\n"
              "rank 0 (h1): in MPI_Recv from rank 1, any tag, for 2.0 s\n"
              "rank 1 (h1): in MPI_Ssend to rank 2, tag 4, for 2.0 s\n"
              "rank 2 (h1): in MPI_Waitall with rank 0, tag 0 and from any rank, tag 0, for 2.0 s\n"
              "cycle: rank 0 waits for rank 1 waits for rank 2 waits for rank 0\n");
    described((const char *const[]){ "B", "B1", "F", "C", "G", NULL },
              "stalled: 2 of 5 ranks cannot go on (limit 1 s)\n"
              "rank 0 (h1): in MPI_Barrier with all ranks, for 2.0 s\n"
              "rank 1 (h1): in MPI_Barrier with all ranks, communicator 1, for 2.0 s\n"
              "rank 2 (h1): finished 2.0 s ago\n"
              "rank 3 (h1): computing, for 2.0 s\n"
              "rank 4 (h1): its process ended 2.0 s ago\n"
              "cycle: rank 0 waits for rank 1 waits for rank 0\n");
    described((const char *const[]){ "R1", "F", NULL },
              "stalled: no rank can go on (limit 1 s)\n"
              "rank 0 (h1): in MPI_Recv from rank 1, tag 0, for 2.0 s\n"
              "rank 1 (h1): finished 2.0 s ago\n"
              "no cycle: rank 0 waits for rank 1, which has finished\n");
    described((const char *const[]){ "R*", NULL },
              "stalled: no rank can go on (limit 1 s)\n"
              "rank 0 (h1): in MPI_Recv from any rank, tag 0, for 2.0 s\n"
              "no cycle: rank 0 waits, and no other rank is left\n");
    described((const char *const[]){ "R1+", "Z", NULL },
              "stalled: rank 0 has been so for more than 10 times the limit (limit 1 s)\n"
              "rank 0 (h1): in MPI_Recv from rank 1, tag 0, for 20.0 s\n"
              "rank 1 (h1): no answer for 2.0 s\n");
}

/* A long chain and a large ring, in the order that takes most rounds: ends, and soon. */
static void many_ranks(void **state)
{
    enum { RANKS = 1000 };
    struct stall_row *rows = calloc(RANKS, sizeof *rows);
    struct stall_verdict v;
    (void)state;

    assert_non_null(rows);
    for (int ring = 0; ring < 2; ring++) {
        for (int rank = 0; rank < RANKS; rank++) {
            rows[rank] = row_of("R0");
            rows[rank].peers[0] = (rank + 1) % RANKS;
        }
        if (!ring)
            rows[RANKS - 1] = row_of("C");
        assert_int_equal(stall_judge(rows, RANKS, 1, &v), 0);
        assert_int_equal(v.stuck_count, ring * RANKS);
        assert_int_equal(v.path_length, ring * RANKS);
        stall_verdict_free(&v);
    }
    free(rows);
}

/* Before the start, and after the stop, nothing happens. */
static void not_started(void **state)
{
    struct stall none = { 0 };
    (void)state;

    stall_enter(&none, "MPI_Recv", 0, 0);
    stall_also(&none, 0, 0);
    stall_leave(&none);
    stall_stop(&none);
}

/* The watchdogs read while the main thread writes as fast as it can: for tsan. */
static void busy_writer(void **state)
{
    struct stall busy = { 0 };
    (void)state;

    assert_int_equal(stall_start(&busy, &w, 0.04), 0);
    assert_non_null(busy.job);
    const int64_t begin = clock_ns();
    while (clock_secs(begin, clock_ns()) < 0.3) {
        stall_enter(&busy, "MPI_Recv", w.rank, 0);
        for (int i = 0; i < 2 * STALL_PEERS; i++)
            stall_also(&busy, i, i);
        stall_leave(&busy);
    }
    stall_stop(&busy);
    assert_null(busy.job);
}

/* ---- Jobs ---- */

static void compute(double secs)
{
    const int64_t begin = clock_ns();

    while (clock_secs(begin, clock_ns()) < secs)
        poll(NULL, 0, 1);
}

static void receive(int from)
{
    int value;

    stall_enter(&stall, "MPI_Recv", from, 0);
    MPI_Recv(&value, 1, MPI_INT, from, 0, w.comm, MPI_STATUS_IGNORE);
    stall_leave(&stall);
}

static void send_to(int to)
{
    stall_enter(&stall, "MPI_Ssend", to, 0);
    MPI_Ssend(&to, 1, MPI_INT, to, 0, w.comm);
    stall_leave(&stall);
}

static void barrier(MPI_Comm comm, int number)
{
    stall_enter(&stall, "MPI_Barrier", STALL_ALL, number);
    MPI_Barrier(comm);
    stall_leave(&stall);
}

static void ring(void)
{
    receive((w.rank + 1) % w.size);
}

/* The root finishes, the others wait for it. */
static void finish(void)
{
    if (w.rank != opt.root)
        receive(opt.root);
}

static void skip_one(void)
{
    barrier(w.comm, -1);
    if (w.rank != opt.root)
        barrier(w.comm, -1);
}

static void comms(void)
{
    MPI_Comm both[2];

    MPI_Comm_dup(w.comm, &both[0]);
    MPI_Comm_dup(w.comm, &both[1]);
    barrier(both[w.rank > 0], w.rank > 0);
    barrier(both[w.rank == 0], w.rank == 0);
}

static void any(void)
{
    receive(MPI_ANY_SOURCE);
}

/* Ranks 0 and 1 are stuck, the others never end, and know of nothing. */
static void part(void)
{
    if (w.rank < 2)
        receive(1 - w.rank);
    compute(3600);
}

/* Rank 1 waits in a call that it does not announce. */
static void hidden(void)
{
    int value;

    if (w.rank == 0)
        receive(1);
    MPI_Recv(&value, 1, MPI_INT, 0, 0, w.comm, MPI_STATUS_IGNORE);
}

/* Round after round as it should be, for longer than the limit. */
/* Each rank holds a lock while it lives. A main thread that sees that another rank has ended says
 * so: all of them must have stopped before that. */
static void awake(void)
{
    char name[] = "/tmp/lockstep-stall.XXXXXX";
    int file = w.rank == 0 ? mkstemp(name) : -1;
    struct flock mine = { .l_type = F_WRLCK, .l_start = w.rank, .l_len = 1 };

    MPI_Bcast(name, sizeof name, MPI_CHAR, 0, w.comm);
    if (w.rank > 0)
        file = open(name, O_RDWR);
    if (file < 0 || fcntl(file, F_SETLK, &mine))
        world_abort(&w, UNABLE, "%s: %s", name, strerror(errno));
    MPI_Barrier(w.comm);
    if (w.rank == 0)
        unlink(name);
    stall_enter(&stall, "MPI_Recv", (w.rank + 1) % w.size, 0);
    for (int rank = 0;; rank = (rank + 1) % w.size) {
        struct flock other = { .l_type = F_WRLCK, .l_start = rank, .l_len = 1 };
        fcntl(file, F_GETLK, &other); /* asks nothing of the own lock */
        if (rank != w.rank && other.l_type == F_UNLCK) {
            fprintf(stderr, "rank %d ran on when rank %d had ended\n", w.rank, rank);
            _exit(14);
        }
        poll(NULL, 0, rank == 0);
    }
}

static void safe(void)
{
    const int to = (w.rank + 1) % w.size, from = (w.rank + w.size - 1) % w.size;
    int value;

    for (int i = 0; i < 20; i++) {
        stall_enter(&stall, "MPI_Sendrecv", to, 0);
        stall_also(&stall, from, 0);
        MPI_Sendrecv(&i, 1, MPI_INT, to, 0, &value, 1, MPI_INT, from, 0, w.comm, MPI_STATUS_IGNORE);
        stall_leave(&stall);
        compute(opt.limit / 10);
        barrier(w.comm, -1);
    }
}

/* Each rank waits for the one before it, and rank 0 computes for three limits. */
static void slow(void)
{
    if (w.rank == 0)
        compute(3 * opt.limit);
    else
        receive(w.rank - 1);
    if (w.rank + 1 < w.size)
        send_to(w.rank + 1);
}

/* Both ends are announced, but the transfer takes three limits. */
static void transfer(void)
{
    stall_enter(&stall, w.rank ? "MPI_Send" : "MPI_Recv", 1 - w.rank, 0);
    compute(3 * opt.limit);
    stall_leave(&stall);
}

static void collective(void)
{
    if (w.rank == w.size - 1)
        compute(3 * opt.limit);
    stall_enter(&stall, "MPI_Barrier", STALL_ALL, -1);
    compute(2 * opt.limit);
    MPI_Barrier(w.comm);
    stall_leave(&stall);
}

static void run(const char *pattern)
{
    static const struct {
        const char *name;
        void (*pattern)(void);
    } patterns[] = {
        { "ring", ring },
        { "finish", finish },
        { "skip", skip_one },
        { "comms", comms },
        { "any", any },
        { "part", part },
        { "hidden", hidden },
        { "awake", awake },
        { "safe", safe },
        { "slow", slow },
        { "transfer", transfer },
        { "collective", collective },
    };

    for (size_t i = 0; i < LENGTH(patterns); i++)
        if (strcmp(patterns[i].name, pattern) == 0)
            patterns[i].pattern();
}

/* Under mpilens nothing starts, and all goes as without. */
static bool stands_back(void)
{
    setenv("LOCKSTEP_MPILENS", "1", 1);
    if (stall_start(&stall, &w, opt.limit) || stall.job)
        return false;
    safe();
    stall_stop(&stall);
    return true;
}

static bool refused(void)
{
    errno = 0;
    return stall_start(&stall, &w, 0) == -1 && errno == EINVAL && !stall.job &&
           stall_start(&stall, &w, -1) == -1 && errno == EINVAL && !stall.job;
}

static enum status test_job(void)
{
    bool right = true;

    if (strcmp(opt.pattern, "mpilens") == 0) {
        right = stands_back();
    } else if (strcmp(opt.pattern, "refused") == 0) {
        right = refused();
    } else if (stall_start(&stall, &w, opt.limit)) {
        program_error("rank %d: stall_start: %s", w.rank, strerror(errno));
        return UNABLE;
    } else {
        printf("printed by rank %d before ", w.rank); /* and not flushed: no end of line */
        run(opt.pattern);
        printf("and after\n");
        stall_stop(&stall);
    }
    return right ? PASS : FAIL;
}

/* Where rank 0 listens, and that it takes nobody who does not know the token, nor waits. */
static void listener(void **state)
{
    (void)state;
    for (int one_node = 0; one_node < 2; one_node++) {
        struct lines_offer offer = { 0 };
        struct sockaddr_in at;
        socklen_t length = sizeof at;
        struct pollfd lines[] = { { .fd = -1 }, { .fd = -1 } };
        struct stall_row row[2];
        int fd = -1;

        assert_int_equal(lines_offer(&offer, 2, one_node, &fd), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
        assert_int_equal(ntohl(at.sin_addr.s_addr), one_node ? INADDR_LOOPBACK : INADDR_ANY);
        if (one_node)
            assert_int_equal(offer.count, 0);
        assert_int_equal(lines_accept(&offer, fd, 2, lines, row), 0);
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int stranger = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(stranger, (struct sockaddr *)&at, sizeof at), 0);
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(send(stranger, "0", 1, MSG_NOSIGNAL), 1);
        assert_int_equal(lines_accept(&offer, fd, 2, lines, row), 0);
        assert_int_equal(lines[1].fd, -1);
        close(stranger);
        close(fd);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(verdicts),    cmocka_unit_test(descriptions), cmocka_unit_test(many_ranks),
    cmocka_unit_test(not_started), cmocka_unit_test(busy_writer),  cmocka_unit_test(listener),
};

int main(int argc, char **argv)
{
    enum status status = world_open(&w, argc, argv, MPI_THREAD_FUNNELED, 1, options);

    if (status == PASS && opt.pattern)
        status = test_job();
    else if (status == PASS)
        status = cmocka_run_group_tests(tests, NULL, NULL) ? FAIL : PASS;
    return world_close(&w, status);
}
