/* Opening and closing the journal and its logs, and what they tell of themselves.
 *
 * A log is closed in steps, because three threads work for it: the journal thread ends what is
 * under way and says so, the keeper stops its timer, the threads end, and then the caller's thread
 * stores the cursors and shortens the active file to what is in it.
 */
#include "base/log.h"
#include "base/str.h"
#include "journal/journal_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------- journal */

static char *path_join(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path)
        (void)snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static int folder_make(const char *path, struct diag *diag)
{
    if (mkdir(path, 0750) == 0 || errno == EEXIST)
        return OK;
    int err = err_from_errno(errno);
    return diag_set(diag, err, 0, 0, "cannot make the folder %s: %s", path, err_text(err));
}

/* One node a folder: two would each take the other's records for its own. */
static int journal_lock(struct journal *j, struct diag *diag)
{
    char *path = path_join(j->dir, "lock");
    if (!path)
        return ERR_NOMEM;
    j->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    int err = j->lock_fd < 0 ? err_from_errno(errno) : OK;
    if (!err && flock(j->lock_fd, LOCK_EX | LOCK_NB) != 0)
        err = ERR_IN_USE;
    if (err == ERR_IN_USE)
        (void)diag_set(diag, err, 0, 0, "another node is running with the data in %s", j->dir);
    else if (err)
        (void)diag_set(diag, err, 0, 0, "cannot open %s: %s", path, err_text(err));
    free(path);
    return err;
}

static int journal_open_state(struct journal *j, uint64_t bytes_max, struct diag *diag)
{
    char *path = path_join(j->dir, "state");
    if (!path)
        return ERR_NOMEM;
    int err = state_open(path, bytes_max ? bytes_max : STATE_BYTES_DEFAULT, &j->state, diag);
    free(path);
    return err;
}

static int journal_start_threads(struct journal *j)
{
    int err = exec_thread_new("journal", 0, &j->exec);
    if (!err)
        err = exec_thread_new("journal-sync", 0, &j->sync);
    if (!err)
        err = exec_thread_new("journal-keep", 0, &j->keeper);
    return err;
}

int journal_open(const struct journal_options *options, struct journal **ret, struct diag *diag)
{
    struct journal *j = calloc(1, sizeof *j);
    if (!j)
        return ERR_NOMEM;
    j->lock_fd = -1;
    list_init(&j->logs);
    (void)pthread_mutex_init(&j->mutex, NULL);
    j->flush_us = (options->flush_ms ? options->flush_ms : FLUSH_MS_DEFAULT) * 1000;
    j->keep_us = (options->keep_ms ? options->keep_ms : KEEP_MS_DEFAULT) * 1000;
    j->flush_bytes = options->flush_bytes ? options->flush_bytes : FLUSH_BYTES_DEFAULT;
    j->io = options->io ? options->io : &journal_io_kernel;
    j->dir = strdup(options->dir);
    int err = j->dir ? folder_make(j->dir, diag) : ERR_NOMEM;
    if (!err)
        err = journal_lock(j, diag);
    if (!err)
        err = journal_open_state(j, options->state_bytes_max, diag);
    if (!err)
        err = journal_start_threads(j);
    if (err) {
        journal_close(j);
        return err;
    }
    *ret = j;
    return OK;
}

struct exec *journal_exec(const struct journal *j)
{
    return j->exec;
}

struct exec *journal_keeper(const struct journal *j)
{
    return j->keeper;
}

/* ---------------------------------------------------------------------------------------- close */

/* The active file without its spare room. Nothing else uses it any more. */
static void log_shorten(struct journal_log *log)
{
    struct segment *s = log->active;
    if (!s || s->fd < 0 || atomic_load_explicit(&log->err, memory_order_relaxed))
        return;
    if (ftruncate(s->fd, (off_t)s->data_end) != 0)
        log_warn("journal", "log %s: cannot shorten its last file: %s", log->name,
                 err_text(err_from_errno(errno)));
}

static void log_free(struct journal_log *log)
{
    struct list *link;
    while ((link = list_pop_front(&log->segments)) != NULL)
        segment_unref(CONTAINER_OF(link, struct segment, link));
    log_cursors_free(log);
    buf_fini(&log->stage);
    if (log->dir_fd >= 0)
        (void)close(log->dir_fd);
    (void)pthread_cond_destroy(&log->closed_cond);
    (void)pthread_mutex_destroy(&log->keep_mutex);
    (void)pthread_mutex_destroy(&log->mutex);
    free(log->dir);
    free(log->name);
    free(log);
}

/* Waits until everything appended is committed, or never will be. */
static void log_quiesce(struct journal_log *log)
{
    (void)exec_post(log->journal->exec, &log->close_task);
    (void)pthread_mutex_lock(&log->mutex);
    while (!log->closed)
        (void)pthread_cond_wait(&log->closed_cond, &log->mutex);
    (void)pthread_mutex_unlock(&log->mutex);
    (void)exec_post(log->journal->keeper, &log->keep_close_task);
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    LIST_FOR (link, &j->logs)
        log_quiesce(CONTAINER_OF(link, struct journal_log, link));
    exec_thread_free(j->exec);
    exec_thread_free(j->sync);
    exec_thread_free(j->keeper);
    struct list *link;
    while ((link = list_pop_front(&j->logs)) != NULL) {
        struct journal_log *log = CONTAINER_OF(link, struct journal_log, link);
        int err = log_cursors_store(log);
        if (err)
            log_warn("journal", "log %s: cannot store its cursors: %s", log->name, err_text(err));
        log_shorten(log);
        log_free(log);
    }
    state_close(j->state);
    if (j->lock_fd >= 0)
        (void)close(j->lock_fd);
    (void)pthread_mutex_destroy(&j->mutex);
    free(j->dir);
    free(j);
}

/* ------------------------------------------------------------------------------------------ log */

static bool log_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    const char *allowed = "abcdefghijklmnopqrstuvwxyz0123456789_-";
    return len > 0 && len <= JOURNAL_LOG_NAME_BYTES_MAX && strspn(name, allowed) == len;
}

static void log_limits(struct journal_log_options *o)
{
    if (!o->segment_bytes)
        o->segment_bytes = SEGMENT_BYTES_DEFAULT;
    if (o->segment_bytes < SEGMENT_BYTES_MIN)
        o->segment_bytes = SEGMENT_BYTES_MIN;
}

static int log_new(struct journal *j, const char *name, const struct journal_log_options *options,
                   struct journal_log **ret)
{
    struct journal_log *log = calloc(1, sizeof *log);
    if (!log)
        return ERR_NOMEM;
    log->journal = j;
    log->dir_fd = -1;
    list_init(&log->link);
    list_init(&log->segments);
    list_init(&log->watches);
    (void)pthread_mutex_init(&log->mutex, NULL);
    (void)pthread_mutex_init(&log->keep_mutex, NULL);
    (void)pthread_cond_init(&log->closed_cond, NULL);
    log_commit_init(log);
    log_keep_init(log);
    if (options)
        log->options = *options;
    log_limits(&log->options);
    log->hash = segment_log_hash(name);
    log->name = strdup(name);
    log->dir = path_join(j->dir, name);
    if (!log->name || !log->dir) {
        log_free(log);
        return ERR_NOMEM;
    }
    *ret = log;
    return OK;
}

static int log_open_folder(struct journal_log *log, struct diag *diag)
{
    int err = folder_make(log->dir, diag);
    if (err)
        return err;
    log->dir_fd = open(log->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log->dir_fd >= 0)
        return OK;
    err = err_from_errno(errno);
    return diag_set(diag, err, 0, 0, "cannot open %s: %s", log->dir, err_text(err));
}

static bool log_is_open(struct journal *j, const char *name)
{
    bool open = false;
    (void)pthread_mutex_lock(&j->mutex);
    LIST_FOR (link, &j->logs)
        open = open || strcmp(CONTAINER_OF(link, struct journal_log, link)->name, name) == 0;
    (void)pthread_mutex_unlock(&j->mutex);
    return open;
}

int journal_log_open(struct journal *j, const char *name, const struct journal_log_options *options,
                     struct journal_log **ret, struct diag *diag)
{
    if (diag)
        diag->text[0] = 0;
    if (!log_name_is_valid(name))
        return diag_set(diag, ERR_INVALID, 0, 0, "'%s' cannot be a log's name: use a-z 0-9 _ -",
                        name);
    if (log_is_open(j, name))
        return diag_set(diag, ERR_EXISTS, 0, 0, "the log %s is open already", name);
    struct journal_log *log;
    int err = log_new(j, name, options, &log);
    if (err)
        return err;
    err = log_open_folder(log, diag);
    if (!err)
        err = log_recover(log, diag);
    if (!err)
        err = log_cursors_load(log);
    if (err) {
        log_free(log);
        return err;
    }
    (void)pthread_mutex_lock(&j->mutex);
    list_push_back(&j->logs, &log->link);
    (void)pthread_mutex_unlock(&j->mutex);
    log_keep_soon(log);
    *ret = log;
    return OK;
}

struct position journal_committed(const struct journal_log *log)
{
    return log_position(log, atomic_load_explicit(&log->committed_seq, memory_order_acquire));
}

uint64_t journal_epoch(const struct journal_log *log)
{
    return log->epoch;
}

/* ------------------------------------------------------------------------------ watch and tell */

void journal_watch_add(struct journal_log *log, struct journal_watch *watch)
{
    (void)pthread_mutex_lock(&log->mutex);
    list_push_back(&log->watches, &watch->link);
    (void)pthread_mutex_unlock(&log->mutex);
}

void journal_watch_remove(struct journal_log *log, struct journal_watch *watch)
{
    (void)pthread_mutex_lock(&log->mutex);
    list_remove(&watch->link);
    (void)pthread_mutex_unlock(&log->mutex);
}

static uint64_t count_of(const atomic_ullong *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void journal_log_stats(const struct journal_log *log, struct journal_log_stats *ret)
{
    /* The lock is not part of what the log is. */
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&log->mutex;
    *ret = (struct journal_log_stats){
        .records = count_of(&log->records),
        .bytes = count_of(&log->bytes),
        .commits = count_of(&log->commits),
        .cut_bytes = log->cut_bytes,
        .cut_segments = log->cut_segments,
        .expired = count_of(&log->expired),
        .refused = count_of(&log->refused),
        .committed_seq = count_of(&log->committed_seq),
        .err = atomic_load_explicit(&log->err, memory_order_relaxed),
    };
    (void)pthread_mutex_lock(mutex);
    ret->file_bytes = log->file_bytes;
    LIST_FOR (link, &log->segments)
        ret->segments++;
    if (!list_empty(&log->segments))
        ret->oldest_seq = CONTAINER_OF(log->segments.next, struct segment, link)->head.first_seq;
    (void)pthread_mutex_unlock(mutex);
    if (!ret->err && atomic_load_explicit(&log->no_space, memory_order_relaxed))
        ret->err = ERR_NO_SPACE;
}

/* --------------------------------------------------------------------------------------- backup */

struct segment_list {
    struct segment **all;
    size_t count;
};

static int segments_take(struct journal_log *log, struct segment_list *ret)
{
    struct segment_list list = {NULL, 0};
    size_t count = 0;
    (void)pthread_mutex_lock(&log->mutex);
    LIST_FOR (link, &log->segments)
        count++;
    list.all = calloc(count ? count : 1, sizeof(struct segment *));
    LIST_FOR (link, &log->segments) {
        if (!list.all)
            break;
        list.all[list.count] = CONTAINER_OF(link, struct segment, link);
        atomic_fetch_add_explicit(&list.all[list.count++]->refs, 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&log->mutex);
    *ret = list;
    return list.all ? OK : ERR_NOMEM;
}

int journal_segment_each(struct journal_log *log,
                         int (*fn)(void *ctx, const char *path, uint64_t bytes), void *ctx)
{
    struct segment_list list;
    int err = segments_take(log, &list);
    for (size_t i = 0; i < list.count; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(list.all[i]->head.epoch, list.all[i]->head.first_seq, name);
        char *path = err ? NULL : path_join(log->dir, name);
        if (!err)
            err = path ? fn(ctx, path, list.all[i]->file_bytes) : ERR_NOMEM;
        free(path);
        segment_unref(list.all[i]);
    }
    free(list.all);
    return err;
}
