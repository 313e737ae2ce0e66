/* Bound expressions into flat arrays of steps.
 *
 * Registers: first the constants, then one a step. What was computed for all rows (not inside a
 * branch of AND, OR or CASE) is kept and used again, so that an alias or a column costs once. A
 * right operand that may fail is computed only where the left one leaves the question open; one
 * that cannot is computed for all rows, which is faster.
 */
#include "stream/bound.h"
#include "stream/function.h"
#include "stream/kernels.h"

#include <string.h>

#define STEPS_MAX (1u << 20)

struct compiler {
    struct arena *arena;
    struct diag *diag;
    struct step *steps;
    uint32_t step_count;
    uint32_t step_cap;
    enum value_type *reg_types;
    uint32_t reg_count;
    uint32_t reg_cap;
    struct value *constants;
    uint32_t constant_count;
    uint32_t constant_cap;
    const struct input *inputs;
    uint32_t input_count;
    uint32_t *input_regs; /* where an input was loaded; PLAN_NONE */
    const struct lookup **lookups;
    uint32_t lookup_count;
    uint32_t lookup_cap;
    uint32_t narrow; /* selections stacked now */
    uint32_t narrow_max;
    bool group;
};

static int reg_new(struct compiler *c, enum value_type type, uint16_t *ret)
{
    if (c->reg_count == PLAN_REGISTERS_MAX)
        return diag_set(c->diag, ERR_LIMIT, 0, 0, "this statement needs more than %d registers",
                        PLAN_REGISTERS_MAX);
    c->reg_types =
        arena_room(c->arena, c->reg_types, c->reg_count, &c->reg_cap, sizeof *c->reg_types);
    if (!c->reg_types)
        return ERR_NOMEM;
    c->reg_types[c->reg_count] = type;
    *ret = (uint16_t)c->reg_count++;
    return OK;
}

static int emit(struct compiler *c, struct step s)
{
    if (c->step_count == STEPS_MAX)
        return diag_set(c->diag, ERR_LIMIT, 0, 0, "this statement is too large");
    c->steps = arena_room(c->arena, c->steps, c->step_count, &c->step_cap, sizeof *c->steps);
    if (!c->steps)
        return ERR_NOMEM;
    if (!s.fn)
        return diag_set(c->diag, ERR_INTERNAL, 0, 0, "there is no kernel for this operator");
    c->steps[c->step_count++] = s;
    return OK;
}

/* A step with a new register of that type. */
static int emit_new(struct compiler *c, struct step s, enum value_type type, uint16_t *ret)
{
    int err = reg_new(c, type, &s.dst);
    if (!err)
        err = emit(c, s);
    if (!err)
        *ret = s.dst;
    return err;
}

static int compile(struct compiler *c, struct bound *x, uint16_t *ret);

/* --------------------------------------------------------------------------------------- leaves */

/* Constants come first in the registers, so all of a program's are collected before it. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int constants_collect(struct compiler *c, struct bound *x)
{
    int err = OK;
    if (x->kind == BOUND_CONST && x->reg == PLAN_NONE) {
        uint16_t reg = 0;
        c->constants = arena_room(c->arena, c->constants, c->constant_count, &c->constant_cap,
                                  sizeof *c->constants);
        if (!c->constants)
            return ERR_NOMEM;
        err = reg_new(c, x->type, &reg);
        if (err)
            return err;
        c->constants[c->constant_count++] = x->value;
        x->reg = reg;
    }
    for (uint32_t i = 0; i < x->arg_count && !err; i++)
        err = constants_collect(c, x->args[i]);
    return err;
}

static int compile_input(struct compiler *c, const struct bound *x, uint16_t *ret)
{
    static const step_fn loads[] = {
        [INPUT_COLUMN] = kernel_load_column,   [INPUT_RAW] = kernel_load_raw,
        [INPUT_QUALITY] = kernel_load_quality, [INPUT_TIME] = kernel_load_time,
        [INPUT_GROUP] = kernel_load_group,
    };
    if (c->input_regs[x->input] != PLAN_NONE) {
        *ret = (uint16_t)c->input_regs[x->input];
        return OK;
    }
    const struct input *in = &c->inputs[x->input];
    int err = emit_new(c, (struct step){.fn = loads[in->kind], .input = x->input}, in->type, ret);
    if (!err)
        c->input_regs[x->input] = *ret;
    return err;
}

/* ------------------------------------------------------------------------------------- operators
 */

static int narrow(struct compiler *c, uint16_t condition, bool want)
{
    int err = emit(c, (struct step){.fn = kernel_narrow, .a = condition, .op = want});
    c->narrow++;
    if (c->narrow > c->narrow_max)
        c->narrow_max = c->narrow;
    return err;
}

static int widen(struct compiler *c)
{
    c->narrow--;
    return emit(c, (struct step){.fn = kernel_widen});
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile_logic(struct compiler *c, const struct bound *x, uint16_t *ret)
{
    uint16_t a;
    uint16_t b = 0;
    bool apart = x->args[1]->may_fail;
    int err = compile(c, x->args[0], &a);
    if (!err && apart)
        err = narrow(c, a, x->op == OP_AND);
    if (!err)
        err = compile(c, x->args[1], &b);
    if (!err && apart)
        err = widen(c);
    if (err)
        return err;
    step_fn fn = x->op == OP_AND ? kernel_and : kernel_or;
    return emit_new(c, (struct step){.fn = fn, .a = a, .b = b}, VALUE_BOOL, ret);
}

/* One arm: where its condition holds, dst becomes the result; the others go on. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile_arm(struct compiler *c, struct bound *when, struct bound *then, uint16_t dst)
{
    uint16_t condition;
    uint16_t result;
    int err = compile(c, when, &condition);
    if (!err)
        err = narrow(c, condition, true);
    if (!err)
        err = compile(c, then, &result);
    if (!err)
        err = emit(c, (struct step){.fn = kernel_blend, .dst = dst, .a = result});
    if (!err)
        err = widen(c);
    return err ? err : narrow(c, condition, false);
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile_case(struct compiler *c, const struct bound *x, uint16_t *ret)
{
    uint16_t dst;
    uint16_t other;
    uint32_t arms = (x->arg_count - x->has_else) / 2;
    int err = emit_new(c, (struct step){.fn = kernel_null}, x->type, &dst);
    for (uint32_t i = 0; i < arms && !err; i++)
        err = compile_arm(c, x->args[2 * (size_t)i], x->args[2 * (size_t)i + 1], dst);
    if (!err && x->has_else) {
        err = compile(c, x->args[x->arg_count - 1], &other);
        if (!err)
            err = emit(c, (struct step){.fn = kernel_blend, .dst = dst, .a = other});
    }
    for (uint32_t i = 0; i < arms && !err; i++)
        err = widen(c);
    *ret = dst;
    return err;
}

static step_fn call_kernel(const struct bound *x)
{
    const struct function *f = x->function;
    if (!f->kernel_f64 || vec_kind_of(x->type) != VEC_F64)
        return f->kernel;
    for (uint32_t i = 0; i < x->arg_count; i++)
        if (vec_kind_of(x->args[i]->type) != VEC_F64)
            return f->kernel;
    return f->kernel_f64;
}

/* The number of a lookup among the program's. */
static int lookup_index(struct compiler *c, const struct lookup *l, uint32_t *ret)
{
    for (*ret = 0; *ret < c->lookup_count; ++*ret)
        if (c->lookups[*ret] == l)
            return OK;
    c->lookups = arena_room(c->arena, c->lookups, c->lookup_count, &c->lookup_cap,
                            sizeof(const struct lookup *));
    if (!c->lookups)
        return ERR_NOMEM;
    c->lookups[c->lookup_count++] = l;
    return OK;
}

/* Calls, IN and BETWEEN: registers of all arguments in a list. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile_list(struct compiler *c, const struct bound *x, uint16_t *ret)
{
    uint16_t *args = arena_array(c->arena, x->arg_count + 1u, sizeof *args);
    if (!args)
        return ERR_NOMEM;
    struct step s = {.args = args, .arg_count = (uint16_t)x->arg_count, .op = x->negated};
    int err = OK;
    for (uint32_t i = 0; i < x->arg_count && !err; i++)
        err = compile(c, x->args[i], &args[i]);
    if (err)
        return err;
    enum vec_kind kind = x->arg_count ? vec_kind_of(x->args[0]->type) : VEC_ANY;
    if (x->kind == BOUND_IN) {
        s.fn = kernel_in(kind);
    } else if (x->kind == BOUND_BETWEEN) {
        s.fn = kernel_between(kind);
    } else {
        s.fn = call_kernel(x);
        s.op = x->function->takes_null;
    }
    if (x->lookup) {
        s.op = x->lookup_column;
        err = lookup_index(c, x->lookup, &s.input);
    }
    if (err)
        return err;
    return emit_new(c, s, x->type, ret);
}

static step_fn operator_kernel(const struct bound *x)
{
    enum vec_kind kind = vec_kind_of(x->args[0]->type);
    switch (x->kind) {
    case BOUND_ARITH:
        return kernel_arith(x->op, kind);
    case BOUND_COMPARE:
        return kernel_compare(x->op, kind);
    case BOUND_NEGATE:
        return kernel_negate(kind);
    case BOUND_NOT:
        return kernel_not;
    case BOUND_LIKE:
        return kind == VEC_ANY ? kernel_like_any : kernel_like_text;
    case BOUND_IS_NULL:
        return kernel_is_null;
    case BOUND_CONVERT:
        return x->type == VALUE_BOOL ? kernel_truth : kernel_convert(kind, vec_kind_of(x->type));
    case BOUND_CONST:
    case BOUND_INPUT:
    case BOUND_AND:
    case BOUND_BETWEEN:
    case BOUND_IN:
    case BOUND_CASE:
    case BOUND_CALL:
        break;
    }
    return NULL;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile_operator(struct compiler *c, const struct bound *x, uint16_t *ret)
{
    struct step s = {.fn = operator_kernel(x)};
    int err = compile(c, x->args[0], &s.a);
    if (!err && x->arg_count > 1)
        err = compile(c, x->args[1], &s.b);
    s.op = x->kind == BOUND_ARITH || x->kind == BOUND_COMPARE ? (uint32_t)x->op : x->negated;
    return err ? err : emit_new(c, s, x->type, ret);
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int compile(struct compiler *c, struct bound *x, uint16_t *ret)
{
    int err;
    if (x->reg != PLAN_NONE) {
        *ret = (uint16_t)x->reg;
        return OK;
    }
    switch (x->kind) {
    case BOUND_INPUT:
        return compile_input(c, x, ret);
    case BOUND_AND:
        err = compile_logic(c, x, ret);
        break;
    case BOUND_CASE:
        err = compile_case(c, x, ret);
        break;
    case BOUND_CALL:
    case BOUND_IN:
    case BOUND_BETWEEN:
        err = compile_list(c, x, ret);
        break;
    case BOUND_CONST:
    case BOUND_ARITH:
    case BOUND_COMPARE:
    case BOUND_NOT:
    case BOUND_NEGATE:
    case BOUND_LIKE:
    case BOUND_IS_NULL:
    case BOUND_CONVERT:
    default:
        err = compile_operator(c, x, ret);
        break;
    }
    if (!err && c->narrow == 0)
        x->reg = *ret;
    return err;
}

/* --------------------------------------------------------------------------------------- program
 */

static int compiler_init(struct compiler *c, struct arena *arena, const struct input *inputs,
                         uint32_t input_count, struct diag *diag)
{
    *c = (struct compiler){
        .arena = arena, .diag = diag, .inputs = inputs, .input_count = input_count};
    c->input_regs = arena_array(arena, input_count + 1u, sizeof *c->input_regs);
    for (uint32_t i = 0; c->input_regs && i < input_count; i++)
        c->input_regs[i] = PLAN_NONE;
    return c->input_regs ? OK : ERR_NOMEM;
}

static void compiler_finish(const struct compiler *c, struct program *ret)
{
    *ret = (struct program){
        .steps = c->steps,
        .step_count = c->step_count,
        .reg_count = c->reg_count,
        .reg_types = c->reg_types,
        .inputs = c->inputs,
        .input_count = c->input_count,
        .constants = c->constants,
        .constant_count = c->constant_count,
        .narrow_max = c->narrow_max,
        .lookups = c->lookups,
        .lookup_count = c->lookup_count,
    };
}

static int collect_items(struct compiler *c, const struct bound_select *b)
{
    int err = OK;
    for (uint32_t i = 0; i < b->item_count && !err; i++)
        if (b->items[i].expr)
            err = constants_collect(c, b->items[i].expr);
    return err;
}

static int compile_condition(struct compiler *c, struct bound *x, uint32_t *ret_reg,
                             uint32_t *ret_steps)
{
    uint16_t reg = 0;
    *ret_reg = PLAN_NONE;
    int err = x ? compile(c, x, &reg) : OK;
    if (!err && x)
        *ret_reg = reg;
    *ret_steps = c->step_count;
    return err;
}

static int compile_items(struct compiler *c, struct plan *p, const struct bound_select *b)
{
    struct plan_item *items = arena_array(c->arena, b->item_count + 1u, sizeof *items);
    int err = items ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < b->item_count && !err; i++) {
        const struct bound_item *from = &b->items[i];
        items[i].name = from->name;
        items[i].pass = !from->expr;
        items[i].column = from->column;
        items[i].column_name = from->column_name;
        if (!from->expr)
            continue;
        items[i].type = from->expr->type == VALUE_NULL ? VALUE_ANY : from->expr->type;
        err = compile(c, from->expr, &items[i].reg);
    }
    p->items = items;
    p->item_count = b->item_count;
    return err;
}

/* Keys and arguments of aggregates, in the row program. */
static int compile_groups(struct compiler *c, struct plan *p, const struct bound_select *b)
{
    uint16_t *keys = arena_array(c->arena, b->key_count + 1u, sizeof *keys);
    struct aggregate *aggregates =
        arena_array(c->arena, b->aggregate_count + 1u, sizeof *aggregates);
    int err = keys && aggregates ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < b->key_count && !err; i++)
        err = compile(c, b->keys[i], &keys[i]);
    for (uint32_t i = 0; i < b->aggregate_count && !err; i++) {
        aggregates[i] = b->aggregates[i].spec;
        if (b->aggregates[i].arg)
            err = compile(c, b->aggregates[i].arg, &aggregates[i].reg);
    }
    p->keys = keys;
    p->key_count = b->key_count;
    p->aggregates = aggregates;
    p->aggregate_count = b->aggregate_count;
    return err;
}

static int compile_rows(struct plan *p, const struct bound_select *b, struct diag *diag)
{
    struct compiler c;
    int err = compiler_init(&c, &p->arena, b->inputs, b->input_count, diag);
    if (!err && b->where)
        err = constants_collect(&c, b->where);
    for (uint32_t i = 0; i < b->key_count && !err; i++)
        err = constants_collect(&c, b->keys[i]);
    for (uint32_t i = 0; i < b->aggregate_count && !err; i++)
        if (b->aggregates[i].arg)
            err = constants_collect(&c, b->aggregates[i].arg);
    if (!err && !b->grouped)
        err = collect_items(&c, b);
    if (!err)
        err = compile_condition(&c, b->where, &p->where, &p->where_steps);
    if (!err)
        err = b->grouped ? compile_groups(&c, p, b) : compile_items(&c, p, b);
    compiler_finish(&c, &p->rows);
    return err;
}

static int compile_group_program(struct plan *p, const struct bound_select *b, struct diag *diag)
{
    struct compiler c;
    int err = compiler_init(&c, &p->arena, b->group_inputs, b->group_input_count, diag);
    if (!err && b->having)
        err = constants_collect(&c, b->having);
    if (!err)
        err = collect_items(&c, b);
    if (!err)
        err = compile_condition(&c, b->having, &p->having, &p->having_steps);
    if (!err)
        err = compile_items(&c, p, b);
    compiler_finish(&c, &p->groups);
    return err;
}

int select_compile(struct plan *p, const struct bound_select *b, struct diag *diag)
{
    p->from = b->from;
    p->presence = b->presence;
    p->input = b->schema ? schema_ref(b->schema) : NULL;
    p->window = b->window;
    p->window_us = b->window_us;
    p->station = b->station;
    p->group_inputs = b->group_specs;
    p->star = b->star;
    p->star_except = b->star_except;
    p->star_except_count = b->star_except_count;
    p->having = PLAN_NONE;
    int err = compile_rows(p, b, diag);
    if (!err && b->grouped)
        err = compile_group_program(p, b, diag);
    return err;
}
