/* The library of open_models.py for programs in C. */
#ifndef LUTHIER_TESTS_C_OPEN_H
#define LUTHIER_TESTS_C_OPEN_H

#include "c_promise.h"

enum { COLUMNS = 11, STRIDE = 4096 };

static inline luthier_instance *make(const luthier_model *of)
{
    luthier_instance *instance;
    expect(luthier_create(of, NULL, &instance, &error), LUTHIER_OK, "");
    return instance;
}

/* Buffers of a run of `prefill`, `shift` bytes after multiples of 64. */
struct prefill {
    unsigned char *memory;
    luthier_input in[2];
    luthier_output out[2];
    int rows;
    int mask;
};

static inline struct prefill make_prefill(int64_t batch, int64_t tokens, size_t shift)
{
    struct prefill p = {.rows = (int)(batch * tokens), .mask = (int)tokens + 1};
    p.memory = aligned_alloc(4096, 4 * STRIDE);
    CHECK(p.memory != NULL);
    memset(p.memory, 0xee, 4 * STRIDE);
    unsigned char *x = p.memory + shift, *mask = x + STRIDE;
    size_t bytes = (size_t)p.rows * COLUMNS * 4, mask_bytes = (size_t)p.mask * 4;
    for (int i = 0; i < p.rows * COLUMNS; i++)
        memcpy(x + 4 * i, &(float){(float)i + 1}, 4);
    for (int i = 0; i < p.mask; i++)
        memcpy(mask + 4 * i, &(float){(float)i - 7}, 4);
    p.in[0] = (luthier_input){x, bytes};
    p.in[1] = (luthier_input){mask, mask_bytes};
    p.out[0] = (luthier_output){mask + STRIDE, bytes};
    p.out[1] = (luthier_output){mask + 2 * STRIDE, mask_bytes};
    return p;
}

static inline void check_prefill(const struct prefill *p)
{
    const unsigned char *y = p->out[0].data, *mask = p->out[1].data;
    float seen;
    for (int i = 0; i < p->rows * COLUMNS; i++) {
        memcpy(&seen, y + 4 * i, 4);
        CHECK(seen == -((float)i + 1) * (float)(i % COLUMNS + 1));
    }
    for (int i = 0; i < p->mask; i++) {
        memcpy(&seen, mask + 4 * i, 4);
        CHECK(seen == (float)i - 7);
    }
    CHECK(y[p->out[0].bytes] == 0xee && mask[p->out[1].bytes] == 0xee); /* nothing after them */
}

static inline void set_prefill(luthier_instance *instance, int64_t batch, int64_t tokens)
{
    int64_t sizes[2] = {batch, tokens};
    expect(luthier_set_sizes(instance, sizes, 2, &error), LUTHIER_OK, "");
}

static inline void run_prefill(luthier_instance *instance, int64_t batch, int64_t tokens,
                               size_t shift)
{
    struct prefill p = make_prefill(batch, tokens, shift);
    expect(luthier_run(instance, p.in, 2, p.out, 2, &error), LUTHIER_OK, "");
    check_prefill(&p);
    free(p.memory);
}

static inline void run_decode(luthier_instance *instance, int64_t past)
{
    expect(luthier_set_sizes(instance, &past, 1, &error), LUTHIER_OK, "");
    float cache[17 * COLUMNS], x[COLUMNS], whole[17 * COLUMNS + 1];
    int old = (int)past * COLUMNS;
    for (int i = 0; i < old; i++)
        cache[i] = (float)i;
    for (int i = 0; i < COLUMNS; i++)
        x[i] = 1000 + (float)i;
    whole[old + COLUMNS] = 42;
    luthier_input in[] = {{cache, (size_t)old * 4}, {x, sizeof x}};
    luthier_output out = {whole, (size_t)(old + COLUMNS) * 4};
    expect(luthier_run(instance, in, 2, &out, 1, &error), LUTHIER_OK, "");
    for (int i = 0; i < old; i++)
        CHECK(whole[i] == -(float)i);
    for (int i = 0; i < COLUMNS; i++)
        CHECK(whole[old + i] == -(1000 + (float)i));
    CHECK(whole[old + COLUMNS] == 42); /* nothing after it */
}

#endif
