/* The driver API: how Lotline learns to speak to another kind of controller.
 *
 * A driver codes bytes and nothing else. The gateway (the host) owns sockets, time, scheduling and
 * values: it opens the connection and opens it again with back-off, keeps the poll grid, merges
 * what waits, lets at most `in_flight_max` requests go at once, lets writes go first, ends what
 * takes too long, and keeps all states and counters. A driver says
 *
 *   1. what an address means                        (tag_parse)
 *   2. which requests read a set of tags, and where in an answer's data each value lies (plan)
 *   3. how a request and a write look as a frame    (read, write)
 *   4. which outstanding request an arriving frame answers, and how (received)
 *
 * Where a value lies is said as data (struct lotline_step), so that the host decodes thousands of
 * values from one frame straight into the columns of a batch, without a call for each.
 *
 * Everything here is called on one thread for one device (the loop that owns it), never blocks, and
 * keeps its state in the structs whose sizes the driver declares and the host allocates, zeroed: a
 * driver has no globals. The built-in drivers use this header and nothing more of the gateway.
 *
 * A plug-in is a shared object in the folder that `plugins:` names. It exports
 *
 *     const struct lotline_driver *lotline_driver(void);
 *
 * Versions: `abi` changes when something here changes its meaning; `size` grows with the struct,
 * always at its end, so that an older driver works in a newer host.
 */
#ifndef LOTLINE_DRIVER_H
#define LOTLINE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOTLINE_DRIVER_ABI    1u
#define LOTLINE_DRIVER_SYMBOL "lotline_driver"

#define LOTLINE_ERROR_BYTES_MAX   256u
#define LOTLINE_ADDRESS_BYTES_MAX 64u   /* of a driver's parsed address */
#define LOTLINE_REQUEST_BYTES_MAX 64u   /* of a driver's planned request */
#define LOTLINE_VALUE_BYTES_MAX   4096u /* of one string or bytes value */
#define LOTLINE_IN_FLIGHT_MAX     64u

/* ---------------------------------------------------------------------------------------- values
 */

/* The types of tags, as written in configurations: bit, bool, int8, … The numbers never change. */
enum lotline_type {
    LOTLINE_BIT = 1,
    LOTLINE_BOOL = 2,
    LOTLINE_INT8 = 3,
    LOTLINE_UINT8 = 4,
    LOTLINE_INT16 = 5,
    LOTLINE_UINT16 = 6,
    LOTLINE_INT32 = 7,
    LOTLINE_UINT32 = 8,
    LOTLINE_INT64 = 9,
    LOTLINE_UINT64 = 10,
    LOTLINE_FLOAT = 11,
    LOTLINE_DOUBLE = 12,
    LOTLINE_STRING = 13, /* any bytes; proven UTF-8 or not by who shows them */
    LOTLINE_BYTES = 14,
};

#define LOTLINE_TYPE_COUNT 15

/* One value, as the device has it (raw). Which member holds it follows from the type: boolean for
 * bit and bool, i64 for signed and u64 for unsigned integers, f32, f64, or ptr and len. */
struct lotline_value {
    uint32_t type; /* enum lotline_type */
    uint32_t len;  /* bytes at ptr */

    union {
        bool boolean;
        int64_t i64;
        uint64_t u64;
        float f32;
        double f64;
        const uint8_t *ptr; /* borrowed for the call */
    } as;
};

/* --------------------------------------------------------------------------------------- options
 */

enum lotline_option_kind {
    LOTLINE_OPTION_BOOL = 1,     /* bool */
    LOTLINE_OPTION_INT = 2,      /* int64_t */
    LOTLINE_OPTION_UINT = 3,     /* uint64_t */
    LOTLINE_OPTION_DOUBLE = 4,   /* double */
    LOTLINE_OPTION_TEXT = 5,     /* const char *, lives as long as the device */
    LOTLINE_OPTION_DURATION = 6, /* int64_t µs, written "250ms" */
    LOTLINE_OPTION_ENUM = 7,     /* uint32_t, index in choices */
};

/* One key that a device of this driver may have in the configuration. The host checks and converts
 * it and stores the result at `offset` in the driver's options struct. */
struct lotline_option {
    const char *name; /* NULL ends a table */
    uint32_t kind;
    uint32_t offset;
    const char *default_text; /* as it would be written; NULL: zero, false or NULL */
    double min;               /* min = max = 0: no limits */
    double max;
    const char *const *choices; /* for ENUM, ends with NULL */
    const char *doc;            /* one sentence */
};

/* What went wrong, for a person: one sentence, with what to write instead. */
struct lotline_error {
    char text[LOTLINE_ERROR_BYTES_MAX];
};

/* ------------------------------------------------------------------------------------------ tags
 */

/* A tag as it is configured; texts end with zero and are borrowed for the call. */
struct lotline_tag {
    const char *address;
    uint32_t type;     /* enum lotline_type */
    const char *order; /* the key `order:`, NULL if it is not given */
};

/* What tag_parse finds out beside the address itself. */
struct lotline_tag_info {
    bool writable;
    uint32_t text_bytes_max; /* string and bytes: what fits */
    bool exact_len;          /* a write must be just text_bytes_max long (bytes) */
};

/* ------------------------------------------------------------------------------------------ plan
 */

/* How the bytes at a step's place make a value. Numbers never change. */
enum lotline_step_kind {
    LOTLINE_STEP_BIT = 1,     /* bit `bit` (0 = least significant) of the byte at offset */
    LOTLINE_STEP_NONZERO = 2, /* bool: whether any of the `len` bytes at offset is set */
    LOTLINE_STEP_INT = 3,     /* two's complement of `len` bytes: 1, 2, 4, 8 */
    LOTLINE_STEP_UINT = 4,
    LOTLINE_STEP_FLOAT = 5,  /* IEEE 754 binary32 */
    LOTLINE_STEP_DOUBLE = 6, /* IEEE 754 binary64 */
    LOTLINE_STEP_TEXT = 7,   /* `len` characters; ends before the first zero */
    LOTLINE_STEP_BYTES = 8,  /* `len` bytes as they are */
};

/* Where one tag's value lies in the data of an answer. Byte i of a number (most significant first)
 * is the byte at offset + (i ^ order): with order 0 the wire is big-endian, 1 swaps the bytes of
 * each pair, 2 the pairs of each four, 4 the halves of eight. So 3 is a little-endian 32-bit number
 * and 7 a little-endian 64-bit one. Character i of a text is at offset + ((i * stride) ^ order). */
struct lotline_step {
    uint32_t tag; /* index in the array that plan was given */
    uint32_t offset;
    uint16_t len;
    uint8_t kind; /* enum lotline_step_kind */
    uint8_t bit;
    uint8_t order;  /* 0 … 7 */
    uint8_t stride; /* of characters: 1, or 2 where each fills a register; 0 = 1 */
    uint8_t spare[2];
};

/* The host's, handed to plan. */
struct lotline_planner {
    uint32_t size; /* of this struct in the host */

    /* A new request, which copies request_bytes at `request`. `peer` tells apart what may be dead
     * on its own behind one connection (a Modbus unit): time-outs of one peer do not make the host
     * spend time on it at the expense of the others. False: out of memory, give up. */
    bool (*request)(struct lotline_planner *planner, const void *request, uint32_t peer);

    /* One more value in the answer to the request added last. */
    bool (*step)(struct lotline_planner *planner, const struct lotline_step *step);
};

/* ------------------------------------------------------------------------------------------ host
 */

/* How a request ended. */
enum lotline_result {
    LOTLINE_DONE = 0,
    LOTLINE_REFUSED = 1,       /* by the device: its exception's name is the text */
    LOTLINE_REFUSED_RANGE = 2, /* as REFUSED, and reading fewer tags at once may be accepted */
    LOTLINE_BAD_VALUE = 3,     /* (write) the driver cannot express the value; text says why */
};

/* What the host does for a session. Valid from session_init to session_fini; every function is
 * called on the device's thread only, from inside the driver's functions. */
struct lotline_host {
    uint32_t size; /* of this struct in the host */

    /* Sends bytes (copied). What cannot be sent any more is dropped: `closed` follows. */
    void (*send)(struct lotline_host *host, const void *frame, size_t len);

    /* The handshake is through: requests may come. From `opened` or later. */
    void (*ready)(struct lotline_host *host);

    /* The data of the answer to the read in `slot`: the host takes the values from it by the
     * request's steps. Data too short for a step is a protocol fault, which the host raises. */
    void (*values)(struct lotline_host *host, uint32_t slot, const uint8_t *data, size_t len);

    /* One value, for protocols whose answers the steps cannot describe: of the request's step
     * number `step`, counted from 0 in the order in which plan gave them. */
    void (*value)(struct lotline_host *host, uint32_t slot, uint32_t step,
                  const struct lotline_value *value);

    /* The request in `slot` has ended; the slot is free. text may be NULL with LOTLINE_DONE. */
    void (*finish)(struct lotline_host *host, uint32_t slot, enum lotline_result result,
                   const char *text);

    /* The time limit of `slot` starts anew: another frame was sent for the same request. */
    void (*extend)(struct lotline_host *host, uint32_t slot);

    /* The other side broke the protocol: the host closes the connection, everything outstanding
     * ends as failed, and it connects again. name is short and stable ("foreign unit id"), text a
     * sentence. The driver must return to the host at once. */
    void (*fault)(struct lotline_host *host, const char *name, const char *text);

    /* An answer came for a request that had been cancelled; counted, never credited. */
    void (*late)(struct lotline_host *host);

    /* Monotonic µs. */
    int64_t (*now_us)(const struct lotline_host *host);
};

/* ---------------------------------------------------------------------------------------- driver
 */

struct lotline_driver {
    uint32_t abi;     /* LOTLINE_DRIVER_ABI */
    uint32_t size;    /* sizeof(struct lotline_driver) */
    const char *name; /* as in `driver:` */
    const char *doc;  /* one sentence */
    uint16_t port;    /* TCP port where the address names none; 0 = it must */
    uint16_t spare;
    uint32_t in_flight_max; /* most requests outstanding that the protocol can tell apart */

    const struct lotline_option *options; /* of a device; NULL = none */
    uint32_t options_bytes;
    uint32_t address_bytes; /* ≤ LOTLINE_ADDRESS_BYTES_MAX */
    uint32_t request_bytes; /* ≤ LOTLINE_REQUEST_BYTES_MAX */
    uint32_t session_bytes;
    uint32_t frame_bytes_max; /* longest frame the device may send; unconsumed bytes never exceed */

    /* --- pure: no session, no I/O; may be called by `lotline check` */

    /* The options together, after each was checked by itself. May be NULL. 0, or -1 with *error. */
    int (*options_check)(const void *options, struct lotline_error *error);

    /* Reads one address for one type. 0 with *ret_address and *ret_info filled, or -1 with *error.
     */
    int (*tag_parse)(const void *options, const struct lotline_tag *tag, void *ret_address,
                     struct lotline_tag_info *ret_info, struct lotline_error *error);

    /* The requests that read tags[0..count) (addresses of them, in any order), each tag by exactly
     * one step. Called at configuration, for a single tag read now, and with a part of a request's
     * tags after LOTLINE_REFUSED_RANGE. 0, or -1 when the planner said false. */
    int (*plan)(const void *options, const void *const *addresses, uint32_t count,
                struct lotline_planner *planner);

    /* --- one session a device; the memory outlives connections */

    void (*session_init)(void *session, struct lotline_host *host, const void *options);
    void (*session_fini)(void *session); /* may be NULL */

    /* The connection is there: shake hands, then host->ready. */
    void (*opened)(void *session);

    /* The connection is gone: forget what was outstanding (the host has ended it). */
    void (*closed)(void *session);

    /* Bytes from the device, starting where the last call left off. Returns how many were used: the
     * rest comes again with what follows. After host->fault the return value is ignored. */
    size_t (*received)(void *session, const uint8_t *data, size_t len);

    /* Sends the request in `slot` (0 … in_flight_max - 1, free until now). Ends with host->finish,
     * or with `cancel` or `closed`. `request` lives until then. */
    void (*read)(void *session, uint32_t slot, const void *request);

    /* Writes a value of the tag's type (its range was checked). Ends like read, and with
     * LOTLINE_DONE only when the device has confirmed. The host has one write out at a time.
     * `address` and `value` live until it has ended. NULL: the protocol cannot write. */
    void (*write)(void *session, uint32_t slot, const void *address,
                  const struct lotline_value *value);

    /* The request in `slot` took too long; an answer that still comes is late. The slot is free. */
    void (*cancel)(void *session, uint32_t slot);
};

/* What a plug-in exports under LOTLINE_DRIVER_SYMBOL: its driver, in static storage. */
const struct lotline_driver *lotline_driver(void);
typedef const struct lotline_driver *(*lotline_driver_fn)(void);

#endif
