/* The journal over its life: append, commit, read, trim, fill up, fail, close, open again. */
#include "base/rand.h"
#include "journal/state.h"
#include "tests/support/journal_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct journal_log_options small = {.segment_bytes = 64 * 1024};

/* Reads everything behind `after`, checking that payload n holds n; returns how many. */
static uint64_t read_all(struct journal_log *log, struct position after, uint64_t first_n)
{
    struct journal_reader *r;
    struct journal_view view;
    uint64_t n = first_n;
    CHECK_OK(journal_reader_new(log, after, &r));
    int err;
    while ((err = journal_reader_next(r, &view)) == OK) {
        CHECK(view.payload.len >= 8);
        CHECK_EQ(load_le64(view.payload.ptr), n);
        n++;
    }
    CHECK_ERR(err, ERR_AGAIN);
    journal_reader_free(r);
    return n - first_n;
}

TEST(journal_gives_back_what_was_appended)
{
    static uint8_t data[1000001];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct position at = {0, 0};
    const size_t lens[] = {8,     9,      15,     16,     100,    4096,    16384,
                           65536, 131072, 262144, 262145, 300000, 1000001, 8};
    for (uint64_t n = 0; n < sizeof lens / sizeof lens[0]; n++) {
        CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, lens[n]), &at));
        CHECK_EQ(at.seq, n + 1);
        CHECK_EQ(at.epoch, journal_epoch(log));
    }
    struct journal_reader *r;
    struct journal_view view;
    CHECK_OK(journal_reader_new(log, (struct position){0, 0}, &r));
    for (uint64_t n = 0; n < sizeof lens / sizeof lens[0]; n++) {
        CHECK_OK(journal_reader_next(r, &view));
        CHECK_EQ(view.at.seq, n + 1);
        CHECK_EQ(view.codec, 1);
        CHECK_BYTES(view.payload, fixture_payload(data, n, lens[n]));
    }
    CHECK_ERR(journal_reader_next(r, &view), ERR_AGAIN);
    journal_reader_free(r);
    journal_close(j);
}

TEST(journal_goes_on_after_closing_with_a_larger_epoch)
{
    uint8_t data[100];
    uint64_t epoch = 0;
    uint64_t n = 0;
    for (int round = 0; round < 4; round++) {
        struct journal *j = fixture_open(check_folder(), NULL);
        struct journal_log *log = fixture_log(j, &small);
        struct journal_log_stats stats;
        journal_log_stats(log, &stats);
        CHECK_EQ(stats.cut_bytes, 0);
        CHECK(journal_epoch(log) > epoch);
        CHECK_EQ(journal_committed(log).epoch, epoch);
        CHECK_EQ(journal_committed(log).seq, n);
        epoch = journal_epoch(log);
        for (int i = 0; i < 10; i++) {
            CHECK_OK(fixture_append(j, log, fixture_payload(data, n, sizeof data), NULL, NULL));
            n++;
        }
        journal_close(j); /* without a wait: closing commits */
    }
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), n);
    journal_close(j);
}

TEST(journal_is_opened_by_one_node)
{
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal *other;
    struct diag diag = {0};
    struct journal_options o = {.dir = check_folder()};
    CHECK_ERR(journal_open(&o, &other, &diag), ERR_IN_USE);
    CHECK(strstr(diag.text, "another node") != NULL);
    journal_close(j);
}

TEST(readers_see_committed_records_only)
{
    struct fixture_io io;
    sem_t gate;
    uint8_t data[64];
    CHECK(sem_init(&gate, 0, 0) == 0);
    fixture_io_init(&io);
    io.sync_gate = &gate;
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &small);
    struct fixture_wait wait;
    struct journal_reader *r;
    struct journal_view view;
    fixture_wait_init(&wait);
    CHECK_OK(journal_reader_new(log, (struct position){0, 0}, &r));
    CHECK_OK(fixture_append(j, log, fixture_payload(data, 0, 64), &wait.wait, NULL));
    /* The record lies in the file as soon as the sync was asked for. */
    CHECK_ERR(journal_reader_next(r, &view), ERR_AGAIN);
    CHECK(sem_trywait(&wait.done) != 0);
    CHECK(sem_post(&gate) == 0);
    CHECK_OK(fixture_wait_for(&wait));
    CHECK_OK(journal_reader_next(r, &view));
    journal_reader_free(r);
    for (int i = 0; i < 8; i++)
        CHECK(sem_post(&gate) == 0);
    journal_close(j);
}

/* -------------------------------------------------------------------------------- group commit */

struct order {
    struct journal_wait wait;
    struct order_log *to;
    uint64_t n;
};

struct order_log {
    atomic_ullong count;
    uint64_t seen[64];
};

static void order_fn(struct journal_wait *wait, struct position at, int err)
{
    struct order *o = CONTAINER_OF(wait, struct order, wait);
    uint64_t i = atomic_load(&o->to->count);
    o->to->seen[i] = err ? UINT64_MAX : at.seq;
    atomic_store(&o->to->count, i + 1);
}

TEST(waits_come_in_order_and_share_one_commit)
{
    struct fixture_io io;
    sem_t gate;
    uint8_t data[64];
    struct order_log seen = {0};
    struct order orders[40];
    CHECK(sem_init(&gate, 0, 0) == 0);
    fixture_io_init(&io);
    io.sync_gate = &gate;
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &small);
    for (uint64_t n = 0; n < 40; n++) {
        orders[n] = (struct order){.wait = {.fn = order_fn}, .to = &seen, .n = n};
        CHECK_OK(fixture_append(j, log, fixture_payload(data, n, 64), &orders[n].wait, NULL));
    }
    CHECK_EQ(atomic_load(&seen.count), 0);
    for (int i = 0; i < 8; i++)
        CHECK(sem_post(&gate) == 0);
    CHECK_SOON(atomic_load(&seen.count) == 40, FIXTURE_WAIT_MS);
    for (uint64_t n = 0; n < 40; n++)
        CHECK_EQ(seen.seen[n], n + 1);
    struct journal_log_stats stats;
    journal_log_stats(log, &stats);
    CHECK(stats.commits <= 3);
    journal_close(j);
}

struct burst {
    struct journal_log *log;
    struct order *orders;
    uint64_t count;
    struct bytes payload;
};

static void burst_on_thread(void *ctx)
{
    struct burst *b = ctx;
    struct journal_record record = {.codec = 1, .parts = &b->payload, .part_count = 1};
    struct position at;
    for (uint64_t n = 0; n < b->count; n++)
        CHECK_OK(journal_append(b->log, &record, &b->orders[n].wait, &at));
}

/* 40 records of 64 KiB in one turn: a sync begins before the turn is over, and the next takes the
 * rest. */
TEST(a_large_turn_commits_while_it_goes_on)
{
    static uint8_t data[65536];
    struct fixture_io io;
    sem_t gate;
    struct order_log seen = {0};
    struct order orders[40];
    struct journal_log_options large = {.segment_bytes = 8u << 20};
    CHECK(sem_init(&gate, 0, 0) == 0);
    fixture_io_init(&io);
    io.sync_gate = &gate;
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &large);
    for (uint64_t n = 0; n < 40; n++)
        orders[n] = (struct order){.wait = {.fn = order_fn}, .to = &seen, .n = n};
    struct burst burst = {log, orders, 40, bytes_of(data, sizeof data)};
    fixture_run(journal_exec(j), burst_on_thread, &burst);
    CHECK_EQ(atomic_load(&seen.count), 0);
    CHECK(sem_post(&gate) == 0);
    CHECK_SOON(atomic_load(&seen.count) > 0, FIXTURE_WAIT_MS);
    CHECK(atomic_load(&seen.count) < 40);
    for (int i = 0; i < 8; i++)
        CHECK(sem_post(&gate) == 0);
    CHECK_SOON(atomic_load(&seen.count) == 40, FIXTURE_WAIT_MS);
    for (uint64_t n = 0; n < 40; n++)
        CHECK_EQ(seen.seen[n], n + 1);
    struct journal_log_stats stats;
    journal_log_stats(log, &stats);
    CHECK_EQ(stats.commits, 2);
    journal_close(j);
}

static void commit_wait_on_thread(void *ctx)
{
    struct fixture_append *a = ctx;
    a->err = journal_commit_wait(a->log, a->wait);
}

struct echo {
    struct journal_wait wait;
    struct burst burst;
};

static void echo_fn(struct journal_wait *wait, struct position at, int err)
{
    (void)at;
    CHECK_OK(err);
    burst_on_thread(&CONTAINER_OF(wait, struct echo, wait)->burst);
}

/* Nothing waits for the disk when the wait is told, and what it then appends begins a sync. */
TEST(who_is_told_may_append_much_at_once)
{
    static uint8_t data[300000];
    struct order_log seen = {0};
    struct order orders[10];
    struct journal_log_options large = {.segment_bytes = 8u << 20};
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &large);
    struct echo echo = {{.fn = echo_fn}, {log, orders, 10, bytes_of(data, sizeof data)}};
    for (uint64_t n = 0; n < 10; n++)
        orders[n] = (struct order){.wait = {.fn = order_fn}, .to = &seen, .n = n};
    struct fixture_append a = {.log = log, .wait = &echo.wait};
    fixture_run(journal_exec(j), commit_wait_on_thread, &a);
    CHECK_OK(a.err);
    CHECK_SOON(atomic_load(&seen.count) == 10, FIXTURE_WAIT_MS);
    CHECK_EQ(journal_committed(log).seq, 10);
    journal_close(j);
}

TEST(a_commit_wait_waits_for_what_is_there)
{
    uint8_t data[64];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    for (int i = 0; i < 3; i++) {
        struct fixture_wait wait;
        fixture_wait_init(&wait);
        struct fixture_append a = {.log = log, .wait = &wait.wait};
        fixture_run(journal_exec(j), commit_wait_on_thread, &a);
        CHECK_OK(a.err);
        CHECK_OK(fixture_wait_for(&wait));
        CHECK_EQ(journal_committed(log).seq, (uint64_t)i);
        CHECK_OK(fixture_append(j, log, fixture_payload(data, 0, 64), NULL, NULL));
    }
    journal_close(j);
}

TEST(without_a_wait_the_timer_commits)
{
    uint8_t data[64];
    struct journal_options o = {.dir = check_folder(), .flush_ms = 20};
    struct journal *j;
    CHECK_OK(journal_open(&o, &j, NULL));
    struct journal_log *log = fixture_log(j, &small);
    CHECK_OK(fixture_append(j, log, fixture_payload(data, 0, 64), NULL, NULL));
    CHECK_SOON(journal_committed(log).seq == 1, FIXTURE_WAIT_MS);
    journal_close(j);
}

TEST(without_a_wait_enough_bytes_commit)
{
    static uint8_t data[20000];
    struct journal_options o = {.dir = check_folder(), .flush_ms = 1000000, .flush_bytes = 30000};
    struct journal *j;
    CHECK_OK(journal_open(&o, &j, NULL));
    struct journal_log *log = fixture_log(j, &small);
    CHECK_OK(fixture_append(j, log, fixture_payload(data, 0, 20000), NULL, NULL));
    CHECK_OK(fixture_append(j, log, fixture_payload(data, 1, 20000), NULL, NULL));
    CHECK_SOON(journal_committed(log).seq == 2, FIXTURE_WAIT_MS);
    journal_close(j);
}

static void watch_fn(struct exec_task *task)
{
    (void)task;
}

TEST(a_watch_is_told_of_commits)
{
    uint8_t data[64];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct exec *fake = exec_fake_new(0, 0);
    struct journal_watch watch = {.exec = fake};
    exec_task_init(&watch.task, watch_fn);
    journal_watch_add(log, &watch);
    CHECK_EQ(exec_fake_run(fake), 0);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 64), NULL));
    CHECK_EQ(exec_fake_run(fake), 1);
    journal_watch_remove(log, &watch);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 64), NULL));
    CHECK_EQ(exec_fake_run(fake), 0);
    exec_fake_free(fake);
    journal_close(j);
}

/* ------------------------------------------------------------------------------ a reader's life */

TEST(a_reader_follows_through_segments_and_openings)
{
    static uint8_t data[5000];
    struct rand rand;
    rand_seed(&rand, 3);
    uint64_t n = 0;
    struct position middle = {0, 0};
    for (int round = 0; round < 3; round++) {
        struct journal *j = fixture_open(check_folder(), NULL);
        struct journal_log *log = fixture_log(j, &small);
        struct journal_reader *r;
        struct journal_view view;
        CHECK_OK(journal_reader_new(log, journal_committed(log), &r));
        for (int i = 0; i < 100; i++) {
            size_t len = 8 + (size_t)rand_below(&rand, 4000);
            struct position at = {0, 0};
            CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, len), &at));
            CHECK_OK(journal_reader_next(r, &view));
            CHECK_EQ(position_compare(view.at, at), 0);
            CHECK_BYTES(view.payload, fixture_payload(data, n, len));
            CHECK_ERR(journal_reader_next(r, &view), ERR_AGAIN);
            n++;
            if (n == 150)
                middle = at;
        }
        journal_reader_free(r);
        CHECK_EQ(read_all(log, (struct position){0, 0}, 0), n);
        if (n > 150)
            CHECK_EQ(read_all(log, middle, 150), n - 150);
        journal_close(j);
    }
}

TEST(a_reader_may_come_from_a_log_that_was_restored)
{
    uint8_t data[64];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    for (uint64_t n = 0; n < 5; n++)
        CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, 64), NULL));
    /* An older epoch with a larger seq is behind us all the same. */
    CHECK_EQ(read_all(log, (struct position){journal_epoch(log) - 1, 1000}, 0), 5);
    CHECK_EQ(read_all(log, (struct position){journal_epoch(log), 2}, 2), 3);
    CHECK_EQ(read_all(log, (struct position){journal_epoch(log), 1000}, 0), 0);
    journal_close(j);
}

/* ------------------------------------------------------------------------------ trim and expire */

static uint64_t segments_of(struct journal_log *log)
{
    struct journal_log_stats stats;
    journal_log_stats(log, &stats);
    return stats.segments;
}

static void fill(struct journal *j, struct journal_log *log, uint64_t first, uint64_t count)
{
    static uint8_t data[8000];
    for (uint64_t n = first; n < first + count; n++)
        CHECK_OK(fixture_append(j, log, fixture_payload(data, n, sizeof data), NULL, NULL));
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, first + count, 8), NULL));
}

TEST(the_slowest_stored_cursor_holds_the_log)
{
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct journal_cursor *slow;
    struct journal_cursor *fast;
    CHECK_OK(journal_cursor_open(log, "slow", &slow));
    CHECK_OK(journal_cursor_open(log, "fast", &fast));
    fill(j, log, 0, 40);
    uint64_t before = segments_of(log);
    CHECK(before > 4);
    journal_cursor_set(fast, journal_committed(log));
    CHECK_EQ(journal_cursor_get(fast).seq, 41);
    journal_cursor_set(slow, (struct position){journal_epoch(log), 20});
    CHECK_SOON(segments_of(log) < before, FIXTURE_WAIT_MS);
    CHECK_EQ(read_all(log, (struct position){journal_epoch(log), 20}, 20), 21);
    journal_close(j);

    /* It holds also when nobody has opened it yet in the next run. */
    j = fixture_open(check_folder(), NULL);
    log = fixture_log(j, &small);
    CHECK_OK(journal_cursor_open(log, "fast", &fast));
    CHECK_EQ(journal_cursor_get(fast).seq, 41);
    fill(j, log, 41, 20);
    journal_cursor_set(fast, journal_committed(log));
    CHECK_OK(journal_cursor_open(log, "slow", &slow));
    CHECK_EQ(journal_cursor_get(slow).seq, 20);
    CHECK_EQ(read_all(log, journal_cursor_get(slow), 20), 42);
    CHECK_OK(journal_cursor_remove(slow));
    CHECK_SOON(segments_of(log) == 1, FIXTURE_WAIT_MS);
    journal_close(j);

    j = fixture_open(check_folder(), NULL);
    log = fixture_log(j, &small);
    CHECK_OK(journal_cursors_forget(log));
    CHECK_OK(journal_cursor_open(log, "fast", &fast));
    CHECK(position_is_none(journal_cursor_get(fast)));
    journal_close(j);
}

struct told {
    atomic_int last;
    atomic_uint count;
};

static void told_fn(void *ctx, int err, const char *text)
{
    struct told *told = ctx;
    CHECK(text[0] != 0);
    atomic_store(&told->last, err);
    atomic_fetch_add(&told->count, 1);
}

TEST(a_cursor_behind_the_byte_limit_expires_and_is_told_once)
{
    struct told told = {0};
    struct journal_log_options o = {
        .segment_bytes = 64 * 1024, .bytes_max = 256 * 1024, .on_state = told_fn, .ctx = &told};
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &o);
    struct journal_cursor *c;
    struct journal_reader *r;
    struct journal_view view;
    CHECK_OK(journal_cursor_open(log, "absent", &c));
    fill(j, log, 0, 2);
    CHECK_OK(journal_reader_new(log, (struct position){0, 0}, &r));
    CHECK_OK(journal_reader_next(r, &view));
    struct position first = view.at;
    journal_reader_free(r);
    fill(j, log, 3, 100);
    CHECK_SOON(segments_of(log) <= 5, FIXTURE_WAIT_MS);
    CHECK_SOON(atomic_load(&told.count) == 1, FIXTURE_WAIT_MS);
    CHECK_EQ(atomic_load(&told.last), ERR_EXPIRED);
    struct journal_log_stats stats;
    journal_log_stats(log, &stats);
    CHECK(stats.expired > 0);

    CHECK_OK(journal_reader_new(log, first, &r));
    /* The keeper may still be deleting: what counts is that the reader goes on just behind the gap
     * that it was told. */
    int err = journal_reader_next(r, &view);
    CHECK_ERR(err, ERR_EXPIRED);
    uint64_t lost_seq = 0;
    for (; err == ERR_EXPIRED; err = journal_reader_next(r, &view))
        lost_seq = view.at.seq;
    CHECK_OK(err);
    CHECK(lost_seq >= stats.oldest_seq - 1);
    CHECK_EQ(view.at.seq, lost_seq + 1);
    journal_reader_free(r);
    journal_close(j);
}

TEST(a_hold_keeps_the_segments_for_a_backup)
{
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct journal_cursor *c;
    CHECK_OK(journal_cursor_open(log, "c", &c));
    journal_trim_hold(log);
    fill(j, log, 0, 40);
    uint64_t before = segments_of(log);
    journal_cursor_set(c, journal_committed(log));
    /* The cursor is stored in the keeper's round that would also have trimmed. */
    struct buf value = {0};
    uint64_t seq = 0;
    int64_t deadline_us = 0;
    while (seq != 41 &&
           check_wait_at(__FILE__, __LINE__, "stored", &deadline_us, FIXTURE_WAIT_MS)) {
        buf_reset(&value);
        CHECK_OK(state_get(j, bytes_of_text("cursor/test/c"), &value));
        seq = load_le64(value.ptr + 8);
    }
    buf_fini(&value);
    CHECK_EQ(segments_of(log), before);
    journal_trim_release(log);
    CHECK_SOON(segments_of(log) == 1, FIXTURE_WAIT_MS);
    journal_close(j);
}

/* --------------------------------------------------------------------------- full disk, bad disk
 */

TEST(a_full_disk_refuses_whole_records_and_resumes)
{
    static uint8_t data[40000];
    struct fixture_io io;
    struct told told = {0};
    struct journal_log_options o = {.segment_bytes = 64 * 1024, .on_state = told_fn, .ctx = &told};
    fixture_io_init(&io);
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &o);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 40000), NULL));
    fixture_fail(&io.allocate, 0, 2, ERR_NO_SPACE);
    struct position at = {7, 7};
    struct journal_log_stats stats;
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 1, 40000), NULL, &at), ERR_NO_SPACE);
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 1, 40000), NULL, &at), ERR_NO_SPACE);
    CHECK_EQ(at.seq, 7);
    CHECK_EQ(atomic_load(&told.count), 1);
    CHECK_EQ(atomic_load(&told.last), ERR_NO_SPACE);
    journal_log_stats(log, &stats);
    CHECK_EQ(stats.refused, 2);
    CHECK_EQ(stats.err, ERR_NO_SPACE);
    /* A small one still finds room in the file that is there. */
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 1, 100), &at));
    CHECK_EQ(at.seq, 2);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 2, 40000), &at));
    CHECK_EQ(at.seq, 3);
    CHECK_EQ(atomic_load(&told.last), OK);
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 3);
    journal_close(j);
    j = fixture_open(check_folder(), NULL);
    log = fixture_log(j, &small);
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 3);
    journal_close(j);
}

TEST(a_write_that_finds_no_space_is_tried_again)
{
    static uint8_t data[300000];
    struct journal_log_options large = {.segment_bytes = 1u << 20};
    struct fixture_io io;
    fixture_io_init(&io);
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &large);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 100), NULL));
    struct fixture_wait wait;
    fixture_wait_init(&wait);
    /* Accepted (it lies in the stage), but not durable before the disk takes it. */
    fixture_fail(&io.write, 0, 2, ERR_NO_SPACE);
    CHECK_OK(fixture_append(j, log, fixture_payload(data, 1, 100), &wait.wait, NULL));
    CHECK_OK(fixture_wait_for(&wait));
    /* A very large one is written at once, so it is refused. */
    fixture_fail(&io.write, 0, 1, ERR_NO_SPACE);
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 2, 300000), NULL, NULL), ERR_NO_SPACE);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 2, 300000), NULL));
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 3);
    journal_close(j);
}

TEST(short_writes_are_completed)
{
    static uint8_t data[300000];
    struct fixture_io io;
    fixture_io_init(&io);
    atomic_store(&io.write_bytes_max, 777);
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &small);
    for (uint64_t n = 0; n < 20; n++)
        CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, 100 + n * 1900), NULL));
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 20, sizeof data), NULL));
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 21);
    journal_close(j);
}

TEST(after_a_failed_fdatasync_nothing_is_acknowledged_any_more)
{
    uint8_t data[64];
    struct fixture_io io;
    struct told told = {0};
    struct journal_log_options o = {.segment_bytes = 64 * 1024, .on_state = told_fn, .ctx = &told};
    fixture_io_init(&io);
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &o);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 64), NULL));
    fixture_fail(&io.sync, 0, 1, ERR_IO); /* the kernel says it once, then forgets */
    CHECK_ERR(fixture_append_durable(j, log, fixture_payload(data, 1, 64), NULL), ERR_IO);
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 2, 64), NULL, NULL), ERR_IO);
    CHECK_EQ(atomic_load(&told.last), ERR_IO);
    CHECK_EQ(journal_committed(log).seq, 1);
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 1);
    journal_close(j);
}

TEST(a_failed_write_ends_the_log)
{
    static uint8_t data[300000];
    struct journal_log_options large = {.segment_bytes = 1u << 20};
    struct fixture_io io;
    fixture_io_init(&io);
    struct journal *j = fixture_open(check_folder(), &io.io);
    struct journal_log *log = fixture_log(j, &large);
    CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, 0, 64), NULL));
    fixture_fail(&io.write, 0, 1, ERR_IO);
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 1, 300000), NULL, NULL), ERR_IO);
    CHECK_ERR(fixture_append(j, log, fixture_payload(data, 1, 8), NULL, NULL), ERR_IO);
    journal_close(j);
    j = fixture_open(check_folder(), NULL);
    log = fixture_log(j, &small);
    CHECK_EQ(read_all(log, (struct position){0, 0}, 0), 1);
    journal_close(j);
}

/* ---------------------------------------------------------------------------- many at one time */

#define RACE_RECORDS 2000

struct race {
    struct journal_log *log;
    struct journal_cursor *cursor;
    atomic_ullong sum;
    atomic_int err;
    struct exec_task task;
};

static void race_read(struct exec_task *task)
{
    struct race *race = CONTAINER_OF(task, struct race, task);
    struct journal_reader *r;
    struct journal_view view;
    int err = journal_reader_new(race->log, (struct position){0, 0}, &r);
    uint64_t n = 0;
    while (!err && n < RACE_RECORDS) {
        int rc = journal_reader_next(r, &view);
        if (rc == ERR_AGAIN)
            continue;
        err = rc;
        if (!err && load_le64(view.payload.ptr) != n)
            err = ERR_INTERNAL;
        n++;
        if (n % 100 == 0)
            journal_cursor_set(race->cursor, view.at);
    }
    journal_reader_free(r);
    atomic_store(&race->err, err);
    atomic_store(&race->sum, n);
}

TEST(readers_and_cursors_run_beside_the_writer)
{
    static uint8_t data[3000];
    struct journal *j = fixture_open(check_folder(), NULL);
    struct journal_log *log = fixture_log(j, &small);
    struct race races[2] = {{.log = log}, {.log = log}};
    struct exec *threads[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(journal_cursor_open(log, i ? "a" : "b", &races[i].cursor));
        CHECK_OK(exec_thread_new("reader", 0, &threads[i]));
        exec_task_init(&races[i].task, race_read);
        (void)exec_post(threads[i], &races[i].task);
    }
    for (uint64_t n = 0; n < RACE_RECORDS; n++) {
        size_t len = 8 + n % 2900;
        if (n % 50 == 49)
            CHECK_OK(fixture_append_durable(j, log, fixture_payload(data, n, len), NULL));
        else
            CHECK_OK(fixture_append(j, log, fixture_payload(data, n, len), NULL, NULL));
    }
    for (int i = 0; i < 2; i++) {
        CHECK_SOON(atomic_load(&races[i].sum) == RACE_RECORDS, FIXTURE_WAIT_MS);
        CHECK_OK(atomic_load(&races[i].err));
        exec_thread_free(threads[i]);
    }
    journal_close(j);
}
