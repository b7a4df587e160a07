/* Workers that the system never lets run must not hold up the caller. */
#define _GNU_SOURCE
#include <pthread.h>

static int never_runs(pthread_t *thread, const pthread_attr_t *attributes, void *(*main)(void *),
                      void *argument)
{
    (void)thread, (void)attributes, (void)main, (void)argument;
    return 0;
}

static int no_join(pthread_t thread, void **result)
{
    (void)thread, (void)result;
    return 0;
}

#define pthread_create never_runs
#define pthread_join no_join
#include "pool.c"

#include <unistd.h>

static int seen[100];

static void count(void *context, int32_t worker, int32_t begin, int32_t end)
{
    (void)context;
    for (int32_t i = begin; i < end; i++)
        seen[i] += worker == 0;
}

int main(void)
{
    luthier_pool *pool;
    alarm(60);
    if (luthier_workers_start(8, &pool) != 0)
        return 1;
    for (int round = 1; round <= 10; round++) {
        pool->enter(pool);
        pool->parallel(pool, count, NULL, 100, 3);
        pool->leave(pool);
        for (int i = 0; i < 100; i++)
            if (seen[i] != round)
                return 2;
    }
    luthier_workers_stop(pool);
    return 0;
}
