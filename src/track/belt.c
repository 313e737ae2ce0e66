/* A belt: pulses and speed in, presences of units at the places along it out. See track.h.
 *
 * A pulse at the entry puts a unit on the belt. From then on it is where the belt's way since that
 * pulse says, through stops, ramps and reversals. A pulse at the exit belongs to the unit that is
 * predicted nearest to it, within a window that grows with the way; what the prediction was wrong
 * by is spread over the whole pass, by stretching it, before anything is said about when the unit
 * was where. So presences go out when the unit leaves the belt, once and corrected; only where a
 * unit stays on the belt for longer than `wait` do they go out as predicted, and are corrected by a
 * second revision.
 *
 * Units on a belt keep their order. One that is passed by, or is beyond the window without a pulse,
 * is lost: taken off by hand, or the sensor missed it. A pulse that no unit is near to is a ghost:
 * put on by hand, or not seen at the entry; its pass is reckoned back from the exit.
 *
 * What comes out follows from the records alone, see inputs.c.
 */
#include "track/belt.h"

#include "base/array.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BELT_BACK_MM_S   1.0  /* faster backwards than this, and a pulse is of a unit coming back */
#define BELT_SHARE_CLEAR 0.95 /* the passes by which the belt's scale is learned */
#define BELT_SCALE_LEARN 0.25
#define BELT_LOOK_BACK   1.25 /* lengths of the belt for which its motion is kept */

static struct belt *belt_of(struct track *t)
{
    return CONTAINER_OF(t, struct belt, track);
}

/* ----------------------------------------------------------------------------------------- units
 */

static uint32_t unit_count(const struct belt *b)
{
    return b->end - b->first;
}

struct belt_unit *belt_unit_add(struct belt *b)
{
    if (b->end == b->cap && b->first > 0) {
        memmove(b->units, b->units + b->first, unit_count(b) * sizeof *b->units);
        b->end -= b->first;
        b->first = 0;
    }
    struct belt_unit *more = array_room(b->units, b->end, &b->cap, 8, sizeof *more);
    if (!more)
        return NULL;
    b->units = more;
    struct belt_unit *u = &b->units[b->end++];
    *u = (struct belt_unit){.share = 1, .scale = b->scale};
    return u;
}

double belt_unit_mm(const struct belt *b, const struct belt_unit *u, double belt_mm)
{
    return b->entry.options.at_mm + (belt_mm - u->belt_mm) * u->scale;
}

static double belt_length(const struct belt *b)
{
    return b->exit.options.at_mm - b->entry.options.at_mm;
}

static double window_mm(const struct belt *b, double mm)
{
    double way = mm - b->entry.options.at_mm;
    return b->exit.options.tolerance_mm + b->exit.options.drift * (way > 0 ? way : 0);
}

/* How far the unit may be from where it is said to be, beside what the window allows: by what it
 * did while nobody looked. */
static double slack_mm(const struct belt *b, const struct belt_unit *u)
{
    return (b->motion.gap_mm + u->slack_mm) * u->scale;
}

static int closing_finish(struct belt *b)
{
    if (!b->closing)
        return OK;
    const struct belt_unit *next = unit_count(b) ? &b->units[b->first] : NULL;
    b->closing = false;
    return belt_unit_put(b, &b->last, next, b->last.t_out, true);
}

/* The first unit passed the exit, unseen. */
static int unit_lose(struct belt *b, int64_t time_us)
{
    struct belt_unit *u = &b->units[b->first++];
    int err = closing_finish(b);
    u->end = EDGE_UNSEEN;
    u->t_out = time_us;
    b->track.stats->lost++;
    const struct belt_unit *next = unit_count(b) ? &b->units[b->first] : NULL;
    return err ? err : belt_unit_put(b, u, next, time_us, true);
}

/* ----------------------------------------------------------------------------------------- pulses
 */

/* Whether the edge is another one of the pulse before, or of a unit that comes back. */
static bool pulse_is_new(struct belt *b, struct belt_gate *g, int64_t time_us, double belt_mm)
{
    bool bounce = g->pulsed && (time_us - g->pulse_us < g->options.debounce_us ||
                                fabs(belt_mm - g->pulse_mm) < g->options.debounce_mm);
    if (bounce || motion_speed(&b->motion, time_us) < -BELT_BACK_MM_S) {
        b->track.stats->bounces++;
        return false;
    }
    g->pulsed = true;
    g->pulse_us = time_us;
    g->pulse_mm = belt_mm;
    return true;
}

static int belt_look(struct belt *b, int64_t time_us);

/* The belt as it is at an edge. */
static int pulse_reach(struct belt *b, int64_t time_us, double *ret_belt_mm)
{
    int err = motion_reach(&b->motion, time_us, b->track.gap_max_us);
    if (!err)
        err = belt_look(b, time_us);
    *ret_belt_mm = motion_mm(&b->motion, time_us);
    return err;
}

/* A new one, whose begin, slack and id the caller says. */
static int unit_enter(struct belt *b, int64_t time_us, double belt_mm, struct belt_unit **ret)
{
    int err = unit_count(b) == BELT_UNITS_MAX ? unit_lose(b, time_us) : OK;
    struct belt_unit *u = err ? NULL : belt_unit_add(b);
    if (!u)
        return err ? err : ERR_NOMEM;
    u->t_in = time_us;
    u->due_us = time_us + b->options.wait_us;
    b->due_us = u->due_us < b->due_us ? u->due_us : b->due_us;
    u->belt_mm = belt_mm;
    *ret = u;
    return OK;
}

/* A code whose pulse did not come on so much way is of a unit that entered unseen. */
static int stranger_enter(struct belt *b, double belt_mm)
{
    struct belt_stranger *s = &b->stranger;
    const struct belt_gate_options *o = &b->entry.options;
    double patient_mm = o->debounce_mm + b->exit.options.tolerance_mm + fabs(o->at_mm - o->unit_mm);
    if (!s->code[0] || belt_mm - s->mm <= patient_mm)
        return OK;
    struct belt_unit *u = NULL;
    int err = unit_enter(b, s->time_us, s->mm, &u);
    if (err)
        return err;
    u->slack_mm = s->slack_mm;
    u->begin = EDGE_UNSEEN;
    u->entry_scan.open = true;
    scan_read_times(&u->entry_scan, s->code, s->reads);
    track_unit_id(b->track.node, b->track.name, s->at, s->row, u->id);
    b->track.stats->ghosts++;
    memcpy(b->entry.scanner.last, s->code, sizeof s->code);
    b->entry.scanner.fresh = false;
    s->code[0] = 0;
    return OK;
}

static int belt_entry(struct belt *b, const struct track_event *e)
{
    enum track_edge edge;
    int64_t gap_us;
    double belt_mm = 0;
    if (!level_edge(&b->entry.level, e, b->track.inputs[SIGNAL_BEGIN].rising, b->track.gap_max_us,
                    &edge, &gap_us) ||
        edge == EDGE_UNSEEN) /* the first reading of all: nobody says that somebody came */
        return OK;
    int err = pulse_reach(b, e->time_us, &belt_mm);
    if (!err)
        err = stranger_enter(b, belt_mm);
    if (err)
        return err;
    if (!pulse_is_new(b, &b->entry, e->time_us, belt_mm)) {
        if (unit_count(b))
            b->units[b->end - 1].pulses++;
        return OK;
    }
    b->stranger.code[0] = 0;
    struct belt_unit *u = NULL;
    err = unit_enter(b, e->time_us, belt_mm, &u);
    if (err)
        return err;
    u->slack_mm = -b->motion.gap_mm;
    if (gap_us)
        u->slack_mm += fabs(belt_mm - motion_mm(&b->motion, e->time_us - gap_us));
    u->begin = edge;
    u->pulses = 1;
    track_unit_id(b->track.node, b->track.name, e->at, e->row, u->id);
    return OK;
}

/* The unit that the exit's pulse is of, `end` if it is nobody's; its share among the candidates. */
static uint32_t exit_match(const struct belt *b, double belt_mm, double *ret_share)
{
    uint32_t best = b->end;
    double best_weight = 0;
    double sum = 0;
    for (uint32_t i = b->first; i < b->end; i++) {
        double mm = belt_unit_mm(b, &b->units[i], belt_mm);
        double window = window_mm(b, mm) + slack_mm(b, &b->units[i]);
        double off = (mm - b->exit.options.at_mm) / window;
        if (!(fabs(off) <= 1))
            continue;
        double weight = exp(-4.5 * off * off); /* the window is three standard deviations wide */
        sum += weight;
        if (weight > best_weight) {
            best_weight = weight;
            best = i;
        }
    }
    *ret_share = sum > 0 ? best_weight / sum : 1;
    return best;
}

/* When it entered is not known: the exit says where it was, and so when. */
static void unit_shift(const struct belt *b, struct belt_unit *u, double belt_mm)
{
    u->belt_mm = belt_mm - belt_length(b) / u->scale;
    (void)motion_last_at(&b->motion, u->t_out, u->belt_mm, &u->t_in);
}

/* The way by the sensors, spread over the way by the speed. */
static void unit_correct(struct belt *b, struct belt_unit *u, double belt_mm)
{
    double scale = belt_length(b) / (belt_mm - u->belt_mm);
    if (u->begin != EDGE_SEEN && u->end == EDGE_SEEN)
        unit_shift(b, u, belt_mm);
    if (u->begin != EDGE_SEEN || u->end != EDGE_SEEN)
        return;
    if (!(scale > 1 / BELT_SCALE_MAX && scale < BELT_SCALE_MAX))
        return;
    u->scale = scale;
    if (u->share < BELT_SHARE_CLEAR)
        return;
    b->scale += (scale - b->scale) * BELT_SCALE_LEARN;
    for (uint32_t i = b->first; i < b->end; i++)
        b->units[i].scale = b->scale;
}

/* Somebody came out whom nobody saw enter. */
static void ghost_open(struct belt *b, const struct track_event *e, double belt_mm)
{
    struct belt_unit *u = &b->last;
    *u = (struct belt_unit){.share = 1, .scale = b->scale, .begin = EDGE_UNSEEN};
    u->belt_mm = belt_mm - belt_length(b) / b->scale;
    u->t_in = e->time_us;
    if (!motion_last_at(&b->motion, e->time_us, u->belt_mm, &u->t_in) && b->motion.count)
        u->t_in = b->motion.points[0].time_us;
    if (u->t_in > e->time_us)
        u->t_in = e->time_us;
    track_unit_id(b->track.node, b->track.name, e->at, e->row, u->id);
    b->track.stats->ghosts++;
}

/* The pulse is of that unit, or of nobody's (match = end). */
static int exit_take(struct belt *b, uint32_t match, int64_t time_us)
{
    int err = OK;
    while (match < b->end && b->first < match && !err) /* nobody overtakes on a belt */
        err = unit_lose(b, time_us);
    if (!err)
        err = closing_finish(b);
    if (!err && match < b->end)
        b->last = b->units[b->first++];
    return err;
}

static int belt_exit(struct belt *b, const struct track_event *e)
{
    enum track_edge edge;
    int64_t gap_us;
    double belt_mm = 0;
    double share = 1;
    bool is_edge = level_edge(&b->exit.level, e, b->track.inputs[SIGNAL_END].rising,
                              b->track.gap_max_us, &edge, &gap_us);
    int err = is_edge ? pulse_reach(b, e->time_us, &belt_mm) : OK;
    if (err || !is_edge || edge == EDGE_UNSEEN || !pulse_is_new(b, &b->exit, e->time_us, belt_mm))
        return err;
    uint32_t match = exit_match(b, belt_mm, &share);
    bool ghost = match == b->end;
    err = exit_take(b, match, e->time_us);
    if (err)
        return err;
    if (ghost)
        ghost_open(b, e, belt_mm);
    b->last.t_out = e->time_us;
    b->last.end = edge;
    b->last.share = share;
    b->last.error_mm = belt_unit_mm(b, &b->last, belt_mm) - b->exit.options.at_mm;
    if (!ghost)
        unit_correct(b, &b->last, belt_mm);
    b->closing = true;
    bool scan_follows = b->track.inputs[SIGNAL_EXIT_UNIT].stream &&
                        !(b->exit.options.unit_mm < b->exit.options.at_mm);
    return scan_follows ? OK : closing_finish(b);
}

/* ----------------------------------------------------------------------------------------- scans
 */

/* A scanner shows its last code until it reads the next: one that is still what the unit before had
 * says nothing about the next. */
static void gate_scan(struct belt_gate *g, struct track_scan *scan, const char *text)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    if (scan && !scan->open)
        scan_open(scan, &g->scanner);
    if (scan)
        scan_read(scan, text);
    const struct track_serial *best = scan ? scan_best(scan, &reads, &count) : NULL;
    if (best && strcmp(best->text, text) == 0) {
        memcpy(g->scanner.last, best->text, sizeof g->scanner.last);
        g->scanner.fresh = false;
    } else {
        scanner_read(&g->scanner, text);
    }
}

/* Whether the scanner stands where units come in. */
static bool is_at_entry(const struct belt *b, const struct belt_gate_options *o)
{
    return !(o->unit_mm > b->entry.options.at_mm);
}

/* Who passed the scanner last, on the belt and within its reach; NULL: nobody. */
static struct belt_unit *scanned_unit(struct belt *b, const struct belt_gate_options *o,
                                      int64_t time_us)
{
    double belt_mm = motion_mm(&b->motion, time_us);
    double from_mm = is_at_entry(b, o) ? -HUGE_VAL : o->unit_mm - b->exit.options.tolerance_mm;
    for (uint32_t i = b->end; i > b->first; i--) {
        struct belt_unit *u = &b->units[i - 1];
        double mm = belt_unit_mm(b, u, belt_mm);
        if (u->t_in > time_us || mm < from_mm)
            continue;
        return o->reach_mm > 0 && mm > o->unit_mm + o->reach_mm ? NULL : u;
    }
    return NULL;
}

/* The position at a mere reading is only asked for by a scanner further on, or with a reach. */
static int scan_reach(struct belt *b, const struct belt_gate_options *o, int64_t time_us)
{
    bool needed = o->reach_mm > 0 || !is_at_entry(b, o);
    if (!needed || !motion_next(&b->motion))
        return OK;
    return motion_reach(&b->motion, time_us, b->track.gap_max_us);
}

/* Whether a code is neither that of the last unit nor an old one: somebody else's. */
static bool is_strange(const struct belt *b, const struct belt_unit *u, const char *code)
{
    const char *last = b->entry.scanner.last;
    if (!is_at_entry(b, &b->entry.options) || b->entry.options.reach_mm > 0 || !code[0])
        return false;
    if (!u)
        return last[0] && strcmp(code, last) != 0;
    return scan_unlike(&u->entry_scan, code);
}

/* Notes a reading of it, and waits for its pulse. */
static int stranger_read(struct belt *b, const struct track_event *e)
{
    struct belt_stranger *s = &b->stranger;
    double mm = motion_mm(&b->motion, e->time_us);
    if (strcmp(s->code, e->text) != 0) {
        int64_t gap_us = e->time_us - b->read_us;
        double slack = gap_us > b->track.gap_max_us ? b->motion.gap_mm - b->read_gap_mm : 0;
        *s = (struct belt_stranger){.time_us = e->time_us, .mm = mm, .at = e->at, .row = e->row};
        s->slack_mm = slack - b->motion.gap_mm;
        memcpy(s->code, e->text, sizeof s->code);
    }
    s->reads++;
    return stranger_enter(b, mm);
}

/* Whose the stranger's readings were after all: the unit's that is there shows its code again. */
static void stranger_drop(struct belt *b, struct belt_unit *u)
{
    if (u && b->stranger.code[0])
        scan_read_times(&u->entry_scan, b->stranger.code, b->stranger.reads);
    b->stranger.code[0] = 0;
}

static int entry_code(struct belt *b, const struct track_event *e)
{
    struct belt_unit *u = scanned_unit(b, &b->entry.options, e->time_us);
    if (is_strange(b, u, e->text)) {
        gate_scan(&b->entry, NULL, e->text);
        return stranger_read(b, e);
    }
    if (e->text[0])
        stranger_drop(b, u);
    gate_scan(&b->entry, u ? &u->entry_scan : NULL, e->text);
    return OK;
}

static int belt_entry_unit(struct belt *b, const struct track_event *e)
{
    int err =
        motion_next(&b->motion) ? motion_reach(&b->motion, e->time_us, b->track.gap_max_us) : OK;
    if (!err)
        err = entry_code(b, e);
    b->read_us = e->time_us;
    b->read_gap_mm = b->motion.gap_mm;
    return err;
}

static int belt_exit_unit(struct belt *b, const struct track_event *e)
{
    bool at_exit = !(b->exit.options.unit_mm < b->exit.options.at_mm);
    bool left = at_exit && b->closing && e->time_us >= b->last.t_out;
    int err = at_exit ? OK : scan_reach(b, &b->exit.options, e->time_us);
    struct belt_unit *u = left ? &b->last : NULL;
    if (!at_exit && !err)
        u = scanned_unit(b, &b->exit.options, e->time_us);
    gate_scan(&b->exit, u ? &u->exit_scan : NULL, e->text);
    return err;
}

/* ---------------------------------------------------------------------------------------- events
 */

/* The units that have been on the belt for too long. */
static int units_wait(struct belt *b, int64_t time_us)
{
    int err = OK;
    if (time_us < b->due_us)
        return OK;
    b->due_us = INT64_MAX;
    for (uint32_t i = b->first; i < b->end && !err; i++) {
        struct belt_unit *u = &b->units[i];
        if (u->due_us <= time_us) {
            u->due_us = time_us + b->options.wait_us;
            err = belt_unit_put(b, u, i + 1 < b->end ? u + 1 : NULL, time_us, false);
        }
        b->due_us = u->due_us < b->due_us ? u->due_us : b->due_us;
    }
    return err;
}

/* What nobody needs any more: no unit, and no ghost that might still come out. */
static void motion_forget(struct belt *b, int64_t time_us, double belt_mm)
{
    int64_t keep_us = b->closing ? b->last.t_in : time_us;
    if (unit_count(b) && b->units[b->first].t_in < keep_us)
        keep_us = b->units[b->first].t_in;
    motion_trim(&b->motion, keep_us, belt_mm - belt_length(b) * BELT_LOOK_BACK / b->scale);
}

/* Units beyond the exit, those that wait for their scan, and those that wait for too long. */
static int belt_look(struct belt *b, int64_t time_us)
{
    double belt_mm = motion_mm(&b->motion, time_us);
    int err = OK;
    while (!err && unit_count(b)) {
        const struct belt_unit *u = &b->units[b->first];
        double mm = belt_unit_mm(b, u, belt_mm);
        if (mm <= b->exit.options.at_mm + window_mm(b, mm) + slack_mm(b, u))
            break;
        err = unit_lose(b, time_us);
    }
    if (!err && b->closing && time_us > b->last.t_out + b->track.grace_us)
        err = closing_finish(b);
    if (!err)
        err = units_wait(b, time_us);
    motion_forget(b, time_us, belt_mm);
    return err;
}

static int belt_take(struct belt *b, const struct track_event *e)
{
    static int (*const takes[SIGNAL_COUNT])(struct belt *, const struct track_event *) = {
        [SIGNAL_END] = belt_exit,
        [SIGNAL_BEGIN] = belt_entry,
        [SIGNAL_UNIT] = belt_entry_unit,
        [SIGNAL_EXIT_UNIT] = belt_exit_unit,
    };
    bool scan = e->signal == SIGNAL_UNIT || e->signal == SIGNAL_EXIT_UNIT;
    /* Behind its time: a pulse cannot be put right any more, a serial of a unit that is there can,
     * if its scanner only is slower than the belt. */
    bool behind = scan ? scan_is_behind(&b->track, e) : e->time_us < b->track.done_us;
    if (behind) {
        b->track.stats->late++;
        return OK;
    }
    if (e->time_us > b->track.done_us)
        b->track.done_us = e->time_us;
    return takes[e->signal] ? takes[e->signal](b, e) : OK;
}

int belt_number(struct track *t, uint32_t signal, int64_t time_us, double value)
{
    (void)signal;
    struct belt *b = belt_of(t);
    uint64_t late = b->motion.late;
    int err = motion_read(&b->motion, time_us, value * b->speed_scale);
    t->stats->late += b->motion.late - late;
    return err;
}

int belt_advance(struct track *t, int64_t safe_us)
{
    struct belt *b = belt_of(t);
    int err = OK;
    while (!err && t->event_count && events_first(t)->time_us <= safe_us) {
        struct track_event e = *events_first(t);
        events_pop(t);
        err = belt_take(b, &e);
    }
    while (!err && motion_next(&b->motion) && motion_next(&b->motion)->time_us <= safe_us)
        err = motion_reach(&b->motion, motion_next(&b->motion)->time_us, t->gap_max_us);
    return err || safe_us == INT64_MIN ? err : belt_look(b, safe_us);
}
