/* Keyed state on LMDB. See state.h.
 *
 * One environment, one unnamed database, a write transaction per change: LMDB's own writer lock
 * puts the callers in a row, and a commit is an fsync. Read transactions are not tied to threads
 * (MDB_NOTLS), because the http threads come and go.
 */
#include "journal/state.h"

#include "journal/journal_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <lmdb.h>

#define STATE_READERS_MAX 126

struct state {
    MDB_env *env;
    MDB_dbi dbi;
};

static int state_err(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
        return ERR_NO_SPACE;
    case MDB_BAD_VALSIZE:
        return ERR_INVALID;
    case MDB_READERS_FULL:
        return ERR_AGAIN;
    case MDB_VERSION_MISMATCH:
        return ERR_VERSION;
    default:
        return rc > 0 ? err_from_errno(rc) : ERR_IO;
    }
}

static int env_open(struct state *s, const char *dir, uint64_t bytes_max)
{
    int rc = mdb_env_create(&s->env);
    if (rc)
        return rc;
    rc = mdb_env_set_mapsize(s->env, bytes_max);
    if (!rc)
        rc = mdb_env_set_maxreaders(s->env, STATE_READERS_MAX);
    if (!rc)
        rc = mdb_env_open(s->env, dir, MDB_NOTLS, 0640);
    MDB_txn *txn;
    if (!rc)
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    if (rc) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

int state_open(const char *dir, uint64_t bytes_max, struct state **ret, struct diag *diag)
{
    if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
        int err = err_from_errno(errno);
        return diag_set(diag, err, 0, 0, "cannot make the folder %s: %s", dir, err_text(err));
    }
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    int rc = env_open(s, dir, bytes_max);
    if (rc) {
        int err = state_err(rc);
        state_close(s);
        return diag_set(diag, err, 0, 0, "cannot open the keyed state in %s: %s", dir,
                        mdb_strerror(rc));
    }
    *ret = s;
    return OK;
}

void state_close(struct state *s)
{
    if (!s)
        return;
    if (s->env)
        mdb_env_close(s->env);
    free(s);
}

static bool key_is_valid(struct bytes key)
{
    return key.len > 0 && key.len <= STATE_KEY_BYTES_MAX;
}

/* LMDB's views are not const; it does not write through them. */
static MDB_val val_of(struct bytes v)
{
    return (MDB_val){v.len, (void *)(uintptr_t)v.ptr};
}

int state_get(struct journal *j, struct bytes key, struct buf *ret)
{
    MDB_txn *txn;
    MDB_val k = val_of(key);
    MDB_val v;
    if (!key_is_valid(key))
        return ERR_INVALID;
    int rc = mdb_txn_begin(j->state->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return state_err(rc);
    rc = mdb_get(txn, j->state->dbi, &k, &v);
    int err = rc ? state_err(rc) : buf_append(ret, v.mv_data, v.mv_size);
    mdb_txn_abort(txn);
    return err;
}

int state_put(struct journal *j, struct bytes key, struct bytes value)
{
    MDB_txn *txn;
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);
    if (!key_is_valid(key))
        return ERR_INVALID;
    if (value.len > STATE_VALUE_BYTES_MAX)
        return ERR_LIMIT;
    int rc = mdb_txn_begin(j->state->env, NULL, 0, &txn);
    if (rc)
        return state_err(rc);
    rc = mdb_put(txn, j->state->dbi, &k, &v, 0);
    if (rc) {
        mdb_txn_abort(txn);
        return state_err(rc);
    }
    return state_err(mdb_txn_commit(txn));
}

int state_remove(struct journal *j, struct bytes key)
{
    MDB_txn *txn;
    MDB_val k = val_of(key);
    if (!key_is_valid(key))
        return ERR_INVALID;
    int rc = mdb_txn_begin(j->state->env, NULL, 0, &txn);
    if (rc)
        return state_err(rc);
    rc = mdb_del(txn, j->state->dbi, &k, NULL);
    if (rc) {
        mdb_txn_abort(txn);
        return rc == MDB_NOTFOUND ? OK : state_err(rc);
    }
    return state_err(mdb_txn_commit(txn));
}

/* True if what is under key is what the caller thinks. */
static bool is_expected(int rc, const MDB_val *present, struct bytes expected)
{
    if (rc == MDB_NOTFOUND)
        return expected.ptr == NULL;
    return expected.ptr && bytes_equal(bytes_of(present->mv_data, present->mv_size), expected);
}

int state_compare_and_set(struct journal *j, struct bytes key, struct bytes expected,
                          struct bytes value)
{
    MDB_txn *txn;
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);
    MDB_val present = {0, NULL};
    if (!key_is_valid(key))
        return ERR_INVALID;
    if (value.len > STATE_VALUE_BYTES_MAX)
        return ERR_LIMIT;
    int rc = mdb_txn_begin(j->state->env, NULL, 0, &txn);
    if (rc)
        return state_err(rc);
    rc = mdb_get(txn, j->state->dbi, &k, &present);
    int err = rc && rc != MDB_NOTFOUND ? state_err(rc) : OK;
    if (!err && !is_expected(rc, &present, expected))
        err = ERR_CONFLICT;
    if (!err)
        err = state_err(mdb_put(txn, j->state->dbi, &k, &v, 0));
    if (err) {
        mdb_txn_abort(txn);
        return err;
    }
    return state_err(mdb_txn_commit(txn));
}

static bool has_prefix(const MDB_val *key, struct bytes prefix)
{
    return key->mv_size >= prefix.len &&
           (prefix.len == 0 || memcmp(key->mv_data, prefix.ptr, prefix.len) == 0);
}

static int cursor_each(MDB_cursor *cursor, struct bytes prefix,
                       int (*fn)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
    MDB_val k = val_of(prefix);
    MDB_val v;
    int rc = mdb_cursor_get(cursor, &k, &v, prefix.len ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == MDB_SUCCESS && has_prefix(&k, prefix)) {
        int err = fn(ctx, bytes_of(k.mv_data, k.mv_size), bytes_of(v.mv_data, v.mv_size));
        if (err)
            return err;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_SUCCESS || rc == MDB_NOTFOUND ? OK : state_err(rc);
}

int state_each(struct journal *j, struct bytes prefix,
               int (*fn)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    if (prefix.len > STATE_KEY_BYTES_MAX)
        return ERR_INVALID;
    int rc = mdb_txn_begin(j->state->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return state_err(rc);
    rc = mdb_cursor_open(txn, j->state->dbi, &cursor);
    int err = state_err(rc);
    if (!rc) {
        err = cursor_each(cursor, prefix, fn, ctx);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return err;
}

int state_copy(struct journal *j, const char *dir)
{
    return state_err(mdb_env_copy2(j->state->env, dir, MDB_CP_COMPACT));
}

int state_usage(struct journal *j, uint64_t *ret_used, uint64_t *ret_max)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(j->state->env, &info);
    if (!rc)
        rc = mdb_env_stat(j->state->env, &stat);
    if (rc)
        return state_err(rc);
    *ret_used = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
    *ret_max = info.me_mapsize;
    return OK;
}
