/* The compiled model as constant tables, which `deploy/tables.py` writes and run.c interprets. */
#ifndef LUTHIER_PROGRAM_H
#define LUTHIER_PROGRAM_H

#include "luthier.h"

#define LUTHIER_ALIGNMENT 64u

/* What kernels need of a caller's buffers, which is malloc's. A vector in two cache lines costs less
 * than a copy of the whole. */
#define LUTHIER_LEAST_ALIGNMENT 16u

/* Does the chunks begin <= i < end; see schedules/ir/kernel.py. */
typedef void (*luthier_phase_function)(void *const *buffers, void *scratch, int32_t begin,
                                       int32_t end);

typedef enum luthier_space {
    LUTHIER_IN_ARENA,
    LUTHIER_IN_WEIGHTS,
    LUTHIER_IN_INPUT, /* the caller's buffer, or its place in the arena where that is unaligned */
    LUTHIER_IN_OUTPUT,
    LUTHIER_IN_STATE,  /* of the instance, and of those made beside it */
    LUTHIER_IN_SIZES /* the sizes of the moment, in the order of the library's */
} luthier_space;

/* So many bytes; where `varies`, as many as the variant's number of this index says. */
typedef struct luthier_bytes {
    uint64_t count;
    int32_t varies;
} luthier_bytes;

/* Where a buffer lies: an offset in bytes, or the index of an input or output; and how many bytes
 * after that the part begins that the buffer is. */
typedef struct luthier_reference {
    uint64_t at;
    luthier_bytes offset;
    luthier_space space;
} luthier_reference;

/* A kernel as it is for some of the sizes: its phases run one after the other. */
typedef struct luthier_alternative {
    const luthier_phase_function *phases;
    size_t phase_count;
} luthier_alternative;

/* One kernel call. From `numbers[first_number]` on: which alternative runs, the first of the
 * references that are its buffers, and the chunks of each of its phases. */
typedef struct luthier_step {
    const luthier_alternative *alternatives;
    size_t first_number;
} luthier_step;

/* A place that moves with the iterations of a loop: in iteration i, counted from 0, `buffer` is
 * ((i + ahead) & mask) * stride bytes after where its reference says. */
typedef struct luthier_slide {
    luthier_bytes stride;
    uint64_t mask;
    uint32_t ahead;
    uint32_t buffer;
} luthier_slide;

typedef struct luthier_loop {
    uint32_t first_slide;
    uint32_t slide_count;
} luthier_loop;

#define LUTHIER_NONE UINT32_MAX /* no buffer */

typedef enum luthier_operation {
    LUTHIER_RUN,     /* the step `index` */
    LUTHIER_COPY,    /* `bytes` to the buffer `first` from the buffer `second` */
    LUTHIER_JUMP,    /* go on at `target` */
    LUTHIER_UNLESS,  /* go on at `target` unless `first` holds a true bool */
    LUTHIER_ENTER,   /* loop `index`: as often as the int64 in `first` says, if the bool in `second`
                        is true; where either is none, without end, and anyhow */
    LUTHIER_ITERATE, /* loop `index`: write the iteration's number to `first` and go on after this,
                        or at `target` where the last one is over */
    LUTHIER_FIND,    /* the size `index` of those that are found is the int64 in `first`; `target`
                        are left to find: after the last of them, outputs must have room */
    LUTHIER_GROW,    /* the same for an iteration of a loop */
    LUTHIER_EXPECT,  /* end the run unless the int64s in `first` are those in `second`, `bytes` of
                        each; `text` says what they are */
    LUTHIER_NEXT     /* loop `index`: the next iteration, at `target`, or none where `first` holds a
                        false bool */
} luthier_operation;

typedef struct luthier_instruction {
    luthier_bytes bytes;
    uint32_t index;
    uint32_t target;
    uint32_t first;
    uint32_t second;
    luthier_operation operation;
    const char *text;
} luthier_instruction;

/* An output that no step writes in place: a copy of `from`, made after the last step. */
typedef struct luthier_copy {
    luthier_reference from;
    size_t output;
} luthier_copy;

/* Where a state lies, and its elements: as many `rows` as the axes before that along which it grows
 * have elements, with room for so many bytes each, of which an element along that axis takes `unit`
 * bytes. One that does not grow is one row of one element. */
typedef struct luthier_place {
    uint64_t at;
    uint64_t rows;
    uint64_t room;
    uint64_t unit;
    size_t state; /* of the library's */
    size_t size;  /* of the model's, that says how much it holds; SIZE_MAX where it does not grow */
} luthier_place;

/* Sizes for which there is no program where a run finds all of them: their numbers in
 * program.found, in the order in which it finds them, and what they are. */
typedef struct luthier_refusal {
    const size_t *found;
    const int64_t *sizes;
    size_t count;
} luthier_refusal;

/* The program for a box of sizes. Its numbers are: the bytes of each input and output, their
 * shapes one after the other, how much is appended to each state, those of steps, then those of
 * bytes that vary. */
typedef struct luthier_variant {
    const luthier_size *box; /* program.size_count */
    const int64_t *numbers;  /* null where they depend on the sizes; then `settle` writes them, */
    void (*settle)(const int64_t *sizes, int64_t *numbers); /* for the library's sizes */
    const luthier_step *steps;
    const luthier_reference *references;
    const size_t *moving; /* the references into the caller's buffers */
    const luthier_instruction *instructions;
    const luthier_slide *slides;
    const luthier_loop *loops;
    const luthier_copy *copies;
    const uint64_t *input_places; /* arena offsets, for buffers that are unaligned or overlap */
    const uint64_t *output_places;
    const luthier_refusal *refusals;
    size_t refusal_count;
    size_t first_step; /* in model.step_names */
    size_t step_count;
    size_t instruction_count;
    size_t reference_count;
    size_t moving_count;
    size_t loop_count;
    size_t copy_count;
} luthier_variant;

/* A number of an input's shape that is `terms[0]` and, for each of the model's sizes, so many times
 * that size as the terms after it say. */
typedef struct luthier_form {
    size_t input;
    int32_t axis;
    const int64_t *terms;
} luthier_form;

/* A size that a run finds, between 0 and `most`, and its place among the library's. */
typedef struct luthier_found {
    const char *name;
    size_t place;
    int64_t most;
} luthier_found;

typedef struct luthier_program {
    const luthier_variant *variants; /* at least one, the first that fits runs */
    const luthier_form *forms;       /* of all inputs, where sizes are in them */
    const luthier_place *states;     /* of model.states */
    const size_t *size_places;       /* of model.sizes among the library's, which settle takes */
    const char *const *size_ranges;  /* of model.sizes, for people: "in 1..512" */
    const luthier_found *found;
    const unsigned char *found_numbers; /* of the outputs' bytes, then of their shapes: whether it
                                           follows from a size that is found */
    const char *const *input_labels; /* the tensors' names as messages may have them */
    const char *const *output_labels;
    const char *const *state_labels;
    const unsigned char *weights;
    size_t variant_count;
    size_t form_count;
    size_t found_count;
    size_t size_count;  /* of model.sizes: those that a caller sets, then lengths of states */
    size_t first_more;  /* the number that says how much is appended to the first state */
    size_t state_bytes; /* of all states of the library */
    size_t library_state_count;
    size_t library_size_count;
    size_t most_references; /* of any variant */
    size_t most_loops;      /* of any variant */
    size_t most_numbers;    /* of any variant */
} luthier_program;

/* What expressions over sizes are written with. */
static inline int64_t luthier_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t luthier_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

luthier_status luthier_runtime_create(const luthier_model *model, const luthier_options *options,
                                      luthier_instance **instance, luthier_error *error);
luthier_status luthier_runtime_create_beside(const luthier_model *model, luthier_instance *other,
                                             luthier_instance **instance, luthier_error *error);
void luthier_runtime_destroy(luthier_instance *instance);
luthier_status luthier_runtime_run(luthier_instance *instance, const luthier_input *inputs,
                                   size_t input_count, const luthier_output *outputs,
                                   size_t output_count, double *step_seconds,
                                   luthier_error *error);
luthier_status luthier_runtime_set_sizes(luthier_instance *instance, const int64_t *sizes,
                                         size_t count, luthier_error *error);
luthier_status luthier_runtime_set_shapes(luthier_instance *instance, const luthier_shape *shapes,
                                          size_t count, luthier_error *error);
luthier_status luthier_runtime_get_sizes(luthier_instance *instance, int64_t *sizes, size_t count,
                                         luthier_error *error);
luthier_status luthier_runtime_input_shape(luthier_instance *instance, size_t input,
                                           int64_t *shape, int32_t rank, size_t *bytes,
                                           luthier_error *error);
luthier_status luthier_runtime_output_shape(luthier_instance *instance, size_t output,
                                            int64_t *shape, int32_t rank, size_t *bytes,
                                            luthier_error *error);
luthier_status luthier_runtime_reset(luthier_instance *instance, luthier_error *error);
luthier_status luthier_runtime_state_length(luthier_instance *instance, size_t state,
                                            int64_t *length, luthier_error *error);
luthier_status luthier_runtime_read_state(luthier_instance *instance, size_t state, void *data,
                                          size_t bytes, luthier_error *error);
luthier_status luthier_runtime_write_state(luthier_instance *instance, size_t state,
                                           const void *data, size_t bytes, int64_t length,
                                           luthier_error *error);
luthier_status luthier_runtime_copy_states(luthier_instance *instance, luthier_instance *other,
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
