/* Actions: what is done with a rule's rows.
 *
 *   mqtt    rows as JSON into message batches, which the app hands to the broker
 *   write   one gateway.write a row; the gateway confirms and audits
 *   alarm   raised when rows come, cleared by an input without any
 *
 * mqtt and write read the rule's stream, so with a durable rule they see what is in the log,
 * each row once and after its append; historian, trace and http are other stages' (ACTION_STORE),
 * which follow the log. An alarm is about the condition now, so it is decided where the rule
 * evaluates its inputs.
 */
#include "base/log.h"
#include "base/str.h"
#include "stream/engine_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTION_FLOW_ITEMS 256

/* ------------------------------------------------------------------------------------------ calls
 */

struct action_call {
    struct rule_action *action;
    bool is_write;
};

static void call_done(void *ctx, const struct call_result *result)
{
    struct action_call *c = ctx;
    struct rule *r = c->action->rule;
    if (result->err)
        rule_error(r, "%s: %s", c->is_write ? c->action->tag : c->action->name,
                   result->diag && result->diag->text[0] ? result->diag->text
                                                         : err_text(result->err));
    if (c->is_write)
        c->action->writes--;
    if (c->is_write && !atomic_load(&r->stopping))
        (void)exec_post(r->exec, &c->action->work);
    free(c);
    rule_release(r);
}

static int request_text(struct batch_builder *bb, const struct schema *s, const char *name,
                        const char *text)
{
    int32_t at = schema_find(s, bytes_of_text(name));
    if (at < 0 || !text)
        return OK;
    return batch_set_bytes(bb, (uint32_t)at, bytes_of_text(text));
}

/* A request of texts: name, text, name, text, …, NULL. */
static int call_texts(struct rule_action *a, const struct call_port *port, bool is_write,
                      const char *const *pairs)
{
    struct rule *r = a->rule;
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    char user[160];
    if (!port)
        return ERR_NOT_FOUND;
    int err = batch_builder_new(port->request, 1, NULL, &bb);
    if (err)
        return err;
    (void)batch_builder_row(bb, exec_wall_us(r->exec));
    for (; *pairs && !err; pairs += 2)
        err = request_text(bb, port->request, pairs[0], pairs[1]);
    if (!err)
        err = batch_builder_finish(bb, &request);
    batch_builder_free(bb);
    struct action_call *c = err ? NULL : malloc(sizeof *c);
    if (!c) {
        batch_unref(request);
        return err ? err : ERR_NOMEM;
    }
    *c = (struct action_call){a, is_write};
    snprintf(user, sizeof user, "rule %s", r->options.name);
    struct call_options o = {
        .exec = r->exec, .done = call_done, .ctx = c, .origin = {user, "rule", CALL_ENGINEER}};
    rule_hold(r);
    err = call_send(port, request, &o);
    if (err) {
        free(c);
        rule_release(r);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------ alarm
 */

static void alarm_raise_row(struct rule_action *a, const struct batch *b)
{
    static const struct json_print_options options = {.skip_null = true};
    struct buf text = {0};
    if (a->text)
        (void)buf_append_text(&text, a->text);
    else
        (void)json_print_row(b, 0, &options, &text);
    const char *pairs[] = {"name",     a->name,     "source", a->rule->options.name,
                           "severity", a->severity, "text",   buf_text(&text),
                           NULL};
    int err = call_texts(a, a->port, false, pairs);
    if (err)
        rule_error(a->rule, "alarm %s was not raised: %s", a->name, err_text(err));
    a->raised = !err;
    a->settled = a->settled || !err;
    buf_fini(&text);
}

static void alarm_clear_own(struct rule_action *a)
{
    const char *pairs[] = {"name", a->name, "source", a->rule->options.name, NULL};
    int err = call_texts(a, a->clear_port, false, pairs);
    if (err) {
        rule_error(a->rule, "alarm %s was not cleared: %s", a->name, err_text(err));
        return;
    }
    a->raised = false;
    a->settled = true;
}

bool action_alarm_may_be_raised(const struct rule_action *a)
{
    return a->raised || !a->settled;
}

void action_alarm(struct rule_action *a, const struct batch *b)
{
    if (b && !a->raised)
        alarm_raise_row(a, b);
    else if (!b && action_alarm_may_be_raised(a))
        alarm_clear_own(a);
}

/* ------------------------------------------------------------------------------------------ write
 */

static void write_row(struct rule_action *a, const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    struct value v = column_shown(&c, row);
    struct buf text = {0};
    if (v.type == VALUE_NULL)
        return;
    a->writes++;
    int err = json_print_value(&v, NULL, &text);
    const char *pairs[] = {"tag", a->tag, "value", buf_text(&text), NULL};
    if (!err)
        err = call_texts(a, a->port, true, pairs);
    if (err) {
        a->writes--;
        rule_error(a->rule, "%s was not written: %s", a->tag, err_text(err));
    }
    buf_fini(&text);
}

static void write_batch(struct rule_action *a, const struct batch *b)
{
    int32_t col = schema_find(b->schema, bytes_of_text(a->column));
    if (col < 0) {
        rule_error(a->rule, "%s was not written: the rows have no column %s", a->tag, a->column);
        return;
    }
    for (uint32_t row = 0; row < b->rows; row++)
        write_row(a, b, (uint32_t)col, row);
}

/* ------------------------------------------------------------------------------------------- mqtt
 */

static void message_batch(struct rule_action *a, const struct batch *b)
{
    const struct message_format format = {.topic = a->topic,
                                          .qos = a->qos,
                                          .retain = a->retain,
                                          .array = a->array,
                                          .json = {.skip_null = true}};
    struct batch *messages = NULL;
    if (!outlet_has_flows(&a->out))
        return;
    int err = messages_print(a->message, b, &format, &messages);
    if (err) {
        rule_error(a->rule, "%u rows were not published: %s", b->rows, err_text(err));
        return;
    }
    if (outlet_push(&a->out, messages, (struct position){0, 0}, NULL) != OK) {
        a->waiting = messages;
        return;
    }
    batch_unref(messages);
}

static bool waiting_push(struct rule_action *a)
{
    if (!a->waiting)
        return true;
    if (outlet_push(&a->out, a->waiting, (struct position){0, 0}, NULL) != OK)
        return false;
    batch_unref(a->waiting);
    a->waiting = NULL;
    return true;
}

/* ------------------------------------------------------------------------------------------- flow
 */

static void action_turn(struct rule_action *a)
{
    struct flow_item item;
    while (a->flow && waiting_push(a) && a->writes < RULE_WRITES_MAX && flow_take(a->flow, &item)) {
        if (a->kind == ACTION_MQTT)
            message_batch(a, item.batch);
        else
            write_batch(a, item.batch);
        flow_finish(&item, item.at, OK);
    }
}

static void work_run(struct exec_task *task)
{
    action_turn(CONTAINER_OF(task, struct rule_action, work));
}

static void out_credit(struct outlet *o)
{
    action_turn(CONTAINER_OF(o, struct rule_action, out));
}

static void flow_ready(void *ctx, struct flow *f)
{
    (void)f;
    action_turn(ctx);
}

static void flow_closed(void *ctx, struct flow *f)
{
    struct rule_action *a = ctx;
    a->flow = NULL;
    flow_unref(f);
    rule_release(a->rule);
}

void action_init(struct rule_action *a, struct rule *r)
{
    a->rule = r;
    exec_task_init(&a->work, work_run);
    if (a->kind == ACTION_MQTT)
        outlet_init(&a->out, r->exec, r->output, out_credit);
}

static int ports_find(struct rule_action *a)
{
    const struct catalogue *c = a->rule->engine->catalogue;
    if (a->kind == ACTION_WRITE)
        a->port = catalogue_call_find(c, "gateway.write");
    if (a->kind == ACTION_ALARM) {
        a->port = catalogue_call_find(c, "alarm.raise");
        a->clear_port = catalogue_call_find(c, "alarm.clear");
        a->settled = !a->clear_port;
    }
    if ((a->kind == ACTION_WRITE || a->kind == ACTION_ALARM) && !a->port)
        log_warn("stream", "rule %s: there is no %s on this node, so that action does nothing",
                 a->rule->options.name, a->kind == ACTION_WRITE ? "gateway" : "alarm module");
    return OK;
}

int action_open(struct rule_action *a)
{
    struct rule *r = a->rule;
    int err = ports_find(a);
    if (err || a->kind == ACTION_ALARM || a->kind == ACTION_STORE)
        return err;
    struct flow_options o = {
        .name = r->options.name,
        .consumer = r->exec,
        .policy = rule_is_durable(r) ? FLOW_BLOCK : FLOW_DROP_OLDEST,
        .items_max = ACTION_FLOW_ITEMS,
        .ctx = a,
        .on_ready = flow_ready,
        .on_closed = flow_closed,
    };
    if (a->kind == ACTION_MQTT)
        err = message_schema_new(&a->message);
    if (!err)
        err = flow_new(&o, &a->flow);
    if (err)
        return err;
    rule_hold(r);
    outlet_attach(r->output->outlet, a->flow);
    return OK;
}

void action_close(struct rule_action *a)
{
    if (a->flow)
        flow_close(a->flow);
}

void action_fini(struct rule_action *a)
{
    batch_unref(a->waiting);
    schema_unref(a->message);
}
