/* Trees: what is read, where it stood, and what is refused. */
#include "config/tree.h"

#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>

static struct arena arena;
static struct diag diag;

static struct tree *parse(const char *text)
{
    struct tree *t = NULL;
    arena_fini(&arena);
    memset(&diag, 0, sizeof diag);
    CHECK_OK(tree_parse_yaml(&arena, "a.yaml", bytes_of_text(text), &t, &diag));
    return t;
}

static int fails(const char *text)
{
    struct tree *t = NULL;
    arena_fini(&arena);
    memset(&diag, 0, sizeof diag);
    int err = tree_parse_yaml(&arena, "a.yaml", bytes_of_text(text), &t, &diag);
    CHECK(err != OK && t == NULL);
    CHECK_STR(diag.file, "a.yaml");
    return err;
}

static const char *json_of(const struct tree *t)
{
    struct buf out = {0};
    CHECK_OK(tree_print_json(t, &out));
    const char *copy = arena_copy(&arena, buf_bytes(&out));
    buf_fini(&out);
    return copy;
}

TEST(tree_keeps_kinds_texts_and_places)
{
    const struct tree *t = parse("name: line1\ndevices:\n  - name: plc2\n    port: 502\n  - x\n"
                                 "empty:\nquoted: \"null\"\ntilde: ~\n");
    CHECK_EQ(t->kind, TREE_MAP);
    CHECK_EQ(t->count, 5);
    CHECK_STR(tree_text(tree_get(t, "name")), "line1");
    const struct tree *devices = tree_get(t, "devices");
    CHECK_EQ(devices->kind, TREE_LIST);
    CHECK_EQ(devices->key_line, 2);
    const struct tree *port = tree_get(devices->first, "port");
    CHECK_STR(tree_text(port), "502");
    CHECK_EQ(port->line, 4);
    CHECK_EQ(port->column, 11);
    CHECK_EQ(port->key_column, 5);
    CHECK_STR(port->file, "a.yaml");
    CHECK_EQ(tree_get(t, "empty")->kind, TREE_NULL);
    CHECK_EQ(tree_get(t, "tilde")->kind, TREE_NULL);
    CHECK_EQ(tree_get(t, "quoted")->kind, TREE_TEXT);
    CHECK(tree_get(t, "nothing") == NULL);
    CHECK(tree_get(devices, "name") == NULL);
    CHECK_STR(tree_text(NULL), "");
}

TEST(tree_columns_count_characters)
{
    const struct tree *t = parse("{\"工位\": 压装, b: 2}");
    CHECK_EQ(tree_get(t, "b")->column, 15);
}

TEST(tree_of_nothing_is_null)
{
    CHECK_EQ(parse("")->kind, TREE_NULL);
    CHECK_EQ(parse("# only a comment\n")->kind, TREE_NULL);
    CHECK_EQ(parse("---\n")->kind, TREE_NULL);
}

TEST(tree_names_both_places_of_a_repeated_key)
{
    CHECK_ERR(fails("a: 1\nb: 2\n a: 3\n"), ERR_SYNTAX);
    CHECK_ERR(fails("a: 1\nb: 2\na: 3\n"), ERR_EXISTS);
    CHECK_EQ(diag.line, 3);
    CHECK_EQ(diag.column, 1);
    CHECK(strstr(diag.text, "line 1") != NULL);
}

TEST(tree_finds_a_repeated_key_among_many)
{
    struct buf text = {0};
    for (int i = 0; i < 5000; i++)
        (void)buf_printf(&text, "key%d: %d\n", i, i);
    const struct tree *t = parse(buf_text(&text));
    CHECK_EQ(t->count, 5000);
    CHECK_STR(tree_text(tree_get(t, "key4321")), "4321");
    CHECK(tree_get(t, "key5000") == NULL);
    (void)buf_append_text(&text, "key7: 1\n");
    CHECK_ERR(fails(buf_text(&text)), ERR_EXISTS);
    CHECK_EQ(diag.line, 5001);
    CHECK(strstr(diag.text, "line 8") != NULL);
    buf_fini(&text);
}

TEST(tree_refuses_what_hides_or_grows)
{
    CHECK_ERR(fails("a: &x [1]\nb: *x\n"), ERR_UNSUPPORTED);
    CHECK_EQ(diag.line, 2);
    CHECK_EQ(diag.column, 4);
    CHECK_ERR(fails("a: {<<: 1}\n"), ERR_UNSUPPORTED);
    CHECK_ERR(fails("a: !!int 3\n"), ERR_UNSUPPORTED);
    CHECK_ERR(fails("a: !mine [3]\n"), ERR_UNSUPPORTED);
    CHECK_ERR(fails("a: 1\n---\nb: 2\n"), ERR_UNSUPPORTED);
    CHECK_EQ(diag.line, 2);
    CHECK_STR(tree_text(tree_get(parse("a: !!str 3\n"), "a")), "3");
    CHECK_STR(tree_text(tree_get(parse("a: ! x\n"), "a")), "x");
}

TEST(tree_refuses_what_cannot_be_a_key)
{
    CHECK_ERR(fails("? [a, b]\n: 1\n"), ERR_SYNTAX);
    CHECK_ERR(fails("\"\": 1\n"), ERR_SYNTAX);
    CHECK_ERR(fails("a: \"x\\0y\"\n"), ERR_SYNTAX);
    CHECK(strstr(diag.text, "zero") != NULL);
}

TEST(tree_tells_where_yaml_is_broken)
{
    CHECK_ERR(fails("a: 1\nb: [1, 2\nc: 3\n"), ERR_SYNTAX);
    CHECK_EQ(diag.line, 3);
    CHECK_ERR(fails("a:\n\t- 1\n"), ERR_SYNTAX);
    CHECK(strstr(diag.text, "spaces") != NULL);
    CHECK_ERR(fails("a: \xff\xfe\n"), ERR_SYNTAX);
}

TEST(tree_limits_its_depth)
{
    char text[2 * TREE_DEPTH_MAX + 3];
    memset(text, '[', TREE_DEPTH_MAX);
    memset(text + TREE_DEPTH_MAX, ']', TREE_DEPTH_MAX);
    text[2 * TREE_DEPTH_MAX] = 0;
    CHECK_EQ(parse(text)->kind, TREE_LIST);
    memset(text, '[', TREE_DEPTH_MAX + 1);
    memset(text + TREE_DEPTH_MAX + 1, ']', TREE_DEPTH_MAX + 1);
    text[2 * TREE_DEPTH_MAX + 2] = 0;
    CHECK_ERR(fails(text), ERR_LIMIT);
    CHECK_EQ(diag.column, TREE_DEPTH_MAX + 1);
}

TEST(tree_limits_its_nodes_and_bytes)
{
    struct buf text = {0};
    (void)buf_append_u8(&text, '[');
    for (uint32_t i = 0; i < TREE_NODES_MAX; i++)
        (void)buf_append_text(&text, "1,");
    (void)buf_append_u8(&text, ']');
    CHECK_ERR(fails(buf_text(&text)), ERR_LIMIT);
    buf_fini(&text);
    struct tree *t = NULL;
    struct bytes huge = {(const uint8_t *)"", (size_t)TREE_TEXT_BYTES_MAX + 1};
    CHECK_ERR(tree_parse_yaml(&arena, "a.yaml", huge, &t, &diag), ERR_LIMIT);
    CHECK_ERR(tree_parse_json(&arena, "a.yaml", huge, &t, NULL), ERR_LIMIT);
}

TEST(tree_reads_json)
{
    struct tree *t = NULL;
    static const char text[] = "{\"name\":\"a\\u4e2d\\ud83d\\ude00\\\\ud83d\",\t\"n\":-1.5e3,"
                               "\"l\":[true,null,\"true\"],\"o\":{}}";
    arena_fini(&arena);
    CHECK_OK(tree_parse_json(&arena, NULL, bytes_of_text(text), &t, &diag));
    CHECK_STR(tree_text(tree_get(t, "name")), "a中😀\\ud83d");
    CHECK_STR(json_of(t), "{\"name\":\"a中😀\\\\ud83d\",\"n\":-1.5e3,\"l\":[true,null,\"true\"],"
                          "\"o\":{}}");
    CHECK_ERR(tree_parse_json(&arena, "", bytes_of_text("{\"a\":\"\\ud83d\"}"), &t, &diag),
              ERR_SYNTAX);
    CHECK_ERR(tree_parse_json(&arena, "", bytes_of_text("{\"a\":\"\\ud83d\\u0041\"}"), &t, &diag),
              ERR_SYNTAX);
    CHECK_ERR(tree_parse_json(&arena, "", bytes_of_text("{\"a\":\"\\ud83d\\uzzzz\"}"), &t, &diag),
              ERR_SYNTAX);
}

TEST(tree_reads_json_line_ends_as_characters)
{
    struct tree *t = NULL;
    static const char text[] = "[\"a\xc2\x85 b\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\"]";
    arena_fini(&arena);
    CHECK_OK(tree_parse_json(&arena, "", bytes_of_text(text), &t, &diag));
    CHECK_STR(tree_text(t->first), "a\xc2\x85 b\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa");
    CHECK_STR(json_of(t), text);
}

TEST(tree_prints_only_json_numbers_bare)
{
    const struct tree *t = parse("[0, -0, 01, 1., .5, 1.5, 1e5, 1e, 1E+5, +1, 0x10, nan, -, 1_0,"
                                 " '1', yes, \"a\\nb\"]");
    CHECK_STR(json_of(t), "[0,-0,\"01\",\"1.\",\".5\",1.5,1e5,\"1e\",1E+5,\"+1\",\"0x10\",\"nan\","
                          "\"-\",\"1_0\",\"1\",\"yes\",\"a\\nb\"]");
    CHECK_STR(json_of(NULL), "null");
}

TEST(tree_is_built_and_copied)
{
    arena_fini(&arena);
    struct tree *map = tree_new(&arena, TREE_MAP, NULL);
    struct tree *list = tree_new(&arena, TREE_LIST, NULL);
    CHECK_OK(tree_add(&arena, map, "a", tree_new(&arena, TREE_TEXT, "1")));
    CHECK_OK(tree_add(&arena, map, "l", list));
    CHECK_OK(tree_add(&arena, list, NULL, tree_new(&arena, TREE_TEXT, "x y")));
    CHECK_ERR(tree_add(&arena, map, "a", tree_new(&arena, TREE_NULL, NULL)), ERR_EXISTS);
    CHECK_STR(json_of(map), "{\"a\":1,\"l\":[\"x y\"]}");
    struct arena other = {0};
    const struct tree *copy = tree_copy(&other, map);
    CHECK(tree_equal(map, copy));
    arena_fini(&arena);
    CHECK_STR(tree_text(tree_get(copy, "a")), "1");
    arena_fini(&other);
}

TEST(tree_copy_keeps_places)
{
    const struct tree *t = parse("a:\n  - b\n");
    struct arena other = {0};
    const struct tree *item = tree_get(tree_copy(&other, t), "a")->first;
    CHECK_EQ(item->line, 2);
    CHECK_EQ(item->column, 5);
    CHECK_STR(item->file, "a.yaml");
    arena_fini(&other);
}

static bool same(const char *a, const char *b)
{
    struct arena other = {0};
    const struct tree *ta = parse(a);
    struct tree *tb = NULL;
    CHECK_OK(tree_parse_yaml(&other, "b.yaml", bytes_of_text(b), &tb, NULL));
    bool equal = tree_equal(ta, tb) && tree_equal(tb, ta);
    arena_fini(&other);
    return equal;
}

TEST(tree_equal_ignores_order_of_keys_only)
{
    CHECK(same("{a: 1, b: [1, 2]}", "b: [1, 2]\na: 1\n"));
    CHECK(!same("{a: 1, b: [1, 2]}", "{a: 1, b: [2, 1]}"));
    CHECK(!same("{a: 1}", "{a: 1, b: 2}"));
    CHECK(!same("{a: 1}", "{b: 1}"));
    CHECK(!same("{a: 1}", "[a]"));
    CHECK(same("", "null"));
    CHECK(tree_equal(NULL, parse("~")));
}

TEST(tree_deeper_than_the_limit_is_neither_copied_nor_printed)
{
    arena_fini(&arena);
    struct tree *t = tree_new(&arena, TREE_LIST, NULL);
    for (uint32_t i = 0; i <= TREE_DEPTH_MAX; i++) {
        struct tree *outer = tree_new(&arena, TREE_LIST, NULL);
        CHECK_OK(tree_add(&arena, outer, NULL, t));
        t = outer;
    }
    struct buf out = {0};
    CHECK_ERR(tree_print_json(t, &out), ERR_LIMIT);
    buf_fini(&out);
    CHECK(tree_copy(&arena, t) == NULL);
}

TEST(tree_errors_without_a_place)
{
    CHECK_ERR(tree_error(&diag, ERR_INVALID, NULL, "no %s", "place"), ERR_INVALID);
    CHECK_STR(diag.text, "no place");
    CHECK_EQ(diag.line, 0);
    CHECK_ERR(tree_key_error(NULL, ERR_INVALID, NULL, "x"), ERR_INVALID);
    const struct tree *t = parse("[a]");
    CHECK_ERR(tree_key_error(&diag, ERR_INVALID, t->first, "x"), ERR_INVALID);
    CHECK_EQ(diag.column, 2);
    CHECK_STR(tree_kind_name(TREE_LIST), "list");
}

TEST(tree_gives_its_memory_back_when_there_is_too_little)
{
    static const char text[] = "a: {b: [1, 2]}\nk1: 1\nk2: 2\nk3: 3\nk4: 4\nk5: 5\nk6: 6\nk7: 7\n"
                               "k8: 8\nk9: 9\nk10: 10\n";
    FAULT_EACH (n) {
        struct arena a = {.block_bytes = 64};
        struct tree *t = NULL;
        int err = tree_parse_json(&a, "a.yaml", bytes_of_text(text), &t, &diag);
        if (fault_hit())
            CHECK_ERR(err, ERR_NOMEM);
        else
            CHECK_OK(err);
        arena_fini(&a);
    }
    struct arena small = {.total_bytes_max = 8192};
    struct tree *t = NULL;
    struct buf many = {0};
    for (int i = 0; i < 1000; i++)
        (void)buf_printf(&many, "- %d\n", i);
    CHECK_ERR(tree_parse_yaml(&small, "a.yaml", buf_bytes(&many), &t, &diag), ERR_NOMEM);
    buf_fini(&many);
    arena_fini(&small);
    arena_fini(&arena);
}
