/* What all sources have in their configuration: columns, the column of time, the stream. */
#include "base/log.h"
#include "source/source_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- columns
 */

struct column_options {
    const char *name;
    const char *type;
    const char *uom;
};

static const struct option source_column_table[] = {
    {.name = "name",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct column_options, name),
     .doc = "as the answer or the file's first line has it; a.b reaches into JSON objects"},
    {.name = "type",
     .type = OPTION_TEXT,
     .default_text = "string",
     .offset = offsetof(struct column_options, type),
     .doc = "bool, int64, uint64, float, double, string, bytes, timestamp or any"},
    {.name = "uom",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct column_options, uom),
     .doc = "its unit of measure"},
    {.name = NULL},
};

static int column_type(const struct tree *at, const char *text, enum value_type *ret,
                       struct diag *diag)
{
    if (value_type_find(bytes_of_text(text), ret) && *ret != VALUE_NULL)
        return OK;
    return tree_error(diag, ERR_INVALID, at,
                      "%s is no type: bool, int64, uint64, float, double, string, bytes, "
                      "timestamp and any are",
                      text);
}

/* An entry of {name: type} or of [{name, type, uom}]. */
static int column_bind(const struct tree *c, bool map, struct arena *arena, struct field *ret,
                       struct diag *diag)
{
    struct column_options o = {.name = c->key, .type = tree_text(c), .uom = ""};
    int err = map ? OK : option_bind(source_column_table, c, arena, &o, diag);
    *ret = (struct field){.name = o.name, .uom = o.uom};
    return err ? err : column_type(c, o.type, &ret->type, diag);
}

int source_columns(const struct tree *columns, struct arena *arena, struct schema **ret,
                   struct diag *diag)
{
    if (columns->kind != TREE_MAP && columns->kind != TREE_LIST)
        return tree_error(diag, ERR_TYPE, columns,
                          "columns is a list, [{name: x, type: double}], or a map, {x: double}");
    struct field *fields = calloc(columns->count + 1u, sizeof *fields);
    uint32_t count = 0;
    int err = fields ? OK : ERR_NOMEM;
    TREE_EACH(c, columns)
    {
        if (!err)
            err = column_bind(c, columns->kind == TREE_MAP, arena, &fields[count++], diag);
    }
    if (!err && count == 0)
        err = tree_error(diag, ERR_INVALID, columns, "columns needs at least one column");
    if (!err) {
        err = schema_new(fields, count, ret);
        if (err)
            err = tree_error(diag, err, columns, "these columns make no stream: %s",
                             err == ERR_EXISTS ? "two of them have one name" : err_text(err));
    }
    free(fields);
    return err;
}

int source_column_find(const struct config_object *object, const struct schema *schema,
                       const char *key, const char *name, enum value_type type, int32_t *ret,
                       struct diag *diag)
{
    const struct tree *at = tree_get(object->spec, key);
    *ret = -1;
    if (!name || !name[0])
        return OK;
    if (!schema)
        return tree_error(diag, ERR_INVALID, at, "%s: %s needs `columns`, with %s among them", key,
                          name, name);
    *ret = schema_find(schema, bytes_of_text(name));
    if (*ret < 0)
        return tree_error(diag, ERR_NOT_FOUND, at, "%s: there is no column %s in `columns`", key,
                          name);
    if (type != VALUE_ANY && schema->fields[*ret].type != type)
        return tree_error(diag, ERR_TYPE, at, "%s: the column %s must be a %s, it is a %s", key,
                          name, value_type_name(type), value_type_name(schema->fields[*ret].type));
    return OK;
}

/* ---------------------------------------------------------------------------------------- stream
 */

int source_stream_add(struct source *s, const struct source_add *a, struct diag *diag)
{
    s->stage = a->stage;
    s->name = a->object->name;
    int err =
        catalogue_stream_add(a->catalogue, s->name, STREAM_SOURCE, a->place, a->schema, &s->stream);
    if (err == ERR_EXISTS)
        return tree_error(diag, err, a->object->spec, "there is a stream %s already", s->name);
    if (err)
        return err;
    outlet_init(&s->out, a->exec, s->stream, a->on_credit);
    s->stream->outlet = &s->out;
    s->has_outlet = a->exec != NULL;
    return OK;
}

void source_times_set(const struct source *s, struct batch *b)
{
    if (s->time_column < 0)
        return;
    struct column c = batch_column(b, (uint32_t)s->time_column);
    /* Nobody else has seen it yet. */
    int64_t *times = (int64_t *)(void *)((uint8_t *)b + b->times);
    for (uint32_t i = 0; i < b->rows; i++)
        if (!column_is_null(&c, i))
            times[i] = ((const int64_t *)c.data)[i];
}

/* ---------------------------------------------------------------------------------------- alarms
 */

void source_fail(struct source *s, const char *format, ...)
{
    char name[SOURCE_NAME_BYTES_MAX];
    char text[SOURCE_ALARM_BYTES_MAX];
    va_list args;
    atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    if (s->failed)
        return;
    s->failed = s->settled = true;
    (void)snprintf(name, sizeof name, "source.%s", s->name);
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->stage->options.hooks.alarm(s->stage->options.hooks.ctx, name, text);
}

void source_works(struct source *s)
{
    char name[SOURCE_NAME_BYTES_MAX];
    if (!s->failed && s->settled)
        return;
    if (s->failed)
        log_info("source", "%s works again", s->name);
    s->failed = false;
    s->settled = true;
    (void)snprintf(name, sizeof name, "source.%s", s->name);
    s->stage->options.hooks.alarm(s->stage->options.hooks.ctx, name, NULL);
}
