/* Printing batches as CSV. See csv.h. */
#include "codec/csv.h"

#include "base/err.h"
#include "codec/text_priv.h"

#include <math.h>

static bool needs_quotes(struct bytes v)
{
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c == ',' || c == '"' || c == '\r' || c == '\n')
            return true;
    }
    /* An empty text must differ from an absent value; spaces at the ends are cut by some readers.
     */
    return v.len == 0 || v.ptr[0] == ' ' || v.ptr[v.len - 1] == ' ';
}

static void text_print(struct bytes v, struct buf *out)
{
    if (!needs_quotes(v)) {
        (void)buf_append_bytes(out, v);
        return;
    }
    (void)buf_append_u8(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '"')
            (void)buf_append_u8(out, '"');
        (void)buf_append_u8(out, v.ptr[i]);
    }
    (void)buf_append_u8(out, '"');
}

static void value_print(const struct value *v, struct buf *out)
{
    double number = 0;
    if (v->type == VALUE_STRING) {
        text_print(v->bytes, out);
    } else if (v->type == VALUE_BYTES) {
        (void)buf_append_text(out, "base64:");
        (void)base64_print(v->bytes, out);
    } else if (!number_print(v, out) && value_to_double(v, &number)) {
        (void)buf_append_text(out, isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
    }
}

int csv_print(const struct batch *b, bool header, struct buf *out)
{
    uint32_t columns = b->schema->count;
    for (uint32_t i = 0; header && i < columns; i++) {
        text_print(bytes_of_text(b->schema->fields[i].name), out);
        (void)buf_append_text(out, i + 1 < columns ? "," : "\r\n");
    }
    for (uint32_t row = 0; row < b->rows; row++) {
        for (uint32_t i = 0; i < columns; i++) {
            struct column c = batch_column(b, i);
            struct value v = column_shown(&c, row);
            value_print(&v, out);
            (void)buf_append_text(out, i + 1 < columns ? "," : "\r\n");
        }
    }
    return buf_error(out);
}
