/* The allocation functions as the linker's --wrap puts them under our own calls. See fault.h. */
#include "tests/support/fault.h"

#include <errno.h>
#include <stddef.h>

/* Per thread: another thread's allocations in the middle of a pass would make it irreproducible. */
static _Thread_local uint64_t fault_target; /* 0 = off */
static _Thread_local uint64_t fault_seen;
static _Thread_local bool fault_was_hit;

void fault_at(uint64_t n)
{
    fault_target = n;
    fault_seen = 0;
    fault_was_hit = false;
}

void fault_off(void)
{
    fault_target = 0;
}

bool fault_hit(void)
{
    return fault_was_hit;
}

uint64_t fault_count(void)
{
    return fault_seen;
}

bool fault_pass(uint64_t n)
{
    if (n > 1 && !fault_was_hit) {
        fault_off();
        return false;
    }
    fault_at(n);
    return true;
}

/* Counts one allocation; true if it is the one to fail. */
static bool fault_now(void)
{
    fault_seen++;
    if (fault_target == 0 || fault_seen != fault_target)
        return false;
    fault_was_hit = true;
    errno = ENOMEM;
    return true;
}

/* The names are the linker's: __wrap_x gets the calls of x, __real_x is x itself. */
/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **ret, size_t alignment, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return fault_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fault_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fault_now() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return fault_now() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return fault_now() ? NULL : __real_strndup(text, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fault_now() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
    return fault_now() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming)
 */
