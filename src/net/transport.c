/* TCP and unix stream sockets. See transport.h. */
#include "net/transport.h"

#include "base/err.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define KEEPALIVE_MS_DEFAULT     30000
#define WRITE_TIMEOUT_MS_DEFAULT 20000
#define KEEPALIVE_PROBES         3

static ssize_t socket_receive(int fd, void *buf, size_t len)
{
    for (;;) {
        ssize_t got = recv(fd, buf, len, 0);
        if (got >= 0)
            return got;
        if (errno == EAGAIN)
            return ERR_AGAIN;
        if (errno != EINTR)
            return err_from_errno(errno);
    }
}

static ssize_t socket_send(int fd, struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count};
    for (;;) {
        ssize_t sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN)
            return ERR_AGAIN;
        if (errno != EINTR)
            return err_from_errno(errno);
    }
}

static void socket_finish(int fd)
{
    (void)shutdown(fd, SHUT_WR);
}

/* ------------------------------------------------------------------------------------------- tcp
 */

static void tcp_set(int fd, int level, int name, int value)
{
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void tcp_tune(int fd, const struct conn_options *options)
{
    int64_t idle_ms = options->keepalive_ms ? options->keepalive_ms : KEEPALIVE_MS_DEFAULT;
    int64_t write_ms =
        options->write_timeout_ms ? options->write_timeout_ms : WRITE_TIMEOUT_MS_DEFAULT;
    tcp_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    tcp_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)write_ms);
    if (idle_ms < 0)
        return;
    int idle_s = idle_ms < 1000 ? 1 : (int)(idle_ms / 1000);
    int probe_s = idle_s < KEEPALIVE_PROBES ? 1 : idle_s / KEEPALIVE_PROBES;
    tcp_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    tcp_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
    tcp_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, probe_s);
    tcp_set(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the table's type */
static int tcp_peer_uid(int fd, uid_t *ret)
{
    (void)fd;
    (void)ret;
    return ERR_UNSUPPORTED;
}

static const struct transport transport_tcp = {
    .name = "tcp",
    .tune = tcp_tune,
    .receive = socket_receive,
    .send = socket_send,
    .finish = socket_finish,
    .peer_uid = tcp_peer_uid,
};

/* ------------------------------------------------------------------------------------------ unix
 */

static void unix_tune(int fd, const struct conn_options *options)
{
    (void)fd;
    (void)options;
}

static int unix_peer_uid(int fd, uid_t *ret)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
        return err_from_errno(errno);
    *ret = cred.uid;
    return OK;
}

static const struct transport transport_unix = {
    .name = "unix",
    .tune = unix_tune,
    .receive = socket_receive,
    .send = socket_send,
    .finish = socket_finish,
    .peer_uid = unix_peer_uid,
};

const struct transport *transport_for(int family)
{
    return family == AF_UNIX ? &transport_unix : &transport_tcp;
}
