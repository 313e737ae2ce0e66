/* The host's clock, watched: one that is set is one alarm.
 *
 * The wall clock is compared with the monotonic one, which nobody sets, once a second. The times of
 * values do not jump with it (base/clock.h, struct clock_smooth), but for a while they are not
 * those that the clock shows, and people who compare them with another system's must know. The
 * alarm is cleared when the two agree again.
 */
#include "app/node_priv.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define CLOCK_LOOK_US   1000000
#define CLOCK_STEP_US   250000 /* set by less is not told */
#define CLOCK_AGREE_US  1000
#define CLOCK_STEADY_US 10000000 /* the alarm stays at least so long */

struct node_clock {
    struct node *node;
    struct exec *exec;
    struct exec_timer timer;
    struct clock_smooth smooth; /* as the values' times go */
    int64_t offset_us;          /* wall to monotonic, at the last look */
    int64_t stepped_us;         /* monotonic: when it was set; 0 = no alarm */
    bool settled;               /* no alarm of an earlier run is left */
};

static double seconds(int64_t us)
{
    return (double)(us < 0 ? -us : us) / 1e6;
}

static void step_tell(struct node_clock *c, int64_t step_us, int64_t wall_us, int64_t behind_us)
{
    char now[CLOCK_TEXT_BYTES_MAX];
    char should[CLOCK_TEXT_BYTES_MAX];
    char text[512];
    int64_t was_us = wall_us - step_us;
    (void)clock_format(wall_us - wall_us % 100000, now);
    (void)clock_format(was_us - was_us % 100000, should);
    int len =
        snprintf(text, sizeof text,
                 "the clock of this node was set %s by %.1f s: it shows %s where it would have "
                 "shown %s. ",
                 step_us < 0 ? "back" : "forward", seconds(step_us), now, should);
    if (behind_us == 0) {
        (void)snprintf(
            text + len, sizeof text - (size_t)len,
            "That is so much that the times of values jumped with it: visits, windows and "
            "curves over that moment are wrong by it");
    } else {
        (void)snprintf(text + len, sizeof text - (size_t)len,
                       "The times of values do not jump: they are up to %.1f s %s it and come "
                       "nearer by %d %%, for %.0f s. See what sets it; NTP would do it gently",
                       seconds(behind_us), behind_us < 0 ? "ahead of" : "behind",
                       CLOCK_SMOOTH_PERCENT, seconds(behind_us * 100 / CLOCK_SMOOTH_PERCENT));
    }
    log_warn("node", "%s", text);
    alarm_raise(c->node->alarm, "clock", ALARM_MAJOR, "node", text);
}

static void clock_look(struct node_clock *c)
{
    int64_t now_us = exec_now_us(c->exec);
    int64_t wall_us = exec_wall_us(c->exec);
    int64_t step_us = wall_us - now_us - c->offset_us;
    (void)clock_smooth_us(&c->smooth, now_us, wall_us);
    int64_t behind_us = clock_smooth_behind_us(&c->smooth, now_us, wall_us);
    c->offset_us = wall_us - now_us;
    if (step_us > CLOCK_STEP_US || step_us < -CLOCK_STEP_US) {
        step_tell(c, step_us, wall_us, behind_us);
        c->stepped_us = now_us;
        c->settled = true;
        return;
    }
    bool over = c->stepped_us && now_us - c->stepped_us >= CLOCK_STEADY_US &&
                behind_us < CLOCK_AGREE_US && behind_us > -CLOCK_AGREE_US;
    if (!over && c->settled)
        return;
    alarm_clear(c->node->alarm, "clock", "node");
    c->stepped_us = 0;
    c->settled = true;
}

static void timer_run(struct exec_timer *timer)
{
    struct node_clock *c = CONTAINER_OF(timer, struct node_clock, timer);
    clock_look(c);
    (void)exec_timer_start(c->exec, timer, exec_now_us(c->exec) + CLOCK_LOOK_US);
}

static int start_run(void *ctx)
{
    struct node_clock *c = ctx;
    c->offset_us = exec_wall_us(c->exec) - exec_now_us(c->exec);
    return exec_timer_start(c->exec, &c->timer, exec_now_us(c->exec));
}

int node_clock_start(struct node *n, struct diag *diag)
{
    (void)diag;
    if (!n->alarm)
        return OK;
    struct node_clock *c = arena_alloc(&n->arena, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    *c = (struct node_clock){.node = n, .exec = n->loops[0]};
    exec_timer_init(&c->timer, timer_run);
    n->clock = c;
    return exec_call(c->exec, start_run, c);
}

static int stop_run(void *ctx)
{
    struct node_clock *c = ctx;
    exec_timer_stop(c->exec, &c->timer);
    return OK;
}

void node_clock_stop(struct node *n)
{
    if (n->clock)
        (void)exec_call(n->clock->exec, stop_run, n->clock);
    n->clock = NULL;
}
