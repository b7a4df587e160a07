/* Numbers that a run asks for: what is built for them runs, all else is a status. */
#include "c_promise.h"

enum { ROWS = 3, COLUMNS = 11, SIZE = ROWS * COLUMNS };

static luthier_status run(luthier_instance *instance, const int64_t *asked, float *y)
{
    float x[SIZE];
    for (int i = 0; i < SIZE; i++)
        x[i] = 1.0f + i;
    luthier_input inputs[2] = {{asked, 2 * sizeof *asked}, {x, sizeof x}};
    luthier_output output = {y, sizeof x};
    return luthier_run(instance, inputs, 2, &output, 1, &error);
}

static void what_it_is_built_for(void)
{
    luthier_instance *instance = NULL;
    CHECK(luthier_create(model, NULL, &instance, &error) == LUTHIER_OK);
    float y[SIZE];
    CHECK(run(instance, (int64_t[]){ROWS, COLUMNS}, y) == LUTHIER_OK);
    for (int i = 0; i < SIZE; i++)
        CHECK(y[i] == -1.0f - i);
    luthier_destroy(instance);
}

static void other_numbers(void)
{
    luthier_instance *instance = NULL;
    CHECK(luthier_create(model, NULL, &instance, &error) == LUTHIER_OK);
    float y[SIZE] = {77};
    expect(run(instance, (int64_t[]){COLUMNS, ROWS}, y), LUTHIER_BAD_SIZE,
           "%d': its result has the shape [11, 3], not [3, 11]");
    expect(run(instance, (int64_t[]){INT64_MIN, INT64_MAX}, y), LUTHIER_BAD_SIZE,
           "[-9223372036854775808, 9223372036854775807], not [3, 11]");
    CHECK(y[0] == 77);
    char bytes[2 * sizeof(int64_t) + 1]; /* at any address */
    const int64_t wanted[2] = {ROWS, COLUMNS};
    memcpy(bytes + 1, wanted, sizeof wanted);
    float x[SIZE] = {5};
    luthier_input inputs[2] = {{bytes + 1, sizeof wanted}, {x, sizeof x}};
    luthier_output output = {y, sizeof y};
    CHECK(luthier_run(instance, inputs, 2, &output, 1, &error) == LUTHIER_OK && y[0] == -5);
    luthier_destroy(instance);
}

static const struct promise promises[] = {
#define PROMISE(name) {#name, name}
    PROMISE(what_it_is_built_for),
    PROMISE(other_numbers),
};

int main(int argc, char **argv)
{
    model = luthier_rows();
    return keep(promises, sizeof promises / sizeof *promises, argc, argv);
}
