/* A belt as configured, and its part of the checkpoint. See belt.h. */
#include "track/belt.h"
#include "track/clocks.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const edge_choices[] = {"rising", "falling", NULL};

/* What both gates have. */
#define GATE_ROWS                                                                                  \
    {.name = "signal",                                                                             \
     .type = OPTION_TEXT,                                                                          \
     .flags = OPTION_REQUIRED,                                                                     \
     .offset = offsetof(struct belt_gate_options, edge.signal),                                    \
     .doc = "the sensor's tag, as device.group.tag"},                                              \
        {.name = "edge",                                                                           \
         .type = OPTION_ENUM,                                                                      \
         .default_text = "rising",                                                                 \
         .choices = edge_choices,                                                                  \
         .offset = offsetof(struct belt_gate_options, edge.edge),                                  \
         .doc = "which change of it counts"},                                                      \
        {.name = "unit",                                                                           \
         .type = OPTION_TEXT,                                                                      \
         .offset = offsetof(struct belt_gate_options, unit),                                       \
         .doc = "the tag with the serial number that was read there"},                             \
        {.name = "unit_mm",                                                                        \
         .type = OPTION_DOUBLE,                                                                    \
         .offset = offsetof(struct belt_gate_options, unit_mm),                                    \
         .doc = "where the scanner stands; default: at the sensor"},                               \
        {.name = "debounce_mm",                                                                    \
         .type = OPTION_DOUBLE,                                                                    \
         .default_text = "10",                                                                     \
         .offset = offsetof(struct belt_gate_options, debounce_mm),                                \
         .doc = "a pulse after less way of the belt than this is the same one again"},             \
    {                                                                                              \
        .name = "debounce", .type = OPTION_DURATION, .default_text = "0s",                         \
        .offset = offsetof(struct belt_gate_options, debounce_us),                                 \
        .doc = "a pulse after less time than this is the same one again"                           \
    }

static const struct option entry_table[] = {
    GATE_ROWS,
    {.name = "at_mm",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct belt_gate_options, at_mm),
     .doc = "where the sensor stands on the belt"},
    {.name = "reach_mm",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct belt_gate_options, reach_mm),
     .doc = "how far behind the scanner its serial is still the unit's; 0: until the next one "
            "enters"},
    {.name = NULL},
};

static const struct option exit_table[] = {
    GATE_ROWS,
    {.name = "at_mm",
     .type = OPTION_DOUBLE,
     .offset = offsetof(struct belt_gate_options, at_mm),
     .doc = "where the sensor stands on the belt; default: the end of the last place"},
    {.name = "tolerance_mm",
     .type = OPTION_DOUBLE,
     .default_text = "60",
     .offset = offsetof(struct belt_gate_options, tolerance_mm),
     .doc = "how far from the sensor a unit may be predicted when its pulse comes"},
    {.name = "drift",
     .type = OPTION_DOUBLE,
     .default_text = "0.02",
     .offset = offsetof(struct belt_gate_options, drift),
     .doc = "what is added to that for each mm of the way"},
    {.name = NULL},
};

static const struct option speed_table[] = {
    {.name = "signal",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_speed_options, signal),
     .doc = "the tag with the belt's speed in mm/s, negative when it runs backwards"},
    {.name = "scale",
     .type = OPTION_DOUBLE,
     .default_text = "1",
     .offset = offsetof(struct belt_speed_options, scale),
     .doc = "what makes mm/s of it: 16.667 for m/min"},
    {.name = NULL},
};

static const struct option place_table[] = {
    {.name = "station",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_place, station),
     .doc = "the station there"},
    {.name = "from_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_place, from_mm),
     .doc = "where it begins on the belt"},
    {.name = "to_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_place, to_mm),
     .doc = "where it ends"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct belt_place, place),
     .doc = "its place; default: the belt's"},
    {.name = NULL},
};

static const struct option signal_table[] = {
    {.name = "from_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct signal_place, from_mm),
     .doc = "where the signal's place begins on the belt"},
    {.name = "to_mm",
     .type = OPTION_DOUBLE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct signal_place, to_mm),
     .doc = "where it ends"},
    {.name = NULL},
};

const struct option belt_option_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_options, name),
     .doc = "what the track is called; its presences are the stream presence.NAME"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct belt_options, place),
     .doc = "where it is; default: the place of the entry sensor's device"},
    {.name = "entry",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_options, entry),
     .items = entry_table,
     .doc = "the sensor that units pass when they come"},
    {.name = "speed",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_options, speed),
     .items = speed_table,
     .doc = "how fast the belt runs"},
    {.name = "places",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_options, places),
     .items = place_table,
     .doc = "the stations along the belt"},
    {.name = "signals",
     .type = OPTION_TREE,
     .offset = offsetof(struct belt_options, signals),
     .items = signal_table,
     .doc = "tag: where along the belt it is measured; it is bound to a unit only while the unit "
            "is there"},
    {.name = "exit",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct belt_options, exit),
     .items = exit_table,
     .doc = "the sensor that units pass when they leave"},
    {.name = "clocks",
     .type = OPTION_TREE,
     .offset = offsetof(struct belt_options, clocks),
     .items = clock_option_table,
     .doc = "devices whose clocks are compared with that of the others"},
    {.name = "gap_max",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .min = 1,
     .offset = offsetof(struct belt_options, gap_max_us),
     .doc = "longer without a reading of the speed or a sensor, and what was then counts as "
            "unknown"},
    {.name = "grace",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .offset = offsetof(struct belt_options, grace_us),
     .doc = "how long readings wait for slower streams, and a unit that left for its scan"},
    {.name = "lateness",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct belt_options, late_us),
     .doc = "how long all readings wait for ones of their own stream that come late"},
    {.name = "wait",
     .type = OPTION_DURATION,
     .default_text = "10m",
     .min = 1,
     .offset = offsetof(struct belt_options, wait_us),
     .doc = "a unit on the belt for longer than this is told as predicted, and corrected by a "
            "second revision when it leaves"},
    {.name = NULL},
};

static struct belt *belt_of(struct track *t)
{
    return CONTAINER_OF(t, struct belt, track);
}

/* ----------------------------------------------------------------------------------------- gates
 */

static int gate_find(struct belt *b, enum track_signal sensor, const struct tree *map,
                     const struct belt_gate_options *o, struct catalogue *catalogue,
                     struct diag *diag)
{
    enum track_signal scanner = sensor == SIGNAL_BEGIN ? SIGNAL_UNIT : SIGNAL_EXIT_UNIT;
    struct stream *stream = NULL;
    int err = track_signal_find(&b->track, sensor, tree_or(map, "signal"), o->edge.signal,
                                catalogue, &stream, diag);
    b->track.inputs[sensor].rising = o->edge.edge == 0;
    if (!err && o->unit)
        err = track_signal_find(&b->track, scanner, tree_or(map, "unit"), o->unit, catalogue, NULL,
                                diag);
    if (err || sensor != SIGNAL_BEGIN)
        return err;
    assert(stream);
    b->track.place = strdup(b->options.place ? b->options.place : stream->place);
    return b->track.place ? OK : ERR_NOMEM;
}

static int gate_check(const struct tree *map, const struct belt_gate_options *o, struct diag *diag)
{
    const struct {
        const char *key;
        double value;
    } at_least_0[] = {{"debounce_mm", o->debounce_mm},
                      {"tolerance_mm", o->tolerance_mm},
                      {"drift", o->drift},
                      {"reach_mm", o->reach_mm}};

    for (size_t i = 0; i < sizeof at_least_0 / sizeof at_least_0[0]; i++)
        if (!(at_least_0[i].value >= 0 && at_least_0[i].value <= PATH_MM_MAX))
            return tree_error(diag, ERR_RANGE, tree_or(map, at_least_0[i].key),
                              "%s is a number from 0", at_least_0[i].key);
    return OK;
}

static int gate_bind(struct belt *b, struct belt_gate *g, const struct option *table,
                     const struct tree *map, struct arena *arena, struct diag *diag)
{
    (void)b;
    int err = option_bind(table, map, arena, &g->options, diag);
    if (!err)
        err = gate_check(map, &g->options, diag);
    if (!err && !tree_get(map, "unit_mm"))
        g->options.unit_mm = g->options.at_mm;
    return err;
}

/* ---------------------------------------------------------------------------------------- places
 */

static int range_check(const struct belt *b, const struct tree *map, double from_mm, double to_mm,
                       struct diag *diag)
{
    double first = b->entry.options.at_mm;
    double last = b->exit.options.at_mm;
    if (!(from_mm < to_mm))
        return tree_error(diag, ERR_RANGE, tree_or(map, "to_mm"),
                          "a place ends behind its beginning: to_mm must be above from_mm");
    if (!(from_mm >= first))
        return tree_error(diag, ERR_RANGE, tree_or(map, "from_mm"),
                          "this place begins before the entry, which is at %g mm", first);
    if (!(to_mm <= last))
        return tree_error(diag, ERR_RANGE, tree_or(map, "to_mm"),
                          "this place ends behind the exit, which is at %g mm", last);
    return OK;
}

static int places_bind(struct belt *b, struct arena *arena, struct diag *diag)
{
    const struct tree *list = b->options.places;
    if (list->kind != TREE_LIST || list->count == 0)
        return tree_error(diag, ERR_TYPE, list,
                          "places is a list: - {station: paint, from_mm: 1200, to_mm: 3400}");
    if (list->count > BELT_PLACES_MAX)
        return tree_error(diag, ERR_LIMIT, list, "a belt has at most %d places", BELT_PLACES_MAX);
    TREE_EACH(item, list)
    {
        struct belt_place *p = &b->places[b->place_count];
        int err = option_bind(place_table, item, arena, p, diag);
        if (err)
            return err;
        for (uint32_t i = 0; i < b->place_count; i++)
            if (strcmp(b->places[i].station, p->station) == 0)
                return tree_error(diag, ERR_EXISTS, tree_or(item, "station"),
                                  "the station %s has a place on this belt already", p->station);
        b->place_count++;
    }
    return OK;
}

static int places_check(const struct belt *b, struct diag *diag)
{
    uint32_t i = 0;
    int err = OK;
    TREE_EACH(item, b->options.places)
    {
        if (!err)
            err = range_check(b, item, b->places[i].from_mm, b->places[i].to_mm, diag);
        i++;
    }
    return err;
}

/* Where the exit is when nobody said: at the end of what is said. */
static void exit_place(struct belt *b)
{
    struct belt_gate_options *o = &b->exit.options;
    bool said = tree_get(b->options.exit, "at_mm") != NULL;
    for (uint32_t i = 0; i < b->place_count && !said; i++)
        o->at_mm = i == 0 || b->places[i].to_mm > o->at_mm ? b->places[i].to_mm : o->at_mm;
    if (!tree_get(b->options.exit, "unit_mm"))
        o->unit_mm = o->at_mm;
}

/* --------------------------------------------------------------------------------------- signals
 */

static int signal_bind(struct belt *b, const struct tree *item, struct arena *arena,
                       const struct catalogue *catalogue, struct diag *diag)
{
    struct signal_place *s = &b->signals[b->signal_count];
    int err = track_tag_check(item, item->key, catalogue, diag);
    if (!err)
        err = option_bind(signal_table, item, arena, s, diag);
    if (!err)
        err = range_check(b, item, s->from_mm, s->to_mm, diag);
    if (err)
        return err;
    const char *dot = strrchr(item->key, '.');
    s->stream = arena_copy(arena, bytes_of(item->key, (size_t)(dot - item->key)));
    s->column = arena_text(arena, dot + 1);
    b->signal_count++;
    return s->stream && s->column ? OK : ERR_NOMEM;
}

static int signals_bind(struct belt *b, struct arena *arena, const struct catalogue *catalogue,
                        struct diag *diag)
{
    const struct tree *map = b->options.signals;
    if (!map || map->kind == TREE_NULL)
        return OK;
    if (map->kind != TREE_MAP)
        return tree_error(
            diag, ERR_TYPE, map,
            "signals of a belt have places: plc2.dryer.zone1: {from_mm: 0, to_mm: 275}");
    if (map->count > BELT_SIGNALS_MAX)
        return tree_error(diag, ERR_LIMIT, map, "a belt has at most %d signals", BELT_SIGNALS_MAX);
    b->signals = arena_array(arena, map->count + 1u, sizeof *b->signals);
    int err = b->signals ? OK : ERR_NOMEM;
    TREE_EACH(item, map)
    {
        if (!err)
            err = signal_bind(b, item, arena, catalogue, diag);
    }
    return err;
}

/* ------------------------------------------------------------------------------------------ belt
 */

static int speed_bind(struct belt *b, struct arena *arena, struct catalogue *catalogue,
                      struct diag *diag)
{
    struct belt_speed_options o = {0};
    const struct tree *map = b->options.speed;
    int err = option_bind(speed_table, map, arena, &o, diag);
    if (err)
        return err;
    if (!isfinite(o.scale) || o.scale == 0)
        return tree_error(diag, ERR_RANGE, tree_or(map, "scale"), "a scale is not 0");
    b->speed_scale = o.scale;
    return track_signal_find(&b->track, SIGNAL_SPEED, tree_or(map, "signal"), o.signal, catalogue,
                             NULL, diag);
}

static int gates_bind(struct belt *b, struct arena *arena, struct diag *diag)
{
    int err = gate_bind(b, &b->entry, entry_table, b->options.entry, arena, diag);
    if (!err)
        err = gate_bind(b, &b->exit, exit_table, b->options.exit, arena, diag);
    if (!err)
        err = places_bind(b, arena, diag);
    if (err)
        return err;
    exit_place(b);
    if (!(b->exit.options.at_mm > b->entry.options.at_mm))
        return tree_error(diag, ERR_RANGE, tree_or(b->options.exit, "at_mm"),
                          "the exit, at %g mm, must stand behind the entry, at %g mm",
                          b->exit.options.at_mm, b->entry.options.at_mm);
    if (!(b->exit.options.at_mm <= PATH_MM_MAX))
        return tree_error(diag, ERR_RANGE, b->options.exit, "a belt is at most %g mm long",
                          PATH_MM_MAX);
    return places_check(b, diag);
}

static int belt_configure(struct track *t, const struct config_object *object, struct arena *arena,
                          struct catalogue *catalogue, struct diag *diag)
{
    struct belt *b = belt_of(t);
    struct belt_options *o = &b->options;
    int err = option_bind(belt_option_table, object->spec, arena, o, diag);
    t->name = o->name;
    t->gap_max_us = o->gap_max_us;
    t->grace_us = o->grace_us;
    t->late_us = o->late_us;
    if (!err)
        err = gates_bind(b, arena, diag);
    if (!err)
        err = gate_find(b, SIGNAL_BEGIN, o->entry, &b->entry.options, catalogue, diag);
    if (!err)
        err = gate_find(b, SIGNAL_END, o->exit, &b->exit.options, catalogue, diag);
    if (!err)
        err = speed_bind(b, arena, catalogue, diag);
    if (!err)
        err = signals_bind(b, arena, catalogue, diag);
    return err ? err
               : track_placed_stream_make(t, object->spec, b->signals, b->signal_count, catalogue,
                                          diag);
}

static void belt_fini(struct track *t)
{
    struct belt *b = belt_of(t);
    motion_fini(&b->motion);
    path_fini(&b->path);
    free(b->units);
}

/* ------------------------------------------------------------------------------------- checkpoint
 */

static void gate_reset(struct belt_gate *g)
{
    *g = (struct belt_gate){.options = g->options, .scanner = {.fresh = true}};
}

static void belt_reset(struct track *t)
{
    struct belt *b = belt_of(t);
    gate_reset(&b->entry);
    gate_reset(&b->exit);
    motion_reset(&b->motion);
    b->stranger = (struct belt_stranger){0};
    b->read_us = 0;
    b->read_gap_mm = 0;
    b->scale = 1;
    b->due_us = INT64_MIN; /* looked for at once */
    b->first = 0;
    b->end = 0;
    b->closing = false;
}

static void put_gate(struct buf *out, const struct belt_gate *g)
{
    put_level(out, &g->level);
    (void)buf_append_u8(out, g->pulsed);
    put_i64(out, g->pulse_us);
    (void)buf_append_double(out, g->pulse_mm);
    put_scanner(out, &g->scanner);
}

static void get_gate(struct reader *in, struct belt_gate *g)
{
    g->level = get_level(in);
    g->pulsed = reader_u8(in) != 0;
    g->pulse_us = get_time(in);
    g->pulse_mm = get_mm(in);
    get_scanner(in, &g->scanner);
}

static void put_stranger(struct buf *out, const struct belt_stranger *s)
{
    put_text(out, s->code);
    put_i64(out, s->time_us);
    (void)buf_append_double(out, s->mm);
    (void)buf_append_double(out, s->slack_mm);
    (void)buf_append_le64(out, s->at.epoch);
    (void)buf_append_le64(out, s->at.seq);
    (void)buf_append_le32(out, s->row);
    (void)buf_append_le32(out, s->reads);
}

static void get_stranger(struct reader *in, struct belt_stranger *s)
{
    get_text(in, s->code);
    s->time_us = get_time(in);
    s->mm = get_mm(in);
    s->slack_mm = get_mm(in);
    s->at.epoch = reader_le64(in);
    s->at.seq = reader_le64(in);
    s->row = reader_le32(in);
    s->reads = reader_le32(in);
    if (s->code[0] && !s->reads)
        in->failed = true;
}

/* The way of units over the way of the belt; see unit_correct. */
static double get_scale(struct reader *in)
{
    double v = reader_finite(in);
    if (!(v >= 1 / BELT_SCALE_MAX && v <= BELT_SCALE_MAX))
        in->failed = true;
    return in->failed ? 1 : v;
}

static void put_unit(struct buf *out, const struct belt *b, const struct belt_unit *u)
{
    (void)buf_append(out, u->id, sizeof u->id);
    put_i64(out, u->t_in);
    put_i64(out, u->t_out);
    (void)buf_append_double(out, u->belt_mm);
    (void)buf_append_double(out, u->slack_mm);
    (void)buf_append_double(out, u->scale);
    (void)buf_append_u8(out, (uint8_t)u->begin);
    (void)buf_append_u8(out, (uint8_t)u->end);
    (void)buf_append_varint(out, u->pulses);
    (void)buf_append_double(out, u->error_mm);
    (void)buf_append_double(out, u->share);
    put_i64(out, u->due_us);
    (void)buf_append(out, u->revisions, b->place_count);
    put_scan(out, &u->entry_scan);
    put_scan(out, &u->exit_scan);
}

static void get_unit(struct reader *in, const struct belt *b, struct belt_unit *u)
{
    struct bytes id = reader_take(in, sizeof u->id);
    if (id.len == sizeof u->id)
        memcpy(u->id, id.ptr, sizeof u->id);
    u->t_in = get_time(in);
    u->t_out = get_time(in);
    u->belt_mm = get_mm(in);
    u->slack_mm = get_mm(in);
    u->scale = get_scale(in);
    u->begin = get_edge(in);
    u->end = get_edge(in);
    u->pulses = get_count(in, UINT32_MAX);
    u->error_mm = get_mm(in);
    u->share = get_share(in);
    u->due_us = get_time(in);
    struct bytes revisions = reader_take(in, b->place_count);
    if (revisions.len == b->place_count && revisions.len)
        memcpy(u->revisions, revisions.ptr, revisions.len);
    get_scan(in, &u->entry_scan);
    get_scan(in, &u->exit_scan);
}

static int belt_encode(const struct track *t, struct buf *out)
{
    const struct belt *b = (const void *)t; /* its first member */
    put_gate(out, &b->entry);
    put_gate(out, &b->exit);
    motion_encode(&b->motion, out);
    (void)buf_append_double(out, b->motion.gap_mm);
    put_stranger(out, &b->stranger);
    put_i64(out, b->read_us);
    (void)buf_append_double(out, b->read_gap_mm);
    (void)buf_append_double(out, b->scale);
    (void)buf_append_varint(out, b->end - b->first);
    for (uint32_t i = b->first; i < b->end; i++)
        put_unit(out, b, &b->units[i]);
    (void)buf_append_u8(out, b->closing);
    if (b->closing)
        put_unit(out, b, &b->last);
    return OK;
}

static int belt_decode(struct track *t, struct reader *in)
{
    struct belt *b = belt_of(t);
    get_gate(in, &b->entry);
    get_gate(in, &b->exit);
    if (!motion_decode(&b->motion, in))
        return ERR_MALFORMED;
    b->motion.gap_mm = get_mm(in);
    get_stranger(in, &b->stranger);
    b->read_us = get_time(in);
    b->read_gap_mm = get_mm(in);
    b->scale = get_scale(in);
    uint32_t count = get_count(in, BELT_UNITS_MAX);
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        struct belt_unit *u = belt_unit_add(b);
        if (!u)
            return ERR_NOMEM;
        get_unit(in, b, u);
    }
    b->closing = reader_u8(in) != 0;
    if (b->closing)
        get_unit(in, b, &b->last);
    return in->failed ? ERR_MALFORMED : OK;
}

const struct track_kind belt_kind = {
    .bytes = sizeof(struct belt),
    .inputs = station_reads,
    .configure = belt_configure,
    .number = belt_number,
    .advance = belt_advance,
    .reset = belt_reset,
    .encode = belt_encode,
    .decode = belt_decode,
    .fini = belt_fini,
};
