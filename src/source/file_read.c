/* A part of a file into rows. The first line is read each time: it is short, and a file may have
 * been replaced by one with other columns. */
#include "source/file_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEFT_OUT "the line was left out"
#define NOT_READ "the file is not read on"

/* A line that is left out, or, with NOT_READ, the one because of which the file is. The first one
 * of a file is kept for the alarm, the others are counted. */
static __attribute__((format(printf, 4, 5))) void
line_broken(struct file_source *s, uint64_t line, const char *end, const char *format, ...)
{
    struct file_broken *b = &s->broken;
    struct file_known *f = map_find_text(&s->known, s->part.name);
    char what[256];
    va_list args;
    atomic_fetch_add_explicit(&s->base.broken, 1, memory_order_relaxed);
    if (f)
        f->whole = false;
    if (s->again)
        return;
    if (strcmp(b->name, s->part.name) == 0) {
        b->lines++;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(what, sizeof what, format, args);
    va_end(args);
    (void)snprintf(b->name, sizeof b->name, "%s", s->part.name);
    (void)snprintf(b->text, sizeof b->text, "%s/%s, line %llu: %s; %s", s->options.folder,
                   s->part.name, (unsigned long long)line, what, end);
    b->lines = 1;
    b->told = 0;
}

static void broken_name(const struct file_source *s, char out[static SOURCE_NAME_BYTES_MAX])
{
    (void)snprintf(out, SOURCE_NAME_BYTES_MAX, "source.%s.lines", s->base.name);
}

/* Not at each part of a long file: when there are twice as many as was said, and at its end. */
void file_broken_tell(struct file_source *s, const struct file_known *f)
{
    struct file_broken *b = &s->broken;
    char name[SOURCE_NAME_BYTES_MAX];
    char text[SOURCE_ALARM_BYTES_MAX + 64];
    bool end = f->behind && s->part.to >= f->size;
    if (strcmp(b->name, s->part.name) != 0 || b->lines == b->told ||
        (b->told && b->lines < b->told * 2 && !end))
        return;
    b->told = b->lines;
    broken_name(s, name);
    (void)snprintf(text, sizeof text, "%s", b->text);
    if (b->lines > 1)
        (void)snprintf(text, sizeof text, "%s, as were %llu more of this file", b->text,
                       (unsigned long long)b->lines - 1);
    file_hooks(s)->alarm(file_hooks(s)->ctx, name, text);
    (void)file_broken_store(s);
}

void file_broken_clear(struct file_source *s)
{
    char name[SOURCE_NAME_BYTES_MAX];
    s->broken = (struct file_broken){0};
    broken_name(s, name);
    file_hooks(s)->alarm(file_hooks(s)->ctx, name, NULL);
    (void)file_broken_store(s);
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
        struct file_known *f = map_find_text(&s->known, p->name);
        if (f)
            f->whole = true;
        p->from = header;
        p->line = s->record.lines;
    }
    p->to = p->from;
    err = text_read(s, fd, p->from, to ? (size_t)(to - p->from) : SOURCE_FILE_BYTES);
    if (!err)
        err = rows_read(s, file_mtime_us(st));
    if (!err && p->to == p->from && s->text.len == SOURCE_FILE_BYTES)
        line_broken(s, p->line + 1, NOT_READ, "it is longer than %u bytes", SOURCE_FILE_BYTES);
    return err;
}

int file_part_open(struct file_source *s, uint64_t to)
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
    if (!err && file_identity(&st) != p->id)
        err = ERR_CONFLICT; /* another one under its name: the next scan sees that */
    if (!err)
        err = part_read(s, fd, &st, to);
    if (fd >= 0)
        (void)close(fd);
    return err;
}
