/* This test program once more, as a child that is killed while it works. It is not a fork's copy,
 * since a library with threads does not survive that: the child finds a variable in its environment
 * before main begins.
 *
 *     __attribute__((constructor)) static void child_begin(void)
 *     {
 *         const char *path = getenv("LOTLINE_MY_TEST_CHILD");
 *         if (path)
 *             child_main(path);        … child_begun();
 *     }
 */
#ifndef LOTLINE_TESTS_SUPPORT_CHILD_H
#define LOTLINE_TESTS_SUPPORT_CHILD_H

#include <stdint.h>
#include <sys/types.h>

/* Starts the child with variable=value in its environment and returns when it has begun. */
pid_t child_start(const char *variable, const char *value);

/* In the child: it has begun, and goes on until it is killed. */
_Noreturn void child_begun(void);

/* Kills it, after so many milliseconds: the moment is the test's subject, not a wait for something.
 */
void child_kill(pid_t pid, int64_t after_ms);

#endif
