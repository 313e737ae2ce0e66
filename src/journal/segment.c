/* Reads and writes the segment format. See segment.h.
 *
 * Everything read here may have been torn by a power cut, damaged by a disk or written by an enemy:
 * lengths are compared with what is there before they are used, and the CRC before a payload is
 * handed out.
 */
#include "journal/segment.h"

#include "base/clock.h"
#include "base/err.h"
#include "journal/crc32c.h"
#include "journal/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#define RECORD_MAGIC     0x4345524cu /* "LREC" */
#define WINDOW_BYTES_MIN (16u * 1024)
#define WINDOW_BYTES_MAX (256u * 1024)
#define ZERO_BLOCK_BYTES (64u * 1024)

static const uint8_t head_magic[8] = {'L', 'O', 'T', 'L', 'S', 'E', 'G', '\n'};

uint64_t segment_log_hash(const char *log_name)
{
    return XXH3_64bits(log_name, strlen(log_name));
}

/* ------------------------------------------------------------------------------------ file head */

void segment_head_encode(struct segment_head *head, uint8_t out[static SEGMENT_HEAD_BYTES])
{
    memset(out, 0, SEGMENT_HEAD_BYTES);
    memcpy(out, head_magic, sizeof head_magic);
    store_le32(out + 12, SEGMENT_VERSION);
    store_le64(out + 16, head->epoch);
    store_le64(out + 24, head->first_seq);
    store_le64(out + 32, (uint64_t)head->created_us);
    store_le64(out + 40, head->committed_seq);
    store_le64(out + 48, head->log);
    head->seed = crc32c(0, bytes_of(out + 12, SEGMENT_HEAD_BYTES - 12));
    store_le32(out + 8, head->seed);
}

int segment_head_decode(struct bytes in, struct segment_head *ret)
{
    if (in.len < SEGMENT_HEAD_BYTES)
        return ERR_SHORT;
    if (memcmp(in.ptr, head_magic, sizeof head_magic) != 0)
        return ERR_MALFORMED;
    uint32_t seed = load_le32(in.ptr + 8);
    if (crc32c(0, bytes_of(in.ptr + 12, SEGMENT_HEAD_BYTES - 12)) != seed)
        return ERR_CHECKSUM;
    if (load_le32(in.ptr + 12) != SEGMENT_VERSION)
        return ERR_VERSION;
    struct segment_head head = {
        .epoch = load_le64(in.ptr + 16),
        .first_seq = load_le64(in.ptr + 24),
        .created_us = (int64_t)load_le64(in.ptr + 32),
        .committed_seq = load_le64(in.ptr + 40),
        .log = load_le64(in.ptr + 48),
        .seed = seed,
    };
    if (head.epoch == 0 || head.first_seq == 0)
        return ERR_MALFORMED;
    *ret = head;
    return OK;
}

/* --------------------------------------------------------------------------------------- record */

/* All of the head but the CRC; returns the CRC so far. */
static uint32_t record_head_fill(const struct segment_head *head, const struct segment_record *r,
                                 uint64_t length, uint8_t *out)
{
    store_le32(out, RECORD_MAGIC);
    store_le32(out + 8, (uint32_t)length);
    out[12] = SEGMENT_VERSION;
    out[13] = r->codec;
    store_le16(out + 14, (uint16_t)head->log);
    store_le64(out + 16, r->seq);
    store_le64(out + 24, (uint64_t)r->time_us);
    return crc32c(head->seed, bytes_of(out + 8, SEGMENT_RECORD_HEAD_BYTES - 8));
}

void segment_record_encode(const struct segment_head *head, const struct segment_record *r,
                           const struct bytes *parts, uint32_t count,
                           uint8_t out[static SEGMENT_RECORD_HEAD_BYTES])
{
    uint32_t crc = record_head_fill(head, r, segment_parts_bytes(parts, count), out);
    for (uint32_t i = 0; i < count; i++)
        crc = crc32c(crc, parts[i]);
    store_le32(out + 4, crc);
}

void segment_record_write(const struct segment_head *head, const struct segment_record *r,
                          const struct bytes *parts, uint32_t count, uint8_t *out)
{
    uint64_t length = segment_parts_bytes(parts, count);
    uint32_t crc = record_head_fill(head, r, length, out);
    uint8_t *at = out + SEGMENT_RECORD_HEAD_BYTES;
    for (uint32_t i = 0; i < count; at += parts[i++].len)
        crc = crc32c_copy(crc, at, parts[i]);
    memset(at, 0, (size_t)segment_record_bytes(length) - SEGMENT_RECORD_HEAD_BYTES - length);
    store_le32(out + 4, crc);
}

static bool is_zero(struct bytes v)
{
    return v.len == 0 || (v.ptr[0] == 0 && memcmp(v.ptr, v.ptr + 1, v.len - 1) == 0);
}

int segment_record_decode(const struct segment_head *head, struct bytes in,
                          struct segment_record *ret, uint64_t *ret_bytes)
{
    struct bytes start =
        bytes_of(in.ptr, in.len < SEGMENT_RECORD_HEAD_BYTES ? in.len : SEGMENT_RECORD_HEAD_BYTES);
    if (is_zero(start))
        return ERR_NOT_FOUND;
    if (in.len < SEGMENT_RECORD_HEAD_BYTES) {
        *ret_bytes = SEGMENT_RECORD_HEAD_BYTES;
        return ERR_SHORT;
    }
    if (load_le32(in.ptr) != RECORD_MAGIC || load_le16(in.ptr + 14) != (uint16_t)head->log)
        return ERR_MALFORMED;
    size_t length = load_le32(in.ptr + 8);
    if (in.len - SEGMENT_RECORD_HEAD_BYTES < length) {
        *ret_bytes = SEGMENT_RECORD_HEAD_BYTES + (uint64_t)length;
        return ERR_SHORT;
    }
    uint32_t crc = crc32c(head->seed, bytes_of(in.ptr + 8, SEGMENT_RECORD_HEAD_BYTES - 8 + length));
    if (crc != load_le32(in.ptr + 4))
        return ERR_CHECKSUM;
    /* After the CRC: what it guards is known to be ours, only newer. */
    if (in.ptr[12] != SEGMENT_VERSION)
        return ERR_VERSION;
    *ret = (struct segment_record){
        .seq = load_le64(in.ptr + 16),
        .time_us = (int64_t)load_le64(in.ptr + 24),
        .codec = in.ptr[13],
        .payload = bytes_of(in.ptr + SEGMENT_RECORD_HEAD_BYTES, length),
    };
    *ret_bytes = segment_record_bytes(length);
    return OK;
}

/* ----------------------------------------------------------------------------------------- name */

void segment_name(uint64_t epoch, uint64_t first_seq, char out[static SEGMENT_NAME_BYTES])
{
    (void)snprintf(out, SEGMENT_NAME_BYTES, "%016" PRIx64 "-%016" PRIx64 ".seg", epoch, first_seq);
}

static bool hex_parse(const char *text, uint64_t *ret)
{
    uint64_t v = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef";
        const char *at = text[i] ? strchr(digits, text[i]) : NULL;
        if (!at)
            return false;
        v = v << 4 | (uint64_t)(at - digits);
    }
    *ret = v;
    return true;
}

bool segment_name_parse(const char *name, uint64_t *ret_epoch, uint64_t *ret_first_seq)
{
    uint64_t epoch;
    uint64_t seq;
    if (strlen(name) != SEGMENT_NAME_BYTES - 1 || name[16] != '-' || strcmp(name + 33, ".seg") != 0)
        return false;
    if (!hex_parse(name, &epoch) || !hex_parse(name + 17, &seq))
        return false;
    *ret_epoch = epoch;
    *ret_first_seq = seq;
    return true;
}

/* ----------------------------------------------------------------------------------------- walk */

int segment_walk_init(struct segment_walk *w, int fd)
{
    uint8_t head[SEGMENT_HEAD_BYTES];
    size_t got;
    struct stat info;
    *w = (struct segment_walk){.fd = fd, .offset = SEGMENT_HEAD_BYTES};
    segment_walk_forget(w);
    if (fstat(fd, &info) != 0)
        return ERR_IO;
    w->file_bytes = (uint64_t)info.st_size;
    int err = journal_io_read(fd, head, sizeof head, 0, &got);
    return err ? err : segment_head_decode(bytes_of(head, got), &w->head);
}

void segment_walk_fini(struct segment_walk *w)
{
    buf_fini(&w->window);
}

void segment_walk_forget(struct segment_walk *w)
{
    w->window_at = 0;
    w->window_step = WINDOW_BYTES_MIN;
    buf_reset(&w->window);
}

/* Makes the window start at w->offset and hold `need` bytes, or what the file has. */
static int walk_fill(struct segment_walk *w, uint64_t need)
{
    size_t want = need > w->window_step ? (size_t)need : w->window_step;
    if (w->window_step < WINDOW_BYTES_MAX)
        w->window_step *= 2;
    uint64_t left = w->file_bytes > w->offset ? w->file_bytes - w->offset : 0;
    if (want > left)
        want = (size_t)left;
    buf_reset(&w->window);
    uint8_t *out = buf_extend(&w->window, want);
    if (!out && want > 0)
        return ERR_NOMEM;
    w->window_at = w->offset;
    size_t got = 0;
    int err = want ? journal_io_read(w->fd, out, want, w->offset, &got) : OK;
    w->window.len = err ? 0 : got;
    return err;
}

static struct bytes walk_ahead(const struct segment_walk *w)
{
    uint64_t end = w->window_at + w->window.len;
    if (w->offset < w->window_at || w->offset >= end)
        return bytes_of(NULL, 0);
    return bytes_of(w->window.ptr + (w->offset - w->window_at), (size_t)(end - w->offset));
}

int segment_walk_next(struct segment_walk *w, struct segment_record *ret)
{
    struct bytes ahead = walk_ahead(w);
    uint64_t bytes = SEGMENT_RECORD_HEAD_BYTES;
    int err = ahead.len < SEGMENT_RECORD_HEAD_BYTES
                  ? ERR_SHORT
                  : segment_record_decode(&w->head, ahead, ret, &bytes);
    /* Once for the head, once more for a payload that is longer than the window. */
    for (int round = 0; round < 2 && err == ERR_SHORT; round++) {
        if (round > 0 && w->offset + bytes > w->file_bytes)
            return ERR_SHORT;
        err = walk_fill(w, bytes);
        if (!err)
            err = segment_record_decode(&w->head, walk_ahead(w), ret, &bytes);
    }
    if (!err)
        w->offset += bytes;
    return err;
}

int segment_dirty_bytes(int fd, uint64_t offset, uint64_t *ret)
{
    uint8_t block[4096];
    uint64_t dirty = 0;
    size_t got;
    for (uint64_t at = offset;; at += got) {
        int err = journal_io_read(fd, block, sizeof block, at, &got);
        if (err)
            return err;
        if (got == 0)
            break;
        if (is_zero(bytes_of(block, got)))
            continue;
        size_t last = got;
        while (block[last - 1] == 0)
            last--;
        dirty = at + last - offset;
    }
    *ret = dirty;
    return OK;
}

/* ----------------------------------------------------------------------------------------- dump */

static void dump_record(const struct segment_record *r, uint64_t offset, struct buf *out)
{
    char time[CLOCK_TEXT_BYTES_MAX];
    (void)clock_format(r->time_us, time);
    (void)buf_printf(out, "%10" PRIu64 "  seq %" PRIu64 "  %s  codec %u  %zu bytes\n", offset,
                     r->seq, time, r->codec, r->payload.len);
}

static int dump_records(struct segment_walk *w, struct buf *out)
{
    struct segment_record r;
    uint64_t count = 0;
    uint64_t dirty = 0;
    int err;
    for (;;) {
        uint64_t offset = w->offset;
        err = segment_walk_next(w, &r);
        if (err)
            break;
        dump_record(&r, offset, out);
        count++;
    }
    if (err == ERR_IO || err == ERR_NOMEM)
        return err;
    int rc = segment_dirty_bytes(w->fd, w->offset, &dirty);
    if (rc)
        return rc;
    (void)buf_printf(out, "%10" PRIu64 "  end: %" PRIu64 " records", w->offset, count);
    if (dirty)
        (void)buf_printf(out, ", then %" PRIu64 " bytes that are no record (%s)", dirty,
                         err_text(err));
    return buf_append_text(out, "\n");
}

int segment_dump(const char *path, struct buf *out)
{
    struct segment_walk w;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    int err = segment_walk_init(&w, fd);
    if (err == ERR_IO) {
        (void)close(fd);
        return err;
    }
    if (err) {
        (void)buf_printf(out, "%s: no segment: %s\n", path, err_text(err));
        err = OK;
    } else {
        char time[CLOCK_TEXT_BYTES_MAX];
        (void)clock_format(w.head.created_us, time);
        (void)buf_printf(out,
                         "%s: version %u, epoch %" PRIu64 ", first seq %" PRIu64
                         ", made %s, committed %" PRIu64 ", log %016" PRIx64 ", %" PRIu64
                         " bytes\n",
                         path, SEGMENT_VERSION, w.head.epoch, w.head.first_seq, time,
                         w.head.committed_seq, w.head.log, w.file_bytes);
        err = dump_records(&w, out);
    }
    segment_walk_fini(&w);
    (void)close(fd);
    return err ? err : buf_error(out);
}
