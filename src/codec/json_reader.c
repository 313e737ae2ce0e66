/* What becomes of a JSON message's values: cells of wanted columns, or columns of their own. See
 * json.h; the text is walked by json.cc.
 *
 * Wanted names form a tree of scopes, one an object. Each field remembers which one came after it
 * last time, so in a stream of messages of one shape a key costs one comparison; a hash index
 * answers when the shape changes.
 */
#include "base/array.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/json_reader_priv.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <xxhash.h>

#define SCOPE_SLOTS_MIN 16u

_Static_assert(JSON_PRIV_DEPTH_MAX == JSON_DEPTH_MAX, "the walk keeps the limit that is promised");

/* A value of a schemaless message, until all its columns are known. */
struct record {
    uint32_t row;
    uint32_t field;
    struct json_value value;
};

/* ---------------------------------------------------------------------------------------- scopes
 */

/* NOLINTNEXTLINE(misc-no-recursion): a name of 127 bytes has at most JSON_DEPTH_MAX levels here. */
static void scope_free(struct json_scope *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < s->count; i++)
        scope_free(s->fields[i].inner);
    free(s->fields);
    free(s->slots);
    free(s);
}

static uint32_t *scope_slot(const struct json_scope *s, const char *name, size_t len)
{
    uint32_t mask = s->slot_count - 1;
    uint32_t slot = (uint32_t)XXH3_64bits(name, len) & mask;
    for (; s->slots[slot]; slot = (slot + 1) & mask) {
        const struct json_field *f = &s->fields[s->slots[slot] - 1];
        if (f->name_bytes == len && memcmp(f->name, name, len) == 0)
            break;
    }
    return &s->slots[slot];
}

struct json_scope *json_scope_new(void)
{
    struct json_scope *s = calloc(1, sizeof *s);
    uint32_t *slots = calloc(SCOPE_SLOTS_MIN, sizeof *slots);
    if (!s || !slots) {
        free(s);
        free(slots);
        return NULL;
    }
    s->slots = slots;
    s->slot_count = SCOPE_SLOTS_MIN;
    return s;
}

static int scope_grow(struct json_scope *s)
{
    struct json_field *fields = array_room(s->fields, s->count, &s->cap, 8, sizeof *fields);
    if (!fields)
        return ERR_NOMEM;
    s->fields = fields;
    return OK;
}

static int scope_index_grow(struct json_scope *s)
{
    if ((s->count + 1) * 2 <= s->slot_count)
        return OK;
    uint32_t *slots = calloc((size_t)s->slot_count * 2, sizeof *slots);
    if (!slots)
        return ERR_NOMEM;
    free(s->slots);
    s->slots = slots;
    s->slot_count *= 2;
    for (uint32_t i = 0; i < s->count; i++)
        *scope_slot(s, s->fields[i].name, s->fields[i].name_bytes) = i + 1;
    return OK;
}

/* True if JSON writes the name just as it is. */
static bool name_is_plain(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)name[i] < 0x20 || name[i] == '"' || name[i] == '\\')
            return false;
    }
    return true;
}

/* Adds a field that is not there yet; its index + 1 in *ret. */
static int scope_add(struct arena *names, struct json_scope *s, const char *name, size_t len,
                     uint32_t *ret)
{
    int err = scope_grow(s);
    if (!err)
        err = scope_index_grow(s);
    char *copy = err ? NULL : arena_alloc(names, len + JSON_NAME_PAD);
    if (!copy)
        return ERR_NOMEM;
    memcpy(copy, name, len);
    struct json_field *f = &s->fields[s->count];
    *f = (struct json_field){.name = copy, .name_bytes = (uint32_t)len, .column = -1};
    f->plain = name_is_plain(name, len);
    *scope_slot(s, name, len) = ++s->count;
    *ret = s->count;
    return OK;
}

int json_scope_want(struct arena *names, struct json_scope *s, struct bytes name,
                    struct json_field **ret)
{
    uint32_t found = *scope_slot(s, (const char *)name.ptr, name.len);
    int err = found ? OK : scope_add(names, s, (const char *)name.ptr, name.len, &found);
    if (err)
        return err;
    assert(s->fields && found);
    *ret = &s->fields[found - 1];
    return OK;
}

static int scope_want(struct arena *names, struct json_scope *s, struct bytes name, int32_t column,
                      bool is_double)
{
    struct json_field *f = NULL;
    int err = json_scope_want(names, s, name, &f);
    if (!err && f->column < 0) {
        f->column = column;
        f->is_double = is_double;
    }
    return err;
}

/* "a.b" is a key of that name, and the key b in the object under a. */
static int scope_want_path(struct arena *names, struct json_scope *s, struct bytes path,
                           int32_t column, bool is_double)
{
    for (uint32_t depth = 1; depth < JSON_DEPTH_MAX; depth++) {
        struct bytes head;
        int err = scope_want(names, s, path, column, is_double);
        struct bytes rest = str_split(path, '.', &head);
        if (err || !rest.ptr)
            return err;
        struct json_field *f = NULL;
        err = json_scope_want(names, s, head, &f);
        if (err)
            return err;
        if (!f->inner)
            f->inner = json_scope_new();
        if (!f->inner)
            return ERR_NOMEM;
        s = f->inner;
        path = rest;
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------- reader
 */

static int wanted_add(struct json_reader *r)
{
    int err = OK;
    for (uint32_t i = 0; i < r->wanted->count && !err; i++) {
        const struct field *f = &r->wanted->fields[i];
        err = scope_want_path(&r->names, r->root, bytes_of_text(f->name), (int32_t)i,
                              f->type == VALUE_DOUBLE);
    }
    return err;
}

struct json_reader *json_reader_alloc(const struct schema *wanted)
{
    struct json_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->parser = json_parser_new();
    r->root = json_scope_new();
    r->wanted = wanted ? schema_ref(wanted) : NULL;
    if (r->parser && r->root)
        return r;
    json_reader_free(r);
    return NULL;
}

int json_reader_new(const struct schema *wanted, struct json_reader **ret)
{
    struct json_reader *r = json_reader_alloc(wanted);
    int err = r ? OK : ERR_NOMEM;
    if (!err && wanted)
        err = wanted_add(r);
    if (err) {
        json_reader_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

void json_reader_free(struct json_reader *r)
{
    if (!r)
        return;
    json_parser_free(r->parser);
    scope_free(r->root);
    arena_fini(&r->names);
    schema_unref(r->wanted);
    schema_unref(r->schema);
    buf_fini(&r->records);
    buf_fini(&r->decoded);
    free(r);
}

const char *json_error(const struct json_reader *r)
{
    return r->problem;
}

int json_reader_walk(struct json_reader *r, struct bytes payload)
{
    const char *problem = "";
    size_t at = 0;
    r->problem[0] = 0;
    r->refused = false;
    int err = ERR_LIMIT;
    if (payload.len > JSON_MESSAGE_BYTES_MAX)
        problem = "the message is larger than 64 MiB";
    else
        err = json_parser_walk(r->parser, payload.ptr, payload.len, r->root, r, &problem, &at);
    if (err && !r->refused)
        (void)snprintf(r->problem, sizeof r->problem, "at byte %zu: %s", at, problem);
    return err;
}

/* ----------------------------------------------------------------------------------------- cells
 */

bool json_to_number(const struct json_value *v, double *ret)
{
    if (v->kind == JSON_F64)
        *ret = v->f64;
    else if (v->kind == JSON_I64)
        *ret = (double)v->i64;
    else if (v->kind == JSON_U64)
        *ret = (double)v->u64;
    else
        return false;
    return true;
}

bool json_to_i64(const struct json_value *v, int64_t *ret)
{
    if (v->kind == JSON_F64 && v->f64 >= -0x1p63 && v->f64 < 0x1p63 && v->f64 == trunc(v->f64))
        *ret = (int64_t)v->f64;
    else if (v->kind == JSON_I64)
        *ret = v->i64;
    else
        return false;
    return true;
}

bool json_to_u64(const struct json_value *v, uint64_t *ret)
{
    if (v->kind == JSON_F64 && v->f64 >= 0 && v->f64 < 0x1p64 && v->f64 == trunc(v->f64))
        *ret = (uint64_t)v->f64;
    else if (v->kind == JSON_I64 && v->i64 >= 0)
        *ret = (uint64_t)v->i64;
    else if (v->kind == JSON_U64)
        *ret = v->u64;
    else
        return false;
    return true;
}

static bool to_float(const struct json_value *v, float *ret)
{
    double number;
    if (!json_to_number(v, &number) || !isfinite((float)number))
        return false;
    *ret = (float)number;
    return true;
}

/* Text is a time, a whole number milliseconds. */
bool json_to_time(const struct json_value *v, int64_t *ret)
{
    int64_t ms;
    if (v->kind == JSON_STRING)
        return clock_parse(bytes_of(v->text, v->text_bytes), ret) == OK;
    return json_to_i64(v, &ms) && !__builtin_mul_overflow(ms, 1000, ret);
}

static bool to_text(const struct json_value *v, struct bytes *ret)
{
    *ret = bytes_of(v->text, v->text_bytes);
    return v->kind == JSON_STRING || v->kind == JSON_RAW;
}

/* The value as one of an any column. */
static struct value to_any(const struct json_value *v)
{
    struct value out = {.type = VALUE_NULL};
    switch (v->kind) {
    case JSON_NULL:
        break;
    case JSON_BOOL:
        out.type = VALUE_BOOL;
        out.boolean = v->boolean;
        break;
    case JSON_I64:
        out.type = VALUE_INT64;
        out.i64 = v->i64;
        break;
    case JSON_U64:
        out.type = VALUE_UINT64;
        out.u64 = v->u64;
        break;
    case JSON_F64:
        out.type = VALUE_DOUBLE;
        out.f64 = v->f64;
        break;
    case JSON_STRING:
    case JSON_RAW:
        out.type = VALUE_STRING;
        out.bytes = bytes_of(v->text, v->text_bytes);
        break;
    }
    return out;
}

/* v as a value of a column's type; false if it is none. */
static bool value_convert(const struct json_value *v, enum value_type type, struct value *ret)
{
    ret->type = type;
    switch (type) {
    case VALUE_BOOL:
        ret->boolean = v->kind == JSON_BOOL && v->boolean;
        return v->kind == JSON_BOOL;
    case VALUE_INT64:
        return json_to_i64(v, &ret->i64);
    case VALUE_UINT64:
        return json_to_u64(v, &ret->u64);
    case VALUE_FLOAT32:
        return to_float(v, &ret->f32);
    case VALUE_DOUBLE:
        return json_to_number(v, &ret->f64);
    case VALUE_STRING:
    case VALUE_BYTES:
        return to_text(v, &ret->bytes);
    case VALUE_TIMESTAMP:
        return json_to_time(v, &ret->i64);
    case VALUE_ANY:
        *ret = to_any(v);
        return true;
    case VALUE_NULL:
        break;
    }
    return false;
}

static int cell_put(struct json_reader *r, uint32_t col, const struct json_value *v)
{
    struct value value = {.type = VALUE_NULL};
    batch_set_null(r->bb, col); /* of a repeated key the last counts */
    if (v->kind == JSON_NULL)
        return OK;
    if (!value_convert(v, r->wanted->fields[col].type, &value)) {
        r->misfit = true;
        return batch_set_quality(r->bb, col, QUALITY_CONVERT);
    }
    return batch_set_value(r->bb, col, &value);
}

int json_on_double(struct json_reader *r, uint32_t column, double v)
{
    if (r->misfit)
        batch_set_null(r->bb, column); /* it may have been the same key, earlier in this row */
    if (r->strict)
        return json_rows_number(r, column, v);
    batch_set_f64(r->bb, column, v);
    return OK;
}

static int record_put(struct json_reader *r, struct json_scope *scope, uint32_t field,
                      const struct json_value *v)
{
    struct record record = {r->rows - 1, field, *v};
    scope->fields[field].used = true;
    if (r->records.len / sizeof record >= JSON_CELLS_MAX)
        return ERR_LIMIT;
    return buf_append(&r->records, &record, sizeof record);
}

int json_on_value(struct json_reader *r, struct json_scope *scope, uint32_t field,
                  const struct json_value *v)
{
    if (r->strict)
        return json_rows_value(r, &scope->fields[field], v);
    if (!r->wanted)
        return record_put(r, scope, field, v);
    return cell_put(r, (uint32_t)scope->fields[field].column, v);
}

int json_on_row(struct json_reader *r)
{
    if (r->strict)
        return json_rows_row(r);
    if (!r->wanted)
        return r->rows++ < BATCH_ROWS_MAX ? OK : ERR_LIMIT;
    int row = batch_builder_row(r->bb, r->time_us);
    return row < 0 ? row : OK;
}

uint32_t json_scope_find(struct json_reader *r, struct json_scope *scope, const char *name,
                         size_t name_bytes, int *ret_err)
{
    uint32_t found = *scope_slot(scope, name, name_bytes);
    if (!found && r->strict)
        *ret_err = json_rows_unknown(r, bytes_of(name, name_bytes));
    if (found || r->wanted)
        return found;
    if (name_bytes > FIELD_NAME_BYTES_MAX || memchr(name, 0, name_bytes) ||
        scope->count == JSON_COLUMNS_MAX) {
        *ret_err = ERR_LIMIT;
        return 0;
    }
    *ret_err = scope_add(&r->names, scope, name, name_bytes, &found);
    if (*ret_err)
        return 0;
    scope->fields[found - 1].column = (int32_t)found - 1;
    r->grown = true;
    return found;
}

int json_decode(struct json_reader *r, struct bytes payload, int64_t time_us,
                struct batch_builder *bb)
{
    assert(r->wanted);
    uint32_t before = batch_builder_rows(bb);
    r->bb = bb;
    r->time_us = time_us;
    r->misfit = false;
    int err = json_reader_walk(r, payload);
    if (err)
        batch_builder_truncate(bb, before);
    r->bb = NULL;
    return err;
}

/* ------------------------------------------------------------------------------------ schemaless
 */

/* Only the keys of this message become columns: the others go, with what they knew. */
static int scope_compact(struct json_reader *r, uint32_t *columns)
{
    struct json_scope *fresh = json_scope_new();
    struct arena names = {0};
    if (!fresh)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->root->count; i++) {
        const struct json_field *f = &r->root->fields[i];
        uint32_t index = 0;
        int err = f->used ? scope_add(&names, fresh, f->name, f->name_bytes, &index) : OK;
        if (err) {
            scope_free(fresh);
            arena_fini(&names);
            return err;
        }
        columns[i] = index - 1;
        if (f->used)
            fresh->fields[index - 1].column = (int32_t)index - 1;
    }
    scope_free(r->root);
    arena_fini(&r->names);
    r->root = fresh;
    r->names = names;
    return OK;
}

static int schema_of_root(struct json_reader *r)
{
    struct field *fields = calloc(r->root->count + 1u, sizeof *fields);
    if (!fields)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->root->count; i++)
        fields[i] = (struct field){.name = r->root->fields[i].name, .type = VALUE_ANY};
    struct schema *schema = NULL;
    int err = schema_new(fields, r->root->count, &schema);
    free(fields);
    if (err)
        return err;
    schema_unref(r->schema);
    r->schema = schema;
    return OK;
}

/* The schema of just this message's keys; the one before if they are the same. */
static int schema_settle(struct json_reader *r)
{
    struct record *records = (struct record *)(void *)r->records.ptr;
    bool unused = false;
    for (uint32_t i = 0; i < r->root->count; i++)
        unused |= !r->root->fields[i].used;
    if (!unused && !r->grown && r->schema)
        return OK;
    if (unused) {
        uint32_t *columns = calloc(r->root->count, sizeof *columns);
        if (!columns)
            return ERR_NOMEM;
        int err = scope_compact(r, columns);
        for (size_t i = 0; i < r->records.len / sizeof *records && !err; i++)
            records[i].field = columns[records[i].field];
        free(columns);
        if (err)
            return err;
    }
    return schema_of_root(r);
}

static int rows_build(struct json_reader *r, struct batch_builder *bb, int64_t time_us)
{
    const struct record *records = (const struct record *)(void *)r->records.ptr;
    size_t count = r->records.len / sizeof *records;
    size_t next = 0;
    for (uint32_t row = 0; row < r->rows; row++) {
        int err = batch_builder_row(bb, time_us);
        if (err < 0)
            return err;
        for (; next < count && records[next].row == row; next++) {
            struct value v = to_any(&records[next].value);
            batch_set_null(bb, records[next].field);
            err = batch_set_value(bb, records[next].field, &v);
            if (err)
                return err;
        }
    }
    return OK;
}

static int any_build(struct json_reader *r, int64_t time_us, struct batch_pool *pool,
                     struct batch **ret)
{
    struct batch_builder *bb = NULL;
    if ((uint64_t)r->rows * r->root->count > JSON_CELLS_MAX)
        return ERR_LIMIT;
    int err = batch_builder_new(r->schema, r->rows, pool, &bb);
    if (!err)
        err = rows_build(r, bb, time_us);
    if (!err)
        err = batch_builder_finish(bb, ret);
    batch_builder_free(bb);
    return err;
}

int json_decode_any(struct json_reader *r, struct bytes payload, int64_t time_us,
                    struct batch_pool *pool, struct batch **ret)
{
    assert(!r->wanted);
    buf_reset(&r->records);
    r->rows = 0;
    r->grown = false;
    for (uint32_t i = 0; i < r->root->count; i++)
        r->root->fields[i].used = false;
    int err = json_reader_walk(r, payload);
    if (!err && r->rows == 0)
        err = ERR_INVALID;
    if (err) {
        /* Keys of a bad message are not kept. */
        r->grown = true;
        schema_unref(r->schema);
        r->schema = NULL;
        return err;
    }
    err = schema_settle(r);
    return err ? err : any_build(r, time_us, pool, ret);
}
