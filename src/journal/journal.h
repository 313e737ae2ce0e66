/* The journal: durable logs of records, and durable keyed state (state.h): all that must survive.
 *
 * A log is a row of segment files (segment.h). Appending gives a record its position at once and
 * costs a copy; making it durable costs an fdatasync, which is shared: whoever wants to know when
 * his record is safe adds a wait, all waits that gathered while one fdatasync ran share the next
 * one (group commit). Without a wait, records are made durable after flush_ms or flush_bytes.
 *
 *   journal thread   appends, in one order; writes each turn's records with one pwritev
 *   sync thread      fdatasync, and nothing else
 *   keeper thread    cursors into keyed state, deleting of old segments, making the next one
 *   readers          any thread, blocking; see committed records only, by pread of the segments
 *
 * Three rules make "acknowledged" mean something:
 *   - A record is committed when an fdatasync that began after its write returned 0. One that fails
 *     ends the log: the kernel may have dropped the pages, so trying again would prove nothing. No
 *     wait succeeds any more until the node is started again and reads what is really there.
 *   - A new epoch is durable before a record carries it. It is never smaller than the wall time in
 *     ms, so that also a log that was lost or restored goes on with a number never used before.
 *   - Space is reserved before a record is accepted: a full disk refuses it whole (ERR_NO_SPACE).
 */
#ifndef LOTLINE_JOURNAL_JOURNAL_H
#define LOTLINE_JOURNAL_JOURNAL_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/exec.h"
#include "base/list.h"
#include "base/position.h"

#define JOURNAL_RECORD_BYTES_MAX   (64u << 20) /* one payload */
#define JOURNAL_PARTS_MAX          8           /* pieces of one payload */
#define JOURNAL_LOG_NAME_BYTES_MAX 63
#define JOURNAL_CURSORS_MAX        1024 /* of one log */

struct journal;
struct journal_log;
struct journal_io; /* file operations, replaced by tests only: io.h */

struct journal_options {
    const char *dir;             /* made if it is not there; locked against a second node */
    int64_t flush_ms;            /* commit without a waiter after this; 0 = 1000 */
    uint64_t flush_bytes;        /* … or after so many bytes; 0 = 4 MiB */
    int64_t keep_ms;             /* cursors that move are stored this often; 0 = 1000 */
    uint64_t state_bytes_max;    /* keyed state's map, touched lazily; 0 = 64 MiB */
    const struct journal_io *io; /* NULL = the kernel's */
};

/* Opens keyed state and starts the threads. Blocking. ERR_IN_USE (another node has the folder),
 * ERR_IO, ERR_NO_SPACE, ERR_DENIED, ERR_NOMEM; diag (may be NULL) says which path. */
int journal_open(const struct journal_options *options, struct journal **ret, struct diag *diag);

/* Commits what was appended, stores the cursors, ends the threads. Every log is closed with it;
 * readers must be gone. Waits that have not come yet come first. Blocking; NULL is allowed. */
void journal_close(struct journal *j);

/* The journal thread. Tasks here must not block longer than a short write. */
struct exec *journal_exec(const struct journal *j);

/* The keeper: for rare blocking work such as putting a checkpoint into keyed state. */
struct exec *journal_keeper(const struct journal *j);

/* ------------------------------------------------------------------------------------------ log */

struct journal_log_options {
    uint64_t segment_bytes; /* pre-allocated at a time; 0 = 64 MiB, at least 64 KiB */
    uint64_t bytes_max;     /* oldest segments go beyond it, read or not; 0 = no limit */
    int64_t age_max_s;      /* segments older than it go; 0 = no limit */
    /* Called on the journal thread when the log cannot take records (err < 0: ERR_NO_SPACE, or
     * ERR_IO for good) or can again (OK), and when it deleted what a cursor had not read yet
     * (ERR_EXPIRED). text is a sentence for a person. May be NULL. */
    void (*on_state)(void *ctx, int err, const char *text);
    void *ctx;
};

/* Opens or makes the log `name` (a plain file name). Cuts a torn tail (stats and diag say how much;
 * diag->text stays empty if nothing was cut), makes what is there durable and starts a new epoch.
 * Blocking; on any thread but the journal's, before anything is appended to it. ERR_INVALID (name),
 * ERR_EXISTS (open already), ERR_IO, ERR_NO_SPACE, ERR_VERSION, ERR_NOMEM. */
int journal_log_open(struct journal *j, const char *name, const struct journal_log_options *options,
                     struct journal_log **ret, struct diag *diag);

/* Someone who wants to know when a record is durable. Lives in the caller's memory until fn ran. */
struct journal_wait {
    /* On journal_exec, once, in the order of appending. err 0: everything up to `at` is durable.
     * Otherwise (ERR_IO, ERR_CANCELLED at closing) it may or may not survive: not acknowledged. */
    void (*fn)(struct journal_wait *wait, struct position at, int err);
    struct list link; /* private from here */
    uint64_t seq;
};

struct journal_record {
    uint8_t codec;             /* what the payload is; the caller's */
    int64_t time_us;           /* wall time */
    const struct bytes *parts; /* the payload is their concatenation; borrowed during the call */
    uint32_t part_count;       /* at most JOURNAL_PARTS_MAX */
};

/* Appends one record; wait may be NULL. Only on journal_exec. ERR_NO_SPACE (nothing was written;
 * try again later), ERR_LIMIT (too large), ERR_IO (the log has failed for good). On an error the
 * wait is not used. */
int journal_append(struct journal_log *log, const struct journal_record *record,
                   struct journal_wait *wait, struct position *ret_at);

/* wait->fn runs when everything appended so far is durable: later even if it is already. On
 * journal_exec. ERR_IO if the log has failed (fn does not run). */
int journal_commit_wait(struct journal_log *log, struct journal_wait *wait);

/* Position of the last committed record; {0,0} if there is none. Any thread. */
struct position journal_committed(const struct journal_log *log);

/* Position of the last record appended. On journal_exec. */
struct position journal_appended(const struct journal_log *log);

/* The epoch of this opening. Any thread. */
uint64_t journal_epoch(const struct journal_log *log);

struct journal_log_stats {
    uint64_t records;      /* appended since opening */
    uint64_t bytes;        /* of payload, since opening */
    uint64_t commits;      /* fdatasync groups */
    uint64_t segments;     /* files now */
    uint64_t file_bytes;   /* their sizes */
    uint64_t cut_bytes;    /* torn tail found at opening */
    uint64_t cut_segments; /* segments set aside at opening, as NAME.cut */
    uint64_t expired;      /* records deleted before a cursor had read them */
    uint64_t refused;      /* appends refused for want of space */
    uint64_t oldest_seq;   /* first record still there */
    uint64_t committed_seq;
    int err; /* OK, ERR_NO_SPACE now, or ERR_IO for good */
};

/* Any thread. */
void journal_log_stats(const struct journal_log *log, struct journal_log_stats *ret);

/* Told when a commit is through. Embedded by the reader; lives until removed. */
struct journal_watch {
    struct exec *exec;
    struct exec_task task; /* posted to exec; initialised by the caller */
    struct list link;      /* private */
};

/* Any thread. Removing returns after the last post; a task that was posted may still run. */
void journal_watch_add(struct journal_log *log, struct journal_watch *watch);
void journal_watch_remove(struct journal_log *log, struct journal_watch *watch);

/* --------------------------------------------------------------------------------------- reader */

struct journal_reader;

struct journal_view {
    struct position at;
    uint8_t codec;
    int64_t time_us;
    struct bytes payload; /* until the next call on this reader */
};

/* A reader of the records after `after` ({0,0}: from the oldest that is there). It may stand
 * anywhere: a position that was cut or restored away leads to the first one behind it. One thread
 * at a time; any number of readers. ERR_NOMEM. */
int journal_reader_new(struct journal_log *log, struct position after, struct journal_reader **ret);
void journal_reader_free(struct journal_reader *r); /* NULL is allowed */

/* The next committed record. Blocking (reads files).
 * ERR_AGAIN: nothing committed beyond; a watch tells when there is.
 * ERR_EXPIRED: what comes next was trimmed; ret->at is the last position that is lost, the next
 *   call goes on behind it.
 * ERR_CHECKSUM: a committed record is damaged on disk; ret->at is the last position of its segment,
 *   the next call goes on behind it.
 * ERR_IO, ERR_NOMEM: the same record is tried again by the next call. */
int journal_reader_next(struct journal_reader *r, struct journal_view *ret);

/* Goes to the records after `after`, in either direction. */
void journal_reader_seek(struct journal_reader *r, struct position after);

/* --------------------------------------------------------------------------------------- cursor */

struct journal_cursor;

/* How far a consumer is, by name; kept in keyed state about once a second and at closing, and at
 * {0,0} when it is new. The log is trimmed behind the slowest *stored* cursor, so a cursor that
 * comes back after a kill is never behind the log for that reason. Lives as long as the log.
 * Blocking. ERR_LIMIT, ERR_IO, ERR_NOMEM. */
int journal_cursor_open(struct journal_log *log, const char *name, struct journal_cursor **ret);

/* Any thread, cheap. Setting goes forward only, except {0,0}, which starts again. */
struct position journal_cursor_get(const struct journal_cursor *c);
void journal_cursor_set(struct journal_cursor *c, struct position at);

/* Forgets the cursor for good, so that it holds no segment any more. Blocking. ERR_IO: it stays. */
int journal_cursor_remove(struct journal_cursor *c);

/* Forgets every cursor that is known from an earlier run and was not opened in this one. For the
 * app, when all consumers have started: until then a consumer that starts late must not find its
 * records gone. Blocking. */
int journal_cursors_forget(struct journal_log *log);

/* --------------------------------------------------------------------------------------- backup */

/* While held nothing is deleted; holds nest. Any thread. */
void journal_trim_hold(struct journal_log *log);
void journal_trim_release(struct journal_log *log);

/* fn for each segment file of the log, oldest first (path is absolute or relative as the journal's
 * dir; bytes = its
 * size; what is behind the committed part is cut by whoever opens the copy). Hold the trim around
 * it. A non-zero return of fn ends it and is returned. Blocking, not on journal_exec. */
int journal_segment_each(struct journal_log *log,
                         int (*fn)(void *ctx, const char *path, uint64_t bytes), void *ctx);

#endif
