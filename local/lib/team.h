/* team - threads that begin together and are all waited for. Thread-safe. */
#ifndef LOCAL_LIB_TEAM_H
#define LOCAL_LIB_TEAM_H

#include <stddef.h>

/* The most threads that an option may ask for: Linux lets a process have 65530 mappings (by default),
 * and a thread needs two. What each of them may be asked to do, so that all of it can be counted,
 * and ends: 18 minutes at a nanosecond. */
#define TEAM_MAX ((size_t)1 << 15)
#define TEAM_COUNT_MAX ((size_t)1 << 40)
#define TEAM_SECS_MAX 3600 /* what it may be asked to stay or to wait, at a time */

/*
 * Runs work(arg, 0) ... work(arg, workers - 1), each in a thread of its own, and returns when all
 * have ended. No thread begins its work before all have been started. Returns 0; or -1 with errno
 * (EAGAIN: the system gives no more threads; ENOMEM), and then no work was begun.
 */
int team_run(size_t workers, void (*work)(void *arg, size_t worker), void *arg);

/* Whether so many threads can be started now, by starting and ending them: for runtimes that end
 * the process where one of theirs cannot (OpenMP, libuv's pool). Returns 0, or -1 with errno. */
int team_try(size_t workers);

#endif
