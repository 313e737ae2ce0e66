/* The peer of bench_json: simdjson's on-demand parser reading every field of a message. */
#ifndef LOTLINE_BENCH_JSON_H
#define LOTLINE_BENCH_JSON_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A parser that is used again and again; never freed. */
void *json_peer_new(void);

/* Reads every field of one object (padded by 64 bytes); returns a sum over what it read, so that
 * nothing is left out. */
double json_peer_read(void *parser, const uint8_t *text, size_t len);

#ifdef __cplusplus
}
#endif

#endif
