/* A rule at run time: batches from flows into the pipeline, and its output into the rule's stream.
 *
 * Everything happens on the rule's loop, in turns of at most RULE_ITEMS_PER_TURN input batches. A
 * durable rule (somebody keeps its output) takes its inputs with back-pressure, and each output
 * goes into the log with a key by which a replay is known; others drop the oldest input when they
 * are too slow, which is counted.
 */
#include "base/log.h"
#include "stream/engine_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE_FLOW_ITEMS 256

static void rule_turn(struct rule *r);

bool rule_is_durable(const struct rule *r)
{
    return r->output->durable && r->engine->options.log != NULL;
}

void rule_error(struct rule *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    pthread_mutex_lock(&r->error_lock);
    vsnprintf(r->last_error, sizeof r->last_error, format, args);
    pthread_mutex_unlock(&r->error_lock);
    va_end(args);
    atomic_fetch_add_explicit(&r->errors, 1, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------ holds
 */

void rule_hold(struct rule *r)
{
    r->holds++;
}

void rule_release(struct rule *r)
{
    r->holds--;
    if (r->holds > 0 || !atomic_load(&r->stopping) || r->closed)
        return;
    r->closed = true;
    outlet_fini(&r->out);
    for (uint32_t i = 0; i < r->action_count; i++)
        if (r->actions[i].kind == ACTION_MQTT)
            outlet_fini(&r->actions[i].out);
    if (r->on_stopped)
        r->on_stopped(r);
}

/* ----------------------------------------------------------------------------------------- output
 */

static void output_free(struct rule_output *o)
{
    list_remove(&o->link);
    batch_unref(o->batch);
    free(o);
}

/* The next start can store it: it must be made again there. */
static bool err_may_pass(int err)
{
    return err == ERR_CANCELLED || err == ERR_NO_SPACE || err == ERR_NOMEM || err == ERR_IO;
}

static void output_done(struct flow_done *done, struct position at, int err)
{
    struct rule_output *o = CONTAINER_OF(done, struct rule_output, done);
    struct rule *r = o->rule;
    (void)at;
    if (err && err != ERR_CANCELLED)
        rule_error(r, "an output was not stored: %s", err_text(err));
    if (err_may_pass(err) && !r->has_lost) {
        r->lost = o->resume;
        r->has_lost = true;
    }
    output_free(o);
    rule_release(r);
}

static void emit(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct rule *r = ctx;
    struct rule_output *o = calloc(1, sizeof *o);
    if (!o) {
        rule_error(r, "out of memory: %u rows were dropped", b->rows);
        batch_unref(b);
        return;
    }
    list_init(&o->link);
    o->rule = r;
    o->batch = b;
    o->key = key;
    o->resume = resume;
    list_push_back(&r->outputs, &o->link);
    r->output_count++;
    for (uint32_t i = 0; i < r->action_count && !r->replaying; i++)
        if (r->actions[i].kind == ACTION_ALARM)
            action_alarm(&r->actions[i], b);
}

/* ERR_AGAIN when it must wait for credit. */
static int output_push(struct rule *r, struct rule_output *o)
{
    uint32_t rows = o->batch->rows;
    int err;
    if (!rule_is_durable(r)) {
        err = outlet_push(&r->out, o->batch, (struct position){0, 0}, NULL);
        if (err)
            return err;
        output_free(o);
    } else {
        if (!outlet_ready(&r->out, o->batch))
            return ERR_AGAIN;
        struct position key = {o->key.major, o->key.minor};
        flow_done_init(&o->done, r->exec, output_done);
        list_remove(&o->link);
        list_push_back(&r->in_flight, &o->link);
        rule_hold(r);
        err = outlet_push(&r->out, o->batch, key, &o->done);
        if (err) {
            list_remove(&o->link);
            list_push_front(&r->outputs, &o->link);
            r->holds--;
            return err;
        }
    }
    r->output_count--;
    atomic_fetch_add_explicit(&r->rows_out, rows, memory_order_relaxed);
    return OK;
}

static void outputs_push(struct rule *r)
{
    r->blocked = false;
    while (!list_empty(&r->outputs)) {
        struct rule_output *o = CONTAINER_OF(r->outputs.next, struct rule_output, link);
        if (output_push(r, o) == OK)
            continue;
        r->blocked = true;
        return;
    }
}

static void out_credit(struct outlet *o)
{
    struct rule *r = CONTAINER_OF(o, struct rule, out);
    if (!atomic_load(&r->stopping))
        rule_turn(r);
}

/* ------------------------------------------------------------------------------------------ input
 */

static void alarms_quiet(struct rule *r)
{
    for (uint32_t i = 0; i < r->action_count; i++)
        if (r->actions[i].kind == ACTION_ALARM && action_alarm_may_be_raised(&r->actions[i]))
            action_alarm(&r->actions[i], NULL);
}

static bool has_silent_alarm(const struct rule *r)
{
    for (uint32_t i = 0; i < r->action_count; i++)
        if (r->actions[i].kind == ACTION_ALARM && !r->actions[i].raised)
            return true;
    return false;
}

static void stats_copy(struct rule *r)
{
    const struct pipeline_stats *s = pipeline_stats(r->pipeline);
    atomic_store_explicit(&r->rows_in, s->in_rows, memory_order_relaxed);
    atomic_store_explicit(&r->rows_late, s->late_rows + s->units_short, memory_order_relaxed);
}

/* Errors of rows are counted one by one; the text is that of the last. */
static void errors_note(struct rule *r, uint64_t before)
{
    const struct pipeline_stats *s = pipeline_stats(r->pipeline);
    if (s->error_rows == before)
        return;
    rule_error(r, "%s", s->last_error);
    atomic_fetch_add_explicit(&r->errors, s->error_rows - before - 1, memory_order_relaxed);
}

int rule_feed(struct rule *r, bool presence, const struct batch *b, struct position at)
{
    uint64_t errors = pipeline_stats(r->pipeline)->error_rows;
    uint64_t out = pipeline_stats(r->pipeline)->out_rows;
    uint32_t passed = 0;
    int64_t wall = exec_wall_us(r->exec);
    int err = presence ? pipeline_presence(r->pipeline, b, at, !r->replaying)
                       : pipeline_push(r->pipeline, b, at, wall, &passed);
    if (err)
        rule_error(r, "an input batch was left out: %s", err_text(err));
    errors_note(r, errors);
    if (r->replaying || presence || err)
        return err;
    bool made = pipeline_stats(r->pipeline)->out_rows != out;
    if (made && has_silent_alarm(r))
        (void)pipeline_flush(r->pipeline);
    else if (passed == 0)
        alarms_quiet(r);
    return OK;
}

static bool input_take(struct rule *r, int which)
{
    struct flow_item item;
    if (!r->inputs[which] || !flow_take(r->inputs[which], &item))
        return false;
    bool known = !position_is_none(item.at) && position_compare(item.at, r->replayed) <= 0;
    if (!known)
        (void)rule_feed(r, which == 1, item.batch, item.at);
    flow_finish(&item, item.at, OK);
    return true;
}

/* ------------------------------------------------------------------------------------------ timers
 */

static void linger_over(struct exec_timer *timer)
{
    struct rule *r = CONTAINER_OF(timer, struct rule, linger);
    if (pipeline_flush(r->pipeline) != OK)
        rule_error(r, "an output batch could not be made");
    outputs_push(r);
}

/* While signals come on, a unit waits for its own, however long that takes; when they do not, those
 * go that have waited since then. */
static void units_over(struct exec_timer *timer)
{
    struct rule *r = CONTAINER_OF(timer, struct rule, unit_timer);
    if (pipeline_units(r->pipeline).signals_us == r->units.signals_us)
        (void)pipeline_units_release(r->pipeline, r->units.seen);
    rule_turn(r);
}

static void timers_arm(struct rule *r)
{
    int64_t now = exec_now_us(r->exec);
    if (pipeline_rows_waiting(r->pipeline)) {
        if (r->options.linger_us <= 0)
            linger_over(&r->linger);
        else if (!exec_timer_active(&r->linger))
            (void)exec_timer_start(r->exec, &r->linger, now + r->options.linger_us);
    }
    struct pipeline_units units = pipeline_units(r->pipeline);
    if (!units.waiting)
        exec_timer_stop(r->exec, &r->unit_timer);
    else if (!exec_timer_active(&r->unit_timer)) {
        r->units = units;
        (void)exec_timer_start(r->exec, &r->unit_timer, now + r->options.unit_wait_us);
    }
}

/* ------------------------------------------------------------------------------------- checkpoint
 */

struct position rule_checkpoint(const struct rule *r)
{
    const struct list *first = !list_empty(&r->in_flight) ? &r->in_flight : &r->outputs;
    if (r->has_lost)
        return r->lost;
    if (list_empty(first))
        return pipeline_resume(r->pipeline);
    const struct rule_output *o = CONTAINER_OF(first->next, struct rule_output, link);
    return o->resume;
}

/* On the keeper: writing keyed state blocks. */
static void save_run(struct exec_task *task)
{
    struct rule *r = CONTAINER_OF(task, struct rule, save_task);
    if (rule_checkpoint_store(r, r->saved) != OK)
        log_warn("stream", "rule %s: its checkpoint was not stored; a restart replays more",
                 r->options.name);
    (void)exec_post(r->exec, &r->saved_task);
}

static void saved_run(struct exec_task *task)
{
    struct rule *r = CONTAINER_OF(task, struct rule, saved_task);
    r->saving = false;
    rule_release(r);
}

static void save_over(struct exec_timer *timer)
{
    struct rule *r = CONTAINER_OF(timer, struct rule, save_timer);
    struct position at = rule_checkpoint(r);
    if (position_compare(at, r->saved) != 0 && !r->saving) {
        r->saving = true;
        r->saved = at;
        rule_hold(r);
        (void)exec_post(journal_keeper(r->engine->options.journal), &r->save_task);
    }
    (void)exec_timer_start(r->exec, timer, exec_now_us(r->exec) + RULE_CHECKPOINT_US);
}

/* ------------------------------------------------------------------------------------------- turns
 */

static void rule_turn(struct rule *r)
{
    if (!atomic_load(&r->started) || atomic_load(&r->stopping))
        return;
    bool more = true;
    outputs_push(r);
    for (int n = 0; more && n < RULE_ITEMS_PER_TURN && !r->blocked; n++) {
        bool presence = input_take(r, 1);
        bool signals = input_take(r, 0);
        /* A presence comes into its flow after the signals before it came into theirs. */
        if (!signals && r->inputs[1] && pipeline_caught_up(r->pipeline) != OK)
            rule_error(r, "a unit's row could not be made");
        more = signals || presence;
        if (r->output_count >= RULE_OUTPUTS_MAX)
            outputs_push(r);
    }
    timers_arm(r);
    outputs_push(r);
    stats_copy(r);
    if (more && !r->blocked)
        (void)exec_post(r->exec, &r->work);
}

static void work_run(struct exec_task *task)
{
    rule_turn(CONTAINER_OF(task, struct rule, work));
}

static void input_ready(void *ctx, struct flow *f)
{
    (void)f;
    rule_turn(ctx);
}

static void input_closed(void *ctx, struct flow *f)
{
    struct rule *r = ctx;
    for (int i = 0; i < 2; i++)
        if (r->inputs[i] == f)
            r->inputs[i] = NULL;
    flow_unref(f);
    rule_release(r);
}

/* ------------------------------------------------------------------------------------------- life
 */

static void stop_run(struct exec_task *task)
{
    struct rule *r = CONTAINER_OF(task, struct rule, stop_task);
    if (atomic_exchange(&r->stopping, true))
        return;
    exec_timer_stop(r->exec, &r->linger);
    exec_timer_stop(r->exec, &r->unit_timer);
    exec_timer_stop(r->exec, &r->save_timer);
    if (r->pipeline && pipeline_flush(r->pipeline) == OK)
        outputs_push(r);
    if (r->pipeline)
        r->checkpoint = rule_checkpoint(r);
    for (uint32_t i = 0; i < r->action_count; i++)
        action_close(&r->actions[i]);
    for (int i = 0; i < 2; i++)
        if (r->inputs[i])
            flow_close(r->inputs[i]);
    rule_release(r); /* its own, of rule_init */
}

void rule_output_set(struct rule *r, struct stream *output)
{
    r->output = output;
    outlet_init(&r->out, r->exec, output, out_credit);
    output->outlet = &r->out;
}

void rule_stop(struct rule *r)
{
    (void)exec_post(r->exec, &r->stop_task);
}

int rule_init(struct rule *r, struct stream_engine *e, const struct rule_options *options,
              struct plan *plan, struct exec *exec)
{
    memset(r, 0, sizeof *r);
    r->engine = e;
    r->options = *options;
    r->plan = plan;
    r->exec = exec;
    r->holds = 1;
    list_init(&r->outputs);
    list_init(&r->in_flight);
    exec_task_init(&r->work, work_run);
    exec_task_init(&r->stop_task, stop_run);
    exec_task_init(&r->save_task, save_run);
    exec_task_init(&r->saved_task, saved_run);
    exec_timer_init(&r->linger, linger_over);
    exec_timer_init(&r->unit_timer, units_over);
    exec_timer_init(&r->save_timer, save_over);
    return pthread_mutex_init(&r->error_lock, NULL) == 0 ? OK : ERR_NOMEM;
}

static int input_attach(struct rule *r, int which, struct stream *s)
{
    struct flow_options o = {
        .name = r->options.name,
        .consumer = r->exec,
        .policy = rule_is_durable(r) ? FLOW_BLOCK : FLOW_DROP_OLDEST,
        .items_max = RULE_FLOW_ITEMS,
        .ctx = r,
        .on_ready = input_ready,
        .on_closed = input_closed,
    };
    if (!s->outlet) {
        log_warn("stream", "rule %s: nobody produces %s", r->options.name, s->name);
        return OK;
    }
    int err = flow_new(&o, &r->inputs[which]);
    if (err)
        return err;
    rule_hold(r);
    outlet_attach(s->outlet, r->inputs[which]);
    return OK;
}

struct pipeline_options rule_pipeline_options(const struct rule *r, pipeline_emit_fn emit_fn,
                                              void *ctx)
{
    return (struct pipeline_options){
        .plan = r->plan,
        .lateness_us = r->options.lateness_us,
        .gap_max_us = r->options.gap_max_us,
        .unit_time_us = r->options.unit_time_us,
        .unit_lead_us = r->options.unit_lead_us,
        .unit_lag_us = r->options.unit_lag_us,
        .unit_delay_us = r->options.unit_delay_us,
        .emit = emit_fn,
        .ctx = ctx,
    };
}

int rule_open(struct rule *r)
{
    struct pipeline_options o = rule_pipeline_options(r, emit, r);
    if (rule_is_durable(r))
        o.skip = stream_log_key(r->engine->options.log, bytes_of_text(r->output->name));
    int err = pipeline_new(&o, &r->pipeline);
    for (uint32_t i = 0; i < r->action_count && !err; i++)
        err = action_open(&r->actions[i]);
    if (!err)
        err = input_attach(r, 0, r->plan->from);
    if (!err && r->plan->presence)
        err = input_attach(r, 1, r->plan->presence);
    return err;
}

static void go_timers(struct rule *r)
{
    if (rule_is_durable(r))
        (void)exec_timer_start(r->exec, &r->save_timer, exec_now_us(r->exec) + RULE_CHECKPOINT_US);
}

static void go_run(struct exec_task *task)
{
    struct rule *r = CONTAINER_OF(task, struct rule, work);
    r->work.fn = work_run;
    atomic_store(&r->started, true);
    go_timers(r);
    rule_turn(r);
}

void rule_go(struct rule *r)
{
    r->work.fn = go_run;
    (void)exec_post(r->exec, &r->work);
}

void rule_fini(struct rule *r)
{
    struct list *link;
    while ((link = list_pop_front(&r->outputs)) != NULL)
        output_free(CONTAINER_OF(link, struct rule_output, link));
    for (uint32_t i = 0; i < r->action_count; i++)
        action_fini(&r->actions[i]);
    pipeline_free(r->pipeline);
    plan_free(r->plan);
    pthread_mutex_destroy(&r->error_lock);
}
