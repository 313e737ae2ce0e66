/* SUBACK and UNSUBACK (3.9, 3.11): one reason code for each topic filter asked about. */
#include "mqtt/mqtt_priv.h"

#define FAILURE_3_1_1 0x80

static bool reason_known(const struct mqtt_decoding *d, enum mqtt_type type, uint8_t reason)
{
    if (d->version == MQTT_5_0)
        return mqtt_reason_allowed(type, reason);
    return reason <= MQTT_GRANTED_QOS2 || reason == FAILURE_3_1_1;
}

int mqtt_suback_decode(struct mqtt_decoding *d, enum mqtt_type type, struct mqtt_suback *ret)
{
    int err = mqtt_read_packet_id(d, &ret->packet_id);
    if (!err)
        err = mqtt_read_properties(d, type, &ret->properties);
    if (err)
        return err;
    if (d->version != MQTT_5_0 && type == MQTT_UNSUBACK)
        return OK;
    ret->reasons = reader_take(&d->in, reader_left(&d->in));
    if (ret->reasons.len == 0)
        return mqtt_malformed(d, "an acknowledgement without a reason code");
    for (size_t i = 0; i < ret->reasons.len; i++)
        if (!reason_known(d, type, ret->reasons.ptr[i]))
            return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "a reason code that may not stand there");
    return OK;
}

int mqtt_suback_encode(enum mqtt_version version, enum mqtt_type type, const struct mqtt_suback *p,
                       struct buf *out)
{
    size_t start = out->len;
    bool with_reasons = version == MQTT_5_0 || type == MQTT_SUBACK;
    size_t size =
        2 + mqtt_properties_size(version, p->properties.raw) + (with_reasons ? p->reasons.len : 0);
    int err = mqtt_put_head(out, (uint8_t)(type << 4), size);
    (void)buf_append_be16(out, p->packet_id);
    (void)mqtt_put_properties(version, p->properties.raw, out);
    for (size_t i = 0; with_reasons && i < p->reasons.len; i++) {
        uint8_t reason = p->reasons.ptr[i];
        bool failed_3_1_1 = version == MQTT_3_1_1 && reason >= FAILURE_3_1_1;
        (void)buf_append_u8(out, failed_3_1_1 ? FAILURE_3_1_1 : reason);
    }
    return mqtt_encoded(out, start, err);
}
