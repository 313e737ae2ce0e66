/* Building, copying, comparing and printing trees. See tree.h.
 *
 * These walk by recursion, each with the depth in hand: a parsed tree is at most TREE_DEPTH_MAX
 * deep, and one made by hand that is deeper is refused.
 */
#include "base/str.h"
#include "config/tree.h"

/* NOLINTBEGIN(misc-no-recursion): the depth is limited to TREE_DEPTH_MAX in each of them. */

struct tree *tree_new(struct arena *arena, enum tree_kind kind, const char *text)
{
    struct tree *t = arena_alloc(arena, sizeof *t);
    if (!t)
        return NULL;
    t->kind = kind;
    t->file = "";
    if (kind == TREE_TEXT && text) {
        const char *copy = arena_text(arena, text);
        if (!copy)
            return NULL;
        t->text = bytes_of(copy, strlen(text));
    }
    return t;
}

static struct tree *copy_node(struct arena *arena, const struct tree *t, uint32_t depth)
{
    struct tree *copy = depth > TREE_DEPTH_MAX ? NULL : arena_alloc(arena, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = (struct tree){.kind = t->kind, .quoted = t->quoted, .line = t->line};
    copy->column = t->column;
    copy->key_line = t->key_line;
    copy->key_column = t->key_column;
    copy->file = t->file;
    if (t->text.ptr) {
        const char *text = arena_copy(arena, t->text);
        if (!text)
            return NULL;
        copy->text = bytes_of(text, t->text.len);
    }
    for (const struct tree *c = t->first; c; c = c->next) {
        struct tree *child = copy_node(arena, c, depth + 1);
        if (!child || tree_add(arena, copy, c->key, child) != OK)
            return NULL;
    }
    return copy;
}

/* One copy of the file's name for the whole copy. */
static void file_set(struct tree *t, const char *from, const char *to)
{
    if (t->file == from)
        t->file = to;
    for (struct tree *c = t->first; c; c = c->next)
        file_set(c, from, to);
}

struct tree *tree_copy(struct arena *arena, const struct tree *t)
{
    struct tree *copy = copy_node(arena, t, 0);
    const char *file = copy ? arena_text(arena, t->file) : NULL;
    if (!file)
        return NULL;
    file_set(copy, t->file, file);
    return copy;
}

static bool node_is_null(const struct tree *t)
{
    return !t || t->kind == TREE_NULL;
}

bool tree_equal(const struct tree *a, const struct tree *b)
{
    if (node_is_null(a) || node_is_null(b))
        return node_is_null(a) && node_is_null(b);
    if (a->kind != b->kind || a->count != b->count)
        return false;
    if (a->kind == TREE_TEXT)
        return bytes_equal(a->text, b->text);
    const struct tree *other = b->first;
    for (const struct tree *c = a->first; c; c = c->next) {
        if (!tree_equal(c, a->kind == TREE_MAP ? tree_get(b, c->key) : other))
            return false;
        other = other->next;
    }
    return true;
}

/* -------------------------------------------------------------------------------------- printing
 */

static size_t digits_at(struct bytes v, size_t i)
{
    size_t n = 0;
    while (i + n < v.len && v.ptr[i + n] >= '0' && v.ptr[i + n] <= '9')
        n++;
    return n;
}

/* RFC 8259, section 6. */
static bool is_json_number(struct bytes v)
{
    size_t i = v.len && v.ptr[0] == '-';
    size_t n = digits_at(v, i);
    if (n == 0 || (n > 1 && v.ptr[i] == '0'))
        return false;
    i += n;
    if (i < v.len && v.ptr[i] == '.') {
        n = digits_at(v, i + 1);
        i += n + 1;
        if (n == 0)
            return false;
    }
    if (i < v.len && (v.ptr[i] | 0x20) == 'e') {
        i++;
        i += i < v.len && (v.ptr[i] == '+' || v.ptr[i] == '-');
        n = digits_at(v, i);
        i += n;
        if (n == 0)
            return false;
    }
    return i == v.len;
}

static int print_scalar(const struct tree *t, struct buf *out)
{
    if (t->kind == TREE_NULL)
        return buf_append_text(out, "null");
    bool bare = !t->quoted && (str_equal(t->text, "true") || str_equal(t->text, "false") ||
                               is_json_number(t->text));
    return bare ? buf_append_bytes(out, t->text) : str_print_json(t->text, out);
}

static int print_node(const struct tree *t, struct buf *out, uint32_t depth)
{
    if (depth > TREE_DEPTH_MAX)
        return ERR_LIMIT;
    if (t->kind != TREE_LIST && t->kind != TREE_MAP)
        return print_scalar(t, out);
    bool map = t->kind == TREE_MAP;
    (void)buf_append_u8(out, map ? '{' : '[');
    for (const struct tree *c = t->first; c; c = c->next) {
        if (map) {
            (void)str_print_json(bytes_of_text(c->key), out);
            (void)buf_append_u8(out, ':');
        }
        int err = print_node(c, out, depth + 1);
        if (err)
            return err;
        if (c->next)
            (void)buf_append_u8(out, ',');
    }
    return buf_append_u8(out, map ? '}' : ']');
}

int tree_print_json(const struct tree *t, struct buf *out)
{
    return t ? print_node(t, out, 0) : buf_append_text(out, "null");
}

/* NOLINTEND(misc-no-recursion) */
