/* Clocks and RFC 3339 text. See clock.h. */
#include "base/clock.h"

#include "base/err.h"
#include "base/str.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

#define US_PER_S  1000000
#define S_PER_DAY 86400

static int64_t clock_read_us(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    return clock_read_us(CLOCK_REALTIME);
}

int64_t clock_mono_us(void)
{
    return clock_read_us(CLOCK_MONOTONIC);
}

int64_t clock_smooth_behind_us(const struct clock_smooth *c, int64_t mono_us, int64_t wall_us)
{
    return wall_us - mono_us - c->offset_us;
}

int64_t clock_smooth_us(struct clock_smooth *c, int64_t mono_us, int64_t wall_us)
{
    int64_t behind_us = clock_smooth_behind_us(c, mono_us, wall_us);
    int64_t step_us = (mono_us - c->mono_us) * CLOCK_SMOOTH_PERCENT / 100;
    if (!c->known || behind_us > CLOCK_SMOOTH_MAX_US || behind_us < -CLOCK_SMOOTH_MAX_US)
        *c = (struct clock_smooth){wall_us - mono_us, mono_us, true};
    else if (step_us > 0) {
        step_us = behind_us < 0 ? -step_us : step_us;
        bool reached = behind_us < 0 ? behind_us >= step_us : behind_us <= step_us;
        c->offset_us += reached ? behind_us : step_us;
        c->mono_us = mono_us;
    }
    return mono_us + c->offset_us;
}

size_t clock_format(int64_t wall_us, char out[static CLOCK_TEXT_BYTES_MAX])
{
    int64_t seconds = wall_us / US_PER_S;
    int64_t us = wall_us % US_PER_S;
    if (us < 0) {
        us += US_PER_S;
        seconds--;
    }
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm))
        return (size_t)snprintf(out, CLOCK_TEXT_BYTES_MAX, "%lldus", (long long)wall_us);
    /* strftime's %Y has as many digits as the year; RFC 3339 wants four. */
    size_t n = (size_t)snprintf(out, CLOCK_TEXT_BYTES_MAX, "%04lld", 1900LL + tm.tm_year);
    n += strftime(out + n, CLOCK_TEXT_BYTES_MAX - n, "-%m-%dT%H:%M:%S", &tm);
    int fraction = 0;
    if (us % 1000)
        fraction = snprintf(out + n, CLOCK_TEXT_BYTES_MAX - n, ".%06dZ", (int)us);
    else if (us)
        fraction = snprintf(out + n, CLOCK_TEXT_BYTES_MAX - n, ".%03dZ", (int)(us / 1000));
    else
        fraction = snprintf(out + n, CLOCK_TEXT_BYTES_MAX - n, "Z");
    return n + (size_t)fraction;
}

/* A fixed number of digits at r, as a number in [low, high]. */
static int clock_digits(struct reader *r, size_t count, int low, int high)
{
    uint64_t v = 0;
    struct bytes digits = reader_take(r, count);
    if (r->failed || str_to_u64(digits, &v) || v < (uint64_t)low || v > (uint64_t)high)
        r->failed = true;
    return (int)v;
}

static void clock_expect(struct reader *r, const char *any_of)
{
    uint8_t c = reader_u8(r);
    if (c == 0 || !strchr(any_of, c))
        r->failed = true;
}

/* Days since 1970-01-01 of a proleptic Gregorian date (year ≥ 1). */
static int64_t clock_days(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

static int clock_month_days(int year, int month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    assert(month >= 1 && month <= 12);
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static int64_t clock_fraction_us(struct reader *r)
{
    int64_t us = 0;
    int64_t unit = US_PER_S / 10;
    if (reader_left(r) == 0 || *r->ptr != '.')
        return 0;
    r->ptr++;
    size_t digits = 0;
    while (reader_left(r) > 0 && *r->ptr >= '0' && *r->ptr <= '9') {
        us += (*r->ptr++ - '0') * unit;
        unit /= 10;
        digits++;
    }
    if (digits == 0)
        r->failed = true;
    return us;
}

/* Seconds that the zone is ahead of UTC. */
static int64_t clock_zone_s(struct reader *r)
{
    uint8_t sign = reader_u8(r);
    if (sign == 'Z' || sign == 'z')
        return 0;
    if (sign != '+' && sign != '-')
        r->failed = true;
    int hours = clock_digits(r, 2, 0, 23);
    clock_expect(r, ":");
    int minutes = clock_digits(r, 2, 0, 59);
    int64_t ahead = hours * 3600 + minutes * 60;
    return sign == '-' ? -ahead : ahead;
}

int clock_parse(struct bytes text, int64_t *ret_wall_us)
{
    struct reader r = reader_of(text);
    int year = clock_digits(&r, 4, 1, 9999);
    clock_expect(&r, "-");
    int month = clock_digits(&r, 2, 1, 12);
    clock_expect(&r, "-");
    int day = clock_digits(&r, 2, 1, 31);
    if (r.failed)
        return ERR_SYNTAX;
    if (day > clock_month_days(year, month))
        return ERR_RANGE;
    int64_t seconds = clock_days(year, month, day) * S_PER_DAY;
    int64_t us = 0;
    if (reader_left(&r) > 0) {
        clock_expect(&r, "Tt ");
        seconds += clock_digits(&r, 2, 0, 23) * 3600;
        clock_expect(&r, ":");
        seconds += clock_digits(&r, 2, 0, 59) * 60;
        clock_expect(&r, ":");
        seconds += clock_digits(&r, 2, 0, 60);
        us = clock_fraction_us(&r);
        seconds -= clock_zone_s(&r);
    }
    if (r.failed || reader_left(&r) > 0)
        return ERR_SYNTAX;
    *ret_wall_us = seconds * US_PER_S + us;
    return OK;
}
