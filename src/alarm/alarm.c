/* The stage: events from everywhere, applied in one order, recorded, answered. See alarm.h.
 *
 * An event travels as an operation: asker's thread → the stage's own, where it is applied → the
 * journal's, where it is appended → back with the commit. Alarms show at once, whether they could
 * be recorded or not (a full disk is itself an alarm); an intent of the audit counts only when it
 * is durable.
 */
#include "alarm/alarm_priv.h"
#include "base/log.h"

#include <stdlib.h>
#include <time.h>

#define EVENT_CODEC       2
#define LOG_NAME          "events"
#define LOG_SEGMENT_BYTES (1u << 20)
#define STOP_WAIT_S       5

struct alarm_section {
    uint64_t log_max;
};

static const struct option alarm_table[] = {
    {.name = "log_max",
     .type = OPTION_SIZE,
     .offset = offsetof(struct alarm_section, log_max),
     .default_text = "64M",
     .min = 2 << 20,
     .doc = "size of the log of alarms and audit beyond which the oldest events go"},
    {.name = NULL},
};

/* ------------------------------------------------------------------------------------ operations
 */

static void under_way_add(struct alarm_stage *a)
{
    (void)pthread_mutex_lock(&a->under_way_lock);
    a->under_way++;
    (void)pthread_mutex_unlock(&a->under_way_lock);
}

static void under_way_remove(struct alarm_stage *a)
{
    (void)pthread_mutex_lock(&a->under_way_lock);
    if (--a->under_way == 0)
        (void)pthread_cond_broadcast(&a->idle);
    (void)pthread_mutex_unlock(&a->under_way_lock);
}

/* True when nothing is under way; false when until has come before that. */
static bool under_way_wait(struct alarm_stage *a, const struct timespec *until)
{
    int rc = 0;
    (void)pthread_mutex_lock(&a->under_way_lock);
    while (a->under_way && rc == 0)
        rc = pthread_cond_timedwait(&a->idle, &a->under_way_lock, until);
    bool idle = a->under_way == 0;
    (void)pthread_mutex_unlock(&a->under_way_lock);
    return idle;
}

static void operation_free(struct operation *op)
{
    struct alarm_stage *a = op->stage;
    buf_fini(&op->texts);
    buf_fini(&op->record);
    free(op);
    under_way_remove(a);
}

static void operation_end(struct operation *op, int err)
{
    if (op->done)
        op->done(op, err);
    else if (err)
        log_error("alarm", "an event could not be recorded: %s", err_text(err));
    operation_free(op);
}

static void operation_back(struct exec_task *task)
{
    struct operation *op = CONTAINER_OF(task, struct operation, back);
    operation_end(op, op->err);
}

static void operation_durable(struct journal_wait *wait, struct position at, int err)
{
    struct operation *op = CONTAINER_OF(wait, struct operation, wait);
    (void)at;
    op->err = err;
    (void)exec_post(op->stage->exec, &op->back);
}

/* On the journal thread. */
static void operation_append(struct exec_task *task)
{
    struct operation *op = CONTAINER_OF(task, struct operation, to_journal);
    struct bytes part = buf_bytes(&op->record);
    struct journal_record record = {
        .codec = EVENT_CODEC,
        .time_us = op->event.time_us,
        .parts = &part,
        .part_count = 1,
    };
    struct position at;
    op->wait.fn = operation_durable;
    op->err = journal_append(op->stage->log, &record, &op->wait, &at);
    if (op->err)
        (void)exec_post(op->stage->exec, &op->back);
}

/* Events that ask for nothing new are not recorded: a clear of what is not raised. */
static bool changes_nothing(const struct alarm_stage *a, const struct event *e)
{
    if (e->kind != EVENT_CLEAR)
        return false;
    const struct alarm *alarm = alarm_state_find(&a->state, e->name, e->source);
    return !alarm || alarm->cleared_us;
}

/* On the stage's thread: from here on the event has happened. */
static void operation_apply(struct exec_task *task)
{
    struct operation *op = CONTAINER_OF(task, struct operation, to_stage);
    struct alarm_stage *a = op->stage;
    struct event *e = &op->event;
    struct alarm *changed = NULL;
    if (changes_nothing(a, e)) {
        operation_end(op, OK);
        return;
    }
    e->time_us = exec_wall_us(a->exec);
    if (e->kind == EVENT_RAISE || e->kind == EVENT_INTENT)
        e->id = a->next_id++;
    int err = alarm_state_apply(&a->state, e, &changed);
    if (changed)
        alarm_stream_push(a, changed);
    if (!err && a->log && !a->stopping)
        err = event_encode(e, &op->record);
    if (err || !a->log || a->stopping) {
        operation_end(op, err ? err : e->kind == EVENT_INTENT ? ERR_CLOSED : OK);
        return;
    }
    (void)exec_post(journal_exec(a->journal), &op->to_journal);
}

static struct bytes keep_text(struct buf *texts, struct bytes v)
{
    struct bytes kept = {texts->ptr + texts->len, v.len};
    (void)buf_append_bytes(texts, v);
    return kept;
}

int operation_submit(struct alarm_stage *a, const struct event *e, operation_done_fn done,
                     void *owner)
{
    struct operation *op = calloc(1, sizeof *op);
    if (!op)
        return ERR_NOMEM;
    size_t total = e->name.len + e->source.len + e->text.len + e->user.len + e->channel.len;
    if (!buf_reserve(&op->texts, total + 1)) {
        free(op);
        return ERR_NOMEM;
    }
    op->stage = a;
    op->event = *e;
    op->event.name = keep_text(&op->texts, e->name);
    op->event.source = keep_text(&op->texts, e->source);
    op->event.text = keep_text(&op->texts, e->text);
    op->event.user = keep_text(&op->texts, e->user);
    op->event.channel = keep_text(&op->texts, e->channel);
    op->done = done;
    op->owner = owner;
    exec_task_init(&op->to_stage, operation_apply);
    exec_task_init(&op->to_journal, operation_append);
    exec_task_init(&op->back, operation_back);
    under_way_add(a);
    (void)exec_post(a->exec, &op->to_stage);
    return OK;
}

/* ------------------------------------------------------------------------------------------ life
 */

int alarm_new(const struct alarm_options *options, struct alarm_stage **ret)
{
    struct alarm_stage *a = calloc(1, sizeof *a);
    if (!a)
        return ERR_NOMEM;
    a->journal = options->journal;
    alarm_state_init(&a->state);
    (void)pthread_mutex_init(&a->under_way_lock, NULL);
    (void)pthread_cond_init(&a->idle, NULL);
    int err = exec_thread_new("alarm", 0, &a->exec);
    if (err) {
        (void)pthread_cond_destroy(&a->idle);
        (void)pthread_mutex_destroy(&a->under_way_lock);
        free(a);
        return err;
    }
    a->next_id = (uint64_t)exec_wall_us(a->exec);
    *ret = a;
    return OK;
}

void alarm_journal_set(struct alarm_stage *a, struct journal *journal)
{
    a->journal = journal;
}

static int alarm_stream_add(struct alarm_stage *a, struct catalogue *catalogue)
{
    struct schema *schema = NULL;
    int err = alarm_stream_schema(&schema);
    if (!err)
        err = batch_builder_new(schema, 1, NULL, &a->builder);
    if (!err)
        err = catalogue_stream_add(catalogue, "alarms", STREAM_SOURCE, "", schema, &a->stream);
    schema_unref(schema);
    if (err)
        return err;
    outlet_init(&a->outlet, a->exec, a->stream, NULL);
    a->stream->outlet = &a->outlet;
    return OK;
}

int alarm_configure(struct alarm_stage *a, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag)
{
    struct arena arena = {0};
    struct alarm_section section;
    int err = option_bind(alarm_table, config_section(config, "alarm"), &arena, &section, diag);
    arena_fini(&arena);
    if (err)
        return err;
    a->log_bytes_max = section.log_max;
    err = alarm_stream_add(a, catalogue);
    return err ? err : alarm_calls_add(a, catalogue);
}

static int log_read_back(struct alarm_stage *a)
{
    struct journal_reader *reader = NULL;
    int err = journal_reader_new(a->log, (struct position){0, 0}, &reader);
    if (err)
        return err;
    for (;;) {
        struct journal_view view;
        struct event event;
        err = journal_reader_next(reader, &view);
        if (err == ERR_EXPIRED || err == ERR_CHECKSUM)
            continue;
        if (err)
            break;
        if (event_decode(view.payload, &event))
            continue; /* of a later version */
        (void)alarm_state_apply(&a->state, &event, NULL);
        if (event.id >= a->next_id)
            a->next_id = event.id + 1;
    }
    journal_reader_free(reader);
    return err == ERR_AGAIN ? OK : err;
}

/* On the stage's thread. */
static int alarm_open(void *ctx)
{
    struct alarm_stage *a = ctx;
    int err = log_read_back(a);
    alarm_state_close_pending(&a->state);
    return err;
}

int alarm_start(struct alarm_stage *a, struct diag *diag)
{
    struct journal_log_options options = {
        .segment_bytes = LOG_SEGMENT_BYTES,
        .bytes_max = a->log_bytes_max,
    };
    struct journal_log *log = NULL;
    int err = journal_log_open(a->journal, LOG_NAME, &options, &log, diag);
    if (err)
        return err;
    a->log = log;
    err = exec_call(a->exec, alarm_open, a);
    if (err)
        return diag_set(diag, err, 0, 0, "the log of alarms cannot be read: %s", err_text(err));
    diag->text[0] = 0; /* a torn tail of events is no news here */
    return OK;
}

static int alarm_close(void *ctx)
{
    struct alarm_stage *a = ctx;
    a->stopping = true;
    return OK;
}

static int nothing(void *ctx)
{
    (void)ctx;
    return OK;
}

/* Until every event that was handed in is durable or refused, and so is what followed from it: who
 * waits for an intent is told on a thread of his own choice, often the journal's, and then records
 * the result. Only a disk that does not answer makes this give up. */
static void alarm_settle(struct alarm_stage *a)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    bool more = true;
    while (more && under_way_wait(a, &until)) {
        (void)exec_call(journal_exec(a->journal), nothing, NULL);
        (void)pthread_mutex_lock(&a->under_way_lock);
        more = a->under_way > 0;
        (void)pthread_mutex_unlock(&a->under_way_lock);
    }
}

void alarm_stop(struct alarm_stage *a)
{
    if (a->stopping)
        return;
    if (a->journal && a->log)
        alarm_settle(a);
    (void)exec_call(a->exec, alarm_close, a);
    if (a->journal && a->log)
        (void)exec_call(journal_exec(a->journal), nothing, NULL);
}

static int alarm_end(void *ctx)
{
    struct alarm_stage *a = ctx;
    if (a->stream)
        outlet_fini(&a->outlet);
    return OK;
}

void alarm_free(struct alarm_stage *a)
{
    if (!a)
        return;
    (void)exec_call(a->exec, alarm_end, a);
    exec_thread_free(a->exec);
    batch_builder_free(a->builder);
    alarm_state_fini(&a->state);
    (void)pthread_cond_destroy(&a->idle);
    (void)pthread_mutex_destroy(&a->under_way_lock);
    free(a);
}

/* ----------------------------------------------------------------------------- for the app's use
 */

void alarm_raise(struct alarm_stage *a, const char *name, enum alarm_severity severity,
                 const char *source, const char *text)
{
    struct event e = {
        .kind = EVENT_RAISE,
        .severity = (uint8_t)severity,
        .name = bytes_of_text(name),
        .source = bytes_of_text(source),
        .text = bytes_of_text(text),
    };
    (void)operation_submit(a, &e, NULL, NULL);
}

void alarm_clear(struct alarm_stage *a, const char *name, const char *source)
{
    struct event e = {
        .kind = EVENT_CLEAR,
        .name = bytes_of_text(name),
        .source = bytes_of_text(source),
    };
    (void)operation_submit(a, &e, NULL, NULL);
}
