/* The good units' band of a curve: how a signal went for one unit, against how it went for those
 * of which nothing bad was ever said.
 *
 * A unit's curve is read into slots, equal pieces of its visit, so that memory depends neither on
 * the polling interval nor on how long the visit was. What is compared is a signal over the time
 * since the unit came in; or, where signals of a belt have places, the unit's own curve: the
 * signal at its position, over the position, so that a belt that stood still for a while makes no
 * difference to where the zones are. The position within the visit is the integral of the belt's
 * speed, stretched to the station's length, as the track has stretched it.
 *
 * band.c is the call, band_good.c finds the units, band_read.c their values, band_shape.c is
 * arithmetic.
 */
#ifndef LOTLINE_TRACE_BAND_H
#define LOTLINE_TRACE_BAND_H

#include "model/clocks.h"
#include "trace/trace_priv.h"

#define BAND_UNITS_MAX   200 /* good ones that are compared: those nearest in time */
#define BAND_UNITS_LEAST 5   /* with a value at a place; fewer make no band there */
#define BAND_SIGNALS_MAX 32  /* of one curve, the belt's speed included */
#define BAND_SLOTS       256 /* of a visit, equal in time */
#define BAND_GRID        161 /* places at which curve and band are told */

/* One signal of the curve. Texts are the arena's. */
struct band_signal {
    uint32_t tag;
    const char *name;
    const char *uom;
    double scale;
    double offset;
    double from_mm; /* where on the belt, if the curve is over the position */
    double to_mm;
};

struct band_plan {
    struct band_signal signals[BAND_SIGNALS_MAX];
    uint32_t count;
    uint32_t speed;  /* number of the belt's speed among them; = count: there is none */
    bool by_way;     /* over the position, else over the time since the unit came in */
    double from_mm;  /* of the station, if by_way */
    double to_mm;    /* above from_mm */
    double length_s; /* of the unit's visit: the last place of the grid, if not by_way */
};

struct band_slot {
    double sum;
    uint32_t count;
};

/* A visit, and of each signal its BAND_SLOTS slots. */
struct band_visit {
    int64_t t_in;
    int64_t t_out;
    struct band_slot *slots;      /* [signal * BAND_SLOTS + slot] */
    const char *clocks;           /* of devices: model/clocks.h */
    struct clock_offset *offsets; /* of the signals' devices by it; NULL: none */
};

/* ------------------------------------------------------------------------------- band_good.c */

/* Whose curve is asked for, and what is known of it. */
struct band_question {
    struct duck_conn *conn;
    struct arena *arena; /* for the visits' texts */
    const char *node;
    const char *track;
    const char *station;
    const char *serial;
    const char *unit; /* the id of the visit's unit */
    int64_t t_in;
    int64_t as_of_us;
    const struct bearer_rules *reused;
    struct diag *diag;
};

/* The visits of up to BAND_UNITS_MAX good units to the same station, those nearest in time, by
 * t_in: something good and nothing bad was said of them and of their parts, and if it is known by
 * which recipe this one was made there, they were made by the same. ERR_DATABASE, ERR_CANCELLED. */
int band_good_find(const struct band_question *q, struct band_visit *ret, uint32_t *ret_count);

/* ------------------------------------------------------------------------------- band_read.c */

/* Fills the slots of all visits, at least one, in the order of t_in. Blocks; on the historian's
 * reader. ERR_DATABASE, ERR_CANCELLED. */
int band_read(struct historian *historian, struct duck_conn *conn, const struct band_plan *plan,
              struct band_visit *visits, uint32_t count, struct diag *diag);

/* ------------------------------------------------------------------------------ band_shape.c */

/* Where on the curve grid point i lies: mm or s. */
double band_place(const struct band_plan *plan, uint32_t i);

/* A visit's curve on the grid; NaN where it is not known. */
void band_shape(const struct band_plan *plan, const struct band_visit *v, double ret[BAND_GRID]);

/* Of 5 %, 50 % and 95 % of the values, which are sorted in place; NaN are left out. False: fewer
 * than BAND_UNITS_LEAST. */
bool band_quantiles(double *values, uint32_t count, double ret[3]);

/* ------------------------------------------------------------------------------------ band.c */

extern const struct call_spec trace_band_spec;
void trace_band_serve(void *owner, struct call *c);

#endif
