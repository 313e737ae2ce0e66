/* A plan at work. See pipeline.h; windows are in window_tumbling.c and window_unit.c. */
#include "stream/pipeline_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------------------ life
 */

static int group_vecs_make(struct pipeline *p)
{
    uint32_t n = p->plan->groups.input_count;
    p->group_vecs = calloc(n + 1u, sizeof *p->group_vecs);
    p->group_storage = calloc(n + 1u, sizeof(void *));
    p->group_words = calloc(n + 1u, sizeof *p->group_words);
    if (!p->group_vecs || !p->group_storage || !p->group_words)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct vec *v = &p->group_vecs[i];
        v->type = p->plan->group_inputs[i].type;
        v->kind = vec_kind_of(v->type);
        p->group_storage[i] = calloc(VEC_ROWS, vec_width(v->kind));
        if (!p->group_storage[i])
            return ERR_NOMEM;
        v->data = p->group_storage[i];
        v->valid = p->group_words[i];
    }
    return OK;
}

static int groups_make(struct pipeline *p)
{
    if (p->plan->window == WINDOW_NONE)
        return OK;
    int err = machine_init(&p->groups, &p->plan->groups);
    p->has_groups = !err;
    if (!err)
        err = group_vecs_make(p);
    if (!err)
        err = p->plan->window == WINDOW_UNIT ? unit_init(p) : tumbling_init(p);
    return err;
}

static int output_make(struct pipeline *p, const struct schema *schema)
{
    if (p->has_output)
        output_fini(&p->output);
    int err = output_init(&p->output, schema);
    p->has_output = !err;
    return err;
}

int pipeline_new(const struct pipeline_options *options, struct pipeline **ret)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    p->plan = options->plan;
    p->options = *options;
    if (!p->options.unit_time_us)
        p->options.unit_time_us = PIPELINE_UNIT_TIME_US;
    p->watermark_us = INT64_MIN;
    p->time_max_us = INT64_MIN;
    int err = machine_init(&p->rows, &p->plan->rows);
    if (err) {
        free(p);
        return err;
    }
    p->input_columns = calloc(p->plan->rows.input_count + 1u, sizeof *p->input_columns);
    p->pass_columns = calloc(p->plan->item_count + 1u, sizeof *p->pass_columns);
    err = p->input_columns && p->pass_columns ? groups_make(p) : ERR_NOMEM;
    for (uint32_t i = 0; !err && i < p->plan->item_count; i++)
        p->pass_columns[i] = p->plan->items[i].column;
    if (!err && p->plan->output)
        err = output_make(p, p->plan->output);
    if (err) {
        pipeline_free(p);
        return err;
    }
    *ret = p;
    return OK;
}

void pipeline_free(struct pipeline *p)
{
    if (!p)
        return;
    if (p->plan->window == WINDOW_UNIT)
        unit_fini(p);
    if (p->plan->window == WINDOW_TUMBLING)
        tumbling_fini(p);
    for (uint32_t i = 0; p->group_storage && i < p->plan->groups.input_count; i++)
        free(p->group_storage[i]);
    free(p->group_vecs);
    free(p->group_storage);
    free(p->group_words);
    machine_fini(&p->rows);
    if (p->has_groups)
        machine_fini(&p->groups);
    if (p->has_output)
        output_fini(&p->output);
    schema_unref(p->input_schema);
    free(p->input_columns);
    free(p->pass_columns);
    free(p->star_columns);
    free(p);
}

/* ------------------------------------------------------------------------------------- schemaless
 */

static uint32_t find_column(const struct schema *s, struct bytes name)
{
    int32_t at = schema_find(s, name);
    return at < 0 ? PLAN_NONE : (uint32_t)at;
}

static int star_find(struct pipeline *p, const struct schema *in)
{
    const struct schema *out = p->output.schema;
    free(p->star_columns);
    p->star_count = out->count - p->plan->item_count;
    p->star_columns = calloc(p->star_count + 1u, sizeof *p->star_columns);
    if (!p->star_columns)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < p->star_count; i++)
        p->star_columns[i] = find_column(in, bytes_of_text(out->fields[i].name));
    return OK;
}

/* A batch with other columns than the one before: finds by name what the plan needs. */
static int schema_adopt(struct pipeline *p, struct schema *in)
{
    if (p->input_schema == in)
        return OK;
    int err = p->has_output && p->output.rows ? pipeline_flush(p) : OK;
    if (err)
        return err;
    schema_unref(p->input_schema);
    p->input_schema = schema_ref(in);
    for (uint32_t i = 0; i < p->plan->rows.input_count; i++)
        p->input_columns[i] = find_column(in, p->plan->rows.inputs[i].name);
    for (uint32_t i = 0; i < p->plan->item_count; i++)
        if (p->plan->items[i].pass)
            p->pass_columns[i] = find_column(in, bytes_of_text(p->plan->items[i].column_name));
    p->rows.columns = p->input_columns;
    if (p->plan->output)
        return OK;
    struct schema *out = NULL;
    err = plan_output_schema(p->plan, in, &out);
    if (!err)
        err = output_make(p, out);
    schema_unref(out);
    if (!err && p->plan->star)
        err = star_find(p, in);
    return err;
}

/* ------------------------------------------------------------------------------------------- rows
 */

void pipeline_failed(struct pipeline *p, const struct machine *m)
{
    if (!m->any_failed)
        return;
    for (uint32_t k = 0; k < VEC_WORDS; k++)
        p->stats.error_rows += (uint64_t)__builtin_popcountll(m->failed[k]);
    snprintf(p->stats.last_error, sizeof p->stats.last_error, "%s", m->error.text);
}

static void column_out(struct pipeline *p, uint32_t to, uint32_t from, struct output_rows r)
{
    if (from == PLAN_NONE) {
        output_null(&p->output, to, r.count);
        return;
    }
    struct column c = batch_column(p->rows.batch, from);
    output_column(&p->output, to, &c, r);
}

static void rows_out(struct pipeline *p)
{
    struct machine *m = &p->rows;
    struct output_rows r = {.rows = m->selected, .count = m->count, .base = m->base};
    if (m->count == 0)
        return;
    for (uint32_t i = 0; i < p->star_count; i++)
        column_out(p, i, p->star_columns[i], r);
    for (uint32_t i = 0; i < p->plan->item_count; i++) {
        uint32_t to = p->star_count + i;
        if (p->plan->items[i].pass)
            column_out(p, to, p->pass_columns[i], r);
        else
            output_vec(&p->output, to, &m->regs[p->plan->items[i].reg], r);
    }
    output_times(&p->output, batch_times(m->batch), r);
    p->stats.out_rows += m->count;
}

/* One chunk: WHERE, then what the kind of statement does with the rows that are left. */
static int chunk_run(struct pipeline *p, uint32_t *io_rows)
{
    const struct plan *plan = p->plan;
    struct machine *m = &p->rows;
    int err = OK;
    machine_run(m, 0, plan->where_steps);
    if (plan->where != PLAN_NONE)
        machine_where(m, (uint16_t)plan->where, p->selected);
    *io_rows += m->count;
    machine_run(m, plan->where_steps, plan->rows.step_count);
    machine_drop_failed(m, p->selected);
    if (plan->window == WINDOW_NONE)
        rows_out(p);
    else if (plan->window == WINDOW_TUMBLING)
        err = tumbling_rows(p, p->last);
    else
        err = unit_rows(p);
    pipeline_failed(p, m);
    return err;
}

static int64_t time_max(const struct batch *b)
{
    const int64_t *times = batch_times(b);
    int64_t max = times[0];
    for (uint32_t i = 1; i < b->rows; i++)
        max = times[i] > max ? times[i] : max;
    return max;
}

static bool row_is_read(const struct batch *b, uint32_t row)
{
    for (uint32_t i = 0; i < b->schema->count; i++) {
        struct column c = batch_column(b, i);
        if (!column_is_null(&c, row))
            return true;
    }
    return b->schema->count == 0;
}

/* INT64_MIN: no row has a value. */
static int64_t time_max_read(const struct batch *b)
{
    const int64_t *times = batch_times(b);
    int64_t max = INT64_MIN;
    for (uint32_t i = 0; i < b->rows; i++)
        if (times[i] > max && row_is_read(b, i))
            max = times[i];
    return max;
}

/* Polls that found nobody go on from where values were, if they are as near; or if there was no
 * value for so long. */
#define UNREAD_NEAR_US  (10 * INT64_C(1000000))
#define UNREAD_QUIET_US (30 * INT64_C(1000000))

/* How far a unit window's signals are now. Polls of a device that does not answer count if they go
 * on from there: while values of its past come in, they would push these out, or of its last hour
 * answer units before their values are here. INT64_MIN: the batch says nothing. Without a value for
 * unit_time they count in any case, so that nothing is kept for ever. */
static int64_t unit_time(struct pipeline *p, const struct batch *b)
{
    int64_t read = time_max_read(b);
    int64_t newest = time_max(b);
    if (read != INT64_MIN) {
        p->unit.quiet_us = INT64_MIN;
        return read;
    }
    bool any = p->time_max_us != INT64_MIN;
    if (any && newest - p->time_max_us <= UNREAD_NEAR_US)
        return newest;
    if (p->unit.quiet_us == INT64_MIN)
        p->unit.quiet_us = newest;
    bool follows = any && newest - p->time_max_us <= p->options.unit_time_us;
    int64_t enough = follows ? UNREAD_QUIET_US : p->options.unit_time_us;
    return newest - p->unit.quiet_us > enough ? newest : INT64_MIN;
}

static int batch_finish(struct pipeline *p, int64_t newest, struct position at)
{
    struct position after = p->last;
    p->last = at;
    p->time_max_us = newest > p->time_max_us ? newest : p->time_max_us;
    if (p->plan->window == WINDOW_NONE) {
        struct record_key key = {.major = at.epoch, .minor = at.seq};
        if (p->output.rows)
            pipeline_gathered(p, key, after);
        return OK;
    }
    if (p->plan->window == WINDOW_UNIT)
        return unit_advance(p, after, 0);
    return pipeline_watermark(p, p->time_max_us - p->options.lateness_us);
}

int pipeline_push(struct pipeline *p, const struct batch *b, struct position at, int64_t wall_us,
                  uint32_t *ret_rows)
{
    uint32_t passed = 0;
    struct record_key key = {.major = at.epoch, .minor = at.seq};
    if (p->plan->window == WINDOW_NONE && pipeline_skips(p, key)) {
        p->last = at;
        return OK;
    }
    int64_t newest = b->rows == 0                     ? INT64_MIN
                     : p->plan->window == WINDOW_UNIT ? unit_time(p, b)
                                                      : time_max(b);
    if (newest == INT64_MIN) {
        p->last = at;
        return OK;
    }
    int err = p->plan->input ? OK : schema_adopt(p, b->schema);
    if (!err && p->plan->input && b->schema->hash != p->plan->input->hash)
        err = ERR_TYPE;
    if (!err && p->has_output && p->output.rows >= OUTPUT_ROWS_MAX)
        err = pipeline_flush(p);
    p->rows.wall_us = wall_us;
    p->groups.wall_us = wall_us;
    for (uint32_t base = 0; base < b->rows && !err; base += VEC_ROWS) {
        uint32_t n = b->rows - base < VEC_ROWS ? b->rows - base : VEC_ROWS;
        machine_chunk(&p->rows, b, base, n);
        err = chunk_run(p, &passed);
    }
    if (err)
        return err;
    p->stats.in_rows += b->rows;
    if (ret_rows)
        *ret_rows = passed;
    return batch_finish(p, newest, at);
}

int pipeline_presence(struct pipeline *p, const struct batch *b, struct position at, bool ahead)
{
    int err = unit_presence(p, b, at, ahead);
    return err ? err : unit_advance(p, p->last, 0);
}

int pipeline_caught_up(struct pipeline *p)
{
    return unit_caught_up(p) ? unit_advance(p, p->last, 0) : OK;
}

int pipeline_watermark(struct pipeline *p, int64_t time_us)
{
    if (time_us <= p->watermark_us)
        return OK;
    p->watermark_us = time_us;
    return p->plan->window == WINDOW_TUMBLING ? tumbling_close(p, time_us) : OK;
}

struct pipeline_units pipeline_units(const struct pipeline *p)
{
    const struct unit_window *u = &p->unit;
    return (struct pipeline_units){u->answered + u->pending_count, u->pending_count,
                                   p->time_max_us};
}

int pipeline_units_release(struct pipeline *p, uint64_t seen)
{
    return unit_advance(p, p->last, seen);
}

/* ----------------------------------------------------------------------------------------- groups
 */

void pipeline_groups_out(struct pipeline *p, uint32_t n)
{
    struct machine *m = &p->groups;
    machine_chunk(m, NULL, 0, n);
    m->inputs = p->group_vecs;
    m->times = p->group_times;
    machine_run(m, 0, p->plan->having_steps);
    if (p->plan->having != PLAN_NONE)
        machine_where(m, (uint16_t)p->plan->having, p->selected);
    machine_run(m, p->plan->having_steps, p->plan->groups.step_count);
    machine_drop_failed(m, p->selected);
    pipeline_failed(p, m);
    struct output_rows r = {.rows = m->selected, .count = m->count};
    if (m->count == 0)
        return;
    for (uint32_t i = 0; i < p->plan->item_count; i++)
        output_vec(&p->output, i, &m->regs[p->plan->items[i].reg], r);
    output_times(&p->output, p->group_times, r);
    p->stats.out_rows += m->count;
}

/* ----------------------------------------------------------------------------------------- output
 */

bool pipeline_skips(const struct pipeline *p, struct record_key key)
{
    struct record_key s = p->options.skip;
    if (s.major == 0 && s.minor == 0)
        return false;
    return key.major < s.major || (key.major == s.major && key.minor <= s.minor);
}

void pipeline_gathered(struct pipeline *p, struct record_key key, struct position after)
{
    if (!p->gathered || position_compare(after, p->gathered_after) < 0)
        p->gathered_after = after;
    p->gathered = true;
    p->key = key;
}

int pipeline_flush(struct pipeline *p)
{
    struct batch *b = NULL;
    if (!p->has_output || p->output.rows == 0)
        return OK;
    struct position resume = pipeline_resume(p);
    int err = output_finish(&p->output, &b);
    p->gathered = false;
    if (!err)
        p->options.emit(p->options.ctx, b, p->key, resume);
    return err;
}

uint32_t pipeline_rows_waiting(const struct pipeline *p)
{
    return p->has_output ? p->output.rows : 0;
}

struct position pipeline_resume(const struct pipeline *p)
{
    struct position at = p->last;
    if (p->gathered && position_compare(p->gathered_after, at) < 0)
        at = p->gathered_after;
    if (p->plan->window == WINDOW_TUMBLING)
        return tumbling_resume(p, at);
    return p->plan->window == WINDOW_UNIT ? unit_resume(p, at) : at;
}

const struct pipeline_stats *pipeline_stats(const struct pipeline *p)
{
    return &p->stats;
}
