/* Cells of a record's rows as the values of a table: by name, as people see them. */
#include "base/clock.h"
#include "base/str.h"
#include "trace/trace_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct value cell_from_text(struct bytes v)
{
    return (struct value){.type = VALUE_STRING, .bytes = v};
}

struct value cell_from_time(int64_t us)
{
    return (struct value){.type = VALUE_TIMESTAMP, .i64 = us};
}

struct value cell_from_number(bool present, double v)
{
    if (!present || isnan(v))
        return (struct value){.type = VALUE_NULL};
    return (struct value){.type = VALUE_DOUBLE, .f64 = v};
}

struct value cell_from_count(int64_t v)
{
    return (struct value){.type = VALUE_INT64, .i64 = v};
}

struct value cell_no(void)
{
    return (struct value){.type = VALUE_BOOL, .boolean = false};
}

struct value cell_value(const struct batch *b, const char *name, uint32_t row, enum value_type type)
{
    struct value none = {.type = VALUE_NULL};
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->schema->fields[col].type != type)
        return none;
    struct column c = batch_column(b, (uint32_t)col);
    return column_value(&c, row);
}

struct value cell_text(const struct batch *b, const char *name, uint32_t row)
{
    struct value v = cell_value(b, name, row, VALUE_STRING);
    return v.type == VALUE_STRING ? v : cell_from_text(bytes_of_text(""));
}

struct value cell_shown(const struct batch *b, const char *name, uint32_t row, const char **ret_uom)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0)
        return (struct value){.type = VALUE_NULL};
    struct column c = batch_column(b, (uint32_t)col);
    if (ret_uom)
        *ret_uom = c.field->uom ? c.field->uom : "";
    return column_shown(&c, row);
}

static size_t print_time(int64_t us, char *out)
{
    char text[CLOCK_TEXT_BYTES_MAX];
    size_t len = clock_format(us, text);
    memcpy(out, text, len + 1);
    return len;
}

/* A number, a time or a yes as its text; 0 for what has none. */
static size_t print_plain(const struct value *v, char *out)
{
    double number = 0;
    if (v->type == VALUE_BOOL)
        return (size_t)snprintf(out, TRACE_CELL_BYTES_MAX, "%s", v->boolean ? "true" : "false");
    if (v->type == VALUE_INT64)
        return (size_t)snprintf(out, TRACE_CELL_BYTES_MAX, "%" PRId64, v->i64);
    if (v->type == VALUE_UINT64)
        return (size_t)snprintf(out, TRACE_CELL_BYTES_MAX, "%" PRIu64, v->u64);
    if (v->type == VALUE_TIMESTAMP)
        return print_time(v->i64, out);
    if (!value_to_double(v, &number) || isnan(number))
        return 0;
    char text[STR_NUMBER_BYTES_MAX];
    size_t len = str_from_double(number, text);
    memcpy(out, text, len);
    return len;
}

struct bytes cell_print(const struct value *v, char out[static TRACE_CELL_BYTES_MAX])
{
    bool text = v->type == VALUE_STRING || v->type == VALUE_BYTES;
    if (!text)
        return bytes_of(out, v->type == VALUE_NULL ? 0 : print_plain(v, out));
    struct bytes b = v->bytes;
    /* A device pads its texts with zeros or spaces. */
    while (b.len && (b.ptr[b.len - 1] == ' ' || b.ptr[b.len - 1] == 0))
        b.len--;
    if (b.len > TRACE_SERIAL_BYTES_MAX || !str_is_utf8(b))
        b.len = 0;
    return b;
}

bool cell_number(const struct value *v, double *ret)
{
    bool text = v->type == VALUE_STRING || v->type == VALUE_BYTES;
    return text ? str_to_double(v->bytes, ret) == OK && isfinite(*ret) : value_to_double(v, ret);
}

void cell_unit_print(const uint8_t *id, char out[static TRACE_UNIT_TEXT + 1])
{
    str_hex(bytes_of(id, TRACE_UNIT_BYTES), out);
}

static int digit_of(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cell_unit_parse(struct bytes text, uint8_t out[static TRACE_UNIT_BYTES])
{
    if (text.len != TRACE_UNIT_TEXT)
        return false;
    for (size_t i = 0; i < TRACE_UNIT_BYTES; i++) {
        int high = digit_of(text.ptr[2 * i]);
        int low = digit_of(text.ptr[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool cell_unit(const struct batch *b, const char *name, uint32_t row,
               char out[static TRACE_UNIT_TEXT + 1])
{
    struct value unit = cell_value(b, name, row, VALUE_BYTES);
    if (unit.type != VALUE_BYTES || unit.bytes.len != TRACE_UNIT_BYTES)
        return false;
    cell_unit_print(unit.bytes.ptr, out);
    return true;
}
