/* The notation, row by row of the table it comes from, and what must be refused. */
#include "gateway/drivers/modbus/modbus.h"
#include "tests/support/check.h"

struct row {
    const char *address;
    uint32_t type;
    uint8_t unit;
    uint8_t area;
    uint16_t start;
    uint16_t count;
    uint8_t order;
    uint8_t bit;
};

static const struct modbus_options one_based = {.gap_max = 8};
static const struct modbus_options zero_based = {.gap_max = 8, .base = 1};

static int parse(const struct modbus_options *o, const char *address, uint32_t type,
                 const char *order, struct modbus_address *ret)
{
    struct lotline_tag tag = {.address = address, .type = type, .order = order};
    struct lotline_error error = {""};
    int rc = modbus_address_parse(o, &tag, ret, &error);
    if (rc)
        CHECK(error.text[0] != 0);
    return rc;
}

static void check_row(const struct modbus_options *o, const struct row *r)
{
    struct modbus_address a = {0};
    if (parse(o, r->address, r->type, NULL, &a))
        check_fail_at(__FILE__, __LINE__, "refused: %s", r->address);
    CHECK_EQ(a.unit, r->unit);
    CHECK_EQ(a.area, r->area);
    CHECK_EQ(a.start, r->start);
    CHECK_EQ(a.count, r->count);
    CHECK_EQ(a.order, r->order);
    CHECK_EQ(a.bit, r->bit);
}

TEST(addresses_count_from_one)
{
    static const struct row rows[] = {
        {"1!400001", LOTLINE_INT16, 1, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"1!00001", LOTLINE_BIT, 1, MODBUS_COIL, 0, 1, 0, MODBUS_NO_BIT},
        {"1!000001", LOTLINE_BIT, 1, MODBUS_COIL, 0, 1, 0, MODBUS_NO_BIT},
        {"1!01", LOTLINE_BOOL, 1, MODBUS_COIL, 0, 1, 0, MODBUS_NO_BIT},
        {"1!100010", LOTLINE_BIT, 1, MODBUS_DISCRETE, 9, 1, 0, MODBUS_NO_BIT},
        {"1!300004", LOTLINE_UINT16, 1, MODBUS_INPUT, 3, 1, 0, MODBUS_NO_BIT},
        {"1!465536", LOTLINE_INT16, 1, MODBUS_HOLDING, 65535, 1, 0, MODBUS_NO_BIT},
        {"255!400001", LOTLINE_INT16, 255, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"0!400001", LOTLINE_INT16, 0, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"1!400001.15", LOTLINE_BIT, 1, MODBUS_HOLDING, 0, 1, 0, 15},
        {"1!400001.0", LOTLINE_BOOL, 1, MODBUS_HOLDING, 0, 1, 0, 0},
        {"1!300001.3", LOTLINE_BIT, 1, MODBUS_INPUT, 0, 1, 0, 3},
        {"1!400001.3#B", LOTLINE_BIT, 1, MODBUS_HOLDING, 0, 1, 1, 11},
        {"1!400001", LOTLINE_BOOL, 1, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"1!000001.7", LOTLINE_BIT, 1, MODBUS_COIL, 7, 1, 0, MODBUS_NO_BIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&one_based, &rows[i]);
}

TEST(addresses_count_from_zero)
{
    static const struct row rows[] = {
        {"1!400000", LOTLINE_INT16, 1, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"1!465535", LOTLINE_INT16, 1, MODBUS_HOLDING, 65535, 1, 0, MODBUS_NO_BIT},
        {"1!465536", LOTLINE_INT16, 1, MODBUS_HOLDING, 65535, 1, 0, MODBUS_NO_BIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&zero_based, &rows[i]);
}

TEST(suffixes_name_byte_orders)
{
    static const struct row rows[] = {
        {"1!400001#L", LOTLINE_UINT16, 1, MODBUS_HOLDING, 0, 1, 0, MODBUS_NO_BIT},
        {"1!400001#B", LOTLINE_UINT16, 1, MODBUS_HOLDING, 0, 1, 1, MODBUS_NO_BIT},
        {"1!400001#LL", LOTLINE_FLOAT, 1, MODBUS_HOLDING, 0, 2, 0, MODBUS_NO_BIT},
        {"1!400001#LB", LOTLINE_INT32, 1, MODBUS_HOLDING, 0, 2, 1, MODBUS_NO_BIT},
        {"1!400001#BB", LOTLINE_UINT32, 1, MODBUS_HOLDING, 0, 2, 3, MODBUS_NO_BIT},
        {"1!400001#BL", LOTLINE_UINT32, 1, MODBUS_HOLDING, 0, 2, 2, MODBUS_NO_BIT},
        {"1!400001#LL", LOTLINE_DOUBLE, 1, MODBUS_HOLDING, 0, 4, 0, MODBUS_NO_BIT},
        {"1!400001#LB", LOTLINE_INT64, 1, MODBUS_HOLDING, 0, 4, 1, MODBUS_NO_BIT},
        {"1!400001#BB", LOTLINE_INT64, 1, MODBUS_HOLDING, 0, 4, 7, MODBUS_NO_BIT},
        {"1!400001#BL", LOTLINE_INT64, 1, MODBUS_HOLDING, 0, 4, 6, MODBUS_NO_BIT},
        {"1!400001#WS", LOTLINE_UINT64, 1, MODBUS_HOLDING, 0, 4, 2, MODBUS_NO_BIT},
        {"1!400001#WR", LOTLINE_UINT64, 1, MODBUS_HOLDING, 0, 4, 4, MODBUS_NO_BIT},
        {"1!400001#B", LOTLINE_UINT64, 1, MODBUS_HOLDING, 0, 4, 7, MODBUS_NO_BIT},
        {"1!400001#L", LOTLINE_UINT64, 1, MODBUS_HOLDING, 0, 4, 0, MODBUS_NO_BIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_row(&one_based, &rows[i]);
}

static uint8_t order_of(const struct modbus_options *o, uint32_t type, const char *order)
{
    struct modbus_address a = {0};
    CHECK_OK(parse(o, "1!400001", type, order, &a));
    return a.order;
}

TEST(the_order_key_names_byte_orders)
{
    CHECK_EQ(order_of(&one_based, LOTLINE_INT16, "BA"), 1);
    CHECK_EQ(order_of(&one_based, LOTLINE_FLOAT, "ABCD"), 0);
    CHECK_EQ(order_of(&one_based, LOTLINE_FLOAT, "badc"), 1);
    CHECK_EQ(order_of(&one_based, LOTLINE_FLOAT, "DCBA"), 3);
    CHECK_EQ(order_of(&one_based, LOTLINE_FLOAT, "CDAB"), 2);
    CHECK_EQ(order_of(&one_based, LOTLINE_DOUBLE, "CDAB"), 6);
    CHECK_EQ(order_of(&one_based, LOTLINE_DOUBLE, "DCBA"), 7);
    CHECK_EQ(order_of(&one_based, LOTLINE_INT64, "34127856"), 2);
    CHECK_EQ(order_of(&one_based, LOTLINE_INT64, "EFGHABCD"), 4);
}

TEST(the_device_has_an_order_for_tags_without_one)
{
    const struct modbus_options o = {.order16 = 1, .order32 = 3, .order64 = 0};
    const struct modbus_options wide = {.order32 = 3, .order64 = 5};
    struct modbus_address a = {0};
    CHECK_EQ(order_of(&o, LOTLINE_INT16, NULL), 1);
    CHECK_EQ(order_of(&o, LOTLINE_FLOAT, NULL), 2);
    CHECK_EQ(order_of(&o, LOTLINE_DOUBLE, NULL), 6);
    CHECK_EQ(order_of(&wide, LOTLINE_DOUBLE, NULL), 2);
    CHECK_OK(parse(&o, "1!400001#LL", LOTLINE_FLOAT, NULL, &a));
    CHECK_EQ(a.order, 0);
}

TEST(strings_and_bytes_have_lengths)
{
    struct modbus_address a = {0};
    CHECK_OK(parse(&one_based, "1!400001.10H", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.count, 5);
    CHECK_EQ(a.text, MODBUS_TEXT_HIGH);
    CHECK_OK(parse(&one_based, "1!400001.10", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.text, MODBUS_TEXT_HIGH);
    CHECK_OK(parse(&one_based, "1!400001.10L", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.text, MODBUS_TEXT_LOW);
    CHECK_OK(parse(&one_based, "1!400001.11", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.count, 6);
    CHECK_EQ(a.len, 11);
    CHECK_OK(parse(&one_based, "1!400001.10D", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.count, 10);
    CHECK_OK(parse(&one_based, "1!400001.10E", LOTLINE_STRING, NULL, &a));
    CHECK_EQ(a.text, MODBUS_TEXT_HIGH_ONLY);
    CHECK_OK(parse(&one_based, "1!400001.127", LOTLINE_STRING, NULL, &a));
    CHECK_OK(parse(&one_based, "1!400001.4", LOTLINE_BYTES, NULL, &a));
    CHECK_EQ(a.count, 2);
    CHECK_OK(parse(&one_based, "1!400001.128", LOTLINE_BYTES, NULL, &a));
    CHECK_EQ(a.count, 64);
}

TEST(what_is_no_address_is_refused)
{
    static const struct {
        const char *address;
        uint32_t type;
        const char *order;
    } bad[] = {
        {"", LOTLINE_INT16, NULL},
        {"400001", LOTLINE_INT16, NULL},
        {"!400001", LOTLINE_INT16, NULL},
        {"1!", LOTLINE_INT16, NULL},
        {"1!4", LOTLINE_INT16, NULL},
        {"1!x00001", LOTLINE_INT16, NULL},
        {"300!400001", LOTLINE_INT16, NULL},
        {"1!400000", LOTLINE_INT16, NULL},
        {"1!465537", LOTLINE_INT16, NULL},
        {"1!465536", LOTLINE_FLOAT, NULL},
        {"1!200001", LOTLINE_INT16, NULL},
        {"1!500001", LOTLINE_INT16, NULL},
        {"1!400001.16", LOTLINE_BIT, NULL},
        {"1!400001", LOTLINE_BIT, NULL},
        {"1!000001.8", LOTLINE_BIT, NULL},
        {"1!000001", LOTLINE_INT16, NULL},
        {"1!000001#B", LOTLINE_BIT, NULL},
        {"1!065536.1", LOTLINE_BIT, NULL},
        {"1!400001.3", LOTLINE_INT16, NULL},
        {"1!400001#XX", LOTLINE_FLOAT, NULL},
        {"1!400001#LL", LOTLINE_INT16, NULL},
        {"1!400001#WS", LOTLINE_FLOAT, NULL},
        {"1!400001#LL", LOTLINE_FLOAT, "ABCD"}, /* a suffix and the key */
        {"1!400001", LOTLINE_FLOAT, "AB"},
        {"1!400001", LOTLINE_INT16, "ABCD"},
        {"1!400001", LOTLINE_INT8, NULL},
        {"1!400001", LOTLINE_STRING, NULL},
        {"1!400001.0", LOTLINE_STRING, NULL},
        {"1!400001.128", LOTLINE_STRING, NULL},
        {"1!400001.10X", LOTLINE_STRING, NULL},
        {"1!400001.10#LL", LOTLINE_STRING, NULL},
        {"1!400001.10", LOTLINE_STRING, "ABCD"},
        {"1!400001.127D", LOTLINE_STRING, NULL},
        {"1!400001.3", LOTLINE_BYTES, NULL},
        {"1!400001.130", LOTLINE_BYTES, NULL},
        {"1!400001", LOTLINE_BYTES, NULL},
        {"1!400001.4", LOTLINE_BYTES, "AB"},
        {"1!400001.", LOTLINE_INT16, NULL},
        {"1!400001.1.2", LOTLINE_BIT, NULL},
        {"1!400001#L#B", LOTLINE_INT16, NULL},
        {"1!400001 ", LOTLINE_INT16, NULL},
        {"1!4000011111111111111111111", LOTLINE_INT16, NULL},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct modbus_address a = {.unit = 77};
        if (!parse(&one_based, bad[i].address, bad[i].type, bad[i].order, &a))
            check_fail_at(__FILE__, __LINE__, "let through: %s", bad[i].address);
        CHECK_EQ(a.unit, 77);
    }
}
