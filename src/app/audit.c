/* The gateway's audit hooks on the alarm stage. See audit.h.
 *
 * The gateway names a write by its own number, the audit by the number of its record; a small table
 * keeps the pairs of the writes under way. A mutex guards it: writes are rare and far from the data
 * path, and come from several loops.
 */
#include "app/audit.h"

#include <pthread.h>
#include <stdlib.h>

#define AUDIT_UNDER_WAY_MAX 1024

struct under_way {
    uint64_t gateway_id;
    uint64_t audit_id;
};

struct audit_bridge {
    struct alarm_stage *alarm;
    struct exec *exec;
    struct gateway_audit hooks;
    pthread_mutex_t lock;
    struct under_way writes[AUDIT_UNDER_WAY_MAX];
    size_t count;
};

struct pending {
    struct audit_wait wait;
    struct gateway_audit_wait *gateway_wait;
    struct audit_bridge *bridge;
    uint64_t gateway_id;
};

static bool under_way_add(struct audit_bridge *b, uint64_t gateway_id, uint64_t audit_id)
{
    (void)pthread_mutex_lock(&b->lock);
    bool room = b->count < AUDIT_UNDER_WAY_MAX;
    if (room)
        b->writes[b->count++] = (struct under_way){gateway_id, audit_id};
    (void)pthread_mutex_unlock(&b->lock);
    return room;
}

static bool under_way_take(struct audit_bridge *b, uint64_t gateway_id, uint64_t *ret_audit_id)
{
    bool found = false;
    (void)pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->count && !found; i++) {
        if (b->writes[i].gateway_id != gateway_id)
            continue;
        *ret_audit_id = b->writes[i].audit_id;
        b->writes[i] = b->writes[--b->count];
        found = true;
    }
    (void)pthread_mutex_unlock(&b->lock);
    return found;
}

static void intent_recorded(struct audit_wait *wait, uint64_t id, int err)
{
    struct pending *p = CONTAINER_OF(wait, struct pending, wait);
    if (!err && !under_way_add(p->bridge, p->gateway_id, id)) {
        err = ERR_LIMIT;
        audit_result(p->bridge->alarm, id, err, "too many writes under way");
    }
    p->gateway_wait->fn(p->gateway_wait, err);
    free(p);
}

static int hook_intent(void *ctx, const struct gateway_intent *intent,
                       struct gateway_audit_wait *wait)
{
    struct audit_bridge *b = ctx;
    struct pending *p = calloc(1, sizeof *p);
    struct buf value = {0};
    if (!p || buf_append_bytes(&value, intent->value)) {
        free(p);
        buf_fini(&value);
        return ERR_NOMEM;
    }
    p->wait.fn = intent_recorded;
    p->wait.exec = b->exec;
    p->gateway_wait = wait;
    p->bridge = b;
    p->gateway_id = intent->id;
    struct audit_intent record = {
        .user = intent->origin->user,
        .channel = intent->origin->channel,
        .action = "gateway.write",
        .target = intent->tag,
        .value = buf_text(&value),
    };
    audit_intent(b->alarm, &record, &p->wait);
    buf_fini(&value);
    return OK;
}

static void hook_result(void *ctx, uint64_t id, int err, const char *text)
{
    struct audit_bridge *b = ctx;
    uint64_t audit_id = 0;
    if (under_way_take(b, id, &audit_id))
        audit_result(b->alarm, audit_id, err, text);
}

/* ----------------------------------------------------------------------------- changes by REST */

struct change {
    struct audit_wait wait;
    struct audit_bridge *bridge;
    int err;
    struct buf text;
};

static void change_recorded(struct audit_wait *wait, uint64_t id, int err)
{
    struct change *c = CONTAINER_OF(wait, struct change, wait);
    if (!err)
        audit_result(c->bridge->alarm, id, c->err, buf_text(&c->text));
    buf_fini(&c->text);
    free(c);
}

void audit_bridge_change(struct audit_bridge *b, const struct api_change *change)
{
    /* The gateway audits its writes itself, before the frame is sent. */
    if (strcmp(change->call, "gateway.write") == 0)
        return;
    struct change *c = calloc(1, sizeof *c);
    struct buf request = {0};
    if (!c || buf_append_bytes(&request, change->request)) {
        free(c);
        buf_fini(&request);
        return;
    }
    (void)buf_append_text(&c->text, change->text);
    c->wait.fn = change_recorded;
    c->wait.exec = b->exec;
    c->bridge = b;
    c->err = change->err;
    struct audit_intent record = {
        .user = change->origin->user,
        .channel = change->origin->channel,
        .action = change->call,
        .target = "node",
        .value = buf_text(&request),
    };
    audit_intent(b->alarm, &record, &c->wait);
    buf_fini(&request);
}

/* ----------------------------------------------------------------------------------------- life */

int audit_bridge_new(struct alarm_stage *alarm, struct exec *exec, struct audit_bridge **ret)
{
    struct audit_bridge *b = calloc(1, sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->alarm = alarm;
    b->exec = exec;
    b->hooks = (struct gateway_audit){.ctx = b, .intent = hook_intent, .result = hook_result};
    (void)pthread_mutex_init(&b->lock, NULL);
    *ret = b;
    return OK;
}

void audit_bridge_free(struct audit_bridge *b)
{
    if (!b)
        return;
    (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

void audit_bridge_exec_set(struct audit_bridge *b, struct exec *exec)
{
    b->exec = exec;
}

const struct gateway_audit *audit_bridge_hooks(struct audit_bridge *b)
{
    return &b->hooks;
}
