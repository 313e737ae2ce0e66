/* What a presence says about clocks. See clocks.h. */
#include "model/clocks.h"

#include "base/str.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define OFFSET_MAX_US (400 * 86400 * INT64_C(1000000)) /* more is no clock */

static bool covers(struct bytes name, struct bytes stream)
{
    bool begins = name.len && stream.len >= name.len && memcmp(stream.ptr, name.ptr, name.len) == 0;
    return begins && (stream.len == name.len || stream.ptr[name.len] == '.');
}

bool clock_covers(const char *name, struct bytes stream)
{
    return covers(bytes_of_text(name), stream);
}

int clock_put(const char *name, struct clock_offset offset, struct buf *out)
{
    return buf_printf(out, "%s%s=%" PRId64 ":%" PRId64, out->len ? " " : "", name, offset.in_us,
                      offset.out_us);
}

static bool offset_read(struct bytes text, int64_t *ret)
{
    return str_to_i64(text, ret) == OK && *ret >= -OFFSET_MAX_US && *ret <= OFFSET_MAX_US;
}

struct clock_offset clock_find(struct bytes text, struct bytes stream)
{
    while (text.len) {
        struct bytes name;
        struct bytes in;
        struct bytes entry;
        struct clock_offset offset;
        text = str_split(text, ' ', &entry);
        entry = str_split(entry, '=', &name);
        entry = str_split(entry, ':', &in);
        if (covers(name, stream) && offset_read(in, &offset.in_us) &&
            offset_read(entry, &offset.out_us))
            return offset;
    }
    return (struct clock_offset){0, 0};
}

int64_t clock_own_us(struct clock_offset offset, int64_t t_in, int64_t t_out, int64_t time_us)
{
    if (time_us <= t_in)
        return time_us + offset.in_us;
    if (time_us >= t_out)
        return time_us + offset.out_us;
    double part = (double)(time_us - t_in) / (double)(t_out - t_in);
    return time_us + offset.in_us + llround(part * (double)(offset.out_us - offset.in_us));
}
