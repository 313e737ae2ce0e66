/* Printing batches as JSON. See json_print.h.
 *
 * Keys are escaped once a batch, not once a row.
 */
#include "codec/json_print.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/text_priv.h"

#include <math.h>
#include <stdlib.h>

static const struct json_print_options no_options;

struct printer {
    const struct batch *b;
    const struct json_print_options *options;
    struct buf *out;
    struct buf keys;   /* each column's `"name":` */
    uint32_t *key_end; /* where each ends in keys */
};

int json_print_string(struct bytes text, struct buf *out)
{
    return str_print_json(text, out);
}

static void not_finite_print(double v, const struct json_print_options *options, struct buf *out)
{
    if (!options->nan_text)
        (void)buf_append_text(out, "null");
    else if (isnan(v))
        (void)buf_append_text(out, "\"NaN\"");
    else
        (void)buf_append_text(out, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void bytes_print(struct bytes v, struct buf *out)
{
    (void)buf_append_text(out, "{\"$bytes\":\"");
    (void)base64_print(v, out);
    (void)buf_append_text(out, "\"}");
}

int json_print_value(const struct value *v, const struct json_print_options *options,
                     struct buf *out)
{
    double number = 0;
    if (!options)
        options = &no_options;
    if (v->type == VALUE_TIMESTAMP) {
        (void)buf_append_u8(out, '"');
        (void)number_print(v, out);
        (void)buf_append_u8(out, '"');
    } else if (v->type == VALUE_STRING) {
        (void)str_print_json(v->bytes, out);
    } else if (v->type == VALUE_BYTES) {
        bytes_print(v->bytes, out);
    } else if (!number_print(v, out)) {
        if (value_to_double(v, &number))
            not_finite_print(number, options, out);
        else
            (void)buf_append_text(out, "null");
    }
    return buf_error(out);
}

/* JSON that is embedded as it is; a line stays one line, since JSON's line ends are only spaces. */
static void embedded_print(struct bytes text, bool one_line, struct buf *out)
{
    if (text.len == 0) {
        (void)buf_append_text(out, "null");
        return;
    }
    size_t from = out->len;
    if (buf_append_bytes(out, text) != OK || !one_line)
        return;
    for (size_t i = from; i < out->len; i++) {
        if (out->ptr[i] == '\n' || out->ptr[i] == '\r')
            out->ptr[i] = ' ';
    }
}

static struct value cell_value(const struct printer *p, const struct column *c, uint32_t row)
{
    if (!p->options->raw)
        return column_shown(c, row);
    struct value v = column_value(c, row);
    if (v.type == VALUE_BYTES && (c->field->flags & FIELD_TEXT) && str_is_utf8(v.bytes))
        v.type = VALUE_STRING;
    return v;
}

static void cell_print(const struct printer *p, const struct column *c, const struct value *v)
{
    if (v->type == VALUE_STRING && (c->field->flags & FIELD_JSON))
        embedded_print(v->bytes, p->options->lines, p->out);
    else
        (void)json_print_value(v, p->options, p->out);
}

static void time_print(const struct printer *p, int64_t time_us)
{
    (void)str_print_json(bytes_of_text(p->options->time_key), p->out);
    (void)buf_append_u8(p->out, ':');
    struct value v = {.type = VALUE_TIMESTAMP, .i64 = time_us};
    if (!p->options->time_text) {
        v.type = VALUE_INT64;
        v.i64 = time_us / 1000 - (time_us % 1000 < 0); /* rounds down, before 1970 too */
    }
    (void)json_print_value(&v, p->options, p->out);
}

static void row_print(const struct printer *p, uint32_t row)
{
    bool first = true;
    (void)buf_append_u8(p->out, '{');
    if (p->options->time_key) {
        time_print(p, batch_times(p->b)[row]);
        first = false;
    }
    for (uint32_t i = 0; i < p->b->schema->count; i++) {
        struct column c = batch_column(p->b, i);
        struct value v = cell_value(p, &c, row);
        if (v.type == VALUE_NULL && p->options->skip_null)
            continue;
        if (!first)
            (void)buf_append_u8(p->out, ',');
        first = false;
        uint32_t from = i ? p->key_end[i - 1] : 0;
        (void)buf_append(p->out, p->keys.ptr + from, p->key_end[i] - from);
        cell_print(p, &c, &v);
    }
    (void)buf_append_u8(p->out, '}');
}

static int printer_init(struct printer *p, const struct batch *b,
                        const struct json_print_options *options, struct buf *out)
{
    *p = (struct printer){.b = b, .options = options ? options : &no_options, .out = out};
    p->key_end = calloc(b->schema->count + 1u, sizeof *p->key_end);
    if (!p->key_end)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < b->schema->count; i++) {
        (void)str_print_json(bytes_of_text(b->schema->fields[i].name), &p->keys);
        (void)buf_append_u8(&p->keys, ':');
        p->key_end[i] = (uint32_t)p->keys.len;
    }
    return buf_error(&p->keys);
}

static void printer_fini(struct printer *p)
{
    free(p->key_end);
    buf_fini(&p->keys);
}

static int rows_print(const struct batch *b, uint32_t from, uint32_t to,
                      const struct json_print_options *options, struct buf *out)
{
    struct printer p;
    int err = printer_init(&p, b, options, out);
    for (uint32_t row = from; row < to && !err; row++) {
        if (row > from && !p.options->lines)
            (void)buf_append_u8(out, ',');
        row_print(&p, row);
        if (p.options->lines)
            (void)buf_append_u8(out, '\n');
        err = buf_error(out);
    }
    printer_fini(&p);
    return err;
}

int json_print_rows(const struct batch *b, const struct json_print_options *options,
                    struct buf *out)
{
    bool lines = options && options->lines;
    if (!lines)
        (void)buf_append_u8(out, '[');
    int err = rows_print(b, 0, b->rows, options, out);
    if (!err && !lines)
        err = buf_append_u8(out, ']');
    return err;
}

int json_print_row(const struct batch *b, uint32_t row, const struct json_print_options *options,
                   struct buf *out)
{
    return rows_print(b, row, row + 1, options, out);
}
