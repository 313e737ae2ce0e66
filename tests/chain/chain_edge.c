/* The edge of the chain: producers of counters, and a sender that follows the log. See chain.h. */
#include "base/clock.h"
#include "codec/columnar.h"
#include "tests/chain/chain.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WINDOW         64
#define ROWS_MAX       8
#define PAD_BYTES_MAX  2000
#define TICK_US        700
#define PATIENCE_US    300000 /* without an acknowledgement, then the link is made anew */
#define FORGETS_SCHEMA 3      /* one schema in so many is not sent before its record */

/* --------------------------------------------------------------------------------- producers */

struct edge;

struct producer {
    struct edge *edge;
    uint32_t index;
    struct stream *stream;
    struct outlet outlet;
    struct batch_builder *builder;
    uint64_t next;
};

struct edge {
    const char *dir;
    struct rand rand;
    const struct journal_io *io;
    struct journal *journal;
    struct stream_log *log;
    struct exec *exec; /* producers' */
    struct exec_timer tick;
    struct producer producers[CHAIN_STREAMS];
    int ledger_fd;
    int try_fd;
    int wake_fd;
    atomic_ullong out; /* pushed and not done */
    atomic_bool quiet; /* nothing is produced any more */
    struct journal_watch watch;
};

struct push {
    struct flow_done done;
    struct edge *edge;
    struct chain_line line;
};

static void push_done(struct flow_done *done, struct position at, int err)
{
    struct push *p = CONTAINER_OF(done, struct push, done);
    /* Acknowledged means: it is somewhere. */
    if (!err)
        chain_must(position_is_none(at) ? ERR_INTERNAL : OK, "a done without a position");
    if (!err && write(p->edge->ledger_fd, &p->line, sizeof p->line) != sizeof p->line)
        chain_must(ERR_IO, "the ledger");
    atomic_fetch_sub(&p->edge->out, 1);
    free(p);
}

static struct batch *make_batch(struct producer *p, uint32_t rows)
{
    uint8_t pad[PAD_BYTES_MAX];
    struct batch *b;
    size_t len = (size_t)rand_below(&p->edge->rand, sizeof pad);
    memset(pad, (int)(p->next & 0xff), len);
    for (uint32_t i = 0; i < rows; i++) {
        chain_must(batch_builder_row(p->builder, clock_wall_us()) < 0 ? ERR_NOMEM : OK, "a row");
        batch_set_u64(p->builder, 0, p->next + i);
        batch_set_f64(p->builder, 1, chain_value(p->index, p->next + i));
        chain_must(batch_set_bytes(p->builder, 2, bytes_of(pad, len)), "bytes");
    }
    chain_must(batch_builder_finish(p->builder, &b), "a batch");
    return b;
}

static void produce(struct producer *p)
{
    struct edge *e = p->edge;
    uint32_t rows = 1 + (uint32_t)rand_below(&e->rand, ROWS_MAX);
    struct batch *b = make_batch(p, rows);
    if (outlet_ready(&p->outlet, b)) {
        struct push *push = chain_new(sizeof *push);
        push->edge = e;
        push->line = (struct chain_line){p->index, rows, p->next};
        flow_done_init(&push->done, e->exec, push_done);
        p->next += rows;
        /* Never produced twice, also after a kill: the number is gone before it is used. */
        if (pwrite(e->try_fd, &p->next, sizeof p->next, (off_t)(p->index * sizeof p->next)) < 0)
            chain_must(ERR_IO, "the tries");
        atomic_fetch_add(&e->out, 1);
        chain_must(outlet_push(&p->outlet, b, (struct position){0, 0}, &push->done), "a push");
    }
    batch_unref(b);
}

static void tick(struct exec_timer *timer)
{
    struct edge *e = CONTAINER_OF(timer, struct edge, tick);
    if (chain_ending()) {
        atomic_store(&e->quiet, true);
        return;
    }
    produce(&e->producers[rand_below(&e->rand, CHAIN_STREAMS)]);
    chain_must(exec_timer_start(e->exec, timer, exec_now_us(e->exec) + TICK_US), "a timer");
}

struct start {
    struct exec_task task;
    struct edge *edge;
};

static void start_run(struct exec_task *task)
{
    struct edge *e = CONTAINER_OF(task, struct start, task)->edge;
    tick(&e->tick);
}

/* A new schema with each start, so that the hub must learn it in the middle of the flow. */
static struct schema *make_schema(uint64_t epoch)
{
    char name[32];
    struct schema *s;
    (void)snprintf(name, sizeof name, "v%llu", (unsigned long long)epoch);
    struct field fields[] = {
        {.name = "n", .type = VALUE_UINT64},
        {.name = name, .type = VALUE_DOUBLE},
        {.name = "pad", .type = VALUE_BYTES},
    };
    chain_must(schema_new(fields, 3, &s), "a schema");
    return s;
}

static void producer_init(struct edge *e, uint32_t index, const struct schema *schema)
{
    struct producer *p = &e->producers[index];
    char name[16];
    (void)snprintf(name, sizeof name, "s%u", index);
    p->edge = e;
    p->index = index;
    if (pread(e->try_fd, &p->next, sizeof p->next, (off_t)(index * sizeof p->next)) < 0)
        chain_must(ERR_IO, "the tries");
    chain_must(stream_new(name, CHAIN_NODE, STREAM_GROUP, "", schema, &p->stream), "a stream");
    chain_must(batch_builder_new(schema, ROWS_MAX, NULL, &p->builder), "a builder");
    outlet_init(&p->outlet, e->exec, p->stream, NULL);
    chain_must(stream_log_insert(e->log, p->stream, &p->outlet, 0) ? OK : ERR_NOMEM, "a tap");
}

/* ------------------------------------------------------------------------------------ sender */

struct slot {
    uint64_t id;
    struct position at;
    bool acked;
};

struct sender {
    struct edge *edge;
    struct rand rand;
    struct stream_reader *reader;
    struct journal_cursor *cursor;
    struct buf in;
    struct buf head;
    int fd;
    uint64_t next_id;
    struct slot slots[WINDOW];
    uint32_t first;
    uint32_t count;
    struct map schemas;
    int64_t progress_us;
};

static void sender_rewind(struct sender *s)
{
    stream_reader_seek(s->reader, journal_cursor_get(s->cursor));
    s->count = 0;
    map_fini(&s->schemas);
    s->progress_us = clock_mono_us();
}

static void sender_hang_up(struct sender *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    s->fd = -1;
    buf_reset(&s->in);
}

static bool sender_connect(struct sender *s)
{
    struct sockaddr_un address;
    chain_socket_path(s->edge->dir, &address);
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        sender_hang_up(s);
        return false;
    }
    sender_rewind(s);
    return true;
}

static bool send_schema(struct sender *s, uint64_t hash)
{
    struct schema *schema;
    struct buf text = {0};
    if (map_find(&s->schemas, bytes_of(&hash, sizeof hash)))
        return true;
    chain_must(map_put(&s->schemas, bytes_of(&hash, sizeof hash), s, NULL), "a map");
    if (rand_below(&s->rand, FORGETS_SCHEMA) == 0)
        return true;
    chain_must(stream_log_schema_get(s->edge->log, hash, &schema), "a schema");
    chain_must(columnar_schema_encode(schema, &text), "a schema");
    bool sent = chain_send(s->fd, CHAIN_SCHEMA, 0, buf_bytes(&text), bytes_of(NULL, 0));
    schema_unref(schema);
    buf_fini(&text);
    return sent;
}

static bool send_record(struct sender *s, const struct stream_record *r)
{
    uint64_t hash;
    struct record head = {.node = r->node, .stream = r->stream, .origin = r->origin, .key = r->key};
    chain_must(columnar_schema_hash(r->columnar, &hash), "a batch");
    if (!send_schema(s, hash))
        return false;
    buf_reset(&s->head);
    chain_must(record_head_encode(&head, &s->head), "a head");
    s->slots[(s->first + s->count++) % WINDOW] = (struct slot){s->next_id, r->at, false};
    return chain_send(s->fd, CHAIN_RECORD, s->next_id++, buf_bytes(&s->head), r->columnar);
}

static bool sender_fill(struct sender *s)
{
    struct stream_record r;
    while (s->count < WINDOW) {
        int err = stream_reader_next(s->reader, &r);
        if (err == ERR_AGAIN)
            return true;
        chain_must(err, "reading the edge's log");
        if (!send_record(s, &r))
            return false;
    }
    return true;
}

static void sender_ack(struct sender *s, uint64_t id, int err)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct slot *slot = &s->slots[(s->first + i) % WINDOW];
        if (slot->id != id)
            continue;
        if (err) {
            sender_rewind(s);
            return;
        }
        slot->acked = true;
    }
    while (s->count && s->slots[s->first].acked) {
        journal_cursor_set(s->cursor, s->slots[s->first].at);
        s->first = (s->first + 1) % WINDOW;
        s->count--;
        s->progress_us = clock_mono_us();
    }
}

static bool sender_hear(struct sender *s)
{
    enum chain_kind kind;
    uint64_t id;
    struct bytes payload;
    size_t used = 0;
    size_t n;
    bool alive = chain_receive(s->fd, &s->in);
    while ((n = chain_frame(bytes_of(s->in.ptr + used, s->in.len - used), &kind, &id, &payload))) {
        if (kind == CHAIN_ACK && payload.len == 4)
            sender_ack(s, id, (int32_t)load_le32(payload.ptr));
        used += n;
    }
    if (used)
        memmove(s->in.ptr, s->in.ptr + used, s->in.len - used);
    s->in.len -= used;
    return alive;
}

static bool sender_step(struct sender *s)
{
    if (s->fd < 0 && !sender_connect(s))
        return false;
    bool late = s->count && clock_mono_us() - s->progress_us > PATIENCE_US;
    if (late || !sender_hear(s) || !sender_fill(s))
        sender_hang_up(s);
    return s->fd >= 0;
}

static void told(struct exec_task *task)
{
    struct edge *e =
        CONTAINER_OF(CONTAINER_OF(task, struct journal_watch, task), struct edge, watch);
    uint64_t one = 1;
    chain_must(write(e->wake_fd, &one, sizeof one) == sizeof one ? OK : ERR_IO, "waking");
}

static bool all_sent(struct edge *e, struct sender *s)
{
    struct position end = journal_committed(stream_log_journal(e->log));
    return atomic_load(&e->quiet) && atomic_load(&e->out) == 0 &&
           position_compare(journal_cursor_get(s->cursor), end) >= 0;
}

static void sender_run(struct edge *e, struct sender *s)
{
    while (!all_sent(e, s)) {
        bool linked = sender_step(s);
        struct pollfd fds[2] = {{.fd = e->wake_fd, .events = POLLIN},
                                {.fd = linked ? s->fd : -1, .events = POLLIN}};
        (void)poll(fds, 2, 20);
        uint64_t count;
        if (fds[0].revents && read(e->wake_fd, &count, sizeof count) < 0)
            chain_must(ERR_IO, "waking");
    }
}

/* -------------------------------------------------------------------------------------- whole */

static void edge_open(struct edge *e)
{
    char path[CHAIN_PATH_BYTES_MAX];
    struct diag diag = {0};
    chain_path(e->dir, "edge.notes", path);
    e->io = chain_power_io(path);
    chain_path(e->dir, "edge", path);
    struct journal_options jo = {.dir = path, .flush_ms = 50, .keep_ms = 20, .io = e->io};
    chain_must(journal_open(&jo, &e->journal, &diag), diag.text);
    struct stream_log_options so = {
        .journal = e->journal,
        .node = CHAIN_NODE,
        .seen_ms = 50,
        .log = {.segment_bytes = CHAIN_SEGMENT_BYTES},
    };
    chain_must(stream_log_new(&so, &e->log), "the stream log");
    chain_must(stream_log_start(e->log, &diag), diag.text);
    chain_path(e->dir, "acknowledged", path);
    e->ledger_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    chain_path(e->dir, "tried", path);
    e->try_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    chain_must(e->ledger_fd < 0 || e->try_fd < 0 || e->wake_fd < 0 ? ERR_IO : OK, "its files");
}

int chain_edge(const char *dir, uint64_t seed)
{
    struct edge e = {.dir = dir};
    struct sender s = {.edge = &e, .fd = -1, .next_id = 1};
    struct start start = {.edge = &e};
    rand_seed(&e.rand, seed);
    rand_seed(&s.rand, seed + 1);
    edge_open(&e);
    chain_must(exec_thread_new("producer", 0, &e.exec), "a thread");
    struct schema *schema = make_schema(journal_epoch(stream_log_journal(e.log)));
    for (uint32_t i = 0; i < CHAIN_STREAMS; i++)
        producer_init(&e, i, schema);
    chain_must(journal_cursor_open(stream_log_journal(e.log), "uplink", &s.cursor), "the cursor");
    chain_must(stream_reader_new(e.log, journal_cursor_get(s.cursor), &s.reader), "the reader");
    e.watch.exec = e.exec;
    exec_task_init(&e.watch.task, told);
    journal_watch_add(stream_log_journal(e.log), &e.watch);
    exec_timer_init(&e.tick, tick);
    exec_task_init(&start.task, start_run);
    (void)exec_post(e.exec, &start.task);

    sender_run(&e, &s);

    sender_hang_up(&s);
    journal_watch_remove(stream_log_journal(e.log), &e.watch);
    stream_reader_free(s.reader);
    stream_log_stop(e.log);
    exec_thread_free(e.exec);
    stream_log_free(e.log);
    journal_close(e.journal);
    chain_power_free(e.io);
    for (uint32_t i = 0; i < CHAIN_STREAMS; i++) {
        batch_builder_free(e.producers[i].builder);
        stream_free(e.producers[i].stream);
    }
    schema_unref(schema);
    map_fini(&s.schemas);
    buf_fini(&s.in);
    buf_fini(&s.head);
    (void)close(e.ledger_fd);
    (void)close(e.try_fd);
    (void)close(e.wake_fd);
    return 0;
}
