/* `lotline trace`, `where-used` and `units`: the answer's JSON back into columns, for a terminal or
 * as CSV. What a unit looks like is trace/'s.
 */
#include "app/cli.h"
#include "base/clock.h"
#include "codec/csv.h"
#include "codec/json.h"
#include "trace/trace.h"
#include "trace/why.h"

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

static int unreadable(int err)
{
    return cli_error(EXIT_FAILED, "the node's answer could not be read: %s", err_text(err));
}

static int print_text(const struct buf *text)
{
    (void)fwrite(text->ptr, 1, text->len, stdout);
    return EXIT_OK;
}

/* One of trace/'s printers, its answer and where the text goes. */
typedef int (*printer)(const struct batch *answer, const struct trace_print_options *options,
                       struct buf *text);

static int print_csv_of_trace(const struct batch *answer, const struct trace_print_options *options,
                              struct buf *text)
{
    (void)options;
    return trace_print_csv(answer, text);
}

static int print_answer(struct bytes json, printer print)
{
    struct batch *answer = NULL;
    struct buf text = {0};
    struct trace_print_options options = {
        .colour = isatty(STDOUT_FILENO) != 0,
        .width = terminal_width(),
        .utc_offset_s = zone_offset_s(),
    };
    int err = answer_batch(json, &answer);
    if (!err)
        err = print(answer, &options, &text);
    int code = err ? unreadable(err) : print_text(&text);
    buf_fini(&text);
    batch_unref(answer);
    return code;
}

int cli_print_trace(struct bytes json, bool as_json, bool as_csv)
{
    if (as_json)
        return cli_print_json(json, true);
    return print_answer(json, as_csv ? print_csv_of_trace : trace_print);
}

int cli_print_why(struct bytes json, bool as_json)
{
    return as_json ? cli_print_json(json, true) : print_answer(json, trace_print_why);
}

/* ------------------------------------------------------------------------------------------ lists
 */

/* An array of objects as CSV; an empty one as nothing. */
static int print_csv(struct bytes json)
{
    struct batch *rows = NULL;
    struct buf text = {0};
    int err = answer_batch(json, &rows);
    if (!err)
        err = csv_print(rows, true, &text);
    int code = err == ERR_INVALID ? EXIT_OK : err ? unreadable(err) : print_text(&text);
    buf_fini(&text);
    batch_unref(rows);
    return code;
}

int cli_print_units(struct bytes json, bool as_json, bool as_csv)
{
    return as_csv ? print_csv(json) : cli_print_json(json, as_json);
}

static struct value value_of(const struct batch *b, const char *name)
{
    int32_t col = schema_find(b->schema, bytes_of_text(name));
    if (col < 0 || b->rows == 0)
        return (struct value){.type = VALUE_NULL};
    struct column c = batch_column(b, (uint32_t)col);
    return column_value(&c, 0);
}

static struct bytes cell_of(const struct batch *b, const char *name)
{
    struct value v = value_of(b, name);
    return v.type == VALUE_STRING ? v.bytes : bytes_of_text("");
}

static double number_of(const struct batch *b, const char *name)
{
    struct value v = value_of(b, name);
    double number = 0;
    return value_to_double(&v, &number) ? number : 0;
}

/* Only where somebody may be wrong: what is certain is not talked about. */
static void print_tally(const struct batch *answer)
{
    double count = number_of(answer, "count");
    double possible = number_of(answer, "possible");
    double quantity = number_of(answer, "quantity");
    if (possible > 0)
        (void)printf("%.0f certain, %.0f possible: %.3g of the %.0f are to be expected\n",
                     count - possible, possible, number_of(answer, "expected"), count);
    if (quantity != 0)
        (void)printf("%.6g of it went on\n", quantity);
}

int cli_print_forward(struct bytes json, bool as_json, bool as_csv)
{
    struct batch *answer = NULL;
    if (as_json)
        return cli_print_json(json, true);
    int err = answer_batch(json, &answer);
    if (err)
        return unreadable(err);
    struct bytes units = cell_of(answer, "units");
    struct bytes reason = cell_of(answer, "reason");
    struct bytes from = cell_of(answer, "from");
    int code = as_csv ? print_csv(units) : EXIT_OK;
    if (!as_csv && units.len <= 2)
        code = cli_error(EXIT_NOT_FOUND, "nothing was made with or at %.*s", (int)from.len,
                         (const char *)from.ptr);
    else if (!as_csv)
        code = cli_print_json(units, false);
    if (!as_csv && code == EXIT_OK)
        print_tally(answer);
    /* On standard error, so that it is seen also when the list goes into a file. */
    if (code == EXIT_OK && reason.len)
        (void)fprintf(stderr, "lotline: the list is not complete: %.*s\n", (int)reason.len,
                      (const char *)reason.ptr);
    batch_unref(answer);
    return code;
}
