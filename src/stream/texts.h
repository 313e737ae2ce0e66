/* The texts of one signal: each kept once for as long as anybody refers to it, by a small number.
 *
 * A signal shows the same code row after row, so a text that is the one before costs no more than
 * comparing it; another one takes over the memory of one that nobody needs any more. So nothing is
 * allocated a row, and what is kept is bounded by what changes within the time that is kept.
 */
#ifndef LOTLINE_STREAM_TEXTS_H
#define LOTLINE_STREAM_TEXTS_H

#include "base/bytes.h"
#include "base/err.h"

#define TEXTS_BYTES_MAX (16u << 20) /* of one signal */

struct text_slot {
    uint8_t *ptr;
    uint32_t len;
    uint32_t cap;
    uint32_t refs; /* 0 = free: next is the next free one */
    uint32_t next;
};

/* Zero-initialised is valid and empty. */
struct texts {
    struct text_slot *slots;
    uint32_t count;
    uint32_t cap;
    uint32_t free;  /* 1 + the first free slot */
    uint32_t last;  /* 1 + the one kept last, which has a reference of its own */
    uint64_t bytes; /* allocated behind the slots */
};

void texts_fini(struct texts *t);

/* A number for the text, which is copied; texts_drop gives it back. ERR_LIMIT (TEXTS_BYTES_MAX),
 * ERR_NOMEM: nothing has changed. */
int texts_keep(struct texts *t, struct bytes text, uint32_t *ret);
void texts_drop(struct texts *t, uint32_t number);

/* Borrowed until the next texts_keep. */
struct bytes texts_get(const struct texts *t, uint32_t number);

#endif
