/* The model of small_models.py for programs in C: x, y -> scaled = x * w, minus = x * w * w,
 * again = minus, flat = -minus, y, weights = w, where w[j] = 2 (j + 1). */
#ifndef LUTHIER_TESTS_C_MODEL_H
#define LUTHIER_TESTS_C_MODEL_H

#include "c_promise.h"

enum { ROWS = 37, COLUMNS = 11, SIZE = ROWS * COLUMNS, BYTES = SIZE * 4, OUTPUTS = 6 };

/* Buffers of one run, each `shift` bytes after a multiple of 64. */
struct buffers {
    unsigned char *memory;
    luthier_input in[2];
    luthier_output out[OUTPUTS];
    float seed;
};

static inline struct buffers make_buffers(size_t shift, float seed)
{
    struct buffers b = {0};
    const size_t stride = 4096;
    b.memory = aligned_alloc(4096, stride * (2 + OUTPUTS));
    CHECK(b.memory != NULL);
    memset(b.memory, 0xee, stride * (2 + OUTPUTS));
    b.seed = seed;
    for (size_t i = 0; i < 2; i++) {
        unsigned char *data = b.memory + i * stride + shift;
        for (int j = 0; j < SIZE; j++) {
            float value = seed + (float)(i * 1000) + (float)j;
            memcpy(data + 4 * j, &value, 4);
        }
        b.in[i] = (luthier_input){data, BYTES};
    }
    for (size_t i = 0; i < OUTPUTS; i++)
        b.out[i] = (luthier_output){b.memory + (2 + i) * stride + shift, model->outputs[i].bytes};
    return b;
}

static inline void check_output(const struct buffers *b, int output, const unsigned char *data)
{
    int count = output == 5 ? COLUMNS : SIZE;
    for (int j = 0; j < count; j++) {
        float x = b->seed + (float)j, y = b->seed + 1000 + (float)j;
        float w = 2 * (float)(j % COLUMNS + 1), seen;
        float all[OUTPUTS] = {x * w, x * w * w, x * w * w, -(x * w * w), y, w};
        memcpy(&seen, data + 4 * j, 4);
        CHECK(seen == all[output]);
    }
}

static inline void check_outputs(const struct buffers *b)
{
    for (int i = 0; i < OUTPUTS; i++) {
        const unsigned char *data = b->out[i].data;
        check_output(b, i, data);
        CHECK(data[model->outputs[i].bytes] == 0xee); /* nothing after it was touched */
        CHECK(((uintptr_t)data & 63) == 0 || data[-1] == 0xee);
    }
}

static inline luthier_status run(luthier_instance *instance, struct buffers *b, luthier_error *e)
{
    return luthier_run(instance, b->in, 2, b->out, OUTPUTS, e);
}

static inline luthier_instance *make(const luthier_options *options)
{
    luthier_instance *instance;
    expect(luthier_create(model, options, &instance, &error), LUTHIER_OK, "");
    CHECK(error.message[0] == 0x55);
    return instance;
}

static inline void run_checked(luthier_instance *instance, size_t shift, float seed)
{
    struct buffers b = make_buffers(shift, seed);
    luthier_error own;
    CHECK(run(instance, &b, &own) == LUTHIER_OK && own.message[0] == '\0');
    check_outputs(&b);
    free(b.memory);
}

#endif
