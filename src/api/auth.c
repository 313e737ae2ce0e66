/* See auth.h.
 *
 * Secrets are compared as SHA-256 hashes in constant time, and every list is walked to its end, so
 * that neither the place nor the length of a match can be measured.
 */
#include "api/auth.h"

#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

struct secret {
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct auth_who who;
    int64_t end_us; /* INT64_MAX: a token; 0: this place is free */
};

struct auth {
    pthread_mutex_t mutex;
    struct secret tokens[AUTH_TOKENS_MAX];
    struct secret links[AUTH_LINKS_MAX];
    struct secret sessions[AUTH_SESSIONS_MAX];
};

int auth_new(struct auth **ret)
{
    struct auth *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&a->mutex, NULL);
    *ret = a;
    return OK;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    (void)pthread_mutex_destroy(&a->mutex);
    sodium_memzero(a, sizeof *a);
    free(a);
}

/* ------------------------------------------------------------------------------ a list of secrets
 */

static void secret_hash(struct bytes text, uint8_t out[static crypto_hash_sha256_BYTES])
{
    (void)crypto_hash_sha256(out, text.ptr, text.len);
}

/* NULL if it is nobody's or too old. */
static struct secret *secret_find(struct secret *list, size_t count, struct bytes text,
                                  int64_t now_us)
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    struct secret *found = NULL;
    if (text.len == 0 || text.len > AUTH_GIVEN_BYTES_MAX)
        return NULL;
    secret_hash(text, hash);
    for (size_t i = 0; i < count; i++) {
        if (sodium_memcmp(list[i].hash, hash, sizeof hash) == 0 && list[i].end_us > now_us)
            found = &list[i];
    }
    return found;
}

/* A free place, or that of the one that ends first. */
static struct secret *secret_place(struct secret *list, size_t count)
{
    struct secret *first = &list[0];
    for (size_t i = 1; i < count; i++) {
        if (list[i].end_us < first->end_us)
            first = &list[i];
    }
    return first;
}

static int secret_make(char out[static AUTH_TOKEN_TEXT_BYTES])
{
    uint8_t raw[AUTH_TOKEN_BYTES];
    int err = rand_bytes(raw, sizeof raw);
    if (!err)
        (void)sodium_bin2hex(out, AUTH_TOKEN_TEXT_BYTES, raw, sizeof raw);
    return err;
}

static void secret_fill(struct secret *s, struct bytes text, const struct auth_who *who,
                        int64_t end_us)
{
    secret_hash(text, s->hash);
    s->who = *who;
    s->end_us = end_us;
}

/* --------------------------------------------------------------------------------------- tokens */

int auth_token_add(struct auth *a, const char *user, enum call_role role, const char *token)
{
    struct auth_who who = {.role = role};
    (void)snprintf(who.user, sizeof who.user, "%s", user);
    (void)pthread_mutex_lock(&a->mutex);
    struct secret *place = secret_place(a->tokens, AUTH_TOKENS_MAX);
    int err = place->end_us ? ERR_LIMIT : OK;
    if (!err)
        secret_fill(place, bytes_of_text(token), &who, INT64_MAX);
    (void)pthread_mutex_unlock(&a->mutex);
    return err;
}

int auth_token_check(struct auth *a, struct bytes token, struct auth_who *ret)
{
    (void)pthread_mutex_lock(&a->mutex);
    struct secret *s = secret_find(a->tokens, AUTH_TOKENS_MAX, token, 0);
    if (s)
        *ret = s->who;
    (void)pthread_mutex_unlock(&a->mutex);
    return s ? OK : ERR_AUTH;
}

/* Reads a token of the right form; ERR_NOT_FOUND if there is no file. */
static int admin_read(const char *path, char out[static AUTH_TOKEN_TEXT_BYTES], struct diag *diag)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    char text[AUTH_TOKEN_TEXT_BYTES + 1] = "";
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);
    int err = got < 0 ? err_from_errno(errno) : OK;
    if (fd >= 0)
        (void)close(fd);
    if (err)
        return diag_set(diag, err, 0, 0, "cannot read %s: %s", path, err_text(err));
    size_t len = strspn(text, "0123456789abcdef");
    if (len != AUTH_TOKEN_TEXT_BYTES - 1 || (text[len] != 0 && text[len] != '\n'))
        return diag_set(diag, ERR_MALFORMED, 0, 0,
                        "%s does not hold a token; remove it and a new one is made", path);
    memcpy(out, text, len);
    out[len] = 0;
    return OK;
}

/* Written aside and renamed: a kill leaves no half a token. */
static int admin_write(const char *path, const char *token, struct diag *diag)
{
    char partial[4096];
    int len = snprintf(partial, sizeof partial, "%s.partial", path);
    if (len < 0 || (size_t)len >= sizeof partial)
        return diag_set(diag, ERR_LIMIT, 0, 0, "the path %s is too long", path);
    (void)unlink(partial);
    int fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err = fd < 0 ? err_from_errno(errno) : OK;
    char line[AUTH_TOKEN_TEXT_BYTES + 1];
    (void)snprintf(line, sizeof line, "%s\n", token);
    if (!err && write(fd, line, AUTH_TOKEN_TEXT_BYTES) != AUTH_TOKEN_TEXT_BYTES)
        err = ERR_IO;
    if (!err && fsync(fd))
        err = err_from_errno(errno);
    if (fd >= 0)
        (void)close(fd);
    if (!err && rename(partial, path))
        err = err_from_errno(errno);
    sodium_memzero(line, sizeof line);
    return err ? diag_set(diag, err, 0, 0, "cannot write %s: %s", path, err_text(err)) : OK;
}

int auth_admin_open(struct auth *a, const char *path, struct diag *diag)
{
    char token[AUTH_TOKEN_TEXT_BYTES];
    int err = admin_read(path, token, diag);
    if (err == ERR_NOT_FOUND) {
        err = secret_make(token);
        if (!err)
            err = admin_write(path, token, diag);
    }
    if (!err)
        err = auth_token_add(a, "admin", CALL_ADMIN, token);
    sodium_memzero(token, sizeof token);
    return err;
}

/* --------------------------------------------------------------------------- links and sessions */

static int secret_new(struct auth *a, struct secret *list, size_t count, const struct auth_who *who,
                      int64_t end_us, char ret_token[static AUTH_TOKEN_TEXT_BYTES])
{
    char token[AUTH_TOKEN_TEXT_BYTES];
    int err = secret_make(token);
    if (err)
        return err;
    (void)pthread_mutex_lock(&a->mutex);
    secret_fill(secret_place(list, count), bytes_of_text(token), who, end_us);
    (void)pthread_mutex_unlock(&a->mutex);
    memcpy(ret_token, token, sizeof token);
    return OK;
}

int auth_link_new(struct auth *a, const struct auth_who *who, int64_t now_us,
                  char ret_token[static AUTH_TOKEN_TEXT_BYTES])
{
    return secret_new(a, a->links, AUTH_LINKS_MAX, who, now_us + AUTH_LINK_LIFE_US, ret_token);
}

int auth_link_use(struct auth *a, struct bytes token, int64_t now_us, struct auth_who *ret)
{
    (void)pthread_mutex_lock(&a->mutex);
    struct secret *s = secret_find(a->links, AUTH_LINKS_MAX, token, now_us);
    if (s) {
        *ret = s->who;
        *s = (struct secret){0};
    }
    (void)pthread_mutex_unlock(&a->mutex);
    return s ? OK : ERR_AUTH;
}

int auth_session_new(struct auth *a, const struct auth_who *who, int64_t now_us,
                     char ret_token[static AUTH_TOKEN_TEXT_BYTES])
{
    return secret_new(a, a->sessions, AUTH_SESSIONS_MAX, who, now_us + AUTH_SESSION_LIFE_US,
                      ret_token);
}

int auth_session_check(struct auth *a, struct bytes token, int64_t now_us, struct auth_who *ret)
{
    (void)pthread_mutex_lock(&a->mutex);
    struct secret *s = secret_find(a->sessions, AUTH_SESSIONS_MAX, token, now_us);
    if (s)
        *ret = s->who;
    (void)pthread_mutex_unlock(&a->mutex);
    return s ? OK : ERR_AUTH;
}

void auth_session_end(struct auth *a, struct bytes token)
{
    (void)pthread_mutex_lock(&a->mutex);
    struct secret *s = secret_find(a->sessions, AUTH_SESSIONS_MAX, token, 0);
    if (s)
        *s = (struct secret){0};
    (void)pthread_mutex_unlock(&a->mutex);
}

/* ---------------------------------------------------------------------------------------- roles */

static const char *const role_names[] = {"viewer", "engineer", "admin"};

const char *auth_role_name(enum call_role role)
{
    return role_names[role];
}

bool auth_role_find(const char *name, enum call_role *ret)
{
    for (int i = CALL_VIEWER; i <= CALL_ADMIN; i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *ret = (enum call_role)i;
            return true;
        }
    }
    return false;
}
