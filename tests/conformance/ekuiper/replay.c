/* Runs eKuiper's cases, as `run` hands them over, through the parser, the binder and a pipeline.
 *
 * One command a line on standard input; texts are hexadecimal ("-" = empty):
 *
 *     parse SQL                    → parse ERR
 *     plan STREAM SQL              → plan ERR
 *     case SQL LATENESS_MS EVENT SEND_ERROR CLOCK_START
 *     stream NAME [COLUMN …]       a stream; with columns they are declared (type any)
 *     begin                        → plan ERR
 *     row STREAM TIME_MS {NAME TYPE VALUE} …
 *     end CLOCK_END                → batch JSON …, done
 *
 * Time: without event time the clock is the rows' arrival; windows close one by one as it passes.
 */
#include "base/str.h"
#include "codec/json_print.h"
#include "stream/ast.h"
#include "stream/pipeline.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX (4u << 20)
#define WORDS_MAX      4096
#define STEPS_MAX      100000
#define NEVER_US       (INT64_C(1) << 60)

struct session {
    struct arena arena;
    struct catalogue catalogue;
    struct plan *plan;
    struct pipeline *pipeline;
    const char *sql;
    int64_t lateness_us;
    bool event;
    bool send_error;
    bool open;
    int64_t clock_us;
    int64_t newest_us;
};

static const char *unhex(struct arena *a, const char *hex)
{
    size_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
    char *out = arena_alloc(a, len + 1);
    for (size_t i = 0; out && i < len; i++) {
        char pair[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (char)strtoul(pair, NULL, 16);
    }
    return out ? out : "";
}

static void take(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    static const struct json_print_options options = {.nan_text = true};
    struct buf out = {0};
    (void)ctx;
    (void)key;
    (void)resume;
    (void)json_print_rows(b, &options, &out);
    printf("batch %s\n", buf_text(&out));
    buf_fini(&out);
    batch_unref(b);
}

static void session_reset(struct session *s)
{
    if (!s->open)
        return;
    pipeline_free(s->pipeline);
    plan_free(s->plan);
    catalogue_fini(&s->catalogue);
    arena_reset(&s->arena);
    struct arena arena = s->arena;
    *s = (struct session){.arena = arena};
}

/* ----------------------------------------------------------------------------------------- parsing
 */

static void do_parse(struct session *s, char **words)
{
    struct select *select = NULL;
    struct diag diag = {0};
    int err = sql_parse(&s->arena, bytes_of_text(unhex(&s->arena, words[1])), &select, &diag);
    printf("parse %d %s\n", err, diag.text);
    arena_reset(&s->arena);
}

static void do_plan(struct session *s, char **words)
{
    struct catalogue c;
    struct stream *stream = NULL;
    struct plan *plan = NULL;
    struct diag diag = {0};
    if (catalogue_init(&c, "node") == OK)
        (void)catalogue_stream_add(&c, unhex(&s->arena, words[1]), STREAM_SOURCE, "", NULL,
                                   &stream);
    int err = plan_new(unhex(&s->arena, words[2]), &c, &plan, &diag);
    printf("plan %d %s\n", err, diag.text);
    plan_free(plan);
    catalogue_fini(&c);
    arena_reset(&s->arena);
}

/* ------------------------------------------------------------------------------------------- case
 */

static void do_case(struct session *s, char **words)
{
    session_reset(s);
    s->open = true;
    (void)catalogue_init(&s->catalogue, "node");
    s->sql = unhex(&s->arena, words[1]);
    s->lateness_us = strtoll(words[2], NULL, 10) * 1000;
    s->event = words[3][0] == '1';
    s->send_error = words[4][0] == '1';
    s->clock_us = strtoll(words[5], NULL, 10) * 1000;
    s->newest_us = INT64_MIN;
}

static void do_stream(struct session *s, char **words, int count)
{
    struct field *fields = arena_array(&s->arena, (size_t)count, sizeof *fields);
    struct schema *schema = NULL;
    struct stream *stream = NULL;
    for (int i = 2; fields && i < count; i++)
        fields[i - 2] = (struct field){.name = unhex(&s->arena, words[i]), .type = VALUE_ANY};
    if (count > 2)
        (void)schema_new(fields, (uint32_t)count - 2, &schema);
    (void)catalogue_stream_add(&s->catalogue, unhex(&s->arena, words[1]), STREAM_SOURCE, "", schema,
                               &stream);
    schema_unref(schema);
}

static void do_begin(struct session *s)
{
    struct diag diag = {0};
    int err = plan_new(s->sql, &s->catalogue, &s->plan, &diag);
    /* The harness closes windows itself, one by one, so that each is a batch of its own. */
    struct pipeline_options o = {.plan = s->plan, .lateness_us = NEVER_US, .emit = take};
    if (!err)
        err = pipeline_new(&o, &s->pipeline);
    printf("plan %d %s\n", err, diag.text);
}

static void clock_to(struct session *s, int64_t to_us)
{
    int64_t step = s->plan->window == WINDOW_TUMBLING ? s->plan->window_us : 0;
    int64_t at = s->clock_us;
    if (step && to_us > at && (to_us - at) / step < STEPS_MAX) {
        for (at = at / step * step + step; at < to_us; at += step) {
            (void)pipeline_watermark(s->pipeline, at);
            (void)pipeline_flush(s->pipeline);
        }
    }
    (void)pipeline_watermark(s->pipeline, to_us);
    (void)pipeline_flush(s->pipeline);
    s->clock_us = to_us > s->clock_us ? to_us : s->clock_us;
}

static struct value cell(struct arena *a, const char *type, const char *text)
{
    struct value v = {.type = VALUE_NULL};
    const char *plain = unhex(a, text);
    switch (type[0]) {
    case 'i':
        v = (struct value){.type = VALUE_INT64, .i64 = strtoll(plain, NULL, 10)};
        break;
    case 'f':
        v = (struct value){.type = VALUE_DOUBLE, .f64 = strtod(plain, NULL)};
        break;
    case 'b':
        v = (struct value){.type = VALUE_BOOL, .boolean = plain[0] == '1'};
        break;
    case 't':
        v = (struct value){.type = VALUE_TIMESTAMP, .i64 = strtoll(plain, NULL, 10) * 1000};
        break;
    case 's':
    case 'y':
        v = (struct value){.type = type[0] == 's' ? VALUE_STRING : VALUE_BYTES,
                           .bytes = bytes_of(plain, strcmp(text, "-") ? strlen(text) / 2 : 0)};
        break;
    default:
        break;
    }
    return v;
}

static struct batch *row_batch(struct session *s, const struct stream *stream, int64_t time_us,
                               char **words, int count)
{
    struct field *fields = arena_array(&s->arena, (size_t)count + 1, sizeof *fields);
    struct schema *schema = stream->schema ? schema_ref(stream->schema) : NULL;
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    for (int i = 0; !stream->schema && i * 3 < count; i++)
        fields[i] = (struct field){.name = unhex(&s->arena, words[i * 3]), .type = VALUE_ANY};
    int err = schema ? OK : schema_new(fields, (uint32_t)count / 3, &schema);
    if (!err)
        err = batch_builder_new(schema, 1, NULL, &bb);
    if (!err)
        (void)batch_builder_row(bb, time_us);
    for (int i = 0; i * 3 < count && !err; i++) {
        struct value v = cell(&s->arena, words[i * 3 + 1], words[i * 3 + 2]);
        int32_t at = schema_find(schema, bytes_of_text(unhex(&s->arena, words[i * 3])));
        if (at >= 0)
            err = batch_set_value(bb, (uint32_t)at, &v);
    }
    if (!err)
        (void)batch_builder_finish(bb, &b);
    batch_builder_free(bb);
    schema_unref(schema);
    return b;
}

static void do_row(struct session *s, char **words, int count)
{
    const struct stream *stream =
        catalogue_stream_find(&s->catalogue, bytes_of_text(unhex(&s->arena, words[1])));
    int64_t time_us = strtoll(words[2], NULL, 10) * 1000;
    if (!s->pipeline || stream != s->plan->from)
        return;
    if (!s->event)
        clock_to(s, time_us);
    struct batch *b = row_batch(s, stream, time_us, words + 3, count - 3);
    uint64_t errors = pipeline_stats(s->pipeline)->error_rows;
    if (b)
        (void)pipeline_push(s->pipeline, b, (struct position){0, 0}, time_us, NULL);
    batch_unref(b);
    if (s->send_error && pipeline_stats(s->pipeline)->error_rows != errors)
        printf("batch [{\"error\":\"\"}]\n");
    if (s->plan->window == WINDOW_NONE)
        (void)pipeline_flush(s->pipeline);
    s->newest_us = time_us > s->newest_us ? time_us : s->newest_us;
    if (s->event)
        clock_to(s, s->newest_us - s->lateness_us);
}

static void do_end(struct session *s, char **words)
{
    uint64_t errors = s->pipeline ? pipeline_stats(s->pipeline)->error_rows : 0;
    if (s->pipeline && !s->event && words[1][0] != '-')
        clock_to(s, strtoll(words[1], NULL, 10) * 1000);
    if (s->pipeline && s->send_error && pipeline_stats(s->pipeline)->error_rows != errors)
        printf("batch [{\"error\":\"\"}]\n");
    if (s->pipeline)
        printf("error %s\n", pipeline_stats(s->pipeline)->last_error);
    printf("done\n");
}

static void command(struct session *s, char **words, int count)
{
    if (strcmp(words[0], "parse") == 0)
        do_parse(s, words);
    else if (strcmp(words[0], "plan") == 0)
        do_plan(s, words);
    else if (strcmp(words[0], "case") == 0)
        do_case(s, words);
    else if (strcmp(words[0], "stream") == 0)
        do_stream(s, words, count);
    else if (strcmp(words[0], "begin") == 0)
        do_begin(s);
    else if (strcmp(words[0], "row") == 0)
        do_row(s, words, count);
    else
        do_end(s, words);
    (void)fflush(stdout);
}

int main(void)
{
    static char line[LINE_BYTES_MAX];
    struct session s = {0};
    while (fgets(line, sizeof line, stdin)) {
        char *words[WORDS_MAX];
        char *rest = NULL;
        int count = 0;
        for (char *w = strtok_r(line, " \n", &rest); w && count < WORDS_MAX;
             w = strtok_r(NULL, " \n", &rest))
            words[count++] = w;
        if (count)
            command(&s, words, count);
    }
    session_reset(&s);
    arena_fini(&s.arena);
    return 0;
}
