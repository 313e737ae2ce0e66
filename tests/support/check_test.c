/* The checks and the failing allocations, tested by themselves: what they cannot see, no test sees.
 */
#include "tests/support/check.h"

#include "base/err.h"
#include "tests/support/fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(numbers_of_any_width_and_sign_compare_by_value)
{
    CHECK_EQ((uint8_t)200, 200);
    CHECK_EQ(-1, (int64_t)-1);
    CHECK_EQ(INT64_MIN, INT64_MIN);
    CHECK_EQ(UINT64_MAX, UINT64_MAX);
    CHECK(check_num_i(-1).negative != check_num_u(UINT64_MAX).negative);
    CHECK_NEAR(0.1 + 0.2, 0.3, 1e-12);
}

TEST(bytes_and_strings_compare_by_content)
{
    char text[] = "abc";
    CHECK_STR(text, "abc");
    CHECK_BYTES(bytes_of_text(text), bytes_of("abc", 3));
    CHECK_MEM(text, "abcd", 3);
    CHECK_OK(OK);
    CHECK_ERR(ERR_NOMEM, ERR_NOMEM);
}

TEST(a_folder_is_there_and_empty)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/a", check_folder());
    CHECK(access(path, F_OK) != 0);
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    CHECK_EQ(fclose(file), 0);
    CHECK(access(path, F_OK) == 0);
}

static int pair_new(char **ret_a, char **ret_b)
{
    char *a = malloc(8);
    char *b = a ? strdup("b") : NULL;
    if (!b) {
        free(a);
        return ERR_NOMEM;
    }
    *ret_a = a;
    *ret_b = b;
    return OK;
}

TEST(each_allocation_fails_once)
{
    uint64_t failures = 0;
    FAULT_EACH (n) {
        char *a = NULL;
        char *b = NULL;
        int rc = pair_new(&a, &b);
        if (fault_hit()) {
            CHECK_ERR(rc, ERR_NOMEM);
            CHECK(!a && !b);
            failures++;
        } else {
            CHECK_OK(rc);
        }
        free(a);
        free(b);
    }
    CHECK_EQ(failures, 2);
}

TEST(waiting_ends_when_the_condition_holds)
{
    int turns = 0;
    CHECK_SOON(++turns == 3, 1000);
    CHECK_EQ(turns, 3);
}
