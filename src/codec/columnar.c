/* Encoding a batch in the columnar format. See columnar.h.
 *
 * Two passes over the columns: the first counts what lies where, the second copies. Nothing is done
 * per cell that can be done per column, and the case of one row, where a column is a cell, has a
 * loop of its own.
 */
#include "base/err.h"
#include "codec/columnar_priv.h"

#include <assert.h>
#include <stdlib.h>

#include <zstd.h>

#define ZSTD_LEVEL_DEFAULT 1

struct encoder {
    const struct batch *b;
    const struct schema *schema;
    uint32_t rows;
    uint32_t counts[LAYOUT_COUNT]; /* columns of each layout that have values */
    uint8_t sections;
    const uint8_t *all_null; /* which columns; NULL if none is */
    struct buf *out;
};

/* ---------------------------------------------------------------------------------------- counts
 */

static bool bitmap_is_zero(const uint8_t *bits, uint32_t n)
{
    for (uint32_t i = 0; i < n / 8; i++) {
        if (bits[i])
            return false;
    }
    return n % 8 == 0 || (bits[n / 8] & ((1u << n % 8) - 1)) == 0;
}

/* Which sections a column takes part in. */
static uint8_t column_sections(const struct batch *b, uint32_t col)
{
    const struct batch_col *c = &b->cols[col];
    uint8_t sections = 0;
    if (c->validity) {
        bool all = bitmap_is_zero(batch_at(b, c->validity), b->rows);
        sections |= all ? SECTION_ALL_NULL : SECTION_NULLS;
    }
    if (c->quality)
        sections |= SECTION_QUALITY;
    if (c->time_offset)
        sections |= SECTION_TIME_OFFSET;
    return sections;
}

static void count_columns(struct encoder *e)
{
    const struct batch_col *cols = e->b->cols;
    const struct field *fields = e->schema->fields;
    for (uint32_t i = 0; i < e->schema->count; i++) {
        uint8_t sections = 0;
        if (cols[i].validity | cols[i].quality | cols[i].time_offset)
            sections = column_sections(e->b, i);
        e->sections |= sections;
        if (!(sections & SECTION_ALL_NULL))
            e->counts[layout_of(fields[i].type)]++;
    }
}

static bool times_are_even(const int64_t *times, uint32_t rows)
{
    for (uint32_t i = 2; i < rows; i++) {
        if ((uint64_t)times[i] - (uint64_t)times[i - 1] != (uint64_t)times[1] - (uint64_t)times[0])
            return false;
    }
    return rows > 1;
}

/* ------------------------------------------------------------------------------------------ head
 */

static void put_times(struct encoder *e)
{
    const int64_t *times = batch_times(e->b);
    uint32_t written = e->sections & SECTION_EVEN_TIMES ? 2 : e->rows;
    uint64_t before = 0;
    for (uint32_t i = 0; i < written; i++) {
        (void)buf_append_varint(e->out, zigzag((int64_t)((uint64_t)times[i] - before)));
        before = (uint64_t)times[i];
    }
}

static int put_section_columns(struct encoder *e, enum section section)
{
    uint8_t *bits = buf_extend(e->out, bits_bytes(e->schema->count));
    if (!bits)
        return ERR_NOMEM;
    memset(bits, 0, bits_bytes(e->schema->count));
    for (uint32_t i = 0; i < e->schema->count; i++) {
        if (column_sections(e->b, i) & section)
            bitmap_set(bits, i);
    }
    return OK;
}

static bool has_values(const struct encoder *e, uint32_t col)
{
    return !e->all_null || !bitmap_get(e->all_null, col);
}

/* ----------------------------------------------------------------------------------- fixed widths
 */

struct cursors {
    uint8_t *p8;
    uint8_t *p4;
    uint8_t *bits;
    uint64_t bit;
};

/* One row: a column is a cell, and the loop is all that a wide batch costs. */
static void put_fixed_row(const struct encoder *e, struct cursors *c)
{
    const uint8_t *slab = (const uint8_t *)e->b;
    const struct batch_col *cols = e->b->cols;
    const struct field *fields = e->schema->fields;
    for (uint32_t i = 0; i < e->schema->count; i++) {
        enum layout layout = layout_of(fields[i].type);
        if (layout > LAYOUT_BIT || !has_values(e, i))
            continue;
        const uint8_t *data = slab + cols[i].data;
        if (layout == LAYOUT_8) {
            memcpy(c->p8, data, 8);
            c->p8 += 8;
        } else if (layout == LAYOUT_4) {
            memcpy(c->p4, data, 4);
            c->p4 += 4;
        } else {
            c->bits[c->bit >> 3] |= (uint8_t)((data[0] & 1u) << (c->bit & 7));
            c->bit++;
        }
    }
}

static void put_fixed_rows(const struct encoder *e, struct cursors *c)
{
    const uint8_t *slab = (const uint8_t *)e->b;
    size_t rows = e->rows;
    for (uint32_t i = 0; i < e->schema->count; i++) {
        enum layout layout = layout_of(e->schema->fields[i].type);
        if (layout > LAYOUT_BIT || !has_values(e, i))
            continue;
        const uint8_t *data = slab + e->b->cols[i].data;
        if (layout == LAYOUT_8) {
            memcpy(c->p8, data, rows * 8);
            c->p8 += rows * 8;
        } else if (layout == LAYOUT_4) {
            memcpy(c->p4, data, rows * 4);
            c->p4 += rows * 4;
        } else {
            bits_copy(c->bits, c->bit, data, 0, rows);
            c->bit += rows;
        }
    }
}

static int put_fixed(struct encoder *e)
{
    size_t rows = e->rows;
    size_t bytes8 = e->counts[LAYOUT_8] * rows * 8;
    size_t bytes4 = e->counts[LAYOUT_4] * rows * 4;
    size_t bytes_bits = bits_bytes(e->counts[LAYOUT_BIT] * rows);
    uint8_t *to = buf_extend(e->out, bytes8 + bytes4 + bytes_bits);
    if (!to)
        return ERR_NOMEM;
    struct cursors c = {.p8 = to, .p4 = to + bytes8, .bits = to + bytes8 + bytes4};
    memset(c.bits, 0, bytes_bits);
    if (rows == 1)
        put_fixed_row(e, &c);
    else
        put_fixed_rows(e, &c);
    return OK;
}

/* ---------------------------------------------------------------------------------------- strings
 */

static void put_chars_column(struct encoder *e, const struct column *c)
{
    for (uint32_t row = 0; row < e->rows; row++)
        (void)buf_append_varint(e->out, (uint64_t)(c->offsets[row + 1] - c->offsets[row]));
    struct bytes all =
        bytes_of(c->chars + c->offsets[0], (size_t)(c->offsets[e->rows] - c->offsets[0]));
    (void)buf_append_bytes(e->out, all);
}

static void put_any_column(struct encoder *e, const struct column *c)
{
    const uint64_t *words = c->data;
    (void)buf_append(e->out, c->tags, e->rows);
    for (uint32_t row = 0; row < e->rows; row++) {
        uint8_t tag = c->tags[row];
        assert(tag < VALUE_ANY);
        if (any_has_chars(tag))
            (void)buf_append_varint(e->out, column_bytes(c, row).len);
        else
            (void)buf_append(e->out, &words[row], any_width(tag));
    }
    for (uint32_t row = 0; row < e->rows; row++) {
        if (any_has_chars(c->tags[row]))
            (void)buf_append_bytes(e->out, column_bytes(c, row));
    }
}

static void put_variable(struct encoder *e)
{
    for (uint32_t i = 0; i < e->schema->count; i++) {
        enum layout layout = layout_of(e->schema->fields[i].type);
        if ((layout != LAYOUT_CHARS && layout != LAYOUT_ANY) || !has_values(e, i))
            continue;
        struct column c = batch_column(e->b, i);
        if (layout == LAYOUT_CHARS)
            put_chars_column(e, &c);
        else
            put_any_column(e, &c);
    }
}

/* --------------------------------------------------------------------------------------- sections
 */

static void put_nulls(struct encoder *e)
{
    for (uint32_t i = 0; i < e->schema->count; i++) {
        if (column_sections(e->b, i) & SECTION_NULLS)
            (void)buf_append(e->out, batch_at(e->b, e->b->cols[i].validity), bits_bytes(e->rows));
    }
}

/* The columns of one section, gathered so that runs along the rows don't ask every column. */
struct gathered {
    const void **columns;
    uint32_t count;
};

static int gather(const struct encoder *e, enum section section, struct gathered *ret)
{
    const void **columns = calloc(e->schema->count, sizeof *columns);
    if (!columns)
        return ERR_NOMEM;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->schema->count; i++) {
        const struct batch_col *c = &e->b->cols[i];
        uint32_t at = section == SECTION_QUALITY ? c->quality : c->time_offset;
        if (at)
            columns[n++] = batch_at(e->b, at);
    }
    *ret = (struct gathered){columns, n};
    return OK;
}

static void put_quality_run(struct encoder *e, uint8_t quality, uint64_t length)
{
    (void)buf_append_u8(e->out, quality);
    (void)buf_append_varint(e->out, length);
}

static int put_qualities(struct encoder *e)
{
    struct gathered g;
    int err = gather(e, SECTION_QUALITY, &g);
    if (err)
        return err;
    uint64_t length = 0;
    uint8_t run = 0;
    for (uint32_t row = 0; row < e->rows; row++) {
        for (uint32_t i = 0; i < g.count; i++) {
            uint8_t quality = ((const uint8_t *)g.columns[i])[row];
            if (quality != run) {
                if (length)
                    put_quality_run(e, run, length);
                run = quality;
                length = 0;
            }
            length++;
        }
    }
    put_quality_run(e, run, length);
    free(g.columns);
    return OK;
}

static void put_offset_run(struct encoder *e, int32_t *before, int32_t offset, uint64_t length)
{
    (void)buf_append_varint(e->out, zigzag((int64_t)offset - *before));
    (void)buf_append_varint(e->out, length);
    *before = offset;
}

static int put_time_offsets(struct encoder *e)
{
    struct gathered g;
    int err = gather(e, SECTION_TIME_OFFSET, &g);
    if (err)
        return err;
    uint64_t length = 0;
    int32_t before = 0;
    int32_t run = 0;
    for (uint32_t row = 0; row < e->rows; row++) {
        for (uint32_t i = 0; i < g.count; i++) {
            int32_t offset = ((const int32_t *)g.columns[i])[row];
            if (offset != run) {
                if (length)
                    put_offset_run(e, &before, run, length);
                run = offset;
                length = 0;
            }
            length++;
        }
    }
    put_offset_run(e, &before, run, length);
    free(g.columns);
    return OK;
}

/* -------------------------------------------------------------------------------------------- all
 */

static int put_sections(struct encoder *e)
{
    int err = OK;
    if (e->sections & SECTION_NULLS)
        put_nulls(e);
    if (e->sections & SECTION_QUALITY)
        err = put_qualities(e);
    if (!err && (e->sections & SECTION_TIME_OFFSET))
        err = put_time_offsets(e);
    return err;
}

static int put_section_heads(struct encoder *e)
{
    static const enum section order[] = {SECTION_ALL_NULL, SECTION_NULLS, SECTION_QUALITY,
                                         SECTION_TIME_OFFSET};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (!(e->sections & order[i]))
            continue;
        int err = put_section_columns(e, order[i]);
        if (err)
            return err;
    }
    return OK;
}

/* The all-null map is asked for each column while out may move: it gets memory of its own. */
static int all_null_new(struct encoder *e, uint8_t **ret)
{
    uint8_t *bits = calloc(1, bits_bytes(e->schema->count));
    if (!bits)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < e->schema->count; i++) {
        if (column_sections(e->b, i) & SECTION_ALL_NULL)
            bitmap_set(bits, i);
    }
    e->all_null = bits;
    *ret = bits;
    return OK;
}

static int encode_body(struct encoder *e)
{
    uint8_t *all_null = NULL;
    count_columns(e);
    if (times_are_even(batch_times(e->b), e->rows))
        e->sections |= SECTION_EVEN_TIMES;
    (void)buf_append_varint(e->out, e->rows);
    (void)buf_append_u8(e->out, e->sections);
    put_times(e);
    int err = put_section_heads(e);
    if (!err && (e->sections & SECTION_ALL_NULL))
        err = all_null_new(e, &all_null);
    if (!err)
        err = put_fixed(e);
    if (!err && e->counts[LAYOUT_CHARS] + e->counts[LAYOUT_ANY] > 0)
        put_variable(e);
    if (!err)
        err = put_sections(e);
    free(all_null);
    return err ? err : buf_error(e->out);
}

/* Replaces out's bytes from `body` on by one zstd frame, if that is shorter. */
static int compress_body(struct buf *out, size_t start, size_t body, int level)
{
    size_t plain = out->len - body;
    size_t bound = ZSTD_compressBound(plain);
    uint8_t *packed = malloc(bound);
    if (!packed)
        return ERR_NOMEM;
    size_t n =
        ZSTD_compress(packed, bound, out->ptr + body, plain, level ? level : ZSTD_LEVEL_DEFAULT);
    if (!ZSTD_isError(n) && n + 5 < plain) {
        out->len = body;
        (void)buf_append_varint(out, plain);
        (void)buf_append(out, packed, n);
        out->ptr[start + 1] |= FLAG_ZSTD;
    }
    free(packed);
    return OK;
}

int columnar_encode(const struct batch *b, const struct columnar_options *options, struct buf *out)
{
    size_t start = out->len;
    assert(b->rows > 0);
    if (b->slab_bytes > COLUMNAR_SLAB_BYTES_MAX)
        return ERR_LIMIT;
    (void)buf_append_u8(out, COLUMNAR_VERSION);
    (void)buf_append_u8(out, 0);
    (void)buf_append_le64(out, b->schema->hash);
    struct encoder e = {.b = b, .schema = b->schema, .rows = b->rows, .out = out};
    int err = buf_error(out) ? ERR_NOMEM : encode_body(&e);
    size_t body = start + HEAD_BYTES;
    if (!err && options && options->zstd && out->len - body >= COLUMNAR_ZSTD_BYTES_MIN)
        err = compress_body(out, start, body, options->zstd_level);
    if (err)
        out->len = start;
    return err;
}

int columnar_schema_hash(struct bytes payload, uint64_t *ret)
{
    if (payload.len < HEAD_BYTES)
        return ERR_SHORT;
    if (payload.ptr[0] != COLUMNAR_VERSION)
        return ERR_VERSION;
    *ret = load_le64(payload.ptr + 2);
    return OK;
}
