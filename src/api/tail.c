/* POST /tail: a statement over live streams, its rows one JSON object a line until the client
 * leaves.
 *
 * The call stream.tail makes a transient stream "tail:ID"; a flow from its outlet ends here, on the
 * API's worker. When the client has gone the flow is closed and stream.tail_close ends the query;
 * when the query ends first, the flow is closed from the other side and the answer ends.
 */
#include "api/api_priv.h"
#include "api/special.h"
#include "base/clock.h"
#include "base/list.h"
#include "codec/json_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL_ID_BYTES_MAX   63
#define TAIL_NAME_BYTES_MAX 80
#define TAIL_PING_US        (2 * 1000 * 1000LL) /* an empty line: a client that left is noticed */
#define TAIL_PING_KEY       1
#define TAIL_CLOSE_CALL     "stream.tail_close"

struct tail {
    struct api *api;
    struct exchange *exchange; /* until answered */
    struct http_stream *out;
    struct flow *flow;
    struct exec_task gone_task;
    struct exec_timer ping;
    struct caller caller;
    char id[TAIL_ID_BYTES_MAX + 1];
    bool gone;
};

/* -------------------------------------------------------------------------------------- the end */

static void tail_free(struct tail *t)
{
    struct api *a = t->api;
    exec_timer_stop(a->worker, &t->ping);
    http_stream_unref(t->out);
    free(t);
    api_pending_done(a);
}

static void tail_on_query_closed(void *ctx, const struct call_result *result)
{
    (void)result; /* it may have ended by itself */
    tail_free(ctx);
}

/* The request of stream.tail_close: the id, as text or as a number. */
static int tail_close_request(const struct tail *t, const struct call_port *port,
                              struct batch **ret)
{
    struct bind_argument id = {bytes_of_text("id"), bytes_of_text(t->id)};
    struct bind_input in = {.query = &id, .query_count = 1};
    struct arena arena = {0};
    int err = bind_request(port->spec, port->request, &in, &arena, ret, NULL);
    arena_fini(&arena);
    return err;
}

static void tail_end_query(struct tail *t)
{
    const struct call_port *port = catalogue_call_find(t->api->catalogue, TAIL_CLOSE_CALL);
    struct call_options options = {.exec = t->api->worker,
                                   .done = tail_on_query_closed,
                                   .ctx = t,
                                   .origin = caller_origin(&t->caller)};
    struct batch *request = NULL;
    if (!port || tail_close_request(t, port, &request) || call_send(port, request, &options))
        tail_free(t);
}

static void tail_on_gone(struct exec_task *task)
{
    struct tail *t = CONTAINER_OF(task, struct tail, gone_task);
    t->gone = true;
    if (t->flow)
        flow_close(t->flow); /* goes on in tail_on_closed */
    else
        tail_end_query(t);
}

/* On one of the HTTP server's threads. */
static void tail_on_close(void *ctx)
{
    struct tail *t = ctx;
    (void)exec_post(t->api->worker, &t->gone_task);
}

/* ----------------------------------------------------------------------------------------- rows */

static void tail_on_ready(void *ctx, struct flow *f)
{
    static const struct json_print_options lines = {.lines = true};
    struct tail *t = ctx;
    struct flow_item item;
    struct buf text = {0};
    while (flow_take(f, &item)) {
        buf_reset(&text);
        if (t->out && !t->gone && item.batch->rows &&
            json_print_rows(item.batch, &lines, &text) == OK)
            (void)http_stream_write(t->out, 0, buf_bytes(&text));
        flow_finish(&item, item.at, OK);
    }
    buf_fini(&text);
}

static void tail_on_closed(void *ctx, struct flow *f)
{
    struct tail *t = ctx;
    flow_unref(f);
    t->flow = NULL;
    if (t->gone)
        tail_end_query(t);
    else if (t->out)
        http_stream_end(t->out); /* leads to tail_on_gone */
}

static void tail_on_ping(struct exec_timer *timer)
{
    struct tail *t = CONTAINER_OF(timer, struct tail, ping);
    (void)http_stream_write(t->out, TAIL_PING_KEY, bytes_of_text("\n"));
    (void)exec_timer_start(t->api->worker, timer, clock_mono_us() + TAIL_PING_US);
}

/* -------------------------------------------------------------------------------------- opening */

static bool tail_take_id(struct tail *t, const struct batch *answer)
{
    int32_t col = answer && answer->rows ? schema_find(answer->schema, bytes_of_text("id")) : -1;
    if (col < 0)
        return false;
    struct column column = batch_column(answer, (uint32_t)col);
    struct value id = column_value(&column, 0);
    int len = -1;
    if (id.type == VALUE_INT64)
        len = snprintf(t->id, sizeof t->id, "%lld", (long long)id.i64);
    else if (id.type == VALUE_UINT64)
        len = snprintf(t->id, sizeof t->id, "%llu", (unsigned long long)id.u64);
    else if (id.type == VALUE_STRING)
        len = snprintf(t->id, sizeof t->id, "%.*s", (int)id.bytes.len, (const char *)id.bytes.ptr);
    return len > 0 && len < (int)sizeof t->id;
}

static int tail_attach(struct tail *t)
{
    char name[TAIL_NAME_BYTES_MAX];
    struct flow_options options = {
        .name = "tail",
        .consumer = t->api->worker,
        .policy = FLOW_DROP_OLDEST,
        .ctx = t,
        .on_ready = tail_on_ready,
        .on_closed = tail_on_closed,
    };
    (void)snprintf(name, sizeof name, "tail:%s", t->id);
    int err = flow_new(&options, &t->flow);
    if (err)
        return err;
    err = catalogue_transient_attach(t->api->catalogue, bytes_of_text(name), t->flow);
    if (err) {
        flow_unref(t->flow);
        t->flow = NULL;
    }
    return err;
}

static int tail_respond(struct tail *t)
{
    static const struct http_header headers[] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
    };
    struct http_answer answer = {200, "application/x-ndjson", headers, 2};
    struct http_stream_options options = {.ctx = t, .on_close = tail_on_close};
    int err = http_respond_stream(t->exchange->request, &answer, &options, &t->out);
    if (err)
        return err;
    exchange_free(t->exchange);
    t->exchange = NULL;
    /* The first empty line also sends the headers off. */
    tail_on_ping(&t->ping);
    return OK;
}

static void tail_on_opened(void *ctx, const struct call_result *result)
{
    struct tail *t = ctx;
    int err = result->err;
    if (err) {
        exchange_fail(t->exchange, err, result->diag->text);
        tail_free(t);
        return;
    }
    err = tail_take_id(t, result->answer) ? OK : ERR_INTERNAL;
    if (!err)
        err = tail_respond(t);
    if (err) {
        exchange_fail(t->exchange, err, "the query ran, but its rows cannot be sent");
        tail_end_query(t);
        return;
    }
    if (tail_attach(t))
        http_stream_end(t->out); /* the query has ended already; leads to tail_on_gone */
}

void special_tail(struct exchange *x)
{
    struct tail *t = calloc(1, sizeof *t);
    if (!t) {
        exchange_fail(x, ERR_NOMEM, NULL);
        return;
    }
    t->api = x->api;
    t->exchange = x;
    t->caller = x->caller;
    exec_task_init(&t->gone_task, tail_on_gone);
    exec_timer_init(&t->ping, tail_on_ping);
    struct call_options options = {.exec = x->api->worker,
                                   .done = tail_on_opened,
                                   .ctx = t,
                                   .origin = caller_origin(&t->caller)};
    struct batch *input = x->input;
    x->input = NULL;
    api_pending_add(x->api);
    int err = call_send(x->port, input, &options);
    if (!err)
        return;
    exchange_fail(x, err, NULL);
    api_pending_done(t->api);
    free(t);
}
