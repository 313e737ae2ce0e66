/* Genealogy, rework, corrections and containment over a real historian; and databases of old. */
#include "base/clock.h"
#include "tests/support/story_bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check_verdict(struct fixture *f, const char *serial, const char *want)
{
    struct asked a;
    ASK(f, &a, "trace.unit", "serial", serial);
    CHECK_STR(text_of(&a, "verdict", 0), want);
    asked_fini(&a);
}

TEST(a_board_has_its_panels_story)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add_panel(&f);
    add(&f, "aoi", 41, "P bridge 2.C17 fail -");
    ASK(&f, &a, "trace.unit", "serial", "B1");
    CHECK_STR(text_of(&a, "serial", 0), "B1");
    CHECK_STR(text_of(&a, "verdict", 0), "pass"); /* the defect is the other board's */
    check_list(&a, "steps", "station,operation,verdict,of",
               "printer,print,pass,P aoi,inspect,pass,P depanel,depanel,unknown,P");
    check_list(&a, "factors", "kind,name,value,of",
               "machine,nozzle,3,P man,operator,ann,P material,paste,LOT-7,P");
    check_list(&a, "measures", "characteristic,value,ok", "thick,15,true");
    check_list(&a, "defects", "defect", "");
    check_list(&a, "parents", "parent,child,kind,position,depth",
               "P,B1,split,1,1 LOT-7,P,consumption,null,2");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "B2");
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    check_list(&a, "defects", "defect,position,station", "bridge,2.C17,aoi");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "P");
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    check_list(&a, "children", "child,position", "B1,1 B2,2");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "B1", "depth", "0");
    check_list(&a, "parents", "parent", "");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_second_visit_has_its_own_rows)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 S aoi 10 20 exact 1 -");
    add(&f, "aoi", 21, "S open R1 fail 1.5");
    check_verdict(&f, "S", "fail");
    add(&f, "presence.line", 120, "2 S aoi 110 120 exact 1 -");
    add(&f, "aoi", 119, "S - - pass 2.5");
    ASK(&f, &a, "trace.unit", "serial", "S");
    CHECK_STR(text_of(&a, "verdict", 0), "pass");
    check_list(&a, "steps", "visit,verdict", "1,fail 2,pass");
    check_list(&a, "measures", "value,step", "1.5,0 2.5,1");
    check_list(&a, "defects", "defect,position,step", "open,R1,0");
    asked_fini(&a);
    /* Of several lines of one inspection the worst counts, in whatever order they come. */
    add(&f, "aoi", 130, "S - - fail -");
    add(&f, "aoi", 130, "S - - pass -");
    check_verdict(&f, "S", "fail");
    /* What no track saw is told all the same. */
    add(&f, "aoi", 30, "X short C1 scrap -");
    ASK(&f, &a, "trace.unit", "serial", "X");
    CHECK_STR(text_of(&a, "verdict", 0), "scrap");
    check_list(&a, "steps", "station,status,verdict", "aoi,recorded,scrap");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_visit_whose_code_was_not_read_is_told_by_its_files)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    /* Tested, mended, tested again, and the second time the code was not read. */
    add(&f, "presence.line", 20, "1 S aoi 10 20 exact 1 fail");
    add(&f, "aoi", 20, "S open R1 fail 1.5");
    add(&f, "presence.line", 50, "2 S mend 40 50 exact 1 -");
    add(&f, "presence.line", 120, "3 ?3 aoi 110 120 inferred 1 pass");
    add(&f, "aoi", 120, "S - - pass 2.5");
    ASK(&f, &a, "trace.unit", "serial", "S");
    CHECK_STR(text_of(&a, "verdict", 0), "pass");
    check_list(&a, "steps", "station,status,visit,verdict",
               "aoi,exact,1,fail mend,exact,1,unknown aoi,recorded,2,pass");
    check_list(&a, "measures", "value,step", "1.5,0 2.5,2");
    asked_fini(&a);
    /* The same, but it was the first time. */
    add(&f, "presence.line", 20, "4 ?4 aoi 10 20 inferred 1 fail");
    add(&f, "aoi", 20, "T open R1 fail 1.5");
    add(&f, "presence.line", 50, "5 T mend 40 50 exact 1 -");
    add(&f, "presence.line", 120, "6 T aoi 110 120 exact 1 pass");
    add(&f, "aoi", 120, "T - - pass 2.5");
    ASK(&f, &a, "trace.unit", "serial", "T");
    check_list(&a, "steps", "station,status,visit,verdict",
               "aoi,recorded,1,fail mend,exact,1,unknown aoi,exact,2,pass");
    asked_fini(&a);
    /* What is told late, of a unit that has gone on meanwhile, is of the visit all the same. */
    add(&f, "presence.line", 20, "7 U aoi 10 20 exact 1 -");
    add(&f, "presence.line", 50, "8 U mend 40 50 exact 1 -");
    add(&f, "aoi", 60, "U - - pass 2.5");
    ASK(&f, &a, "trace.unit", "serial", "U");
    check_list(&a, "steps", "station,status,verdict", "aoi,exact,pass mend,exact,unknown");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_step_says_who_for_which_order_by_which_recipe)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 S printer 10 20 exact 1 -");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 12 WO-1");
    add(&f, "presence.line", 40, "2 S aoi 30 40 exact 1 -");
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "steps", "station,operator,recipe,order",
               "printer,ann,12,WO-1 aoi,null,null,null");
    check_list(&a, "factors", "name,value", "nozzle,3 operator,ann paste,LOT-7");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "job=WO-1");
    check_list(&a, "units", "serial", "S");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_corrected_serial_does_not_tie_units)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 S1 printer 10 20 inferred 1 pass");
    add(&f, "presence.line", 40, "2 S1 aoi 30 40 exact 1 pass");
    add(&f, "presence.line", 45, "2 S2 aoi 30 40 exact 2 fail");
    ASK(&f, &a, "trace.unit", "serial", "S1");
    check_list(&a, "steps", "station,verdict", "printer,pass");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "S2");
    check_list(&a, "steps", "station,verdict", "aoi,fail");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "S1");
    check_list(&a, "units", "serial", "S1");
    asked_fini(&a);
    fixture_close(&f);
}

/* Two units may have been it; then a scan says which. */
TEST(a_visit_that_is_taken_back_is_none_and_its_rows_are_gone)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A printer 10 20 ambiguous 0.5 1 7 false");
    add(&f, "presence.floor", 20, "2 B printer 10 20 ambiguous 0.5 1 7 false");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(&f, "print", 20, "2 15 ann 3 LOT-7 - -");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_list(&a, "steps", "station,status,probability", "printer,ambiguous,0.5");
    check_list(&a, "measures", "characteristic,value,probability", "thick,15,0.5");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial,probability", "A,0.5 B,0.5");
    check_tally(&a, 0, 2, 1);
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "operator=ann");
    check_list(&a, "units", "serial,probability", "A,0.5 B,0.5");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "until", "2025-11-22T08:27:05Z");
    check_list(&a, "units", "serial,probability", "A,0.5 B,0.5");
    asked_fini(&a);
    add(&f, "presence.floor", 50, "1 A printer 10 20 ambiguous 0 2 7 true");
    add(&f, "presence.floor", 50, "2 B printer 10 20 exact 1 2 7 false");
    add(&f, "presence.floor", 50, "1 A printer 30 40 exact 1 1 9 false");
    add(&f, "print", 50, "1 16 bob 4 LOT-8 - -");
    ASK(&f, &a, "trace.unit", "serial", "B");
    check_list(&a, "steps", "station,status,probability", "printer,exact,1");
    check_list(&a, "measures", "characteristic,value", "thick,15");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_list(&a, "steps", "station,status,operator", "printer,exact,bob");
    check_list(&a, "measures", "characteristic,value", "thick,16");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "until", "2025-11-22T08:27:05Z");
    check_list(&a, "units", "serial", "B");
    asked_fini(&a);
    /* What rules wrote of a stay is gone with it; its other rows are not. */
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial,probability", "B,1");
    check_tally(&a, 1, 0, 1);
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "operator=bob");
    check_list(&a, "units", "serial", "A");
    asked_fini(&a);
    fixture_close(&f);
}

/* The reel of a feeder is changed while the unit is there. Rows of single placements say which lot
 * was on it when: both were used, each finds the unit; what is said again of the same moment is a
 * correction. A unit window's word, of the moment of leaving, is of the whole stay. */
TEST(case_24_a_lot_that_changes_within_a_stay_is_two_lots)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "print", 12, "1 15 ann 3 LOT-1 - -");
    add(&f, "print", 14, "1 15 ann 3 LOT-1 - -");
    add(&f, "print", 16, "1 15 ann 3 LOT-1 - -");
    add(&f, "print", 16, "1 15 ann 3 LOT-2 - -");
    add(&f, "presence.line", 20, "1 S printer 10 20 exact 1 -");
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "factors", "name,value,share",
               "nozzle,3,1 operator,ann,1 paste,LOT-1,0.6 paste,LOT-2,0.4");
    asked_fini(&a);
    for (int lot = 1; lot <= 2; lot++) {
        ASK(&f, &a, "trace.forward", "from", lot == 1 ? "LOT-1" : "LOT-2");
        check_list(&a, "units", "serial,probability", "S,1"); /* its links say that it was used */
        asked_fini(&a);
        ASK(&f, &a, "trace.forward", "from", lot == 1 ? "paste=LOT-1" : "paste=LOT-2");
        check_list(&a, "units", "serial,probability", lot == 1 ? "S,0.6" : "S,0.4");
        check_tally(&a, 0, 1, lot == 1 ? 0.6 : 0.4);
        asked_fini(&a);
    }
    ASK(&f, &a, "trace.forward", "from", "nozzle=3");
    check_list(&a, "units", "serial,probability", "S,1");
    asked_fini(&a);
    add(&f, "print", 20, "1 15 bob 3 LOT-2 - -");
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "factors", "name,value,share", "nozzle,3,1 operator,bob,1 paste,LOT-2,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "paste=LOT-2");
    check_list(&a, "units", "serial,probability", "S,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "paste=LOT-1");
    check_list(&a, "units", "serial", "");
    asked_fini(&a);
    fixture_close(&f);
}

/* The same stay by another number: its rows are still its unit's. */
TEST(a_stay_that_is_numbered_anew_keeps_its_rows)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A printer 10 20 ambiguous 0.5 1 7 false");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(&f, "presence.floor", 50, "1 A printer 10 20 ambiguous 0 2 7 true");
    add(&f, "presence.floor", 50, "1 A printer 10 20 exact 1 1 8 false");
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial", "A");
    asked_fini(&a);
    fixture_close(&f);
}

/* A unit that comes again has two visits, whatever their revisions. */
TEST(two_stays_at_one_station_are_two_visits)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A printer 10 20 exact 1 2 7 false");
    add(&f, "presence.floor", 50, "1 A printer 40 50 inferred 1 1 9 false");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_list(&a, "steps", "station,status", "printer,exact printer,inferred");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(case_22_a_stay_over_midnight_is_one)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    const int midnight = 56000; /* after T0, 2025-11-22T08:26:40Z */
    char cells[128];
    (void)snprintf(cells, sizeof cells, "1 A printer %d %d exact 1 1 7 false", midnight - 600,
                   midnight + 600);
    add(&f, "presence.floor", midnight + 600, cells);
    add(&f, "print", midnight + 600, "1 15 ann 3 LOT-7 - -");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_list(&a, "steps", "station,t_in,t_out",
               "printer,2025-11-22T23:50:00Z,2025-11-23T00:10:00Z");
    check_list(&a, "measures", "value,step", "15,0");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "since", "2025-11-23T00:00:00Z");
    check_list(&a, "units", "serial", "A");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "until", "2025-11-23T00:00:00Z");
    check_list(&a, "units", "serial", "A");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(case_25_a_unit_that_is_labelled_anew_has_one_history_under_both_serials)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 P1 printer 10 20 exact 1 1 7 false");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(&f, "presence.floor", 40, "1 F1 pack 30 40 exact 1 1 8 false");
    for (int i = 0; i < 2; i++) {
        ASK(&f, &a, "trace.unit", "serial", i ? "P1" : "F1");
        check_list(&a, "steps", "station,status", "printer,exact pack,exact");
        check_list(&a, "measures", "value,step", "15,0");
        asked_fini(&a);
    }
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial", "F1");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(case_27_a_laboratory_result_of_hours_later_is_of_the_visit)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A aoi 10 20 exact 1 1 7 false");
    add(&f, "presence.floor", 40, "1 A pack 30 40 exact 1 1 8 false");
    add(&f, "aoi", 20 + 5 * 3600, "A crack - fail 2.5");
    ASK(&f, &a, "trace.unit", "serial", "A");
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    check_list(&a, "steps", "station,verdict", "aoi,fail pack,unknown");
    check_list(&a, "measures", "value,step", "2.5,0");
    check_list(&a, "defects", "defect,step", "crack,0");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(the_containment_is_what_a_suspicion_reaches)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add_panel(&f);
    add(&f, "presence.line", 25, "9 Q printer 21 25 exact 1 -");
    add(&f, "print", 25, "9 15 bob 4 LOT-7 - -");
    add(&f, "build", 90, "DEVICE B2");
    add(&f, "build", 95, "B2 DEVICE"); /* a cycle: nobody builds so, but somebody may write it */
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial,depth,via,kind",
               "P,0,null,null Q,0,null,null B1,1,P,split B2,1,P,split DEVICE,2,B2,assembly");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "nozzle=3", "depth", "1");
    check_list(&a, "units", "serial,depth", "P,0 B1,1 B2,1");
    CHECK_STR(text_of(&a, "reason", 0), "the genealogy goes on beyond depth");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "since", "22");
    CHECK_ERR(a.err, ERR_INVALID); /* no time */
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "printer", "until", "2025-11-22T08:26:50.500Z");
    check_list(&a, "units", "serial", "P B1 B2 DEVICE");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "LOT-7", "limit", "2");
    check_list(&a, "units", "serial", "P Q");
    CHECK_STR(text_of(&a, "reason", 0), "there are more units than limit; ask for a higher one");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(bad_units_are_those_that_are_bad_now)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 A aoi 10 20 exact 1 fail");
    add(&f, "presence.line", 30, "2 A aoi 21 30 exact 1 pass");
    add(&f, "presence.line", 50, "3 B aoi 40 50 exact 1 -");
    add(&f, "aoi", 51, "B open R1 - -");
    add(&f, "presence.line", 70, "4 C printer 60 70 exact 1 -");
    add(&f, "print", 70, "4 25 ann 1 LOT-1 - -");
    ASK(&f, &a, "trace.units", "verdict", "bad");
    CHECK_OK(a.err);
    CHECK_EQ(a.answer->rows, 2);
    CHECK_STR(text_of(&a, "serial", 0), "C");
    CHECK_STR(text_of(&a, "serial", 1), "B");
    CHECK_STR(text_of(&a, "defects", 1), "open");
    asked_fini(&a);
    ASK(&f, &a, "trace.units", "station", "aoi");
    CHECK_EQ(a.answer->rows, 3);
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    CHECK_STR(text_of(&a, "defects", 0), "open");
    CHECK_STR(text_of(&a, "verdict", 1), "pass");
    CHECK_STR(text_of(&a, "verdict", 2), "fail");
    asked_fini(&a);
    ASK(&f, &a, "trace.units", "verdict", "purple");
    CHECK_ERR(a.err, ERR_INVALID);
    asked_fini(&a);
    fixture_close(&f);
}

/* ---------------------------------------------------------------------------- databases of old */

/* The tables as they were before the index and the later columns. */
static const char old_tables[] =
    "CREATE TABLE units(unit VARCHAR NOT NULL, serial VARCHAR NOT NULL, status VARCHAR NOT NULL, "
    "node VARCHAR NOT NULL, track VARCHAR NOT NULL, valid_from TIMESTAMP NOT NULL, valid_to "
    "TIMESTAMP, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, retracted BOOLEAN NOT NULL);"
    "CREATE TABLE steps(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, track VARCHAR NOT NULL, "
    "station VARCHAR NOT NULL, place VARCHAR NOT NULL, t_in TIMESTAMP, t_out TIMESTAMP, status "
    "VARCHAR NOT NULL, probability DOUBLE, evidence VARCHAR NOT NULL, result VARCHAR NOT NULL, "
    "known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, retracted BOOLEAN NOT NULL);"
    "CREATE TABLE measures(unit VARCHAR NOT NULL, node VARCHAR NOT NULL, rule VARCHAR NOT NULL, "
    "station VARCHAR NOT NULL, operation VARCHAR NOT NULL, characteristic VARCHAR NOT NULL, value "
    "DOUBLE, lower DOUBLE, upper DOUBLE, target DOUBLE, uom VARCHAR NOT NULL, measured_at "
    "TIMESTAMP NOT NULL, known_at TIMESTAMP NOT NULL, revision BIGINT NOT NULL, retracted BOOLEAN "
    "NOT NULL);"
    "INSERT INTO units VALUES ('0a000000000000000000000000000000', 'OLD-1', 'exact', 'n', 'press1',"
    " TIMESTAMP '2025-11-01 08:00:00', NULL, TIMESTAMP '2025-11-01 08:00:02', 1, false);"
    "INSERT INTO steps VALUES ('0a000000000000000000000000000000', 'n', 'press1', 'press', 'hall',"
    " TIMESTAMP '2025-11-01 08:00:00', TIMESTAMP '2025-11-01 08:00:01', 'exact', 1, 'e', '',"
    " TIMESTAMP '2025-11-01 08:00:02', 1, false);"
    "INSERT INTO measures VALUES ('0a000000000000000000000000000000', 'n', 'r', '', 'pressing',"
    " 'force', 21, 10, 20, NULL, 'kN', TIMESTAMP '2025-11-01 08:00:01',"
    " TIMESTAMP '2025-11-01 08:00:02', 5, false);";

TEST(an_old_database_goes_on)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    run_sql(f.path, old_tables);
    fixture_start(&f);
    ASK(&f, &a, "trace.unit", "serial", "OLD-1");
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    check_list(&a, "steps", "station,operation", "press,pressing");
    asked_fini(&a);
    add(&f, "presence.line", 20, "1 OLD-1 printer 10 20 exact 1 -");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 - -");
    ASK(&f, &a, "trace.unit", "serial", "OLD-1");
    check_list(&a, "steps", "station,verdict", "press,fail printer,pass");
    asked_fini(&a);
    ASK(&f, &a, "trace.units", "limit", "10");
    CHECK_EQ(a.answer->rows, 2);
    asked_fini(&a);
    fixture_stop(&f);
    fixture_catalogue(&f); /* and once more, with the new columns there */
    fixture_start(&f);
    ASK(&f, &a, "trace.forward", "from", "nozzle=3");
    check_list(&a, "units", "serial", "OLD-1");
    asked_fini(&a);
    fixture_close(&f);
}

/* What the index says of a board, its panel and a lot. */
static void check_relatives(struct fixture *f)
{
    struct asked a;
    ASK(f, &a, "trace.unit", "serial", "B-1");
    check_list(&a, "parents", "parent,kind", "P-1,split LOT-7,consumption");
    check_list(&a, "steps", "station", "printer");
    asked_fini(&a);
    ASK(f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial", "P-1 B-1 B-2");
    asked_fini(&a);
}

TEST(an_index_that_lost_entries_is_made_anew)
{
    static const char *const damages[] = {
        "DROP TABLE trace_runs; DROP TABLE trace_tail",
        "DELETE FROM trace_tail",
        "DELETE FROM trace_tail WHERE hash % 2 = 0",
        "INSERT INTO trace_runs VALUES (77, 0, 1, 1)",
        "DELETE FROM trace_runs; DELETE FROM trace_tail",
    };
    struct fixture f;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 P-1 printer 10 20 exact 1 -");
    add(&f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(&f, "cut", 30, "1 B-1 B-2");
    check_relatives(&f);
    fixture_stop(&f);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        run_sql(f.path, damages[i]);
        fixture_catalogue(&f);
        fixture_start(&f);
        check_relatives(&f);
        fixture_stop(&f);
    }
    fixture_catalogue(&f);
    fixture_start(&f);
    fixture_close(&f);
}

#define MANY 80 /* panels: runs of every level */

/* Some entries make a run. */
static void start_with_runs(struct fixture *f)
{
    fixture_start(f);
    f->t->store.tail_max = 4;
    f->t->store.settle_at = 4;
}

static void add_many(struct fixture *f, int from, int to)
{
    char cells[128];
    for (int i = from; i < to; i++) {
        (void)snprintf(cells, sizeof cells, "%d P-%d printer 10 20 exact 1 -", i, i);
        add(f, "presence.line", 20, cells);
        (void)snprintf(cells, sizeof cells, "%d 15 ann 3 LOT-7 - -", i);
        add(f, "print", 20, cells);
        (void)snprintf(cells, sizeof cells, "%d B-%d C-%d", i, i, i);
        add(f, "cut", 30, cells);
    }
}

static void check_many(struct fixture *f, int count)
{
    char serial[32];
    char want[128];
    struct asked a;
    for (int i = 1; i < count; i++) {
        (void)snprintf(serial, sizeof serial, "C-%d", i);
        (void)snprintf(want, sizeof want, "P-%d,split LOT-7,consumption", i);
        ASK(f, &a, "trace.unit", "serial", serial);
        check_list(&a, "parents", "parent,kind", want);
        check_list(&a, "steps", "station", "printer");
        asked_fini(&a);
    }
    ASK(f, &a, "trace.unit", "serial", "LOT-7", "depth", "1");
    CHECK_EQ(list_of(&a, "children")->count, (uint32_t)count - 1);
    asked_fini(&a);
}

/* The files of runs beside a database; one of them. */
static uint32_t files_of(const char *database, char ret_one[CHECK_PATH_BYTES_MAX])
{
    char folder[600];
    (void)snprintf(folder, sizeof folder, "%s.index", database);
    return check_files(folder, ret_one);
}

TEST(an_index_of_many_runs_finds_everything)
{
    struct fixture f;
    char first[CHECK_PATH_BYTES_MAX];
    char stray[700];
    fixture_open(&f);
    start_with_runs(&f);
    add_many(&f, 1, MANY);
    check_many(&f, MANY);
    uint32_t runs = f.t->store.runs.count;
    int64_t level = f.t->store.runs.list[0].level;
    CHECK(runs > 1 && runs < 20);
    CHECK_EQ(level, 2);
    CHECK_EQ(files_of(f.path, first), runs);
    fixture_stop(&f);
    /* What a kill may have left is gone after the next start, and nothing else. */
    (void)snprintf(stray, sizeof stray, "%s.index/000000009999.run", f.path);
    int fd = open(stray, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    (void)close(fd);
    fixture_catalogue(&f);
    start_with_runs(&f);
    CHECK_EQ(files_of(f.path, first), runs);
    check_many(&f, MANY);
    add_many(&f, MANY, MANY + 1);
    check_many(&f, MANY + 1);
    fixture_close(&f);
}

static void flip(const char *path, off_t at)
{
    uint8_t byte = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

/* Its last bytes are the directory's, which is read at start; its first ones entries. */
TEST(a_damaged_run_is_noticed_and_made_anew)
{
    struct fixture f;
    struct asked a;
    char first[CHECK_PATH_BYTES_MAX];
    struct stat info;
    fixture_open(&f);
    start_with_runs(&f);
    add_many(&f, 1, 3);
    fixture_stop(&f);
    for (int how = 0; how < 3; how++) {
        CHECK(files_of(f.path, first) > 0);
        CHECK_EQ(stat(first, &info), 0);
        if (how == 0)
            CHECK_EQ(unlink(first), 0);
        else if (how == 1)
            CHECK_EQ(truncate(first, info.st_size - 1), 0);
        else
            flip(first, info.st_size - 6);
        fixture_catalogue(&f);
        start_with_runs(&f);
        check_many(&f, 3);
        fixture_stop(&f);
    }
    fixture_catalogue(&f);
    start_with_runs(&f);
    CHECK(files_of(f.path, first) > 0);
    for (uint32_t i = 0; i < f.t->store.runs.count; i++) {
        char path[900];
        (void)snprintf(path, sizeof path, "%s.index/%012lld.run", f.path,
                       (long long)f.t->store.runs.list[i].number);
        flip(path, 12);
    }
    ASK(&f, &a, "trace.unit", "serial", "C-1");
    CHECK_ERR(a.err, ERR_CHECKSUM);
    asked_fini(&a);
    add_many(&f, 3, 4); /* the next commit makes it anew */
    check_many(&f, 4);
    fixture_close(&f);
}

static int copy_run(void *ctx)
{
    char dir[700];
    struct fixture *f = ctx;
    (void)snprintf(dir, sizeof dir, "%s/copy", check_folder());
    CHECK_EQ(mkdir(dir, 0750), 0);
    return historian_copy(f->h, dir, NULL);
}

TEST(a_backup_has_its_index)
{
    struct fixture f;
    char first[CHECK_PATH_BYTES_MAX];
    fixture_open(&f);
    start_with_runs(&f);
    add_many(&f, 1, 6);
    CHECK_OK(copy_run(&f));
    uint32_t count = files_of(f.path, first);
    fixture_stop(&f);
    (void)snprintf(f.path, sizeof f.path, "%s/copy/h.duckdb", check_folder());
    CHECK_EQ(files_of(f.path, first), count);
    fixture_catalogue(&f);
    start_with_runs(&f);
    CHECK_EQ(files_of(f.path, first), count);
    check_many(&f, 6);
    fixture_close(&f);
}
