/* A Modbus TCP server for simulators, written from the specification ("MODBUS Application Protocol
 * V1.1b3", "MODBUS Messaging on TCP/IP V1.0b") and sharing no line with the gateway's driver, so
 * that a mistake is not made twice.
 *
 * It speaks; the loop is server.h's. The machine behind it fills in the registers before each
 * request is served.
 */
#ifndef LOTLINE_SIM_MODBUS_SERVER_H
#define LOTLINE_SIM_MODBUS_SERVER_H

#include "base/bytes.h"

#define MODBUS_AREA 65536

/* What a unit shows. */
struct modbus_unit {
    uint16_t holding[MODBUS_AREA];
    uint16_t input[MODBUS_AREA];
    uint8_t coils[MODBUS_AREA];    /* 0 or 1 */
    uint8_t discrete[MODBUS_AREA]; /* 0 or 1 */
};

struct modbus_server_options {
    const char *host; /* an IPv4 address */
    uint16_t port;    /* 0 = any */
    void *ctx;
    /* The unit of that number, NULL if there is none (the request is then not answered, as on a
     * real line). Called for every request with the area's first address and the count, before it
     * is served: the machine brings its registers up to date. */
    struct modbus_unit *(*request)(void *ctx, uint8_t unit, uint8_t function, uint16_t address,
                                   uint16_t count);
    /* Whether these holding registers or coils may be written; 0 or an exception code (1 … 4). */
    uint8_t (*may_write)(void *ctx, uint8_t unit, bool coils, uint16_t address, uint16_t count);
    /* After a write. May be NULL. */
    void (*written)(void *ctx, uint8_t unit);
    /* Called at least every tick_ms; false ends the server. */
    bool (*tick)(void *ctx);
    int tick_ms;
};

/* Serves until tick says no or SIGINT/SIGTERM; prints the port. Returns an exit code. */
int modbus_server_run(struct modbus_server_options *options, const char *name);

/* For a listener of server.h: ctx is a struct modbus_server_options (host, port and tick unused).
 */
size_t modbus_serve(void *ctx, struct bytes in, struct buf *out);

#endif
