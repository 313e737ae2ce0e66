/* A row of a stream of presences, for tests and benchmarks of what reads them (src/track makes the
 * true ones).
 */
#ifndef LOTLINE_TESTS_SUPPORT_PRESENCE_ROW_H
#define LOTLINE_TESTS_SUPPORT_PRESENCE_ROW_H

#include "base/err.h"
#include "model/batch.h"

#define PRESENCE_ROW_FIELDS 13

static const struct field presence_row_fields[PRESENCE_ROW_FIELDS] = {
    {.name = "unit", .type = VALUE_BYTES},      {.name = "serial", .type = VALUE_STRING},
    {.name = "station", .type = VALUE_STRING},  {.name = "place", .type = VALUE_STRING},
    {.name = "t_in", .type = VALUE_TIMESTAMP},  {.name = "t_out", .type = VALUE_TIMESTAMP},
    {.name = "status", .type = VALUE_STRING},   {.name = "probability", .type = VALUE_DOUBLE},
    {.name = "evidence", .type = VALUE_STRING}, {.name = "revision", .type = VALUE_INT64},
    {.name = "result", .type = VALUE_STRING},   {.name = "visit", .type = VALUE_INT64},
    {.name = "retracted", .type = VALUE_BOOL},
};

/* Known for sure, its serial read, unless it says otherwise. Texts are copied into the builder. */
struct presence_row {
    struct bytes unit; /* 16 bytes */
    const char *serial;
    const char *station;
    const char *result;
    int64_t t_in;
    int64_t t_out; /* also the row's time */
    int64_t revision;
    int64_t visit;
    const char *status; /* NULL = exact */
    double probability; /* 0 = 1, unless it is retracted */
    bool retracted;
};

/* ERR_NOMEM. */
static inline int presence_row_add(struct batch_builder *bb, const struct presence_row *p)
{
    const char *const texts[PRESENCE_ROW_FIELDS] = {
        [1] = p->serial,    [2] = p->station,
        [3] = "plant/line", [6] = p->status ? p->status : "exact",
        [10] = p->result,   [8] = "begin=edge end=edge serial=read:12 result=1",
    };
    int err = batch_builder_row(bb, p->t_out) < 0 ? ERR_NOMEM : OK;
    if (!err)
        err = batch_set_bytes(bb, 0, p->unit);
    for (uint32_t i = 0; !err && i < PRESENCE_ROW_FIELDS; i++)
        if (texts[i])
            err = batch_set_bytes(bb, i, bytes_of_text(texts[i]));
    if (err)
        return err;
    batch_set_i64(bb, 4, p->t_in);
    batch_set_i64(bb, 5, p->t_out);
    batch_set_f64(bb, 7, p->probability > 0 || p->retracted ? p->probability : 1);
    batch_set_i64(bb, 9, p->revision);
    batch_set_i64(bb, 11, p->visit);
    batch_set_bool(bb, 12, p->retracted);
    return OK;
}

#endif
