/* The values of many cuts by few statements: the curves of a unit's visits, the visits of a band.
 *
 * A statement costs a good part of a millisecond however little it reads, and passes over pieces
 * that nobody asks for nearly for nothing. So cuts whose pieces lie near each other are read by
 * one, and what lies between them is left out here. A piece that is not full yet is not in
 * point_ranges: it comes last, for all. */
#include "historian/historian_priv.h"

#include <math.h>

/* Pieces that one statement looks through: to begin one costs as much as to pass over so many. */
#define CUTS_SPAN_MAX 64

/* $1, $2 = pieces, $3, $4 = time, $5, $6 = tags */
static const char sql_values[] =
    "SELECT piece, tag, ts, coalesce(d, i::DOUBLE, u::DOUBLE) FROM points WHERE piece >= $1 AND "
    "piece <= $2 AND ts >= $3 AND ts < $4 AND tag >= $5 AND tag <= $6 AND quality = 0";

void historian_cut_widen(struct historian_cut *all, const struct historian_cut *by)
{
    all->tag_from = by->tag_from < all->tag_from ? by->tag_from : all->tag_from;
    all->tag_to = by->tag_to > all->tag_to ? by->tag_to : all->tag_to;
    all->from_us = by->from_us < all->from_us ? by->from_us : all->from_us;
    all->to_us = by->to_us > all->to_us ? by->to_us : all->to_us;
}

static struct historian_pieces pieces_both(const struct historian_pieces *a,
                                           const struct historian_pieces *b)
{
    return (struct historian_pieces){a->from < b->from ? a->from : b->from,
                                     a->to > b->to ? a->to : b->to};
}

/* A piece is read for whoever asks by one cut, so no value is told twice to the same. */
static int value_row(void *ctx, const struct value *cells, uint32_t count)
{
    const struct historian_cuts *c = ctx;
    int err = count == 4 ? OK : ERR_INTERNAL;
    if (err || cells[3].type != VALUE_DOUBLE || !isfinite(cells[3].f64))
        return err;
    int64_t piece = cells[0].i64;
    const struct historian_value v = {(uint32_t)cells[1].u64, cells[2].i64, cells[3].f64};
    for (uint32_t i = 0; !err && i < c->count; i++) {
        const struct historian_asked *a = &c->list[i];
        if (a->pieces.from <= piece && piece <= a->pieces.to && a->cut.from_us <= v.at &&
            v.at < a->cut.to_us && a->cut.tag_from <= v.tag && v.tag <= a->cut.tag_to)
            err = c->fn(c->ctx, a->who, &v);
    }
    return err;
}

int historian_cuts_flush(struct historian_cuts *c)
{
    struct historian_pieces pieces = c->list[0].pieces;
    struct historian_cut all = c->list[0].cut;
    struct duck_stmt *s = NULL;
    if (c->count == 0)
        return OK;
    for (uint32_t i = 1; i < c->count; i++) {
        pieces = pieces_both(&pieces, &c->list[i].pieces);
        historian_cut_widen(&all, &c->list[i].cut);
    }
    int err = duck_statement(c->conn, sql_values, &s, c->diag);
    if (!err)
        err = duck_bind_i64(s, 1, pieces.from);
    if (!err)
        err = duck_bind_i64(s, 2, pieces.to);
    if (!err)
        err = duck_bind_time(s, 3, all.from_us);
    if (!err)
        err = duck_bind_time(s, 4, all.to_us);
    if (!err)
        err = duck_bind_i64(s, 5, all.tag_from);
    if (!err)
        err = duck_bind_i64(s, 6, all.tag_to);
    if (!err)
        err = duck_run(s, value_row, c, c->diag);
    c->count = 0;
    return err;
}

/* Reads those before it if there are enough, or if it is too far from them. */
static int cuts_add(struct historian_cuts *c, const struct historian_asked *a)
{
    struct historian_pieces both = a->pieces;
    int err = OK;
    for (uint32_t i = 0; i < c->count; i++)
        both = pieces_both(&both, &c->list[i].pieces);
    bool open = a->pieces.to == c->open.to;
    bool far = !open && both.to - both.from > CUTS_SPAN_MAX;
    if (c->count == HISTORIAN_CUTS_MAX || (c->count && far))
        err = historian_cuts_flush(c);
    c->list[c->count++] = *a;
    return err;
}

int historian_cuts_begin(struct historian_cuts *c)
{
    struct historian *h = c->historian;
    c->count = 0;
    c->open_from_us = INT64_MIN;
    c->open_to_us = INT64_MAX;
    int err = ranges_open(c->conn, &c->open, c->diag);
    if (err)
        return err;
    (void)pthread_mutex_lock(&h->mutex);
    if (h->open.piece == c->open.from) {
        c->open_from_us = h->open.ts_from;
        c->open_to_us = h->open.ts_to;
    }
    (void)pthread_mutex_unlock(&h->mutex);
    return OK;
}

int historian_cuts_find(struct historian_cuts *c, const struct historian_cut *all)
{
    return ranges_read(c->conn, all, &c->ranges, c->diag);
}

int historian_cuts_add(struct historian_cuts *c, const struct historian_cut *cut, uint32_t who)
{
    struct historian_pieces pieces[HISTORIAN_CUTS_MAX];
    uint32_t count = ranges_pieces(&c->ranges, cut, pieces, HISTORIAN_CUTS_MAX);
    int err = OK;
    for (uint32_t k = 0; !err && k < count; k++) {
        struct historian_asked a = {pieces[k], *cut, who};
        /* It was open when that was asked: it comes with the others that were. */
        if (a.pieces.to >= c->open.from)
            a.pieces.to = c->open.from - 1;
        if (a.pieces.from <= a.pieces.to)
            err = cuts_add(c, &a);
    }
    return err;
}

int historian_cuts_add_open(struct historian_cuts *c, const struct historian_cut *cut, uint32_t who)
{
    const struct historian_asked a = {c->open, *cut, who};
    bool there = cut->from_us <= c->open_to_us && c->open_from_us < cut->to_us;
    return there ? cuts_add(c, &a) : OK;
}

void historian_cuts_fini(struct historian_cuts *c)
{
    ranges_found_fini(&c->ranges);
}
