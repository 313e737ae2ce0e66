/* Which registers are read together.
 *
 * Tags are sorted by where they lie, and a request grows as long as the next tag of the same unit
 * and area begins at most `gap_max` registers behind its end and the whole stays within what one
 * request may ask (125 registers, 2,000 bits). Two bytes more in an answer cost next to nothing, a
 * further round trip costs milliseconds on most controllers. Where a device refuses such a request
 * because of what lies in a gap, the host asks for parts of it and remembers the split.
 */
#include "gateway/drivers/modbus/modbus.h"

#include <stdlib.h>

#define REGISTER_BITS 16u

struct place {
    uint64_t key; /* unit, area, start, count: the order of reading */
    uint32_t tag;
};

static uint64_t place_key(const struct modbus_address *a)
{
    return (uint64_t)a->unit << 40 | (uint64_t)a->area << 32 | (uint64_t)a->start << 16 | a->count;
}

static int place_compare(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static uint8_t function_of(uint8_t area)
{
    static const uint8_t functions[] = {
        [MODBUS_COIL] = MODBUS_READ_COILS,
        [MODBUS_DISCRETE] = MODBUS_READ_DISCRETE,
        [MODBUS_INPUT] = MODBUS_READ_INPUT,
        [MODBUS_HOLDING] = MODBUS_READ_HOLDING,
    };
    return functions[area];
}

static void step_text(const struct modbus_address *a, struct lotline_step *s)
{
    s->kind = LOTLINE_STEP_TEXT;
    s->len = a->len;
    s->stride = a->text >= MODBUS_TEXT_LOW_ONLY ? 2 : 1;
    s->order = a->text == MODBUS_TEXT_LOW || a->text == MODBUS_TEXT_LOW_ONLY;
}

static void step_bit(const struct modbus_address *a, uint32_t at, struct lotline_step *s)
{
    s->kind = LOTLINE_STEP_BIT;
    if (modbus_area_is_bits(a->area)) {
        s->offset = at / 8;
        s->bit = at % 8;
    } else if (a->bit != MODBUS_NO_BIT) {
        s->offset = at * 2 + (a->bit < 8);
        s->bit = a->bit % 8;
    } else {
        s->kind = LOTLINE_STEP_NONZERO;
        s->len = 2;
    }
}

/* at: registers or bits behind the start of the request. */
static struct lotline_step step_of(const struct modbus_address *a, uint32_t tag, uint32_t at)
{
    struct lotline_step s = {
        .tag = tag, .offset = at * 2, .len = (uint16_t)(a->count * 2), .order = a->order};
    switch ((enum lotline_type)a->type) {
    case LOTLINE_BIT:
    case LOTLINE_BOOL:
        step_bit(a, at, &s);
        break;
    case LOTLINE_STRING:
        step_text(a, &s);
        break;
    case LOTLINE_BYTES:
        s.kind = LOTLINE_STEP_BYTES;
        break;
    case LOTLINE_FLOAT:
        s.kind = LOTLINE_STEP_FLOAT;
        break;
    case LOTLINE_DOUBLE:
        s.kind = LOTLINE_STEP_DOUBLE;
        break;
    case LOTLINE_INT8:
    case LOTLINE_INT16:
    case LOTLINE_INT32:
    case LOTLINE_INT64:
        s.kind = LOTLINE_STEP_INT;
        break;
    case LOTLINE_UINT8:
    case LOTLINE_UINT16:
    case LOTLINE_UINT32:
    case LOTLINE_UINT64:
        s.kind = LOTLINE_STEP_UINT;
        break;
    }
    return s;
}

/* How many of places[0..count) one request takes; *ret_end is where it ends. */
static uint32_t request_extent(const struct modbus_options *options, const void *const *addresses,
                               const struct place *places, uint32_t count, uint32_t *ret_end)
{
    const struct modbus_address *first = addresses[places[0].tag];
    bool bits = modbus_area_is_bits(first->area);
    uint32_t limit = bits ? MODBUS_READ_BITS_MAX : MODBUS_READ_REGISTERS_MAX;
    uint64_t gap = options->gap_max * (bits ? REGISTER_BITS : 1);
    uint32_t end = (uint32_t)first->start + first->count;
    uint32_t taken = 1;
    for (; taken < count; taken++) {
        const struct modbus_address *a = addresses[places[taken].tag];
        uint32_t a_end = (uint32_t)a->start + a->count;
        uint32_t new_end = a_end > end ? a_end : end;
        if (a->unit != first->unit || a->area != first->area || a->start > end + gap ||
            new_end - first->start > limit)
            break;
        end = new_end;
    }
    *ret_end = end;
    return taken;
}

static bool request_add(const struct modbus_options *options, const void *const *addresses,
                        const struct place *places, uint32_t count, uint32_t *ret_taken,
                        struct lotline_planner *planner)
{
    const struct modbus_address *first = addresses[places[0].tag];
    uint32_t end = 0;
    uint32_t taken = request_extent(options, addresses, places, count, &end);
    struct modbus_read read = {.start = first->start,
                               .count = (uint16_t)(end - first->start),
                               .unit = first->unit,
                               .function = function_of(first->area)};
    if (!planner->request(planner, &read, first->unit))
        return false;
    for (uint32_t i = 0; i < taken; i++) {
        const struct modbus_address *a = addresses[places[i].tag];
        struct lotline_step s = step_of(a, places[i].tag, (uint32_t)(a->start - first->start));
        if (!planner->step(planner, &s))
            return false;
    }
    *ret_taken = taken;
    return true;
}

int modbus_plan(const void *options, const void *const *addresses, uint32_t count,
                struct lotline_planner *planner)
{
    if (count == 0)
        return 0;
    struct place *places = malloc(count * sizeof *places);
    if (!places)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        places[i] = (struct place){place_key(addresses[i]), i};
    qsort(places, count, sizeof *places, place_compare);
    int rc = 0;
    for (uint32_t at = 0; at < count && rc == 0;) {
        uint32_t taken = 0;
        if (!request_add(options, addresses, places + at, count - at, &taken, planner))
            rc = -1;
        at += taken;
    }
    free(places);
    return rc;
}
