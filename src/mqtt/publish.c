/* PUBLISH (3.3): a message on its way, in either direction. */
#include "model/topic.h"
#include "mqtt/mqtt_priv.h"

#define FLAG_RETAIN 0x01u
#define FLAG_DUP    0x08u

static int flags_decode(struct mqtt_decoding *d, struct mqtt_publish *ret)
{
    ret->retain = d->flags & FLAG_RETAIN;
    ret->dup = d->flags & FLAG_DUP;
    ret->qos = (d->flags >> 1) & 3u;
    if (ret->qos > 2) /* [MQTT-3.3.1-4] */
        return mqtt_malformed(d, "PUBLISH with QoS 3");
    if (ret->dup && ret->qos == 0) /* [MQTT-3.3.1-2] */
        return mqtt_malformed(d, "PUBLISH with QoS 0 and DUP");
    return OK;
}

int mqtt_publish_decode(struct mqtt_decoding *d, struct mqtt_publish *ret)
{
    int err = flags_decode(d, ret);
    if (err)
        return err;
    ret->topic = mqtt_read_text(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "PUBLISH has no topic name in UTF-8");
    if (ret->qos > 0 && (err = mqtt_read_packet_id(d, &ret->packet_id)))
        return err;
    err = mqtt_read_properties(d, MQTT_PUBLISH, &ret->properties);
    if (err)
        return err;
    bool aliased = ret->topic.len == 0 && mqtt_property_has(&ret->properties, MQTT_TOPIC_ALIAS);
    if (ret->topic.len == 0 && !aliased)
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "PUBLISH has neither topic nor topic alias");
    if (!aliased && !topic_is_name(ret->topic)) /* [MQTT-3.3.2-2] */
        return mqtt_fail(d, MQTT_TOPIC_NAME_INVALID,
                         "the topic has wildcards, or more than 128 levels");
    ret->payload = reader_take(&d->in, reader_left(&d->in));
    return OK;
}

static size_t remaining(enum mqtt_version version, const struct mqtt_publish *p)
{
    return 2 + p->topic.len + (p->qos ? 2u : 0u) +
           mqtt_properties_size(version, p->properties.raw) + p->payload.len;
}

size_t mqtt_publish_size(enum mqtt_version version, const struct mqtt_publish *p)
{
    size_t size = remaining(version, p);
    return 1 + mqtt_varint_size((uint32_t)size) + size;
}

int mqtt_publish_encode_head(enum mqtt_version version, const struct mqtt_publish *p,
                             struct buf *out, size_t *ret_packet_id_at)
{
    size_t start = out->len;
    unsigned head = (unsigned)MQTT_PUBLISH << 4 | (unsigned)p->qos << 1;
    head |= (p->retain ? FLAG_RETAIN : 0) | (p->dup ? FLAG_DUP : 0);
    if (p->topic.len > MQTT_TEXT_BYTES_MAX)
        return ERR_LIMIT;
    int err = mqtt_put_head(out, (uint8_t)head, remaining(version, p));
    (void)mqtt_put_text(out, p->topic);
    size_t packet_id_at = p->qos ? out->len - start : 0;
    if (p->qos)
        (void)buf_append_be16(out, p->packet_id);
    (void)mqtt_put_properties(version, p->properties.raw, out);
    err = mqtt_encoded(out, start, err);
    if (!err && ret_packet_id_at)
        *ret_packet_id_at = packet_id_at;
    return err;
}

int mqtt_publish_encode(enum mqtt_version version, const struct mqtt_publish *p, struct buf *out)
{
    size_t start = out->len;
    int err = mqtt_publish_encode_head(version, p, out, NULL);
    if (err)
        return err;
    return mqtt_encoded(out, start, buf_append_bytes(out, p->payload));
}
