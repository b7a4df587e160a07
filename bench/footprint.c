/* What a model that Luthier built needs in a C program: footprint LIBRARY THREADS RUNS
 *
 * Prints JSON: the milliseconds from opening the library to its being ready and to the first result,
 * and by how many bytes the process's resident memory grew, at most and after RUNS runs. Inputs are
 * zeros. */
#include <model.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    return 1;
}

/* Bytes of a field of /proc/self/status, such as "VmRSS:". */
static long long resident(const char *field)
{
    char line[256];
    long long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            kilobytes = strtoll(line + strlen(field), NULL, 10);
    if (status != NULL)
        fclose(status);
    return 1024 * kilobytes;
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return fail("usage: footprint LIBRARY THREADS RUNS");
    long long before = resident("VmRSS:");
    double start = milliseconds(), first = 0;
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return fail(dlerror());
    luthier_model_function function;
    *(void **)&function = dlsym(library, "luthier_model"); /* as POSIX has it */
    if (function == NULL)
        return fail("the library has no model");
    const luthier_model *model = function();
    luthier_options options = {LUTHIER_ABI, atoi(arguments[2]), NULL};
    luthier_instance *instance;
    luthier_error error;
    if (luthier_create(model, &options, &instance, &error) != LUTHIER_OK)
        return fail(error.message);
    double ready = milliseconds();
    luthier_input *inputs = calloc(model->input_count + 1, sizeof *inputs);
    luthier_output *outputs = calloc(model->output_count + 1, sizeof *outputs);
    if (inputs == NULL || outputs == NULL)
        return fail("out of memory");
    for (size_t i = 0; i < model->input_count; i++) {
        inputs[i].bytes = model->inputs[i].bytes;
        inputs[i].data = calloc(1, inputs[i].bytes + 1);
    }
    for (size_t i = 0; i < model->output_count; i++) {
        outputs[i].bytes = model->outputs[i].bytes;
        outputs[i].data = malloc(outputs[i].bytes + 1);
    }
    for (int run = 0; run < atoi(arguments[3]); run++) {
        if (luthier_run(instance, inputs, model->input_count, outputs, model->output_count,
                        &error) != LUTHIER_OK)
            return fail(error.message);
        if (run == 0)
            first = milliseconds();
    }
    printf("{\"ready\": %.6f, \"start\": %.6f, \"peak\": %lld, \"held\": %lld}\n", ready - start, first - start,
           resident("VmHWM:") - before, resident("VmRSS:") - before);
    return 0;
}
