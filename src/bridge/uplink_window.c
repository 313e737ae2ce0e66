/* The sender's window: records out, acknowledgements back, the cursor behind them. See uplink.h.
 *
 * Slots are used in a ring, in the log's order. An acknowledgement marks its slot; the cursor moves
 * over the marked ones at the front. Anything else that comes back (a lost link, a refusal) breaks
 * the window: nothing more is sent until every slot is back, then the log is read again from the
 * cursor. So the hub sees every stream in order, with repeats, never with a gap.
 */
#include "base/log.h"
#include "bridge/uplink_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_US          1000000
#define REFUSED_TIMES_MAX 5

static bool link_is_up(const struct uplink *u)
{
    return atomic_load_explicit(&u->link_up, memory_order_acquire);
}

static void retry_later(struct uplink *u)
{
    (void)exec_timer_start(u->worker, &u->retry, exec_now_us(u->worker) + RETRY_US);
}

/* --------------------------------------------------------------------------------- loop and back
 */

static void slot_returned(struct mqtt_send *send, int err, uint8_t reason)
{
    struct slot *s = CONTAINER_OF(send, struct slot, send);
    s->err = err;
    s->reason = reason;
    (void)exec_post(s->uplink->worker, &s->to_worker);
}

/* On the loop. */
static void slot_publish(struct exec_task *task)
{
    struct slot *s = CONTAINER_OF(task, struct slot, to_loop);
    struct uplink *u = s->uplink;
    struct mqtt_publish message = {
        .qos = 1,
        .topic = bytes_of_text(s->is_schema ? u->schema_topic : u->data_topic),
        .payload = payload_bytes(s->payload),
    };
    s->send.fn = slot_returned;
    /* Meant for a connection that was lost, with others that were lost with it: on the present one
     * it would come before them, and they would then be taken for repeats. */
    if (s->link != atomic_load_explicit(&u->link_count, memory_order_relaxed)) {
        slot_returned(&s->send, ERR_CLOSED, 0);
        return;
    }
    int err = mqtt_client_publish(u->client, &message, s->payload, &s->send);
    if (err)
        slot_returned(&s->send, err, 0);
}

static void note_refusal(struct uplink *u, const struct slot *s)
{
    bool too_large = s->err == ERR_LIMIT && s->reason != MQTT_QUOTA_EXCEEDED;
    atomic_fetch_add_explicit(&u->refused, 1, memory_order_relaxed);
    if (too_large) {
        (void)snprintf(u->last_error, sizeof u->last_error,
                       "a record of %zu bytes is larger than the hub takes: raise its "
                       "broker.packet_bytes_max",
                       s->payload->len);
    } else {
        (void)snprintf(u->last_error, sizeof u->last_error,
                       "the hub refused a record of %zu bytes: %s", s->payload->len,
                       s->reason == MQTT_QUOTA_EXCEEDED ? "it has no room now" : err_text(s->err));
    }
    if (position_compare(s->at, u->refused_at) != 0)
        u->refused_times = 0;
    u->refused_at = s->at;
    u->refused_reason = s->reason;
    if (++u->refused_times == 1)
        log_warn("uplink", "%s", u->last_error);
}

/* A slot came back without success. */
static void note_failure(struct uplink *u, const struct slot *s)
{
    bool first = !u->broken;
    u->broken = true;
    if (s->err == ERR_CLOSED || s->err == ERR_CANCELLED) {
        atomic_fetch_add_explicit(&u->lost, 1, memory_order_relaxed);
        return;
    }
    /* What follows a refused one is refused for that alone; and a hub that does not know a schema
     * has it when the window is mended. */
    if (first && s->err != ERR_NOT_FOUND)
        note_refusal(u, s);
}

static void slots_advance(struct uplink *u)
{
    struct position done = {0, 0};
    while (u->count > 0 && u->slots[u->first].back) {
        struct slot *s = &u->slots[u->first];
        if (s->err)
            note_failure(u, s);
        if (!u->broken && !s->is_schema) {
            done = s->at;
            if (position_compare(done, u->refused_at) >= 0)
                u->refused_times = 0;
            atomic_fetch_add_explicit(&u->acknowledged, 1, memory_order_relaxed);
        }
        u->bytes_out -= s->payload->len;
        payload_unref(s->payload);
        s->payload = NULL;
        u->first = (u->first + 1) % u->slot_count;
        u->count--;
    }
    if (!position_is_none(done))
        u->log.done(u->log.ctx, done);
}

static void slot_back(struct exec_task *task)
{
    struct slot *s = CONTAINER_OF(task, struct slot, to_worker);
    s->back = true;
    slots_advance(s->uplink);
    uplink_work(s->uplink);
}

/* --------------------------------------------------------------------------------------- sending
 */

static void slot_send(struct uplink *u, struct payload *payload, struct position at, bool is_schema)
{
    struct slot *s = &u->slots[(u->first + u->count) % u->slot_count];
    u->count++;
    s->payload = payload;
    s->at = at;
    s->link = u->link;
    s->is_schema = is_schema;
    s->back = false;
    s->err = OK;
    u->bytes_out += payload->len;
    atomic_fetch_add_explicit(&u->bytes, payload->len, memory_order_relaxed);
    (void)exec_post(u->options.loop, &s->to_loop);
}

static int send_schema(struct uplink *u, uint64_t hash)
{
    struct buf text = {0};
    int err = u->log.schema(u->log.ctx, hash, &text);
    struct payload *payload = err ? NULL : payload_copy(buf_bytes(&text));
    buf_fini(&text);
    if (!payload)
        return err ? err : ERR_NOMEM;
    err = map_put(&u->schemas, bytes_of(&hash, sizeof hash), u, NULL);
    slot_send(u, payload, (struct position){0, 0}, true);
    return err;
}

static int send_record(struct uplink *u)
{
    const struct uplink_record *r = &u->record;
    struct payload *payload = payload_new(r->head.len + r->body.len);
    if (!payload)
        return ERR_NOMEM;
    memcpy(payload->data, r->head.ptr, r->head.len);
    memcpy(payload->data + r->head.len, r->body.ptr, r->body.len);
    slot_send(u, payload, r->at, false);
    atomic_fetch_add_explicit(&u->sent, 1, memory_order_relaxed);
    u->have_record = false;
    return OK;
}

/* A record that is not to be sent: the cursor passes over it when all before it is acknowledged. */
static void pass_over(struct uplink *u)
{
    u->have_record = false;
    for (uint32_t i = u->count; i > 0; i--) {
        struct slot *s = &u->slots[(u->first + i - 1) % u->slot_count];
        if (s->is_schema)
            continue;
        s->at = u->record.at;
        return;
    }
    u->log.done(u->log.ctx, u->record.at);
}

/* The hub said again and again that this is no record. Any other refusal may pass (a full or broken
 * disk, a schema on its way, a limit that somebody raises): giving up then would lose what was
 * acknowledged here, so it is tried for ever, and the log keeps it. */
static bool is_hopeless(const struct uplink *u)
{
    return u->refused_times >= REFUSED_TIMES_MAX &&
           u->refused_reason == MQTT_PAYLOAD_FORMAT_INVALID;
}

static bool given_up(struct uplink *u)
{
    if (!is_hopeless(u) || position_compare(u->record.at, u->refused_at) != 0)
        return false;
    log_error("uplink", "a record of stream %.*s is given up: %s", (int)u->record.stream.len,
              (const char *)u->record.stream.ptr, u->last_error);
    atomic_fetch_add_explicit(&u->skipped, 1, memory_order_relaxed);
    u->refused_times = 0;
    return true;
}

/* The next record to send into u->record; ERR_AGAIN when there is none. */
static int read_record(struct uplink *u)
{
    while (!u->have_record) {
        int err = u->log.next(u->log.ctx, &u->record);
        if (err == ERR_EXPIRED || err == ERR_CHECKSUM || err == ERR_MALFORMED) {
            atomic_fetch_add_explicit(&u->expired, 1, memory_order_relaxed);
            log_error("uplink", "records up to %llu are lost before they were sent: %s",
                      (unsigned long long)u->record.at.seq, err_text(err));
            continue;
        }
        if (err)
            return err;
        u->have_record = true;
        if (!uplink_wants(u, u->record.stream) || given_up(u))
            pass_over(u);
    }
    return OK;
}

/* One step; ERR_AGAIN when there is nothing to send, ERR_LIMIT when the window is full. */
static int send_next(struct uplink *u)
{
    if (u->count == u->slot_count || u->bytes_out >= u->section.bytes_in_flight_max)
        return ERR_LIMIT;
    int err = read_record(u);
    if (err)
        return err;
    uint64_t hash = u->record.schema_hash;
    if (!map_find(&u->schemas, bytes_of(&hash, sizeof hash)))
        return send_schema(u, hash);
    return send_record(u);
}

/* After a break: the log from the cursor again, once nothing is out any more. */
static int window_mend(struct uplink *u)
{
    if (u->broken) {
        if (u->count > 0)
            return ERR_AGAIN;
        bool refused = u->refused_times > 0 && !is_hopeless(u);
        u->broken = false;
        u->rewound = false;
        map_fini(&u->schemas); /* one of them may have been among what was lost */
        if (refused) {
            retry_later(u);
            return ERR_AGAIN;
        }
    }
    if (u->rewound || exec_timer_active(&u->retry))
        return u->rewound ? OK : ERR_AGAIN;
    u->have_record = false;
    int err = u->log.rewind(u->log.ctx);
    if (err) {
        retry_later(u);
        return err;
    }
    u->rewound = true;
    return OK;
}

static void link_follow(struct uplink *u)
{
    bool up = link_is_up(u);
    uint32_t link = atomic_load_explicit(&u->link_count, memory_order_relaxed);
    if (up == u->up && link == u->link)
        return;
    u->up = up;
    u->link = link;
    map_fini(&u->schemas);
    u->rewound = false;
    if (u->count > 0)
        u->broken = true;
}

void uplink_work(struct uplink *u)
{
    link_follow(u);
    if (u->stopping || !u->up || window_mend(u))
        return;
    int err = OK;
    while (!err)
        err = send_next(u);
    if (err != ERR_AGAIN && err != ERR_LIMIT) {
        (void)snprintf(u->last_error, sizeof u->last_error, "reading the log: %s", err_text(err));
        retry_later(u);
    }
}

/* ----------------------------------------------------------------------------------------- slots
 */

int uplink_slots_new(struct uplink *u)
{
    u->slot_count = (uint32_t)u->section.in_flight_max;
    u->slots = calloc(u->slot_count, sizeof *u->slots);
    if (!u->slots)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < u->slot_count; i++) {
        u->slots[i].uplink = u;
        exec_task_init(&u->slots[i].to_loop, slot_publish);
        exec_task_init(&u->slots[i].to_worker, slot_back);
    }
    return OK;
}

void uplink_slots_free(struct uplink *u)
{
    for (uint32_t i = 0; u->slots && i < u->slot_count; i++)
        payload_unref(u->slots[i].payload);
    free(u->slots);
    u->slots = NULL;
}
