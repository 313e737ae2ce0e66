/* Signing in and out in a browser. The cookie holds a random token and nothing else; scripts can't
 * read it (HttpOnly) and other sites can't send it (SameSite). Its name has the port, because
 * cookies of one host are shared between ports and an edge and a hub may run on one machine. */
#include "api/api_priv.h"
#include "api/special.h"
#include "base/clock.h"
#include "codec/json_print.h"

static const struct call_field who_fields[] = {
    {"user", VALUE_STRING, 0, true, "whose token or session it is"},
    {"role", VALUE_STRING, 0, true, "viewer, engineer or admin"},
    {.name = NULL},
};

static const struct call_field sign_in_fields[] = {
    {"token", VALUE_STRING, 0, true, "a token, as in Authorization: Bearer"},
    {.name = NULL},
};

const struct call_spec special_session_get_spec = {
    "session.get", "Who is signed in.", CALL_VIEWER, CALL_ONE, NULL, who_fields};
const struct call_spec special_session_post_spec = {"session.sign_in", "Sets the session cookie.",
                                                    CALL_VIEWER,       CALL_ONE,
                                                    sign_in_fields,    who_fields};
const struct call_spec special_session_delete_spec = {
    "session.sign_out", "Ends the session.", CALL_VIEWER, CALL_ONE, NULL, NULL};

void session_cookie(const struct api *a, const char *token, struct buf *out)
{
    (void)buf_printf(out, "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld", a->cookie,
                     token ? token : "", token ? (long long)(AUTH_SESSION_LIFE_US / 1000000) : 0LL);
}

static void answer_who(struct exchange *x, const struct auth_who *who, const char *cookie)
{
    struct buf body = {0};
    struct http_header header = {"Set-Cookie", cookie};
    (void)buf_append_text(&body, "{\"user\":");
    (void)json_print_string(bytes_of_text(who->user), &body);
    (void)buf_printf(&body, ",\"role\":\"%s\"}", auth_role_name(who->role));
    exchange_json(x, &header, cookie ? 1 : 0, &body);
}

void special_session_get(struct exchange *x)
{
    struct auth_who who = x->caller.who;
    answer_who(x, &who, NULL);
}

void special_session_post(struct exchange *x)
{
    struct auth *auth = x->api->auth;
    struct column token = batch_column(x->input, 0);
    struct auth_who who = {0};
    char session[AUTH_TOKEN_TEXT_BYTES];
    int err = auth_token_check(auth, column_bytes(&token, 0), &who);
    if (!err)
        err = auth_session_new(auth, &who, clock_mono_us(), session);
    if (err) {
        exchange_fail(x, err, err == ERR_AUTH ? "this token is nobody's" : NULL);
        return;
    }
    struct buf cookie = {0};
    session_cookie(x->api, session, &cookie);
    answer_who(x, &who, buf_text(&cookie));
    buf_fini(&cookie);
}

void special_session_delete(struct exchange *x)
{
    struct buf body = {0};
    struct buf cookie = {0};
    const char *token = http_request_cookie(x->request, x->api->cookie);
    if (token)
        auth_session_end(x->api->auth, bytes_of_text(token));
    session_cookie(x->api, NULL, &cookie);
    struct http_header header = {"Set-Cookie", buf_text(&cookie)};
    (void)buf_append_text(&body, "{}");
    exchange_json(x, &header, 1, &body);
    buf_fini(&cookie);
}
