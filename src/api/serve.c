/* From a request to a call and back: route, who asks, what was sent, may they, ask.
 *
 * This runs on the HTTP server's threads; the call's answer comes on the API's worker, which prints
 * it. Neither is a loop.
 */
#include "api/api_priv.h"
#include "base/clock.h"
#include "base/str.h"
#include "codec/json_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define TIMEOUT_FIELD   "timeout_ms" /* a request's own: the call gets a little more */
#define TIMEOUT_MORE_MS 2000

/* --------------------------------------------------------------------------------------- who asks
 */

static bool caller_by_uid(const struct http_peer *peer, struct caller *out)
{
    if (!peer->is_unix)
        return false;
    out->channel = "socket";
    if (peer->uid != 0 && peer->uid != geteuid())
        return false;
    out->who.role = CALL_ADMIN;
    (void)snprintf(out->who.user, sizeof out->who.user, "uid %u", peer->uid);
    return true;
}

static bool caller_by_token(struct api *a, const struct http_request *r, struct caller *out)
{
    const char *text = http_request_header(r, "Authorization");
    if (!text || strncasecmp(text, "Bearer ", 7) != 0)
        return false;
    return auth_token_check(a->auth, bytes_of_text(text + 7), &out->who) == OK;
}

static bool caller_by_cookie(struct api *a, const struct http_request *r, struct caller *out)
{
    const char *cookie = http_request_cookie(r, a->cookie);
    if (!cookie || auth_session_check(a->auth, bytes_of_text(cookie), clock_mono_us(), &out->who))
        return false;
    out->by_cookie = true;
    return true;
}

void caller_identify(struct api *a, const struct http_request *r, struct caller *out)
{
    *out = (struct caller){.channel = "rest"};
    out->known = caller_by_uid(http_request_peer(r), out) || caller_by_token(a, r, out) ||
                 caller_by_cookie(a, r, out);
}

struct call_origin caller_origin(const struct caller *c)
{
    return (struct call_origin){c->who.user, c->channel, c->who.role};
}

/* A browser sends its cookie with whatever page asks it to: what changes something must come from
 * our own page. */
static bool caller_is_same_origin(const struct http_request *r)
{
    const char *origin = http_request_header(r, "Origin");
    const char *host = http_request_header(r, "Host");
    const char *method = http_request_method(r);
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        return true;
    const char *origin_host = origin ? strstr(origin, "://") : NULL;
    return origin_host && host && strcasecmp(origin_host + 3, host) == 0;
}

/* ----------------------------------------------------------------------------------------- binding
 */

struct query {
    struct bind_argument arguments[BIND_ARGUMENTS_MAX];
    size_t count;
};

static int query_add(void *ctx, struct bytes name, struct bytes value)
{
    struct query *q = ctx;
    if (q->count == BIND_ARGUMENTS_MAX)
        return ERR_LIMIT;
    q->arguments[q->count++] = (struct bind_argument){name, value};
    return OK;
}

/* GET /sql?format=csv with "Accept: text/csv" answers CSV itself instead of JSON around it. */
static bool exchange_wants_csv(const struct exchange *x)
{
    const char *accept = http_request_header(x->request, "Accept");
    int32_t col = x->input ? schema_find(x->input->schema, bytes_of_text("format")) : -1;
    if (!accept || strncmp(accept, "text/csv", 8) != 0 || col < 0)
        return false;
    struct column format = batch_column(x->input, (uint32_t)col);
    return format.type == VALUE_STRING && !column_is_null(&format, 0) &&
           str_equal(column_bytes(&format, 0), "csv");
}

static int exchange_bind(struct exchange *x, const struct route_match *match, struct diag *diag)
{
    struct query query = {0};
    struct bind_argument path[ROUTE_PARAMS_MAX];
    const struct call_spec *spec = x->port ? x->port->spec : x->route->spec;
    if (http_request_query_each(x->request, query_add, &query))
        return diag_set(diag, ERR_LIMIT, 0, 0, "the query has more than %d arguments",
                        BIND_ARGUMENTS_MAX);
    for (size_t i = 0; i < match->param_count; i++)
        path[i] = (struct bind_argument){match->params[i].name, match->params[i].value};
    struct bind_input in = {path, match->param_count, query.arguments, query.count,
                            http_request_body(x->request)};
    if (x->port)
        return bind_request(spec, x->port->request, &in, &x->arena, &x->input, diag);
    struct call_port port;
    int err = call_port_init(&port, spec, NULL, NULL, NULL);
    if (err)
        return err;
    err = bind_request(spec, port.request, &in, &x->arena, &x->input, diag);
    call_port_fini(&port);
    return err;
}

/* ----------------------------------------------------------------------------------------- calling
 */

/* x->input holds the request of a call that changes something until it has ended. */
static void exchange_tell_change(struct exchange *x, int err, const char *text)
{
    const struct api_options *options = &x->api->options;
    struct buf request = {0};
    if (!options->changed || !(x->port->spec->flags & CALL_CHANGES))
        return;
    if (!x->input ||
        json_print_row(x->input, 0, &(struct json_print_options){.skip_null = true}, &request))
        (void)buf_append_text(&request, "{}");
    struct call_origin origin = caller_origin(&x->caller);
    struct api_change change = {&origin, x->port->spec->name, buf_bytes(&request), err, text};
    options->changed(options->ctx, &change);
    buf_fini(&request);
}

static void exchange_done(void *ctx, const struct call_result *result)
{
    struct exchange *x = ctx;
    struct api *a = x->api;
    const char *call = x->route->call;
    int64_t began_us = x->began_us;
    exchange_tell_change(x, result->err, result->err ? result->diag->text : "");
    if (result->err)
        exchange_fail(x, result->err, result->diag->text);
    else
        exchange_answer(x, result->answer);
    timing_note(a->timings, call, began_us);
    api_pending_done(a);
}

static int64_t exchange_timeout_ms(const struct exchange *x)
{
    int32_t col = x->input ? schema_find(x->input->schema, bytes_of_text(TIMEOUT_FIELD)) : -1;
    if (col < 0)
        return x->route->timeout_ms;
    struct column column = batch_column(x->input, (uint32_t)col);
    if (column.type != VALUE_INT64 || column_is_null(&column, 0))
        return x->route->timeout_ms;
    int64_t wanted_ms = ((const int64_t *)column.data)[0];
    return wanted_ms > 0 && wanted_ms < 3600 * 1000LL ? wanted_ms + TIMEOUT_MORE_MS
                                                      : x->route->timeout_ms;
}

/* While x lives: it ends with its call. */
static bool exchange_is_gone(void *ctx)
{
    const struct exchange *x = ctx;
    return http_request_is_gone(x->request);
}

/* What changes something goes to its end, whoever left, so that its audit says how it ended. */
static void exchange_call(struct exchange *x)
{
    struct api *a = x->api;
    struct call_options options = {
        .exec = a->worker,
        .done = exchange_done,
        .ctx = x,
        .timeout_ms = exchange_timeout_ms(x),
        .origin = caller_origin(&x->caller),
        .gone = x->port->spec->flags & CALL_CHANGES ? NULL : exchange_is_gone,
    };
    api_pending_add(a);
    int err = call_send(x->port, x->input ? batch_ref(x->input) : NULL, &options);
    if (!err)
        return;
    exchange_fail(x, err, NULL);
    api_pending_done(a);
}

/* ----------------------------------------------------------------------------------------- routing
 */

static enum call_role route_role(const struct exchange *x)
{
    return x->port ? x->port->spec->role : x->route->spec->role;
}

/* Whether the caller may; answers the request if not. */
static bool exchange_is_allowed(struct exchange *x)
{
    struct http_request *r = x->request;
    caller_identify(x->api, r, &x->caller);
    if (x->route->open)
        return true;
    if (!x->caller.known) {
        answer_problem(r, ERR_AUTH,
                       "this needs a token: send \"Authorization: Bearer …\" (the administrator's "
                       "is in the file " API_TOKEN_FILE " of the node's data directory), or sign "
                       "in by the link that `lotline link` prints");
        return false;
    }
    if (x->caller.by_cookie && !caller_is_same_origin(r)) {
        answer_problem(r, ERR_DENIED,
                       "a signed-in browser may change things only from this server's own pages");
        return false;
    }
    if (x->caller.who.role < route_role(x)) {
        answer_problem(r, ERR_DENIED, "this needs the role %s; %s has the role %s",
                       auth_role_name(route_role(x)), x->caller.who.user,
                       auth_role_name(x->caller.who.role));
        return false;
    }
    return true;
}

static void api_serve_route(struct api *a, struct http_request *r, const struct route_match *match)
{
    struct exchange *x = calloc(1, sizeof *x);
    struct diag diag = {0};
    if (!x) {
        answer_problem(r, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        return;
    }
    x->api = a;
    x->began_us = clock_mono_us();
    x->request = r;
    x->route = match->route;
    x->port = a->ports[match->route - routes_table()];
    if (match->route->call && !x->port) {
        answer_problem(r, ERR_NOT_FOUND,
                       "this node runs without the module %s, which answers %s " ROUTE_PREFIX "%s",
                       match->route->module, match->route->method, match->route->path);
        exchange_free(x);
        return;
    }
    if (!exchange_is_allowed(x)) {
        exchange_free(x);
        return;
    }
    int err = exchange_bind(x, match, &diag);
    x->wants_csv = !err && exchange_wants_csv(x);
    if (err)
        exchange_fail(x, err, diag.text);
    else if (match->route->special)
        match->route->special(x);
    else
        exchange_call(x);
}

static void api_serve(struct api *a, struct http_request *r)
{
    struct route_match match;
    struct buf allow = {0};
    const char *path = http_request_path(r) + strlen(ROUTE_PREFIX);
    int err = route_find(http_request_method(r), bytes_of_text(path), &match, &allow);
    if (!err)
        api_serve_route(a, r, &match);
    else if (err == ERR_UNSUPPORTED)
        answer_status(r, 405, "method not allowed", buf_text(&allow),
                      "this path has other methods; see the header Allow");
    else
        answer_problem(r, ERR_NOT_FOUND,
                       "there is no %s; " ROUTE_PREFIX "/openapi.json lists what there is",
                       http_request_path(r));
    buf_fini(&allow);
}

void api_on_request(void *ctx, struct http_request *r)
{
    struct api *a = ctx;
    if (!atomic_load_explicit(&a->serving, memory_order_acquire)) {
        answer_problem(r, ERR_AGAIN, "the node is starting or stopping");
        return;
    }
    if (str_starts(bytes_of_text(http_request_path(r)), ROUTE_PREFIX "/"))
        api_serve(a, r);
    else
        pages_serve(a, r);
}
