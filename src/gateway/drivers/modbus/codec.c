/* Modbus TCP frames: pure bytes ⇄ structs.
 *
 * Every answer is held against the request it claims to answer, field by field. A device that
 * answers with another unit, function, length or address is not "nearly right": crediting its bytes
 * to a tag would store a wrong value for ever, so the verdict names what differs and the session
 * drops the connection.
 */
#include "base/err.h"
#include "gateway/drivers/modbus/modbus.h"

#include <assert.h>
#include <stdio.h>

#define EXCEPTION_FLAG      0x80u
#define BYTE_COUNT_OVERFLOW 0xffu /* some devices put it where the true count may not fit */

/* ---------------------------------------------------------------------------------------- encode
 */

static size_t pdu_encode(const struct modbus_ask *ask, struct bytes data, uint8_t *out)
{
    out[0] = ask->function;
    store_be16(out + 1, ask->start);
    switch ((enum modbus_function)ask->function) {
    case MODBUS_READ_COILS:
    case MODBUS_READ_DISCRETE:
    case MODBUS_READ_HOLDING:
    case MODBUS_READ_INPUT:
        store_be16(out + 3, ask->count);
        return 5;
    case MODBUS_WRITE_COIL:
    case MODBUS_WRITE_REGISTER:
        store_be16(out + 3, ask->value);
        return 5;
    case MODBUS_WRITE_COILS:
    case MODBUS_WRITE_REGISTERS:
        assert(data.len > 0 && data.len <= 2u * MODBUS_WRITE_REGISTERS_MAX);
        store_be16(out + 3, ask->count);
        out[5] = (uint8_t)data.len;
        memcpy(out + 6, data.ptr, data.len);
        return 6 + data.len;
    case MODBUS_MASK_REGISTER:
        store_be16(out + 3, ask->mask);
        store_be16(out + 5, ask->value);
        return 7;
    }
    assert(false && "a function that the driver never asks");
    return 0;
}

size_t modbus_frame_encode(const struct modbus_ask *ask, uint16_t transaction, struct bytes data,
                           uint8_t out[static MODBUS_FRAME_BYTES_MAX])
{
    size_t pdu = pdu_encode(ask, data, out + MODBUS_HEAD_BYTES);
    store_be16(out, transaction);
    store_be16(out + 2, 0);
    store_be16(out + 4, (uint16_t)(pdu + 1));
    out[6] = ask->unit;
    return MODBUS_HEAD_BYTES + pdu;
}

/* ---------------------------------------------------------------------------------------- decode
 */

int modbus_frame_decode(struct bytes in, struct modbus_frame *ret, size_t *ret_used)
{
    if (in.len < MODBUS_HEAD_BYTES - 1)
        return ERR_SHORT;
    if (load_be16(in.ptr + 2) != 0)
        return ERR_VERSION;
    /* The length counts the unit, the function and what follows: an exception has 3. */
    size_t len = load_be16(in.ptr + 4);
    if (len < 3 || len > MODBUS_PDU_BYTES_MAX + 1)
        return ERR_MALFORMED;
    size_t total = MODBUS_HEAD_BYTES - 1 + len;
    if (in.len < total)
        return ERR_SHORT;
    ret->transaction = load_be16(in.ptr);
    ret->unit = in.ptr[6];
    ret->function = in.ptr[7];
    ret->body = bytes_of(in.ptr + 8, len - 2);
    *ret_used = total;
    return OK;
}

static enum modbus_verdict length_verdict(size_t got, size_t want)
{
    return got < want ? MODBUS_SHORT : MODBUS_LONG;
}

static enum modbus_verdict read_check(const struct modbus_ask *ask, struct bytes body,
                                      struct bytes *ret_data)
{
    bool bits = ask->function == MODBUS_READ_COILS || ask->function == MODBUS_READ_DISCRETE;
    size_t want = bits ? (ask->count + 7u) / 8u : (size_t)ask->count * 2;
    if (body.len != want + 1)
        return length_verdict(body.len, want + 1);
    if (body.ptr[0] != want && body.ptr[0] != BYTE_COUNT_OVERFLOW)
        return MODBUS_BYTE_COUNT;
    *ret_data = bytes_of(body.ptr + 1, want);
    return MODBUS_DATA;
}

/* Functions 5, 6, 15, 16 and 22 answer with the head of the request (AP 6.5, 6.6, 6.11, 6.12,
 * 6.16). */
static enum modbus_verdict echo_check(const struct modbus_ask *ask, struct bytes body)
{
    bool mask = ask->function == MODBUS_MASK_REGISTER;
    bool single = ask->function == MODBUS_WRITE_COIL || ask->function == MODBUS_WRITE_REGISTER;
    uint8_t want[6];
    size_t len = mask ? 6 : 4;
    uint16_t second = ask->count;
    if (mask)
        second = ask->mask;
    else if (single)
        second = ask->value;
    store_be16(want, ask->start);
    store_be16(want + 2, second);
    store_be16(want + 4, ask->value);
    if (body.len != len)
        return length_verdict(body.len, len);
    return memcmp(body.ptr, want, len) == 0 ? MODBUS_CONFIRMED : MODBUS_ECHO;
}

enum modbus_verdict modbus_reply_check(const struct modbus_ask *ask,
                                       const struct modbus_frame *frame, struct bytes *ret_data,
                                       uint8_t *ret_exception)
{
    if (frame->unit != ask->unit)
        return MODBUS_FOREIGN_UNIT;
    if (frame->function == (ask->function | EXCEPTION_FLAG)) {
        if (frame->body.len != 1)
            return length_verdict(frame->body.len, 1);
        *ret_exception = frame->body.ptr[0];
        return MODBUS_EXCEPTION;
    }
    if (frame->function != ask->function)
        return MODBUS_FOREIGN_FUNCTION;
    if (ask->function <= MODBUS_READ_INPUT)
        return read_check(ask, frame->body, ret_data);
    return echo_check(ask, frame->body);
}

const char *modbus_exception_text(uint8_t exception,
                                  char out[static MODBUS_EXCEPTION_TEXT_BYTES_MAX])
{
    static const char *const names[] = {
        [1] = "illegal function",
        [2] = "illegal data address",
        [3] = "illegal data value",
        [4] = "server device failure",
        [5] = "acknowledge",
        [6] = "server device busy",
        [7] = "negative acknowledge",
        [8] = "memory parity error",
        [10] = "gateway path unavailable",
        [11] = "gateway target device failed to respond",
    };
    const char *name =
        exception < sizeof names / sizeof names[0] && names[exception] ? names[exception] : NULL;
    if (name)
        snprintf(out, MODBUS_EXCEPTION_TEXT_BYTES_MAX, "%s (exception %u)", name, exception);
    else
        snprintf(out, MODBUS_EXCEPTION_TEXT_BYTES_MAX, "exception %u", exception);
    return out;
}

/* ---------------------------------------------------------------------------------------- values
 */

/* The value's bits, most significant first, in the last `size` bytes of a 64-bit word. */
static uint64_t value_word(const struct lotline_value *value)
{
    uint64_t word = value->as.u64;
    if (value->type == LOTLINE_FLOAT) {
        uint32_t bits;
        memcpy(&bits, &value->as.f32, sizeof bits);
        return bits;
    }
    if (value->type == LOTLINE_BIT || value->type == LOTLINE_BOOL)
        return value->as.boolean;
    return word;
}

static void text_encode(const struct modbus_address *address, const struct lotline_value *value,
                        uint8_t *out)
{
    memset(out, 0, (size_t)address->count * 2);
    size_t stride = address->text >= MODBUS_TEXT_LOW_ONLY ? 2 : 1;
    size_t flip = address->text == MODBUS_TEXT_LOW || address->text == MODBUS_TEXT_LOW_ONLY;
    for (size_t i = 0; i < value->len; i++)
        out[(i * stride) ^ flip] = value->as.ptr[i];
}

void modbus_value_encode(const struct modbus_address *address, const struct lotline_value *value,
                         uint8_t *out)
{
    if (value->type == LOTLINE_STRING) {
        text_encode(address, value, out);
        return;
    }
    if (value->type == LOTLINE_BYTES) {
        assert(value->len == (size_t)address->count * 2);
        memcpy(out, value->as.ptr, value->len);
        return;
    }
    uint64_t word = value_word(value);
    size_t size = (size_t)address->count * 2;
    for (size_t i = 0; i < size; i++)
        out[i ^ address->order] = (uint8_t)(word >> (8 * (size - 1 - i)));
}
