/* The segments of a log in memory, and the making of the next file.
 *
 * A new file is not synced here: the group commit that first covers a record of it syncs the file,
 * its head and the folder's entry before anyone is told.
 */
#include "base/clock.h"
#include "journal/journal_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct segment *segment_new(const struct segment_head *head)
{
    struct segment *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    list_init(&s->link);
    atomic_init(&s->refs, 1);
    s->head = *head;
    atomic_init(&s->last_seq, SEQ_OPEN);
    s->data_end = SEGMENT_HEAD_BYTES;
    s->fd = -1;
    return s;
}

void segment_unref(struct segment *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (s->fd >= 0)
        (void)close(s->fd);
    free(s);
}

int log_segment_open(const struct journal_log *log, const struct segment *s)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(s->head.epoch, s->head.first_seq, name);
    int fd = openat(log->dir_fd, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? err_from_errno(errno) : fd;
}

struct position log_position(const struct journal_log *log, uint64_t seq)
{
    if (seq == 0)
        return (struct position){0, 0};
    if (seq <= log->found.seq)
        return (struct position){log->found.epoch, seq};
    return (struct position){log->epoch, seq};
}

/* Reserves the file's space and writes its head. */
static int segment_fill(struct journal_log *log, struct segment *s)
{
    const struct journal_io *io = log->journal->io;
    uint8_t head[SEGMENT_HEAD_BYTES];
    segment_head_encode(&s->head, head);
    int err = io->allocate(io->ctx, s->fd, s->file_bytes);
    struct iovec part = {head, sizeof head};
    return err ? err : journal_io_write_all(io, s->fd, &part, 1, 0);
}

static int segment_create(struct journal_log *log, uint64_t file_bytes, struct segment **ret)
{
    struct segment_head head = {
        .epoch = log->epoch,
        .first_seq = log->next_seq,
        .created_us = clock_wall_us(),
        .committed_seq = atomic_load_explicit(&log->committed_seq, memory_order_relaxed),
        .log = log->hash,
    };
    struct segment *s = segment_new(&head);
    if (!s)
        return ERR_NOMEM;
    char name[SEGMENT_NAME_BYTES];
    segment_name(head.epoch, head.first_seq, name);
    s->file_bytes = file_bytes;
    s->last_time_us = head.created_us;
    s->fd = openat(log->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    int err = s->fd < 0 ? err_from_errno(errno) : segment_fill(log, s);
    if (err) {
        if (s->fd >= 0)
            (void)unlinkat(log->dir_fd, name, 0);
        segment_unref(s);
        return err;
    }
    *ret = s;
    return OK;
}

int log_segment_begin(struct journal_log *log, uint64_t need)
{
    struct segment *s;
    uint64_t bytes = SEGMENT_HEAD_BYTES + need;
    int err = segment_create(
        log, bytes > log->options.segment_bytes ? bytes : log->options.segment_bytes, &s);
    if (err)
        return err;
    (void)pthread_mutex_lock(&log->mutex);
    if (log->active) {
        log->active->last_time_us = s->head.created_us;
        /* Before anything of the next one is committed: a reader that sees this commit sees it. */
        atomic_store_explicit(&log->active->last_seq, log->next_seq - 1, memory_order_release);
    }
    list_push_back(&log->segments, &s->link);
    log->file_bytes += s->file_bytes;
    (void)pthread_mutex_unlock(&log->mutex);
    log->active = s;
    log_keep_soon(log);
    return OK;
}
