/* Runs a model whose loop carries rows and columns of which there is one more each time. */
#include "c_check.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST = 2, LAST = 7, WIDTH = 4, HEIGHT = 3 };

/* Into buffers of just the sizes, so that a sanitizer sees what goes beyond. */
static void run(luthier_instance *instance, float from)
{
    const size_t sizes[] = {FIRST * WIDTH, HEIGHT * FIRST, LAST * WIDTH, HEIGHT * LAST};
    float *buffers[4];
    for (size_t i = 0; i < 4; i++)
        CHECK(buffers[i] = malloc(sizes[i] * sizeof(float)));
    float *x = buffers[0], *y = buffers[1], *rows = buffers[2], *columns = buffers[3];
    for (size_t i = 0; i < sizes[0]; i++)
        x[i] = from + (float)i;
    for (size_t i = 0; i < sizes[1]; i++)
        y[i] = 10 * (float)i - from;
    const luthier_input inputs[] = {{x, sizes[0] * sizeof *x}, {y, sizes[1] * sizeof *y}};
    const luthier_output outputs[] = {{rows, sizes[2] * sizeof *x}, {columns, sizes[3] * sizeof *y}};
    luthier_error error;
    CHECK(luthier_run(instance, inputs, 2, outputs, 2, &error) == LUTHIER_OK);
    for (size_t i = 0; i < LAST; i++)
        for (size_t j = 0; j < WIDTH; j++) {
            float wanted = i < FIRST ? x[i * WIDTH + j] : 2 * rows[(i - 1) * WIDTH + j];
            CHECK(rows[i * WIDTH + j] == wanted);
        }
    for (size_t i = 0; i < HEIGHT; i++)
        for (size_t j = 0; j < LAST; j++) {
            float wanted = j < FIRST ? y[i * FIRST + j] : columns[i * LAST + j - 1] + 1;
            CHECK(columns[i * LAST + j] == wanted);
        }
    for (size_t i = 0; i < 4; i++)
        free(buffers[i]);
}

int main(void)
{
    const luthier_model *model = luthier_growing();
    for (int32_t threads = 1; threads <= 2; threads++) {
        luthier_options options = {.abi = LUTHIER_ABI, .threads = threads};
        luthier_instance *instance;
        luthier_error error;
        CHECK(luthier_create(model, &options, &instance, &error) == LUTHIER_OK);
        for (int i = 0; i < 3; i++)
            run(instance, (float)i);
        luthier_destroy(instance);
    }
    return 0;
}
