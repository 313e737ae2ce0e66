/* Reason codes (2.4): their names, where each may stand, and the error of ours it is nearest to. */
#include "mqtt/mqtt_priv.h"

#define BIT(type) (1u << (type))
#define CONNACK   BIT(MQTT_CONNACK)
#define PUBACK    (BIT(MQTT_PUBACK) | BIT(MQTT_PUBREC))
#define PUBREL    (BIT(MQTT_PUBREL) | BIT(MQTT_PUBCOMP))
#define SUBACK    BIT(MQTT_SUBACK)
#define UNSUBACK  BIT(MQTT_UNSUBACK)
#define DISC      BIT(MQTT_DISCONNECT)
#define AUTH      BIT(MQTT_AUTH)

struct reason {
    uint8_t code;
    int8_t err;
    uint16_t packets;
    const char *text;
};

/* In the order of the codes. */
static const struct reason reasons[] = {
    {MQTT_SUCCESS, OK, CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISC | AUTH, "success"},
    {MQTT_GRANTED_QOS1, OK, SUBACK, "granted QoS 1"},
    {MQTT_GRANTED_QOS2, OK, SUBACK, "granted QoS 2"},
    {MQTT_DISCONNECT_WITH_WILL, OK, DISC, "disconnect with will message"},
    {MQTT_NO_MATCHING_SUBSCRIBERS, OK, PUBACK, "no matching subscribers"},
    {MQTT_NO_SUBSCRIPTION_EXISTED, OK, UNSUBACK, "no subscription existed"},
    {MQTT_CONTINUE_AUTHENTICATION, OK, AUTH, "continue authentication"},
    {MQTT_REAUTHENTICATE, OK, AUTH, "re-authenticate"},
    {MQTT_UNSPECIFIED_ERROR, ERR_IO, CONNACK | PUBACK | SUBACK | UNSUBACK | DISC,
     "unspecified error"},
    {MQTT_MALFORMED_PACKET, ERR_MALFORMED, CONNACK | DISC, "malformed packet"},
    {MQTT_PROTOCOL_ERROR, ERR_PROTOCOL, CONNACK | DISC, "protocol error"},
    {MQTT_IMPLEMENTATION_ERROR, ERR_INVALID, CONNACK | PUBACK | SUBACK | UNSUBACK | DISC,
     "implementation specific error"},
    {MQTT_UNSUPPORTED_VERSION, ERR_VERSION, CONNACK, "unsupported protocol version"},
    {MQTT_CLIENT_ID_NOT_VALID, ERR_INVALID, CONNACK, "client identifier not valid"},
    {MQTT_BAD_USER_OR_PASSWORD, ERR_AUTH, CONNACK, "bad user name or password"},
    {MQTT_NOT_AUTHORIZED, ERR_DENIED, CONNACK | PUBACK | SUBACK | UNSUBACK | DISC,
     "not authorized"},
    {MQTT_SERVER_UNAVAILABLE, ERR_AGAIN, CONNACK, "server unavailable"},
    {MQTT_SERVER_BUSY, ERR_AGAIN, CONNACK | DISC, "server busy"},
    {MQTT_BANNED, ERR_DENIED, CONNACK, "banned"},
    {MQTT_SERVER_SHUTTING_DOWN, ERR_CLOSED, DISC, "server shutting down"},
    {MQTT_BAD_AUTHENTICATION_METHOD, ERR_AUTH, CONNACK | DISC, "bad authentication method"},
    {MQTT_KEEP_ALIVE_TIMEOUT, ERR_TIMEOUT, DISC, "keep alive timeout"},
    {MQTT_SESSION_TAKEN_OVER, ERR_CLOSED, DISC, "session taken over"},
    {MQTT_TOPIC_FILTER_INVALID, ERR_INVALID, SUBACK | UNSUBACK | DISC, "topic filter invalid"},
    {MQTT_TOPIC_NAME_INVALID, ERR_INVALID, CONNACK | PUBACK | DISC, "topic name invalid"},
    {MQTT_PACKET_ID_IN_USE, ERR_PROTOCOL, PUBACK | SUBACK | UNSUBACK, "packet identifier in use"},
    {MQTT_PACKET_ID_NOT_FOUND, ERR_PROTOCOL, PUBREL, "packet identifier not found"},
    {MQTT_RECEIVE_MAXIMUM_EXCEEDED, ERR_PROTOCOL, DISC, "receive maximum exceeded"},
    {MQTT_TOPIC_ALIAS_INVALID, ERR_PROTOCOL, DISC, "topic alias invalid"},
    {MQTT_PACKET_TOO_LARGE, ERR_LIMIT, CONNACK | DISC, "packet too large"},
    {MQTT_MESSAGE_RATE_TOO_HIGH, ERR_LIMIT, DISC, "message rate too high"},
    {MQTT_QUOTA_EXCEEDED, ERR_LIMIT, CONNACK | PUBACK | SUBACK | DISC, "quota exceeded"},
    {MQTT_ADMINISTRATIVE_ACTION, ERR_CLOSED, DISC, "administrative action"},
    {MQTT_PAYLOAD_FORMAT_INVALID, ERR_INVALID, CONNACK | PUBACK | DISC, "payload format invalid"},
    {MQTT_RETAIN_NOT_SUPPORTED, ERR_UNSUPPORTED, CONNACK | DISC, "retain not supported"},
    {MQTT_QOS_NOT_SUPPORTED, ERR_UNSUPPORTED, CONNACK | DISC, "QoS not supported"},
    {MQTT_USE_ANOTHER_SERVER, ERR_REFUSED, CONNACK | DISC, "use another server"},
    {MQTT_SERVER_MOVED, ERR_REFUSED, CONNACK | DISC, "server moved"},
    {MQTT_SHARED_NOT_SUPPORTED, ERR_UNSUPPORTED, SUBACK | DISC,
     "shared subscriptions not supported"},
    {MQTT_CONNECTION_RATE_EXCEEDED, ERR_LIMIT, CONNACK | DISC, "connection rate exceeded"},
    {MQTT_MAXIMUM_CONNECT_TIME, ERR_EXPIRED, DISC, "maximum connect time"},
    {MQTT_SUBSCRIPTION_ID_NOT_SUPPORTED, ERR_UNSUPPORTED, SUBACK | DISC,
     "subscription identifiers not supported"},
    {MQTT_WILDCARD_NOT_SUPPORTED, ERR_UNSUPPORTED, SUBACK | DISC,
     "wildcard subscriptions not supported"},
};

static const struct reason *reason_find(uint8_t code)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].code == code)
            return &reasons[i];
    return NULL;
}

bool mqtt_reason_allowed(enum mqtt_type type, uint8_t reason)
{
    const struct reason *r = reason_find(reason);
    return r && (r->packets & BIT(type));
}

const char *mqtt_reason_text(uint8_t reason)
{
    const struct reason *r = reason_find(reason);
    return r ? r->text : "unknown reason";
}

int mqtt_reason_err(uint8_t reason)
{
    const struct reason *r = reason_find(reason);
    if (r)
        return r->err;
    return reason < MQTT_UNSPECIFIED_ERROR ? OK : ERR_PROTOCOL;
}
