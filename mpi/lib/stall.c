#include "mpi/lib/stall.h"
#include "local/lib/clock.h"
#include "mpi/lib/stall_lines.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define END_SECS 2.0 /* since a rank was last heard of at the end; for the launcher to kill */

enum { ROW_BYTES = offsetof(struct stall_row, host) };

/* What rank 0's watchdog says, one byte each. */
enum { ASK = 'a', BYE = 'b', STALL = 's', END = 'e' };

/* The step in the row of a rank whose main thread is stopped: the answer to STALL. */
static const uint64_t stopped_step = UINT64_MAX;

/*
 * The main thread's row, a sequence lock: `step` is odd while the main thread writes. It alone
 * writes; each field is stored with release after the odd step and loaded with acquire before the
 * step is looked at again, so whoever reads a new field sees that the step has changed.
 */
struct post {
    _Atomic uint64_t step;
    _Atomic int state, waits;
    _Atomic int64_t since_ns;
    const char *_Atomic call;
    _Atomic int peers[STALL_PEERS], tags[STALL_PEERS];
};

struct stall_job {
    MPI_Comm comm;
    int rank, size;
    double limit_secs;
    struct post post;
    int wake[2]; /* the main thread writes when it has finished, the watchdog reads */
    pthread_t main, watchdog;
    struct sigaction before; /* of the signal that stops the main thread */
    bool watched;        /* the thread exists */
    _Atomic int done;    /* the thread has nothing more to do: set by itself */
    struct pollfd *line; /* [0] is wake; then rank 0 has a line to each other rank at [rank], and
                            the others have one to rank 0 at [1]; fd -1: closed */
    /* Rank 0, after the start its watchdog alone: */
    struct stall_row *rows;
    int64_t *since_ns;    /* asked and not answered since, or gone since; 0: answered */
    uint64_t *stuck_step; /* of the ranks that were stuck when last looked at; 0 of the others */
};

/* What rank 0 tells the others at the start, by MPI. */
struct beginning {
    int error; /* errno */
    bool stand_back;
    double limit_secs;
    struct lines_offer offer;
};

/* ---- What the main thread writes down ---- */

static void post_begin(struct post *post)
{
    atomic_store_explicit(&post->step, post->step + 1, memory_order_relaxed);
}

static void post_end(struct post *post)
{
    atomic_store_explicit(&post->step, post->step + 1, memory_order_release);
}

static void store(_Atomic int *place, int value)
{
    atomic_store_explicit(place, value, memory_order_release);
}

static int load(_Atomic int *place)
{
    return atomic_load_explicit(place, memory_order_acquire);
}

static void post_state(struct post *post, enum stall_state state, const char *call, int waits)
{
    atomic_store_explicit(&post->since_ns, clock_ns(), memory_order_release);
    atomic_store_explicit(&post->call, call, memory_order_release);
    store(&post->state, (int)state);
    store(&post->waits, waits);
}

void stall_enter(struct stall *stall, const char *call, int peer, int tag)
{
    if (!stall->job)
        return;
    struct post *post = &stall->job->post;
    post_begin(post);
    store(&post->peers[0], peer);
    store(&post->tags[0], tag);
    post_state(post, STALL_CALLING, call, 1);
    post_end(post);
}

void stall_also(struct stall *stall, int peer, int tag)
{
    if (!stall->job)
        return;
    struct post *post = &stall->job->post;
    const int waits = load(&post->waits);
    if (waits == STALL_PEERS)
        return;
    post_begin(post);
    store(&post->peers[waits], peer);
    store(&post->tags[waits], tag);
    store(&post->waits, waits + 1);
    post_end(post);
}

static void post_now(struct post *post, enum stall_state state)
{
    post_begin(post);
    post_state(post, state, "", 0);
    post_end(post);
}

void stall_leave(struct stall *stall)
{
    if (stall->job)
        post_now(&stall->job->post, STALL_COMPUTING);
}

static void read_post(struct post *post, struct stall_row *row)
{
    for (;;) {
        row->step = atomic_load_explicit(&post->step, memory_order_acquire);
        row->state = (enum stall_state)load(&post->state);
        row->waits = load(&post->waits);
        const char *call = atomic_load_explicit(&post->call, memory_order_acquire);
        const int64_t since = atomic_load_explicit(&post->since_ns, memory_order_acquire);
        for (int i = 0; i < STALL_PEERS; i++) {
            row->peers[i] = load(&post->peers[i]);
            row->tags[i] = load(&post->tags[i]);
        }
        if (row->step % 2 == 0 &&
            row->step == atomic_load_explicit(&post->step, memory_order_relaxed)) {
            snprintf(row->call, sizeof row->call, "%s", call);
            row->secs = clock_secs(since, clock_ns());
            return;
        }
        sched_yield();
    }
}

/* ---- The end ---- */

static _Atomic int stopped; /* the main thread is in stop_here() */

static void stop_here(int signal)
{
    (void)signal;
    atomic_store(&stopped, true);
    for (;;)
        pause();
}

static void flush_stdout(void)
{
    if (ftrylockfile(stdout) == 0) {
        fflush(stdout);
        funlockfile(stdout);
    }
}

/*
 * The main thread is in the middle of MPI, and goes no further. Were it running when the first rank
 * ends, it would find a connection closed: Open MPI 5 ends the process for that, with a status of
 * its own. It may hold locks for ever now, those of malloc() among them.
 */
static void stop_main(struct stall_job *job)
{
    const int64_t until = clock_ns() + (int64_t)(END_SECS * 1e9);

    flush_stdout(); /* what was printed before is not lost */
    if (pthread_kill(job->main, SIGRTMAX))
        return;
    while (!atomic_load(&stopped) && clock_ns() < until)
        poll(NULL, 0, 1);
}

/* Under Hydra the first rank that ends without having finalised PMI gets the others killed, and
 * the job's status is that signal; so rank 0 says first what MPI_Abort would, and the others wait
 * for their end. Not for srun, which would kill as well, but takes the ranks' own status. */
static bool is_hydra(void)
{
    return getenv("PMI_FD") && getenv("HYDI_CONTROL_FD");
}

static _Noreturn void end_rank(bool speaks)
{
    const char abort_line[] = "cmd=abort exitcode=3\n";

    flush_stdout();
    if (is_hydra()) {
        if (speaks)
            world_delivered();
        if (!speaks || write((int)strtol(getenv("PMI_FD"), NULL, 10), abort_line,
                             sizeof abort_line - 1) > 0)
            poll(NULL, 0, (int)(END_SECS * 1000));
    }
    _exit(STALLED);
}

static void write_all(const char *text, size_t length)
{
    while (length > 0) {
        const ssize_t written = write(STDERR_FILENO, text, length);
        if (written < 0 && errno != EINTR)
            return;
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
}

static void tell_all(struct stall_job *job, char word)
{
    for (int rank = 1; rank < job->size; rank++)
        if (job->line[rank].fd >= 0 && !line_say(job->line[rank].fd, &word, 1))
            line_hang_up(&job->line[rank]);
}

static int64_t end_of_patience(void)
{
    return clock_ns() + (int64_t)(END_SECS * 1e9);
}

/* Until every other rank is stopped, or (`gone`) has ended; or until none was heard of for long. */
static void await_all(struct stall_job *job, bool gone)
{
    int64_t until = end_of_patience();

    for (;;) {
        int missing = 0;
        for (int rank = 1; rank < job->size; rank++)
            missing += job->line[rank].fd >= 0 && (gone || job->rows[rank].step != stopped_step);
        if (missing == 0 || (poll(job->line + 1, (nfds_t)job->size - 1, line_wait_ms(until)) <= 0 &&
                             clock_ns() >= until))
            return;
        for (int rank = 1; rank < job->size; rank++) {
            struct pollfd *line = &job->line[rank];
            if (line->fd < 0 || !line->revents)
                continue;
            if (!line_hear(line->fd, &job->rows[rank], ROW_BYTES))
                line_hang_up(line);
            until = end_of_patience();
        }
    }
}

/* All main threads stop before the first rank ends. The others end first: were rank 0 gone, its
 * last word might not arrive. */
static void end_job(struct stall_job *job, const struct stall_verdict *verdict)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);

    if (out) {
        stall_describe(out, job->rows, job->size, job->limit_secs, verdict);
        fclose(out);
        write_all(text, length);
    }
    stop_main(job);
    tell_all(job, STALL);
    await_all(job, false);
    if (!is_hydra()) {
        tell_all(job, END);
        await_all(job, true);
    }
    end_rank(true);
}

/* ---- The watchdogs ---- */

static void hear_main(struct stall_job *job)
{
    char word;

    if (read(job->wake[0], &word, 1) == 1)
        line_hang_up(&job->line[0]);
}

/* The job is stalled. Rank 0 says when to end, or is gone itself. */
static _Noreturn void obey(struct stall_job *job)
{
    const struct stall_row row = { .step = stopped_step };
    ssize_t heard;
    char word = STALL;

    stop_main(job);
    line_say(job->line[1].fd, &row, ROW_BYTES);
    do
        heard = recv(job->line[1].fd, &word, 1, 0);
    while ((heard == 1 && word != END) || (heard < 0 && (errno == EAGAIN || errno == EINTR)));
    end_rank(false);
}

/* Of any rank but 0: answers until rank 0 says that all have finished, or is lost. */
static void answer(struct stall_job *job)
{
    struct pollfd *line = &job->line[1];

    for (;;) {
        struct stall_row row = { 0 };
        char word = ASK;

        if (poll(job->line, 2, -1) < 0)
            return;
        if (job->line[0].revents)
            hear_main(job);
        else if (!line->revents)
            continue;
        if (line->revents && (!line_hear(line->fd, &word, 1) || word == BYE))
            return;
        if (word == STALL)
            obey(job);
        read_post(&job->post, &row);
        if (!line_say(line->fd, &row, ROW_BYTES))
            return;
    }
}

static void lose(struct stall_job *job, int rank)
{
    line_hang_up(&job->line[rank]);
    if (job->rows[rank].state != STALL_FINISHED)
        job->rows[rank].state = STALL_GONE;
    job->rows[rank].step++;
    job->since_ns[rank] = clock_ns();
}

static void hear_ranks(struct stall_job *job)
{
    for (int rank = 1; rank < job->size; rank++) {
        struct stall_row *row = &job->rows[rank];
        if (job->line[rank].fd < 0 || !job->line[rank].revents)
            continue;
        if (line_hear(job->line[rank].fd, row, ROW_BYTES)) {
            row->call[sizeof row->call - 1] = '\0';
            job->since_ns[rank] = 0;
        } else {
            lose(job, rank);
        }
    }
}

static bool all_finished(struct stall_job *job)
{
    read_post(&job->post, &job->rows[0]);
    for (int rank = 0; rank < job->size; rank++)
        if (job->rows[rank].state != STALL_FINISHED && job->rows[rank].state != STALL_GONE)
            return false;
    return true;
}

/* Rows that were asked for and did not come say nothing. */
static void age_rows(struct stall_job *job)
{
    for (int rank = 1; rank < job->size; rank++) {
        struct stall_row *row = &job->rows[rank];
        if (job->since_ns[rank] == 0)
            continue;
        if (job->line[rank].fd >= 0)
            row->state = STALL_SILENT;
        row->secs = clock_secs(job->since_ns[rank], clock_ns());
    }
}

/*
 * Whether the verdict holds: the ranks that are stuck have been so when last looked at, in the same
 * calls. Every row was read after that look, or is silent and not stuck, so all those calls were
 * going on at the moment of that look.
 */
static bool confirmed(struct stall_job *job, const struct stall_verdict *verdict)
{
    bool same = true;

    for (int rank = 0; rank < job->size; rank++) {
        const uint64_t step = verdict->stuck[rank] ? job->rows[rank].step : 0;
        same = same && job->stuck_step[rank] == step;
        job->stuck_step[rank] = step;
    }
    return same;
}

static void look(struct stall_job *job)
{
    struct stall_verdict verdict;

    age_rows(job);
    if (stall_judge(job->rows, job->size, job->limit_secs, &verdict))
        return; /* no memory now: the next look may have some */
    if (confirmed(job, &verdict) && verdict.stalled)
        end_job(job, &verdict);
    stall_verdict_free(&verdict);
}

static void tell_ranks(struct stall_job *job, char word)
{
    for (int rank = 1; rank < job->size; rank++) {
        if (job->line[rank].fd < 0 || (word == ASK && job->since_ns[rank] != 0))
            continue;
        if (!line_say(job->line[rank].fd, &word, 1))
            lose(job, rank);
        else if (job->since_ns[rank] == 0)
            job->since_ns[rank] = clock_ns();
    }
}

/* Of rank 0: looks at the rows of all ranks again and again, until all have finished. */
static void collect(struct stall_job *job)
{
    const double secs = job->limit_secs / 4;
    const int64_t interval = (int64_t)(1e9 * (secs < 0.01 ? 0.01 : secs > 0.5 ? 0.5 : secs));
    int64_t next = clock_ns() + interval;

    tell_ranks(job, ASK);
    while (!all_finished(job)) {
        if (poll(job->line, (nfds_t)job->size, line_wait_ms(next)) > 0) {
            if (job->line[0].revents)
                hear_main(job);
            hear_ranks(job);
        }
        if (clock_ns() >= next) {
            look(job);
            tell_ranks(job, ASK);
            next = clock_ns() + interval;
        }
    }
    tell_ranks(job, BYE);
}

static void *watch(void *arg)
{
    struct stall_job *job = arg;

    if (job->rank == 0)
        collect(job);
    else
        answer(job);
    store(&job->done, true);
    return NULL;
}

/* ---- Start and stop. These return 0 or an errno. ---- */

static int start_watchdog(struct stall_job *job)
{
    const struct sigaction stop = { .sa_handler = stop_here };
    sigset_t all, before;

    job->main = pthread_self();
    if (sigaction(SIGRTMAX, &stop, &job->before))
        return errno;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = pthread_create(&job->watchdog, NULL, watch, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    job->watched = error == 0;
    return error;
}

static void job_close(struct stall_job *job)
{
    int arrived;

    if (job->watched) {
        post_now(&job->post, STALL_FINISHED);
        line_say(job->wake[1], "", 1);
        while (!load(&job->done)) { /* what this rank has sent may need its help to arrive */
            MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, job->comm, &arrived, MPI_STATUS_IGNORE);
            poll(NULL, 0, 1);
        }
        pthread_join(job->watchdog, NULL);
        sigaction(SIGRTMAX, &job->before, NULL);
    }
    for (int i = 0; job->line && i < (job->rank == 0 ? job->size : 2); i++)
        line_hang_up(&job->line[i]);
    if (job->wake[1] >= 0)
        close(job->wake[1]);
    free(job->stuck_step);
    free(job->since_ns);
    free(job->rows);
    free(job->line);
    free(job);
}

/* NULL if there is no memory, or no pair of descriptors: errno. */
static struct stall_job *job_open(const struct world *world, double limit_secs)
{
    const int lines = world->rank == 0 ? world->size : 2;
    const size_t ranks = world->rank == 0 ? (size_t)world->size : 1;
    struct stall_job *job = calloc(1, sizeof *job);

    if (!job)
        return NULL;
    *job = (struct stall_job){ .comm = world->comm,
                               .rank = world->rank,
                               .size = world->size,
                               .limit_secs = limit_secs,
                               .wake = { -1, -1 } };
    post_now(&job->post, STALL_COMPUTING);
    job->line = calloc((size_t)lines, sizeof *job->line);
    job->rows = calloc(ranks, sizeof *job->rows);
    job->since_ns = calloc(ranks, sizeof *job->since_ns);
    job->stuck_step = calloc(ranks, sizeof *job->stuck_step);
    for (int i = 0; job->line && i < lines; i++)
        job->line[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
    if (!job->line || !job->rows || !job->since_ns || !job->stuck_step ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, job->wake)) {
        job_close(job);
        return NULL;
    }
    job->line[0].fd = job->wake[0];
    gethostname(job->rows[0].host, sizeof job->rows[0].host - 1);
    return job;
}

/*
 * Rank 0 takes lines until all others have said, by MPI, that they have theirs or have given up: a
 * machine on which this lasts long is no error. `error` is what has failed before on this rank.
 */
static int connect_lines(const struct world *world, struct stall_job *job,
                         const struct lines_offer *offer, int listener, int error)
{
    MPI_Request request;
    int worst = 0, all_tried = false;

    if (world->rank > 0 && !error)
        error = lines_reach(offer, world->rank, world->node == 0, &job->line[1]);
    MPI_Iallreduce(&error, &worst, 1, MPI_INT, MPI_MAX, world->comm, &request);
    if (world->rank == 0 && !error) {
        int failed = 0;
        while (!failed && !all_tried) {
            failed = lines_accept(offer, listener, world->size, job->line, job->rows);
            MPI_Test(&request, &all_tried, MPI_STATUS_IGNORE);
        }
        error = failed;
    }
    MPI_Wait(&request, MPI_STATUS_IGNORE);
    return error ? error : worst;
}

int stall_start(struct stall *stall, const struct world *world, double limit_secs)
{
    struct beginning begin = { .limit_secs = limit_secs };
    struct stall_job *job = NULL;
    int listener = -1;

    if (world->simulated) { /* its ranks take turns in one process, and its time is virtual */
        errno = ENOSYS;
        return -1;
    }
    if (world->rank == 0) {
        begin.stand_back = getenv("LOCKSTEP_MPILENS") != NULL;
        begin.error = limit_secs > 0 ? lines_offer(&begin.offer, world->size,
                                                      world->nodes == 1, &listener) : EINVAL;
    }
    MPI_Bcast(&begin, sizeof begin, MPI_BYTE, 0, world->comm);
    int error = begin.error;
    if (!error && !begin.stand_back) {
        job = job_open(world, begin.limit_secs);
        if (!job)
            error = errno;
        error = connect_lines(world, job, &begin.offer, listener, error);
        if (!error)
            error = start_watchdog(job);
    }
    if (listener >= 0)
        close(listener);
    MPI_Allreduce(MPI_IN_PLACE, &error, 1, MPI_INT, MPI_MAX, world->comm);
    if (error && job) {
        if (job->rank > 0 && job->line[1].fd >= 0)
            shutdown(job->line[1].fd, SHUT_RDWR); /* the watchdogs take leave of one another */
        job_close(job);
    }
    if (error) {
        errno = error;
        return -1;
    }
    stall->job = job;
    return 0;
}

void stall_stop(struct stall *stall)
{
    if (stall->job)
        job_close(stall->job);
    stall->job = NULL;
}
