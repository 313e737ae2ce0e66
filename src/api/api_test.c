/* The whole API with calls of the test's own behind it, asked over real sockets. */
#include "api/api.h"

#include "api/client.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/str.h"
#include "net/address.h"
#include "tests/support/check.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------ a stage of our own
 */

static const struct call_field device_request[] = {
    {"device", VALUE_STRING, 0, false, "only this one"},
    {.name = NULL},
};
static const struct call_field device_answer[] = {
    {"name", VALUE_STRING, 0, true, "its name"},
    {"polls", VALUE_UINT64, 0, true, "poll cycles"},
    {"rtt", VALUE_DOUBLE, 0, false, "round trip"},
    {.name = NULL},
};
static const struct call_field write_request[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"value", VALUE_ANY, 0, true, "as people see it"},
    {.name = NULL},
};
static const struct call_field write_answer[] = {
    {"tag", VALUE_STRING, 0, true, "the tag"},
    {"value", VALUE_ANY, 0, false, "what was written"},
    {"user", VALUE_STRING, 0, true, "who asked"},
    {.name = NULL},
};
static const struct call_field ack_request[] = {
    {"id", VALUE_UINT64, 0, true, "of the alarm"},
    {.name = NULL},
};
static const struct call_field sql_request[] = {
    {"sql", VALUE_STRING, 0, true, "one statement"},
    {"format", VALUE_STRING, 0, false, "json or csv"},
    {"timeout_ms", VALUE_INT64, 0, false, "limit"},
    {.name = NULL},
};
static const struct call_field sql_answer[] = {
    {"columns", VALUE_STRING, FIELD_JSON, true, "names"},
    {"text", VALUE_STRING, 0, false, "the rows as CSV"},
    {.name = NULL},
};
static const struct call_field tail_request[] = {
    {"sql", VALUE_STRING, 0, true, "one statement"},
    {.name = NULL},
};
static const struct call_field tail_id[] = {
    {"id", VALUE_INT64, 0, true, "of the tail"},
    {.name = NULL},
};

static const struct call_spec devices_spec = {"gateway.devices", "Devices.",   CALL_VIEWER, 0,
                                              device_request,    device_answer};
static const struct call_spec write_spec = {"gateway.write",         "Writes.",     CALL_ENGINEER,
                                            CALL_ONE | CALL_CHANGES, write_request, write_answer};
static const struct call_spec ack_spec = {
    "alarm.ack", "Acknowledges.", CALL_ENGINEER, CALL_ONE | CALL_CHANGES, ack_request, NULL};
static const struct call_spec sql_spec = {"historian.sql", "Asks.",     CALL_VIEWER,
                                          CALL_ONE,        sql_request, sql_answer};
static const struct call_spec tail_spec = {"stream.tail", "Tails.",     CALL_VIEWER,
                                           CALL_ONE,      tail_request, tail_id};
static const struct call_spec tail_close_spec = {
    "stream.tail_close", "Ends a tail.", CALL_VIEWER, CALL_ONE, tail_id, NULL};

struct stage {
    struct exec *exec;
    struct catalogue *catalogue;
    struct call *held; /* never answered until the end */
    atomic_int acked;
    struct stream *group;
    struct outlet group_outlet;
    struct stream *tail;
    struct outlet tail_outlet;
    struct schema *schema;
    struct exec_timer timer;
    atomic_int tails_closed;
    int64_t counter;
    bool pushing;
};

static void serve_devices(void *owner, struct call *c)
{
    struct batch_builder *bb = NULL;
    (void)owner;
    struct value only = call_arg(c, "device");
    if (only.type == VALUE_STRING && str_equal(only.bytes, "missing")) {
        call_fail(c, ERR_NOT_FOUND, "there is no device \"missing\"");
        return;
    }
    CHECK_OK(call_answer_builder(c, 2, &bb));
    for (int i = 0; i < 2; i++) {
        (void)batch_builder_row(bb, 0);
        (void)batch_set_bytes(bb, 0, bytes_of_text(i ? "plc2" : "plc1"));
        batch_set_u64(bb, 1, UINT64_MAX - (uint64_t)i);
    }
    call_answer_rows(c, bb);
}

static void serve_write(void *owner, struct call *c)
{
    struct batch_builder *bb = NULL;
    struct value value = call_arg(c, "value");
    (void)owner;
    CHECK_OK(call_answer_builder(c, 1, &bb));
    (void)batch_builder_row(bb, 0);
    (void)batch_set_bytes(bb, 0, call_arg(c, "tag").bytes);
    (void)batch_set_value(bb, 1, &value);
    (void)batch_set_bytes(bb, 2, bytes_of_text(call_origin_of(c)->user));
    call_answer_rows(c, bb);
}

static void serve_ack(void *owner, struct call *c)
{
    struct stage *s = owner;
    atomic_store(&s->acked, (int)call_arg(c, "id").u64);
    call_answer(c, NULL);
}

static void serve_sql(void *owner, struct call *c)
{
    struct stage *s = owner;
    struct batch_builder *bb = NULL;
    if (str_equal(call_arg(c, "sql").bytes, "HOLD")) {
        s->held = c; /* the caller's patience ends first */
        return;
    }
    CHECK_OK(call_answer_builder(c, 1, &bb));
    (void)batch_builder_row(bb, 0);
    (void)batch_set_bytes(bb, 0, bytes_of_text("[\"a\",\"b\"]"));
    (void)batch_set_bytes(bb, 1, bytes_of_text("a,b\r\n1,2\r\n"));
    call_answer_rows(c, bb);
}

static void push_row(struct stage *s, struct outlet *o)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    if (batch_builder_new(s->schema, 1, NULL, &bb))
        return;
    (void)batch_builder_row(bb, 1795336200000000);
    batch_set_i64(bb, 0, s->counter++);
    batch_set_f64(bb, 1, 1.5);
    if (batch_builder_finish(bb, &b) == OK)
        (void)outlet_push(o, b, (struct position){0, 0}, NULL);
    batch_unref(b);
    batch_builder_free(bb);
}

static void stage_on_timer(struct exec_timer *timer)
{
    struct stage *s = CONTAINER_OF(timer, struct stage, timer);
    push_row(s, &s->group_outlet);
    if (s->tail)
        push_row(s, &s->tail_outlet);
    if (s->pushing)
        (void)exec_timer_start(s->exec, timer, exec_now_us(s->exec) + 10000);
}

static void serve_tail(void *owner, struct call *c)
{
    struct stage *s = owner;
    struct batch_builder *bb = NULL;
    if (str_equal(call_arg(c, "sql").bytes, "BAD")) {
        call_fail(c, ERR_SYNTAX, "line 1, column 1: \"BAD\" is no statement");
        return;
    }
    if (stream_new("tail:7", "n1", STREAM_RULE, NULL, s->schema, &s->tail) != OK) {
        call_fail(c, ERR_NOMEM, "no memory");
        return;
    }
    outlet_init(&s->tail_outlet, s->exec, s->tail, NULL);
    s->tail->outlet = &s->tail_outlet;
    (void)catalogue_transient_add(s->catalogue, s->tail);
    if (call_answer_builder(c, 1, &bb))
        return;
    (void)batch_builder_row(bb, 0);
    batch_set_i64(bb, 0, 7);
    call_answer_rows(c, bb);
}

static void serve_tail_close(void *owner, struct call *c)
{
    struct stage *s = owner;
    if (s->tail && call_arg(c, "id").i64 == 7) {
        catalogue_transient_remove(s->catalogue, s->tail);
        outlet_fini(&s->tail_outlet);
        stream_free(s->tail);
        s->tail = NULL;
        atomic_fetch_add(&s->tails_closed, 1);
    }
    call_answer(c, NULL);
}

static const struct call_entry stage_calls[] = {
    {&devices_spec, serve_devices}, {&write_spec, serve_write},
    {&ack_spec, serve_ack},         {&sql_spec, serve_sql},
    {&tail_spec, serve_tail},       {&tail_close_spec, serve_tail_close},
};

static int stage_start(void *ctx)
{
    struct stage *s = ctx;
    s->pushing = true;
    exec_timer_init(&s->timer, stage_on_timer);
    return exec_timer_start(s->exec, &s->timer, exec_now_us(s->exec));
}

static int stage_stop(void *ctx)
{
    struct stage *s = ctx;
    s->pushing = false;
    exec_timer_stop(s->exec, &s->timer);
    if (s->held)
        call_fail(s->held, ERR_CANCELLED, "stopping");
    s->held = NULL;
    outlet_fini(&s->group_outlet);
    return OK;
}

/* ---------------------------------------------------------------------------------------- a node
 */

struct node {
    atomic_int changes;
    char change[256]; /* the last one; read after its answer came */
    struct stage stage;
    struct catalogue catalogue;
    struct config *config;
    struct api *api;
    char data[512];
    char token[65];
};

static const char config_text[] = "name: n1\n"
                                  "modules: [gateway, stream, alarm, historian, api]\n"
                                  "listen: {http: 127.0.0.1:0, mqtt: off}\n"
                                  "api: {tokens: [{name: eve, role: viewer, "
                                  "token: eve-looks-around-only}]}\n";

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void node_make_stage(struct node *n)
{
    struct stage *s = &n->stage;
    static const struct field columns[] = {
        {.name = "n", .scale = 1, .type = VALUE_INT64},
        {.name = "force", .scale = 1, .type = VALUE_DOUBLE},
    };
    s->catalogue = &n->catalogue;
    CHECK_OK(exec_thread_new("stage", 0, &s->exec));
    CHECK_OK(schema_new(columns, 2, &s->schema));
    CHECK_OK(catalogue_stream_add(&n->catalogue, "plc1.press", STREAM_GROUP, NULL, s->schema,
                                  &s->group));
    outlet_init(&s->group_outlet, s->exec, s->group, NULL);
    s->group->outlet = &s->group_outlet;
    CHECK_OK(catalogue_calls_add(&n->catalogue, stage_calls,
                                 sizeof stage_calls / sizeof stage_calls[0], s->exec, s));
    CHECK_OK(exec_call(s->exec, stage_start, s));
}

static void note_change(void *ctx, const struct api_change *change)
{
    struct node *n = ctx;
    (void)snprintf(n->change, sizeof n->change, "%s %s %s %.*s %d", change->origin->user,
                   change->origin->channel, change->call, (int)change->request.len,
                   (const char *)change->request.ptr, change->err);
    atomic_fetch_add(&n->changes, 1);
}

static void node_open(struct node *n, const char *folder)
{
    *n = (struct node){0};
    struct diag diag = {0};
    (void)snprintf(n->data, sizeof n->data, "%s", folder);
    char console[600];
    (void)snprintf(console, sizeof console, "%s/console", folder);
    (void)mkdir(console, 0700);
    write_file(console, "index.html", "<!doctype html><title>Lotline</title>");
    write_file(folder, "secret.txt", "secret");
    write_file(console, ".hidden", "secret");
    char assets[700];
    (void)snprintf(assets, sizeof assets, "%s/assets", console);
    (void)mkdir(assets, 0700);
    write_file(assets, "main-1a2b.js", "1;");
    CHECK_OK(catalogue_init(&n->catalogue, "n1"));
    node_make_stage(n);
    CHECK_OK(config_parse("test.yaml", bytes_of(config_text, sizeof config_text - 1), &n->config,
                          &diag));
    struct api_options options = {
        .data = n->data, .console = console, .version = "1.2.3", .changed = note_change, .ctx = n};
    CHECK_OK(api_new(&options, &n->api));
    CHECK_OK(api_configure(n->api, n->config, &n->catalogue, &diag));
    CHECK_OK(api_start(n->api, &diag));
    char path[600];
    (void)snprintf(path, sizeof path, "%s/" API_TOKEN_FILE, folder);
    FILE *f = fopen(path, "re");
    CHECK(f && fread(n->token, 1, 64, f) == 64);
    (void)fclose(f);
}

static void node_close(struct node *n)
{
    api_stop(n->api);
    (void)exec_call(n->stage.exec, stage_stop, &n->stage);
    api_free(n->api);
    exec_thread_free(n->stage.exec);
    config_free(n->config);
    catalogue_fini(&n->catalogue);
    schema_unref(n->stage.schema);
}

/* ----------------------------------------------------------------------------------------- asking
 */

static int http_connect(const struct node *n)
{
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    CHECK_OK(address_parse(api_address(n->api), &a, NULL));
    CHECK_OK(address_to_sockaddr(&a, &sa, &len));
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)&sa, len), 0);
    return fd;
}

/* Until `until` is there; NULL = until the end. */
static const char *http_read(int fd, const char *until, struct buf *out)
{
    while (!until || !strstr(buf_text(out), until)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 10000) != 1)
            check_fail_at(__FILE__, __LINE__, "no \"%s\" in: %s", until ? until : "end",
                          buf_text(out));
        uint8_t *at = buf_reserve(out, 4096);
        ssize_t got = recv(fd, at, 4096, 0);
        if (got <= 0)
            break;
        out->len += (size_t)got;
    }
    return buf_text(out);
}

static void http_send(int fd, const char *method, const char *path, const char *headers,
                      const char *body)
{
    struct buf out = {0};
    (void)buf_printf(&out, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n%s", method,
                     path, headers);
    if (body)
        (void)buf_printf(&out, "Content-Length: %zu\r\n", strlen(body));
    (void)buf_printf(&out, "\r\n%s", body ? body : "");
    CHECK_EQ(send(fd, out.ptr, out.len, MSG_NOSIGNAL), out.len);
    buf_fini(&out);
}

/* Asks once; *out holds head and body. Returns the status. */
static int ask_as(const struct node *n, const char *method, const char *path, const char *headers,
                  const char *body, struct buf *out)
{
    int fd = http_connect(n);
    buf_reset(out);
    http_send(fd, method, path, headers, body);
    const char *text = http_read(fd, NULL, out);
    (void)close(fd);
    CHECK(strncmp(text, "HTTP/1.1 ", 9) == 0);
    return atoi(text + 9); /* NOLINT: the status was printed by a server that is tested elsewhere */
}

static int ask(const struct node *n, const char *method, const char *path, const char *body,
               struct buf *out)
{
    char headers[128];
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", n->token);
    return ask_as(n, method, path, headers, body, out);
}

static void check_has(const struct buf *out, const char *what)
{
    struct buf copy = {0};
    (void)buf_append_bytes(&copy, buf_bytes(out));
    bool has = strstr(buf_text(&copy), what) != NULL;
    if (!has)
        check_fail_at(__FILE__, __LINE__, "no %s in:\n%s", what, buf_text(&copy));
    buf_fini(&copy);
}

TEST(calls_answer_as_json)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "GET", "/api/v1/devices", NULL, &out), 200);
    check_has(&out, "Content-Type: application/json");
    check_has(&out, "[{\"name\":\"plc1\",\"polls\":18446744073709551615,\"rtt\":null},"
                    "{\"name\":\"plc2\",\"polls\":18446744073709551614,\"rtt\":null}]");
    CHECK_EQ(ask(&n, "POST", "/api/v1/write", "{\"tag\":\"a.b.c\",\"value\":12.5}", &out), 200);
    check_has(&out, "{\"tag\":\"a.b.c\",\"value\":12.5,\"user\":\"admin\"}");
    CHECK_EQ(ask(&n, "POST", "/api/v1/alarms/17/ack", NULL, &out), 200);
    check_has(&out, "\r\n\r\n{}");
    CHECK_EQ(atomic_load(&n.stage.acked), 17);
    CHECK_EQ(ask(&n, "GET", "/api/v1/node", NULL, &out), 200);
    check_has(&out, "{\"name\":\"n1\",\"version\":\"1.2.3\",\"modules\":[\"gateway\"");
    buf_fini(&out);
    node_close(&n);
}

TEST(mistakes_are_problems_that_name_them)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "POST", "/api/v1/write", "{\"tga\":\"x\"}", &out), 400);
    check_has(&out, "Content-Type: application/problem+json");
    check_has(&out, "\"type\":\"urn:lotline:ERR_UNKNOWN_KEY\"");
    check_has(&out, "did you mean \\\"tag\\\"?");
    CHECK_EQ(ask(&n, "GET", "/api/v1/devices?devcie=x", NULL, &out), 400);
    CHECK_EQ(ask(&n, "GET", "/api/v1/devices?device=missing", NULL, &out), 404);
    check_has(&out, "\"status\":404,\"detail\":\"there is no device \\\"missing\\\"\"");
    CHECK_EQ(ask(&n, "POST", "/api/v1/alarms/x/ack", NULL, &out), 400);
    CHECK_EQ(ask(&n, "GET", "/api/v1/nothing", NULL, &out), 404);
    CHECK_EQ(ask(&n, "DELETE", "/api/v1/sql", NULL, &out), 405);
    check_has(&out, "Allow: GET, POST");
    CHECK_EQ(ask(&n, "GET", "/api/v1/units", NULL, &out), 404);
    check_has(&out, "without the module trace");
    buf_fini(&out);
    node_close(&n);
}

TEST(without_a_token_there_is_health_and_on_this_machine_metrics)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/devices", "", NULL, &out), 401);
    check_has(&out, "WWW-Authenticate: Bearer");
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/devices", "Authorization: Bearer 00\r\n", NULL, &out), 401);
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/openapi.json", "", NULL, &out), 401);
    CHECK_EQ(ask_as(&n, "GET", "/health", "", NULL, &out), 200);
    check_has(&out, "{\"status\":\"ok\",\"modules\":{\"gateway\":{\"status\":\"ok\"");
    CHECK_EQ(ask_as(&n, "GET", "/metrics", "", NULL, &out), 200);
    check_has(&out, "# TYPE process_resident_memory_bytes gauge");
    CHECK_EQ(ask_as(&n, "POST", "/health", "", "{}", &out), 405);
    buf_fini(&out);
    node_close(&n);
}

TEST(roles_are_kept)
{
    struct node n;
    struct buf out = {0};
    static const char eve[] = "Authorization: Bearer eve-looks-around-only\r\n";
    node_open(&n, check_folder());
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/devices", eve, NULL, &out), 200);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/write", eve, "{\"tag\":\"a\",\"value\":1}", &out), 403);
    check_has(&out, "needs the role engineer; eve has the role viewer");
    CHECK_EQ(ask_as(&n, "PUT", "/api/v1/log-level", eve, "{\"level\":\"info\"}", &out), 403);
    enum call_role role = CALL_VIEWER;
    CHECK_OK(api_token_check(n.api, bytes_of_text(n.token), &role));
    CHECK_EQ(role, CALL_ADMIN);
    CHECK_ERR(api_token_check(n.api, bytes_of_text("x"), &role), ERR_AUTH);
    buf_fini(&out);
    node_close(&n);
}

/* The session cookie out of an answer, as a request header. */
static void take_cookie(const struct buf *out, char *ret, size_t size)
{
    struct buf copy = {0};
    (void)buf_append_bytes(&copy, buf_bytes(out));
    const char *at = strstr(buf_text(&copy), "Set-Cookie: ");
    CHECK(at != NULL);
    at += strlen("Set-Cookie: ");
    CHECK(strstr(at, "HttpOnly; SameSite=Strict") != NULL);
    (void)snprintf(ret, size, "Cookie: %.*s\r\n", (int)strcspn(at, ";"), at);
    buf_fini(&copy);
}

TEST(a_link_signs_in_once_and_a_session_changes_things_from_its_own_page_only)
{
    struct node n;
    struct buf out = {0};
    char cookie[256];
    char headers[512];
    static const char body[] = "{\"tag\":\"a\",\"value\":1}";
    node_open(&n, check_folder());
    const char *link = strstr(api_sign_in_link(n.api), "/signin?link=");
    CHECK(link != NULL);
    CHECK_EQ(ask_as(&n, "GET", link, "", NULL, &out), 303);
    check_has(&out, "Location: /\r\n");
    take_cookie(&out, cookie, sizeof cookie);
    CHECK_EQ(ask_as(&n, "GET", link, "", NULL, &out), 303);
    CHECK(strstr(buf_text(&out), "Set-Cookie") == NULL);
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/devices", cookie, NULL, &out), 200);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/write", cookie, body, &out), 403);
    (void)snprintf(headers, sizeof headers, "%sOrigin: http://evil.example\r\n", cookie);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/write", headers, body, &out), 403);
    (void)snprintf(headers, sizeof headers, "%sOrigin: http://127.0.0.1:1\r\n", cookie);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/write", headers, body, &out), 200);
    CHECK_EQ(ask_as(&n, "DELETE", "/api/v1/session", headers, NULL, &out), 200);
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/devices", cookie, NULL, &out), 401);
    buf_fini(&out);
    node_close(&n);
}

TEST(a_token_makes_a_session)
{
    struct node n;
    struct buf out = {0};
    char body[128];
    char cookie[256];
    node_open(&n, check_folder());
    (void)snprintf(body, sizeof body, "{\"token\":\"%s\"}", n.token);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/session", "", body, &out), 200);
    check_has(&out, "{\"user\":\"admin\",\"role\":\"admin\"}");
    take_cookie(&out, cookie, sizeof cookie);
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/session", cookie, NULL, &out), 200);
    CHECK_EQ(ask_as(&n, "POST", "/api/v1/session", "", "{\"token\":\"nobody\"}", &out), 401);
    buf_fini(&out);
    node_close(&n);
}

TEST(the_log_level_changes_at_run_time)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "PUT", "/api/v1/log-level", "{\"level\":\"error\"}", &out), 200);
    CHECK_EQ(ask(&n, "GET", "/api/v1/log-level", NULL, &out), 200);
    check_has(&out, "{\"level\":\"error\"}");
    CHECK_EQ(ask(&n, "PUT", "/api/v1/log-level", "{\"level\":\"loud\"}", &out), 400);
    CHECK_EQ(ask(&n, "PUT", "/api/v1/log-level", "{\"level\":\"info\"}", &out), 200);
    buf_fini(&out);
    node_close(&n);
}

TEST(what_changes_something_is_told_for_the_audit)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "GET", "/api/v1/devices", NULL, &out), 200);
    CHECK_EQ(atomic_load(&n.changes), 0);
    CHECK_EQ(ask(&n, "PUT", "/api/v1/log-level", "{\"level\":\"loud\"}", &out), 400);
    CHECK_EQ(atomic_load(&n.changes), 1);
    CHECK_STR(n.change, "admin rest node.log_level_set {\"level\":\"loud\"} -2");
    CHECK_EQ(ask(&n, "POST", "/api/v1/alarms/5/ack", NULL, &out), 200);
    CHECK_EQ(atomic_load(&n.changes), 2);
    CHECK_STR(n.change, "admin rest alarm.ack {\"id\":5} 0");
    buf_fini(&out);
    node_close(&n);
}

TEST(csv_is_answered_where_it_is_asked_for)
{
    struct node n;
    struct buf out = {0};
    char headers[256];
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "GET", "/api/v1/sql?sql=SELECT%201", NULL, &out), 200);
    check_has(&out, "{\"columns\":[\"a\",\"b\"],\"text\":\"a,b\\r\\n1,2\\r\\n\"}");
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nAccept: text/csv\r\n",
                   n.token);
    CHECK_EQ(ask_as(&n, "GET", "/api/v1/sql?sql=X&format=csv", headers, NULL, &out), 200);
    check_has(&out, "Content-Type: text/csv");
    check_has(&out, "\r\n\r\na,b\r\n1,2\r\n");
    buf_fini(&out);
    node_close(&n);
}

/* A request that is still being answered when the node stops gets an answer, and nothing leaks. */
TEST(stopping_does_not_wait_for_ever)
{
    struct node n;
    node_open(&n, check_folder());
    int fd = http_connect(&n);
    char headers[128];
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", n.token);
    http_send(fd, "POST", "/api/v1/sql", headers, "{\"sql\":\"HOLD\",\"timeout_ms\":1}");
    int64_t begin_us = clock_mono_us();
    struct buf out = {0};
    (void)http_read(fd, NULL, &out);
    check_has(&out, "504");
    CHECK(clock_mono_us() - begin_us < 9000000);
    buf_fini(&out);
    (void)close(fd);
    node_close(&n);
}

TEST(the_consoles_files_are_served_and_nothing_else)
{
    struct node n;
    struct buf out = {0};
    static const char *const outside[] = {"/../secret.txt",
                                          "/..%2fsecret.txt",
                                          "/%2e%2e/secret.txt",
                                          "/assets/../../secret.txt",
                                          "/.hidden",
                                          "//index.html",
                                          "/assets",
                                          "/assets/",
                                          "/nothing.js",
                                          "/a%00b"};
    node_open(&n, check_folder());
    CHECK_EQ(ask_as(&n, "GET", "/", "", NULL, &out), 200);
    check_has(&out, "Content-Type: text/html; charset=utf-8");
    check_has(&out, "Content-Security-Policy: default-src 'self'");
    check_has(&out, "<title>Lotline</title>");
    CHECK_EQ(ask_as(&n, "GET", "/assets/main-1a2b.js", "", NULL, &out), 200);
    check_has(&out, "Content-Type: text/javascript");
    check_has(&out, "immutable");
    char tag[128];
    const char *etag = strstr(buf_text(&out), "ETag: ");
    CHECK(etag != NULL);
    (void)snprintf(tag, sizeof tag, "If-None-Match: %.*s\r\n", (int)strcspn(etag + 6, "\r"),
                   etag + 6);
    CHECK_EQ(ask_as(&n, "GET", "/assets/main-1a2b.js", tag, NULL, &out), 304);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        CHECK_EQ(ask_as(&n, "GET", outside[i], "", NULL, &out), 404);
        CHECK(strstr(buf_text(&out), "\r\n\r\nsecret") == NULL);
    }
    buf_fini(&out);
    node_close(&n);
}

TEST(live_values_arrive_as_events)
{
    struct node n;
    struct buf out = {0};
    char headers[128];
    node_open(&n, check_folder());
    (void)snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", n.token);
    for (int round = 0; round < 3; round++) {
        int fds[2];
        for (int i = 0; i < 2; i++) {
            fds[i] = http_connect(&n);
            http_send(fds[i], "GET", "/api/v1/events", headers, NULL);
        }
        for (int i = 0; i < 2; i++) {
            buf_reset(&out);
            (void)http_read(fds[i], "\"force\":1.5}}\n\n", &out);
            check_has(&out, "Content-Type: text/event-stream");
            check_has(&out, "event: values\ndata: {\"stream\":\"plc1.press\","
                            "\"ts\":\"2026-11-22T08:30:00Z\",\"values\":{\"n\":");
            (void)close(fds[i]);
        }
    }
    int other = http_connect(&n);
    http_send(other, "GET", "/api/v1/events?streams=plc9.x,plc1.pres", headers, NULL);
    buf_reset(&out);
    (void)http_read(other, ":\n\n", &out);
    CHECK(strstr(buf_text(&out), "event: values") == NULL);
    buf_fini(&out);
    node_close(&n); /* while one is still open */
    (void)close(other);
}

struct lines {
    int count;
    char first[128];
};

static int take_line(void *ctx, struct bytes line)
{
    struct lines *l = ctx;
    if (l->count == 0)
        (void)snprintf(l->first, sizeof l->first, "%.*s", (int)line.len, (const char *)line.ptr);
    return ++l->count == 5 ? ERR_CANCELLED : OK;
}

TEST(the_command_line_asks_over_the_socket_and_tails)
{
    struct node n;
    struct buf body = {0};
    struct lines lines = {0};
    char sock[600];
    int status = 0;
    node_open(&n, check_folder());
    (void)snprintf(sock, sizeof sock, "%s/" API_SOCKET_FILE, n.data);
    CHECK_OK(api_client_request(sock, "POST", "/api/v1/write", "{\"tag\":\"a\",\"value\":\"x\"}",
                                &body, &status));
    CHECK_EQ(status, 200);
    char want[128];
    (void)snprintf(want, sizeof want, "{\"tag\":\"a\",\"value\":\"x\",\"user\":\"uid %u\"}",
                   getuid());
    CHECK_STR(buf_text(&body), want);
    CHECK_ERR(api_client_stream(sock, "/api/v1/tail", "{\"sql\":\"SELECT *\"}", take_line, &lines,
                                &body, &status),
              ERR_CANCELLED);
    CHECK_EQ(status, 200);
    CHECK(strncmp(lines.first, "{\"n\":", 5) == 0);
    CHECK(strstr(lines.first, ",\"force\":1.5}") != NULL);
    CHECK_SOON(atomic_load(&n.stage.tails_closed) == 1, 10000);
    buf_reset(&body);
    CHECK_OK(api_client_stream(sock, "/api/v1/tail", "{\"sql\":\"BAD\"}", take_line, &lines, &body,
                               &status));
    CHECK_EQ(status, 400);
    check_has(&body, "column 1");
    buf_fini(&body);
    node_close(&n);
    CHECK_ERR(api_client_request(sock, "GET", "/api/v1/node", NULL, &body, &status), ERR_NOT_FOUND);
}

TEST(a_data_folder_with_a_long_path_has_its_socket_too)
{
    struct node n;
    struct buf body = {0};
    char folder[700];
    char sock[800];
    int status = 0;
    (void)snprintf(folder, sizeof folder, "%s/%0120d", check_folder(), 7);
    CHECK_EQ(mkdir(folder, 0700), 0);
    node_open(&n, folder);
    (void)snprintf(sock, sizeof sock, "%s/" API_SOCKET_FILE, folder);
    CHECK_OK(api_client_request(sock, "GET", "/api/v1/node", NULL, &body, &status));
    CHECK_EQ(status, 200);
    buf_fini(&body);
    node_close(&n);
    CHECK_EQ(access(sock, F_OK), -1);
}

TEST(the_description_has_every_operation_that_exists)
{
    struct node n;
    struct buf out = {0};
    node_open(&n, check_folder());
    CHECK_EQ(ask(&n, "GET", "/api/v1/openapi.json", NULL, &out), 200);
    check_has(&out, "\"openapi\":\"3.1.0\"");
    check_has(&out, "\"/alarms/{id}/ack\":{\"post\":{\"operationId\":\"post_alarms_id_ack\"");
    check_has(&out, "\"/sql\":{\"get\":{");
    check_has(&out, "{\"name\":\"id\",\"in\":\"path\",\"required\":true");
    CHECK(strstr(buf_text(&out), "/trace/") == NULL); /* the module is off */
    buf_fini(&out);
    node_close(&n);
}
