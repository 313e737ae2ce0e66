/* What a client sent against what a call takes: each type, each mistake by its name. */
#include "api/bind.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct call_field fields[] = {
    {"tag", VALUE_STRING, 0, true, "device.group.tag"},
    {"value", VALUE_ANY, 0, false, "what to write"},
    {"count", VALUE_INT64, 0, false, NULL},
    {"size", VALUE_UINT64, 0, false, NULL},
    {"factor", VALUE_DOUBLE, 0, false, NULL},
    {"ratio", VALUE_FLOAT32, 0, false, NULL},
    {"deep", VALUE_BOOL, 0, false, NULL},
    {"since", VALUE_TIMESTAMP, 0, false, NULL},
    {"spec", VALUE_STRING, FIELD_JSON, false, NULL},
    {"raw", VALUE_BYTES, 0, false, NULL},
    {.name = NULL},
};

static const struct call_spec spec = {"test.all", "Takes all.", CALL_VIEWER, 0, fields, NULL};
static const struct call_spec empty_spec = {"test.none", "Takes nothing.", CALL_VIEWER, 0, NULL,
                                            NULL};

struct outcome {
    int err;
    struct diag diag;
    struct batch *batch;
};

static struct outcome bind(const struct call_spec *s, const struct bind_argument *query,
                           size_t query_count, const char *body)
{
    struct outcome o = {0};
    struct call_port port;
    struct arena arena = {0};
    CHECK_OK(call_port_init(&port, s, NULL, NULL, NULL));
    struct bind_input in = {.query = query, .query_count = query_count};
    in.body = bytes_of_text(body);
    o.err = bind_request(s, port.request, &in, &arena, &o.batch, &o.diag);
    arena_fini(&arena);
    call_port_fini(&port);
    return o;
}

static struct value cell(const struct outcome *o, const char *name)
{
    struct column c =
        batch_column(o->batch, (uint32_t)schema_find(o->batch->schema, bytes_of_text(name)));
    return column_value(&c, 0);
}

static void check_refused(const char *body, int err, const char *says)
{
    struct outcome o = bind(&spec, NULL, 0, body);
    CHECK_ERR(o.err, err);
    CHECK(o.batch == NULL);
    if (!strstr(o.diag.text, says))
        check_fail_at(__FILE__, __LINE__, "\"%s\" does not say \"%s\"", o.diag.text, says);
}

TEST(a_body_fills_the_fields)
{
    struct outcome o =
        bind(&spec, NULL, 0,
             "{\"tag\":\"plc1.press.\\u00e9\",\"value\":18446744073709551615,\"count\":-5,"
             "\"size\":7,\"factor\":1e3,\"ratio\":0.5,\"deep\":true,\"raw\":\"xyz\","
             "\"since\":\"2026-11-22T08:30:00Z\",\"spec\":{\"a\":[1,\"2\",null]}}");
    CHECK_OK(o.err);
    CHECK_BYTES(cell(&o, "tag").bytes, bytes_of_text("plc1.press.\xc3\xa9"));
    CHECK_EQ(cell(&o, "value").type, VALUE_UINT64);
    CHECK_EQ(cell(&o, "value").u64, UINT64_MAX);
    CHECK_EQ(cell(&o, "count").i64, -5);
    CHECK_EQ(cell(&o, "size").u64, 7);
    CHECK_NEAR(cell(&o, "factor").f64, 1000, 0);
    CHECK_NEAR((double)cell(&o, "ratio").f32, 0.5, 0);
    CHECK(cell(&o, "deep").boolean);
    CHECK_EQ(cell(&o, "since").i64, 1795336200000000);
    CHECK_BYTES(cell(&o, "spec").bytes, bytes_of_text("{\"a\":[1,\"2\",null]}"));
    CHECK_BYTES(cell(&o, "raw").bytes, bytes_of_text("xyz"));
    batch_unref(o.batch);
}

TEST(any_keeps_what_was_written)
{
    static const struct {
        const char *json;
        enum value_type type;
    } cases[] = {{"1", VALUE_INT64},     {"-1", VALUE_INT64},       {"1.0", VALUE_DOUBLE},
                 {"1e2", VALUE_DOUBLE},  {"true", VALUE_BOOL},      {"\"1\"", VALUE_STRING},
                 {"\"\"", VALUE_STRING}, {"null", VALUE_NULL},      {"[1,2]", VALUE_STRING},
                 {"{}", VALUE_STRING},   {"\"true\"", VALUE_STRING}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "{\"tag\":\"t\",\"value\":%s}", cases[i].json);
        struct outcome o = bind(&spec, NULL, 0, body);
        CHECK_OK(o.err);
        CHECK_EQ(cell(&o, "value").type, cases[i].type);
        batch_unref(o.batch);
    }
}

TEST(a_text_where_json_is_wanted_keeps_its_quotes)
{
    static const char body[] = "{\"tag\":\"t\",\"value\":1,\"spec\":\"{ \\\"true\"}";
    struct outcome o = bind(&spec, NULL, 0, body);
    CHECK_OK(o.err);
    CHECK_BYTES(cell(&o, "spec").bytes, bytes_of_text("\"{ \\\"true\""));
    batch_unref(o.batch);
}

TEST(query_and_path_fill_the_fields_too)
{
    struct bind_argument query[] = {
        {bytes_of_text("tag"), bytes_of_text("a.b.c")},
        {bytes_of_text("value"), bytes_of_text("12.5")},
        {bytes_of_text("since"), bytes_of_text("1795336200000")},
        {bytes_of_text("deep"), bytes_of_text("false")},
    };
    struct outcome o = bind(&spec, query, 4, "");
    CHECK_OK(o.err);
    CHECK_NEAR(cell(&o, "value").f64, 12.5, 0);
    CHECK_EQ(cell(&o, "since").i64, 1795336200000000);
    CHECK(!cell(&o, "deep").boolean);
    CHECK_EQ(cell(&o, "count").type, VALUE_NULL);
    batch_unref(o.batch);
    query[3].name = bytes_of_text("tag");
    o = bind(&spec, query, 4, "");
    CHECK_ERR(o.err, ERR_EXISTS);
    CHECK(strstr(o.diag.text, "\"tag\" is given twice") != NULL);
}

TEST(what_is_wrong_is_named)
{
    check_refused("", ERR_INVALID, "\"tag\" is missing: device.group.tag");
    check_refused("{\"tag\":null}", ERR_INVALID, "\"tag\" is missing");
    check_refused("{\"tga\":\"x\"}", ERR_UNKNOWN_KEY, "\"tga\"; did you mean \"tag\"?");
    check_refused("{\"zzzzzzz\":1}", ERR_UNKNOWN_KEY, "no field \"zzzzzzz\"");
    check_refused("{\"tag\":5}", ERR_TYPE, "\"tag\" wants a text");
    check_refused("{\"tag\":\"a\",\"count\":\"5\"}", ERR_TYPE, "\"count\" wants an integer");
    check_refused("{\"tag\":\"a\",\"count\":5.5}", ERR_TYPE, "\"count\" wants an integer");
    check_refused("{\"tag\":\"a\",\"count\":99999999999999999999}", ERR_RANGE, "beyond 64 bits");
    check_refused("{\"tag\":\"a\",\"size\":-1}", ERR_TYPE, "not negative");
    check_refused("{\"tag\":\"a\",\"factor\":true}", ERR_TYPE, "\"factor\" wants a number");
    check_refused("{\"tag\":\"a\",\"factor\":1e999}", ERR_SYNTAX, "quotes");
    check_refused("{\"tag\":\"a\",\"deep\":1}", ERR_TYPE, "true or false");
    check_refused("{\"tag\":\"a\",\"since\":\"noon\"}", ERR_TYPE, "\"since\" wants a time");
    check_refused("{\"tag\":\"a\",\"count\":{}}", ERR_TYPE, "\"count\"");
    check_refused("{\"tag\":[\"a\"]}", ERR_TYPE, "\"tag\"");
    check_refused("{\"tag\":bare}", ERR_SYNTAX, "in quotes");
    check_refused("[1]", ERR_SYNTAX, "must be a JSON object");
    check_refused("\"tag\"", ERR_SYNTAX, "must be a JSON object");
    check_refused("{\"tag\":\"a\"", ERR_SYNTAX, "not a JSON object: line");
    check_refused("{\"tag\":\"a\",\"tag\":\"b\"}", ERR_EXISTS, "");
}

TEST(without_fields_nothing_may_be_sent)
{
    struct outcome o = bind(&empty_spec, NULL, 0, "");
    CHECK_OK(o.err);
    CHECK(o.batch == NULL);
    o = bind(&empty_spec, NULL, 0, "{}");
    CHECK_OK(o.err);
    o = bind(&empty_spec, NULL, 0, "{\"a\":1}");
    CHECK_ERR(o.err, ERR_UNKNOWN_KEY);
}

TEST(a_text_that_is_too_long_or_not_utf_8_is_refused)
{
    struct buf body = {0};
    (void)buf_append_text(&body, "{\"tag\":\"");
    uint8_t *x = buf_extend(&body, BIND_TEXT_BYTES_MAX + 1);
    memset(x, 'x', BIND_TEXT_BYTES_MAX + 1);
    (void)buf_append_text(&body, "\"}");
    check_refused(buf_text(&body), ERR_LIMIT, "\"tag\"");
    buf_fini(&body);
    struct bind_argument query = {bytes_of_text("tag"), bytes_of_text("\xff")};
    struct outcome o = bind(&spec, &query, 1, "");
    CHECK_ERR(o.err, ERR_TYPE);
    query.name = bytes_of_text("\xff\xfe");
    o = bind(&spec, &query, 1, "");
    CHECK_ERR(o.err, ERR_UNKNOWN_KEY);
}

TEST(without_memory_nothing_leaks)
{
    FAULT_EACH (n) {
        struct call_port port;
        struct arena arena = {0};
        struct batch *batch = NULL;
        struct diag diag = {0};
        static const char text[] = "{\"tag\":\"a\",\"value\":[1],\"spec\":{\"b\":2}}";
        struct bind_input in = {.body = bytes_of(text, sizeof text - 1)};
        int err = call_port_init(&port, &spec, NULL, NULL, NULL);
        if (err) {
            CHECK_ERR(err, ERR_NOMEM);
            continue;
        }
        err = bind_request(&spec, port.request, &in, &arena, &batch, &diag);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        batch_unref(batch);
        arena_fini(&arena);
        call_port_fini(&port);
    }
}
