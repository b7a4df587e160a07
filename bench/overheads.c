/* What the runtime does besides kernels: seconds of a run, and of a change of sizes.
 *
 *     overheads run BATCHES TIMES
 *     overheads sizes BATCHES TIMES
 *
 * Each line is the mean over so many times. Sizes change between the least and the largest. */
#define _POSIX_C_SOURCE 200809L

#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    return 1;
}

int main(int count, char **arguments)
{
    const luthier_model *model = MODEL;
    luthier_options options = {LUTHIER_ABI, 1, NULL};
    luthier_instance *instance;
    luthier_error error;
    luthier_input inputs[MOST];
    luthier_output outputs[MOST];
    int64_t sizes[2][MOST];
    if (count != 4 || model->input_count > MOST || model->output_count > MOST ||
        model->size_count > MOST)
        return fail("it needs other arguments, or a smaller model");
    if (luthier_create(model, &options, &instance, &error) != LUTHIER_OK)
        return fail(error.message);
    for (size_t i = 0; i < model->input_count; i++)
        inputs[i] = (luthier_input){calloc(1, model->inputs[i].bytes), model->inputs[i].bytes};
    for (size_t i = 0; i < model->output_count; i++)
        outputs[i] = (luthier_output){malloc(model->outputs[i].bytes), model->outputs[i].bytes};
    for (size_t i = 0; i < model->size_count; i++) {
        sizes[0][i] = model->sizes[i].least;
        sizes[1][i] = model->sizes[i].most;
    }
    int runs = strcmp(arguments[1], "run") == 0;
    long batches = atol(arguments[2]), times = atol(arguments[3]);
    for (long batch = -1; batch < batches; batch++) {
        double begin = now();
        for (long i = 0; i < times; i++) {
            luthier_status status =
                runs ? luthier_run(instance, inputs, model->input_count, outputs,
                                   model->output_count, &error)
                     : luthier_set_sizes(instance, sizes[i % 2], model->size_count, &error);
            if (status != LUTHIER_OK)
                return fail(error.message);
        }
        if (batch >= 0) /* the first warms the caches */
            printf("%.4g\n", (now() - begin) / (double)times);
    }
    luthier_destroy(instance);
    return 0;
}
