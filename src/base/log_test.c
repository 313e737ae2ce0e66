/* Log lines: one an event, cut, and not below the level. */
#include "base/log.h"

#include "tests/support/check.h"

#include <fcntl.h>
#include <unistd.h>

/* What fn writes to standard error, as one text of this test's own. */
static const char *captured(void (*fn)(void))
{
    static char text[8192];
    int pipes[2];
    CHECK_EQ(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    int before = dup(STDERR_FILENO);
    CHECK(before >= 0);
    CHECK_EQ(dup2(pipes[1], STDERR_FILENO), STDERR_FILENO);
    fn();
    CHECK_EQ(dup2(before, STDERR_FILENO), STDERR_FILENO);
    ssize_t n = read(pipes[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    CHECK_EQ(close(before) | close(pipes[0]) | close(pipes[1]), 0);
    return text;
}

static void two_lines(void)
{
    log_info("gateway", "plc%d: %s", 1, "silent\nfor\x7f 2 s");
    log_debug("gateway", "not seen");
}

static void a_long_line(void)
{
    log_error("gateway", "%0*d", 5000, 7);
}

TEST(log_writes_one_line_an_event)
{
    log_level_set(LOG_INFO);
    const char *text = captured(two_lines);
    CHECK_EQ(text[10], 'T');
    CHECK(strstr(text, "Z info gateway plc1: silent for  2 s\n") != NULL);
    CHECK(strstr(text, "not seen") == NULL);
    CHECK(strchr(text, '\n') == text + strlen(text) - 1);
}

TEST(log_cuts_long_lines)
{
    const char *text = captured(a_long_line);
    CHECK(strlen(text) <= 2048);
    CHECK_EQ(text[strlen(text) - 1], '\n');
}

TEST(log_levels_have_names)
{
    enum log_level level = LOG_INFO;
    for (int i = 0; i <= LOG_OFF; i++) {
        CHECK(log_level_find(log_level_name((enum log_level)i), &level));
        CHECK_EQ(level, i);
    }
    CHECK(!log_level_find("loud", &level));
    log_level_set(LOG_OFF);
    CHECK_EQ(log_level_get(), LOG_OFF);
    CHECK_STR(captured(a_long_line), "");
    log_level_set(LOG_INFO);
}
