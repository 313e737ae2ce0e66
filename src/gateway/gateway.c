/* The gateway's life, from the outside. See gateway.h. */
#include "gateway/gateway.h"

#include "base/clock.h"
#include "config/config.h"
#include "gateway/gateway_priv.h"

#include <assert.h>
#include <semaphore.h>
#include <stdlib.h>

int gateway_new(const struct gateway_options *options, struct gateway **ret)
{
    struct gateway *g = calloc(1, sizeof *g);
    sem_t *stopped = calloc(1, sizeof *stopped);
    if (!g || !stopped || sem_init(stopped, 0, 0) != 0) {
        free(g);
        free(stopped);
        return ERR_NOMEM;
    }
    g->stopped = stopped;
    g->loops = options->loops;
    g->loop_count = options->loop_count;
    g->audit = options->audit;
    atomic_init(&g->running, 0);
    /* Counted up from the time, so that ids of two runs of the node differ. */
    atomic_init(&g->op_id, (uint_least64_t)clock_wall_us());
    driver_table_init(&g->drivers);
    *ret = g;
    return OK;
}

int gateway_configure(struct gateway *g, const struct config *config, struct catalogue *catalogue,
                      struct diag *diag)
{
    const char *plugins = config_plugins(config);
    if (plugins) {
        int err = driver_table_load(&g->drivers, plugins, diag);
        if (err)
            return err;
    }
    int err = configure_devices(g, config, catalogue, diag);
    if (err)
        return err;
    struct exec *home = g->loop_count ? g->loops[0] : NULL;
    return catalogue_calls_add(catalogue, gateway_calls, gateway_call_count, home, g);
}

static void start_task(struct exec_task *task)
{
    device_start(CONTAINER_OF(task, struct device, start_task));
}

static void stop_task(struct exec_task *task)
{
    device_stop(CONTAINER_OF(task, struct device, stop_task));
}

int gateway_start(struct gateway *g)
{
    assert(g->loop_count > 0 || g->device_count == 0);
    g->started = true;
    for (uint32_t i = 0; i < g->device_count; i++) {
        struct device *d = &g->devices[i];
        exec_task_init(&d->start_task, start_task);
        exec_task_init(&d->stop_task, stop_task);
        atomic_fetch_add(&g->running, 1);
        exec_post(d->exec, &d->start_task);
    }
    return OK;
}

void gateway_device_stopped(struct gateway *g)
{
    if (atomic_fetch_sub(&g->running, 1) == 1)
        sem_post(g->stopped);
}

void gateway_stop(struct gateway *g)
{
    if (!g->started)
        return;
    g->started = false;
    if (g->device_count == 0)
        return;
    for (uint32_t i = 0; i < g->device_count; i++)
        exec_post(g->devices[i].exec, &g->devices[i].stop_task);
    while (sem_wait(g->stopped) != 0) {
    }
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    assert(!g->started);
    for (uint32_t i = 0; i < g->device_count; i++) {
        struct device *d = &g->devices[i];
        for (uint32_t k = 0; k < d->group_count; k++)
            schema_unref(d->groups[k].schema);
        device_fini(d);
    }
    map_fini(&g->device_names);
    driver_table_fini(&g->drivers);
    arena_fini(&g->arena);
    sem_destroy(g->stopped);
    free(g->stopped);
    free(g);
}

static void group_stats_add(const struct group *g, struct gateway_stats *s)
{
    s->groups++;
    s->tags += g->tag_count;
    s->polls += count_get(&g->count.polls);
    s->missed += count_get(&g->count.missed);
    s->skipped += count_get(&g->count.skipped);
    s->values += count_get(&g->count.values);
}

static void device_stats_add(const struct device *d, struct gateway_stats *s)
{
    const struct device_counters *c = &d->count;
    int state = atomic_load_explicit(&c->state, memory_order_relaxed);
    s->devices++;
    s->devices_online += state == DEVICE_ONLINE;
    s->requests += count_get(&c->requests);
    s->timeouts += count_get(&c->timeouts);
    s->refused += count_get(&c->refused);
    s->late += count_get(&c->late);
    s->faults += count_get(&c->faults);
    s->connects += count_get(&c->connects);
    s->writes += count_get(&c->writes);
    s->writes_failed += count_get(&c->writes_failed);
}

void gateway_stats_get(const struct gateway *g, struct gateway_stats *ret)
{
    struct gateway_stats s = {0};
    for (uint32_t i = 0; i < g->device_count; i++) {
        const struct device *d = &g->devices[i];
        device_stats_add(d, &s);
        for (uint32_t k = 0; k < d->group_count; k++)
            group_stats_add(&d->groups[k], &s);
    }
    *ret = s;
}
