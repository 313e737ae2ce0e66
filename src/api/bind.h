/* What a client sent, as the one-row batch that a call takes.
 *
 * Fields come from the path, the query and a JSON body; the call's spec says which there are. What
 * is unknown, given twice, missing or of the wrong type is refused with its name: nothing is
 * guessed and nothing is passed over in silence.
 */
#ifndef LOTLINE_API_BIND_H
#define LOTLINE_API_BIND_H

#include "base/arena.h"
#include "base/err.h"
#include "model/call.h"

#define BIND_FIELDS_MAX     64
#define BIND_ARGUMENTS_MAX  64         /* of one query */
#define BIND_TEXT_BYTES_MAX (1u << 20) /* of one argument */

struct bind_argument {
    struct bytes name;
    struct bytes value;
};

struct bind_input {
    const struct bind_argument *path;
    size_t path_count;
    const struct bind_argument *query;
    size_t query_count;
    struct bytes body; /* JSON object; empty = none */
};

/* *ret: one reference, or NULL when the spec has no request. arena holds what is needed meanwhile.
 * Errors with a sentence in *diag: ERR_SYNTAX (body), ERR_UNKNOWN_KEY, ERR_EXISTS (twice),
 * ERR_TYPE, ERR_RANGE, ERR_INVALID (missing), ERR_LIMIT, ERR_NOMEM. */
int bind_request(const struct call_spec *spec, const struct schema *schema,
                 const struct bind_input *in, struct arena *arena, struct batch **ret,
                 struct diag *diag);

#endif
