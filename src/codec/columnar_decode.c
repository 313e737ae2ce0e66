/* Decoding a batch in the columnar format. See columnar.h.
 *
 * First the payload is walked and measured: where each part begins, how many characters the strings
 * have, how large the slab will be. Only then memory is taken, once, and filled. Every length comes
 * from a stranger: it is compared with what is left before anything is added to it.
 */
#include "base/err.h"
#include "base/str.h"
#include "codec/columnar_priv.h"

#include <stdlib.h>

#include <zstd.h>

struct decoder {
    struct reader r;
    const struct schema *schema;
    uint32_t rows;
    uint8_t sections;
    struct reader times;
    /* Which columns; NULL where the section is absent. */
    const uint8_t *all_null;
    const uint8_t *nulls;
    const uint8_t *quality;
    const uint8_t *time_offset;
    uint32_t counts[LAYOUT_COUNT]; /* columns of each layout that have values */
    const uint8_t *p8;
    const uint8_t *p4;
    const uint8_t *bits;
    struct reader variable;
    struct reader sections_body;
    struct batch *b;
    size_t at; /* where the next buffer of the slab begins */
};

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static bool in_map(const uint8_t *map, uint32_t col)
{
    return map && bitmap_get(map, col);
}

/* ---------------------------------------------------------------------------------------- measure
 */

static int read_head(struct decoder *d)
{
    uint64_t rows = reader_varint(&d->r);
    d->sections = reader_u8(&d->r);
    if (d->r.failed)
        return ERR_SHORT;
    if (rows == 0 || (d->sections & ~SECTION_ALL))
        return ERR_MALFORMED;
    if (rows > BATCH_ROWS_MAX)
        return ERR_LIMIT;
    d->rows = (uint32_t)rows;
    d->times = d->r;
    uint32_t written = d->sections & SECTION_EVEN_TIMES ? 2 : d->rows;
    for (uint32_t i = 0; i < written && !d->r.failed; i++)
        (void)reader_varint(&d->r);
    return d->r.failed ? ERR_SHORT : OK;
}

static const uint8_t *read_map(struct decoder *d, enum section section)
{
    if (!(d->sections & section))
        return NULL;
    return reader_take(&d->r, bits_bytes(d->schema->count)).ptr;
}

static int read_maps(struct decoder *d)
{
    d->all_null = read_map(d, SECTION_ALL_NULL);
    d->nulls = read_map(d, SECTION_NULLS);
    d->quality = read_map(d, SECTION_QUALITY);
    d->time_offset = read_map(d, SECTION_TIME_OFFSET);
    return d->r.failed ? ERR_SHORT : OK;
}

/* Memory of a column's buffers without characters. */
static size_t column_bytes_fixed(const struct decoder *d, enum layout layout)
{
    static const uint8_t widths[LAYOUT_COUNT] = {[LAYOUT_8] = 8, [LAYOUT_4] = 4, [LAYOUT_ANY] = 8};
    size_t rows = d->rows;
    if (layout == LAYOUT_BIT)
        return align8(bits_bytes(rows));
    size_t bytes = align8(rows * widths[layout]);
    if (layout == LAYOUT_ANY)
        bytes += align8(rows);
    if (layout == LAYOUT_ANY || layout == LAYOUT_CHARS)
        bytes += align8((rows + 1) * sizeof(int32_t));
    return bytes;
}

static size_t bitmap_count(const uint8_t *map, uint32_t n)
{
    size_t count = 0;
    for (uint32_t i = 0; map && i < n; i++)
        count += bitmap_get(map, i);
    return count;
}

/* Counts the columns; the slab's size without characters. */
static int measure_columns(struct decoder *d, size_t *ret_bytes)
{
    uint32_t all[LAYOUT_COUNT] = {0};
    uint32_t absent[LAYOUT_COUNT] = {0};
    size_t columns = d->schema->count;
    for (uint32_t i = 0; i < columns; i++) {
        enum layout layout = layout_of(d->schema->fields[i].type);
        all[layout]++;
        if (in_map(d->all_null, i))
            absent[layout]++;
    }
    if (all[LAYOUT_NONE])
        return ERR_MALFORMED;
    size_t rows = d->rows;
    size_t bytes = batch_header_bytes(d->schema->count) + align8(rows * sizeof(int64_t));
    for (int i = 0; i < LAYOUT_COUNT; i++) {
        d->counts[i] = all[i] - absent[i];
        bytes += all[i] * column_bytes_fixed(d, (enum layout)i);
    }
    size_t all_null = bitmap_count(d->all_null, d->schema->count);
    bytes += (all_null + bitmap_count(d->nulls, d->schema->count)) * align8(bits_bytes(rows));
    bytes += bitmap_count(d->quality, d->schema->count) * align8(rows);
    bytes += bitmap_count(d->time_offset, d->schema->count) * align8(rows * sizeof(int32_t));
    if (bytes > COLUMNAR_SLAB_BYTES_MAX)
        return ERR_LIMIT;
    *ret_bytes = bytes;
    return OK;
}

static int find_fixed(struct decoder *d)
{
    size_t rows = d->rows;
    d->p8 = reader_take(&d->r, d->counts[LAYOUT_8] * rows * 8).ptr;
    d->p4 = reader_take(&d->r, d->counts[LAYOUT_4] * rows * 4).ptr;
    d->bits = reader_take(&d->r, bits_bytes(d->counts[LAYOUT_BIT] * rows)).ptr;
    d->variable = d->r;
    return d->r.failed ? ERR_SHORT : OK;
}

/* Sum of `rows` lengths, each checked against what is left of the payload. */
static size_t sum_lengths(struct reader *r, uint32_t rows)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < rows && !r->failed; i++) {
        uint64_t length = reader_varint(r);
        if (length > reader_left(r)) {
            r->failed = true;
            return 0;
        }
        sum += (size_t)length;
    }
    return sum;
}

static int measure_chars(struct decoder *d, size_t *ret_chars)
{
    size_t sum = sum_lengths(&d->r, d->rows);
    (void)reader_take(&d->r, sum);
    *ret_chars = sum;
    return d->r.failed ? ERR_SHORT : OK;
}

static int measure_any(struct decoder *d, size_t *ret_chars)
{
    struct reader *r = &d->r;
    struct bytes tags = reader_take(r, d->rows);
    size_t sum = 0;
    for (size_t i = 0; i < tags.len; i++) {
        if (tags.ptr[i] >= VALUE_ANY)
            return ERR_MALFORMED;
        if (any_has_chars(tags.ptr[i]))
            sum += sum_lengths(r, 1);
        else
            (void)reader_take(r, any_width(tags.ptr[i]));
    }
    (void)reader_take(r, sum);
    *ret_chars = sum;
    return r->failed ? ERR_SHORT : OK;
}

/* Room for a column's characters; an empty buffer has a place of its own too. */
static size_t chars_room(size_t chars)
{
    return chars ? align8(chars) : 8;
}

static int measure_variable(struct decoder *d, size_t *bytes)
{
    if (d->counts[LAYOUT_CHARS] + d->counts[LAYOUT_ANY] == 0 && !d->all_null)
        return OK;
    for (uint32_t i = 0; i < d->schema->count; i++) {
        enum layout layout = layout_of(d->schema->fields[i].type);
        if (layout != LAYOUT_CHARS && layout != LAYOUT_ANY)
            continue;
        size_t chars = 0;
        int err = OK;
        if (!in_map(d->all_null, i))
            err = layout == LAYOUT_ANY ? measure_any(d, &chars) : measure_chars(d, &chars);
        if (err)
            return err;
        *bytes += chars_room(chars);
    }
    return *bytes > COLUMNAR_SLAB_BYTES_MAX ? ERR_LIMIT : OK;
}

/* ------------------------------------------------------------------------------------------- fill
 */

static uint32_t place(struct decoder *d, size_t bytes)
{
    size_t at = d->at;
    d->at += align8(bytes);
    return (uint32_t)at;
}

static uint8_t *slab_at(const struct decoder *d, uint32_t offset)
{
    return (uint8_t *)d->b + offset;
}

static void fill_times(struct decoder *d)
{
    d->b->times = place(d, (size_t)d->rows * sizeof(int64_t));
    int64_t *times = (int64_t *)(void *)slab_at(d, d->b->times);
    uint64_t time = 0;
    uint64_t step = 0;
    bool even = d->sections & SECTION_EVEN_TIMES;
    for (uint32_t i = 0; i < d->rows; i++) {
        if (i < 2 || !even)
            step = (uint64_t)unzigzag(reader_varint(&d->times));
        time += step;
        times[i] = (int64_t)time;
    }
}

/* One row and no column without a value: what a gateway sends all day. */
static void fill_fixed_row(struct decoder *d)
{
    struct batch_col *cols = d->b->cols;
    const struct field *fields = d->schema->fields;
    uint8_t *slab = (uint8_t *)d->b;
    uint64_t bit = 0;
    size_t at = d->at;
    for (uint32_t i = 0; i < d->schema->count; i++) {
        enum layout layout = layout_of(fields[i].type);
        if (layout > LAYOUT_BIT)
            continue;
        uint64_t word = 0;
        if (layout == LAYOUT_8) {
            memcpy(&word, d->p8, 8);
            d->p8 += 8;
        } else if (layout == LAYOUT_4) {
            memcpy(&word, d->p4, 4);
            d->p4 += 4;
        } else {
            word = (d->bits[bit >> 3] >> (bit & 7)) & 1u;
            bit++;
        }
        memcpy(slab + at, &word, 8);
        cols[i].data = (uint32_t)at;
        at += 8;
    }
    d->at = at;
}

static void fill_fixed_column(struct decoder *d, uint32_t col, enum layout layout, uint64_t *bit)
{
    size_t rows = d->rows;
    size_t bytes = layout == LAYOUT_BIT ? bits_bytes(rows) : rows * (layout == LAYOUT_8 ? 8 : 4);
    d->b->cols[col].data = place(d, bytes);
    uint8_t *to = slab_at(d, d->b->cols[col].data);
    if (in_map(d->all_null, col)) {
        memset(to, 0, bytes);
    } else if (layout == LAYOUT_8) {
        memcpy(to, d->p8, bytes);
        d->p8 += bytes;
    } else if (layout == LAYOUT_4) {
        memcpy(to, d->p4, bytes);
        d->p4 += bytes;
    } else {
        memset(to, 0, bytes);
        bits_copy(to, 0, d->bits, *bit, rows);
        *bit += rows;
    }
}

static void fill_fixed(struct decoder *d)
{
    if (d->rows == 1 && !d->all_null) {
        fill_fixed_row(d);
        return;
    }
    uint64_t bit = 0;
    for (uint32_t i = 0; i < d->schema->count; i++) {
        enum layout layout = layout_of(d->schema->fields[i].type);
        if (layout <= LAYOUT_BIT)
            fill_fixed_column(d, i, layout, &bit);
    }
}

/* Every cell is text of its own: none may begin inside a character. */
static int check_utf8(const int32_t *offsets, uint32_t rows, const uint8_t *chars)
{
    for (uint32_t i = 0; i < rows; i++) {
        if (offsets[i] < offsets[i + 1] && (chars[offsets[i]] & 0xc0) == 0x80)
            return ERR_MALFORMED;
    }
    return str_is_utf8(bytes_of(chars, (size_t)offsets[rows])) ? OK : ERR_MALFORMED;
}

static int fill_chars_column(struct decoder *d, uint32_t col)
{
    struct batch_col *c = &d->b->cols[col];
    struct reader *r = &d->variable;
    c->offsets = place(d, ((size_t)d->rows + 1) * sizeof(int32_t));
    int32_t *offsets = (int32_t *)(void *)slab_at(d, c->offsets);
    offsets[0] = 0;
    for (uint32_t i = 0; i < d->rows; i++)
        offsets[i + 1] = offsets[i] + (int32_t)reader_varint(r);
    struct bytes chars = reader_take(r, (size_t)offsets[d->rows]);
    c->chars = place(d, chars_room(chars.len));
    if (chars.len)
        memcpy(slab_at(d, c->chars), chars.ptr, chars.len);
    if (d->schema->fields[col].type != VALUE_STRING)
        return OK;
    return check_utf8(offsets, d->rows, slab_at(d, c->chars));
}

/* The cells of an any column before its characters. */
static int fill_any_cells(struct decoder *d, const uint8_t *tags, uint64_t *words, int32_t *offsets)
{
    struct reader *r = &d->variable;
    offsets[0] = 0;
    for (uint32_t i = 0; i < d->rows; i++) {
        uint64_t length = 0;
        words[i] = 0;
        if (any_has_chars(tags[i])) {
            length = reader_varint(r);
        } else if (any_width(tags[i])) {
            memcpy(&words[i], reader_take(r, any_width(tags[i])).ptr, any_width(tags[i]));
            if (tags[i] == VALUE_BOOL && words[i] > 1)
                return ERR_MALFORMED;
        }
        offsets[i + 1] = offsets[i] + (int32_t)length;
    }
    return OK;
}

static int fill_any_column(struct decoder *d, uint32_t col)
{
    struct batch_col *c = &d->b->cols[col];
    size_t rows = d->rows;
    c->data = place(d, rows * sizeof(uint64_t));
    c->tags = place(d, rows);
    c->offsets = place(d, (rows + 1) * sizeof(int32_t));
    uint8_t *tags = slab_at(d, c->tags);
    int32_t *offsets = (int32_t *)(void *)slab_at(d, c->offsets);
    memcpy(tags, reader_take(&d->variable, rows).ptr, rows);
    int err = fill_any_cells(d, tags, (uint64_t *)(void *)slab_at(d, c->data), offsets);
    if (err)
        return err;
    struct bytes chars = reader_take(&d->variable, (size_t)offsets[rows]);
    c->chars = place(d, chars_room(chars.len));
    uint8_t *to = slab_at(d, c->chars);
    if (chars.len)
        memcpy(to, chars.ptr, chars.len);
    for (size_t i = 0; i < rows; i++) {
        struct bytes cell = bytes_of(to + offsets[i], (size_t)(offsets[i + 1] - offsets[i]));
        if (tags[i] == VALUE_STRING && !str_is_utf8(cell))
            return ERR_MALFORMED;
    }
    return OK;
}

static void fill_absent_column(struct decoder *d, uint32_t col, enum layout layout)
{
    struct batch_col *c = &d->b->cols[col];
    size_t from = d->at;
    if (layout == LAYOUT_ANY) {
        c->data = place(d, (size_t)d->rows * sizeof(uint64_t));
        c->tags = place(d, d->rows);
    }
    c->offsets = place(d, ((size_t)d->rows + 1) * sizeof(int32_t));
    c->chars = place(d, chars_room(0));
    memset((uint8_t *)d->b + from, 0, d->at - from);
}

static int fill_variable(struct decoder *d)
{
    if (d->counts[LAYOUT_CHARS] + d->counts[LAYOUT_ANY] == 0 && !d->all_null)
        return OK;
    for (uint32_t i = 0; i < d->schema->count; i++) {
        enum layout layout = layout_of(d->schema->fields[i].type);
        int err = OK;
        if (layout != LAYOUT_CHARS && layout != LAYOUT_ANY)
            continue;
        if (in_map(d->all_null, i))
            fill_absent_column(d, i, layout);
        else
            err = layout == LAYOUT_ANY ? fill_any_column(d, i) : fill_chars_column(d, i);
        if (err)
            return err;
    }
    return OK;
}

/* --------------------------------------------------------------------------------------- sections
 */

static int fill_nulls(struct decoder *d)
{
    size_t bytes = bits_bytes(d->rows);
    for (uint32_t i = 0; i < d->schema->count; i++) {
        bool absent = in_map(d->all_null, i);
        if (!absent && !in_map(d->nulls, i))
            continue;
        if (absent && in_map(d->nulls, i))
            return ERR_MALFORMED;
        d->b->cols[i].validity = place(d, bytes);
        uint8_t *to = slab_at(d, d->b->cols[i].validity);
        memset(to, 0, bytes);
        if (!absent) {
            struct bytes bits = reader_take(&d->r, bytes);
            if (d->r.failed)
                return ERR_SHORT;
            memcpy(to, bits.ptr, bytes);
        }
    }
    return OK;
}

/* Gives each column of a section its buffer; how many there are. */
static uint32_t place_section(struct decoder *d, enum section section)
{
    const uint8_t *map = section == SECTION_QUALITY ? d->quality : d->time_offset;
    size_t width = section == SECTION_QUALITY ? 1 : sizeof(int32_t);
    uint32_t count = 0;
    for (uint32_t i = 0; i < d->schema->count; i++) {
        if (!in_map(map, i))
            continue;
        struct batch_col *c = &d->b->cols[i];
        uint32_t at = place(d, d->rows * width);
        if (section == SECTION_QUALITY)
            c->quality = at;
        else
            c->time_offset = at;
        count++;
    }
    return count;
}

/* A section's buffers lie behind one another; runs walk them along the rows. */
struct walk {
    uint8_t *first;
    size_t stride;
    uint32_t columns;
    uint32_t column;
    uint32_t row;
    uint64_t left; /* cells */
};

static struct walk section_walk(struct decoder *d, enum section section)
{
    size_t width = section == SECTION_QUALITY ? 1 : sizeof(int32_t);
    struct walk w = {.first = (uint8_t *)d->b + d->at, .stride = align8(d->rows * width)};
    w.columns = place_section(d, section);
    w.left = (uint64_t)w.columns * d->rows;
    return w;
}

/* The cell that is next, as the start of its column's buffer and its row. */
static uint8_t *walk_next(struct walk *w, uint32_t *ret_row)
{
    uint8_t *column = w->first + w->column * w->stride;
    *ret_row = w->row;
    if (++w->column == w->columns) {
        w->column = 0;
        w->row++;
    }
    return column;
}

static int run_length(struct decoder *d, struct walk *w, uint64_t *ret)
{
    uint64_t length = reader_varint(&d->r);
    if (d->r.failed)
        return ERR_SHORT;
    if (length == 0 || length > w->left)
        return ERR_MALFORMED;
    w->left -= length;
    *ret = length;
    return OK;
}

static int fill_qualities(struct decoder *d)
{
    struct walk w = section_walk(d, SECTION_QUALITY);
    while (w.left) {
        uint8_t quality = reader_u8(&d->r);
        uint64_t length = 0;
        int err = run_length(d, &w, &length);
        if (err)
            return err;
        if (quality >= QUALITY_COUNT)
            return ERR_MALFORMED;
        while (length-- > 0) {
            uint32_t row;
            uint8_t *column = walk_next(&w, &row);
            column[row] = quality;
        }
    }
    return OK;
}

static int fill_time_offsets(struct decoder *d)
{
    struct walk w = section_walk(d, SECTION_TIME_OFFSET);
    int64_t offset = 0;
    while (w.left) {
        int64_t step = unzigzag(reader_varint(&d->r));
        uint64_t length = 0;
        int err = run_length(d, &w, &length);
        if (err)
            return err;
        if (__builtin_add_overflow(offset, step, &offset) || offset != (int32_t)offset)
            return ERR_MALFORMED;
        while (length-- > 0) {
            uint32_t row;
            uint8_t *column = walk_next(&w, &row);
            ((int32_t *)(void *)column)[row] = (int32_t)offset;
        }
    }
    return OK;
}

static int fill_sections(struct decoder *d)
{
    int err = OK;
    if (d->all_null || d->nulls)
        err = fill_nulls(d);
    if (!err && d->quality)
        err = fill_qualities(d);
    if (!err && d->time_offset)
        err = fill_time_offsets(d);
    if (!err && reader_left(&d->r))
        err = ERR_MALFORMED;
    return err;
}

/* -------------------------------------------------------------------------------------------- all
 */

static int measure(struct decoder *d, size_t *ret_bytes)
{
    size_t bytes = 0;
    int err = read_head(d);
    if (!err)
        err = read_maps(d);
    if (!err)
        err = measure_columns(d, &bytes);
    if (!err)
        err = find_fixed(d);
    if (!err)
        err = measure_variable(d, &bytes);
    if (!err)
        *ret_bytes = bytes;
    return err;
}

static int decode_body(struct bytes body, const struct schema *schema, struct batch_pool *pool,
                       struct batch **ret)
{
    struct decoder d = {.r = reader_of(body), .schema = schema};
    size_t bytes = 0;
    int err = measure(&d, &bytes);
    if (!err)
        err = batch_alloc(schema, d.rows, bytes, pool, &d.b);
    if (err)
        return err;
    d.at = batch_header_bytes(schema->count);
    fill_times(&d);
    fill_fixed(&d);
    err = fill_variable(&d);
    if (!err)
        err = fill_sections(&d);
    if (err) {
        batch_unref(d.b);
        return err;
    }
    *ret = d.b;
    return OK;
}

static int decode_packed(struct bytes packed, const struct schema *schema, struct batch_pool *pool,
                         struct batch **ret)
{
    struct reader r = reader_of(packed);
    uint64_t plain = reader_varint(&r);
    size_t left = reader_left(&r);
    if (r.failed)
        return ERR_SHORT;
    if (plain > COLUMNAR_PLAIN_BYTES_MAX)
        return ERR_LIMIT;
    if (plain == 0 || ZSTD_getFrameContentSize(r.ptr, left) != plain)
        return ERR_MALFORMED;
    uint8_t *body = malloc((size_t)plain);
    if (!body)
        return ERR_NOMEM;
    int err = ERR_MALFORMED;
    if (ZSTD_decompress(body, (size_t)plain, r.ptr, left) == plain)
        err = decode_body(bytes_of(body, (size_t)plain), schema, pool, ret);
    free(body);
    return err;
}

int columnar_decode(struct bytes payload, const struct schema *schema, struct batch_pool *pool,
                    struct batch **ret)
{
    uint64_t hash;
    int err = columnar_schema_hash(payload, &hash);
    if (err)
        return err;
    if (hash != schema->hash)
        return ERR_CONFLICT;
    uint8_t flags = payload.ptr[1];
    struct bytes rest = bytes_of(payload.ptr + HEAD_BYTES, payload.len - HEAD_BYTES);
    if (flags & ~FLAG_ZSTD)
        return ERR_MALFORMED;
    return flags & FLAG_ZSTD ? decode_packed(rest, schema, pool, ret)
                             : decode_body(rest, schema, pool, ret);
}
