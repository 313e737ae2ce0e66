/* Tokens, links and sessions: who gets in, once, and until when. */
#include "api/auth.h"

#include "tests/support/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000000LL

static struct bytes text(const char *t)
{
    return bytes_of_text(t);
}

static void read_file(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    CHECK(f != NULL);
    size_t len = fread(out, 1, size - 1, f);
    out[len] = 0;
    (void)fclose(f);
}

TEST(the_admin_token_is_made_once_and_found_again)
{
    char path[512];
    char first[128];
    char second[128];
    struct stat st;
    struct auth_who who;
    (void)snprintf(path, sizeof path, "%s/admin.token", check_folder());
    for (int round = 0; round < 2; round++) {
        struct auth *a = NULL;
        CHECK_OK(auth_new(&a));
        CHECK_OK(auth_admin_open(a, path, NULL));
        read_file(path, round ? second : first, sizeof first);
        char token[128];
        (void)snprintf(token, sizeof token, "%.64s", first);
        CHECK_EQ(strlen(token), 64);
        CHECK_OK(auth_token_check(a, text(token), &who));
        CHECK_EQ(who.role, CALL_ADMIN);
        CHECK_STR(who.user, "admin");
        token[5] = token[5] == '0' ? '1' : '0';
        CHECK_ERR(auth_token_check(a, text(token), &who), ERR_AUTH);
        auth_free(a);
    }
    CHECK_STR(second, first);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
}

TEST(a_damaged_token_file_is_said_and_left_alone)
{
    char path[512];
    char after[128];
    struct diag diag = {0};
    struct auth *a = NULL;
    (void)snprintf(path, sizeof path, "%s/admin.token", check_folder());
    FILE *f = fopen(path, "we");
    CHECK(f != NULL);
    (void)fputs("not a token\n", f);
    (void)fclose(f);
    CHECK_OK(auth_new(&a));
    CHECK_ERR(auth_admin_open(a, path, &diag), ERR_MALFORMED);
    CHECK(strstr(diag.text, path) != NULL);
    read_file(path, after, sizeof after);
    CHECK_STR(after, "not a token\n");
    CHECK_ERR(auth_admin_open(a, "/nonexistent/admin.token", &diag), ERR_NOT_FOUND);
    CHECK(strstr(diag.text, "/nonexistent/admin.token") != NULL);
    auth_free(a);
}

TEST(nothing_and_long_texts_are_nobodys)
{
    struct auth *a = NULL;
    struct auth_who who;
    char longer[AUTH_GIVEN_BYTES_MAX + 2];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    CHECK_OK(auth_new(&a));
    CHECK_ERR(auth_token_check(a, text(""), &who), ERR_AUTH);
    CHECK_OK(auth_token_add(a, "x", CALL_VIEWER, longer));
    CHECK_ERR(auth_token_check(a, text(longer), &who), ERR_AUTH);
    auth_free(a);
}

TEST(configured_tokens_have_their_roles_and_a_limit)
{
    struct auth *a = NULL;
    struct auth_who who;
    CHECK_OK(auth_new(&a));
    for (int i = 0; i < AUTH_TOKENS_MAX; i++) {
        char token[32];
        (void)snprintf(token, sizeof token, "token-number-%d", i);
        CHECK_OK(auth_token_add(a, "line", (enum call_role)(i % 3), token));
    }
    CHECK_ERR(auth_token_add(a, "more", CALL_VIEWER, "one-more"), ERR_LIMIT);
    CHECK_OK(auth_token_check(a, text("token-number-4"), &who));
    CHECK_EQ(who.role, CALL_ENGINEER);
    auth_free(a);
}

TEST(a_link_signs_in_once_within_ten_minutes)
{
    struct auth *a = NULL;
    struct auth_who admin = {CALL_ADMIN, "admin"};
    struct auth_who who;
    char link[AUTH_TOKEN_TEXT_BYTES];
    CHECK_OK(auth_new(&a));
    CHECK_OK(auth_link_new(a, &admin, 1000, link));
    CHECK_ERR(auth_token_check(a, text(link), &who), ERR_AUTH);
    CHECK_OK(auth_link_use(a, text(link), 1000 + 599 * SECOND, &who));
    CHECK_STR(who.user, "admin");
    CHECK_ERR(auth_link_use(a, text(link), 2000, &who), ERR_AUTH);
    CHECK_OK(auth_link_new(a, &admin, 1000, link));
    CHECK_ERR(auth_link_use(a, text(link), 1000 + 600 * SECOND, &who), ERR_AUTH);
    auth_free(a);
}

TEST(a_session_ends_by_sign_out_or_after_twelve_hours)
{
    struct auth *a = NULL;
    struct auth_who admin = {CALL_ENGINEER, "eve"};
    struct auth_who who;
    char first[AUTH_TOKEN_TEXT_BYTES];
    char second[AUTH_TOKEN_TEXT_BYTES];
    int64_t life_us = 12 * 3600 * SECOND;
    CHECK_OK(auth_new(&a));
    CHECK_OK(auth_session_new(a, &admin, 1, first));
    CHECK_OK(auth_session_new(a, &admin, 1, second));
    CHECK(strcmp(first, second) != 0);
    CHECK_OK(auth_session_check(a, text(first), life_us, &who));
    CHECK_EQ(who.role, CALL_ENGINEER);
    CHECK_ERR(auth_session_check(a, text(first), life_us + 1, &who), ERR_AUTH);
    auth_session_end(a, text(first));
    CHECK_ERR(auth_session_check(a, text(first), 2, &who), ERR_AUTH);
    CHECK_OK(auth_session_check(a, text(second), 2, &who));
    auth_free(a);
}

TEST(beyond_the_limit_the_oldest_session_goes)
{
    struct auth *a = NULL;
    struct auth_who admin = {CALL_ADMIN, "admin"};
    struct auth_who who;
    char first[AUTH_TOKEN_TEXT_BYTES];
    char other[AUTH_TOKEN_TEXT_BYTES];
    CHECK_OK(auth_new(&a));
    CHECK_OK(auth_session_new(a, &admin, 0, first));
    for (int i = 1; i < AUTH_SESSIONS_MAX; i++)
        CHECK_OK(auth_session_new(a, &admin, i, other));
    CHECK_OK(auth_session_check(a, text(first), 1, &who));
    CHECK_OK(auth_session_new(a, &admin, AUTH_SESSIONS_MAX, other));
    CHECK_ERR(auth_session_check(a, text(first), 1, &who), ERR_AUTH);
    CHECK_OK(auth_session_check(a, text(other), 1, &who));
    auth_free(a);
}

TEST(roles_have_names)
{
    enum call_role role = CALL_VIEWER;
    CHECK(auth_role_find("engineer", &role));
    CHECK_EQ(role, CALL_ENGINEER);
    CHECK(!auth_role_find("root", &role));
    CHECK_STR(auth_role_name(CALL_ADMIN), "admin");
}
