/* Shapes: tells them, and solves the sizes from those of the inputs. */
#define _GNU_SOURCE
#include "instance.h"

#include <stdio.h>
#include <string.h>

enum { UNKNOWN = -1 };
#define MOST ((int64_t)1 << 61) /* of any number of a shape; deploy/bounds.py holds tables to it */

luthier_status luthier_runtime_check_shapes(const struct instance *instance,
                                            const struct settled *settled,
                                            const luthier_shape *shapes, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const int64_t *shape = settled->numbers + model->input_count + model->output_count;
    for (size_t i = 0; i < model->input_count; i++) {
        const luthier_tensor *tensor = &model->inputs[i];
        for (int32_t k = 0; k < tensor->rank; k++) {
            long long given = (long long)shapes[i].sizes[k], wanted = (long long)*shape++;
            if (given == wanted)
                continue;
            char number[24];
            snprintf(number, sizeof number, "%lld", wanted);
            bool open = strcmp(number, tensor->dims[k]) != 0;
            return luthier_fail(error, LUTHIER_BAD_SHAPE,
                                "input %zu ('%s') is %lld along dimension %d, not %lld%s%s%s", i,
                                instance->program->input_labels[i], given, (int)k, wanted,
                                open ? " (" : "", open ? tensor->dims[k] : "", open ? ")" : "");
        }
    }
    return LUTHIER_OK;
}

static luthier_status check_given(const struct instance *instance, const luthier_shape *shapes,
                                  size_t count, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const char *const *labels = instance->program->input_labels;
    if (count != model->input_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu shapes given, '%s' has %zu inputs",
                            count, model->name, model->input_count);
    if (shapes == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the shapes");
    for (size_t i = 0; i < count; i++) {
        if (shapes[i].rank != model->inputs[i].rank)
            return luthier_fail(error, LUTHIER_BAD_SHAPE,
                                "input %zu ('%s') has %d dimensions, not %d", i, labels[i],
                                (int)shapes[i].rank, (int)model->inputs[i].rank);
        if (shapes[i].sizes == NULL && shapes[i].rank > 0)
            return luthier_fail(error, LUTHIER_NULL_POINTER, "the shape of input %zu ('%s')", i,
                                labels[i]);
        for (int32_t k = 0; k < shapes[i].rank; k++)
            if (shapes[i].sizes[k] < 0 || shapes[i].sizes[k] > MOST)
                return luthier_fail(error, LUTHIER_BAD_SHAPE,
                                    "input %zu ('%s') is %lld along dimension %d", i, labels[i],
                                    (long long)shapes[i].sizes[k], (int)k);
    }
    return LUTHIER_OK;
}

/* Solves the one size of a form that is unknown, where it is one; says in `solved` whether it was.
 * The sizes that are known are in their ranges, so nothing overflows. */
static luthier_status solve_form(const struct instance *instance, const luthier_form *form,
                                 int64_t given, int64_t *sizes, bool *solved, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const size_t *places = instance->program->size_places, count = instance->program->size_count;
    int64_t rest = given - form->terms[0];
    size_t unknown = count;
    for (size_t i = 0; i < count; i++) {
        int64_t term = form->terms[1 + i], size = sizes[places[i]];
        if (term != 0 && size != UNKNOWN) {
            rest -= term * size;
        } else if (term != 0) {
            if (unknown < count)
                return LUTHIER_OK;
            unknown = i;
        }
    }
    if (unknown == count)
        return LUTHIER_OK;
    int64_t term = form->terms[1 + unknown], size = rest / term;
    const luthier_size *range = &model->sizes[unknown];
    const char *label = instance->program->input_labels[form->input];
    if (rest % term != 0)
        return luthier_fail(error, LUTHIER_BAD_SHAPE,
                            "input %zu ('%s') is %lld along dimension %d, which is %s", form->input,
                            label, (long long)given, (int)form->axis,
                            model->inputs[form->input].dims[form->axis]);
    if (!luthier_runtime_holds(range, size))
        return luthier_fail(error, LUTHIER_BAD_SIZE,
                            "'%s' is %lld, not %s: input %zu ('%s') is %lld along dimension %d",
                            range->name, (long long)size, instance->program->size_ranges[unknown],
                            form->input, label, (long long)given, (int)form->axis);
    sizes[places[unknown]] = size;
    *solved = true;
    return LUTHIER_OK;
}

/* The sizes that follow from the shapes; the others stay as they are now. */
static luthier_status solve(struct instance *instance, struct settled *next,
                            const luthier_shape *shapes, luthier_error *error)
{
    const luthier_program *program = instance->program;
    size_t count = instance->base.model->size_count;
    for (size_t i = 0; i < count; i++)
        next->sizes[program->size_places[i]] = UNKNOWN;
    luthier_status lengths = luthier_runtime_take_lengths(instance, next, error);
    if (lengths != LUTHIER_OK)
        return lengths;
    for (bool solved = true; solved;) {
        solved = false;
        for (size_t i = 0; i < program->form_count; i++) {
            const luthier_form *form = &program->forms[i];
            int64_t given = shapes[form->input].sizes[form->axis];
            luthier_status status =
                solve_form(instance, form, given, next->sizes, &solved, error);
            if (status != LUTHIER_OK)
                return status;
        }
    }
    const int64_t *now = atomic_load(&instance->now)->sizes;
    for (size_t i = 0; i < count; i++) {
        size_t place = program->size_places[i];
        if (next->sizes[place] == UNKNOWN)
            next->sizes[place] = now[place];
    }
    return LUTHIER_OK;
}

luthier_status luthier_runtime_set_shapes(luthier_instance *base, const luthier_shape *shapes,
                                          size_t count, luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    luthier_status status = check_given(instance, shapes, count, error);
    if (status != LUTHIER_OK)
        return status;
    pthread_mutex_lock(&instance->shared->mutex);
    if (instance->program->size_count == 0) {
        status = luthier_runtime_check_shapes(instance, atomic_load(&instance->now), shapes, error);
    } else {
        struct settled *next = luthier_runtime_spare(instance);
        status = solve(instance, next, shapes, error);
        if (status == LUTHIER_OK)
            status = luthier_runtime_change(instance, next, shapes, error);
    }
    pthread_mutex_unlock(&instance->shared->mutex);
    return status == LUTHIER_OK ? luthier_succeed(error) : status;
}

/* Of tensor `index` of the inputs and outputs, `kind` and `i` in messages. */
static luthier_status give_shape(struct instance *instance, const char *kind, size_t i,
                                 size_t index, int64_t *shape, int32_t rank, size_t *bytes,
                                 luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    size_t inputs = model->input_count;
    const luthier_tensor *tensor =
        index < inputs ? &model->inputs[index] : &model->outputs[index - inputs];
    if (shape != NULL && rank != tensor->rank)
        return luthier_fail(error, LUTHIER_BAD_SHAPE,
                            "room for %d numbers, %s %zu has %d dimensions", (int)rank, kind, i,
                            (int)tensor->rank);
    size_t first = inputs + model->output_count, before = model->output_count;
    for (size_t j = 0; j < index; j++) {
        first += (size_t)(j < inputs ? model->inputs[j] : model->outputs[j - inputs]).rank;
        before += j < inputs ? 0 : (size_t)model->outputs[j - inputs].rank;
    }
    pthread_mutex_lock(&instance->shared->mutex);
    luthier_status status = luthier_runtime_follow(instance, error);
    const struct settled *now = atomic_load(&instance->now);
    const int64_t *numbers = now->numbers;
    bool known = now->complete || index < inputs;
    for (int32_t k = 0; status == LUTHIER_OK && shape != NULL && k < rank; k++) {
        bool is_known = known || !instance->program->found_numbers[before + (size_t)k];
        shape[k] = is_known ? numbers[first + (size_t)k] : UNKNOWN;
    }
    if (status == LUTHIER_OK && bytes != NULL)
        *bytes = (size_t)numbers[index];
    pthread_mutex_unlock(&instance->shared->mutex);
    return status == LUTHIER_OK ? luthier_succeed(error) : status;
}

luthier_status luthier_runtime_input_shape(luthier_instance *base, size_t input, int64_t *shape,
                                           int32_t rank, size_t *bytes, luthier_error *error)
{
    const luthier_model *model = base->model;
    if (input >= model->input_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "input %zu, '%s' has %zu", input,
                            model->name, model->input_count);
    return give_shape((struct instance *)base, "input", input, input, shape, rank, bytes, error);
}

luthier_status luthier_runtime_output_shape(luthier_instance *base, size_t output, int64_t *shape,
                                            int32_t rank, size_t *bytes, luthier_error *error)
{
    const luthier_model *model = base->model;
    if (output >= model->output_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "output %zu, '%s' has %zu", output,
                            model->name, model->output_count);
    return give_shape((struct instance *)base, "output", output, model->input_count + output, shape,
                      rank, bytes, error);
}
