/* The clauses of a SELECT. See ast.h; expressions are in parse_expr.c.
 *
 * What eKuiper's grammar has and we do not run yet (JOIN, ORDER BY, OVER, other windows) is parsed
 * all the same: binding then says what is missing by its name, where a syntax error would only
 * point at a word.
 */
#include "base/str.h"
#include "stream/parse_priv.h"

#include <string.h>

/* --------------------------------------------------------------------------------------- helpers
 */

int parse_list_add(struct parser *p, struct parse_list *list, const void *item, size_t size,
                   uint32_t max)
{
    if (list->count == max)
        return diag_set(p->diag, ERR_LIMIT, p->token.line, p->token.column, "more than %u of these",
                        max);
    void *items = arena_room(p->arena, list->items, list->count, &list->cap, size);
    if (!items)
        return ERR_NOMEM;
    list->items = items;
    memcpy((uint8_t *)list->items + list->count * size, item, size);
    list->count++;
    return OK;
}

int parse_advance(struct parser *p)
{
    return lexer_next(&p->lexer, &p->token, p->diag);
}

int parse_unexpected(struct parser *p, const char *wanted)
{
    return diag_set(p->diag, ERR_SYNTAX, p->token.line, p->token.column, "%s expected, found %s",
                    wanted, token_show(p->arena, &p->token));
}

bool parse_accept(struct parser *p, enum token_kind kind, int *ret_err)
{
    *ret_err = OK;
    if (p->token.kind != kind)
        return false;
    *ret_err = parse_advance(p);
    return true;
}

int parse_expect(struct parser *p, enum token_kind kind, const char *wanted)
{
    if (p->token.kind != kind)
        return parse_unexpected(p, wanted);
    return parse_advance(p);
}

int parse_name(struct parser *p, const char *wanted, struct bytes *ret)
{
    if (p->token.kind != TOKEN_NAME)
        return parse_unexpected(p, wanted);
    *ret = p->token.text;
    return parse_advance(p);
}

static bool at_word(const struct parser *p, const char *word)
{
    return p->token.kind == TOKEN_NAME && str_equal_nocase(p->token.text, word);
}

/* ---------------------------------------------------------------------------------- select items
 */

int parse_aliased(struct parser *p, struct select_item *ret)
{
    *ret = (struct select_item){0};
    int err = parse_expr(p, &ret->expr);
    if (!err)
        err = parse_expect(p, TOKEN_AS, "AS");
    return err ? err : parse_name(p, "a name after AS", &ret->alias);
}

static int parse_except(struct parser *p, struct expr *star)
{
    struct parse_list list = {0};
    bool more = true;
    int err = parse_expect(p, TOKEN_LPAREN, "'('");
    while (!err && more) {
        struct bytes name;
        err = parse_name(p, "a column name", &name);
        if (!err)
            err = parse_list_add(p, &list, &name, sizeof name, SQL_ITEMS_MAX);
        more = !err && parse_accept(p, TOKEN_COMMA, &err);
    }
    star->except = list.items;
    star->except_count = list.count;
    return err ? err : parse_expect(p, TOKEN_RPAREN, "',' or ')'");
}

static int parse_replace(struct parser *p, struct expr *star)
{
    struct parse_list list = {0};
    bool more = true;
    int err = parse_expect(p, TOKEN_LPAREN, "'('");
    while (!err && more) {
        struct select_item item;
        err = parse_aliased(p, &item);
        if (!err)
            err = parse_list_add(p, &list, &item, sizeof item, SQL_ITEMS_MAX);
        more = !err && parse_accept(p, TOKEN_COMMA, &err);
    }
    star->replace = list.items;
    star->replace_count = list.count;
    return err ? err : parse_expect(p, TOKEN_RPAREN, "',' or ')'");
}

int parse_star_tail(struct parser *p, struct expr *star)
{
    int err = OK;
    if (parse_accept(p, TOKEN_EXCEPT, &err) && !err)
        err = parse_except(p, star);
    if (!err && parse_accept(p, TOKEN_REPLACE, &err) && !err)
        err = parse_replace(p, star);
    return err;
}

static int parse_item(struct parser *p, struct select_item *ret)
{
    *ret = (struct select_item){0};
    int err = parse_expr(p, &ret->expr);
    if (!err && parse_accept(p, TOKEN_AS, &err) && !err) {
        if (ret->expr->kind == EXPR_STAR)
            return diag_set(p->diag, ERR_SYNTAX, p->token.line, p->token.column,
                            "* stands for many columns and has no name of its own: leave AS out");
        err = parse_name(p, "a name after AS", &ret->alias);
    }
    if (!err)
        ret->invisible = parse_accept(p, TOKEN_INVISIBLE, &err);
    return err;
}

static int parse_items(struct parser *p, struct select *s)
{
    struct parse_list list = {0};
    bool more = true;
    int err = OK;
    while (!err && more) {
        struct select_item item;
        err = parse_item(p, &item);
        if (!err)
            err = parse_list_add(p, &list, &item, sizeof item, SQL_ITEMS_MAX);
        more = !err && parse_accept(p, TOKEN_COMMA, &err);
    }
    s->items = list.items;
    s->item_count = list.count;
    return err;
}

/* ------------------------------------------------------------------------------------------ FROM
 */

/* An unquoted name may have parts (plc1.press, a/b): it goes on as long as no space breaks it. */
static int parse_source_parts(struct parser *p, struct bytes *io)
{
    int err = OK;
    while (!err && (p->token.kind == TOKEN_DOT || p->token.kind == TOKEN_SLASH) &&
           p->token.text.ptr == io->ptr + io->len) {
        err = parse_advance(p);
        if (err)
            return err;
        if (p->token.kind != TOKEN_NAME)
            return parse_unexpected(p, "the rest of the stream's name");
        io->len = (size_t)(p->token.text.ptr + p->token.text.len - io->ptr);
        err = parse_advance(p);
    }
    return err;
}

static int parse_source(struct parser *p, struct select_source *ret)
{
    *ret = (struct select_source){.line = p->token.line, .column = p->token.column};
    if (p->token.kind != TOKEN_NAME && p->token.kind != TOKEN_STRING)
        return parse_unexpected(p, "a stream's name");
    bool quoted = p->token.kind == TOKEN_STRING;
    ret->name = p->token.text;
    int err = parse_advance(p);
    if (!err && !quoted)
        err = parse_source_parts(p, &ret->name);
    if (!err && parse_accept(p, TOKEN_AS, &err) && !err)
        err = parse_name(p, "a name after AS", &ret->alias);
    return err;
}

/* [INNER | LEFT | RIGHT | FULL | CROSS] JOIN. */
static bool at_join(const struct parser *p)
{
    switch ((int)p->token.kind) {
    case TOKEN_JOIN:
    case TOKEN_INNER:
    case TOKEN_LEFT:
    case TOKEN_RIGHT:
    case TOKEN_FULL:
    case TOKEN_CROSS:
        return true;
    default:
        return false;
    }
}

static int parse_join(struct parser *p, struct select_join *ret)
{
    int err = OK;
    *ret = (struct select_join){.on = NULL};
    bool cross = p->token.kind == TOKEN_CROSS;
    if (p->token.kind != TOKEN_JOIN)
        err = parse_advance(p);
    if (!err)
        err = parse_expect(p, TOKEN_JOIN, "JOIN");
    if (!err)
        err = parse_source(p, &ret->source);
    if (!err && !cross && parse_accept(p, TOKEN_ON, &err) && !err)
        err = parse_expr(p, &ret->on);
    return err;
}

static int parse_from(struct parser *p, struct select *s)
{
    struct parse_list list = {0};
    int err = parse_expect(p, TOKEN_FROM, "',' or FROM");
    if (!err)
        err = parse_source(p, &s->from);
    while (!err && at_join(p)) {
        struct select_join join;
        err = parse_join(p, &join);
        if (!err)
            err = parse_list_add(p, &list, &join, sizeof join, SQL_ARGS_MAX);
    }
    s->joins = list.items;
    s->join_count = list.count;
    return err;
}

/* -------------------------------------------------------------------------------------- GROUP BY
 */

static bool is_window(const struct expr *e)
{
    return e->kind == EXPR_CALL && e->name.len > 6 &&
           str_equal_nocase(bytes_of(e->name.ptr + e->name.len - 6, 6), "window");
}

/* FILTER (WHERE …) after a window, and behind it OVER (WHEN …). */
static int parse_filter(struct parser *p, struct select_window *w)
{
    struct expr ignored = {.over = false};
    if (!at_word(p, "FILTER"))
        return OK;
    int err = parse_advance(p);
    if (!err)
        err = parse_expect(p, TOKEN_LPAREN, "'('");
    if (!err)
        err = parse_expect(p, TOKEN_WHERE, "WHERE");
    if (!err)
        err = parse_expr(p, &w->filter);
    if (!err)
        err = parse_expect(p, TOKEN_RPAREN, "')'");
    if (!err)
        err = parse_over(p, &ignored);
    w->triggered |= ignored.over;
    return err;
}

static int parse_window(struct parser *p, struct select *s, const struct expr *call)
{
    if (s->window.name.ptr)
        return diag_set(p->diag, ERR_SYNTAX, call->line, call->column,
                        "a statement has at most one window");
    s->window = (struct select_window){.name = call->name,
                                       .line = call->line,
                                       .column = call->column,
                                       .args = call->args,
                                       .arg_count = call->arg_count,
                                       .triggered = call->over};
    return parse_filter(p, &s->window);
}

static int parse_group(struct parser *p, struct select *s)
{
    struct parse_list list = {0};
    bool more = true;
    int err = parse_expect(p, TOKEN_BY, "BY");
    while (!err && more) {
        struct expr *key = NULL;
        err = parse_expr(p, &key);
        if (!err && is_window(key))
            err = parse_window(p, s, key);
        else if (!err)
            err = parse_list_add(p, &list, &key, sizeof(struct expr *), SQL_ARGS_MAX);
        more = !err && parse_accept(p, TOKEN_COMMA, &err);
    }
    s->group = list.items;
    s->group_count = list.count;
    return err;
}

static int parse_order(struct parser *p, struct select *s)
{
    struct parse_list list = {0};
    bool more = true;
    int err = parse_expect(p, TOKEN_BY, "BY");
    while (!err && more) {
        struct select_sort sort = {0};
        err = parse_expr(p, &sort.expr);
        if (!err)
            sort.descending = parse_accept(p, TOKEN_DESC, &err);
        if (!err && !sort.descending)
            (void)parse_accept(p, TOKEN_ASC, &err);
        if (!err)
            err = parse_list_add(p, &list, &sort, sizeof sort, SQL_ARGS_MAX);
        more = !err && parse_accept(p, TOKEN_COMMA, &err);
    }
    s->sort = list.items;
    s->sort_count = list.count;
    return err;
}

/* --------------------------------------------------------------------------------------- SELECT */

static int parse_tail(struct parser *p, struct select *s)
{
    int err = OK;
    if (parse_accept(p, TOKEN_WHERE, &err) && !err)
        err = parse_expr(p, &s->where);
    if (!err && parse_accept(p, TOKEN_GROUP, &err) && !err)
        err = parse_group(p, s);
    if (!err && parse_accept(p, TOKEN_HAVING, &err) && !err)
        err = parse_expr(p, &s->having);
    if (!err && parse_accept(p, TOKEN_ORDER, &err) && !err)
        err = parse_order(p, s);
    if (!err && parse_accept(p, TOKEN_LIMIT, &err) && !err)
        err = parse_expr(p, &s->limit);
    if (!err)
        (void)parse_accept(p, TOKEN_SEMICOLON, &err);
    if (!err && p->token.kind != TOKEN_EOF)
        err = parse_unexpected(p, "the end of the statement");
    return err;
}

int sql_parse(struct arena *arena, struct bytes sql, struct select **ret, struct diag *diag)
{
    if (sql.len > SQL_BYTES_MAX)
        return diag_set(diag, ERR_LIMIT, 1, 1, "a statement may have %u bytes, this one has %zu",
                        SQL_BYTES_MAX, sql.len);
    struct parser p = {.arena = arena, .diag = diag};
    struct select *s = arena_alloc(arena, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    lexer_init(&p.lexer, arena, sql);
    int err = parse_advance(&p);
    if (!err)
        err = parse_expect(&p, TOKEN_SELECT, "SELECT");
    if (!err)
        err = parse_items(&p, s);
    if (!err)
        err = parse_from(&p, s);
    if (!err)
        err = parse_tail(&p, s);
    if (!err)
        *ret = s;
    return err;
}
