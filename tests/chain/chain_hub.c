/* The hub of the chain: a listener that appends and acknowledges (or forgets to), and a follower
 * that puts records into DuckDB with its position. See chain.h.
 */
#include "codec/columnar.h"
#include "db/duckdb.h"
#include "tests/chain/chain.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ACKS_DROPPED_IN 30   /* one acknowledgement in so many is never sent */
#define LINKS_CUT_IN    2000 /* one record in so many is followed by a cut */
#define TXN_RECORDS_MAX 500

struct hub {
    const char *dir;
    bool calm; /* drops and cuts nothing */
    struct rand rand;
    struct journal *journal;
    struct stream_log *log;
    int link_fd; /* journal thread writes acknowledgements to it; mutex */
    uint64_t link_number;
    pthread_mutex_t mutex;
    atomic_ullong under_way;
};

/* ---------------------------------------------------------------------------------- follower */

struct follower {
    struct hub *hub;
    struct exec *exec;
    struct duck *duck;
    struct duck_conn *conn;
    struct duck_stmt *insert;
    struct duck_stmt *move;
    struct stream_reader *reader;
    struct journal_cursor *cursor; /* lets the log be trimmed; what counts is the database's */
    struct journal_watch watch;
    struct position at;
    atomic_uint passes;
};

static int read_position(void *ctx, const struct value *cells, uint32_t count)
{
    struct position *at = ctx;
    if (count == 2)
        *at = (struct position){cells[0].u64, cells[1].u64};
    return OK;
}

static void follower_open(struct follower *f)
{
    char path[CHAIN_PATH_BYTES_MAX];
    struct diag diag = {0};
    struct duck_stmt *s;
    chain_path(f->hub->dir, "hub.duckdb", path);
    struct duck_options o = {.path = path};
    chain_must(duck_open(&o, &f->duck, &diag), diag.text);
    chain_must(duck_connect(f->duck, &f->conn), "a connection");
    chain_must(
        duck_exec(f->conn,
                  "CREATE TABLE IF NOT EXISTS rows (stream UBIGINT, n UBIGINT, v DOUBLE);"
                  "CREATE TABLE IF NOT EXISTS position (epoch UBIGINT, seq UBIGINT);"
                  "INSERT INTO position SELECT 0, 0 WHERE (SELECT count(*) FROM position) = 0",
                  &diag),
        diag.text);
    chain_must(duck_prepare(f->conn, "SELECT epoch, seq FROM position", &s, &diag), diag.text);
    chain_must(duck_run(s, read_position, &f->at, &diag), diag.text);
    duck_stmt_free(s);
    chain_must(duck_prepare(f->conn, "INSERT INTO rows VALUES (?, ?, ?)", &f->insert, &diag),
               diag.text);
    chain_must(duck_prepare(f->conn, "UPDATE position SET epoch = ?, seq = ?", &f->move, &diag),
               diag.text);
}

static void follower_put(struct follower *f, const struct stream_record *r)
{
    struct batch *b;
    struct diag diag = {0};
    chain_must(r->stream.len == 2 ? OK : ERR_INTERNAL, "a stream that nobody sent");
    chain_must(stream_reader_batch(f->reader, r, &b), "a batch");
    struct column n = batch_column(b, 0);
    struct column v = batch_column(b, 1);
    for (uint32_t row = 0; row < b->rows; row++) {
        chain_must(duck_bind_u64(f->insert, 1, (uint64_t)(r->stream.ptr[1] - '0')), "a bind");
        chain_must(duck_bind_u64(f->insert, 2, ((const uint64_t *)n.data)[row]), "a bind");
        chain_must(duck_bind_f64(f->insert, 3, ((const double *)v.data)[row]), "a bind");
        chain_must(duck_run(f->insert, NULL, NULL, &diag), diag.text);
    }
    batch_unref(b);
    f->at = r->at;
}

/* Up to TXN_RECORDS_MAX records and the position of the last in one transaction. False when there
 * was none. */
static bool follower_step(struct follower *f)
{
    struct stream_record r;
    struct diag diag = {0};
    uint32_t count = 0;
    int err = OK;
    chain_must(duck_exec(f->conn, "BEGIN", &diag), diag.text);
    while (count < TXN_RECORDS_MAX && (err = stream_reader_next(f->reader, &r)) == OK) {
        follower_put(f, &r);
        count++;
    }
    if (err != ERR_AGAIN)
        chain_must(err, "reading the hub's log");
    chain_must(duck_bind_u64(f->move, 1, f->at.epoch), "a bind");
    chain_must(duck_bind_u64(f->move, 2, f->at.seq), "a bind");
    chain_must(duck_run(f->move, NULL, NULL, &diag), diag.text);
    chain_must(duck_exec(f->conn, "COMMIT", &diag), diag.text);
    journal_cursor_set(f->cursor, f->at);
    return count > 0;
}

static void follower_run(struct exec_task *task)
{
    struct follower *f =
        CONTAINER_OF(CONTAINER_OF(task, struct journal_watch, task), struct follower, watch);
    while (follower_step(f)) {
    }
    atomic_fetch_add(&f->passes, 1);
}

static void follower_start(struct follower *f)
{
    follower_open(f);
    chain_must(stream_reader_new(f->hub->log, f->at, &f->reader), "the reader");
    chain_must(journal_cursor_open(stream_log_journal(f->hub->log), "database", &f->cursor),
               "the cursor");
    chain_must(exec_thread_new("follower", 1u << 20, &f->exec), "a thread");
    f->watch.exec = f->exec;
    exec_task_init(&f->watch.task, follower_run);
    journal_watch_add(stream_log_journal(f->hub->log), &f->watch);
    (void)exec_post(f->exec, &f->watch.task);
}

static void follower_stop(struct follower *f)
{
    journal_watch_remove(stream_log_journal(f->hub->log), &f->watch);
    exec_thread_free(f->exec);
    stream_reader_free(f->reader);
    duck_stmt_free(f->insert);
    duck_stmt_free(f->move);
    duck_disconnect(f->conn);
    duck_close(f->duck);
}

/* ---------------------------------------------------------------------------------- receiver */

struct request {
    struct exec_task task;
    struct journal_wait wait;
    struct hub *hub;
    uint64_t link_number;
    uint64_t id;
    struct payload *payload;
    bool answered; /* false: the acknowledgement is dropped */
    bool cut;
};

static void request_end(struct request *q, int err)
{
    struct hub *h = q->hub;
    uint8_t answer[4];
    store_le32(answer, (uint32_t)err);
    (void)pthread_mutex_lock(&h->mutex);
    if (h->link_fd >= 0 && h->link_number == q->link_number) {
        if (q->answered)
            (void)chain_send(h->link_fd, CHAIN_ACK, q->id, bytes_of(answer, 4), bytes_of(NULL, 0));
        if (q->cut)
            (void)shutdown(h->link_fd, SHUT_RDWR);
    }
    (void)pthread_mutex_unlock(&h->mutex);
    atomic_fetch_sub(&h->under_way, 1);
    payload_unref(q->payload);
    free(q);
}

static void request_durable(struct journal_wait *wait, struct position at, int err)
{
    (void)at;
    request_end(CONTAINER_OF(wait, struct request, wait), err);
}

static void request_run(struct exec_task *task)
{
    struct request *q = CONTAINER_OF(task, struct request, task);
    struct record record;
    struct position at;
    int err = record_decode(payload_bytes(q->payload), &record);
    q->wait.fn = request_durable;
    if (!err)
        err = stream_log_append_remote(q->hub->log, &record, &q->wait, &at);
    if (err)
        request_end(q, err);
}

static void take_record(struct hub *h, uint64_t id, struct bytes payload)
{
    struct request *q = chain_new(sizeof *q);
    q->hub = h;
    q->id = id;
    q->link_number = h->link_number;
    q->payload = payload_copy(payload);
    chain_must(q->payload ? OK : ERR_NOMEM, "a payload");
    q->answered = h->calm || rand_below(&h->rand, ACKS_DROPPED_IN) != 0;
    q->cut = !h->calm && rand_below(&h->rand, LINKS_CUT_IN) == 0;
    exec_task_init(&q->task, request_run);
    atomic_fetch_add(&h->under_way, 1);
    (void)exec_post(journal_exec(h->journal), &q->task);
}

static void take_schema(struct hub *h, struct bytes payload)
{
    struct schema *schema;
    chain_must(columnar_schema_decode(payload, &schema), "a schema from the edge");
    chain_must(stream_log_schema_put(h->log, schema), "storing a schema");
    schema_unref(schema);
}

static void take_frames(struct hub *h, struct buf *in)
{
    enum chain_kind kind;
    uint64_t id;
    struct bytes payload;
    size_t used = 0;
    size_t n;
    while ((n = chain_frame(bytes_of(in->ptr + used, in->len - used), &kind, &id, &payload))) {
        if (kind == CHAIN_SCHEMA)
            take_schema(h, payload);
        else if (kind == CHAIN_RECORD)
            take_record(h, id, payload);
        used += n;
    }
    if (used)
        memmove(in->ptr, in->ptr + used, in->len - used);
    in->len -= used;
}

static void link_set(struct hub *h, int fd)
{
    (void)pthread_mutex_lock(&h->mutex);
    if (h->link_fd >= 0)
        (void)close(h->link_fd);
    h->link_fd = fd;
    h->link_number++;
    (void)pthread_mutex_unlock(&h->mutex);
}

static int hub_listen(struct hub *h)
{
    struct sockaddr_un address;
    chain_socket_path(h->dir, &address);
    (void)unlink(address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4) != 0)
        chain_must(ERR_IO, "listening");
    return fd;
}

static void hub_serve(struct hub *h)
{
    struct buf in = {0};
    int listen_fd = hub_listen(h);
    while (!chain_ending()) {
        struct pollfd fds[2] = {{.fd = listen_fd, .events = POLLIN},
                                {.fd = h->link_fd, .events = POLLIN}};
        if (poll(fds, 2, 20) <= 0)
            continue;
        if (fds[0].revents) {
            link_set(h, accept(listen_fd, NULL, NULL));
            buf_reset(&in);
        } else if (fds[1].revents) {
            bool alive = chain_receive(h->link_fd, &in);
            take_frames(h, &in);
            if (!alive)
                link_set(h, -1);
        }
    }
    link_set(h, -1);
    (void)close(listen_fd);
    buf_fini(&in);
}

int chain_hub(const char *dir, uint64_t seed, bool calm)
{
    struct hub h = {.dir = dir, .link_fd = -1, .calm = calm};
    struct follower f = {.hub = &h};
    char path[CHAIN_PATH_BYTES_MAX];
    struct diag diag = {0};
    rand_seed(&h.rand, seed);
    (void)pthread_mutex_init(&h.mutex, NULL);
    chain_path(dir, "hub.notes", path);
    const struct journal_io *io = chain_power_io(path);
    chain_path(dir, "hub", path);
    struct journal_options jo = {.dir = path, .flush_ms = 50, .keep_ms = 20, .io = io};
    chain_must(journal_open(&jo, &h.journal, &diag), diag.text);
    struct stream_log_options so = {.journal = h.journal,
                                    .node = "hub",
                                    .seen_ms = 50,
                                    .log = {.segment_bytes = CHAIN_SEGMENT_BYTES}};
    chain_must(stream_log_new(&so, &h.log), "the stream log");
    chain_must(stream_log_start(h.log, &diag), diag.text);
    follower_start(&f);

    hub_serve(&h);

    /* Everything that came is in the log, and, after one more pass, in the database. */
    while (atomic_load(&h.under_way))
        (void)poll(NULL, 0, 1);
    unsigned passes = atomic_load(&f.passes);
    while (atomic_load(&f.passes) == passes) {
        (void)exec_post(f.exec, &f.watch.task);
        (void)poll(NULL, 0, 1);
    }
    follower_stop(&f);
    stream_log_stop(h.log);
    stream_log_free(h.log);
    journal_close(h.journal);
    chain_power_free(io);
    (void)pthread_mutex_destroy(&h.mutex);
    return 0;
}
