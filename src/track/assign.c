/* Pulses, and what should have been one: the branches of each hypothesis. See assign.h. */
#include "track/assign.h"

#include "track/assign_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_DENSITY 2.393653682408596 /* 6 / sqrt(2 pi): the normal's over an even one's */
#define SKIPPED_MAX    3                 /* units that may have passed unseen before the one seen */
#define BEHIND_MAX     4 /* of a list: so many out of the window, and no later one is in it */

/* --------------------------------------------------------------------------------------- an event
 */

/* What happens now, while its branches are made. */
struct event {
    struct assign *a;
    uint16_t gate;
    int64_t now_us;
    uint32_t code;
    uint32_t newcomer; /* its column; ASSIGN_NOBODY */

    struct {
        uint32_t unit;
        uint16_t part;
        uint32_t visit;
    } visits[ASSIGN_CLUSTER_UNITS_MAX * 4]; /* numbers given by this event */

    uint32_t visit_count;
};

/* The branches of one hypothesis on their way: stages read one list and write the other. */
static struct rows *fan_in(const struct event *e)
{
    return &e->a->fan[0];
}

static struct rows *fan_out(const struct event *e)
{
    return &e->a->fan[1];
}

static void fan_turn(const struct event *e)
{
    rows_swap(fan_in(e), fan_out(e));
    rows_clear(fan_out(e), fan_in(e)->n);
}

/* The same unit entering the same part by the same event bears one number under all hypotheses; a
 * passage that was seen has one whoever it was. */
static uint32_t visit_number(struct event *e, uint32_t unit, uint16_t part)
{
    for (uint32_t i = 0; i < e->visit_count; i++)
        if (e->visits[i].unit == unit && e->visits[i].part == part)
            return e->visits[i].visit;
    uint32_t visit = ++e->a->visit;
    if (e->visit_count < sizeof e->visits / sizeof e->visits[0]) {
        e->visits[e->visit_count].unit = unit;
        e->visits[e->visit_count].part = part;
        e->visits[e->visit_count++].visit = visit;
    }
    return visit;
}

static bool is_belt(const struct assign *a, uint16_t part)
{
    return part < a->model.part_count && a->model.parts[part].length_mm > 0;
}

static double belt_mm(const struct assign *a, uint16_t part, int64_t time_us)
{
    return is_belt(a, part) ? a->model.mm(a->model.ctx, part, time_us) : 0;
}

/* ------------------------------------------------------------------------------- where somebody is
 */

/* Of a gate at the part's end. */
static double window_mm(const struct assign *a, uint16_t gate, double way_mm, double slack_mm)
{
    const struct assign_gate *g = &a->model.gates[gate];
    return g->tolerance_mm + g->drift * (way_mm > 0 ? way_mm : 0) + slack_mm;
}

/* The widest window of the gates at the part's end. */
static double part_window_mm(const struct assign *a, uint16_t part, double way_mm, double slack_mm)
{
    double most = 0;
    struct way_list ways = part_ways(a, part);
    for (const struct assign_way *w = ways.first; w < ways.end; w++)
        most = fmax(most, window_mm(a, w->gate, way_mm, slack_mm));
    return most;
}

/* How likely a pulse of this gate is now if the unit makes it; 0: it cannot be its. */
static double likelihood(const struct event *e, const struct assign_state *s)
{
    const struct assign *a = e->a;
    const struct assign_part *p = &a->model.parts[s->part];
    if (p->length_mm > 0) {
        double way = belt_mm(a, s->part, e->now_us) - s->ref_mm;
        double off = (way - p->length_mm) / window_mm(a, e->gate, way, s->slack_mm);
        return fabs(off) <= 1 ? WINDOW_DENSITY * exp(-4.5 * off * off) : 0;
    }
    int64_t time_us = e->now_us - s->t_in;
    return time_us >= p->time_min_us && (!p->time_max_us || time_us <= p->time_max_us) ? 1 : 0;
}

/* Whether the unit should have left by now. */
static bool is_overdue(const struct assign *a, const struct assign_state *s, int64_t now_us)
{
    if (!is_in_line(s))
        return false;
    const struct assign_part *p = &a->model.parts[s->part];
    if (!(p->length_mm > 0))
        return p->time_max_us && now_us - s->t_in > p->time_max_us;
    double way = belt_mm(a, s->part, now_us) - s->ref_mm;
    return way > p->length_mm && way - p->length_mm > part_window_mm(a, s->part, way, s->slack_mm);
}

static bool is_before(const struct assign *a, const struct assign_state *x,
                      const struct assign_state *y)
{
    if (is_belt(a, x->part))
        return x->ref_mm < y->ref_mm;
    return x->t_in < y->t_in;
}

/* ------------------------------------------------------------------------------------- moves
 */

static void stay_note(struct event *e, const struct assign_state *s, double *m, uint32_t column,
                      const struct undecided *what, double weight)
{
    struct assign *a = e->a;
    struct undecided stay = *what;
    stay.owner = a->work.units[column];
    memcpy(stay.unit, a->units[stay.owner].id, sizeof stay.unit);
    stay.t_in = s->t_in;
    stay.in_mm = s->ref_mm;
    stay.code = s->code;
    stay.visit = s->visit;
    stay.part = s->part;
    stay.begin = (uint8_t)s->begin;
    stay.read = s->read || (stay.end == EDGE_SEEN && e->code && e->code == s->code);
    stay.out_mm = belt_mm(a, s->part, stay.t_out);
    uint32_t at = work_stay(a, &stay);
    if (at != ASSIGN_NOBODY) {
        m[at] = weight;
        if (s->code)
            a->work.stays[at].code = s->code;
    }
}

/* Into a part, or out of the line. */
static void state_enter(struct event *e, struct assign_state *s, uint32_t column, uint16_t part,
                        int64_t t_in, double slack_mm, enum track_edge begin)
{
    struct assign *a = e->a;
    if (part == ASSIGN_OUTSIDE) {
        *s = (struct assign_state){.part = ASSIGN_GONE};
        return;
    }
    uint32_t unit = begin == EDGE_SEEN ? ASSIGN_NOBODY : a->work.units[column];
    s->part = part;
    s->t_in = t_in;
    s->ref_mm = belt_mm(a, part, t_in);
    s->slack_mm = is_belt(a, part) ? slack_mm : 0;
    s->visit = visit_number(e, unit, part);
    s->begin = (uint16_t)begin;
    s->read = begin == EDGE_SEEN && e->code && e->code == s->code;
}

/* When a unit left a part unseen, and how far a belt that it entered may have carried it since. */
static int64_t unseen_when(const struct event *e, const struct assign_state *s, uint16_t into,
                           double *ret_slack_mm)
{
    const struct assign *a = e->a;
    const struct assign_part *p = &a->model.parts[s->part];
    if (p->length_mm > 0) {
        *ret_slack_mm = part_window_mm(a, s->part, p->length_mm, s->slack_mm);
        return a->model.when(a->model.ctx, s->part, s->ref_mm + p->length_mm, e->now_us);
    }
    int64_t last_us = p->time_max_us && s->t_in + p->time_max_us < e->now_us
                          ? s->t_in + p->time_max_us
                          : e->now_us;
    int64_t first_us = s->t_in + p->time_min_us < last_us ? s->t_in + p->time_min_us : last_us;
    const struct assign_dwell *d = &a->dwells[s->part];
    if (a->model.learns && dwell_is_known(d)) { /* three times as far off as they mostly are */
        int64_t early_us = s->t_in + (int64_t)(d->mean_us - 3 * d->off_us);
        int64_t late_us = s->t_in + (int64_t)(d->mean_us + 3 * d->off_us);
        first_us = early_us > first_us && early_us < last_us ? early_us : first_us;
        last_us = late_us < last_us && late_us >= first_us ? late_us : last_us;
    }
    *ret_slack_mm = (belt_mm(a, into, last_us) - belt_mm(a, into, first_us)) / 2;
    return first_us + (last_us - first_us) / 2;
}

/* The row's unit left its part without a pulse: a branch for each way, and one in which it is
 * gone. */
static int leave_unseen(struct event *e, const struct rows *from, uint32_t row, uint32_t column,
                        double weight)
{
    struct assign *a = e->a;
    struct rows *out = fan_out(e);
    const struct assign_state was = rows_states(from, row)[column];
    double real = (1 - was.doubt) * a->model.odds.removed;
    double gone = was.doubt + real;
    int err = OK;
    struct way_list ways = part_ways(a, was.part);
    for (const struct assign_way *w = ways.first; w < ways.end && !err; w++) {
        double missed = (1 - was.doubt) * a->model.odds.missed * w->share * weight;
        if (!(missed > 0))
            continue;
        double slack = 0;
        int64_t when = unseen_when(e, &was, w->into, &slack);
        err = rows_add(out, missed, rows_states(from, row), rows_stays(from, row));
        if (err)
            break;
        struct assign_state *s = &rows_states(out, out->count - 1)[column];
        struct undecided stay = {.t_out = when, .end = EDGE_UNSEEN};
        stay_note(e, s, rows_stays(out, out->count - 1), column, &stay, 1);
        s->doubt = 0; /* under this branch it was there */
        state_enter(e, s, column, w->into, when, slack, EDGE_UNSEEN);
    }
    if (err || !(gone > 0))
        return err;
    err = rows_add(out, gone * weight, rows_states(from, row), rows_stays(from, row));
    if (err)
        return err;
    struct assign_state *s = &rows_states(out, out->count - 1)[column];
    struct undecided stay = {.t_out = e->now_us, .end = EDGE_UNSEEN, .breach = ASSIGN_TAKEN};
    work_doubt(a, rows_stays(out, out->count - 1), column, real / gone);
    stay_note(e, s, rows_stays(out, out->count - 1), column, &stay, real / gone);
    *s = (struct assign_state){.part = ASSIGN_GONE};
    return OK;
}

/* In all rows of the fan that unit has left unseen. */
static int fan_leave(struct event *e, uint32_t column)
{
    int err = OK;
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->count && !err; i++)
        err = leave_unseen(e, in, i, column, in->w[i]);
    fan_turn(e);
    return err;
}

/* Who has to leave a full part, by its order, when one enters: a branch each in a random one. */
static int row_evict(struct event *e, const struct rows *in, uint32_t row, uint16_t part,
                     uint32_t entering)
{
    const struct assign_part *p = &e->a->model.parts[part];
    const struct assign_state *s = rows_states(in, row);
    uint32_t count = 0;
    uint32_t pick = ASSIGN_NOBODY;
    for (uint32_t i = 0; i < in->n; i++) {
        if (s[i].part != part || i == entering)
            continue;
        count++;
        bool lifo = p->order == ASSIGN_LIFO;
        const uint32_t *unit = e->a->work.units;
        bool first = pick == ASSIGN_NOBODY ||
                     (lifo ? is_before(e->a, &s[pick], &s[i]) : is_before(e->a, &s[i], &s[pick])) ||
                     (s[i].t_in == s[pick].t_in &&
                      e->a->units[unit[i]].order < e->a->units[unit[pick]].order);
        pick = first ? i : pick;
    }
    if (count < p->capacity)
        return rows_add(fan_out(e), in->w[row], s, rows_stays(in, row));
    if (p->order != ASSIGN_RANDOM)
        return leave_unseen(e, in, row, pick, in->w[row]);
    int err = OK;
    for (uint32_t i = 0; i < in->n && !err; i++)
        if (s[i].part == part && i != entering)
            err = leave_unseen(e, in, row, i, in->w[row] / count);
    return err;
}

/* Whether somebody has to leave the part if that unit enters. */
static bool row_is_full(const struct event *e, const struct assign_state *s, uint32_t n,
                        uint16_t part, uint32_t entering)
{
    uint32_t count = 0;
    if (part == ASSIGN_OUTSIDE || !e->a->model.parts[part].capacity)
        return false;
    for (uint32_t i = 0; i < n; i++)
        count += s[i].part == part && i != entering;
    return count >= e->a->model.parts[part].capacity;
}

/* Whether the unit is there decides whether the part is full: both are a branch. */
static int fan_doubt(struct event *e, uint16_t part, uint32_t entering, uint32_t column)
{
    struct rows *in = fan_in(e);
    struct rows *out = fan_out(e);
    int err = OK;
    for (uint32_t i = 0; i < in->count && !err; i++) {
        const struct assign_state *s = rows_states(in, i);
        double doubt =
            s[column].part == part && column != entering && row_is_full(e, s, in->n, part, entering)
                ? s[column].doubt
                : 0;
        err = rows_add(out, in->w[i] * (1 - doubt), s, rows_stays(in, i));
        if (err || !(doubt > 0))
            continue;
        rows_states(out, out->count - 1)[column].doubt = 0;
        err = rows_add(out, in->w[i] * doubt, s, rows_stays(in, i));
        if (err)
            continue;
        rows_states(out, out->count - 1)[column] = (struct assign_state){.part = ASSIGN_GONE};
        work_doubt(e->a, rows_stays(out, out->count - 1), column, 0);
    }
    fan_turn(e);
    return err;
}

static int fan_evict(struct event *e, uint16_t part, uint32_t entering)
{
    if (part == ASSIGN_OUTSIDE || !e->a->model.parts[part].capacity)
        return OK;
    int err = OK;
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->n && !err; i++)
        err = fan_doubt(e, part, entering, i);
    for (uint32_t i = 0; i < in->count && !err; i++)
        err = row_evict(e, in, i, part, entering);
    fan_turn(e);
    return err;
}

/* ------------------------------------------------------------------------------------- branches
 */

/* Whether another unit of the row bears the code. */
static bool code_is_held(const struct event *e, const struct assign_state *s, uint32_t n,
                         uint32_t but)
{
    for (uint32_t i = 0; i < n; i++)
        if (i != but && is_in_line(&s[i]) && s[i].code == e->code)
            return true;
    return false;
}

/* What was read, if this unit made the pulse. */
static double code_weight(const struct event *e, const struct assign_state *s, uint32_t n,
                          uint32_t column)
{
    if (!e->code || s[column].code == e->code)
        return 1;
    if (s[column].code)
        return e->a->model.odds.misread;
    return code_is_held(e, s, n, column) ? e->a->model.odds.misread : 1;
}

/* One row of the work into the fan, with a weight. */
static int fan_begin(const struct event *e, uint32_t row, double weight)
{
    const struct rows *w = &e->a->work.rows;
    rows_clear(fan_in(e), w->n);
    rows_clear(fan_out(e), w->n);
    return rows_add(fan_in(e), weight, rows_states(w, row), rows_stays(w, row));
}

static int fan_end(const struct event *e)
{
    const struct rows *in = fan_in(e);
    int err = OK;
    for (uint32_t i = 0; i < in->count && !err; i++)
        err = rows_add(&e->a->next, in->w[i], rows_states(in, i), rows_stays(in, i));
    return err;
}

/* The units that this one cannot have come out before: false if they are too many. */
static bool row_skipped(const struct event *e, const struct assign_state *s, uint32_t n,
                        uint32_t column, uint32_t *ret, uint32_t *ret_count)
{
    const struct assign_part *p = &e->a->model.parts[s[column].part];
    bool belt = p->length_mm > 0;
    *ret_count = 0;
    if (p->order == ASSIGN_RANDOM && !belt)
        return true;
    for (uint32_t i = 0; i < n; i++) {
        if (i == column || s[i].part != s[column].part)
            continue;
        bool before = p->order == ASSIGN_LIFO && !belt ? is_before(e->a, &s[column], &s[i])
                                                       : is_before(e->a, &s[i], &s[column]);
        if (!before)
            continue;
        if (*ret_count == SKIPPED_MAX)
            return false;
        ret[(*ret_count)++] = i;
    }
    return true;
}

static void row_pass(struct event *e, struct assign_state *s, double *m, uint32_t column,
                     uint16_t into, enum track_edge end)
{
    struct undecided stay = {.t_out = e->now_us, .end = (uint8_t)end};
    stay.breach = end == EDGE_SEEN ? ASSIGN_KEPT : ASSIGN_MOVED;
    s[column].doubt = 0;
    if (e->code && !s[column].code)
        s[column].code = e->code;
    stay_note(e, &s[column], m, column, &stay, 1);
    state_enter(e, &s[column], column, into, e->now_us, 0, EDGE_SEEN);
}

/* The unit made the pulse, on this way. */
static int branch_pass(struct event *e, uint32_t row, const struct assign_way *w, uint32_t column)
{
    struct assign *a = e->a;
    uint32_t skipped[SKIPPED_MAX];
    uint32_t skipped_count = 0;
    const struct rows *work = &a->work.rows;
    const struct assign_state *s = rows_states(work, row);
    double weight = work->w[row] * likelihood(e, &s[column]) * w->share *
                    (1 - a->model.odds.missed) * (1 - s[column].doubt) *
                    code_weight(e, s, work->n, column);
    if (!(weight > 0) || !row_skipped(e, s, work->n, column, skipped, &skipped_count))
        return OK;
    int err = fan_begin(e, row, weight);
    for (uint32_t i = 0; i < skipped_count && !err; i++)
        err = fan_leave(e, skipped[i]);
    if (!err)
        err = fan_evict(e, w->into, column);
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->count && !err; i++)
        row_pass(e, rows_states(in, i), rows_stays(in, i), column, w->into, EDGE_SEEN);
    return err ? err : fan_end(e);
}

/* Whether a unit may leave the one part unseen and be seen as it comes out of the other: not where
 * its position would say that it has gone on (it is overdue then), nor where anybody may be next.
 */
static bool is_hop(const struct assign *a, const struct assign_way *before, uint16_t through)
{
    return before->from != ASSIGN_OUTSIDE && !is_belt(a, before->from) && !is_belt(a, through) &&
           a->model.parts[before->from].order != ASSIGN_RANDOM;
}

/* Whether that one would have been in its way: in the part that it went through, or before it where
 * it stood. */
static bool is_in_way(const struct event *e, const struct assign_state *s,
                      const struct assign_state *other, uint16_t through)
{
    if (other->part == through)
        return true;
    if (other == s || other->part != s->part)
        return false;
    return e->a->model.parts[s->part].order == ASSIGN_LIFO ? is_before(e->a, s, other)
                                                           : is_before(e->a, other, s);
}

/* How likely nobody was in its way: those that may be pulses of nobody. */
static double hop_free(const struct event *e, const struct assign_state *s, uint32_t n,
                       uint32_t column, uint16_t through)
{
    double p = 1;
    for (uint32_t i = 0; i < n; i++)
        p *= is_in_way(e, &s[column], &s[i], through) ? s[i].doubt : 1;
    return p;
}

/* When it left unseen into the part that it comes out of now: as long before as units mostly are
 * there. False: it cannot have. */
static bool hop_when(const struct event *e, const struct assign_state *s, uint16_t through,
                     int64_t *ret_us)
{
    const struct assign *a = e->a;
    const struct assign_part *p = &a->model.parts[s->part];
    const struct assign_part *q = &a->model.parts[through];
    const struct assign_dwell *d = &a->dwells[through];
    int64_t first_us = s->t_in + p->time_min_us;
    int64_t last_us = e->now_us - q->time_min_us;
    if (p->time_max_us && s->t_in + p->time_max_us < last_us)
        last_us = s->t_in + p->time_max_us;
    if (q->time_max_us && e->now_us - q->time_max_us > first_us)
        first_us = e->now_us - q->time_max_us;
    if (first_us > last_us)
        return false;
    *ret_us = first_us + (last_us - first_us) / 2;
    if (a->model.learns && dwell_is_known(d)) {
        int64_t mean_us = e->now_us - (int64_t)d->mean_us;
        *ret_us = mean_us < first_us ? first_us : mean_us > last_us ? last_us : mean_us;
    }
    return true;
}

/* That one was a pulse of nobody. */
static void fan_clear(const struct event *e, uint32_t column)
{
    rows_states(fan_in(e), 0)[column] = (struct assign_state){.part = ASSIGN_GONE};
    work_doubt(e->a, rows_stays(fan_in(e), 0), column, 0);
}

/* Nobody is in the gate's part, and the unit is the next of the one before: it went on unseen and
 * made the pulse. */
static int branch_hop(struct event *e, uint32_t row, const struct assign_way *before,
                      const struct assign_way *w, uint32_t column)
{
    struct assign *a = e->a;
    int64_t when = 0;
    const struct rows *work = &a->work.rows;
    const struct assign_state *s = rows_states(work, row);
    double weight = work->w[row] * a->model.odds.missed * before->share * w->share *
                    (1 - a->model.odds.missed) * (1 - s[column].doubt) *
                    code_weight(e, s, work->n, column) * hop_free(e, s, work->n, column, w->from);
    if (!(weight > 0) || !hop_when(e, &s[column], w->from, &when))
        return OK;
    int err = fan_begin(e, row, weight);
    for (uint32_t k = 0; k < work->n && !err; k++) {
        if (is_in_way(e, &s[column], &s[k], w->from))
            fan_clear(e, k);
    }
    if (!err)
        err = fan_evict(e, w->into, column);
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->count && !err; i++) {
        struct assign_state *to = &rows_states(in, i)[column];
        const struct undecided stay = {.t_out = when, .end = EDGE_UNSEEN};
        stay_note(e, to, rows_stays(in, i), column, &stay, 1);
        state_enter(e, to, column, w->from, when, 0, EDGE_UNSEEN);
        row_pass(e, rows_states(in, i), rows_stays(in, i), column, w->into, EDGE_SEEN);
    }
    return err ? err : fan_end(e);
}

/* Those of one way of the gate. */
static int row_hops(struct event *e, uint32_t row, const struct assign_way *w)
{
    struct assign *a = e->a;
    const struct rows *work = &a->work.rows;
    int err = OK;
    if (w->from == ASSIGN_OUTSIDE)
        return OK;
    struct way_list ways = into_ways(a, w->from);
    for (const struct assign_way *b = ways.first; b < ways.end; b++) {
        for (uint32_t k = 0; is_hop(a, b, w->from) && k < work->n && !err; k++)
            if (rows_states(work, row)[k].part == b->from)
                err = branch_hop(e, row, b, w, k);
    }
    return err;
}

/* A unit whose code is read where it cannot be was carried there. */
static int branch_moved(struct event *e, uint32_t row, const struct assign_way *w, uint32_t column)
{
    struct assign *a = e->a;
    double weight = a->work.rows.w[row] * a->model.odds.moved * w->share;
    int err = fan_begin(e, row, weight);
    if (!err)
        err = fan_evict(e, w->into, column);
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->count && !err; i++)
        row_pass(e, rows_states(in, i), rows_stays(in, i), column, w->into, EDGE_UNSEEN);
    return err ? err : fan_end(e);
}

/* What a newcomer is worth, and what a pulse of nobody. */
struct worth {
    double real;
    double spurious;
    bool alone; /* only if those in the part that it comes out of never were */
};

static bool part_has_entry(const struct assign *a, uint16_t part)
{
    struct way_list ways = into_ways(a, part);
    for (const struct assign_way *w = ways.first; w < ways.end; w++)
        if (w->from == ASSIGN_OUTSIDE)
            return true;
    return false;
}

/* How likely the part had room for somebody whose entry into the line gave no pulse; 1: surely. */
static double entry_free(const struct event *e, uint32_t row, uint16_t part)
{
    const struct assign *a = e->a;
    const struct assign_state *s = rows_states(&a->work.rows, row);
    double p = 1;
    if (part == ASSIGN_OUTSIDE || !part_has_entry(a, part))
        return 0;
    for (uint32_t i = 0; i < a->work.rows.n && !is_belt(a, part); i++)
        p *= s[i].part == part ? s[i].doubt : 1;
    return p;
}

/* Whoever is in that part was a pulse of nobody. */
static void fan_empty(const struct event *e, uint16_t part)
{
    const struct assign_state *s = rows_states(fan_in(e), 0);
    for (uint32_t i = 0; i < fan_in(e)->n; i++)
        if (s[i].part == part)
            fan_clear(e, i);
}

/* Where it was before it was seen, it was unseen: for as long as units mostly are there. */
static void newcomer_before(struct event *e, struct assign_state *s, double *m, uint16_t part,
                            double real)
{
    const struct assign *a = e->a;
    s->part = part;
    s->t_in = e->now_us;
    s->ref_mm = belt_mm(a, part, e->now_us) - a->model.parts[part].length_mm;
    if (is_belt(a, part))
        s->t_in = a->model.when(a->model.ctx, part, s->ref_mm, e->now_us);
    else if (a->model.learns && dwell_is_known(&a->dwells[part]))
        s->t_in = e->now_us - (int64_t)a->dwells[part].mean_us;
    s->begin = EDGE_UNSEEN;
    s->visit = visit_number(e, a->work.units[e->newcomer], part);
    struct undecided stay = {.t_out = e->now_us, .end = EDGE_SEEN, .breach = ASSIGN_APPEARED};
    stay_note(e, s, m, e->newcomer, &stay, real);
}

/* A unit that nobody saw before, on that way; or, where it would drive another one out, a pulse of
 * nobody beside it. */
static int branch_newcomer(struct event *e, uint32_t row, const struct assign_way *w,
                           struct worth worth)
{
    struct assign *a = e->a;
    const struct rows *work = &a->work.rows;
    const struct assign_state *s = rows_states(work, row);
    bool full = row_is_full(e, s, work->n, w->into, e->newcomer);
    bool held = e->code && code_is_held(e, s, work->n, e->newcomer);
    double real = worth.real * (held ? a->model.odds.misread : 1);
    double doubt = full ? 0 : worth.spurious / (worth.real + worth.spurious);
    int err = OK;
    if (full && worth.spurious > 0)
        err = rows_add(&a->next, work->w[row] * worth.spurious, s, rows_stays(work, row));
    if (!err)
        err = fan_begin(e, row, work->w[row] * (full ? real : real + worth.spurious));
    if (!err && worth.alone)
        fan_empty(e, w->from);
    if (!err)
        err = fan_evict(e, w->into, e->newcomer);
    struct rows *in = fan_in(e);
    for (uint32_t i = 0; i < in->count && !err; i++) {
        struct assign_state *to = &rows_states(in, i)[e->newcomer];
        *to = (struct assign_state){.code = e->code, .doubt = doubt};
        if (w->from != ASSIGN_OUTSIDE)
            newcomer_before(e, to, rows_stays(in, i), w->from,
                            w->into == ASSIGN_OUTSIDE ? 1 - doubt : 1);
        state_enter(e, to, e->newcomer, w->into, e->now_us, 0, EDGE_SEEN);
    }
    return err ? err : fan_end(e);
}

static bool gate_has_entry(const struct assign *a, uint16_t gate)
{
    struct way_list ways = gate_ways(a, gate);
    for (const struct assign_way *w = ways.first; w < ways.end; w++)
        if (w->from == ASSIGN_OUTSIDE)
            return true;
    return false;
}

/* Of the gate's ways into the line, or else of all. */
static int row_newcomers(struct event *e, uint32_t row)
{
    struct assign *a = e->a;
    const struct assign_odds *o = &a->model.odds;
    bool entry = gate_has_entry(a, e->gate);
    uint32_t count = 0;
    int err = OK;
    struct way_list ways = gate_ways(a, e->gate);
    for (const struct assign_way *w = ways.first; w < ways.end; w++)
        count += (w->from == ASSIGN_OUTSIDE) == entry;
    for (const struct assign_way *w = ways.first; w < ways.end && !err; w++) {
        if ((w->from == ASSIGN_OUTSIDE) != entry)
            continue;
        double free = entry_free(e, row, w->from);
        double entered = free < 1 ? 0 : o->missed; /* into the line, and gave no pulse there */
        /* Who has a code is somebody. */
        const struct worth worth = {.real = (entry ? 1 : o->appeared + entered) / count,
                                    .spurious = (e->code ? 0 : o->spurious) / count};
        err = branch_newcomer(e, row, w, worth);
        if (!err && free > 0 && free < 1)
            err = branch_newcomer(e, row, w,
                                  (struct worth){.real = o->missed * free / count, .alone = true});
    }
    return err;
}

/* The row's unit that bears the code and cannot come out of any of the gate's parts. */
static int row_moved(struct event *e, uint32_t row)
{
    struct assign *a = e->a;
    const struct assign_state *s = rows_states(&a->work.rows, row);
    for (uint32_t k = 0; k < a->work.rows.n; k++) {
        if (!e->code || !is_in_line(&s[k]) || s[k].code != e->code)
            continue;
        bool comes = false;
        struct way_list ways = gate_ways(a, e->gate);
        for (const struct assign_way *w = ways.first; w < ways.end; w++)
            comes = comes || (w->from == s[k].part && likelihood(e, &s[k]) > 0);
        int err = OK;
        for (const struct assign_way *w = ways.first; w < ways.end && !err && !comes; w++)
            err = branch_moved(e, row, w, k);
        if (err)
            return err;
    }
    return OK;
}

static int row_branches(struct event *e, uint32_t row)
{
    struct assign *a = e->a;
    int err = row_newcomers(e, row);
    struct way_list ways = gate_ways(a, e->gate);
    for (const struct assign_way *w = ways.first; w < ways.end; w++) {
        for (uint32_t k = 0; k < a->work.rows.n && !err; k++) {
            const struct assign_state *s = &rows_states(&a->work.rows, row)[k];
            if (w->from == s->part && w->from != ASSIGN_OUTSIDE)
                err = branch_pass(e, row, w, k);
        }
        if (!err)
            err = row_hops(e, row, w);
    }
    return err ? err : row_moved(e, row);
}

/* ----------------------------------------------------------------------------------------- gather
 */

/* The units of a list that a pulse may be of, and those that they would have overtaken. */
static int gather_belt(struct event *e, uint16_t part)
{
    struct assign *a = e->a;
    const struct part_list *l = &a->parts[part];
    double now_mm = belt_mm(a, part, e->now_us);
    uint32_t out = 0;
    int err = OK;
    for (uint32_t i = l->first; i < l->end && out < BEHIND_MAX && !err; i++) {
        const struct assign_unit *u = &a->units[l->units[i]];
        uint32_t m = 0;
        while (u->members[m].part != part)
            m++;
        double way = now_mm - u->members[m].ref_mm;
        double window = window_mm(a, e->gate, way, u->members[m].slack_mm);
        if (way < a->model.parts[part].length_mm - window)
            out++;
        else
            err = work_add(a, l->units[i]);
    }
    return err;
}

static int gather_list(struct event *e, uint16_t part, uint32_t from_front, uint32_t from_back)
{
    struct assign *a = e->a;
    const struct part_list *l = &a->parts[part];
    uint32_t count = l->end - l->first;
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++)
        if (i < from_front || count - i <= from_back)
            err = work_add(a, l->units[l->first + i]);
    return err;
}

static int gather_part(struct event *e, uint16_t part)
{
    const struct assign_part *p = &e->a->model.parts[part];
    if (p->length_mm > 0)
        return gather_belt(e, part);
    if (p->order == ASSIGN_RANDOM)
        return gather_list(e, part, UINT32_MAX, 0);
    bool lifo = p->order == ASSIGN_LIFO;
    return gather_list(e, part, lifo ? 0 : SKIPPED_MAX + 1, lifo ? SKIPPED_MAX + 1 : 0);
}

/* Those that may have gone into the part unseen and come out of it now. */
static int gather_hops(struct event *e, uint16_t through)
{
    struct assign *a = e->a;
    const struct part_list *l = &a->parts[through];
    int err = OK;
    for (uint32_t i = l->first; i < l->end; i++) {
        const struct assign_unit *u = &a->units[l->units[i]];
        if (work_find(a, l->units[i]) == ASSIGN_NOBODY && u->cluster == ASSIGN_NOBODY &&
            !(u->one.doubt > 0))
            return OK; /* somebody is there, under all hypotheses */
    }
    struct way_list ways = into_ways(a, through);
    for (const struct assign_way *b = ways.first; b < ways.end && !err; b++)
        if (is_hop(a, b, through))
            err = gather_part(e, b->from);
    return err;
}

static int gather(struct event *e)
{
    struct assign *a = e->a;
    int err = OK;
    struct way_list ways = gate_ways(a, e->gate);
    for (const struct assign_way *w = ways.first; w < ways.end && !err; w++) {
        if (w->from != ASSIGN_OUTSIDE)
            err = gather_hops(e, w->from);
        if (!err && w->from != ASSIGN_OUTSIDE)
            err = gather_part(e, w->from);
        if (!err && w->into != ASSIGN_OUTSIDE && a->model.parts[w->into].capacity)
            err = gather_list(e, w->into, UINT32_MAX, 0);
    }
    struct assign_code *code = &a->codes[e->code];
    for (uint32_t i = 0; i < ASSIGN_HOLDERS_MAX && e->code && !err; i++)
        if (code->holders[i].order &&
            a->units[code->holders[i].unit].order == code->holders[i].order)
            err = work_add(a, code->holders[i].unit);
    return err;
}

static void holder_add(struct assign *a, struct assign_code *code, uint32_t unit)
{
    uint32_t at = ASSIGN_HOLDERS_MAX - 1; /* if all are in use */
    for (uint32_t i = ASSIGN_HOLDERS_MAX; i > 0; i--) {
        uint64_t order = code->holders[i - 1].order;
        bool in_use = order && a->units[code->holders[i - 1].unit].order == order;
        if (in_use && code->holders[i - 1].unit == unit)
            return;
        at = in_use ? at : i - 1;
    }
    code->holders[at].unit = unit;
    code->holders[at].order = a->units[unit].order;
}

/* Who bears the code under some hypothesis. */
static void holders_note(const struct event *e)
{
    struct assign *a = e->a;
    for (uint32_t i = 0; e->code && i < a->work.rows.count; i++) {
        const struct assign_state *s = rows_states(&a->work.rows, i);
        for (uint32_t k = 0; k < a->work.rows.n; k++)
            if (is_in_line(&s[k]) && s[k].code == e->code)
                holder_add(a, &a->codes[e->code], a->work.units[k]);
    }
}

static int rows_branch(struct event *e)
{
    struct assign *a = e->a;
    int err = OK;
    rows_clear(&a->next, a->work.rows.n);
    for (uint32_t i = 0; i < a->work.rows.count && !err; i++)
        err = row_branches(e, i);
    if (a->next.count) /* a pulse that nothing explains changes nothing */
        rows_swap(&a->work.rows, &a->next);
    return err;
}

/* A cluster that is full would not be asked any more: whether the newcomer is in it is decided. */
static int newcomer_decide(const struct event *e)
{
    struct assign *a = e->a;
    struct rows *r = &a->work.rows;
    double here = 0;
    if (r->n < ASSIGN_CLUSTER_UNITS_MAX)
        return OK;
    for (uint32_t i = 0; i < r->count; i++)
        here += rows_states(r, i)[e->newcomer].part != ASSIGN_ABSENT ? r->w[i] : 0;
    for (uint32_t i = 0; i < r->count; i++)
        if ((rows_states(r, i)[e->newcomer].part != ASSIGN_ABSENT) != (here >= 0.5))
            r->w[i] = 0;
    a->stats.forced++;
    return work_settle(a);
}

int assign_pulse(struct assign *a, const struct assign_pulse *p)
{
    struct event e = {.a = a, .gate = p->gate, .now_us = p->time_us};
    int err = assign_reach(a, p->time_us);
    if (!err)
        err = assign_code_number(a, p->code, &e.code);
    work_begin(a);
    if (!err)
        err = gather(&e);
    if (!err)
        err = work_new_unit(a, p->unit, &e.newcomer);
    if (!err)
        err = rows_branch(&e);
    a->stats.pulses++;
    if (!err)
        err = work_settle(a);
    if (!err)
        err = newcomer_decide(&e);
    if (!err)
        holders_note(&e);
    return err ? err : work_end(a);
}

/* ---------------------------------------------------------------------------------------- overdue
 */

static bool unit_is_overdue(const struct assign *a, uint32_t unit, int64_t now_us)
{
    const struct assign_unit *u = &a->units[unit];
    if (u->cluster == ASSIGN_NOBODY)
        return is_overdue(a, &u->one, now_us);
    const struct cluster *c = a->clusters[u->cluster];
    uint32_t column = 0;
    while (c->units[column] != unit)
        column++;
    for (uint32_t i = 0; i < c->rows.count; i++)
        if (is_overdue(a, &rows_states(&c->rows, i)[column], now_us))
            return true;
    return false;
}

static int unit_overdue(struct assign *a, uint32_t unit, int64_t now_us)
{
    struct event e = {.a = a, .now_us = now_us, .newcomer = ASSIGN_NOBODY};
    work_begin(a);
    int err = work_load(a, unit);
    uint32_t column = work_find(a, unit);
    rows_clear(&a->next, a->work.rows.n);
    for (uint32_t i = 0; i < a->work.rows.count && !err; i++) {
        err = fan_begin(&e, i, a->work.rows.w[i]);
        if (!err && is_overdue(a, &rows_states(&a->work.rows, i)[column], now_us))
            err = fan_leave(&e, column);
        if (!err)
            err = fan_end(&e);
    }
    rows_swap(&a->work.rows, &a->next);
    if (!err)
        err = work_settle(a);
    return err ? err : work_end(a);
}

/* The first of a list that is overdue. On a belt only those in front can be. */
static uint32_t list_overdue(const struct assign *a, uint16_t part, int64_t now_us)
{
    const struct part_list *l = &a->parts[part];
    const struct assign_part *p = &a->model.parts[part];
    uint32_t look = !(p->length_mm > 0) && !p->time_max_us ? 0 : ASSIGN_FRONT;
    for (uint32_t i = l->first; i < l->end && look; i++, look--)
        if (unit_is_overdue(a, l->units[i], now_us))
            return l->units[i];
    return ASSIGN_NOBODY;
}

int assign_reach(struct assign *a, int64_t time_us)
{
    int err = OK;
    bool again = true;
    while (again && !err) { /* who left one part unseen may be overdue in the next */
        again = false;
        for (uint16_t part = 0; part < a->model.part_count && !err; part++) {
            if (!part_may_be_due(a, part, time_us))
                continue;
            uint32_t unit = list_overdue(a, part, time_us);
            if (unit == ASSIGN_NOBODY)
                continue;
            err = unit_overdue(a, unit, time_us);
            again = true;
        }
        a->reached_us = time_us;
    }
    return err;
}
