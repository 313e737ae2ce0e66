/* A SELECT as a tree, just as it was written.
 *
 * Nodes live in the caller's arena and are not changed after parsing: what binding finds out is
 * kept in the bound plan (plan.h). Every node knows its line and column, because an error without
 * its place is of no use in a statement of thirty lines.
 */
#ifndef LOTLINE_STREAM_AST_H
#define LOTLINE_STREAM_AST_H

#include "base/arena.h"
#include "base/err.h"
#include "model/value.h"

#define SQL_NESTING_MAX 64  /* parentheses, calls and CASEs inside one another */
#define SQL_DEPTH_MAX   256 /* of a tree: a chain of 256 operators still binds */
#define SQL_ARGS_MAX    1024
#define SQL_ITEMS_MAX   65535

enum op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_BIT_AND,
    OP_BIT_OR,
    OP_BIT_XOR,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_AND,
    OP_OR,
};

#define OP_COUNT 16

/* "+", "<=", "AND". */
const char *op_text(enum op op);

enum expr_kind {
    EXPR_LITERAL, /* value */
    EXPR_COLUMN,  /* qualifier, name */
    EXPR_STAR,    /* qualifier; except, replace */
    EXPR_NEGATE,  /* -args[0] */
    EXPR_NOT,     /* NOT args[0] */
    EXPR_BINARY,  /* args[0] op args[1] */
    EXPR_BETWEEN, /* args[0] [NOT] BETWEEN args[1] AND args[2] */
    EXPR_IN,      /* args[0] [NOT] IN (args[1], …) */
    EXPR_LIKE,    /* args[0] [NOT] LIKE args[1] */
    EXPR_IS_NULL, /* args[0] IS [NOT] NULL */
    EXPR_CASE,    /* [args[0]] {WHEN, THEN} … [ELSE]: has_value, has_else */
    EXPR_CALL,    /* name(args) */
    EXPR_INDEX,   /* args[0][args[1]] or, with slice, args[0][args[1]:args[2]] (NULL = open) */
    EXPR_FIELD,   /* args[0]->name */
};

struct select_item;

struct expr {
    enum expr_kind kind;
    enum op op;
    uint32_t line;
    uint32_t column;
    uint16_t depth;
    bool negated; /* NOT IN, NOT BETWEEN, NOT LIKE, IS NOT NULL */
    bool has_value;
    bool has_else;
    bool slice;
    bool over; /* an OVER clause stands behind the call */
    uint32_t arg_count;
    struct expr **args;
    struct value value;
    struct bytes qualifier;
    struct bytes name;
    struct select_item *replace; /* EXPR_STAR: * REPLACE(expr AS name, …) */
    uint32_t replace_count;
    struct bytes *except; /* EXPR_STAR: * EXCEPT(name, …) */
    uint32_t except_count;
};

struct select_item {
    struct expr *expr;
    struct bytes alias; /* ptr NULL: none */
    bool invisible;
};

struct select_window {
    struct bytes name; /* as written: "TUMBLINGWINDOW"; ptr NULL: none */
    uint32_t line;
    uint32_t column;
    uint32_t arg_count;
    struct expr **args;
    struct expr *filter; /* FILTER (WHERE …) or NULL */
    bool triggered;      /* OVER (WHEN …) */
};

struct select_source {
    struct bytes name;
    struct bytes alias; /* ptr NULL: none */
    uint32_t line;
    uint32_t column;
};

struct select_join {
    struct select_source source;
    struct expr *on; /* NULL: CROSS */
};

struct select_sort {
    struct expr *expr;
    bool descending;
};

struct select {
    struct select_item *items;
    uint32_t item_count;
    struct select_source from;
    struct select_join *joins;
    uint32_t join_count;
    struct expr *where;
    struct expr **group;
    uint32_t group_count;
    struct select_window window;
    struct expr *having;
    struct select_sort *sort;
    uint32_t sort_count;
    struct expr *limit;
};

/* Parses one SELECT; a semicolon may end it. The tree and copies of nothing else live in arena;
 * sql must outlive it. ERR_SYNTAX, ERR_LIMIT (with *diag), ERR_NOMEM. */
int sql_parse(struct arena *arena, struct bytes sql, struct select **ret, struct diag *diag);

/* Whether two trees say the same (places apart): GROUP BY a+1 and SELECT a+1. */
bool expr_equal(const struct expr *a, const struct expr *b);

#endif
