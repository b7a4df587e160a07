/* Times one kernel exactly as a model runs it: phase by phase, on the pool, in chunks. */
#define _POSIX_C_SOURCE 200809L

#include "float_mode.h"
#include "luthier_pool.h"

#include <math.h>
#include <stddef.h>
#include <time.h>

#define PULSE_CHUNKS 8 /* for each thread */
#define PULSE_STEPS 30000
#define TOUCH_PIECES 64 /* of a range, even */
#define CLEARLY_SLOWER 3 /* times the best: given up after half of `least` */

typedef void (*luthier_phase)(void *const *buffers, void *scratch, int32_t begin, int32_t end);

struct luthier_kernel {
    const luthier_phase *phases;
    const int32_t *chunks; /* one number a phase */
    int32_t count;         /* of phases */
    void *const *buffers;  /* what the phases read and write */
    void *const *scratch;  /* one pointer a worker */
};

struct luthier_range {
    const char *begin;
    size_t bytes;
};

/* What a sample finds in the caches. Ranges that are `flushed` are in none. If `swept` has bytes,
 * the caches that a core has for itself hold that; then `touched` ranges are in these, each piece
 * in one worker's: where the kernel before left it, which had its own way to share the work. */
struct luthier_caches {
    const struct luthier_range *flushed;
    int32_t flushed_count;
    struct luthier_range swept;
    const struct luthier_range *touched;
    int32_t touched_count;
};

struct luthier_effort {
    int32_t least;      /* samples to take at any rate, if not given up */
    int32_t most;       /* samples that fit the caller's array */
    double precision;   /* enough when the median's 95% interval is within +- this fraction */
    double seconds;     /* enough when so long was spent on samples */
    double best;        /* seconds of the fastest known, 0 for none: what is slower needs less */
    double sample_time; /* shorter kernels run several times a sample, if caches stay as they are */
};

struct step {
    luthier_phase phase;
    const struct luthier_kernel *kernel;
};

static void run_step(void *context, int32_t worker, int32_t begin, int32_t end)
{
    const struct step *step = context;
    unsigned mode = luthier_enter_float_mode();
    step->phase(step->kernel->buffers, step->kernel->scratch[worker], begin, end);
    luthier_leave_float_mode(mode);
}

/* Runs the kernel once. */
void luthier_kernel_run(const struct luthier_kernel *kernel, luthier_pool *pool)
{
    unsigned mode = luthier_enter_float_mode();
    for (int32_t i = 0; i < kernel->count; i++) {
        struct step step = {kernel->phases[i], kernel};
        if (kernel->chunks[i] == 1) {
            run_step(&step, 0, 0, 1);
            continue;
        }
        int32_t grain = luthier_grain(kernel->chunks[i], pool->threads);
        pool->parallel(pool, run_step, &step, kernel->chunks[i], grain);
    }
    luthier_leave_float_mode(mode);
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Evicts the ranges from all caches of all cores. */
static void flush(const struct luthier_range *ranges, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        for (size_t at = 0; at < ranges[i].bytes; at += 64)
            __builtin_ia32_clflush(ranges[i].begin + at);
    __builtin_ia32_mfence();
}

static void read_lines(const char *from, const char *to)
{
    for (const volatile char *at = from; at < (const volatile char *)to; at += 64)
        (void)*at;
}

static void run_sweep(void *context, int32_t worker, int32_t begin, int32_t end)
{
    const struct luthier_range *range = context;
    (void)worker, (void)begin, (void)end;
    read_lines(range->begin, range->begin + range->bytes);
}

/* Of the workers' consecutive pieces every other one lies in another half of the range. */
static size_t touched_piece(int32_t i)
{
    return (size_t)(2 * i % TOUCH_PIECES + 2 * i / TOUCH_PIECES);
}

static void run_touch(void *context, int32_t worker, int32_t begin, int32_t end)
{
    const struct luthier_range *range = context;
    (void)worker;
    for (int32_t i = begin; i < end; i++) {
        size_t piece = touched_piece(i);
        read_lines(range->begin + range->bytes * piece / TOUCH_PIECES,
                   range->begin + range->bytes * (piece + 1) / TOUCH_PIECES);
    }
}

/* Leaves in the caches what a sample is to find there. */
static void prepare(const struct luthier_caches *caches, luthier_pool *pool)
{
    flush(caches->flushed, caches->flushed_count);
    if (caches->swept.bytes == 0)
        return;
    pool->parallel(pool, run_sweep, (void *)&caches->swept, pool->threads, 1);
    for (int32_t i = 0; i < caches->touched_count; i++)
        pool->parallel(pool, run_touch, (void *)&caches->touched[i], TOUCH_PIECES, 1);
}

static double time_runs(const struct luthier_kernel *kernel, luthier_pool *pool, int32_t runs)
{
    double begin = seconds_now();
    for (int32_t i = 0; i < runs; i++)
        luthier_kernel_run(kernel, pool);
    return (seconds_now() - begin) / runs;
}

/* One chunk of arithmetic that fits into registers, about a tenth of a millisecond. */
static void run_pulse(void *context, int32_t worker, int32_t begin, int32_t end)
{
    double sums[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int32_t i = 0; i < (end - begin) * PULSE_STEPS; i++)
        for (int j = 0; j < 8; j++)
            sums[j] = sums[j] * 0.999 + 0.001;
    for (int j = 0; j < 8; j++)
        ((volatile double *)context)[worker] += sums[j];
}

/* Seconds of a kernel that never changes and keeps all threads busy: what differs is the machine. */
double luthier_pulse(luthier_pool *pool)
{
    volatile double sinks[LUTHIER_MAX_THREADS] = {0};
    if (pool->enter != NULL)
        pool->enter(pool);
    double begin = seconds_now();
    pool->parallel(pool, run_pulse, (void *)sinks, PULSE_CHUNKS * pool->threads, 1);
    double end = seconds_now();
    if (pool->leave != NULL)
        pool->leave(pool);
    return end - begin;
}

static void insert_sorted(double *sorted, int32_t count, double value)
{
    int32_t at = count;
    for (; at > 0 && sorted[at - 1] > value; at--)
        sorted[at] = sorted[at - 1];
    sorted[at] = value;
}

/* A kernel that is slower than the best by some factor need not be known to the percent: an eighth
 * of the difference is enough to rank it. */
static double precision_wanted(const struct luthier_effort *effort, double median)
{
    double behind = effort->best > 0 ? (median / effort->best - 1) / 8 : 0;
    return behind > effort->precision ? behind : effort->precision;
}

/* Half of the median's 95% interval over the median. The quartiles estimate the deviation, so that
 * a run which lost its core does not count: IQR = 1.35 sigma, error of a median = 1.25 sigma / sqrt(n). */
static double uncertainty(const double *sorted, int32_t count)
{
    double spread = sorted[count * 3 / 4] - sorted[count / 4];
    return 1.82 * spread / (sqrt((double)count) * sorted[count / 2]);
}

/* Stores ascending seconds a run in `samples` (effort->most of them fit) and returns how many.
 * The kernel must have run once before: this is not a warm-up. */
int32_t luthier_kernel_time(const struct luthier_kernel *kernel, luthier_pool *pool,
                            const struct luthier_caches *caches,
                            const struct luthier_effort *effort, double *samples)
{
    int32_t runs = 1, count = 0;
    double spent = 0;
    if (pool->enter != NULL)
        pool->enter(pool);
    if (caches->flushed_count == 0 && caches->swept.bytes == 0) {
        double once = time_runs(kernel, pool, 1);
        runs = once < effort->sample_time ? (int32_t)(effort->sample_time / (once + 1e-8)) + 1 : 1;
    }
    while (count < effort->most) {
        prepare(caches, pool);
        double sample = time_runs(kernel, pool, runs);
        insert_sorted(samples, count++, sample);
        spent += sample * runs;
        if (effort->best > 0 && count >= (effort->least + 1) / 2 &&
            samples[0] > CLEARLY_SLOWER * effort->best)
            break;
        if (count < effort->least)
            continue;
        double wanted = precision_wanted(effort, samples[count / 2]);
        if (spent > effort->seconds || uncertainty(samples, count) < wanted)
            break;
    }
    if (pool->leave != NULL)
        pool->leave(pool);
    return count;
}
