/* Which request goes next, and what ends a request that is not answered.
 *
 * At most in_flight_max requests of a device are out. Writes and single reads go before anything
 * that is polled and wait only for what is on its way; groups take turns request by request, so a
 * group of ten thousand tags does not hold up one of three.
 *
 * One connection may lead to several peers (Modbus units behind a gateway). A peer that let two
 * requests in a row go unanswered is asked only now and then, by one request at a time, because
 * each question to it costs everybody a whole time-out; its tags get quality `timeout` meanwhile.
 * When nobody answers at all, the connection itself is given up.
 */
#include "gateway/gateway_priv.h"

#include <stdio.h>

static void deadline_fired(struct exec_timer *timer);

void schedule_timer_init(struct device *d)
{
    exec_timer_init(&d->timeout_timer, deadline_fired);
}

void schedule_deadline(struct device *d, int64_t deadline_us)
{
    if (exec_timer_active(&d->timeout_timer) && d->timeout_timer.at_us <= deadline_us)
        return;
    (void)exec_timer_start(d->exec, &d->timeout_timer, deadline_us);
}

/* ------------------------------------------------------------------------------------------ slots
 */

static int slot_find_free(const struct device *d)
{
    for (uint32_t i = 0; i < d->in_flight_max; i++)
        if (slot_is_free(&d->slots[i]))
            return (int)i;
    return -1;
}

static struct slot *slot_take(struct device *d, uint32_t slot)
{
    struct slot *s = &d->slots[slot];
    s->sent_us = exec_now_us(d->exec);
    s->deadline_us = s->sent_us + d->timeout_us;
    d->in_flight++;
    count_add(&d->count.requests, 1);
    schedule_deadline(d, s->deadline_us);
    return s;
}

static struct slot slot_release(struct device *d, uint32_t slot)
{
    struct slot was = d->slots[slot];
    d->slots[slot] = (struct slot){0};
    d->in_flight--;
    if (was.op && was.op->kind == OP_WRITE)
        d->writing = false;
    if (was.group)
        was.group->outstanding--;
    return was;
}

void schedule_extend(struct device *d, uint32_t slot)
{
    d->slots[slot].deadline_us = exec_now_us(d->exec) + d->timeout_us;
}

/* ---------------------------------------------------------------------------------------- sending
 */

static void op_send(struct device *d, struct op *op, uint32_t slot)
{
    struct slot *s = slot_take(d, slot);
    s->op = op;
    op->sent = true;
    if (op->kind == OP_WRITE) {
        d->writing = true;
        count_add(&d->count.writes, 1);
        d->driver->write(d->session, slot, op->address, &op->value);
        return;
    }
    s->request = CONTAINER_OF(op->plan.next, struct request, link);
    s->peer = s->request->peer;
    d->driver->read(d->session, slot, s->request->driver);
}

/* The first operation that may go: one write at a time. */
static struct op *op_take(struct device *d)
{
    LIST_FOR (at, &d->ops) {
        struct op *op = CONTAINER_OF(at, struct op, link);
        if (op->kind == OP_WRITE && d->writing)
            continue;
        list_remove(&op->link);
        d->op_count--;
        return op;
    }
    return NULL;
}

/* True if the peer may be asked now. */
static bool peer_may(struct device *d, struct peer *p)
{
    if (p->silent < GATEWAY_PEER_SILENT_MAX)
        return true;
    if (p->probing || exec_now_us(d->exec) < p->retry_at_us)
        return false;
    p->probing = true;
    return true;
}

/* The next request of the groups in turn; those of silent peers are failed on the way. */
static struct request *turn_take(struct device *d, struct group **ret_group)
{
    while (!list_empty(&d->turns)) {
        struct group *g = CONTAINER_OF(d->turns.next, struct group, turn);
        struct request *r = group_next_request(g);
        list_remove(&g->turn);
        if (!r) {
            group_cycle_check(g);
            continue;
        }
        list_push_back(&d->turns, &g->turn);
        if (peer_may(d, r->peer)) {
            *ret_group = g;
            return r;
        }
        group_fail(g, r, QUALITY_TIMEOUT);
    }
    return NULL;
}

static bool cycle_send(struct device *d, uint32_t slot)
{
    struct group *g = NULL;
    struct request *r = turn_take(d, &g);
    if (!r)
        return false;
    struct slot *s = slot_take(d, slot);
    s->request = r;
    s->group = g;
    s->peer = r->peer;
    g->outstanding++;
    d->driver->read(d->session, slot, r->driver);
    return true;
}

void schedule_pump(struct device *d)
{
    while (d->ready && !d->faulted) {
        int slot = slot_find_free(d);
        if (slot < 0)
            return;
        struct op *op = op_take(d);
        if (op)
            op_send(d, op, (uint32_t)slot);
        else if (!cycle_send(d, (uint32_t)slot))
            return;
    }
}

/* ----------------------------------------------------------------------------------------- ending
 */

static void rtt_add(struct device *d, int64_t us)
{
    d->rtt_us = d->rtt_us ? d->rtt_us + (us - d->rtt_us) / 8 : us;
}

static void op_finish(struct op *op, enum lotline_result result, const char *text)
{
    if (result == LOTLINE_BAD_VALUE)
        op_end(op, ERR_RANGE, text);
    else if (result != LOTLINE_DONE)
        op_end(op, ERR_DEVICE, text);
    else if (op->kind == OP_READ && !op->has_result)
        op_end(op, ERR_PROTOCOL, "the answer held no value");
    else
        op_end(op, OK, op->kind == OP_WRITE ? "confirmed by the device" : "");
}

static void read_refused(struct device *d, struct group *g, struct request *r,
                         enum lotline_result result, const char *text)
{
    count_add(&d->count.refused, 1);
    if (result == LOTLINE_REFUSED_RANGE && plan_split(d, g->addresses, r, &g->redo) == OK) {
        list_remove(&g->turn);
        list_push_front(&d->turns, &g->turn);
        return;
    }
    device_error(d, "exception", "%s.%s: the device refused to give %s: %s", d->name, g->name,
                 g->tags[r->steps[0].tag].address_text, text);
    group_fail(g, r, QUALITY_REFUSED);
}

void schedule_finish(struct device *d, uint32_t slot, enum lotline_result result, const char *text)
{
    struct slot s = slot_release(d, slot);
    rtt_add(d, exec_now_us(d->exec) - s.sent_us);
    if (s.op) {
        if (result != LOTLINE_DONE)
            count_add(&d->count.refused, 1);
        op_finish(s.op, result, text);
        return;
    }
    if (result != LOTLINE_DONE)
        read_refused(d, s.group, s.request, result, text);
    group_cycle_check(s.group);
}

/* --------------------------------------------------------------------------------------- deadlines
 */

static void peer_silent(struct device *d, struct peer *p)
{
    p->silent++;
    p->probing = false;
    p->retry_at_us = exec_now_us(d->exec) + p->retry_us;
    if (p->silent > GATEWAY_PEER_SILENT_MAX)
        p->retry_us =
            p->retry_us * 2 > GATEWAY_RETRY_US_MAX ? GATEWAY_RETRY_US_MAX : p->retry_us * 2;
}

static void slot_time_out(struct device *d, uint32_t slot)
{
    d->driver->cancel(d->session, slot);
    struct slot s = slot_release(d, slot);
    count_add(&d->count.timeouts, 1);
    d->silent++;
    if (s.peer)
        peer_silent(d, s.peer);
    if (s.op) {
        op_end(s.op, ERR_TIMEOUT,
               s.op->kind == OP_WRITE
                   ? "no answer in time: it is not known whether the device took the value"
                   : "the device did not answer in time");
        return;
    }
    group_fail(s.group, s.request, QUALITY_TIMEOUT);
    group_cycle_check(s.group);
}

/* Ends what is due among the slots; returns the next deadline. */
static int64_t slots_check(struct device *d, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (uint32_t i = 0; i < d->in_flight_max; i++) {
        const struct slot *s = &d->slots[i];
        if (slot_is_free(s))
            continue;
        if (s->deadline_us <= now_us)
            slot_time_out(d, i);
        else if (s->deadline_us < next_us)
            next_us = s->deadline_us;
    }
    return next_us;
}

static int64_t ops_check(struct device *d, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    LIST_FOR_SAFE (at, after, &d->ops) {
        struct op *op = CONTAINER_OF(at, struct op, link);
        if (op->deadline_us > now_us) {
            next_us = op->deadline_us < next_us ? op->deadline_us : next_us;
            continue;
        }
        list_remove(&op->link);
        d->op_count--;
        op_end(
            op, ERR_TIMEOUT,
            d->state == DEVICE_ONLINE
                ? "the device was not ready in time; nothing was sent"
                : "no connection came about in time, nothing was sent; is the device switched on, "
                  "and are its address and the network between right?");
    }
    return next_us;
}

/* Nobody behind the link answers any more. One peer that does keeps it, however many requests to
 * the others ran out of time at once. */
static bool link_is_dead(const struct device *d)
{
    if (d->silent < GATEWAY_PEER_SILENT_MAX || d->silent >= GATEWAY_SILENT_MAX)
        return d->silent >= GATEWAY_SILENT_MAX;
    LIST_FOR (at, &d->peers)
        if (CONTAINER_OF(at, struct peer, link)->silent == 0)
            return false;
    return true;
}

static void deadline_fired(struct exec_timer *timer)
{
    struct device *d = CONTAINER_OF(timer, struct device, timeout_timer);
    int64_t now_us = exec_now_us(d->exec);
    uint32_t silent_before = d->silent;
    int64_t slots_us = slots_check(d, now_us);
    int64_t ops_us = ops_check(d, now_us);
    int64_t next_us = slots_us < ops_us ? slots_us : ops_us;
    if (next_us != INT64_MAX)
        schedule_deadline(d, next_us);
    if (d->silent > silent_before && d->rest.len > 0) {
        count_add(&d->count.faults, 1);
        device_error(d, "half a frame", "%zu bytes of an answer came and the rest did not",
                     d->rest.len);
        d->faulted = true;
        device_drop(d);
    } else if (d->silent > silent_before && link_is_dead(d)) {
        device_error(d, "silent", "%u requests in a row were not answered within %lld ms",
                     d->silent, (long long)(d->timeout_us / 1000));
        device_drop(d);
    } else if (d->silent > silent_before && d->state != DEVICE_OFFLINE) {
        device_error(d, "timeout", "a request was not answered within %lld ms",
                     (long long)(d->timeout_us / 1000));
    }
    schedule_pump(d);
}

void schedule_abort(struct device *d, enum quality quality, int err, const char *text)
{
    for (uint32_t i = 0; i < LOTLINE_IN_FLIGHT_MAX; i++) {
        if (slot_is_free(&d->slots[i]))
            continue;
        struct slot s = slot_release(d, i);
        if (s.peer)
            s.peer->probing = false;
        if (s.group)
            group_fail(s.group, s.request, quality);
        else if (s.op->kind == OP_WRITE)
            op_end(s.op, err,
                   "the connection was lost: it is not known whether the device took the value");
        else
            op_end(s.op, err, text);
    }
    for (uint32_t i = 0; i < d->group_count; i++)
        group_cycle_abort(&d->groups[i], quality);
    for (struct list *at = list_pop_front(&d->ops); at; at = list_pop_front(&d->ops)) {
        d->op_count--;
        op_end(CONTAINER_OF(at, struct op, link), err, text);
    }
    exec_timer_stop(d->exec, &d->timeout_timer);
}
