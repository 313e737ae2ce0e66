/* A station with a begin and an end signal: readings in, presences out. See track.h.
 *
 * Everything follows from the records of the log in their order and from nothing else (no clock),
 * so that a replay makes the same presences from the same records. Readings are taken in the order
 * of their own times: those of a faster stream wait for the slower ones, at most `grace` of the
 * streams' own time. The interval is [t_in, t_out): what was read at the moment of leaving belongs
 * to whoever comes next, except the result, which is only true from then on.
 */
#include "base/str.h"
#include "track/track_priv.h"

#include <assert.h>
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
    int at = snprintf(out, 3, "0x");
    for (size_t i = 0; i < bytes; i++)
        at += snprintf(out + at, 3, "%02x", v.ptr[i]);
}

/* "" = there is nothing: a register of a serial or a result that holds 0 was not written yet. */
static void text_of_value(const struct value *v, char out[static TRACK_SERIAL_BYTES_MAX + 1])
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
static bool level_of_value(const struct value *v, bool *ret)
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

static int station_read_cell(struct station *s, enum track_signal signal, struct track_event *e,
                             const struct column *c)
{
    if (column_quality(c, e->row) != QUALITY_GOOD || column_is_null(c, e->row))
        return OK;
    struct value v = column_shown(c, e->row);
    e->signal = signal;
    e->text[0] = 0;
    if (signal == SIGNAL_UNIT || signal == SIGNAL_RESULT)
        text_of_value(&v, e->text);
    else if (!level_of_value(&v, &e->level))
        return OK;
    struct track_source *source = &s->sources[s->inputs[signal].source];
    if (e->time_us > source->seen_us)
        source->seen_us = e->time_us;
    return events_push(s, e);
}

static int station_read(struct station *s, struct position at, struct bytes stream,
                        const struct batch *batch)
{
    int err = OK;
    for (int signal = 0; !err && signal < SIGNAL_COUNT; signal++) {
        struct track_input *in = &s->inputs[signal];
        if (!in->stream || !bytes_equal(stream, bytes_of_text(in->stream)))
            continue;
        int32_t col = input_column(in, batch->schema);
        if (col < 0)
            continue;
        struct column c = batch_column(batch, (uint32_t)col);
        for (uint32_t row = 0; !err && row < batch->rows; row++) {
            struct track_event e = {.at = at, .row = row};
            e.time_us = batch_times(batch)[row] + (c.time_offset ? c.time_offset[row] : 0);
            err = station_read_cell(s, (enum track_signal)signal, &e, &c);
        }
    }
    return err;
}

/* ---------------------------------------------------------------------------------------- visits
 */

static void visit_serial(struct track_visit *v, const char *text)
{
    if (!text[0]) {
        v->unread++;
        return;
    }
    for (uint32_t i = 0; i < v->serial_count; i++) {
        if (strcmp(v->serials[i].text, text) == 0) {
            v->serials[i].reads++;
            return;
        }
    }
    if (v->serial_count == TRACK_CANDIDATES_MAX) {
        v->unread++; /* so many serials in one visit say nothing any more */
        return;
    }
    struct track_serial *serial = &v->serials[v->serial_count++];
    (void)snprintf(serial->text, sizeof serial->text, "%s", text);
    serial->reads = 1;
}

static void visit_open(struct station *s, const struct track_event *e, enum track_edge edge)
{
    s->open = (struct track_visit){.active = true, .t_in = e->time_us, .begin = edge};
    s->open.stale = !s->fresh;
    memcpy(s->open.before, s->last_serial, sizeof s->open.before);
    track_unit_id(s->node, s->options.name, e->at, e->row, s->open.unit);
}

static int visit_finish(struct station *s, const char *result)
{
    if (!s->closing.active)
        return OK;
    int err = presence_put(s, &s->closing, result);
    s->closing.active = false;
    return err;
}

static int visit_close(struct station *s, int64_t time_us, enum track_edge edge)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    int err = visit_finish(s, "");
    if (err)
        return err;
    const struct track_serial *best = visit_best(&s->open, &reads, &count);
    if (best)
        memcpy(s->last_serial, best->text, sizeof s->last_serial);
    s->closing = s->open;
    s->closing.t_out = time_us;
    s->closing.end = edge;
    s->open.active = false;
    s->fresh = false;
    return s->inputs[SIGNAL_RESULT].stream ? OK : visit_finish(s, "");
}

/* ---------------------------------------------------------------------------------------- events
 */

/* Notes a level reading; what its edge is. False if it is none. */
static bool level_edge(struct station *s, struct track_level *l, const struct track_event *e,
                       bool rising, enum track_edge *ret)
{
    int64_t gap_us = e->time_us - l->seen_us;
    bool was_known = l->known;
    bool changed = was_known && l->level != e->level;
    bool gap = was_known && gap_us > s->options.gap_max_us;
    *l = (struct track_level){true, e->level, e->time_us};
    if (gap && s->open.active && e->signal == SIGNAL_END)
        s->open.gap_us += gap_us;
    if (e->level != rising || (was_known && !changed))
        return false;
    *ret = !was_known ? EDGE_UNSEEN : gap ? EDGE_GAP : EDGE_SEEN;
    return true;
}

static int station_end(struct station *s, const struct track_event *e)
{
    enum track_edge edge;
    if (!level_edge(s, &s->end, e, s->inputs[SIGNAL_END].rising, &edge))
        return OK;
    if (s->open.active)
        return visit_close(s, e->time_us, edge == EDGE_UNSEEN ? EDGE_GAP : edge);
    if (edge == EDGE_UNSEEN)
        return OK; /* the first reading of all: nobody says that somebody left */
    /* It left, so it was here: when it came is unknown. */
    visit_open(s, e, EDGE_UNSEEN);
    return visit_close(s, e->time_us, edge);
}

static int station_begin(struct station *s, const struct track_event *e)
{
    enum track_edge edge;
    if (!level_edge(s, &s->begin, e, s->inputs[SIGNAL_BEGIN].rising, &edge))
        return OK;
    int err = s->open.active ? visit_close(s, e->time_us, EDGE_UNSEEN) : OK;
    if (!err)
        visit_open(s, e, edge);
    return err;
}

static int station_result(struct station *s, const struct track_event *e)
{
    return s->closing.active ? visit_finish(s, e->text) : OK;
}

static int station_unit(struct station *s, const struct track_event *e)
{
    if (strcmp(e->text, s->last_serial) != 0)
        s->fresh = true;
    if (s->open.active && e->time_us >= s->open.t_in)
        visit_serial(&s->open, e->text);
    return OK;
}

static int station_take(struct station *s, const struct track_event *e)
{
    static int (*const takes[SIGNAL_COUNT])(struct station *, const struct track_event *) = {
        [SIGNAL_END] = station_end,
        [SIGNAL_RESULT] = station_result,
        [SIGNAL_BEGIN] = station_begin,
        [SIGNAL_UNIT] = station_unit,
    };
    /* Behind its time: an edge cannot be put right any more, a serial inside the visit can. */
    if (e->time_us < s->done_us && e->signal != SIGNAL_UNIT)
        return OK;
    if (e->time_us > s->done_us)
        s->done_us = e->time_us;
    return takes[e->signal](s, e);
}

/* Up to when all streams have been read, or the slow ones were waited for long enough. */
static int64_t station_safe_us(const struct station *s)
{
    int64_t slowest = INT64_MAX;
    int64_t fastest = INT64_MIN;
    for (uint32_t i = 0; i < s->source_count; i++) {
        int64_t seen = s->sources[i].seen_us;
        slowest = seen < slowest ? seen : slowest;
        fastest = seen > fastest ? seen : fastest;
    }
    int64_t patient =
        fastest > INT64_MIN + s->options.grace_us ? fastest - s->options.grace_us : INT64_MIN;
    return slowest > patient ? slowest : patient;
}

int station_record(struct station *s, struct position at, struct bytes stream,
                   const struct batch *batch)
{
    if (position_compare(at, s->at) <= 0)
        return OK;
    int err = station_read(s, at, stream, batch);
    int64_t safe_us = station_safe_us(s);
    while (!err && s->event_count && events_first(s)->time_us <= safe_us) {
        struct track_event e = *events_first(s);
        events_pop(s);
        err = station_take(s, &e);
    }
    if (!err && s->closing.active && safe_us > s->closing.t_out + s->options.grace_us)
        err = visit_finish(s, "");
    s->at = at;
    return err;
}
