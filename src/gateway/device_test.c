/* A device against a scripted Modbus server, on a clock that the test moves: the grid, time-outs,
 * every lie an answer can tell, splitting, writing, back-pressure. The server below is the test's
 * own: it knows frames by their bytes and nothing of the driver. */
#include "config/config.h"
#include "gateway/gateway_priv.h"
#include "tests/support/check.h"

#include <stdio.h>
#include <stdlib.h>

#define WALL_US    1700000000000000 /* a whole second */
#define FRAMES_MAX 256
#define ROWS_KEPT  64

/* What the device sent, and what came out of the group. */
static struct rig {
    struct exec *exec;
    struct gateway *gateway;
    struct catalogue catalogue;
    struct config *config;
    struct device *device;
    struct flow *flow;
    bool take; /* the consumer takes what comes */
    struct flow_item items[ROWS_KEPT];
    uint32_t item_count;
    uint8_t frames[FRAMES_MAX][300];
    size_t frame_len[FRAMES_MAX];
    uint32_t frame_count;
    uint32_t served;
    uint32_t opens;
    bool refuse;
    struct exec_task opened_task;
    struct exec_task closed_task;
    int close_err;
    uint16_t registers[65536];
} rig;

/* -------------------------------------------------------------------------------------------- link
 */

static void fake_opened(struct exec_task *task)
{
    (void)task;
    device_link_opened(rig.device);
}

static void fake_closed(struct exec_task *task)
{
    (void)task;
    device_link_closed(rig.device, rig.close_err, rig.close_err ? "the server is not there" : "");
}

static int fake_open(struct device *d)
{
    rig.opens++;
    d->link = &rig;
    rig.close_err = rig.refuse ? ERR_REFUSED : OK;
    exec_task_init(&rig.opened_task, fake_opened);
    exec_task_init(&rig.closed_task, fake_closed);
    exec_post(rig.exec, rig.refuse ? &rig.closed_task : &rig.opened_task);
    return OK;
}

static void fake_send(struct device *d, struct bytes frame)
{
    (void)d;
    CHECK(rig.frame_count < FRAMES_MAX && frame.len <= sizeof rig.frames[0]);
    memcpy(rig.frames[rig.frame_count], frame.ptr, frame.len);
    rig.frame_len[rig.frame_count++] = frame.len;
}

static void fake_close(struct device *d)
{
    (void)d;
    exec_post(rig.exec, &rig.closed_task);
}

static const struct link_ops fake_link = {fake_open, fake_send, fake_close};

/* ------------------------------------------------------------------------------------------ server
 */

static void server_sends(const void *data, size_t len)
{
    device_link_data(rig.device, bytes_of(data, len));
    exec_fake_run(rig.exec);
}

/* An answer to frame i with any head and body. */
static size_t answer_make(uint32_t i, uint8_t function, const void *body, size_t len, uint8_t *out)
{
    memcpy(out, rig.frames[i], 4);
    store_be16(out + 4, (uint16_t)(len + 2));
    out[6] = rig.frames[i][6];
    out[7] = function;
    memcpy(out + 8, body, len);
    return len + 8;
}

static size_t answer_good(uint32_t i, uint8_t *out)
{
    const uint8_t *f = rig.frames[i];
    uint8_t body[260] = {0};
    uint16_t start = load_be16(f + 8);
    uint16_t count = load_be16(f + 10);
    if (f[7] == 3 || f[7] == 4) {
        body[0] = (uint8_t)(count * 2);
        for (uint16_t k = 0; k < count; k++)
            store_be16(body + 1 + k * 2, rig.registers[start + k]);
        return answer_make(i, f[7], body, 1u + count * 2u, out);
    }
    if (f[7] == 6)
        rig.registers[start] = count;
    if (f[7] == 16)
        for (uint16_t k = 0; k < count; k++)
            rig.registers[start + k] = load_be16(f + 13 + k * 2);
    if (f[7] == 22)
        rig.registers[start] =
            (uint16_t)((rig.registers[start] & count) | (load_be16(f + 12) & ~count));
    return answer_make(i, f[7], f + 8, f[7] == 22 ? 6 : 4, out);
}

/* Answers everything that waits, as a device that is well. */
static void serve(void)
{
    uint8_t out[300];
    while (rig.served < rig.frame_count) {
        size_t len = answer_good(rig.served, out);
        rig.served++;
        server_sends(out, len);
    }
}

static void serve_exception(uint8_t exception)
{
    uint8_t out[300];
    uint32_t i = rig.served++;
    size_t len = answer_make(i, rig.frames[i][7] | 0x80, &exception, 1, out);
    server_sends(out, len);
}

/* --------------------------------------------------------------------------------------------- rig
 */

static void on_ready(void *ctx, struct flow *f)
{
    (void)ctx;
    while (rig.take && rig.item_count < ROWS_KEPT && flow_take(f, &rig.items[rig.item_count]))
        rig.item_count++;
}

static void items_finish(void)
{
    for (uint32_t i = 0; i < rig.item_count; i++)
        flow_finish(&rig.items[i], rig.items[i].at, OK);
    rig.item_count = 0;
    exec_fake_run(rig.exec);
}

static void rig_flow(const char *stream)
{
    const struct flow_options options = {.name = "test",
                                         .consumer = rig.exec,
                                         .policy = FLOW_BLOCK,
                                         .items_max = 2,
                                         .on_ready = on_ready};
    struct stream *s = catalogue_stream_find(&rig.catalogue, bytes_of_text(stream));
    CHECK(s && s->outlet);
    CHECK_OK(flow_new(&options, &rig.flow));
    outlet_attach(s->outlet, rig.flow);
    rig.take = true;
}

static void rig_start(const char *devices, const struct gateway_audit *audit)
{
    struct buf text = {0};
    struct diag diag = {0};
    memset(&rig, 0, sizeof rig);
    rig.exec = exec_fake_new(1000000, WALL_US - 5000);
    static struct exec *loops[1];
    loops[0] = rig.exec;
    const struct gateway_options options = {.loops = loops, .loop_count = 1, .audit = audit};
    buf_printf(&text, "name: n\ndevices:\n%s", devices);
    CHECK_OK(config_parse("t.yaml", buf_bytes(&text), &rig.config, &diag));
    buf_fini(&text);
    CHECK_OK(catalogue_init(&rig.catalogue, "n"));
    CHECK_OK(gateway_new(&options, &rig.gateway));
    int err = gateway_configure(rig.gateway, rig.config, &rig.catalogue, &diag);
    if (err)
        check_fail_at(__FILE__, __LINE__, "%s", diag.text);
    rig.device = &rig.gateway->devices[0];
    rig.device->link_ops = &fake_link;
    rig_flow("plc.g");
    CHECK_OK(gateway_start(rig.gateway));
    exec_fake_run(rig.exec);
}

static void rig_stop(void)
{
    items_finish();
    exec_post(rig.exec, &rig.device->stop_task);
    exec_fake_run(rig.exec);
    CHECK_EQ(atomic_load(&rig.gateway->running), 0);
    items_finish();
    flow_unref(rig.flow);
    rig.gateway->started = false;
    gateway_free(rig.gateway);
    catalogue_fini(&rig.catalogue);
    config_free(rig.config);
    exec_fake_free(rig.exec);
}

static void advance_ms(int64_t ms)
{
    exec_fake_advance(rig.exec, ms * 1000);
}

static const struct batch *last_batch(void)
{
    CHECK(rig.item_count > 0);
    return rig.items[rig.item_count - 1].batch;
}

static struct value cell(const struct batch *b, uint32_t col)
{
    struct column c = batch_column(b, col);
    struct value v = column_value(&c, b->rows - 1);
    v.quality = column_quality(&c, b->rows - 1);
    return v;
}

static enum quality last_quality(uint32_t col)
{
    return cell(last_batch(), col).quality;
}

#define DEVICE "  - name: plc\n    driver: modbus-tcp\n    address: 127.0.0.1\n    timeout: 200ms\n"
#define GROUP  "    groups:\n      - name: g\n        interval: 100ms\n        linger: 0ms\n"
#define TAGS   "        tags:\n"
#define TAG(name, address, type)                                                                   \
    "          - {name: " name ", address: \"" address "\", type: " type "}\n"

static const char one_tag[] = DEVICE GROUP TAGS TAG("a", "1!400001", "uint16");
static const char two_groups[] = DEVICE GROUP TAGS TAG(
    "a", "1!400001",
    "uint16") "      - name: h\n        interval: 100ms\n" TAGS TAG("b", "1!400100", "uint16");
static const char holes[] = DEVICE GROUP TAGS TAG("a", "1!400001", "uint16")
    TAG("b", "1!400003", "uint16") TAG("c", "1!400005", "uint16") TAG("d", "1!400007", "uint16");
static const char two_units[] =
    DEVICE GROUP TAGS TAG("a", "1!400001", "uint16") TAG("b", "2!400001", "uint16");

/* ------------------------------------------------------------------------------------------- grid
 */

TEST(cycles_start_on_whole_multiples_of_the_interval)
{
    rig_start(one_tag, NULL);
    CHECK_EQ(rig.frame_count, 0);
    rig.registers[0] = 7;
    advance_ms(5);
    CHECK_EQ(rig.frame_count, 1);
    advance_ms(3);
    serve();
    CHECK_EQ(rig.item_count, 1);
    CHECK_EQ(batch_times(last_batch())[0], WALL_US);
    struct column c = batch_column(last_batch(), 0);
    CHECK_EQ(c.time_offset[0], 3000);
    CHECK_EQ(cell(last_batch(), 0).u64, 7);
    items_finish();
    advance_ms(97);
    serve();
    CHECK_EQ(batch_times(last_batch())[0], WALL_US + 100000);
    CHECK_EQ(rig.device->state, DEVICE_ONLINE);
    rig_stop();
}

TEST(a_cycle_that_still_runs_makes_the_next_one_missed_and_none_is_queued)
{
    rig_start(DEVICE "    in_flight_max: 4\n" GROUP TAGS TAG("a", "1!400001", "uint16"), NULL);
    advance_ms(5);
    advance_ms(150); /* one grid point passes */
    CHECK_EQ(rig.frame_count, 1);
    CHECK_EQ(count_get(&rig.device->groups[0].count.missed), 1);
    serve();
    CHECK_EQ(rig.frame_count, 1);
    CHECK_EQ(rig.item_count, 1);
    advance_ms(50);
    CHECK_EQ(rig.frame_count, 2);
    rig_stop();
}

TEST(rows_are_coalesced_by_linger)
{
    rig_start(
        DEVICE
        "    groups:\n      - name: g\n        interval: 10ms\n        linger: 50ms\n" TAGS TAG(
            "a", "1!400001", "uint16"),
        NULL);
    advance_ms(5);
    for (int i = 0; i < 10; i++) {
        serve();
        advance_ms(10);
    }
    CHECK_EQ(rig.item_count, 2);
    CHECK_EQ(rig.items[0].batch->rows, 5);
    rig_stop();
}

/* ------------------------------------------------------------------------------------------- lies
 */

TEST(a_late_answer_is_thrown_away)
{
    uint8_t late[300];
    rig_start(one_tag, NULL);
    rig.registers[0] = 1;
    advance_ms(5);
    size_t len = answer_good(0, late);
    rig.served = 1;
    advance_ms(205); /* its time is over */
    CHECK_EQ(last_quality(0), QUALITY_TIMEOUT);
    CHECK_STR(rig.device->error_name, "timeout");
    items_finish();
    advance_ms(90); /* the next request is on its way */
    CHECK_EQ(rig.frame_count, 2);
    server_sends(late, len);
    CHECK_EQ(rig.item_count, 0);
    CHECK_EQ(count_get(&rig.device->count.late), 1);
    CHECK_STR(rig.device->error_name, "late answer");
    rig.registers[0] = 2;
    serve();
    CHECK_EQ(cell(last_batch(), 0).u64, 2);
    rig_stop();
}

/* Sends a damaged answer to the first request and checks what the device makes of it. */
static void check_lie(const char *name, size_t at, uint8_t byte, size_t cut, size_t more)
{
    uint8_t out[300] = {0};
    rig_start(one_tag, NULL);
    advance_ms(5);
    size_t len = answer_good(0, out);
    out[at] = byte;
    if (cut || more)
        store_be16(out + 4, (uint16_t)(load_be16(out + 4) - cut + more));
    rig.served = 1;
    server_sends(out, len - cut + more);
    CHECK_STR(rig.device->error_name, name);
    CHECK_EQ(rig.device->state, DEVICE_OFFLINE);
    CHECK_EQ(last_quality(0), QUALITY_PROTOCOL);
    CHECK_EQ(cell(last_batch(), 0).type, VALUE_NULL);
    items_finish();
    for (int i = 0; i < 50; i++) { /* it comes back by itself */
        advance_ms(10);
        serve();
    }
    CHECK_EQ(rig.opens, 2);
    CHECK_EQ(rig.device->state, DEVICE_ONLINE);
    CHECK_EQ(last_quality(0), QUALITY_GOOD);
    rig_stop();
}

TEST(another_transaction_id_is_a_fault)
{
    check_lie("foreign transaction id", 1, 0x77, 0, 0);
}

TEST(another_protocol_id_is_a_fault)
{
    check_lie("foreign protocol id", 3, 1, 0, 0);
}

TEST(another_unit_is_a_fault)
{
    check_lie("foreign unit id", 6, 9, 0, 0);
}

TEST(another_function_is_a_fault)
{
    check_lie("foreign function", 7, 4, 0, 0);
}

TEST(a_short_frame_is_a_fault)
{
    check_lie("short frame", 8, 1, 1, 0);
}

TEST(a_long_frame_is_a_fault)
{
    check_lie("long frame", 8, 4, 0, 2);
}

TEST(a_wrong_byte_count_is_a_fault)
{
    check_lie("wrong byte count", 8, 4, 0, 0);
}

TEST(half_a_frame_is_a_fault_when_time_is_up)
{
    uint8_t out[300];
    rig_start(one_tag, NULL);
    advance_ms(5);
    size_t len = answer_good(0, out);
    server_sends(out, len - 1);
    CHECK_EQ(rig.item_count, 0);
    advance_ms(205);
    CHECK_STR(rig.device->error_name, "half a frame");
    CHECK_EQ(rig.device->state, DEVICE_OFFLINE);
    rig_stop();
}

TEST(bytes_may_come_one_by_one_and_frames_together)
{
    uint8_t out[600];
    rig_start(DEVICE
              "    in_flight_max: 2\n    gap_max: 0\n" GROUP TAGS TAG("a", "1!400001", "uint16")
                  TAG("b", "1!400003", "uint16"),
              NULL);
    rig.registers[0] = 1;
    rig.registers[2] = 3;
    advance_ms(5);
    CHECK_EQ(rig.frame_count, 2);
    size_t second = answer_good(1, out);
    size_t len = second + answer_good(0, out + second);
    for (size_t i = 0; i < len; i++)
        server_sends(out + i, 1);
    rig.served = 2;
    CHECK_EQ(cell(last_batch(), 0).u64, 1);
    CHECK_EQ(cell(last_batch(), 1).u64, 3);
    items_finish();
    advance_ms(100);
    second = answer_good(3, out);
    len = second + answer_good(2, out + second);
    rig.served = 4;
    server_sends(out, len);
    CHECK_EQ(cell(last_batch(), 1).u64, 3);
    CHECK_EQ(count_get(&rig.device->count.faults), 0);
    rig_stop();
}

static void seconds_pass(int seconds)
{
    for (int i = 0; i < seconds; i++) {
        advance_ms(1000);
        items_finish();
    }
}

TEST(silence_drops_the_link_and_retries_come_ever_later)
{
    rig_start(one_tag, NULL);
    advance_ms(1000);
    CHECK_STR(rig.device->error_name, "silent");
    CHECK(rig.device->state == DEVICE_OFFLINE);
    seconds_pass(60);
    uint32_t minute = rig.opens;
    CHECK(minute > 3 && minute < 20);
    seconds_pass(20);
    CHECK(rig.opens - minute <= 3);
    rig_stop();
}

TEST(a_refused_connection_is_named_and_its_tags_are_offline)
{
    rig_start(one_tag, NULL);
    rig.refuse = true;
    exec_post(rig.exec, &rig.closed_task);
    rig.close_err = ERR_CLOSED;
    exec_fake_run(rig.exec);
    CHECK_STR(rig.device->error_name, "closed");
    advance_ms(400);
    CHECK_STR(rig.device->error_name, "refused");
    CHECK_EQ(last_quality(0), QUALITY_OFFLINE);
    uint32_t rows = rig.item_count;
    items_finish();
    advance_ms(900);
    CHECK(rows + rig.item_count <= 3); /* one a second says it often enough */
    rig_stop();
}

TEST(a_silent_unit_does_not_stop_the_others)
{
    uint8_t out[300];
    uint32_t asked = 0;
    rig_start(two_units, NULL);
    for (int i = 0; i < 300; i++) {
        advance_ms(10);
        while (rig.served < rig.frame_count) {
            uint32_t f = rig.served++;
            if (rig.frames[f][6] == 2) {
                asked++;
                continue;
            }
            size_t len = answer_good(f, out);
            server_sends(out, len);
        }
        items_finish();
    }
    CHECK_EQ(rig.device->state, DEVICE_ONLINE);
    CHECK_EQ(rig.opens, 1);
    CHECK(asked <= 7); /* of some thirty cycles */
    CHECK(count_get(&rig.device->groups[0].count.values) >= 15);
    rig_stop();
}

/* -------------------------------------------------------------------------------------- refusals
 */

TEST(a_refused_merged_read_is_split_and_that_is_remembered)
{
    rig_start(holes, NULL);
    rig.registers[0] = 1;
    rig.registers[6] = 7;
    advance_ms(5);
    CHECK_EQ(load_be16(rig.frames[0] + 10), 7);
    serve_exception(2); /* 1..7 */
    CHECK_EQ(rig.frame_count, 2);
    serve(); /* both halves */
    CHECK_EQ(rig.frame_count, 3);
    CHECK_EQ(last_quality(0), QUALITY_GOOD);
    CHECK_EQ(cell(last_batch(), 3).u64, 7);
    items_finish();
    advance_ms(100);
    serve();
    CHECK_EQ(rig.frame_count, 5); /* two requests from now on */
    CHECK_EQ(load_be16(rig.frames[3] + 10), 3);
    rig_stop();
}

TEST(a_tag_that_the_device_refuses_costs_only_itself)
{
    rig_start(holes, NULL);
    advance_ms(5);
    while (rig.served < rig.frame_count) {
        uint8_t out[300];
        uint32_t i = rig.served;
        if (load_be16(rig.frames[i] + 8) == 0) { /* it has no register 400001 */
            serve_exception(2);
            continue;
        }
        size_t len = answer_good(rig.served++, out);
        server_sends(out, len);
    }
    CHECK_EQ(last_quality(0), QUALITY_REFUSED);
    CHECK_EQ(last_quality(1), QUALITY_GOOD);
    CHECK_EQ(last_quality(3), QUALITY_GOOD);
    CHECK_STR(rig.device->error_name, "exception");
    CHECK(strstr(rig.device->error_text, "illegal data address"));
    rig_stop();
}

/* ----------------------------------------------------------------------------------------- writing
 */

static struct answer {
    bool came;
    int err;
    char text[DIAG_TEXT_BYTES_MAX];
} answer;

static void call_done(void *ctx, const struct call_result *r)
{
    (void)ctx;
    answer.came = true;
    answer.err = r->err;
    snprintf(answer.text, sizeof answer.text, "%s", r->diag ? r->diag->text : "");
}

static void call_write(const char *tag, const char *json)
{
    const struct call_port *p = catalogue_call_find(&rig.catalogue, "gateway.write");
    struct batch_builder *bb = NULL;
    struct batch *request = NULL;
    answer = (struct answer){0};
    CHECK_OK(batch_builder_new(p->request, 1, NULL, &bb));
    CHECK(batch_builder_row(bb, 0) == 0);
    CHECK_OK(batch_set_bytes(bb, 0, bytes_of_text(tag)));
    CHECK_OK(batch_set_bytes(bb, 1, bytes_of_text(json)));
    CHECK_OK(batch_builder_finish(bb, &request));
    batch_builder_free(bb);
    const struct call_options options = {
        .exec = rig.exec, .done = call_done, .origin = {"eve", "test", CALL_ENGINEER}};
    CHECK_OK(call_send(p, request, &options));
    exec_fake_run(rig.exec);
}

TEST(a_write_goes_before_waiting_polls_and_is_confirmed)
{
    rig_start(two_groups, NULL);
    advance_ms(5);
    CHECK_EQ(rig.frame_count, 1); /* one in flight, one waits */
    call_write("plc.g.a", "77");
    CHECK_EQ(rig.frame_count, 1);
    uint8_t out[300];
    server_sends(out, answer_good(rig.served++, out));
    CHECK_EQ(rig.frame_count, 2);
    CHECK_EQ(rig.frames[1][7], 6);
    CHECK(!answer.came);
    serve();
    CHECK(answer.came);
    CHECK_OK(answer.err);
    CHECK_EQ(rig.registers[0], 77);
    rig_stop();
}

TEST(a_refused_write_names_the_exception)
{
    rig_start(one_tag, NULL);
    advance_ms(5);
    serve();
    call_write("plc.g.a", "77");
    serve_exception(3);
    CHECK_ERR(answer.err, ERR_DEVICE);
    CHECK(strstr(answer.text, "illegal data value"));
    call_write("plc.g.a", "70000");
    CHECK_ERR(answer.err, ERR_RANGE);
    call_write("plc.g.b", "1");
    CHECK_ERR(answer.err, ERR_NOT_FOUND);
    call_write("nonsense", "1");
    CHECK_ERR(answer.err, ERR_INVALID);
    rig_stop();
}

TEST(a_write_without_answer_is_unknown_not_done)
{
    rig_start(one_tag, NULL);
    advance_ms(5);
    serve();
    call_write("plc.g.a", "77");
    advance_ms(250);
    CHECK_ERR(answer.err, ERR_TIMEOUT);
    CHECK(strstr(answer.text, "not known"));
    rig_stop();
}

TEST(a_bit_of_a_register_is_masked_or_else_read_and_written)
{
    rig_start(DEVICE GROUP TAGS TAG("a", "1!400001.4", "bit"), NULL);
    advance_ms(5);
    serve();
    rig.registers[0] = 0x8001;
    call_write("plc.g.a", "true");
    CHECK_EQ(rig.frames[1][7], 22);
    serve();
    CHECK_EQ(rig.registers[0], 0x8011);
    call_write("plc.g.a", "0");
    serve_exception(1); /* function 22 is unknown */
    CHECK_EQ(rig.frames[3][7], 3);
    serve();
    CHECK(answer.came);
    CHECK_OK(answer.err);
    CHECK_EQ(rig.registers[0], 0x8001);
    call_write("plc.g.a", "1");
    CHECK_EQ(rig.frames[rig.frame_count - 1][7], 3); /* remembered */
    serve();
    CHECK_EQ(rig.registers[0], 0x8011);
    rig_stop();
}

TEST(several_registers_are_written_by_function_16)
{
    rig_start(DEVICE GROUP TAGS TAG("a", "1!400001", "float"), NULL);
    advance_ms(5);
    serve();
    call_write("plc.g.a", "-1.5");
    CHECK_EQ(rig.frames[1][7], 16);
    serve();
    CHECK_OK(answer.err);
    CHECK_EQ(rig.registers[0], 0xbfc0);
    rig_stop();
}

/* ------------------------------------------------------------------------------------------- audit
 */

static struct {
    struct gateway_audit_wait *wait;
    uint64_t id;
    uint64_t result_id;
    int result_err;
    bool refuse;
} audited;

static int audit_intent(void *ctx, const struct gateway_intent *intent,
                        struct gateway_audit_wait *wait)
{
    (void)ctx;
    CHECK_STR(intent->tag, "plc.g.a");
    CHECK_STR(intent->origin->user, "eve");
    audited.id = intent->id;
    audited.wait = wait;
    return audited.refuse ? ERR_NO_SPACE : OK;
}

static void audit_result(void *ctx, uint64_t id, int err, const char *text)
{
    (void)ctx;
    (void)text;
    audited.result_id = id;
    audited.result_err = err;
}

TEST(no_frame_is_sent_before_the_intent_is_recorded)
{
    static const struct gateway_audit audit = {NULL, audit_intent, audit_result};
    memset(&audited, 0, sizeof audited);
    rig_start(one_tag, &audit);
    advance_ms(5);
    serve();
    call_write("plc.g.a", "77");
    CHECK_EQ(rig.frame_count, 1);
    CHECK(audited.wait != NULL);
    audited.wait->fn(audited.wait, OK);
    exec_fake_run(rig.exec);
    CHECK_EQ(rig.frame_count, 2);
    CHECK_EQ(audited.result_id, 0);
    serve();
    CHECK_EQ(audited.result_id, audited.id);
    CHECK_OK(audited.result_err);
    audited.refuse = true;
    call_write("plc.g.a", "78");
    CHECK_ERR(answer.err, ERR_NO_SPACE);
    CHECK_EQ(rig.frame_count, 2);
    rig_stop();
}

/* ----------------------------------------------------------------------------------- back-pressure
 */

TEST(without_credit_nothing_is_polled_and_the_gap_is_said)
{
    rig_start(one_tag, NULL);
    rig.take = false;
    for (int i = 0; i < 8; i++) {
        advance_ms(100);
        serve();
    }
    uint32_t frames = rig.frame_count;
    CHECK_EQ(frames, 3); /* two are in the flow, one is held */
    CHECK_EQ(count_get(&rig.device->groups[0].count.skipped), 5);
    rig.take = true;
    on_ready(NULL, rig.flow);
    items_finish();
    exec_fake_run(rig.exec);
    items_finish();
    advance_ms(100);
    serve();
    const struct batch *b = last_batch();
    CHECK(rig.frame_count > frames);
    struct column c = batch_column(rig.items[rig.item_count > 1 ? rig.item_count - 1 : 0].batch, 0);
    CHECK_EQ(b->rows, 2);
    CHECK_EQ(column_quality(&c, 0), QUALITY_SKIPPED);
    CHECK_EQ(column_quality(&c, 1), QUALITY_GOOD);
    CHECK_EQ(batch_times(b)[0], WALL_US + 300000);
    rig_stop();
}
