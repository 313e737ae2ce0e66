/* Binding a map to a struct by its option table. See option.h.
 *
 * Each type has one row in a table of binders, which turns a scalar's text into the stored value;
 * defaults go the same way as what people write, so a default that breaks its own rule is found by
 * the first test that binds an empty map.
 */
#include "config/option.h"

#include "base/str.h"
#include "model/topic.h"

#include <assert.h>
#include <stdio.h>

#define LIKE_DISTANCE_MAX 3

struct binding {
    const struct option *option;
    const struct tree *at; /* the value, or the map when a default is bound */
    struct arena *arena;
    void *to;
    struct diag *diag;
};

typedef int (*bind_fn)(const struct binding *b, const char *text);

struct option_type_info {
    const char *name; /* in messages: "must be …" */
    const char *example;
    bind_fn bind; /* NULL: not a scalar */
};

static int bind_bool(const struct binding *b, const char *text);
static int bind_int(const struct binding *b, const char *text);
static int bind_uint(const struct binding *b, const char *text);
static int bind_double(const struct binding *b, const char *text);
static int bind_text(const struct binding *b, const char *text);
static int bind_name(const struct binding *b, const char *text);
static int bind_duration(const struct binding *b, const char *text);
static int bind_size(const struct binding *b, const char *text);
static int bind_enum(const struct binding *b, const char *text);

static const struct option_type_info type_infos[OPTION_TYPE_COUNT] = {
    [OPTION_BOOL] = {"true or false", "true", bind_bool},
    [OPTION_INT] = {"a whole number", "10", bind_int},
    [OPTION_UINT] = {"a whole number from 0", "10", bind_uint},
    [OPTION_DOUBLE] = {"a number", "0.5", bind_double},
    [OPTION_TEXT] = {"a text", "text", bind_text},
    [OPTION_NAME] = {"a name", "line1", bind_name},
    [OPTION_DURATION] = {"a duration with its unit (us, ms, s, m, h, d)", "250ms", bind_duration},
    [OPTION_SIZE] = {"a size (a number, or with k, M, G)", "64M", bind_size},
    [OPTION_ENUM] = {"one of", "", bind_enum},
    [OPTION_TREE] = {"a map or a list", "", NULL},
    [OPTION_TEXT_LIST] = {"a list of texts", "[a, b]", NULL},
};

/* ----------------------------------------------------------------------------------- texts of it
 */

int option_type_print(const struct option *option, struct buf *out)
{
    int err = buf_append_text(out, type_infos[option->type].name);
    if (option->type != OPTION_ENUM)
        return err;
    for (size_t i = 0; option->choices[i]; i++)
        err = buf_printf(out, "%s %s", i ? "," : "", option->choices[i]);
    return err;
}

/* A limit as a person writes it. */
static void limit_print(const struct option *option, int64_t limit, struct buf *out)
{
    static const struct {
        int64_t factor;
        const char *unit;
    } durations[] = {{86400000000, "d"}, {3600000000, "h"}, {60000000, "m"},
                     {1000000, "s"},     {1000, "ms"},      {1, "us"}},
      sizes[] = {{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "k"}, {1, ""}};

    bool duration = option->type == OPTION_DURATION;
    if ((!duration && option->type != OPTION_SIZE) || limit == 0) {
        (void)buf_printf(out, "%lld", (long long)limit);
        return;
    }
    size_t i = 0;
    while (limit % (duration ? durations[i].factor : sizes[i].factor) != 0)
        i++;
    (void)buf_printf(out, "%lld%s",
                     (long long)(limit / (duration ? durations[i].factor : sizes[i].factor)),
                     duration ? durations[i].unit : sizes[i].unit);
}

static bool has_limits(const struct option *o)
{
    return o->min != 0 || o->max != 0;
}

static void range_print(const struct option *o, struct buf *out)
{
    (void)buf_append_text(out, "from ");
    limit_print(o, o->min, out);
    if (o->max == 0 && o->min > 0)
        return;
    (void)buf_append_text(out, " to ");
    limit_print(o, o->max, out);
}

static int must_be(const struct binding *b, int err, const char *text)
{
    struct buf kind = {0};
    (void)option_type_print(b->option, &kind);
    if (has_limits(b->option)) {
        (void)buf_append_text(&kind, " ");
        range_print(b->option, &kind);
    }
    const char *example = type_infos[b->option->type].example;
    int rc = tree_error(b->diag, err, b->at, "%s must be %s%s%s, not \"%.80s\"", b->option->name,
                        buf_text(&kind), *example ? ", like " : "", example, text);
    buf_fini(&kind);
    return rc;
}

static int out_of_range(const struct binding *b, const char *text)
{
    struct buf range = {0};
    range_print(b->option, &range);
    int rc = tree_error(b->diag, ERR_RANGE, b->at, "%s is %.80s, but must be %s", b->option->name,
                        text, buf_text(&range));
    buf_fini(&range);
    return rc;
}

/* ----------------------------------------------------------------------------------------- types
 */

static bool outside(const struct option *o, double v)
{
    if (!has_limits(o))
        return false;
    bool open = o->max == 0 && o->min > 0;
    return !(v >= (double)o->min) || (!open && !(v <= (double)o->max));
}

static bool outside_i64(const struct option *o, int64_t v)
{
    bool open = o->max == 0 && o->min > 0;
    return has_limits(o) && (v < o->min || (!open && v > o->max));
}

static bool outside_u64(const struct option *o, uint64_t v)
{
    if (v > INT64_MAX)
        return has_limits(o) && !(o->max == 0 && o->min > 0);
    return outside_i64(o, (int64_t)v);
}

static int bind_bool(const struct binding *b, const char *text)
{
    bool v = strcmp(text, "true") == 0;
    if (!v && strcmp(text, "false") != 0)
        return must_be(b, ERR_TYPE, text);
    *(bool *)b->to = v;
    return OK;
}

static int bind_int(const struct binding *b, const char *text)
{
    int64_t v;
    int err = str_to_i64(bytes_of_text(text), &v);
    if (err)
        return must_be(b, err == ERR_RANGE ? ERR_RANGE : ERR_TYPE, text);
    if (outside_i64(b->option, v))
        return out_of_range(b, text);
    *(int64_t *)b->to = v;
    return OK;
}

static int bind_uint(const struct binding *b, const char *text)
{
    uint64_t v;
    int err = str_to_u64(bytes_of_text(text), &v);
    if (err)
        return must_be(b, err == ERR_RANGE ? ERR_RANGE : ERR_TYPE, text);
    if (outside_u64(b->option, v))
        return out_of_range(b, text);
    *(uint64_t *)b->to = v;
    return OK;
}

static int bind_double(const struct binding *b, const char *text)
{
    double v;
    if (str_to_double(bytes_of_text(text), &v) != OK)
        return must_be(b, ERR_TYPE, text);
    if (outside(b->option, v))
        return out_of_range(b, text);
    *(double *)b->to = v;
    return OK;
}

static int bind_text(const struct binding *b, const char *text)
{
    return option_secrets(b->arena, b->at, text, b->to, b->diag);
}

static int bind_name(const struct binding *b, const char *text)
{
    if (!name_is_valid(bytes_of_text(text))) {
        return tree_error(b->diag, ERR_INVALID, b->at,
                          "%s \"%.80s\" is not a name: 1 to 127 bytes without spaces and / + # . "
                          ": \"",
                          b->option->name, text);
    }
    *(const char **)b->to = text;
    return OK;
}

static int bind_duration(const struct binding *b, const char *text)
{
    int64_t v;
    uint64_t bare;
    int err = str_to_duration_us(bytes_of_text(text), &v);
    if (err && str_to_u64(bytes_of_text(text), &bare) == OK)
        return tree_error(b->diag, ERR_TYPE, b->at,
                          "%s is %.40s without a unit: write %.40sms or %.40ss", b->option->name,
                          text, text, text);
    if (err)
        return must_be(b, err == ERR_RANGE ? ERR_RANGE : ERR_TYPE, text);
    if (outside_i64(b->option, v))
        return out_of_range(b, text);
    *(int64_t *)b->to = v;
    return OK;
}

static int bind_size(const struct binding *b, const char *text)
{
    uint64_t v;
    int err = str_to_size(bytes_of_text(text), &v);
    if (err)
        return must_be(b, err == ERR_RANGE ? ERR_RANGE : ERR_TYPE, text);
    if (outside_u64(b->option, v))
        return out_of_range(b, text);
    *(uint64_t *)b->to = v;
    return OK;
}

static const char *choice_like(const struct option *o, const char *text)
{
    const char *best = NULL;
    unsigned least = LIKE_DISTANCE_MAX;
    for (size_t i = 0; o->choices[i]; i++) {
        unsigned d = str_distance(o->choices[i], text);
        if (d < least) {
            least = d;
            best = o->choices[i];
        }
    }
    return best;
}

static int bind_enum(const struct binding *b, const char *text)
{
    for (int i = 0; b->option->choices[i]; i++) {
        if (strcmp(b->option->choices[i], text) == 0) {
            *(int *)b->to = i;
            return OK;
        }
    }
    struct buf kind = {0};
    (void)option_type_print(b->option, &kind);
    const char *like = choice_like(b->option, text);
    int rc = tree_error(b->diag, ERR_INVALID, b->at, "%s must be %s, not \"%.80s\"%s%s%s",
                        b->option->name, buf_text(&kind), text, like ? "; did you mean " : "",
                        like ? like : "", like ? "?" : "");
    buf_fini(&kind);
    return rc;
}

static int bind_text_list(const struct binding *b, const struct tree *t)
{
    bool list = t->kind == TREE_LIST;
    uint32_t count = list ? t->count : 1;
    const char **items = arena_array(b->arena, count, sizeof *items);
    if (!items)
        return tree_error(b->diag, ERR_NOMEM, t, "%s", err_text(ERR_NOMEM));
    uint32_t n = 0;
    for (const struct tree *c = list ? t->first : t; c; c = list ? c->next : NULL) {
        if (c->kind != TREE_TEXT)
            return tree_error(b->diag, ERR_TYPE, c, "%s must be a list of texts, but here is %s",
                              b->option->name, tree_kind_name(c->kind));
        int err = option_secrets(b->arena, c, tree_text(c), &items[n++], b->diag);
        if (err)
            return err;
    }
    *(struct option_texts *)b->to = (struct option_texts){items, count};
    return OK;
}

/* ----------------------------------------------------------------------------------------- table
 */

const struct option *option_find(const struct option *table, const char *name)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}

const struct option *option_like(const struct option *table, const char *name)
{
    const struct option *best = NULL;
    unsigned least = LIKE_DISTANCE_MAX;
    for (; table->name; table++) {
        unsigned d = str_distance(table->name, name);
        /* In a short name three changes make any word out of any other. */
        if (d < least && d < strlen(table->name)) {
            least = d;
            best = table;
        }
    }
    return best;
}

static int unknown_key(const struct option *table, const struct tree *t, struct diag *diag)
{
    const struct option *like = option_like(table, t->key);
    if (like)
        return tree_key_error(diag, ERR_UNKNOWN_KEY, t, "unknown key \"%.80s\"; did you mean %s?",
                              t->key, like->name);
    struct buf known = {0};
    for (const struct option *o = table; o->name; o++) {
        if (!(o->flags & OPTION_HIDDEN))
            (void)buf_printf(&known, "%s%s", known.len ? ", " : "", o->name);
    }
    int err = tree_key_error(diag, ERR_UNKNOWN_KEY, t, "unknown key \"%.80s\"; %s%s", t->key,
                             known.len ? "known here: " : "nothing is set here: {}",
                             known.len ? buf_text(&known) : "");
    buf_fini(&known);
    return err;
}

static int keys_check(const struct option *table, const struct tree *map, struct diag *diag)
{
    TREE_EACH(t, map)
    {
        if (!option_find(table, t->key))
            return unknown_key(table, t, diag);
    }
    return OK;
}

static int bind_value(const struct binding *b, const struct tree *t)
{
    const struct option *o = b->option;
    bind_fn bind = type_infos[o->type].bind;
    if (o->type == OPTION_TREE) {
        *(const struct tree **)b->to = t;
        return OK;
    }
    if (o->type == OPTION_TEXT_LIST && t->kind != TREE_MAP)
        return bind_text_list(b, t);
    if (!bind || t->kind != TREE_TEXT)
        return must_be(b, ERR_TYPE, t->kind == TREE_LIST ? "a list" : "a map");
    return bind(b, tree_text(t));
}

static size_t option_bytes(enum option_type type)
{
    static const size_t sizes[OPTION_TYPE_COUNT] = {
        sizeof(bool),
        sizeof(int64_t),
        sizeof(uint64_t),
        sizeof(double),
        sizeof(const char *),
        sizeof(const char *),
        sizeof(int64_t),
        sizeof(uint64_t),
        sizeof(int),
        sizeof(void *),
        sizeof(struct option_texts),
    };
    return sizes[type];
}

/* A list's default is one item. */
static int bind_default_list(const struct binding *b, const char *text)
{
    const char **items = arena_array(b->arena, 1, sizeof *items);
    if (!items)
        return tree_error(b->diag, ERR_NOMEM, b->at, "%s", err_text(ERR_NOMEM));
    items[0] = text;
    *(struct option_texts *)b->to = (struct option_texts){items, 1};
    return OK;
}

static int bind_default(const struct binding *b)
{
    const struct option *o = b->option;
    memset(b->to, 0, option_bytes(o->type));
    if (o->flags & OPTION_REQUIRED)
        return tree_error(b->diag, ERR_INVALID, b->at, "%s is missing (%s)", o->name, o->doc);
    if (o->default_text && o->type == OPTION_TEXT_LIST)
        return bind_default_list(b, o->default_text);
    if (!o->default_text || !type_infos[o->type].bind)
        return OK;
    return type_infos[o->type].bind(b, o->default_text);
}

int option_bind(const struct option *table, const struct tree *map, struct arena *arena, void *out,
                struct diag *diag)
{
    if (map && map->kind != TREE_MAP && map->kind != TREE_NULL)
        return tree_error(diag, ERR_TYPE, map,
                          "here must be a map (lines of \"key: value\"), not a %s",
                          tree_kind_name(map->kind));
    int err = keys_check(table, map, diag);
    for (const struct option *o = table; !err && o->name; o++) {
        assert(o->type != OPTION_ENUM || o->choices);
        const struct tree *t = tree_get(map, o->name);
        bool given = t && t->kind != TREE_NULL;
        struct binding b = {o, given ? t : map, arena, (char *)out + o->offset, diag};
        err = given ? bind_value(&b, t) : bind_default(&b);
    }
    return err;
}
