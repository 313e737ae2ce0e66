/* What a connection has still to send: a queue of pieces of payloads.
 *
 * Small writes are packed into chunks of the queue's own, so that ten thousand 20-byte packets do
 * not become ten thousand pieces; large payloads are referenced. The queue hands out an iovec over
 * its front and is told how much of it left.
 */
#ifndef LOTLINE_NET_OUT_QUEUE_H
#define LOTLINE_NET_OUT_QUEUE_H

#include "base/bytes.h"

#include <stdint.h>
#include <sys/uio.h>

/* Payloads up to this size are copied: cheaper than a piece of their own in the writev. */
#define OUT_COPY_BYTES_MAX  512
#define OUT_CHUNK_BYTES_MIN 4000

struct out_piece {
    struct payload *payload;
    size_t at;  /* first byte not sent */
    size_t end; /* one behind the last byte to send; below payload->len while a chunk fills */
};

/* Zero-initialised is a valid, empty queue. One thread. */
struct out_queue {
    struct out_piece *pieces; /* [head, head + count) */
    size_t head;
    size_t count;
    size_t cap;
    size_t bytes;
    bool tail_is_chunk; /* the last piece is our own and may be appended to */
};

void out_queue_fini(struct out_queue *q);

/* 0 or ERR_NOMEM; nothing is queued on error. */
int out_queue_copy(struct out_queue *q, struct bytes v);
int out_queue_payload(struct out_queue *q, struct payload *p);

/* The front of the queue, at most `max` pieces; returns how many. Valid until the queue changes. */
int out_queue_iov(const struct out_queue *q, struct iovec *iov, int max);

/* The first n bytes are sent. n ≤ bytes. */
void out_queue_consume(struct out_queue *q, size_t n);

#endif
