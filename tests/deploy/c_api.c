/* Keeps the C API to its promises. Prints nothing unless one is broken; the arguments name them. */
#define _GNU_SOURCE
#include "c_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- the promises ---- */

static void description(void)
{
    CHECK(strcmp(model->name, "small") == 0 && model->threads == 2);
    CHECK(model->input_count == LUTHIER_SMALL_INPUT_COUNT && model->input_count == 2);
    CHECK(model->output_count == LUTHIER_SMALL_OUTPUT_COUNT && model->output_count == OUTPUTS);
    CHECK(LUTHIER_SMALL_INPUT_0_SIZE == SIZE && LUTHIER_SMALL_OUTPUT_5_SIZE == COLUMNS);
    const luthier_tensor *x = &model->inputs[0];
    CHECK(strcmp(x->name, "x") == 0 && x->rank == 2 && x->shape[0] == ROWS);
    CHECK(x->shape[1] == COLUMNS && x->dtype == LUTHIER_FLOAT32 && x->bytes == BYTES);
    CHECK(model->step_count == 4 && strcmp(model->step_names[2], "third") == 0);
    CHECK(model->feature_count > 0 && strcmp(model->features[0], "sse3") == 0);
    for (int i = -1; i <= LUTHIER_STATUS_COUNT; i++)
        CHECK(strlen(luthier_status_text(model, (luthier_status)i)) > 3);
    CHECK(strlen(luthier_status_text(NULL, LUTHIER_OK)) > 3);
}

static void errors_of_create(void)
{
    luthier_instance *instance = (luthier_instance *)&error;
    luthier_model other = *model;
    luthier_options options = {LUTHIER_ABI, 0, NULL};
    expect(luthier_create(NULL, NULL, &instance, &error), LUTHIER_NULL_POINTER, "model");
    expect(luthier_create(model, NULL, NULL, &error), LUTHIER_NULL_POINTER, "instance");

    other.abi = LUTHIER_ABI + 1;
    expect(luthier_create(&other, NULL, &instance, &error), LUTHIER_WRONG_ABI, "version");
    options.abi = 7;
    expect(luthier_create(model, &options, &instance, &error), LUTHIER_WRONG_ABI, "7");
    CHECK(instance == NULL);
    options.abi = LUTHIER_ABI;

    for (int32_t threads = -1; threads < 2000; threads += 1026) {
        if (threads > 0 && threads <= LUTHIER_MAX_THREADS)
            threads = LUTHIER_MAX_THREADS + 1;
        options.threads = threads;
        expect(luthier_create(model, &options, &instance, &error), LUTHIER_BAD_THREADS, "1..1024");
    }
    options.threads = 0;

    other = *model;
    const char *features[] = {"sse3", "antigravity"};
    other.features = features;
    other.feature_count = 2;
    expect(luthier_create(&other, NULL, &instance, &error), LUTHIER_CPU_TOO_OLD, "antigravity");

    luthier_pool pool = {LUTHIER_POOL_ABI, 1, NULL, NULL, NULL};
    options.pool = &pool;
    expect(luthier_create(model, &options, &instance, &error), LUTHIER_BAD_POOL, "parallel");
    CHECK(luthier_create(model, &options, &instance, NULL) == LUTHIER_BAD_POOL); /* no error */
    luthier_destroy(NULL);
}

static void errors_of_run(void)
{
    luthier_instance *instance = make(NULL);
    struct buffers b = make_buffers(0, 1);
    expect(luthier_run(NULL, b.in, 2, b.out, OUTPUTS, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_run(instance, b.in, 1, b.out, OUTPUTS, &error), LUTHIER_WRONG_COUNT, "1 inputs");
    expect(luthier_run(instance, b.in, 2, b.out, 7, &error), LUTHIER_WRONG_COUNT, "7 outputs");
    expect(luthier_run(instance, NULL, 2, b.out, OUTPUTS, &error), LUTHIER_NULL_POINTER, "inputs");
    expect(luthier_run(instance, b.in, 2, NULL, OUTPUTS, &error), LUTHIER_NULL_POINTER, "outputs");

    b.in[1].bytes--;
    expect(run(instance, &b, &error), LUTHIER_WRONG_SIZE, "input 1 ('y') has 1627 bytes, not 1628");
    b.in[1].bytes += 2;
    expect(run(instance, &b, &error), LUTHIER_WRONG_SIZE, "1629");
    b.in[1].bytes--;
    b.out[2].bytes--;
    expect(run(instance, &b, &error), LUTHIER_TOO_SMALL, "output 2 ('again')");
    b.out[2].bytes += 100; /* larger is fine */

    const void *data = b.in[0].data;
    b.in[0].data = NULL;
    expect(run(instance, &b, &error), LUTHIER_NULL_POINTER, "input 0 ('x')");
    CHECK(run(instance, &b, NULL) == LUTHIER_NULL_POINTER);
    b.in[0].data = data;
    void *out = b.out[3].data;
    b.out[3].data = NULL;
    expect(run(instance, &b, &error), LUTHIER_NULL_POINTER, "output 3 ('flat')");
    b.out[3].data = (unsigned char *)b.out[0].data + BYTES - 1;
    expect(run(instance, &b, &error), LUTHIER_OVERLAP, "0 and 3");
    b.out[3].data = out;
    CHECK(*(unsigned char *)b.out[0].data == 0xee); /* a failure writes nothing */

    double seconds[4];
    expect(luthier_profile(instance, b.in, 2, b.out, OUTPUTS, NULL, &error), LUTHIER_NULL_POINTER,
           "step_seconds");
    expect(luthier_profile(NULL, b.in, 2, b.out, OUTPUTS, seconds, &error), LUTHIER_NULL_POINTER,
           "instance");
    CHECK(luthier_run(instance, b.in, 2, b.out, OUTPUTS, NULL) == LUTHIER_OK);
    check_outputs(&b);
    luthier_destroy(instance);
    free(b.memory);
}

static void errors_of_pools(void)
{
    luthier_pool *pool;
    expect(luthier_pool_create(NULL, 1, &pool, &error), LUTHIER_NULL_POINTER, "model");
    expect(luthier_pool_create(model, 1, NULL, &error), LUTHIER_NULL_POINTER, "pool");
    expect(luthier_pool_create(model, 0, &pool, &error), LUTHIER_BAD_THREADS, "0");
    expect(luthier_pool_create(model, 1025, &pool, &error), LUTHIER_BAD_THREADS, "1025");
    luthier_pool_destroy(model, NULL);
    luthier_pool_destroy(NULL, NULL);
}

static void unaligned_buffers(void)
{
    luthier_instance *instance = make(NULL);
    for (size_t shift = 0; shift <= 64; shift++)
        run_checked(instance, shift, (float)shift);
    luthier_destroy(instance);
}

/* Inputs may lie under outputs: here the model works in place, shifted by a few bytes. */
static void overlapping_input(void)
{
    luthier_instance *instance = make(NULL);
    for (int output = 0; output < 5; output++)
        for (size_t input = 0; input < 2; input++)
            for (size_t shift = 0; shift <= 64; shift += 32) {
                struct buffers b = make_buffers(0, 3);
                b.out[output].data = (unsigned char *)(uintptr_t)b.in[input].data + shift;
                expect(run(instance, &b, &error), LUTHIER_OK, "");
                for (int i = 0; i < OUTPUTS; i++)
                    check_output(&b, i, b.out[i].data);
                free(b.memory);
            }
    luthier_destroy(instance);
}

static void profile(void)
{
    luthier_instance *instance = make(NULL);
    struct buffers b = make_buffers(0, 1);
    double seconds[4] = {-1, -1, -1, -1};
    expect(luthier_profile(instance, b.in, 2, b.out, OUTPUTS, seconds, &error), LUTHIER_OK, "");
    check_outputs(&b);
    for (int i = 0; i < 4; i++)
        CHECK(seconds[i] >= 0 && seconds[i] < 10);
    luthier_destroy(instance);
    free(b.memory);
}

static void *run_often(void *instance)
{
    float seed = (float)((uintptr_t)pthread_self() >> 12 & 63);
    for (int i = 0; i < 200; i++)
        run_checked(instance, (size_t)(i % 3) * 4, seed + (float)(i % 7));
    return NULL;
}

static void run_from_threads(luthier_instance *const *instances)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, run_often, instances[i]) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

static void one_instance_from_threads(void)
{
    luthier_instance *one = make(NULL);
    run_from_threads((luthier_instance *[]){one, one, one, one});
    luthier_destroy(one);
}

static void instances_with_their_own_pools(void)
{
    luthier_instance *instances[4];
    for (int i = 0; i < 4; i++) {
        luthier_options options = {LUTHIER_ABI, i + 1, NULL};
        instances[i] = make(&options);
    }
    run_from_threads(instances);
    for (int i = 0; i < 4; i++)
        luthier_destroy(instances[i]);
}

static void instances_on_one_pool(void)
{
    luthier_pool *pool;
    expect(luthier_pool_create(model, 3, &pool, &error), LUTHIER_OK, "");
    luthier_options options = {LUTHIER_ABI, 0, pool};
    luthier_instance *instances[4];
    for (int i = 0; i < 4; i++)
        instances[i] = make(&options);
    run_from_threads(instances);
    for (int i = 0; i < 4; i++)
        luthier_destroy(instances[i]);
    luthier_pool_destroy(model, pool);
}

/* A program's own pool, here one that works backwards under changing worker numbers. */
static atomic_int calls, entered;

static void backwards(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                      int32_t grain)
{
    (void)grain;
    for (int32_t i = chunks - 1; i >= 0; i--)
        task(context, i % pool->threads, i, i + 1);
    atomic_fetch_add(&calls, 1);
}

static void count_enter(luthier_pool *pool)
{
    (void)pool;
    atomic_fetch_add(&entered, 1);
}

static void count_leave(luthier_pool *pool)
{
    (void)pool;
    atomic_fetch_add(&entered, 1000);
}

static void own_pool(void)
{
    luthier_pool pool = {LUTHIER_POOL_ABI, 5, backwards, count_enter, count_leave};
    luthier_options options = {LUTHIER_ABI, 0, &pool};
    luthier_instance *instance = make(&options);
    run_checked(instance, 0, 1);
    CHECK(atomic_load(&calls) == 4 && atomic_load(&entered) == 1001);
    pool.enter = pool.leave = NULL;
    run_checked(instance, 0, 1);
    luthier_destroy(instance);
}

static int32_t bad_call[3];

static void broken(luthier_pool *pool, luthier_task task, void *context, int32_t chunks,
                   int32_t grain)
{
    (void)pool, (void)chunks, (void)grain;
    task(context, bad_call[0], bad_call[1], bad_call[2]);
}

static void broken_pool(void)
{
    luthier_pool pool = {LUTHIER_POOL_ABI, 2, broken, NULL, NULL};
    luthier_options options = {LUTHIER_ABI, 0, &pool};
    luthier_instance *instance = make(&options);
    const int32_t bad[][3] = {{-1, 0, 1}, {2, 0, 1}, {0, -1, 1}, {0, 0, 38}, {0, 2, 1}};
    struct buffers b = make_buffers(0, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(bad_call, bad[i], sizeof bad_call);
        expect(run(instance, &b, &error), LUTHIER_BAD_POOL, "out of range");
    }
    pool.parallel = backwards;
    expect(run(instance, &b, &error), LUTHIER_OK, "");
    check_outputs(&b);
    luthier_destroy(instance);
    free(b.memory);
}

static void out_of_memory(void)
{
    luthier_instance *instance;
    luthier_model huge = *model;
    huge.arena_bytes = (size_t)1 << 60;
    expect(luthier_create(&huge, NULL, &instance, &error), LUTHIER_OUT_OF_MEMORY, "arena");
    huge.arena_bytes = SIZE_MAX;
    expect(luthier_create(&huge, NULL, &instance, &error), LUTHIER_OUT_OF_MEMORY, "arena");
    huge.arena_bytes = 64;
    huge.scratch_bytes = SIZE_MAX - 10;
    expect(luthier_create(&huge, NULL, &instance, &error), LUTHIER_OUT_OF_MEMORY, "scratch");
    CHECK(instance == NULL);
}

static void threads_refused(void)
{
    struct rlimit limit = {256 << 20, 256 << 20}; /* not enough for a thousand stacks */
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    luthier_instance *instance;
    luthier_options options = {LUTHIER_ABI, LUTHIER_MAX_THREADS, NULL};
    expect(luthier_create(model, &options, &instance, &error), LUTHIER_POOL_FAILED, "1024 threads");
    luthier_pool *pool;
    expect(luthier_pool_create(model, 1024, &pool, &error), LUTHIER_POOL_FAILED, "1024 threads");
    CHECK(instance == NULL && pool == NULL);
    options.threads = 2;
    instance = make(&options);
    run_checked(instance, 0, 1);
    luthier_destroy(instance);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void idle_workers_sleep(void)
{
    luthier_options options = {LUTHIER_ABI, 8, NULL};
    luthier_instance *instance = make(&options);
    run_checked(instance, 0, 1);
    usleep(20000);
    double before = cpu_seconds();
    usleep(200000);
    CHECK(cpu_seconds() - before < 0.02);
    luthier_destroy(instance);
}

#ifdef COUNT_ALLOCATIONS
static atomic_int allocations;
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
#define COUNT atomic_fetch_add(&allocations, 1)
void *malloc(size_t n) { return COUNT, __libc_malloc(n); }
void *calloc(size_t n, size_t m) { return COUNT, __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { return COUNT, __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { return COUNT, __libc_memalign(a, n); }
void *memalign(size_t a, size_t n) { return COUNT, __libc_memalign(a, n); }

static void no_allocation_in_run(void)
{
    luthier_options options = {LUTHIER_ABI, 4, NULL};
    int before = atomic_load(&allocations);
    luthier_instance *instance = make(&options);
    CHECK(atomic_load(&allocations) > before); /* the counters count */
    struct buffers aligned = make_buffers(0, 1), unaligned = make_buffers(4, 2);
    before = atomic_load(&allocations);
    for (int i = 0; i < 100; i++) {
        CHECK(run(instance, i % 2 ? &aligned : &unaligned, &error) == LUTHIER_OK);
        CHECK(luthier_run(instance, NULL, 0, NULL, 0, &error) == LUTHIER_WRONG_COUNT);
    }
    CHECK(atomic_load(&allocations) == before);
    check_outputs(&aligned);
    check_outputs(&unaligned);
    luthier_destroy(instance);
    free(aligned.memory);
    free(unaligned.memory);
}
#endif

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(description),
    PROMISE(errors_of_create),
    PROMISE(errors_of_run),
    PROMISE(errors_of_pools),
    PROMISE(unaligned_buffers),
    PROMISE(overlapping_input),
    PROMISE(profile),
    PROMISE(one_instance_from_threads),
    PROMISE(instances_with_their_own_pools),
    PROMISE(instances_on_one_pool),
    PROMISE(own_pool),
    PROMISE(broken_pool),
    PROMISE(out_of_memory),
    PROMISE(threads_refused),
    PROMISE(idle_workers_sleep),
#ifdef COUNT_ALLOCATIONS
    PROMISE(no_allocation_in_run),
#endif
};

int main(int argc, char **argv)
{
    model = luthier_small();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
