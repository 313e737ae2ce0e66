/* Comparison, AND, OR, NOT, IN, BETWEEN, LIKE, and the choosing of rows for CASE.
 *
 * A comparison with null is false, not unknown (eKuiper's rule), so their results have no nulls.
 */
#include "stream/kernels.h"

#include <string.h>

static void compare_fail(struct machine *m, const struct step *s, uint32_t i, const char *what,
                         const struct value *a, const struct value *b)
{
    char left[64];
    char right[64];
    value_show(a, left, sizeof left);
    value_show(b, right, sizeof right);
    step_fail(m, s, i, ERR_TYPE, "%s %s %s: these types do not compare", left, what, right);
}

/* ------------------------------------------------------------------------------------ comparison
 */

/* Makes the result false in every row where an operand is null. */
static void false_where_null(struct machine *m, const struct step *s, const struct vec *a,
                             const struct vec *b)
{
    uint8_t *out = m->storage[s->dst];
    if (!a->valid && !b->valid)
        return;
    EACH_ROW(m, i, {
        if ((a->valid && !words_get(a->valid, i)) || (b->valid && !words_get(b->valid, i)))
            out[i] = 0;
    });
}

#define COMPARE(name, type, access, operator_)                                                     \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->a];                                                     \
        const struct vec *vb = &m->regs[s->b];                                                     \
        const type *a = va->access;                                                                \
        const type *b = vb->access;                                                                \
        uint8_t *restrict out = machine_out(m, s);                                                 \
        EACH_ROW(m, i, { out[i] = a[i] operator_ b[i]; });                                         \
        false_where_null(m, s, va, vb);                                                            \
    }
#define COMPARE_ALL(suffix, type, access)                                                          \
    COMPARE(eq_##suffix, type, access, ==)                                                         \
    COMPARE(ne_##suffix, type, access, !=)                                                         \
    COMPARE(lt_##suffix, type, access, <)                                                          \
    COMPARE(le_##suffix, type, access, <=)                                                         \
    COMPARE(gt_##suffix, type, access, >)                                                          \
    COMPARE(ge_##suffix, type, access, >=)

COMPARE_ALL(f64, double, f)
COMPARE_ALL(i64, int64_t, i)
COMPARE_ALL(u64, uint64_t, u)
COMPARE(eq_bool, uint8_t, b, ==)
COMPARE(ne_bool, uint8_t, b, !=)

static void compare_text(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    const struct vec *vb = &m->regs[s->b];
    uint8_t *out = machine_out(m, s);
    enum op op = (enum op)s->op;
    EACH_ROW(m, i, {
        out[i] = 0;
        if (!vec_is_null(va, i) && !vec_is_null(vb, i)) {
            int order = bytes_compare(va->t[i], vb->t[i]);
            out[i] = order_satisfies(op, (order > 0) - (order < 0));
        }
    });
}

static void compare_any(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    const struct vec *vb = &m->regs[s->b];
    uint8_t *out = machine_out(m, s);
    enum op op = (enum op)s->op;
    EACH_ROW(m, i, {
        struct value a = vec_value(va, i);
        struct value b = vec_value(vb, i);
        bool r = false;
        if (value_compare(op, &a, &b, &r) != OK)
            compare_fail(m, s, i, op_text(op), &a, &b);
        out[i] = r;
    });
}

step_fn kernel_compare(enum op op, enum vec_kind kind)
{
    static const step_fn table[6][VEC_KIND_COUNT] = {
        {[VEC_F64] = eq_f64, [VEC_I64] = eq_i64, [VEC_U64] = eq_u64, [VEC_BOOL] = eq_bool},
        {[VEC_F64] = ne_f64, [VEC_I64] = ne_i64, [VEC_U64] = ne_u64, [VEC_BOOL] = ne_bool},
        {[VEC_F64] = lt_f64, [VEC_I64] = lt_i64, [VEC_U64] = lt_u64},
        {[VEC_F64] = le_f64, [VEC_I64] = le_i64, [VEC_U64] = le_u64},
        {[VEC_F64] = gt_f64, [VEC_I64] = gt_i64, [VEC_U64] = gt_u64},
        {[VEC_F64] = ge_f64, [VEC_I64] = ge_i64, [VEC_U64] = ge_u64},
    };
    if (op < OP_EQ || op > OP_GE)
        return NULL;
    if (kind == VEC_TEXT)
        return compare_text;
    return kind == VEC_ANY ? compare_any : table[op - OP_EQ][kind];
}

/* ----------------------------------------------------------------------------------------- logic
 */

static bool is_true(const struct vec *v, uint32_t i)
{
    return v->b[i] && (!v->valid || words_get(v->valid, i));
}

void kernel_and(struct machine *m, const struct step *s)
{
    const struct vec *a = &m->regs[s->a];
    const struct vec *b = &m->regs[s->b];
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = is_true(a, i) && is_true(b, i); });
}

/* true OR anything is true; null OR true is false, because the left side alone decides. */
void kernel_or(struct machine *m, const struct step *s)
{
    const struct vec *a = &m->regs[s->a];
    const struct vec *b = &m->regs[s->b];
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = !vec_is_null(a, i) && (a->b[i] || is_true(b, i)); });
}

void kernel_not(struct machine *m, const struct step *s)
{
    const struct vec *a = &m->regs[s->a];
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = !a->b[i]; });
    machine_valid_both(m, s, a, NULL);
}

void kernel_truth(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    uint8_t *out = machine_out(m, s);
    uint64_t *valid = machine_valid(m, s);
    EACH_ROW(m, i, {
        struct value a = vec_value(va, i);
        out[i] = a.type == VALUE_BOOL && a.boolean;
        if (a.type == VALUE_NULL)
            words_clear(valid, i);
        else if (a.type != VALUE_BOOL) {
            char text[64];
            value_show(&a, text, sizeof text);
            step_fail(m, s, i, ERR_TYPE, "%s is neither true nor false", text);
        }
    });
}

void kernel_is_null(struct machine *m, const struct step *s)
{
    const struct vec *a = &m->regs[s->a];
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, { out[i] = vec_is_null(a, i) != (s->op != 0); });
}

/* ------------------------------------------------------------------------------- BETWEEN and IN */

#define BETWEEN(name, type, access)                                                                \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->args[0]];                                               \
        const struct vec *vb = &m->regs[s->args[1]];                                               \
        const struct vec *vc = &m->regs[s->args[2]];                                               \
        const type *a = va->access;                                                                \
        const type *b = vb->access;                                                                \
        const type *c = vc->access;                                                                \
        uint8_t *restrict out = machine_out(m, s);                                                 \
        uint8_t negated = s->op != 0;                                                              \
        EACH_ROW(m, i, { out[i] = (uint8_t)((a[i] >= b[i] && a[i] <= c[i]) ^ negated); });         \
        false_where_null(m, s, va, vb);                                                            \
        false_where_null(m, s, va, vc);                                                            \
    }

BETWEEN(between_f64, double, f)
BETWEEN(between_i64, int64_t, i)
BETWEEN(between_u64, uint64_t, u)

static void between_any(struct machine *m, const struct step *s)
{
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, {
        struct value a = vec_value(&m->regs[s->args[0]], i);
        struct value b = vec_value(&m->regs[s->args[1]], i);
        struct value c = vec_value(&m->regs[s->args[2]], i);
        bool ge = false;
        bool le = false;
        bool null = a.type == VALUE_NULL || b.type == VALUE_NULL || c.type == VALUE_NULL;
        if (value_compare(OP_GE, &a, &b, &ge) != OK)
            compare_fail(m, s, i, "BETWEEN", &a, &b);
        else if (value_compare(OP_LE, &a, &c, &le) != OK)
            compare_fail(m, s, i, "BETWEEN", &a, &c);
        out[i] = !null && (ge && le) != (s->op != 0);
    });
}

step_fn kernel_between(enum vec_kind kind)
{
    static const step_fn table[VEC_KIND_COUNT] = {[VEC_F64] = between_f64,
                                                  [VEC_I64] = between_i64,
                                                  [VEC_U64] = between_u64,
                                                  [VEC_ANY] = between_any};
    return table[kind];
}

/* A null in the list equals nothing; a null on the left is in no list, and not outside it either.
 */
#define IN(name, type, access)                                                                     \
    static void name(struct machine *m, const struct step *s)                                      \
    {                                                                                              \
        const struct vec *va = &m->regs[s->args[0]];                                               \
        const type *a = va->access;                                                                \
        uint8_t *restrict out = machine_out(m, s);                                                 \
        EACH_ROW(m, i, { out[i] = 0; });                                                           \
        for (uint16_t k = 1; k < s->arg_count; k++) {                                              \
            const struct vec *vb = &m->regs[s->args[k]];                                           \
            const type *b = vb->access;                                                            \
            EACH_ROW(m, i, { out[i] |= a[i] == b[i] && !vec_is_null(vb, i); });                    \
        }                                                                                          \
        EACH_ROW(m, i, { out[i] = !vec_is_null(va, i) && (out[i] != 0) != (s->op != 0); });        \
    }

IN(in_f64, double, f)
IN(in_i64, int64_t, i)
IN(in_u64, uint64_t, u)

static bool in_any_row(struct machine *m, const struct step *s, uint32_t i, const struct value *a)
{
    for (uint16_t k = 1; k < s->arg_count; k++) {
        struct value b = vec_value(&m->regs[s->args[k]], i);
        bool equal = false;
        if (value_compare(OP_EQ, a, &b, &equal) != OK)
            compare_fail(m, s, i, "IN", a, &b);
        if (equal)
            return true;
    }
    return false;
}

static void in_any(struct machine *m, const struct step *s)
{
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, {
        struct value a = vec_value(&m->regs[s->args[0]], i);
        out[i] = a.type != VALUE_NULL && in_any_row(m, s, i, &a) != (s->op != 0);
    });
}

step_fn kernel_in(enum vec_kind kind)
{
    static const step_fn table[VEC_KIND_COUNT] = {
        [VEC_F64] = in_f64, [VEC_I64] = in_i64, [VEC_U64] = in_u64, [VEC_ANY] = in_any};
    return table[kind];
}

/* ------------------------------------------------------------------------------------------ LIKE
 */

void kernel_like_text(struct machine *m, const struct step *s)
{
    const struct vec *va = &m->regs[s->a];
    const struct vec *vb = &m->regs[s->b];
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, {
        bool null = vec_is_null(va, i) || vec_is_null(vb, i);
        out[i] = !null && text_like(va->t[i], vb->t[i]) != (s->op != 0);
    });
}

void kernel_like_any(struct machine *m, const struct step *s)
{
    uint8_t *out = machine_out(m, s);
    EACH_ROW(m, i, {
        struct value a = vec_value(&m->regs[s->a], i);
        struct value b = vec_value(&m->regs[s->b], i);
        out[i] = 0;
        if (a.type == VALUE_NULL || b.type == VALUE_NULL)
            continue;
        if (a.type != VALUE_STRING || b.type != VALUE_STRING)
            compare_fail(m, s, i, "LIKE", &a, &b);
        else
            out[i] = text_like(a.bytes, b.bytes) != (s->op != 0);
    });
}

/* ----------------------------------------------------------------------------------- chosen rows
 */

void kernel_narrow(struct machine *m, const struct step *s)
{
    const struct vec *v = &m->regs[s->a];
    struct machine_narrow *n = &m->stack[m->stack_used++];
    uint32_t kept = 0;
    EACH_ROW(m, i, {
        if (is_true(v, i) == (s->op != 0))
            n->rows[kept++] = (uint16_t)i;
    });
    n->selected = m->selected;
    n->count = m->count;
    m->selected = n->rows;
    m->count = kept;
}

void kernel_widen(struct machine *m, const struct step *s)
{
    (void)s;
    struct machine_narrow *n = &m->stack[--m->stack_used];
    m->selected = n->selected;
    m->count = n->count;
}

void kernel_blend(struct machine *m, const struct step *s)
{
    const struct vec *a = &m->regs[s->a];
    struct vec *out = &m->regs[s->dst];
    size_t width = vec_width(out->kind);
    uint8_t *to = m->storage[s->dst];
    const uint8_t *from = a->data;
    EACH_ROW(m, i, {
        memcpy(to + i * width, from + i * width, width);
        if (vec_is_null(a, i))
            words_clear(m->words[s->dst], i);
        else
            words_set(m->words[s->dst], i);
    });
}

void kernel_null(struct machine *m, const struct step *s)
{
    memset(machine_out(m, s), 0, VEC_ROWS * vec_width(m->regs[s->dst].kind));
    memset(m->words[s->dst], 0, sizeof m->words[s->dst]);
    m->regs[s->dst].valid = m->words[s->dst];
}
