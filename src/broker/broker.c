/* The broker as a whole: its life and its counts.
 *
 * Stopping is in three steps: on the loop everything is told to end; then the calling thread waits
 * until all that was under way has come back (connections closing, batches whose done is somebody
 * else's, writes); then the memory may go. `outstanding` counts what is under way, and the broker
 * itself is one of it until it has been told to stop.
 */
#include "base/err.h"
#include "base/log.h"
#include "broker/broker_priv.h"
#include "config/config.h"
#include "net/listener.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define LISTEN_PROTOCOL "mqtt"
#define LISTEN_KEY      "listen.mqtt"
#define SECTION         "broker"

static void flush_run(struct exec_task *task)
{
    filters_flush(CONTAINER_OF(task, struct broker, flush_task));
}

int broker_new(const struct broker_options *options, struct broker **ret)
{
    struct broker *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NOMEM;
    if (message_schema_new(&b->schema) || sem_init(&b->stopped, 0, 0)) {
        schema_unref(b->schema);
        free(b);
        return ERR_NOMEM;
    }
    b->options = *options;
    b->exec = options->exec;
    list_init(&b->clients);
    list_init(&b->retained_list);
    list_init(&b->filters);
    list_init(&b->publishers);
    exec_task_init(&b->flush_task, flush_run);
    *ret = b;
    return OK;
}

void broker_journal_set(struct broker *b, struct journal *journal)
{
    b->options.journal = journal;
}

void broker_authenticate_set(struct broker *b, broker_authenticate_fn fn, void *ctx)
{
    b->options.authenticate = fn;
    b->options.authenticate_ctx = ctx;
}

int broker_configure(struct broker *b, const struct config *config, struct catalogue *catalogue,
                     struct diag *diag)
{
    const struct tree *section = config ? config_section(config, SECTION) : NULL;
    int err = broker_limits_bind(section, &b->arena, &b->limits, diag);
    if (err)
        return err;
    const char *address = config ? config_listen(config, LISTEN_PROTOCOL) : BROKER_ADDRESS_DEFAULT;
    if (address && !(b->address = arena_text(&b->arena, address)))
        return ERR_NOMEM;
    b->catalogue = catalogue;
    return calls_offer(b, catalogue);
}

/* ------------------------------------------------------------------------------------------ start
 */

struct starting {
    struct broker *broker;
    struct diag *diag;
};

static int start_run(void *ctx)
{
    const struct starting *s = ctx;
    struct broker *b = s->broker;
    struct listener_options options = {
        .conns_max = (uint32_t)b->limits.connections_max,
        .key = LISTEN_KEY,
        .conn = {.queued_bytes_max = b->limits.out_bytes_max + 2 * b->limits.packet_bytes_max,
                 .drain_bytes = b->limits.out_bytes_max / 2},
    };
    if (b->address) {
        int err =
            listener_open(b->exec, b->address, &options, client_accept, b, &b->listener, s->diag);
        if (err)
            return err;
        b->port = listener_port(b->listener);
        log_info("broker", "listening on %s", listener_address(b->listener));
    }
    b->started_us = exec_now_us(b->exec);
    sys_start(b);
    return OK;
}

int broker_start(struct broker *b, struct diag *diag)
{
    assert(!b->started);
    b->write_port = catalogue_call_find(b->catalogue, "gateway.write");
    int err = retain_open(b, diag);
    if (err)
        return err;
    struct starting starting = {b, diag};
    outstanding_add(b);
    err = exec_call(b->exec, start_run, &starting);
    if (err) {
        b->outstanding--;
        retain_close(b);
        return err;
    }
    b->started = true;
    return OK;
}

/* ------------------------------------------------------------------------------------------- stop
 */

void outstanding_remove(struct broker *b)
{
    assert(b->outstanding > 0);
    if (--b->outstanding == 0)
        (void)sem_post(&b->stopped);
}

static int stop_run(void *ctx)
{
    struct broker *b = ctx;
    b->stopping = true;
    listener_close(b->listener);
    b->listener = NULL;
    sys_stop(b);
    LIST_FOR_SAFE (link, after, &b->clients)
        client_close(CONTAINER_OF(link, struct client, link), MQTT_SERVER_SHUTTING_DOWN, NULL);
    filters_close(b);
    publishers_close(b);
    outstanding_remove(b);
    return OK;
}

static int end_run(void *ctx)
{
    struct broker *b = ctx;
    while (b->sessions.count > 0)
        session_free(b->sessions.entries[0].value);
    return OK;
}

void broker_stop(struct broker *b)
{
    if (!b->started)
        return;
    b->started = false;
    (void)exec_call(b->exec, stop_run, b);
    while (sem_wait(&b->stopped) && errno == EINTR)
        continue;
    (void)exec_call(b->exec, end_run, b);
    retain_close(b);
}

static void entry_free(void *ctx, void *value)
{
    (void)ctx;
    free(value);
}

void broker_free(struct broker *b)
{
    if (!b)
        return;
    assert(!b->started);
    /* Entries of filters that flows were subscribed to; those of sessions are gone with them. */
    LIST_FOR_SAFE (link, after, &b->filters)
        list_remove(&CONTAINER_OF(link, struct filter, link)->in_entry);
    topic_tree_each(&b->topics, entry_free, NULL);
    filters_free(b);
    publishers_free(b);
    retain_free(b);
    topic_tree_fini(&b->topics);
    map_fini(&b->sessions);
    free(b->hits.items);
    free(b->hits.ids);
    free(b->hits.filters);
    buf_fini(&b->scratch);
    buf_fini(&b->scratch_properties);
    arena_fini(&b->arena);
    schema_unref(b->schema);
    (void)sem_destroy(&b->stopped);
    free(b);
}

uint16_t broker_port(const struct broker *b)
{
    return b->port;
}

/* ------------------------------------------------------------------------------------------ counts
 */

const char *broker_drop_name(enum broker_drop drop)
{
    static const char *const names[BROKER_DROP_COUNT] = {
        [BROKER_DROP_QUEUE_FULL] = "queue_full", [BROKER_DROP_SLOW] = "slow",
        [BROKER_DROP_OFFLINE] = "offline",       [BROKER_DROP_EXPIRED] = "expired",
        [BROKER_DROP_TOO_LARGE] = "too_large",   [BROKER_DROP_SESSION_END] = "session_end",
        [BROKER_DROP_FLOW_FULL] = "flow_full",   [BROKER_DROP_RETAIN_LIMIT] = "retain_limit",
        [BROKER_DROP_NO_MEMORY] = "no_memory",
    };
    return drop < BROKER_DROP_COUNT ? names[drop] : "unknown";
}

void broker_stats_get(const struct broker *b, struct broker_stats *ret)
{
    *ret = (struct broker_stats){
        .connections = count_get(b, COUNT_CONNECTIONS),
        .connects = count_get(b, COUNT_CONNECTS),
        .refused = count_get(b, COUNT_REFUSED),
        .sessions = count_get(b, COUNT_SESSIONS),
        .subscriptions = count_get(b, COUNT_SUBSCRIPTIONS),
        .retained = count_get(b, COUNT_RETAINED),
        .retained_bytes = count_get(b, COUNT_RETAINED_BYTES),
        .messages_in = count_get(b, COUNT_MESSAGES_IN),
        .messages_out = count_get(b, COUNT_MESSAGES_OUT),
        .messages_own = count_get(b, COUNT_MESSAGES_OWN),
        .bytes_in = count_get(b, COUNT_BYTES_IN),
        .bytes_out = count_get(b, COUNT_BYTES_OUT),
        .protocol_errors = count_get(b, COUNT_PROTOCOL_ERRORS),
        .denied = count_get(b, COUNT_DENIED),
        .writes = count_get(b, COUNT_WRITES),
        .acks_held = count_get(b, COUNT_ACKS_HELD),
    };
    for (unsigned i = 0; i < BROKER_DROP_COUNT; i++)
        ret->dropped[i] = count_get(b, COUNT_DROPPED + i);
}
