/* The plant under other names: a scenario's `names`.
 *
 * A node must know nothing of a plant but what it is told, so the same plant must give the same
 * trace and the same causes whatever its things are called. Each name is written in a cipher: every
 * letter and digit stands for another one, an x goes before. So names that differ stay different,
 * what belongs together (zone1, zone2) still begins alike, no name is a word of SQL, and they sort
 * in another order.
 *
 * Texts in which names stand among other words mark them: `@zone5`; `@@` is an `@`. */
#include "sim/plant.h"

#include <ctype.h>

static void shuffle(struct rand *r, char *symbols, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t k = (size_t)rand_below(r, i);
        char c = symbols[i - 1];
        symbols[i - 1] = symbols[k];
        symbols[k] = c;
    }
}

void renaming_make(uint64_t seed, struct renaming *ret)
{
    char letters[] = "abcdefghijklmnopqrstuvwxyz";
    char digits[] = "123456789"; /* what is counted from 1 stays so */
    struct rand r;
    *ret = (struct renaming){.on = seed != 0};
    rand_seed(&r, seed);
    shuffle(&r, letters, sizeof letters - 1);
    shuffle(&r, digits, sizeof digits - 1);
    for (unsigned c = 0; c < sizeof ret->to; c++)
        ret->to[c] = (char)c;
    for (unsigned i = 0; i < sizeof letters - 1; i++) {
        ret->to['a' + i] = letters[i];
        ret->to['A' + i] = (char)(letters[i] - 'a' + 'A');
    }
    for (unsigned i = 0; i < sizeof digits - 1; i++)
        ret->to['1' + i] = digits[i];
}

static struct name renamed_part(const struct renaming *r, const char *word, size_t len)
{
    struct name out = {{0}};
    size_t n = 0;
    if (r->on && len > 0)
        out.text[n++] = 'x';
    for (size_t i = 0; i < len && n + 1 < sizeof out.text; i++) {
        unsigned char c = (unsigned char)word[i];
        out.text[n++] = r->on && c < sizeof r->to ? r->to[c] : (char)c;
    }
    return out;
}

struct name renamed(const struct renaming *r, const char *word)
{
    return renamed_part(r, word, strlen(word));
}

static size_t word_length(const char *at)
{
    size_t len = 0;
    while (isalnum((unsigned char)at[len]) || at[len] == '_')
        len++;
    return len;
}

void renamed_text(const struct renaming *r, const char *marked, struct buf *out)
{
    for (const char *at = marked; *at;) {
        size_t len = strcspn(at, "@");
        (void)buf_append(out, at, len);
        at += len;
        if (*at == '\0')
            return;
        at++;
        if (*at == '@') {
            (void)buf_append(out, at++, 1);
            continue;
        }
        len = word_length(at);
        (void)buf_append_text(out, renamed_part(r, at, len).text);
        at += len;
    }
}

void plant_mark_none(const char *text, struct buf *out)
{
    for (; *text; text++)
        (void)buf_append(out, *text == '@' ? "@@" : text, *text == '@' ? 2 : 1);
}
