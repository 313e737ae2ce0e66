/* Schemas: lookup, and a hash that sees everything. */
#include "model/schema.h"

#include "base/err.h"
#include "tests/support/check.h"
#include "tests/support/fault.h"

#include <stdio.h>
#include <stdlib.h>

static struct schema *schema_of(const struct field *fields, uint32_t count)
{
    struct schema *s = NULL;
    CHECK_OK(schema_new(fields, count, &s));
    return s;
}

TEST(schema_copies_and_finds)
{
    char name[] = "zone5";
    struct field fields[] = {{.name = name, .uom = "°C", .type = VALUE_FLOAT32},
                             {.name = "", .type = VALUE_BOOL}};
    struct schema *s = schema_of(fields, 2);
    memset(name, 'x', 5);
    CHECK_STR(s->fields[0].name, "zone5");
    CHECK_STR(s->fields[1].uom, "");
    CHECK_EQ(schema_find(s, bytes_of_text("zone5")), 0);
    CHECK_EQ(schema_find(s, bytes_of_text("")), 1);
    CHECK_EQ(schema_find(s, bytes_of_text("zone")), -1);
    CHECK(schema_ref(s) == s);
    schema_unref(s);
    schema_unref(s);
    schema_unref(NULL);
    s = schema_of(NULL, 0);
    CHECK_EQ(schema_find(s, bytes_of_text("a")), -1);
    schema_unref(s);
}

TEST(schema_finds_among_thousands)
{
    static char names[10000][8];
    struct field *fields = calloc(10000, sizeof *fields);
    CHECK(fields != NULL);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
        fields[i] = (struct field){.name = names[i], .type = VALUE_DOUBLE};
    }
    struct schema *s = schema_of(fields, 10000);
    for (int i = 0; i < 10000; i++)
        CHECK_EQ(schema_find(s, bytes_of_text(names[i])), i);
    schema_unref(s);
    free(fields);
}

TEST(schema_hash_sees_everything)
{
    const struct field base = {.name = "a", .uom = "b", .scale = 1, .type = VALUE_INT64};
    struct field variants[7] = {base, base, base, base, base, base, base};
    variants[1].name = "c";
    variants[2].uom = "";
    variants[3].scale = 2;
    variants[4].offset = -0.0;
    variants[5].type = VALUE_UINT64;
    variants[6].flags = FIELD_SCALED;
    uint64_t hashes[7];
    for (int i = 0; i < 7; i++) {
        struct schema *s = schema_of(&variants[i], 1);
        struct schema *again = schema_of(&variants[i], 1);
        CHECK_EQ(s->hash, again->hash);
        hashes[i] = s->hash;
        for (int k = 0; k < i; k++)
            CHECK(hashes[k] != hashes[i]);
        schema_unref(again);
        schema_unref(s);
    }
    const struct field one[] = {{.name = "ab", .uom = "c", .type = VALUE_BOOL}};
    const struct field two[] = {{.name = "a", .uom = "bc", .type = VALUE_BOOL}};
    struct schema *s = schema_of(one, 1);
    struct schema *t = schema_of(two, 1);
    CHECK(s->hash != t->hash);
    schema_unref(s);
    schema_unref(t);
}

TEST(schema_refuses)
{
    struct schema *s = NULL;
    const struct field twice[] = {{.name = "a"}, {.name = "a"}};
    CHECK_ERR(schema_new(twice, 2, &s), ERR_EXISTS);
    char text[FIELD_NAME_BYTES_MAX + 2];
    memset(text, 'n', sizeof text - 1);
    text[sizeof text - 1] = 0;
    const struct field longer = {.name = text};
    CHECK_ERR(schema_new(&longer, 1, &s), ERR_LIMIT);
    CHECK_ERR(schema_new(&longer, SCHEMA_FIELDS_MAX + 1, &s), ERR_LIMIT);
    CHECK(s == NULL);
}

TEST(schema_without_memory)
{
    const struct field field = {.name = "a"};
    FAULT_EACH (n) {
        struct schema *s = NULL;
        int err = schema_new(&field, 1, &s);
        CHECK_EQ(err, fault_hit() ? ERR_NOMEM : OK);
        schema_unref(s);
    }
}
