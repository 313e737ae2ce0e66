/* A sorted run of the adjacency index: a file that is written once, whole, and then only read.
 *
 *     blocks      entries one after the other: le64 hash, varint length, that many bytes. The
 *                 hashes never fall; equal ones are in the order in which they were written. A
 *                 block ends after the first entry that fills RUN_BLOCK_BYTES.
 *     directory   for each block le64 its first hash, le32 its bytes, le32 their CRC-32C
 *     foot        "LTRUN001", le64 entries, le32 blocks, le32 CRC-32C of directory and the fields
 *                 of the foot before it
 *
 * The directory is kept in memory (24 bytes for 8 KiB of file); a key is one read of one block. The
 * file is read, not mapped, so that what the node seems to weigh does not grow with the past.
 *
 * All functions block on the disk. A run may be read by any number of threads at a time.
 */
#ifndef LOTLINE_TRACE_INDEX_RUN_H
#define LOTLINE_TRACE_INDEX_RUN_H

#include "base/bytes.h"
#include "base/err.h"

#define RUN_MAGIC           "LTRUN001"
#define RUN_BLOCK_BYTES     8192
#define RUN_BLOCK_BYTES_MAX ((uint32_t)64 << 20) /* one entry may be larger than a block */

struct run;

struct run_info {
    uint64_t entries;
    uint64_t bytes;    /* of the file */
    uint32_t checksum; /* of the directory, which has those of the blocks: what is in the file */
};

/* Opens and checks the directory, not the blocks. The caller has the one reference. ERR_NOT_FOUND,
 * ERR_MALFORMED, ERR_CHECKSUM, ERR_IO, ERR_NOMEM; diag says which file. */
int run_open(const char *path, struct run **ret, struct diag *diag);

struct run_info run_info(const struct run *r);

/* References are counted under the caller's lock. The last one gone closes the file; it may have
 * been removed before. */
struct run *run_ref(struct run *r);
void run_unref(struct run *r); /* NULL is allowed */

/* One entry, borrowed for the call. A non-zero return ends the walk and is returned. */
typedef int (*run_entry_fn)(void *ctx, uint64_t hash, struct bytes entry);

/* All entries of this hash, in the order in which they were written. ERR_CHECKSUM, ERR_MALFORMED
 * (the file was damaged), ERR_IO, ERR_NOMEM, or what fn returned. */
int run_find(const struct run *r, uint64_t hash, run_entry_fn fn, void *ctx);

/* Where a walk is. Zero-initialised but for `run` stands before the first entry. */
struct run_cursor {
    const struct run *run;
    uint32_t block; /* that is read next */
    struct buf bytes;
    struct reader rest; /* of the block */
    uint64_t hash;      /* of the entry */
    struct bytes entry; /* valid until the next call */
};

/* Goes to the next entry. ERR_NOT_FOUND: there is none; else as run_find. */
int run_next(struct run_cursor *c);
void run_cursor_fini(struct run_cursor *c);

/* A run in the making. */
struct run_writer {
    int fd;
    const char *path; /* the caller's, until end or abort */
    struct buf block;
    struct buf directory;
    uint64_t offset; /* bytes written */
    uint64_t first;  /* hash of the block */
    uint64_t last;   /* hash that was written last */
    uint64_t entries;
    uint32_t blocks;
};

/* Makes the file, which must not be there. */
int run_write_begin(struct run_writer *w, const char *path, struct diag *diag);

/* The hash is not below the one before. */
int run_write(struct run_writer *w, uint64_t hash, struct bytes entry, struct diag *diag);

/* Puts it on the disk and opens it; on failure the file is gone. */
int run_write_end(struct run_writer *w, struct run **ret, struct diag *diag);

/* Removes the file. */
void run_write_abort(struct run_writer *w);

#endif
