/* Trace: which unit, when and where, measured how, against which limits, with what verdict.
 *
 * Units, steps and measures are rows in the historian's database, insert-only: a correction is a
 * row with a higher revision, and every question can be asked as of an earlier moment. They are
 * written by the historian's one writer in the transaction of the record they come from, so
 * exactly once. A verdict is never stored; it follows from the steps' results and the measures'
 * limits when somebody asks.
 */
#ifndef LOTLINE_TRACE_TRACE_H
#define LOTLINE_TRACE_TRACE_H

#include "config/config.h"
#include "historian/historian.h"
#include "model/catalogue.h"

struct trace;

#define TRACE_CURVE_POINTS_MAX 500
#define TRACE_UNITS_MAX        10000
#define TRACE_SERIAL_BYTES_MAX 255

/* A rule of historian.serials_reused, for the documentation. */
extern const struct option trace_reused_table[];

struct trace_options {
    struct historian *historian; /* configured and started by the app */
};

int trace_new(const struct trace_options *options, struct trace **ret);

/* Checks `characteristics` and the trace actions of `rules`, reads which signals a track has, sets
 * `durable` on what it stores, adds the calls trace.unit, trace.units and its tables to the
 * historian. After the stages whose streams it reads, before historian_start. Pure. */
int trace_configure(struct trace *t, const struct config *config, struct catalogue *catalogue,
                    struct diag *diag);
int trace_start(struct trace *t);
void trace_stop(struct trace *t);
void trace_free(struct trace *t); /* NULL is allowed */

/* ------------------------------------------------------------------------------------- printing */

struct trace_print_options {
    bool colour;          /* the output is a terminal that shows colours */
    uint32_t width;       /* columns of the terminal; 0 = 80 */
    int64_t utc_offset_s; /* times are shown in this zone */
};

/* Renders an answer of trace.unit for a person: steps, measures, defects, what it was made with,
 * its relatives, curves as one line each. */
int trace_print(const struct batch *answer, const struct trace_print_options *options,
                struct buf *out);

/* The same, without curves, as CSV for programs: a line each, what it is in the first column. */
int trace_print_csv(const struct batch *answer, struct buf *out);

#endif
