/* A size that runs find: shapes before and after, room for outputs, numbers that it may not be. */
#include "c_promise.h"

enum { MOST = 9, COLUMNS = 11, ROWS = MOST * COLUMNS };

static luthier_instance *create(void)
{
    luthier_instance *instance = NULL;
    CHECK(luthier_create(model, NULL, &instance, &error) == LUTHIER_OK);
    return instance;
}

struct buffers {
    float x[ROWS], rows[ROWS + 1], minus[ROWS + 1];
    int64_t count;
};

/* Every `step`-th of `tokens` rows is kept; outputs have room for `room` rows. */
static luthier_status run(luthier_instance *instance, struct buffers *b, int64_t tokens,
                          int64_t step, int64_t room)
{
    for (int i = 0; i < ROWS; i++)
        b->x[i] = (i / COLUMNS) % step == 0 ? 1.0f + i : -1.0f - i;
    b->rows[room * COLUMNS] = b->minus[room * COLUMNS] = 77;
    size_t bytes = (size_t)(room * COLUMNS) * sizeof(float);
    luthier_shape shape = {(int64_t[]){tokens, COLUMNS}, 2};
    CHECK(luthier_set_shapes(instance, &shape, 1, &error) == LUTHIER_OK);
    luthier_input input = {b->x, (size_t)(tokens * COLUMNS) * sizeof(float)};
    luthier_output outputs[3] = {{b->rows, bytes}, {&b->count, 8}, {b->minus, bytes}};
    luthier_status status = luthier_run(instance, &input, 1, outputs, 3, &error);
    CHECK(b->rows[room * COLUMNS] == 77 && b->minus[room * COLUMNS] == 77);
    return status;
}

static void check_shape(luthier_instance *instance, int64_t rows, size_t bytes)
{
    int64_t shape[2];
    size_t found;
    CHECK(luthier_output_shape(instance, 2, shape, 2, &found, &error) == LUTHIER_OK);
    CHECK(shape[0] == rows && shape[1] == COLUMNS && found == bytes);
    CHECK(luthier_output_shape(instance, 1, NULL, 0, &found, &error) == LUTHIER_OK && found == 8);
}

static void every_number_of_rows(void)
{
    luthier_instance *instance = create();
    struct buffers b;
    for (int64_t tokens = MOST; tokens >= 0; tokens--)
        for (int64_t step = 1; step <= MOST; step += 2) {
            int64_t rows = (tokens + step - 1) / step;
            CHECK(run(instance, &b, tokens, step, rows) == LUTHIER_OK);
            CHECK(b.count == rows);
            check_shape(instance, rows, (size_t)(rows * COLUMNS) * sizeof(float));
            for (int64_t i = 0; i < rows * COLUMNS; i++) {
                float want = b.x[i / COLUMNS * step * COLUMNS + i % COLUMNS];
                CHECK(b.rows[i] == want && b.minus[i] == -want);
            }
        }
    luthier_destroy(instance);
}

static void shapes_before_and_after(void)
{
    luthier_instance *instance = create();
    struct buffers b;
    size_t most = ROWS * sizeof(float);
    check_shape(instance, -1, most);
    CHECK(run(instance, &b, 8, 2, MOST) == LUTHIER_OK);
    check_shape(instance, 4, 4 * COLUMNS * sizeof(float));
    CHECK(luthier_set_sizes(instance, (int64_t[]){8}, 1, &error) == LUTHIER_OK);
    check_shape(instance, 4, 4 * COLUMNS * sizeof(float)); /* they are what they were */
    CHECK(luthier_set_sizes(instance, (int64_t[]){7}, 1, &error) == LUTHIER_OK);
    check_shape(instance, -1, most);
    int64_t size = 0;
    CHECK(luthier_get_sizes(instance, &size, 1, &error) == LUTHIER_OK && size == 7);
    luthier_destroy(instance);
}

static void buffers_that_are_too_small(void)
{
    luthier_instance *instance = create();
    struct buffers b;
    expect(run(instance, &b, 9, 2, 4), LUTHIER_TOO_SMALL,
           "output 0 ('rows') has 176 bytes of the 220 needed");
    check_shape(instance, 5, 5 * COLUMNS * sizeof(float)); /* what a second try needs */
    CHECK(run(instance, &b, 9, 2, 5) == LUTHIER_OK);
    luthier_input input = {b.x, ROWS * sizeof(float)};
    luthier_output none[3] = {{NULL, ROWS * sizeof(float)}, {&b.count, 8}, {b.minus, sizeof b.minus}};
    expect(luthier_run(instance, &input, 1, none, 3, &error), LUTHIER_NULL_POINTER, "output");
    luthier_output same[3] = {{b.rows, sizeof b.rows}, {&b.count, 8}, {b.rows, sizeof b.rows}};
    expect(luthier_run(instance, &input, 1, same, 3, &error), LUTHIER_OVERLAP, "output");
    for (int i = 0; i < ROWS; i++)
        b.x[i] = -1;
    luthier_output nothing[3] = {{NULL, 0}, {&b.count, 8}, {NULL, 0}};
    CHECK(luthier_run(instance, &input, 1, nothing, 3, &error) == LUTHIER_OK && b.count == 0);
    luthier_destroy(instance);
}

static void an_input_in_the_place_of_an_output(void)
{
    luthier_instance *instance = create();
    _Alignas(64) float x[ROWS], minus[ROWS];
    int64_t count = 0;
    for (int i = 0; i < ROWS; i++)
        x[i] = 1.0f + i;
    luthier_input input = {x, sizeof x};
    luthier_output outputs[3] = {{x, sizeof x}, {&count, 8}, {minus, sizeof minus}};
    CHECK(luthier_run(instance, &input, 1, outputs, 3, &error) == LUTHIER_OK);
    for (int i = 0; i < ROWS; i++)
        CHECK(x[i] == 1.0f + i && minus[i] == -1.0f - i);
    luthier_destroy(instance);
}

static void numbers_that_it_may_not_be(void)
{
    luthier_instance *instance = create();
    struct buffers b;
    CHECK(run(instance, &b, MOST, 1, MOST) == LUTHIER_OK);
    luthier_input input = {b.x, ROWS * sizeof(float)};
    luthier_output outputs[3] = {
        {b.rows, ROWS * sizeof(float)}, {&b.count, 8}, {b.minus, ROWS * sizeof(float)}};
    b.x[0] = -77;
    expect(luthier_run(instance, &input, 1, outputs, 3, &error), LUTHIER_BAD_SIZE,
           "the run found that 'found' is 10, not in 0..9");
    check_shape(instance, -1, ROWS * sizeof(float));
    b.x[0] = -78;
    expect(luthier_run(instance, &input, 1, outputs, 3, &error), LUTHIER_BAD_SIZE,
           "the run found that 'found' is -1, not in 0..9");
    CHECK(run(instance, &b, MOST, 3, MOST) == LUTHIER_OK && b.count == 3);
    luthier_destroy(instance);
}

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(every_number_of_rows),
    PROMISE(shapes_before_and_after),
    PROMISE(buffers_that_are_too_small),
    PROMISE(an_input_in_the_place_of_an_output),
    PROMISE(numbers_that_it_may_not_be),
};

int main(int argc, char **argv)
{
    model = luthier_rows();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
