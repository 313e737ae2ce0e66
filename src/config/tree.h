/* Configuration as a tree of nodes that know where they were written.
 *
 * YAML files, REST bodies (JSON is read as YAML's flow style) and the fleet all make this one tree,
 * and option tables (option.h) bind it to structs. Each node keeps file, line and column, because
 * an error without its place is of no use to someone with forty devices in a file. Numbers stay
 * text until an option says what they are: `version: 1.10` loses nothing.
 *
 * What makes YAML dangerous is refused and said: aliases and merge keys (they grow without bound
 * and hide what is configured), tags, several documents, two keys of one name in a map.
 *
 * Nodes live in the caller's arena and never change after parsing. One thread, or many that read.
 */
#ifndef LOTLINE_CONFIG_TREE_H
#define LOTLINE_CONFIG_TREE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define TREE_DEPTH_MAX      32u
#define TREE_NODES_MAX      1000000u
#define TREE_TEXT_BYTES_MAX (64u << 20)

enum tree_kind {
    TREE_NULL, /* nothing written, `~` or `null`, not in quotes */
    TREE_TEXT, /* any other scalar */
    TREE_LIST,
    TREE_MAP,
};

struct tree {
    enum tree_kind kind;
    bool quoted;       /* a scalar that was written in quotes or as a block: never a number */
    uint32_t line;     /* from 1 */
    uint32_t column;   /* from 1, in characters */
    const char *file;  /* as given to the parser; "" = none */
    const char *key;   /* its key in the map around it; NULL in a list and for the root */
    uint32_t key_line; /* where that key stands */
    uint32_t key_column;
    uint32_t count;     /* children */
    struct bytes text;  /* scalars: followed by a zero byte that is not counted */
    struct tree *first; /* children in the order as written */
    struct tree *last;
    struct tree *next;   /* the sibling */
    struct tree **slots; /* name index of a large map, private to tree.c */
    uint32_t slot_count;
};

#define TREE_EACH(item, parent)                                                                    \
    for (const struct tree *item = (parent) ? (parent)->first : NULL; item; item = item->next)

/* Reads one document. `file` is copied (it is only shown). An empty text gives a TREE_NULL root.
 * Errors with *diag (file, line, column, what to do): ERR_SYNTAX, ERR_EXISTS (a key twice),
 * ERR_LIMIT, ERR_UNSUPPORTED (aliases, tags), ERR_NOMEM. diag may be NULL. */
int tree_parse_yaml(struct arena *arena, const char *file, struct bytes text, struct tree **ret,
                    struct diag *diag);

/* As tree_parse_yaml for a JSON text: also takes what YAML's reader does not or takes for something
 * else (pairs of \u surrogates, U+2028 and the like). Columns behind these differ by a little. */
int tree_parse_json(struct arena *arena, const char *file, struct bytes text, struct tree **ret,
                    struct diag *diag);

/* The value under key, NULL if there is none, if t is NULL or not a map. */
const struct tree *tree_get(const struct tree *t, const char *key);

/* The scalar's text, zero-terminated; "" for everything else and for NULL. */
const char *tree_text(const struct tree *t);

/* "text", "list", "map", "nothing". */
const char *tree_kind_name(enum tree_kind kind);

/* diag_set at the node's place, with its file. t may be NULL (no place). Returns err. */
int tree_error(struct diag *diag, int err, const struct tree *t, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* As tree_error, at the place of the node's key. */
int tree_key_error(struct diag *diag, int err, const struct tree *t, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Building by hand (merging files, objects made over REST). NULL when out of memory. text is
 * copied. tree_add appends child, which must not be in another tree; key may be NULL (a list) and
 * is copied: adding a key that is there already gives ERR_EXISTS. */
struct tree *tree_new(struct arena *arena, enum tree_kind kind, const char *text);
int tree_add(struct arena *arena, struct tree *parent, const char *key, struct tree *child);

/* A copy, places included, into another arena; NULL when out of memory. */
struct tree *tree_copy(struct arena *arena, const struct tree *t);

/* Same keys (in any order), same lists, same texts; places don't matter. NULL equals TREE_NULL. */
bool tree_equal(const struct tree *a, const struct tree *b);

/* As JSON. Scalars not in quotes that are JSON numbers, true, false or null are printed as such,
 * all others as strings. ERR_NOMEM. */
int tree_print_json(const struct tree *t, struct buf *out);

#endif
