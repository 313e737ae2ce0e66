/* Rows of a group from JSON: what json_print_rows prints, read back to the stored values.
 *
 * Other messages are read as far as they fit; here one value that does not fit refuses the message,
 * because half of somebody's past, silently, would be worse than none. A value is the one that
 * people see, and must belong to just one stored value, as when it is written to the device.
 */
#include "base/err.h"
#include "base/str.h"
#include "codec/json_reader_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define INTEGERS_EXACT_MAX 9007199254740992.0 /* 2^53 */
#define TIME_MS_MAX        9e15               /* as many as a double counts */
#define NAME_SHOWN_MAX     64
#define STEP_US_MAX        3.6e9 /* an hour */

static int refuse(struct json_reader *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(struct json_reader *r, const char *format, ...)
{
    va_list args;
    int n = snprintf(r->problem, sizeof r->problem, "row %u: ", r->row);
    va_start(args, format);
    (void)vsnprintf(r->problem + n, sizeof r->problem - (size_t)n, format, args);
    va_end(args);
    r->refused = true;
    return ERR_SYNTAX;
}

/* ------------------------------------------------------------------------------------------ time
 */

static int time_put(struct json_reader *r, const struct json_value *v)
{
    int64_t at = 0;
    bool ok = json_to_time(v, &at);
    if (!ok && v->kind == JSON_F64 && fabs(v->f64) < TIME_MS_MAX) {
        at = llround(v->f64 * 1000);
        ok = true;
    }
    if (!ok)
        return refuse(r, "its time is neither a number of milliseconds since 1970 nor a text like "
                         "2026-11-22T08:30:00.123456Z");
    batch_set_time(r->bb, at);
    r->has_time = true;
    r->block_us = at;
    r->block_row = r->row;
    return OK;
}

static int step_put(struct json_reader *r, const struct json_value *v)
{
    double step = 0;
    if (!json_to_number(v, &step) || !(step > 0 && step <= STEP_US_MAX)) {
        return refuse(
            r,
            "step_us is the number of microseconds from a row to the next, above 0 and at "
            "most %g",
            STEP_US_MAX);
    }
    r->step_us = step;
    return OK;
}

/* A row of a block that is stamped once: so many steps behind the one with the time. */
static bool time_step(struct json_reader *r)
{
    if (!(r->step_us > 0) || !r->block_row)
        return false;
    batch_set_time(r->bb, r->block_us + llround(r->step_us * (r->row - r->block_row)));
    return true;
}

/* --------------------------------------------------------------------------------------- numbers
 */

static int number_refuse(struct json_reader *r, const struct field *f, int err, double shown)
{
    char text[STR_NUMBER_BYTES_MAX];
    (void)str_from_double(shown, text);
    if (err == ERR_UNIQUE)
        return refuse(r, "%s: %s lies between two raw values (scale %g, offset %g)", f->name, text,
                      f->scale, f->offset);
    if (err == ERR_EXISTS)
        return refuse(r, "%s: several raw values are shown as %s (scale %g, offset %g)", f->name,
                      text, f->scale, f->offset);
    return refuse(r, "%s: %s is too large", f->name, text);
}

static int limit_refuse(struct json_reader *r, const struct field *f,
                        const struct field_limit *limit)
{
    return refuse(r, "%s: the device holds raw values from %lld to %llu", f->name,
                  (long long)limit->min, (unsigned long long)limit->max);
}

static int i64_put(struct json_reader *r, const struct field *f, uint32_t col, int64_t v)
{
    const struct field_limit *limit = r->limits ? &r->limits[col] : NULL;
    if (limit && (v < limit->min || (v > 0 && (uint64_t)v > limit->max)))
        return limit_refuse(r, f, limit);
    batch_set_i64(r->bb, col, v);
    return OK;
}

static int u64_put(struct json_reader *r, const struct field *f, uint32_t col, uint64_t v)
{
    const struct field_limit *limit = r->limits ? &r->limits[col] : NULL;
    if (limit && v > limit->max)
        return limit_refuse(r, f, limit);
    batch_set_u64(r->bb, col, v);
    return OK;
}

static int whole_put(struct json_reader *r, const struct field *f, uint32_t col, double raw,
                     double shown)
{
    bool is_signed = f->type == VALUE_INT64;
    if (raw < (is_signed ? -0x1p63 : 0) || raw >= (is_signed ? 0x1p63 : 0x1p64))
        return number_refuse(r, f, ERR_RANGE, shown);
    return is_signed ? i64_put(r, f, col, (int64_t)raw) : u64_put(r, f, col, (uint64_t)raw);
}

static int scaled_put(struct json_reader *r, const struct field *f, uint32_t col,
                      const struct json_value *v)
{
    double shown = 0;
    double raw = 0;
    if (!json_to_number(v, &shown))
        return refuse(r, "%s: the value must be a number", f->name);
    int err = field_raw(f, shown, &raw);
    if (!err && f->type == VALUE_FLOAT32 && !isfinite((float)raw))
        err = ERR_RANGE;
    if (err)
        return number_refuse(r, f, err, shown);
    if (f->type == VALUE_FLOAT32)
        batch_set_f32(r->bb, col, (float)raw);
    else if (f->type == VALUE_DOUBLE)
        batch_set_f64(r->bb, col, raw);
    else
        return whole_put(r, f, col, raw, shown);
    return OK;
}

static int integer_put(struct json_reader *r, const struct field *f, uint32_t col,
                       const struct json_value *v)
{
    int64_t i = 0;
    uint64_t u = 0;
    bool is_signed = f->type == VALUE_INT64;
    if (v->kind == JSON_F64 && fabs(v->f64) > INTEGERS_EXACT_MAX)
        return refuse(r, "%s: a number of this size needs all its digits, and at most 64 bits",
                      f->name);
    if (is_signed ? !json_to_i64(v, &i) : !json_to_u64(v, &u))
        return refuse(r, "%s: the value must be a whole number of 64 bits%s", f->name,
                      is_signed ? "" : ", not negative");
    return is_signed ? i64_put(r, f, col, i) : u64_put(r, f, col, u);
}

/* An unscaled number of a floating-point column; -0 keeps its sign only on this way. */
int json_rows_number(struct json_reader *r, uint32_t col, double v)
{
    const struct field *f = &r->wanted->fields[col];
    if (f->type == VALUE_DOUBLE)
        batch_set_f64(r->bb, col, v);
    else if (isfinite((float)v))
        batch_set_f32(r->bb, col, (float)v);
    else
        return number_refuse(r, f, ERR_RANGE, v);
    return OK;
}

/* ---------------------------------------------------------------------------------------- others
 */

static int bool_put(struct json_reader *r, const struct field *f, uint32_t col,
                    const struct json_value *v)
{
    int64_t bit = v->kind == JSON_BOOL && v->boolean;
    if ((v->kind != JSON_BOOL && !json_to_i64(v, &bit)) || bit < 0 || bit > 1)
        return refuse(r, "%s: the value must be true or false, or 1 or 0", f->name);
    batch_set_bool(r->bb, col, bit != 0);
    return OK;
}

static int chars_put(struct json_reader *r, const struct field *f, uint32_t col, struct bytes v)
{
    uint32_t max = r->limits ? r->limits[col].bytes_max : 0;
    if (max && v.len > max)
        return refuse(r, "%s: the device holds at most %u bytes, the value has %zu", f->name, max,
                      v.len);
    return batch_set_bytes(r->bb, col, v);
}

static int coded_put(struct json_reader *r, const struct field *f, uint32_t col,
                     const struct json_value *v)
{
    size_t len = 0;
    buf_reset(&r->decoded);
    uint8_t *out = v->kind == JSON_STRING ? buf_extend(&r->decoded, v->text_bytes + 1) : NULL;
    if (v->kind == JSON_STRING && !out)
        return ERR_NOMEM;
    if (!out || str_from_base64(bytes_of(v->text, v->text_bytes), out, &len))
        return refuse(r, "%s: what stands under $bytes is not base64", f->name);
    r->has_bytes = true;
    return chars_put(r, f, col, bytes_of(out, len));
}

static int text_put(struct json_reader *r, const struct field *f, uint32_t col,
                    const struct json_value *v)
{
    bool coded = r->has_bytes;
    r->has_bytes = false;
    if (v->kind == JSON_RAW && coded)
        return OK; /* it was read inside */
    if (v->kind != JSON_STRING)
        return refuse(r, "%s: the value must be a string, or {\"$bytes\": base64}", f->name);
    return chars_put(r, f, col, bytes_of(v->text, v->text_bytes));
}

static int other_put(struct json_reader *r, const struct field *f, uint32_t col,
                     const struct json_value *v)
{
    int64_t at = 0;
    if (f->type != VALUE_TIMESTAMP || !json_to_time(v, &at))
        return refuse(r, "%s: the value must be a time", f->name);
    batch_set_i64(r->bb, col, at);
    return OK;
}

static int null_put(struct json_reader *r, uint32_t col)
{
    r->misfit = true;
    batch_set_null(r->bb, col);
    return batch_set_quality(r->bb, col, QUALITY_UNREAD);
}

int json_rows_value(struct json_reader *r, const struct json_field *jf, const struct json_value *v)
{
    if (jf->column == r->time_column)
        return time_put(r, v);
    if (jf->column > r->time_column)
        return step_put(r, v);
    uint32_t col = (uint32_t)jf->column;
    const struct field *f = &r->wanted->fields[col];
    if (v->kind == JSON_NULL && !jf->coded)
        return null_put(r, col);
    if (r->misfit && v->kind != JSON_RAW)
        batch_set_null(r->bb, col); /* the same key may have been null, earlier in this row */
    if (jf->coded)
        return coded_put(r, f, col, v);
    if (f->type == VALUE_BYTES || f->type == VALUE_STRING)
        return text_put(r, f, col, v);
    if (f->type == VALUE_BOOL)
        return bool_put(r, f, col, v);
    if (f->type == VALUE_TIMESTAMP || f->type == VALUE_ANY)
        return other_put(r, f, col, v);
    if (field_is_scaled(f))
        return scaled_put(r, f, col, v);
    if (f->type == VALUE_INT64 || f->type == VALUE_UINT64)
        return integer_put(r, f, col, v);
    return refuse(r, "%s: the value must be a number", f->name);
}

int json_rows_unknown(struct json_reader *r, struct bytes name)
{
    name.len = name.len > NAME_SHOWN_MAX ? NAME_SHOWN_MAX : name.len;
    buf_reset(&r->decoded);
    (void)str_print_json(name, &r->decoded); /* it may hold anything */
    (void)buf_append_u8(&r->decoded, 0);
    if (buf_error(&r->decoded))
        return ERR_NOMEM;
    return refuse(r, "the group has no tag %s", (const char *)r->decoded.ptr);
}

/* ------------------------------------------------------------------------------------------ rows
 */

int json_rows_end(struct json_reader *r)
{
    bool timed = r->row == 0 || r->has_time || time_step(r);
    return timed ? OK : refuse(r, "it has no time (ts)");
}

int json_rows_row(struct json_reader *r)
{
    int err = json_rows_end(r);
    if (err)
        return err;
    r->row++;
    r->has_time = false;
    r->has_bytes = false;
    int row = batch_builder_row(r->bb, 0);
    if (row == ERR_LIMIT)
        return refuse(r, "more rows than one message of this group may have");
    return row < 0 ? row : OK;
}

/* The column's key in an object; bytes have a key inside theirs. */
static int column_want(struct json_reader *r, struct json_scope *scope, const char *name,
                       int32_t column, struct json_scope **ret_inner)
{
    struct json_field *f = NULL;
    int err = json_scope_want(&r->names, scope, bytes_of_text(name), &f);
    if (err)
        return err;
    const struct field *to = column < r->time_column ? &r->wanted->fields[column] : NULL;
    f->column = column;
    f->coded = scope != r->root;
    f->is_double =
        to && !field_is_scaled(to) && (to->type == VALUE_DOUBLE || to->type == VALUE_FLOAT32);
    if (!ret_inner || !to || to->type != VALUE_BYTES)
        return OK;
    *ret_inner = f->inner = json_scope_new();
    return f->inner ? OK : ERR_NOMEM;
}

static int columns_want(struct json_reader *r, const char *time_key)
{
    bool is_tag = schema_find(r->wanted, bytes_of_text(JSON_STEP_KEY)) >= 0;
    int err = column_want(r, r->root, time_key, r->time_column, NULL);
    if (!err && !is_tag)
        err = column_want(r, r->root, JSON_STEP_KEY, r->time_column + 1, NULL);
    for (uint32_t i = 0; i < r->wanted->count && !err; i++) {
        struct json_scope *inner = NULL;
        err = column_want(r, r->root, r->wanted->fields[i].name, (int32_t)i, &inner);
        if (!err && inner)
            err = column_want(r, inner, "$bytes", (int32_t)i, NULL);
    }
    return err;
}

int json_rows_reader_new(const struct schema *wanted, const struct field_limit *limits,
                         const char *time_key, struct json_reader **ret)
{
    if (schema_find(wanted, bytes_of_text(time_key)) >= 0)
        return ERR_EXISTS;
    struct json_reader *r = json_reader_alloc(wanted);
    if (!r)
        return ERR_NOMEM;
    r->strict = true;
    r->limits = limits;
    r->time_column = (int32_t)wanted->count;
    int err = columns_want(r, time_key);
    if (err) {
        json_reader_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

int json_decode_rows(struct json_reader *r, struct bytes payload, struct batch_builder *bb)
{
    uint32_t before = batch_builder_rows(bb);
    r->bb = bb;
    r->row = 0;
    r->has_time = false;
    r->step_us = 0;
    r->block_row = 0;
    r->misfit = false;
    int err = json_reader_walk(r, payload);
    if (!err)
        err = json_rows_end(r);
    if (err)
        batch_builder_truncate(bb, before);
    r->bb = NULL;
    return err == ERR_NOMEM ? err : err ? ERR_SYNTAX : OK;
}
