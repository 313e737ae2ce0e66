/* DISCONNECT and AUTH (3.14, 3.15), and the two pings (3.12, 3.13): packets that say one thing. */
#include "mqtt/mqtt_priv.h"

int mqtt_notice_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_notice *ret)
{
    if (d->version != MQTT_5_0 && type == MQTT_AUTH)
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "AUTH is not a packet of MQTT 3.1.1");
    if (reader_left(&d->in) == 0 || d->version != MQTT_5_0)
        return OK; /* what is left in 3.1.1 is found by the caller */
    ret->reason = reader_u8(&d->in);
    if (!mqtt_reason_allowed(type, ret->reason))
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "a reason code that may not stand there");
    if (reader_left(&d->in) == 0)
        return OK;
    return mqtt_read_properties(d, type, &ret->properties);
}

int mqtt_notice_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_notice *p,
                       struct buf *out)
{
    size_t start = out->len;
    bool with_properties = version == MQTT_5_0 && p->properties.raw.len > 0;
    bool with_reason = version == MQTT_5_0 && (p->reason || with_properties);
    size_t size = (with_reason ? 1u : 0u) +
                  (with_properties ? mqtt_properties_size(version, p->properties.raw) : 0);
    int err = mqtt_put_head(out, (uint8_t)(type << 4), size);
    if (with_reason)
        (void)buf_append_u8(out, p->reason);
    if (with_properties)
        (void)mqtt_put_properties(version, p->properties.raw, out);
    return mqtt_encoded(out, start, err);
}

int mqtt_ping_encode(enum mqtt_type type, struct buf *out)
{
    size_t start = out->len;
    return mqtt_encoded(out, start, mqtt_put_head(out, (uint8_t)(type << 4), 0));
}
