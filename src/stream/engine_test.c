/* The engine with real threads: rules, actions, sources, tails, and a restart over a real log. */
#include "base/clock.h"
#include "base/err.h"
#include "journal/journal.h"
#include "model/message.h"
#include "stream/log.h"
#include "stream/stream.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define WAIT_MS 5000

struct rig {
    struct exec *loop;
    struct catalogue catalogue;
    struct config *config;
    struct stream_engine *engine;
    struct journal *journal;
    struct stream_log *log;
    struct stream *press;
    struct outlet press_out; /* the producer's side, on loop */
    struct exec_task push_task;
    struct batch *push_batch;
    atomic_bool pushed;
    struct flow *messages;
    struct exec_task fini_task;
    pthread_mutex_t lock;
    struct buf text; /* "topic payload\n" of every message */
    atomic_uint message_count;
    atomic_uint calls;
    atomic_uint closed;
    char last_call[256];
};

static const struct field press_fields[] = {
    {.name = "force", .type = VALUE_DOUBLE},
    {.name = "n", .type = VALUE_INT64},
};

/* A call of another stage: notes "name arguments". */
static void note_call(void *owner, struct call *c)
{
    struct rig *g = owner;
    const struct schema *s = call_request(c)->schema;
    size_t len = 0;
    pthread_mutex_lock(&g->lock);
    len += (size_t)snprintf(g->last_call, sizeof g->last_call, "%s", call_spec_of(c)->name);
    for (uint32_t i = 0; i < s->count; i++) {
        struct value v = call_arg(c, s->fields[i].name);
        len += (size_t)snprintf(g->last_call + len, sizeof g->last_call - len, " %.*s",
                                (int)v.bytes.len, (const char *)v.bytes.ptr);
    }
    atomic_fetch_add(&g->calls, 1); /* who reads the text reads how many there were */
    pthread_mutex_unlock(&g->lock);
    call_answer(c, NULL);
}

static const struct call_field raise_fields[] = {
    {"name", VALUE_STRING, 0, true, ""},
    {"source", VALUE_STRING, 0, false, ""},
    {"text", VALUE_STRING, 0, false, ""},
    {0},
};
static const struct call_field write_fields[] = {
    {"tag", VALUE_STRING, 0, true, ""},
    {"value", VALUE_STRING, FIELD_JSON, true, ""},
    {0},
};
static const struct call_spec raise_spec = {
    .name = "alarm.raise", .role = CALL_ENGINEER, .request = raise_fields};
static const struct call_spec clear_spec = {
    .name = "alarm.clear", .role = CALL_ENGINEER, .request = raise_fields};
static const struct call_spec write_spec = {
    .name = "gateway.write", .role = CALL_ENGINEER, .request = write_fields};

static void rig_init(struct rig *g, const char *yaml)
{
    struct diag diag = {0};
    struct schema *s = NULL;
    memset(g, 0, sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    CHECK_OK(exec_thread_new("loop", 0, &g->loop));
    CHECK_OK(catalogue_init(&g->catalogue, "node1"));
    CHECK_OK(schema_new(press_fields, 2, &s));
    CHECK_OK(catalogue_stream_add(&g->catalogue, "plc1.press", STREAM_GROUP, "plant/line", s,
                                  &g->press));
    schema_unref(s);
    outlet_init(&g->press_out, g->loop, g->press, NULL);
    g->press->outlet = &g->press_out;
    CHECK_OK(catalogue_call_add(&g->catalogue, &raise_spec, g->loop, note_call, g));
    CHECK_OK(catalogue_call_add(&g->catalogue, &clear_spec, g->loop, note_call, g));
    CHECK_OK(catalogue_call_add(&g->catalogue, &write_spec, g->loop, note_call, g));
    int err = config_parse("test.yaml", bytes_of_text(yaml), &g->config, &diag);
    if (err)
        printf("# %s\n", diag.text);
    CHECK_OK(err);
    struct stream_engine_options o = {.loops = &g->loop, .loop_count = 1};
    CHECK_OK(stream_engine_new(&o, &g->engine));
    err = stream_engine_configure(g->engine, g->config, &g->catalogue, &diag);
    if (err)
        printf("# %u:%u %s\n", diag.line, diag.column, diag.text);
    CHECK_OK(err);
    stream_engine_wire(g->engine);
}

static void rig_start(struct rig *g)
{
    struct diag diag = {0};
    CHECK_OK(stream_engine_start(g->engine, &diag));
}

static void outlet_fini_run(struct exec_task *task)
{
    struct rig *g = CONTAINER_OF(task, struct rig, fini_task);
    outlet_fini(&g->press_out);
    atomic_store(&g->pushed, true);
}

static void rig_fini(struct rig *g)
{
    stream_engine_stop(g->engine);
    if (g->log)
        stream_log_stop(g->log);
    atomic_store(&g->pushed, false);
    exec_task_init(&g->fini_task, outlet_fini_run);
    (void)exec_post(g->loop, &g->fini_task);
    CHECK_SOON(atomic_load(&g->pushed), WAIT_MS);
    exec_thread_free(g->loop);
    if (g->journal)
        journal_close(g->journal);
    stream_log_free(g->log);
    stream_engine_free(g->engine);
    config_free(g->config);
    catalogue_fini(&g->catalogue);
    buf_fini(&g->text);
    pthread_mutex_destroy(&g->lock);
}

static void push_run(struct exec_task *task)
{
    struct rig *g = CONTAINER_OF(task, struct rig, push_task);
    if (outlet_push(&g->press_out, g->push_batch, (struct position){0, 0}, NULL) != OK) {
        (void)exec_post(g->loop, task);
        return;
    }
    batch_unref(g->push_batch);
    atomic_store(&g->pushed, true);
}

static void push(struct rig *g, int64_t time_us, double force, int64_t n)
{
    struct batch_builder *bb;
    CHECK_OK(batch_builder_new(g->press->schema, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, time_us) >= 0);
    batch_set_f64(bb, 0, force);
    batch_set_i64(bb, 1, n);
    CHECK_OK(batch_builder_finish(bb, &g->push_batch));
    batch_builder_free(bb);
    atomic_store(&g->pushed, false);
    exec_task_init(&g->push_task, push_run);
    (void)exec_post(g->loop, &g->push_task);
    CHECK_SOON(atomic_load(&g->pushed), WAIT_MS);
}

static void messages_ready(void *ctx, struct flow *f)
{
    struct rig *g = ctx;
    struct flow_item item;
    while (flow_take(f, &item)) {
        struct column topic = batch_column(item.batch, MESSAGE_TOPIC);
        struct column payload = batch_column(item.batch, MESSAGE_PAYLOAD);
        pthread_mutex_lock(&g->lock);
        for (uint32_t i = 0; i < item.batch->rows; i++) {
            (void)buf_append_bytes(&g->text, column_bytes(&topic, i));
            (void)buf_append_text(&g->text, " ");
            (void)buf_append_bytes(&g->text, column_bytes(&payload, i));
            (void)buf_append_text(&g->text, "\n");
        }
        pthread_mutex_unlock(&g->lock);
        atomic_fetch_add(&g->message_count, item.batch->rows);
        flow_finish(&item, item.at, OK);
    }
}

static void flow_gone(void *ctx, struct flow *f)
{
    struct rig *g = ctx;
    flow_unref(f);
    atomic_fetch_add(&g->closed, 1);
}

static void listen_to(struct rig *g, struct outlet *o)
{
    struct flow *f;
    struct flow_options options = {.name = "test",
                                   .consumer = g->loop,
                                   .policy = FLOW_BLOCK,
                                   .ctx = g,
                                   .on_ready = messages_ready,
                                   .on_closed = flow_gone};
    CHECK(o != NULL);
    CHECK_OK(flow_new(&options, &f));
    outlet_attach(o, f);
}

static bool call_was(struct rig *g, const char *text)
{
    pthread_mutex_lock(&g->lock);
    bool equal = strcmp(g->last_call, text) == 0;
    pthread_mutex_unlock(&g->lock);
    return equal;
}

TEST(a_rule_publishes_its_rows)
{
    struct rig g;
    rig_init(&g, "name: node1\n"
                 "modules: [stream]\n"
                 "rules:\n"
                 "  - {name: hot, sql: 'SELECT force, n * 2 AS m FROM \"plc1.press\" WHERE force > "
                 "10', actions: [{mqtt: {topic: a/hot}}]}\n");
    rig_start(&g);
    listen_to(&g, stream_engine_publisher(g.engine, 0));
    CHECK(stream_engine_publisher(g.engine, 1) == NULL);
    push(&g, 1000, 5, 1);
    push(&g, 2000, 12.5, 2);
    CHECK_SOON(atomic_load(&g.message_count) == 1, WAIT_MS);
    CHECK_STR(buf_text(&g.text), "a/hot {\"force\":12.5,\"m\":4}\n");
    rig_fini(&g);
}

TEST(groups_are_published_as_json)
{
    struct rig g;
    rig_init(&g, "name: node1\n");
    rig_start(&g);
    listen_to(&g, stream_engine_publisher(g.engine, 0));
    int64_t now_ms = clock_wall_us() / 1000;
    char expected[96];
    push(&g, (now_ms - 120000) * 1000, 4, 1); /* of the past: no news */
    push(&g, now_ms * 1000, 5, 1);
    CHECK_SOON(atomic_load(&g.message_count) == 1, WAIT_MS);
    (void)snprintf(expected, sizeof expected,
                   "plant/line/plc1/press {\"ts\":%lld,\"force\":5,\"n\":1}\n", (long long)now_ms);
    CHECK_STR(buf_text(&g.text), expected);
    rig_fini(&g);
}

TEST(an_alarm_is_raised_and_cleared)
{
    struct rig g;
    rig_init(&g, "name: node1\n"
                 "rules:\n"
                 "  - name: hot\n"
                 "    sql: SELECT force FROM plc1.press WHERE force > 10\n"
                 "    actions: [{alarm: {severity: major}}]\n");
    rig_start(&g);
    push(&g, 1000, 12, 1);
    CHECK_SOON(call_was(&g, "alarm.raise hot hot {\"force\":12}"), WAIT_MS);
    push(&g, 2000, 13, 1);
    push(&g, 3000, 3, 1);
    CHECK_SOON(call_was(&g, "alarm.clear hot hot "), WAIT_MS);
    CHECK_EQ(atomic_load(&g.calls), 2);
    rig_fini(&g);
}

/* The alarm may have been raised before a restart, and its condition ended meanwhile. */
TEST(an_alarm_of_an_earlier_run_is_cleared_once)
{
    struct rig g;
    rig_init(&g, "name: node1\n"
                 "rules:\n"
                 "  - name: hot\n"
                 "    sql: SELECT force FROM plc1.press WHERE force > 10\n"
                 "    actions: [{alarm: {severity: major}}]\n");
    rig_start(&g);
    push(&g, 1000, 3, 1);
    CHECK_SOON(call_was(&g, "alarm.clear hot hot "), WAIT_MS);
    push(&g, 2000, 4, 1);
    push(&g, 3000, 12, 1);
    CHECK_SOON(call_was(&g, "alarm.raise hot hot {\"force\":12}"), WAIT_MS);
    CHECK_EQ(atomic_load(&g.calls), 2);
    rig_fini(&g);
}

TEST(a_row_is_written_back)
{
    struct rig g;
    rig_init(&g, "name: node1\n"
                 "rules:\n"
                 "  - name: back\n"
                 "    sql: SELECT n + 1 AS next FROM plc1.press\n"
                 "    actions: [{write: {plc1.press.setpoint: next}}]\n");
    rig_start(&g);
    push(&g, 1000, 12, 41);
    CHECK_SOON(call_was(&g, "gateway.write plc1.press.setpoint 42"), WAIT_MS);
    rig_fini(&g);
}

struct source_push {
    struct flow_done done;
    struct exec_task task;
    struct outlet out;
    struct batch *batch;
    struct exec *exec;
    atomic_int finished; /* 1 = pushed, 2 = done */
};

static void source_done(struct flow_done *done, struct position at, int err)
{
    struct source_push *p = CONTAINER_OF(done, struct source_push, done);
    (void)at;
    atomic_store(&p->finished, err == OK ? 2 : -1);
}

static void source_push_run(struct exec_task *task)
{
    struct source_push *p = CONTAINER_OF(task, struct source_push, task);
    flow_done_init(&p->done, p->exec, source_done);
    (void)outlet_push(&p->out, p->batch, (struct position){0, 0}, &p->done);
}

static struct batch *message(const char *const *payloads)
{
    struct schema *s;
    struct batch_builder *bb;
    struct batch *b;
    CHECK_OK(message_schema_new(&s));
    CHECK_OK(batch_builder_new(s, 8, NULL, &bb));
    for (; *payloads; payloads++) {
        CHECK(batch_builder_row(bb, 7000) >= 0);
        CHECK_OK(batch_set_bytes(bb, MESSAGE_TOPIC, bytes_of_text("a/b")));
        CHECK_OK(batch_set_bytes(bb, MESSAGE_PAYLOAD, bytes_of_text(*payloads)));
    }
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    schema_unref(s);
    return b;
}

static void run_source(const char *yaml, const char *const *payloads, const char *want,
                       unsigned rows)
{
    struct rig g;
    struct source_push p = {0};
    const char *filter = NULL;
    struct flow *flow = NULL;
    rig_init(&g, yaml);
    rig_start(&g);
    CHECK(stream_engine_source(g.engine, 0, &filter, &flow));
    CHECK_STR(filter, "a/#");
    listen_to(&g, stream_engine_publisher(g.engine, 0));
    outlet_init(&p.out, g.loop, g.press, NULL);
    outlet_attach(&p.out, flow);
    p.exec = g.loop;
    p.batch = message(payloads);
    exec_task_init(&p.task, source_push_run);
    (void)exec_post(g.loop, &p.task);
    CHECK_SOON(atomic_load(&p.finished) == 2, WAIT_MS);
    CHECK_SOON(atomic_load(&g.message_count) == rows, WAIT_MS);
    CHECK_STR(buf_text(&g.text), want);
    batch_unref(p.batch);
    rig_fini(&g);
}

TEST(messages_feed_a_declared_stream)
{
    run_source("name: node1\n"
               "modules: [stream]\n"
               "streams:\n"
               "  - {name: scan, source: mqtt, topic: 'a/#', columns: {code: string, n: int64}}\n"
               "rules:\n"
               "  - {name: r, sql: 'SELECT code, n / 2 AS h FROM scan', actions: [{mqtt: {topic: "
               "out}}]}\n",
               (const char *const[]){"{\"code\":\"x\",\"n\":5}", "nonsense",
                                     "[{\"code\":\"y\"},{\"n\":8}]", NULL},
               "out {\"code\":\"x\",\"h\":2}\nout {\"code\":\"y\"}\nout {\"h\":4}\n", 3);
}

TEST(messages_feed_a_schemaless_stream)
{
    run_source("name: node1\n"
               "modules: [stream]\n"
               "streams:\n"
               "  - {name: scan, source: mqtt, topic: 'a/#'}\n"
               "rules:\n"
               "  - {name: r, sql: 'SELECT *, n * 2 AS h FROM scan WHERE n > 1', actions: [{mqtt: "
               "{topic: out}}]}\n",
               (const char *const[]){"{\"n\":1}", "{\"n\":2}", "{\"n\":2.5,\"s\":\"t\"}", NULL},
               "out {\"n\":2,\"h\":4}\nout {\"n\":2.5,\"s\":\"t\",\"h\":5}\n", 2);
}

struct asked {
    atomic_int err; /* 1 = not yet */
    char id[32];
    char text[512];
};

static void answered(void *ctx, const struct call_result *r)
{
    struct asked *a = ctx;
    if (r->err == OK && r->answer) {
        struct column id = batch_column(r->answer, 0);
        struct bytes t = column_bytes(&id, 0);
        snprintf(a->id, sizeof a->id, "%.*s", (int)t.len, (const char *)t.ptr);
    }
    snprintf(a->text, sizeof a->text, "%s", r->diag ? r->diag->text : "");
    atomic_store(&a->err, r->err);
}

static int ask(struct rig *g, const char *call, const char *arg, struct asked *ret)
{
    const struct call_port *port = catalogue_call_find(&g->catalogue, call);
    struct batch_builder *bb;
    struct batch *b = NULL;
    CHECK(port != NULL);
    if (port->request) {
        CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
        CHECK(batch_builder_row(bb, 0) >= 0);
        CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(arg)));
        CHECK_OK(batch_builder_finish(bb, &b));
        batch_builder_free(bb);
    }
    atomic_store(&ret->err, 1);
    struct call_options o = {
        .exec = g->loop, .done = answered, .ctx = ret, .origin = {"eve", "test", CALL_VIEWER}};
    CHECK_OK(call_send(port, b, &o));
    CHECK_SOON(atomic_load(&ret->err) != 1, WAIT_MS);
    return atomic_load(&ret->err);
}

static atomic_uint tail_rows;

static void tail_ready(void *ctx, struct flow *f)
{
    struct flow_item item;
    (void)ctx;
    while (flow_take(f, &item)) {
        atomic_fetch_add(&tail_rows, item.batch->rows);
        flow_finish(&item, item.at, OK);
    }
}

TEST(a_tail_runs_until_it_is_closed)
{
    struct rig g;
    struct asked a;
    struct flow *f;
    char name[64];
    rig_init(&g, "name: node1\n");
    rig_start(&g);
    CHECK_ERR(ask(&g, "stream.tail", "SELECT forc FROM plc1.press", &a), ERR_NOT_FOUND);
    CHECK(strstr(a.text, "line 1, column 8") != NULL && strstr(a.text, "force") != NULL);
    CHECK_OK(ask(&g, "stream.tail", "SELECT force FROM plc1.press WHERE n = 2", &a));
    struct flow_options options = {.name = "tail",
                                   .consumer = g.loop,
                                   .policy = FLOW_DROP_OLDEST,
                                   .ctx = &g,
                                   .on_ready = tail_ready,
                                   .on_closed = flow_gone};
    CHECK_OK(flow_new(&options, &f));
    snprintf(name, sizeof name, "tail:%s", a.id);
    CHECK_OK(catalogue_transient_attach(&g.catalogue, bytes_of_text(name), f));
    push(&g, 1000, 1, 1);
    push(&g, 2000, 1, 2);
    CHECK_SOON(atomic_load(&tail_rows) == 1, WAIT_MS);
    char id[32];
    memcpy(id, a.id, sizeof id);
    CHECK_OK(ask(&g, "stream.tail_close", id, &a));
    CHECK_SOON(atomic_load(&g.closed) == 1, WAIT_MS);
    CHECK_ERR(ask(&g, "stream.tail_close", id, &a), ERR_NOT_FOUND);
    CHECK_OK(ask(&g, "stream.rules", "", &a));
    CHECK_OK(ask(&g, "stream.list", "", &a));
    rig_fini(&g);
}

static void refuse(const char *yaml, int want, const char *part)
{
    struct catalogue c;
    struct config *config;
    struct stream_engine *e;
    struct diag diag = {0};
    struct stream_engine_options o = {0};
    struct schema *s = NULL;
    struct stream *stream;
    CHECK_OK(catalogue_init(&c, "node1"));
    CHECK_OK(schema_new(press_fields, 2, &s));
    CHECK_OK(catalogue_stream_add(&c, "plc1.press", STREAM_GROUP, "", s, &stream));
    CHECK_OK(config_parse("t.yaml", bytes_of_text(yaml), &config, &diag));
    CHECK_OK(stream_engine_new(&o, &e));
    CHECK_ERR(stream_engine_configure(e, config, &c, &diag), want);
    printf("# %s:%u:%u %s\n", diag.file, diag.line, diag.column, diag.text);
    CHECK(strstr(diag.text, part) != NULL);
    CHECK_STR(diag.file, "t.yaml");
    CHECK(diag.line > 1);
    stream_engine_free(e);
    config_free(config);
    catalogue_fini(&c);
    schema_unref(s);
}

TEST(configuration_errors_say_where)
{
    refuse("name: n\nrules:\n  - name: a\n    sql: SELECT forc FROM plc1.press\n", ERR_NOT_FOUND,
           "did you mean force?");
    refuse("name: n\nrules:\n  - name: a\n    sql: SELECT force FROM b\n  - name: b\n    sql: "
           "SELECT force FROM a\n",
           ERR_NOT_FOUND, "there is no stream b");
    refuse("name: n\nrules:\n  - name: a\n    sql: SELECT force FROM plc1.press\n    actions: "
           "[{mail: {}}]\n",
           ERR_UNKNOWN_KEY, "there is no action mail");
    refuse("name: n\nrules:\n  - name: a\n    sql: SELECT force FROM plc1.press\n    actions: "
           "[{mqtt: {topic: 'a/#'}}]\n",
           ERR_INVALID, "no topic");
    refuse("name: n\nstreams:\n  - {name: s, source: mqtt, topic: 'a', columns: {x: nothing}}\n",
           ERR_INVALID, "no type");
}

/* ----------------------------------------------------------------------------------------- replay
 */

#define DURABLE_YAML                                                                               \
    "name: node1\n"                                                                                \
    "modules: [stream]\n"                                                                          \
    "rules:\n"                                                                                     \
    "  - name: sums\n"                                                                             \
    "    sql: SELECT window_end() AS e, sum(n) AS s FROM plc1.press GROUP BY TUMBLINGWINDOW(ss, "  \
    "10)\n"                                                                                        \
    "    actions: [{historian: {}}, {mqtt: {topic: sums}}]\n"

static void durable_start(struct rig *g, const char *folder)
{
    struct diag diag = {0};
    struct journal_options jo = {.dir = folder, .flush_ms = 5};
    struct outlet *producer = NULL;
    rig_init(g, DURABLE_YAML);
    CHECK(g->press->durable);
    CHECK_OK(journal_open(&jo, &g->journal, &diag));
    struct stream_log_options lo = {
        .journal = g->journal, .node = "node1", .log = {.segment_bytes = 1 << 20}};
    CHECK_OK(stream_log_new(&lo, &g->log));
    CHECK_OK(stream_log_start(g->log, &diag));
    CHECK(stream_log_insert(g->log, g->press, &g->press_out, 0) != NULL);
    struct stream *s = stream_engine_output(g->engine, 0, &producer);
    CHECK(s != NULL && s->durable);
    CHECK(stream_log_insert(g->log, s, producer, STREAM_LOG_KEYED) != NULL);
    stream_engine_log_set(g->engine, g->log, g->journal);
    rig_start(g);
    listen_to(g, stream_engine_publisher(g->engine, 0));
}

TEST(an_open_window_survives_a_restart_and_nothing_comes_twice)
{
    struct rig g;
    const char *folder = check_folder();
    durable_start(&g, folder);
    push(&g, 1000000, 0, 1);
    push(&g, 2000000, 0, 2);
    push(&g, 11000000, 0, 10);
    CHECK_SOON(atomic_load(&g.message_count) == 1, WAIT_MS);
    CHECK_STR(buf_text(&g.text), "sums {\"e\":10000,\"s\":3}\n");
    rig_fini(&g);

    durable_start(&g, folder);
    push(&g, 12000000, 0, 20);
    push(&g, 21000000, 0, 0);
    CHECK_SOON(atomic_load(&g.message_count) == 1, WAIT_MS);
    CHECK_STR(buf_text(&g.text), "sums {\"e\":20000,\"s\":30}\n");
    rig_fini(&g);
}
