/* Each thread has a seat with a range of pieces. It takes pieces from the front of its own range,
 * so that the same thread meets the same data in every run, and when that is empty from the back of
 * the others' ranges, so that a thread which lost its core holds up at most one piece.
 *
 * A piece is claimed by one compare-and-swap on a seat's range. The job's description is read only
 * after a claim, and the caller overwrites it only when every claimed piece is done, so a claim pins
 * the job it came from: a late worker finds empty ranges, or claims from the job that is current. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pool.h"

#include "atfork.h"
#include "cores.h"
#include "float_mode.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#define CACHE_LINE 64
#define SPIN_NS 40000     /* spin this long before giving the core to others */
#define YIELD_NS 2000000  /* inside a run: offer the core this long before sleeping */
#define LOOK_NS 1000000   /* a worker looks for another core at most this often */
#define STALL_NS 50000    /* a worker that holds a piece and ran not at all this long lost its core */
#define LEAST_STACK (256 << 10) /* bytes of a worker, where the system would give less */

struct workers;

struct seat {
    _Alignas(CACHE_LINE) _Atomic uint64_t range; /* first piece << 32 | one past the last */
    atomic_int cpu;      /* where its thread ran last; -1 while that sleeps */
    atomic_bool holding; /* it may hold a piece */
    int64_t ran_ns;      /* its thread's CPU time, as the caller saw it last */
    uint64_t looked;     /* when its thread looked for another core, */
    uint64_t moved;      /* and when it went there */
    int32_t index;
    struct workers *pool;
    pthread_t thread;
};

struct workers {
    luthier_pool pool;
    struct luthier_atfork atfork;
    int32_t started; /* threads that there are, the caller included */

    /* The job; written by the caller while all ranges are empty. */
    luthier_task task;
    void *context;
    int32_t chunks;
    int32_t grain;

    _Alignas(CACHE_LINE) atomic_uint epoch; /* changes when a worker should look for work */
    atomic_int caller_cpu;
    atomic_int active;                      /* runs between enter and leave */
    atomic_int sleepers;
    atomic_bool stop;

    _Alignas(CACHE_LINE) atomic_int done; /* pieces that workers, not the caller, have done */
    atomic_bool busy;                     /* a job is under way */

    _Alignas(CACHE_LINE) pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct seat seats[];
};

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Claims a piece from the front or the back of a seat's range; -1 where it is empty. */
static int32_t claim(struct seat *seat, bool front)
{
    uint64_t range = atomic_load_explicit(&seat->range, memory_order_relaxed);
    for (;;) {
        uint32_t first = (uint32_t)(range >> 32), last = (uint32_t)range;
        if (first >= last)
            return -1;
        uint64_t rest = front ? range + ((uint64_t)1 << 32) : range - 1;
        if (atomic_compare_exchange_weak_explicit(&seat->range, &range, rest, memory_order_acquire,
                                                  memory_order_relaxed))
            return (int32_t)(front ? first : last - 1);
    }
}

/* Does pieces until no seat has any left; returns how many. */
static int32_t work(struct workers *w, int32_t self)
{
    int32_t threads = w->pool.threads, pieces = 0;
    for (int32_t i = 0; i < threads; i++) {
        struct seat *seat = &w->seats[(self + i) % threads];
        for (int32_t piece; (piece = claim(seat, i == 0)) >= 0; pieces++) {
            int32_t begin = piece * w->grain;
            int32_t end = w->chunks - begin > w->grain ? begin + w->grain : w->chunks;
            w->task(w->context, self, begin, end);
        }
    }
    return pieces;
}

/* Tells the workers to look for work. Together with `sleep_until_called` this is Dekker's pattern:
 * either the sleeper sees the new epoch or the caller sees the sleeper. */
static void call_workers(struct workers *w)
{
    atomic_fetch_add(&w->epoch, 1);
    if (atomic_load(&w->sleepers) > 0) {
        pthread_mutex_lock(&w->mutex);
        pthread_cond_broadcast(&w->wake);
        pthread_mutex_unlock(&w->mutex);
    }
}

static void sleep_until_called(struct seat *seat, unsigned seen)
{
    struct workers *w = seat->pool;
    atomic_store_explicit(&seat->cpu, -1, memory_order_relaxed);
    pthread_mutex_lock(&w->mutex);
    atomic_fetch_add(&w->sleepers, 1);
    while (atomic_load(&w->epoch) == seen)
        pthread_cond_wait(&w->wake, &w->mutex);
    atomic_fetch_sub(&w->sleepers, 1);
    pthread_mutex_unlock(&w->mutex);
}

/* Waits until the epoch is no longer `seen`: spins, then yields, then sleeps. */
static unsigned await_call(struct seat *seat, unsigned seen)
{
    struct workers *w = seat->pool;
    uint64_t start = now_ns();
    for (;;) {
        for (int i = 0; i < 32; i++) {
            unsigned epoch = atomic_load_explicit(&w->epoch, memory_order_acquire);
            if (epoch != seen)
                return epoch;
            relax();
        }
        uint64_t idle = now_ns() - start;
        if (idle < SPIN_NS)
            continue;
        if (idle > YIELD_NS || atomic_load_explicit(&w->active, memory_order_relaxed) == 0)
            sleep_until_called(seat, seen);
        else
            sched_yield();
    }
}

/* A woken thread often lands on the core of the thread that woke it, which then works on, and the
 * kernel may take many runs to notice; so the worker sees to it: before every job that it is not on
 * the caller's core, and now and then that it is not on another worker's. */
static void keep_off_others(struct seat *seat)
{
    struct workers *w = seat->pool;
    int cpu = sched_getcpu(), caller = atomic_load_explicit(&w->caller_cpu, memory_order_relaxed);
    uint64_t now = now_ns();
    if (now - (cpu == caller ? seat->moved : seat->looked) < LOOK_NS)
        return;
    seat->looked = now;
    bool shared = cpu == caller;
    cpu_set_t taken;
    CPU_ZERO(&taken);
    CPU_SET((size_t)caller, &taken);
    for (int32_t i = 1; i < w->pool.threads; i++) {
        int other = atomic_load_explicit(&w->seats[i].cpu, memory_order_relaxed);
        if (other < 0 || i == seat->index)
            continue;
        CPU_SET((size_t)other, &taken);
        shared = shared || (other == cpu && i < seat->index); /* of two, the higher seat moves */
    }
    if (shared) {
        seat->moved = now;
        luthier_move_off(&taken);
    }
    atomic_store_explicit(&seat->cpu, sched_getcpu(), memory_order_relaxed);
}

static void *worker_main(void *argument)
{
    struct seat *seat = argument;
    struct workers *w = seat->pool;
    luthier_set_float_mode(LUTHIER_FLOAT_MODE);
    for (unsigned seen = 0;;) {
        seen = await_call(seat, seen);
        if (atomic_load_explicit(&w->stop, memory_order_relaxed))
            return NULL;
        keep_off_others(seat);
        atomic_store_explicit(&seat->holding, true, memory_order_relaxed);
        int32_t pieces = work(w, seat->index);
        if (pieces > 0)
            atomic_fetch_add_explicit(&w->done, pieces, memory_order_release);
        atomic_store_explicit(&seat->holding, false, memory_order_relaxed);
    }
}

/* Other programs may have the core of a worker that holds a piece. The caller's core, which has
 * nothing to do, then does that piece; else all would wait some milliseconds for the scheduler. */
static void fetch_stalled(struct workers *w)
{
    for (int32_t i = 1; i < w->pool.threads; i++)
        if (atomic_load_explicit(&w->seats[i].holding, memory_order_relaxed))
            luthier_fetch_stalled(w->seats[i].thread, &w->seats[i].ran_ns);
}

/* Waits until the workers have done so many pieces. */
static void await_done(struct workers *w, int32_t pieces)
{
    uint64_t start = 0, looked = 0;
    for (unsigned i = 1; atomic_load_explicit(&w->done, memory_order_acquire) != pieces; i++) {
        relax();
        if (i % 32 != 0)
            continue;
        uint64_t now = now_ns();
        if (start == 0)
            start = looked = now;
        if (now - start < SPIN_NS)
            continue;
        if (now - looked > STALL_NS) {
            fetch_stalled(w);
            looked = now;
        }
        sched_yield(); /* the worker may wait for this very core */
    }
}

static void parallel(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                     int32_t grain)
{
    struct workers *w = (struct workers *)pool;
    int32_t threads = w->started;
    if (chunks <= 0)
        return;
    if (grain < 1)
        grain = 1;
    /* One piece, one thread, or another caller has the workers: do it here. */
    if (chunks <= grain || threads == 1 ||
        atomic_exchange_explicit(&w->busy, true, memory_order_acquire)) {
        task(context, 0, 0, chunks);
        return;
    }
    w->task = task;
    w->context = context;
    w->chunks = chunks;
    w->grain = grain;
    atomic_store_explicit(&w->done, 0, memory_order_relaxed);
    int32_t pieces = (chunks - 1) / grain + 1;
    for (int32_t i = threads - 1; i >= 0; i--) {
        uint64_t first = (uint64_t)((int64_t)pieces * i / threads);
        uint64_t last = (uint64_t)((int64_t)pieces * (i + 1) / threads);
        atomic_store_explicit(&w->seats[i].range, first << 32 | last, memory_order_release);
    }
    atomic_store_explicit(&w->caller_cpu, sched_getcpu(), memory_order_relaxed);
    call_workers(w);
    await_done(w, pieces - work(w, 0));
    atomic_store_explicit(&w->busy, false, memory_order_release);
}

static void enter(luthier_pool *pool)
{
    struct workers *w = (struct workers *)pool;
    atomic_fetch_add_explicit(&w->active, 1, memory_order_relaxed);
    if (w->started == 1)
        return;
    atomic_store_explicit(&w->caller_cpu, sched_getcpu(), memory_order_relaxed);
    call_workers(w);
}

static void leave(luthier_pool *pool)
{
    struct workers *w = (struct workers *)pool;
    atomic_fetch_sub_explicit(&w->active, 1, memory_order_relaxed);
}

/* The workers stayed with the parent: the child's threads do all the work themselves. */
static void in_child(struct luthier_atfork *self)
{
    struct workers *w = (struct workers *)((char *)self - offsetof(struct workers, atfork));
    w->started = 1;
    atomic_store(&w->sleepers, 0);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
}

/* Ends the workers and frees the pool. */
static void stop(struct workers *w)
{
    luthier_atfork_remove(&w->atfork);
    atomic_store(&w->stop, true);
    call_workers(w);
    for (int32_t i = 1; i < w->started; i++)
        pthread_join(w->seats[i].thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static struct workers *allocate(int32_t threads)
{
    size_t bytes = sizeof(struct workers) + (size_t)threads * sizeof(struct seat);
    struct workers *w = aligned_alloc(CACHE_LINE, bytes);
    if (w == NULL)
        return NULL;
    *w = (struct workers){.pool = {LUTHIER_POOL_ABI, threads, parallel, enter, leave}};
    w->started = 1;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->wake, NULL);
    for (int32_t i = 0; i < threads; i++)
        w->seats[i] = (struct seat){.cpu = -1, .index = i, .pool = w};
    if (luthier_atfork_add(&w->atfork, in_child) == 0)
        return w;
    free(w);
    return NULL;
}

/* Starts the workers; returns 0, or what the system said. */
static int start_workers(struct workers *w)
{
    pthread_attr_t attributes;
    size_t stack;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < LEAST_STACK)
        pthread_attr_setstacksize(&attributes, LEAST_STACK);
    /* The program's signal handlers run on its own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (w->started < w->pool.threads && error == 0) {
        struct seat *seat = &w->seats[w->started];
        error = pthread_create(&seat->thread, &attributes, worker_main, seat);
        w->started += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int luthier_workers_start(int32_t threads, luthier_pool **pool)
{
    if (threads < 1 || threads > LUTHIER_MAX_THREADS)
        return EINVAL;
    struct workers *w = allocate(threads);
    if (w == NULL)
        return ENOMEM;
    int error = start_workers(w);
    if (error != 0) {
        stop(w);
        return error;
    }
    *pool = &w->pool;
    return 0;
}

void luthier_workers_stop(luthier_pool *pool)
{
    if (pool != NULL)
        stop((struct workers *)pool);
}
