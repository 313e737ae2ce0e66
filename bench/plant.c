/* See plant.h. */
#include "bench/plant.h"

#include "base/str.h"

#include <string.h>

/* ----------------------------------------------------------------------------------------- plant
 */

uint32_t plant_gates(const struct plant *p)
{
    return p->shape.belts + 1;
}

void plant_init(struct plant *p, struct shape shape)
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

void plant_fini(struct plant *p)
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

struct batch *plant_record(struct plant *p)
{
    struct batch *b = NULL;
    uint32_t gates = plant_gates(p);
    for (int row = 0; row < ROWS; row++, p->polls++) {
        (void)batch_builder_row(p->builder, T0 + (int64_t)p->polls * POLL_US);
        for (uint32_t gate = 0; gate < gates; gate++) {
            char code[24] = "";
            uint64_t unit = 0;
            bool there = plant_unit(p, gate, p->polls, &unit);
            bool lost = there && p->shape.lost && (unit * 31 + gate * 17) % p->shape.lost == 0;
            batch_set_bool(p->builder, gate, there && !lost);
            if (gate == 0 || gate + 1 == gates)
                (void)snprintf(code, sizeof code, "U%08llu", (unsigned long long)unit);
            (void)batch_set_bytes(p->builder, gates + gate, bytes_of_text(code));
        }
        batch_set_f64(p->builder, 2 * gates, SPEED_MM_S);
    }
    bench_must(batch_builder_finish(p->builder, &b), "finish", NULL);
    return b;
}

double plant_record_readings(const struct plant *p)
{
    return (double)ROWS * (plant_gates(p) + 3);
}

/* ------------------------------------------------------------------------------------------ ours
 */

static char *config_text(const struct plant *p, const struct plant_more *more)
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
    if (more)
        more->config(more->ctx, p, &b);
    bench_must(buf_error(&b), "configuration", NULL);
    return strndup((const char *)b.ptr, b.len);
}

void plant_track_init(struct plant_track *o, const struct plant *p, const struct plant_more *more)
{
    struct diag diag = {0};
    struct stream *s = NULL;
    char *text = config_text(p, more);
    *o = (struct plant_track){0};
    bench_must(config_parse("line.yaml", bytes_of_text(text), &o->config, &diag), "configuration",
               diag.text);
    bench_must(catalogue_init(&o->catalogue, "n"), "catalogue", NULL);
    bench_must(catalogue_stream_add(&o->catalogue, "plc.line", STREAM_GROUP, "p", p->schema, &s),
               "stream", NULL);
    if (more)
        more->streams(more->ctx, p, &o->catalogue);
    bench_must(track_make(config_object_at(o->config, CONFIG_TRACK, 0), &o->arena, &o->catalogue,
                          &diag, &o->track),
               "track", diag.text);
    o->track->stats = &o->stats;
    free(text);
}

struct batch *plant_track_take(struct plant_track *o, struct plant *p, const struct batch *b)
{
    struct batch *out = NULL;
    bench_must(track_record(o->track, (struct position){1, ++p->seq}, bytes_of_text("plc.line"), b),
               "track_record", NULL);
    if (batch_builder_rows(o->track->builder) == 0)
        return NULL;
    bench_must(batch_builder_finish(o->track->builder, &out), "presences", NULL);
    o->presences += out->rows;
    return out;
}

void plant_track_fini(struct plant_track *o)
{
    track_drop(o->track);
    catalogue_fini(&o->catalogue);
    config_free(o->config);
    arena_fini(&o->arena);
}

void plant_track_fill(struct plant_track *o, struct plant *p)
{
    uint64_t through = (uint64_t)(p->shape.belts * BELT_MM / SPEED_MM_S * 1e6 / POLL_US);
    while (p->polls < through + 10 * p->apart) {
        struct batch *b = plant_record(p);
        batch_unref(plant_track_take(o, p, b));
        batch_unref(b);
    }
}

void plant_cost_print(const char *bench, const char *what, const char *peer,
                      const struct plant_cost *cost, const struct plant_cost *smallest)
{
    char text[96];
    double ours = 1e9 / cost->ours_ns;
    uint32_t belts = cost->shape.belts;
    (void)snprintf(text, sizeof text, "%u belts, %u units: %s a second", belts, cost->units, what);
    bench_ratio(bench, text, ours, PLANT_GOAL, "1/s", 1);
    (void)snprintf(text, sizeof text, "%u belts, %u units: %s", belts, cost->units, peer);
    bench_ratio(bench, text, ours, 1e9 / cost->peer_ns, "1/s", 0);
    (void)snprintf(text, sizeof text, "%u belts, %u units: a reading, of %u belts, %u units", belts,
                   cost->units, smallest->shape.belts, smallest->units);
    bench_value(bench, text, cost->ours_ns / smallest->ours_ns, "times", 2);
}
