/* Times calls of engines' C APIs one by one, without Python; bench/loops.py binds them.
 *
 * The layouts of what is called are those of luthier.h, onnxruntime_c_api.h and openvino/c. */
#define _POSIX_C_SOURCE 200809L

#include <stddef.h>
#include <string.h>
#include <time.h>

typedef int (*one_call)(const void *bound);

struct luthier_bound {
    int (*run)(void *, const void *, size_t, const void *, size_t, double *, void *);
    void *instance;
    const void *inputs;
    size_t input_count;
    const void *outputs;
    size_t output_count;
};

struct onnxruntime_bound {
    void *(*run)(void *, const void *, const char *const *, const void *const *, size_t,
                 const char *const *, size_t, void **);
    void *session;
    const char *const *input_names;
    const void *const *inputs;
    size_t input_count;
    const char *const *output_names;
    size_t output_count;
    void **outputs;
};

struct openvino_bound {
    int (*infer)(void *);
    void *request;
};

int call_luthier(const void *bound)
{
    const struct luthier_bound *b = bound;
    return b->run(b->instance, b->inputs, b->input_count, b->outputs, b->output_count, NULL, NULL);
}

int call_onnxruntime(const void *bound)
{
    const struct onnxruntime_bound *b = bound;
    return b->run(b->session, NULL, b->input_names, b->inputs, b->input_count, b->output_names,
                  b->output_count, b->outputs) != NULL;
}

int call_openvino(const void *bound)
{
    const struct openvino_bound *b = bound;
    return b->infer(b->request);
}

struct rows_bound {
    void *predict;
    const void *x;
    void *y;
    size_t rows;
    size_t features;
};

int call_lleaves(const void *bound)
{
    const struct rows_bound *b = bound;
    ((void (*)(const double *, double *, int, int))b->predict)(b->x, b->y, 0, (int)b->rows);
    return 0;
}

int call_tl2cgen(const void *bound)
{
    const struct rows_bound *b = bound;
    void (*predict)(const float *, int, float *) = (void (*)(const float *, int, float *))b->predict;
    for (size_t i = 0; i < b->rows; i++) {
        float *y = (float *)b->y + i;
        *y = 0; /* it adds up there */
        predict((const float *)b->x + i * b->features, 1, y);
    }
    return 0;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* What an input holds before each call: the next of `count` arrays of `bytes`, if there are any. */
struct next_inputs {
    void *input;
    const char *arrays;
    size_t bytes;
    size_t count;
};

/* Seconds of each call after the first, which warms the caches: at least `least`, then until
 * `seconds` are over or there is no more `room`. How many there are, or -1 where a call fails. */
long loop(one_call call, const void *bound, double seconds, long least, double *times, long room,
          const struct next_inputs *next)
{
    long count = 0;
    if (call(bound) != 0)
        return -1;
    double end = now() + seconds;
    for (double start = now(); count < room && (count < least || start < end);) {
        if (next->count)
            memcpy(next->input, next->arrays + (size_t)count % next->count * next->bytes, next->bytes);
        if (call(bound) != 0)
            return -1;
        double stop = now();
        times[count++] = stop - start;
        start = stop;
    }
    return count;
}
