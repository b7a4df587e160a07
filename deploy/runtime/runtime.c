/* Instances and runs: interprets a program's tables. */
#define _GNU_SOURCE
#include "program.h"

#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct instance {
    luthier_instance base;
    const luthier_program *program;
    luthier_pool *pool;
    luthier_pool *own_pool;
    pthread_mutex_t mutex;   /* one run at a time */
    unsigned char *memory;   /* the arena, then the scratch of each thread */
    unsigned char *scratch;
    size_t scratch_stride;
    bool parallel;           /* some phase has more than one chunk */
    atomic_bool pool_broken; /* it passed arguments outside their ranges */

    void **buffers;          /* program->references, resolved */
    size_t *moving;          /* those which every run resolves anew */
    size_t moving_count;
    const void **inputs;     /* where this run reads and writes them */
    void **outputs;
};

struct job {
    struct instance *instance;
    const luthier_phase *phase;
    void *const *buffers;
};

static bool aligned(const void *data)
{
    return (uintptr_t)data % LUTHIER_ALIGNMENT == 0;
}

static size_t round_up(size_t bytes)
{
    return (bytes + LUTHIER_ALIGNMENT - 1) / LUTHIER_ALIGNMENT * LUTHIER_ALIGNMENT;
}

/* ---- create and destroy ---- */

static int32_t default_threads(const luthier_model *model)
{
    cpu_set_t cores;
    int32_t threads = model->threads;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0 && CPU_COUNT(&cores) < threads)
        threads = CPU_COUNT(&cores);
    return threads < 1 ? 1 : threads;
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

static void *resolve(const struct instance *instance, const luthier_reference *reference)
{
    switch (reference->space) {
    case LUTHIER_IN_ARENA:
        return instance->memory + reference->at;
    case LUTHIER_IN_INPUT: /* kernels do not write their inputs */
        return (void *)(uintptr_t)instance->inputs[reference->at];
    case LUTHIER_IN_OUTPUT:
        return instance->outputs[reference->at];
    case LUTHIER_IN_WEIGHTS:
        break;
    }
    return (void *)(uintptr_t)(instance->program->weights + reference->at);
}

static bool moves(const luthier_reference *reference)
{
    return reference->space == LUTHIER_IN_INPUT || reference->space == LUTHIER_IN_OUTPUT;
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
    return instance;
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
    luthier_workers_stop(instance->own_pool);
    pthread_mutex_destroy(&instance->mutex);
    free(instance->memory);
    free(instance);
}

/* ---- run ---- */

static luthier_status check_inputs(const luthier_model *model, const luthier_input *inputs,
                                   size_t count, luthier_error *error)
{
    if (count != model->input_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu inputs given, '%s' has %zu", count,
                            model->name, model->input_count);
    if (inputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the inputs");
    for (size_t i = 0; i < count; i++) {
        const luthier_tensor *tensor = &model->inputs[i];
        if (inputs[i].bytes != tensor->bytes)
            return luthier_fail(error, LUTHIER_WRONG_SIZE, "input %zu ('%s') has %zu bytes, not %zu",
                                i, tensor->name, inputs[i].bytes, tensor->bytes);
        if (inputs[i].data == NULL && tensor->bytes > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "input %zu ('%s')", i, tensor->name);
    }
    return LUTHIER_OK;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return a_bytes > 0 && b_bytes > 0 && (x < y ? y - x < a_bytes : x - y < b_bytes);
}

static luthier_status check_outputs(const luthier_model *model, const luthier_output *outputs,
                                    size_t count, luthier_error *error)
{
    if (count != model->output_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu outputs given, '%s' has %zu", count,
                            model->name, model->output_count);
    if (outputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the outputs");
    for (size_t i = 0; i < count; i++) {
        const luthier_tensor *tensor = &model->outputs[i];
        if (outputs[i].bytes < tensor->bytes)
            return luthier_fail(error, LUTHIER_TOO_SMALL,
                                "output %zu ('%s') has %zu bytes of the %zu needed", i, tensor->name,
                                outputs[i].bytes, tensor->bytes);
        if (outputs[i].data == NULL && tensor->bytes > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "output %zu ('%s')", i, tensor->name);
        for (size_t j = 0; j < i; j++)
            if (overlap(outputs[i].data, tensor->bytes, outputs[j].data, model->outputs[j].bytes))
                return luthier_fail(error, LUTHIER_OVERLAP, "outputs %zu and %zu", j, i);
    }
    return LUTHIER_OK;
}

/* Input i where kernels may read it all through the run. */
static const void *bind_input(struct instance *instance, size_t i, const void *data,
                              const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    size_t bytes = model->inputs[i].bytes;
    bool usable = aligned(data);
    for (size_t j = 0; usable && j < model->output_count; j++)
        usable = !overlap(data, bytes, outputs[j].data, model->outputs[j].bytes);
    if (usable)
        return data;
    unsigned char *place = instance->memory + instance->program->input_places[i];
    if (bytes > 0)
        memcpy(place, data, bytes);
    return place;
}

static void bind(struct instance *instance, const luthier_input *inputs,
                 const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    const luthier_program *program = instance->program;
    for (size_t i = 0; i < model->input_count; i++)
        instance->inputs[i] = bind_input(instance, i, inputs[i].data, outputs);
    for (size_t i = 0; i < model->output_count; i++)
        instance->outputs[i] = aligned(outputs[i].data)
                                   ? outputs[i].data
                                   : instance->memory + program->output_places[i];
    for (size_t i = 0; i < instance->moving_count; i++) {
        size_t k = instance->moving[i];
        instance->buffers[k] = resolve(instance, &program->references[k]);
    }
}

static void run_chunks(void *context, int32_t worker, int32_t begin, int32_t end)
{
    const struct job *job = context;
    struct instance *instance = job->instance;
    /* A caller's own pool may be wrong; memory is not touched on its word. */
    if (worker < 0 || worker >= instance->pool->threads || begin < 0 || begin > end ||
        end > job->phase->chunks) {
        atomic_store_explicit(&instance->pool_broken, true, memory_order_relaxed);
        return;
    }
    unsigned char *scratch = instance->scratch + (size_t)worker * instance->scratch_stride;
    job->phase->function(job->buffers, scratch, begin, end);
}

static void run_step(struct instance *instance, const luthier_step *step)
{
    luthier_pool *pool = instance->pool;
    void *const *buffers = instance->buffers + step->first_buffer;
    for (uint32_t i = 0; i < step->phase_count; i++) {
        const luthier_phase *phase = &step->phases[i];
        if (phase->chunks == 1) {
            phase->function(buffers, instance->scratch, 0, 1);
            continue;
        }
        struct job job = {instance, phase, buffers};
        pool->parallel(pool, run_chunks, &job, phase->chunks,
                       luthier_grain(phase->chunks, pool->threads));
    }
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_steps(struct instance *instance, double *step_seconds)
{
    luthier_pool *pool = instance->pool;
    size_t count = instance->base.model->step_count;
    if (instance->parallel && pool->enter != NULL)
        pool->enter(pool);
    for (size_t i = 0; i < count; i++) {
        double start = step_seconds == NULL ? 0 : now();
        run_step(instance, &instance->program->steps[i]);
        if (step_seconds != NULL)
            step_seconds[i] = now() - start;
    }
    if (instance->parallel && pool->leave != NULL)
        pool->leave(pool);
}

/* Outputs that no step wrote where the caller wants them. */
static void copy_outputs(struct instance *instance, const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    const luthier_program *program = instance->program;
    for (size_t i = 0; i < program->copy_count; i++) {
        const luthier_copy *copy = &program->copies[i];
        size_t bytes = model->outputs[copy->output].bytes;
        if (bytes > 0)
            memcpy(instance->outputs[copy->output], resolve(instance, &copy->from), bytes);
    }
    for (size_t i = 0; i < model->output_count; i++)
        if (model->outputs[i].bytes > 0 && instance->outputs[i] != outputs[i].data)
            memcpy(outputs[i].data, instance->outputs[i], model->outputs[i].bytes);
}

luthier_status luthier_runtime_run(luthier_instance *base, const luthier_input *inputs,
                                   size_t input_count, const luthier_output *outputs,
                                   size_t output_count, double *step_seconds, luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    const luthier_model *model = base->model;
    luthier_status status = check_inputs(model, inputs, input_count, error);
    if (status == LUTHIER_OK)
        status = check_outputs(model, outputs, output_count, error);
    if (status != LUTHIER_OK)
        return status;
    pthread_mutex_lock(&instance->mutex);
    bind(instance, inputs, outputs);
    run_steps(instance, step_seconds);
    copy_outputs(instance, outputs);
    bool broken = atomic_exchange_explicit(&instance->pool_broken, false, memory_order_relaxed);
    pthread_mutex_unlock(&instance->mutex);
    if (broken)
        return luthier_fail(error, LUTHIER_BAD_POOL,
                            "it called a task with a worker or chunks out of range");
    return luthier_succeed(error);
}
