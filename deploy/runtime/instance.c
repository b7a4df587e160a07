/* Makes and frees instances. */
#define _GNU_SOURCE
#include "instance.h"

#include "pool.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

static size_t round_up(size_t bytes)
{
    return (bytes + LUTHIER_ALIGNMENT - 1) / LUTHIER_ALIGNMENT * LUTHIER_ALIGNMENT;
}

static int32_t default_threads(const luthier_model *model)
{
    cpu_set_t cores;
    int32_t threads = model->threads;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) < threads)
        threads = CPU_COUNT(&cores);
    return threads < 1 ? 1 : luthier_granted_cores("", threads);
}

luthier_status luthier_runtime_pool_create(int32_t threads, luthier_pool **pool,
                                           luthier_error *error)
{
    if (pool == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the pool was given");
    *pool = NULL;
    if (threads < 1 || threads > LUTHIER_MAX_THREADS)
        return luthier_fail(error, LUTHIER_BAD_THREADS, "%d is not in 1..%d", (int)threads,
                            LUTHIER_MAX_THREADS);
    int reason = luthier_workers_start(threads, pool);
    if (reason != 0)
        return luthier_fail(error, LUTHIER_POOL_FAILED, "%d threads: %s", (int)threads,
                            strerror(reason));
    return luthier_succeed(error);
}

void luthier_runtime_pool_destroy(luthier_pool *pool)
{
    luthier_workers_stop(pool);
}

static luthier_status check_options(const luthier_model *model, const luthier_options *options,
                                    luthier_error *error)
{
    const char *missing = luthier_missing_feature(model->features, model->feature_count);
    if (missing != NULL)
        return luthier_fail(error, LUTHIER_CPU_TOO_OLD, "%s; build the model for an older level",
                            missing);
    if (options == NULL)
        return LUTHIER_OK;
    if (options->abi != LUTHIER_ABI)
        return luthier_fail(error, LUTHIER_WRONG_ABI, "options.abi is %u, not %u", options->abi,
                            LUTHIER_ABI);
    if (options->threads < 0 || options->threads > LUTHIER_MAX_THREADS)
        return luthier_fail(error, LUTHIER_BAD_THREADS, "%d is not in 1..%d",
                            (int)options->threads, LUTHIER_MAX_THREADS);
    const luthier_pool *pool = options->pool;
    if (pool != NULL && (pool->abi != LUTHIER_POOL_ABI || pool->parallel == NULL ||
                         pool->threads < 1 || pool->threads > LUTHIER_MAX_THREADS))
        return luthier_fail(error, LUTHIER_BAD_POOL,
                            "its abi, its threads or its parallel function are not set rightly");
    return LUTHIER_OK;
}

/* A run that was under way on another thread stayed with the parent. */
static void in_child(struct luthier_atfork *self)
{
    struct shared *shared = (struct shared *)((char *)self - offsetof(struct shared, atfork));
    if (atomic_load(&shared->running) && pthread_equal(shared->runner, pthread_self()))
        return; /* a pool of the program's forked, and goes on with the run */
    pthread_mutex_init(&shared->mutex, NULL);
    atomic_store(&shared->running, false);
    atomic_store(&shared->pool_broken, false);
}

static void release(struct shared *shared)
{
    if (atomic_fetch_sub(&shared->users, 1) > 1)
        return;
    luthier_atfork_remove(&shared->atfork);
    luthier_workers_stop(shared->own_pool);
    pthread_mutex_destroy(&shared->mutex);
    free(shared->memory);
    free(shared->states);
    free(shared->lengths);
    free(shared);
}

/* The arena and the scratch; false where memory is short. */
static bool allocate_memory(struct shared *shared, const luthier_model *model)
{
    size_t threads = (size_t)shared->pool->threads;
    if (model->arena_bytes > SIZE_MAX / 2 || model->scratch_bytes > SIZE_MAX / 4 / threads)
        return false;
    size_t arena = round_up(model->arena_bytes);
    shared->scratch_stride = round_up(model->scratch_bytes);
    size_t bytes = arena + threads * shared->scratch_stride + LUTHIER_ALIGNMENT;
    shared->memory = aligned_alloc(LUTHIER_ALIGNMENT, bytes);
    if (shared->memory == NULL)
        return false;
    shared->scratch = shared->memory + arena;
    return true;
}

/* The states, all zero and empty; false where memory is short. */
static bool allocate_states(struct shared *shared, const luthier_program *program)
{
    if (program->library_state_count == 0)
        return true;
    if (program->state_bytes > SIZE_MAX / 2)
        return false;
    size_t bytes = round_up(program->state_bytes) + LUTHIER_ALIGNMENT;
    shared->lengths = calloc(program->library_state_count, sizeof *shared->lengths);
    shared->states = aligned_alloc(LUTHIER_ALIGNMENT, bytes);
    if (shared->lengths == NULL || shared->states == NULL)
        return false;
    memset(shared->states, 0, bytes);
    return true;
}

static luthier_status make_shared(const luthier_model *model, const luthier_options *options,
                                  struct shared **result, luthier_error *error)
{
    luthier_status status = LUTHIER_OK;
    struct shared *shared = calloc(1, sizeof *shared);
    if (shared == NULL || luthier_atfork_add(&shared->atfork, in_child) != 0) {
        free(shared);
        return luthier_fail(error, LUTHIER_OUT_OF_MEMORY, "the instance");
    }
    pthread_mutex_init(&shared->mutex, NULL);
    atomic_store(&shared->users, 1);
    shared->pool = options == NULL ? NULL : options->pool;
    if (shared->pool == NULL) {
        int32_t threads = options != NULL && options->threads > 0 ? options->threads
                                                                  : default_threads(model);
        status = luthier_runtime_pool_create(threads, &shared->own_pool, error);
        shared->pool = shared->own_pool;
    }
    if (status == LUTHIER_OK && !allocate_memory(shared, model))
        status = luthier_fail(error, LUTHIER_OUT_OF_MEMORY,
                              "an arena of %zu bytes and %zu bytes of scratch for each of %d threads",
                              model->arena_bytes, model->scratch_bytes,
                              (int)shared->pool->threads);
    const luthier_program *program = model->program;
    if (status == LUTHIER_OK && !allocate_states(shared, program))
        status = luthier_fail(error, LUTHIER_OUT_OF_MEMORY, "states of %zu bytes",
                              program->state_bytes);
    if (status != LUTHIER_OK) {
        release(shared);
        return status;
    }
    *result = shared;
    return LUTHIER_OK;
}

/* An instance and its tables in one block; null where memory is short. Where sizes may change there
 * are two of all that follows from them. */
static struct instance *allocate_tables(const luthier_model *model)
{
    const luthier_program *program = model->program;
    size_t copies = program->size_count > 0 ? 2 : 1;
    size_t pointers = copies * program->most_references + model->input_count + model->output_count;
    size_t numbers = program->size_count + program->found_count > 0 ? program->most_numbers : 0;
    size_t integers = copies * (numbers + program->library_size_count);
    struct instance *instance = calloc(1, sizeof *instance + pointers * sizeof(void *) +
                                              integers * sizeof(int64_t) +
                                              program->most_loops * sizeof(struct course));
    if (instance == NULL)
        return NULL;
    instance->base.model = model;
    instance->program = program;
    void **pointer = (void **)(instance + 1);
    int64_t *integer = (int64_t *)(pointer + pointers);
    for (size_t i = 0; i < copies; i++) {
        struct settled *settled = &instance->both[i];
        settled->buffers = pointer;
        pointer += program->most_references;
        settled->sizes = integer;
        settled->own_numbers = integer + program->library_size_count;
        integer += program->library_size_count + numbers;
    }
    instance->courses = (struct course *)integer;
    instance->inputs = (const void **)pointer;
    instance->outputs = pointer + model->input_count;
    return instance;
}

/* An instance over what it shares, which it then releases in the end, or now where it fails. */
static luthier_status make_instance(const luthier_model *model, struct shared *shared,
                                    luthier_instance **result, luthier_error *error)
{
    struct instance *instance = allocate_tables(model);
    if (instance == NULL) {
        release(shared);
        return luthier_fail(error, LUTHIER_OUT_OF_MEMORY, "the instance's tables");
    }
    instance->shared = shared;
    luthier_runtime_settle_largest(instance);
    *result = &instance->base;
    return luthier_succeed(error);
}

luthier_status luthier_runtime_create(const luthier_model *model, const luthier_options *options,
                                      luthier_instance **instance, luthier_error *error)
{
    if (instance == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the instance was given");
    *instance = NULL;
    luthier_status status = check_options(model, options, error);
    struct shared *shared = NULL;
    if (status == LUTHIER_OK)
        status = make_shared(model, options, &shared, error);
    return status == LUTHIER_OK ? make_instance(model, shared, instance, error) : status;
}

luthier_status luthier_runtime_create_beside(const luthier_model *model, luthier_instance *other,
                                             luthier_instance **instance, luthier_error *error)
{
    if (instance == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the instance was given");
    *instance = NULL;
    if (other == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the other instance");
    if (other->model->entries != model->entries)
        return luthier_fail(error, LUTHIER_WRONG_LIBRARY, "'%s' cannot run beside '%s'",
                            model->name, other->model->name);
    struct shared *shared = ((struct instance *)other)->shared;
    atomic_fetch_add(&shared->users, 1);
    return make_instance(model, shared, instance, error);
}

void luthier_runtime_destroy(luthier_instance *base)
{
    struct instance *instance = (struct instance *)base;
    release(instance->shared);
    free(instance);
}
