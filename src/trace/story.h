/* A unit's story: everything that is known of one unit at one moment, put in order.
 *
 * find.c walks the index from the key that was asked for to all names of the unit, to what it was
 * made from and what was made from it; gather.c reads the rows of these names; bind.c gives each
 * row to the visit it belongs to and decides the verdicts. Everything lives in the story's arena,
 * on the historian's reader.
 */
#ifndef LOTLINE_TRACE_STORY_H
#define LOTLINE_TRACE_STORY_H

#include "trace/trace_priv.h"

#define STORY_KEYS_MAX     2048  /* names of all units of one story */
#define STORY_SUBJECTS_MAX 1000  /* units and lots of one story */
#define STORY_LINKS_MAX    5000  /* shown */
#define STORY_ROUNDS_MAX   8     /* of one step: names that lead to names */
#define STORY_DEPTH_MAX    32    /* of the genealogy */
#define STORY_VISITS_MAX   1000  /* shown */
#define STORY_FACTS_MAX    20000 /* shown, of all kinds */

/* How much later than it happened a thing may be written down: a file that is read some time after,
 * a row that waits for its signals. */
#define STORY_LATE_US ((int64_t)600 * 1000000)

/* After everything, with room for STORY_LATE_US behind it. */
#define STORY_NO_END_US (INT64_MAX / 2)

/* A unit or a lot that the walk has met: the unit asked for, then its relatives. */
struct story_subject {
    const char *name;     /* the key it was met by; later its serial */
    uint32_t depth;       /* steps from the unit asked for */
    bool up;              /* it lies on the way to the parents, or is the unit itself */
    bool down;            /* … on the way to the children, or is the unit itself */
    bool carries;         /* its story until `until_us` is the unit's too: the panel of a board */
    int64_t until_us;     /* when the unit was made from it; STORY_NO_END_US for the unit itself */
    const char *position; /* which part of the panel became the unit; "" = not said */
};

/* One name of a subject. */
struct story_key {
    const char *text;
    uint32_t subject;
    bool is_unit;           /* found as a unit's id */
    bool asked;             /* the index was asked already */
    bool refused;           /* a unit that no longer has the serial by which it was found */
    const char *claim;      /* the serial by which it was found; NULL = it needs none */
    int64_t at_us;          /* when it was this unit's */
    struct trace_span time; /* while it was; everything, if it is nobody's ever again */
};

struct story_alias {
    const char *unit;
    const char *serial; /* "" = not read */
    uint32_t subject;
    int64_t t_from;
    int64_t t_to;
};

struct story_link {
    const char *parent;
    const char *child;
    const char *kind;
    const char *position;
    double quantity; /* NaN = not said */
    int64_t at;
    uint32_t depth; /* 1 = next to the unit */
    bool up;        /* towards the parents */
};

/* Another unit that a stay may have been of. */
struct story_rival {
    const char *unit;
    const char *serial; /* "" = not known */
    double probability; /* NaN = not known */
};

struct story_visit {
    const char *station;
    const char *operation;
    const char *node;
    const char *track;
    const char *place;
    const char *unit;
    const char *status;
    const char *evidence;
    const char *clocks; /* of devices: model/clocks.h; "" or NULL = none */
    const char *result; /* of the track's signal: "" = none */
    const char *said;   /* of an inspection: "" = none */
    const char *verdict;
    double probability; /* NaN = not known */
    int64_t t_in;       /* INT64_MIN = not known */
    int64_t t_out;      /* INT64_MIN = not known, or still there */
    int64_t known_at;
    int64_t said_at;
    int64_t revision;
    int64_t number; /* of the stay at its station, given by the track; 0: it gives none */
    struct story_rival *rivals; /* the likeliest first; of an ambiguous stay on a line */
    uint32_t rival_count;
    uint32_t subject;
    bool labelled;          /* the operation was named by a row, not taken from the station */
    bool retracted;         /* this revision takes it back */
    bool stays;             /* it is the latest */
    bool recorded;          /* no track saw it: rows say that something was done */
    bool failed;            /* a measure is out of its limits */
    bool passed;            /* a measure is within, and none is out */
    bool defective;         /* a defect of the unit was found */
    bool defective_sibling; /* a defect of another part of the panel */
};

enum story_kind {
    STORY_MEASURE,
    STORY_FACTOR,
    STORY_DEFECT,
    STORY_VERDICT,
};

/* A row of measures, factors, defects or verdicts. */
struct story_fact {
    enum story_kind kind;
    const char *unit;
    const char *serial;
    const char *operation;
    const char *station;
    const char *name; /* characteristic, factor, defect, verdict */
    const char *text; /* a factor's value, a defect's position */
    const char *more; /* a factor's 5M1E kind, a measure's uom */
    const char *rule;
    double share; /* of the stay, a factor that changed; 1: all of it */
    double value; /* NaN = none, as the limits */
    double lower;
    double upper;
    double target;
    double covered; /* of a measure: which part of the stay it knows; NaN = not said */
    int64_t at;
    int64_t known_at;
    int64_t revision;
    uint32_t subject;
    uint32_t visit;
    bool dropped; /* replaced by a later revision, or another part's */
};

struct story {
    struct trace *trace;
    struct duck_conn *conn;
    struct arena arena;
    struct diag *diag;
    int64_t as_of_us;
    int64_t at_us; /* of those that bore the serial, the one of then; 0 = the last */
    uint32_t depth_max;
    bool truncated; /* a limit cut something off */
    bool found;     /* the index knows a name */

    struct map names; /* key → struct story_key */
    struct story_key **keys;
    uint32_t key_count;
    struct story_subject *subjects;
    uint32_t subject_count;
    struct story_alias *aliases;
    uint32_t alias_count;
    uint32_t alias_cap;
    struct story_link *links;
    uint32_t link_count;
    const struct trace_span *bearers; /* of a serial of the unit, if it comes around */
    uint32_t bearer_count;
    uint32_t bearer;          /* which of them it is */
    const char *borne;        /* that serial */
    struct trace_span *spans; /* when rows of the carrying subjects lie */
    uint32_t span_count;
    uint32_t span_cap;
    struct story_visit *visits; /* by time */
    uint32_t visit_count;
    uint32_t visit_cap;
    struct story_fact *facts; /* by time */
    uint32_t fact_count;
    uint32_t fact_cap;
    const char *verdict; /* of the unit: pass, fail, rework, scrap, unknown */
};

/* *s is zeroed but for trace, conn, diag, as_of_us, at_us and depth_max. ERR_NOT_FOUND: nothing is
 * known of the key. Whatever it returns, story_fini is needed. */
int story_read(struct story *s, const char *key);
void story_fini(struct story *s);

/* find.c */
int story_find(struct story *s, const char *key);

/* gather.c */
int story_gather(struct story *s);

/* bind.c */
int story_bind(struct story *s);

/* rivals.c: after story_read, whom its ambiguous stays may have been of instead. */
int story_rivals(struct story *s);

/* A subject's latest serial, else the name it was met by; the same for any key. */
const char *story_name(const struct story *s, uint32_t subject);
const char *story_key_name(const struct story *s, const char *key);

/* How likely it was this unit: below 1 only where it may have been another. */
double story_sure(const struct story_visit *v);

/* The id of the latest visit of the unit itself; "" if no track saw it. */
const char *story_unit(const struct story *s);

/* story_print.c: one list of the answer, as JSON. */
enum story_list {
    STORY_SERIALS,
    STORY_STEPS,
    STORY_MEASURES,
    STORY_FACTORS,
    STORY_DEFECTS,
    STORY_PARENTS,
    STORY_CHILDREN,
    STORY_BEARERS,
};

int story_print(const struct story *s, enum story_list list, struct buf *out);

#endif
