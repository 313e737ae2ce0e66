/* Tails: statements that live as long as somebody looks at their rows.
 *
 * All on the first loop, where the calls come in too, so the list needs no lock. A tail ends by
 * tail_close, or when nobody has been attached to its stream for TAIL_IDLE_US.
 */
#include "stream/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void tail_free_run(struct exec_task *task)
{
    struct tail *t = CONTAINER_OF(task, struct tail, free_task);
    struct stream_engine *e = t->engine;
    rule_fini(&t->rule);
    stream_free(t->stream);
    free(t);
    engine_busy_done(e);
}

/* Attachments that were on their way are queued before the task posted here. */
static void tail_stopped(struct rule *r)
{
    struct tail *t = CONTAINER_OF(r, struct tail, rule);
    (void)exec_post(r->exec, &t->free_task);
}

static void tail_end(struct tail *t)
{
    exec_timer_stop(t->rule.exec, &t->idle);
    list_remove(&t->link);
    t->engine->tail_count--;
    catalogue_transient_remove(t->engine->catalogue, t->stream);
    rule_stop(&t->rule);
}

static void idle_over(struct exec_timer *timer)
{
    struct tail *t = CONTAINER_OF(timer, struct tail, idle);
    if (!outlet_has_flows(&t->rule.out)) {
        tail_end(t);
        return;
    }
    (void)exec_timer_start(t->rule.exec, timer, exec_now_us(t->rule.exec) + TAIL_IDLE_US);
}

static int tail_stream(struct tail *t, const struct plan *plan)
{
    char name[TAIL_ID_BYTES_MAX + 8];
    snprintf(t->id, sizeof t->id, "%llu", (unsigned long long)++t->engine->tail_next);
    snprintf(name, sizeof name, "tail:%s", t->id);
    return stream_new(name, t->engine->catalogue->node, STREAM_RULE, "", plan->output, &t->stream);
}

static int tail_start(struct tail *t, struct plan *plan)
{
    struct rule_options o = {.linger_us = 50000, .unit_wait_us = 10000000};
    int err = tail_stream(t, plan);
    o.name = t->stream ? t->stream->name : "tail";
    if (!err)
        err = rule_init(&t->rule, t->engine, &o, plan, t->engine->options.loops[0]);
    if (err) {
        stream_free(t->stream);
        return err;
    }
    t->rule.on_stopped = tail_stopped;
    rule_output_set(&t->rule, t->stream);
    err = rule_open(&t->rule);
    if (!err)
        err = catalogue_transient_add(t->engine->catalogue, t->stream);
    return err;
}

int tail_open(struct stream_engine *e, const char *sql, struct tail **ret, struct diag *diag)
{
    struct plan *plan = NULL;
    if (e->tail_count == TAILS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "%d statements are watched already: end one first",
                        TAILS_MAX);
    int err = plan_new(sql, e->catalogue, &plan, diag);
    if (err)
        return err;
    struct tail *t = calloc(1, sizeof *t);
    if (!t) {
        plan_free(plan);
        return ERR_NOMEM;
    }
    t->engine = e;
    exec_task_init(&t->free_task, tail_free_run);
    exec_timer_init(&t->idle, idle_over);
    engine_busy_add(e);
    err = tail_start(t, plan);
    if (err && !t->rule.engine) {
        plan_free(plan);
        free(t);
        engine_busy_done(e);
        return err;
    }
    list_push_back(&e->tails, &t->link);
    e->tail_count++;
    if (err) {
        tail_end(t);
        return err;
    }
    rule_go(&t->rule);
    (void)exec_timer_start(t->rule.exec, &t->idle, exec_now_us(t->rule.exec) + TAIL_IDLE_US);
    *ret = t;
    return OK;
}

bool tail_close(struct stream_engine *e, struct bytes id)
{
    LIST_FOR_SAFE (link, after, &e->tails) {
        struct tail *t = CONTAINER_OF(link, struct tail, link);
        if (!bytes_equal(id, bytes_of_text(t->id)))
            continue;
        tail_end(t);
        return true;
    }
    return false;
}

void tails_stop(struct stream_engine *e)
{
    LIST_FOR_SAFE (link, after, &e->tails)
        tail_end(CONTAINER_OF(link, struct tail, link));
}
