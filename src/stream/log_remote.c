/* Batches of other nodes: known ones are dropped, new ones appended with their origin.
 *
 * A record is a repeat when its origin is not above the highest of its (node, stream). That is only
 * true while no record is passed over: if one were refused (its schema is not known yet, say) and a
 * later one of its stream taken, the refused one would come again as a seeming repeat, and be lost.
 * So after a refusal everything later of that node is refused as well, until the node goes back:
 * a sender keeps the order of its log, so an origin that is not above the last one tried says that
 * it has begun again.
 *
 * A batch is decoded before it is appended: what lies in the log can be read by every follower.
 */
#include "base/str.h"
#include "codec/columnar.h"
#include "stream/log_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* "node:stream"; len 0 if a name is too long or empty. */
static struct bytes remote_name(struct bytes node, struct bytes stream,
                                char out[static STREAM_LOG_REMOTE_BYTES])
{
    if (node.len == 0 || node.len > RECORD_NODE_BYTES_MAX || stream.len == 0 ||
        stream.len > RECORD_STREAM_BYTES_MAX)
        return bytes_of(NULL, 0);
    memcpy(out, node.ptr, node.len);
    out[node.len] = ':';
    memcpy(out + node.len + 1, stream.ptr, stream.len);
    out[node.len + 1 + stream.len] = 0;
    return bytes_of(out, node.len + 1 + stream.len);
}

static struct log_remote *remote_find(struct stream_log *sl, struct bytes name)
{
    (void)pthread_mutex_lock(&sl->mutex);
    struct log_remote *r = map_find(&sl->remotes, name);
    (void)pthread_mutex_unlock(&sl->mutex);
    return r;
}

void log_remote_free(struct log_remote *r)
{
    stream_free(r->stream);
    free(r);
}

static int remote_new(struct stream_log *sl, struct bytes name, struct bytes node,
                      struct log_remote **ret)
{
    char node_text[RECORD_NODE_BYTES_MAX + 1];
    struct log_remote *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    memcpy(node_text, node.ptr, node.len);
    node_text[node.len] = 0;
    int err = stream_new((const char *)name.ptr, node_text, STREAM_REMOTE, "", NULL, &r->stream);
    if (!err) {
        outlet_init(&r->outlet, sl->exec, r->stream, NULL);
        r->stream->outlet = &r->outlet;
        r->stream->durable = true;
        (void)pthread_mutex_lock(&sl->mutex);
        err = map_put(&sl->remotes, name, r, NULL);
        (void)pthread_mutex_unlock(&sl->mutex);
    }
    if (err) {
        log_remote_free(r);
        return err;
    }
    *ret = r;
    return OK;
}

int log_remote_get(struct stream_log *sl, struct bytes node, struct bytes stream,
                   struct log_remote **ret)
{
    char text[STREAM_LOG_REMOTE_BYTES];
    struct bytes name = remote_name(node, stream, text);
    if (name.len == 0)
        return ERR_INVALID;
    struct log_remote *r = remote_find(sl, name);
    if (r) {
        *ret = r;
        return OK;
    }
    if (sl->remotes.count >= STREAM_LOG_REMOTES_MAX)
        return ERR_LIMIT;
    return remote_new(sl, name, node, ret);
}

static int remote_decode(struct stream_log *sl, struct bytes columnar, struct batch **ret)
{
    uint64_t hash;
    struct schema *schema;
    int err = columnar_schema_hash(columnar, &hash);
    if (!err)
        err = stream_log_schema_get(sl, hash, &schema);
    if (err)
        return err;
    err = columnar_decode(columnar, schema, NULL, ret);
    schema_unref(schema);
    return err;
}

static int remote_append(struct stream_log *sl, const struct record *r, struct journal_wait *wait,
                         struct position *ret_at)
{
    buf_reset(&sl->scratch);
    int err = record_head_encode(r, &sl->scratch);
    if (err)
        return err;
    struct bytes parts[2] = {buf_bytes(&sl->scratch), r->columnar};
    struct journal_record record = {
        .codec = RECORD_CODEC_COLUMNAR,
        .time_us = exec_wall_us(sl->exec),
        .parts = parts,
        .part_count = 2,
    };
    err = journal_append(sl->log, &record, wait, ret_at);
    if (err)
        return err;
    atomic_fetch_add_explicit(&sl->remote_records, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sl->bytes, parts[0].len + parts[1].len, memory_order_relaxed);
    log_seen_changed(sl);
    return OK;
}

static int remote_repeat(struct stream_log *sl, struct journal_wait *wait, struct position *ret_at)
{
    int err = journal_commit_wait(sl->log, wait);
    if (err)
        return err;
    atomic_fetch_add_explicit(&sl->remote_repeats, 1, memory_order_relaxed);
    *ret_at = (struct position){0, 0};
    return OK;
}

static int node_get(struct stream_log *sl, struct bytes name, struct log_node **ret)
{
    struct log_node *node = map_find(&sl->nodes, name);
    if (!node) {
        if (sl->nodes.count >= STREAM_LOG_REMOTES_MAX)
            return ERR_LIMIT;
        node = calloc(1, sizeof *node);
        int err = node ? map_put(&sl->nodes, name, node, NULL) : ERR_NOMEM;
        if (err) {
            free(node);
            return err;
        }
    }
    *ret = node;
    return OK;
}

/* Appends r's batch, whose decoded form is `batch`, unless it is a repeat. */
static int remote_take(struct stream_log *sl, const struct record *r, struct batch *batch,
                       struct journal_wait *wait, struct position *ret_at)
{
    struct log_remote *remote;
    struct position at;
    int err = log_remote_get(sl, r->node, r->stream, &remote);
    if (err)
        return err;
    if (position_compare(r->origin, remote->highest) <= 0)
        return remote_repeat(sl, wait, ret_at);
    /* Handed on after the append, so appended only when it can be handed on. */
    if (!outlet_ready(&remote->outlet, batch))
        return ERR_AGAIN;
    err = remote_append(sl, r, wait, &at);
    if (err)
        return err;
    remote->highest = r->origin;
    (void)outlet_push(&remote->outlet, batch, at, NULL);
    *ret_at = at;
    return OK;
}

int stream_log_append_remote(struct stream_log *sl, const struct record *r,
                             struct journal_wait *wait, struct position *ret_at)
{
    struct log_node *node;
    struct batch *batch;
    assert(exec_is_current(sl->exec));
    if (sl->stopping)
        return ERR_CANCELLED;
    if (position_is_none(r->origin) || str_equal(r->node, sl->node))
        return ERR_INVALID;
    int err = node_get(sl, r->node, &node);
    if (err)
        return err;
    bool later = position_compare(r->origin, node->last) > 0;
    node->last = r->origin;
    if (node->refused && later)
        return ERR_CONFLICT;
    err = remote_decode(sl, r->columnar, &batch);
    if (!err) {
        err = remote_take(sl, r, batch, wait, ret_at);
        batch_unref(batch);
    }
    node->refused = err != OK;
    bool waits = err == ERR_NO_SPACE || err == ERR_NOMEM;
    return waits && atomic_load_explicit(&sl->draining, memory_order_relaxed) ? ERR_CANCELLED : err;
}

struct stream *stream_log_remote_find(struct stream_log *sl, struct bytes name)
{
    struct log_remote *r = remote_find(sl, name);
    return r ? r->stream : NULL;
}

struct position stream_log_origin(struct stream_log *sl, struct bytes node, struct bytes stream)
{
    char text[STREAM_LOG_REMOTE_BYTES];
    struct bytes name = remote_name(node, stream, text);
    struct log_remote *r = name.len ? remote_find(sl, name) : NULL;
    return r ? r->highest : (struct position){0, 0};
}
