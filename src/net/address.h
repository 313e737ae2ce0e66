/* Where to connect or listen, as people write it: "host:port", "[v6]:port", ":port", "unix:/path".
 *
 * One parser for every listener, device, uplink and broker address, so that an address means the
 * same everywhere and is refused with the same sentence.
 */
#ifndef LOTLINE_NET_ADDRESS_H
#define LOTLINE_NET_ADDRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define ADDRESS_HOST_BYTES_MAX 255
#define ADDRESS_PATH_BYTES_MAX 107 /* sun_path without its terminating zero */
#define ADDRESS_TEXT_BYTES_MAX 272

enum address_kind {
    ADDRESS_TCP,
    ADDRESS_UNIX,
};

struct address {
    enum address_kind kind;
    uint16_t port;                         /* tcp */
    char host[ADDRESS_HOST_BYTES_MAX + 1]; /* tcp: without brackets; "" = every interface */
    char path[ADDRESS_PATH_BYTES_MAX + 1]; /* unix */
};

/* ERR_SYNTAX with a sentence in *diag (may be NULL) that shows what was expected. */
int address_parse(const char *text, struct address *ret, struct diag *diag);

/* As address_parse, but ":port" may be left out where port_default is not 0. */
int address_parse_default(const char *text, uint16_t port_default, struct address *ret,
                          struct diag *diag);

/* "192.0.2.10:502", "[::1]:1883", "unix:/run/x.sock": reads back as the same address. */
void address_format(const struct address *a, char out[static ADDRESS_TEXT_BYTES_MAX]);

/* The socket address of a numeric host or a unix path; ERR_NOT_FOUND when the host is a name and
 * has to be looked up. Never blocks. */
int address_to_sockaddr(const struct address *a, struct sockaddr_storage *ret, socklen_t *ret_len);

/* A socket address as text for a person, in the form of address_format; "unix" for an unnamed
 * unix socket. sa is a whole sockaddr of its family, as in a zeroed sockaddr_storage. */
void address_from_sockaddr(const struct sockaddr *sa, char out[static ADDRESS_TEXT_BYTES_MAX]);

/* True for 127.0.0.0/8, ::1 (also as ::ffff:127.…) and unix sockets. */
bool address_is_loopback(const struct sockaddr *sa);

#endif
