/* An example driver: a made-up device that speaks in lines of text, over TCP.
 *     R level      → level 12.5                  a value
 *     W level 3    → level 3                     the value it has now
 *     R nothing    → nothing ! no such value     a refusal
 */
#include <lotline/driver.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX 128

struct line_address {
    char name[32];
};

/* The device answers in order, one request is out at a time: slot 0. */
struct line_session {
    struct lotline_host *host;
    const struct line_address *asked; /* NULL: nothing is out */
    uint32_t owed; /* answers to requests that took too long: to be thrown away */
};

static int tag_parse(const void *options, const struct lotline_tag *tag, void *ret_address,
                     struct lotline_tag_info *ret_info, struct lotline_error *error)
{
    (void)options;
    if (!tag->address[0] || strlen(tag->address) >= sizeof(struct line_address) ||
        strpbrk(tag->address, " \n") || tag->type != LOTLINE_DOUBLE) {
        snprintf(error->text, sizeof error->text, "write one short word, of type double");
        return -1;
    }
    memcpy(ret_address, tag->address, strlen(tag->address) + 1);
    ret_info->writable = true;
    return 0;
}

/* One request a value, which comes by host->value: the step only names the tag. */
static int plan(const void *options, const void *const *addresses, uint32_t count,
                struct lotline_planner *planner)
{
    (void)options;
    for (uint32_t i = 0; i < count; i++) {
        const struct lotline_step step = {.tag = i, .kind = LOTLINE_STEP_DOUBLE, .len = 8};
        if (!planner->request(planner, addresses[i], 0) || !planner->step(planner, &step))
            return -1;
    }
    return 0;
}

static void session_init(void *session, struct lotline_host *host, const void *options)
{
    (void)options;
    ((struct line_session *)session)->host = host;
}

static void opened(void *session)
{
    struct line_session *s = session;
    s->owed = 0;
    s->host->ready(s->host);
}

static void closed(void *session)
{
    ((struct line_session *)session)->asked = NULL;
}

static void write_value(void *session, uint32_t slot, const void *address,
                        const struct lotline_value *value)
{
    struct line_session *s = session;
    char line[LINE_BYTES_MAX];
    s->asked = address;
    (void)slot;
    int len = value ? snprintf(line, sizeof line, "W %s %.17g\n", s->asked->name, value->as.f64)
                    : snprintf(line, sizeof line, "R %s\n", s->asked->name);
    s->host->send(s->host, line, (size_t)len);
}

static void read_value(void *session, uint32_t slot, const void *request)
{
    write_value(session, slot, request, NULL);
}

static void cancel(void *session, uint32_t slot)
{
    (void)slot;
    ((struct line_session *)session)->owed++;
    closed(session);
}

static void line_take(struct line_session *s, const char *line)
{
    size_t name = strcspn(line, " ");
    const char *rest = line + name + (line[name] == ' ');
    char *end;
    struct lotline_value v = {.type = LOTLINE_DOUBLE, .as.f64 = strtod(rest, &end)};
    if (s->owed > 0) {
        s->owed--;
        s->host->late(s->host);
    } else if (!s->asked || strlen(s->asked->name) != name ||
               memcmp(line, s->asked->name, name) != 0) {
        s->host->fault(s->host, "foreign answer", "the device answered what was not asked");
    } else {
        bool number = end != rest && *end == 0;
        s->asked = NULL;
        if (number)
            s->host->value(s->host, 0, 0, &v);
        s->host->finish(s->host, 0, number ? LOTLINE_DONE : LOTLINE_REFUSED, rest);
    }
}

static size_t received(void *session, const uint8_t *data, size_t len)
{
    size_t used = 0;
    const uint8_t *end;
    while ((end = memchr(data + used, '\n', len - used)) != NULL) {
        char line[LINE_BYTES_MAX];
        snprintf(line, sizeof line, "%.*s", (int)(end - data - (int)used),
                 (const char *)data + used);
        used = (size_t)(end - data) + 1;
        line_take(session, line);
    }
    return used;
}

static const struct lotline_driver driver = {.abi = LOTLINE_DRIVER_ABI,
                                             .size = sizeof driver,
                                             .name = "line",
                                             .doc = "Lines of text",
                                             .in_flight_max = 1,
                                             .address_bytes = sizeof(struct line_address),
                                             .request_bytes = sizeof(struct line_address),
                                             .session_bytes = sizeof(struct line_session),
                                             .frame_bytes_max = LINE_BYTES_MAX,
                                             .tag_parse = tag_parse,
                                             .plan = plan,
                                             .session_init = session_init,
                                             .opened = opened,
                                             .closed = closed,
                                             .received = received,
                                             .read = read_value,
                                             .write = write_value,
                                             .cancel = cancel};

const struct lotline_driver *lotline_driver(void)
{
    return &driver;
}
