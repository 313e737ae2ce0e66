/* From one publication to everybody who wants it.
 *
 * First the tree is asked who that is, then they are served, so that nothing happens inside a
 * search. A session with several matching subscriptions gets the message once, with the highest QoS
 * and all its subscription identifiers [MQTT-3.3.4-2 to -4]. The message itself is made, and its
 * payload copied out of the read buffer, only when somebody keeps it.
 */
#include "base/array.h"
#include "base/err.h"
#include "base/log.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

#include <assert.h>
#include <stdlib.h>

#define HITS_FIRST 64

/* ----------------------------------------------------------------------------------------- hits */

static bool hits_grow(struct hits *h)
{
    struct hit *items = array_room(h->items, h->count, &h->cap, HITS_FIRST, sizeof *items);
    if (items)
        h->items = items;
    return items != NULL;
}

static bool hit_ids_grow(struct hits *h)
{
    uint32_t *ids = array_room(h->ids, h->id_count, &h->id_cap, HITS_FIRST, 2 * sizeof *ids);
    if (ids)
        h->ids = ids;
    return ids != NULL;
}

static bool hit_filters_grow(struct hits *h)
{
    struct filter **filters = array_room(h->filters, h->filter_count, &h->filter_cap, HITS_FIRST,
                                         sizeof(struct filter *));
    if (filters)
        h->filters = filters;
    return filters != NULL;
}

struct search {
    struct broker *broker;
    const struct publication *pub;
};

/* The session's hit in this search; NULL without memory. */
static struct hit *hit_of(struct broker *b, struct session *s)
{
    struct hits *h = &b->hits;
    if (s->hit_generation == h->generation)
        return &h->items[s->hit];
    if (!hits_grow(h)) {
        count_drop(b, BROKER_DROP_NO_MEMORY);
        return NULL;
    }
    s->hit_generation = h->generation;
    s->hit = h->count++;
    h->items[s->hit] = (struct hit){.session = s};
    return &h->items[s->hit];
}

static void subscription_hit(const struct search *search, const struct subscription *sub)
{
    struct broker *b = search->broker;
    const struct message_parts *parts = &search->pub->parts;
    if (sub->no_local && sub->session == search->pub->from) /* [MQTT-3.8.3-3] */
        return;
    struct hit *hit = hit_of(b, sub->session);
    if (!hit)
        return;
    uint8_t qos = sub->qos < parts->qos ? sub->qos : parts->qos;
    hit->qos = hit->qos > qos ? hit->qos : qos;
    hit->retain = hit->retain || (sub->retain_as_published && parts->retain);
    if (sub->id == 0 || !hit_ids_grow(&b->hits))
        return;
    b->hits.ids[2 * b->hits.id_count] = sub->id;
    b->hits.ids[2 * b->hits.id_count + 1] = sub->session->hit;
    b->hits.id_count++;
    hit->id_count++;
}

static void entry_hit(void *ctx, void *value)
{
    struct search *search = ctx;
    struct broker *b = search->broker;
    const struct topic_entry *entry = value;
    LIST_FOR (link, &entry->subscriptions)
        subscription_hit(search, CONTAINER_OF(link, struct subscription, in_entry));
    LIST_FOR (link, &entry->filters) {
        if (hit_filters_grow(&b->hits))
            b->hits.filters[b->hits.filter_count++] = CONTAINER_OF(link, struct filter, in_entry);
        else
            count_drop(b, BROKER_DROP_NO_MEMORY);
    }
}

static void search_run(struct broker *b, const struct publication *pub)
{
    struct search search = {b, pub};
    b->hits.count = 0;
    b->hits.id_count = 0;
    b->hits.filter_count = 0;
    b->hits.generation++;
    topic_tree_match_name(&b->topics, pub->parts.topic, entry_hit, &search);
}

/* --------------------------------------------------------------------------------------- deliver
 */

#define IDS_MAX 32 /* subscription identifiers of one session that match one message */

struct message *publication_message(struct broker *b, struct publication *pub)
{
    if (!pub->message)
        pub->message = message_new(&pub->parts);
    if (!pub->message)
        count_drop(b, BROKER_DROP_NO_MEMORY);
    return pub->message;
}

static void hit_deliver(struct broker *b, const struct hit *hit, struct message *m)
{
    uint32_t ids[IDS_MAX];
    struct delivery d = {.message = m, .ids = ids, .qos = hit->qos, .retain = hit->retain};
    uint32_t self = (uint32_t)(hit - b->hits.items);
    for (uint32_t i = 0; hit->id_count && i < b->hits.id_count && d.id_count < IDS_MAX; i++)
        if (b->hits.ids[2 * i + 1] == self)
            ids[d.id_count++] = b->hits.ids[2 * i];
    session_deliver(hit->session, &d);
}

size_t route_publish(struct broker *b, struct publication *pub)
{
    search_run(b, pub);
    size_t matched = (size_t)b->hits.count + b->hits.filter_count;
    struct message *m = NULL;
    if (b->hits.count > 0 || pub->parts.retain)
        m = publication_message(b, pub);
    if (m && pub->parts.retain)
        retain_set(b, m);
    for (uint32_t i = 0; m && i < b->hits.count; i++)
        hit_deliver(b, &b->hits.items[i], m);
    for (uint32_t i = 0; i < b->hits.filter_count; i++)
        filter_append(b->hits.filters[i], pub);
    message_unref(pub->message);
    pub->message = NULL;
    return matched;
}

void route_message(struct broker *b, struct message *m, struct session *from)
{
    struct publication pub = {
        .parts = {.topic = message_topic(m),
                  .properties = message_properties(m),
                  .payload = m->payload,
                  .qos = m->qos,
                  .retain = m->retain,
                  .expires_us = m->expires_us},
        .from = from,
        .message = message_ref(m),
    };
    (void)route_publish(b, &pub);
}

/* -------------------------------------------------------------------------------------- the doors
 */

bool publish_denied(struct broker *b, enum call_role role, struct bytes topic, const char *who)
{
    static const char sys[] = "$SYS";
    bool write = write_is_request(topic) && role < CALL_ENGINEER;
    bool import = import_is_request(topic) && role < CALL_ENGINEER;
    bool reserved = topic.len >= sizeof sys - 1 && memcmp(topic.ptr, sys, sizeof sys - 1) == 0;
    if (!write && !import && !reserved)
        return false;
    const char *why = write    ? "writing a tag needs an engineer's token as password"
                      : import ? "an import needs an engineer's token as password"
                               : "it is the broker's";
    count_add(b, COUNT_DENIED, 1);
    log_warn("broker", "%s may not publish to %.*s: %s", who, (int)topic.len, topic.ptr, why);
    return true;
}

/* Response topic and correlation data as a client's properties would be. */
static int own_properties(const struct broker_message *m, struct buf *out)
{
    buf_reset(out);
    if (m->response_topic.len &&
        mqtt_property_put_bytes(out, MQTT_RESPONSE_TOPIC, m->response_topic))
        return ERR_INVALID;
    if (m->correlation.len && mqtt_property_put_bytes(out, MQTT_CORRELATION_DATA, m->correlation))
        return ERR_INVALID;
    return buf_error(out);
}

int broker_publish(struct broker *b, const struct broker_message *m)
{
    assert(exec_is_current(b->exec));
    if (!topic_is_name(m->topic) || m->qos > 1)
        return ERR_INVALID;
    int err = own_properties(m, &b->scratch_properties);
    if (err)
        return err;
    struct publication pub = {
        .parts = {.topic = m->topic,
                  .properties = buf_bytes(&b->scratch_properties),
                  .payload = m->payload,
                  .qos = m->qos,
                  .retain = m->retain,
                  .expires_us = m->expiry_s ? exec_wall_us(b->exec) + (int64_t)m->expiry_s * 1000000
                                            : MESSAGE_NEVER_EXPIRES},
        .response_topic = m->response_topic,
        .correlation = m->correlation,
    };
    count_add(b, COUNT_MESSAGES_OWN, 1);
    (void)route_publish(b, &pub);
    return OK;
}
