/* Streams and calls by name. See catalogue.h. */
#include "model/catalogue.h"

#include "base/err.h"
#include "base/str.h"

#include <stdlib.h>

#define LIKE_DISTANCE_MAX 3

int catalogue_init(struct catalogue *c, const char *node)
{
    *c = (struct catalogue){0};
    (void)pthread_mutex_init(&c->transient_mutex, NULL);
    c->node = strdup(node);
    return c->node ? OK : ERR_NOMEM;
}

void catalogue_fini(struct catalogue *c)
{
    for (size_t i = 0; i < c->streams.count; i++)
        stream_free(c->streams.entries[i].value);
    map_fini(&c->streams);
    for (size_t i = 0; i < c->calls.count; i++) {
        call_port_fini(c->calls.entries[i].value);
        free(c->calls.entries[i].value);
    }
    map_fini(&c->calls);
    map_fini(&c->transient);
    (void)pthread_mutex_destroy(&c->transient_mutex);
    free(c->node);
    c->node = NULL;
}

int stream_new(const char *name, const char *node, enum stream_kind kind, const char *place,
               const struct schema *schema, struct stream **ret)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->name = strdup(name);
    s->node = strdup(node);
    s->place = strdup(place ? place : "");
    s->kind = kind;
    s->schema = schema ? schema_ref(schema) : NULL;
    if (!s->name || !s->node || !s->place) {
        stream_free(s);
        return ERR_NOMEM;
    }
    *ret = s;
    return OK;
}

void stream_free(struct stream *s)
{
    if (!s)
        return;
    schema_unref(s->schema);
    free(s->name);
    free(s->node);
    free(s->place);
    free(s->origin);
    free(s);
}

int catalogue_stream_add(struct catalogue *c, const char *name, enum stream_kind kind,
                         const char *place, const struct schema *schema, struct stream **ret)
{
    struct stream *s = NULL;
    if (map_find_text(&c->streams, name))
        return ERR_EXISTS;
    int err = stream_new(name, c->node, kind, place, schema, &s);
    if (!err)
        err = map_add_text(&c->streams, name, s);
    if (err) {
        stream_free(s);
        return err;
    }
    if (ret)
        *ret = s;
    return OK;
}

struct stream *catalogue_stream_find(const struct catalogue *c, struct bytes name)
{
    return map_find(&c->streams, name);
}

int catalogue_transient_add(struct catalogue *c, struct stream *s)
{
    (void)pthread_mutex_lock(&c->transient_mutex);
    int err = map_add_text(&c->transient, s->name, s);
    (void)pthread_mutex_unlock(&c->transient_mutex);
    return err;
}

void catalogue_transient_remove(struct catalogue *c, struct stream *s)
{
    (void)pthread_mutex_lock(&c->transient_mutex);
    (void)map_remove(&c->transient, bytes_of_text(s->name));
    (void)pthread_mutex_unlock(&c->transient_mutex);
}

int catalogue_transient_attach(struct catalogue *c, struct bytes name, struct flow *f)
{
    (void)pthread_mutex_lock(&c->transient_mutex);
    struct stream *s = map_find(&c->transient, name);
    if (s)
        outlet_attach(s->outlet, f);
    (void)pthread_mutex_unlock(&c->transient_mutex);
    return s ? OK : ERR_NOT_FOUND;
}

int catalogue_call_add(struct catalogue *c, const struct call_spec *spec, struct exec *exec,
                       call_fn fn, void *owner)
{
    struct call_port *port = calloc(1, sizeof *port);
    if (!port)
        return ERR_NOMEM;
    int err = call_port_init(port, spec, exec, fn, owner);
    if (!err)
        err = map_add_text(&c->calls, spec->name, port);
    if (err) {
        call_port_fini(port);
        free(port);
    }
    return err;
}

int catalogue_calls_add(struct catalogue *c, const struct call_entry *entries, size_t count,
                        struct exec *exec, void *owner)
{
    for (size_t i = 0; i < count; i++) {
        int err = catalogue_call_add(c, entries[i].spec, exec, entries[i].fn, owner);
        if (err)
            return err;
    }
    return OK;
}

const struct call_port *catalogue_call_find(const struct catalogue *c, const char *name)
{
    return map_find_text(&c->calls, name);
}

const char *catalogue_stream_like(const struct catalogue *c, const char *name)
{
    const char *best = NULL;
    unsigned best_distance = LIKE_DISTANCE_MAX + 1;
    for (size_t i = 0; i < c->streams.count; i++) {
        unsigned distance = str_distance(c->streams.entries[i].key, name);
        if (distance < best_distance) {
            best = c->streams.entries[i].key;
            best_distance = distance;
        }
    }
    return best;
}
