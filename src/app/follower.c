/* A durable consumer of the log. See follower.h. */
#include "app/follower.h"

#include "base/err.h"

/* Runs on the consumer's exec, where the consumer's own task then runs as well. */
static void follower_told(struct exec_task *task)
{
    struct log_follower *f =
        CONTAINER_OF(CONTAINER_OF(task, struct journal_watch, task), struct log_follower, watch);
    if (f->told)
        (void)exec_post(f->watch.exec, f->told);
}

int log_follower_open(struct log_follower *f, struct stream_log *log, const char *name)
{
    *f = (struct log_follower){.log = log};
    exec_task_init(&f->watch.task, follower_told);
    return journal_cursor_open(stream_log_journal(log), name, &f->cursor);
}

void log_follower_close(struct log_follower *f)
{
    if (!f->log)
        return;
    log_follower_watch(f, NULL, NULL);
    stream_reader_free(f->reader);
    *f = (struct log_follower){0};
}

int log_follower_seek(struct log_follower *f, struct position after)
{
    if (!f->reader)
        return stream_reader_new(f->log, after, &f->reader);
    stream_reader_seek(f->reader, after);
    return OK;
}

void log_follower_watch(struct log_follower *f, struct exec *exec, struct exec_task *task)
{
    if (f->watching)
        journal_watch_remove(stream_log_journal(f->log), &f->watch);
    f->watching = task != NULL;
    f->told = task;
    if (!task)
        return;
    f->watch.exec = exec;
    journal_watch_add(stream_log_journal(f->log), &f->watch);
}

void log_follower_done(struct log_follower *f, struct position at)
{
    journal_cursor_set(f->cursor, at);
}
