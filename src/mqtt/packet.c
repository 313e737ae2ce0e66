/* From a frame to a packet: the table of packet types and what their first byte must look like. */
#include "mqtt/mqtt_priv.h"

#define FLAGS_ANY 0xff

struct type_info {
    const char *name;
    uint8_t flags; /* the low four bits of the first byte (2.1.3), or FLAGS_ANY */
    int (*decode)(struct mqtt_decoding *d, struct mqtt_packet *ret);
};

static int decode_connect(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_connect_decode(d, &ret->connect);
}

static int decode_connack(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_connack_decode(d, &ret->connack);
}

static int decode_publish(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_publish_decode(d, &ret->publish);
}

static int decode_ack(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_ack_decode(d, ret->type, &ret->ack);
}

static int decode_subscribe(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_subscribe_decode(d, &ret->subscribe);
}

static int decode_unsubscribe(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_unsubscribe_decode(d, &ret->unsubscribe);
}

static int decode_suback(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_suback_decode(d, ret->type, &ret->suback);
}

static int decode_ping(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    (void)d;
    (void)ret;
    return OK;
}

static int decode_notice(struct mqtt_decoding *d, struct mqtt_packet *ret)
{
    return mqtt_notice_decode(d, ret->type, &ret->notice);
}

static const struct type_info types[MQTT_TYPE_COUNT] = {
    [MQTT_CONNECT] = {"CONNECT", 0, decode_connect},
    [MQTT_CONNACK] = {"CONNACK", 0, decode_connack},
    [MQTT_PUBLISH] = {"PUBLISH", FLAGS_ANY, decode_publish},
    [MQTT_PUBACK] = {"PUBACK", 0, decode_ack},
    [MQTT_PUBREC] = {"PUBREC", 0, decode_ack},
    [MQTT_PUBREL] = {"PUBREL", 2, decode_ack},
    [MQTT_PUBCOMP] = {"PUBCOMP", 0, decode_ack},
    [MQTT_SUBSCRIBE] = {"SUBSCRIBE", 2, decode_subscribe},
    [MQTT_SUBACK] = {"SUBACK", 0, decode_suback},
    [MQTT_UNSUBSCRIBE] = {"UNSUBSCRIBE", 2, decode_unsubscribe},
    [MQTT_UNSUBACK] = {"UNSUBACK", 0, decode_suback},
    [MQTT_PINGREQ] = {"PINGREQ", 0, decode_ping},
    [MQTT_PINGRESP] = {"PINGRESP", 0, decode_ping},
    [MQTT_DISCONNECT] = {"DISCONNECT", 0, decode_notice},
    [MQTT_AUTH] = {"AUTH", 0, decode_notice},
};

const char *mqtt_type_name(enum mqtt_type type)
{
    const char *name = type < MQTT_TYPE_COUNT ? types[type].name : NULL;
    return name ? name : "packet";
}

int mqtt_packet_decode(const struct mqtt_frame *frame, enum mqtt_version version,
                       struct mqtt_packet *ret, struct mqtt_fault *ret_fault)
{
    struct mqtt_decoding d = {
        .in = reader_of(frame->body),
        .version = version,
        .flags = frame->head & 0x0f,
    };
    struct mqtt_packet packet;
    memset(&packet, 0, sizeof packet);
    packet.type = (enum mqtt_type)(frame->head >> 4);
    const struct type_info *info = &types[packet.type];
    int err;
    if (!info->decode)
        err = mqtt_malformed(&d, "packet type 0 does not exist");
    else if (info->flags != FLAGS_ANY && info->flags != d.flags) /* [MQTT-2.1.3-1] */
        err = mqtt_malformed(&d, "the packet's flags are not those of its type");
    else
        err = info->decode(&d, &packet);
    if (!err && reader_left(&d.in) > 0)
        err = mqtt_malformed(&d, "bytes follow the end of the packet");
    if (err) {
        /* The version a CONNECT asked for says in which form it must be refused. */
        if (packet.type == MQTT_CONNECT)
            ret->connect.version = packet.connect.version;
        *ret_fault = d.fault;
        return err;
    }
    *ret = packet;
    return OK;
}
