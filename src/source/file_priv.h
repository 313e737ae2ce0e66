/* What the files of the CSV folder share. See file.c. */
#ifndef LOTLINE_SOURCE_FILE_PRIV_H
#define LOTLINE_SOURCE_FILE_PRIV_H

#include "base/map.h"
#include "source/source_priv.h"

#include <sys/stat.h>

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
    bool whole;       /* read from its beginning in this run, and no line was broken */
    bool behind;      /* more of it than one part was there */
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

/* The broken lines that the alarm names: of one file, told by its first. */
struct file_broken {
    char name[NAME_MAX + 1]; /* "" = none is raised */
    uint64_t lines;          /* of this file, up to now */
    uint64_t told;           /* as many as the alarm says */
    char text[SOURCE_ALARM_BYTES_MAX];
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
    struct file_broken broken;
    bool again; /* the part was read before, by the run before */
};

/* -------------------------------------------------------------------------------- file_state.c
 */

const struct source_hooks *file_hooks(const struct file_source *s);
int file_known_store(struct file_source *s, const struct file_known *f);
int file_part_store(struct file_source *s);
struct file_known *file_known_add(struct file_source *s, struct bytes name);
void file_known_free(struct file_known *f);
int file_broken_store(struct file_source *s);
/* What is known of files, the part that was on its way, and whether an alarm of lines is raised. */
int file_state_load(struct file_source *s);

/* --------------------------------------------------------------------------------- file_scan.c
 */

/* Who a file is: its inode, and when it was made. */
uint64_t file_identity(const struct statx *st);
int64_t file_mtime_us(const struct statx *st);
/* Looks at the folder: what is new, grown, settled, gone. */
int file_folder_scan(struct file_source *s);
/* The oldest that is ready to be read; NULL. */
struct file_known *file_ready_find(const struct file_source *s);

/* --------------------------------------------------------------------------------- file_read.c
 */

/* Reads s->part into the builder, from part.from up to `to`, or as far as it goes with 0. */
int file_part_open(struct file_source *s, uint64_t to);

/* Tells of the broken lines that the part had; f is its file. */
void file_broken_tell(struct file_source *s, const struct file_known *f);
void file_broken_clear(struct file_source *s);

#endif
