/* What makes a floor less than ideal for whoever follows units down it: light barriers at the
 * stations that miss a unit or see it twice, speeds that sway, hands that take units off the line
 * and put others on. A scenario asks for each; what is drawn here comes from streams of random
 * numbers of its own, so that a scenario without them makes the plant it always made.
 *
 * A barrier stands where a unit goes in (it breaks the light when the cycle begins) and where it
 * comes out (when the cycle ends). One that sees a unit twice does so a few seconds later again:
 * the light comes through a cut-out of the panel. */
#include "sim/plant.h"

#include <math.h>

#define EYE_US       (2 * SECOND_US)  /* how long the light is broken, at the nominal takt */
#define AGAIN_MIN_US 3200000.0        /* the second time, from the beginning of the first */
#define AGAIN_US     2800000.0        /* and up to so much later */
#define AGAIN_LONG   (12 * 100000LL)  /* how long then */
#define SWAY_US      (10 * MINUTE_US) /* a period of the belt; the stations' are others */

static const double full_turn = 6.283185307179586;

void eyes_start(struct plant *p)
{
    rand_seed(&p->rand_eyes, p->scenario.seed * 4 + 0x6579657300000000u);
    rand_seed(&p->rand_hands, p->scenario.seed * 4 + 0x68616e6400000000u);
    for (unsigned m = 0; m < STATIONS; m++) {
        for (unsigned k = 0; k < EYES; k++)
            p->stations[m].eyes[k].at_us = INT64_MIN / 2;
    }
}

unsigned eye_pass(struct plant *p, unsigned station, enum eye which, int64_t t)
{
    struct eye_pulse *e = &p->stations[station].eyes[which];
    const struct scenario *s = &p->scenario;
    if (!s->eyes)
        return 0;
    bool missed = rand_double(&p->rand_eyes) < s->missing_pulse;
    bool twice = rand_double(&p->rand_eyes) < s->double_pulse;
    double again = AGAIN_MIN_US + AGAIN_US * rand_double(&p->rand_eyes);
    if (missed)
        return 0; /* not even twice */
    *e = (struct eye_pulse){.at_us = t, .twice = twice, .again_us = llround(again * p->pace)};
    return twice ? 2 : 1;
}

bool eye_sees(const struct plant *p, unsigned station, enum eye which, int64_t t)
{
    const struct eye_pulse *e = &p->stations[station].eyes[which];
    double since = (double)(t - e->at_us);
    double again = since - (double)e->again_us;
    return (since >= 0 && since < (double)EYE_US * p->pace) ||
           (e->twice && again >= 0 && again < (double)AGAIN_LONG * p->pace);
}

double sway(const struct scenario *s, unsigned who, int64_t t)
{
    double period = (double)(SWAY_US + who * MINUTE_US) * (double)s->takt_us / NOMINAL_TAKT_US;
    double phase = (double)((s->seed * 37 + who * 11) % 100) / 100;
    return 1 + s->sway * sin(full_turn * ((double)t / period + phase));
}

bool hand_takes(struct plant *p)
{
    return p->scenario.removed > 0 && rand_double(&p->rand_hands) < p->scenario.removed;
}

bool hand_puts(struct plant *p)
{
    return p->scenario.inserted > 0 && rand_double(&p->rand_hands) < p->scenario.inserted;
}
