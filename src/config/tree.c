/* libyaml's events made into a tree. See tree.h.
 *
 * Events rather than libyaml's own documents, because each event carries the mark of where it
 * stands, and because limits can then be kept while reading instead of after it. Containers that
 * are open lie on a stack of TREE_DEPTH_MAX, so nothing recurses on what a stranger wrote.
 */
#include "config/tree.h"

#include "base/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include <xxhash.h>
#include <yaml.h>

#define INDEX_COUNT_MIN 9 /* maps of more keys than 8 get a name index */

struct tree_parser {
    struct arena *arena;
    struct diag *diag;
    const char *file;
    struct bytes text;
    yaml_parser_t yaml;
    struct tree *open[TREE_DEPTH_MAX];
    uint32_t depth;
    uint32_t nodes;
    struct tree *root;
    struct tree *key; /* a map's key whose value is still to come */
};

const char *tree_kind_name(enum tree_kind kind)
{
    static const char *const names[] = {"nothing", "text", "list", "map"};
    return (unsigned)kind < sizeof names / sizeof names[0] ? names[kind] : "unknown";
}

/* ---------------------------------------------------------------------------------------- errors
 */

static int diag_place(struct diag *diag, int err, const char *file, uint32_t line, uint32_t column,
                      const char *text)
{
    if (diag) {
        (void)diag_set(diag, err, line, column, "%s", text);
        (void)snprintf(diag->file, sizeof diag->file, "%s", file);
    }
    return err;
}

int tree_error(struct diag *diag, int err, const struct tree *t, const char *format, ...)
{
    char text[DIAG_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return diag_place(diag, err, t ? t->file : "", t ? t->line : 0, t ? t->column : 0, text);
}

int tree_key_error(struct diag *diag, int err, const struct tree *t, const char *format, ...)
{
    char text[DIAG_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!t || !t->key_line)
        return diag_place(diag, err, t ? t->file : "", t ? t->line : 0, t ? t->column : 0, text);
    return diag_place(diag, err, t->file, t->key_line, t->key_column, text);
}

/* At the place of an event, for what makes no node. */
static int event_error(struct tree_parser *p, int err, const yaml_event_t *event, const char *text)
{
    return diag_place(p->diag, err, p->file, (uint32_t)event->start_mark.line + 1,
                      (uint32_t)event->start_mark.column + 1, text);
}

/* Bytes that are no text are met while reading ahead: libyaml then knows their offset only. */
static int yaml_reader_error(struct tree_parser *p, const char *text)
{
    struct bytes before = p->text;
    uint32_t line = 1;
    uint32_t column = 1;
    if (p->yaml.problem_offset < before.len)
        before.len = p->yaml.problem_offset;
    for (size_t i = 0; i < before.len; i++) {
        bool newline = before.ptr[i] == '\n';
        line += newline;
        column = newline ? 1 : column + ((before.ptr[i] & 0xc0) != 0x80);
    }
    return diag_place(p->diag, ERR_SYNTAX, p->file, line, column, text);
}

/* What libyaml found wrong with the text itself. */
static int yaml_error(struct tree_parser *p)
{
    const yaml_parser_t *y = &p->yaml;
    if (y->error == YAML_MEMORY_ERROR)
        return diag_place(p->diag, ERR_NOMEM, p->file, 0, 0, err_text(ERR_NOMEM));
    char text[DIAG_TEXT_BYTES_MAX];
    const char *problem = y->problem ? y->problem : "cannot be read";
    const char *hint = strstr(problem, "tab") || strstr(problem, "cannot start any token")
                           ? "; indent with spaces, and put text with special characters in quotes"
                           : "";
    (void)snprintf(text, sizeof text, "not valid YAML: %s%s%s%s", y->context ? y->context : "",
                   y->context ? ", " : "", problem, hint);
    if (y->error == YAML_READER_ERROR)
        return yaml_reader_error(p, text);
    return diag_place(p->diag, ERR_SYNTAX, p->file, (uint32_t)y->problem_mark.line + 1,
                      (uint32_t)y->problem_mark.column + 1, text);
}

/* ----------------------------------------------------------------------------------------- index
 */

static struct tree **index_slot(const struct tree *map, const char *key)
{
    uint32_t mask = map->slot_count - 1;
    uint32_t slot = (uint32_t)XXH3_64bits(key, strlen(key)) & mask;
    while (map->slots[slot] && strcmp(map->slots[slot]->key, key) != 0)
        slot = (slot + 1) & mask;
    return &map->slots[slot];
}

static struct tree *child_find(const struct tree *map, const char *key)
{
    if (map->slots)
        return *index_slot(map, key);
    for (struct tree *t = map->first; t; t = t->next) {
        if (t->key && strcmp(t->key, key) == 0)
            return t;
    }
    return NULL;
}

/* Keys are compared as they come while the map is small; from INDEX_COUNT_MIN children on there is
 * an index, doubled as the map grows. */
static int index_add(struct arena *arena, struct tree *map, struct tree *child)
{
    if (map->count < INDEX_COUNT_MIN)
        return OK;
    if (map->slots && map->count * 2 <= map->slot_count) {
        *index_slot(map, child->key) = child;
        return OK;
    }
    uint32_t slots = map->slot_count ? map->slot_count * 2 : 32;
    map->slots = arena_array(arena, slots, sizeof(struct tree *));
    if (!map->slots)
        return ERR_NOMEM;
    map->slot_count = slots;
    for (struct tree *t = map->first; t; t = t->next)
        *index_slot(map, t->key) = t;
    return OK;
}

static int child_append(struct arena *arena, struct tree *parent, struct tree *child)
{
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->count++;
    return parent->kind == TREE_MAP ? index_add(arena, parent, child) : OK;
}

const struct tree *tree_get(const struct tree *t, const char *key)
{
    return t && t->kind == TREE_MAP ? child_find(t, key) : NULL;
}

const char *tree_text(const struct tree *t)
{
    return t && t->text.ptr ? (const char *)t->text.ptr : "";
}

int tree_add(struct arena *arena, struct tree *parent, const char *key, struct tree *child)
{
    assert(parent->kind == (key ? TREE_MAP : TREE_LIST));
    if (key && child_find(parent, key))
        return ERR_EXISTS;
    child->key = key ? arena_text(arena, key) : NULL;
    child->next = NULL;
    if (key && !child->key)
        return ERR_NOMEM;
    return child_append(arena, parent, child);
}

/* ---------------------------------------------------------------------------------------- events
 */

static int node_new(struct tree_parser *p, const yaml_event_t *event, enum tree_kind kind,
                    struct tree **ret)
{
    if (++p->nodes > TREE_NODES_MAX)
        return event_error(p, ERR_LIMIT, event, "more than 1,000,000 values in one file");
    struct tree *t = arena_alloc(p->arena, sizeof *t);
    if (!t)
        return event_error(p, ERR_NOMEM, event, err_text(ERR_NOMEM));
    t->kind = kind;
    t->file = p->file;
    t->line = (uint32_t)event->start_mark.line + 1;
    t->column = (uint32_t)event->start_mark.column + 1;
    *ret = t;
    return OK;
}

static int key_repeated(struct tree_parser *p, const struct tree *t, const struct tree *before)
{
    return tree_key_error(p->diag, ERR_EXISTS, t,
                          "\"%s\" is here a second time; the first is in line %u: keep one of them",
                          t->key, before->key_line);
}

/* Puts t where the parser stands: as root, into a list, or under the key that waits. */
static int node_attach(struct tree_parser *p, struct tree *t)
{
    if (p->depth == 0) {
        p->root = t;
        return OK;
    }
    struct tree *parent = p->open[p->depth - 1];
    if (parent->kind == TREE_MAP) {
        t->key = tree_text(p->key);
        t->key_line = p->key->line;
        t->key_column = p->key->column;
        p->key = NULL;
        const struct tree *before = child_find(parent, t->key);
        if (before)
            return key_repeated(p, t, before);
    }
    return child_append(p->arena, parent, t);
}

static bool scalar_is_null(struct bytes text)
{
    return text.len == 0 || str_equal(text, "~") || str_equal(text, "null") ||
           str_equal(text, "Null") || str_equal(text, "NULL");
}

static bool awaits_key(const struct tree_parser *p)
{
    return p->depth > 0 && p->open[p->depth - 1]->kind == TREE_MAP && !p->key;
}

static int key_take(struct tree_parser *p, struct tree *t)
{
    if (t->text.len == 0)
        return tree_error(p->diag, ERR_SYNTAX, t, "a key is missing before the colon");
    if (!t->quoted && str_equal(t->text, "<<"))
        return tree_error(p->diag, ERR_UNSUPPORTED, t,
                          "merge keys (<<) are not supported; write the keys out");
    p->key = t;
    return OK;
}

static int tag_check(struct tree_parser *p, const yaml_event_t *event, const yaml_char_t *tag)
{
    if (!tag || strcmp((const char *)tag, YAML_STR_TAG) == 0 || strcmp((const char *)tag, "!") == 0)
        return OK;
    return event_error(p, ERR_UNSUPPORTED, event,
                       "tags (a word that begins with !) are not supported; put the text in quotes "
                       "if it begins with !");
}

static int on_scalar(struct tree_parser *p, const yaml_event_t *event)
{
    int err = tag_check(p, event, event->data.scalar.tag);
    if (err)
        return err;
    struct bytes text = bytes_of(event->data.scalar.value, event->data.scalar.length);
    struct tree *t = NULL;
    err = node_new(p, event, TREE_TEXT, &t);
    if (err)
        return err;
    if (text.len && memchr(text.ptr, 0, text.len))
        return tree_error(p->diag, ERR_SYNTAX, t, "a zero character cannot be part of a text");
    t->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    const char *copy = arena_copy(p->arena, text);
    if (!copy)
        return tree_error(p->diag, ERR_NOMEM, t, "%s", err_text(ERR_NOMEM));
    t->text = bytes_of(copy, text.len);
    if (awaits_key(p))
        return key_take(p, t);
    if (!t->quoted && scalar_is_null(text))
        t->kind = TREE_NULL;
    return node_attach(p, t);
}

static int on_open(struct tree_parser *p, const yaml_event_t *event, enum tree_kind kind,
                   const yaml_char_t *tag)
{
    int err = tag_check(p, event, tag);
    if (err)
        return err;
    if (awaits_key(p))
        return event_error(p, ERR_SYNTAX, event,
                           "a key must be a text, not a list or a map; put it in quotes if it "
                           "begins with [ or {");
    if (p->depth == TREE_DEPTH_MAX)
        return event_error(p, ERR_LIMIT, event, "lists and maps are nested more than 32 deep");
    struct tree *t = NULL;
    err = node_new(p, event, kind, &t);
    if (!err)
        err = node_attach(p, t);
    if (!err)
        p->open[p->depth++] = t;
    return err;
}

static int on_event(struct tree_parser *p, const yaml_event_t *event, bool *ret_end)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(p, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(p, event, TREE_LIST, event->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_open(p, event, TREE_MAP, event->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        p->depth--;
        return OK;
    case YAML_ALIAS_EVENT:
        return event_error(p, ERR_UNSUPPORTED, event,
                           "aliases (*name) are not supported; write the value out");
    case YAML_DOCUMENT_START_EVENT:
        if (p->root)
            return event_error(p, ERR_UNSUPPORTED, event,
                               "a second document begins here (---); one file holds one");
        return OK;
    case YAML_STREAM_END_EVENT:
        *ret_end = true;
        return OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return OK;
}

static int parse_events(struct tree_parser *p)
{
    bool end = false;
    int err = OK;
    while (!err && !end) {
        yaml_event_t event;
        if (!yaml_parser_parse(&p->yaml, &event))
            return yaml_error(p);
        err = on_event(p, &event, &end);
        yaml_event_delete(&event);
    }
    return err;
}

int tree_parse_yaml(struct arena *arena, const char *file, struct bytes text, struct tree **ret,
                    struct diag *diag)
{
    struct tree_parser p = {.arena = arena, .diag = diag, .text = text};
    p.file = arena_text(arena, file ? file : "");
    if (!p.file)
        return diag_place(diag, ERR_NOMEM, "", 0, 0, err_text(ERR_NOMEM));
    if (text.len > TREE_TEXT_BYTES_MAX)
        return diag_place(diag, ERR_LIMIT, p.file, 0, 0, "larger than 64 MiB");
    if (!yaml_parser_initialize(&p.yaml))
        return diag_place(diag, ERR_NOMEM, p.file, 0, 0, err_text(ERR_NOMEM));
    /* Its own guess at UTF-16 would make other columns out of the same bytes. */
    yaml_parser_set_encoding(&p.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&p.yaml, text.len ? text.ptr : (const uint8_t *)"", text.len);
    int err = parse_events(&p);
    yaml_parser_delete(&p.yaml);
    if (!err && !p.root) {
        p.root = tree_new(arena, TREE_NULL, NULL);
        if (!p.root)
            return diag_place(diag, ERR_NOMEM, p.file, 0, 0, err_text(ERR_NOMEM));
        p.root->file = p.file;
        p.root->line = 1;
        p.root->column = 1;
    }
    if (!err)
        *ret = p.root;
    return err;
}

/* ------------------------------------------------------------------------------------------ JSON
 */

static int hex4(const uint8_t *p, uint32_t *ret)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i] | 0x20;
        if (p[i] >= '0' && p[i] <= '9')
            v = v << 4 | (uint32_t)(p[i] - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint32_t)(c - 'a' + 10);
        else
            return ERR_SYNTAX;
    }
    *ret = v;
    return OK;
}

/* The character that a pair of \u surrogates at p (12 bytes) stands for; false if it is none. */
static bool surrogates_at(const uint8_t *p, size_t left, uint32_t *ret)
{
    uint32_t high;
    uint32_t low;
    if (left < 12 || p[0] != '\\' || p[1] != 'u' || p[6] != '\\' || p[7] != 'u')
        return false;
    if (hex4(p + 2, &high) != OK || hex4(p + 8, &low) != OK)
        return false;
    if ((high & 0xfc00) != 0xd800 || (low & 0xfc00) != 0xdc00)
        return false;
    *ret = 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
    return true;
}

static size_t utf8_put4(uint8_t *out, uint32_t c)
{
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* YAML's name for a line end of Unicode at p, which JSON takes for an ordinary character and YAML
 * would fold into a space: its second letter, and how many bytes it replaces. 0 if there is none.
 */
static char line_end_at(const uint8_t *p, size_t left, size_t *ret_bytes)
{
    if (left >= 2 && p[0] == 0xc2 && p[1] == 0x85) {
        *ret_bytes = 2;
        return 'N';
    }
    *ret_bytes = 3;
    if (left < 3 || p[0] != 0xe2 || p[1] != 0x80)
        return 0;
    return p[2] == 0xa8 ? 'L' : p[2] == 0xa9 ? 'P' : 0;
}

/* One step of making YAML's flow style out of JSON: what stands at `from` goes to `to`. */
static size_t json_step(const uint8_t *from, size_t left, uint8_t *to, size_t *to_len)
{
    uint32_t c;
    size_t bytes;
    char name = line_end_at(from, left, &bytes);
    if (name) {
        to[(*to_len)++] = '\\';
        to[(*to_len)++] = (uint8_t)name;
        return bytes;
    }
    if (surrogates_at(from, left, &c)) {
        *to_len += utf8_put4(to + *to_len, c);
        return 12;
    }
    to[(*to_len)++] = from[0];
    if (from[0] != '\\' || left < 2)
        return 1;
    to[(*to_len)++] = from[1];
    return 2;
}

int tree_parse_json(struct arena *arena, const char *file, struct bytes text, struct tree **ret,
                    struct diag *diag)
{
    if (text.len > TREE_TEXT_BYTES_MAX)
        return diag_place(diag, ERR_LIMIT, file ? file : "", 0, 0, "larger than 64 MiB");
    uint8_t *plain = arena_alloc(arena, text.len + 1);
    if (!plain)
        return diag_place(diag, ERR_NOMEM, file ? file : "", 0, 0, err_text(ERR_NOMEM));
    size_t n = 0;
    for (size_t i = 0; i < text.len;)
        i += json_step(text.ptr + i, text.len - i, plain, &n);
    return tree_parse_yaml(arena, file, bytes_of(plain, n), ret, diag);
}
