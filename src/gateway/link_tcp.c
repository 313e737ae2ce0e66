/* A device's bytes over TCP, by net/conn.h. */
#include "gateway/gateway_priv.h"
#include "net/conn.h"

static void on_open(void *ctx, struct conn *c)
{
    (void)c;
    device_link_opened(ctx);
}

static void on_data(void *ctx, struct conn *c, struct bytes data)
{
    (void)c;
    device_link_data(ctx, data);
}

static void on_close(void *ctx, struct conn *c, int err)
{
    device_link_closed(ctx, err, conn_error(c));
}

static const struct conn_handler handler = {
    .on_open = on_open,
    .on_data = on_data,
    .on_close = on_close,
};

static int tcp_open(struct device *d)
{
    const struct conn_options options = {
        .connect_timeout_ms = GATEWAY_CONNECT_US_MAX / 1000,
        .keepalive_ms = 10000,
    };
    struct conn *c = NULL;
    int err = conn_open(d->exec, d->address, &options, &handler, d, &c);
    if (!err)
        d->link = c;
    return err;
}

/* What cannot be queued is lost with the connection, whose end is told by on_close. */
static void tcp_send(struct device *d, struct bytes frame)
{
    if (conn_write(d->link, frame))
        device_drop(d);
}

static void tcp_close(struct device *d)
{
    conn_close(d->link);
}

const struct link_ops link_tcp = {.open = tcp_open, .send = tcp_send, .close = tcp_close};
