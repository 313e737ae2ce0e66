/* Publishing with QoS 1 over MQTT 5.0, written from OASIS's text: CONNECT, PUBLISH, and what comes
 * back. A simulator's own, and as small as it gets: blocking, one topic and payload at a time. */
#include "sim/plant_ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WINDOW    16 /* messages under way */
#define IN_MAX    4096
#define TIMEOUT_S 120

struct plant_publisher {
    int fd;
    uint16_t next_id;
    uint32_t waiting;
    size_t in_len;
    uint8_t in[IN_MAX];
};

static void put_text(struct buf *out, struct bytes v)
{
    (void)buf_append_be16(out, (uint16_t)v.len);
    (void)buf_append_bytes(out, v);
}

static bool packet_send(struct plant_publisher *b, uint8_t head, struct bytes body,
                        struct bytes payload)
{
    struct buf out = {0};
    (void)buf_append_u8(&out, head);
    (void)buf_append_varint(&out, body.len + payload.len);
    (void)buf_append_bytes(&out, body);
    (void)buf_append_bytes(&out, payload);
    size_t at = 0;
    while (at < out.len && !buf_error(&out)) {
        ssize_t n = send(b->fd, out.ptr + at, out.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    bool sent = at == out.len && !buf_error(&out);
    buf_fini(&out);
    if (!sent)
        (void)fprintf(stderr, "sim plant: the broker took no more: %s\n",
                      err_text(err_from_errno(errno)));
    return sent;
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

/* A CONNACK or PUBACK: what follows the fixed head. A refusal is told. */
static bool packet_take(struct plant_publisher *b, struct bytes packet)
{
    struct reader r = reader_of(packet);
    uint8_t kind = reader_u8(&r) >> 4;
    (void)reader_varint(&r);
    (void)reader_be16(&r); /* CONNACK: flags and reason; PUBACK: which message */
    uint8_t reason = 0;
    if (kind == 2 && !r.failed)
        reason = r.ptr[-1];
    else if (reader_left(&r) > 0)
        reason = reader_u8(&r);
    if (kind == 4 && b->waiting > 0)
        b->waiting--;
    if (kind != 14 && reason < 0x80)
        return true;
    struct bytes why = bytes_of(r.ptr, reader_left(&r));
    if (why.len > 4 && why.ptr[1] == 0x1f) /* one property, a Reason String */
        why = bytes_of(why.ptr + 4, why.len - 4);
    else
        why.len = 0;
    (void)fprintf(stderr, "sim plant: the broker refused %s (reason 0x%02x) %.*s\n",
                  kind == 2   ? "the connection"
                  : kind == 4 ? "a message"
                              : "to go on",
                  reason, (int)why.len, (const char *)why.ptr);
    return false;
}

/* Waits for at least one packet and takes all that are there. */
static bool packets_receive(struct plant_publisher *b)
{
    for (;;) {
        size_t at = 0;
        size_t length;
        bool some = false;
        while ((length = packet_length(bytes_of(b->in + at, b->in_len - at))) > 0) {
            if (!packet_take(b, bytes_of(b->in + at, length)))
                return false;
            at += length;
            some = true;
        }
        b->in_len -= at;
        memmove(b->in, b->in + at, b->in_len);
        if (some)
            return true;
        ssize_t n = recv(b->fd, b->in + b->in_len, sizeof b->in - b->in_len, 0);
        if (n <= 0) {
            (void)fprintf(stderr, "sim plant: the broker does not answer\n");
            return false;
        }
        b->in_len += (size_t)n;
    }
}

static int dial(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    struct timeval patience = {.tv_sec = TIMEOUT_S};
    int on = 1;
    if (!colon || (size_t)(colon - address) >= sizeof host)
        return -1;
    memcpy(host, address, (size_t)(colon - address));
    host[colon - address] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found))
        return -1;
    int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen)) {
        (void)close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return fd;
}

static bool sign_in(struct plant_publisher *b, const char *token)
{
    struct buf body = {0};
    put_text(&body, bytes_of_text("MQTT"));
    (void)buf_append_u8(&body, 5);
    (void)buf_append_u8(&body, token ? 0xc2 : 0x02); /* user and password; clean start */
    (void)buf_append_be16(&body, 0);                 /* no keep-alive */
    (void)buf_append_u8(&body, 0);                   /* no properties */
    put_text(&body, bytes_of_text(""));
    if (token) {
        put_text(&body, bytes_of_text("plant"));
        put_text(&body, bytes_of_text(token));
    }
    bool done = packet_send(b, 0x10, buf_bytes(&body), bytes_of(NULL, 0)) && packets_receive(b);
    buf_fini(&body);
    return done;
}

struct plant_publisher *plant_publisher_open(const char *address, const char *token, bool tell)
{
    struct plant_publisher *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->fd = dial(address);
    if (b->fd < 0 && tell)
        (void)fprintf(stderr, "sim plant: no broker answers at %s (HOST:PORT)\n", address);
    if (b->fd < 0 || !sign_in(b, token)) {
        plant_publisher_close(b);
        return NULL;
    }
    return b;
}

bool plant_publisher_send(struct plant_publisher *b, struct bytes topic, struct bytes payload)
{
    while (b->waiting >= WINDOW) {
        if (!packets_receive(b))
            return false;
    }
    struct buf body = {0};
    b->next_id = b->next_id == UINT16_MAX ? 1 : (uint16_t)(b->next_id + 1);
    put_text(&body, topic);
    (void)buf_append_be16(&body, b->next_id);
    (void)buf_append_u8(&body, 0);
    bool sent = packet_send(b, 0x32, buf_bytes(&body), payload);
    b->waiting += sent;
    buf_fini(&body);
    return sent;
}

bool plant_publisher_flush(struct plant_publisher *b)
{
    while (b->waiting > 0) {
        if (!packets_receive(b))
            return false;
    }
    return true;
}

void plant_publisher_close(struct plant_publisher *b)
{
    if (!b)
        return;
    if (b->fd >= 0)
        (void)close(b->fd);
    free(b);
}
