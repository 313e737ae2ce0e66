/* Tests of lines: gates, codes and speeds as a PLC shows them, poll by poll, and the presences that
 * come out. */
#ifndef LOTLINE_TESTS_SUPPORT_LINE_BENCH_H
#define LOTLINE_TESTS_SUPPORT_LINE_BENCH_H

#include "tests/support/check.h"
#include "track/line.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0       INT64_C(1763800000000000)
#define POLL_MS  100
#define GATES    8
#define SCANNERS 4
#define SPEEDS   2
#define SEEN_MAX 200 /* that answers are looked up among */

struct seen {
    char serial[64];
    char station[16];
    char status[16];
    char evidence[160];
    char clocks[64]; /* where the track compares some */
    double probability;
    int64_t t_in;
    int64_t t_out;
    int64_t revision;
    int64_t visit;
    bool retracted;
    uint8_t unit[TRACK_UNIT_BYTES];
};

struct bench {
    struct config *config;
    struct catalogue catalogue;
    struct schema *schema;
    struct arena arena;
    struct track *track;
    struct track_stats stats;
    bool *gate[GATES]; /* by poll */
    char (*code[SCANNERS])[8];
    double *speed[SPEEDS];
    int polls;
    uint64_t seq;
    struct seen *seen;
    int count;
    int seen_cap;
    int alarms; /* raised */
    int cleared;
    char alarm[256]; /* the last one's name and what it is about */
    char alarm_text[512];
};

/* ------------------------------------------------------------------------------------------ plant
 */

static inline struct bench *bench_new(const char *config, int seconds)
{
    static const char *const names[GATES + SCANNERS + SPEEDS] = {
        "g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "c0", "c1", "c2", "c3", "v0", "v1"};
    struct field fields[GATES + SCANNERS + SPEEDS];
    struct bench *t = calloc(1, sizeof *t);
    struct diag diag = {0};
    struct stream *s = NULL;
    CHECK(t != NULL);
    for (int i = 0; i < GATES + SCANNERS + SPEEDS; i++) {
        fields[i] = (struct field){.name = names[i],
                                   .type = i < GATES              ? VALUE_BOOL
                                           : i < GATES + SCANNERS ? VALUE_STRING
                                                                  : VALUE_DOUBLE};
    }
    if (config_parse("t.yaml", bytes_of_text(config), &t->config, &diag))
        check_fail_at(__FILE__, __LINE__, "config: %s", diag.text);
    CHECK_OK(schema_new(fields, GATES + SCANNERS + SPEEDS, &t->schema));
    CHECK_OK(catalogue_init(&t->catalogue, "n"));
    CHECK_OK(
        catalogue_stream_add(&t->catalogue, "plc.line", STREAM_GROUP, "plant/line", t->schema, &s));
    t->polls = seconds * 1000 / POLL_MS;
    for (int i = 0; i < GATES; i++)
        CHECK((t->gate[i] = calloc((size_t)t->polls + 1, sizeof *t->gate[i])) != NULL);
    for (int i = 0; i < SCANNERS; i++)
        CHECK((t->code[i] = calloc((size_t)t->polls + 1, sizeof *t->code[i])) != NULL);
    for (int i = 0; i < SPEEDS; i++) {
        CHECK((t->speed[i] = calloc((size_t)t->polls + 1, sizeof *t->speed[i])) != NULL);
        for (int k = 0; k <= t->polls; k++)
            t->speed[i][k] = 100;
    }
    return t;
}

static inline void bench_alarm(void *ctx, const char *name, const char *source, const char *text)
{
    struct bench *t = ctx;
    t->alarms += text != NULL;
    t->cleared += text == NULL;
    (void)snprintf(t->alarm, sizeof t->alarm, "%s %s", name, source);
    if (text)
        (void)snprintf(t->alarm_text, sizeof t->alarm_text, "%s", text);
    if (text && getenv("LINE_TEST_SHOW"))
        printf("%s: %s\n", t->alarm, text);
}

static inline void bench_track(struct bench *t)
{
    struct diag diag = {0};
    const struct config_object *object = config_object_at(t->config, CONFIG_TRACK, 0);
    if (track_make(object, &t->arena, &t->catalogue, &diag, &t->track))
        check_fail_at(__FILE__, __LINE__, "%u:%u %s", diag.line, diag.column, diag.text);
    t->track->stats = &t->stats;
    t->track->alarm = bench_alarm;
    t->track->alarm_ctx = t;
}

/* What is said of a stay again has a higher revision. */
static inline void check_revisions(const struct bench *t)
{
    for (int i = 0; i < t->count; i++) {
        const struct seen *s = &t->seen[i];
        int k = i - 1;
        while (k >= 0 &&
               (t->seen[k].visit != s->visit || strcmp(t->seen[k].station, s->station) != 0 ||
                memcmp(t->seen[k].unit, s->unit, sizeof s->unit) != 0))
            k--;
        if (s->revision != (k < 0 ? 1 : t->seen[k].revision + 1))
            check_fail_at(__FILE__, __LINE__, "%s at %s: revision %lld comes after %lld", s->serial,
                          s->station, (long long)s->revision,
                          (long long)(k < 0 ? 0 : t->seen[k].revision));
    }
}

static inline void bench_free(struct bench *t)
{
    check_revisions(t);
    track_drop(t->track);
    catalogue_fini(&t->catalogue);
    schema_unref(t->schema);
    config_free(t->config);
    arena_fini(&t->arena);
    for (int i = 0; i < GATES; i++)
        free(t->gate[i]);
    for (int i = 0; i < SCANNERS; i++)
        free(t->code[i]);
    for (int i = 0; i < SPEEDS; i++)
        free(t->speed[i]);
    free(t->seen);
    free(t);
}

/* The sensor is high for that long. */
static inline void high(struct bench *t, int gate, int from_ms, int ms)
{
    for (int i = from_ms / POLL_MS; i < (from_ms + ms) / POLL_MS && i < t->polls; i++)
        t->gate[gate][i] = true;
}

static inline void pulse(struct bench *t, int gate, int ms)
{
    high(t, gate, ms, 300);
}

/* The scanner shows that from then on. */
static inline void code(struct bench *t, int scanner, int ms, const char *text)
{
    for (int i = ms / POLL_MS; i < t->polls; i++)
        (void)snprintf(t->code[scanner][i], sizeof t->code[scanner][i], "%s", text);
}

static inline void speed(struct bench *t, int belt, int from_ms, int to_ms, double mm_s)
{
    for (int i = from_ms / POLL_MS; i < to_ms / POLL_MS && i <= t->polls; i++)
        t->speed[belt][i] = mm_s;
}

/* The poll, with the time that a clock showed then. */
static inline struct batch *poll_batch(const struct bench *t, int poll, int64_t time_us)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(t->schema, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, time_us) >= 0);
    for (uint32_t i = 0; i < GATES; i++)
        batch_set_bool(bb, i, t->gate[i][poll]);
    for (uint32_t i = 0; i < SCANNERS; i++)
        CHECK_OK(batch_set_bytes(bb, GATES + i, bytes_of_text(t->code[i][poll])));
    for (uint32_t i = 0; i < SPEEDS; i++)
        batch_set_f64(bb, GATES + SCANNERS + i, t->speed[i][poll]);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

static inline void copy_cell(char *out, size_t size, const struct batch *b, uint32_t col,
                             uint32_t row)
{
    struct column c = batch_column(b, col);
    struct bytes v = column_bytes(&c, row);
    (void)snprintf(out, size, "%.*s", (int)v.len, (const char *)v.ptr);
}

static inline struct value cell(const struct batch *b, uint32_t col, uint32_t row)
{
    struct column c = batch_column(b, col);
    return column_value(&c, row);
}

static inline void seen_add(struct bench *t, const struct batch *b, uint32_t row)
{
    if (t->count == t->seen_cap) {
        t->seen_cap = t->seen_cap ? 2 * t->seen_cap : 64;
        t->seen = realloc(t->seen, (size_t)t->seen_cap * sizeof *t->seen);
        CHECK(t->seen != NULL);
    }
    struct seen *s = &t->seen[t->count++];
    memset(s, 0, sizeof *s); /* compared as bytes */
    copy_cell(s->serial, sizeof s->serial, b, TRACK_SERIAL, row);
    copy_cell(s->station, sizeof s->station, b, TRACK_STATION, row);
    copy_cell(s->status, sizeof s->status, b, TRACK_STATUS, row);
    copy_cell(s->evidence, sizeof s->evidence, b, TRACK_EVIDENCE, row);
    if (strcmp(b->schema->fields[b->schema->count - 1].name, "clocks") == 0)
        copy_cell(s->clocks, sizeof s->clocks, b, b->schema->count - 1, row);
    s->t_in = cell(b, TRACK_T_IN, row).i64;
    s->t_out = cell(b, TRACK_T_OUT, row).i64;
    s->revision = cell(b, TRACK_REVISION, row).i64;
    s->visit = cell(b, TRACK_VISIT, row).i64;
    s->probability = cell(b, TRACK_PROBABILITY, row).f64;
    s->retracted = cell(b, TRACK_RETRACTED, row).boolean;
    memcpy(s->unit, cell(b, TRACK_UNIT, row).bytes.ptr, TRACK_UNIT_BYTES);
    if (getenv("LINE_TEST_SHOW")) {
        printf("%-10.10s %-8s %6lld..%6lld %-9s %.3f rev %lld visit %lld%s %s\n", s->serial,
               s->station, (long long)(s->t_in - T0) / 1000, (long long)(s->t_out - T0) / 1000,
               s->status, s->probability, (long long)s->revision, (long long)s->visit,
               s->retracted ? " retracted" : "", s->evidence);
    }
}

/* A record of that stream. */
static inline void bench_record(struct bench *t, const char *stream, struct batch *b)
{
    struct batch *out = NULL;
    CHECK_OK(track_record(t->track, (struct position){1, ++t->seq}, bytes_of_text(stream), b));
    batch_unref(b);
    if (batch_builder_rows(t->track->builder) == 0)
        return;
    CHECK_OK(batch_builder_finish(t->track->builder, &out));
    for (uint32_t k = 0; k < out->rows; k++)
        seen_add(t, out, k);
    batch_unref(out);
}

/* That poll's record. */
static inline void bench_take(struct bench *t, int poll)
{
    bench_record(t, "plc.line", poll_batch(t, poll, T0 + poll * INT64_C(1000) * POLL_MS));
}

static inline void bench_poll(struct bench *t, int from, int to)
{
    for (int i = from; i < to; i++)
        bench_take(t, i);
}

static inline void bench_run(struct bench *t)
{
    bench_track(t);
    bench_poll(t, 0, t->polls);
}

/* ---------------------------------------------------------------------------------------- a row
 */

/* A belt, a press, another belt; a scanner where units come in and one where they go out. */
#define CONFIG_ROW(speed)                                                                          \
    "name: n\n"                                                                                    \
    "tracks:\n"                                                                                    \
    "  - name: line\n"                                                                             \
    "    parts:\n"                                                                                 \
    "      - {belt: infeed, length_mm: 1000, speed: " speed ", to: press,\n"                       \
    "         places: [{station: print, from_mm: 200, to_mm: 600}]}\n"                             \
    "      - {station: press, to: outfeed}\n"                                                      \
    "      - {belt: outfeed, length_mm: 1000, speed: " speed ",\n"                                 \
    "         places: [{station: aoi, from_mm: 400, to_mm: 800}]}\n"                               \
    "    gates:\n"                                                                                 \
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0}\n"                             \
    "      - {signal: plc.line.g1, into: press}\n"                                                 \
    "      - {signal: plc.line.g2, out_of: press}\n"                                               \
    "      - {signal: plc.line.g3, out_of: outfeed, unit: plc.line.c1}\n"

static const char config_row[] __attribute__((unused)) = CONFIG_ROW("{signal: plc.line.v0}");

/* Units leave the rack in any order, and are read again behind the press. */
static const char config_rack[] __attribute__((unused)) =
    "name: n\n"
    "tracks:\n"
    "  - name: line\n"
    "    parts:\n"
    "      - {buffer: rack, order: random, to: press}\n"
    "      - {station: press, to: check}\n"
    "      - {station: check}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: rack, unit: plc.line.c0}\n"
    "      - {signal: plc.line.g1, into: press}\n"
    "      - {signal: plc.line.g2, out_of: press}\n"
    "      - {signal: plc.line.g3, out_of: check, unit: plc.line.c1}\n";

/* A unit that comes in and is read at `ms`, and passes the row as it should: 10 s on each belt, 2 s
 * in the press. */
static inline void row_unit(struct bench *t, int ms, const char *text)
{
    if (text)
        code(t, 0, ms, text);
    pulse(t, 0, ms);
    pulse(t, 1, ms + 10000);
    pulse(t, 2, ms + 12000);
    pulse(t, 3, ms + 22000);
    if (text)
        code(t, 1, ms + 22000, text);
}

/* ---------------------------------------------------------------------------------------- answers
 */

/* The latest revision of the stay of that serial at the station, the n-th by its beginning. */
static inline const struct seen *stay_of(const struct bench *t, const char *serial,
                                         const char *station, int n)
{
    const struct seen *found[SEEN_MAX];
    int count = 0;
    CHECK(t->count <= SEEN_MAX);
    for (int i = 0; i < t->count; i++) {
        const struct seen *s = &t->seen[i];
        if (strcmp(s->station, station) != 0)
            continue;
        int at = 0;
        while (at < count && (found[at]->visit != s->visit ||
                              memcmp(found[at]->unit, s->unit, sizeof s->unit) != 0))
            at++;
        found[at] = s;
        count += at == count;
    }
    for (int i = 0; i < count; i++) {
        bool named =
            serial[0] == '?' ? found[i]->serial[0] == '?' : strcmp(found[i]->serial, serial) == 0;
        if (named && !found[i]->retracted && n-- == 0)
            return found[i];
    }
    return NULL;
}

struct wanted {
    int in_ms;
    int out_ms;
    const char *status;
};

static inline void check_stay(int line, const struct bench *t, const char *serial,
                              const char *station, int n, struct wanted want)
{
    const struct seen *s = stay_of(t, serial, station, n);
    if (!s) {
        check_fail_at(__FILE__, line, "%s was not at %s", serial, station);
        return;
    }
    if (s->t_in != T0 + want.in_ms * INT64_C(1000) ||
        s->t_out != T0 + want.out_ms * INT64_C(1000) || strcmp(s->status, want.status) != 0)
        check_fail_at(__FILE__, line, "%s was at %s from %lld to %lld ms, %s (%s)", serial, station,
                      (long long)(s->t_in - T0) / 1000, (long long)(s->t_out - T0) / 1000,
                      s->status, s->evidence);
}

#define CHECK_STAY_N(t, serial, station, n, in_ms, out_ms, status)                                 \
    check_stay(__LINE__, t, serial, station, n, (struct wanted){in_ms, out_ms, status})
#define CHECK_STAY(t, serial, station, in_ms, out_ms, status)                                      \
    CHECK_STAY_N(t, serial, station, 0, in_ms, out_ms, status)

static inline int stays_of(const struct bench *t, const char *serial, const char *station)
{
    int n = 0;
    while (stay_of(t, serial, station, n))
        n++;
    return n;
}

#endif
