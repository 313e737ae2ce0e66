/* Small questions about the tree. See ast.h. */
#include "stream/ast.h"

#include "base/str.h"

const char *op_text(enum op op)
{
    static const char *const texts[OP_COUNT] = {
        [OP_ADD] = "+", [OP_SUB] = "-",     [OP_MUL] = "*",    [OP_DIV] = "/",
        [OP_MOD] = "%", [OP_BIT_AND] = "&", [OP_BIT_OR] = "|", [OP_BIT_XOR] = "^",
        [OP_EQ] = "=",  [OP_NE] = "!=",     [OP_LT] = "<",     [OP_LE] = "<=",
        [OP_GT] = ">",  [OP_GE] = ">=",     [OP_AND] = "AND",  [OP_OR] = "OR",
    };
    return texts[op];
}

static bool name_equal(const struct expr *a, const struct expr *b)
{
    if (a->kind != EXPR_CALL)
        return bytes_equal(a->name, b->name) && bytes_equal(a->qualifier, b->qualifier);
    return a->name.len == b->name.len && a->qualifier.len == b->qualifier.len &&
           bytes_equal(a->name, b->name);
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
bool expr_equal(const struct expr *a, const struct expr *b)
{
    if (!a || !b)
        return a == b;
    if (a->kind != b->kind || a->op != b->op || a->negated != b->negated ||
        a->arg_count != b->arg_count || a->has_value != b->has_value ||
        a->has_else != b->has_else || a->slice != b->slice || !name_equal(a, b))
        return false;
    if (a->kind == EXPR_LITERAL && !value_identical(&a->value, &b->value))
        return false;
    for (uint32_t i = 0; i < a->arg_count; i++)
        if (!expr_equal(a->args[i], b->args[i]))
            return false;
    return a->kind != EXPR_STAR;
}
