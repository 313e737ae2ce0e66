/* Calls and the catalogue: exactly one of answer, error and time-out reaches the caller. */
#include "model/call.h"

#include "model/catalogue.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>

static const struct call_field request_fields[] = {
    {.name = "tag", .type = VALUE_STRING, .required = true, .doc = "which"},
    {.name = "value", .type = VALUE_ANY, .doc = "what"},
    {.name = NULL},
};

static const struct call_field answer_fields[] = {
    {.name = "ok", .type = VALUE_BOOL, .doc = "whether"},
    {.name = NULL},
};

static const struct call_spec write_spec = {.name = "gateway.write",
                                            .role = CALL_ENGINEER,
                                            .request = request_fields,
                                            .answer = answer_fields};
static const struct call_spec ping_spec = {.name = "gateway.ping"};

struct desk {
    struct exec *exec;
    struct catalogue catalogue;
    struct call *held; /* a call whose handler takes its time */
    bool hold;
    bool watched; /* it is asked whether the caller is still there; it has 5 s */
    bool left;
    int served;
    int told;
    int err;
    bool ok;
    char text[64];
};

static struct desk desk;

static void serve_write(void *owner, struct call *c)
{
    struct desk *d = owner;
    struct batch_builder *bb = NULL;
    d->served++;
    struct value tag = call_arg(c, "tag");
    CHECK_EQ(call_arg(c, "nothing").type, VALUE_NULL);
    CHECK_STR(call_origin_of(c)->user, "eve");
    CHECK(call_spec_of(c) == &write_spec);
    if (d->hold) {
        d->held = c;
        return;
    }
    if (!bytes_equal(tag.bytes, bytes_of_text("good"))) {
        call_fail(c, ERR_NOT_FOUND, "no tag %.*s", (int)tag.bytes.len, (const char *)tag.bytes.ptr);
        return;
    }
    CHECK_OK(call_answer_builder(c, 0, &bb));
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    batch_set_bool(bb, 0, true);
    call_answer_rows(c, bb);
}

static void serve_ping(void *owner, struct call *c)
{
    struct desk *d = owner;
    d->served++;
    CHECK(call_request(c) == NULL);
    CHECK_EQ(call_arg(c, "tag").type, VALUE_NULL);
    call_answer(c, NULL);
}

static void on_done(void *ctx, const struct call_result *result)
{
    struct desk *d = ctx;
    d->told++;
    d->err = result->err;
    d->ok = false;
    (void)snprintf(d->text, sizeof d->text, "%.63s", result->diag->text);
    if (result->answer) {
        struct column c = batch_column(result->answer, 0);
        d->ok = column_value(&c, 0).boolean;
    }
}

static void set_up(void)
{
    desk = (struct desk){.exec = exec_fake_new(1000, 0)};
    static const struct call_entry entries[] = {{&write_spec, serve_write},
                                                {&ping_spec, serve_ping}};
    CHECK_OK(catalogue_init(&desk.catalogue, "node1"));
    CHECK_OK(catalogue_calls_add(&desk.catalogue, entries, 2, desk.exec, &desk));
}

static void tear_down(void)
{
    (void)exec_fake_run(desk.exec);
    catalogue_fini(&desk.catalogue);
    exec_fake_free(desk.exec);
}

static bool desk_is_left(void *ctx)
{
    const struct desk *d = ctx;
    return d->left;
}

static int send_as(enum call_role role, const char *tag)
{
    const struct call_port *port = catalogue_call_find(&desk.catalogue, "gateway.write");
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
    CHECK_EQ(batch_builder_row(bb, 0), 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(tag)));
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    struct call_options options = {.exec = desk.exec,
                                   .done = on_done,
                                   .ctx = &desk,
                                   .timeout_ms = desk.watched ? 5000 : 50,
                                   .origin = {.user = "eve", .channel = "rest", .role = role},
                                   .gone = desk.watched ? desk_is_left : NULL};
    return call_send(port, request, &options);
}

TEST(call_brings_an_answer)
{
    set_up();
    CHECK_OK(send_as(CALL_ENGINEER, "good"));
    CHECK_EQ(desk.told, 0);
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, 1);
    CHECK_OK(desk.err);
    CHECK(desk.ok);
    exec_fake_advance(desk.exec, 100000);
    CHECK_EQ(desk.told, 1);
    tear_down();
}

TEST(call_brings_an_error_with_its_text)
{
    set_up();
    CHECK_OK(send_as(CALL_ADMIN, "bad"));
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, 1);
    CHECK_ERR(desk.err, ERR_NOT_FOUND);
    CHECK_STR(desk.text, "no tag bad");
    tear_down();
}

TEST(call_times_out_once)
{
    set_up();
    desk.hold = true;
    CHECK_OK(send_as(CALL_ENGINEER, "good"));
    exec_fake_advance(desk.exec, 49999);
    CHECK_EQ(desk.told, 0);
    CHECK(!call_is_cancelled(desk.held));
    CHECK_EQ(call_deadline_us(desk.held), 51000);
    exec_fake_advance(desk.exec, 2);
    CHECK_EQ(desk.told, 1);
    CHECK_ERR(desk.err, ERR_TIMEOUT);
    CHECK_STR(desk.text, "gateway.write gave no answer within the time allowed");
    CHECK(call_is_cancelled(desk.held));
    call_answer(desk.held, NULL);
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, 1);
    tear_down();
}

TEST(call_ends_when_its_caller_has_left)
{
    set_up();
    desk.hold = true;
    desk.watched = true;
    CHECK_OK(send_as(CALL_ENGINEER, "good"));
    exec_fake_advance(desk.exec, 2000000);
    CHECK_EQ(desk.told, 0);
    CHECK(!call_is_cancelled(desk.held));
    desk.left = true;
    exec_fake_advance(desk.exec, 300000);
    CHECK_EQ(desk.told, 1);
    CHECK_ERR(desk.err, ERR_CANCELLED);
    CHECK(call_is_cancelled(desk.held));
    call_answer(desk.held, NULL);
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, 1);
    tear_down();
}

TEST(call_whose_caller_waits_has_its_deadline)
{
    set_up();
    desk.hold = true;
    desk.watched = true;
    CHECK_OK(send_as(CALL_ENGINEER, "good"));
    exec_fake_advance(desk.exec, 4999000);
    CHECK_EQ(desk.told, 0);
    exec_fake_advance(desk.exec, 1001);
    CHECK_ERR(desk.err, ERR_TIMEOUT);
    call_answer(desk.held, NULL);
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, 1);
    tear_down();
}

TEST(call_late_answer_before_the_timer_wins)
{
    set_up();
    desk.hold = true;
    CHECK_OK(send_as(CALL_ENGINEER, "good"));
    exec_fake_advance(desk.exec, 40000);
    call_fail(desk.held, ERR_OFFLINE, "gone");
    exec_fake_advance(desk.exec, 40000);
    CHECK_EQ(desk.told, 1);
    CHECK_ERR(desk.err, ERR_OFFLINE);
    tear_down();
}

TEST(call_refuses_roles_and_requests)
{
    set_up();
    CHECK_ERR(send_as(CALL_VIEWER, "good"), ERR_DENIED);
    const struct call_port *port = catalogue_call_find(&desk.catalogue, "gateway.write");
    struct call_options options = {
        .exec = desk.exec, .done = on_done, .ctx = &desk, .origin = {.role = CALL_ADMIN}};
    CHECK_ERR(call_send(port, NULL, &options), ERR_TYPE);
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.served, 0);
    CHECK_EQ(desk.told, 0);
    tear_down();
}

TEST(call_without_request_and_answer)
{
    set_up();
    struct call_options options = {.exec = desk.exec, .done = on_done, .ctx = &desk};
    CHECK_OK(call_send(catalogue_call_find(&desk.catalogue, "gateway.ping"), NULL, &options));
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.served, 1);
    CHECK_EQ(desk.told, 1);
    CHECK_OK(desk.err);
    tear_down();
}

TEST(call_without_memory_lets_the_request_go)
{
    set_up();
    struct call_options options = {.exec = desk.exec, .done = on_done, .ctx = &desk};
    const struct call_port *port = catalogue_call_find(&desk.catalogue, "gateway.ping");
    int sent = 0;
    FAULT_EACH (n) {
        int err = call_send(port, NULL, &options);
        CHECK_EQ(err, fault_hit() ? ERR_NOMEM : OK);
        sent += err == OK;
    }
    (void)exec_fake_run(desk.exec);
    CHECK_EQ(desk.told, sent);
    tear_down();
}

/* ------------------------------------------------------------------------------------- catalogue
 */

TEST(catalogue_names_are_unique)
{
    set_up();
    struct catalogue *c = &desk.catalogue;
    struct stream *s = NULL;
    CHECK_OK(catalogue_stream_add(c, "plc1.press", STREAM_GROUP, "plant1/press", NULL, &s));
    CHECK_STR(s->name, "plc1.press");
    CHECK_STR(s->node, "node1");
    CHECK_STR(s->place, "plant1/press");
    CHECK_ERR(catalogue_stream_add(c, "plc1.press", STREAM_GROUP, NULL, NULL, NULL), ERR_EXISTS);
    CHECK(catalogue_stream_find(c, bytes_of_text("plc1.press")) == s);
    CHECK(catalogue_stream_find(c, bytes_of_text("plc1")) == NULL);
    CHECK_STR(catalogue_stream_like(c, "plc1.pres"), "plc1.press");
    CHECK(catalogue_stream_like(c, "something else") == NULL);
    CHECK_ERR(catalogue_call_add(c, &ping_spec, desk.exec, serve_ping, &desk), ERR_EXISTS);
    CHECK(catalogue_call_find(c, "gateway.none") == NULL);
    tear_down();
}

TEST(catalogue_without_memory)
{
    FAULT_EACH (n) {
        struct catalogue c;
        int err = catalogue_init(&c, "node1");
        if (!err)
            err = catalogue_stream_add(&c, "a", STREAM_GROUP, "b", NULL, NULL);
        if (!err)
            err = catalogue_call_add(&c, &write_spec, NULL, serve_write, NULL);
        CHECK_EQ(err, fault_hit() ? ERR_NOMEM : OK);
        catalogue_fini(&c);
    }
}
