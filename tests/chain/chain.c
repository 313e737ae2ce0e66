/* What both ends of the chain use, and `chain run`: kill, start again, compare. See chain.h.
 *
 *     chain run ROUNDS [DIR [SEED]]  prints one TAP line; without DIR in a folder of its own, which
 *                                    is kept only when something is wrong
 *     chain edge|hub|calm DIR SEED   the two processes (calm: a hub that drops nothing)
 */
#include "tests/chain/chain.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "db/duckdb.h"

#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUND_MS_MIN   30
#define ROUND_MS_MAX   400
#define FINISH_MS      60000
#define READ_BYTES_MAX 65536

static volatile sig_atomic_t ending;

static void on_term(int signal_number)
{
    (void)signal_number;
    ending = 1;
}

bool chain_ending(void)
{
    return ending != 0;
}

void chain_catch_term(void)
{
    struct sigaction action = {.sa_handler = on_term};
    sigset_t set;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

void chain_must(int rc, const char *what)
{
    if (!rc)
        return;
    (void)fprintf(stderr, "chain %d: %s: %s\n", (int)getpid(), what, err_text(rc));
    _exit(3);
}

void *chain_new(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (p)
        return p;
    chain_must(ERR_NOMEM, "memory");
    abort();
}

void chain_path(const char *dir, const char *name, char out[static CHAIN_PATH_BYTES_MAX])
{
    (void)snprintf(out, CHAIN_PATH_BYTES_MAX, "%s/%s", dir, name);
}

void chain_socket_path(const char *dir, struct sockaddr_un *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    int len = snprintf(ret->sun_path, sizeof ret->sun_path, "%s/hub.sock", dir);
    chain_must(len < 0 || (size_t)len >= sizeof ret->sun_path ? ERR_LIMIT : OK,
               "DIR is too long for a socket's path");
}

/* ------------------------------------------------------------------------------------- frames */

bool chain_send(int fd, enum chain_kind kind, uint64_t id, struct bytes head, struct bytes body)
{
    struct buf out = {0};
    (void)buf_append_le32(&out, (uint32_t)(CHAIN_HEAD_BYTES - 4 + head.len + body.len));
    (void)buf_append_u8(&out, (uint8_t)kind);
    (void)buf_append_le64(&out, id);
    (void)buf_append_bytes(&out, head);
    (void)buf_append_bytes(&out, body);
    chain_must(buf_error(&out), "a frame");
    size_t sent = 0;
    while (sent < out.len) {
        ssize_t n = send(fd, out.ptr + sent, out.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    bool whole = sent == out.len;
    buf_fini(&out);
    return whole;
}

size_t chain_frame(struct bytes in, enum chain_kind *ret_kind, uint64_t *ret_id,
                   struct bytes *ret_payload)
{
    if (in.len < CHAIN_HEAD_BYTES)
        return 0;
    size_t bytes = 4 + (size_t)load_le32(in.ptr);
    chain_must(bytes < CHAIN_HEAD_BYTES || bytes > CHAIN_FRAME_BYTES_MAX ? ERR_MALFORMED : OK,
               "a frame");
    if (in.len < bytes)
        return 0;
    *ret_kind = (enum chain_kind)in.ptr[4];
    *ret_id = load_le64(in.ptr + 5);
    *ret_payload = bytes_of(in.ptr + CHAIN_HEAD_BYTES, bytes - CHAIN_HEAD_BYTES);
    return bytes;
}

bool chain_receive(int fd, struct buf *in)
{
    for (;;) {
        uint8_t *out = buf_reserve(in, READ_BYTES_MAX);
        chain_must(out ? OK : ERR_NOMEM, "receiving");
        ssize_t n = recv(fd, out, READ_BYTES_MAX, MSG_DONTWAIT);
        if (n > 0)
            in->len += (size_t)n;
        else
            return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
}

/* ------------------------------------------------------------------------------------- children */

struct child {
    const char *role;
    pid_t pid;
    uint32_t kills;
};

static void child_start(struct child *c, const char *dir, uint64_t seed)
{
    c->pid = fork();
    chain_must(c->pid < 0 ? ERR_NOMEM : OK, "fork");
    if (c->pid > 0)
        return;
    /* Not before it can be caught. */
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    /* The processes are this program again, so that they share nothing but the files. */
    char text[32];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    (void)execl("/proc/self/exe", "chain", c->role, dir, text, (char *)NULL);
    _exit(4);
}

/* Its exit status; -1 if it still runs after timeout_ms. */
static int child_wait(const struct child *c, int timeout_ms)
{
    int64_t deadline_us = clock_mono_us() + timeout_ms * INT64_C(1000);
    int status;
    while (waitpid(c->pid, &status, WNOHANG) == 0) {
        if (clock_mono_us() > deadline_us)
            return -1;
        (void)poll(NULL, 0, 2);
    }
    return status;
}

static bool child_kill(struct child *c)
{
    (void)kill(c->pid, SIGKILL);
    int status = child_wait(c, FINISH_MS);
    c->kills++;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    (void)printf("# the %s had ended by itself: status %d\n", c->role, status);
    return false;
}

static bool child_finish(struct child *c)
{
    (void)kill(c->pid, SIGTERM);
    int status = child_wait(c, FINISH_MS);
    if (status == 0)
        return true;
    (void)printf("# the %s did not finish: status %d\n", c->role, status);
    (void)kill(c->pid, SIGKILL);
    return false;
}

/* ------------------------------------------------------------------------------------- compare */

struct compare {
    uint8_t *seen[CHAIN_STREAMS]; /* how often each n is in the database */
    uint64_t tried[CHAIN_STREAMS];
    uint64_t rows;
    uint64_t twice;
    uint64_t wrong; /* another value, or never produced */
    uint64_t acknowledged;
    uint64_t lost;
};

static int compare_row(void *ctx, const struct value *cells, uint32_t count)
{
    struct compare *c = ctx;
    chain_must(count == 3 ? OK : ERR_INTERNAL, "columns");
    uint64_t stream = cells[0].u64;
    uint64_t n = cells[1].u64;
    c->rows++;
    if (stream >= CHAIN_STREAMS || n >= c->tried[stream] ||
        cells[2].f64 != chain_value((uint32_t)stream, n)) {
        c->wrong++;
        return OK;
    }
    if (c->seen[stream][n]++)
        c->twice++;
    return OK;
}

static void compare_database(struct compare *c, const char *dir)
{
    char path[CHAIN_PATH_BYTES_MAX];
    struct diag diag = {0};
    struct duck *duck;
    struct duck_conn *conn;
    struct duck_stmt *s;
    chain_path(dir, "hub.duckdb", path);
    struct duck_options o = {.path = path};
    chain_must(duck_open(&o, &duck, &diag), diag.text);
    chain_must(duck_connect(duck, &conn), "a connection");
    chain_must(duck_prepare(conn, "SELECT stream, n, v FROM rows", &s, &diag), diag.text);
    chain_must(duck_run(s, compare_row, c, &diag), diag.text);
    duck_stmt_free(s);
    duck_disconnect(conn);
    duck_close(duck);
}

static void compare_ledger(struct compare *c, FILE *ledger)
{
    struct chain_line line;
    while (fread(&line, sizeof line, 1, ledger) == 1) {
        for (uint64_t n = line.first; n < line.first + line.rows; n++) {
            c->acknowledged++;
            if (line.stream >= CHAIN_STREAMS || n >= c->tried[line.stream] ||
                !c->seen[line.stream][n])
                c->lost++;
        }
    }
}

static FILE *open_file(const char *dir, const char *name)
{
    char path[CHAIN_PATH_BYTES_MAX];
    chain_path(dir, name, path);
    FILE *file = fopen(path, "rbe");
    chain_must(file ? OK : ERR_IO, path);
    return file;
}

static bool compare(const char *dir)
{
    struct compare c = {0};
    FILE *tried = open_file(dir, "tried");
    chain_must(fread(c.tried, sizeof c.tried, 1, tried) == 1 ? OK : ERR_IO, "the tries");
    (void)fclose(tried);
    for (uint32_t i = 0; i < CHAIN_STREAMS; i++) {
        c.seen[i] = chain_new(c.tried[i] + 1);
    }
    compare_database(&c, dir);
    FILE *ledger = open_file(dir, "acknowledged");
    compare_ledger(&c, ledger);
    (void)fclose(ledger);
    uint64_t all = 0;
    for (uint32_t i = 0; i < CHAIN_STREAMS; i++) {
        all += c.tried[i];
        free(c.seen[i]);
    }
    (void)printf("# %llu values tried, %llu acknowledged, %llu in the database: %llu lost, "
                 "%llu twice, %llu wrong\n",
                 (unsigned long long)all, (unsigned long long)c.acknowledged,
                 (unsigned long long)c.rows, (unsigned long long)c.lost,
                 (unsigned long long)c.twice, (unsigned long long)c.wrong);
    return c.acknowledged > 0 && c.lost == 0 && c.twice == 0 && c.wrong == 0;
}

/* ----------------------------------------------------------------------------------------- run */

/* Of the processes that were just killed. */
static void power_cut(uint64_t which, const char *dir, struct rand *r)
{
    if (which != 1)
        chain_power_cut(dir, "edge", r);
    if (which != 0 && which != 4)
        chain_power_cut(dir, "hub", r);
}

static bool kill_rounds(struct child *edge, struct child *hub, uint64_t rounds, const char *dir,
                        struct rand *r)
{
    bool good = true;
    child_start(hub, dir, rand_u64(r));
    child_start(edge, dir, rand_u64(r));
    for (uint64_t i = 0; i < rounds && good; i++) {
        /* The moment is what the test is about: it is drawn, nothing is waited for. */
        (void)poll(NULL, 0, ROUND_MS_MIN + (int)rand_below(r, ROUND_MS_MAX - ROUND_MS_MIN));
        uint64_t which = rand_below(r, 5);
        if (which != 1)
            good = child_kill(edge) && good;
        if (which != 0 && which != 4)
            good = child_kill(hub) && good;
        if (rand_below(r, 2))
            power_cut(which, dir, r);
        if (which != 0 && which != 4)
            child_start(hub, dir, rand_u64(r));
        if (which != 1)
            child_start(edge, dir, rand_u64(r));
    }
    return good;
}

static int run(uint64_t rounds, const char *dir, uint64_t seed)
{
    struct child edge = {.role = "edge"};
    struct child hub = {.role = "hub"};
    struct child calm = {.role = "calm"};
    struct rand r;
    rand_seed(&r, seed);
    (void)printf("1..1\n# seed %llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    bool good = kill_rounds(&edge, &hub, rounds, dir, &r);
    good = child_kill(&hub) && good;
    calm.kills = hub.kills;
    child_start(&calm, dir, rand_u64(&r));
    good = child_finish(&edge) && good;
    good = child_finish(&calm) && good;
    good = compare(dir) && good;
    (void)printf("# edge killed %u times, hub %u times\n", edge.kills, hub.kills);
    (void)printf("%s 1 - everything acknowledged is in the database once after %llu rounds\n",
                 good ? "ok" : "not ok", (unsigned long long)rounds);
    return good ? 0 : 1;
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *at)
{
    (void)info;
    (void)flag;
    (void)at;
    return remove(path);
}

static int run_in_own_folder(uint64_t rounds, uint64_t seed)
{
    char dir[CHAIN_PATH_BYTES_MAX];
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/lotline-chain-XXXXXX", base ? base : P_tmpdir);
    chain_must(mkdtemp(dir) ? OK : ERR_IO, dir);
    int rc = run(rounds, dir, seed);
    if (rc == 0)
        (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    else
        (void)printf("# see %s\n", dir);
    return rc;
}

int main(int argc, char **argv)
{
    uint64_t number = 0;
    uint64_t seed = (uint64_t)clock_wall_us();
    chain_catch_term();
    if (argc >= 3 && strcmp(argv[1], "run") == 0) {
        chain_must(str_to_u64(bytes_of_text(argv[2]), &number), "ROUNDS");
        if (argc > 4)
            chain_must(str_to_u64(bytes_of_text(argv[4]), &seed), "SEED");
        return argc > 3 ? run(number, argv[3], seed) : run_in_own_folder(number, seed);
    }
    if (argc == 4) {
        chain_must(str_to_u64(bytes_of_text(argv[3]), &seed), "SEED");
        if (strcmp(argv[1], "edge") == 0)
            return chain_edge(argv[2], seed);
        return chain_hub(argv[2], seed, strcmp(argv[1], "calm") == 0);
    }
    (void)fprintf(stderr, "chain run ROUNDS [DIR [SEED]]\n");
    return 2;
}
