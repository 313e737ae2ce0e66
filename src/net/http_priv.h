/* What http_server.c and http_stream.c know of each other. */
#ifndef LOTLINE_NET_HTTP_PRIV_H
#define LOTLINE_NET_HTTP_PRIV_H

#include "base/list.h"
#include "net/http_server.h"

#include <pthread.h>
#include <stdatomic.h>

#include <microhttpd.h>

/* Referenced by its owner, its requests and its streams, so that an answer that comes after the
 * stop still finds the lock. */
struct http_server {
    atomic_uint refs;
    pthread_mutex_t mutex; /* of requests' states and both lists; taken before a stream's */
    bool stopping;
    struct list requests;
    struct list streams;
    struct MHD_Daemon *daemon;
    struct http_server_options options;
    char address[ADDRESS_TEXT_BYTES_MAX];
};

struct http_server *http_server_ref(struct http_server *s);
void http_server_unref(struct http_server *s);

#define HTTP_METHOD_BYTES_MAX 15

/* Referenced by MHD's connection and by whoever has to answer it. */
struct http_request {
    atomic_uint refs;
    struct http_server *server;
    struct list link; /* under the server's mutex, as the next four */
    bool handed;      /* on_request was called: somebody holds the second reference */
    bool answered;
    bool suspended;
    struct MHD_Response *response; /* when answered, until it is queued */
    int status;
    bool too_large;
    struct MHD_Connection *connection;
    struct http_peer peer;
    struct buf body;
    char method[HTTP_METHOD_BYTES_MAX + 1];
    char *path;
};

/* Answers r with a response (taken). False if it was answered already, by the stop of the server.
 */
bool http_request_answer(struct http_request *r, int status, struct MHD_Response *response);
void http_request_unref(struct http_request *r);

/* Adds *answer's headers. */
void http_answer_headers(struct MHD_Response *response, const struct http_answer *answer);

/* The server stops; under its mutex. */
void http_stream_abandon(struct http_stream *s);
struct http_stream *http_stream_of(struct list *link);

#endif
