/* The keeper: stores cursors and deletes segments that nobody needs, in that order.
 *
 * A segment may go when every stored cursor is behind its last record. "Stored" matters: what is
 * only in memory is lost with a kill, and the consumer would come back to a position that is gone.
 * Byte and age limits come before cursors: a consumer that is away for ever must not fill the disk;
 * what it lost is counted and told. The newest segment always stays, because the next epoch and seq
 * are found in it.
 *
 * Nothing runs while nothing moves: setting a cursor, or a new segment, starts the timer once.
 */
#include "base/clock.h"
#include "base/log.h"
#include "journal/journal_priv.h"
#include "journal/state.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CURSOR_VALUE_BYTES 16
#define CURSOR_KEY_PREFIX  "cursor/"

/* ------------------------------------------------------------------------------------- cursors */

static struct journal_cursor *cursor_find(struct journal_log *log, const char *key)
{
    LIST_FOR (link, &log->cursors) {
        struct journal_cursor *c = CONTAINER_OF(link, struct journal_cursor, link);
        if (strcmp(c->key, key) == 0)
            return c;
    }
    return NULL;
}

static int cursor_add(struct journal_log *log, const char *key, struct position at,
                      struct journal_cursor **ret)
{
    struct journal_cursor *c = calloc(1, sizeof *c);
    char *copy = strdup(key);
    if (!c || !copy) {
        free(c);
        free(copy);
        return ERR_NOMEM;
    }
    c->log = log;
    c->key = copy;
    c->at = at;
    c->stored = at;
    (void)pthread_mutex_lock(&log->mutex);
    list_push_back(&log->cursors, &c->link);
    log->cursor_count++;
    (void)pthread_mutex_unlock(&log->mutex);
    *ret = c;
    return OK;
}

static int cursor_load(void *ctx, struct bytes key, struct bytes value)
{
    struct journal_log *log = ctx;
    struct journal_cursor *c;
    char text[STATE_KEY_BYTES_MAX + 1];
    if (value.len != CURSOR_VALUE_BYTES || log->cursor_count == JOURNAL_CURSORS_MAX)
        return OK;
    memcpy(text, key.ptr, key.len);
    text[key.len] = 0;
    return cursor_add(log, text, (struct position){load_le64(value.ptr), load_le64(value.ptr + 8)},
                      &c);
}

int log_cursors_load(struct journal_log *log)
{
    char prefix[STATE_KEY_BYTES_MAX];
    (void)snprintf(prefix, sizeof prefix, CURSOR_KEY_PREFIX "%s/", log->name);
    return state_each(log->journal, bytes_of_text(prefix), cursor_load, log);
}

static int cursor_put(struct journal *j, const char *key, struct position at)
{
    uint8_t value[CURSOR_VALUE_BYTES];
    store_le64(value, at.epoch);
    store_le64(value + 8, at.seq);
    return state_put(j, bytes_of_text(key), bytes_of(value, sizeof value));
}

int journal_cursor_open(struct journal_log *log, const char *name, struct journal_cursor **ret)
{
    char key[STATE_KEY_BYTES_MAX];
    int len = snprintf(key, sizeof key, CURSOR_KEY_PREFIX "%s/%s", log->name, name);
    if (len < 0 || (size_t)len >= sizeof key)
        return ERR_INVALID;
    (void)pthread_mutex_lock(&log->keep_mutex);
    struct journal_cursor *c = cursor_find(log, key);
    int err = c || log->cursor_count < JOURNAL_CURSORS_MAX ? OK : ERR_LIMIT;
    /* Stored at once: it holds the log from now on, also over a kill. */
    if (!c && !err)
        err = cursor_put(log->journal, key, (struct position){0, 0});
    if (!c && !err)
        err = cursor_add(log, key, (struct position){0, 0}, &c);
    if (!err) {
        c->opened = true;
        *ret = c;
    }
    (void)pthread_mutex_unlock(&log->keep_mutex);
    return err;
}

struct position journal_cursor_get(const struct journal_cursor *c)
{
    (void)pthread_mutex_lock(&c->log->mutex);
    struct position at = c->at;
    (void)pthread_mutex_unlock(&c->log->mutex);
    return at;
}

void journal_cursor_set(struct journal_cursor *c, struct position at)
{
    (void)pthread_mutex_lock(&c->log->mutex);
    bool moves = position_is_none(at) || position_compare(at, c->at) > 0;
    if (moves) {
        c->at = at;
        c->dirty = true;
    }
    (void)pthread_mutex_unlock(&c->log->mutex);
    if (moves)
        log_keep_soon(c->log);
}

static int cursor_remove(struct journal_cursor *c)
{
    struct journal_log *log = c->log;
    int err = state_remove(log->journal, bytes_of_text(c->key));
    if (err)
        return err;
    (void)pthread_mutex_lock(&log->mutex);
    list_remove(&c->link);
    log->cursor_count--;
    (void)pthread_mutex_unlock(&log->mutex);
    free(c->key);
    free(c);
    return OK;
}

int journal_cursor_remove(struct journal_cursor *c)
{
    struct journal_log *log = c->log;
    (void)pthread_mutex_lock(&log->keep_mutex);
    int err = cursor_remove(c);
    (void)pthread_mutex_unlock(&log->keep_mutex);
    log_keep_soon(log);
    return err;
}

int journal_cursors_forget(struct journal_log *log)
{
    int err = OK;
    (void)pthread_mutex_lock(&log->keep_mutex);
    LIST_FOR_SAFE (link, after, &log->cursors) {
        struct journal_cursor *c = CONTAINER_OF(link, struct journal_cursor, link);
        if (c->opened)
            continue;
        log_info("journal", "log %s: %s has no reader any more and is forgotten", log->name,
                 c->key);
        err = cursor_remove(c);
        if (err)
            break;
    }
    (void)pthread_mutex_unlock(&log->keep_mutex);
    log_keep_soon(log);
    return err;
}

void log_cursors_free(struct journal_log *log)
{
    struct list *link;
    while ((link = list_pop_front(&log->cursors)) != NULL) {
        struct journal_cursor *c = CONTAINER_OF(link, struct journal_cursor, link);
        free(c->key);
        free(c);
    }
}

/* Stores one cursor if it has moved. keep_mutex is held, so that it stays. */
static int cursor_store(struct journal_cursor *c)
{
    struct journal_log *log = c->log;
    (void)pthread_mutex_lock(&log->mutex);
    bool dirty = c->dirty;
    struct position at = c->at;
    c->dirty = false;
    (void)pthread_mutex_unlock(&log->mutex);
    if (!dirty)
        return OK;
    int err = cursor_put(log->journal, c->key, at);
    (void)pthread_mutex_lock(&log->mutex);
    if (err)
        c->dirty = true;
    else
        c->stored = at;
    (void)pthread_mutex_unlock(&log->mutex);
    return err;
}

int log_cursors_store(struct journal_log *log)
{
    int err = OK;
    (void)pthread_mutex_lock(&log->keep_mutex);
    LIST_FOR (link, &log->cursors) {
        int rc = cursor_store(CONTAINER_OF(link, struct journal_cursor, link));
        err = err ? err : rc;
    }
    (void)pthread_mutex_unlock(&log->keep_mutex);
    return err;
}

/* ---------------------------------------------------------------------------------------- trim */

enum trim_why {
    TRIM_NOT,
    TRIM_READ,  /* behind every cursor */
    TRIM_LIMIT, /* bytes or age */
};

static bool trim_is_read(const struct journal_log *log, struct position last)
{
    if (list_empty(&log->cursors))
        return false;
    LIST_FOR (link, &log->cursors) {
        const struct journal_cursor *c = CONTAINER_OF(link, struct journal_cursor, link);
        if (position_compare(c->stored, last) < 0)
            return false;
    }
    return true;
}

static enum trim_why trim_why(const struct journal_log *log, const struct segment *s)
{
    uint64_t last = atomic_load_explicit(&s->last_seq, memory_order_relaxed);
    bool newest = s->link.next == &log->segments;
    if (newest || last > atomic_load_explicit(&log->committed_seq, memory_order_acquire))
        return TRIM_NOT;
    if (trim_is_read(log, (struct position){s->head.epoch, last}))
        return TRIM_READ;
    const struct journal_log_options *limits = &log->options;
    if (limits->bytes_max && log->file_bytes > limits->bytes_max)
        return TRIM_LIMIT;
    if (limits->age_max_s && (clock_wall_us() - s->last_time_us) / 1000000 > limits->age_max_s)
        return TRIM_LIMIT;
    return TRIM_NOT;
}

/* Takes the oldest segment out of the list if it may go. Under mutex. */
static struct segment *trim_take(struct journal_log *log, enum trim_why *ret_why)
{
    if (log->holds || list_empty(&log->segments))
        return NULL;
    struct segment *s = CONTAINER_OF(log->segments.next, struct segment, link);
    enum trim_why why = trim_why(log, s);
    if (why == TRIM_NOT)
        return NULL;
    list_remove(&s->link);
    log->file_bytes -= s->file_bytes;
    *ret_why = why;
    return s;
}

/* Records of s that some cursor has not read. Under mutex. */
static uint64_t trim_lost(const struct journal_log *log, const struct segment *s)
{
    uint64_t last = atomic_load_explicit(&s->last_seq, memory_order_relaxed);
    uint64_t lost = 0;
    LIST_FOR (link, &log->cursors) {
        const struct journal_cursor *c = CONTAINER_OF(link, struct journal_cursor, link);
        if (position_compare(c->at, (struct position){s->head.epoch, last}) >= 0)
            continue;
        uint64_t from = s->head.first_seq;
        if (c->at.epoch == s->head.epoch && c->at.seq >= from)
            from = c->at.seq + 1;
        lost = last + 1 - from > lost ? last + 1 - from : lost;
    }
    return lost;
}

/* Under mutex. True if it is the first loss since a cursor last caught up: said once. */
static bool trim_account(struct journal_log *log, const struct segment *s)
{
    uint64_t lost = trim_lost(log, s);
    if (lost == 0)
        return false;
    bool first = atomic_fetch_add_explicit(&log->expired, lost, memory_order_relaxed) == 0;
    (void)snprintf(log->notice, sizeof log->notice,
                   "a limit of bytes or age deleted %" PRIu64
                   " records that a consumer had not read; see its status, or raise the limit",
                   lost);
    return first;
}

static void log_trim(struct journal_log *log)
{
    for (;;) {
        enum trim_why why = TRIM_NOT;
        (void)pthread_mutex_lock(&log->mutex);
        struct segment *s = trim_take(log, &why);
        bool tell = s && why == TRIM_LIMIT && trim_account(log, s);
        (void)pthread_mutex_unlock(&log->mutex);
        if (!s)
            return;
        char name[SEGMENT_NAME_BYTES];
        segment_name(s->head.epoch, s->head.first_seq, name);
        if (unlinkat(log->dir_fd, name, 0) != 0)
            log_warn("journal", "log %s: cannot delete %s: %s", log->name, name,
                     err_text(err_from_errno(errno)));
        segment_unref(s);
        if (tell)
            (void)exec_post(log->journal->exec, &log->notice_task);
    }
}

void journal_trim_hold(struct journal_log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
    log->holds++;
    (void)pthread_mutex_unlock(&log->mutex);
}

void journal_trim_release(struct journal_log *log)
{
    (void)pthread_mutex_lock(&log->mutex);
    assert(log->holds > 0);
    log->holds--;
    (void)pthread_mutex_unlock(&log->mutex);
    log_keep_soon(log);
}

/* -------------------------------------------------------------------------------------- keeper */

static void keep_timer_start(struct journal_log *log, int64_t delay_us)
{
    struct exec *keeper = log->journal->keeper;
    /* Out of memory: the next cursor that moves tries again. */
    if (!log->keep_closed && !exec_timer_active(&log->keep_timer))
        (void)exec_timer_start(keeper, &log->keep_timer, exec_now_us(keeper) + delay_us);
}

static void keep_timer_run(struct exec_timer *timer)
{
    struct journal_log *log = CONTAINER_OF(timer, struct journal_log, keep_timer);
    atomic_store_explicit(&log->keep_wanted, false, memory_order_release);
    int err = log_cursors_store(log);
    if (err)
        log_warn("journal", "log %s: cannot store its cursors: %s", log->name, err_text(err));
    log_trim(log);
    if (err)
        keep_timer_start(log, log->journal->keep_us);
    else if (log->options.age_max_s)
        keep_timer_start(log, AGE_PERIOD_US);
}

static void keep_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, keep_task);
    /* The slow round by age gives way. */
    exec_timer_stop(log->journal->keeper, &log->keep_timer);
    keep_timer_start(log, log->journal->keep_us);
}

void log_keep_soon(struct journal_log *log)
{
    if (!atomic_exchange_explicit(&log->keep_wanted, true, memory_order_acq_rel))
        (void)exec_post(log->journal->keeper, &log->keep_task);
}

static void keep_close_run(struct exec_task *task)
{
    struct journal_log *log = CONTAINER_OF(task, struct journal_log, keep_close_task);
    exec_timer_stop(log->journal->keeper, &log->keep_timer);
    log->keep_closed = true;
}

void log_keep_init(struct journal_log *log)
{
    list_init(&log->cursors);
    atomic_init(&log->keep_wanted, false);
    exec_task_init(&log->keep_task, keep_run);
    exec_task_init(&log->keep_close_task, keep_close_run);
    exec_timer_init(&log->keep_timer, keep_timer_run);
}
