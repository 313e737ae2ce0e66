/* Subcommands that work on files: restore a backup, dump a journal. */
#include "app/backup.h"
#include "app/commands.h"
#include "base/arena.h"
#include "base/clock.h"
#include "codec/json_print.h"
#include "journal/segment.h"
#include "stream/record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int command_restore(int argc, char **argv, const struct cli_command *command)
{
    const char *data = NULL;
    const struct cli_option options[] = {
        {"data", 0, "DIR", "the data directory to fill (must be empty)", &data, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 1)
        return cli_error(EXIT_USAGE, "restore needs the directory of a backup");
    struct diag diag = {0};
    const char *to = cli_data_dir(data);
    if (backup_restore(argv[1], to, &diag)) {
        cli_print_diag(&diag);
        return EXIT_FAILED;
    }
    (void)printf("%s restored to %s\n", argv[1], to);
    return EXIT_OK;
}

/* ----------------------------------------------------------------------------------------- dump */

/* One line a record, for people with jq and for ledgers in tests. */
static void dump_record(const struct segment_walk *w, const struct segment_record *r,
                        struct buf *line)
{
    char time[CLOCK_TEXT_BYTES_MAX];
    struct record record = {0};
    (void)clock_format(r->time_us, time);
    (void)buf_printf(line, "{\"epoch\":%llu,\"seq\":%llu,\"time\":\"%s\",\"bytes\":%zu",
                     (unsigned long long)w->head.epoch, (unsigned long long)r->seq, time,
                     r->payload.len);
    if (record_decode(r->payload, &record) == OK) {
        (void)buf_append_text(line, ",\"node\":");
        (void)json_print_string(record.node, line);
        (void)buf_append_text(line, ",\"stream\":");
        (void)json_print_string(record.stream, line);
        (void)buf_printf(line, ",\"origin_epoch\":%llu,\"origin_seq\":%llu",
                         (unsigned long long)record.origin.epoch,
                         (unsigned long long)record.origin.seq);
    }
    (void)buf_append_text(line, "}\n");
}

static int dump_segment(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_error(EXIT_FAILED, "%s cannot be read", path);
    struct segment_walk w;
    int err = segment_walk_init(&w, fd);
    struct segment_record r;
    struct buf line = {0};
    while (!err && (err = segment_walk_next(&w, &r)) == OK) {
        buf_reset(&line);
        dump_record(&w, &r, &line);
        (void)fwrite(line.ptr, 1, line.len, stdout);
    }
    buf_fini(&line);
    if (err && err != ERR_NOT_FOUND)
        (void)fprintf(stderr, "%s: ends at byte %llu: %s\n", path, (unsigned long long)w.offset,
                      err_text(err));
    segment_walk_fini(&w);
    (void)close(fd);
    return EXIT_OK;
}

static int is_segment(const struct dirent *entry)
{
    uint64_t epoch;
    uint64_t first_seq;
    return segment_name_parse(entry->d_name, &epoch, &first_seq) ? 1 : 0;
}

int command_journal(int argc, char **argv, const struct cli_command *command)
{
    const char *data = NULL;
    const char *log = "streams";
    const struct cli_option options[] = {
        {"data", 0, "DIR", "the node's data directory", &data, NULL},
        {"log", 0, "NAME", "streams (default), or events: alarms and audit", &log, NULL},
        {0},
    };
    int count = 0;
    if (!cli_parse(argc, argv, command, options, &count))
        return EXIT_USAGE;
    if (count != 1 || strcmp(argv[1], "dump") != 0)
        return cli_error(EXIT_USAGE, "journal knows one thing: lotline journal dump");
    struct arena arena = {0};
    const char *dir = arena_printf(&arena, "%s/journal/%s", cli_data_dir(data), log);
    struct dirent **entries = NULL;
    int found = dir ? scandir(dir, &entries, is_segment, alphasort) : -1;
    int code = EXIT_OK;
    if (found < 0)
        code = cli_error(EXIT_NOT_FOUND, "there is no journal at %s", dir ? dir : log);
    for (int i = 0; i < found; i++) {
        const char *path = arena_printf(&arena, "%s/%s", dir, entries[i]->d_name);
        if (path && !code)
            code = dump_segment(path);
        free(entries[i]);
    }
    free(entries);
    arena_fini(&arena);
    return code;
}
