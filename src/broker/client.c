/* One connection: bytes in, packets out of them, each to its handler.
 *
 * A client is closed in two steps: client_close says good-bye and marks it, from wherever that
 * becomes necessary (also in the middle of routing to it); the session is let go of when the
 * connection reports its end, which is never inside something else. Only a take-over does not wait
 * for that (connect.c).
 */
#include "base/err.h"
#include "base/log.h"
#include "broker/broker_priv.h"

#include <stdlib.h>

#define CONNECT_BYTES_MAX 65536u /* nobody unknown makes us keep more */
#define FINISH_MS         500    /* for the last DISCONNECT to get through */

/* ---------------------------------------------------------------------------------------- closing
 */

static const char *client_name(const struct client *c)
{
    return c->session ? c->session->id : conn_peer(c->conn);
}

void client_detach(struct client *c)
{
    struct session *s = c->session;
    acks_detach(c);
    c->session = NULL;
    if (s)
        session_lost(s, c->keep_will);
}

void client_close(struct client *c, uint8_t reason, const char *text)
{
    struct broker *b = c->broker;
    if (c->closing)
        return;
    c->closing = true;
    exec_timer_stop(b->exec, &c->timer);
    if (text)
        log_info("broker", "%s (%s) is disconnected: %s", client_name(c), conn_peer(c->conn), text);
    if (!c->connected || c->version != MQTT_5_0) {
        conn_finish(c->conn, FINISH_MS);
        return;
    }
    struct mqtt_notice notice = {.reason = reason};
    buf_reset(&b->scratch);
    if (mqtt_notice_encode(c->version, MQTT_DISCONNECT, &notice, &b->scratch) == OK)
        (void)conn_write(c->conn, buf_bytes(&b->scratch));
    conn_finish(c->conn, FINISH_MS);
}

static void client_free(struct client *c)
{
    struct broker *b = c->broker;
    exec_timer_stop(b->exec, &c->timer);
    client_detach(c);
    list_remove(&c->link);
    for (uint16_t i = 0; i < c->alias_count; i++)
        free(c->aliases[i].topic);
    free(c->aliases);
    buf_fini(&c->in);
    free(c);
    count_sub(b, COUNT_CONNECTIONS, 1);
    outstanding_remove(b);
}

static void on_close(void *ctx, struct conn *conn, int err)
{
    struct client *c = ctx;
    if (err && err != ERR_CLOSED && err != ERR_CANCELLED)
        log_info("broker", "%s: %s", client_name(c), conn_error(conn));
    c->closing = true;
    client_free(c);
}

void client_write(struct client *c, struct buf *packet)
{
    struct broker *b = c->broker;
    if (c->closing)
        return;
    int err = buf_error(packet);
    if (!err)
        err = conn_write(c->conn, buf_bytes(packet));
    if (err)
        client_close(c, MQTT_UNSPECIFIED_ERROR, "its answers cannot be queued");
    else
        count_add(b, COUNT_BYTES_OUT, packet->len);
    buf_reset(packet);
}

void client_pause(struct client *c, enum client_pause why)
{
    if (!c->paused && !c->closing)
        conn_pause(c->conn);
    c->paused = (uint8_t)(c->paused | why);
}

void client_resume(struct client *c, enum client_pause why)
{
    if (!(c->paused & why))
        return;
    c->paused = (uint8_t)(c->paused & ~(unsigned)why);
    if (c->paused || c->closing)
        return;
    c->heard_us = exec_now_us(c->broker->exec); /* the silence was ours */
    conn_resume(c->conn);
}

/* ----------------------------------------------------------------------------------------- timer
 */

static void timer_due(struct exec_timer *timer)
{
    struct client *c = CONTAINER_OF(timer, struct client, timer);
    struct broker *b = c->broker;
    if (!c->connected) {
        client_close(c, MQTT_KEEP_ALIVE_TIMEOUT, "no CONNECT came in time");
        return;
    }
    int64_t due_us = c->heard_us + c->keep_alive_us;
    int64_t now_us = exec_now_us(b->exec);
    if (c->paused)
        due_us = now_us + c->keep_alive_us;
    if (due_us > now_us)
        (void)exec_timer_start(b->exec, &c->timer, due_us);
    else
        client_close(c, MQTT_KEEP_ALIVE_TIMEOUT, "keep alive: nothing came for too long");
}

void client_keep_alive_start(struct client *c)
{
    exec_timer_stop(c->broker->exec, &c->timer);
    if (c->keep_alive_us == 0)
        return;
    if (exec_timer_start(c->broker->exec, &c->timer, c->heard_us + c->keep_alive_us))
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
}

/* --------------------------------------------------------------------------------------- packets
 */

static void protocol_error(struct client *c, uint8_t reason, const char *text)
{
    count_add(c->broker, COUNT_PROTOCOL_ERRORS, 1);
    client_close(c, reason, text);
}

static void take_publish(struct client *c, const struct mqtt_packet *p)
{
    client_on_publish(c, &p->publish);
}

static void take_puback(struct client *c, const struct mqtt_packet *p)
{
    session_acked(c->session, p->ack.packet_id);
    session_pump(c->session);
}

static void take_subscribe(struct client *c, const struct mqtt_packet *p)
{
    client_on_subscribe(c, &p->subscribe);
}

static void take_unsubscribe(struct client *c, const struct mqtt_packet *p)
{
    client_on_unsubscribe(c, &p->unsubscribe);
}

static void take_ping(struct client *c, const struct mqtt_packet *p)
{
    (void)p;
    buf_reset(&c->broker->scratch);
    (void)mqtt_ping_encode(MQTT_PINGRESP, &c->broker->scratch);
    client_write(c, &c->broker->scratch);
}

static void take_disconnect(struct client *c, const struct mqtt_packet *p)
{
    struct session *s = c->session;
    const struct mqtt_properties *properties = &p->notice.properties;
    if (mqtt_property_has(properties, MQTT_SESSION_EXPIRY)) {
        uint32_t expiry_s = mqtt_property_number(properties, MQTT_SESSION_EXPIRY, 0);
        if (s->expiry_s == 0 && expiry_s > 0) { /* 3.14.2.2.2 */
            protocol_error(c, MQTT_PROTOCOL_ERROR, "DISCONNECT brings a session expiry to life");
            return;
        }
        s->expiry_s = session_expiry_limit(c->broker, expiry_s);
    }
    c->keep_will = p->notice.reason != MQTT_SUCCESS; /* [MQTT-3.14.4-3] */
    c->closing = true;
    exec_timer_stop(c->broker->exec, &c->timer);
    conn_close(c->conn);
}

/* What a client may send once it is connected; the rest is for the server to send, or for QoS 2. */
static void (*const takers[MQTT_TYPE_COUNT])(struct client *c, const struct mqtt_packet *p) = {
    [MQTT_PUBLISH] = take_publish,     [MQTT_PUBACK] = take_puback,
    [MQTT_SUBSCRIBE] = take_subscribe, [MQTT_UNSUBSCRIBE] = take_unsubscribe,
    [MQTT_PINGREQ] = take_ping,        [MQTT_DISCONNECT] = take_disconnect,
};

static void take_first(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault;
    if (frame->head != MQTT_CONNECT << 4) { /* [MQTT-3.1.0-1] */
        protocol_error(c, MQTT_PROTOCOL_ERROR, "its first packet is not CONNECT");
        return;
    }
    packet.connect.version = 0;
    if (mqtt_packet_decode(frame, MQTT_5_0, &packet, &fault) == OK) {
        client_on_connect(c, &packet.connect);
        return;
    }
    count_add(c->broker, COUNT_PROTOCOL_ERRORS, 1);
    client_refuse(c, packet.connect.version, fault.reason, fault.text);
}

static void take(struct client *c, const struct mqtt_frame *frame)
{
    struct mqtt_packet packet;
    struct mqtt_fault fault;
    if (!c->connected) {
        take_first(c, frame);
        return;
    }
    if (mqtt_packet_decode(frame, c->version, &packet, &fault)) {
        protocol_error(c, fault.reason, fault.text);
        return;
    }
    if (takers[packet.type])
        takers[packet.type](c, &packet);
    else
        protocol_error(c, MQTT_PROTOCOL_ERROR, "a packet that is not a client's to send");
}

/* Takes every whole packet; returns how many bytes they were. */
static size_t take_all(struct client *c, struct bytes in)
{
    size_t taken = 0;
    while (!c->closing && taken < in.len) {
        uint64_t limit = c->connected ? c->broker->limits.packet_bytes_max : CONNECT_BYTES_MAX;
        struct mqtt_frame frame;
        int err =
            mqtt_frame_next(bytes_of(in.ptr + taken, in.len - taken), (uint32_t)limit, &frame);
        if (err == ERR_AGAIN)
            break;
        if (err == ERR_LIMIT) {
            protocol_error(c, MQTT_PACKET_TOO_LARGE, "a packet larger than packet_bytes_max");
        } else if (err) {
            protocol_error(c, MQTT_MALFORMED_PACKET, "a packet's length has more than four bytes");
        } else {
            taken += frame.size;
            take(c, &frame);
        }
    }
    return taken;
}

static void on_data(void *ctx, struct conn *conn, struct bytes data)
{
    struct client *c = ctx;
    (void)conn;
    c->heard_us = exec_now_us(c->broker->exec);
    count_add(c->broker, COUNT_BYTES_IN, data.len);
    bool kept = c->in.len > 0;
    if (kept && buf_append_bytes(&c->in, data)) {
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
        return;
    }
    struct bytes in = kept ? buf_bytes(&c->in) : data;
    size_t taken = take_all(c, in);
    size_t left = c->closing ? 0 : in.len - taken;
    if (left == 0) {
        buf_fini(&c->in);
    } else if (!kept) {
        if (buf_append(&c->in, in.ptr + taken, left))
            client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
    } else {
        memmove(c->in.ptr, c->in.ptr + taken, left);
        c->in.len = left;
    }
}

static void on_drain(void *ctx, struct conn *conn)
{
    struct client *c = ctx;
    (void)conn;
    if (c->session && !c->closing)
        session_pump(c->session);
}

void client_accept(void *ctx, struct conn *conn)
{
    static const struct conn_handler handler = {
        .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    struct broker *b = ctx;
    struct client *c = calloc(1, sizeof *c);
    if (!c || b->stopping) {
        free(c);
        conn_close(conn);
        return;
    }
    c->broker = b;
    c->conn = conn;
    c->keep_will = true;
    c->heard_us = exec_now_us(b->exec);
    list_init(&c->acks);
    list_push_back(&b->clients, &c->link);
    exec_timer_init(&c->timer, timer_due);
    outstanding_add(b);
    count_add(b, COUNT_CONNECTIONS, 1);
    conn_handler_set(conn, &handler, c);
    if (exec_timer_start(b->exec, &c->timer, c->heard_us + b->limits.connect_timeout_us))
        conn_close(conn);
}
