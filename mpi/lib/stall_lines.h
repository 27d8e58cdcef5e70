/*
 * stall_lines - the TCP lines of mpi/lib/stall: one from each rank's watchdog to rank 0's, which
 * goes on to work when MPI is stuck. No MPI call, nothing is printed.
 *
 * Rank 0 makes an offer, which MPI brings to the others while it still works; then rank 0 accepts
 * their lines while they reach for it.
 */
#ifndef MPI_LIB_STALL_LINES_H
#define MPI_LIB_STALL_LINES_H

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mpi/lib/stall_graph.h"

enum { LINES_ADDRESSES = 16, LINES_TOKEN = 16 };

/* Where rank 0 listens. All its fields are plain: it can be sent as bytes. */
struct lines_offer {
    unsigned char
        token[LINES_TOKEN]; /* the first half is shown to rank 0, the second is its answer */
    uint16_t port;
    int count;
    struct in_addr addresses[LINES_ADDRESSES];
};

/* Rank 0: listens on a free port, of loopback if all ranks are on `one_node`, else of all IPv4
 * addresses, for `ranks` ranks (the limit on files is raised if that helps). Returns 0 and the
 * `listener`, which the caller closes; or an errno. */
int lines_offer(struct lines_offer *offer, int ranks, bool one_node, int *listener);

/*
 * Rank 0, again and again until all ranks have reached it: takes the line of another rank, if one
 * comes within a millisecond, into lines[rank], and its host's name into rows[rank]. Lines that
 * were not made have fd -1 before. Who does not know the token is not answered. Returns 0, also
 * where none came, or an errno.
 */
int lines_accept(const struct lines_offer *offer, int listener, int ranks, struct pollfd *lines,
                 struct stall_row *rows);

/* Another rank: reaches rank 0, by loopback first if it is `near` (on rank 0's node). Returns 0 or
 * an errno: ETIMEDOUT after 5 rounds of all addresses, and not before 10 s. */
int lines_reach(const struct lines_offer *offer, int rank, bool near, struct pollfd *line);

/* Sends or receives all of `count` bytes; false if the line is lost, or (line_hear) if the rest of
 * a message does not come within 3 s. */
bool line_say(int fd, const void *bytes, size_t count);
bool line_hear(int fd, void *bytes, size_t count);

/* Closes a line that is open. */
void line_hang_up(struct pollfd *line);

/* What poll() is to wait for until the clock shows `until_ns`: milliseconds, at least 0. */
int line_wait_ms(int64_t until_ns);

#endif
