/* Expressions, by recursive descent with one function a level of precedence:
 *
 *   OR < AND < NOT < comparison, IN, BETWEEN, LIKE, IS < + - | ^ < * / % & < unary - < [] -> .
 *
 * which is eKuiper's table with NOT and IS NULL added. Chains of one level are loops, so the stack
 * grows only with parentheses, calls and CASEs, and those are counted (SQL_NESTING_MAX).
 */
#include "base/str.h"
#include "stream/parse_priv.h"

#include <string.h>

static int parse_or(struct parser *p, struct expr **ret);

/* ----------------------------------------------------------------------------------------- nodes
 */

static int node_new(struct parser *p, enum expr_kind kind, const struct token *at,
                    struct expr **ret)
{
    struct expr *e = arena_alloc(p->arena, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->kind = kind;
    e->line = at->line;
    e->column = at->column;
    e->depth = 1;
    *ret = e;
    return OK;
}

/* Gives e its arguments and finds its depth. */
static int node_args(struct parser *p, struct expr *e, struct expr *const *args, uint32_t count)
{
    e->args = arena_array(p->arena, count, sizeof(struct expr *));
    if (!e->args)
        return ERR_NOMEM;
    e->arg_count = count;
    for (uint32_t i = 0; i < count; i++) {
        e->args[i] = args[i];
        if (args[i] && args[i]->depth >= e->depth)
            e->depth = (uint16_t)(args[i]->depth + 1);
    }
    if (e->depth > SQL_DEPTH_MAX) {
        return diag_set(p->diag, ERR_LIMIT, e->line, e->column,
                        "this expression is a chain of more than %d operators: use parentheses or "
                        "IN",
                        SQL_DEPTH_MAX);
    }
    return OK;
}

static int node_with(struct parser *p, enum expr_kind kind, const struct token *at,
                     struct expr *const *args, uint32_t count, struct expr **ret)
{
    struct expr *e;
    int err = node_new(p, kind, at, &e);
    if (!err)
        err = node_args(p, e, args, count);
    if (!err)
        *ret = e;
    return err;
}

/* -------------------------------------------------------------------------------------- literals
 */

static int literal_new(struct parser *p, struct value v, struct expr **ret)
{
    struct token at = p->token;
    int err = parse_advance(p);
    if (!err)
        err = node_new(p, EXPR_LITERAL, &at, ret);
    if (!err)
        (*ret)->value = v;
    return err;
}

static int parse_integer(struct parser *p, struct expr **ret)
{
    struct value v = {.type = VALUE_INT64};
    int err = str_to_i64(p->token.text, &v.i64);
    if (err == ERR_RANGE) {
        v.type = VALUE_UINT64;
        err = str_to_u64(p->token.text, &v.u64);
    }
    if (err)
        return diag_set(p->diag, ERR_RANGE, p->token.line, p->token.column,
                        "this integer needs more than 64 bits: write it with a point (1e20)");
    return literal_new(p, v, ret);
}

static int parse_number(struct parser *p, struct expr **ret)
{
    struct value v = {.type = VALUE_DOUBLE};
    int err = str_to_double(p->token.text, &v.f64);
    if (err)
        return diag_set(p->diag, err, p->token.line, p->token.column, "this is not a number");
    return literal_new(p, v, ret);
}

/* ----------------------------------------------------------------------------------------- calls
 */

int parse_args(struct parser *p, struct expr ***ret_args, uint32_t *ret_count)
{
    struct parse_list list = {0};
    int err = OK;
    if (parse_accept(p, TOKEN_RPAREN, &err) || err) {
        *ret_args = NULL;
        *ret_count = 0;
        return err;
    }
    for (;;) {
        struct expr *arg = NULL;
        err = parse_expr(p, &arg);
        if (!err)
            err = parse_list_add(p, &list, &arg, sizeof(struct expr *), SQL_ARGS_MAX);
        if (err)
            return err;
        if (!parse_accept(p, TOKEN_COMMA, &err))
            break;
        if (err)
            return err;
    }
    if (!err)
        err = parse_expect(p, TOKEN_RPAREN, "',' or ')'");
    *ret_args = list.items;
    *ret_count = list.count;
    return err;
}

/* OVER (…) belongs to functions that look at other rows, which binding refuses by name; here it is
 * only read over. */
int parse_over(struct parser *p, struct expr *call)
{
    int err = OK;
    if (!parse_accept(p, TOKEN_OVER, &err) || err)
        return err;
    call->over = true;
    err = parse_expect(p, TOKEN_LPAREN, "'('");
    if (!err && p->token.kind == TOKEN_NAME && str_equal_nocase(p->token.text, "PARTITION")) {
        err = parse_advance(p);
        if (!err)
            err = parse_expect(p, TOKEN_BY, "BY");
        bool more = !err;
        while (more && !err) {
            struct expr *key;
            err = parse_expr(p, &key);
            more = !err && parse_accept(p, TOKEN_COMMA, &err);
        }
    }
    if (!err && parse_accept(p, TOKEN_WHEN, &err) && !err) {
        struct expr *when;
        err = parse_expr(p, &when);
    }
    return err ? err : parse_expect(p, TOKEN_RPAREN, "')'");
}

static int parse_call(struct parser *p, const struct token *name, struct expr **ret)
{
    struct expr **args = NULL;
    uint32_t count = 0;
    int err = parse_advance(p);
    if (!err)
        err = parse_args(p, &args, &count);
    if (!err)
        err = node_with(p, EXPR_CALL, name, args, count, ret);
    if (err)
        return err;
    (*ret)->name = name->text;
    return parse_over(p, *ret);
}

/* name, name.name, name.*, name(…). */
static int parse_name_expr(struct parser *p, struct expr **ret)
{
    struct token name = p->token;
    int err = parse_advance(p);
    if (err)
        return err;
    if (p->token.kind == TOKEN_LPAREN)
        return parse_call(p, &name, ret);
    err = node_new(p, EXPR_COLUMN, &name, ret);
    if (err)
        return err;
    (*ret)->name = name.text;
    if (!parse_accept(p, TOKEN_DOT, &err) || err)
        return err;
    (*ret)->qualifier = name.text;
    if (p->token.kind == TOKEN_STAR) {
        (*ret)->kind = EXPR_STAR;
        (*ret)->name = (struct bytes){NULL, 0};
        err = parse_advance(p);
        return err ? err : parse_star_tail(p, *ret);
    }
    return parse_name(p, "a column name after '.'", &(*ret)->name);
}

/* ------------------------------------------------------------------------------------------ CASE
 */

static int parse_case_arms(struct parser *p, struct parse_list *list)
{
    int err = OK;
    if (p->token.kind != TOKEN_WHEN)
        return parse_unexpected(p, "WHEN");
    while (parse_accept(p, TOKEN_WHEN, &err) && !err) {
        struct expr *when = NULL;
        struct expr *then = NULL;
        err = parse_expr(p, &when);
        if (!err)
            err = parse_expect(p, TOKEN_THEN, "THEN");
        if (!err)
            err = parse_expr(p, &then);
        if (!err)
            err = parse_list_add(p, list, &when, sizeof(struct expr *), SQL_ARGS_MAX);
        if (!err)
            err = parse_list_add(p, list, &then, sizeof(struct expr *), SQL_ARGS_MAX);
        if (err)
            return err;
    }
    return err;
}

static int parse_case(struct parser *p, struct expr **ret)
{
    struct token at = p->token;
    struct parse_list list = {0};
    bool has_value = false;
    bool has_else = false;
    int err = parse_advance(p);
    if (!err && p->token.kind != TOKEN_WHEN) {
        struct expr *value = NULL;
        has_value = true;
        err = parse_expr(p, &value);
        if (!err)
            err = parse_list_add(p, &list, &value, sizeof(struct expr *), SQL_ARGS_MAX);
    }
    if (!err)
        err = parse_case_arms(p, &list);
    if (!err && parse_accept(p, TOKEN_ELSE, &err) && !err) {
        struct expr *other = NULL;
        has_else = true;
        err = parse_expr(p, &other);
        if (!err)
            err = parse_list_add(p, &list, &other, sizeof(struct expr *), SQL_ARGS_MAX);
    }
    if (!err)
        err = parse_expect(p, TOKEN_END, "WHEN, ELSE or END");
    if (!err)
        err = node_with(p, EXPR_CASE, &at, list.items, list.count, ret);
    if (err)
        return err;
    (*ret)->has_value = has_value;
    (*ret)->has_else = has_else;
    return OK;
}

/* --------------------------------------------------------------------------------------- primary
 */

static int parse_star(struct parser *p, struct expr **ret)
{
    int err = node_new(p, EXPR_STAR, &p->token, ret);
    if (!err)
        err = parse_advance(p);
    return err ? err : parse_star_tail(p, *ret);
}

static int parse_parens(struct parser *p, struct expr **ret)
{
    int err = parse_advance(p);
    if (!err)
        err = parse_expr(p, ret);
    return err ? err : parse_expect(p, TOKEN_RPAREN, "')'");
}

static int parse_primary(struct parser *p, struct expr **ret)
{
    switch ((int)p->token.kind) {
    case TOKEN_INTEGER:
        return parse_integer(p, ret);
    case TOKEN_NUMBER:
        return parse_number(p, ret);
    case TOKEN_STRING:
        return literal_new(p, (struct value){.type = VALUE_STRING, .bytes = p->token.text}, ret);
    case TOKEN_TRUE:
        return literal_new(p, (struct value){.type = VALUE_BOOL, .boolean = true}, ret);
    case TOKEN_FALSE:
        return literal_new(p, (struct value){.type = VALUE_BOOL, .boolean = false}, ret);
    case TOKEN_NULL:
        return literal_new(p, (struct value){.type = VALUE_NULL}, ret);
    case TOKEN_NAME:
        return parse_name_expr(p, ret);
    case TOKEN_STAR:
        return parse_star(p, ret);
    case TOKEN_CASE:
        return parse_case(p, ret);
    case TOKEN_LPAREN:
        return parse_parens(p, ret);
    default:
        return parse_unexpected(p, "an expression");
    }
}

/* --------------------------------------------------------------------------------------- postfix
 */

static int parse_index(struct parser *p, struct expr **io)
{
    struct token at = p->token;
    struct expr *args[3] = {*io, NULL, NULL};
    bool slice = false;
    int err = parse_advance(p);
    if (!err && p->token.kind != TOKEN_COLON)
        err = parse_expr(p, &args[1]);
    if (!err && parse_accept(p, TOKEN_COLON, &err) && !err) {
        slice = true;
        if (p->token.kind != TOKEN_RBRACKET)
            err = parse_expr(p, &args[2]);
    }
    if (!err)
        err = parse_expect(p, TOKEN_RBRACKET, "']'");
    if (!err)
        err = node_with(p, EXPR_INDEX, &at, args, 3, io);
    if (!err)
        (*io)->slice = slice;
    return err;
}

static int parse_field(struct parser *p, struct expr **io)
{
    struct token at = p->token;
    struct bytes name = {NULL, 0};
    int err = parse_advance(p);
    if (!err && p->token.kind == TOKEN_STRING) {
        name = p->token.text;
        err = parse_advance(p);
    } else if (!err) {
        err = parse_name(p, "a name after '->'", &name);
    }
    if (!err)
        err = node_with(p, EXPR_FIELD, &at, io, 1, io);
    if (!err)
        (*io)->name = name;
    return err;
}

static int parse_postfix(struct parser *p, struct expr **ret)
{
    int err = parse_primary(p, ret);
    while (!err && (p->token.kind == TOKEN_LBRACKET || p->token.kind == TOKEN_ARROW))
        err = p->token.kind == TOKEN_ARROW ? parse_field(p, ret) : parse_index(p, ret);
    return err;
}

/* A minus before a number is part of it, so that -9223372036854775808 is an integer. */
static void literal_negate(struct expr *e)
{
    struct value *v = &e->value;
    if (v->type == VALUE_DOUBLE) {
        v->f64 = -v->f64;
    } else if (v->type == VALUE_INT64) {
        v->i64 = -v->i64;
    } else {
        v->type = v->u64 == (uint64_t)INT64_MAX + 1 ? VALUE_INT64 : VALUE_DOUBLE;
        if (v->type == VALUE_INT64)
            v->i64 = INT64_MIN;
        else
            v->f64 = -(double)v->u64;
    }
}

static bool is_number(const struct expr *e)
{
    return e->kind == EXPR_LITERAL &&
           (e->value.type == VALUE_DOUBLE || e->value.type == VALUE_INT64 ||
            e->value.type == VALUE_UINT64);
}

static int parse_unary(struct parser *p, struct expr **ret)
{
    struct token at = p->token;
    uint32_t minuses = 0;
    int err = OK;
    while (!err && (p->token.kind == TOKEN_MINUS || p->token.kind == TOKEN_PLUS)) {
        minuses += p->token.kind == TOKEN_MINUS;
        err = parse_advance(p);
    }
    if (!err)
        err = parse_postfix(p, ret);
    if (err || minuses % 2 == 0)
        return err;
    if (is_number(*ret)) {
        literal_negate(*ret);
        return OK;
    }
    struct expr *arg = *ret;
    return node_with(p, EXPR_NEGATE, &at, &arg, 1, ret);
}

/* ---------------------------------------------------------------------------------------- binary
 */

/* OP_COUNT if the token is none of the operators of that level. */
static enum op op_of_sum(enum token_kind kind)
{
    switch ((int)kind) {
    case TOKEN_PLUS:
        return OP_ADD;
    case TOKEN_MINUS:
        return OP_SUB;
    case TOKEN_PIPE:
        return OP_BIT_OR;
    case TOKEN_CARET:
        return OP_BIT_XOR;
    default:
        return OP_COUNT;
    }
}

static enum op op_of_product(enum token_kind kind)
{
    switch ((int)kind) {
    case TOKEN_STAR:
        return OP_MUL;
    case TOKEN_SLASH:
        return OP_DIV;
    case TOKEN_PERCENT:
        return OP_MOD;
    case TOKEN_AMPERSAND:
        return OP_BIT_AND;
    default:
        return OP_COUNT;
    }
}

static enum op op_of_comparison(enum token_kind kind)
{
    switch ((int)kind) {
    case TOKEN_EQ:
        return OP_EQ;
    case TOKEN_NE:
        return OP_NE;
    case TOKEN_LT:
        return OP_LT;
    case TOKEN_LE:
        return OP_LE;
    case TOKEN_GT:
        return OP_GT;
    case TOKEN_GE:
        return OP_GE;
    default:
        return OP_COUNT;
    }
}

typedef int (*parse_fn)(struct parser *p, struct expr **ret);
typedef enum op (*op_fn)(enum token_kind kind);

/* One level: operands by `next`, operators by `op_of`, left to right. */
static int parse_level(struct parser *p, parse_fn next, op_fn op_of, struct expr **ret)
{
    int err = next(p, ret);
    while (!err && op_of(p->token.kind) != (enum op)OP_COUNT) {
        struct token at = p->token;
        struct expr *args[2] = {*ret, NULL};
        err = parse_advance(p);
        if (!err)
            err = next(p, &args[1]);
        if (!err)
            err = node_with(p, EXPR_BINARY, &at, args, 2, ret);
        if (!err)
            (*ret)->op = op_of(at.kind);
    }
    return err;
}

static int parse_product(struct parser *p, struct expr **ret)
{
    return parse_level(p, parse_unary, op_of_product, ret);
}

static int parse_sum(struct parser *p, struct expr **ret)
{
    return parse_level(p, parse_product, op_of_sum, ret);
}

/* ------------------------------------------------------------------------------------ predicates
 */

static int parse_between(struct parser *p, const struct token *at, struct expr **io)
{
    struct expr *args[3] = {*io, NULL, NULL};
    int err = parse_advance(p);
    if (!err)
        err = parse_sum(p, &args[1]);
    if (!err)
        err = parse_expect(p, TOKEN_AND, "AND");
    if (!err)
        err = parse_sum(p, &args[2]);
    return err ? err : node_with(p, EXPR_BETWEEN, at, args, 3, io);
}

/* IN (a, b, …), and eKuiper's IN list_column, which has a single argument without parentheses. */
static int parse_in(struct parser *p, const struct token *at, struct expr **io)
{
    struct parse_list list = {0};
    struct expr **args = NULL;
    uint32_t count = 0;
    int err = parse_list_add(p, &list, io, sizeof(struct expr *), SQL_ARGS_MAX);
    if (!err)
        err = parse_advance(p);
    if (err)
        return err;
    if (p->token.kind != TOKEN_LPAREN) {
        struct expr *set = NULL;
        err = parse_sum(p, &set);
        if (!err)
            err = parse_list_add(p, &list, &set, sizeof(struct expr *), SQL_ARGS_MAX);
        if (!err)
            err = node_with(p, EXPR_IN, at, list.items, list.count, io);
        if (!err)
            (*io)->slice = true; /* the set is a list value */
        return err;
    }
    err = parse_advance(p);
    if (!err && p->token.kind == TOKEN_RPAREN)
        return parse_unexpected(p, "a value");
    if (!err)
        err = parse_args(p, &args, &count);
    for (uint32_t i = 0; i < count && !err; i++)
        err = parse_list_add(p, &list, &args[i], sizeof(struct expr *), SQL_ARGS_MAX);
    return err ? err : node_with(p, EXPR_IN, at, list.items, list.count, io);
}

static int parse_like(struct parser *p, const struct token *at, struct expr **io)
{
    struct expr *args[2] = {*io, NULL};
    int err = parse_advance(p);
    if (!err)
        err = parse_sum(p, &args[1]);
    return err ? err : node_with(p, EXPR_LIKE, at, args, 2, io);
}

static int parse_is_null(struct parser *p, const struct token *at, struct expr **io)
{
    struct expr *arg = *io;
    int err = parse_advance(p);
    bool negated = !err && parse_accept(p, TOKEN_NOT, &err);
    if (!err)
        err = parse_expect(p, TOKEN_NULL, "NULL");
    if (!err)
        err = node_with(p, EXPR_IS_NULL, at, &arg, 1, io);
    if (!err)
        (*io)->negated = negated;
    return err;
}

static int parse_predicate(struct parser *p, struct expr **io, bool *ret_found)
{
    struct token at = p->token;
    int err = OK;
    bool negated = parse_accept(p, TOKEN_NOT, &err);
    if (err)
        return err;
    *ret_found = true;
    switch ((int)p->token.kind) {
    case TOKEN_BETWEEN:
        err = parse_between(p, &at, io);
        break;
    case TOKEN_IN:
        err = parse_in(p, &at, io);
        break;
    case TOKEN_LIKE:
        err = parse_like(p, &at, io);
        break;
    case TOKEN_IS:
        return negated ? parse_unexpected(p, "IN, BETWEEN or LIKE") : parse_is_null(p, &at, io);
    default:
        *ret_found = false;
        return negated ? parse_unexpected(p, "IN, BETWEEN or LIKE") : OK;
    }
    if (!err)
        (*io)->negated = negated;
    return err;
}

static int parse_comparison(struct parser *p, struct expr **ret)
{
    int err = parse_level(p, parse_sum, op_of_comparison, ret);
    bool found = !err;
    while (!err && found)
        err = parse_predicate(p, ret, &found);
    if (!err && op_of_comparison(p->token.kind) != (enum op)OP_COUNT) {
        struct token at = p->token;
        struct expr *args[2] = {*ret, NULL};
        err = parse_advance(p);
        if (!err)
            err = parse_sum(p, &args[1]);
        if (!err)
            err = node_with(p, EXPR_BINARY, &at, args, 2, ret);
        if (!err)
            (*ret)->op = op_of_comparison(at.kind);
    }
    return err;
}

static int parse_not(struct parser *p, struct expr **ret)
{
    struct token at = p->token;
    uint32_t nots = 0;
    int err = OK;
    while (parse_accept(p, TOKEN_NOT, &err) && !err)
        nots++;
    if (!err)
        err = parse_comparison(p, ret);
    if (err || nots % 2 == 0)
        return err;
    struct expr *arg = *ret;
    return node_with(p, EXPR_NOT, &at, &arg, 1, ret);
}

static enum op op_of_and(enum token_kind kind)
{
    return kind == TOKEN_AND ? OP_AND : (enum op)OP_COUNT;
}

static enum op op_of_or(enum token_kind kind)
{
    return kind == TOKEN_OR ? OP_OR : (enum op)OP_COUNT;
}

static int parse_and(struct parser *p, struct expr **ret)
{
    return parse_level(p, parse_not, op_of_and, ret);
}

static int parse_or(struct parser *p, struct expr **ret)
{
    return parse_level(p, parse_and, op_of_or, ret);
}

int parse_expr(struct parser *p, struct expr **ret)
{
    if (p->nesting == SQL_NESTING_MAX)
        return diag_set(p->diag, ERR_LIMIT, p->token.line, p->token.column,
                        "nested deeper than %d levels", SQL_NESTING_MAX);
    p->nesting++;
    int err = parse_or(p, ret);
    p->nesting--;
    return err;
}
