/* Opening a log: what is there, what was cut off, and the next epoch.
 *
 * Each segment's head says how far the log was committed when the segment was made. So only what
 * lies behind the newest head's mark can be a write that never ended: it is read record by record,
 * and cut at the first that is bad. Whole segments behind the cut held no committed record either;
 * they are set aside as NAME.cut, not deleted, because an operator may want to look, and so are the
 * bytes that are cut off (NAME.OFFSET.cut): a disk may have damaged what had been committed. A bad
 * record before the mark is damage for sure: it stays, and readers report it.
 *
 * A kill leaves records in the page cache that no fdatasync covered yet. They are found here and
 * are made durable before anyone may call them committed.
 */
#include "base/clock.h"
#include "base/log.h"
#include "journal/journal_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int recover_fail(const struct journal_log *log, struct diag *diag, int err, const char *name,
                        const char *what)
{
    return diag_set(diag, err, 0, 0, "%s/%s: %s: %s", log->dir, name, what, err_text(err));
}

/* -------------------------------------------------------------------------------- the file list */

static int segment_compare(const void *a, const void *b)
{
    const struct segment *x = *(struct segment *const *)a;
    const struct segment *y = *(struct segment *const *)b;
    return position_compare((struct position){x->head.epoch, x->head.first_seq},
                            (struct position){y->head.epoch, y->head.first_seq});
}

/* The files of the folder by name; their heads are read later. */
static int files_list(struct journal_log *log, struct segment ***ret, size_t *ret_count)
{
    struct segment **all = NULL;
    size_t count = 0;
    int err = OK;
    DIR *dir = opendir(log->dir);
    if (!dir)
        return err_from_errno(errno);
    for (struct dirent *e = readdir(dir); e && !err; e = readdir(dir)) {
        struct segment_head head = {0};
        if (!segment_name_parse(e->d_name, &head.epoch, &head.first_seq))
            continue;
        struct segment **more = realloc(all, (count + 1) * sizeof(struct segment *));
        struct segment *s = more ? segment_new(&head) : NULL;
        all = more ? more : all;
        if (s)
            all[count++] = s;
        else
            err = ERR_NOMEM;
    }
    (void)closedir(dir);
    if (!err && count)
        qsort(all, count, sizeof(struct segment *), segment_compare);
    *ret = all;
    *ret_count = count;
    return err;
}

/* Takes a file out of the log but leaves it in the folder. */
static int segment_set_aside(struct journal_log *log, const struct segment *s)
{
    char name[SEGMENT_NAME_BYTES];
    char aside[SEGMENT_NAME_BYTES + 4];
    segment_name(s->head.epoch, s->head.first_seq, name);
    (void)snprintf(aside, sizeof aside, "%s.cut", name);
    if (renameat(log->dir_fd, name, log->dir_fd, aside) != 0)
        return err_from_errno(errno);
    log->cut_segments++;
    return OK;
}

static int segment_delete(struct journal_log *log, const struct segment *s)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(s->head.epoch, s->head.first_seq, name);
    return unlinkat(log->dir_fd, name, 0) == 0 ? OK : err_from_errno(errno);
}

/* Reads the file's head into s. ERR_MALFORMED if it is not the head of that file of this log. */
static int segment_load(struct journal_log *log, struct segment *s, struct segment_walk *w)
{
    int fd = log_segment_open(log, s);
    if (fd < 0)
        return fd;
    int err = segment_walk_init(w, fd);
    if (!err && (w->head.log != log->hash || w->head.epoch != s->head.epoch ||
                 w->head.first_seq != s->head.first_seq))
        err = ERR_MALFORMED;
    if (err) {
        (void)close(fd);
        return err;
    }
    s->head = w->head;
    s->file_bytes = w->file_bytes;
    s->last_time_us = s->head.created_us;
    return OK;
}

static void walk_close(struct segment_walk *w)
{
    segment_walk_fini(w);
    (void)close(w->fd);
}

/* -------------------------------------------------------------------------------------- the cut */

struct scan {
    uint64_t next_seq; /* the one after the last good record */
    uint64_t end;      /* where it ends in its file */
    int64_t last_time_us;
    bool clean; /* zeros follow */
};

static int segment_scan(struct segment_walk *w, struct scan *ret)
{
    struct scan scan = {w->head.first_seq, SEGMENT_HEAD_BYTES, w->head.created_us, false};
    struct segment_record r;
    int err;
    while ((err = segment_walk_next(w, &r)) == OK && r.seq == scan.next_seq) {
        scan.next_seq++;
        scan.end = w->offset;
        scan.last_time_us = r.time_us;
    }
    if (err == ERR_IO || err == ERR_NOMEM)
        return err;
    scan.clean = err == ERR_NOT_FOUND;
    *ret = scan;
    return OK;
}

static int segment_open_rw(const struct journal_log *log, const struct segment *s)
{
    char name[SEGMENT_NAME_BYTES];
    segment_name(s->head.epoch, s->head.first_seq, name);
    int fd = openat(log->dir_fd, name, O_RDWR | O_CLOEXEC);
    return fd < 0 ? err_from_errno(errno) : fd;
}

/* Makes durable what a kill left in the page cache. */
static int segment_sync(struct journal_log *log, const struct segment *s)
{
    int fd = segment_open_rw(log, s);
    if (fd < 0)
        return fd;
    int err = log->journal->io->sync(log->journal->io->ctx, fd);
    (void)close(fd);
    return err;
}

/* Copies what is about to be cut off into a file of its own. */
static int tail_copy(struct journal_log *log, const struct segment *s, int from, uint64_t offset,
                     uint64_t bytes)
{
    uint8_t block[4096];
    char name[SEGMENT_NAME_BYTES];
    char aside[SEGMENT_NAME_BYTES + 32];
    segment_name(s->head.epoch, s->head.first_seq, name);
    (void)snprintf(aside, sizeof aside, "%s.%" PRIu64 ".cut", name, offset);
    int to = openat(log->dir_fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (to < 0)
        return err_from_errno(errno);
    int err = OK;
    for (uint64_t at = 0; at < bytes && !err;) {
        size_t want = bytes - at < sizeof block ? (size_t)(bytes - at) : sizeof block;
        ssize_t got = pread(from, block, want, (off_t)(offset + at));
        if (got <= 0 || write(to, block, (size_t)got) != got)
            err = got < 0 || errno ? err_from_errno(errno) : ERR_IO;
        else
            at += (uint64_t)got;
    }
    (void)close(to);
    if (err)
        (void)unlinkat(log->dir_fd, aside, 0);
    return err;
}

/* A copy is worth having, but a full disk must not keep the node from starting. */
static void tail_set_aside(struct journal_log *log, const struct segment *s, int fd, uint64_t from,
                           uint64_t bytes)
{
    errno = 0;
    int err = bytes ? tail_copy(log, s, fd, from, bytes) : OK;
    if (err)
        log_warn("journal", "log %s: %llu bytes are cut off without keeping a copy: %s", log->name,
                 (unsigned long long)bytes, err_text(err));
}

/* Ends s behind its last good record and makes what stays durable. */
static int segment_cut(struct journal_log *log, struct segment *s, const struct scan *scan)
{
    uint64_t dirty;
    int fd = segment_open_rw(log, s);
    if (fd < 0)
        return fd;
    int err = segment_dirty_bytes(fd, scan->end, &dirty);
    if (!err)
        tail_set_aside(log, s, fd, scan->end, dirty);
    if (!err && ftruncate(fd, (off_t)scan->end) != 0)
        err = err_from_errno(errno);
    if (!err)
        err = log->journal->io->sync(log->journal->io->ctx, fd);
    (void)close(fd);
    if (err)
        return err;
    log->cut_bytes += dirty;
    s->file_bytes = scan->end;
    s->last_time_us = scan->last_time_us;
    atomic_store_explicit(&s->last_seq, scan->next_seq - 1, memory_order_relaxed);
    return OK;
}

/* Reads s if it may hold uncommitted records. *ret_ends: the log ends in it. */
static int segment_recover(struct journal_log *log, struct segment *s, const struct segment *next,
                           uint64_t committed, bool *ret_ends)
{
    uint64_t last = next ? next->head.first_seq - 1 : SEQ_OPEN;
    atomic_store_explicit(&s->last_seq, last, memory_order_relaxed);
    *ret_ends = false;
    if (next && last <= committed)
        return OK;
    struct segment_walk w;
    struct scan scan = {0};
    int err = segment_load(log, s, &w);
    if (err)
        return err;
    err = segment_scan(&w, &scan);
    walk_close(&w);
    if (err)
        return err;
    /* What is bad was committed once: damage, which cutting would only make worse. */
    if (next && scan.next_seq <= committed)
        return OK;
    /* Its successor begins where it should: nothing to cut, but perhaps never synced. */
    if (next && scan.next_seq > last)
        return segment_sync(log, s);
    *ret_ends = true;
    return segment_cut(log, s, &scan);
}

/* ------------------------------------------------------------------------------------- the whole
 */

/* A file whose head is bad was being made when the power went, or is damaged. */
static int heads_load(struct journal_log *log, struct segment **all, size_t count,
                      struct diag *diag)
{
    for (size_t i = 0; i < count; i++) {
        struct segment_walk w;
        char name[SEGMENT_NAME_BYTES];
        segment_name(all[i]->head.epoch, all[i]->head.first_seq, name);
        int err = segment_load(log, all[i], &w);
        if (!err) {
            walk_close(&w);
            continue;
        }
        if (err == ERR_VERSION)
            return recover_fail(
                log, diag, err, name,
                "written by a newer Lotline; start that one, or move the file away");
        if (err != ERR_SHORT && err != ERR_MALFORMED && err != ERR_CHECKSUM)
            return recover_fail(log, diag, err, name, "cannot read it");
        err = segment_set_aside(log, all[i]);
        if (err)
            return recover_fail(log, diag, err, name, "cannot rename it to .cut");
        segment_unref(all[i]);
        all[i] = NULL;
    }
    return OK;
}

static size_t compact(struct segment **all, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (all[i])
            all[kept++] = all[i];
    }
    return kept;
}

static void segment_keep(struct journal_log *log, struct segment *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    list_push_back(&log->segments, &s->link);
    log->file_bytes += s->file_bytes;
}

static int segments_recover(struct journal_log *log, struct segment **all, size_t count,
                            struct diag *diag)
{
    uint64_t committed = count ? all[count - 1]->head.committed_seq : 0;
    bool ends = false;
    for (size_t i = 0; i < count; i++) {
        char name[SEGMENT_NAME_BYTES];
        segment_name(all[i]->head.epoch, all[i]->head.first_seq, name);
        const struct segment *next = i + 1 < count ? all[i + 1] : NULL;
        bool aside = ends;
        int err = aside ? segment_set_aside(log, all[i])
                        : segment_recover(log, all[i], next, committed, &ends);
        if (err)
            return recover_fail(log, diag, err, name, "cannot recover it");
        if (!aside)
            segment_keep(log, all[i]);
    }
    return OK;
}

/* Files without a record go, but the newest: epoch and seq go on from it. */
static int empty_delete(struct journal_log *log)
{
    LIST_FOR_SAFE (link, after, &log->segments) {
        struct segment *s = CONTAINER_OF(link, struct segment, link);
        uint64_t last = atomic_load_explicit(&s->last_seq, memory_order_relaxed);
        if (last >= s->head.first_seq || after == &log->segments)
            continue;
        int err = segment_delete(log, s);
        if (err)
            return err;
        list_remove(&s->link);
        log->file_bytes -= s->file_bytes;
        segment_unref(s);
    }
    return OK;
}

static bool is_cut(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".cut") == 0;
}

/* Power cuts come again and again: of what was set aside only the newest is kept. Names sort by
 * epoch and seq, so the oldest is the smallest. */
static int cuts_trim(struct journal_log *log)
{
    int err = OK;
    for (size_t count = CUT_FILES_MAX + 1; count > CUT_FILES_MAX && !err;) {
        char oldest[NAME_MAX + 1] = "";
        DIR *dir = opendir(log->dir);
        if (!dir)
            return err_from_errno(errno);
        count = 0;
        for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
            if (!is_cut(e->d_name))
                continue;
            if (count++ == 0 || strcmp(e->d_name, oldest) < 0)
                (void)snprintf(oldest, sizeof oldest, "%s", e->d_name);
        }
        (void)closedir(dir);
        if (count > CUT_FILES_MAX && unlinkat(log->dir_fd, oldest, 0) != 0)
            err = err_from_errno(errno);
    }
    return err;
}

/* Where the log goes on. */
static void recover_ends(struct journal_log *log, uint64_t epoch_max)
{
    uint64_t wall_ms = (uint64_t)clock_wall_us() / 1000;
    log->epoch = epoch_max + 1 > wall_ms ? epoch_max + 1 : wall_ms;
    log->next_seq = 1;
    if (!list_empty(&log->segments)) {
        const struct segment *s = CONTAINER_OF(log->segments.prev, struct segment, link);
        uint64_t last = atomic_load_explicit(&s->last_seq, memory_order_relaxed);
        log->next_seq = last + 1;
        log->found = (struct position){s->head.epoch, last};
        if (last < s->head.first_seq && s->link.prev != &log->segments)
            log->found.epoch = CONTAINER_OF(s->link.prev, struct segment, link)->head.epoch;
    }
    if (log->next_seq == 1)
        log->found = (struct position){0, 0};
    log->written_seq = log->next_seq - 1;
    atomic_store_explicit(&log->committed_seq, log->written_seq, memory_order_relaxed);
}

static void recover_say(const struct journal_log *log, struct diag *diag)
{
    if (!log->cut_bytes && !log->cut_segments)
        return;
    (void)diag_set(diag, OK, 0, 0,
                   "%s: the log ended in a write that was never finished: %llu bytes cut, %llu "
                   "files set aside; .cut files keep a copy; after a kill or a power cut nothing "
                   "of it had been "
                   "acknowledged, after damage to the disk perhaps",
                   log->dir, (unsigned long long)log->cut_bytes,
                   (unsigned long long)log->cut_segments);
}

int log_recover(struct journal_log *log, struct diag *diag)
{
    struct segment **all = NULL;
    size_t count = 0;
    uint64_t epoch_max = 0;
    int err = files_list(log, &all, &count);
    if (err)
        (void)recover_fail(log, diag, err, "", "cannot list the folder");
    if (count)
        epoch_max = all[count - 1]->head.epoch;
    if (!err)
        err = heads_load(log, all, count, diag);
    size_t kept = compact(all, count);
    if (!err)
        err = segments_recover(log, all, kept, diag);
    for (size_t i = 0; i < kept; i++)
        segment_unref(all[i]);
    free(all);
    if (err)
        return err;
    err = empty_delete(log);
    if (!err && (log->cut_bytes || log->cut_segments))
        err = cuts_trim(log);
    if (!err && fsync(log->dir_fd) != 0)
        err = err_from_errno(errno);
    if (err)
        return recover_fail(log, diag, err, "", "cannot tidy the folder");
    recover_ends(log, epoch_max);
    recover_say(log, diag);
    return OK;
}
