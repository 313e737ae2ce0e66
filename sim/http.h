/* A small HTTP/1.1 server for simulators (RFC 9112: requests with Content-Length, keep-alive); the
 * loop is server.h's. */
#ifndef LOTLINE_SIM_HTTP_H
#define LOTLINE_SIM_HTTP_H

#include "base/bytes.h"

struct sim_http {
    void *ctx;
    /* Appends the body (JSON) to out and returns the status. path is without the query. */
    int (*answer)(void *ctx, struct bytes method, struct bytes path, struct bytes query,
                  struct bytes body, struct buf *out);
};

/* For a listener of server.h; ctx is a struct sim_http. */
size_t sim_http_serve(void *ctx, struct bytes in, struct buf *out);

#endif
