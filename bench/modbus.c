/* The gateway's Modbus TCP against a bare libmodbus client, on the same libmodbus server
 * (Debian's), 100 registers a request, one connection: registers a second and CPU per million
 * values. Then 100,000 registers of ten devices every 100 ms, counted where they are served.
 *
 * The peer asks for 100 registers, waits for the answer and asks again: what a gateway without
 * pipelining does at best. Ours keeps 16 requests in flight and delivers batches of values with
 * their times into an outlet that nobody reads.
 */
#include "base/arena.h"
#include "bench/bench.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "net/loop.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <modbus/modbus.h>

#define BLOCK       100 /* registers a request */
#define STRIDE      200 /* from block to block: too far to be read over */
#define SECONDS     3.0
#define CLIENTS_MAX 16
#define GOAL_RATIO  5.0
#define CPU_LIMIT   0.2
#define DEVICES     10
#define DEVICE_REGS 10000
#define GRID_GOAL   0.99

/* Counted by the server, read by us. */
struct served {
    atomic_ullong registers;
    atomic_ullong requests;
};

/* ---------------------------------------------------------------------------------------- server
 */

/* False when the client has gone. */
static bool serve_one(modbus_t *ctx, modbus_mapping_t *map, struct served *served)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    int n = modbus_receive(ctx, query);
    if (n <= 0 || modbus_reply(ctx, query, n, map) < 0)
        return false;
    atomic_fetch_add_explicit(&served->requests, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&served->registers, (unsigned)(query[10] << 8 | query[11]),
                              memory_order_relaxed);
    return true;
}

/* What a client has sent by now, in one go. */
static bool serve_client(modbus_t *ctx, int fd, modbus_mapping_t *map, struct served *served)
{
    int waiting = 0;
    (void)modbus_set_socket(ctx, fd);
    do {
        if (!serve_one(ctx, map, served))
            return false;
    } while (ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0);
    return true;
}

/* One thread, all clients, as libmodbus's own examples do it. */
_Noreturn static void server_run(modbus_t *ctx, int listen_fd, struct served *served)
{
    modbus_mapping_t *map = modbus_mapping_new(0, 0, 65536, 0);
    struct pollfd fds[1 + CLIENTS_MAX];
    int count = 1;
    fds[0] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
    for (;;) {
        if (poll(fds, (nfds_t)count, -1) < 0)
            _exit(1);
        for (int i = count - 1; i >= 1; i--) {
            if (!fds[i].revents)
                continue;
            if (serve_client(ctx, fds[i].fd, map, served))
                continue;
            (void)close(fds[i].fd);
            fds[i] = fds[--count];
        }
        if (fds[0].revents && count <= CLIENTS_MAX) {
            int fd = modbus_tcp_accept(ctx, &listen_fd);
            if (fd >= 0)
                fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
    }
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address = {0};
    socklen_t len = sizeof address;
    (void)getsockname(fd, (struct sockaddr *)&address, &len);
    return ntohs(address.sin_port);
}

static pid_t server_start(struct served *served, uint16_t *ret_port)
{
    /* libmodbus knows no "any port": ask the kernel for one first. */
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bench_must(bind(probe, (struct sockaddr *)&any, sizeof any) ? ERR_IO : OK, "bind", NULL);
    *ret_port = port_of(probe);
    (void)close(probe);
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", *ret_port);
    int fd = modbus_tcp_listen(ctx, CLIENTS_MAX);
    bench_must(fd < 0 ? ERR_IO : OK, "listen", NULL);
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* never outlives us */
        server_run(ctx, fd, served);
    }
    (void)close(fd);
    modbus_free(ctx);
    return pid;
}

static void server_stop(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

/* ------------------------------------------------------------------------------------------ peer
 */

struct figures {
    double registers_s;
    double cpu_per_million;
};

static struct figures measure_peer(uint16_t port)
{
    uint16_t values[BLOCK];
    modbus_t *ctx = modbus_new_tcp("127.0.0.1", port);
    bench_must(modbus_connect(ctx) ? ERR_IO : OK, "libmodbus client", NULL);
    double registers = 0;
    double start = bench_now_s();
    double cpu = bench_cpu_s();
    while (bench_now_s() < start + SECONDS) {
        for (int i = 0; i < 100; i++, registers += BLOCK)
            bench_must(modbus_read_registers(ctx, i * STRIDE, BLOCK, values) == BLOCK ? OK : ERR_IO,
                       "read", NULL);
    }
    double seconds = bench_now_s() - start;
    cpu = bench_cpu_s() - cpu;
    modbus_close(ctx);
    modbus_free(ctx);
    return (struct figures){registers / seconds, cpu / (registers / 1e6)};
}

/* ------------------------------------------------------------------------------------------ ours
 */

struct node {
    struct exec *loop;
    struct config *config;
    struct catalogue catalogue;
    struct gateway *gateway;
};

static void append_tags(struct buf *yaml, int blocks, int stride, int width)
{
    const char *type = width == 4 ? "uint64" : "uint16";
    for (int block = 0; block < blocks; block++) {
        for (int i = 0; i < BLOCK; i += width) {
            int reg = block * stride + i + 1;
            (void)buf_printf(yaml, "          - {name: r%d, address: \"1!4%05d\", type: %s}\n", reg,
                             reg, type);
        }
    }
}

static void append_device(struct buf *yaml, int number, uint16_t port, int in_flight)
{
    (void)buf_printf(yaml,
                     "  - name: d%d\n    driver: modbus-tcp\n    address: 127.0.0.1:%u\n"
                     "    place: bench/d%d\n    in_flight_max: %d\n    groups:\n",
                     number, port, number, in_flight);
}

static void node_start(struct node *n, struct buf *yaml)
{
    struct diag diag = {0};
    int err = config_parse("bench", buf_bytes(yaml), &n->config, &diag);
    if (!err)
        err = loop_new("loop0", &n->loop);
    if (!err)
        err = catalogue_init(&n->catalogue, "bench");
    struct gateway_options options = {.loops = &n->loop, .loop_count = 1};
    if (!err)
        err = gateway_new(&options, &n->gateway);
    if (!err)
        err = gateway_configure(n->gateway, n->config, &n->catalogue, &diag);
    if (!err)
        err = gateway_start(n->gateway);
    if (err)
        (void)fprintf(stderr, "%s:%u:%u: %s\n", diag.file, diag.line, diag.column, diag.text);
    bench_must(err, "gateway", NULL);
}

static void node_stop(struct node *n)
{
    gateway_stop(n->gateway);
    gateway_free(n->gateway);
    catalogue_fini(&n->catalogue);
    loop_free(n->loop);
    config_free(n->config);
}

static void wait_s(double seconds)
{
    struct pollfd none = {.fd = -1};
    (void)poll(&none, 1, (int)(seconds * 1000));
}

/* Values a second and CPU per million over a window, after a warm-up. */
static struct figures measure_window(const struct node *n)
{
    struct gateway_stats before;
    struct gateway_stats after;
    wait_s(1.0);
    gateway_stats_get(n->gateway, &before);
    double start = bench_now_s();
    double cpu = bench_cpu_s();
    wait_s(SECONDS);
    gateway_stats_get(n->gateway, &after);
    double seconds = bench_now_s() - start;
    double values = (double)(after.values - before.values);
    return (struct figures){values / seconds, (bench_cpu_s() - cpu) / (values / 1e6)};
}

/* More than the server can give in several turns of the grid, so that there is always a group to
 * poll. Figures are in tags; a tag is `width` registers. */
static struct figures measure_ours(uint16_t port, int in_flight, int groups, int width)
{
    struct node n = {0};
    struct buf yaml = {0};
    (void)buf_append_text(&yaml, "name: bench\nmodules: [gateway]\nlisten: {}\ndevices:\n");
    append_device(&yaml, 1, port, in_flight);
    for (int g = 0; g < groups; g++) {
        (void)buf_printf(&yaml, "      - name: g%d\n        interval: 10ms\n        tags:\n", g);
        append_tags(&yaml, 300, STRIDE, width);
    }
    node_start(&n, &yaml);
    struct figures f = measure_window(&n);
    node_stop(&n);
    buf_fini(&yaml);
    return f;
}

static void measure_grid(uint16_t port, struct served *served)
{
    struct node n = {0};
    struct buf yaml = {0};
    (void)buf_append_text(&yaml, "name: bench\nmodules: [gateway]\nlisten: {}\ndevices:\n");
    for (int d = 0; d < DEVICES; d++) {
        append_device(&yaml, d, port, 16);
        (void)buf_append_text(&yaml, "      - name: g\n        interval: 100ms\n        tags:\n");
        append_tags(&yaml, DEVICE_REGS / BLOCK, BLOCK, 1);
    }
    node_start(&n, &yaml);
    wait_s(1.0);
    uint64_t before = atomic_load(&served->registers);
    double start = bench_now_s();
    struct figures f = measure_window(&n);
    double registers = (double)(atomic_load(&served->registers) - before);
    double seconds = bench_now_s() - start;
    bench_ratio("modbus", "100,000 registers every 100 ms, counted at the server, vs nominal",
                registers / seconds, 10.0 * DEVICES * DEVICE_REGS, "registers/s", GRID_GOAL);
    bench_value("modbus", "the same, CPU per million values", f.cpu_per_million, "s", CPU_LIMIT);
    node_stop(&n);
    buf_fini(&yaml);
}

int main(void)
{
    struct served *served =
        mmap(NULL, sizeof *served, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint16_t port;
    pid_t server = server_start(served, &port);
    struct figures peer = measure_peer(port);
    struct figures single = measure_ours(port, 1, 12, 4);
    struct figures ours = measure_ours(port, 16, 12, 4);
    struct figures values = measure_ours(port, 16, 4, 1);
    bench_ratio("modbus", "one connection, 16 in flight, vs bare libmodbus client",
                4 * ours.registers_s, peer.registers_s, "registers/s", GOAL_RATIO);
    bench_ratio("modbus", "one connection, 1 in flight, vs bare libmodbus client",
                4 * single.registers_s, peer.registers_s, "registers/s", 0);
    bench_value("modbus", "CPU per million values, 16 in flight", values.cpu_per_million, "s",
                CPU_LIMIT);
    bench_value("modbus", "CPU per million registers of the libmodbus client", peer.cpu_per_million,
                "s", 0);
    measure_grid(port, served);
    server_stop(server);
    return 0;
}
