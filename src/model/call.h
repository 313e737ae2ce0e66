/* The call port: a request, an answer, a deadline.
 *
 * A stage offers calls by name ("gateway.write", "broker.sessions"); request and answer are batches
 * whose schemas are data, so that the REST routes, the OpenAPI document, the command line's socket
 * and an action of a rule all reach a stage the same way. The handler runs on its owner's exec and
 * answers when it can, from that exec; the caller is told on its own. Exactly one of answer, error
 * and time-out reaches the caller.
 */
#ifndef LOTLINE_MODEL_CALL_H
#define LOTLINE_MODEL_CALL_H

#include "base/err.h"
#include "base/exec.h"
#include "base/list.h"
#include "model/batch.h"

struct call;

enum call_role {
    CALL_VIEWER,   /* may look */
    CALL_ENGINEER, /* may write tags and change objects */
    CALL_ADMIN,    /* may do everything */
};

enum call_flags {
    CALL_ONE = 1u << 0,     /* the answer is one object, not a list of rows */
    CALL_CHANGES = 1u << 1, /* changes something: goes to the audit */
};

/* What a call is, as data. Static storage. Field descriptions stand in `doc`, one a field. */
struct call_field {
    const char *name;
    enum value_type type;
    uint32_t flags; /* enum field_flags */
    bool required;
    const char *doc;
};

struct call_spec {
    const char *name; /* "stage.verb" */
    const char *doc;  /* one sentence */
    enum call_role role;
    uint32_t flags;                   /* enum call_flags */
    const struct call_field *request; /* ends with name NULL; NULL = no request */
    const struct call_field *answer;  /* ends with name NULL; NULL = nothing but success */
};

/* On the owner's exec; must lead to exactly one call_answer or call_fail. */
typedef void (*call_fn)(void *owner, struct call *c);

/* A registered call: found by name in the catalogue. */
struct call_port {
    const struct call_spec *spec;
    struct schema *request; /* NULL if there is none */
    struct schema *answer;  /* NULL if there is none */
    struct exec *exec;
    call_fn fn;
    void *owner;
};

/* ---------------------------------------------------------------------------------------- caller
 */

struct call_result {
    int err;                    /* 0, ERR_TIMEOUT, ERR_CANCELLED, or what the handler gave */
    const struct diag *diag;    /* text for a person; text[0] = 0 if there is none */
    const struct batch *answer; /* NULL on error or without answer; lives during the callback */
};

/* Who asks, for roles and the audit. Copied. */
struct call_origin {
    const char *user;    /* "engineer", "uid 0", "rule hot_oven", "mqtt client7" */
    const char *channel; /* "rest", "socket", "mqtt", "rule" */
    enum call_role role;
};

typedef void (*call_done_fn)(void *ctx, const struct call_result *result);

struct call_options {
    struct exec *exec; /* where done runs */
    call_done_fn done;
    void *ctx;
    int64_t timeout_ms; /* 0 = 10 s */
    struct call_origin origin;
    /* NULL, or whether nobody waits for the answer any more: asked on exec now and then, with ctx,
     * while the call is under way. Then done is called with ERR_CANCELLED. */
    bool (*gone)(void *ctx);
};

/* Sends a request (one reference of it is taken; NULL if the port has none). Checks the role.
 * 0: done will be called once, later. On error (ERR_DENIED, ERR_NOMEM, ERR_TYPE: the batch is not
 * of the port's schema) done is not called and the request was let go. Any thread. */
int call_send(const struct call_port *port, struct batch *request,
              const struct call_options *options);

/* --------------------------------------------------------------------------------------- handler
 */

const struct call_spec *call_spec_of(const struct call *c);
const struct batch *call_request(const struct call *c); /* borrowed until answered */
const struct call_origin *call_origin_of(const struct call *c);
int64_t call_deadline_us(const struct call *c); /* monotonic */

/* The caller gave up (time-out, or it has left): an answer would be thrown away. Any thread. */
bool call_is_cancelled(const struct call *c);

/* A builder for the answer's schema with room for rows_max rows. */
int call_answer_builder(const struct call *c, uint32_t rows_max, struct batch_builder **ret);

/* Ends the call: takes one reference of answer (NULL = nothing / no rows). */
void call_answer(struct call *c, struct batch *answer);

/* Ends the call: finishes and frees the builder; no rows is an empty answer. */
void call_answer_rows(struct call *c, struct batch_builder *bb);

/* Ends the call with an error and a sentence for a person. */
void call_fail(struct call *c, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ------------------------------------------------------------------------------- for the catalogue
 */

int call_port_init(struct call_port *port, const struct call_spec *spec, struct exec *exec,
                   call_fn fn, void *owner);
void call_port_fini(struct call_port *port);

/* Request fields by name; views live as long as the request. NULL value if absent. Row 0. */
struct value call_arg(const struct call *c, const char *name);

#endif
