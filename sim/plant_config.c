/* The plant as a node's configuration sees it: devices and tracks, printed from the same table that
 * makes the registers, so that nobody copies addresses by hand. The plant's own words are marked:
 * @word (plant_rename.c). */
#include "sim/plant_ports.h"

#define PLACE_PREFIX "plant1/smt/line1"

static const char *type_text(const struct plant_tag *tag)
{
    switch ((enum tag_type)tag->type) {
    case TAG_BIT:
        return "bit";
    case TAG_UINT16:
        return "uint16";
    case TAG_UINT32:
        return "uint32";
    case TAG_TENTH:
        return "int16, scale: 0.1";
    case TAG_FLOAT:
        return "float";
    case TAG_TEXT:
        break;
    }
    return "string";
}

static bool is_straight(const struct plant_tag *tag)
{
    return tag->type == TAG_FLOAT;
}

static void print_tag(const struct plant_tag *tag, struct buf *out)
{
    (void)buf_printf(out, "          - {name: @%s, address: \"1!%c%05u", tag->name, tag->area,
                     tag->number);
    if (tag->type == TAG_TEXT)
        (void)buf_printf(out, ".%u", tag->bytes);
    (void)buf_printf(out, "\", type: %s", type_text(tag));
    if (tag->uom)
        (void)buf_printf(out, ", uom: \"%s\"", tag->uom);
    (void)buf_printf(out, "%s}\n", is_straight(tag) ? ", interpolate: linear" : "");
}

static const char *place_of(enum machine m)
{
    return m < STATIONS ? plant_station_names[m] : plant_machine_names[m];
}

void plant_topic(enum machine m, struct buf *out)
{
    (void)buf_printf(out, PLACE_PREFIX "/@%s/@%s/@%s", place_of(m), plant_machine_names[m],
                     plant_group_names[m]);
}

static void print_device(const struct plant_access *access, enum machine m, struct buf *out)
{
    (void)buf_printf(out,
                     "  - name: @%s\n    driver: modbus-tcp\n    address: %s:%u\n"
                     "    place: " PLACE_PREFIX "/@%s\n    groups:\n      - name: @%s\n"
                     "        interval: %s\n        gap_max_ms: 15000\n        tags:\n",
                     plant_machine_names[m], access->host, access->ports[m], place_of(m),
                     plant_group_names[m], access->interval);
    for (const struct plant_tag *tag = plant_tags; tag->name; tag++) {
        if (plant_tag_is_of(tag, m, access->eyes))
            print_tag(tag, out);
    }
}

static void print_station(enum machine m, struct buf *out)
{
    const char *device = plant_machine_names[m];
    const char *group = plant_group_names[m];
    (void)buf_printf(out,
                     "  - name: @%s\n    station: @%s\n    unit: @%s.@%s.@serial\n"
                     "    begin: {signal: @%s.@%s.@cycle, edge: rising}\n"
                     "    end: {signal: @%s.@%s.@cycle, edge: falling}\n"
                     "    result: @%s.@%s.@result\n    signals: [@%s.@%s]\n",
                     plant_station_names[m], plant_station_names[m], device, group, device, group,
                     device, group, device, group, device, group);
}

/* A panel cannot follow within its length: a second pulse before that is the same panel's, and so
 * is what is shown until then of the panel that entered. */
static void print_belt(struct buf *out)
{
    static const char *const of_entry[] = {"recipe_rev", "order", NULL};
    const char *device = plant_machine_names[OVEN];
    const char *group = plant_group_names[OVEN];
    (void)buf_printf(out,
                     "  - name: @%s\n"
                     "    entry: {signal: @%s.@%s.@entry, edge: rising, unit: @%s.@%s.@serial,"
                     " debounce_mm: %.0f}\n"
                     "    speed: {signal: @%s.@%s.@speed}\n"
                     "    places:\n      - {station: @%s, from_mm: 0, to_mm: %.0f}\n"
                     "    signals:\n",
                     plant_station_names[OVEN], device, group, device, group, BELT_PANEL_MM, device,
                     group, plant_station_names[OVEN], BELT_EXIT_MM);
    for (unsigned i = 0; i < ZONES; i++) {
        double from = BELT_ZONE0_MM + BELT_ZONE_MM * i;
        (void)buf_printf(out, "      @%s.@%s.@zone%u: {from_mm: %.0f, to_mm: %.0f}\n", device,
                         group, i + 1, from, from + BELT_ZONE_MM);
    }
    for (const char *const *name = of_entry; *name; name++)
        (void)buf_printf(out, "      @%s.@%s.@%s: {from_mm: 0, to_mm: %.0f}\n", device, group,
                         *name, BELT_PANEL_MM);
    (void)buf_printf(
        out,
        "    exit: {signal: @%s.@%s.@exit, edge: rising, at_mm: %.0f, tolerance_mm: 60,"
        " debounce_mm: %.0f}\n",
        device, group, BELT_EXIT_MM, BELT_PANEL_MM);
}

void plant_config(const struct plant_access *access, struct buf *out)
{
    (void)buf_append_text(out, "devices:\n");
    for (unsigned m = 0; m < MACHINES; m++)
        print_device(access, (enum machine)m, out);
    (void)buf_append_text(out, "\ntracks:\n");
    for (unsigned m = 0; m < STATIONS; m++) {
        if (m == OVEN)
            print_belt(out);
        else
            print_station((enum machine)m, out);
    }
}
