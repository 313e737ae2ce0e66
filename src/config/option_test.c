/* Option tables: every type, every way to get one wrong, and what the message says. */
#include "config/option.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sample {
    bool flag;
    int64_t number;
    uint64_t count;
    double ratio;
    const char *text;
    const char *name;
    int64_t interval_us;
    uint64_t size_bytes;
    int level;
    const struct tree *more;
    struct option_texts words;
    struct option_texts streams;
    bool hidden;
};

static const char *const levels[] = {"low", "middle", "high", NULL};

#define ROW(member_, type_, ...)                                                                   \
    {                                                                                              \
        .name = #member_, .type = type_, .offset = offsetof(struct sample, member_), __VA_ARGS__   \
    }

static const struct option inner_table[] = {
    {.name = "depth", .type = OPTION_INT, .doc = "how deep"},
    {.name = NULL},
};

static const struct option table[] = {
    ROW(flag, OPTION_BOOL, .default_text = "true"),
    ROW(number, OPTION_INT, .default_text = "-3", .min = -5, .max = 5),
    ROW(count, OPTION_UINT, .min = 1, .default_text = "1"),
    ROW(ratio, OPTION_DOUBLE, .default_text = "0.5", .min = 0, .max = 1),
    ROW(text, OPTION_TEXT, .flags = OPTION_SECRET, .doc = "any text"),
    ROW(name, OPTION_NAME, .flags = OPTION_REQUIRED, .doc = "what it is called"),
    {.name = "interval",
     .type = OPTION_DURATION,
     .offset = offsetof(struct sample, interval_us),
     .default_text = "1s",
     .min = 10000,
     .max = 3600000000},
    {.name = "size",
     .type = OPTION_SIZE,
     .offset = offsetof(struct sample, size_bytes),
     .default_text = "64k",
     .min = 1024,
     .max = 1 << 30},
    ROW(level, OPTION_ENUM, .choices = levels, .default_text = "middle"),
    ROW(more, OPTION_TREE, .items = inner_table, .doc = "more of it"),
    ROW(words, OPTION_TEXT_LIST, .flags = 0),
    ROW(streams, OPTION_TEXT_LIST, .default_text = "*"),
    ROW(hidden, OPTION_BOOL, .flags = OPTION_HIDDEN),
    {.name = NULL},
};

static struct arena arena;
static struct diag diag;
static struct sample sample;

static int bind(const char *text)
{
    struct tree *t = NULL;
    arena_fini(&arena);
    memset(&diag, 0, sizeof diag);
    memset(&sample, 0x5a, sizeof sample);
    CHECK_OK(tree_parse_yaml(&arena, "a.yaml", bytes_of_text(text), &t, &diag));
    return option_bind(table, t, &arena, &sample, &diag);
}

static void says(int err, int want, uint32_t line, uint32_t column, const char *part)
{
    CHECK_ERR(err, want);
    CHECK_EQ(diag.line, line);
    CHECK_EQ(diag.column, column);
    CHECK_STR(diag.file, "a.yaml");
    if (!strstr(diag.text, part))
        CHECK_STR(diag.text, part);
}

TEST(option_defaults)
{
    CHECK_OK(bind("name: a"));
    CHECK(sample.flag);
    CHECK_EQ(sample.number, -3);
    CHECK_EQ(sample.count, 1);
    CHECK_NEAR(sample.ratio, 0.5, 0);
    CHECK(sample.text == NULL);
    CHECK_STR(sample.name, "a");
    CHECK_EQ(sample.interval_us, 1000000);
    CHECK_EQ(sample.size_bytes, 65536);
    CHECK_EQ(sample.level, 1);
    CHECK(sample.more == NULL);
    CHECK_EQ(sample.words.count, 0);
    CHECK_EQ(sample.streams.count, 1);
    CHECK_STR(sample.streams.items[0], "*");
}

TEST(option_values)
{
    CHECK_OK(bind("{name: a, flag: false, number: 5, count: 18446744073709551615, ratio: 1e-3,"
                  " text: 17, interval: 10ms, size: 1G, level: high, more: [1], words: [a, b],"
                  " streams: []}"));
    CHECK(!sample.flag);
    CHECK_EQ(sample.number, 5);
    CHECK_EQ(sample.count, UINT64_MAX);
    CHECK_NEAR(sample.ratio, 0.001, 0);
    CHECK_STR(sample.text, "17");
    CHECK_EQ(sample.interval_us, 10000);
    CHECK_EQ(sample.size_bytes, 1 << 30);
    CHECK_EQ(sample.level, 2);
    CHECK_EQ(sample.more->count, 1);
    CHECK_EQ(sample.words.count, 2);
    CHECK_STR(sample.words.items[1], "b");
    CHECK_EQ(sample.streams.count, 0);
    CHECK_OK(bind("{name: a, words: c, flag: }"));
    CHECK_STR(sample.words.items[0], "c");
    CHECK(sample.flag);
}

TEST(option_unknown_key_gets_a_hint)
{
    says(bind("name: a\nintervall: 1s\n"), ERR_UNKNOWN_KEY, 2, 1, "did you mean interval?");
    says(bind("name: a\nnmae: 1s\n"), ERR_UNKNOWN_KEY, 2, 1, "did you mean name?");
    says(bind("name: a\nwhatever: 1s\n"), ERR_UNKNOWN_KEY, 2, 1, "known here: flag, number");
    CHECK(strstr(diag.text, "hidden") == NULL);
}

TEST(option_wrong_types)
{
    says(bind("name: a\nflag: yes\n"), ERR_TYPE, 2, 7, "flag must be true or false");
    says(bind("name: a\nnumber: 1.5\n"), ERR_TYPE, 2, 9, "from -5 to 5");
    says(bind("name: a\nnumber: [1]\n"), ERR_TYPE, 2, 9, "not \"a list\"");
    says(bind("name: a\ncount: -1\n"), ERR_TYPE, 2, 8, "from 1");
    says(bind("name: a\nratio: x\n"), ERR_TYPE, 2, 8, "a number");
    says(bind("name: a\ninterval: 100\n"), ERR_TYPE, 2, 11, "write 100ms or 100s");
    says(bind("name: a\ninterval: fast\n"), ERR_TYPE, 2, 11, "from 10ms to 1h");
    says(bind("name: a\nsize: big\n"), ERR_TYPE, 2, 7, "from 1k to 1G");
    says(bind("name: a\nlevel: hihg\n"), ERR_INVALID, 2, 8, "one of low, middle, high");
    CHECK(strstr(diag.text, "did you mean high?") != NULL);
    says(bind("name: a\nlevel: elephant\n"), ERR_INVALID, 2, 8, "not \"elephant\"");
    says(bind("name: a\nwords: {a: 1}\n"), ERR_TYPE, 2, 8, "a list of texts");
    says(bind("name: a\nwords: [a, [b]]\n"), ERR_TYPE, 2, 12, "here is list");
    says(bind("name: {}\n"), ERR_TYPE, 1, 7, "not \"a map\"");
    says(bind("- a\n"), ERR_TYPE, 1, 1, "here must be a map");
}

TEST(option_ranges)
{
    says(bind("name: a\nnumber: 6\n"), ERR_RANGE, 2, 9, "number is 6, but must be from -5 to 5");
    says(bind("name: a\nnumber: 99999999999999999999\n"), ERR_RANGE, 2, 9, "whole number");
    says(bind("name: a\ncount: 0\n"), ERR_RANGE, 2, 8, "must be from 1");
    says(bind("name: a\ncount: 99999999999999999999\n"), ERR_RANGE, 2, 8, "whole number");
    says(bind("name: a\nratio: 1.01\n"), ERR_RANGE, 2, 8, "from 0 to 1");
    says(bind("name: a\nratio: nan\n"), ERR_RANGE, 2, 8, "from 0 to 1");
    says(bind("name: a\ninterval: 9ms\n"), ERR_RANGE, 2, 11, "from 10ms to 1h");
    says(bind("name: a\ninterval: 99999999999999d\n"), ERR_RANGE, 2, 11, "10ms");
    says(bind("name: a\nsize: 2G\n"), ERR_RANGE, 2, 7, "from 1k to 1G");
    says(bind("name: a\nsize: 17179869184G\n"), ERR_RANGE, 2, 7, "from 1k to 1G");
    says(bind("name: a\nsize: 9223372036854775808\n"), ERR_RANGE, 2, 7, "from 1k to 1G");
}

TEST(option_missing_and_bad_names)
{
    says(bind("flag: true\n"), ERR_INVALID, 1, 1, "name is missing (what it is called)");
    says(bind("name: a b\n"), ERR_INVALID, 1, 7, "\"a b\" is not a name");
    says(bind("name: a.b\n"), ERR_INVALID, 1, 7, "is not a name");
    CHECK_ERR(option_bind(table, NULL, &arena, &sample, &diag), ERR_INVALID);
}

TEST(option_secrets_from_the_environment)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread. */
    CHECK_EQ(setenv("LOTLINE_TEST_SECRET", "s3cret", 1), 0);
    CHECK_OK(bind("{name: a, text: \"pg://u:${env:LOTLINE_TEST_SECRET}@h\", words: "
                  "[\"${env:LOTLINE_TEST_SECRET}\"]}"));
    CHECK_STR(sample.text, "pg://u:s3cret@h");
    CHECK_STR(sample.words.items[0], "s3cret");
    CHECK_OK(bind("{name: a, text: \"$${env:X} ${other} $\"}"));
    CHECK_STR(sample.text, "${env:X} ${other} $");
    says(bind("name: a\ntext: ${env:LOTLINE_TEST_NONE}\n"), ERR_NOT_FOUND, 2, 7,
         "no variable LOTLINE_TEST_NONE");
    says(bind("name: a\ntext: ${env:}\n"), ERR_SYNTAX, 2, 7, "variable's name");
    says(bind("name: a\ntext: ${env:X\n"), ERR_SYNTAX, 2, 7, "no closing }");
    says(bind("name: a\nwords: [\"${file:}\"]\n"), ERR_SYNTAX, 2, 9, "path");
}

static const char *secret_file(const char *name, const void *content, size_t len)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", check_folder(), name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, content, len), (ssize_t)len);
    CHECK_EQ(close(fd), 0);
    return path;
}

static int bind_file(const char *path)
{
    char text[600];
    (void)snprintf(text, sizeof text, "name: a\ntext: \"${file:%s}\"\n", path);
    return bind(text);
}

TEST(option_secrets_from_files)
{
    CHECK_OK(bind_file(secret_file("a", "pass word\r\n", 11)));
    CHECK_STR(sample.text, "pass word");
    CHECK_OK(bind_file(secret_file("b", "", 0)));
    CHECK_STR(sample.text, "");
    says(bind_file("/nowhere/at/all"), ERR_NOT_FOUND, 2, 7, "cannot read the file /nowhere");
    says(bind_file(secret_file("c", "a\0b", 3)), ERR_SYNTAX, 2, 7, "zero character");
    char *large = calloc(1, OPTION_SECRET_BYTES_MAX + 1);
    CHECK(large != NULL);
    const char *path = secret_file("d", large, OPTION_SECRET_BYTES_MAX + 1);
    free(large);
    says(bind_file(path), ERR_LIMIT, 2, 7, "64 KiB");
    says(bind_file("/"), ERR_NOT_FOUND, 2, 7, "cannot read");
}

TEST(option_tables_are_documentation)
{
    struct buf out = {0};
    CHECK_OK(option_print_markdown(table, &out));
    const char *text = buf_text(&out);
    CHECK(strstr(text, "| `name` | a name | required | what it is called |\n") != NULL);
    CHECK(strstr(text, "| `level` | one of low, middle, high | `middle` |") != NULL);
    CHECK(strstr(text, "| `more.depth` | a whole number |  | how deep |") != NULL);
    CHECK(strstr(text, "hidden") == NULL);
    buf_reset(&out);
    CHECK_OK(option_print_example(table, 2, &out));
    text = buf_text(&out);
    CHECK(strstr(text, "\n  interval: 1s ") != NULL);
    CHECK(strstr(text, "\n    # depth: 0 ") != NULL);
    CHECK(strstr(text, "\n  streams: [\"*\"] ") != NULL);
    struct tree *t = NULL;
    arena_fini(&arena);
    CHECK_OK(tree_parse_yaml(&arena, "", buf_bytes(&out), &t, &diag));
    CHECK_OK(option_bind(table, t, &arena, &sample, &diag));
    buf_fini(&out);
}

TEST(option_bind_without_memory)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): this program has one thread. */
    CHECK_EQ(setenv("LOTLINE_TEST_SECRET", "s3cret", 1), 0);
    struct tree *t = NULL;
    arena_fini(&arena);
    static const char text[] = "{name: a, text: \"${env:LOTLINE_TEST_SECRET}\", words: [a]}";
    CHECK_OK(tree_parse_yaml(&arena, "", bytes_of_text(text), &t, &diag));
    FAULT_EACH (n) {
        struct arena own = {.block_bytes = 16};
        int err = option_bind(table, t, &own, &sample, &diag);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        arena_fini(&own);
    }
    arena_fini(&arena);
}
