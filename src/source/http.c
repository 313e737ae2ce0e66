/* An HTTP API, asked again and again.
 *
 * One question at a time: the next one is timed when the last is over, and farther apart while it
 * fails. An answer is decoded whole or not at all. What nobody has credit for yet waits, and
 * nothing is asked meanwhile; a lookup's table is newer all the same, since it is made before.
 */
#include "base/clock.h"
#include "source/source_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* --------------------------------------------------------------------------------------- options
 */

static const char *const source_choices[] = {"http", NULL};
static const char *const format_choices[] = {"json", NULL};

static const struct option http_source_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct http_options, name),
     .doc = "what the stream is called"},
    {.name = "source",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = source_choices,
     .offset = offsetof(struct http_options, source),
     .doc = "where it comes from"},
    {.name = "url",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct http_options, url),
     .doc = "what to ask; http or https"},
    {.name = "interval",
     .type = OPTION_DURATION,
     .default_text = "10s",
     .min = 100000,
     .max = INT64_C(86400000000),
     .offset = offsetof(struct http_options, interval_us),
     .doc = "how often; while it fails, farther and farther apart, up to a minute (a lookup: up to "
            "10s)"},
    {.name = "timeout",
     .type = OPTION_DURATION,
     .default_text = "5s",
     .min = 1000,
     .max = INT64_C(600000000),
     .offset = offsetof(struct http_options, timeout_us),
     .doc = "how long one answer may take"},
    {.name = "format",
     .type = OPTION_ENUM,
     .default_text = "json",
     .choices = format_choices,
     .offset = offsetof(struct http_options, format),
     .doc = "of the answer: an array of objects, or one object"},
    {.name = "rows",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct http_options, rows),
     .doc = "where in the answer the rows are: data.items (default: the answer is the rows)"},
    {.name = "headers",
     .type = OPTION_TREE,
     .offset = offsetof(struct http_options, headers),
     .doc = "name: text of each header to send; ${env:X} and ${file:X} are replaced"},
    {.name = "token",
     .type = OPTION_TEXT,
     .flags = OPTION_SECRET,
     .default_text = "",
     .offset = offsetof(struct http_options, token),
     .doc = "sent as Authorization: Bearer; write ${env:X} or ${file:X}"},
    {.name = "columns",
     .type = OPTION_TREE,
     .offset = offsetof(struct http_options, columns),
     .doc = "list of {name, type, uom}, or name: type of each column; without it rules take what "
            "the answers have"},
    {.name = "time",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct http_options, time),
     .doc = "the timestamp column that is the row's time (default: when the answer came)"},
    {.name = "place",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct http_options, place),
     .doc = "where its values are measured"},
    {.name = "only_changes",
     .type = OPTION_BOOL,
     .offset = offsetof(struct http_options, only_changes),
     .doc = "an answer equal to the last one gives no rows (always so for a lookup)"},
    {.name = "rows_max",
     .type = OPTION_UINT,
     .default_text = "10000",
     .min = 1,
     .max = SOURCE_ROWS_MAX,
     .offset = offsetof(struct http_options, rows_max),
     .doc = "rows of one answer; a larger one is refused whole"},
    {.name = "bytes_max",
     .type = OPTION_SIZE,
     .default_text = "16M",
     .min = 1,
     .max = 64 << 20,
     .offset = offsetof(struct http_options, bytes_max),
     .doc = "bytes of one answer; a larger one is refused whole"},
    {.name = "lookup",
     .type = OPTION_BOOL,
     .offset = offsetof(struct http_options, lookup),
     .doc = "the rows are a table that rules ask with lookup()"},
    {.name = "key",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct http_options, key),
     .doc = "lookup: the columns it is asked by, in that order"},
    {.name = "from",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct http_options, from),
     .doc = "lookup: the timestamp column from when on a row holds (null: since ever)"},
    {.name = "to",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct http_options, to),
     .doc = "lookup: the timestamp column until when (null: until the next row of its key)"},
    {.name = "wait",
     .type = OPTION_DURATION,
     .default_text = "5s",
     .max = INT64_C(600000000),
     .offset = offsetof(struct http_options, wait_us),
     .doc = "lookup: how long the start of the node waits for its first answer"},
    {.name = NULL},
};

static int headers_bind(struct http_source *s, struct arena *arena, struct diag *diag)
{
    const struct tree *headers = s->options.headers;
    if (headers && headers->kind != TREE_MAP && headers->kind != TREE_NULL)
        return tree_error(diag, ERR_TYPE, headers, "headers is a map: {Accept: application/json}");
    if (headers && headers->count > SOURCE_HEADERS_MAX - 1)
        return tree_error(diag, ERR_LIMIT, headers, "at most %d headers", SOURCE_HEADERS_MAX - 1);
    TREE_EACH(h, headers)
    {
        const char *value = NULL;
        int err = option_secrets(arena, h, tree_text(h), &value, diag);
        if (err)
            return err;
        char *line = arena_printf(arena, "%s: %s", h->key, value);
        if (!line)
            return ERR_NOMEM;
        if (strpbrk(line, "\r\n"))
            return tree_error(diag, ERR_INVALID, h, "a header cannot hold a line end");
        s->header_texts[s->header_count++] = line;
    }
    if (!s->options.token[0])
        return OK;
    char *line = arena_printf(arena, "Authorization: Bearer %s", s->options.token);
    s->header_texts[s->header_count++] = line;
    return line ? OK : ERR_NOMEM;
}

static int lookup_keys(struct http_source *s, const struct config_object *object,
                       const struct schema *schema, struct lookup_options *o, struct diag *diag)
{
    const struct option_texts *key = &s->options.key;
    int err = OK;
    if (key->count == 0 || key->count > LOOKUP_KEYS_MAX)
        return tree_error(diag, ERR_INVALID, object->spec,
                          "a lookup needs `key`: the columns it is asked by (at most %d)",
                          LOOKUP_KEYS_MAX);
    for (uint32_t i = 0; i < key->count && !err; i++) {
        int32_t at = -1;
        err = source_column_find(object, schema, "key", key->items[i], VALUE_ANY, &at, diag);
        o->keys[i] = (uint32_t)at;
    }
    o->key_count = key->count;
    return err;
}

static int lookup_make(struct http_source *s, const struct config_object *object,
                       const struct schema *schema, struct diag *diag)
{
    struct lookup_options o = {
        .name = object->name, .schema = schema, .rows_max = (uint32_t)s->options.rows_max};
    if (!s->options.lookup) {
        const struct tree *key = tree_get(object->spec, "key");
        return key ? tree_error(diag, ERR_INVALID, key,
                                "`key` belongs to a lookup: add "
                                "`lookup: true`")
                   : OK;
    }
    if (!schema)
        return tree_error(diag, ERR_INVALID, object->spec, "a lookup needs `columns`");
    int err = lookup_keys(s, object, schema, &o, diag);
    if (!err)
        err = source_column_find(object, schema, "from", s->options.from, VALUE_TIMESTAMP, &o.from,
                                 diag);
    if (!err)
        err = source_column_find(object, schema, "to", s->options.to, VALUE_TIMESTAMP, &o.to, diag);
    return err ? err : lookup_new(&o, &s->lookup);
}

/* ---------------------------------------------------------------------------------------- decode
 */

/* What is wrong with an answer, for who raises the alarm. */
static __attribute__((format(printf, 2, 3))) void problem_set(struct http_source *s,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(s->problem, sizeof s->problem, format, args);
    va_end(args);
}

/* The part of the answer that is the rows, into s->body. */
static int rows_find(struct http_source *s, struct bytes answer)
{
    struct batch *b = NULL;
    batch_builder_reset(s->rows_builder);
    int err = json_decode(s->rows_reader, answer, 0, s->rows_builder);
    if (err) {
        problem_set(s, "the answer of %s is not understood: %s", s->shown,
                    json_error(s->rows_reader));
        return err;
    }
    err = batch_builder_finish(s->rows_builder, &b);
    if (err)
        return err;
    struct column c = batch_column(b, 0);
    if (column_is_null(&c, 0)) {
        problem_set(s, "the answer of %s has nothing at %s (rows)", s->shown, s->options.rows);
        err = ERR_NOT_FOUND;
    } else {
        err = buf_copy_padded(&s->body, column_bytes(&c, 0));
    }
    batch_unref(b);
    return err;
}

static bool is_empty_array(struct bytes v)
{
    for (size_t i = 0; i < v.len; i++)
        if (!strchr("[] \t\r\n", v.ptr[i]))
            return false;
    return v.len > 0;
}

static int body_decode(struct http_source *s, struct bytes body, int64_t wall_us,
                       struct batch **ret)
{
    int err;
    *ret = NULL;
    if (is_empty_array(body))
        return OK;
    if (!s->base.builder)
        return json_decode_any(s->reader, body, wall_us, NULL, ret);
    batch_builder_reset(s->base.builder);
    err = json_decode(s->reader, body, wall_us, s->base.builder);
    if (!err && batch_builder_rows(s->base.builder) > 0)
        err = batch_builder_finish(s->base.builder, ret);
    return err;
}

static void push_waiting(struct http_source *s)
{
    struct source *base = &s->base;
    if (!s->waiting || !base->stage->going)
        return;
    if (outlet_push(&base->out, s->waiting, (struct position){0, 0}, NULL) == ERR_AGAIN)
        return;
    atomic_fetch_add_explicit(&base->rows, s->waiting->rows, memory_order_relaxed);
    batch_unref(s->waiting);
    s->waiting = NULL;
}

static int table_publish(struct http_source *s, const struct batch *b)
{
    int err = lookup_publish(s->lookup, b);
    if (err) {
        problem_set(s, "the answer of %s makes no lookup: %s", s->shown, err_text(err));
        return err;
    }
    s->table_rows = b ? b->rows : 0;
    (void)pthread_mutex_lock(&s->base.stage->mutex);
    s->has_table = true;
    (void)pthread_mutex_unlock(&s->base.stage->mutex);
    return OK;
}

static int answer_decode(struct http_source *s, struct bytes answer, struct batch **ret)
{
    int err = s->options.rows[0] ? rows_find(s, answer) : OK;
    if (err)
        return err;
    err = body_decode(s, s->options.rows[0] ? buf_bytes(&s->body) : answer,
                      exec_wall_us(s->base.out.exec), ret);
    if (err == ERR_LIMIT)
        problem_set(s, "the answer of %s has more than %llu rows (rows_max)", s->shown,
                    (unsigned long long)s->options.rows_max);
    else if (err)
        problem_set(s, "the answer of %s is not JSON as expected: %s", s->shown,
                    json_error(s->reader));
    if (!err && *ret)
        source_times_set(&s->base, *ret);
    return err;
}

static int answer_take(struct http_source *s, struct bytes answer)
{
    struct batch *b = NULL;
    uint64_t hash = XXH3_64bits(answer.ptr, answer.len);
    if (s->body_known && hash == s->body_hash && (s->lookup || s->options.only_changes))
        return OK;
    int err = answer_decode(s, answer, &b);
    if (!err && s->lookup)
        err = table_publish(s, b);
    if (err) {
        batch_unref(b);
        return err;
    }
    if (s->lookup)
        table_keep(s, answer);
    s->body_hash = hash;
    s->body_known = true;
    batch_unref(s->waiting);
    s->waiting = b;
    push_waiting(s);
    return OK;
}

int http_table_take(struct http_source *s, struct bytes answer)
{
    struct batch *b = NULL;
    int err = answer_decode(s, answer, &b);
    if (!err)
        err = table_publish(s, b);
    batch_unref(b);
    return err;
}

/* Who waits for the lookup at the node's start is told what became of the question. */
static void table_tell(struct http_source *s, bool ok)
{
    struct source_stage *stage = s->base.stage;
    (void)pthread_mutex_lock(&stage->mutex);
    s->tried = true;
    s->loaded |= ok;
    (void)pthread_cond_broadcast(&stage->loaded);
    (void)pthread_mutex_unlock(&stage->mutex);
}

/* ---------------------------------------------------------------------------------------- alarm
 */

static void clock_text(int64_t wall_us, char out[static CLOCK_TEXT_BYTES_MAX])
{
    (void)clock_format(wall_us - wall_us % 1000000, out);
}

/* Which lookup, since when, what is used meanwhile, what to do. */
static void lookup_fail(struct http_source *s, const char *reason)
{
    char since[CLOCK_TEXT_BYTES_MAX];
    char table[CLOCK_TEXT_BYTES_MAX];
    clock_text(exec_wall_us(s->base.out.exec), since);
    clock_text(s->table_us, table);
    if (s->has_table) {
        source_fail(&s->base,
                    "the lookup %s is down since %s: %s. Meanwhile the %u rows that it gave at %s "
                    "are used; what changed after that is not known. See that the other side "
                    "answers again: the node goes on asking",
                    s->base.name, since, reason, s->table_rows, table);
        return;
    }
    source_fail(&s->base,
                "the lookup %s is down since %s: %s. It has never answered, so meanwhile it "
                "gives null. See that the other side answers: the node goes on asking",
                s->base.name, since, reason);
}

static void answer_fail(struct http_source *s, const char *reason)
{
    if (s->lookup)
        lookup_fail(s, reason);
    else
        source_fail(&s->base, "%s", reason);
}

/* ------------------------------------------------------------------------------------------- ask
 */

static void ask(struct http_source *s);

static int64_t wait_max_us(const struct http_source *s)
{
    int64_t max_us = s->lookup ? SOURCE_LOOKUP_BACKOFF_US_MAX : SOURCE_BACKOFF_US_MAX;
    return s->options.interval_us > max_us ? s->options.interval_us : max_us;
}

static void ask_later(struct http_source *s, bool ok)
{
    int64_t wait_us = s->options.interval_us;
    if (ok) {
        s->tries = 0;
    } else {
        int64_t max_us = wait_max_us(s);
        bool rules_wait = s->lookup && !s->loaded;
        if (rules_wait || wait_us < SOURCE_RETRY_US)
            wait_us = SOURCE_RETRY_US;
        for (uint32_t i = 0; i < s->tries && wait_us < max_us; i++)
            wait_us *= 2;
        wait_us = wait_us > max_us ? max_us : wait_us;
        s->tries++;
    }
    (void)exec_timer_start(s->base.out.exec, &s->timer, exec_now_us(s->base.out.exec) + wait_us);
}

static void on_answer(void *ctx, const struct http_outcome *o)
{
    struct http_source *s = ctx;
    s->call = NULL;
    s->problem[0] = 0;
    int err = o->err ? o->err : answer_take(s, o->body);
    if (err) {
        answer_fail(s, o->err ? o->text : s->problem[0] ? s->problem : err_text(err));
    } else {
        atomic_fetch_add_explicit(&s->base.reads, 1, memory_order_relaxed);
        s->table_us = exec_wall_us(s->base.out.exec);
        source_works(&s->base);
    }
    table_tell(s, !err);
    ask_later(s, !err);
}

static void ask(struct http_source *s)
{
    struct http_ask a = {
        .url = s->options.url,
        .shown = s->shown,
        .headers = s->header_texts,
        .header_count = s->header_count,
        .timeout_ms = s->options.timeout_us / 1000,
        .answer_bytes_max = s->options.bytes_max,
    };
    if (s->waiting && s->base.stage->going) {
        push_waiting(s);
        if (s->waiting) {
            ask_later(s, true);
            return;
        }
    }
    int err = http_client_send(s->base.stage->client, &a, on_answer, s, &s->call);
    if (err) {
        problem_set(s, "%s cannot be asked: %s", s->shown, err_text(err));
        answer_fail(s, s->problem);
        table_tell(s, false);
        ask_later(s, false);
    }
}

static void timer_run(struct exec_timer *timer)
{
    ask(CONTAINER_OF(timer, struct http_source, timer));
}

static void on_credit(struct outlet *o)
{
    push_waiting(CONTAINER_OF(CONTAINER_OF(o, struct source, out), struct http_source, base));
}

/* ------------------------------------------------------------------------------------------ life
 */

static int decoders_make(struct http_source *s, const struct schema *schema)
{
    struct field path = {.name = s->options.rows, .type = VALUE_STRING};
    int err = json_reader_new(schema, &s->reader);
    if (!err && schema)
        err = batch_builder_new(schema, (uint32_t)s->options.rows_max, NULL, &s->base.builder);
    if (err || !s->options.rows[0])
        return err;
    err = schema_new(&path, 1, &s->rows_schema);
    if (!err)
        err = json_reader_new(s->rows_schema, &s->rows_reader);
    return err ? err : batch_builder_new(s->rows_schema, 1, NULL, &s->rows_builder);
}

static int http_source_bind(struct http_source *s, struct source_stage *stage,
                            const struct config_object *object, struct catalogue *catalogue,
                            struct diag *diag)
{
    struct schema *schema = NULL;
    int err = option_bind(http_source_table, object->spec, &stage->arena, &s->options, diag);
    if (err)
        return err;
    s->shown = tree_text(tree_get(object->spec, "url"));
    if (strncmp(s->options.url, "http://", 7) != 0 && strncmp(s->options.url, "https://", 8) != 0)
        return tree_error(diag, ERR_INVALID, tree_get(object->spec, "url"),
                          "%s is no URL: it begins with http:// or https://", s->shown);
    err = headers_bind(s, &stage->arena, diag);
    if (!err && s->options.columns && s->options.columns->kind != TREE_NULL)
        err = source_columns(s->options.columns, &stage->arena, &schema, diag);
    if (!err)
        err = source_column_find(object, schema, "time", s->options.time, VALUE_TIMESTAMP,
                                 &s->base.time_column, diag);
    if (!err)
        err = lookup_make(s, object, schema, diag);
    if (!err)
        err = decoders_make(s, schema);
    struct source_add add = {stage,  object,      catalogue, s->options.place,
                             schema, stage->loop, on_credit};
    if (!err)
        err = source_stream_add(&s->base, &add, diag);
    if (!err)
        s->base.stream->lookup = s->lookup;
    schema_unref(schema);
    return err;
}

int http_source_make(struct source_stage *stage, const struct config_object *object,
                     struct catalogue *catalogue, struct diag *diag)
{
    struct http_source *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    stage->http[stage->http_count++] = s;
    exec_timer_init(&s->timer, timer_run);
    table_keep_init(s);
    return http_source_bind(s, stage, object, catalogue, diag);
}

void http_source_open(struct http_source *s)
{
    if (!s->lookup)
        return;
    table_load(s);
    ask(s);
}

void http_source_go(struct http_source *s)
{
    if (s->lookup)
        push_waiting(s);
    else
        ask(s);
}

void http_source_close(struct http_source *s)
{
    exec_timer_stop(s->base.out.exec, &s->timer);
    table_keep_close(s);
    if (s->call)
        http_call_cancel(s->call);
    s->call = NULL;
    batch_unref(s->waiting);
    s->waiting = NULL;
}

void http_source_free(struct http_source *s)
{
    batch_builder_free(s->base.builder);
    json_reader_free(s->reader);
    json_reader_free(s->rows_reader);
    batch_builder_free(s->rows_builder);
    schema_unref(s->rows_schema);
    lookup_free(s->lookup);
    buf_fini(&s->body);
    buf_fini(&s->kept);
    free(s);
}
