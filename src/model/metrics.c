/* See metrics.h. */
#include "model/metrics.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct collector {
    metrics_collect_fn collect;
    void *ctx;
};

struct metrics {
    pthread_mutex_t mutex; /* held while collecting: removal waits */
    struct collector collectors[METRICS_COLLECTORS_MAX];
    uint32_t count;
};

/* One name; its samples may come from several collectors. */
struct family {
    const char *name;
    const char *help;
    enum metric_type type;
    struct buf samples;
};

struct metrics_writer {
    struct map families;
    struct family *now;
    int err;
};

int metrics_new(struct metrics **ret)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (!m)
        return ERR_NOMEM;
    (void)pthread_mutex_init(&m->mutex, NULL);
    *ret = m;
    return OK;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    (void)pthread_mutex_destroy(&m->mutex);
    free(m);
}

int metrics_add(struct metrics *m, metrics_collect_fn collect, void *ctx)
{
    int err = ERR_LIMIT;
    (void)pthread_mutex_lock(&m->mutex);
    if (m->count < METRICS_COLLECTORS_MAX) {
        m->collectors[m->count++] = (struct collector){collect, ctx};
        err = OK;
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return err;
}

void metrics_remove(struct metrics *m, metrics_collect_fn collect, void *ctx)
{
    (void)pthread_mutex_lock(&m->mutex);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < m->count; i++) {
        if (m->collectors[i].collect != collect || m->collectors[i].ctx != ctx)
            m->collectors[kept++] = m->collectors[i];
    }
    m->count = kept;
    (void)pthread_mutex_unlock(&m->mutex);
}

/* --------------------------------------------------------------------------------------- printing
 */

static void family_print(const struct family *f, struct buf *out)
{
    (void)buf_printf(out, "# HELP %s ", f->name);
    for (const char *c = f->help; *c; c++) {
        if (*c == '\\' || *c == '\n')
            (void)buf_append_text(out, *c == '\n' ? "\\n" : "\\\\");
        else
            (void)buf_append_u8(out, (uint8_t)*c);
    }
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    (void)buf_printf(out, "\n# TYPE %s %s\n", f->name, types[f->type]);
    (void)buf_append_bytes(out, buf_bytes(&f->samples));
}

static int writer_end(struct metrics_writer *w, struct buf *out)
{
    int err = w->err;
    for (size_t i = 0; i < w->families.count; i++) {
        struct family *f = w->families.entries[i].value;
        if (!err)
            family_print(f, out);
        err = err ? err : buf_error(&f->samples);
        buf_fini(&f->samples);
        free(f);
    }
    map_fini(&w->families);
    return err ? err : buf_error(out);
}

int metrics_print(struct metrics *m, struct buf *out)
{
    struct metrics_writer w = {0};
    (void)pthread_mutex_lock(&m->mutex);
    for (uint32_t i = 0; i < m->count; i++) {
        w.now = NULL;
        m->collectors[i].collect(m->collectors[i].ctx, &w);
    }
    (void)pthread_mutex_unlock(&m->mutex);
    return writer_end(&w, out);
}

/* ---------------------------------------------------------------------------------------- writing
 */

void metrics_family(struct metrics_writer *w, const char *name, enum metric_type type,
                    const char *help)
{
    struct family *f = map_find_text(&w->families, name);
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f || map_add_text(&w->families, name, f)) {
            free(f);
            f = NULL;
            w->err = ERR_NOMEM;
        } else {
            f->name = w->families.entries[w->families.count - 1].key;
            f->help = help;
            f->type = type;
        }
    }
    w->now = f;
}

static void label_value(struct buf *out, const char *value)
{
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            (void)buf_append_text(out, "\\n");
        else if (*c == '"' || *c == '\\')
            (void)buf_printf(out, "\\%c", *c);
        else
            (void)buf_append_u8(out, (uint8_t)*c);
    }
}

/* `part` stands behind the family's name. */
static void metrics_sample(struct metrics_writer *w, const char *part,
                           const struct metric_label *labels, size_t count, const char *value)
{
    if (!w->now)
        return;
    struct buf *out = &w->now->samples;
    (void)buf_append_text(out, w->now->name);
    (void)buf_append_text(out, part);
    for (size_t i = 0; i < count; i++) {
        (void)buf_printf(out, "%s%s=\"", i ? "," : "{", labels[i].name);
        label_value(out, labels[i].value ? labels[i].value : "");
        (void)buf_append_text(out, "\"");
    }
    (void)buf_printf(out, "%s %s\n", count ? "}" : "", value);
}

void metrics_u64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                 uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    metrics_sample(w, "", labels, count, text);
}

void metrics_f64(struct metrics_writer *w, const struct metric_label *labels, size_t count,
                 double value)
{
    char text[STR_NUMBER_BYTES_MAX];
    (void)str_from_double(value, text);
    /* Prometheus spells these so. */
    if (value != value)
        (void)snprintf(text, sizeof text, "NaN");
    else if (value - value != 0)
        (void)snprintf(text, sizeof text, value > 0 ? "+Inf" : "-Inf");
    metrics_sample(w, "", labels, count, text);
}

void metrics_histogram(struct metrics_writer *w, const struct metric_label *label,
                       const struct metric_histogram *h)
{
    char text[STR_NUMBER_BYTES_MAX];
    char bound[STR_NUMBER_BYTES_MAX];
    struct metric_label labels[2] = {{0}, {0}};
    size_t own = label ? 1 : 0;
    uint64_t total = 0;
    if (label)
        labels[0] = *label;
    labels[own] = (struct metric_label){"le", bound};
    for (size_t i = 0; i <= h->bound_count; i++) {
        total += h->counts[i];
        if (i < h->bound_count)
            (void)str_from_double(h->bounds[i], bound);
        else
            (void)snprintf(bound, sizeof bound, "+Inf");
        (void)snprintf(text, sizeof text, "%" PRIu64, total);
        metrics_sample(w, "_bucket", labels, own + 1, text);
    }
    metrics_sample(w, "_count", labels, own, text);
    (void)str_from_double(h->sum, text);
    metrics_sample(w, "_sum", labels, own, text);
}

void metrics_one(struct metrics_writer *w, const char *name, enum metric_type type,
                 const char *help, uint64_t value)
{
    metrics_family(w, name, type, help);
    metrics_u64(w, NULL, 0, value);
}

/* ---------------------------------------------------------------------------------------- process
 */

/* The fields of /proc/self/stat that are wanted; the name before them may hold anything but ends
 * with the last ')'. */
struct process_stat {
    unsigned long long ticks; /* user + system */
    unsigned long long threads;
    unsigned long long start_ticks; /* since boot */
};

#define STAT_USER    11 /* counted from the field behind the name */
#define STAT_SYSTEM  12
#define STAT_THREADS 17
#define STAT_START   19

static bool process_stat_read(struct process_stat *out)
{
    char text[1024];
    FILE *f = fopen("/proc/self/stat", "re");
    if (!f)
        return false;
    size_t len = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[len] = 0;
    char *at = strrchr(text, ')');
    if (!at)
        return false;
    char *save = NULL;
    unsigned field = 0;
    for (char *word = strtok_r(at + 1, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        uint64_t number = 0;
        (void)str_to_u64(bytes_of_text(word), &number);
        if (field == STAT_USER || field == STAT_SYSTEM)
            out->ticks += number;
        else if (field == STAT_THREADS)
            out->threads = number;
        else if (field == STAT_START)
            out->start_ticks = number;
        field++;
    }
    return field > STAT_START;
}

/* Resident pages. */
static uint64_t process_resident_bytes(void)
{
    char text[128];
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    size_t len = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[len] = 0;
    char *space = strchr(text, ' ');
    uint64_t pages = space ? strtoull(space + 1, NULL, 10) : 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (!dir)
        return 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.')
            count++;
    }
    (void)closedir(dir);
    return count > 0 ? count - 1 : 0; /* without the one that looks */
}

void metrics_process(void *ctx, struct metrics_writer *w)
{
    (void)ctx;
    struct process_stat stat = {0};
    double hertz = (double)sysconf(_SC_CLK_TCK);
    metrics_one(w, "process_resident_memory_bytes", METRIC_GAUGE, "Resident memory of the process.",
                process_resident_bytes());
    metrics_one(w, "process_open_fds", METRIC_GAUGE, "Open file descriptors.", process_open_fds());
    if (!process_stat_read(&stat))
        return;
    metrics_one(w, "process_threads", METRIC_GAUGE, "Threads of the process.", stat.threads);
    metrics_family(w, "process_cpu_seconds_total", METRIC_COUNTER,
                   "CPU time used, user and system.");
    metrics_f64(w, NULL, 0, (double)stat.ticks / hertz);
    /* The start is told in ticks of the boot clock. */
    struct timespec boot = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    double up_s =
        (double)boot.tv_sec + (double)boot.tv_nsec / 1e9 - (double)stat.start_ticks / hertz;
    metrics_family(w, "process_start_time_seconds", METRIC_GAUGE,
                   "When the process started, seconds since 1970.");
    metrics_f64(w, NULL, 0, (double)clock_wall_us() / 1e6 - up_s);
    metrics_family(w, "process_uptime_seconds", METRIC_GAUGE, "How long the process has run.");
    metrics_f64(w, NULL, 0, up_s);
}
