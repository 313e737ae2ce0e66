/* A segment file: walked record by record, dumped, and what was read is written again the same.
 *
 * The input is the file. Its first bytes are also tried as a file's name.
 */
#include "base/err.h"
#include "journal/segment.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(const struct segment_head *head, const uint8_t *data)
{
    uint8_t again[SEGMENT_HEAD_BYTES];
    struct segment_head copy = *head;
    segment_head_encode(&copy, again);
    assert(copy.seed == head->seed || memcmp(again, data, sizeof again) != 0);
}

static void check_record(const struct segment_head *head, const struct segment_record *r)
{
    uint64_t bytes;
    struct segment_record again;
    uint64_t need = segment_record_bytes(r->payload.len);
    uint8_t *out = calloc(1, need);
    if (!out)
        return;
    segment_record_encode(head, r, &r->payload, 1, out);
    if (r->payload.len)
        memcpy(out + SEGMENT_RECORD_HEAD_BYTES, r->payload.ptr, r->payload.len);
    int err = segment_record_decode(head, bytes_of(out, need), &again, &bytes);
    assert(err == OK && bytes == need && again.seq == r->seq && again.time_us == r->time_us &&
           again.codec == r->codec && bytes_equal(again.payload, r->payload));
    free(out);
}

static void try_name(const uint8_t *data, size_t size)
{
    char name[SEGMENT_NAME_BYTES + 8] = {0};
    char again[SEGMENT_NAME_BYTES];
    uint64_t epoch;
    uint64_t seq;
    memcpy(name, data, size < sizeof name - 1 ? size : sizeof name - 1);
    if (!segment_name_parse(name, &epoch, &seq))
        return;
    segment_name(epoch, seq, again);
    assert(strcmp(name, again) == 0);
}

static void walk_file(int fd, const uint8_t *data)
{
    struct segment_walk w;
    struct segment_record r;
    uint64_t dirty = 0;
    if (segment_walk_init(&w, fd) == OK) {
        check_head(&w.head, data);
        uint64_t before = w.offset;
        while (segment_walk_next(&w, &r) == OK) {
            assert(w.offset > before);
            before = w.offset;
            check_record(&w.head, &r);
            if (r.codec == 77)
                segment_walk_forget(&w);
        }
        assert(w.offset == before);
        (void)segment_dirty_bytes(fd, w.offset, &dirty);
    }
    segment_walk_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct buf text = {0};
    try_name(data, size);
    (void)segment_log_hash("streams");
    int fd = memfd_create("segment", MFD_CLOEXEC);
    if (fd < 0)
        return 0;
    if (size == 0 || write(fd, data, size) == (ssize_t)size) {
        walk_file(fd, data);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int err = segment_dump(path, &text);
        assert(err == OK && text.len > 0);
        /* A folder opens, and cannot be read. */
        err = segment_dump("/", &text);
        assert(err != OK);
        err = segment_dump("", &text);
        assert(err != OK);
    }
    buf_fini(&text);
    (void)close(fd);
    return 0;
}
