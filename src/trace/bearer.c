/* Which unit bore a serial when. See bearer.h. */
#include "trace/bearer.h"

#include "base/str.h"
#include "trace/trace_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(BEARER_NAME_BYTES_MAX > TRACE_SERIAL_BYTES_MAX + 16, "a serial and a number");

const struct trace_span trace_span_all = {INT64_MIN, INT64_MAX};

bool trace_span_has(struct trace_span span, int64_t at_us)
{
    return at_us >= span.from && (at_us < span.to || span.to == INT64_MAX);
}

/* --------------------------------------------------------------------------------- configuration
 */

const struct option trace_reused_table[] = {
    {.name = "match",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct bearer_rule, match),
     .doc = "which serials: * stands for anything, ? for one character, [0-9] for one of these"},
    {.name = "after",
     .type = OPTION_DURATION,
     .flags = OPTION_REQUIRED,
     .min = 1000000,
     .offset = offsetof(struct bearer_rule, after_us),
     .doc = "nothing was told of it for longer: whoever bears it next is another unit; more than a "
            "unit is ever left alone, less than half of what the serials need to come around"},
    {.name = NULL},
};

int bearer_config(struct bearer_rules *r, const struct config *config, struct arena *arena,
                  struct diag *diag)
{
    const struct tree *list = tree_get(config_section(config, "historian"), "serials_reused");
    int err = OK;
    if (!list || list->kind == TREE_NULL)
        return OK;
    if (list->kind != TREE_LIST || list->count > BEARER_RULES_MAX) {
        return tree_error(
            diag, ERR_TYPE, list,
            "serials_reused is a list of at most %d: - {match: \"P-?????\", after: 12h}",
            BEARER_RULES_MAX);
    }
    r->list = arena_array(arena, list->count + 1u, sizeof *r->list);
    if (!r->list)
        return ERR_NOMEM;
    TREE_EACH(item, list)
    {
        if (!err)
            err = option_bind(trace_reused_table, item, arena, &r->list[r->count], diag);
        r->count += !err;
    }
    return err;
}

int64_t bearer_after(const struct bearer_rules *r, struct bytes serial)
{
    uint8_t id[TRACE_UNIT_BYTES];
    for (uint32_t i = 0; i < r->count; i++)
        if (str_matches(serial, r->list[i].match))
            return cell_unit_parse(serial, id) ? 0 : r->list[i].after_us;
    return 0;
}

int64_t bearer_after_least(const struct bearer_rules *r)
{
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < r->count; i++)
        if (r->list[i].after_us < least)
            least = r->list[i].after_us;
    return least;
}

/* --------------------------------------------------------------------------------- pieces of time
 */

static int span_compare(const void *a, const void *b)
{
    const struct trace_span *x = a;
    const struct trace_span *y = b;
    return (x->from > y->from) - (x->from < y->from);
}

uint32_t trace_spans_unite(struct trace_span *spans, uint32_t count, int64_t gap_us)
{
    uint32_t n = 0;
    if (count == 0)
        return 0;
    qsort(spans, count, sizeof *spans, span_compare);
    for (uint32_t i = 1; i < count; i++) {
        struct trace_span *last = &spans[n];
        if (spans[i].from - gap_us > last->to)
            spans[++n] = spans[i];
        else if (spans[i].to > last->to)
            last->to = spans[i].to;
    }
    return n + 1;
}

uint32_t bearer_at(const struct trace_span *bearers, uint32_t count, int64_t at_us)
{
    uint32_t i = count - 1;
    while (i > 0 && bearers[i].from > at_us)
        i--;
    return i;
}

struct trace_span bearer_time(const struct trace_span *bearers, uint32_t count, uint32_t number)
{
    return (struct trace_span){number == 0 ? INT64_MIN : bearers[number].from,
                               number + 1 == count ? INT64_MAX : bearers[number + 1].from};
}

/* ------------------------------------------------------------------------------------ many serials
 */

/* When the second bearer of a serial begins, and those after it. */
struct bearer_begins {
    int64_t *at_us;
    uint32_t count;
    uint32_t cap;
};

/* $1 from, $2 until. The same times as in the index: what was taken back tells of the serial too.
 */
#define TOLD(table, time)                                                                          \
    " UNION ALL SELECT serial, " time ", " time " FROM " table " WHERE " time " >= $1 AND " time   \
    " < $2 AND serial <> ''"
#define LINKED(end)                                                                                \
    " UNION ALL SELECT " end ", valid_from, valid_from FROM links WHERE valid_from >= $1 AND "     \
    "valid_from < $2"

static const char sql_told[] =
    "SELECT name, epoch_us(t), epoch_us(o) FROM (SELECT u.serial AS name, u.valid_from AS t, "
    "coalesce(s.t_out, u.valid_from) AS o FROM units u JOIN steps s ON s.unit = u.unit AND s.node "
    "= u.node AND s.track = u.track AND s.revision = u.revision AND s.known_at = u.known_at WHERE "
    "u.valid_from >= $1 AND u.valid_from < $2 AND u.serial <> ''" TOLD("measures", "measured_at")
        TOLD("factors", "\"at\"") TOLD("defects", "detected_at") TOLD("verdicts", "decided_at")
            LINKED("parent") LINKED("child") ") ORDER BY 1, 2";

struct reading {
    struct bearers *bearers;
    const struct bearer_rules *rules;
    struct buf name; /* of the rows that come */
    int64_t after_us;
    int64_t told_us; /* last */
    struct bearer_begins *begins;
};

static int begin_add(struct reading *r, int64_t at_us)
{
    struct arena *arena = &r->bearers->arena;
    if (!r->begins) {
        r->begins = arena_alloc(arena, sizeof *r->begins);
        if (!r->begins)
            return ERR_NOMEM;
        *r->begins = (struct bearer_begins){0};
        int err = map_put(&r->bearers->names, buf_bytes(&r->name), r->begins, NULL);
        if (err)
            return err;
    }
    struct bearer_begins *b = r->begins;
    int64_t *times = arena_room(arena, b->at_us, b->count, &b->cap, sizeof *times);
    if (!times)
        return ERR_NOMEM;
    b->at_us = times;
    b->at_us[b->count++] = at_us;
    return OK;
}

/* name, from, to: by name, then by time */
static int told_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct reading *r = ctx;
    int64_t from_us = cells[1].i64;
    int64_t to_us = cells[2].i64;
    int err = OK;
    (void)count;
    if (!bytes_equal(cells[0].bytes, buf_bytes(&r->name))) {
        buf_reset(&r->name);
        (void)buf_append_bytes(&r->name, cells[0].bytes);
        r->after_us = bearer_after(r->rules, cells[0].bytes);
        r->told_us = to_us;
        r->begins = NULL;
        return buf_error(&r->name);
    }
    if (r->after_us && from_us - r->after_us > r->told_us)
        err = begin_add(r, from_us);
    r->told_us = to_us > r->told_us ? to_us : r->told_us;
    return err;
}

int bearers_read(struct bearers *b, const struct bearer_rules *rules, struct duck_conn *conn,
                 int64_t from_us, int64_t until_us, struct diag *diag)
{
    struct reading r = {.bearers = b, .rules = rules};
    struct duck_stmt *stmt = NULL;
    if (!rules || !rules->count)
        return OK;
    int err = duck_statement(conn, sql_told, &stmt, diag);
    if (!err)
        err = duck_bind_time(stmt, 1, from_us);
    if (!err)
        err = duck_bind_time(stmt, 2, until_us);
    if (!err)
        err = duck_run(stmt, told_row, &r, diag);
    buf_fini(&r.name);
    return err;
}

void bearers_fini(struct bearers *b)
{
    map_fini(&b->names);
    arena_fini(&b->arena);
}

struct bytes bearer_name(const struct bearers *b, struct bytes serial, int64_t at_us,
                         char out[static BEARER_NAME_BYTES_MAX])
{
    const struct bearer_begins *begins = b->names.count ? map_find(&b->names, serial) : NULL;
    uint32_t number = begins ? begins->count : 0;
    while (number > 0 && begins->at_us[number - 1] > at_us)
        number--;
    if (number == 0)
        return serial;
    int len = snprintf(out, BEARER_NAME_BYTES_MAX, "%.*s\n%u", (int)serial.len,
                       (const char *)serial.ptr, number);
    return bytes_of(out, len < BEARER_NAME_BYTES_MAX ? (size_t)len : BEARER_NAME_BYTES_MAX - 1);
}
