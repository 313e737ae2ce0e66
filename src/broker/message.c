/* Messages: immutable, counted, and encoded once for all who get them in the same form.
 *
 * Ten thousand subscribers of one topic get the same bytes but for the packet identifier. A small
 * packet is therefore kept whole, in up to eight variants (version × QoS × retain), and copied into
 * each connection's buffer: for a few hundred bytes a copy is cheaper than one more piece in a
 * writev. Of a large one the payload is referenced, never copied, and only the few bytes before it
 * are written for each receiver.
 *
 * Counted without atomics, since a broker and all it holds belong to one loop.
 */
#include "base/err.h"
#include "broker/broker_priv.h"

#include <assert.h>
#include <stdlib.h>

#define US_PER_S 1000000

struct message *message_new(const struct message_parts *parts)
{
    size_t text_len = parts->topic.len + parts->properties.len;
    struct message *m = calloc(1, sizeof *m + text_len);
    if (!m)
        return NULL;
    m->payload = parts->payload ? payload_ref(parts->payload) : payload_copy(parts->content);
    if (!m->payload) {
        free(m);
        return NULL;
    }
    m->refs = 1;
    m->topic_len = (uint32_t)parts->topic.len;
    m->properties_len = (uint32_t)parts->properties.len;
    m->qos = parts->qos;
    m->retain = parts->retain;
    m->expires_us = parts->expires_us;
    memcpy(m->text, parts->topic.ptr, parts->topic.len);
    if (parts->properties.len > 0)
        memcpy(m->text + m->topic_len, parts->properties.ptr, parts->properties.len);
    return m;
}

struct message *message_ref(struct message *m)
{
    m->refs++;
    return m;
}

void message_unref(struct message *m)
{
    if (!m || --m->refs > 0)
        return;
    for (size_t i = 0; i < MESSAGE_VARIANTS; i++)
        payload_unref(m->packets[i]);
    payload_unref(m->payload);
    free(m);
}

/* ---------------------------------------------------------------------------------------- sending
 */

static struct mqtt_publish publish_of(const struct message *m, const struct message_view *view)
{
    return (struct mqtt_publish){
        .dup = view->dup,
        .retain = view->retain,
        .qos = view->qos,
        .packet_id = view->packet_id,
        .topic = message_topic(m),
        .properties = {.raw = message_properties(m)},
        .payload = payload_bytes(m->payload),
    };
}

/* A head of this receiver's own: with his subscription identifiers and with what is left of the
 * expiry. */
static int head_encode(const struct message *m, const struct message_view *view, struct buf *out)
{
    struct mqtt_publish p = publish_of(m, view);
    struct buf properties = {0};
    bool expires = m->expires_us != MESSAGE_NEVER_EXPIRES;
    int err = OK;
    if (view->version == MQTT_5_0 && (view->id_count || expires)) {
        (void)buf_append_bytes(&properties, p.properties.raw);
        for (uint32_t i = 0; i < view->id_count; i++)
            (void)mqtt_property_put_number(&properties, MQTT_SUBSCRIPTION_ID, view->ids[i]);
        int64_t left_us = m->expires_us - view->now_us;
        if (expires) /* [MQTT-3.3.2-6] */
            (void)mqtt_property_put_number(&properties, MQTT_MESSAGE_EXPIRY,
                                           (uint32_t)((left_us + US_PER_S - 1) / US_PER_S));
        p.properties.raw = buf_bytes(&properties);
        err = buf_error(&properties);
    }
    if (!err)
        err = mqtt_publish_encode_head(view->version, &p, out, NULL);
    buf_fini(&properties);
    return err;
}

static int head_send(const struct message *m, const struct message_view *view, struct conn *conn,
                     uint32_t packet_bytes_max, struct buf *scratch, size_t *ret_size)
{
    buf_reset(scratch);
    int err = head_encode(m, view, scratch);
    if (err)
        return err;
    if (scratch->len + m->payload->len > packet_bytes_max)
        return ERR_LIMIT;
    err = conn_write(conn, buf_bytes(scratch));
    if (!err && m->payload->len > 0)
        err = conn_write_payload(conn, m->payload);
    *ret_size = scratch->len + m->payload->len;
    return err == ERR_LIMIT ? ERR_CLOSED : err; /* half a packet cannot be taken back */
}

/* The whole packet that all receivers of this view share, made on first use; NULL without memory.
 */
static struct payload *packet_shared(struct message *m, const struct message_view *view,
                                     struct buf *scratch)
{
    unsigned five = view->version == MQTT_5_0;
    unsigned variant = five << 2 | (view->qos ? 2u : 0u) | (view->retain ? 1u : 0u);
    if (m->packets[variant])
        return m->packets[variant];
    struct mqtt_publish p = publish_of(m, view);
    size_t packet_id_at = 0;
    p.dup = false;
    buf_reset(scratch);
    if (mqtt_publish_encode_head(view->version, &p, scratch, &packet_id_at) ||
        buf_append_bytes(scratch, p.payload))
        return NULL;
    if (view->qos)
        m->packet_id_at = (uint16_t)packet_id_at;
    m->packets[variant] = payload_copy(buf_bytes(scratch));
    return m->packets[variant];
}

static int packet_send(struct message *m, const struct message_view *view, struct conn *conn,
                       uint32_t packet_bytes_max, struct buf *scratch, size_t *ret_size)
{
    uint8_t copy[MESSAGE_INLINE_MAX];
    const struct payload *packet = packet_shared(m, view, scratch);
    if (!packet)
        return ERR_NOMEM;
    if (packet->len > packet_bytes_max)
        return ERR_LIMIT;
    *ret_size = packet->len;
    if (view->qos == 0)
        return conn_write(conn, payload_bytes(packet));
    assert(packet->len <= sizeof copy);
    memcpy(copy, packet->data, packet->len);
    store_be16(copy + m->packet_id_at, view->packet_id);
    copy[0] = (uint8_t)(copy[0] | (view->dup ? 0x08 : 0));
    return conn_write(conn, bytes_of(copy, packet->len));
}

/* Two lengths, the identifier and the first byte, at most. */
#define PACKET_OVERHEAD 16

int message_send(struct message *m, const struct message_view *view, struct conn *conn,
                 uint32_t packet_bytes_max, struct buf *scratch, size_t *ret_size)
{
    bool small =
        PACKET_OVERHEAD + m->topic_len + m->properties_len + m->payload->len <= MESSAGE_INLINE_MAX;
    bool same_for_all = view->version != MQTT_5_0 ||
                        (view->id_count == 0 && m->expires_us == MESSAGE_NEVER_EXPIRES);
    if (small && same_for_all)
        return packet_send(m, view, conn, packet_bytes_max, scratch, ret_size);
    return head_send(m, view, conn, packet_bytes_max, scratch, ret_size);
}
