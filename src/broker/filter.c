/* Filter → flow: messages as batches for those inside the node who read MQTT.
 *
 * A message becomes a row; rows are pushed once a turn of the loop, so that what came in one read
 * (of one client or of many) is one batch. Each batch keeps the acks of its QoS 1 rows and lets go
 * of them when its done comes: that is how a PUBACK comes to mean "stored".
 *
 * Without credit batches wait here, in order. When too much waits, those who publish to this filter
 * are not read from any more; TCP tells them. What still comes (other clients' first messages, the
 * node's own) beyond a second mark is refused: QoS 1 with "quota exceeded", QoS 0 dropped and
 * counted.
 */
#include "base/err.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

#include <assert.h>
#include <stdlib.h>

#define FILTER_ROWS_MAX          1024u       /* a batch */
#define FILTER_BYTES_MAX         (1u << 20)  /* of payload in a batch, roughly */
#define FILTER_WAITING_PAUSE     (4u << 20)  /* bytes that wait: publishers are not read from */
#define FILTER_WAITING_BYTES_MAX (64u << 20) /* … then refused */

struct filter_batch {
    struct list link; /* filter.waiting */
    struct flow_done done;
    struct filter *filter;
    struct batch *batch; /* until it is pushed */
    struct diag diag;    /* of a request that is refused */
    uint32_t ack_count;
    struct ack *acks[];
};

struct topic_entry *topic_entry_make(struct broker *b, struct bytes filter)
{
    struct topic_entry *entry = topic_tree_find(&b->topics, filter);
    if (entry)
        return entry;
    entry = calloc(1, sizeof *entry);
    if (!entry)
        return NULL;
    list_init(&entry->subscriptions);
    list_init(&entry->filters);
    if (topic_tree_put(&b->topics, filter, entry, NULL)) {
        free(entry);
        return NULL;
    }
    return entry;
}

/* --------------------------------------------------------------------------------------- pushing
 */

static void batch_done(struct flow_done *done, struct position at, int err)
{
    struct filter_batch *fb = CONTAINER_OF(done, struct filter_batch, done);
    struct broker *b = fb->filter->broker;
    (void)at;
    for (uint32_t i = 0; i < fb->ack_count; i++) {
        if (err && fb->diag.text[0])
            ack_explain(fb->acks[i], fb->diag.text);
        ack_release(fb->acks[i], err);
    }
    free(fb);
    outstanding_remove(b);
}

/* Takes the reference of the batch; false without credit. */
static bool batch_push(struct filter_batch *fb)
{
    struct filter *f = fb->filter;
    struct batch *batch = fb->batch;
    if (outlet_push(&f->outlet, batch, (struct position){0, 0}, &fb->done) == ERR_AGAIN)
        return false;
    batch_unref(batch);
    return true;
}

static bool filters_blocked(const struct broker *b)
{
    LIST_FOR (link, &b->filters)
        if (CONTAINER_OF(link, const struct filter, link)->waiting_bytes > 0)
            return true;
    return false;
}

static void filter_credit(struct outlet *o)
{
    struct filter *f = CONTAINER_OF(o, struct filter, outlet);
    struct broker *b = f->broker;
    while (!list_empty(&f->waiting)) {
        struct filter_batch *fb = CONTAINER_OF(f->waiting.next, struct filter_batch, link);
        uint64_t bytes = fb->batch->slab_bytes;
        list_remove(&fb->link);
        if (!batch_push(fb)) {
            list_push_front(&f->waiting, &fb->link);
            return;
        }
        f->waiting_bytes -= bytes;
    }
    if (filters_blocked(b))
        return;
    LIST_FOR_SAFE (link, after, &b->clients)
        client_resume(CONTAINER_OF(link, struct client, link), CLIENT_PAUSE_FLOW);
}

/* The rows so far become a batch on its way. */
static void filter_flush(struct filter *f)
{
    struct broker *b = f->broker;
    f->dirty = false;
    f->row_bytes = 0;
    if (batch_builder_rows(f->rows) == 0)
        return;
    struct filter_batch *fb = calloc(1, sizeof *fb + f->ack_count * sizeof(struct ack *));
    struct batch *batch = NULL;
    if (!fb || batch_builder_finish(f->rows, &batch)) {
        batch_builder_reset(f->rows);
        for (uint32_t i = 0; i < f->ack_count; i++)
            ack_release(f->acks[i], ERR_NOMEM);
        f->ack_count = 0;
        count_drop(b, BROKER_DROP_NO_MEMORY);
        free(fb);
        return;
    }
    list_init(&fb->link);
    flow_done_init(&fb->done, b->exec, batch_done);
    fb->done.diag = f->requests ? &fb->diag : NULL;
    fb->filter = f;
    fb->batch = batch;
    fb->ack_count = f->ack_count;
    if (f->ack_count)
        memcpy(fb->acks, f->acks, f->ack_count * sizeof(struct ack *));
    f->ack_count = 0;
    outstanding_add(b);
    if (list_empty(&f->waiting) && batch_push(fb))
        return;
    f->waiting_bytes += batch->slab_bytes;
    list_push_back(&f->waiting, &fb->link);
}

void filters_flush(struct broker *b)
{
    LIST_FOR (link, &b->filters) {
        struct filter *f = CONTAINER_OF(link, struct filter, link);
        if (f->dirty)
            filter_flush(f);
    }
}

/* ----------------------------------------------------------------------------------------- rows */

static int set_text(struct filter *f, enum message_column col, struct bytes v)
{
    return v.len ? batch_set_bytes(f->rows, col, v) : OK;
}

static int row_fill(struct filter *f, const struct publication *pub)
{
    const struct message_parts *parts = &pub->parts;
    struct bytes client =
        bytes_of(pub->from ? pub->from->id : "", pub->from ? pub->from->id_len : 0);
    struct bytes payload = parts->payload ? payload_bytes(parts->payload) : parts->content;
    int err = batch_builder_row(f->rows, exec_wall_us(f->broker->exec));
    if (err < 0)
        return err;
    batch_set_i64(f->rows, MESSAGE_QOS, parts->qos);
    batch_set_bool(f->rows, MESSAGE_RETAIN, parts->retain);
    err = batch_set_bytes(f->rows, MESSAGE_TOPIC, parts->topic);
    if (!err)
        err = batch_set_bytes(f->rows, MESSAGE_PAYLOAD, payload);
    if (!err)
        err = batch_set_bytes(f->rows, MESSAGE_CLIENT, client);
    if (!err)
        err = set_text(f, MESSAGE_RESPONSE_TOPIC, pub->response_topic);
    if (!err)
        err = set_text(f, MESSAGE_CORRELATION, pub->correlation);
    f->row_bytes += parts->topic.len + payload.len + client.len + pub->correlation.len;
    return err;
}

/* Makes the ack of a QoS 1 publication wait for this filter's batch. */
static void row_hold_ack(struct filter *f, struct publication *pub)
{
    if (!pub->client || pub->parts.qos == 0)
        return;
    if (!pub->ack)
        pub->ack = ack_new(pub->client, pub->packet_id);
    if (!pub->ack) {
        client_close(pub->client, MQTT_UNSPECIFIED_ERROR, "out of memory");
        pub->client = NULL;
        return;
    }
    pub->ack->pending++;
    f->acks[f->ack_count++] = pub->ack;
}

static void ack_fail(struct publication *pub, int err)
{
    if (!pub->client || pub->parts.qos == 0)
        return;
    if (!pub->ack)
        pub->ack = ack_new(pub->client, pub->packet_id);
    if (pub->ack && !pub->ack->err)
        pub->ack->err = err;
}

void filter_append(struct filter *f, struct publication *pub)
{
    struct broker *b = f->broker;
    if (!outlet_has_flows(&f->outlet) && list_empty(&f->waiting))
        return;
    if (f->waiting_bytes > FILTER_WAITING_BYTES_MAX) {
        count_drop(b, BROKER_DROP_FLOW_FULL);
        ack_fail(pub, ERR_LIMIT);
        return;
    }
    if (batch_builder_rows(f->rows) >= FILTER_ROWS_MAX || f->row_bytes >= FILTER_BYTES_MAX)
        filter_flush(f);
    int err = row_fill(f, pub);
    if (err) {
        /* A half-filled row would be taken for a message: everything since the last batch fails. */
        count_drop(b, BROKER_DROP_NO_MEMORY);
        batch_builder_reset(f->rows);
        for (uint32_t i = 0; i < f->ack_count; i++)
            ack_release(f->acks[i], err);
        f->ack_count = 0;
        ack_fail(pub, err);
        return;
    }
    row_hold_ack(f, pub);
    if (f->requests) {
        filter_flush(f);
    } else {
        f->dirty = true;
        (void)exec_post(b->exec, &b->flush_task);
    }
    if (pub->client && f->waiting_bytes > FILTER_WAITING_PAUSE)
        client_pause(pub->client, CLIENT_PAUSE_FLOW);
}

bool filters_took_request(const struct broker *b)
{
    for (uint32_t i = 0; i < b->hits.filter_count; i++)
        if (b->hits.filters[i]->requests)
            return true;
    return false;
}

/* ------------------------------------------------------------------------------------------- life
 */

static void filter_free(struct filter *f)
{
    list_remove(&f->link);
    list_remove(&f->in_entry);
    batch_builder_free(f->rows);
    free(f->acks);
    free(f->text);
    free(f);
}

static struct filter *filter_new(struct broker *b, const char *text, bool requests)
{
    uint32_t rows = requests ? 1 : FILTER_ROWS_MAX;
    struct filter *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    list_init(&f->link);
    list_init(&f->in_entry);
    list_init(&f->waiting);
    f->broker = b;
    f->requests = requests;
    f->text = strdup(text);
    f->acks = calloc(rows, sizeof(struct ack *));
    struct topic_entry *entry = topic_entry_make(b, bytes_of_text(text));
    if (!f->text || !f->acks || !entry || batch_builder_new(b->schema, rows, NULL, &f->rows)) {
        filter_free(f);
        return NULL;
    }
    outlet_init(&f->outlet, b->exec, NULL, filter_credit);
    list_push_back(&entry->filters, &f->in_entry);
    list_push_back(&b->filters, &f->link);
    return f;
}

int broker_subscribe_flow(struct broker *b, const char *filter, struct flow *flow)
{
    if (!topic_is_filter(bytes_of_text(filter)))
        return ERR_INVALID;
    struct filter *f = NULL;
    LIST_FOR (link, &b->filters) {
        struct filter *have = CONTAINER_OF(link, struct filter, link);
        if (!have->requests && strcmp(have->text, filter) == 0)
            f = have;
    }
    if (!f && !(f = filter_new(b, filter, false)))
        return ERR_NOMEM;
    outlet_attach(&f->outlet, flow);
    return OK;
}

int broker_request_flow(struct broker *b, const char *filter, struct flow *flow)
{
    if (!topic_is_filter(bytes_of_text(filter)))
        return ERR_INVALID;
    struct filter *f = filter_new(b, filter, true);
    if (!f)
        return ERR_NOMEM;
    outlet_attach(&f->outlet, flow);
    return OK;
}

void filters_close(struct broker *b)
{
    filters_flush(b);
    LIST_FOR (link, &b->filters) {
        struct filter *f = CONTAINER_OF(link, struct filter, link);
        struct list *waiting;
        outlet_fini(&f->outlet);
        while ((waiting = list_pop_front(&f->waiting)) != NULL) {
            struct filter_batch *fb = CONTAINER_OF(waiting, struct filter_batch, link);
            batch_unref(fb->batch);
            flow_done_finish(&fb->done, (struct position){0, 0}, ERR_CANCELLED);
        }
        f->waiting_bytes = 0;
    }
}

void filters_free(struct broker *b)
{
    LIST_FOR_SAFE (link, after, &b->filters)
        filter_free(CONTAINER_OF(link, struct filter, link));
}
