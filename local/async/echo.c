/*
 * echo - a TCP server and its clients in one event loop: framing, back-pressure, peers that vanish
 *
 * A message is a length of 4 bytes and so many bytes. Each client sends --messages messages without
 * waiting for answers; the server sends every message back with its bytes flipped; the client
 * checks the answers byte for byte. Nothing here waits: all is callbacks of one thread.
 *
 * A read returns what has arrived, which may be half a message or several; the server keeps what is
 * incomplete. Who does not read his answers fills the server's memory, so it stops reading from a
 * client that has --high-water bytes of answers unsent, and goes on when they are half gone
 * (--stuck N clients never read). When a client has sent all, it closes its half of the connection
 * and still gets its answers. --vanish N of 100 clients leave in the middle of a message. In the
 * end there are as many open descriptors as in the beginning. An interrupt (SIGINT) closes
 * everything first.
 *
 * Anybody on this node can connect to a port of it. The server takes its own clients alone, whose
 * ports it knows, closes the door when the last one has come, and believes no length that is not
 * agreed.
 *
 * What can go wrong: the server takes a read for a message (--fault one_read). All is well until a
 * message comes in two pieces.
 *
 * Run:     make run P=echo ARGS="--clients 1000 --vanish 10"
 * Try:     --stuck 3: how much memory does a client hold that never reads?
 * Try:     --clients 1 --messages 100000 --bytes 8, and --bytes 64K
 * Test:    --clients 1000 --vanish 10
 * Test:    --clients 50 --vanish 100
 * Test:    --clients 20 --stuck 5 --vanish 10
 * Test:    --clients 0
 * Test:    --clients 3 --messages 0
 * Test:    --clients 3 --bytes 0
 * Test:    --clients 2 --bytes 300000 --messages 7
 * Test(1): --fault one_read
 * Test(2): --vanish 101
 * Test(2): --clients 2 --messages 9223372036854775808
 * Test:    --fault one_read --messages 0
 */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "local/lib/clock.h"
#include "local/lib/data.h"
#include "local/lib/program.h"
#include "local/lib/size.h"
#include "local/lib/stats.h"

enum { HEADER = 4, READ_MAX = 64 << 10, STUCK_BYTES = 16 << 10, FLIP = 0x20 };

static struct {
    size_t clients, messages, bytes, vanish, stuck, high_water;
    const char *fault;
} opt = { .clients = 8, .messages = 100, .bytes = 64, .high_water = 64 << 10 };

static const struct arg options[] = {
    { "clients", ARG_SIZE, &opt.clients, "connections", .max = 2048 },
    { "messages", ARG_SIZE, &opt.messages, "messages of each", .max = 1 << 20 },
    { "bytes", ARG_SIZE, &opt.bytes, "bytes of a message", .max = 1 << 20 },
    { "vanish", ARG_SIZE, &opt.vanish, "of 100 clients so many leave in the middle of a message",
      .max = 100 },
    { "stuck", ARG_SIZE, &opt.stuck, "clients besides that send and never read", .max = 1 << 10 },
    { "high-water", ARG_SIZE, &opt.high_water, "unsent bytes at which a client is no longer read",
      .min = 1, .max = 1 << 26 },
    { "fault", ARG_CHOICE, &opt.fault, "make a mistake on purpose", .choices = "one_read" },
    ARGS_END,
};

static struct {
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_signal_t interrupt;
    struct sockaddr_in address;
    struct client *clients;
    size_t opened;          /* clients that have a handle */
    size_t ended;           /* clients that are through: not the stuck ones */
    bool is_expected[1 << 16]; /* the ports of the clients that have not come yet */
    size_t to_come;         /* so many */
    size_t served, vanished; /* by the server: connections closed, and cut off in a message */
    size_t paused;          /* connections that are not read at this moment */
    size_t peak;            /* most unsent bytes of one connection */
    double *latencies;
    size_t latency_count;
    bool interrupted;
    int error;
    char wrong[160];
} all;

/* Bytes that are under way belong to their write. */
struct chunk {
    uv_write_t write;
    size_t bytes;
    char data[];
};

static void end_all_if_through(void);

/* The first one, which ends everything. */
static void set_error(int status)
{
    if (!all.error)
        all.error = status;
    end_all_if_through();
}

/* ---- The server ---- */

struct connection {
    uv_tcp_t tcp;
    char *partial; /* a message that has not come whole */
    size_t partial_bytes, partial_room, unsent;
    bool is_paused, has_ended;
};

static void on_server_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char shared[READ_MAX]; /* emptied by the callback of the read, before the next one */

    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(shared, sizeof shared);
}

static void close_once(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void free_connection(uv_handle_t *handle)
{
    struct connection *const c = handle->data;

    free(c->partial);
    free(c);
}

static void hang_up(struct connection *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    all.served++;
    all.paused -= c->is_paused;
    all.vanished += c->partial_bytes > 0;
    uv_close((uv_handle_t *)&c->tcp, free_connection);
}

static void on_answered(uv_write_t *write, int status)
{
    struct chunk *const chunk = write->data;
    struct connection *const c = write->handle->data;

    c->unsent -= chunk->bytes;
    free(chunk);
    if (status) /* nobody takes it any more */
        hang_up(c);
    else if (c->has_ended && c->unsent == 0)
        hang_up(c);
    else if (c->is_paused && c->unsent <= opt.high_water / 2) {
        c->is_paused = false;
        all.paused--;
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_server_read);
    }
}

/* Sends a whole message back. */
static void answer(struct connection *c, const char *message, size_t bytes)
{
    struct chunk *const chunk = malloc(sizeof *chunk + bytes);

    if (!chunk) {
        set_error(UV_ENOMEM);
        hang_up(c);
        return;
    }
    chunk->bytes = bytes;
    chunk->write.data = chunk;
    memcpy(chunk->data, message, bytes);
    for (size_t i = HEADER; i < bytes; i++)
        chunk->data[i] ^= FLIP;
    c->unsent += bytes;
    all.peak = c->unsent > all.peak ? c->unsent : all.peak;
    const uv_buf_t buffer = uv_buf_init(chunk->data, (unsigned)bytes);
    const int status = uv_write(&chunk->write, (uv_stream_t *)&c->tcp, &buffer, 1, on_answered);
    if (status) {
        c->unsent -= bytes;
        free(chunk);
        hang_up(c);
    }
}

static size_t length_of(const char *header)
{
    uint32_t length;

    memcpy(&length, header, HEADER);
    return ntohl(length);
}

/* A length that nobody has agreed on: memory is not given to whoever asks. */
static void refuse(struct connection *c, size_t length)
{
    if (!*all.wrong)
        snprintf(all.wrong, sizeof all.wrong, "a client announced a message of %zu bytes, and %zu "
                 "are agreed", length, opt.bytes);
    hang_up(c);
}

/* Answers what has come whole, and keeps the rest. */
static void take(struct connection *c, const char *data, size_t bytes)
{
    if (c->partial_room - c->partial_bytes < bytes) {
        const size_t room = 2 * (c->partial_bytes + bytes);
        char *const more = realloc(c->partial, room);
        if (!more) {
            set_error(UV_ENOMEM);
            hang_up(c);
            return;
        }
        c->partial = more;
        c->partial_room = room;
    }
    memcpy(c->partial + c->partial_bytes, data, bytes);
    c->partial_bytes += bytes;
    size_t at = 0;
    while (c->partial_bytes - at >= HEADER) {
        const size_t length = length_of(c->partial + at), message = HEADER + length;
        if (length > opt.bytes && length > (opt.stuck ? (size_t)STUCK_BYTES : 0)) {
            refuse(c, length);
            return;
        }
        if (c->partial_bytes - at < message || uv_is_closing((uv_handle_t *)&c->tcp))
            break;
        answer(c, c->partial + at, message);
        at += message;
    }
    memmove(c->partial, c->partial + at, c->partial_bytes - at);
    c->partial_bytes -= at;
}

static void on_server_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct connection *const c = stream->data;

    if (got < 0) { /* the end, or the peer is gone (ECONNRESET) */
        uv_read_stop(stream);
        c->has_ended = true;
        if (got != UV_EOF || c->unsent == 0)
            hang_up(c);
        return;
    }
    if (opt.fault)
        answer(c, buffer->base, (size_t)got); /* the mistake */
    else
        take(c, buffer->base, (size_t)got);
    if (c->unsent >= opt.high_water && !uv_is_closing((uv_handle_t *)stream)) {
        c->is_paused = true;
        all.paused++;
        uv_read_stop(stream);
        end_all_if_through();
    }
}

/* Whether the other end is a client of ours that has not come before. A client that has reset its
 * connection meanwhile has no name any more: it is refused, and does not mind. */
static bool is_ours(const uv_tcp_t *tcp)
{
    struct sockaddr_in peer;
    int length = sizeof peer;

    if (uv_tcp_getpeername(tcp, (struct sockaddr *)&peer, &length) || peer.sin_family != AF_INET ||
        peer.sin_addr.s_addr != htonl(INADDR_LOOPBACK) || !all.is_expected[ntohs(peer.sin_port)])
        return false;
    all.is_expected[ntohs(peer.sin_port)] = false;
    return true;
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct connection *const c = status ? NULL : calloc(1, sizeof *c);

    if (!c) {
        set_error(status ? status : UV_ENOMEM);
        return;
    }
    uv_tcp_init(&all.loop, &c->tcp);
    c->tcp.data = c;
    status = uv_accept(listener, (uv_stream_t *)&c->tcp);
    if (status || !is_ours(&c->tcp)) {
        uv_close((uv_handle_t *)&c->tcp, free_connection);
        if (status)
            set_error(status);
        return;
    }
    if (--all.to_come == 0)
        close_once((uv_handle_t *)listener);
    uv_tcp_nodelay(&c->tcp, 1);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_server_read);
}

/* ---- The clients ---- */

struct client {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_shutdown_t shutdown;
    size_t number, sent, answered, at; /* messages, and the place in the stream of answers */
    size_t vanish_after;               /* messages; SIZE_MAX: it stays */
    bool is_stuck, is_through;
    int64_t *sent_ns;
};

static void leave(struct client *c)
{
    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    if (!c->is_stuck && !c->is_through) {
        c->is_through = true;
        all.ended++;
    }
    uv_close((uv_handle_t *)&c->tcp, NULL);
    end_all_if_through();
}

/* The stuck ones fill the buffers of both sockets first: by large messages, or it takes a while. */
static size_t bytes_of(const struct client *c)
{
    return c->is_stuck && opt.bytes < STUCK_BYTES ? STUCK_BYTES : opt.bytes;
}

static char byte_of(const struct client *c, size_t message, size_t place)
{
    return (char)byte_element(message * opt.bytes + place, c->number);
}

/* What has to come: the message's header as it was, its bytes flipped. */
static void on_client_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct client *const c = stream->data;
    const size_t message_bytes = HEADER + opt.bytes;
    const uint32_t length = htonl((uint32_t)opt.bytes);

    for (ssize_t i = 0; i < got; i++, c->at++) {
        const size_t message = c->at / message_bytes, place = c->at % message_bytes;
        const char expected = place < HEADER ? ((const char *)&length)[place]
                                             : (char)(byte_of(c, message, place - HEADER) ^ FLIP);
        if (message >= c->sent) {
            snprintf(all.wrong, sizeof all.wrong, "client %zu got more than %zu answers", c->number,
                     c->sent);
            leave(c);
            return;
        }
        if (buffer->base[i] != expected && !*all.wrong) {
            snprintf(all.wrong, sizeof all.wrong, "client %zu, answer %zu: byte %zu is %d, not %d",
                     c->number, message, place, buffer->base[i] & 255, expected & 255);
            leave(c);
            return;
        }
        if (place == message_bytes - 1) {
            if (all.latencies)
                all.latencies[all.latency_count++] = clock_secs(c->sent_ns[message], clock_ns());
            c->answered++;
        }
    }
    if (got < 0) { /* the server has hung up: everything must have come */
        if (c->vanish_after == SIZE_MAX && c->answered != opt.messages && !all.interrupted &&
            !*all.wrong)
            snprintf(all.wrong, sizeof all.wrong, "client %zu got %zu answers of %zu: %s", c->number,
                     c->answered, opt.messages, uv_strerror((int)got));
        leave(c);
    }
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status; /* a server that is gone shows when the client reads */
}

static void send_next(struct client *c);

static void on_sent(uv_write_t *write, int status)
{
    struct chunk *const chunk = write->data;
    struct client *const c = write->handle->data;

    free(chunk);
    if (status == 0)
        send_next(c);
    else if (status != UV_ECANCELED)
        leave(c);
}

/* A message, the half of one before vanishing, or the end of this direction. */
static void send_next(struct client *c)
{
    const bool vanishes = c->sent == c->vanish_after;
    const size_t whole = HEADER + bytes_of(c);
    const uint32_t length = htonl((uint32_t)bytes_of(c));

    if (c->sent > c->vanish_after) {
        if (c->number % 2)
            leave(c);
        else if (!uv_is_closing((uv_handle_t *)&c->tcp)) { /* no good-bye: a reset */
            c->is_through = true;
            all.ended++;
            uv_tcp_close_reset(&c->tcp, NULL);
            end_all_if_through();
        }
        return;
    }
    if (c->sent == opt.messages && !c->is_stuck) {
        uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shut_down);
        return;
    }
    const size_t bytes = opt.fault ? 1 : vanishes ? whole / 2 : whole;
    struct chunk *const chunk = malloc(sizeof *chunk + whole);
    if (!chunk) {
        set_error(UV_ENOMEM);
        leave(c);
        return;
    }
    memcpy(chunk->data, &length, HEADER);
    for (size_t i = 0; i < whole - HEADER; i++)
        chunk->data[HEADER + i] = byte_of(c, c->sent, i);
    chunk->write.data = chunk;
    if (!c->is_stuck && c->sent < opt.messages)
        c->sent_ns[c->sent] = clock_ns();
    c->sent++;
    const uv_buf_t buffer = uv_buf_init(chunk->data, (unsigned)bytes);
    if (uv_write(&chunk->write, (uv_stream_t *)&c->tcp, &buffer, 1, on_sent)) {
        free(chunk);
        leave(c);
    }
}

static void on_connected(uv_connect_t *request, int status)
{
    struct client *const c = request->data;

    if (status) {
        if (status != UV_ECANCELED)
            set_error(status);
        leave(c);
        return;
    }
    uv_tcp_nodelay(&c->tcp, 1);
    if (!c->is_stuck)
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_client_read);
    send_next(c);
}

/* ---- All of them ---- */

/* The stuck ones and the server stay for as long as anybody else is there, and until the server has
 * stopped reading from every stuck one. */
static void end_all_if_through(void)
{
    if ((all.ended < opt.clients || all.paused < opt.stuck) && !all.interrupted && !all.error)
        return;
    for (size_t i = 0; i < all.opened; i++)
        close_once((uv_handle_t *)&all.clients[i].tcp);
    close_once((uv_handle_t *)&all.listener);
    close_once((uv_handle_t *)&all.interrupt);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    all.interrupted = true;
    end_all_if_through();
}

/* The system has given the client a port when it was told to connect. */
static int expect(const uv_tcp_t *tcp)
{
    struct sockaddr_in own;
    int length = sizeof own;
    const int status = uv_tcp_getsockname(tcp, (struct sockaddr *)&own, &length);

    if (!status)
        all.is_expected[ntohs(own.sin_port)] = true;
    all.to_come += !status;
    return status;
}

static int listen_and_connect(void)
{
    int length = sizeof all.address;
    const size_t vanishing = (opt.clients * opt.vanish + 99) / 100;

    uv_tcp_init(&all.loop, &all.listener); /* cannot fail yet: nor can the others */
    uv_signal_init(&all.loop, &all.interrupt);
    uv_ip4_addr("127.0.0.1", 0, &all.address);
    int status = uv_tcp_bind(&all.listener, (struct sockaddr *)&all.address, 0);
    status = status ? status : uv_listen((uv_stream_t *)&all.listener, 1024, on_connection);
    status = status ? status
                    : uv_tcp_getsockname(&all.listener, (struct sockaddr *)&all.address, &length);
    status = status ? status : uv_signal_start(&all.interrupt, on_interrupt, SIGINT);
    for (size_t i = 0; i < opt.clients + opt.stuck; i++) {
        struct client *const c = &all.clients[i];
        uv_tcp_init(&all.loop, &c->tcp);
        all.opened++;
        c->tcp.data = c->connect.data = c;
        c->number = i;
        c->is_stuck = i >= opt.clients;
        c->vanish_after = i < vanishing ? opt.messages / 2 : SIZE_MAX;
        if (!status)
            status = uv_tcp_connect(&c->connect, &c->tcp, (struct sockaddr *)&all.address,
                                    on_connected);
        if (!status)
            status = expect(&c->tcp);
    }
    return status;
}

/* Two descriptors a connection, both ends being here, and some for the loop and for who is refused.
 * Whether there may be so many. */
static bool raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return true; /* it will show */
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max == RLIM_INFINITY || limit.rlim_max >= 2 * (opt.clients + opt.stuck) + 32;
}

static size_t open_descriptors(void)
{
    struct rlimit limit;
    size_t count = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    for (rlim_t i = 0; i < limit.rlim_cur && i < 100000; i++)
        count += lseek((int)i, 0, SEEK_CUR) >= 0 || errno != EBADF;
    return count;
}

static enum status check(struct program *program, size_t before, size_t after)
{
    size_t leaving = 0;

    for (size_t i = 0; i < opt.clients; i++)
        leaving += all.clients[i].vanish_after != SIZE_MAX && HEADER + opt.bytes > 1 &&
                   (HEADER + opt.bytes) / 2 > 0;
    if (all.error) {
        program_error("%zu connections: %s: give fewer --clients, or raise the limit of open files",
                      opt.clients, uv_strerror(all.error));
        return UNABLE;
    }
    if (*all.wrong)
        return program_verdict(program, false, "%s%s", opt.fault ? "one_read: " : "", all.wrong);
    if (after != before)
        return program_verdict(program, false, "%zu descriptors are open, %zu were before", after,
                               before);
    /* One more read may be answered, and one message that it completes. */
    if (all.peak > opt.high_water + 2 * READ_MAX + HEADER + opt.bytes)
        return program_verdict(program, false, "%zu bytes waited for one client, with a high water "
                               "of %zu", all.peak, opt.high_water);
    if (!all.interrupted && all.served < opt.clients - leaving)
        return program_verdict(program, false, "%zu connections were served, not %zu", all.served,
                               opt.clients);
    return PASS;
}

static void add_row(struct program *program, double secs, bool right)
{
    struct summary latency = { 0 };
    struct record row = program->record;

    stats_summarize(all.latencies, all.latency_count, &latency);
    record_int(&row, "clients", (int64_t)opt.clients);
    record_int(&row, "messages", (int64_t)opt.messages);
    record_int(&row, "bytes", (int64_t)opt.bytes);
    record_int(&row, "answers", (int64_t)all.latency_count);
    record_int(&row, "cut_off", (int64_t)all.vanished);
    record_int(&row, "peak_bytes", (int64_t)all.peak);
    record_summary(&row, &latency, right && latency.count > 0);
    record_real(&row, "latency_p99_s", right && latency.count
                    ? all.latencies[(all.latency_count - 1) * 99 / 100] : NAN);
    record_real(&row, "answers_per_s", right ? (double)all.latency_count / secs : NAN);
    record_bool(&row, "verified", right);
    program_row(program, &row);
}

/* Libuv keeps a pipe for signals open from the first loop on: it belongs to what was there before.
 * */
static int warm_up(void)
{
    const int error = uv_loop_init(&all.loop);

    return error ? error : uv_loop_close(&all.loop);
}

static enum status run(struct program *program)
{
    if (!raise_limit()) {
        program_error("%zu connections take two descriptors each: give fewer --clients, or raise "
                      "the limit of open files", opt.clients + opt.stuck);
        return UNABLE;
    }
    signal(SIGPIPE, SIG_IGN);
    int error = warm_up();
    const size_t before = open_descriptors();
    error = error ? error : uv_loop_init(&all.loop);
    if (error) {
        program_error("a loop: %s", uv_strerror(error));
        return UNABLE;
    }
    const int64_t begin = clock_ns();
    error = listen_and_connect();
    if (error)
        set_error(error);
    end_all_if_through();
    uv_run(&all.loop, UV_RUN_DEFAULT);
    const double secs = clock_secs(begin, clock_ns());
    error = uv_loop_close(&all.loop);
    const size_t after = open_descriptors();
    if (error)
        return program_verdict(program, false, "the loop: %s: a handle is left", uv_strerror(error));
    const enum status status = check(program, before, after);
    if (status != UNABLE)
        add_row(program, secs, status == PASS);
    return status;
}

int main(int argc, char **argv)
{
    struct program program;
    enum status status = program_open(&program, argc, argv, options, NULL);

    if (status != PASS)
        return program_close(&program, status);
    all.clients = calloc(opt.clients + opt.stuck + 1, sizeof *all.clients);
    const size_t messages = size_product(opt.clients, opt.messages);
    all.latencies = size_alloc(messages, sizeof *all.latencies);
    int64_t *const sent_ns = size_alloc(messages, sizeof *sent_ns);
    if (!all.clients || !all.latencies || !sent_ns) {
        program_error("no memory for %zu clients of %zu messages: give fewer", opt.clients,
                      opt.messages);
        status = UNABLE;
    }
    for (size_t i = 0; status == PASS && i < opt.clients; i++)
        all.clients[i].sent_ns = sent_ns + i * opt.messages;
    if (status == PASS)
        status = run(&program);
    program_fault(&program, opt.fault, status == PASS, "no client waits for an answer");
    if (status == PASS && all.interrupted)
        program_note(&program, "interrupted: everything is closed");
    else if (status == PASS)
        program_verdict(&program, true, "%zu answers, byte for byte and in order; %zu clients cut "
                        "off in a message; all is closed", all.latency_count, all.vanished);
    free(sent_ns);
    free(all.latencies);
    free(all.clients);
    const int exit_status = program_close(&program, status);
    if (all.interrupted && status == PASS) {
        signal(SIGINT, SIG_DFL);
        raise(SIGINT);
    }
    return exit_status;
}
