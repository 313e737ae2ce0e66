/* The sender's life: options, the client on its loop, the worker, the call uplink.status. See
 * uplink.h; what is sent when is in uplink_window.c. */
#include "base/log.h"
#include "base/str.h"
#include "bridge/uplink_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const struct option uplink_table[] = {
    {.name = "to",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct uplink_section, to),
     .doc = "the hub: mqtt://HOST[:PORT]"},
    {.name = "streams",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct uplink_section, streams),
     .default_text = "*",
     .doc = "which streams to send, patterns with *"},
    {.name = "client_id",
     .type = OPTION_TEXT,
     .offset = offsetof(struct uplink_section, client_id),
     .doc = "MQTT client identifier (default: lotline-NODE)"},
    {.name = "user",
     .type = OPTION_TEXT,
     .offset = offsetof(struct uplink_section, user),
     .doc = "user name at the hub"},
    {.name = "password",
     .type = OPTION_TEXT,
     .flags = OPTION_SECRET,
     .offset = offsetof(struct uplink_section, password),
     .doc = "password or token at the hub, best as ${file:…} or ${env:…}"},
    {.name = "in_flight_max",
     .type = OPTION_UINT,
     .offset = offsetof(struct uplink_section, in_flight_max),
     .default_text = "64",
     .min = 1,
     .max = UPLINK_IN_FLIGHT_MAX,
     .doc = "records sent and not acknowledged at a time"},
    {.name = "in_flight_bytes",
     .type = OPTION_SIZE,
     .offset = offsetof(struct uplink_section, bytes_in_flight_max),
     .default_text = "4M",
     .min = 1024,
     .doc = "bytes sent and not acknowledged at a time"},
    {.name = "ack_timeout",
     .type = OPTION_DURATION,
     .offset = offsetof(struct uplink_section, ack_timeout_us),
     .default_text = "10s",
     .min = 100 * 1000,
     .doc = "a record that the hub does not acknowledge for so long is sent again, on a new "
            "connection"},
    {.name = NULL},
};

/* ------------------------------------------------------------------------------------------- new
 */

static void work_run(struct exec_task *task)
{
    uplink_work(CONTAINER_OF(task, struct uplink, work));
}

static void link_run(struct exec_task *task)
{
    uplink_work(CONTAINER_OF(task, struct uplink, link_task));
}

static void retry_run(struct exec_timer *timer)
{
    uplink_work(CONTAINER_OF(timer, struct uplink, retry));
}

int uplink_new(const struct uplink_options *options, struct uplink **ret)
{
    struct uplink *u = calloc(1, sizeof *u);
    if (!u)
        return ERR_NOMEM;
    u->options = *options;
    exec_task_init(&u->work, work_run);
    exec_task_init(&u->link_task, link_run);
    exec_timer_init(&u->retry, retry_run);
    (void)sem_init(&u->stopped, 0, 0);
    int err = exec_thread_new("uplink", 0, &u->worker);
    if (err) {
        uplink_free(u);
        return err;
    }
    *ret = u;
    return OK;
}

void uplink_free(struct uplink *u)
{
    if (!u)
        return;
    exec_thread_free(u->worker);
    mqtt_client_free(u->client);
    uplink_slots_free(u);
    map_fini(&u->schemas);
    arena_fini(&u->arena);
    (void)sem_destroy(&u->stopped);
    free(u);
}

/* ------------------------------------------------------------------------------------- configure
 */

bool uplink_wants(const struct uplink *u, struct bytes stream)
{
    return str_matches_any(stream, u->section.streams.items, u->section.streams.count);
}

/* "mqtt://host[:port]" → "host:port". */
static int address_bind(struct uplink *u, const struct tree *to, struct diag *diag)
{
    struct bytes url = bytes_of_text(u->section.to);
    const char *scheme = "mqtt://";
    if (!str_starts(url, scheme) || url.len == strlen(scheme))
        return tree_error(diag, ERR_INVALID, to,
                          "uplink to '%s': write mqtt://HOST or mqtt://HOST:PORT", u->section.to);
    const char *host = u->section.to + strlen(scheme);
    const char *bracket = strrchr(host, ']');
    const char *colon = strrchr(host, ':');
    bool has_port = colon && (!bracket || colon > bracket);
    u->address = arena_printf(&u->arena, "%s%s", host, has_port ? "" : ":1883");
    return u->address ? OK : ERR_NOMEM;
}

static void status_call(void *owner, struct call *c);

static const struct call_field status_answer[] = {
    {"to", VALUE_STRING, 0, false, "the hub"},
    {"connected", VALUE_BOOL, 0, false, "whether the hub is connected"},
    {"behind", VALUE_UINT64, 0, false, "records committed here and not yet acknowledged there"},
    {"sent", VALUE_UINT64, 0, false, "records sent since the start, repeats included"},
    {"acknowledged", VALUE_UINT64, 0, false, "records acknowledged since the start"},
    {"lost", VALUE_UINT64, 0, false, "publications whose answer was lost; sent again"},
    {"refused", VALUE_UINT64, 0, false, "publications that the hub refused"},
    {"skipped", VALUE_UINT64, 0, false, "records given up after repeated refusal"},
    {"expired", VALUE_UINT64, 0, false, "records that the log dropped before they were sent"},
    {"error", VALUE_STRING, 0, false, "the last error"},
    {0},
};

static const struct call_spec status_spec = {
    .name = "uplink.status",
    .doc = "How far the hub is behind this node.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .answer = status_answer,
};

static int texts_make(struct uplink *u)
{
    const char *node = u->options.node;
    u->data_topic = arena_printf(&u->arena, UPLINK_TOPIC_PREFIX "%s/data", node);
    u->schema_topic = arena_printf(&u->arena, UPLINK_TOPIC_PREFIX "%s/schema", node);
    if (!u->section.client_id)
        u->section.client_id = arena_printf(&u->arena, "lotline-%s", node);
    return u->data_topic && u->schema_topic && u->section.client_id ? OK : ERR_NOMEM;
}

int uplink_configure(struct uplink *u, const struct config *config, struct catalogue *catalogue,
                     struct diag *diag)
{
    const struct tree *section = config_section(config, "uplink");
    if (!section || section->kind == TREE_NULL)
        return OK;
    int err = option_bind(uplink_table, section, &u->arena, &u->section, diag);
    if (!err)
        err = address_bind(u, tree_get(section, "to"), diag);
    if (!err)
        err = texts_make(u);
    if (err)
        return err;
    for (size_t i = 0; i < catalogue->streams.count; i++) {
        struct stream *s = catalogue->streams.entries[i].value;
        if (uplink_wants(u, bytes_of_text(s->name)))
            s->durable = true;
    }
    u->configured = true;
    return catalogue_call_add(catalogue, &status_spec, u->worker, status_call, u);
}

/* ---------------------------------------------------------------------------------- start, stop */

/* What to do about it, where the user can do something. */
static const char *client_advice(int err)
{
    if (err == ERR_AUTH || err == ERR_DENIED)
        return " (uplink.password has to be a token of the hub)";
    return "";
}

static void client_state(void *ctx, struct mqtt_client *c, const struct mqtt_client_event *event)
{
    struct uplink *u = ctx;
    (void)c;
    bool was_up = atomic_load_explicit(&u->link_up, memory_order_relaxed);
    bool up = event->state == MQTT_CLIENT_UP;
    if (up && !was_up)
        log_info("uplink", "connected to %s", u->section.to);
    else if (event->state == MQTT_CLIENT_WAITING)
        log_warn("uplink", "%s: %s%s; next try in %lld ms", u->section.to, event->text,
                 client_advice(event->err), (long long)event->retry_ms);
    if (up)
        atomic_fetch_add_explicit(&u->link_count, 1, memory_order_relaxed);
    atomic_store_explicit(&u->link_up, up, memory_order_release);
    (void)exec_post(u->worker, &u->link_task);
    if (event->state == MQTT_CLIENT_STOPPED)
        (void)sem_post(&u->stopped);
}

static int client_start(void *ctx)
{
    struct uplink *u = ctx;
    struct mqtt_client_options options = {
        .exec = u->options.loop,
        .address = u->address,
        .version = MQTT_5_0,
        .client_id = u->section.client_id,
        .user = u->section.user,
        .password = u->section.password,
        .clean_start = true,
        .in_flight_max = (uint16_t)u->section.in_flight_max,
        .queue_max = (uint32_t)u->section.in_flight_max,
        .backoff_max_ms = 10000,
        .ack_timeout_ms = u->section.ack_timeout_us / 1000,
        .ctx = u,
        .on_state = client_state,
    };
    int err = mqtt_client_new(&options, &u->client);
    return err ? err : mqtt_client_start(u->client);
}

int uplink_start(struct uplink *u, const struct uplink_log *log, struct diag *diag)
{
    if (!u->configured)
        return OK;
    u->log = *log;
    int err = uplink_slots_new(u);
    if (!err) {
        u->log.watch(u->log.ctx, u->worker, &u->work);
        atomic_store_explicit(&u->started, true, memory_order_release);
        err = exec_call(u->options.loop, client_start, u);
    }
    if (err)
        return diag_set(diag, err, 0, 0, "the uplink to %s cannot start: %s", u->section.to,
                        err_text(err));
    return OK;
}

static int client_stop(void *ctx)
{
    struct uplink *u = ctx;
    mqtt_client_stop(u->client);
    return OK;
}

static int worker_stop(void *ctx)
{
    struct uplink *u = ctx;
    u->stopping = true;
    exec_timer_stop(u->worker, &u->retry);
    u->log.watch(u->log.ctx, NULL, NULL);
    return OK;
}

void uplink_stop(struct uplink *u)
{
    if (!atomic_exchange_explicit(&u->started, false, memory_order_acq_rel))
        return;
    (void)exec_call(u->worker, worker_stop, u);
    if (!u->client)
        return;
    (void)exec_call(u->options.loop, client_stop, u);
    while (sem_wait(&u->stopped) != 0) {
    }
}

/* ---------------------------------------------------------------------------------------- status
 */

void uplink_stats_get(const struct uplink *u, struct uplink_stats *ret)
{
    *ret = (struct uplink_stats){
        .configured = u->configured,
        .connected = atomic_load_explicit(&u->link_up, memory_order_relaxed),
        .sent = atomic_load_explicit(&u->sent, memory_order_relaxed),
        .acknowledged = atomic_load_explicit(&u->acknowledged, memory_order_relaxed),
        .bytes = atomic_load_explicit(&u->bytes, memory_order_relaxed),
        .lost = atomic_load_explicit(&u->lost, memory_order_relaxed),
        .refused = atomic_load_explicit(&u->refused, memory_order_relaxed),
        .skipped = atomic_load_explicit(&u->skipped, memory_order_relaxed),
        .expired = atomic_load_explicit(&u->expired, memory_order_relaxed),
        .behind =
            atomic_load_explicit(&u->started, memory_order_acquire) ? u->log.behind(u->log.ctx) : 0,
    };
}

static int status_fill(const struct uplink *u, struct batch_builder *bb)
{
    struct uplink_stats s;
    uplink_stats_get(u, &s);
    int err = batch_builder_row(bb, exec_wall_us(u->worker));
    if (err < 0)
        return err;
    err = batch_set_bytes(bb, 0, bytes_of_text(u->section.to));
    batch_set_bool(bb, 1, s.connected);
    const uint64_t counts[] = {s.behind,  s.sent,    s.acknowledged, s.lost,
                               s.refused, s.skipped, s.expired};
    for (uint32_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        batch_set_u64(bb, 2 + i, counts[i]);
    return err ? err : batch_set_bytes(bb, 9, bytes_of_text(u->last_error));
}

static void status_call(void *owner, struct call *c)
{
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = status_fill(owner, bb);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "the uplink's state cannot be told: %s", err_text(err));
}
