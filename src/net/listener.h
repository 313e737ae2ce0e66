/* A listening socket on a loop.
 *
 * Binding happens in listener_open, so that a port in use is one clear sentence at the start of the
 * program and not an error later. When the process is out of file descriptors accepting rests for a
 * moment instead of spinning.
 */
#ifndef LOTLINE_NET_LISTENER_H
#define LOTLINE_NET_LISTENER_H

#include "base/err.h"
#include "base/exec.h"
#include "net/address.h"
#include "net/conn.h"

#include <stdint.h>

struct listener;

/* Zero-initialised = all defaults. */
struct listener_options {
    int backlog;              /* 0 = 511 */
    bool reuse_port;          /* several loops may listen on the same port */
    uint32_t unix_mode;       /* permissions of a unix socket's file; 0 = 0600 */
    uint32_t conns_max;       /* accepted and not yet closed at one time; 0 = 65,536 */
    const char *key;          /* the setting that gives the address ("listen.mqtt"), for messages */
    struct conn_options conn; /* of accepted conns */
};

/* Listens on "host:port", "[v6]:port", ":port" (every interface) or "unix:PATH"; port 0 = any free
 * one. A host name is not looked up. on_accept must call conn_handler_set or conn_close.
 * On e's own thread (exec_call). ERR_SYNTAX, ERR_IN_USE, ERR_DENIED, ERR_UNREACHABLE (not an
 * address of this machine), ERR_NOMEM, ERR_IO, each with a sentence in *diag (may be NULL). */
int listener_open(struct exec *e, const char *address, const struct listener_options *options,
                  void (*on_accept)(void *ctx, struct conn *c), void *ctx, struct listener **ret,
                  struct diag *diag);

/* The address with the port that it really has. */
const char *listener_address(const struct listener *l);
uint16_t listener_port(const struct listener *l); /* 0 for a unix socket */

/* Connections refused because conns_max were open. */
uint64_t listener_refused(const struct listener *l);

/* Stops listening and removes a unix socket's file; accepted conns live on. On the loop's thread.
 * NULL is allowed. */
void listener_close(struct listener *l);

/* The same bind for those who accept by themselves (the HTTP server): a non-blocking, listening
 * socket, and its real address. Any thread. */
int listener_socket(const char *address, const struct listener_options *options, int *ret_fd,
                    char ret_address[static ADDRESS_TEXT_BYTES_MAX], struct diag *diag);

#endif
