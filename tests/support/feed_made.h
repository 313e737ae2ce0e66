/* A feed for tests (model/feed.h) whose records are made up as they are read: record n of a stream
 * holds rows n × rows …, so that it needs no memory, has no end unless one is given, and can be
 * read again from any position after a kill.
 */
#ifndef LOTLINE_TESTS_SUPPORT_FEED_MADE_H
#define LOTLINE_TESTS_SUPPORT_FEED_MADE_H

#include "base/err.h"
#include "model/batch.h"
#include "model/feed.h"

struct feed_made {
    const char *stream;
    struct schema *schema; /* borrowed */
    uint32_t rows;         /* of a record */
    uint64_t end;          /* records; UINT64_MAX: always more */
    /* Adds row n, counted from 0 over all records. ERR_NOMEM. */
    int (*add)(struct batch_builder *bb, int64_t n);
    uint64_t next;
};

static inline int feed_made_seek(void *ctx, struct position after)
{
    struct feed_made *m = ctx;
    m->next = after.seq;
    return OK;
}

static inline int feed_made_next(void *ctx, struct feed_record *ret)
{
    struct feed_made *m = ctx;
    if (m->next >= m->end)
        return ERR_AGAIN;
    m->next++;
    *ret = (struct feed_record){
        .at = {7, m->next}, .node = bytes_of_text("n"), .stream = bytes_of_text(m->stream)};
    return OK;
}

static inline int feed_made_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    struct feed_made *m = ctx;
    struct batch_builder *bb = NULL;
    int err = batch_builder_new(m->schema, m->rows, NULL, &bb);
    for (uint32_t i = 0; !err && i < m->rows; i++)
        err = m->add(bb, (int64_t)((record->at.seq - 1) * m->rows + i));
    if (!err)
        err = batch_builder_finish(bb, ret);
    batch_builder_free(bb);
    return err;
}

static inline void feed_made_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    (void)ctx;
    (void)exec;
    (void)task;
}

static inline void feed_made_done(void *ctx, struct position at)
{
    (void)ctx;
    (void)at;
}

static inline struct feed feed_made_feed(struct feed_made *m)
{
    return (struct feed){
        m, feed_made_seek, feed_made_next, feed_made_batch, feed_made_watch, feed_made_done};
}

#endif
