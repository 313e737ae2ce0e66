/* What a reading costs a track that is a whole line: polls of its sensors, scanners and belts in,
 * presences out, on one core. Lines of 10, 50 and 200 belts of 20 m, one behind the other, with 50
 * units on each: a reading is to cost the same on all of them (at most twice as much: more of the
 * line is out of the caches), and a core takes a million of them a second with 10,000 units on the
 * line. Two nearly empty lines show what readings cost that are no pulse of anybody.
 *
 * Peer: the shift register that a controller would use, one for each belt: a unit enters at the
 * pulse of the gate before, and leaves at that of the gate behind. It reads the same batches in the
 * same way (columns, qualities, edges) and knows nothing of lost pulses, speeds or probabilities.
 *
 *   bench_line [BELTS UNITS]   default: the shapes above, one after the other
 */
#include "track/line.h"

#include "base/str.h"
#include "bench/bench.h"

#include <string.h>

#define BELT_MM    20000
#define SPEED_MM_S 200.0
#define DRIFT      0.005
#define POLL_US    100000
#define ROWS       10 /* polls a record: a second */
#define ROUND_S    1.0
#define ROUNDS     5
#define T0         INT64_C(1763800000000000)
#define GOAL       1e6

struct shape {
    uint32_t belts;
    uint32_t units; /* on the line at once */
};

/* The plant: units that enter every `apart` polls and are at each gate so much later. */
struct plant {
    struct shape shape;
    struct schema *schema;
    struct batch_pool *pool;
    struct batch_builder *builder;
    uint64_t apart;
    uint64_t polls; /* made so far */
    uint64_t seq;
};

struct ours {
    struct config *config;
    struct catalogue catalogue;
    struct arena arena;
    struct track *track;
    struct track_stats stats;
    uint64_t presences;
};

/* ----------------------------------------------------------------------------------------- plant
 */

static uint32_t gates_of(const struct plant *p)
{
    return p->shape.belts + 1;
}

static void plant_init(struct plant *p, struct shape shape)
{
    bool sized = shape.units && shape.belts && shape.belts < ASSIGN_GATES_MAX;
    bench_must(sized ? OK : ERR_RANGE, "plant", "a line has 1 to 255 belts, and units");
    const uint32_t gates = shape.belts + 1;
    const uint32_t count = 2 * gates + 1;
    struct field *fields = calloc(count, sizeof *fields);
    char(*names)[16] = calloc(count, sizeof *names);
    double polls_through = (double)shape.belts * BELT_MM / SPEED_MM_S * 1e6 / POLL_US;
    *p = (struct plant){.shape = shape, .pool = batch_pool_new(8)};
    p->apart = (uint64_t)(polls_through / shape.units);
    bench_must(p->apart >= 2 && fields && names ? OK : ERR_INVALID, "plant", "units too near");
    for (uint32_t i = 0; i < count; i++) {
        const char *kind = i < gates ? "g" : i < 2 * gates ? "c" : "v";
        (void)snprintf(names[i], sizeof names[i], "%s%u", kind, i % gates);
        fields[i] = (struct field){.name = names[i],
                                   .type = i < gates       ? VALUE_BOOL
                                           : i < 2 * gates ? VALUE_STRING
                                                           : VALUE_DOUBLE};
    }
    bench_must(schema_new(fields, count, &p->schema), "schema", NULL);
    bench_must(batch_builder_new(p->schema, ROWS, p->pool, &p->builder), "builder", NULL);
    free(fields);
    free(names);
}

static void plant_fini(struct plant *p)
{
    batch_builder_free(p->builder);
    schema_unref(p->schema);
    batch_pool_free(p->pool);
}

/* The number of the unit whose front is at the gate in that poll or was in the one before. */
static bool plant_unit(const struct plant *p, uint32_t gate, uint64_t poll, uint64_t *ret)
{
    uint64_t way = 1 + (uint64_t)((double)gate * BELT_MM / SPEED_MM_S * 1e6 / POLL_US);
    if (poll < way)
        return false;
    *ret = (poll - way) / p->apart;
    return (poll - way) % p->apart == 0;
}

static struct batch *plant_record(struct plant *p)
{
    struct batch *b = NULL;
    uint32_t gates = gates_of(p);
    for (int row = 0; row < ROWS; row++, p->polls++) {
        (void)batch_builder_row(p->builder, T0 + (int64_t)p->polls * POLL_US);
        for (uint32_t gate = 0; gate < gates; gate++) {
            char code[24] = "";
            uint64_t unit = 0;
            bool there = plant_unit(p, gate, p->polls, &unit);
            batch_set_bool(p->builder, gate, there);
            if (gate == 0 || gate + 1 == gates)
                (void)snprintf(code, sizeof code, "U%08llu", (unsigned long long)unit);
            (void)batch_set_bytes(p->builder, gates + gate, bytes_of_text(code));
        }
        batch_set_f64(p->builder, 2 * gates, SPEED_MM_S);
    }
    bench_must(batch_builder_finish(p->builder, &b), "finish", NULL);
    return b;
}

/* Readings that a track takes of a record: all sensors, two scanners, the speed. */
static double record_readings(const struct plant *p)
{
    return (double)ROWS * (gates_of(p) + 3);
}

/* ------------------------------------------------------------------------------------------ ours
 */

static char *config_text(const struct plant *p)
{
    struct buf b = {0};
    (void)buf_printf(&b, "name: n\ntracks:\n  - name: line\n    parts:\n");
    for (uint32_t i = 0; i < p->shape.belts; i++) {
        (void)buf_printf(&b,
                         "      - {belt: b%u, length_mm: %d, speed: {signal: plc.line.v0}, to: ", i,
                         BELT_MM);
        (void)(i + 1 < p->shape.belts ? buf_printf(&b, "b%u", i + 1) : buf_printf(&b, "out"));
        (void)buf_printf(&b, ", places: [{station: s%u, from_mm: 1000, to_mm: 2000}]}\n", i);
    }
    (void)buf_printf(&b, "    gates:\n");
    for (uint32_t i = 0; i <= p->shape.belts; i++) {
        bool last = i == p->shape.belts;
        (void)buf_printf(&b, "      - {signal: plc.line.g%u, drift: %g, %s: b%u", i, DRIFT,
                         last ? "out_of" : "into", last ? i - 1 : i);
        if (last || i == 0)
            (void)buf_printf(&b, ", unit: plc.line.c%u", i);
        (void)buf_printf(&b, "}\n");
    }
    bench_must(buf_error(&b), "configuration", NULL);
    return strndup((const char *)b.ptr, b.len);
}

static void ours_init(struct ours *o, const struct plant *p)
{
    struct diag diag = {0};
    struct stream *s = NULL;
    char *text = config_text(p);
    *o = (struct ours){0};
    bench_must(config_parse("line.yaml", bytes_of_text(text), &o->config, &diag), "configuration",
               diag.text);
    bench_must(catalogue_init(&o->catalogue, "n"), "catalogue", NULL);
    bench_must(catalogue_stream_add(&o->catalogue, "plc.line", STREAM_GROUP, "p", p->schema, &s),
               "stream", NULL);
    bench_must(track_make(config_object_at(o->config, CONFIG_TRACK, 0), &o->arena, &o->catalogue,
                          &diag, &o->track),
               "track", diag.text);
    o->track->stats = &o->stats;
    free(text);
}

static void ours_take(struct ours *o, struct plant *p, const struct batch *b)
{
    struct batch *out = NULL;
    bench_must(track_record(o->track, (struct position){1, ++p->seq}, bytes_of_text("plc.line"), b),
               "track_record", NULL);
    if (batch_builder_rows(o->track->builder) == 0)
        return;
    bench_must(batch_builder_finish(o->track->builder, &out), "presences", NULL);
    o->presences += out->rows;
    batch_unref(out);
}

static void ours_fini(struct ours *o)
{
    track_drop(o->track);
    catalogue_fini(&o->catalogue);
    config_free(o->config);
    arena_fini(&o->arena);
}

/* ------------------------------------------------------------------------------------------ peer
 */

struct shift {
    uint64_t first; /* the numbers of the units on it */
    uint64_t end;
    bool level;
};

static uint64_t peer_take(struct shift *belts, const struct plant *p, const struct batch *b)
{
    uint32_t gates = gates_of(p);
    uint64_t left = 0;
    for (uint32_t gate = 0; gate < gates; gate++) {
        struct column c = batch_column(b, gate);
        for (uint32_t row = 0; row < b->rows; row++) {
            if (column_quality(&c, row) != QUALITY_GOOD || column_is_null(&c, row))
                continue;
            struct value v = column_shown(&c, row);
            bool edge = v.boolean && !belts[gate].level;
            belts[gate].level = v.boolean;
            if (!edge)
                continue;
            belts[gate].end += gate + 1 < gates;
            if (gate > 0 && belts[gate - 1].first < belts[gate - 1].end) {
                belts[gate - 1].first++;
                left++;
            }
        }
    }
    return left;
}

/* --------------------------------------------------------------------------------------- measured
 */

struct figures {
    double ours_ns;
    double peer_ns;
    uint32_t units;
};

static double round_ns(struct ours *o, struct shift *belts, struct plant *p)
{
    double busy = 0;
    double readings = 0;
    double end = bench_now_s() + ROUND_S;
    while (bench_now_s() < end) {
        struct batch *b = plant_record(p);
        double from = bench_now_s();
        if (o)
            ours_take(o, p, b);
        else
            (void)peer_take(belts, p, b);
        busy += bench_now_s() - from;
        readings += record_readings(p);
        batch_unref(b);
    }
    return busy / readings * 1e9;
}

static void ours_fill(struct ours *o, struct plant *p)
{
    uint64_t through = (uint64_t)(p->shape.belts * BELT_MM / SPEED_MM_S * 1e6 / POLL_US);
    while (p->polls < through + 10 * p->apart) {
        struct batch *b = plant_record(p);
        ours_take(o, p, b);
        batch_unref(b);
    }
}

static struct figures measure(struct shape shape)
{
    struct figures f = {0};
    struct plant p;
    struct ours o;
    double ours[ROUNDS];
    double peer[ROUNDS];
    plant_init(&p, shape);
    ours_init(&o, &p);
    ours_fill(&o, &p);
    struct shift *belts = calloc(gates_of(&p), sizeof *belts);
    bench_must(belts ? OK : ERR_NOMEM, "peer", NULL);
    for (int i = 0; i < ROUNDS; i++) {
        ours[i] = round_ns(&o, NULL, &p);
        /* The peer sees a plant of its own: what it misses of ours is not timed. */
        struct plant q;
        plant_init(&q, shape);
        peer[i] = round_ns(NULL, belts, &q);
        plant_fini(&q);
    }
    struct assign_stats stats;
    assign_stats_get(line_of(o.track)->assign, &stats);
    f.ours_ns = bench_median(ours, ROUNDS);
    f.peer_ns = bench_median(peer, ROUNDS);
    f.units = stats.units;
    char said[96];
    (void)snprintf(said, sizeof said, "%llu lost, %llu from nowhere, %llu forced, %llu presences",
                   (unsigned long long)o.stats.lost, (unsigned long long)o.stats.ghosts,
                   (unsigned long long)stats.forced, (unsigned long long)o.presences);
    bench_must(o.stats.lost + o.stats.ghosts + stats.forced == 0 && o.presences ? OK : ERR_INVALID,
               "what the track says of a perfect plant", said);
    ours_fini(&o);
    free(belts);
    plant_fini(&p);
    return f;
}

static void shape_print(const struct shape *shape, const struct figures *f,
                        const struct shape *small, const struct figures *of)
{
    char what[96];
    (void)snprintf(what, sizeof what, "%u belts, %u units: readings a second", shape->belts,
                   f->units);
    bench_ratio("line", what, 1e9 / f->ours_ns, GOAL, "1/s", 1);
    (void)snprintf(what, sizeof what, "%u belts, %u units: a shift register", shape->belts,
                   f->units);
    bench_ratio("line", what, 1e9 / f->ours_ns, 1e9 / f->peer_ns, "1/s", 0);
    (void)snprintf(what, sizeof what, "%u belts, %u units: a reading, of %u belts, %u units",
                   shape->belts, f->units, small->belts, of->units);
    bench_value("line", what, f->ours_ns / of->ours_ns, "times", 2);
}

int main(int argc, char **argv)
{
    struct shape shapes[] = {{10, 500}, {50, 2500}, {200, 10000}, {10, 10}, {200, 200}};
    size_t count = sizeof shapes / sizeof shapes[0];
    struct figures first = {0};
    if (argc == 3) {
        shapes[0] = (struct shape){(uint32_t)strtoul(argv[1], NULL, 10),
                                   (uint32_t)strtoul(argv[2], NULL, 10)};
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        struct figures f = measure(shapes[i]);
        first = i ? first : f;
        shape_print(&shapes[i], &f, &shapes[0], &first);
    }
    return 0;
}
