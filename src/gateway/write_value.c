/* What people write → the device's raw value.
 *
 * A write takes the value as people see it. It is refused unless it maps to exactly one raw value:
 * 23.4 with scale 0.1 is raw 234 and nothing else, 23.56 is between two, and with a scale so small
 * that several raw values look alike nobody could say which was meant. Integers without a scale are
 * read as integers, so 18446744073709551615 is not rounded on its way. Floating-point tags take
 * the nearest number that the device can hold, as every program does that reads a decimal.
 */
#include "base/str.h"
#include "config/tree.h"
#include "gateway/gateway_priv.h"

#include <math.h>

#define INTEGERS_EXACT_MAX 9007199254740992.0 /* 2^53 */

static bool type_is_signed(uint8_t type)
{
    return type == LOTLINE_INT8 || type == LOTLINE_INT16 || type == LOTLINE_INT32 ||
           type == LOTLINE_INT64;
}

static int fail(struct diag *diag, int err, const struct tag *tag, const char *what)
{
    return diag_set(diag, err, 0, 0, "%s (%s): %s", tag->name, tag_type_names[tag->type - 1], what);
}

/* ---------------------------------------------------------------------------------------- numbers
 */

static int range_fail(struct diag *diag, const struct tag *tag)
{
    struct field_limit r = tag_limit(tag);
    return diag_set(diag, ERR_RANGE, 0, 0, "%s is a %s: raw values from %lld to %llu", tag->name,
                    tag_type_names[tag->type - 1], (long long)r.min, (unsigned long long)r.max);
}

/* A raw integer given as a double that is a whole number. */
static int whole_take(const struct tag *tag, double whole, struct lotline_value *ret,
                      struct diag *diag)
{
    struct field_limit r = tag_limit(tag);
    /* Both limits are powers of two or just below: compare against the power itself. */
    if (whole < (double)r.min || whole >= (double)r.max + 1.0)
        return range_fail(diag, tag);
    if (type_is_signed(tag->type))
        ret->as.i64 = (int64_t)whole;
    else
        ret->as.u64 = (uint64_t)whole;
    return OK;
}

static int integer_parse(const struct tag *tag, struct bytes text, struct lotline_value *ret,
                         struct diag *diag)
{
    struct field_limit r = tag_limit(tag);
    bool is_signed = type_is_signed(tag->type);
    int64_t i = 0;
    uint64_t u = 0;
    int err = is_signed ? str_to_i64(text, &i) : str_to_u64(text, &u);
    if (!err && is_signed && (i < r.min || i > (int64_t)r.max))
        err = ERR_RANGE;
    if (!err && !is_signed && u > r.max)
        err = ERR_RANGE;
    if (!err && is_signed)
        ret->as.i64 = i;
    else if (!err)
        ret->as.u64 = u;
    if (err != ERR_SYNTAX)
        return err ? range_fail(diag, tag) : OK;
    double v = 0;
    if (str_to_double(text, &v) || !isfinite(v))
        return fail(diag, ERR_TYPE, tag, "the value must be a number");
    if (v != floor(v))
        return fail(diag, ERR_UNIQUE, tag, "the value must be a whole number");
    if (fabs(v) > INTEGERS_EXACT_MAX)
        return fail(diag, ERR_UNIQUE, tag, "write a number of this size with all its digits");
    return whole_take(tag, v, ret, diag);
}

static int scaled_parse(const struct tag *tag, const struct field *f, double v,
                        struct lotline_value *ret, struct diag *diag)
{
    double raw = 0;
    int err = field_raw(f, v, &raw);
    if (err == ERR_UNIQUE)
        return fail(diag, ERR_UNIQUE, tag,
                    "the value lies between two raw values of the device (scale and offset)");
    if (err == ERR_EXISTS)
        return fail(diag, ERR_UNIQUE, tag,
                    "several raw values of the device are shown as this value");
    return err ? range_fail(diag, tag) : whole_take(tag, raw, ret, diag);
}

static int float_take(const struct tag *tag, double v, struct lotline_value *ret, struct diag *diag)
{
    if (tag->type == LOTLINE_DOUBLE) {
        ret->as.f64 = v;
        return isfinite(v) ? OK : fail(diag, ERR_RANGE, tag, "the value is too large");
    }
    float f = (float)v;
    if (!isfinite(f))
        return fail(diag, ERR_RANGE, tag, "the value is too large for 32 bits");
    ret->as.f32 = f;
    return OK;
}

static int number_parse(const struct tag *tag, const struct field *f, const struct tree *t,
                        struct lotline_value *ret, struct diag *diag)
{
    bool scaled = f && field_is_scaled(f);
    bool floating = tag->type == LOTLINE_FLOAT || tag->type == LOTLINE_DOUBLE;
    double v = 0;
    if (t->kind != TREE_TEXT || t->quoted)
        return fail(diag, ERR_TYPE, tag, "the value must be a number");
    if (!scaled && !floating)
        return integer_parse(tag, t->text, ret, diag);
    if (str_to_double(t->text, &v) || !isfinite(v))
        return fail(diag, ERR_TYPE, tag, "the value must be a finite number");
    if (!floating)
        return scaled_parse(tag, f, v, ret, diag);
    return float_take(tag, scaled ? (v - f->offset) / f->scale : v, ret, diag);
}

/* ------------------------------------------------------------------------------------------ others
 */

static int bool_parse(const struct tag *tag, const struct tree *t, struct lotline_value *ret,
                      struct diag *diag)
{
    bool on = str_equal(t->text, "true") || str_equal(t->text, "1");
    bool off = str_equal(t->text, "false") || str_equal(t->text, "0");
    if (t->kind != TREE_TEXT || t->quoted || (!on && !off))
        return fail(diag, ERR_TYPE, tag, "the value must be true or false, or 1 or 0");
    ret->as.boolean = on;
    return OK;
}

/* A string, or {"$bytes": base64} as values that are no text are shown. */
static int chars_take(const struct tag *tag, const struct tree *t, struct arena *arena,
                      struct bytes *ret, struct diag *diag)
{
    const struct tree *coded = tree_get(t, "$bytes");
    if (t->kind == TREE_TEXT) {
        *ret = t->text;
        return OK;
    }
    if (!coded || coded->kind != TREE_TEXT || t->count != 1)
        return fail(diag, ERR_TYPE, tag, "the value must be a string, or {\"$bytes\": base64}");
    uint8_t *out = arena_alloc(arena, coded->text.len + 1);
    size_t len = 0;
    if (!out)
        return ERR_NOMEM;
    if (str_from_base64(coded->text, out, &len))
        return fail(diag, ERR_SYNTAX, tag, "what stands under $bytes is not base64");
    *ret = bytes_of(out, len);
    return OK;
}

static int text_parse(const struct tag *tag, const struct tree *t, struct arena *arena,
                      struct lotline_value *ret, struct diag *diag)
{
    struct bytes chars = {0};
    int err = chars_take(tag, t, arena, &chars, diag);
    if (err)
        return err;
    if (chars.len > tag->text_bytes_max || (tag->exact_len && chars.len != tag->text_bytes_max))
        return diag_set(diag, ERR_RANGE, 0, 0, "%s takes %s %u bytes, the value has %zu", tag->name,
                        tag->exact_len ? "just" : "at most", tag->text_bytes_max, chars.len);
    if (tag->type == LOTLINE_STRING && chars.len && memchr(chars.ptr, 0, chars.len))
        return fail(diag, ERR_RANGE, tag, "a string ends at its first zero and cannot hold one");
    ret->as.ptr = chars.ptr;
    ret->len = (uint32_t)chars.len;
    return OK;
}

int write_value_parse(const struct tag *tag, const struct field *field, struct bytes json,
                      struct arena *arena, struct lotline_value *ret, struct diag *diag)
{
    struct tree *t = NULL;
    struct lotline_value v = {.type = tag->type};
    int err = tree_parse_json(arena, "", json, &t, diag);
    if (err)
        return err;
    if (t->kind == TREE_NULL || t->kind == TREE_LIST)
        err = fail(diag, ERR_TYPE, tag, "a value is needed");
    else if (tag->type == LOTLINE_BIT || tag->type == LOTLINE_BOOL)
        err = bool_parse(tag, t, &v, diag);
    else if (tag->type == LOTLINE_STRING || tag->type == LOTLINE_BYTES)
        err = text_parse(tag, t, arena, &v, diag);
    else
        err = number_parse(tag, field, t, &v, diag);
    if (!err)
        *ret = v;
    return err;
}
