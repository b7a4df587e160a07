/* The thread pool as a model sees it: a struct of functions, so that a program can bring its own. */
#ifndef LUTHIER_POOL_H
#define LUTHIER_POOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LUTHIER_POOL_ABI 1u
#define LUTHIER_MAX_THREADS 1024

/* Does the chunks begin <= i < end. `worker` is in 0 .. threads-1 and no two calls of one
 * `parallel` run at once under the same number. Never throws, never blocks, leaves the thread's
 * floating-point mode as it was, and needs no more than a stack of 16 KiB. */
typedef void (*luthier_task)(void *context, int32_t worker, int32_t begin, int32_t end);

typedef struct luthier_pool luthier_pool;

struct luthier_pool {
    uint32_t abi;    /* LUTHIER_POOL_ABI */
    int32_t threads; /* 1 .. LUTHIER_MAX_THREADS, the caller included */

    /* Calls `task` until each of the chunks 0 .. chunks-1 is done exactly once, in pieces of
     * `grain` chunks (the last piece may be shorter; one piece of all is allowed too), and returns
     * when all are done. What a task wrote is then visible to the caller. May be called from
     * several threads at once. */
    void (*parallel)(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                     int32_t grain);

    /* Hints, either may be null: a run with many `parallel` calls begins, or has ended. Workers
     * may spin in between, so that a call starts within a microsecond. */
    void (*enter)(luthier_pool *pool);
    void (*leave)(luthier_pool *pool);
};

/* The grain that models and measurements use: pieces small enough that a thread which loses its
 * core leaves little behind, large enough that claiming them costs nothing. */
static inline int32_t luthier_grain(int32_t chunks, int32_t threads)
{
    int32_t grain = chunks / (16 * threads);
    return grain > 1 ? grain : 1;
}

#ifdef __cplusplus
}
#endif

#endif
