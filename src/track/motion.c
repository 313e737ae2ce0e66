/* The integral of a belt's speed, and the way by its encoder. See motion.h. */
#include "track/motion.h"

#include "base/array.h"
#include "track/track_priv.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US          1e6
#define MOTION_ITEMS_FIRST 64

void motion_fini(struct motion *m)
{
    free(m->points);
    free(m->waiting);
    *m = (struct motion){0};
}

void motion_reset(struct motion *m)
{
    m->count = 0;
    m->waiting_first = 0;
    m->waiting_end = 0;
    m->read_us = 0;
    m->read_mm = 0;
    m->read_value = 0;
    m->gap_mm = 0;
    m->late = 0;
    m->anew = 0;
}

/* --------------------------------------------------------------------------------------- readings
 */

static uint32_t waiting_count(const struct motion *m)
{
    return m->waiting_end - m->waiting_first;
}

static int waiting_room(struct motion *m)
{
    if (waiting_count(m) == MOTION_WAITING_MAX)
        return ERR_LIMIT;
    if (m->waiting_end == m->waiting_cap && m->waiting_first > m->waiting_cap / 2) {
        memmove(m->waiting, m->waiting + m->waiting_first, waiting_count(m) * sizeof *m->waiting);
        m->waiting_end -= m->waiting_first;
        m->waiting_first = 0;
    }
    struct motion_reading *waiting = array_room(m->waiting, m->waiting_end, &m->waiting_cap,
                                                MOTION_ITEMS_FIRST, sizeof *waiting);
    if (!waiting)
        return ERR_NOMEM;
    m->waiting = waiting;
    return OK;
}

static bool is_counted(const struct motion *m)
{
    return m->counts.mm != 0;
}

int motion_read(struct motion *m, int64_t time_us, double value)
{
    if (!(fabs(value) <= (is_counted(m) ? MOTION_COUNTS_MAX : MOTION_SPEED_MAX)))
        return OK;
    if (m->count && time_us <= m->points[m->count - 1].time_us) {
        m->late++;
        return OK;
    }
    int err = waiting_room(m);
    if (err)
        return err;
    uint32_t i = m->waiting_end;
    while (i > m->waiting_first && m->waiting[i - 1].time_us > time_us)
        i--;
    if (i > m->waiting_first && m->waiting[i - 1].time_us == time_us) {
        m->waiting[i - 1].value = value;
        return OK;
    }
    memmove(m->waiting + i + 1, m->waiting + i, (m->waiting_end - i) * sizeof *m->waiting);
    m->waiting[i] = (struct motion_reading){time_us, value};
    m->waiting_end++;
    return OK;
}

const struct motion_reading *motion_next(const struct motion *m)
{
    return waiting_count(m) ? &m->waiting[m->waiting_first] : NULL;
}

int64_t motion_end_us(const struct motion *m)
{
    return m->count ? m->points[m->count - 1].time_us : INT64_MIN;
}

/* Every second point but the ends; the positions of those that stay are what they were. */
static void points_thin(struct motion *m)
{
    uint32_t n = 1;
    for (uint32_t i = 2; i < m->count; i += 2) {
        m->points[n] = m->points[i];
        m->points[n].gap |= m->points[i - 1].gap;
        n++;
    }
    if (m->count % 2 == 0)
        m->points[n++] = m->points[m->count - 1];
    m->count = n;
}

static int points_room(struct motion *m)
{
    struct motion_point *points =
        array_room(m->points, m->count, &m->cap, MOTION_ITEMS_FIRST, sizeof *points);
    if (!points)
        return ERR_NOMEM;
    m->points = points;
    return OK;
}

/* read: it is a reading, not a speed held up to here. */
static int point_add(struct motion *m, struct motion_reading r, int64_t gap_max_us, bool read)
{
    struct motion_point p = {.time_us = r.time_us, .speed = r.value};
    if (m->count == MOTION_POINTS_MAX)
        points_thin(m);
    int err = points_room(m);
    if (err)
        return err;
    struct motion_point *b = m->count ? &m->points[m->count - 1] : NULL;
    if (b) {
        struct motion_point *a = m->count > 1 ? b - 1 : NULL;
        p.gap = p.time_us - m->read_us > gap_max_us;
        if (p.gap && read)
            m->gap_mm +=
                fmax(fabs(b->speed), fabs(p.speed)) * (double)(p.time_us - m->read_us) / SECOND_US;
        if (a && a->speed == b->speed && b->speed == p.speed && b->gap == p.gap) {
            m->count--; /* a runs on to p */
            b = a;
        }
        p.mm = b->mm + (b->speed + p.speed) / 2 * (double)(p.time_us - b->time_us) / SECOND_US;
    }
    m->points[m->count++] = p;
    if (read || m->count == 1)
        m->read_us = p.time_us;
    return OK;
}

/* The last counts' point is the last one again: what was held beyond it was a guess. */
static int counts_return(struct motion *m)
{
    while (m->count > 1 && motion_end_us(m) > m->read_us)
        m->count--;
    struct motion_point *b = &m->points[m->count - 1];
    if (b->time_us >= m->read_us)
        return OK;
    /* It was within a run of one speed. */
    struct motion_point p = {
        .time_us = m->read_us, .speed = b->speed, .mm = m->read_mm, .gap = b->gap};
    int err = points_room(m);
    if (!err)
        m->points[m->count++] = p;
    return err;
}

static int counts_put(struct motion *m, const struct motion_point *p)
{
    struct motion_point *b = m->count ? &m->points[m->count - 1] : NULL;
    struct motion_point *a = m->count > 1 ? b - 1 : NULL;
    if (b)
        b->speed = p->speed;
    if (a && a->speed == p->speed && b->gap == p->gap)
        m->count--; /* a runs on to p */
    int err = points_room(m);
    if (!err)
        m->points[m->count++] = *p;
    return err;
}

/* Counts: the position follows from them and from no speed. */
static int counts_add(struct motion *m, struct motion_reading r, int64_t gap_max_us)
{
    const struct motion_counts *c = &m->counts;
    struct motion_point p = {.time_us = r.time_us};
    int err = OK;
    if (m->count == MOTION_POINTS_MAX)
        points_thin(m);
    if (m->count) {
        err = counts_return(m);
        if (err)
            return err;
        double seconds = (double)(r.time_us - m->read_us) / SECOND_US;
        double held = m->points[m->count - 1].speed;
        double change = r.value - m->read_value;
        double way = (c->rollover > 0 ? remainder(change, c->rollover) : change) * c->mm;
        bool anew = fabs(way) > c->fastest_mm_s * seconds;
        m->anew += anew;
        way = anew ? held * seconds : way;
        p.gap = r.time_us - m->read_us > gap_max_us;
        p.speed = way / seconds;
        p.mm = m->read_mm + way;
        /* What it may have gone beside that, or around that circle, while nobody looked. */
        if (anew || (p.gap && fabs(held) * seconds > fabs(c->rollover * c->mm) / 2))
            m->gap_mm += fabs(held) * seconds;
    }
    err = counts_put(m, &p);
    if (!err) {
        m->read_us = p.time_us;
        m->read_mm = p.mm;
        m->read_value = r.value;
    }
    return err;
}

int motion_hold(struct motion *m, int64_t time_us, int64_t gap_max_us)
{
    if (m->count == 0 || motion_end_us(m) >= time_us)
        return OK;
    struct motion_reading held = {time_us, m->points[m->count - 1].speed};
    return point_add(m, held, gap_max_us, false);
}

int motion_reach(struct motion *m, int64_t time_us, int64_t gap_max_us)
{
    int err = OK;
    while (!err && waiting_count(m) && motion_end_us(m) < time_us) {
        struct motion_reading r = m->waiting[m->waiting_first];
        err = is_counted(m) ? counts_add(m, r, gap_max_us) : point_add(m, r, gap_max_us, true);
        m->waiting_first += !err;
    }
    return err ? err : motion_hold(m, time_us, gap_max_us);
}

void motion_trim(struct motion *m, int64_t time_us, double mm)
{
    uint32_t n = 0;
    while (n + 2 < m->count && m->points[n + 1].time_us <= time_us && m->points[n + 1].mm < mm)
        n++;
    /* Now and then, so that a point is moved a few times at most. */
    if (n < 64 || n < m->count / 2)
        return;
    m->count -= n;
    memmove(m->points, m->points + n, m->count * sizeof *m->points);
}

/* ------------------------------------------------------------------------------------------ pieces
 */

/* A part of the parabola between two points on which the belt moves one way. */
struct span {
    int64_t from_us;
    int64_t to_us;
    double from_mm;
    double to_mm;
    const struct motion_point *start; /* of the parabola */
    double acceleration;              /* mm/s² */
    bool gap;
};

/* What hits both ends and starts with the speed there; between two readings that is the speed
 * running straight. */
static double acceleration_of(const struct motion_point *a, const struct motion_point *b)
{
    double t = (double)(b->time_us - a->time_us) / SECOND_US;
    return 2 * (b->mm - a->mm - a->speed * t) / (t * t);
}

static double parabola_mm(const struct motion_point *a, double acceleration, int64_t time_us)
{
    double t = (double)(time_us - a->time_us) / SECOND_US;
    return a->mm + (a->speed + acceleration * t / 2) * t;
}

static double piece_mm(const struct motion_point *a, double acceleration, int64_t time_us)
{
    return time_us == a->time_us ? a->mm : parabola_mm(a, acceleration, time_us);
}

/* The piece that holds time_us: index of its start. count > 1. */
static uint32_t piece_find(const struct motion *m, int64_t time_us)
{
    uint32_t low = 0;
    uint32_t high = m->count - 1;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (m->points[mid].time_us <= time_us)
            low = mid;
        else
            high = mid;
    }
    return low;
}

double motion_mm(const struct motion *m, int64_t time_us)
{
    if (m->count == 0)
        return 0;
    const struct motion_point *last = &m->points[m->count - 1];
    if (m->count == 1 || time_us >= last->time_us)
        return last->mm;
    if (time_us <= m->points[0].time_us)
        return m->points[0].mm;
    const struct motion_point *a = &m->points[piece_find(m, time_us)];
    return piece_mm(a, acceleration_of(a, a + 1), time_us);
}

double motion_speed(const struct motion *m, int64_t time_us)
{
    if (m->count == 0)
        return 0;
    const struct motion_point *last = &m->points[m->count - 1];
    if (m->count == 1 || time_us >= last->time_us)
        return last->speed;
    if (time_us <= m->points[0].time_us)
        return m->points[0].speed;
    const struct motion_point *a = &m->points[piece_find(m, time_us)];
    return a->speed + acceleration_of(a, a + 1) * (double)(time_us - a->time_us) / SECOND_US;
}

/* The moment in the span at which the belt is at mm, which lies between its ends. */
static int64_t span_time(const struct span *s, double mm)
{
    const struct motion_point *a = s->start;
    double way = mm - a->mm;
    double square = a->speed * a->speed + 2 * s->acceleration * way;
    double there = sqrt(square > 0 ? square : 0); /* the speed at mm */
    if (s->to_mm < s->from_mm)
        there = -there;
    /* Of the two ways to write the root, the one that does not subtract what is nearly equal. */
    double t =
        a->speed * there >= 0 ? 2 * way / (a->speed + there) : (there - a->speed) / s->acceleration;
    if (!isfinite(t))
        return s->from_us;
    double us = t * SECOND_US; /* compared as it is: it may be more than an integer holds */
    if (us <= (double)(s->from_us - a->time_us))
        return s->from_us;
    return us >= (double)(s->to_us - a->time_us) ? s->to_us : a->time_us + llround(us);
}

/* The spans between two moments, one after the other. */
struct walk {
    const struct motion *m;
    struct path_interval when;
    uint32_t piece;
    int64_t at_us;
};

static struct walk walk_of(const struct motion *m, struct path_interval when)
{
    struct walk w = {.m = m, .when = when, .at_us = when.from_us};
    if (m->count > 1 && when.from_us > m->points[0].time_us)
        w.piece = piece_find(m, when.from_us);
    return w;
}

static bool walk_still(struct walk *w, int64_t to_us, double mm, struct span *ret)
{
    *ret = (struct span){.from_us = w->at_us, .to_us = to_us, .from_mm = mm, .to_mm = mm};
    ret->start = w->m->count ? &w->m->points[0] : NULL;
    w->at_us = to_us;
    return true;
}

static bool walk_next(struct walk *w, struct span *ret)
{
    const struct motion *m = w->m;
    int64_t end_us = w->when.to_us;
    if (w->at_us >= end_us)
        return false;
    if (m->count == 0)
        return walk_still(w, end_us, 0, ret);
    if (w->at_us < m->points[0].time_us)
        return walk_still(w, m->points[0].time_us < end_us ? m->points[0].time_us : end_us,
                          m->points[0].mm, ret);
    while (w->piece + 1 < m->count && m->points[w->piece + 1].time_us <= w->at_us)
        w->piece++;
    if (w->piece + 1 >= m->count)
        return walk_still(w, end_us, m->points[m->count - 1].mm, ret);
    const struct motion_point *a = &m->points[w->piece];
    const struct motion_point *b = a + 1;
    struct span s = {.from_us = w->at_us, .start = a, .gap = b->gap};
    s.acceleration = acceleration_of(a, b);
    s.to_us = b->time_us < end_us ? b->time_us : end_us;
    double turn_s = -a->speed / s.acceleration;
    int64_t turn_us = isfinite(turn_s) && fabs(turn_s) < 1e9
                          ? a->time_us + llround(turn_s * SECOND_US)
                          : INT64_MIN;
    if (turn_us > s.from_us && turn_us < s.to_us)
        s.to_us = turn_us;
    s.from_mm = piece_mm(a, s.acceleration, s.from_us);
    s.to_mm = s.to_us == b->time_us ? b->mm : piece_mm(a, s.acceleration, s.to_us);
    w->at_us = s.to_us;
    *ret = s;
    return true;
}

/* ------------------------------------------------------------------------------------------- stays
 */

/* The part of the span in [from, to). */
static bool span_inside(const struct span *s, double from, double to, struct path_interval *ret)
{
    double low = s->from_mm < s->to_mm ? s->from_mm : s->to_mm;
    double high = s->from_mm < s->to_mm ? s->to_mm : s->from_mm;
    if (high < from || low >= to)
        return false;
    bool up = s->to_mm >= s->from_mm;
    *ret = (struct path_interval){s->from_us, s->to_us};
    if (s->from_mm < from)
        ret->from_us = span_time(s, from);
    if (s->from_mm > to)
        ret->from_us = span_time(s, to);
    if (up ? s->to_mm > to : s->to_mm < from)
        ret->to_us = span_time(s, up ? to : from);
    return ret->from_us < ret->to_us;
}

static void stay_gaps(const struct motion *m, struct motion_stay *io)
{
    struct walk w = walk_of(m, (struct path_interval){io->t_in, io->t_out});
    struct span s;
    bool first = true;
    while (walk_next(&w, &s)) {
        if (s.gap)
            io->gap_us += s.to_us - s.from_us;
        if (first)
            io->in_gap = s.gap && s.from_us > s.start->time_us;
        first = false;
        io->out_gap = s.gap && s.to_us < s.start[1].time_us;
    }
}

struct motion_stay motion_stay(const struct motion *m, struct path_interval when, double from_mm,
                               double to_mm)
{
    struct motion_stay stay = {0};
    struct walk w = walk_of(m, when);
    struct span s;
    while (walk_next(&w, &s)) {
        struct path_interval in;
        if (!span_inside(&s, from_mm, to_mm, &in))
            continue;
        if (stay.visits == 0)
            stay.t_in = in.from_us;
        if (stay.visits == 0 || in.from_us != stay.t_out)
            stay.visits++;
        stay.t_out = in.to_us;
    }
    if (stay.visits)
        stay_gaps(m, &stay);
    return stay;
}

bool motion_last_at(const struct motion *m, int64_t time_us, double mm, int64_t *ret)
{
    if (m->count == 0)
        return false;
    struct walk w = walk_of(m, (struct path_interval){m->points[0].time_us, time_us});
    struct span s;
    bool found = false;
    while (walk_next(&w, &s)) {
        if (!(s.from_mm <= mm && mm < s.to_mm))
            continue;
        *ret = span_time(&s, mm);
        found = true;
    }
    return found;
}

double motion_back_mm(const struct motion *m, struct path_interval when)
{
    struct walk w = walk_of(m, when);
    struct span s;
    double back = 0;
    while (walk_next(&w, &s))
        if (s.to_mm < s.from_mm)
            back += s.from_mm - s.to_mm;
    return back;
}

/* ------------------------------------------------------------------------------------------- paths
 */

/* Leaves points out while all of them stay within `width` of the line that is left. */
struct thinner {
    struct path *out;
    double width;
    struct path_point anchor;
    struct path_point last;
    double slope_low;
    double slope_high;
    bool has_last;
};

static void thinner_narrow(struct thinner *t, struct path_point p)
{
    double dt = (double)(p.time_us - t->anchor.time_us);
    double low = (p.mm - t->width - t->anchor.mm) / dt;
    double high = (p.mm + t->width - t->anchor.mm) / dt;
    t->slope_low = low > t->slope_low ? low : t->slope_low;
    t->slope_high = high < t->slope_high ? high : t->slope_high;
}

static int thinner_put(struct thinner *t, struct path_point p)
{
    int err = OK;
    if (t->out->count == 0) {
        t->anchor = p;
        t->slope_low = -HUGE_VAL;
        t->slope_high = HUGE_VAL;
        return path_add(t->out, p.time_us, p.mm);
    }
    if (p.time_us <= (t->has_last ? t->last.time_us : t->anchor.time_us))
        return OK;
    double slope = (p.mm - t->anchor.mm) / (double)(p.time_us - t->anchor.time_us);
    if (slope < t->slope_low || slope > t->slope_high) {
        err = path_add(t->out, t->last.time_us, t->last.mm);
        t->anchor = t->last;
        t->slope_low = -HUGE_VAL;
        t->slope_high = HUGE_VAL;
    }
    t->last = p;
    t->has_last = true;
    thinner_narrow(t, p);
    return err;
}

static double frame_mm(struct motion_frame f, double belt_mm)
{
    return f.track_mm + (belt_mm - f.belt_mm) * f.scale;
}

/* The parabola as so many chords that none is further from it than `width`. */
static int span_put(const struct span *s, struct motion_frame frame, struct thinner *t)
{
    double seconds = (double)(s->to_us - s->from_us) / SECOND_US;
    double n = ceil(seconds * sqrt(fabs(s->acceleration * frame.scale) / (8 * t->width)));
    uint32_t chords = n < 1 ? 1 : n > PATH_POINTS_MAX ? PATH_POINTS_MAX : (uint32_t)n;
    int err = OK;
    for (uint32_t i = 1; i <= chords && !err; i++) {
        struct path_point p = {s->to_us, s->to_mm};
        if (i < chords) {
            assert(s->start);
            p.time_us = s->from_us + (s->to_us - s->from_us) / chords * i;
            p.mm = parabola_mm(s->start, s->acceleration, p.time_us);
        }
        p.mm = frame_mm(frame, p.mm);
        err = thinner_put(t, p);
    }
    return err;
}

static int path_make(const struct motion *m, struct path_interval when, struct motion_frame frame,
                     double width, struct path *ret)
{
    struct thinner t = {.out = ret, .width = width};
    struct walk w = walk_of(m, when);
    struct span s;
    ret->count = 0;
    int err = thinner_put(
        &t, (struct path_point){when.from_us, frame_mm(frame, motion_mm(m, when.from_us))});
    while (!err && walk_next(&w, &s))
        err = span_put(&s, frame, &t);
    if (!err && t.has_last)
        err = path_add(ret, t.last.time_us, t.last.mm);
    return err;
}

int motion_path(const struct motion *m, struct path_interval when, struct motion_frame frame,
                struct path *ret)
{
    double width = MOTION_PATH_MM / 2;
    int err = path_make(m, when, frame, width, ret);
    while (!err && ret->count > PATH_POINTS_MAX) {
        width *= 2;
        err = path_make(m, when, frame, width, ret);
    }
    return err;
}

/* -------------------------------------------------------------------------------------- checkpoint
 */

void motion_encode(const struct motion *m, struct buf *out)
{
    (void)buf_append_le64(out, m->late);
    (void)buf_append_le64(out, (uint64_t)m->read_us);
    if (is_counted(m)) {
        (void)buf_append_double(out, m->read_mm);
        (void)buf_append_double(out, m->read_value);
        (void)buf_append_le64(out, m->anew);
    }
    (void)buf_append_varint(out, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        (void)buf_append_le64(out, (uint64_t)m->points[i].time_us);
        (void)buf_append_double(out, m->points[i].speed);
        (void)buf_append_double(out, m->points[i].mm);
        (void)buf_append_u8(out, m->points[i].gap);
    }
    (void)buf_append_varint(out, waiting_count(m));
    for (uint32_t i = m->waiting_first; i < m->waiting_end; i++) {
        (void)buf_append_le64(out, (uint64_t)m->waiting[i].time_us);
        (void)buf_append_double(out, m->waiting[i].value);
    }
}

static bool points_decode(struct motion *m, struct reader *in)
{
    uint64_t count = reader_varint(in);
    if (in->failed || count > MOTION_POINTS_MAX)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        struct motion_point p;
        p.time_us = get_time(in);
        p.speed = get_mm(in);
        p.mm = get_mm(in);
        p.gap = reader_u8(in) != 0;
        if (in->failed || (m->count && p.time_us <= motion_end_us(m)) || points_room(m) != OK)
            return false;
        m->points[m->count++] = p;
    }
    return true;
}

static bool waiting_decode(struct motion *m, struct reader *in)
{
    uint64_t count = reader_varint(in);
    if (in->failed || count > MOTION_WAITING_MAX)
        return false;
    int64_t before_us = motion_end_us(m);
    for (uint64_t i = 0; i < count; i++) {
        int64_t time_us = get_time(in);
        double value = reader_finite(in);
        if (in->failed || time_us <= before_us || motion_read(m, time_us, value) != OK)
            return false;
        before_us = time_us;
    }
    return true;
}

bool motion_decode(struct motion *m, struct reader *in)
{
    motion_reset(m);
    uint64_t late = reader_le64(in);
    m->read_us = get_time(in);
    if (is_counted(m)) {
        m->read_mm = get_mm(in);
        m->read_value = get_mm(in);
        m->anew = reader_le64(in);
    }
    bool ok = points_decode(m, in) && waiting_decode(m, in);
    ok = ok && (!m->count || m->read_us <= motion_end_us(m));
    if (!ok)
        motion_reset(m);
    m->late = ok ? late : 0;
    return ok;
}
