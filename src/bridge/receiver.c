/* The hub's end of the uplink. See uplink.h.
 *
 * Everything runs on the journal thread. A batch of messages is held until every record in it is
 * durable; then its flow item is finished, and the broker sends the PUBACKs. When the log has no
 * room, the batch stays here, no other is taken, and the broker stops reading from the edges.
 */
#include "base/log.h"
#include "base/str.h"
#include "bridge/uplink.h"
#include "model/message.h"

#include <assert.h>
#include <stdlib.h>

#define RETRY_US       200000
#define FLOW_BYTES_MAX (32u << 20)
#define WARN_EVERY     1000u

struct held;

struct held_wait {
    struct journal_wait wait;
    struct held *held;
};

/* A batch of messages on its way into the log. */
struct held {
    struct uplink_receiver *receiver;
    struct flow_item item;
    uint32_t next_row;
    uint32_t pending; /* rows not durable yet, and one for the rows not appended yet */
    int err;
    struct position at;
    struct held_wait waits[];
};

struct uplink_receiver {
    struct uplink_store store;
    struct flow *flow;
    struct held *current; /* its rows are being appended */
    uint32_t held_count;
    bool closed;
    struct exec_timer retry;
    atomic_ullong records;
    atomic_ullong malformed;
    atomic_ullong unknown;
    atomic_ullong held_now;
};

static void receiver_end(struct uplink_receiver *r)
{
    flow_unref(r->flow);
    free(r);
}

static void held_release(struct held *h)
{
    if (--h->pending > 0)
        return;
    struct uplink_receiver *r = h->receiver;
    flow_finish(&h->item, h->at, h->err);
    r->held_count--;
    atomic_store_explicit(&r->held_now, r->held_count, memory_order_relaxed);
    free(h);
}

static void held_durable(struct journal_wait *wait, struct position at, int err)
{
    struct held *h = CONTAINER_OF(wait, struct held_wait, wait)->held;
    if (err && !h->err)
        h->err = err;
    h->at = at;
    struct uplink_receiver *r = h->receiver;
    held_release(h);
    if (r->closed && r->held_count == 0)
        receiver_end(r);
}

/* "lotline/up/NODE/data": NODE and the word behind it; an empty kind if it is not of that form. */
static struct bytes topic_kind(struct bytes topic, struct bytes *ret_node)
{
    if (!str_starts(topic, UPLINK_TOPIC_PREFIX))
        return bytes_of(NULL, 0);
    size_t n = strlen(UPLINK_TOPIC_PREFIX);
    return str_split(bytes_of(topic.ptr + n, topic.len - n), '/', ret_node);
}

static void count_refusal(struct uplink_receiver *r, int err, struct bytes node)
{
    atomic_ullong *counter = err == ERR_NOT_FOUND ? &r->unknown : &r->malformed;
    uint64_t before = atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    if (before % WARN_EVERY == 0)
        log_warn("uplink", "a record from node %.*s was refused: %s", (int)node.len,
                 (const char *)node.ptr,
                 err == ERR_NOT_FOUND ? "its schema has not come yet" : err_text(err));
}

/* What passes by itself: the message stays, and nothing behind it is taken. */
static bool err_is_passing(int err)
{
    return err == ERR_NO_SPACE || err == ERR_AGAIN || err == ERR_NOMEM;
}

/* Appends one message. An error that passes: try again later. Others are the message's own. */
static int held_append_row(struct held *h, const struct column *topics,
                           const struct column *payloads)
{
    struct uplink_receiver *r = h->receiver;
    uint32_t row = h->next_row;
    struct bytes node = {0};
    struct bytes kind = topic_kind(column_bytes(topics, row), &node);
    struct bytes payload =
        column_is_null(payloads, row) ? bytes_of(NULL, 0) : column_bytes(payloads, row);
    if (str_equal(kind, "schema"))
        return r->store.schema(r->store.ctx, payload);
    if (!str_equal(kind, "data")) {
        count_refusal(r, ERR_MALFORMED, node);
        return ERR_MALFORMED;
    }
    h->waits[row] = (struct held_wait){.wait.fn = held_durable, .held = h};
    h->pending++;
    int err = r->store.append(r->store.ctx, node, payload, &h->waits[row].wait);
    if (err)
        h->pending--;
    else
        atomic_fetch_add_explicit(&r->records, 1, memory_order_relaxed);
    if (err && !err_is_passing(err))
        count_refusal(r, err, node);
    return err;
}

/* True when all its rows were dealt with. */
static bool held_append(struct held *h)
{
    struct column topics = batch_column(h->item.batch, MESSAGE_TOPIC);
    struct column payloads = batch_column(h->item.batch, MESSAGE_PAYLOAD);
    for (; h->next_row < h->item.batch->rows; h->next_row++) {
        int err = held_append_row(h, &topics, &payloads);
        if (err && err_is_passing(err))
            return false;
        if (err && !h->err)
            h->err = err;
    }
    return true;
}

static struct held *held_new(struct uplink_receiver *r, const struct flow_item *item)
{
    uint32_t rows = item->batch->rows;
    struct held *h = calloc(1, sizeof *h + rows * sizeof h->waits[0]);
    if (!h)
        return NULL;
    h->receiver = r;
    h->item = *item;
    h->pending = 1;
    r->held_count++;
    atomic_store_explicit(&r->held_now, r->held_count, memory_order_relaxed);
    return h;
}

static void receiver_run(struct uplink_receiver *r)
{
    struct flow_item item;
    while (!r->closed) {
        if (!r->current) {
            if (!flow_take(r->flow, &item))
                return;
            r->current = held_new(r, &item);
            if (!r->current) {
                flow_finish(&item, item.at, ERR_NOMEM);
                continue;
            }
        }
        if (!held_append(r->current)) {
            int64_t at_us = exec_now_us(r->store.exec) + RETRY_US;
            (void)exec_timer_start(r->store.exec, &r->retry, at_us);
            return;
        }
        struct held *done = r->current;
        r->current = NULL;
        held_release(done);
    }
}

static void receiver_ready(void *ctx, struct flow *f)
{
    (void)f;
    struct uplink_receiver *r = ctx;
    if (!exec_timer_active(&r->retry))
        receiver_run(r);
}

static void receiver_retry(struct exec_timer *timer)
{
    receiver_run(CONTAINER_OF(timer, struct uplink_receiver, retry));
}

int uplink_receiver_new(const struct uplink_store *store, struct uplink_receiver **ret)
{
    struct uplink_receiver *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->store = *store;
    exec_timer_init(&r->retry, receiver_retry);
    struct flow_options options = {
        .name = "uplink receiver",
        .consumer = store->exec,
        .policy = FLOW_BLOCK,
        .bytes_max = FLOW_BYTES_MAX,
        .ctx = r,
        .on_ready = receiver_ready,
    };
    int err = flow_new(&options, &r->flow);
    if (err) {
        free(r);
        return err;
    }
    *ret = r;
    return OK;
}

struct flow *uplink_receiver_flow(struct uplink_receiver *r)
{
    return r->flow;
}

/* What is still on its way into the log ends the receiver when it comes back. */
static int receiver_close(void *ctx)
{
    struct uplink_receiver *r = ctx;
    exec_timer_stop(r->store.exec, &r->retry);
    flow_close(r->flow);
    struct held *current = r->current;
    r->current = NULL;
    if (current) {
        current->err = ERR_CANCELLED;
        held_release(current);
    }
    r->closed = true;
    if (r->held_count == 0)
        receiver_end(r);
    return OK;
}

void uplink_receiver_free(struct uplink_receiver *r)
{
    if (r)
        (void)exec_call(r->store.exec, receiver_close, r);
}

void uplink_receiver_stats_get(const struct uplink_receiver *r, struct uplink_receiver_stats *ret)
{
    ret->records = atomic_load_explicit(&r->records, memory_order_relaxed);
    ret->malformed = atomic_load_explicit(&r->malformed, memory_order_relaxed);
    ret->unknown = atomic_load_explicit(&r->unknown, memory_order_relaxed);
    ret->held = atomic_load_explicit(&r->held_now, memory_order_relaxed);
}
