/* A station with a begin and an end signal: readings in, presences out. See track.h.
 *
 * The interval is [t_in, t_out): what was read at the moment of leaving belongs to whoever comes
 * next, except the result, which is only true from then on.
 */
#include "track/track_priv.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------- visits
 */

static struct station *station_of(struct track *t)
{
    return CONTAINER_OF(t, struct station, track);
}

static void visit_open(struct station *s, const struct track_event *e, enum track_edge edge)
{
    s->open = (struct track_visit){.active = true, .t_in = e->time_us, .begin = edge};
    scan_open(&s->open.scan, &s->scanner);
    track_unit_id(s->track.node, s->track.name, e->at, e->row, s->open.unit);
}

static int visit_finish(struct station *s, const char *result)
{
    if (!s->closing.active)
        return OK;
    int err = presence_put(s, &s->closing, result);
    s->closing.active = false;
    return err;
}

/* Somebody else came after whom the scanner had read in the gap: that one was here within it. */
static int passed_finish(struct station *s)
{
    if (!s->passed.active)
        return OK;
    s->passed.active = false;
    if (!scan_unlike(&s->open.scan, s->passed.scan.serials[0].text))
        return OK;
    return presence_put(s, &s->passed, "");
}

static int visit_close(struct station *s, int64_t time_us, enum track_edge edge)
{
    int err = visit_finish(s, "");
    if (!err)
        err = passed_finish(s);
    if (err)
        return err;
    /* Nothing says that who left is who had been here before the gap. */
    if (s->open.resumed_us && s->track.inputs[SIGNAL_UNIT].stream)
        edge = EDGE_GAP;
    scanner_left(&s->scanner, &s->open.scan);
    s->closing = s->open;
    s->closing.t_out = time_us;
    s->closing.end = edge;
    s->open.active = false;
    return s->track.inputs[SIGNAL_RESULT].stream ? OK : visit_finish(s, "");
}

/* ---------------------------------------------------------------------------------------- events
 */

static void gap_note(struct station *s, int64_t time_us, int64_t gap_us)
{
    s->gap = (struct path_interval){time_us - gap_us, time_us};
    if (!s->open.active)
        return;
    s->open.gap_us += gap_us;
    s->open.resumed_us = time_us;
}

static int station_end(struct station *s, const struct track_event *e)
{
    enum track_edge edge;
    int64_t gap_us;
    bool is_edge = level_edge(&s->end, e, s->track.inputs[SIGNAL_END].rising, s->track.gap_max_us,
                              &edge, &gap_us);
    if (gap_us)
        gap_note(s, e->time_us, gap_us);
    if (!is_edge)
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
    int64_t gap_us;
    if (!level_edge(&s->begin, e, s->track.inputs[SIGNAL_BEGIN].rising, s->track.gap_max_us, &edge,
                    &gap_us))
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

/* Another code than before the gap: who was here has left in it, and somebody else has come. */
static int visit_split(struct station *s, const struct track_event *e)
{
    int64_t at_us = s->open.resumed_us;
    struct track_event begin = *e;
    begin.time_us = at_us;
    s->open.resumed_us = 0;
    int err = visit_close(s, at_us, EDGE_GAP);
    if (!err)
        visit_open(s, &begin, EDGE_GAP);
    return err;
}

/* The first code after a gap, of a unit that is here. */
static int visit_resume(struct station *s, const struct track_event *e)
{
    bool before = s->open.t_in < s->open.resumed_us;
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(&s->open.scan, &reads, &count);
    if (before && best && strcmp(best->text, e->text) != 0)
        return visit_split(s, e);
    if (before && s->open.scan.serial_count == 0)
        s->open.begin = EDGE_GAP; /* it may be somebody else's since */
    s->open.resumed_us = 0;
    return OK;
}

/* The first code after a gap, and nobody is here: of who comes next, or of who was here. */
static int passed_open(struct station *s, const struct track_event *e)
{
    if (!s->scanner.last[0] || strcmp(e->text, s->scanner.last) == 0)
        return OK;
    bool same = s->passed.active && strcmp(s->passed.scan.serials[0].text, e->text) == 0;
    if (same) { /* it came before this gap or within it */
        s->passed.gap_us += s->gap.to_us - s->passed.t_out;
        s->passed.t_in = s->passed.t_out = s->gap.to_us;
        return OK;
    }
    int err = s->passed.active ? presence_put(s, &s->passed, "") : OK;
    s->passed = (struct track_visit){.active = true, .begin = EDGE_GAP, .end = EDGE_GAP};
    s->passed.t_in = s->gap.to_us; /* the gap is in the evidence; nothing read is of this unit */
    s->passed.t_out = s->gap.to_us;
    s->passed.gap_us = s->gap.to_us - s->gap.from_us;
    s->passed.scan.open = true;
    scan_read(&s->passed.scan, e->text);
    track_unit_id(s->track.node, s->track.name, e->at, e->row, s->passed.unit);
    return err;
}

static int station_unit(struct station *s, const struct track_event *e)
{
    bool after_gap = e->text[0] && s->gap.to_us && e->time_us >= s->gap.to_us;
    int err = OK;
    if (after_gap && !s->open.active)
        err = passed_open(s, e);
    else if (after_gap && s->open.resumed_us)
        err = visit_resume(s, e);
    if (after_gap)
        s->gap = (struct path_interval){0};
    scanner_read(&s->scanner, e->text);
    if (s->open.active && e->time_us >= s->open.t_in)
        scan_read(&s->open.scan, e->text);
    return err;
}

static int station_take(struct station *s, const struct track_event *e)
{
    static int (*const takes[SIGNAL_COUNT])(struct station *, const struct track_event *) = {
        [SIGNAL_END] = station_end,
        [SIGNAL_RESULT] = station_result,
        [SIGNAL_BEGIN] = station_begin,
        [SIGNAL_UNIT] = station_unit,
    };
    /* Behind its time: an edge cannot be put right any more, a serial inside the visit can, if its
     * scanner only is slower than the station. */
    bool scan = e->signal == SIGNAL_UNIT;
    if (scan ? scan_is_behind(&s->track, e) : e->time_us < s->track.done_us)
        return OK;
    if (e->time_us > s->track.done_us)
        s->track.done_us = e->time_us;
    return takes[e->signal] ? takes[e->signal](s, e) : OK;
}

int station_advance(struct track *t, int64_t safe_us)
{
    struct station *s = station_of(t);
    int err = OK;
    while (!err && t->event_count && events_first(t)->time_us <= safe_us) {
        struct track_event e = *events_first(t);
        events_pop(t);
        err = station_take(s, &e);
    }
    if (!err && s->closing.active && safe_us > s->closing.t_out + t->grace_us)
        err = visit_finish(s, "");
    return err;
}
