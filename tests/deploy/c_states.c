/* Keeps the C API's promises about states, on the library of kept_models.py. */
#include "c_promise.h"

#include <pthread.h>

enum { PAST, H, ROWS = 2, COLUMNS = 3, ROOM = 10 };

static luthier_instance *make(const luthier_model *of)
{
    luthier_instance *instance;
    expect(luthier_create(of, NULL, &instance, &error), LUTHIER_OK, "");
    return instance;
}

static int64_t length(luthier_instance *instance)
{
    int64_t found = -1;
    expect(luthier_state_length(instance, PAST, &found, &error), LUTHIER_OK, "");
    return found;
}

/* Appends `count` columns of `value`, and adds 1 to twice what h is. */
static luthier_status append(luthier_instance *instance, int64_t count, float value, float *sum,
                             float *was)
{
    float new[ROWS * 4 * COLUMNS], x[5] = {1, 1, 1, 1, 1};
    size_t bytes = (size_t)count * ROWS * COLUMNS * sizeof(float);
    for (int i = 0; i < ROWS * 4 * COLUMNS; i++)
        new[i] = value;
    luthier_input in[2] = {{new, bytes}, {x, sizeof x}};
    luthier_output out[2] = {{sum, ROWS * COLUMNS * sizeof(float)}, {was, 5 * sizeof(float)}};
    return luthier_run(instance, in, 2, out, 2, &error);
}

static void appended(luthier_instance *instance, int64_t count, float value, float wanted)
{
    float sum[ROWS * COLUMNS], was[5];
    expect(append(instance, count, value, sum, was), LUTHIER_OK, "");
    for (int i = 0; i < ROWS * COLUMNS; i++)
        CHECK(sum[i] == wanted);
}

static void description(void)
{
    CHECK(model->state_count == 2 && LUTHIER_KEPT_STATE_COUNT == 2);
    const luthier_state *past = &model->states[PAST], *h = &model->states[H];
    CHECK(strcmp(past->name, "past") == 0 && strcmp(past->becomes, "present") == 0);
    CHECK(past->rank == 3 && past->axis == 1 && past->shape[1] == ROOM);
    CHECK(past->dtype == LUTHIER_FLOAT32 && past->bytes == ROWS * ROOM * COLUMNS * 4);
    CHECK(strcmp(h->name, "h_in") == 0 && h->axis == -1 && h->bytes == 20);
    CHECK(model->input_count == 2 && model->output_count == 2);
    CHECK(model->size_count == 1 && strcmp(model->sizes[0].name, "new") == 0);
    CHECK(luthier_kept_one()->size_count == 0 && luthier_kept_one()->state_count == 2);
}

static void a_cache_grows_and_is_read(void)
{
    luthier_instance *instance = make(model);
    CHECK(length(instance) == 0);
    expect(luthier_set_sizes(instance, &(int64_t){3}, 1, &error), LUTHIER_OK, "");
    appended(instance, 3, 1, 3);
    CHECK(length(instance) == 3);
    expect(luthier_set_sizes(instance, &(int64_t){2}, 1, &error), LUTHIER_OK, "");
    appended(instance, 2, 10, 23);
    float held[ROWS * 5 * COLUMNS];
    expect(luthier_read_state(instance, PAST, held, sizeof held, &error), LUTHIER_OK, "");
    for (int row = 0; row < ROWS; row++)
        for (int i = 0; i < 5 * COLUMNS; i++)
            CHECK(held[row * 5 * COLUMNS + i] == (i < 3 * COLUMNS ? 1 : 10));
    luthier_destroy(instance);
}

static void a_state_keeps_its_type(void)
{
    luthier_instance *instance = make(luthier_kept_one());
    float h = 0;
    for (int step = 0; step < 5; step++, h = 2 * h + 1) {
        float sum[ROWS * COLUMNS], was[5], now[5];
        expect(append(instance, 1, 1, sum, was), LUTHIER_OK, "");
        expect(luthier_read_state(instance, H, now, sizeof now, &error), LUTHIER_OK, "");
        for (int i = 0; i < 5; i++)
            CHECK(was[i] == h && now[i] == 2 * h + 1);
    }
    luthier_destroy(instance);
}

static void entry_points_share_states(void)
{
    luthier_instance *many = make(model), *one, *apart = make(luthier_kept_one());
    expect(luthier_create_beside(luthier_kept_one(), many, &one, &error), LUTHIER_OK, "");
    expect(luthier_set_sizes(many, &(int64_t){4}, 1, &error), LUTHIER_OK, "");
    appended(many, 4, 1, 4);
    appended(one, 1, 2, 6);
    CHECK(length(many) == 5 && length(one) == 5 && length(apart) == 0);
    appended(apart, 1, 7, 7);
    luthier_destroy(many);
    appended(one, 1, 2, 8);
    luthier_destroy(one);
    luthier_destroy(apart);
}

static void a_full_state_is_refused(void)
{
    luthier_instance *one = make(luthier_kept_one());
    float sum[ROWS * COLUMNS], was[5];
    for (int i = 0; i < 7; i++)
        appended(one, 1, 1, (float)i + 1);
    for (int again = 0; again < 3; again++) {
        expect(append(one, 1, 1, sum, was), LUTHIER_BAD_STATE, "'past'");
        CHECK(length(one) == 7);
    }
    expect(luthier_output_shape(one, 0, NULL, 0, NULL, &error), LUTHIER_BAD_STATE, "0..6");
    expect(luthier_reset(one, &error), LUTHIER_OK, "");
    CHECK(length(one) == 0);
    appended(one, 1, 3, 3);
    luthier_destroy(one);
}

static void reset_makes_zero(void)
{
    luthier_instance *one = make(luthier_kept_one());
    float h[5];
    appended(one, 1, 1, 1);
    expect(luthier_reset(one, &error), LUTHIER_OK, "");
    expect(luthier_read_state(one, H, h, sizeof h, &error), LUTHIER_OK, "");
    expect(luthier_read_state(one, PAST, NULL, 0, &error), LUTHIER_OK, "");
    for (int i = 0; i < 5; i++)
        CHECK(h[i] == 0);
    luthier_destroy(one);
}

static void states_are_written_and_copied(void)
{
    luthier_instance *one = make(luthier_kept_one()), *other = make(model);
    float past[ROWS * 6 * COLUMNS], h[5] = {1, 2, 3, 4, 5}, seen[ROWS * 6 * COLUMNS];
    for (int i = 0; i < ROWS * 6 * COLUMNS; i++)
        past[i] = (float)i;
    expect(luthier_write_state(one, PAST, past, sizeof past, 6, &error), LUTHIER_OK, "");
    expect(luthier_write_state(one, H, h, sizeof h, 0, &error), LUTHIER_OK, "");
    expect(luthier_copy_states(other, one, &error), LUTHIER_OK, "");
    expect(luthier_copy_states(one, one, &error), LUTHIER_OK, "");
    expect(luthier_reset(one, &error), LUTHIER_OK, "");
    CHECK(length(other) == 6 && length(one) == 0);
    expect(luthier_read_state(other, PAST, seen, sizeof seen, &error), LUTHIER_OK, "");
    CHECK(memcmp(seen, past, sizeof past) == 0);
    expect(luthier_read_state(other, H, seen, sizeof h, &error), LUTHIER_OK, "");
    CHECK(memcmp(seen, h, sizeof h) == 0);
    luthier_destroy(one);
    luthier_destroy(other);
}

static void hostile_arguments(void)
{
    luthier_instance *one = make(luthier_kept_one());
    float data[ROWS * ROOM * COLUMNS] = {0};
    int64_t held;
    expect(luthier_state_length(one, 2, &held, &error), LUTHIER_WRONG_COUNT, "state 2");
    expect(luthier_state_length(one, PAST, NULL, &error), LUTHIER_NULL_POINTER, "length");
    expect(luthier_read_state(one, SIZE_MAX, data, 4, &error), LUTHIER_WRONG_COUNT, "has 2");
    expect(luthier_read_state(one, PAST, data, 4, &error), LUTHIER_WRONG_SIZE, "'past'");
    expect(luthier_read_state(one, H, NULL, 20, &error), LUTHIER_NULL_POINTER, "'h_in'");
    expect(luthier_write_state(one, 7, data, 4, 0, &error), LUTHIER_WRONG_COUNT, "state 7");
    const int64_t impossible[] = {-1, ROOM + 1, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 4; i++)
        expect(luthier_write_state(one, PAST, data, sizeof data, impossible[i], &error),
               LUTHIER_BAD_STATE, "0..10");
    expect(luthier_write_state(one, PAST, data, 8, 2, &error), LUTHIER_WRONG_SIZE, "not 48");
    expect(luthier_write_state(one, PAST, NULL, 48, 2, &error), LUTHIER_NULL_POINTER, "'past'");
    expect(luthier_write_state(one, H, data, 20, 1, &error), LUTHIER_BAD_STATE, "cannot hold 1");
    expect(luthier_copy_states(one, NULL, &error), LUTHIER_NULL_POINTER, "other");
    luthier_model other = *one->model;
    const luthier_model *const entries[] = {&other};
    other.entries = entries;
    luthier_instance stranger = {&other};
    expect(luthier_copy_states(one, &stranger, &error), LUTHIER_WRONG_LIBRARY, "kept");
    expect(luthier_reset(NULL, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_read_state(NULL, 0, data, 4, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_write_state(NULL, 0, data, 4, 0, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_state_length(NULL, 0, &held, &error), LUTHIER_NULL_POINTER, "instance");
    expect(luthier_copy_states(NULL, one, &error), LUTHIER_NULL_POINTER, "instance");
    CHECK(length(one) == 0);
    expect(luthier_write_state(one, PAST, data, sizeof data, ROOM, &error), LUTHIER_OK, "");
    float sum[ROWS * COLUMNS], was[5];
    expect(append(one, 1, 1, sum, was), LUTHIER_BAD_STATE, "is 10");
    luthier_destroy(one);
}

static void *copies(void *both)
{
    luthier_instance **pair = both;
    luthier_error own;
    for (int i = 0; i < 200; i++) {
        CHECK(luthier_copy_states(pair[0], pair[1], &own) == LUTHIER_OK);
        CHECK(luthier_reset(pair[i % 2], &own) == LUTHIER_OK);
    }
    return NULL;
}

static void two_copy_from_each_other(void)
{
    luthier_instance *a = make(model), *b = make(model);
    luthier_instance *ways[2][2] = {{a, b}, {b, a}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, copies, ways[i]) == 0);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    luthier_destroy(a);
    luthier_destroy(b);
}

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(description),
    PROMISE(a_cache_grows_and_is_read),
    PROMISE(a_state_keeps_its_type),
    PROMISE(entry_points_share_states),
    PROMISE(a_full_state_is_refused),
    PROMISE(reset_makes_zero),
    PROMISE(states_are_written_and_copied),
    PROMISE(hostile_arguments),
    PROMISE(two_copy_from_each_other),
};

int main(int argc, char **argv)
{
    model = luthier_kept();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
