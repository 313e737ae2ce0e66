/* What must survive of a CSV folder, in keyed state: see file.c for its two kinds of keys. */
#include "source/file_priv.h"

#include <stdlib.h>
#include <string.h>

#define STATE_VERSION 1

const struct source_hooks *file_hooks(const struct file_source *s)
{
    return &s->base.stage->options.hooks;
}

static int state_put_buf(struct file_source *s, const char *what, const char *file,
                         const struct buf *value)
{
    struct buf key = {0};
    int err = buf_printf(&key, "source/%s/%s%s", s->base.name, what, file);
    if (!err)
        err = buf_error(value);
    if (!err)
        err = file_hooks(s)->state_put(file_hooks(s)->ctx, buf_bytes(&key), buf_bytes(value));
    buf_fini(&key);
    return err;
}

int file_known_store(struct file_source *s, const struct file_known *f)
{
    struct buf v = {0};
    (void)buf_append_u8(&v, STATE_VERSION);
    (void)buf_append_le64(&v, f->id);
    (void)buf_append_le64(&v, f->offset);
    (void)buf_append_le64(&v, f->line);
    int err = state_put_buf(s, "file/", f->name, &v);
    buf_fini(&v);
    return err;
}

int file_part_store(struct file_source *s)
{
    const struct file_part *p = &s->part;
    struct buf v = {0};
    (void)buf_append_u8(&v, STATE_VERSION);
    (void)buf_append_le64(&v, p->key);
    (void)buf_append_le64(&v, p->id);
    (void)buf_append_le64(&v, p->from);
    (void)buf_append_le64(&v, p->to);
    (void)buf_append_le64(&v, p->line);
    (void)buf_append_text(&v, p->name);
    int err = state_put_buf(s, "at", "", &v);
    buf_fini(&v);
    return err;
}

int file_broken_store(struct file_source *s)
{
    const struct file_broken *b = &s->broken;
    struct buf v = {0};
    (void)buf_append_u8(&v, STATE_VERSION);
    (void)buf_append_le64(&v, b->lines);
    (void)buf_append_varint(&v, strlen(b->name));
    (void)buf_append_text(&v, b->name);
    (void)buf_append_text(&v, b->text);
    int err = state_put_buf(s, "broken", "", &v);
    buf_fini(&v);
    return err;
}

struct file_known *file_known_add(struct file_source *s, struct bytes name)
{
    struct file_known *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->name = bytes_to_text(name);
    if (!f->name || map_put(&s->known, name, f, NULL) != OK) {
        free(f->name);
        free(f);
        return NULL;
    }
    return f;
}

void file_known_free(struct file_known *f)
{
    free(f->name);
    free(f);
}

static int known_load(void *ctx, struct bytes key, struct bytes value)
{
    struct file_source *s = ctx;
    size_t skip = strlen("source/") + strlen(s->base.name) + strlen("/file/");
    struct reader in = reader_of(value);
    if (reader_u8(&in) != STATE_VERSION || key.len <= skip || key.len - skip > NAME_MAX)
        return OK;
    struct file_known *f = file_known_add(s, bytes_of(key.ptr + skip, key.len - skip));
    if (!f)
        return ERR_NOMEM;
    struct bytes numbers = reader_take(&in, 24);
    if (in.failed)
        return OK;
    f->id = load_le64(numbers.ptr);
    f->offset = load_le64(numbers.ptr + 8);
    f->line = load_le64(numbers.ptr + 16);
    return OK;
}

static void part_decode(struct file_source *s, struct bytes value)
{
    struct reader in = reader_of(value);
    struct file_part p = {0};
    if (reader_u8(&in) != STATE_VERSION)
        return;
    p.key = reader_le64(&in);
    p.id = reader_le64(&in);
    p.from = reader_le64(&in);
    p.to = reader_le64(&in);
    p.line = reader_le64(&in);
    if (in.failed || reader_left(&in) == 0 || reader_left(&in) > NAME_MAX)
        return;
    s->key = p.key;
    if (p.to <= p.from)
        return; /* nothing was on its way */
    memcpy(p.name, in.ptr, reader_left(&in));
    s->part = p;
}

static void broken_decode(struct file_source *s, struct bytes value)
{
    struct reader in = reader_of(value);
    struct file_broken b = {0};
    if (reader_u8(&in) != STATE_VERSION)
        return;
    b.lines = b.told = reader_le64(&in);
    uint64_t len = reader_varint(&in);
    struct bytes name = reader_take(&in, len <= NAME_MAX ? (size_t)len : 0);
    if (in.failed || name.len == 0 || reader_left(&in) >= sizeof b.text)
        return;
    memcpy(b.name, name.ptr, name.len);
    memcpy(b.text, in.ptr, reader_left(&in));
    s->broken = b;
}

/* The value of source/NAME/WHAT, empty if there is none. */
static struct bytes state_value(struct file_source *s, const char *what, struct buf *value)
{
    struct buf key = {0};
    buf_reset(value);
    int err = buf_printf(&key, "source/%s/%s", s->base.name, what);
    if (!err)
        err = file_hooks(s)->state_get(file_hooks(s)->ctx, buf_bytes(&key), value);
    buf_fini(&key);
    return err ? bytes_of("", 0) : buf_bytes(value);
}

int file_state_load(struct file_source *s)
{
    struct buf text = {0};
    struct buf value = {0};
    (void)buf_printf(&text, "source/%s/file/", s->base.name);
    int err = file_hooks(s)->state_each(file_hooks(s)->ctx, buf_bytes(&text), known_load, s);
    if (!err) {
        part_decode(s, state_value(s, "at", &value));
        broken_decode(s, state_value(s, "broken", &value));
    }
    buf_fini(&text);
    buf_fini(&value);
    return err;
}
