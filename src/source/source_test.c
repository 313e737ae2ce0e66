/* The file source against a folder, with keyed state in memory: what a kill at the worst moment
 * leaves, and what comes of it. */
#include "source/source.h"

#include "base/err.h"
#include "tests/support/check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Keyed state and alarms that outlive a stage. */
struct memory {
    pthread_mutex_t mutex;
    struct map state; /* key → struct buf */
    int alarms;       /* raised now */
    char text[512];
};

static void memory_alarm(void *ctx, const char *name, const char *text)
{
    struct memory *m = ctx;
    (void)name;
    (void)pthread_mutex_lock(&m->mutex);
    if (text)
        m->alarms++;
    else if (m->alarms)
        m->alarms--; /* what is not raised is taken back too, after a start */
    if (text)
        (void)snprintf(m->text, sizeof m->text, "%s", text);
    (void)pthread_mutex_unlock(&m->mutex);
}

static int memory_get(void *ctx, struct bytes key, struct buf *ret)
{
    const struct buf *v = map_find(&((struct memory *)ctx)->state, key);
    return v ? buf_append_bytes(ret, buf_bytes(v)) : ERR_NOT_FOUND;
}

static void value_free(struct buf *v)
{
    if (v)
        buf_fini(v);
    free(v);
}

static int memory_put(void *ctx, struct bytes key, struct bytes value)
{
    struct buf *v = calloc(1, sizeof *v);
    void *old = NULL;
    if (!v || buf_append_bytes(v, value) || map_put(&((struct memory *)ctx)->state, key, v, &old)) {
        value_free(v);
        return ERR_NOMEM;
    }
    value_free(old);
    return OK;
}

static int memory_remove(void *ctx, struct bytes key)
{
    value_free(map_remove(&((struct memory *)ctx)->state, key));
    return OK;
}

static int memory_each(void *ctx, struct bytes prefix,
                       int (*fn)(void *ctx, struct bytes key, struct bytes value), void *fn_ctx)
{
    const struct map *state = &((struct memory *)ctx)->state;
    int err = OK;
    for (size_t i = 0; i < state->count && !err; i++) {
        const struct map_entry *e = &state->entries[i];
        if (e->len >= prefix.len && memcmp(e->key, prefix.ptr, prefix.len) == 0)
            err = fn(fn_ctx, bytes_of(e->key, e->len), buf_bytes(e->value));
    }
    return err;
}

static void memory_fini(struct memory *m)
{
    for (size_t i = 0; i < m->state.count; i++)
        value_free(m->state.entries[i].value);
    map_fini(&m->state);
}

/* A stage with one folder, and somebody who takes its batches. */
struct world {
    struct memory *memory;
    struct config *config;
    struct catalogue catalogue;
    struct exec *taker;
    struct source_stage *stage;
    struct flow *flow;
};

static void on_ready(void *ctx, struct flow *f)
{
    (void)ctx;
    (void)f;
}

static void world_open(struct world *w, struct memory *m, const char *folder)
{
    char text[512];
    struct diag diag = {0};
    struct outlet *producer = NULL;
    bool keyed = false;
    *w = (struct world){.memory = m, .taker = exec_fake_new(0, 0)};
    struct source_options o = {.hooks = {.ctx = m,
                                         .alarm = memory_alarm,
                                         .state_get = memory_get,
                                         .state_put = memory_put,
                                         .state_remove = memory_remove,
                                         .state_each = memory_each}};
    struct flow_options f = {
        .name = "taker", .consumer = w->taker, .on_ready = on_ready, .on_closed = on_ready};
    (void)snprintf(text, sizeof text,
                   "name: n\nstreams:\n  - {name: s, source: file, folder: \"%s\", settle: 0s, "
                   "interval: 10ms, columns: {id: string, n: int64}}\n",
                   folder);
    CHECK_OK(config_parse("t.yaml", bytes_of_text(text), &w->config, &diag));
    CHECK_OK(catalogue_init(&w->catalogue, "n"));
    CHECK_OK(source_stage_new(&o, &w->stage));
    CHECK_OK(source_stage_configure(w->stage, w->config, &w->catalogue, &diag));
    CHECK(source_stage_output(w->stage, 0, &producer, &keyed) != NULL && keyed);
    CHECK_OK(flow_new(&f, &w->flow));
    outlet_attach(producer, w->flow);
    CHECK_OK(source_stage_start(w->stage, &diag));
    source_stage_go(w->stage);
}

static void world_close(struct world *w)
{
    source_stage_stop(w->stage);
    flow_close(w->flow);
    source_stage_free(w->stage);
    (void)exec_fake_run(w->taker);
    flow_unref(w->flow);
    catalogue_fini(&w->catalogue);
    config_free(w->config);
    exec_fake_free(w->taker);
}

static bool take(struct world *w, struct flow_item *ret)
{
    (void)exec_fake_run(w->taker);
    return flow_take(w->flow, ret);
}

/* "a1 b2": its rows. */
static const char *shown(const struct batch *b, char out[static 256])
{
    struct column id = batch_column(b, 0);
    struct column n = batch_column(b, 1);
    size_t at = 0;
    for (uint32_t i = 0; i < b->rows; i++) {
        struct bytes v = column_bytes(&id, i);
        at += (size_t)snprintf(out + at, 256 - at, "%s%.*s%lld", i ? " " : "", (int)v.len,
                               (const char *)v.ptr, (long long)((const int64_t *)n.data)[i]);
    }
    return out;
}

static void file_append(const char *folder, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *out = fopen(path, "ae");
    CHECK(out != NULL && fputs(text, out) >= 0 && fclose(out) == 0);
}

TEST(what_was_on_its_way_comes_again_under_its_key)
{
    struct memory m = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct world w;
    struct flow_item item;
    char out[256];
    const char *folder = check_folder();
    world_open(&w, &m, folder);
    file_append(folder, "x.csv", "n,id\n1,a\n2,b\n3");
    CHECK_SOON(take(&w, &item), 10000);
    struct position key = item.at;
    CHECK_STR(shown(item.batch, out), "a1 b2");
    /* Taken, and perhaps stored, but nobody said so: the node ends here. */
    flow_finish(&item, item.at, ERR_CANCELLED);
    world_close(&w);

    file_append(folder, "x.csv", ",c\n");
    world_open(&w, &m, folder);
    CHECK_SOON(take(&w, &item), 10000);
    CHECK_EQ(position_compare(item.at, key), 0);
    CHECK_STR(shown(item.batch, out), "a1 b2");
    flow_finish(&item, item.at, OK);
    CHECK_SOON(take(&w, &item), 10000);
    CHECK(position_compare(item.at, key) > 0);
    CHECK_STR(shown(item.batch, out), "c3");
    key = item.at;
    flow_finish(&item, item.at, OK);
    file_append(folder, "x.csv", "4,d\n");
    CHECK_SOON(take(&w, &item), 10000);
    CHECK_STR(shown(item.batch, out), "d4");
    CHECK(position_compare(item.at, key) > 0);
    flow_finish(&item, item.at, OK);
    world_close(&w);
    memory_fini(&m);
}

static int alarms_now(struct memory *m)
{
    (void)pthread_mutex_lock(&m->mutex);
    int now = m->alarms;
    (void)pthread_mutex_unlock(&m->mutex);
    return now;
}

TEST(a_broken_line_is_told_until_its_file_is_gone)
{
    struct memory m = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct world w;
    struct flow_item item;
    struct source_stats stats;
    char out[256];
    char path[512];
    const char *folder = check_folder();
    world_open(&w, &m, folder);
    file_append(folder, "x.csv", "id,n,more\na,1,\nb,x,\nc,3\nd,4,\"\n\"\n");
    CHECK_SOON(take(&w, &item), 10000);
    CHECK_STR(shown(item.batch, out), "a1 d4");
    flow_finish(&item, item.at, OK);
    CHECK_EQ(alarms_now(&m), 1);
    CHECK(strstr(m.text,
                 "x.csv, line 3: n: 'x' is no int64; the line was left out, as were 1 more of "
                 "this file") != NULL);
    CHECK_SOON(source_stage_stats(w.stage, 0, &stats) && stats.rows == 2, 10000);
    CHECK_EQ(stats.broken_rows, 2);
    (void)snprintf(path, sizeof path, "%s/x.csv", folder);
    CHECK_EQ(unlink(path), 0);
    CHECK_SOON(alarms_now(&m) == 0, 10000);
    world_close(&w);
    memory_fini(&m);
}
