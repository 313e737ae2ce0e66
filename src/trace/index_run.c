/* Reading sorted runs of the adjacency index. See index_run.h. */
#include "trace/index_run.h"

#include "journal/crc32c.h"
#include "journal/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOOT_BYTES      24
#define DIRECTORY_BYTES 16 /* of a block */

struct block {
    uint64_t hash;
    uint64_t offset;
    uint32_t bytes;
    uint32_t checksum;
};

struct run {
    uint32_t refs;
    int fd;
    struct run_info info;
    struct block *blocks;
    uint32_t block_count;
};

/* -------------------------------------------------------------------------------------- reading
 */

/* The whole stretch. ERR_SHORT: the file ends before. */
static int read_at(int fd, uint8_t *out, size_t len, uint64_t offset)
{
    size_t got = 0;
    int err = journal_io_read(fd, out, len, offset, &got);
    return err || got == len ? err : ERR_SHORT;
}

static int buf_read_at(int fd, struct buf *out, size_t len, uint64_t offset)
{
    buf_reset(out);
    uint8_t *to = buf_extend(out, len);
    return to ? read_at(fd, to, len, offset) : ERR_NOMEM;
}

/* The blocks follow one another from the beginning of the file to the directory. */
static int blocks_read(struct run *r, struct bytes directory)
{
    struct reader in = reader_of(directory);
    uint64_t offset = 0;
    r->blocks = calloc((size_t)r->block_count + 1, sizeof *r->blocks);
    if (!r->blocks)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->block_count; i++) {
        struct block *b = &r->blocks[i];
        b->hash = reader_le64(&in);
        b->bytes = reader_le32(&in);
        b->checksum = reader_le32(&in);
        b->offset = offset;
        offset += b->bytes;
        if (b->bytes == 0 || b->bytes > RUN_BLOCK_BYTES_MAX || (i && b->hash < b[-1].hash))
            return ERR_MALFORMED;
    }
    return offset + directory.len + FOOT_BYTES == r->info.bytes ? OK : ERR_MALFORMED;
}

static int directory_read(struct run *r, struct buf *buf)
{
    uint8_t foot[FOOT_BYTES];
    if (r->info.bytes < FOOT_BYTES)
        return ERR_SHORT;
    int err = read_at(r->fd, foot, sizeof foot, r->info.bytes - FOOT_BYTES);
    if (err)
        return err;
    r->info.entries = load_le64(foot + 8);
    r->block_count = load_le32(foot + 16);
    r->info.checksum = load_le32(foot + 20);
    uint64_t len = (uint64_t)r->block_count * DIRECTORY_BYTES;
    if (memcmp(foot, RUN_MAGIC, 8) != 0 || len > r->info.bytes - FOOT_BYTES)
        return ERR_MALFORMED;
    err = buf_read_at(r->fd, buf, len, r->info.bytes - FOOT_BYTES - len);
    if (err)
        return err;
    uint32_t checksum = crc32c(0, buf_bytes(buf));
    if (crc32c(checksum, bytes_of(foot, FOOT_BYTES - 4)) != r->info.checksum)
        return ERR_CHECKSUM;
    return blocks_read(r, buf_bytes(buf));
}

static int run_read(struct run *r, const char *path)
{
    struct stat info;
    struct buf buf = {0};
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0)
        return err_from_errno(errno);
    if (fstat(r->fd, &info))
        return err_from_errno(errno);
    r->info.bytes = (uint64_t)info.st_size;
    int err = directory_read(r, &buf);
    buf_fini(&buf);
    return err;
}

int run_open(const char *path, struct run **ret, struct diag *diag)
{
    struct run *r = calloc(1, sizeof *r);
    if (!r)
        return ERR_NOMEM;
    r->refs = 1;
    int err = run_read(r, path);
    if (err) {
        run_unref(r);
        return diag_set(diag, err, 0, 0, "cannot read the units' index in %s: %s", path,
                        err_text(err));
    }
    *ret = r;
    return OK;
}

struct run_info run_info(const struct run *r)
{
    return r->info;
}

struct run *run_ref(struct run *r)
{
    r->refs++;
    return r;
}

void run_unref(struct run *r)
{
    if (!r || --r->refs)
        return;
    if (r->fd >= 0)
        (void)close(r->fd);
    free(r->blocks);
    free(r);
}

/* The next one, whose first entry has the hash that the directory says. */
static int cursor_block(struct run_cursor *c)
{
    const struct run *r = c->run;
    if (c->block == r->block_count)
        return ERR_NOT_FOUND;
    const struct block *b = &r->blocks[c->block++];
    int err = buf_read_at(r->fd, &c->bytes, b->bytes, b->offset);
    if (!err && crc32c(0, buf_bytes(&c->bytes)) != b->checksum)
        err = ERR_CHECKSUM;
    if (!err && (b->bytes < sizeof b->hash || load_le64(c->bytes.ptr) != b->hash))
        err = ERR_MALFORMED;
    c->rest = reader_of(err ? bytes_of("", 0) : buf_bytes(&c->bytes));
    return err;
}

/* Hashes never fall, within a block and from one to the next: run_find relies on it. */
int run_next(struct run_cursor *c)
{
    int err = reader_left(&c->rest) ? OK : cursor_block(c);
    if (err)
        return err;
    uint64_t hash = reader_le64(&c->rest);
    uint64_t len = reader_varint(&c->rest);
    if (c->rest.failed || hash < c->hash || len > reader_left(&c->rest))
        return ERR_MALFORMED;
    c->hash = hash;
    c->entry = reader_take(&c->rest, (size_t)len);
    return OK;
}

void run_cursor_fini(struct run_cursor *c)
{
    buf_fini(&c->bytes);
}

/* The first block that may have an entry of the hash: the last that begins below it. */
static uint32_t block_of(const struct run *r, uint64_t hash)
{
    uint32_t from = 0;
    uint32_t to = r->block_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (r->blocks[middle].hash < hash)
            from = middle + 1;
        else
            to = middle;
    }
    return from ? from - 1 : 0;
}

int run_find(const struct run *r, uint64_t hash, run_entry_fn fn, void *ctx)
{
    struct run_cursor c = {.run = r, .block = block_of(r, hash)};
    int err = OK;
    /* Not into a block that begins behind it. */
    while (!err && (reader_left(&c.rest) ||
                    (c.block < r->block_count && r->blocks[c.block].hash <= hash))) {
        err = run_next(&c);
        if (!err && c.hash > hash)
            break;
        if (!err && c.hash == hash)
            err = fn(ctx, hash, c.entry);
    }
    run_cursor_fini(&c);
    return err;
}
