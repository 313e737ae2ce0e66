/* A configuration's text. What is accepted can be copied and printed, and what is printed is read
 * as the same tree. */
#include "base/err.h"
#include "config/tree.h"

#include <assert.h>

#define NODES_FEW 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t count_nodes(const struct tree *t)
{
    uint32_t count = 1;
    TREE_EACH(child, t)
    count += child->count + 1;
    return count;
}

static void check_again(struct arena *arena, const struct tree *t)
{
    struct buf out = {0};
    struct tree *again = NULL;
    struct tree *copy = tree_copy(arena, t);
    assert(copy && tree_equal(t, copy));
    int err = tree_print_json(t, &out);
    assert(err == OK);
    err = tree_parse_json(arena, "printed", buf_bytes(&out), &again, NULL);
    /* Keys beyond 1,024 bytes are more than YAML's reader takes in one line. */
    assert(err != OK || tree_equal(t, again));
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena = {0};
    struct diag diag = {0};
    struct tree *t = NULL;
    if (size == 0)
        return 0;
    struct bytes text = bytes_of(data + 1, size - 1);
    int err = data[0] == 'j' ? tree_parse_json(&arena, "a", text, &t, &diag)
                             : tree_parse_yaml(&arena, "a", text, &t, &diag);
    assert((err == OK) == (t != NULL));
    assert(err == OK || diag.text[0]);
    if (t && count_nodes(t) < NODES_FEW)
        check_again(&arena, t);
    arena_fini(&arena);
    return 0;
}
