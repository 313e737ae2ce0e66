/* CSV files that others drop into a folder: every row once.
 *
 * A file is read when it has not changed for `settle`, up to its last complete line; one that grows
 * later is read on from there. (With settle 0 its lines are read as they come.)
 *
 * A part of a file is one batch. Before the batch leaves, what it is (file, bytes, key) is put into
 * keyed state; behind it, when it is durable, how far the file is read. After a kill in between the
 * same bytes are read again under the same key, and the log drops what it has already. So a row of
 * a durable stream is there exactly once, as long as its file is.
 *
 *     source/NAME/at           what was on its way: version, key, identity, from, to, line, file
 *     source/NAME/file/FILE    how far it is read: version, identity, offset, line
 *
 * A file's identity is its inode and when it was made, so that a new one under an old name is read
 * from its beginning. What is no longer in the folder is forgotten.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "source/source_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATE_VERSION 1
#define LEFT_OUT      "the line was left out"
#define NOT_READ      "the file is not read on"

struct file_known {
    char *name;
    uint64_t id;
    uint64_t offset; /* read up to there */
    uint64_t line;   /* lines up to there */
    uint64_t size;
    int64_t mtime_us;
    int64_t since_us; /* monotonic: not changed since */
    uint64_t stalled; /* at this size there was no complete line; 0 = not so */
    bool ready;       /* has something to read, and is settled */
    bool seen;        /* in this scan */
};

/* What is on its way. */
struct file_part {
    char name[NAME_MAX + 1];
    uint64_t id;
    uint64_t key;
    uint64_t from;
    uint64_t to;
    uint64_t line; /* lines before it */
    uint64_t lines;
};

struct file_source {
    struct source base; /* first */
    struct file_options options;
    const struct schema *schema;
    struct map known;
    struct exec_timer timer;
    struct exec_task turn_task;
    struct flow_done done;
    struct file_part part;
    struct batch *batch; /* not yet pushed */
    bool busy;           /* a part is on its way */
    bool open;
    uint64_t key; /* the last one used */
    struct csv_record record;
    struct buf text;
    uint32_t *columns; /* schema column of each of the file's, UINT32_MAX = nobody's */
    uint32_t column_count;
    struct value *values;
    char broken_file[NAME_MAX + 1]; /* whose line the alarm names; "" = none is raised */
};

/* --------------------------------------------------------------------------------------- options
 */

static const char *const source_choices[] = {"file", NULL};
static const char *const format_choices[] = {"csv", NULL};

static const struct option file_source_table[] = {
    {.name = "name",
     .type = OPTION_NAME,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct file_options, name),
     .doc = "what the stream is called"},
    {.name = "source",
     .type = OPTION_ENUM,
     .flags = OPTION_REQUIRED,
     .choices = source_choices,
     .offset = offsetof(struct file_options, source),
     .doc = "where it comes from"},
    {.name = "folder",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct file_options, folder),
     .doc = "the folder that files are dropped into; it is only read"},
    {.name = "pattern",
     .type = OPTION_TEXT,
     .default_text = "*.csv",
     .offset = offsetof(struct file_options, pattern),
     .doc = "which of its files: * stands for anything, ? for one character"},
    {.name = "format",
     .type = OPTION_ENUM,
     .default_text = "csv",
     .choices = format_choices,
     .offset = offsetof(struct file_options, format),
     .doc = "of the files; the first line names the columns"},
    {.name = "separator",
     .type = OPTION_TEXT,
     .default_text = ",",
     .offset = offsetof(struct file_options, separator),
     .doc = "what stands between two fields: one character"},
    {.name = "interval",
     .type = OPTION_DURATION,
     .default_text = "500ms",
     .min = 10000,
     .max = INT64_C(3600000000),
     .offset = offsetof(struct file_options, interval_us),
     .doc = "how often the folder is looked at"},
    {.name = "settle",
     .type = OPTION_DURATION,
     .default_text = "1s",
     .max = INT64_C(3600000000),
     .offset = offsetof(struct file_options, settle_us),
     .doc = "a file is read when it has not changed for so long; 0s: line by line as it grows"},
    {.name = "columns",
     .type = OPTION_TREE,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct file_options, columns),
     .doc = "list of {name, type, uom}, or name: type of each column; others of the file are "
            "left out"},
    {.name = "time",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct file_options, time),
     .doc = "the timestamp column that is the row's time (default: when the file was written)"},
    {.name = "place",
     .type = OPTION_TEXT,
     .default_text = "",
     .offset = offsetof(struct file_options, place),
     .doc = "where its values are measured"},
    {.name = NULL},
};

/* ----------------------------------------------------------------------------------------- state
 */

static const struct source_hooks *hooks(const struct file_source *s)
{
    return &s->base.stage->options.hooks;
}

static int state_put_buf(struct file_source *s, const char *what, const char *file,
                         const struct buf *value)
{
    struct buf key = {0};
    int err = buf_printf(&key, "source/%s/%s%s", s->base.name, what, file);
    if (!err)
        err = buf_error(value);
    if (!err)
        err = hooks(s)->state_put(hooks(s)->ctx, buf_bytes(&key), buf_bytes(value));
    buf_fini(&key);
    return err;
}

static int known_store(struct file_source *s, const struct file_known *f)
{
    struct buf v = {0};
    (void)buf_append_u8(&v, STATE_VERSION);
    (void)buf_append_le64(&v, f->id);
    (void)buf_append_le64(&v, f->offset);
    (void)buf_append_le64(&v, f->line);
    int err = state_put_buf(s, "file/", f->name, &v);
    buf_fini(&v);
    return err;
}

static int part_store(struct file_source *s)
{
    const struct file_part *p = &s->part;
    struct buf v = {0};
    (void)buf_append_u8(&v, STATE_VERSION);
    (void)buf_append_le64(&v, p->key);
    (void)buf_append_le64(&v, p->id);
    (void)buf_append_le64(&v, p->from);
    (void)buf_append_le64(&v, p->to);
    (void)buf_append_le64(&v, p->line);
    (void)buf_append_text(&v, p->name);
    int err = state_put_buf(s, "at", "", &v);
    buf_fini(&v);
    return err;
}

static struct file_known *known_add(struct file_source *s, struct bytes name)
{
    struct file_known *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->name = bytes_to_text(name);
    if (!f->name || map_put(&s->known, name, f, NULL) != OK) {
        free(f->name);
        free(f);
        return NULL;
    }
    return f;
}

static void known_free(struct file_known *f)
{
    free(f->name);
    free(f);
}

static int known_load(void *ctx, struct bytes key, struct bytes value)
{
    struct file_source *s = ctx;
    size_t skip = strlen("source/") + strlen(s->base.name) + strlen("/file/");
    struct reader in = reader_of(value);
    if (reader_u8(&in) != STATE_VERSION || key.len <= skip || key.len - skip > NAME_MAX)
        return OK;
    struct file_known *f = known_add(s, bytes_of(key.ptr + skip, key.len - skip));
    if (!f)
        return ERR_NOMEM;
    struct bytes numbers = reader_take(&in, 24);
    if (in.failed)
        return OK;
    f->id = load_le64(numbers.ptr);
    f->offset = load_le64(numbers.ptr + 8);
    f->line = load_le64(numbers.ptr + 16);
    return OK;
}

static void part_decode(struct file_source *s, struct bytes value)
{
    struct reader in = reader_of(value);
    struct file_part p = {0};
    if (reader_u8(&in) != STATE_VERSION)
        return;
    p.key = reader_le64(&in);
    p.id = reader_le64(&in);
    p.from = reader_le64(&in);
    p.to = reader_le64(&in);
    p.line = reader_le64(&in);
    if (in.failed || reader_left(&in) == 0 || reader_left(&in) > NAME_MAX)
        return;
    s->key = p.key;
    if (p.to <= p.from)
        return; /* nothing was on its way */
    memcpy(p.name, in.ptr, reader_left(&in));
    s->part = p;
}

static int state_load(struct file_source *s)
{
    struct buf text = {0};
    struct buf value = {0};
    (void)buf_printf(&text, "source/%s/file/", s->base.name);
    int err = hooks(s)->state_each(hooks(s)->ctx, buf_bytes(&text), known_load, s);
    buf_reset(&text);
    (void)buf_printf(&text, "source/%s/at", s->base.name);
    if (!err && hooks(s)->state_get(hooks(s)->ctx, buf_bytes(&text), &value) == OK)
        part_decode(s, buf_bytes(&value));
    buf_fini(&text);
    buf_fini(&value);
    return err;
}

/* ------------------------------------------------------------------------------------------ scan
 */

static uint64_t identity(const struct statx *st)
{
    uint64_t born = (uint64_t)st->stx_btime.tv_sec * 1000000000u + st->stx_btime.tv_nsec;
    return (st->stx_ino + 1) * 0x9e3779b97f4a7c15u ^ born * 0xff51afd7ed558ccdu;
}

static int64_t mtime_us(const struct statx *st)
{
    return st->stx_mtime.tv_sec * INT64_C(1000000) + st->stx_mtime.tv_nsec / 1000;
}

static void known_restart(struct file_known *f, uint64_t id)
{
    f->id = id;
    f->offset = 0;
    f->line = 0;
    f->stalled = 0;
}

static void known_see(struct file_source *s, struct file_known *f, const struct statx *st)
{
    int64_t now_us = exec_now_us(s->base.out.exec);
    if (f->id != identity(st) || st->stx_size < f->offset)
        known_restart(f, identity(st));
    if (f->since_us == 0 || f->size != st->stx_size || f->mtime_us != mtime_us(st))
        f->since_us = now_us;
    f->size = st->stx_size;
    f->mtime_us = mtime_us(st);
    f->seen = true;
    f->ready = f->size > f->offset && f->size != f->stalled &&
               now_us - f->since_us >= s->options.settle_us;
}

static int entry_see(struct file_source *s, int dir, const char *name)
{
    struct statx st;
    if (!str_matches(bytes_of_text(name), s->options.pattern) ||
        statx(dir, name, 0, STATX_BASIC_STATS | STATX_BTIME, &st) != 0 || !S_ISREG(st.stx_mode))
        return OK; /* also what went away just now */
    struct file_known *f = map_find_text(&s->known, name);
    if (!f && s->known.count >= SOURCE_FILES_MAX)
        return ERR_LIMIT;
    if (!f) {
        f = known_add(s, bytes_of_text(name));
        if (!f)
            return ERR_NOMEM;
        f->id = identity(&st);
    }
    known_see(s, f, &st);
    return OK;
}

static void broken_clear(struct file_source *s)
{
    char name[SOURCE_NAME_BYTES_MAX];
    (void)snprintf(name, sizeof name, "source.%s.lines", s->base.name);
    s->broken_file[0] = 0;
    hooks(s)->alarm(hooks(s)->ctx, name, NULL);
}

static void known_forget(struct file_source *s, struct file_known *f)
{
    struct buf key = {0};
    if (strcmp(f->name, s->broken_file) == 0)
        broken_clear(s);
    if (buf_printf(&key, "source/%s/file/%s", s->base.name, f->name) == OK)
        (void)hooks(s)->state_remove(hooks(s)->ctx, buf_bytes(&key));
    buf_fini(&key);
    /* What was read of it is not asked for again; the key stays. */
    if (!s->busy && s->part.to && strcmp(f->name, s->part.name) == 0) {
        s->part.from = s->part.to = 0;
        (void)part_store(s);
    }
    (void)map_remove(&s->known, bytes_of_text(f->name));
    known_free(f);
}

static int entries_read(struct file_source *s, DIR *dir)
{
    const struct dirent *e;
    int err = OK;
    for (size_t i = 0; i < s->known.count; i++)
        ((struct file_known *)s->known.entries[i].value)->seen = false;
    while (!err && (e = readdir(dir)) != NULL) /* NOLINT(concurrency-mt-unsafe): our own stream */
        err = entry_see(s, dirfd(dir), e->d_name);
    for (size_t i = s->known.count; !err && i-- > 0;) {
        struct file_known *f = s->known.entries[i].value;
        if (!f->seen)
            known_forget(s, f);
    }
    return err;
}

static int folder_scan(struct file_source *s)
{
    DIR *dir = opendir(s->options.folder);
    if (!dir) {
        source_fail(&s->base, "the folder %s cannot be read: %s", s->options.folder,
                    strerror(errno)); /* NOLINT(concurrency-mt-unsafe): glibc's is safe */
        return ERR_IO;
    }
    int err = entries_read(s, dir);
    (void)closedir(dir);
    if (err == ERR_LIMIT)
        source_fail(&s->base, "the folder %s has more than %d files: move away what was read",
                    s->options.folder, SOURCE_FILES_MAX);
    if (!err)
        source_works(&s->base);
    return err;
}

/* The oldest that is ready. */
static struct file_known *ready_find(const struct file_source *s)
{
    struct file_known *best = NULL;
    for (size_t i = 0; i < s->known.count; i++) {
        struct file_known *f = s->known.entries[i].value;
        if (!f->ready)
            continue;
        if (!best || f->mtime_us < best->mtime_us ||
            (f->mtime_us == best->mtime_us && strcmp(f->name, best->name) < 0))
            best = f;
    }
    return best;
}

/* ------------------------------------------------------------------------------------------ read
 */

/* A line that is left out. The first one of a file is told. */
static __attribute__((format(printf, 4, 5))) void
line_broken(struct file_source *s, uint64_t line, const char *end, const char *format, ...)
{
    char name[SOURCE_NAME_BYTES_MAX];
    char what[256];
    char text[SOURCE_ALARM_BYTES_MAX];
    va_list args;
    atomic_fetch_add_explicit(&s->base.broken, 1, memory_order_relaxed);
    if (strcmp(s->broken_file, s->part.name) == 0)
        return;
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)snprintf(s->broken_file, sizeof s->broken_file, "%s", s->part.name);
    (void)snprintf(name, sizeof name, "source.%s.lines", s->base.name);
    (void)snprintf(text, sizeof text, "%s/%s, line %llu: %s; %s", s->options.folder, s->part.name,
                   (unsigned long long)line, what, end);
    hooks(s)->alarm(hooks(s)->ctx, name, text);
}

static int header_columns(struct file_source *s)
{
    const struct csv_record *r = &s->record;
    uint32_t *columns = realloc(s->columns, (r->count + 1u) * sizeof *columns);
    uint32_t found = 0;
    if (!columns)
        return ERR_NOMEM;
    s->columns = columns;
    s->column_count = r->count;
    for (uint32_t i = 0; i < r->count; i++) {
        int32_t at = schema_find(s->schema, r->fields[i].text);
        columns[i] = (uint32_t)at;
        found += at >= 0;
    }
    if (found == s->schema->count)
        return OK;
    for (uint32_t k = 0; k < s->schema->count; k++) {
        bool there = false;
        for (uint32_t i = 0; i < r->count; i++)
            there |= columns[i] == k;
        if (!there) {
            line_broken(s, 1, NOT_READ, "there is no column %s", s->schema->fields[k].name);
            return ERR_NOT_FOUND;
        }
    }
    line_broken(s, 1, NOT_READ, "there is a column twice");
    return ERR_EXISTS;
}

/* [from, from + len) of the file, as much as is there. */
static int text_read(struct file_source *s, int fd, uint64_t from, size_t len)
{
    buf_reset(&s->text);
    uint8_t *to = buf_extend(&s->text, len);
    if (!to)
        return ERR_NOMEM;
    ssize_t got = pread(fd, to, len, (off_t)from);
    s->text.len = got > 0 ? (size_t)got : 0;
    return got < 0 ? err_from_errno(errno) : OK;
}

static struct bytes without_mark(struct bytes text)
{
    if (text.len >= 3 && memcmp(text.ptr, "\xef\xbb\xbf", 3) == 0)
        return bytes_of(text.ptr + 3, text.len - 3);
    return text;
}

/* The first line: which column is where. *ret_bytes = its length. */
static int header_read(struct file_source *s, int fd, uint64_t *ret_bytes)
{
    size_t used = 0;
    int err = text_read(s, fd, 0, CSV_RECORD_BYTES_MAX);
    if (err)
        return err;
    struct bytes text = without_mark(buf_bytes(&s->text));
    err = csv_read(&s->record, text, s->options.separator[0], &used);
    if (err == ERR_SYNTAX || err == ERR_LIMIT)
        line_broken(s, 1, NOT_READ, "the line that names the columns is not CSV");
    if (!err)
        err = header_columns(s);
    if (!err)
        *ret_bytes = used + (s->text.len - text.len);
    return err;
}

/* False: the line is broken, and that was said. */
static bool row_values(struct file_source *s, uint64_t line)
{
    const struct csv_record *r = &s->record;
    if (r->count != s->column_count) {
        line_broken(s, line, LEFT_OUT, "%u fields where the first line has %u", r->count,
                    s->column_count);
        return false;
    }
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t col = s->columns[i];
        if (col == UINT32_MAX)
            continue;
        const struct field *f = &s->schema->fields[col];
        if (csv_value(&r->fields[i], f->type, &s->values[col]) != OK) {
            int len = r->fields[i].text.len < 40 ? (int)r->fields[i].text.len : 40;
            line_broken(s, line, LEFT_OUT, "%s: '%.*s' is no %s", f->name, len,
                        (const char *)r->fields[i].text.ptr, value_type_name(f->type));
            return false;
        }
    }
    return true;
}

static int row_add(struct file_source *s, int64_t time_us)
{
    int row = batch_builder_row(s->base.builder, time_us);
    int err = row < 0 ? row : OK;
    for (uint32_t col = 0; col < s->schema->count && !err; col++)
        err = batch_set_value(s->base.builder, col, &s->values[col]);
    return err;
}

/* Records of s->text up to its end, or as many as fit. part.to, part.lines say how far. */
static int rows_read(struct file_source *s, int64_t time_us)
{
    struct bytes rest = buf_bytes(&s->text);
    struct file_part *p = &s->part;
    int err = OK;
    while (!err && rest.len && batch_builder_rows(s->base.builder) < SOURCE_FILE_ROWS) {
        size_t used = 0;
        uint64_t line = p->line + p->lines + 1;
        err = csv_read(&s->record, rest, s->options.separator[0], &used);
        if (err == ERR_SYNTAX || err == ERR_LIMIT) {
            line_broken(s, line, LEFT_OUT, "%s",
                        err == ERR_LIMIT ? "a quote is never closed, or it is too long"
                                         : "a quote stands where none may be");
            err = OK;
        } else if (!err && s->record.count && row_values(s, line)) {
            err = row_add(s, time_us);
        }
        if (err)
            break;
        p->lines += s->record.lines;
        p->to += used;
        rest = bytes_of(rest.ptr + used, rest.len - used);
    }
    return err == ERR_SHORT ? OK : err;
}

/* Reads the part from part.from on; up to `to` if that is not 0. */
static int part_read(struct file_source *s, int fd, const struct statx *st, uint64_t to)
{
    struct file_part *p = &s->part;
    uint64_t header = 0;
    batch_builder_reset(s->base.builder);
    p->lines = 0;
    int err = header_read(s, fd, &header);
    if (err)
        return err;
    if (p->from == 0) {
        p->from = header;
        p->line = s->record.lines;
    }
    p->to = p->from;
    err = text_read(s, fd, p->from, to ? (size_t)(to - p->from) : SOURCE_FILE_BYTES);
    if (!err)
        err = rows_read(s, mtime_us(st));
    if (!err && p->to == p->from && s->text.len == SOURCE_FILE_BYTES)
        line_broken(s, p->line + 1, NOT_READ, "it is longer than %u bytes", SOURCE_FILE_BYTES);
    return err;
}

static int part_open(struct file_source *s, uint64_t to)
{
    struct file_part *p = &s->part;
    struct buf path = {0};
    struct statx st;
    (void)buf_printf(&path, "%s/%s", s->options.folder, p->name);
    int fd = open(buf_text(&path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int err = fd < 0 ? err_from_errno(errno) : OK;
    buf_fini(&path);
    if (err == ERR_DENIED)
        source_fail(&s->base, "%s/%s may not be read: its permissions forbid it", s->options.folder,
                    p->name);
    if (!err && statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &st) != 0)
        err = err_from_errno(errno);
    if (!err && identity(&st) != p->id)
        err = ERR_CONFLICT; /* another one under its name: the next scan sees that */
    if (!err)
        err = part_read(s, fd, &st, to);
    if (fd >= 0)
        (void)close(fd);
    return err;
}

/* ------------------------------------------------------------------------------------------ send
 */

static void turn_later(struct file_source *s, int64_t wait_us)
{
    if (s->open)
        (void)exec_timer_start(s->base.out.exec, &s->timer,
                               exec_now_us(s->base.out.exec) + wait_us);
}

/* The part is through: the file is read up to there. */
static void part_end(struct file_source *s)
{
    const struct file_part *p = &s->part;
    struct file_known *f = map_find_text(&s->known, p->name);
    s->busy = false;
    if (f && f->id == p->id) {
        f->offset = p->to;
        f->line = p->line + p->lines;
        f->ready &= f->size > f->offset;
        int err = known_store(s, f);
        if (err) {
            source_fail(&s->base, "how far %s is read cannot be stored: %s", p->name,
                        err_text(err));
            turn_later(s, SOURCE_RETRY_US);
            return;
        }
    }
    (void)exec_post(s->base.out.exec, &s->turn_task);
}

static void part_done(struct flow_done *done, struct position at, int err)
{
    struct file_source *s = CONTAINER_OF(done, struct file_source, done);
    (void)at;
    if (!s->open) {
        s->busy = false;
        return; /* the next start reads it again, under the same key */
    }
    if (err) {
        s->busy = false;
        source_fail(&s->base, "rows of %s cannot be stored: %s; they are read again", s->part.name,
                    err_text(err));
        turn_later(s, SOURCE_RETRY_US);
        return;
    }
    source_works(&s->base);
    part_end(s);
}

/* False: no credit. */
static void part_push(struct file_source *s)
{
    flow_done_init(&s->done, s->base.out.exec, part_done);
    uint32_t rows = s->batch->rows;
    if (outlet_push(&s->base.out, s->batch, (struct position){s->part.key, 1}, &s->done) ==
        ERR_AGAIN)
        return;
    batch_unref(s->batch);
    s->batch = NULL;
    atomic_fetch_add_explicit(&s->base.reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->base.rows, rows, memory_order_relaxed);
}

static void on_credit(struct outlet *o)
{
    struct file_source *s = (struct file_source *)CONTAINER_OF(o, struct source, out);
    if (s->batch)
        part_push(s);
}

/* The wall clock, so that keys grow even where the state was lost; and above the last one. */
static uint64_t key_next(struct file_source *s)
{
    int64_t now_us = exec_wall_us(s->base.out.exec);
    uint64_t key = now_us > 0 ? (uint64_t)now_us : 0;
    s->key = key > s->key ? key : s->key + 1;
    return s->key;
}

static int part_send(struct file_source *s, bool again)
{
    int err;
    if (batch_builder_rows(s->base.builder) == 0) {
        s->busy = true;
        part_end(s);
        return OK;
    }
    if (!again) {
        s->part.key = key_next(s);
        err = part_store(s);
        if (err) {
            source_fail(&s->base, "what is read of %s cannot be noted: %s", s->part.name,
                        err_text(err));
            return err;
        }
    }
    err = batch_builder_finish(s->base.builder, &s->batch);
    if (err)
        return err;
    source_times_set(&s->base, s->batch);
    s->busy = true;
    part_push(s);
    return OK;
}

/* Reads on in f. */
static int file_read_part(struct file_source *s, struct file_known *f)
{
    struct file_part *p = &s->part;
    *p = (struct file_part){.id = f->id, .from = f->offset, .line = f->line};
    (void)snprintf(p->name, sizeof p->name, "%s", f->name);
    int err = part_open(s, 0);
    f->ready = false;
    if (err || p->to == p->from) {
        /* A half line, or an error that was said: until the file changes. */
        if (!err || err == ERR_SHORT || err == ERR_NOT_FOUND || err == ERR_SYNTAX ||
            err == ERR_LIMIT || err == ERR_EXISTS)
            f->stalled = f->size;
        return OK;
    }
    f->ready = true;
    return part_send(s, false);
}

static void turn(struct file_source *s)
{
    struct file_known *f;
    if (!s->open || s->busy)
        return;
    while ((f = ready_find(s)) != NULL) {
        int err = file_read_part(s, f);
        if (err)
            turn_later(s, SOURCE_RETRY_US);
        if (err || s->busy)
            return;
    }
    int err = folder_scan(s);
    if (!err && ready_find(s))
        (void)exec_post(s->base.out.exec, &s->turn_task);
    else
        turn_later(s, err ? SOURCE_RETRY_US : s->options.interval_us);
}

static void turn_run(struct exec_task *task)
{
    turn(CONTAINER_OF(task, struct file_source, turn_task));
}

static void timer_run(struct exec_timer *timer)
{
    turn(CONTAINER_OF(timer, struct file_source, timer));
}

/* What was on its way when the node ended, under its own key. */
static void part_again(struct file_source *s)
{
    struct file_part *p = &s->part;
    struct file_known *f = map_find_text(&s->known, p->name);
    uint64_t to = p->to;
    if (to == 0 || (f && f->id == p->id && f->offset >= to))
        return;
    if (!f) {
        f = known_add(s, bytes_of_text(p->name));
        if (f)
            f->id = p->id;
    }
    int err = f ? part_open(s, to) : ERR_NOMEM;
    if (!err && p->to == to)
        err = part_send(s, true);
    else if (!err)
        err = ERR_CONFLICT;
    if (err)
        log_warn("source",
                 "%s: bytes %llu to %llu of %s were on their way and cannot be read again (%s); if "
                 "they were not stored, they are lost",
                 s->base.name, (unsigned long long)p->from, (unsigned long long)to, p->name,
                 err_text(err));
}

/* ------------------------------------------------------------------------------------------ life
 */

static int file_source_bind(struct file_source *s, struct source_stage *stage,
                            const struct config_object *object, struct catalogue *catalogue,
                            struct diag *diag)
{
    struct schema *schema = NULL;
    int err = option_bind(file_source_table, object->spec, &stage->arena, &s->options, diag);
    if (err)
        return err;
    const char *separator = s->options.separator;
    if (strlen(separator) != 1 || strchr("\"\r\n", separator[0]))
        return tree_error(diag, ERR_INVALID, tree_get(object->spec, "separator"),
                          "separator is one character: ',', ';' or a tab");
    err = source_columns(s->options.columns, &stage->arena, &schema, diag);
    if (!err)
        err = source_column_find(object, schema, "time", s->options.time, VALUE_TIMESTAMP,
                                 &s->base.time_column, diag);
    if (!err)
        err = batch_builder_new(schema, SOURCE_FILE_ROWS, NULL, &s->base.builder);
    if (!err) {
        s->values = calloc(schema->count, sizeof *s->values);
        err = s->values ? OK : ERR_NOMEM;
    }
    if (!err)
        err = source_stream_add(&s->base, stage, object, catalogue, s->options.place, schema,
                                stage->thread, on_credit, diag);
    if (!err)
        s->schema = s->base.stream->schema;
    schema_unref(schema);
    return err;
}

int file_source_make(struct source_stage *stage, const struct config_object *object,
                     struct catalogue *catalogue, struct diag *diag)
{
    struct file_source *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    stage->files[stage->file_count++] = s;
    exec_timer_init(&s->timer, timer_run);
    exec_task_init(&s->turn_task, turn_run);
    return file_source_bind(s, stage, object, catalogue, diag);
}

void file_source_open(struct file_source *s)
{
    s->open = true;
    int err = state_load(s);
    if (err)
        log_warn("source", "%s: how far its files are read is not known: %s", s->base.name,
                 err_text(err));
    part_again(s);
    turn(s);
}

void file_source_close(struct file_source *s)
{
    s->open = false;
    exec_timer_stop(s->base.out.exec, &s->timer);
    batch_unref(s->batch);
    s->batch = NULL;
}

void file_source_free(struct file_source *s)
{
    for (size_t i = 0; i < s->known.count; i++)
        known_free(s->known.entries[i].value);
    map_fini(&s->known);
    batch_builder_free(s->base.builder);
    csv_record_fini(&s->record);
    buf_fini(&s->text);
    free(s->columns);
    free(s->values);
    free(s);
}

struct source *file_source_base(struct file_source *s)
{
    return &s->base;
}
