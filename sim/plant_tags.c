/* What the machines of the plant show, and where. Each machine is a Modbus TCP server; unit 1.
 * 32-bit numbers have the high word first; texts the first character in the high byte.
 *
 *   stations but the oven (printer, spi, placer_a, placer_b, aoi, depanel, ict, rework_bench)
 *     400001-400010  serial, as the scanner read it; empty: not read
 *     400011         state: 0 idle, 1 scanned, 2 working
 *     400012         result of the cycle: 0 none yet, 1 pass, 2 fail; shown late in the cycle
 *     400013-400014  units done, uint32            400015-400016  of these failed, uint32
 *     400017         alarm: 0 none
 *     400018-400021  product, 8 characters         400022         recipe revision, uint16
 *     400023-400027  order, 10 characters
 *     000001         cycle: 1 from its begin to its end
 *     100001 100002  light barriers where units go in, where they come out, if the scenario has
 * them 100003         ict: where those come out that go to be repaired printer        400031
 * squeegee pressure, float, N    400033 print speed, float, mm/s placer_a, _b   400031 … 400037
 * vacuum of nozzle 1 … 4, float, kPa 400039 position being placed (1 … 10; 0 none)   400040 by
 * which nozzle 400041 … 400050  which nozzle places position C1 … J1 aoi            400031 lamp,
 * float, %          ict  400031 supply, float, V rework_bench   400031 tip temperature, float, °C
 *     depanel        400031-400040 … 400061-400070  serials of the four boards, from 70 % of the
 *                    cycle on until the next scan
 *   oven
 *     400001-400010  serial of the panel that entered last; empty: not read
 *     400013-400014  panels entered, uint32        400015-400016  left, uint32
 *     400017         alarm: 1 the belt stands
 *     400022         recipe revision, 400023-400027 order: of the panel that entered last, as the
 *                    line's controller says, be it read or not
 *     400031         speed of the belt by its encoder, float, mm/s
 *     400033 … 400047  temperature of zone 1 … 8, float, °C
 *     100001 100002  sensor at the entry, at the exit: a panel is there
 *   hall
 *     300001         temperature, int16, 0.1 °C    300002         humidity, int16, 0.1 %
 */
#include "sim/plant_ports.h"

#include <math.h>

#define RESULT_PART   0.85 /* of the cycle, from when on the result is shown */
#define CHILDREN_PART 0.7
#define BOUNCE_MM0    25.0 /* a pulse that comes twice is interrupted here */
#define BOUNCE_MM1    60.0

enum quantity {
    Q_SERIAL,
    Q_STATE,
    Q_RESULT,
    Q_DONE,
    Q_FAILED,
    Q_ALARM,
    Q_PRODUCT,
    Q_REVISION,
    Q_ORDER,
    Q_CYCLE,
    Q_SQUEEGEE,
    Q_PRINT_SPEED,
    Q_VACUUM,
    Q_PLACE_POSITION,
    Q_PLACE_NOZZLE,
    Q_NOZZLE_OF,
    Q_LAMP,
    Q_SUPPLY,
    Q_TIP,
    Q_CHILD,
    Q_SPEED,
    Q_ZONE,
    Q_ENTRY,
    Q_EXIT,
    Q_ENTERED,
    Q_LEFT,
    Q_HALL_T,
    Q_HALL_RH,
    Q_EYE,
};

#define OF(m)  (1u << (m))
#define SINGLE (OF(STATIONS) - 1 - OF(OVEN))
#define BOTH   (OF(PLACER_A) | OF(PLACER_B))

const struct plant_tag plant_tags[] = {
    {"serial", SINGLE | OF(OVEN), '4', 1, TAG_TEXT, 20, Q_SERIAL, 0, NULL},
    {"cycle", SINGLE, '0', 1, TAG_BIT, 0, Q_CYCLE, 0, NULL},
    {"state", SINGLE, '4', 11, TAG_UINT16, 0, Q_STATE, 0, NULL},
    {"result", SINGLE, '4', 12, TAG_UINT16, 0, Q_RESULT, 0, NULL},
    {"done", SINGLE, '4', 13, TAG_UINT32, 0, Q_DONE, 0, NULL},
    {"failed", SINGLE, '4', 15, TAG_UINT32, 0, Q_FAILED, 0, NULL},
    {"alarm", SINGLE | OF(OVEN), '4', 17, TAG_UINT16, 0, Q_ALARM, 0, NULL},
    {"product", SINGLE, '4', 18, TAG_TEXT, 8, Q_PRODUCT, 0, NULL},
    {"recipe_rev", SINGLE | OF(OVEN), '4', 22, TAG_UINT16, 0, Q_REVISION, 0, NULL},
    {"order", SINGLE | OF(OVEN), '4', 23, TAG_TEXT, 10, Q_ORDER, 0, NULL},
    {"squeegee", OF(PRINTER), '4', 31, TAG_FLOAT, 0, Q_SQUEEGEE, 0, "N"},
    {"print_speed", OF(PRINTER), '4', 33, TAG_FLOAT, 0, Q_PRINT_SPEED, 0, "mm/s"},
    {"vacuum_1", BOTH, '4', 31, TAG_FLOAT, 0, Q_VACUUM, 0, "kPa"},
    {"vacuum_2", BOTH, '4', 33, TAG_FLOAT, 0, Q_VACUUM, 1, "kPa"},
    {"vacuum_3", BOTH, '4', 35, TAG_FLOAT, 0, Q_VACUUM, 2, "kPa"},
    {"vacuum_4", BOTH, '4', 37, TAG_FLOAT, 0, Q_VACUUM, 3, "kPa"},
    {"place_position", BOTH, '4', 39, TAG_UINT16, 0, Q_PLACE_POSITION, 0, NULL},
    {"place_nozzle", BOTH, '4', 40, TAG_UINT16, 0, Q_PLACE_NOZZLE, 0, NULL},
    {"nozzle_c1", BOTH, '4', 41, TAG_UINT16, 0, Q_NOZZLE_OF, 0, NULL},
    {"nozzle_c2", BOTH, '4', 42, TAG_UINT16, 0, Q_NOZZLE_OF, 1, NULL},
    {"nozzle_c3", BOTH, '4', 43, TAG_UINT16, 0, Q_NOZZLE_OF, 2, NULL},
    {"nozzle_c4", BOTH, '4', 44, TAG_UINT16, 0, Q_NOZZLE_OF, 3, NULL},
    {"nozzle_r1", BOTH, '4', 45, TAG_UINT16, 0, Q_NOZZLE_OF, 4, NULL},
    {"nozzle_r2", BOTH, '4', 46, TAG_UINT16, 0, Q_NOZZLE_OF, 5, NULL},
    {"nozzle_r3", BOTH, '4', 47, TAG_UINT16, 0, Q_NOZZLE_OF, 6, NULL},
    {"nozzle_u1", BOTH, '4', 48, TAG_UINT16, 0, Q_NOZZLE_OF, 7, NULL},
    {"nozzle_u2", BOTH, '4', 49, TAG_UINT16, 0, Q_NOZZLE_OF, 8, NULL},
    {"nozzle_j1", BOTH, '4', 50, TAG_UINT16, 0, Q_NOZZLE_OF, 9, NULL},
    {"lamp", OF(AOI), '4', 31, TAG_FLOAT, 0, Q_LAMP, 0, "%"},
    {"supply", OF(ICT), '4', 31, TAG_FLOAT, 0, Q_SUPPLY, 0, "V"},
    {"tip", OF(REWORK), '4', 31, TAG_FLOAT, 0, Q_TIP, 0, "°C"},
    {"child_1", OF(DEPANEL), '4', 31, TAG_TEXT, 20, Q_CHILD, 0, NULL},
    {"child_2", OF(DEPANEL), '4', 41, TAG_TEXT, 20, Q_CHILD, 1, NULL},
    {"child_3", OF(DEPANEL), '4', 51, TAG_TEXT, 20, Q_CHILD, 2, NULL},
    {"child_4", OF(DEPANEL), '4', 61, TAG_TEXT, 20, Q_CHILD, 3, NULL},
    {"entered", OF(OVEN), '4', 13, TAG_UINT32, 0, Q_ENTERED, 0, NULL},
    {"left", OF(OVEN), '4', 15, TAG_UINT32, 0, Q_LEFT, 0, NULL},
    {"speed", OF(OVEN), '4', 31, TAG_FLOAT, 0, Q_SPEED, 0, "mm/s"},
    {"zone1", OF(OVEN), '4', 33, TAG_FLOAT, 0, Q_ZONE, 0, "°C"},
    {"zone2", OF(OVEN), '4', 35, TAG_FLOAT, 0, Q_ZONE, 1, "°C"},
    {"zone3", OF(OVEN), '4', 37, TAG_FLOAT, 0, Q_ZONE, 2, "°C"},
    {"zone4", OF(OVEN), '4', 39, TAG_FLOAT, 0, Q_ZONE, 3, "°C"},
    {"zone5", OF(OVEN), '4', 41, TAG_FLOAT, 0, Q_ZONE, 4, "°C"},
    {"zone6", OF(OVEN), '4', 43, TAG_FLOAT, 0, Q_ZONE, 5, "°C"},
    {"zone7", OF(OVEN), '4', 45, TAG_FLOAT, 0, Q_ZONE, 6, "°C"},
    {"zone8", OF(OVEN), '4', 47, TAG_FLOAT, 0, Q_ZONE, 7, "°C"},
    {"entry", OF(OVEN), '1', 1, TAG_BIT, 0, Q_ENTRY, 0, NULL},
    {"exit", OF(OVEN), '1', 2, TAG_BIT, 0, Q_EXIT, 0, NULL},
    {"temperature", OF(HALL), '3', 1, TAG_TENTH, 0, Q_HALL_T, 0, "°C"},
    {"humidity", OF(HALL), '3', 2, TAG_TENTH, 0, Q_HALL_RH, 0, "%"},
    {"eye_in", SINGLE, '1', 1, TAG_BIT, 0, Q_EYE, EYE_IN, NULL},
    {"eye_out", SINGLE, '1', 2, TAG_BIT, 0, Q_EYE, EYE_OUT, NULL},
    {"eye_reject", OF(ICT), '1', 3, TAG_BIT, 0, Q_EYE, EYE_REJECT, NULL},
    {.name = NULL},
};

bool plant_tag_is_of(const struct plant_tag *tag, enum machine m, bool eyes)
{
    return (tag->machines >> m & 1) && (eyes || tag->quantity != Q_EYE);
}

/* Whether the sensor at `at` mm sees a panel. */
static bool sensor(struct plant *p, int64_t t, double at, bool entry)
{
    double mm = belt_mm(&p->belt, t);
    for (const struct unit *u = p->belt_units.first; u; u = u->next) {
        double over = mm - u->enter_mm - at;
        bool missing = entry ? u->missing_entry : u->missing_exit;
        bool twice = entry ? u->double_entry : u->double_exit;
        bool bounce = twice && over >= BOUNCE_MM0 && over < BOUNCE_MM1;
        if (over >= 0 && over < BELT_PANEL_MM && !missing && !bounce)
            return true;
    }
    return false;
}

/* How much of its cycle the station is through, 0 … 1; 0 when it does not work. */
static double cycle_part(const struct station *s, int64_t t)
{
    return s->working ? (double)(t - s->t_in) / (double)(s->t_out - s->t_in + 1) : 0;
}

static unsigned placing(const struct station *s, int64_t t)
{
    return s->working ? 1 + (unsigned)(cycle_part(s, t) * POSITIONS) : 0;
}

static unsigned nozzle_of(const struct station *s, unsigned position)
{
    const struct unit like = {.product = s->product};
    return defect_nozzle(&like, position);
}

static double noisy(const struct plant *p, const struct plant_tag *tag, enum machine m, double v,
                    double deviation, int64_t t)
{
    return v +
           deviation * air_noise(p, 1000u + (unsigned)m * 64 + tag->quantity + tag->index * 8u, t);
}

static double oven_number(struct plant *p, const struct plant_tag *tag, int64_t t)
{
    double encoder = belt_encoder(&p->belt, t);
    switch (tag->quantity) {
    case Q_SPEED:
        return noisy(p, tag, OVEN, encoder, 0.003 * fabs(encoder), t) * plant_speed(p, t);
    case Q_ZONE:
        return noisy(p, tag, OVEN, air_zone(p, tag->index, t), 0.2, t);
    case Q_ENTRY:
        return sensor(p, t, 0, true);
    case Q_EXIT:
        return sensor(p, t, BELT_EXIT_MM, false);
    case Q_REVISION:
        return p->stations[OVEN].revision;
    case Q_ENTERED:
        return p->entered;
    case Q_LEFT:
        return p->left;
    default: /* Q_ALARM */
        return encoder == 0;
    }
}

static double process_number(struct plant *p, const struct plant_tag *tag, enum machine m,
                             int64_t t)
{
    switch (tag->quantity) {
    case Q_SQUEEGEE:
        return noisy(p, tag, m, air_squeegee(p, t), 0.3, t);
    case Q_PRINT_SPEED:
        return noisy(p, tag, m, p->stations[m].product ? 55 : 50, 0.2, t);
    case Q_VACUUM:
        return noisy(p, tag, m, air_vacuum(p, m - PLACER_A, tag->index, t), 0.5, t);
    case Q_LAMP:
        return noisy(p, tag, m, 88, 0.3, t);
    case Q_SUPPLY:
        return noisy(p, tag, m, 12, 0.01, t);
    case Q_TIP:
        return noisy(p, tag, m, 350, 2, t);
    case Q_HALL_T:
        return noisy(p, tag, m, air_temperature(p, t), 0.1, t);
    case Q_HALL_RH:
        return noisy(p, tag, m, air_humidity(p, t), 0.2, t);
    default:
        return 0;
    }
}

static double station_number(struct plant *p, const struct plant_tag *tag, enum machine m,
                             int64_t t)
{
    const struct station *s = &p->stations[m];
    unsigned position = placing(s, t);
    switch (tag->quantity) {
    case Q_STATE:
        return s->working ? 2 : s->unit && s->serial[0] ? 1 : 0;
    case Q_RESULT:
        return s->working && cycle_part(s, t) < RESULT_PART ? NO_RESULT : s->result;
    case Q_DONE:
        return s->done;
    case Q_FAILED:
        return s->failed;
    case Q_REVISION:
        return s->revision;
    case Q_CYCLE:
        return s->working;
    case Q_EYE:
        return eye_sees(p, m, tag->index, t);
    case Q_PLACE_POSITION:
        return position;
    case Q_PLACE_NOZZLE:
        return position ? nozzle_of(s, position - 1) : 0;
    case Q_NOZZLE_OF:
        return nozzle_of(s, tag->index);
    default:
        return process_number(p, tag, m, t);
    }
}

static const char *text_of(const struct plant *p, const struct plant_tag *tag, enum machine m,
                           int64_t t)
{
    const struct station *s = &p->stations[m];
    switch (tag->quantity) {
    case Q_PRODUCT:
        return p->products[s->product].text;
    case Q_ORDER:
        return s->order;
    case Q_CHILD:
        return s->working && cycle_part(s, t) < CHILDREN_PART ? "" : s->children[tag->index];
    default: /* Q_SERIAL */
        return m == OVEN ? p->entry_serial : s->serial;
    }
}

struct plant_value plant_tag_value(struct plant *p, const struct plant_tag *tag, enum machine m,
                                   int64_t t)
{
    if (tag->type == TAG_TEXT)
        return (struct plant_value){.text = text_of(p, tag, m, t)};
    double number = m == OVEN   ? oven_number(p, tag, t)
                    : m == HALL ? process_number(p, tag, m, t)
                                : station_number(p, tag, m, t);
    return (struct plant_value){.number = number};
}

/* ------------------------------------------------------------------------------------- registers
 */

static void put_text(uint16_t *at, const char *text, unsigned bytes)
{
    char padded[64] = {0};
    (void)snprintf(padded, sizeof padded, "%s", text);
    for (unsigned i = 0; i < bytes / 2; i++)
        at[i] = (uint16_t)((uint8_t)padded[2 * i] << 8 | (uint8_t)padded[2 * i + 1]);
}

static void put_u32(uint16_t *at, uint32_t v)
{
    at[0] = (uint16_t)(v >> 16);
    at[1] = (uint16_t)v;
}

static void register_put(struct modbus_unit *unit, const struct plant_tag *tag,
                         struct plant_value v)
{
    unsigned at = tag->number - 1u;
    uint16_t *reg = tag->area == '3' ? unit->input + at : unit->holding + at;
    float f = (float)v.number;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    switch ((enum tag_type)tag->type) {
    case TAG_BIT:
        *(tag->area == '0' ? unit->coils + at : unit->discrete + at) = v.number != 0;
        break;
    case TAG_UINT16:
        *reg = (uint16_t)v.number;
        break;
    case TAG_TENTH:
        *reg = (uint16_t)(int16_t)lround(v.number * 10);
        break;
    case TAG_UINT32:
        put_u32(reg, (uint32_t)v.number);
        break;
    case TAG_FLOAT:
        put_u32(reg, bits);
        break;
    case TAG_TEXT:
        put_text(reg, v.text, tag->bytes);
        break;
    }
}

void plant_registers(struct plant *p, enum machine m, int64_t t, struct modbus_unit *unit)
{
    for (const struct plant_tag *tag = plant_tags; tag->name; tag++) {
        if (plant_tag_is_of(tag, m, p->scenario.eyes))
            register_put(unit, tag, plant_tag_value(p, tag, m, t));
    }
}
