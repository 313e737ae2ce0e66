/* The inside of a connection, shared by conn.c (reading, writing, closing) and connect.c (finding
 * the other side). */
#ifndef LOTLINE_NET_CONN_PRIV_H
#define LOTLINE_NET_CONN_PRIV_H

#include "net/conn.h"
#include "net/net_priv.h"
#include "net/out_queue.h"
#include "net/transport.h"

enum conn_state {
    CONN_CONNECTING,
    CONN_OPEN,
    CONN_FINISHING, /* sends what is queued, then waits for the other side's end */
    CONN_CLOSED,    /* the socket is closed, on_close is on its way */
};

struct connect; /* what is only needed until the connection is there */

struct conn {
    struct loop *loop;
    const struct transport *transport;
    const struct conn_handler *handler; /* NULL until conn_handler_set of an accepted one */
    void *ctx;
    int fd;
    int err;
    enum conn_state state;
    bool paused;
    bool blocked;  /* the kernel takes no more at present */
    bool above;    /* the queue has been above drain_bytes: on_drain is owed */
    bool finished; /* our direction was ended */
    struct watch *watch;
    struct out_queue out;
    struct loop_flush flush;
    struct loop_end end;
    struct exec_task start_task;
    struct exec_task closed_task;
    struct exec_timer timer; /* connecting, finishing */
    struct conn_options options;
    struct connect *connect;
    char *peer;
    char *local;
    char *error;
    void (*on_gone)(void *ctx);
    void *gone_ctx;
};

/* connect.c: begins the look-up or the first attempt; ends in conn_opened or conn_end. */
int connect_new(struct conn *c, const char *address);
void connect_start(struct conn *c);
void connect_on_events(struct conn *c);
void connect_on_timer(struct conn *c);

/* Lets go of it. True if a look-up still runs: then conn_gone_later is called when that has ended.
 */
bool connect_free(struct conn *c);

/* conn.c. The socket is connected. */
void conn_opened(struct conn *c);

/* Closes with an error and, if format is not NULL, the sentence for conn_error. */
void conn_end(struct conn *c, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void conn_on_events(void *ctx, int err, int events);

/* Sends on_close and frees, from the loop. */
void conn_gone_later(struct conn *c);

#endif
