/* Addresses as text. See address.h. */
#include "net/address.h"

#include "base/bytes.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define EXPECTED "expected host:port, [v6]:port or unix:/path"

static int address_parse_unix(struct bytes path, struct address *out, struct diag *diag)
{
    if (path.len == 0)
        return diag_set(diag, ERR_SYNTAX, 0, 0, "the path after unix: is missing; %s", EXPECTED);
    if (path.len > ADDRESS_PATH_BYTES_MAX)
        return diag_set(diag, ERR_SYNTAX, 0, 0,
                        "the path of a unix socket may have %d bytes, this one has %zu",
                        ADDRESS_PATH_BYTES_MAX, path.len);
    out->kind = ADDRESS_UNIX;
    memcpy(out->path, path.ptr, path.len);
    return OK;
}

/* Splits "host:port" at the last colon, or after the bracket; *ret_port is empty if there is none.
 */
static int address_split(struct bytes text, struct bytes *ret_host, struct bytes *ret_port)
{
    const uint8_t *end = text.ptr + text.len;
    if (text.len && text.ptr[0] == '[') {
        const uint8_t *close = memchr(text.ptr, ']', text.len);
        if (!close || (close + 1 < end && close[1] != ':'))
            return ERR_SYNTAX;
        *ret_host = bytes_of(text.ptr + 1, (size_t)(close - text.ptr - 1));
        *ret_port =
            close + 1 < end ? bytes_of(close + 2, (size_t)(end - close - 2)) : bytes_of(end, 0);
        return ret_host->len ? OK : ERR_SYNTAX;
    }
    const uint8_t *colon = memrchr(text.ptr, ':', text.len);
    if (!colon) {
        *ret_host = text;
        *ret_port = bytes_of(end, 0);
        return OK;
    }
    if (memchr(text.ptr, ':', (size_t)(colon - text.ptr)))
        return ERR_SYNTAX; /* several colons: a v6 address without brackets */
    *ret_host = bytes_of(text.ptr, (size_t)(colon - text.ptr));
    *ret_port = bytes_of(colon + 1, (size_t)(end - colon - 1));
    return OK;
}

static bool address_host_is_valid(struct bytes host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] <= ' ' || host.ptr[i] == '/' || host.ptr[i] == '@' || host.ptr[i] == 0x7f)
            return false;
    }
    return host.len <= ADDRESS_HOST_BYTES_MAX;
}

int address_parse_default(const char *text, uint16_t port_default, struct address *ret,
                          struct diag *diag)
{
    struct address out = {.kind = ADDRESS_TCP, .port = port_default};
    struct bytes v = bytes_of_text(text);
    struct bytes host;
    struct bytes port;
    if (str_starts(v, "unix:")) {
        int err = address_parse_unix(bytes_of(v.ptr + 5, v.len - 5), &out, diag);
        if (!err)
            *ret = out;
        return err;
    }
    if (address_split(v, &host, &port) || !address_host_is_valid(host))
        return diag_set(diag, ERR_SYNTAX, 0, 0, "\"%.80s\" is not an address: %s", text, EXPECTED);
    uint64_t number = port_default;
    bool given = port.len > 0;
    if ((!given && port_default == 0) || (given && (str_to_u64(port, &number) || number > 65535)))
        return diag_set(diag, ERR_SYNTAX, 0, 0, "\"%.80s\" has no port between 0 and 65535: %s",
                        text, EXPECTED);
    out.port = (uint16_t)number;
    memcpy(out.host, host.ptr, host.len);
    *ret = out;
    return OK;
}

int address_parse(const char *text, struct address *ret, struct diag *diag)
{
    return address_parse_default(text, 0, ret, diag);
}

void address_format(const struct address *a, char out[static ADDRESS_TEXT_BYTES_MAX])
{
    if (a->kind == ADDRESS_UNIX)
        (void)snprintf(out, ADDRESS_TEXT_BYTES_MAX, "unix:%s", a->path);
    else if (strchr(a->host, ':'))
        (void)snprintf(out, ADDRESS_TEXT_BYTES_MAX, "[%s]:%u", a->host, a->port);
    else
        (void)snprintf(out, ADDRESS_TEXT_BYTES_MAX, "%s:%u", a->host, a->port);
}

static void address_to_unix(const struct address *a, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_un *un = (struct sockaddr_un *)out;
    size_t path_len = strlen(a->path);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, a->path, path_len + 1);
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);
}

int address_to_sockaddr(const struct address *a, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct sockaddr_storage out = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out;
    socklen_t len = sizeof *v4;
    if (a->kind == ADDRESS_UNIX) {
        address_to_unix(a, &out, &len);
    } else if (a->host[0] == 0 || inet_pton(AF_INET, a->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
    } else if (inet_pton(AF_INET6, a->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(a->port);
        len = sizeof *v6;
    } else {
        return ERR_NOT_FOUND;
    }
    *ret = out;
    *ret_len = len;
    return OK;
}

void address_from_sockaddr(const struct sockaddr *sa, char out[static ADDRESS_TEXT_BYTES_MAX])
{
    struct address a = {.kind = ADDRESS_TCP};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        (void)inet_ntop(AF_INET, &v4->sin_addr, a.host, sizeof a.host);
        a.port = ntohs(v4->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)sa;
        (void)inet_ntop(AF_INET6, &v6->sin6_addr, a.host, sizeof a.host);
        a.port = ntohs(v6->sin6_port);
    } else {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)sa;
        bool named = sa->sa_family == AF_UNIX && un->sun_path[0];
        (void)snprintf(out, ADDRESS_TEXT_BYTES_MAX, named ? "unix:%.107s" : "unix", un->sun_path);
        return;
    }
    address_format(&a, out);
}

bool address_is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_UNIX)
        return true;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)sa;
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
}
