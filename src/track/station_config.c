/* A station as configured, and its part of the checkpoint. See track.h. */
#include "track/clocks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char *const edge_choices[] = {"rising", "falling", NULL};

static const struct option edge_table[] = {
    {.name = "signal",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct edge_options, signal),
     .doc = "the tag, as device.group.tag"},
    {.name = "edge",
     .type = OPTION_ENUM,
     .default_text = "rising",
     .choices = edge_choices,
     .offset = offsetof(struct edge_options, edge),
     .doc = "which change of it counts"},
    {.name = NULL},
};

const struct option track_option_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct station_options, name),
     .doc = "what the track is called; its presences are the stream presence.NAME"},
    {.name = "station",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct station_options, station),
     .doc = "the station where the operation happens"},
    {.name = "place",
     .type = OPTION_TEXT,
     .offset = offsetof(struct station_options, place),
     .doc = "where that is; default: the place of the begin signal's device"},
    {.name = "unit",
     .type = OPTION_TEXT,
     .offset = offsetof(struct station_options, unit),
     .doc = "the tag with the serial number"},
    {.name = "begin",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct station_options, begin),
     .items = edge_table,
     .doc = "what says that a unit came"},
    {.name = "end",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct station_options, end),
     .items = edge_table,
     .doc = "what says that it left"},
    {.name = "result",
     .type = OPTION_TEXT,
     .offset = offsetof(struct station_options, result),
     .doc = "the tag with the result, read when the unit has left"},
    {.name = "pass",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct station_options, pass),
     .doc = "results that mean pass; default 1, true, ok, pass, passed, good, io; 0 and an empty "
            "text mean none"},
    {.name = "signals",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct station_options, signals),
     .doc = "streams or tags that belong to the unit while it is there"},
    {.name = "clocks",
     .type = OPTION_TREE,
     .offset = offsetof(struct station_options, clocks),
     .items = clock_option_table,
     .doc = "devices whose clocks are compared with that of the others"},
    {.name = "gap_max",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .min = 1,
     .offset = offsetof(struct station_options, gap_max_us),
     .doc = "longer without a reading of begin or end, and the edge's time counts as unknown"},
    {.name = "grace",
     .type = OPTION_DURATION,
     .default_text = "2s",
     .offset = offsetof(struct station_options, grace_us),
     .doc = "how long readings wait for slower streams, and a presence for its result"},
    {.name = "lateness",
     .type = OPTION_DURATION,
     .default_text = "0s",
     .offset = offsetof(struct station_options, late_us),
     .doc = "how long all readings wait for ones of their own stream that come late"},
    {.name = NULL},
};

static struct station *station_of(struct track *t)
{
    return CONTAINER_OF(t, struct station, track);
}

/* -------------------------------------------------------------------------------------- signals
 */

static int signal_edge(struct station *s, enum track_signal signal, const struct tree *tree,
                       struct arena *arena, struct catalogue *catalogue, struct diag *diag)
{
    struct edge_options edge = {0};
    struct stream *stream = NULL;
    int err = option_bind(edge_table, tree, arena, &edge, diag);
    if (err)
        return err;
    const struct tree *at = tree_get(tree, "signal");
    err =
        track_signal_find(&s->track, signal, at ? at : tree, edge.signal, catalogue, &stream, diag);
    s->track.inputs[signal].rising = edge.edge == 0;
    if (!err && signal == SIGNAL_BEGIN) {
        assert(stream);
        s->track.place = strdup(s->options.place ? s->options.place : stream->place);
        err = s->track.place ? OK : ERR_NOMEM;
    }
    return err;
}

static int signal_tag(struct station *s, enum track_signal signal, const struct tree *tree,
                      const char *text, struct catalogue *catalogue, struct diag *diag)
{
    return text ? track_signal_find(&s->track, signal, tree, text, catalogue, NULL, diag) : OK;
}

/* A stream, or a tag of one. */
static int signals_check(const struct station *s, const struct tree *spec,
                         const struct catalogue *catalogue, struct diag *diag)
{
    const struct tree *list = tree_get(spec, "signals");
    int err = OK;
    for (uint32_t i = 0; !err && i < s->options.signals.count; i++) {
        const char *text = s->options.signals.items[i];
        if (!catalogue_stream_find(catalogue, bytes_of_text(text)))
            err = track_tag_check(list, text, catalogue, diag);
    }
    return err;
}

/* ---------------------------------------------------------------------------------------- station
 */

static int station_stream(struct station *s, struct catalogue *catalogue, struct diag *diag)
{
    struct schema *schema = NULL;
    int err = presence_schema(&s->track, false, &schema);
    if (!err)
        err = track_stream_make(&s->track, schema, catalogue, diag);
    schema_unref(schema);
    return err;
}

static int station_configure(struct track *t, const struct config_object *object,
                             struct arena *arena, struct catalogue *catalogue, struct diag *diag)
{
    struct station *s = station_of(t);
    const struct tree *spec = object->spec;
    struct station_options *o = &s->options;
    int err = option_bind(track_option_table, spec, arena, o, diag);
    t->name = o->name;
    t->gap_max_us = o->gap_max_us;
    t->grace_us = o->grace_us;
    t->late_us = o->late_us;
    if (!err)
        err = signal_edge(s, SIGNAL_BEGIN, o->begin, arena, catalogue, diag);
    if (!err)
        err = signal_edge(s, SIGNAL_END, o->end, arena, catalogue, diag);
    if (!err)
        err = signal_tag(s, SIGNAL_UNIT, tree_get(spec, "unit"), o->unit, catalogue, diag);
    if (!err)
        err = signal_tag(s, SIGNAL_RESULT, tree_get(spec, "result"), o->result, catalogue, diag);
    if (!err)
        err = signals_check(s, spec, catalogue, diag);
    return err ? err : station_stream(s, catalogue, diag);
}

static int station_number(struct track *t, uint32_t signal, int64_t time_us, double value)
{
    (void)signal;
    (void)t;
    (void)time_us;
    (void)value;
    return OK;
}

static void station_fini(struct track *t)
{
    (void)t;
}

/* ------------------------------------------------------------------------------------- checkpoint
 */

static void station_reset(struct track *t)
{
    struct station *s = station_of(t);
    s->begin = (struct track_level){0};
    s->end = (struct track_level){0};
    s->scanner = (struct track_scanner){.fresh = true};
    s->open = (struct track_visit){0};
    s->closing = (struct track_visit){0};
    s->passed = (struct track_visit){0};
    s->gap = (struct path_interval){0};
}

static int station_encode(const struct track *t, struct buf *out)
{
    const struct station *s = (const void *)t; /* its first member */
    put_level(out, &s->begin);
    put_level(out, &s->end);
    put_scanner(out, &s->scanner);
    put_visit(out, &s->open);
    put_visit(out, &s->closing);
    put_visit(out, &s->passed);
    put_i64(out, s->gap.from_us);
    put_i64(out, s->gap.to_us);
    return OK;
}

static int station_decode(struct track *t, struct reader *in)
{
    struct station *s = station_of(t);
    s->begin = get_level(in);
    s->end = get_level(in);
    get_scanner(in, &s->scanner);
    get_visit(in, &s->open);
    get_visit(in, &s->closing);
    get_visit(in, &s->passed);
    s->gap.from_us = get_time(in);
    s->gap.to_us = get_time(in);
    if (s->passed.active && s->passed.scan.serial_count == 0)
        return ERR_MALFORMED;
    return OK;
}

const enum track_read station_reads[SIGNAL_COUNT] = {
    [SIGNAL_RESULT] = READ_TEXT,
    [SIGNAL_UNIT] = READ_TEXT,
    [SIGNAL_EXIT_UNIT] = READ_TEXT,
    [SIGNAL_SPEED] = READ_NUMBER,
};

const struct track_kind station_kind = {
    .bytes = sizeof(struct station),
    .inputs = station_reads,
    .configure = station_configure,
    .number = station_number,
    .advance = station_advance,
    .reset = station_reset,
    .encode = station_encode,
    .decode = station_decode,
    .fini = station_fini,
};
