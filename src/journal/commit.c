/* Group commit: who waits shares an fdatasync with all who came while the last one ran.
 *
 * The end of a turn writes the stage and, if somebody waits and no fdatasync is under way, sends
 * the files with unsynced records to the sync thread. When it is through, everything written before
 * it began is committed: waits are told, in order, watchers are woken, and the next group goes.
 * Without a wait the flush timer or flush_bytes does the same. A turn that writes much does not
 * keep the disk idle until its end: the first COMMIT_EARLY_BYTES are synced while the rest is
 * copied.
 *
 * An fdatasync that fails is final, see journal.h.
 */
#include "base/clock.h"
#include "base/log.h"
#include "journal/journal_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void log_report(struct journal_log *log, int err, const char *text)
{
    if (err)
        log_warn("journal", "log %s: %s", log->name, text);
    else
        log_info("journal", "log %s: %s", log->name, text);
    if (log->options.on_state)
        log->options.on_state(log->options.ctx, err, text);
}

/* Tells every wait up to seq. */
static void waits_finish(struct journal_log *log, uint64_t seq, int err)
{
    while (!list_empty(&log->waits)) {
        struct journal_wait *wait = CONTAINER_OF(log->waits.next, struct journal_wait, link);
        if (wait->seq > seq)
            break;
        list_remove(&wait->link);
        wait->fn(wait, log_position(log, wait->seq), err);
    }
}

void log_fail(struct journal_log *log, const char *what)
{
    if (atomic_exchange_explicit(&log->err, ERR_IO, memory_order_acq_rel) != OK)
        return;
    char text[DIAG_TEXT_BYTES_MAX];
    (void)snprintf(text, sizeof text,
                   "%s in %s failed: nothing is acknowledged any more. Look at the disk (dmesg), "
                   "then start the node again",
                   what, log->dir);
    buf_reset(&log->stage);
    log_report(log, ERR_IO, text);
    /* Not here: the caller may be in the middle of an append. */
    log_turn_end(log);
}

int log_stage_write(struct journal_log *log)
{
    if (!log->stage.len)
        return OK;
    const struct journal_io *io = log->journal->io;
    struct iovec part = {log->stage.ptr, log->stage.len};
    int err =
        journal_io_write_all(io, log->active->fd, &part, 1, log->active->data_end - log->stage.len);
    if (err == ERR_NO_SPACE)
        return err;
    if (err) {
        log_fail(log, "writing");
        return ERR_IO;
    }
    buf_reset(&log->stage);
    log->written_seq = log->next_seq - 1;
    return OK;
}

/* ----------------------------------------------------------------------------- the sync thread */

static void sync_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, sync_task);
    const struct journal_io *io = log->journal->io;
    int err = OK;
    for (uint32_t i = 0; i < log->sync_count && !err; i++)
        err = io->sync(io->ctx, log->sync_fds[i]);
    if (!err && log->sync_dir && fsync(log->dir_fd) != 0)
        err = err_from_errno(errno);
    log->sync_err = err;
    (void)exec_post(log->journal->exec, &log->synced_task);
}

/* -------------------------------------------------------------------------- the journal thread */

static uint64_t committed(const struct journal_log *log)
{
    return atomic_load_explicit(&log->committed_seq, memory_order_relaxed);
}

/* Gathers the files of this epoch that hold unsynced records, oldest first. */
static void commit_gather(struct journal_log *log)
{
    log->sync_count = 0;
    log->sync_dir = false;
    log->sync_seq = log->written_seq;
    log->sync_bytes = log->unsynced_bytes - log->stage.len;
    /* Only the journal thread adds segments, and the keeper removes committed ones alone; the lock
     * is for the links. */
    (void)pthread_mutex_lock(&log->mutex);
    LIST_FOR (link, &log->segments) {
        struct segment *s = CONTAINER_OF(link, struct segment, link);
        if (s->fd < 0)
            continue;
        if (log->sync_count == COMMIT_SEGMENTS_MAX) {
            log->sync_seq = s->head.first_seq - 1;
            log->sync_bytes = 0;
            break;
        }
        log->sync_fds[log->sync_count++] = s->fd;
        log->sync_dir = log->sync_dir || s->head.first_seq > committed(log);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

static void commit_start(struct journal_log *log)
{
    assert(!log->syncing);
    commit_gather(log);
    log->syncing = true;
    exec_timer_stop(log->journal->exec, &log->flush_timer);
    (void)exec_post(log->journal->sync, &log->sync_task);
}

void log_commit_early(struct journal_log *log)
{
    if (!log->syncing && !list_empty(&log->waits) &&
        log->unsynced_bytes - log->stage.len >= COMMIT_EARLY_BYTES)
        commit_start(log);
}

static void flush_timer_start(struct journal_log *log, int64_t delay_us)
{
    struct exec *exec = log->journal->exec;
    if (exec_timer_active(&log->flush_timer))
        return;
    /* Out of memory for a timer's place in the heap: then commit at once. */
    if (exec_timer_start(exec, &log->flush_timer, exec_now_us(exec) + delay_us))
        commit_start(log);
}

/* Nothing is under way and nothing waits: whoever closes the log may go on. */
static void close_check(struct journal_log *log)
{
    bool failed = atomic_load_explicit(&log->err, memory_order_relaxed) != OK;
    if (!log->closing || log->syncing || (!failed && committed(log) < log->next_seq - 1))
        return;
    exec_timer_stop(log->journal->exec, &log->flush_timer);
    waits_finish(log, UINT64_MAX, failed ? ERR_IO : OK);
    (void)pthread_mutex_lock(&log->mutex);
    log->closed = true;
    (void)pthread_cond_broadcast(&log->closed_cond);
    (void)pthread_mutex_unlock(&log->mutex);
}

/* Somebody waits for it, or it has become too much. */
static bool commit_wanted(const struct journal_log *log)
{
    return !list_empty(&log->waits) || log->closing ||
           log->unsynced_bytes >= log->journal->flush_bytes;
}

/* After the stage was written (err). Nothing is under way, unless somebody who was just told has
 * appended much: then that began early, and its end comes back here. */
static void commit_next(struct journal_log *log, int err)
{
    if (log->syncing)
        return;
    if (err == ERR_NO_SPACE && log->closing)
        log_fail(log, "writing the last records on a full disk");
    else if (committed(log) < log->written_seq && commit_wanted(log))
        commit_start(log);
    else if (committed(log) < log->next_seq - 1)
        flush_timer_start(log, err ? RETRY_PERIOD_US : log->journal->flush_us);
}

static void commit_consider(struct journal_log *log)
{
    if (atomic_load_explicit(&log->err, memory_order_relaxed)) {
        waits_finish(log, UINT64_MAX, ERR_IO);
    } else if (!log->syncing) {
        int err = log_stage_write(log);
        waits_finish(log, committed(log), OK);
        commit_next(log, err);
    }
    close_check(log);
}

static void turn_run(struct exec_task *task)
{
    commit_consider(CONTAINER_OF(task, struct journal_log, turn_task));
}

void log_turn_end(struct journal_log *log)
{
    (void)exec_post(log->journal->exec, &log->turn_task);
}

static void flush_timer_run(struct exec_timer *timer)
{
    struct journal_log *log = CONTAINER_OF(timer, struct journal_log, flush_timer);
    if (log->syncing || atomic_load_explicit(&log->err, memory_order_relaxed))
        return;
    if (log_stage_write(log) == ERR_NO_SPACE)
        flush_timer_start(log, RETRY_PERIOD_US);
    else if (committed(log) < log->written_seq)
        commit_start(log);
}

static void close_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, close_task);
    log->closing = true;
    commit_consider(log);
}

/* Files that got no record any more and are committed need no descriptor. */
static void synced_close(struct journal_log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
    LIST_FOR (link, &log->segments) {
        struct segment *s = CONTAINER_OF(link, struct segment, link);
        if (s->fd < 0 || s == log->active)
            continue;
        if (atomic_load_explicit(&s->last_seq, memory_order_relaxed) > committed(log))
            break;
        (void)close(s->fd);
        s->fd = -1;
    }
    LIST_FOR (link, &log->watches) {
        struct journal_watch *watch = CONTAINER_OF(link, struct journal_watch, link);
        (void)exec_post(watch->exec, &watch->task);
    }
    (void)pthread_mutex_unlock(&log->mutex);
}

static void synced_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, synced_task);
    log->syncing = false;
    if (log->sync_err) {
        log_fail(log, "fdatasync");
        return;
    }
    atomic_fetch_add_explicit(&log->commits, 1, memory_order_relaxed);
    log->unsynced_bytes -= log->sync_bytes;
    atomic_store_explicit(&log->committed_seq, log->sync_seq, memory_order_release);
    synced_close(log);
    waits_finish(log, log->sync_seq, OK);
    commit_consider(log);
}

static void notice_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, notice_task);
    char text[DIAG_TEXT_BYTES_MAX];
    (void)pthread_mutex_lock(&log->mutex);
    (void)snprintf(text, sizeof text, "%s", log->notice);
    (void)pthread_mutex_unlock(&log->mutex);
    log_report(log, ERR_EXPIRED, text);
}

void log_commit_init(struct journal_log *log)
{
    list_init(&log->waits);
    exec_task_init(&log->turn_task, turn_run);
    exec_task_init(&log->synced_task, synced_run);
    exec_task_init(&log->notice_task, notice_run);
    exec_task_init(&log->close_task, close_run);
    exec_task_init(&log->sync_task, sync_run);
    exec_timer_init(&log->flush_timer, flush_timer_run);
}
