/* What it costs to start a kernel on the pool: seconds a launch, one line for each batch of them.
 *
 *     launch THREADS BATCHES LAUNCHES
 *
 * Each line has two numbers: of a kernel that does nothing, whose pieces the caller may do alone
 * before a worker looks; and of one where each thread waits until all have come. */
#define _POSIX_C_SOURCE 200809L

#include "pool.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static atomic_int missing;

static void nothing(void *context, int32_t worker, int32_t begin, int32_t end)
{
    (void)context, (void)worker, (void)begin, (void)end;
}

static void meet(void *context, int32_t worker, int32_t begin, int32_t end)
{
    (void)context, (void)worker;
    atomic_fetch_sub(&missing, end - begin);
    while (atomic_load_explicit(&missing, memory_order_acquire) > 0)
        __builtin_ia32_pause();
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds_a_launch(luthier_pool *pool, luthier_task task, long launches)
{
    double begin = now();
    for (long i = 0; i < launches; i++) {
        atomic_store_explicit(&missing, pool->threads, memory_order_relaxed);
        pool->parallel(pool, task, NULL, pool->threads, 1);
    }
    return (now() - begin) / (double)launches;
}

int main(int count, char **arguments)
{
    luthier_pool *pool;
    if (count != 4 || luthier_workers_start(atoi(arguments[1]), &pool) != 0)
        return 1;
    long batches = atol(arguments[2]), launches = atol(arguments[3]);
    pool->enter(pool);
    seconds_a_launch(pool, meet, launches); /* all threads are awake, on cores of their own */
    for (long i = 0; i < batches; i++) {
        double alone = seconds_a_launch(pool, nothing, launches);
        printf("%.4g %.4g\n", alone, seconds_a_launch(pool, meet, launches));
    }
    pool->leave(pool);
    luthier_workers_stop(pool);
    return 0;
}
