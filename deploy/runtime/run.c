/* Runs an instance: checks and binds the caller's buffers, then interprets the program's steps. */
#define _GNU_SOURCE
#include "instance.h"

#include "float_mode.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct job {
    struct shared *shared;
    luthier_phase_function function;
    void *const *buffers;
    int32_t chunks;
};

/* Whether kernels take a buffer as it lies: at a multiple of its elements' size, whichever these
 * are. What malloc or NumPy gives is. */
static bool aligned(const void *data)
{
    return (uintptr_t)data % LUTHIER_LEAST_ALIGNMENT == 0;
}

static luthier_status check_inputs(const struct instance *instance, const struct settled *now,
                                   const luthier_input *inputs, size_t count, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const char *const *labels = instance->program->input_labels;
    if (count != model->input_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu inputs given, '%s' has %zu", count,
                            model->name, model->input_count);
    if (inputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the inputs");
    for (size_t i = 0; i < count; i++) {
        size_t bytes = input_bytes(now, i);
        if (inputs[i].bytes != bytes)
            return luthier_fail(error, LUTHIER_WRONG_SIZE, "input %zu ('%s') has %zu bytes, not %zu",
                                i, labels[i], inputs[i].bytes, bytes);
        if (inputs[i].data == NULL && bytes > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "input %zu ('%s')", i, labels[i]);
    }
    return LUTHIER_OK;
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return a_bytes > 0 && b_bytes > 0 && (x < y ? y - x < a_bytes : x - y < b_bytes);
}

/* The bytes of a caller's buffer that a run may write: all, where it finds how many it needs. */
static size_t claimed(const struct instance *instance, const struct settled *now,
                      const luthier_output *outputs, size_t i)
{
    return is_found(instance, i) ? outputs[i].bytes : output_bytes(instance->base.model, now, i);
}

static luthier_status check_output(const struct instance *instance, const luthier_output *output,
                                   size_t i, size_t bytes, luthier_error *error)
{
    const char *label = instance->program->output_labels[i];
    if (output->bytes < bytes)
        return luthier_fail(error, LUTHIER_TOO_SMALL,
                            "output %zu ('%s') has %zu bytes of the %zu needed", i, label,
                            output->bytes, bytes);
    if (output->data == NULL && bytes > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "output %zu ('%s')", i, label);
    return LUTHIER_OK;
}

static luthier_status check_outputs(const struct instance *instance, const struct settled *now,
                                    const luthier_output *outputs, size_t count,
                                    luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    if (count != model->output_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu outputs given, '%s' has %zu", count,
                            model->name, model->output_count);
    if (outputs == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the outputs");
    for (size_t i = 0; i < count; i++) {
        size_t bytes = claimed(instance, now, outputs, i);
        luthier_status status = check_output(instance, &outputs[i], i, bytes, error);
        if (status != LUTHIER_OK)
            return status;
        for (size_t j = 0; j < i; j++)
            if (overlap(outputs[i].data, bytes, outputs[j].data,
                        claimed(instance, now, outputs, j)))
                return luthier_fail(error, LUTHIER_OVERLAP, "outputs %zu and %zu", j, i);
    }
    return LUTHIER_OK;
}

/* Input i where kernels may read it all through the run. */
static const void *bind_input(struct instance *instance, const struct settled *now, size_t i,
                              const void *data, const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    size_t bytes = input_bytes(now, i);
    bool usable = aligned(data);
    for (size_t j = 0; usable && j < model->output_count; j++)
        usable = !overlap(data, bytes, outputs[j].data, claimed(instance, now, outputs, j));
    if (usable)
        return data;
    unsigned char *place = instance->shared->memory + now->variant->input_places[i];
    if (bytes > 0)
        memcpy(place, data, bytes);
    return place;
}

static void bind(struct instance *instance, const struct settled *now, const luthier_input *inputs,
                 const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    const luthier_variant *variant = now->variant;
    for (size_t i = 0; i < model->input_count; i++)
        instance->inputs[i] = bind_input(instance, now, i, inputs[i].data, outputs);
    for (size_t i = 0; i < model->output_count; i++)
        instance->outputs[i] = aligned(outputs[i].data)
                                   ? outputs[i].data
                                   : instance->shared->memory + variant->output_places[i];
    for (size_t i = 0; i < variant->moving_count; i++) {
        size_t k = variant->moving[i];
        now->buffers[k] = resolve(instance, now, &variant->references[k]);
    }
}

static void run_chunks(void *context, int32_t worker, int32_t begin, int32_t end)
{
    const struct job *job = context;
    struct shared *shared = job->shared;
    /* A caller's own pool may be wrong; memory is not touched on its word. */
    if (worker < 0 || worker >= shared->pool->threads || begin < 0 || begin > end ||
        end > job->chunks) {
        atomic_store_explicit(&shared->pool_broken, true, memory_order_relaxed);
        return;
    }
    unsigned char *scratch = shared->scratch + (size_t)worker * shared->scratch_stride;
    unsigned mode = luthier_enter_float_mode();
    job->function(job->buffers, scratch, begin, end);
    luthier_leave_float_mode(mode);
}

/* `mode` is the caller's: a pool of the program's may do more on this thread than our chunks. */
static void run_parallel(luthier_pool *pool, struct job *job, unsigned mode)
{
    int32_t chunks = job->chunks, grain = luthier_grain(chunks, pool->threads);
    if (luthier_same_float_mode(mode)) {
        pool->parallel(pool, run_chunks, job, chunks, grain);
        return;
    }
    luthier_leave_float_mode(mode);
    pool->parallel(pool, run_chunks, job, chunks, grain);
    luthier_enter_float_mode();
}

static void run_step(const struct instance *instance, const struct settled *now,
                     const luthier_step *step, unsigned mode)
{
    struct shared *shared = instance->shared;
    const int64_t *numbers = now->numbers + step->first_number;
    const luthier_alternative *kernel = &step->alternatives[numbers[0]];
    void *const *buffers = now->buffers + numbers[1];
    for (size_t i = 0; i < kernel->phase_count; i++) {
        int32_t chunks = (int32_t)numbers[2 + i];
        if (chunks == 1) {
            kernel->phases[i](buffers, shared->scratch, 0, 1);
        } else if (chunks > 1) {
            struct job job = {shared, kernel->phases[i], buffers, chunks};
            run_parallel(shared->pool, &job, mode);
        }
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A step of a loop takes the time of all iterations. */
static void run_timed(const struct instance *instance, const struct settled *now, size_t step,
                      unsigned mode, double *step_seconds)
{
    double start = step_seconds == NULL ? 0 : seconds();
    run_step(instance, now, &now->variant->steps[step], mode);
    if (step_seconds != NULL)
        step_seconds[now->variant->first_step + step] += seconds() - start;
}

static bool is_true(const void *value)
{
    return *(const unsigned char *)value != 0;
}

static int64_t number_in(const void *value)
{
    int64_t number;
    memcpy(&number, value, sizeof number);
    return number;
}

static void copy(const struct settled *now, const luthier_instruction *at)
{
    uint64_t bytes = bytes_of(now, at->bytes);
    if (bytes > 0)
        memcpy(now->buffers[at->first], now->buffers[at->second], bytes);
}

static void enter(const struct instance *instance, const struct settled *now,
                  const luthier_instruction *at)
{
    struct course *course = &instance->courses[at->index];
    course->iteration = 0;
    course->end = at->first == LUTHIER_NONE ? INT64_MAX : number_in(now->buffers[at->first]);
    if (at->second != LUTHIER_NONE && !is_true(now->buffers[at->second]))
        course->end = 0;
}

/* Moves what slides to the iteration, which may be one after the last: there the loop left it. */
static void slide(const struct instance *instance, const struct settled *now, size_t index)
{
    const luthier_variant *variant = now->variant;
    const luthier_loop *loop = &variant->loops[index];
    const struct course *course = &instance->courses[index];
    for (uint32_t i = 0; i < loop->slide_count; i++) {
        const luthier_slide *each = &variant->slides[loop->first_slide + i];
        uint64_t turn = ((uint64_t)course->iteration + each->ahead) & each->mask;
        unsigned char *start = resolve(instance, now, &variant->references[each->buffer]);
        now->buffers[each->buffer] = start + turn * bytes_of(now, each->stride);
    }
}

static bool iterate(const struct instance *instance, const struct settled *now,
                  const luthier_instruction *at)
{
    const struct course *course = &instance->courses[at->index];
    slide(instance, now, at->index);
    if (course->iteration >= course->end)
        return false;
    memcpy(now->buffers[at->first], &course->iteration, sizeof course->iteration);
    return true;
}

static void next(const struct instance *instance, const struct settled *now,
                  const luthier_instruction *at)
{
    struct course *course = &instance->courses[at->index];
    course->iteration++;
    if (at->first != LUTHIER_NONE && !is_true(now->buffers[at->first]))
        course->end = course->iteration;
}

/* Whether there is room for the outputs of which the run found how large they are. */
static luthier_status check_found(const struct instance *instance, struct settled *now,
                                  const luthier_output *outputs, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    luthier_status status = LUTHIER_OK;
    now->complete = true;
    for (size_t i = 0; status == LUTHIER_OK && i < model->output_count; i++)
        status = check_output(instance, &outputs[i], i, output_bytes(model, now, i), error);
    return status;
}

/* Numbers for people, as many as there is room for. */
static void list_numbers(char *list, size_t room, const unsigned char *numbers, size_t count)
{
    size_t used = 0, i = 0;
    list[0] = '\0';
    for (; i < count && used + 28 < room; i++)
        used += (size_t)snprintf(list + used, room - used, "%s%lld", i > 0 ? ", " : "",
                                 (long long)number_in(numbers + i * sizeof(int64_t)));
    if (i < count)
        snprintf(list + used, room - used, ", ...");
}

static luthier_status expect(const struct settled *now, const luthier_instruction *at,
                             luthier_error *error)
{
    const unsigned char *found = now->buffers[at->first], *wanted = now->buffers[at->second];
    size_t bytes = (size_t)bytes_of(now, at->bytes), count = bytes / sizeof(int64_t);
    if (bytes == 0 || memcmp(found, wanted, bytes) == 0)
        return LUTHIER_OK;
    char ours[64], theirs[64];
    list_numbers(ours, sizeof ours, found, count);
    list_numbers(theirs, sizeof theirs, wanted, count);
    return luthier_fail(error, LUTHIER_BAD_SIZE, "%s [%s], not [%s]", at->text, ours, theirs);
}

/* A size of the iteration that the loops are in: what follows is settled, and slides again. */
static luthier_status grow(const struct instance *instance, struct settled *now,
                           const luthier_instruction *at, luthier_error *error)
{
    luthier_status status =
        luthier_runtime_find(instance, now, at->index, number_in(now->buffers[at->first]), error);
    for (size_t i = 0; status == LUTHIER_OK && i < now->variant->loop_count; i++)
        slide(instance, now, i);
    return status;
}

/* What is found is all found before states change: a run that is refused for it changes none. */
static luthier_status run_steps(const struct instance *instance, struct settled *now,
                                const luthier_output *outputs, double *step_seconds,
                                luthier_error *error)
{
    luthier_pool *pool = instance->shared->pool;
    const luthier_variant *variant = now->variant;
    if (now->parallel && pool->enter != NULL)
        pool->enter(pool);
    unsigned mode = luthier_enter_float_mode();
    luthier_status status = LUTHIER_OK;
    size_t at = 0;
    while (status == LUTHIER_OK && at < variant->instruction_count) {
        const luthier_instruction *one = &variant->instructions[at++];
        switch (one->operation) {
        case LUTHIER_RUN:
            run_timed(instance, now, one->index, mode, step_seconds);
            break;
        case LUTHIER_COPY:
            copy(now, one);
            break;
        case LUTHIER_JUMP:
            at = one->target;
            break;
        case LUTHIER_UNLESS:
            at = is_true(now->buffers[one->first]) ? at : one->target;
            break;
        case LUTHIER_ENTER:
            enter(instance, now, one);
            break;
        case LUTHIER_ITERATE:
            at = iterate(instance, now, one) ? at : one->target;
            break;
        case LUTHIER_NEXT:
            next(instance, now, one);
            at = one->target;
            break;
        case LUTHIER_FIND:
            status = luthier_runtime_find(instance, now, one->index,
                                          number_in(now->buffers[one->first]), error);
            if (status == LUTHIER_OK && one->target == 0)
                status = check_found(instance, now, outputs, error);
            break;
        case LUTHIER_GROW:
            status = grow(instance, now, one, error);
            break;
        case LUTHIER_EXPECT:
            status = expect(now, one, error);
            break;
        }
    }
    luthier_leave_float_mode(mode);
    if (now->parallel && pool->leave != NULL)
        pool->leave(pool);
    return status;
}

/* Outputs that no step wrote where the caller wants them. */
static void copy_outputs(const struct instance *instance, const struct settled *now,
                         const luthier_output *outputs)
{
    const luthier_model *model = instance->base.model;
    for (size_t i = 0; i < now->variant->copy_count; i++) {
        const luthier_copy *copy = &now->variant->copies[i];
        size_t bytes = output_bytes(model, now, copy->output);
        if (bytes > 0)
            memcpy(instance->outputs[copy->output], resolve(instance, now, &copy->from), bytes);
    }
    for (size_t i = 0; i < model->output_count; i++) {
        size_t bytes = output_bytes(model, now, i);
        if (bytes > 0 && instance->outputs[i] != outputs[i].data)
            memcpy(outputs[i].data, instance->outputs[i], bytes);
    }
}

/* A run whose buffers are as they must be. */
static luthier_status run(struct instance *instance, struct settled *now,
                          const luthier_input *inputs, const luthier_output *outputs,
                          double *step_seconds, luthier_error *error)
{
    struct shared *shared = instance->shared;
    shared->runner = pthread_self();
    atomic_store_explicit(&shared->running, true, memory_order_release);
    if (step_seconds != NULL)
        memset(step_seconds, 0, instance->base.model->step_count * sizeof *step_seconds);
    bind(instance, now, inputs, outputs);
    luthier_status status = run_steps(instance, now, outputs, step_seconds, error);
    if (status == LUTHIER_OK)
        copy_outputs(instance, now, outputs);
    bool broken = atomic_exchange_explicit(&shared->pool_broken, false, memory_order_relaxed);
    atomic_store_explicit(&shared->running, false, memory_order_release);
    if (broken)
        return luthier_fail(error, LUTHIER_BAD_POOL,
                            "it called a task with a worker or chunks out of range");
    if (status != LUTHIER_OK)
        return status;
    luthier_runtime_appended(instance, now);
    return luthier_succeed(error);
}

luthier_status luthier_runtime_run(luthier_instance *base, const luthier_input *inputs,
                                   size_t input_count, const luthier_output *outputs,
                                   size_t output_count, double *step_seconds, luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    pthread_mutex_lock(&instance->shared->mutex);
    luthier_status status = luthier_runtime_follow(instance, error);
    struct settled *now = atomic_load(&instance->now);
    luthier_runtime_forget(instance, now);
    if (status == LUTHIER_OK)
        status = check_inputs(instance, now, inputs, input_count, error);
    if (status == LUTHIER_OK)
        status = check_outputs(instance, now, outputs, output_count, error);
    if (status == LUTHIER_OK)
        status = run(instance, now, inputs, outputs, step_seconds, error);
    pthread_mutex_unlock(&instance->shared->mutex);
    return status;
}
