/* The node's own call, node.backup, and those that the tracks offer only in a node. See node.h;
 * copying is in backup.c. */
#include "app/backup.h"
#include "app/node_priv.h"

static const struct call_field backup_request[] = {
    {"dir", VALUE_STRING, 0, true, "absolute path of a new or empty directory on the node"},
    {0},
};

static const struct call_field backup_answer[] = {
    {"dir", VALUE_STRING, 0, true, "where the backup is"},
    {"bytes", VALUE_UINT64, 0, true, "bytes of journal segments copied"},
    {0},
};

static const struct call_spec backup_spec = {
    .name = "node.backup",
    .doc = "Copy the running node's state into a directory.",
    .role = CALL_ADMIN,
    .flags = CALL_ONE | CALL_CHANGES,
    .request = backup_request,
    .answer = backup_answer,
};

static void backup_answer_send(struct call *c, struct bytes dir, uint64_t bytes)
{
    struct batch_builder *bb = NULL;
    int err = call_answer_builder(c, 1, &bb);
    if (!err && batch_builder_row(bb, 0) < 0)
        err = ERR_NOMEM;
    if (!err)
        err = batch_set_bytes(bb, 0, dir);
    if (err) {
        batch_builder_free(bb);
        call_fail(c, err, "the backup was made, but its answer could not be: %s", err_text(err));
        return;
    }
    batch_set_u64(bb, 1, bytes);
    call_answer_rows(c, bb);
}

/* On the worker: copying takes as long as it takes. */
static void backup_call(void *owner, struct call *c)
{
    struct node *n = owner;
    struct diag diag = {0};
    struct value dir = call_arg(c, "dir");
    struct arena arena = {0};
    const char *path = arena_copy(&arena, dir.bytes);
    uint64_t bytes = 0;
    struct backup_source source = {n->journal, n->log, n->historian};
    int err = ERR_NOMEM;
    if (path && path[0] != '/')
        err = diag_set(&diag, ERR_INVALID, 0, 0, "'%s' is not an absolute path", path);
    else if (path)
        err = backup_make(&source, path, &bytes, &diag);
    if (err)
        call_fail(c, err, "%s", diag.text[0] ? diag.text : err_text(err));
    else
        backup_answer_send(c, dir.bytes, bytes);
    arena_fini(&arena);
}

int node_calls_add(struct node *n)
{
    int err = exec_thread_new("node", 0, &n->worker);
    if (!err && n->track)
        err = track_calls_add(n->track, &n->catalogue);
    if (err)
        return err;
    return catalogue_call_add(&n->catalogue, &backup_spec, n->worker, backup_call, n);
}

int node_authenticate(void *ctx, struct bytes user, struct bytes password, enum call_role *ret_role)
{
    struct node *n = ctx;
    (void)user; /* the token alone says who it is */
    return api_token_check(n->api, password, ret_role);
}
