/* The stage: its sources, and their life. See source.h.
 *
 * HTTP sources live on a loop of the stage's own, since a large answer takes a while to decode and
 * no device shall wait for it; files on a thread, since reading a folder may block. What the two
 * share is what the node asks at its start: whether the lookups are loaded.
 */
#include "base/log.h"
#include "net/loop.h"
#include "source/source_priv.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

int source_stage_new(const struct source_options *options, struct source_stage **ret)
{
    struct source_stage *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;
    if (!s)
        return ERR_NOMEM;
    s->options = *options;
    (void)pthread_mutex_init(&s->mutex, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->loaded, &attr);
    (void)pthread_condattr_destroy(&attr);
    *ret = s;
    return OK;
}

/* ------------------------------------------------------------------------------------- configure
 */

static int files_thread(struct source_stage *s)
{
    return s->thread ? OK : exec_thread_new("files", 0, &s->thread);
}

int source_loop_make(struct source_stage *s)
{
    return s->loop ? OK : loop_new("source", &s->loop);
}

static int object_configure(struct source_stage *s, const struct config_object *object,
                            struct catalogue *catalogue, struct diag *diag)
{
    const char *kind = tree_text(tree_get(object->spec, "source"));
    if (strcmp(kind, "http") == 0) {
        int err = source_loop_make(s);
        return err ? err : http_source_make(s, object, catalogue, diag);
    }
    if (!kind[0] || strcmp(kind, "mqtt") == 0)
        return OK; /* the stream engine's */
    if (strcmp(kind, "file") != 0)
        return tree_error(diag, ERR_INVALID, tree_get(object->spec, "source"),
                          "source: %s: it is one of mqtt, http, file", kind);
    int err = files_thread(s);
    return err ? err : file_source_make(s, object, catalogue, diag);
}

int source_stage_configure(struct source_stage *s, const struct config *config,
                           struct catalogue *catalogue, struct diag *diag)
{
    size_t count = config_count(config, CONFIG_STREAM);
    if (count > SOURCES_MAX)
        return diag_set(diag, ERR_LIMIT, 0, 0, "a node has at most %d streams of sources",
                        SOURCES_MAX);
    s->http = calloc(count + 1, sizeof(struct http_source *));
    s->files = calloc(count + 1, sizeof(struct file_source *));
    int err = s->http && s->files ? OK : ERR_NOMEM;
    for (size_t i = 0; i < count && !err; i++)
        err = object_configure(s, config_object_at(config, CONFIG_STREAM, i), catalogue, diag);
    return err ? err : source_posts_configure(s, config, catalogue, diag);
}

struct stream *source_stage_output(const struct source_stage *s, uint32_t i,
                                   struct outlet **ret_producer, bool *ret_keyed)
{
    if (i >= s->http_count + s->file_count)
        return NULL;
    bool file = i >= s->http_count;
    struct source *base = file ? file_source_base(s->files[i - s->http_count]) : &s->http[i]->base;
    *ret_producer = &base->out;
    *ret_keyed = file;
    return base->stream;
}

/* ----------------------------------------------------------------------------------------- start
 */

struct opening {
    struct source_stage *stage;
    struct diag *diag;
};

static int http_open_run(void *ctx)
{
    struct opening *o = ctx;
    struct source_stage *s = o->stage;
    int err = http_client_new(s->loop, &s->client, o->diag);
    for (uint32_t i = 0; !err && i < s->http_count; i++)
        http_source_open(s->http[i]);
    return err;
}

static struct timespec time_after(struct timespec at, int64_t wait_us)
{
    at.tv_sec += (time_t)(wait_us / 1000000);
    at.tv_nsec += (long)(wait_us % 1000000) * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Answered; or it failed, and there is what it gave to an earlier run. */
static bool lookup_is_ready(const struct http_source *h)
{
    return h->loaded || (h->tried && h->has_table);
}

/* All waits begin now, so that ten lookups that are down cost one wait. */
static void lookups_wait(struct source_stage *s)
{
    struct timespec start;
    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    (void)pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < s->http_count; i++) {
        struct http_source *h = s->http[i];
        struct timespec until = time_after(start, h->options.wait_us);
        int rc = 0;
        while (h->lookup && !lookup_is_ready(h) && rc == 0)
            rc = pthread_cond_timedwait(&s->loaded, &s->mutex, &until);
        if (h->lookup && !h->loaded)
            log_warn("source", "the lookup %s has not answered: it gives %s until it does",
                     h->base.name, h->has_table ? "what it gave to the run before" : "null");
    }
    (void)pthread_mutex_unlock(&s->mutex);
}

int source_stage_start(struct source_stage *s, struct diag *diag)
{
    struct opening o = {s, diag};
    s->started = true;
    int err = s->loop ? exec_call(s->loop, http_open_run, &o) : OK;
    if (!err)
        err = source_posts_open(s);
    if (!err)
        lookups_wait(s);
    return err;
}

static int http_go_run(void *ctx)
{
    struct source_stage *s = ctx;
    s->going = true;
    for (uint32_t i = 0; i < s->http_count; i++)
        http_source_go(s->http[i]);
    return OK;
}

static int files_open_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->file_count; i++)
        file_source_open(s->files[i]);
    return OK;
}

void source_stage_go(struct source_stage *s)
{
    if (s->http_count)
        (void)exec_call(s->loop, http_go_run, s);
    if (s->file_count)
        (void)exec_call(s->thread, files_open_run, s);
    source_posts_go(s);
}

/* ------------------------------------------------------------------------------------------ stop
 */

static int http_close_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->http_count; i++)
        http_source_close(s->http[i]);
    source_posts_close(s);
    http_client_free(s->client);
    s->client = NULL;
    s->going = false;
    return OK;
}

static int files_close_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->file_count; i++)
        file_source_close(s->files[i]);
    return OK;
}

void source_stage_stop(struct source_stage *s)
{
    if (!s->started || s->stopped)
        return;
    s->stopped = true;
    source_posts_stop(s);
    if (s->loop)
        (void)exec_call(s->loop, http_close_run, s);
    if (s->file_count)
        (void)exec_call(s->thread, files_close_run, s);
}

static int http_outlets_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->http_count; i++)
        if (s->http[i]->base.has_outlet)
            outlet_fini(&s->http[i]->base.out);
    return OK;
}

static int file_outlets_run(void *ctx)
{
    struct source_stage *s = ctx;
    for (uint32_t i = 0; i < s->file_count; i++) {
        struct source *base = file_source_base(s->files[i]);
        if (base->has_outlet)
            outlet_fini(&base->out);
    }
    return OK;
}

void source_stage_free(struct source_stage *s)
{
    if (!s)
        return;
    source_stage_stop(s);
    if (s->loop)
        (void)exec_call(s->loop, http_outlets_run, s);
    if (s->thread)
        (void)exec_call(s->thread, file_outlets_run, s);
    source_posts_free(s);
    exec_thread_free(s->thread);
    loop_free(s->loop);
    for (uint32_t i = 0; i < s->http_count; i++)
        http_source_free(s->http[i]);
    for (uint32_t i = 0; i < s->file_count; i++)
        file_source_free(s->files[i]);
    free(s->http);
    free(s->files);
    arena_fini(&s->arena);
    (void)pthread_cond_destroy(&s->loaded);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

/* --------------------------------------------------------------------------------------- metrics
 */

bool source_stage_stats(const struct source_stage *s, uint32_t i, struct source_stats *ret)
{
    if (i >= s->http_count + s->file_count)
        return false;
    const struct lookup *lookup = i < s->http_count ? s->http[i]->lookup : NULL;
    const struct source *base =
        i < s->http_count ? &s->http[i]->base : file_source_base(s->files[i - s->http_count]);
    *ret = (struct source_stats){
        .name = base->name,
        .reads = atomic_load_explicit(&base->reads, memory_order_relaxed),
        .failures = atomic_load_explicit(&base->failures, memory_order_relaxed),
        .rows = atomic_load_explicit(&base->rows, memory_order_relaxed),
        .broken_rows = atomic_load_explicit(&base->broken, memory_order_relaxed),
        .is_lookup = lookup != NULL,
    };
    if (lookup) {
        ret->lookup_unloaded = atomic_load_explicit(&lookup->unloaded, memory_order_relaxed);
        ret->lookup_missed = atomic_load_explicit(&lookup->missed, memory_order_relaxed);
    }
    return true;
}
