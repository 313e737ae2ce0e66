/* The values of all visits of a band, read at once: visits that follow one another are one stretch
 * of the points' table, since units on a belt overlap. See band.h. */
#include "trace/band.h"

#define JOIN_US ((int64_t)600 * 1000000) /* visits nearer than that are read as one stretch */

struct reading {
    const struct band_plan *plan;
    struct band_visit *visits;
    uint32_t count;
    int64_t longest_us;
};

/* The first visit that may hold the moment. */
static uint32_t visit_first(const struct reading *r, int64_t at)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (r->visits[middle].t_in <= at - r->longest_us)
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
    for (uint32_t i = visit_first(r, at); i < r->count && r->visits[i].t_in <= at; i++) {
        const struct band_visit *v = &r->visits[i];
        if (at >= v->t_out)
            continue;
        double part = (double)(at - v->t_in) / (double)(v->t_out - v->t_in);
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
    }
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
        for (i++; i < r->count && r->visits[i].t_in < cut.to_us + JOIN_US; i++)
            cut.to_us = r->visits[i].t_out > cut.to_us ? r->visits[i].t_out : cut.to_us;
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
