/* The poll loop of a simulator. See server.h. */
#include "sim/server.h"

#include "base/err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX 65536 /* with more than this to send, no further request is answered */
#define FDS_MAX (1 + SIM_LISTENERS_MAX + SIM_CLIENTS_MAX)

struct client {
    int fd;
    bool closing; /* as soon as out is sent */
    const struct sim_listener *listener;
    size_t in_len;
    size_t sent; /* of out */
    struct buf out;
    uint8_t in[SIM_REQUEST_MAX];
};

struct server {
    const struct sim_server_options *options;
    int signal_fd;
    int listen_fds[SIM_LISTENERS_MAX];
    bool listening[SIM_LISTENERS_MAX];
    struct client clients[SIM_CLIENTS_MAX];
};

/* --------------------------------------------------------------------------------------- clients
 */

static void client_close(struct client *c)
{
    (void)close(c->fd);
    buf_fini(&c->out);
    c->fd = -1;
    c->in_len = 0;
    c->sent = 0;
    c->closing = false;
}

static void client_flush(struct client *c)
{
    size_t left = c->out.len - c->sent;
    if (left > 0) {
        ssize_t n = send(c->fd, c->out.ptr + c->sent, left, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            client_close(c);
            return;
        }
        c->sent += n > 0 ? (size_t)n : 0;
    }
    if (c->sent < c->out.len)
        return;
    buf_reset(&c->out);
    c->sent = 0;
    if (c->closing)
        client_close(c);
}

/* Answers the whole requests that are there. */
static void client_serve(struct client *c)
{
    size_t at = 0;
    while (at < c->in_len && !c->closing && c->out.len - c->sent < OUT_MAX) {
        struct bytes in = bytes_of(c->in + at, c->in_len - at);
        size_t taken = c->listener->serve(c->listener->ctx, in, &c->out);
        if (taken == 0)
            break;
        c->closing = taken == SIM_CLOSE || buf_error(&c->out);
        at = c->closing ? c->in_len : at + taken;
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
    if (c->in_len == sizeof c->in && c->out.len == c->sent)
        c->closing = true; /* a request without end */
    client_flush(c);
}

static void client_read(struct client *c)
{
    size_t room = sizeof c->in - c->in_len;
    ssize_t n = room ? recv(c->fd, c->in + c->in_len, room, 0) : 0;
    if (room && (n == 0 || (n < 0 && errno != EAGAIN))) {
        client_close(c);
        return;
    }
    c->in_len += n > 0 ? (size_t)n : 0;
    client_serve(c);
}

static void client_accept(struct server *s, uint32_t i)
{
    int fd = accept4(s->listen_fds[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t k = 0; k < SIM_CLIENTS_MAX; k++) {
        if (s->clients[k].fd < 0) {
            s->clients[k].fd = fd;
            s->clients[k].listener = &s->options->listeners[i];
            return;
        }
    }
    (void)close(fd);
}

/* ---------------------------------------------------------------------------------------- server
 */

static int server_listen(struct server *s, uint32_t i)
{
    const struct sim_server_options *o = s->options;
    struct sim_listener *l = &o->listeners[i];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(l->port)};
    socklen_t len = sizeof address;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->listen_fds[i] = fd;
    if (fd < 0 || inet_pton(AF_INET, o->host, &address.sin_addr) != 1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) ||
        getsockname(fd, (struct sockaddr *)&address, &len)) {
        (void)fprintf(stderr, "sim %s: cannot listen on %s:%u: %s\n", o->name, o->host, l->port,
                      err_text(err_from_errno(errno)));
        return -1;
    }
    l->port = ntohs(address.sin_port);
    (void)printf("sim %s: %s on %s:%u\n", o->name, l->label, o->host, l->port);
    (void)fflush(stdout);
    return 0;
}

/* Lets in where it has not yet been done. */
static void server_open(struct server *s)
{
    for (uint32_t i = 0; i < s->options->count; i++) {
        if (!s->options->listeners[i].closed && !s->listening[i])
            s->listening[i] = listen(s->listen_fds[i], SIM_CLIENTS_MAX) == 0;
    }
}

static int server_signals(struct server *s)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->signal_fd < 0 ? -1 : 0;
}

static void server_turn(struct server *s, const struct pollfd *fds)
{
    for (uint32_t i = 0; i < s->options->count; i++) {
        if (fds[1 + i].revents)
            client_accept(s, i);
    }
    const struct pollfd *client_fds = fds + 1 + s->options->count;
    for (size_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        if (c->fd < 0 || c->fd != client_fds[i].fd || !client_fds[i].revents)
            continue;
        if (client_fds[i].revents & POLLOUT)
            client_flush(c);
        if (c->fd >= 0)
            client_read(c);
    }
}

static void server_loop(struct server *s)
{
    const struct sim_server_options *o = s->options;
    struct pollfd fds[FDS_MAX];
    nfds_t count = 1 + o->count + SIM_CLIENTS_MAX;
    while (!o->tick || o->tick(o->ctx)) {
        fds[0] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
        server_open(s);
        for (uint32_t i = 0; i < o->count; i++)
            fds[1 + i] =
                (struct pollfd){.fd = s->listening[i] ? s->listen_fds[i] : -1, .events = POLLIN};
        for (size_t i = 0; i < SIM_CLIENTS_MAX; i++) {
            const struct client *c = &s->clients[i];
            short events = (short)(c->out.len ? POLLIN | POLLOUT : POLLIN);
            fds[1 + o->count + i] = (struct pollfd){.fd = c->fd, .events = events};
        }
        if (poll(fds, count, o->tick_ms) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        server_turn(s, fds);
    }
}

static void server_close(struct server *s)
{
    for (size_t i = 0; i < SIM_CLIENTS_MAX; i++) {
        if (s->clients[i].fd >= 0)
            client_close(&s->clients[i]);
    }
    for (uint32_t i = 0; i < s->options->count; i++) {
        if (s->listen_fds[i] >= 0)
            (void)close(s->listen_fds[i]);
    }
    if (s->signal_fd >= 0)
        (void)close(s->signal_fd);
    free(s);
}

int sim_server_run(const struct sim_server_options *options)
{
    struct server *s = calloc(1, sizeof *s); /* two megabytes: too much for a stack */
    if (!s)
        return 1;
    s->options = options;
    s->signal_fd = -1;
    for (size_t i = 0; i < SIM_CLIENTS_MAX; i++)
        s->clients[i].fd = -1;
    for (uint32_t i = 0; i < SIM_LISTENERS_MAX; i++)
        s->listen_fds[i] = -1;
    int code = server_signals(s) ? 1 : 0;
    for (uint32_t i = 0; i < options->count && !code; i++)
        code = server_listen(s, i) ? 1 : 0;
    if (!code)
        server_open(s);
    if (!code && options->ready && !options->ready(options->ctx))
        code = 1;
    if (!code)
        server_loop(s);
    server_close(s);
    return code;
}
