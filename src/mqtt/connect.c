/* CONNECT (3.1): who comes, with which session, which will, and how long he may be silent. */
#include "model/topic.h"
#include "mqtt/mqtt_priv.h"

#define FLAG_RESERVED    0x01u
#define FLAG_CLEAN       0x02u
#define FLAG_WILL        0x04u
#define FLAG_WILL_QOS    3 /* shift */
#define FLAG_WILL_RETAIN 0x20u
#define FLAG_PASSWORD    0x40u
#define FLAG_USER        0x80u

static const char protocol_name[] = "MQTT";

/* Leaves the version of the answer in *ret when it is one we don't speak. */
static int version_decode(struct mqtt_decoding *d, struct mqtt_connect *ret)
{
    struct bytes name = mqtt_read_text(&d->in);
    uint8_t level = reader_u8(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNECT has no protocol name and version");
    bool known = bytes_equal(name, bytes_of_text(protocol_name));
    ret->version = known && level >= MQTT_5_0 ? MQTT_5_0 : MQTT_3_1_1;
    if (!known || (level != MQTT_3_1_1 && level != MQTT_5_0))
        return mqtt_fail(d, MQTT_UNSUPPORTED_VERSION, "neither MQTT 3.1.1 nor MQTT 5.0");
    d->version = ret->version;
    return OK;
}

static int flags_decode(struct mqtt_decoding *d, struct mqtt_connect *ret)
{
    uint8_t flags = reader_u8(&d->in);
    ret->keep_alive_s = reader_be16(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNECT ends before its keep alive");
    ret->clean_start = flags & FLAG_CLEAN;
    ret->has_will = flags & FLAG_WILL;
    ret->has_user = flags & FLAG_USER;
    ret->has_password = flags & FLAG_PASSWORD;
    ret->will.qos = (flags >> FLAG_WILL_QOS) & 3u;
    ret->will.retain = flags & FLAG_WILL_RETAIN;
    if (flags & FLAG_RESERVED) /* [MQTT-3.1.2-3] */
        return mqtt_malformed(d, "CONNECT sets a reserved flag");
    if (ret->will.qos > 2 || (!ret->has_will && (ret->will.qos || ret->will.retain)))
        return mqtt_malformed(d, "CONNECT's will flags don't fit together"); /* [MQTT-3.1.2-11] */
    if (d->version == MQTT_3_1_1 && ret->has_password && !ret->has_user)
        return mqtt_malformed(d, "a password without a user name"); /* 3.1.1 [MQTT-3.1.2-22] */
    return OK;
}

static int will_decode(struct mqtt_decoding *d, struct mqtt_will *ret)
{
    int err = mqtt_read_properties(d, MQTT_IN_WILL, &ret->properties);
    if (err)
        return err;
    ret->topic = mqtt_read_text(&d->in);
    ret->payload = mqtt_read_binary(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNECT ends inside its will");
    if (!topic_is_name(ret->topic))
        return mqtt_fail(d, MQTT_TOPIC_NAME_INVALID, "the will's topic is no topic name");
    return OK;
}

int mqtt_connect_decode(struct mqtt_decoding *d, struct mqtt_connect *ret)
{
    int err = version_decode(d, ret);
    if (!err)
        err = flags_decode(d, ret);
    if (!err)
        err = mqtt_read_properties(d, MQTT_CONNECT, &ret->properties);
    if (err)
        return err;
    ret->client_id = mqtt_read_text(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNECT has no client identifier");
    if (ret->has_will && (err = will_decode(d, &ret->will)))
        return err;
    if (ret->has_user)
        ret->user = mqtt_read_text(&d->in);
    if (ret->has_password)
        ret->password = mqtt_read_binary(&d->in);
    if (d->in.failed)
        return mqtt_malformed(d, "CONNECT ends inside user name or password");
    return OK;
}

static uint8_t flags_of(const struct mqtt_connect *p)
{
    unsigned flags = p->clean_start ? FLAG_CLEAN : 0;
    if (p->has_will)
        flags |= FLAG_WILL | (unsigned)p->will.qos << FLAG_WILL_QOS |
                 (p->will.retain ? FLAG_WILL_RETAIN : 0);
    flags |= p->has_user ? FLAG_USER : 0;
    flags |= p->has_password ? FLAG_PASSWORD : 0;
    return (uint8_t)flags;
}

/* A text's bytes with its length. */
static size_t text_size(bool present, struct bytes text)
{
    return present ? 2 + text.len : 0;
}

static bool texts_fit(const struct mqtt_connect *p)
{
    return p->client_id.len <= MQTT_TEXT_BYTES_MAX && p->user.len <= MQTT_TEXT_BYTES_MAX &&
           p->password.len <= MQTT_TEXT_BYTES_MAX && p->will.topic.len <= MQTT_TEXT_BYTES_MAX &&
           p->will.payload.len <= MQTT_TEXT_BYTES_MAX;
}

int mqtt_connect_encode(const struct mqtt_connect *p, struct buf *out)
{
    size_t start = out->len;
    size_t size = 2 + strlen(protocol_name) + 1 + 1 + 2;
    size += mqtt_properties_size(p->version, p->properties.raw) + text_size(true, p->client_id);
    if (p->has_will)
        size += mqtt_properties_size(p->version, p->will.properties.raw);
    size += text_size(p->has_will, p->will.topic) + text_size(p->has_will, p->will.payload);
    size += text_size(p->has_user, p->user) + text_size(p->has_password, p->password);
    if (!texts_fit(p))
        return ERR_LIMIT;
    int err = mqtt_put_head(out, MQTT_CONNECT << 4, size);
    (void)mqtt_put_text(out, bytes_of_text(protocol_name));
    (void)buf_append_u8(out, (uint8_t)p->version);
    (void)buf_append_u8(out, flags_of(p));
    (void)buf_append_be16(out, p->keep_alive_s);
    (void)mqtt_put_properties(p->version, p->properties.raw, out);
    (void)mqtt_put_text(out, p->client_id);
    if (p->has_will) {
        (void)mqtt_put_properties(p->version, p->will.properties.raw, out);
        (void)mqtt_put_text(out, p->will.topic);
        (void)mqtt_put_text(out, p->will.payload);
    }
    if (p->has_user)
        (void)mqtt_put_text(out, p->user);
    if (p->has_password)
        (void)mqtt_put_text(out, p->password);
    return mqtt_encoded(out, start, err);
}
