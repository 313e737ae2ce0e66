/* What is said about a visit: whose it was, how sure that is, and why. See track.h. */
#include "track/clocks.h"
#include "track/twice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <xxhash.h>

#define TWICE_SURE 0.5 /* of two units that bear the same serial */

static const struct field presence_fields[TRACK_BELT_COLUMN_COUNT] = {
    [TRACK_UNIT] = {.name = "unit", .type = VALUE_BYTES},
    [TRACK_SERIAL] = {.name = "serial", .type = VALUE_STRING},
    [TRACK_STATION] = {.name = "station", .type = VALUE_STRING},
    [TRACK_PLACE] = {.name = "place", .type = VALUE_STRING},
    [TRACK_T_IN] = {.name = "t_in", .type = VALUE_TIMESTAMP},
    [TRACK_T_OUT] = {.name = "t_out", .type = VALUE_TIMESTAMP},
    [TRACK_STATUS] = {.name = "status", .type = VALUE_STRING},
    [TRACK_PROBABILITY] = {.name = "probability", .type = VALUE_DOUBLE},
    [TRACK_EVIDENCE] = {.name = "evidence", .type = VALUE_STRING},
    [TRACK_REVISION] = {.name = "revision", .type = VALUE_INT64},
    [TRACK_RESULT] = {.name = "result", .type = VALUE_STRING},
    [TRACK_VISIT] = {.name = "visit", .type = VALUE_INT64},
    [TRACK_RETRACTED] = {.name = "retracted", .type = VALUE_BOOL},
    [TRACK_FROM_MM] = {.name = "from_mm", .type = VALUE_DOUBLE, .uom = "mm"},
    [TRACK_TO_MM] = {.name = "to_mm", .type = VALUE_DOUBLE, .uom = "mm"},
    [TRACK_PATH] = {.name = "path", .type = VALUE_BYTES},
};

int presence_schema(const struct track *t, bool belt, struct schema **ret)
{
    struct field fields[TRACK_BELT_COLUMN_COUNT + 1];
    uint32_t count = belt ? TRACK_BELT_COLUMN_COUNT : TRACK_COLUMN_COUNT;
    memcpy(fields, presence_fields, count * sizeof *fields);
    if (t->clock_count)
        fields[count++] = (struct field){.name = "clocks", .type = VALUE_STRING};
    return schema_new(fields, count, ret);
}

void track_unit_id(const char *node, const char *track, struct position at, uint32_t row,
                   uint8_t ret[static TRACK_UNIT_BYTES])
{
    uint8_t fixed[20];
    XXH3_state_t *state = XXH3_createState();
    store_le64(fixed, at.epoch);
    store_le64(fixed + 8, at.seq);
    store_le32(fixed + 16, row);
    if (!state) {
        memset(ret, 0, TRACK_UNIT_BYTES);
        return;
    }
    (void)XXH3_128bits_reset(state);
    (void)XXH3_128bits_update(state, node, strlen(node) + 1);
    (void)XXH3_128bits_update(state, track, strlen(track) + 1);
    (void)XXH3_128bits_update(state, fixed, sizeof fixed);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
    memcpy(ret, canonical.digest, TRACK_UNIT_BYTES);
    (void)XXH3_freeState(state);
}

/* ---------------------------------------------------------------------------------------- result
 */

static bool result_is_pass(const struct station *s, const char *text)
{
    static const char *const words[] = {"1", "true", "ok", "pass", "passed", "good", "io"};
    for (uint32_t i = 0; i < s->options.pass.count; i++)
        if (strcmp(s->options.pass.items[i], text) == 0)
            return true;
    if (s->options.pass.count)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(words[i], text) == 0)
            return true;
    return false;
}

/* -------------------------------------------------------------------------------------- presence
 */

/* Its interval, or more than half of its readings, are unknown. */
static bool visit_is_missing(const struct track_visit *v)
{
    return v->begin != EDGE_SEEN || v->end != EDGE_SEEN || v->gap_us * 2 > v->t_out - v->t_in;
}

static void presence_count(struct track_stats *stats, const char *status)
{
    stats->presences++;
    if (strcmp(status, "exact") == 0)
        stats->exact++;
    else if (strcmp(status, "inferred") == 0)
        stats->inferred++;
    else if (strcmp(status, "ambiguous") == 0)
        stats->ambiguous++;
    else
        stats->missing++;
}

/* What the track knows of other clocks; evidence tells of which it knows nothing. */
static int clocks_row_put(struct track *t, const struct presence_row *row)
{
    struct buf clocks = {0};
    struct buf evidence = {0};
    const char *unknown = NULL;
    uint32_t column = t->stream->schema->count - 1;
    int err = clocks_put(t, row->t_in, row->t_out, &clocks, &unknown);
    if (!err)
        err = batch_set_bytes(t->builder, column, buf_bytes(&clocks));
    if (!err && unknown)
        err = buf_printf(&evidence, "%s clock=%s:unknown", row->evidence, unknown);
    if (!err && unknown)
        err = batch_set_bytes(t->builder, TRACK_EVIDENCE, buf_bytes(&evidence));
    buf_fini(&clocks);
    buf_fini(&evidence);
    return err;
}

int presence_row_put(struct track *t, const struct presence_row *row)
{
    struct batch_builder *bb = t->builder;

    const struct {
        uint32_t col;
        const char *text;
    } texts[] = {
        {TRACK_SERIAL, row->identity->serial},
        {TRACK_STATION, row->station},
        {TRACK_PLACE, row->place},
        {TRACK_STATUS, row->identity->status},
        {TRACK_EVIDENCE, row->evidence},
        {TRACK_RESULT, row->result},
    };

    int err = batch_builder_row(bb, row->t_out);
    if (err < 0)
        return err;
    err = batch_set_bytes(bb, TRACK_UNIT, bytes_of(row->unit, TRACK_UNIT_BYTES));
    for (size_t i = 0; !err && i < sizeof texts / sizeof texts[0]; i++)
        err = batch_set_bytes(bb, texts[i].col, bytes_of_text(texts[i].text));
    batch_set_i64(bb, TRACK_T_IN, row->t_in);
    batch_set_i64(bb, TRACK_T_OUT, row->t_out);
    batch_set_f64(bb, TRACK_PROBABILITY, row->identity->probability);
    batch_set_i64(bb, TRACK_REVISION, row->revision);
    batch_set_i64(bb, TRACK_VISIT, row->visit);
    batch_set_bool(bb, TRACK_RETRACTED, row->retracted);
    if (!err && t->clock_count)
        err = clocks_row_put(t, row);
    if (!err)
        presence_count(t->stats, row->identity->status);
    return err;
}

int presence_twice(struct track *t, const struct twice_seen *seen, struct track_identity *io,
                   struct buf *evidence)
{
    const char *where = NULL;
    struct twice *twice = t->stage ? track_twice(t->stage) : NULL;
    int err = twice ? twice_note(twice, seen, &where) : OK;
    if (err || !where)
        return err;
    io->status = "ambiguous";
    io->probability *= TWICE_SURE;
    return buf_printf(evidence, " twice=%s", where);
}

int presence_put(struct station *s, const struct track_visit *v, const char *result)
{
    static const char *const edges[] = {
        [EDGE_SEEN] = "edge", [EDGE_GAP] = "gap", [EDGE_UNSEEN] = "unseen"};
    struct track_identity who;
    struct buf evidence = {0};
    const char *verdict = result[0] ? (result_is_pass(s, result) ? "pass" : "fail") : "";
    (void)buf_printf(&evidence, "begin=%s end=%s", edges[v->begin], edges[v->end]);
    scan_identity(&v->scan, v->unit, &who, &evidence);
    if (v->gap_us)
        (void)buf_printf(&evidence, " gap=%" PRId64 "ms", v->gap_us / 1000);
    if (s->track.inputs[SIGNAL_RESULT].stream)
        (void)buf_printf(&evidence, " result=%s", result[0] ? result : "unread");
    struct twice_seen seen = {who.serial, s->options.station, v->unit, v->t_in, v->t_out};
    int err = OK;
    if (v->gap_us && strcmp(who.status, "exact") == 0)
        who.status = "inferred"; /* it may have left and come again meanwhile */
    if (visit_is_missing(v))
        who.status = "missing";
    else if (strcmp(who.status, "exact") == 0)
        err = presence_twice(&s->track, &seen, &who, &evidence);
    struct presence_row row = {
        .unit = v->unit,
        .station = s->options.station,
        .place = s->track.place,
        .t_in = v->t_in,
        .t_out = v->t_out,
        .identity = &who,
        .evidence = buf_text(&evidence),
        .result = verdict,
        .revision = 1,
    };
    if (!err)
        err = buf_error(&evidence);
    if (!err)
        err = presence_row_put(&s->track, &row);
    buf_fini(&evidence);
    return err;
}
