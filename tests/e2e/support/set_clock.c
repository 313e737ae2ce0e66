/* Preloaded into a program, sets its wall clock and nothing else: CLOCK_REALTIME is off by as many
 * microseconds as the file SET_CLOCK_FILE holds (8 bytes, little-endian), which a test changes
 * while the program runs. Monotonic clocks, timers and waits stay what they are, as on a host whose
 * clock somebody sets. (Debian's faketime moves timerfds on the monotonic clock too.) */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

static const volatile int64_t *offset_us;

static __attribute__((constructor)) void set_clock_open(void)
{
    const char *path = getenv("SET_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset_us, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        abort();
    offset_us = at;
    (void)close(fd);
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's have underscores */
int clock_gettime(clockid_t id, struct timespec *out)
{
    int rc = (int)syscall(SYS_clock_gettime, id, out);
    if (rc || !offset_us || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return rc;
    int64_t ns = out->tv_nsec + *offset_us % 1000000 * 1000;
    out->tv_sec += *offset_us / 1000000 + (ns >= NS_PER_S) - (ns < 0);
    out->tv_nsec = ns >= NS_PER_S ? ns - NS_PER_S : ns < 0 ? ns + NS_PER_S : ns;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    int rc = clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *out)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
