/* What is said about a visit: whose it was, how sure that is, and why. See track.h. */
#include "track/track_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <xxhash.h>

static const struct field presence_fields[TRACK_COLUMN_COUNT] = {
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
};

int presence_schema(struct schema **ret)
{
    return schema_new(presence_fields, TRACK_COLUMN_COUNT, ret);
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

/* ---------------------------------------------------------------------------------------- serial
 */

struct decision {
    char serial[TRACK_SERIAL_BYTES_MAX + 1];
    const char *status;
    double probability;
};

const struct track_serial *visit_best(const struct track_visit *v, uint64_t *ret_reads,
                                      uint32_t *ret_count)
{
    const struct track_serial *best = NULL;
    *ret_reads = 0;
    *ret_count = 0;
    for (uint32_t i = 0; i < v->serial_count; i++) {
        const struct track_serial *c = &v->serials[i];
        bool old = i == 0 && v->stale && strcmp(c->text, v->before) == 0;
        if (old && v->serial_count > 1)
            continue;
        *ret_reads += c->reads;
        (*ret_count)++;
        if (!best || c->reads >= best->reads)
            best = c;
    }
    return best;
}

static void serial_provisional(const struct track_visit *v, struct decision *d)
{
    int at = snprintf(d->serial, 2, "?");
    for (int i = 0; i < TRACK_UNIT_BYTES; i++)
        at += snprintf(d->serial + at, 3, "%02x", v->unit[i]);
}

static void evidence_serials(const struct track_visit *v, struct buf *evidence)
{
    for (uint32_t i = 0; i < v->serial_count; i++)
        (void)buf_printf(evidence, "%s%s:%" PRIu64, i ? "|" : "", v->serials[i].text,
                         v->serials[i].reads);
}

static void decide_serial(const struct track_visit *v, struct decision *d, struct buf *evidence)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = visit_best(v, &reads, &count);
    d->status = "exact";
    d->probability = 1;
    if (!best) {
        serial_provisional(v, d);
        d->status = "inferred";
        d->probability = 0;
        (void)buf_append_text(evidence, " serial=unread");
        return;
    }
    (void)snprintf(d->serial, sizeof d->serial, "%s", best->text);
    if (count > 1) {
        d->status = "ambiguous";
        d->probability = (double)best->reads / (double)reads;
        (void)buf_append_text(evidence, " serial=several:");
        evidence_serials(v, evidence);
    } else if (v->stale && strcmp(best->text, v->before) == 0) {
        d->status = "inferred";
        d->probability = 0.5;
        (void)buf_printf(evidence, " serial=same-as-before:%" PRIu64, best->reads);
    } else {
        (void)buf_printf(evidence, " serial=read:%" PRIu64, best->reads);
    }
}

/* -------------------------------------------------------------------------------------- presence
 */

/* Its interval, or more than half of its readings, are unknown. */
static bool visit_is_missing(const struct track_visit *v)
{
    return v->begin != EDGE_SEEN || v->end != EDGE_SEEN || v->gap_us * 2 > v->t_out - v->t_in;
}

static int presence_row(struct station *s, const struct track_visit *v, const struct decision *d,
                        const char *evidence, const char *result)
{
    struct batch_builder *bb = s->builder;

    const struct {
        uint32_t col;
        const char *text;
    } texts[] = {
        {TRACK_SERIAL, d->serial}, {TRACK_STATION, s->options.station}, {TRACK_PLACE, s->place},
        {TRACK_STATUS, d->status}, {TRACK_EVIDENCE, evidence},          {TRACK_RESULT, result},
    };

    int err = batch_builder_row(bb, v->t_out);
    if (err < 0)
        return err;
    err = batch_set_bytes(bb, TRACK_UNIT, bytes_of(v->unit, TRACK_UNIT_BYTES));
    for (size_t i = 0; !err && i < sizeof texts / sizeof texts[0]; i++)
        err = batch_set_bytes(bb, texts[i].col, bytes_of_text(texts[i].text));
    batch_set_i64(bb, TRACK_T_IN, v->t_in);
    batch_set_i64(bb, TRACK_T_OUT, v->t_out);
    batch_set_f64(bb, TRACK_PROBABILITY, d->probability);
    batch_set_i64(bb, TRACK_REVISION, 1);
    return err;
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

int presence_put(struct station *s, const struct track_visit *v, const char *result)
{
    static const char *const edges[] = {
        [EDGE_SEEN] = "edge", [EDGE_GAP] = "gap", [EDGE_UNSEEN] = "unseen"};
    struct decision d;
    struct buf evidence = {0};
    const char *verdict = result[0] ? (result_is_pass(s, result) ? "pass" : "fail") : "";
    (void)buf_printf(&evidence, "begin=%s end=%s", edges[v->begin], edges[v->end]);
    decide_serial(v, &d, &evidence);
    if (v->gap_us)
        (void)buf_printf(&evidence, " gap=%" PRId64 "ms", v->gap_us / 1000);
    if (s->inputs[SIGNAL_RESULT].stream)
        (void)buf_printf(&evidence, " result=%s", result[0] ? result : "unread");
    if (visit_is_missing(v))
        d.status = "missing";
    const char *text = buf_text(&evidence);
    int err = buf_error(&evidence);
    if (!err)
        err = presence_row(s, v, &d, text, verdict);
    buf_fini(&evidence);
    if (!err)
        presence_count(s->stats, d.status);
    return err;
}
