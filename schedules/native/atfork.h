/* What a forked child inherits from threads that it does not have. */
#ifndef LUTHIER_ATFORK_H
#define LUTHIER_ATFORK_H

/* A part of whatever needs repair in a forked child: a thread pool lost its workers, a mutex may be
 * held by a thread that is not there. */
struct luthier_atfork {
    void (*in_child)(struct luthier_atfork *self);
    struct luthier_atfork *next;
    struct luthier_atfork *previous;
};

/* From now on `in_child(self)` is called in each forked child, before `fork` returns there. Returns
 * 0, or ENOMEM. */
int luthier_atfork_add(struct luthier_atfork *self, void (*in_child)(struct luthier_atfork *self));

/* Ends that. */
void luthier_atfork_remove(struct luthier_atfork *self);

#endif
