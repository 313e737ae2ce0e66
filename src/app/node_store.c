/* What a node keeps on disk: the data directory, the journal, the log of streams; and the
 * historian's options. See node.h. */
#include "app/node_priv.h"
#include "base/log.h"

#include <errno.h>
#include <stddef.h>
#include <sys/stat.h>

#define JOURNAL_WAITING_BYTES "4M"
#define JOURNAL_SEGMENT_BYTES "16M"
#define JOURNAL_BYTES_MAX     "8G"

static const struct option journal_table[] = {
    {.name = "flush",
     .type = OPTION_DURATION,
     .offset = offsetof(struct node_journal_options, flush_us),
     .default_text = "500ms",
     .min = 1000,
     .doc = "commit after this also when nobody waits for it"},
    {.name = "waiting",
     .type = OPTION_SIZE,
     .offset = offsetof(struct node_journal_options, waiting_bytes_max),
     .default_text = JOURNAL_WAITING_BYTES,
     .min = 4096,
     .doc =
         "what may wait in memory for one stream while the disk is slow or full; beyond it polls "
         "are skipped"},
    {.name = "segment",
     .type = OPTION_SIZE,
     .offset = offsetof(struct node_journal_options, segment_bytes),
     .default_text = JOURNAL_SEGMENT_BYTES,
     .min = 64 << 10,
     .doc = "size of one segment file, reserved at a time"},
    {.name = "max",
     .type = OPTION_SIZE,
     .offset = offsetof(struct node_journal_options, bytes_max),
     .default_text = JOURNAL_BYTES_MAX,
     .min = 1 << 20,
     .doc = "the log's size beyond which the oldest segments go, read or not"},
    {.name = "age",
     .type = OPTION_DURATION,
     .offset = offsetof(struct node_journal_options, age_max_us),
     .default_text = "30d",
     .doc = "age beyond which segments go, read or not"},
    {.name = NULL},
};

struct historian_section {
    uint64_t memory_bytes_max;
    uint64_t threads;
    uint64_t commit_rows;
    int64_t linger_us;
    struct option_texts streams;
    const struct tree *reused; /* the trace binds it */
};

static const struct option historian_table[] = {
    {.name = "memory",
     .type = OPTION_SIZE,
     .offset = offsetof(struct historian_section, memory_bytes_max),
     .default_text = "128M",
     .min = 32 << 20,
     .doc = "memory the embedded database may use"},
    {.name = "threads",
     .type = OPTION_UINT,
     .offset = offsetof(struct historian_section, threads),
     .default_text = "1",
     .min = 1,
     .max = 64,
     .doc = "threads for queries"},
    {.name = "commit_rows",
     .type = OPTION_UINT,
     .offset = offsetof(struct historian_section, commit_rows),
     .default_text = "50000",
     .min = 1,
     .max = 1000000,
     .doc = "points and rows that make a commit"},
    {.name = "linger",
     .type = OPTION_DURATION,
     .offset = offsetof(struct historian_section, linger_us),
     .default_text = "500ms",
     .min = 1000,
     .doc = "how long a point waits at most for others to be committed with"},
    {.name = "streams",
     .type = OPTION_TEXT_LIST,
     .offset = offsetof(struct historian_section, streams),
     .doc = "which streams to keep, patterns with * (default: all)"},
    {.name = "serials_reused",
     .type = OPTION_TREE,
     .offset = offsetof(struct historian_section, reused),
     .items = trace_reused_table,
     .doc = "serials that come around, as of a counter that starts anew: which, and after how long "
            "another unit bears it"},
    {.name = NULL},
};

int node_store_options(struct node *n, struct historian_options *ret, struct diag *diag)
{
    struct historian_section s;
    int err =
        option_bind(historian_table, config_section(n->config, "historian"), &n->arena, &s, diag);
    if (err)
        return err;
    *ret = (struct historian_options){
        .memory_bytes_max = s.memory_bytes_max,
        .threads = (uint32_t)s.threads,
        .commit_rows = (uint32_t)s.commit_rows,
        .linger_ms = s.linger_us / 1000,
        .streams = s.streams.items,
        .stream_count = s.streams.count,
    };
    return option_bind(journal_table, config_section(n->config, "journal"), &n->arena,
                       &n->journal_options, diag);
}

char *node_path(struct node *n, const char *name)
{
    return arena_printf(&n->arena, "%s/%s", n->data, name);
}

/* Makes the directory and those above it. */
static int directory_make(const char *path, struct diag *diag)
{
    char partial[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof partial)
        return diag_set(diag, ERR_INVALID, 0, 0, "the data directory's path is empty or too long");
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(partial, path, i);
        partial[i] = 0;
        struct stat info;
        if (mkdir(partial, 0700) == 0)
            continue;
        if (errno == EEXIST && stat(partial, &info) == 0 && S_ISDIR(info.st_mode))
            continue;
        int err = err_from_errno(errno);
        return diag_set(diag, err, 0, 0,
                        "the data directory %s cannot be made: %s; choose another with --data",
                        partial, err_text(err));
    }
    return OK;
}

/* On the journal thread: a full disk, or records lost before they were read. */
static void log_state(void *ctx, int err, const char *text)
{
    struct node *n = ctx;
    if (err)
        log_error("journal", "%s", text);
    else
        log_info("journal", "taking records again");
    if (!n->alarm)
        return;
    if (err)
        alarm_raise(n->alarm, "journal", ALARM_CRITICAL, "node", text);
    else
        alarm_clear(n->alarm, "journal", "node");
}

static int log_open(struct node *n, struct diag *diag)
{
    const struct node_journal_options *o = &n->journal_options;
    struct stream_log_options options = {
        .journal = n->journal,
        .node = n->catalogue.node,
        .waiting_bytes_max = o->waiting_bytes_max,
        .log = {.segment_bytes = o->segment_bytes,
                .bytes_max = o->bytes_max,
                .age_max_s = o->age_max_us / 1000000,
                .on_state = log_state,
                .ctx = n},
    };
    int err = stream_log_new(&options, &n->log);
    if (!err)
        err = stream_log_start(n->log, diag);
    if (!err && diag->text[0]) {
        log_warn("journal", "%s", diag->text);
        diag->text[0] = 0;
    }
    return err;
}

int node_store_open(struct node *n, struct diag *diag)
{
    int err = directory_make(n->data, diag);
    if (err)
        return err;
    struct journal_options options = {
        .dir = node_path(n, "journal"),
        .flush_ms = n->journal_options.flush_us / 1000,
    };
    err = journal_open(&options, &n->journal, diag);
    return err ? err : log_open(n, diag);
}

void node_store_close(struct node *n)
{
    log_feed_close(&n->historian_feed);
    log_feed_close(&n->track_feed);
    node_sources_feeds_close(n);
    link_source_close(&n->link_source);
    if (n->log)
        stream_log_stop(n->log);
    journal_close(n->journal);
    stream_log_free(n->log);
    n->journal = NULL;
    n->log = NULL;
}
