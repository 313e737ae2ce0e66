/* The house header of unit tests: what a test says, over cmocka, which stays hidden in check.c.
 *
 *     TEST(arena_gives_aligned_memory)
 *     {
 *         struct arena a = {0};
 *         CHECK(arena_alloc(&a, 3) != NULL);
 *         CHECK_EQ(a.used % 16, 0);
 *         arena_fini(&a);
 *     }
 *
 * TEST registers the function by itself, in the order of the file, and main() comes with the
 * library: there is no list to keep, and no test that was written but never run. Each test program
 * prints TAP when it runs under meson; with a name as argument it runs the tests whose names
 * contain it.
 *
 * A failed check ends its test at once, with file, line and both values. The checks belong to the
 * thread that runs the test: other threads hand their results to it.
 */
#ifndef LOTLINE_TESTS_SUPPORT_CHECK_H
#define LOTLINE_TESTS_SUPPORT_CHECK_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};

/* Used by TEST; t lives for ever. */
void check_register(struct check_test *t);

#define TEST(name_)                                                                                \
    static void name_(void);                                                                       \
    __attribute__((constructor)) static void name_##_register(void)                                \
    {                                                                                              \
        static struct check_test t = {.name = #name_, .run = name_, .next = NULL};                 \
        check_register(&t);                                                                        \
    }                                                                                              \
    static void name_(void)

/* Ends the test as failed with a line for a person. */
_Noreturn void check_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the test as skipped; the reason is printed. */
_Noreturn void check_skip(const char *reason);

/* The folder of optional cases that the environment names in LOTLINE_CASES, joined with name (kept
 * until the test ends). Skips the test where there is none. */
const char *check_cases(const char *name);

/* An empty folder of this test's own, removed with all that is in it when the test ends. */
const char *check_folder(void);

/* How many files are in this folder; the path of one of them (NULL: not asked for). */
#define CHECK_PATH_BYTES_MAX 4096
uint32_t check_files(const char *folder, char ret_one[CHECK_PATH_BYTES_MAX]);

/* A number of any integer type, so that -1 and UINT64_MAX are never taken for one another. */
struct check_num {
    bool negative;
    uint64_t magnitude;
};

static inline struct check_num check_num_i(int64_t v)
{
    return (struct check_num){v < 0, v < 0 ? -(uint64_t)v : (uint64_t)v};
}

static inline struct check_num check_num_u(uint64_t v)
{
    return (struct check_num){false, v};
}

#define CHECK_NUM(v)                                                                               \
    _Generic((v), bool                                                                             \
             : check_num_u, unsigned char                                                          \
             : check_num_u, unsigned short                                                         \
             : check_num_u, unsigned int                                                           \
             : check_num_u, unsigned long                                                          \
             : check_num_u, unsigned long long                                                     \
             : check_num_u, default                                                                \
             : check_num_i)(v)

void check_ok_at(const char *file, int line, const char *text, int rc);
void check_err_at(const char *file, int line, const char *text, int rc, int want);
void check_eq_at(const char *file, int line, const char *text, struct check_num got,
                 struct check_num want);
void check_near_at(const char *file, int line, const char *text, double got, double want,
                   double tolerance);
void check_str_at(const char *file, int line, const char *text, const char *got, const char *want);
void check_bytes_at(const char *file, int line, const char *text, struct bytes got,
                    struct bytes want);
/* True until timeout_ms after the first call for *deadline_us (0 at first); then fails the test. */
bool check_wait_at(const char *file, int line, const char *text, int64_t *deadline_us,
                   int timeout_ms);

/* The condition holds. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            check_fail_at(__FILE__, __LINE__, "does not hold: %s", #cond);                         \
    } while (0)

/* rc is 0; otherwise the error's name and text are printed. */
#define CHECK_OK(rc) check_ok_at(__FILE__, __LINE__, #rc, rc)

/* rc is just this ERR_*. */
#define CHECK_ERR(rc, want) check_err_at(__FILE__, __LINE__, #rc, rc, want)

/* Two integers (of any widths and signs) are the same number. */
#define CHECK_EQ(got, want) check_eq_at(__FILE__, __LINE__, #got, CHECK_NUM(got), CHECK_NUM(want))

/* Two doubles differ by no more than tolerance; two NaN are alike. 0 asks for equality. */
#define CHECK_NEAR(got, want, tolerance)                                                           \
    check_near_at(__FILE__, __LINE__, #got, got, want, tolerance)

/* Two strings are alike, or both NULL. */
#define CHECK_STR(got, want) check_str_at(__FILE__, __LINE__, #got, got, want)

/* Two struct bytes hold the same bytes; otherwise the place of the first difference is shown. */
#define CHECK_BYTES(got, want) check_bytes_at(__FILE__, __LINE__, #got, got, want)

/* As CHECK_BYTES for two pointers and one size. */
#define CHECK_MEM(got, want, size)                                                                 \
    check_bytes_at(__FILE__, __LINE__, #got, bytes_of(got, size), bytes_of(want, size))

/* The condition comes true within timeout_ms; what it waits for happens on other threads. */
#define CHECK_SOON(cond, timeout_ms)                                                               \
    do {                                                                                           \
        int64_t check_deadline_us = 0;                                                             \
        while (!(cond) &&                                                                          \
               check_wait_at(__FILE__, __LINE__, #cond, &check_deadline_us, timeout_ms)) {         \
        }                                                                                          \
    } while (0)

#endif
