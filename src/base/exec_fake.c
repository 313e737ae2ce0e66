/* An exec whose clock a test moves. See exec.h. */
#include "base/exec.h"

#include <stdlib.h>

struct exec_fake {
    struct exec exec;
    int64_t now_us;
    int64_t wall_us;
};

static void fake_wake(struct exec *e)
{
    (void)e;
}

static int64_t fake_now_us(const struct exec *e)
{
    return ((const struct exec_fake *)e)->now_us;
}

static int64_t fake_wall_us(const struct exec *e)
{
    return ((const struct exec_fake *)e)->wall_us;
}

static bool fake_is_current(const struct exec *e)
{
    (void)e;
    return true;
}

static const struct exec_ops fake_ops = {
    .wake = fake_wake,
    .timer_changed = fake_wake,
    .now_us = fake_now_us,
    .wall_us = fake_wall_us,
    .is_current = fake_is_current,
};

struct exec *exec_fake_new(int64_t now_us, int64_t wall_us)
{
    struct exec_fake *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    exec_init(&f->exec, &fake_ops);
    f->now_us = now_us;
    f->wall_us = wall_us;
    return &f->exec;
}

void exec_fake_free(struct exec *e)
{
    if (!e)
        return;
    exec_fini(e);
    free(e);
}

size_t exec_fake_run(struct exec *e)
{
    const struct exec_fake *f = (const struct exec_fake *)e;
    size_t total = 0;
    size_t count;
    do {
        count = exec_queue_run(e, f->now_us);
        total += count;
    } while (count > 0);
    return total;
}

void exec_fake_advance(struct exec *e, int64_t us)
{
    struct exec_fake *f = (struct exec_fake *)e;
    int64_t end_us = f->now_us + us;
    (void)exec_fake_run(e);
    for (;;) {
        int64_t next_us = exec_queue_next_us(e);
        int64_t stop_us = next_us < end_us ? next_us : end_us;
        if (stop_us > f->now_us) {
            f->wall_us += stop_us - f->now_us;
            f->now_us = stop_us;
        }
        (void)exec_fake_run(e);
        if (next_us >= end_us)
            return;
    }
}
