/* Operators on single values. See value_ops.h. */
#include "stream/value_ops.h"

#include "base/clock.h"
#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool is_integer(const struct value *v)
{
    return v->type == VALUE_INT64 || v->type == VALUE_UINT64;
}

static bool is_float(const struct value *v)
{
    return v->type == VALUE_DOUBLE || v->type == VALUE_FLOAT32;
}

static bool is_text(const struct value *v)
{
    return v->type == VALUE_STRING || v->type == VALUE_BYTES;
}

static bool is_number(const struct value *v)
{
    return is_integer(v) || is_float(v);
}

static double number_of(const struct value *v)
{
    double d = 0;
    (void)value_to_double(v, &d);
    return d;
}

/* ------------------------------------------------------------------------------------ arithmetic
 */

static int arith_f64(enum op op, double a, double b, struct value *ret)
{
    double r;
    switch ((int)op) {
    case OP_ADD:
        r = a + b;
        break;
    case OP_SUB:
        r = a - b;
        break;
    case OP_MUL:
        r = a * b;
        break;
    case OP_DIV:
    case OP_MOD:
        if (b == 0)
            return ERR_RANGE;
        r = op == OP_DIV ? a / b : fmod(a, b);
        break;
    default:
        return ERR_TYPE;
    }
    *ret = (struct value){.type = VALUE_DOUBLE, .f64 = r};
    return OK;
}

/* Sums, differences, products and bits are the same for both kinds of 64-bit integers. */
static uint64_t arith_bits(enum op op, uint64_t a, uint64_t b)
{
    switch ((int)op) {
    case OP_ADD:
        return a + b;
    case OP_SUB:
        return a - b;
    case OP_MUL:
        return a * b;
    case OP_BIT_AND:
        return a & b;
    case OP_BIT_OR:
        return a | b;
    default:
        return a ^ b;
    }
}

/* Two uint64, or one and an int64 that is not negative, stay unsigned; only a difference is signed,
 * because it may be negative. */
static bool both_unsigned(const struct value *a, const struct value *b)
{
    bool ua = a->type == VALUE_UINT64;
    bool ub = b->type == VALUE_UINT64;
    return (ua && (ub || b->i64 >= 0)) || (ub && a->i64 >= 0);
}

static int arith_int(enum op op, const struct value *a, const struct value *b, struct value *ret)
{
    bool is_unsigned = both_unsigned(a, b);
    if ((op == OP_DIV || op == OP_MOD) && b->u64 == 0)
        return ERR_RANGE;
    struct value r = {.type = is_unsigned && op != OP_SUB ? VALUE_UINT64 : VALUE_INT64};
    if (op == OP_DIV && is_unsigned)
        r.u64 = a->u64 / b->u64;
    else if (op == OP_DIV)
        r.i64 = i64_div(a->i64, b->i64);
    else if (op == OP_MOD && is_unsigned)
        r.u64 = a->u64 % b->u64;
    else if (op == OP_MOD)
        r.i64 = i64_mod(a->i64, b->i64);
    else
        r.u64 = arith_bits(op, a->u64, b->u64);
    *ret = r;
    return OK;
}

/* Bits of booleans are integers, as eKuiper has it. */
static struct value bits_operand(const struct value *v)
{
    if (v->type == VALUE_BOOL)
        return (struct value){.type = VALUE_INT64, .i64 = v->boolean};
    return *v;
}

int value_arith(enum op op, const struct value *a, const struct value *b, struct value *ret)
{
    if (a->type == VALUE_NULL || b->type == VALUE_NULL) {
        *ret = (struct value){.type = VALUE_NULL};
        return OK;
    }
    bool bits = op == OP_BIT_AND || op == OP_BIT_OR || op == OP_BIT_XOR;
    struct value x = bits ? bits_operand(a) : *a;
    struct value y = bits ? bits_operand(b) : *b;
    if (is_integer(&x) && is_integer(&y))
        return arith_int(op, &x, &y, ret);
    if (bits || !is_number(&x) || !is_number(&y))
        return ERR_TYPE;
    return arith_f64(op, number_of(&x), number_of(&y), ret);
}

/* ------------------------------------------------------------------------------------ comparison
 */

static int order_f64(double a, double b)
{
    if (isnan(a) || isnan(b))
        return 2;
    return (a > b) - (a < b);
}

static int order_int(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INT64 && b->type == VALUE_INT64)
        return (a->i64 > b->i64) - (a->i64 < b->i64);
    if (a->type == VALUE_INT64 && a->i64 < 0)
        return -1;
    if (b->type == VALUE_INT64 && b->i64 < 0)
        return 1;
    return (a->u64 > b->u64) - (a->u64 < b->u64);
}

/* A time compares with milliseconds and with a text that is a time. */
static int order_time(int64_t time_us, const struct value *b, int *ret)
{
    int64_t other = 0;
    if (b->type == VALUE_TIMESTAMP) {
        *ret = (time_us > b->i64) - (time_us < b->i64);
        return OK;
    }
    if (is_number(b)) {
        *ret = order_f64((double)time_us / 1000.0, number_of(b));
        return OK;
    }
    if (!is_text(b) || clock_parse(b->bytes, &other) != OK)
        return ERR_TYPE;
    *ret = (time_us > other) - (time_us < other);
    return OK;
}

int value_order(const struct value *a, const struct value *b, int *ret_order)
{
    int err = OK;
    int order = 0;
    if (is_integer(a) && is_integer(b)) {
        order = order_int(a, b);
    } else if (is_number(a) && is_number(b)) {
        order = order_f64(number_of(a), number_of(b));
    } else if (is_text(a) && is_text(b)) {
        order = bytes_compare(a->bytes, b->bytes);
        order = (order > 0) - (order < 0);
    } else if (a->type == VALUE_BOOL && b->type == VALUE_BOOL) {
        order = a->boolean - b->boolean;
    } else if (a->type == VALUE_TIMESTAMP) {
        err = order_time(a->i64, b, &order);
    } else if (b->type == VALUE_TIMESTAMP) {
        err = order_time(b->i64, a, &order);
        order = order == 2 ? 2 : -order;
    } else {
        err = ERR_TYPE;
    }
    if (!err)
        *ret_order = order;
    return err;
}

bool order_satisfies(enum op op, int order)
{
    switch ((int)op) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LT:
        return order == -1;
    case OP_LE:
        return order == -1 || order == 0;
    case OP_GT:
        return order == 1;
    default:
        return order == 1 || order == 0;
    }
}

int value_compare(enum op op, const struct value *a, const struct value *b, bool *ret)
{
    int order = 0;
    if (a->type == VALUE_NULL || b->type == VALUE_NULL) {
        *ret = false;
        return OK;
    }
    if (a->type == VALUE_BOOL && op != OP_EQ && op != OP_NE)
        return ERR_TYPE;
    int err = value_order(a, b, &order);
    if (!err)
        *ret = order_satisfies(op, order);
    return err;
}

/* ------------------------------------------------------------------------------------------ LIKE
 */

static size_t char_bytes(const uint8_t *at, const uint8_t *end)
{
    size_t n = 1;
    while (at + n < end && (at[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The classic two-pointer match: on a mismatch go back to the last `%` and let it take one more. */
bool text_like(struct bytes text, struct bytes pattern)
{
    const uint8_t *t = text.ptr;
    const uint8_t *t_end = text.ptr + text.len;
    const uint8_t *p = pattern.ptr;
    const uint8_t *p_end = pattern.ptr + pattern.len;
    const uint8_t *star = NULL;
    const uint8_t *retry = NULL;
    while (t < t_end) {
        bool escaped = p < p_end && *p == '\\' && p + 1 < p_end;
        if (p < p_end && *p == '%') {
            star = ++p;
            retry = t;
        } else if (p < p_end && *p == '_') {
            t += char_bytes(t, t_end);
            p++;
        } else if (p < p_end && p[escaped] == *t) {
            p += escaped ? 2 : 1;
            t++;
        } else if (star) {
            p = star;
            t = ++retry;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '%')
        p++;
    return p == p_end;
}

void value_show(const struct value *v, char *out, size_t size)
{
    char number[STR_NUMBER_BYTES_MAX];
    switch (v->type) {
    case VALUE_NULL:
    case VALUE_ANY:
        snprintf(out, size, "null");
        break;
    case VALUE_BOOL:
        snprintf(out, size, "bool(%s)", v->boolean ? "true" : "false");
        break;
    case VALUE_INT64:
        snprintf(out, size, "int64(%" PRId64 ")", v->i64);
        break;
    case VALUE_UINT64:
        snprintf(out, size, "uint64(%" PRIu64 ")", v->u64);
        break;
    case VALUE_FLOAT32:
    case VALUE_DOUBLE:
        (void)str_from_double(number_of(v), number);
        snprintf(out, size, "double(%s)", number);
        break;
    case VALUE_STRING:
    case VALUE_BYTES:
        snprintf(out, size, "%s(%.*s)", value_type_name(v->type),
                 (int)(v->bytes.len < size ? v->bytes.len : size), (const char *)v->bytes.ptr);
        break;
    case VALUE_TIMESTAMP:
        snprintf(out, size, "timestamp(%" PRId64 " us)", v->i64);
        break;
    }
}
