/* A simulated press: scanner, cycle, force and position, a result, a set-point that can be written.
 *
 * A part is scanned, pressed and judged every two seconds (÷ --speed). The machine is a function of
 * the clock, worked out when somebody asks, as a real one would be seen:
 *
 *   scan        cycle begins            result        cycle ends
 *    |  0.2 s    |        0.9 s           |   0.2 s     |  0.7 s idle
 *   serial       cycle=1, force rises     result=1|2    cycle=0
 *                and falls (half a sine)
 *
 * Registers of unit 1 (numbers are one-based, as in addresses):
 *
 *   400001-400010  serial, 20 characters, first one in the high byte
 *   400011         state: 0 idle, 1 pressing
 *   400012         result of the last cycle: 0 none yet, 1 pass, 2 fail
 *   400013-400014  force, float, kN                   400015-400016  position, float, mm
 *   400017-400018  set-point of the force, float, kN  (writable)
 *   400019-400020  parts made, uint32                 400021         program, uint16 (writable)
 *   300001         oil temperature, int16, 0.1 °C
 *   000001 100001  cycle, as a coil and as a discrete input
 *
 * A part passes when its greatest force lies within ±20 % of the set-point; about one in eight does
 * not. The ledger (JSON lines) says what really happened to each part, for tests.
 */
#include "base/clock.h"
#include "base/rand.h"
#include "sim/modbus_server.h"
#include "sim/sim.h"
#include "sim/sim_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_US      200000
#define RESULT_US    1100000 /* from the scan */
#define CYCLE_END_US 1300000
#define PERIOD_US    2000000
#define STROKE_MM    50.0
#define SETPOINT_KN  15.0f
#define TOLERANCE    0.2
#define BAD_ONE_IN   8
#define SERIAL_BYTES 20

/* Zero-based places of the registers above. */
enum {
    REG_SERIAL = 0,
    REG_STATE = 10,
    REG_RESULT = 11,
    REG_FORCE = 12,
    REG_POSITION = 14,
    REG_SETPOINT = 16,
    REG_PARTS = 18,
    REG_PROGRAM = 20,
};

struct part {
    uint64_t number; /* from 1; 0 = none yet */
    double peak_kn;
    bool pass;
    bool recorded;
};

struct press {
    struct modbus_unit *unit;
    struct rand rand;
    int64_t start_us; /* wall time of the first scan */
    double speed;
    uint64_t parts_max; /* 0 = no end */
    FILE *ledger;
    struct part part;
};

static void put_float(uint16_t *at, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    at[0] = (uint16_t)(bits >> 16);
    at[1] = (uint16_t)bits;
}

static float get_float(const uint16_t *at)
{
    uint32_t bits = (uint32_t)at[0] << 16 | at[1];
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void put_serial(uint16_t *at, uint64_t number)
{
    char text[32] = {0}; /* more than fits is cut below */
    (void)snprintf(text, sizeof text, "PRS-%06llu", (unsigned long long)number);
    for (int i = 0; i < SERIAL_BYTES / 2; i++)
        at[i] = (uint16_t)((uint8_t)text[2 * i] << 8 | (uint8_t)text[2 * i + 1]);
}

/* Wall time of a moment within the part's period. */
static int64_t part_time(const struct press *p, uint64_t number, int64_t offset_us)
{
    double us = ((double)(number - 1) * PERIOD_US + (double)offset_us) / p->speed;
    return p->start_us + llround(us);
}

static void ledger_write(struct press *p)
{
    const struct part *part = &p->part;
    if (part->number == 0 || part->recorded || !p->ledger)
        return;
    (void)fprintf(p->ledger,
                  "{\"unit\":%llu,\"serial\":\"PRS-%06llu\",\"t_scan\":%lld,\"t_in\":%lld,"
                  "\"t_out\":%lld,\"force_max\":%.9g,\"result\":\"%s\"}\n",
                  (unsigned long long)part->number, (unsigned long long)part->number,
                  (long long)part_time(p, part->number, 0),
                  (long long)part_time(p, part->number, SCAN_US),
                  (long long)part_time(p, part->number, CYCLE_END_US), part->peak_kn,
                  part->pass ? "pass" : "fail");
    (void)fflush(p->ledger);
    p->part.recorded = true;
}

/* A new part is on the table: what will become of it is decided now. */
static void part_new(struct press *p, uint64_t number)
{
    ledger_write(p);
    double setpoint = (double)get_float(p->unit->holding + REG_SETPOINT);
    double peak = setpoint * (1.0 + 0.03 * rand_normal(&p->rand));
    if (rand_below(&p->rand, BAD_ONE_IN) == 0)
        peak = setpoint * (rand_below(&p->rand, 2) ? 1.35 : 0.65);
    bool pass = fabs(peak - setpoint) <= TOLERANCE * setpoint;
    p->part = (struct part){.number = number, .peak_kn = peak, .pass = pass};
    put_serial(p->unit->holding + REG_SERIAL, number);
}

/* The machine at a moment of the present part's period. */
static void press_show(struct press *p, int64_t in_period_us)
{
    uint16_t *h = p->unit->holding;
    bool pressing = in_period_us >= SCAN_US && in_period_us < CYCLE_END_US;
    double phase = (double)(in_period_us - SCAN_US) / (double)(RESULT_US - SCAN_US);
    bool loaded = pressing && phase < 1.0;
    double force = loaded ? p->part.peak_kn * sin(M_PI * phase) : 0.0;
    double stroke = loaded ? sin(M_PI * phase) : 0.0;
    h[REG_STATE] = pressing;
    if (pressing)
        h[REG_RESULT] = in_period_us < RESULT_US ? 0 : p->part.pass ? 1 : 2;
    put_float(h + REG_FORCE, (float)force);
    put_float(h + REG_POSITION, (float)(STROKE_MM * stroke));
    uint64_t made = p->part.number - (in_period_us < CYCLE_END_US);
    h[REG_PARTS] = (uint16_t)(made >> 16);
    h[REG_PARTS + 1] = (uint16_t)made;
    p->unit->coils[0] = pressing;
    p->unit->discrete[0] = pressing;
    p->unit->input[0] = (uint16_t)(450 + (int)(10 * sin((double)p->part.number / 20)));
    if (in_period_us >= CYCLE_END_US)
        ledger_write(p);
}

static void press_update(struct press *p)
{
    double us = (double)(clock_wall_us() - p->start_us) * p->speed;
    uint64_t number = us < 0 ? 0 : (uint64_t)(us / PERIOD_US) + 1;
    if (number == 0)
        return;
    if (p->parts_max && number > p->parts_max) {
        press_show(p, PERIOD_US - 1); /* the last part stays where it is */
        return;
    }
    if (number != p->part.number)
        part_new(p, number);
    press_show(p, (int64_t)us % PERIOD_US);
}

/* -------------------------------------------------------------------------------- Modbus's side */

static struct modbus_unit *press_request(void *ctx, uint8_t unit, uint8_t function,
                                         uint16_t address, uint16_t count)
{
    struct press *p = ctx;
    (void)function;
    (void)address;
    (void)count;
    if (unit != 1)
        return NULL;
    press_update(p);
    return p->unit;
}

static uint8_t press_may_write(void *ctx, uint8_t unit, bool coils, uint16_t address,
                               uint16_t count)
{
    (void)ctx;
    (void)unit;
    bool setpoint = address >= REG_SETPOINT && address + count <= REG_SETPOINT + 2;
    bool program = address == REG_PROGRAM && count == 1;
    return !coils && (setpoint || program) ? 0 : 2; /* illegal data address */
}

static bool press_tick(void *ctx)
{
    press_update(ctx); /* so that the ledger is complete when nobody asks */
    return true;
}

int sim_press(int argc, char **argv)
{
    struct sim_options o;
    int code = sim_options_read(argc, argv, &o);
    if (code >= 0)
        return code;
    if (o.registers)
        return sim_bank(&o);
    struct press p = {
        .unit = calloc(1, sizeof *p.unit),
        .speed = o.speed,
        .parts_max = o.units,
        .ledger = sim_ledger_open(&o),
    };
    if (!p.unit || (o.ledger && !p.ledger)) {
        free(p.unit);
        return 1;
    }
    rand_seed(&p.rand, o.seed);
    put_float(p.unit->holding + REG_SETPOINT, SETPOINT_KN);
    p.unit->holding[REG_PROGRAM] = 1;
    p.start_us = clock_wall_us() + PERIOD_US / 2;
    struct modbus_server_options server = {
        .host = o.host,
        .port = o.port,
        .ctx = &p,
        .request = press_request,
        .may_write = press_may_write,
        .tick = press_tick,
        .tick_ms = 20,
    };
    code = modbus_server_run(&server, "press");
    if (p.ledger)
        (void)fclose(p.ledger);
    free(p.unit);
    return code;
}
