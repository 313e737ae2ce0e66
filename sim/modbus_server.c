/* A Modbus TCP server for simulators. See modbus_server.h. */
#include "sim/modbus_server.h"

#include "sim/server.h"

#include <string.h>

#define HEAD_BYTES 7 /* MBAP: transaction, protocol, length, unit */
#define PDU_MAX    253
#define FRAME_MAX  (HEAD_BYTES + PDU_MAX)

enum exception {
    ILLEGAL_FUNCTION = 1,
    ILLEGAL_ADDRESS = 2,
    ILLEGAL_VALUE = 3,
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
    const struct modbus_server_options *options;
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
    const struct modbus_server_options *o = r->options;
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
static size_t answer(const struct modbus_server_options *o, const uint8_t *frame, size_t pdu_len,
                     uint8_t *out)
{
    struct request r = {.options = o, .unit_id = frame[6], .pdu = frame + HEAD_BYTES};
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

size_t modbus_serve(void *ctx, struct bytes in, struct buf *out)
{
    if (in.len < HEAD_BYTES)
        return 0;
    uint16_t length = get16(in.ptr + 4);
    if (get16(in.ptr + 2) != 0 || length < 2 || length > PDU_MAX + 1)
        return SIM_CLOSE; /* not Modbus */
    if (in.len < 6u + length)
        return 0;
    uint8_t *at = buf_reserve(out, FRAME_MAX);
    if (!at)
        return SIM_CLOSE;
    out->len += answer(ctx, in.ptr, length - 1u, at);
    return 6u + length;
}

int modbus_server_run(struct modbus_server_options *options, const char *name)
{
    struct sim_listener listener = {
        .label = "Modbus TCP",
        .port = options->port,
        .ctx = options,
        .serve = modbus_serve,
    };
    struct sim_server_options server = {
        .name = name,
        .host = options->host,
        .listeners = &listener,
        .count = 1,
        .ctx = options->ctx,
        .tick = options->tick,
        .tick_ms = options->tick_ms,
    };
    return sim_server_run(&server);
}
