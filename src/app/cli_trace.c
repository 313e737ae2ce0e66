/* `lotline trace` on a terminal: the answer's JSON back into columns, printed by trace/. */
#include "app/cli.h"
#include "base/clock.h"
#include "codec/json.h"
#include "trace/trace.h"

#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int64_t zone_offset_s(void)
{
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm local;
    return localtime_r(&now, &local) ? local.tm_gmtoff : 0;
}

/* The answer as columns again: what trace_print reads by name. */
static int answer_batch(struct bytes json, struct batch **ret)
{
    struct payload *payload = payload_copy(json); /* the reader wants spare bytes behind the text */
    struct json_reader *reader = NULL;
    int err = payload ? json_reader_new(NULL, &reader) : ERR_NOMEM;
    if (!err)
        err = json_decode_any(reader, payload_bytes(payload), 0, NULL, ret);
    json_reader_free(reader);
    payload_unref(payload);
    return err;
}

int cli_print_trace(struct bytes json, bool as_json)
{
    if (as_json)
        return cli_print_json(json, true);
    struct batch *answer = NULL;
    struct buf text = {0};
    struct trace_print_options options = {
        .colour = isatty(STDOUT_FILENO) != 0,
        .width = terminal_width(),
        .utc_offset_s = zone_offset_s(),
    };
    int err = answer_batch(json, &answer);
    if (!err)
        err = trace_print(answer, &options, &text);
    if (!err)
        (void)fwrite(text.ptr, 1, text.len, stdout);
    buf_fini(&text);
    batch_unref(answer);
    return err ? cli_error(EXIT_FAILED, "the node's answer could not be read: %s", err_text(err))
               : EXIT_OK;
}
