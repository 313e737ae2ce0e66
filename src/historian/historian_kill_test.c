/* Exactly once: a child that writes is killed at random moments, again and again; and a disk that
 * is full for a while. */
#include "base/clock.h"
#include "base/rand.h"
#include "historian/historian.h"
#include "tests/support/check.h"
#include "tests/support/child.h"
#include "tests/support/feed_made.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define T0      ((int64_t)1763800000000000)
#define ROWS    50
#define KILLS   12
#define RECORDS 3000

/* Record n of the log holds the numbers n × ROWS … + ROWS - 1. */
static int number_add(struct batch_builder *bb, int64_t n)
{
    if (batch_builder_row(bb, T0 + n) < 0)
        return ERR_NOMEM;
    batch_set_i64(bb, 0, n);
    return OK;
}

static struct historian *made_historian(struct feed_made *m, const char *path, struct feed *feed)
{
    const struct field field = {.name = "n", .type = VALUE_INT64};
    struct historian *h = NULL;
    if (!m->schema)
        CHECK_OK(schema_new(&field, 1, &m->schema));
    m->stream = "s";
    m->rows = ROWS;
    m->add = number_add;
    *feed = feed_made_feed(m);
    struct historian_options options = {
        .path = path, .feed = feed, .commit_rows = 1000, .linger_ms = 10, .wal_bytes_max = 1 << 20};
    CHECK_OK(historian_new(&options, &h));
    return h;
}

#define CHILD_VARIABLE "LOTLINE_KILL_TEST_CHILD"

/* The writer in a process of its own: says so when it has started, and runs until it is killed. */
static _Noreturn void child_main(const char *path)
{
    struct feed_made m = {.end = UINT64_MAX};
    struct feed feed;
    struct historian *h = made_historian(&m, path, &feed);
    if (historian_start(h, NULL))
        _exit(3);
    child_begun();
}

__attribute__((constructor)) static void child_begin(void)
{
    const char *path = getenv(CHILD_VARIABLE);
    if (path)
        child_main(path);
}

static int count_row(void *ctx, const struct value *cells, uint32_t count)
{
    int64_t *out = ctx;
    for (uint32_t i = 0; i < count; i++)
        out[i] = cells[i].i64 ? cells[i].i64 : (int64_t)cells[i].u64;
    return OK;
}

/* Rows, different numbers, the largest, and the stored position: all tell the same. */
static uint64_t check_whole(const char *path)
{
    struct duck *duck = NULL;
    struct duck_conn *conn = NULL;
    struct duck_stmt *s = NULL;
    struct duck_options options = {.path = path};
    int64_t got[4] = {0};
    CHECK_OK(duck_open(&options, &duck, NULL));
    CHECK_OK(duck_connect(duck, &conn));
    int err = duck_prepare(conn,
                           "SELECT count(*), count(DISTINCT i), coalesce(max(i) + 1, 0)::BIGINT, "
                           "(SELECT seq FROM positions)::BIGINT FROM points",
                           &s, NULL);
    if (!err) { /* killed before the tables were made: nothing to check */
        CHECK_OK(duck_run(s, count_row, got, NULL));
        CHECK_EQ(got[0], got[1]);
        CHECK_EQ(got[0], got[2]);
        CHECK_EQ(got[0], got[3] * ROWS);
    }
    duck_stmt_free(s);
    duck_disconnect(conn);
    duck_close(duck);
    return (uint64_t)got[3];
}

TEST(a_killed_writer_leaves_every_record_once_up_to_its_position)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/h.duckdb", check_folder());
    uint64_t seed = (uint64_t)clock_wall_us();
    uint64_t last = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t pid = child_start(CHILD_VARIABLE, path);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        child_kill(pid, (int64_t)((seed >> 33) % 300));
        uint64_t seq = check_whole(path);
        CHECK(seq >= last);
        last = seq;
    }
    CHECK(last > 0);
}

/* ------------------------------------------------------------------------------------- full disk
 */

struct full {
    pthread_mutex_t mutex;
    int err;
    int begun;
    int ended;
};

static void full_state(void *ctx, int err, const char *text)
{
    struct full *f = ctx;
    (void)text;
    (void)pthread_mutex_lock(&f->mutex);
    f->err = err;
    if (err)
        f->begun++;
    else
        f->ended++;
    (void)pthread_mutex_unlock(&f->mutex);
}

static int full_begun(struct full *f)
{
    (void)pthread_mutex_lock(&f->mutex);
    int n = f->begun;
    (void)pthread_mutex_unlock(&f->mutex);
    return n;
}

static struct position at_of(const struct historian *h)
{
    struct historian_stats stats;
    historian_stats_get(h, &stats);
    return stats.at;
}

/* A limit on the size of files is a disk that is full, without needing a disk of one's own. */
static void file_limit(rlim_t bytes)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(a_full_disk_stops_it_and_space_lets_it_go_on)
{
    char path[512];
    struct full full = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct feed_made m = {.end = RECORDS};
    struct feed feed;
    (void)snprintf(path, sizeof path, "%s/h.duckdb", check_folder());
    (void)signal(SIGXFSZ, SIG_IGN);
    struct historian *h = made_historian(&m, path, &feed);
    historian_free(h);
    struct historian_options options = {.path = path,
                                        .feed = &feed,
                                        .commit_rows = 1000,
                                        .linger_ms = 10,
                                        .wal_bytes_max = 256 << 10,
                                        .on_state = full_state,
                                        .ctx = &full};
    CHECK_OK(historian_new(&options, &h));
    file_limit(600 << 10);
    CHECK_OK(historian_start(h, NULL));
    CHECK_SOON(full_begun(&full) >= 1 || at_of(h).seq == RECORDS, 20000);
    CHECK(at_of(h).seq < RECORDS);
    CHECK_EQ(full.err, ERR_NO_SPACE);
    file_limit(RLIM_INFINITY);
    CHECK_SOON(at_of(h).seq == RECORDS, 30000);
    historian_free(h);
    CHECK_EQ(check_whole(path), RECORDS);
    CHECK(full.ended >= 1);
    schema_unref(m.schema);
}
