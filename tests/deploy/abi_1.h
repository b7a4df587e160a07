/* The part of model.h of ABI 1 that a program is compiled with which makes an instance. */
#ifndef LUTHIER_H
#define LUTHIER_H

typedef struct luthier_pool luthier_pool;

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LUTHIER_ABI 1u

typedef enum luthier_status {
    LUTHIER_OK = 0,
    LUTHIER_NULL_POINTER,  /* a pointer that is needed is null */
    LUTHIER_WRONG_ABI,     /* header and library, or options, come from different versions */
    LUTHIER_WRONG_COUNT,   /* not as many inputs or outputs as the model has */
    LUTHIER_WRONG_TYPE,    /* a buffer's element type is not its tensor's (C++ only) */
    LUTHIER_WRONG_SIZE,    /* an input has not the bytes of its shape and type */
    LUTHIER_TOO_SMALL,     /* an output buffer is smaller than its tensor */
    LUTHIER_OVERLAP,       /* two output buffers overlap */
    LUTHIER_BAD_THREADS,   /* the number of threads is not 1 .. LUTHIER_MAX_THREADS */
    LUTHIER_BAD_POOL,      /* a pool breaks the contract of luthier_pool.h */
    LUTHIER_POOL_FAILED,   /* the system would not start the pool's threads */
    LUTHIER_CPU_TOO_OLD,   /* the CPU lacks a feature that the model was built for */
    LUTHIER_OUT_OF_MEMORY,
    LUTHIER_STATUS_COUNT
} luthier_status;

typedef struct luthier_error {
    luthier_status status;
    char message[248]; /* one line, empty after success */
} luthier_error;

typedef enum luthier_dtype {
    LUTHIER_BOOL = 1, /* one byte, 0 or 1 */
    LUTHIER_INT8,
    LUTHIER_INT16,
    LUTHIER_INT32,
    LUTHIER_INT64,
    LUTHIER_UINT8,
    LUTHIER_UINT16,
    LUTHIER_UINT32,
    LUTHIER_UINT64,
    LUTHIER_FLOAT16,
    LUTHIER_FLOAT32,
    LUTHIER_FLOAT64
} luthier_dtype;

/* An input or output of a model: dense, row-major. */
typedef struct luthier_tensor {
    const char *name; /* UTF-8, as in the model */
    const int64_t *shape;
    int32_t rank;
    luthier_dtype dtype;
    size_t bytes;
} luthier_tensor;

/* `bytes` is the size of the buffer. Any alignment will do; 64 bytes save a copy. An input may
 * overlap an output. `data` may be null only where the tensor has no elements. */
typedef struct luthier_input {
    const void *data;
    size_t bytes;
} luthier_input;

typedef struct luthier_output {
    void *data;
    size_t bytes;
} luthier_output;

/* How an instance runs: luthier_options options = {LUTHIER_ABI, 2, NULL} */
typedef struct luthier_options {
    uint32_t abi;       /* LUTHIER_ABI */
    int32_t threads;    /* of the instance's own pool; 0: as many as the model was built for, at
                           most one for each core this process may use (affinity, CPU quota) */
    luthier_pool *pool; /* run on this pool instead; it must outlive the instance */
} luthier_options;

typedef struct luthier_model luthier_model;

/* Its fields, this one apart, are the library's own. */
typedef struct luthier_instance {
    const luthier_model *model;
} luthier_instance;

/* A model: what it takes and gives, and its functions, which the inline functions below call. */
struct luthier_model {
    uint32_t abi; /* LUTHIER_ABI */
    int32_t threads;
    const char *name;
    const luthier_tensor *inputs;
    const luthier_tensor *outputs;
    const char *const *step_names; /* what `luthier_profile` times */
    const char *const *features;   /* CPU features needed, in Linux's names */
    size_t input_count;
    size_t output_count;
    size_t step_count;
    size_t feature_count;
    size_t weight_bytes;
    size_t arena_bytes;   /* of each instance */
    size_t scratch_bytes; /* of each instance, for each thread */

    luthier_status (*create)(const luthier_model *model, const luthier_options *options,
                             luthier_instance **instance, luthier_error *error);
    void (*destroy)(luthier_instance *instance);
    luthier_status (*run)(luthier_instance *instance, const luthier_input *inputs,
                          size_t input_count, const luthier_output *outputs, size_t output_count,
                          double *step_seconds, luthier_error *error);
    const char *(*status_text)(luthier_status status);
    luthier_status (*pool_create)(int32_t threads, luthier_pool **pool, luthier_error *error);
    void (*pool_destroy)(luthier_pool *pool);

    const void *program; /* the library's own */
};

/* What the library exports for dlopen, under the name "luthier_model". */
typedef const luthier_model *(*luthier_model_function)(void);

/* Fails before any library is involved. */
static inline luthier_status luthier_reject(luthier_status status, const char *message,
                                            luthier_error *error)
{
    if (error != NULL) {
        size_t i = 0;
        for (; message[i] != '\0'; i++)
            error->message[i] = message[i];
        error->message[i] = '\0';
        error->status = status;
    }
    return status;
}

static inline luthier_status luthier_check_model(const luthier_model *model, luthier_error *error)
{
    if (model == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the model", error);
    if (model->abi != LUTHIER_ABI)
        return luthier_reject(LUTHIER_WRONG_ABI,
                              "header and library come from different versions", error);
    return LUTHIER_OK;
}

/* Makes an instance: its arena, and its pool unless options bring one. `options` may be null. */
static inline luthier_status luthier_create(const luthier_model *model,
                                            const luthier_options *options,
                                            luthier_instance **instance, luthier_error *error)
{
    luthier_status status = luthier_check_model(model, error);
    return status == LUTHIER_OK ? model->create(model, options, instance, error) : status;
}

#ifdef __cplusplus
}
#endif

#endif
