/* What all tracks have in their configuration: where signals are, and the stream of presences. See
 * track.h. */
#include "base/str.h"
#include "track/belt.h"
#include "track/clocks.h"
#include "track/line.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* ---------------------------------------------------------------------------------------- signals
 */

static int source_index(struct track *t, const char *stream, uint32_t *ret)
{
    for (uint32_t i = 0; i < t->source_count; i++) {
        if (strcmp(t->sources[i].stream, stream) == 0) {
            *ret = i;
            return OK;
        }
    }
    char *copy = strdup(stream);
    if (!copy)
        return ERR_NOMEM;
    t->sources[t->source_count] = (struct track_source){.stream = copy, .seen_us = INT64_MIN};
    *ret = t->source_count++;
    return OK;
}

static int stream_missing(const struct tree *tree, const char *text,
                          const struct catalogue *catalogue, const char *stream, struct diag *diag)
{
    const char *like = catalogue_stream_like(catalogue, stream);
    return tree_error(diag, ERR_NOT_FOUND, tree, "there is no stream %s for the signal %s%s%s%s",
                      stream, text, like ? "; did you mean " : "", like ? like : "",
                      like ? "?" : "");
}

static int column_check(const struct tree *tree, const struct stream *stream, const char *column,
                        struct diag *diag)
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
    return tree_error(diag, ERR_NOT_FOUND, tree, "%s has no tag %s%s%s%s", stream->name, column,
                      like ? "; did you mean " : "", like ? like : "", like ? "?" : "");
}

/* "device.group.tag": the stream is what stands before the last dot. Both parts are copied. */
static int tag_split(const struct tree *tree, const char *text, char **ret_stream,
                     char **ret_column, struct diag *diag)
{
    const char *dot = strrchr(text, '.');
    if (!dot || dot == text || !dot[1]) {
        (void)tree_error(diag, ERR_SYNTAX, tree, "%s is not a tag: write device.group.tag", text);
        return ERR_SYNTAX;
    }
    *ret_stream = bytes_to_text(bytes_of(text, (size_t)(dot - text)));
    *ret_column = strdup(dot + 1);
    return *ret_stream && *ret_column ? OK : ERR_NOMEM;
}

static int tag_find(const struct tree *tree, const char *text, const struct catalogue *catalogue,
                    const struct track_input *in, struct stream **ret, struct diag *diag)
{
    struct stream *stream = catalogue_stream_find(catalogue, bytes_of_text(in->stream));
    if (!stream)
        return stream_missing(tree, text, catalogue, in->stream, diag);
    *ret = stream;
    return column_check(tree, stream, in->column, diag);
}

int track_inputs_make(struct track *t, uint32_t count)
{
    t->inputs = calloc(count + 1u, sizeof *t->inputs);
    t->sources = calloc(count + 1u, sizeof *t->sources);
    t->input_count = t->inputs && t->sources ? count : 0;
    return t->inputs && t->sources ? OK : ERR_NOMEM;
}

int track_input_find(struct track_input *in, const struct tree *tree, const char *text,
                     struct catalogue *catalogue, struct stream **ret_stream, struct diag *diag)
{
    struct stream *stream = NULL;
    int err = tag_split(tree, text, &in->stream, &in->column, diag);
    if (!err)
        err = tag_find(tree, text, catalogue, in, &stream, diag);
    if (err)
        return err;
    assert(stream);
    stream->durable = true;
    if (ret_stream)
        *ret_stream = stream;
    return OK;
}

int track_signal_find(struct track *t, uint32_t signal, const struct tree *tree, const char *text,
                      struct catalogue *catalogue, struct stream **ret_stream, struct diag *diag)
{
    struct track_input *in = &t->inputs[signal];
    int err = track_input_find(in, tree, text, catalogue, ret_stream, diag);
    return err ? err : source_index(t, in->stream, &in->source);
}

int track_tag_check(const struct tree *tree, const char *text, const struct catalogue *catalogue,
                    struct diag *diag)
{
    struct track_input in = {0};
    struct stream *stream = NULL;
    int err = tag_split(tree, text, &in.stream, &in.column, diag);
    if (!err)
        err = tag_find(tree, text, catalogue, &in, &stream, diag);
    free(in.stream);
    free(in.column);
    return err;
}

/* ------------------------------------------------------------------------------------------ track
 */

/* Over what decides about presences: a changed configuration starts without the old state. */
static void config_hash(struct track *t)
{
    uint64_t hash = XXH3_64bits_withSeed(&t->gap_max_us, sizeof t->gap_max_us, t->config_hash);
    hash = XXH3_64bits_withSeed(&t->grace_us, sizeof t->grace_us, hash);
    hash = XXH3_64bits_withSeed(&t->late_us, sizeof t->late_us, hash);
    for (uint32_t i = 0; i < t->input_count; i++) {
        const struct track_input *in = &t->inputs[i];
        const char *stream = in->stream ? in->stream : "";
        const char *column = in->column ? in->column : "";
        hash = XXH3_64bits_withSeed(stream, strlen(stream), hash);
        hash = XXH3_64bits_withSeed(column, strlen(column), hash + in->rising);
    }
    t->config_hash = hash;
}

int track_stream_make(struct track *t, const struct schema *schema, struct catalogue *catalogue,
                      struct diag *diag)
{
    struct buf name = {0};
    int err = buf_printf(&name, TRACK_STREAM_PREFIX "%s", t->name);
    const char *text = buf_text(&name);
    if (!err)
        err = batch_builder_new(schema, TRACK_ROWS_MAX, NULL, &t->builder);
    if (!err)
        err = catalogue_stream_add(catalogue, text, STREAM_PRESENCE, t->place, schema, &t->stream);
    if (err)
        err = diag_set(diag, err, 0, 0, "the stream %s cannot be made: %s", text, err_text(err));
    else
        t->stream->durable = true;
    config_hash(t);
    buf_fini(&name);
    return err;
}

int track_placed_stream_make(struct track *t, const struct tree *spec,
                             const struct signal_place *signals, uint32_t signal_count,
                             struct catalogue *catalogue, struct diag *diag)
{
    struct schema *schema = NULL;
    struct buf text = {0};
    int err = tree_print_json(spec, &text);
    if (!err)
        t->config_hash = XXH3_64bits(text.ptr, text.len);
    buf_fini(&text);
    if (!err)
        err = presence_schema(t, true, &schema);
    if (!err)
        err = track_stream_make(t, schema, catalogue, diag);
    schema_unref(schema);
    if (err)
        return err;
    t->stream->signals = signals;
    t->stream->signal_count = signal_count;
    return OK;
}

const struct tree *tree_or(const struct tree *map, const char *key)
{
    const struct tree *t = tree_get(map, key);
    return t ? t : map;
}

/* A line is what has parts, a belt what has an entry, an exit or places; everything else is held to
 * be a station. */
static const struct track_kind *kind_of(const struct tree *spec)
{
    if (tree_get(spec, "parts"))
        return &line_kind;
    bool belt = tree_get(spec, "entry") || tree_get(spec, "exit") || tree_get(spec, "places");
    return belt ? &belt_kind : &station_kind;
}

int track_make(const struct config_object *object, struct arena *arena, struct catalogue *catalogue,
               struct diag *diag, struct track **ret)
{
    const struct track_kind *kind = kind_of(object->spec);
    struct track *t = calloc(1, kind->bytes);
    *ret = t;
    if (!t)
        return ERR_NOMEM;
    t->kind = kind;
    t->node = strdup(catalogue->node);
    int err = t->node ? OK : ERR_NOMEM;
    if (!err && kind->inputs)
        err = track_inputs_make(t, SIGNAL_COUNT);
    for (uint32_t i = 0; i < SIGNAL_COUNT && kind->inputs && !err; i++)
        t->inputs[i].read = kind->inputs[i];
    if (!err)
        err = clocks_configure(t, object->spec, arena, catalogue, diag);
    if (!err)
        err = kind->configure(t, object, arena, catalogue, diag);
    if (!err)
        err = clocks_sources(t, object->spec);
    if (!err)
        track_reset(t);
    return err;
}

void track_drop(struct track *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->input_count; i++) {
        free(t->inputs[i].stream);
        free(t->inputs[i].column);
        free(t->sources[i].stream);
    }
    free(t->inputs);
    free(t->sources);
    clocks_fini(t);
    t->kind->fini(t);
    batch_builder_free(t->builder);
    batch_unref(t->held);
    free(t->events);
    free(t->event_heap);
    free(t->place);
    free(t->node);
    free(t);
}
