/*
 * wait - deadlines are of the monotonic clock, and come neither early nor as anything but ETIMEDOUT
 *
 * The clock of the day has counted seconds since 1970, the monotonic one since the start of the
 * machine: where a wait takes the wrong one, it ends at once.
 *
 * Test:
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include "local/lib/clock.h"
#include "local/lib/gate.h"
#include "local/lib/queue.h"
#include "local/lib/wait.h"

static const double secs = 0.03;

static int64_t as_ns(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static void deadline_is_monotonic(void **state)
{
    static const double rows[] = { 0, 0.25, 0.999999999, 1, 1.75, 1e9 };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int64_t before = clock_ns();
        const struct timespec deadline = clock_deadline(rows[i]);
        const int64_t after = clock_ns(), wait = llround(rows[i] * 1e9);
        assert_in_range(deadline.tv_nsec, 0, 999999999);
        assert_true(as_ns(&deadline) >= before + wait - 2 && as_ns(&deadline) <= after + wait + 2);
    }
}

/* Each wait in vain, and for as long as it was told. */
static int in_vain_semaphore(const struct timespec *deadline)
{
    sem_t semaphore;

    sem_init(&semaphore, 0, 0);
    const int error = wait_semaphore(&semaphore, deadline);
    sem_destroy(&semaphore);
    return error;
}

static int in_vain_mutex(const struct timespec *deadline)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&mutex);
    const int error = wait_mutex(&mutex, deadline);
    pthread_mutex_unlock(&mutex);
    return error;
}

static int in_vain_to_write(const struct timespec *deadline)
{
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

    pthread_rwlock_rdlock(&lock);
    const int error = wait_to_write(&lock, deadline);
    pthread_rwlock_unlock(&lock);
    return error;
}

static int in_vain_condition(const struct timespec *deadline)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition;
    int error = wait_condition_init(&condition, true);

    pthread_mutex_lock(&mutex);
    while (!error) /* it may wake for nothing */
        error = wait_condition(&condition, &mutex, deadline);
    pthread_mutex_unlock(&mutex);
    pthread_cond_destroy(&condition);
    return error;
}

static int in_vain_gate(const struct timespec *deadline)
{
    struct gate gate;

    gate_init(&gate, true);
    gate_enter(&gate);
    const bool called = gate_sleep(&gate, deadline);
    gate_destroy(&gate);
    return called ? 0 : ETIMEDOUT;
}

static int in_vain_queue(const struct timespec *deadline)
{
    struct queue *const queue = queue_new(2, QUEUE_MANY);
    uint64_t item;
    (void)deadline;

    const int error = queue_pop(queue, &item, 1, secs) ? 0 : errno;
    queue_free(queue);
    return error;
}

static void waits_as_long_as_told(void **state)
{
    int (*const rows[])(const struct timespec *) = {
        in_vain_semaphore, in_vain_mutex, in_vain_to_write,
        in_vain_condition, in_vain_gate,  in_vain_queue,
    };
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const int64_t before = clock_ns();
        const struct timespec deadline = clock_deadline(secs);
        assert_int_equal(rows[i](&deadline), ETIMEDOUT);
        assert_true(clock_secs(before, clock_ns()) >= secs - 1e-6);
    }
}

/* What is there is taken, whatever the deadline. */
static void takes_what_is_there(void **state)
{
    const struct timespec over = clock_deadline(0);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
    sem_t semaphore;
    (void)state;

    assert_int_equal(sem_init(&semaphore, 0, 2), 0);
    assert_int_equal(wait_semaphore(&semaphore, &over), 0);
    assert_int_equal(wait_semaphore(&semaphore, NULL), 0);
    assert_int_equal(wait_semaphore(&semaphore, &over), ETIMEDOUT);
    assert_int_equal(wait_mutex(&mutex, &over), 0);
    assert_int_equal(wait_mutex(&mutex, &over), ETIMEDOUT);
    assert_int_equal(wait_to_write(&lock, &over), 0);
    pthread_rwlock_unlock(&lock);
    assert_int_equal(wait_to_write(&lock, NULL), 0);
    pthread_rwlock_unlock(&lock);
    pthread_mutex_unlock(&mutex);
    sem_destroy(&semaphore);
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void goes_on_after_signals(void **state)
{
    const struct itimerval often = { { 0, 2000 }, { 0, 2000 } }, never = { 0 };
    const struct sigaction action = { .sa_handler = on_signal };
    (void)state;

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    const struct timespec deadline = clock_deadline(secs);
    const int error = in_vain_semaphore(&deadline);
    setitimer(ITIMER_REAL, &never, NULL);
    assert_int_equal(error, ETIMEDOUT);
    assert_true(signals > 0);
    assert_true(clock_ns() >= as_ns(&deadline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline_is_monotonic),
        cmocka_unit_test(waits_as_long_as_told),
        cmocka_unit_test(takes_what_is_there),
        cmocka_unit_test(goes_on_after_signals),
    };

    return cmocka_run_group_tests_name("wait", tests, NULL, NULL) != 0;
}
