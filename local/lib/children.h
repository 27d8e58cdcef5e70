/*
 * children - processes that this one starts, that end with it, and that are all waited for.
 *
 * A child is a fork: it has a copy of the memory of its parent, and shares what was mapped as
 * shared before. On Linux it is killed when its parent ends, in whatever way (PR_SET_PDEATHSIG of
 * the thread that forks it, which should be the main one); elsewhere it outlives a parent that is
 * killed. For a process of one thread.
 */
#ifndef LOCAL_LIB_CHILDREN_H
#define LOCAL_LIB_CHILDREN_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Starts a child that flushes nothing of the parent's, runs work(arg, worker) and ends with what it
 * returns, 0 to 127. Returns its process id, or -1 with errno (of fork()).
 */
pid_t child_start(int (*work)(void *arg, size_t worker), void *arg, size_t worker);

/* Waits for a child. Returns its status as a shell would tell it: what it ended with, or 128 + the
 * signal that killed it; -1 with errno (ECHILD: it is no child of this process, or was waited
 * for). */
int child_wait(pid_t child);

/* Waits for the next child to end, whichever it is. Returns its process id, and in *ended what
 * child_wait() would; -1 with errno (ECHILD: there is none left). */
pid_t child_wait_any(int *ended);

/*
 * Runs work(arg, 0) ... work(arg, workers - 1) each in a child; none begins before all have been
 * started. Returns 0 when all have ended, with statuses[i] (may be NULL) of child i as above; or -1
 * with errno (EAGAIN: the system gives no more processes; ENOMEM), and then no work was begun.
 */
int children_run(size_t workers, int (*work)(void *arg, size_t worker), void *arg, int *statuses);

/* `bytes` of zeros that children share with this process; NULL with errno. children_unmap()
 * frees. */
void *children_map(size_t bytes);
void children_unmap(void *memory, size_t bytes);

#endif
