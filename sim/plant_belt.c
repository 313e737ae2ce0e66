/* How the oven's belt truly moves: pieces of constant acceleration, made ahead as far as asked.
 *
 * Most of the time it runs at about its nominal speed, wandering by a percent. Now and then comes a
 * disturbance of the scenario: a stop, a ramp to another speed, a slip (the encoder shows more than
 * the belt moves) or a reversal. Units don't act back on the belt, so that its way is a function of
 * seed and time. */
#include "sim/plant.h"

#include <math.h>
#include <stdlib.h>

#define CRUISE_US    (20 * SECOND_US)
#define RAMP_US      (3 * SECOND_US) /* from one speed to another */
#define WANDER       0.01
#define NOMINAL_MM_S 12.0
#define BACK_PART    0.5   /* of the nominal speed, backwards */
#define ROOM_MM      120.0 /* a panel is put on the belt if it comes this far before a reversal */

static int64_t us_of(double s)
{
    return llround(s * 1e6);
}

static double s_between(int64_t from, int64_t to)
{
    return (double)(to - from) / 1e6;
}

/* Goes on for `length` to the speed `to`, from the one there is. */
static void piece_add(struct belt *b, int64_t length, double to, double slip)
{
    if (b->count == b->cap) {
        uint32_t cap = b->cap ? b->cap * 2 : 256;
        struct belt_piece *grown = realloc(b->pieces, cap * sizeof *grown);
        if (!grown) {
            b->failed = true;
            b->end_us += length; /* it runs on as it did: nobody waits for ever */
            return;
        }
        b->pieces = grown;
        b->cap = cap;
    }
    struct belt_piece piece = {.t_us = b->end_us, .v = to, .slip = slip};
    if (b->count > 0) {
        const struct belt_piece *last = &b->pieces[b->count - 1];
        double dt = s_between(last->t_us, b->end_us);
        piece.v = last->v + last->a * dt;
        piece.mm = last->mm + last->v * dt + last->a * dt * dt / 2;
    }
    piece.a = (to - piece.v) / ((double)length / 1e6);
    b->pieces[b->count++] = piece;
    b->end_us += length;
}

static double wandering(struct belt *b)
{
    double swaying = b->nominal * sway(b->scenario, OVEN, b->end_us + CRUISE_US);
    return swaying * (1 + WANDER * rand_normal(&b->rand) * b->scenario->noise);
}

static double per_hour(const struct scenario *s)
{
    return s->stops.per_hour + s->ramps.per_hour + s->slips.per_hour + s->reversals.per_hour;
}

static int64_t next_trouble(struct belt *b)
{
    double rate = per_hour(b->scenario);
    double draw = rand_double(&b->rand);
    return rate > 0 ? us_of(3600.0 * -log(1 - draw) / rate) : INT64_MAX / 4;
}

static void reverse(struct belt *b, int64_t ramp)
{
    double back = BACK_PART * b->nominal;
    double way = b->scenario->reversals.size - back * (double)ramp / 1e6; /* of both ramps */
    piece_add(b, ramp, 0, 0);
    piece_add(b, ramp, -back, 0);
    if (way > 0)
        piece_add(b, us_of(way / back), -back, 0);
    piece_add(b, ramp, 0, 0);
    piece_add(b, ramp, wandering(b), 0);
}

/* One of the scenario's disturbances, by their rates. */
static void disturb(struct belt *b)
{
    const struct scenario *s = b->scenario;
    double pick = rand_double(&b->rand) * per_hour(s);
    int64_t ramp = us_of((double)RAMP_US / 1e6 * NOMINAL_MM_S / b->nominal);
    if ((pick -= s->stops.per_hour) < 0) {
        piece_add(b, ramp, 0, 0);
        piece_add(b, s->stops.length_us, 0, 0);
        piece_add(b, ramp, wandering(b), 0);
    } else if ((pick -= s->ramps.per_hour) < 0) {
        piece_add(b, ramp * 3, b->nominal * s->ramps.size, 0);
        piece_add(b, s->ramps.length_us, b->nominal * s->ramps.size, 0);
        piece_add(b, ramp * 3, wandering(b), 0);
    } else if ((pick - s->slips.per_hour) < 0) {
        piece_add(b, s->slips.length_us, b->nominal * (1 - s->slips.size), s->slips.size);
        piece_add(b, ramp, wandering(b), 0);
    } else {
        reverse(b, ramp);
    }
}

static void belt_reach(struct belt *b, int64_t t)
{
    while (b->end_us <= t) {
        if (b->end_us < b->trouble_us) {
            piece_add(b, CRUISE_US, wandering(b), 0);
            continue;
        }
        disturb(b);
        b->trouble_us = b->end_us + next_trouble(b);
    }
}

void belt_start(struct belt *b, const struct scenario *s)
{
    *b = (struct belt){.scenario = s};
    rand_seed(&b->rand, s->seed * 4 + 1);
    b->nominal = NOMINAL_MM_S * (double)NOMINAL_TAKT_US / (double)s->takt_us;
    b->trouble_us = next_trouble(b);
    piece_add(b, CRUISE_US, b->nominal, 0);
}

void belt_free(struct belt *b)
{
    free(b->pieces);
    *b = (struct belt){0};
}

static uint32_t piece_at(const struct belt *b, int64_t t)
{
    uint32_t low = 0;
    uint32_t high = b->count;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (b->pieces[middle].t_us <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int64_t piece_end(const struct belt *b, uint32_t i)
{
    return i + 1 < b->count ? b->pieces[i + 1].t_us : b->end_us;
}

static double piece_mm(const struct belt_piece *piece, int64_t t)
{
    double dt = s_between(piece->t_us, t);
    return piece->mm + piece->v * dt + piece->a * dt * dt / 2;
}

double belt_mm(struct belt *b, int64_t t)
{
    belt_reach(b, t);
    return b->count ? piece_mm(&b->pieces[piece_at(b, t)], t) : 0;
}

double belt_speed(struct belt *b, int64_t t)
{
    belt_reach(b, t);
    if (b->count == 0)
        return 0;
    const struct belt_piece *piece = &b->pieces[piece_at(b, t)];
    return piece->v + piece->a * s_between(piece->t_us, t);
}

double belt_encoder(struct belt *b, int64_t t)
{
    double v = belt_speed(b, t);
    return b->count ? v / (1 - b->pieces[piece_at(b, t)].slip) : 0;
}

/* When the piece comes up to mm within [from, to): halving, since speed may change its sign in it.
 * The belt is below mm at `from` and at or above it at `to`. */
static int64_t halve(const struct belt_piece *piece, int64_t from, int64_t to, double mm)
{
    while (to - from > 1) {
        int64_t middle = from + (to - from) / 2;
        if (piece_mm(piece, middle) < mm)
            from = middle;
        else
            to = middle;
    }
    return to;
}

int64_t belt_when(struct belt *b, int64_t t, double mm)
{
    belt_reach(b, t);
    uint32_t i = piece_at(b, t);
    if (b->failed || piece_mm(&b->pieces[i], t) >= mm)
        return t;
    for (;; i++) {
        belt_reach(b, b->pieces[i].t_us + 1);
        if (i + 1 == b->count)
            belt_reach(b, b->end_us);
        if (b->failed)
            return b->end_us;
        int64_t from = b->pieces[i].t_us > t ? b->pieces[i].t_us : t;
        int64_t end = piece_end(b, i);
        if (piece_mm(&b->pieces[i], end) >= mm)
            return halve(&b->pieces[i], from, end, mm);
    }
}

int64_t belt_when_last(struct belt *b, int64_t t, int64_t end, double mm)
{
    belt_reach(b, end);
    for (uint32_t i = piece_at(b, end) + 1; i-- > 0;) {
        int64_t from = b->pieces[i].t_us > t ? b->pieces[i].t_us : t;
        int64_t to = piece_end(b, i) < end ? piece_end(b, i) : end;
        if (piece_mm(&b->pieces[i], from) < mm)
            return piece_mm(&b->pieces[i], to) < mm ? to : halve(&b->pieces[i], from, to, mm);
        if (from == t)
            break;
    }
    return t;
}

int64_t belt_when_free(struct belt *b, int64_t t, double mm)
{
    t = belt_when(b, t, mm);
    for (;;) {
        int64_t sure = belt_when(b, t, belt_mm(b, t) + ROOM_MM);
        uint32_t i = piece_at(b, t);
        if (b->failed)
            return t;
        if (belt_speed(b, t) <= 0) {
            t = piece_end(b, i); /* it stands, or runs back */
            continue;
        }
        bool back = false;
        for (; i < b->count && b->pieces[i].t_us < sure; i++) {
            int64_t end = piece_end(b, i);
            if (b->pieces[i].v + b->pieces[i].a * s_between(b->pieces[i].t_us, end) < -1e-9) {
                back = true;
                t = end;
            }
        }
        if (!back)
            return t;
    }
}

void belt_trim(struct belt *b, int64_t t)
{
    uint32_t keep = piece_at(b, t);
    if (keep < b->count / 2)
        return; /* moved seldom, half of them at a time */
    memmove(b->pieces, b->pieces + keep, (b->count - keep) * sizeof *b->pieces);
    b->count -= keep;
}

static void path_point(struct plant *p, int64_t t, double mm, struct buf *out)
{
    (void)buf_printf(out, "%s[%lld,%.2f]", out->ptr[out->len - 1] == '[' ? "" : ",",
                     (long long)plant_wall(p, t), belt_mm(&p->belt, t) - mm);
}

void belt_print_path(struct plant *p, int64_t from, int64_t to, double mm, struct buf *out)
{
    const struct belt *b = &p->belt;
    if (buf_append_text(out, "["))
        return;
    path_point(p, from, mm, out);
    for (uint32_t i = piece_at(b, from); i < b->count && b->pieces[i].t_us < to; i++) {
        const struct belt_piece *piece = &b->pieces[i];
        int64_t end = piece_end(b, i) < to ? piece_end(b, i) : to;
        int64_t begin = piece->t_us > from ? piece->t_us : from;
        double bow = fabs(piece->a) * pow(s_between(begin, end), 2) / 8;
        unsigned parts = bow > 0.5 ? (unsigned)ceil(sqrt(bow / 0.5)) : 1;
        for (unsigned k = 1; k <= parts; k++)
            path_point(p, begin + (end - begin) * k / parts, mm, out);
    }
    (void)buf_append_text(out, "]");
}
