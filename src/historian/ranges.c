/* Where in `points` the values of a tag and a time lie, so that a curve is cut out of hundreds of
 * millions of rows without reading them.
 *
 * DuckDB keeps the smallest and largest time of each of its row groups, and that would do if rows
 * came in the order of time. They do not: while one edge catches up, or a past is imported, devices
 * that do not answer give rows of the present, and a single one of them in a row group makes it
 * look as if it reached until now. Nothing could be passed over, and one curve read the whole
 * table.
 *
 * So every row has the number of its piece, which only grows, and DuckDB does pass over the pieces
 * that nobody asks for. `point_ranges` has for each piece, by some tags that follow one another,
 * from when to when its good values are. (What is not good has no value to be drawn.) The piece
 * that is not full yet has no rows there and is always read. A piece of many tags gets wider groups
 * of them, never more than RANGE_GROUPS_MAX.
 *
 * The table holds nothing that the points do not: what is missing is made when the file is opened.
 */
#include "base/array.h"
#include "base/log.h"
#include "historian/historian_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANGE_SHIFT 4 /* a group begins with 1 << RANGE_SHIFT tags, and so says RANGES_OF */
/* Of a group without good values: later than everything, and earlier. */
#define RANGE_NEVER_US  ((int64_t)253402214400000000) /* 9999-12-31 */
#define RANGE_NEVER_SQL "TIMESTAMP '9999-12-31'"
#define RANGE_FIRST_SQL "TIMESTAMP '1970-01-01'"

const struct duck_column range_columns[RANGE_COLUMN_COUNT] = {
    {"piece", DUCK_I32, false},    {"tag_from", DUCK_U32, false}, {"tag_to", DUCK_U32, false},
    {"ts_from", DUCK_TIME, false}, {"ts_to", DUCK_TIME, false},
};

/* Rows from before there were pieces are one of their own. */
const char range_ddl[] =
    "ALTER TABLE points ADD COLUMN IF NOT EXISTS piece INTEGER DEFAULT -1;"
    "CREATE TABLE IF NOT EXISTS point_ranges(piece INTEGER NOT NULL, tag_from UINTEGER NOT NULL, "
    "tag_to UINTEGER NOT NULL, ts_from TIMESTAMP NOT NULL, ts_to TIMESTAMP NOT NULL)";

/* $1: the first piece that is missing. */
static const char sql_make[] =
    "INSERT INTO point_ranges SELECT piece, min(tag), max(tag), coalesce(min(ts) FILTER (quality = "
    "0), " RANGE_NEVER_SQL "), coalesce(max(ts) FILTER (quality = 0), " RANGE_FIRST_SQL
    ") FROM points WHERE piece >= $1 GROUP BY piece, tag // 16 ORDER BY piece, min(tag)";

/* ---------------------------------------------------------------------------------------- groups
 */

static void group_widen(struct range *to, const struct range *by)
{
    to->tag_from = by->tag_from < to->tag_from ? by->tag_from : to->tag_from;
    to->tag_to = by->tag_to > to->tag_to ? by->tag_to : to->tag_to;
    to->ts_from = by->ts_from < to->ts_from ? by->ts_from : to->ts_from;
    to->ts_to = by->ts_to > to->ts_to ? by->ts_to : to->ts_to;
}

/* The list has room for one more than the limit. */
static void group_add(struct ranges *r, const struct range *one)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->list[i].tag_from >> r->shift != one->tag_from >> r->shift)
            continue;
        group_widen(&r->list[i], one);
        return;
    }
    r->list[r->count++] = *one;
}

/* Wider groups until they are few enough. */
static void groups_limit(struct ranges *r)
{
    while (r->count > RANGE_GROUPS_MAX) {
        uint32_t count = r->count;
        r->shift++;
        r->count = 0;
        for (uint32_t i = 0; i < count; i++) {
            struct range one = r->list[i];
            group_add(r, &one);
        }
    }
}

static void ranges_take(struct ranges *r, const struct range *one)
{
    /* Points come in the order of their tags: mostly it is the group of the one before. */
    struct range *last = r->count ? &r->list[r->count - 1] : NULL;
    if (last && last->tag_from >> r->shift == one->tag_from >> r->shift) {
        group_widen(last, one);
        return;
    }
    group_add(r, one);
    groups_limit(r);
}

static int piece_end(struct ranges *r)
{
    struct range *full =
        array_room(r->full, r->full_count + r->count, &r->full_cap, 64, sizeof *full);
    if (!full)
        return ERR_NOMEM;
    r->full = full;
    for (uint32_t i = 0; i < r->count; i++) {
        r->full[r->full_count] = r->list[i];
        r->full[r->full_count++].piece = r->piece;
    }
    r->piece++;
    r->rows = 0;
    r->count = 0;
    r->shift = RANGE_SHIFT;
    return OK;
}

int ranges_add(struct ranges *r, const uint32_t *tags, const int64_t *ts, const uint8_t *quality,
               uint32_t count, int32_t *ret_pieces)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        bool good = quality[i] == QUALITY_GOOD;
        const struct range one = {.tag_from = tags[i],
                                  .tag_to = tags[i],
                                  .ts_from = good ? ts[i] : RANGE_NEVER_US,
                                  .ts_to = good ? ts[i] : 0};
        ranges_take(r, &one);
        ret_pieces[i] = r->piece;
        if (++r->rows == RANGE_ROWS)
            err = piece_end(r);
    }
    return err;
}

void ranges_span(const struct ranges *r, int64_t *ret_from, int64_t *ret_to)
{
    struct range all = {.ts_from = RANGE_NEVER_US};
    for (uint32_t i = 0; i < r->full_count; i++)
        group_widen(&all, &r->full[i]);
    for (uint32_t i = 0; i < r->count; i++)
        group_widen(&all, &r->list[i]);
    *ret_from = all.ts_from;
    *ret_to = all.ts_to;
}

/* --------------------------------------------------------------------------------------- writing
 */

static void range_fill(const struct duck_vector *v, uint32_t row, const struct range *g)
{
    ((int32_t *)v[0].data)[row] = g->piece;
    ((uint32_t *)v[1].data)[row] = g->tag_from;
    ((uint32_t *)v[2].data)[row] = g->tag_to;
    ((int64_t *)v[3].data)[row] = g->ts_from;
    ((int64_t *)v[4].data)[row] = g->ts_to;
}

int ranges_write(struct ranges *r, struct duck_appender *a, struct diag *diag)
{
    uint32_t rows = 0;
    int err = OK;
    for (uint32_t i = 0; !err && i < r->full_count; i++) {
        range_fill(duck_appender_vectors(a), rows, &r->full[i]);
        if (++rows < DUCK_CHUNK_ROWS)
            continue;
        err = duck_appender_push(a, rows, diag);
        rows = 0;
    }
    if (!err && rows)
        err = duck_appender_push(a, rows, diag);
    if (!err && r->full_count)
        err = duck_appender_flush(a, diag);
    r->full_count = 0;
    return err;
}

void ranges_fini(struct ranges *r)
{
    free(r->full);
    *r = (struct ranges){.shift = RANGE_SHIFT};
}

/* --------------------------------------------------------------------------------------- opening
 */

/* Runs a statement that has a number to know, and may answer with one. */
static int number_run(struct duck_conn *c, const char *sql, int64_t number, int64_t *ret,
                      struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_prepare(c, sql, &s, diag);
    if (!err)
        err = duck_bind_i64(s, 1, number);
    if (!err)
        err = duck_run(s, ret ? duck_row_i64 : NULL, ret, diag);
    duck_stmt_free(s);
    return err;
}

int ranges_load(struct ranges *r, struct duck_conn *c, struct diag *diag)
{
    int64_t missing = -1;
    int64_t last = -2;
    ranges_fini(r);
    int err = number_run(c, "SELECT max(piece) + $1 FROM point_ranges", 1, &missing, diag);
    if (!err)
        err =
            number_run(c, "SELECT max(piece) FROM points WHERE piece >= $1", missing, &last, diag);
    if (!err && last >= missing)
        err = number_run(c, sql_make, missing, NULL, diag);
    if (!err && last > missing)
        log_info("historian", "where its points lie was noted: %" PRId64 " pieces",
                 last - missing + 1);
    int64_t next = last >= missing ? last + 1 : missing;
    r->piece = (int32_t)(next > 0 ? next : 0);
    return err;
}

/* --------------------------------------------------------------------------------------- finding
 */

/* $1, $2 = tags, $3, $4 = time */
static const char sql_ranges[] =
    "SELECT piece, tag_from, tag_to, ts_from, ts_to FROM point_ranges WHERE ts_from < $4 AND ts_to "
    ">= $3 AND tag_from <= $2 AND tag_to >= $1 ORDER BY piece";
static const char sql_open[] = "SELECT coalesce(max(piece) + 1, 0) FROM point_ranges";

static int range_row(void *ctx, const struct value *c, uint32_t count)
{
    struct historian_ranges *r = ctx;
    struct range *list = array_room(r->list, r->count, &r->cap, 64, sizeof *list);
    if (count != 5 || !list)
        return ERR_NOMEM;
    r->list = list;
    r->list[r->count++] = (struct range){.piece = (int32_t)c[0].i64,
                                         .tag_from = (uint32_t)c[1].u64,
                                         .tag_to = (uint32_t)c[2].u64,
                                         .ts_from = c[3].i64,
                                         .ts_to = c[4].i64};
    return OK;
}

int ranges_read(struct duck_conn *c, const struct historian_cut *cut, struct historian_ranges *ret,
                struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int err = duck_statement(c, sql_ranges, &s, diag);
    if (!err)
        err = duck_bind_i64(s, 1, cut->tag_from);
    if (!err)
        err = duck_bind_i64(s, 2, cut->tag_to);
    if (!err)
        err = duck_bind_time(s, 3, cut->from_us);
    if (!err)
        err = duck_bind_time(s, 4, cut->to_us);
    ret->count = 0;
    return err ? err : duck_run(s, range_row, ret, diag);
}

void ranges_found_fini(struct historian_ranges *r)
{
    free(r->list);
    *r = (struct historian_ranges){0};
}

/* Neighbours become one stretch; without room, the gap between is in. */
uint32_t ranges_pieces(const struct historian_ranges *r, const struct historian_cut *cut,
                       struct historian_pieces *list, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct range *g = &r->list[i];
        if (g->tag_from > cut->tag_to || g->tag_to < cut->tag_from || g->ts_from >= cut->to_us ||
            g->ts_to < cut->from_us)
            continue;
        if (n && (g->piece <= list[n - 1].to + 1 || n == max))
            list[n - 1].to = g->piece;
        else
            list[n++] = (struct historian_pieces){g->piece, g->piece};
    }
    return n;
}

int ranges_open(struct duck_conn *c, struct historian_pieces *ret, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    int64_t first = 0;
    int err = duck_statement(c, sql_open, &s, diag);
    if (!err)
        err = duck_run(s, duck_row_i64, &first, diag);
    if (!err)
        *ret = (struct historian_pieces){first, INT32_MAX};
    return err;
}
