#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "atfork.h"

#include <pthread.h>
#include <stddef.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int refused; /* why the system would not register the handlers; 0 where it has */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct luthier_atfork *first;

static void before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

static void in_child(void)
{
    for (struct luthier_atfork *each = first; each != NULL; each = each->next)
        each->in_child(each);
    pthread_mutex_unlock(&mutex);
}

/* The C library forgets the handlers when this library is unloaded. */
static void set_up(void)
{
    refused = pthread_atfork(before_fork, in_parent, in_child);
}

int luthier_atfork_add(struct luthier_atfork *self, void (*function)(struct luthier_atfork *self))
{
    pthread_once(&once, set_up);
    if (refused != 0)
        return refused;
    pthread_mutex_lock(&mutex);
    *self = (struct luthier_atfork){.in_child = function, .next = first};
    if (first != NULL)
        first->previous = self;
    first = self;
    pthread_mutex_unlock(&mutex);
    return 0;
}

void luthier_atfork_remove(struct luthier_atfork *self)
{
    pthread_mutex_lock(&mutex);
    if (self->next != NULL)
        self->next->previous = self->previous;
    if (self->previous != NULL)
        self->previous->next = self->next;
    else
        first = self->next;
    pthread_mutex_unlock(&mutex);
}
