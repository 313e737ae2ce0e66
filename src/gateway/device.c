/* A device's life: its link, what goes wrong with it, and coming back.
 *
 * One state machine a device, on one loop. What is wrong with one device costs that device alone:
 * it is named, its link is closed, and it is tried again after a time that doubles from a quarter
 * of a second to fifteen seconds, with jitter so that a whole line that lost power does not come
 * back in step. The time starts over only when the device has answered something: one that accepts
 * connections and then says nothing is not asked ever faster.
 *
 * The functions that a driver calls (struct lotline_host) are here; a fault only marks the device,
 * and the link is closed when the driver has returned, so that no driver is torn down from inside
 * itself.
 */
#include "base/log.h"
#include "gateway/gateway_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ADDRESS_ALIGN 16u

static struct device *device_of(struct lotline_host *host)
{
    return CONTAINER_OF(host, struct device, host);
}

const char *device_state_name(enum device_state state)
{
    static const char *const names[] = {"connecting", "online", "offline", "disabled"};
    return names[state];
}

static void device_state_set(struct device *d, enum device_state state)
{
    d->state = state;
    atomic_store_explicit(&d->count.state, (int)state, memory_order_relaxed);
}

void *device_address(const struct device *d, const uint8_t *addresses, uint32_t tag)
{
    return (void *)(uintptr_t)(addresses + (size_t)tag * d->address_stride);
}

struct peer *device_peer(struct device *d, uint32_t id)
{
    LIST_FOR (at, &d->peers) {
        struct peer *p = CONTAINER_OF(at, struct peer, link);
        if (p->id == id)
            return p;
    }
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->id = id;
    p->retry_us = GATEWAY_RETRY_US_MIN;
    list_push_back(&d->peers, &p->link);
    return p;
}

void device_error(struct device *d, const char *name, const char *format, ...)
{
    char text[LOTLINE_ERROR_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool news = !d->quiet && (strcmp(d->error_name, name) != 0 || d->state != DEVICE_OFFLINE);
    snprintf(d->error_name, sizeof d->error_name, "%s", name);
    memcpy(d->error_text, text, sizeof text);
    d->error_wall_us = exec_wall_us(d->exec);
    if (news)
        log_warn("gateway", "%s: %s: %s", d->name, name, text);
}

/* ------------------------------------------------------------------------------------------ link
 */

static int64_t jittered(struct device *d, int64_t us)
{
    return us * 3 / 4 + (int64_t)rand_below(&d->rand, (uint64_t)us / 2);
}

static void grids_start(struct device *d)
{
    if (d->grid_started)
        return;
    d->grid_started = true;
    for (uint32_t i = 0; i < d->group_count; i++)
        group_grid_start(&d->groups[i]);
}

static void retry_later(struct device *d)
{
    int64_t at_us = exec_now_us(d->exec) + jittered(d, d->retry_us);
    d->retry_us = d->retry_us * 2 > GATEWAY_RETRY_US_MAX ? GATEWAY_RETRY_US_MAX : d->retry_us * 2;
    if (exec_timer_start(d->exec, &d->retry_timer, at_us))
        log_error("gateway", "%s: out of memory, it is not tried again", d->name);
}

static void link_open(struct device *d)
{
    d->faulted = false;
    d->closing = false;
    int err = d->link_ops->open(d);
    if (err)
        device_link_closed(d, err, "");
}

static void retry_fired(struct exec_timer *timer)
{
    link_open(CONTAINER_OF(timer, struct device, retry_timer));
}

/* A new connection owes nothing to what happened on the old one. */
static void peers_forget(struct device *d)
{
    LIST_FOR (at, &d->peers) {
        struct peer *p = CONTAINER_OF(at, struct peer, link);
        p->silent = 0;
        p->probing = false;
        p->retry_us = GATEWAY_RETRY_US_MIN;
    }
}

void device_link_opened(struct device *d)
{
    d->opened = true;
    d->silent = 0;
    peers_forget(d);
    buf_reset(&d->rest);
    count_add(&d->count.connects, 1);
    d->driver->opened(d->session);
    schedule_pump(d);
}

void device_drop(struct device *d)
{
    if (!d->link || d->closing)
        return;
    d->closing = true;
    d->ready = false;
    d->link_ops->close(d);
}

static void offline_enter(struct device *d, enum quality quality, int err)
{
    bool was_open = d->opened;
    d->opened = false;
    d->ready = false;
    if (was_open)
        d->driver->closed(d->session);
    device_state_set(d, DEVICE_OFFLINE);
    schedule_abort(d, quality, err, d->error_text);
}

static void device_down(struct device *d)
{
    schedule_abort(d, QUALITY_OFFLINE, ERR_CANCELLED, "the node is stopping");
    if (d->opened)
        d->driver->closed(d->session);
    d->opened = false;
    d->ready = false;
    for (uint32_t i = 0; i < d->group_count; i++)
        group_stop(&d->groups[i]);
    gateway_device_stopped(d->gateway);
}

static const char *link_error_name(int err)
{
    if (err == ERR_CLOSED)
        return "closed";
    if (err == ERR_REFUSED)
        return "refused";
    return err == ERR_TIMEOUT || err == ERR_UNREACHABLE ? "unreachable" : "link";
}

void device_link_closed(struct device *d, int err, const char *text)
{
    d->link = NULL;
    if (d->stopping) {
        device_down(d);
        return;
    }
    if (err)
        device_error(d, link_error_name(err), "%s", text[0] ? text : err_text(err));
    offline_enter(d, d->faulted ? QUALITY_PROTOCOL : QUALITY_OFFLINE, ERR_OFFLINE);
    grids_start(d);
    retry_later(d);
}

/* Offers the driver what came, and keeps what it does not use yet. */
static void rest_feed(struct device *d, struct bytes data)
{
    bool kept = d->rest.len > 0;
    if (kept) {
        if (buf_append_bytes(&d->rest, data)) {
            device_error(d, "out of memory", "no memory for what the device sent");
            device_drop(d);
            return;
        }
        data = buf_bytes(&d->rest);
    }
    size_t used = d->driver->received(d->session, data.ptr, data.len);
    if (d->faulted)
        return;
    assert(used <= data.len);
    size_t left = data.len - used;
    if (left >= d->driver->frame_bytes_max) {
        d->host.fault(&d->host, "long frame", "a frame longer than any that the protocol has");
    } else if (kept) {
        memmove(d->rest.ptr, d->rest.ptr + used, left);
        d->rest.len = left;
    } else if (left > 0) {
        buf_append(&d->rest, data.ptr + used, left);
    }
}

int64_t device_wall_us(struct device *d)
{
    return clock_smooth_us(&d->clock, exec_now_us(d->exec), exec_wall_us(d->exec));
}

void device_link_data(struct device *d, struct bytes data)
{
    if (d->closing)
        return;
    d->arrival_wall_us = device_wall_us(d);
    rest_feed(d, data);
    if (d->faulted)
        device_drop(d);
    else
        schedule_pump(d);
}

/* ------------------------------------------------------------------------------------------ host
 */

static void host_send(struct lotline_host *host, const void *frame, size_t len)
{
    struct device *d = device_of(host);
    if (d->opened && !d->closing)
        d->link_ops->send(d, bytes_of(frame, len));
}

static void host_ready(struct lotline_host *host)
{
    struct device *d = device_of(host);
    d->ready = true;
    grids_start(d);
    if (d->group_count == 0 && d->state != DEVICE_ONLINE)
        device_state_set(d, DEVICE_ONLINE);
}

/* The device has answered: it is there, and so is the peer that was asked. */
static void answered(struct device *d, struct slot *s)
{
    d->silent = 0;
    d->retry_us = GATEWAY_RETRY_US_MIN;
    if (s && s->peer) {
        s->peer->silent = 0;
        s->peer->probing = false;
        s->peer->retry_us = GATEWAY_RETRY_US_MIN;
    }
    if (d->state == DEVICE_ONLINE)
        return;
    device_state_set(d, DEVICE_ONLINE);
    if (!d->quiet)
        log_info("gateway", "%s: online at %s", d->name, d->address);
}

static struct slot *slot_of(struct device *d, uint32_t slot)
{
    if (slot >= LOTLINE_IN_FLIGHT_MAX || slot_is_free(&d->slots[slot]))
        return NULL;
    return &d->slots[slot];
}

static void host_values(struct lotline_host *host, uint32_t slot, const uint8_t *data, size_t len)
{
    struct device *d = device_of(host);
    struct slot *s = slot_of(d, slot);
    if (!s || !s->request)
        return;
    if (len < s->request->data_bytes_min) {
        host->fault(host, "short frame", "an answer has fewer bytes than were asked for");
        return;
    }
    if (s->op)
        op_values(s->op, s->request, data);
    else
        (void)group_values(s->group, s->request, data);
}

static void host_value(struct lotline_host *host, uint32_t slot, uint32_t step,
                       const struct lotline_value *value)
{
    struct slot *s = slot_of(device_of(host), slot);
    if (!s || !s->request || step >= s->request->step_count)
        return;
    if (s->op)
        op_value(s->op, value);
    else
        group_value(s->group, s->request->steps[step].tag, value);
}

static void host_finish(struct lotline_host *host, uint32_t slot, enum lotline_result result,
                        const char *text)
{
    struct device *d = device_of(host);
    struct slot *s = slot_of(d, slot);
    if (!s || d->faulted)
        return;
    answered(d, s);
    schedule_finish(d, slot, result, text ? text : "");
}

static void host_extend(struct lotline_host *host, uint32_t slot)
{
    struct device *d = device_of(host);
    if (slot_of(d, slot))
        schedule_extend(d, slot);
}

static void host_fault(struct lotline_host *host, const char *name, const char *text)
{
    struct device *d = device_of(host);
    if (d->faulted)
        return;
    d->faulted = true;
    d->ready = false;
    count_add(&d->count.faults, 1);
    device_error(d, name, "%s", text);
}

static void host_late(struct lotline_host *host)
{
    struct device *d = device_of(host);
    count_add(&d->count.late, 1);
    answered(d, NULL);
    device_error(d, "late answer",
                 "an answer came after more than %lld ms and was thrown away; a longer `timeout` "
                 "would wait for it",
                 (long long)(d->timeout_us / 1000));
}

static int64_t host_now_us(const struct lotline_host *host)
{
    return exec_now_us(CONTAINER_OF((uintptr_t)host, struct device, host)->exec);
}

/* ------------------------------------------------------------------------------------------- life
 */

int device_init(struct device *d, struct gateway *g, struct exec *exec,
                const struct lotline_driver *driver)
{
    d->gateway = g;
    d->exec = exec;
    d->driver = driver;
    d->address_stride = (driver->address_bytes + ADDRESS_ALIGN - 1) / ADDRESS_ALIGN * ADDRESS_ALIGN;
    d->link_ops = &link_tcp;
    d->retry_us = GATEWAY_RETRY_US_MIN;
    list_init(&d->turns);
    list_init(&d->ops);
    list_init(&d->peers);
    exec_timer_init(&d->retry_timer, retry_fired);
    schedule_timer_init(d);
    d->host = (struct lotline_host){
        .size = sizeof(struct lotline_host),
        .send = host_send,
        .ready = host_ready,
        .values = host_values,
        .value = host_value,
        .finish = host_finish,
        .extend = host_extend,
        .fault = host_fault,
        .late = host_late,
        .now_us = host_now_us,
    };
    d->session = calloc(1, driver->session_bytes ? driver->session_bytes : 1);
    return d->session ? OK : ERR_NOMEM;
}

void device_fini(struct device *d)
{
    for (uint32_t i = 0; i < d->group_count; i++)
        group_fini(&d->groups[i]);
    LIST_FOR_SAFE (at, after, &d->peers)
        free(CONTAINER_OF(at, struct peer, link));
    if (d->driver->session_fini && d->initialised)
        d->driver->session_fini(d->session);
    free(d->session);
    d->session = NULL;
    buf_fini(&d->rest);
}

void device_start(struct device *d)
{
    uint64_t seed = 0;
    (void)rand_bytes(&seed, sizeof seed);
    rand_seed(&d->rand, seed);
    d->driver->session_init(d->session, &d->host, d->options);
    d->initialised = true;
    if (!d->enabled) {
        device_state_set(d, DEVICE_DISABLED);
        snprintf(d->error_text, sizeof d->error_text, "the device is disabled (`enabled: false`)");
        return;
    }
    for (uint32_t i = 0; i < d->group_count; i++) {
        int err = group_start(&d->groups[i]);
        if (err) {
            device_error(d, "start", "group %s cannot be polled: %s", d->groups[i].name,
                         err_text(err));
            device_state_set(d, DEVICE_OFFLINE);
            return;
        }
    }
    link_open(d);
}

void device_stop(struct device *d)
{
    d->stopping = true;
    exec_timer_stop(d->exec, &d->retry_timer);
    if (d->link) {
        device_drop(d);
        return;
    }
    device_link_closed(d, OK, "");
}
