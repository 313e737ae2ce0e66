/* How far one clock is from another. See skew.h. */
#include "track/skew.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------------------------- line
 */

int64_t skew_line_offset(const struct skew_line *line, int64_t own_us)
{
    return llround(line->offset_us + line->rate * (double)(own_us - line->at_us));
}

/* Through the pairs: their mean, and their rate where they tell one more surely than their noise
 * does. Times are taken from the latest pair on, so that the sums stay small. */
static struct skew_line line_of(const struct skew *s)
{
    const struct skew_pair *last = &s->pairs[s->pair_count - 1];
    double n = s->pair_count;
    double t_mean = 0;
    double o_mean = 0;
    double tt = 0;
    double to = 0;
    double rest = 0;
    for (uint32_t i = 0; i < s->pair_count; i++) {
        t_mean += (double)(s->pairs[i].own_us - last->own_us) / n;
        o_mean += (double)(s->pairs[i].offset_us - last->offset_us) / n;
    }
    for (uint32_t i = 0; i < s->pair_count; i++) {
        double t = (double)(s->pairs[i].own_us - last->own_us) - t_mean;
        double o = (double)(s->pairs[i].offset_us - last->offset_us) - o_mean;
        tt += t * t;
        to += t * o;
    }
    double rate = s->pair_count >= 4 && tt > 0 ? to / tt : 0;
    for (uint32_t i = 0; i < s->pair_count && rate != 0; i++) {
        double t = (double)(s->pairs[i].own_us - last->own_us) - t_mean;
        double o = (double)(s->pairs[i].offset_us - last->offset_us) - o_mean;
        rest += (o - rate * t) * (o - rate * t);
    }
    bool sure = rate != 0 && rate * rate > 4 * rest / (n - 2) / tt;
    if (!sure || fabs(rate) > s->options.rate_max)
        rate = 0;
    return (struct skew_line){last->own_us, (double)last->offset_us + o_mean - rate * t_mean, rate};
}

/* ---------------------------------------------------------------------------------------- points
 */

static void point_add(struct skew *s, int64_t own_us, const struct skew_line *line)
{
    int64_t offset = skew_line_offset(line, own_us);
    struct skew_point p = {own_us - offset, offset};
    if (s->point_count == SKEW_POINTS_MAX) {
        memmove(s->points, s->points + 1, (SKEW_POINTS_MAX - 1) * sizeof *s->points);
        s->point_count--;
    }
    if (s->point_count && p.time_us < s->points[s->point_count - 1].time_us)
        p.time_us = s->points[s->point_count - 1].time_us;
    s->points[s->point_count++] = p;
}

static int64_t between(const struct skew_point *a, const struct skew_point *b, int64_t time_us)
{
    double part = (double)(time_us - a->time_us) / (double)(b->time_us - a->time_us);
    return a->offset_us + llround(part * (double)(b->offset_us - a->offset_us));
}

int64_t skew_offset(const struct skew *s, int64_t time_us)
{
    uint32_t at = s->point_count;
    while (at > 0 && s->points[at - 1].time_us > time_us)
        at--;
    if (at == s->point_count)
        return at ? skew_line_offset(&s->line, time_us + s->points[at - 1].offset_us) : 0;
    if (at == 0)
        return s->points[0].offset_us;
    return between(&s->points[at - 1], &s->points[at], time_us);
}

/* ----------------------------------------------------------------------------------------- pairs
 */

static void events_drop(struct skew *s, enum skew_side side, uint32_t count)
{
    uint32_t left = s->event_count[side] - count;
    memmove(s->events[side], s->events[side] + count, left * sizeof s->events[side][0]);
    s->event_count[side] = left;
}

/* The events of both sides at these places; those before them have no other half any more. */
static void pair_add(struct skew *s, uint32_t reference, uint32_t own)
{
    int64_t own_us = s->events[SKEW_OWN][own].time_us;
    struct skew_pair pair = {own_us, own_us - s->events[SKEW_REFERENCE][reference].time_us};
    if (s->pair_count == SKEW_PAIRS_MAX) {
        memmove(s->pairs, s->pairs + 1, (SKEW_PAIRS_MAX - 1) * sizeof *s->pairs);
        s->pair_count--;
    }
    s->pairs[s->pair_count++] = pair;
    events_drop(s, SKEW_REFERENCE, reference + 1);
    events_drop(s, SKEW_OWN, own + 1);
}

int64_t skew_paired_us(const struct skew *s)
{
    return s->pair_count ? s->pairs[s->pair_count - 1].own_us : INT64_MIN;
}

/* The offset that these two would mean; false if they can be no pair. */
static bool pair_offset(const struct skew *s, uint32_t reference, uint32_t own, int64_t *ret)
{
    const struct skew_event *a = &s->events[SKEW_REFERENCE][reference];
    const struct skew_event *b = &s->events[SKEW_OWN][own];
    *ret = b->time_us - a->time_us;
    return llabs(*ret) <= s->options.offset_max_us &&
           (!s->options.by_value || a->value == b->value);
}

/* Of the newest event of `side`: the other half that the line expects. */
static bool pair_expected(struct skew *s, enum skew_side side)
{
    uint32_t newest = s->event_count[side] - 1;
    enum skew_side other = side == SKEW_OWN ? SKEW_REFERENCE : SKEW_OWN;
    double best = (double)INFINITY;
    uint32_t found = 0;
    for (uint32_t i = 0; s->known && i < s->event_count[other]; i++) {
        uint32_t reference = side == SKEW_OWN ? i : newest;
        uint32_t own = side == SKEW_OWN ? newest : i;
        int64_t offset = 0;
        if (!pair_offset(s, reference, own, &offset))
            continue;
        int64_t own_us = s->events[SKEW_OWN][own].time_us;
        double age = fabs((double)(own_us - skew_paired_us(s)));
        double away = fabs((double)(offset - skew_line_offset(&s->line, own_us)));
        if (away > (double)s->options.tolerance_us + s->options.rate_max * age || away >= best)
            continue;
        best = away;
        found = i;
    }
    if (isinf(best))
        return false;
    pair_add(s, side == SKEW_OWN ? found : newest, side == SKEW_OWN ? newest : found);
    return true;
}

/* ----------------------------------------------------------------------------------------- steps
 */

struct vote {
    int64_t offset_us;
    uint8_t reference;
    uint8_t own;
};

_Static_assert(SKEW_EVENTS_MAX <= 32, "a set of events is 32 bits");

static int vote_compare(const void *a, const void *b)
{
    const struct vote *x = a;
    const struct vote *y = b;
    return (x->offset_us > y->offset_us) - (x->offset_us < y->offset_us);
}

static uint32_t votes_cast(const struct skew *s,
                           struct vote votes[static SKEW_EVENTS_MAX * SKEW_EVENTS_MAX])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->event_count[SKEW_REFERENCE]; i++) {
        for (uint32_t k = 0; k < s->event_count[SKEW_OWN]; k++) {
            int64_t offset = 0;
            if (pair_offset(s, i, k, &offset))
                votes[n++] = (struct vote){offset, (uint8_t)i, (uint8_t)k};
        }
    }
    qsort(votes, n, sizeof *votes, vote_compare);
    return n;
}

/* How many pairs there are among the votes from `first` on that are no farther than `width` above
 * it: each event is in one of them. ret_end: behind the last. */
static uint32_t votes_alike(const struct vote *votes, uint32_t n, uint32_t first, int64_t width,
                            uint32_t *ret_end)
{
    uint32_t references = 0;
    uint32_t owns = 0;
    uint32_t i = first;
    for (; i < n && votes[i].offset_us - votes[first].offset_us <= width; i++) {
        references |= UINT32_C(1) << votes[i].reference;
        owns |= UINT32_C(1) << votes[i].own;
    }
    *ret_end = i;
    uint32_t a = (uint32_t)__builtin_popcount(references);
    uint32_t b = (uint32_t)__builtin_popcount(owns);
    return a < b ? a : b;
}

/* The offset that most pairs agree on, if no other one has half as many. */
static bool votes_count(const struct skew *s, const struct vote *votes, uint32_t n,
                        int64_t *ret_from, int64_t *ret_to)
{
    int64_t width = 2 * s->options.tolerance_us;
    uint32_t need = !s->options.by_value ? SKEW_EDGES_MIN : s->known ? SKEW_VALUES_MIN : 1;
    uint32_t best = 0;
    uint32_t second = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t count = votes_alike(votes, n, i, width, &end);
        if (count <= best)
            continue;
        best = count;
        *ret_from = votes[i].offset_us;
        *ret_to = votes[end - 1].offset_us;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool apart = votes[i].offset_us > *ret_to + width;
        uint32_t count = votes_alike(votes, n, i, width, &end);
        apart = apart || votes[end - 1].offset_us < *ret_from - width;
        second = apart && count > second ? count : second;
    }
    return best >= need && 2 * second <= best;
}

/* Pairs whose offset is in [from, to], in the order of their own events. */
static void pairs_take(struct skew *s, int64_t from, int64_t to)
{
    uint32_t own = 0;
    while (own < s->event_count[SKEW_OWN]) {
        uint32_t reference = 0;
        int64_t offset = 0;
        while (reference < s->event_count[SKEW_REFERENCE] &&
               !(pair_offset(s, reference, own, &offset) && offset >= from && offset <= to))
            reference++;
        if (reference < s->event_count[SKEW_REFERENCE]) {
            pair_add(s, reference, own);
            own = 0;
        } else {
            own++;
        }
    }
}

static bool step_found(struct skew *s)
{
    struct vote votes[SKEW_EVENTS_MAX * SKEW_EVENTS_MAX];
    int64_t from = 0;
    int64_t to = 0;
    uint32_t n = votes_cast(s, votes);
    if (!n || !votes_count(s, votes, n, &from, &to))
        return false;
    s->before = s->line;
    s->pair_count = 0;
    pairs_take(s, from, to);
    s->line = line_of(s);
    return true;
}

void skew_stepped(struct skew *s, int64_t last_us, int64_t first_us)
{
    point_add(s, last_us, &s->before);
    point_add(s, first_us, &s->line);
    for (uint32_t i = 0; i < s->pair_count; i++)
        if (s->pairs[i].own_us > first_us)
            point_add(s, s->pairs[i].own_us, &s->line);
}

/* ---------------------------------------------------------------------------------------- events
 */

/* Whether this one came before: the reference's clock never goes back, the other one may. */
static bool event_is_known(const struct skew *s, enum skew_side side, int64_t time_us)
{
    if (side == SKEW_REFERENCE)
        return s->has_reference && time_us <= s->reference_us;
    for (uint32_t i = 0; i < s->seen_count && i < SKEW_EVENTS_MAX; i++)
        if (s->seen[i] == time_us)
            return true;
    return false;
}

static void event_add(struct skew *s, enum skew_side side, int64_t time_us, uint64_t value)
{
    if (s->event_count[side] == SKEW_EVENTS_MAX)
        events_drop(s, side, 1);
    s->events[side][s->event_count[side]++] = (struct skew_event){time_us, value};
    if (side == SKEW_REFERENCE) {
        s->has_reference = true;
        s->reference_us = time_us;
        return;
    }
    s->seen[s->seen_count % SKEW_EVENTS_MAX] = time_us;
    s->seen_count = s->seen_count + 1 < 2 * SKEW_EVENTS_MAX ? s->seen_count + 1 : SKEW_EVENTS_MAX;
}

enum skew_found skew_event(struct skew *s, enum skew_side side, int64_t time_us, uint64_t value)
{
    if (side == SKEW_REFERENCE)
        time_us += s->options.delay_us;
    if (event_is_known(s, side, time_us))
        return SKEW_NONE;
    event_add(s, side, time_us, value);
    if (pair_expected(s, side)) {
        s->line = line_of(s);
        point_add(s, skew_paired_us(s), &s->line);
        return SKEW_PAIR;
    }
    if (!step_found(s))
        return SKEW_NONE;
    bool first = !s->known;
    s->known = true;
    if (!first)
        return SKEW_STEP;
    for (uint32_t i = 0; i < s->pair_count; i++)
        point_add(s, s->pairs[i].own_us, &s->line);
    return SKEW_PAIR;
}

bool skew_is_lost(const struct skew *s)
{
    return s->event_count[SKEW_REFERENCE] >= SKEW_LOST && s->event_count[SKEW_OWN] >= SKEW_LOST;
}
