/* Publishing with QoS 1 over MQTT 5.0, written from OASIS's text: CONNECT, PUBLISH, and what comes
 * back. A simulator's own, and as small as it gets: blocking, one topic and payload at a time.
 *
 * Each message is kept until it is acknowledged, WINDOW of them at most. When the broker goes away
 * nothing is thrown away: the connection is made anew, what is kept goes again in its order and
 * marked DUP (section 4.4), and all goes on. Who sends meanwhile is told to come again, and makes
 * no further message: so the past of years needs the memory of a window. A broker may have taken
 * what it could not acknowledge any more; then it has that twice, which QoS 1 allows.
 *
 * Between two attempts the caller's loop runs, since a node that starts asks the MES before it
 * listens. An attempt takes DIAL_US at most. */
#include "base/clock.h"
#include "sim/plant_ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW        16 /* messages under way */
#define IN_MAX        4096
#define ANSWER_US     (120 * SECOND_US) /* a broker that is connected acknowledges within */
#define AWAY_US       (120 * SECOND_US) /* one that has gone is back within */
#define DIAL_US       (5 * SECOND_US)
#define PAUSE_US      50000 /* to the second attempt; then twice as long each time */
#define PAUSE_MAX_US  (2 * SECOND_US)
#define ADDRESS_BYTES 256
#define TOKEN_BYTES   512
#define CLIENT_BYTES  24 /* of an identifier that every broker takes, section 3.1.3.1 */

#define DUP            0x08
#define SESSION_EXPIRY 0x11 /* a property */

enum {
    PACKET_CONNACK = 2,
    PACKET_PUBACK = 4,
    PACKET_DISCONNECT = 14,
};

/* Reasons why a broker that stops or starts says no: section 2.4. */
enum {
    UNAVAILABLE = 0x88,
    BUSY = 0x89,
    SHUTTING = 0x8b,
};

struct kept {
    uint16_t id;
    struct buf packet;
};

struct plant_publisher {
    int fd; /* -1: the broker is away */
    char address[ADDRESS_BYTES];
    char token[TOKEN_BYTES];
    char client[CLIENT_BYTES];
    uint16_t next_id;
    uint32_t waiting;
    struct kept kept[WINDOW]; /* of which `waiting`, the oldest first */
    int64_t away_us;          /* since when nothing is acknowledged; 0 = all is well */
    int64_t pause_us, dial_us;
    size_t in_len;
    uint8_t in[IN_MAX];
};

/* Told once, however often it goes before a message has come through. Returns ERR_AGAIN. */
static int broker_lost(struct plant_publisher *b, int err)
{
    int64_t now = clock_mono_us();
    if (b->fd >= 0)
        (void)close(b->fd);
    b->fd = -1;
    b->in_len = 0;
    b->dial_us = now + b->pause_us;
    if (b->away_us)
        return ERR_AGAIN;
    b->away_us = now;
    (void)fprintf(stderr,
                  "sim plant: the broker at %s has gone (%s): %u messages are not acknowledged;"
                  " they go again when it is back, if that is within %d s\n",
                  b->address, err_text(err), b->waiting, (int)(AWAY_US / SECOND_US));
    return ERR_AGAIN;
}

static void broker_found(struct plant_publisher *b)
{
    if (b->away_us)
        (void)fprintf(stderr, "sim plant: the broker is back after %.1f s: the past goes on\n",
                      (double)(clock_mono_us() - b->away_us) / 1e6);
    b->away_us = 0;
    b->pause_us = PAUSE_US;
}

/* ---------------------------------------------------------------------------------------- packets
 */

static void put_text(struct buf *out, struct bytes v)
{
    (void)buf_append_be16(out, (uint16_t)v.len);
    (void)buf_append_bytes(out, v);
}

static void put_be32(struct buf *out, uint32_t v)
{
    (void)buf_append_be16(out, (uint16_t)(v >> 16));
    (void)buf_append_be16(out, (uint16_t)v);
}

static void put_packet(struct buf *out, uint8_t head, struct bytes body, struct bytes payload)
{
    buf_reset(out);
    (void)buf_append_u8(out, head);
    (void)buf_append_varint(out, body.len + payload.len);
    (void)buf_append_bytes(out, body);
    (void)buf_append_bytes(out, payload);
}

/* What the system says of a send or a receive that failed. */
static int link_error(ssize_t n)
{
    if (n == 0)
        return ERR_CLOSED;
    return errno == EAGAIN ? ERR_TIMEOUT : err_from_errno(errno);
}

static int packet_send(struct plant_publisher *b, struct bytes packet)
{
    while (packet.len > 0) {
        ssize_t n = send(b->fd, packet.ptr, packet.len, MSG_NOSIGNAL);
        if (n <= 0)
            return link_error(n);
        packet = bytes_of(packet.ptr + n, packet.len - (size_t)n);
    }
    return OK;
}

/* The length of the whole packet at the begin of `in`, 0 if it is not there yet. */
static size_t packet_length(struct bytes in)
{
    struct reader r = reader_of(in);
    (void)reader_u8(&r);
    uint64_t length = reader_varint(&r);
    if (r.failed || length > reader_left(&r))
        return 0;
    return in.len - reader_left(&r) + (size_t)length;
}

static void acknowledged(struct plant_publisher *b, uint16_t id)
{
    uint32_t i = 0;
    while (i < b->waiting && b->kept[i].id != id)
        i++;
    if (i == b->waiting)
        return;
    struct kept spare = b->kept[i]; /* its memory serves the next one */
    b->waiting--;
    memmove(b->kept + i, b->kept + i + 1, (b->waiting - i) * sizeof *b->kept);
    b->kept[b->waiting] = spare;
    broker_found(b);
}

static int refusal_tell(uint8_t kind, uint8_t reason, struct bytes properties)
{
    struct bytes why = {0};
    if (properties.len > 4 && properties.ptr[1] == 0x1f) /* one property, a Reason String */
        why = bytes_of(properties.ptr + 4, properties.len - 4);
    (void)fprintf(stderr, "sim plant: the broker refused %s (reason 0x%02x) %.*s\n",
                  kind == PACKET_CONNACK  ? "the connection"
                  : kind == PACKET_PUBACK ? "a message"
                                          : "to go on",
                  reason, (int)why.len, (const char *)why.ptr);
    return ERR_DENIED;
}

/* OK, ERR_DENIED (told), ERR_CLOSED: it goes, or is not there yet. */
static int packet_take(struct plant_publisher *b, struct bytes packet)
{
    struct reader r = reader_of(packet);
    uint8_t kind = reader_u8(&r) >> 4;
    (void)reader_varint(&r);
    uint16_t id = 0;
    if (kind == PACKET_PUBACK)
        id = reader_be16(&r);
    else if (kind == PACKET_CONNACK)
        (void)reader_u8(&r); /* whether it remembers the session: what is kept goes again anyway */
    uint8_t reason = reader_left(&r) > 0 ? reader_u8(&r) : 0;
    if (kind != PACKET_PUBACK && (reason == UNAVAILABLE || reason == BUSY || reason == SHUTTING))
        return ERR_CLOSED;
    if (kind == PACKET_DISCONNECT || reason >= 0x80)
        return refusal_tell(kind, reason, bytes_of(r.ptr, reader_left(&r)));
    if (kind == PACKET_PUBACK)
        acknowledged(b, id);
    return OK;
}

/* Waits for at least one packet and takes all that are there. */
static int packets_receive(struct plant_publisher *b)
{
    for (;;) {
        size_t at = 0;
        size_t length;
        bool some = false;
        while ((length = packet_length(bytes_of(b->in + at, b->in_len - at))) > 0) {
            int err = packet_take(b, bytes_of(b->in + at, length));
            if (err)
                return err;
            at += length;
            some = true;
        }
        b->in_len -= at;
        memmove(b->in, b->in + at, b->in_len);
        if (some)
            return OK;
        ssize_t n = recv(b->fd, b->in + b->in_len, sizeof b->in - b->in_len, 0);
        if (n <= 0)
            return link_error(n);
        b->in_len += (size_t)n;
    }
}

/* ------------------------------------------------------------------------------------ connection
 */

static void patience_set(int fd, int64_t us)
{
    struct timeval patience = {.tv_sec = us / SECOND_US};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

static int dial(struct plant_publisher *b)
{
    char host[ADDRESS_BYTES];
    const char *colon = strrchr(b->address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int on = 1;
    if (!colon)
        return ERR_INVALID;
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - b->address), b->address);
    if (getaddrinfo(host, colon + 1, &hints, &found))
        return ERR_UNREACHABLE;
    int err = OK;
    b->fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (b->fd >= 0)
        patience_set(b->fd, DIAL_US);
    if (b->fd < 0 || connect(b->fd, found->ai_addr, found->ai_addrlen))
        err = errno == EINPROGRESS ? ERR_TIMEOUT : err_from_errno(errno);
    freeaddrinfo(found);
    if (b->fd >= 0)
        (void)setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return err;
}

static int sign_in(struct plant_publisher *b)
{
    struct buf body = {0};
    struct buf packet = {0};
    bool again = b->away_us != 0;
    uint8_t user = b->token[0] ? 0xc0 : 0; /* and password */
    put_text(&body, bytes_of_text("MQTT"));
    (void)buf_append_u8(&body, 5);
    (void)buf_append_u8(&body, again ? user : user | 0x02); /* a clean start */
    (void)buf_append_be16(&body, 0);                        /* no keep-alive */
    (void)buf_append_u8(&body, 5);                          /* properties: */
    (void)buf_append_u8(&body, SESSION_EXPIRY);
    put_be32(&body, AWAY_US / SECOND_US);
    put_text(&body, bytes_of_text(b->client));
    if (user) {
        put_text(&body, bytes_of_text("plant"));
        put_text(&body, bytes_of_text(b->token));
    }
    put_packet(&packet, 0x10, buf_bytes(&body), bytes_of(NULL, 0));
    int err = buf_error(&packet) || buf_error(&body) ? ERR_NOMEM : OK;
    if (!err)
        err = packet_send(b, buf_bytes(&packet));
    if (!err)
        err = packets_receive(b);
    buf_fini(&packet);
    buf_fini(&body);
    return err;
}

/* One attempt; what is kept goes again. ERR_DENIED is told. */
static int link_open(struct plant_publisher *b)
{
    int err = dial(b);
    if (!err)
        err = sign_in(b);
    if (err)
        return err;
    patience_set(b->fd, ANSWER_US);
    for (uint32_t i = 0; i < b->waiting && !err; i++) {
        b->kept[i].packet.ptr[0] |= DUP;
        err = packet_send(b, buf_bytes(&b->kept[i].packet));
    }
    return err;
}

/* What an error of the connection means to the caller. */
static int link_result(struct plant_publisher *b, int err)
{
    return err == OK || err == ERR_DENIED ? err : broker_lost(b, err);
}

/* There is a connection; if not, one attempt is made when it is time for it. */
static int link_up(struct plant_publisher *b)
{
    int64_t now = clock_mono_us();
    if (b->fd >= 0)
        return OK;
    if (now - b->away_us > AWAY_US) {
        (void)fprintf(stderr,
                      "sim plant: the broker at %s has taken nothing for %d s: look why in the"
                      " node's log; then tell the past again, to a node without data\n",
                      b->address, (int)((now - b->away_us) / SECOND_US));
        return ERR_TIMEOUT;
    }
    if (now < b->dial_us)
        return ERR_AGAIN;
    b->pause_us = b->pause_us * 2 < PAUSE_MAX_US ? b->pause_us * 2 : PAUSE_MAX_US;
    return link_result(b, link_open(b));
}

struct plant_publisher *plant_publisher_open(const char *address, const char *token, bool tell)
{
    struct plant_publisher *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->fd = -1;
    b->pause_us = PAUSE_US;
    (void)snprintf(b->address, sizeof b->address, "%s", address);
    (void)snprintf(b->token, sizeof b->token, "%s", token ? token : "");
    (void)snprintf(b->client, sizeof b->client, "plant%08x%08x", (unsigned)getpid(),
                   (unsigned)(clock_wall_us() / SECOND_US));
    int err = link_open(b);
    if (err && err != ERR_DENIED && tell)
        (void)fprintf(stderr, "sim plant: no broker answers at %s (HOST:PORT): %s\n", address,
                      err_text(err));
    if (err) {
        plant_publisher_close(b);
        return NULL;
    }
    return b;
}

int plant_publisher_send(struct plant_publisher *b, struct bytes topic, struct bytes payload)
{
    int err = link_up(b);
    while (!err && b->waiting >= WINDOW)
        err = link_result(b, packets_receive(b));
    if (err)
        return err;
    struct kept *k = &b->kept[b->waiting];
    struct buf body = {0};
    b->next_id = b->next_id == UINT16_MAX ? 1 : (uint16_t)(b->next_id + 1);
    put_text(&body, topic);
    (void)buf_append_be16(&body, b->next_id);
    (void)buf_append_u8(&body, 0);
    put_packet(&k->packet, 0x32, buf_bytes(&body), payload);
    err = buf_error(&body) || buf_error(&k->packet) ? ERR_NOMEM : OK;
    buf_fini(&body);
    if (err) {
        (void)fprintf(stderr, "sim plant: out of memory\n");
        return err;
    }
    k->id = b->next_id;
    b->waiting++;
    err = link_result(b, packet_send(b, buf_bytes(&k->packet)));
    return err == ERR_AGAIN ? OK : err; /* it is kept */
}

int plant_publisher_flush(struct plant_publisher *b)
{
    int err = link_up(b);
    while (!err && b->waiting > 0)
        err = link_result(b, packets_receive(b));
    return err;
}

void plant_publisher_close(struct plant_publisher *b)
{
    static const uint8_t goodbye[] = {0xe0, 7, 0, 5, SESSION_EXPIRY, 0, 0, 0, 0};
    if (!b)
        return;
    if (b->fd >= 0) {
        (void)packet_send(b, bytes_of(goodbye, sizeof goodbye));
        (void)close(b->fd);
    }
    for (unsigned i = 0; i < WINDOW; i++)
        buf_fini(&b->kept[i].packet);
    free(b);
}
