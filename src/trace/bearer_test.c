/* Which unit bore a serial when: pieces of time. */
#include "tests/support/check.h"
#include "trace/trace_priv.h"

#define HOUR ((int64_t)3600 * 1000000)

TEST(case_26_pieces_of_time_are_one_bearers_until_nothing_is_told_for_too_long)
{
    /* As they came: late, one within another, one point. */
    struct trace_span s[] = {{30 * HOUR, 31 * HOUR}, {0, HOUR},
                             {2 * HOUR, 2 * HOUR},   {3 * HOUR, 9 * HOUR},
                             {4 * HOUR, 5 * HOUR},   {21 * HOUR, 22 * HOUR}};
    CHECK_EQ(trace_spans_unite(s, 6, 12 * HOUR), 1);
    CHECK_EQ(s[0].to, 31 * HOUR);
    struct trace_span t[] = {
        {21 * HOUR + 1, 22 * HOUR}, {3 * HOUR, 9 * HOUR}, {4 * HOUR, 5 * HOUR}};
    CHECK_EQ(trace_spans_unite(t, 3, 12 * HOUR), 2); /* longer than 12 h, by a microsecond */
    CHECK_EQ(t[0].from, 3 * HOUR);
    CHECK_EQ(t[0].to, 9 * HOUR);
    CHECK_EQ(t[1].from, 21 * HOUR + 1);
    CHECK_EQ(trace_spans_unite(t, 0, HOUR), 0);
}

TEST(case_26_each_moment_is_of_one_bearer)
{
    const struct trace_span s[] = {{10, 20}, {100, 120}, {200, 200}};
    CHECK_EQ(bearer_at(s, 3, 0), 0);
    CHECK_EQ(bearer_at(s, 3, 99), 0);
    CHECK_EQ(bearer_at(s, 3, 100), 1);
    CHECK_EQ(bearer_at(s, 3, 150), 1);
    CHECK_EQ(bearer_at(s, 3, INT64_MAX), 2);
    CHECK_EQ(bearer_time(s, 3, 0).from, INT64_MIN);
    CHECK_EQ(bearer_time(s, 3, 0).to, 100);
    CHECK_EQ(bearer_time(s, 3, 2).to, INT64_MAX);
    for (int64_t at = 0; at < 300; at++) {
        uint32_t times = 0;
        for (uint32_t i = 0; i < 3; i++)
            times += trace_span_has(bearer_time(s, 3, i), at);
        CHECK_EQ(times, 1);
    }
    CHECK(trace_span_has(trace_span_all, INT64_MAX) && trace_span_has(trace_span_all, INT64_MIN));
}

TEST(case_26_the_first_rule_that_fits_counts_and_a_units_id_is_for_ever)
{
    struct bearer_rule list[] = {{"P-[0-9]*", HOUR}, {"*", 5 * HOUR}};
    const struct bearer_rules r = {list, 2};
    const struct bearer_rules none = {0};
    CHECK_EQ(bearer_after(&r, bytes_of_text("P-1")), HOUR);
    CHECK_EQ(bearer_after(&r, bytes_of_text("P-x")), 5 * HOUR);
    CHECK_EQ(bearer_after(&r, bytes_of_text("0a000000000000000000000000000000")), 0);
    CHECK_EQ(bearer_after(&none, bytes_of_text("P-1")), 0);
    CHECK_EQ(bearer_after_least(&r), HOUR);
    CHECK_EQ(bearer_after_least(&none), INT64_MAX);
}

static void check_config(const char *text, int line, const char *want)
{
    struct config *config = NULL;
    struct arena arena = {0};
    struct bearer_rules r = {0};
    struct diag diag = {0};
    CHECK_OK(config_parse("t.yaml", bytes_of_text(text), &config, &diag));
    int err = bearer_config(&r, config, &arena, &diag);
    CHECK_EQ(err != OK, want[0] != 0);
    if (want[0] && !strstr(diag.text, want))
        check_fail_at(__FILE__, __LINE__, "%s is not in: %s", want, diag.text);
    CHECK_EQ(diag.line, line);
    arena_fini(&arena);
    config_free(config);
}

TEST(case_26_what_is_wrong_with_a_rule_is_said_where_it_stands)
{
    check_config("name: n\n", 0, "");
    check_config("name: n\nhistorian:\n  serials_reused: [{match: \"P-*\", after: 12h}]\n", 0, "");
    check_config("name: n\nhistorian:\n  serials_reused: 12h\n", 3, "serials_reused is a list");
    check_config("name: n\nhistorian:\n  serials_reused:\n    - {match: \"P-*\"}\n", 4, "after");
    check_config("name: n\nhistorian:\n  serials_reused:\n    - {match: \"P-*\", after: 1ms}\n", 4,
                 "after");
}
