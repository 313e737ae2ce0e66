/* Arithmetic. Typed kernels are loops the compiler turns into vector instructions; dividing looks
 * at each divisor, because one zero is an error of its row alone. */
#include "stream/kernels.h"

#include <math.h>

static void arith_fail(struct machine *m, const struct step *s, uint32_t i, const struct value *a,
                       const struct value *b, int err)
{
    char left[64];
    char right[64];
    value_show(a, left, sizeof left);
    value_show(b, right, sizeof right);
    if (err == ERR_RANGE)
        step_fail(m, s, i, err, "divided by zero: %s %s %s", left, op_text((enum op)s->op), right);
    else
        step_fail(m, s, i, err, "%s %s %s cannot be computed: these types do not go together", left,
                  op_text((enum op)s->op), right);
}

#define ARITH(name, type, access, expression)                                                      \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->a];                                                     \
        const struct vec *vb = &m->regs[s->b];                                                     \
        const type *a = va->access;                                                                \
        const type *b = vb->access;                                                                \
        type *restrict out = machine_out(m, s);                                                    \
        EACH_ROW(m, i, { out[i] = expression; });                                                  \
        machine_valid_both(m, s, va, vb);                                                          \
    }

/* Signed sums wrap as eKuiper's do; in C only unsigned ones may. */
#define WRAP(x) ((int64_t)(x))
#define BITS(x) ((uint64_t)(x))

ARITH(add_f64, double, f, a[i] + b[i])
ARITH(sub_f64, double, f, a[i] - b[i])
ARITH(mul_f64, double, f, a[i] * b[i])
ARITH(add_i64, int64_t, i, WRAP(BITS(a[i]) + BITS(b[i])))
ARITH(sub_i64, int64_t, i, WRAP(BITS(a[i]) - BITS(b[i])))
ARITH(mul_i64, int64_t, i, WRAP(BITS(a[i]) * BITS(b[i])))
ARITH(and_i64, int64_t, i, a[i] & b[i])
ARITH(or_i64, int64_t, i, a[i] | b[i])
ARITH(xor_i64, int64_t, i, a[i] ^ b[i])
ARITH(add_u64, uint64_t, u, a[i] + b[i])
ARITH(sub_u64, uint64_t, u, a[i] - b[i])
ARITH(mul_u64, uint64_t, u, a[i] * b[i])
ARITH(and_u64, uint64_t, u, a[i] & b[i])
ARITH(or_u64, uint64_t, u, a[i] | b[i])
ARITH(xor_u64, uint64_t, u, a[i] ^ b[i])

#define DIVIDE(name, type, access, expression)                                                     \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->a];                                                     \
        const struct vec *vb = &m->regs[s->b];                                                     \
        const type *a = va->access;                                                                \
        const type *b = vb->access;                                                                \
        type *out = machine_out(m, s);                                                             \
        machine_valid_both(m, s, va, vb);                                                          \
        EACH_ROW(m, i, {                                                                           \
            bool zero = b[i] == 0;                                                                 \
            out[i] = zero ? 0 : expression;                                                        \
            if (zero && !vec_is_null(&m->regs[s->dst], i)) {                                       \
                struct value x = vec_value(va, i);                                                 \
                struct value y = vec_value(vb, i);                                                 \
                arith_fail(m, s, i, &x, &y, ERR_RANGE);                                            \
            }                                                                                      \
        });                                                                                        \
    }

DIVIDE(div_f64, double, f, a[i] / b[i])
DIVIDE(mod_f64, double, f, fmod(a[i], b[i]))
DIVIDE(div_i64, int64_t, i, i64_div(a[i], b[i]))
DIVIDE(mod_i64, int64_t, i, i64_mod(a[i], b[i]))
DIVIDE(div_u64, uint64_t, u, a[i] / b[i])
DIVIDE(mod_u64, uint64_t, u, a[i] % b[i])

static void arith_any(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    const struct vec *vb = &m->regs[s->b];
    struct value *out = machine_out(m, s);
    uint64_t *valid = machine_valid(m, s);
    EACH_ROW(m, i, {
        struct value a = vec_value(va, i);
        struct value b = vec_value(vb, i);
        struct value v = {.type = VALUE_NULL};
        int err = value_arith((enum op)s->op, &a, &b, &v);
        out[i] = v;
        if (err)
            arith_fail(m, s, i, &a, &b, err);
        else if (v.type == VALUE_NULL)
            words_clear(valid, i);
    });
}

step_fn kernel_arith(enum op op, enum vec_kind kind)
{
    static const step_fn table[8][VEC_KIND_COUNT] = {
        [OP_ADD] = {[VEC_F64] = add_f64, [VEC_I64] = add_i64, [VEC_U64] = add_u64},
        [OP_SUB] = {[VEC_F64] = sub_f64, [VEC_I64] = sub_i64, [VEC_U64] = sub_u64},
        [OP_MUL] = {[VEC_F64] = mul_f64, [VEC_I64] = mul_i64, [VEC_U64] = mul_u64},
        [OP_DIV] = {[VEC_F64] = div_f64, [VEC_I64] = div_i64, [VEC_U64] = div_u64},
        [OP_MOD] = {[VEC_F64] = mod_f64, [VEC_I64] = mod_i64, [VEC_U64] = mod_u64},
        [OP_BIT_AND] = {[VEC_I64] = and_i64, [VEC_U64] = and_u64},
        [OP_BIT_OR] = {[VEC_I64] = or_i64, [VEC_U64] = or_u64},
        [OP_BIT_XOR] = {[VEC_I64] = xor_i64, [VEC_U64] = xor_u64},
    };
    if (op > OP_BIT_XOR)
        return NULL;
    return kind == VEC_ANY ? arith_any : table[op][kind];
}

/* ---------------------------------------------------------------------------------------- minus */

static void negate_f64(struct machine *m, const struct step *s)
{
    const double *a = m->regs[s->a].f;
    double *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = -a[i]; });
    machine_valid_both(m, s, &m->regs[s->a], NULL);
}

static void negate_i64(struct machine *m, const struct step *s)
{
    const int64_t *a = m->regs[s->a].i;
    int64_t *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = WRAP(0 - BITS(a[i])); });
    machine_valid_both(m, s, &m->regs[s->a], NULL);
}

static void negate_any(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    struct value *out = machine_out(m, s);
    uint64_t *valid = machine_valid(m, s);
    struct value zero = {.type = VALUE_INT64, .i64 = 0};
    EACH_ROW(m, i, {
        struct value a = vec_value(va, i);
        struct value v = {.type = VALUE_NULL};
        int err = value_arith(OP_SUB, &zero, &a, &v);
        if (!err && a.type == VALUE_DOUBLE)
            v.f64 = -a.f64; /* 0 - 0.0 would lose the sign */
        out[i] = v;
        if (err)
            arith_fail(m, s, i, &zero, &a, err);
        else if (v.type == VALUE_NULL)
            words_clear(valid, i);
    });
}

step_fn kernel_negate(enum vec_kind kind)
{
    static const step_fn table[VEC_KIND_COUNT] = {[VEC_F64] = negate_f64,
                                                  [VEC_I64] = negate_i64,
                                                  [VEC_U64] = negate_i64,
                                                  [VEC_ANY] = negate_any};
    return table[kind];
}

/* -------------------------------------------------------------------------------------- converting
 */

#define CONVERT(name, from, access, to, expression)                                                \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->a];                                                     \
        const from *a = va->access;                                                                \
        to *restrict out = machine_out(m, s);                                                      \
        EACH_ROW(m, i, { out[i] = expression; });                                                  \
        machine_valid_both(m, s, va, NULL);                                                        \
    }

CONVERT(i64_to_f64, int64_t, i, double, (double)a[i])
CONVERT(u64_to_f64, uint64_t, u, double, (double)a[i])
CONVERT(i64_to_u64, int64_t, i, uint64_t, (uint64_t)a[i])
CONVERT(u64_to_i64, uint64_t, u, int64_t, (int64_t)a[i])
CONVERT(bool_to_i64, uint8_t, b, int64_t, a[i])

static void to_any(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    struct value *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = vec_value(va, i); });
    machine_valid_both(m, s, va, NULL);
}

step_fn kernel_convert(enum vec_kind from, enum vec_kind to)
{
    if (to == VEC_ANY)
        return to_any;
    if (to == VEC_F64)
        return from == VEC_I64 ? i64_to_f64 : from == VEC_U64 ? u64_to_f64 : NULL;
    if (to == VEC_U64)
        return from == VEC_I64 ? i64_to_u64 : NULL;
    if (to == VEC_I64)
        return from == VEC_U64 ? u64_to_i64 : from == VEC_BOOL ? bool_to_i64 : NULL;
    return NULL;
}
