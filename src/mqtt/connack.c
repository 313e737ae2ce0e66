/* CONNACK (3.2): the server's answer to CONNECT, with what it can and cannot do. */
#include "mqtt/mqtt_priv.h"

#define CODE_3_1_1_MAX 5

int mqtt_connack_decode(struct mqtt_decoding *d, struct mqtt_connack *ret)
{
    uint8_t flags = reader_u8(&d->in);
    ret->reason = reader_u8(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNACK ends too early");
    if (flags > 1) /* [MQTT-3.2.2-1] */
        return mqtt_malformed(d, "CONNACK sets reserved flags");
    ret->session_present = flags;
    bool known = d->version == MQTT_5_0 ? mqtt_reason_allowed(MQTT_CONNACK, ret->reason)
                                        : ret->reason <= CODE_3_1_1_MAX;
    if (!known)
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "CONNACK with a reason code it may not have");
    if (ret->reason && ret->session_present) /* [MQTT-3.2.2-6] */
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "CONNACK refuses and says a session is present");
    return mqtt_read_properties(d, MQTT_CONNACK, &ret->properties);
}

int mqtt_connack_encode(enum mqtt_version version, const struct mqtt_connack *p, struct buf *out)
{
    size_t start = out->len;
    int err =
        mqtt_put_head(out, MQTT_CONNACK << 4, 2 + mqtt_properties_size(version, p->properties.raw));
    (void)buf_append_u8(out, p->session_present);
    (void)buf_append_u8(out, p->reason);
    (void)mqtt_put_properties(version, p->properties.raw, out);
    return mqtt_encoded(out, start, err);
}

uint8_t mqtt_connack_code(uint8_t reason)
{
    switch (reason) {
    case MQTT_SUCCESS:
        return 0;
    case MQTT_UNSUPPORTED_VERSION:
        return 1;
    case MQTT_CLIENT_ID_NOT_VALID:
        return 2;
    case MQTT_BAD_USER_OR_PASSWORD:
        return 4;
    case MQTT_NOT_AUTHORIZED:
    case MQTT_BANNED:
        return 5;
    default:
        return 3; /* server unavailable */
    }
}
