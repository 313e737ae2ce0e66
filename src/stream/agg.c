/* Aggregates, one cell a group. Nulls are passed over, except by what looks at the first or last
 * row. Sums and means of integers are integers (eKuiper's rule). */
#include "stream/pipeline_priv.h"
#include "stream/value_ops.h"

#include <stdlib.h>
#include <string.h>

static int cell_keep(struct agg_cell *c, const struct value *v)
{
    bool text = v->type == VALUE_STRING || v->type == VALUE_BYTES;
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
    default:
        return OK;
    }
}

/* Sums, minima and maxima of doubles and int64, which is what rules mostly ask for. */
#define TYPED(name, access, member, type_)                                                         \
    static bool name(struct agg_cell *cells, const uint32_t *slots, enum agg_kind kind,            \
                     const struct vec *v, struct machine *m)                                       \
    {                                                                                              \
        uint32_t k = 0;                                                                            \
        if (kind != AGG_SUM && kind != AGG_AVG && kind != AGG_MIN && kind != AGG_MAX)              \
            return false;                                                                          \
        EACH_ROW(m, i, {                                                                           \
            struct agg_cell *c = &cells[slots[k++]];                                               \
            if (vec_is_null(v, i))                                                                 \
                continue;                                                                          \
            if (c->count++ == 0)                                                                   \
                c->v = (struct value){.type = (type_), .member = v->access[i]};                    \
            else if (kind == AGG_MIN)                                                              \
                c->v.member = v->access[i] < c->v.member ? v->access[i] : c->v.member;             \
            else if (kind == AGG_MAX)                                                              \
                c->v.member = v->access[i] > c->v.member ? v->access[i] : c->v.member;             \
            else                                                                                   \
                c->v.member += v->access[i];                                                       \
        });                                                                                        \
        return true;                                                                               \
    }

TYPED(update_f64, f, f64, VALUE_DOUBLE)
/* As unsigned for sums, which wrap; minima and maxima need the sign. */
TYPED(update_u64, u, u64, VALUE_UINT64)

static bool update_i64(struct agg_cell *cells, const uint32_t *slots, enum agg_kind kind,
                       const struct vec *v, struct machine *m)
{
    uint32_t k = 0;
    if (kind != AGG_SUM && kind != AGG_AVG && kind != AGG_MIN && kind != AGG_MAX)
        return false;
    EACH_ROW(m, i, {
        struct agg_cell *c = &cells[slots[k++]];
        if (vec_is_null(v, i))
            continue;
        if (c->count++ == 0)
            c->v = (struct value){.type = v->type, .i64 = v->i[i]};
        else if (kind == AGG_MIN)
            c->v.i64 = v->i[i] < c->v.i64 ? v->i[i] : c->v.i64;
        else if (kind == AGG_MAX)
            c->v.i64 = v->i[i] > c->v.i64 ? v->i[i] : c->v.i64;
        else
            c->v.u64 += v->u[i];
    });
    return true;
}

void agg_update_vec(struct agg_cell *cells, const uint32_t *slots, const struct aggregate *a,
                    const struct vec *v, struct machine *m)
{
    bool done = false;
    uint32_t k = 0;
    if (a->kind != AGG_COUNT_ROWS && v->kind == VEC_F64)
        done = update_f64(cells, slots, a->kind, v, m);
    else if (a->kind != AGG_COUNT_ROWS && v->kind == VEC_I64)
        done = update_i64(cells, slots, a->kind, v, m);
    else if (a->kind != AGG_COUNT_ROWS && v->kind == VEC_U64)
        done = update_u64(cells, slots, a->kind, v, m);
    if (done)
        return;
    EACH_ROW(m, i, {
        struct value value = {.type = VALUE_NULL};
        if (a->kind != AGG_COUNT_ROWS)
            value = vec_value(v, i);
        struct agg_cell *cell = &cells[slots[k++]];
        int err = agg_update(cell, a, &value);
        if (err) {
            cell->bad = true;
            char text[64];
            value_show(&value, text, sizeof text);
            machine_fail(m, i, err, "%s does not go together with the values before it", text);
        }
    });
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
