/* The trace's life: its tables go to the historian, its calls to the catalogue. See trace.h. */
#include "trace/trace.h"

#include "trace/band.h"
#include "trace/trace_priv.h"
#include "trace/why.h"

#include <stdlib.h>

int trace_new(const struct trace_options *options, struct trace **ret)
{
    struct trace *t = calloc(1, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    t->historian = options->historian;
    index_store_init(&t->store);
    *ret = t;
    return OK;
}

static int trace_presences(const struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->streams.count; i++) {
        struct stream *s = catalogue->streams.entries[i].value;
        if (s->kind == STREAM_PRESENCE)
            s->durable = true;
    }
    return OK;
}

int trace_configure(struct trace *t, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag)
{
    const struct call_entry calls[] = {
        {&trace_unit_spec, trace_unit_serve},       {&trace_units_spec, trace_units_serve},
        {&trace_forward_spec, trace_forward_serve}, {&trace_band_spec, trace_band_serve},
        {&trace_why_spec, trace_why_serve},         {&trace_stays_spec, trace_stays_serve},
    };
    const struct historian_tap tap = {.ctx = t,
                                      .tables = trace_tables,
                                      .table_count = TRACE_TABLE_COUNT,
                                      .wants = trace_wants,
                                      .on_record = trace_record,
                                      .on_open = trace_index_open,
                                      .on_write = trace_index_write,
                                      .on_commit = trace_index_settle,
                                      .on_copy = trace_index_copy};
    t->catalogue = catalogue;
    int err = trace_config(t, config, catalogue, diag);
    if (!err)
        err = trace_presences(catalogue);
    if (!err)
        err = historian_tap_add(t->historian, &tap);
    if (!err)
        err = catalogue_calls_add(catalogue, calls, sizeof calls / sizeof calls[0],
                                  historian_reader(t->historian), t);
    return err;
}

int trace_start(struct trace *t)
{
    (void)t; /* it runs on the historian's threads */
    return OK;
}

void trace_stop(struct trace *t)
{
    (void)t;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    map_fini(&t->rules);
    map_fini(&t->tracks);
    trace_signals_fini(t);
    index_store_fini(&t->store);
    arena_fini(&t->arena);
    free(t);
}
