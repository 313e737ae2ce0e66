/* Connections over real sockets on this machine. The test's thread drives; what happens on the loop
 * is noted in a `struct side` under a mutex. */
#include "net/conn.h"

#include "base/err.h"
#include "net/listener.h"
#include "net/loop.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One end of a connection as the loop sees it. */
struct side {
    struct exec *exec;
    struct conn *conn; /* loop's thread */
    atomic_bool there; /* conn is set */
    atomic_int opened;
    atomic_int closed;
    atomic_int drained;
    atomic_int close_err;
    atomic_size_t received;
    bool echo;
    bool close_on_data;
    pthread_mutex_t mutex;
    char data[256]; /* the first bytes */
    char error[256];
    char peer[ADDRESS_TEXT_BYTES_MAX];
};

static void side_init(struct side *s, struct exec *e)
{
    *s = (struct side){.exec = e};
    (void)pthread_mutex_init(&s->mutex, NULL);
}

static void side_on_open(void *ctx, struct conn *c)
{
    struct side *s = ctx;
    (void)snprintf(s->peer, sizeof s->peer, "%s", conn_peer(c));
    atomic_fetch_add(&s->opened, 1);
}

static void side_on_data(void *ctx, struct conn *c, struct bytes data)
{
    struct side *s = ctx;
    (void)pthread_mutex_lock(&s->mutex);
    size_t have = atomic_load(&s->received);
    if (have < sizeof s->data - 1) {
        size_t room = sizeof s->data - 1 - have;
        memcpy(s->data + have, data.ptr, data.len < room ? data.len : room);
    }
    (void)pthread_mutex_unlock(&s->mutex);
    atomic_fetch_add(&s->received, data.len);
    if (s->echo)
        (void)conn_write(c, data);
    if (s->close_on_data)
        conn_close(c);
}

static void side_on_drain(void *ctx, struct conn *c)
{
    struct side *s = ctx;
    (void)c;
    atomic_fetch_add(&s->drained, 1);
}

static void side_on_close(void *ctx, struct conn *c, int err)
{
    struct side *s = ctx;
    (void)snprintf(s->error, sizeof s->error, "%s", conn_error(c));
    s->conn = NULL;
    atomic_store(&s->close_err, err);
    atomic_fetch_add(&s->closed, 1);
}

static const struct conn_handler side_handler = {
    .on_open = side_on_open,
    .on_data = side_on_data,
    .on_drain = side_on_drain,
    .on_close = side_on_close,
};

/* ------------------------------------------------------------------------------------- a listener
 */

struct server {
    struct exec *exec;
    struct side side; /* the first accepted conn */
    struct listener *listener;
    struct listener_options options;
    const char *address;
    struct diag diag;
    atomic_int accepted;
};

static void server_on_accept(void *ctx, struct conn *c)
{
    struct server *s = ctx;
    s->side.conn = c;
    conn_handler_set(c, &side_handler, &s->side);
    (void)snprintf(s->side.peer, sizeof s->side.peer, "%s", conn_peer(c));
    atomic_store(&s->side.there, true);
    atomic_fetch_add(&s->accepted, 1);
}

static int server_open_run(void *ctx)
{
    struct server *s = ctx;
    return listener_open(s->exec, s->address, &s->options, server_on_accept, s, &s->listener,
                         &s->diag);
}

static int server_open(struct server *s, struct exec *e, const char *address)
{
    s->exec = e;
    s->address = address;
    side_init(&s->side, e);
    return exec_call(e, server_open_run, s);
}

static int server_close_run(void *ctx)
{
    struct server *s = ctx;
    listener_close(s->listener);
    s->listener = NULL;
    return OK;
}

static void server_close(struct server *s)
{
    (void)exec_call(s->exec, server_close_run, s);
}

/* --------------------------------------------------------------------------- doing it on the loop
 */

struct act {
    struct side *side;
    const char *address;
    const struct conn_options *options;
    struct bytes data;
    struct payload *payload;
    int count;
};

static int act_open(void *ctx)
{
    struct act *a = ctx;
    int err =
        conn_open(a->side->exec, a->address, a->options, &side_handler, a->side, &a->side->conn);
    if (!err)
        atomic_store(&a->side->there, true);
    return err;
}

static int act_write(void *ctx)
{
    struct act *a = ctx;
    if (!a->side->conn)
        return ERR_CLOSED;
    int err = OK;
    for (int i = 0; !err && i < (a->count ? a->count : 1); i++)
        err = a->payload ? conn_write_payload(a->side->conn, a->payload)
                         : conn_write(a->side->conn, a->data);
    return err;
}

static int act_close(void *ctx)
{
    struct act *a = ctx;
    if (a->side->conn)
        conn_close(a->side->conn);
    return OK;
}

static int act_finish(void *ctx)
{
    struct act *a = ctx;
    if (a->side->conn)
        conn_finish(a->side->conn, a->count);
    return OK;
}

static int act_pause(void *ctx)
{
    struct act *a = ctx;
    conn_pause(a->side->conn);
    return OK;
}

static int act_resume(void *ctx)
{
    struct act *a = ctx;
    conn_resume(a->side->conn);
    return OK;
}

static int side_open(struct side *s, const char *address, const struct conn_options *options)
{
    return exec_call(s->exec, act_open,
                     &(struct act){.side = s, .address = address, .options = options});
}

static int side_write(struct side *s, const char *text)
{
    return exec_call(s->exec, act_write, &(struct act){.side = s, .data = bytes_of_text(text)});
}

static void side_close(struct side *s)
{
    (void)exec_call(s->exec, act_close, &(struct act){.side = s});
    CHECK_SOON(atomic_load(&s->closed) == 1, 5000);
}

/* ---------------------------------------------------------------------------------- plain sockets
 */

static int plain_connect(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

/* Reads until the end of the stream; the number of bytes. */
static size_t plain_read_all(int fd)
{
    static const int timeout_ms = 10000;
    char buf[2048];
    size_t total = 0;
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        CHECK(poll(&p, 1, timeout_ms) == 1);
        ssize_t got = recv(fd, buf, sizeof buf, 0);
        if (got <= 0)
            return total;
        total += (size_t)got;
    }
}

static void plain_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    (void)close(fd);
}

/* ------------------------------------------------------------------------------------------ tests
 */

static void check_echo(const char *listen_address)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, listen_address));
    server.side.echo = true;
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, listener_address(server.listener), NULL));
    CHECK_SOON(atomic_load(&client.opened) == 1, 5000);
    CHECK_OK(side_write(&client, "hello, "));
    CHECK_OK(side_write(&client, "world"));
    CHECK_SOON(atomic_load(&client.received) == 12, 5000);
    CHECK_STR(client.data, "hello, world");
    CHECK_STR(client.peer, listener_address(server.listener));
    side_close(&client);
    CHECK_EQ(atomic_load(&client.close_err), OK);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), ERR_CLOSED);
    CHECK(strstr(server.side.error, "closed the connection") != NULL);
    server_close(&server);
    loop_free(e);
}

TEST(echo_over_tcp)
{
    check_echo("127.0.0.1:0");
}

TEST(echo_over_tcp_6)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool has = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof sa) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (!has)
        check_skip("this machine has no ::1");
    check_echo("[::1]:0");
}

TEST(echo_over_a_unix_socket)
{
    char address[ADDRESS_TEXT_BYTES_MAX];
    (void)snprintf(address, sizeof address, "unix:%s/echo.sock", check_folder());
    check_echo(address);
    CHECK_EQ(access(address + 5, F_OK), -1);
}

static int act_uid(void *ctx)
{
    struct act *a = ctx;
    uid_t uid = 0;
    int err = conn_peer_uid(a->side->conn, &uid);
    return err ? err : (int)uid;
}

TEST(a_unix_peer_has_a_user_and_a_tcp_peer_has_none)
{
    char address[ADDRESS_TEXT_BYTES_MAX];
    (void)snprintf(address, sizeof address, "unix:%s/uid.sock", check_folder());
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    const char *const addresses[] = {address, "127.0.0.1:0"};
    for (int i = 0; i < 2; i++) {
        struct server server = {0};
        struct side client;
        side_init(&client, e);
        CHECK_OK(server_open(&server, e, addresses[i]));
        CHECK_OK(side_open(&client, listener_address(server.listener), NULL));
        CHECK_SOON(atomic_load(&server.side.there), 5000);
        CHECK_EQ(exec_call(e, act_uid, &(struct act){.side = &server.side}),
                 i == 0 ? (int)getuid() : ERR_UNSUPPORTED);
        side_close(&client);
        CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
        server_close(&server);
    }
    loop_free(e);
}

TEST(a_port_where_nobody_listens_refuses_by_name)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    char address[ADDRESS_TEXT_BYTES_MAX];
    (void)snprintf(address, sizeof address, "%s", listener_address(server.listener));
    server_close(&server);
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, address, NULL));
    CHECK_SOON(atomic_load(&client.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&client.close_err), ERR_REFUSED);
    CHECK_EQ(atomic_load(&client.opened), 0);
    CHECK(strstr(client.error, "refused") && strstr(client.error, address));
    loop_free(e);
}

TEST(a_missing_socket_file_is_said)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, "unix:/nonexistent/x.sock", NULL));
    CHECK_SOON(atomic_load(&client.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&client.close_err), ERR_NOT_FOUND);
    CHECK(strstr(client.error, "/nonexistent/x.sock") != NULL);
    loop_free(e);
}

TEST(what_is_no_address_fails_at_once)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct side client;
    side_init(&client, e);
    CHECK_ERR(side_open(&client, "nothing", NULL), ERR_SYNTAX);
    CHECK_ERR(side_open(&client, "127.0.0.1:0", NULL), ERR_SYNTAX);
    CHECK_ERR(side_open(&client, ":502", NULL), ERR_SYNTAX);
    loop_free(e);
}

TEST(names_are_looked_up)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    char address[64];
    (void)snprintf(address, sizeof address, "localhost:%u", listener_port(server.listener));
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, address, NULL));
    CHECK_SOON(atomic_load(&client.opened) == 1, 10000);
    side_close(&client);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    server_close(&server);
    loop_free(e);
}

TEST(closing_during_a_look_up_is_safe)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, "no-such-host.invalid:502", NULL));
    (void)exec_call(e, act_close, &(struct act){.side = &client});
    CHECK_SOON(atomic_load(&client.closed) == 1, 30000);
    CHECK_EQ(atomic_load(&client.close_err), OK);
    loop_free(e);
}

/* A listening socket whose queue is full answers no SYN: nothing comes back, as from a dead host.
 */
TEST(no_answer_is_a_time_out)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t len = sizeof sa;
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(listening, (const struct sockaddr *)&sa, sizeof sa), 0);
    CHECK_EQ(listen(listening, 0), 0);
    CHECK_EQ(getsockname(listening, (struct sockaddr *)&sa, &len), 0);
    int fillers[4];
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fillers[i], (const struct sockaddr *)&sa, sizeof sa);
    }
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct side client;
    side_init(&client, e);
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(sa.sin_port));
    struct conn_options options = {.connect_timeout_ms = 150};
    CHECK_OK(side_open(&client, address, &options));
    CHECK_SOON(atomic_load(&client.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&client.close_err), ERR_TIMEOUT);
    CHECK(strstr(client.error, "150 ms") != NULL);
    loop_free(e);
    for (int i = 0; i < 4; i++)
        (void)close(fillers[i]);
    (void)close(listening);
}

TEST(what_was_written_before_the_connection_opened_arrives)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, listener_address(server.listener), NULL));
    CHECK_OK(side_write(&client, "early"));
    CHECK_SOON(atomic_load(&server.side.received) == 5, 5000);
    CHECK_STR(server.side.data, "early");
    side_close(&client);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    server_close(&server);
    loop_free(e);
}

#define LARGE_BYTES (3u << 20)

/* Reads just n bytes, all 'x'. */
static void plain_read_x(int fd, size_t n)
{
    char buf[2048];
    while (n > 0) {
        ssize_t got = recv(fd, buf, n < sizeof buf ? n : sizeof buf, 0);
        CHECK(got > 0);
        CHECK(buf[0] == 'x' && buf[got - 1] == 'x');
        n -= (size_t)got;
    }
}

TEST(large_writes_wait_for_a_slow_reader_then_drain)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    struct payload *p = payload_new(LARGE_BYTES);
    memset(p->data, 'x', p->len);
    struct act act = {.side = &server.side, .payload = p, .count = 8};
    CHECK_OK(exec_call(e, act_write, &act));
    CHECK_OK(side_write(&server.side, "tail"));
    struct act finish = {.side = &server.side, .count = 20000};
    CHECK_EQ(atomic_load(&server.side.drained), 0);
    CHECK(atomic_load(&p->refs) > 1); /* referenced, not copied */
    plain_read_x(fd, 8u * LARGE_BYTES);
    char tail[4];
    CHECK_EQ(recv(fd, tail, sizeof tail, MSG_WAITALL), 4);
    CHECK_MEM(tail, "tail", 4);
    CHECK_SOON(atomic_load(&server.side.drained) == 1, 5000);
    CHECK_SOON(atomic_load(&p->refs) == 1, 5000);
    payload_unref(p);
    (void)exec_call(e, act_finish, &finish);
    CHECK_EQ(plain_read_all(fd), 0);
    (void)close(fd);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    server_close(&server);
    loop_free(e);
}

TEST(the_queue_has_a_limit_and_nothing_is_queued_above_it)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {.options = {.conn = {.queued_bytes_max = 1000}}};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    char text[1002];
    memset(text, 'y', sizeof text);
    struct act too_much = {.side = &server.side, .data = bytes_of(text, 1001)};
    struct act just_right = {.side = &server.side, .data = bytes_of(text, 1000)};
    CHECK_ERR(exec_call(e, act_write, &too_much), ERR_LIMIT);
    CHECK_OK(exec_call(e, act_write, &just_right));
    (void)exec_call(e, act_finish, &(struct act){.side = &server.side});
    CHECK_ERR(exec_call(e, act_write, &just_right), ERR_CLOSED);
    CHECK_EQ(plain_read_all(fd), 1000);
    (void)close(fd);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), OK);
    server_close(&server);
    loop_free(e);
}

TEST(finish_sends_all_that_is_queued_and_ends)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    struct payload *p = payload_new(LARGE_BYTES);
    memset(p->data, 'x', p->len);
    CHECK_OK(
        exec_call(e, act_write, &(struct act){.side = &server.side, .payload = p, .count = 4}));
    (void)exec_call(e, act_finish, &(struct act){.side = &server.side, .count = 20000});
    CHECK_EQ(plain_read_all(fd), 4u * LARGE_BYTES);
    CHECK_EQ(atomic_load(&server.side.closed), 0); /* the other side has not ended yet */
    (void)close(fd);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), OK);
    payload_unref(p);
    server_close(&server);
    loop_free(e);
}

TEST(close_while_writing_lets_go_of_everything)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    struct payload *p = payload_new(LARGE_BYTES);
    memset(p->data, 'x', p->len);
    CHECK_OK(
        exec_call(e, act_write, &(struct act){.side = &server.side, .payload = p, .count = 8}));
    (void)exec_call(e, act_close, &(struct act){.side = &server.side});
    (void)exec_call(e, act_close, &(struct act){.side = &server.side});
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), OK);
    CHECK_EQ(atomic_load(&p->refs), 1);
    payload_unref(p);
    (void)close(fd);
    server_close(&server);
    loop_free(e);
}

TEST(close_from_inside_on_data_is_safe)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    server.side.close_on_data = true;
    int fd = plain_connect(listener_port(server.listener));
    CHECK_EQ(send(fd, "bye", 3, MSG_NOSIGNAL), 3);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), OK);
    CHECK_EQ(atomic_load(&server.side.received), 3);
    (void)close(fd);
    server_close(&server);
    loop_free(e);
}

TEST(a_half_closed_peer_is_closed_after_its_last_bytes)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_EQ(send(fd, "last", 4, MSG_NOSIGNAL), 4);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), ERR_CLOSED);
    CHECK_STR(server.side.data, "last");
    CHECK_EQ(plain_read_all(fd), 0);
    (void)close(fd);
    server_close(&server);
    loop_free(e);
}

TEST(a_reset_peer_is_closed)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    plain_reset(fd);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), ERR_CLOSED);
    server_close(&server);
    loop_free(e);
}

/* Half-open: the other side's socket is there, but nobody reads or writes it. Reading waits for
 * ever without harm; the protocol above has its own idea of silence. */
TEST(a_silent_peer_costs_nothing_and_can_be_closed)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    (void)exec_call(e, act_finish, &(struct act){.side = &server.side, .count = 50});
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_EQ(atomic_load(&server.side.close_err), OK);
    (void)close(fd);
    server_close(&server);
    loop_free(e);
}

TEST(pausing_stops_reading_until_resumed)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int fd = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.side.there), 5000);
    (void)exec_call(e, act_pause, &(struct act){.side = &server.side});
    CHECK_EQ(send(fd, "later", 5, MSG_NOSIGNAL), 5);
    /* A second connection is served meanwhile: the loop has had its chance to read the first. */
    struct side other;
    side_init(&other, e);
    struct server echo = {0};
    CHECK_OK(server_open(&echo, e, "127.0.0.1:0"));
    echo.side.echo = true;
    CHECK_OK(side_open(&other, listener_address(echo.listener), NULL));
    CHECK_OK(side_write(&other, "ping"));
    CHECK_SOON(atomic_load(&other.received) == 4, 5000);
    CHECK_EQ(atomic_load(&server.side.received), 0);
    (void)exec_call(e, act_resume, &(struct act){.side = &server.side});
    CHECK_SOON(atomic_load(&server.side.received) == 5, 5000);
    side_close(&other);
    (void)close(fd);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    CHECK_SOON(atomic_load(&echo.side.closed) == 1, 5000);
    server_close(&server);
    server_close(&echo);
    loop_free(e);
}

TEST(the_end_of_the_loop_closes_what_is_open)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    struct side client;
    side_init(&client, e);
    CHECK_OK(side_open(&client, listener_address(server.listener), NULL));
    CHECK_SOON(atomic_load(&client.opened) == 1 && atomic_load(&server.side.there), 5000);
    server_close(&server);
    loop_free(e);
    CHECK_EQ(atomic_load(&client.closed), 1);
    CHECK_EQ(atomic_load(&client.close_err), ERR_CANCELLED);
    CHECK_EQ(atomic_load(&server.side.closed), 1);
}

/* --------------------------------------------------------------------------------------- listener
 */

TEST(a_port_in_use_is_one_clear_sentence)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server first = {0};
    CHECK_OK(server_open(&first, e, "127.0.0.1:0"));
    struct server second = {.options = {.key = "listen.mqtt"}};
    CHECK_ERR(server_open(&second, e, listener_address(first.listener)), ERR_IN_USE);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "port %u on 127.0.0.1 is in use",
                   listener_port(first.listener));
    CHECK(strstr(second.diag.text, expected) == second.diag.text);
    CHECK(strstr(second.diag.text, "listen.mqtt") != NULL);
    server_close(&first);
    CHECK_OK(server_open(&second, e, "127.0.0.1:0"));
    server_close(&second);
    loop_free(e);
}

TEST(an_address_of_another_machine_is_refused)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {0};
    CHECK_ERR(server_open(&server, e, "192.0.2.1:1883"), ERR_UNREACHABLE);
    CHECK(strstr(server.diag.text, "192.0.2.1") != NULL);
    CHECK_ERR(server_open(&server, e, "somewhere:1883"), ERR_UNREACHABLE);
    CHECK_ERR(server_open(&server, e, "somewhere"), ERR_SYNTAX);
    loop_free(e);
}

TEST(a_socket_file_of_a_dead_process_is_replaced_and_of_a_living_one_not)
{
    char address[ADDRESS_TEXT_BYTES_MAX];
    (void)snprintf(address, sizeof address, "unix:%s/x.sock", check_folder());
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, address + 5, strlen(address + 5));
    int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(dead, (const struct sockaddr *)&sa, sizeof sa), 0);
    (void)close(dead);
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server first = {0};
    struct server second = {0};
    CHECK_OK(server_open(&first, e, address));
    CHECK_ERR(server_open(&second, e, address), ERR_IN_USE);
    CHECK_EQ(access(address + 5, F_OK), 0);
    server_close(&first);
    loop_free(e);
}

TEST(above_conns_max_connections_are_refused_and_counted)
{
    struct exec *e = NULL;
    CHECK_OK(loop_new("test", &e));
    struct server server = {.options = {.conns_max = 1}};
    CHECK_OK(server_open(&server, e, "127.0.0.1:0"));
    int first = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.accepted) == 1, 5000);
    int second = plain_connect(listener_port(server.listener));
    CHECK_EQ(plain_read_all(second), 0);
    CHECK_EQ(atomic_load(&server.accepted), 1);
    (void)close(second);
    (void)close(first);
    CHECK_SOON(atomic_load(&server.side.closed) == 1, 5000);
    int third = plain_connect(listener_port(server.listener));
    CHECK_SOON(atomic_load(&server.accepted) == 2, 5000);
    (void)close(third);
    server_close(&server);
    loop_free(e);
}
