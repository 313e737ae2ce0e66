/* The text that Prometheus reads, and what the kernel says of this process. */
#include "model/metrics.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void collect_device(void *ctx, struct metrics_writer *w)
{
    struct metric_label label = {"device", ctx};
    metrics_family(w, "lotline_polls_total", METRIC_COUNTER, "Poll cycles\nof \\ a device.");
    metrics_u64(w, &label, 1, UINT64_MAX);
    metrics_family(w, "lotline_rtt_seconds", METRIC_GAUGE, "Round trip.");
    metrics_f64(w, &label, 1, 0.25);
}

static void collect_odd(void *ctx, struct metrics_writer *w)
{
    (void)ctx;
    metrics_u64(w, NULL, 0, 1); /* before any family: nothing */
    metrics_family(w, "odd", METRIC_GAUGE, "Odd ones.");
    metrics_f64(w, NULL, 0, (double)NAN);
    metrics_f64(w, NULL, 0, (double)INFINITY);
    metrics_f64(w, NULL, 0, (double)-INFINITY);
}

TEST(samples_of_several_owners_come_out_as_one_family)
{
    struct metrics *m = NULL;
    struct buf out = {0};
    char first[] = "plc1";
    char second[] = "a\"b\\c\nd";
    CHECK_OK(metrics_new(&m));
    CHECK_OK(metrics_add(m, collect_device, first));
    CHECK_OK(metrics_add(m, collect_device, second));
    CHECK_OK(metrics_print(m, &out));
    CHECK_STR(buf_text(&out), "# HELP lotline_polls_total Poll cycles\\nof \\\\ a device.\n"
                              "# TYPE lotline_polls_total counter\n"
                              "lotline_polls_total{device=\"plc1\"} 18446744073709551615\n"
                              "lotline_polls_total{device=\"a\\\"b\\\\c\\nd\"} "
                              "18446744073709551615\n"
                              "# HELP lotline_rtt_seconds Round trip.\n"
                              "# TYPE lotline_rtt_seconds gauge\n"
                              "lotline_rtt_seconds{device=\"plc1\"} 0.25\n"
                              "lotline_rtt_seconds{device=\"a\\\"b\\\\c\\nd\"} 0.25\n");
    buf_fini(&out);
    metrics_free(m);
}

static void collect_times(void *ctx, struct metrics_writer *w)
{
    static const double bounds[] = {0.01, 0.05};
    static const uint64_t counts[] = {2, 0, 1};
    const struct metric_histogram h = {bounds, counts, 2, 1.5};
    struct metric_label label = {"call", ctx};
    metrics_family(w, "lotline_rest_seconds", METRIC_HISTOGRAM, "How long.");
    metrics_histogram(w, ctx ? &label : NULL, &h);
}

TEST(a_histogram_adds_up_and_ends_with_infinity)
{
    struct metrics *m = NULL;
    struct buf out = {0};
    char call[] = "trace.unit";
    CHECK_OK(metrics_new(&m));
    CHECK_OK(metrics_add(m, collect_times, call));
    CHECK_OK(metrics_print(m, &out));
    CHECK_STR(buf_text(&out),
              "# HELP lotline_rest_seconds How long.\n# TYPE lotline_rest_seconds histogram\n"
              "lotline_rest_seconds_bucket{call=\"trace.unit\",le=\"0.01\"} 2\n"
              "lotline_rest_seconds_bucket{call=\"trace.unit\",le=\"0.05\"} 2\n"
              "lotline_rest_seconds_bucket{call=\"trace.unit\",le=\"+Inf\"} 3\n"
              "lotline_rest_seconds_count{call=\"trace.unit\"} 3\n"
              "lotline_rest_seconds_sum{call=\"trace.unit\"} 1.5\n");
    metrics_remove(m, collect_times, call);
    CHECK_OK(metrics_add(m, collect_times, NULL));
    buf_reset(&out);
    CHECK_OK(metrics_print(m, &out));
    CHECK(strstr(buf_text(&out), "lotline_rest_seconds_count 3\n") != NULL);
    buf_fini(&out);
    metrics_free(m);
}

TEST(numbers_that_are_none_have_their_spelling)
{
    struct metrics *m = NULL;
    struct buf out = {0};
    CHECK_OK(metrics_new(&m));
    CHECK_OK(metrics_add(m, collect_odd, NULL));
    CHECK_OK(metrics_print(m, &out));
    CHECK_STR(buf_text(&out), "# HELP odd Odd ones.\n# TYPE odd gauge\n"
                              "odd NaN\nodd +Inf\nodd -Inf\n");
    metrics_remove(m, collect_odd, NULL);
    buf_reset(&out);
    CHECK_OK(metrics_print(m, &out));
    CHECK_EQ(out.len, 0);
    buf_fini(&out);
    metrics_free(m);
}

TEST(there_is_a_limit_of_owners)
{
    struct metrics *m = NULL;
    CHECK_OK(metrics_new(&m));
    for (int i = 0; i < METRICS_COLLECTORS_MAX; i++)
        CHECK_OK(metrics_add(m, collect_odd, NULL));
    CHECK_ERR(metrics_add(m, collect_odd, NULL), ERR_LIMIT);
    metrics_free(m);
}

static double sample(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    CHECK(at != NULL);
    return strtod(at + strlen(name), NULL);
}

TEST(the_process_is_measured)
{
    struct metrics *m = NULL;
    struct buf out = {0};
    CHECK_OK(metrics_new(&m));
    CHECK_OK(metrics_add(m, metrics_process, NULL));
    CHECK_OK(metrics_print(m, &out));
    const char *text = buf_text(&out);
    CHECK(sample(text, "\nprocess_resident_memory_bytes ") > 100000);
    CHECK(sample(text, "\nprocess_open_fds ") >= 3);
    CHECK(sample(text, "\nprocess_threads ") >= 1);
    CHECK(sample(text, "\nprocess_uptime_seconds ") >= 0);
    CHECK(sample(text, "\nprocess_start_time_seconds ") > 1.7e9);
    buf_fini(&out);
    metrics_free(m);
}

TEST(without_memory_it_is_said_and_nothing_leaks)
{
    char name[] = "plc1";
    FAULT_EACH (n) {
        struct metrics *m = NULL;
        struct buf out = {0};
        int err = metrics_new(&m);
        if (!err)
            err = metrics_add(m, collect_device, name);
        if (!err)
            err = metrics_print(m, &out);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        buf_fini(&out);
        metrics_free(m);
    }
}
