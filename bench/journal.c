/* The journal against a bare file: records of 4 and 64 KiB, 64 appends waiting for their commit,
 * the file pre-allocated the same way. The peer writes 64 records with one pwritev and calls
 * fdatasync: nothing as durable is faster on this file system. Rounds alternate, so that the
 * disk's moods hit both.
 *
 *   bench_journal [DIR]        default: the current directory
 */
#include "journal/journal.h"

#include "bench/bench.h"

#include <fcntl.h>
#include <semaphore.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WAITING       64
#define ROUNDS        9
#define ROUND_GROUPS  30 /* of WAITING records */
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
    struct bytes payload;
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

/* Seconds for ROUND_GROUPS × WAITING durable records. */
static double round_journal(struct run *r)
{
    r->to_append = ROUND_GROUPS * WAITING;
    r->to_commit = r->to_append;
    double start = bench_now_s();
    bench_must(exec_call(journal_exec(r->journal), append_first, r), "start", NULL);
    while (sem_wait(&r->done) != 0) {
    }
    return bench_now_s() - start;
}

/* The same records and bytes, bare. */
static double round_bare(const char *path, struct bytes payload)
{
    struct iovec parts[WAITING];
    for (int i = 0; i < WAITING; i++)
        parts[i] = (struct iovec){(void *)(uintptr_t)payload.ptr, payload.len};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t bytes = (off_t)payload.len * WAITING * ROUND_GROUPS;
    /* As the journal does: segments of the same size, reserved at a time. */
    bench_must(fd < 0 || posix_fallocate(fd, 0, bytes) ? ERR_IO : OK, path, NULL);
    bench_must(fsync(fd) ? ERR_IO : OK, path, NULL);
    double start = bench_now_s();
    off_t at = 0;
    for (int i = 0; i < ROUND_GROUPS; i++) {
        ssize_t n = pwritev(fd, parts, WAITING, at);
        bench_must(n == (ssize_t)payload.len * WAITING && fdatasync(fd) == 0 ? OK : ERR_IO,
                   "bare write", NULL);
        at += n;
    }
    double seconds = bench_now_s() - start;
    (void)close(fd);
    (void)unlink(path);
    return seconds;
}

static void measure(const char *dir, size_t bytes)
{
    char path[1024];
    char what[64];
    struct run r = {.payload = bytes_of(calloc(1, bytes), bytes)};
    struct diag diag = {0};
    (void)sem_init(&r.done, 0, 0);
    (void)snprintf(path, sizeof path, "%s/journal-%zu", dir, bytes);
    bench_must(journal_open(&(struct journal_options){.dir = path}, &r.journal, &diag), path, NULL);
    struct journal_log_options options = {
        .segment_bytes = SEGMENT_BYTES,
        .bytes_max = 4ull * SEGMENT_BYTES,
    };
    bench_must(journal_log_open(r.journal, "bench", &options, &r.log, &diag), path, NULL);
    (void)snprintf(path, sizeof path, "%s/bare-%zu", dir, bytes);
    double ours[ROUNDS];
    double peer[ROUNDS];
    (void)round_journal(&r);
    for (int i = 0; i < ROUNDS; i++) {
        peer[i] = round_bare(path, r.payload);
        ours[i] = round_journal(&r);
    }
    double mb = (double)bytes * WAITING * ROUND_GROUPS / 1e6;
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
    char dir[] = "bench-journal-XXXXXX";
    if (argc > 1 && chdir(argv[1]) != 0)
        return 1;
    if (!mkdtemp(dir))
        return 1;
    measure(dir, 4096);
    measure(dir, 65536);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) ? 1 : 0; /* NOLINT(cert-env33-c): our own folder */
}
