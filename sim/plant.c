/* `lotline sim plant`: a model (plant.h) and the ways it leaves by, in one poll loop: a Modbus TCP
 * server a machine, the MES by HTTP, CSV files, the ledger. */
#include "base/clock.h"
#include "base/str.h"
#include "sim/http.h"
#include "sim/plant_ports.h"
#include "sim/server.h"
#include "sim/sim.h"

#include <errno.h>
#include <stdlib.h>

#define PORT_DEFAULT 5030
#define MES_OFFSET   10 /* the MES's port lies so many behind the first machine's */
#define TICK_MS      20

static const char usage[] =
    "Usage: lotline sim plant [options]\n"
    "\n"
    "  --host IP         address to listen on (default 127.0.0.1)\n"
    "  --port N          port of the first machine, the others follow (default 5030; 0 = any free\n"
    "                    ones); the MES is 10 behind\n"
    "  --scenario FILE   what goes wrong and when, see docs/simulators.md\n"
    "  --speed X         how much faster than real the plant works (over the scenario's)\n"
    "  --seed N          the same seed makes the same plant (over the scenario's)\n"
    "  --panels N        no panel enters after so many (default: no end)\n"
    "  --files DIR       write inspection results there, as CSV\n"
    "  --ledger FILE     append what really happened, as JSON lines\n"
    "  --config FILE     write devices and tracks for a node's configuration, and go on;\n"
    "                    -: print them and end\n"
    "  --interval TIME   poll interval in that configuration (default 100ms)\n"
    "\n"
    "Registers, the MES's routes and the scenario's form are explained in docs/simulators.md.\n";

struct plant_options {
    const char *host;
    uint64_t port;
    const char *scenario;
    double speed; /* 0 = the scenario's */
    uint64_t seed;
    bool seed_given;
    uint64_t panels;
    const char *files;
    const char *ledger;
    const char *config;
    const char *interval;
};

/* One running plant. */
struct run {
    struct plant_options options;
    struct plant plant;
    struct plant_mes mes;
    struct plant_files files;
    FILE *ledger;
    struct sim_listener listeners[MACHINES + 1];
    struct modbus_server_options modbus[MACHINES];

    struct shown {
        struct run *run;
        enum machine machine;
        struct modbus_unit unit;
    } shown[MACHINES];
    struct sim_http http;
};

/* --------------------------------------------------------------------------------------- options
 */

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
    return str_to_u64(bytes_of_text(text), ret) == OK && *ret <= max;
}

static bool interval_ok(const char *text)
{
    int64_t us;
    return str_to_duration_us(bytes_of_text(text), &us) == OK && us > 0;
}

/* 1 = taken, 0 = unknown, -1 = bad value. */
static int option_read(struct plant_options *o, const char *name, const char *text)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {{"--host", &o->host},     {"--scenario", &o->scenario},
                 {"--files", &o->files},   {"--ledger", &o->ledger},
                 {"--config", &o->config}, {"--interval", &o->interval}};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].value = text;
            return strcmp(name, "--interval") != 0 || interval_ok(text) ? 1 : -1;
        }
    }
    if (strcmp(name, "--port") == 0)
        return number(text, 65535 - MES_OFFSET, &o->port) ? 1 : -1;
    if (strcmp(name, "--panels") == 0)
        return number(text, UINT64_MAX, &o->panels) ? 1 : -1;
    if (strcmp(name, "--seed") == 0) {
        o->seed_given = true;
        return number(text, UINT64_MAX, &o->seed) ? 1 : -1;
    }
    if (strcmp(name, "--speed") == 0)
        return str_to_double(bytes_of_text(text), &o->speed) == OK && o->speed >= 0.01 &&
                       o->speed <= 1000
                   ? 1
                   : -1;
    return 0;
}

/* -1: go on; else the exit code. */
static int options_read(int argc, char **argv, struct plant_options *ret)
{
    *ret = (struct plant_options){.host = "127.0.0.1", .port = PORT_DEFAULT, .interval = "100ms"};
    for (int i = 2; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        int taken = i + 1 < argc ? option_read(ret, argv[i], argv[i + 1]) : 0;
        if (taken <= 0) {
            (void)fprintf(stderr, "sim: %s %s (try: lotline sim plant --help)\n",
                          taken ? "bad value for" : "unknown option or no value:", argv[i]);
            return 2;
        }
    }
    if (ret->config && strcmp(ret->config, "-") == 0 && ret->port == 0) {
        (void)fputs("sim: --config - needs a --port to print\n", stderr);
        return 2;
    }
    return -1;
}

static int scenario_read(const struct plant_options *o, struct scenario *ret)
{
    struct diag diag = {0};
    scenario_default(ret);
    if (o->scenario && scenario_load(o->scenario, ret, &diag)) {
        (void)fprintf(stderr, "%s:%u:%u: %s\n", diag.file, diag.line, diag.column, diag.text);
        return 2;
    }
    if (o->speed > 0)
        ret->speed = o->speed;
    if (o->seed_given)
        ret->seed = o->seed;
    return 0;
}

/* ----------------------------------------------------------------------------------- what leaves
 */

static void on_inspected(void *ctx, struct plant *p, const struct unit *u, enum machine station)
{
    struct run *r = ctx;
    plant_files_inspected(&r->files, p, u, station);
}

static void on_left(void *ctx, struct plant *p, const struct unit *u, const char *status, int64_t t)
{
    struct run *r = ctx;
    if (!r->ledger)
        return;
    ledger_unit(p, u, status, t, r->ledger);
    (void)fflush(r->ledger);
}

static int64_t run_now(struct run *r)
{
    int64_t t = plant_time(&r->plant, clock_wall_us());
    plant_run(&r->plant, t);
    return r->plant.now_us; /* never back, whatever the wall clock does */
}

static struct modbus_unit *machine_request(void *ctx, uint8_t unit, uint8_t function,
                                           uint16_t address, uint16_t count)
{
    struct shown *s = ctx;
    (void)function;
    (void)address;
    (void)count;
    if (unit != 1)
        return NULL;
    plant_registers(&s->run->plant, s->machine, run_now(s->run), &s->unit);
    return &s->unit;
}

static uint8_t machine_may_write(void *ctx, uint8_t unit, bool coils, uint16_t address,
                                 uint16_t count)
{
    (void)ctx;
    (void)unit;
    (void)coils;
    (void)address;
    (void)count;
    return 2; /* illegal data address: nothing may be written */
}

static bool on_tick(void *ctx)
{
    struct run *r = ctx;
    (void)run_now(r);
    plant_files_tick(&r->files, false);
    return true;
}

/* ----------------------------------------------------------------------------------------- begin
 */

static int config_write(const struct run *r, const char *file)
{
    uint16_t ports[MACHINES];
    struct buf text = {0};
    for (unsigned m = 0; m < MACHINES; m++)
        ports[m] = r->listeners[m].port;
    plant_config(r->options.host, ports, r->options.interval, &text);
    FILE *to = strcmp(file, "-") == 0 ? stdout : fopen(file, "we");
    bool written = to && fwrite(text.ptr, 1, text.len, to) == text.len && fflush(to) == 0;
    if (!written)
        (void)fprintf(stderr, "sim plant: %s cannot be written: %s\n", file,
                      err_text(err_from_errno(errno)));
    if (to && to != stdout)
        (void)fclose(to);
    buf_fini(&text);
    return written ? 0 : 1;
}

static bool on_ready(void *ctx)
{
    struct run *r = ctx;
    return !r->options.config || config_write(r, r->options.config) == 0;
}

static void listeners_fill(struct run *r)
{
    uint16_t port = (uint16_t)r->options.port;
    for (unsigned m = 0; m < MACHINES; m++) {
        r->shown[m].run = r;
        r->shown[m].machine = (enum machine)m;
        r->modbus[m] = (struct modbus_server_options){
            .ctx = &r->shown[m],
            .request = machine_request,
            .may_write = machine_may_write,
        };
        r->listeners[m] = (struct sim_listener){
            .label = plant_machine_names[m],
            .port = (uint16_t)(port ? port + m : 0),
            .ctx = &r->modbus[m],
            .serve = modbus_serve,
        };
    }
    r->mes.plant = &r->plant;
    r->http = (struct sim_http){.ctx = &r->mes, .answer = plant_mes_answer};
    r->listeners[MACHINES] = (struct sim_listener){
        .label = "mes",
        .port = (uint16_t)(port ? port + MES_OFFSET : 0),
        .ctx = &r->http,
        .serve = sim_http_serve,
    };
}

static int run_open(struct run *r)
{
    const struct plant_options *o = &r->options;
    struct scenario scenario;
    int code = scenario_read(o, &scenario);
    if (code)
        return code;
    r->ledger = o->ledger ? fopen(o->ledger, "ae") : NULL;
    if (o->ledger && !r->ledger) {
        (void)fprintf(stderr, "sim plant: the ledger %s cannot be written: %s\n", o->ledger,
                      err_text(err_from_errno(errno)));
        return 1;
    }
    int err = plant_files_start(&r->files, o->files, 1, scenario.seed);
    if (err) {
        (void)fprintf(stderr, "sim plant: %s cannot be made: %s\n", o->files, err_text(err));
        return 1;
    }
    r->plant.keep_paths = r->ledger != NULL;
    r->plant.panels_max = o->panels;
    r->plant.ports = (struct plant_ports){.ctx = r, .inspected = on_inspected, .left = on_left};
    return plant_start(&r->plant, &scenario, clock_wall_us()) ? 1 : 0;
}

static int run_serve(struct run *r)
{
    struct sim_server_options server = {
        .name = "plant",
        .host = r->options.host,
        .listeners = r->listeners,
        .count = MACHINES + 1,
        .ctx = r,
        .ready = on_ready,
        .tick = on_tick,
        .tick_ms = TICK_MS,
    };
    return sim_server_run(&server);
}

static void run_close(struct run *r)
{
    plant_end(&r->plant);
    plant_files_tick(&r->files, true);
    plant_free(&r->plant);
    plant_mes_free(&r->mes);
    if (r->ledger)
        (void)fclose(r->ledger);
    free(r);
}

int sim_plant(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof *r); /* four megabytes of registers */
    if (!r)
        return 1;
    int code = options_read(argc, argv, &r->options);
    if (code >= 0) {
        free(r);
        return code;
    }
    listeners_fill(r);
    if (r->options.config && strcmp(r->options.config, "-") == 0) {
        code = config_write(r, "-");
        free(r);
        return code;
    }
    code = run_open(r);
    if (!code)
        code = run_serve(r);
    run_close(r);
    return code;
}
