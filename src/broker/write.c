/* A PUBLISH that writes to a machine: PLACE/DEVICE/GROUP/set with {tag: value}.
 *
 * Each tag becomes a call of gateway.write, as REST and rules make it, so that there is one way to
 * a device, one check of roles and one audit. When all have answered, {tag: {ok} or {error, text}}
 * is published to the request's Response Topic with its Correlation Data. The PUBACK only says that
 * the request was understood as a message; what became of it is in the answer, or, without a
 * response topic, in the log.
 */
#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "broker/broker_priv.h"
#include "config/tree.h"
#include "model/message.h"
#include "model/topic.h"

#include <stdio.h>
#include <stdlib.h>

#define SET_SUFFIX       "/set"
#define ANSWER_EXPIRY_S  60u
#define WRITE_TIMEOUT_MS 10000
#define REQUEST_NAME     "write request"

/* One request; lives until every tag has its answer. */
struct write {
    struct broker *broker;
    struct arena arena;
    struct tree *answer;
    uint32_t pending;
    struct bytes group; /* "device.group" */
    struct bytes response_topic;
    struct bytes correlation;
    const char *user;
    enum call_role role;
};

struct write_tag {
    struct write *write;
    const char *name; /* as in the payload */
    const char *tag;  /* device.group.tag */
};

static bool ends_with(struct bytes topic, const char *suffix)
{
    size_t n = strlen(suffix);
    return topic.len > n && memcmp(topic.ptr + topic.len - n, suffix, n) == 0;
}

bool write_is_request(struct bytes topic)
{
    return ends_with(topic, SET_SUFFIX);
}

bool import_is_request(struct bytes topic)
{
    return ends_with(topic, IMPORT_SUFFIX);
}

/* ---------------------------------------------------------------------------------------- answer
 */

static void write_free(struct write *w)
{
    struct broker *b = w->broker;
    arena_fini(&w->arena);
    free(w);
    outstanding_remove(b);
}

static void answer_publish(struct write *w)
{
    struct buf text = {0};
    if (w->response_topic.len == 0 || w->broker->stopping)
        return;
    struct broker_message m = {
        .topic = w->response_topic,
        .qos = 1,
        .correlation = w->correlation,
        .expiry_s = ANSWER_EXPIRY_S,
    };
    int err = tree_print_json(w->answer, &text);
    if (!err && !(m.payload = payload_copy(buf_bytes(&text))))
        err = ERR_NOMEM;
    if (!err)
        err = broker_publish(w->broker, &m);
    if (err)
        log_warn("broker", "the answer to a write by %s cannot be published: %s", w->user,
                 err_text(err));
    payload_unref(m.payload);
    buf_fini(&text);
}

static void write_let_go(struct write *w)
{
    if (--w->pending > 0)
        return;
    answer_publish(w);
    write_free(w);
}

/* Puts name: {ok: true} or name: {error, text} into the answer. */
static void answer_add(struct write *w, const char *name, int err, const char *text)
{
    struct tree *one = tree_new(&w->arena, TREE_MAP, NULL);
    struct tree *what = tree_new(&w->arena, TREE_TEXT, err ? err_name(err) : "true");
    struct tree *words = tree_new(&w->arena, TREE_TEXT, text[0] ? text : err_text(err));
    if (err)
        log_warn("broker", "writing %.*s.%s for %s failed: %s", (int)w->group.len,
                 (const char *)w->group.ptr, name, w->user, text[0] ? text : err_text(err));
    if (!one || !what || !words)
        return;
    what->quoted = err != OK;
    words->quoted = true;
    if (tree_add(&w->arena, one, err ? "error" : "ok", what))
        return;
    if (err && tree_add(&w->arena, one, "text", words))
        return;
    (void)tree_add(&w->arena, w->answer, name, one);
}

static void tag_done(void *ctx, const struct call_result *result)
{
    struct write_tag *t = ctx;
    const char *text = result->diag ? result->diag->text : "";
    answer_add(t->write, t->name, result->err, text);
    write_let_go(t->write);
}

/* ----------------------------------------------------------------------------------------- calls
 */

static int request_batch(const struct call_port *port, const char *tag, const struct tree *value,
                         struct batch **ret)
{
    struct batch_builder *bb = NULL;
    struct buf json = {0};
    int32_t tag_col = schema_find(port->request, bytes_of_text("tag"));
    int32_t value_col = schema_find(port->request, bytes_of_text("value"));
    if (tag_col < 0 || value_col < 0)
        return ERR_UNSUPPORTED;
    int err = batch_builder_new(port->request, 1, NULL, &bb);
    if (err)
        return err;
    err = batch_builder_row(bb, 0);
    if (err >= 0)
        err = batch_set_bytes(bb, (uint32_t)tag_col, bytes_of_text(tag));
    if (!err)
        err = tree_print_json(value, &json);
    if (!err)
        err = batch_set_bytes(bb, (uint32_t)value_col, buf_bytes(&json));
    if (!err)
        err = batch_builder_finish(bb, ret);
    batch_builder_free(bb);
    buf_fini(&json);
    return err;
}

static int tag_send(struct write *w, const struct tree *value)
{
    struct broker *b = w->broker;
    struct write_tag *t = arena_alloc(&w->arena, sizeof *t);
    if (!t)
        return ERR_NOMEM;
    t->write = w;
    t->name = value->key;
    t->tag = arena_printf(&w->arena, "%.*s.%s", (int)w->group.len, (const char *)w->group.ptr,
                          value->key);
    struct batch *request = NULL;
    int err = t->tag ? request_batch(b->write_port, t->tag, value, &request) : ERR_NOMEM;
    if (err)
        return err;
    struct call_options options = {
        .exec = b->exec,
        .done = tag_done,
        .ctx = t,
        .timeout_ms = WRITE_TIMEOUT_MS,
        .origin = {.user = w->user, .channel = "mqtt", .role = w->role},
    };
    w->pending++;
    err = call_send(b->write_port, request, &options);
    if (err)
        w->pending--;
    return err;
}

/* --------------------------------------------------------------------------------------- request
 */

/* The last two levels before "/set" as "device.group". */
static int group_of_topic(struct arena *arena, struct bytes topic, struct bytes *ret)
{
    topic.len -= strlen(SET_SUFFIX);
    size_t group = topic.len;
    while (group > 0 && topic.ptr[group - 1] != '/')
        group--;
    size_t device = group ? group - 1 : 0;
    while (device > 0 && topic.ptr[device - 1] != '/')
        device--;
    if (group == 0 || group - 1 == device || group == topic.len)
        return ERR_INVALID;
    char *text = arena_printf(arena, "%.*s.%.*s", (int)(group - 1 - device), topic.ptr + device,
                              (int)(topic.len - group), topic.ptr + group);
    if (!text)
        return ERR_NOMEM;
    *ret = bytes_of_text(text);
    return OK;
}

static int request_read(struct write *w, const struct publication *pub, struct tree **ret,
                        struct diag *diag)
{
    struct bytes payload = pub->parts.content;
    int err = group_of_topic(&w->arena, pub->parts.topic, &w->group);
    if (err)
        return diag_set(diag, err, 0, 0, "the topic is not PLACE/DEVICE/GROUP/set");
    if (!str_is_utf8(payload))
        return diag_set(diag, ERR_SYNTAX, 0, 0, "the payload is not JSON");
    err = tree_parse_json(&w->arena, REQUEST_NAME, payload, ret, diag);
    if (err)
        return err;
    if ((*ret)->kind != TREE_MAP || (*ret)->count == 0)
        return diag_set(diag, ERR_TYPE, 0, 0, "the payload is not an object {tag: value}");
    if ((*ret)->count > BROKER_WRITE_TAGS_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "more than %d tags in one request",
                        BROKER_WRITE_TAGS_MAX);
    if (!w->broker->write_port)
        return diag_set(diag, ERR_UNSUPPORTED, 0, 0, "this node has no gateway to write with");
    return OK;
}

static struct bytes bytes_keep(struct arena *arena, struct bytes v)
{
    const char *copy = v.len ? arena_copy(arena, v) : NULL;
    return bytes_of(copy, copy ? v.len : 0);
}

static struct write *write_new(struct broker *b, const struct session *from,
                               const struct publication *pub)
{
    struct write *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->broker = b;
    w->pending = 1;
    w->role = from->role;
    w->user =
        arena_printf(&w->arena, "mqtt %s%s%s", from->id, from->user[0] ? " as " : "", from->user);
    w->answer = tree_new(&w->arena, TREE_MAP, NULL);
    w->response_topic = bytes_keep(&w->arena, pub->response_topic);
    w->correlation = bytes_keep(&w->arena, pub->correlation);
    if (!w->user || !w->answer) {
        arena_fini(&w->arena);
        free(w);
        return NULL;
    }
    outstanding_add(b);
    return w;
}

void write_request(struct broker *b, const struct session *from, const struct publication *pub)
{
    struct diag diag = {0};
    struct tree *request = NULL;
    struct write *w = write_new(b, from, pub);
    if (!w) {
        log_warn("broker", "a write by %s is lost: out of memory", from->id);
        return;
    }
    count_add(b, COUNT_WRITES, 1);
    int err = request_read(w, pub, &request, &diag);
    if (err) {
        answer_add(w, "*", err, diag.text);
        request = NULL;
    }
    for (const struct tree *value = request ? request->first : NULL; value; value = value->next) {
        int tag_err = tag_send(w, value);
        if (tag_err)
            answer_add(w, value->key, tag_err, "");
    }
    write_let_go(w);
}
