/* The one poll loop of a simulator: listeners, clients, SIGINT and SIGTERM, and a tick.
 *
 * What is spoken is a function from bytes that came to bytes that go. One thread, at most
 * SIM_CLIENTS_MAX clients. */
#ifndef LOTLINE_SIM_SERVER_H
#define LOTLINE_SIM_SERVER_H

#include "base/bytes.h"

#define SIM_CLIENTS_MAX   128
#define SIM_LISTENERS_MAX 16
#define SIM_REQUEST_MAX   16640 /* bytes that may wait of one client; a longer request ends it */
#define SIM_CLOSE         SIZE_MAX

struct sim_listener {
    const char *label; /* for the line that tells the port */
    uint16_t port;     /* 0 = any; then the one it got */
    bool closed;       /* the port is taken, but nobody is let in until this is false */
    void *ctx;
    /* Answers the first request in `in`: appends to out, returns how many bytes it took, 0 if the
     * request is not whole yet, SIM_CLOSE to end the connection (once out is sent). */
    size_t (*serve)(void *ctx, struct bytes in, struct buf *out);
};

struct sim_server_options {
    const char *name; /* of the simulator */
    const char *host; /* an IPv4 address */
    struct sim_listener *listeners;
    uint32_t count;
    void *ctx;
    bool (*ready)(void *ctx); /* all ports are known; false ends with exit code 1. May be NULL. */
    bool (*tick)(void *ctx);  /* at least every tick_ms; false ends the server. May be NULL. */
    int tick_ms;
};

/* Prints the ports and serves until tick says no or a signal comes. Returns an exit code. */
int sim_server_run(const struct sim_server_options *options);

#endif
