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

static int visit_close(struct station *s, int64_t time_us, enum track_edge edge)
{
    int err = visit_finish(s, "");
    if (err)
        return err;
    scanner_left(&s->scanner, &s->open.scan);
    s->closing = s->open;
    s->closing.t_out = time_us;
    s->closing.end = edge;
    s->open.active = false;
    return s->track.inputs[SIGNAL_RESULT].stream ? OK : visit_finish(s, "");
}

/* ---------------------------------------------------------------------------------------- events
 */

static int station_end(struct station *s, const struct track_event *e)
{
    enum track_edge edge;
    int64_t gap_us;
    bool is_edge = level_edge(&s->end, e, s->track.inputs[SIGNAL_END].rising, s->track.gap_max_us,
                              &edge, &gap_us);
    if (s->open.active)
        s->open.gap_us += gap_us;
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

static int station_unit(struct station *s, const struct track_event *e)
{
    scanner_read(&s->scanner, e->text);
    if (s->open.active && e->time_us >= s->open.t_in)
        scan_read(&s->open.scan, e->text);
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
    if (e->time_us < s->track.done_us && e->signal != SIGNAL_UNIT)
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
