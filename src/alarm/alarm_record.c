/* Events as bytes in the journal's log `events`. See alarm_priv.h.
 *
 *   u8 version = 1, u8 kind, u8 severity, i64 time µs, u64 id, u32 err,
 *   then name, source, text, user, channel: varint length and bytes each
 */
#include "alarm/alarm_priv.h"

#define EVENT_VERSION 1

static const uint8_t kind_max = EVENT_RESULT;

static void put_text(struct buf *out, struct bytes v)
{
    (void)buf_append_varint(out, v.len);
    (void)buf_append_bytes(out, v);
}

int event_encode(const struct event *e, struct buf *out)
{
    (void)buf_append_u8(out, EVENT_VERSION);
    (void)buf_append_u8(out, (uint8_t)e->kind);
    (void)buf_append_u8(out, e->severity);
    (void)buf_append_le64(out, (uint64_t)e->time_us);
    (void)buf_append_le64(out, e->id);
    (void)buf_append_le32(out, (uint32_t)e->err);
    put_text(out, e->name);
    put_text(out, e->source);
    put_text(out, e->text);
    put_text(out, e->user);
    put_text(out, e->channel);
    return buf_error(out);
}

static struct bytes take_text(struct reader *r)
{
    uint64_t len = reader_varint(r);
    return reader_take(r, len > SIZE_MAX ? SIZE_MAX : (size_t)len);
}

int event_decode(struct bytes in, struct event *ret)
{
    struct reader r = reader_of(in);
    uint8_t version = reader_u8(&r);
    uint8_t kind = reader_u8(&r);
    struct event e = {.severity = reader_u8(&r)};
    e.time_us = (int64_t)reader_le64(&r);
    e.id = reader_le64(&r);
    e.err = (int32_t)reader_le32(&r);
    e.name = take_text(&r);
    e.source = take_text(&r);
    e.text = take_text(&r);
    e.user = take_text(&r);
    e.channel = take_text(&r);
    if (!r.failed && version != EVENT_VERSION)
        return ERR_VERSION;
    if (r.failed)
        return ERR_SHORT;
    if (kind < EVENT_RAISE || kind > kind_max || e.severity >= ALARM_SEVERITY_COUNT)
        return ERR_MALFORMED;
    e.kind = (enum event_kind)kind;
    *ret = e;
    return OK;
}
