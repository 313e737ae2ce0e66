/* Operators on single values whose types are only known per row, with eKuiper's rules: no implicit
 * casts, an error instead; integers stay integers; comparison with null is false.
 *
 * They are what kernels for `any` vectors call row by row, what constants are folded with, and the
 * reference that the typed kernels are tested against.
 */
#ifndef LOTLINE_STREAM_VALUE_OPS_H
#define LOTLINE_STREAM_VALUE_OPS_H

#include "base/err.h"
#include "model/value.h"
#include "stream/ast.h"

/* a op b for the eight arithmetic operators; null if either is. ERR_TYPE, ERR_RANGE (divided by
 * zero) with *ret untouched. */
int value_arith(enum op op, const struct value *a, const struct value *b, struct value *ret);

/* -1, 0, 1, or 2 for unordered (NaN). ERR_TYPE when the two cannot be compared. Neither is null. */
int value_order(const struct value *a, const struct value *b, int *ret_order);

/* a op b for the six comparisons; false if either is null. ERR_TYPE. */
int value_compare(enum op op, const struct value *a, const struct value *b, bool *ret);

/* True for an order (-1, 0, 1, 2) that satisfies the comparison. */
bool order_satisfies(enum op op, int order);

/* `%` any bytes, `_` one character, `\` escapes. */
bool text_like(struct bytes text, struct bytes pattern);

/* "int64(5)", "string(x)", "null": as an error shows a value. Cut to size. */
void value_show(const struct value *v, char *out, size_t size);

/* Integer division and remainder as eKuiper's: truncating, wrapping, b not 0. */
static inline int64_t i64_div(int64_t a, int64_t b)
{
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static inline int64_t i64_mod(int64_t a, int64_t b)
{
    return b == -1 ? 0 : a % b;
}

#endif
