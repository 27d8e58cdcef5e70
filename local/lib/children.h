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

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CHILDREN_MAX 1024 /* the most that an option of a program asks for */

/* In a process that has just begun by fork() or exec: to end when `parent` has ended. */
void child_ends_with(pid_t parent);

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

/* Whether a child has ended, and waits to be waited for: *ended is what child_wait() will tell. */
bool child_has_ended(pid_t child, int *ended);

/*
 * Runs work(arg, 0) ... work(arg, workers - 1) each in a child; none begins before all have been
 * started. Returns 0 when all have ended, with statuses[i] (may be NULL) of child i as above; or -1
 * with errno (EAGAIN: the system gives no more processes; ENOMEM), and then no work was begun.
 */
int children_run(size_t workers, int (*work)(void *arg, size_t worker), void *arg, int *statuses);

/*
 * Several children, of which one that dies ends all: nobody else would know why it waits. A program
 * has one such set at a time if it waits for it, for it reaps whatever child ends.
 */
struct children {
    struct child {
        pid_t pid;
        int status; /* as child_wait() tells it; -1 while it lives */
    } *each;
    size_t count, living; /* started, and not waited for */
    size_t room;
};

/* Room for so many, none started. 0, or -1 with errno. children_close() frees it, and kills those
 * who live and waits for them first; also what was never opened, if it is all zeros. */
int children_open(struct children *children, size_t room);
void children_close(struct children *children);

/* Takes one in that was started in whatever way, as the next in number. There must be room. */
void children_add(struct children *children, pid_t pid);

/* Opens it and starts work(arg, 0) ... work(arg, workers - 1); none begins before all have been
 * started. 0; or -1 with errno, and then no work was begun and nobody is left. */
int children_begin(struct children *children, size_t workers, int (*work)(void *arg, size_t worker),
                   void *arg);

/* Waits up to `limit_secs` (HUGE_VAL: no limit) for the next to end: *who is its number. 0, or -1
 * with errno (ECHILD: nobody is left; ETIMEDOUT). */
int children_next(struct children *children, double limit_secs, size_t *who);

/* Whether one has ended with another status than 0: the first that was killed by a signal, or else
 * the first at all, in *who. Waits for nobody and for nothing. */
bool children_fell(struct children *children, size_t *who);

/*
 * poll() for a parent that waits for what its children write: it looks some times a second whether
 * one fell. Returns how many files are ready, 0 after `limit_secs` (HUGE_VAL: no limit), or -1 with
 * errno; ECHILD: *who fell, and what it should have written may never come.
 */
int children_poll(struct children *children, struct pollfd *files, size_t count, double limit_secs,
                  size_t *who);

/*
 * Waits for all. As soon as one has ended with another status than 0 the others are killed, unless
 * may_end(arg, who, status), which is called for each such end, is true (NULL: never). Returns true
 * if nobody had to be killed; else false, and *who is the number of the one that died first.
 */
bool children_join(struct children *children, bool (*may_end)(void *arg, size_t who, int status),
                   void *arg, size_t *who);

/* Kills those who live, and waits for them. */
void children_kill(struct children *children);

/* "process 3 (pid 123) was killed by signal 9", or "... ended with 1". */
void children_tell(const struct children *children, size_t who, char *text, size_t size);

/* The same of any child and status: "WHAT (pid 123) was killed by signal 9". */
void child_tell(const char *what, pid_t pid, int status, char *text, size_t size);

/* `bytes` of zeros that children share with this process; NULL with errno (EINVAL: 0 bytes).
 * children_unmap() frees. */
void *children_map(size_t bytes);
void children_unmap(void *memory, size_t bytes);

/* "/lockstep-WHAT-RANDOM", a name for shm_open() or mq_open() that nobody can foresee. Make it with
 * O_EXCL, and take another where it exists. */
void children_name(const char *what, char name[64]);

#endif
