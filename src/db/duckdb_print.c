/* Rows of an answer as JSON, CSV or a table for a terminal. See duckdb_priv.h.
 *
 * The same rules as everywhere: 64-bit integers exactly, doubles by the shortest text that reads
 * back, NaN and infinities as null in JSON, times as RFC 3339, bytes as text when they are UTF-8.
 */
#include "base/array.h"
#include "base/clock.h"
#include "base/str.h"
#include "db/duckdb_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* --------------------------------------------------------------------------------------- pieces
 */

static void print_json_string(struct bytes v, struct buf *out)
{
    (void)buf_append_u8(out, '"');
    size_t from = 0;
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        (void)buf_append(out, v.ptr + from, i - from);
        from = i + 1;
        if (c == '\n')
            (void)buf_append_text(out, "\\n");
        else if (c < 0x20)
            (void)buf_printf(out, "\\u%04x", c);
        else
            (void)buf_printf(out, "\\%c", c);
    }
    (void)buf_append(out, v.ptr + from, v.len - from);
    (void)buf_append_u8(out, '"');
}

static void print_base64(struct bytes v, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < v.len; i += 3) {
        size_t left = v.len - i;
        uint32_t three = (uint32_t)v.ptr[i] << 16;
        three |= left > 1 ? (uint32_t)v.ptr[i + 1] << 8 : 0;
        three |= left > 2 ? (uint32_t)v.ptr[i + 2] : 0;
        (void)buf_append_u8(out, (uint8_t)digits[three >> 18]);
        (void)buf_append_u8(out, (uint8_t)digits[(three >> 12) & 63]);
        (void)buf_append_u8(out, left > 1 ? (uint8_t)digits[(three >> 6) & 63] : '=');
        (void)buf_append_u8(out, left > 2 ? (uint8_t)digits[three & 63] : '=');
    }
}

static void print_hex(struct bytes v, struct buf *out)
{
    (void)buf_append_text(out, "\\x");
    (void)str_print_hex(v, out);
}

/* A value as plain text; nothing for null. */
static void print_plain(const struct value *v, struct buf *out)
{
    char number[STR_NUMBER_BYTES_MAX];
    char time[CLOCK_TEXT_BYTES_MAX];
    if (v->type == VALUE_BOOL)
        (void)buf_append_text(out, v->boolean ? "true" : "false");
    else if (v->type == VALUE_INT64)
        (void)buf_printf(out, "%" PRId64, v->i64);
    else if (v->type == VALUE_UINT64)
        (void)buf_printf(out, "%" PRIu64, v->u64);
    else if (v->type == VALUE_FLOAT32)
        (void)buf_append(out, number, str_from_float(v->f32, number));
    else if (v->type == VALUE_DOUBLE)
        (void)buf_append(out, number, str_from_double(v->f64, number));
    else if (v->type == VALUE_TIMESTAMP)
        (void)buf_append(out, time, clock_format(v->i64, time));
    else if (v->type == VALUE_BYTES && !str_is_utf8(v->bytes))
        print_hex(v->bytes, out);
    else if (v->type != VALUE_NULL)
        (void)buf_append_bytes(out, v->bytes);
}

static bool print_is_infinite(const struct value *v)
{
    return (v->type == VALUE_DOUBLE && !isfinite(v->f64)) ||
           (v->type == VALUE_FLOAT32 && !isfinite(v->f32));
}

static void print_json(const struct duck_head *head, const struct value *v, struct buf *out)
{
    if (v->type == VALUE_NULL || print_is_infinite(v)) {
        (void)buf_append_text(out, "null");
    } else if (v->type == VALUE_BYTES && !str_is_utf8(v->bytes)) {
        (void)buf_append_text(out, "{\"$bytes\":\"");
        print_base64(v->bytes, out);
        (void)buf_append_text(out, "\"}");
    } else if ((v->type == VALUE_STRING && !head->number) || v->type == VALUE_BYTES) {
        print_json_string(v->bytes, out);
    } else if (v->type == VALUE_TIMESTAMP) {
        (void)buf_append_u8(out, '"');
        print_plain(v, out);
        (void)buf_append_u8(out, '"');
    } else {
        print_plain(v, out);
    }
}

static void print_csv(const struct value *v, struct buf *out)
{
    bool text = v->type == VALUE_STRING || v->type == VALUE_BYTES;
    bool quoted = text && v->bytes.len == 0; /* "" is empty, nothing is null */
    for (size_t i = 0; text && i < v->bytes.len; i++)
        quoted = quoted || strchr("\",\r\n", v->bytes.ptr[i]) != NULL;
    if (!quoted || (v->type == VALUE_BYTES && !str_is_utf8(v->bytes))) {
        print_plain(v, out);
        return;
    }
    (void)buf_append_u8(out, '"');
    for (size_t i = 0; i < v->bytes.len; i++) {
        if (v->bytes.ptr[i] == '"')
            (void)buf_append_u8(out, '"');
        (void)buf_append_u8(out, v->bytes.ptr[i]);
    }
    (void)buf_append_u8(out, '"');
}

/* ---------------------------------------------------------------------------------------- table
 */

#define TABLE_WIDTH_MAX 60

static int table_cell(struct duck_printer *p, const struct value *v)
{
    size_t *ends = array_room(p->ends, p->end_count, &p->end_cap, 256, sizeof *ends);
    if (!ends)
        return ERR_NOMEM;
    p->ends = ends;
    print_plain(v, &p->cells);
    p->ends[p->end_count++] = p->cells.len;
    return buf_error(&p->cells);
}

static struct bytes table_at(const struct duck_printer *p, size_t i)
{
    size_t from = i ? p->ends[i - 1] : 0;
    return bytes_of(p->cells.ptr + from, p->ends[i] - from);
}

/* Characters shown; CJK takes two columns, near enough by its UTF-8 length. */
static size_t table_width(struct bytes v)
{
    size_t width = 0;
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if ((c & 0xc0) != 0x80)
            width += c >= 0xe3 ? 2 : 1;
    }
    return width;
}

static void table_put(struct duck_printer *p, struct bytes v, size_t width, bool right)
{
    size_t used = 0;
    size_t len = 0;
    size_t all = table_width(v);
    size_t pad = width > all ? width - all : 0;
    if (right)
        (void)buf_printf(p->out, "%*s", (int)pad, "");
    for (; len < v.len && used < width; len++) {
        size_t step = table_width(bytes_of(v.ptr + len, 1));
        uint8_t c = v.ptr[len];
        /* One line a row: a line break would tear the table. */
        (void)buf_append_u8(p->out, c < 0x20 ? ' ' : c);
        used += step;
        while (len + 1 < v.len && (v.ptr[len + 1] & 0xc0) == 0x80)
            (void)buf_append_u8(p->out, v.ptr[++len]);
    }
    if (!right)
        (void)buf_printf(p->out, "%*s", (int)pad, "");
}

static bool table_is_number(const struct duck_head *head)
{
    duckdb_type t = head->type;
    return head->number || (t >= DUCKDB_TYPE_TINYINT && t <= DUCKDB_TYPE_DOUBLE);
}

static int table_print(struct duck_printer *p)
{
    const uint32_t columns = p->count;
    assert(columns > 0);
    size_t *widths = calloc(columns, sizeof *widths);
    if (!widths)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < columns; i++)
        widths[i] = table_width(bytes_of_text(p->heads[i].name));
    for (size_t i = 0; i < p->end_count; i++) {
        size_t width = table_width(table_at(p, i));
        size_t *w = &widths[i % columns];
        *w = width > *w ? width : *w;
        *w = *w > TABLE_WIDTH_MAX ? TABLE_WIDTH_MAX : *w;
    }
    for (uint32_t i = 0; i < columns; i++) {
        table_put(p, bytes_of_text(p->heads[i].name), widths[i], table_is_number(&p->heads[i]));
        (void)buf_append_text(p->out, i + 1 < columns ? "  " : "\n");
    }
    for (uint32_t i = 0; i < columns; i++) {
        for (size_t k = 0; k < widths[i]; k++)
            (void)buf_append_u8(p->out, '-');
        (void)buf_append_text(p->out, i + 1 < columns ? "  " : "\n");
    }
    for (size_t i = 0; i < p->end_count; i++) {
        size_t col = i % columns;
        table_put(p, table_at(p, i), widths[col], table_is_number(&p->heads[col]));
        (void)buf_append_text(p->out, col + 1 < columns ? "  " : "\n");
    }
    free(widths);
    return buf_error(p->out);
}

/* ----------------------------------------------------------------------------------------- rows
 */

int duck_print_columns(const struct duck_head *heads, uint32_t count, struct buf *out)
{
    (void)buf_append_u8(out, '[');
    for (uint32_t i = 0; i < count; i++) {
        struct value none;
        static const uint64_t cell[2] = {0, 0};
        duck_cell(heads[i].type, cell, NULL, 0, &none);
        const char *type = heads[i].number           ? "number"
                           : none.type == VALUE_NULL ? "string"
                                                     : value_type_name(none.type);
        (void)buf_append_text(out, i ? ",{\"name\":" : "{\"name\":");
        print_json_string(bytes_of_text(heads[i].name), out);
        (void)buf_printf(out, ",\"type\":\"%s\"}", type);
    }
    (void)buf_append_u8(out, ']');
    return buf_error(out);
}

int duck_print_begin(struct duck_printer *p)
{
    if (p->format == DUCK_JSON || p->format == DUCK_ARRAY)
        return buf_append_u8(p->out, '[');
    for (uint32_t i = 0; p->format == DUCK_CSV && i < p->count; i++) {
        struct value name = {.type = VALUE_STRING, .bytes = bytes_of_text(p->heads[i].name)};
        print_csv(&name, p->out);
        (void)buf_append_u8(p->out, i + 1 < p->count ? ',' : '\n');
    }
    return buf_error(p->out);
}

static void print_row_json(struct duck_printer *p, const struct value *cells)
{
    bool objects = p->format == DUCK_JSON;
    if (p->rows)
        (void)buf_append_u8(p->out, ',');
    (void)buf_append_u8(p->out, objects ? '{' : '[');
    for (uint32_t i = 0; i < p->count; i++) {
        if (i)
            (void)buf_append_u8(p->out, ',');
        if (objects) {
            print_json_string(bytes_of_text(p->heads[i].name), p->out);
            (void)buf_append_u8(p->out, ':');
        }
        print_json(&p->heads[i], &cells[i], p->out);
    }
    (void)buf_append_u8(p->out, objects ? '}' : ']');
}

int duck_print_row(struct duck_printer *p, const struct value *cells)
{
    int err = OK;
    if (p->format == DUCK_JSON || p->format == DUCK_ARRAY)
        print_row_json(p, cells);
    for (uint32_t i = 0; p->format == DUCK_CSV && i < p->count; i++) {
        print_csv(&cells[i], p->out);
        (void)buf_append_u8(p->out, i + 1 < p->count ? ',' : '\n');
    }
    for (uint32_t i = 0; p->format == DUCK_TABLE && !err && i < p->count; i++)
        err = table_cell(p, &cells[i]);
    p->rows++;
    return err ? err : buf_error(p->out);
}

int duck_print_end(struct duck_printer *p)
{
    if (p->format == DUCK_JSON || p->format == DUCK_ARRAY)
        return buf_append_u8(p->out, ']');
    if (p->format == DUCK_TABLE)
        return table_print(p);
    return OK;
}

void duck_print_fini(struct duck_printer *p)
{
    buf_fini(&p->cells);
    free(p->ends);
    p->ends = NULL;
}

size_t duck_print_bytes(const struct duck_printer *p)
{
    return p->out->len + p->cells.len;
}
