/* Stored rows, put together again as they were when they came. See replay_rules.h.
 *
 * The table `points` has a line a value, with its own time and how far that is from its row's; so
 * the values of one stream and row time are one row. Where several rows have one time (a file with
 * many lines of one moment), the n-th value of each column is of the n-th row; if the columns do
 * not have equally many of them then, that cannot be known, and is said.
 *
 * Rows are read piece by piece, each by a task of its own on the historian's reader. A piece's
 * length follows the number of values that are found, so that memory is bounded whatever the rate.
 */
#include "app/replay_rules.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_US_FIRST   (INT64_C(60) * 1000000)
#define PIECE_US_MAX     (INT64_C(3600) * 1000000)
#define PIECE_POINTS_LOW (REPLAY_POINTS_MAX / 4)
#define ROWS_TAGS_MAX    16384

struct replay_rows_stream {
    const struct stream *stream;
    struct schema *schema;
    struct field *fields; /* of a stream without a schema: what is stored */
    uint32_t field_count;
    uint32_t field_cap;
    struct batch_builder *builder;
    uint32_t *counts; /* [column]: values of the present moment */
    uint32_t *tags;   /* [column]: + 1, where the last one came from */
    uint32_t tag_count;
    const char *why;
};

/* ------------------------------------------------------------------------------------------- tags
 */

int replay_rows_add(struct replay_rows *r, const struct stream *s)
{
    for (uint32_t i = 0; i < r->stream_count; i++)
        if (r->streams[i].stream == s)
            return OK;
    struct replay_rows_stream *list =
        array_room(r->streams, r->stream_count, &r->stream_cap, 8, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    r->streams = list;
    list[r->stream_count++] = (struct replay_rows_stream){
        .stream = s, .schema = s->schema ? schema_ref(s->schema) : NULL};
    return OK;
}

/* The column of that name; a stream without a schema gets one. -1: there is none (any more). */
static int64_t column_of(struct replay_rows *r, struct replay_rows_stream *s, struct bytes name)
{
    if (s->schema)
        return schema_find(s->schema, name);
    for (uint32_t i = 0; i < s->field_count; i++)
        if (str_equal(name, s->fields[i].name))
            return i;
    s->fields = arena_room(&r->arena, s->fields, s->field_count, &s->field_cap, sizeof *s->fields);
    char *copy = s->fields ? arena_copy(&r->arena, name) : NULL;
    if (!copy)
        return ERR_NOMEM;
    s->fields[s->field_count] = (struct field){.name = copy, .type = VALUE_ANY};
    return s->field_count++;
}

static bool is_other(const struct field *stored, const struct field *now)
{
    if (now->type == VALUE_ANY)
        return false;
    if (stored->type != now->type)
        return true;
    bool scaled = (now->flags & FIELD_SCALED) != 0;
    return ((stored->flags & FIELD_SCALED) != 0) != scaled ||
           (scaled && (load_le64(&stored->scale) != load_le64(&now->scale) ||
                       load_le64(&stored->offset) != load_le64(&now->offset)));
}

static int tag_add(struct replay_rows *r, uint32_t stream, const struct value *cells)
{
    struct replay_rows_stream *s = &r->streams[stream];
    struct replay_tag tag = {.id = (uint32_t)cells[0].u64, .stream = stream};
    tag.field.scale = cells[4].f64;
    tag.field.offset = cells[5].f64;
    tag.field.flags = (uint32_t)cells[6].u64;
    if (!value_type_find(cells[3].bytes, &tag.field.type) || tag.field.type == VALUE_ANY)
        tag.field.type = VALUE_NULL; /* never with a value: only why there was none */
    int64_t column = column_of(r, s, cells[2].bytes);
    if (column == ERR_NOMEM)
        return ERR_NOMEM;
    if (column < 0)
        return OK;
    tag.column = (uint32_t)column;
    tag.other = tag.field.type != VALUE_NULL && s->schema &&
                is_other(&tag.field, &s->schema->fields[column]);
    s->tag_count++;
    return replay_tags_add(&r->tags, &tag, ROWS_TAGS_MAX);
}

/* id, stream, tag, type, scale, offset, flags; by id. */
static int tag_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct replay_rows *r = ctx;
    int err = count == 7 ? OK : ERR_INTERNAL;
    for (uint32_t i = 0; !err && i < r->stream_count; i++)
        if (str_equal(cells[1].bytes, r->streams[i].stream->name))
            err = tag_add(r, i, cells);
    return err;
}

/* ------------------------------------------------------------------------------------------- open
 */

struct opening {
    struct replay_rows *rows;
    int64_t from_us;
    int64_t to_us;
    struct diag *diag;
};

/* tag, min(lag_us), max(lag_us) */
static int lag_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct replay_rows *r = ctx;
    const struct replay_tag *tag = replay_tags_find(&r->tags, (uint32_t)cells[0].u64);
    if (count != 3 || !tag)
        return ERR_INTERNAL;
    struct replay_rows_stream *s = &r->streams[tag->stream];
    r->lag_min_us = cells[1].i64 < r->lag_min_us ? cells[1].i64 : r->lag_min_us;
    r->lag_max_us = cells[2].i64 > r->lag_max_us ? cells[2].i64 : r->lag_max_us;
    if (tag->other && !s->why) {
        struct buf text = {0};
        (void)buf_printf(&text, "%s.%s was stored with another type or scale then than it has now",
                         s->stream->name, s->schema->fields[tag->column].name);
        s->why = arena_copy(&r->arena, buf_bytes(&text));
        buf_fini(&text);
        return s->why ? OK : ERR_NOMEM;
    }
    return OK;
}

static int why_nothing(struct replay_rows *r, struct replay_rows_stream *s)
{
    struct buf text = {0};
    (void)buf_printf(&text,
                     "no value of %s was ever stored: a rule can only be replayed over what the "
                     "historian has kept (historian.streams says what that is)",
                     s->stream->name);
    s->why = arena_copy(&r->arena, buf_bytes(&text));
    buf_fini(&text);
    return s->why ? OK : ERR_NOMEM;
}

static const char sql_tags[] = "SELECT id, stream, tag, type, scale, \"offset\", flags FROM tags "
                               "WHERE node = $1 ORDER BY id";
static const char sql_lags[] =
    "SELECT tag, min(lag_us)::BIGINT, max(lag_us)::BIGINT FROM points WHERE ts >= $1 AND ts < $2 "
    "AND tag IN (SELECT unnest(string_split($3, ','))::UINTEGER) GROUP BY tag ORDER BY tag";

static int open_lags(const struct opening *o, struct duck_conn *conn)
{
    struct replay_rows *r = o->rows;
    struct duck_stmt *s = NULL;
    int err = buf_error(&r->tags.ids);
    if (!err)
        err = duck_statement(conn, sql_lags, &s, o->diag);
    if (!err)
        err = duck_bind_time(s, 1, o->from_us - INT32_MAX);
    if (!err)
        err = duck_bind_time(s, 2, o->to_us + INT32_MAX);
    if (!err)
        err = duck_bind_text(s, 3, buf_text(&r->tags.ids));
    return err ? err : duck_run(s, lag_row, r, o->diag);
}

static int open_read(void *ctx, struct duck_conn *conn)
{
    const struct opening *o = ctx;
    struct replay_rows *r = o->rows;
    struct duck_stmt *s = NULL;
    int err = duck_statement(conn, sql_tags, &s, o->diag);
    if (!err)
        err = duck_bind_text(s, 1, r->node);
    if (!err)
        err = duck_run(s, tag_row, r, o->diag);
    if (err == ERR_LIMIT)
        return diag_set(o->diag, err, 0, 0, "the rules read more than %d columns", ROWS_TAGS_MAX);
    return err || !r->tags.count ? err : open_lags(o, conn);
}

static int stream_open(struct replay_rows *r, struct replay_rows_stream *s)
{
    if (!s->tag_count)
        return why_nothing(r, s);
    int err = s->schema ? OK : schema_new(s->fields, s->field_count, &s->schema);
    if (err)
        return err;
    s->counts = arena_array(&r->arena, s->schema->count + 1u, sizeof *s->counts);
    s->tags = arena_array(&r->arena, s->schema->count + 1u, sizeof *s->tags);
    if (!s->counts || !s->tags)
        return ERR_NOMEM;
    return batch_builder_new(s->schema, REPLAY_BATCH_ROWS, NULL, &s->builder);
}

int replay_rows_open(struct replay_rows *r, int64_t from_us, int64_t to_us, struct diag *diag)
{
    struct opening o = {r, from_us, to_us, diag};
    r->at_us = from_us;
    r->length_us = PIECE_US_FIRST;
    int err = r->stream_count ? replay_on_reader(r->historian, open_read, &o, diag) : OK;
    for (uint32_t i = 0; !err && i < r->stream_count; i++)
        err = stream_open(r, &r->streams[i]);
    return err;
}

const char *replay_rows_why(const struct replay_rows *r, const struct stream *s)
{
    for (uint32_t i = 0; i < r->stream_count; i++)
        if (r->streams[i].stream == s)
            return r->streams[i].why;
    return NULL;
}

/* ------------------------------------------------------------------------------------------ pieces
 */

struct cell {
    int64_t row_us;
    uint32_t tag; /* index in the reader's */
    uint32_t order;
    int32_t lag_us;
    enum quality quality;
    uint32_t nth; /* of its column in that moment */
    struct value value;
};

struct replay_rows_piece {
    struct replay_rows *rows;
    struct arena arena; /* texts */
    struct cell *cells;
    uint32_t count;
    uint32_t cap;
    int64_t from_us;
    int64_t to_us;
    struct diag *diag;
};

/* tag, row time, lag, quality, i, u, d, b */
static int cell_row(void *ctx, const struct value *c, uint32_t count)
{
    struct replay_rows_piece *p = ctx;
    const struct replay_tag *tag = replay_tags_find(&p->rows->tags, (uint32_t)c[0].u64);
    if (count != 8 || !tag)
        return ERR_INTERNAL;
    if (p->count == REPLAY_POINTS_MAX)
        return ERR_LIMIT;
    struct cell cell = {.row_us = c[1].i64,
                        .tag = (uint32_t)(tag - p->rows->tags.items),
                        .order = p->count,
                        .lag_us = (int32_t)c[2].i64,
                        .quality = (enum quality)c[3].u64};
    if (tag->field.type == VALUE_NULL || !replay_value_of(&c[4], tag->field.type, &cell.value))
        cell.value = (struct value){.type = VALUE_NULL};
    if (replay_value_keep(&p->arena, &cell.value))
        return ERR_NOMEM;
    struct cell *list = array_room(p->cells, p->count, &p->cap, 4096, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    p->cells = list;
    p->cells[p->count++] = cell;
    return OK;
}

static const char sql_cells[] =
    "SELECT tag, ts - to_microseconds(lag_us) AS t, lag_us::BIGINT, quality, i, u, d, b FROM "
    "points "
    "WHERE ts >= $1 AND ts < $2 AND t >= $3 AND t < $4 AND tag IN (SELECT "
    "unnest(string_split($5, ','))::UINTEGER) ORDER BY t, tag, rowid LIMIT $6";

static int piece_read(void *ctx, struct duck_conn *conn)
{
    struct replay_rows_piece *p = ctx;
    struct replay_rows *r = p->rows;
    struct duck_stmt *s = NULL;
    p->count = 0;
    arena_reset(&p->arena);
    int err = duck_statement(conn, sql_cells, &s, p->diag);
    if (!err)
        err = duck_bind_time(s, 1, p->from_us + r->lag_min_us);
    if (!err)
        err = duck_bind_time(s, 2, p->to_us + r->lag_max_us);
    if (!err)
        err = duck_bind_time(s, 3, p->from_us);
    if (!err)
        err = duck_bind_time(s, 4, p->to_us);
    if (!err)
        err = duck_bind_text(s, 5, buf_text(&r->tags.ids));
    if (!err)
        err = duck_bind_i64(s, 6, REPLAY_POINTS_MAX + 1);
    return err ? err : duck_run(s, cell_row, p, p->diag);
}

/* -------------------------------------------------------------------------------------------- rows
 */

static const struct replay_tag *cell_tag(const struct replay_rows *r, const struct cell *c)
{
    return &r->tags.items[c->tag];
}

static int batch_give(struct replay_rows *r, struct replay_rows_stream *s)
{
    struct batch *b = NULL;
    if (!s->builder || batch_builder_rows(s->builder) == 0)
        return OK;
    int err = batch_builder_finish(s->builder, &b);
    if (!err)
        err = r->take(r->ctx, s->stream, b);
    batch_unref(b);
    return err;
}

/* Which row of its moment each value is of. False: that cannot be known. */
static bool moment_number(struct replay_rows *r, struct replay_rows_stream *s, struct cell *cells,
                          uint32_t n)
{
    uint32_t most = 0;
    bool known = true;
    memset(s->counts, 0, s->schema->count * sizeof *s->counts);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t column = cell_tag(r, &cells[i])->column;
        known = known && (!s->counts[column] || s->tags[column] == cells[i].tag + 1);
        s->tags[column] = cells[i].tag + 1;
        cells[i].nth = s->counts[column]++;
        most = s->counts[column] > most ? s->counts[column] : most;
    }
    for (uint32_t i = 0; most > 1 && i < s->schema->count; i++)
        known = known && (!s->counts[i] || s->counts[i] == most);
    return known;
}

static int by_row(const void *a, const void *b)
{
    const struct cell *x = a;
    const struct cell *y = b;
    if (x->nth != y->nth)
        return x->nth < y->nth ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int cell_put(const struct replay_rows *r, struct replay_rows_stream *s, const struct cell *c)
{
    uint32_t column = cell_tag(r, c)->column;
    int err = cell_tag(r, c)->other ? OK : batch_set_value(s->builder, column, &c->value);
    if (!err && c->quality != QUALITY_GOOD)
        err = batch_set_quality(s->builder, column, c->quality);
    if (!err && c->lag_us)
        err = batch_set_time_offset(s->builder, column, c->lag_us);
    return err;
}

/* The values of one stream and moment. */
static int moment_put(struct replay_rows *r, struct replay_rows_stream *s, struct cell *cells,
                      uint32_t n)
{
    int err = OK;
    bool open = false;
    uint32_t row = 0;
    if (!moment_number(r, s, cells, n) && !s->why) {
        s->why = "several of its stored rows have one time and not all of their columns a value: "
                 "which values belong together is not known";
    }
    if (n > 1)
        qsort(cells, n, sizeof *cells, by_row);
    for (uint32_t i = 0; !err && i < n; i++) {
        if (!open || cells[i].nth != row) {
            if (batch_builder_rows(s->builder) == REPLAY_BATCH_ROWS)
                err = batch_give(r, s);
            if (!err && batch_builder_row(s->builder, cells[i].row_us) < 0)
                err = ERR_NOMEM;
            open = true;
            row = cells[i].nth;
            r->rows++;
        }
        if (!err)
            err = cell_put(r, s, &cells[i]);
    }
    return err;
}

static int by_moment(const void *a, const void *b)
{
    const struct cell *x = a;
    const struct cell *y = b;
    if (x->row_us != y->row_us)
        return x->row_us < y->row_us ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* A rule reads one stream, so only the order within each matters. */
static int piece_rows(struct replay_rows_piece *p)
{
    struct replay_rows *r = p->rows;
    int err = OK;
    for (uint32_t i = 0; i < p->count; i++)
        p->cells[i].order += cell_tag(r, &p->cells[i])->stream * REPLAY_POINTS_MAX;
    if (p->count)
        qsort(p->cells, p->count, sizeof *p->cells, by_moment);
    for (uint32_t at = 0; !err && at < p->count;) {
        const struct cell *first = &p->cells[at];
        struct replay_rows_stream *s = &r->streams[cell_tag(r, first)->stream];
        uint32_t n = 1;
        while (at + n < p->count && p->cells[at + n].row_us == first->row_us &&
               &r->streams[cell_tag(r, &p->cells[at + n])->stream] == s)
            n++;
        err = moment_put(r, s, &p->cells[at], n);
        at += n;
    }
    for (uint32_t i = 0; !err && i < r->stream_count; i++)
        err = batch_give(r, &r->streams[i]);
    return err;
}

static struct replay_rows_piece *piece_of(struct replay_rows *r)
{
    if (!r->piece)
        r->piece = calloc(1, sizeof *r->piece);
    if (r->piece)
        r->piece->rows = r;
    return r->piece;
}

int replay_rows_until(struct replay_rows *r, int64_t to_us, struct diag *diag)
{
    struct replay_rows_piece *p = piece_of(r);
    int err = p ? OK : ERR_NOMEM;
    while (!err && r->at_us < to_us && r->tags.count) {
        int64_t to = to_us - r->at_us < r->length_us ? to_us : r->at_us + r->length_us;
        p->from_us = r->at_us;
        p->to_us = to;
        p->diag = diag;
        err = r->stop->fn(r->stop->ctx);
        if (!err)
            err = replay_on_reader(r->historian, piece_read, p, diag);
        if (err == ERR_LIMIT && to - r->at_us > 1) {
            r->length_us = (to - r->at_us) / 2;
            err = OK;
            continue;
        }
        if (!err)
            err = piece_rows(p);
        if (p->count < PIECE_POINTS_LOW && r->length_us < PIECE_US_MAX)
            r->length_us *= 2;
        r->at_us = to;
    }
    return err;
}

void replay_rows_fini(struct replay_rows *r)
{
    for (uint32_t i = 0; i < r->stream_count; i++) {
        batch_builder_free(r->streams[i].builder);
        schema_unref(r->streams[i].schema);
    }
    if (r->piece) {
        free(r->piece->cells);
        arena_fini(&r->piece->arena);
        free(r->piece);
    }
    free(r->streams);
    replay_tags_fini(&r->tags);
    arena_fini(&r->arena);
}
