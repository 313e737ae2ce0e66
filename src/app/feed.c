/* The log as a feed. See feed.h. */
#include "app/feed.h"

#include "base/err.h"

static int feed_seek(void *ctx, struct position after)
{
    struct log_feed *f = ctx;
    if (f->reader) {
        stream_reader_seek(f->reader, after);
        return OK;
    }
    return stream_reader_new(f->log, after, &f->reader);
}

static int feed_next(void *ctx, struct feed_record *ret)
{
    struct log_feed *f = ctx;
    int err = stream_reader_next(f->reader, &f->record);
    ret->at = f->record.at;
    if (err)
        return err;
    ret->node = f->record.node;
    ret->stream = f->record.stream;
    ret->view = &f->record;
    return OK;
}

static int feed_batch(void *ctx, const struct feed_record *record, struct batch **ret)
{
    struct log_feed *f = ctx;
    return stream_reader_batch(f->reader, record->view, ret);
}

static void feed_unwatch(struct log_feed *f)
{
    if (f->watching)
        journal_watch_remove(stream_log_journal(f->log), &f->watch);
    f->watching = false;
}

/* Runs on the consumer's exec, where the consumer's own task then runs as well. */
static void feed_told(struct exec_task *task)
{
    struct log_feed *f =
        CONTAINER_OF(CONTAINER_OF(task, struct journal_watch, task), struct log_feed, watch);
    if (f->told)
        (void)exec_post(f->watch.exec, f->told);
}

static void feed_watch(void *ctx, struct exec *exec, struct exec_task *task)
{
    struct log_feed *f = ctx;
    feed_unwatch(f);
    f->told = task;
    if (!task)
        return;
    f->watch.exec = exec;
    journal_watch_add(stream_log_journal(f->log), &f->watch);
    f->watching = true;
}

static void feed_done(void *ctx, struct position at)
{
    struct log_feed *f = ctx;
    journal_cursor_set(f->cursor, at);
}

int log_feed_open(struct log_feed *f, struct stream_log *log, const char *name)
{
    *f = (struct log_feed){.log = log};
    f->feed = (struct feed){
        .ctx = f,
        .seek = feed_seek,
        .next = feed_next,
        .batch = feed_batch,
        .watch = feed_watch,
        .done = feed_done,
    };
    exec_task_init(&f->watch.task, feed_told);
    return journal_cursor_open(stream_log_journal(log), name, &f->cursor);
}

void log_feed_close(struct log_feed *f)
{
    if (!f->log)
        return;
    feed_unwatch(f);
    stream_reader_free(f->reader);
    f->reader = NULL;
    f->log = NULL;
}
