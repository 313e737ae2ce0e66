/* The stored points of some tags as batches, in the order of time, piece by piece. See replay.h.
 *
 * Only good values are read: a track passes over all others. Each row holds what one stream showed
 * at one moment, so that readings of the same moment are taken together as they were when they
 * came; beyond that it does not matter where one batch ends and the next begins, nor how long a
 * piece is. A piece's length follows the number of values that are found, so that memory is bounded
 * whatever the rate; it is chosen by the data alone.
 *
 * A tag whose type or scale was changed has several numbers: a stream's schema is then made anew
 * where the values change.
 */
#include "app/replay.h"
#include "base/array.h"
#include "base/err.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_US_FIRST   (INT64_C(60) * 1000000)
#define PIECE_US_MAX     (INT64_C(3600) * 1000000)
#define PIECE_POINTS_LOW (REPLAY_POINTS_MAX / 4)

/* ----------------------------------------------------------------------------------------- reader
 */

struct reading {
    struct historian *historian;
    int (*fn)(void *ctx, struct duck_conn *conn);
    void *ctx;
    struct diag *diag;
};

static int reading_run(void *ctx)
{
    const struct reading *g = ctx;
    struct duck_conn *conn = NULL;
    int err = historian_reader_open(g->historian, &conn);
    if (err)
        return diag_set(g->diag, err, 0, 0, "the historian is not open at present");
    err = g->fn(g->ctx, conn);
    historian_reader_close(g->historian, conn);
    return err;
}

int replay_on_reader(struct historian *h, int (*fn)(void *ctx, struct duck_conn *conn), void *ctx,
                     struct diag *diag)
{
    struct reading g = {h, fn, ctx, diag};
    return exec_call(historian_reader(h), reading_run, &g);
}

/* ------------------------------------------------------------------------------------------- tags
 */

static int stream_column(struct replay_reader *r, const struct track_signal_of *signal)
{
    struct replay_stream *s = NULL;
    for (uint32_t i = 0; i < r->stream_count && !s; i++)
        if (strcmp(r->streams[i].name, signal->stream) == 0)
            s = &r->streams[i];
    if (!s) {
        struct replay_stream *list =
            array_room(r->streams, r->stream_count, &r->stream_cap, 16, sizeof *list);
        if (!list)
            return ERR_NOMEM;
        r->streams = list;
        s = &list[r->stream_count++];
        *s = (struct replay_stream){.name = arena_text(&r->arena, signal->stream)};
    }
    for (uint32_t i = 0; i < s->field_count; i++)
        if (strcmp(s->fields[i].name, signal->column) == 0)
            return OK;
    uint32_t cap = s->field_cap;
    s->tracks = arena_room(&r->arena, s->tracks, s->field_count, &cap, sizeof *s->tracks);
    cap = s->field_cap;
    s->stored = arena_room(&r->arena, s->stored, s->field_count, &cap, sizeof *s->stored);
    cap = s->field_cap;
    s->fields = arena_room(&r->arena, s->fields, s->field_count, &cap, sizeof *s->fields);
    if (!s->name || !s->tracks || !s->stored || !s->fields)
        return ERR_NOMEM;
    s->field_cap = cap;
    s->tracks[s->field_count] = arena_text(&r->arena, signal->track);
    s->stored[s->field_count] = false;
    s->fields[s->field_count] =
        (struct field){.name = arena_text(&r->arena, signal->column), .type = VALUE_BOOL};
    const struct field *f = &s->fields[s->field_count];
    return f->name && s->tracks[s->field_count++] ? OK : ERR_NOMEM;
}

int replay_tags_add(struct replay_tags *t, const struct replay_tag *tag, uint32_t max)
{
    if (t->count == max)
        return ERR_LIMIT;
    struct replay_tag *items = array_room(t->items, t->count, &t->cap, 64, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    t->items = items;
    (void)buf_printf(&t->ids, "%s%" PRIu32, t->count ? "," : "", tag->id);
    t->items[t->count++] = *tag;
    return OK;
}

static int tag_compare(const void *key, const void *item)
{
    uint32_t a = *(const uint32_t *)key;
    uint32_t b = ((const struct replay_tag *)item)->id;
    return (a > b) - (a < b);
}

const struct replay_tag *replay_tags_find(const struct replay_tags *t, uint32_t id)
{
    return bsearch(&id, t->items, t->count, sizeof *t->items, tag_compare);
}

void replay_tags_fini(struct replay_tags *t)
{
    free(t->items);
    buf_fini(&t->ids);
}

static int tag_add(struct replay_reader *r, uint32_t stream, uint32_t column,
                   const struct value *cells)
{
    struct replay_stream *s = &r->streams[stream];
    struct replay_tag tag = {.id = (uint32_t)cells[0].u64, .stream = stream, .column = column};
    if (!value_type_find(cells[3].bytes, &tag.field.type) || tag.field.type == VALUE_ANY ||
        tag.field.type == VALUE_NULL)
        return OK; /* values that are there, but never good */
    tag.field.name = s->fields[column].name;
    tag.field.uom = arena_copy(&r->arena, cells[4].bytes);
    tag.field.scale = cells[5].f64;
    tag.field.offset = cells[6].f64;
    tag.field.flags = (uint32_t)cells[7].u64;
    int err = tag.field.uom ? replay_tags_add(&r->tags, &tag, REPLAY_TAGS_MAX) : ERR_NOMEM;
    if (err)
        return err;
    s->fields[column] = tag.field;
    s->stored[column] = true;
    return OK;
}

/* id, stream, tag, type, uom, scale, offset, flags; by id. */
static int tag_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct replay_reader *r = ctx;
    int err = count == 8 ? OK : ERR_INTERNAL;
    for (uint32_t i = 0; !err && i < r->stream_count; i++) {
        const struct replay_stream *s = &r->streams[i];
        if (!str_equal(cells[1].bytes, s->name))
            continue;
        for (uint32_t c = 0; !err && c < s->field_count; c++)
            if (str_equal(cells[2].bytes, s->fields[c].name))
                err = tag_add(r, i, c, cells);
    }
    return err;
}

/* The first column of a stream that a named track reads and that has no values, -1 if none. */
static int64_t column_missing(const struct replay_reader *r, const struct replay_stream *s)
{
    for (uint32_t c = 0; c < s->field_count; c++) {
        if (!s->stored[c] && config_object_find(r->named, CONFIG_TRACK, s->tracks[c]))
            return c;
    }
    return -1;
}

static int tags_missing(const struct replay_reader *r, struct diag *diag)
{
    for (uint32_t i = 0; i < r->stream_count; i++) {
        const struct replay_stream *s = &r->streams[i];
        int64_t c = column_missing(r, s);
        if (c < 0)
            continue;
        return diag_set(diag, ERR_NOT_FOUND, 0, 0,
                        "no value of %s.%s was ever stored, which track %s reads: it can only be "
                        "replayed over what the historian has kept (historian.streams says what "
                        "that is)",
                        s->name, s->fields[c].name, s->tracks[c]);
    }
    return OK;
}

static const char sql_tags[] =
    "SELECT id, stream, tag, type, uom, scale, \"offset\", flags FROM tags "
    "WHERE node = $1 ORDER BY id";

struct tags_asked {
    struct replay_reader *reader;
    struct diag *diag;
};

static int tags_read(void *ctx, struct duck_conn *conn)
{
    const struct tags_asked *a = ctx;
    struct duck_stmt *s = NULL;
    int err = duck_statement(conn, sql_tags, &s, a->diag);
    if (!err)
        err = duck_bind_text(s, 1, a->reader->node);
    return err ? err : duck_run(s, tag_row, a->reader, a->diag);
}

int replay_reader_tags(struct replay_reader *r, const struct track_stage *track, struct diag *diag)
{
    struct track_signal_of signal;
    struct tags_asked asked = {r, diag};
    int err = OK;
    for (uint32_t i = 0; !err && track_signal_at(track, i, &signal); i++)
        err = stream_column(r, &signal);
    if (!err)
        err = replay_on_reader(r->historian, tags_read, &asked, diag);
    if (err == ERR_LIMIT)
        return diag_set(diag, err, 0, 0, "the tracks read more than %d tags", REPLAY_TAGS_MAX);
    return err ? err : tags_missing(r, diag);
}

/* ----------------------------------------------------------------------------------------- points
 */

struct point {
    int64_t ts;
    uint32_t tag; /* index in the reader's */
    uint64_t order;
    struct value value;
};

struct piece {
    struct replay_reader *reader;
    int64_t from_us;
    int64_t to_us;
    struct diag *diag;
    struct arena arena; /* texts */
    struct point *points;
    uint32_t count;
    uint32_t cap;
    struct replay_batch *batches;
    uint32_t batch_count;
    uint32_t batch_cap;
};

static void piece_reset(struct piece *p)
{
    for (uint32_t i = 0; i < p->batch_count; i++)
        batch_unref(p->batches[i].batch);
    p->batch_count = 0;
    p->count = 0;
    arena_reset(&p->arena);
}

static void piece_fini(struct piece *p)
{
    piece_reset(p);
    free(p->points);
    free(p->batches);
    arena_fini(&p->arena);
}

static double double_of(const struct value *d, const struct value *u)
{
    double v = d->f64;
    if (u->type != VALUE_NULL)
        memcpy(&v, &u->u64, sizeof v);
    return v;
}

static float float_of(const struct value *d, const struct value *u)
{
    float v = (float)d->f64;
    uint32_t bits = (uint32_t)u->u64;
    if (u->type != VALUE_NULL)
        memcpy(&v, &bits, sizeof v);
    return v;
}

bool replay_value_of(const struct value *cells, enum value_type type, struct value *ret)
{
    const struct value *i = &cells[0];
    const struct value *u = &cells[1];
    const struct value *d = &cells[2];
    const struct value *b = &cells[3];
    struct value v = {.type = type};
    bool some = false;
    if (type == VALUE_BOOL || type == VALUE_INT64 || type == VALUE_TIMESTAMP) {
        some = i->type != VALUE_NULL;
        if (type == VALUE_BOOL)
            v.boolean = i->i64 != 0;
        else
            v.i64 = i->i64;
    } else if (type == VALUE_UINT64) {
        some = u->type != VALUE_NULL;
        v.u64 = u->u64;
    } else if (type == VALUE_STRING || type == VALUE_BYTES) {
        some = b->type != VALUE_NULL;
        v.bytes = b->bytes;
    } else {
        some = d->type != VALUE_NULL;
        if (type == VALUE_FLOAT32)
            v.f32 = float_of(d, u);
        else
            v.f64 = double_of(d, u);
    }
    *ret = v;
    return some;
}

int replay_value_keep(struct arena *arena, struct value *io)
{
    if (io->type != VALUE_STRING && io->type != VALUE_BYTES)
        return OK;
    const char *copy = arena_copy(arena, io->bytes);
    if (!copy)
        return ERR_NOMEM;
    io->bytes = bytes_of(copy, io->bytes.len);
    return OK;
}

/* tag, ts, i, u, d, b */
static int point_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct piece *p = ctx;
    const struct replay_reader *r = p->reader;
    const struct replay_tag *tag = replay_tags_find(&r->tags, (uint32_t)cells[0].u64);
    struct point point = {.ts = cells[1].i64, .order = p->count};
    if (count != 6 || !tag)
        return ERR_INTERNAL;
    if (p->count == REPLAY_POINTS_MAX)
        return ERR_LIMIT;
    if (!replay_value_of(&cells[2], tag->field.type, &point.value))
        return OK;
    point.tag = (uint32_t)(tag - r->tags.items);
    if (replay_value_keep(&p->arena, &point.value))
        return ERR_NOMEM;
    struct point *list = array_room(p->points, p->count, &p->cap, 4096, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    p->points = list;
    p->points[p->count++] = point;
    return OK;
}

/* ERR_LIMIT: there are more than a piece may hold. */
static int piece_read(void *ctx, struct duck_conn *conn)
{
    struct piece *p = ctx;
    struct replay_reader *r = p->reader;
    struct duck_stmt *s = NULL;
    piece_reset(p);
    int err = duck_statement(conn,
                             "SELECT tag, ts, i, u, d, b FROM points WHERE quality = 0 AND ts >= "
                             "$1 AND ts < $2 AND tag IN (SELECT unnest(string_split($3, "
                             "','))::UINTEGER) ORDER BY ts, tag, rowid LIMIT $4",
                             &s, p->diag);
    if (!err)
        err = duck_bind_time(s, 1, p->from_us);
    if (!err)
        err = duck_bind_time(s, 2, p->to_us);
    if (!err)
        err = duck_bind_text(s, 3, buf_text(&r->tags.ids));
    if (!err)
        err = duck_bind_i64(s, 4, REPLAY_POINTS_MAX + 1);
    return err ? err : duck_run(s, point_row, p, p->diag);
}

/* ---------------------------------------------------------------------------------------- batches
 */

static int batch_close(struct piece *p, struct replay_stream *s)
{
    if (!s->builder || batch_builder_rows(s->builder) == 0)
        return OK;
    struct replay_batch *list =
        array_room(p->batches, p->batch_count, &p->batch_cap, 64, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    p->batches = list;
    list[p->batch_count].stream = s->name;
    int err = batch_builder_finish(s->builder, &list[p->batch_count].batch);
    if (!err)
        p->batch_count++;
    return err;
}

static bool field_equal(const struct field *a, const struct field *b)
{
    return a->type == b->type && a->flags == b->flags &&
           load_le64(&a->scale) == load_le64(&b->scale) &&
           load_le64(&a->offset) == load_le64(&b->offset);
}

/* The stream's schema has this field now. Only between two rows. */
static int stream_field(struct piece *p, struct replay_stream *s, const struct replay_tag *tag)
{
    bool same = field_equal(&s->fields[tag->column], &tag->field);
    if (s->builder && same)
        return OK;
    int err = batch_close(p, s);
    if (err)
        return err;
    s->fields[tag->column] = tag->field;
    batch_builder_free(s->builder);
    s->builder = NULL;
    schema_unref(s->schema);
    s->schema = NULL;
    err = schema_new(s->fields, s->field_count, &s->schema);
    return err ? err : batch_builder_new(s->schema, REPLAY_BATCH_ROWS, NULL, &s->builder);
}

static int by_moment(const void *a, const void *b)
{
    const struct point *x = a;
    const struct point *y = b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* How many points from `at` on make one row: of one moment and stream, each column once. */
static uint32_t row_points(const struct piece *p, uint32_t at)
{
    const struct replay_tag *tags = p->reader->tags.items;
    const struct point *first = &p->points[at];
    uint32_t n = 1;
    while (at + n < p->count) {
        const struct point *next = &p->points[at + n];
        const struct replay_tag *tag = &tags[next->tag];
        if (next->ts != first->ts || tag->stream != tags[first->tag].stream)
            break;
        for (uint32_t i = 0; i < n; i++)
            if (tags[p->points[at + i].tag].column == tag->column)
                return n;
        n++;
    }
    return n;
}

static int row_put(struct piece *p, uint32_t at, uint32_t n)
{
    struct replay_reader *r = p->reader;
    struct replay_stream *s = &r->streams[r->tags.items[p->points[at].tag].stream];
    int err = OK;
    for (uint32_t i = 0; !err && i < n; i++)
        err = stream_field(p, s, &r->tags.items[p->points[at + i].tag]);
    if (!err && batch_builder_rows(s->builder) == REPLAY_BATCH_ROWS)
        err = batch_close(p, s);
    if (!err && batch_builder_row(s->builder, p->points[at].ts) < 0)
        err = ERR_NOMEM;
    for (uint32_t i = 0; !err && i < n; i++) {
        const struct point *point = &p->points[at + i];
        err = batch_set_value(s->builder, r->tags.items[point->tag].column, &point->value);
    }
    return err;
}

/* Points of one moment by stream, then as they were stored. */
static void moment_sort(struct piece *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        p->points[i].order +=
            (uint64_t)p->reader->tags.items[p->points[i].tag].stream * REPLAY_POINTS_MAX;
    if (p->count)
        qsort(p->points, p->count, sizeof *p->points, by_moment);
}

static int piece_batches(struct piece *p)
{
    struct replay_reader *r = p->reader;
    struct replay_stream *open = NULL;
    int err = OK;
    moment_sort(p);
    for (uint32_t at = 0; !err && at < p->count;) {
        struct replay_stream *s = &r->streams[r->tags.items[p->points[at].tag].stream];
        uint32_t n = row_points(p, at);
        if (open && open != s)
            err = batch_close(p, open);
        open = s;
        if (!err)
            err = row_put(p, at, n);
        at += n;
    }
    return !err && open ? batch_close(p, open) : err;
}

static int piece_take(struct piece *p, const struct replay_period *period)
{
    struct replay_reader *r = p->reader;
    for (uint32_t i = 0; i < p->count; i++)
        r->values += p->points[i].ts >= period->from_us && p->points[i].ts < period->to_us;
    int err = piece_batches(p);
    if (err)
        return err;
    uint32_t count = p->batch_count;
    p->batch_count = 0;
    r->piece_to_us = p->to_us;
    return r->take(r->ctx, p->batches, count);
}

/* ------------------------------------------------------------------------------------------ pieces
 */

int replay_reader_run(struct replay_reader *r, const struct replay_period *period,
                      struct diag *diag)
{
    struct piece p = {.reader = r, .diag = diag};
    int64_t at = period->from_us - period->lead_us;
    int64_t end = period->to_us + period->lead_us;
    int64_t length = PIECE_US_FIRST;
    int err = buf_error(&r->tags.ids);
    while (!err && at < end && r->tags.count) {
        int64_t to = end - at < length ? end : at + length;
        err = r->stop->fn(r->stop->ctx);
        p.from_us = at;
        p.to_us = to;
        if (!err)
            err = replay_on_reader(r->historian, piece_read, &p, diag);
        if (err == ERR_LIMIT && to - at > 1) {
            length = (to - at) / 2;
            err = OK;
            continue;
        }
        if (!err)
            err = piece_take(&p, period);
        if (p.count < PIECE_POINTS_LOW && length < PIECE_US_MAX)
            length *= 2;
        at = to;
    }
    piece_fini(&p);
    return err;
}

void replay_reader_fini(struct replay_reader *r)
{
    for (uint32_t i = 0; i < r->stream_count; i++) {
        batch_builder_free(r->streams[i].builder);
        schema_unref(r->streams[i].schema);
    }
    free(r->streams);
    replay_tags_fini(&r->tags);
    arena_fini(&r->arena);
}
