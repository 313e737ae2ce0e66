/* Starting a node in the order in which data flows backwards, and stopping it in reverse. */
#include "app/node_priv.h"
#include "base/log.h"
#include "net/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RUN_FILE "run.json"

/* --------------------------------------------------------------------------- the log in between */

/* Puts the log between a durable stream's producer and its readers. */
static int log_insert(struct node *n, struct stream *s, struct outlet *producer, uint32_t flags)
{
    if (!s->durable)
        return OK;
    return stream_log_insert(n->log, s, producer, flags) ? OK : ERR_NOMEM;
}

static int log_insert_groups(struct node *n)
{
    for (size_t i = 0; i < n->catalogue.streams.count; i++) {
        struct stream *s = n->catalogue.streams.entries[i].value;
        if (s->kind != STREAM_GROUP || !s->outlet)
            continue;
        int err = log_insert(n, s, s->outlet, 0);
        if (err)
            return err;
    }
    return OK;
}

/* What is made from other streams carries a key, so that a replay is known as one; what comes from
 * outside (MQTT) does not. */
static int log_insert_made(struct node *n)
{
    int err = node_sources_insert(n);
    struct outlet *producer = NULL;
    struct stream *s;
    for (uint32_t i = 0; !err && n->track && (s = track_output(n->track, i, &producer)); i++)
        err = log_insert(n, s, producer, STREAM_LOG_KEYED);
    for (uint32_t i = 0; !err && n->stream && (s = stream_engine_output(n->stream, i, &producer));
         i++)
        err = log_insert(n, s, producer, s->kind == STREAM_RULE ? STREAM_LOG_KEYED : 0);
    return err;
}

/* ---------------------------------------------------------------------------------------- steps */

static int start_alarm(struct node *n, struct diag *diag)
{
    if (!n->alarm)
        return OK;
    alarm_journal_set(n->alarm, n->journal);
    audit_bridge_exec_set(n->audit, journal_exec(n->journal));
    return alarm_start(n->alarm, diag);
}

static int start_historian(struct node *n, struct diag *diag)
{
    if (!n->historian)
        return OK;
    int err = log_feed_open(&n->historian_feed, n->log, "historian");
    if (!err)
        err = historian_path_set(n->historian, node_path(n, "historian.duckdb"));
    if (err)
        return err;
    historian_feed_set(n->historian, &n->historian_feed.feed);
    err = historian_start(n->historian, diag);
    return !err && n->trace ? trace_start(n->trace) : err;
}

static int start_track(struct node *n, struct diag *diag)
{
    if (!n->track)
        return OK;
    int err = log_feed_open(&n->track_feed, n->log, "track");
    if (err)
        return err;
    track_feed_set(n->track, &n->track_feed.feed, n->journal);
    return track_start(n->track, diag);
}

static int start_stream(struct node *n, struct diag *diag)
{
    if (!n->stream)
        return OK;
    stream_engine_log_set(n->stream, n->log, n->journal);
    return stream_engine_start(n->stream, diag);
}

/* Message flows between the engine and the broker, in both directions. */
static int join_broker(struct node *n)
{
    const char *filter = NULL;
    struct flow *flow = NULL;
    struct outlet *outlet = NULL;
    int err = OK;
    for (uint32_t i = 0; !err && (outlet = stream_engine_publisher(n->stream, i)) != NULL; i++)
        err = broker_publish_flow(n->broker, outlet, "publish");
    for (uint32_t i = 0; !err && stream_engine_source(n->stream, i, &filter, &flow); i++)
        err = broker_subscribe_flow(n->broker, filter, flow);
    for (uint32_t i = 0; !err && stream_engine_import(n->stream, i, &filter, &flow); i++)
        err = broker_request_flow(n->broker, filter, flow);
    return err;
}

static int start_broker(struct node *n, struct diag *diag)
{
    if (!n->broker)
        return OK;
    broker_journal_set(n->broker, n->journal);
    if (n->api)
        broker_authenticate_set(n->broker, node_authenticate, n);
    int err = n->stream ? join_broker(n) : OK;
    if (!err)
        err = node_links_join(n);
    return err ? err : broker_start(n->broker, diag);
}

static int start_api(struct node *n, struct diag *diag)
{
    return n->api ? api_start(n->api, diag) : OK;
}

static int start_gateway(struct node *n, struct diag *diag)
{
    (void)diag;
    return n->gateway ? gateway_start(n->gateway) : OK;
}

static int start_log(struct node *n, struct diag *diag)
{
    int err = node_store_open(n, diag);
    if (!err)
        err = log_insert_groups(n);
    return err ? err : log_insert_made(n);
}

/* run.json says where a running node listens: for scripts, and for `./run`. */
static int write_run_file(struct node *n, struct diag *diag)
{
    (void)diag;
    const char *path = node_path(n, RUN_FILE);
    const char *partial = node_path(n, RUN_FILE ".partial");
    FILE *out = path && partial ? fopen(partial, "we") : NULL;
    if (!out)
        return ERR_IO;
    (void)fprintf(out, "{\"pid\":%d,\"name\":\"%s\"", (int)getpid(), n->catalogue.node);
    if (n->api)
        (void)fprintf(out, ",\"http\":\"%s\"", api_address(n->api));
    if (n->broker && broker_port(n->broker)) {
        const char *address = config_listen(n->config, "mqtt");
        const char *colon = address ? strrchr(address, ':') : NULL;
        (void)fprintf(out, ",\"mqtt\":\"%.*s:%u\"", colon ? (int)(colon - address) : 9,
                      colon ? address : "127.0.0.1", broker_port(n->broker));
    }
    (void)fprintf(out, ",\"link\":\"%s\"}\n", node_sign_in_link(n));
    return fclose(out) == 0 && rename(partial, path) == 0 ? OK : ERR_IO;
}

/* All who read the log have opened their cursors: those of earlier runs that nobody opened (an
 * uplink that was taken out of the configuration) hold it no more. */
static int forget_cursors(struct node *n, struct diag *diag)
{
    (void)diag;
    return n->log ? journal_cursors_forget(stream_log_journal(n->log)) : OK;
}

struct start_step {
    const char *what;
    int (*fn)(struct node *n, struct diag *diag);
};

static const struct start_step start_steps[] = {
    {"the journal", start_log},
    {"alarms", start_alarm},
    {"the watch of the clock", node_clock_start},
    {"the historian", start_historian},
    {"lookups", node_sources_start},
    {"tracks", start_track},
    {"rules", start_stream},
    {"metrics", node_metrics_start},
    {"the API", start_api},
    {"the broker", start_broker},
    {"the uplink", node_links_start},
    {"cursors", forget_cursors},
    {"sources", node_sources_go},
    {"devices", start_gateway},
    {"run.json", write_run_file},
};

int node_start(struct node *n, struct diag *diag)
{
    n->started = true;
    for (size_t i = 0; i < sizeof start_steps / sizeof start_steps[0]; i++) {
        int err = start_steps[i].fn(n, diag);
        if (!err)
            continue;
        if (!diag->text[0])
            (void)diag_set(diag, err, 0, 0, "%s cannot start: %s", start_steps[i].what,
                           err_text(err));
        return err;
    }
    log_info("node", "%s is up: data in %s", n->catalogue.node, n->data);
    return OK;
}

/* ----------------------------------------------------------------------------------------- stop */

static int nothing(void *ctx)
{
    (void)ctx;
    return OK;
}

/* What was posted there before has run. */
static void wait_for(struct exec *e)
{
    if (e)
        (void)exec_call(e, nothing, NULL);
}

void node_stop(struct node *n)
{
    if (!n->started)
        return;
    n->started = false;
    (void)unlink(node_path(n, RUN_FILE));
    node_clock_stop(n);
    if (n->gateway)
        gateway_stop(n->gateway);
    source_stage_stop(n->source);
    if (n->api)
        api_stop(n->api);
    wait_for(n->worker); /* a backup may take longer than who asked for it waited */
    wait_for(n->replayer);
    node_metrics_stop(n);
    node_links_stop(n);
    if (n->log)
        stream_log_drain(n->log);
    if (n->broker)
        broker_stop(n->broker);
    node_links_end(n);
    if (n->stream)
        stream_engine_stop(n->stream);
    if (n->track)
        track_stop(n->track);
    if (n->trace)
        trace_stop(n->trace);
    if (n->historian)
        historian_stop(n->historian);
    if (n->alarm)
        alarm_stop(n->alarm);
    node_store_close(n);
    /* The stages' last flows told them of their end there; their memory goes next. */
    for (uint32_t i = 0; i < n->loop_count; i++)
        wait_for(n->loops[i]);
}

void node_free(struct node *n)
{
    if (!n)
        return;
    api_free(n->api);
    metrics_free(n->metrics);
    exec_thread_free(n->worker);
    exec_thread_free(n->replayer);
    node_links_free(n);
    broker_free(n->broker);
    stream_engine_free(n->stream);
    source_stage_free(n->source);
    track_free(n->track);
    trace_free(n->trace);
    historian_free(n->historian);
    gateway_free(n->gateway);
    audit_bridge_free(n->audit);
    alarm_free(n->alarm);
    catalogue_fini(&n->catalogue);
    for (uint32_t i = 0; i < n->loop_count; i++)
        loop_free(n->loops[i]);
    arena_fini(&n->arena);
    free(n->data);
    free(n);
}

const char *node_sign_in_link(const struct node *n)
{
    return n->api ? api_sign_in_link(n->api) : "";
}
