/* The inside of api/. */
#ifndef LOTLINE_API_API_PRIV_H
#define LOTLINE_API_API_PRIV_H

#include "api/api.h"
#include "api/auth.h"
#include "api/bind.h"
#include "api/routes.h"
#include "base/arena.h"
#include "net/http_server.h"

#include <pthread.h>
#include <stdatomic.h>

#define API_COOKIE_BYTES_MAX 32

struct events;

/* What the section `api` says. */
struct api_section {
    const char *console;
    const struct tree *tokens;
};

struct api {
    char *data;
    char *console;
    const char *version;
    struct api_options options;
    const struct config *config;
    struct catalogue *catalogue;
    struct arena arena; /* the section's texts */
    struct api_section section;
    struct exec *worker; /* answers of calls, events, tails; may block */
    struct auth *auth;
    struct metrics *metrics;
    struct metrics *own_metrics;
    const struct call_port **ports; /* of each route; NULL = its module is off */
    struct timing *timings;         /* beside them */
    struct http_server *http;
    struct http_server *socket;
    struct events *events;
    struct buf openapi;
    char *address;
    uint16_t port;
    char *link;
    int data_fd;         /* the data directory, where its path is too long for a socket */
    atomic_bool serving; /* started wholly: what is above may be read */
    char cookie[API_COOKIE_BYTES_MAX];
    int64_t started_us; /* monotonic */
    bool started;
    /* What still has to come back before the api may stop: calls, flows, streams. */
    pthread_mutex_t pending_mutex;
    pthread_cond_t pending_cond;
    uint32_t pending;
};

void api_pending_add(struct api *a);
void api_pending_done(struct api *a);

/* Who asks, and how that was proved. */
struct caller {
    struct auth_who who;
    const char *channel; /* "rest", "socket" */
    bool known;
    bool by_cookie;
};

/* A request on its way. Lives from on_request until it is answered. */
struct exchange {
    struct api *api;
    struct http_request *request; /* NULL once answered */
    const struct route *route;
    const struct call_port *port; /* NULL for a special without a call */
    struct caller caller;
    struct arena arena;
    struct batch *input; /* what was bound; NULL if there is nothing */
    int64_t began_us;    /* monotonic */
    bool wants_csv;
};

/* serve.c */
void api_on_request(void *ctx, struct http_request *r);
void caller_identify(struct api *a, const struct http_request *r, struct caller *out);
struct call_origin caller_origin(const struct caller *c);

/* answer.c: each ends the request; the exchange's forms free it too. */
void answer_problem(struct http_request *r, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void answer_status(struct http_request *r, int status, const char *title, const char *allow,
                   const char *detail);
void exchange_fail(struct exchange *x, int err, const char *text);
void exchange_json(struct exchange *x, const struct http_header *headers, size_t header_count,
                   struct buf *body);
void exchange_answer(struct exchange *x, const struct batch *answer);
void exchange_free(struct exchange *x);

/* Prints the batch of a call as its route answers it: an array, or one object. ERR_NOT_FOUND: one
 * was wanted and there is none. */
int answer_print(const struct call_port *port, const struct batch *answer, struct buf *out);

/* files.c, pages.c */
void pages_serve(struct api *a, struct http_request *r);
void files_serve(struct api *a, struct http_request *r);

/* events.c */
int events_new(struct api *a, struct events **ret);
void events_stop(struct events *e);
void events_free(struct events *e);

/* timing.c: how long each call took, in memory until the end. */
#define TIMING_BOUNDS 14
struct timing;
int timing_new(struct timing **ret);
/* `call` has a route. */
void timing_note(struct timing *timings, const char *call, int64_t began_us);
void timing_collect(void *ctx, struct metrics_writer *w);

/* openapi.c */
int openapi_print(const struct api *a, struct buf *out);

/* calls.c */
int calls_add(struct api *a);
int calls_link_new(struct api *a, struct buf *out);

/* session.c: the Set-Cookie value that signs in (token) or out (NULL). */
void session_cookie(const struct api *a, const char *token, struct buf *out);

#endif
