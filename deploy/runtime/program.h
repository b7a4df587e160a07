/* The compiled model as constant tables, which `deploy/tables.py` writes and run.c interprets. */
#ifndef LUTHIER_PROGRAM_H
#define LUTHIER_PROGRAM_H

#include "luthier.h"

#define LUTHIER_ALIGNMENT 64u

/* Does the chunks begin <= i < end; see schedules/ir/kernel.py. */
typedef void (*luthier_phase_function)(void *const *buffers, void *scratch, int32_t begin,
                                       int32_t end);

typedef struct luthier_phase {
    luthier_phase_function function;
    int32_t chunks;
} luthier_phase;

typedef enum luthier_space {
    LUTHIER_IN_ARENA,
    LUTHIER_IN_WEIGHTS,
    LUTHIER_IN_INPUT, /* the caller's buffer, or its place in the arena where that is unaligned */
    LUTHIER_IN_OUTPUT
} luthier_space;

/* Where a buffer lies: an offset in bytes, or the index of an input or output, of which the buffer
 * may be a part that begins `offset` bytes after its start. */
typedef struct luthier_reference {
    uint64_t at;
    uint64_t offset;
    luthier_space space;
} luthier_reference;

/* One kernel call: its phases run one after the other on `references[first_buffer ...]`. */
typedef struct luthier_step {
    const luthier_phase *phases;
    uint32_t phase_count;
    uint32_t first_buffer;
} luthier_step;

/* An output that no step writes in place: a copy of `from`, made after the last step. */
typedef struct luthier_copy {
    luthier_reference from;
    size_t output;
} luthier_copy;

typedef struct luthier_program {
    const luthier_step *steps; /* model.step_count */
    const luthier_reference *references;
    const luthier_copy *copies;
    const uint64_t *input_places; /* arena offsets, for buffers that are unaligned or overlap */
    const uint64_t *output_places;
    const char *const *input_labels; /* the tensors' names as messages may have them */
    const char *const *output_labels;
    const unsigned char *weights;
    size_t reference_count;
    size_t copy_count;
} luthier_program;

luthier_status luthier_runtime_create(const luthier_model *model, const luthier_options *options,
                                      luthier_instance **instance, luthier_error *error);
void luthier_runtime_destroy(luthier_instance *instance);
luthier_status luthier_runtime_run(luthier_instance *instance, const luthier_input *inputs,
                                   size_t input_count, const luthier_output *outputs,
                                   size_t output_count, double *step_seconds,
                                   luthier_error *error);
const char *luthier_runtime_status_text(luthier_status status);
luthier_status luthier_runtime_pool_create(int32_t threads, luthier_pool **pool,
                                           luthier_error *error);
void luthier_runtime_pool_destroy(luthier_pool *pool);

/* Sets status and message, with the status's text before the details; returns the status. */
__attribute__((format(printf, 3, 4))) luthier_status
luthier_fail(luthier_error *error, luthier_status status, const char *details, ...);

luthier_status luthier_succeed(luthier_error *error);

/* The first of the features that this CPU lacks or that is unknown; null where it has all. */
const char *luthier_missing_feature(const char *const *features, size_t count);

/* `cores`, or fewer where the CPU quota of this process's control groups grants fewer. `root` is
 * where the system's files lie: "". */
int32_t luthier_granted_cores(const char *root, int32_t cores);

#endif
