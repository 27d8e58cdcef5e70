#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* IFF_UP, getentropy */
#endif
#include "mpi/lib/stall_lines.h"
#include "local/lib/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_SECS 3.0 /* for the rest of a message */

/* Rank 0 is given up by another rank after this many rounds of all its addresses, and not sooner
 * than this: a machine at a standstill lets time pass, but no rounds. */
enum { START_ROUNDS = 5 };
#define START_SECS 10.0

struct hello {
    unsigned char token[LINES_TOKEN / 2];
    int32_t rank;
    char host[sizeof((struct stall_row *)NULL)->host];
};

bool line_say(int fd, const void *bytes, size_t count)
{
    return send(fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

/* Messages are shorter than a packet: what has begun to arrive is all there, or soon. */
bool line_hear(int fd, void *bytes, size_t count)
{
    return recv(fd, bytes, count, MSG_WAITALL) == (ssize_t)count;
}

static int new_line(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void set_patience(int fd, double secs)
{
    const time_t whole = (time_t)secs;
    const struct timeval time = { whole, (suseconds_t)(1e6 * (secs - (double)whole)) };

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time); /* of connect() as well */
}

void line_hang_up(struct pollfd *line)
{
    if (line->fd >= 0)
        close(line->fd);
    line->fd = -1;
}

int line_wait_ms(int64_t until_ns)
{
    const int64_t left = until_ns - clock_ns();

    return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

static void raise_file_limit(int ranks)
{
    const rlim_t wanted = (rlim_t)ranks + 256;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit); /* if it fails, accept() will tell */
    }
}

static void find_addresses(struct lines_offer *offer)
{
    struct ifaddrs *all;

    if (getifaddrs(&all))
        return; /* loopback is left */
    for (const struct ifaddrs *one = all; one && offer->count < LINES_ADDRESSES;
         one = one->ifa_next)
        if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET && one->ifa_flags & IFF_UP &&
            !(one->ifa_flags & IFF_LOOPBACK))
            offer->addresses[offer->count++] = ((struct sockaddr_in *)one->ifa_addr)->sin_addr;
    freeifaddrs(all);
}

int lines_offer(struct lines_offer *offer, int ranks, bool one_node, int *listener)
{
    struct sockaddr_in here = { .sin_family = AF_INET };
    socklen_t length = sizeof here;

    raise_file_limit(ranks);
    if (one_node)
        here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        find_addresses(offer);
    *listener = new_line();
    if (*listener < 0 || bind(*listener, (struct sockaddr *)&here, sizeof here) ||
        listen(*listener, SOMAXCONN) || getsockname(*listener, (struct sockaddr *)&here, &length) ||
        getentropy(offer->token, sizeof offer->token))
        return errno;
    offer->port = here.sin_port;
    return 0;
}

int lines_accept(const struct lines_offer *offer, int listener, int ranks, struct pollfd *lines,
                 struct stall_row *rows)
{
    struct pollfd incoming = { .fd = listener, .events = POLLIN };

    while (poll(&incoming, 1, 1) > 0) {
        struct hello hello;
        struct pollfd line = { .fd = accept(listener, NULL, NULL) };

        if (line.fd < 0 && (errno == EMFILE || errno == ENFILE))
            return errno;
        if (line.fd < 0)
            continue;
        fcntl(line.fd, F_SETFD, FD_CLOEXEC);
        set_patience(line.fd, PATIENCE_SECS);
        if (!line_hear(line.fd, &hello, sizeof hello) ||
            memcmp(hello.token, offer->token, sizeof hello.token) != 0 || hello.rank <= 0 ||
            hello.rank >= ranks ||
            !line_say(line.fd, offer->token + LINES_TOKEN / 2, LINES_TOKEN / 2)) {
            line_hang_up(&line);
            continue;
        }
        line_hang_up(&lines[hello.rank]); /* one that the rank had given up */
        lines[hello.rank].fd = line.fd;
        memcpy(rows[hello.rank].host, hello.host, sizeof hello.host - 1);
        return 0;
    }
    return 0;
}

/* An answer may be waited for: whoever listens there may be slow, or not be rank 0. */
static bool connect_to(const struct lines_offer *offer, struct in_addr address, int rank,
                       double patience_secs, struct pollfd *line)
{
    const struct sockaddr_in there = { .sin_family = AF_INET,
                                       .sin_port = offer->port,
                                       .sin_addr = address };
    struct hello hello = { .rank = rank };
    unsigned char reply[LINES_TOKEN / 2];

    memcpy(hello.token, offer->token, sizeof hello.token);
    gethostname(hello.host, sizeof hello.host - 1);
    line->fd = new_line();
    set_patience(line->fd, patience_secs); /* of connect() as well */
    if (connect(line->fd, (const struct sockaddr *)&there, sizeof there) == 0 &&
        line_say(line->fd, &hello, sizeof hello) && line_hear(line->fd, reply, sizeof reply) &&
        memcmp(reply, offer->token + LINES_TOKEN / 2, sizeof reply) == 0) {
        set_patience(line->fd, PATIENCE_SECS);
        return true;
    }
    line_hang_up(line);
    return false;
}

int lines_reach(const struct lines_offer *offer, int rank, bool near, struct pollfd *line)
{
    const struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
    const int64_t until = clock_ns() + (int64_t)(START_SECS * 1e9);

    double patience_secs = PATIENCE_SECS / 2;

    for (int round = 0; round < START_ROUNDS || clock_ns() < until; round++) {
        if (near && connect_to(offer, loopback, rank, patience_secs, line))
            return 0;
        for (int i = 0; i < offer->count; i++)
            if (connect_to(offer, offer->addresses[i], rank, patience_secs, line))
                return 0;
        if (!near && /* MPI may take one host for several */
            connect_to(offer, loopback, rank, patience_secs, line))
            return 0;
        poll(NULL, 0, 50);
        if (round < START_ROUNDS)
            patience_secs *= 2;
    }
    return ETIMEDOUT;
}
