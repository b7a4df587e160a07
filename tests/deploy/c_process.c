/* Keeps the C API to what it promises about the process around it: the floating-point mode, fork,
 * small stacks. Prints nothing unless a promise is broken; the arguments name them. */
#define _GNU_SOURCE
#include "c_model.h"

#include <fenv.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <xmmintrin.h>

/* ---- the floating-point mode ---- */

enum { USUAL = 0x1f80, TO_ZERO = 0x8000, DENORMALS_ARE_ZEROS = 0x40, ROUNDING = 0x2000 };

/* Of MXCSR; the last ones trap on whatever an operation raises. */
static const unsigned modes[] = {
    USUAL,
    USUAL | TO_ZERO,
    USUAL | DENORMALS_ARE_ZEROS,
    USUAL | TO_ZERO | DENORMALS_ARE_ZEROS,
    USUAL | ROUNDING,
    USUAL | 2 * ROUNDING,
    USUAL | 3 * ROUNDING,
    USUAL | 3 * ROUNDING | TO_ZERO | DENORMALS_ARE_ZEROS,
    USUAL | FE_INEXACT | FE_OVERFLOW,
    0,
    TO_ZERO | 2 * ROUNDING,
};

/* Values whose products need rounding, or are subnormal. */
static void fill_delicately(struct buffers *b)
{
    for (int j = 0; j < SIZE; j++) {
        float value = (j % 2 ? 1.1f : 1.1e-38f) / (float)(j + 3);
        memcpy((unsigned char *)(uintptr_t)b->in[0].data + 4 * j, &value, 4);
    }
}

/* Runs in a mode, which must be the same afterwards; outputs must be `wanted`'s. */
static void run_in_mode(luthier_instance *instance, unsigned mode, const struct buffers *wanted)
{
    struct buffers b = make_buffers(0, 1);
    luthier_error own;
    fill_delicately(&b);
    _mm_setcsr(mode);
    luthier_status status = run(instance, &b, &own);
    unsigned after = _mm_getcsr();
    _mm_setcsr(USUAL);
    CHECK(status == LUTHIER_OK && after == mode);
    for (int i = 0; i < OUTPUTS; i++)
        CHECK(memcmp(b.out[i].data, wanted->out[i].data, b.out[i].bytes) == 0);
    b.in[0].bytes--;
    _mm_setcsr(mode);
    status = run(instance, &b, &own);
    after = _mm_getcsr();
    _mm_setcsr(USUAL);
    CHECK(status == LUTHIER_WRONG_SIZE && after == mode);
    free(b.memory);
}

static struct buffers computed_by_hand(void)
{
    struct buffers b = make_buffers(0, 1);
    fill_delicately(&b);
    for (int j = 0; j < SIZE; j++) {
        float x, w = 2 * (float)(j % COLUMNS + 1);
        memcpy(&x, (const unsigned char *)b.in[0].data + 4 * j, 4);
        volatile float scaled = x * w, minus = scaled * w;
        float all[OUTPUTS - 2] = {scaled, minus, minus, -minus};
        for (int i = 0; i < OUTPUTS - 2; i++)
            memcpy((unsigned char *)b.out[i].data + 4 * j, &all[i], 4);
        if (j < COLUMNS)
            memcpy((unsigned char *)b.out[5].data + 4 * j, &w, 4);
    }
    memcpy(b.out[4].data, b.in[1].data, BYTES);
    return b;
}

static void any_mode_of_the_caller(void)
{
    struct buffers wanted = computed_by_hand();
    for (size_t made = 0; made < sizeof modes / sizeof *modes; made++)
        for (int32_t threads = 1; threads <= 4; threads++) {
            luthier_options options = {LUTHIER_ABI, threads, NULL};
            _mm_setcsr(modes[made]); /* the workers' too, if nobody sees to it */
            luthier_instance *instance;
            luthier_status status = luthier_create(model, &options, &instance, NULL);
            unsigned after = _mm_getcsr();
            _mm_setcsr(USUAL);
            CHECK(status == LUTHIER_OK && after == modes[made]);
            for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
                run_in_mode(instance, modes[i], &wanted);
            luthier_destroy(instance);
        }
    free(wanted.memory);
}

/* A pool of the program's, whose threads have a mode each, and whose functions need the caller's. */
struct share {
    luthier_task task;
    void *context;
    int32_t worker, begin, end;
    unsigned mode;
};

static unsigned callers_mode;

static void *do_share(void *argument)
{
    const struct share *share = argument;
    _mm_setcsr(share->mode);
    for (int32_t i = share->begin; i < share->end; i++)
        share->task(share->context, share->worker, i, i + 1);
    CHECK(_mm_getcsr() == share->mode);
    return NULL;
}

static void in_many_modes(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                          int32_t grain)
{
    enum { SHARES = 4 };
    (void)grain;
    CHECK((_mm_getcsr() & 0xffc0) == (callers_mode & 0xffc0));
    pthread_t threads[SHARES];
    struct share shares[SHARES];
    for (int32_t i = 0; i < SHARES; i++) {
        unsigned mode = modes[(size_t)(rand() % (int)(sizeof modes / sizeof *modes))];
        shares[i] = (struct share){
            task, context, i, chunks * i / SHARES, chunks * (i + 1) / SHARES, mode};
        CHECK(i == 0 || pthread_create(&threads[i], NULL, do_share, &shares[i]) == 0);
    }
    unsigned before = _mm_getcsr();
    for (int32_t i = shares[0].begin; i < shares[0].end; i++)
        task(context, 0, i, i + 1);
    CHECK((_mm_getcsr() & 0xffc0) == (before & 0xffc0));
    for (int32_t i = 1; i < SHARES; i++)
        pthread_join(threads[i], NULL);
    CHECK(pool->threads == SHARES);
}

static void note_mode(luthier_pool *pool)
{
    (void)pool;
    CHECK(_mm_getcsr() == callers_mode);
}

static void any_mode_of_the_programs_pool(void)
{
    luthier_pool pool = {LUTHIER_POOL_ABI, 4, in_many_modes, note_mode, note_mode};
    luthier_options options = {LUTHIER_ABI, 0, &pool};
    luthier_instance *instance = make(&options);
    struct buffers wanted = computed_by_hand();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        callers_mode = modes[i];
        run_in_mode(instance, modes[i], &wanted);
    }
    luthier_destroy(instance);
    free(wanted.memory);
}

/* ---- fork ---- */

/* The child does `work` within its time and ends; what it says is the parent's result. */
static void in_child(void (*work)(void *), void *argument)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(20);
        work(argument);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void use_instance(void *instance)
{
    for (int i = 0; i < 3; i++)
        run_checked(instance, 0, (float)i);
}

static void destroy_instance(void *instance)
{
    luthier_destroy(instance);
}

static void use_and_destroy_instance(void *instance)
{
    use_instance(instance);
    luthier_destroy(instance);
}

static int threads_of_this_process(void)
{
    char line[256];
    int threads = -1;
    FILE *file = fopen("/proc/self/status", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        sscanf(line, "Threads: %d", &threads);
    if (file != NULL)
        fclose(file);
    return threads;
}

static void make_another(void *instance)
{
    luthier_options options = {LUTHIER_ABI, 3, NULL};
    luthier_instance *other = make(&options);
    use_instance(other);
    use_instance(instance);
    luthier_destroy(other);
}

/* Whoever ends the one thread of a forked child ends the child. */
static void use_alone(void *instance)
{
    CHECK(threads_of_this_process() == 1);
    use_instance(instance);
    CHECK(threads_of_this_process() == 1);
    make_another(instance);
    CHECK(threads_of_this_process() == 1);
}

static void fork_once_more(void *instance)
{
    in_child(use_and_destroy_instance, instance);
    use_instance(instance);
    in_child(use_and_destroy_instance, instance);
    luthier_destroy(instance);
}

static void child_uses_what_it_inherits(void)
{
    for (int32_t threads = 1; threads <= 8; threads++) {
        luthier_options options = {LUTHIER_ABI, threads, NULL};
        luthier_instance *instance = make(&options);
        for (int i = 0; i < 2; i++) { /* before a first run, and after one */
            in_child(destroy_instance, instance);
            in_child(use_and_destroy_instance, instance);
            in_child(make_another, instance);
            in_child(fork_once_more, instance);
            use_instance(instance);
        }
        in_child(use_alone, instance);
        luthier_destroy(instance);
    }
}

struct shared {
    luthier_pool *pool;
    luthier_instance *instances[2];
};

static void *use_in_thread(void *instance)
{
    use_instance(instance);
    return NULL;
}

static void use_shared(void *argument)
{
    struct shared *shared = argument;
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, use_in_thread, shared->instances[i]) == 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        luthier_destroy(shared->instances[i]);
    luthier_pool_destroy(model, shared->pool);
}

static void child_shares_a_pool_among_threads(void)
{
    struct shared shared;
    expect(luthier_pool_create(model, 3, &shared.pool, &error), LUTHIER_OK, "");
    luthier_options options = {LUTHIER_ABI, 0, shared.pool};
    for (int i = 0; i < 2; i++)
        shared.instances[i] = make(&options);
    for (int i = 0; i < 5; i++)
        in_child(use_shared, &shared);
    use_shared(&shared);
}

static atomic_bool calm;

static void *run_until_calm(void *instance)
{
    while (!atomic_load(&calm))
        run_checked(instance, 0, 1);
    return NULL;
}

static void *make_until_calm(void *threads)
{
    while (!atomic_load(&calm)) {
        luthier_options options = {LUTHIER_ABI, *(int32_t *)threads, NULL};
        luthier_instance *instance;
        CHECK(luthier_create(model, &options, &instance, NULL) == LUTHIER_OK);
        luthier_destroy(instance);
    }
    return NULL;
}

static void *fork_often(void *instance)
{
    for (int i = 0; i < 60; i++) {
        in_child(i % 2 ? use_and_destroy_instance : destroy_instance, instance);
        in_child(make_another, instance);
    }
    return NULL;
}

/* Threads run, make and destroy instances while others fork. */
static void fork_while_threads_run(void)
{
    for (int32_t threads = 1; threads <= 4; threads += 3) {
        luthier_options options = {LUTHIER_ABI, threads, NULL};
        luthier_instance *instance = make(&options);
        pthread_t others[3], forker;
        atomic_store(&calm, false);
        CHECK(pthread_create(&others[0], NULL, run_until_calm, instance) == 0);
        CHECK(pthread_create(&others[1], NULL, run_until_calm, instance) == 0);
        CHECK(pthread_create(&others[2], NULL, make_until_calm, &threads) == 0);
        CHECK(pthread_create(&forker, NULL, fork_often, instance) == 0);
        fork_often(instance);
        pthread_join(forker, NULL);
        atomic_store(&calm, true);
        for (int i = 0; i < 3; i++)
            pthread_join(others[i], NULL);
        use_instance(instance);
        luthier_destroy(instance);
    }
}

/* A pool of the program's that forks: both go on with the run. */
static void forking(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                    int32_t grain)
{
    (void)pool, (void)grain;
    pid_t child = fork();
    CHECK(child >= 0);
    alarm(20);
    task(context, 0, 0, chunks);
    int status = 0;
    CHECK(child == 0 || (waitpid(child, &status, 0) == child && status == 0));
}

static void fork_inside_a_pool(void)
{
    pid_t whole = getpid();
    luthier_pool pool = {LUTHIER_POOL_ABI, 2, forking, NULL, NULL};
    luthier_options options = {LUTHIER_ABI, 0, &pool};
    luthier_instance *instance = make(&options);
    run_checked(instance, 0, 1);
    luthier_destroy(instance);
    if (getpid() != whole)
        _exit(0);
}

/* ---- small stacks ---- */

/* Everything that a program may call. */
static void *call_all(void *argument)
{
    (void)argument;
    luthier_error own;
    luthier_pool *pool;
    luthier_instance *instance;
    static struct buffers aligned, unaligned;
    aligned = make_buffers(0, 1);
    unaligned = make_buffers(4, 1);
    double seconds[4];
    CHECK(luthier_create(model, NULL, &instance, &own) == LUTHIER_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(run(instance, &aligned, &own) == LUTHIER_OK);
        CHECK(run(instance, &unaligned, &own) == LUTHIER_OK);
    }
    CHECK(luthier_run(instance, aligned.in, 1, aligned.out, 1, &own) == LUTHIER_WRONG_COUNT);
    aligned.in[1].bytes--;
    CHECK(run(instance, &aligned, &own) == LUTHIER_WRONG_SIZE);
    aligned.in[1].bytes++;
    CHECK(luthier_profile(instance, aligned.in, 2, aligned.out, OUTPUTS, seconds, &own) ==
          LUTHIER_OK);
    luthier_destroy(instance);
    luthier_options options = {LUTHIER_ABI, 5000, NULL};
    CHECK(luthier_create(model, &options, &instance, &own) == LUTHIER_BAD_THREADS);
    options.threads = 4;
    CHECK(luthier_create(model, &options, &instance, &own) == LUTHIER_OK);
    CHECK(run(instance, &aligned, &own) == LUTHIER_OK);
    luthier_destroy(instance);
    CHECK(luthier_pool_create(model, 2, &pool, &own) == LUTHIER_OK);
    options = (luthier_options){LUTHIER_ABI, 0, pool};
    CHECK(luthier_create(model, &options, &instance, &own) == LUTHIER_OK);
    CHECK(run(instance, &aligned, &own) == LUTHIER_OK);
    luthier_destroy(instance);
    luthier_pool_destroy(model, pool);
    luthier_model other = *model;
    other.arena_bytes = (size_t)1 << 60;
    CHECK(luthier_create(&other, NULL, &instance, &own) == LUTHIER_OUT_OF_MEMORY);
    CHECK(luthier_status_text(model, LUTHIER_OUT_OF_MEMORY) != NULL);
    check_outputs(&aligned);
    check_outputs(&unaligned);
    free(aligned.memory);
    free(unaligned.memory);
    return NULL;
}

/* With pages before and after the stack that nobody may touch. */
static void stack_of_16_kib(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), least = (size_t)PTHREAD_STACK_MIN;
    size_t size = least > 16384 ? least : 16384;
    unsigned char *memory = mmap(NULL, size + 2 * page, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    CHECK(memory != MAP_FAILED && mprotect(memory + page, size, PROT_READ | PROT_WRITE) == 0);
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstack(&attributes, memory + page, size) == 0);
    CHECK(pthread_create(&thread, &attributes, call_all, NULL) == 0);
    pthread_join(thread, NULL);
    size_t left = 0;
    while (left < size && memory[page + left] == 0)
        left++;
    CHECK(left > 0);
    munmap(memory, size + 2 * page);
    pthread_attr_destroy(&attributes);
}

/* The pool's workers have room for what a C library does, however little threads have by default. */
static atomic_int deep;

static void go_deep(void *context, int32_t worker, int32_t begin, int32_t end)
{
    (void)context, (void)begin, (void)end;
    if (worker == 0) {
        usleep(1000);
        return;
    }
    volatile char large[200 << 10];
    for (size_t i = 0; i < sizeof large; i += 1024)
        large[i] = 1;
    atomic_fetch_add(&deep, 1);
}

static void stacks_of_workers(void)
{
    pthread_attr_t least;
    CHECK(pthread_attr_init(&least) == 0);
    CHECK(pthread_attr_setstacksize(&least, (size_t)PTHREAD_STACK_MIN) == 0);
    CHECK(pthread_setattr_default_np(&least) == 0);
    luthier_pool *pool;
    expect(luthier_pool_create(model, 3, &pool, &error), LUTHIER_OK, "");
    for (int i = 0; i < 1000 && atomic_load(&deep) == 0; i++)
        pool->parallel(pool, go_deep, NULL, 30, 1);
    CHECK(atomic_load(&deep) > 0);
    luthier_pool_destroy(model, pool);
    pthread_attr_destroy(&least);
}

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(any_mode_of_the_caller),
    PROMISE(any_mode_of_the_programs_pool),
    PROMISE(child_uses_what_it_inherits),
    PROMISE(child_shares_a_pool_among_threads),
    PROMISE(fork_while_threads_run),
    PROMISE(fork_inside_a_pool),
    PROMISE(stack_of_16_kib),
    PROMISE(stacks_of_workers),
};

int main(int argc, char **argv)
{
    model = luthier_small();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
