/* A Modbus TCP server for simulators. See modbus_server.h. */
#include "sim/modbus_server.h"

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
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES 7 /* MBAP: transaction, protocol, length, unit */
#define PDU_MAX    253
#define FRAME_MAX  (HEAD_BYTES + PDU_MAX)
#define IN_MAX     (64 * FRAME_MAX) /* a client may send many requests at once */

enum exception {
    ILLEGAL_FUNCTION = 1,
    ILLEGAL_ADDRESS = 2,
    ILLEGAL_VALUE = 3,
};

struct client {
    int fd;
    size_t in_len;
    size_t out_len;
    uint8_t in[IN_MAX];
    uint8_t out[IN_MAX + FRAME_MAX];
};

struct server {
    const struct modbus_server_options *options;
    int listen_fd;
    int signal_fd;
    struct client clients[MODBUS_CLIENTS_MAX];
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* ------------------------------------------------------------------------------------- functions
 */

/* One request: pdu is function code and data; the answer goes to `out` the same way. Each handler
 * returns the answer's length, or minus an exception code. */
struct request {
    struct server *server;
    struct modbus_unit *unit;
    uint8_t unit_id;
    const uint8_t *pdu;
    size_t len;
    uint16_t address;
    uint16_t count;
};

static int read_bits(const struct request *r, const uint8_t *bits, uint8_t *out)
{
    if (r->count < 1 || r->count > 2000)
        return -ILLEGAL_VALUE;
    uint8_t bytes = (uint8_t)((r->count + 7) / 8);
    out[1] = bytes;
    memset(out + 2, 0, bytes);
    for (uint16_t i = 0; i < r->count; i++)
        out[2 + i / 8] = (uint8_t)(out[2 + i / 8] | (bits[r->address + i] & 1) << (i % 8));
    return 2 + bytes;
}

static int read_registers(const struct request *r, const uint16_t *registers, uint8_t *out)
{
    if (r->count < 1 || r->count > 125)
        return -ILLEGAL_VALUE;
    out[1] = (uint8_t)(r->count * 2);
    for (uint16_t i = 0; i < r->count; i++)
        put16(out + 2 + i * 2, registers[r->address + i]);
    return 2 + r->count * 2;
}

static uint8_t may_write(const struct request *r, bool coils, uint16_t count)
{
    const struct modbus_server_options *o = r->server->options;
    return o->may_write ? o->may_write(o->ctx, r->unit_id, coils, r->address, count) : 0;
}

static int echo(const struct request *r, uint8_t *out, size_t len)
{
    memcpy(out, r->pdu, len);
    return (int)len;
}

static int write_coil(const struct request *r, uint8_t *out)
{
    uint8_t refused = may_write(r, true, 1);
    if (r->count != 0xff00 && r->count != 0)
        return -ILLEGAL_VALUE;
    if (refused)
        return -refused;
    r->unit->coils[r->address] = r->count == 0xff00;
    return echo(r, out, 5);
}

static int write_register(const struct request *r, uint8_t *out)
{
    uint8_t refused = may_write(r, false, 1);
    if (refused)
        return -refused;
    r->unit->holding[r->address] = r->count;
    return echo(r, out, 5);
}

static int write_coils(const struct request *r, uint8_t *out)
{
    if (r->count < 1 || r->count > 1968 || r->len < 6 || r->pdu[5] != (r->count + 7) / 8 ||
        r->len != 6u + r->pdu[5])
        return -ILLEGAL_VALUE;
    uint8_t refused = may_write(r, true, r->count);
    if (refused)
        return -refused;
    for (uint16_t i = 0; i < r->count; i++)
        r->unit->coils[r->address + i] = r->pdu[6 + i / 8] >> (i % 8) & 1;
    return echo(r, out, 5);
}

static int write_registers(const struct request *r, uint8_t *out)
{
    if (r->count < 1 || r->count > 123 || r->len < 6 || r->pdu[5] != r->count * 2 ||
        r->len != 6u + r->pdu[5])
        return -ILLEGAL_VALUE;
    uint8_t refused = may_write(r, false, r->count);
    if (refused)
        return -refused;
    for (uint16_t i = 0; i < r->count; i++)
        r->unit->holding[r->address + i] = get16(r->pdu + 6 + i * 2);
    return echo(r, out, 5);
}

/* Mask write: (current AND and_mask) OR (or_mask AND NOT and_mask). */
static int mask_register(const struct request *r, uint8_t *out)
{
    if (r->len != 7)
        return -ILLEGAL_VALUE;
    uint8_t refused = may_write(r, false, 1);
    if (refused)
        return -refused;
    uint16_t and_mask = get16(r->pdu + 3);
    uint16_t or_mask = get16(r->pdu + 5);
    uint16_t *reg = &r->unit->holding[r->address];
    *reg = (uint16_t)((*reg & and_mask) | (or_mask & ~and_mask));
    return echo(r, out, 7);
}

static int serve(const struct request *r, uint8_t *out)
{
    switch (r->pdu[0]) {
    case 1:
        return read_bits(r, r->unit->coils, out);
    case 2:
        return read_bits(r, r->unit->discrete, out);
    case 3:
        return read_registers(r, r->unit->holding, out);
    case 4:
        return read_registers(r, r->unit->input, out);
    case 5:
        return write_coil(r, out);
    case 6:
        return write_register(r, out);
    case 15:
        return write_coils(r, out);
    case 16:
        return write_registers(r, out);
    case 22:
        return mask_register(r, out);
    default:
        return -ILLEGAL_FUNCTION;
    }
}

static bool is_write(uint8_t function)
{
    return function == 5 || function == 6 || function == 15 || function == 16 || function == 22;
}

/* How many registers or bits a request touches (its second number is a value in 5, 6 and 22). */
static uint16_t touched(uint8_t function, uint16_t second)
{
    return function == 5 || function == 6 || function == 22 ? 1 : second;
}

/* Answers one frame; returns the answer's length, 0 for none. */
static size_t answer(struct server *s, const uint8_t *frame, size_t pdu_len, uint8_t *out)
{
    const struct modbus_server_options *o = s->options;
    struct request r = {.server = s, .unit_id = frame[6], .pdu = frame + HEAD_BYTES};
    r.len = pdu_len;
    r.address = pdu_len >= 5 ? get16(r.pdu + 1) : 0;
    r.count = pdu_len >= 5 ? get16(r.pdu + 3) : 0;
    uint16_t count = touched(r.pdu[0], r.count);
    r.unit = o->request(o->ctx, r.unit_id, r.pdu[0], r.address, count);
    if (!r.unit)
        return 0;
    uint8_t *pdu = out + HEAD_BYTES;
    int len = -ILLEGAL_VALUE;
    if (pdu_len >= 5)
        len = r.address + count > MODBUS_AREA ? -ILLEGAL_ADDRESS : serve(&r, pdu);
    pdu[0] = r.pdu[0];
    if (len < 0) {
        pdu[0] |= 0x80;
        pdu[1] = (uint8_t)-len;
        len = 2;
    } else if (is_write(r.pdu[0]) && o->written) {
        o->written(o->ctx, r.unit_id);
    }
    memcpy(out, frame, 4);
    put16(out + 4, (uint16_t)(len + 1));
    out[6] = frame[6];
    return HEAD_BYTES + (size_t)len;
}

/* --------------------------------------------------------------------------------------- clients
 */

static void client_close(struct client *c)
{
    (void)close(c->fd);
    c->fd = -1;
    c->in_len = 0;
    c->out_len = 0;
}

static void client_flush(struct client *c)
{
    if (c->out_len == 0)
        return;
    ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        client_close(c);
        return;
    }
    if (n > 0) {
        c->out_len -= (size_t)n;
        memmove(c->out, c->out + n, c->out_len);
    }
}

/* Serves the whole frames in the buffer as long as their answers find room. */
static void client_serve(struct server *s, struct client *c)
{
    size_t at = 0;
    while (c->in_len - at >= HEAD_BYTES && c->out_len <= sizeof c->out - FRAME_MAX) {
        const uint8_t *frame = c->in + at;
        uint16_t length = get16(frame + 4);
        if (get16(frame + 2) != 0 || length < 2 || length > PDU_MAX + 1) {
            client_close(c); /* not Modbus */
            return;
        }
        if (c->in_len - at < 6u + length)
            break;
        c->out_len += answer(s, frame, length - 1u, c->out + c->out_len);
        at += 6u + length;
    }
    c->in_len -= at;
    memmove(c->in, c->in + at, c->in_len);
}

static void client_read(struct server *s, struct client *c)
{
    if (c->in_len == sizeof c->in) {
        client_serve(s, c);
        return;
    }
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        client_close(c);
        return;
    }
    if (n > 0)
        c->in_len += (size_t)n;
    client_serve(s, c);
    if (c->fd >= 0)
        client_flush(c);
}

static void client_accept(struct server *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < MODBUS_CLIENTS_MAX; i++) {
        if (s->clients[i].fd < 0) {
            s->clients[i].fd = fd;
            return;
        }
    }
    (void)close(fd);
}

/* ---------------------------------------------------------------------------------------- server
 */

static int server_listen(struct server *s, const char *name)
{
    const struct modbus_server_options *o = s->options;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    socklen_t len = sizeof address;
    int on = 1;
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd < 0 || inet_pton(AF_INET, o->host, &address.sin_addr) != 1 ||
        setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(s->listen_fd, (struct sockaddr *)&address, sizeof address) ||
        listen(s->listen_fd, MODBUS_CLIENTS_MAX) ||
        getsockname(s->listen_fd, (struct sockaddr *)&address, &len)) {
        (void)fprintf(stderr, "sim %s: cannot listen on %s:%u: %s\n", name, o->host, o->port,
                      err_text(err_from_errno(errno)));
        return -1;
    }
    (void)printf("sim %s: Modbus TCP on %s:%u\n", name, o->host, ntohs(address.sin_port));
    (void)fflush(stdout);
    return 0;
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
    if (fds[0].revents)
        client_accept(s);
    for (size_t i = 0; i < MODBUS_CLIENTS_MAX; i++) {
        struct client *c = &s->clients[i];
        if (c->fd < 0 || c->fd != fds[2 + i].fd || !fds[2 + i].revents)
            continue;
        if (fds[2 + i].revents & POLLOUT)
            client_flush(c);
        if (c->fd >= 0)
            client_read(s, c);
    }
}

static void server_loop(struct server *s)
{
    const struct modbus_server_options *o = s->options;
    struct pollfd fds[2 + MODBUS_CLIENTS_MAX];
    while (!o->tick || o->tick(o->ctx)) {
        fds[0] = (struct pollfd){.fd = s->listen_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
        for (size_t i = 0; i < MODBUS_CLIENTS_MAX; i++) {
            const struct client *c = &s->clients[i];
            short events = (short)(c->out_len ? POLLIN | POLLOUT : POLLIN);
            fds[2 + i] = (struct pollfd){.fd = c->fd, .events = events};
        }
        if (poll(fds, 2 + MODBUS_CLIENTS_MAX, o->tick_ms) < 0 && errno != EINTR)
            return;
        if (fds[1].revents)
            return;
        server_turn(s, fds);
    }
}

int modbus_server_run(const struct modbus_server_options *options, const char *name)
{
    struct server *s = calloc(1, sizeof *s); /* two megabytes: too much for a stack */
    if (!s)
        return 1;
    s->options = options;
    s->listen_fd = -1;
    s->signal_fd = -1;
    for (size_t i = 0; i < MODBUS_CLIENTS_MAX; i++)
        s->clients[i].fd = -1;
    int code = server_signals(s) || server_listen(s, name) ? 1 : 0;
    if (!code)
        server_loop(s);
    for (size_t i = 0; i < MODBUS_CLIENTS_MAX; i++) {
        if (s->clients[i].fd >= 0)
            client_close(&s->clients[i]);
    }
    if (s->listen_fd >= 0)
        (void)close(s->listen_fd);
    if (s->signal_fd >= 0)
        (void)close(s->signal_fd);
    free(s);
    return code;
}
