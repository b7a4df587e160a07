/* Statuses and messages. */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const texts[LUTHIER_STATUS_COUNT] = {
    [LUTHIER_OK] = "success",
    [LUTHIER_NULL_POINTER] = "null pointer",
    [LUTHIER_WRONG_ABI] = "header and library come from different versions",
    [LUTHIER_WRONG_COUNT] = "wrong number of tensors or sizes",
    [LUTHIER_WRONG_TYPE] = "wrong element type",
    [LUTHIER_WRONG_SIZE] = "wrong input size",
    [LUTHIER_TOO_SMALL] = "output buffer too small",
    [LUTHIER_OVERLAP] = "output buffers overlap",
    [LUTHIER_BAD_THREADS] = "impossible number of threads",
    [LUTHIER_BAD_POOL] = "the pool breaks its contract",
    [LUTHIER_POOL_FAILED] = "cannot start the threads",
    [LUTHIER_CPU_TOO_OLD] = "this CPU lacks a feature that the model was built for",
    [LUTHIER_OUT_OF_MEMORY] = "out of memory",
    [LUTHIER_BAD_SIZE] = "impossible size",
    [LUTHIER_BAD_SHAPE] = "impossible shape",
    [LUTHIER_WRONG_LIBRARY] = "an instance of another library",
    [LUTHIER_BAD_STATE] = "a state is full, or has not the length that is needed",
};

const char *luthier_runtime_status_text(luthier_status status)
{
    return (unsigned)status < LUTHIER_STATUS_COUNT ? texts[status] : "unknown status";
}

/* Ends a text that was cut where its last character of UTF-8 ends. */
static void end_at_a_character(char *text)
{
    size_t length = strlen(text), last = length;
    while (last > 0 && ((unsigned char)text[last - 1] & 0xc0) == 0x80)
        last--;
    unsigned char lead = last > 0 ? (unsigned char)text[last - 1] : 0;
    size_t needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (needed > length - last + 1)
        text[last - 1] = '\0';
}

luthier_status luthier_fail(luthier_error *error, luthier_status status, const char *details, ...)
{
    if (error == NULL)
        return status;
    error->status = status;
    char *message = error->message;
    size_t size = sizeof error->message;
    int used = snprintf(message, size, "%s: ", luthier_runtime_status_text(status));
    va_list arguments;
    va_start(arguments, details);
    vsnprintf(message + used, size - (size_t)used, details, arguments);
    va_end(arguments);
    end_at_a_character(message);
    return status;
}

luthier_status luthier_succeed(luthier_error *error)
{
    if (error != NULL) {
        error->status = LUTHIER_OK;
        error->message[0] = '\0';
    }
    return LUTHIER_OK;
}
