/* Which results of two sides are the same one, with the exact answer. */
#include "app/replay_rules.h"
#include "base/err.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <string.h>

#define S INT64_C(1000000)

static const struct replay_period period = {.from_us = 0, .to_us = 1000 * S, .lead_us = 50 * S};

static void tell(struct replay_facts *l, enum trace_result_kind kind, const char *unit,
                 const char *serial, const char *name, double value, int64_t at_us)
{
    const struct trace_result r = {
        .kind = kind,
        .rule = bytes_of_text("r"),
        .unit = bytes_of_text(unit),
        .serial = bytes_of_text(serial),
        .operation = bytes_of_text("press"),
        .station = bytes_of_text(""),
        .name = bytes_of_text(name),
        .type = bytes_of_text(""),
        .position = bytes_of_text(""),
        .value = {.type = kind == TRACE_RESULT_MEASURE ? VALUE_DOUBLE : VALUE_NULL, .f64 = value},
        .at = at_us,
    };
    CHECK_OK(replay_facts_result(l, &r));
}

static void measure(struct replay_facts *l, const char *serial, double value, int64_t at_s)
{
    tell(l, TRACE_RESULT_MEASURE, "", serial, "force", value, at_s * S);
}

static void count(void *ctx, const char *rule, enum replay_fact_change change)
{
    uint32_t *counts = ctx;
    CHECK_STR(rule, "r");
    counts[change]++;
}

/* "same changed moved added removed" */
static void compared(struct replay_facts *before, struct replay_facts *after, const char *want)
{
    uint32_t n[REPLAY_FACT_CHANGES] = {0};
    struct replay_answer answer = {.truncated = false};
    char text[64];
    replay_facts_settle(before);
    replay_facts_settle(after);
    CHECK_OK(replay_facts_diff(before, after, &period, count, n, &answer));
    (void)snprintf(text, sizeof text, "%u %u %u %u %u", n[0], n[1], n[2], n[3], n[4]);
    CHECK_STR(text, want);
    buf_fini(&answer.rows);
    replay_facts_fini(before);
    replay_facts_fini(after);
}

TEST(results_are_known_again_by_serial_and_time)
{
    struct replay_facts before = {0};
    struct replay_facts after = {0};
    measure(&before, "A", 1, 10);
    measure(&after, "A", 1, 10); /* same */
    measure(&before, "B", 1, 20);
    measure(&after, "B", 2, 20); /* changed */
    measure(&before, "C", 1, 30);
    measure(&after, "C", 1, 31); /* moved */
    measure(&before, "D", 1, 40);
    measure(&after, "D", 1, 91); /* removed and added: further apart than lead */
    measure(&before, "E", 1, -1);
    measure(&after, "E", 2, -1);  /* before the period */
    measure(&after, "F", 1, 999); /* added */
    measure(&after, "G", 1, 1000);
    compared(&before, &after, "1 1 1 2 1");
}

TEST(of_several_the_nearest_is_the_partner)
{
    struct replay_facts before = {0};
    struct replay_facts after = {0};
    measure(&before, "A", 1, 10); /* removed: the next one is nearer to what there is */
    measure(&before, "A", 2, 30);
    measure(&after, "A", 2, 31); /* moved */
    measure(&before, "A", 3, 200);
    measure(&after, "A", 3, 200); /* same, though another one is not far */
    measure(&after, "A", 3, 199); /* added */
    compared(&before, &after, "1 0 1 1 1");
}

TEST(the_last_word_of_a_moment_counts)
{
    struct replay_facts before = {0};
    struct replay_facts after = {0};
    measure(&before, "A", 1, 10);
    measure(&before, "A", 2, 10);
    measure(&after, "A", 2, 10);
    compared(&before, &after, "1 0 0 0 0");
}

TEST(stored_values_have_their_time_alone)
{
    struct replay_facts before = {0};
    struct replay_facts after = {0};
    struct replay_facts *const lists[] = {&before, &after};
    for (int i = 0; i < 2; i++) {
        struct replay_fact like = {.rule = replay_facts_text(lists[i], bytes_of_text("r")),
                                   .name = replay_facts_text(lists[i], bytes_of_text("mean"))};
        const struct value v = {.type = VALUE_DOUBLE, .f64 = 0.1};
        like.at = 10 * S;
        CHECK_OK(replay_facts_value(lists[i], &like, &v, false)); /* same */
        like.at = 20 * S + i * 2000;
        CHECK_OK(replay_facts_value(lists[i], &like, &v, false)); /* removed and added */
    }
    CHECK_STR(before.items[0].value, "0.1");
    compared(&before, &after, "1 0 0 1 1");
}

static void visit(struct replay_list *l, const char *unit, const char *serial, int64_t revision,
                  int64_t t_out_s)
{
    const struct replay_presence p = {.track = "t",
                                      .station = "press",
                                      .unit = unit,
                                      .serial = serial,
                                      .status = "exact",
                                      .evidence = "",
                                      .t_in = 0,
                                      .t_out = t_out_s * S,
                                      .revision = revision,
                                      .probability = 1};
    CHECK_OK(replay_list_add(l, &p));
}

TEST(results_have_the_serial_and_the_station_of_their_visit)
{
    struct replay_facts l = {0};
    struct replay_list visits = {0};
    visit(&visits, "u1", "A", 1, 10);
    visit(&visits, "u2", "?u2", 1, 20);
    visit(&visits, "u1", "A", 2, 11); /* it ended later, after all */
    tell(&l, TRACE_RESULT_MEASURE, "u1", "", "force", 1, 10 * S);
    tell(&l, TRACE_RESULT_MEASURE, "u1", "", "force", 2, 11 * S);
    tell(&l, TRACE_RESULT_MEASURE, "u2", "", "force", 3, 20 * S);
    tell(&l, TRACE_RESULT_LINK, "u1", "", "u2", 0, 11 * S);
    tell(&l, TRACE_RESULT_LINK, "lot 7", "", "u1", 0, 11 * S);
    CHECK_OK(replay_facts_name(&l, &visits));
    CHECK_EQ(l.count, 4); /* the first revision's result does not hold */
    CHECK_STR(l.items[0].value, "2");
    CHECK_STR(l.items[0].serial, "A");
    CHECK_STR(l.items[0].station, "press");
    CHECK_STR(l.items[1].serial, "");
    CHECK_STR(l.items[2].serial, "A");
    CHECK_STR(l.items[3].serial, "lot 7");
    CHECK_STR(l.items[3].name, "A");
    replay_list_fini(&visits);
    replay_facts_fini(&l);
}
