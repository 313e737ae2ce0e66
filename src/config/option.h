/* Option tables: one typed table drives parsing, checking, defaults and the documentation.
 *
 *     struct group_options { const char *name; int64_t interval_us; };
 *     static const struct option group_table[] = {
 *         {.name = "name", .type = OPTION_NAME, .offset = offsetof(struct group_options, name),
 *          .flags = OPTION_REQUIRED, .doc = "what the group is called"},
 *         {.name = "interval", .type = OPTION_DURATION, .default_text = "1s", .min = 10 * 1000,
 *          .offset = offsetof(struct group_options, interval_us), .doc = "poll interval"},
 *         {.name = NULL},
 *     };
 *
 * Whoever adds an option adds a row, and the parser, `lotline check`, the REST schema and
 * docs/configuration.md all know it.
 *
 * Secrets: `${env:NAME}` and `${file:PATH}` inside the value of a text option are replaced when the
 * option is bound, never before, so that trees can be shown, stored and sent without them. A name
 * that is not there is an error. `$${` stands for `${`.
 */
#ifndef LOTLINE_CONFIG_OPTION_H
#define LOTLINE_CONFIG_OPTION_H

#include "config/tree.h"

#include <stddef.h>

enum option_type {
    OPTION_BOOL,      /* bool: true or false */
    OPTION_INT,       /* int64_t */
    OPTION_UINT,      /* uint64_t */
    OPTION_DOUBLE,    /* double */
    OPTION_TEXT,      /* const char *: any scalar */
    OPTION_NAME,      /* const char *: name_is_valid (model/topic.h) */
    OPTION_DURATION,  /* int64_t µs: 250ms, 10s, 5m, … */
    OPTION_SIZE,      /* uint64_t bytes: 64k, 1G, … */
    OPTION_ENUM,      /* int: index into choices */
    OPTION_TREE,      /* const struct tree *: handed on as it is; NULL if absent */
    OPTION_TEXT_LIST, /* struct option_texts: a list of scalars, or one scalar (as its default is)
                       */
};

#define OPTION_TYPE_COUNT 11

enum option_flags {
    OPTION_REQUIRED = 1u << 0,
    OPTION_SECRET = 1u << 1, /* not shown in answers and logs */
    OPTION_RELOAD = 1u << 2, /* takes effect without a restart */
    OPTION_HIDDEN = 1u << 3, /* left out of the documentation */
};

/* Ends with a row whose name is NULL. All texts are static. */
struct option {
    const char *name;
    enum option_type type;
    uint32_t flags;
    size_t offset;              /* in the struct that is filled */
    const char *default_text;   /* as one would write it; NULL = zero, false, NULL, none */
    int64_t min;                /* in the stored unit (µs, bytes); min = max = 0: no limits; */
    int64_t max;                /* max = 0 with min > 0: no upper limit */
    const char *const *choices; /* OPTION_ENUM, ends with NULL */
    const struct option *items; /* OPTION_TREE: what its map, or each map in its list, is bound by;
                                   for the documentation */
    const char *doc;            /* one phrase for a person, without a full stop */
};

struct option_texts {
    const char **items; /* in the arena */
    uint32_t count;
};

/* Fills the struct at `out` from map (NULL or TREE_NULL = all defaults): every option of the table
 * is written. Texts and lists live in the arena, trees where they were. On error nothing of use is
 * in out, and *diag says file:line:column, what is wrong and what to write instead.
 * Errors: ERR_UNKNOWN_KEY, ERR_TYPE, ERR_SYNTAX, ERR_RANGE, ERR_INVALID (missing, not a choice),
 * ERR_NOT_FOUND (a secret), ERR_NOMEM. Blocks only to read a secret's file. */
int option_bind(const struct option *table, const struct tree *map, struct arena *arena, void *out,
                struct diag *diag);

/* The table's row, NULL if there is none. */
const struct option *option_find(const struct option *table, const char *name);

/* The row whose name is most like `name`, for "did you mean …?"; NULL if none is near. */
const struct option *option_like(const struct option *table, const char *name);

/* "duration", "one of a, b", … as shown in messages and in the documentation. */
int option_type_print(const struct option *option, struct buf *out);

/* The table as rows of a Markdown table: name, type, default, meaning; nested tables (items) follow
 * with the path before their names. ERR_NOMEM. */
int option_print_markdown(const struct option *table, struct buf *out);

/* The table as a commented YAML example, each line indented by `indent`. ERR_NOMEM. */
int option_print_example(const struct option *table, unsigned indent, struct buf *out);

/* text with its ${env:…} and ${file:…} replaced, in the arena. `at` only says where. ERR_NOT_FOUND,
 * ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
#define OPTION_SECRET_BYTES_MAX 65536u
int option_secrets(struct arena *arena, const struct tree *at, const char *text, const char **ret,
                   struct diag *diag);

#endif
