/* Readings of a record, and how far the streams have been read. See track_priv.h.
 *
 * Everything follows from the records of the log in their order and from nothing else (no clock),
 * so that a replay makes the same presences from the same records. Readings are taken in the order
 * of their own times: those of a faster stream wait for the slower ones, at most `grace` of the
 * streams' own time. All wait for `lateness` besides, for readings of their own stream that come
 * later than others of it.
 */
#include "base/str.h"
#include "track/clocks.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- readings
 */

/* Device strings come padded with zeros or spaces, and may be no text at all. */
static void text_of_bytes(struct bytes v, char out[static TRACK_SERIAL_BYTES_MAX + 1])
{
    while (v.len && (v.ptr[v.len - 1] == 0 || v.ptr[v.len - 1] == ' '))
        v.len--;
    while (v.len && v.ptr[0] == ' ')
        v = bytes_of(v.ptr + 1, v.len - 1);
    out[0] = 0;
    if (v.len == 0)
        return;
    bool text = str_is_utf8(v) && v.len <= TRACK_SERIAL_BYTES_MAX && !memchr(v.ptr, 0, v.len);
    if (text) {
        memcpy(out, v.ptr, v.len);
        out[v.len] = 0;
        return;
    }
    size_t bytes = v.len < 100 ? v.len : 100;
    out[0] = '0';
    out[1] = 'x';
    str_hex(bytes_of(v.ptr, bytes), out + 2);
}

/* "" = there is nothing: a register of a serial or a result that holds 0 was not written yet. */
void text_of_value(const struct value *v, char out[static TRACK_SERIAL_BYTES_MAX + 1])
{
    double number = 0;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        text_of_bytes(v->bytes, out);
        return;
    }
    out[0] = 0;
    if (v->type == VALUE_BOOL)
        (void)snprintf(out, TRACK_SERIAL_BYTES_MAX, "%s", v->boolean ? "true" : "false");
    else if (v->type == VALUE_INT64 && v->i64)
        (void)snprintf(out, TRACK_SERIAL_BYTES_MAX, "%" PRId64, v->i64);
    else if (v->type == VALUE_UINT64 && v->u64)
        (void)snprintf(out, TRACK_SERIAL_BYTES_MAX, "%" PRIu64, v->u64);
    else if (value_to_double(v, &number) && number != 0 && v->type != VALUE_INT64 &&
             v->type != VALUE_UINT64)
        (void)str_from_double(number, out);
}

/* False if it is no reading of a level. */
bool level_of_value(const struct value *v, bool *ret)
{
    double number = 0;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        *ret = v->bytes.len != 0;
        return true;
    }
    if (!value_to_double(v, &number) || isnan(number))
        return false;
    *ret = number != 0;
    return true;
}

static int32_t input_column(struct track_input *in, const struct schema *schema)
{
    if (in->schema != schema->hash) {
        in->schema = schema->hash;
        in->col = schema_find(schema, bytes_of_text(in->column));
    }
    return in->col;
}

static void source_seen(struct track *t, uint32_t signal, int64_t time_us)
{
    struct track_source *source = &t->sources[t->inputs[signal].source];
    if (time_us > source->seen_us)
        source->seen_us = time_us;
}

int track_reading_take(struct track *t, const struct track_reading *r)
{
    const struct track_event *e = &r->event;
    source_seen(t, e->signal, e->time_us);
    if (t->inputs[e->signal].read == READ_NUMBER)
        return t->kind->number(t, e->signal, e->time_us, r->number);
    return events_push(t, e);
}

/* False: it says nothing. */
static bool cell_read(const struct track_input *in, const struct value *v, struct track_reading *r)
{
    r->event.text[0] = 0;
    if (in->read == READ_NUMBER)
        return value_to_double(v, &r->number) && isfinite(r->number);
    if (in->read == READ_LEVEL)
        return level_of_value(v, &r->event.level);
    text_of_value(v, r->event.text);
    return true;
}

static int cell_take(struct track *t, uint32_t signal, struct track_reading *r,
                     const struct column *c)
{
    const struct track_input *in = &t->inputs[signal];
    struct track_event *e = &r->event;
    if (column_quality(c, e->row) != QUALITY_GOOD || column_is_null(c, e->row))
        return OK;
    struct value v = column_shown(c, e->row);
    e->signal = signal;
    if (!cell_read(in, &v, r))
        return OK;
    return t->sources[in->source].clock ? clocks_hold(t, r) : track_reading_take(t, r);
}

/* A signal's readings in the rows [from, to) of a record. */
static int rows_read(struct track *t, uint32_t signal, struct position at,
                     const struct batch *batch, uint32_t from, uint32_t to)
{
    int32_t col = input_column(&t->inputs[signal], batch->schema);
    struct column c = col < 0 ? (struct column){0} : batch_column(batch, (uint32_t)col);
    int err = OK;
    for (uint32_t row = from; !err && col >= 0 && row < to; row++) {
        struct track_reading r = {.event = {.at = at, .row = row}};
        r.event.time_us = batch_times(batch)[row] + (c.time_offset ? c.time_offset[row] : 0);
        err = cell_take(t, signal, &r, &c);
    }
    return err;
}

static int record_read(struct track *t, struct position at, struct bytes stream,
                       const struct batch *batch)
{
    int err = OK;
    uint32_t source = 0;
    while (source < t->source_count &&
           !bytes_equal(stream, bytes_of_text(t->sources[source].stream)))
        source++;
    if (source == t->source_count)
        return OK;
    /* What waits for its time does so in the order of the rows. */
    uint32_t step = t->sources[source].clock ? 1 : batch->rows;
    for (uint32_t row = 0; !err && row < batch->rows; row += step)
        for (uint32_t signal = 0; !err && signal < t->input_count; signal++)
            if (t->inputs[signal].stream && t->inputs[signal].source == source)
                err = rows_read(t, signal, at, batch, row, row + step);
    return err;
}

/* Up to when all streams have been read, or the slow ones were waited for long enough. */
static int64_t safe_us(const struct track *t)
{
    int64_t slowest = clocks_known_us(t);
    int64_t fastest = INT64_MIN;
    for (uint32_t i = 0; i < t->source_count; i++) {
        int64_t seen = t->sources[i].seen_us;
        slowest = seen < slowest ? seen : slowest;
        fastest = seen > fastest ? seen : fastest;
    }
    int64_t patient = fastest > INT64_MIN + t->grace_us ? fastest - t->grace_us : INT64_MIN;
    int64_t safe = slowest > patient ? slowest : patient;
    return safe > INT64_MIN + t->late_us ? safe - t->late_us : INT64_MIN;
}

int track_record(struct track *t, struct position at, struct bytes stream,
                 const struct batch *batch)
{
    if (position_compare(at, t->at) <= 0)
        return OK;
    int err = record_read(t, at, stream, batch);
    if (!err)
        err = clocks_record(t, stream, batch);
    if (!err)
        err = t->kind->advance(t, safe_us(t));
    t->at = at;
    return err;
}

bool level_edge(struct track_level *l, const struct track_event *e, bool rising, int64_t gap_max_us,
                enum track_edge *ret, int64_t *ret_gap_us)
{
    int64_t gap_us = e->time_us - l->seen_us;
    bool was_known = l->known;
    bool changed = was_known && l->level != e->level;
    bool gap = was_known && gap_us > gap_max_us;
    *l = (struct track_level){true, e->level, e->time_us};
    *ret_gap_us = gap ? gap_us : 0;
    if (e->level != rising || (was_known && !changed))
        return false;
    *ret = !was_known ? EDGE_UNSEEN : gap ? EDGE_GAP : EDGE_SEEN;
    return true;
}
