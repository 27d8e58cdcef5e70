/*
 * wait - waits of POSIX threads with a deadline on the monotonic clock. Thread-safe; also for what
 * processes share.
 *
 * Those of POSIX 2008 end by the time of day: who sets the date forward ends all of them at once,
 * who sets it back makes them longer. Calls that take a clock came with POSIX 2024 (glibc 2.30).
 * Where they are missing, these try and sleep for a millisecond, in turns.
 *
 * `deadline` is of clock_deadline(); NULL: none. A signal does not end a wait. All return 0,
 * ETIMEDOUT, or the error number of the call that they stand for.
 */
#ifndef LOCAL_LIB_WAIT_H
#define LOCAL_LIB_WAIT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <time.h>

int wait_semaphore(sem_t *semaphore, const struct timespec *deadline);
int wait_mutex(pthread_mutex_t *mutex, const struct timespec *deadline);
int wait_to_write(pthread_rwlock_t *lock, const struct timespec *deadline);

/* A condition has its clock from the beginning: wait_condition() is only for one of
 * wait_condition_init(), which pthread_cond_destroy() ends. `shared`: for processes. */
int wait_condition_init(pthread_cond_t *condition, bool shared);
int wait_condition(pthread_cond_t *condition, pthread_mutex_t *mutex,
                   const struct timespec *deadline);

#endif
