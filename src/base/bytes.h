/* Bytes: views, growing buffers, bounds-checked reading, and shared immutable payloads.
 *
 * Nothing in Lotline relies on a terminating zero, because device strings and MQTT payloads may
 * hold any byte. A `struct bytes` borrows; a `struct buf` owns and grows; a `struct reader` walks
 * hostile input and cannot run over its end: after the first failed read it stays failed, so a
 * decoder may read a whole header and check once. A `struct payload` is reference-counted and
 * immutable: fan-out to ten thousand subscribers copies nothing.
 */
#ifndef LOTLINE_BASE_BYTES_H
#define LOTLINE_BASE_BYTES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *ptr;
    size_t len;
};

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
    return (struct bytes){(const uint8_t *)ptr, len};
}

static inline struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* A zero-terminated copy on the heap; NULL when out of memory. */
char *bytes_to_text(struct bytes v);

/* memcmp order; a prefix comes before the longer one. */
int bytes_compare(struct bytes a, struct bytes b);

/* ------------------------------------------------------------------ unaligned, fixed byte order */

#define BYTES_LOAD(name, type, swap)                                                               \
    static inline type name(const void *p)                                                         \
    {                                                                                              \
        type v;                                                                                    \
        memcpy(&v, p, sizeof v);                                                                   \
        return swap(v);                                                                            \
    }
#define BYTES_STORE(name, type, swap)                                                              \
    static inline void name(void *p, type v)                                                       \
    {                                                                                              \
        v = swap(v);                                                                               \
        memcpy(p, &v, sizeof v);                                                                   \
    }
#define BYTES_KEEP(v) (v)

BYTES_LOAD(load_be16, uint16_t, __builtin_bswap16)
BYTES_LOAD(load_be32, uint32_t, __builtin_bswap32)
BYTES_LOAD(load_be64, uint64_t, __builtin_bswap64)
BYTES_LOAD(load_le16, uint16_t, BYTES_KEEP)
BYTES_LOAD(load_le32, uint32_t, BYTES_KEEP)
BYTES_LOAD(load_le64, uint64_t, BYTES_KEEP)
BYTES_STORE(store_be16, uint16_t, __builtin_bswap16)
BYTES_STORE(store_be32, uint32_t, __builtin_bswap32)
BYTES_STORE(store_be64, uint64_t, __builtin_bswap64)
BYTES_STORE(store_le16, uint16_t, BYTES_KEEP)
BYTES_STORE(store_le32, uint32_t, BYTES_KEEP)
BYTES_STORE(store_le64, uint64_t, BYTES_KEEP)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Lotline runs on little-endian machines");

/* ---------------------------------------------------------------------------------- owned buffer
 */

/* A growing byte buffer. Zero-initialised is valid and empty. One owner, not thread-safe.
 * A failed allocation sets `failed`; every later append is then a no-op returning ERR_NOMEM, so
 * an encoder may append many times and check once at the end (buf_error). */
struct buf {
    uint8_t *ptr;
    size_t len;
    size_t cap;
    bool failed;
};

/* Frees the memory and leaves an empty, usable buffer. */
void buf_fini(struct buf *b);

/* Empties but keeps the memory. Clears `failed`. */
void buf_reset(struct buf *b);

/* Makes room for `extra` more bytes; returns where they go (not yet counted in len), NULL when
 * out of memory. */
uint8_t *buf_reserve(struct buf *b, size_t extra);

/* Grows len by n and returns the start of the new, uninitialised bytes; NULL when out of memory. */
uint8_t *buf_extend(struct buf *b, size_t n);

int buf_append(struct buf *b, const void *ptr, size_t len);
int buf_append_bytes(struct buf *b, struct bytes v);
int buf_append_text(struct buf *b, const char *text);
int buf_append_u8(struct buf *b, uint8_t v);
int buf_append_be16(struct buf *b, uint16_t v);
int buf_append_le32(struct buf *b, uint32_t v);
int buf_append_le64(struct buf *b, uint64_t v);
int buf_append_double(struct buf *b, double v); /* its 64 bits, as le64 */
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends v as an unsigned LEB128 (1 to 10 bytes). */
int buf_append_varint(struct buf *b, uint64_t v);

/* Terminates with a zero byte that is not counted in len; returns the text, "" when failed. */
const char *buf_text(struct buf *b);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->ptr, b->len);
}

/* 0, or ERR_NOMEM if any append since the last reset failed. */
int buf_error(const struct buf *b);

/* Puts PAYLOAD_PAD zero bytes behind the contents, not counted in len, until the next append: for
 * readers that look ahead (see struct payload). ERR_NOMEM. */
int buf_pad(struct buf *b);

/* Makes the contents a copy of v with such bytes behind it. ERR_NOMEM. */
int buf_copy_padded(struct buf *b, struct bytes v);

/* -------------------------------------------------------------------------------- hostile reading
 */

/* Walks a byte view. Reads past the end return 0 / an empty view and set `failed`. */
struct reader {
    const uint8_t *ptr;
    const uint8_t *end;
    bool failed;
};

static inline struct reader reader_of(struct bytes v)
{
    /* An empty view may have no address, and NULL + 0 is not defined in C17. */
    const uint8_t *ptr = v.ptr ? v.ptr : (const uint8_t *)"";
    return (struct reader){ptr, ptr + v.len, false};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->ptr);
}

/* The next n bytes as a view into the input; an empty view with failed set if fewer are left. */
struct bytes reader_take(struct reader *r, size_t n);
uint8_t reader_u8(struct reader *r);
uint16_t reader_be16(struct reader *r);
uint32_t reader_be32(struct reader *r);
uint16_t reader_le16(struct reader *r);
uint32_t reader_le32(struct reader *r);
uint64_t reader_le64(struct reader *r);

/* What buf_append_double wrote; infinite and no number at all fail. */
double reader_finite(struct reader *r);

/* Unsigned LEB128 of at most 10 bytes; longer, or one whose value exceeds 64 bits, fails. */
uint64_t reader_varint(struct reader *r);

/* ------------------------------------------------------------------------------- shared payload */

/* Bytes that nobody changes any more. Followed in memory by PAYLOAD_PAD spare bytes (simdjson may
 * read past the end). ref/unref from any thread. */
#define PAYLOAD_PAD 64

struct payload {
    atomic_uint refs;
    size_t len;
    uint8_t data[];
};

/* A new payload with one reference, contents uninitialised (the creator fills data[0..len) before
 * it hands the payload to anyone); pad bytes are zero. NULL when out of memory. */
struct payload *payload_new(size_t len);

/* payload_new and copy. */
struct payload *payload_copy(struct bytes v);

struct payload *payload_ref(struct payload *p);

/* Drops one reference and frees with the last; NULL is allowed. */
void payload_unref(struct payload *p);

static inline struct bytes payload_bytes(const struct payload *p)
{
    return p ? bytes_of(p->data, p->len) : bytes_of(NULL, 0);
}

#endif
