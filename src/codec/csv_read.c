/* Reading CSV. See csv_read.h. */
#include "codec/csv_read.h"

#include "base/clock.h"
#include "base/str.h"

#include <math.h>

/* Where reading is. */
struct csv_cursor {
    const uint8_t *at;
    const uint8_t *end;
    uint8_t separator;
};

void csv_record_fini(struct csv_record *r)
{
    buf_fini(&r->memory);
    buf_fini(&r->scratch);
    *r = (struct csv_record){0};
}

static int field_add(struct csv_record *r, struct bytes text, bool quoted)
{
    struct csv_field f = {text, quoted};
    if (r->count == CSV_FIELDS_MAX)
        return ERR_LIMIT;
    r->count++;
    return buf_append(&r->memory, &f, sizeof f);
}

/* Up to the separator or the line's end. */
static int field_plain(struct csv_record *r, struct csv_cursor *c)
{
    const uint8_t *start = c->at;
    while (c->at < c->end && *c->at != c->separator && *c->at != '\n') {
        if (*c->at == '"')
            return ERR_SYNTAX;
        c->at++;
    }
    if (c->at == c->end)
        return ERR_SHORT;
    size_t len = (size_t)(c->at - start);
    if (*c->at == '\n' && len && start[len - 1] == '\r')
        len--;
    return field_add(r, bytes_of(start, len), false);
}

/* Behind the opening quote. The scratch was made large enough for the whole record, so that it
 * does not move. */
static int field_quoted(struct csv_record *r, struct csv_cursor *c)
{
    size_t before = r->scratch.len;
    const uint8_t *start = r->scratch.ptr + before;
    for (; c->at < c->end; c->at++) {
        if (*c->at == '"') {
            if (c->at + 1 == c->end)
                return ERR_SHORT;
            if (c->at[1] != '"')
                break;
            c->at++;
        }
        r->lines += *c->at == '\n';
        (void)buf_append_u8(&r->scratch, *c->at);
    }
    if (c->at == c->end)
        return ERR_SHORT;
    c->at++;
    if (*c->at == '\r' && c->at + 1 < c->end)
        c->at++;
    else if (*c->at == '\r')
        return ERR_SHORT;
    if (*c->at != c->separator && *c->at != '\n')
        return ERR_SYNTAX;
    return field_add(r, bytes_of(start, r->scratch.len - before), true);
}

static int fields_read(struct csv_record *r, struct csv_cursor *c)
{
    for (;;) {
        int err;
        if (c->at < c->end && *c->at == '"') {
            c->at++;
            err = field_quoted(r, c);
        } else {
            err = field_plain(r, c);
        }
        if (err)
            return err;
        if (*c->at++ == '\n')
            return OK;
    }
}

/* The first line alone, 0 if it has no end. */
static size_t line_bytes(struct bytes text)
{
    const uint8_t *end = text.len ? memchr(text.ptr, '\n', text.len) : NULL;
    return end ? (size_t)(end - text.ptr) + 1 : 0;
}

int csv_read(struct csv_record *r, struct bytes text, char separator, size_t *ret_used)
{
    bool cut = text.len > CSV_RECORD_BYTES_MAX;
    size_t len = cut ? CSV_RECORD_BYTES_MAX : text.len;
    struct csv_cursor c = {text.ptr, text.ptr + len, (uint8_t)separator};
    buf_reset(&r->memory);
    buf_reset(&r->scratch);
    r->count = 0;
    r->lines = 1;
    if (!text.len)
        return ERR_SHORT;
    if (!buf_reserve(&r->scratch, len))
        return ERR_NOMEM;
    int err = fields_read(r, &c);
    if (err == ERR_SHORT && cut)
        err = ERR_LIMIT;
    r->fields = (struct csv_field *)(void *)r->memory.ptr;
    if (err == ERR_SYNTAX || err == ERR_LIMIT) {
        r->lines = 1;
        *ret_used = line_bytes(text);
        return *ret_used ? err : ERR_SHORT;
    }
    if (err)
        return err;
    if (r->count == 1 && !r->fields[0].quoted && r->fields[0].text.len == 0)
        r->count = 0;
    *ret_used = (size_t)(c.at - text.ptr);
    return OK;
}

/* ---------------------------------------------------------------------------------------- values
 */

static bool is_true(struct bytes v)
{
    return str_equal_nocase(v, "true") || str_equal(v, "1");
}

static int value_time(struct bytes text, int64_t *ret)
{
    int64_t ms;
    if (clock_parse(text, ret) == OK)
        return OK;
    return str_to_i64(text, &ms) == OK && !__builtin_mul_overflow(ms, 1000, ret) ? OK : ERR_TYPE;
}

static int value_number(struct bytes text, enum value_type type, struct value *ret)
{
    double v;
    if (type == VALUE_INT64)
        return str_to_i64(text, &ret->i64);
    if (type == VALUE_UINT64)
        return str_to_u64(text, &ret->u64);
    if (str_to_double(text, &v) != OK)
        return ERR_TYPE;
    if (type == VALUE_FLOAT32)
        ret->f32 = (float)v;
    else
        ret->f64 = v;
    return type == VALUE_FLOAT32 && isfinite(v) && !isfinite(ret->f32) ? ERR_TYPE : OK;
}

int csv_value(const struct csv_field *f, enum value_type type, struct value *ret)
{
    struct value v = {.type = type};
    struct bytes text = f->text;
    int err = OK;
    if (!f->quoted && text.len == 0) {
        *ret = (struct value){.type = VALUE_NULL};
        return OK;
    }
    switch (type) {
    case VALUE_BOOL:
        v.boolean = is_true(text);
        if (!v.boolean && !str_equal_nocase(text, "false") && !str_equal(text, "0"))
            err = ERR_TYPE;
        break;
    case VALUE_INT64:
    case VALUE_UINT64:
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        err = value_number(text, type, &v);
        break;
    case VALUE_TIMESTAMP:
        err = value_time(text, &v.i64);
        break;
    case VALUE_STRING:
    case VALUE_ANY:
        v.type = VALUE_STRING;
        v.bytes = text;
        err = str_is_utf8(text) ? OK : ERR_TYPE;
        break;
    case VALUE_BYTES:
        v.bytes = text;
        break;
    case VALUE_NULL:
        err = ERR_TYPE;
        break;
    }
    if (err)
        return ERR_TYPE;
    *ret = v;
    return OK;
}
