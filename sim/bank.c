/* A bank of counters: registers that prove which poll served which values.
 *
 * `--registers N` gives units 1 … ⌈N / 20,000⌉ of at most 20,000 holding registers each. A pair of
 * registers is a uint32, and all pairs of a unit show the same number: how often its register
 * 400001 has been asked for. Since a poll begins with the first register, the number is the poll's,
 * and a value that is missing, comes twice or comes from another poll is seen.
 *
 * The ledger has a line a poll: {"unit":1,"count":17,"t":…}.
 */
#include "base/clock.h"
#include "sim/modbus_server.h"
#include "sim/sim_priv.h"

#include <stdlib.h>

#define UNIT_REGISTERS 20000
#define UNITS_MAX      64

struct bank {
    struct modbus_unit *units[UNITS_MAX];
    uint32_t counts[UNITS_MAX];
    uint16_t registers[UNITS_MAX];
    FILE *ledger;
};

static struct modbus_unit *bank_request(void *ctx, uint8_t unit, uint8_t function, uint16_t address,
                                        uint16_t count)
{
    struct bank *b = ctx;
    if (unit < 1 || unit > UNITS_MAX || !b->units[unit - 1])
        return NULL;
    unsigned i = unit - 1u;
    if (function != 3)
        return b->units[i];
    if (address == 0) {
        b->counts[i]++;
        if (b->ledger)
            (void)fprintf(b->ledger, "{\"unit\":%u,\"count\":%u,\"t\":%lld}\n", unit, b->counts[i],
                          (long long)clock_wall_us());
    }
    /* Only what is asked for needs the new number. */
    uint32_t end = (uint32_t)address + count;
    for (uint32_t r = address; r < end && r < b->registers[i]; r++)
        b->units[i]->holding[r] = (uint16_t)(r % 2 ? b->counts[i] : b->counts[i] >> 16);
    return b->units[i];
}

static uint8_t bank_may_write(void *ctx, uint8_t unit, bool coils, uint16_t address, uint16_t count)
{
    const struct bank *b = ctx;
    bool spare = address >= b->registers[unit - 1] && (uint32_t)address + count <= MODBUS_AREA;
    return coils || spare ? 0 : 2;
}

static bool bank_tick(void *ctx)
{
    struct bank *b = ctx;
    if (b->ledger)
        (void)fflush(b->ledger);
    return true;
}

static int bank_fill(struct bank *b, uint64_t registers)
{
    for (unsigned i = 0; registers > 0; i++) {
        if (i == UNITS_MAX)
            return -1;
        uint64_t here = registers < UNIT_REGISTERS ? registers : UNIT_REGISTERS;
        b->units[i] = calloc(1, sizeof *b->units[i]);
        if (!b->units[i])
            return -1;
        b->registers[i] = (uint16_t)here;
        registers -= here;
    }
    return 0;
}

int sim_bank(const struct sim_options *o)
{
    struct bank b = {.ledger = sim_ledger_open(o)};
    int code = 1;
    if (bank_fill(&b, o->registers)) {
        (void)fprintf(stderr, "sim press: at most %u registers\n", UNITS_MAX * UNIT_REGISTERS);
    } else if (!o->ledger || b.ledger) {
        struct modbus_server_options server = {
            .host = o->host,
            .port = o->port,
            .ctx = &b,
            .request = bank_request,
            .may_write = bank_may_write,
            .tick = bank_tick,
            .tick_ms = 100,
        };
        code = modbus_server_run(&server, "bank");
    }
    if (b.ledger)
        (void)fclose(b.ledger);
    for (unsigned i = 0; i < UNITS_MAX; i++)
        free(b.units[i]);
    return code;
}
