/* See client.h.
 *
 * It speaks HTTP/1.0, which knows no chunks and no keeping alive: an answer ends with the
 * connection.
 */
#include "api/client.h"

#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_BYTES_MAX (64u * 1024)
#define READ_BYTES     (16u * 1024)

struct answer {
    int fd;
    int status;
    bool has_length;
    uint64_t length;
    struct buf in; /* received and not yet consumed */
};

/* A path too long for a socket's address goes by its folder's descriptor. */
static int client_address(const char *path, struct sockaddr_un *out, int *ret_dir_fd)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof out->sun_path) {
        memcpy(out->sun_path, path, strlen(path) + 1);
        return OK;
    }
    char dir[4096];
    const char *slash = strrchr(path, '/');
    if (!slash || (size_t)(slash - path) >= sizeof dir)
        return ERR_LIMIT;
    memcpy(dir, path, (size_t)(slash - path));
    dir[slash - path] = 0;
    *ret_dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir_fd < 0)
        return err_from_errno(errno);
    int len =
        snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d%s", *ret_dir_fd, slash);
    return len > 0 && (size_t)len < sizeof out->sun_path ? OK : ERR_LIMIT;
}

static int client_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    int dir_fd = -1;
    int fd = -1;
    int err = client_address(path, &address, &dir_fd);
    if (!err) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address))
            err = err_from_errno(errno);
    }
    if (dir_fd >= 0)
        (void)close(dir_fd);
    if (!err) {
        *ret_fd = fd;
        return OK;
    }
    if (fd >= 0)
        (void)close(fd);
    return err;
}

static int client_send(int fd, const char *method, const char *path, const char *body)
{
    struct buf out = {0};
    (void)buf_printf(&out, "%s %s HTTP/1.0\r\nHost: lotline\r\nAccept: application/json\r\n",
                     method, path);
    if (body)
        (void)buf_printf(&out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                         strlen(body));
    (void)buf_append_text(&out, "\r\n");
    if (body)
        (void)buf_append_text(&out, body);
    int err = buf_error(&out);
    for (size_t sent = 0; !err && sent < out.len;) {
        ssize_t n = send(fd, out.ptr + sent, out.len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else if (errno != EINTR)
            err = err_from_errno(errno);
    }
    buf_fini(&out);
    return err;
}

/* One read: OK, ERR_CLOSED at the end. */
static int answer_read(struct answer *a)
{
    for (;;) {
        uint8_t *at = buf_reserve(&a->in, READ_BYTES);
        if (!at)
            return ERR_NOMEM;
        ssize_t got = recv(a->fd, at, READ_BYTES, 0);
        if (got > 0)
            a->in.len += (size_t)got;
        if (got > 0)
            return OK;
        if (got == 0)
            return ERR_CLOSED;
        if (errno != EINTR)
            return err_from_errno(errno);
    }
}

static void answer_consume(struct answer *a, size_t n)
{
    memmove(a->in.ptr, a->in.ptr + n, a->in.len - n);
    a->in.len -= n;
}

/* ------------------------------------------------------------------------------------------- head
 */

static int head_line(struct answer *a, struct bytes line)
{
    struct bytes name;
    struct bytes value = str_split(line, ':', &name);
    while (value.len && value.ptr[0] == ' ')
        value = bytes_of(value.ptr + 1, value.len - 1);
    if (str_equal_nocase(name, "content-length")) {
        a->has_length = true;
        return str_to_u64(value, &a->length) ? ERR_PROTOCOL : OK;
    }
    return str_equal_nocase(name, "transfer-encoding") ? ERR_PROTOCOL : OK;
}

static int head_parse(struct answer *a, struct bytes head)
{
    uint64_t status = 0;
    bool first = true;
    while (head.len) {
        const uint8_t *end = memchr(head.ptr, '\n', head.len);
        size_t len = end ? (size_t)(end - head.ptr) : head.len;
        struct bytes line = bytes_of(head.ptr, len && head.ptr[len - 1] == '\r' ? len - 1 : len);
        head = bytes_of(head.ptr + len + (end ? 1 : 0), head.len - len - (end ? 1 : 0));
        if (!first) {
            int err = head_line(a, line);
            if (err)
                return err;
            continue;
        }
        first = false;
        if (!str_starts(line, "HTTP/1.") || line.len < 12 ||
            str_to_u64(bytes_of(line.ptr + 9, 3), &status))
            return ERR_PROTOCOL;
    }
    a->status = (int)status;
    return status ? OK : ERR_PROTOCOL;
}

static int answer_head(struct answer *a)
{
    for (;;) {
        const uint8_t *end = a->in.len ? memmem(a->in.ptr, a->in.len, "\r\n\r\n", 4) : NULL;
        if (end) {
            size_t len = (size_t)(end - a->in.ptr);
            int err = head_parse(a, bytes_of(a->in.ptr, len));
            if (!err)
                answer_consume(a, len + 4);
            return err;
        }
        if (a->in.len > HEAD_BYTES_MAX)
            return ERR_LIMIT;
        int err = answer_read(a);
        if (err)
            return err;
    }
}

/* ------------------------------------------------------------------------------------------- body
 */

static int answer_body(struct answer *a, struct buf *out)
{
    int err = OK;
    while (!err) {
        if (a->in.len > API_CLIENT_ANSWER_BYTES_MAX)
            return ERR_LIMIT;
        err = answer_read(a);
    }
    if (err != ERR_CLOSED)
        return err;
    if (a->has_length && a->in.len != a->length)
        return ERR_CLOSED; /* cut off */
    return buf_append_bytes(out, buf_bytes(&a->in));
}

static int answer_lines(struct answer *a, api_client_line_fn on_line, void *ctx)
{
    for (;;) {
        const uint8_t *end = a->in.len ? memchr(a->in.ptr, '\n', a->in.len) : NULL;
        if (!end) {
            int err = a->in.len > API_CLIENT_ANSWER_BYTES_MAX ? ERR_LIMIT : answer_read(a);
            if (err)
                return err == ERR_CLOSED ? OK : err;
            continue;
        }
        size_t len = (size_t)(end - a->in.ptr);
        int result = len ? on_line(ctx, bytes_of(a->in.ptr, len)) : OK;
        if (result < 0)
            return result;
        answer_consume(a, len + 1);
    }
}

static int client_ask(struct answer *a, const char *sock_path, const char *method, const char *path,
                      const char *body)
{
    int err = client_connect(sock_path, &a->fd);
    if (err)
        return err;
    err = client_send(a->fd, method, path, body);
    return err ? err : answer_head(a);
}

static void answer_fini(struct answer *a)
{
    if (a->fd >= 0)
        (void)close(a->fd);
    buf_fini(&a->in);
}

int api_client_request(const char *sock_path, const char *method, const char *path,
                       const char *body, struct buf *ret_body, int *ret_status)
{
    struct answer a = {.fd = -1};
    int err = client_ask(&a, sock_path, method, path, body);
    if (!err)
        err = answer_body(&a, ret_body);
    if (!err)
        *ret_status = a.status;
    answer_fini(&a);
    return err;
}

int api_client_stream(const char *sock_path, const char *path, const char *body,
                      api_client_line_fn on_line, void *ctx, struct buf *ret_problem,
                      int *ret_status)
{
    struct answer a = {.fd = -1};
    int err = client_ask(&a, sock_path, "POST", path, body);
    if (!err)
        *ret_status = a.status;
    if (!err && a.status >= 400)
        err = answer_body(&a, ret_problem);
    else if (!err)
        err = answer_lines(&a, on_line, ctx);
    answer_fini(&a);
    return err;
}
