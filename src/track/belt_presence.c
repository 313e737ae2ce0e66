/* What is said about a unit that was on a belt: when it was at each place, whose it was, how sure
 * that is, and why. See belt.c. */
#include "track/belt.h"
#include "track/twice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BELT_SHARE_CLEAR   0.95 /* less, and another unit may have been it */
#define BELT_LOST_SURE     0.5  /* a unit that was not seen to come out may have been taken off */
#define BELT_CONFLICT_SURE 0.5  /* two scanners read different codes */

/* ---------------------------------------------------------------------------------------- whose */

/* What one of the scanners says, without what it read of the next unit too early. */
struct verdict {
    struct track_identity who;
    bool read; /* one serial, and it is not just the one of the unit before */
};

/* Leaves out the code that the next unit showed for longer. */
static void scan_without_next(struct track_scan *scan, const struct track_scan *next)
{
    uint64_t reads = 0;
    uint32_t count = 0;
    const struct track_serial *best = scan_best(next, &reads, &count);
    if (!best || scan->serial_count < 2 || scan_is_stale(next, best))
        return;
    for (uint32_t i = 0; i < scan->serial_count; i++) {
        if (strcmp(scan->serials[i].text, best->text) != 0 || scan->serials[i].reads > best->reads)
            continue;
        scan->serials[i] = scan->serials[--scan->serial_count];
        return;
    }
}

static struct verdict verdict_of(const struct track_scan *scan, const struct track_scan *next,
                                 const struct belt_unit *u, struct buf *evidence)
{
    struct track_scan own = *scan;
    struct verdict v;
    if (next)
        scan_without_next(&own, next);
    scan_identity(&own, u->id, &v.who, evidence);
    v.read = strcmp(v.who.status, "exact") == 0;
    return v;
}

static bool is_inside(const struct belt_place *p, double mm)
{
    return mm >= p->from_mm && mm < p->to_mm;
}

/* Both scanners' words as one. at_place: whether one that read stands there. */
static void unit_identify(const struct belt *b, const struct belt_unit *u,
                          const struct belt_unit *next, struct track_identity *ret,
                          bool ret_read[static 2], struct buf *evidence)
{
    bool has_entry = b->track.inputs[SIGNAL_UNIT].stream != NULL;
    bool has_exit = b->track.inputs[SIGNAL_EXIT_UNIT].stream != NULL;
    ret_read[0] = ret_read[1] = false;
    if (!has_exit || has_entry) {
        struct verdict v = verdict_of(&u->entry_scan, next ? &next->entry_scan : NULL, u, evidence);
        *ret = v.who;
        ret_read[0] = v.read;
    }
    if (!has_exit)
        return;
    (void)buf_append_text(evidence, has_entry ? " exit:" : "");
    struct verdict v = verdict_of(&u->exit_scan, next ? &next->exit_scan : NULL, u, evidence);
    ret_read[1] = v.read;
    if (!has_entry || (!ret_read[0] && v.who.probability > ret->probability)) {
        *ret = v.who;
    } else if (ret_read[0] && v.read && strcmp(v.who.serial, ret->serial) != 0) {
        ret->status = "ambiguous";
        ret->probability = BELT_CONFLICT_SURE;
        (void)buf_printf(evidence, ":%s", v.who.serial);
    }
}

/* Exact is what was read at the place itself, or on both sides of it. */
static void place_identify(const struct belt *b, const struct belt_unit *u,
                           const struct belt_place *p, const bool read[static 2],
                           struct track_identity *io)
{
    bool exact = strcmp(io->status, "exact") == 0;
    bool here = (read[0] && is_inside(p, b->entry.options.unit_mm)) ||
                (read[1] && is_inside(p, b->exit.options.unit_mm)) || (read[0] && read[1]);
    if (exact && !here)
        io->status = "inferred";
    if (u->end == EDGE_UNSEEN && exact) {
        io->status = "inferred";
        io->probability *= BELT_LOST_SURE;
    }
    io->probability *= u->share;
    if (u->share < BELT_SHARE_CLEAR && io->probability > 0)
        io->status = "ambiguous";
}

/* Its interval, or more than half of its readings, are unknown. */
static bool stay_is_missing(const struct belt_unit *u, const struct motion_stay *stay)
{
    return u->begin != EDGE_SEEN || stay->in_gap || stay->out_gap ||
           stay->gap_us * 2 > stay->t_out - stay->t_in;
}

/* ------------------------------------------------------------------------------------- evidence */

static void evidence_pass(const struct belt *b, const struct belt_unit *u,
                          struct path_interval when, bool left, struct buf *out)
{
    static const char *const edges[] = {
        [EDGE_SEEN] = "edge", [EDGE_GAP] = "gap", [EDGE_UNSEEN] = "unseen"};
    bool matched = left && u->begin == EDGE_SEEN && u->end == EDGE_SEEN;
    double back = motion_back_mm(&b->motion, when) * u->scale;
    (void)buf_printf(out, "entry=%s exit=%s", edges[u->begin], left ? edges[u->end] : "waited-for");
    if (matched)
        (void)buf_printf(out, " error=%.1fmm", u->error_mm);
    if (u->share < 0.995)
        (void)buf_printf(out, " share=%.2f", u->share);
    if (u->pulses > 1)
        (void)buf_printf(out, " pulses=%" PRIu32, u->pulses);
    if (back >= 0.05)
        (void)buf_printf(out, " back=%.1fmm", back);
}

static void evidence_stay(const struct motion_stay *stay, struct buf *out)
{
    if (stay->visits > 1)
        (void)buf_printf(out, " visits=%" PRIu32, stay->visits);
    if (stay->gap_us)
        (void)buf_printf(out, " gap=%" PRId64 "ms", stay->gap_us / 1000);
}

/* ------------------------------------------------------------------------------------ presences */

/* What all presences of a pass have in common. */
struct pass {
    struct belt_unit *unit;
    struct path_interval when;
    struct track_identity who;
    bool read[2]; /* by the scanner at the entry, at the exit */
    bool left;
    struct buf evidence;
    struct buf path;
};

/* Only what was read of a unit that was seen to come and to go proves anything. */
static int pass_twice(struct belt *b, struct pass *pass, const struct belt_place *p,
                      const struct motion_stay *stay, struct track_identity *io)
{
    const struct belt_unit *u = pass->unit;
    struct twice_seen seen = {io->serial, p->station, u->id, stay->t_in, stay->t_out};
    if (!pass->left || u->begin != EDGE_SEEN || u->end != EDGE_SEEN || stay_is_missing(u, stay) ||
        (!pass->read[0] && !pass->read[1]) || strcmp(io->status, "ambiguous") == 0)
        return OK;
    return presence_twice(&b->track, &seen, io, &pass->evidence);
}

static int place_row(struct belt *b, struct pass *pass, uint32_t place,
                     const struct motion_stay *stay)
{
    struct belt_unit *u = pass->unit;
    const struct belt_place *p = &b->places[place];
    struct track_identity who = pass->who;
    size_t len = pass->evidence.len;
    place_identify(b, u, p, pass->read, &who);
    if (stay_is_missing(u, stay))
        who.status = "missing";
    evidence_stay(stay, &pass->evidence);
    int err = pass_twice(b, pass, p, stay, &who);
    struct presence_row row = {
        .unit = u->id,
        .station = p->station,
        .place = p->place ? p->place : b->track.place,
        .t_in = stay->t_in,
        .t_out = stay->t_out,
        .identity = &who,
        .evidence = buf_text(&pass->evidence),
        .result = "",
        .revision = ++u->revisions[place],
    };
    if (!err)
        err = presence_row_put(&b->track, &row);
    pass->evidence.len = len;
    if (err)
        return err;
    batch_set_f64(b->track.builder, TRACK_FROM_MM, p->from_mm);
    batch_set_f64(b->track.builder, TRACK_TO_MM, p->to_mm);
    return pass->path.len ? batch_set_bytes(b->track.builder, TRACK_PATH, buf_bytes(&pass->path))
                          : OK;
}

static int pass_rows(struct belt *b, struct pass *pass, bool left)
{
    const struct belt_unit *u = pass->unit;
    double now_mm = belt_unit_mm(b, u, motion_mm(&b->motion, pass->when.to_us));
    int err = OK;
    for (uint32_t i = 0; i < b->place_count && !err; i++) {
        const struct belt_place *p = &b->places[i];
        if (!left && (u->revisions[i] || now_mm < p->to_mm))
            continue;
        double at_mm = b->entry.options.at_mm;
        struct motion_stay stay =
            motion_stay(&b->motion, pass->when, u->belt_mm + (p->from_mm - at_mm) / u->scale,
                        u->belt_mm + (p->to_mm - at_mm) / u->scale);
        if (stay.visits)
            err = place_row(b, pass, i, &stay);
    }
    return err;
}

int belt_unit_put(struct belt *b, struct belt_unit *u, const struct belt_unit *next, int64_t end_us,
                  bool left)
{
    struct pass pass = {.unit = u, .when = {u->t_in, end_us}, .left = left};
    struct motion_frame frame = {u->belt_mm, b->entry.options.at_mm, u->scale};
    evidence_pass(b, u, pass.when, left, &pass.evidence);
    unit_identify(b, u, next, &pass.who, pass.read, &pass.evidence);
    int err = motion_path(&b->motion, pass.when, frame, &b->path);
    if (!err)
        err = path_encode(&b->path, &pass.path);
    if (err == ERR_LIMIT) { /* so far that no path says it: without one */
        buf_reset(&pass.path);
        err = OK;
    }
    if (!err)
        err = buf_error(&pass.evidence);
    if (!err)
        err = pass_rows(b, &pass, left);
    buf_fini(&pass.evidence);
    buf_fini(&pass.path);
    return err;
}
