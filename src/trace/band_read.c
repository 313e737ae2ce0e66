/* The values of all visits of a band, read at once: visits that follow one another are one stretch
 * of the points' table, since units on a belt overlap. See band.h. */
#include "trace/band.h"

#include <stdlib.h>

#define JOIN_US ((int64_t)600 * 1000000) /* visits nearer than that are read as one stretch */

struct reading {
    const struct band_plan *plan;
    struct band_visit *visits;
    uint32_t count;
    int64_t longest_us;
    int64_t slack_us; /* by which some device's clock is off */
};

/* The first visit that may hold the moment. */
static uint32_t visit_first(const struct reading *r, int64_t at)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (r->visits[middle].t_in <= at - r->longest_us - r->slack_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int value_take(void *ctx, uint32_t who, const struct historian_value *value)
{
    const struct reading *r = ctx;
    uint32_t signal = 0;
    (void)who; /* visits overlap: each stretch is of several */
    while (signal < r->plan->count && r->plan->signals[signal].tag != value->tag)
        signal++;
    if (signal == r->plan->count)
        return OK;
    int64_t at = value->at;
    double number = value->raw * r->plan->signals[signal].scale + r->plan->signals[signal].offset;
    int64_t last = at + r->slack_us;
    for (uint32_t i = visit_first(r, at); i < r->count && r->visits[i].t_in <= last; i++) {
        const struct band_visit *v = &r->visits[i];
        struct clock_offset clock = v->offsets ? v->offsets[signal] : (struct clock_offset){0, 0};
        int64_t in = v->t_in + clock.in_us;
        int64_t out = v->t_out + clock.out_us;
        if (at < in || at >= out)
            continue;
        double part = (double)(at - in) / (double)(out - in);
        struct band_slot *slot =
            &v->slots[(size_t)signal * BAND_SLOTS + (uint32_t)(part * BAND_SLOTS)];
        slot->sum += number;
        slot->count++;
    }
    return OK;
}

static void tags_of(const struct band_plan *plan, struct historian_cut *ret)
{
    *ret = (struct historian_cut){.tag_from = UINT32_MAX};
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t tag = plan->signals[i].tag;
        ret->tag_from = tag < ret->tag_from ? tag : ret->tag_from;
        ret->tag_to = tag > ret->tag_to ? tag : ret->tag_to;
    }
}

static int64_t visit_slack(const struct band_plan *plan, const struct band_visit *v)
{
    int64_t slack = 0;
    for (uint32_t i = 0; v->offsets && i < plan->count; i++) {
        int64_t in = llabs(v->offsets[i].in_us);
        int64_t out = llabs(v->offsets[i].out_us);
        int64_t more = in > out ? in : out;
        slack = more > slack ? more : slack;
    }
    return slack;
}

/* From the first to the last visit. */
static void cut_all(struct reading *r, struct historian_cut *ret)
{
    tags_of(r->plan, ret);
    ret->from_us = r->visits[0].t_in;
    ret->to_us = INT64_MIN;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct band_visit *v = &r->visits[i];
        r->longest_us = v->t_out - v->t_in > r->longest_us ? v->t_out - v->t_in : r->longest_us;
        ret->to_us = v->t_out > ret->to_us ? v->t_out : ret->to_us;
        int64_t slack = visit_slack(r->plan, v);
        r->slack_us = slack > r->slack_us ? slack : r->slack_us;
    }
    ret->from_us -= r->slack_us;
    ret->to_us += r->slack_us;
}

/* Visits that lie near each other are one stretch, so that no value is told twice. */
static int stretches_add(const struct reading *r, const struct historian_cut *all,
                         struct historian_cuts *cuts)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < r->count;) {
        struct historian_cut cut = *all;
        cut.from_us = r->visits[i].t_in;
        cut.to_us = r->visits[i].t_out;
        /* Stretches do not overlap: what lies between two is in one of them. */
        int64_t join = JOIN_US + 2 * r->slack_us;
        for (i++; i < r->count && r->visits[i].t_in < cut.to_us + join; i++)
            cut.to_us = r->visits[i].t_out > cut.to_us ? r->visits[i].t_out : cut.to_us;
        cut.from_us -= r->slack_us;
        cut.to_us += r->slack_us;
        err = historian_cuts_add(cuts, &cut, 0);
    }
    return err;
}

int band_read(struct historian *historian, struct duck_conn *conn, const struct band_plan *plan,
              struct band_visit *visits, uint32_t count, struct diag *diag)
{
    struct reading r = {.plan = plan, .visits = visits, .count = count};
    struct historian_cuts cuts = {
        .historian = historian, .conn = conn, .diag = diag, .fn = value_take, .ctx = &r};
    struct historian_cut all;
    cut_all(&r, &all);
    int err = historian_cuts_begin(&cuts);
    if (!err)
        err = historian_cuts_find(&cuts, &all);
    if (!err)
        err = stretches_add(&r, &all, &cuts);
    if (!err)
        err = historian_cuts_flush(&cuts);
    if (!err)
        err = historian_cuts_add_open(&cuts, &all, 0);
    if (!err)
        err = historian_cuts_flush(&cuts);
    historian_cuts_fini(&cuts);
    return err;
}
