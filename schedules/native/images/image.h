/* Files of images as pixels: what the readers of all formats share.
 *
 * A file is hostile: nothing outside of it is read, and nothing is written but pixels that there is
 * room for, and `work`. */
#ifndef LUTHIER_IMAGE_H
#define LUTHIER_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum luthier_reading {
    LUTHIER_READ,        /* or it is larger than there is room for, and its sizes alone are known */
    LUTHIER_BROKEN,      /* it is not an image, or not all of one */
    LUTHIER_UNSUPPORTED, /* it may be one of a kind that is not read */
} luthier_reading;

/* How a pixel is written. */
typedef enum luthier_order { LUTHIER_RGB, LUTHIER_BGR, LUTHIER_GREY } luthier_order;

/* `pixels` has room for `most_height` rows, `pitch` bytes apart, of `most_width` pixels; `work` has
 * LUTHIER_WORK bytes, and 6 for each pixel of an image that is 32 rows and columns larger; it is
 * aligned for any type. */
struct luthier_image {
    const uint8_t *data;
    size_t size;
    luthier_order order;
    uint32_t most_height, most_width;
    uint8_t *pixels;
    size_t pitch;
    uint8_t *work;
    uint32_t height, width; /* of the image, once they are known */
};

#define LUTHIER_WORK 65536

luthier_reading luthier_read_bmp(struct luthier_image *image);
luthier_reading luthier_read_jpeg(struct luthier_image *image);
luthier_reading luthier_read_png(struct luthier_image *image);
luthier_reading luthier_read_pnm(struct luthier_image *image);
luthier_reading luthier_read_tiff(struct luthier_image *image);

/* Notes the sizes of an image; whether there is room for it. */
static inline bool luthier_begin(struct luthier_image *image, uint32_t height, uint32_t width)
{
    image->height = height;
    image->width = width;
    return height <= image->most_height && width <= image->most_width;
}

static inline void luthier_put(const struct luthier_image *image, uint32_t y, uint32_t x,
                               uint32_t red, uint32_t green, uint32_t blue)
{
    uint8_t *row = image->pixels + y * image->pitch;
    if (image->order == LUTHIER_GREY) {
        /* ITU-R BT.601's luma, in 16 bits of fraction. */
        row[x] = (uint8_t)((red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16);
        return;
    }
    bool turned = image->order == LUTHIER_BGR;
    row[3 * (size_t)x] = (uint8_t)(turned ? blue : red);
    row[3 * (size_t)x + 1] = (uint8_t)green;
    row[3 * (size_t)x + 2] = (uint8_t)(turned ? red : blue);
}

static inline void luthier_put_grey(const struct luthier_image *image, uint32_t y, uint32_t x,
                                    uint32_t grey)
{
    luthier_put(image, y, x, grey, grey, grey);
}

/* Whether `count` bytes from `at` on are in the file. */
static inline bool luthier_there(const struct luthier_image *image, uint64_t at, uint64_t count)
{
    return at <= image->size && count <= image->size - at;
}

/* A number of `bits` bits that is the element `x` of a row of such, the highest bit first. */
static inline uint32_t luthier_element(const uint8_t *row, uint32_t x, uint32_t bits)
{
    if (bits == 8)
        return row[x];
    uint32_t first = x * bits;
    return (row[first / 8] >> (8 - bits - first % 8)) & ((1u << bits) - 1);
}

#endif
