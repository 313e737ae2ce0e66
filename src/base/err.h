/* One table of errors for the whole program.
 *
 * Every function that can fail returns int: 0 or a negative ERR_*. The table also holds the text a
 * person reads, the HTTP status the API answers with and the MQTT 5 reason code (OASIS MQTT 5.0,
 * section 2.4), so that no two modules translate the same error differently.
 *
 * Where a user must know *where* something went wrong (a YAML file, a SQL text) a function fills a
 * struct diag besides returning the code.
 */
#ifndef LOTLINE_BASE_ERR_H
#define LOTLINE_BASE_ERR_H

#include <stdint.h>

/* X(name, value, text, HTTP status, MQTT 5 reason code) */
#define ERR_TABLE(X)                                                                               \
    X(ERR_NOMEM, -1, "out of memory", 500, 0x80)                                                   \
    X(ERR_INVALID, -2, "invalid value", 400, 0x83)                                                 \
    X(ERR_SYNTAX, -3, "syntax error", 400, 0x83)                                                   \
    X(ERR_TYPE, -4, "wrong type", 400, 0x83)                                                       \
    X(ERR_RANGE, -5, "value out of range", 400, 0x83)                                              \
    X(ERR_NOT_FOUND, -6, "not found", 404, 0x8f)                                                   \
    X(ERR_EXISTS, -7, "already exists", 409, 0x83)                                                 \
    X(ERR_READ_ONLY, -8, "read-only", 409, 0x87)                                                   \
    X(ERR_DENIED, -9, "not allowed", 403, 0x87)                                                    \
    X(ERR_AUTH, -10, "sign-in needed", 401, 0x86)                                                  \
    X(ERR_LIMIT, -11, "a limit was reached", 413, 0x97)                                            \
    X(ERR_AGAIN, -12, "busy, try again", 503, 0x89)                                                \
    X(ERR_TIMEOUT, -13, "no answer in time", 504, 0x80)                                            \
    X(ERR_CANCELLED, -14, "cancelled", 503, 0x8b)                                                  \
    X(ERR_CLOSED, -15, "connection closed", 502, 0x8b)                                             \
    X(ERR_REFUSED, -16, "connection refused", 502, 0x88)                                           \
    X(ERR_UNREACHABLE, -17, "host unreachable", 502, 0x88)                                         \
    X(ERR_IN_USE, -18, "address already in use", 500, 0x80)                                        \
    X(ERR_PROTOCOL, -19, "protocol violation by the other side", 502, 0x82)                        \
    X(ERR_MALFORMED, -20, "malformed data", 400, 0x81)                                             \
    X(ERR_SHORT, -21, "data ends too early", 400, 0x81)                                            \
    X(ERR_CHECKSUM, -22, "checksum mismatch", 500, 0x81)                                           \
    X(ERR_VERSION, -23, "unsupported version", 400, 0x84)                                          \
    X(ERR_UNSUPPORTED, -24, "not supported", 501, 0x83)                                            \
    X(ERR_IO, -25, "input/output error", 500, 0x80)                                                \
    X(ERR_NO_SPACE, -26, "no space left on disk", 507, 0x97)                                       \
    X(ERR_EXPIRED, -27, "expired", 410, 0x80)                                                      \
    X(ERR_CONFLICT, -28, "changed by somebody else meanwhile", 409, 0x83)                          \
    X(ERR_DEVICE, -29, "refused by the device", 502, 0x83)                                         \
    X(ERR_OFFLINE, -30, "the device is offline", 503, 0x88)                                        \
    X(ERR_DATABASE, -31, "database error", 500, 0x80)                                              \
    X(ERR_UNIQUE, -32, "does not map to one raw value", 400, 0x83)                                 \
    X(ERR_UNKNOWN_KEY, -33, "unknown key", 400, 0x83)                                              \
    X(ERR_INTERNAL, -34, "internal error", 500, 0x80)

enum err {
    OK = 0,

#define ERR_ENUM(name, value, text, http, mqtt) name = value,
    ERR_TABLE(ERR_ENUM)
#undef ERR_ENUM
};

#define DIAG_TEXT_BYTES_MAX 512
#define DIAG_FILE_BYTES_MAX 256

/* Where and why, for a person. line and column count from 1; 0 = unknown. text is one sentence
 * that says what is wrong and, where it is known, what to write instead. */
struct diag {
    uint32_t line;
    uint32_t column;
    char file[DIAG_FILE_BYTES_MAX];
    char text[DIAG_TEXT_BYTES_MAX];
};

/* The table's text of err (a negative ERR_* or 0). Static storage, never NULL. Any thread. */
const char *err_text(int err);

/* The name as written in the source ("ERR_TIMEOUT"), for logs and metrics. Static, never NULL. */
const char *err_name(int err);

/* HTTP status for err; 200 for OK, 500 for an unknown code. */
int err_http_status(int err);

/* MQTT 5 reason code for err; 0 for OK, 0x80 for an unknown code. */
uint8_t err_mqtt_reason(int err);

/* Maps an errno value (positive) to an ERR_*; ERR_IO where nothing fits. */
int err_from_errno(int errno_value);

/* Fills *diag (which may be NULL) and returns err, so that a caller can write
 * `return diag_set(diag, ERR_SYNTAX, line, column, "…", …)`. Text is cut, never overrun. */
int diag_set(struct diag *diag, int err, uint32_t line, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
