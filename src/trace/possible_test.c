/* What is certain of a unit and what is only possible: whose stay it may have been, which of two
 * visits a row is of, and quantities, over a real historian. */
#include "tests/support/story_bench.h"

/* Of each step: station, its probability, and whom it may have been of instead. */
static void check_others(struct asked *a, const char *want)
{
    struct buf out = {0};
    const struct tree *steps = list_of(a, "steps");
    for (const struct tree *row = steps->first; row; row = row->next) {
        (void)buf_printf(&out, "%s%s,%s:", out.len ? " " : "", tree_text(tree_get(row, "station")),
                         tree_text(tree_get(row, "probability")));
        TREE_EACH(other, tree_get(row, "others"))
        (void)buf_printf(&out, "(%s,%s)", tree_text(tree_get(other, "serial")),
                         tree_text(tree_get(other, "probability")));
    }
    CHECK_STR(buf_text(&out), want);
    buf_fini(&out);
}

/* Three may have been it; of what else was there at other times, or bears the number on another
 * track or at another station, nobody. */
TEST(an_ambiguous_stay_tells_whom_it_may_have_been_of_instead)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 8, "3 C rack 1 8 exact 1 1 5 false");
    add(&f, "presence.floor", 20, "1 A printer 10 20 ambiguous 0.5 1 7 false");
    add(&f, "presence.floor", 20, "2 B printer 10 20 ambiguous 0.3 1 7 false");
    add(&f, "presence.floor", 20, "3 ?3 printer 10 21 ambiguous 0.2 1 7 false");
    add(&f, "presence.floor", 20, "4 D printer 10 20 ambiguous 0.4 1 6 false");
    add(&f, "presence.floor", 20, "5 E aoi 10 20 ambiguous 0.5 1 7 false");
    add(&f, "presence.floor", 90, "6 F printer 80 90 ambiguous 0.5 1 7 false");
    add(&f, "presence.floor", 40, "1 A aoi 30 40 exact 1 1 8 false");
    add(&f, "presence.floor", 40, "2 B aoi 30 40 exact 1 1 8 false");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_others(&a, "printer,0.5:(B,0.3)(C,0.2) aoi,1:");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "F");
    check_others(&a, "printer,0.5:");
    asked_fini(&a);
    /* One of them is ruled out, another is likelier for it. */
    int64_t known = clock_wall_us();
    char as_of[CLOCK_TEXT_BYTES_MAX];
    CHECK(clock_format(known, as_of) > 0);
    CHECK_SOON(clock_wall_us() > known, 1000);
    add(&f, "presence.floor", 50, "1 A printer 10 20 ambiguous 0.6 2 7 false");
    add(&f, "presence.floor", 50, "2 B printer 10 20 ambiguous 0 2 7 true");
    add(&f, "presence.floor", 50, "3 ?3 printer 10 21 ambiguous 0.4 2 7 false");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_others(&a, "printer,0.6:(C,0.4) aoi,1:");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "A", "as_of", as_of);
    check_others(&a, "printer,0.5:(B,0.3)(C,0.2) aoi,1:");
    asked_fini(&a);
    fixture_close(&f);
}

/* Of each visit: serial, verdict, defects, probability. */
static void check_units(struct asked *a, const char *want)
{
    struct buf out = {0};
    CHECK_OK(a->err);
    for (uint32_t i = 0; i < a->answer->rows; i++)
        (void)buf_printf(&out, "%s%s,%s,%s,%g", i ? " " : "", text_of(a, "serial", i),
                         text_of(a, "verdict", i), text_of(a, "defects", i),
                         value_of(a, "probability", i).f64);
    CHECK_STR(buf_text(&out), want);
    buf_fini(&out);
}

/* Each row is of one visit, also where the next begins as it ends, and however late a row is. */
TEST(of_two_visits_each_has_its_own_verdict)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A printer 10 20 exact 1 1 7 false");
    add(&f, "print", 20, "1 25 ann 3 LOT-7 - -");
    add(&f, "presence.floor", 30, "1 A printer 20 30 exact 1 1 8 false");
    add(&f, "print", 30, "1 15 ann 3 LOT-7 - -");
    add(&f, "aoi", 32, "A - - - 5");
    ASK(&f, &a, "trace.units", "station", "printer");
    check_units(&a, "A,pass,,1 A,fail,,1");
    asked_fini(&a);
    /* The first alone: the second is not in the answer, and its row is not taken for the first's.
     */
    ASK(&f, &a, "trace.units", "station", "printer", "until", "2025-11-22T08:27:05Z");
    check_units(&a, "A,fail,,1");
    asked_fini(&a);
    /* What was said of a stay that is taken back is nobody's. */
    add(&f, "presence.floor", 60, "1 A printer 20 30 exact 0 2 8 true");
    ASK(&f, &a, "trace.units", "station", "printer");
    check_units(&a, "A,fail,,1");
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_unit_may_be_bad_that_may_have_been_another)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.floor", 20, "1 A printer 10 20 ambiguous 0.75 1 7 false");
    add(&f, "presence.floor", 20, "2 B printer 10 20 ambiguous 0.25 1 7 false");
    add(&f, "print", 20, "1 25 ann 3 LOT-7 - -");
    add(&f, "print", 20, "2 25 ann 3 LOT-7 - -");
    add(&f, "presence.floor", 40, "2 B printer 30 40 exact 1 1 9 false");
    ASK(&f, &a, "trace.units", "verdict", "bad");
    check_units(&a, "A,fail,,0.75");
    asked_fini(&a);
    add(&f, "print", 40, "2 9 ann 3 LOT-7 - -");
    ASK(&f, &a, "trace.units", "verdict", "bad");
    check_units(&a, "B,fail,,1 A,fail,,0.75");
    asked_fini(&a);
    ASK(&f, &a, "trace.units", "until", "2025-11-22T08:27:05Z");
    check_units(&a, "A,fail,,0.75 B,fail,,0.25");
    asked_fini(&a);
    fixture_close(&f);
}

static void check_factor(struct fixture *f, const char *what, const char *want)
{
    struct asked a;
    ASK(f, &a, "trace.forward", "from", what);
    check_list(&a, "units", "serial,probability", want);
    asked_fini(&a);
}

/* Back to the first, told late, corrected: each value has the time that it was so. Of a stay that
 * may have been another's it is that much less likely. */
TEST(case_24_a_factor_has_its_share_of_the_stay)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "print", 12, "1 15 ann 3 LOT-1 - -");
    add(&f, "print", 18, "1 15 ann 3 LOT-1 - -");
    add(&f, "print", 15, "1 15 bob 3 LOT-3 - -"); /* late */
    add(&f, "print", 15, "1 15 bob 3 LOT-2 - -"); /* and corrected */
    add(&f, "print", 16, "1 15 bob 3 LOT-2 - -");
    add(&f, "presence.floor", 20, "1 A printer 10 20 ambiguous 0.5 1 7 false");
    add(&f, "presence.floor", 20, "2 B printer 10 20 ambiguous 0.5 1 7 false");
    ASK(&f, &a, "trace.unit", "serial", "A");
    check_list(&a, "factors", "name,value,at,share,probability",
               "nozzle,3,2025-11-22T08:26:52Z,1,0.5 operator,ann,2025-11-22T08:26:52Z,0.5,0.5 "
               "paste,LOT-1,2025-11-22T08:26:52Z,0.5,0.5 operator,bob,2025-11-22T08:26:55Z,0.3,0.5 "
               "paste,LOT-2,2025-11-22T08:26:55Z,0.3,0.5 operator,ann,2025-11-22T08:26:58Z,0.2,0.5 "
               "paste,LOT-1,2025-11-22T08:26:58Z,0.2,0.5");
    asked_fini(&a);
    check_factor(&f, "paste=LOT-1", "A,0.35");
    check_factor(&f, "paste=LOT-2", "A,0.15");
    check_factor(&f, "paste=LOT-3", "");
    check_factor(&f, "nozzle=3", "A,0.5");
    /* A second stay with the one lot alone, certain. */
    add(&f, "presence.floor", 40, "1 A printer 30 40 exact 1 1 8 false");
    add(&f, "print", 40, "1 15 ann 3 LOT-1 - -");
    check_factor(&f, "paste=LOT-1", "A,1");
    check_factor(&f, "paste=LOT-2", "A,0.15");
    fixture_close(&f);
}

/* Several feeders at a time: what one record says of one moment was all there. */
TEST(case_24_lots_of_several_feeders_are_no_change)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "print", 12, "1 15 ann 3 LOT-1 - - | 1 15 ann 3 LOT-2 - -");
    add(&f, "print", 16, "1 15 ann 3 LOT-1 - - | 1 15 ann 3 LOT-2 - -");
    add(&f, "presence.line", 20, "1 S printer 10 20 exact 1 -");
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "factors", "name,value,share",
               "nozzle,3,1 operator,ann,1 paste,LOT-1,1 paste,LOT-2,1");
    asked_fini(&a);
    check_factor(&f, "paste=LOT-1", "S,1");
    check_factor(&f, "paste=LOT-2", "S,1");
    fixture_close(&f);
}

/* Scales show three places: what is parted weighs a gram less than before, and no more than the
 * rounding of as many readings. */
static void check_rounded(double whole, double sum, int readings)
{
    CHECK(whole - sum <= readings * 0.0005 + 1e-9 && sum - whole <= readings * 0.0005 + 1e-9);
}

TEST(case_28_quantities_of_what_is_parted_and_put_together_add_up_within_their_rounding)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    /* 10 kg of the slab into three bars, of which two are melted into one. */
    add(&f, "part", 10, "SLAB BAR-1 BAR-2 BAR-3 LOT-1 3.333 3.333 3.333 10");
    add(&f, "part", 20, "INGOT - - - BAR-1 - - - 3.333");
    add(&f, "part", 21, "INGOT - - - BAR-2 - - - 3.333");
    ASK(&f, &a, "trace.unit", "serial", "SLAB", "depth", "1");
    check_list(&a, "parents", "parent,kind,quantity", "LOT-1,split,10");
    check_list(&a, "children", "child,kind,position,quantity",
               "BAR-1,split,1,3.333 BAR-2,split,2,3.333 BAR-3,split,3,3.333");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "INGOT", "depth", "1");
    check_list(&a, "parents", "parent,quantity", "BAR-1,3.333 BAR-2,3.333");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "SLAB");
    check_list(&a, "units", "serial,depth,quantity",
               "SLAB,0,null BAR-1,1,3.333 BAR-2,1,3.333 BAR-3,1,3.333 INGOT,2,6.666");
    CHECK_NEAR(value_of(&a, "quantity", 0).f64, 9.999, 1e-9);
    check_rounded(10, value_of(&a, "quantity", 0).f64, 3);
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "LOT-1", "depth", "1");
    check_list(&a, "units", "serial,depth,quantity", "SLAB,1,10");
    CHECK_NEAR(value_of(&a, "quantity", 0).f64, 10, 1e-9);
    asked_fini(&a);
    /* Told again, it is no more; weighed again, it is what was said last. */
    add(&f, "part", 10, "SLAB BAR-1 BAR-2 BAR-3 LOT-1 3.333 3.333 3.334 10");
    ASK(&f, &a, "trace.forward", "from", "SLAB", "depth", "1");
    check_list(&a, "units", "serial,quantity", "SLAB,null BAR-1,3.333 BAR-2,3.333 BAR-3,3.334");
    CHECK_NEAR(value_of(&a, "quantity", 0).f64, 10, 1e-9);
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "SLAB", "depth", "1");
    check_list(&a, "children", "child,quantity", "BAR-1,3.333 BAR-2,3.333 BAR-3,3.334");
    asked_fini(&a);
    /* And of what was taken at two times, both. */
    add(&f, "part", 30, "ROD - - - LOT-1 - - - 0.5");
    add(&f, "part", 40, "ROD - - - LOT-1 - - - 0.25");
    ASK(&f, &a, "trace.unit", "serial", "ROD", "depth", "1");
    check_list(&a, "parents", "parent,quantity", "LOT-1,0.75");
    asked_fini(&a);
    ASK(&f, &a, "trace.forward", "from", "LOT-1", "depth", "1");
    check_list(&a, "units", "serial,quantity", "SLAB,10 ROD,0.75");
    CHECK_NEAR(value_of(&a, "quantity", 0).f64, 10.75, 1e-9);
    asked_fini(&a);
    /* The index is made anew with them. */
    fixture_stop(&f);
    run_sql(f.path, "DELETE FROM trace_runs; DELETE FROM trace_tail");
    fixture_catalogue(&f);
    fixture_start(&f);
    ASK(&f, &a, "trace.forward", "from", "LOT-1", "depth", "1");
    check_list(&a, "units", "serial,quantity", "SLAB,10 ROD,0.75");
    asked_fini(&a);
    /* What nobody weighed has none. */
    add_panel(&f);
    ASK(&f, &a, "trace.forward", "from", "LOT-7");
    check_list(&a, "units", "serial,quantity", "P,null B1,null B2,null");
    CHECK(value_of(&a, "quantity", 0).type == VALUE_NULL);
    asked_fini(&a);
    fixture_close(&f);
}

TEST(a_measure_says_which_part_of_the_stay_it_knows)
{
    struct fixture f;
    struct asked a;
    fixture_open(&f);
    fixture_start(&f);
    add(&f, "presence.line", 20, "1 S gauge 10 20 exact 1 -");
    add(&f, "gauge", 20, "1 2.5 7 0.75 1");
    add(&f, "presence.line", 40, "2 T gauge 30 40 exact 1 -");
    add(&f, "gauge", 40, "2 2.5 7 0 -");
    add(&f, "print", 40, "2 15 ann 3 LOT-7 - -");
    ASK(&f, &a, "trace.unit", "serial", "S");
    check_list(&a, "measures", "characteristic,value,covered", "deep,7,1 wide,2.5,0.75");
    asked_fini(&a);
    ASK(&f, &a, "trace.unit", "serial", "T");
    check_list(&a, "measures", "characteristic,value,covered",
               "deep,7,null thick,15,null wide,2.5,0");
    asked_fini(&a);
    fixture_close(&f);
}
