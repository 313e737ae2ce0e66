/* How long calls over REST took in the server, at /metrics: from the request whole to the answer
 * made, by call. What the network and the client need is not in it.
 */
#include "api/api_priv.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

/* Upper bounds, seconds; one more bucket has what took longer. */
static const double bounds[TIMING_BOUNDS] = {0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04,
                                             0.05,  0.075, 0.1,   0.2,  0.5,  1,    5};

struct timing {
    atomic_uint_fast64_t counts[TIMING_BOUNDS + 1];
    atomic_uint_fast64_t sum_us;
};

int timing_new(struct timing **ret)
{
    struct timing *t = calloc(routes_count(), sizeof *t);
    if (!t)
        return ERR_NOMEM;
    *ret = t;
    return OK;
}

/* Of several routes of one call the first. */
static struct timing *timing_of(struct timing *timings, const char *call)
{
    const struct route *routes = routes_table();
    size_t i = 0;
    while (!routes[i].call || strcmp(routes[i].call, call) != 0)
        i++;
    return &timings[i];
}

void timing_note(struct timing *timings, const char *call, int64_t began_us)
{
    struct timing *t = timing_of(timings, call);
    int64_t us = clock_mono_us() - began_us;
    size_t i = 0;
    while (i < TIMING_BOUNDS && (double)us > bounds[i] * 1e6)
        i++;
    (void)atomic_fetch_add_explicit(&t->counts[i], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&t->sum_us, us > 0 ? (uint64_t)us : 0, memory_order_relaxed);
}

static void timing_print(const struct timing *t, const char *call, struct metrics_writer *w)
{
    uint64_t counts[TIMING_BOUNDS + 1];
    uint64_t total = 0;
    for (size_t i = 0; i <= TIMING_BOUNDS; i++) {
        counts[i] = atomic_load_explicit(&t->counts[i], memory_order_relaxed);
        total += counts[i];
    }
    const struct metric_label label = {"call", call};
    const struct metric_histogram h = {
        .bounds = bounds,
        .counts = counts,
        .bound_count = TIMING_BOUNDS,
        .sum = (double)atomic_load_explicit(&t->sum_us, memory_order_relaxed) / 1e6,
    };
    if (total)
        metrics_histogram(w, &label, &h);
}

void timing_collect(void *ctx, struct metrics_writer *w)
{
    const struct api *a = ctx;
    metrics_family(w, "lotline_rest_seconds", METRIC_HISTOGRAM,
                   "How long calls over REST took in this node.");
    for (size_t i = 0; i < routes_count(); i++)
        if (a->ports[i])
            timing_print(&a->timings[i], a->ports[i]->spec->name, w);
}
