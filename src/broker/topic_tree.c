/* The tree of topic levels. See topic_tree.h. */
#include "broker/topic_tree.h"

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "model/topic.h"

#include <assert.h>
#include <stdlib.h>

struct topic_node {
    struct map children; /* level → struct topic_node */
    struct topic_node *plus;
    struct topic_node *hash;
    void *value;
};

/* A path cut into its levels. */
struct levels {
    struct bytes at[TOPIC_LEVELS_MAX];
    size_t count;
};

static void levels_split(struct bytes path, struct levels *ret)
{
    ret->count = 0;
    do {
        assert(ret->count < TOPIC_LEVELS_MAX);
        path = str_split(path, '/', &ret->at[ret->count++]);
    } while (path.ptr);
}

/* --------------------------------------------------------------------------------------- changing
 */

static bool is_plus(struct bytes level)
{
    return level.len == 1 && level.ptr[0] == '+';
}

static bool is_hash(struct bytes level)
{
    return level.len == 1 && level.ptr[0] == '#';
}

static struct topic_node *node_child(const struct topic_node *n, struct bytes level)
{
    if (is_plus(level))
        return n->plus;
    if (is_hash(level))
        return n->hash;
    return map_find(&n->children, level);
}

static struct topic_node *node_child_make(struct topic_node *n, struct bytes level)
{
    struct topic_node *child = node_child(n, level);
    if (child)
        return child;
    child = calloc(1, sizeof *child);
    if (!child)
        return NULL;
    if (is_plus(level)) {
        n->plus = child;
    } else if (is_hash(level)) {
        n->hash = child;
    } else if (map_put(&n->children, level, child, NULL)) {
        free(child);
        return NULL;
    }
    return child;
}

static bool node_is_empty(const struct topic_node *n)
{
    return !n->value && !n->plus && !n->hash && n->children.count == 0;
}

static void node_free(struct topic_node *n)
{
    map_fini(&n->children);
    free(n);
}

/* Frees what is empty on the way down the levels, from the end. */
static void tree_prune(struct topic_tree *t, const struct levels *levels)
{
    struct topic_node *way[TOPIC_LEVELS_MAX + 1];
    size_t depth = 0;
    way[0] = t->root;
    while (depth < levels->count && way[depth]) {
        way[depth + 1] = node_child(way[depth], levels->at[depth]);
        depth++;
    }
    for (; depth > 0; depth--) {
        struct topic_node *n = way[depth];
        struct topic_node *parent = way[depth - 1];
        struct bytes level = levels->at[depth - 1];
        if (!n)
            continue;
        if (!node_is_empty(n))
            return;
        if (is_plus(level))
            parent->plus = NULL;
        else if (is_hash(level))
            parent->hash = NULL;
        else
            (void)map_remove(&parent->children, level);
        node_free(n);
    }
}

int topic_tree_put(struct topic_tree *t, struct bytes path, void *value, void **ret_old)
{
    struct levels levels;
    levels_split(path, &levels);
    if (!t->root && !(t->root = calloc(1, sizeof *t->root)))
        return ERR_NOMEM;
    struct topic_node *n = t->root;
    for (size_t i = 0; i < levels.count && n; i++)
        n = node_child_make(n, levels.at[i]);
    if (!n) {
        tree_prune(t, &levels);
        return ERR_NOMEM;
    }
    if (ret_old)
        *ret_old = n->value;
    t->count += n->value == NULL;
    n->value = value;
    return OK;
}

static struct topic_node *tree_node(const struct topic_tree *t, const struct levels *levels)
{
    struct topic_node *n = t->root;
    for (size_t i = 0; i < levels->count && n; i++)
        n = node_child(n, levels->at[i]);
    return n;
}

void *topic_tree_find(const struct topic_tree *t, struct bytes path)
{
    struct levels levels;
    levels_split(path, &levels);
    const struct topic_node *n = tree_node(t, &levels);
    return n ? n->value : NULL;
}

void *topic_tree_remove(struct topic_tree *t, struct bytes path)
{
    struct levels levels;
    levels_split(path, &levels);
    struct topic_node *n = tree_node(t, &levels);
    if (!n || !n->value)
        return NULL;
    void *value = n->value;
    n->value = NULL;
    t->count--;
    tree_prune(t, &levels);
    return value;
}

/* Any child, taken out of its parent; NULL when there is none left. */
static struct topic_node *node_pop_child(struct topic_node *n)
{
    struct topic_node *child = n->plus ? n->plus : n->hash;
    if (child && child == n->plus) {
        n->plus = NULL;
    } else if (child) {
        n->hash = NULL;
    } else if (n->children.count > 0) {
        const struct map_entry *last = &n->children.entries[n->children.count - 1];
        child = map_remove(&n->children, bytes_of(last->key, last->len));
    }
    return child;
}

void topic_tree_fini(struct topic_tree *t)
{
    struct topic_node *way[TOPIC_LEVELS_MAX + 1];
    size_t depth = 0;
    way[0] = t->root;
    while (t->root) {
        struct topic_node *child = node_pop_child(way[depth]);
        if (child) {
            way[++depth] = child;
            continue;
        }
        node_free(way[depth]);
        if (depth == 0)
            break;
        depth--;
    }
    *t = (struct topic_tree){0};
}

/* --------------------------------------------------------------------------------------- matching
 */

struct step {
    const struct topic_node *node;
    size_t depth;
};

static void value_call(const struct topic_node *n, topic_tree_fn fn, void *ctx)
{
    if (n && n->value)
        fn(ctx, n->value);
}

void topic_tree_match_name(const struct topic_tree *t, struct bytes name, topic_tree_fn fn,
                           void *ctx)
{
    struct levels levels;
    struct step todo[TOPIC_LEVELS_MAX + 2]; /* one waits a level, and two on top */
    size_t count = 0;
    levels_split(name, &levels);
    bool hidden = name.ptr[0] == '$'; /* [MQTT-4.7.2-1] */
    if (t->root)
        todo[count++] = (struct step){t->root, 0};
    while (count > 0) {
        struct step s = todo[--count];
        bool wild = !(hidden && s.depth == 0);
        if (wild)
            value_call(s.node->hash, fn, ctx);
        if (s.depth == levels.count) {
            value_call(s.node, fn, ctx);
            continue;
        }
        const struct topic_node *exact = map_find(&s.node->children, levels.at[s.depth]);
        if (wild && s.node->plus)
            todo[count++] = (struct step){s.node->plus, s.depth + 1};
        if (exact)
            todo[count++] = (struct step){exact, s.depth + 1};
    }
}

/* A node whose children are being gone through. */
struct visit {
    const struct topic_node *node;
    size_t next; /* child */
};

/* What stands at a filter's level, or "#" for all below it. */
static struct bytes level_at(const struct levels *levels, size_t depth)
{
    size_t last = levels->count - 1;
    return levels->at[depth < last ? depth : last];
}

/* The next child of v that the filter's level allows, NULL when there is none. */
static const struct topic_node *visit_next(struct visit *v, struct bytes level, bool root)
{
    const struct map *children = &v->node->children;
    if (!is_plus(level) && !is_hash(level))
        return v->next++ == 0 ? map_find(children, level) : NULL;
    while (v->next < children->count) {
        const struct map_entry *e = &children->entries[v->next++];
        if (!root || e->len == 0 || e->key[0] != '$')
            return e->value;
    }
    return NULL;
}

void topic_tree_match_filter(const struct topic_tree *t, struct bytes filter, topic_tree_fn fn,
                             void *ctx)
{
    struct levels levels;
    struct visit way[TOPIC_LEVELS_MAX + 1];
    size_t depth = 0;
    levels_split(filter, &levels);
    bool all_below = is_hash(levels.at[levels.count - 1]);
    way[0] = (struct visit){t->root, 0};
    while (t->root) {
        /* Below the filter's last level only "#" goes on. */
        bool ends = !all_below && depth == levels.count;
        const struct topic_node *child =
            ends ? NULL : visit_next(&way[depth], level_at(&levels, depth), depth == 0);
        if (child) {
            depth++;
            way[depth] = (struct visit){child, 0};
            bool whole = all_below ? depth + 1 >= levels.count : depth == levels.count;
            if (whole)
                value_call(child, fn, ctx);
            continue;
        }
        if (depth == 0)
            return;
        depth--;
    }
}

/* --------------------------------------------------------------------------------------- walking
 */

/* The i-th child of any kind: the named ones first; NULL behind the last. */
static const struct topic_node *child_at(const struct topic_node *n, size_t *next)
{
    const struct map *children = &n->children;
    while (*next < children->count + 2) {
        size_t i = (*next)++;
        const struct topic_node *child = i < children->count    ? children->entries[i].value
                                         : i == children->count ? n->plus
                                                                : n->hash;
        if (child)
            return child;
    }
    return NULL;
}

void topic_tree_each(const struct topic_tree *t, topic_tree_fn fn, void *ctx)
{
    struct visit way[TOPIC_LEVELS_MAX + 1];
    size_t depth = 0;
    way[0] = (struct visit){t->root, 0};
    while (t->root) {
        const struct topic_node *child = child_at(way[depth].node, &way[depth].next);
        if (child) {
            way[++depth] = (struct visit){child, 0};
            value_call(child, fn, ctx);
            continue;
        }
        if (depth == 0)
            return;
        depth--;
    }
}
