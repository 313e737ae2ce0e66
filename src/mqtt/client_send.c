/* Publishing over a link that comes and goes.
 *
 * A publication waits in the queue, is in flight after it was written (QoS 1), and goes back to its
 * owner when it was acknowledged or lost. Identifiers are taken in order and the in-flight list
 * keeps that order, so an identifier is free when it lies outside the list's span, and a PUBACK is
 * nearly always for the head.
 */
#include "base/err.h"
#include "model/topic.h"
#include "mqtt/client_priv.h"

#include <assert.h>
#include <stdlib.h>

static struct mqtt_send *send_at(struct list *link)
{
    return CONTAINER_OF(link, struct mqtt_send, link);
}

/* Lets go of what the client holds, then tells the owner, who may free or publish again. */
static void send_done(struct mqtt_send *s, int err, uint8_t reason)
{
    list_remove(&s->link);
    payload_unref(s->payload);
    payload_unref(s->head);
    s->payload = NULL;
    s->head = NULL;
    if (s->fn)
        s->fn(s, err, reason);
}

static void written_run(struct exec_task *task)
{
    struct mqtt_client *c = CONTAINER_OF(task, struct mqtt_client, written_task);
    struct list now;
    list_init(&now);
    while (!list_empty(&c->written))
        list_push_back(&now, list_pop_front(&c->written));
    while (!list_empty(&now))
        send_done(send_at(now.next), OK, MQTT_SUCCESS);
}

/* ----------------------------------------------------------------------------------- ack time-out
 */

static void ack_watch(struct mqtt_client *c)
{
    if (c->options.ack_timeout_ms == 0 || list_empty(&c->in_flight))
        return;
    int64_t due_us = send_at(c->in_flight.next)->sent_us + c->options.ack_timeout_ms * 1000;
    (void)exec_timer_start(c->exec, &c->ack_timer, due_us);
}

/* Acknowledgements do not touch the timer: when it comes, the oldest may be a younger one. */
static void ack_due(struct exec_timer *timer)
{
    struct mqtt_client *c = CONTAINER_OF(timer, struct mqtt_client, ack_timer);
    if (!c->up || list_empty(&c->in_flight))
        return;
    int64_t waited_us = exec_now_us(c->exec) - send_at(c->in_flight.next)->sent_us;
    if (waited_us >= c->options.ack_timeout_ms * 1000)
        mqtt_client_fail(c, ERR_TIMEOUT, 0, "the server did not acknowledge a message for %lld ms",
                         (long long)c->options.ack_timeout_ms);
    else
        ack_watch(c);
}

void mqtt_client_send_init(struct mqtt_client *c)
{
    exec_timer_init(&c->ack_timer, ack_due);
    list_init(&c->queue);
    list_init(&c->in_flight);
    list_init(&c->written);
    exec_task_init(&c->written_task, written_run);
    c->next_packet_id = 1;
}

uint16_t mqtt_client_packet_id(struct mqtt_client *c)
{
    uint16_t id = c->next_packet_id;
    if (c->in_flight_count > 0 && send_at(c->in_flight.next)->packet_id == id)
        return 0;
    c->next_packet_id = id == MQTT_PACKET_ID_MAX ? 1 : (uint16_t)(id + 1);
    return id;
}

/* ---------------------------------------------------------------------------------------- writing
 */

static struct mqtt_publish publish_of(const struct mqtt_client *c, const struct mqtt_send *s)
{
    struct bytes head = payload_bytes(s->head);
    struct mqtt_publish p = {
        .dup = s->sent,
        .retain = s->retain,
        .qos = s->qos,
        .packet_id = s->packet_id,
        .topic = bytes_of(head.ptr, s->topic_len),
        .payload = payload_bytes(s->payload),
    };
    if (c->version == MQTT_5_0)
        p.properties.raw = bytes_of(head.ptr + s->topic_len, head.len - s->topic_len);
    return p;
}

/* What the server of this link takes. */
static int publish_fits(const struct mqtt_client *c, const struct mqtt_publish *p)
{
    bool too_large = mqtt_publish_size(c->version, p) > c->server_packet_bytes_max;
    return too_large || p->qos > c->server_maximum_qos ? ERR_LIMIT : OK;
}

static int send_write(struct mqtt_client *c, const struct mqtt_send *s)
{
    struct mqtt_publish p = publish_of(c, s);
    buf_reset(&c->scratch);
    int err = mqtt_publish_encode_head(c->version, &p, &c->scratch, NULL);
    if (!err)
        err = conn_write(c->conn, buf_bytes(&c->scratch));
    if (!err && p.payload.len > 0)
        err = conn_write_payload(c->conn, s->payload);
    if (err) {
        mqtt_client_fail(c, err, 0, "a message cannot be written: %s", err_text(err));
        return err;
    }
    c->said_us = exec_now_us(c->exec);
    c->stats.bytes_out += c->scratch.len + p.payload.len;
    c->stats.published++;
    return OK;
}

static bool window_is_open(const struct mqtt_client *c)
{
    return c->in_flight_count < c->options.in_flight_max &&
           c->in_flight_count < c->server_receive_maximum;
}

/* Sends the head of the queue; false when it has to wait. */
static bool pump_one(struct mqtt_client *c, struct mqtt_send *s)
{
    if (s->qos > 0) {
        if (!window_is_open(c) || !(s->packet_id = mqtt_client_packet_id(c)))
            return false;
        /* A server that took larger packets before may not be the one of now. */
        struct mqtt_publish p = publish_of(c, s);
        if (publish_fits(c, &p)) {
            c->queue_count--;
            c->stats.refused++;
            send_done(s, ERR_LIMIT, MQTT_PACKET_TOO_LARGE);
            return true;
        }
    }
    if (send_write(c, s))
        return false;
    list_remove(&s->link);
    c->queue_count--;
    if (s->qos == 0) {
        list_push_back(&c->written, &s->link);
        (void)exec_post(c->exec, &c->written_task);
    } else {
        s->sent = true;
        s->sent_us = exec_now_us(c->exec);
        list_push_back(&c->in_flight, &s->link);
        c->in_flight_count++;
        if (!exec_timer_active(&c->ack_timer))
            ack_watch(c);
    }
    return true;
}

static void room_tell(struct mqtt_client *c)
{
    if (!c->room_wanted || c->queue_count > c->options.queue_max / 2)
        return;
    c->room_wanted = false;
    if (c->options.on_room)
        c->options.on_room(c->options.ctx, c);
}

void mqtt_client_send_pump(struct mqtt_client *c)
{
    while (c->up && !list_empty(&c->queue) && conn_queued_bytes(c->conn) <= CLIENT_OUT_BYTES_MAX)
        if (!pump_one(c, send_at(c->queue.next)))
            break;
    room_tell(c);
}

/* -------------------------------------------------------------------------------------- the link
 */

void mqtt_client_send_up(struct mqtt_client *c, bool session_present)
{
    if (!session_present) {
        /* The server knows nothing of them: they are new again [MQTT-4.4.0-1]. */
        while (!list_empty(&c->in_flight)) {
            struct mqtt_send *s = send_at(c->in_flight.prev);
            list_remove(&s->link);
            s->sent = false;
            list_push_front(&c->queue, &s->link);
            c->queue_count++;
            c->stats.resent++;
        }
        c->in_flight_count = 0;
    }
    LIST_FOR (link, &c->in_flight) {
        if (!c->up || send_write(c, send_at(link)))
            return;
        send_at(link)->sent_us = exec_now_us(c->exec);
        c->stats.resent++;
    }
    ack_watch(c);
    mqtt_client_send_pump(c);
}

void mqtt_client_send_acked(struct mqtt_client *c, const struct mqtt_ack *ack)
{
    LIST_FOR (link, &c->in_flight) {
        struct mqtt_send *s = send_at(link);
        if (s->packet_id != ack->packet_id)
            continue;
        bool refused = ack->reason >= MQTT_UNSPECIFIED_ERROR;
        c->in_flight_count--;
        c->stats.acknowledged += !refused;
        c->stats.refused += refused;
        send_done(s, mqtt_reason_err(ack->reason), ack->reason);
        mqtt_client_send_pump(c);
        return;
    }
}

void mqtt_client_send_lost(struct mqtt_client *c, int err)
{
    struct list lost;
    list_init(&lost);
    while (!list_empty(&c->in_flight))
        list_push_back(&lost, list_pop_front(&c->in_flight));
    while (!list_empty(&c->queue))
        list_push_back(&lost, list_pop_front(&c->queue));
    c->in_flight_count = 0;
    c->queue_count = 0;
    while (!list_empty(&lost)) {
        c->stats.lost++;
        send_done(send_at(lost.next), err, 0);
    }
}

/* -------------------------------------------------------------------------------------- publish */

static int send_fill(struct mqtt_send *s, const struct mqtt_publish *m, struct payload *payload)
{
    size_t head_len = m->topic.len + m->properties.raw.len;
    s->head = payload_new(head_len);
    s->payload = payload ? payload_ref(payload) : payload_new(0);
    if (!s->head || !s->payload) {
        payload_unref(s->head);
        payload_unref(s->payload);
        return ERR_NOMEM;
    }
    memcpy(s->head->data, m->topic.ptr, m->topic.len);
    if (m->properties.raw.len > 0)
        memcpy(s->head->data + m->topic.len, m->properties.raw.ptr, m->properties.raw.len);
    s->topic_len = (uint32_t)m->topic.len;
    s->packet_id = 0;
    s->qos = m->qos;
    s->retain = m->retain;
    s->sent = false;
    list_init(&s->link);
    return OK;
}

int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *message,
                        struct payload *payload, struct mqtt_send *send)
{
    assert(exec_is_current(c->exec));
    if (message->qos > 1 || !topic_is_name(message->topic))
        return ERR_INVALID;
    if (!c->up && !c->options.resend)
        return ERR_CLOSED;
    if (c->queue_count >= c->options.queue_max) {
        c->room_wanted = true;
        return ERR_AGAIN;
    }
    struct mqtt_publish whole = *message;
    whole.payload = payload_bytes(payload);
    int err = c->up ? publish_fits(c, &whole) : OK;
    if (!err)
        err = send_fill(send, message, payload);
    if (err)
        return err;
    list_push_back(&c->queue, &send->link);
    c->queue_count++;
    bool room_wanted = c->room_wanted;
    c->room_wanted = false; /* nobody is called from inside here */
    mqtt_client_send_pump(c);
    c->room_wanted = room_wanted;
    return OK;
}

size_t mqtt_client_pending(const struct mqtt_client *c)
{
    return c->queue_count + c->in_flight_count;
}
