/* Growing buffers, bounds-checked reading and shared payloads. See bytes.h. */
#include "base/bytes.h"

#include "base/err.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_CAP_MIN      64
#define VARINT_BYTES_MAX 10

char *bytes_to_text(struct bytes v)
{
    char *text = malloc(v.len + 1);
    if (!text)
        return NULL;
    if (v.len)
        memcpy(text, v.ptr, v.len);
    text[v.len] = 0;
    return text;
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.ptr, b.ptr, n) : 0;
    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

void buf_fini(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

uint8_t *buf_reserve(struct buf *b, size_t extra)
{
    if (b->failed)
        return NULL;
    if (b->ptr && extra <= b->cap - b->len)
        return b->ptr + b->len;
    size_t need = b->len + extra;
    size_t cap = b->cap ? b->cap : BUF_CAP_MIN;
    while (cap < need && cap <= SIZE_MAX / 2)
        cap *= 2;
    uint8_t *grown = need < extra || cap < need ? NULL : realloc(b->ptr, cap);
    if (!grown) {
        b->failed = true;
        return NULL;
    }
    b->ptr = grown;
    b->cap = cap;
    return b->ptr + b->len;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
    uint8_t *at = buf_reserve(b, n);
    if (at)
        b->len += n;
    return at;
}

int buf_append(struct buf *b, const void *ptr, size_t len)
{
    if (len == 0)
        return buf_error(b);
    uint8_t *at = buf_extend(b, len);
    if (!at)
        return ERR_NOMEM;
    memcpy(at, ptr, len);
    return OK;
}

int buf_append_bytes(struct buf *b, struct bytes v)
{
    return buf_append(b, v.ptr, v.len);
}

int buf_append_text(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text));
}

int buf_append_u8(struct buf *b, uint8_t v)
{
    return buf_append(b, &v, 1);
}

int buf_append_be16(struct buf *b, uint16_t v)
{
    uint8_t raw[2];
    store_be16(raw, v);
    return buf_append(b, raw, sizeof raw);
}

int buf_append_le32(struct buf *b, uint32_t v)
{
    return buf_append(b, &v, sizeof v);
}

int buf_append_le64(struct buf *b, uint64_t v)
{
    return buf_append(b, &v, sizeof v);
}

int buf_append_double(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return buf_append_le64(b, bits);
}

int buf_append_varint(struct buf *b, uint64_t v)
{
    uint8_t raw[VARINT_BYTES_MAX];
    size_t n = 0;
    while (v >= 0x80) {
        raw[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    raw[n++] = (uint8_t)v;
    return buf_append(b, raw, n);
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *at = need < 0 ? NULL : buf_reserve(b, (size_t)need + 1);
    if (at) {
        (void)vsnprintf((char *)at, (size_t)need + 1, format, again);
        b->len += (size_t)need;
    }
    va_end(again);
    return at ? OK : ERR_NOMEM;
}

const char *buf_text(struct buf *b)
{
    uint8_t *at = buf_reserve(b, 1);
    if (!at)
        return "";
    *at = 0;
    return (const char *)b->ptr;
}

int buf_error(const struct buf *b)
{
    return b->failed ? ERR_NOMEM : OK;
}

int buf_pad(struct buf *b)
{
    uint8_t *pad = buf_reserve(b, PAYLOAD_PAD);
    if (!pad)
        return ERR_NOMEM;
    memset(pad, 0, PAYLOAD_PAD);
    return OK;
}

int buf_copy_padded(struct buf *b, struct bytes v)
{
    buf_reset(b);
    (void)buf_append_bytes(b, v);
    return buf_pad(b);
}

struct bytes reader_take(struct reader *r, size_t n)
{
    if (r->failed || reader_left(r) < n) {
        r->failed = true;
        return bytes_of(NULL, 0);
    }
    struct bytes v = bytes_of(r->ptr, n);
    r->ptr += n;
    return v;
}

uint8_t reader_u8(struct reader *r)
{
    struct bytes v = reader_take(r, 1);
    return v.ptr ? v.ptr[0] : 0;
}

uint16_t reader_be16(struct reader *r)
{
    struct bytes v = reader_take(r, 2);
    return v.ptr ? load_be16(v.ptr) : 0;
}

uint32_t reader_be32(struct reader *r)
{
    struct bytes v = reader_take(r, 4);
    return v.ptr ? load_be32(v.ptr) : 0;
}

uint16_t reader_le16(struct reader *r)
{
    struct bytes v = reader_take(r, 2);
    return v.ptr ? load_le16(v.ptr) : 0;
}

uint32_t reader_le32(struct reader *r)
{
    struct bytes v = reader_take(r, 4);
    return v.ptr ? load_le32(v.ptr) : 0;
}

uint64_t reader_le64(struct reader *r)
{
    struct bytes v = reader_take(r, 8);
    return v.ptr ? load_le64(v.ptr) : 0;
}

double reader_finite(struct reader *r)
{
    uint64_t bits = reader_le64(r);
    double v;
    memcpy(&v, &bits, sizeof v);
    if (!isfinite(v))
        r->failed = true;
    return r->failed ? 0 : v;
}

uint64_t reader_varint(struct reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = reader_u8(r);
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            break;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return r->failed ? 0 : v;
    }
    r->failed = true;
    return 0;
}

struct payload *payload_new(size_t len)
{
    struct payload *p =
        len > SIZE_MAX - sizeof *p - PAYLOAD_PAD ? NULL : malloc(sizeof *p + len + PAYLOAD_PAD);
    if (!p)
        return NULL;
    atomic_init(&p->refs, 1);
    p->len = len;
    memset(p->data + len, 0, PAYLOAD_PAD);
    return p;
}

struct payload *payload_copy(struct bytes v)
{
    struct payload *p = payload_new(v.len);
    if (p && v.len)
        memcpy(p->data, v.ptr, v.len);
    return p;
}

struct payload *payload_ref(struct payload *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void payload_unref(struct payload *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        free(p);
}
