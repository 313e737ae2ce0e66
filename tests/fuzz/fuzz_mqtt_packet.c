/* Any bytes as a stream of MQTT packets.
 *
 * The first byte of the input chooses the version. Each packet that decodes is walked to its end,
 * as broker and client would, and encoded again: what the decoder accepts, the encoder must be able
 * to write, and the decoder must read back as the same thing.
 */
#include "base/err.h"
#include "mqtt/packet.h"

#include <assert.h>
#include <stdlib.h>

#define PACKET_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each property put again gives the bytes it was read from. */
static int property_put(struct buf *out, const struct mqtt_property *p)
{
    if (p->name.ptr)
        return mqtt_property_put_user(out, p->name, p->text);
    if (p->text.ptr)
        return mqtt_property_put_bytes(out, p->id, p->text);
    return mqtt_property_put_number(out, p->id, p->number);
}

static void properties_walk(const struct mqtt_properties *p)
{
    struct bytes rest = p->raw;
    struct mqtt_property one;
    struct buf again = {0};
    while (mqtt_property_next(&rest, &one)) {
        assert(mqtt_property_has(p, one.id));
        (void)mqtt_property_number(p, one.id, 0);
        (void)mqtt_property_bytes(p, one.id);
        (void)property_put(&again, &one);
    }
    assert(rest.len == 0);
    assert(buf_error(&again) || bytes_equal(buf_bytes(&again), p->raw));
    buf_fini(&again);
}

static int subscribe_again(enum mqtt_version v, const struct mqtt_subscribe *p, struct buf *out)
{
    struct mqtt_subscription *subs = calloc(p->count, sizeof *subs);
    struct bytes rest = p->filters;
    uint32_t n = 0;
    if (!subs)
        return ERR_NOMEM;
    while (n < p->count && mqtt_subscribe_next(&rest, &subs[n]))
        n++;
    assert(n == p->count && rest.len == 0);
    int err = mqtt_subscribe_encode(v, p->packet_id, subs, n, p->properties.raw, out);
    free(subs);
    return err;
}

static int unsubscribe_again(enum mqtt_version v, const struct mqtt_unsubscribe *p, struct buf *out)
{
    struct bytes *filters = calloc(p->count, sizeof *filters);
    struct bytes rest = p->filters;
    uint32_t n = 0;
    if (!filters)
        return ERR_NOMEM;
    while (n < p->count && mqtt_unsubscribe_next(&rest, &filters[n]))
        n++;
    assert(n == p->count && rest.len == 0);
    int err = mqtt_unsubscribe_encode(v, p->packet_id, filters, n, p->properties.raw, out);
    free(filters);
    return err;
}

static int publish_again(enum mqtt_version v, const struct mqtt_publish *p, struct buf *out)
{
    size_t start = out->len;
    int err = mqtt_publish_encode(v, p, out);
    assert(err || out->len - start == mqtt_publish_size(v, p));
    return err;
}

static int encode_again(enum mqtt_version v, const struct mqtt_packet *p, struct buf *out)
{
    switch (p->type) {
    case MQTT_CONNECT:
        properties_walk(&p->connect.properties);
        properties_walk(&p->connect.will.properties);
        return mqtt_connect_encode(&p->connect, out);
    case MQTT_CONNACK:
        properties_walk(&p->connack.properties);
        assert(mqtt_connack_code(p->connack.reason) <= 5);
        return mqtt_connack_encode(v, &p->connack, out);
    case MQTT_PUBLISH:
        properties_walk(&p->publish.properties);
        return publish_again(v, &p->publish, out);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        properties_walk(&p->ack.properties);
        return mqtt_ack_encode(v, p->type, &p->ack, out);
    case MQTT_SUBSCRIBE:
        return subscribe_again(v, &p->subscribe, out);
    case MQTT_UNSUBSCRIBE:
        return unsubscribe_again(v, &p->unsubscribe, out);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_suback_encode(v, p->type, &p->suback, out);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_ping_encode(p->type, out);
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return mqtt_notice_encode(v, p->type, &p->notice, out);
    }
    abort();
}

/* Encoded twice gives the same bytes: nothing was lost on the way. */
static void packet_check(enum mqtt_version v, const struct mqtt_packet *p)
{
    struct buf once = {0};
    struct buf twice = {0};
    struct mqtt_frame frame;
    struct mqtt_packet again;
    struct mqtt_fault fault;
    if (p->type == MQTT_CONNECT)
        v = p->connect.version;
    int err = encode_again(v, p, &once);
    assert(err == OK || err == ERR_NOMEM);
    if (err == OK) {
        err = mqtt_frame_next(buf_bytes(&once), MQTT_PACKET_BYTES_MAX, &frame);
        assert(err == OK && frame.size == once.len);
        err = mqtt_packet_decode(&frame, v, &again, &fault);
        assert(err == OK && again.type == p->type);
        err = encode_again(v, &again, &twice);
        assert(err || bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    }
    buf_fini(&once);
    buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum mqtt_version v = data[0] & 1 ? MQTT_5_0 : MQTT_3_1_1;
    struct bytes in = bytes_of(data + 1, size - 1);
    struct mqtt_frame frame;
    while (mqtt_frame_next(in, PACKET_BYTES_MAX, &frame) == OK) {
        struct mqtt_packet packet;
        struct mqtt_fault fault = {0, NULL};
        if (mqtt_packet_decode(&frame, v, &packet, &fault) == OK)
            packet_check(v, &packet);
        else
            assert(fault.text && fault.reason >= MQTT_UNSPECIFIED_ERROR &&
                   mqtt_reason_err(fault.reason) != OK && mqtt_reason_text(fault.reason));
        in = bytes_of(in.ptr + frame.size, in.len - frame.size);
    }
    return 0;
}
