/* Every chunk exactly once, no worker number twice at a time, under many callers and pauses. */
#define _GNU_SOURCE
#include "check.h"
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 4, MOST = 300, CALLERS = 3, ROUNDS = 1200 };

struct job {
    int chunks;
    int seen[MOST]; /* plain: a race here is the pool's fault */
    atomic_int in_use[THREADS];
};

static void count(void *context, int32_t worker, int32_t begin, int32_t end)
{
    struct job *job = context;
    CHECK(worker >= 0 && worker < THREADS && begin >= 0 && begin < end && end <= job->chunks);
    CHECK(atomic_exchange(&job->in_use[worker], 1) == 0);
    for (int32_t i = begin; i < end; i++)
        job->seen[i]++;
    atomic_store(&job->in_use[worker], 0);
}

static void run_job(luthier_pool *pool, unsigned *random)
{
    struct job *job = calloc(1, sizeof *job); /* freed at once, so that late workers are caught */
    CHECK(job != NULL);
    job->chunks = (int)(rand_r(random) % (MOST + 1));
    int32_t grain = (int32_t)(rand_r(random) % 9) - 1; /* below 1 means 1 */
    pool->parallel(pool, count, job, job->chunks, grain);
    for (int i = 0; i < job->chunks; i++)
        CHECK(job->seen[i] == 1);
    free(job);
}

static void *caller(void *argument)
{
    luthier_pool *pool = argument;
    unsigned random = (unsigned)(size_t)pthread_self();
    for (int round = 0; round < ROUNDS; round++) {
        int inside = round % 3;
        if (inside)
            pool->enter(pool);
        for (int i = 0; i < 3; i++)
            run_job(pool, &random);
        if (inside)
            pool->leave(pool);
        if (round % 300 == 0)
            usleep(3000); /* the workers fall asleep */
    }
    return NULL;
}

static void callers(int count)
{
    luthier_pool *pool;
    CHECK(luthier_workers_start(THREADS, &pool) == 0);
    pthread_t threads[CALLERS];
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, pool) == 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    luthier_workers_stop(pool);
}

static void starts_and_stops(void)
{
    unsigned random = 1;
    for (int i = 0; i < 50; i++) {
        luthier_pool *pool;
        CHECK(luthier_workers_start(THREADS, &pool) == 0);
        if (i % 2)
            run_job(pool, &random);
        luthier_workers_stop(pool);
    }
    luthier_workers_stop(NULL);
}

/* The worker that holds this piece waits until all other pieces are done: others must take those
 * that a static split would have kept for it. */
struct hostage {
    atomic_int done;
    atomic_int taken;
};

static void wait_for_others(void *context, int32_t worker, int32_t begin, int32_t end)
{
    struct hostage *hostage = context;
    if (worker != 0 && atomic_exchange(&hostage->taken, 1) == 0)
        while (atomic_load(&hostage->done) < MOST - (end - begin))
            usleep(100);
    atomic_fetch_add(&hostage->done, end - begin);
    if (worker == 0)
        usleep(10);
}

static void a_blocked_worker_keeps_only_its_piece(void)
{
    luthier_pool *pool;
    CHECK(luthier_workers_start(2, &pool) == 0);
    pool->enter(pool);
    for (int i = 0; i < 5; i++) {
        struct hostage hostage = {0};
        pool->parallel(pool, wait_for_others, &hostage, MOST, 1);
        CHECK(atomic_load(&hostage.done) == MOST);
    }
    pool->leave(pool);
    luthier_workers_stop(pool);
}

/* Other threads want all cores all the time, so workers lose theirs with pieces in hand. */
static atomic_bool calm;

static void *hog(void *argument)
{
    while (!atomic_load(&calm))
        ;
    return argument;
}

static void slow_count(void *context, int32_t worker, int32_t begin, int32_t end)
{
    for (volatile int i = 0; i < 20000; i++)
        ;
    count(context, worker, begin, end);
}

static void busy_cores(void)
{
    luthier_pool *pool;
    pthread_t hogs[16];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int some = cores < 16 ? (int)cores : 16;
    CHECK(luthier_workers_start(THREADS, &pool) == 0);
    for (int i = 0; i < some; i++)
        CHECK(pthread_create(&hogs[i], NULL, hog, NULL) == 0);
    pool->enter(pool);
    for (int round = 0; round < 100; round++) {
        struct job job = {.chunks = 40};
        pool->parallel(pool, slow_count, &job, job.chunks, 1);
        for (int i = 0; i < job.chunks; i++)
            CHECK(job.seen[i] == 1);
    }
    pool->leave(pool);
    atomic_store(&calm, true);
    for (int i = 0; i < some; i++)
        pthread_join(hogs[i], NULL);
    luthier_workers_stop(pool);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void idle_workers_sleep(void)
{
    luthier_pool *pool;
    unsigned random = 1;
    CHECK(luthier_workers_start(THREADS, &pool) == 0);
    pool->enter(pool);
    run_job(pool, &random);
    pool->leave(pool);
    usleep(20000);
    double before = cpu_seconds();
    usleep(200000);
    CHECK(cpu_seconds() - before < 0.02);
    pool->enter(pool); /* nor do they burn a core under a long run that gives them nothing */
    usleep(20000);
    before = cpu_seconds();
    usleep(200000);
    CHECK(cpu_seconds() - before < 0.02);
    run_job(pool, &random);
    pool->leave(pool);
    luthier_workers_stop(pool);
}

int main(void)
{
    luthier_pool *pool;
    CHECK(luthier_workers_start(0, &pool) != 0);
    CHECK(luthier_workers_start(LUTHIER_MAX_THREADS + 1, &pool) != 0);
    alarm(120);
    starts_and_stops();
    callers(1);
    callers(CALLERS);
    a_blocked_worker_keeps_only_its_piece();
    busy_cores();
    idle_workers_sleep();
    return 0;
}
