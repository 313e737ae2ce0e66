/* A group's cycles: the grid in time, the row a cycle makes, the batches that rows are coalesced
 * into, and what happens when nobody takes them.
 *
 * The grid is fixed: cycles start at start + k × interval, on points that are whole multiples of
 * the interval in wall time, so that the rows of several groups meet. A cycle that is still running
 * at the next point makes that point a missed one: it is counted and never queued, because a queue
 * of polls only makes every later value older.
 *
 * A batch that its consumers have no credit for is held, not dropped; until it is taken no cycle is
 * run (skipped, counted), and then a row of quality `skipped` says where the gap began.
 */
#include "base/log.h"
#include "gateway/gateway_priv.h"

#include <assert.h>
#include <stdlib.h>

#define POOL_SLABS_MAX 8u

static void group_tick(struct exec_timer *timer);

/* ------------------------------------------------------------------------------------------- life
 */

static uint32_t rows_max_of(const struct group *g)
{
    uint64_t rows = (uint64_t)(g->linger_us / g->interval_us) + 2; /* one more for a gap */
    uint64_t cells = GATEWAY_CELLS_MAX / (g->tag_count ? g->tag_count : 1);
    rows = rows > GATEWAY_ROWS_MAX ? GATEWAY_ROWS_MAX : rows;
    rows = rows > cells ? cells : rows;
    return rows < 2 ? 2 : (uint32_t)rows;
}

int group_start(struct group *g)
{
    exec_timer_init(&g->timer, group_tick);
    list_init(&g->turn);
    list_init(&g->redo);
    g->rows_max = rows_max_of(g);
    g->pool = batch_pool_new(POOL_SLABS_MAX);
    if (!g->pool)
        return ERR_NOMEM;
    int err = batch_builder_new(g->schema, g->rows_max, g->pool, &g->builder);
    if (!err)
        err = poll_plan_make(g->device, g->addresses, NULL, g->tag_count, &g->plan);
    return err;
}

void group_stop(struct group *g)
{
    exec_timer_stop(g->device->exec, &g->timer);
    list_remove(&g->turn);
    g->running = false;
    outlet_fini(&g->outlet);
}

void group_fini(struct group *g)
{
    poll_plan_free(&g->plan);
    batch_unref(g->held);
    batch_unref(g->last);
    batch_builder_free(g->builder);
    batch_pool_free(g->pool);
    g->held = NULL;
    g->last = NULL;
    g->builder = NULL;
    g->pool = NULL;
}

/* ------------------------------------------------------------------------------------------- grid
 */

static void grid_arm(struct group *g)
{
    if (exec_timer_start(g->device->exec, &g->timer, g->due_us))
        log_error("gateway", "%s.%s: out of memory, the group is not polled any more",
                  g->device->name, g->name);
}

/* The next point that is a multiple of the interval and at least `after` from now. */
static void grid_align(struct group *g, int64_t now_us, int64_t wall_us, int64_t after_us)
{
    int64_t at = wall_us + after_us;
    int64_t point = at - at % g->interval_us + (at % g->interval_us ? g->interval_us : 0);
    g->due_wall_us = point;
    g->due_us = now_us + (point - wall_us);
}

void group_grid_start(struct group *g)
{
    const struct exec *e = g->device->exec;
    if (g->tag_count == 0)
        return;
    grid_align(g, exec_now_us(e), device_wall_us(g->device), 0);
    grid_arm(g);
}

/* The row's time for the point that is due, and the next point. */
static int64_t grid_step(struct group *g)
{
    const struct exec *e = g->device->exec;
    int64_t now_us = exec_now_us(e);
    int64_t wall_us = device_wall_us(g->device);
    int64_t behind = (now_us - g->due_us) / g->interval_us;
    if (behind > 0) {
        count_add(&g->count.missed, (uint64_t)behind);
        g->due_us += behind * g->interval_us;
        g->due_wall_us += behind * g->interval_us;
    }
    int64_t row_us = wall_us - (now_us - g->due_us);
    int64_t drift = row_us - g->due_wall_us;
    if (drift > GATEWAY_CLOCK_SLACK_US || drift < -GATEWAY_CLOCK_SLACK_US) {
        grid_align(g, now_us, wall_us, g->interval_us / 2);
        return row_us;
    }
    row_us = g->due_wall_us;
    g->due_us += g->interval_us;
    g->due_wall_us += g->interval_us;
    return row_us;
}

/* ------------------------------------------------------------------------------------------- rows
 */

static void last_set(struct group *g, struct batch *b)
{
    batch_unref(g->last);
    g->last = b;
}

static void rows_push(struct group *g)
{
    struct batch *b = NULL;
    if (batch_builder_rows(g->builder) == 0)
        return;
    if (batch_builder_finish(g->builder, &b)) {
        count_add(&g->count.skipped, batch_builder_rows(g->builder));
        batch_builder_reset(g->builder);
        g->gap_wall_us = g->row_wall_us;
        g->gap = true;
        return;
    }
    last_set(g, batch_ref(b));
    if (outlet_push(&g->outlet, b, (struct position){0, 0}, NULL) == ERR_AGAIN)
        g->held = b;
    else
        batch_unref(b);
}

void group_on_credit(struct outlet *o)
{
    struct group *g = CONTAINER_OF(o, struct group, outlet);
    if (!g->held)
        return;
    if (outlet_push(o, g->held, (struct position){0, 0}, NULL) == ERR_AGAIN)
        return;
    batch_unref(g->held);
    g->held = NULL;
}

static void row_quality(struct group *g, enum quality quality)
{
    for (uint32_t i = 0; i < g->tag_count; i++)
        if (batch_set_quality(g->builder, i, quality))
            return;
}

static void row_start(struct group *g, int64_t wall_us)
{
    if (batch_builder_rows(g->builder) == 0)
        g->first_row_us = exec_now_us(g->device->exec);
    int row = batch_builder_row(g->builder, wall_us);
    assert(row >= 0); /* rows_end pushes before the builder is full */
}

/* A row is complete: push, unless it may wait for the next. A row for a gap must still fit. */
static void rows_end(struct group *g)
{
    int64_t age = exec_now_us(g->device->exec) - g->first_row_us;
    if (age + g->interval_us >= g->linger_us || batch_builder_rows(g->builder) + 2 > g->rows_max)
        rows_push(g);
}

/* Says "not known from here on" with the time of the first cycle that was skipped. */
static void gap_say(struct group *g)
{
    if (!g->gap)
        return;
    g->gap = false;
    row_start(g, g->gap_wall_us);
    row_quality(g, QUALITY_SKIPPED);
}

/* ------------------------------------------------------------------------------------------ cycle
 */

static void offline_row(struct group *g, int64_t row_us)
{
    int64_t now_us = exec_now_us(g->device->exec);
    if (g->offline_said && now_us - g->offline_row_us < GATEWAY_OFFLINE_ROW_US)
        return;
    g->offline_said = true;
    g->offline_row_us = now_us;
    gap_say(g);
    row_start(g, row_us);
    row_quality(g, QUALITY_OFFLINE);
    rows_push(g);
}

static void cycle_start(struct group *g, int64_t row_us)
{
    struct device *d = g->device;
    gap_say(g);
    count_add(&g->count.polls, 1);
    g->offline_said = false;
    g->running = true;
    g->outstanding = 0;
    g->row_wall_us = row_us;
    g->cursor = g->plan.next;
    row_start(g, row_us);
    list_remove(&g->turn);
    list_push_back(&d->turns, &g->turn);
    schedule_pump(d);
}

static void group_tick(struct exec_timer *timer)
{
    struct group *g = CONTAINER_OF(timer, struct group, timer);
    int64_t row_us = grid_step(g);
    grid_arm(g);
    if (g->running) {
        count_add(&g->count.missed, 1);
    } else if (g->held) {
        count_add(&g->count.skipped, 1);
        if (!g->gap)
            g->gap_wall_us = row_us;
        g->gap = true;
    } else if (!g->device->ready) {
        offline_row(g, row_us);
    } else {
        cycle_start(g, row_us);
    }
}

struct request *group_next_request(struct group *g)
{
    struct list *part = list_pop_front(&g->redo);
    if (part)
        return CONTAINER_OF(part, struct request, redo);
    if (!g->running || g->cursor == &g->plan)
        return NULL;
    struct request *r = CONTAINER_OF(g->cursor, struct request, link);
    g->cursor = g->cursor->next;
    return r;
}

int group_values(struct group *g, const struct request *r, const uint8_t *data)
{
    int64_t offset_us = g->device->arrival_wall_us - g->row_wall_us;
    if (offset_us > INT32_MAX || offset_us < INT32_MIN)
        offset_us = offset_us > 0 ? INT32_MAX : INT32_MIN;
    int err = decode_steps(r->steps, r->step_count, data, g->builder, (int32_t)offset_us);
    if (err)
        group_fail(g, r, QUALITY_CONVERT);
    else
        count_add(&g->count.values, r->step_count);
    return err;
}

void group_value(struct group *g, uint32_t tag, const struct lotline_value *lv)
{
    struct value v = decode_lotline(lv);
    int64_t offset_us = g->device->arrival_wall_us - g->row_wall_us;
    if (tag >= g->tag_count)
        return;
    if (batch_set_value(g->builder, tag, &v) ||
        batch_set_time_offset(g->builder, tag, (int32_t)offset_us))
        (void)batch_set_quality(g->builder, tag, QUALITY_CONVERT);
    else
        count_add(&g->count.values, 1);
}

void group_fail(struct group *g, const struct request *r, enum quality quality)
{
    for (uint32_t i = 0; i < r->step_count; i++)
        if (batch_set_quality(g->builder, r->steps[i].tag, quality))
            return;
}

void group_cycle_check(struct group *g)
{
    if (!g->running || g->outstanding > 0 || g->cursor != &g->plan || !list_empty(&g->redo))
        return;
    g->running = false;
    list_remove(&g->turn);
    rows_end(g);
}

void group_cycle_abort(struct group *g, enum quality quality)
{
    if (!g->running)
        return;
    for (const struct request *r = group_next_request(g); r; r = group_next_request(g))
        group_fail(g, r, quality);
    g->outstanding = 0;
    group_cycle_check(g);
}
