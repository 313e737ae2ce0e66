/* The audit: intents that are durable before something is changed, and what came of it. See
 * alarm.h. */
#include "alarm/alarm_priv.h"

static void wait_run(struct exec_task *task)
{
    struct audit_wait *wait = CONTAINER_OF(task, struct audit_wait, task);
    wait->fn(wait, wait->id, wait->err);
}

static void wait_tell(struct audit_wait *wait, uint64_t id, int err)
{
    wait->id = id;
    wait->err = err;
    exec_task_init(&wait->task, wait_run);
    (void)exec_post(wait->exec, &wait->task);
}

static void intent_done(struct operation *op, int err)
{
    wait_tell(op->owner, op->event.id, err);
}

void audit_intent(struct alarm_stage *a, const struct audit_intent *intent, struct audit_wait *wait)
{
    struct event e = {
        .kind = EVENT_INTENT,
        .name = bytes_of_text(intent->action),
        .source = bytes_of_text(intent->target),
        .text = bytes_of_text(intent->value),
        .user = bytes_of_text(intent->user),
        .channel = bytes_of_text(intent->channel),
    };
    int err = operation_submit(a, &e, intent_done, wait);
    if (err)
        wait_tell(wait, 0, err);
}

void audit_result(struct alarm_stage *a, uint64_t id, int err, const char *text)
{
    struct event e = {
        .kind = EVENT_RESULT,
        .id = id,
        .err = err,
        .text = bytes_of_text(text ? text : ""),
    };
    (void)operation_submit(a, &e, NULL, NULL);
}
