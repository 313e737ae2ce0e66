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

#define BACKFILL_MAX_US  (400 * 24 * HOUR_US)
#define BACKFILL_TURN_US 50000     /* then the MES may be asked again */
#define BACKFILL_NEAR_US SECOND_US /* as near to the present, it is done */
#define BACKFILL_FILE    500       /* inspections in a file of the past */
#define BROKER_WAIT_US   (20 * SECOND_US)
#define SCOUT_US         HOUR_US /* how much longer than the past a backfill may take */
#define TOKEN_MAX        512

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
    "  --config FILE     write a node's configuration for it (all but name and listen), and go "
    "on;\n"
    "                    -: print them and end\n"
    "  --interval TIME   poll interval in that configuration (default 100ms)\n"
    "  --backfill TIME   first publish a past of that length at the broker, then open the "
    "machines\n"
    "  --rate X          rows a second of it (default 1, at most 10)\n"
    "  --mqtt HOST:PORT  the broker (default 127.0.0.1:1883)\n"
    "  --token-file FILE an engineer's token for it (DATA/admin.token of the node)\n"
    "  --wait-mes N      begin when the MES's books were asked for N times (default 0)\n"
    "  --live no         end after the past\n"
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
    int64_t backfill_us; /* 0 = none */
    double rate;
    const char *mqtt;
    const char *token_file;
    uint64_t wait_mes;
    bool no_live;
};

/* One running plant. */
struct run {
    struct plant_options options;
    struct plant plant;
    struct plant scout; /* during a backfill: the same, already at its end, for the MES's book */
    struct plant_backfill backfill;
    bool failed;
    bool past; /* the backfill is not done yet */
    struct sim_server_options server;
    struct plant_mes mes;
    struct plant_files files;
    FILE *ledger;
    struct sim_listener listeners[MACHINES + 1];
    struct modbus_server_options modbus[MACHINES];

    struct shown {
        struct run *run;
        enum machine machine;
        struct name name;
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

static bool real(const char *text, double min, double max, double *ret)
{
    return str_to_double(bytes_of_text(text), ret) == OK && *ret >= min && *ret <= max;
}

static bool interval_ok(const char *text)
{
    int64_t us;
    return str_to_duration_us(bytes_of_text(text), &us) == OK && us > 0;
}

static int option_read_number(struct plant_options *o, const char *name, const char *text)
{
    struct bytes v = bytes_of_text(text);
    bool ok;
    if (strcmp(name, "--port") == 0) {
        ok = number(text, 65535 - MES_OFFSET, &o->port);
    } else if (strcmp(name, "--panels") == 0) {
        ok = number(text, UINT64_MAX, &o->panels);
    } else if (strcmp(name, "--wait-mes") == 0) {
        ok = number(text, UINT64_MAX, &o->wait_mes);
    } else if (strcmp(name, "--speed") == 0) {
        ok = real(text, 0.01, 1000, &o->speed);
    } else if (strcmp(name, "--rate") == 0) {
        ok = real(text, 0.5, 10, &o->rate);
    } else if (strcmp(name, "--backfill") == 0) {
        ok = str_to_duration_us(v, &o->backfill_us) == OK && o->backfill_us > 0 &&
             o->backfill_us <= BACKFILL_MAX_US;
    } else if (strcmp(name, "--live") == 0) {
        o->no_live = strcmp(text, "no") == 0;
        ok = o->no_live || strcmp(text, "yes") == 0;
    } else {
        return 0;
    }
    return ok ? 1 : -1;
}

/* 1 = taken, 0 = unknown, -1 = bad value. */
static int option_read(struct plant_options *o, const char *name, const char *text)
{
    const struct {
        const char *name;
        const char **value;
    } texts[] = {
        {"--host", &o->host},         {"--scenario", &o->scenario},     {"--files", &o->files},
        {"--ledger", &o->ledger},     {"--config", &o->config},         {"--mqtt", &o->mqtt},
        {"--interval", &o->interval}, {"--token-file", &o->token_file},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].value = text;
            return strcmp(name, "--interval") != 0 || interval_ok(text) ? 1 : -1;
        }
    }
    if (strcmp(name, "--seed") == 0) {
        o->seed_given = true;
        return number(text, UINT64_MAX, &o->seed) ? 1 : -1;
    }
    return option_read_number(o, name, text);
}

/* -1: go on; else the exit code. */
static int options_read(int argc, char **argv, struct plant_options *ret)
{
    *ret = (struct plant_options){
        .host = "127.0.0.1",
        .port = PORT_DEFAULT,
        .interval = "100ms",
        .rate = 1,
        .mqtt = "127.0.0.1:1883",
    };
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
        if (diag.line)
            (void)fprintf(stderr, "%s:%u:%u: %s\n", diag.file, diag.line, diag.column, diag.text);
        else
            (void)fprintf(stderr, "%s: %s\n", diag.file, diag.text);
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

/* -------------------------------------------------------------------------------------- backfill
 */

static void machines_open(struct run *r, bool open)
{
    for (unsigned m = 0; m < MACHINES; m++)
        r->listeners[m].closed = !open;
}

static bool token_read(const char *file, bool tell, char out[static TOKEN_MAX])
{
    out[0] = '\0';
    FILE *from = file ? fopen(file, "re") : NULL;
    if (from && !fgets(out, TOKEN_MAX, from))
        out[0] = '\0';
    if (from)
        (void)fclose(from);
    out[strcspn(out, "\r\n")] = '\0';
    if (file && out[0] == '\0' && tell)
        (void)fprintf(stderr, "sim plant: there is no token in %s\n", file);
    return !file || out[0] != '\0';
}

/* The plant's past begins; the scout goes ahead to its end, so that the MES knows all of it. */
static int past_begin(struct run *r, const struct scenario *scenario)
{
    int64_t start = clock_wall_us() - r->options.backfill_us;
    if (plant_start(&r->scout, scenario, start))
        return ERR_NOMEM;
    plant_past(&r->scout, start);
    plant_past(&r->plant, start);
    plant_run(&r->scout, r->options.backfill_us + SCOUT_US);
    r->mes.book = &r->scout;
    r->past = true;
    r->backfill = (struct plant_backfill){.plant = &r->plant, .rate = r->options.rate};
    plant_files_every(&r->files, BACKFILL_FILE);
    machines_open(r, false);
    return OK;
}

static void past_end(struct run *r)
{
    struct plant_backfill *b = &r->backfill;
    double seconds = (double)(clock_mono_us() - b->begin_mono_us) / 1e6;
    (void)printf(
        "sim plant: the past is told: %llu rows in %llu messages, %llu panels, %llu boards,"
        " %.1f s\n",
        (unsigned long long)b->rows, (unsigned long long)b->messages,
        (unsigned long long)r->plant.panels, (unsigned long long)r->plant.boards, seconds);
    (void)fflush(stdout);
    plant_live(&r->plant, clock_wall_us());
    r->past = false;
    r->mes.book = &r->plant;
    r->server.tick_ms = TICK_MS;
    plant_free(&r->scout);
    plant_files_every(&r->files, 1);
    machines_open(r, true);
}

/* A node that has just asked the MES may not listen yet, nor have written its token: the broker is
 * given a while. */
static bool past_connect(struct run *r)
{
    struct plant_backfill *b = &r->backfill;
    char token[TOKEN_MAX];
    if (b->begin_mono_us == 0)
        b->begin_mono_us = clock_mono_us();
    bool last = clock_mono_us() - b->begin_mono_us > BROKER_WAIT_US;
    if (token_read(r->options.token_file, last, token))
        b->publisher = plant_publisher_open(r->options.mqtt, token[0] ? token : NULL, last);
    r->failed = !b->publisher && last;
    if (!b->publisher)
        return false;
    b->begin_mono_us = clock_mono_us();
    r->server.tick_ms = 0;
    return true;
}

/* Tells the past for a moment; OK, and *ret_done when all of it is told and acknowledged. */
static int past_tell(struct run *r, bool *ret_done)
{
    struct plant_backfill *b = &r->backfill;
    int64_t end = clock_mono_us() + BACKFILL_TURN_US;
    int err = OK;
    while (!err && clock_mono_us() < end) {
        int64_t now = clock_wall_us() - r->plant.start_us;
        if (now - b->t_us < BACKFILL_NEAR_US) {
            err = plant_backfill_flush(b);
            *ret_done = err == OK;
            return err;
        }
        err = plant_backfill_go(b, now);
    }
    return err;
}

/* False: it cannot be told, or all is done. */
static bool past_tick(struct run *r)
{
    bool done = false;
    if (r->mes.asked < r->options.wait_mes)
        return true;
    if (!r->backfill.publisher && !past_connect(r))
        return !r->failed; /* tried again at the next tick */
    int err = past_tell(r, &done);
    r->failed = err && err != ERR_AGAIN;
    r->server.tick_ms = err == ERR_AGAIN ? TICK_MS : 0;
    if (done)
        past_end(r);
    return !r->failed && !(done && r->options.no_live);
}

static bool on_tick(void *ctx)
{
    struct run *r = ctx;
    plant_files_tick(&r->files, false);
    if (r->past)
        return past_tick(r);
    (void)run_now(r);
    return true;
}

/* ----------------------------------------------------------------------------------------- begin
 */

/* Whole at once, for whoever waits for the file; "-" is the standard output. */
static int text_write(const struct buf *text, const char *file)
{
    struct buf part = {0};
    bool shown = strcmp(file, "-") == 0;
    bool named = buf_printf(&part, "%s.part%c", file, '\0') == OK;
    FILE *to = shown ? stdout : named ? fopen((const char *)part.ptr, "we") : NULL;
    bool written = to && fwrite(text->ptr, 1, text->len, to) == text->len && fflush(to) == 0;
    if (to && !shown)
        written = fclose(to) == 0 && written && rename((const char *)part.ptr, file) == 0;
    buf_fini(&part);
    if (!written)
        (void)fprintf(stderr, "sim plant: %s cannot be written: %s\n", file,
                      err_text(err_from_errno(errno)));
    return written ? 0 : 1;
}

static int config_write(const struct run *r, const struct scenario *scenario, const char *file)
{
    struct plant_access access = {
        .host = r->options.host, .interval = r->options.interval, .eyes = scenario->eyes};
    struct renaming names;
    struct buf marked = {0};
    struct buf text = {0};
    for (unsigned m = 0; m < MACHINES; m++)
        access.ports[m] = r->listeners[m].port;
    plant_config(&access, &marked);
    plant_rules(r->options.host, r->listeners[MACHINES].port, r->options.files, &marked);
    renaming_make(scenario->names, &names);
    renamed_text(&names, buf_text(&marked), &text);
    buf_fini(&marked);
    int code = text_write(&text, file);
    buf_fini(&text);
    return code;
}

static bool on_ready(void *ctx)
{
    struct run *r = ctx;
    return !r->options.config || config_write(r, &r->plant.scenario, r->options.config) == 0;
}

static void listeners_fill(struct run *r, const struct scenario *scenario)
{
    struct renaming names;
    renaming_make(scenario->names, &names);
    uint16_t port = (uint16_t)r->options.port;
    for (unsigned m = 0; m < MACHINES; m++) {
        r->shown[m].run = r;
        r->shown[m].machine = (enum machine)m;
        r->shown[m].name = renamed(&names, plant_machine_names[m]);
        r->modbus[m] = (struct modbus_server_options){
            .ctx = &r->shown[m],
            .request = machine_request,
            .may_write = machine_may_write,
        };
        r->listeners[m] = (struct sim_listener){
            .label = r->shown[m].name.text,
            .port = (uint16_t)(port ? port + m : 0),
            .ctx = &r->modbus[m],
            .serve = modbus_serve,
        };
    }
    r->mes.plant = &r->plant;
    r->mes.book = &r->plant;
    r->http = (struct sim_http){.ctx = &r->mes, .answer = plant_mes_answer};
    r->listeners[MACHINES] = (struct sim_listener){
        .label = "mes",
        .port = (uint16_t)(port ? port + MES_OFFSET : 0),
        .ctx = &r->http,
        .serve = sim_http_serve,
    };
}

static int run_open(struct run *r, const struct scenario *scenario)
{
    const struct plant_options *o = &r->options;
    r->ledger = o->ledger ? fopen(o->ledger, "ae") : NULL;
    if (o->ledger && !r->ledger) {
        (void)fprintf(stderr, "sim plant: the ledger %s cannot be written: %s\n", o->ledger,
                      err_text(err_from_errno(errno)));
        return 1;
    }
    int err = plant_files_start(&r->files, o->files, 1, scenario);
    if (err) {
        (void)fprintf(stderr, "sim plant: %s cannot be made: %s\n", o->files, err_text(err));
        return 1;
    }
    r->plant.keep_paths = r->ledger != NULL;
    r->plant.panels_max = o->panels;
    r->plant.ports = (struct plant_ports){.ctx = r, .inspected = on_inspected, .left = on_left};
    err = plant_start(&r->plant, scenario, clock_wall_us());
    if (!err && o->backfill_us > 0)
        err = past_begin(r, scenario);
    return err ? 1 : 0;
}

static int run_serve(struct run *r)
{
    r->server = (struct sim_server_options){
        .name = "plant",
        .host = r->options.host,
        .listeners = r->listeners,
        .count = MACHINES + 1,
        .ctx = r,
        .ready = on_ready,
        .tick = on_tick,
        .tick_ms = TICK_MS,
    };
    int code = sim_server_run(&r->server);
    return r->failed ? 1 : code;
}

static void run_close(struct run *r)
{
    plant_end(&r->plant);
    plant_files_tick(&r->files, true);
    plant_free(&r->plant);
    plant_free(&r->scout);
    plant_backfill_free(&r->backfill);
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
    struct scenario scenario;
    code = scenario_read(&r->options, &scenario);
    if (code) {
        free(r);
        return code;
    }
    listeners_fill(r, &scenario);
    if (r->options.config && strcmp(r->options.config, "-") == 0) {
        code = config_write(r, &scenario, "-");
        free(r);
        return code;
    }
    code = run_open(r, &scenario);
    if (!code)
        code = run_serve(r);
    run_close(r);
    return code;
}
