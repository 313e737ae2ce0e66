/* What the operators of a pipeline share. */
#ifndef LOTLINE_STREAM_PIPELINE_PRIV_H
#define LOTLINE_STREAM_PIPELINE_PRIV_H

#include "base/map.h"
#include "model/path.h"
#include "stream/curve.h"
#include "stream/machine.h"
#include "stream/output.h"
#include "stream/pipeline.h"

/* What an aggregate knows of one group. */
struct agg_cell {
    uint64_t count;
    struct value v;
    uint8_t *text; /* own copy behind v.bytes */
    size_t text_cap;
    bool borrows; /* whose texts outlive the cell: no copy is made */
    bool seen;    /* AGG_FIRST_ROW, AGG_LAST: a row was there, be it null */
    bool bad;     /* a value did not go together with those before: its window is dropped */
};

/* Adds row i of v. ERR_TYPE (these types do not go together), ERR_NOMEM. */
int agg_update(struct agg_cell *c, const struct aggregate *a, const struct value *v);

/* Adds rows[k] of the vector to cells[slots[k]]; typed vectors without a detour. failed(ctx, row)
 * is called for a row that does not go in. */
void agg_update_vec(struct agg_cell *cells, const uint32_t *slots, const struct aggregate *a,
                    const struct vec *v, struct machine *m);

/* The result; text is borrowed from the cell. */
struct value agg_result(const struct agg_cell *c, const struct aggregate *a);
void agg_reset(struct agg_cell *c); /* keeps the text's memory */
void agg_fini(struct agg_cell *c);

struct window {
    int64_t start;
    struct map groups; /* key → slot + 1 */
    uint32_t *slots;   /* in the order of first seen */
    uint32_t slot_count;
    uint32_t slot_cap;
    struct position after; /* all of it comes from inputs behind this */
};

struct tumbling {
    struct window **windows; /* by start */
    uint32_t window_count;
    uint32_t window_cap;
    struct agg_cell **cells; /* [aggregate][slot] */
    uint32_t slot_cap;
    uint32_t slot_count; /* ever used */
    uint32_t *free_slots;
    uint32_t free_count;
    struct buf key;
    bool each_row;              /* no keys and nothing is aggregated: a group a row */
    struct window *last_window; /* of the row before, and its group when there are no keys */
    uint32_t last_slot;
};

struct unit_input {
    struct position after;
    int64_t time_max;
    int64_t wall_us; /* when it came; 0 = not known */
};

struct unit_pending {
    struct batch *batch;
    struct position at;
    uint32_t first; /* row that is wanted */
    int64_t t_out_max;
    bool ahead; /* signals from before it may still come */
};

/* Values that are kept, and the first of the aggregates that are made of them. */
struct unit_series {
    struct series values;
    uint32_t aggregate;
};

struct unit_window {
    struct unit_series *kept; /* one an argument: avg(x) and max(x) are made of the same values */
    uint32_t kept_count;
    struct series **series;    /* of each aggregate, in kept; NULL: it is made of others' */
    struct unit_input *inputs; /* ring of batches whose values are kept */
    uint32_t input_head;
    uint32_t input_count;
    uint32_t input_cap;
    struct unit_pending *pending; /* in the order in which they came */
    uint32_t pending_count;
    uint32_t pending_cap;
    uint64_t answered;  /* batches of presences before these */
    int64_t dropped_us; /* values before this are gone */
    int64_t quiet_us;   /* since when only polls without a value have come; INT64_MIN: not so */
    bool needs_path;
    struct path path; /* of the presence that is answered */
};

struct pipeline {
    const struct plan *plan;
    struct pipeline_options options;
    struct machine rows;
    struct machine groups;
    bool has_groups; /* machine made */
    struct output output;
    bool has_output;
    struct schema *input_schema; /* schemaless: of the batch before */
    uint32_t *input_columns;     /* by input of the row program */
    uint32_t *pass_columns;      /* by item */
    uint32_t *star_columns;
    uint32_t star_count;
    uint16_t selected[VEC_ROWS];
    uint16_t kept[VEC_ROWS];
    struct vec *group_vecs; /* the group program's inputs */
    void **group_storage;
    uint64_t (*group_words)[VEC_WORDS];
    int64_t group_times[VEC_ROWS];
    struct tumbling tumbling;
    struct unit_window unit;
    int64_t watermark_us;
    int64_t time_max_us;
    struct position last;  /* the newest input */
    struct record_key key; /* of what is gathered */
    bool gathered;
    struct position gathered_after; /* the oldest input of what is gathered is behind this */
    struct pipeline_stats stats;
};

/* Adds n rows of the group program (its inputs being in group_vecs, times in group_times) to the
 * output, HAVING considered. */
void pipeline_groups_out(struct pipeline *p, uint32_t n);

/* Declares what is gathered: rows with that key, from inputs behind `after`. */
void pipeline_gathered(struct pipeline *p, struct record_key key, struct position after);

/* Whether outputs with that key are in the log already. */
bool pipeline_skips(const struct pipeline *p, struct record_key key);

/* Counts a chunk's failed rows, keeps the text. */
void pipeline_failed(struct pipeline *p, const struct machine *m);

int tumbling_init(struct pipeline *p);
void tumbling_fini(struct pipeline *p);
/* The present chunk's selected rows. */
int tumbling_rows(struct pipeline *p, struct position after);
int tumbling_close(struct pipeline *p, int64_t watermark_us);
struct position tumbling_resume(const struct pipeline *p, struct position otherwise);

int unit_init(struct pipeline *p);
void unit_fini(struct pipeline *p);
int unit_rows(struct pipeline *p);
/* After a batch: what is too old goes, what is complete is emitted, and of the first `seen` batches
 * of presences whatever there is. */
int unit_advance(struct pipeline *p, struct position after, uint64_t seen);
int unit_presence(struct pipeline *p, const struct batch *b, struct position at, bool ahead);

/* None is ahead of the signals any more; whether one was. */
bool unit_caught_up(struct pipeline *p);
struct position unit_resume(const struct pipeline *p, struct position otherwise);

#endif
