/* CONNECT (3.1) and its answer: who may come in, and to which session. */
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/str.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define US_PER_S             1000000
#define RECEIVE_MAXIMUM_NONE 65535u /* what a client means that does not say (3.1.2.11.3) */
#define ASSIGNED_ID_PREFIX   "auto-"
#define ASSIGNED_ID_BYTES    32

uint32_t session_expiry_limit(const struct broker *b, uint32_t expiry_s)
{
    uint64_t max_s = (uint64_t)b->limits.session_expiry_max_us / US_PER_S;
    return expiry_s < max_s ? expiry_s : (uint32_t)max_s;
}

void client_refuse(struct client *c, enum mqtt_version version, uint8_t reason, const char *text)
{
    struct broker *b = c->broker;
    count_add(b, COUNT_REFUSED, 1);
    if (version == MQTT_5_0 || version == MQTT_3_1_1) {
        struct mqtt_connack ack = {.reason = reason};
        if (version == MQTT_3_1_1)
            ack.reason = mqtt_connack_code(reason);
        buf_reset(&b->scratch);
        (void)mqtt_connack_encode(version, &ack, &b->scratch);
        client_write(c, &b->scratch);
    }
    client_close(c, reason, text);
}

/* --------------------------------------------------------------------------------------- checking
 */

struct admission {
    const struct mqtt_connect *packet;
    struct bytes id;
    bool assigned;
    char assigned_id[ASSIGNED_ID_BYTES];
    enum call_role role;
    uint8_t reason;
    const char *text;
};

static bool refuse(struct admission *a, uint8_t reason, const char *text)
{
    a->reason = reason;
    a->text = text;
    return false;
}

static bool admit_user(const struct client *c, struct admission *a)
{
    const struct mqtt_connect *p = a->packet;
    const struct broker_options *o = &c->broker->options;
    a->role = CALL_VIEWER;
    if (mqtt_property_has(&p->properties, MQTT_AUTH_METHOD))
        return refuse(a, MQTT_BAD_AUTHENTICATION_METHOD, "it asks for an authentication method");
    if (p->user.len > BROKER_USER_BYTES_MAX)
        return refuse(a, MQTT_BAD_USER_OR_PASSWORD, "its user name is too long");
    if (p->has_user || p->has_password) {
        if (!o->authenticate ||
            o->authenticate(o->authenticate_ctx, p->user, p->password, &a->role))
            return refuse(a, MQTT_BAD_USER_OR_PASSWORD, "its password is not a token of this node");
        return true;
    }
    if (!conn_is_loopback(c->conn))
        return refuse(a, MQTT_NOT_AUTHORIZED,
                      "without user name and password only this machine may connect");
    return true;
}

static bool admit_id(struct admission *a)
{
    const struct mqtt_connect *p = a->packet;
    a->id = p->client_id;
    if (a->id.len > BROKER_CLIENT_ID_BYTES_MAX)
        return refuse(a, MQTT_CLIENT_ID_NOT_VALID, "its client identifier is too long");
    if (a->id.len > 0)
        return true;
    if (p->version == MQTT_3_1_1 && !p->clean_start) /* 3.1.1 [MQTT-3.1.3-8] */
        return refuse(a, MQTT_CLIENT_ID_NOT_VALID, "it wants a session without an identifier");
    uint64_t number = 0;
    if (rand_bytes(&number, sizeof number))
        return refuse(a, MQTT_UNSPECIFIED_ERROR, "no random numbers");
    int n =
        snprintf(a->assigned_id, sizeof a->assigned_id, ASSIGNED_ID_PREFIX "%016" PRIx64, number);
    a->id = bytes_of(a->assigned_id, (size_t)n);
    a->assigned = true;
    return true;
}

static bool admit_will(const struct client *c, struct admission *a)
{
    const struct mqtt_connect *p = a->packet;
    if (!p->has_will)
        return true;
    if (p->will.qos > 1 && p->version == MQTT_5_0) /* [MQTT-3.2.2-12] */
        return refuse(a, MQTT_QOS_NOT_SUPPORTED, "its will has QoS 2");
    if (publish_denied(c->broker, a->role, p->will.topic, "a will"))
        return refuse(a, MQTT_NOT_AUTHORIZED, "its will goes where it may not publish");
    return true;
}

/* A session belongs to the user that made it: knowing an identifier is not enough to read his
 * messages. */
static bool admit_session(const struct client *c, struct admission *a)
{
    const struct session *s = session_find(c->broker, a->id);
    if (s && !str_equal(a->packet->user, s->user))
        return refuse(a, MQTT_NOT_AUTHORIZED, "another user has a session of that identifier");
    return true;
}

/* --------------------------------------------------------------------------------------- entering
 */

static struct message *will_message(struct broker *b, const struct mqtt_will *will)
{
    struct message_parts parts = {
        .topic = will->topic,
        .content = will->payload,
        .qos = will->qos > 1 ? 1 : will->qos,
        .retain = will->retain,
    };
    parts.expires_us = publish_expiry(b, &will->properties);
    parts.properties = publish_properties(b, &will->properties);
    return message_new(&parts);
}

/* The session that was there, without its client, or NULL. */
static struct session *session_take_over(struct broker *b, const struct admission *a)
{
    struct session *s = session_find(b, a->id);
    if (!s)
        return NULL;
    if (s->client) { /* [MQTT-3.1.4-3] */
        struct client *old = s->client;
        client_close(old, MQTT_SESSION_TAKEN_OVER, "another connection took its session");
        client_detach(old);
        s = session_find(b, a->id); /* it may have ended with its connection */
    }
    if (s && a->packet->clean_start) { /* [MQTT-3.1.2-4] */
        session_end(s);
        s = NULL;
    }
    return s;
}

static void session_enter(struct session *s, struct client *c, const struct admission *a)
{
    const struct mqtt_connect *p = a->packet;
    struct broker *b = c->broker;
    uint32_t expiry_s = p->version == MQTT_5_0
                            ? mqtt_property_number(&p->properties, MQTT_SESSION_EXPIRY, 0)
                        : p->clean_start ? 0
                                         : UINT32_MAX;
    exec_timer_stop(b->exec, &s->expiry_timer);
    session_will_clear(s);
    s->client = c;
    s->role = a->role;
    s->version = p->version;
    s->expiry_s = session_expiry_limit(b, expiry_s);
    s->receive_maximum =
        (uint16_t)mqtt_property_number(&p->properties, MQTT_RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_NONE);
    s->packet_bytes_max =
        mqtt_property_number(&p->properties, MQTT_MAXIMUM_PACKET_SIZE, MQTT_PACKET_BYTES_MAX);
    struct message *will = p->has_will ? will_message(b, &p->will) : NULL;
    if (will)
        session_will_set(s, will, mqtt_property_number(&p->will.properties, MQTT_WILL_DELAY, 0));
    c->session = s;
    c->version = p->version;
    c->connected = true;
}

/* Half as long again as the client promised [MQTT-3.1.2-22]. Returns what the server wants instead,
 * in seconds, 0 = as it is. */
static uint16_t keep_alive_set(struct client *c, uint16_t asked_s)
{
    int64_t max_us = c->broker->limits.keep_alive_max_us;
    int64_t keep_us = (int64_t)asked_s * US_PER_S;
    uint16_t server_s = 0;
    if (c->version == MQTT_5_0 && max_us > 0 && (keep_us == 0 || keep_us > max_us)) {
        server_s = (uint16_t)(max_us / US_PER_S);
        keep_us = (int64_t)server_s * US_PER_S;
    }
    c->keep_alive_us = keep_us + keep_us / 2;
    return server_s;
}

static int connack_properties(struct client *c, const struct admission *a, struct buf *out)
{
    const struct broker_limits *limits = &c->broker->limits;
    const struct mqtt_connect *p = a->packet;
    uint16_t keep_alive_s = keep_alive_set(c, p->keep_alive_s);
    buf_reset(out);
    if (c->session->expiry_s != mqtt_property_number(&p->properties, MQTT_SESSION_EXPIRY, 0))
        (void)mqtt_property_put_number(out, MQTT_SESSION_EXPIRY, c->session->expiry_s);
    (void)mqtt_property_put_number(out, MQTT_RECEIVE_MAXIMUM, (uint32_t)limits->receive_maximum);
    (void)mqtt_property_put_number(out, MQTT_MAXIMUM_QOS, 1);
    (void)mqtt_property_put_number(out, MQTT_MAXIMUM_PACKET_SIZE,
                                   (uint32_t)limits->packet_bytes_max);
    if (a->assigned)
        (void)mqtt_property_put_bytes(out, MQTT_ASSIGNED_CLIENT_ID, a->id);
    if (limits->topic_alias_max)
        (void)mqtt_property_put_number(out, MQTT_TOPIC_ALIAS_MAXIMUM,
                                       (uint32_t)limits->topic_alias_max);
    (void)mqtt_property_put_number(out, MQTT_SHARED_AVAILABLE, 0);
    if (keep_alive_s)
        (void)mqtt_property_put_number(out, MQTT_SERVER_KEEP_ALIVE, keep_alive_s);
    return buf_error(out);
}

static void connack_write(struct client *c, const struct admission *a, bool session_present)
{
    struct broker *b = c->broker;
    struct mqtt_connack ack = {.session_present = session_present};
    int err = connack_properties(c, a, &b->scratch_properties);
    ack.properties.raw = buf_bytes(&b->scratch_properties);
    buf_reset(&b->scratch);
    if (!err)
        err = mqtt_connack_encode(c->version, &ack, &b->scratch);
    if (err)
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
    else
        client_write(c, &b->scratch);
}

void client_on_connect(struct client *c, const struct mqtt_connect *p)
{
    struct broker *b = c->broker;
    struct admission a = {.packet = p};
    if (!admit_user(c, &a) || !admit_id(&a) || !admit_will(c, &a) || !admit_session(c, &a)) {
        client_refuse(c, p->version, a.reason, a.text);
        return;
    }
    struct session *s = session_take_over(b, &a);
    bool present = s != NULL;
    int err = s ? OK : session_new(b, a.id, p->user, &s);
    if (err) {
        client_refuse(c, p->version,
                      err == ERR_LIMIT ? MQTT_QUOTA_EXCEEDED : MQTT_SERVER_UNAVAILABLE,
                      err == ERR_LIMIT ? "sessions_max is reached" : "out of memory");
        return;
    }
    session_enter(s, c, &a);
    count_add(b, COUNT_CONNECTS, 1);
    log_debug("broker", "%s connected from %s", s->id, conn_peer(c->conn));
    connack_write(c, &a, present);
    client_keep_alive_start(c);
    session_resume(s);
}
