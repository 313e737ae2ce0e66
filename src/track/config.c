/* A track as configured: its options, and where its signals are. See track.h. */
#include "base/str.h"
#include "track/track_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* What begin and end hold. */
struct edge_options {
    const char *signal;
    int edge; /* 0 rising, 1 falling */
};

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
    {.name = NULL},
};

/* ---------------------------------------------------------------------------------------- signals
 */

struct signal_place {
    const struct tree *tree; /* where it is written */
    const char *text;        /* device.group.tag */
};

static int source_index(struct station *s, const char *stream, uint32_t *ret)
{
    for (uint32_t i = 0; i < s->source_count; i++) {
        if (strcmp(s->sources[i].stream, stream) == 0) {
            *ret = i;
            return OK;
        }
    }
    char *copy = strdup(stream);
    if (!copy)
        return ERR_NOMEM;
    s->sources[s->source_count] = (struct track_source){copy, INT64_MIN};
    *ret = s->source_count++;
    return OK;
}

static int signal_missing(const struct signal_place *p, const struct catalogue *catalogue,
                          const char *stream, struct diag *diag)
{
    const char *like = catalogue_stream_like(catalogue, stream);
    return tree_error(diag, ERR_NOT_FOUND, p->tree, "there is no stream %s for the signal %s%s%s%s",
                      stream, p->text, like ? "; did you mean " : "", like ? like : "",
                      like ? "?" : "");
}

static int signal_column(const struct signal_place *p, const struct stream *stream,
                         const char *column, struct diag *diag)
{
    if (!stream->schema || schema_find(stream->schema, bytes_of_text(column)) >= 0)
        return OK;
    const char *like = NULL;
    unsigned best = 4;
    for (uint32_t i = 0; i < stream->schema->count; i++) {
        unsigned distance = str_distance(stream->schema->fields[i].name, column);
        if (distance < best) {
            best = distance;
            like = stream->schema->fields[i].name;
        }
    }
    return tree_error(diag, ERR_NOT_FOUND, p->tree, "%s has no tag %s%s%s%s", stream->name, column,
                      like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

/* "device.group.tag": the stream is what stands before the last dot. */
static int signal_find(struct station *s, enum track_signal signal, const struct signal_place *p,
                       struct catalogue *catalogue, struct stream **ret, struct diag *diag)
{
    struct track_input *in = &s->inputs[signal];
    const char *dot = strrchr(p->text, '.');
    if (!dot || dot == p->text || !dot[1])
        return tree_error(diag, ERR_SYNTAX, p->tree, "%s is not a tag: write device.group.tag",
                          p->text);
    in->stream = bytes_to_text(bytes_of(p->text, (size_t)(dot - p->text)));
    in->column = strdup(dot + 1);
    if (!in->stream || !in->column)
        return ERR_NOMEM;
    struct stream *stream = catalogue_stream_find(catalogue, bytes_of_text(in->stream));
    if (!stream)
        return signal_missing(p, catalogue, in->stream, diag);
    int err = signal_column(p, stream, in->column, diag);
    if (!err)
        err = source_index(s, in->stream, &in->source);
    if (err)
        return err;
    stream->durable = true;
    *ret = stream;
    return OK;
}

static int signal_edge(struct station *s, enum track_signal signal, const struct tree *tree,
                       struct arena *arena, struct catalogue *catalogue, struct diag *diag)
{
    struct edge_options edge = {0};
    struct stream *stream = NULL;
    int err = option_bind(edge_table, tree, arena, &edge, diag);
    if (err)
        return err;
    const struct tree *at = tree_get(tree, "signal");
    struct signal_place p = {at ? at : tree, edge.signal};
    err = signal_find(s, signal, &p, catalogue, &stream, diag);
    s->inputs[signal].rising = edge.edge == 0;
    if (!err && signal == SIGNAL_BEGIN) {
        assert(stream);
        s->place = strdup(s->options.place ? s->options.place : stream->place);
        err = s->place ? OK : ERR_NOMEM;
    }
    return err;
}

static int signal_tag(struct station *s, enum track_signal signal, const struct tree *tree,
                      const char *text, struct catalogue *catalogue, struct diag *diag)
{
    struct stream *stream = NULL;
    struct signal_place p = {tree, text};
    return text ? signal_find(s, signal, &p, catalogue, &stream, diag) : OK;
}

/* A stream, or a tag of one. */
static int signals_check(const struct station *s, const struct tree *spec,
                         const struct catalogue *catalogue, struct diag *diag)
{
    const struct tree *list = tree_get(spec, "signals");
    for (uint32_t i = 0; i < s->options.signals.count; i++) {
        const char *text = s->options.signals.items[i];
        if (catalogue_stream_find(catalogue, bytes_of_text(text)))
            continue;
        const char *dot = strrchr(text, '.');
        struct bytes head = bytes_of(text, dot ? (size_t)(dot - text) : 0);
        const struct stream *stream = catalogue_stream_find(catalogue, head);
        struct signal_place p = {list, text};
        int err = stream ? signal_column(&p, stream, dot + 1, diag)
                         : signal_missing(&p, catalogue, text, diag);
        if (err)
            return err;
    }
    return OK;
}

/* ---------------------------------------------------------------------------------------- station
 */

/* Over what decides about presences: a changed configuration starts without the old state. */
static void config_hash(struct station *s)
{
    uint64_t hash = XXH3_64bits(&s->options.gap_max_us, sizeof s->options.gap_max_us);
    hash = XXH3_64bits_withSeed(&s->options.grace_us, sizeof s->options.grace_us, hash);
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        const struct track_input *in = &s->inputs[i];
        const char *stream = in->stream ? in->stream : "";
        const char *column = in->column ? in->column : "";
        hash = XXH3_64bits_withSeed(stream, strlen(stream), hash);
        hash = XXH3_64bits_withSeed(column, strlen(column), hash + in->rising);
    }
    s->config_hash = hash;
}

static int station_stream(struct station *s, struct catalogue *catalogue, struct diag *diag)
{
    struct schema *schema = NULL;
    struct buf name = {0};
    int err = buf_printf(&name, TRACK_STREAM_PREFIX "%s", s->options.name);
    const char *text = buf_text(&name);
    if (!err)
        err = presence_schema(&schema);
    if (!err)
        err = batch_builder_new(schema, 1024, NULL, &s->builder);
    if (!err)
        err = catalogue_stream_add(catalogue, text, STREAM_PRESENCE, s->place, schema, &s->stream);
    if (err)
        err = diag_set(diag, err, 0, 0, "the stream %s cannot be made: %s", text, err_text(err));
    else
        s->stream->durable = true;
    schema_unref(schema);
    buf_fini(&name);
    return err;
}

int station_configure(struct station *s, const struct config_object *object, struct arena *arena,
                      struct catalogue *catalogue, struct diag *diag)
{
    const struct tree *spec = object->spec;
    struct station_options *o = &s->options;
    s->node = strdup(catalogue->node);
    int err = s->node ? option_bind(track_option_table, spec, arena, o, diag) : ERR_NOMEM;
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
    if (!err)
        err = station_stream(s, catalogue, diag);
    if (err)
        return err;
    config_hash(s);
    station_reset(s);
    return OK;
}

void station_fini(struct station *s)
{
    for (int i = 0; i < SIGNAL_COUNT; i++) {
        free(s->inputs[i].stream);
        free(s->inputs[i].column);
        free(s->sources[i].stream);
    }
    batch_builder_free(s->builder);
    batch_unref(s->held);
    free(s->events);
    free(s->place);
    free(s->node);
}
