/* SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10). */
#include "base/err.h"
#include "base/str.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

#include <stdlib.h>

#define SHARE_PREFIX "$share/"

/* ---------------------------------------------------------------------------------- subscriptions
 */

static void entry_let_go(struct broker *b, struct topic_entry *entry, struct bytes filter)
{
    if (!list_empty(&entry->subscriptions) || !list_empty(&entry->filters))
        return;
    (void)topic_tree_remove(&b->topics, filter);
    free(entry);
}

static void subscription_free(struct subscription *sub)
{
    struct broker *b = sub->session->broker;
    list_remove(&sub->in_entry);
    entry_let_go(b, sub->entry, bytes_of(sub->filter, sub->filter_len));
    count_sub(b, COUNT_SUBSCRIPTIONS, 1);
    free(sub);
}

static struct subscription *subscription_new(struct session *s, struct bytes filter)
{
    struct broker *b = s->broker;
    struct topic_entry *entry = topic_entry_make(b, filter);
    struct subscription *sub = calloc(1, sizeof *sub + filter.len + 1);
    if (!entry || !sub || map_put(&s->subscriptions, filter, sub, NULL)) {
        if (entry)
            entry_let_go(b, entry, filter);
        free(sub);
        return NULL;
    }
    memcpy(sub->filter, filter.ptr, filter.len);
    sub->filter_len = (uint32_t)filter.len;
    sub->session = s;
    sub->entry = entry;
    list_push_back(&entry->subscriptions, &sub->in_entry);
    count_add(b, COUNT_SUBSCRIPTIONS, 1);
    return sub;
}

int session_subscribe(struct session *s, const struct mqtt_subscription *request, uint32_t id,
                      struct subscription **ret, bool *ret_new)
{
    struct subscription *sub = map_find(&s->subscriptions, request->filter);
    *ret_new = sub == NULL;
    if (!sub && s->subscriptions.count >= s->broker->limits.subscriptions_max)
        return ERR_LIMIT;
    if (!sub && !(sub = subscription_new(s, request->filter)))
        return ERR_NOMEM;
    sub->id = id;
    sub->qos = request->qos > 1 ? 1 : request->qos; /* [MQTT-3.8.4-8] granted may be lower */
    sub->no_local = request->no_local;
    sub->retain_as_published = request->retain_as_published;
    *ret = sub;
    return OK;
}

bool session_unsubscribe(struct session *s, struct bytes filter)
{
    struct subscription *sub = map_remove(&s->subscriptions, filter);
    if (!sub)
        return false;
    subscription_free(sub);
    return true;
}

void session_unsubscribe_all(struct session *s)
{
    for (size_t i = 0; i < s->subscriptions.count; i++)
        subscription_free(s->subscriptions.entries[i].value);
    map_fini(&s->subscriptions);
}

/* ---------------------------------------------------------------------------------------- packets
 */

static uint8_t filter_refused(struct bytes filter)
{
    if (!topic_is_filter(filter))
        return MQTT_TOPIC_FILTER_INVALID;
    if (str_starts(filter, SHARE_PREFIX))
        return MQTT_SHARED_NOT_SUPPORTED;
    return MQTT_SUCCESS;
}

/* One filter of a SUBSCRIBE: its reason code, and the retained messages it asks for. */
static uint8_t subscribe_one(struct client *c, const struct mqtt_subscription *request, uint32_t id,
                             struct subscription **ret_send_retained)
{
    struct subscription *sub = NULL;
    bool is_new = false;
    uint8_t refused = filter_refused(request->filter);
    if (refused)
        return refused;
    int err = session_subscribe(c->session, request, id, &sub, &is_new);
    if (err)
        return err == ERR_LIMIT ? MQTT_QUOTA_EXCEEDED : MQTT_UNSPECIFIED_ERROR;
    if (request->retain_handling == MQTT_RETAIN_SEND ||
        (request->retain_handling == MQTT_RETAIN_SEND_IF_NEW && is_new))
        *ret_send_retained = sub;
    return sub->qos;
}

static void suback_write(struct client *c, enum mqtt_type type, uint16_t packet_id,
                         struct bytes reasons)
{
    struct mqtt_suback ack = {.packet_id = packet_id, .reasons = reasons};
    buf_reset(&c->broker->scratch);
    (void)mqtt_suback_encode(c->version, type, &ack, &c->broker->scratch);
    client_write(c, &c->broker->scratch);
}

void client_on_subscribe(struct client *c, const struct mqtt_subscribe *p)
{
    uint32_t id = mqtt_property_number(&p->properties, MQTT_SUBSCRIPTION_ID, 0);
    uint8_t *reasons = calloc(p->count, 1);
    struct subscription **retained = calloc(p->count, sizeof(struct subscription *));
    struct mqtt_subscription request;
    struct bytes rest = p->filters;
    for (uint32_t i = 0; reasons && retained && mqtt_subscribe_next(&rest, &request); i++)
        reasons[i] = subscribe_one(c, &request, id, &retained[i]);
    if (reasons && retained)
        suback_write(c, MQTT_SUBACK, p->packet_id, bytes_of(reasons, p->count));
    else
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
    for (uint32_t i = 0; retained && i < p->count && !c->closing; i++)
        if (retained[i])
            retain_deliver(c->broker, retained[i]);
    free(reasons);
    free(retained);
}

void client_on_unsubscribe(struct client *c, const struct mqtt_unsubscribe *p)
{
    uint8_t *reasons = calloc(p->count, 1);
    struct bytes rest = p->filters;
    struct bytes filter;
    if (!reasons) {
        client_close(c, MQTT_UNSPECIFIED_ERROR, "out of memory");
        return;
    }
    for (uint32_t i = 0; mqtt_unsubscribe_next(&rest, &filter); i++) {
        if (!topic_is_filter(filter))
            reasons[i] = MQTT_TOPIC_FILTER_INVALID;
        else if (!session_unsubscribe(c->session, filter))
            reasons[i] = MQTT_NO_SUBSCRIPTION_EXISTED;
    }
    suback_write(c, MQTT_UNSUBACK, p->packet_id, bytes_of(reasons, p->count));
    free(reasons);
}
