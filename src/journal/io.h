/* The file operations on which "durable" depends, as a table, so that a test can let the n-th fail.
 */
#ifndef LOTLINE_JOURNAL_IO_H
#define LOTLINE_JOURNAL_IO_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct journal_io {
    void *ctx;
    /* Reserves bytes for a new file: afterwards writing into them finds space. 0 or ERR_*. */
    int (*allocate)(void *ctx, int fd, uint64_t bytes);
    /* As pwritev(2), but gives -errno. May write less. */
    ssize_t (*write)(void *ctx, int fd, const struct iovec *parts, int count, uint64_t offset);
    /* As fdatasync(2): 0 or ERR_*. */
    int (*sync)(void *ctx, int fd);
};

/* The kernel's. */
extern const struct journal_io journal_io_kernel;

/* Writes all parts (at most IO_PARTS_MAX; changed on the way) at offset. 0 or ERR_*. */
#define IO_PARTS_MAX 12
int journal_io_write_all(const struct journal_io *io, int fd, struct iovec *parts, int count,
                         uint64_t offset);

/* Reads up to len bytes; *ret_got is less only at the end of the file. 0 or ERR_IO. */
int journal_io_read(int fd, uint8_t *out, size_t len, uint64_t offset, size_t *ret_got);

#endif
