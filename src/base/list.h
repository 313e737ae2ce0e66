/* An intrusive, circular, doubly linked list.
 *
 * The link lives inside the owner's struct, so adding and removing never allocates and an object
 * can take itself out of a list it does not know. A link that is in no list points at itself.
 * Not thread-safe: one thread owns a list.
 */
#ifndef LOTLINE_BASE_LIST_H
#define LOTLINE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev;
    struct list *next;
};

/* The struct of `type` that holds `member` at address `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define LIST_FOR(iter, head)                                                                       \
    for (struct list *iter = (head)->next; iter != (head); iter = iter->next)

/* As LIST_FOR, but the body may remove `iter` from the list. */
#define LIST_FOR_SAFE(iter, after, head)                                                           \
    for (struct list *iter = (head)->next, *after = iter->next; iter != (head);                    \
         iter = after, after = iter->next)

static inline void list_init(struct list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *l)
{
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}

static inline void list_push_back(struct list *head, struct list *l)
{
    list_insert_before(head, l);
}

static inline void list_push_front(struct list *head, struct list *l)
{
    list_insert_before(head->next, l);
}

/* Takes l out of whatever list it is in; harmless when it is in none. */
static inline void list_remove(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* The first link, taken out; NULL if the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *l = head->next;
    if (l == head)
        return NULL;
    /* Not list_remove: that head->next changes is then seen by static analysis too. */
    head->next = l->next;
    l->next->prev = head;
    list_init(l);
    return l;
}

#endif
