/* Which tags share a request, and where each lies in its answer. */
#include "gateway/drivers/modbus/modbus.h"
#include "tests/support/check.h"

#define READS_MAX 16
#define TAGS_MAX  200

struct recorder {
    struct lotline_planner api;
    struct modbus_read reads[READS_MAX];
    uint32_t read_count;
    struct lotline_step steps[TAGS_MAX]; /* by tag */
    uint32_t step_read[TAGS_MAX];
    uint32_t step_count;
    uint32_t give_up_after;
};

static bool record_request(struct lotline_planner *api, const void *request, uint32_t peer)
{
    struct recorder *r = (struct recorder *)api;
    const struct modbus_read *read = request;
    CHECK_EQ(peer, read->unit);
    CHECK(r->read_count < READS_MAX);
    r->reads[r->read_count++] = *read;
    return r->give_up_after == 0 || r->read_count < r->give_up_after;
}

static bool record_step(struct lotline_planner *api, const struct lotline_step *step)
{
    struct recorder *r = (struct recorder *)api;
    CHECK(step->tag < TAGS_MAX);
    r->steps[step->tag] = *step;
    r->step_read[step->tag] = r->read_count - 1;
    r->step_count++;
    return true;
}

static const struct modbus_options defaults = {.gap_max = 8};

static int plan(const struct modbus_options *o, const struct modbus_address *tags, uint32_t count,
                struct recorder *r)
{
    static const void *at[TAGS_MAX];
    uint32_t give_up_after = r->give_up_after;
    *r = (struct recorder){.api = {sizeof r->api, record_request, record_step},
                           .give_up_after = give_up_after};
    for (uint32_t i = 0; i < count; i++)
        at[i] = &tags[i];
    int rc = modbus_plan(o, at, count, &r->api);
    if (rc == 0)
        CHECK_EQ(r->step_count, count);
    return rc;
}

static struct modbus_address reg(uint8_t unit, uint16_t start, uint16_t count, uint8_t type)
{
    return (struct modbus_address){.unit = unit,
                                   .area = MODBUS_HOLDING,
                                   .start = start,
                                   .count = count,
                                   .type = type,
                                   .bit = MODBUS_NO_BIT};
}

static struct modbus_address coil(uint16_t start)
{
    return (struct modbus_address){.unit = 1,
                                   .area = MODBUS_COIL,
                                   .start = start,
                                   .count = 1,
                                   .type = LOTLINE_BIT,
                                   .bit = MODBUS_NO_BIT};
}

TEST(neighbours_share_a_request)
{
    struct recorder r = {0};
    struct modbus_address tags[3] = {reg(1, 2, 1, LOTLINE_INT16), reg(1, 0, 1, LOTLINE_INT16),
                                     reg(1, 1, 1, LOTLINE_INT16)};
    CHECK_OK(plan(&defaults, tags, 3, &r));
    CHECK_EQ(r.read_count, 1);
    CHECK_EQ(r.reads[0].start, 0);
    CHECK_EQ(r.reads[0].count, 3);
    CHECK_EQ(r.reads[0].function, MODBUS_READ_HOLDING);
    CHECK_EQ(r.steps[0].offset, 4);
    CHECK_EQ(r.steps[1].offset, 0);
}

TEST(gaps_up_to_the_limit_are_read_over)
{
    struct recorder r = {0};
    struct modbus_address tags[2] = {reg(1, 0, 1, LOTLINE_INT16), reg(1, 9, 1, LOTLINE_INT16)};
    CHECK_OK(plan(&defaults, tags, 2, &r));
    CHECK_EQ(r.read_count, 1);
    CHECK_EQ(r.reads[0].count, 10);
    tags[1].start = 10;
    CHECK_OK(plan(&defaults, tags, 2, &r));
    CHECK_EQ(r.read_count, 2);
    const struct modbus_options tight = {.gap_max = 0};
    tags[1].start = 2;
    CHECK_OK(plan(&tight, tags, 2, &r));
    CHECK_EQ(r.read_count, 2);
}

TEST(a_request_carries_125_registers_or_2000_bits)
{
    struct recorder r = {0};
    static struct modbus_address tags[200];
    for (uint16_t i = 0; i < 200; i++)
        tags[i] = reg(1, i, 1, LOTLINE_INT16);
    CHECK_OK(plan(&defaults, tags, 200, &r));
    CHECK_EQ(r.read_count, 2);
    CHECK_EQ(r.reads[0].count, 125);
    CHECK_EQ(r.reads[1].count, 75);
    struct modbus_address bits[2] = {coil(0), coil(1999)};
    const struct modbus_options wide = {.gap_max = 125};
    CHECK_OK(plan(&wide, bits, 2, &r));
    CHECK_EQ(r.reads[0].count, 2000);
    bits[1].start = 2000;
    CHECK_OK(plan(&wide, bits, 2, &r));
    CHECK_EQ(r.read_count, 2);
}

TEST(a_value_is_never_cut)
{
    struct recorder r = {0};
    struct modbus_address tags[63];
    for (uint16_t i = 0; i < 63; i++)
        tags[i] = reg(1, (uint16_t)(i * 2), 2, LOTLINE_FLOAT);
    CHECK_OK(plan(&defaults, tags, 63, &r));
    CHECK_EQ(r.reads[0].count, 124);
    CHECK_EQ(r.reads[1].start, 124);
    CHECK_EQ(r.reads[1].count, 2);
}

TEST(units_and_areas_are_never_merged)
{
    struct recorder r = {0};
    struct modbus_address tags[3] = {reg(1, 0, 1, LOTLINE_INT16), reg(2, 1, 1, LOTLINE_INT16),
                                     reg(1, 1, 1, LOTLINE_INT16)};
    tags[2].area = MODBUS_INPUT;
    CHECK_OK(plan(&defaults, tags, 3, &r));
    CHECK_EQ(r.read_count, 3);
    CHECK_EQ(r.reads[0].function, MODBUS_READ_INPUT);
    CHECK_EQ(r.reads[2].unit, 2);
}

TEST(overlapping_tags_lie_in_the_same_answer)
{
    struct recorder r = {0};
    struct modbus_address tags[3] = {reg(1, 0, 4, LOTLINE_DOUBLE), reg(1, 1, 1, LOTLINE_INT16),
                                     reg(1, 3, 2, LOTLINE_FLOAT)};
    CHECK_OK(plan(&defaults, tags, 3, &r));
    CHECK_EQ(r.read_count, 1);
    CHECK_EQ(r.reads[0].count, 5);
    CHECK_EQ(r.steps[1].offset, 2);
    CHECK_EQ(r.steps[2].offset, 6);
}

TEST(steps_say_where_a_value_lies)
{
    struct recorder r = {0};
    struct modbus_address tags[6] = {coil(3),
                                     coil(12),
                                     reg(1, 0, 1, LOTLINE_BIT),
                                     reg(1, 1, 1, LOTLINE_BOOL),
                                     reg(1, 2, 3, LOTLINE_STRING),
                                     reg(1, 5, 4, LOTLINE_STRING)};
    tags[2].bit = 9;
    tags[4].len = 5;
    tags[4].text = MODBUS_TEXT_LOW;
    tags[5].len = 4;
    tags[5].text = MODBUS_TEXT_LOW_ONLY;
    CHECK_OK(plan(&defaults, tags, 6, &r));
    CHECK_EQ(r.steps[0].kind, LOTLINE_STEP_BIT);
    CHECK_EQ(r.steps[0].bit, 0);
    CHECK_EQ(r.steps[1].offset, 1);
    CHECK_EQ(r.steps[1].bit, 1);
    CHECK_EQ(r.steps[2].offset, 0); /* bit 9 is in the high byte, which comes first */
    CHECK_EQ(r.steps[2].bit, 1);
    CHECK_EQ(r.steps[3].kind, LOTLINE_STEP_NONZERO);
    CHECK_EQ(r.steps[4].len, 5);
    CHECK_EQ(r.steps[4].order, 1);
    CHECK_EQ(r.steps[5].stride, 2);
    CHECK_EQ(r.steps[5].offset, 10);
}

TEST(planning_stops_when_the_host_has_no_memory)
{
    struct recorder r = {.give_up_after = 1};
    struct modbus_address tags[2] = {reg(1, 0, 1, LOTLINE_INT16), reg(1, 100, 1, LOTLINE_INT16)};
    CHECK_EQ(plan(&defaults, tags, 2, &r), -1);
    r.give_up_after = 0;
    CHECK_OK(plan(&defaults, tags, 0, &r));
    CHECK_EQ(r.read_count, 0);
}
