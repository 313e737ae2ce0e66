/* A line: readings of its gates in, presences of its units out. See track.h.
 *
 * Readings become pulses: edges that are not the same one again, with the code that was read there
 * within the gate's `scan_time`. So what happened is decided that much later than it happened, all
 * over the line, in the order of its times. Which unit made which pulse is assign.c's; where a unit
 * on a belt is at a moment is the integral of the belt's speed.
 *
 * A gate that knows how long a unit is counts them by the length of its pulse: units that touch
 * make one.
 *
 * What comes out follows from the records alone, see inputs.c.
 */
#include "track/line.h"

#include "base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BACK_MM_S  1.0 /* faster backwards than this, and a pulse is of a unit coming back */
#define LINE_SHOT_SHIFT 25  /* of a row: above the gates' bits */
#define LINE_KEEP_US    ((int64_t)60 * 1000000) /* of the belts' motion, beyond what units need */

struct line *line_of(struct track *t)
{
    return CONTAINER_OF(t, struct line, track);
}

/* ---------------------------------------------------------------------------------------- belts
 */

static struct motion *gate_belt(struct line *l, const struct line_gate *g)
{
    return g->motion == UINT32_MAX ? NULL : &l->motions[g->motion].motion;
}

double line_mm(void *ctx, uint16_t part, int64_t time_us)
{
    struct line *l = ctx;
    return motion_mm(&l->motions[l->parts[part].motion].motion, time_us);
}

int64_t line_when(void *ctx, uint16_t part, double mm, int64_t before_us)
{
    struct line *l = ctx;
    const struct motion *m = &l->motions[l->parts[part].motion].motion;
    int64_t when = before_us;
    if (motion_last_at(m, before_us, mm, &when))
        return when;
    /* Before what is known: at its begin. */
    return m->count && m->points[0].time_us < before_us ? m->points[0].time_us : before_us;
}

/* All readings up to there have been taken. Those beyond say how it went on, unless one between may
 * still come. */
static int motions_reach(struct line *l, int64_t time_us)
{
    int err = OK;
    for (uint32_t i = 0; i < l->motion_count && !err; i++) {
        struct motion *m = &l->motions[i].motion;
        if (motion_end_us(m) >= time_us)
            continue;
        err = l->track.late_us ? motion_hold(m, time_us, l->track.gap_max_us)
                               : motion_reach(m, time_us, l->track.gap_max_us);
    }
    return err;
}

/* What no unit on the line, and no stay that is not decided, needs any more. */
static void motions_forget(struct line *l)
{
    int64_t oldest_us = assign_oldest_us(l->assign);
    int64_t keep_us = oldest_us < l->decided_us ? oldest_us : l->decided_us;
    if (keep_us < INT64_MIN + LINE_KEEP_US)
        return;
    for (uint32_t i = 0; i < l->motion_count; i++)
        motion_trim(&l->motions[i].motion, keep_us - LINE_KEEP_US, HUGE_VAL);
}

/* --------------------------------------------------------------------------------------- pulses
 */

static struct line_pulse *pulse_at(const struct line *l, uint32_t i)
{
    return &l->pulses[l->pulse_order[i]];
}

/* For one more. They are large, so what is put in order is where they lie. */
static int pulses_room(struct line *l)
{
    uint32_t cap = l->pulse_cap;
    struct line_pulse *pulses =
        array_room(l->pulses, l->pulse_count, &l->pulse_cap, 8, sizeof *pulses);
    if (!pulses)
        return ERR_NOMEM;
    l->pulses = pulses;
    if (l->pulse_cap == cap)
        return OK;
    uint32_t *order = realloc(l->pulse_order, l->pulse_cap * sizeof *order);
    if (!order) {
        l->pulse_cap = cap;
        return ERR_NOMEM;
    }
    l->pulse_order = order;
    for (uint32_t i = cap; i < l->pulse_cap; i++)
        order[i] = i;
    return OK;
}

static int pulse_add(struct line *l, const struct line_pulse *p)
{
    if (l->pulse_count == LINE_PULSES_MAX)
        return ERR_LIMIT;
    int err = pulses_room(l);
    if (err)
        return err;
    uint32_t at = l->pulse_count++;
    uint32_t slot = l->pulse_order[at];
    /* Of one moment, further down the line first: who leaves goes before who enters. */
    while (at > 0 &&
           (pulse_at(l, at - 1)->time_us > p->time_us ||
            (pulse_at(l, at - 1)->time_us == p->time_us && pulse_at(l, at - 1)->gate < p->gate))) {
        l->pulse_order[at] = l->pulse_order[at - 1];
        at--;
    }
    l->pulse_order[at] = slot;
    l->pulses[slot] = *p;
    return OK;
}

static int line_decide(struct line *l, int64_t until_us);

/* Room for so many more. When too many wait for their codes, the older half is decided without. */
static int pulses_relieve(struct line *l, uint32_t more)
{
    if (l->pulse_count + more <= LINE_PULSES_MAX)
        return OK;
    uint32_t waiting = l->pulse_count;
    int err = line_decide(l, pulse_at(l, waiting / 2)->time_us);
    l->track.stats->hurried += waiting - l->pulse_count;
    return err;
}

/* Whether the edge is another one of the pulse before, or of a unit that comes back. */
static bool pulse_is_new(struct line *l, struct line_gate *g, int64_t time_us)
{
    const struct motion *m = gate_belt(l, g);
    const struct line_gate_options *o = &g->options;
    double mm = m ? motion_mm(m, time_us) : 0;
    bool bounce = g->pulsed && (time_us - g->pulse_us < o->debounce_us ||
                                (m && fabs(mm - g->pulse_mm) < o->debounce_mm));
    bool back = m && motion_speed(m, time_us) < -LINE_BACK_MM_S;
    if (bounce || back) {
        l->track.stats->bounces++;
        return false;
    }
    g->pulsed = true;
    g->pulses++;
    g->pulse_us = time_us;
    g->pulse_mm = mm;
    g->more = 0;
    return true;
}

/* Units that touch: the pulse has gone on for longer than one of them is. One more is there when
 * half of it was seen. */
static int gate_measure(struct line *l, uint32_t gate, int64_t time_us)
{
    struct line_gate *g = &l->gates[gate];
    const struct motion *m = gate_belt(l, g);
    double length = g->options.unit_length_mm;
    bool on = g->level.known && g->level.level == l->track.inputs[gate].rising;
    int err = OK;
    while (m && length > 0 && on && g->pulsed && !err &&
           motion_mm(m, time_us) >= g->pulse_mm + (g->more + 1.5) * length) {
        int64_t when = time_us;
        (void)motion_last_at(m, time_us, g->pulse_mm + (g->more + 1) * length, &when);
        g->more++;
        g->pulses++;
        struct line_pulse p = {.time_us = when < l->decided_us ? l->decided_us : when,
                               .at = l->track.at,
                               .row = g->more,
                               .gate = gate};
        scan_open(&p.scan, &g->scanner);
        err = pulses_relieve(l, 1);
        if (!err)
            err = pulse_add(l, &p);
    }
    return err;
}

/* One pulse that is so many units: a pulse each, in the order of their places, and a microsecond
 * apart, so that this order is known to whatever part they come to. The bits above the gate's (see
 * pulse_decide) tell their ids apart. */
static int pulse_shot(struct line *l, struct line_pulse *p, uint32_t units)
{
    const int64_t time_us = p->time_us;
    const uint32_t row = p->row;
    int err = pulses_relieve(l, units);
    for (uint32_t i = 0; i < units && !err; i++) {
        p->time_us = time_us + i;
        p->row = row | i << LINE_SHOT_SHIFT;
        err = pulse_add(l, p);
    }
    return err;
}

static int line_level(struct line *l, const struct track_event *e)
{
    struct line_gate *g = &l->gates[e->signal];
    enum track_edge edge;
    int64_t gap_us;
    bool measured = g->options.unit_length_mm > 0 && g->level.level != e->level;
    int err = measured ? motions_reach(l, e->time_us) : OK;
    if (!err && measured)
        err = gate_measure(l, e->signal, e->time_us);
    bool is_edge = level_edge(&g->level, e, l->track.inputs[e->signal].rising, l->track.gap_max_us,
                              &edge, &gap_us);
    if (!err && is_edge)
        err = motions_reach(l, e->time_us);
    if (err || !is_edge || edge == EDGE_UNSEEN || !pulse_is_new(l, g, e->time_us))
        return err;
    struct line_pulse p = {.time_us = e->time_us, .at = e->at, .row = e->row, .gate = e->signal};
    scan_open(&p.scan, &g->scanner);
    return pulse_shot(l, &p, (uint32_t)g->options.units);
}

/* The pulse whose code it may be: the last one of the gate, if that is not too long ago. */
static struct line_pulse *pulse_scanned(struct line *l, uint32_t gate, int64_t time_us)
{
    for (uint32_t i = l->pulse_count; i > 0; i--) {
        struct line_pulse *p = pulse_at(l, i - 1);
        if (p->gate == gate && p->time_us <= time_us)
            return time_us <= p->time_us + l->gates[gate].options.scan_us ? p : NULL;
    }
    return NULL;
}

/* A scanner shows its last code until it reads the next: one that is still what the unit before had
 * says nothing about the next. */
static int line_code(struct line *l, const struct track_event *e)
{
    uint32_t gate = e->signal - l->gate_count;
    struct line_gate *g = &l->gates[gate];
    struct line_pulse *p = pulse_scanned(l, gate, e->time_us);
    uint64_t reads = 0;
    uint32_t count = 0;
    if (p)
        scan_read(&p->scan, e->text);
    const struct track_serial *best = p ? scan_best(&p->scan, &reads, &count) : NULL;
    if (best && strcmp(best->text, e->text) == 0) {
        memcpy(g->scanner.last, best->text, sizeof g->scanner.last);
        g->scanner.fresh = false;
    } else {
        scanner_read(&g->scanner, e->text);
    }
    return OK;
}

/* The code that the pulse's unit bears; "" if none, or only the old one, was read. */
static const char *pulse_code(const struct line_pulse *p)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(&p->scan, &reads, &count);
    return best && !scan_is_stale(&p->scan, best) ? best->text : "";
}

/* --------------------------------------------------------------------------------------- decided
 */

static int pulse_decide(struct line *l, const struct line_pulse *p)
{
    uint8_t id[TRACK_UNIT_BYTES];
    track_unit_id(l->track.node, l->track.name, p->at, p->row | (p->gate + 1) << 16, id);
    const struct assign_pulse pulse = {
        .gate = (uint16_t)p->gate, .time_us = p->time_us, .unit = id, .code = pulse_code(p)};
    int err = motions_reach(l, p->time_us);
    return err ? err : assign_pulse(l->assign, &pulse);
}

/* The first so many; their slots are free again. */
static void pulses_drop(struct line *l, uint32_t count)
{
    l->pulse_count -= count;
    for (uint32_t i = 0; i < l->pulse_count && count; i++) {
        uint32_t slot = l->pulse_order[i];
        l->pulse_order[i] = l->pulse_order[i + count];
        l->pulse_order[i + count] = slot;
    }
}

/* Now and then, what gets old. */
static void line_age(struct line *l)
{
    if (l->aged_us && l->decided_us - l->aged_us < LINE_KEEP_US)
        return;
    l->aged_us = l->decided_us;
    line_balance_age(l);
    motions_forget(l);
}

/* All that happened up to then. */
static int line_decide(struct line *l, int64_t until_us)
{
    int err = OK;
    uint32_t done = 0;
    while (done < l->pulse_count && pulse_at(l, done)->time_us <= until_us && !err) {
        l->decided_us = pulse_at(l, done)->time_us;
        err = pulse_decide(l, pulse_at(l, done++));
    }
    pulses_drop(l, done);
    if (err || until_us <= l->decided_us)
        return err;
    l->decided_us = until_us;
    err = motions_reach(l, until_us);
    if (!err)
        err = assign_reach(l->assign, until_us);
    line_age(l);
    return err;
}

/* ---------------------------------------------------------------------------------------- events
 */

static int line_take(struct line *l, const struct track_event *e)
{
    bool scan = e->signal >= l->gate_count;
    bool behind = scan ? scan_is_behind(&l->track, e) : e->time_us < l->track.done_us;
    if (behind) {
        l->track.stats->late++;
        return OK;
    }
    if (e->time_us > l->track.done_us)
        l->track.done_us = e->time_us;
    return scan ? line_code(l, e) : line_level(l, e);
}

int line_number(struct track *t, uint32_t signal, int64_t time_us, double value)
{
    struct line *l = line_of(t);
    struct line_motion *m = &l->motions[signal - 2 * l->gate_count];
    uint64_t late = m->motion.late;
    int err = motion_read(&m->motion, time_us, value * m->scale);
    t->stats->late += m->motion.late - late;
    return err;
}

int line_advance(struct track *t, int64_t safe_us)
{
    struct line *l = line_of(t);
    int err = OK;
    for (uint32_t i = 0; i < l->motion_count && !err; i++) {
        struct motion *m = &l->motions[i].motion;
        while (!err && motion_next(m) && motion_next(m)->time_us <= safe_us)
            err = motion_reach(m, motion_next(m)->time_us, t->gap_max_us);
    }
    while (!err && t->event_count && events_first(t)->time_us <= safe_us) {
        const struct track_event *e = events_first(t);
        events_pop(t);
        err = line_take(l, e);
    }
    if (err || safe_us < INT64_MIN + l->delay_us + 1)
        return err;
    for (uint32_t i = 0; i < l->gate_count && !err; i++)
        err = gate_measure(l, i, safe_us);
    return err ? err : line_decide(l, safe_us - l->delay_us);
}

/* ------------------------------------------------------------------------------------- checkpoint
 */

static void line_reset(struct track *t)
{
    struct line *l = line_of(t);
    for (uint32_t i = 0; i < l->gate_count; i++) {
        struct line_gate *g = &l->gates[i];
        *g = (struct line_gate){.options = g->options,
                                .out_of = g->out_of,
                                .into = g->into,
                                .motion = g->motion,
                                .scanner = {.fresh = true}};
    }
    for (uint32_t i = 0; i < l->part_count; i++)
        l->parts[i].balance = (struct line_balance){0};
    for (uint32_t i = 0; i < l->motion_count; i++)
        motion_reset(&l->motions[i].motion);
    l->pulse_count = 0;
    l->decided_us = INT64_MIN;
    l->aged_us = 0;
    l->breach_end = 0;
    l->breach_count = 0;
    assign_reset(l->assign);
}

static void put_gate(struct buf *out, const struct line_gate *g)
{
    put_level(out, &g->level);
    (void)buf_append_u8(out, g->pulsed);
    put_i64(out, g->pulse_us);
    (void)buf_append_double(out, g->pulse_mm);
    (void)buf_append_le32(out, g->more);
    put_scanner(out, &g->scanner);
}

static void get_gate(struct reader *in, struct line_gate *g)
{
    g->level = get_level(in);
    g->pulsed = reader_u8(in) != 0;
    g->pulse_us = get_time(in);
    g->pulse_mm = get_mm(in);
    g->more = reader_le32(in);
    get_scanner(in, &g->scanner);
}

static void put_pulse(struct buf *out, const struct line_pulse *p)
{
    put_i64(out, p->time_us);
    (void)buf_append_le64(out, p->at.epoch);
    (void)buf_append_le64(out, p->at.seq);
    (void)buf_append_le32(out, p->row);
    (void)buf_append_le32(out, p->gate);
    put_scan(out, &p->scan);
}

static int get_pulse(struct reader *in, struct line *l)
{
    struct line_pulse p = {.time_us = get_time(in)};
    p.at.epoch = reader_le64(in);
    p.at.seq = reader_le64(in);
    p.row = reader_le32(in);
    p.gate = reader_le32(in);
    get_scan(in, &p.scan);
    return in->failed || p.gate >= l->gate_count ? ERR_MALFORMED : pulse_add(l, &p);
}

static int line_encode(const struct track *t, struct buf *out)
{
    const struct line *l = (const void *)t; /* its first member */
    for (uint32_t i = 0; i < l->gate_count; i++)
        put_gate(out, &l->gates[i]);
    for (uint32_t i = 0; i < l->motion_count; i++) {
        motion_encode(&l->motions[i].motion, out);
        (void)buf_append_double(out, l->motions[i].motion.gap_mm);
    }
    for (uint32_t i = 0; i < l->part_count; i++)
        line_balance_put(out, &l->parts[i].balance);
    put_i64(out, l->decided_us);
    (void)buf_append_varint(out, l->pulse_count);
    for (uint32_t i = 0; i < l->pulse_count; i++)
        put_pulse(out, pulse_at(l, i));
    assign_encode(l->assign, out);
    return OK;
}

static int line_decode(struct track *t, struct reader *in)
{
    struct line *l = line_of(t);
    for (uint32_t i = 0; i < l->gate_count; i++)
        get_gate(in, &l->gates[i]);
    for (uint32_t i = 0; i < l->motion_count; i++) {
        if (!motion_decode(&l->motions[i].motion, in))
            return ERR_MALFORMED;
        l->motions[i].motion.gap_mm = get_mm(in);
    }
    for (uint32_t i = 0; i < l->part_count; i++)
        l->parts[i].balance = line_balance_get(in);
    l->decided_us = get_since(in);
    uint32_t count = get_count(in, LINE_PULSES_MAX);
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = get_pulse(in, l);
    return err ? err : assign_decode(l->assign, in);
}

static void line_fini(struct track *t)
{
    struct line *l = line_of(t);
    for (uint32_t i = 0; i < l->motion_count; i++)
        motion_fini(&l->motions[i].motion);
    assign_free(l->assign);
    path_fini(&l->path);
    free(l->pulses);
    free(l->pulse_order);
}

const struct track_kind line_kind = {
    .bytes = sizeof(struct line),
    .configure = line_configure,
    .number = line_number,
    .advance = line_advance,
    .reset = line_reset,
    .encode = line_encode,
    .decode = line_decode,
    .fini = line_fini,
};
