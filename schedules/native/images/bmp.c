/* Windows bitmaps: 1, 4 or 8 bits that number colours of a palette, or 24 or 32 of colours. */
#include "image.h"

#define FILE_HEADER 14

struct bitmap {
    uint32_t rows_at, palette_at, colours, entry, bits;
    uint64_t stride;
    bool from_top;
};

static uint32_t number16(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t number32(const uint8_t *at)
{
    return number16(at) | number16(at + 2) << 16;
}

/* Whether the masks of colours are those of bytes: blue, green, red. */
static bool in_bytes(const struct luthier_image *image, uint32_t header)
{
    const uint8_t *masks = image->data + FILE_HEADER + 40;
    return luthier_there(image, FILE_HEADER + 40, 12) && header >= 40 &&
           number32(masks) == 0xff0000 && number32(masks + 4) == 0xff00 &&
           number32(masks + 8) == 0xff;
}

static luthier_reading read_header(struct luthier_image *image, struct bitmap *bitmap)
{
    const uint8_t *header = image->data + FILE_HEADER;
    if (!luthier_there(image, FILE_HEADER, 12))
        return LUTHIER_BROKEN;
    uint32_t size = number32(header), compression = 0, used = 0;
    int64_t height, width;
    if (size == 12) { /* OS/2's */
        width = number16(header + 4);
        height = number16(header + 6);
        bitmap->bits = number16(header + 10);
        bitmap->entry = 3;
    } else {
        if (size < 40 || !luthier_there(image, FILE_HEADER, size))
            return LUTHIER_BROKEN;
        width = (int32_t)number32(header + 4);
        height = (int32_t)number32(header + 8);
        bitmap->bits = number16(header + 14);
        compression = number32(header + 16);
        used = number32(header + 32);
        bitmap->entry = 4;
    }
    bitmap->from_top = height < 0;
    height = height < 0 ? -height : height;
    if (width <= 0 || height == 0)
        return LUTHIER_BROKEN;
    uint32_t bits = bitmap->bits;
    bool listed = bits == 1 || bits == 4 || bits == 8;
    bool masked = bits == 32 && (compression == 3 || compression == 6) && in_bytes(image, size);
    if (!(listed || bits == 24 || bits == 32) || (compression != 0 && !masked))
        return LUTHIER_UNSUPPORTED;
    bitmap->rows_at = number32(image->data + 10);
    bitmap->palette_at = FILE_HEADER + size;
    bitmap->colours = used > 0 && used < 256 ? used : 1u << (listed ? bits : 0);
    bitmap->stride = ((uint64_t)bits * (uint64_t)width + 31) / 32 * 4;
    if (listed && !luthier_there(image, bitmap->palette_at,
                                 (uint64_t)bitmap->colours * bitmap->entry))
        return LUTHIER_BROKEN;
    if (!luthier_there(image, bitmap->rows_at, bitmap->stride * (uint64_t)height))
        return LUTHIER_BROKEN;
    luthier_begin(image, (uint32_t)height, (uint32_t)width);
    return LUTHIER_READ;
}

luthier_reading luthier_read_bmp(struct luthier_image *image)
{
    struct bitmap bitmap;
    luthier_reading reading = read_header(image, &bitmap);
    if (reading != LUTHIER_READ || !luthier_begin(image, image->height, image->width))
        return reading;
    const uint8_t *palette = image->data + bitmap.palette_at;
    for (uint32_t y = 0; y < image->height; y++) {
        uint32_t line = bitmap.from_top ? y : image->height - 1 - y;
        const uint8_t *row = image->data + bitmap.rows_at + line * bitmap.stride;
        for (uint32_t x = 0; x < image->width; x++) {
            const uint8_t *colour = row + (size_t)x * (bitmap.bits / 8);
            if (bitmap.bits <= 8) {
                uint32_t number = luthier_element(row, x, bitmap.bits);
                if (number >= bitmap.colours)
                    return LUTHIER_BROKEN;
                colour = palette + number * bitmap.entry;
            }
            luthier_put(image, y, x, colour[2], colour[1], colour[0]);
        }
    }
    return LUTHIER_READ;
}
