/* HTTP/1.1 for simulators. See http.h. */
#include "sim/http.h"

#include "base/str.h"
#include "sim/server.h"

#define HEAD_MAX 8192

/* The head's length with its empty line, 0 if it is not whole. */
static size_t head_length(struct bytes in)
{
    for (size_t i = 0; i + 4 <= in.len; i++) {
        if (memcmp(in.ptr + i, "\r\n\r\n", 4) == 0)
            return i + 4;
    }
    return 0;
}

static struct bytes trim(struct bytes v)
{
    while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\r'))
        v = bytes_of(v.ptr + 1, v.len - 1);
    while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\r'))
        v.len--;
    return v;
}

/* Content-Length and whether the connection stays. ERR via false: what this server can't read. */
static bool headers_read(struct bytes lines, uint64_t *ret_length, bool *ret_keep)
{
    *ret_length = 0;
    while (lines.len > 0) {
        struct bytes line;
        lines = str_split(lines, '\n', &line);
        struct bytes name;
        struct bytes value = trim(str_split(line, ':', &name));
        if (str_equal_nocase(name, "content-length") && str_to_u64(value, ret_length))
            return false;
        if (str_equal_nocase(name, "transfer-encoding"))
            return false;
        if (str_equal_nocase(name, "connection"))
            *ret_keep = !str_equal_nocase(value, "close");
    }
    return *ret_length <= SIM_REQUEST_MAX - HEAD_MAX;
}

static const char *reason(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    default:
        return "Internal Server Error";
    }
}

static void print_answer(int status, bool keep, struct bytes body, struct buf *out)
{
    (void)buf_printf(out,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                     "Connection: %s\r\n\r\n",
                     status, reason(status), body.len, keep ? "keep-alive" : "close");
    (void)buf_append_bytes(out, body);
}

size_t sim_http_serve(void *ctx, struct bytes in, struct buf *out)
{
    const struct sim_http *http = ctx;
    size_t head = head_length(in);
    if (head == 0)
        return in.len > HEAD_MAX ? SIM_CLOSE : 0;
    struct bytes line;
    struct bytes headers = str_split(bytes_of(in.ptr, head - 2), '\n', &line);
    struct bytes method;
    struct bytes target;
    struct bytes version = trim(str_split(str_split(line, ' ', &method), ' ', &target));
    bool keep = str_equal(version, "HTTP/1.1");
    uint64_t length = 0;
    if (!str_starts(version, "HTTP/1.") || !headers_read(headers, &length, &keep)) {
        print_answer(400, false, bytes_of_text("{\"error\":\"not a request this server reads\"}"),
                     out);
        return SIM_CLOSE;
    }
    if (in.len < head + length)
        return 0;
    struct bytes path;
    struct bytes query = str_split(target, '?', &path);
    struct buf body = {0};
    int status =
        http->answer(http->ctx, method, path, query, bytes_of(in.ptr + head, length), &body);
    print_answer(buf_error(&body) ? 500 : status, keep, buf_bytes(&body), out);
    buf_fini(&body);
    return keep ? head + length : SIM_CLOSE;
}
