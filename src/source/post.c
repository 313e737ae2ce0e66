/* The call http.send: a rule tells another system (an MES of a hold) over HTTP.
 *
 * What does not get through is tried again, a second later, then two, then four, until the call's
 * time is over; what the other side refuses for good (a status of 400 to 499) is not. One alarm a
 * rule names the URL and the reason, and goes with the next that gets through.
 */
#include "source/source_priv.h"

#include <stdlib.h>
#include <string.h>

struct http_post {
    struct list link;
    struct source_stage *stage;
    struct call *call;
    struct http_call *http;
    struct exec_timer timer;
    char *url;
    char *shown;
    char *alarm;
    char *token; /* a header line, NULL if there is none */
    struct buf body;
    uint32_t tries;
};

static const struct call_field post_request[] = {
    {"url", VALUE_STRING, 0, true, "where to"},
    {"shown", VALUE_STRING, 0, true, "how to call it in messages"},
    {"token", VALUE_STRING, 0, false, "sent as Authorization: Bearer"},
    {"body", VALUE_STRING, 0, true, "JSON"},
    {"alarm", VALUE_STRING, 0, true, "what to raise while it fails"},
    {NULL, VALUE_NULL, 0, false, NULL},
};

static const struct call_spec post_spec = {
    .name = "http.send",
    .doc = "Sends a JSON document to another system by HTTP POST.",
    .role = CALL_ENGINEER,
    .request = post_request,
};

/* ----------------------------------------------------------------------------------------- alarm
 */

static void alarm_set(struct source_stage *s, const char *name, const char *text)
{
    struct bytes key = bytes_of_text(name);
    bool raised = map_find(&s->post_alarms, key) != NULL;
    if (text && !raised && map_put(&s->post_alarms, key, s, NULL) == OK)
        s->options.hooks.alarm(s->options.hooks.ctx, name, text);
    if (!text && raised) {
        (void)map_remove(&s->post_alarms, key);
        s->options.hooks.alarm(s->options.hooks.ctx, name, NULL);
    }
}

/* ------------------------------------------------------------------------------------------ post
 */

static void post_free(struct http_post *p)
{
    list_remove(&p->link);
    exec_timer_stop(p->stage->loop, &p->timer);
    if (p->http)
        http_call_cancel(p->http);
    free(p->url);
    free(p->shown);
    free(p->alarm);
    free(p->token);
    buf_fini(&p->body);
    free(p);
}

/* Whether another try may help, and there is time for it. */
static bool post_again(struct http_post *p, const struct http_outcome *o)
{
    struct exec *loop = p->stage->loop;
    int64_t at_us = exec_now_us(loop) + ((int64_t)SOURCE_RETRY_US << (p->tries < 5 ? p->tries : 5));
    p->tries++;
    if ((o->status >= 400 && o->status < 500) || o->err == ERR_INVALID || o->err == ERR_AUTH)
        return false;
    return at_us + SOURCE_RETRY_US < call_deadline_us(p->call) &&
           exec_timer_start(loop, &p->timer, at_us) == OK;
}

static void on_outcome(void *ctx, const struct http_outcome *o)
{
    struct http_post *p = ctx;
    p->http = NULL;
    alarm_set(p->stage, p->alarm, o->err ? o->text : NULL);
    if (o->err && post_again(p, o))
        return;
    if (o->err)
        call_fail(p->call, o->err, "%s", o->text);
    else
        call_answer(p->call, NULL);
    post_free(p);
}

static void post_send(struct http_post *p)
{
    const char *headers[2] = {"Content-Type: application/json", p->token};
    struct http_ask ask = {
        .method = "POST",
        .url = p->url,
        .shown = p->shown,
        .headers = headers,
        .header_count = p->token ? 2 : 1,
        .body = buf_bytes(&p->body),
    };
    int err = http_client_send(p->stage->client, &ask, on_outcome, p, &p->http);
    if (!err)
        return;
    call_fail(p->call, err, "%s cannot be told: %s", p->shown, err_text(err));
    post_free(p);
}

static void timer_run(struct exec_timer *timer)
{
    post_send(CONTAINER_OF(timer, struct http_post, timer));
}

static char *text_arg(const struct call *c, const char *name)
{
    struct value v = call_arg(c, name);
    return bytes_to_text(v.type == VALUE_STRING ? v.bytes : bytes_of("", 0));
}

static int post_fill(struct http_post *p, const struct call *c)
{
    struct value token = call_arg(c, "token");
    struct buf line = {0};
    p->url = text_arg(c, "url");
    p->shown = text_arg(c, "shown");
    p->alarm = text_arg(c, "alarm");
    (void)buf_append_bytes(&p->body, call_arg(c, "body").bytes);
    if (token.type == VALUE_STRING && token.bytes.len) {
        (void)buf_append_text(&line, "Authorization: Bearer ");
        (void)buf_append_bytes(&line, token.bytes);
        p->token = bytes_to_text(buf_bytes(&line));
    }
    bool failed = buf_error(&line) || buf_error(&p->body) || (line.len && !p->token);
    buf_fini(&line);
    return failed || !p->url || !p->shown || !p->alarm ? ERR_NOMEM : OK;
}

static void post_run(void *owner, struct call *c)
{
    struct source_stage *s = owner;
    if (!s->client) {
        call_fail(c, ERR_CANCELLED, "the node stops");
        return;
    }
    struct http_post *p = calloc(1, sizeof *p);
    if (!p) {
        call_fail(c, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        return;
    }
    p->stage = s;
    p->call = c;
    list_push_back(&s->posts, &p->link);
    exec_timer_init(&p->timer, timer_run);
    int err = post_fill(p, c);
    if (err) {
        call_fail(c, err, "%s", err_text(err));
        post_free(p);
        return;
    }
    post_send(p);
}

/* ------------------------------------------------------------------------------------------ life
 */

static bool rules_post(const struct config *config)
{
    for (size_t i = 0; i < config_count(config, CONFIG_RULE); i++) {
        TREE_EACH(a, tree_get(config_object_at(config, CONFIG_RULE, i)->spec, "actions"))
        {
            if (tree_get(a, "http"))
                return true;
        }
    }
    return false;
}

int source_posts_configure(struct source_stage *s, const struct config *config,
                           struct catalogue *catalogue)
{
    s->has_posts = rules_post(config);
    if (!s->has_posts)
        return OK;
    int err = source_loop_make(s);
    return err ? err : catalogue_call_add(catalogue, &post_spec, s->loop, post_run, s);
}

void source_posts_close(struct source_stage *s)
{
    struct list *link;
    while ((link = list_pop_front(&s->posts)) != NULL) {
        struct http_post *p = CONTAINER_OF(link, struct http_post, link);
        call_fail(p->call, ERR_CANCELLED, "the node stops");
        post_free(p);
    }
    map_fini(&s->post_alarms);
}
