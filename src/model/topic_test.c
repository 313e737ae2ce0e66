/* Topics, filters, places and names, by the standard's own examples. */
#include "model/topic.h"

#include "tests/support/check.h"

static bool matches(const char *filter, const char *name)
{
    CHECK(topic_is_filter(bytes_of_text(filter)));
    CHECK(topic_is_name(bytes_of_text(name)));
    return topic_matches(bytes_of_text(filter), bytes_of_text(name));
}

/* The examples of MQTT 5.0, section 4.7. */
TEST(topic_filters_match_as_the_standard_says)
{
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1"));
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
    CHECK(matches("sport/#", "sport"));
    CHECK(matches("#", "a/b"));
    CHECK(matches("sport/tennis/+", "sport/tennis/player1"));
    CHECK(!matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    CHECK(!matches("sport/+", "sport"));
    CHECK(matches("sport/+", "sport/"));
    CHECK(matches("+/+", "/finance"));
    CHECK(matches("/+", "/finance"));
    CHECK(!matches("+", "/finance"));
    CHECK(!matches("#", "$SYS/a"));
    CHECK(!matches("+/a", "$SYS/a"));
    CHECK(matches("$SYS/#", "$SYS/a"));
    CHECK(matches("$SYS/+", "$SYS/a"));
    CHECK(!matches("a/b", "a"));
    CHECK(!matches("a", "a/b"));
    CHECK(!matches("a/b/#", "a"));
    CHECK(!matches("A", "a"));
    CHECK(matches("a//b", "a//b"));
    CHECK(!matches("a//b", "a/b"));
    CHECK(matches("a/+/b", "a//b"));
    CHECK(matches("+/b/#", "a/b"));
}

TEST(topic_names)
{
    CHECK(topic_is_name(bytes_of_text("plant1/smt/工位")));
    CHECK(topic_is_name(bytes_of_text("/")));
    CHECK(!topic_is_name(bytes_of_text("")));
    CHECK(!topic_is_name(bytes_of_text("a/+")));
    CHECK(!topic_is_name(bytes_of_text("a#")));
    CHECK(!topic_is_name(bytes_of_text("\xff")));
    CHECK(!topic_is_name(bytes_of("a\0", 2)));
    static char longer[TOPIC_BYTES_MAX + 1];
    memset(longer, 'a', sizeof longer);
    CHECK(topic_is_name(bytes_of(longer, TOPIC_BYTES_MAX)));
    CHECK(!topic_is_name(bytes_of(longer, TOPIC_BYTES_MAX + 1)));
    memset(longer, '/', TOPIC_LEVELS_MAX);
    CHECK(topic_is_name(bytes_of(longer, TOPIC_LEVELS_MAX - 1)));
    CHECK(!topic_is_name(bytes_of(longer, TOPIC_LEVELS_MAX)));
}

TEST(topic_filters)
{
    static const char *const good[] = {"#", "+", "a/#", "+/a", "a/+/b", "/+/", "a"};
    static const char *const bad[] = {"", "a#", "#/a", "a+", "+a", "a/b+/c", "##", "a/#/b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(topic_is_filter(bytes_of_text(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!topic_is_filter(bytes_of_text(bad[i])));
}

TEST(topic_places)
{
    CHECK(place_is_valid(bytes_of_text("plant1/smt/line1/press")));
    CHECK(!place_is_valid(bytes_of_text("")));
    CHECK(!place_is_valid(bytes_of_text("/a")));
    CHECK(!place_is_valid(bytes_of_text("a/")));
    CHECK(!place_is_valid(bytes_of_text("a//b")));
    CHECK(!place_is_valid(bytes_of_text("a/+")));
    char level[66];
    memset(level, 'a', sizeof level);
    CHECK(place_is_valid(bytes_of(level, 64)));
    CHECK(!place_is_valid(bytes_of(level, 65)));
}

TEST(topic_names_of_objects)
{
    CHECK(name_is_valid(bytes_of_text("plc1")));
    CHECK(name_is_valid(bytes_of_text("压机-1_a")));
    static const char *const bad[] = {"",  "a b", "a/b",  "a.b", "a:b", "a+",
                                      "#", "\"",  "\x7f", "a\n", "\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!name_is_valid(bytes_of_text(bad[i])));
    CHECK(!name_is_valid(bytes_of("a\0", 2)));
    char longer[128];
    memset(longer, 'a', sizeof longer);
    CHECK(name_is_valid(bytes_of(longer, 127)));
    CHECK(!name_is_valid(bytes_of(longer, 128)));
}
