/* What an instance holds. */
#ifndef LUTHIER_INSTANCE_H
#define LUTHIER_INSTANCE_H

#include "atfork.h"
#include "program.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct instance {
    luthier_instance base;
    const luthier_program *program;
    luthier_pool *pool;
    luthier_pool *own_pool;
    struct luthier_atfork atfork;
    pthread_mutex_t mutex;   /* one run at a time */
    pthread_t runner;        /* who holds it, */
    atomic_bool running;     /* where anybody does */
    unsigned char *memory;   /* the arena, then the scratch of each thread */
    unsigned char *scratch;
    size_t scratch_stride;
    bool parallel;           /* some phase has more than one chunk */
    atomic_bool pool_broken; /* it passed arguments outside their ranges */

    void **buffers;          /* program->references, resolved */
    size_t *moving;          /* those which every run resolves anew */
    size_t moving_count;
    const void **inputs;     /* where this run reads and writes them */
    void **outputs;
};

/* Where a buffer lies in this run (inputs and outputs), or in all runs (the others). */
static inline void *resolve(const struct instance *instance, const luthier_reference *reference)
{
    switch (reference->space) {
    case LUTHIER_IN_ARENA:
        return instance->memory + reference->at;
    case LUTHIER_IN_INPUT: /* kernels do not write their inputs */
        return (void *)((uintptr_t)instance->inputs[reference->at] + reference->offset);
    case LUTHIER_IN_OUTPUT:
        return (unsigned char *)instance->outputs[reference->at] + reference->offset;
    case LUTHIER_IN_WEIGHTS:
        break;
    }
    return (void *)(uintptr_t)(instance->program->weights + reference->at);
}

#endif
