/* What is said of a unit's stay in a part of a line: presences at its stations. See line.c. */
#include "base/log.h"
#include "track/line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINE_CLEAR     0.95 /* less, and another unit may have been it */
#define LINE_SCALE_MAX 2.0

/* ---------------------------------------------------------------------------------------- whose
 */

static void stay_identify(const struct line *l, const struct assign_stay *s, bool placed,
                          struct track_identity *ret)
{
    (void)l;
    if (s->code[0])
        (void)snprintf(ret->serial, sizeof ret->serial, "%s", s->code);
    else
        identity_provisional(s->unit, ret);
    bool unseen = s->begin != EDGE_SEEN || s->end != EDGE_SEEN;
    ret->probability = s->probability * s->sure;
    if (s->rivals || (s->probability > 0 && ret->probability < LINE_CLEAR))
        ret->status = "ambiguous";
    else if (unseen && !placed)
        ret->status = "missing";
    else
        ret->status = s->read && !unseen ? "exact" : "inferred";
}

static void stay_evidence(const struct assign_stay *s, struct buf *out)
{
    static const char *const edges[] = {
        [EDGE_SEEN] = "edge", [EDGE_GAP] = "gap", [EDGE_UNSEEN] = "unseen"};
    (void)buf_printf(out, "entry=%s exit=%s serial=%s", edges[s->begin], edges[s->end],
                     s->read      ? "read"
                     : s->code[0] ? "followed"
                                  : "unread");
    if (s->rivals)
        (void)buf_printf(out, " rivals=%" PRIu32, s->rivals);
}

/* ------------------------------------------------------------------------------------- presences
 */

struct pass {
    const struct assign_stay *stay;
    struct track_identity who;
    struct buf evidence;
    struct buf path;
};

static int pass_row(struct line *l, const struct pass *pass, const char *station, const char *place,
                    struct path_interval when)
{
    const struct assign_stay *s = pass->stay;
    const struct line_part *p = &l->parts[s->part];
    const char *own = p->options.place ? p->options.place : l->track.place;
    struct buf evidence = pass->evidence;
    const struct presence_row row = {
        .unit = s->unit,
        .station = station,
        .place = place ? place : own,
        .t_in = when.from_us,
        .t_out = when.to_us,
        .identity = &pass->who,
        .evidence = buf_text(&evidence),
        .result = "",
        .revision = s->revision,
        .visit = s->visit,
        .retracted = !(s->probability > 0),
    };
    return presence_row_put(&l->track, &row);
}

/* The way by the gates, spread over the way by the speed. */
static double stay_scale(const struct line *l, const struct assign_stay *s)
{
    double length = l->parts[s->part].options.length_mm;
    double way = s->out_mm - s->in_mm;
    if (s->begin != EDGE_SEEN || s->end != EDGE_SEEN || !(way > 0))
        return 1;
    double scale = length / way;
    return scale > 1 / LINE_SCALE_MAX && scale < LINE_SCALE_MAX ? scale : 1;
}

static int belt_rows(struct line *l, struct pass *pass)
{
    const struct assign_stay *s = pass->stay;
    const struct line_part *p = &l->parts[s->part];
    const struct motion *m = &l->motions[p->motion].motion;
    struct path_interval when = {s->t_in, s->t_out};
    struct motion_frame frame = {s->in_mm, 0, stay_scale(l, s)};
    int err = when.from_us < when.to_us ? motion_path(m, when, frame, &l->path) : OK;
    if (!err && when.from_us < when.to_us)
        err = path_encode(&l->path, &pass->path);
    if (err == ERR_LIMIT) { /* so far that no path says it: without one */
        buf_reset(&pass->path);
        err = OK;
    }
    for (uint32_t i = p->place_first; i < p->place_first + p->place_count && !err; i++) {
        const struct line_place *place = &l->places[i];
        struct motion_stay stay = motion_stay(m, when, s->in_mm + place->from_mm / frame.scale,
                                              s->in_mm + place->to_mm / frame.scale);
        if (!stay.visits)
            continue;
        err = pass_row(l, pass, place->station, place->place,
                       (struct path_interval){stay.t_in, stay.t_out});
        if (err)
            break;
        batch_set_f64(l->track.builder, TRACK_FROM_MM, place->from_mm);
        batch_set_f64(l->track.builder, TRACK_TO_MM, place->to_mm);
        if (pass->path.len)
            err = batch_set_bytes(l->track.builder, TRACK_PATH, buf_bytes(&pass->path));
    }
    return err;
}

int line_stay(void *ctx, const struct assign_stay *stay)
{
    struct line *l = ctx;
    const struct line_part *p = &l->parts[stay->part];
    struct pass pass = {.stay = stay};
    stay_identify(l, stay, p->kind == LINE_BELT && stay->begin == EDGE_SEEN, &pass.who);
    stay_evidence(stay, &pass.evidence);
    int err = buf_error(&pass.evidence);
    if (!err && p->kind == LINE_BELT)
        err = p->place_count ? belt_rows(l, &pass) : OK;
    else if (!err)
        err = pass_row(l, &pass, p->name, NULL, (struct path_interval){stay->t_in, stay->t_out});
    buf_fini(&pass.evidence);
    buf_fini(&pass.path);
    return err;
}
