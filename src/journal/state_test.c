/* Keyed state. */
#include "journal/state.h"

#include "tests/support/journal_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

static struct bytes text_of(const char *text)
{
    return bytes_of_text(text);
}

TEST(state_survives_closing)
{
    struct buf value = {0};
    struct journal *j = fixture_open(check_folder(), NULL);
    CHECK_ERR(state_get(j, text_of("a"), &value), ERR_NOT_FOUND);
    CHECK_OK(state_put(j, text_of("a"), text_of("1")));
    CHECK_OK(state_put(j, text_of("a"), text_of("2")));
    CHECK_OK(state_put(j, text_of("b"), bytes_of(NULL, 0)));
    CHECK_OK(state_remove(j, text_of("never")));
    journal_close(j);
    j = fixture_open(check_folder(), NULL);
    CHECK_OK(state_get(j, text_of("a"), &value));
    CHECK_BYTES(buf_bytes(&value), text_of("2"));
    buf_reset(&value);
    CHECK_OK(state_get(j, text_of("b"), &value));
    CHECK_EQ(value.len, 0);
    CHECK_OK(state_remove(j, text_of("a")));
    CHECK_ERR(state_get(j, text_of("a"), &value), ERR_NOT_FOUND);
    buf_fini(&value);
    journal_close(j);
}

TEST(state_refuses_what_it_cannot_hold)
{
    uint8_t key[STATE_KEY_BYTES_MAX + 1];
    struct buf value = {0};
    memset(key, 'k', sizeof key);
    struct journal *j = fixture_open(check_folder(), NULL);
    CHECK_OK(state_put(j, bytes_of(key, STATE_KEY_BYTES_MAX), text_of("v")));
    CHECK_ERR(state_put(j, bytes_of(key, sizeof key), text_of("v")), ERR_INVALID);
    CHECK_ERR(state_put(j, bytes_of(key, 0), text_of("v")), ERR_INVALID);
    CHECK_ERR(state_get(j, bytes_of(key, sizeof key), &value), ERR_INVALID);
    CHECK_ERR(state_put(j, text_of("k"), bytes_of(key, STATE_VALUE_BYTES_MAX + 1)), ERR_LIMIT);
    journal_close(j);
}

TEST(compare_and_set_changes_only_what_it_knows)
{
    struct buf value = {0};
    struct journal *j = fixture_open(check_folder(), NULL);
    struct bytes none = bytes_of(NULL, 0);
    CHECK_ERR(state_compare_and_set(j, text_of("k"), text_of("1"), text_of("2")), ERR_CONFLICT);
    CHECK_OK(state_compare_and_set(j, text_of("k"), none, text_of("1")));
    CHECK_ERR(state_compare_and_set(j, text_of("k"), none, text_of("2")), ERR_CONFLICT);
    CHECK_ERR(state_compare_and_set(j, text_of("k"), text_of("0"), text_of("2")), ERR_CONFLICT);
    CHECK_OK(state_compare_and_set(j, text_of("k"), text_of("1"), text_of("2")));
    CHECK_OK(state_get(j, text_of("k"), &value));
    CHECK_BYTES(buf_bytes(&value), text_of("2"));
    buf_fini(&value);
    journal_close(j);
}

static int collect(void *ctx, struct bytes key, struct bytes value)
{
    struct buf *out = ctx;
    CHECK_OK(buf_append_bytes(out, key));
    CHECK_OK(buf_append_text(out, "="));
    CHECK_OK(buf_append_bytes(out, value));
    CHECK_OK(buf_append_text(out, ";"));
    return key.ptr[key.len - 1] == '!' ? ERR_CANCELLED : OK;
}

TEST(each_walks_a_prefix_in_order)
{
    struct buf out = {0};
    struct journal *j = fixture_open(check_folder(), NULL);
    CHECK_OK(state_put(j, text_of("p/b"), text_of("2")));
    CHECK_OK(state_put(j, text_of("p/a"), text_of("1")));
    CHECK_OK(state_put(j, text_of("q/a"), text_of("3")));
    CHECK_OK(state_put(j, text_of("o"), text_of("0")));
    CHECK_OK(state_each(j, text_of("p/"), collect, &out));
    CHECK_STR(buf_text(&out), "p/a=1;p/b=2;");
    buf_reset(&out);
    CHECK_OK(state_each(j, bytes_of(NULL, 0), collect, &out));
    CHECK_STR(buf_text(&out), "o=0;p/a=1;p/b=2;q/a=3;");
    CHECK_OK(state_put(j, text_of("p/!"), text_of("x")));
    buf_reset(&out);
    CHECK_ERR(state_each(j, text_of("p/"), collect, &out), ERR_CANCELLED);
    CHECK_STR(buf_text(&out), "p/!=x;");
    buf_fini(&out);
    journal_close(j);
}

TEST(a_copy_is_a_state_of_its_own)
{
    char dir[512];
    char sub[600];
    struct buf value = {0};
    uint64_t used;
    uint64_t max;
    (void)snprintf(dir, sizeof dir, "%s/a", check_folder());
    struct journal *j = fixture_open(dir, NULL);
    CHECK_OK(state_put(j, text_of("k"), text_of("v")));
    CHECK_OK(state_usage(j, &used, &max));
    CHECK(used > 0 && used < max);
    (void)snprintf(dir, sizeof dir, "%s/b", check_folder());
    CHECK(mkdir(dir, 0750) == 0);
    (void)snprintf(sub, sizeof sub, "%s/state", dir);
    CHECK(mkdir(sub, 0750) == 0);
    CHECK_OK(state_copy(j, sub));
    CHECK_OK(state_put(j, text_of("k"), text_of("later")));
    journal_close(j);
    j = fixture_open(dir, NULL);
    CHECK_OK(state_get(j, text_of("k"), &value));
    CHECK_BYTES(buf_bytes(&value), text_of("v"));
    buf_fini(&value);
    journal_close(j);
}

TEST(a_full_map_says_so_and_keeps_what_it_has)
{
    static uint8_t large[100000];
    struct buf value = {0};
    struct journal *j;
    struct journal_options o = {.dir = check_folder(), .state_bytes_max = 1u << 20};
    CHECK_OK(journal_open(&o, &j, NULL));
    char key[16];
    int err = OK;
    int n = 0;
    for (; n < 100 && !err; n++) {
        (void)snprintf(key, sizeof key, "k%d", n);
        err = state_put(j, text_of(key), bytes_of(large, sizeof large));
    }
    CHECK_ERR(err, ERR_NO_SPACE);
    CHECK(n > 3);
    CHECK_OK(state_get(j, text_of("k0"), &value));
    CHECK_EQ(value.len, sizeof large);
    CHECK_OK(state_remove(j, text_of("k0")));
    buf_fini(&value);
    journal_close(j);
}
