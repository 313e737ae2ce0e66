/* Functions on numbers. Results are doubles, except where an integer stays one (abs, sign, bits).
 *
 * What has no answer among the real numbers (sqrt(-1), ln(0)) is null.
 */
#include "stream/function.h"

#include <math.h>

#define PI 3.14159265358979323846

static int put_double(double d, struct value *ret)
{
    if (!isnan(d) && !isinf(d))
        *ret = (struct value){.type = VALUE_DOUBLE, .f64 = d};
    return OK;
}

/* One number in, one out: a kernel over doubles, and one over values of any type. */
#define MATH(name, expression)                                                                     \
    static void name##_f64(struct machine *m, const struct step *s)                                \
    {                                                                                              \
        const double *a = m->regs[s->args[0]].f;                                                   \
        double *out = machine_out(m, s);                                                           \
        machine_valid_both(m, s, &m->regs[s->args[0]], NULL);                                      \
        uint64_t *valid = m->words[s->dst];                                                        \
        if (!m->regs[s->dst].valid)                                                                \
            valid = machine_valid(m, s);                                                           \
        EACH_ROW(m, i, {                                                                           \
            double x = a[i];                                                                       \
            double y = expression;                                                                 \
            out[i] = y;                                                                            \
            if (isnan(y) || isinf(y))                                                              \
                words_clear(valid, i);                                                             \
        });                                                                                        \
    }                                                                                              \
    static int name##_row(struct machine *m, const struct step *s, uint32_t i,                     \
                          const struct value *args, struct value *ret)                             \
    {                                                                                              \
        double x;                                                                                  \
        int err = function_arg_number(m, s, i, &args[0], &x);                                      \
        return err ? err : put_double(expression, ret);                                            \
    }                                                                                              \
    FUNCTION_KERNEL(name)

MATH(math_acos, acos(x))
MATH(math_asin, asin(x))
MATH(math_atan, atan(x))
MATH(math_ceil, ceil(x))
MATH(math_cos, cos(x))
MATH(math_cosh, cosh(x))
MATH(math_cot, 1 / tan(x))
MATH(math_exp, exp(x))
MATH(math_floor, floor(x))
MATH(math_ln, log(x))
MATH(math_log, log10(x))
MATH(math_sin, sin(x))
MATH(math_sinh, sinh(x))
MATH(math_tan, tan(x))
MATH(math_tanh, tanh(x))
MATH(math_radians, x *PI / 180.0)
MATH(math_degrees, x * 180.0 / PI)

/* round(x[, digits]); digits may be negative: round(57321, -3) = 57000. */
static int math_round_row(struct machine *m, const struct step *s, uint32_t i,
                          const struct value *args, struct value *ret)
{
    double x;
    int64_t digits = 0;
    int err = function_arg_number(m, s, i, &args[0], &x);
    if (!err && s->arg_count > 1)
        err = function_arg_integer(m, s, i, &args[1], &digits);
    if (err)
        return err;
    digits = digits < -308 ? -308 : digits > 308 ? 308 : digits;
    double unit = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? x / unit : x * unit;
    if (isinf(scaled))
        return put_double(x, ret);
    return put_double(digits < 0 ? round(scaled) * unit : round(scaled) / unit, ret);
}

FUNCTION_KERNEL(math_round)

/* A root of a negative number is an error of its row (eKuiper), not null. */
static int math_sqrt_row(struct machine *m, const struct step *s, uint32_t i,
                         const struct value *args, struct value *ret)
{
    double x;
    int err = function_arg_number(m, s, i, &args[0], &x);
    if (!err && x < 0) {
        step_fail(m, s, i, ERR_RANGE, "a negative number has no square root");
        err = ERR_RANGE;
    }
    return err ? err : put_double(sqrt(x), ret);
}

FUNCTION_KERNEL(math_sqrt)

/* --------------------------------------------------------------------------- integers stay such */

static int math_abs_row(struct machine *m, const struct step *s, uint32_t i,
                        const struct value *args, struct value *ret)
{
    double x;
    *ret = args[0];
    if (ret->type == VALUE_UINT64)
        return OK;
    if (ret->type == VALUE_INT64) {
        ret->i64 = ret->i64 < 0 ? (int64_t)(0 - ret->u64) : ret->i64;
        return OK;
    }
    int err = function_arg_number(m, s, i, &args[0], &x);
    return err ? err : put_double(fabs(x), ret);
}

FUNCTION_KERNEL(math_abs)

static void math_abs_f64(struct machine *m, const struct step *s)
{
    const double *a = m->regs[s->args[0]].f;
    double *out = machine_out(m, s);
    machine_valid_both(m, s, &m->regs[s->args[0]], NULL);
    EACH_ROW(m, i, { out[i] = fabs(a[i]); });
}

static int math_sign_row(struct machine *m, const struct step *s, uint32_t i,
                         const struct value *args, struct value *ret)
{
    double x;
    int err = function_arg_number(m, s, i, &args[0], &x);
    if (err)
        return err;
    *ret = (struct value){.type = VALUE_INT64, .i64 = (x > 0) - (x < 0)};
    return OK;
}

FUNCTION_KERNEL(math_sign)

/* ------------------------------------------------------------------------------------ two numbers
 */

#define MATH2(name, expression)                                                                    \
    static int name##_row(struct machine *m, const struct step *s, uint32_t i,                     \
                          const struct value *args, struct value *ret)                             \
    {                                                                                              \
        double x;                                                                                  \
        double y;                                                                                  \
        int err = function_arg_number(m, s, i, &args[0], &x);                                      \
        if (!err)                                                                                  \
            err = function_arg_number(m, s, i, &args[1], &y);                                      \
        return err ? err : put_double(expression, ret);                                            \
    }                                                                                              \
    FUNCTION_KERNEL(name)

MATH2(math_atan2, atan2(x, y))
MATH2(math_power, pow(x, y))
MATH2(math_mod, fmod(x, y))

static int math_pi_row(struct machine *m, const struct step *s, uint32_t i,
                       const struct value *args, struct value *ret)
{
    (void)m;
    (void)s;
    (void)i;
    (void)args;
    return put_double(PI, ret);
}

FUNCTION_KERNEL(math_pi)

#define BITS2(name, expression)                                                                    \
    static int name##_row(struct machine *m, const struct step *s, uint32_t i,                     \
                          const struct value *args, struct value *ret)                             \
    {                                                                                              \
        int64_t x;                                                                                 \
        int64_t y;                                                                                 \
        int err = function_arg_integer(m, s, i, &args[0], &x);                                     \
        if (!err)                                                                                  \
            err = function_arg_integer(m, s, i, &args[1], &y);                                     \
        if (!err)                                                                                  \
            *ret = (struct value){.type = VALUE_INT64, .i64 = expression};                         \
        return err;                                                                                \
    }                                                                                              \
    FUNCTION_KERNEL(name)

BITS2(math_bitand, x &y)
BITS2(math_bitor, x | y)
BITS2(math_bitxor, x ^ y)

static int math_bitnot_row(struct machine *m, const struct step *s, uint32_t i,
                           const struct value *args, struct value *ret)
{
    int64_t x;
    int err = function_arg_integer(m, s, i, &args[0], &x);
    if (!err)
        *ret = (struct value){.type = VALUE_INT64, .i64 = ~x};
    return err;
}

FUNCTION_KERNEL(math_bitnot)

#define ROW1(name_, kernel_, doc_)                                                                 \
    {                                                                                              \
        .name = name_, .args = "n", .args_min = 1, .args_max = 1, .result = RESULT_DOUBLE,         \
        .may_fail = true, .kernel = kernel_, .kernel_f64 = kernel_##_f64, .doc = doc_              \
    }
#define ROW2(name_, args_, result_, kernel_, doc_)                                                 \
    {                                                                                              \
        .name = name_, .args = args_, .args_min = 2, .args_max = 2, .result = result_,             \
        .may_fail = true, .kernel = kernel_, .doc = doc_                                           \
    }

const struct function functions_math[] = {
    {.name = "abs",
     .args = "n",
     .args_min = 1,
     .args_max = 1,
     .result = RESULT_FIRST,
     .may_fail = true,
     .kernel = math_abs,
     .kernel_f64 = math_abs_f64,
     .doc = "without its sign"},
    ROW1("acos", math_acos, "arc cosine"),
    ROW1("asin", math_asin, "arc sine"),
    ROW1("atan", math_atan, "arc tangent"),
    ROW2("atan2", "n", RESULT_DOUBLE, math_atan2, "arc tangent of y / x"),
    ROW2("bitand", "i", RESULT_INT, math_bitand, "bits set in both"),
    ROW2("bitor", "i", RESULT_INT, math_bitor, "bits set in either"),
    ROW2("bitxor", "i", RESULT_INT, math_bitxor, "bits that differ"),
    {.name = "bitnot",
     .args = "i",
     .args_min = 1,
     .args_max = 1,
     .result = RESULT_INT,
     .may_fail = true,
     .kernel = math_bitnot,
     .doc = "all bits turned"},
    ROW1("ceil", math_ceil, "the next whole number above"),
    ROW1("ceiling", math_ceil, "as ceil"),
    ROW1("cos", math_cos, "cosine"),
    ROW1("cosh", math_cosh, "hyperbolic cosine"),
    ROW1("cot", math_cot, "cotangent"),
    ROW1("degrees", math_degrees, "radians in degrees"),
    ROW1("exp", math_exp, "e to the power of x"),
    ROW1("floor", math_floor, "the next whole number below"),
    ROW1("ln", math_ln, "natural logarithm"),
    ROW1("log", math_log, "logarithm to base 10"),
    ROW2("mod", "n", RESULT_DOUBLE, math_mod, "remainder"),
    {.name = "pi",
     .args = "",
     .args_min = 0,
     .args_max = 0,
     .result = RESULT_DOUBLE,
     .takes_null = true,
     .kernel = math_pi,
     .doc = "3.14159…"},
    ROW2("pow", "n", RESULT_DOUBLE, math_power, "as power"),
    ROW2("power", "n", RESULT_DOUBLE, math_power, "x to the power of y"),
    ROW1("radians", math_radians, "degrees in radians"),
    {.name = "round",
     .args = "ni",
     .args_min = 1,
     .args_max = 2,
     .result = RESULT_DOUBLE,
     .may_fail = true,
     .kernel = math_round,
     .doc = "the nearest whole number, halves away from zero; to so many digits"},
    {.name = "sign",
     .args = "n",
     .args_min = 1,
     .args_max = 1,
     .result = RESULT_INT,
     .may_fail = true,
     .kernel = math_sign,
     .doc = "-1, 0 or 1"},
    ROW1("sin", math_sin, "sine"),
    ROW1("sinh", math_sinh, "hyperbolic sine"),
    {.name = "sqrt",
     .args = "n",
     .args_min = 1,
     .args_max = 1,
     .result = RESULT_DOUBLE,
     .may_fail = true,
     .kernel = math_sqrt,
     .doc = "square root"},
    ROW1("tan", math_tan, "tangent"),
    ROW1("tanh", math_tanh, "hyperbolic tangent"),
    {.name = NULL},
};
