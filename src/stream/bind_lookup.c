/* lookup('stream', 'column', key, …): a column of the row that was valid then.
 *
 * Two steps: the keys become the number of a row in the lookup's table, and the number a value. So
 * several columns of one row cost one hash and one search, and what names no row is null in all of
 * them.
 */
#include "base/str.h"
#include "model/lookup.h"
#include "stream/bind_priv.h"
#include "stream/kernels.h"

#include <string.h>

static const struct function find_function = {.name = "lookup", .kernel = kernel_lookup_find};
static const struct function column_function = {.name = "lookup", .kernel = kernel_lookup_column};

static int text_argument(struct binder *b, const struct expr *e, uint32_t i, const char *what,
                         struct bytes *ret)
{
    const struct expr *arg = e->args[i];
    if (arg->kind != EXPR_LITERAL || arg->value.type != VALUE_STRING)
        return bind_error(b, ERR_TYPE, arg, "lookup needs the %s as a text here: 'name'", what);
    *ret = arg->value.bytes;
    return OK;
}

static void names_print(struct buf *out, const char *name)
{
    (void)buf_printf(out, "%s%s", out->len ? ", " : "", name);
}

static int lookup_unknown(struct binder *b, const struct expr *at, struct bytes name)
{
    struct buf names = {0};
    const struct map *streams = &b->catalogue->streams;
    for (size_t i = 0; i < streams->count; i++) {
        const struct stream *s = streams->entries[i].value;
        if (s->lookup)
            names_print(&names, s->name);
    }
    int err = bind_error(b, ERR_NOT_FOUND, at, "there is no lookup %.*s; %s%s", (int)name.len,
                         (const char *)name.ptr,
                         names.len ? "there is " : "a stream with `lookup: true` makes one",
                         names.len ? buf_text(&names) : "");
    buf_fini(&names);
    return err;
}

static int lookup_stream(struct binder *b, const struct expr *e, const struct lookup **ret)
{
    struct bytes name = {NULL, 0};
    int err = text_argument(b, e, 0, "lookup's name", &name);
    if (err)
        return err;
    const struct stream *s = catalogue_stream_find(b->catalogue, name);
    if (!s || !s->lookup)
        return lookup_unknown(b, e->args[0], name);
    *ret = s->lookup;
    return OK;
}

static int lookup_column(struct binder *b, const struct expr *e, const struct lookup *l,
                         uint32_t *ret)
{
    struct bytes name = {NULL, 0};
    struct buf names = {0};
    int err = text_argument(b, e, 1, "column", &name);
    if (err)
        return err;
    int32_t at = schema_find(l->schema, name);
    *ret = (uint32_t)at;
    if (at >= 0)
        return OK;
    for (uint32_t i = 0; i < l->schema->count; i++)
        names_print(&names, l->schema->fields[i].name);
    err = bind_error(b, ERR_NOT_FOUND, e->args[1], "%s has no column %.*s; it has %s", l->name,
                     (int)name.len, (const char *)name.ptr, buf_text(&names));
    buf_fini(&names);
    return err;
}

/* Types whose values can be equal: numbers, texts, times, booleans. */
static int key_class(enum value_type t)
{
    static const uint8_t classes[VALUE_TYPE_COUNT] = {
        [VALUE_BOOL] = 1,   [VALUE_INT64] = 2,  [VALUE_UINT64] = 2, [VALUE_FLOAT32] = 2,
        [VALUE_DOUBLE] = 2, [VALUE_STRING] = 3, [VALUE_BYTES] = 3,  [VALUE_TIMESTAMP] = 4,
    };
    return classes[t];
}

static int keys_check(struct binder *b, const struct expr *e, const struct lookup *l,
                      struct bound *const *keys)
{
    for (uint32_t i = 0; i < l->key_count; i++) {
        const struct field *f = &l->schema->fields[l->keys[i]];
        int wanted = key_class(f->type);
        int given = key_class(keys[i]->type);
        if (wanted && given && wanted != given)
            return bind_error(b, ERR_TYPE, e->args[i + 2],
                              "the key %s of %s is a %s, this is a %s: use cast()", f->name,
                              l->name, value_type_name(f->type), value_type_name(keys[i]->type));
    }
    return OK;
}

static int count_check(struct binder *b, const struct expr *e, const struct lookup *l)
{
    struct buf names = {0};
    if (e->arg_count == l->key_count + 2)
        return OK;
    for (uint32_t i = 0; i < l->key_count; i++)
        names_print(&names, l->schema->fields[l->keys[i]].name);
    int err = bind_error(b, ERR_INVALID, e,
                         "lookup('%s', column, …) needs %u key%s in this order: %s; here %s %u",
                         l->name, l->key_count, l->key_count == 1 ? "" : "s", buf_text(&names),
                         e->arg_count == 3 ? "is" : "are", e->arg_count - 2);
    buf_fini(&names);
    return err;
}

static bool bound_is_same(const struct bound *x, const struct bound *y)
{
    return x == y || (x->kind == BOUND_INPUT && y->kind == BOUND_INPUT && x->input == y->input &&
                      x->group == y->group);
}

/* A search with the same keys that was bound before; NULL. */
static struct bound *find_before(const struct binder *b, const struct lookup *l,
                                 struct bound *const *keys, bool group)
{
    for (uint32_t i = 0; i < b->lookup_count; i++) {
        struct bound *x = b->lookups[i];
        bool same = x->lookup == l && x->group == group;
        for (uint32_t k = 0; same && k < l->key_count; k++)
            same = bound_is_same(x->args[k], keys[k]);
        if (same)
            return x;
    }
    return NULL;
}

static struct bound *find_bind(struct binder *b, const struct expr *e, const struct lookup *l,
                               struct bound *const *keys, bool group)
{
    struct bound *x = find_before(b, l, keys, group);
    if (x)
        return x;
    b->lookups =
        arena_room(b->arena, b->lookups, b->lookup_count, &b->lookups_cap, sizeof(struct bound *));
    x = b->lookups ? bound_with(b, BOUND_CALL, VALUE_INT64, e, keys, l->key_count) : NULL;
    if (!x)
        return NULL;
    x->function = &find_function;
    x->lookup = l;
    x->group |= group;
    b->lookups[b->lookup_count++] = x;
    return x;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
static int keys_bind(struct binder *b, const struct expr *e, enum bind_stage stage,
                     struct bound **keys, uint32_t count)
{
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = bind_expr(b, e->args[i + 2], stage, &keys[i]);
    return err;
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the tree, which the parser limits (SQL_DEPTH_MAX)
int bind_lookup(struct binder *b, const struct expr *e, enum bind_stage stage, struct bound **ret)
{
    const struct lookup *l = NULL;
    struct bound *keys[LOOKUP_KEYS_MAX];
    uint32_t column = 0;
    bool group = stage == BIND_GROUP;
    if (e->arg_count < 3)
        return bind_error(b, ERR_INVALID, e, "write lookup('stream', 'column', key)");
    int err = lookup_stream(b, e, &l);
    if (!err)
        err = l ? lookup_column(b, e, l, &column) : ERR_INTERNAL;
    if (!err)
        err = count_check(b, e, l);
    if (!err)
        err = keys_bind(b, e, stage, keys, l->key_count);
    if (!err)
        err = keys_check(b, e, l, keys);
    if (err)
        return err;
    struct bound *find = find_bind(b, e, l, keys, group);
    struct bound *x =
        find ? bound_with(b, BOUND_CALL, l->schema->fields[column].type, e, &find, 1) : NULL;
    if (!x)
        return ERR_NOMEM;
    x->function = &column_function;
    x->lookup = l;
    x->lookup_column = column;
    x->group |= group;
    *ret = x;
    return OK;
}
