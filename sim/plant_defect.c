/* What becomes of a unit: a physical quantity far out of its usual range makes its defect likely.
 *
 *   defect         decided by                                            quantity
 *   offset_print   the stencil's offset (set-up, scatter)                µm
 *   misplacement   the vacuum of the nozzle that placed the component    kPa below 70
 *   tombstone      the wetting imbalance of the capacitors' lot          1 = a bad lot
 *   cold_solder    temperatures of zones 5 to 7 while the panel was there   °C below their
 * set-points bridging       the slump of the paste's lot                          1 = old
 *   solder_balls   the humidity the paste stood in                       % above 45
 *
 * Besides, each happens by chance at the scenario's rate. Each board has its own luck. */
#include "sim/plant.h"

#include <math.h>

struct mechanism {
    double middle; /* here half of `most` */
    double width;
    double most; /* probability of the defect, a board, however bad it gets */
    double noise;
};

static const struct mechanism mechanisms[DEFECTS] = {
    [OFFSET_PRINT] = {45, 4, 0.35, 6},     [MISPLACEMENT] = {12, 1.2, 0.35, 0.8},
    [TOMBSTONE] = {0.45, 0.05, 0.3, 0.05}, [COLD_SOLDER] = {8, 0.8, 0.35, 0.6},
    [BRIDGING] = {0.45, 0.05, 0.3, 0.05},  [SOLDER_BALLS] = {14, 1.2, 0.35, 0.8},
};

unsigned defect_nozzle(const struct unit *u, unsigned position)
{
    return (position + u->product) % NOZZLES + 1;
}

static void defect_add(struct plant *p, struct unit *u, enum defect d, unsigned board,
                       unsigned position, bool by_fault)
{
    p->made[d]++;
    if (u->defect_count == DEFECTS_MAX)
        return;
    u->defects[u->defect_count++] = (struct found){
        .defect = (uint8_t)d,
        .board = (uint8_t)board,
        .position = (uint8_t)position,
        .fault = by_fault ? (int8_t)d : -1,
    };
}

/* Position on the board where such a defect shows itself. */
static unsigned position_of(struct plant *p, const struct unit *u, enum defect d, int nozzle)
{
    unsigned position = (unsigned)rand_below(&p->rand_quality, POSITIONS);
    if (d == TOMBSTONE)
        return position % 4; /* capacitors */
    for (unsigned i = 0; nozzle >= 0 && i < POSITIONS; i++) {
        if (defect_nozzle(u, (position + i) % POSITIONS) == (unsigned)nozzle + 1)
            return (position + i) % POSITIONS;
    }
    return position;
}

/* The four boards under one quantity. In its usual range no probability is worth mentioning. */
static void decide(struct plant *p, struct unit *u, enum defect d, double quantity, int nozzle)
{
    const struct mechanism *m = &mechanisms[d];
    for (unsigned board = 0; board < BOARDS; board++) {
        double x = quantity + m->noise * rand_normal(&p->rand_quality) * p->scenario.noise;
        double likely = m->most / (1 + exp((m->middle - x) / m->width));
        double draw = rand_double(&p->rand_quality);
        unsigned position = position_of(p, u, d, nozzle);
        if (draw < likely)
            defect_add(p, u, d, board, position, true);
    }
}

static void chance(struct plant *p, struct unit *u, enum defect d, int64_t t)
{
    double rate = air_defect_rate(p, t);
    for (unsigned board = 0; board < BOARDS; board++) {
        double draw = rand_double(&p->rand_quality);
        unsigned position = position_of(p, u, d, -1);
        if (draw < rate)
            defect_add(p, u, d, board, position, false);
    }
}

void defect_print(struct plant *p, struct unit *u, int64_t t)
{
    u->printed_us = t;
    u->offset_um = p->setup_um + 3 * rand_normal(&p->rand_quality) * p->scenario.noise;
    decide(p, u, OFFSET_PRINT, fabs(u->offset_um), -1);
    chance(p, u, OFFSET_PRINT, t);
}

void defect_place(struct plant *p, struct unit *u, int64_t t)
{
    for (unsigned nozzle = 0; nozzle < NOZZLES; nozzle++)
        decide(p, u, MISPLACEMENT, 70 - air_vacuum(p, u->placer, nozzle, t), (int)nozzle);
    chance(p, u, MISPLACEMENT, t);
}

static double zone_fall(const struct plant *p, const struct unit *u, unsigned zone, double set)
{
    int64_t middle = u->zone_in[zone] + (u->zone_out[zone] - u->zone_in[zone]) / 2;
    return set - air_zone(p, zone, middle);
}

void defect_reflow(struct plant *p, struct unit *u)
{
    int64_t t = u->exit_us;
    double fall = 0.7 * zone_fall(p, u, 4, 235) + 0.2 * zone_fall(p, u, 5, 250) +
                  0.1 * zone_fall(p, u, 6, 245);
    int64_t stood = u->printed_us + (u->enter_us - u->printed_us) / 2;
    decide(p, u, COLD_SOLDER, fall, -1);
    decide(p, u, TOMBSTONE, u->wetting, -1);
    decide(p, u, BRIDGING, u->slump, -1);
    decide(p, u, SOLDER_BALLS, air_humidity(p, stood) - 45, -1);
    chance(p, u, COLD_SOLDER, t);
    chance(p, u, TOMBSTONE, t);
    chance(p, u, BRIDGING, t);
    chance(p, u, SOLDER_BALLS, t);
}

bool defect_electrical(const struct unit *u, bool *ret_contact)
{
    for (uint32_t i = 0; i < u->defect_count; i++) {
        const struct found *f = &u->defects[i];
        if (f->repaired || f->defect == OFFSET_PRINT || f->defect == SOLDER_BALLS)
            continue;
        *ret_contact = f->defect == BRIDGING;
        return true;
    }
    return false;
}

/* What the station's own inspection says; others only do their work. */
enum outcome defect_result(const struct unit *u, enum machine station)
{
    bool contact;
    if (station == ICT)
        return defect_electrical(u, &contact) ? FAIL : PASS;
    for (uint32_t i = 0; i < u->defect_count; i++) {
        bool print = u->defects[i].defect == OFFSET_PRINT;
        if ((station == SPI && print) || (station == AOI && !print))
            return FAIL;
    }
    return PASS;
}
