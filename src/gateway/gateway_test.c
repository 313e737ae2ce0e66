/* The whole gateway on real loops against a server on a real socket: start, poll, write, probe and
 * stop while everything runs. What this is for is what threads share; the device's own behaviour is
 * in device_test.c on a clock that the test moves. */
#include "gateway/gateway.h"

#include "config/config.h"
#include "net/loop.h"
#include "tests/support/check.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOPS      2
#define DEVICES    4
#define PEERS_MAX  16
#define WAIT_MS    20000
#define FRAME_MAX  300
#define HEAD_BYTES 8

/* ------------------------------------------------------------------------------------------ server
 */

static struct server {
    int fd;
    uint16_t port;
    pthread_t thread;
    pthread_t peers[PEERS_MAX];
    int peer_fds[PEERS_MAX];
    atomic_int peer_count;
    _Atomic uint16_t setpoint;
} server;

static bool read_all(int fd, uint8_t *out, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = read(fd, out + at, len - at);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Register i holds 100 + i, but register 1 what was written there. */
static size_t answer(uint8_t *f)
{
    uint16_t start = load_be16(f + 8);
    uint16_t count = load_be16(f + 10);
    if (f[7] == 6) {
        atomic_store(&server.setpoint, count);
        return 12;
    }
    for (uint16_t i = 0; i < count; i++) {
        uint16_t n = (uint16_t)(start + i);
        store_be16(f + 9 + 2 * i, n == 1 ? atomic_load(&server.setpoint) : (uint16_t)(100 + n));
    }
    f[8] = (uint8_t)(2 * count);
    store_be16(f + 4, (uint16_t)(3 + 2 * count));
    return 9u + 2u * count;
}

static void *peer_run(void *ctx)
{
    int fd = *(int *)ctx;
    uint8_t f[FRAME_MAX];
    while (read_all(fd, f, 12)) {
        size_t len = answer(f);
        if (write(fd, f, len) != (ssize_t)len)
            break;
    }
    return NULL;
}

static void *server_run(void *ctx)
{
    (void)ctx;
    for (int i = 0; i < PEERS_MAX; i++) {
        server.peer_fds[i] = accept(server.fd, NULL, NULL);
        if (server.peer_fds[i] < 0 ||
            pthread_create(&server.peers[i], NULL, peer_run, &server.peer_fds[i]) != 0)
            break;
        atomic_fetch_add(&server.peer_count, 1);
    }
    return NULL;
}

static void server_start(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(server.fd >= 0 && bind(server.fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(listen(server.fd, PEERS_MAX) == 0);
    CHECK(getsockname(server.fd, (struct sockaddr *)&at, &len) == 0);
    server.port = ntohs(at.sin_port);
    atomic_store(&server.peer_count, 0);
    CHECK(pthread_create(&server.thread, NULL, server_run, NULL) == 0);
}

/* After every client has closed. */
static void server_stop(void)
{
    shutdown(server.fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    for (int i = 0; i < atomic_load(&server.peer_count); i++) {
        pthread_join(server.peers[i], NULL);
        close(server.peer_fds[i]);
    }
    close(server.fd);
}

/* ------------------------------------------------------------------------------------------- calls
 */

struct outcome {
    sem_t ended;
    int err;
    uint32_t rows;
};

static void call_done(void *ctx, const struct call_result *r)
{
    struct outcome *o = ctx;
    o->err = r->err;
    o->rows = r->answer ? r->answer->rows : 0;
    sem_post(&o->ended);
}

/* Asks and waits; a and b are the first two arguments or NULL. */
static struct outcome ask(const struct catalogue *c, struct exec *e, const char *name,
                          const char *a, const char *b)
{
    static struct outcome o;
    const struct call_port *p = catalogue_call_find(c, name);
    struct batch *request = NULL;
    if (p->request) {
        struct batch_builder *bb = NULL;
        CHECK_OK(batch_builder_new(p->request, 1, NULL, &bb));
        CHECK(batch_builder_row(bb, 0) == 0);
        if (a)
            CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(a)));
        if (b)
            CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(b)));
        CHECK_OK(batch_builder_finish(bb, &request));
        batch_builder_free(bb);
    }
    CHECK(sem_init(&o.ended, 0, 0) == 0);
    const struct call_options options = {
        .exec = e, .done = call_done, .ctx = &o, .origin = {"eve", "test", CALL_ADMIN}};
    CHECK_OK(call_send(p, request, &options));
    while (sem_wait(&o.ended) != 0) {
    }
    sem_destroy(&o.ended);
    return o;
}

static uint64_t values_of(const struct gateway *g)
{
    struct gateway_stats s;
    gateway_stats_get(g, &s);
    return s.values;
}

static struct config *config_make(void)
{
    struct config *config = NULL;
    struct diag diag = {0};
    struct buf text = {0};
    buf_printf(&text, "name: n\ndevices:\n");
    for (int i = 0; i < DEVICES; i++) {
        buf_printf(&text,
                   "  - name: d%d\n    driver: modbus-tcp\n    address: 127.0.0.1:%u\n"
                   "    in_flight_max: 4\n    groups:\n      - name: g\n        interval: 10ms\n"
                   "        tags:\n"
                   "          - {name: a, address: \"1!400001\", type: uint16}\n"
                   "          - {name: set, address: \"1!400002\", type: uint16}\n"
                   "          - {name: far, address: \"1!400500\", type: uint16}\n",
                   i, server.port);
    }
    CHECK_OK(config_parse("t.yaml", buf_bytes(&text), &config, &diag));
    buf_fini(&text);
    return config;
}

TEST(devices_on_several_loops_poll_write_and_stop)
{
    struct exec *loops[LOOPS];
    struct gateway *g = NULL;
    struct catalogue catalogue;
    struct diag diag = {0};
    server_start();
    struct config *config = config_make();
    for (int i = 0; i < LOOPS; i++)
        CHECK_OK(loop_new("test", &loops[i]));
    const struct gateway_options options = {.loops = loops, .loop_count = LOOPS};
    CHECK_OK(catalogue_init(&catalogue, "n"));
    CHECK_OK(gateway_new(&options, &g));
    CHECK_OK(gateway_configure(g, config, &catalogue, &diag));
    CHECK_OK(gateway_start(g));
    CHECK_SOON(values_of(g) >= 100, WAIT_MS);
    CHECK_EQ(ask(&catalogue, loops[1], "gateway.devices", NULL, NULL).rows, DEVICES);
    CHECK_EQ(ask(&catalogue, loops[1], "gateway.tags", NULL, NULL).rows, 3 * DEVICES);
    CHECK_EQ(ask(&catalogue, loops[0], "gateway.tags", "d3", "g").rows, 3);
    CHECK_OK(ask(&catalogue, loops[0], "gateway.write", "d1.g.set", "4711").err);
    CHECK_EQ(atomic_load(&server.setpoint), 4711);
    CHECK_OK(ask(&catalogue, loops[1], "gateway.read", "d2.g.set", NULL).err);
    CHECK_ERR(ask(&catalogue, loops[1], "gateway.read", "d2.g.none", NULL).err, ERR_NOT_FOUND);
    gateway_stop(g);
    gateway_stop(g);
    gateway_free(g);
    for (int i = 0; i < LOOPS; i++)
        loop_free(loops[i]);
    catalogue_fini(&catalogue);
    config_free(config);
    server_stop();
}

TEST(a_probe_needs_no_configuration)
{
    struct buf json = {0};
    struct diag diag = {0};
    char url[64];
    server_start();
    snprintf(url, sizeof url, "modbus-tcp://127.0.0.1:%u", server.port);
    struct gateway_probe probe = {.url = url, .address = "1!400003", .type = "uint16"};
    CHECK_OK(gateway_probe(&probe, &json, &diag));
    CHECK_STR(buf_text(&json), "102");
    buf_fini(&json);
    probe.type = "nonsense";
    CHECK_ERR(gateway_probe(&probe, &json, &diag), ERR_INVALID);
    probe.url = "nonsense://127.0.0.1:1";
    CHECK_ERR(gateway_probe(&probe, &json, &diag), ERR_NOT_FOUND);
    server_stop();
}
