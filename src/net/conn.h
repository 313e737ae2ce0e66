/* A connection: bytes in, bytes out, over TCP or a unix socket (TLS will be a third transport).
 *
 * A conn belongs to one loop and every function here is called on that loop's thread. It keeps no
 * reading state: on_data gets a view into the loop's read buffer, and what a protocol has not
 * understood yet it keeps itself. Writing queues: small pieces are copied and packed, payloads are
 * referenced, and all of one loop turn leave in one writev.
 *
 * Life: conn_open → on_open → (on_data, on_drain)* → on_close. on_close comes exactly once and
 * always, also when the connection never opened, and never from inside a function called by its
 * owner; afterwards the conn is gone. An accepted conn begins at conn_handler_set.
 *
 * Back-pressure: conn_queued_bytes tells how much waits; who writes a lot stops above a mark of its
 * own and goes on at on_drain; conn_pause stops reading, so that the other side is slowed by TCP.
 */
#ifndef LOTLINE_NET_CONN_H
#define LOTLINE_NET_CONN_H

#include "base/bytes.h"
#include "base/exec.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct conn;

struct conn_handler {
    void (*on_open)(void *ctx, struct conn *c);
    /* data is followed by PAYLOAD_PAD readable bytes and lives during the call. */
    void (*on_data)(void *ctx, struct conn *c, struct bytes data);
    /* The queue was above drain_bytes and is at or below it again. May be NULL. */
    void (*on_drain)(void *ctx, struct conn *c);
    /* err: 0 = closed by conn_close or conn_finish; ERR_CLOSED = by the other side (also by reset);
     * ERR_REFUSED, ERR_TIMEOUT, ERR_UNREACHABLE, ERR_NOT_FOUND (no such host, no such socket file),
     * ERR_DENIED, ERR_IO; ERR_CANCELLED = the loop ends. conn_error(c) says it in a sentence. */
    void (*on_close)(void *ctx, struct conn *c, int err);
};

/* Zero-initialised = all defaults. */
struct conn_options {
    int64_t connect_timeout_ms; /* name look-up and connecting together; 0 = 10 s */
    int64_t keepalive_ms;       /* TCP keep-alive after so much silence; 0 = 30 s, -1 = none */
    int64_t write_timeout_ms;   /* TCP: sent data not acknowledged so long: gone; 0 = 20 s */
    size_t queued_bytes_max;    /* conn_write gives ERR_LIMIT above it; 0 = 64 MiB */
    size_t drain_bytes;         /* mark for on_drain; 0 = 64 KiB */
};

/* Begins to connect to "host:port", "[v6]:port" or "unix:PATH". handler must live as long as the
 * conn (it is static data as a rule). On error (ERR_SYNTAX, ERR_NOMEM) nothing is called; every
 * later failure comes by on_close. */
int conn_open(struct exec *e, const char *address, const struct conn_options *options,
              const struct conn_handler *handler, void *ctx, struct conn **ret);

/* Sets who is told from now on. For an accepted conn this starts the reading. */
void conn_handler_set(struct conn *c, const struct conn_handler *handler, void *ctx);

/* Queues a copy of v. ERR_CLOSED when the conn is closing, ERR_LIMIT above queued_bytes_max
 * (nothing of v is queued), ERR_NOMEM. Before on_open it queues for later. */
int conn_write(struct conn *c, struct bytes v);

/* Queues a payload without copying it (takes a reference of its own). Errors as conn_write. */
int conn_write_payload(struct conn *c, struct payload *p);

/* Bytes queued and not yet handed to the kernel. */
size_t conn_queued_bytes(const struct conn *c);

/* Stops and resumes reading. Counts nothing: one resume undoes any number of pauses. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Closes: hands to the kernel what goes without waiting, drops the rest. Idempotent; on_close comes
 * later with err 0. on_data and on_drain do not come any more. */
void conn_close(struct conn *c);

/* Closes after the queue is written: sends all, ends our direction, waits for the other side to end
 * its own or for timeout_ms (0 = 2 s), then closes. What still arrives is thrown away. */
void conn_finish(struct conn *c, int64_t timeout_ms);

bool conn_is_open(const struct conn *c);
struct exec *conn_exec(const struct conn *c);

/* The other side as "192.0.2.10:502", "[::1]:51234", "unix:/path"; what was asked for until the
 * connection is there. Lives as long as the conn. */
const char *conn_peer(const struct conn *c);

/* This side's address, in the same form; "" before on_open. */
const char *conn_local(struct conn *c);

/* True if the other side is on this machine. */
bool conn_is_loopback(const struct conn *c);

/* The user id of the process at the other end of a unix socket. ERR_UNSUPPORTED for TCP. */
int conn_peer_uid(const struct conn *c, uid_t *ret);

/* Why it closed, one sentence with the address, in on_close. "" if there is nothing to say. */
const char *conn_error(const struct conn *c);

#endif
