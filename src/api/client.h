/* A blocking HTTP client for DATA/lotline.sock: the command line's side of the API.
 *
 * One connection a request; nothing is kept. For tools, not for loops.
 */
#ifndef LOTLINE_API_CLIENT_H
#define LOTLINE_API_CLIENT_H

#include "base/bytes.h"

#define API_CLIENT_ANSWER_BYTES_MAX (256u << 20)

/* Sends body (JSON; NULL = none) and waits for the whole answer, which is appended to *ret_body.
 * ERR_NOT_FOUND (no socket), ERR_REFUSED (nobody listens), ERR_DENIED, ERR_CLOSED, ERR_PROTOCOL,
 * ERR_LIMIT, ERR_NOMEM. An HTTP error is not an error here: see *ret_status. */
int api_client_request(const char *sock_path, const char *method, const char *path,
                       const char *body, struct buf *ret_body, int *ret_status);

/* One line of a streamed answer, without its end. A negative result ends the stream and is
 * returned.
 */
typedef int (*api_client_line_fn)(void *ctx, struct bytes line);

/* As api_client_request (with POST), but on_line gets each line as it comes, until the stream ends
 * (OK) or on_line says so. Empty lines, which only keep the connection alive, are left out. An
 * answer with a status of 400 and above goes to *ret_problem instead. */
int api_client_stream(const char *sock_path, const char *path, const char *body,
                      api_client_line_fn on_line, void *ctx, struct buf *ret_problem,
                      int *ret_status);

#endif
