/* A run of the adjacency index: opened, walked, looked up; what it tells are entries, which are
 * decoded. The file is in memory. Its checksums would keep the fuzzer out, so it makes them right
 * when the first byte of its input says so. */
#include "journal/crc32c.h"
#include "trace/trace_priv.h"

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define FOOT      24
#define DIRECTORY 16
#define LOOKUPS   64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksums of blocks and directory, as far as their sizes allow. */
static void mend(uint8_t *file, size_t size)
{
    uint64_t offset = 0;
    if (size < FOOT)
        return;
    uint64_t blocks = load_le32(file + size - 8);
    if (blocks * DIRECTORY > size - FOOT)
        return;
    uint8_t *directory = file + size - FOOT - blocks * DIRECTORY;
    for (uint64_t i = 0; i < blocks; i++) {
        uint8_t *d = directory + i * DIRECTORY;
        uint32_t bytes = load_le32(d + 8);
        if (bytes > (uint64_t)(directory - file) - offset)
            break;
        store_le32(d + 12, crc32c(0, bytes_of(file + offset, bytes)));
        offset += bytes;
    }
    size_t checked = blocks * DIRECTORY + FOOT - 4;
    store_le32(file + size - 4, crc32c(0, bytes_of(directory, checked)));
}

struct counting {
    uint64_t hash;
    uint64_t count;
};

static int count(void *ctx, uint64_t hash, struct bytes entry)
{
    struct counting *c = ctx;
    (void)entry;
    assert(hash == c->hash);
    c->count++;
    return OK;
}

static void entry_read(struct bytes entry)
{
    struct arena arena = {0};
    struct trace_entry e = {0};
    if (trace_index_entry(&arena, entry, &e) == OK)
        assert(e.kind && e.position && e.other);
    arena_fini(&arena);
}

static void walk(struct run *r)
{
    struct run_cursor c = {.run = r};
    int err;
    for (uint32_t i = 0; (err = run_next(&c)) == OK; i++) {
        struct counting counting = {.hash = c.hash};
        entry_read(c.entry);
        if (i < LOOKUPS && run_find(r, c.hash, count, &counting) == OK)
            assert(counting.count > 0);
    }
    assert(err == ERR_NOT_FOUND || err == ERR_CHECKSUM || err == ERR_MALFORMED || err == ERR_SHORT);
    run_cursor_fini(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct run *r = NULL;
    struct diag diag = {0};
    if (size == 0)
        return 0;
    int fd = memfd_create("run", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    struct buf file = {0};
    (void)buf_append(&file, data + 1, size - 1);
    if (data[0] & 1 && file.ptr)
        mend(file.ptr, file.len);
    bool whole = file.len == 0 || write(fd, file.ptr, file.len) == (ssize_t)file.len;
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int err = whole ? run_open(path, &r, &diag) : ERR_IO;
    assert(err || r);
    if (!err) {
        walk(r);
        run_unref(r);
    }
    buf_fini(&file);
    (void)close(fd);
    return 0;
}
