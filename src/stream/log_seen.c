/* What tells a repeat from a new record, over a restart: the highest origin per (node, stream) and
 * the highest key per stream.
 *
 * The tables are stored in keyed state from time to time with the position up to which they are
 * true, and the log is held behind that position; at start the log behind it is read. They are
 * stored only when everything they speak of is durable: a table that knew of a record which a power
 * cut then took would drop its repeat, and lose it for good.
 *
 *     u8 version = 1, u64 epoch, u64 seq, varint count,
 *     count times: u8 kind (1 origin, 2 key), varint length + name, u64, u64
 */
#include "base/log.h"
#include "base/str.h"
#include "journal/state.h"
#include "stream/log_priv.h"

#include <stdlib.h>

#define SEEN_VERSION 1

enum seen_kind {
    SEEN_ORIGIN = 1,
    SEEN_KEY = 2,
};

int log_key_get(struct stream_log *sl, struct bytes stream, struct log_key **ret)
{
    int err = OK;
    (void)pthread_mutex_lock(&sl->mutex);
    struct log_key *key = map_find(&sl->keys, stream);
    if (!key) {
        key = calloc(1, sizeof *key);
        err = key ? map_put(&sl->keys, stream, key, NULL) : ERR_NOMEM;
    }
    (void)pthread_mutex_unlock(&sl->mutex);
    if (err) {
        free(key);
        return err;
    }
    *ret = key;
    return OK;
}

struct record_key stream_log_key(struct stream_log *sl, struct bytes stream)
{
    (void)pthread_mutex_lock(&sl->mutex);
    const struct log_key *key = map_find(&sl->keys, stream);
    struct record_key highest = key ? key->highest : (struct record_key){0, 0};
    (void)pthread_mutex_unlock(&sl->mutex);
    return highest;
}

/* --------------------------------------------------------------------------------------- loading
 */

static int seen_origin(struct stream_log *sl, struct bytes node, struct bytes stream,
                       struct position at)
{
    struct log_remote *remote;
    int err = log_remote_get(sl, node, stream, &remote);
    if (!err && position_compare(at, remote->highest) > 0)
        remote->highest = at;
    return err;
}

static int seen_key(struct stream_log *sl, struct bytes stream, struct record_key at)
{
    struct log_key *key;
    int err = log_key_get(sl, stream, &key);
    if (err)
        return err;
    if (at.major > key->highest.major ||
        (at.major == key->highest.major && at.minor > key->highest.minor))
        key->highest = at;
    return OK;
}

static int seen_entry(struct stream_log *sl, struct reader *in)
{
    uint8_t kind = reader_u8(in);
    struct bytes name = reader_take(in, (size_t)reader_varint(in));
    uint64_t a = reader_le64(in);
    uint64_t b = reader_le64(in);
    if (in->failed)
        return ERR_SHORT;
    if (kind == SEEN_KEY)
        return seen_key(sl, name, (struct record_key){a, b});
    const uint8_t *colon = memchr(name.ptr, ':', name.len);
    if (kind != SEEN_ORIGIN || !colon)
        return ERR_MALFORMED;
    size_t node = (size_t)(colon - name.ptr);
    return seen_origin(sl, bytes_of(name.ptr, node), bytes_of(colon + 1, name.len - node - 1),
                       (struct position){a, b});
}

static int seen_decode(struct stream_log *sl, struct bytes value, struct position *ret_at)
{
    struct reader in = reader_of(value);
    if (reader_u8(&in) != SEEN_VERSION)
        return ERR_VERSION;
    struct position at;
    at.epoch = reader_le64(&in);
    at.seq = reader_le64(&in);
    uint64_t count = reader_varint(&in);
    int err = in.failed ? ERR_SHORT : OK;
    for (uint64_t i = 0; i < count && !err; i++)
        err = seen_entry(sl, &in);
    if (!err)
        *ret_at = at;
    return err;
}

static int seen_record(struct stream_log *sl, const struct stream_record *r)
{
    /* By the name: two nodes that started in the same millisecond have the same epoch. */
    if (!str_equal(r->node, sl->node))
        return seen_origin(sl, r->node, r->stream, r->origin);
    if (r->key.major || r->key.minor)
        return seen_key(sl, r->stream, r->key);
    return OK;
}

static int seen_follow(struct stream_log *sl, struct position after)
{
    struct stream_reader *reader;
    struct stream_record r;
    int err = stream_reader_new(sl, after, &reader);
    while (!err) {
        err = stream_reader_next(reader, &r);
        if (!err)
            err = seen_record(sl, &r);
        /* What is gone or damaged cannot be asked; what follows may still be known. */
        else if (err == ERR_EXPIRED || err == ERR_CHECKSUM || err == ERR_MALFORMED)
            err = OK;
    }
    stream_reader_free(reader);
    return err == ERR_AGAIN ? OK : err;
}

int log_seen_load(struct stream_log *sl)
{
    struct buf value = {0};
    struct position at = {0, 0};
    int err = state_get(sl->journal, bytes_of_text(STREAM_LOG_SEEN_KEY), &value);
    if (!err)
        err = seen_decode(sl, buf_bytes(&value), &at);
    buf_fini(&value);
    bool damaged = err == ERR_VERSION || err == ERR_SHORT || err == ERR_MALFORMED;
    if (err && err != ERR_NOT_FOUND && !damaged)
        return err;
    if (damaged) {
        log_warn("streams", "the table of what other nodes sent is damaged (%s): reading the log",
                 err_text(err));
    }
    return seen_follow(sl, at);
}

/* --------------------------------------------------------------------------------------- storing
 */

static void seen_put(struct buf *out, enum seen_kind kind, const struct map_entry *entry,
                     uint64_t a, uint64_t b)
{
    (void)buf_append_u8(out, (uint8_t)kind);
    (void)buf_append_varint(out, entry->len);
    (void)buf_append(out, entry->key, entry->len);
    (void)buf_append_le64(out, a);
    (void)buf_append_le64(out, b);
}

static int seen_encode(struct stream_log *sl, struct position at, struct buf *out)
{
    buf_reset(out);
    (void)buf_append_u8(out, SEEN_VERSION);
    (void)buf_append_le64(out, at.epoch);
    (void)buf_append_le64(out, at.seq);
    (void)pthread_mutex_lock(&sl->mutex);
    (void)buf_append_varint(out, sl->remotes.count + sl->keys.count);
    for (size_t i = 0; i < sl->remotes.count; i++) {
        const struct log_remote *r = sl->remotes.entries[i].value;
        seen_put(out, SEEN_ORIGIN, &sl->remotes.entries[i], r->highest.epoch, r->highest.seq);
    }
    for (size_t i = 0; i < sl->keys.count; i++) {
        const struct log_key *k = sl->keys.entries[i].value;
        seen_put(out, SEEN_KEY, &sl->keys.entries[i], k->highest.major, k->highest.minor);
    }
    (void)pthread_mutex_unlock(&sl->mutex);
    return buf_error(out);
}

static void seen_timer_start(struct stream_log *sl)
{
    if (!sl->stopping && !exec_timer_active(&sl->seen_timer))
        (void)exec_timer_start(sl->exec, &sl->seen_timer,
                               exec_now_us(sl->exec) + sl->options.seen_ms * 1000);
}

static void seen_end(struct stream_log *sl, int err)
{
    sl->seen_busy = false;
    if (err) {
        sl->seen_dirty = true;
        log_warn("streams", "cannot store the table of what other nodes sent: %s", err_text(err));
    }
    if (sl->seen_dirty)
        seen_timer_start(sl);
    log_stop_check(sl);
}

/* Keeper: may block. */
static void seen_run(struct exec_task *task)
{
    struct stream_log *sl = CONTAINER_OF(task, struct stream_log, seen_task);
    sl->seen_err = state_put(sl->journal, bytes_of_text(STREAM_LOG_SEEN_KEY), buf_bytes(&sl->seen));
    (void)exec_post(sl->exec, &sl->seen_done_task);
}

static void seen_done_run(struct exec_task *task)
{
    struct stream_log *sl = CONTAINER_OF(task, struct stream_log, seen_done_task);
    if (!sl->seen_err)
        journal_cursor_set(sl->seen_cursor, sl->seen_at);
    seen_end(sl, sl->seen_err);
}

static void seen_committed(struct journal_wait *wait, struct position at, int err)
{
    struct stream_log *sl = CONTAINER_OF(wait, struct stream_log, seen_wait);
    (void)at;
    if (err)
        seen_end(sl, err);
    else
        (void)exec_post(journal_keeper(sl->journal), &sl->seen_task);
}

void log_seen_store(struct stream_log *sl)
{
    if (sl->seen_busy || !sl->seen_dirty)
        return;
    sl->seen_dirty = false;
    sl->seen_busy = true;
    sl->seen_at = journal_appended(sl->log);
    int err = seen_encode(sl, sl->seen_at, &sl->seen);
    if (!err)
        err = journal_commit_wait(sl->log, &sl->seen_wait);
    if (err)
        seen_end(sl, err);
}

static void seen_timer_run(struct exec_timer *timer)
{
    log_seen_store(CONTAINER_OF(timer, struct stream_log, seen_timer));
}

void log_seen_changed(struct stream_log *sl)
{
    sl->seen_dirty = true;
    seen_timer_start(sl);
}

void log_seen_init(struct stream_log *sl)
{
    sl->seen_wait.fn = seen_committed;
    exec_task_init(&sl->seen_task, seen_run);
    exec_task_init(&sl->seen_done_task, seen_done_run);
    exec_timer_init(&sl->seen_timer, seen_timer_run);
}
