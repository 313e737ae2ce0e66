/* The calls of the engine: stream.list, stream.rules, stream.tail, stream.tail_close. */
#include "stream/engine_priv.h"

#include <string.h>

static int set_text(struct batch_builder *bb, uint32_t col, const char *text)
{
    return batch_set_bytes(bb, col, bytes_of_text(text ? text : ""));
}

/* [{"name": …, "type": …, "uom": …}, …] */
static int columns_print(const struct schema *s, struct buf *out)
{
    (void)buf_append_text(out, "[");
    for (uint32_t i = 0; s && i < s->count; i++) {
        const struct field *f = &s->fields[i];
        bool text = f->type == VALUE_BYTES && (f->flags & FIELD_TEXT);
        const char *type = field_is_scaled(f) ? "double"
                           : text             ? "string"
                                              : value_type_name(f->type);
        (void)buf_append_text(out, i ? ",{\"name\":" : "{\"name\":");
        (void)json_print_string(bytes_of_text(f->name), out);
        (void)buf_printf(out, ",\"type\":\"%s\",\"uom\":", type);
        (void)json_print_string(bytes_of_text(f->uom ? f->uom : ""), out);
        (void)buf_append_text(out, "}");
    }
    (void)buf_append_text(out, "]");
    return buf_error(out);
}

/* ------------------------------------------------------------------------------------------- list
 */

static const struct call_field list_answer[] = {
    {"name", VALUE_STRING, 0, true, "what FROM calls it"},
    {"kind", VALUE_STRING, 0, true, "group, source, rule, presence or remote"},
    {"node", VALUE_STRING, 0, true, "whose it is"},
    {"place", VALUE_STRING, 0, true, "where that is; \"\" if it has no place"},
    {"durable", VALUE_BOOL, 0, true, "whether its batches are in the log"},
    {"columns", VALUE_STRING, FIELD_JSON, true, "name, type and uom of each; [] = schemaless"},
    {0},
};

static const struct call_spec list_spec = {
    .name = "stream.list",
    .doc = "The streams of this node and their columns.",
    .role = CALL_VIEWER,
    .answer = list_answer,
};

static int list_row(struct batch_builder *bb, const struct stream *s)
{
    static const char *const kinds[] = {
        [STREAM_GROUP] = "group",       [STREAM_SOURCE] = "source", [STREAM_RULE] = "rule",
        [STREAM_PRESENCE] = "presence", [STREAM_REMOTE] = "remote",
    };
    struct buf columns = {0};
    int err = batch_builder_row(bb, 0);
    err = err < 0 ? err : set_text(bb, 0, s->name);
    if (!err)
        err = set_text(bb, 1, kinds[s->kind]);
    if (!err)
        err = set_text(bb, 2, s->node);
    if (!err)
        err = set_text(bb, 3, s->place);
    if (!err)
        batch_set_bool(bb, 4, s->durable);
    if (!err)
        err = columns_print(s->schema, &columns);
    if (!err)
        err = batch_set_bytes(bb, 5, buf_bytes(&columns));
    buf_fini(&columns);
    return err;
}

static void list_call(void *owner, struct call *c)
{
    struct stream_engine *e = owner;
    struct batch_builder *bb = NULL;
    size_t count = e->catalogue->streams.count;
    int err = call_answer_builder(c, count ? (uint32_t)count : 1, &bb);
    for (size_t i = 0; i < count && !err; i++)
        err = list_row(bb, e->catalogue->streams.entries[i].value);
    if (err) {
        batch_builder_free(bb);
        call_fail(c, err, "the list could not be made: %s", err_text(err));
        return;
    }
    call_answer_rows(c, bb);
}

/* ------------------------------------------------------------------------------------------ rules
 */

static const struct call_field rules_answer[] = {
    {"name", VALUE_STRING, 0, true, "the rule, and the stream it makes"},
    {"sql", VALUE_STRING, 0, true, "its statement"},
    {"state", VALUE_STRING, 0, true, "running, waiting (for credit) or stopped"},
    {"durable", VALUE_BOOL, 0, true, "whether its output is in the log"},
    {"rows_in", VALUE_UINT64, 0, true, "rows it has looked at"},
    {"rows_out", VALUE_UINT64, 0, true, "rows it has made"},
    {"rows_late", VALUE_UINT64, 0, true,
     "rows that came after their window was closed, and units after their values were let go"},
    {"errors", VALUE_UINT64, 0, true, "rows and actions that failed"},
    {"last_error", VALUE_STRING, 0, true, "the last of them in words; \"\" if there is none"},
    {0},
};

static const struct call_spec rules_spec = {
    .name = "stream.rules",
    .doc = "The rules with their state and what they have done since the start.",
    .role = CALL_VIEWER,
    .answer = rules_answer,
};

static const char *rule_state(const struct rule *r)
{
    if (!atomic_load(&r->started) || atomic_load(&r->stopping))
        return "stopped";
    return "running";
}

static int rules_row(struct batch_builder *bb, struct rule *r)
{
    char error[DIAG_TEXT_BYTES_MAX];
    pthread_mutex_lock(&r->error_lock);
    memcpy(error, r->last_error, sizeof error);
    pthread_mutex_unlock(&r->error_lock);
    int err = batch_builder_row(bb, 0);
    err = err < 0 ? err : set_text(bb, 0, r->options.name);
    if (!err)
        err = set_text(bb, 1, r->options.sql);
    if (!err)
        err = set_text(bb, 2, rule_state(r));
    if (!err)
        err = set_text(bb, 8, error);
    if (err)
        return err;
    batch_set_bool(bb, 3, r->output->durable);
    batch_set_u64(bb, 4, atomic_load_explicit(&r->rows_in, memory_order_relaxed));
    batch_set_u64(bb, 5, atomic_load_explicit(&r->rows_out, memory_order_relaxed));
    batch_set_u64(bb, 6, atomic_load_explicit(&r->rows_late, memory_order_relaxed));
    batch_set_u64(bb, 7, atomic_load_explicit(&r->errors, memory_order_relaxed));
    return OK;
}

static void rules_call(void *owner, struct call *c)
{
    struct stream_engine *e = owner;
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, e->rule_count ? e->rule_count : 1, &bb);
    for (uint32_t i = 0; i < e->rule_count && !err; i++)
        err = rules_row(bb, &e->rules[i]);
    if (err) {
        batch_builder_free(bb);
        call_fail(c, err, "the list could not be made: %s", err_text(err));
        return;
    }
    call_answer_rows(c, bb);
}

/* ------------------------------------------------------------------------------------------- tail
 */

static const struct call_field tail_request[] = {
    {"sql", VALUE_STRING, 0, true, "one SELECT"},
    {0},
};
static const struct call_field tail_answer[] = {
    {"id", VALUE_STRING, 0, true, "its rows come on the stream tail:ID"},
    {"columns", VALUE_STRING, FIELD_JSON, true, "name, type and uom of each; [] = by the rows"},
    {0},
};

static const struct call_spec tail_spec = {
    .name = "stream.tail",
    .doc = "Runs a statement over live streams for as long as somebody takes its rows.",
    .role = CALL_VIEWER,
    .flags = CALL_ONE,
    .request = tail_request,
    .answer = tail_answer,
};

static int tail_answer_fill(struct batch_builder *bb, const struct tail *t)
{
    struct buf columns = {0};
    int err = batch_builder_row(bb, 0);
    err = err < 0 ? err : set_text(bb, 0, t->id);
    if (!err)
        err = columns_print(t->stream->schema, &columns);
    if (!err)
        err = batch_set_bytes(bb, 1, buf_bytes(&columns));
    buf_fini(&columns);
    return err;
}

static void tail_call(void *owner, struct call *c)
{
    struct stream_engine *e = owner;
    struct value sql = call_arg(c, "sql");
    struct batch_builder *bb = NULL;
    struct arena arena = {0};
    struct diag diag = {0};
    struct tail *t = NULL;
    const char *text = sql.type == VALUE_STRING ? arena_copy(&arena, sql.bytes) : NULL;
    int err = text ? tail_open(e, text, &t, &diag) : ERR_INVALID;
    arena_fini(&arena);
    if (!err)
        err = call_answer_builder(c, 1, &bb);
    if (!err)
        err = tail_answer_fill(bb, t);
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    if (t)
        (void)tail_close(e, bytes_of_text(t->id));
    if (diag.text[0] && diag.line)
        call_fail(c, err, "line %u, column %u: %s", diag.line, diag.column, diag.text);
    else
        call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
}

static const struct call_field close_request[] = {
    {"id", VALUE_STRING, 0, true, "what stream.tail answered"},
    {0},
};

static const struct call_spec close_spec = {
    .name = "stream.tail_close",
    .doc = "Ends a statement that stream.tail began.",
    .role = CALL_VIEWER,
    .request = close_request,
};

static void close_call(void *owner, struct call *c)
{
    struct value id = call_arg(c, "id");
    if (id.type == VALUE_STRING && tail_close(owner, id.bytes))
        call_answer(c, NULL);
    else
        call_fail(c, ERR_NOT_FOUND, "this statement has ended already");
}

int engine_calls_add(struct stream_engine *e, struct catalogue *c)
{
    static const struct call_entry entries[] = {
        {&list_spec, list_call},
        {&rules_spec, rules_call},
        {&tail_spec, tail_call},
        {&close_spec, close_call},
    };
    return catalogue_calls_add(c, entries, sizeof entries / sizeof entries[0],
                               e->options.loop_count ? e->options.loops[0] : NULL, e);
}
