/* A track's state as bytes, so that a start reads only what came after. See track_priv.h.
 *
 *   u8 version, u64 hash of the configuration, the state in `struct track` in the order in which it
 *   is declared, then what the kind of track adds; numbers little-endian, texts as varint length
 *   and bytes.
 *
 * It lies in keyed state, which is ours; it is read with the same care as anything from outside.
 */
#include "base/str.h"
#include "track/clocks.h"

#include <math.h>
#include <string.h>

#define CHECKPOINT_VERSION 7
#define SHARE_OFF          1e-9 /* sums of parts of 1 are rounded */

void track_reset(struct track *t)
{
    t->at = (struct position){0, 0};
    t->done_us = INT64_MIN;
    for (uint32_t i = 0; i < t->input_count; i++)
        t->inputs[i].scanned_us = INT64_MIN;
    t->event_count = 0;
    t->event_order = 0;
    for (uint32_t i = 0; i < t->source_count; i++)
        t->sources[i].seen_us = INT64_MIN;
    clocks_reset(t);
    t->kind->reset(t);
}

/* ---------------------------------------------------------------------------------------- encode
 */

void put_i64(struct buf *b, int64_t v)
{
    (void)buf_append_le64(b, (uint64_t)v);
}

void put_text(struct buf *b, const char *text)
{
    (void)buf_append_varint(b, strlen(text));
    (void)buf_append_text(b, text);
}

void put_level(struct buf *b, const struct track_level *l)
{
    (void)buf_append_u8(b, l->known);
    (void)buf_append_u8(b, l->level);
    put_i64(b, l->seen_us);
}

void put_scanner(struct buf *b, const struct track_scanner *s)
{
    put_text(b, s->last);
    (void)buf_append_u8(b, s->fresh);
}

void put_scan(struct buf *b, const struct track_scan *s)
{
    (void)buf_append_u8(b, s->open);
    (void)buf_append_u8(b, s->stale);
    put_text(b, s->before);
    (void)buf_append_le64(b, s->unread);
    (void)buf_append_varint(b, s->serial_count);
    for (uint32_t i = 0; i < s->serial_count; i++) {
        put_text(b, s->serials[i].text);
        (void)buf_append_le64(b, s->serials[i].reads);
    }
}

void put_visit(struct buf *b, const struct track_visit *v)
{
    (void)buf_append_u8(b, v->active);
    if (!v->active)
        return;
    (void)buf_append(b, v->unit, sizeof v->unit);
    put_i64(b, v->t_in);
    put_i64(b, v->t_out);
    (void)buf_append_u8(b, (uint8_t)v->begin);
    (void)buf_append_u8(b, (uint8_t)v->end);
    put_i64(b, v->gap_us);
    put_i64(b, v->resumed_us);
    put_scan(b, &v->scan);
}

void put_event(struct buf *b, const struct track_event *e)
{
    put_i64(b, e->time_us);
    (void)buf_append_le64(b, e->at.epoch);
    (void)buf_append_le64(b, e->at.seq);
    (void)buf_append_le32(b, e->row);
    (void)buf_append_le32(b, e->order);
    (void)buf_append_le32(b, e->signal);
    (void)buf_append_u8(b, e->level);
    put_text(b, e->text);
}

int checkpoint_encode(const struct track *t, struct buf *out)
{
    (void)buf_append_u8(out, CHECKPOINT_VERSION);
    (void)buf_append_le64(out, t->config_hash);
    (void)buf_append_le64(out, t->at.epoch);
    (void)buf_append_le64(out, t->at.seq);
    put_i64(out, t->done_us);
    for (uint32_t i = 0; i < t->input_count; i++)
        put_i64(out, t->inputs[i].scanned_us);
    (void)buf_append_varint(out, t->source_count);
    for (uint32_t i = 0; i < t->source_count; i++)
        put_i64(out, t->sources[i].seen_us);
    (void)buf_append_le32(out, t->event_order);
    (void)buf_append_varint(out, t->event_count);
    for (uint32_t i = 0; i < t->event_count; i++)
        put_event(out, &t->events[t->event_heap[i].slot]);
    int err = clocks_encode(t, out);
    if (!err)
        err = t->kind->encode(t, out);
    return err ? err : buf_error(out);
}

/* ---------------------------------------------------------------------------------------- decode
 */

int64_t get_since(struct reader *r)
{
    int64_t v = (int64_t)reader_le64(r);
    if (v != INT64_MIN && (v < -TRACK_TIME_MAX_US || v > TRACK_TIME_MAX_US))
        r->failed = true;
    return r->failed ? 0 : v;
}

int64_t get_time(struct reader *r)
{
    int64_t v = get_since(r);
    if (v == INT64_MIN)
        r->failed = true;
    return r->failed ? 0 : v;
}

double get_mm(struct reader *r)
{
    double v = reader_finite(r);
    if (!(fabs(v) <= TRACK_MM_MAX))
        r->failed = true;
    return r->failed ? 0 : v;
}

double get_share(struct reader *r)
{
    double v = reader_finite(r);
    if (!(v >= 0 && v <= 1 + SHARE_OFF))
        r->failed = true;
    return r->failed ? 0 : v;
}

void get_text(struct reader *r, char out[static TRACK_SERIAL_BYTES_MAX + 1])
{
    uint64_t len = reader_varint(r);
    if (len > TRACK_SERIAL_BYTES_MAX)
        r->failed = true;
    struct bytes v = reader_take(r, r->failed ? 0 : (size_t)len);
    if (v.len && (memchr(v.ptr, 0, v.len) || !str_is_utf8(v)))
        r->failed = true;
    if (r->failed)
        v.len = 0;
    if (v.len)
        memcpy(out, v.ptr, v.len);
    out[v.len] = 0;
}

uint32_t get_count(struct reader *r, uint32_t max)
{
    uint64_t n = reader_varint(r);
    if (n > max)
        r->failed = true;
    return r->failed ? 0 : (uint32_t)n;
}

struct track_level get_level(struct reader *r)
{
    struct track_level l;
    l.known = reader_u8(r) != 0;
    l.level = reader_u8(r) != 0;
    l.seen_us = get_time(r);
    return l;
}

enum track_edge get_edge(struct reader *r)
{
    uint8_t edge = reader_u8(r);
    if (edge > EDGE_UNSEEN)
        r->failed = true;
    return r->failed ? EDGE_UNSEEN : (enum track_edge)edge;
}

void get_scanner(struct reader *r, struct track_scanner *s)
{
    get_text(r, s->last);
    s->fresh = reader_u8(r) != 0;
}

void get_scan(struct reader *r, struct track_scan *s)
{
    *s = (struct track_scan){0};
    s->open = reader_u8(r) != 0;
    s->stale = reader_u8(r) != 0;
    get_text(r, s->before);
    s->unread = reader_le64(r);
    s->serial_count = get_count(r, TRACK_CANDIDATES_MAX);
    for (uint32_t i = 0; i < s->serial_count; i++) {
        get_text(r, s->serials[i].text);
        s->serials[i].reads = reader_le64(r);
        if (!s->serials[i].text[0] || !s->serials[i].reads || s->serials[i].reads > TRACK_READS_MAX)
            r->failed = true;
    }
}

void get_visit(struct reader *r, struct track_visit *v)
{
    *v = (struct track_visit){0};
    v->active = reader_u8(r) != 0;
    if (!v->active)
        return;
    struct bytes unit = reader_take(r, sizeof v->unit);
    if (unit.len == sizeof v->unit)
        memcpy(v->unit, unit.ptr, sizeof v->unit);
    v->t_in = get_time(r);
    v->t_out = get_time(r);
    v->begin = get_edge(r);
    v->end = get_edge(r);
    v->gap_us = get_time(r);
    v->resumed_us = get_time(r);
    get_scan(r, &v->scan);
}

void get_event(struct reader *r, struct track_event *e)
{
    e->time_us = get_time(r);
    e->at.epoch = reader_le64(r);
    e->at.seq = reader_le64(r);
    e->row = reader_le32(r);
    e->order = reader_le32(r);
    e->signal = reader_le32(r);
    e->level = reader_u8(r) != 0;
    get_text(r, e->text);
}

static int get_events(struct reader *r, struct track *t)
{
    uint32_t order = reader_le32(r);
    uint32_t count = get_count(r, TRACK_EVENTS_MAX);
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        struct track_event e = {0};
        get_event(r, &e);
        if (r->failed || e.signal >= t->input_count || t->inputs[e.signal].read == READ_NUMBER)
            return ERR_MALFORMED;
        t->event_order = e.order;
        err = events_push(t, &e);
    }
    t->event_order = order;
    return err;
}

static int get_state(struct reader *r, struct track *t)
{
    t->at.epoch = reader_le64(r);
    t->at.seq = reader_le64(r);
    t->done_us = get_since(r);
    for (uint32_t i = 0; i < t->input_count; i++)
        t->inputs[i].scanned_us = get_since(r);
    if (get_count(r, t->input_count) != t->source_count)
        return ERR_MALFORMED;
    for (uint32_t i = 0; i < t->source_count; i++)
        t->sources[i].seen_us = get_since(r);
    int err = get_events(r, t);
    if (!err)
        err = clocks_decode(t, r);
    if (!err)
        err = t->kind->decode(t, r);
    return err ? err : r->failed || reader_left(r) ? ERR_MALFORMED : OK;
}

int checkpoint_decode(struct track *t, struct bytes blob)
{
    struct reader r = reader_of(blob);
    track_reset(t);
    uint8_t version = reader_u8(&r);
    uint64_t hash = reader_le64(&r);
    if (r.failed)
        return ERR_MALFORMED;
    if (version != CHECKPOINT_VERSION || hash != t->config_hash)
        return ERR_VERSION;
    int err = get_state(&r, t);
    if (err)
        track_reset(t);
    return err;
}
