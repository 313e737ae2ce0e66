/* Allocations that fail on demand: shows that a function gives ERR_NOMEM, leaks nothing and leaves
 * its outputs alone, whichever of its allocations fails.
 *
 *     FAULT_EACH (n) {
 *         struct map m = {0};
 *         int rc = map_put(&m, key, value);
 *         if (fault_hit())
 *             CHECK_ERR(rc, ERR_NOMEM);
 *         else
 *             CHECK_OK(rc);
 *         map_fini(&m);
 *     }
 *
 * The loop runs with the first allocation failing, then the second, and ends after the first pass
 * in which all succeeded. malloc, calloc, realloc, strdup, strndup, aligned_alloc and
 * posix_memalign are counted, where our own code calls them (the linker puts fault.c between:
 * --wrap) and only on the thread that runs the test. A library's own allocations never fail.
 */
#ifndef LOTLINE_TESTS_SUPPORT_FAULT_H
#define LOTLINE_TESTS_SUPPORT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* From now on the n-th allocation (from 1) fails, once. Forgets what was counted. */
void fault_at(uint64_t n);

/* No more failing. The count and fault_hit stay as they are. */
void fault_off(void);

/* True once the failing allocation was reached. */
bool fault_hit(void);

/* Allocations since fault_at. */
uint64_t fault_count(void);

/* Used by FAULT_EACH: arms pass n; false, and off, when the pass before ran without a failure. */
bool fault_pass(uint64_t n);

#define FAULT_EACH(n) for (uint64_t n = 1; fault_pass(n); n++)

#endif
