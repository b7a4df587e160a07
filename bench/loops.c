/* Times calls of engines' C APIs one by one, without Python; bench/loops.py binds them.
 *
 * The layouts of what is called are those of luthier.h, onnxruntime_c_api.h and openvino/c. */
#define _POSIX_C_SOURCE 200809L

#include <stddef.h>
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

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of each call after the first, which warms the caches: at least `least`, then until
 * `seconds` are over or there is no more `room`. How many there are, or -1 where a call fails. */
long loop(one_call call, const void *bound, double seconds, long least, double *times, long room)
{
    long count = 0;
    if (call(bound) != 0)
        return -1;
    double end = now() + seconds;
    for (double start = now(); count < room && (count < least || start < end);) {
        if (call(bound) != 0)
            return -1;
        double stop = now();
        times[count++] = stop - start;
        start = stop;
    }
    return count;
}
