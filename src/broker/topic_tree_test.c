/* The topic tree against topic_matches, the one function that says what matching is: random filters
 * and names out of few words, so that most things meet. */
#include "broker/topic_tree.h"

#include "base/err.h"
#include "base/rand.h"
#include "model/topic.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>
#include <stdlib.h>

#define PATHS        400
#define PATH_MAX_LEN 64

struct path {
    char text[PATH_MAX_LEN];
    bool present;
    unsigned found;
};

static const char *const words[] = {"a", "b", "line1", "", "$SYS", "ä"};

static void path_random(struct rand *r, bool wildcards, struct path *ret)
{
    size_t n = 0;
    size_t depth = 1 + rand_below(r, 4);
    for (size_t i = 0; i < depth; i++) {
        const char *word = words[rand_below(r, 6)];
        if (wildcards && rand_below(r, 4) == 0)
            word = "+";
        if (wildcards && i + 1 == depth && rand_below(r, 4) == 0)
            word = "#";
        n += (size_t)snprintf(ret->text + n, sizeof ret->text - n, "%s%s", i ? "/" : "", word);
    }
    if (n == 0)
        snprintf(ret->text, sizeof ret->text, "a");
    ret->present = false;
}

static void count_one(void *ctx, void *value)
{
    (void)ctx;
    ((struct path *)value)->found++;
}

static bool path_match(const struct path *filter, const struct path *name)
{
    return topic_matches(bytes_of_text(filter->text), bytes_of_text(name->text));
}

/* One of equal texts stands in the tree: the one that was put last. */
static void paths_put(struct topic_tree *t, struct path *paths)
{
    for (size_t i = 0; i < PATHS; i++) {
        void *old = NULL;
        CHECK_OK(topic_tree_put(t, bytes_of_text(paths[i].text), &paths[i], &old));
        if (old)
            ((struct path *)old)->present = false;
        paths[i].present = true;
    }
}

static void paths_check(struct path *paths, const struct path *other, bool paths_are_filters)
{
    for (size_t i = 0; i < PATHS; i++) {
        struct path *p = &paths[i];
        bool matches = paths_are_filters ? path_match(p, other) : path_match(other, p);
        if (p->found != (p->present && matches))
            check_fail_at(__FILE__, __LINE__, "\"%s\" against \"%s\": found %u times", p->text,
                          other->text, p->found);
        p->found = 0;
    }
}

static void compare(bool filters_inside, uint64_t seed)
{
    struct rand r;
    struct topic_tree t = {0};
    struct path *paths = calloc(PATHS, sizeof *paths);
    CHECK(paths);
    rand_seed(&r, seed);
    for (size_t i = 0; i < PATHS; i++)
        path_random(&r, filters_inside, &paths[i]);
    paths_put(&t, paths);
    for (int round = 0; round < 300; round++) {
        struct path other;
        path_random(&r, !filters_inside, &other);
        if (filters_inside)
            topic_tree_match_name(&t, bytes_of_text(other.text), count_one, NULL);
        else
            topic_tree_match_filter(&t, bytes_of_text(other.text), count_one, NULL);
        paths_check(paths, &other, filters_inside);
        struct path *gone = &paths[rand_below(&r, PATHS)];
        void *value = topic_tree_remove(&t, bytes_of_text(gone->text));
        if (value)
            ((struct path *)value)->present = false;
    }
    size_t present = 0;
    for (size_t i = 0; i < PATHS; i++)
        present += paths[i].present;
    CHECK_EQ(t.count, present);
    topic_tree_fini(&t);
    free(paths);
}

TEST(filters_match_names_as_topic_matches_says)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        compare(true, seed);
}

TEST(names_are_found_by_filters_as_topic_matches_says)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        compare(false, seed);
}

TEST(an_emptied_tree_keeps_only_its_root)
{
    struct topic_tree t = {0};
    int value = 0;
    CHECK(topic_tree_find(&t, bytes_of_text("a")) == NULL);
    CHECK(topic_tree_remove(&t, bytes_of_text("a")) == NULL);
    CHECK_OK(topic_tree_put(&t, bytes_of_text("a/+/c/#"), &value, NULL));
    CHECK(topic_tree_find(&t, bytes_of_text("a/+/c/#")) == &value);
    CHECK(topic_tree_find(&t, bytes_of_text("a/+/c")) == NULL);
    CHECK(topic_tree_remove(&t, bytes_of_text("a/+/c")) == NULL);
    CHECK(topic_tree_remove(&t, bytes_of_text("a/+/c/#")) == &value);
    CHECK_EQ(t.count, 0);
    topic_tree_fini(&t);
}

/* The deepest path there may be, so that the walking stacks are used to their end. */
TEST(the_deepest_path_is_walked)
{
    struct topic_tree filters = {0};
    struct topic_tree names = {0};
    char name[2 * TOPIC_LEVELS_MAX];
    char filter[2 * TOPIC_LEVELS_MAX];
    for (size_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        name[2 * i] = 'a';
        filter[2 * i] = '+';
        name[2 * i + 1] = filter[2 * i + 1] = i + 1 < TOPIC_LEVELS_MAX ? '/' : 0;
    }
    struct path values[4] = {{.found = 0}};
    CHECK_OK(topic_tree_put(&filters, bytes_of_text(filter), &values[0], NULL));
    CHECK_OK(topic_tree_put(&filters, bytes_of_text(name), &values[1], NULL));
    CHECK_OK(topic_tree_put(&filters, bytes_of_text("#"), &values[2], NULL));
    topic_tree_match_name(&filters, bytes_of_text(name), count_one, NULL);
    CHECK_OK(topic_tree_put(&names, bytes_of_text(name), &values[3], NULL));
    topic_tree_match_filter(&names, bytes_of_text(filter), count_one, NULL);
    topic_tree_match_filter(&names, bytes_of_text("#"), count_one, NULL);
    CHECK_EQ(values[0].found, 1);
    CHECK_EQ(values[1].found, 1);
    CHECK_EQ(values[2].found, 1);
    CHECK_EQ(values[3].found, 2);
    topic_tree_fini(&filters);
    topic_tree_fini(&names);
}

TEST(a_failed_allocation_changes_nothing)
{
    FAULT_EACH (n) {
        struct topic_tree t = {0};
        int value = 0;
        int rc = topic_tree_put(&t, bytes_of_text("plant/+/line/#"), &value, NULL);
        if (fault_hit())
            CHECK_ERR(rc, ERR_NOMEM);
        else
            CHECK_OK(rc);
        CHECK(topic_tree_find(&t, bytes_of_text("plant/+/line/#")) == (rc ? NULL : &value));
        CHECK_EQ(t.count, rc ? 0 : 1);
        topic_tree_fini(&t);
    }
}
