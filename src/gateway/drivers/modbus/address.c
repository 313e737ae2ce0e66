/* The notation of Modbus addresses: UNIT!AREA+NUMBER[.BIT][#ORDER][.LEN[H|L|D|E]][.BYTES]
 *
 * It is Neuron's, so that its users' tag lists work as they are. The first digit after the "!"
 * names the area (0 coil, 1 discrete input, 3 input register, 4 holding register), and all digits
 * behind it are the number, so that 1!00001, 1!000001 and 1!01 are one coil. Numbers count from 1
 * as on the controllers' own sheets, or from 0 with `base: 0`.
 *
 * Byte orders: every order that the notation can express is an exclusive or of the byte's index
 * (driver.h), so an address holds the order as one small number and nothing ever branches on names.
 */
#include "base/str.h"
#include "gateway/drivers/modbus/modbus.h"

#include <stdarg.h>
#include <stdio.h>

#define REGISTER_BITS 16u
#define COIL_BITS     8u
#define NUMBER_MAX    65535u

/* One order by each of its names: the suffix, the key's, and the letters for eight bytes. */
struct order {
    const char *suffix;
    const char *key;
    const char *letters;
    uint8_t order;
};

static const struct order orders_16[] = {{"L", "AB", NULL, 0}, {"B", "BA", NULL, 1}, {0}};

static const struct order orders_32[] = {
    {"LL", "ABCD", NULL, 0},
    {"LB", "BADC", NULL, 1},
    {"BB", "DCBA", NULL, 3},
    {"BL", "CDAB", NULL, 2},
    {0},
};

/* The four-letter orders mean the same for eight bytes: words first or last, bytes swapped or not.
 */
static const struct order orders_64[] = {
    {"LL", "12345678", "ABCDEFGH", 0},
    {"LB", "21436587", "BADCFEHG", 1},
    {"BB", "87654321", "HGFEDCBA", 7},
    {"BL", "78563412", "GHEFCDAB", 6},
    {"WS", "34127856", "CDABGHEF", 2},
    {"WR", "56781234", "EFGHABCD", 4},
    {"L", "ABCD", NULL, 0},
    {"B", "DCBA", NULL, 7},
    {NULL, "BADC", NULL, 1},
    {NULL, "CDAB", NULL, 6},
    {0},
};

int modbus_error(struct lotline_error *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return -1;
}

/* ---------------------------------------------------------------------------------------- orders
 */

/* Registers of a number, 0 for what is not a number of whole registers. */
static uint16_t number_registers(uint32_t type)
{
    switch ((enum lotline_type)type) {
    case LOTLINE_INT16:
    case LOTLINE_UINT16:
        return 1;
    case LOTLINE_INT32:
    case LOTLINE_UINT32:
    case LOTLINE_FLOAT:
        return 2;
    case LOTLINE_INT64:
    case LOTLINE_UINT64:
    case LOTLINE_DOUBLE:
        return 4;
    case LOTLINE_BIT:
    case LOTLINE_BOOL:
    case LOTLINE_INT8:
    case LOTLINE_UINT8:
    case LOTLINE_STRING:
    case LOTLINE_BYTES:
        break;
    }
    return 0;
}

static const struct order *orders_of(uint16_t registers)
{
    if (registers == 1)
        return orders_16;
    return registers == 2 ? orders_32 : orders_64;
}

static bool order_find(const struct order *table, struct bytes name, bool key, uint8_t *ret)
{
    for (; table->suffix || table->key; table++) {
        bool hit = table->suffix && str_equal_nocase(name, table->suffix);
        if (key && table->key)
            hit = hit || str_equal_nocase(name, table->key);
        if (key && table->letters)
            hit = hit || str_equal_nocase(name, table->letters);
        if (hit) {
            *ret = table->order;
            return true;
        }
    }
    return false;
}

/* The tables are in the order of the choices in modbus.c. */
static uint8_t order_default(const struct modbus_options *options, uint16_t registers)
{
    static const uint8_t by_16[] = {0, 1};
    static const uint8_t by_32[] = {0, 1, 3, 2};
    static const uint8_t by_64[] = {0, 1, 7, 6, 2, 4};
    if (registers == 1)
        return by_16[options->order16];
    if (registers == 2)
        return by_32[options->order32];
    return by_64[options->order64 ? options->order64 - 1 : options->order32];
}

/* registers: of the number whose bytes are ordered; suffix may be empty. */
static int order_set(const struct modbus_options *options, const struct lotline_tag *tag,
                     struct bytes suffix, uint16_t registers, struct modbus_address *a,
                     struct lotline_error *error)
{
    if (tag->order && suffix.len > 0)
        return modbus_error(error, "%s has a byte order already: leave out `order:` or the #suffix",
                            tag->address);
    const struct order *table = orders_of(registers);
    if (suffix.len > 0 && !order_find(table, suffix, false, &a->order)) {
        return modbus_error(error, "#%.*s is no byte order of %u bytes; write %s", (int)suffix.len,
                            (const char *)suffix.ptr, registers * 2u,
                            registers == 1   ? "#L or #B"
                            : registers == 2 ? "#LL, #LB, #BB or #BL"
                                             : "#LL, #LB, #BB, #BL, #WS, #WR, #B or #L");
    }
    if (tag->order && !order_find(table, bytes_of_text(tag->order), true, &a->order)) {
        return modbus_error(error, "\"%s\" is no byte order of %u bytes; write %s", tag->order,
                            registers * 2u,
                            registers == 1   ? "AB or BA"
                            : registers == 2 ? "ABCD, BADC, DCBA or CDAB"
                                             : "12345678, 21436587, 87654321, 78563412, 34127856, "
                                               "56781234, ABCD, BADC, DCBA or CDAB");
    }
    if (!tag->order && suffix.len == 0)
        a->order = order_default(options, registers);
    return 0;
}

/* ----------------------------------------------------------------------------------------- parts
 */

/* The pieces of the text, as views: 1 ! 4 00001 . 15 # LL . 10H */
struct parts {
    struct bytes unit;
    struct bytes number; /* with the area's digit */
    struct bytes dot;    /* after a "." */
    struct bytes order;  /* after the "#" */
    bool has_dot;
};

static struct bytes digits_take(struct bytes *text)
{
    size_t n = 0;
    while (n < text->len && text->ptr[n] >= '0' && text->ptr[n] <= '9')
        n++;
    struct bytes head = bytes_of(text->ptr, n);
    *text = bytes_of(text->ptr + n, text->len - n);
    return head;
}

static struct bytes word_take(struct bytes *text)
{
    size_t n = 0;
    while (n < text->len && text->ptr[n] != '.' && text->ptr[n] != '#')
        n++;
    struct bytes head = bytes_of(text->ptr, n);
    *text = bytes_of(text->ptr + n, text->len - n);
    return head;
}

static int parts_take(const char *address, struct parts *p, struct lotline_error *error)
{
    struct bytes text = bytes_of_text(address);
    *p = (struct parts){0};
    p->unit = digits_take(&text);
    if (p->unit.len == 0 || text.len == 0 || text.ptr[0] != '!')
        return modbus_error(error, "\"%s\" is no Modbus address: write UNIT!NUMBER, as in 1!400001",
                            address);
    text = bytes_of(text.ptr + 1, text.len - 1);
    p->number = digits_take(&text);
    while (text.len > 0) {
        uint8_t mark = text.ptr[0];
        text = bytes_of(text.ptr + 1, text.len - 1);
        struct bytes word = word_take(&text);
        bool twice = mark == '#' ? p->order.len > 0 : p->has_dot;
        if ((mark != '.' && mark != '#') || word.len == 0 || twice)
            return modbus_error(
                error, "\"%s\" does not end as an address may: .BIT, #ORDER or .LENGTH", address);
        if (mark == '#')
            p->order = word;
        else
            p->dot = word;
        p->has_dot = p->has_dot || mark == '.';
    }
    return 0;
}

static int unit_and_start(const struct modbus_options *options, const struct parts *p,
                          const char *text, struct modbus_address *a, struct lotline_error *error)
{
    uint64_t unit = 0;
    uint64_t number = 0;
    if (str_to_u64(p->unit, &unit) || unit > UINT8_MAX)
        return modbus_error(error, "unit %.*s of \"%s\" is not 0 to 255", (int)p->unit.len,
                            (const char *)p->unit.ptr, text);
    if (p->number.len < 2)
        return modbus_error(error, "\"%s\" lacks the area or the number: write 1!400001", text);
    a->unit = (uint8_t)unit;
    a->area = (uint8_t)(p->number.ptr[0] - '0');
    if (a->area == 2 || a->area > MODBUS_HOLDING) {
        return modbus_error(error,
                            "area %u of \"%s\" is none of 0 (coils), 1 (discrete inputs), 3 (input "
                            "registers), 4 (holding registers)",
                            a->area, text);
    }
    unsigned base = options->base == 0 ? 1 : 0;
    struct bytes rest = bytes_of(p->number.ptr + 1, p->number.len - 1);
    if (str_to_u64(rest, &number) || number > NUMBER_MAX + 1 || number < base)
        return modbus_error(error, "number %.*s of \"%s\" is not %u to 65536", (int)rest.len,
                            (const char *)rest.ptr, text, base);
    number -= base;
    a->start = (uint16_t)(number > NUMBER_MAX ? NUMBER_MAX : number);
    return 0;
}

/* ----------------------------------------------------------------------------------------- types
 */

static int bits_parse(const struct modbus_options *options, const struct lotline_tag *tag,
                      const struct parts *p, struct modbus_address *a, struct lotline_error *error)
{
    bool coils = modbus_area_is_bits(a->area);
    uint64_t bit = 0;
    unsigned limit = coils ? COIL_BITS : REGISTER_BITS;
    a->count = 1;
    if (p->has_dot && (str_to_u64(p->dot, &bit) || bit >= limit))
        return modbus_error(error, "bit .%.*s of \"%s\" is not 0 to %u", (int)p->dot.len,
                            (const char *)p->dot.ptr, tag->address, limit - 1);
    if (coils) {
        if (p->order.len > 0 || tag->order)
            return modbus_error(error, "\"%s\" is a single bit and has no byte order",
                                tag->address);
        if (a->start + bit > NUMBER_MAX)
            return modbus_error(error, "\"%s\" lies beyond the last coil", tag->address);
        a->start = (uint16_t)(a->start + bit);
        return 0;
    }
    if (!p->has_dot && tag->type == LOTLINE_BIT)
        return modbus_error(error, "\"%s\" is a register: say which bit, as in %s.0", tag->address,
                            tag->address);
    if (order_set(options, tag, p->order, 1, a, error))
        return -1;
    if (p->has_dot)
        a->bit = (uint8_t)(a->order ? bit ^ 8u : bit);
    return 0;
}

static int text_parse(const struct lotline_tag *tag, const struct parts *p,
                      struct modbus_address *a, struct lotline_error *error)
{
    static const char modes[] = "HLDE";
    uint64_t len = 0;
    struct bytes digits = p->dot;
    const char *mode = modes;
    if (p->order.len > 0 || tag->order)
        return modbus_error(error, "a string has no byte order: write %s with .LENGTH and H or L",
                            tag->address);
    if (digits.len > 0 && digits.ptr[digits.len - 1] > '9') {
        mode = strchr(modes, digits.ptr[digits.len - 1]);
        digits.len--;
    }
    if (!mode || !p->has_dot || str_to_u64(digits, &len) || len == 0 ||
        len > MODBUS_TEXT_CHARS_MAX) {
        return modbus_error(error,
                            "the string \"%s\" needs a length of 1 to %u characters and may name "
                            "their place, as in 1!400001.10H",
                            tag->address, MODBUS_TEXT_CHARS_MAX);
    }
    a->text = (uint8_t)(mode - modes);
    a->len = (uint16_t)len;
    a->count = (uint16_t)(a->text >= MODBUS_TEXT_LOW_ONLY ? len : (len + 1) / 2);
    if (a->count > MODBUS_WRITE_REGISTERS_MAX)
        return modbus_error(error, "\"%s\" takes %u registers, more than one request may carry",
                            tag->address, a->count);
    return 0;
}

static int bytes_parse(const struct lotline_tag *tag, const struct parts *p,
                       struct modbus_address *a, struct lotline_error *error)
{
    uint64_t len = 0;
    if (p->order.len > 0 || tag->order)
        return modbus_error(error, "\"%s\" is bytes as they are and has no byte order",
                            tag->address);
    if (!p->has_dot || str_to_u64(p->dot, &len) || len == 0 || len % 2 || len > MODBUS_BYTES_MAX)
        return modbus_error(error,
                            "the bytes \"%s\" need an even length of 2 to %u, as in 1!400001.4",
                            tag->address, MODBUS_BYTES_MAX);
    a->len = (uint16_t)len;
    a->count = (uint16_t)(len / 2);
    return 0;
}

static int number_parse(const struct modbus_options *options, const struct lotline_tag *tag,
                        const struct parts *p, struct modbus_address *a,
                        struct lotline_error *error)
{
    a->count = number_registers(tag->type);
    if (a->count == 0)
        return modbus_error(error, "Modbus has no 8-bit numbers; use int16 or uint16 for \"%s\"",
                            tag->address);
    if (p->has_dot)
        return modbus_error(error, "\"%s\" names a bit or a length, but a number has neither",
                            tag->address);
    return order_set(options, tag, p->order, a->count, a, error);
}

int modbus_address_parse(const struct modbus_options *options, const struct lotline_tag *tag,
                         struct modbus_address *ret, struct lotline_error *error)
{
    struct parts parts;
    struct modbus_address a = {.bit = MODBUS_NO_BIT, .type = (uint8_t)tag->type};
    if (parts_take(tag->address, &parts, error) ||
        unit_and_start(options, &parts, tag->address, &a, error))
        return -1;
    bool bit = tag->type == LOTLINE_BIT || tag->type == LOTLINE_BOOL;
    int rc;
    if (modbus_area_is_bits(a.area) && !bit)
        return modbus_error(error, "\"%s\" is a single bit: its type is bit or bool", tag->address);
    if (bit)
        rc = bits_parse(options, tag, &parts, &a, error);
    else if (tag->type == LOTLINE_STRING)
        rc = text_parse(tag, &parts, &a, error);
    else if (tag->type == LOTLINE_BYTES)
        rc = bytes_parse(tag, &parts, &a, error);
    else
        rc = number_parse(options, tag, &parts, &a, error);
    if (rc)
        return rc;
    if (a.start + a.count > NUMBER_MAX + 1u)
        return modbus_error(error, "\"%s\" ends beyond the last register", tag->address);
    *ret = a;
    return 0;
}
