/* Sessions: what the broker remembers of a client, connected or not (4.1).
 *
 * QoS 1 messages wait in a queue (bounded in messages and bytes; the newest is dropped, and
 * counted, when it is full) and move to in-flight as the client's Receive Maximum and ours allow.
 * Packet identifiers are given in order and the in-flight list keeps that order, so an identifier
 * is free when it is not inside the list's span: nothing has to be searched. A client that
 * acknowledges all but one for 65,535 messages waits until it acknowledges that one.
 *
 * QoS 0 is never queued: it is sent, or dropped where nobody is connected or the connection is
 * slow.
 */
#include "base/err.h"
#include "broker/broker_priv.h"

#include <assert.h>
#include <stdlib.h>

#define US_PER_S        1000000
#define EXPIRY_NEVER    UINT32_MAX
#define OUT_BYTES_ROUGH (sizeof(struct out))

struct session *session_find(struct broker *b, struct bytes id)
{
    return map_find(&b->sessions, id);
}

static void will_due(struct exec_timer *timer)
{
    struct session *s = CONTAINER_OF(timer, struct session, will_timer);
    struct message *will = s->will;
    s->will = NULL;
    route_message(s->broker, will, s);
    message_unref(will);
}

static void expiry_due(struct exec_timer *timer)
{
    session_end(CONTAINER_OF(timer, struct session, expiry_timer));
}

int session_new(struct broker *b, struct bytes id, struct bytes user, struct session **ret)
{
    if (b->sessions.count >= b->limits.sessions_max)
        return ERR_LIMIT;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->broker = b;
    s->id = bytes_to_text(id);
    s->user = bytes_to_text(user);
    s->id_len = id.len;
    s->next_packet_id = 1;
    list_init(&s->queue);
    list_init(&s->in_flight);
    exec_timer_init(&s->will_timer, will_due);
    exec_timer_init(&s->expiry_timer, expiry_due);
    if (!s->id || !s->user || map_put(&b->sessions, id, s, NULL)) {
        free(s->id);
        free(s->user);
        free(s);
        return ERR_NOMEM;
    }
    count_add(b, COUNT_SESSIONS, 1);
    *ret = s;
    return OK;
}

/* ------------------------------------------------------------------------------------------- out
 */

static struct out *out_new(const struct delivery *d)
{
    struct out *o = calloc(1, sizeof *o + d->id_count * sizeof o->ids[0]);
    if (!o)
        return NULL;
    list_init(&o->link);
    o->message = message_ref(d->message);
    o->qos = d->qos;
    o->retain = d->retain;
    o->id_count = d->id_count;
    if (d->id_count)
        memcpy(o->ids, d->ids, d->id_count * sizeof o->ids[0]);
    return o;
}

static void out_free(struct out *o)
{
    list_remove(&o->link);
    message_unref(o->message);
    free(o);
}

static size_t out_bytes(const struct out *o)
{
    return OUT_BYTES_ROUGH + message_bytes(o->message);
}

static void list_free(struct session *s, struct list *head)
{
    struct list *link;
    while ((link = list_pop_front(head)) != NULL) {
        if (!s->broker->stopping)
            count_drop(s->broker, BROKER_DROP_SESSION_END);
        out_free(CONTAINER_OF(link, struct out, link));
    }
}

/* ------------------------------------------------------------------------------------------- end
 */

void session_free(struct session *s)
{
    struct broker *b = s->broker;
    assert(!s->client);
    exec_timer_stop(b->exec, &s->will_timer);
    exec_timer_stop(b->exec, &s->expiry_timer);
    session_unsubscribe_all(s);
    list_free(s, &s->queue);
    list_free(s, &s->in_flight);
    message_unref(s->will);
    (void)map_remove(&b->sessions, bytes_of(s->id, s->id_len));
    count_sub(b, COUNT_SESSIONS, 1);
    free(s->id);
    free(s->user);
    free(s);
}

void session_end(struct session *s)
{
    struct message *will = s->will; /* [MQTT-3.1.2-8]: goes out at the latest with its session */
    s->will = NULL;
    if (will) {
        route_message(s->broker, will, s);
        message_unref(will);
    }
    session_free(s);
}

void session_lost(struct session *s, bool keep_will)
{
    struct broker *b = s->broker;
    int64_t now_us = exec_now_us(b->exec);
    s->client = NULL;
    if (!keep_will || b->stopping)
        session_will_clear(s);
    if (s->expiry_s == 0) {
        session_end(s);
        return;
    }
    if (s->will && s->will_delay_us == 0)
        will_due(&s->will_timer);
    else if (s->will)
        (void)exec_timer_start(b->exec, &s->will_timer, now_us + s->will_delay_us);
    if (s->expiry_s != EXPIRY_NEVER)
        (void)exec_timer_start(b->exec, &s->expiry_timer, now_us + (int64_t)s->expiry_s * US_PER_S);
}

void session_will_clear(struct session *s)
{
    exec_timer_stop(s->broker->exec, &s->will_timer);
    message_unref(s->will);
    s->will = NULL;
}

void session_will_set(struct session *s, struct message *will, uint32_t delay_s)
{
    session_will_clear(s);
    s->will = will;
    s->will_delay_us = (int64_t)delay_s * US_PER_S;
}

/* ---------------------------------------------------------------------------------------- sending
 */

static bool session_can_send(const struct session *s)
{
    return s->client && !s->client->closing &&
           conn_queued_bytes(s->client->conn) <= s->broker->limits.out_bytes_max;
}

/* True if another QoS 1 message may be in flight and there is an identifier for it. */
static bool session_has_window(const struct session *s)
{
    if (s->in_flight_count == 0)
        return true;
    const struct out *oldest = CONTAINER_OF(s->in_flight.next, const struct out, link);
    return s->in_flight_count < s->broker->limits.in_flight_max &&
           s->in_flight_count < s->receive_maximum && oldest->packet_id != s->next_packet_id;
}

static int session_send(struct session *s, struct message *m, const struct message_view *view)
{
    struct broker *b = s->broker;
    size_t size = 0;
    int err = message_send(m, view, s->client->conn, s->packet_bytes_max, &b->scratch, &size);
    if (err == OK) {
        count_add(b, COUNT_MESSAGES_OUT, 1);
        count_add(b, COUNT_BYTES_OUT, size);
    } else if (err == ERR_LIMIT) { /* [MQTT-3.1.2-25] as if it had been delivered */
        count_drop(b, BROKER_DROP_TOO_LARGE);
    } else {
        client_close(s->client, MQTT_UNSPECIFIED_ERROR, "what it is sent cannot be queued");
    }
    return err;
}

static int out_send(struct session *s, struct out *o)
{
    struct message_view view = {
        .version = s->version,
        .qos = o->qos,
        .retain = o->retain,
        .dup = o->sent,
        .packet_id = o->packet_id,
        .ids = o->ids,
        .id_count = o->id_count,
        .now_us = exec_wall_us(s->broker->exec),
    };
    return session_send(s, o->message, &view);
}

/* Sends a QoS 1 message that has no identifier yet; o is gone or in flight after this. */
static void out_launch(struct session *s, struct out *o)
{
    o->packet_id = s->next_packet_id;
    if (out_send(s, o) == ERR_LIMIT) {
        out_free(o);
        return;
    }
    /* Also when the connection broke down: it is sent again with the next one. */
    o->sent = true;
    s->next_packet_id = s->next_packet_id == MQTT_PACKET_ID_MAX ? 1 : s->next_packet_id + 1u;
    list_push_back(&s->in_flight, &o->link);
    s->in_flight_count++;
}

/* Sends again what was in flight when the connection broke, in its order [MQTT-4.4.0-1], as far as
 * this connection's window allows [MQTT-3.3.4-9]; the rest follows as acknowledgements come. */
static void session_send_again(struct session *s)
{
    uint32_t sent = 0;
    LIST_FOR_SAFE (link, after, &s->in_flight) {
        struct out *o = CONTAINER_OF(link, struct out, link);
        if (!session_can_send(s) || sent >= s->receive_maximum)
            break;
        sent++;
        if (!o->again)
            continue;
        o->again = false;
        s->again_count--;
        if (out_send(s, o) == ERR_LIMIT) {
            s->in_flight_count--;
            out_free(o);
        }
    }
}

/* The oldest queued message if it may be sent now, taken out; else NULL. */
static struct out *queue_due(struct session *s)
{
    const struct out *oldest = CONTAINER_OF(s->queue.next, const struct out, link);
    if (list_empty(&s->queue) || !session_can_send(s) ||
        (oldest->qos > 0 && !session_has_window(s)))
        return NULL;
    struct list *link = list_pop_front(&s->queue);
    return link ? CONTAINER_OF(link, struct out, link) : NULL;
}

void session_pump(struct session *s)
{
    int64_t now_us = exec_wall_us(s->broker->exec);
    struct out *o;
    if (s->again_count > 0)
        session_send_again(s);
    while ((o = queue_due(s)) != NULL) {
        s->queue_count--;
        s->queue_bytes -= out_bytes(o);
        if (o->message->expires_us <= now_us) {
            count_drop(s->broker, BROKER_DROP_EXPIRED);
            out_free(o);
        } else if (o->qos == 0) {
            (void)out_send(s, o);
            out_free(o);
        } else {
            out_launch(s, o);
        }
    }
}

void session_resume(struct session *s)
{
    s->again_count = s->in_flight_count;
    LIST_FOR (link, &s->in_flight)
        CONTAINER_OF(link, struct out, link)->again = true;
    session_pump(s);
}

void session_acked(struct session *s, uint16_t packet_id)
{
    LIST_FOR (link, &s->in_flight) {
        struct out *o = CONTAINER_OF(link, struct out, link);
        if (o->packet_id != packet_id)
            continue;
        s->in_flight_count--;
        s->again_count -= o->again;
        out_free(o);
        return;
    }
}

/* ---------------------------------------------------------------------------------------- deliver
 */

static void drop(struct session *s, enum broker_drop why)
{
    s->dropped++;
    count_drop(s->broker, why);
}

static void deliver_qos0(struct session *s, const struct delivery *d)
{
    if (!s->client) {
        drop(s, BROKER_DROP_OFFLINE);
        return;
    }
    if (!session_can_send(s)) {
        drop(s, BROKER_DROP_SLOW);
        return;
    }
    struct message_view view = {
        .version = s->version,
        .retain = d->retain,
        .ids = d->ids,
        .id_count = d->id_count,
        .now_us =
            d->message->expires_us == MESSAGE_NEVER_EXPIRES ? 0 : exec_wall_us(s->broker->exec),
    };
    (void)session_send(s, d->message, &view);
}

static bool queue_is_full(const struct session *s, const struct message *m)
{
    const struct broker_limits *limits = &s->broker->limits;
    return s->queue_count >= limits->queue_messages_max ||
           s->queue_bytes + message_bytes(m) > limits->queue_bytes_max;
}

void session_deliver(struct session *s, const struct delivery *d)
{
    /* What is retained was asked for: it waits whatever the queue's limit, bounded by the store's.
     */
    if (d->qos == 0 && !d->retained) {
        deliver_qos0(s, d);
        return;
    }
    bool at_once =
        list_empty(&s->queue) && session_can_send(s) && (d->qos == 0 || session_has_window(s));
    if (!at_once && !d->retained && queue_is_full(s, d->message)) {
        drop(s, BROKER_DROP_QUEUE_FULL);
        return;
    }
    struct out *o = out_new(d);
    if (!o) {
        drop(s, BROKER_DROP_NO_MEMORY);
        return;
    }
    list_push_back(&s->queue, &o->link);
    s->queue_count++;
    s->queue_bytes += out_bytes(o);
    if (at_once)
        session_pump(s);
}
