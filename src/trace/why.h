/* Why units are bad: the call trace.why, and how its answer is printed. docs/why.md has the method.
 */
#ifndef LOTLINE_TRACE_WHY_H
#define LOTLINE_TRACE_WHY_H

#include "trace/trace.h"

/* Request {defect, since, until, operation}; one answer. Served on the historian's reader: a
 * question about a hundred thousand units takes seconds, and other questions wait. */
extern const struct call_spec trace_why_spec;
void trace_why_serve(void *owner, struct call *c);

/* Renders an answer of trace.why for a person. */
int trace_print_why(const struct batch *answer, const struct trace_print_options *options,
                    struct buf *out);

#endif
