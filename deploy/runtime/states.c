/* States: what an instance keeps from run to run, for all entry points that were made beside it. */
#define _GNU_SOURCE
#include "instance.h"

#include <string.h>

static bool grows(const luthier_place *place)
{
    return place->size != SIZE_MAX;
}

luthier_status luthier_runtime_take_lengths(const struct instance *instance, struct settled *next,
                                            luthier_error *error)
{
    const luthier_model *model = instance->base.model;
    const luthier_program *program = instance->program;
    for (size_t i = 0; i < model->state_count; i++) {
        const luthier_place *place = &program->states[i];
        if (!grows(place))
            continue;
        int64_t length = instance->shared->lengths[place->state];
        int64_t *size = &next->sizes[program->size_places[place->size]];
        for (size_t j = 0; j < i; j++) {
            const luthier_place *other = &program->states[j];
            if (other->size == place->size && *size != length)
                return luthier_fail(error, LUTHIER_BAD_STATE, "'%s' holds %lld, '%s' %lld",
                                    program->state_labels[i], (long long)length,
                                    program->state_labels[j], (long long)*size);
        }
        *size = length;
    }
    return LUTHIER_OK;
}

luthier_status luthier_runtime_follow(struct instance *instance, luthier_error *error)
{
    const luthier_program *program = instance->program;
    if (program->size_count == instance->base.model->size_count)
        return LUTHIER_OK;
    struct settled *next = luthier_runtime_spare(instance);
    const struct settled *now = atomic_load(&instance->now);
    memcpy(next->sizes, now->sizes, program->library_size_count * sizeof *now->sizes);
    luthier_status status = luthier_runtime_take_lengths(instance, next, error);
    return status == LUTHIER_OK ? luthier_runtime_change(instance, next, NULL, error) : status;
}

void luthier_runtime_appended(struct instance *instance, const struct settled *now)
{
    const luthier_program *program = instance->program;
    for (size_t i = 0; i < instance->base.model->state_count; i++) {
        const luthier_place *place = &program->states[i];
        if (grows(place))
            instance->shared->lengths[place->state] += now->numbers[program->first_more + i];
    }
}

static luthier_status find(const luthier_instance *base, size_t state, const luthier_place **place,
                           luthier_error *error)
{
    const luthier_model *model = base->model;
    if (state >= model->state_count)
        return luthier_fail(error, LUTHIER_WRONG_COUNT, "state %zu, '%s' has %zu", state,
                            model->name, model->state_count);
    *place = &((const struct instance *)base)->program->states[state];
    return LUTHIER_OK;
}

/* Whether the caller's buffer is as large as `length` elements along the axis that grows. */
static luthier_status check(const luthier_instance *base, size_t state, int64_t length,
                            const void *data, size_t bytes, luthier_error *error)
{
    const luthier_program *program = ((const struct instance *)base)->program;
    const luthier_place *place = &program->states[state];
    const char *label = program->state_labels[state];
    uint64_t wanted = place->rows * place->unit * (uint64_t)length;
    if (bytes != wanted)
        return luthier_fail(error, LUTHIER_WRONG_SIZE, "state %zu ('%s') has %zu bytes, not %zu",
                            state, label, bytes, (size_t)wanted);
    if (data == NULL && bytes > 0)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the data of state %zu ('%s')", state,
                            label);
    return LUTHIER_OK;
}

luthier_status luthier_runtime_reset(luthier_instance *base, luthier_error *error)
{
    struct instance *instance = (struct instance *)base;
    const luthier_program *program = instance->program;
    struct shared *shared = instance->shared;
    pthread_mutex_lock(&shared->mutex);
    if (program->library_state_count > 0) {
        memset(shared->states, 0, program->state_bytes);
        memset(shared->lengths, 0, program->library_state_count * sizeof *shared->lengths);
    }
    pthread_mutex_unlock(&shared->mutex);
    return luthier_succeed(error);
}

luthier_status luthier_runtime_state_length(luthier_instance *base, size_t state, int64_t *length,
                                            luthier_error *error)
{
    const luthier_place *place = NULL;
    luthier_status status = find(base, state, &place, error);
    if (status != LUTHIER_OK)
        return status;
    if (length == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "no place for the length was given");
    struct shared *shared = ((struct instance *)base)->shared;
    pthread_mutex_lock(&shared->mutex);
    *length = shared->lengths[place->state];
    pthread_mutex_unlock(&shared->mutex);
    return luthier_succeed(error);
}

luthier_status luthier_runtime_read_state(luthier_instance *base, size_t state, void *data,
                                          size_t bytes, luthier_error *error)
{
    const luthier_place *place = NULL;
    luthier_status status = find(base, state, &place, error);
    if (status != LUTHIER_OK)
        return status;
    struct shared *shared = ((struct instance *)base)->shared;
    pthread_mutex_lock(&shared->mutex);
    int64_t length = grows(place) ? shared->lengths[place->state] : 1;
    status = check(base, state, length, data, bytes, error);
    size_t row = (size_t)length * place->unit;
    for (uint64_t i = 0; status == LUTHIER_OK && row > 0 && i < place->rows; i++)
        memcpy((unsigned char *)data + i * row, shared->states + place->at + i * place->room, row);
    pthread_mutex_unlock(&shared->mutex);
    return status == LUTHIER_OK ? luthier_succeed(error) : status;
}

luthier_status luthier_runtime_write_state(luthier_instance *base, size_t state, const void *data,
                                           size_t bytes, int64_t length, luthier_error *error)
{
    const luthier_place *place = NULL;
    luthier_status status = find(base, state, &place, error);
    if (status != LUTHIER_OK)
        return status;
    const luthier_state *told = &base->model->states[state];
    int64_t held = grows(place) ? length : 1, most = grows(place) ? told->shape[told->axis] : 0;
    if (length < 0 || length > most)
        return luthier_fail(error, LUTHIER_BAD_STATE, "state %zu ('%s') cannot hold %lld, but 0..%lld",
                            state, ((struct instance *)base)->program->state_labels[state],
                            (long long)length, (long long)most);
    status = check(base, state, held, data, bytes, error);
    if (status != LUTHIER_OK)
        return status;
    struct shared *shared = ((struct instance *)base)->shared;
    pthread_mutex_lock(&shared->mutex);
    size_t row = (size_t)held * place->unit;
    for (uint64_t i = 0; row > 0 && i < place->rows; i++)
        memcpy(shared->states + place->at + i * place->room, (const unsigned char *)data + i * row,
               row);
    shared->lengths[place->state] = length;
    pthread_mutex_unlock(&shared->mutex);
    return luthier_succeed(error);
}

luthier_status luthier_runtime_copy_states(luthier_instance *base, luthier_instance *from,
                                           luthier_error *error)
{
    if (from == NULL)
        return luthier_fail(error, LUTHIER_NULL_POINTER, "the other instance");
    if (from->model->entries != base->model->entries)
        return luthier_fail(error, LUTHIER_WRONG_LIBRARY, "'%s' has other states than '%s'",
                            base->model->name, from->model->name);
    const luthier_program *program = ((struct instance *)base)->program;
    struct shared *shared = ((struct instance *)base)->shared;
    struct shared *other = ((struct instance *)from)->shared;
    if (shared == other || program->library_state_count == 0)
        return luthier_succeed(error);
    /* Two that copy from each other take the mutexes in one order. */
    bool ahead = (uintptr_t)shared < (uintptr_t)other;
    pthread_mutex_lock(ahead ? &shared->mutex : &other->mutex);
    pthread_mutex_lock(ahead ? &other->mutex : &shared->mutex);
    memcpy(shared->states, other->states, program->state_bytes);
    memcpy(shared->lengths, other->lengths, program->library_state_count * sizeof *shared->lengths);
    pthread_mutex_unlock(&shared->mutex);
    pthread_mutex_unlock(&other->mutex);
    return luthier_succeed(error);
}
