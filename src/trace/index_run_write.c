/* Writing sorted runs of the adjacency index. See index_run.h. */
#include "journal/crc32c.h"
#include "journal/io.h"
#include "trace/index_run.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int run_failed(struct diag *diag, int err, const char *what, const char *path)
{
    return diag_set(diag, err, 0, 0, "%s %s: %s", what, path, err_text(err));
}

int run_write_begin(struct run_writer *w, const char *path, struct diag *diag)
{
    *w = (struct run_writer){.path = path};
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    return w->fd < 0 ? run_failed(diag, err_from_errno(errno), "cannot make", path) : OK;
}

static int write_all(struct run_writer *w, const struct buf *v, struct diag *diag)
{
    struct iovec part = {v->ptr, v->len};
    int err = journal_io_write_all(&journal_io_kernel, w->fd, &part, 1, w->offset);
    w->offset += v->len;
    return err ? run_failed(diag, err, "cannot write", w->path) : OK;
}

static int block_end(struct run_writer *w, struct diag *diag)
{
    if (w->block.len == 0)
        return OK;
    (void)buf_append_le64(&w->directory, w->first);
    (void)buf_append_le32(&w->directory, (uint32_t)w->block.len);
    (void)buf_append_le32(&w->directory, crc32c(0, buf_bytes(&w->block)));
    w->blocks++;
    int err = buf_error(&w->directory);
    if (!err)
        err = write_all(w, &w->block, diag);
    buf_reset(&w->block);
    return err;
}

int run_write(struct run_writer *w, uint64_t hash, struct bytes entry, struct diag *diag)
{
    if (hash < w->last || entry.len > RUN_BLOCK_BYTES_MAX - 2 * RUN_BLOCK_BYTES)
        return ERR_INVALID;
    if (w->block.len == 0)
        w->first = hash;
    w->last = hash;
    w->entries++;
    (void)buf_append_le64(&w->block, hash);
    (void)buf_append_varint(&w->block, entry.len);
    (void)buf_append_bytes(&w->block, entry);
    int err = buf_error(&w->block);
    return err || w->block.len < RUN_BLOCK_BYTES ? err : block_end(w, diag);
}

static int foot_write(struct run_writer *w, struct diag *diag)
{
    struct buf *d = &w->directory;
    (void)buf_append(d, RUN_MAGIC, 8);
    (void)buf_append_le64(d, w->entries);
    (void)buf_append_le32(d, w->blocks);
    (void)buf_append_le32(d, crc32c(0, buf_bytes(d)));
    int err = buf_error(d);
    if (!err)
        err = write_all(w, d, diag);
    if (err)
        return err;
    err = journal_io_kernel.sync(journal_io_kernel.ctx, w->fd);
    return err ? run_failed(diag, err, "cannot write", w->path) : OK;
}

static void writer_fini(struct run_writer *w)
{
    if (w->fd >= 0)
        (void)close(w->fd);
    w->fd = -1;
    buf_fini(&w->block);
    buf_fini(&w->directory);
}

int run_write_end(struct run_writer *w, struct run **ret, struct diag *diag)
{
    int err = block_end(w, diag);
    if (!err)
        err = foot_write(w, diag);
    if (!err)
        err = run_open(w->path, ret, diag);
    if (err)
        run_write_abort(w);
    else
        writer_fini(w);
    return err;
}

void run_write_abort(struct run_writer *w)
{
    if (w->fd < 0)
        return;
    writer_fini(w);
    (void)unlink(w->path);
}
