/* A track's checkpoint: decoded, and if it was one the track takes more readings with it, is shown,
 * encoded, and decoded and encoded to the same bytes.
 *
 *   byte 0   which track (KINDS); with MADE: the rest begins with a real checkpoint's recipe
 *   raw      what follows the version and the configuration's hash, which are put in front
 *   MADE     u8 units, u8 polls / 4, then edits of the checkpoint that these polls give, each le16
 *            where, u8 what: the bytes there are another, whatever the format has become
 */
#include "base/log.h"
#include "track/line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE    0x80
#define GATES   4
#define CODES   2
#define COLUMNS (GATES + CODES + 1)
#define ROWS    5 /* polls a record */
#define POLL_US 100000
#define T0      INT64_C(1763800000000000)
#define HOUR_US INT64_C(3600000000)
#define HEAD    9 /* version, hash */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Units come every `apart` polls and are at each gate so many polls later. */
#define WAY_POLLS 20

static const char config_text[] =
    "name: n\n"
    "tracks:\n"
    "  - {name: station, station: press, unit: plc.line.c0, lateness: 1s,\n"
    "     begin: {signal: plc.line.g0}, end: {signal: plc.line.g1}, result: plc.line.c1}\n"
    "  - {name: belt, entry: {signal: plc.line.g0, unit: plc.line.c0}, wait: 10s,\n"
    "     speed: {signal: plc.line.v}, exit: {signal: plc.line.g1, at_mm: 200, unit: "
    "plc.line.c1},\n"
    "     places: [{station: oven, from_mm: 20, to_mm: 60}]}\n"
    "  - name: row\n"
    "    parts:\n"
    "      - {belt: infeed, length_mm: 200, speed: {signal: plc.line.v}, to: press,\n"
    "         places: [{station: print, from_mm: 20, to_mm: 60}]}\n"
    "      - {station: press, time_max: 60s, to: outfeed}\n"
    "      - {belt: outfeed, length_mm: 200, speed: {signal: plc.line.v},\n"
    "         places: [{station: aoi, from_mm: 40, to_mm: 80}]}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0}\n"
    "      - {signal: plc.line.g1, into: press}\n"
    "      - {signal: plc.line.g2, out_of: press}\n"
    "      - {signal: plc.line.g3, out_of: outfeed, unit: plc.line.c1}\n"
    "  - name: rack\n"
    "    lateness: 1s\n"
    "    parts:\n"
    "      - {belt: infeed, length_mm: 200, to: rack,\n"
    "         speed: {counts: plc.line.v, mm_per_count: 0.1, rollover: 65536}}\n"
    "      - {buffer: rack, order: random, capacity: 3, to: stack}\n"
    "      - {buffer: stack, order: lifo, capacity: 4}\n"
    "    gates:\n"
    "      - {signal: plc.line.g0, into: infeed, unit: plc.line.c0, unit_length_mm: 50}\n"
    "      - {signal: plc.line.g1, into: rack}\n"
    "      - {signal: plc.line.g2, into: stack}\n"
    "      - {signal: plc.line.g3, out_of: stack, unit: plc.line.c1}\n"
    "  - {name: clocked, station: press, unit: oth.line.c0, result: oth.line.c1,\n"
    "     begin: {signal: plc.line.g0}, end: {signal: oth.line.g1},\n"
    "     clocks: [{of: oth, signal: oth.line.g0, with: plc.line.g0, tolerance: 150ms, wait: "
    "20s}]}\n";

enum { STATION, BELT, ROW, RACK, CLOCKED, KINDS };

static struct plant {
    struct config *config;
    struct catalogue catalogue;
    struct schema *schema;
    struct batch_builder *builder;
    struct arena arena;
    struct track *tracks[KINDS];
    struct track_stats stats;
    struct call_port port;
    struct batch_builder *shown;
} plant;

static void tell(void *ctx, const char *name, const char *source, const char *text)
{
    (void)ctx;
    assert(name && source && (!text || strlen(text) > 0));
}

static void plant_make(void)
{
    static const char *const names[COLUMNS] = {"g0", "g1", "g2", "g3", "c0", "c1", "v"};
    struct field fields[COLUMNS];
    struct diag diag = {0};
    struct stream *s = NULL;
    log_level_set(LOG_ERROR);
    for (int i = 0; i < COLUMNS; i++) {
        fields[i] = (struct field){.name = names[i],
                                   .type = i < GATES           ? VALUE_BOOL
                                           : i < GATES + CODES ? VALUE_STRING
                                                               : VALUE_DOUBLE};
    }
    int err = config_parse("t", bytes_of_text(config_text), &plant.config, &diag);
    err = err ? err : schema_new(fields, COLUMNS, &plant.schema);
    err = err ? err : batch_builder_new(plant.schema, ROWS, NULL, &plant.builder);
    err = err ? err : catalogue_init(&plant.catalogue, "n");
    err = err ? err
              : catalogue_stream_add(&plant.catalogue, "plc.line", STREAM_GROUP, "p", plant.schema,
                                     &s);
    err = err ? err
              : catalogue_stream_add(&plant.catalogue, "oth.line", STREAM_GROUP, "p", plant.schema,
                                     &s);
    for (uint32_t i = 0; i < KINDS && !err; i++) {
        err = track_make(config_object_at(plant.config, CONFIG_TRACK, i), &plant.arena,
                         &plant.catalogue, &diag, &plant.tracks[i]);
        if (!err) {
            plant.tracks[i]->stats = &plant.stats;
            plant.tracks[i]->alarm = tell;
        }
    }
    err = err ? err : call_port_init(&plant.port, &line_line_spec, NULL, NULL, NULL);
    err = err ? err : batch_builder_new(plant.port.answer, 1, NULL, &plant.shown);
    if (err) {
        fprintf(stderr, "%u:%u %s %s\n", diag.line, diag.column, diag.text, err_text(err));
        abort();
    }
}

/* ---------------------------------------------------------------------------------------- readings
 */

/* A third of the units has no code; some pulses are lost, and some are nobody's. */
static struct batch *polls_batch(int64_t from_us, uint32_t first, uint32_t units)
{
    struct batch *b = NULL;
    for (uint32_t poll = first; poll < first + ROWS; poll++) {
        (void)batch_builder_row(plant.builder, from_us + (int64_t)(poll - first) * POLL_US);
        for (uint32_t gate = 0; gate < GATES; gate++) {
            uint32_t at = poll - gate * WAY_POLLS;
            uint32_t apart = 30 / (units % 8 + 1) + 2;
            bool there = poll >= gate * WAY_POLLS && at % apart == 0;
            bool lost = units & 8 && (at / apart + gate) % 5 == 3;
            bool odd = units & 16 && (poll * 7 + gate) % 61 == 0;
            batch_set_bool(plant.builder, gate, (there && !lost) || odd);
            if (gate != 0 && gate != GATES - 1)
                continue;
            char code[16] = "";
            uint32_t unit = poll >= gate * WAY_POLLS ? at / apart : 0;
            if (unit % 3 || units & 32)
                (void)snprintf(code, sizeof code, "U%u", units & 64 ? unit % 4 : unit);
            (void)batch_set_bytes(plant.builder, GATES + (gate != 0), bytes_of_text(code));
        }
        batch_set_f64(plant.builder, GATES + CODES, units & 128 ? (poll * 100) % 65536 : 100);
    }
    if (batch_builder_finish(plant.builder, &b) != OK)
        abort();
    return b;
}

/* The batch is used up. */
static void record_take(struct track *t, const char *stream, struct batch *b)
{
    struct batch *out = NULL;
    struct position at = {t->at.epoch, t->at.seq + 1};
    int err = track_record(t, at, bytes_of_text(stream), b);
    assert(err == OK || err == ERR_LIMIT || err == ERR_INVALID);
    batch_unref(b);
    if (batch_builder_rows(t->builder) && batch_builder_finish(t->builder, &out) == OK)
        batch_unref(out);
}

/* How far the other device's clock is off: it is set once. */
static int64_t other_us(uint32_t poll, uint32_t units)
{
    int64_t off = (int64_t)(units & 7) * 700000;
    return poll > 300 && units & 16 ? 1000000 - off : off;
}

static void polls_take(struct track *t, int64_t from_us, uint32_t first, uint32_t polls,
                       uint32_t units)
{
    for (uint32_t poll = first; poll < first + polls; poll += ROWS) {
        int64_t at_us = from_us + (int64_t)(poll - first) * POLL_US;
        record_take(t, "plc.line", polls_batch(at_us, poll, units));
        if (t == plant.tracks[CLOCKED])
            record_take(t, "oth.line", polls_batch(at_us + other_us(poll, units), poll, units));
    }
}

/* ------------------------------------------------------------------------------------ checkpoints
 */

static void show(struct track *t)
{
    struct batch *b = NULL;
    if (t->kind != &line_kind)
        return;
    int err = line_state_put(line_of(t), plant.shown);
    assert(err == OK);
    if (batch_builder_finish(plant.shown, &b) == OK)
        batch_unref(b);
}

/* What a track has encoded it decodes, and it is the same; but what was near a limit may be beyond
 * it by now: then it begins anew. */
static void again(struct track *t, bool real)
{
    struct buf first = {0};
    struct buf second = {0};
    int err = checkpoint_encode(t, &first);
    assert(err == OK);
    err = checkpoint_decode(t, buf_bytes(&first));
    assert(err == OK || (!real && err == ERR_MALFORMED));
    bool whole = err == OK;
    err = checkpoint_encode(t, &second);
    assert(err == OK);
    assert(!whole || (first.len == second.len && memcmp(first.ptr, second.ptr, first.len) == 0));
    buf_fini(&first);
    buf_fini(&second);
}

/* Where its readings had come to, if that is known. */
static int64_t track_now(const struct track *t)
{
    int64_t now_us = t->done_us;
    for (uint32_t i = 0; i < t->source_count; i++)
        now_us = t->sources[i].seen_us > now_us ? t->sources[i].seen_us : now_us;
    return now_us == INT64_MIN ? T0 : now_us;
}

static void go_on(struct track *t, uint32_t units, bool real)
{
    if (t->at.seq > UINT64_MAX / 2)
        t->at = (struct position){t->at.epoch, 0};
    show(t);
    again(t, real);
    polls_take(t, track_now(t) + POLL_US, 0, 60, units);
    again(t, real);
    polls_take(t, track_now(t) + HOUR_US, 60, 30, units);
    show(t);
    again(t, real);
    polls_take(t, T0, 90, 10, units); /* whatever was said before, these come now */
    again(t, real);
}

static void edit(struct buf *blob, struct bytes edits)
{
    for (size_t i = 0; i + 3 <= edits.len; i += 3) {
        uint32_t where = edits.ptr[i] | (uint32_t)edits.ptr[i + 1] << 8;
        if (blob->len > HEAD)
            blob->ptr[HEAD + where % (blob->len - HEAD)] = edits.ptr[i + 2];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf blob = {0};
    if (!plant.config)
        plant_make();
    if (size < 3)
        return 0;
    struct track *t = plant.tracks[(data[0] & ~MADE) % KINDS];
    bool made = data[0] & MADE;
    bool real = made && size < 6; /* no edit */
    track_reset(t);
    if (made)
        polls_take(t, T0, 0, data[2] * 4u, data[1]);
    int err = checkpoint_encode(t, &blob);
    assert(err == OK && blob.len > HEAD);
    if (made) {
        edit(&blob, bytes_of(data + 3, size - 3));
    } else {
        blob.len = HEAD;
        (void)buf_append(&blob, data + 1, size - 1);
    }
    err = checkpoint_decode(t, bytes_of(blob.ptr, HEAD - 1));
    assert(err == ERR_MALFORMED);
    blob.ptr[HEAD - 1] ^= 1; /* another configuration's */
    err = checkpoint_decode(t, buf_bytes(&blob));
    assert(err == ERR_VERSION);
    blob.ptr[HEAD - 1] ^= 1;
    err = checkpoint_decode(t, buf_bytes(&blob));
    assert(err == OK || err == ERR_MALFORMED);
    assert(err == OK || !real);
    if (err == OK)
        go_on(t, data[1], real);
    track_reset(t);
    polls_take(t, T0, 0, ROWS, 1);
    buf_fini(&blob);
    return 0;
}
