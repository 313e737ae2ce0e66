/* Tests of what is told of units: a historian with the trace's tables, rows of tracks and rules put
 * in one by one, and the calls asked of it. */
#ifndef LOTLINE_TESTS_SUPPORT_STORY_BENCH_H
#define LOTLINE_TESTS_SUPPORT_STORY_BENCH_H

#include "base/clock.h"
#include "tests/support/check.h"
#include "trace/trace_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0     ((int64_t)1763800000000000)
#define SECOND ((int64_t)1000000)

static const char config_text[] =
    "name: n\n"
    "characteristics:\n"
    "  - {name: thick, lower: 10, upper: 20, uom: um}\n"
    "rules:\n"
    "  - {name: print, sql: \"SELECT 1\", actions: [{trace: {operation: print, measures: [thick], "
    "factors: {man: [operator], machine: [nozzle], material: [paste]}, consumes: [paste], "
    "recipe: rev, order: job}}]}\n"
    "  - {name: cut, sql: \"SELECT 1\", actions: [{trace: {operation: cut, children: [b1, b2]}}]}\n"
    "  - {name: aoi, sql: \"SELECT 1\", actions: [{trace: {operation: inspect, unit: serial, "
    "station: aoi, defects: [defect], position: refdes, verdict: result, measures: [height]}}]}\n"
    "  - {name: part, sql: \"SELECT 1\", actions: [{trace: {operation: part, unit: serial, "
    "children: "
    "[c1, c2, c3], parents: [from], link: split, quantity: [q1, q2, q3, used]}}]}\n"
    "  - {name: gauge, sql: \"SELECT 1\", actions: [{trace: {operation: gauge, measures: [wide, "
    "deep], covered: [wide_part, deep_part]}}]}\n"
    "  - {name: build, sql: \"SELECT 1\", actions: [{trace: {operation: build, unit: serial, "
    "parents: [part]}}]}\n";

static const struct field presence_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},      {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},  {.name = "t_in", .type = VALUE_TIMESTAMP},
    {.name = "t_out", .type = VALUE_TIMESTAMP}, {.name = "status", .type = VALUE_STRING},
    {.name = "revision", .type = VALUE_INT64},  {.name = "result", .type = VALUE_STRING},
};
/* Of a line: it says which stay it is, and may take it back. */
static const struct field floor_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},         {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},     {.name = "t_in", .type = VALUE_TIMESTAMP},
    {.name = "t_out", .type = VALUE_TIMESTAMP},    {.name = "status", .type = VALUE_STRING},
    {.name = "probability", .type = VALUE_DOUBLE}, {.name = "revision", .type = VALUE_INT64},
    {.name = "visit", .type = VALUE_INT64},        {.name = "retracted", .type = VALUE_BOOL},
};
static const struct field print_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},
    {.name = "thick", .type = VALUE_DOUBLE},
    {.name = "operator", .type = VALUE_STRING},
    {.name = "nozzle", .type = VALUE_INT64},
    {.name = "paste", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "rev", .type = VALUE_INT64},
    {.name = "job", .type = VALUE_STRING},
};
static const struct field cut_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},
    {.name = "b1", .type = VALUE_STRING},
    {.name = "b2", .type = VALUE_STRING},
};
static const struct field aoi_fields[] = {
    {.name = "serial", .type = VALUE_ANY}, {.name = "defect", .type = VALUE_ANY},
    {.name = "refdes", .type = VALUE_ANY}, {.name = "result", .type = VALUE_ANY},
    {.name = "height", .type = VALUE_ANY},
};
/* Weighed: into what it was parted, and of what it was taken. */
static const struct field part_fields[] = {
    {.name = "serial", .type = VALUE_STRING}, {.name = "c1", .type = VALUE_STRING},
    {.name = "c2", .type = VALUE_STRING},     {.name = "c3", .type = VALUE_STRING},
    {.name = "from", .type = VALUE_STRING},   {.name = "q1", .type = VALUE_DOUBLE},
    {.name = "q2", .type = VALUE_DOUBLE},     {.name = "q3", .type = VALUE_DOUBLE},
    {.name = "used", .type = VALUE_DOUBLE},
};
static const struct field gauge_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},       {.name = "wide", .type = VALUE_DOUBLE},
    {.name = "deep", .type = VALUE_DOUBLE},      {.name = "wide_part", .type = VALUE_DOUBLE},
    {.name = "deep_part", .type = VALUE_DOUBLE},
};
static const struct field build_fields[] = {
    {.name = "serial", .type = VALUE_STRING},
    {.name = "part", .type = VALUE_STRING},
};

static const struct {
    const char *name;
    enum stream_kind kind;
    const struct field *fields;
    uint32_t count;
} streams[] = {
    {"presence.line", STREAM_PRESENCE, presence_fields, 8},
    {"presence.floor", STREAM_PRESENCE, floor_fields, 10},
    {"print", STREAM_RULE, print_fields, 7},
    {"cut", STREAM_RULE, cut_fields, 3},
    {"aoi", STREAM_RULE, aoi_fields, 5},
    {"build", STREAM_RULE, build_fields, 2},
    {"part", STREAM_RULE, part_fields, 9},
    {"gauge", STREAM_RULE, gauge_fields, 5},
};

#define STREAMS (sizeof streams / sizeof streams[0])

struct fixture {
    struct config *config;
    struct catalogue catalogue;
    struct historian *h;
    struct trace *t;
    struct exec *exec;
    struct schema *schemas[STREAMS];
    uint64_t seq;
    char path[512];
};

static inline void fixture_start(struct fixture *f)
{
    struct historian_options options = {.path = f->path};
    struct diag diag = {0};
    CHECK_OK(historian_new(&options, &f->h));
    CHECK_OK(historian_configure(f->h, &f->catalogue, &diag));
    CHECK_OK(trace_new(&(struct trace_options){f->h}, &f->t));
    if (trace_configure(f->t, f->config, &f->catalogue, &diag))
        check_fail_at(__FILE__, __LINE__, "trace: %s", diag.text);
    if (historian_start(f->h, &diag))
        check_fail_at(__FILE__, __LINE__, "start: %s", diag.text);
    CHECK_OK(exec_thread_new("caller", 0, &f->exec));
}

static inline void fixture_catalogue(struct fixture *f)
{
    struct stream *s = NULL;
    CHECK_OK(catalogue_init(&f->catalogue, "n"));
    for (size_t i = 0; i < STREAMS; i++)
        CHECK_OK(catalogue_stream_add(&f->catalogue, streams[i].name, streams[i].kind, "",
                                      f->schemas[i], &s));
}

/* With more configuration behind the usual one. */
static inline void fixture_open_with(struct fixture *f, const char *more)
{
    struct diag diag = {0};
    char text[4096];
    *f = (struct fixture){0};
    int len = snprintf(text, sizeof text, "%s%s", config_text, more);
    CHECK(len > 0 && (size_t)len < sizeof text);
    if (config_parse("t.yaml", bytes_of_text(text), &f->config, &diag))
        check_fail_at(__FILE__, __LINE__, "config: %s", diag.text);
    for (size_t i = 0; i < STREAMS; i++)
        CHECK_OK(schema_new(streams[i].fields, streams[i].count, &f->schemas[i]));
    (void)snprintf(f->path, sizeof f->path, "%s/h.duckdb", check_folder());
    fixture_catalogue(f);
}

static inline void fixture_open(struct fixture *f)
{
    fixture_open_with(f, "");
}

static inline void fixture_stop(struct fixture *f)
{
    historian_free(f->h);
    trace_free(f->t);
    catalogue_fini(&f->catalogue);
    exec_thread_free(f->exec);
}

static inline void fixture_close(struct fixture *f)
{
    fixture_stop(f);
    config_free(f->config);
    for (size_t i = 0; i < STREAMS; i++)
        schema_unref(f->schemas[i]);
}

/* --------------------------------------------------------------------------------------- records
 */

static inline void set_cell(struct batch_builder *bb, const struct field *field, uint32_t col,
                            const char *text)
{
    uint8_t unit[16] = {(uint8_t)strtol(text, NULL, 10)};
    bool is_id = field->type == VALUE_BYTES && !field->flags;
    struct value v = {.type = VALUE_STRING, .bytes = bytes_of_text(text)};
    if (is_id)
        v = (struct value){.type = VALUE_BYTES, .bytes = bytes_of(unit, sizeof unit)};
    else if (field->type == VALUE_BYTES)
        v.type = VALUE_BYTES;
    else if (field->type == VALUE_BOOL)
        v = (struct value){.type = VALUE_BOOL, .boolean = strcmp(text, "true") == 0};
    else if (field->type == VALUE_DOUBLE)
        v = (struct value){.type = VALUE_DOUBLE, .f64 = strtod(text, NULL)};
    else if (field->type == VALUE_INT64)
        v = (struct value){.type = VALUE_INT64, .i64 = strtoll(text, NULL, 10)};
    else if (field->type == VALUE_TIMESTAMP)
        v = (struct value){.type = VALUE_TIMESTAMP, .i64 = T0 + strtoll(text, NULL, 10) * SECOND};
    CHECK_OK(batch_set_value(bb, col, &v));
}

struct adding {
    struct fixture *f;
    const char *stream;
    struct batch *batch;
};

static inline int append(void *ctx)
{
    struct adding *a = ctx;
    struct diag diag = {0};
    int err = historian_append(a->f->h, "n", a->stream, a->batch, (struct position){1, ++a->f->seq},
                               &diag);
    return err ? err : historian_commit(a->f->h, &diag);
}

/* A record at a second after T0: its rows between bars, their cells between blanks, "-" = none. */
static inline void add(struct fixture *f, const char *stream, int second, const char *cells)
{
    size_t i = 0;
    struct batch_builder *bb = NULL;
    struct adding a = {.f = f, .stream = stream};
    char text[256];
    char *rest = NULL;
    uint32_t col = 0;
    while (strcmp(streams[i].name, stream) != 0)
        i++;
    CHECK_OK(batch_builder_new(f->schemas[i], 8, NULL, &bb));
    CHECK(batch_builder_row(bb, T0 + second * SECOND) >= 0);
    (void)snprintf(text, sizeof text, "%s", cells);
    for (char *cell = strtok_r(text, " ", &rest); cell; cell = strtok_r(NULL, " ", &rest)) {
        bool next = strcmp(cell, "|") == 0;
        CHECK(!next || col == streams[i].count);
        CHECK(!next || batch_builder_row(bb, T0 + second * SECOND) >= 0);
        if (!next && strcmp(cell, "-") != 0)
            set_cell(bb, &streams[i].fields[col], col, cell);
        col = next ? 0 : col + 1;
    }
    CHECK_EQ(col, streams[i].count);
    CHECK_OK(batch_builder_finish(bb, &a.batch));
    batch_builder_free(bb);
    CHECK_OK(exec_call(historian_writer(f->h), append, &a));
}

/* ----------------------------------------------------------------------------------------- calls
 */

struct asked {
    atomic_bool done;
    int err;
    struct batch *answer;
    struct arena arena;
};

static inline void asked_done(void *ctx, const struct call_result *r)
{
    struct asked *a = ctx;
    a->err = r->err;
    a->answer = r->answer ? batch_ref(r->answer) : NULL;
    atomic_store(&a->done, true);
}

/* args: name, text, name, text, …, NULL; a text of digits is a number. */
static inline void ask(struct fixture *f, struct asked *a, const char *call,
                       const char *const *args)
{
    const struct call_port *port = catalogue_call_find(&f->catalogue, call);
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    CHECK(port != NULL);
    *a = (struct asked){0};
    CHECK_OK(batch_builder_new(port->request, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 0) >= 0);
    for (; *args; args += 2) {
        int32_t col = schema_find(port->request, bytes_of_text(args[0]));
        CHECK(col >= 0);
        set_cell(bb, &port->request->fields[col], (uint32_t)col, args[1]);
    }
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    struct call_options options = {
        .exec = f->exec, .done = asked_done, .ctx = a, .origin = {"tester", "test", CALL_VIEWER}};
    CHECK_OK(call_send(port, request, &options));
    CHECK_SOON(atomic_load(&a->done), 10000);
}

#define ASK(f, a, call, ...) ask(f, a, call, (const char *const[]){__VA_ARGS__, NULL})

static inline void asked_fini(struct asked *a)
{
    batch_unref(a->answer);
    arena_fini(&a->arena);
}

static const char *text_of(struct asked *a, const char *name, uint32_t row)
{
    CHECK_OK(a->err);
    int32_t col = schema_find(a->answer->schema, bytes_of_text(name));
    CHECK(col >= 0);
    struct column c = batch_column(a->answer, (uint32_t)col);
    return arena_copy(&a->arena, column_bytes(&c, row));
}

static inline struct value value_of(const struct asked *a, const char *name, uint32_t row)
{
    CHECK_OK(a->err);
    int32_t col = schema_find(a->answer->schema, bytes_of_text(name));
    CHECK(col >= 0);
    struct column c = batch_column(a->answer, (uint32_t)col);
    return column_value(&c, row);
}

/* How many units are certain, are possible, are to be expected. */
static inline void check_tally(const struct asked *a, int64_t certain, int64_t possible,
                               double expected)
{
    CHECK_EQ(value_of(a, "count", 0).i64, certain + possible);
    CHECK_EQ(value_of(a, "certain", 0).i64, certain);
    CHECK_EQ(value_of(a, "possible", 0).i64, possible);
    CHECK_NEAR(value_of(a, "expected", 0).f64, expected, 1e-9);
}

static inline struct tree *list_of(struct asked *a, const char *name)
{
    struct tree *t = NULL;
    CHECK_OK(tree_parse_json(&a->arena, name, bytes_of_text(text_of(a, name, 0)), &t, NULL));
    return t;
}

/* A list as one line: the named members of each row between commas, rows between blanks. */
static inline void check_list(struct asked *a, const char *list, const char *members,
                              const char *want)
{
    struct buf out = {0};
    const struct tree *rows = list_of(a, list);
    for (const struct tree *row = rows->first; row; row = row->next) {
        struct bytes rest = bytes_of_text(members);
        (void)buf_append_text(&out, out.len ? " " : "");
        while (rest.ptr) {
            const char *comma = memchr(rest.ptr, ',', rest.len);
            size_t len = comma ? (size_t)(comma - (const char *)rest.ptr) : rest.len;
            const char *member = arena_copy(&a->arena, bytes_of(rest.ptr, len));
            (void)buf_printf(&out, "%s%s", rest.ptr == (const uint8_t *)members ? "" : ",",
                             tree_text(tree_get(row, member)));
            rest = comma ? bytes_of(comma + 1, rest.len - len - 1) : (struct bytes){0};
        }
    }
    CHECK_STR(buf_text(&out), want);
    buf_fini(&out);
}

/* Panel P passes printer and aoi, and is cut into B1 and B2, which are tested by nobody. */
static inline void add_panel(struct fixture *f)
{
    add(f, "presence.line", 20, "1 P printer 10 20 exact 1 -");
    add(f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(f, "presence.line", 40, "2 P aoi 30 40 exact 1 -");
    add(f, "presence.line", 60, "3 P depanel 50 60 exact 1 -");
    add(f, "cut", 60, "3 B1 B2");
}

/* On the database of a fixture that is stopped. */
static inline void run_sql(const char *path, const char *sql)
{
    struct duck_options options = {.path = path};
    struct duck *duck = NULL;
    struct duck_conn *conn = NULL;
    struct diag diag = {0};
    CHECK_OK(duck_open(&options, &duck, &diag));
    CHECK_OK(duck_connect(duck, &conn));
    if (duck_exec(conn, sql, &diag))
        check_fail_at(__FILE__, __LINE__, "%s: %s", sql, diag.text);
    duck_disconnect(conn);
    duck_close(duck);
}

#endif
