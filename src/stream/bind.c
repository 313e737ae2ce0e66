/* The clauses of a statement against the catalogue. See bound.h. */
#include "base/str.h"
#include "stream/bind_priv.h"
#include "stream/stream.h"

#include <stdio.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ FROM
 */

static struct expr place_of(uint32_t line, uint32_t column)
{
    return (struct expr){.line = line, .column = column};
}

static int bind_stream(struct binder *b, struct bytes name, const struct expr *at, const char *what,
                       struct stream **ret)
{
    char text[256];
    *ret = catalogue_stream_find(b->catalogue, name);
    if (*ret)
        return OK;
    snprintf(text, sizeof text, "%.*s", (int)name.len, (const char *)name.ptr);
    const char *like = catalogue_stream_like(b->catalogue, text);
    return bind_error(b, ERR_NOT_FOUND, at, "there is no %s %s%s%s%s", what, text,
                      like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

static int bind_from(struct binder *b)
{
    const struct select *s = b->select;
    struct expr at = place_of(s->from.line, s->from.column);
    if (s->join_count) {
        at = place_of(s->joins[0].source.line, s->joins[0].source.column);
        return bind_error(b, ERR_UNSUPPORTED, &at, "JOIN is not there yet");
    }
    int err = bind_stream(b, s->from.name, &at, "stream", &b->out->from);
    if (!err)
        b->out->schema = b->out->from->schema;
    return err;
}

/* ---------------------------------------------------------------------------------------- window
 */

static int window_unit_us(struct binder *b, const struct expr *e, int64_t *ret)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"ms", 1000},
                 {"ss", 1000 * INT64_C(1000)},
                 {"mi", 60 * INT64_C(1000000)},
                 {"hh", 3600 * INT64_C(1000000)},
                 {"dd", 86400 * INT64_C(1000000)}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (e->kind != EXPR_COLUMN || !str_equal_nocase(e->name, units[i].name))
            continue;
        *ret = units[i].us;
        return OK;
    }
    return bind_error(b, ERR_SYNTAX, e, "a window's unit is one of ms, ss, mi, hh, dd");
}

#define WINDOW_US_MAX (366 * 86400 * INT64_C(1000000))

static int bind_tumbling(struct binder *b, const struct select_window *w)
{
    struct expr at = place_of(w->line, w->column);
    int64_t unit = 0;
    if (w->arg_count != 2)
        return bind_error(b, ERR_INVALID, &at, "write TUMBLINGWINDOW(ss, 10): a unit and a length");
    int err = window_unit_us(b, w->args[0], &unit);
    if (err)
        return err;
    const struct expr *length = w->args[1];
    if (length->kind != EXPR_LITERAL || length->value.type != VALUE_INT64 ||
        length->value.i64 <= 0 || length->value.i64 > WINDOW_US_MAX / unit)
        return bind_error(b, ERR_RANGE, length,
                          "a window's length is a whole number above 0 and at most a year");
    b->out->window = WINDOW_TUMBLING;
    b->out->window_us = unit * length->value.i64;
    return OK;
}

static int bind_unit_window(struct binder *b, const struct select_window *w)
{
    struct expr at = place_of(w->line, w->column);
    char name[256];
    bool texts = w->arg_count == 1 || w->arg_count == 2;
    for (uint32_t i = 0; i < w->arg_count && texts; i++)
        texts = w->args[i]->kind == EXPR_LITERAL && w->args[i]->value.type == VALUE_STRING;
    if (!texts)
        return bind_error(b, ERR_INVALID, &at,
                          "write UNITWINDOW('track') or UNITWINDOW('track', 'station')");
    struct bytes track = w->args[0]->value.bytes;
    int len = snprintf(name, sizeof name, STREAM_PRESENCE_PREFIX "%.*s", (int)track.len,
                       (const char *)track.ptr);
    if (len < 0 || (size_t)len >= sizeof name)
        return bind_error(b, ERR_LIMIT, w->args[0], "this name is too long for a track");
    if (!catalogue_stream_find(b->catalogue, bytes_of(name, (size_t)len)))
        return bind_error(b, ERR_NOT_FOUND, w->args[0], "there is no track %.*s", (int)track.len,
                          (const char *)track.ptr);
    b->out->presence = catalogue_stream_find(b->catalogue, bytes_of(name, (size_t)len));
    b->out->window = WINDOW_UNIT;
    if (w->arg_count == 2)
        b->out->station = w->args[1]->value.bytes;
    return OK;
}

static int bind_window(struct binder *b)
{
    const struct select_window *w = &b->select->window;
    struct expr at = place_of(w->line, w->column);
    if (!w->name.ptr)
        return OK;
    b->out->grouped = true;
    if (w->triggered)
        return bind_error(b, ERR_UNSUPPORTED, &at, "OVER (WHEN …) is not there yet");
    if (str_equal_nocase(w->name, "TUMBLINGWINDOW"))
        return bind_tumbling(b, w);
    if (str_equal_nocase(w->name, "UNITWINDOW"))
        return bind_unit_window(b, w);
    return bind_error(b, ERR_UNSUPPORTED, &at,
                      "%.*s is not there yet: TUMBLINGWINDOW and UNITWINDOW are", (int)w->name.len,
                      (const char *)w->name.ptr);
}

/* ------------------------------------------------------------------------- WHERE, GROUP BY, HAVING
 */

static int bind_condition(struct binder *b, const struct expr *e, enum bind_stage stage,
                          struct bound **ret)
{
    int err = bind_expr(b, e, stage, ret);
    if (err || (*ret)->type == VALUE_BOOL || (*ret)->type == VALUE_ANY ||
        (*ret)->type == VALUE_NULL)
        return err;
    return bind_error(b, ERR_TYPE, e, "a condition is needed here, this is a %s",
                      value_type_name((*ret)->type));
}

/* WHERE, and the window's FILTER (WHERE …), which means the same for these windows. */
static int bind_where(struct binder *b)
{
    const struct expr *where = b->select->where;
    const struct expr *filter = b->select->window.filter;
    if (where && filter) {
        struct expr *args[2] = {b->select->where, b->select->window.filter};
        struct expr *both = arena_alloc(b->arena, sizeof *both);
        if (!both)
            return ERR_NOMEM;
        *both = (struct expr){.kind = EXPR_BINARY,
                              .op = OP_AND,
                              .line = where->line,
                              .column = where->column,
                              .arg_count = 2};
        both->args = arena_array(b->arena, 2, sizeof(struct expr *));
        if (!both->args)
            return ERR_NOMEM;
        memcpy(both->args, args, sizeof args);
        return bind_condition(b, both, BIND_ROW, &b->out->where);
    }
    if (!where && !filter)
        return OK;
    return bind_condition(b, where ? where : filter, BIND_ROW, &b->out->where);
}

static int bind_keys(struct binder *b)
{
    const struct select *s = b->select;
    if (s->group_count && b->out->window == WINDOW_NONE)
        return bind_error(b, ERR_UNSUPPORTED, s->group[0],
                          "GROUP BY needs a window beside the columns: TUMBLINGWINDOW(ss, 10)");
    if (s->group_count && b->out->window == WINDOW_UNIT)
        return bind_error(b, ERR_INVALID, s->group[0],
                          "UNITWINDOW groups by unit and stands alone in GROUP BY");
    b->out->keys = arena_array(b->arena, s->group_count + 1u, sizeof(struct bound *));
    int err = b->out->keys ? OK : ERR_NOMEM;
    for (uint32_t i = 0; i < s->group_count && !err; i++)
        err = bind_expr(b, s->group[i], BIND_ROW, &b->out->keys[i]);
    b->out->key_count = s->group_count;
    return err;
}

static int bind_tail(struct binder *b)
{
    const struct select *s = b->select;
    if (s->sort_count)
        return bind_error(b, ERR_UNSUPPORTED, s->sort[0].expr, "ORDER BY is not there yet");
    if (s->limit)
        return bind_error(b, ERR_UNSUPPORTED, s->limit, "LIMIT is not there yet");
    if (!s->having)
        return OK;
    if (!b->out->grouped)
        return bind_error(b, ERR_INVALID, s->having,
                          "HAVING looks at groups and needs a window: use WHERE");
    return bind_condition(b, s->having, BIND_GROUP, &b->out->having);
}

/* ----------------------------------------------------------------------------------------- items
 */

static const char *item_name(struct binder *b, const struct select_item *item)
{
    const struct expr *e = item->expr;
    if (item->alias.ptr)
        return arena_copy(b->arena, item->alias);
    if (e->kind == EXPR_COLUMN)
        return arena_copy(b->arena, e->name);
    if (e->kind != EXPR_CALL)
        return arena_printf(b->arena, "kuiper_field_%u", b->fields++);
    char *name = arena_copy(b->arena, e->name);
    for (char *c = name; c && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    return name;
}

static int item_add(struct binder *b, const struct expr *at, struct bound_item item)
{
    struct bound_select *o = b->out;
    if (!item.name)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < o->item_count; i++) {
        if (strcmp(o->items[i].name, item.name) == 0) {
            return bind_error(b, ERR_EXISTS, at,
                              "two columns are called %s: give one another name with AS",
                              item.name);
        }
    }
    o->items = arena_room(b->arena, o->items, o->item_count, &b->items_cap, sizeof item);
    if (!o->items)
        return ERR_NOMEM;
    o->items[o->item_count++] = item;
    return OK;
}

/* A column that is not computed with goes through as it is stored. */
static bool item_passes(const struct binder *b, const struct bound *x, const struct expr *e)
{
    return !b->out->grouped && e->kind == EXPR_COLUMN && x->kind == BOUND_INPUT &&
           b->out->inputs[x->input].kind == INPUT_COLUMN;
}

static int bind_item(struct binder *b, uint32_t at)
{
    const struct select_item *item = &b->select->items[at];
    struct bind_alias *alias = &b->aliases[at];
    enum bind_stage stage = b->out->grouped ? BIND_GROUP : BIND_ROW;
    struct bound **kept = stage == BIND_ROW ? &alias->row : &alias->group;
    int err = OK;
    if (!*kept) {
        alias->open = item->alias.ptr != NULL;
        err = bind_expr(b, item->expr, stage, kept);
        alias->open = false;
    }
    if (err || item->invisible)
        return err;
    struct bound *x = *kept;
    struct bound_item out = {.name = item_name(b, item), .expr = x, .column = PLAN_NONE};
    if (item_passes(b, x, item->expr)) {
        out.expr = NULL;
        out.column = b->out->inputs[x->input].column;
        out.column_name = arena_copy(b->arena, b->out->inputs[x->input].name);
    }
    return item_add(b, item->expr, out);
}

static bool star_leaves_out(const struct binder *b, const struct expr *star, const char *name)
{
    for (uint32_t i = 0; i < star->except_count; i++)
        if (str_equal(star->except[i], name))
            return true;
    for (uint32_t i = 0; i < star->replace_count; i++)
        if (str_equal(star->replace[i].alias, name))
            return true;
    for (uint32_t i = 0; i < b->select->item_count; i++) {
        const struct select_item *item = &b->select->items[i];
        if (item->alias.ptr ? str_equal(item->alias, name)
                            : item->expr->kind == EXPR_COLUMN && str_equal(item->expr->name, name))
            return true;
    }
    return false;
}

static int star_column(struct binder *b, const struct expr *star, uint32_t column)
{
    const struct field *f = &b->out->schema->fields[column];
    struct bound_item out = {
        .name = f->name, .column = column, .column_name = arena_text(b->arena, f->name)};
    if (star_leaves_out(b, star, f->name))
        return OK;
    if (b->out->grouped) {
        struct bound *row = NULL;
        int err = bind_input(b, INPUT_COLUMN, star, bytes_of_text(f->name), &row);
        if (!err)
            err = bind_aggregate(b, star, AGG_FIRST_ROW, row, &out.expr);
        if (err)
            return err;
    }
    return item_add(b, star, out);
}

static int star_replacements(struct binder *b, const struct expr *star)
{
    int err = OK;
    for (uint32_t i = 0; i < star->replace_count && !err; i++) {
        struct bound_item out = {.name = arena_copy(b->arena, star->replace[i].alias)};
        err =
            bind_expr(b, star->replace[i].expr, b->out->grouped ? BIND_GROUP : BIND_ROW, &out.expr);
        if (!err)
            err = item_add(b, star, out);
    }
    return err;
}

/* Names a schemaless star does not bring: what was excluded, and what stands beside it. */
static int star_schemaless(struct binder *b, const struct expr *star)
{
    struct bound_select *o = b->out;
    uint32_t max = star->except_count + star->replace_count;
    if (o->grouped)
        return bind_error(b, ERR_UNSUPPORTED, star,
                          "* in a window needs a stream whose columns are declared");
    o->star = true;
    o->star_except = arena_array(b->arena, max + 1u, sizeof(struct bytes));
    if (!o->star_except)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < star->except_count; i++)
        o->star_except[o->star_except_count++] = star->except[i];
    return star_replacements(b, star);
}

static int bind_star(struct binder *b, const struct expr *star)
{
    if (b->out->window == WINDOW_UNIT)
        return bind_error(b, ERR_INVALID, star,
                          "* has no meaning with UNITWINDOW: say what of each signal, as in "
                          "max(force)");
    if (!b->out->schema)
        return star_schemaless(b, star);
    int err = OK;
    for (uint32_t i = 0; i < b->out->schema->count && !err; i++)
        err = star_column(b, star, i);
    return err ? err : star_replacements(b, star);
}

static int bind_items(struct binder *b)
{
    int err = OK;
    for (uint32_t i = 0; i < b->select->item_count && !err; i++) {
        const struct expr *e = b->select->items[i].expr;
        err = e->kind == EXPR_STAR ? bind_star(b, e) : bind_item(b, i);
    }
    if (!err && b->out->item_count == 0 && !b->out->star) {
        err = bind_error(b, ERR_INVALID, b->select->items[0].expr, "no column is left to select");
    }
    return err;
}

int select_bind(struct arena *arena, const struct select *s, const struct catalogue *catalogue,
                struct bound_select *ret, struct diag *diag)
{
    memset(ret, 0, sizeof *ret);
    struct binder b = {
        .arena = arena, .diag = diag, .catalogue = catalogue, .select = s, .out = ret};
    b.aliases = arena_array(arena, s->item_count + 1u, sizeof *b.aliases);
    if (!b.aliases)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->item_count; i++)
        b.aliases[i].item = &s->items[i];
    int err = bind_from(&b);
    if (!err)
        err = bind_window(&b);
    if (!err)
        err = bind_where(&b);
    if (!err)
        err = bind_keys(&b);
    if (!err)
        err = bind_items(&b);
    return err ? err : bind_tail(&b);
}
