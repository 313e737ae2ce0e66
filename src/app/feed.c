/* The log as a feed. See feed.h. */
#include "app/feed.h"

#include "base/err.h"

static int feed_seek(void *ctx, struct position after)
{
    struct log_feed *f = ctx;
    return log_follower_seek(&f->follower, after);
}

static int feed_next(void *ctx, struct feed_record *ret)
{
    struct log_feed *f = ctx;
    int err = stream_reader_next(f->follower.reader, &f->record);
    ret->at = f->record.at;
    if (err)
        return err;
    ret->node = f->record.node;
    ret->stream = f->record.stream;
    ret->time_us = f->record.time_us;
    ret->view = &f->record;
    return OK;
}

static int feed_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    struct log_feed *f = ctx;
    return stream_reader_batch(f->follower.reader, record->view, ret);
}

static void feed_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    struct log_feed *f = ctx;
    log_follower_watch(&f->follower, exec, task);
}

static void feed_done(void *ctx, struct position at)
{
    struct log_feed *f = ctx;
    log_follower_done(&f->follower, at);
}

int log_feed_open(struct log_feed *f, struct stream_log *log, const char *name)
{
    *f = (struct log_feed){0};
    f->feed = (struct feed){
        .ctx = f,
        .seek = feed_seek,
        .next = feed_next,
        .batch = feed_batch,
        .watch = feed_watch,
        .done = feed_done,
    };
    return log_follower_open(&f->follower, log, name);
}

void log_feed_close(struct log_feed *f)
{
    log_follower_close(&f->follower);
}
