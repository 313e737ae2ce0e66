/* SUBSCRIBE (3.8): topic filters with the options of each. */
#include "mqtt/mqtt_priv.h"

#define OPTION_NO_LOCAL   0x04u
#define OPTION_AS_PUBLISH 0x08u
#define OPTION_RESERVED   0xc0u
#define OPTION_QOS        0x03u

static bool subscription_read(struct reader *in, struct mqtt_subscription *ret, uint8_t *ret_raw)
{
    struct bytes filter = mqtt_read_text(in);
    uint8_t options = reader_u8(in);
    if (in->failed)
        return false;
    *ret = (struct mqtt_subscription){
        .filter = filter,
        .qos = options & OPTION_QOS,
        .no_local = options & OPTION_NO_LOCAL,
        .retain_as_published = options & OPTION_AS_PUBLISH,
        .retain_handling = (enum mqtt_retain_handling)((options >> 4) & 3u),
    };
    *ret_raw = options;
    return true;
}

static int options_check(struct mqtt_decoding *d, uint8_t options)
{
    uint8_t reserved = d->version == MQTT_5_0 ? OPTION_RESERVED : (uint8_t)~OPTION_QOS;
    if (options & reserved) /* [MQTT-3.8.3-5]; 3.1.1 [MQTT-3-8.3-4] */
        return mqtt_malformed(d, "SUBSCRIBE sets reserved option bits");
    if ((options & OPTION_QOS) == 3 || ((options >> 4) & 3u) == 3)
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "SUBSCRIBE with QoS 3 or retain handling 3");
    return OK;
}

int mqtt_subscribe_decode(struct mqtt_decoding *d, struct mqtt_subscribe *ret)
{
    int err = mqtt_read_packet_id(d, &ret->packet_id);
    if (!err)
        err = mqtt_read_properties(d, MQTT_SUBSCRIBE, &ret->properties);
    if (err)
        return err;
    ret->filters = bytes_of(d->in.ptr, reader_left(&d->in));
    while (reader_left(&d->in) > 0) {
        struct mqtt_subscription s;
        uint8_t options;
        if (!subscription_read(&d->in, &s, &options))
            return mqtt_malformed(d, "SUBSCRIBE ends inside a topic filter");
        if ((err = options_check(d, options)))
            return err;
        ret->count++;
    }
    if (ret->count == 0) /* [MQTT-3.8.3-2] */
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "SUBSCRIBE without a topic filter");
    return OK;
}

bool mqtt_subscribe_next(struct bytes *rest, struct mqtt_subscription *ret)
{
    struct reader in = reader_of(*rest);
    uint8_t options;
    if (rest->len == 0 || !subscription_read(&in, ret, &options))
        return false;
    *rest = bytes_of(in.ptr, reader_left(&in));
    return true;
}

static uint8_t options_of(enum mqtt_version version, const struct mqtt_subscription *s)
{
    unsigned options = s->qos;
    if (version == MQTT_5_0)
        options |= (s->no_local ? OPTION_NO_LOCAL : 0) |
                   (s->retain_as_published ? OPTION_AS_PUBLISH : 0) |
                   (unsigned)s->retain_handling << 4;
    return (uint8_t)options;
}

int mqtt_subscribe_encode(enum mqtt_version version, uint16_t packet_id,
                          const struct mqtt_subscription *subscriptions, size_t count,
                          struct bytes properties, struct buf *out)
{
    size_t start = out->len;
    size_t size = 2 + mqtt_properties_size(version, properties);
    for (size_t i = 0; i < count; i++)
        size += 2 + subscriptions[i].filter.len + 1;
    int err = mqtt_put_head(out, MQTT_SUBSCRIBE << 4 | 2, size);
    (void)buf_append_be16(out, packet_id);
    (void)mqtt_put_properties(version, properties, out);
    for (size_t i = 0; i < count && !err; i++) {
        err = mqtt_put_text(out, subscriptions[i].filter);
        (void)buf_append_u8(out, options_of(version, &subscriptions[i]));
    }
    return mqtt_encoded(out, start, err);
}
