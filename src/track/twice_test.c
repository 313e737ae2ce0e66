/* Serials at two places at once: what counts as that, how long it is told, and over a restart. */
#include "track/twice.h"

#include "base/err.h"
#include "tests/support/check.h"

#include <stdio.h>

#define SECOND INT64_C(1000000)

struct told {
    uint32_t raised;
    uint32_t over;
    char text[TWICE_TEXT_BYTES_MAX];
};

static void on_alarm(void *ctx, const char *serial, const char *text)
{
    struct told *t = ctx;
    (void)serial;
    t->raised += text != NULL;
    t->over += text == NULL;
    if (text)
        (void)snprintf(t->text, sizeof t->text, "%s", text);
}

static void start(struct twice *w, struct told *t)
{
    twice_init(w);
    w->alarm = on_alarm;
    w->ctx = t;
}

/* Where else the serial was; "" = nowhere. Times in seconds. */
static const char *note(struct twice *w, const char *serial, const char *station, uint8_t unit,
                        int64_t from, int64_t to)
{
    uint8_t id[TRACK_UNIT_BYTES] = {unit};
    struct twice_seen seen = {serial, station, id, from * SECOND, to * SECOND};
    const char *other = NULL;
    CHECK_OK(twice_note(w, &seen, &other));
    return other ? other : "";
}

TEST(two_units_with_one_serial_are_told_once)
{
    struct told told = {0};
    struct twice w;
    start(&w, &told);
    CHECK_STR(note(&w, "A", "print", 1, 1000, 1010), "");
    CHECK_STR(note(&w, "B", "print", 2, 1012, 1022), "");
    CHECK_STR(note(&w, "A", "test", 3, 1005, 1020), "print");
    CHECK_STR(told.text,
              "the serial A was at two places at once: at print from "
              "1970-01-01T00:16:40Z to 1970-01-01T00:16:50Z, and at test from "
              "1970-01-01T00:16:45Z to 1970-01-01T00:17:00Z. Two units bear it, or a "
              "scanner shows an old code; the latter visit is kept as ambiguous. Find the "
              "units and see what is on their labels");
    CHECK_STR(note(&w, "A", "pack", 4, 1015, 1030), "test");
    CHECK_EQ(told.raised, 1);
    CHECK_EQ(w.found, 2);
    twice_fini(&w);
}

TEST(a_unit_that_comes_back_is_one_unit)
{
    struct told told = {0};
    struct twice w;
    start(&w, &told);
    CHECK_STR(note(&w, "A", "test", 1, 1000, 1010), "");
    CHECK_STR(note(&w, "A", "rework", 2, 1010, 1100), "");
    CHECK_STR(note(&w, "A", "test", 3, 1099, 1110), "");     /* the edges' own times */
    CHECK_STR(note(&w, "A", "test.bed", 3, 1100, 1108), ""); /* a place within a place */
    CHECK_EQ(told.raised, 0);
    twice_fini(&w);
}

TEST(the_alarm_ends_half_an_hour_later)
{
    struct told told = {0};
    struct twice w;
    start(&w, &told);
    (void)note(&w, "A", "print", 1, 1000, 1010);
    (void)note(&w, "A", "test", 2, 1000, 1010);
    CHECK_STR(note(&w, "B", "test", 3, 2000, 2010), "");
    CHECK_EQ(told.over, 0);
    CHECK_STR(note(&w, "B", "test", 4, 1010 + 1801, 1010 + 1802), "");
    CHECK_EQ(told.over, 1);
    CHECK_EQ(w.alarms, 0);
    CHECK_EQ(w.count, 2);
    twice_fini(&w);
}

TEST(a_storm_is_bounded)
{
    struct told told = {0};
    struct twice w;
    start(&w, &told);
    for (int i = 0; i < 5000; i++) {
        char serial[16];
        (void)snprintf(serial, sizeof serial, "S%d", i);
        (void)note(&w, serial, "print", 1, 1000, 1010);
        CHECK_STR(note(&w, serial, "test", 2, 1000, 1010), "print");
    }
    CHECK(w.count <= TWICE_STAYS_MAX);
    CHECK(told.raised - told.over <= TWICE_ALARMS_MAX);
    CHECK_EQ(w.found, 5000);
    twice_fini(&w);
}

TEST(it_is_known_after_a_restart)
{
    struct told told = {0};
    struct twice w;
    struct buf blob = {0};
    start(&w, &told);
    (void)note(&w, "A", "print", 1, 1000, 1010);
    (void)note(&w, "A", "test", 2, 1000, 1010);
    (void)note(&w, "B", "test", 3, 1020, 1030);
    CHECK_OK(twice_encode(&w, &blob));
    twice_fini(&w);
    for (size_t len = 0; len < blob.len; len++) {
        start(&w, &told);
        CHECK(twice_decode(&w, bytes_of(blob.ptr, len)) != OK);
        twice_fini(&w);
    }
    start(&w, &told);
    CHECK_OK(twice_decode(&w, buf_bytes(&blob)));
    CHECK_EQ(w.count, 3);
    CHECK_EQ(w.alarms, 1);
    CHECK_STR(note(&w, "B", "pack", 4, 1025, 1040), "test");
    CHECK_STR(note(&w, "A", "pack", 5, 1005, 1040), "test");
    CHECK_EQ(told.raised, 2); /* A in the run before, B in this one */
    twice_fini(&w);
    buf_fini(&blob);
}
