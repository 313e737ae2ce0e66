/* What it costs to bind readings to units: unit windows on a line of belts, one core.
 *
 * On each belt is a station with SIGNALS signals that stand there, polled ten times a second, and
 * each station has a rule, as one would write it:
 *
 *   SELECT unit_id() AS unit, avg(t0) AS a0, max(t0) AS m0, timeabove(t0, 50) AS o0,
 *     covered(t0) AS c0, … FROM "plc.zK" GROUP BY UNITWINDOW('line', 'sK')
 *
 * The presences are the line's own track's, made of its pulses (not timed; see line.c), with the
 * paths of units over the belts; each rule sees all of them, as in a node. A reading is one value
 * of one signal: it is taken into four aggregates, and out of them again for whoever was there. A
 * core takes a million of them a second with 10,000 units on the line, and one costs the same as on
 * a line of 10 belts (at most twice as much: more of it is out of the caches).
 *
 * Peer: the same batches in the same engine without units: avg, max, min and count over tumbling
 * windows as long as a unit is at a station.
 *
 *   bench_bind [BELTS UNITS]   default: 10 belts with 500 units, then 200 with 10,000
 */
#include "bench/bench.h"
#include "bench/plant.h"
#include "stream/pipeline.h"

#include <math.h>

#define SIGNALS 4
#define ROUND_S 1.0
#define ROUNDS  5
#define UNIT_TIME_US                                                                               \
    (300 * INT64_C(1000000)) /* a unit is told of 95 s after it was at a station                   \
                              */
#define STAY_POLLS 50

struct zone {
    const struct stream *stream;
    struct schema *schema;
    struct batch_builder *builder;
    struct plan *plans[2]; /* by units; by tumbling windows */
    struct pipeline *pipelines[2];
    struct batch *batch; /* the present second's */
};

struct bind {
    struct plant plant;
    struct plant_track line;
    struct zone *stations;
    uint64_t seq;
    uint64_t rows[2]; /* that came out */
    uint64_t odd;     /* units that have not the readings that they should have */
};

/* ------------------------------------------------------------------------------------------ line
 */

static void signals_config(void *ctx, const struct plant *p, struct buf *out)
{
    (void)ctx;
    (void)buf_printf(out, "    signals:\n");
    for (uint32_t i = 0; i < p->shape.belts; i++)
        for (uint32_t k = 0; k < SIGNALS; k++)
            (void)buf_printf(out, "      plc.z%u.t%u: {from_mm: 1000, to_mm: 2000}\n", i, k);
}

static void signals_streams(void *ctx, const struct plant *p, struct catalogue *catalogue)
{
    struct bind *t = ctx;
    for (uint32_t i = 0; i < p->shape.belts; i++) {
        struct zone *s = &t->stations[i];
        struct stream *stream = NULL;
        struct field fields[SIGNALS];
        char names[SIGNALS][8];
        char name[32];
        for (uint32_t k = 0; k < SIGNALS; k++) {
            (void)snprintf(names[k], sizeof names[k], "t%u", k);
            fields[k] = (struct field){.name = names[k], .type = VALUE_DOUBLE};
        }
        (void)snprintf(name, sizeof name, "plc.z%u", i);
        bench_must(schema_new(fields, SIGNALS, &s->schema), "schema", NULL);
        bench_must(batch_builder_new(s->schema, ROWS, p->pool, &s->builder), "builder", NULL);
        bench_must(catalogue_stream_add(catalogue, name, STREAM_GROUP, "p", s->schema, &stream),
                   "stream", NULL);
        s->stream = stream;
    }
}

/* ----------------------------------------------------------------------------------------- rules
 */

static double number(const struct batch *b, uint32_t col, uint32_t row)
{
    double v = (double)NAN;
    struct column c = batch_column(b, col);
    struct value cell = column_value(&c, row);
    (void)value_to_double(&cell, &v);
    return v;
}

/* The first signal counts the polls: its mean is half a stay before its last. */
static void take_units(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct bind *t = ctx;
    (void)key;
    (void)resume;
    for (uint32_t row = 0; row < b->rows; row++) {
        double off = number(b, 2, row) - number(b, 1, row) - (STAY_POLLS - 1) / 2.0;
        t->odd += !(fabs(off) <= 1 && number(b, 4, row) == 1);
    }
    t->rows[0] += b->rows;
    batch_unref(b);
}

static void take_windows(void *ctx, struct batch *b, struct record_key key, struct position resume)
{
    struct bind *t = ctx;
    (void)key;
    (void)resume;
    t->rows[1] += b->rows;
    batch_unref(b);
}

static void rule_make(struct bind *t, struct zone *s, int which, const char *sql)
{
    struct diag diag = {0};
    struct pipeline_options o = {
        .unit_time_us = UNIT_TIME_US, .emit = which ? take_windows : take_units, .ctx = t};
    bench_must(plan_new(sql, &t->line.catalogue, &s->plans[which], &diag), "rule", diag.text);
    o.plan = s->plans[which];
    bench_must(pipeline_new(&o, &s->pipelines[which]), "pipeline", NULL);
}

static void station_rules(struct bind *t, uint32_t station)
{
    struct zone *s = &t->stations[station];
    for (int which = 0; which < 2; which++) {
        struct buf sql = {0};
        (void)buf_printf(&sql, "SELECT %s", which ? "" : "unit_id() AS unit, ");
        for (uint32_t k = 0; k < SIGNALS; k++) {
            (void)buf_printf(&sql, "%savg(t%u) AS a%u, max(t%u) AS m%u, ", k ? ", " : "", k, k, k,
                             k);
            (void)buf_printf(&sql, which ? "min(t%u) AS o%u" : "timeabove(t%u, 50) AS o%u", k, k);
            (void)buf_printf(&sql, ", %s(t%u) AS c%u", which ? "count" : "covered", k, k);
        }
        (void)buf_printf(&sql, " FROM \"%s\" GROUP BY ", s->stream->name);
        if (which)
            (void)buf_printf(&sql, "TUMBLINGWINDOW(ss, %d)", STAY_POLLS / ROWS);
        else
            (void)buf_printf(&sql, "UNITWINDOW('line', 's%u')", station);
        bench_must(buf_error(&sql), "rule", NULL);
        rule_make(t, s, which, buf_text(&sql));
        buf_fini(&sql);
    }
}

static void bind_init(struct bind *t, struct shape shape)
{
    const struct plant_more more = {signals_config, signals_streams, t};
    *t = (struct bind){.stations = calloc(shape.belts, sizeof *t->stations)};
    bench_must(t->stations ? OK : ERR_NOMEM, "stations", NULL);
    plant_init(&t->plant, shape);
    plant_track_init(&t->line, &t->plant, &more);
    for (uint32_t i = 0; i < shape.belts; i++)
        station_rules(t, i);
}

static void bind_fini(struct bind *t)
{
    for (uint32_t i = 0; i < t->plant.shape.belts; i++) {
        struct zone *s = &t->stations[i];
        for (int which = 0; which < 2; which++) {
            pipeline_free(s->pipelines[which]);
            plan_free(s->plans[which]);
        }
        batch_builder_free(s->builder);
    }
    plant_track_fini(&t->line);
    for (uint32_t i = 0; i < t->plant.shape.belts; i++)
        schema_unref(t->stations[i].schema);
    plant_fini(&t->plant);
    free(t->stations);
}

/* -------------------------------------------------------------------------------------- measured
 */

/* The next second: the signals of all stations, and the presences, which may be NULL. */
static struct batch *second_make(struct bind *t)
{
    uint64_t first = t->plant.polls;
    struct batch *b = plant_record(&t->plant);
    struct batch *presences = plant_track_take(&t->line, &t->plant, b);
    batch_unref(b);
    for (uint32_t i = 0; i < t->plant.shape.belts; i++) {
        struct zone *s = &t->stations[i];
        for (uint32_t row = 0; row < ROWS; row++) {
            (void)batch_builder_row(s->builder, T0 + (int64_t)(first + row) * POLL_US);
            batch_set_f64(s->builder, 0, (double)(first + row));
            for (uint32_t k = 1; k < SIGNALS; k++)
                batch_set_f64(s->builder, k, (double)((first * k + row * 7 + i) % 100));
        }
        bench_must(batch_builder_finish(s->builder, &s->batch), "signals", NULL);
    }
    return presences;
}

static void second_drop(struct bind *t, struct batch *presences)
{
    for (uint32_t i = 0; i < t->plant.shape.belts; i++)
        batch_unref(t->stations[i].batch);
    batch_unref(presences);
}

static void second_take(struct bind *t, const struct batch *presences, int which)
{
    struct position at = {1, ++t->seq};
    for (uint32_t i = 0; i < t->plant.shape.belts; i++) {
        struct zone *s = &t->stations[i];
        struct pipeline *p = s->pipelines[which];
        int64_t now_us = batch_times(s->batch)[ROWS - 1];
        bench_must(pipeline_push(p, s->batch, at, now_us, NULL), "signals", NULL);
        if (presences && which == 0)
            bench_must(pipeline_presence(p, presences, at, false), "presences", NULL);
        bench_must(pipeline_flush(p), "rows", NULL);
    }
}

/* Nanoseconds a reading of each; both see every second. */
static void round_run(struct bind *t, double ret_ns[static 2])
{
    double busy[2] = {0};
    double readings = 0;
    double end = bench_now_s() + 2 * ROUND_S;
    while (bench_now_s() < end) {
        struct batch *presences = second_make(t);
        for (int which = 0; which < 2; which++) {
            double from = bench_now_s();
            second_take(t, presences, which);
            busy[which] += bench_now_s() - from;
        }
        second_drop(t, presences);
        readings += (double)t->plant.shape.belts * ROWS * SIGNALS;
    }
    for (int which = 0; which < 2; which++)
        ret_ns[which] = busy[which] / readings * 1e9;
}

/* The line with all its units on it, and the rules with as many values as they keep. */
static void bind_fill(struct bind *t)
{
    const struct plant *p = &t->plant;
    plant_track_fill(&t->line, &t->plant);
    uint64_t full = p->polls + 2 * UNIT_TIME_US / POLL_US;
    while (p->polls < full) {
        struct batch *presences = second_make(t);
        second_take(t, presences, 0);
        second_take(t, presences, 1);
        second_drop(t, presences);
    }
    t->odd = 0; /* who was there before the first values */
}

static struct plant_cost measure(struct shape shape)
{
    struct plant_cost cost = {.shape = shape};
    struct assign_stats stats;
    struct bind t;
    double ns[2][ROUNDS];
    bind_init(&t, shape);
    bind_fill(&t);
    t.rows[0] = t.rows[1] = 0;
    for (int i = 0; i < ROUNDS; i++) {
        double round[2];
        round_run(&t, round);
        ns[0][i] = round[0];
        ns[1][i] = round[1];
    }
    assign_stats_get(line_of(t.line.track)->assign, &stats);
    cost.units = stats.units;
    cost.ours_ns = bench_median(ns[0], ROUNDS);
    cost.peer_ns = bench_median(ns[1], ROUNDS);
    char said[96];
    (void)snprintf(said, sizeof said, "%llu units, %llu odd ones, %llu windows",
                   (unsigned long long)t.rows[0], (unsigned long long)t.odd,
                   (unsigned long long)t.rows[1]);
    bench_must(t.rows[0] && t.rows[1] && !t.odd ? OK : ERR_INVALID, "what came out", said);
    bind_fini(&t);
    return cost;
}

int main(int argc, char **argv)
{
    struct shape shapes[] = {{10, 500, 0}, {200, 10000, 0}};
    size_t count = sizeof shapes / sizeof shapes[0];
    struct plant_cost first = {0};
    if (argc == 3) {
        shapes[0] = (struct shape){(uint32_t)strtoul(argv[1], NULL, 10),
                                   (uint32_t)strtoul(argv[2], NULL, 10), 0};
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        struct plant_cost f = measure(shapes[i]);
        first = i ? first : f;
        plant_cost_print("bind", "readings bound", "tumbling windows without units", &f, &first);
    }
    return 0;
}
