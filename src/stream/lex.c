/* The lexer. See lex.h.
 *
 * One pass, no table of states: the first byte of a token decides which short function reads it.
 * The text is hostile (REST, the console's editor, a fuzzer): every look ahead is bounded by end.
 */
#include "stream/lex.h"

#include "base/str.h"

#include <ctype.h>

void lexer_init(struct lexer *l, struct arena *arena, struct bytes sql)
{
    *l = (struct lexer){.arena = arena,
                        .start = sql.ptr,
                        .at = sql.ptr,
                        .end = sql.ptr + sql.len,
                        .line_start = sql.ptr,
                        .line = 1};
}

static int peek(const struct lexer *l, size_t ahead)
{
    return ahead < (size_t)(l->end - l->at) ? l->at[ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* Letters of any language: every byte of a multi-byte UTF-8 character counts as one. */
static bool is_name_start(int c)
{
    return c == '_' || c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_name_part(int c)
{
    return is_name_start(c) || is_digit(c);
}

static int lex_error(const struct lexer *l, const struct token *t, struct diag *diag,
                     const char *text)
{
    (void)l;
    return diag_set(diag, ERR_SYNTAX, t->line, t->column, "%s", text);
}

static void newline_seen(struct lexer *l)
{
    l->line++;
    l->line_start = l->at + 1;
}

static void skip_to(struct lexer *l, bool line)
{
    while (l->at < l->end && !(line ? *l->at == '\n' : peek(l, 0) == '*' && peek(l, 1) == '/')) {
        if (*l->at == '\n')
            newline_seen(l);
        l->at++;
    }
}

/* Goes past one comment, `-- …` or that of C. False: it has no end. */
static bool skip_comment(struct lexer *l, bool line)
{
    l->at += 2;
    skip_to(l, line);
    if (line)
        return true;
    if (l->at == l->end)
        return false;
    l->at += 2;
    return true;
}

/* Skips white space and comments. False: a comment has no end. */
static bool skip_space(struct lexer *l)
{
    while (l->at < l->end) {
        bool line = peek(l, 0) == '-' && peek(l, 1) == '-';
        if (line || (peek(l, 0) == '/' && peek(l, 1) == '*')) {
            if (!skip_comment(l, line))
                return false;
            continue;
        }
        if (!isspace(*l->at))
            return true;
        if (*l->at == '\n')
            newline_seen(l);
        l->at++;
    }
    return true;
}

static enum token_kind keyword_find(struct bytes word)
{
    static const struct {
        const char *text;
        enum token_kind kind;
    } keywords[] = {

#define LEX_ROW(word_) {#word_, TOKEN_##word_},
        LEX_KEYWORDS(LEX_ROW)
#undef LEX_ROW
    };

    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (str_equal_nocase(word, keywords[i].text))
            return keywords[i].kind;
    return TOKEN_NAME;
}

static int lex_word(struct lexer *l, struct token *t)
{
    const uint8_t *start = l->at;
    while (is_name_part(peek(l, 0)))
        l->at++;
    t->text = bytes_of(start, (size_t)(l->at - start));
    t->kind = keyword_find(t->text);
    return OK;
}

static int lex_number(struct lexer *l, struct token *t)
{
    const uint8_t *start = l->at;
    t->kind = TOKEN_INTEGER;
    while (is_digit(peek(l, 0)))
        l->at++;
    if (peek(l, 0) == '.' && is_digit(peek(l, 1))) {
        t->kind = TOKEN_NUMBER;
        l->at++;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    int sign = peek(l, 1) == '+' || peek(l, 1) == '-';
    if ((peek(l, 0) | 0x20) == 'e' && is_digit(peek(l, sign ? 2 : 1))) {
        t->kind = TOKEN_NUMBER;
        l->at += sign ? 2 : 1;
        while (is_digit(peek(l, 0)))
            l->at++;
    }
    t->text = bytes_of(start, (size_t)(l->at - start));
    return OK;
}

/* What \c stands for in a string; 0: the backslash stays, two of them too (eKuiper's rule: LIKE has
 * escapes of its own). */
static uint8_t escape_of(uint8_t c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '\'':
    case '"':
        return c;
    default:
        return 0;
    }
}

static int string_unescape(struct lexer *l, struct token *t)
{
    uint8_t *out = arena_alloc(l->arena, t->text.len + 1);
    if (!out)
        return ERR_NOMEM;
    size_t len = 0;
    for (size_t i = 0; i < t->text.len; i++) {
        uint8_t c = t->text.ptr[i];
        uint8_t escaped = c == '\\' && i + 1 < t->text.len ? escape_of(t->text.ptr[i + 1]) : 0;
        out[len++] = escaped ? escaped : c;
        if (escaped)
            i++;
    }
    t->text = bytes_of(out, len);
    return OK;
}

static int lex_string(struct lexer *l, struct token *t, struct diag *diag)
{
    uint8_t quote = *l->at++;
    const uint8_t *start = l->at;
    bool escapes = false;
    while (l->at < l->end && *l->at != quote) {
        if (*l->at == '\n')
            newline_seen(l);
        if (*l->at == '\\' && l->end - l->at > 1) {
            escapes = true;
            l->at++;
        }
        l->at++;
    }
    if (l->at >= l->end)
        return lex_error(l, t, diag, "this string has no end: its closing quote is missing");
    t->kind = TOKEN_STRING;
    t->text = bytes_of(start, (size_t)(l->at - start));
    l->at++;
    return escapes ? string_unescape(l, t) : OK;
}

static int lex_quoted_name(struct lexer *l, struct token *t, struct diag *diag)
{
    const uint8_t *start = ++l->at;
    while (l->at < l->end && *l->at != '`' && *l->at != '\n')
        l->at++;
    if (l->at == l->end || *l->at != '`' || l->at == start)
        return lex_error(l, t, diag, "this name has no end: its closing backtick is missing");
    t->kind = TOKEN_NAME;
    t->text = bytes_of(start, (size_t)(l->at - start));
    l->at++;
    return OK;
}

static enum token_kind punctuation_find(int c, int next, size_t *ret_len)
{
    static const struct {
        char text[3];
        enum token_kind kind;
    } table[] = {
        {"<=", TOKEN_LE},    {">=", TOKEN_GE},      {"<>", TOKEN_NE},       {"!=", TOKEN_NE},
        {"->", TOKEN_ARROW}, {"+", TOKEN_PLUS},     {"-", TOKEN_MINUS},     {"*", TOKEN_STAR},
        {"/", TOKEN_SLASH},  {"%", TOKEN_PERCENT},  {"&", TOKEN_AMPERSAND}, {"|", TOKEN_PIPE},
        {"^", TOKEN_CARET},  {"=", TOKEN_EQ},       {"<", TOKEN_LT},        {">", TOKEN_GT},
        {",", TOKEN_COMMA},  {".", TOKEN_DOT},      {";", TOKEN_SEMICOLON}, {"(", TOKEN_LPAREN},
        {")", TOKEN_RPAREN}, {"[", TOKEN_LBRACKET}, {"]", TOKEN_RBRACKET},  {":", TOKEN_COLON},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].text[0] != c || (table[i].text[1] && table[i].text[1] != next))
            continue;
        *ret_len = table[i].text[1] ? 2 : 1;
        return table[i].kind;
    }
    return TOKEN_EOF;
}

/* `! =`, `< =` and `> =` are taken without the space, as eKuiper does. */
static bool lex_spaced(struct lexer *l, struct token *t)
{
    uint8_t first = *l->at;
    if (first != '!' && first != '<' && first != '>')
        return false;
    const uint8_t *at = l->at + 1;
    while (at < l->end && (*at == ' ' || *at == '\t'))
        at++;
    if (at == l->end || *at != '=')
        return false;
    l->at = at + 1;
    t->kind = first == '!' ? TOKEN_NE : first == '<' ? TOKEN_LE : TOKEN_GE;
    return true;
}

static int lex_punctuation(struct lexer *l, struct token *t, struct diag *diag)
{
    size_t len = 0;
    const uint8_t *start = l->at;
    if (lex_spaced(l, t)) {
        t->text = bytes_of(start, (size_t)(l->at - start));
        return OK;
    }
    t->kind = punctuation_find(peek(l, 0), peek(l, 1), &len);
    if (t->kind != TOKEN_EOF) {
        l->at += len;
        t->text = bytes_of(start, len);
        return OK;
    }
    return diag_set(
        diag, ERR_SYNTAX, t->line, t->column,
        isprint(*start) ? "'%c' has no meaning here" : "byte 0x%02x has no meaning here", *start);
}

int lexer_next(struct lexer *l, struct token *ret, struct diag *diag)
{
    struct token t = {.kind = TOKEN_EOF, .line = l->line};
    t.column = (uint32_t)(l->at - l->line_start) + 1;
    if (!skip_space(l))
        return lex_error(l, &t, diag, "this comment has no end: */ is missing");
    t.line = l->line;
    t.column = (uint32_t)(l->at - l->line_start) + 1;
    t.offset = (uint32_t)(l->at - l->start);
    t.text = bytes_of(l->at, 0);
    int err = OK;
    int c = peek(l, 0);
    if (c < 0)
        err = OK;
    else if (is_name_start(c))
        err = lex_word(l, &t);
    else if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        err = lex_number(l, &t);
    else if (c == '\'' || c == '"')
        err = lex_string(l, &t, diag);
    else if (c == '`')
        err = lex_quoted_name(l, &t, diag);
    else
        err = lex_punctuation(l, &t, diag);
    if (!err)
        *ret = t;
    return err;
}

const char *token_show(struct arena *arena, const struct token *t)
{
    if (t->kind == TOKEN_EOF)
        return "the end";
    const char *text =
        arena_printf(arena, t->kind == TOKEN_STRING ? "the string '%.*s'" : "'%.*s'",
                     (int)(t->text.len > 40 ? 40 : t->text.len), (const char *)t->text.ptr);
    return text ? text : "this";
}
