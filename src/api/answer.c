/* Answers: JSON of a batch, and problems (RFC 9457). */
#include "api/api_priv.h"
#include "codec/json_print.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DETAIL_BYTES_MAX 1024

/* API answers are never to be kept or sniffed. */
static const struct http_header plain_headers[] = {
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
};

#define PLAIN_HEADER_COUNT (sizeof plain_headers / sizeof plain_headers[0])
#define HEADERS_MAX        8

static void respond(struct http_request *r, int status, const char *media,
                    const struct http_header *extra, size_t extra_count, struct buf *body)
{
    struct http_header headers[HEADERS_MAX];
    size_t count = PLAIN_HEADER_COUNT;
    memcpy(headers, plain_headers, sizeof plain_headers);
    for (size_t i = 0; i < extra_count && count < HEADERS_MAX; i++)
        headers[count++] = extra[i];
    struct http_answer answer = {status, media, headers, count};
    http_respond(r, &answer, body);
}

static void problem_print(struct buf *out, const char *type, int status, const char *title,
                          const char *detail)
{
    (void)buf_printf(out, "{\"type\":\"urn:lotline:%s\",\"title\":", type);
    (void)json_print_string(bytes_of_text(title), out);
    (void)buf_printf(out, ",\"status\":%d,\"detail\":", status);
    (void)json_print_string(bytes_of_text(detail && detail[0] ? detail : title), out);
    (void)buf_append_text(out, "}");
}

void answer_status(struct http_request *r, int status, const char *title, const char *allow,
                   const char *detail)
{
    struct buf body = {0};
    struct http_header header = {"Allow", allow};
    problem_print(&body, "request", status, title, detail);
    respond(r, status, "application/problem+json", &header, allow ? 1 : 0, &body);
}

static void answer_err(struct http_request *r, int err, const char *detail)
{
    struct buf body = {0};
    struct http_header header = {"WWW-Authenticate", "Bearer realm=\"lotline\""};
    int status = err_http_status(err);
    problem_print(&body, err_name(err), status, err_text(err), detail);
    respond(r, status, "application/problem+json", &header, err == ERR_AUTH ? 1 : 0, &body);
}

void answer_problem(struct http_request *r, int err, const char *format, ...)
{
    char detail[DETAIL_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    answer_err(r, err, detail);
}

/* -------------------------------------------------------------------------------------- exchanges
 */

void exchange_free(struct exchange *x)
{
    batch_unref(x->input);
    arena_fini(&x->arena);
    free(x);
}

void exchange_fail(struct exchange *x, int err, const char *text)
{
    answer_err(x->request, err, text);
    exchange_free(x);
}

void exchange_json(struct exchange *x, const struct http_header *headers, size_t header_count,
                   struct buf *body)
{
    respond(x->request, 200, "application/json", headers, header_count, body);
    exchange_free(x);
}

int answer_print(const struct call_port *port, const struct batch *answer, struct buf *out)
{
    bool one = (port->spec->flags & CALL_ONE) != 0;
    if (!port->answer)
        return buf_append_text(out, "{}");
    if (one && (!answer || answer->rows == 0))
        return ERR_NOT_FOUND;
    if (one)
        return json_print_row(answer, 0, NULL, out);
    return answer && answer->rows ? json_print_rows(answer, NULL, out) : buf_append_text(out, "[]");
}

/* The answer's column `text`, if there is one with something in it. */
static bool answer_text(const struct batch *answer, struct bytes *ret)
{
    int32_t col = answer && answer->rows ? schema_find(answer->schema, bytes_of_text("text")) : -1;
    if (col < 0)
        return false;
    struct column column = batch_column(answer, (uint32_t)col);
    if (column.type != VALUE_STRING || column_is_null(&column, 0))
        return false;
    *ret = column_bytes(&column, 0);
    return true;
}

void exchange_answer(struct exchange *x, const struct batch *answer)
{
    struct buf body = {0};
    struct bytes csv;
    if (x->wants_csv && answer_text(answer, &csv)) {
        (void)buf_append_bytes(&body, csv);
        respond(x->request, 200, "text/csv; charset=utf-8", NULL, 0, &body);
        exchange_free(x);
        return;
    }
    int err = answer_print(x->port, answer, &body);
    if (err) {
        buf_fini(&body);
        exchange_fail(x, err, err == ERR_NOT_FOUND ? "there is nothing of that name" : NULL);
        return;
    }
    exchange_json(x, NULL, 0, &body);
}
