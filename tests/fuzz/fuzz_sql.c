/* SQL text of people and programs: parsed, bound to a fixed catalogue, compiled, and run over a few
 * rows. */
#include "stream/pipeline.h"
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>

#define FUZZ_SQL_BYTES_MAX 8192
#define FUZZ_ROWS          5

static const struct field press_fields[] = {
    {.name = "force", .type = VALUE_FLOAT32},
    {.name = "n", .type = VALUE_INT64},
    {.name = "u", .type = VALUE_UINT64},
    {.name = "temp", .type = VALUE_INT64, .flags = FIELD_SCALED, .scale = 0.1, .offset = 1},
    {.name = "name", .type = VALUE_BYTES, .flags = FIELD_TEXT},
    {.name = "run", .type = VALUE_BOOL},
    {.name = "x", .type = VALUE_DOUBLE},
    {.name = "any", .type = VALUE_ANY},
};

static const struct field presence_fields[] = {
    {.name = "unit", .type = VALUE_BYTES},      {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},  {.name = "place", .type = VALUE_STRING},
    {.name = "t_in", .type = VALUE_TIMESTAMP},  {.name = "t_out", .type = VALUE_TIMESTAMP},
    {.name = "status", .type = VALUE_STRING},   {.name = "probability", .type = VALUE_DOUBLE},
    {.name = "evidence", .type = VALUE_STRING}, {.name = "revision", .type = VALUE_INT64},
    {.name = "result", .type = VALUE_STRING},   {.name = "path", .type = VALUE_BYTES},
};

/* On the track t, which is a belt. */
static const struct signal_place signals[] = {
    {"p", "x", 0, 50},
    {"p", "n", 50, 100},
    {"p", "temp", 40, 60},
};

static void stream_put(struct catalogue *c, const char *name, enum stream_kind kind,
                       const struct field *fields, uint32_t count)
{
    struct schema *s = NULL;
    struct stream *stream = NULL;
    if (fields && schema_new(fields, count, &s) != OK)
        abort();
    if (catalogue_stream_add(c, name, kind, "", s, &stream) != OK)
        abort();
    schema_unref(s);
}

static void take(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    (void)ctx;
    (void)key;
    (void)resume;
    /* What comes out must be readable to its end. */
    for (uint32_t i = 0; i < b->schema->count; i++) {
        struct column c = batch_column(b, i);
        for (uint32_t row = 0; row < b->rows; row++)
            (void)column_shown(&c, row);
    }
    batch_unref(b);
}

static struct batch *rows(const struct schema *s)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    if (batch_builder_new(s, FUZZ_ROWS, NULL, &bb) != OK)
        abort();
    for (int i = 0; i < FUZZ_ROWS; i++) {
        struct value v = {.type = i % 2 ? VALUE_INT64 : VALUE_STRING, .i64 = i};
        if (i % 2 == 0)
            v.bytes = bytes_of_text("text");
        (void)batch_builder_row(bb, i * INT64_C(700000));
        batch_set_f32(bb, 0, (float)i / 2);
        if (i != 2)
            batch_set_i64(bb, 1, i == 3 ? INT64_MIN : i - 1);
        batch_set_u64(bb, 2, UINT64_MAX - (uint64_t)i);
        batch_set_i64(bb, 3, i * 10);
        (void)batch_set_bytes(bb, 4, bytes_of_text(i == 1 ? "\xff" : "abc"));
        batch_set_bool(bb, 5, i % 2);
        batch_set_f64(bb, 6, i - 2.5);
        (void)batch_set_value(bb, 7, &v);
    }
    if (batch_builder_finish(bb, &b) != OK)
        abort();
    batch_builder_free(bb);
    return b;
}

static struct batch *presence(const struct schema *s)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    if (batch_builder_new(s, 1, NULL, &bb) != OK)
        abort();
    (void)batch_builder_row(bb, 2000000);
    batch_set_i64(bb, 4, 600000);
    batch_set_i64(bb, 5, 2000000);
    /* From 0 at 0.5 s to 100 mm at 3 s. */
    static const uint8_t path[] = {1, 2, 0x20, 0xa1, 7,    0,    0,    0,    0,
                                   0, 0, 0xa0, 0xcb, 0x98, 0x01, 0xc0, 0x9a, 0x0c};
    (void)batch_set_bytes(bb, 11, bytes_of(path, sizeof path));
    if (batch_builder_finish(bb, &b) != OK)
        abort();
    batch_builder_free(bb);
    return b;
}

static void run(const struct plan *plan)
{
    struct pipeline *p = NULL;
    struct pipeline_options o = {.plan = plan, .emit = take};
    if (pipeline_new(&o, &p) != OK)
        return;
    if (plan->input) {
        struct batch *b = rows(plan->input);
        (void)pipeline_push(p, b, (struct position){1, 1}, 0, NULL);
        batch_unref(b);
    }
    if (plan->presence) {
        struct batch *b = presence(plan->presence->schema);
        (void)pipeline_presence(p, b, (struct position){1, 2}, false);
        (void)pipeline_units_release(p, UINT64_MAX);
        batch_unref(b);
    }
    (void)pipeline_watermark(p, INT64_C(1) << 50);
    (void)pipeline_flush(p);
    pipeline_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalogue c;
    struct plan *plan = NULL;
    struct diag diag = {0};
    if (size > FUZZ_SQL_BYTES_MAX || memchr(data, 0, size))
        return 0;
    char *sql = calloc(1, size + 1);
    if (!sql)
        return 0;
    if (size)
        memcpy(sql, data, size);
    if (catalogue_init(&c, "node1") != OK)
        abort();
    stream_put(&c, "p", STREAM_GROUP, press_fields, sizeof press_fields / sizeof press_fields[0]);
    stream_put(&c, "presence.t", STREAM_PRESENCE, presence_fields,
               sizeof presence_fields / sizeof presence_fields[0]);
    struct stream *track = catalogue_stream_find(&c, bytes_of_text("presence.t"));
    track->signals = signals;
    track->signal_count = sizeof signals / sizeof signals[0];
    stream_put(&c, "loose", STREAM_SOURCE, NULL, 0);
    int err = plan_new(sql, &c, &plan, &diag);
    if (!err && plan->from->kind == STREAM_GROUP)
        run(plan);
    if (err && err != ERR_NOMEM && !diag.text[0])
        abort(); /* an error without a sentence helps nobody */
    plan_free(plan);
    catalogue_fini(&c);
    free(sql);
    return 0;
}
