/* Addresses as people write them: read, written back, refused with what was expected. */
#include "net/address.h"

#include "tests/support/check.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static void check_parse(const char *text, const char *host, unsigned port)
{
    struct address a;
    char back[ADDRESS_TEXT_BYTES_MAX];
    CHECK_OK(address_parse(text, &a, NULL));
    CHECK_EQ(a.kind, ADDRESS_TCP);
    CHECK_STR(a.host, host);
    CHECK_EQ(a.port, port);
    address_format(&a, back);
    CHECK_STR(back, text);
}

TEST(host_and_port_are_read_and_written_back)
{
    check_parse("127.0.0.1:1883", "127.0.0.1", 1883);
    check_parse("plc1.example:502", "plc1.example", 502);
    check_parse("[::1]:8080", "::1", 8080);
    check_parse(":1883", "", 1883);
    check_parse("0.0.0.0:0", "0.0.0.0", 0);
    check_parse("h:65535", "h", 65535);
}

TEST(what_is_no_address_is_refused_with_what_was_expected)
{
    static const char *const bad[] = {"",      "host",       "host:",      "host:65536", "host:-1",
                                      "h:80x", "::1:80",     "[::1:80",    "[::1]80",    "[]:80",
                                      "a b:1", "http://h:1", "user@h:502", "unix:",      "h: 80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct address a = {.port = 7};
        struct diag diag = {0};
        CHECK_ERR(address_parse(bad[i], &a, &diag), ERR_SYNTAX);
        CHECK_EQ(a.port, 7);
        CHECK(strstr(diag.text, "host:port") != NULL);
    }
}

TEST(too_long_a_host_or_path_is_refused)
{
    char text[600] = "unix:";
    struct address a;
    memset(text + 5, 'x', ADDRESS_PATH_BYTES_MAX);
    CHECK_OK(address_parse(text, &a, NULL));
    CHECK_EQ(strlen(a.path), ADDRESS_PATH_BYTES_MAX);
    text[5 + ADDRESS_PATH_BYTES_MAX] = 'x';
    CHECK_ERR(address_parse(text, &a, NULL), ERR_SYNTAX);
    memset(text, 'h', 256);
    memcpy(text + 256, ":1", 3);
    CHECK_ERR(address_parse(text, &a, NULL), ERR_SYNTAX);
    CHECK_OK(address_parse(text + 1, &a, NULL));
}

TEST(a_port_may_be_left_out_where_there_is_a_default)
{
    struct address a;
    CHECK_OK(address_parse_default("plc1", 502, &a, NULL));
    CHECK_EQ(a.port, 502);
    CHECK_OK(address_parse_default("[::1]", 502, &a, NULL));
    CHECK_STR(a.host, "::1");
    CHECK_OK(address_parse_default("plc1:503", 502, &a, NULL));
    CHECK_EQ(a.port, 503);
}

TEST(numeric_hosts_become_socket_addresses_and_names_do_not)
{
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    char text[ADDRESS_TEXT_BYTES_MAX];
    static const char *const numeric[] = {"192.0.2.7:502", "[2001:db8::1]:1", "unix:/run/x.sock"};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(address_parse(numeric[i], &a, NULL));
        CHECK_OK(address_to_sockaddr(&a, &sa, &len));
        address_from_sockaddr((const struct sockaddr *)&sa, text);
        CHECK_STR(text, numeric[i]);
    }
    CHECK_OK(address_parse("plc1:502", &a, NULL));
    CHECK_ERR(address_to_sockaddr(&a, &sa, &len), ERR_NOT_FOUND);
}

static bool loopback(const char *text)
{
    struct address a;
    struct sockaddr_storage sa;
    socklen_t len;
    CHECK_OK(address_parse(text, &a, NULL));
    CHECK_OK(address_to_sockaddr(&a, &sa, &len));
    return address_is_loopback((const struct sockaddr *)&sa);
}

TEST(loopback_is_known)
{
    CHECK(loopback("127.0.0.1:1"));
    CHECK(loopback("127.9.9.9:1"));
    CHECK(loopback("[::1]:1"));
    CHECK(loopback("[::ffff:127.0.0.1]:1"));
    CHECK(loopback("unix:/x"));
    CHECK(!loopback("10.0.0.1:1"));
    CHECK(!loopback("[2001:db8::1]:1"));
    CHECK(!loopback("[::ffff:10.0.0.1]:1"));
}
