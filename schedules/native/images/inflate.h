/* Inflates a zlib stream (RFC 1950 and 1951) that comes in pieces. */
#ifndef LUTHIER_INFLATE_H
#define LUTHIER_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUTHIER_WINDOW 32768
#define LUTHIER_INFLATE (LUTHIER_WINDOW + 8192)

/* `more` gives the next piece of the stream; false where there is none. `take` is given bytes that
 * were inflated, in order; false where no more are wanted. `work` has LUTHIER_INFLATE bytes, aligned
 * for any type, of which the first LUTHIER_WINDOW are the last ones that were inflated. */
struct luthier_stream {
    void *context;
    bool (*more)(void *context, const uint8_t **piece, size_t *size);
    bool (*take)(void *context, const uint8_t *bytes, size_t count);
    uint8_t *work;
};

/* Whether the stream ended well, or no more was wanted. */
bool luthier_inflate(const struct luthier_stream *stream);

#endif
