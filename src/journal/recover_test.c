/* Opening a log after everything that can happen to its files. */
#include "journal/crc32c.h"
#include "journal/journal_priv.h"
#include "journal/segment.h"
#include "tests/support/journal_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 512

static const struct journal_log_options small = {.segment_bytes = 64 * 1024};

/* ------------------------------------------------------------------------------ files as bytes */

static int name_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The paths of the log's files whose names end in `suffix`, oldest first. */
static size_t list_files(const char *dir, const char *suffix, char *paths[], size_t max)
{
    char folder[PATH_BYTES_MAX];
    size_t count = 0;
    (void)snprintf(folder, sizeof folder, "%s/test", dir);
    DIR *d = opendir(folder);
    CHECK(d != NULL);
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        size_t len = strlen(e->d_name);
        if (len < strlen(suffix) || strcmp(e->d_name + len - strlen(suffix), suffix) != 0)
            continue;
        CHECK(count < max);
        paths[count] = malloc(PATH_BYTES_MAX + 256);
        (void)snprintf(paths[count++], PATH_BYTES_MAX + 256, "%s/%s", folder, e->d_name);
    }
    (void)closedir(d);
    qsort(paths, count, sizeof *paths, name_compare);
    return count;
}

static void free_files(char *paths[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
}

static struct bytes read_file(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && fstat(fd, &info) == 0);
    uint8_t *data = malloc((size_t)info.st_size + 1);
    CHECK(data != NULL);
    CHECK_EQ(pread(fd, data, (size_t)info.st_size, 0), info.st_size);
    (void)close(fd);
    return bytes_of(data, (size_t)info.st_size);
}

static void write_file(const char *path, struct bytes v)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, v.ptr, v.len, 0), (ssize_t)v.len);
    (void)close(fd);
}

static void remove_files(const char *dir)
{
    char *paths[64];
    size_t count = list_files(dir, "", paths, 64);
    for (size_t i = 0; i < count; i++)
        (void)unlink(paths[i]);
    free_files(paths, count);
}

/* Opens, reads everything, closes. Gives how many records there are; they hold 0, 1, 2, … */
static uint64_t reopen(const char *dir, struct journal_log_stats *ret_stats, char *ret_text)
{
    struct journal_view view;
    struct journal_reader *r;
    struct journal_log *log;
    struct diag diag = {0};
    uint64_t n = 0;
    int err;
    struct journal *j = fixture_open(dir, NULL);
    CHECK_OK(journal_log_open(j, "test", &small, &log, &diag));
    CHECK_OK(journal_reader_new(log, (struct position){0, 0}, &r));
    while ((err = journal_reader_next(r, &view)) == OK) {
        CHECK_EQ(load_le64(view.payload.ptr), n);
        n++;
    }
    CHECK_ERR(err, ERR_AGAIN);
    journal_reader_free(r);
    journal_log_stats(log, ret_stats);
    if (ret_text)
        (void)snprintf(ret_text, DIAG_TEXT_BYTES_MAX, "%s", diag.text);
    journal_close(j);
    return n;
}

/* A log of `count` records of `len` bytes in one segment; gives the file's bytes (to be freed). */
static struct bytes make_log(const char *dir, uint64_t count, size_t len, char *path)
{
    uint8_t data[256];
    char *paths[4];
    struct journal *j = fixture_open(dir, NULL);
    struct journal_log *log = fixture_log(j, &small);
    for (uint64_t n = 0; n < count; n++)
        CHECK_OK(fixture_append(j, log, fixture_payload(data, n, len), NULL, NULL));
    journal_close(j);
    CHECK_EQ(list_files(dir, ".seg", paths, 4), 1);
    (void)snprintf(path, PATH_BYTES_MAX, "%s", paths[0]);
    free_files(paths, 1);
    return read_file(path);
}

/* --------------------------------------------------------------------------------- torn tails */

/* Up to the last byte that is not zero: zeros are what the file was made of. */
static uint64_t dirty_bytes(struct bytes whole, size_t from, size_t end)
{
    while (end > from && whole.ptr[end - 1] == 0)
        end--;
    return end - from;
}

TEST(a_tail_torn_at_any_byte_is_cut_and_told)
{
    char path[PATH_BYTES_MAX];
    char text[DIAG_TEXT_BYTES_MAX];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 50, path);
    size_t record = segment_record_bytes(50);
    size_t last = whole.len - record;
    for (size_t cut = last; cut < last + SEGMENT_RECORD_HEAD_BYTES + 50; cut++) {
        remove_files(check_folder());
        write_file(path, bytes_of(whole.ptr, cut));
        CHECK_EQ(reopen(check_folder(), &stats, text), 2);
        CHECK_EQ(stats.cut_bytes, dirty_bytes(whole, last, cut));
        CHECK(stats.cut_bytes ? strstr(text, "bytes cut") != NULL : text[0] == 0);
    }
    /* The padding is not missed. */
    remove_files(check_folder());
    write_file(path, bytes_of(whole.ptr, last + SEGMENT_RECORD_HEAD_BYTES + 50));
    CHECK_EQ(reopen(check_folder(), &stats, text), 3);
    CHECK_EQ(stats.cut_bytes, 0);
    free((void *)(uintptr_t)whole.ptr);
}

TEST(a_tail_of_which_only_a_part_came_is_cut)
{
    char path[PATH_BYTES_MAX];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 50, path);
    size_t last = whole.len - segment_record_bytes(50);
    uint8_t *torn = malloc(whole.len + 5000);
    CHECK(torn != NULL);
    /* Zeros where the write did not come to, as in a file with room to spare. */
    for (size_t from = last; from < whole.len - 6; from += 3) {
        memcpy(torn, whole.ptr, whole.len);
        memset(torn + whole.len, 0, 5000);
        memset(torn + from, 0, whole.len - from);
        remove_files(check_folder());
        write_file(path, bytes_of(torn, whole.len + 5000));
        CHECK_EQ(reopen(check_folder(), &stats, NULL), 2);
    }
    free(torn);
    free((void *)(uintptr_t)whole.ptr);
}

TEST(any_flipped_bit_of_the_last_record_is_seen)
{
    char path[PATH_BYTES_MAX];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 51, path);
    size_t last = whole.len - segment_record_bytes(51);
    uint8_t *flipped = (uint8_t *)(uintptr_t)whole.ptr;
    for (size_t at = last; at < last + SEGMENT_RECORD_HEAD_BYTES + 51; at++) {
        flipped[at] ^= (uint8_t)(1u << (at % 8));
        remove_files(check_folder());
        write_file(path, whole);
        CHECK_EQ(reopen(check_folder(), &stats, NULL), 2);
        CHECK(stats.cut_bytes > 0);
        flipped[at] ^= (uint8_t)(1u << (at % 8));
    }
    free(flipped);
}

TEST(the_log_goes_on_behind_a_cut)
{
    char path[PATH_BYTES_MAX];
    uint8_t data[64];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 50, path);
    write_file(path, bytes_of(whole.ptr, whole.len - 20));
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct position at = {0, 0};
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 2, 64), &at));
    CHECK_EQ(at.seq, 3); /* the cut one's seq, in another epoch */
    CHECK_EQ(at.epoch, journal_epoch(log));
    journal_close(j);
    CHECK_EQ(reopen(check_folder(), &stats, NULL), 3);
    CHECK_EQ(stats.cut_bytes, 0);
    free((void *)(uintptr_t)whole.ptr);
}

/* ------------------------------------------------------------------------- between two segments */

/* Fills about `segments` files and leaves them as a kill would: nothing is shortened, and nothing
 * but the first record is known to be committed. */
static size_t make_killed(const char *dir, char *paths[], size_t max, uint64_t *ret_count)
{
    static uint8_t data[6000];
    struct fixture_io io;
    struct journal_log *log;
    struct journal *j;
    fixture_io_init(&io);
    struct journal_options o = {
        .dir = dir, .io = &io.io, .flush_ms = 1000000, .flush_bytes = UINT64_MAX};
    CHECK_OK(journal_open(&o, &j, NULL));
    log = fixture_log(j, &small);
    uint64_t n = 0;
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n++, 6000), NULL));
    while (n < 35)
        CHECK_OK(fixture_append(j, log, fixture_payload(data, n++, 6000), NULL, NULL));
    /* Closing fails to sync, so that it tidies nothing up. */
    fixture_fail(&io.sync, 0, 100, ERR_IO);
    journal_close(j);
    *ret_count = n;
    return list_files(dir, ".seg", paths, max);
}

/* aside = "SEGMENT.OFFSET.cut" holds those bytes of the segment as it was. */
static void check_tail_copy(const char *aside, const char *segment, struct bytes whole,
                            uint64_t bytes)
{
    size_t len = strlen(segment);
    CHECK(strncmp(aside, segment, len) == 0 && aside[len] == '.');
    uint64_t offset = strtoull(aside + len + 1, NULL, 10);
    struct bytes copy = read_file(aside);
    CHECK_EQ(copy.len, bytes);
    CHECK(offset > 0 && offset + copy.len <= whole.len);
    CHECK(memcmp(copy.ptr, whole.ptr + offset, copy.len) == 0);
    free((void *)(uintptr_t)copy.ptr);
}

TEST(whole_segments_behind_a_torn_one_are_set_aside)
{
    char *paths[16];
    char *aside[16];
    uint64_t count;
    struct journal_log_stats stats;
    size_t files = make_killed(check_folder(), paths, 16, &count);
    CHECK(files >= 3);
    struct bytes torn = read_file(paths[1]);
    ((uint8_t *)(uintptr_t)torn.ptr)[20000] ^= 1;
    write_file(paths[1], torn);
    uint64_t left = reopen(check_folder(), &stats, NULL);
    CHECK(left >= 12 && left < count);
    CHECK_EQ(stats.cut_segments, files - 2);
    CHECK(stats.cut_bytes > 0);
    /* And the bytes that were cut off the one before them. */
    CHECK_EQ(list_files(check_folder(), ".cut", aside, 16), files - 1);
    check_tail_copy(aside[0], paths[1], torn, stats.cut_bytes);
    free_files(aside, files - 1);
    CHECK_EQ(reopen(check_folder(), &stats, NULL), left);
    CHECK_EQ(stats.cut_segments, 0);
    free_files(paths, files);
    free((void *)(uintptr_t)torn.ptr);
}

TEST(of_what_was_set_aside_the_newest_is_kept)
{
    char path[PATH_BYTES_MAX];
    char old[PATH_BYTES_MAX + 64];
    char *aside[64];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 50, path);
    for (int i = 1; i <= 20; i++) {
        (void)snprintf(old, sizeof old, "%s/test/%016x-%016x.seg.cut", check_folder(), i, 1);
        write_file(old, bytes_of("old", 3));
    }
    write_file(path, bytes_of(whole.ptr, whole.len - 20));
    CHECK_EQ(reopen(check_folder(), &stats, NULL), 2);
    CHECK_EQ(list_files(check_folder(), ".cut", aside, 64), CUT_FILES_MAX);
    CHECK(strncmp(aside[CUT_FILES_MAX - 1], path, strlen(path)) == 0);
    free_files(aside, CUT_FILES_MAX);
    free((void *)(uintptr_t)whole.ptr);
}

TEST(what_a_kill_left_is_found_whole)
{
    char *paths[16];
    uint64_t count;
    struct journal_log_stats stats;
    size_t files = make_killed(check_folder(), paths, 16, &count);
    CHECK_EQ(reopen(check_folder(), &stats, NULL), count);
    CHECK_EQ(stats.cut_bytes, 0);
    free_files(paths, files);
}

TEST(what_a_kill_left_is_synced_before_it_counts)
{
    char *paths[16];
    uint64_t count;
    struct fixture_io io;
    struct journal_log *log;
    size_t files = make_killed(check_folder(), paths, 16, &count);
    fixture_io_init(&io);
    struct journal *j = fixture_open(check_folder(), &io.io);
    CHECK_OK(journal_log_open(j, "test", &small, &log, NULL));
    CHECK_EQ(atomic_load(&io.sync.calls), files);
    journal_close(j);
    free_files(paths, files);
}

TEST(a_segment_whose_head_is_bad_is_set_aside)
{
    char path[PATH_BYTES_MAX];
    char aside[PATH_BYTES_MAX + 8];
    struct journal_log_stats stats;
    struct bytes whole = make_log(check_folder(), 3, 50, path);
    ((uint8_t *)(uintptr_t)whole.ptr)[20] ^= 1;
    write_file(path, whole);
    CHECK_EQ(reopen(check_folder(), &stats, NULL), 0);
    CHECK_EQ(stats.cut_segments, 1);
    (void)snprintf(aside, sizeof aside, "%s.cut", path);
    CHECK(access(aside, F_OK) == 0);
    free((void *)(uintptr_t)whole.ptr);
}

TEST(damage_in_what_was_committed_is_kept_and_told_to_readers)
{
    static uint8_t data[6000];
    char *paths[16];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    for (uint64_t n = 0; n < 30; n++)
        CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, 6000), NULL));
    journal_close(j);
    size_t files = list_files(check_folder(), ".seg", paths, 16);
    struct bytes bad = read_file(paths[0]);
    ((uint8_t *)(uintptr_t)bad.ptr)[20000] ^= 1;
    write_file(paths[0], bad);

    struct journal_log_stats stats;
    struct journal_reader *r;
    struct journal_view view;
    j = fixture_open(check_folder(), NULL);
    log = fixture_log(j, &small);
    journal_log_stats(log, &stats);
    CHECK_EQ(stats.cut_bytes, 0);
    CHECK_EQ(stats.committed_seq, 30);
    CHECK_OK(journal_reader_new(log, (struct position){0, 0}, &r));
    uint64_t good = 0;
    int err;
    while ((err = journal_reader_next(r, &view)) == OK)
        good++;
    CHECK_ERR(err, ERR_CHECKSUM);
    CHECK(view.at.seq > good);
    uint64_t lost = view.at.seq - good;
    while ((err = journal_reader_next(r, &view)) == OK)
        good++;
    CHECK_ERR(err, ERR_AGAIN);
    CHECK_EQ(good + lost, 30);
    journal_reader_free(r);
    journal_close(j);
    free_files(paths, files);
    free((void *)(uintptr_t)bad.ptr);
}

/* -------------------------------------------------------------------------------------- epochs */

TEST(openings_without_a_record_leave_no_files_and_no_epoch_twice)
{
    uint8_t data[64];
    uint64_t epoch = 0;
    char *paths[8];
    for (int i = 0; i < 5; i++) {
        struct journal *j = fixture_open(check_folder(), NULL);
        struct journal_log *log = fixture_log(j, &small);
        CHECK(journal_epoch(log) >= epoch);
        epoch = journal_epoch(log);
        if (i == 2)
            CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 64), NULL));
        journal_close(j);
        if (i == 2)
            epoch++; /* it was used, so it may not come again */
    }
    CHECK_EQ(list_files(check_folder(), ".seg", paths, 8), 1);
    free_files(paths, 1);
}

TEST(an_epoch_is_larger_than_all_before_also_when_the_clock_went_back)
{
    uint8_t head[SEGMENT_HEAD_BYTES];
    char path[PATH_BYTES_MAX];
    char name[SEGMENT_NAME_BYTES];
    struct segment_head h = {
        .epoch = (uint64_t)1 << 60, .first_seq = 500, .log = segment_log_hash("test")};
    struct journal *j = fixture_open(check_folder(), NULL);
    (void)fixture_log(j, &small);
    journal_close(j);
    segment_name(h.epoch, h.first_seq, name);
    (void)snprintf(path, sizeof path, "%s/test/%s", check_folder(), name);
    segment_head_encode(&h, head);
    write_file(path, bytes_of(head, sizeof head));
    j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    CHECK_EQ(journal_epoch(log), h.epoch + 1);
    CHECK_EQ(journal_committed(log).seq, 499);
    journal_close(j);
}

TEST(a_log_of_a_newer_version_is_not_touched)
{
    char path[PATH_BYTES_MAX];
    struct journal_log *log;
    struct diag diag = {0};
    struct bytes whole = make_log(check_folder(), 1, 50, path);
    uint8_t *data = (uint8_t *)(uintptr_t)whole.ptr;
    struct segment_head h;
    CHECK_OK(segment_head_decode(bytes_of(data, SEGMENT_HEAD_BYTES), &h));
    store_le32(data + 12, SEGMENT_VERSION + 1);
    /* Its head's CRC is right, as a newer program would write it. */
    store_le32(data + 8, crc32c(0, bytes_of(data + 12, SEGMENT_HEAD_BYTES - 12)));
    write_file(path, whole);
    struct journal *j = fixture_open(check_folder(), NULL);
    CHECK_ERR(journal_log_open(j, "test", &small, &log, &diag), ERR_VERSION);
    CHECK(strstr(diag.text, "newer") != NULL);
    journal_close(j);
    CHECK(access(path, F_OK) == 0);
    free(data);
}
