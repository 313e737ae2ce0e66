/* A lookup's last answer, kept over a restart, so that a node that starts while the other side is
 * down still knows who worked where and which lot was on which feeder.
 *
 *     source/NAME/table    version, hash of the URL, when it was answered, bytes, zstd of the
 * answer
 *
 * The answer is kept as it came and is decoded anew, so that it is good for a changed configuration
 * too, as long as the URL is the same. It lies in the journal's keyed state: one value a lookup, of
 * at most STATE_VALUE_BYTES_MAX, written when it has changed, and a large one not at each change:
 * no more than TABLE_KEEP_BYTES_S a second is written of one lookup.
 */
#include "base/log.h"
#include "source/source_priv.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>
#include <zstd.h>

#define TABLE_VERSION      1
#define TABLE_KEEP_BYTES_S (1u << 20)
#define TABLE_KEEP_MAX     (16u << 20) /* of the keyed state's values */
#define TABLE_ZSTD_LEVEL   1

static const struct source_hooks *hooks(const struct http_source *s)
{
    return &s->base.stage->options.hooks;
}

static struct bytes table_key(const struct http_source *s, struct buf *b)
{
    (void)buf_printf(b, "source/%s/table", s->base.name);
    return buf_bytes(b);
}

static uint64_t url_hash(const struct http_source *s)
{
    return XXH3_64bits(s->shown, strlen(s->shown));
}

/* ------------------------------------------------------------------------------------------ store
 */

static void table_store(struct http_source *s)
{
    struct buf key = {0};
    struct bytes value = buf_bytes(&s->kept);
    if (value.len == 0)
        return;
    int err = hooks(s)->state_put(hooks(s)->ctx, table_key(s, &key), value);
    if (err)
        log_warn("source", "the table of the lookup %s is not kept: %s; a restart needs an answer",
                 s->base.name, err_text(err));
    s->keep_after_us =
        exec_now_us(s->base.out.exec) + (int64_t)(value.len * 1000000 / TABLE_KEEP_BYTES_S);
    buf_fini(&s->kept);
    s->kept = (struct buf){0};
    buf_fini(&key);
}

static int table_encode(struct http_source *s, struct bytes answer)
{
    struct buf *out = &s->kept;
    size_t most = ZSTD_compressBound(answer.len);
    buf_reset(out);
    (void)buf_append_u8(out, TABLE_VERSION);
    (void)buf_append_le64(out, url_hash(s));
    (void)buf_append_le64(out, (uint64_t)exec_wall_us(s->base.out.exec));
    (void)buf_append_le64(out, answer.len);
    size_t head = out->len;
    uint8_t *to = buf_extend(out, most);
    if (!to)
        return ERR_NOMEM;
    size_t used = ZSTD_compress(to, most, answer.ptr, answer.len, TABLE_ZSTD_LEVEL);
    if (ZSTD_isError(used))
        return ERR_NOMEM;
    out->len = head + used;
    return out->len > TABLE_KEEP_MAX ? ERR_LIMIT : OK;
}

void table_keep(struct http_source *s, struct bytes answer)
{
    if (!hooks(s)->state_put)
        return;
    int err = table_encode(s, answer);
    if (err) {
        log_warn("source", "the table of the lookup %s is not kept: %s; a restart needs an answer",
                 s->base.name, err_text(err));
        buf_reset(&s->kept);
        return;
    }
    if (exec_now_us(s->base.out.exec) >= s->keep_after_us)
        table_store(s);
    else
        (void)exec_timer_start(s->base.out.exec, &s->keep_timer, s->keep_after_us);
}

static void keep_timer_run(struct exec_timer *timer)
{
    table_store(CONTAINER_OF(timer, struct http_source, keep_timer));
}

void table_keep_init(struct http_source *s)
{
    exec_timer_init(&s->keep_timer, keep_timer_run);
}

void table_keep_close(struct http_source *s)
{
    exec_timer_stop(s->base.out.exec, &s->keep_timer);
    table_store(s);
}

/* ------------------------------------------------------------------------------------------- load
 */

static int table_decode(struct http_source *s, struct bytes value)
{
    struct reader in = reader_of(value);
    uint8_t version = reader_u8(&in);
    uint64_t url = reader_le64(&in);
    int64_t asked_us = (int64_t)reader_le64(&in);
    uint64_t len = reader_le64(&in);
    if (in.failed || version != TABLE_VERSION || len > s->options.bytes_max)
        return ERR_VERSION;
    if (url != url_hash(s))
        return ERR_CONFLICT; /* it is asked elsewhere now */
    struct bytes packed = reader_take(&in, reader_left(&in));
    uint8_t *answer = calloc(1, (size_t)len + PAYLOAD_PAD);
    if (!answer)
        return ERR_NOMEM;
    int err = ZSTD_decompress(answer, (size_t)len, packed.ptr, packed.len) == (size_t)len
                  ? http_table_take(s, bytes_of(answer, (size_t)len))
                  : ERR_MALFORMED;
    free(answer);
    if (!err)
        s->table_us = asked_us;
    return err;
}

void table_load(struct http_source *s)
{
    struct buf key = {0};
    struct buf value = {0};
    if (!hooks(s)->state_get)
        return;
    int err = hooks(s)->state_get(hooks(s)->ctx, table_key(s, &key), &value);
    if (!err)
        err = table_decode(s, buf_bytes(&value));
    if (err && err != ERR_NOT_FOUND)
        log_warn("source", "what the lookup %s gave to an earlier run is of no use: %s",
                 s->base.name, s->problem[0] ? s->problem : err_text(err));
    buf_fini(&key);
    buf_fini(&value);
}
