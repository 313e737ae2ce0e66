/* The kernel's file operations. See io.h.
 *
 * Where a file system cannot reserve space (no fallocate), zeros are written: slower, and the same
 * promise.
 */
#include "journal/io.h"

#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int kernel_allocate(void *ctx, int fd, uint64_t bytes)
{
    (void)ctx;
    for (;;) {
        int rc = posix_fallocate(fd, 0, (off_t)bytes);
        if (rc != EINTR)
            return err_from_errno(rc);
    }
}

static ssize_t kernel_write(void *ctx, int fd, const struct iovec *parts, int count,
                            uint64_t offset)
{
    (void)ctx;
    ssize_t written = pwritev(fd, parts, count, (off_t)offset);
    return written < 0 ? -(ssize_t)errno : written;
}

static int kernel_sync(void *ctx, int fd)
{
    (void)ctx;
    return fdatasync(fd) == 0 ? OK : err_from_errno(errno);
}

const struct journal_io journal_io_kernel = {
    .ctx = NULL,
    .allocate = kernel_allocate,
    .write = kernel_write,
    .sync = kernel_sync,
};

int journal_io_write_all(const struct journal_io *io, int fd, struct iovec *parts, int count,
                         uint64_t offset)
{
    while (count > 0) {
        ssize_t written = io->write(io->ctx, fd, parts, count, offset);
        if (written == -EINTR)
            continue;
        if (written < 0)
            return err_from_errno((int)-written);
        /* Nothing written and no error cannot be waited out. */
        if (written == 0)
            return ERR_IO;
        offset += (uint64_t)written;
        size_t left = (size_t)written;
        while (count > 0 && left >= parts->iov_len) {
            left -= parts->iov_len;
            parts++;
            count--;
        }
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + left;
            parts->iov_len -= left;
        }
    }
    return OK;
}

int journal_io_read(int fd, uint8_t *out, size_t len, uint64_t offset, size_t *ret_got)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(fd, out + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_got = got;
    return OK;
}
