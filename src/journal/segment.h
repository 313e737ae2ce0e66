/* The segment file: the journal's only format on disk; segment.c alone reads and writes it.
 *
 *     file head, 64 bytes        u8[8]  magic "LOTLSEG\n"
 *                                u32    CRC-32C of the rest of the head
 *                                u32    version = 1
 *                                u64    epoch of every record in it
 *                                u64    seq of its first record
 *                                i64    when it was made, µs UTC
 *                                u64    last seq known to be committed when it was made
 *                                u64    XXH3-64 of the log's name
 *                                u8[8]  zero
 *     records, one after the other, each padded with zeros to 8 bytes:
 *                                u32    magic "LREC"
 *                                u32    CRC-32C of the rest of the record without the padding
 *                                u32    bytes of payload
 *                                u8     version = 1
 *                                u8     codec of the payload
 *                                u16    low bits of the log's hash
 *                                u64    seq
 *                                i64    time, µs UTC
 *                                payload
 *     zeros up to the pre-allocated size
 *
 * Numbers are little-endian. A record's CRC starts from the file head's CRC, so that it verifies in
 * its own segment only and bytes that were once another record are never taken for one. The file
 * head's "committed" tells, after a power cut, how far a bad record can only be damage and from
 * where on it may be a write that never ended.
 */
#ifndef LOTLINE_JOURNAL_SEGMENT_H
#define LOTLINE_JOURNAL_SEGMENT_H

#include "base/bytes.h"

#define SEGMENT_HEAD_BYTES        64u
#define SEGMENT_RECORD_HEAD_BYTES 32u
#define SEGMENT_VERSION           1u
#define SEGMENT_NAME_BYTES        38 /* "%016x-%016x.seg" and a zero */

struct segment_head {
    uint64_t epoch;
    uint64_t first_seq;
    int64_t created_us;
    uint64_t committed_seq;
    uint64_t log;  /* segment_log_hash */
    uint32_t seed; /* the head's CRC; records need it; set by encode and decode */
};

struct segment_record {
    uint64_t seq;
    int64_t time_us;
    uint8_t codec;
    struct bytes payload; /* a view into the input */
};

uint64_t segment_log_hash(const char *log_name);

/* Sets head->seed too. */
void segment_head_encode(struct segment_head *head, uint8_t out[static SEGMENT_HEAD_BYTES]);

/* Hostile input. ERR_SHORT, ERR_MALFORMED (magic, zero epoch or seq), ERR_CHECKSUM, ERR_VERSION. */
int segment_head_decode(struct bytes in, struct segment_head *ret);

/* Bytes that a record with such a payload takes in the file. */
static inline uint64_t segment_record_bytes(uint64_t payload_bytes)
{
    return (SEGMENT_RECORD_HEAD_BYTES + payload_bytes + 7) & ~UINT64_C(7);
}

/* Bytes of a payload in parts. */
static inline uint64_t segment_parts_bytes(const struct bytes *parts, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += parts[i].len;
    return bytes;
}

/* The head of a record whose payload is parts[count], r->payload is not looked at. */
void segment_record_encode(const struct segment_head *head, const struct segment_record *r,
                           const struct bytes *parts, uint32_t count,
                           uint8_t out[static SEGMENT_RECORD_HEAD_BYTES]);

/* The whole record: head, payload and padding, segment_record_bytes of them, into `out`. Reads each
 * byte of the payload once. */
void segment_record_write(const struct segment_head *head, const struct segment_record *r,
                          const struct bytes *parts, uint32_t count, uint8_t *out);

/* The record at the start of `in`. Hostile input.
 * OK               *ret; *ret_bytes is what it takes in the file
 * ERR_SHORT        *ret_bytes is how many bytes it needs to go on (more than in.len)
 * ERR_NOT_FOUND    no record: zeros
 * ERR_MALFORMED, ERR_CHECKSUM, ERR_VERSION */
int segment_record_decode(const struct segment_head *head, struct bytes in,
                          struct segment_record *ret, uint64_t *ret_bytes);

/* "…-….seg" of that segment. */
void segment_name(uint64_t epoch, uint64_t first_seq, char out[static SEGMENT_NAME_BYTES]);

/* False if name is not of that form. */
bool segment_name_parse(const char *name, uint64_t *ret_epoch, uint64_t *ret_first_seq);

/* ------------------------------------------------------------------------------ walking a file */

/* Reads an open segment record by record through a window. One thread. Blocking. */
struct segment_walk {
    int fd;
    uint64_t file_bytes;
    uint64_t offset; /* of the next record */
    uint64_t window_at;
    size_t window_step; /* how much the next read takes; grows while one read follows another */
    struct buf window;
    struct segment_head head;
};

/* Reads the file head; fd stays the caller's until fini, which closes nothing. As
 * segment_head_decode, ERR_IO, ERR_NOMEM. */
int segment_walk_init(struct segment_walk *w, int fd);
void segment_walk_fini(struct segment_walk *w);

/* The next record; its payload is a view until the next call. ERR_NOT_FOUND at the end (zeros or
 * end of file), ERR_MALFORMED, ERR_CHECKSUM, ERR_VERSION, ERR_SHORT (cut off), ERR_IO, ERR_NOMEM;
 * on all of them w->offset stays where it is. */
int segment_walk_next(struct segment_walk *w, struct segment_record *ret);

/* Forgets what was read ahead: the file has grown. */
void segment_walk_forget(struct segment_walk *w);

/* Bytes from `offset` up to the last one that is not zero. ERR_IO. */
int segment_dirty_bytes(int fd, uint64_t offset, uint64_t *ret);

/* ---------------------------------------------------------------------------------------- dump */

/* Appends what is in the file, for people: its head, one line a record, and how it ends. ERR_IO and
 * ERR_NOMEM; a damaged file is described, not refused. Blocking. */
int segment_dump(const char *path, struct buf *out);

#endif
