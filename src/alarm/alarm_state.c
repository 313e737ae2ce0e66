/* What the events say: alarms with their life, and the audit's entries. See alarm_priv.h.
 *
 * An alarm is active until it is cleared *and* acknowledged; raised again meanwhile, it is the same
 * alarm with a higher count. Then it moves to the ended ones, of which the newest are kept.
 */
#include "alarm/alarm_priv.h"
#include "base/str.h"

#include <stdlib.h>

static const char *const severity_names[ALARM_SEVERITY_COUNT] = {
    "info", "warning", "minor", "major", "critical",
};

static const char *const audit_state_names[] = {"pending", "done", "failed", "unknown"};

const char *alarm_severity_name(enum alarm_severity severity)
{
    return severity_names[severity];
}

bool alarm_severity_find(struct bytes name, enum alarm_severity *ret)
{
    for (int i = 0; i < ALARM_SEVERITY_COUNT; i++) {
        if (str_equal(name, severity_names[i])) {
            *ret = (enum alarm_severity)i;
            return true;
        }
    }
    return false;
}

const char *alarm_state_name(const struct alarm *a)
{
    if (a->cleared_us)
        return "cleared";
    return a->acked_us ? "acknowledged" : "raised";
}

const char *audit_state_name(const struct audit_entry *e)
{
    return audit_state_names[e->state];
}

/* A copy cut to `max` bytes at a character's border. */
static char *text_copy(struct bytes v, size_t max)
{
    size_t n = v.len < max ? v.len : max;
    while (n < v.len && n > 0 && (v.ptr[n] & 0xc0) == 0x80)
        n--;
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, v.ptr, n);
    copy[n] = 0;
    return copy;
}

static bool text_replace(char **text, struct bytes v, size_t max)
{
    char *copy = text_copy(v, max);
    if (!copy)
        return false;
    free(*text);
    *text = copy;
    return true;
}

/* ---------------------------------------------------------------------------------------- alarms
 */

/* name and source with a zero between; *ret_len 0 when too long. */
static size_t alarm_key(struct bytes name, struct bytes source,
                        uint8_t out[static ALARM_KEY_BYTES_MAX])
{
    if (name.len > ALARM_NAME_BYTES_MAX || source.len > ALARM_NAME_BYTES_MAX)
        return 0;
    if (name.len)
        memcpy(out, name.ptr, name.len);
    out[name.len] = 0;
    if (source.len)
        memcpy(out + name.len + 1, source.ptr, source.len);
    return name.len + 1 + source.len;
}

struct alarm *alarm_state_find(const struct alarm_state *s, struct bytes name, struct bytes source)
{
    uint8_t key[ALARM_KEY_BYTES_MAX];
    size_t len = alarm_key(name, source, key);
    return len ? map_find(&s->by_key, bytes_of(key, len)) : NULL;
}

static void alarm_delete(struct alarm *a)
{
    if (!a)
        return;
    free(a->name);
    free(a->source);
    free(a->text);
    free(a->acked_by);
    free(a);
}

static struct alarm *alarm_make(const struct event *e)
{
    struct alarm *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->id = e->id;
    a->raised_us = e->time_us;
    a->name = text_copy(e->name, ALARM_NAME_BYTES_MAX);
    a->source = text_copy(e->source, ALARM_NAME_BYTES_MAX);
    if (a->name && a->source)
        return a;
    alarm_delete(a);
    return NULL;
}

static int alarm_add(struct alarm_state *s, const struct event *e, struct alarm **ret)
{
    uint8_t key[ALARM_KEY_BYTES_MAX];
    size_t len = alarm_key(e->name, e->source, key);
    if (len == 0 || s->active_count >= ALARM_ACTIVE_MAX) {
        s->refused++;
        return ERR_LIMIT;
    }
    struct alarm *a = alarm_make(e);
    int err = a ? map_put(&s->by_key, bytes_of(key, len), a, NULL) : ERR_NOMEM;
    if (err) {
        alarm_delete(a);
        return err;
    }
    list_push_back(&s->active, &a->link);
    s->active_count++;
    *ret = a;
    return OK;
}

static int apply_raise(struct alarm_state *s, const struct event *e, struct alarm **ret)
{
    struct alarm *a = alarm_state_find(s, e->name, e->source);
    int err = a ? OK : alarm_add(s, e, &a);
    if (err)
        return err;
    if (a->cleared_us) { /* back again, and nobody had seen it: as new */
        a->cleared_us = 0;
        a->raised_us = e->time_us;
    }
    a->severity = (enum alarm_severity)e->severity;
    a->count++;
    *ret = a;
    return text_replace(&a->text, e->text, ALARM_TEXT_BYTES_MAX) ? OK : ERR_NOMEM;
}

static void alarm_end_if_over(struct alarm_state *s, struct alarm *a)
{
    if (!a->cleared_us || !a->acked_us)
        return;
    uint8_t key[ALARM_KEY_BYTES_MAX];
    size_t len = alarm_key(bytes_of_text(a->name), bytes_of_text(a->source), key);
    (void)map_remove(&s->by_key, bytes_of(key, len));
    list_remove(&a->link);
    s->active_count--;
    list_push_back(&s->ended, &a->link);
    if (++s->ended_count <= ALARM_ENDED_MAX)
        return;
    s->ended_count--;
    alarm_delete(CONTAINER_OF(list_pop_front(&s->ended), struct alarm, link));
}

static int apply_clear(struct alarm_state *s, const struct event *e, struct alarm **ret)
{
    struct alarm *a = alarm_state_find(s, e->name, e->source);
    if (!a || a->cleared_us)
        return OK;
    a->cleared_us = e->time_us;
    alarm_end_if_over(s, a);
    *ret = a;
    return OK;
}

static int apply_ack(struct alarm_state *s, const struct event *e, struct alarm **ret)
{
    LIST_FOR (link, &s->active) {
        struct alarm *a = CONTAINER_OF(link, struct alarm, link);
        if (a->id != e->id)
            continue;
        if (!text_replace(&a->acked_by, e->user, ALARM_NAME_BYTES_MAX))
            return ERR_NOMEM;
        a->acked_us = e->time_us;
        alarm_end_if_over(s, a);
        *ret = a;
        return OK;
    }
    return ERR_NOT_FOUND;
}

/* ----------------------------------------------------------------------------------------- audit
 */

static void entry_delete(struct audit_entry *e)
{
    free(e->user);
    free(e->channel);
    free(e->action);
    free(e->target);
    free(e->value);
    free(e->text);
    free(e);
}

static int apply_intent(struct alarm_state *s, const struct event *e)
{
    struct audit_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return ERR_NOMEM;
    entry->id = e->id;
    entry->time_us = e->time_us;
    bool made = text_replace(&entry->user, e->user, ALARM_NAME_BYTES_MAX) &&
                text_replace(&entry->channel, e->channel, ALARM_NAME_BYTES_MAX) &&
                text_replace(&entry->action, e->name, ALARM_NAME_BYTES_MAX) &&
                text_replace(&entry->target, e->source, ALARM_TEXT_BYTES_MAX) &&
                text_replace(&entry->value, e->text, ALARM_TEXT_BYTES_MAX);
    if (!made) {
        entry_delete(entry);
        return ERR_NOMEM;
    }
    list_push_back(&s->entries, &entry->link);
    if (++s->entry_count > AUDIT_ENTRIES_MAX) {
        s->entry_count--;
        entry_delete(CONTAINER_OF(list_pop_front(&s->entries), struct audit_entry, link));
    }
    return OK;
}

static int apply_result(struct alarm_state *s, const struct event *e)
{
    for (struct list *link = s->entries.prev; link != &s->entries; link = link->prev) {
        struct audit_entry *entry = CONTAINER_OF(link, struct audit_entry, link);
        if (entry->id != e->id)
            continue;
        entry->state = e->err ? AUDIT_FAILED : AUDIT_DONE;
        entry->err = e->err;
        entry->result_us = e->time_us;
        return text_replace(&entry->text, e->text, ALARM_TEXT_BYTES_MAX) ? OK : ERR_NOMEM;
    }
    return OK; /* its intent is too old to be listed */
}

/* ----------------------------------------------------------------------------------------- state
 */

void alarm_state_init(struct alarm_state *s)
{
    *s = (struct alarm_state){0};
    list_init(&s->active);
    list_init(&s->ended);
    list_init(&s->entries);
}

void alarm_state_fini(struct alarm_state *s)
{
    struct list *link;
    while ((link = list_pop_front(&s->active)) != NULL)
        alarm_delete(CONTAINER_OF(link, struct alarm, link));
    while ((link = list_pop_front(&s->ended)) != NULL)
        alarm_delete(CONTAINER_OF(link, struct alarm, link));
    while ((link = list_pop_front(&s->entries)) != NULL)
        entry_delete(CONTAINER_OF(link, struct audit_entry, link));
    map_fini(&s->by_key);
}

int alarm_state_apply(struct alarm_state *s, const struct event *e, struct alarm **ret_alarm)
{
    struct alarm *changed = NULL;
    int err = ERR_INVALID;
    switch (e->kind) {
    case EVENT_RAISE:
        err = apply_raise(s, e, &changed);
        break;
    case EVENT_CLEAR:
        err = apply_clear(s, e, &changed);
        break;
    case EVENT_ACK:
        err = apply_ack(s, e, &changed);
        break;
    case EVENT_INTENT:
        err = apply_intent(s, e);
        break;
    case EVENT_RESULT:
        err = apply_result(s, e);
        break;
    }
    if (ret_alarm)
        *ret_alarm = changed;
    return err;
}

void alarm_state_close_pending(struct alarm_state *s)
{
    LIST_FOR (link, &s->entries) {
        struct audit_entry *entry = CONTAINER_OF(link, struct audit_entry, link);
        if (entry->state == AUDIT_PENDING)
            entry->state = AUDIT_UNKNOWN;
    }
}
