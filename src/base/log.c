/* Log lines. See log.h. The level is the one piece of process-wide state in base/: every thread
 * and every library call must obey the same one. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_BYTES_MAX 2048

static atomic_int log_level_now = LOG_INFO;

static const char *const log_level_names[] = {"debug", "info", "warn", "error", "off"};

void log_level_set(enum log_level level)
{
    atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

enum log_level log_level_get(void)
{
    return (enum log_level)atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return log_level_names[level];
}

bool log_level_find(const char *name, enum log_level *ret)
{
    for (int i = 0; i <= LOG_OFF; i++) {
        if (strcmp(log_level_names[i], name) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* A device's or client's text may end up in a line: keep one event one line. */
static void log_one_line(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = ' ';
    }
}

void log_write(enum log_level level, const char *component, const char *format, ...)
{
    if (level < log_level_get())
        return;
    char line[LOG_LINE_BYTES_MAX];
    size_t n = clock_format(clock_wall_us() / 1000 * 1000, line);
    n += (size_t)snprintf(line + n, sizeof line - n, " %s %s ", log_level_name(level), component);
    va_list args;
    va_start(args, format);
    int need = vsnprintf(line + n, sizeof line - n - 1, format, args);
    va_end(args);
    if (need < 0)
        return;
    size_t room = sizeof line - n - 2;
    n += (size_t)need < room ? (size_t)need : room;
    log_one_line(line, n);
    line[n++] = '\n';
    /* A log line that cannot be written has nowhere to be reported. */
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}
