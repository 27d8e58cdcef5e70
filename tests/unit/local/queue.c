/*
 * queue - items go through once and in order: spsc, mpmc, and those that wait, of threads and of
 * processes
 *
 * Test:
 */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "local/lib/clock.h"
#include "local/lib/mpmc.h"
#include "local/lib/queue.h"
#include "local/lib/spsc.h"
#include "local/lib/team.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const size_t capacities[] = { 1, 2, 3, 7, 8, 1000 };

static void *memory_for(size_t bytes)
{
    void *const memory = aligned_alloc(LINE_BYTES, line_up(bytes));

    assert_non_null(memory);
    return memory;
}

/* As many as fit and no more, oldest first, round and round. */
static void fills_and_empties(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        const size_t capacity = capacities[i];
        struct spsc *const spsc = memory_for(spsc_bytes(capacity));
        struct mpmc *const mpmc = memory_for(mpmc_bytes(capacity));
        const size_t slots = line_power_of_2(capacity < 2 ? 2 : capacity);
        uint64_t in = 0, out = 0, item;

        spsc_init(spsc, capacity);
        mpmc_init(mpmc, capacity);
        for (int round = 0; round < 5; round++) {
            for (size_t n = 0; n < capacity; n++) {
                in++;
                assert_int_equal(spsc_push(spsc, &in, 1), 1);
                assert_int_equal(mpmc_push(mpmc, &in, 1), 1);
            }
            assert_int_equal(spsc_push(spsc, &in, 1), 0);
            for (size_t n = capacity; n < slots; n++)
                assert_int_equal(mpmc_push(mpmc, &in, 1), 1);
            assert_int_equal(mpmc_push(mpmc, &in, 1), 0);
            for (size_t n = 0; n < capacity; n++) {
                out++;
                assert_int_equal(spsc_pop(spsc, &item, 1), 1);
                assert_int_equal(item, out);
                assert_int_equal(mpmc_pop(mpmc, &item, 1), 1);
                assert_int_equal(item, out);
            }
            for (size_t n = capacity; n < slots; n++)
                assert_int_equal(mpmc_pop(mpmc, &item, 1), 1);
            assert_int_equal(spsc_pop(spsc, &item, 1), 0);
            assert_int_equal(mpmc_pop(mpmc, &item, 1), 0);
        }
        free(mpmc);
        free(spsc);
    }
    assert_int_equal(spsc_bytes(SIZE_MAX), 0);
    assert_int_equal(mpmc_bytes(SIZE_MAX / 4), 0);
    assert_int_equal(queue_bytes(SIZE_MAX, QUEUE_MANY), 0);
}

/* Several at a time: what fits goes in, the rest is left to the caller. */
static void batches(void **state)
{
    uint64_t in[10], out[10];
    (void)state;

    for (uint64_t i = 0; i < LENGTH(in); i++)
        in[i] = i;
    struct spsc *const spsc = memory_for(spsc_bytes(6));
    struct mpmc *const mpmc = memory_for(mpmc_bytes(8));
    spsc_init(spsc, 6);
    mpmc_init(mpmc, 8);
    for (int round = 0; round < 7; round++) {
        assert_int_equal(spsc_push(spsc, in, 0), 0);
        assert_int_equal(spsc_push(spsc, in, 4), 4);
        assert_int_equal(spsc_push(spsc, in + 4, 6), 2);
        assert_int_equal(spsc_pop(spsc, out, 10), 6);
        assert_memory_equal(in, out, 6 * sizeof *in);
        assert_int_equal(mpmc_push(mpmc, in, 0), 0);
        assert_int_equal(mpmc_push(mpmc, in, 5), 5);
        assert_int_equal(mpmc_push(mpmc, in + 5, 5), 3);
        assert_int_equal(mpmc_pop(mpmc, out, 10), 8);
        assert_memory_equal(in, out, 8 * sizeof *in);
    }
    free(mpmc);
    free(spsc);
}

/*
 * Producers number their items; each consumer must meet the numbers of a producer in order, and all
 * consumers together every number once.
 */
struct traffic {
    struct queue *queue;
    size_t producers, consumers, count, batch; /* count: items of each producer */
    double limit_secs;
    atomic_size_t left;                        /* producers that have not ended */
    _Atomic unsigned char *seen;               /* of item number p * count + i: how often */
    atomic_bool wrong;
};

static void produce(struct traffic *t, size_t me)
{
    uint64_t items[16];

    for (size_t i = 0; i < t->count;) {
        size_t n = 0;
        while (n < t->batch && i + n < t->count) {
            items[n] = me * t->count + i + n;
            n++;
        }
        if (queue_push(t->queue, items, n, t->limit_secs) != n) {
            t->wrong = true;
            break;
        }
        i += n;
    }
    if (atomic_fetch_sub(&t->left, 1) == 1)
        queue_close(t->queue);
}

static void consume(struct traffic *t)
{
    uint64_t items[16], next[8] = { 0 };

    for (;;) {
        const size_t n = queue_pop(t->queue, items, t->batch, t->limit_secs);
        if (n == 0)
            break;
        for (size_t i = 0; i < n; i++) {
            const size_t producer = items[i] / t->count, number = items[i] % t->count;
            if (producer >= t->producers || number < next[producer] ||
                atomic_fetch_add(&t->seen[items[i]], 1) != 0) {
                t->wrong = true;
                return;
            }
            next[producer] = number + 1;
        }
    }
    if (errno != EPIPE)
        t->wrong = true;
}

static void traffic_work(void *arg, size_t me)
{
    struct traffic *const t = arg;

    if (me < t->producers)
        produce(t, me);
    else
        consume(t);
}

static const struct {
    size_t producers, consumers, capacity, batch;
    unsigned kind;
} flows[] = {
    { 1, 1, 1, 1, QUEUE_SINGLE },    { 1, 1, 7, 3, QUEUE_SINGLE },    { 1, 1, 1000, 16, QUEUE_SINGLE },
    { 1, 1, 2, 1, QUEUE_MANY },      { 1, 3, 2, 1, QUEUE_MANY },      { 3, 1, 4, 2, QUEUE_MANY },
    { 4, 4, 64, 1, QUEUE_MANY },     { 8, 8, 8, 16, QUEUE_MANY },
};

static void check_traffic(const struct traffic *t)
{
    assert_false(t->wrong);
    for (size_t i = 0; i < t->producers * t->count; i++)
        assert_int_equal(t->seen[i], 1);
    assert_int_equal(queue_length(t->queue), 0);
}

static void between_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(flows); i++) {
        for (size_t count = 1; count < 20000; count = count * 7 + 1) {
            struct traffic t = {
                .queue = queue_new(flows[i].capacity, flows[i].kind),
                .producers = flows[i].producers, .consumers = flows[i].consumers,
                .count = count, .batch = flows[i].batch, .limit_secs = HUGE_VAL,
                .left = flows[i].producers,
                .seen = calloc(flows[i].producers * count, 1),
            };
            assert_non_null(t.queue);
            assert_int_equal(team_run(t.producers + t.consumers, traffic_work, &t), 0);
            check_traffic(&t);
            free((void *)t.seen);
            queue_free(t.queue);
        }
    }
}

static void *shared_memory(size_t bytes)
{
    void *const memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    return memory;
}

static void between_processes(void **state)
{
    enum { COUNT = 3000 };
    (void)state;

    for (size_t i = 0; i < LENGTH(flows); i++) {
        const unsigned kind = flows[i].kind | QUEUE_SHARED;
        const size_t items = flows[i].producers * COUNT, all = flows[i].producers + flows[i].consumers;
        const size_t bytes = queue_bytes(flows[i].capacity, kind);
        void *const memory = shared_memory(bytes);
        struct traffic *const t = shared_memory(sizeof *t);
        unsigned char *const seen = shared_memory(items);

        *t = (struct traffic){
            .queue = queue_init(memory, flows[i].capacity, kind),
            .producers = flows[i].producers, .consumers = flows[i].consumers, .count = COUNT,
            .batch = flows[i].batch, .limit_secs = 60, .left = flows[i].producers,
            .seen = (_Atomic unsigned char *)seen,
        };
        assert_non_null(t->queue);
        for (size_t worker = 0; worker < all; worker++) {
            const pid_t child = fork();
            assert_true(child >= 0);
            if (child == 0) {
                traffic_work(t, worker);
                _exit(0);
            }
        }
        for (size_t worker = 0; worker < all; worker++) {
            int status;
            assert_true(wait(&status) > 0);
            assert_int_equal(status, 0);
        }
        check_traffic(t);
        queue_destroy(t->queue);
        munmap(seen, items);
        munmap(t, sizeof *t);
        munmap(memory, bytes);
    }
}

/* Waits until the process is asleep; where the system does not say that, for a moment. */
static void await_sleep(pid_t pid)
{
    char path[64], line[512];
    const char *state;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    do {
        clock_sleep(0.01);
        FILE *file = fopen(path, "r");
        if (!file)
            return;
        line[fread(line, 1, sizeof line - 1, file)] = '\0';
        fclose(file);
        state = strrchr(line, ')'); /* "PID (NAME) STATE ..." */
    } while (state && strncmp(state, ") S", 3) != 0);
}

/* Killed asleep at the gate, a process takes no item, and no call from the next one, with it. */
static void survives_a_killed_waiter(void **state)
{
    const size_t bytes = queue_bytes(4, QUEUE_SHARED);
    struct queue *const queue = queue_init(shared_memory(bytes), 4, QUEUE_SHARED);
    uint64_t item = 17;
    int status;
    (void)state;

    for (int round = 0; round < 3; round++) {
        const pid_t killed = fork();
        if (killed == 0) {
            queue_pop(queue, &item, 1, HUGE_VAL);
            _exit(1);
        }
        await_sleep(killed);
        kill(killed, SIGKILL);
        assert_int_equal(waitpid(killed, &status, 0), killed);
        assert_true(WIFSIGNALED(status));
        const pid_t other = fork();
        if (other == 0)
            _exit(queue_pop(queue, &item, 1, HUGE_VAL) == 1 && item == 17 ? 0 : 1);
        await_sleep(other);
        assert_int_equal(queue_push(queue, &item, 1, HUGE_VAL), 1);
        assert_int_equal(waitpid(other, &status, 0), other);
        assert_int_equal(status, 0);
    }
    queue_destroy(queue);
    munmap(queue, bytes);
}

/* Never less than what was asked for, or memory beyond it would be written. */
static void rounds_up_to_lines(void **state)
{
    static const size_t rows[] = { 0, 1, LINE_BYTES, LINE_BYTES + 1, SIZE_MAX / 2, SIZE_MAX / 2 + 1,
                                   SIZE_MAX - LINE_BYTES + 1, SIZE_MAX - 1, SIZE_MAX };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const size_t up = line_up(rows[i]);
        assert_int_equal(up % LINE_BYTES, 0);
        assert_true(up >= rows[i] || up == SIZE_MAX / 2 / LINE_BYTES * LINE_BYTES);
    }
    assert_int_equal(line_up(LINE_BYTES + 1), 2 * LINE_BYTES);
    void *volatile none = aligned_alloc(LINE_BYTES, line_up(SIZE_MAX));
    assert_null(none);
}

static void says_why_not(void **state)
{
    static const unsigned kinds[] = { QUEUE_SINGLE, QUEUE_MANY, QUEUE_SINGLE | QUEUE_SHARED, QUEUE_SHARED };
    const uint64_t items[] = { 1, 2, 3 };
    uint64_t item;
    (void)state;

    for (size_t i = 0; i < LENGTH(kinds); i++) {
        struct queue *const queue = queue_new(2, kinds[i]);
        assert_non_null(queue);
        assert_int_equal(queue_try_pop(queue, &item, 1), 0);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(queue_pop(queue, &item, 1, 0.001), 0);
        assert_int_equal(errno, ETIMEDOUT);
        assert_int_equal(queue_push(queue, items, 3, 0.001), 2);
        assert_int_equal(errno, ETIMEDOUT);
        assert_int_equal(queue_try_push(queue, items, 1), 0);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(queue_length(queue), 2);
        queue_close(queue);
        assert_int_equal(queue_push(queue, items, 1, HUGE_VAL), 0);
        assert_int_equal(errno, EPIPE);
        assert_int_equal(queue_pop(queue, &item, 1, HUGE_VAL), 1);
        assert_int_equal(item, 1);
        assert_int_equal(queue_try_pop(queue, &item, 1), 1);
        assert_int_equal(queue_pop(queue, &item, 1, HUGE_VAL), 0);
        assert_int_equal(errno, EPIPE);
        queue_free(queue);
    }
    static const size_t too_many[] = { SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 60, (size_t)1 << 59,
                                         (size_t)1 << 44 };
    for (size_t i = 0; i < sizeof too_many / sizeof *too_many; i++) {
        assert_null(queue_new(too_many[i], QUEUE_MANY));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(queue_new(too_many[i], QUEUE_SINGLE));
        assert_int_equal(errno, ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_and_empties), cmocka_unit_test(batches),
        cmocka_unit_test(between_threads),   cmocka_unit_test(between_processes),
        cmocka_unit_test(survives_a_killed_waiter), cmocka_unit_test(says_why_not),
        cmocka_unit_test(rounds_up_to_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
