/* The stream log's life: new, start, stop, free; and its counters. See log.h. */
#include "base/log.h"

#include "stream/log_priv.h"

#include <stdlib.h>
#include <string.h>

static void stop_run(struct exec_task *task);

int stream_log_new(const struct stream_log_options *options, struct stream_log **ret)
{
    struct stream_log *sl = calloc(1, sizeof *sl);
    if (!sl)
        return ERR_NOMEM;
    sl->options = *options;
    if (!sl->options.seen_ms)
        sl->options.seen_ms = STREAM_LOG_SEEN_MS;
    if (!sl->options.waiting_bytes_max)
        sl->options.waiting_bytes_max = STREAM_LOG_WAITING_BYTES;
    sl->journal = options->journal;
    sl->exec = journal_exec(options->journal);
    sl->stopped = true;
    atomic_init(&sl->draining, false);
    list_init(&sl->taps);
    (void)pthread_mutex_init(&sl->mutex, NULL);
    (void)pthread_cond_init(&sl->cond, NULL);
    exec_timer_init(&sl->retry_timer, log_retry_run);
    exec_task_init(&sl->stop_task, stop_run);
    log_seen_init(sl);
    sl->node = strdup(options->node);
    if (!sl->node) {
        stream_log_free(sl);
        return ERR_NOMEM;
    }
    *ret = sl;
    return OK;
}

int stream_log_start(struct stream_log *sl, struct diag *diag)
{
    int err = journal_log_open(sl->journal, STREAM_LOG_NAME, &sl->options.log, &sl->log, diag);
    if (err)
        return err;
    err = journal_cursor_open(sl->log, "seen", &sl->seen_cursor);
    if (!err)
        err = log_seen_load(sl);
    if (err)
        return diag_set(diag, err, 0, 0, "cannot read back the log of streams: %s", err_text(err));
    sl->stopped = false;
    return OK;
}

struct journal_log *stream_log_journal(const struct stream_log *sl)
{
    return sl->log;
}

/* ----------------------------------------------------------------------------------------- stop */

void log_stop_check(struct stream_log *sl)
{
    if (!sl->stopping || sl->pending_count || sl->seen_busy)
        return;
    LIST_FOR (link, &sl->taps) {
        if (!CONTAINER_OF(link, struct log_tap, link)->closed)
            return;
    }
    (void)pthread_mutex_lock(&sl->mutex);
    sl->stopped = true;
    (void)pthread_cond_broadcast(&sl->cond);
    (void)pthread_mutex_unlock(&sl->mutex);
}

void stream_log_drain(struct stream_log *sl)
{
    atomic_store_explicit(&sl->draining, true, memory_order_relaxed);
}

static void stop_run(struct exec_task *task)
{
    struct stream_log *sl = CONTAINER_OF(task, struct stream_log, stop_task);
    sl->stopping = true;
    /* Counts itself, so that nothing in here ends the stop while this still runs. */
    sl->pending_count++;
    exec_timer_stop(sl->exec, &sl->retry_timer);
    exec_timer_stop(sl->exec, &sl->seen_timer);
    LIST_FOR (link, &sl->taps)
        log_tap_close(CONTAINER_OF(link, struct log_tap, link));
    for (size_t i = 0; i < sl->remotes.count; i++)
        outlet_fini(&((struct log_remote *)sl->remotes.entries[i].value)->outlet);
    log_seen_store(sl);
    sl->pending_count--;
    log_stop_check(sl);
}

void stream_log_stop(struct stream_log *sl)
{
    if (sl->stopped)
        return;
    (void)exec_post(sl->exec, &sl->stop_task);
    (void)pthread_mutex_lock(&sl->mutex);
    while (!sl->stopped)
        (void)pthread_cond_wait(&sl->cond, &sl->mutex);
    (void)pthread_mutex_unlock(&sl->mutex);
}

void stream_log_free(struct stream_log *sl)
{
    struct list *link;
    if (!sl)
        return;
    while ((link = list_pop_front(&sl->taps)) != NULL)
        log_tap_free(CONTAINER_OF(link, struct log_tap, link));
    for (size_t i = 0; i < sl->remotes.count; i++)
        log_remote_free(sl->remotes.entries[i].value);
    for (size_t i = 0; i < sl->keys.count; i++)
        free(sl->keys.entries[i].value);
    for (size_t i = 0; i < sl->schemas.count; i++)
        schema_unref(sl->schemas.entries[i].value);
    for (size_t i = 0; i < sl->nodes.count; i++)
        free(sl->nodes.entries[i].value);
    map_fini(&sl->nodes);
    map_fini(&sl->remotes);
    map_fini(&sl->keys);
    map_fini(&sl->schemas);
    while (sl->free_pending) {
        struct log_pending *p = sl->free_pending;
        sl->free_pending = p->next;
        free(p);
    }
    buf_fini(&sl->scratch);
    buf_fini(&sl->seen);
    (void)pthread_cond_destroy(&sl->cond);
    (void)pthread_mutex_destroy(&sl->mutex);
    free(sl->node);
    free(sl);
}

/* -------------------------------------------------------------------------------------- metrics */

static uint64_t count_of(const atomic_ullong *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void stream_log_stats(const struct stream_log *sl, struct stream_log_stats *ret)
{
    *ret = (struct stream_log_stats){
        .batches = count_of(&sl->batches),
        .rows = count_of(&sl->rows),
        .bytes = count_of(&sl->bytes),
        .remote_records = count_of(&sl->remote_records),
        .remote_repeats = count_of(&sl->remote_repeats),
        .key_repeats = count_of(&sl->key_repeats),
        .waiting = count_of(&sl->waiting),
    };
}
