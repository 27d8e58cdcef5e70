/*
 * stall - the limit behind --limit: a job that deadlocks ends with status 3 and says who waits for
 * whom, instead of hanging.
 *
 *     struct stall stall = { 0 };
 *     if (stall_start(&stall, &world, opt.limit))
 *         ... errno says why: run without, or end
 *     stall_enter(&stall, "MPI_Recv", left, 0);
 *     MPI_Recv(..., left, 0, ...);
 *     stall_leave(&stall);
 *     stall_stop(&stall);
 *
 * Each rank writes down the call that it stands in. A watchdog thread per rank, which makes no MPI
 * call, answers rank 0's watchdog over TCP with this row, some four times per limit.
 *
 * The rule. A rank is stuck if it is in one call for longer than the limit, and waits in vain: for
 * a rank (or for any of them, and then for each) that is stuck itself, or that finished longer than
 * the limit ago; mpi/lib/stall_graph.h has it in full. A rank that computes is never stuck, and who
 * waits for it, directly or through others, does not wait in vain; nor do two ranks in the two
 * matching ends of one slow transfer, or all ranks in one slow collective. If the same ranks
 * are found stuck in the same calls (a number tells two calls of one kind apart) a second time,
 * all were so at one moment, and the job is stalled, whatever the other ranks do. This never ends
 * a job that is only slow, as long as each call is announced and a message takes less than the
 * limit to arrive; and lest a wrong announcement hang a job, one call that lasts 10 times the limit
 * is a stall in any case.
 *
 * The verdict is the one thing in this library that prints and ends the process: rank 0 writes the
 * rows and the cycle to stderr, each watchdog stops its main thread (by SIGRTMAX) and says so, and
 * then all ranks _exit(3) without MPI_Finalize, stdout flushed: no rank is in MPI any more when the
 * first one ends, so the launcher's status is 3. Under Hydra (MPICH's mpiexec), which kills the
 * other ranks at the first exit and would tell of signal 9, rank 0 asks for the end as MPI_Abort
 * would, by PMI.
 *
 * A program that uses it asks world_open() for MPI_THREAD_FUNNELED: MPI_THREAD_SINGLE promises that
 * the process has one thread. All functions belong to the main thread. Under mpilens
 * (LOCKSTEP_MPILENS set on rank 0), which does the same and more, nothing is started, and the other
 * functions do nothing; the same holds for a struct stall that was never started.
 */
#ifndef MPI_LIB_STALL_H
#define MPI_LIB_STALL_H

#include "mpi/lib/stall_graph.h" /* STALL_ALL */
#include "mpi/lib/world.h"

struct stall {
    struct stall_job *job; /* NULL: not started */
};

/*
 * Collective. Starts the watchdogs; `limit_secs` as rank 0 has it. Rank 0 listens on a free port
 * of all IPv4 addresses, the others try those of its interfaces in turn, first loopback on its own
 * node, and show a token that was drawn for this job. Rank 0 needs a file descriptor a rank; the
 * soft limit is raised if that helps. Where all ranks are on one node, loopback alone is used.
 * Returns 0; or on all ranks alike -1 with errno: ETIMEDOUT (a rank has tried all addresses of rank
 * 0 several times, for 10 s or more), EMFILE, ENOMEM, EAGAIN (no thread or no signal), EINVAL
 * (limit_secs is not above 0), ENOSYS (the job is simulated).
 */
int stall_start(struct stall *stall, const struct world *world, double limit_secs);

/*
 * Writes down that this rank is about to call `call`, a string literal, and what that waits for:
 * a rank of world->comm, MPI_ANY_SOURCE, MPI_PROC_NULL (nothing), or STALL_ALL, that is every rank
 * that is not in the same collective on the same communicator. `tag` is the message's, or
 * MPI_ANY_TAG; with STALL_ALL a number that all ranks give to the communicator, from 0, or -1 where
 * there is only one. A collective on fewer ranks names them one by one. Calls do not nest. Costs
 * a reading of the clock and a few stores.
 */
void stall_enter(struct stall *stall, const char *call, int peer, int tag);

/* After stall_enter(): the same call waits for this as well (MPI_Sendrecv, MPI_Waitall), for up to
 * STALL_PEERS in all; more are left out, which can delay a verdict to the bound, but not fake
 * one. */
void stall_also(struct stall *stall, int peer, int tag);

/* The call has returned. */
void stall_leave(struct stall *stall);

/*
 * Collective, before world_close(), with all messages sent and MPI_Bsend's buffer detached. This
 * rank has finished: a rank that waits for it from now on is stuck. Returns when all ranks have
 * finished, so that a stall of those that are left still ends the whole job; or when rank 0 is lost
 * (then the launcher ends the job). Meanwhile MPI is probed, so that what this rank has sent makes
 * its way. Frees what stall_start() made.
 */
void stall_stop(struct stall *stall);

#endif
