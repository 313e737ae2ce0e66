/* Structured log lines on standard error.
 *
 * `2026-11-22T08:30:00.123Z warn gateway plc1: silent for 2 s; next try in 4 s`
 * time, level, component, text. The level can be changed at run time. Libraries return errors;
 * the owner of an event logs it, once.
 */
#ifndef LOTLINE_BASE_LOG_H
#define LOTLINE_BASE_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
    LOG_OFF,
};

/* From now on lines below `level` are dropped. Any thread. */
void log_level_set(enum log_level level);
enum log_level log_level_get(void);

/* "debug", "info", "warn", "error", "off". */
const char *log_level_name(enum log_level level);

/* False (and *ret untouched) if name is none of them. */
bool log_level_find(const char *name, enum log_level *ret);

/* One line, written with a single write(2). Any thread; blocks no longer than that write. */
void log_write(enum log_level level, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
