/* The ring on one thread, and between several. */
#include "base/ring.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define PRODUCERS 2
#define CONSUMERS 2
#define EACH      20000

TEST(ring_is_first_in_first_out_and_bounded)
{
    struct ring *r = ring_new(3);
    int items[5];
    CHECK(r != NULL);
    CHECK(ring_pop(r) == NULL);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            CHECK(ring_push(r, &items[i]));
        CHECK(!ring_push(r, &items[4]));
        CHECK_EQ(ring_count(r), 4);
        for (int i = 0; i < 4; i++)
            CHECK(ring_pop(r) == &items[i]);
        CHECK(ring_pop(r) == NULL);
        CHECK_EQ(ring_count(r), 0);
    }
    ring_free(r);
    ring_free(NULL);
}

struct hall {
    struct ring *ring;
    atomic_uint seen[PRODUCERS * EACH];
    atomic_uint left;
    unsigned char items[PRODUCERS * EACH];
};

struct worker {
    struct hall *hall;
    size_t from;
};

static void *produce(void *arg)
{
    struct worker *w = arg;
    for (size_t i = w->from; i < w->from + EACH; i++) {
        while (!ring_push(w->hall->ring, &w->hall->items[i]))
            (void)sched_yield();
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct worker *w = arg;
    while (atomic_load(&w->hall->left) > 0) {
        unsigned char *item = ring_pop(w->hall->ring);
        if (!item) {
            (void)sched_yield();
            continue;
        }
        atomic_fetch_add(&w->hall->seen[item - w->hall->items], 1);
        atomic_fetch_sub(&w->hall->left, 1);
    }
    return NULL;
}

TEST(ring_loses_and_doubles_nothing_between_threads)
{
    static struct hall hall;
    pthread_t threads[PRODUCERS + CONSUMERS];
    struct worker workers[PRODUCERS + CONSUMERS];
    hall.ring = ring_new(64);
    CHECK(hall.ring != NULL);
    atomic_store(&hall.left, PRODUCERS * EACH);
    for (size_t i = 0; i < PRODUCERS + CONSUMERS; i++) {
        workers[i] = (struct worker){&hall, i * EACH};
        CHECK_EQ(pthread_create(&threads[i], NULL, i < PRODUCERS ? produce : consume, &workers[i]),
                 0);
    }
    for (size_t i = 0; i < PRODUCERS + CONSUMERS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < PRODUCERS * EACH; i++)
        CHECK_EQ(atomic_load(&hall.seen[i]), 1);
    ring_free(hall.ring);
}

TEST(ring_without_memory)
{
    FAULT_EACH (n) {
        struct ring *r = ring_new(8);
        CHECK_EQ(fault_hit(), r == NULL);
        ring_free(r);
    }
}
