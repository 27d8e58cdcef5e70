#ifdef __linux__
#define _GNU_SOURCE /* the calls that take a clock: POSIX 2024 */
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif
#include "local/lib/wait.h"
#include "local/lib/clock.h"

#include <errno.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
/* The thread sanitizer does not know all of them, and would miss what they order. */
#if defined __GLIBC__ && !defined __SANITIZE_THREAD__
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCK_CALLS 1
#endif
#endif

#ifdef HAVE_CLOCK_CALLS
static int sem_until(sem_t *semaphore, const struct timespec *deadline)
{
    return sem_clockwait(semaphore, CLOCK_MONOTONIC, deadline);
}

static int mutex_until(pthread_mutex_t *mutex, const struct timespec *deadline)
{
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, deadline);
}

static int write_until(pthread_rwlock_t *lock, const struct timespec *deadline)
{
    return pthread_rwlock_clockwrlock(lock, CLOCK_MONOTONIC, deadline);
}
#else
/* Sleeps before the next try. Returns 0, or ETIMEDOUT behind the deadline. */
static int before_next_try(const struct timespec *deadline)
{
    if (clock_ns() >= (int64_t)deadline->tv_sec * 1000000000 + deadline->tv_nsec)
        return ETIMEDOUT;
    clock_sleep(1e-3);
    return 0;
}

static int sem_until(sem_t *semaphore, const struct timespec *deadline)
{
    while (sem_trywait(semaphore)) {
        if (errno == EAGAIN)
            errno = before_next_try(deadline);
        if (errno && errno != EINTR)
            return -1;
    }
    return 0;
}

static int mutex_until(pthread_mutex_t *mutex, const struct timespec *deadline)
{
    int error = EBUSY, late = 0;

    while (!late && (error = pthread_mutex_trylock(mutex)) == EBUSY)
        late = before_next_try(deadline);
    return late ? late : error;
}

static int write_until(pthread_rwlock_t *lock, const struct timespec *deadline)
{
    int error = EBUSY, late = 0;

    while (!late && (error = pthread_rwlock_trywrlock(lock)) == EBUSY)
        late = before_next_try(deadline);
    return late ? late : error;
}
#endif

int wait_semaphore(sem_t *semaphore, const struct timespec *deadline)
{
    int status;

    do
        status = deadline ? sem_until(semaphore, deadline) : sem_wait(semaphore);
    while (status && errno == EINTR);
    return status ? errno : 0;
}

int wait_mutex(pthread_mutex_t *mutex, const struct timespec *deadline)
{
    return deadline ? mutex_until(mutex, deadline) : pthread_mutex_lock(mutex);
}

int wait_to_write(pthread_rwlock_t *lock, const struct timespec *deadline)
{
    return deadline ? write_until(lock, deadline) : pthread_rwlock_wrlock(lock);
}

int wait_condition_init(pthread_cond_t *condition, bool shared)
{
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);

    if (error)
        return error;
#ifndef __APPLE__
    error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    if (!error && shared)
        error = pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!error)
        error = pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
    return error;
}

int wait_condition(pthread_cond_t *condition, pthread_mutex_t *mutex,
                   const struct timespec *deadline)
{
    if (!deadline)
        return pthread_cond_wait(condition, mutex);
#ifdef __APPLE__ /* no clock can be set, but time that is left can be given */
    const int64_t left = (int64_t)deadline->tv_sec * 1000000000 + deadline->tv_nsec - clock_ns();
    const int64_t some = left > 0 ? left : 0;
    const struct timespec rest = { some / 1000000000, some % 1000000000 };
    return pthread_cond_timedwait_relative_np(condition, mutex, &rest);
#else
    return pthread_cond_timedwait(condition, mutex, deadline);
#endif
}
