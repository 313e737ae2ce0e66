/* An HTTP server on threads of its own: libmicrohttpd behind a small interface.
 *
 * A request is handed over whole (headers and body). Its answer may come at once or later from any
 * thread: meanwhile the connection is suspended and costs no thread. A streaming answer
 * (server-sent events, lines of a tail) is a bounded queue of messages per client: writing never
 * blocks; a message with a key takes the place of one that still waits under the same key, and when
 * the queue is full the oldest goes and is counted. So a slow browser slows nobody.
 */
#ifndef LOTLINE_NET_HTTP_SERVER_H
#define LOTLINE_NET_HTTP_SERVER_H

#include "base/bytes.h"
#include "base/err.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_server;
struct http_request;
struct http_stream;

/* ---------------------------------------------------------------------------------------- server
 */

struct http_server_options {
    const char *address;     /* "127.0.0.1:8080", "unix:/path"; port 0 = any free one */
    const char *key;         /* the setting that gives the address, for messages */
    uint32_t threads;        /* 0 = 2 */
    uint32_t conns_max;      /* 0 = 512 */
    uint32_t idle_timeout_s; /* 0 = 60 */
    size_t body_bytes_max;   /* 0 = 4 MiB; above it the client gets 413 */
    /* On one of the server's threads; must not block; must lead to exactly one http_respond…. */
    void (*on_request)(void *ctx, struct http_request *r);
    void *ctx;
};

/* Binds and starts. Errors as listener_open. */
int http_server_start(const struct http_server_options *options, struct http_server **ret,
                      struct diag *diag);

/* The address with its real port; the port (0 for a unix socket). */
const char *http_server_address(const struct http_server *s);
uint16_t http_server_port(const struct http_server *s);

/* Answers what is open with 503, ends streams, ends the threads and frees the server. Requests and
 * streams still held by others stay valid until they are let go, and do nothing more. NULL is
 * allowed. Blocks; not from on_request. */
void http_server_stop(struct http_server *s);

/* --------------------------------------------------------------------------------------- request
 */

/* These live until the request is answered. */
const char *http_request_method(const struct http_request *r);
const char *http_request_path(const struct http_request *r); /* percent-decoded, without query */
struct bytes
http_request_body(const struct http_request *r); /* PAYLOAD_PAD spare bytes behind it */

/* Only inside on_request. NULL if there is none. */
const char *http_request_header(const struct http_request *r, const char *name);
const char *http_request_cookie(const struct http_request *r, const char *name);

/* Calls fn for each argument of the query, decoded, in order; fn ends the walk with non-zero, which
 * is returned. Only inside on_request. */
int http_request_query_each(const struct http_request *r,
                            int (*fn)(void *ctx, struct bytes name, struct bytes value), void *ctx);

/* Who asks. */
struct http_peer {
    bool is_unix;
    bool is_loopback;
    uid_t uid;                         /* unix */
    char text[ADDRESS_TEXT_BYTES_MAX]; /* "127.0.0.1:51234", "unix" */
};

const struct http_peer *http_request_peer(const struct http_request *r);

/* ---------------------------------------------------------------------------------------- answer
 */

struct http_header {
    const char *name;
    const char *value;
};

struct http_answer {
    int status;
    const char *content_type; /* NULL = none */
    const struct http_header *headers;
    size_t header_count;
};

/* Whether nobody waits for the answer any more: the client has closed its side, or the server has
 * stopped. Before it is answered; any thread, never blocks. */
bool http_request_is_gone(struct http_request *r);

/* Ends the request; the contents of *body are taken (it is empty afterwards; NULL = no body). From
 * any thread, also from inside on_request. r is gone afterwards. Everything in *answer is copied.
 */
void http_respond(struct http_request *r, const struct http_answer *answer, struct buf *body);

/* As http_respond with a file's first size bytes; fd is taken. */
void http_respond_file(struct http_request *r, const struct http_answer *answer, int fd,
                       uint64_t size);

/* --------------------------------------------------------------------------------------- stream */

struct http_stream_options {
    size_t queued_bytes_max; /* 0 = 1 MiB */
    void *ctx;
    /* The client has gone, or the server stops: once, on one of the server's threads (or the one
     * that stops it); must not block. Writing is harmless afterwards. May be NULL. */
    void (*on_close)(void *ctx);
};

/* Ends the request with an answer whose body goes on until http_stream_end. *ret has one reference.
 * On ERR_NOMEM the request is still to be answered. Any thread. */
int http_respond_stream(struct http_request *r, const struct http_answer *answer,
                        const struct http_stream_options *options, struct http_stream **ret);

/* Queues a copy of v as one message. key 0 = none; otherwise it replaces a waiting message with the
 * same key. ERR_CLOSED after the end, ERR_NOMEM; ERR_LIMIT if v alone is larger than the queue. Any
 * thread, never blocks. */
int http_stream_write(struct http_stream *s, uint64_t key, struct bytes v);

/* Bytes that wait, and messages dropped or replaced so far. Any thread. */
size_t http_stream_queued_bytes(struct http_stream *s);
uint64_t http_stream_dropped(struct http_stream *s);

/* Sends what waits, then ends the body. Any thread, idempotent. */
void http_stream_end(struct http_stream *s);

struct http_stream *http_stream_ref(struct http_stream *s);
void http_stream_unref(struct http_stream *s); /* NULL is allowed */

#endif
