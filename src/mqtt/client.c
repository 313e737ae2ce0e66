/* The client's link: making it, keeping it, and making it again.
 *
 * One path leads down: whatever is wrong calls mqtt_client_fail, which remembers the first cause
 * and closes the connection; on_close, which always comes, gives publications back and starts the
 * wait for the next attempt. One timer serves all three phases, since they exclude one another.
 */
#include "base/err.h"
#include "base/log.h"
#include "model/topic.h"
#include "mqtt/client_priv.h"
#include "mqtt/mqtt_priv.h"
#include "net/address.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define US_PER_MS               1000
#define US_PER_S                1000000
#define KEEP_ALIVE_S_DEFAULT    30
#define IN_FLIGHT_DEFAULT       64
#define QUEUE_DEFAULT           1024
#define RECEIVE_MAXIMUM_DEFAULT 1024
#define CONNECT_TIMEOUT_DEFAULT 10000
#define BACKOFF_MIN_MS_DEFAULT  500
#define BACKOFF_MAX_MS_DEFAULT  60000
#define BACKOFF_DOUBLINGS_MAX   20
#define SERVER_RECEIVE_MAXIMUM  65535u /* of a server that does not say (3.2.2.3.3) */
#define CODE_VERSION_3_1_1      1      /* "unacceptable protocol version" in a CONNACK of 3.1.1 */

static const struct conn_handler link_handler;

/* --------------------------------------------------------------------------------------- telling
 */

static void state_tell(struct mqtt_client *c, enum mqtt_client_state state,
                       const struct mqtt_client_event *details)
{
    struct mqtt_client_event event = *details;
    c->state = state;
    event.state = state;
    if (!event.text)
        event.text = "";
    if (c->options.on_state)
        c->options.on_state(c->options.ctx, c, &event);
}

void mqtt_client_fail(struct mqtt_client *c, int err, uint8_t reason, const char *format, ...)
{
    va_list args;
    if (c->err)
        return;
    c->err = err;
    c->reason = reason;
    c->up = false;
    va_start(args, format);
    (void)vsnprintf(c->text, sizeof c->text, format, args);
    va_end(args);
    if (c->conn)
        conn_close(c->conn);
}

void mqtt_client_write(struct mqtt_client *c, struct buf *packet)
{
    int err = buf_error(packet);
    if (!c->conn || c->err)
        return;
    if (!err)
        err = conn_write(c->conn, buf_bytes(packet));
    if (err)
        mqtt_client_fail(c, err, 0, "a packet cannot be written: %s", err_text(err));
    c->said_us = exec_now_us(c->exec);
    c->stats.bytes_out += packet->len;
    buf_reset(packet);
}

/* ------------------------------------------------------------------------------------ connecting
 */

static void link_open(struct mqtt_client *c);

static void timer_set(struct mqtt_client *c, int64_t in_us)
{
    if (exec_timer_start(c->exec, &c->timer, exec_now_us(c->exec) + in_us))
        log_error("mqtt", "%s: no memory for a timer", c->options.address);
}

/* Doubles with each attempt; the jitter takes off up to half, so that many don't come at once. */
static int64_t backoff_ms(struct mqtt_client *c)
{
    uint32_t doublings = c->attempts < BACKOFF_DOUBLINGS_MAX ? c->attempts : BACKOFF_DOUBLINGS_MAX;
    int64_t wait = c->options.backoff_min_ms << doublings;
    if (wait > c->options.backoff_max_ms)
        wait = c->options.backoff_max_ms;
    c->attempts++;
    return wait / 2 + (int64_t)rand_below(&c->jitter, (uint64_t)wait / 2 + 1);
}

static void link_wait(struct mqtt_client *c, int err, uint8_t reason, const char *text)
{
    struct mqtt_client_event event = {.err = err, .reason = reason, .text = text};
    event.retry_ms = backoff_ms(c);
    timer_set(c, event.retry_ms * US_PER_MS);
    state_tell(c, MQTT_CLIENT_WAITING, &event);
}

static void link_open(struct mqtt_client *c)
{
    struct mqtt_client_event event = {.err = OK};
    c->err = OK;
    c->reason = 0;
    c->text[0] = 0;
    buf_reset(&c->in);
    state_tell(c, MQTT_CLIENT_CONNECTING, &event);
    if (c->stopping)
        return;
    int err = conn_open(c->exec, c->options.address, c->options.conn, &link_handler, c, &c->conn);
    if (err)
        link_wait(c, err, 0, err_text(err));
    else
        timer_set(c, c->options.connect_timeout_ms * US_PER_MS);
}

static int connect_properties(struct mqtt_client *c, struct buf *out)
{
    const struct mqtt_client_options *o = &c->options;
    if (o->session_expiry_s)
        (void)mqtt_property_put_number(out, MQTT_SESSION_EXPIRY, o->session_expiry_s);
    (void)mqtt_property_put_number(out, MQTT_RECEIVE_MAXIMUM, o->receive_maximum);
    (void)mqtt_property_put_number(out, MQTT_MAXIMUM_PACKET_SIZE, o->packet_bytes_max);
    return buf_error(out);
}

static struct bytes text_of(const char *text)
{
    return text ? bytes_of_text(text) : bytes_of(NULL, 0);
}

static void on_open(void *ctx, struct conn *conn)
{
    struct mqtt_client *c = ctx;
    const struct mqtt_client_options *o = &c->options;
    struct buf properties = {0};
    (void)conn;
    int err = connect_properties(c, &properties);
    struct mqtt_connect p = {
        .version = c->version,
        .clean_start =
            c->version == MQTT_3_1_1 ? o->session_expiry_s == 0 : o->clean_start && !c->began,
        .keep_alive_s = o->keep_alive_s,
        .client_id = text_of(o->client_id),
        .has_user = o->user != NULL,
        .user = text_of(o->user),
        .has_password = o->password != NULL,
        .password = text_of(o->password),
        .properties = {.raw = buf_bytes(&properties)},
    };
    if (o->will) {
        p.has_will = true;
        p.will = *o->will;
    }
    buf_reset(&c->scratch);
    if (!err)
        err = mqtt_connect_encode(&p, &c->scratch);
    buf_fini(&properties);
    if (err)
        mqtt_client_fail(c, err, 0, "CONNECT cannot be made: %s", err_text(err));
    else
        mqtt_client_write(c, &c->scratch);
}

/* ---------------------------------------------------------------------------------- subscriptions
 */

static void subscription_send(struct mqtt_client *c, struct client_subscription *sub)
{
    sub->packet_id = mqtt_client_packet_id(c);
    if (!sub->packet_id) {
        mqtt_client_fail(c, ERR_LIMIT, 0, "no packet identifier is free");
        return;
    }
    buf_reset(&c->scratch);
    int err = mqtt_subscribe_encode(c->version, sub->packet_id, &sub->request, 1, bytes_of(NULL, 0),
                                    &c->scratch);
    if (err)
        mqtt_client_fail(c, err, 0, "SUBSCRIBE cannot be made: %s", err_text(err));
    else
        mqtt_client_write(c, &c->scratch);
}

static struct client_subscription *subscription_find(struct mqtt_client *c, struct bytes filter)
{
    LIST_FOR (link, &c->subscriptions) {
        struct client_subscription *sub = CONTAINER_OF(link, struct client_subscription, link);
        if (bytes_equal(sub->request.filter, filter))
            return sub;
    }
    return NULL;
}

int mqtt_client_subscribe(struct mqtt_client *c, const struct mqtt_subscription *subscription)
{
    struct bytes filter = subscription->filter;
    if (!topic_is_filter(filter) || subscription->qos > 1)
        return ERR_INVALID;
    struct client_subscription *sub = subscription_find(c, filter);
    if (!sub) {
        sub = calloc(1, sizeof *sub + filter.len);
        if (!sub)
            return ERR_NOMEM;
        memcpy(sub->filter, filter.ptr, filter.len);
        list_push_back(&c->subscriptions, &sub->link);
    }
    sub->request = *subscription;
    sub->request.filter = bytes_of(sub->filter, filter.len);
    if (c->up)
        subscription_send(c, sub);
    return OK;
}

int mqtt_client_unsubscribe(struct mqtt_client *c, struct bytes filter)
{
    struct client_subscription *sub = subscription_find(c, filter);
    if (!sub)
        return ERR_NOT_FOUND;
    uint16_t id = c->up ? mqtt_client_packet_id(c) : 0;
    if (id) {
        buf_reset(&c->scratch);
        int err = mqtt_unsubscribe_encode(c->version, id, &sub->request.filter, 1,
                                          bytes_of(NULL, 0), &c->scratch);
        if (err)
            return err;
        mqtt_client_write(c, &c->scratch);
    }
    list_remove(&sub->link);
    free(sub);
    return OK;
}

/* --------------------------------------------------------------------------------------- packets
 */

static void connack_limits(struct mqtt_client *c, const struct mqtt_properties *p)
{
    c->server_receive_maximum =
        (uint16_t)mqtt_property_number(p, MQTT_RECEIVE_MAXIMUM, SERVER_RECEIVE_MAXIMUM);
    c->server_packet_bytes_max =
        mqtt_property_number(p, MQTT_MAXIMUM_PACKET_SIZE, MQTT_PACKET_BYTES_MAX);
    c->server_maximum_qos = (uint8_t)mqtt_property_number(p, MQTT_MAXIMUM_QOS, 2);
    c->keep_alive_s =
        (uint16_t)mqtt_property_number(p, MQTT_SERVER_KEEP_ALIVE, c->options.keep_alive_s);
}

static void keep_alive_wait(struct mqtt_client *c)
{
    if (c->keep_alive_s)
        timer_set(c, (int64_t)c->keep_alive_s * US_PER_S / 4);
    else
        exec_timer_stop(c->exec, &c->timer);
}

static void take_connack(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    const struct mqtt_connack *p = &packet->connack;
    if (c->up) {
        mqtt_client_fail(c, ERR_PROTOCOL, MQTT_PROTOCOL_ERROR, "the server sends a second CONNACK");
        return;
    }
    if (p->reason && c->version == MQTT_3_1_1) {
        mqtt_client_fail(c, p->reason >= 4 ? ERR_AUTH : ERR_REFUSED, p->reason,
                         "the server refuses us with code %u", p->reason);
        return;
    }
    if (p->reason) {
        struct bytes why = mqtt_property_bytes(&p->properties, MQTT_REASON_STRING);
        mqtt_client_fail(c, mqtt_reason_err(p->reason), p->reason,
                         "the server refuses us: %s%s%.*s", mqtt_reason_text(p->reason),
                         why.len ? ", " : "",
                         why.len < CLIENT_TEXT_BYTES_MAX ? (int)why.len : CLIENT_TEXT_BYTES_MAX,
                         why.len ? (const char *)why.ptr : "");
        return;
    }
    struct mqtt_client_event event = {.session_present = p->session_present};
    connack_limits(c, &p->properties);
    c->up = true;
    c->began = true;
    c->attempts = 0;
    c->stats.connects++;
    keep_alive_wait(c);
    LIST_FOR (link, &c->subscriptions)
        if (c->up)
            subscription_send(c, CONTAINER_OF(link, struct client_subscription, link));
    if (c->up) /* before the owner publishes more: the order stays */
        mqtt_client_send_up(c, event.session_present);
    if (c->up)
        state_tell(c, MQTT_CLIENT_UP, &event);
}

static void take_publish(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    const struct mqtt_publish *p = &packet->publish;
    if (p->qos > 1 || p->topic.len == 0) {
        mqtt_client_fail(
            c, ERR_PROTOCOL, MQTT_PROTOCOL_ERROR,
            "the server publishes with QoS 2 or a topic alias, which we did not ask for");
        return;
    }
    c->stats.received++;
    int err = c->options.on_message ? c->options.on_message(c->options.ctx, c, p) : OK;
    if (p->qos == 0 || !c->up)
        return;
    uint8_t reason = err_mqtt_reason(err);
    struct mqtt_ack ack = {.packet_id = p->packet_id};
    ack.reason = mqtt_reason_allowed(MQTT_PUBACK, reason) ? reason : MQTT_UNSPECIFIED_ERROR;
    buf_reset(&c->scratch);
    (void)mqtt_ack_encode(c->version, MQTT_PUBACK, &ack, &c->scratch);
    mqtt_client_write(c, &c->scratch);
}

static void take_puback(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    mqtt_client_send_acked(c, &packet->ack);
}

static void take_suback(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    const struct mqtt_suback *p = &packet->suback;
    LIST_FOR (link, &c->subscriptions) {
        struct client_subscription *sub = CONTAINER_OF(link, struct client_subscription, link);
        if (sub->packet_id != p->packet_id || p->reasons.len == 0)
            continue;
        sub->packet_id = 0;
        if (p->reasons.ptr[0] >= MQTT_UNSPECIFIED_ERROR)
            log_warn("mqtt", "%s refuses the subscription to %.*s: %s", c->options.address,
                     (int)sub->request.filter.len, sub->filter,
                     mqtt_reason_text(p->reasons.ptr[0]));
        return;
    }
}

static void take_nothing(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    (void)c;
    (void)packet;
}

static void take_disconnect(struct mqtt_client *c, const struct mqtt_packet *packet)
{
    uint8_t reason = packet->notice.reason;
    int err = mqtt_reason_err(reason);
    mqtt_client_fail(c, err ? err : ERR_CLOSED, reason, "the server disconnects us: %s",
                     mqtt_reason_text(reason));
}

static void (*const takers[MQTT_TYPE_COUNT])(struct mqtt_client *c,
                                             const struct mqtt_packet *packet) = {
    [MQTT_CONNACK] = take_connack,       [MQTT_PUBLISH] = take_publish,
    [MQTT_PUBACK] = take_puback,         [MQTT_SUBACK] = take_suback,
    [MQTT_UNSUBACK] = take_nothing,      [MQTT_PINGRESP] = take_nothing,
    [MQTT_DISCONNECT] = take_disconnect,
};

/* A server of 3.1.1 refuses our 5.0 in its own words: then we speak his. */
static bool fall_back(struct mqtt_client *c, const struct mqtt_frame *frame)
{
    bool old_words = frame->body.len == 2 && frame->body.ptr[1] == CODE_VERSION_3_1_1;
    bool new_words = frame->body.len >= 2 && frame->body.ptr[1] == MQTT_UNSUPPORTED_VERSION;
    if (frame->head != MQTT_CONNACK << 4 || c->up || c->options.no_fallback ||
        c->version == MQTT_3_1_1 || (!old_words && !new_words))
        return false;
    c->version = MQTT_3_1_1;
    mqtt_client_fail(c, ERR_VERSION, frame->body.ptr[1],
                     "the server does not speak MQTT 5.0; trying 3.1.1");
    return true;
}

static void take(struct mqtt_client *c, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault;
    if (fall_back(c, frame))
        return;
    int err = mqtt_packet_decode(frame, c->version, &packet, &fault);
    if (err)
        mqtt_client_fail(c, err, fault.reason, "the server breaks the protocol: %s", fault.text);
    else if (!takers[packet.type] || (!c->up && packet.type != MQTT_CONNACK))
        mqtt_client_fail(c, ERR_PROTOCOL, MQTT_PROTOCOL_ERROR, "the server sends %s out of place",
                         mqtt_type_name(packet.type));
    else
        takers[packet.type](c, &packet);
}

static size_t take_all(struct mqtt_client *c, struct bytes in)
{
    size_t taken = 0;
    while (!c->err && !c->stopping && taken < in.len) {
        struct mqtt_frame frame;
        int err = mqtt_frame_next(bytes_of(in.ptr + taken, in.len - taken),
                                  c->options.packet_bytes_max, &frame);
        if (err == ERR_AGAIN)
            break;
        if (err) {
            mqtt_client_fail(c, err, MQTT_PACKET_TOO_LARGE,
                             "the server sends a packet that is malformed or larger than %u bytes",
                             c->options.packet_bytes_max);
            break;
        }
        taken += frame.size;
        take(c, &frame);
    }
    return taken;
}

static void on_data(void *ctx, struct conn *conn, struct bytes data)
{
    struct mqtt_client *c = ctx;
    (void)conn;
    c->heard_us = exec_now_us(c->exec);
    c->stats.bytes_in += data.len;
    bool kept = c->in.len > 0;
    if (kept && buf_append_bytes(&c->in, data)) {
        mqtt_client_fail(c, ERR_NOMEM, 0, "out of memory");
        return;
    }
    struct bytes in = kept ? buf_bytes(&c->in) : data;
    size_t taken = take_all(c, in);
    size_t left = c->err || c->stopping ? 0 : in.len - taken;
    if (left == 0) {
        buf_reset(&c->in);
    } else if (kept) {
        memmove(c->in.ptr, c->in.ptr + taken, left);
        c->in.len = left;
    } else if (buf_append(&c->in, in.ptr + taken, left)) {
        mqtt_client_fail(c, ERR_NOMEM, 0, "out of memory");
    }
}

static void on_drain(void *ctx, struct conn *conn)
{
    (void)conn;
    mqtt_client_send_pump(ctx);
}

/* ----------------------------------------------------------------------------------------- timer
 */

static void keep_alive_due(struct mqtt_client *c)
{
    int64_t now_us = exec_now_us(c->exec);
    int64_t keep_us = (int64_t)c->keep_alive_s * US_PER_S;
    if (now_us - c->heard_us > keep_us + keep_us / 2) {
        mqtt_client_fail(c, ERR_TIMEOUT, 0, "the server is silent");
        return;
    }
    /* A quarter early, and also when only we talk: silence must show. */
    if (now_us - c->said_us >= keep_us / 2 || now_us - c->heard_us >= keep_us / 2) {
        buf_reset(&c->scratch);
        (void)mqtt_ping_encode(MQTT_PINGREQ, &c->scratch);
        mqtt_client_write(c, &c->scratch);
    }
    if (c->up)
        keep_alive_wait(c);
}

static void timer_due(struct exec_timer *timer)
{
    struct mqtt_client *c = CONTAINER_OF(timer, struct mqtt_client, timer);
    if (!c->conn)
        link_open(c);
    else if (c->up)
        keep_alive_due(c);
    else
        mqtt_client_fail(c, ERR_TIMEOUT, 0, "no CONNACK came in time");
}

/* ------------------------------------------------------------------------------------------- down
 */

static void on_close(void *ctx, struct conn *conn, int err)
{
    struct mqtt_client *c = ctx;
    bool was_up = c->state == MQTT_CLIENT_UP;
    if (!c->err) {
        c->err = err ? err : ERR_CLOSED;
        (void)snprintf(c->text, sizeof c->text, "%s", conn_error(conn));
    }
    c->conn = NULL;
    c->up = false;
    c->stats.disconnects += was_up;
    exec_timer_stop(c->exec, &c->timer);
    exec_timer_stop(c->exec, &c->ack_timer);
    if (c->stopping || err == ERR_CANCELLED) { /* the latter: the loop ends, and all with it */
        c->stopping = true;
        (void)exec_post(c->exec, &c->stopped_task);
        return;
    }
    c->state = MQTT_CLIENT_WAITING;
    if (!c->options.resend)
        mqtt_client_send_lost(c, ERR_CLOSED);
    if (!c->stopping)
        link_wait(c, c->err, c->reason, c->text);
}

static const struct conn_handler link_handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_close = on_close,
};

/* ------------------------------------------------------------------------------------------- life
 */

static uint64_t or_default(uint64_t value, uint64_t absent)
{
    return value ? value : absent;
}

static void options_default(struct mqtt_client_options *o)
{
    o->version = o->version ? o->version : MQTT_5_0;
    o->keep_alive_s = (uint16_t)or_default(o->keep_alive_s, KEEP_ALIVE_S_DEFAULT);
    o->in_flight_max = (uint16_t)or_default(o->in_flight_max, IN_FLIGHT_DEFAULT);
    o->queue_max = (uint32_t)or_default(o->queue_max, QUEUE_DEFAULT);
    o->packet_bytes_max = (uint32_t)or_default(o->packet_bytes_max, MQTT_PACKET_BYTES_USUAL);
    o->receive_maximum = (uint16_t)or_default(o->receive_maximum, RECEIVE_MAXIMUM_DEFAULT);
    o->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_DEFAULT;
    o->backoff_min_ms = o->backoff_min_ms ? o->backoff_min_ms : BACKOFF_MIN_MS_DEFAULT;
    o->backoff_max_ms = o->backoff_max_ms ? o->backoff_max_ms : BACKOFF_MAX_MS_DEFAULT;
}

/* Copies a text that may be NULL; false without memory. */
static bool keep(struct mqtt_client *c, const char **text)
{
    if (*text)
        *text = arena_text(&c->arena, *text);
    return *text != NULL;
}

static bool keep_bytes(struct mqtt_client *c, struct bytes *v)
{
    const char *copy = arena_copy(&c->arena, *v);
    *v = bytes_of(copy, v->len);
    return copy != NULL;
}

static bool options_keep(struct mqtt_client *c)
{
    struct mqtt_client_options *o = &c->options;
    bool ok = keep(c, &o->address);
    ok = (!o->client_id || keep(c, &o->client_id)) && ok;
    ok = (!o->user || keep(c, &o->user)) && ok;
    ok = (!o->password || keep(c, &o->password)) && ok;
    if (!o->will)
        return ok;
    struct mqtt_will *will = arena_alloc(&c->arena, sizeof *will);
    if (!will)
        return false;
    *will = *o->will;
    o->will = will;
    return keep_bytes(c, &will->topic) && keep_bytes(c, &will->payload) &&
           keep_bytes(c, &will->properties.raw) && ok;
}

/* A task of its own, because it comes after those that are queued already: then nothing of the
 * client waits anywhere, and it may be freed. */
static void stopped_run(struct exec_task *task)
{
    struct mqtt_client *c = CONTAINER_OF(task, struct mqtt_client, stopped_task);
    struct mqtt_client_event stopped = {.err = OK};
    mqtt_client_send_lost(c, ERR_CANCELLED);
    state_tell(c, MQTT_CLIENT_STOPPED, &stopped);
}

int mqtt_client_new(const struct mqtt_client_options *options, struct mqtt_client **ret)
{
    if (!options->exec || !options->address)
        return ERR_INVALID;
    struct mqtt_client *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    c->options = *options;
    c->exec = options->exec;
    options_default(&c->options);
    c->version = c->options.version;
    list_init(&c->subscriptions);
    mqtt_client_send_init(c);
    exec_timer_init(&c->timer, timer_due);
    exec_task_init(&c->stopped_task, stopped_run);
    uint64_t seed = options->seed;
    if (!options_keep(c) || (!seed && rand_bytes(&seed, sizeof seed))) {
        arena_fini(&c->arena);
        free(c);
        return ERR_NOMEM;
    }
    rand_seed(&c->jitter, seed);
    *ret = c;
    return OK;
}

int mqtt_client_start(struct mqtt_client *c)
{
    struct address address;
    assert(c->state == MQTT_CLIENT_STOPPED);
    int err = address_parse(c->options.address, &address, NULL);
    if (err)
        return err;
    c->stopping = false;
    link_open(c);
    return OK;
}

void mqtt_client_stop(struct mqtt_client *c)
{
    if (c->state == MQTT_CLIENT_STOPPED || c->stopping)
        return;
    c->stopping = true;
    if (c->up) {
        struct mqtt_notice bye = {.reason = MQTT_SUCCESS};
        buf_reset(&c->scratch);
        (void)mqtt_notice_encode(c->version, MQTT_DISCONNECT, &bye, &c->scratch);
        mqtt_client_write(c, &c->scratch);
    }
    c->up = false;
    if (c->conn) {
        conn_finish(c->conn, 0);
        return;
    }
    exec_timer_stop(c->exec, &c->timer);
    (void)exec_post(c->exec, &c->stopped_task);
}

void mqtt_client_free(struct mqtt_client *c)
{
    if (!c)
        return;
    assert(c->state == MQTT_CLIENT_STOPPED && !c->conn);
    struct list *link;
    while ((link = list_pop_front(&c->subscriptions)) != NULL)
        free(CONTAINER_OF(link, struct client_subscription, link));
    buf_fini(&c->in);
    buf_fini(&c->scratch);
    arena_fini(&c->arena);
    free(c);
}

enum mqtt_client_state mqtt_client_state(const struct mqtt_client *c)
{
    return c->state;
}

enum mqtt_version mqtt_client_version(const struct mqtt_client *c)
{
    return c->version;
}

void mqtt_client_stats_get(const struct mqtt_client *c, struct mqtt_client_stats *ret)
{
    *ret = c->stats;
}
