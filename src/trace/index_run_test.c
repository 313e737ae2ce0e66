/* Sorted runs: what was written is found, in order; what was damaged is refused. */
#include "trace/index_run.h"

#include "base/rand.h"
#include "tests/support/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASHES 3000

static void path_of(const char *name, char out[static 600])
{
    (void)snprintf(out, 600, "%s/%s", check_folder(), name);
}

/* Hash i × step has i % 5 entries, "i.0", "i.1" …; that of i = 7 has a thousand. */
static uint32_t entries_of(uint32_t i)
{
    return i == 7 ? 1000 : i % 5;
}

static const uint64_t step = UINT64_MAX / HASHES;

static struct run *run_make(const char *path)
{
    struct run_writer w;
    struct run *r = NULL;
    struct diag diag = {0};
    char text[32];
    CHECK_OK(run_write_begin(&w, path, &diag));
    for (uint32_t i = 0; i < HASHES; i++) {
        for (uint32_t k = 0; k < entries_of(i); k++) {
            int n = snprintf(text, sizeof text, "%u.%u", i, k);
            CHECK_OK(run_write(&w, i * step, bytes_of(text, (size_t)n), &diag));
        }
    }
    CHECK_OK(run_write_end(&w, &r, &diag));
    return r;
}

struct finding {
    uint32_t i;
    uint32_t count;
};

static int found(void *ctx, uint64_t hash, struct bytes entry)
{
    struct finding *f = ctx;
    char want[32];
    (void)snprintf(want, sizeof want, "%u.%u", f->i, f->count++);
    CHECK_EQ(hash, f->i * step);
    CHECK(bytes_equal(entry, bytes_of_text(want)));
    return OK;
}

static int stop(void *ctx, uint64_t hash, struct bytes entry)
{
    (void)hash;
    (void)entry;
    ++*(int *)ctx;
    return ERR_LIMIT;
}

TEST(each_hash_has_its_entries_in_order)
{
    char path[600];
    uint64_t total = 0;
    int calls = 0;
    path_of("a.run", path);
    struct run *r = run_make(path);
    CHECK_EQ(unlink(path), 0); /* it stays open */
    for (uint32_t i = 0; i < HASHES; i++) {
        struct finding f = {.i = i};
        CHECK_OK(run_find(r, i * step, found, &f));
        CHECK_EQ(f.count, entries_of(i));
        total += f.count;
        f = (struct finding){.i = i};
        CHECK_OK(run_find(r, i * step + 1, found, &f));
        CHECK_EQ(f.count, 0);
    }
    CHECK_EQ(run_info(r).entries, total);
    CHECK_OK(run_find(r, UINT64_MAX, stop, &calls));
    CHECK_ERR(run_find(r, 7 * step, stop, &calls), ERR_LIMIT);
    CHECK_EQ(calls, 1);
    run_unref(r);
}

TEST(a_walk_meets_every_entry)
{
    char path[600];
    uint64_t count = 0;
    path_of("a.run", path);
    struct run *r = run_make(path);
    struct run_cursor c = {.run = run_ref(r)};
    uint64_t before = 0;
    int err;
    while ((err = run_next(&c)) == OK) {
        CHECK(c.hash >= before);
        before = c.hash;
        count++;
    }
    CHECK_ERR(err, ERR_NOT_FOUND);
    CHECK_EQ(count, run_info(r).entries);
    run_cursor_fini(&c);
    run_unref(r);
    run_unref(r);
}

TEST(an_empty_run_and_a_large_entry)
{
    static uint8_t large[3 * RUN_BLOCK_BYTES];
    char path[600];
    struct run_writer w;
    struct run *r = NULL;
    int calls = 0;
    path_of("a.run", path);
    CHECK_OK(run_write_begin(&w, path, NULL));
    CHECK_OK(run_write_end(&w, &r, NULL));
    CHECK_OK(run_find(r, 0, stop, &calls));
    CHECK_EQ(calls, 0);
    run_unref(r);
    path_of("b.run", path);
    CHECK_OK(run_write_begin(&w, path, NULL));
    CHECK_OK(run_write(&w, 5, bytes_of(large, sizeof large), NULL));
    CHECK_ERR(run_write(&w, 4, bytes_of(large, 1), NULL), ERR_INVALID);
    CHECK_OK(run_write(&w, 5, bytes_of("", 0), NULL));
    CHECK_OK(run_write_end(&w, &r, NULL));
    CHECK_EQ(run_info(r).entries, 2);
    struct run_cursor c = {.run = r};
    CHECK_OK(run_next(&c));
    CHECK_EQ(c.entry.len, sizeof large);
    CHECK_OK(run_next(&c));
    CHECK_EQ(c.entry.len, 0);
    run_cursor_fini(&c);
    run_unref(r);
    CHECK_ERR(run_write_begin(&w, path, NULL), ERR_EXISTS);
}

TEST(what_is_given_up_leaves_no_file)
{
    char path[600];
    struct run_writer w;
    struct run *r = NULL;
    struct diag diag = {0};
    path_of("a.run", path);
    CHECK_OK(run_write_begin(&w, path, NULL));
    CHECK_OK(run_write(&w, 1, bytes_of("x", 1), NULL));
    run_write_abort(&w);
    CHECK_ERR(run_open(path, &r, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "a.run") != NULL);
}

static void file_write(const char *path, struct bytes v)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, v.ptr, v.len), (ssize_t)v.len);
    (void)close(fd);
}

static int count_entry(void *ctx, uint64_t hash, struct bytes entry)
{
    (void)hash;
    *(uint64_t *)ctx += entry.len;
    return OK;
}

/* Opens, walks and looks up; every byte counts: nothing that was changed is told. */
static int read_all(const char *path)
{
    struct run *r = NULL;
    uint64_t count = 0;
    int err = run_open(path, &r, NULL);
    if (err)
        return err;
    struct run_cursor c = {.run = r};
    while (!err)
        err = run_next(&c);
    run_cursor_fini(&c);
    if (err == ERR_NOT_FOUND)
        err = run_find(r, 7 * step, count_entry, &count);
    run_unref(r);
    return err;
}

TEST(a_file_that_was_changed_is_refused)
{
    static uint8_t bytes[1 << 20];
    char path[600];
    char other[600];
    struct stat info;
    struct rand rand;
    rand_seed(&rand, 1);
    path_of("a.run", path);
    path_of("b.run", other);
    run_unref(run_make(path));
    CHECK_OK(read_all(path));
    CHECK_EQ(stat(path, &info), 0);
    size_t len = (size_t)info.st_size;
    CHECK(len < sizeof bytes);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_EQ(read(fd, bytes, len), (ssize_t)len);
    (void)close(fd);
    for (int i = 0; i < 300; i++) {
        size_t at = (size_t)rand_below(&rand, len);
        if (i < 100) /* its directory and foot */
            at = len - 1 - (size_t)i;
        uint8_t mask = (uint8_t)(1u << rand_below(&rand, 8));
        bytes[at] ^= mask;
        file_write(other, bytes_of(bytes, len));
        CHECK(read_all(other) != OK);
        bytes[at] ^= mask;
        file_write(other, bytes_of(bytes, at));
        CHECK(read_all(other) != OK);
    }
}
