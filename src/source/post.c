/* The action http: a rule tells another system (an MES of a hold) over HTTP.
 *
 * The rule's rows are in the log like those of any durable rule, and this follows the log: what has
 * not been told lies there, over a restart and over an evening without an MES, and is told in its
 * order when somebody answers again. How far it is told is noted after each answer:
 *
 *     post/RULE/N    version, since when there is this action, told up to (epoch, seq), and of the
 *                    record behind it (epoch, seq) so many rows; N = which of the rule's actions
 *
 * A kill between the answer and the note sends that row again: each request has a header
 * Idempotency-Key made from the row's place in the log, the same both times.
 *
 * What is too old when it is made is not told (max_age): a past that is imported, or the replay of
 * a log, is not news to an MES, and a hold of last week's board would be of no use to it. The row's
 * time is compared with when the row came into the log, not with now, so that a hold which waits
 * for an MES that is down never becomes too old. For the same reason what was in the log before
 * there was this action is not told.
 *
 * The log is read on the thread `posts`, requests go out on the loop `source`, one at a time and
 * rule.
 */
#include "base/clock.h"
#include "base/log.h"
#include "codec/json_print.h"
#include "model/feed.h"
#include "source/source_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POST_VERSION        1
#define POST_TURN_RECORDS   256
#define POST_RETRY_US       1000000
#define POST_BACKOFF_US_MAX 30000000
#define POST_STORE_US       5000000 /* how often it is noted that there was nothing to tell */
#define POST_KEY_BYTES_MAX  512

/* --------------------------------------------------------------------------------------- options
 */

static const char *const rows_choices[] = {"single", "array", NULL};

static const struct option http_table[] = {
    {.name = "url",
     .type = OPTION_TEXT,
     .flags = OPTION_REQUIRED,
     .offset = offsetof(struct post_options, url),
     .doc = "where the rows are posted as JSON; http or https"},
    {.name = "token",
     .type = OPTION_TEXT,
     .flags = OPTION_SECRET,
     .default_text = "",
     .offset = offsetof(struct post_options, token),
     .doc = "sent as Authorization: Bearer; write ${env:X} or ${file:X}"},
    {.name = "rows",
     .type = OPTION_ENUM,
     .default_text = "single",
     .choices = rows_choices,
     .offset = offsetof(struct post_options, rows),
     .doc = "one request a row, or an array of those that come together"},
    {.name = "max_age",
     .type = OPTION_DURATION,
     .default_text = "10m",
     .max = INT64_C(31536000000000),
     .offset = offsetof(struct post_options, max_age_us),
     .doc = "rows whose time is longer ago when they are made are not posted (an imported past); "
            "0s: all are"},
    {.name = NULL},
};

/* ----------------------------------------------------------------------------------------- alarm
 */

static void alarm_set(struct post *p, const char *text)
{
    const struct source_hooks *hooks = &p->stage->options.hooks;
    char name[SOURCE_NAME_BYTES_MAX];
    if (p->settled && p->failed == (text != NULL))
        return;
    if (p->failed && !text)
        log_info("source", "%s takes again what rule %s tells it", p->shown, p->rule);
    p->failed = text != NULL;
    p->settled = true;
    if (p->number)
        (void)snprintf(name, sizeof name, "rule.%s.http.%" PRIu32, p->rule, p->number + 1);
    else
        (void)snprintf(name, sizeof name, "rule.%s.http", p->rule);
    hooks->alarm(hooks->ctx, name, text);
}

static void alarm_waits(struct post *p, const char *reason)
{
    char since[CLOCK_TEXT_BYTES_MAX];
    char text[SOURCE_ALARM_BYTES_MAX];
    int64_t now_us = exec_wall_us(p->stage->loop);
    (void)clock_format(now_us - now_us % 1000000, since);
    (void)snprintf(
        text, sizeof text,
        "%s is not told what rule %s has to say, since %s: %s. Nothing is lost: it waits "
        "in the log and is sent when it gets through",
        p->shown, p->rule, since, reason);
    alarm_set(p, text);
}

static void alarm_refused(struct post *p, const char *reason)
{
    char text[SOURCE_ALARM_BYTES_MAX];
    (void)snprintf(text, sizeof text,
                   "%s refuses what rule %s tells it: %s. That row is not sent again: %.*s",
                   p->shown, p->rule, reason, (int)(p->body.len < 300 ? p->body.len : 300),
                   (const char *)p->body.ptr);
    if (p->failed)
        log_warn("source", "%s", text);
    alarm_set(p, text);
}

/* --------------------------------------------------------------------------- send, on the loop */

/* The request itself is wrong; anything else somebody may mend. */
static bool status_is_final(long status)
{
    static const long final[] = {400, 406, 409, 410, 411, 413, 414, 415, 422};
    for (size_t i = 0; i < sizeof final / sizeof final[0]; i++)
        if (status == final[i])
            return true;
    return false;
}

static void send_later(struct post *p)
{
    int64_t wait_us = POST_RETRY_US;
    for (uint32_t i = 0; i < p->tries && wait_us < POST_BACKOFF_US_MAX; i++)
        wait_us *= 2;
    p->tries++;
    wait_us = wait_us < POST_BACKOFF_US_MAX ? wait_us : POST_BACKOFF_US_MAX;
    (void)exec_timer_start(p->stage->loop, &p->timer, exec_now_us(p->stage->loop) + wait_us);
}

static void on_outcome(void *ctx, const struct http_outcome *o)
{
    struct post *p = ctx;
    p->http = NULL;
    p->refused = o->err && status_is_final(o->status);
    if (o->err && !p->refused) {
        alarm_waits(p, o->text);
        send_later(p);
        return;
    }
    if (p->refused)
        alarm_refused(p, o->text);
    else
        alarm_set(p, NULL);
    p->tries = 0;
    (void)exec_post(p->stage->posts_thread, &p->told_task);
}

static void post_send(struct post *p)
{
    if (!p->stage->client)
        return; /* the node stops */
    const char *headers[] = {"Content-Type: application/json", p->key, p->token};
    struct http_ask ask = {
        .method = "POST",
        .url = p->options.url,
        .shown = p->shown,
        .headers = headers,
        .header_count = p->token ? 3 : 2,
        .body = buf_bytes(&p->body),
    };
    int err = http_client_send(p->stage->client, &ask, on_outcome, p, &p->http);
    if (!err)
        return;
    alarm_waits(p, err_text(err));
    send_later(p);
}

static void send_run(struct exec_task *task)
{
    post_send(CONTAINER_OF(task, struct post, send_task));
}

static void timer_run(struct exec_timer *timer)
{
    post_send(CONTAINER_OF(timer, struct post, timer));
}

/* --------------------------------------------------------------------- the mark, on the thread */

static struct bytes mark_key(const struct post *p, struct buf *b)
{
    (void)buf_printf(b, "post/%s/%" PRIu32, p->rule, p->number);
    return buf_bytes(b);
}

static int mark_store(struct post *p)
{
    const struct source_hooks *hooks = &p->stage->options.hooks;
    struct buf key = {0};
    struct buf v = {0};
    (void)buf_append_u8(&v, POST_VERSION);
    (void)buf_append_le64(&v, (uint64_t)p->born_us);
    (void)buf_append_le64(&v, p->at.epoch);
    (void)buf_append_le64(&v, p->at.seq);
    (void)buf_append_le64(&v, p->part.epoch);
    (void)buf_append_le64(&v, p->part.seq);
    (void)buf_append_le32(&v, p->row);
    int err = buf_error(&v);
    if (!err)
        err = hooks->state_put(hooks->ctx, mark_key(p, &key), buf_bytes(&v));
    if (err)
        log_warn("source", "how far %s is told cannot be noted: %s; a restart tells it again",
                 p->shown, err_text(err));
    else
        p->feed.done(p->feed.ctx, p->at);
    p->stored_us = exec_now_us(p->stage->posts_thread);
    p->dirty = false;
    buf_fini(&key);
    buf_fini(&v);
    return err;
}

static void mark_load(struct post *p)
{
    const struct source_hooks *hooks = &p->stage->options.hooks;
    struct buf key = {0};
    struct buf value = {0};
    p->born_us = clock_wall_us();
    if (hooks->state_get(hooks->ctx, mark_key(p, &key), &value) == OK) {
        struct reader in = reader_of(buf_bytes(&value));
        uint8_t version = reader_u8(&in);
        int64_t born_us = (int64_t)reader_le64(&in);
        struct position at = {reader_le64(&in), 0};
        at.seq = reader_le64(&in);
        struct position part = {reader_le64(&in), 0};
        part.seq = reader_le64(&in);
        uint32_t row = reader_le32(&in);
        if (!in.failed && version == POST_VERSION) {
            p->born_us = born_us;
            p->at = at;
            p->part = part;
            p->row = row;
        }
    }
    buf_fini(&key);
    buf_fini(&value);
}

/* --------------------------------------------------------------------- the log, on the thread */

static bool post_wants(void *ctx, const struct feed_record *r)
{
    const struct post *p = ctx;
    return bytes_equal(r->stream, bytes_of_text(p->rule)) &&
           bytes_equal(r->node, bytes_of_text(p->node));
}

static int post_take(void *ctx, const struct feed_record *r, struct batch *batch)
{
    struct post *p = ctx;
    if (position_compare(r->at, p->part) != 0)
        p->row = 0;
    p->part = r->at;
    p->known_us = r->time_us;
    p->batch = batch;
    return OK;
}

static int record_next(struct post *p)
{
    const struct feed_consumer consumer = {
        .name = "source",
        .missing = "are not told",
        .ctx = p,
        .wants = post_wants,
        .take = post_take,
        .records = &p->records,
        .lost = &p->lost,
    };
    struct position at = p->at;
    int err = feed_read(&p->feed, &consumer, &at);
    if (err || p->batch)
        return err;
    p->at = at;
    p->dirty = true;
    return OK;
}

static bool row_is_news(const struct post *p, uint32_t row)
{
    if (p->known_us < p->born_us)
        return false;
    return p->options.max_age_us == 0 ||
           batch_times(p->batch)[row] >= p->known_us - p->options.max_age_us;
}

static void batch_end(struct post *p)
{
    batch_unref(p->batch);
    p->batch = NULL;
    p->at = p->part;
    p->dirty = true;
}

/* The same row has the same key, whoever asks. */
static void key_make(struct post *p)
{
    (void)snprintf(p->key, sizeof p->key,
                   "Idempotency-Key: %s/%s/%" PRIu32 "/%" PRIu64 "-%" PRIu64 "-%" PRIu32, p->node,
                   p->rule, p->number, p->part.epoch, p->part.seq, p->row);
}

static int row_next(struct post *p)
{
    static const struct json_print_options options = {.skip_null = true};
    while (p->row < p->batch->rows && !row_is_news(p, p->row)) {
        p->row++;
        atomic_fetch_add_explicit(&p->old, 1, memory_order_relaxed);
    }
    if (p->row >= p->batch->rows) {
        batch_end(p);
        return OK;
    }
    buf_reset(&p->body);
    if (p->options.rows == 1)
        (void)json_print_rows(p->batch, &options, &p->body);
    else
        (void)json_print_row(p->batch, p->row, &options, &p->body);
    if (buf_error(&p->body))
        return ERR_NOMEM;
    key_make(p);
    p->busy = true;
    (void)exec_post(p->stage->loop, &p->send_task);
    return OK;
}

/* What was read is read again, from what is known to be told. */
static void post_recover(struct post *p)
{
    batch_unref(p->batch);
    p->batch = NULL;
    p->seek = true;
}

static void post_turn(struct post *p)
{
    struct exec *thread = p->stage->posts_thread;
    int err = OK;
    if (!p->running || p->busy)
        return;
    if (p->seek) {
        err = p->feed.seek(p->feed.ctx, p->at);
        p->seek = err != OK;
    }
    for (int i = 0; !err && !p->busy && i < POST_TURN_RECORDS; i++)
        err = p->batch ? row_next(p) : record_next(p);
    if (err == ERR_AGAIN) {
        if (p->dirty && exec_now_us(thread) - p->stored_us >= POST_STORE_US)
            (void)mark_store(p);
        return;
    }
    if (err) {
        log_warn("source", "what rule %s has to tell cannot be read: %s; it is tried again",
                 p->rule, err_text(err));
        post_recover(p);
        (void)exec_timer_start(thread, &p->again, exec_now_us(thread) + POST_RETRY_US);
    } else if (!p->busy) {
        (void)exec_post(thread, &p->turn_task);
    }
}

static void turn_run(struct exec_task *task)
{
    post_turn(CONTAINER_OF(task, struct post, turn_task));
}

static void again_run(struct exec_timer *timer)
{
    post_turn(CONTAINER_OF(timer, struct post, again));
}

static void told_run(struct exec_task *task)
{
    struct post *p = CONTAINER_OF(task, struct post, told_task);
    if (!p->batch)
        return;
    uint32_t rows = p->options.rows == 1 ? p->batch->rows - p->row : 1;
    p->busy = false;
    p->row += rows;
    atomic_fetch_add_explicit(p->refused ? &p->refusals : &p->told, rows, memory_order_relaxed);
    if (p->row >= p->batch->rows)
        batch_end(p);
    (void)mark_store(p);
    post_turn(p);
}

/* ------------------------------------------------------------------------------------------ life
 */

static int post_bind(struct post *p, const struct tree *spec, struct diag *diag)
{
    struct arena *arena = &p->stage->arena;
    int err = option_bind(http_table, spec, arena, &p->options, diag);
    if (err)
        return err;
    p->shown = tree_text(tree_get(spec, "url")); /* as written: without its secrets */
    if (strncmp(p->options.url, "http://", 7) != 0 && strncmp(p->options.url, "https://", 8) != 0)
        return tree_error(diag, ERR_INVALID, tree_get(spec, "url"),
                          "%s is no URL: it begins with http:// or https://", p->shown);
    if (!p->options.token[0])
        return OK;
    p->token = arena_printf(arena, "Authorization: Bearer %s", p->options.token);
    if (p->token && strpbrk(p->token, "\r\n"))
        return tree_error(diag, ERR_INVALID, tree_get(spec, "token"),
                          "a token cannot hold a line end");
    return p->token ? OK : ERR_NOMEM;
}

static int post_add(struct source_stage *s, const struct config_object *rule, uint32_t number,
                    const struct tree *spec, struct diag *diag)
{
    struct post *p = calloc(1, sizeof *p);
    if (!p)
        return ERR_NOMEM;
    s->posts[s->post_count++] = p;
    p->stage = s;
    p->rule = rule->name;
    p->number = number;
    exec_task_init(&p->turn_task, turn_run);
    exec_task_init(&p->send_task, send_run);
    exec_task_init(&p->told_task, told_run);
    exec_timer_init(&p->timer, timer_run);
    exec_timer_init(&p->again, again_run);
    return post_bind(p, spec, diag);
}

static int rule_posts(struct source_stage *s, const struct config_object *rule, struct diag *diag)
{
    uint32_t number = 0;
    int err = OK;
    TREE_EACH(a, tree_get(rule->spec, "actions"))
    {
        const struct tree *spec = tree_get(a, "http");
        if (spec && !err && s->post_count == SOURCE_POSTS_MAX)
            err = tree_error(diag, ERR_LIMIT, spec, "a node has at most %d actions http",
                             SOURCE_POSTS_MAX);
        if (spec && !err)
            err = post_add(s, rule, number++, spec, diag);
    }
    return err;
}

int source_posts_configure(struct source_stage *s, const struct config *config,
                           const struct catalogue *catalogue, struct diag *diag)
{
    int err = OK;
    for (size_t i = 0; i < config_count(config, CONFIG_RULE) && !err; i++)
        err = rule_posts(s, config_object_at(config, CONFIG_RULE, i), diag);
    if (err || s->post_count == 0)
        return err;
    const char *node = arena_text(&s->arena, catalogue->node);
    for (uint32_t i = 0; i < s->post_count; i++)
        s->posts[i]->node = node;
    err = node ? source_loop_make(s) : ERR_NOMEM;
    return err ? err : exec_thread_new("posts", 0, &s->posts_thread);
}

int source_posts_open(struct source_stage *s)
{
    const struct source_hooks *hooks = &s->options.hooks;
    int err = OK;
    for (uint32_t i = 0; i < s->post_count && !err; i++) {
        struct post *p = s->posts[i];
        char name[POST_KEY_BYTES_MAX];
        (void)snprintf(name, sizeof name, "post.%s.%" PRIu32, p->rule, p->number);
        err = hooks->feed_open(hooks->ctx, name, &p->feed);
        p->opened = err == OK;
    }
    return err;
}

static int posts_go_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->post_count; i++) {
        struct post *p = s->posts[i];
        mark_load(p);
        p->running = true;
        p->seek = true;
        p->dirty = true;
        (void)mark_store(p);
        p->feed.watch(p->feed.ctx, s->posts_thread, &p->turn_task);
        (void)exec_post(s->posts_thread, &p->turn_task);
    }
    return OK;
}

void source_posts_go(struct source_stage *s)
{
    if (s->post_count)
        (void)exec_call(s->posts_thread, posts_go_run, s);
}

static int posts_stop_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->post_count; i++) {
        struct post *p = s->posts[i];
        exec_timer_stop(s->posts_thread, &p->again);
        if (p->running) {
            p->feed.watch(p->feed.ctx, s->posts_thread, NULL);
            if (p->dirty)
                (void)mark_store(p);
        }
        p->running = false;
        batch_unref(p->batch);
        p->batch = NULL;
    }
    return OK;
}

void source_posts_stop(struct source_stage *s)
{
    if (s->posts_thread)
        (void)exec_call(s->posts_thread, posts_stop_run, s);
}

void source_posts_close(struct source_stage *s)
{
    for (uint32_t i = 0; i < s->post_count; i++) {
        struct post *p = s->posts[i];
        exec_timer_stop(s->loop, &p->timer);
        if (p->http)
            http_call_cancel(p->http);
        p->http = NULL;
    }
}

void source_posts_free(struct source_stage *s)
{
    exec_thread_free(s->posts_thread);
    for (uint32_t i = 0; i < s->post_count; i++) {
        buf_fini(&s->posts[i]->body);
        free(s->posts[i]);
    }
}

bool source_stage_post_stats(const struct source_stage *s, uint32_t i,
                             struct source_post_stats *ret)
{
    if (i >= s->post_count)
        return false;
    const struct post *p = s->posts[i];
    *ret = (struct source_post_stats){
        .rule = p->rule,
        .told = atomic_load_explicit(&p->told, memory_order_relaxed),
        .refused = atomic_load_explicit(&p->refusals, memory_order_relaxed),
        .old = atomic_load_explicit(&p->old, memory_order_relaxed),
    };
    return true;
}
