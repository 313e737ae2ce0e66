/* The checks of check.h over cmocka, and the main() of every unit test program.
 *
 * cmocka gives what is easy to get wrong: leaving a test in the middle, TAP, the closing count. Its
 * headers stay here, because its macros (expect_…, will_return, unit_test) would otherwise be in
 * every test's name space.
 */
#include "tests/support/check.h"

#include "base/err.h"
#include "tests/support/fault.h"

#include <dirent.h>
#include <ftw.h>
#include <inttypes.h>
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CHECK_TESTS_MAX    1000
#define CHECK_WALK_FDS_MAX 16
#define CHECK_HEX_BEFORE   4 /* bytes shown before the first difference */
#define CHECK_HEX_SHOWN    16

static struct check_test *check_first;
static struct check_test **check_last = &check_first;
static char check_folder_path[CHECK_PATH_BYTES_MAX];
static char check_cases_path[CHECK_PATH_BYTES_MAX];

void check_register(struct check_test *t)
{
    *check_last = t;
    check_last = &t->next;
}

void check_fail_at(const char *file, int line, const char *format, ...)
{
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fault_off();
    print_error("%s:%d: %s\n", file, line, text);
    _fail(file, line);
    abort(); /* _fail has left by longjmp; its declaration does not say so */
}

void check_skip(const char *reason)
{
    print_message("# skipped: %s\n", reason);
    _skip(__FILE__, __LINE__);
    abort();
}

const char *check_cases(const char *name)
{
    const char *root = getenv("LOTLINE_CASES");
    if (!root || !*root)
        check_skip("LOTLINE_CASES names no folder of cases");
    snprintf(check_cases_path, sizeof check_cases_path, "%s/%s", root, name);
    if (access(check_cases_path, R_OK) != 0)
        check_skip("these cases are not in LOTLINE_CASES");
    return check_cases_path;
}

const char *check_folder(void)
{
    if (check_folder_path[0])
        return check_folder_path;
    const char *root = getenv("TMPDIR");
    snprintf(check_folder_path, sizeof check_folder_path, "%s/lotline-test-XXXXXX",
             root && *root ? root : P_tmpdir);
    if (!mkdtemp(check_folder_path))
        check_fail_at(__FILE__, __LINE__, "cannot make %s", check_folder_path);
    return check_folder_path;
}

static int check_path_remove(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

uint32_t check_files(const char *folder, char ret_one[CHECK_PATH_BYTES_MAX])
{
    uint32_t count = 0;
    const struct dirent *e;
    DIR *dir = opendir(folder);
    if (!dir)
        check_fail_at(__FILE__, __LINE__, "cannot open the folder %s", folder);
    while ((e = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (e->d_name[0] == '.')
            continue;
        if (ret_one)
            (void)snprintf(ret_one, CHECK_PATH_BYTES_MAX, "%s/%s", folder, e->d_name);
        count++;
    }
    (void)closedir(dir);
    return count;
}

static void check_folder_remove(void)
{
    if (check_folder_path[0])
        nftw(check_folder_path, check_path_remove, CHECK_WALK_FDS_MAX, FTW_DEPTH | FTW_PHYS);
    check_folder_path[0] = '\0';
}

void check_ok_at(const char *file, int line, const char *text, int rc)
{
    if (rc != OK)
        check_fail_at(file, line, "%s\n  gave %s: %s", text, err_name(rc), err_text(rc));
}

void check_err_at(const char *file, int line, const char *text, int rc, int want)
{
    if (rc != want)
        check_fail_at(file, line, "%s\n  gave %s, not %s", text, err_name(rc), err_name(want));
}

void check_eq_at(const char *file, int line, const char *text, struct check_num got,
                 struct check_num want)
{
    if (got.negative == want.negative && got.magnitude == want.magnitude)
        return;
    check_fail_at(file, line, "%s\n  is %s%" PRIu64 ", not %s%" PRIu64, text,
                  got.negative ? "-" : "", got.magnitude, want.negative ? "-" : "", want.magnitude);
}

void check_near_at(const char *file, int line, const char *text, double got, double want,
                   double tolerance)
{
    if ((isnan(got) && isnan(want)) || got == want || fabs(got - want) <= tolerance)
        return;
    check_fail_at(file, line, "%s\n  is %.17g, not %.17g (within %g)", text, got, want, tolerance);
}

void check_str_at(const char *file, int line, const char *text, const char *got, const char *want)
{
    if (got == want || (got && want && strcmp(got, want) == 0))
        return;
    check_fail_at(file, line, "%s\n  is  \"%s\"\n  not \"%s\"", text, got ? got : "(NULL)",
                  want ? want : "(NULL)");
}

/* The bytes around `at` in hex, into text (3 characters a byte). */
static const char *check_hex(char text[static 3 * CHECK_HEX_SHOWN + 1], struct bytes v, size_t at)
{
    size_t from = at > CHECK_HEX_BEFORE ? at - CHECK_HEX_BEFORE : 0;
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = from; i < v.len && i < from + CHECK_HEX_SHOWN; i++) {
        snprintf(text + used, 4, "%02x ", v.ptr[i]);
        used += 3;
    }
    return text;
}

void check_bytes_at(const char *file, int line, const char *text, struct bytes got,
                    struct bytes want)
{
    if (bytes_equal(got, want))
        return;
    size_t at = 0;
    while (at < got.len && at < want.len && got.ptr[at] == want.ptr[at])
        at++;
    char got_hex[3 * CHECK_HEX_SHOWN + 1];
    char want_hex[3 * CHECK_HEX_SHOWN + 1];
    check_fail_at(
        file, line, "%s\n  differs at byte %zu (%zu bytes, not %zu)\n  is  … %s\n  not … %s", text,
        at, got.len, want.len, check_hex(got_hex, got, at), check_hex(want_hex, want, at));
}

static int64_t check_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

bool check_wait_at(const char *file, int line, const char *text, int64_t *deadline_us,
                   int timeout_ms)
{
    int64_t now_us = check_now_us();
    if (*deadline_us == 0)
        *deadline_us = now_us + (int64_t)timeout_ms * 1000;
    if (now_us > *deadline_us)
        check_fail_at(file, line, "did not come true within %d ms: %s", timeout_ms, text);
    sched_yield();
    return true;
}

static void check_run(void **state)
{
    const struct check_test *t = *state;
    t->run();
}

static int check_teardown(void **state)
{
    (void)state;
    fault_off();
    check_folder_remove();
    return 0;
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[CHECK_TESTS_MAX];
    size_t count = 0;
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    for (struct check_test *t = check_first; t && count < CHECK_TESTS_MAX; t = t->next) {
        if (argc > 1 && !strstr(t->name, argv[1]))
            continue;
        tests[count++] = (struct CMUnitTest){.name = t->name,
                                             .test_func = check_run,
                                             .teardown_func = check_teardown,
                                             .initial_state = t};
    }
    const char *name = strrchr(argv[0], '/');
    return _cmocka_run_group_tests(name ? name + 1 : argv[0], tests, count, NULL, NULL) != 0;
}
