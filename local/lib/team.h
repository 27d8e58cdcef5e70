/* team - threads that begin together and are all waited for. Thread-safe. */
#ifndef LOCAL_LIB_TEAM_H
#define LOCAL_LIB_TEAM_H

#include <stddef.h>

/*
 * Runs work(arg, 0) ... work(arg, workers - 1), each in a thread of its own, and returns when all
 * have ended. No thread begins its work before all have been started. Returns 0; or -1 with errno
 * (EAGAIN: the system gives no more threads; ENOMEM), and then no work was begun.
 */
int team_run(size_t workers, void (*work)(void *arg, size_t worker), void *arg);

#endif
