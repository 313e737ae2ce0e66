/* What comes from disk: a whole file, and the files of a configuration joined. See config_priv.h.
 */
#include "config/config_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define READ_BYTES 16384

static int read_all(int fd, size_t bytes_max, struct buf *out)
{
    for (size_t total = 0;;) {
        uint8_t *to = buf_reserve(out, READ_BYTES);
        if (!to)
            return ERR_NOMEM;
        ssize_t n = read(fd, to, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            return OK;
        total += (size_t)n;
        if (total > bytes_max)
            return ERR_LIMIT;
        out->len += (size_t)n;
    }
}

int file_read(const char *path, size_t bytes_max, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    int err = read_all(fd, bytes_max, out);
    (void)close(fd);
    return err;
}

/* A key without a value, then the same key with one: the second counts. */
static void node_become(struct tree *t, const struct tree *from)
{
    struct tree *next = t->next;
    const char *key = t->key;
    *t = *from;
    t->next = next;
    t->key = key;
}

static int key_merge(struct arena *arena, struct tree *into, struct tree *child, struct diag *diag)
{
    struct tree *there = into->first;
    while (there && strcmp(there->key, child->key) != 0)
        there = there->next;
    if (!there)
        return tree_add(arena, into, child->key, child);
    if (child->kind == TREE_NULL)
        return OK;
    if (there->kind == TREE_NULL) {
        node_become(there, child);
        return OK;
    }
    if (there->kind != TREE_LIST || child->kind != TREE_LIST)
        return tree_key_error(diag, ERR_EXISTS, child,
                              "\"%s\" is set in %s:%u already; keep it in one file", child->key,
                              there->file, there->key_line);
    int err = OK;
    struct tree *next = child->first;
    while (next && !err) {
        struct tree *item = next;
        next = item->next;
        err = tree_add(arena, there, NULL, item);
    }
    return err;
}

int tree_merge(struct arena *arena, struct tree *into, struct tree *from, struct diag *diag)
{
    if (from->kind == TREE_NULL)
        return OK;
    if (from->kind != TREE_MAP)
        return tree_error(diag, ERR_TYPE, from,
                          "a configuration is a map: lines like \"name: line1\", not a %s",
                          tree_kind_name(from->kind));
    int err = OK;
    struct tree *next = from->first;
    while (next && !err) {
        struct tree *child = next;
        next = child->next;
        err = key_merge(arena, into, child, diag);
    }
    return err;
}
