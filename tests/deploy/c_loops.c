/* Runs a model of loops and branches: x, n times and while it may, tripled 2 times and negated. */
#include "model.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define REQUIRE(holds)                                                                             \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%d: %s\n", __LINE__, #holds);                                         \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { ELEMENTS = 12, ROWS = 2 };

static float input[ELEMENTS], output[ELEMENTS], kept[ROWS * ELEMENTS];

static void run(luthier_instance *instance, int64_t n, bool begin, bool flag)
{
    const luthier_input inputs[] = {
        {input, sizeof input}, {&n, sizeof n}, {&begin, 1}, {&flag, 1}};
    const luthier_output outputs[] = {{output, sizeof output}, {kept, sizeof kept}};
    double seconds[3];
    luthier_error error;
    REQUIRE(luthier_profile(instance, inputs, 4, outputs, 2, seconds, &error) == LUTHIER_OK);
    int64_t times = begin && n > 0 ? n : 0;
    for (int i = 0; i < ELEMENTS; i++) {
        float y = input[i];
        for (int64_t k = 0; k < times; k++)
            y = y * 9;
        y = flag ? -y : y;
        REQUIRE(output[i] == y);
        REQUIRE(kept[i] == y * 3 && kept[ELEMENTS + i] == y * 9);
    }
    REQUIRE((seconds[0] > 0) == (times > 0));
    REQUIRE((seconds[1] > 0) == flag);
}

int main(void)
{
    const luthier_model *model = luthier_loops();
    REQUIRE(model->step_count == 3);
    for (int32_t threads = 1; threads <= 2; threads++) {
        luthier_options options = {.abi = LUTHIER_ABI, .threads = threads};
        luthier_instance *instance;
        luthier_error error;
        REQUIRE(luthier_create(model, &options, &instance, &error) == LUTHIER_OK);
        for (int i = 0; i < ELEMENTS; i++)
            input[i] = (float)(i - 5);
        const int64_t numbers[] = {0, 1, 2, 5, -1, INT64_MIN};
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            for (int flags = 0; flags < 4; flags++)
                run(instance, numbers[i], flags & 1, flags & 2);
        luthier_destroy(instance);
    }
    return 0;
}
