/* Appending: a record is accepted when its place in a file is reserved and its bytes are either in
 * the stage or in the file.
 *
 * Payloads are copied into the stage, while their CRC is computed, and one pwritev writes it at the
 * end of the turn: beside a system call the copy saves many small pieces in the page cache, which
 * lie across its pages' borders and cost more at each write and again at the sync. A very large
 * payload is written from where it lies, together with whatever is staged before it.
 */
#include "journal/journal_priv.h"

#include <assert.h>

/* The stage's first byte goes here. */
static uint64_t stage_offset(const struct journal_log *log)
{
    return log->active->data_end - log->stage.len;
}

/* Makes sure that the active segment has room for `need` bytes. */
static int log_reserve(struct journal_log *log, uint64_t need)
{
    if (log->active && log->active->data_end + need <= log->active->file_bytes)
        return OK;
    int err = log->stage.len ? log_stage_write(log) : OK;
    return err ? err : log_segment_begin(log, need);
}

static int append_staged(struct journal_log *log, const struct journal_record *record,
                         const struct segment_record *r, uint64_t need)
{
    if (log->stage.len + need > STAGE_BYTES_MAX) {
        int err = log_stage_write(log);
        if (err)
            return err;
    }
    uint8_t *out = buf_extend(&log->stage, need);
    if (!out) {
        log->stage.failed = false; /* what was accepted before is still there and still to come */
        return ERR_NOMEM;
    }
    segment_record_write(&log->active->head, r, record->parts, record->part_count, out);
    return OK;
}

static int append_direct(struct journal_log *log, const struct journal_record *record,
                         const struct segment_record *r, uint64_t need)
{
    static const uint8_t padding[8];
    uint8_t head[SEGMENT_RECORD_HEAD_BYTES];
    segment_record_encode(&log->active->head, r, record->parts, record->part_count, head);
    struct iovec iov[JOURNAL_PARTS_MAX + 3];
    int count = 0;
    uint64_t bytes = SEGMENT_RECORD_HEAD_BYTES;
    if (log->stage.len)
        iov[count++] = (struct iovec){log->stage.ptr, log->stage.len};
    iov[count++] = (struct iovec){head, SEGMENT_RECORD_HEAD_BYTES};
    for (uint32_t i = 0; i < record->part_count; i++) {
        if (!record->parts[i].len)
            continue;
        /* iovec knows no const; pwritev only reads. */
        iov[count++] =
            (struct iovec){(void *)(uintptr_t)record->parts[i].ptr, record->parts[i].len};
        bytes += record->parts[i].len;
    }
    if (need > bytes)
        iov[count++] = (struct iovec){(void *)(uintptr_t)padding, need - bytes};
    const struct journal_io *io = log->journal->io;
    int err = journal_io_write_all(io, log->active->fd, iov, count, stage_offset(log));
    if (err == ERR_NO_SPACE)
        return err;
    if (err) {
        log_fail(log, "writing");
        return ERR_IO;
    }
    buf_reset(&log->stage);
    return OK;
}

static int append_record(struct journal_log *log, const struct journal_record *record)
{
    uint64_t payload_bytes = segment_parts_bytes(record->parts, record->part_count);
    if (payload_bytes > JOURNAL_RECORD_BYTES_MAX)
        return ERR_LIMIT;
    uint64_t need = segment_record_bytes(payload_bytes);
    int err = log_reserve(log, need);
    if (err)
        return err;
    struct segment_record r = {
        .seq = log->next_seq, .time_us = record->time_us, .codec = record->codec};
    err = payload_bytes <= STAGE_COPY_BYTES_MAX ? append_staged(log, record, &r, need)
                                                : append_direct(log, record, &r, need);
    if (err)
        return err;
    log->active->data_end += need;
    log->next_seq++;
    if (!log->stage.len)
        log->written_seq = log->next_seq - 1;
    log->unsynced_bytes += need;
    atomic_fetch_add_explicit(&log->records, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->bytes, payload_bytes, memory_order_relaxed);
    log_commit_early(log);
    return OK;
}

static void append_refused(struct journal_log *log, int err)
{
    if (err != ERR_NO_SPACE)
        return;
    atomic_fetch_add_explicit(&log->refused, 1, memory_order_relaxed);
    if (log->no_space)
        return;
    log->no_space = true;
    log_report(log, ERR_NO_SPACE,
               "the disk is full: no record is taken until there is space again");
}

int journal_append(struct journal_log *log, const struct journal_record *record,
                   struct journal_wait *wait, struct position *ret_at)
{
    assert(exec_is_current(log->journal->exec));
    assert(record->part_count <= JOURNAL_PARTS_MAX);
    int err = atomic_load_explicit(&log->err, memory_order_relaxed);
    if (!err)
        err = append_record(log, record);
    if (err) {
        append_refused(log, err);
        return err;
    }
    if (log->no_space) {
        log->no_space = false;
        log_report(log, OK, "there is space on the disk again");
    }
    uint64_t seq = log->next_seq - 1;
    if (wait) {
        wait->seq = seq;
        list_push_back(&log->waits, &wait->link);
    }
    log_turn_end(log);
    *ret_at = (struct position){log->epoch, seq};
    return OK;
}

int journal_commit_wait(struct journal_log *log, struct journal_wait *wait)
{
    assert(exec_is_current(log->journal->exec));
    int err = atomic_load_explicit(&log->err, memory_order_relaxed);
    if (err)
        return err;
    wait->seq = log->next_seq - 1;
    list_push_back(&log->waits, &wait->link);
    log_turn_end(log);
    return OK;
}

struct position journal_appended(const struct journal_log *log)
{
    return log_position(log, log->next_seq - 1);
}
