/* What the benchmarks share: clocks, and results as JSON lines.
 *
 * A result is a ratio against a named limit or peer measured in the same run, never a bare speed;
 * the figures behind it are printed beside it.
 */
#ifndef LOTLINE_BENCH_BENCH_H
#define LOTLINE_BENCH_BENCH_H

#include "base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static inline double bench_now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* CPU time of this whole process, user and system. */
static inline double bench_cpu_s(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 +
           (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec * 1e-6;
}

/* Ends the benchmark when something it needs does not work. text: more to say, or NULL. */
static inline void bench_must(int err, const char *what, const char *text)
{
    if (!err)
        return;
    (void)fprintf(stderr, "%s: %s%s%s\n", what, err_text(err), text ? ": " : "", text ? text : "");
    exit(1); /* NOLINT(concurrency-mt-unsafe): a benchmark has nothing to put in order */
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof values[0], bench_compare);
    return values[count / 2];
}

/* {"bench":…,"case":…,"ours":…,"peer":…,"unit":…,"ratio":…,"goal":…}: ratio = ours / peer. */
static inline void bench_ratio(const char *bench, const char *what, double ours, double peer,
                               const char *unit, double goal)
{
    (void)printf("{\"bench\":\"%s\",\"case\":\"%s\",\"ours\":%.6g,\"peer\":%.6g,\"unit\":\"%s\","
                 "\"ratio\":%.3f,\"goal\":%.3g,\"met\":%s}\n",
                 bench, what, ours, peer, unit, ours / peer, goal,
                 ours / peer >= goal ? "true" : "false");
    (void)fflush(stdout);
}

/* {"bench":…,"case":…,"value":…,"unit":…,"limit":…}: value is to stay below limit (0 = none). */
static inline void bench_value(const char *bench, const char *what, double value, const char *unit,
                               double limit)
{
    (void)printf("{\"bench\":\"%s\",\"case\":\"%s\",\"value\":%.6g,\"unit\":\"%s\",\"limit\":%.6g,"
                 "\"met\":%s}\n",
                 bench, what, value, unit, limit, limit == 0 || value <= limit ? "true" : "false");
    (void)fflush(stdout);
}

#endif
