/* The journal against bare files: records of 4 and 64 KiB, 64 appends waiting for their commit, the
 * files pre-allocated the same way, one after the other. The peer writes 64 records with one
 * pwritev and calls fdatasync. Rounds alternate, so that the disk's moods hit both. The journal
 * deletes its old files while it is timed, the peer does not.
 *
 *   bench_journal [DIR]        default: the current directory
 */
#include "journal/journal.h"

#include "bench/bench.h"
#include "bench/folder.h"

#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WAITING       64
#define ROUNDS        9
#define ROUND_BYTES   (120u << 20)
#define SEGMENT_BYTES (64u << 20)
#define GOAL          0.8

struct run;

struct waiter {
    struct journal_wait wait;
    struct run *run;
};

struct run {
    struct journal *journal;
    struct journal_log *log;
    struct journal_cursor *hold;
    struct bytes payload;
    int groups; /* of WAITING records, a round */
    int to_append;
    int to_commit;
    struct waiter waiters[WAITING];
    sem_t done;
};

static void append_next(struct run *r, struct waiter *w);

static void waiter_back(struct journal_wait *wait, struct position at, int err)
{
    struct waiter *w = CONTAINER_OF(wait, struct waiter, wait);
    (void)at;
    bench_must(err, "commit", NULL);
    if (--w->run->to_commit == 0)
        (void)sem_post(&w->run->done);
    else if (w->run->to_append > 0)
        append_next(w->run, w);
}

static void append_next(struct run *r, struct waiter *w)
{
    struct journal_record record = {
        .codec = 1,
        .time_us = 1,
        .parts = &r->payload,
        .part_count = 1,
    };
    struct position at;
    r->to_append--;
    w->wait.fn = waiter_back;
    w->run = r;
    bench_must(journal_append(r->log, &record, &w->wait, &at), "append", NULL);
}

static int append_first(void *ctx)
{
    struct run *r = ctx;
    for (int i = 0; i < WAITING; i++)
        append_next(r, &r->waiters[i]);
    return OK;
}

/* Seconds for groups × WAITING durable records. */
static double round_journal(struct run *r)
{
    r->to_append = r->groups * WAITING;
    r->to_commit = r->to_append;
    double start = bench_now_s();
    bench_must(exec_call(journal_exec(r->journal), append_first, r), "start", NULL);
    while (sem_wait(&r->done) != 0) {
    }
    return bench_now_s() - start;
}

/* Lets the journal delete all but its last file. */
static void round_clean(struct run *r)
{
    struct journal_log_stats stats;
    journal_cursor_set(r->hold, journal_committed(r->log));
    do {
        (void)usleep(1000);
        journal_log_stats(r->log, &stats);
    } while (stats.segments > 1);
}

/* A file as the journal makes its segments: reserved, and its size fixed. */
static int bare_begin(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bench_must(fd < 0 || posix_fallocate(fd, 0, SEGMENT_BYTES) ? ERR_IO : OK, path, NULL);
    return fd;
}

/* The same records and bytes, bare. */
static double round_bare(const struct run *r, const char *path)
{
    struct iovec parts[WAITING];
    char name[1100];
    ssize_t group = (ssize_t)r->payload.len * WAITING;
    int files = 0;
    int fd = -1;
    off_t at = SEGMENT_BYTES;
    for (int i = 0; i < WAITING; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)r->payload.ptr, r->payload.len};
    double start = bench_now_s();
    for (int i = 0; i < r->groups; i++) {
        if (at + group > SEGMENT_BYTES) {
            if (fd >= 0)
                (void)close(fd);
            (void)snprintf(name, sizeof name, "%s.%d", path, files++);
            fd = bare_begin(name);
            at = 0;
        }
        bool good = pwritev(fd, parts, WAITING, at) == group && fdatasync(fd) == 0;
        bench_must(good ? OK : ERR_IO, "bare write", NULL);
        at += group;
    }
    double seconds = bench_now_s() - start;
    (void)close(fd);
    while (files-- > 0) {
        (void)snprintf(name, sizeof name, "%s.%d", path, files);
        (void)unlink(name);
    }
    return seconds;
}

static void measure(const char *dir, size_t bytes)
{
    char path[1024];
    char what[64];
    struct run r = {
        .payload = bytes_of(calloc(1, bytes), bytes),
        .groups = (int)(ROUND_BYTES / (bytes * WAITING)),
    };
    struct diag diag = {0};
    (void)sem_init(&r.done, 0, 0);
    (void)snprintf(path, sizeof path, "%s/journal-%zu", dir, bytes);
    struct journal_options where = {.dir = path, .keep_ms = 10};
    bench_must(journal_open(&where, &r.journal, &diag), path, NULL);
    struct journal_log_options options = {
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = 4ull * ROUND_BYTES,
    };
    bench_must(journal_log_open(r.journal, "bench", &options, &r.log, &diag), path, NULL);
    bench_must(journal_cursor_open(r.log, "hold", &r.hold), path, NULL);
    (void)snprintf(path, sizeof path, "%s/bare-%zu", dir, bytes);
    double ours[ROUNDS];
    double peer[ROUNDS];
    (void)round_journal(&r);
    round_clean(&r);
    for (int i = 0; i < ROUNDS; i++) {
        peer[i] = round_bare(&r, path);
        ours[i] = round_journal(&r);
        round_clean(&r);
    }
    double mb = (double)bytes * WAITING * r.groups / 1e6;
    (void)snprintf(what, sizeof what, "append+commit %zu KiB x %d waiting vs pwritev+fdatasync",
                   bytes / 1024, WAITING);
    bench_ratio("journal", what, mb / bench_median(ours, ROUNDS), mb / bench_median(peer, ROUNDS),
                "MB/s", GOAL);
    journal_close(r.journal);
    (void)sem_destroy(&r.done);
    free((void *)(uintptr_t)r.payload.ptr);
}

int main(int argc, char **argv)
{
    char dir[BENCH_PATH_BYTES_MAX];
    bench_folder_enter(argc, argv, "journal", dir);
    measure(dir, 4096);
    measure(dir, 65536);
    bench_folder_remove(dir);
    return 0;
}
