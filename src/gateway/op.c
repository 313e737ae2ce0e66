/* Writes, and reads of one tag now.
 *
 * An operation is made where it is asked for and handed to the device's loop. A write first has its
 * intent recorded by the audit, and only then may its frame go; its result is recorded after. What
 * could not be sent in time is never sent later: the person who asked has gone.
 */
#include "gateway/gateway_priv.h"

#include <stdio.h>
#include <stdlib.h>

int op_new(enum op_kind kind, struct op **ret)
{
    struct op *op = calloc(1, sizeof *op);
    if (!op)
        return ERR_NOMEM;
    op->kind = kind;
    list_init(&op->link);
    list_init(&op->plan);
    if (kind == OP_READ) {
        op->scratch = arena_alloc(&op->arena, LOTLINE_VALUE_BYTES_MAX);
        if (!op->scratch) {
            op_free(op);
            return ERR_NOMEM;
        }
    }
    *ret = op;
    return OK;
}

void op_free(struct op *op)
{
    if (!op)
        return;
    poll_plan_free(&op->plan);
    free(op->tag_path);
    arena_fini(&op->arena);
    free(op);
}

void op_end(struct op *op, int err, const char *text)
{
    const struct gateway_audit *audit = op->device->gateway->audit;
    op->err = err;
    snprintf(op->text, sizeof op->text, "%s", text);
    if (op->kind == OP_WRITE && err && op->sent)
        count_add(&op->device->count.writes_failed, 1);
    if (op->kind == OP_WRITE && audit && op->id)
        audit->result(audit->ctx, op->id, err, op->text);
    op->done(op);
}

static void op_queue(struct op *op)
{
    struct device *d = op->device;
    if (d->stopping) {
        op_end(op, ERR_CANCELLED, "the node is stopping");
    } else if (d->state == DEVICE_OFFLINE || d->state == DEVICE_DISABLED) {
        op_end(op, ERR_OFFLINE, d->error_text);
    } else if (d->op_count >= GATEWAY_OPS_MAX) {
        op_end(op, ERR_AGAIN, "too many writes and reads wait for this device already");
    } else {
        list_push_back(&d->ops, &op->link);
        d->op_count++;
        schedule_deadline(d, op->deadline_us);
        schedule_pump(d);
    }
}

/* The intent is recorded (or it is not): back on the device's loop. */
static void op_recorded(struct exec_task *task)
{
    struct op *op = CONTAINER_OF(task, struct op, task);
    if (op->err)
        op_end(op, op->err, "the audit could not record the write, so it was not sent");
    else
        op_queue(op);
}

static void audit_told(struct gateway_audit_wait *wait, int err)
{
    struct op *op = CONTAINER_OF(wait, struct op, wait);
    op->err = err;
    exec_task_init(&op->task, op_recorded);
    exec_post(op->device->exec, &op->task);
}

static void write_begin(struct op *op)
{
    const struct gateway *g = op->device->gateway;
    if (!g->audit) {
        op_queue(op);
        return;
    }
    struct gateway_intent intent = {
        .id = op->id,
        .origin = op->call ? call_origin_of(op->call) : NULL,
        .tag = op->tag_path,
        .value = op->asked,
        .wall_us = exec_wall_us(op->device->exec),
    };
    op->wait.fn = audit_told;
    int err = g->audit->intent(g->audit->ctx, &intent, &op->wait);
    if (!err)
        return;
    op->id = 0; /* nothing was recorded: no result either */
    op_end(op, err, "the audit could not record the write, so it was not sent");
}

static void op_begin(struct exec_task *task)
{
    struct op *op = CONTAINER_OF(task, struct op, task);
    struct device *d = op->device;
    if (op->kind == OP_WRITE) {
        write_begin(op);
        return;
    }
    int err = poll_plan_make(d, op->address, NULL, 1, &op->plan);
    if (err)
        op_end(op, err, "the address cannot be read");
    else
        op_queue(op);
}

void op_submit(struct op *op)
{
    exec_task_init(&op->task, op_begin);
    exec_post(op->device->exec, &op->task);
}

void op_values(struct op *op, const struct request *r, const uint8_t *data)
{
    op->result = decode_value(&r->steps[0], data, op->scratch);
    op->result_wall_us = op->device->arrival_wall_us;
    op->has_result = true;
}

void op_value(struct op *op, const struct lotline_value *v)
{
    struct value value = decode_lotline(v);
    if (value.type == VALUE_BYTES) {
        if (value.bytes.len > LOTLINE_VALUE_BYTES_MAX)
            return;
        memcpy(op->scratch, value.bytes.ptr, value.bytes.len);
        value.bytes.ptr = op->scratch;
    }
    op->result = value;
    op->result_wall_us = op->device->arrival_wall_us;
    op->has_result = true;
}
