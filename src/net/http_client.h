/* An HTTP client on a loop: libcurl behind a small interface.
 *
 * A call is a whole request and a whole answer: what asks here (a source that polls, an action that
 * tells an MES of a hold) wants a document, not a stream. Nothing blocks: libcurl says which
 * sockets and which time it waits for, and the loop waits for it. libcurl is loaded when the first
 * client is made, so that a node that asks nobody does not carry its libraries.
 *
 * Whatever goes wrong is said as a sentence that names the URL: host not found, refused, no answer
 * in time, status 404.
 */
#ifndef LOTLINE_NET_HTTP_CLIENT_H
#define LOTLINE_NET_HTTP_CLIENT_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/exec.h"

#define HTTP_CLIENT_CALLS_MAX     256
#define HTTP_CLIENT_TEXT_BYTES    512
#define HTTP_CLIENT_TIMEOUT_MS    10000
#define HTTP_CLIENT_ANSWER_BYTES  (16u << 20)
#define HTTP_CLIENT_REDIRECTS_MAX 5

struct http_client;
struct http_call;

/* On the loop's thread (as everything below). ERR_NOT_FOUND with *diag: libcurl is not installed;
 * ERR_NOMEM. */
int http_client_new(struct exec *loop, struct http_client **ret, struct diag *diag);

/* Ends all calls without telling anybody. NULL is allowed. Before the loop is freed. */
void http_client_free(struct http_client *c);

struct http_ask {
    const char *method; /* NULL = GET */
    const char *url;    /* http:// or https:// */
    const char *shown;  /* how to call it in messages (no secrets); NULL = url */
    /* Whole lines, "Accept: application/json". */
    const char *const *headers;
    size_t header_count;
    struct bytes body;       /* empty = none; copied */
    int64_t timeout_ms;      /* of the whole call; 0 = HTTP_CLIENT_TIMEOUT_MS */
    size_t answer_bytes_max; /* 0 = HTTP_CLIENT_ANSWER_BYTES; a longer answer is an error */
    uint32_t redirects_max;  /* 0 = HTTP_CLIENT_REDIRECTS_MAX */
};

struct http_outcome {
    /* OK: a status of 200 to 299. ERR_UNREACHABLE (no such host), ERR_REFUSED, ERR_TIMEOUT,
     * ERR_LIMIT (answer too long, too many redirects), ERR_INVALID (URL), ERR_AUTH (401, or a
     * certificate), ERR_DENIED (403), ERR_NOT_FOUND (404), ERR_PROTOCOL (another status), ERR_IO.
     */
    int err;
    long status;       /* 0 = there was no answer */
    const char *text;  /* what went wrong, one sentence; "" when nothing did */
    struct bytes body; /* PAYLOAD_PAD spare bytes behind it; lives during the callback */
};

typedef void (*http_done_fn)(void *ctx, const struct http_outcome *outcome);

/* Sends a request; everything in *ask is copied. 0: done runs once, later. On error (ERR_NOMEM,
 * ERR_LIMIT: too many calls) it does not run. *ret (may be NULL) serves http_call_cancel until done
 * has run. */
int http_client_send(struct http_client *c, const struct http_ask *ask, http_done_fn done,
                     void *ctx, struct http_call **ret);

/* done does not run any more. */
void http_call_cancel(struct http_call *call);

#endif
