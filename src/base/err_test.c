/* The error table, and places for people. */
#include "base/err.h"

#include "tests/support/check.h"

#include <errno.h>

TEST(err_every_code_has_its_row)
{
#define CHECK_ROW(name_, value_, text_, http_, mqtt_)                                              \
    CHECK_EQ(name_, value_);                                                                       \
    CHECK_STR(err_name(name_), #name_);                                                            \
    CHECK_STR(err_text(name_), text_);                                                             \
    CHECK_EQ(err_http_status(name_), http_);                                                       \
    CHECK_EQ(err_mqtt_reason(name_), mqtt_);
    ERR_TABLE(CHECK_ROW)
#undef CHECK_ROW
    CHECK_STR(err_name(OK), "OK");
    CHECK_EQ(err_http_status(OK), 200);
    CHECK_EQ(err_mqtt_reason(OK), 0);
}

TEST(err_unknown_codes_are_not_trusted)
{
    CHECK_STR(err_name(-999), "ERR_UNKNOWN");
    CHECK_STR(err_text(1), "unknown error");
    CHECK_EQ(err_http_status(INT32_MIN + 1), 500);
    CHECK_EQ(err_mqtt_reason(-999), 0x80);
}

TEST(err_from_errno_maps)
{
    CHECK_EQ(err_from_errno(0), OK);
    CHECK_EQ(err_from_errno(ENOSPC), ERR_NO_SPACE);
    CHECK_EQ(err_from_errno(ECONNREFUSED), ERR_REFUSED);
    CHECK_EQ(err_from_errno(ENOTTY), ERR_IO);
}

TEST(diag_is_cut_and_never_overrun)
{
    struct diag diag = {0};
    CHECK_ERR(diag_set(&diag, ERR_SYNTAX, 3, 4, "%0*d", 2000, 7), ERR_SYNTAX);
    CHECK_EQ(diag.line, 3);
    CHECK_EQ(diag.column, 4);
    CHECK_EQ(strlen(diag.text), DIAG_TEXT_BYTES_MAX - 1);
    CHECK_ERR(diag_set(NULL, ERR_RANGE, 0, 0, "x"), ERR_RANGE);
}
