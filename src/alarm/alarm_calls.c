/* The calls alarm.list, raise, clear, ack and audit, and the stream `alarms`. See alarm.h. */
#include "alarm/alarm_priv.h"
#include "base/str.h"

#define AUDIT_ROWS_DEFAULT 200

/* The columns of a listed alarm and of the stream, in this order. */
#define ALARM_FIELDS                                                                               \
    {"id", VALUE_UINT64, 0, true, "its number"}, {"name", VALUE_STRING, 0, true, "what is wrong"}, \
        {"source", VALUE_STRING, 0, true, "what it is about"},                                     \
        {"severity", VALUE_STRING, 0, true, "info, warning, minor, major or critical"},            \
        {"state", VALUE_STRING, 0, true, "raised, acknowledged or cleared"},                       \
        {"text", VALUE_STRING, 0, true, "a sentence"},                                             \
        {"count", VALUE_UINT64, 0, true, "how often it was raised"},                               \
        {"raised_at", VALUE_TIMESTAMP, 0, true, "since when"},                                     \
        {"cleared_at", VALUE_TIMESTAMP, 0, false, "until when"},                                   \
        {"acked_at", VALUE_TIMESTAMP, 0, false, "when somebody acknowledged it"},                  \
        {"acked_by", VALUE_STRING, 0, false, "who acknowledged it"},                               \
    {                                                                                              \
        0                                                                                          \
    }

static const struct call_field alarm_fields[] = {ALARM_FIELDS};

static int set_text(struct batch_builder *bb, uint32_t col, const char *text)
{
    return text ? batch_set_bytes(bb, col, bytes_of_text(text)) : OK;
}

static void set_time(struct batch_builder *bb, uint32_t col, int64_t us)
{
    if (us)
        batch_set_i64(bb, col, us);
}

static int alarm_row(struct batch_builder *bb, const struct alarm *a, int64_t now_us)
{
    int err = batch_builder_row(bb, now_us);
    if (err < 0)
        return err;
    batch_set_u64(bb, 0, a->id);
    err = set_text(bb, 1, a->name);
    if (!err)
        err = set_text(bb, 2, a->source);
    if (!err)
        err = set_text(bb, 3, alarm_severity_name(a->severity));
    if (!err)
        err = set_text(bb, 4, alarm_state_name(a));
    if (!err)
        err = set_text(bb, 5, a->text ? a->text : "");
    batch_set_u64(bb, 6, a->count);
    set_time(bb, 7, a->raised_us);
    set_time(bb, 8, a->cleared_us);
    set_time(bb, 9, a->acked_us);
    return err ? err : set_text(bb, 10, a->acked_by);
}

/* ---------------------------------------------------------------------------------------- stream
 */

int alarm_stream_schema(struct schema **ret)
{
    struct field fields[sizeof alarm_fields / sizeof alarm_fields[0]];
    uint32_t count = 0;
    for (const struct call_field *f = alarm_fields; f->name; f++)
        fields[count++] = (struct field){.name = f->name, .scale = 1, .type = f->type};
    return schema_new(fields, count, ret);
}

void alarm_stream_push(struct alarm_stage *a, const struct alarm *alarm)
{
    struct batch *batch = NULL;
    if (!a->stream || !outlet_has_flows(&a->outlet))
        return;
    int err = alarm_row(a->builder, alarm, exec_wall_us(a->exec));
    if (!err)
        err = batch_builder_finish(a->builder, &batch);
    if (err)
        batch_builder_reset(a->builder);
    else
        (void)outlet_push(&a->outlet, batch, (struct position){0, 0}, NULL);
    batch_unref(batch);
}

/* ----------------------------------------------------------------------------------------- lists
 */

static int list_rows(struct batch_builder *bb, struct list *alarms, int64_t now_us)
{
    for (struct list *link = alarms->prev; link != alarms; link = link->prev) {
        const struct alarm *alarm = CONTAINER_OF(link, struct alarm, link);
        int err = alarm_row(bb, alarm, now_us);
        if (err)
            return err;
    }
    return OK;
}

static void answer_rows(struct call *c, struct batch_builder *bb, int err)
{
    if (!err) {
        call_answer_rows(c, bb);
        return;
    }
    batch_builder_free(bb);
    call_fail(c, err, "the list could not be made: %s", err_text(err));
}

static void list_call(void *owner, struct call *c)
{
    struct alarm_stage *a = owner;
    struct batch_builder *bb = NULL;
    struct value active = call_arg(c, "active");
    bool only_active = active.type == VALUE_BOOL && active.boolean;
    int64_t now_us = exec_wall_us(a->exec);
    uint32_t rows = (uint32_t)(a->state.active_count + a->state.ended_count);
    int err = call_answer_builder(c, rows, &bb);
    if (!err)
        err = list_rows(bb, &a->state.active, now_us);
    if (!err && !only_active)
        err = list_rows(bb, &a->state.ended, now_us);
    answer_rows(c, bb, err);
}

static int audit_row(struct batch_builder *bb, const struct audit_entry *e)
{
    int err = batch_builder_row(bb, e->time_us);
    if (err < 0)
        return err;
    batch_set_u64(bb, 0, e->id);
    batch_set_i64(bb, 1, e->time_us);
    const char *texts[] = {e->user,   e->channel, e->action,
                           e->target, e->value,   audit_state_name(e)};
    err = OK;
    for (uint32_t i = 0; !err && i < sizeof texts / sizeof texts[0]; i++)
        err = set_text(bb, 2 + i, texts[i]);
    if (!err && e->err)
        err = set_text(bb, 8, err_name(e->err));
    return err ? err : set_text(bb, 9, e->text);
}

static void audit_call(void *owner, struct call *c)
{
    struct alarm_stage *a = owner;
    struct value limit = call_arg(c, "limit");
    uint64_t rows = limit.type == VALUE_UINT64 && limit.u64 ? limit.u64 : AUDIT_ROWS_DEFAULT;
    if (rows > AUDIT_ENTRIES_MAX)
        rows = AUDIT_ENTRIES_MAX;
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, (uint32_t)rows, &bb);
    struct list *link = a->state.entries.prev;
    for (; !err && link != &a->state.entries && rows > 0; link = link->prev, rows--)
        err = audit_row(bb, CONTAINER_OF(link, struct audit_entry, link));
    answer_rows(c, bb, err);
}

/* --------------------------------------------------------------------------------------- changes
 */

static void change_done(struct operation *op, int err)
{
    struct call *c = op->owner;
    if (err == ERR_NOT_FOUND)
        call_fail(c, err, "there is no alarm %llu to acknowledge",
                  (unsigned long long)op->event.id);
    else if (err)
        call_fail(c, err, "it could not be recorded: %s", err_text(err));
    else
        call_answer(c, NULL);
}

static void change_submit(struct alarm_stage *a, struct call *c, const struct event *e)
{
    int err = operation_submit(a, e, change_done, c);
    if (err)
        call_fail(c, err, "%s", err_text(err));
}

static struct bytes arg_text(const struct call *c, const char *name)
{
    struct value v = call_arg(c, name);
    return v.type == VALUE_STRING ? v.bytes : bytes_of(NULL, 0);
}

static void raise_call(void *owner, struct call *c)
{
    enum alarm_severity severity = ALARM_MINOR;
    struct bytes word = arg_text(c, "severity");
    if (word.len && !alarm_severity_find(word, &severity)) {
        call_fail(c, ERR_INVALID, "severity '%.*s': write info, warning, minor, major or critical",
                  (int)word.len, (const char *)word.ptr);
        return;
    }
    struct event e = {
        .kind = EVENT_RAISE,
        .severity = (uint8_t)severity,
        .name = arg_text(c, "name"),
        .source = arg_text(c, "source"),
        .text = arg_text(c, "text"),
    };
    if (e.name.len == 0)
        call_fail(c, ERR_INVALID, "an alarm needs a name");
    else
        change_submit(owner, c, &e);
}

static void clear_call(void *owner, struct call *c)
{
    struct event e = {
        .kind = EVENT_CLEAR,
        .name = arg_text(c, "name"),
        .source = arg_text(c, "source"),
    };
    change_submit(owner, c, &e);
}

static void ack_call(void *owner, struct call *c)
{
    struct event e = {
        .kind = EVENT_ACK,
        .id = call_arg(c, "id").u64,
        .user = bytes_of_text(call_origin_of(c)->user),
    };
    change_submit(owner, c, &e);
}

/* ----------------------------------------------------------------------------------------- specs
 */

static const struct call_field list_request[] = {
    {"active", VALUE_BOOL, 0, false, "only those that are not over"},
    {0},
};
static const struct call_spec list_spec = {
    .name = "alarm.list",
    .doc = "The alarms, newest first: those that are not over, then those that are.",
    .role = CALL_VIEWER,
    .request = list_request,
    .answer = alarm_fields,
};

static const struct call_field raise_request[] = {
    {"name", VALUE_STRING, 0, true, "what is wrong"},
    {"source", VALUE_STRING, 0, false, "what it is about"},
    {"severity", VALUE_STRING, 0, false, "info, warning, minor (default), major or critical"},
    {"text", VALUE_STRING, 0, false, "a sentence"},
    {0},
};
static const struct call_spec raise_spec = {
    .name = "alarm.raise",
    .doc = "Raise an alarm, or raise it again.",
    .role = CALL_ENGINEER,
    .flags = CALL_ONE,
    .request = raise_request,
};

static const struct call_field clear_request[] = {
    {"name", VALUE_STRING, 0, true, "what was wrong"},
    {"source", VALUE_STRING, 0, false, "what it was about"},
    {0},
};
static const struct call_spec clear_spec = {
    .name = "alarm.clear",
    .doc = "Clear an alarm; nothing happens if it is not raised.",
    .role = CALL_ENGINEER,
    .flags = CALL_ONE,
    .request = clear_request,
};

static const struct call_field ack_request[] = {
    {"id", VALUE_UINT64, 0, true, "the alarm's number"},
    {0},
};
static const struct call_spec ack_spec = {
    .name = "alarm.ack",
    .doc = "Say that an alarm has been seen.",
    .role = CALL_ENGINEER,
    .flags = CALL_ONE | CALL_CHANGES,
    .request = ack_request,
};

static const struct call_field audit_request[] = {
    {"limit", VALUE_UINT64, 0, false, "at most so many, newest first (default 200)"},
    {0},
};
static const struct call_field audit_fields[] = {
    {"id", VALUE_UINT64, 0, true, "its number"},
    {"time", VALUE_TIMESTAMP, 0, true, "when it was asked for"},
    {"user", VALUE_STRING, 0, true, "by whom"},
    {"channel", VALUE_STRING, 0, true, "rest, socket, mqtt or rule"},
    {"action", VALUE_STRING, 0, true, "what was done"},
    {"target", VALUE_STRING, 0, true, "to what"},
    {"value", VALUE_STRING, 0, true, "with which value"},
    {"state", VALUE_STRING, 0, true, "pending, done, failed, or unknown after a restart"},
    {"error", VALUE_STRING, 0, false, "the error's name"},
    {"text", VALUE_STRING, 0, false, "what the device said"},
    {0},
};
static const struct call_spec audit_spec = {
    .name = "alarm.audit",
    .doc = "Who changed what, when, with what result.",
    .role = CALL_VIEWER,
    .request = audit_request,
    .answer = audit_fields,
};

int alarm_calls_add(struct alarm_stage *a, struct catalogue *catalogue)
{
    static const struct call_entry entries[] = {
        {&list_spec, list_call}, {&raise_spec, raise_call}, {&clear_spec, clear_call},
        {&ack_spec, ack_call},   {&audit_spec, audit_call},
    };
    return catalogue_calls_add(catalogue, entries, sizeof entries / sizeof entries[0], a->exec, a);
}
