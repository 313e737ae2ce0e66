/* PUBACK, PUBREC, PUBREL and PUBCOMP (3.4 to 3.7): four packets of one shape. */
#include "mqtt/mqtt_priv.h"

int mqtt_ack_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_ack *ret)
{
    int err = mqtt_read_packet_id(d, &ret->packet_id);
    if (err || reader_left(&d->in) == 0 || d->version != MQTT_5_0)
        return err; /* a reason code left out is success (3.4.2.1) */
    ret->reason = reader_u8(&d->in);
    if (!mqtt_reason_allowed(type, ret->reason))
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "an acknowledgement with a wrong reason code");
    if (reader_left(&d->in) == 0)
        return OK;
    return mqtt_read_properties(d, type, &ret->properties);
}

int mqtt_ack_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_ack *p,
                    struct buf *out)
{
    size_t start = out->len;
    uint8_t head = (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0));
    bool with_properties = version == MQTT_5_0 && p->properties.raw.len > 0;
    bool with_reason = version == MQTT_5_0 && (p->reason || with_properties);
    size_t size = 2 + (with_reason ? 1u : 0u) +
                  (with_properties ? mqtt_properties_size(version, p->properties.raw) : 0);
    int err = mqtt_put_head(out, head, size);
    (void)buf_append_be16(out, p->packet_id);
    if (with_reason)
        (void)buf_append_u8(out, p->reason);
    if (with_properties)
        (void)mqtt_put_properties(version, p->properties.raw, out);
    return mqtt_encoded(out, start, err);
}
