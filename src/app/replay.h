/* What a past period would have given with other tracks and rules: the call node.replay.
 *
 * Somebody who is about to change a track or a rule wants to see what the change does before it
 * goes live. So the stored readings of a period go through a second track stage that has the
 * changed tracks, and its presences are compared with those that the node's tables hold;
 * replay_rules.h has the rules. Nothing is written anywhere. docs/replay.md says what is compared
 * and how.
 *
 * replay.c serves the call, replay_read.c reads the points as batches, replay_run.c is the second
 * stage with a feed in memory, replay_diff.c compares and prints. Private to app/.
 *
 * It is served on a thread of its own, one at a time, and reads by short tasks on the historian's
 * reader, so that other questions get their turn. It ends at its caller's deadline, and when nobody
 * waits any more.
 */
#ifndef LOTLINE_APP_REPLAY_H
#define LOTLINE_APP_REPLAY_H

#include "base/arena.h"
#include "config/config.h"
#include "historian/historian.h"
#include "model/catalogue.h"
#include "track/track.h"

#define REPLAY_PRESENCES_MAX 200000 /* of each side */
#define REPLAY_ROWS_MAX      10000  /* of an answer */
#define REPLAY_POINTS_MAX    200000 /* in memory at a time */
#define REPLAY_BATCH_ROWS    1024
#define REPLAY_TAGS_MAX      4096
#define REPLAY_SAME_US       1000 /* times of one ms are the same */

/* Says whether to go on: OK, ERR_CANCELLED, ERR_TIMEOUT. */
struct replay_stop {
    int (*fn)(void *ctx);
    void *ctx;
};

/* The period, and what is read around it so that its first and last visits are whole. */
struct replay_period {
    int64_t from_us;
    int64_t to_us;
    int64_t lead_us;
};

/* ---------------------------------------------------------------------------------- replay_diff.c
 */

/* One stay of a unit. Texts live in the list's arena. */
struct replay_presence {
    const char *track;
    const char *station;
    const char *unit;
    const char *serial; /* "?…": was not read */
    const char *status;
    const char *evidence;
    int64_t t_in;
    int64_t t_out;
    int64_t visit;
    int64_t revision;
    double probability;
    bool retracted;
    int32_t other; /* index of what it is on the other side, -1 = nothing */
};

struct replay_list {
    struct arena arena;
    struct replay_presence *items;
    uint32_t count;
    uint32_t cap;
};

/* Copies the texts. ERR_LIMIT (REPLAY_PRESENCES_MAX), ERR_NOMEM. */
int replay_list_add(struct replay_list *l, const struct replay_presence *p);
void replay_list_fini(struct replay_list *l);

/* Each unit has the serial that was said of it last, in all its stays, as the tables have it: a
 * code that is read late names what was before it too. The items are in the order in which they
 * came. ERR_NOMEM. */
int replay_list_name(struct replay_list *l);

/* The highest revision of each, without what is taken back, by (track, station, time, serial). */
void replay_list_settle(struct replay_list *l);

enum replay_change {
    REPLAY_SAME,
    REPLAY_MOVED,  /* other times */
    REPLAY_STATUS, /* another status or probability */
    REPLAY_UNIT,   /* another serial, or read now and not before, or the reverse */
    REPLAY_NEW,
    REPLAY_GONE,
    REPLAY_CHANGE_COUNT,
};

struct replay_answer {
    uint64_t counts[REPLAY_CHANGE_COUNT];
    struct buf rows; /* JSON: what differs, in the order of time */
    bool truncated;
};

/* Compares two settled lists; what ends on both sides outside the period is left out. ERR_NOMEM. */
int replay_diff(struct replay_list *before, struct replay_list *after,
                const struct replay_period *period, struct replay_answer *ret);

/* ---------------------------------------------------------------------------------- replay_read.c
 */

/* One batch of one stream, of which the receiver gets a reference. */
struct replay_batch {
    const char *stream;
    struct batch *batch;
};

/* A value as stored: one column of one stream. */
struct replay_tag {
    uint32_t id;
    uint32_t stream;
    uint32_t column;
    struct field field;
    bool other; /* its values do not go into the column as it is now (rows) */
};

/* Those that are read, in the order of their ids. Zero-initialised is valid and empty. */
struct replay_tags {
    struct replay_tag *items;
    uint32_t count;
    uint32_t cap;
    struct buf ids; /* "1,5,7" */
};

struct replay_stream {
    const char *name;
    struct field *fields; /* as the values of the moment have them */
    const char **tracks;  /* [column]: who reads it */
    bool *stored;         /* [column] */
    uint32_t field_count;
    uint32_t field_cap;
    struct schema *schema; /* NULL: to be made from fields */
    struct batch_builder *builder;
};

struct replay_reader {
    struct historian *historian;
    const char *node;
    const struct config *named; /* whose tracks must have values */
    const struct replay_stop *stop;
    struct arena arena;
    struct replay_stream *streams;
    uint32_t stream_count;
    uint32_t stream_cap;
    struct replay_tags tags;
    uint64_t values;     /* read within the period */
    int64_t piece_to_us; /* all before was read: the end of the piece that is taken */

    /* Takes a piece's batches, in order. */
    int (*take)(void *ctx, struct replay_batch *batches, uint32_t count);
    void *ctx;
};

/* ERR_LIMIT: there are max already. Its id is above those of all others. */
int replay_tags_add(struct replay_tags *t, const struct replay_tag *tag, uint32_t max);
const struct replay_tag *replay_tags_find(const struct replay_tags *t, uint32_t id); /* or NULL */
void replay_tags_fini(struct replay_tags *t);

/* Runs fn by a task of its own on the historian's reader, so that others' questions wait for that
 * one alone. Its error, or that of the historian. */
int replay_on_reader(struct historian *h, int (*fn)(void *ctx, struct duck_conn *conn), void *ctx,
                     struct diag *diag);

/* The stored value, bit for bit (docs/historian.md); false if there is none. cells: i, u, d, b. */
bool replay_value_of(const struct value *cells, enum value_type type, struct value *ret);

/* As strcmp, of times. */
static inline int replay_compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* A text or bytes that are borrowed become the arena's. ERR_NOMEM. */
int replay_value_keep(struct arena *arena, struct value *io);

/* What the stage's tracks read. Set historian, node, named, stop, take and ctx first; the rest
 * zero. */
int replay_reader_tags(struct replay_reader *r, const struct track_stage *track, struct diag *diag);

/* Reads all of it, piece by piece. */
int replay_reader_run(struct replay_reader *r, const struct replay_period *period,
                      struct diag *diag);
void replay_reader_fini(struct replay_reader *r);

/* ----------------------------------------------------------------------------------- replay_run.c
 */

struct replay_run;

/* A track stage with these tracks, whose streams are those of `catalogue`, and which is fed by
 * replay_run_feed. What is wrong with a track is in diag, with its place. Any thread. */
int replay_run_new(const struct config *config, const struct catalogue *catalogue,
                   struct replay_run **ret, struct diag *diag);
const struct track_stage *replay_run_track(const struct replay_run *r);
int replay_run_start(struct replay_run *r, struct diag *diag);

/* Blocks until the tracks have taken all. References are taken, also on failure. */
int replay_run_feed(struct replay_run *r, struct replay_batch *batches, uint32_t count,
                    const struct replay_stop *stop);

/* From now on the batches of presences are kept until they are asked for. Before start. */
void replay_run_keep(struct replay_run *r);

/* Those since the last call, in the order in which each track told them; between two feeds. The
 * list and its references are the caller's. */
int replay_run_batches(struct replay_run *r, struct replay_batch **ret, uint32_t *ret_count);

/* The streams of the tracks. */
const struct catalogue *replay_run_catalogue(const struct replay_run *r);

/* The presences so far; between two feeds. Its error if they could not all be kept. */
int replay_run_presences(struct replay_run *r, struct replay_list **ret);
void replay_run_free(struct replay_run *r); /* NULL is allowed */

/* -------------------------------------------------------------------------------------- replay.c
 */

struct node;

/* Adds the call. After the historian was made. */
int node_replay_add(struct node *n);

#endif
