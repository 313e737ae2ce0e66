/* Alarms and the audit over a real journal: their lives, and what a new start finds. */
#include "alarm/alarm_priv.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- records
 */

TEST(an_event_comes_back_as_it_was_and_nothing_shorter_does)
{
    struct buf b = {0};
    struct event got = {0};
    const struct event e = {.kind = EVENT_RESULT,
                            .time_us = -1,
                            .id = UINT64_MAX,
                            .severity = ALARM_CRITICAL,
                            .err = ERR_DEVICE,
                            .name = bytes_of_text("name"),
                            .source = bytes_of_text(""),
                            .text = bytes_of("\0\xff", 2),
                            .user = bytes_of_text("操作员"),
                            .channel = bytes_of_text("rest")};
    CHECK_OK(event_encode(&e, &b));
    CHECK_OK(event_decode(buf_bytes(&b), &got));
    CHECK_EQ(got.kind, e.kind);
    CHECK_EQ(got.time_us, e.time_us);
    CHECK_EQ(got.id, e.id);
    CHECK_EQ(got.severity, e.severity);
    CHECK_EQ(got.err, e.err);
    CHECK_BYTES(got.name, e.name);
    CHECK_BYTES(got.source, e.source);
    CHECK_BYTES(got.text, e.text);
    CHECK_BYTES(got.user, e.user);
    CHECK_BYTES(got.channel, e.channel);
    for (size_t len = 0; len < b.len; len++)
        CHECK_ERR(event_decode(bytes_of(b.ptr, len), &got), ERR_SHORT);
    b.ptr[1] = EVENT_RESULT + 1;
    CHECK_ERR(event_decode(buf_bytes(&b), &got), ERR_MALFORMED);
    b.ptr[0] = 9;
    CHECK_ERR(event_decode(buf_bytes(&b), &got), ERR_VERSION);
    buf_fini(&b);
}

/* ----------------------------------------------------------------------------------------- stage
 */

struct fixture {
    struct journal *journal;
    struct catalogue catalogue;
    struct config *config;
    struct alarm_stage *a;
    struct exec *exec;
    const char *dir;
};

static void fixture_start(struct fixture *f)
{
    struct diag diag = {0};
    struct journal_options options = {.dir = f->dir, .flush_ms = 20};
    if (journal_open(&options, &f->journal, &diag))
        check_fail_at(__FILE__, __LINE__, "journal: %s", diag.text);
    CHECK_OK(catalogue_init(&f->catalogue, "n"));
    CHECK_OK(alarm_new(&(struct alarm_options){f->journal}, &f->a));
    CHECK_OK(alarm_configure(f->a, f->config, &f->catalogue, &diag));
    if (alarm_start(f->a, &diag))
        check_fail_at(__FILE__, __LINE__, "start: %s", diag.text);
}

static void fixture_stop(struct fixture *f)
{
    alarm_stop(f->a);
    journal_close(f->journal);
    alarm_free(f->a);
    catalogue_fini(&f->catalogue);
}

static void fixture_open(struct fixture *f)
{
    *f = (struct fixture){.dir = check_folder()};
    CHECK_OK(config_parse("t.yaml", bytes_of_text("name: n\n"), &f->config, NULL));
    CHECK_OK(exec_thread_new("caller", 0, &f->exec));
    fixture_start(f);
}

static void fixture_close(struct fixture *f)
{
    fixture_stop(f);
    config_free(f->config);
    exec_thread_free(f->exec);
}

struct asked {
    atomic_bool done;
    int err;
    struct batch *answer;
};

static void asked_done(void *ctx, const struct call_result *r)
{
    struct asked *a = ctx;
    a->err = r->err;
    a->answer = r->answer ? batch_ref(r->answer) : NULL;
    atomic_store(&a->done, true);
}

/* A call with the given texts as its first fields (NULL = left out), or the id. */
static int ask(struct fixture *f, const char *name, const char *const *texts, uint64_t id,
               struct asked *ret)
{
    const struct call_port *port = catalogue_call_find(&f->catalogue, name);
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    CHECK(port != NULL);
    *ret = (struct asked){0};
    CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 0) >= 0);
    for (uint32_t i = 0; texts && i < port->request->count; i++)
        if (texts[i])
            CHECK_OK(batch_set_bytes(bb, i, bytes_of_text(texts[i])));
    if (id)
        batch_set_u64(bb, 0, id);
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    struct call_options options = {
        .exec = f->exec, .done = asked_done, .ctx = ret, .origin = {"anna", "rest", CALL_ADMIN}};
    CHECK_OK(call_send(port, request, &options));
    CHECK_SOON(atomic_load(&ret->done), 10000);
    return ret->err;
}

static void check_cell(const struct asked *a, const char *name, uint32_t row, const char *want)
{
    CHECK(a->answer != NULL);
    CHECK(row < a->answer->rows);
    int32_t col = schema_find(a->answer->schema, bytes_of_text(name));
    CHECK(col >= 0);
    struct column c = batch_column(a->answer, (uint32_t)col);
    if (want)
        CHECK_BYTES(column_bytes(&c, row), bytes_of_text(want));
    else
        CHECK(column_is_null(&c, row));
}

static uint64_t cell_u64(const struct asked *a, const char *name, uint32_t row)
{
    struct column c =
        batch_column(a->answer, (uint32_t)schema_find(a->answer->schema, bytes_of_text(name)));
    return column_value(&c, row).u64;
}

static uint32_t listed(struct fixture *f, const char *call, struct asked *ret)
{
    CHECK_OK(ask(f, call, NULL, 0, ret));
    return ret->answer ? ret->answer->rows : 0;
}

static uint32_t list_count(struct fixture *f)
{
    struct asked a;
    uint32_t count = listed(f, "alarm.list", &a);
    batch_unref(a.answer);
    return count;
}

static const char *const hot[] = {"hot_oven", "plc2", "major", "zone 5 at 270"};

TEST(an_alarm_is_raised_acknowledged_and_cleared_over_restarts)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    CHECK_EQ(list_count(&f), 0);
    CHECK_OK(ask(&f, "alarm.raise", hot, 0, &a));
    batch_unref(a.answer);
    CHECK_OK(ask(&f, "alarm.raise", hot, 0, &a)); /* again: the same one, counted */
    batch_unref(a.answer);
    fixture_stop(&f);
    fixture_start(&f);
    CHECK_EQ(listed(&f, "alarm.list", &a), 1);
    check_cell(&a, "name", 0, "hot_oven");
    check_cell(&a, "source", 0, "plc2");
    check_cell(&a, "severity", 0, "major");
    check_cell(&a, "state", 0, "raised");
    check_cell(&a, "text", 0, "zone 5 at 270");
    check_cell(&a, "acked_by", 0, NULL);
    CHECK_EQ(cell_u64(&a, "count", 0), 2);
    uint64_t id = cell_u64(&a, "id", 0);
    batch_unref(a.answer);
    CHECK_OK(ask(&f, "alarm.ack", NULL, id, &a));
    batch_unref(a.answer);
    fixture_stop(&f);
    fixture_start(&f);
    CHECK_EQ(listed(&f, "alarm.list", &a), 1);
    check_cell(&a, "state", 0, "acknowledged");
    check_cell(&a, "acked_by", 0, "anna");
    batch_unref(a.answer);
    CHECK_OK(ask(&f, "alarm.clear", hot, 0, &a));
    batch_unref(a.answer);
    CHECK_EQ(listed(&f, "alarm.list", &a), 1);
    check_cell(&a, "state", 0, "cleared");
    batch_unref(a.answer);
    CHECK_OK(ask(&f, "alarm.raise", hot, 0, &a)); /* once more: another life */
    batch_unref(a.answer);
    CHECK_EQ(listed(&f, "alarm.list", &a), 2);
    CHECK(cell_u64(&a, "id", 0) != cell_u64(&a, "id", 1));
    batch_unref(a.answer);
    fixture_close(&f);
}

TEST(what_is_wrong_in_a_request_is_refused)
{
    struct fixture f;
    struct asked a;
    static const char *const loud[] = {"x", "", "loud", ""};
    static const char *const nothing[] = {NULL, "s", NULL, NULL};
    fixture_open(&f);
    CHECK(ask(&f, "alarm.raise", loud, 0, &a) != OK);
    CHECK(ask(&f, "alarm.raise", nothing, 0, &a) != OK);
    CHECK_ERR(ask(&f, "alarm.ack", NULL, 4711, &a), ERR_NOT_FOUND);
    CHECK_EQ(list_count(&f), 0);
    fixture_close(&f);
}

TEST(the_node_raises_from_any_thread)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    alarm_raise(f.a, "historian", ALARM_MAJOR, "node", "no space left");
    CHECK_SOON(list_count(&f) == 1, 10000);
    alarm_clear(f.a, "historian", "node");
    alarm_clear(f.a, "historian", "node"); /* twice is no harm */
    alarm_clear(f.a, "never", "raised");
    CHECK_SOON(listed(&f, "alarm.list", &a) == 1, 10000);
    batch_unref(a.answer);
    fixture_close(&f);
}

/* ----------------------------------------------------------------------------------------- audit
 */

struct told {
    struct audit_wait wait;
    atomic_bool done;
    uint64_t id;
    int err;
};

static void told_run(struct audit_wait *wait, uint64_t id, int err)
{
    struct told *t = CONTAINER_OF(wait, struct told, wait);
    t->id = id;
    t->err = err;
    atomic_store(&t->done, true);
}

static uint64_t intend(struct fixture *f, const char *value)
{
    struct told t = {.wait = {.fn = told_run, .exec = f->exec}};
    const struct audit_intent intent = {"anna", "rest", "gateway.write", "plc1.press.setpoint",
                                        value};
    audit_intent(f->a, &intent, &t.wait);
    CHECK_SOON(atomic_load(&t.done), 10000);
    CHECK_OK(t.err);
    return t.id;
}

/* One who tells the result on the journal's thread, as soon as the intent is durable. */
struct change {
    struct audit_wait wait;
    struct alarm_stage *stage;
};

static void change_made(struct audit_wait *wait, uint64_t id, int err)
{
    CHECK_OK(err);
    audit_result(CONTAINER_OF(wait, struct change, wait)->stage, id, OK, "made");
}

TEST(a_change_on_its_way_into_the_log_has_its_result_there_when_the_stage_has_stopped)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    struct change c = {.wait = {.fn = change_made, .exec = journal_exec(f.journal)}, .stage = f.a};
    const struct audit_intent intent = {"anna", "rest", "node.log_level_set", "node", "debug"};
    audit_intent(f.a, &intent, &c.wait);
    fixture_stop(&f);
    fixture_start(&f);
    CHECK_EQ(listed(&f, "alarm.audit", &a), 1);
    check_cell(&a, "state", 0, "done");
    check_cell(&a, "text", 0, "made");
    batch_unref(a.answer);
    fixture_close(&f);
}

TEST(an_intent_without_a_result_is_unknown_after_a_restart)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    uint64_t good = intend(&f, "12.5");
    uint64_t bad = intend(&f, "99");
    uint64_t lost = intend(&f, "7");
    CHECK(good != bad && bad != lost);
    audit_result(f.a, good, OK, "");
    audit_result(f.a, bad, ERR_DEVICE, "illegal data value");
    fixture_stop(&f);
    fixture_start(&f);
    CHECK_EQ(listed(&f, "alarm.audit", &a), 3); /* newest first */
    check_cell(&a, "state", 0, "unknown");
    check_cell(&a, "value", 0, "7");
    check_cell(&a, "state", 1, "failed");
    check_cell(&a, "error", 1, "ERR_DEVICE");
    check_cell(&a, "text", 1, "illegal data value");
    check_cell(&a, "state", 2, "done");
    check_cell(&a, "user", 2, "anna");
    check_cell(&a, "channel", 2, "rest");
    check_cell(&a, "action", 2, "gateway.write");
    check_cell(&a, "target", 2, "plc1.press.setpoint");
    check_cell(&a, "value", 2, "12.5");
    batch_unref(a.answer);
    CHECK(intend(&f, "8") > lost); /* numbers go on */
    fixture_close(&f);
}
