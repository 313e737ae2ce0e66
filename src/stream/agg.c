/* Aggregates, one cell a group. Nulls are passed over, except by what looks at the first or last
 * row. Sums and means of integers are integers (eKuiper's rule). */
#include "stream/pipeline_priv.h"
#include "stream/value_ops.h"

#include <stdlib.h>
#include <string.h>

static int cell_keep(struct agg_cell *c, const struct value *v)
{
    bool text = !c->borrows && (v->type == VALUE_STRING || v->type == VALUE_BYTES);
    if (text && v->bytes.len > c->text_cap) {
        uint8_t *more = realloc(c->text, v->bytes.len);
        if (!more)
            return ERR_NOMEM;
        c->text = more;
        c->text_cap = v->bytes.len;
    }
    c->v = *v;
    if (!text)
        return OK;
    if (v->bytes.len)
        memcpy(c->text, v->bytes.ptr, v->bytes.len);
    c->v.bytes.ptr = c->text ? c->text : (const uint8_t *)"";
    return OK;
}

static int cell_sum(struct agg_cell *c, const struct value *v)
{
    struct value zero = {.type = VALUE_INT64};
    struct value sum;
    /* Adding to zero refuses what is not a number, the first time too. */
    int err = value_arith(OP_ADD, c->count ? &c->v : &zero, v, &sum);
    if (err)
        return err;
    c->v = c->count ? sum : *v;
    c->count++;
    return OK;
}

static int cell_extreme(struct agg_cell *c, enum op op, const struct value *v)
{
    bool better = true;
    int err = c->count ? value_compare(op, v, &c->v, &better) : OK;
    if (err)
        return err;
    c->count++;
    return better ? cell_keep(c, v) : OK;
}

/* What counts rows whether they are null or not. */
static int update_row(struct agg_cell *c, enum agg_kind kind, const struct value *v)
{
    bool first = !c->seen;
    c->seen = true;
    if (kind == AGG_COUNT_ROWS)
        c->count++;
    if (kind == AGG_LAST || (kind == AGG_FIRST_ROW && first))
        return cell_keep(c, v);
    return OK;
}

int agg_update(struct agg_cell *c, const struct aggregate *a, const struct value *v)
{
    if (a->kind == AGG_COUNT_ROWS || a->kind == AGG_LAST || a->kind == AGG_FIRST_ROW)
        return update_row(c, a->kind, v);
    if (v->type == VALUE_NULL)
        return OK;
    switch (a->kind) {
    case AGG_COUNT:
        c->count++;
        return OK;
    case AGG_SUM:
    case AGG_AVG:
        return cell_sum(c, v);
    case AGG_MIN:
        return cell_extreme(c, OP_LT, v);
    case AGG_MAX:
        return cell_extreme(c, OP_GT, v);
    case AGG_FIRST:
        return c->count++ ? OK : cell_keep(c, v);
    case AGG_LAST_PRESENT:
        c->count++;
        return cell_keep(c, v);
    case AGG_COUNT_ROWS:
    case AGG_LAST:
    case AGG_FIRST_ROW:
    case AGG_COVERED:
    case AGG_TIMEABOVE:
    case AGG_SERIES:
    default:
        return OK;
    }
}

/* Sums, minima and maxima of doubles and integers, which is what rules mostly ask for. One value a
 * call of an inline function, so that the loops stay plain. */
#define TYPED(name, type_, access, member, add)                                                    \
    static inline void name##_one(struct agg_cell *c, enum agg_kind kind, enum value_type t,       \
                                  type_ x)                                                         \
    {                                                                                              \
        type_ old = c->v.member;                                                                   \
        if (c->count++ == 0)                                                                       \
            c->v = (struct value){.type = t, .member = x};                                         \
        else if (kind == AGG_MIN)                                                                  \
            c->v.member = x < old ? x : old;                                                       \
        else if (kind == AGG_MAX)                                                                  \
            c->v.member = x > old ? x : old;                                                       \
        else                                                                                       \
            c->v.member = add;                                                                     \
    }                                                                                              \
    static void name(struct agg_cell *cells, const uint32_t *slots, enum agg_kind kind,            \
                     const struct vec *v, struct machine *m)                                       \
    {                                                                                              \
        enum value_type t = v->type == VALUE_FLOAT32 ? VALUE_DOUBLE : v->type;                     \
        uint32_t k = 0;                                                                            \
        EACH_ROW(m, i, {                                                                           \
            struct agg_cell *c = &cells[slots[k++]];                                               \
            if (!vec_is_null(v, i))                                                                \
                name##_one(c, kind, t, v->access[i]);                                              \
        });                                                                                        \
    }

TYPED(update_f64, double, f, f64, old + x)
TYPED(update_u64, uint64_t, u, u64, old + x)
/* Sums wrap, which in C only unsigned ones may. */
TYPED(update_i64, int64_t, i, i64, (int64_t)((uint64_t)old + (uint64_t)x))

static bool update_typed(struct agg_cell *cells, const uint32_t *slots, enum agg_kind kind,
                         const struct vec *v, struct machine *m)
{
    if (kind != AGG_SUM && kind != AGG_AVG && kind != AGG_MIN && kind != AGG_MAX)
        return false;
    if (v->kind == VEC_F64)
        update_f64(cells, slots, kind, v, m);
    else if (v->kind == VEC_I64)
        update_i64(cells, slots, kind, v, m);
    else if (v->kind == VEC_U64)
        update_u64(cells, slots, kind, v, m);
    else
        return false;
    return true;
}

static void update_one(struct machine *m, uint32_t row, struct agg_cell *c,
                       const struct aggregate *a, struct value v)
{
    char text[64];
    int err = agg_update(c, a, &v);
    if (!err)
        return;
    c->bad = true;
    value_show(&v, text, sizeof text);
    machine_fail(m, row, err, "%s does not go together with the values before it", text);
}

void agg_update_vec(struct agg_cell *cells, const uint32_t *slots, const struct aggregate *a,
                    const struct vec *v, struct machine *m)
{
    struct value none = {.type = VALUE_NULL};
    bool rows = a->kind == AGG_COUNT_ROWS;
    uint32_t k = 0;
    if (!rows && update_typed(cells, slots, a->kind, v, m))
        return;
    EACH_ROW(m, i, { update_one(m, i, &cells[slots[k++]], a, rows ? none : vec_value(v, i)); });
}

struct value agg_result(const struct agg_cell *c, const struct aggregate *a)
{
    struct value out = {.type = VALUE_NULL};
    if (a->kind == AGG_COUNT || a->kind == AGG_COUNT_ROWS)
        return (struct value){.type = VALUE_INT64, .i64 = (int64_t)c->count};
    if (c->count == 0 && !c->seen)
        return out;
    if (a->kind != AGG_AVG)
        return c->v;
    struct value n = {.type = VALUE_INT64, .i64 = (int64_t)c->count};
    if (value_arith(OP_DIV, &c->v, &n, &out) != OK)
        out.type = VALUE_NULL;
    return out;
}

void agg_reset(struct agg_cell *c)
{
    c->count = 0;
    c->seen = false;
    c->bad = false;
    c->v = (struct value){.type = VALUE_NULL};
}

void agg_fini(struct agg_cell *c)
{
    free(c->text);
    *c = (struct agg_cell){0};
}
