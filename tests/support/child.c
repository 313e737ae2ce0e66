/* A child to be killed. See child.h. */
#include "tests/support/child.h"

#include "tests/support/check.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_FD           3
#define VARIABLE_BYTES_MAX 1024

pid_t child_start(const char *variable, const char *value)
{
    char byte = 0;
    int fds[2];
    char assignment[VARIABLE_BYTES_MAX];
    char name[] = "child";
    char *const argv[] = {name, NULL};
    size_t count = 0;
    while (environ[count])
        count++;
    char **env = calloc(count + 2, sizeof *env); /* before fork: afterwards only calls that may */
    CHECK(env != NULL);
    memcpy(env, environ, count * sizeof *env);
    env[count] = assignment;
    int n = snprintf(assignment, sizeof assignment, "%s=%s", variable, value);
    CHECK(n > 0 && (size_t)n < sizeof assignment);
    CHECK_EQ(pipe(fds), 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (dup2(fds[1], CHILD_FD) == CHILD_FD)
            (void)execve("/proc/self/exe", argv, env);
        _exit(4);
    }
    free(env);
    (void)close(fds[1]);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    (void)close(fds[0]);
    return pid;
}

_Noreturn void child_begun(void)
{
    if (write(CHILD_FD, "s", 1) != 1)
        _exit(3);
    for (;;)
        (void)pause();
}

void child_kill(pid_t pid, int64_t after_ms)
{
    const struct timespec t = {after_ms / 1000, (long)(after_ms % 1000) * 1000000};
    int status = 0;
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
}
