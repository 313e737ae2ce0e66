/* Bound expressions: names resolved, types known, aliases opened, aggregates taken out.
 *
 * Between the AST, which is what was written, and the steps, which are what runs.
 */
#ifndef LOTLINE_STREAM_BOUND_H
#define LOTLINE_STREAM_BOUND_H

#include "stream/ast.h"
#include "stream/plan.h"

struct function;
struct lookup;

enum bound_kind {
    BOUND_CONST,   /* value */
    BOUND_INPUT,   /* input */
    BOUND_ARITH,   /* args[0] op args[1] */
    BOUND_COMPARE, /* args[0] op args[1] */
    BOUND_AND,     /* also OR, by op */
    BOUND_NOT,
    BOUND_NEGATE,
    BOUND_BETWEEN, /* negated */
    BOUND_IN,      /* negated */
    BOUND_LIKE,    /* negated */
    BOUND_IS_NULL, /* negated */
    BOUND_CASE,    /* args as in EXPR_CASE without its value: {when, then} … [else] */
    BOUND_CALL,    /* function(args) */
    BOUND_CONVERT, /* args[0] as another kind of vector: type */
};

struct bound {
    enum bound_kind kind;
    enum value_type type; /* VALUE_NULL: always null */
    enum op op;
    bool negated;
    bool has_else;
    bool may_fail; /* some rows may end in an error */
    bool group;    /* belongs to the group program */
    uint32_t arg_count;
    struct bound **args;
    const struct function *function;
    const struct lookup *lookup; /* BOUND_CALL: it reads this one, */
    uint32_t lookup_column;      /* this column of it */
    struct value value;
    uint32_t input;
    uint32_t line;
    uint32_t column;
    uint32_t reg; /* compile: where it was computed for all rows already; PLAN_NONE */
};

/* An output column before compilation. */
struct bound_item {
    const char *name;
    struct bound *expr; /* NULL: the column passes through */
    uint32_t column;    /* pass: of the schema; PLAN_NONE: by name, at run time */
    const char *column_name;
};

struct bound_aggregate {
    struct aggregate spec; /* reg not yet known */
    struct bound *arg;     /* NULL: count(*) */
};

/* What binding finds; arrays in the arena. */
struct bound_select {
    struct stream *from;
    struct stream *presence;
    struct schema *schema; /* borrowed from the stream */
    enum window_kind window;
    int64_t window_us;
    struct bytes station;
    bool grouped; /* a window, so that items belong to the group program */
    struct bound *where;
    struct bound *having;
    struct bound **keys;
    uint32_t key_count;
    struct bound_aggregate *aggregates;
    uint32_t aggregate_count;
    struct input *inputs;
    uint32_t input_count;
    struct input *group_inputs;
    struct group_input *group_specs;
    uint32_t group_input_count;
    struct bound_item *items;
    uint32_t item_count;
    bool star;
    struct bytes *star_except;
    uint32_t star_except_count;
};

/* Resolves s against the catalogue. All in arena. Errors as plan_new. */
int select_bind(struct arena *arena, const struct select *s, const struct catalogue *catalogue,
                struct bound_select *ret, struct diag *diag);

/* Compiles into p (programs, items, aggregates, output schema). */
int select_compile(struct plan *p, const struct bound_select *b, struct diag *diag);

#endif
