/* The values of all visits of a band, read at once: visits that follow one another are one stretch
 * of the points' table, since units on a belt overlap. See band.h. */
#include "trace/band.h"

#include <math.h>

#define JOIN_US    ((int64_t)600 * 1000000) /* visits nearer than that are read as one stretch */
#define PIECES_MAX 16                       /* stretches of rows of one stretch of time */

/* $1, $2 = pieces, $3, $4 = time, $5, $6 = tags */
static const char sql_values[] =
    "SELECT tag, ts, coalesce(d, i::DOUBLE, u::DOUBLE) FROM points WHERE piece >= $1 AND piece <= "
    "$2 AND ts >= $3 AND ts < $4 AND tag >= $5 AND tag <= $6 AND quality = 0";

struct reading {
    struct duck_conn *conn;
    const struct band_plan *plan;
    struct band_visit *visits;
    uint32_t count;
    struct historian_ranges ranges;
    int64_t longest_us;
    struct diag *diag;
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

static int value_row(void *ctx, const struct value *cells, uint32_t count)
{
    const struct reading *r = ctx;
    if (count != 3 || cells[2].type != VALUE_DOUBLE || !isfinite(cells[2].f64))
        return OK;
    uint32_t signal = 0;
    while (signal < r->plan->count && r->plan->signals[signal].tag != (uint32_t)cells[0].u64)
        signal++;
    if (signal == r->plan->count)
        return OK;
    int64_t at = cells[1].i64;
    double value = cells[2].f64 * r->plan->signals[signal].scale + r->plan->signals[signal].offset;
    for (uint32_t i = visit_first(r, at); i < r->count && r->visits[i].t_in <= at; i++) {
        const struct band_visit *v = &r->visits[i];
        if (at >= v->t_out)
            continue;
        double part = (double)(at - v->t_in) / (double)(v->t_out - v->t_in);
        struct band_slot *slot =
            &v->slots[(size_t)signal * BAND_SLOTS + (uint32_t)(part * BAND_SLOTS)];
        slot->sum += value;
        slot->count++;
    }
    return OK;
}

static int values_read(struct reading *r, const struct historian_pieces *pieces,
                       const struct historian_cut *cut)
{
    struct duck_stmt *s = NULL;
    int err = duck_statement(r->conn, sql_values, &s, r->diag);
    if (!err)
        err = duck_bind_i64(s, 1, pieces->from);
    if (!err)
        err = duck_bind_i64(s, 2, pieces->to);
    if (!err)
        err = duck_bind_time(s, 3, cut->from_us);
    if (!err)
        err = duck_bind_time(s, 4, cut->to_us);
    if (!err)
        err = duck_bind_i64(s, 5, cut->tag_from);
    if (!err)
        err = duck_bind_i64(s, 6, cut->tag_to);
    return err ? err : duck_run(s, value_row, r, r->diag);
}

/* What is not full yet comes at the end, once. */
static int stretch_read(struct reading *r, const struct historian_cut *cut,
                        const struct historian_pieces *open)
{
    struct historian_pieces pieces[PIECES_MAX];
    uint32_t count = historian_ranges_pieces(&r->ranges, cut, pieces, PIECES_MAX);
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        if (pieces[i].to >= open->from)
            pieces[i].to = open->from - 1;
        if (pieces[i].from <= pieces[i].to)
            err = values_read(r, &pieces[i], cut);
    }
    return err;
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

int band_read(struct duck_conn *conn, const struct band_plan *plan, struct band_visit *visits,
              uint32_t count, struct diag *diag)
{
    struct reading r = {.conn = conn, .plan = plan, .visits = visits, .count = count, .diag = diag};
    struct historian_pieces open = {0};
    struct historian_cut all;
    cut_all(&r, &all);
    int err = historian_pieces_open(conn, &open, diag);
    if (!err)
        err = historian_ranges_read(conn, &all, &r.ranges, diag);
    for (uint32_t i = 0; !err && i < count;) {
        struct historian_cut cut = all;
        cut.from_us = visits[i].t_in;
        cut.to_us = visits[i].t_out;
        for (i++; i < count && visits[i].t_in < cut.to_us + JOIN_US; i++)
            cut.to_us = visits[i].t_out > cut.to_us ? visits[i].t_out : cut.to_us;
        err = stretch_read(&r, &cut, &open);
    }
    historian_ranges_fini(&r.ranges);
    return err ? err : values_read(&r, &open, &all);
}
