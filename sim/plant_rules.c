/* The rest of a node's configuration for the plant: what it asks the MES and the files, and the
 * rules that make a trace of it. A person may change all of it; it is printed by --config so that
 * nobody begins with an empty page. The plant's own words are marked: @word (plant_rename.c). */
#include "sim/plant_ports.h"

static const char rules[] =
    "characteristics:\n"
    "  - {name: @squeegee, station: @printer, lower: 52, upper: 68, target: 60, uom: N}\n"
    "  - {name: @offset, station: @spi, lower: -45, upper: 45, target: 0, uom: um}\n"
    "  - {name: @volume, station: @spi, lower: 70, upper: 130, target: 100, uom: \"%\"}\n"
    "  - {name: @zone5, station: @reflow, lower: 227, upper: 243, target: 235, uom: \"°C\"}\n"
    "  - {name: @resistance, station: @ict, lower: 9.5, upper: 10.5, target: 10, uom: kOhm}\n"
    "\n"
    "rules:\n"
    "  - name: @print_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, avg(@squeegee) AS @squeegee, avg(@print_speed) AS "
    "@print_speed,\n"
    "      last(@recipe_rev) AS @recipe_rev, last(`@order`) AS `@order`,\n"
    "      lookup('rota', 'operator', '@printer') AS @operator,\n"
    "      lookup('paste', 'lot', '@printer') AS @paste_lot\n"
    "      FROM \"@printer.@run\" GROUP BY UNITWINDOW('@printer')\n"
    "    actions:\n"
    "      - trace:\n"
    "          operation: @print\n"
    "          measures: [@squeegee]\n"
    "          factors: {man: [@operator], machine: [@squeegee, @print_speed], material: "
    "[@paste_lot],\n"
    "                    method: [@recipe_rev]}\n"
    "          consumes: [@paste_lot]\n"
    "          recipe: @recipe_rev\n"
    "          order: @order\n";

static const char placer_rule[] =
    "  - name: @%s_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, avg(@vacuum_1) AS @vacuum_1, avg(@vacuum_2) AS @vacuum_2,\n"
    "      avg(@vacuum_3) AS @vacuum_3, avg(@vacuum_4) AS @vacuum_4,\n"
    "      last(@recipe_rev) AS @recipe_rev, last(`@order`) AS `@order`,\n"
    "      max(@nozzle_c1) AS @nozzle_c1, max(@nozzle_c2) AS @nozzle_c2,\n"
    "      max(@nozzle_c3) AS @nozzle_c3, max(@nozzle_c4) AS @nozzle_c4,\n"
    "      max(@nozzle_r1) AS @nozzle_r1, max(@nozzle_r2) AS @nozzle_r2,\n"
    "      max(@nozzle_r3) AS @nozzle_r3, max(@nozzle_u1) AS @nozzle_u1,\n"
    "      max(@nozzle_u2) AS @nozzle_u2, max(@nozzle_j1) AS @nozzle_j1,\n"
    "      lookup('rota', 'operator', '@%s') AS @operator,\n"
    "      lookup('feeders', 'lot', '@%s.@f1') AS @lot_f1,\n"
    "      lookup('feeders', 'lot', '@%s.@f2') AS @lot_f2,\n"
    "      lookup('feeders', 'lot', '@%s.@f3') AS @lot_f3,\n"
    "      lookup('feeders', 'lot', '@%s.@f4') AS @lot_f4\n"
    "      FROM \"@%s.@run\" GROUP BY UNITWINDOW('@%s')\n"
    "    actions:\n"
    "      - trace:\n"
    "          operation: @place\n"
    "          factors: {man: [@operator], machine: [@vacuum_1, @vacuum_2, @vacuum_3, @vacuum_4,\n"
    "                    @nozzle_c1, @nozzle_c2, @nozzle_c3, @nozzle_c4, @nozzle_r1, @nozzle_r2,\n"
    "                    @nozzle_r3, @nozzle_u1, @nozzle_u2, @nozzle_j1],\n"
    "                    material: [@lot_f1, @lot_f2, @lot_f3, @lot_f4]}\n"
    "          consumes: [@lot_f1, @lot_f2, @lot_f3, @lot_f4]\n"
    "          recipe: @recipe_rev\n"
    "          order: @order\n";

static const char oven_rules[] =
    "  - name: @reflow_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, avg(@zone1) AS @zone1, avg(@zone2) AS @zone2, avg(@zone3) AS "
    "@zone3,\n"
    "      avg(@zone4) AS @zone4, avg(@zone5) AS @zone5, avg(@zone6) AS @zone6, avg(@zone7) AS "
    "@zone7,\n"
    "      avg(@zone8) AS @zone8, avg(@speed) AS @belt_speed, max(profile('@zone*')) AS @peak,\n"
    "      timeabove(profile('@zone*'), 217) AS @tal,\n"
    "      last(@recipe_rev) AS @recipe_rev, last(`@order`) AS `@order`,\n"
    "      lookup('rota', 'operator', '@reflow') AS @operator\n"
    "      FROM \"@oven.@belt\" GROUP BY UNITWINDOW('@reflow', '@reflow')\n"
    "    actions:\n"
    "      - trace:\n"
    "          operation: @reflow\n"
    "          measures: [@zone5, @peak, @tal]\n"
    "          factors: {man: [@operator], machine: [@zone1, @zone2, @zone3, @zone4, @zone5, "
    "@zone6,\n"
    "                    @zone7, @zone8, @belt_speed]}\n"
    "          recipe: @recipe_rev\n"
    "          order: @order\n"
    "  - name: @hall_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, avg(@humidity) AS @humidity, avg(@temperature) AS "
    "@hall_temperature\n"
    "      FROM \"@hall.@air\" GROUP BY UNITWINDOW('@reflow', '@reflow')\n"
    "    actions:\n"
    "      - trace: {operation: @reflow, factors: {environment: [@humidity, @hall_temperature]}}\n"
    "  - name: @depanel_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, last(@child_1) AS @b1, last(@child_2) AS @b2,\n"
    "      last(@child_3) AS @b3, last(@child_4) AS @b4,\n"
    "      last(@recipe_rev) AS @recipe_rev, last(`@order`) AS `@order`,\n"
    "      lookup('rota', 'operator', '@depanel') AS @operator\n"
    "      FROM \"@depanel.@run\" GROUP BY UNITWINDOW('@depanel')\n"
    "    actions:\n"
    "      - trace: {operation: @depanel, measures: [], factors: {man: [@operator]}, recipe: "
    "@recipe_rev,\n"
    "                order: @order, children: [@b1, @b2, @b3, @b4], link: split}\n";

static const char operator_rule[] =
    "  - name: @%s_row\n"
    "    sql: >-\n"
    "      SELECT unit_id() AS unit, last(@recipe_rev) AS @recipe_rev, last(`@order`) AS "
    "`@order`,\n"
    "      lookup('rota', 'operator', '@%s') AS @operator\n"
    "      FROM \"@%s.@%s\" GROUP BY UNITWINDOW('@%s')\n"
    "    actions: [{trace: {operation: @%s, measures: [], factors: {man: [@operator]}, recipe: "
    "@recipe_rev,\n"
    "                       order: @order}}]\n";

static const char file_rule[] =
    "  - name: @%s_result\n"
    "    sql: SELECT serial, defect, refdes, result FROM @%s_files\n"
    "    actions: [{trace: {operation: @%s, unit: serial, station: @%s, defects: [defect],\n"
    "                       position: refdes, verdict: result}}]\n";

static const char measure_rule[] =
    "  - name: @%s_%s\n"
    "    sql: SELECT serial, value AS @%s FROM @%s_files WHERE test = '%s'\n"
    "    actions: [{trace: {operation: @%s, unit: serial, station: @%s, measures: [@%s]}}]\n";

/* Each inspection's verdict goes back to the MES. */
static const char verdict_rule[] =
    "  - name: @%s_verdict\n"
    "    sql: SELECT serial, '@%s' AS station, result, defect, refdes FROM @%s_files WHERE test = "
    "'%s'\n"
    "    actions: [{http: {url: \"http://%s:%u/verdicts\"}}]\n";

/* A misprinted panel can still be washed, so it is held before anything is placed on it. */
static const char hold_rule[] =
    "  - name: @spi_hold\n"
    "    sql: >-\n"
    "      SELECT serial, 'misprinted' AS reason, value AS offset_um FROM @spi_files\n"
    "      WHERE test = 'offset' AND result = 'fail'\n"
    "    actions: [{http: {url: \"http://%s:%u/holds\"}}]\n";

/* Stations whose results come as files. */
static const uint8_t inspections[] = {SPI, AOI, ICT, REWORK};

/* Which row of a file says what came of it: one a finding, one if there is none. */
static const char *const verdict_tests[] = {"inspection", "inspection", "resistance", "repair"};

static void print_lookup(const char *host, uint16_t port, const char *name, const char *key,
                         const char *value, struct buf *out)
{
    (void)buf_printf(out,
                     "  - {name: %s, source: http, url: \"http://%s:%u/%s\", interval: 5s,"
                     " lookup: true, key: %s,\n     from: from, to: to, rows_max: 100000,\n"
                     "     columns: {%s: string, %s: string, from: timestamp, to: timestamp}}\n",
                     name, host, port, name, key, key, value);
}

static void print_folder(const char *folder, const char *station, struct buf *out)
{
    (void)buf_printf(out, "  - {name: @%s_files, source: file, folder: \"", station);
    plant_mark_none(folder, out);
    (void)buf_printf(out,
                     "/@%s\", time: ts,\n"
                     "     columns: {ts: timestamp, serial: string, test: string, value: double,\n"
                     "               defect: string, refdes: string, result: string}}\n",
                     station);
}

static void print_streams(const char *host, uint16_t mes, const char *files, struct buf *out)
{
    (void)buf_append_text(out, "\nstreams:\n");
    print_lookup(host, mes, "rota", "station", "operator", out);
    print_lookup(host, mes, "feeders", "feeder", "lot", out);
    print_lookup(host, mes, "paste", "station", "lot", out);
    for (size_t i = 0; files && i < sizeof inspections; i++)
        print_folder(files, plant_station_names[inspections[i]], out);
}

static void print_measure(enum machine m, const char *test, struct buf *out)
{
    const char *s = plant_station_names[m];
    (void)buf_printf(out, measure_rule, s, test, test, s, test, s, s, test);
}

void plant_rules(const char *host, uint16_t mes, const char *files, struct buf *out)
{
    print_streams(host, mes, files, out);
    (void)buf_append_text(out, "\n");
    (void)buf_append_text(out, rules);
    for (unsigned m = PLACER_A; m <= PLACER_B; m++) {
        const char *s = plant_station_names[m];
        (void)buf_printf(out, placer_rule, s, s, s, s, s, s, s, s);
    }
    (void)buf_append_text(out, oven_rules);
    for (size_t i = 0; i < sizeof inspections; i++) {
        enum machine m = (enum machine)inspections[i];
        const char *s = plant_station_names[m];
        (void)buf_printf(out, operator_rule, s, s, plant_machine_names[m], plant_group_names[m], s,
                         s);
        if (!files)
            continue;
        (void)buf_printf(out, file_rule, s, s, s, s);
        (void)buf_printf(out, verdict_rule, s, s, s, verdict_tests[i], host, mes);
    }
    if (files)
        (void)buf_printf(out, hold_rule, host, mes);
    if (files) {
        print_measure(SPI, "offset", out);
        print_measure(SPI, "volume", out);
        print_measure(ICT, "resistance", out);
    }
}
