/* From batches to rows of the table `points`, in the order of (tag, time).
 *
 * A column of a batch is already one tag in the order of time, so what is sorted are runs (one
 * column of one batch), by tag, stably; only where late data breaks the order within a tag are its
 * single rows sorted. Values go straight from the batch's buffers into DuckDB's vectors.
 *
 * DuckDB does not keep every bit of a double: its compression may give 0.0 for -0.0, and one NaN
 * for another. Such values have their bits in the column u besides (for float32 its 32 bits).
 */
#include "base/array.h"
#include "historian/historian_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    POINT_TAG,
    POINT_TS,
    POINT_LAG,
    POINT_QUALITY,
    POINT_I,
    POINT_U,
    POINT_D,
    POINT_B,
    POINT_PIECE,
};

const struct duck_column point_columns[POINT_COLUMN_COUNT] = {
    {"tag", DUCK_U32, false},    {"ts", DUCK_TIME, false}, {"lag_us", DUCK_I32, false},
    {"quality", DUCK_U8, false}, {"i", DUCK_I64, true},    {"u", DUCK_U64, true},
    {"d", DUCK_F64, true},       {"b", DUCK_BYTES, true},  {"piece", DUCK_I32, true},
};

/* -------------------------------------------------------------------------------------- waiting
 */

static bool times_are_sorted(const struct batch *b)
{
    const int64_t *times = batch_times(b);
    for (uint32_t i = 1; i < b->rows; i++)
        if (times[i] < times[i - 1])
            return false;
    return true;
}

int points_add(struct points *p, struct source *source, struct batch *batch)
{
    struct waiting *items = array_room(p->items, p->count, &p->cap, 64, sizeof *items);
    if (!items)
        return ERR_NOMEM;
    p->items = items;
    p->items[p->count++] = (struct waiting){batch, source, times_are_sorted(batch)};
    p->cells += (uint64_t)batch->rows * batch->schema->count;
    return OK;
}

void points_clear(struct points *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        batch_unref(p->items[i].batch);
    p->count = 0;
    p->cells = 0;
}

void points_fini(struct points *p)
{
    points_clear(p);
    free(p->items);
    *p = (struct points){0};
}

/* ----------------------------------------------------------------------------------------- runs
 */

/* Rows of one column of one waiting batch, all of one tag. */
struct run {
    uint32_t tag;
    uint32_t item;
    uint32_t col;
    uint32_t row;
    uint32_t rows;
};

struct runs {
    struct run *list;
    struct run *spare; /* for sorting */
    uint32_t count;
    uint32_t cap;
};

static int runs_add(struct runs *r, const struct run *run)
{
    struct run *list = array_room(r->list, r->count, &r->cap, 1024, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    r->list = list;
    r->list[r->count++] = *run;
    return OK;
}

/* The type is per row, and a tag has one type: each row is a run of its own. */
static int runs_add_any(struct runs *r, struct tags *t, const struct waiting *w, struct run run)
{
    struct column c = batch_column(w->batch, run.col);
    int err = OK;
    for (uint32_t row = 0; !err && row < w->batch->rows; row++) {
        enum value_type type = column_is_null(&c, row) ? VALUE_NULL : (enum value_type)c.tags[row];
        if (type == VALUE_NULL && column_quality(&c, row) == QUALITY_GOOD)
            continue;
        run.row = row;
        run.rows = 1;
        err = tags_any(t, w->source, run.col, type, &run.tag);
        if (!err)
            err = runs_add(r, &run);
    }
    return err;
}

static int runs_collect(struct runs *r, struct tags *t, const struct points *p)
{
    int err = OK;
    for (uint32_t i = 0; !err && i < p->count; i++) {
        const struct waiting *w = &p->items[i];
        for (uint32_t col = 0; !err && col < w->batch->schema->count; col++) {
            struct run run = {w->source->tags[col], i, col, 0, w->batch->rows};
            if (w->batch->schema->fields[col].type == VALUE_ANY)
                err = runs_add_any(r, t, w, run);
            else
                err = runs_add(r, &run);
        }
    }
    return err;
}

#define RADIX_BITS 10
#define RADIX_SIZE (1u << RADIX_BITS)

static void runs_sort_pass(const struct run *from, struct run *to, uint32_t count, uint32_t shift)
{
    uint32_t at[RADIX_SIZE] = {0};
    for (uint32_t i = 0; i < count; i++)
        at[(from[i].tag >> shift) % RADIX_SIZE]++;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < RADIX_SIZE; i++) {
        uint32_t n = at[i];
        at[i] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < count; i++)
        to[at[(from[i].tag >> shift) % RADIX_SIZE]++] = from[i];
}

/* By tag; runs of one tag stay in the order of the batches. */
static int runs_sort(struct runs *r)
{
    uint32_t max = 0;
    bool sorted = true;
    for (uint32_t i = 0; i < r->count; i++) {
        sorted = sorted && max <= r->list[i].tag;
        max = r->list[i].tag > max ? r->list[i].tag : max;
    }
    if (sorted)
        return OK;
    r->spare = calloc(r->count, sizeof *r->spare);
    if (!r->spare)
        return ERR_NOMEM;
    for (uint32_t shift = 0; shift < 32 && max >> shift; shift += RADIX_BITS) {
        runs_sort_pass(r->list, r->spare, r->count, shift);
        struct run *other = r->list;
        r->list = r->spare;
        r->spare = other;
    }
    r->cap = r->count;
    return OK;
}

/* --------------------------------------------------------------------------------------- filling
 */

struct filler {
    struct duck_appender *appender;
    const struct duck_vector *v;
    uint32_t rows; /* in the chunk so far */
    uint64_t points;
    struct ranges *ranges;
    struct diag *diag;
};

static void valid_range(const struct duck_vector *v, uint32_t at, uint32_t n)
{
    for (; n && at % 64; n--, at++)
        duck_vector_set_valid(v, at);
    for (; n >= 64; n -= 64, at += 64)
        v->valid[at / 64] = UINT64_MAX;
    for (; n; n--, at++)
        duck_vector_set_valid(v, at);
}

static int filler_push(struct filler *f)
{
    int err = ranges_add(f->ranges, f->v[POINT_TAG].data, f->v[POINT_TS].data,
                         f->v[POINT_QUALITY].data, f->rows, f->v[POINT_PIECE].data);
    valid_range(&f->v[POINT_PIECE], 0, f->rows);
    if (!err && f->rows)
        err = duck_appender_push(f->appender, f->rows, f->diag);
    f->points += f->rows;
    f->rows = 0;
    f->v = duck_appender_vectors(f->appender);
    return err;
}

/* n values of a column without nulls, from `row` on, into the vectors from `at` on. */
typedef void (*fill_fn)(const struct duck_vector *v, uint32_t at, const struct column *c,
                        uint32_t row, uint32_t n);

static void fill_i64(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n)
{
    memcpy((int64_t *)v[POINT_I].data + at, (const int64_t *)c->data + row, n * sizeof(int64_t));
    valid_range(&v[POINT_I], at, n);
}

static void fill_bool(const struct duck_vector *v, uint32_t at, const struct column *c,
                      uint32_t row, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ((int64_t *)v[POINT_I].data)[at + i] = bitmap_get(c->data, row + i);
    valid_range(&v[POINT_I], at, n);
}

static void fill_u64(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n)
{
    memcpy((uint64_t *)v[POINT_U].data + at, (const uint64_t *)c->data + row, n * sizeof(uint64_t));
    valid_range(&v[POINT_U], at, n);
}

static void fill_odd(const struct duck_vector *v, uint32_t at, uint64_t bits)
{
    ((uint64_t *)v[POINT_U].data)[at] = bits;
    duck_vector_set_valid(&v[POINT_U], at);
}

static void fill_f64(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n)
{
    const double *from = (const double *)c->data + row;
    memcpy((double *)v[POINT_D].data + at, from, n * sizeof(double));
    valid_range(&v[POINT_D], at, n);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits = load_le64(from + i);
        if (isnan(from[i]) || bits == (uint64_t)1 << 63)
            fill_odd(v, at + i, bits);
    }
}

static void fill_f32(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n)
{
    const float *from = (const float *)c->data + row;
    valid_range(&v[POINT_D], at, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits = load_le32(from + i);
        ((double *)v[POINT_D].data)[at + i] = (double)from[i];
        if (isnan(from[i]) || bits == (uint32_t)1 << 31)
            fill_odd(v, at + i, bits);
    }
}

static void fill_bytes(const struct duck_vector *v, uint32_t at, const struct column *c,
                       uint32_t row, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        duck_vector_set_bytes(&v[POINT_B], at + i, column_bytes(c, row + i));
    valid_range(&v[POINT_B], at, n);
}

static void fill_any(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n);

static const fill_fn fills[VALUE_TYPE_COUNT] = {
    [VALUE_BOOL] = fill_bool,   [VALUE_INT64] = fill_i64,     [VALUE_UINT64] = fill_u64,
    [VALUE_FLOAT32] = fill_f32, [VALUE_DOUBLE] = fill_f64,    [VALUE_STRING] = fill_bytes,
    [VALUE_BYTES] = fill_bytes, [VALUE_TIMESTAMP] = fill_i64, [VALUE_ANY] = fill_any,
};

/* A single cell of a type that the row says; data holds the value's bits, or it is in chars. */
static void fill_any(const struct duck_vector *v, uint32_t at, const struct column *c, uint32_t row,
                     uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct value cell = column_value(c, row + i);
        struct column one = {.rows = 1, .data = &cell.i64};
        int32_t offsets[2] = {0, 0};
        uint8_t bit = cell.type == VALUE_BOOL && cell.boolean;
        if (cell.type == VALUE_BOOL) {
            one.data = &bit;
        } else if (cell.type == VALUE_STRING || cell.type == VALUE_BYTES) {
            offsets[1] = (int32_t)cell.bytes.len;
            one.offsets = offsets;
            one.chars = cell.bytes.ptr;
        }
        if (cell.type != VALUE_NULL)
            fills[cell.type](v, at + i, &one, 0, 1);
    }
}

static void fill_common(const struct filler *f, uint32_t tag, const struct batch *b,
                        const struct column *c, uint32_t row, uint32_t n)
{
    uint32_t *tags = (uint32_t *)f->v[POINT_TAG].data + f->rows;
    int64_t *ts = (int64_t *)f->v[POINT_TS].data + f->rows;
    int32_t *lag = (int32_t *)f->v[POINT_LAG].data + f->rows;
    uint8_t *quality = (uint8_t *)f->v[POINT_QUALITY].data + f->rows;
    const int64_t *times = batch_times(b) + row;
    for (uint32_t i = 0; i < n; i++)
        tags[i] = tag;
    if (c->time_offset) {
        for (uint32_t i = 0; i < n; i++) {
            lag[i] = c->time_offset[row + i];
            ts[i] = times[i] + lag[i];
        }
    } else {
        memcpy(ts, times, n * sizeof *ts);
        memset(lag, 0, n * sizeof *lag);
    }
    if (c->quality)
        memcpy(quality, c->quality + row, n);
    else
        memset(quality, QUALITY_GOOD, n);
}

/* Rows without nulls, as many at a time as the chunk takes. */
static int fill_full(struct filler *f, uint32_t tag, const struct batch *b, const struct column *c,
                     uint32_t row, uint32_t n)
{
    int err = OK;
    while (!err && n) {
        uint32_t room = DUCK_CHUNK_ROWS - f->rows;
        uint32_t step = n < room ? n : room;
        fill_common(f, tag, b, c, row, step);
        fills[c->type](f->v, f->rows, c, row, step);
        f->rows += step;
        row += step;
        n -= step;
        if (f->rows == DUCK_CHUNK_ROWS)
            err = filler_push(f);
    }
    return err;
}

/* A null cell is a point only if its quality says why there is no value. */
static int fill_null(struct filler *f, uint32_t tag, const struct batch *b, const struct column *c,
                     uint32_t row)
{
    if (column_quality(c, row) == QUALITY_GOOD)
        return OK;
    fill_common(f, tag, b, c, row, 1);
    f->rows++;
    return f->rows == DUCK_CHUNK_ROWS ? filler_push(f) : OK;
}

static int fill_rows(struct filler *f, uint32_t tag, const struct batch *b, const struct column *c,
                     uint32_t row, uint32_t n)
{
    if (!c->validity)
        return fill_full(f, tag, b, c, row, n);
    int err = OK;
    uint32_t end = row + n;
    while (!err && row < end) {
        uint32_t from = row;
        while (row < end && bitmap_get(c->validity, row))
            row++;
        if (row > from)
            err = fill_full(f, tag, b, c, from, row - from);
        for (; !err && row < end && !bitmap_get(c->validity, row); row++)
            err = fill_null(f, tag, b, c, row);
    }
    return err;
}

/* --------------------------------------------------------------------------------------- ordering
 */

static int64_t cell_time(const struct batch *b, const struct column *c, uint32_t row)
{
    return batch_times(b)[row] + (c->time_offset ? c->time_offset[row] : 0);
}

/* Whether the runs of one tag are in the order of time, one after the other. */
static bool runs_are_ordered(const struct points *p, const struct run *runs, uint32_t count)
{
    int64_t last = INT64_MIN;
    for (uint32_t i = 0; i < count; i++) {
        const struct waiting *w = &p->items[runs[i].item];
        struct column c = batch_column(w->batch, runs[i].col);
        uint32_t end = runs[i].row + runs[i].rows;
        if (w->sorted && !c.time_offset) {
            if (cell_time(w->batch, &c, runs[i].row) < last)
                return false;
            last = cell_time(w->batch, &c, end - 1);
            continue;
        }
        for (uint32_t row = runs[i].row; row < end; row++) {
            int64_t time = cell_time(w->batch, &c, row);
            if (time < last)
                return false;
            last = time;
        }
    }
    return true;
}

struct late {
    int64_t time;
    uint32_t run;
    uint32_t row;
};

static int late_compare(const void *a, const void *b)
{
    const struct late *x = a;
    const struct late *y = b;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    if (x->run != y->run)
        return x->run < y->run ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Row by row in the order of time. */
static int fill_late(struct filler *f, const struct points *p, const struct run *runs,
                     uint32_t count)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += runs[i].rows;
    struct late *list = calloc(total, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    uint64_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct batch *b = p->items[runs[i].item].batch;
        struct column c = batch_column(b, runs[i].col);
        for (uint32_t row = runs[i].row; row < runs[i].row + runs[i].rows; row++)
            list[n++] = (struct late){cell_time(b, &c, row), i, row};
    }
    qsort(list, n, sizeof *list, late_compare);
    int err = OK;
    for (uint64_t i = 0; !err && i < n; i++) {
        const struct run *run = &runs[list[i].run];
        const struct batch *b = p->items[run->item].batch;
        struct column c = batch_column(b, run->col);
        err = fill_rows(f, run->tag, b, &c, list[i].row, 1);
    }
    free(list);
    return err;
}

static int fill_tag(struct filler *f, const struct points *p, const struct run *runs,
                    uint32_t count)
{
    if (!runs_are_ordered(p, runs, count))
        return fill_late(f, p, runs, count);
    int err = OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        const struct batch *b = p->items[runs[i].item].batch;
        struct column c = batch_column(b, runs[i].col);
        err = fill_rows(f, runs[i].tag, b, &c, runs[i].row, runs[i].rows);
    }
    return err;
}

int points_write(const struct points *p, struct tags *t, struct duck_appender *a,
                 struct ranges *ranges, uint64_t *ret_points, struct diag *diag)
{
    struct runs r = {0};
    struct filler f = {
        .appender = a, .v = duck_appender_vectors(a), .ranges = ranges, .diag = diag};
    int err = runs_collect(&r, t, p);
    if (!err)
        err = runs_sort(&r);
    for (uint32_t i = 0; !err && i < r.count;) {
        uint32_t end = i + 1;
        while (end < r.count && r.list[end].tag == r.list[i].tag)
            end++;
        err = fill_tag(&f, p, &r.list[i], end - i);
        i = end;
    }
    if (!err)
        err = filler_push(&f);
    if (!err && f.points)
        err = duck_appender_flush(a, diag);
    free(r.list);
    free(r.spare);
    if (!err)
        *ret_points = f.points;
    return err;
}
