/* PUBLISH from a client (3.3): what it may publish, its topic by alias, and its acknowledgement. */
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "broker/broker_priv.h"

#include <stdlib.h>

#define US_PER_S 1000000

int64_t publish_expiry(const struct broker *b, const struct mqtt_properties *properties)
{
    if (!mqtt_property_has(properties, MQTT_MESSAGE_EXPIRY))
        return MESSAGE_NEVER_EXPIRES;
    uint32_t left_s = mqtt_property_number(properties, MQTT_MESSAGE_EXPIRY, 0);
    return exec_wall_us(b->exec) + (int64_t)left_s * US_PER_S;
}

/* Passed on unaltered: payload format, content type, response topic, correlation data, user
 * properties in their order [MQTT-3.3.2-4, -15, -16, -17, -18, -20]. */
struct bytes publish_properties(struct broker *b, const struct mqtt_properties *properties)
{
    const uint64_t for_us =
        1ull << MQTT_TOPIC_ALIAS | 1ull << MQTT_MESSAGE_EXPIRY | 1ull << MQTT_WILL_DELAY;
    struct bytes rest = properties->raw;
    struct mqtt_property p;
    if (!(properties->seen & for_us))
        return properties->raw;
    buf_reset(&b->scratch_properties);
    while (mqtt_property_next(&rest, &p))
        if (!((for_us >> p.id) & 1u))
            (void)buf_append_bytes(&b->scratch_properties, p.whole);
    return buf_bytes(&b->scratch_properties);
}

/* ----------------------------------------------------------------------------------------- alias
 */

static bool alias_table(struct client *c)
{
    if (c->aliases)
        return true;
    uint16_t count = (uint16_t)c->broker->limits.topic_alias_max;
    c->aliases = calloc(count, sizeof c->aliases[0]);
    if (c->aliases)
        c->alias_count = count;
    return c->aliases != NULL;
}

/* The publication's topic, by its alias or kept under it (3.3.2.3.4). False if the client was
 * closed. */
static bool topic_resolve(struct client *c, const struct mqtt_publish *p, struct bytes *ret)
{
    *ret = p->topic;
    if (!mqtt_property_has(&p->properties, MQTT_TOPIC_ALIAS))
        return true;
    uint32_t alias = mqtt_property_number(&p->properties, MQTT_TOPIC_ALIAS, 0);
    if (alias > c->broker->limits.topic_alias_max) { /* [MQTT-3.3.2-9] */
        client_close(c, MQTT_TOPIC_ALIAS_INVALID, "a topic alias above the maximum");
        return false;
    }
    if (!alias_table(c)) {
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
        return false;
    }
    struct client_alias *slot = &c->aliases[alias - 1];
    if (p->topic.len == 0) {
        *ret = bytes_of(slot->topic, slot->len);
        if (!slot->topic)
            client_close(c, MQTT_PROTOCOL_ERROR, "a topic alias that was not set");
        return slot->topic != NULL;
    }
    char *copy = malloc(p->topic.len);
    if (!copy) {
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
        return false;
    }
    memcpy(copy, p->topic.ptr, p->topic.len);
    free(slot->topic);
    *slot = (struct client_alias){copy, p->topic.len};
    return true;
}

/* --------------------------------------------------------------------------------------- checking
 */

/* False if the client was closed. */
static bool publish_allowed(struct client *c, const struct mqtt_publish *p)
{
    const struct broker_limits *limits = &c->broker->limits;
    if (p->qos > 1) {
        client_close(c, MQTT_QOS_NOT_SUPPORTED, "it publishes with QoS 2; QoS 0 and 1 are spoken");
        return false;
    }
    if (p->qos == 0 || c->ack_count < limits->receive_maximum)
        return true;
    if (c->version == MQTT_5_0) { /* [MQTT-3.3.4-7] */
        client_close(c, MQTT_RECEIVE_MAXIMUM_EXCEEDED, "more unacknowledged than receive_maximum");
        return false;
    }
    client_pause(c, CLIENT_PAUSE_ACKS);
    return true;
}

static bool payload_is_what_it_says(const struct mqtt_publish *p)
{
    return mqtt_property_number(&p->properties, MQTT_PAYLOAD_FORMAT, 0) == 0 ||
           str_is_utf8(p->payload);
}

static void publish_answer(struct client *c, const struct mqtt_publish *p, uint8_t reason)
{
    if (p->qos == 1)
        ack_now(c, p->packet_id, reason);
}

static void publish_route(struct client *c, const struct mqtt_publish *p, struct bytes topic)
{
    struct broker *b = c->broker;
    bool is_write = write_is_request(topic);
    bool is_import = import_is_request(topic);
    struct publication pub = {
        .parts = {.topic = topic,
                  .properties = publish_properties(b, &p->properties),
                  .content = p->payload,
                  .qos = p->qos,
                  .retain = p->retain && !is_write && !is_import,
                  .expires_us = publish_expiry(b, &p->properties)},
        .from = c->session,
        .client = c,
        .packet_id = p->packet_id,
        .response_topic = mqtt_property_bytes(&p->properties, MQTT_RESPONSE_TOPIC),
        .correlation = mqtt_property_bytes(&p->properties, MQTT_CORRELATION_DATA),
    };
    size_t matched = route_publish(b, &pub);
    if (is_write)
        write_request(b, c->session, &pub);
    uint8_t reason = matched || is_write ? MQTT_SUCCESS : MQTT_NO_MATCHING_SUBSCRIBERS;
    if (is_import && !filters_took_request(b)) {
        log_warn("broker", "an import by %s is refused: there is no group at %.*s", c->session->id,
                 (int)topic.len, (const char *)topic.ptr);
        reason = MQTT_TOPIC_NAME_INVALID;
    }
    if (pub.ack) {
        pub.ack->reason = reason;
        ack_release(pub.ack, OK);
    } else if (!c->closing) {
        publish_answer(c, p, reason);
    }
}

void client_on_publish(struct client *c, const struct mqtt_publish *p)
{
    struct bytes topic;
    count_add(c->broker, COUNT_MESSAGES_IN, 1);
    if (!publish_allowed(c, p) || !topic_resolve(c, p, &topic))
        return;
    if (mqtt_property_has(&p->properties, MQTT_SUBSCRIPTION_ID)) { /* [MQTT-3.3.4-6] */
        client_close(c, MQTT_PROTOCOL_ERROR, "it publishes with a subscription identifier");
        return;
    }
    if (publish_denied(c->broker, c->session->role, topic, c->session->id))
        publish_answer(c, p, MQTT_NOT_AUTHORIZED);
    else if (!payload_is_what_it_says(p))
        publish_answer(c, p, MQTT_PAYLOAD_FORMAT_INVALID);
    else
        publish_route(c, p, topic);
}
