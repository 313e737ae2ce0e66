/* What parse.c (clauses) and parse_expr.c (expressions) share. */
#ifndef LOTLINE_STREAM_PARSE_PRIV_H
#define LOTLINE_STREAM_PARSE_PRIV_H

#include "stream/ast.h"
#include "stream/lex.h"

struct parser {
    struct arena *arena;
    struct lexer lexer;
    struct token token; /* the one looked at */
    struct diag *diag;
    uint32_t nesting;
};

/* A list that grows while its length is unknown; the items are copied to the arena at the end. */
struct parse_list {
    void *items;
    uint32_t count;
    uint32_t cap;
};

/* Appends `size` bytes at item. ERR_LIMIT beyond max (with the parser's diag), ERR_NOMEM. */
int parse_list_add(struct parser *p, struct parse_list *list, const void *item, size_t size,
                   uint32_t max);

int parse_advance(struct parser *p);

/* "… expected, found …" at the present token. */
int parse_unexpected(struct parser *p, const char *wanted);

/* True if the present token is of that kind; *ret_err is 0 or what went wrong in going on. */
bool parse_accept(struct parser *p, enum token_kind kind, int *ret_err);

/* Goes past a token that must be there. */
int parse_expect(struct parser *p, enum token_kind kind, const char *wanted);

int parse_expr(struct parser *p, struct expr **ret);

/* Expressions separated by commas up to and including `)`. */
int parse_args(struct parser *p, struct expr ***ret_args, uint32_t *ret_count);

/* OVER (…), if it stands here: sets call->over. */
int parse_over(struct parser *p, struct expr *call);

/* What may follow a `*`: EXCEPT (…), REPLACE (…). */
int parse_star_tail(struct parser *p, struct expr *star);

/* expr AS name. */
int parse_aliased(struct parser *p, struct select_item *ret);

int parse_name(struct parser *p, const char *wanted, struct bytes *ret);

#endif
