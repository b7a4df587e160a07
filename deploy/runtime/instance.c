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

static bool has_parallel_phase(const luthier_model *model, const luthier_program *program)
{
    for (size_t i = 0; i < model->step_count; i++)
        for (uint32_t j = 0; j < program->steps[i].phase_count; j++)
            if (program->steps[i].phases[j].chunks > 1)
                return true;
    return false;
}

static bool moves(const luthier_reference *reference)
{
    return reference->space == LUTHIER_IN_INPUT || reference->space == LUTHIER_IN_OUTPUT;
}

/* A run that was under way on another thread stayed with the parent. */
static void in_child(struct luthier_atfork *self)
{
    struct instance *instance =
        (struct instance *)((char *)self - offsetof(struct instance, atfork));
    if (atomic_load(&instance->running) && pthread_equal(instance->runner, pthread_self()))
        return; /* a pool of the program's forked, and goes on with the run */
    pthread_mutex_init(&instance->mutex, NULL);
    atomic_store(&instance->running, false);
    atomic_store(&instance->pool_broken, false);
}

/* The instance and its pointer tables in one block; null where memory is short. */
static struct instance *allocate_tables(const luthier_model *model)
{
    const luthier_program *program = model->program;
    size_t slots = 2 * program->reference_count + model->input_count + model->output_count;
    struct instance *instance = calloc(1, sizeof *instance + slots * sizeof(void *));
    if (instance == NULL)
        return NULL;
    instance->base.model = model;
    instance->program = program;
    instance->buffers = (void **)(instance + 1);
    instance->inputs = (const void **)(instance->buffers + program->reference_count);
    instance->outputs = (void **)(instance->inputs + model->input_count);
    instance->moving = (size_t *)(instance->outputs + model->output_count);
    pthread_mutex_init(&instance->mutex, NULL);
    if (luthier_atfork_add(&instance->atfork, in_child) == 0)
        return instance;
    free(instance);
    return NULL;
}

/* The arena and the scratch, and all pointers into them; false where memory is short. */
static bool allocate_memory(struct instance *instance)
{
    const luthier_model *model = instance->base.model;
    const luthier_program *program = instance->program;
    size_t threads = (size_t)instance->pool->threads;
    if (model->arena_bytes > SIZE_MAX / 2 || model->scratch_bytes > SIZE_MAX / 4 / threads)
        return false;
    size_t arena = round_up(model->arena_bytes);
    instance->scratch_stride = round_up(model->scratch_bytes);
    size_t bytes = arena + threads * instance->scratch_stride + LUTHIER_ALIGNMENT;
    instance->memory = aligned_alloc(LUTHIER_ALIGNMENT, bytes);
    if (instance->memory == NULL)
        return false;
    instance->scratch = instance->memory + arena;
    for (size_t i = 0; i < program->reference_count; i++)
        if (moves(&program->references[i])) {
            instance->moving[instance->moving_count++] = i;
        } else {
            instance->buffers[i] = resolve(instance, &program->references[i]);
        }
    return true;
}

luthier_status luthier_runtime_create(const luthier_model *model, const luthier_options *options,
                                      luthier_instance **result, luthier_error *error)
{
    if (result == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the instance was given");
    *result = NULL;
    luthier_status status = check_options(model, options, error);
    if (status != LUTHIER_OK)
        return status;
    struct instance *instance = allocate_tables(model);
    if (instance == NULL)
        return luthier_fail(error, LUTHIER_OUT_OF_MEMORY, "the instance's tables");
    instance->parallel = has_parallel_phase(model, instance->program);
    instance->pool = options == NULL ? NULL : options->pool;
    if (instance->pool == NULL) {
        int32_t threads = options != NULL && options->threads > 0 ? options->threads
                                                                  : default_threads(model);
        status = luthier_runtime_pool_create(threads, &instance->own_pool, error);
        instance->pool = instance->own_pool;
    }
    if (status == LUTHIER_OK && !allocate_memory(instance))
        status = luthier_fail(error, LUTHIER_OUT_OF_MEMORY,
                              "an arena of %zu bytes and %zu bytes of scratch for each of %d threads",
                              model->arena_bytes, model->scratch_bytes,
                              (int)instance->pool->threads);
    if (status != LUTHIER_OK) {
        luthier_runtime_destroy(&instance->base);
        return status;
    }
    *result = &instance->base;
    return luthier_succeed(error);
}

void luthier_runtime_destroy(luthier_instance *base)
{
    struct instance *instance = (struct instance *)base;
    luthier_atfork_remove(&instance->atfork);
    luthier_workers_stop(instance->own_pool);
    pthread_mutex_destroy(&instance->mutex);
    free(instance->memory);
    free(instance);
}
