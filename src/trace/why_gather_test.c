/* From the tables to the cause: rows as rules write them, with units known by ids on one side and
 * by serials on the other, panels that become boards, and a test that would give itself away. */
#include "trace/why_gather.h"

#include "tests/support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T0_US     INT64_C(1767225600000000) /* 2026-01-01 */
#define HOUR_US   INT64_C(3600000000)
#define END       "'n', 'r', TIMESTAMP '2026-01-03', 1, false"
#define AT(extra) "TIMESTAMP '2026-01-01' + INTERVAL (i * 20 + " #extra ") SECOND"

/* Panel i has the id u<i> at the printer and v<i> at the oven, serial P<i>, boards P<i>-1 and -2.
 * Paste lot changes every 400 panels, reel of feeder C12 every 170; one reel is bad on its boards.
 */
static const char *const fill[] = {
    "CREATE TABLE p AS SELECT range AS i, CAST(hash(range) % 1000 AS INTEGER) AS h FROM "
    "range(2000)",
    "INSERT INTO units SELECT 'u' || i, 'P' || i, 'exact', 'n', 'print', " AT(
        1) ", NULL, "
           "TIMESTAMP '2026-01-03', 1, false, 'printer', 0 FROM p",
    "INSERT INTO units SELECT 'v' || i, 'P' || i, 'exact', 'n', 'oven', " AT(
        60) ", NULL, "
            "TIMESTAMP '2026-01-03', 1, false, 'reflow', 0 FROM p",
    "INSERT INTO steps SELECT 'v' || i, 'n', 'oven', 'reflow', '', " AT(60) ", " AT(
        300) ", "
             "'exact', 1, '', '', TIMESTAMP '2026-01-03', 1, false, 0, '' FROM p",
    "INSERT INTO factors SELECT 'u' || i, '', 'print', '', 'man', 'operator', 'op' || (i // 700), "
    "NULL, " AT(2) ", " END " FROM p",
    "INSERT INTO factors SELECT 'u' || i, '', 'print', '', 'machine', 'nozzle', CAST(h % 4 AS "
    "VARCHAR), h % 4, " AT(2) ", " END " FROM p",
    "INSERT INTO factors SELECT '', 'P' || i, 'print', '', 'method', 'constant', 'same', NULL, " AT(
        2) ", " END " FROM p",
    "INSERT INTO links SELECT 'paste' || (i // 400), 'u' || i, 'consumption', NULL, '', 'print', "
    "'', " AT(2) ", NULL, " END " FROM p",
    "INSERT INTO links SELECT 'reel' || (i // 170), 'P' || i, 'consumption', NULL, 'C12', 'place', "
    "'', " AT(30) ", NULL, " END " FROM p WHERE h % 2 = 0",
    "INSERT INTO measures SELECT 'v' || i, 'n', 'r', '', 'reflow', 'zone5', 240 + h / 1000.0, "
    "NULL, "
    "NULL, NULL, '', " AT(300) ", TIMESTAMP '2026-01-03', 1, false, '', NULL FROM p",
    "INSERT INTO links SELECT 'P' || i, 'P' || i || '-' || b, 'split', NULL, '', 'depanel', "
    "'', " AT(400) ", NULL, " END " FROM p, range(1, 3) r(b)",
    "CREATE TABLE b AS SELECT i, 'P' || i || '-' || b AS serial, h % 2 = 0 AND i // 170 = 5 AND "
    "hash(i * 2 + b) % 3 = 0 OR hash(i * 2 + b) % 200 = 0 AS bad FROM p, range(1, 3) r(b)",
    "INSERT INTO verdicts SELECT '', serial, 'ict', '', CASE WHEN bad THEN 'fail' ELSE 'pass' "
    "END, " AT(500) ", " END " FROM b",
    "INSERT INTO defects SELECT '', serial, 'ict', '', 'open', 'R1', " AT(500) ", " END
                                                                               " FROM b WHERE bad",
    "INSERT INTO measures SELECT '', 'n', 'r', '', 'ict', 'resistance', CASE WHEN bad THEN 1e9 "
    "ELSE "
    "100 END, NULL, NULL, NULL, '', " AT(
        500) ", TIMESTAMP '2026-01-03', 1, false, serial, NULL FROM b",
    /* what happened to a board after its test can't have caused what the test found */
    "INSERT INTO factors SELECT '', serial, 'rework', '', 'man', 'repairer', CASE WHEN bad THEN "
    "'x' "
    "ELSE 'y' END, NULL, " AT(900) ", " END " FROM b",
};

struct fixture {
    struct duck *duck;
    struct duck_conn *conn;
};

static void open_tables(struct fixture *f)
{
    struct diag diag = {0};
    char path[512];
    (void)snprintf(path, sizeof path, "%s/w.duckdb", check_folder());
    if (duck_open(&(struct duck_options){.path = path}, &f->duck, &diag))
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
    CHECK_OK(duck_connect(f->duck, &f->conn));
    for (int i = 0; i < TRACE_TABLE_COUNT; i++)
        if (trace_tables[i].ddl && duck_exec(f->conn, trace_tables[i].ddl, &diag))
            check_fail_at(__FILE__, __LINE__, "%s", diag.text);
}

static void exec_all(const struct fixture *f, const char *const *sql, size_t count)
{
    struct diag diag = {0};
    for (size_t i = 0; i < count; i++)
        if (duck_exec(f->conn, sql[i], &diag))
            check_fail_at(__FILE__, __LINE__, "%s: %s", sql[i], diag.text);
}

static void fill_tables(const struct fixture *f)
{
    exec_all(f, fill, sizeof fill / sizeof fill[0]);
}

static void close_tables(struct fixture *f)
{
    duck_disconnect(f->conn);
    duck_close(f->duck);
}

static void gather(const struct fixture *f, const struct why_question *q, struct why_gathered *ret)
{
    struct diag diag = {0};
    if (why_gather(f->conn, q, ret, &diag))
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
}

static const struct why_factor *factor(const struct why_gathered *g, const char *name,
                                       const char *operation)
{
    for (uint32_t i = 0; i < g->matrix.factor_count; i++)
        if (strcmp(g->matrix.factors[i].name, name) == 0 &&
            strcmp(g->matrix.factors[i].station, operation) == 0)
            return &g->matrix.factors[i];
    return NULL;
}

TEST(rows_become_a_matrix_and_the_reel_is_found)
{
    struct fixture f;
    struct diag diag = {0};
    struct why_gathered g;
    struct why_answer *a = calloc(1, sizeof *a);
    const struct why_question q = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    open_tables(&f);
    fill_tables(&f);
    gather(&f, &q, &g);
    CHECK_STR(g.operation, "ict");
    CHECK_EQ(g.matrix.units, 4000);
    CHECK_EQ(g.parents, 4000);
    /* The panel's rows are the boards', by whichever name they were written. */
    CHECK_EQ(factor(&g, "operator", "print")->entry_count, 4000);
    CHECK_EQ(factor(&g, "operator", "print")->kind, WHY_MAN);
    CHECK_EQ(factor(&g, "lot", "print")->level_count, 5);
    CHECK_EQ(factor(&g, "C12", "place")->level_count, 12);
    CHECK_EQ(factor(&g, "nozzle", "print")->level_count, 4); /* a number that is a name */
    CHECK(factor(&g, "zone5", "reflow")->numbers != NULL);
    /* What does not differ, what the test measured, and what came later explain nothing. */
    CHECK(factor(&g, "constant", "print") == NULL);
    CHECK(factor(&g, "resistance", "ict") == NULL);
    CHECK(factor(&g, "repairer", "rework") == NULL);
    CHECK_OK(why_rank(&g.matrix, a, &diag));
    CHECK_EQ(a->result, WHY_CAUSES);
    const struct why_factor *top = &g.matrix.factors[a->causes[0].factor];
    CHECK_STR(top->name, "C12");
    CHECK_STR(top->levels[a->causes[0].level], "reel5");
    why_gathered_fini(&g);
    close_tables(&f);
    free(a);
}

/* Every tenth panel may have been in the oven as another one, until it was read behind it: the stay
 * that was taken back, and what rules wrote of it, are nobody's. */
TEST(rows_of_a_stay_that_was_taken_back_do_not_count)
{
    static const char *const more[] = {
        "INSERT INTO steps SELECT 'v' || i, 'n', 'oven', 'reflow', '', " AT(310) ", " AT(
            320) ", "
                 "CASE WHEN r = 1 THEN 'ambiguous' ELSE 'missing' END, 0.5, '', '', TIMESTAMP "
                 "'2026-01-03', r, r = 2, 5, '' FROM p, range(1, 3) t(r) WHERE i % 10 = 0",
        "INSERT INTO factors SELECT 'v' || i, '', 'oven', 'reflow', 'machine', 'lane', CAST(i % 3 "
        "AS VARCHAR), NULL, " AT(320) ", " END " FROM p WHERE i % 10 = 0",
        "INSERT INTO measures SELECT 'v' || i, 'n', 'r', 'reflow', 'reflow', 'peak', h, NULL, "
        "NULL, NULL, '', " AT(
            320) ", TIMESTAMP '2026-01-03', 1, false, '', NULL FROM p WHERE i % 10 = 0",
        "INSERT INTO links SELECT 'gas' || (i % 7), 'v' || i, 'consumption', NULL, 'valve', "
        "'oven', "
        "'', " AT(320) ", NULL, " END " FROM p WHERE i % 10 = 0",
        "INSERT INTO defects SELECT 'v' || i, '', 'oven', 'reflow', 'dust', '', " AT(
            320) ", " END " FROM p WHERE i % 10 = 0",
    };
    struct fixture f;
    struct diag diag = {0};
    struct why_gathered g;
    const struct why_question q = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    const struct why_question gone = {"dust", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    open_tables(&f);
    fill_tables(&f);
    exec_all(&f, more, sizeof more / sizeof more[0]);
    gather(&f, &q, &g);
    CHECK_EQ(g.matrix.units, 4000);
    CHECK(factor(&g, "zone5", "reflow") != NULL);
    CHECK(factor(&g, "lane", "oven") == NULL);
    CHECK(factor(&g, "peak", "reflow") == NULL);
    CHECK(factor(&g, "valve", "oven") == NULL);
    why_gathered_fini(&g);
    CHECK_ERR(why_gather(f.conn, &gone, &g, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "no unit has the defect dust in this time; there are open") != NULL);
    why_gathered_fini(&g);
    close_tables(&f);
}

/* How many entries of a factor have a level with a weight. */
static uint32_t entries_of(const struct why_factor *f, const char *level, uint32_t weight)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->entry_count; i++)
        n += strcmp(f->levels[f->entries[i].level], level) == 0 &&
             (f->weights ? f->weights[i] : WHY_WHOLE) == weight;
    return n;
}

static uint32_t numbers_of(const struct why_gathered *g, const struct why_factor *f,
                           uint32_t weight)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->matrix.units; i++)
        n += !isnan(f->numbers[i]) && (f->weights ? f->weights[i] : WHY_WHOLE) == weight;
    return n;
}

/* Every panel went through one of two lanes. Of every tenth nobody knows which: 0.6 to 0.4, or,
 * every fiftieth, twice 0.5 through lane1. Of others nobody knew, until a scan told, or a second
 * look took 0.5 for 0.7. */
static const char *const lanes[] = {
    "CREATE TABLE l AS SELECT i, h, r, CASE WHEN i % 50 = 0 THEN 'lane1' WHEN i % 10 <> 0 THEN "
    "'lane' || (1 + i % 2) ELSE 'lane' || r END AS lane, CASE WHEN i % 50 = 0 THEN 0.5 WHEN i % 10 "
    "= 0 THEN CASE r WHEN 1 THEN 0.6 ELSE 0.4 END ELSE 1 END AS sure FROM p, range(1, 3) t(r) "
    "WHERE r = 1 OR i % 10 = 0",
    "INSERT INTO steps SELECT 'v' || i, 'n', 'line', lane, '', " AT(300 + 4 * r) ", " AT(
        302 + 4 * r) ", CASE WHEN sure < 1 THEN 'ambiguous' ELSE 'exact' END, sure, '', '', "
                     "TIMESTAMP '2026-01-03', 2, false, i * 2 + r, '' FROM l",
    "INSERT INTO steps SELECT 'v' || i, 'n', 'line', lane, '', " AT(300 + 4 * r) ", " AT(
        302 + 4 * r) ", 'ambiguous', 0.5, '', '', TIMESTAMP '2026-01-03', 1, false, i * 2 + r, '' "
                     "FROM l WHERE i % 5 = 0",
    /* two rows in each stay; what the lane tells of itself, and what it uses up */
    "INSERT INTO factors SELECT 'v' || i, '', 'dry', lane, 'machine', 'fan', 'f' || (i // 10 % 3), "
    "NULL, " AT(301 + 4 * r + k) ", " END " FROM l, range(0, 2) t(k)",
    "INSERT INTO factors SELECT 'v' || i, '', 'dry', lane, 'machine', 'lane', lane, NULL, " AT(
        302 + 4 * r) ", " END " FROM l",
    "INSERT INTO measures SELECT 'v' || i, 'n', 'r', lane, 'dry', 'peak', h + r / 10.0, NULL, "
    "NULL, "
    "NULL, '', " AT(302 + 4 * r) ", TIMESTAMP '2026-01-03', 1, false, '', NULL FROM l",
    "INSERT INTO links SELECT 'gas' || i // 400, 'v' || i, 'consumption', NULL, 'valve', 'dry', "
    "lane, " AT(302 + 4 * r) ", NULL, " END " FROM l",
};

TEST(what_may_be_another_unit_s_counts_in_part)
{
    struct fixture f;
    struct diag diag = {0};
    struct why_gathered g;
    struct why_answer *a = calloc(1, sizeof *a);
    const struct why_question q = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    open_tables(&f);
    fill_tables(&f);
    exec_all(&f, lanes, sizeof lanes / sizeof lanes[0]);
    gather(&f, &q, &g);
    /* Of 2000 panels, with two boards each, 160 are 0.6 to 0.4, and 40 twice 0.5: they were in
     * lane1, whichever stay it was. */
    const struct why_factor *lane = factor(&g, "lane", "dry");
    CHECK_EQ(entries_of(lane, "lane1", 60), 2 * 160);
    CHECK_EQ(entries_of(lane, "lane2", 40), 2 * 160);
    CHECK_EQ(entries_of(lane, "lane1", WHY_WHOLE), 2 * (800 + 40));
    CHECK_EQ(entries_of(lane, "lane2", WHY_WHOLE), 2 * 1000);
    CHECK_EQ(lane->entry_count, 2 * (2 * 160 + 840 + 1000));
    const struct why_factor *station = factor(&g, "station", "");
    CHECK_EQ(entries_of(station, "lane1", 60), 2 * 160);
    CHECK_EQ(entries_of(station, "lane2", 40), 2 * 160);
    CHECK_EQ(entries_of(station, "lane1", WHY_WHOLE), 2 * (800 + 40));
    /* Two rows of one stay are in doubt for one reason: 0.6 and 0.4, together certain. */
    CHECK_EQ(factor(&g, "fan", "dry")->entry_count, 4000);
    CHECK(factor(&g, "fan", "dry")->weights == NULL);
    CHECK(factor(&g, "valve", "dry")->weights == NULL);
    /* Of numbers the likelier. */
    const struct why_factor *peak = factor(&g, "peak", "dry");
    CHECK_EQ(numbers_of(&g, peak, 60), 2 * 160);
    CHECK_EQ(numbers_of(&g, peak, 50), 2 * 40);
    CHECK_EQ(numbers_of(&g, peak, WHY_WHOLE), 2 * 1800);
    /* What is in no doubt has no weights. */
    CHECK(factor(&g, "zone5", "reflow")->weights == NULL);
    CHECK(factor(&g, "C12", "place")->weights == NULL);
    CHECK_OK(why_rank(&g.matrix, a, &diag));
    CHECK_EQ(a->result, WHY_CAUSES);
    CHECK_EQ(a->weighted, 2 * 200);
    CHECK_STR(g.matrix.factors[a->causes[0].factor].name, "C12");
    why_gathered_fini(&g);
    close_tables(&f);
    free(a);
}

/* Boards whose panel may have been its neighbour, when they were cut: what was done to either is
 * theirs in part. */
static const char *const cut[] = {
    "CREATE TABLE p AS SELECT range AS i FROM range(60)",
    "INSERT INTO factors SELECT 'w' || i, '', 'print', '', 'machine', 'nozzle', 'n' || (i % 3), "
    "NULL, " AT(-60) ", " END " FROM p",
    "INSERT INTO steps SELECT 'w' || xor(i, k), 'n', 'line', 'saw', '', " AT(10) ", " AT(
        12) ", 'ambiguous', CASE k WHEN 0 THEN 0.7 ELSE 0.3 END, '', '', TIMESTAMP '2026-01-03', "
            "1, false, i, '' FROM p, range(0, 2) t(k)",
    "INSERT INTO links SELECT 'w' || xor(i, k), 'B' || i, 'split', NULL, '', 'cut', 'saw', " AT(
        12) ", NULL, " END " FROM p, range(0, 2) t(k)",
    /* by one whose stay was taken back */
    "INSERT INTO steps SELECT 'x' || i, 'n', 'line', 'saw', '', " AT(10) ", " AT(
        12) ", 'missing', 0, '', '', TIMESTAMP '2026-01-03', 2, true, i, '' FROM p",
    "INSERT INTO factors SELECT 'x' || i, '', 'print', '', 'machine', 'nozzle', 'n' || ((i + 1) % "
    "3), NULL, " AT(-60) ", " END " FROM p",
    "INSERT INTO links SELECT 'x' || i, 'B' || i, 'split', NULL, '', 'cut', 'saw', " AT(
        12) ", NULL, " END " FROM p",
    "INSERT INTO defects SELECT '', 'B' || i, 'test', '', 'open', '', " AT(
        15) ", " END " FROM p WHERE i % 4 "
            "= 0",
    "INSERT INTO verdicts SELECT '', 'B' || i, 'test', '', 'pass', " AT(15) ", " END " FROM p",
};

TEST(what_a_unit_was_made_from_counts_by_how_likely_it_was)
{
    struct fixture f;
    struct why_gathered g;
    const struct why_question q = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    open_tables(&f);
    exec_all(&f, cut, sizeof cut / sizeof cut[0]);
    gather(&f, &q, &g);
    CHECK_EQ(g.matrix.units, 60);
    CHECK_EQ(g.parents, 120);
    const struct why_factor *nozzle = factor(&g, "nozzle", "print");
    CHECK_EQ(nozzle->entry_count, 120);
    for (int i = 0; i < 3; i++) {
        const char level[] = {'n', (char)('0' + i), 0};
        CHECK_EQ(entries_of(nozzle, level, 70), 20);
        CHECK_EQ(entries_of(nozzle, level, 30), 20);
    }
    why_gathered_fini(&g);
    close_tables(&f);
}

TEST(a_defect_that_nobody_has_is_said)
{
    struct fixture f;
    struct diag diag = {0};
    struct why_gathered g;
    const struct why_question q = {"opne", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    open_tables(&f);
    CHECK_ERR(why_gather(f.conn, &q, &g, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "no unit has any defect") != NULL);
    why_gathered_fini(&g);
    fill_tables(&f);
    CHECK_ERR(why_gather(f.conn, &q, &g, &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "there are open") != NULL);
    why_gathered_fini(&g);
    close_tables(&f);
}

/* Boards of a counter that starts anew after 20 hours: the first have nozzle 1 and are bad, the
 * others have nozzle 2 and are good. The visit of the station after that tells no serial. */
static const char *const around[] = {
    "CREATE TABLE b AS SELECT 'S' || i % 100 AS serial, i < 100 AS bad, i * 60 + (i // 100) * "
    "72000 AS s, i FROM range(0, 200) t(i)",
    "INSERT INTO units SELECT 'u' || i, serial, 'exact', 'n', 'line', " AT(
        s) ", NULL, TIMESTAMP '2026-01-03', 1, false, 'print', 0 FROM b",
    "INSERT INTO steps SELECT 'u' || i, 'n', 'line', 'print', '', " AT(s) ", " AT(
        s + 10) ", 'exact', 1, '', '', TIMESTAMP '2026-01-03', 1, false, 0, '' FROM b",
    "INSERT INTO factors SELECT 'u' || i, '', 'print', '', 'machine', 'nozzle', CASE WHEN bad THEN "
    "'1' ELSE '2' END, NULL, " AT(s + 10) ", " END " FROM b",
    "INSERT INTO verdicts SELECT '', serial, 'ict', '', CASE WHEN bad THEN 'fail' ELSE 'pass' "
    "END, " AT(s + 900) ", " END " FROM b",
    "INSERT INTO defects SELECT '', serial, 'ict', '', 'open', '', " AT(
        s + 900) ", " END " FROM b WHERE bad",
};

TEST(case_26_boards_that_bear_a_serial_again_are_other_boards)
{
    struct fixture f;
    struct why_gathered g;
    struct bearer_rule rule = {"S*", 8 * HOUR_US};
    const struct bearer_rules reused = {&rule, 1};
    const struct why_question all = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, NULL};
    const struct why_question q = {"open", NULL, T0_US, T0_US + 48 * HOUR_US, NULL, &reused};
    open_tables(&f);
    exec_all(&f, around, sizeof around / sizeof around[0]);
    gather(&f, &all, &g);
    CHECK_EQ(g.matrix.units, 100); /* and each of both nozzles: nothing is found */
    why_gathered_fini(&g);
    gather(&f, &q, &g);
    CHECK_EQ(g.matrix.units, 200);
    const struct why_factor *nozzle = factor(&g, "nozzle", "print");
    uint32_t bad = 0;
    CHECK_EQ(nozzle->entry_count, 200);
    for (uint32_t i = 0; i < g.matrix.units; i++) {
        bad += g.matrix.bad[i];
        CHECK_EQ(nozzle->entries[i].unit, i);
        CHECK_STR(nozzle->levels[nozzle->entries[i].level], g.matrix.bad[i] ? "1" : "2");
    }
    CHECK_EQ(bad, 100);
    why_gathered_fini(&g);
    close_tables(&f);
}
