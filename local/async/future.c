/*
 * future - a result that will be there later: callbacks, chains, errors, cancelling
 *
 * Two futures are computed on the loop's thread pool at the same time: the sum of 1 to --n and the
 * factorial of --n. A future is resolved once, with a value or an error, and calls back all that were
 * added, also one that is added late. Then:
 *
 *   then    a future that is computed from another's value: sum + factorial, one after the other
 *   error   a computation that fails resolves its future with the error, which travels along the chain
 *   cancel  a future that nobody has begun to compute can be cancelled: it resolves with ECANCELED
 *
 * What can go wrong: an off-by-one in what is submitted (--fault add_one: the sum leaves out its
 * last terms, as in many a first version); the check does not trust the same loop.
 *
 * Run:     make run P=future ARGS="--n 10 --show"
 * Try:     --show: in which order do the callbacks come?
 * Test:    --show
 * Test:    --n 0
 * Test:    --n 1
 * Test:    --n 20
 * Test(1): --fault add_one
 * Test(2): --n 21
 */
#include <errno.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "local/lib/program.h"
#include "local/lib/team.h"

static struct {
    size_t n;
    bool show;
    const char *fault;
} opt = { .n = 5 };

static const struct arg options[] = {
    { "n", ARG_SIZE, &opt.n, "argument of both; more, and the factorial does not fit into 64 bits",
      .max = 20 },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "add_one" },
    { "show", ARG_FLAG, &opt.show, "the callbacks, as they come" },
    ARGS_END,
};

enum { CALLBACKS_MAX = 4, POOL = 2 };

/* Used by the thread of the loop alone, but for compute(), which the pool calls. */
struct future {
    const char *name;
    uint64_t (*compute)(struct future *future, int *error);
    uv_work_t work;
    uint64_t value, input;
    int error;
    bool is_resolved;
    size_t resolutions, called_back, callbacks_count;
    struct {
        void (*call)(struct future *future, void *arg);
        void *arg;
    } callbacks[CALLBACKS_MAX];
    struct future *then; /* submitted with the value when this one is resolved */
    uv_loop_t *loop;
};

static struct program program;
static atomic_int begun;   /* computations that both wait for one another: they overlap */
static sem_t pool_is_held; /* for cancel: nothing behind it in the queue is begun */

static void future_submit(struct future *future, uv_loop_t *loop);

static void future_resolve(struct future *future, uint64_t value, int error)
{
    future->resolutions++;
    future->value = value;
    future->error = error;
    future->is_resolved = true;
    for (size_t i = 0; i < future->callbacks_count; i++) {
        future->called_back++;
        future->callbacks[i].call(future, future->callbacks[i].arg);
    }
    struct future *const next = future->then;
    if (next && error) {
        future_resolve(next, 0, error);
    } else if (next) {
        next->input = value;
        future_submit(next, future->loop);
    }
}

/* Called now if it is resolved already. */
static void future_add_callback(struct future *future, void (*call)(struct future *, void *),
                                void *arg)
{
    if (future->is_resolved) {
        future->called_back++;
        call(future, arg);
    } else if (future->callbacks_count < CALLBACKS_MAX) {
        future->callbacks[future->callbacks_count].call = call;
        future->callbacks[future->callbacks_count++].arg = arg;
    }
}

static void on_pool(uv_work_t *work)
{
    struct future *const future = work->data;

    future->value = future->compute(future, &future->error);
}

static void after(uv_work_t *work, int status)
{
    struct future *const future = work->data;

    if (status == UV_ECANCELED)
        future_resolve(future, 0, ECANCELED);
    else
        future_resolve(future, future->value, future->error);
}

static void future_submit(struct future *future, uv_loop_t *loop)
{
    future->loop = loop;
    future->work.data = future;
    const int error = uv_queue_work(loop, &future->work, on_pool, after);
    if (error)
        future_resolve(future, 0, -error); /* libuv's numbers are errno's, negative */
}

/* 0, or an error number: it has begun, or is resolved. */
static int future_cancel(struct future *future)
{
    return -uv_cancel((uv_req_t *)&future->work);
}

/* ---- What is computed ---- */

/* Neither goes on before both have begun: proof that they overlap. */
static void meet(void)
{
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&begun) < 2)
        uv_sleep(0);
}

static uint64_t sum(struct future *future, int *error)
{
    uint64_t value = 0;
    (void)future;
    (void)error;

    meet();
    for (size_t i = 1; i <= opt.n; i++)
        value += opt.fault ? 1 : i; /* add_one: counts the terms */
    return value;
}

static uint64_t factorial(struct future *future, int *error)
{
    uint64_t value = 1;
    (void)future;
    (void)error;

    meet();
    for (size_t i = 2; i <= opt.n; i++)
        value *= i;
    return value;
}

static uint64_t twice(struct future *future, int *error)
{
    (void)error;
    return 2 * future->input;
}

static uint64_t fail(struct future *future, int *error)
{
    (void)future;
    *error = EDOM;
    return 0;
}

static uint64_t hold(struct future *future, int *error)
{
    (void)future;
    (void)error;
    while (sem_wait(&pool_is_held) && errno == EINTR)
        continue;
    return 0;
}

static void show(struct future *future, void *arg)
{
    (void)arg;
    if (!opt.show)
        return;
    if (future->error)
        fprintf(program_text(&program), "%s: %s\n", future->name, strerror(future->error));
    else
        fprintf(program_text(&program), "%s: %" PRIu64 "\n", future->name, future->value);
}

static void count(struct future *future, void *arg)
{
    (void)future;
    ++*(size_t *)arg;
}

/* n! by the powers of its primes (Legendre). */
static uint64_t expected_factorial(size_t n)
{
    uint64_t product = 1;

    for (size_t p = 2; p <= n; p++) {
        bool is_prime = true;
        for (size_t q = 2; q * q <= p; q++)
            is_prime &= p % q != 0;
        for (size_t power = p; is_prime && power <= n; power *= p)
            for (size_t i = 0; i < n / power; i++)
                product *= p;
    }
    return product;
}

enum { SUM, FACTORIAL, TWICE, FAILING, AFTER_FAILING, HOLD_1, HOLD_2, CANCELLED, FUTURES };

static enum status check(const struct future *all, const size_t counted[FUTURES], int cancelled)
{
    const uint64_t total = (uint64_t)opt.n * (opt.n + 1) / 2;
    const uint64_t values[FUTURES] = { [SUM] = total, [FACTORIAL] = expected_factorial(opt.n),
                                       [TWICE] = 2 * total };
    const int errors[FUTURES] = { [FAILING] = EDOM, [AFTER_FAILING] = EDOM,
                                  [CANCELLED] = ECANCELED };

    if (cancelled)
        return program_verdict(&program, false, "a future that had not begun was not cancelled: %s",
                               strerror(cancelled));
    for (int i = 0; i < FUTURES; i++) {
        if (all[i].resolutions != 1)
            return program_verdict(&program, false, "%s was resolved %zu times", all[i].name,
                                   all[i].resolutions);
        if (counted[i] != 2 || all[i].called_back != 3)
            return program_verdict(&program, false, "%s called back %zu times, not 3", all[i].name,
                                   all[i].called_back);
        if (all[i].error != errors[i])
            return program_verdict(&program, false, "%s: error %d, not %d", all[i].name,
                                   all[i].error, errors[i]);
        if (!errors[i] && all[i].value != values[i])
            return program_verdict(&program, false, "%s: %" PRIu64 ", not %" PRIu64, all[i].name,
                                   all[i].value, values[i]);
    }
    return PASS;
}

/* The pool has two threads: sum and factorial take both, then the holds do. */
static enum status run(void)
{
    struct future all[FUTURES] = {
        [SUM] = { .name = "sum", .compute = sum },
        [FACTORIAL] = { .name = "factorial", .compute = factorial },
        [TWICE] = { .name = "twice the sum", .compute = twice },
        [FAILING] = { .name = "failing", .compute = fail },
        [AFTER_FAILING] = { .name = "after failing", .compute = twice },
        [HOLD_1] = { .name = "hold", .compute = hold },
        [HOLD_2] = { .name = "hold", .compute = hold },
        [CANCELLED] = { .name = "cancelled", .compute = twice },
    };
    size_t counted[FUTURES] = { 0 }, unshown = 0;
    uv_loop_t loop;

    all[SUM].then = &all[TWICE];
    all[FAILING].then = &all[AFTER_FAILING];
    int error = uv_loop_init(&loop);
    if (error) {
        program_error("a loop: %s", uv_strerror(error));
        return UNABLE;
    }
    for (int i = 0; i < FUTURES; i++) {
        if (i != HOLD_1 && i != HOLD_2)
            future_add_callback(&all[i], show, NULL);
        else
            future_add_callback(&all[i], count, &unshown);
        future_add_callback(&all[i], count, &counted[i]);
    }
    future_submit(&all[SUM], &loop);
    future_submit(&all[FACTORIAL], &loop);
    uv_run(&loop, UV_RUN_DEFAULT);
    future_submit(&all[FAILING], &loop);
    uv_run(&loop, UV_RUN_DEFAULT);
    future_submit(&all[HOLD_1], &loop);
    future_submit(&all[HOLD_2], &loop);
    future_submit(&all[CANCELLED], &loop);
    const int cancelled = future_cancel(&all[CANCELLED]);
    sem_post(&pool_is_held);
    sem_post(&pool_is_held);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < FUTURES; i++)
        future_add_callback(&all[i], count, &counted[i]); /* late */
    error = uv_loop_close(&loop);
    if (error)
        return program_verdict(&program, false, "the loop: %s", uv_strerror(error));
    return check(all, counted, cancelled);
}

int main(int argc, char **argv)
{
    enum status status = program_open(&program, argc, argv, options, NULL);

    setenv("UV_THREADPOOL_SIZE", "2", 1); /* read when the pool is first used */
    if (status == PASS && team_try(POOL)) { /* libuv would abort */
        program_error("%d threads: %s: raise the limit of processes", POOL, strerror(errno));
        status = UNABLE;
    }
    sem_init(&pool_is_held, 0, 0);
    if (status == PASS) {
        status = run();
        struct record row = program.record;
        record_int(&row, "n", (int64_t)opt.n);
        record_bool(&row, "verified", status == PASS);
        program_row(&program, &row);
    }
    sem_destroy(&pool_is_held);
    program_fault(&program, opt.fault, status == PASS, "there are so few terms that it is right");
    if (status == PASS)
        program_verdict(&program, true, "sum and factorial of %zu at the same time, a chain, an "
                        "error that travelled, a future cancelled: each resolved once", opt.n);
    return program_close(&program, status);
}
