/* UNSUBSCRIBE (3.10): topic filters to forget. */
#include "mqtt/mqtt_priv.h"

int mqtt_unsubscribe_decode(struct mqtt_decoding *d, struct mqtt_unsubscribe *ret)
{
    int err = mqtt_read_packet_id(d, &ret->packet_id);
    if (!err)
        err = mqtt_read_properties(d, MQTT_UNSUBSCRIBE, &ret->properties);
    if (err)
        return err;
    ret->filters = bytes_of(d->in.ptr, reader_left(&d->in));
    for (; reader_left(&d->in) > 0; ret->count++) {
        (void)mqtt_read_text(&d->in);
        if (d->in.failed)
            return mqtt_malformed(d, "UNSUBSCRIBE ends inside a topic filter");
    }
    if (ret->count == 0) /* [MQTT-3.10.3-2] */
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "UNSUBSCRIBE without a topic filter");
    return OK;
}

bool mqtt_unsubscribe_next(struct bytes *rest, struct bytes *ret_filter)
{
    struct reader in = reader_of(*rest);
    if (rest->len == 0)
        return false;
    struct bytes filter = mqtt_read_text(&in);
    if (in.failed)
        return false;
    *rest = bytes_of(in.ptr, reader_left(&in));
    *ret_filter = filter;
    return true;
}

int mqtt_unsubscribe_encode(enum mqtt_version version, uint16_t packet_id,
                            const struct bytes *filters, size_t count, struct bytes properties,
                            struct buf *out)
{
    size_t start = out->len;
    size_t size = 2 + mqtt_properties_size(version, properties);
    for (size_t i = 0; i < count; i++)
        size += 2 + filters[i].len;
    int err = mqtt_put_head(out, MQTT_UNSUBSCRIBE << 4 | 2, size);
    (void)buf_append_be16(out, packet_id);
    (void)mqtt_put_properties(version, properties, out);
    for (size_t i = 0; i < count && !err; i++)
        err = mqtt_put_text(out, filters[i]);
    return mqtt_encoded(out, start, err);
}
