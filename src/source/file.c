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
 *     source/NAME/broken       the alarm of broken lines: version, lines, file, text
 *
 * A file's identity is its inode and when it was made, so that a new one under an old name is read
 * from its beginning. What is no longer in the folder is forgotten.
 */
#include "base/log.h"
#include "base/str.h"
#include "source/file_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
        int err = file_known_store(s, f);
        if (err) {
            source_fail(&s->base, "how far %s is read cannot be stored: %s", p->name,
                        err_text(err));
            turn_later(s, SOURCE_RETRY_US);
            return;
        }
        if (s->broken.name[0] && f->whole && f->offset >= f->size)
            file_broken_clear(s); /* whoever writes them has learned it */
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
        err = file_part_store(s);
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
    int err = file_part_open(s, 0);
    file_broken_tell(s, f);
    f->behind = p->to < f->size;
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
    while ((f = file_ready_find(s)) != NULL) {
        int err = file_read_part(s, f);
        if (err)
            turn_later(s, SOURCE_RETRY_US);
        if (err || s->busy)
            return;
    }
    int err = file_folder_scan(s);
    if (!err && file_ready_find(s))
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
        f = file_known_add(s, bytes_of_text(p->name));
        if (f)
            f->id = p->id;
    }
    s->again = true;
    int err = f ? file_part_open(s, to) : ERR_NOMEM;
    s->again = false;
    if (!err && p->to == to)
        err = part_send(s, true);
    else if (!err)
        err = ERR_CONFLICT;
    if (err) {
        log_warn("source",
                 "%s: bytes %llu to %llu of %s were on their way and cannot be read again (%s); if "
                 "they were not stored, they are lost",
                 s->base.name, (unsigned long long)p->from, (unsigned long long)to, p->name,
                 err_text(err));
    }
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
    struct source_add add = {stage,  object,        catalogue, s->options.place,
                             schema, stage->thread, on_credit};
    if (!err)
        err = source_stream_add(&s->base, &add, diag);
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
    int err = file_state_load(s);
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
        file_known_free(s->known.entries[i].value);
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
