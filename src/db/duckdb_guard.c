/* Ends a query at its deadline. See duckdb_priv.h.
 *
 * The thread that runs the query is inside DuckDB, so the deadline is another's: a small thread
 * with a timer that calls duckdb_interrupt. Interrupting happens under the mutex that disarming
 * takes, so the next query of the connection is never hit by the deadline of the last.
 */
#include "base/list.h"
#include "db/duckdb_priv.h"

#include <stdlib.h>

static void guard_timer_run(struct exec_timer *timer)
{
    struct duck_guard *g = CONTAINER_OF(timer, struct duck_guard, timer);
    (void)pthread_mutex_lock(&g->mutex);
    if (g->conn && exec_now_us(g->exec) >= g->deadline_us) {
        g->fired = true;
        duck_interrupt(g->conn);
    }
    (void)pthread_mutex_unlock(&g->mutex);
}

static void guard_task_run(struct exec_task *task)
{
    struct duck_guard *g = CONTAINER_OF(task, struct duck_guard, task);
    (void)pthread_mutex_lock(&g->mutex);
    bool armed = g->conn != NULL;
    int64_t deadline_us = g->deadline_us;
    (void)pthread_mutex_unlock(&g->mutex);
    exec_timer_stop(g->exec, &g->timer);
    if (armed)
        (void)exec_timer_start(g->exec, &g->timer, deadline_us);
}

int duck_guard_new(struct duck_guard **ret)
{
    struct duck_guard *g = calloc(1, sizeof *g);
    if (!g)
        return ERR_NOMEM;
    int err = exec_thread_new("sql-guard", 0, &g->exec);
    if (err) {
        free(g);
        return err;
    }
    exec_task_init(&g->task, guard_task_run);
    exec_timer_init(&g->timer, guard_timer_run);
    (void)pthread_mutex_init(&g->mutex, NULL);
    *ret = g;
    return OK;
}

void duck_guard_free(struct duck_guard *g)
{
    if (!g)
        return;
    exec_thread_free(g->exec);
    (void)pthread_mutex_destroy(&g->mutex);
    free(g);
}

void duck_guard_arm(struct duck_guard *g, struct duck_conn *c, int64_t deadline_us)
{
    (void)pthread_mutex_lock(&g->mutex);
    g->conn = c;
    g->deadline_us = deadline_us;
    g->fired = false;
    (void)pthread_mutex_unlock(&g->mutex);
    (void)exec_post(g->exec, &g->task);
}

bool duck_guard_disarm(struct duck_guard *g)
{
    (void)pthread_mutex_lock(&g->mutex);
    bool fired = g->fired;
    g->conn = NULL;
    (void)pthread_mutex_unlock(&g->mutex);
    (void)exec_post(g->exec, &g->task);
    return fired;
}
