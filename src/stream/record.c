/* Reads and writes the head of a record. See record.h. */
#include "stream/record.h"

#include "base/err.h"
#include "base/str.h"

enum record_flags {
    RECORD_HAS_ORIGIN = 1u << 0,
    RECORD_HAS_KEY = 1u << 1,
};

static bool name_fits(struct bytes name, size_t max)
{
    return name.len > 0 && name.len <= max;
}

int record_head_encode(const struct record *r, struct buf *out)
{
    size_t before = out->len;
    bool origin = !position_is_none(r->origin);
    bool key = r->key.major || r->key.minor;
    if (!name_fits(r->node, RECORD_NODE_BYTES_MAX) ||
        !name_fits(r->stream, RECORD_STREAM_BYTES_MAX))
        return ERR_INVALID;
    (void)buf_append_u8(out, RECORD_VERSION);
    (void)buf_append_u8(out, (origin ? RECORD_HAS_ORIGIN : 0) | (key ? RECORD_HAS_KEY : 0));
    (void)buf_append_varint(out, r->node.len);
    (void)buf_append_bytes(out, r->node);
    (void)buf_append_varint(out, r->stream.len);
    (void)buf_append_bytes(out, r->stream);
    if (origin) {
        (void)buf_append_le64(out, r->origin.epoch);
        (void)buf_append_le64(out, r->origin.seq);
    }
    if (key) {
        (void)buf_append_le64(out, r->key.major);
        (void)buf_append_le64(out, r->key.minor);
    }
    int err = buf_error(out);
    if (err)
        out->len = before; /* no memory */
    return err;
}

static struct bytes name_read(struct reader *in, size_t max)
{
    uint64_t len = reader_varint(in);
    if (len > max)
        in->failed = true;
    return in->failed ? bytes_of(NULL, 0) : reader_take(in, (size_t)len);
}

int record_decode(struct bytes payload, struct record *ret)
{
    struct reader in = reader_of(payload);
    struct record r = {0};
    uint8_t version = reader_u8(&in);
    uint8_t flags = reader_u8(&in);
    if (in.failed)
        return ERR_SHORT;
    if (version != RECORD_VERSION)
        return ERR_VERSION;
    if (flags & ~(RECORD_HAS_ORIGIN | RECORD_HAS_KEY))
        return ERR_MALFORMED;
    r.node = name_read(&in, RECORD_NODE_BYTES_MAX);
    r.stream = name_read(&in, RECORD_STREAM_BYTES_MAX);
    if (flags & RECORD_HAS_ORIGIN) {
        r.origin.epoch = reader_le64(&in);
        r.origin.seq = reader_le64(&in);
    }
    if (flags & RECORD_HAS_KEY) {
        r.key.major = reader_le64(&in);
        r.key.minor = reader_le64(&in);
    }
    if (in.failed || reader_left(&in) == 0)
        return ERR_SHORT;
    if (r.node.len == 0 || r.stream.len == 0 || !str_is_utf8(r.node) || !str_is_utf8(r.stream))
        return ERR_MALFORMED;
    if ((flags & RECORD_HAS_ORIGIN) && (r.origin.epoch == 0 || r.origin.seq == 0))
        return ERR_MALFORMED;
    r.columnar = reader_take(&in, reader_left(&in));
    *ret = r;
    return OK;
}
