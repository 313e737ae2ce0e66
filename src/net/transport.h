/* What differs between a TCP connection and a unix socket, as a table of functions (TLS adds a
 * third table whose receive and send go through its records). conn.c knows no protocol family.
 */
#ifndef LOTLINE_NET_TRANSPORT_H
#define LOTLINE_NET_TRANSPORT_H

#include "base/bytes.h"
#include "net/address.h"
#include "net/conn.h"

#include <sys/uio.h>

struct transport {
    const char *name;
    /* Sets the socket's options before connecting or after accepting; failures do no harm. */
    void (*tune)(int fd, const struct conn_options *options);
    /* Bytes received, 0 at the end, or a negative ERR_*: ERR_AGAIN when nothing is there. */
    ssize_t (*receive)(int fd, void *buf, size_t len);
    /* Bytes sent or a negative ERR_*: ERR_AGAIN when the kernel's buffer is full. */
    ssize_t (*send)(int fd, struct iovec *iov, int count);
    /* Ends our direction; the other side reads an end of file. */
    void (*finish)(int fd);
    /* The user at the other end. */
    int (*peer_uid)(int fd, uid_t *ret);
};

/* The table for a socket of this address family. */
const struct transport *transport_for(int family);

#endif
