/* The node's names: streams and calls.
 *
 * Filled from the configuration alone, before anything runs, so that `lotline check` binds a rule's
 * SQL to the very schemas it will meet at run time. After the node has started it is read from any
 * thread and no longer changed, except that streams of other nodes may still be added (hub): those
 * live in the receiver's own table, not here.
 */
#ifndef LOTLINE_MODEL_CATALOGUE_H
#define LOTLINE_MODEL_CATALOGUE_H

#include "base/map.h"
#include "model/call.h"
#include "model/flow.h"

#include <pthread.h>

enum stream_kind {
    STREAM_GROUP,    /* a tag group: device.group */
    STREAM_SOURCE,   /* from outside: MQTT, HTTP, files */
    STREAM_RULE,     /* a rule's output */
    STREAM_PRESENCE, /* a track's output */
    STREAM_REMOTE,   /* of another node, at the hub: node:name */
};

/* Where along a track a signal is: it is bound to a unit only while the unit is in [from, to). */
struct signal_place {
    const char *stream; /* "plc2.oven" */
    const char *column; /* "zone5" */
    double from_mm;
    double to_mm;
};

struct lookup;

/* A named, typed flow of batches. */
struct stream {
    char *name;   /* "plc1.press"; at the hub "edge1:plc1.press" */
    char *node;   /* whose it is */
    char *place;  /* "plant1/smt/line1/press", "" if it has none */
    char *origin; /* what to call it to a person: "device plc1, group press" */
    enum stream_kind kind;
    struct schema *schema; /* NULL: schemaless (columns by the reader's wish, type any) */
    bool durable;          /* set while wiring: some durable consumer is behind it */
    const struct field_limit *limits; /* STREAM_GROUP: one a field, or NULL; borrowed */
    /* STREAM_PRESENCE: the signals that have places of their own; borrowed from the track. */
    const struct signal_place *signals;
    uint32_t signal_count;
    /* Where its batches come out: set by its producer's stage before the node starts. Batches of a
     * durable stream come out after their append, with their position. */
    struct outlet *outlet;
    /* What lookup('name', …) reads; NULL: the stream is no lookup. Its source's. */
    struct lookup *lookup;
};

struct catalogue {
    char *node; /* this node's name */
    struct map streams;
    struct map calls;
    pthread_mutex_t transient_mutex;
    struct map transient; /* under the mutex */
};

int catalogue_init(struct catalogue *c, const char *node);
void catalogue_fini(struct catalogue *c);

/* Adds a stream of this node. schema may be NULL (schemaless) and is referenced. The stream lives
 * as long as the catalogue. ERR_EXISTS, ERR_NOMEM. */
int catalogue_stream_add(struct catalogue *c, const char *name, enum stream_kind kind,
                         const char *place, const struct schema *schema, struct stream **ret);

/* NULL if there is none. */
struct stream *catalogue_stream_find(const struct catalogue *c, struct bytes name);

/* A stream outside any catalogue (hub). Freed with stream_free. */
int stream_new(const char *name, const char *node, enum stream_kind kind, const char *place,
               const struct schema *schema, struct stream **ret);
void stream_free(struct stream *s); /* NULL is allowed */

/* --------------------------------------------------------------------------- that come and go */

/* A stream that exists for a while (a tail's, "tail:ID"), beside those of the configuration. The
 * stream is borrowed until it is removed; its outlet is set. ERR_EXISTS, ERR_NOMEM. Any thread. */
int catalogue_transient_add(struct catalogue *c, struct stream *s);

/* From the outlet's exec. Attachments that were on their way are queued there by now: whoever frees
 * the outlet does so in a task posted after this. */
void catalogue_transient_remove(struct catalogue *c, struct stream *s);

/* Attaches f to the outlet of the transient stream of that name. ERR_NOT_FOUND. Any thread. */
int catalogue_transient_attach(struct catalogue *c, struct bytes name, struct flow *f);

/* ---------------------------------------------------------------------------------------- calls */

/* Offers a call. spec is static. ERR_EXISTS, ERR_NOMEM. */
int catalogue_call_add(struct catalogue *c, const struct call_spec *spec, struct exec *exec,
                       call_fn fn, void *owner);

/* Offers a whole table of calls served by the same owner. */
struct call_entry {
    const struct call_spec *spec;
    call_fn fn;
};

int catalogue_calls_add(struct catalogue *c, const struct call_entry *entries, size_t count,
                        struct exec *exec, void *owner);

/* NULL if there is none. */
const struct call_port *catalogue_call_find(const struct catalogue *c, const char *name);

/* The name in the catalogue that is most like `name`, for "did you mean …?"; NULL if none is. */
const char *catalogue_stream_like(const struct catalogue *c, const char *name);

#endif
