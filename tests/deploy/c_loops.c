/* Runs a model of loops and branches: x, n times and while it may, tripled 2 times and negated. */
#include "c_check.h"
#include "model.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 4, ROWS = 3, STEPS = 2, CALLS = 4 };

/* Into buffers of just the sizes, so that a sanitizer sees what goes beyond. */
static void run(luthier_instance *instance, size_t rows, size_t steps, int64_t n, bool begin,
                bool flag)
{
    size_t elements = rows * COLUMNS, bytes = elements * sizeof(float);
    float *input = malloc(bytes), *output = malloc(bytes), *kept = malloc(steps * bytes);
    CHECK(input && output && kept);
    for (size_t i = 0; i < elements; i++)
        input[i] = (float)i - 5;
    const luthier_input inputs[] = {{input, bytes}, {&n, sizeof n}, {&begin, 1}, {&flag, 1}};
    const luthier_output outputs[] = {{output, bytes}, {kept, steps * bytes}};
    double seconds[CALLS];
    luthier_error error;
    CHECK(luthier_profile(instance, inputs, 4, outputs, 2, seconds, &error) == LUTHIER_OK);
    int64_t times = begin && n > 0 ? n : 0;
    for (size_t i = 0; i < elements; i++) {
        float y = input[i];
        for (int64_t k = 0; k < times; k++)
            y = steps == 0 ? y : steps == 1 ? y * 3 : y * 9;
        y = flag ? -y : y;
        CHECK(output[i] == y);
        for (size_t k = 0; k < steps; k++)
            CHECK(kept[k * elements + i] == (k == 0 ? y * 3 : y * 9));
    }
    const double *triple = &seconds[luthier_loops()->step_count - 3];
    CHECK(rows == 0 || (triple[0] > 0) == (steps * (size_t)times > 0));
    CHECK(rows == 0 || (triple[1] > 0) == flag);
    free(input);
    free(output);
    free(kept);
}

/* Numbers of iterations, and each choice of the flags. */
static void run_all(luthier_instance *instance, size_t rows, size_t steps)
{
    const int64_t numbers[] = {0, 1, 2, 5, -1, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int flags = 0; flags < 4; flags++)
            run(instance, rows, steps, numbers[i], flags & 1, flags & 2);
}

int main(void)
{
    const luthier_model *model = luthier_loops();
    for (int32_t threads = 1; threads <= 2; threads++) {
        luthier_options options = {.abi = LUTHIER_ABI, .threads = threads};
        luthier_instance *instance;
        luthier_error error;
        CHECK(luthier_create(model, &options, &instance, &error) == LUTHIER_OK);
#ifdef OPEN
        for (int64_t rows = 0; rows <= ROWS; rows++)
            for (int64_t steps = 0; steps <= STEPS; steps++) {
                CHECK(luthier_set_sizes(instance, (int64_t[]){rows, steps}, 2, &error) ==
                        LUTHIER_OK);
                run_all(instance, (size_t)rows, (size_t)steps);
            }
#else
        run_all(instance, ROWS, STEPS);
#endif
        luthier_destroy(instance);
    }
    return 0;
}
