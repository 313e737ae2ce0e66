/* What the journal's files share: the log's state, and which thread may touch what of it.
 *
 * The journal thread owns the tail of a log: stage, waits, the active segment's end. The sync
 * thread gets a list of descriptors and gives an error back. The list of segments and the cursors
 * are used by readers and the keeper as well, under `mutex`, which the journal thread takes only
 * when a segment begins. What readers poll (how far is committed, has a segment ended) is atomic.
 */
#ifndef LOTLINE_JOURNAL_JOURNAL_PRIV_H
#define LOTLINE_JOURNAL_JOURNAL_PRIV_H

#include "journal/io.h"
#include "journal/journal.h"
#include "journal/segment.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define SEGMENT_BYTES_DEFAULT (64u << 20)
#define SEGMENT_BYTES_MIN     (64u << 10)
#define FLUSH_MS_DEFAULT      1000
#define FLUSH_BYTES_DEFAULT   (4u << 20)
#define STATE_BYTES_DEFAULT   (64u << 20)
#define STAGE_BYTES_MAX       (2u << 20)   /* gathered before one pwritev */
#define STAGE_COPY_BYTES_MAX  (256u << 10) /* larger payloads are written from where they lie */
#define COMMIT_EARLY_BYTES                                                                         \
    (1u << 20)                 /* written and waited for: the sync need not wait for more          \
                                */
#define CUT_FILES_MAX       16 /* .cut files kept of one log */
#define COMMIT_SEGMENTS_MAX 16 /* files one group commit covers */
#define KEEP_MS_DEFAULT     1000
#define AGE_PERIOD_US       60000000
#define RETRY_PERIOD_US     1000000 /* a stage that found no space tries again */
#define SEQ_OPEN            UINT64_MAX

/* One file of a log. */
struct segment {
    struct list link; /* in log->segments, oldest first; log->mutex */
    atomic_uint refs; /* the list's, and readers' */
    struct segment_head head;
    atomic_ullong last_seq; /* SEQ_OPEN while it is the active one; first_seq - 1 = no record */
    uint64_t file_bytes;
    uint64_t data_end;    /* active: where the next record goes; journal thread */
    int64_t last_time_us; /* not older than its last record */
    int fd;               /* for writing, -1 when all of it is committed; journal thread */
};

struct journal {
    char *dir;
    int lock_fd;
    int64_t flush_us;
    int64_t keep_us;
    uint64_t flush_bytes;
    const struct journal_io *io;
    struct state *state;
    struct exec *exec; /* journal */
    struct exec *sync;
    struct exec *keeper;
    pthread_mutex_t mutex; /* logs */
    struct list logs;
};

struct journal_cursor {
    struct list link; /* log->cursors */
    struct journal_log *log;
    char *key;          /* in keyed state */
    struct position at; /* log->mutex, as the next two */
    struct position stored;
    bool dirty;
    bool opened; /* somebody reads by it in this run; keep_mutex */
};

struct journal_log {
    struct list link; /* journal->logs */
    struct journal *journal;
    struct journal_log_options options;
    char *name;
    char *dir;
    int dir_fd;
    uint64_t hash;
    uint64_t epoch;

    /* Journal thread. */
    struct segment *active; /* NULL until the first append of this opening */
    struct buf stage;       /* records accepted, not yet written */
    uint64_t next_seq;
    uint64_t written_seq; /* the last whose bytes are in its file */
    uint64_t unsynced_bytes;
    struct list waits;
    bool syncing;
    atomic_bool no_space;         /* reported and not yet over */
    struct exec_task turn_task;   /* end of a turn: write and commit */
    struct exec_task synced_task; /* the sync thread is through */
    struct exec_task notice_task; /* the keeper found something to tell */
    struct exec_task close_task;
    struct exec_timer flush_timer;
    bool closing;

    /* From the journal to the sync thread and back, never both at a time. */
    struct exec_task sync_task;
    int sync_fds[COMMIT_SEGMENTS_MAX];
    uint32_t sync_count;
    bool sync_dir;
    uint64_t sync_seq;
    uint64_t sync_bytes;
    int sync_err;

    /* Any thread. */
    atomic_int err; /* OK or ERR_IO for good */
    atomic_ullong committed_seq;
    struct position found; /* last record when it was opened; fixed */
    atomic_ullong records;
    atomic_ullong bytes;
    atomic_ullong commits;
    atomic_ullong expired;
    atomic_ullong refused;
    uint64_t cut_bytes;
    uint64_t cut_segments;

    pthread_mutex_t mutex;
    struct list segments;
    struct list cursors;
    uint32_t cursor_count;
    struct list watches;
    uint32_t holds;
    uint64_t file_bytes;
    char notice[DIAG_TEXT_BYTES_MAX];

    /* Keeper. keep_mutex: cursors come and go, or are being stored; taken before mutex. */
    pthread_mutex_t keep_mutex;
    atomic_bool keep_wanted; /* a round is coming */
    struct exec_task keep_task;
    struct exec_task keep_close_task;
    struct exec_timer keep_timer;
    bool keep_closed;

    /* Closing: the journal thread says when nothing is under way any more. */
    pthread_cond_t closed_cond; /* with mutex */
    bool closed;
};

/* ---- recover.c: what is there when a log is opened */

/* Fills segments, found, epoch, next_seq, committed_seq. Blocking. */
int log_recover(struct journal_log *log, struct diag *diag);

/* ---- segments of a log (log_segment.c) */

struct segment *segment_new(const struct segment_head *head);
void segment_unref(struct segment *s); /* NULL is allowed */

/* Makes the next file with room for `need` bytes of records; becomes active. Journal thread.
 * ERR_NO_SPACE and nothing is left behind. */
int log_segment_begin(struct journal_log *log, uint64_t need);

/* Opens a segment's file for reading: a descriptor, or ERR_*. */
int log_segment_open(const struct journal_log *log, const struct segment *s);

/* Position of the record `seq`, which is the log's last found one or of this epoch. */
struct position log_position(const struct journal_log *log, uint64_t seq);

/* ---- commit.c */

void log_commit_init(struct journal_log *log);

/* Writes the stage. ERR_NO_SPACE: it stays and is tried again; ERR_IO: the log has failed. */
int log_stage_write(struct journal_log *log);

/* Within a turn: starts the commit of what is written if that is much and somebody waits. */
void log_commit_early(struct journal_log *log);

/* After something was appended or a wait added: the end of this turn writes and commits. */
void log_turn_end(struct journal_log *log);

/* Ends the log: every wait gets ERR_IO. Journal thread. */
void log_fail(struct journal_log *log, const char *what);

/* Tells the owner (on_state). Journal thread. */
void log_report(struct journal_log *log, int err, const char *text);

/* ---- keep.c */

void log_keep_init(struct journal_log *log);

/* Has the keeper look soon: cursors to store, segments to delete. Any thread. */
void log_keep_soon(struct journal_log *log);

/* All that keyed state knows of; they hold the log whether somebody opens them or not. */
int log_cursors_load(struct journal_log *log);

/* Stores every cursor that has moved. Blocking. The first error; the others are stored. */
int log_cursors_store(struct journal_log *log);

/* Memory only. */
void log_cursors_free(struct journal_log *log);

/* ---- state.c */

struct state;

int state_open(const char *dir, uint64_t bytes_max, struct state **ret, struct diag *diag);
void state_close(struct state *s); /* NULL is allowed */

#endif
