/* Reading a log: committed records, in order, by pread.
 *
 * Not mmap: a disk error would be a signal instead of an error, and the pages would count as the
 * process's memory. Between the page cache and the reader's window lies one copy.
 *
 * A reader keeps a reference to its segment, so that trimming deletes the file's name but not what
 * is being read. Read-ahead holds only what was committed when it was read: each time the reader
 * looks up how far the log is now, it forgets its window.
 */
#include "journal/journal_priv.h"

#include <stdlib.h>
#include <unistd.h>

struct journal_reader {
    struct journal_log *log;
    struct position after; /* the last one given, or lost */
    uint64_t limit_seq;    /* committed when last looked */
    struct segment *segment;
    struct segment_walk walk;
    bool walking;
};

int journal_reader_new(struct journal_log *log, struct position after, struct journal_reader **ret)
{
    struct journal_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->log = log;
    r->after = after;
    *ret = r;
    return OK;
}

/* Leaves the segment. */
static void reader_leave(struct journal_reader *r)
{
    if (r->walking) {
        segment_walk_fini(&r->walk);
        (void)close(r->walk.fd);
        r->walking = false;
    }
    segment_unref(r->segment);
    r->segment = NULL;
}

void journal_reader_free(struct journal_reader *r)
{
    if (!r)
        return;
    reader_leave(r);
    free(r);
}

void journal_reader_seek(struct journal_reader *r, struct position after)
{
    reader_leave(r);
    r->after = after;
}

static uint64_t segment_last(const struct segment *s)
{
    return atomic_load_explicit(&s->last_seq, memory_order_acquire);
}

/* Takes the oldest segment that holds something behind r->after. ERR_AGAIN if there is none. */
static int reader_find(struct journal_reader *r)
{
    struct journal_log *log = r->log;
    int err = ERR_AGAIN;
    (void)pthread_mutex_lock(&log->mutex);
    LIST_FOR (link, &log->segments) {
        struct segment *s = CONTAINER_OF(link, struct segment, link);
        uint64_t last = segment_last(s);
        bool empty = last + 1 == s->head.first_seq;
        if (empty || position_compare((struct position){s->head.epoch, last}, r->after) <= 0)
            continue;
        atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
        r->segment = s;
        err = OK;
        break;
    }
    (void)pthread_mutex_unlock(&log->mutex);
    return err;
}

/* What stood between r->after and the segment that was found is gone. */
static int reader_gap(struct journal_reader *r, struct journal_view *ret)
{
    const struct segment_head *head = &r->segment->head;
    uint64_t expected = r->after.seq + 1;
    if (position_is_none(r->after) || head->first_seq <= expected)
        return OK;
    /* Named by the segment's own epoch: smaller than its first record, larger than all before. */
    r->after = (struct position){head->epoch, head->first_seq - 1};
    ret->at = r->after;
    return ERR_EXPIRED;
}

/* The seq that comes next in the present segment. */
static uint64_t reader_next_seq(const struct journal_reader *r)
{
    const struct segment_head *head = &r->segment->head;
    if (r->after.epoch != head->epoch || r->after.seq < head->first_seq)
        return head->first_seq;
    return r->after.seq + 1;
}

/* Sees how far the log is committed; what was read ahead may have been written since. */
static void reader_look(struct journal_reader *r)
{
    uint64_t committed = atomic_load_explicit(&r->log->committed_seq, memory_order_acquire);
    if (committed != r->limit_seq && r->walking)
        segment_walk_forget(&r->walk);
    r->limit_seq = committed;
}

/* Damage: everything up to the end of the segment, or to what is committed, is lost. */
static int reader_damaged(struct journal_reader *r, struct journal_view *ret)
{
    uint64_t last = segment_last(r->segment);
    if (last > r->limit_seq)
        last = r->limit_seq;
    r->after = (struct position){r->segment->head.epoch, last};
    ret->at = r->after;
    return ERR_CHECKSUM;
}

/* The next record of the present segment; passes over those that are not behind r->after. */
static int reader_step(struct journal_reader *r, struct journal_view *ret)
{
    struct segment_record record;
    const struct segment_head *head = &r->segment->head;
    for (;;) {
        int err = segment_walk_next(&r->walk, &record);
        if (err == ERR_IO || err == ERR_NOMEM)
            return err;
        struct position at = {head->epoch, record.seq};
        if (err || record.seq > r->limit_seq) {
            err = reader_damaged(r, ret);
            reader_leave(r);
            return err;
        }
        if (position_compare(at, r->after) <= 0)
            continue;
        r->after = at;
        *ret = (struct journal_view){at, record.codec, record.time_us, record.payload};
        return OK;
    }
}

/* Goes to the segment that holds what comes next. */
static int reader_enter(struct journal_reader *r, struct journal_view *ret)
{
    int err = reader_find(r);
    if (err)
        return err;
    reader_look(r);
    if (r->segment->head.first_seq > r->limit_seq) {
        reader_leave(r);
        return ERR_AGAIN;
    }
    err = reader_gap(r, ret);
    if (err) {
        reader_leave(r);
        return err;
    }
    int fd = log_segment_open(r->log, r->segment);
    if (fd == ERR_NOT_FOUND) {
        /* Deleted since it was found in the list. */
        (void)reader_damaged(r, ret);
        reader_leave(r);
        return ERR_EXPIRED;
    }
    if (fd < 0) {
        reader_leave(r);
        return fd;
    }
    err = segment_walk_init(&r->walk, fd);
    r->walking = true;
    if (err && err != ERR_IO)
        err = reader_damaged(r, ret);
    if (err)
        reader_leave(r);
    return err;
}

int journal_reader_next(struct journal_reader *r, struct journal_view *ret)
{
    if (r->segment && reader_next_seq(r) > segment_last(r->segment))
        reader_leave(r);
    if (!r->segment) {
        int err = reader_enter(r, ret);
        if (err)
            return err;
    }
    if (reader_next_seq(r) > r->limit_seq) {
        reader_look(r);
        if (reader_next_seq(r) > segment_last(r->segment)) {
            reader_leave(r);
            int err = reader_enter(r, ret);
            if (err)
                return err;
        }
        if (reader_next_seq(r) > r->limit_seq)
            return ERR_AGAIN;
    }
    return reader_step(r, ret);
}
