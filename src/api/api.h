/* REST, the console's files, live events and metrics, over HTTP and over DATA/lotline.sock.
 *
 * One table of routes (routes.c) says which call answers which path. Routing, the check of what
 * comes in, roles, the OpenAPI document and docs/rest.md all come from it and from the calls' own
 * specs, so that nothing can be served that is not described.
 *
 * Who may do what: a bearer token, a session cookie (made from a token or a one-time link), or the
 * user id at the other end of the unix socket. Everything else gets 401, also from this machine,
 * but /health and, on loopback, /metrics.
 */
#ifndef LOTLINE_API_API_H
#define LOTLINE_API_API_H

#include "config/config.h"
#include "model/catalogue.h"
#include "model/metrics.h"

struct api;
struct api_health;

#define API_TOKEN_FILE      "admin.token"
#define API_SOCKET_FILE     "lotline.sock"
#define API_ADDRESS_DEFAULT "127.0.0.1:8080"

/* A call that changes something has ended, for the audit. Borrowed for the call. */
struct api_change {
    const struct call_origin *origin;
    const char *call;     /* "node.log_level_set" */
    struct bytes request; /* JSON object, as bound */
    int err;
    const char *text; /* why it failed, "" otherwise */
};

struct api_options {
    const char *data;        /* the data directory: token file and socket; copied */
    const char *console;     /* folder of the console's files; NULL = none; copied */
    const char *version;     /* of the program; static */
    struct metrics *metrics; /* printed at /metrics; NULL = the process's alone */
    /* Reports on each module by api_health_module, on one of the HTTP threads; must not block.
     * NULL: every module that is on is well. */
    void (*health)(void *ctx, struct api_health *h);
    /* Told of each ended call that has CALL_CHANGES, on the API's worker, before the client is; it
     * may block shortly. gateway.write is told too: who audits that elsewhere leaves it out. NULL =
     * none. */
    void (*changed)(void *ctx, const struct api_change *change);
    void *ctx;
};

/* Starts the API's worker thread (idle). ERR_NOMEM, … */
int api_new(const struct api_options *options, struct api **ret);

/* Reads `listen.http` and the section `api`, adds the calls node.info, node.log_level,
 * node.log_level_set and node.link. After every stage that adds calls. Pure. */
int api_configure(struct api *a, const struct config *config, struct catalogue *catalogue,
                  struct diag *diag);

/* Makes or reads the token, finds the calls of the routes in the catalogue, listens on HTTP and on
 * the socket. Blocking. ERR_IN_USE, ERR_IO, … with *diag. */
int api_start(struct api *a, struct diag *diag);

/* Ends open requests with 503 and event streams; waits. The loops of the streams it listened to
 * must still run. Idempotent. */
void api_stop(struct api *a);
void api_free(struct api *a); /* NULL is allowed */

/* "127.0.0.1:8080" with the real port; its port. After api_start. */
const char *api_address(const struct api *a);
uint16_t api_port(const struct api *a);

/* A link that signs in once within ten minutes: made by api_start, for the first person. Lives as
 * long as the api. "" before the start. */
const char *api_sign_in_link(const struct api *a);

/* Whose token it is: ERR_AUTH if nobody's. Constant time, any thread, never blocks: for other
 * protocols (the broker's passwords). */
int api_token_check(struct api *a, struct bytes token, enum call_role *ret_role);

/* One line of a health report. text is one sentence, or "" when ok. */
void api_health_module(struct api_health *h, const char *module, bool ok, const char *text);

#endif
