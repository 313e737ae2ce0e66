/* The physical quantities of the plant: what they are set to, slow drifts, and what faults do.
 *
 * All are functions of time, so that asking for one changes nothing. A drift is a sum of four slow
 * waves with periods and phases of its own, between hours and a week; drifts are there in every
 * scenario, and have nothing to do with defects as long as they stay in their usual range. The rate
 * at which defects happen by chance drifts too: whoever looks for causes must cope with that. */
#include "sim/plant.h"

#include <math.h>

/* Numbers of the signals: each has its own drift and noise. */
enum {
    SIGNAL_HALL_T,
    SIGNAL_HALL_RH,
    SIGNAL_OVEN,
    SIGNAL_AIR_LINE,
    SIGNAL_SQUEEGEE,
    SIGNAL_RATE,
    SIGNAL_FAULT,
    SIGNAL_ZONE = 16,
    SIGNAL_VACUUM = 32,
};

#define NOISE_GRID_US 100000

static const double zone_set[ZONES] = {120, 150, 170, 190, 235, 250, 245, 180};

static uint64_t mix(uint64_t v)
{
    v += 0x9e3779b97f4a7c15u;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9u;
    v = (v ^ v >> 27) * 0x94d049bb133111ebu;
    return v ^ v >> 31;
}

static double unit_of(uint64_t v)
{
    return (double)(v >> 11) / 9007199254740992.0;
}

/* About normal, deviation 1 over a long time. */
static double drift(const struct plant *p, unsigned signal, int64_t t)
{
    static const double hours[4] = {3.7, 11, 31, 97};
    static const double weight[4] = {0.4, 0.7, 0.8, 0.8};
    double sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t h = mix(p->scenario.seed * 1000 + signal * 8 + i);
        double period = hours[i] * 3600e6 * (0.8 + 0.4 * unit_of(h));
        sum += weight[i] * sin(2 * M_PI * ((double)t / period + unit_of(mix(h))));
    }
    return sum * p->scenario.drift;
}

double air_noise(const struct plant *p, unsigned signal, int64_t t)
{
    uint64_t h =
        mix(mix(p->scenario.seed ^ (uint64_t)signal << 32) + (uint64_t)(t / NOISE_GRID_US));
    double sum = 0;
    for (unsigned i = 0; i < 4; i++)
        sum += (double)(h >> (i * 16) & 0xffff) / 65536.0 - 0.5;
    return sum * 1.7320508 * p->scenario.noise;
}

/* A fault comes on in the first tenth of its length and then waxes and wanes, as wear, dirt and the
 * weather do. */
static double shape(const struct plant *p, const struct fault_spec *f, int64_t t)
{
    if (t < f->start_us || t - f->start_us >= f->length_us)
        return 0;
    double part = (double)(t - f->start_us) / (double)f->length_us;
    double on = part < 0.1 ? part / 0.1 : 1;
    uint64_t h = mix(p->scenario.seed * 77 + SIGNAL_FAULT + (uint64_t)f->kind * 131);
    double period = 3600e6 * (1.5 + unit_of(h));
    double wave = sin(2 * M_PI * ((double)(t - f->start_us) / period + unit_of(mix(h))));
    return f->strength * on * (0.65 + 0.45 * wave);
}

double air_fault(const struct plant *p, enum fault kind, int64_t t)
{
    bool lasting = kind == OPERATOR_SETUP || kind == BAD_REEL_LOT || kind == OLD_PASTE;
    double sum = 0;
    for (uint32_t i = 0; i < p->scenario.fault_count; i++) {
        const struct fault_spec *f = &p->scenario.faults[i];
        if (f->kind != (int)kind)
            continue;
        bool on = t >= f->start_us && t - f->start_us < f->length_us;
        sum += !lasting ? shape(p, f, t) : on ? f->strength : 0;
    }
    return sum;
}

double air_temperature(const struct plant *p, int64_t t)
{
    return 23.5 + 0.8 * drift(p, SIGNAL_HALL_T, t);
}

double air_humidity(const struct plant *p, int64_t t)
{
    return 45 + 2.5 * drift(p, SIGNAL_HALL_RH, t) + 27 * air_fault(p, HUMIDITY, t);
}

double air_zone(const struct plant *p, unsigned zone, int64_t t)
{
    double fall = zone == 4 ? 20 * air_fault(p, ZONE_DRIFT, t) : 0;
    return zone_set[zone] + drift(p, SIGNAL_OVEN, t) + 0.5 * drift(p, SIGNAL_ZONE + zone, t) - fall;
}

double air_vacuum(const struct plant *p, unsigned placer, unsigned nozzle, int64_t t)
{
    double fall = placer == 1 && nozzle == 2 ? 24 * air_fault(p, NOZZLE_WEAR, t) : 0;
    unsigned signal = SIGNAL_VACUUM + placer * NOZZLES + nozzle;
    return 70 + drift(p, SIGNAL_AIR_LINE, t) + 0.6 * drift(p, signal, t) - fall;
}

double air_squeegee(const struct plant *p, int64_t t)
{
    return 60 + drift(p, SIGNAL_SQUEEGEE, t);
}

double air_defect_rate(const struct plant *p, int64_t t)
{
    double factor = 1 + 0.4 * drift(p, SIGNAL_RATE, t);
    return p->scenario.defect_rate * (factor > 0.1 ? factor : 0.1);
}
