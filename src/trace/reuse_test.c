/* Serials that come around, over a real historian: another unit bears the serial after a while. */
#include "tests/support/story_bench.h"

#define REUSED                                                                                     \
    "historian:\n"                                                                                 \
    "  serials_reused:\n"                                                                          \
    "    - {match: \"S*\", after: 1h}\n"                                                           \
    "    - {match: \"B?\", after: 2h}\n"

#define LATER 20000 /* seconds: long after the first bearer was last heard of */

static const char *moment(struct asked *a, int second)
{
    static char text[CLOCK_TEXT_BYTES_MAX];
    (void)a;
    (void)clock_format(T0 + second * SECOND, text);
    return text;
}

/* S is printed, inspected as bad, mended within the hour, and the laboratory says its word within
 * the next. Long after, another S is printed and inspected as bad. */
static void add_two(struct fixture *f)
{
    add(f, "presence.line", 20, "1 S printer 10 20 exact 1 -");
    add(f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(f, "presence.line", 40, "2 S aoi 30 40 exact 1 -");
    add(f, "aoi", 41, "S open R1 fail 1.5");
    add(f, "presence.line", 3000, "3 S aoi 2990 3000 exact 1 -");
    add(f, "aoi", 3001, "S - - pass 2.5");
    add(f, "presence.line", LATER + 20, "4 S printer 20010 20020 exact 1 -");
    add(f, "print", LATER + 20, "4 16 bob 4 LOT-7 - -");
    add(f, "presence.line", LATER + 40, "5 S aoi 20030 20040 exact 1 -");
    add(f, "aoi", LATER + 41, "S short C1 fail 9");
    /* Known late, of the first. */
    add(f, "aoi", 6000, "S - - pass 2.75");
}

static void check_first(struct asked *a)
{
    CHECK_STR(text_of(a, "verdict", 0), "pass");
    check_list(a, "steps", "station,visit,verdict", "printer,1,pass aoi,1,fail aoi,2,pass");
    check_list(a, "measures", "characteristic,value", "thick,15 height,1.5 height,2.75");
    check_list(a, "defects", "defect,position", "open,R1");
    check_list(a, "factors", "name,value", "nozzle,3 operator,ann paste,LOT-7");
    check_list(a, "bearers", "serial,this", "S,true S,false");
    asked_fini(a);
}

TEST(case_26_a_serial_that_comes_around_is_another_units)
{
    struct fixture f;
    struct asked a;
    fixture_open_with(&f, REUSED);
    fixture_start(&f);
    add_two(&f);
    ASK(&f, &a, "trace.unit", "serial", "S");
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    check_list(&a, "steps", "station,visit,verdict", "printer,1,pass aoi,1,fail");
    check_list(&a, "measures", "characteristic,value", "thick,16 height,9");
    check_list(&a, "defects", "defect,position", "short,C1");
    check_list(&a, "factors", "name,value", "nozzle,4 operator,bob paste,LOT-7");
    check_list(&a, "bearers", "serial,from,to,this",
               "S,2025-11-22T08:26:50Z,2025-11-22T10:06:40Z,false "
               "S,2025-11-22T14:00:10Z,2025-11-22T14:00:41Z,true");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "S", "at", moment(&a, 500));
    check_first(&a);
    ASK(&f, &a, "trace.unit", "serial", "S", "at", moment(&a, LATER - 1));
    check_first(&a);
    ASK(&f, &a, "trace.unit", "serial", "03000000000000000000000000000000");
    check_first(&a);
    fixture_close(&f);
}

TEST(case_26_without_the_rule_a_serial_is_one_units_for_ever)
{
    struct fixture f;
    struct asked a;
    fixture_open_with(&f, "historian: {serials_reused: [{match: \"T*\", after: 1h}]}\n");
    fixture_start(&f);
    add_two(&f);
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "steps", "station,visit", "printer,1 aoi,1 aoi,2 printer,2 aoi,3");
    check_list(&a, "bearers", "serial", "");
    asked_fini(&a);
    fixture_close(&f);
}

/* Panels S, and boards whose serials come around as well; all have paste of one lot. */
static void add_panels(struct fixture *f)
{
    add(f, "presence.line", 20, "1 S printer 10 20 exact 1 -");
    add(f, "print", 20, "1 15 ann 3 LOT-7 - -");
    add(f, "presence.line", 60, "2 S depanel 50 60 exact 1 -");
    add(f, "cut", 60, "2 B1 B2");
    add(f, "presence.line", LATER + 20, "3 S printer 20010 20020 exact 1 -");
    add(f, "print", LATER + 20, "3 16 bob 4 LOT-7 - -");
    add(f, "presence.line", LATER + 60, "4 S depanel 20050 20060 exact 1 -");
    add(f, "cut", LATER + 60, "4 B2 B3");
    add(f, "presence.line", LATER + 90, "5 B2 aoi 20080 20090 exact 1 -");
}

TEST(case_26_links_lead_to_the_unit_that_bore_the_serial_then)
{
    struct fixture f;
    struct asked a;
    fixture_open_with(&f, REUSED);
    fixture_start(&f);
    add_panels(&f);
    ASK(&f, &a, "trace.unit", "serial", "B1");
    check_list(&a, "measures", "value,of", "15,S");
    check_list(&a, "parents", "parent,child,depth", "S,B1,1 LOT-7,S,2");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "B2");
    check_list(&a, "measures", "value,of", "16,S");
    check_list(&a, "steps", "station", "printer depanel aoi");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "B2", "at", moment(&a, 60));
    check_list(&a, "measures", "value,of", "15,S");
    check_list(&a, "steps", "station", "printer depanel");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "S", "at", moment(&a, 60));
    check_list(&a, "children", "child", "B1 B2");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(case_26_the_containment_tells_bearers_apart)
{
    struct fixture f;
    struct asked a;
    fixture_open_with(&f, REUSED);
    fixture_start(&f);
    add_panels(&f);
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial,via,depth", "S,null,0 S,null,0 B1,S,1 B2,S,1 B2,S,1 B3,S,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "S");
    check_list(&a, "units", "serial,depth", "S,0 B2,1 B3,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "S", "until", moment(&a, LATER - 1));
    check_list(&a, "units", "serial,depth", "S,0 B1,1 B2,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "nozzle=3");
    check_list(&a, "units", "serial,depth", "S,0 B1,1 B2,1");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "station", "aoi");
    check_list(&a, "units", "serial,depth", "B2,0");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(case_26_lists_tell_bearers_apart)
{
    struct fixture f;
    struct asked a;
    fixture_open_with(&f, REUSED);
    fixture_start(&f);
    add(&f, "presence.line", 40, "1 S aoi 30 40 exact 1 -");
    add(&f, "aoi", 41, "S open R1 fail 1.5");
    add(&f, "presence.line", LATER + 40, "2 S aoi 20030 20040 exact 1 -");
    add(&f, "aoi", LATER + 41, "S - - pass 2.5");
    /* The second is good, the first is bad for ever. */
    ASK(&f, &a, "trace.units", "verdict", "bad");
    CHECK_EQ(a.answer->rows, 1);
    CHECK_STR(text_of(&a, "unit", 0), "01000000000000000000000000000000");
    asked_fini(&a);
    add(&f, "aoi", LATER + 42, "S short R1 scrap 1.5");
    ASK(&f, &a, "trace.units", "verdict", "bad");
    CHECK_EQ(a.answer->rows, 2);
    CHECK_STR(text_of(&a, "unit", 0), "02000000000000000000000000000000");
    CHECK_STR(text_of(&a, "defects", 0), "short");
    CHECK_STR(text_of(&a, "unit", 1), "01000000000000000000000000000000");
    CHECK_STR(text_of(&a, "defects", 1), "open");
    asked_fini(&a);
    /* What was said of the second is not said of the first, when only this one is listed. */
    ASK(&f, &a, "trace.units", "until", moment(&a, 100));
    CHECK_EQ(a.answer->rows, 1);
    CHECK_STR(text_of(&a, "verdict", 0), "fail");
    CHECK_STR(text_of(&a, "defects", 0), "open");
    asked_fini(&a);
    fixture_close(&f);
}
