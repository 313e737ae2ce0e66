/* Flow → publish: message batches of rules and groups become publications.
 *
 * The flow drops its oldest batch when the broker cannot keep up: a device's poll must never wait
 * for its JSON to be published. What is dropped stands in the flow's own counters.
 */
#include "base/err.h"
#include "base/log.h"
#include "broker/broker_priv.h"
#include "model/topic.h"

#include <assert.h>
#include <stdlib.h>

#define BATCHES_A_TURN 16 /* then others on the loop get their turn */

struct publisher {
    struct list link;
    struct broker *broker;
    struct flow *flow;
    struct exec_task more;
    bool closed;
};

static struct bytes cell(const struct batch *batch, enum message_column col, uint32_t row)
{
    struct column c = batch_column(batch, col);
    return column_is_null(&c, row) ? bytes_of(NULL, 0) : column_bytes(&c, row);
}

static int row_publish(struct broker *b, const struct batch *batch, uint32_t row)
{
    struct value qos = {.type = VALUE_NULL};
    struct value retain = {.type = VALUE_NULL};
    struct column c = batch_column(batch, MESSAGE_QOS);
    if (!column_is_null(&c, row))
        qos = column_value(&c, row);
    c = batch_column(batch, MESSAGE_RETAIN);
    if (!column_is_null(&c, row))
        retain = column_value(&c, row);
    struct broker_message m = {
        .topic = cell(batch, MESSAGE_TOPIC, row),
        .payload = payload_copy(cell(batch, MESSAGE_PAYLOAD, row)),
        .qos = qos.type == VALUE_INT64 && qos.i64 > 0 ? 1 : 0,
        .retain = retain.type == VALUE_BOOL && retain.boolean,
        .response_topic = cell(batch, MESSAGE_RESPONSE_TOPIC, row),
        .correlation = cell(batch, MESSAGE_CORRELATION, row),
    };
    int err = m.payload ? broker_publish(b, &m) : ERR_NOMEM;
    payload_unref(m.payload);
    return err;
}

static int batch_publish(struct publisher *p, const struct batch *batch)
{
    int first = OK;
    if (batch->schema->hash != p->broker->schema->hash)
        return ERR_TYPE;
    for (uint32_t row = 0; row < batch->rows; row++) {
        int err = row_publish(p->broker, batch, row);
        if (err && !first)
            first = err;
    }
    return first;
}

static void take(struct publisher *p)
{
    struct flow_item item;
    for (int n = 0; n < BATCHES_A_TURN; n++) {
        if (p->closed || !flow_take(p->flow, &item))
            return;
        int err = batch_publish(p, item.batch);
        if (err)
            log_warn("broker", "%s: a message cannot be published: %s", flow_name(p->flow),
                     err_text(err));
        flow_finish(&item, item.at, err);
    }
    (void)exec_post(p->broker->exec, &p->more);
}

static void take_more(struct exec_task *task)
{
    take(CONTAINER_OF(task, struct publisher, more));
}

static void on_ready(void *ctx, struct flow *f)
{
    (void)f;
    take(ctx);
}

static void on_closed(void *ctx, struct flow *f)
{
    struct publisher *p = ctx;
    (void)f;
    p->closed = true;
    outstanding_remove(p->broker);
}

int broker_publish_flow(struct broker *b, struct outlet *o, const char *name)
{
    struct publisher *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    struct flow_options options = {
        .name = name,
        .consumer = b->exec,
        .policy = FLOW_DROP_OLDEST,
        .ctx = p,
        .on_ready = on_ready,
        .on_closed = on_closed,
    };
    int err = flow_new(&options, &p->flow);
    if (err) {
        free(p);
        return err;
    }
    p->broker = b;
    exec_task_init(&p->more, take_more);
    list_push_back(&b->publishers, &p->link);
    outstanding_add(b);
    outlet_attach(o, p->flow);
    return OK;
}

void publishers_close(struct broker *b)
{
    LIST_FOR (link, &b->publishers) {
        struct publisher *p = CONTAINER_OF(link, struct publisher, link);
        if (!p->closed)
            flow_close(p->flow);
    }
}

void publishers_free(struct broker *b)
{
    struct list *link;
    while ((link = list_pop_front(&b->publishers)) != NULL) {
        struct publisher *p = CONTAINER_OF(link, struct publisher, link);
        flow_unref(p->flow);
        free(p);
    }
}
