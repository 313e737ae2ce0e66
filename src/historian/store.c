/* The writer's side of the database: its tables, opening, and the one transaction that writes
 * points, tags, other tables' rows and the log's position together. See historian.h.
 */
#include "base/clock.h"
#include "historian/historian_priv.h"

#include <stdlib.h>
#include <string.h>

/* `ts` is when the value was acquired; ts - lag_us is the time of its poll cycle. In u lie unsigned
 * values, and the bits of doubles and floats that d cannot be trusted with (NaN, -0.0). */
static const char store_ddl[] =
    "CREATE TABLE IF NOT EXISTS tags(id UINTEGER NOT NULL, node VARCHAR NOT NULL, stream VARCHAR "
    "NOT NULL, tag VARCHAR NOT NULL, type VARCHAR NOT NULL, uom VARCHAR NOT NULL, scale DOUBLE NOT "
    "NULL, \"offset\" DOUBLE NOT NULL, flags UINTEGER NOT NULL, since TIMESTAMP NOT NULL);"
    "CREATE TABLE IF NOT EXISTS points(tag UINTEGER NOT NULL, ts TIMESTAMP NOT NULL, lag_us "
    "INTEGER "
    "NOT NULL, quality UTINYINT NOT NULL, i BIGINT, u UBIGINT, d DOUBLE, b BLOB);"
    "CREATE TABLE IF NOT EXISTS positions(log VARCHAR NOT NULL, epoch UBIGINT NOT NULL, seq "
    "UBIGINT "
    "NOT NULL, written TIMESTAMP NOT NULL);"
    "INSERT INTO positions SELECT 'streams', 0, 0, TIMESTAMP '1970-01-01' WHERE NOT EXISTS (SELECT "
    "1 FROM positions);"
    /* As field_number (model/schema.h) computes: a scale of one over a whole number divides. */
    "CREATE OR REPLACE VIEW history AS SELECT t.node, t.stream, t.tag, p.ts, CASE WHEN t.divisor "
    "IS "
    "NULL THEN coalesce(p.d, p.i::DOUBLE, p.u::DOUBLE) * t.scale ELSE coalesce(p.d, p.i::DOUBLE, "
    "p.u::DOUBLE) / t.divisor END + t.\"offset\" AS value, CASE WHEN p.b IS NOT NULL THEN "
    "coalesce(TRY(decode(p.b)), p.b::VARCHAR) END AS text, ['good', 'unread', 'timeout', "
    "'offline', "
    "'refused', 'protocol', 'convert', 'skipped'][p.quality + 1] AS quality, t.uom, t.type, p.i AS "
    "raw_i, p.u AS raw_u, p.d AS raw_d, p.b AS raw_b, p.ts - to_microseconds(p.lag_us) AS cycle "
    "FROM points p JOIN (SELECT *, CASE WHEN abs(round(1 / scale)) BETWEEN 2 AND 1e12 AND abs(1 / "
    "scale - round(1 / scale)) <= 1e-12 * abs(1 / scale) THEN round(1 / scale) END AS divisor FROM "
    "tags) t ON p.tag = t.id;";

static int store_tables(struct historian *h, struct diag *diag)
{
    int err = duck_exec(h->conn, store_ddl, diag);
    if (!err)
        err = duck_exec(h->conn, range_ddl, diag);
    h->table_count = 0;
    for (uint32_t i = 0; !err && i < h->tap_count; i++) {
        const struct historian_tap *tap = &h->taps[i];
        for (uint32_t k = 0; !err && k < tap->table_count; k++) {
            err = duck_exec(h->conn, tap->tables[k].ddl, diag);
            h->tables[h->table_count++] = (struct txn_table){&tap->tables[k], NULL};
        }
        if (!err && tap->on_open)
            err = tap->on_open(tap->ctx, h->conn, diag);
    }
    return err;
}

static int store_appenders(struct historian *h, struct diag *diag)
{
    int err = duck_appender_new(h->conn, "points", point_columns, POINT_COLUMN_COUNT,
                                &h->points_appender, diag);
    if (!err)
        err = duck_appender_new(h->conn, "tags", tag_columns, TAG_COLUMN_COUNT, &h->tags_appender,
                                diag);
    if (!err)
        err = duck_appender_new(h->conn, "point_ranges", range_columns, RANGE_COLUMN_COUNT,
                                &h->ranges_appender, diag);
    for (uint32_t i = 0; !err && i < h->table_count; i++) {
        const struct historian_table *t = h->tables[i].table;
        err = duck_appender_new(h->conn, t->name, t->columns, t->column_count,
                                &h->tables[i].appender, diag);
    }
    if (!err)
        err = duck_prepare(
            h->conn, "UPDATE positions SET epoch = ?, seq = ?, written = ? WHERE log = 'streams'",
            &h->position_stmt, diag);
    return err;
}

static int store_position_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct position *at = ctx;
    if (count == 2)
        *at = (struct position){cells[0].u64, cells[1].u64};
    return OK;
}

static int store_position(struct historian *h, struct diag *diag)
{
    struct duck_stmt *s = NULL;
    struct position at = {0, 0};
    int err =
        duck_prepare(h->conn, "SELECT epoch, seq FROM positions WHERE log = 'streams'", &s, diag);
    if (!err)
        err = duck_run(s, store_position_row, &at, diag);
    duck_stmt_free(s);
    if (!err)
        h->now.at = at;
    return err;
}

static void store_release(struct historian *h)
{
    duck_appender_free(h->points_appender);
    duck_appender_free(h->tags_appender);
    duck_appender_free(h->ranges_appender);
    for (uint32_t i = 0; i < h->table_count; i++) {
        duck_appender_free(h->tables[i].appender);
        h->tables[i].appender = NULL;
    }
    duck_stmt_free(h->position_stmt);
    h->points_appender = NULL;
    h->tags_appender = NULL;
    h->ranges_appender = NULL;
    h->position_stmt = NULL;
    duck_disconnect(h->conn);
    h->conn = NULL;
}

static int store_open_file(struct historian *h, struct diag *diag)
{
    struct duck_options options = {
        .path = h->path,
        .memory_bytes_max = h->options.memory_bytes_max,
        .threads = h->options.threads,
        .wal_bytes_max = h->options.wal_bytes_max,
    };
    struct duck *duck = NULL;
    int err = duck_open(&options, &duck, diag);
    if (err)
        return err;
    (void)pthread_mutex_lock(&h->mutex);
    h->duck = duck;
    h->closing = false;
    (void)pthread_mutex_unlock(&h->mutex);
    return OK;
}

/* Tells readers where the values of the piece that is not full are; before a commit, when that
 * piece may be the one before, or still be the same, only that there are more. */
static void open_piece_set(struct historian *h, bool known)
{
    struct open_piece now = {.piece = known ? h->ranges.piece : -1};
    ranges_span(&h->ranges, &now.ts_from, &now.ts_to);
    (void)pthread_mutex_lock(&h->mutex);
    h->open = now;
    (void)pthread_mutex_unlock(&h->mutex);
}

static void open_piece_widen(struct historian *h)
{
    int64_t from = 0;
    int64_t to = 0;
    ranges_span(&h->ranges, &from, &to);
    (void)pthread_mutex_lock(&h->mutex);
    h->open.ts_from = from < h->open.ts_from ? from : h->open.ts_from;
    h->open.ts_to = to > h->open.ts_to ? to : h->open.ts_to;
    (void)pthread_mutex_unlock(&h->mutex);
}

static int store_ranges(struct historian *h, struct diag *diag)
{
    int err = ranges_load(&h->ranges, h->conn, diag);
    h->ranges_stale = err != OK;
    open_piece_set(h, !err);
    return err;
}

/* Opens the file anew, and takes position and tags from the database: afterwards memory and disk
 * agree, whatever went wrong before. (After a failed write DuckDB may say anything: a checkpoint
 * that found no space leaves its catalogue half gone. Only what is read back can be trusted.) */
int store_open(struct historian *h, struct diag *diag)
{
    store_close(h);
    int err = store_open_file(h, diag);
    if (!err)
        err = duck_connect(h->duck, &h->conn);
    if (!err)
        err = store_tables(h, diag);
    if (!err)
        err = store_appenders(h, diag);
    if (!err)
        err = store_position(h, diag);
    h->ranges_stale = true;
    if (!err)
        err = store_ranges(h, diag);
    tags_fini(&h->tags);
    if (!err)
        err = tags_load(&h->tags, h->conn, diag);
    if (err)
        store_release(h);
    return err;
}

void store_close(struct historian *h)
{
    store_release(h);
    (void)pthread_mutex_lock(&h->mutex);
    h->closing = true;
    if (h->reading)
        duck_interrupt(h->reading);
    while (h->reading)
        (void)pthread_cond_wait(&h->idle, &h->mutex);
    struct duck *duck = h->duck;
    h->duck = NULL;
    duck_disconnect(h->kept);
    h->kept = NULL;
    (void)pthread_mutex_unlock(&h->mutex);
    duck_close(duck);
}

/* ---------------------------------------------------------------------------------------- commit
 */

static int store_put_position(struct historian *h, struct diag *diag)
{
    if (position_compare(h->seen, h->now.at) <= 0)
        return OK;
    int err = duck_bind_u64(h->position_stmt, 1, h->seen.epoch);
    if (!err)
        err = duck_bind_u64(h->position_stmt, 2, h->seen.seq);
    if (!err)
        err = duck_bind_time(h->position_stmt, 3, h->txn.known_us);
    return err ? err : duck_run(h->position_stmt, NULL, NULL, diag);
}

static int store_transaction(struct historian *h, uint64_t *ret_points, struct diag *diag)
{
    int err = h->ranges_stale ? store_ranges(h, diag) : OK;
    if (!err)
        err = duck_exec(h->conn, "BEGIN TRANSACTION", diag);
    /* Points first: a column of mixed types finds its tags while it is written. */
    if (!err)
        err = points_write(&h->points, &h->tags, h->points_appender, &h->ranges, ret_points, diag);
    if (!err)
        open_piece_widen(h);
    if (!err)
        err = ranges_write(&h->ranges, h->ranges_appender, diag);
    if (!err)
        err = tags_write(&h->tags, h->tags_appender, h->txn.known_us, diag);
    if (!err)
        err = txn_write(&h->txn, h->tables, h->table_count, diag);
    if (!err)
        err = store_put_position(h, diag);
    for (uint32_t i = 0; !err && i < h->tap_count; i++)
        if (h->taps[i].on_write)
            err = h->taps[i].on_write(h->taps[i].ctx, &h->txn);
    return err ? err : duck_exec(h->conn, "COMMIT", diag);
}

int store_commit(struct historian *h, struct diag *diag)
{
    uint64_t points = 0;
    int err = store_transaction(h, &points, diag);
    if (err) {
        h->ranges_stale = true;
        open_piece_set(h, false);
        (void)duck_exec(h->conn, "ROLLBACK", NULL);
        return err;
    }
    open_piece_set(h, true);
    if (position_compare(h->seen, h->now.at) > 0)
        h->now.at = h->seen;
    h->now.points += points;
    h->now.commits++;
    tags_settled(&h->tags);
    points_clear(&h->points);
    txn_reset(&h->txn);
    for (uint32_t i = 0; i < h->tap_count; i++)
        if (h->taps[i].on_commit)
            h->taps[i].on_commit(h->taps[i].ctx, h->conn);
    return OK;
}
