/* See out_queue.h. */
#include "net/out_queue.h"

#include "base/err.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PIECES_CAP_MIN 8

void out_queue_fini(struct out_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        payload_unref(q->pieces[q->head + i].payload);
    free(q->pieces);
    *q = (struct out_queue){0};
}

/* Room for one more piece at the end. */
static int out_queue_room(struct out_queue *q)
{
    if (q->head + q->count < q->cap)
        return OK;
    if (q->head >= q->cap / 2 && q->head > 0) {
        memmove(q->pieces, q->pieces + q->head, q->count * sizeof *q->pieces);
        q->head = 0;
        return OK;
    }
    size_t cap = q->cap ? q->cap * 2 : PIECES_CAP_MIN;
    struct out_piece *pieces = realloc(q->pieces, cap * sizeof *pieces);
    if (!pieces)
        return ERR_NOMEM;
    q->pieces = pieces;
    q->cap = cap;
    return OK;
}

/* Takes p's reference. There is room. */
static void out_queue_push(struct out_queue *q, struct payload *p, size_t end)
{
    q->pieces[q->head + q->count] = (struct out_piece){p, 0, end};
    q->count++;
    q->bytes += end;
}

static struct out_piece *out_queue_tail(struct out_queue *q)
{
    return &q->pieces[q->head + q->count - 1];
}

int out_queue_copy(struct out_queue *q, struct bytes v)
{
    size_t room = 0;
    if (q->tail_is_chunk)
        room = out_queue_tail(q)->payload->len - out_queue_tail(q)->end;
    size_t first = v.len < room ? v.len : room;
    size_t rest = v.len - first;
    struct payload *chunk = NULL;
    if (rest) {
        if (out_queue_room(q))
            return ERR_NOMEM;
        chunk = payload_new(rest > OUT_CHUNK_BYTES_MIN ? rest : OUT_CHUNK_BYTES_MIN);
        if (!chunk)
            return ERR_NOMEM;
        memcpy(chunk->data, v.ptr + first, rest);
    }
    if (first) {
        struct out_piece *tail = out_queue_tail(q);
        memcpy(tail->payload->data + tail->end, v.ptr, first);
        tail->end += first;
        q->bytes += first;
    }
    if (chunk) {
        out_queue_push(q, chunk, rest);
        q->tail_is_chunk = true;
    }
    return OK;
}

int out_queue_payload(struct out_queue *q, struct payload *p)
{
    if (p->len <= OUT_COPY_BYTES_MAX)
        return out_queue_copy(q, payload_bytes(p));
    if (out_queue_room(q))
        return ERR_NOMEM;
    out_queue_push(q, payload_ref(p), p->len);
    q->tail_is_chunk = false;
    return OK;
}

int out_queue_iov(const struct out_queue *q, struct iovec *iov, int max)
{
    int count = 0;
    for (size_t i = 0; i < q->count && count < max; i++) {
        struct out_piece *piece = &q->pieces[q->head + i];
        iov[count].iov_base = piece->payload->data + piece->at;
        iov[count].iov_len = piece->end - piece->at;
        count++;
    }
    return count;
}

void out_queue_consume(struct out_queue *q, size_t n)
{
    assert(n <= q->bytes);
    q->bytes -= n;
    while (q->count) {
        struct out_piece *piece = &q->pieces[q->head];
        size_t left = piece->end - piece->at;
        if (n < left) {
            piece->at += n;
            return;
        }
        n -= left;
        payload_unref(piece->payload);
        q->head++;
        q->count--;
    }
    q->head = 0;
    q->tail_is_chunk = false;
    /* An idle connection keeps no memory for its queue. */
    free(q->pieces);
    q->pieces = NULL;
    q->cap = 0;
}
