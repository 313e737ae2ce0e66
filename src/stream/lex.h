/* SQL text into tokens.
 *
 * Keywords and function names are case-insensitive, column names are not. 'x' and "x" are both
 * strings, as in eKuiper; after FROM the parser reads a string as a name, so that
 * FROM "plc1.press" works as one expects from other databases. `x` always is a name.
 */
#ifndef LOTLINE_STREAM_LEX_H
#define LOTLINE_STREAM_LEX_H

#include "base/arena.h"
#include "base/err.h"

#include <stdint.h>

#define SQL_BYTES_MAX (64u << 10)

/* X(token, text): the reserved words. */
#define LEX_KEYWORDS(X)                                                                            \
    X(SELECT)                                                                                      \
    X(FROM)                                                                                        \
    X(WHERE)                                                                                       \
    X(GROUP)                                                                                       \
    X(ORDER)                                                                                       \
    X(HAVING)                                                                                      \
    X(LIMIT)                                                                                       \
    X(BY)                                                                                          \
    X(ASC)                                                                                         \
    X(DESC)                                                                                        \
    X(AS)                                                                                          \
    X(AND)                                                                                         \
    X(OR)                                                                                          \
    X(NOT)                                                                                         \
    X(IN)                                                                                          \
    X(IS)                                                                                          \
    X(NULL)                                                                                        \
    X(BETWEEN)                                                                                     \
    X(LIKE)                                                                                        \
    X(CASE)                                                                                        \
    X(WHEN)                                                                                        \
    X(THEN)                                                                                        \
    X(ELSE)                                                                                        \
    X(END)                                                                                         \
    X(TRUE)                                                                                        \
    X(FALSE)                                                                                       \
    X(JOIN)                                                                                        \
    X(INNER)                                                                                       \
    X(LEFT)                                                                                        \
    X(RIGHT)                                                                                       \
    X(FULL)                                                                                        \
    X(CROSS)                                                                                       \
    X(ON)                                                                                          \
    X(OVER)                                                                                        \
    X(EXCEPT)                                                                                      \
    X(REPLACE)                                                                                     \
    X(INVISIBLE)

enum token_kind {
    TOKEN_EOF,
    TOKEN_NAME,   /* text: unquoted or in backticks */
    TOKEN_STRING, /* text: without quotes, escapes resolved */
    TOKEN_INTEGER,
    TOKEN_NUMBER, /* has a point or an exponent */
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_AMPERSAND,
    TOKEN_PIPE,
    TOKEN_CARET,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_SEMICOLON,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_COLON,
    TOKEN_ARROW,

#define LEX_ENUM(word) TOKEN_##word,
    LEX_KEYWORDS(LEX_ENUM)
#undef LEX_ENUM
};

struct token {
    enum token_kind kind;
    uint32_t line;   /* from 1 */
    uint32_t column; /* from 1, in bytes */
    uint32_t offset; /* in the text */
    struct bytes text;
};

struct lexer {
    struct arena *arena; /* holds strings whose escapes were resolved */
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *line_start;
    uint32_t line;
};

/* sql is borrowed and must outlive the tokens. */
void lexer_init(struct lexer *l, struct arena *arena, struct bytes sql);

/* The next token; at the end TOKEN_EOF for ever. ERR_SYNTAX (with *diag), ERR_NOMEM. */
int lexer_next(struct lexer *l, struct token *ret, struct diag *diag);

/* A token as an error shows it: "SELECT", "','", "the end". Static or in the arena. */
const char *token_show(struct arena *arena, const struct token *t);

#endif
