/* Readings of devices with clocks of their own, and the events that tell how far these are. See
 * clocks.h. */
#include "model/clocks.h"

#include "base/array.h"
#include "track/clocks.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define HELD_FIRST 256u

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* -------------------------------------------------------------------------------------- readings
 */

/* The reading goes on, under the reference's time. */
static int reading_pass(struct track *t, struct track_clock *c, const struct clock_reading *held,
                        const struct skew_line *line)
{
    struct track_reading r = held->reading;
    int64_t own_us = r.event.time_us;
    c->passed_us[t->inputs[r.event.signal].source] = own_us;
    if (c->skew.known)
        r.event.time_us = own_us - skew_line_offset(line, own_us);
    return track_reading_take(t, &r);
}

int clocks_hold(struct track *t, const struct track_reading *r)
{
    struct track_clock *c = t->sources[t->inputs[r->event.signal].source].clock;
    if (c->held_first && c->held_first >= c->held_count / 2) {
        c->held_count -= c->held_first;
        memmove(c->held, c->held + c->held_first, c->held_count * sizeof *c->held);
        c->held_first = 0;
    }
    struct clock_reading *more =
        array_room(c->held, c->held_count, &c->held_cap, HELD_FIRST, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    c->held = more;
    c->held[c->held_count++] = (struct clock_reading){*r, c->seen_us[SKEW_REFERENCE]};
    c->seen_us[SKEW_OWN] = later(c->seen_us[SKEW_OWN], r->event.time_us);
    return OK;
}

/* Those whose time the latest pair tells. */
static int held_release(struct track *t, struct track_clock *c)
{
    int64_t paired_us = skew_paired_us(&c->skew);
    uint32_t kept = c->held_first;
    int err = OK;
    for (uint32_t i = c->held_first; i < c->held_count; i++) {
        const struct clock_reading *r = &c->held[i];
        if (!err && r->reading.event.time_us <= paired_us)
            err = reading_pass(t, c, r, &c->skew.line);
        else
            c->held[kept++] = *r;
    }
    c->held_count = kept;
    return err;
}

/* ----------------------------------------------------------------------------------------- alarm
 */

static void clock_tell(const struct track *t, const struct track_clock *c, const char *text)
{
    struct buf source = {0};
    (void)buf_printf(&source, "%s/%s", t->name, c->options.of);
    if (t->alarm && !buf_error(&source))
        t->alarm(t->alarm_ctx, CLOCK_ALARM, buf_text(&source), text);
    buf_fini(&source);
}

static void alarm_clear(const struct track *t, struct track_clock *c)
{
    if (c->told)
        clock_tell(t, c, NULL);
    c->told = false;
}

static void alarm_raise(const struct track *t, struct track_clock *c)
{
    const struct clock_options *o = &c->options;
    struct buf text = {0};
    if (c->told)
        return;
    (void)buf_printf(&text,
                     "how far the clock of %s is off is not known%s: the events of %s and of %s do "
                     "not fit each other within %g s; look whether both are still told, whether "
                     "offset_max and tolerance are wide enough, and use match: value where events "
                     "come too evenly to be told apart",
                     o->of, c->skew.known ? " any more" : "", o->signal, o->with,
                     (double)o->offset_max_us / 1e6);
    if (!buf_error(&text))
        clock_tell(t, c, buf_text(&text));
    buf_fini(&text);
    c->told = true;
}

/* ----------------------------------------------------------------------------------------- steps
 */

/* Where the device's own time leaps by most in the step's direction: among readings of one source
 * that wait, the first behind the leap. */
static uint32_t held_split(const struct track *t, const struct track_clock *c, uint32_t source,
                           bool forward)
{
    int64_t before_us = c->passed_us[source];
    bool known = before_us != INT64_MIN;
    int64_t most = INT64_MIN;
    uint32_t split = c->held_count;
    for (uint32_t i = c->held_first; i < c->held_count; i++) {
        const struct track_event *e = &c->held[i].reading.event;
        if (t->inputs[e->signal].source != source)
            continue;
        int64_t leap = forward ? e->time_us - before_us : before_us - e->time_us;
        if (known && leap > most) {
            most = leap;
            split = i;
        } else if (!known) {
            split = i; /* a source that begins, begins as late as can be */
        }
        known = true;
        before_us = e->time_us;
    }
    return split;
}

static int held_step(struct track *t, struct track_clock *c, bool forward)
{
    int64_t paired_us = skew_paired_us(&c->skew);
    uint32_t kept = c->held_first;
    int err = OK;
    uint32_t *splits = calloc(t->source_count + 1u, sizeof *splits);
    if (!splits)
        return ERR_NOMEM;
    for (uint32_t k = 0; k < t->source_count; k++)
        splits[k] = t->sources[k].clock == c ? held_split(t, c, k, forward) : 0;
    for (uint32_t i = c->held_first; i < c->held_count; i++) {
        const struct clock_reading *r = &c->held[i];
        const struct track_event *e = &r->reading.event;
        if (!err && i < splits[t->inputs[e->signal].source])
            err = reading_pass(t, c, r, &c->skew.before);
        else if (!err && e->time_us <= paired_us)
            err = reading_pass(t, c, r, &c->skew.line);
        else
            c->held[kept++] = *r;
    }
    c->held_count = kept;
    free(splits);
    return err;
}

/* The largest leap of the own signal's times since the latest pair. */
static void leap_note(struct track_clock *c, int64_t time_us)
{
    int64_t from = c->row_us;
    c->row_us = time_us;
    if (from == INT64_MIN)
        return;
    struct clock_leap *up = &c->leaps[1];
    struct clock_leap *down = &c->leaps[0];
    if (!up->known || time_us - from > up->to_us - up->from_us)
        *up = (struct clock_leap){true, from, time_us};
    if (!down->known || time_us - from < down->to_us - down->from_us)
        *down = (struct clock_leap){true, from, time_us};
}

static int clock_stepped(struct track *t, struct track_clock *c)
{
    const struct skew *s = &c->skew;
    int64_t first_us = s->pairs[0].own_us;
    bool forward =
        skew_line_offset(&s->line, first_us) > skew_line_offset(&s->before, s->before.at_us);
    const struct clock_leap *leap = &c->leaps[forward];
    t->stats->clock_steps++;
    skew_stepped(&c->skew, leap->known ? leap->from_us : s->before.at_us,
                 leap->known ? leap->to_us : first_us);
    return held_step(t, c, forward);
}

/* ---------------------------------------------------------------------------------------- events
 */

static int event_take(struct track *t, struct track_clock *c, enum skew_side side, int64_t time_us,
                      uint64_t value)
{
    enum skew_found found = skew_event(&c->skew, side, time_us, value);
    int err = OK;
    if (found == SKEW_NONE) {
        if (skew_is_lost(&c->skew))
            alarm_raise(t, c);
        return OK;
    }
    err = found == SKEW_STEP ? clock_stepped(t, c) : held_release(t, c);
    memset(c->leaps, 0, sizeof c->leaps);
    alarm_clear(t, c);
    return err;
}

/* Whether the signal shows an event, and its value. */
static bool signal_event(struct clock_signal *s, bool by_value, const struct value *v,
                         uint64_t *ret)
{
    char text[TRACK_SERIAL_BYTES_MAX + 1];
    bool level = false;
    bool known = s->known;
    *ret = 0;
    if (!by_value) {
        if (!level_of_value(v, &level))
            return false;
        bool rises = known && !s->level && level;
        s->known = true;
        s->level = level;
        return rises;
    }
    text_of_value(v, text);
    *ret = text[0] ? XXH3_64bits(text, strlen(text)) : 0;
    bool is_new = known && *ret && *ret != s->value;
    s->known = true;
    s->value = *ret;
    return is_new;
}

static int signal_take(struct track *t, struct track_clock *c, enum skew_side side,
                       const struct batch *batch)
{
    struct clock_signal *s = &c->signals[side];
    if (s->schema != batch->schema->hash) {
        s->schema = batch->schema->hash;
        s->col = schema_find(batch->schema, bytes_of_text(s->column));
    }
    int err = OK;
    struct column col = s->col < 0 ? (struct column){0} : batch_column(batch, (uint32_t)s->col);
    for (uint32_t row = 0; row < batch->rows && !err; row++) {
        int64_t time_us = batch_times(batch)[row] + (col.time_offset ? col.time_offset[row] : 0);
        uint64_t value = 0;
        c->seen_us[side] = later(c->seen_us[side], time_us);
        if (side == SKEW_OWN)
            leap_note(c, time_us);
        if (s->col < 0 || column_quality(&col, row) != QUALITY_GOOD || column_is_null(&col, row))
            continue;
        struct value v = column_shown(&col, row);
        if (signal_event(s, c->options.match == 1, &v, &value))
            err = event_take(t, c, side, time_us, value);
    }
    return err;
}

/* ---------------------------------------------------------------------------------------- record
 */

/* Whether the oldest reading has waited for long enough. Without the reference, the device's own
 * time decides, as far as no step could deceive. */
static bool held_is_due(const struct track_clock *c)
{
    const struct clock_options *o = &c->options;
    const struct clock_reading *r = &c->held[c->held_first];
    int64_t reference_us = c->seen_us[SKEW_REFERENCE];
    if (c->held_count - c->held_first > CLOCK_HELD_MAX)
        return true;
    if (r->since_us != INT64_MIN && reference_us - r->since_us >= o->wait_us)
        return true;
    return c->seen_us[SKEW_OWN] - r->reading.event.time_us >= o->wait_us + 2 * o->offset_max_us;
}

static int held_wait(struct track *t, struct track_clock *c)
{
    int err = OK;
    while (!err && c->held_first < c->held_count && held_is_due(c)) {
        if (!c->skew.known)
            alarm_raise(t, c);
        err = reading_pass(t, c, &c->held[c->held_first], &c->skew.line);
        c->held_first++;
        t->stats->clock_waits++;
    }
    return err;
}

int clocks_record(struct track *t, struct bytes stream, const struct batch *batch)
{
    int err = OK;
    for (uint32_t i = 0; i < t->clock_count && !err; i++) {
        struct track_clock *c = &t->clocks[i];
        for (int side = SKEW_REFERENCE; side <= SKEW_OWN && !err; side++)
            if (bytes_equal(stream, bytes_of_text(c->signals[side].stream)))
                err = signal_take(t, c, (enum skew_side)side, batch);
        if (!err)
            err = held_wait(t, c);
    }
    return err;
}

int64_t clocks_known_us(const struct track *t)
{
    int64_t known_us = INT64_MAX;
    for (uint32_t i = 0; i < t->clock_count; i++) {
        const struct track_clock *c = &t->clocks[i];
        int64_t own_us = skew_paired_us(&c->skew);
        int64_t at_us =
            c->skew.known ? own_us - skew_line_offset(&c->skew.line, own_us) : INT64_MIN;
        if (c->alone && at_us < known_us)
            known_us = at_us;
    }
    return known_us;
}

int clocks_put(const struct track *t, int64_t t_in, int64_t t_out, struct buf *out,
               const char **ret_unknown)
{
    int err = OK;
    *ret_unknown = NULL;
    for (uint32_t i = 0; i < t->clock_count && !err; i++) {
        const struct track_clock *c = &t->clocks[i];
        struct clock_offset offset = {skew_offset(&c->skew, t_in), skew_offset(&c->skew, t_out)};
        if (c->skew.known)
            err = clock_put(c->options.of, offset, out);
        else
            *ret_unknown = c->options.of;
    }
    return err;
}

/* ----------------------------------------------------------------------------------------- state
 */

void clocks_reset(struct track *t)
{
    for (uint32_t i = 0; i < t->clock_count; i++) {
        struct track_clock *c = &t->clocks[i];
        c->skew = (struct skew){.options = c->skew.options};
        for (int side = 0; side < 2; side++) {
            c->signals[side].known = false;
            c->signals[side].level = false;
            c->signals[side].value = 0;
            c->seen_us[side] = INT64_MIN;
        }
        for (uint32_t k = 0; c->passed_us && k < t->source_count; k++)
            c->passed_us[k] = INT64_MIN;
        memset(c->leaps, 0, sizeof c->leaps);
        c->row_us = INT64_MIN;
        c->held_first = 0;
        c->held_count = 0;
        c->told = false;
    }
}

static void put_line(struct buf *b, const struct skew_line *l)
{
    put_i64(b, l->at_us);
    (void)buf_append_double(b, l->offset_us);
    (void)buf_append_double(b, l->rate);
}

static void put_skew(struct buf *b, const struct skew *s)
{
    (void)buf_append_u8(b, s->known);
    put_line(b, &s->line);
    put_line(b, &s->before);
    for (int side = 0; side < 2; side++) {
        (void)buf_append_varint(b, s->event_count[side]);
        for (uint32_t i = 0; i < s->event_count[side]; i++) {
            put_i64(b, s->events[side][i].time_us);
            (void)buf_append_le64(b, s->events[side][i].value);
        }
    }
    (void)buf_append_varint(b, s->seen_count);
    for (uint32_t i = 0; i < s->seen_count && i < SKEW_EVENTS_MAX; i++)
        put_i64(b, s->seen[i]);
    (void)buf_append_u8(b, s->has_reference);
    put_i64(b, s->reference_us);
    (void)buf_append_varint(b, s->pair_count);
    for (uint32_t i = 0; i < s->pair_count; i++) {
        put_i64(b, s->pairs[i].own_us);
        put_i64(b, s->pairs[i].offset_us);
    }
    (void)buf_append_varint(b, s->point_count);
    for (uint32_t i = 0; i < s->point_count; i++) {
        put_i64(b, s->points[i].time_us);
        put_i64(b, s->points[i].offset_us);
    }
}

static void put_clock(struct buf *b, const struct track *t, const struct track_clock *c)
{
    put_skew(b, &c->skew);
    for (int side = 0; side < 2; side++) {
        const struct clock_signal *s = &c->signals[side];
        (void)buf_append_u8(b, s->known);
        (void)buf_append_u8(b, s->level);
        (void)buf_append_le64(b, s->value);
        put_i64(b, c->seen_us[side]);
    }
    for (uint32_t k = 0; k < t->source_count; k++)
        put_i64(b, c->passed_us[k]);
    for (int i = 0; i < 2; i++) {
        (void)buf_append_u8(b, c->leaps[i].known);
        put_i64(b, c->leaps[i].from_us);
        put_i64(b, c->leaps[i].to_us);
    }
    put_i64(b, c->row_us);
    (void)buf_append_u8(b, c->told);
    (void)buf_append_varint(b, c->held_count - c->held_first);
    for (uint32_t i = c->held_first; i < c->held_count; i++) {
        put_event(b, &c->held[i].reading.event);
        (void)buf_append_double(b, c->held[i].reading.number);
        put_i64(b, c->held[i].since_us);
    }
}

int clocks_encode(const struct track *t, struct buf *out)
{
    for (uint32_t i = 0; i < t->clock_count; i++)
        put_clock(out, t, &t->clocks[i]);
    return buf_error(out);
}

static void get_line(struct reader *r, struct skew_line *l)
{
    l->at_us = get_time(r);
    l->offset_us = reader_finite(r);
    l->rate = reader_finite(r);
    if (!(fabs(l->offset_us) < 1e16 && fabs(l->rate) < 1))
        r->failed = true;
}

static void get_points(struct reader *r, struct skew *s)
{
    s->pair_count = get_count(r, SKEW_PAIRS_MAX);
    for (uint32_t i = 0; i < s->pair_count; i++) {
        s->pairs[i].own_us = get_time(r);
        s->pairs[i].offset_us = get_time(r);
    }
    s->point_count = get_count(r, SKEW_POINTS_MAX);
    for (uint32_t i = 0; i < s->point_count; i++) {
        s->points[i].time_us = get_time(r);
        s->points[i].offset_us = get_time(r);
        if (i && s->points[i].time_us < s->points[i - 1].time_us)
            r->failed = true;
    }
}

static void get_skew(struct reader *r, struct skew *s)
{
    s->known = reader_u8(r) != 0;
    get_line(r, &s->line);
    get_line(r, &s->before);
    for (int side = 0; side < 2; side++) {
        s->event_count[side] = get_count(r, SKEW_EVENTS_MAX);
        for (uint32_t i = 0; i < s->event_count[side]; i++) {
            s->events[side][i].time_us = get_time(r);
            s->events[side][i].value = reader_le64(r);
        }
    }
    s->seen_count = get_count(r, 2 * SKEW_EVENTS_MAX - 1);
    for (uint32_t i = 0; i < s->seen_count && i < SKEW_EVENTS_MAX; i++)
        s->seen[i] = get_time(r);
    s->has_reference = reader_u8(r) != 0;
    s->reference_us = get_time(r);
    get_points(r, s);
    if (s->known != (s->pair_count > 0) || s->known != (s->point_count > 0))
        r->failed = true;
}

static int get_held(struct reader *r, struct track *t, struct track_clock *c)
{
    uint32_t count = get_count(r, 2 * CLOCK_HELD_MAX);
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++) {
        struct track_reading reading = {0};
        get_event(r, &reading.event);
        reading.number = reader_finite(r);
        int64_t since_us = get_since(r);
        const struct track_event *e = &reading.event;
        if (r->failed || e->signal >= t->input_count || !t->inputs[e->signal].stream ||
            !isfinite(reading.number) || t->sources[t->inputs[e->signal].source].clock != c)
            return ERR_MALFORMED;
        err = clocks_hold(t, &reading);
        if (!err)
            c->held[c->held_count - 1].since_us = since_us;
    }
    return err;
}

static int get_clock(struct reader *r, struct track *t, struct track_clock *c)
{
    int64_t seen_us[2];
    get_skew(r, &c->skew);
    for (int side = 0; side < 2; side++) {
        struct clock_signal *s = &c->signals[side];
        s->known = reader_u8(r) != 0;
        s->level = reader_u8(r) != 0;
        s->value = reader_le64(r);
        seen_us[side] = get_since(r);
    }
    for (uint32_t k = 0; k < t->source_count; k++)
        c->passed_us[k] = get_since(r);
    for (int i = 0; i < 2; i++) {
        c->leaps[i].known = reader_u8(r) != 0;
        c->leaps[i].from_us = get_time(r);
        c->leaps[i].to_us = get_time(r);
    }
    c->row_us = get_since(r);
    c->told = reader_u8(r) != 0;
    int err = get_held(r, t, c);
    memcpy(c->seen_us, seen_us, sizeof seen_us);
    return err ? err : r->failed ? ERR_MALFORMED : OK;
}

int clocks_decode(struct track *t, struct reader *in)
{
    int err = OK;
    for (uint32_t i = 0; i < t->clock_count && !err; i++)
        err = get_clock(in, t, &t->clocks[i]);
    return err;
}
