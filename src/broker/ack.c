/* PUBACKs that wait (4.4, 4.6).
 *
 * A publication that flows into something durable is acknowledged when all its flows are through,
 * which may be milliseconds or, on a full disk, hours later. PUBACKs leave in the order in which
 * the publications came [MQTT-4.6.0-2], so one that is due waits behind one that is not. An ack
 * whose client has gone is kept until its holders let go, and then forgotten: the client will
 * publish again, and what was stored is stored at least once.
 */
#include "base/err.h"
#include "base/str.h"
#include "broker/broker_priv.h"

#include <stdlib.h>
#include <string.h>

#define PUBACK_HEAD_MAX 16 /* bytes of a PUBACK besides its Reason String */

struct ack *ack_new(struct client *c, uint16_t packet_id)
{
    struct ack *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->client = c;
    a->packet_id = packet_id;
    a->pending = 1;
    list_push_back(&c->acks, &a->link);
    c->ack_count++;
    count_add(c->broker, COUNT_ACKS_HELD, 1);
    return a;
}

/* The reason codes that a PUBACK may have (3.4.2.1). */
static uint8_t puback_reason(int err)
{
    uint8_t reason = err_mqtt_reason(err);
    if (reason == MQTT_MALFORMED_PACKET) /* the packet was well-formed, what it carries is not */
        return MQTT_PAYLOAD_FORMAT_INVALID;
    bool fits = reason == MQTT_NOT_AUTHORIZED || reason == MQTT_QUOTA_EXCEEDED ||
                reason == MQTT_IMPLEMENTATION_ERROR;
    return fits ? reason : MQTT_UNSPECIFIED_ERROR;
}

static void puback_write(struct client *c, uint16_t packet_id, uint8_t reason)
{
    struct mqtt_ack ack = {.packet_id = packet_id, .reason = reason};
    buf_reset(&c->broker->scratch);
    (void)mqtt_ack_encode(c->version, MQTT_PUBACK, &ack, &c->broker->scratch);
    client_write(c, &c->broker->scratch);
}

/* With a Reason String, unless the packet would be too large for the client [MQTT-3.4.2-2]. */
static void puback_write_refusal(struct client *c, const struct ack *a)
{
    struct broker *b = c->broker;
    struct mqtt_ack ack = {.packet_id = a->packet_id, .reason = puback_reason(a->err)};
    buf_reset(&b->scratch_properties);
    bool fits = a->text && str_is_utf8(bytes_of_text(a->text)) && c->session &&
                strlen(a->text) + PUBACK_HEAD_MAX <= c->session->packet_bytes_max;
    if (fits && !mqtt_property_put_bytes(&b->scratch_properties, MQTT_REASON_STRING,
                                         bytes_of_text(a->text)))
        ack.properties.raw = buf_bytes(&b->scratch_properties);
    buf_reset(&b->scratch);
    (void)mqtt_ack_encode(c->version, MQTT_PUBACK, &ack, &b->scratch);
    client_write(c, &b->scratch);
}

/* 3.1.1 has no negative PUBACK. What could not be stored must not look stored, so the connection
 * ends instead, and the client sends again after it comes back; what is refused for what it says
 * would come for ever, and is acknowledged. */
static void ack_send(struct client *c, const struct ack *a)
{
    bool again = puback_reason(a->err) != MQTT_PAYLOAD_FORMAT_INVALID;
    if (!a->err)
        puback_write(c, a->packet_id, a->reason);
    else if (c->version == MQTT_5_0)
        puback_write_refusal(c, a);
    else if (again)
        client_close(c, puback_reason(a->err), "its publication could not be stored");
    else
        puback_write(c, a->packet_id, MQTT_SUCCESS);
}

void ack_explain(struct ack *a, const char *text)
{
    if (!a->text)
        a->text = strdup(text);
}

static void ack_free(struct ack *a)
{
    free(a->text);
    free(a);
}

/* The oldest ack if nothing holds it any more, taken out; else NULL. */
static struct ack *ack_due(struct client *c)
{
    const struct ack *oldest = CONTAINER_OF(c->acks.next, const struct ack, link);
    if (list_empty(&c->acks) || oldest->pending > 0)
        return NULL;
    struct list *link = list_pop_front(&c->acks);
    return link ? CONTAINER_OF(link, struct ack, link) : NULL;
}

static void acks_flush(struct client *c)
{
    struct ack *a;
    while ((a = ack_due(c)) != NULL) {
        c->ack_count--;
        count_sub(c->broker, COUNT_ACKS_HELD, 1);
        if (!c->closing)
            ack_send(c, a);
        ack_free(a);
    }
    if (c->ack_count < c->broker->limits.receive_maximum)
        client_resume(c, CLIENT_PAUSE_ACKS);
}

void ack_release(struct ack *a, int err)
{
    if (err && !a->err)
        a->err = err;
    if (--a->pending > 0)
        return;
    if (a->client)
        acks_flush(a->client);
    else
        ack_free(a);
}

void ack_now(struct client *c, uint16_t packet_id, uint8_t reason)
{
    if (list_empty(&c->acks)) {
        puback_write(c, packet_id, reason);
        return;
    }
    struct ack *a = ack_new(c, packet_id);
    if (!a) {
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
        return;
    }
    a->reason = reason;
    ack_release(a, OK);
}

void acks_detach(struct client *c)
{
    struct list *link;
    while ((link = list_pop_front(&c->acks)) != NULL) {
        struct ack *a = CONTAINER_OF(link, struct ack, link);
        count_sub(c->broker, COUNT_ACKS_HELD, 1);
        a->client = NULL;
        if (a->pending == 0)
            ack_free(a);
    }
    c->ack_count = 0;
}
