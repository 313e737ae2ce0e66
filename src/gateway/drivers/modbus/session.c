/* Which answer belongs to which request.
 *
 * Each frame that is sent has a transaction id of its own, counted up; an answer is credited to the
 * request with that id and to no other. An id whose request was cancelled is kept for a while: its
 * answer, when it comes after all, is late and thrown away. An id that nobody waits for means that
 * the other side has lost its place, and the connection is dropped.
 *
 * Writing tries the narrowest function first (5 a coil, 6 a register, 22 a register's bit); where a
 * device does not know it (exception 1) the write is sent again as function 15 or 16, or as a read
 * and a write of the register, and the session remembers that.
 */
#include "base/err.h"
#include "gateway/drivers/modbus/modbus.h"

#include <stdio.h>

#define COIL_ON 0xff00u

void modbus_session_init(void *session, struct lotline_host *host, const void *options)
{
    struct modbus_session *s = session;
    s->host = host;
    s->options = options;
}

void modbus_opened(void *session)
{
    struct modbus_session *s = session;
    s->broken = false;
    s->host->ready(s->host);
}

void modbus_closed(void *session)
{
    struct modbus_session *s = session;
    for (uint32_t i = 0; i < LOTLINE_IN_FLIGHT_MAX; i++)
        s->exchanges[i].stage = MODBUS_STAGE_IDLE;
    s->late_count = 0;
}

/* --------------------------------------------------------------------------------------- sending
 */

static bool late_find(const struct modbus_session *s, uint16_t transaction)
{
    uint32_t count = s->late_count < MODBUS_LATE_MAX ? s->late_count : MODBUS_LATE_MAX;
    for (uint32_t i = 0; i < count; i++)
        if (s->late[i] == transaction)
            return true;
    return false;
}

static struct modbus_exchange *exchange_find(struct modbus_session *s, uint16_t transaction,
                                             uint32_t *ret_slot)
{
    for (uint32_t i = 0; i < LOTLINE_IN_FLIGHT_MAX; i++) {
        struct modbus_exchange *x = &s->exchanges[i];
        if (x->stage != MODBUS_STAGE_IDLE && x->transaction == transaction) {
            *ret_slot = i;
            return x;
        }
    }
    return NULL;
}

/* After 65,536 frames ids come round again: one that is still waited for is not given twice. */
static uint16_t transaction_next(struct modbus_session *s)
{
    uint32_t slot;
    do {
        s->transaction++;
    } while (late_find(s, s->transaction) || exchange_find(s, s->transaction, &slot));
    return s->transaction;
}

static void exchange_send(struct modbus_session *s, struct modbus_exchange *x, uint8_t stage,
                          struct bytes data)
{
    uint8_t frame[MODBUS_FRAME_BYTES_MAX];
    x->stage = MODBUS_STAGE_IDLE; /* its old id is free */
    x->transaction = transaction_next(s);
    x->stage = stage;
    size_t len = modbus_frame_encode(&x->ask, x->transaction, data, frame);
    s->host->send(s->host, frame, len);
}

void modbus_read(void *session, uint32_t slot, const void *request)
{
    struct modbus_session *s = session;
    const struct modbus_read *read = request;
    struct modbus_exchange *x = &s->exchanges[slot];
    x->ask = (struct modbus_ask){
        .start = read->start, .count = read->count, .unit = read->unit, .function = read->function};
    exchange_send(s, x, MODBUS_STAGE_READ, bytes_of(NULL, 0));
}

static void coil_write(struct modbus_session *s, struct modbus_exchange *x)
{
    uint8_t on = x->value->as.boolean;
    x->ask.count = 1;
    if (s->no_single_coil) {
        x->ask.function = MODBUS_WRITE_COILS;
        exchange_send(s, x, MODBUS_STAGE_WRITE, bytes_of(&on, 1));
        return;
    }
    x->ask.function = MODBUS_WRITE_COIL;
    x->ask.value = on ? COIL_ON : 0;
    exchange_send(s, x, MODBUS_STAGE_WRITE, bytes_of(NULL, 0));
}

static void registers_write(struct modbus_session *s, struct modbus_exchange *x,
                            const uint8_t *data)
{
    if (x->ask.count > 1 || s->no_single_register) {
        x->ask.function = MODBUS_WRITE_REGISTERS;
        exchange_send(s, x, MODBUS_STAGE_WRITE, bytes_of(data, (size_t)x->ask.count * 2));
        return;
    }
    x->ask.function = MODBUS_WRITE_REGISTER;
    x->ask.value = load_be16(data);
    exchange_send(s, x, MODBUS_STAGE_WRITE, bytes_of(NULL, 0));
}

/* One bit of a register, without touching what others change in it meanwhile (AP 6.16: the register
 * becomes (old & mask) | (value & ~mask)). */
static void mask_write(struct modbus_session *s, struct modbus_exchange *x)
{
    uint16_t bit = (uint16_t)(1u << x->address->bit);
    x->ask.count = 1;
    if (s->no_mask) {
        x->ask.function = MODBUS_READ_HOLDING;
        exchange_send(s, x, MODBUS_STAGE_FETCH, bytes_of(NULL, 0));
        return;
    }
    x->ask.function = MODBUS_MASK_REGISTER;
    x->ask.mask = (uint16_t)~bit;
    x->ask.value = x->value->as.boolean ? bit : 0;
    exchange_send(s, x, MODBUS_STAGE_WRITE, bytes_of(NULL, 0));
}

static void value_write(struct modbus_session *s, struct modbus_exchange *x)
{
    uint8_t data[2 * MODBUS_WRITE_REGISTERS_MAX + 2] = {0};
    const struct modbus_address *a = x->address;
    x->ask = (struct modbus_ask){.start = a->start, .count = a->count, .unit = a->unit};
    if (a->area == MODBUS_COIL) {
        coil_write(s, x);
    } else if (a->bit != MODBUS_NO_BIT) {
        mask_write(s, x);
    } else {
        modbus_value_encode(a, x->value, data);
        registers_write(s, x, data);
    }
}

void modbus_write(void *session, uint32_t slot, const void *address,
                  const struct lotline_value *value)
{
    struct modbus_session *s = session;
    struct modbus_exchange *x = &s->exchanges[slot];
    x->address = address;
    x->value = value;
    value_write(s, x);
}

void modbus_cancel(void *session, uint32_t slot)
{
    struct modbus_session *s = session;
    struct modbus_exchange *x = &s->exchanges[slot];
    s->late[s->late_count++ % MODBUS_LATE_MAX] = x->transaction;
    x->stage = MODBUS_STAGE_IDLE;
}

/* ------------------------------------------------------------------------------------- receiving
 */

static void fault(struct modbus_session *s, const char *name, const char *text)
{
    s->broken = true;
    s->host->fault(s->host, name, text);
}

static void exchange_finish(struct modbus_session *s, uint32_t slot, enum lotline_result result,
                            const char *text)
{
    s->exchanges[slot].stage = MODBUS_STAGE_IDLE;
    s->host->finish(s->host, slot, result, text);
}

/* The older way to write, after exception 1; false if there is none that was not tried. */
static bool write_again(struct modbus_session *s, uint32_t slot)
{
    struct modbus_exchange *x = &s->exchanges[slot];
    bool *unknown = NULL;
    if (x->ask.function == MODBUS_MASK_REGISTER)
        unknown = &s->no_mask;
    else if (x->ask.function == MODBUS_WRITE_COIL)
        unknown = &s->no_single_coil;
    else if (x->ask.function == MODBUS_WRITE_REGISTER)
        unknown = &s->no_single_register;
    if (!unknown || x->stage != MODBUS_STAGE_WRITE)
        return false;
    *unknown = true;
    s->host->extend(s->host, slot);
    if (x->address->bit != MODBUS_NO_BIT && x->ask.function == MODBUS_WRITE_REGISTER) {
        uint8_t data[2];
        store_be16(data, x->ask.value);
        registers_write(s, x, data);
    } else {
        value_write(s, x);
    }
    return true;
}

static void exception_take(struct modbus_session *s, uint32_t slot, uint8_t exception)
{
    char text[MODBUS_EXCEPTION_TEXT_BYTES_MAX];
    const struct modbus_exchange *x = &s->exchanges[slot];
    if (exception == MODBUS_ILLEGAL_FUNCTION && write_again(s, slot))
        return;
    bool range = x->stage == MODBUS_STAGE_READ &&
                 (exception == MODBUS_ILLEGAL_ADDRESS || exception == MODBUS_ILLEGAL_VALUE);
    exchange_finish(s, slot, range ? LOTLINE_REFUSED_RANGE : LOTLINE_REFUSED,
                    modbus_exception_text(exception, text));
}

static void data_take(struct modbus_session *s, uint32_t slot, struct bytes data)
{
    struct modbus_exchange *x = &s->exchanges[slot];
    if (x->stage == MODBUS_STAGE_READ) {
        s->host->values(s->host, slot, data.ptr, data.len);
        exchange_finish(s, slot, LOTLINE_DONE, NULL);
        return;
    }
    uint16_t bit = (uint16_t)(1u << x->address->bit);
    uint16_t old = load_be16(data.ptr);
    uint8_t changed[2];
    store_be16(changed, (uint16_t)(x->value->as.boolean ? old | bit : old & ~bit));
    s->host->extend(s->host, slot);
    registers_write(s, x, changed);
}

static void verdict_fault(struct modbus_session *s, enum modbus_verdict verdict,
                          const struct modbus_ask *ask, const struct modbus_frame *frame)
{
    static const char *const names[] = {
        [MODBUS_FOREIGN_UNIT] = "foreign unit id",
        [MODBUS_FOREIGN_FUNCTION] = "foreign function",
        [MODBUS_SHORT] = "short frame",
        [MODBUS_LONG] = "long frame",
        [MODBUS_BYTE_COUNT] = "wrong byte count",
        [MODBUS_ECHO] = "foreign confirmation",
    };
    char text[LOTLINE_ERROR_BYTES_MAX];
    snprintf(text, sizeof text,
             "asked unit %u, function %u for %u at %u; the answer came from unit %u, function %u, "
             "with %zu bytes",
             ask->unit, ask->function, ask->count, ask->start, frame->unit, frame->function,
             frame->body.len);
    fault(s, names[verdict], text);
}

static void frame_take(struct modbus_session *s, const struct modbus_frame *frame)
{
    uint32_t slot = 0;
    struct bytes data = {0};
    uint8_t exception = 0;
    struct modbus_exchange *x = exchange_find(s, frame->transaction, &slot);
    if (!x && late_find(s, frame->transaction)) {
        s->host->late(s->host);
        return;
    }
    if (!x) {
        char text[LOTLINE_ERROR_BYTES_MAX];
        snprintf(text, sizeof text, "an answer with transaction id %u came, which nobody waits for",
                 frame->transaction);
        fault(s, "foreign transaction id", text);
        return;
    }
    struct modbus_ask ask = x->ask;
    enum modbus_verdict verdict = modbus_reply_check(&ask, frame, &data, &exception);
    if (verdict == MODBUS_DATA)
        data_take(s, slot, data);
    else if (verdict == MODBUS_CONFIRMED)
        exchange_finish(s, slot, LOTLINE_DONE, NULL);
    else if (verdict == MODBUS_EXCEPTION)
        exception_take(s, slot, exception);
    else
        verdict_fault(s, verdict, &ask, frame);
}

size_t modbus_received(void *session, const uint8_t *data, size_t len)
{
    struct modbus_session *s = session;
    size_t at = 0;
    while (!s->broken) {
        struct modbus_frame frame;
        size_t used = 0;
        int err = modbus_frame_decode(bytes_of(data + at, len - at), &frame, &used);
        if (err == ERR_SHORT)
            break;
        if (err == ERR_VERSION)
            fault(s, "foreign protocol id", "the bytes are not Modbus TCP (protocol id is not 0)");
        else if (err)
            fault(s, load_be16(data + at + 4) < 3 ? "short frame" : "long frame",
                  "the header announces a length that no Modbus frame has");
        else
            frame_take(s, &frame);
        at += used;
    }
    return at;
}
