/* Finding the other side: name look-up, then one address after the other until one answers.
 *
 * The time-out covers all of it. Each of several addresses of a name gets its share of what is
 * left, so that a dead v6 route does not use up the time of the v4 address behind it.
 */
#include "base/clock.h"
#include "net/conn_priv.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS_DEFAULT 10000
#define CONNECT_TARGETS_MAX        8

struct connect_target {
    struct sockaddr_storage addr;
    socklen_t len;
};

struct connect {
    uv_getaddrinfo_t look_up;
    struct conn *conn;
    bool looking_up;
    bool abandoned; /* the conn was closed during the look-up */
    struct address address;
    int64_t deadline_us;
    size_t count;
    size_t next;
    int last_err;
    struct connect_target targets[CONNECT_TARGETS_MAX];
};

static int64_t connect_timeout_ms(const struct conn *c)
{
    return c->options.connect_timeout_ms ? c->options.connect_timeout_ms
                                         : CONNECT_TIMEOUT_MS_DEFAULT;
}

int connect_new(struct conn *c, const char *address)
{
    struct connect *k = calloc(1, sizeof *k);
    if (!k)
        return ERR_NOMEM;
    int err = address_parse(address, &k->address, NULL);
    if (!err && k->address.kind == ADDRESS_TCP && (k->address.port == 0 || !k->address.host[0]))
        err = ERR_SYNTAX; /* fine for listening only */
    if (err) {
        free(k);
        return err;
    }
    k->conn = c;
    c->connect = k;
    return OK;
}

bool connect_free(struct conn *c)
{
    struct connect *k = c->connect;
    c->connect = NULL;
    if (!k)
        return false;
    if (k->looking_up) {
        k->abandoned = true;
        (void)uv_cancel((uv_req_t *)&k->look_up); /* says by its callback that it has ended */
        return true;
    }
    free(k);
    return false;
}

/* ------------------------------------------------------------------------------ saying what failed
 */

static void connect_failed(struct conn *c, int err)
{
    switch (err) {
    case ERR_REFUSED:
        conn_end(c, err, "%s refused the connection: is it running, and is that its port?",
                 c->peer);
        break;
    case ERR_TIMEOUT:
        conn_end(c, err, "%s did not answer within %lld ms; check address, cable and firewall",
                 c->peer, (long long)connect_timeout_ms(c));
        break;
    case ERR_UNREACHABLE:
        conn_end(c, err, "there is no route to %s; check address and network", c->peer);
        break;
    case ERR_NOT_FOUND:
        if (c->connect->address.kind == ADDRESS_UNIX)
            conn_end(c, err, "there is no socket %s", c->peer);
        else
            conn_end(c, err, "the host %s is not known; check its spelling and the name server",
                     c->connect->address.host);
        break;
    default:
        conn_end(c, err, "no connection to %s: %s", c->peer, err_text(err));
        break;
    }
}

/* ---------------------------------------------------------------------------------------- attempts
 */

static void connect_close_attempt(struct conn *c)
{
    watch_close(c->watch);
    c->watch = NULL;
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
}

static void connect_arm(struct conn *c)
{
    struct connect *k = c->connect;
    int64_t now_us = clock_mono_us();
    int64_t left_us = k->deadline_us - now_us;
    size_t attempts = k->count - k->next + 1; /* this one and those behind it */
    int64_t share_us = left_us > 0 ? left_us / (int64_t)attempts : 0;
    if (exec_timer_start(&c->loop->exec, &c->timer, now_us + share_us))
        connect_failed(c, ERR_NOMEM);
}

/* Begins one attempt: OK (watching, or open already) or why it failed at once. */
static int connect_try(struct conn *c, const struct connect_target *target)
{
    int family = target->addr.ss_family;
    c->transport = transport_for(family);
    c->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return err_from_errno(errno);
    c->transport->tune(c->fd, &c->options);
    int rc = connect(c->fd, (const struct sockaddr *)&target->addr, target->len);
    int errno_value = rc ? errno : 0;
    if (rc && errno_value != EINPROGRESS && errno_value != EINTR)
        return err_from_errno(errno_value);
    int err = watch_new(c->loop, c->fd, conn_on_events, c, &c->watch);
    if (err)
        return err;
    if (rc) {
        watch_set(c->watch, UV_WRITABLE);
        connect_arm(c);
    } else {
        conn_opened(c);
    }
    return OK;
}

static void connect_next(struct conn *c)
{
    struct connect *k = c->connect;
    while (k->next < k->count) {
        connect_close_attempt(c);
        int err = connect_try(c, &k->targets[k->next++]);
        if (!err)
            return;
        k->last_err = err;
    }
    connect_failed(c, k->last_err);
}

void connect_on_events(struct conn *c)
{
    int errno_value = 0;
    socklen_t len = sizeof errno_value;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errno_value, &len))
        errno_value = errno;
    if (errno_value == 0) {
        conn_opened(c);
        return;
    }
    c->connect->last_err = err_from_errno(errno_value);
    connect_next(c);
}

void connect_on_timer(struct conn *c)
{
    c->connect->last_err = ERR_TIMEOUT;
    if (clock_mono_us() >= c->connect->deadline_us)
        connect_failed(c, ERR_TIMEOUT);
    else
        connect_next(c);
}

/* ----------------------------------------------------------------------------------------- look-up
 */

static void connect_take_found(struct connect *k, const struct addrinfo *found)
{
    for (; found && k->count < CONNECT_TARGETS_MAX; found = found->ai_next) {
        if (found->ai_addrlen > sizeof k->targets[0].addr)
            continue;
        memcpy(&k->targets[k->count].addr, found->ai_addr, found->ai_addrlen);
        k->targets[k->count++].len = found->ai_addrlen;
    }
}

static void connect_on_found(uv_getaddrinfo_t *look_up, int status, struct addrinfo *found)
{
    struct connect *k = CONTAINER_OF(look_up, struct connect, look_up);
    struct conn *c = k->conn;
    k->looking_up = false;
    if (k->abandoned) {
        uv_freeaddrinfo(found);
        free(k);
        conn_gone_later(c);
        return;
    }
    if (status == 0)
        connect_take_found(k, found);
    uv_freeaddrinfo(found);
    k->last_err = status == UV_EAI_MEMORY ? ERR_NOMEM : ERR_NOT_FOUND;
    connect_next(c);
}

static int connect_look_up(struct conn *c)
{
    struct connect *k = c->connect;
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    (void)snprintf(port, sizeof port, "%u", k->address.port);
    int rc =
        uv_getaddrinfo(&c->loop->uv, &k->look_up, connect_on_found, k->address.host, port, &hints);
    if (rc)
        return rc == UV_ENOMEM ? ERR_NOMEM : ERR_NOT_FOUND;
    k->looking_up = true;
    connect_arm(c);
    return OK;
}

void connect_start(struct conn *c)
{
    struct connect *k = c->connect;
    k->deadline_us = clock_mono_us() + connect_timeout_ms(c) * 1000;
    int err = address_to_sockaddr(&k->address, &k->targets[0].addr, &k->targets[0].len);
    if (!err) {
        k->count = 1;
        connect_next(c);
        return;
    }
    err = connect_look_up(c);
    if (err)
        connect_failed(c, err);
}
