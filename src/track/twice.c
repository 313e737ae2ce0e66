/* One serial at two places at once: two units bear it, or a scanner shows an old code.
 *
 * All tracks of the node tell here where a serial was read of a unit, from when to when. Two stays
 * of different units that overlap by more than TWICE_SLACK_US cannot both be of that serial. The
 * one that ended later is then told as ambiguous, with its evidence (the other has gone out
 * already, and what was read of it was read), and there is one alarm for the serial. A unit that
 * comes to a station again later (rework) is no such case: its visits do not overlap.
 *
 * Only stays with both edges and a code that was read count; what is merely inferred proves
 * nothing. The last TWICE_STAYS_MAX stays of TWICE_AGE_US of the tracks' own time are kept, and go
 * into keyed state with the tracks' checkpoints:
 *
 *     track-twice    u8 version, varint count, then each stay, oldest first
 */
#include "track/twice.h"

#include "base/clock.h"
#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TWICE_VERSION 1

static void stay_free(struct twice_stay *s)
{
    free(s->serial);
    free(s->station);
    free(s);
}

/* The others of a serial hang behind its newest. */
static struct twice_stay *stays_of(const struct twice *w, const char *serial)
{
    return map_find_text(&w->by_serial, serial);
}

static bool serial_is_told(const struct twice *w, const char *serial)
{
    for (const struct twice_stay *s = stays_of(w, serial); s; s = s->before)
        if (s->told)
            return true;
    return false;
}

/* The oldest of all is also the oldest of its serial. */
static void oldest_drop(struct twice *w, struct twice_stay *s)
{
    struct bytes key = bytes_of_text(s->serial);
    bool told = s->told;
    list_remove(&s->link);
    w->count--;
    if (s->after)
        s->after->before = NULL;
    else
        (void)map_remove(&w->by_serial, key);
    if (told && !serial_is_told(w, s->serial)) {
        w->alarms--;
        if (w->alarm)
            w->alarm(w->ctx, s->serial, NULL);
    }
    stay_free(s);
}

static int stay_add(struct twice *w, struct twice_stay *s)
{
    s->before = stays_of(w, s->serial);
    int err = map_put(&w->by_serial, bytes_of_text(s->serial), s, NULL);
    if (err)
        return err;
    if (s->before)
        s->before->after = s;
    list_push_back(&w->stays, &s->link);
    w->count++;
    w->newest_us = s->t_out > w->newest_us ? s->t_out : w->newest_us;
    return OK;
}

static int stay_new(const struct twice_seen *seen, struct twice_stay **ret)
{
    struct twice_stay *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->serial = strdup(seen->serial);
    s->station = strdup(seen->station);
    s->t_in = seen->t_in;
    s->t_out = seen->t_out;
    memcpy(s->unit, seen->unit, sizeof s->unit);
    if (!s->serial || !s->station) {
        stay_free(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return OK;
}

/* ----------------------------------------------------------------------------------------- alarm
 */

static void clock_text(int64_t us, char out[static CLOCK_TEXT_BYTES_MAX])
{
    (void)clock_format(us - us % 100000, out);
}

static void pair_tell(struct twice *w, const struct twice_stay *a, const struct twice_stay *b)
{
    char times[4][CLOCK_TEXT_BYTES_MAX];
    char text[TWICE_TEXT_BYTES_MAX];
    clock_text(a->t_in, times[0]);
    clock_text(a->t_out, times[1]);
    clock_text(b->t_in, times[2]);
    clock_text(b->t_out, times[3]);
    (void)snprintf(
        text, sizeof text,
        "the serial %s was at two places at once: at %s from %s to %s, and at %s from %s "
        "to %s. Two units bear it, or a scanner shows an old code; the latter visit is "
        "kept as ambiguous. Find the units and see what is on their labels",
        a->serial, a->station, times[0], times[1], b->station, times[2], times[3]);
    w->alarms++;
    if (w->alarm)
        w->alarm(w->ctx, a->serial, text);
}

/* ------------------------------------------------------------------------------------------ note
 */

static void old_drop(struct twice *w, int64_t now_us)
{
    int64_t newest_us = now_us > w->newest_us ? now_us : w->newest_us;
    LIST_FOR_SAFE (link, after, &w->stays) {
        struct twice_stay *oldest = CONTAINER_OF(link, struct twice_stay, link);
        if (w->count < TWICE_STAYS_MAX && oldest->t_out >= newest_us - TWICE_AGE_US)
            return;
        oldest_drop(w, oldest);
    }
}

static struct twice_stay *overlap_find(const struct twice *w, const struct twice_stay *s)
{
    for (struct twice_stay *o = stays_of(w, s->serial); o; o = o->before) {
        int64_t from = o->t_in > s->t_in ? o->t_in : s->t_in;
        int64_t to = o->t_out < s->t_out ? o->t_out : s->t_out;
        if (to - from > TWICE_SLACK_US && memcmp(o->unit, s->unit, sizeof s->unit) != 0)
            return o;
    }
    return NULL;
}

int twice_note(struct twice *w, const struct twice_seen *seen, const char **ret_station)
{
    struct twice_stay *s = NULL;
    *ret_station = NULL;
    int err = stay_new(seen, &s);
    if (err)
        return err;
    old_drop(w, s->t_out);
    struct twice_stay *other = overlap_find(w, s);
    bool news = other && !serial_is_told(w, s->serial);
    s->told = other && (!news || w->alarms < TWICE_ALARMS_MAX);
    err = stay_add(w, s);
    if (err) {
        stay_free(s);
        return err;
    }
    if (other) {
        w->found++;
        *ret_station = other->station;
    }
    if (news && s->told)
        pair_tell(w, other, s);
    return OK;
}

/* ------------------------------------------------------------------------------------------ life
 */

void twice_init(struct twice *w)
{
    *w = (struct twice){.newest_us = INT64_MIN + TWICE_AGE_US};
    list_init(&w->stays);
}

void twice_fini(struct twice *w)
{
    struct list *link;
    while ((link = list_pop_front(&w->stays)) != NULL)
        stay_free(CONTAINER_OF(link, struct twice_stay, link));
    map_fini(&w->by_serial);
}

int twice_encode(const struct twice *w, struct buf *out)
{
    (void)buf_append_u8(out, TWICE_VERSION);
    (void)buf_append_varint(out, w->count);
    LIST_FOR (link, &w->stays) {
        const struct twice_stay *s = CONTAINER_OF(link, struct twice_stay, link);
        put_text(out, s->serial);
        put_text(out, s->station);
        (void)buf_append(out, s->unit, sizeof s->unit);
        put_i64(out, s->t_in);
        put_i64(out, s->t_out);
        (void)buf_append_u8(out, s->told);
    }
    return buf_error(out);
}

static int stay_decode(struct twice *w, struct reader *r)
{
    char serial[TRACK_SERIAL_BYTES_MAX + 1];
    char station[TRACK_SERIAL_BYTES_MAX + 1];
    struct twice_seen seen = {.serial = serial, .station = station};
    struct twice_stay *s = NULL;
    get_text(r, serial);
    get_text(r, station);
    struct bytes unit = reader_take(r, TRACK_UNIT_BYTES);
    seen.unit = unit.ptr;
    seen.t_in = get_time(r);
    seen.t_out = get_time(r);
    bool told = reader_u8(r) != 0;
    if (r->failed)
        return ERR_MALFORMED;
    int err = stay_new(&seen, &s);
    if (err)
        return err;
    w->alarms += told && !serial_is_told(w, serial);
    s->told = told;
    err = stay_add(w, s);
    if (err)
        stay_free(s);
    return err;
}

int twice_decode(struct twice *w, struct bytes blob)
{
    struct reader r = reader_of(blob);
    if (reader_u8(&r) != TWICE_VERSION)
        return ERR_VERSION;
    uint32_t count = get_count(&r, TWICE_STAYS_MAX);
    int err = r.failed ? ERR_MALFORMED : OK;
    for (uint32_t i = 0; i < count && !err; i++)
        err = stay_decode(w, &r);
    return err;
}
