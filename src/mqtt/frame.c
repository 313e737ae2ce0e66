/* Where one packet ends: first byte, remaining length, body.
 *
 * TCP gives bytes, not packets. The head says how long a packet will be before it is there, so a
 * packet above the limit is refused after five bytes and never stored.
 */
#include "base/str.h"
#include "mqtt/mqtt_priv.h"

int mqtt_frame_next(struct bytes in, uint32_t packet_bytes_max, struct mqtt_frame *ret)
{
    uint32_t remaining = 0;
    size_t at = 1;
    for (unsigned shift = 0;; shift += 7, at++) {
        if (at > MQTT_VARINT_BYTES_MAX)
            return ERR_MALFORMED;
        if (at >= in.len)
            return ERR_AGAIN;
        uint8_t b = in.ptr[at];
        remaining |= (uint32_t)(b & 0x7f) << shift;
        if (b & 0x80)
            continue;
        if (b == 0 && at > 1)
            return ERR_MALFORMED; /* [MQTT-1.5.5-1] not the shortest form */
        break;
    }
    size_t head = at + 1;
    if (head + remaining > packet_bytes_max)
        return ERR_LIMIT;
    if (in.len - head < remaining)
        return ERR_AGAIN;
    *ret = (struct mqtt_frame){
        .head = in.ptr[0],
        .body = bytes_of(in.ptr + head, remaining),
        .size = head + remaining,
    };
    return OK;
}

/* --------------------------------------------------------------------------------------- reading
 */

int mqtt_fail(struct mqtt_decoding *d, uint8_t reason, const char *text)
{
    d->fault = (struct mqtt_fault){reason, text};
    if (reason == MQTT_UNSUPPORTED_VERSION)
        return ERR_VERSION;
    return reason == MQTT_MALFORMED_PACKET ? ERR_MALFORMED : ERR_PROTOCOL;
}

int mqtt_malformed(struct mqtt_decoding *d, const char *text)
{
    return mqtt_fail(d, MQTT_MALFORMED_PACKET, text);
}

uint32_t mqtt_read_varint(struct reader *in)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < MQTT_VARINT_BYTES_MAX; i++) {
        uint8_t b = reader_u8(in);
        if (in->failed)
            return 0;
        value |= (uint32_t)(b & 0x7f) << (7 * i);
        if (b & 0x80)
            continue;
        in->failed = b == 0 && i > 0;
        return value;
    }
    in->failed = true;
    return 0;
}

struct bytes mqtt_read_binary(struct reader *in)
{
    uint16_t len = reader_be16(in);
    return reader_take(in, len);
}

/* Most texts are ASCII: eight bytes at a time have neither a high bit nor a zero. */
static bool text_is_plain(struct bytes text)
{
    size_t i = 0;
    for (; i + 8 <= text.len; i += 8) {
        uint64_t v = load_le64(text.ptr + i);
        if (((v - 0x0101010101010101ull) | v) & 0x8080808080808080ull)
            return false;
    }
    for (; i < text.len; i++)
        if (text.ptr[i] == 0 || text.ptr[i] >= 0x80)
            return false;
    return true;
}

struct bytes mqtt_read_text(struct reader *in)
{
    struct bytes text = mqtt_read_binary(in);
    if (text_is_plain(text))
        return text;
    if (str_is_utf8(text) && !memchr(text.ptr, 0, text.len))
        return text;
    in->failed = true;
    return bytes_of(NULL, 0);
}

int mqtt_read_packet_id(struct mqtt_decoding *d, uint16_t *ret)
{
    uint16_t id = reader_be16(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "the packet ends before its packet identifier");
    if (id == 0)
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "the packet identifier is 0");
    *ret = id;
    return OK;
}

/* --------------------------------------------------------------------------------------- writing
 */

size_t mqtt_varint_size(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

int mqtt_put_varint(struct buf *out, uint32_t value)
{
    return buf_append_varint(out, value);
}

int mqtt_put_head(struct buf *out, uint8_t head, size_t remaining)
{
    if (remaining > MQTT_VARINT_MAX)
        return ERR_LIMIT;
    (void)buf_append_u8(out, head);
    return mqtt_put_varint(out, (uint32_t)remaining);
}

int mqtt_put_text(struct buf *out, struct bytes text)
{
    if (text.len > MQTT_TEXT_BYTES_MAX)
        return ERR_LIMIT;
    (void)buf_append_be16(out, (uint16_t)text.len);
    return buf_append_bytes(out, text);
}

int mqtt_encoded(struct buf *out, size_t start, int err)
{
    if (!err)
        err = buf_error(out);
    if (err)
        out->len = start;
    return err;
}
