/* What assign*.c share: units, the lists of the parts, clusters and their hypotheses. See assign.h.
 */
#ifndef LOTLINE_TRACK_ASSIGN_PRIV_H
#define LOTLINE_TRACK_ASSIGN_PRIV_H

#include "track/assign.h"

#define ASSIGN_NOBODY UINT32_MAX

/* Parts that are none. */
#define ASSIGN_GONE   ((uint16_t)0xfffe) /* left the line, or was taken off it, or never was */
#define ASSIGN_ABSENT ((uint16_t)0xfffd) /* under this hypothesis it did not come */

/* Where a unit is, under one hypothesis. Compared as bytes: no padding, and what does not count in
 * a part is 0. */
struct assign_state {
    int64_t t_in;
    double ref_mm; /* the belt's position when it was at the part's begin */
    double slack_mm;
    double doubt; /* that it never was: only one pulse speaks for it */
    uint32_t code;
    uint32_t visit;
    uint16_t part;
    uint16_t begin; /* enum track_edge */
    uint32_t read;  /* 1: its code was read when it entered */
};

_Static_assert(sizeof(struct assign_state) == 48, "compared as bytes");

/* That a unit may be in a part; the lists are ordered by t_in. */
struct assign_member {
    uint16_t part;
    int64_t t_in;
    double ref_mm;   /* of the hypothesis in which it is furthest */
    double slack_mm; /* the largest */
};

#define ASSIGN_MEMBERS_MAX 8
#define ASSIGN_SAID_MAX    4

struct assign_unit {
    uint8_t id[TRACK_UNIT_BYTES];
    uint64_t order;          /* of coming; 0: the slot is free */
    uint32_t cluster;        /* ASSIGN_NOBODY: none, and it is certain */
    struct assign_state one; /* then its state */
    struct assign_member members[ASSIGN_MEMBERS_MAX];
    uint32_t member_count;

    struct {
        uint32_t visit;
        uint32_t revision;   /* 0: none */
    } said[ASSIGN_SAID_MAX]; /* of the latest stays, what was said last */
};

/* A stay, with one of the ends that it may have had, that some hypotheses have and others have not.
 */
struct undecided {
    uint8_t unit[TRACK_UNIT_BYTES];
    int64_t t_in;
    int64_t t_out;
    double in_mm;
    double out_mm;
    uint32_t owner; /* the unit's slot, while it is in the line */
    uint32_t code;
    uint32_t visit;
    uint32_t revision; /* said last; 0: nothing was said */
    double said;
    int64_t said_in;
    int64_t said_out;
    uint16_t part;
    uint8_t begin;
    uint8_t end;
    uint8_t breach; /* enum assign_breach_kind */
    bool read;      /* its code was, at an end of the stay */
    bool breach_said;
};

/* Hypotheses of n units: weight, states, and how likely each undecided stay is under it. */
struct rows {
    uint32_t n;
    uint32_t count;
    uint32_t w_cap;
    uint32_t s_cap;
    uint32_t m_cap;
    double *w;
    struct assign_state *s; /* n each */
    double *m;              /* ASSIGN_STAYS_MAX each */
    uint32_t *slots;        /* scratch: rows by their states, while equal ones are united */
    uint32_t slot_cap;
};

struct cluster {
    uint32_t next_free;
    uint32_t units[ASSIGN_CLUSTER_UNITS_MAX];
    uint32_t stay_count;
    struct undecided stays[ASSIGN_STAYS_MAX];
    struct rows rows;
};

#define ASSIGN_FRONT 4 /* of a part's units only so many in front can be overdue */

/* The units of a part by their coming. */
struct part_list {
    uint32_t *units;
    uint32_t first;
    uint32_t end;
    uint32_t cap;
    bool stale;     /* a unit of it changed: what follows is not known */
    double due_mm;  /* a belt: nobody is overdue while it has not come so far */
    int64_t due_us; /* no belt: nor until then */
};

static inline bool is_in_line(const struct assign_state *s)
{
    return s->part < ASSIGN_PARTS_MAX;
}

/* The ways by gate, by the part they leave and the one they lead into, and where those of each
 * begin. */
struct assign_ways {
    struct assign_way *by_gate;
    struct assign_way *by_part;
    struct assign_way *by_into;
    uint32_t *gates;
    uint32_t *parts;
    uint32_t *intos;
    double *due_mm; /* of a belt: the way from where a unit is overdue */
};

struct way_list {
    const struct assign_way *first;
    const struct assign_way *end;
};

#define ASSIGN_HOLDERS_MAX 4

/* A code, and the units that may bear it: slot and coming, since slots are used again. */
struct assign_code {
    char *text;

    struct {
        uint32_t unit;
        uint64_t order; /* 0: nobody */
    } holders[ASSIGN_HOLDERS_MAX];
};

/* How long units stayed in a part that they were seen to enter and to leave. */
struct assign_dwell {
    uint32_t count;
    double mean_us;
    double off_us; /* mean distance from it */
};

struct assign {
    struct assign_model model;
    struct assign_dwell *dwells; /* of each part */
    struct assign_unit *units;
    uint32_t unit_end;
    uint32_t unit_cap;
    uint32_t *unit_free;
    uint32_t free_count;
    uint32_t free_cap;
    uint64_t order;
    struct part_list *parts;
    struct assign_ways ways;
    int64_t reached_us; /* nobody was overdue then, but in lists that are stale */
    struct cluster **clusters;
    uint32_t cluster_end;
    uint32_t cluster_cap;
    uint32_t cluster_free;     /* the first one that is not in use; ASSIGN_NOBODY */
    struct map code_of;        /* text → its number + 1 as a pointer */
    struct assign_code *codes; /* [0] is "not read" */
    uint32_t code_count;
    uint32_t code_cap;
    uint32_t visit;
    struct assign_stats stats;

    /* The cluster that is being worked on, and scratch. */
    struct cluster work;
    struct rows next;
    struct rows fan[2];
};

/* --------------------------------------------------------------------------------- assign_ways.c
 */

int ways_index(struct assign *a); /* ERR_NOMEM */
void ways_free(struct assign *a);
struct way_list gate_ways(const struct assign *a, uint16_t gate);
struct way_list part_ways(const struct assign *a, uint16_t part); /* those that leave it */
struct way_list into_ways(const struct assign *a, uint16_t part); /* those that lead into it */

/* Whether one of the units in front has to be looked at; false: none is overdue. */
bool part_may_be_due(struct assign *a, uint16_t part, int64_t now_us);

/* --------------------------------------------------------------------------------- assign_rows.c
 */

void rows_fini(struct rows *r);
void rows_clear(struct rows *r, uint32_t n);

/* Appends a copy. s, m NULL: zeroed. ERR_NOMEM. The sources may not lie in r. */
int rows_add(struct rows *r, double w, const struct assign_state *s, const double *m);
struct assign_state *rows_states(const struct rows *r, uint32_t row);
double *rows_stays(const struct rows *r, uint32_t row);
void rows_swap(struct rows *a, struct rows *b);

/* Weights that sum to 1; those that are the same from now on are one; the likeliest `max`, and of
 * them those that are at least min of the likeliest. ERR_INVALID: there is none. */
int rows_tidy(struct rows *r, uint32_t max, double min, uint32_t stay_count);

/* ------------------------------------------------------------------------------ assign_cluster.c
 */

/* The work: what is known of these units and all whose fates hang together with theirs. */
void work_begin(struct assign *a);
/* No effect if it is in it; none either if no room would be left for a newcomer: counted. */
int work_add(struct assign *a, uint32_t unit);
int work_load(struct assign *a, uint32_t unit);            /* where none comes */
uint32_t work_find(const struct assign *a, uint32_t unit); /* ASSIGN_NOBODY */

/* A unit that nobody knew: absent in all hypotheses. *ret is its column. ERR_LIMIT: the line is
 * full. */
int work_new_unit(struct assign *a, const uint8_t id[static TRACK_UNIT_BYTES], uint32_t *ret);

/* Weights that sum to 1, and no more hypotheses than there may be. ERR_INVALID: there is none. */
int work_settle(struct assign *a);

/* Says what is decided, and puts the units back: certain ones by themselves. */
int work_end(struct assign *a);

/* Notes in which parts the unit may be, by its cluster or its state. */
void unit_members(const struct assign *a, uint32_t unit, struct assign_member *ret,
                  uint32_t *ret_count);

/* A slot for a cluster, without units. ERR_NOMEM. */
int cluster_slot(struct assign *a, uint32_t *ret);

/* The stay of that key, made if there is room; ASSIGN_NOBODY: there is none. */
uint32_t work_stay(struct assign *a, const struct undecided *stay);

/* Under a hypothesis with these stays, the unit was there only with that probability. */
void work_doubt(const struct assign *a, double *m, uint32_t column, double real);

/* One more stay; and whether enough are known to say how long one is. */
void dwell_note(struct assign_dwell *d, double us);
bool dwell_is_known(const struct assign_dwell *d);

/* How likely an undecided stay is. */
double cluster_stay_weight(const struct assign *a, const struct cluster *c, uint32_t stay);

/* The unit's state if it is certain, NULL if it is not. */
const struct assign_state *unit_certain(const struct assign *a, uint32_t unit);

/* The number of a code, new if it is; "" is 0. ERR_NOMEM. */
int assign_code_number(struct assign *a, const char *text, uint32_t *ret);
const char *code_text(const struct assign *a, uint32_t code);

#endif
