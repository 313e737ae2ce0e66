/* Streams that come and go: found while they are there, attached to safely. */
#include "base/err.h"
#include "model/catalogue.h"
#include "tests/support/check.h"

static void on_ready(void *ctx, struct flow *f)
{
    struct flow_item item;
    while (flow_take(f, &item)) {
        *(int *)ctx += (int)item.batch->rows;
        flow_finish(&item, item.at, OK);
    }
}

static struct batch *one_row(struct schema *schema)
{
    struct batch_builder *bb = NULL;
    struct batch *b = NULL;
    CHECK_OK(batch_builder_new(schema, 1, NULL, &bb));
    CHECK_EQ(batch_builder_row(bb, 1), 0);
    batch_set_i64(bb, 0, 7);
    CHECK_OK(batch_builder_finish(bb, &b));
    batch_builder_free(bb);
    return b;
}

TEST(a_stream_that_comes_and_goes_is_found_while_it_is_there)
{
    struct exec *e = exec_fake_new(0, 0);
    struct catalogue c;
    struct stream *s = NULL;
    struct schema *schema = NULL;
    struct field field = {.name = "x", .scale = 1, .type = VALUE_INT64};
    struct outlet outlet;
    struct flow *f = NULL;
    int rows = 0;
    CHECK_OK(catalogue_init(&c, "node1"));
    CHECK_OK(schema_new(&field, 1, &schema));
    CHECK_OK(stream_new("tail:1", "node1", STREAM_RULE, NULL, schema, &s));
    outlet_init(&outlet, e, s, NULL);
    s->outlet = &outlet;
    struct flow_options options = {
        .name = "tail", .consumer = e, .ctx = &rows, .on_ready = on_ready};
    CHECK_OK(flow_new(&options, &f));
    CHECK_ERR(catalogue_transient_attach(&c, bytes_of_text("tail:1"), f), ERR_NOT_FOUND);
    CHECK_OK(catalogue_transient_add(&c, s));
    CHECK_ERR(catalogue_transient_add(&c, s), ERR_EXISTS);
    CHECK_OK(catalogue_transient_attach(&c, bytes_of_text("tail:1"), f));
    (void)exec_fake_run(e);
    struct batch *b = one_row(schema);
    CHECK_OK(outlet_push(&outlet, b, (struct position){0, 0}, NULL));
    batch_unref(b);
    (void)exec_fake_run(e);
    CHECK_EQ(rows, 1);
    catalogue_transient_remove(&c, s);
    outlet_fini(&outlet);
    (void)exec_fake_run(e);
    struct flow *late = NULL;
    CHECK_OK(flow_new(&options, &late));
    CHECK_ERR(catalogue_transient_attach(&c, bytes_of_text("tail:1"), late), ERR_NOT_FOUND);
    flow_unref(late);
    flow_unref(f);
    stream_free(s);
    schema_unref(schema);
    catalogue_fini(&c);
    exec_fake_free(e);
}
