/* See bind.h. */
#include "api/bind.h"

#include "base/clock.h"
#include "base/str.h"
#include "config/tree.h"

#include <assert.h>
#include <math.h>
#include <string.h>

struct binder {
    const struct call_spec *spec;
    struct batch_builder *builder;
    struct diag *diag;
    uint64_t given; /* bit per field */
};

_Static_assert(BIND_FIELDS_MAX <= 64, "given has a bit for each field");

/* ---------------------------------------------------------------------------------------- saying
 * it
 */

static const char *type_expected(const struct call_field *f)
{
    switch (f->type) {
    case VALUE_BOOL:
        return "true or false";
    case VALUE_INT64:
        return "an integer";
    case VALUE_UINT64:
        return "an integer that is not negative";
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        return "a number";
    case VALUE_TIMESTAMP:
        return "a time like \"2026-11-22T08:30:00Z\", or milliseconds since 1970";
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_NULL:
    case VALUE_ANY:
        break;
    }
    return "a text (in quotes)";
}

static int bind_type_error(struct binder *b, const struct call_field *f)
{
    return diag_set(b->diag, ERR_TYPE, 0, 0, "field \"%s\" wants %s", f->name, type_expected(f));
}

static int bind_unknown(struct binder *b, struct bytes name)
{
    char text[FIELD_NAME_BYTES_MAX + 1] = "";
    size_t len = name.len < sizeof text - 1 ? name.len : sizeof text - 1;
    if (len)
        memcpy(text, name.ptr, len);
    const char *like = NULL;
    unsigned best = 3;
    for (const struct call_field *f = b->spec->request; f && f->name; f++) {
        unsigned distance = str_distance(f->name, text);
        if (distance < best) {
            best = distance;
            like = f->name;
        }
    }
    if (!str_is_utf8(bytes_of_text(text)))
        text[0] = 0;
    return diag_set(b->diag, ERR_UNKNOWN_KEY, 0, 0, "there is no field \"%s\"%s%s%s", text,
                    like ? "; did you mean \"" : "", like ? like : "", like ? "\"?" : "");
}

/* ------------------------------------------------------------------------------------------ values
 */

static int bind_integer(struct binder *b, const struct call_field *f, uint32_t col,
                        struct bytes text)
{
    int64_t i64 = 0;
    uint64_t u64 = 0;
    int err = f->type == VALUE_UINT64 ? str_to_u64(text, &u64) : str_to_i64(text, &i64);
    if (err == ERR_RANGE)
        return diag_set(b->diag, err, 0, 0, "field \"%s\" is beyond 64 bits", f->name);
    if (err)
        return bind_type_error(b, f);
    if (f->type == VALUE_UINT64)
        batch_set_u64(b->builder, col, u64);
    else
        batch_set_i64(b->builder, col, i64);
    return OK;
}

static int bind_number(struct binder *b, const struct call_field *f, uint32_t col,
                       struct bytes text)
{
    double v = 0;
    if (str_to_double(text, &v))
        return bind_type_error(b, f);
    if (!isfinite(v))
        return diag_set(b->diag, ERR_RANGE, 0, 0, "field \"%s\" is not a finite number", f->name);
    if (f->type == VALUE_FLOAT32)
        batch_set_f32(b->builder, col, (float)v);
    else
        batch_set_f64(b->builder, col, v);
    return OK;
}

static int bind_bool(struct binder *b, const struct call_field *f, uint32_t col, struct bytes text)
{
    bool yes = str_equal(text, "true");
    if (!yes && !str_equal(text, "false"))
        return bind_type_error(b, f);
    batch_set_bool(b->builder, col, yes);
    return OK;
}

static int bind_time(struct binder *b, const struct call_field *f, uint32_t col, struct bytes text)
{
    int64_t us = 0;
    int64_t ms = 0;
    if (str_to_i64(text, &ms) == OK && ms < INT64_MAX / 1000 && ms > INT64_MIN / 1000)
        us = ms * 1000;
    else if (clock_parse(text, &us))
        return bind_type_error(b, f);
    batch_set_i64(b->builder, col, us);
    return OK;
}

static int bind_text(struct binder *b, const struct call_field *f, uint32_t col, struct bytes text)
{
    if (text.len > BIND_TEXT_BYTES_MAX)
        return diag_set(b->diag, ERR_LIMIT, 0, 0, "field \"%s\" has more than %u bytes", f->name,
                        BIND_TEXT_BYTES_MAX);
    if (!str_is_utf8(text))
        return diag_set(b->diag, ERR_TYPE, 0, 0, "field \"%s\" is not UTF-8", f->name);
    return batch_set_bytes(b->builder, col, text);
}

/* The value that a bare word of JSON means: a number as exact as it was written, true, false. */
static bool bare_value(struct bytes text, struct value *out)
{
    *out = (struct value){.type = VALUE_NULL};
    if (str_equal(text, "true") || str_equal(text, "false")) {
        out->type = VALUE_BOOL;
        out->boolean = text.ptr[0] == 't';
    } else if (str_to_i64(text, &out->i64) == OK) {
        out->type = VALUE_INT64;
    } else if (str_to_u64(text, &out->u64) == OK) {
        out->type = VALUE_UINT64;
    } else if (str_to_double(text, &out->f64) == OK && isfinite(out->f64)) {
        out->type = VALUE_DOUBLE;
    } else {
        return false;
    }
    return true;
}

static int bind_any(struct binder *b, uint32_t col, struct bytes text, bool quoted)
{
    struct value v;
    if (quoted || !bare_value(text, &v)) {
        v = (struct value){.type = VALUE_STRING};
        v.bytes = text;
    }
    return batch_set_value(b->builder, col, &v);
}

/* A text from the path or the query (quoted false), or a JSON scalar. */
static int bind_scalar(struct binder *b, uint32_t col, struct bytes text, bool quoted)
{
    const struct call_field *f = &b->spec->request[col];
    switch (f->type) {
    case VALUE_BOOL:
        return bind_bool(b, f, col, text);
    case VALUE_INT64:
    case VALUE_UINT64:
        return bind_integer(b, f, col, text);
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        return bind_number(b, f, col, text);
    case VALUE_TIMESTAMP:
        return bind_time(b, f, col, text);
    case VALUE_ANY:
        if (text.len > BIND_TEXT_BYTES_MAX || !str_is_utf8(text))
            return bind_text(b, f, col, text); /* says why */
        return bind_any(b, col, text, quoted);
    case VALUE_STRING:
    case VALUE_BYTES:
    case VALUE_NULL:
        break;
    }
    return bind_text(b, f, col, text);
}

/* The field's number, noted as given; an error if it is unknown or given before. */
static int bind_field(struct binder *b, struct bytes name, uint32_t *ret_col)
{
    for (uint32_t col = 0; b->spec->request && b->spec->request[col].name; col++) {
        if (!str_equal(name, b->spec->request[col].name))
            continue;
        if (b->given & (1ull << col))
            return diag_set(b->diag, ERR_EXISTS, 0, 0, "field \"%s\" is given twice",
                            b->spec->request[col].name);
        b->given |= 1ull << col;
        *ret_col = col;
        return OK;
    }
    return bind_unknown(b, name);
}

static int bind_arguments(struct binder *b, const struct bind_argument *arguments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t col = 0;
        int err = bind_field(b, arguments[i].name, &col);
        if (!err)
            err = bind_scalar(b, col, arguments[i].value, false);
        if (err)
            return err;
    }
    return OK;
}

/* -------------------------------------------------------------------------------------------- body
 */

/* An object or an array goes into a text or `any` field as its JSON text. */
static int bind_structure(struct binder *b, uint32_t col, const struct tree *t)
{
    const struct call_field *f = &b->spec->request[col];
    struct buf json = {0};
    if (f->type != VALUE_ANY && !(f->flags & FIELD_JSON))
        return bind_type_error(b, f);
    int err = tree_print_json(t, &json);
    if (!err && f->type == VALUE_ANY)
        err = bind_any(b, col, buf_bytes(&json), true);
    else if (!err)
        err = bind_text(b, f, col, buf_bytes(&json));
    buf_fini(&json);
    return err;
}

/* Where JSON is wanted a text stays in its quotes: "true" is no true, and "{" no broken object. */
static int bind_quoted(struct binder *b, uint32_t col, struct bytes text)
{
    struct buf json = {0};
    int err = str_print_json(text, &json);
    if (!err)
        err = bind_text(b, &b->spec->request[col], col, buf_bytes(&json));
    buf_fini(&json);
    return err;
}

/* A JSON scalar outside quotes is a number, true or false; YAML's reader would take any word. */
static int bind_member(struct binder *b, const struct tree *t)
{
    uint32_t col = 0;
    int err = bind_field(b, bytes_of_text(t->key), &col);
    if (!err && t->kind == TREE_NULL)
        b->given &= ~(1ull << col); /* null is the same as left out */
    if (err || t->kind == TREE_NULL)
        return err;
    const struct call_field *f = &b->spec->request[col];
    if (t->kind != TREE_TEXT)
        return bind_structure(b, col, t);
    bool wants_text = f->type == VALUE_STRING || f->type == VALUE_BYTES;
    bool wants_quotes = wants_text || f->type == VALUE_TIMESTAMP;
    struct value bare;
    if (!t->quoted && !bare_value(t->text, &bare))
        return diag_set(b->diag, ERR_SYNTAX, t->line, t->column,
                        "field \"%s\": a text must stand in quotes", f->name);
    if (wants_text && !t->quoted && !(f->flags & FIELD_JSON))
        return bind_type_error(b, f);
    if (t->quoted && !wants_quotes && f->type != VALUE_ANY)
        return bind_type_error(b, f);
    if (t->quoted && (f->flags & FIELD_JSON))
        return bind_quoted(b, col, t->text);
    return bind_scalar(b, col, t->text, t->quoted);
}

static int bind_body(struct binder *b, struct bytes body, struct arena *arena)
{
    struct tree *t = NULL;
    struct diag where = {0};
    if (body.len == 0)
        return OK;
    int err = tree_parse_json(arena, "body", body, &t, &where);
    if (err)
        return diag_set(b->diag, err == ERR_EXISTS ? ERR_EXISTS : err, where.line, where.column,
                        "the body is not a JSON object: line %u, column %u: %s", where.line,
                        where.column, where.text);
    if (t->kind != TREE_MAP)
        return diag_set(b->diag, ERR_SYNTAX, 0, 0,
                        "the body must be a JSON object, {\"field\": value, …}");
    TREE_EACH(member, t)
    {
        err = bind_member(b, member);
        if (err)
            return err;
    }
    return OK;
}

static int bind_missing(struct binder *b)
{
    for (uint32_t col = 0; b->spec->request && b->spec->request[col].name; col++) {
        const struct call_field *f = &b->spec->request[col];
        if (f->required && !(b->given & (1ull << col)))
            return diag_set(b->diag, ERR_INVALID, 0, 0, "field \"%s\" is missing: %s", f->name,
                            f->doc ? f->doc : type_expected(f));
    }
    return OK;
}

static int bind_all(struct binder *b, const struct bind_input *in, struct arena *arena)
{
    int err = bind_arguments(b, in->path, in->path_count);
    if (!err)
        err = bind_arguments(b, in->query, in->query_count);
    if (!err)
        err = bind_body(b, in->body, arena);
    return err ? err : bind_missing(b);
}

int bind_request(const struct call_spec *spec, const struct schema *schema,
                 const struct bind_input *in, struct arena *arena, struct batch **ret,
                 struct diag *diag)
{
    struct binder b = {.spec = spec, .diag = diag};
    struct batch *batch = NULL;
    assert(!schema || schema->count <= BIND_FIELDS_MAX);
    if (!schema) {
        int none = bind_all(&b, in, arena);
        if (!none)
            *ret = NULL;
        return none;
    }
    int err = batch_builder_new(schema, 1, NULL, &b.builder);
    if (!err) {
        int row = batch_builder_row(b.builder, clock_wall_us());
        err = row < 0 ? row : bind_all(&b, in, arena);
    }
    if (!err)
        err = batch_builder_finish(b.builder, &batch);
    batch_builder_free(b.builder);
    if (err && diag && !diag->text[0])
        (void)diag_set(diag, err, 0, 0, "the request could not be taken: %s", err_text(err));
    if (!err)
        *ret = batch;
    return err;
}
