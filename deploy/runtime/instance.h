/* What an instance holds. */
#ifndef LUTHIER_INSTANCE_H
#define LUTHIER_INSTANCE_H

#include "atfork.h"
#include "program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* What instances that were made beside one another share. */
struct shared {
    luthier_pool *pool;
    luthier_pool *own_pool;
    struct luthier_atfork atfork;
    pthread_mutex_t mutex;   /* one run at a time, or one change of sizes */
    pthread_t runner;        /* who runs, */
    atomic_bool running;     /* where anybody does */
    atomic_bool pool_broken; /* it passed arguments outside their ranges */
    atomic_size_t users;     /* the instances */
    unsigned char *memory;   /* the arena, then the scratch of each thread */
    unsigned char *scratch;
    unsigned char *states;   /* of all entry points */
    int64_t *lengths;        /* how much each state holds; 0 where it does not grow */
    size_t scratch_stride;
};

/* All that follows from the sizes of the moment. */
struct settled {
    const luthier_variant *variant;
    int64_t *sizes;         /* of the library; 0 where the model has no such size */
    const int64_t *numbers; /* see luthier_variant */
    int64_t *own_numbers;   /* where the variant has none */
    void **buffers;         /* variant->references, resolved */
    bool parallel;          /* some phase has more than one chunk */
    bool complete;          /* the sizes that runs find are those that the last one found */
};

/* How far a loop is. */
struct course {
    int64_t iteration;
    int64_t end;
};

struct instance {
    luthier_instance base;
    const luthier_program *program;
    struct shared *shared;
    struct settled both[2];
    _Atomic(struct settled *) now; /* one of both; new sizes are settled in the other, which takes
                                      its place at once: a child that is forked meanwhile inherits
                                      nothing that is half done */
    struct course *courses;        /* of each loop, in this run */
    const void **inputs;           /* where this run reads and writes them */
    void **outputs;
};

static inline uint64_t bytes_of(const struct settled *settled, luthier_bytes bytes)
{
    return bytes.varies ? (uint64_t)settled->numbers[bytes.count] : bytes.count;
}

/* Where a buffer lies in this run (inputs and outputs), or while sizes stay (the others). */
static inline void *resolve(const struct instance *instance, const struct settled *settled,
                            const luthier_reference *reference)
{
    uint64_t offset = bytes_of(settled, reference->offset);
    switch (reference->space) {
    case LUTHIER_IN_ARENA:
        return instance->shared->memory + reference->at + offset;
    case LUTHIER_IN_INPUT: /* kernels do not write their inputs */
        return (void *)((uintptr_t)instance->inputs[reference->at] + offset);
    case LUTHIER_IN_OUTPUT: /* null where it has no elements */
        return (void *)((uintptr_t)instance->outputs[reference->at] + offset);
    case LUTHIER_IN_STATE:
        return instance->shared->states + reference->at + offset;
    case LUTHIER_IN_SIZES: /* nor these */
        return settled->sizes;
    case LUTHIER_IN_WEIGHTS:
        break;
    }
    return (void *)(uintptr_t)(instance->program->weights + reference->at + offset);
}

static inline size_t input_bytes(const struct settled *settled, size_t input)
{
    return (size_t)settled->numbers[input];
}

static inline size_t output_bytes(const luthier_model *model, const struct settled *settled,
                                  size_t output)
{
    return (size_t)settled->numbers[model->input_count + output];
}

/* Whether how large an output is follows from sizes that runs find. */
static inline bool is_found(const struct instance *instance, size_t output)
{
    return instance->program->found_count > 0 && instance->program->found_numbers[output];
}

/* Lets the sizes that runs find be as large as they may be, and settles what follows. */
void luthier_runtime_forget(const struct instance *instance, struct settled *settled);

/* Lets the size `index` of those that are found be `size`; fails where it may not. */
luthier_status luthier_runtime_find(const struct instance *instance, struct settled *settled,
                                    size_t index, int64_t size, luthier_error *error);

/* Settles an instance for the largest sizes, which something is built for. */
void luthier_runtime_settle_largest(struct instance *instance);

/* Whether a size may be this. */
bool luthier_runtime_holds(const luthier_size *range, int64_t size);

/* The one of `both` that is not of the moment, to set sizes in; the mutex is held. */
struct settled *luthier_runtime_spare(struct instance *instance);

/* Makes `next`, whose sizes are set, the instance's now, if something is built for them and the
 * inputs' shapes, where they are given, fit. */
luthier_status luthier_runtime_change(struct instance *instance, struct settled *next,
                                      const luthier_shape *shapes, luthier_error *error);

/* Sets those of `next`'s sizes that say how much states hold. */
luthier_status luthier_runtime_take_lengths(const struct instance *instance, struct settled *next,
                                            luthier_error *error);

/* Makes the instance's sizes follow what its states hold now; the mutex is held. */
luthier_status luthier_runtime_follow(struct instance *instance, luthier_error *error);

/* After a run: what it appended is held. */
void luthier_runtime_appended(struct instance *instance, const struct settled *now);

/* Whether the inputs have the shapes for which `settled` is. */
luthier_status luthier_runtime_check_shapes(const struct instance *instance,
                                            const struct settled *settled,
                                            const luthier_shape *shapes, luthier_error *error);

#endif
