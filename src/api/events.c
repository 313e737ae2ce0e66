/* Live values as server-sent events (GET /events).
 *
 * Everything here lives on the API's worker. While at least one client listens, each stream of the
 * node has one flow of kind "latest" here, however many clients there are; at most ten times a
 * second the newest row of each is printed once and queued for every client under the stream's own
 * key, so that a slow browser gets the newest and nobody waits for it. Without clients nothing is
 * attached.
 */
#include "api/api_priv.h"
#include "api/special.h"
#include "base/clock.h"
#include "base/list.h"
#include "codec/json_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_TICK_US     (100 * 1000LL)
#define EVENTS_PING_US     (2 * 1000 * 1000LL) /* a client that left is noticed by it */
#define EVENTS_QUEUE_BYTES (4u << 20)
#define PING_KEY           UINT64_MAX
#define ALARMS_STREAM      "alarms"

struct event_stream {
    struct events *events;
    const struct stream *stream;
    struct flow *flow;    /* NULL = not attached */
    struct batch *newest; /* taken and not yet printed; NULL = none */
    struct buf text;      /* the event printed last */
    bool is_alarms;       /* each row is an event; nothing is skipped */
};

struct event_client {
    struct list link;
    struct events *events;
    struct http_stream *out;
    struct exec_task join_task;
    struct exec_task gone_task;
    bool joined;
    bool gone;
    char *streams; /* ",a,b," = these alone; NULL = all */
};

struct events {
    struct api *api;
    struct event_stream *streams;
    size_t count;
    struct list clients;
    uint32_t client_count;
    struct exec_timer tick;
    int64_t ping_us; /* when the last ping was sent */
    bool stopping;
};

static const struct call_field events_fields[] = {
    {"streams", VALUE_STRING, 0, false, "names with commas between; left out = all"},
    {.name = NULL},
};

const struct call_spec special_events_spec = {"events.open",
                                              "Events `values` {stream, ts, values: {tag: value}}, "
                                              "at most ten a second and stream, and `alarm`.",
                                              CALL_VIEWER,
                                              0,
                                              events_fields,
                                              NULL};

/* ---------------------------------------------------------------------------------------- printing
 */

static void event_print_values(struct event_stream *s, const struct batch *b)
{
    char ts[CLOCK_TEXT_BYTES_MAX];
    struct buf *out = &s->text;
    buf_reset(out);
    (void)clock_format(batch_times(b)[b->rows - 1], ts);
    (void)buf_append_text(out, "event: values\ndata: {\"stream\":");
    (void)json_print_string(bytes_of_text(s->stream->name), out);
    (void)buf_printf(out, ",\"ts\":\"%s\",\"values\":", ts);
    (void)json_print_row(b, b->rows - 1, NULL, out);
    (void)buf_append_text(out, "}\n\n");
}

static bool client_wants(const struct event_client *c, const struct event_stream *s)
{
    if (!c->streams)
        return true;
    size_t len = strlen(s->stream->name);
    for (const char *at = c->streams; (at = strstr(at, s->stream->name)) != NULL; at++) {
        if (at[-1] == ',' && at[len] == ',')
            return true;
    }
    return false;
}

static void event_send(struct events *e, const struct event_stream *s, uint64_t key)
{
    LIST_FOR (link, &e->clients) {
        struct event_client *c = CONTAINER_OF(link, struct event_client, link);
        if (client_wants(c, s))
            (void)http_stream_write(c->out, key, buf_bytes(&s->text));
    }
}

static uint64_t event_key(const struct event_stream *s)
{
    return (uint64_t)(s - s->events->streams) + 1;
}

static void event_print_alarms(struct event_stream *s, const struct batch *b)
{
    for (uint32_t row = 0; row < b->rows; row++) {
        buf_reset(&s->text);
        (void)buf_append_text(&s->text, "event: alarm\ndata: ");
        (void)json_print_row(b, row, NULL, &s->text);
        (void)buf_append_text(&s->text, "\n\n");
        if (!buf_error(&s->text))
            event_send(s->events, s, 0);
    }
    buf_reset(&s->text); /* who comes later asks for the list */
}

/* ------------------------------------------------------------------------------------------- flows
 */

static void event_on_ready(void *ctx, struct flow *f)
{
    struct event_stream *s = ctx;
    struct flow_item item;
    while (flow_take(f, &item)) {
        if (s->is_alarms) {
            event_print_alarms(s, item.batch);
        } else if (item.batch->rows > 0) {
            batch_unref(s->newest);
            s->newest = batch_ref(item.batch);
        }
        flow_finish(&item, item.at, OK);
    }
}

static void event_attach(struct event_stream *s);

static void event_on_closed(void *ctx, struct flow *f)
{
    struct event_stream *s = ctx;
    struct events *e = s->events;
    flow_unref(f);
    s->flow = NULL;
    batch_unref(s->newest);
    s->newest = NULL;
    buf_fini(&s->text);
    /* Somebody came while it was closing. */
    if (e->client_count && !e->stopping)
        event_attach(s);
    api_pending_done(e->api);
}

static void event_attach(struct event_stream *s)
{
    struct flow_options options = {
        .name = "events",
        .consumer = s->events->api->worker,
        .policy = s->is_alarms ? FLOW_DROP_OLDEST : FLOW_LATEST,
        .ctx = s,
        .on_ready = event_on_ready,
        .on_closed = event_on_closed,
    };
    if (s->flow || !s->stream->outlet || flow_new(&options, &s->flow))
        return;
    api_pending_add(s->events->api);
    outlet_attach(s->stream->outlet, s->flow);
}

/* -------------------------------------------------------------------------------------------- tick
 */

static void events_on_tick(struct exec_timer *timer)
{
    struct events *e = CONTAINER_OF(timer, struct events, tick);
    int64_t now_us = clock_mono_us();
    for (size_t i = 0; i < e->count; i++) {
        struct event_stream *s = &e->streams[i];
        if (!s->newest)
            continue;
        event_print_values(s, s->newest);
        batch_unref(s->newest);
        s->newest = NULL;
        if (!buf_error(&s->text))
            event_send(e, s, event_key(s));
    }
    if (now_us - e->ping_us >= EVENTS_PING_US) {
        e->ping_us = now_us;
        LIST_FOR (link, &e->clients) {
            struct event_client *c = CONTAINER_OF(link, struct event_client, link);
            (void)http_stream_write(c->out, PING_KEY, bytes_of_text(":\n\n"));
        }
    }
    if (e->client_count)
        (void)exec_timer_start(e->api->worker, timer, now_us + EVENTS_TICK_US);
}

/* ----------------------------------------------------------------------------------------- clients
 */

static void client_free(struct event_client *c)
{
    struct api *a = c->events->api;
    http_stream_unref(c->out);
    free(c->streams);
    free(c);
    api_pending_done(a);
}

static void events_sleep(struct events *e)
{
    exec_timer_stop(e->api->worker, &e->tick);
    for (size_t i = 0; i < e->count; i++) {
        if (e->streams[i].flow)
            flow_close(e->streams[i].flow);
    }
}

static void client_on_join(struct exec_task *task)
{
    struct event_client *c = CONTAINER_OF(task, struct event_client, join_task);
    struct events *e = c->events;
    if (c->gone) {
        client_free(c);
        return;
    }
    c->joined = true;
    list_push_back(&e->clients, &c->link);
    if (e->client_count++ == 0 && !e->stopping)
        (void)exec_timer_start(e->api->worker, &e->tick, clock_mono_us() + EVENTS_TICK_US);
    (void)http_stream_write(c->out, PING_KEY, bytes_of_text(":\n\n"));
    for (size_t i = 0; i < e->count && !e->stopping; i++) {
        struct event_stream *s = &e->streams[i];
        event_attach(s);
        if (s->text.len && client_wants(c, s))
            (void)http_stream_write(c->out, event_key(s), buf_bytes(&s->text));
    }
}

static void client_on_gone(struct exec_task *task)
{
    struct event_client *c = CONTAINER_OF(task, struct event_client, gone_task);
    struct events *e = c->events;
    c->gone = true;
    if (!c->joined)
        return; /* its joining frees it */
    list_remove(&c->link);
    if (--e->client_count == 0)
        events_sleep(e);
    client_free(c);
}

/* On one of the HTTP server's threads. */
static void client_on_close(void *ctx)
{
    struct event_client *c = ctx;
    (void)exec_post(c->events->api->worker, &c->gone_task);
}

static struct event_client *client_new(struct exchange *x)
{
    struct event_client *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->events = x->api->events;
    list_init(&c->link);
    exec_task_init(&c->join_task, client_on_join);
    exec_task_init(&c->gone_task, client_on_gone);
    struct column wanted = batch_column(x->input, 0);
    if (column_is_null(&wanted, 0) || column_bytes(&wanted, 0).len == 0)
        return c;
    struct bytes names = column_bytes(&wanted, 0);
    if (asprintf(&c->streams, ",%.*s,", (int)names.len, (const char *)names.ptr) < 0) {
        free(c);
        return NULL;
    }
    return c;
}

void special_events(struct exchange *x)
{
    static const struct http_header headers[] = {
        {"Cache-Control", "no-store"},
        {"X-Content-Type-Options", "nosniff"},
    };
    struct http_answer answer = {200, "text/event-stream", headers, 2};
    struct api *a = x->api;
    struct event_client *c = client_new(x);
    if (!c) {
        exchange_fail(x, ERR_NOMEM, NULL);
        return;
    }
    struct http_stream_options options = {EVENTS_QUEUE_BYTES, c, client_on_close};
    api_pending_add(a);
    if (http_respond_stream(x->request, &answer, &options, &c->out)) {
        exchange_fail(x, ERR_NOMEM, NULL);
        client_free(c);
        return;
    }
    exchange_free(x);
    (void)exec_post(a->worker, &c->join_task);
}

/* -------------------------------------------------------------------------------------------- life
 */

static bool stream_is_live(const struct stream *s)
{
    return s->kind == STREAM_GROUP || s->kind == STREAM_RULE || s->kind == STREAM_SOURCE ||
           s->kind == STREAM_PRESENCE;
}

int events_new(struct api *a, struct events **ret)
{
    struct events *e = calloc(1, sizeof *e);
    const struct map *streams = &a->catalogue->streams;
    if (!e)
        return ERR_NOMEM;
    e->api = a;
    list_init(&e->clients);
    exec_timer_init(&e->tick, events_on_tick);
    e->streams = calloc(streams->count + 1, sizeof *e->streams);
    if (!e->streams) {
        free(e);
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < streams->count; i++) {
        const struct stream *s = streams->entries[i].value;
        if (!stream_is_live(s))
            continue;
        e->streams[e->count++] = (struct event_stream){
            .events = e, .stream = s, .is_alarms = strcmp(s->name, ALARMS_STREAM) == 0};
    }
    *ret = e;
    return OK;
}

static int events_stop_run(void *ctx)
{
    struct events *e = ctx;
    e->stopping = true;
    events_sleep(e);
    return OK;
}

void events_stop(struct events *e)
{
    (void)exec_call(e->api->worker, events_stop_run, e);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->count; i++) {
        batch_unref(e->streams[i].newest);
        buf_fini(&e->streams[i].text);
    }
    free(e->streams);
    free(e);
}
