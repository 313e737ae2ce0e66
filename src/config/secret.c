/* ${env:NAME} and ${file:PATH} in texts. See option.h.
 *
 * A file's last line end is cut, since everyone's editor adds one to a password file.
 */
#include "base/str.h"
#include "config/config_priv.h"

#include <stdlib.h>

#define SECRET_NAME_BYTES_MAX 1024

struct secret {
    const struct tree *at;
    struct diag *diag;
    struct buf out;
};

static int secret_env(struct secret *s, const char *name)
{
    const char *value = getenv(name);
    if (!value)
        return tree_error(s->diag, ERR_NOT_FOUND, s->at,
                          "the environment has no variable %s; set it, or use ${file:PATH}", name);
    return buf_append_text(&s->out, value);
}

static int secret_file(struct secret *s, const char *path)
{
    int err = file_read(path, OPTION_SECRET_BYTES_MAX, &s->out);
    if (err == ERR_LIMIT)
        return tree_error(s->diag, err, s->at, "the file %s is larger than 64 KiB", path);
    if (err)
        return tree_error(s->diag, ERR_NOT_FOUND, s->at, "cannot read the file %s: %s", path,
                          err_text(err));
    if (s->out.len && s->out.ptr[s->out.len - 1] == '\n')
        s->out.len--;
    if (s->out.len && s->out.ptr[s->out.len - 1] == '\r')
        s->out.len--;
    return OK;
}

/* What stands in ${…}. */
static int secret_expand(struct secret *s, struct bytes inner)
{
    char name[SECRET_NAME_BYTES_MAX];
    bool env = str_starts(inner, "env:");
    size_t skip = env ? 4 : 5;
    size_t len = inner.len - skip;
    if (len == 0 || len >= sizeof name)
        return tree_error(s->diag, ERR_SYNTAX, s->at, "${%s} needs a %s",
                          env ? "env:" : "file:", env ? "variable's name" : "path");
    memcpy(name, inner.ptr + skip, len);
    name[len] = 0;
    return env ? secret_env(s, name) : secret_file(s, name);
}

static bool is_reference(struct bytes v)
{
    return str_starts(v, "${env:") || str_starts(v, "${file:");
}

static int secrets_expand(struct secret *s, struct bytes rest)
{
    while (rest.len) {
        if (str_starts(rest, "$${")) {
            (void)buf_append_text(&s->out, "${");
            rest = bytes_of(rest.ptr + 3, rest.len - 3);
            continue;
        }
        if (!is_reference(rest)) {
            (void)buf_append_u8(&s->out, rest.ptr[0]);
            rest = bytes_of(rest.ptr + 1, rest.len - 1);
            continue;
        }
        struct bytes inner;
        rest = str_split(bytes_of(rest.ptr + 2, rest.len - 2), '}', &inner);
        if (!rest.ptr)
            return tree_error(s->diag, ERR_SYNTAX, s->at,
                              "${… has no closing }; write $${ for a "
                              "text that begins with ${");
        int err = secret_expand(s, inner);
        if (err)
            return err;
    }
    return buf_error(&s->out);
}

int option_secrets(struct arena *arena, const struct tree *at, const char *text, const char **ret,
                   struct diag *diag)
{
    if (!strstr(text, "${")) {
        *ret = text;
        return OK;
    }
    struct secret s = {.at = at, .diag = diag};
    int err = secrets_expand(&s, bytes_of_text(text));
    if (!err && s.out.len && memchr(s.out.ptr, 0, s.out.len))
        err = tree_error(diag, ERR_SYNTAX, at, "a secret cannot hold a zero character");
    if (!err) {
        const char *copy = arena_copy(arena, buf_bytes(&s.out));
        err = copy ? OK : tree_error(diag, ERR_NOMEM, at, "%s", err_text(ERR_NOMEM));
        if (copy)
            *ret = copy;
    }
    buf_fini(&s.out);
    return err;
}
