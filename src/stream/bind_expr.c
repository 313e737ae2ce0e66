/* Expressions: which types meet in an operator, and what they become.
 *
 * As in eKuiper there are no implicit casts but from integer to double. Where both types are
 * known, what cannot work is refused here, with its place; where one is only known per row, the
 * same rule is applied per row.
 */
#include "stream/bind_priv.h"
#include "stream/cast.h"
#include "stream/value_ops.h"

#include <string.h>

static bool is_integer(enum value_type t)
{
    return t == VALUE_INT64 || t == VALUE_UINT64;
}

static bool is_number(enum value_type t)
{
    return is_integer(t) || t == VALUE_DOUBLE || t == VALUE_FLOAT32;
}

static bool is_text(enum value_type t)
{
    return t == VALUE_STRING || t == VALUE_BYTES;
}

static bool is_open(enum value_type t)
{
    return t == VALUE_ANY || t == VALUE_NULL;
}

static bool is_natural_constant(const struct bound *x)
{
    return x->kind == BOUND_CONST && x->type == VALUE_INT64 && x->value.i64 >= 0;
}

int bind_convert(struct binder *b, struct bound *x, enum value_type type, struct bound **ret)
{
    *ret = x;
    if (vec_kind_of(x->type) == vec_kind_of(type))
        return OK;
    if (x->kind == BOUND_CONST && type != VALUE_ANY && x->type != VALUE_NULL) {
        /* Integers into other numbers: exact where is_natural_constant holds, rounded to double. */
        struct bound *c = arena_alloc(b->arena, sizeof *c);
        if (!c)
            return ERR_NOMEM;
        *c = *x;
        c->type = type;
        c->value.type = type;
        if (vec_kind_of(type) == VEC_F64)
            (void)value_to_double(&x->value, &c->value.f64);
        *ret = c;
        return OK;
    }
    struct expr at = {.line = x->line, .column = x->column};
    *ret = bound_with(b, BOUND_CONVERT, type, &at, &x, 1);
    return *ret ? OK : ERR_NOMEM;
}

/* The type in which values of all the arguments can be computed: one of them, double, or any. */
static enum value_type common_type(struct bound *const *args, uint32_t count, uint32_t step)
{
    enum value_type common = VALUE_NULL;
    bool natural = true; /* every int64 so far is a constant that is not negative */
    for (uint32_t i = 0; i < count; i += step) {
        enum value_type t = args[i]->type;
        bool constant = is_natural_constant(args[i]);
        if (t == VALUE_NULL)
            continue;
        if (common == VALUE_NULL || common == t)
            common = t;
        else if (is_integer(common) && is_integer(t))
            common = (t == VALUE_INT64 ? constant : natural) ? VALUE_UINT64 : VALUE_ANY;
        else if (is_number(common) && is_number(t))
            common = VALUE_DOUBLE;
        else if (is_text(common) && is_text(t))
            common = VALUE_STRING;
        else
            return VALUE_ANY;
        natural &= t != VALUE_INT64 || constant;
        if (common == VALUE_ANY)
            return VALUE_ANY;
    }
    return common == VALUE_NULL ? VALUE_ANY : common;
}

static int convert_all(struct binder *b, struct bound **args, uint32_t count, enum value_type type)
{
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = bind_convert(b, args[i], type, &args[i]);
    return err;
}

static int types_error(struct binder *b, const struct expr *e, const char *what,
                       const struct bound *x, const struct bound *y)
{
    return bind_error(b, ERR_TYPE, e, "%s and %s do not go together in %s: use cast()",
                      value_type_name(x->type), value_type_name(y->type), what);
}

/* ------------------------------------------------------------------------------------ arithmetic
 */

static int arith_types(struct binder *b, const struct expr *e, struct bound **args)
{
    bool bits = e->op == OP_BIT_AND || e->op == OP_BIT_OR || e->op == OP_BIT_XOR;
    for (int i = 0; i < 2; i++) {
        enum value_type t = args[i]->type;
        bool fits = bits ? is_integer(t) || t == VALUE_BOOL : is_number(t);
        if (is_open(t) || fits)
            continue;
        return bind_error(b, ERR_TYPE, e, "%s needs %s, the %s side is a %s: use cast()",
                          op_text(e->op), bits ? "integers" : "numbers", i ? "right" : "left",
                          value_type_name(t));
    }
    return OK;
}

static int bind_arith(struct binder *b, const struct expr *e, struct bound **args,
                      struct bound **ret)
{
    int err = arith_types(b, e, args);
    if (err)
        return err;
    enum value_type type = common_type(args, 2, 1);
    if (type == VALUE_FLOAT32)
        type = VALUE_DOUBLE;
    if (is_open(args[0]->type) || is_open(args[1]->type) || type == VALUE_BOOL)
        type = VALUE_ANY;
    err = convert_all(b, args, 2, type);
    struct bound *x = err ? NULL : bound_with(b, BOUND_ARITH, type, e, args, 2);
    if (!x)
        return err ? err : ERR_NOMEM;
    x->op = e->op;
    x->may_fail |= type == VALUE_ANY || e->op == OP_DIV || e->op == OP_MOD;
    if (type == VALUE_UINT64 && e->op == OP_SUB)
        x->type = VALUE_INT64; /* a difference may be negative */
    *ret = x;
    return OK;
}

/* ------------------------------------------------------------------------------------ comparison
 */

/* Whether values of two known types can be compared; a time also with numbers and texts. */
static bool comparable(enum value_type a, enum value_type b)
{
    if (is_open(a) || is_open(b) || a == b)
        return true;
    if (a == VALUE_TIMESTAMP || b == VALUE_TIMESTAMP) {
        enum value_type other = a == VALUE_TIMESTAMP ? b : a;
        return is_number(other) || is_text(other);
    }
    return (is_number(a) && is_number(b)) || (is_text(a) && is_text(b));
}

/* Compares args[0] with every other one: checks, and brings all to one kind. */
static int compare_types(struct binder *b, const struct expr *e, const char *what,
                         struct bound **args, uint32_t count, enum value_type *ret)
{
    enum value_type type = common_type(args, count, 1);
    for (uint32_t i = 1; i < count; i++) {
        if (!comparable(args[0]->type, args[i]->type))
            return types_error(b, e, what, args[0], args[i]);
        if (is_open(args[i]->type))
            type = VALUE_ANY;
    }
    if (is_open(args[0]->type))
        type = VALUE_ANY;
    *ret = type;
    return convert_all(b, args, count, type);
}

static int bind_compare(struct binder *b, const struct expr *e, enum op op, struct bound **args,
                        struct bound **ret)
{
    enum value_type type = VALUE_ANY;
    int err = compare_types(b, e, op_text(op), args, 2, &type);
    if (err)
        return err;
    if (type == VALUE_BOOL && op != OP_EQ && op != OP_NE)
        return bind_error(b, ERR_TYPE, e, "true and false have no order: use = or !=");
    struct bound *x = bound_with(b, BOUND_COMPARE, VALUE_BOOL, e, args, 2);
    if (!x)
        return ERR_NOMEM;
    x->op = op;
    x->may_fail |= type == VALUE_ANY;
    *ret = x;
    return OK;
}

/* ----------------------------------------------------------------------------------------- logic
 */

/* A condition: boolean, or checked per row to be one. */
static int bind_truth(struct binder *b, const struct expr *e, struct bound *x, struct bound **ret)
{
    *ret = x;
    if (x->type == VALUE_BOOL)
        return OK;
    if (!is_open(x->type))
        return bind_error(b, ERR_TYPE, e, "a condition is needed here, this is a %s",
                          value_type_name(x->type));
    *ret = bound_with(b, BOUND_CONVERT, VALUE_BOOL, e, &x, 1);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->may_fail = true;
    return OK;
}

static int bind_logic(struct binder *b, const struct expr *e, struct bound **args,
                      struct bound **ret)
{
    int err = bind_truth(b, e->args[0], args[0], &args[0]);
    if (!err)
        err = bind_truth(b, e->args[1], args[1], &args[1]);
    if (err)
        return err;
    *ret = bound_with(b, BOUND_AND, VALUE_BOOL, e, args, 2);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->op = e->op;
    return OK;
}

static int bind_not(struct binder *b, const struct expr *e, struct bound **args, struct bound **ret)
{
    int err = bind_truth(b, e->args[0], args[0], &args[0]);
    if (err)
        return err;
    *ret = bound_with(b, BOUND_NOT, VALUE_BOOL, e, args, 1);
    return *ret ? OK : ERR_NOMEM;
}

static int bind_negate(struct binder *b, const struct expr *e, struct bound **args,
                       struct bound **ret)
{
    enum value_type t = args[0]->type;
    if (!is_open(t) && !is_number(t))
        return bind_error(b, ERR_TYPE, e, "a minus needs a number, this is a %s",
                          value_type_name(t));
    enum value_type type = t == VALUE_FLOAT32  ? VALUE_DOUBLE
                           : t == VALUE_UINT64 ? VALUE_INT64
                           : is_open(t)        ? VALUE_ANY
                                               : t;
    *ret = bound_with(b, BOUND_NEGATE, type, e, args, 1);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->may_fail |= is_open(t);
    return OK;
}

/* IN and BETWEEN: args[0] against the others. */
static int bind_membership(struct binder *b, const struct expr *e, struct bound **args,
                           struct bound **ret)
{
    bool in = e->kind == EXPR_IN;
    enum value_type type = VALUE_ANY;
    if (in && e->slice)
        return bind_error(b, ERR_UNSUPPORTED, e, "IN needs its values in parentheses: IN (1, 2)");
    int err = compare_types(b, e, in ? "IN" : "BETWEEN", args, e->arg_count, &type);
    if (err)
        return err;
    if (vec_kind_of(type) == VEC_TEXT || type == VALUE_BOOL)
        err = convert_all(b, args, e->arg_count, VALUE_ANY);
    if (err)
        return err;
    *ret = bound_with(b, in ? BOUND_IN : BOUND_BETWEEN, VALUE_BOOL, e, args, e->arg_count);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->negated = e->negated;
    (*ret)->may_fail |= type == VALUE_ANY;
    return OK;
}

static int bind_like(struct binder *b, const struct expr *e, struct bound **args,
                     struct bound **ret)
{
    for (int i = 0; i < 2; i++)
        if (!is_open(args[i]->type) && args[i]->type != VALUE_STRING)
            return bind_error(b, ERR_TYPE, e, "LIKE needs strings, the %s side is a %s",
                              i ? "right" : "left", value_type_name(args[i]->type));
    bool open = is_open(args[0]->type) || is_open(args[1]->type);
    int err = convert_all(b, args, 2, open ? VALUE_ANY : VALUE_STRING);
    if (err)
        return err;
    *ret = bound_with(b, BOUND_LIKE, VALUE_BOOL, e, args, 2);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->negated = e->negated;
    (*ret)->may_fail |= open;
    return OK;
}

static int bind_is_null(struct binder *b, const struct expr *e, struct bound **args,
                        struct bound **ret)
{
    *ret = bound_with(b, BOUND_IS_NULL, VALUE_BOOL, e, args, 1);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->negated = e->negated;
    return OK;
}

/* ------------------------------------------------------------------------------------------ CASE
 */

/* The value form becomes the searched one: WHEN value = x. */
static int case_conditions(struct binder *b, const struct expr *e, struct bound **args,
                           uint32_t arms)
{
    struct bound *value = e->has_value ? args[0] : NULL;
    struct bound **at = args + e->has_value;
    int err = OK;
    for (uint32_t i = 0; i < arms && !err; i++) {
        struct bound *pair[2] = {value, at[2 * (size_t)i]};
        const struct expr *when = e->args[e->has_value + 2 * i];
        err = value ? bind_compare(b, when, OP_EQ, pair, &at[2 * (size_t)i])
                    : bind_truth(b, when, at[2 * (size_t)i], &at[2 * (size_t)i]);
    }
    return err;
}

static int bind_case(struct binder *b, const struct expr *e, struct bound **args,
                     struct bound **ret)
{
    uint32_t arms = (e->arg_count - e->has_value - e->has_else) / 2;
    struct bound **at = args + e->has_value;
    uint32_t count = e->arg_count - e->has_value;
    uint32_t result_count = 0;
    struct bound **results = arena_array(b->arena, arms + 1u, sizeof(struct bound *));
    int err = results ? case_conditions(b, e, args, arms) : ERR_NOMEM;
    if (err)
        return err;
    for (uint32_t i = 0; i < arms; i++)
        results[result_count++] = at[2 * (size_t)i + 1];
    if (e->has_else)
        results[result_count++] = at[count - 1];
    enum value_type type = common_type(results, result_count, 1);
    for (uint32_t i = 0; i < arms && !err; i++)
        err = bind_convert(b, at[2 * (size_t)i + 1], type, &at[2 * (size_t)i + 1]);
    if (!err && e->has_else)
        err = bind_convert(b, at[count - 1], type, &at[count - 1]);
    if (err)
        return err;
    *ret = bound_with(b, BOUND_CASE, type, e, at, count);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->has_else = e->has_else;
    return OK;
}

/* ----------------------------------------------------------------------------------------- trees
 */

static int bind_literal(struct binder *b, const struct expr *e, struct bound **ret)
{
    *ret = bound_new(b, BOUND_CONST, e->value.type, e);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->value = e->value;
    return OK;
}

static int bind_operator(struct binder *b, const struct expr *e, struct bound **args,
                         struct bound **ret)
{
    switch (e->kind) {
    case EXPR_NEGATE:
        return bind_negate(b, e, args, ret);
    case EXPR_NOT:
        return bind_not(b, e, args, ret);
    case EXPR_BETWEEN:
    case EXPR_IN:
        return bind_membership(b, e, args, ret);
    case EXPR_LIKE:
        return bind_like(b, e, args, ret);
    case EXPR_IS_NULL:
        return bind_is_null(b, e, args, ret);
    case EXPR_CASE:
        return bind_case(b, e, args, ret);
    case EXPR_BINARY:
        if (e->op == OP_AND || e->op == OP_OR)
            return bind_logic(b, e, args, ret);
        return e->op >= OP_EQ ? bind_compare(b, e, e->op, args, ret) : bind_arith(b, e, args, ret);
    case EXPR_LITERAL:
    case EXPR_COLUMN:
    case EXPR_STAR:
    case EXPR_CALL:
    case EXPR_INDEX:
    case EXPR_FIELD:
        break;
    }
    return ERR_INTERNAL;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
int bind_expr(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret)
{
    if (e->kind == EXPR_LITERAL)
        return bind_literal(b, e, ret);
    if (e->kind == EXPR_COLUMN)
        return bind_column(b, e, stage, ret);
    if (e->kind == EXPR_CALL)
        return bind_call(b, e, stage, ret);
    if (e->kind == EXPR_STAR)
        return bind_error(b, ERR_SYNTAX, e, "* stands alone in SELECT, or in count(*)");
    if (e->kind == EXPR_INDEX || e->kind == EXPR_FIELD)
        return bind_error(b, ERR_UNSUPPORTED, e,
                          "[] and -> into lists and objects are not there "
                          "yet: name the field as a column of the stream");
    struct bound **args = arena_array(b->arena, e->arg_count + 1u, sizeof(struct bound *));
    int err = args ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < e->arg_count && !err; i++)
        err = bind_expr(b, e->args[i], stage, &args[i]);
    return err ? err : bind_operator(b, e, args, ret);
}
