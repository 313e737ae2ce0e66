/* The head of a record in the log `streams`, and of an uplink message: whose batch it is.
 *
 *     u8      version = 1
 *     u8      flags            bit 0: origin follows, bit 1: key follows; others are 0
 *     varint  length + node    1 to 127 bytes
 *     varint  length + stream  1 to 255 bytes
 *     [u64 epoch, u64 seq]     origin: where it was first appended (flags bit 0)
 *     [u64 major, u64 minor]   key: which output of its rule it is (flags bit 1)
 *     …                        a columnar batch (codec/columnar.h) up to the end
 *
 * Numbers are little-endian. A record without origin was first appended where it lies: its origin
 * is its own position, which is not known before the append, and would cost 16 bytes again.
 */
#ifndef LOTLINE_STREAM_RECORD_H
#define LOTLINE_STREAM_RECORD_H

#include "base/bytes.h"
#include "base/position.h"

#define RECORD_VERSION          1
#define RECORD_CODEC_COLUMNAR   1 /* journal_record.codec of these records */
#define RECORD_NODE_BYTES_MAX   127
#define RECORD_STREAM_BYTES_MAX 255
#define RECORD_HEAD_BYTES_MAX   (2 + 1 + RECORD_NODE_BYTES_MAX + 2 + RECORD_STREAM_BYTES_MAX + 32)

/* The key of a rule's output; keys of one stream grow from batch to batch. {0,0} = none. */
struct record_key {
    uint64_t major; /* window end (µs), or the input's epoch */
    uint64_t minor; /* part of the window's output, or the input's seq */
};

struct record {
    struct bytes node;
    struct bytes stream;    /* as its own node calls it, without "node:" */
    struct position origin; /* {0,0} = its own position */
    struct record_key key;
    struct bytes columnar;
};

/* Appends the head (everything but the batch) to out. ERR_INVALID (a name empty or too long),
 * ERR_NOMEM; out keeps its old length then. */
int record_head_encode(const struct record *r, struct buf *out);

/* Views into payload. The input is hostile. ERR_SHORT, ERR_VERSION, ERR_MALFORMED (a name empty,
 * too long, or not valid UTF-8; unknown flags; a zero epoch; no batch behind the head). */
int record_decode(struct bytes payload, struct record *ret);

#endif
