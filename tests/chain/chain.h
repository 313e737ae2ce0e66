/* The chain that everything hangs on, alone: append → done → send → append → acknowledge →
 * database.
 *
 * Two processes with the real journal, stream log, codec and DuckDB, and between them a socket in
 * place of MQTT, so that acknowledgements can be dropped and links cut at will. The edge appends
 * counters and writes down which of them were acknowledged to it; the hub appends what comes and
 * puts it into DuckDB with its position. `chain run N` starts both, kills one or the other N times
 * at random moments, every other time with a power cut (chain_power.c), lets them finish, and
 * compares: everything acknowledged is in the database, once, with its value.
 *
 * Frames on the socket, both ways: u32 length of the rest, u8 kind, u64 id, payload.
 */
#ifndef LOTLINE_TESTS_CHAIN_CHAIN_H
#define LOTLINE_TESTS_CHAIN_CHAIN_H

#include "base/bytes.h"
#include "base/rand.h"
#include "stream/log.h"

#include <stdio.h>

#define CHAIN_STREAMS         3
#define CHAIN_NODE            "edge1"
#define CHAIN_SEGMENT_BYTES   (256u * 1024)
#define CHAIN_FRAME_BYTES_MAX (1u << 20)
#define CHAIN_HEAD_BYTES      13u
#define CHAIN_PATH_BYTES_MAX  512

enum chain_kind {
    CHAIN_SCHEMA = 1, /* edge → hub */
    CHAIN_RECORD = 2, /* edge → hub; id counts */
    CHAIN_ACK = 3,    /* hub → edge; payload: i32 error */
};

/* One line of the edge's ledger: rows values from `first` of stream were acknowledged. */
struct chain_line {
    uint32_t stream;
    uint32_t rows;
    uint64_t first;
};

/* The value that goes with counter n. */
static inline double chain_value(uint32_t stream, uint64_t n)
{
    return (double)n * 0.5 + stream;
}

/* Ends the process with a line for a person, unless rc is OK. */
void chain_must(int rc, const char *what);

/* Zeroed memory; never NULL. */
void *chain_new(size_t bytes) __attribute__((returns_nonnull));

/* "DIR/name". */
void chain_path(const char *dir, const char *name, char out[static CHAIN_PATH_BYTES_MAX]);

/* Where the hub listens. */
struct sockaddr_un;
void chain_socket_path(const char *dir, struct sockaddr_un *ret);

/* Sends one frame; false when the link is gone. */
bool chain_send(int fd, enum chain_kind kind, uint64_t id, struct bytes head, struct bytes body);

/* A frame at the start of in (kind, id, payload); 0 if it is not there yet, else its bytes. */
size_t chain_frame(struct bytes in, enum chain_kind *ret_kind, uint64_t *ret_id,
                   struct bytes *ret_payload);

/* Appends what the socket has to in; false when the link is gone. Waits for nothing. */
bool chain_receive(int fd, struct buf *in);

/* Set by SIGTERM: finish what is under way and end. */
bool chain_ending(void);
void chain_catch_term(void);

/* chain_power.c: file operations that note what is durable (freed by chain_power_free), and what a
 * power cut does to the files of `role` ("edge", "hub") after its process was killed. */
struct journal_io;
const struct journal_io *chain_power_io(const char *notes);
void chain_power_free(const struct journal_io *io);
void chain_power_cut(const char *dir, const char *role, struct rand *r);

/* The two processes: run until killed, or until SIGTERM and all is done. */
int chain_edge(const char *dir, uint64_t seed);
int chain_hub(const char *dir, uint64_t seed, bool calm);

#endif
