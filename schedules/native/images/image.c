/* An image of whichever format; the kernels that decode images call `luthier_decode_image`. */
#include "image.h"

#include <string.h>

/* What the third number of the result says: the kinds that are not read. */
enum { READ, JPEG_2000, WEBP, RARE };

static bool begins(const struct luthier_image *image, const char *bytes, size_t count)
{
    return image->size >= count && memcmp(image->data, bytes, count) == 0;
}

/* The kind of an image that is none of the readers'; READ where it is of no known kind. */
static uint32_t refused(const struct luthier_image *image)
{
    if (begins(image, "\0\0\0\014jP  \r\n\x87\n", 12) || begins(image, "\xff\x4f\xff\x51", 4))
        return JPEG_2000;
    if (begins(image, "RIFF", 4) && image->size >= 12 && memcmp(image->data + 8, "WEBP", 4) == 0)
        return WEBP;
    return READ;
}

static luthier_reading read_any(struct luthier_image *image)
{
    if (begins(image, "BM", 2))
        return luthier_read_bmp(image);
    if (begins(image, "\x89PNG\r\n\x1a\n", 8))
        return luthier_read_png(image);
    if (begins(image, "\xff\xd8\xff", 3))
        return luthier_read_jpeg(image);
    if (begins(image, "II*\0", 4) || begins(image, "MM\0*", 4))
        return luthier_read_tiff(image);
    if (image->size > 2 && image->data[0] == 'P' && image->data[1] >= '1' && image->data[1] <= '6')
        return luthier_read_pnm(image);
    return LUTHIER_BROKEN;
}

/* Writes a row of three numbers, of 4 bytes each, the lowest first, and after it the rows of the
 * image, `pitch` bytes apart. The numbers are its height and width, 0 where there is none to be
 * read, and the kind that it is if that is not supported, else 0. */
int32_t luthier_decode_image(const uint8_t *data, int32_t size, uint8_t *result, int32_t most_height,
                             int32_t most_width, int32_t pitch, int32_t order, uint8_t *work)
{
    struct luthier_image image = {
        .data = data,
        .size = (size_t)size,
        .order = (luthier_order)order,
        .most_height = (uint32_t)most_height,
        .most_width = (uint32_t)most_width,
        .pixels = result + pitch,
        .pitch = (size_t)pitch,
        .work = work,
    };
    luthier_reading reading = read_any(&image);
    uint32_t kind = reading == LUTHIER_UNSUPPORTED ? RARE : refused(&image);
    bool whole = reading == LUTHIER_READ;
    uint32_t numbers[3] = {whole ? image.height : 0, whole ? image.width : 0, whole ? READ : kind};
    for (int i = 0; i < 12; i++)
        result[i] = (uint8_t)(numbers[i / 4] >> (8 * (i % 4)));
    return 0;
}
