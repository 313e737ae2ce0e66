/* Groups as JSON on place/device/group: an implicit rule with one message a row.
 *
 * Nothing is printed while nobody takes the messages. A broker without credit makes the newest rows
 * win: old readings of a gauge are worth less than new ones. So are imported ones: a topic shows
 * the present, and what was taken from it and imported does not go round in circles.
 */
#include "stream/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PUBLISH_FLOW_ITEMS 64

static bool waiting_push(struct publisher *p)
{
    if (!p->waiting)
        return true;
    if (outlet_push(&p->out, p->waiting, (struct position){0, 0}, NULL) != OK)
        return false;
    batch_unref(p->waiting);
    p->waiting = NULL;
    return true;
}

/* Rows of the past (imported ones, or what waited for a disk) are no news. */
static bool is_news(const struct publisher *p, const struct batch *b)
{
    return b->rows && batch_times(b)[b->rows - 1] > exec_wall_us(p->exec) - PUBLISH_AGE_US;
}

static void publisher_turn(struct publisher *p)
{
    const struct message_format format = {.topic = p->topic, .json = {.time_key = "ts"}};
    struct flow_item item;
    for (int n = 0; n < RULE_ITEMS_PER_TURN; n++) {
        if (!waiting_push(p) || !p->flow || !flow_take(p->flow, &item))
            return;
        if (outlet_has_flows(&p->out) && is_news(p, item.batch))
            (void)messages_print(p->message, item.batch, &format, &p->waiting);
        flow_finish(&item, item.at, OK);
    }
    (void)exec_post(p->exec, &p->work);
}

static void work_run(struct exec_task *task)
{
    publisher_turn(CONTAINER_OF(task, struct publisher, work));
}

static void out_credit(struct outlet *o)
{
    publisher_turn(CONTAINER_OF(o, struct publisher, out));
}

static void flow_ready(void *ctx, struct flow *f)
{
    (void)f;
    publisher_turn(ctx);
}

static void flow_closed(void *ctx, struct flow *f)
{
    struct publisher *p = ctx;
    p->flow = NULL;
    flow_unref(f);
    outlet_fini(&p->out);
    engine_busy_done(p->engine);
}

static void stop_run(struct exec_task *task)
{
    struct publisher *p = CONTAINER_OF(task, struct publisher, stop_task);
    if (p->flow)
        flow_close(p->flow);
}

char *group_topic(const struct stream *s, const char *suffix)
{
    char *topic = NULL;
    if (asprintf(&topic, "%s%s%s%s", s->place, s->place[0] ? "/" : "", s->name, suffix) < 0)
        return NULL;
    char *dot = strchr(topic + strlen(s->place), '.');
    if (dot)
        *dot = '/';
    return topic;
}

int publisher_init(struct publisher *p, struct stream_engine *e, struct stream *stream,
                   struct exec *exec)
{
    p->engine = e;
    p->stream = stream;
    p->exec = exec;
    exec_task_init(&p->work, work_run);
    exec_task_init(&p->stop_task, stop_run);
    outlet_init(&p->out, exec, stream, out_credit);
    p->topic = group_topic(stream, "");
    return p->topic ? message_schema_new(&p->message) : ERR_NOMEM;
}

int publisher_open(struct publisher *p)
{
    struct flow_options o = {
        .name = p->stream->name,
        .consumer = p->exec,
        .policy = FLOW_DROP_OLDEST,
        .items_max = PUBLISH_FLOW_ITEMS,
        .ctx = p,
        .on_ready = flow_ready,
        .on_closed = flow_closed,
    };
    if (!p->stream->outlet)
        return OK;
    int err = flow_new(&o, &p->flow);
    if (err)
        return err;
    p->opened = true;
    outlet_attach(p->stream->outlet, p->flow);
    return OK;
}

void publisher_stop(struct publisher *p)
{
    (void)exec_post(p->exec, &p->stop_task);
}

void publisher_fini(struct publisher *p)
{
    batch_unref(p->waiting);
    schema_unref(p->message);
    free(p->topic);
}
