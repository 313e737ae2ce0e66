/* A feed for tests (model/feed.h): a log in memory, filled by the test, followed by a real
 * consumer.
 *
 * Any thread may add; the consumer's thread reads. Records never go away, so a consumer may seek
 * back as after a kill.
 */
#ifndef LOTLINE_TESTS_SUPPORT_FEED_FAKE_H
#define LOTLINE_TESTS_SUPPORT_FEED_FAKE_H

#include "model/feed.h"

#include <pthread.h>
#include <stdlib.h>

#define FEED_FAKE_RECORDS_MAX 65536

struct feed_fake_record {
    const char *node;
    const char *stream;
    struct batch *batch;
};

struct feed_fake {
    pthread_mutex_t mutex;
    struct feed_fake_record *records;
    uint64_t count;
    uint64_t next; /* index that is read next */
    uint64_t epoch;
    int fail; /* what next gives, once, if not OK */
    struct position done;
    struct exec *exec;
    struct exec_task *task;
};

static inline void feed_fake_init(struct feed_fake *f)
{
    *f = (struct feed_fake){.epoch = 1};
    (void)pthread_mutex_init(&f->mutex, NULL);
    f->records = calloc(FEED_FAKE_RECORDS_MAX, sizeof *f->records);
    if (!f->records)
        abort();
}

static inline void feed_fake_fini(struct feed_fake *f)
{
    for (uint64_t i = 0; i < f->count; i++)
        batch_unref(f->records[i].batch);
    free(f->records);
    (void)pthread_mutex_destroy(&f->mutex);
}

/* Takes the reference; node and stream must outlive the feed. Returns the record's position. */
static inline struct position feed_fake_add(struct feed_fake *f, const char *node,
                                            const char *stream, struct batch *batch)
{
    (void)pthread_mutex_lock(&f->mutex);
    if (f->count == FEED_FAKE_RECORDS_MAX)
        abort();
    f->records[f->count++] = (struct feed_fake_record){node, stream, batch};
    struct position at = {f->epoch, f->count};
    if (f->task)
        (void)exec_post(f->exec, f->task);
    (void)pthread_mutex_unlock(&f->mutex);
    return at;
}

static inline struct position feed_fake_done(struct feed_fake *f)
{
    (void)pthread_mutex_lock(&f->mutex);
    struct position at = f->done;
    (void)pthread_mutex_unlock(&f->mutex);
    return at;
}

/* The next call of next gives err, once. */
static inline void feed_fake_fail(struct feed_fake *f, int err)
{
    (void)pthread_mutex_lock(&f->mutex);
    f->fail = err;
    (void)pthread_mutex_unlock(&f->mutex);
}

static inline int feed_fake_seek(void *ctx, struct position after)
{
    struct feed_fake *f = ctx;
    (void)pthread_mutex_lock(&f->mutex);
    f->next = after.epoch ? after.seq : 0;
    (void)pthread_mutex_unlock(&f->mutex);
    return OK;
}

static inline int feed_fake_next(void *ctx, struct feed_record *ret)
{
    struct feed_fake *f = ctx;
    (void)pthread_mutex_lock(&f->mutex);
    int err = f->fail;
    f->fail = OK;
    if (!err && f->next >= f->count)
        err = ERR_AGAIN;
    if (!err) {
        struct feed_fake_record *r = &f->records[f->next++];
        *ret = (struct feed_record){
            .at = {f->epoch, f->next},
            .node = bytes_of_text(r->node),
            .stream = bytes_of_text(r->stream),
            .view = r->batch,
        };
    }
    (void)pthread_mutex_unlock(&f->mutex);
    return err;
}

static inline int feed_fake_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    (void)ctx;
    *ret = batch_ref(record->view);
    return OK;
}

static inline void feed_fake_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    struct feed_fake *f = ctx;
    (void)pthread_mutex_lock(&f->mutex);
    f->exec = exec;
    f->task = task;
    (void)pthread_mutex_unlock(&f->mutex);
}

static inline void feed_fake_set_done(void *ctx, struct position at)
{
    struct feed_fake *f = ctx;
    (void)pthread_mutex_lock(&f->mutex);
    f->done = at;
    (void)pthread_mutex_unlock(&f->mutex);
}

static inline struct feed feed_fake_feed(struct feed_fake *f)
{
    return (struct feed){
        f, feed_fake_seek, feed_fake_next, feed_fake_batch, feed_fake_watch, feed_fake_set_done};
}

#endif
