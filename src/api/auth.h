/* Who may do what: tokens, one-time links, sessions. Private to api/.
 *
 * Only hashes are kept in memory; the one token that the node makes itself lies in
 * DATA/admin.token, readable by its owner alone, so that whoever may read the data may sign in.
 * Links live ten minutes and are used once; sessions live twelve hours and end with the program.
 */
#ifndef LOTLINE_API_AUTH_H
#define LOTLINE_API_AUTH_H

#include "base/bytes.h"
#include "base/err.h"
#include "model/call.h"

#define AUTH_TOKEN_BYTES      32
#define AUTH_TOKEN_TEXT_BYTES (AUTH_TOKEN_BYTES * 2 + 1) /* hexadecimal, with the zero */
#define AUTH_USER_BYTES_MAX   63
#define AUTH_LINK_LIFE_US     (600 * 1000000LL)
#define AUTH_SESSION_LIFE_US  (12 * 3600 * 1000000LL)
#define AUTH_TOKENS_MAX       64
#define AUTH_LINKS_MAX        16   /* beyond it the oldest goes */
#define AUTH_SESSIONS_MAX     1024 /* likewise */
#define AUTH_GIVEN_BYTES_MAX  256  /* longer ones are nobody's */

struct auth;

struct auth_who {
    enum call_role role;
    char user[AUTH_USER_BYTES_MAX + 1];
};

int auth_new(struct auth **ret);
void auth_free(struct auth *a); /* NULL is allowed */

/* One more token, from the configuration. ERR_LIMIT. */
int auth_token_add(struct auth *a, const char *user, enum call_role role, const char *token);

/* Reads the node's own token from path, or makes one and writes it there (mode 0600). Blocks.
 * ERR_IO, … with *diag. */
int auth_admin_open(struct auth *a, const char *path, struct diag *diag);

/* The functions below: any thread, now_us is monotonic. ERR_AUTH when it is nobody's. */
int auth_token_check(struct auth *a, struct bytes token, struct auth_who *ret);
int auth_session_check(struct auth *a, struct bytes token, int64_t now_us, struct auth_who *ret);

/* A link's token, as text. ERR_IO (no randomness). */
int auth_link_new(struct auth *a, const struct auth_who *who, int64_t now_us,
                  char ret_token[static AUTH_TOKEN_TEXT_BYTES]);

/* Uses a link up. ERR_AUTH: unknown, used or too old. */
int auth_link_use(struct auth *a, struct bytes token, int64_t now_us, struct auth_who *ret);

int auth_session_new(struct auth *a, const struct auth_who *who, int64_t now_us,
                     char ret_token[static AUTH_TOKEN_TEXT_BYTES]);
void auth_session_end(struct auth *a, struct bytes token);

const char *auth_role_name(enum call_role role);
bool auth_role_find(const char *name, enum call_role *ret);

#endif
