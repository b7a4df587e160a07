/* The sizes of the moment, and what follows from them. */
#define _GNU_SOURCE
#include "instance.h"

#include <stdio.h>
#include <string.h>

bool luthier_runtime_holds(const luthier_size *range, int64_t size)
{
    if (range->exact == NULL)
        return range->least <= size && size <= range->most;
    for (size_t i = 0; i < range->exact_count; i++)
        if (range->exact[i] == size)
            return true;
    return false;
}

static const luthier_variant *find_variant(const struct instance *instance, const int64_t *sizes)
{
    const luthier_program *program = instance->program;
    size_t count = program->size_count;
    for (size_t v = 0; v < program->variant_count; v++) {
        const luthier_variant *variant = &program->variants[v];
        size_t fits = 0;
        while (fits < count &&
               luthier_runtime_holds(&variant->box[fits], sizes[program->size_places[fits]]))
            fits++;
        if (fits == count)
            return variant;
    }
    return NULL;
}

static bool is_parallel(const struct settled *settled)
{
    for (size_t i = 0; i < settled->variant->step_count; i++) {
        const luthier_step *step = &settled->variant->steps[i];
        const int64_t *numbers = settled->numbers + step->first_number;
        for (size_t j = 0; j < step->alternatives[numbers[0]].phase_count; j++)
            if (numbers[2 + j] > 1)
                return true;
    }
    return false;
}

/* Works out all that follows from `settled->sizes`, for which the variant is. */
static void settle(const struct instance *instance, struct settled *settled,
                   const luthier_variant *variant)
{
    settled->variant = variant;
    settled->numbers = variant->numbers;
    if (settled->numbers == NULL) {
        variant->settle(settled->sizes, settled->own_numbers);
        settled->numbers = settled->own_numbers;
    }
    for (size_t i = 0; i < variant->reference_count; i++) {
        const luthier_reference *reference = &variant->references[i];
        if (reference->space != LUTHIER_IN_INPUT && reference->space != LUTHIER_IN_OUTPUT)
            settled->buffers[i] = resolve(instance, settled, reference);
    }
    settled->parallel = is_parallel(settled);
}

/* Whether any did not have that size. */
static bool enlarge_found(const struct instance *instance, struct settled *settled)
{
    const luthier_program *program = instance->program;
    bool changed = false;
    for (size_t i = 0; i < program->found_count; i++) {
        changed = changed || settled->sizes[program->found[i].place] != program->found[i].most;
        settled->sizes[program->found[i].place] = program->found[i].most;
    }
    settled->complete = program->found_count == 0;
    return changed;
}

void luthier_runtime_forget(const struct instance *instance, struct settled *settled)
{
    if (enlarge_found(instance, settled))
        settle(instance, settled, settled->variant);
}

/* Whether the sizes that were found are those of a refusal, `index` the last of them: before that
 * one the others may be those of an iteration before. */
static bool applies(const struct instance *instance, const struct settled *settled,
                    const luthier_refusal *refusal, size_t index)
{
    if (refusal->found[refusal->count - 1] != index)
        return false;
    for (size_t i = 0; i < refusal->count; i++) {
        size_t place = instance->program->found[refusal->found[i]].place;
        if (settled->sizes[place] != refusal->sizes[i])
            return false;
    }
    return true;
}

static luthier_status refuse(const struct instance *instance, const struct settled *settled,
                             size_t index, luthier_error *error)
{
    const luthier_variant *variant = settled->variant;
    for (size_t r = 0; r < variant->refusal_count; r++) {
        const luthier_refusal *refusal = &variant->refusals[r];
        if (!applies(instance, settled, refusal, index))
            continue;
        char list[200] = "";
        for (size_t i = 0, used = 0; i < refusal->count && used < sizeof list; i++)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s'%s' is %lld",
                                     i > 0 ? " and " : "",
                                     instance->program->found[refusal->found[i]].name,
                                     (long long)refusal->sizes[i]);
        return luthier_fail(error, LUTHIER_BAD_SIZE,
                            "the run found that %s, and '%s' was not built for that", list,
                            instance->base.model->name);
    }
    return LUTHIER_OK;
}

/* That the pool was entered, or was not, stays so. */
luthier_status luthier_runtime_find(const struct instance *instance, struct settled *settled,
                                    size_t index, int64_t size, luthier_error *error)
{
    const luthier_found *found = &instance->program->found[index];
    if (size < 0 || size > found->most)
        return luthier_fail(error, LUTHIER_BAD_SIZE, "the run found that '%s' is %lld, not in 0..%lld",
                            found->name, (long long)size, (long long)found->most);
    bool parallel = settled->parallel;
    int64_t before = settled->sizes[found->place];
    settled->sizes[found->place] = size;
    luthier_status status = refuse(instance, settled, index, error);
    if (status != LUTHIER_OK) {
        settled->sizes[found->place] = before;
        return status;
    }
    settle(instance, settled, settled->variant);
    settled->parallel = parallel;
    return LUTHIER_OK;
}

void luthier_runtime_settle_largest(struct instance *instance)
{
    const luthier_model *model = instance->base.model;
    struct settled *settled = &instance->both[0];
    for (size_t i = 0; i < instance->program->size_count; i++)
        settled->sizes[instance->program->size_places[i]] = model->sizes[i].most;
    enlarge_found(instance, settled);
    settle(instance, settled, find_variant(instance, settled->sizes));
    atomic_store(&instance->now, settled);
}

struct settled *luthier_runtime_spare(struct instance *instance)
{
    return atomic_load(&instance->now) == instance->both ? instance->both + 1 : instance->both;
}

static luthier_status nothing_built(const struct instance *instance, const int64_t *sizes,
                                    luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    char list[200] = "";
    size_t count = instance->program->size_count;
    for (size_t i = 0, used = 0; i < count && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s=%lld", i > 0 ? ", " : "",
                                 model->sizes[i].name,
                                 (long long)sizes[instance->program->size_places[i]]);
    return luthier_fail(error, LUTHIER_BAD_SIZE, "'%s' was not built for %s together", model->name,
                        list);
}

luthier_status luthier_runtime_change(struct instance *instance, struct settled *next,
                                      const luthier_shape *shapes, luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const luthier_program *program = instance->program;
    for (size_t i = 0; i < program->size_count; i++) {
        int64_t size = next->sizes[program->size_places[i]];
        if (!luthier_runtime_holds(&model->sizes[i], size) && i >= model->size_count)
            return luthier_fail(error, LUTHIER_BAD_STATE,
                                "'%s', which is how much states hold, is %lld, not %s",
                                model->sizes[i].name, (long long)size, program->size_ranges[i]);
        if (!luthier_runtime_holds(&model->sizes[i], size))
            return luthier_fail(error, LUTHIER_BAD_SIZE, "'%s' is %lld, not %s",
                                model->sizes[i].name, (long long)size, program->size_ranges[i]);
    }
    struct settled *now = atomic_load(&instance->now);
    for (size_t i = 0; i < program->found_count; i++)
        next->sizes[program->found[i].place] = now->sizes[program->found[i].place];
    if (memcmp(next->sizes, now->sizes, program->library_size_count * sizeof *now->sizes) == 0) {
        next = now;
    } else {
        const luthier_variant *variant = find_variant(instance, next->sizes);
        if (variant == NULL)
            return nothing_built(instance, next->sizes, error);
        enlarge_found(instance, next);
        settle(instance, next, variant);
    }
    luthier_status status =
        shapes == NULL ? LUTHIER_OK : luthier_runtime_check_shapes(instance, next, shapes, error);
    if (status == LUTHIER_OK)
        atomic_store(&instance->now, next);
    return status;
}

luthier_status luthier_runtime_set_sizes(luthier_instance *base, const int64_t *sizes, size_t count,
                                         luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    const luthier_model *model = base->model;
    if (count != model->size_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "%zu sizes given, '%s' has %zu", count,
                            model->name, model->size_count);
    if (count == 0)
        return luthier_succeed(error);
    if (sizes == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the sizes");
    pthread_mutex_lock(&instance->shared->mutex);
    struct settled *next = luthier_runtime_spare(instance);
    for (size_t i = 0; i < count; i++)
        next->sizes[instance->program->size_places[i]] = sizes[i];
    luthier_status status = luthier_runtime_take_lengths(instance, next, error);
    if (status == LUTHIER_OK)
        status = luthier_runtime_change(instance, next, NULL, error);
    pthread_mutex_unlock(&instance->shared->mutex);
    return status == LUTHIER_OK ? luthier_succeed(error) : status;
}

luthier_status luthier_runtime_get_sizes(luthier_instance *base, int64_t *sizes, size_t count,
                                         luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    const luthier_model *model = base->model;
    if (count != model->size_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "room for %zu sizes, '%s' has %zu", count,
                            model->name, model->size_count);
    if (sizes == NULL && count > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the sizes was given");
    pthread_mutex_lock(&instance->shared->mutex);
    const int64_t *now = atomic_load(&instance->now)->sizes;
    for (size_t i = 0; i < count; i++)
        sizes[i] = now[instance->program->size_places[i]];
    pthread_mutex_unlock(&instance->shared->mutex);
    return luthier_succeed(error);
}
