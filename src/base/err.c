/* The error table's look-ups. See err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct err_row {
    int code;
    const char *name;
    const char *text;
    int http_status;
    uint8_t mqtt_reason;
};

static const struct err_row err_rows[] = {{OK, "OK", "success", 200, 0x00},
#define ERR_ROW(name, value, text, http, mqtt) {name, #name, text, http, mqtt},
                                          ERR_TABLE(ERR_ROW)
#undef ERR_ROW
};

#define ERR_ROW_COUNT (sizeof err_rows / sizeof err_rows[0])

/* The rows stand in the order of their codes, so the code is the index. */
static const struct err_row *err_row_find(int err)
{
    if (err > 0 || (size_t)-err >= ERR_ROW_COUNT)
        return NULL;
    return &err_rows[-err];
}

const char *err_text(int err)
{
    const struct err_row *row = err_row_find(err);
    return row ? row->text : "unknown error";
}

const char *err_name(int err)
{
    const struct err_row *row = err_row_find(err);
    return row ? row->name : "ERR_UNKNOWN";
}

int err_http_status(int err)
{
    const struct err_row *row = err_row_find(err);
    return row ? row->http_status : 500;
}

uint8_t err_mqtt_reason(int err)
{
    const struct err_row *row = err_row_find(err);
    return row ? row->mqtt_reason : 0x80;
}

struct errno_row {
    int errno_value;
    int err;
};

static const struct errno_row errno_rows[] = {
    {0, OK},
    {ENOMEM, ERR_NOMEM},
    {EINVAL, ERR_INVALID},
    {ENOENT, ERR_NOT_FOUND},
    {ENODEV, ERR_NOT_FOUND},
    {EEXIST, ERR_EXISTS},
    {EROFS, ERR_READ_ONLY},
    {EACCES, ERR_DENIED},
    {EPERM, ERR_DENIED},
    {EAGAIN, ERR_AGAIN},
    {EBUSY, ERR_AGAIN},
    {EMFILE, ERR_LIMIT},
    {ENFILE, ERR_LIMIT},
    {ETIMEDOUT, ERR_TIMEOUT},
    {ECANCELED, ERR_CANCELLED},
    {ECONNRESET, ERR_CLOSED},
    {EPIPE, ERR_CLOSED},
    {ENOTCONN, ERR_CLOSED},
    {ECONNREFUSED, ERR_REFUSED},
    {EHOSTUNREACH, ERR_UNREACHABLE},
    {ENETUNREACH, ERR_UNREACHABLE},
    {EADDRINUSE, ERR_IN_USE},
    {ENOSPC, ERR_NO_SPACE},
    {EDQUOT, ERR_NO_SPACE},
    {ERANGE, ERR_RANGE},
    {ENOSYS, ERR_UNSUPPORTED},
};

int err_from_errno(int errno_value)
{
    for (size_t i = 0; i < sizeof errno_rows / sizeof errno_rows[0]; i++) {
        if (errno_rows[i].errno_value == errno_value)
            return errno_rows[i].err;
    }
    return ERR_IO;
}

int diag_set(struct diag *diag, int err, uint32_t line, uint32_t column, const char *format, ...)
{
    if (!diag)
        return err;
    diag->line = line;
    diag->column = column;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(diag->text, sizeof diag->text, format, args);
    va_end(args);
    return err;
}
