/* Streaming answers: a bounded queue of messages between whoever writes and MHD's thread.
 *
 * MHD asks for bytes when the socket takes some. With nothing to give the connection goes to sleep,
 * and the next message wakes it. Sleeping and waking happen under the stream's mutex.
 */
#include "net/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define QUEUED_BYTES_MAX_DEFAULT (1u << 20)
#define BLOCK_BYTES              (16u * 1024) /* what MHD asks for at once */

struct stream_message {
    struct stream_message *next;
    uint64_t key;
    size_t len;
    size_t sent;
    uint8_t data[];
};

struct http_stream {
    atomic_uint refs;
    struct http_server *server;
    struct list link; /* under the server's mutex */
    pthread_mutex_t mutex;
    struct MHD_Connection *connection;
    struct stream_message *first;
    struct stream_message **end; /* where the next one is hung */
    size_t queued_bytes;
    uint64_t dropped;
    bool ending;    /* no more messages */
    bool closed;    /* the connection is gone */
    bool suspended; /* the connection sleeps */
    bool answering; /* the request was answered with this stream */
    struct http_stream_options options;
};

struct http_stream *http_stream_of(struct list *link)
{
    return CONTAINER_OF(link, struct http_stream, link);
}

struct http_stream *http_stream_ref(struct http_stream *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void http_stream_unref(struct http_stream *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct stream_message *m = s->first;
    while (m) {
        struct stream_message *next = m->next;
        free(m);
        m = next;
    }
    (void)pthread_mutex_destroy(&s->mutex);
    http_server_unref(s->server);
    free(s);
}

/* ------------------------------------------------------------------------------------ under its
 * lock
 */

static void stream_wake(struct http_stream *s)
{
    if (!s->suspended || s->closed)
        return;
    s->suspended = false;
    MHD_resume_connection(s->connection);
}

static void stream_remove(struct http_stream *s, struct stream_message **at)
{
    struct stream_message *m = *at;
    *at = m->next;
    if (s->end == &m->next)
        s->end = at;
    s->queued_bytes -= m->len - m->sent;
    free(m);
}

/* A message that waits under the same key is out of date; one that has begun to leave stays. */
static void stream_replace(struct http_stream *s, uint64_t key)
{
    for (struct stream_message **at = &s->first; *at; at = &(*at)->next) {
        if ((*at)->key == key && (*at)->sent == 0) {
            stream_remove(s, at);
            s->dropped++;
            return;
        }
    }
}

static void stream_make_room(struct http_stream *s, size_t len)
{
    struct stream_message **at = &s->first;
    while (*at && s->queued_bytes + len > s->options.queued_bytes_max) {
        if ((*at)->sent) {
            at = &(*at)->next;
            continue;
        }
        stream_remove(s, at);
        s->dropped++;
    }
}

static size_t stream_take(struct http_stream *s, char *out, size_t max)
{
    size_t taken = 0;
    while (taken < max && s->first) {
        struct stream_message *m = s->first;
        size_t n = m->len - m->sent < max - taken ? m->len - m->sent : max - taken;
        memcpy(out + taken, m->data + m->sent, n);
        taken += n;
        m->sent += n;
        s->queued_bytes -= n;
        if (m->sent == m->len)
            stream_remove(s, &s->first);
    }
    return taken;
}

/* ------------------------------------------------------------------------------------------- MHD's
 */

static ssize_t stream_on_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct http_stream *s = cls;
    (void)pos;
    (void)pthread_mutex_lock(&s->mutex);
    size_t taken = stream_take(s, out, max);
    bool end = taken == 0 && s->ending;
    if (taken == 0 && !end) {
        s->suspended = true;
        MHD_suspend_connection(s->connection);
    }
    (void)pthread_mutex_unlock(&s->mutex);
    return end ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)taken;
}

/* MHD is through with the response: it was sent whole, or the client has gone. */
static void stream_on_free(void *cls)
{
    struct http_stream *s = cls;
    (void)pthread_mutex_lock(&s->server->mutex);
    list_remove(&s->link);
    (void)pthread_mutex_unlock(&s->server->mutex);
    (void)pthread_mutex_lock(&s->mutex);
    s->closed = true;
    bool tell = s->answering && s->options.on_close;
    (void)pthread_mutex_unlock(&s->mutex);
    if (tell)
        s->options.on_close(s->options.ctx);
    http_stream_unref(s);
}

/* -------------------------------------------------------------------------------------- the
 * owner's
 */

static struct http_stream *stream_new(struct http_request *r,
                                      const struct http_stream_options *options)
{
    struct http_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 2); /* the owner's and MHD's */
    s->server = http_server_ref(r->server);
    s->connection = r->connection;
    s->options = *options;
    if (!s->options.queued_bytes_max)
        s->options.queued_bytes_max = QUEUED_BYTES_MAX_DEFAULT;
    s->end = &s->first;
    list_init(&s->link);
    (void)pthread_mutex_init(&s->mutex, NULL);
    return s;
}

int http_respond_stream(struct http_request *r, const struct http_answer *answer,
                        const struct http_stream_options *options, struct http_stream **ret)
{
    struct http_stream *s = stream_new(r, options);
    if (!s)
        return ERR_NOMEM;
    struct MHD_Response *response = MHD_create_response_from_callback(
        MHD_SIZE_UNKNOWN, BLOCK_BYTES, stream_on_read, s, stream_on_free);
    if (!response) {
        atomic_store_explicit(&s->refs, 1, memory_order_relaxed); /* MHD's is not taken */
        http_stream_unref(s);
        return ERR_NOMEM;
    }
    http_answer_headers(response, answer);
    (void)pthread_mutex_lock(&s->server->mutex);
    list_push_back(&s->server->streams, &s->link);
    if (s->server->stopping)
        s->ending = true;
    (void)pthread_mutex_unlock(&s->server->mutex);
    s->answering = true;
    *ret = s;
    /* Answered already by the stop of the server: the response is destroyed, which tells on_close.
     */
    (void)http_request_answer(r, answer->status, response);
    http_request_unref(r);
    return OK;
}

int http_stream_write(struct http_stream *s, uint64_t key, struct bytes v)
{
    if (v.len > s->options.queued_bytes_max)
        return ERR_LIMIT;
    struct stream_message *m = malloc(sizeof *m + v.len);
    if (!m)
        return ERR_NOMEM;
    *m = (struct stream_message){.key = key, .len = v.len};
    memcpy(m->data, v.ptr, v.len);
    (void)pthread_mutex_lock(&s->mutex);
    int err = s->ending || s->closed ? ERR_CLOSED : OK;
    if (!err) {
        if (key)
            stream_replace(s, key);
        stream_make_room(s, v.len);
        *s->end = m;
        s->end = &m->next;
        s->queued_bytes += v.len;
        stream_wake(s);
    }
    (void)pthread_mutex_unlock(&s->mutex);
    if (err)
        free(m);
    return err;
}

static void stream_end_locked(struct http_stream *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->ending = true;
    stream_wake(s);
    (void)pthread_mutex_unlock(&s->mutex);
}

void http_stream_abandon(struct http_stream *s)
{
    stream_end_locked(s);
}

void http_stream_end(struct http_stream *s)
{
    stream_end_locked(s);
}

size_t http_stream_queued_bytes(struct http_stream *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    size_t bytes = s->queued_bytes;
    (void)pthread_mutex_unlock(&s->mutex);
    return bytes;
}

uint64_t http_stream_dropped(struct http_stream *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    uint64_t dropped = s->dropped;
    (void)pthread_mutex_unlock(&s->mutex);
    return dropped;
}
