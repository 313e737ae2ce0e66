/* A tree of topic levels, for both questions a broker asks.
 *
 * With filters in it: which of them match this name? (who is subscribed) With names in it: which of
 * them match this filter? (which retained messages does a new subscriber get) The tree holds one
 * pointer a path and knows nothing about what it points to.
 *
 *   a ─┬─ b ─ c        value of "a/b/c"
 *      ├─ + ─ c        the wildcards of a level have places of their own, so that the search
 *      └─ #            looks up one name a level and follows at most two ways
 *
 * Nothing recurses: the depth is bounded by TOPIC_LEVELS_MAX and walked with a stack of that size.
 * One thread; nothing may be added or removed while a match runs.
 */
#ifndef LOTLINE_BROKER_TOPIC_TREE_H
#define LOTLINE_BROKER_TOPIC_TREE_H

#include "base/bytes.h"

struct topic_node;

/* Zero-initialised is a valid, empty tree. */
struct topic_tree {
    struct topic_node *root;
    size_t count; /* of paths with a value */
};

typedef void (*topic_tree_fn)(void *ctx, void *value);

/* Frees the nodes, not the values. */
void topic_tree_fini(struct topic_tree *t);

/* The value under just this path, NULL if there is none. path is a valid filter or name. */
void *topic_tree_find(const struct topic_tree *t, struct bytes path);

/* Sets the value (not NULL) under path; *ret_old (may be NULL) gets the one before, or NULL.
 * ERR_NOMEM. */
int topic_tree_put(struct topic_tree *t, struct bytes path, void *value, void **ret_old);

/* Takes the value out and returns it, NULL if there was none; nodes left empty are freed. */
void *topic_tree_remove(struct topic_tree *t, struct bytes path);

/* Calls fn with every value, in no order. */
void topic_tree_each(const struct topic_tree *t, topic_tree_fn fn, void *ctx);

/* Calls fn with the value of each filter in the tree that matches the name (4.7). */
void topic_tree_match_name(const struct topic_tree *t, struct bytes name, topic_tree_fn fn,
                           void *ctx);

/* Calls fn with the value of each name in the tree that the filter matches. */
void topic_tree_match_filter(const struct topic_tree *t, struct bytes filter, topic_tree_fn fn,
                             void *ctx);

#endif
