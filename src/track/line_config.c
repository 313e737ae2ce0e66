/* A line as configured: its parts and signals, and what they are made into. See line_config.h. */
#include "track/line_config.h"

#include "base/str.h"
#include "track/clocks.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const edge_choices[] = {"rising", "falling", NULL};
static const char *const order_choices[] = {"fifo", "lifo", "random", NULL};

struct speed_options {
    const char *signal;
    double scale;
    const char *counts;
    double mm_per_count;
    uint64_t rollover;
    double fastest_mm_s;
};

static const struct option speed_table[] = {
    {.name = "signal",
     .type = OPTION_TEXT,
     .offset = offsetof(struct speed_options, signal),
     .doc = "the tag with the belt's speed in mm/s, negative when it runs backwards"},
    {.name = "scale",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = offsetof(struct speed_options, scale),
     .doc = "what makes mm/s of it: 16.667 for m/min"},
    {.name = "counts",
     .type = OPTION_TEXT,
     .offset = offsetof(struct speed_options, counts),
     .doc = "instead of it the tag with the counts of the belt's encoder"},
    {.name = "mm_per_count",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct speed_options, mm_per_count),
     .doc = "the way of one count; negative when they fall as the belt runs forward"},
    {.name = "rollover",
     .type = OPTION_UINT,
     .default_text = "0",
     .max = UINT64_C(1) << 53,
     .offset = offsetof(struct speed_options, rollover),
     .doc = "so many counts are none again: 65536 of a counter of 16 bits, 16777216 of 24, "
            "4294967296 of 32; 0: they never run over"},
    {.name = "fastest_mm_s",
     .type = OPTION_DOUBLE,
     .default_text = "10000",
     .offset = offsetof(struct speed_options, fastest_mm_s),
     .doc = "counts that would mean a faster belt than this are those of a counter that began "
            "anew"},
    {.name = NULL},
};

static const struct option place_table[] = {
    {.name = "station",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_place, station),
     .doc = "the station there"},
    {.name = "from_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_place, from_mm),
     .doc = "where it begins, from the belt's begin"},
    {.name = "to_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_place, to_mm),
     .doc = "where it ends"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct line_place, place),
     .doc = "its place; default: the belt's"},
    {.name = NULL},
};

static const struct option part_table[] = {
    {.name = "belt",
     .type = OPTION_NAME,
     .offset = offsetof(struct line_part_options, belt),
     .doc = "a belt: what it is called. A unit is where its way says, and nobody overtakes"},
    {.name = "station",
     .type = OPTION_NAME,
     .offset = offsetof(struct line_part_options, station),
     .doc = "or a station: what it is called. A stay in it is a presence"},
    {.name = "buffer",
     .type = OPTION_NAME,
     .offset = offsetof(struct line_part_options, buffer),
     .doc = "or a buffer: what it is called"},
    {.name = "to",
     .type = OPTION_TEXT_LIST,
     .default_text = LINE_OUT,
     .offset = offsetof(struct line_part_options, to),
     .doc = "the parts that units go to from here, several at a divert; `out`: off the line"},
    {.name = "entry",
     .type = OPTION_BOOL,
     .offset = offsetof(struct line_part_options, entry),
     .doc = "units come here from outside too; a part to which none leads has them anyway"},
    {.name = "length_mm",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct line_part_options, length_mm),
     .doc = "of a belt, from the gate at its begin to the one at its end"},
    {.name = "speed",
     .type = OPTION_TREE,
     .offset = offsetof(struct line_part_options, speed),
     .items = speed_table,
     .doc = "of a belt: how fast it runs"},
    {.name = "places",
     .type = OPTION_TREE,
     .offset = offsetof(struct line_part_options, places),
     .items = place_table,
     .doc = "of a belt: the stations along it; stays there are presences"},
    {.name = "order",
     .type = OPTION_ENUM,
     .default_text = "fifo",
     .choices = order_choices,
     .offset = offsetof(struct line_part_options, order),
     .doc = "of a station or buffer: who leaves first"},
    {.name = "capacity",
     .type = OPTION_UINT,
     .default_text = "0",
     .max = 65536,
     .offset = offsetof(struct line_part_options, capacity),
     .doc = "how many fit in: when one more enters, another one has left; 0: one in a station, any "
            "number in a buffer"},
    {.name = "time_min",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct line_part_options, time_min_us),
     .doc = "of a station or buffer: nobody leaves sooner"},
    {.name = "time_max",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct line_part_options, time_max_us),
     .doc = "of a station or buffer: nobody stays longer; 0s: no limit"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct line_part_options, place),
     .doc = "where it is; default: the line's place"},
    {.name = NULL},
};

const struct option line_gate_table[] = {
    {.name = "signal",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_gate_options, signal),
     .doc = "the sensor's tag, as device.group.tag"},
    {.name = "edge",
     .type = OPTION_ENUM,
     .default_text = "rising",
     .choices = edge_choices,
     .offset = offsetof(struct line_gate_options, edge),
     .doc = "which change of it counts"},
    {.name = "out_of",
     .type = OPTION_NAME,
     .offset = offsetof(struct line_gate_options, out_of),
     .doc = "the part whose units it sees leave"},
    {.name = "into",
     .type = OPTION_NAME,
     .offset = offsetof(struct line_gate_options, into),
     .doc = "the part that it sees units enter; with both it sees one way alone"},
    {.name = "unit",
     .type = OPTION_TEXT,
     .offset = offsetof(struct line_gate_options, unit),
     .doc = "the tag with the serial number that was read there"},
    {.name = "scan_time",
     .type = OPTION_DURATION,
     .default_text = "1s",
     .offset = offsetof(struct line_gate_options, scan_us),
     .doc = "how long after the pulse the serial may come"},
    {.name = "tolerance_mm",
     .type = OPTION_DOUBLE,
     .default_text = "60",
     .offset = offsetof(struct line_gate_options, tolerance_mm),
     .doc = "at a belt's end: how far from it a unit may be predicted when its pulse comes"},
    {.name = "drift",
     .type = OPTION_DOUBLE,
     .default_text = "0.02",
     .offset = offsetof(struct line_gate_options, drift),
     .doc = "what is added to that for each mm of the way since the last gate"},
    {.name = "debounce_mm",
     .type = OPTION_DOUBLE,
     .default_text = "10",
     .offset = offsetof(struct line_gate_options, debounce_mm),
     .doc = "beside a belt: a pulse after less way than this is the same one again"},
    {.name = "debounce",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct line_gate_options, debounce_us),
     .doc = "a pulse after less time than this is the same one again"},
    {.name = "unit_length_mm",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct line_gate_options, unit_length_mm),
     .doc = "beside a belt: how long a unit is; a pulse of twice that is two units that touch"},
    {.name = "units",
     .type = OPTION_UINT,
     .default_text = "1",
     .min = 1,
     .max = LINE_SHOT_MAX,
     .offset = offsetof(struct line_gate_options, units),
     .doc = "how many units one pulse is: the cavities of a mould, the places of a carrier"},
    {.name = NULL},
};

static const struct option odds_table[] = {
    {.name = "missed",
     .type = OPTION_DOUBLE,
     .default_text = "0.01",
     .offset = offsetof(struct assign_odds, missed),
     .doc = "how likely a gate gives no pulse for a unit that passes"},
    {.name = "removed",
     .type = OPTION_DOUBLE,
     .default_text = "0.0005",
     .offset = offsetof(struct assign_odds, removed),
     .doc = "how likely a unit is taken off between two gates"},
    {.name = "appeared",
     .type = OPTION_DOUBLE,
     .default_text = "0.0005",
     .offset = offsetof(struct assign_odds, appeared),
     .doc = "how likely a pulse is of a unit that was put on there by hand"},
    {.name = "spurious",
     .type = OPTION_DOUBLE,
     .default_text = "0.002",
     .offset = offsetof(struct assign_odds, spurious),
     .doc = "how likely a pulse is of nobody"},
    {.name = "misread",
     .type = OPTION_DOUBLE,
     .default_text = "0.000001",
     .offset = offsetof(struct assign_odds, misread),
     .doc = "how likely another unit's serial is read"},
    {.name = "moved",
     .type = OPTION_DOUBLE,
     .default_text = "0.0001",
     .offset = offsetof(struct assign_odds, moved),
     .doc = "how likely a unit is read where it could not have come by itself"},
    {.name = NULL},
};

static const struct option signal_table[] = {
    {.name = "from_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct signal_place, from_mm),
     .doc = "where the signal's place begins on the belt that its station is on"},
    {.name = "to_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct signal_place, to_mm),
     .doc = "where it ends"},
    {.name = NULL},
};

const struct option line_option_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_options, name),
     .doc = "what the track is called; its presences are the stream presence.NAME"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct line_options, place),
     .doc = "where it is; default: the place of the first gate's device"},
    {.name = "parts",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_options, parts),
     .items = part_table,
     .doc = "what units pass through"},
    {.name = "gates",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct line_options, gates),
     .items = line_gate_table,
     .doc = "the sensors that see them pass; each way between two parts needs one"},
    {.name = "signals",
     .type = OPTION_TREE,
     .offset = offsetof(struct line_options, signals),
     .items = signal_table,
     .doc =
         "tag: where along its belt it is measured; it is bound to a unit only while the unit is "
         "there"},
    {.name = "odds",
     .type = OPTION_TREE,
     .offset = offsetof(struct line_options, odds),
     .items = odds_table,
     .doc = "how often things go wrong"},
    {.name = "hypotheses",
     .type = OPTION_UINT,
     .default_text = "64",
     .min = 1,
     .max = ASSIGN_HYPOTHESES_MAX,
     .offset = offsetof(struct line_options, hypotheses),
     .doc = "how many histories of units whose fates hang together are followed beside each other"},
    {.name = "clocks",
     .type = OPTION_TREE,
     .offset = offsetof(struct line_options, clocks),
     .items = clock_option_table,
     .doc = "devices whose clocks are compared with that of the others"},
    {.name = "gap_max",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .min = 1,
     .offset = offsetof(struct line_options, gap_max_us),
     .doc = "longer without a reading of a speed or a sensor, and what was then counts as unknown"},
    {.name = "grace",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .offset = offsetof(struct line_options, grace_us),
     .doc = "how long readings wait for slower streams"},
    {.name = "lateness",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct line_options, late_us),
     .doc = "how long all readings wait for ones of their own stream that come late"},
    {.name = NULL},
};

uint32_t line_input_level(const struct line *l, uint32_t gate)
{
    (void)l;
    return gate;
}

uint32_t line_input_code(const struct line *l, uint32_t gate)
{
    return l->gate_count + gate;
}

uint32_t line_input_speed(const struct line *l, uint32_t motion)
{
    return 2 * l->gate_count + motion;
}

/* ----------------------------------------------------------------------------------------- parts
 */

uint16_t line_part_find(const struct line *l, const char *name)
{
    for (uint32_t i = 0; i < l->part_count; i++)
        if (strcmp(l->parts[i].name, name) == 0)
            return (uint16_t)i;
    return LINE_NONE;
}

int line_part_missing(const struct line *l, const struct tree *tree, const char *name,
                      struct diag *diag)
{
    const char *like = NULL;
    unsigned best = 4;
    for (uint32_t i = 0; i < l->part_count; i++) {
        unsigned distance = str_distance(l->parts[i].name, name);
        if (distance < best) {
            best = distance;
            like = l->parts[i].name;
        }
    }
    return tree_error(diag, ERR_NOT_FOUND, tree, "the line has no part %s%s%s%s", name,
                      like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

static int part_kind(struct line_part *p, const struct tree *item, struct diag *diag)
{
    const struct line_part_options *o = &p->options;
    int kinds = (o->belt != NULL) + (o->station != NULL) + (o->buffer != NULL);
    if (kinds != 1)
        return tree_error(diag, ERR_INVALID, item,
                          "a part is one of these: belt: NAME, station: NAME, buffer: NAME");
    p->kind = o->belt ? LINE_BELT : o->station ? LINE_STATION : LINE_BUFFER;
    p->name = o->belt ? o->belt : o->station ? o->station : o->buffer;
    if (strcmp(p->name, LINE_OUT) == 0)
        return tree_error(diag, ERR_INVALID, item,
                          "no part can be called %s: that is where units leave the line", LINE_OUT);
    return OK;
}

static int part_belt(const struct line_part *p, const struct tree *item, struct diag *diag)
{
    const struct line_part_options *o = &p->options;
    const char *belt_only[] = {"length_mm", "speed", "places"};
    const char *others_only[] = {"order", "capacity", "time_min", "time_max"};
    bool belt = p->kind == LINE_BELT;
    const char **wrong = belt ? others_only : belt_only;
    for (size_t i = 0; i < (belt ? 4u : 3u); i++) {
        if (tree_get(item, wrong[i])) {
            return tree_error(diag, ERR_INVALID, tree_get(item, wrong[i]),
                              belt
                                  ? "a belt has no %s: units on it keep their order, and are where "
                                    "its way says"
                                  : "only a belt has %s",
                              wrong[i]);
        }
    }
    if (belt && !(o->length_mm > 0 && o->length_mm <= PATH_MM_MAX))
        return tree_error(diag, ERR_RANGE, tree_or(item, "length_mm"),
                          "a belt needs its length_mm, above 0");
    if (belt && !o->speed)
        return tree_error(
            diag, ERR_NOT_FOUND, item,
            "a belt needs its speed: {signal: TAG}, or {counts: TAG, mm_per_count: 0.1}");
    if (o->time_max_us && o->time_max_us < o->time_min_us)
        return tree_error(diag, ERR_RANGE, tree_or(item, "time_max"),
                          "time_max is shorter than time_min");
    return OK;
}

static int speed_check(const struct tree *spec, const struct speed_options *o, struct diag *diag)
{
    if (!o->signal == !o->counts)
        return tree_error(diag, ERR_INVALID, spec,
                          "a belt has either a signal with its speed or counts of its encoder");
    if (!isfinite(o->scale) || o->scale == 0)
        return tree_error(diag, ERR_RANGE, tree_or(spec, "scale"), "a scale is not 0");
    if (!o->counts)
        return OK;
    if (!(fabs(o->mm_per_count) > 0 && fabs(o->mm_per_count) <= PATH_MM_MAX))
        return tree_error(diag, ERR_RANGE, tree_or(spec, "mm_per_count"),
                          "counts need mm_per_count, the way of one of them, which is not 0");
    if (!(o->fastest_mm_s > 0 && o->fastest_mm_s <= MOTION_SPEED_MAX))
        return tree_error(diag, ERR_RANGE, tree_or(spec, "fastest_mm_s"),
                          "fastest_mm_s is above 0 and at most %g", MOTION_SPEED_MAX);
    return OK;
}

static bool motions_are_same(const struct line_motion *a, const struct line_motion *b)
{
    const struct motion_counts *x = &a->motion.counts;
    const struct motion_counts *y = &b->motion.counts;
    return strcmp(a->signal, b->signal) == 0 && a->scale == b->scale && x->mm == y->mm &&
           x->rollover == y->rollover && x->fastest_mm_s == y->fastest_mm_s;
}

static int part_speed(struct line *l, struct line_part *p, struct arena *arena, struct diag *diag)
{
    struct speed_options o = {0};
    int err = option_bind(speed_table, p->options.speed, arena, &o, diag);
    if (err)
        return err;
    err = speed_check(p->options.speed, &o, diag);
    if (err)
        return err;
    const char *signal = o.signal ? o.signal : o.counts;
    assert(signal);
    const struct line_motion of = {
        .signal = signal,
        .scale = o.signal ? o.scale : 1,
        .motion.counts = {.mm = o.signal ? 0 : o.mm_per_count,
                          .rollover = (double)o.rollover,
                          .fastest_mm_s = o.fastest_mm_s},
    };
    uint32_t i = 0;
    while (i < l->motion_count && !motions_are_same(&l->motions[i], &of))
        i++;
    if (i == l->motion_count)
        l->motions[l->motion_count++] = of;
    p->motion = i;
    return OK;
}

/* That the place lies on the belt, and touches no other one. */
static int place_check(const struct line *l, const struct line_part *p, const struct tree *item,
                       const struct line_place *place, struct diag *diag)
{
    if (!(place->from_mm >= 0 && place->from_mm < place->to_mm))
        return tree_error(diag, ERR_RANGE, tree_or(item, "to_mm"),
                          "a place ends behind its beginning: to_mm must be above from_mm");
    if (!(place->to_mm <= p->options.length_mm))
        return tree_error(diag, ERR_RANGE, tree_or(item, "to_mm"),
                          "this place ends behind the belt %s, which is %g mm long", p->name,
                          p->options.length_mm);
    for (const struct line_place *o = l->places; o < place; o++) {
        if (strcmp(o->station, place->station) == 0)
            return tree_error(diag, ERR_EXISTS, tree_or(item, "station"),
                              "the station %s has a place on this line already", place->station);
        bool here = o >= l->places + p->place_first;
        if (here && o->from_mm < place->to_mm && place->from_mm < o->to_mm) {
            return tree_error(
                diag, ERR_RANGE, tree_or(item, "from_mm"),
                "this place overlaps that of the station %s, from %g to %g mm: a unit "
                "would be at both",
                o->station, o->from_mm, o->to_mm);
        }
    }
    return OK;
}

static int part_places(struct line *l, struct line_part *p, struct arena *arena, struct diag *diag)
{
    int err = OK;
    p->place_first = l->place_count;
    if (p->options.places && p->options.places->kind != TREE_LIST)
        return tree_error(diag, ERR_TYPE, p->options.places,
                          "places is a list: - {station: paint, from_mm: 1200, to_mm: 3400}");
    TREE_EACH(item, p->options.places)
    {
        if (l->place_count == LINE_PLACES_MAX)
            return tree_error(diag, ERR_LIMIT, item, "a line has at most %d places",
                              LINE_PLACES_MAX);
        struct line_place *place = &l->places[l->place_count];
        err = option_bind(place_table, item, arena, place, diag);
        if (!err)
            err = place_check(l, p, item, place, diag);
        if (err)
            return err;
        l->place_count++;
        p->place_count++;
    }
    return OK;
}

static int part_bind(struct line *l, const struct tree *item, struct arena *arena,
                     struct diag *diag)
{
    struct line_part *p = &l->parts[l->part_count];
    p->tree = item;
    int err = option_bind(part_table, item, arena, &p->options, diag);
    if (!err)
        err = part_kind(p, item, diag);
    if (!err)
        err = part_belt(p, item, diag);
    if (err)
        return err;
    if (line_part_find(l, p->name) != LINE_NONE)
        return tree_error(diag, ERR_EXISTS, item, "the line has a part %s already", p->name);
    if (p->kind == LINE_BELT) {
        err = part_speed(l, p, arena, diag);
        if (!err)
            err = part_places(l, p, arena, diag);
    }
    l->part_count += !err;
    return err;
}

int line_list_check(const struct tree *list, const char *name, const char *example, uint32_t max,
                    struct diag *diag)
{
    if (list->kind != TREE_LIST || list->count == 0)
        return tree_error(diag, ERR_TYPE, list, "%s is a list: - %s", name, example);
    if (list->count > max)
        return tree_error(diag, ERR_LIMIT, list, "a line has at most %u %s", max, name);
    return OK;
}

static int parts_bind(struct line *l, struct arena *arena, struct diag *diag)
{
    const struct tree *list = l->options.parts;
    int err =
        line_list_check(list, "parts", "{station: press, to: out}", ASSIGN_PARTS_MAX - 1, diag);
    if (err)
        return err;
    l->parts = arena_array(arena, list->count, sizeof *l->parts);
    l->motions = arena_array(arena, list->count, sizeof *l->motions);
    l->places = arena_array(arena, LINE_PLACES_MAX, sizeof *l->places);
    l->model_parts = arena_array(arena, list->count, sizeof *l->model_parts);
    if (!l->parts || !l->motions || !l->places || !l->model_parts)
        return ERR_NOMEM;
    TREE_EACH(item, list)
    {
        if (!err)
            err = part_bind(l, item, arena, diag);
    }
    for (uint32_t i = 0; i < l->part_count && !err; i++) {
        const struct line_part_options *o = &l->parts[i].options;
        uint32_t room =
            l->parts[i].kind == LINE_STATION && !o->capacity ? 1 : (uint32_t)o->capacity;
        l->model_parts[i] = (struct assign_part){
            .order = (enum assign_order)o->order,
            .capacity = l->parts[i].kind == LINE_BELT ? 0 : room,
            .length_mm = l->parts[i].kind == LINE_BELT ? o->length_mm : 0,
            .time_min_us = o->time_min_us,
            .time_max_us = o->time_max_us,
        };
    }
    return err;
}

/* --------------------------------------------------------------------------------------- signals
 */

static int signals_bind(struct line *l, struct arena *arena, const struct catalogue *catalogue,
                        struct diag *diag)
{
    const struct tree *map = l->options.signals;
    if (!map || map->kind == TREE_NULL)
        return OK;
    if (map->kind != TREE_MAP || map->count > LINE_SIGNALS_MAX) {
        return tree_error(
            diag, ERR_TYPE, map,
            "signals have places: plc2.dryer.zone1: {from_mm: 0, to_mm: 275}; at most "
            "%d",
            LINE_SIGNALS_MAX);
    }
    l->signals = arena_array(arena, map->count + 1u, sizeof *l->signals);
    int err = l->signals ? OK : ERR_NOMEM;
    TREE_EACH(item, map)
    {
        struct signal_place *s = &l->signals[l->signal_count];
        if (!err)
            err = track_tag_check(item, item->key, catalogue, diag);
        if (!err)
            err = option_bind(signal_table, item, arena, s, diag);
        if (!err && !(s->from_mm < s->to_mm))
            err = tree_error(diag, ERR_RANGE, tree_or(item, "to_mm"),
                             "a place ends behind its beginning: to_mm must be above from_mm");
        if (err)
            return err;
        const char *dot = strrchr(item->key, '.');
        s->stream = arena_copy(arena, bytes_of(item->key, (size_t)(dot - item->key)));
        s->column = arena_text(arena, dot + 1);
        err = s->stream && s->column ? OK : ERR_NOMEM;
        l->signal_count++;
    }
    return err;
}

static int inputs_bind(struct line *l, struct catalogue *catalogue, struct diag *diag)
{
    struct track *t = &l->track;
    uint32_t gate = 0;
    int err = track_inputs_make(t, 2 * l->gate_count + l->motion_count);
    TREE_EACH(item, l->options.gates)
    {
        const struct line_gate_options *o = &l->gates[gate].options;
        struct stream *stream = NULL;
        if (err)
            return err;
        err = track_signal_find(t, line_input_level(l, gate), tree_or(item, "signal"), o->signal,
                                catalogue, &stream, diag);
        t->inputs[line_input_level(l, gate)].rising = o->edge == 0;
        t->inputs[line_input_code(l, gate)].read = READ_TEXT;
        if (!err && o->unit)
            err = track_signal_find(t, line_input_code(l, gate), tree_or(item, "unit"), o->unit,
                                    catalogue, NULL, diag);
        if (!err && gate == 0) {
            assert(stream);
            t->place = strdup(l->options.place ? l->options.place : stream->place);
            err = t->place ? OK : ERR_NOMEM;
        }
        gate++;
    }
    for (uint32_t i = 0; i < l->part_count && !err; i++) {
        const struct line_part *p = &l->parts[i];
        uint32_t at = line_input_speed(l, p->motion);
        if (p->kind != LINE_BELT || t->inputs[at].stream)
            continue;
        bool counted = l->motions[p->motion].motion.counts.mm != 0;
        t->inputs[at].read = READ_NUMBER;
        err = track_signal_find(t, at, tree_or(p->options.speed, counted ? "counts" : "signal"),
                                l->motions[p->motion].signal, catalogue, NULL, diag);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------ line
 */

static int odds_bind(struct line *l, struct arena *arena, struct diag *diag)
{
    static const struct tree none = {.kind = TREE_MAP};
    const struct tree *map = l->options.odds ? l->options.odds : &none;
    int err = option_bind(odds_table, map, arena, &l->odds, diag);

    const struct {
        const char *key;
        double value;
    } odds[] = {{"missed", l->odds.missed},     {"removed", l->odds.removed},
                {"appeared", l->odds.appeared}, {"spurious", l->odds.spurious},
                {"misread", l->odds.misread},   {"moved", l->odds.moved}};

    for (size_t i = 0; i < sizeof odds / sizeof odds[0] && !err; i++)
        if (!(odds[i].value > 0 && odds[i].value < 0.5))
            err = tree_error(diag, ERR_RANGE, tree_or(map, odds[i].key),
                             "%s is a probability above 0 and below 0.5", odds[i].key);
    return err;
}

static int line_assign(struct line *l)
{
    const struct assign_model model = {
        .parts = l->model_parts,
        .ways = l->model_ways,
        .gates = l->model_gates,
        .part_count = l->part_count,
        .way_count = l->way_count,
        .gate_count = l->gate_count,
        .odds = l->odds,
        .hypotheses_max = (uint32_t)l->options.hypotheses,
        .weight_min = 1e-3,
        .change_min = 0.01,
        .said_min = 0.05,
        .learns = true,
        .mm = line_mm,
        .when = line_when,
        .stay = line_stay,
        .breach = line_breach,
        .ctx = l,
    };
    return assign_new(&model, &l->assign);
}

int line_configure(struct track *t, const struct config_object *object, struct arena *arena,
                   struct catalogue *catalogue, struct diag *diag)
{
    struct line *l = line_of(t);
    int err = option_bind(line_option_table, object->spec, arena, &l->options, diag);
    t->name = l->options.name;
    t->gap_max_us = l->options.gap_max_us;
    t->grace_us = l->options.grace_us;
    t->late_us = l->options.late_us;
    if (!err)
        err = odds_bind(l, arena, diag);
    if (!err)
        err = parts_bind(l, arena, diag);
    if (!err)
        err = line_ways_bind(l, arena, diag);
    if (!err)
        err = line_ways_reach(l, true, diag);
    if (!err)
        err = line_ways_reach(l, false, diag);
    if (!err)
        err = line_gates_bind(l, arena, diag);
    if (!err)
        err = inputs_bind(l, catalogue, diag);
    if (!err)
        err = signals_bind(l, arena, catalogue, diag);
    if (!err)
        err =
            track_placed_stream_make(t, object->spec, l->signals, l->signal_count, catalogue, diag);
    return err ? err : line_assign(l);
}
