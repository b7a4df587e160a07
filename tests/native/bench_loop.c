/* The timing loop over kernels that count: phases in order, chunks once, samples as asked for. */
#define _GNU_SOURCE
#include "bench.c"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "check.h"
#include "pool.h"

enum { THREADS = 4, MOST = 200, FIRST = 37, SECOND = 11 };

struct memory {
    int first[FIRST]; /* plain: a race here is the pool's fault */
    int second[SECOND];
    int runs;
};

/* Each chunk of the second phase needs all of the first. */
static void first_phase(void *const *buffers, void *scratch, int32_t begin, int32_t end)
{
    struct memory *memory = buffers[0];
    *(int *)scratch += 1; /* of this worker alone */
    for (int32_t i = begin; i < end; i++)
        memory->first[i]++;
}

static void second_phase(void *const *buffers, void *scratch, int32_t begin, int32_t end)
{
    struct memory *memory = buffers[0];
    *(int *)scratch += 1;
    for (int32_t i = begin; i < end; i++) {
        memory->second[i]++;
        for (int j = 0; j < FIRST; j++)
            CHECK(memory->first[j] == memory->second[i]);
    }
}

static int pause_us;

static void slow_phase(void *const *buffers, void *scratch, int32_t begin, int32_t end)
{
    (void)scratch, (void)begin, (void)end;
    ((struct memory *)buffers[0])->runs++;
    usleep((useconds_t)pause_us);
}

static const luthier_phase COUNT[] = {first_phase, second_phase}, SLOW[] = {slow_phase};
static const int32_t COUNT_CHUNKS[] = {FIRST, SECOND}, ONE_CHUNK[] = {1};
static struct memory memory;
static void *buffers[] = {&memory};
static _Alignas(64) char private_memory[THREADS][64];
static void *scratch[THREADS] = {private_memory[0], private_memory[1], private_memory[2],
                                 private_memory[3]};
static const struct luthier_kernel COUNTING = {COUNT, COUNT_CHUNKS, 2, buffers, scratch};
static const struct luthier_kernel SLEEPING = {SLOW, ONE_CHUNK, 1, buffers, scratch};

static void every_chunk_runs_once_and_phases_wait(luthier_pool *pool)
{
    for (int run = 1; run <= 500; run++) {
        luthier_kernel_run(&COUNTING, pool);
        for (int i = 0; i < SECOND; i++)
            CHECK(memory.second[i] == run);
    }
}

static int32_t time_kernel(const struct luthier_kernel *kernel, luthier_pool *pool,
                           struct luthier_effort effort, double *samples)
{
    static char cold[1000];
    struct luthier_range range = {cold, sizeof cold};
    struct luthier_caches caches = {.flushed = &range, .flushed_count = 1};
    int32_t count = luthier_kernel_time(kernel, pool, &caches, &effort, samples);
    CHECK(count >= 1 && count <= effort.most);
    for (int32_t i = 0; i < count; i++)
        CHECK(samples[i] > 0 && (i == 0 || samples[i - 1] <= samples[i]));
    return count;
}

static void samples_are_ascending_and_limited(luthier_pool *pool)
{
    double samples[MOST + 1];
    samples[MOST] = -7;
    struct luthier_effort all = {5, MOST, 0.0, 1e9, 1e9, 1e-6};
    CHECK(time_kernel(&COUNTING, pool, all, samples) == MOST);
    CHECK(samples[MOST] == -7);
    struct luthier_effort quick = {5, MOST, 1e9, 1e9, 1e9, 1e-6}; /* any precision will do */
    CHECK(time_kernel(&COUNTING, pool, quick, samples) == 5);
    struct luthier_effort one = {1, 1, 0.0, 1e9, 1e9, 1e-6};
    CHECK(time_kernel(&COUNTING, pool, one, samples) == 1);
}

static void slow_kernels_are_given_up(luthier_pool *pool)
{
    double samples[MOST];
    pause_us = 2000;
    struct luthier_effort hopeless = {9, MOST, 0.0, 1e9, 0.5e-3, 1e-6};
    memory.runs = 0;
    CHECK(time_kernel(&SLEEPING, pool, hopeless, samples) == 5);
    CHECK(memory.runs == 5 && samples[0] >= 2e-3);
    struct luthier_effort brief = {3, MOST, 0.0, 1e-3, 1e9, 1e-6}; /* no time for more than least */
    CHECK(time_kernel(&SLEEPING, pool, brief, samples) == 3);
}

static void slower_kernels_are_timed_less_exactly(void)
{
    struct luthier_effort effort = {9, MOST, 0.01, 1e9, 1e-3, 1e-6};
    CHECK(precision_wanted(&effort, 0.9e-3) == 0.01);
    CHECK(fabs(precision_wanted(&effort, 1.8e-3) - 0.1) < 1e-12);
    effort.best = 0; /* nothing is known yet */
    CHECK(precision_wanted(&effort, 1.8e-3) == 0.01);
}

static void short_kernels_run_several_times_a_sample(luthier_pool *pool)
{
    double samples[MOST];
    pause_us = 100;
    struct luthier_effort effort = {3, 3, 0.0, 1e9, 1e9, 50e-3};
    memory.runs = 0;
    struct luthier_caches as_they_are = {0};
    CHECK(luthier_kernel_time(&SLEEPING, pool, &as_they_are, &effort, samples) == 3);
    CHECK(memory.runs > 1 + 3); /* the first one finds out how many make a sample */
    CHECK(samples[0] >= 100e-6);
}

static void what_is_swept_before_each_sample_leaves_it_one_run(luthier_pool *pool)
{
    static char sweep[100000], touched[1000];
    double samples[MOST];
    pause_us = 100;
    struct luthier_effort effort = {3, 3, 0.0, 1e9, 1e9, 50e-3};
    struct luthier_range range = {touched, sizeof touched};
    struct luthier_caches caches = {
        .swept = {sweep, sizeof sweep}, .touched = &range, .touched_count = 1};
    memory.runs = 0;
    CHECK(luthier_kernel_time(&SLEEPING, pool, &caches, &effort, samples) == 3);
    CHECK(memory.runs == 3);
}

static void every_piece_is_touched_once(void)
{
    bool seen[TOUCH_PIECES] = {false};
    for (int32_t i = 0; i < TOUCH_PIECES; i++) {
        CHECK(touched_piece(i) < TOUCH_PIECES && !seen[touched_piece(i)]);
        seen[touched_piece(i)] = true;
    }
}

static void median_and_spread(void)
{
    double sorted[8];
    double values[] = {5, 1, 4, 2, 8, 7, 3, 6};
    for (int i = 0; i < 8; i++)
        insert_sorted(sorted, i, values[i]);
    for (int i = 0; i < 8; i++)
        CHECK(sorted[i] == i + 1);
    CHECK(uncertainty(sorted, 8) > 0.1);
    double calm[8] = {1, 1, 1, 1, 1, 1, 1, 90}; /* one run lost its core */
    CHECK(uncertainty(calm, 8) == 0);
}

static void grains(void)
{
    CHECK(luthier_grain(0, 1) == 1 && luthier_grain(1, 1) == 1 && luthier_grain(31, 2) == 1);
    CHECK(luthier_grain(1600, 1) == 100 && luthier_grain(1600, 10) == 10);
    CHECK(luthier_grain(INT32_MAX, LUTHIER_MAX_THREADS) > 1);
}

/* Kernels are timed in the mode that they will have in a model, on every thread. */
static atomic_int in_other_modes, moded;

static void note_mode(void *const *b, void *private, int32_t begin, int32_t end)
{
    (void)b, (void)private;
    atomic_fetch_add(&moded, end - begin);
    if ((_mm_getcsr() & 0xffc0) != 0x1f80)
        atomic_fetch_add(&in_other_modes, 1);
    usleep(50); /* so that all threads have a part */
}

static void the_callers_mode_does_not_count(void)
{
    const luthier_phase phases[] = {note_mode, note_mode};
    const struct luthier_kernel kernel = {phases, COUNT_CHUNKS, 2, buffers, scratch};
    const unsigned modes[] = {0x1f80, 0x9fc0, 0x7f80, 0x0000, 0x3f81};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        luthier_pool *pool;
        _mm_setcsr(modes[i]);
        int failed = luthier_workers_start(THREADS, &pool);
        luthier_kernel_run(&kernel, pool);
        unsigned after = _mm_getcsr();
        _mm_setcsr(0x1f80);
        CHECK(failed == 0 && after == modes[i]);
        luthier_workers_stop(pool);
    }
    CHECK(atomic_load(&moded) == 5 * (FIRST + SECOND) && atomic_load(&in_other_modes) == 0);
}

int main(void)
{
    luthier_pool *pool;
    alarm(100);
    the_callers_mode_does_not_count();
    grains();
    median_and_spread();
    slower_kernels_are_timed_less_exactly();
    CHECK(luthier_workers_start(THREADS, &pool) == 0);
    every_chunk_runs_once_and_phases_wait(pool);
    memset(&memory, 0, sizeof memory);
    samples_are_ascending_and_limited(pool);
    slow_kernels_are_given_up(pool);
    short_kernels_run_several_times_a_sample(pool);
    what_is_swept_before_each_sample_leaves_it_one_run(pool);
    every_piece_is_touched_once();
    luthier_workers_stop(pool);
    CHECK(luthier_workers_start(1, &pool) == 0);
    memset(&memory, 0, sizeof memory);
    every_chunk_runs_once_and_phases_wait(pool);
    luthier_workers_stop(pool);
    return 0;
}
