/* Modbus TCP, inside the driver: addresses, frames, the plan and the session.
 *
 * What is public is one struct lotline_driver (modbus_tcp_driver). The rest is shared by the
 * driver's own files and their tests: address.c knows the notation, codec.c bytes, plan.c which
 * registers are read together, session.c which answer belongs to which request.
 *
 * Standards: MODBUS Application Protocol Specification V1.1b3 ("AP"), MODBUS Messaging on TCP/IP
 * Implementation Guide V1.0b ("TCP").
 */
#ifndef LOTLINE_GATEWAY_MODBUS_H
#define LOTLINE_GATEWAY_MODBUS_H

#include "base/bytes.h"
#include "lotline/driver.h"

#define MODBUS_PORT                502
#define MODBUS_HEAD_BYTES          7   /* TCP 3.1.3: transaction, protocol, length, unit */
#define MODBUS_PDU_BYTES_MAX       253 /* AP 4.1 */
#define MODBUS_FRAME_BYTES_MAX     260
#define MODBUS_READ_REGISTERS_MAX  125u /* AP 6.3 */
#define MODBUS_READ_BITS_MAX       2000u
#define MODBUS_WRITE_REGISTERS_MAX 123u /* AP 6.12 */
#define MODBUS_WRITE_BITS_MAX      1968u
#define MODBUS_TEXT_CHARS_MAX      127u
#define MODBUS_BYTES_MAX           128u

extern const struct lotline_driver modbus_tcp_driver;

/* --------------------------------------------------------------------------------------- options
 */

struct modbus_options {
    uint64_t gap_max;
    uint32_t base; /* 0: "1", 1: "0" */
    /* Indices in the choices of modbus.c. */
    uint32_t order16; /* AB, BA */
    uint32_t order32; /* ABCD, BADC, DCBA, CDAB */
    uint32_t order64; /* auto (as order32), 12345678, 21436587, 87654321, 78563412, … */
};

/* --------------------------------------------------------------------------------------- address
 */

enum modbus_area {
    MODBUS_COIL = 0,
    MODBUS_DISCRETE = 1,
    MODBUS_INPUT = 3,
    MODBUS_HOLDING = 4,
};

/* How the characters of a string lie in registers. */
enum modbus_text {
    MODBUS_TEXT_HIGH,      /* H: two a register, the high byte first */
    MODBUS_TEXT_LOW,       /* L: two a register, the low byte first */
    MODBUS_TEXT_LOW_ONLY,  /* D: one a register, in its low byte */
    MODBUS_TEXT_HIGH_ONLY, /* E: one a register, in its high byte */
};

#define MODBUS_NO_BIT 0xffu

struct modbus_address {
    uint16_t start; /* as in the frame: from 0 */
    uint16_t count; /* registers, or 1 for a coil or discrete input */
    uint16_t len;   /* characters of a string, bytes of a bytes tag */
    uint8_t unit;
    uint8_t area;  /* enum modbus_area */
    uint8_t type;  /* enum lotline_type */
    uint8_t order; /* as in struct lotline_step */
    uint8_t bit;   /* of a register, 0 = least significant; MODBUS_NO_BIT */
    uint8_t text;  /* enum modbus_text */
};

static inline bool modbus_area_is_bits(uint8_t area)
{
    return area == MODBUS_COIL || area == MODBUS_DISCRETE;
}

/* Reads "UNIT!AREA+NUMBER[.BIT][#ORDER][.LEN[H|L|D|E]][.BYTES]" for a type. 0, or -1 with *error.
 */
int modbus_address_parse(const struct modbus_options *options, const struct lotline_tag *tag,
                         struct modbus_address *ret, struct lotline_error *error);

/* Writes the sentence and returns -1. */
int modbus_error(struct lotline_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ----------------------------------------------------------------------------------------- codec
 */

enum modbus_function {
    MODBUS_READ_COILS = 1,
    MODBUS_READ_DISCRETE = 2,
    MODBUS_READ_HOLDING = 3,
    MODBUS_READ_INPUT = 4,
    MODBUS_WRITE_COIL = 5,
    MODBUS_WRITE_REGISTER = 6,
    MODBUS_WRITE_COILS = 15,
    MODBUS_WRITE_REGISTERS = 16,
    MODBUS_MASK_REGISTER = 22,
};

enum modbus_exception {
    MODBUS_ILLEGAL_FUNCTION = 1,
    MODBUS_ILLEGAL_ADDRESS = 2,
    MODBUS_ILLEGAL_VALUE = 3,
};

/* A request as it was asked, which is also what its answer is held against. */
struct modbus_ask {
    uint16_t start;
    uint16_t count; /* registers or bits; 1 for functions 5, 6 and 22 */
    uint8_t unit;
    uint8_t function; /* enum modbus_function */
    uint16_t value;   /* function 5: 0xff00 or 0; 6: the register; 22: the OR mask */
    uint16_t mask;    /* function 22: the AND mask */
};

/* Writes a whole frame; data holds the registers (2 bytes each, as on the wire) or packed bits of
 * functions 15 and 16. Returns its length, at most MODBUS_FRAME_BYTES_MAX. */
size_t modbus_frame_encode(const struct modbus_ask *ask, uint16_t transaction, struct bytes data,
                           uint8_t out[static MODBUS_FRAME_BYTES_MAX]);

/* One frame out of the stream. */
struct modbus_frame {
    uint16_t transaction;
    uint8_t unit;
    uint8_t function;
    struct bytes body; /* what follows the function; a view */
};

/* Takes the first frame of `in`: 0 with *ret_used bytes; ERR_SHORT: more bytes are needed;
 * ERR_VERSION: another protocol id; ERR_MALFORMED: the header announces an impossible length. */
int modbus_frame_decode(struct bytes in, struct modbus_frame *ret, size_t *ret_used);

enum modbus_verdict {
    MODBUS_DATA,      /* a read's data */
    MODBUS_CONFIRMED, /* a write is confirmed */
    MODBUS_EXCEPTION,
    MODBUS_FOREIGN_UNIT,
    MODBUS_FOREIGN_FUNCTION,
    MODBUS_SHORT,
    MODBUS_LONG,
    MODBUS_BYTE_COUNT, /* the count field contradicts the frame's length */
    MODBUS_ECHO,       /* a write of something else is confirmed */
};

/* Holds an answer against what was asked. *ret_data is set with MODBUS_DATA, *ret_exception with
 * MODBUS_EXCEPTION. */
enum modbus_verdict modbus_reply_check(const struct modbus_ask *ask,
                                       const struct modbus_frame *frame, struct bytes *ret_data,
                                       uint8_t *ret_exception);

/* "illegal data address", … (AP 7); for others "exception N" is written to out. */
#define MODBUS_EXCEPTION_TEXT_BYTES_MAX 64
const char *modbus_exception_text(uint8_t exception,
                                  char out[static MODBUS_EXCEPTION_TEXT_BYTES_MAX]);

/* The registers (as on the wire) that hold a value: address->count × 2 bytes. Not for bits. */
void modbus_value_encode(const struct modbus_address *address, const struct lotline_value *value,
                         uint8_t *out);

/* ------------------------------------------------------------------------------------------ plan
 */

/* What plan hands to the host for each request. */
struct modbus_read {
    uint16_t start;
    uint16_t count;
    uint8_t unit;
    uint8_t function;
};

int modbus_plan(const void *options, const void *const *addresses, uint32_t count,
                struct lotline_planner *planner);

/* --------------------------------------------------------------------------------------- session
 */

/* One request on its way. A write may need several frames: what a device refuses as unknown
 * (exception 1) is asked again in an older way, and the session remembers that. */
enum modbus_stage {
    MODBUS_STAGE_IDLE,
    MODBUS_STAGE_READ,
    MODBUS_STAGE_WRITE,
    MODBUS_STAGE_FETCH, /* the read before the write of a register's bit */
};

struct modbus_exchange {
    struct modbus_ask ask;
    uint16_t transaction;
    uint8_t stage; /* enum modbus_stage */
    const struct modbus_address *address;
    const struct lotline_value *value;
};

#define MODBUS_LATE_MAX 64u

struct modbus_session {
    struct lotline_host *host;
    const struct modbus_options *options;
    uint16_t transaction; /* of the last frame sent */
    bool broken;          /* a fault was raised on this connection */
    bool no_mask;         /* the device does not know function 22 */
    bool no_single_coil;
    bool no_single_register;
    uint32_t late_count;
    uint16_t late[MODBUS_LATE_MAX]; /* transactions that were cancelled, a ring */
    struct modbus_exchange exchanges[LOTLINE_IN_FLIGHT_MAX];
};

void modbus_session_init(void *session, struct lotline_host *host, const void *options);
void modbus_opened(void *session);
void modbus_closed(void *session);
size_t modbus_received(void *session, const uint8_t *data, size_t len);
void modbus_read(void *session, uint32_t slot, const void *request);
void modbus_write(void *session, uint32_t slot, const void *address,
                  const struct lotline_value *value);
void modbus_cancel(void *session, uint32_t slot);

#endif
