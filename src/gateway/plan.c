/* Requests: what a driver's plan says, kept with the group, and split when a device refuses.
 *
 * A merged read can be refused because of a register that no tag asked for. The refused request is
 * then replaced by one for each half of its tags, until what is left is accepted or is one tag
 * whose address the device really does not have. The plan stays split until it is made anew, so a
 * hole in a controller's map costs a few refusals once, and nothing afterwards.
 */
#include "base/array.h"
#include "gateway/gateway_priv.h"

#include <assert.h>
#include <stdlib.h>

#define STEPS_FIRST 16u

struct planner {
    struct lotline_planner api;
    struct device *device;
    const uint32_t *tags; /* of the driver's indices; NULL = the same */
    uint32_t count;
    uint32_t seen;
    struct list *requests;
    struct request *last;
    int err;
};

void request_free(struct request *r)
{
    list_remove(&r->link);
    list_remove(&r->redo);
    free(r->steps);
    free(r);
}

void poll_plan_free(struct list *requests)
{
    LIST_FOR_SAFE (at, after, requests)
        request_free(CONTAINER_OF(at, struct request, link));
}

static bool planner_request(struct lotline_planner *api, const void *request, uint32_t peer)
{
    struct planner *p = CONTAINER_OF(api, struct planner, api);
    struct request *r = aligned_alloc(_Alignof(struct request), sizeof *r);
    if (!r) {
        p->err = ERR_NOMEM;
        return false;
    }
    memset(r, 0, sizeof *r);
    memcpy(r->driver, request, p->device->driver->request_bytes);
    list_init(&r->redo);
    list_push_back(p->requests, &r->link);
    p->last = r;
    r->peer = device_peer(p->device, peer);
    if (!r->peer)
        p->err = ERR_NOMEM;
    return r->peer != NULL;
}

static bool request_grow(struct request *r)
{
    struct lotline_step *steps =
        array_room(r->steps, r->step_count, &r->step_cap, STEPS_FIRST, sizeof *steps);
    if (!steps)
        return false;
    r->steps = steps;
    return true;
}

static bool step_is_sound(const struct planner *p, const struct lotline_step *s)
{
    bool number = s->kind >= LOTLINE_STEP_INT && s->kind <= LOTLINE_STEP_DOUBLE;
    return s->tag < p->count && s->kind >= LOTLINE_STEP_BIT && s->kind <= LOTLINE_STEP_BYTES &&
           s->len <= LOTLINE_VALUE_BYTES_MAX && s->order < 8 && s->bit < 8 &&
           (!number || s->len == 1 || s->len == 2 || s->len == 4 || s->len == 8) &&
           s->offset <= p->device->driver->frame_bytes_max;
}

static bool planner_step(struct lotline_planner *api, const struct lotline_step *step)
{
    struct planner *p = CONTAINER_OF(api, struct planner, api);
    struct request *r = p->last;
    if (!r || !step_is_sound(p, step) || !request_grow(r)) {
        p->err = r && step_is_sound(p, step) ? ERR_NOMEM : ERR_INTERNAL;
        return false;
    }
    struct lotline_step *s = &r->steps[r->step_count++];
    *s = *step;
    s->tag = p->tags ? p->tags[step->tag] : step->tag;
    uint32_t end = decode_step_end(s);
    r->data_bytes_min = end > r->data_bytes_min ? end : r->data_bytes_min;
    p->seen++;
    return true;
}

int poll_plan_make(struct device *d, const uint8_t *addresses, const uint32_t *tags, uint32_t count,
                   struct list *requests)
{
    struct planner p = {
        .api = {sizeof(struct lotline_planner), planner_request, planner_step},
        .device = d,
        .tags = tags,
        .count = count,
        .requests = requests,
    };
    const void **at = malloc((count + 1) * sizeof *at);
    if (!at)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        at[i] = device_address(d, addresses, tags ? tags[i] : i);
    int rc = d->driver->plan(d->options, at, count, &p.api);
    free(at);
    if (rc)
        return p.err ? p.err : ERR_NOMEM;
    return p.seen == count ? OK : ERR_INTERNAL;
}

int plan_split(struct device *d, const uint8_t *addresses, struct request *r,
               struct list *ret_parts)
{
    if (r->step_count < 2)
        return ERR_INVALID;
    uint32_t *tags = malloc(r->step_count * sizeof *tags);
    if (!tags)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < r->step_count; i++)
        tags[i] = r->steps[i].tag;
    struct list parts;
    list_init(&parts);
    uint32_t half = r->step_count / 2;
    int err = poll_plan_make(d, addresses, tags, half, &parts);
    if (!err)
        err = poll_plan_make(d, addresses, tags + half, r->step_count - half, &parts);
    free(tags);
    if (err) {
        poll_plan_free(&parts);
        return err;
    }
    for (struct list *at = list_pop_front(&parts); at; at = list_pop_front(&parts)) {
        list_insert_before(&r->link, at);
        list_push_back(ret_parts, &CONTAINER_OF(at, struct request, link)->redo);
    }
    request_free(r);
    return OK;
}
