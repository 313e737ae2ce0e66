/* Tasks and timers, on the fake exec and on a real thread. */
#include "base/exec.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/rand.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <sched.h>

#define WAIT_MS 10000

struct step {
    struct exec_task task;
    struct exec_timer timer;
    struct exec *exec;
    int runs;
    int64_t ran_at_us;
    int *order;
    int number;
    int again; /* how often it posts itself */
};

static int steps_order[16];
static int steps_count;

static void step_task(struct exec_task *task)
{
    struct step *s = CONTAINER_OF(task, struct step, task);
    s->runs++;
    if (steps_count < 16)
        steps_order[steps_count++] = s->number;
    if (s->again-- > 0)
        CHECK(exec_post(s->exec, &s->task));
}

static void step_timer(struct exec_timer *timer)
{
    struct step *s = CONTAINER_OF(timer, struct step, timer);
    s->runs++;
    s->ran_at_us = exec_now_us(s->exec);
    if (s->again-- > 0)
        CHECK_OK(exec_timer_start(s->exec, timer, timer->at_us + 10));
}

static struct step step_of(struct exec *e, int number)
{
    struct step s = {.exec = e, .number = number};
    exec_task_init(&s.task, step_task);
    exec_timer_init(&s.timer, step_timer);
    return s;
}

TEST(exec_runs_tasks_once_and_in_order)
{
    struct exec *e = exec_fake_new(0, 0);
    struct step a = step_of(e, 1);
    struct step b = step_of(e, 2);
    steps_count = 0;
    CHECK(exec_post(e, &a.task));
    CHECK(exec_post(e, &b.task));
    CHECK(!exec_post(e, &a.task));
    CHECK(exec_queue_has_tasks(e));
    CHECK_EQ(exec_fake_run(e), 2);
    CHECK(!exec_queue_has_tasks(e));
    CHECK_EQ(steps_count, 2);
    CHECK_EQ(steps_order[0], 1);
    CHECK_EQ(steps_order[1], 2);
    a.again = 3;
    CHECK(exec_post(e, &a.task));
    CHECK_EQ(exec_queue_run(e, 0), 1);
    CHECK_EQ(exec_fake_run(e), 3);
    CHECK_EQ(a.runs, 5);
    exec_fake_free(e);
    exec_fake_free(NULL);
}

TEST(exec_runs_timers_at_their_time)
{
    struct exec *e = exec_fake_new(100, 5000);
    struct step s = step_of(e, 0);
    CHECK_OK(exec_timer_start(e, &s.timer, 150));
    CHECK(exec_timer_active(&s.timer));
    CHECK_EQ(exec_queue_next_us(e), 150);
    exec_fake_advance(e, 49);
    CHECK_EQ(s.runs, 0);
    exec_fake_advance(e, 100);
    CHECK_EQ(s.runs, 1);
    CHECK_EQ(s.ran_at_us, 150);
    CHECK(!exec_timer_active(&s.timer));
    CHECK_EQ(exec_now_us(e), 249);
    CHECK_EQ(exec_wall_us(e), 5149);
    s.again = 4;
    CHECK_OK(exec_timer_start(e, &s.timer, 260));
    exec_fake_advance(e, 100);
    CHECK_EQ(s.runs, 6);
    CHECK_EQ(s.ran_at_us, 300);
    CHECK_OK(exec_timer_start(e, &s.timer, 400));
    CHECK_OK(exec_timer_start(e, &s.timer, 500));
    exec_timer_stop(e, &s.timer);
    exec_timer_stop(e, &s.timer);
    exec_fake_advance(e, 1000);
    CHECK_EQ(s.runs, 6);
    CHECK_EQ(exec_queue_next_us(e), INT64_MAX);
    exec_fake_free(e);
}

TEST(exec_keeps_many_timers_in_order)
{
    static struct step steps[300];
    struct exec *e = exec_fake_new(0, 0);
    struct rand r;
    rand_seed(&r, 11);
    for (int i = 0; i < 300; i++) {
        steps[i] = step_of(e, i);
        CHECK_OK(exec_timer_start(e, &steps[i].timer, (int64_t)rand_below(&r, 1000) + 1));
    }
    for (int i = 0; i < 300; i += 3)
        exec_timer_stop(e, &steps[i].timer);
    for (int i = 1; i < 300; i += 3)
        CHECK_OK(exec_timer_start(e, &steps[i].timer, (int64_t)rand_below(&r, 1000) + 1));
    int64_t want[300];
    for (int i = 0; i < 300; i++)
        want[i] = steps[i].timer.at_us;
    exec_fake_advance(e, 2000);
    for (int i = 0; i < 300; i++) {
        CHECK_EQ(steps[i].runs, i % 3 ? 1 : 0);
        if (i % 3)
            CHECK_EQ(steps[i].ran_at_us, want[i]);
    }
    exec_fake_free(e);
}

/* ---------------------------------------------------------------------------------------- thread
 */

struct meeting {
    struct exec_task task;
    struct exec_timer timer;
    struct exec *exec;
    atomic_int runs;
    atomic_bool on_thread;
    atomic_int posted;
};

static void meeting_run(struct exec_task *task)
{
    struct meeting *m = CONTAINER_OF(task, struct meeting, task);
    atomic_store(&m->on_thread, exec_is_current(m->exec));
    atomic_fetch_add(&m->runs, 1);
}

static void *meeting_post(void *arg)
{
    struct meeting *m = arg;
    for (int i = 0; i < 20000; i++)
        atomic_fetch_add(&m->posted, exec_post(m->exec, &m->task));
    return NULL;
}

TEST(exec_thread_runs_every_posting)
{
    struct meeting m = {0};
    pthread_t posters[2];
    CHECK_OK(exec_thread_new("test", 0, &m.exec));
    CHECK(!exec_is_current(m.exec));
    exec_task_init(&m.task, meeting_run);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&posters[i], NULL, meeting_post, &m), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(posters[i], NULL), 0);
    CHECK_SOON(atomic_load(&m.runs) == atomic_load(&m.posted), WAIT_MS);
    CHECK(atomic_load(&m.on_thread));
    exec_thread_free(m.exec);
    CHECK_EQ(atomic_load(&m.runs), atomic_load(&m.posted));
    exec_thread_free(NULL);
}

static void meeting_timer(struct exec_timer *timer)
{
    struct meeting *m = CONTAINER_OF(timer, struct meeting, timer);
    atomic_fetch_add(&m->runs, clock_mono_us() >= timer->at_us ? 1 : 100);
}

static void meeting_arm(struct exec_task *task)
{
    struct meeting *m = CONTAINER_OF(task, struct meeting, task);
    (void)exec_timer_start(m->exec, &m->timer, exec_now_us(m->exec) + 2000);
}

TEST(exec_thread_runs_timers)
{
    struct meeting m = {0};
    CHECK_OK(exec_thread_new("test", 0, &m.exec));
    exec_task_init(&m.task, meeting_arm);
    exec_timer_init(&m.timer, meeting_timer);
    CHECK(exec_post(m.exec, &m.task));
    CHECK_SOON(atomic_load(&m.runs) == 1, WAIT_MS);
    exec_thread_free(m.exec);
    CHECK_EQ(atomic_load(&m.runs), 1);
}

TEST(exec_thread_runs_what_is_queued_before_it_ends)
{
    for (int i = 0; i < 50; i++) {
        struct meeting m = {0};
        CHECK_OK(exec_thread_new("test", 0, &m.exec));
        exec_task_init(&m.task, meeting_run);
        CHECK(exec_post(m.exec, &m.task));
        exec_thread_free(m.exec);
        CHECK_EQ(atomic_load(&m.runs), 1);
    }
}

/* A thread that posts is held before its wake, until the exec is being freed. */
struct slow_wake {
    struct meeting meeting;
    struct exec_ops ops;
    const struct exec_ops *usual;
    atomic_bool held;
    atomic_bool freeing;
};

static struct slow_wake slow;

static void slow_wake_run(struct exec *e)
{
    atomic_store(&slow.held, true);
    while (!atomic_load(&slow.freeing))
        (void)sched_yield();
    for (int i = 0; i < 1000; i++)
        (void)sched_yield();
    slow.usual->wake(e);
}

static void *slow_post(void *arg)
{
    struct meeting *m = arg;
    CHECK(exec_post(m->exec, &m->task));
    return NULL;
}

TEST(exec_thread_outlives_who_is_still_posting_what_it_ran)
{
    pthread_t poster;
    struct meeting *m = &slow.meeting;
    CHECK_OK(exec_thread_new("test", 0, &m->exec));
    exec_task_init(&m->task, meeting_run);
    slow.usual = m->exec->ops;
    slow.ops = *slow.usual;
    slow.ops.wake = slow_wake_run;
    m->exec->ops = &slow.ops;
    CHECK_EQ(pthread_create(&poster, NULL, slow_post, m), 0);
    CHECK_SOON(atomic_load(&slow.held), WAIT_MS);
    slow.usual->wake(m->exec);
    CHECK_SOON(atomic_load(&m->runs) == 1, WAIT_MS);
    atomic_store(&slow.freeing, true);
    exec_thread_free(m->exec);
    CHECK_EQ(pthread_join(poster, NULL), 0);
}
