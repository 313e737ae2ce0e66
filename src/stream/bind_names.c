/* Names: columns, aliases, inputs; and what to say when there is no such name. */
#include "base/str.h"
#include "stream/bind_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BIND_LIKE_DISTANCE_MAX 3

/* --------------------------------------------------------------------------------------- helpers
 */

int bind_error(struct binder *b, int err, const struct expr *at, const char *format, ...)
{
    char text[DIAG_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return diag_set(b->diag, err, at->line, at->column, "%s", text);
}

struct bound *bound_with(struct binder *b, enum bound_kind kind, enum value_type type,
                         const struct expr *at, struct bound *const *args, uint32_t count)
{
    struct bound *x = arena_alloc(b->arena, sizeof *x);
    if (!x)
        return NULL;
    x->kind = kind;
    x->type = type;
    x->line = at->line;
    x->column = at->column;
    x->reg = PLAN_NONE;
    x->arg_count = count;
    x->args = count ? arena_array(b->arena, count, sizeof(struct bound *)) : NULL;
    if (count && !x->args)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        x->args[i] = args[i];
        x->may_fail |= args[i]->may_fail;
        x->group |= args[i]->group;
    }
    return x;
}

struct bound *bound_new(struct binder *b, enum bound_kind kind, enum value_type type,
                        const struct expr *at)
{
    return bound_with(b, kind, type, at, NULL, 0);
}

/* --------------------------------------------------------------------------------------- columns
 */

/* The column most like `name`, NULL if none is near. */
static const char *column_like(const struct schema *s, const char *name)
{
    const char *best = NULL;
    unsigned best_distance = BIND_LIKE_DISTANCE_MAX + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        unsigned d = str_distance(name, s->fields[i].name);
        if (d >= best_distance || d >= strlen(name))
            continue;
        best = s->fields[i].name;
        best_distance = d;
    }
    return best;
}

/* "a, b, c", cut with "…" where the space ends. */
static void columns_list(const struct schema *s, char *out, size_t size)
{
    size_t len = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const char *name = s->fields[i].name;
        assert(name);
        if (len + strlen(name) + 8 > size) {
            snprintf(out + len, size - len, ", …");
            return;
        }
        len += (size_t)snprintf(out + len, size - len, "%s%s", i ? ", " : "", name);
    }
}

int bind_find_column(struct binder *b, const struct expr *at, struct bytes name, uint32_t *ret)
{
    const struct schema *s = b->out->schema;
    *ret = PLAN_NONE;
    if (!s)
        return OK;
    int32_t found = schema_find(s, name);
    if (found >= 0) {
        *ret = (uint32_t)found;
        return OK;
    }
    char list[320];
    char hint[FIELD_NAME_BYTES_MAX + 32] = "";
    char wanted[FIELD_NAME_BYTES_MAX + 1];
    snprintf(wanted, sizeof wanted, "%.*s", (int)name.len, (const char *)name.ptr);
    const char *like = column_like(s, wanted);
    if (like)
        snprintf(hint, sizeof hint, "; did you mean %s?", like);
    columns_list(s, list, sizeof list);
    return bind_error(b, ERR_NOT_FOUND, at, "%s has no column %s%s It has: ts%s%s",
                      b->out->from->name, wanted, like ? hint : ".", s->count ? ", " : "", list);
}

/* How people, and so SQL, see a stored column. */
static enum value_type shown_type(const struct field *f)
{
    if (field_is_scaled(f))
        return VALUE_DOUBLE;
    if (f->type == VALUE_BYTES && (f->flags & FIELD_TEXT))
        return VALUE_STRING;
    return f->type;
}

static enum value_type input_type(const struct binder *b, enum input_kind kind, uint32_t column)
{
    if (kind == INPUT_TIME)
        return VALUE_TIMESTAMP;
    if (kind == INPUT_QUALITY)
        return VALUE_STRING;
    if (column == PLAN_NONE)
        return VALUE_ANY;
    const struct field *f = &b->out->schema->fields[column];
    return kind == INPUT_RAW ? f->type : shown_type(f);
}

int bind_input(struct binder *b, enum input_kind kind, const struct expr *at, struct bytes name,
               struct bound **ret)
{
    struct bound_select *o = b->out;
    struct input in = {.kind = kind, .column = PLAN_NONE, .name = name};
    if (kind != INPUT_TIME) {
        int err = bind_find_column(b, at, name, &in.column);
        if (err)
            return err;
    }
    in.type = input_type(b, kind, in.column);
    uint32_t i = 0;
    while (i < o->input_count &&
           !(o->inputs[i].kind == kind && bytes_equal(o->inputs[i].name, name)))
        i++;
    if (i == o->input_count) {
        o->inputs = arena_room(b->arena, o->inputs, i, &b->inputs_cap, sizeof in);
        if (!o->inputs)
            return ERR_NOMEM;
        o->inputs[o->input_count++] = in;
    }
    struct bound *x = bound_new(b, BOUND_INPUT, in.type, at);
    if (!x)
        return ERR_NOMEM;
    x->input = i;
    *ret = x;
    return OK;
}

int bind_group_input(struct binder *b, const struct expr *at, struct group_input spec,
                     struct bound **ret)
{
    struct bound_select *o = b->out;
    uint32_t i = 0;
    while (i < o->group_input_count &&
           !(o->group_specs[i].kind == spec.kind && o->group_specs[i].index == spec.index))
        i++;
    if (i == o->group_input_count) {
        uint32_t cap = b->group_inputs_cap;
        o->group_inputs =
            arena_room(b->arena, o->group_inputs, i, &b->group_inputs_cap, sizeof *o->group_inputs);
        o->group_specs = arena_room(b->arena, o->group_specs, i, &cap, sizeof *o->group_specs);
        if (!o->group_inputs || !o->group_specs)
            return ERR_NOMEM;
        o->group_inputs[i] = (struct input){.kind = INPUT_GROUP, .type = spec.type};
        o->group_specs[i] = spec;
        o->group_input_count++;
    }
    struct bound *x = bound_new(b, BOUND_INPUT, spec.type, at);
    if (!x)
        return ERR_NOMEM;
    x->input = i;
    x->group = true;
    *ret = x;
    return OK;
}

/* --------------------------------------------------------------------------------------- aliases
 */

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static bool has_aggregate(const struct expr *e)
{
    if (e->kind == EXPR_CALL && bind_is_aggregate(e->name))
        return true;
    for (uint32_t i = 0; i < e->arg_count; i++)
        if (e->args[i] && has_aggregate(e->args[i]))
            return true;
    return false;
}

/* The item whose alias it is, unless that item is what is being bound. Inside an aggregate the
 * name of another one can only mean the column: avg(a) AS a, count(a) AS c. */
static struct bind_alias *alias_find(struct binder *b, struct bytes name)
{
    for (uint32_t i = 0; i < b->select->item_count; i++) {
        struct bind_alias *a = &b->aliases[i];
        if (!a->item->alias.ptr || !bytes_equal(a->item->alias, name))
            continue;
        if (a->open || (b->in_aggregate && has_aggregate(a->item->expr)))
            return NULL;
        return a;
    }
    return NULL;
}

static bool alias_is_open(const struct binder *b, struct bytes name)
{
    for (uint32_t i = 0; i < b->select->item_count; i++)
        if (b->aliases[i].open && bytes_equal(b->aliases[i].item->alias, name))
            return true;
    return false;
}

// NOLINTNEXTLINE(misc-no-recursion): an alias is closed to itself while it is open
static int alias_bind(struct binder *b, struct bind_alias *a, enum bind_stage stage,
                      struct bound **ret)
{
    struct bound **kept = stage == BIND_ROW ? &a->row : &a->group;
    if (!*kept) {
        a->open = true;
        int err = bind_expr(b, a->item->expr, stage, kept);
        a->open = false;
        if (err)
            return err;
    }
    *ret = *kept;
    return OK;
}

/* A qualifier must be the stream's name or its alias. */
static int qualifier_check(struct binder *b, const struct expr *e)
{
    const struct select_source *from = &b->select->from;
    if (!e->qualifier.ptr || bytes_equal(e->qualifier, from->name) ||
        (from->alias.ptr && bytes_equal(e->qualifier, from->alias)))
        return OK;
    return bind_error(b, ERR_NOT_FOUND, e, "there is no %.*s here: columns are those of %.*s",
                      (int)e->qualifier.len, (const char *)e->qualifier.ptr,
                      (int)(from->alias.ptr ? from->alias.len : from->name.len),
                      (const char *)(from->alias.ptr ? from->alias.ptr : from->name.ptr));
}

/* `ts` is the row's time where there is no column of that name. */
static bool is_row_time(const struct binder *b, const struct expr *e)
{
    const struct schema *s = b->out->schema;
    return s && str_equal(e->name, "ts") && schema_find(s, e->name) < 0;
}

/* A bare column beside aggregates is that of the group's first row. */
static int group_column(struct binder *b, const struct expr *e, struct bound *row,
                        struct bound **ret)
{
    if (b->out->window == WINDOW_UNIT) {
        return bind_error(b, ERR_INVALID, e,
                          "%.*s has many values while a unit is there: say which, as in max(%.*s)",
                          (int)e->name.len, (const char *)e->name.ptr, (int)e->name.len,
                          (const char *)e->name.ptr);
    }
    return bind_aggregate(b, e, AGG_FIRST_ROW, row, ret);
}

// NOLINTNEXTLINE(misc-no-recursion): through aliases alone, and those are closed to themselves
int bind_column(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret)
{
    int err = qualifier_check(b, e);
    struct bind_alias *a = err || e->qualifier.ptr ? NULL : alias_find(b, e->name);
    if (err)
        return err;
    if (a)
        return alias_bind(b, a, stage, ret);
    if (is_row_time(b, e)) {
        if (stage == BIND_GROUP)
            return bind_group_input(
                b, e, (struct group_input){.kind = GROUP_TIME, .type = VALUE_TIMESTAMP}, ret);
        return bind_input(b, INPUT_TIME, e, bytes_of("ts", 2), ret);
    }
    if (alias_is_open(b, e->name) && b->out->schema && schema_find(b->out->schema, e->name) < 0)
        return bind_error(b, ERR_INVALID, e, "%.*s is made out of itself", (int)e->name.len,
                          (const char *)e->name.ptr);
    struct bound *row = NULL;
    err = bind_input(b, INPUT_COLUMN, e, e->name, &row);
    if (err || stage == BIND_ROW) {
        *ret = row;
        return err;
    }
    return group_column(b, e, row, ret);
}
