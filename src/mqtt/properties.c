/* Properties of MQTT 5.0 (2.2.2): one table says everything about each of them.
 *
 * A block of properties is checked once, when its packet is decoded: known identifiers, allowed in
 * this packet, not twice unless that is allowed, values in range, texts UTF-8. After that it stays
 * as it came, a view into the packet, and readers pick what they need. A broker that passes
 * properties on copies bytes and does not build lists.
 */
#include "model/topic.h"
#include "mqtt/mqtt_priv.h"

enum kind {
    NONE, /* not an identifier of the standard */
    BYTE,
    TWO,
    FOUR,
    VARINT,
    TEXT,
    BINARY,
    PAIR,
};

/* In which packets a property may stand, and in which more than once: bit = packet type, bit 0 =
 * a will. min and max bound numbers. */
struct rule {
    uint8_t kind;
    uint16_t packets;
    uint16_t many;
    uint32_t min;
    uint32_t max;
};

#define BIT(type) (1u << (type))
#define IN_WILL   BIT(0)
#define IN_ACKS   (BIT(MQTT_PUBACK) | BIT(MQTT_PUBREC) | BIT(MQTT_PUBREL) | BIT(MQTT_PUBCOMP))
#define IN_SUBS   (BIT(MQTT_SUBSCRIBE) | BIT(MQTT_UNSUBSCRIBE))
#define IN_SUBAK  (BIT(MQTT_SUBACK) | BIT(MQTT_UNSUBACK))
#define IN_CONN   BIT(MQTT_CONNECT)
#define IN_CONNAK BIT(MQTT_CONNACK)
#define IN_PUB    BIT(MQTT_PUBLISH)
#define IN_DISC   BIT(MQTT_DISCONNECT)
#define IN_AUTH   BIT(MQTT_AUTH)
#define IN_USER                                                                                    \
    (IN_WILL | IN_ACKS | IN_SUBS | IN_SUBAK | IN_CONN | IN_CONNAK | IN_PUB | IN_DISC | IN_AUTH)

static const struct rule rules[MQTT_PROPERTY_ID_MAX + 1] = {
    [MQTT_PAYLOAD_FORMAT] = {BYTE, IN_PUB | IN_WILL, 0, 0, 1},
    [MQTT_MESSAGE_EXPIRY] = {FOUR, IN_PUB | IN_WILL, 0, 0, UINT32_MAX},
    [MQTT_CONTENT_TYPE] = {TEXT, IN_PUB | IN_WILL, 0, 0, 0},
    [MQTT_RESPONSE_TOPIC] = {TEXT, IN_PUB | IN_WILL, 0, 0, 0},
    [MQTT_CORRELATION_DATA] = {BINARY, IN_PUB | IN_WILL, 0, 0, 0},
    [MQTT_SUBSCRIPTION_ID] = {VARINT, IN_PUB | BIT(MQTT_SUBSCRIBE), IN_PUB, 1, MQTT_VARINT_MAX},
    [MQTT_SESSION_EXPIRY] = {FOUR, IN_CONN | IN_CONNAK | IN_DISC, 0, 0, UINT32_MAX},
    [MQTT_ASSIGNED_CLIENT_ID] = {TEXT, IN_CONNAK, 0, 0, 0},
    [MQTT_SERVER_KEEP_ALIVE] = {TWO, IN_CONNAK, 0, 0, UINT16_MAX},
    [MQTT_AUTH_METHOD] = {TEXT, IN_CONN | IN_CONNAK | IN_AUTH, 0, 0, 0},
    [MQTT_AUTH_DATA] = {BINARY, IN_CONN | IN_CONNAK | IN_AUTH, 0, 0, 0},
    [MQTT_REQUEST_PROBLEM_INFO] = {BYTE, IN_CONN, 0, 0, 1},
    [MQTT_WILL_DELAY] = {FOUR, IN_WILL, 0, 0, UINT32_MAX},
    [MQTT_REQUEST_RESPONSE_INFO] = {BYTE, IN_CONN, 0, 0, 1},
    [MQTT_RESPONSE_INFO] = {TEXT, IN_CONNAK, 0, 0, 0},
    [MQTT_SERVER_REFERENCE] = {TEXT, IN_CONNAK | IN_DISC, 0, 0, 0},
    [MQTT_REASON_STRING] = {TEXT, IN_CONNAK | IN_ACKS | IN_SUBAK | IN_DISC | IN_AUTH, 0, 0, 0},
    [MQTT_RECEIVE_MAXIMUM] = {TWO, IN_CONN | IN_CONNAK, 0, 1, UINT16_MAX},
    [MQTT_TOPIC_ALIAS_MAXIMUM] = {TWO, IN_CONN | IN_CONNAK, 0, 0, UINT16_MAX},
    [MQTT_TOPIC_ALIAS] = {TWO, IN_PUB, 0, 1, UINT16_MAX},
    [MQTT_MAXIMUM_QOS] = {BYTE, IN_CONNAK, 0, 0, 1},
    [MQTT_RETAIN_AVAILABLE] = {BYTE, IN_CONNAK, 0, 0, 1},
    [MQTT_USER_PROPERTY] = {PAIR, IN_USER, IN_USER, 0, 0},
    [MQTT_MAXIMUM_PACKET_SIZE] = {FOUR, IN_CONN | IN_CONNAK, 0, 1, UINT32_MAX},
    [MQTT_WILDCARD_AVAILABLE] = {BYTE, IN_CONNAK, 0, 0, 1},
    [MQTT_SUBSCRIPTION_ID_AVAILABLE] = {BYTE, IN_CONNAK, 0, 0, 1},
    [MQTT_SHARED_AVAILABLE] = {BYTE, IN_CONNAK, 0, 0, 1},
};

/* --------------------------------------------------------------------------------------- reading
 */

/* One property; in->failed when it is not there whole or has no known identifier. */
static void property_read(struct reader *in, struct mqtt_property *ret)
{
    const uint8_t *start = in->ptr;
    uint32_t id = mqtt_read_varint(in);
    enum kind kind = id <= MQTT_PROPERTY_ID_MAX ? (enum kind)rules[id].kind : NONE;
    *ret = (struct mqtt_property){.id = (enum mqtt_property_id)id};
    switch (kind) {
    case BYTE:
        ret->number = reader_u8(in);
        break;
    case TWO:
        ret->number = reader_be16(in);
        break;
    case FOUR:
        ret->number = reader_be32(in);
        break;
    case VARINT:
        ret->number = mqtt_read_varint(in);
        break;
    case PAIR:
        ret->name = mqtt_read_text(in);
        ret->text = mqtt_read_text(in);
        break;
    case TEXT:
        ret->text = mqtt_read_text(in);
        break;
    case BINARY:
        ret->text = mqtt_read_binary(in);
        break;
    case NONE:
        in->failed = true;
        break;
    }
    ret->whole = bytes_of(start, (size_t)(in->ptr - start));
}

/* Numbers in range, response topics without wildcards [MQTT-3.3.2-14]. */
static bool property_value_ok(const struct mqtt_property *p)
{
    const struct rule *rule = &rules[p->id];
    if (rule->max > 0)
        return p->number >= rule->min && p->number <= rule->max;
    return p->id != MQTT_RESPONSE_TOPIC || topic_is_name(p->text);
}

static int property_check(struct mqtt_decoding *d, enum mqtt_type in_packet,
                          const struct mqtt_property *p, uint64_t seen)
{
    const struct rule *rule = &rules[p->id];
    if (!(rule->packets & BIT(in_packet)))
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "a property that this packet may not have");
    if (((seen >> p->id) & 1u) && !(rule->many & BIT(in_packet)))
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "a property twice");
    if (!property_value_ok(p)) {
        bool alias = p->id == MQTT_TOPIC_ALIAS;
        return mqtt_fail(d, alias ? MQTT_TOPIC_ALIAS_INVALID : MQTT_PROTOCOL_ERROR,
                         "a property's value is not allowed");
    }
    return OK;
}

int mqtt_read_properties(struct mqtt_decoding *d, enum mqtt_type in_packet,
                         struct mqtt_properties *ret)
{
    *ret = (struct mqtt_properties){0};
    if (d->version != MQTT_5_0)
        return OK;
    uint32_t len = mqtt_read_varint(&d->in);
    struct bytes raw = reader_take(&d->in, len);
    if (d->in.failed)
        return mqtt_malformed(d, "the packet ends inside its properties");
    struct reader in = reader_of(raw);
    uint64_t seen = 0;
    while (reader_left(&in) > 0) {
        struct mqtt_property p;
        property_read(&in, &p);
        if (in.failed)
            return mqtt_malformed(d, "a property is unknown, cut off or not UTF-8");
        int err = property_check(d, in_packet, &p, seen);
        if (err)
            return err;
        seen |= 1ull << p.id;
    }
    if (((seen >> MQTT_AUTH_DATA) & 1u) && !((seen >> MQTT_AUTH_METHOD) & 1u))
        return mqtt_fail(d, MQTT_PROTOCOL_ERROR, "authentication data without a method");
    *ret = (struct mqtt_properties){raw, seen};
    return OK;
}

bool mqtt_property_next(struct bytes *rest, struct mqtt_property *ret)
{
    if (rest->len == 0)
        return false;
    struct reader in = reader_of(*rest);
    struct mqtt_property p;
    property_read(&in, &p);
    if (in.failed)
        return false;
    *rest = bytes_of(in.ptr, reader_left(&in));
    *ret = p;
    return true;
}

static bool property_find(const struct mqtt_properties *p, enum mqtt_property_id id,
                          struct mqtt_property *ret)
{
    struct bytes rest = p->raw;
    if (!mqtt_property_has(p, id))
        return false;
    while (mqtt_property_next(&rest, ret))
        if (ret->id == id)
            return true;
    return false;
}

uint32_t mqtt_property_number(const struct mqtt_properties *p, enum mqtt_property_id id,
                              uint32_t absent)
{
    struct mqtt_property found;
    return property_find(p, id, &found) ? found.number : absent;
}

struct bytes mqtt_property_bytes(const struct mqtt_properties *p, enum mqtt_property_id id)
{
    struct mqtt_property found;
    return property_find(p, id, &found) ? found.text : bytes_of(NULL, 0);
}

/* --------------------------------------------------------------------------------------- writing
 */

int mqtt_property_put_number(struct buf *b, enum mqtt_property_id id, uint32_t number)
{
    (void)buf_append_u8(b, (uint8_t)id);
    switch ((enum kind)rules[id].kind) {
    case BYTE:
        return buf_append_u8(b, (uint8_t)number);
    case TWO:
        return buf_append_be16(b, (uint16_t)number);
    case FOUR:
        (void)buf_append_be16(b, (uint16_t)(number >> 16));
        return buf_append_be16(b, (uint16_t)number);
    case VARINT:
    case NONE:
    case TEXT:
    case BINARY:
    case PAIR:
        break;
    }
    return mqtt_put_varint(b, number);
}

int mqtt_property_put_bytes(struct buf *b, enum mqtt_property_id id, struct bytes text)
{
    if (text.len > MQTT_TEXT_BYTES_MAX)
        return ERR_LIMIT;
    (void)buf_append_u8(b, (uint8_t)id);
    return mqtt_put_text(b, text);
}

int mqtt_property_put_user(struct buf *b, struct bytes name, struct bytes value)
{
    if (name.len > MQTT_TEXT_BYTES_MAX || value.len > MQTT_TEXT_BYTES_MAX)
        return ERR_LIMIT;
    (void)buf_append_u8(b, MQTT_USER_PROPERTY);
    (void)mqtt_put_text(b, name);
    return mqtt_put_text(b, value);
}

size_t mqtt_properties_size(enum mqtt_version version, struct bytes raw)
{
    if (version != MQTT_5_0)
        return 0;
    return mqtt_varint_size((uint32_t)raw.len) + raw.len;
}

int mqtt_put_properties(enum mqtt_version version, struct bytes raw, struct buf *out)
{
    if (version != MQTT_5_0)
        return OK;
    if (raw.len > MQTT_VARINT_MAX)
        return ERR_LIMIT;
    (void)mqtt_put_varint(out, (uint32_t)raw.len);
    return buf_append_bytes(out, raw);
}
