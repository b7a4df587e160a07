/* The C API of every model that Luthier builds (C11, and C++ from 11 on).
 *
 *     luthier_instance *instance;
 *     luthier_error error;
 *     if (luthier_create(luthier_<name>(), NULL, &instance, &error) != LUTHIER_OK)
 *         return fail(error.message);
 *     luthier_input in = {image, sizeof image};
 *     luthier_output out = {scores, sizeof scores};
 *     if (luthier_run(instance, &in, 1, &out, 1, &error) != LUTHIER_OK)
 *         return fail(error.message);
 *     luthier_destroy(instance);
 *
 * Every failure is a status, and a sentence where `error` is given (it may always be null). Nothing
 * prints, exits or throws. Several models and instances may live in one process. One instance may
 * be run from several threads, which take turns; for runs at the same time use an instance each.
 * After `luthier_create` a run allocates nothing. Runs compute in IEEE 754's default mode and leave
 * the caller's floating-point mode as it was. A forked child may use and destroy what it inherits:
 * there, runs do all the work on the calling thread. A stack of 16 KiB is enough for all of this.
 *
 * A model may leave sizes open: `model->sizes` says which, and in what ranges. An instance has sizes
 * of the moment, at first the largest. `luthier_set_sizes` or `luthier_set_shapes` change them, and
 * allocate nothing; runs then take and give tensors of the new shapes. */
#ifndef LUTHIER_H
#define LUTHIER_H

#include "luthier_pool.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LUTHIER_ABI 2u

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
    LUTHIER_BAD_SIZE,      /* a size is outside its range, or nothing is built for the sizes */
    LUTHIER_BAD_SHAPE,     /* an input cannot have a shape, or not beside the other inputs' */
    LUTHIER_WRONG_LIBRARY, /* an instance is of a model of another library */
    LUTHIER_BAD_STATE,     /* a state is full, or has not the length that is needed */
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
    LUTHIER_FLOAT64,
    /* Types that C has not: of 16 bits, then of a byte, in whose lower bits those of 4 and 2 bits
     * lie. What a run gives of LUTHIER_INT4 and LUTHIER_INT2 are numbers of int8_t. */
    LUTHIER_BFLOAT16,
    LUTHIER_FLOAT8_E4M3FN,
    LUTHIER_FLOAT8_E4M3FNUZ,
    LUTHIER_FLOAT8_E5M2,
    LUTHIER_FLOAT8_E5M2FNUZ,
    LUTHIER_FLOAT8_E8M0FNU,
    LUTHIER_FLOAT4_E2M1FN,
    LUTHIER_INT4,
    LUTHIER_UINT4,
    LUTHIER_INT2,
    LUTHIER_UINT2,
    /* Texts: as many bytes for each as the last number of the shape, UTF-8. A text that is shorter
     * ends at a zero; of what comes after it, nothing counts in an input, and all is zero in an
     * output. A char name[7][64] is a shape of 7, 64. */
    LUTHIER_TEXT
} luthier_dtype;

/* An input or output of a model: dense, row-major. `dims` has each number of the shape as a text
 * over the model's sizes, such as "12", "tokens" or "past+1"; "?" where it has none. */
typedef struct luthier_tensor {
    const char *name;     /* UTF-8, as in the model */
    const int64_t *shape; /* the largest; `luthier_output_shape` gives that of the moment */
    int32_t rank;
    luthier_dtype dtype;
    size_t bytes; /* the most */
    const char *const *dims;
} luthier_tensor;

/* A size that a model leaves open: `least` to `most`, or one of `exact` where these are given. */
typedef struct luthier_size {
    const char *name;
    int64_t least;
    int64_t most;
    const int64_t *exact; /* in rising order, or null */
    size_t exact_count;
} luthier_size;

/* What an instance keeps from run to run: what the model takes as the input `name` is what it gave as
 * the output `becomes` in the run before. At first it is zero. One that grows holds as much along
 * `axis` as runs have appended, at first nothing. */
typedef struct luthier_state {
    const char *name;
    const char *becomes;
    const int64_t *shape; /* of the most that it may hold */
    int32_t rank;
    int32_t axis; /* along which it grows; -1 where it does not */
    luthier_dtype dtype;
    size_t bytes; /* the most */
} luthier_state;

/* The shape of an input: luthier_shape shape = {(int64_t[]){7, 768}, 2} */
typedef struct luthier_shape {
    const int64_t *sizes;
    int32_t rank;
} luthier_shape;

/* `bytes` is the size of the buffer. Any alignment will do; 16 bytes save a copy, and 64
 * are best. An input may overlap an output. `data` may be null only where the tensor has no
 * elements. */
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
    const luthier_size *sizes;     /* that are open */
    size_t input_count;
    size_t output_count;
    size_t step_count;
    size_t feature_count;
    size_t size_count;
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

    luthier_status (*create_beside)(const luthier_model *model, luthier_instance *other,
                                    luthier_instance **instance, luthier_error *error);
    luthier_status (*set_sizes)(luthier_instance *instance, const int64_t *sizes, size_t count,
                                luthier_error *error);
    luthier_status (*set_shapes)(luthier_instance *instance, const luthier_shape *shapes,
                                 size_t count, luthier_error *error);
    luthier_status (*get_sizes)(luthier_instance *instance, int64_t *sizes, size_t count,
                                luthier_error *error);
    luthier_status (*input_shape)(luthier_instance *instance, size_t input, int64_t *shape,
                                  int32_t rank, size_t *bytes, luthier_error *error);
    luthier_status (*output_shape)(luthier_instance *instance, size_t output, int64_t *shape,
                                   int32_t rank, size_t *bytes, luthier_error *error);

    const char *entry;                   /* which of the library's entry points this is */
    const luthier_model *const *entries; /* all of them */
    size_t entry_count;

    const char *luthier;         /* the version that built it */
    const char *model_sha256;    /* of the model's file; null where it was built from none */
    const char *level;           /* what it was built for: "x86-64-v3" */
    const char *accuracy;        /* "strict", "balanced" or "standard" */
    const char *const *versions; /* of what built it, such as "tvm 0.27.0" */
    size_t version_count;

    const luthier_state *states;
    size_t state_count;
    luthier_status (*reset)(luthier_instance *instance, luthier_error *error);
    luthier_status (*state_length)(luthier_instance *instance, size_t state, int64_t *length,
                                   luthier_error *error);
    luthier_status (*read_state)(luthier_instance *instance, size_t state, void *data,
                                 size_t bytes, luthier_error *error);
    luthier_status (*write_state)(luthier_instance *instance, size_t state, const void *data,
                                  size_t bytes, int64_t length, luthier_error *error);
    luthier_status (*copy_states)(luthier_instance *instance, luthier_instance *other,
                                  luthier_error *error);

    const void *program; /* the library's own */

    const char *const *const *output_labels; /* of each output, see `luthier_output_label` */
    const size_t *output_label_counts;
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

/* Makes an instance of any entry point of the library beside another: it runs on the same pool and
 * in the same memory, so that runs of the two take turns, and has sizes of its own. States of one
 * name are the same for both. Either may be destroyed first. */
static inline luthier_status luthier_create_beside(const luthier_model *model,
                                                   luthier_instance *other,
                                                   luthier_instance **instance,
                                                   luthier_error *error)
{
    luthier_status status = luthier_check_model(model, error);
    return status == LUTHIER_OK ? model->create_beside(model, other, instance, error) : status;
}

/* Frees an instance, and, if they are its own, its pool and memory after the last instance that was
 * made beside it; no run of it may be under way. Null is ignored. */
static inline void luthier_destroy(luthier_instance *instance)
{
    if (instance != NULL)
        instance->model->destroy(instance);
}

/* Runs the model once. Inputs and outputs are in the model's order. */
static inline luthier_status luthier_run(luthier_instance *instance, const luthier_input *inputs,
                                         size_t input_count, const luthier_output *outputs,
                                         size_t output_count, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->run(instance, inputs, input_count, outputs, output_count, NULL, error);
}

/* The same, and stores the time of step i in step_seconds[i], for model->step_count steps: of all
 * iterations, where it is in a loop, and 0 where it did not run. */
static inline luthier_status luthier_profile(luthier_instance *instance,
                                             const luthier_input *inputs, size_t input_count,
                                             const luthier_output *outputs, size_t output_count,
                                             double *step_seconds, luthier_error *error)
{
    if (instance == NULL || step_seconds == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance or step_seconds",
                              error);
    return instance->model->run(instance, inputs, input_count, outputs, output_count, step_seconds,
                                error);
}

/* Sets the sizes, in the order of model->sizes, for the runs that follow. Waits for a run that is
 * under way. After a failure they are what they were. */
static inline luthier_status luthier_set_sizes(luthier_instance *instance, const int64_t *sizes,
                                               size_t count, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->set_sizes(instance, sizes, count, error);
}

/* Sets the sizes that give the inputs these shapes, one for each input in the model's order. */
static inline luthier_status luthier_set_shapes(luthier_instance *instance,
                                                const luthier_shape *shapes, size_t input_count,
                                                luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->set_shapes(instance, shapes, input_count, error);
}

/* Stores the sizes of the moment, in the order of model->sizes. */
static inline luthier_status luthier_get_sizes(luthier_instance *instance, int64_t *sizes,
                                               size_t count, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->get_sizes(instance, sizes, count, error);
}

/* Stores the shape of the moment, of `rank` numbers, and the bytes; either pointer may be null. */
static inline luthier_status luthier_input_shape(luthier_instance *instance, size_t input,
                                                 int64_t *shape, int32_t rank, size_t *bytes,
                                                 luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->input_shape(instance, input, shape, rank, bytes, error);
}

/* The same of an output. Sizes that a run finds, as where it looks for what is not zero, are those
 * of the last one that was not refused otherwise than by LUTHIER_TOO_SMALL; before there is one they
 * are -1, and the bytes the most that there may be. A buffer may be smaller than that. */
static inline luthier_status luthier_output_shape(luthier_instance *instance, size_t output,
                                                  int64_t *shape, int32_t rank, size_t *bytes,
                                                  luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->output_shape(instance, output, shape, rank, bytes, error);
}

/* The text for which a number in an output stands, in UTF-8, where its elements (LUTHIER_INT64) are
 * labels of classes; null where it stands for none. */
static inline const char *luthier_output_label(const luthier_model *model, size_t output,
                                               int64_t number)
{
    if (luthier_check_model(model, NULL) != LUTHIER_OK || output >= model->output_count)
        return NULL;
    if (number < 0 || (uint64_t)number >= model->output_label_counts[output])
        return NULL;
    return model->output_labels[output][number];
}

/* Empties all states, those too that other entry points alone have: a new sequence begins. */
static inline luthier_status luthier_reset(luthier_instance *instance, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->reset(instance, error);
}

/* Stores how much state `state` holds along the axis along which it grows; 0 where it has none. */
static inline luthier_status luthier_state_length(luthier_instance *instance, size_t state,
                                                  int64_t *length, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->state_length(instance, state, length, error);
}

/* Stores what a state holds: dense, `length` long along its axis, which must be all the bytes. */
static inline luthier_status luthier_read_state(luthier_instance *instance, size_t state,
                                                void *data, size_t bytes, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->read_state(instance, state, data, bytes, error);
}

/* Lets a state hold this, which is `length` long along its axis; 0 where it has none. */
static inline luthier_status luthier_write_state(luthier_instance *instance, size_t state,
                                                 const void *data, size_t bytes, int64_t length,
                                                 luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->write_state(instance, state, data, bytes, length, error);
}

/* Lets all states hold what those of another instance of the library do. */
static inline luthier_status luthier_copy_states(luthier_instance *instance,
                                                 luthier_instance *other, luthier_error *error)
{
    if (instance == NULL)
        return luthier_reject(LUTHIER_NULL_POINTER, "null pointer: the instance", error);
    return instance->model->copy_states(instance, other, error);
}

/* The entry point of a name, of the library that any of them is of; null where there is none. */
static inline const luthier_model *luthier_find_entry(const luthier_model *model, const char *name)
{
    if (luthier_check_model(model, NULL) != LUTHIER_OK || name == NULL)
        return NULL;
    for (size_t i = 0; i < model->entry_count; i++) {
        const char *entry = model->entries[i]->entry;
        size_t j = 0;
        while (entry[j] != '\0' && entry[j] == name[j])
            j++;
        if (entry[j] == name[j])
            return model->entries[i];
    }
    return NULL;
}

/* What a status means, for people; never null. */
static inline const char *luthier_status_text(const luthier_model *model, luthier_status status)
{
    return model == NULL ? "no model" : model->status_text(status);
}

/* Makes a pool that instances of any model may share. */
static inline luthier_status luthier_pool_create(const luthier_model *model, int32_t threads,
                                                 luthier_pool **pool, luthier_error *error)
{
    luthier_status status = luthier_check_model(model, error);
    return status == LUTHIER_OK ? model->pool_create(threads, pool, error) : status;
}

/* Ends a pool that `luthier_pool_create` made with this model, after its last instance. */
static inline void luthier_pool_destroy(const luthier_model *model, luthier_pool *pool)
{
    if (model != NULL)
        model->pool_destroy(pool);
}

#ifdef __cplusplus
}
#endif

#endif
