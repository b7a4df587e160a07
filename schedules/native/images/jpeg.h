/* What the parts that read JPEG (ITU-T T.81) share. */
#ifndef LUTHIER_JPEG_H
#define LUTHIER_JPEG_H

#include "image.h"

#define COMPONENTS 3
#define FAST 9 /* bits of a code that a table finds at once */

/* A Huffman code. Codes of n bits are below `beyond[n]` and number symbols from `offset[n]` on;
 * `fast` has for the next bits symbol | length << 8, 0 where the code is longer. */
struct codes {
    bool there;
    uint32_t beyond[17];
    int32_t offset[17];
    uint8_t symbols[256];
    uint16_t fast[1 << FAST];
};

/* One of the planes of an image. It has `across` and `down` blocks where an MCU has them, room for
 * `wide` of them in a row, and `width` and `height` samples that count. A block is 64 coefficients,
 * later as many samples in their first bytes. */
struct component {
    uint32_t id, across, down, table, wide, high, width, height;
    int16_t *blocks;
    bool scanned;
    uint16_t steps[64]; /* of the quantisation */
    const struct codes *dc, *ac;
    int32_t before; /* the last block's first coefficient */
};

struct frame {
    struct luthier_image *image;
    size_t at;
    bool progressive, is_jfif, is_adobe, is_coloured; /* is_coloured: RGB, as Adobe's marker says */
    uint32_t count, across, down; /* components; blocks of an MCU */
    struct component components[COMPONENTS];
    uint16_t steps[4][64];
    struct codes codes[2][4]; /* of first coefficients, and of the others */
    uint32_t restart; /* MCUs between markers, 0 for none */
    uint8_t *rows; /* room for a row of each component, and two lines of one's samples */
};

/* Coefficients from `first` to `last` of some components, or bits of them: from bit `low` on, and
 * further ones where `refines`. */
struct scan {
    uint32_t count, first, last, low;
    bool refines;
    struct component *of[COMPONENTS];
};

extern const uint8_t luthier_zigzag[64];

/* Reads a scan's data, which begin where the frame is; it is after them then. Whether they are
 * whole. */
bool luthier_read_scan(struct frame *frame, const struct scan *scan);
/* Makes samples of coefficients, and pixels of these. */
void luthier_put_frame(struct frame *frame);

#endif
