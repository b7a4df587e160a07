/* Runs an instance: checks and binds the caller's buffers, then interprets the program's steps. */
#define _GNU_SOURCE
#include "instance.h"

#include "float_mode.h"

#include <string.h>
#include <time.h>

struct job {
    struct instance *instance;
    const luthier_phase *phase;
    void *const *buffers;
};

static bool aligned(const void *data)
{
    return (uintptr_t)data % LUTHIER_ALIGNMENT == 0;
}

static luthier_status check_inputs(const struct instance *instance, const luthier_input *inputs,
                                   size_t count, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const char *const *labels = instance->program->input_labels;
    if (count != model->input_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu inputs given, '%s' has %zu", count,
                            model->name, model->input_count);
    if (inputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the inputs");
    for (size_t i = 0; i < count; i++) {
        const luthier_tensor *tensor = &model->inputs[i];
        if (inputs[i].bytes != tensor->bytes)
            return luthier_fail(error, LUTHIER_WRONG_SIZE, "input %zu ('%s') has %zu bytes, not %zu",
                                i, labels[i], inputs[i].bytes, tensor->bytes);
        if (inputs[i].data == NULL && tensor->bytes > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "input %zu ('%s')", i, labels[i]);
    }
    return LUTHIER_OK;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return a_bytes > 0 && b_bytes > 0 && (x < y ? y - x < a_bytes : x - y < b_bytes);
}

static luthier_status check_outputs(const struct instance *instance, const luthier_output *outputs,
                                    size_t count, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const char *const *labels = instance->program->output_labels;
    if (count != model->output_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu outputs given, '%s' has %zu", count,
                            model->name, model->output_count);
    if (outputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the outputs");
    for (size_t i = 0; i < count; i++) {
        const luthier_tensor *tensor = &model->outputs[i];
        if (outputs[i].bytes < tensor->bytes)
            return luthier_fail(error, LUTHIER_TOO_SMALL,
                                "output %zu ('%s') has %zu bytes of the %zu needed", i, labels[i],
                                outputs[i].bytes, tensor->bytes);
        if (outputs[i].data == NULL && tensor->bytes > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "output %zu ('%s')", i, labels[i]);
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
    unsigned mode = luthier_enter_float_mode();
    job->phase->function(job->buffers, scratch, begin, end);
    luthier_leave_float_mode(mode);
}

/* `mode` is the caller's: a pool of the program's may do more on this thread than our chunks. */
static void run_parallel(luthier_pool *pool, struct job *job, unsigned mode)
{
    int32_t chunks = job->phase->chunks, grain = luthier_grain(chunks, pool->threads);
    if (luthier_same_float_mode(mode)) {
        pool->parallel(pool, run_chunks, job, chunks, grain);
        return;
    }
    luthier_leave_float_mode(mode);
    pool->parallel(pool, run_chunks, job, chunks, grain);
    luthier_enter_float_mode();
}

static void run_step(struct instance *instance, const luthier_step *step, unsigned mode)
{
    void *const *buffers = instance->buffers + step->first_buffer;
    for (uint32_t i = 0; i < step->phase_count; i++) {
        const luthier_phase *phase = &step->phases[i];
        if (phase->chunks == 1) {
            phase->function(buffers, instance->scratch, 0, 1);
            continue;
        }
        struct job job = {instance, phase, buffers};
        run_parallel(instance->pool, &job, mode);
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
    unsigned mode = luthier_enter_float_mode();
    for (size_t i = 0; i < count; i++) {
        double start = step_seconds == NULL ? 0 : now();
        run_step(instance, &instance->program->steps[i], mode);
        if (step_seconds != NULL)
            step_seconds[i] = now() - start;
    }
    luthier_leave_float_mode(mode);
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
    luthier_status status = check_inputs(instance, inputs, input_count, error);
    if (status == LUTHIER_OK)
        status = check_outputs(instance, outputs, output_count, error);
    if (status != LUTHIER_OK)
        return status;
    pthread_mutex_lock(&instance->mutex);
    instance->runner = pthread_self();
    atomic_store_explicit(&instance->running, true, memory_order_release);
    bind(instance, inputs, outputs);
    run_steps(instance, step_seconds);
    copy_outputs(instance, outputs);
    bool broken = atomic_exchange_explicit(&instance->pool_broken, false, memory_order_relaxed);
    atomic_store_explicit(&instance->running, false, memory_order_release);
    pthread_mutex_unlock(&instance->mutex);
    if (broken)
        return luthier_fail(error, LUTHIER_BAD_POOL,
                            "it called a task with a worker or chunks out of range");
    return luthier_succeed(error);
}
