/* Calls: functions of a row, aggregates of a window, and what a row, a window or a presence knows
 * about itself. */
#include "base/str.h"
#include "stream/bind_priv.h"
#include "stream/cast.h"

/* ------------------------------------------------------------------------------------ arguments */

static const char *letter_text(char letter)
{
    switch (letter) {
    case 'n':
        return "a number";
    case 'i':
        return "an integer";
    case 's':
        return "a string";
    default:
        return "true or false";
    }
}

static bool letter_fits(char letter, enum value_type t)
{
    if (letter == '*' || t == VALUE_ANY || t == VALUE_NULL)
        return true;
    if (letter == 'i')
        return t == VALUE_INT64 || t == VALUE_UINT64;
    if (letter == 'n')
        return t == VALUE_INT64 || t == VALUE_UINT64 || t == VALUE_DOUBLE || t == VALUE_FLOAT32;
    if (letter == 's')
        return t == VALUE_STRING;
    return t == VALUE_BOOL;
}

static int args_count_check(struct binder *b, const struct expr *e, uint32_t min, uint32_t max)
{
    if (e->arg_count >= min && e->arg_count <= max)
        return OK;
    if (min == max)
        return bind_error(b, ERR_INVALID, e, "%.*s takes %u argument%s, here are %u",
                          (int)e->name.len, (const char *)e->name.ptr, min, min == 1 ? "" : "s",
                          e->arg_count);
    return bind_error(b, ERR_INVALID, e, "%.*s takes %u to %u arguments, here are %u",
                      (int)e->name.len, (const char *)e->name.ptr, min, max, e->arg_count);
}

static int args_types_check(struct binder *b, const struct expr *e, const struct function *f,
                            struct bound *const *args)
{
    const char *letter = f->args;
    for (uint32_t i = 0; i < e->arg_count; i++) {
        if (!letter_fits(*letter, args[i]->type))
            return bind_error(b, ERR_TYPE, e->args[i],
                              "argument %u of %s needs %s, this is a %s: use cast()", i + 1,
                              f->name, letter_text(*letter), value_type_name(args[i]->type));
        if (letter[0] && letter[1])
            letter++;
    }
    return OK;
}

/* ------------------------------------------------------------------------------------- functions
 */

/* The type that all have in common; any when they differ. */
static enum value_type args_common(struct bound *const *args, uint32_t count)
{
    enum value_type common = VALUE_NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (args[i]->type == VALUE_NULL)
            continue;
        if (common != VALUE_NULL && common != args[i]->type)
            return VALUE_ANY;
        common = args[i]->type;
    }
    return common == VALUE_NULL ? VALUE_ANY : common;
}

static int cast_target(struct binder *b, const struct expr *e, const struct bound *name,
                       enum value_type *ret)
{
    if (name->kind != BOUND_CONST || name->type != VALUE_STRING ||
        !cast_type(name->value.bytes, ret))
        return bind_error(b, ERR_INVALID, e->args[1],
                          "cast needs one of 'bigint', 'float', 'string', 'boolean', 'datetime', "
                          "'bytea' here");
    return OK;
}

static int result_type(struct binder *b, const struct expr *e, const struct function *f,
                       struct bound *const *args, enum value_type *ret)
{
    *ret = VALUE_ANY;
    switch (f->result) {
    case RESULT_DOUBLE:
        *ret = VALUE_DOUBLE;
        break;
    case RESULT_INT:
        *ret = VALUE_INT64;
        break;
    case RESULT_STRING:
        *ret = VALUE_STRING;
        break;
    case RESULT_BOOL:
        *ret = VALUE_BOOL;
        break;
    case RESULT_TIMESTAMP:
        *ret = VALUE_TIMESTAMP;
        break;
    case RESULT_FIRST:
        *ret = args[0]->type == VALUE_NULL ? VALUE_ANY : args[0]->type;
        break;
    case RESULT_COMMON:
        *ret = args_common(args, e->arg_count);
        break;
    case RESULT_CAST:
        return cast_target(b, e, args[1], ret);
    case RESULT_ANY:
        break;
    }
    return OK;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int bind_args(struct binder *b, const struct expr *e, enum bind_stage stage,
                     struct bound ***ret)
{
    struct bound **args = arena_array(b->arena, e->arg_count + 1u, sizeof(struct bound *));
    int err = args ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < e->arg_count && !err; i++)
        err = bind_expr(b, e->args[i], stage, &args[i]);
    *ret = args;
    return err;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int bind_function(struct binder *b, const struct expr *e, enum bind_stage stage,
                         const struct function *f, struct bound **ret)
{
    struct bound **args = NULL;
    enum value_type type;
    int err = args_count_check(b, e, f->args_min, f->args_max);
    if (!err)
        err = bind_args(b, e, stage, &args);
    if (!err)
        err = args_types_check(b, e, f, args);
    if (!err)
        err = result_type(b, e, f, args, &type);
    if (err)
        return err;
    struct bound *x = bound_with(b, BOUND_CALL, type, e, args, e->arg_count);
    if (!x)
        return ERR_NOMEM;
    x->function = f;
    x->may_fail |= f->may_fail;
    x->group |= stage == BIND_GROUP;
    *ret = x;
    return OK;
}

/* ------------------------------------------------------------------------------------ aggregates
 */

static const struct {
    const char *name;
    enum agg_kind kind;
} aggregate_names[] = {
    {"count", AGG_COUNT},     {"sum", AGG_SUM},
    {"avg", AGG_AVG},         {"min", AGG_MIN},
    {"max", AGG_MAX},         {"last_value", AGG_LAST},
    {"first", AGG_FIRST},     {"last", AGG_LAST_PRESENT},
    {"covered", AGG_COVERED}, {"timeabove", AGG_TIMEABOVE},
};

static bool aggregate_find(struct bytes name, enum agg_kind *ret)
{
    for (size_t i = 0; i < sizeof aggregate_names / sizeof aggregate_names[0]; i++) {
        if (!str_equal_nocase(name, aggregate_names[i].name))
            continue;
        *ret = aggregate_names[i].kind;
        return true;
    }
    return false;
}

bool bind_is_aggregate(struct bytes name)
{
    enum agg_kind kind;
    return aggregate_find(name, &kind);
}

static enum value_type aggregate_type(const struct binder *b, enum agg_kind kind,
                                      enum value_type arg)
{
    bool unit = b->out->window == WINDOW_UNIT;
    switch (kind) {
    case AGG_COUNT:
    case AGG_COUNT_ROWS:
        return VALUE_INT64;
    case AGG_COVERED:
    case AGG_TIMEABOVE:
        return VALUE_DOUBLE;
    case AGG_AVG:
        if (unit)
            return VALUE_DOUBLE; /* weighted by time */
        return arg == VALUE_FLOAT32 ? VALUE_DOUBLE : arg;
    case AGG_SUM:
        return arg == VALUE_FLOAT32 ? VALUE_DOUBLE : arg;
    case AGG_FIRST_ROW:
    case AGG_FIRST:
    case AGG_LAST:
    case AGG_LAST_PRESENT:
    case AGG_MIN:
    case AGG_MAX:
    case AGG_SERIES:
        break;
    }
    return arg == VALUE_NULL ? VALUE_ANY : arg;
}

/* A unit window's values carry their own acquisition time if they come from one column. */
static void aggregate_column(const struct binder *b, const struct bound *x, struct aggregate *ret)
{
    uint32_t found = PLAN_NONE;
    const struct bound *stack[SQL_DEPTH_MAX];
    size_t n = 0;
    ret->offset_column = PLAN_NONE;
    if (!x || !b->out->schema)
        return;
    stack[n++] = x;
    while (n > 0) {
        const struct bound *at = stack[--n];
        for (uint32_t i = 0; i < at->arg_count; i++)
            if (n < sizeof stack / sizeof stack[0])
                stack[n++] = at->args[i];
        if (at->kind != BOUND_INPUT)
            continue;
        uint32_t column = b->out->inputs[at->input].column;
        if (found != PLAN_NONE && column != found)
            return;
        found = column;
    }
    ret->offset_column = found;
    if (found == PLAN_NONE)
        return;
    ret->linear = (b->out->schema->fields[found].flags & FIELD_LINEAR) != 0;
    bind_aggregate_place(b, found, ret);
}

static bool aggregate_is_timed(enum agg_kind kind)
{
    return kind == AGG_AVG || kind == AGG_COVERED || kind == AGG_TIMEABOVE || kind == AGG_SERIES;
}

static int aggregate_check(struct binder *b, const struct expr *at, enum agg_kind kind,
                           enum value_type t)
{
    bool number = t == VALUE_INT64 || t == VALUE_UINT64 || t == VALUE_DOUBLE || t == VALUE_FLOAT32;
    bool open = t == VALUE_ANY || t == VALUE_NULL;
    bool unit = b->out->window == WINDOW_UNIT;
    if ((kind == AGG_SUM || kind == AGG_AVG) && !number && !open)
        return bind_error(b, ERR_TYPE, at, "%.*s needs numbers, this is a %s", (int)at->name.len,
                          (const char *)at->name.ptr, value_type_name(t));
    bool counts = kind == AGG_COUNT || kind == AGG_COUNT_ROWS;
    if (unit && !counts && !number && (open || aggregate_is_timed(kind))) {
        return bind_error(b, ERR_TYPE, at,
                          open ? "while a unit is there only columns of one type are watched, this "
                                 "is a %s: use cast(…, 'float') or cast(…, 'string')"
                               : "over time only numbers have a value, this is a %s: use "
                                 "cast(…, 'float')",
                          value_type_name(t));
    }
    if (!unit && (kind == AGG_COVERED || kind == AGG_TIMEABOVE))
        return bind_error(b, ERR_INVALID, at, "%.*s() belongs to UNITWINDOW", (int)at->name.len,
                          (const char *)at->name.ptr);
    return OK;
}

/* The same column's values need not be kept, or its first value looked for, twice. */
static bool aggregate_is(const struct bound_aggregate *have, const struct aggregate *spec,
                         const struct bound *arg)
{
    bool shared = spec->kind == AGG_FIRST_ROW || spec->kind == AGG_SERIES;
    return shared && have->spec.kind == spec->kind && arg && arg->kind == BOUND_INPUT &&
           have->arg->kind == BOUND_INPUT && have->arg->input == arg->input;
}

int bind_aggregate_index(struct binder *b, const struct expr *at, struct aggregate spec,
                         struct bound *arg, uint32_t *ret)
{
    struct bound_select *o = b->out;
    (void)at;
    spec.arg_type = arg ? arg->type : VALUE_NULL;
    struct bound_aggregate a = {.spec = spec, .arg = arg};
    aggregate_column(b, arg, &a.spec);
    uint32_t i = 0;
    while (i < o->aggregate_count && !aggregate_is(&o->aggregates[i], &spec, arg))
        i++;
    if (i == o->aggregate_count) {
        o->aggregates = arena_room(b->arena, o->aggregates, i, &b->aggregates_cap, sizeof a);
        if (!o->aggregates)
            return ERR_NOMEM;
        o->aggregates[o->aggregate_count++] = a;
    }
    *ret = i;
    return OK;
}

/* As bind_aggregate; threshold: of timeabove. */
static int aggregate_bind(struct binder *b, const struct expr *at, enum agg_kind kind,
                          double threshold, struct bound *arg, struct bound **ret)
{
    enum value_type arg_type = arg ? arg->type : VALUE_NULL;
    struct group_input in = {.kind = GROUP_AGGREGATE};
    int err = aggregate_check(b, at, kind, arg_type);
    if (err)
        return err;
    in.type = aggregate_type(b, kind, arg_type);
    struct aggregate spec = {.kind = kind, .type = in.type, .threshold = threshold};
    err = bind_aggregate_index(b, at, spec, arg, &in.index);
    return err ? err : bind_group_input(b, at, in, ret);
}

int bind_aggregate(struct binder *b, const struct expr *at, enum agg_kind kind, struct bound *arg,
                   struct bound **ret)
{
    return aggregate_bind(b, at, kind, 0, arg, ret);
}

/* timeabove's second argument: a number as it is written. */
static int threshold_bind(struct binder *b, const struct expr *e, double *ret)
{
    const struct expr *at = e->args[1];
    bool minus = at->kind == EXPR_NEGATE;
    const struct expr *number = minus ? at->args[0] : at;
    if (number->kind != EXPR_LITERAL || number->value.type == VALUE_BOOL ||
        !value_to_double(&number->value, ret))
        return bind_error(b, ERR_TYPE, at, "argument 2 of timeabove is a number, as in 217");
    if (minus)
        *ret = -*ret;
    return OK;
}

/* last_value(x, true) does not count nulls; the flag is a constant. */
static int last_value_flag(struct binder *b, const struct expr *e, enum agg_kind *io)
{
    if (e->arg_count < 2)
        return OK;
    const struct expr *flag = e->args[1];
    if (flag->kind != EXPR_LITERAL || flag->value.type != VALUE_BOOL)
        return bind_error(b, ERR_TYPE, flag, "argument 2 of last_value needs true or false");
    if (flag->value.boolean)
        *io = AGG_LAST_PRESENT;
    return OK;
}

// NOLINTNEXTLINE(misc-no-recursion): an aggregate in an aggregate is refused
static int bind_aggregate_call(struct binder *b, const struct expr *e, enum bind_stage stage,
                               enum agg_kind kind, struct bound **ret)
{
    bool two = kind == AGG_LAST && str_equal_nocase(e->name, "last_value");
    bool above = kind == AGG_TIMEABOVE;
    double threshold = 0;
    struct bound *arg = NULL;
    int err = args_count_check(b, e, above ? 2 : 1, two || above ? 2 : 1);
    if (err)
        return err;
    if (b->in_aggregate)
        return bind_error(b, ERR_INVALID, e, "an aggregate cannot be inside another");
    if (stage == BIND_ROW) {
        return bind_error(b, ERR_INVALID, e,
                          b->out->grouped
                              ? "WHERE and GROUP BY look at one row at a time; "
                                "what looks at %.*s() belongs to HAVING"
                              : "%.*s() needs a window: GROUP BY TUMBLINGWINDOW(ss, 10)",
                          (int)e->name.len, (const char *)e->name.ptr);
    }
    err = two ? last_value_flag(b, e, &kind) : above ? threshold_bind(b, e, &threshold) : OK;
    if (err)
        return err;
    if (bind_is_profile(e->args[0]))
        return bind_profile(b, e->args[0], kind, threshold, ret);
    if (e->args[0]->kind == EXPR_STAR) {
        if (kind != AGG_COUNT)
            return bind_error(b, ERR_INVALID, e, "only count takes *");
        return bind_aggregate(b, e, AGG_COUNT_ROWS, NULL, ret);
    }
    b->in_aggregate = true;
    err = bind_expr(b, e->args[0], BIND_ROW, &arg);
    b->in_aggregate = false;
    return err ? err : aggregate_bind(b, e, kind, threshold, arg, ret);
}

/* --------------------------------------------------------------------------- rows and windows */

/* raw(tag), quality(tag): the argument is a column, not an expression. */
static int bind_stored(struct binder *b, const struct expr *e, enum bind_stage stage,
                       enum input_kind kind, struct bound **ret)
{
    struct bound *row = NULL;
    int err = args_count_check(b, e, 1, 1);
    if (!err && e->args[0]->kind != EXPR_COLUMN)
        err = bind_error(b, ERR_TYPE, e->args[0], "%.*s needs the name of a column",
                         (int)e->name.len, (const char *)e->name.ptr);
    if (!err)
        err = bind_input(b, kind, e->args[0], e->args[0]->name, &row);
    if (err || stage == BIND_ROW) {
        *ret = row;
        return err;
    }
    return bind_aggregate(b, e, AGG_FIRST_ROW, row, ret);
}

/* Milliseconds, as eKuiper's; the row's time in the row program, the window's in the other. */
static int bind_time_ms(struct binder *b, const struct expr *e, enum bind_stage stage,
                        enum group_input_kind kind, struct bound **ret)
{
    struct bound *args[2] = {NULL, NULL};
    int err = args_count_check(b, e, 0, 0);
    if (!err && stage == BIND_GROUP)
        err = bind_group_input(b, e, (struct group_input){.kind = kind, .type = VALUE_TIMESTAMP},
                               &args[0]);
    else if (!err)
        err = bind_input(b, INPUT_TIME, e, bytes_of("ts", 2), &args[0]);
    struct bound *name = err ? NULL : bound_new(b, BOUND_CONST, VALUE_STRING, e);
    if (!name)
        return err ? err : ERR_NOMEM;
    name->value = (struct value){.type = VALUE_STRING, .bytes = bytes_of_text("bigint")};
    args[1] = name;
    *ret = bound_with(b, BOUND_CALL, VALUE_INT64, e, args, 2);
    if (!*ret)
        return ERR_NOMEM;
    (*ret)->function = function_find(bytes_of_text("cast"));
    (*ret)->group |= stage == BIND_GROUP;
    return OK;
}

static int bind_window_time(struct binder *b, const struct expr *e, enum bind_stage stage,
                            enum group_input_kind kind, struct bound **ret)
{
    if (stage == BIND_ROW || b->out->window != WINDOW_TUMBLING)
        return bind_error(b, ERR_INVALID, e,
                          "%.*s() needs a window: GROUP BY TUMBLINGWINDOW(ss, 10)",
                          (int)e->name.len, (const char *)e->name.ptr);
    return bind_time_ms(b, e, stage, kind, ret);
}

/* ------------------------------------------------------------------------------------------ call
 */

static int unknown_function(struct binder *b, const struct expr *e)
{
    char name[64];
    size_t n = e->name.len < sizeof name ? e->name.len : sizeof name - 1;
    for (size_t i = 0; i < n; i++)
        name[i] =
            (char)(e->name.ptr[i] | (e->name.ptr[i] >= 'A' && e->name.ptr[i] <= 'Z' ? 32 : 0));
    name[n] = 0;
    const char *best = NULL;
    unsigned best_distance = 3;
    const struct function *f;
    for (size_t i = 0; (f = function_at(i)) != NULL; i++) {
        unsigned d = str_distance(name, f->name);
        if (d >= best_distance)
            continue;
        best = f->name;
        best_distance = d;
    }
    return bind_error(b, ERR_NOT_FOUND, e, "there is no function %s%s%s%s", name,
                      best ? "; did you mean " : "", best ? best : "", best ? "?" : "");
}

/* What is neither function nor aggregate. False: none of these. */
// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static bool bind_special(struct binder *b, const struct expr *e, enum bind_stage stage,
                         struct bound **ret, int *ret_err)
{
    if (str_equal_nocase(e->name, "lookup"))
        *ret_err = bind_lookup(b, e, stage, ret);
    else if (str_equal_nocase(e->name, "raw"))
        *ret_err = bind_stored(b, e, stage, INPUT_RAW, ret);
    else if (str_equal_nocase(e->name, "quality"))
        *ret_err = bind_stored(b, e, stage, INPUT_QUALITY, ret);
    else if (str_equal_nocase(e->name, "event_time"))
        *ret_err = bind_time_ms(b, e, stage, GROUP_TIME, ret);
    else if (str_equal_nocase(e->name, "window_start"))
        *ret_err = bind_window_time(b, e, stage, GROUP_WINDOW_START, ret);
    else if (str_equal_nocase(e->name, "window_end"))
        *ret_err = bind_window_time(b, e, stage, GROUP_WINDOW_END, ret);
    else
        return false;
    return true;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
int bind_call(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret)
{
    enum agg_kind kind;
    int err = OK;
    const struct function *f = function_find(e->name);
    if (e->over)
        return bind_error(b, ERR_UNSUPPORTED, e, "OVER (…) is not there yet");
    if (f)
        return bind_function(b, e, stage, f, ret);
    if (aggregate_find(e->name, &kind))
        return bind_aggregate_call(b, e, stage, kind, ret);
    if (bind_special(b, e, stage, ret, &err))
        return err;
    return bind_unit(b, e, ret, &err) ? err : unknown_function(b, e);
}
