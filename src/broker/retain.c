/* Retained messages (3.3.1.3): the last message of a topic, for those who subscribe later.
 *
 * Found by filter in a tree of names, and bounded in number and bytes. With a journal they survive
 * a restart: each is a key `retained/TOPIC` of keyed state. A change there costs an fsync, so it
 * happens on a worker thread and a moment after the message was handed on; of a topic that changes
 * faster than the disk, only the newest is written. A topic too long for a key lives in memory
 * only.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "broker/broker_priv.h"
#include "journal/state.h"
#include "model/topic.h"

#include <assert.h>
#include <stdlib.h>

#define KEY_PREFIX     "retained/"
#define RECORD_VERSION 1
#define WORKER_STACK   (128u << 10)

struct retained {
    struct list link;
    struct broker *broker;
    struct message *message; /* NULL: removed, and only still here because it is being written */
    struct exec_task store;  /* on the worker */
    struct exec_task stored; /* back on the broker's loop */
    struct buf key;          /* of the write under way, as is: */
    struct buf record;       /* empty = remove the key */
    int err;                 /* of the write */
    bool writing;
    bool again; /* changed while it was being written */
};

/* ---------------------------------------------------------------------------------------- records
 */

static int record_encode(const struct message *m, struct buf *out)
{
    buf_reset(out);
    (void)buf_append_u8(out, RECORD_VERSION);
    (void)buf_append_u8(out, m->qos);
    (void)buf_append_le64(out, (uint64_t)m->expires_us);
    (void)buf_append_varint(out, m->properties_len);
    (void)buf_append_bytes(out, message_properties(m));
    return buf_append_bytes(out, payload_bytes(m->payload));
}

static int record_decode(struct bytes topic, struct bytes record, struct message **ret)
{
    struct reader in = reader_of(record);
    uint8_t version = reader_u8(&in);
    struct message_parts parts = {.topic = topic, .retain = true};
    parts.qos = reader_u8(&in);
    parts.expires_us = (int64_t)reader_le64(&in);
    uint64_t len = reader_varint(&in);
    parts.properties = reader_take(&in, len);
    parts.content = reader_take(&in, reader_left(&in));
    if (in.failed || version != RECORD_VERSION || parts.qos > 1 || !topic_is_name(topic))
        return ERR_MALFORMED;
    *ret = message_new(&parts);
    return *ret ? OK : ERR_NOMEM;
}

/* --------------------------------------------------------------------------------------- storing
 */

static void store_run(struct exec_task *task)
{
    struct retained *r = CONTAINER_OF(task, struct retained, store);
    struct journal *j = r->broker->options.journal;
    r->err = r->record.len ? state_put(j, buf_bytes(&r->key), buf_bytes(&r->record))
                           : state_remove(j, buf_bytes(&r->key));
    (void)exec_post(r->broker->exec, &r->stored);
}

static void retained_free(struct retained *r)
{
    message_unref(r->message);
    buf_fini(&r->key);
    buf_fini(&r->record);
    list_remove(&r->link);
    free(r);
}

static void retained_store(struct retained *r, struct bytes topic)
{
    struct broker *b = r->broker;
    if (!b->retain_worker || topic.len > STATE_KEY_BYTES_MAX - strlen(KEY_PREFIX))
        return;
    if (r->writing) {
        r->again = true;
        return;
    }
    buf_reset(&r->key);
    buf_reset(&r->record);
    (void)buf_append_text(&r->key, KEY_PREFIX);
    int err = buf_append_bytes(&r->key, topic);
    if (!err && r->message)
        err = record_encode(r->message, &r->record);
    if (err)
        return;
    r->writing = true;
    outstanding_add(b);
    (void)exec_post(b->retain_worker, &r->store);
}

static void stored_run(struct exec_task *task)
{
    struct retained *r = CONTAINER_OF(task, struct retained, stored);
    struct broker *b = r->broker;
    r->writing = false;
    if (r->err)
        log_warn("broker", "a retained message is kept in memory only: %s (%.*s)", err_text(r->err),
                 (int)r->key.len, (const char *)r->key.ptr);
    if (r->again) {
        struct bytes key = buf_bytes(&r->key);
        size_t prefix = strlen(KEY_PREFIX);
        char *topic = bytes_to_text(bytes_of(key.ptr + prefix, key.len - prefix));
        r->again = false;
        if (topic)
            retained_store(r, bytes_of(topic, key.len - prefix));
        free(topic);
    }
    if (!r->message && !r->writing)
        retained_free(r);
    outstanding_remove(b);
}

/* --------------------------------------------------------------------------------------- keeping
 */

static struct retained *retained_new(struct broker *b, struct bytes topic)
{
    struct retained *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->broker = b;
    exec_task_init(&r->store, store_run);
    exec_task_init(&r->stored, stored_run);
    list_init(&r->link);
    if (topic_tree_put(&b->retained, topic, r, NULL)) {
        free(r);
        return NULL;
    }
    list_push_back(&b->retained_list, &r->link);
    count_add(b, COUNT_RETAINED, 1);
    return r;
}

/* Puts m (a new reference, or NULL) in the place of the message that was there. */
static void retained_replace(struct retained *r, struct message *m)
{
    struct message *old = r->message;
    if (old)
        count_sub(r->broker, COUNT_RETAINED_BYTES, message_bytes(old));
    if (m)
        count_add(r->broker, COUNT_RETAINED_BYTES, message_bytes(m));
    r->message = m ? message_ref(m) : NULL;
    message_unref(old);
}

static void retained_forget(struct broker *b, struct retained *r)
{
    struct message *m = message_ref(r->message); /* the topic is in it */
    (void)topic_tree_remove(&b->retained, message_topic(m));
    count_sub(b, COUNT_RETAINED, 1);
    retained_replace(r, NULL);
    retained_store(r, message_topic(m));
    if (!r->writing)
        retained_free(r);
    message_unref(m);
}

static bool retain_has_room(const struct broker *b, const struct retained *r,
                            const struct message *m)
{
    uint64_t freed = r ? message_bytes(r->message) : 0;
    uint64_t bytes = count_get(b, COUNT_RETAINED_BYTES) - freed + message_bytes(m);
    return bytes <= b->limits.retained_bytes_max &&
           (r || count_get(b, COUNT_RETAINED) < b->limits.retained_max);
}

void retain_set(struct broker *b, struct message *m)
{
    struct retained *r = topic_tree_find(&b->retained, message_topic(m));
    if (m->payload->len == 0) { /* [MQTT-3.3.1-6] */
        if (r)
            retained_forget(b, r);
        return;
    }
    if (!retain_has_room(b, r, m)) {
        count_drop(b, BROKER_DROP_RETAIN_LIMIT);
        return;
    }
    if (!r && !(r = retained_new(b, message_topic(m)))) {
        count_drop(b, BROKER_DROP_NO_MEMORY);
        return;
    }
    retained_replace(r, m);
    retained_store(r, message_topic(m));
}

struct retain_search {
    struct subscription *subscription;
    int64_t now_us;
};

static void retained_deliver(void *ctx, void *value)
{
    const struct retain_search *search = ctx;
    const struct subscription *sub = search->subscription;
    const struct retained *r = value;
    struct message *m = r->message;
    if (m->expires_us <= search->now_us)
        return;
    struct delivery d = {
        .message = m,
        .ids = &sub->id,
        .id_count = sub->id ? 1 : 0,
        .qos = sub->qos < m->qos ? sub->qos : m->qos,
        .retain = true, /* [MQTT-3.3.1-8] */
        .retained = true,
    };
    session_deliver(sub->session, &d);
}

void retain_deliver(struct broker *b, struct subscription *sub)
{
    struct retain_search search = {sub, exec_wall_us(b->exec)};
    topic_tree_match_filter(&b->retained, bytes_of(sub->filter, sub->filter_len), retained_deliver,
                            &search);
}

void retain_sweep(struct broker *b)
{
    int64_t now_us = exec_wall_us(b->exec);
    LIST_FOR_SAFE (link, after, &b->retained_list) {
        struct retained *r = CONTAINER_OF(link, struct retained, link);
        if (r->message && r->message->expires_us <= now_us)
            retained_forget(b, r);
    }
}

/* ------------------------------------------------------------------------------------------- life
 */

static int load_one(void *ctx, struct bytes key, struct bytes value)
{
    struct broker *b = ctx;
    size_t prefix = strlen(KEY_PREFIX);
    struct message *m = NULL;
    int err = record_decode(bytes_of(key.ptr + prefix, key.len - prefix), value, &m);
    if (err) {
        log_warn("broker", "a retained message cannot be read back (%.*s): %s", (int)key.len,
                 (const char *)key.ptr, err_text(err));
        return err == ERR_NOMEM ? err : OK;
    }
    retain_set(b, m); /* there is no worker yet, so nothing is written */
    message_unref(m);
    return OK;
}

int retain_open(struct broker *b, struct diag *diag)
{
    if (!b->options.journal)
        return OK;
    int err = state_each(b->options.journal, bytes_of_text(KEY_PREFIX), load_one, b);
    if (!err)
        err = exec_thread_new("retain", WORKER_STACK, &b->retain_worker);
    if (err)
        return diag_set(diag, err, 0, 0, "retained messages cannot be loaded: %s", err_text(err));
    return OK;
}

void retain_close(struct broker *b)
{
    exec_thread_free(b->retain_worker);
    b->retain_worker = NULL;
}

void retain_free(struct broker *b)
{
    LIST_FOR_SAFE (link, after, &b->retained_list) {
        struct retained *r = CONTAINER_OF(link, struct retained, link);
        assert(!r->writing);
        retained_free(r);
    }
    topic_tree_fini(&b->retained);
}
