/* Calls. See call.h.
 *
 * A call is shared by the caller's timer and the handler, on two execs. Who sets `ended` first
 * tells the caller; the other one only lets go. The timer runs on the caller's exec, where done
 * must run anyway.
 */
#include "model/call.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CALL_TIMEOUT_MS_DEFAULT 10000
#define CALL_FIELDS_MAX         64
#define CALL_GONE_LOOK_US       250000 /* how often it is asked whether anybody still waits */

struct call {
    atomic_uint refs;
    const struct call_port *port;
    struct batch *request;
    struct call_options options;
    char *user;
    char *channel;
    int64_t deadline_us;
    atomic_bool ended;
    bool timed_out;
    int err;
    struct diag diag;
    struct batch *answer;
    struct exec_task start_task; /* on the caller: arms the timer */
    struct exec_task serve_task; /* on the owner */
    struct exec_task done_task;  /* on the caller */
    struct exec_timer timer;     /* on the caller */
};

static void call_unref(struct call *c)
{
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    batch_unref(c->request);
    batch_unref(c->answer);
    free(c->user);
    free(c->channel);
    free(c);
}

static void call_tell(struct call *c, int err)
{
    struct call_result result = {err, &c->diag, err ? NULL : c->answer};
    c->options.done(c->options.ctx, &result);
}

/* References: one for the caller's side (start → done or time-out), one for the handler's. */

/* Without memory for a timer the call simply has no deadline. */
static void call_timer_arm(struct call *c)
{
    int64_t look_us = exec_now_us(c->options.exec) + CALL_GONE_LOOK_US;
    bool sooner = c->options.gone && look_us < c->deadline_us;
    (void)exec_timer_start(c->options.exec, &c->timer, sooner ? look_us : c->deadline_us);
}

static void call_start_run(struct exec_task *task)
{
    struct call *c = CONTAINER_OF(task, struct call, start_task);
    if (!atomic_load_explicit(&c->ended, memory_order_acquire))
        call_timer_arm(c);
    call_unref(c);
}

/* The caller's side ends it: too late, or nobody waits. Done runs here, so ctx is there still. */
static void call_timer_run(struct exec_timer *timer)
{
    struct call *c = CONTAINER_OF(timer, struct call, timer);
    bool late = exec_now_us(c->options.exec) >= c->deadline_us;
    if (atomic_load_explicit(&c->ended, memory_order_acquire))
        return; /* the answer is on its way */
    if (!late && !(c->options.gone && c->options.gone(c->options.ctx))) {
        call_timer_arm(c);
        return;
    }
    if (atomic_exchange_explicit(&c->ended, true, memory_order_acq_rel))
        return;
    struct diag why = {0};
    (void)snprintf(why.text, sizeof why.text,
                   late ? "%s gave no answer within the time allowed"
                        : "nobody waits for the answer of %s any more",
                   c->port->spec->name);
    struct call_result result = {late ? ERR_TIMEOUT : ERR_CANCELLED, &why, NULL};
    c->options.done(c->options.ctx, &result);
    call_unref(c);
}

static void call_done_run(struct exec_task *task)
{
    struct call *c = CONTAINER_OF(task, struct call, done_task);
    exec_timer_stop(c->options.exec, &c->timer);
    call_tell(c, c->err);
    call_unref(c);
}

static void call_serve_run(struct exec_task *task)
{
    struct call *c = CONTAINER_OF(task, struct call, serve_task);
    c->port->fn(c->port->owner, c);
}

static struct call *call_new(const struct call_port *port, struct batch *request,
                             const struct call_options *options)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->port = port;
    c->options = *options;
    c->user = strdup(options->origin.user ? options->origin.user : "");
    c->channel = strdup(options->origin.channel ? options->origin.channel : "");
    if (!c->user || !c->channel) {
        free(c->user);
        free(c->channel);
        free(c);
        return NULL;
    }
    c->options.origin.user = c->user;
    c->options.origin.channel = c->channel;
    c->request = request;
    int64_t timeout_ms = options->timeout_ms ? options->timeout_ms : CALL_TIMEOUT_MS_DEFAULT;
    c->deadline_us = exec_now_us(options->exec) + timeout_ms * 1000;
    atomic_init(&c->refs, 3);
    atomic_init(&c->ended, false);
    exec_task_init(&c->start_task, call_start_run);
    exec_task_init(&c->serve_task, call_serve_run);
    exec_task_init(&c->done_task, call_done_run);
    exec_timer_init(&c->timer, call_timer_run);
    return c;
}

int call_send(const struct call_port *port, struct batch *request,
              const struct call_options *options)
{
    int err = OK;
    if (options->origin.role < port->spec->role)
        err = ERR_DENIED;
    else if (port->request && (!request || request->schema->hash != port->request->hash))
        err = ERR_TYPE;
    struct call *c = err ? NULL : call_new(port, request, options);
    if (!c) {
        batch_unref(request);
        return err ? err : ERR_NOMEM;
    }
    (void)exec_post(options->exec, &c->start_task);
    (void)exec_post(port->exec, &c->serve_task);
    return OK;
}

const struct call_spec *call_spec_of(const struct call *c)
{
    return c->port->spec;
}

const struct batch *call_request(const struct call *c)
{
    return c->request;
}

const struct call_origin *call_origin_of(const struct call *c)
{
    return &c->options.origin;
}

int64_t call_deadline_us(const struct call *c)
{
    return c->deadline_us;
}

bool call_is_cancelled(const struct call *c)
{
    return atomic_load_explicit(&c->ended, memory_order_acquire);
}

int call_answer_builder(const struct call *c, uint32_t rows_max, struct batch_builder **ret)
{
    assert(c->port->answer);
    return batch_builder_new(c->port->answer, rows_max ? rows_max : 1, NULL, ret);
}

/* The handler's last act. */
static void call_end(struct call *c)
{
    if (!atomic_exchange_explicit(&c->ended, true, memory_order_acq_rel))
        (void)exec_post(c->options.exec, &c->done_task);
    call_unref(c);
}

void call_answer(struct call *c, struct batch *answer)
{
    c->err = OK;
    c->answer = answer;
    call_end(c);
}

void call_answer_rows(struct call *c, struct batch_builder *bb)
{
    struct batch *answer = NULL;
    int err = batch_builder_rows(bb) ? batch_builder_finish(bb, &answer) : OK;
    batch_builder_free(bb);
    if (err)
        call_fail(c, err, "the answer of %s could not be made: %s", c->port->spec->name,
                  err_text(err));
    else
        call_answer(c, answer);
}

void call_fail(struct call *c, int err, const char *format, ...)
{
    assert(err < 0);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(c->diag.text, sizeof c->diag.text, format, args);
    va_end(args);
    c->err = err;
    call_end(c);
}

static int call_schema(const struct call_field *fields, struct schema **ret)
{
    struct field out[CALL_FIELDS_MAX];
    uint32_t count = 0;
    if (!fields) {
        *ret = NULL;
        return OK;
    }
    for (const struct call_field *f = fields; f->name; f++) {
        assert(count < CALL_FIELDS_MAX);
        out[count++] =
            (struct field){.name = f->name, .scale = 1, .type = f->type, .flags = f->flags};
    }
    return schema_new(out, count, ret);
}

int call_port_init(struct call_port *port, const struct call_spec *spec, struct exec *exec,
                   call_fn fn, void *owner)
{
    struct schema *request = NULL;
    struct schema *answer = NULL;
    int err = call_schema(spec->request, &request);
    if (!err)
        err = call_schema(spec->answer, &answer);
    if (err) {
        schema_unref(request);
        return err;
    }
    *port = (struct call_port){spec, request, answer, exec, fn, owner};
    return OK;
}

void call_port_fini(struct call_port *port)
{
    schema_unref(port->request);
    schema_unref(port->answer);
    *port = (struct call_port){0};
}

struct value call_arg(const struct call *c, const char *name)
{
    struct value none = {.type = VALUE_NULL};
    if (!c->request || c->request->rows == 0)
        return none;
    int32_t col = schema_find(c->request->schema, bytes_of_text(name));
    if (col < 0)
        return none;
    struct column column = batch_column(c->request, (uint32_t)col);
    return column_value(&column, 0);
}
