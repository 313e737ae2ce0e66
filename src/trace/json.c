/* Objects of an answer's lists, as JSON text that grows member by member. See trace_priv.h. */
#include "base/clock.h"
#include "base/str.h"
#include "trace/trace_priv.h"

#include <math.h>

void trace_json_string(struct bytes v, struct buf *out)
{
    (void)buf_append_u8(out, '"');
    for (size_t i = 0; i < v.len; i++) {
        uint8_t c = v.ptr[i];
        if (c < 0x20)
            (void)buf_printf(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            (void)buf_printf(out, "\\%c", c);
        else
            (void)buf_append_u8(out, c);
    }
    (void)buf_append_u8(out, '"');
}

void trace_json_name(struct buf *out, const char *name)
{
    bool first = out->len && out->ptr[out->len - 1] == '{';
    (void)buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
}

void trace_json_text(struct buf *out, const char *name, const char *text)
{
    trace_json_name(out, name);
    trace_json_string(bytes_of_text(text), out);
}

/* null if it is empty. */
void trace_json_maybe(struct buf *out, const char *name, const char *text)
{
    if (text[0]) {
        trace_json_text(out, name, text);
        return;
    }
    trace_json_name(out, name);
    (void)buf_append_text(out, "null");
}

void trace_json_time(struct buf *out, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES_MAX] = "";
    if (us != INT64_MIN)
        (void)clock_format(us, text);
    trace_json_maybe(out, name, text);
}

void trace_json_begin(struct buf *out)
{
    bool first = out->len && out->ptr[out->len - 1] == '[';
    (void)buf_append_text(out, first ? "{" : ",{");
}

void trace_json_number(struct buf *out, const char *name, double v)
{
    char text[STR_NUMBER_BYTES_MAX] = "null";
    if (isfinite(v))
        (void)str_from_double(v, text);
    trace_json_name(out, name);
    (void)buf_append_text(out, text);
}
