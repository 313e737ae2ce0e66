/* Positions over time as bytes and back. See path.h. */
#include "model/path.h"

#include "base/array.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define PATH_VERSION     1
#define PATH_UM_MAX      1000000000000 /* PATH_MM_MAX */
#define PATH_POINT_BYTES 2             /* at least, after the first */

void path_fini(struct path *p)
{
    free(p->points);
    *p = (struct path){0};
}

int path_add(struct path *p, int64_t time_us, double mm)
{
    assert(p->count == 0 || time_us >= p->points[p->count - 1].time_us);
    if (p->count && p->points[p->count - 1].time_us == time_us)
        p->count--;
    struct path_point *more = array_room(p->points, p->count, &p->cap, 64, sizeof *more);
    if (!more)
        return ERR_NOMEM;
    p->points = more;
    p->points[p->count++] = (struct path_point){time_us, mm};
    return OK;
}

/* ----------------------------------------------------------------------------------------- bytes
 */

static uint64_t zigzag(int64_t v)
{
    return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

int path_encode(const struct path *p, struct buf *out)
{
    int64_t before_us = 0;
    int64_t before_um = 0;
    if (p->count == 0)
        return ERR_INVALID;
    if (p->count > PATH_POINTS_MAX)
        return ERR_LIMIT;
    (void)buf_append_u8(out, PATH_VERSION);
    (void)buf_append_varint(out, p->count);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct path_point *at = &p->points[i];
        if (!(fabs(at->mm) <= PATH_MM_MAX))
            return ERR_LIMIT;
        int64_t um = llround(at->mm * 1000);
        if (i == 0)
            (void)buf_append_le64(out, (uint64_t)at->time_us);
        else
            (void)buf_append_varint(out, (uint64_t)(at->time_us - before_us));
        (void)buf_append_varint(out, zigzag(um - before_um));
        before_us = at->time_us;
        before_um = um;
    }
    return buf_error(out);
}

/* The point after the one at *io_us, *io_um. False if it is none. */
static bool point_read(struct reader *r, bool first, int64_t *io_us, int64_t *io_um)
{
    uint64_t dt = first ? reader_le64(r) : reader_varint(r);
    int64_t um = unzigzag(reader_varint(r));
    if (r->failed)
        return false;
    if (first)
        *io_us = (int64_t)dt;
    else if (dt == 0 || dt > INT64_MAX || __builtin_add_overflow(*io_us, (int64_t)dt, io_us))
        return false;
    return !__builtin_add_overflow(*io_um, um, io_um) && *io_um <= PATH_UM_MAX &&
           *io_um >= -PATH_UM_MAX;
}

static int points_read(struct reader *r, uint32_t count, struct path *p)
{
    int64_t us = 0;
    int64_t um = 0;
    int err = OK;
    for (uint32_t i = 0; i < count && !err; i++) {
        err = point_read(r, i == 0, &us, &um) ? OK : ERR_MALFORMED;
        if (!err)
            err = path_add(p, us, (double)um / 1000);
    }
    return err ? err : reader_left(r) ? ERR_MALFORMED : OK;
}

int path_decode(struct bytes bytes, struct path *p)
{
    struct reader r = reader_of(bytes);
    uint8_t version = reader_u8(&r);
    uint64_t count = reader_varint(&r);
    p->count = 0;
    if (r.failed || count == 0 || count > PATH_POINTS_MAX ||
        count > reader_left(&r) / PATH_POINT_BYTES)
        return ERR_MALFORMED;
    if (version != PATH_VERSION)
        return ERR_VERSION;
    int err = points_read(&r, (uint32_t)count, p);
    if (err)
        p->count = 0;
    return err;
}

/* ------------------------------------------------------------------------------------- intervals
 */

bool path_mm(const struct path *p, int64_t time_us, double *ret)
{
    uint32_t low = 0;
    uint32_t high = p->count;
    if (p->count == 0 || time_us < p->points[0].time_us ||
        time_us > p->points[p->count - 1].time_us)
        return false;
    while (high - low > 1) {
        uint32_t mid = low + (high - low) / 2;
        if (p->points[mid].time_us <= time_us)
            low = mid;
        else
            high = mid;
    }
    const struct path_point *a = &p->points[low];
    *ret = a->mm;
    if (a->time_us < time_us) {
        const struct path_point *b = a + 1;
        double part = (double)(time_us - a->time_us) / (double)(b->time_us - a->time_us);
        *ret = a->mm + (b->mm - a->mm) * part;
    }
    return true;
}

/* When the piece from a to b is at mm, between its ends. */
static int64_t piece_time(const struct path_point *a, const struct path_point *b, double mm)
{
    double part = (mm - a->mm) / (b->mm - a->mm);
    if (!(part > 0))
        return a->time_us;
    if (part >= 1)
        return b->time_us;
    return a->time_us + llround((double)(b->time_us - a->time_us) * part);
}

/* The part of the piece that is in [from, to). False if there is none. */
static bool piece_interval(const struct path_point *a, const struct path_point *b, double from,
                           double to, struct path_interval *ret)
{
    double low = a->mm < b->mm ? a->mm : b->mm;
    double high = a->mm < b->mm ? b->mm : a->mm;
    if (high < from || low >= to || (high == low && low < from))
        return false;
    bool up = b->mm >= a->mm;
    ret->from_us = a->time_us;
    ret->to_us = b->time_us;
    if (up && a->mm < from)
        ret->from_us = piece_time(a, b, from);
    if (up && b->mm > to)
        ret->to_us = piece_time(a, b, to);
    if (!up && a->mm > to)
        ret->from_us = piece_time(a, b, to);
    if (!up && b->mm < from)
        ret->to_us = piece_time(a, b, from);
    return ret->from_us < ret->to_us;
}

uint32_t path_intervals(const struct path *p, double from_mm, double to_mm,
                        struct path_interval *ret, uint32_t max)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i + 1 < p->count; i++) {
        struct path_interval in;
        if (!piece_interval(&p->points[i], &p->points[i + 1], from_mm, to_mm, &in))
            continue;
        if (n && (ret[n - 1].to_us == in.from_us || n == max))
            ret[n - 1].to_us = in.to_us;
        else if (n < max)
            ret[n++] = in;
    }
    return n;
}
