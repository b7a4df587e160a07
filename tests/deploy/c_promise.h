/* What programs that keep promises share. */
#ifndef LUTHIER_TESTS_C_PROMISE_H
#define LUTHIER_TESTS_C_PROMISE_H

#include "c_check.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const luthier_model *model;
static _Thread_local luthier_error error;

static inline void expect(luthier_status got, luthier_status wanted, const char *words)
{
    if (got != wanted || error.status != wanted || strstr(error.message, words) == NULL ||
        (wanted != LUTHIER_OK && strlen(error.message) < 5)) {
        fprintf(stderr, "status %d (%s), not %d with '%s'\n", got, error.message, wanted, words);
        exit(1);
    }
    memset(&error, 0x55, sizeof error);
}

struct promise {
    const char *name;
    void (*keep)(void);
};

/* Keeps the promises that the arguments name. */
static inline int keep(const struct promise *promises, size_t count, int argc, char **argv)
{
    alarm(100);
    memset(&error, 0x55, sizeof error);
    int done = 0;
    for (int i = 1; i < argc; i++)
        for (size_t j = 0; j < count; j++)
            if (strcmp(argv[i], promises[j].name) == 0) {
                promises[j].keep();
                done++;
            }
    CHECK(done == argc - 1 && done > 0);
    return 0;
}

#endif
