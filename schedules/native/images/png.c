/* Portable network graphics, of all kinds of pixels, interlaced or not; what is transparent is as
 * if it were not, and of 16 bits the higher 8 count. */
#include "image.h"
#include "inflate.h"

#include <string.h>

#define SIGNATURE 8
#define FRAME 12 /* bytes of a chunk around its data */

enum { GREY = 0, COLOUR = 2, LISTED = 3, GREY_ALPHA = 4, COLOUR_ALPHA = 6 };

/* Of each pass of interlaced rows where it begins, and how far apart its pixels are. */
static const uint8_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
static const uint8_t whole[4] = {0, 0, 1, 1};

struct graphic {
    struct luthier_image *image;
    size_t at; /* the next chunk */
    const uint8_t *pixels; /* the chunk that was found first, until it is taken */
    uint32_t size;
    uint32_t bits, kind, channels;
    bool interlaced;
    const uint8_t *palette;
    uint32_t colours;
    unsigned pass;
    uint32_t line; /* of the pass */
    uint8_t *row, *before; /* with the number of its filter in front */
    size_t filled;
    bool wrong;
};

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t checksum(const uint8_t *bytes, size_t count)
{
    uint32_t table[256], sum = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t rest = i;
        for (int k = 0; k < 8; k++)
            rest = rest >> 1 ^ (rest & 1 ? 0xedb88320 : 0);
        table[i] = rest;
    }
    for (size_t i = 0; i < count; i++)
        sum = sum >> 8 ^ table[(sum ^ bytes[i]) & 255];
    return ~sum;
}

/* The next chunk, after which it goes on; null where there is none that is whole. */
static const uint8_t *chunk(struct graphic *graphic, uint32_t *size)
{
    const struct luthier_image *image = graphic->image;
    const uint8_t *found = image->data + graphic->at;
    if (!luthier_there(image, graphic->at, FRAME))
        return NULL;
    *size = number(found);
    if (!luthier_there(image, graphic->at + FRAME, *size) ||
        checksum(found + 4, (size_t)*size + 4) != number(found + 8 + *size))
        return NULL;
    graphic->at += FRAME + (size_t)*size;
    return found + 4;
}

static bool is(const uint8_t *chunk, const char *name)
{
    return memcmp(chunk, name, 4) == 0;
}

static bool read_header(struct graphic *graphic)
{
    uint32_t size;
    const uint8_t *found = chunk(graphic, &size);
    if (found == NULL || !is(found, "IHDR") || size != 13)
        return false;
    const uint8_t *header = found + 4;
    uint32_t width = number(header), height = number(header + 4);
    uint32_t bits = graphic->bits = header[8], kind = graphic->kind = header[9];
    graphic->interlaced = header[12] == 1;
    graphic->channels = kind == GREY || kind == LISTED ? 1 : kind == GREY_ALPHA ? 2 : kind == COLOUR ? 3
                                                                                                : 4;
    bool few = bits == 1 || bits == 2 || bits == 4, fits = bits == 8 || bits == 16;
    if (kind == GREY)
        fits = fits || few;
    else if (kind == LISTED)
        fits = bits == 8 || few;
    else
        fits = fits && (kind == COLOUR || kind == GREY_ALPHA || kind == COLOUR_ALPHA);
    if (!fits || header[10] != 0 || header[11] != 0 || header[12] > 1)
        return false;
    luthier_begin(graphic->image, height, width);
    return width > 0 && height > 0 && width <= INT32_MAX && height <= INT32_MAX;
}

/* Goes to the first chunk of pixels; whether there is one. */
static bool find_pixels(struct graphic *graphic)
{
    for (;;) {
        uint32_t size;
        const uint8_t *found = chunk(graphic, &size);
        if (found == NULL)
            return false;
        if (is(found, "IDAT")) {
            graphic->pixels = found;
            graphic->size = size;
            return graphic->kind != LISTED || graphic->palette != NULL;
        }
        if (is(found, "PLTE") && size > 0 && size % 3 == 0 && size <= 768) {
            graphic->palette = found + 4;
            graphic->colours = size / 3;
        } else if (!(found[0] & 32)) { /* it matters, and is not known */
            return false;
        }
    }
}

static bool more_pixels(void *context, const uint8_t **piece, size_t *count)
{
    struct graphic *graphic = context;
    uint32_t size = graphic->size;
    const uint8_t *found = graphic->pixels ? graphic->pixels : chunk(graphic, &size);
    graphic->pixels = NULL;
    if (found == NULL || !is(found, "IDAT"))
        return false;
    *piece = found + 4;
    *count = size;
    return true;
}

static const uint8_t *places(const struct graphic *graphic)
{
    return graphic->interlaced ? passes[graphic->pass] : whole;
}

/* Pixels of a row of the pass, and rows of it. */
static uint32_t along(uint32_t extent, uint32_t first, uint32_t step)
{
    return extent > first ? (extent - first + step - 1) / step : 0;
}

/* Bytes of a row of the pass, without the number of its filter. */
static size_t row_bytes(const struct graphic *graphic)
{
    const uint8_t *at = places(graphic);
    uint64_t pixels = along(graphic->image->width, at[0], at[2]);
    return (size_t)((pixels * graphic->channels * graphic->bits + 7) / 8);
}

/* Goes over passes that have no pixels; whether there are rows left. */
static bool has_rows(struct graphic *graphic)
{
    unsigned count = graphic->interlaced ? 7 : 1;
    while (graphic->pass < count) {
        const uint8_t *at = places(graphic);
        if (along(graphic->image->width, at[0], at[2]) > 0 &&
            graphic->line < along(graphic->image->height, at[1], at[3]))
            return true;
        graphic->line = 0;
        if (++graphic->pass < count)
            memset(graphic->before, 0, row_bytes(graphic) + 1);
    }
    return false;
}

static int nearest(int left, int above, int corner)
{
    int guess = left + above - corner;
    int a = guess > left ? guess - left : left - guess;
    int b = guess > above ? guess - above : above - guess;
    int c = guess > corner ? guess - corner : corner - guess;
    return a <= b && a <= c ? left : b <= c ? above : corner;
}

/* Undoes the filter of a row; whether there is such a filter. */
static bool unfilter(const struct graphic *graphic, size_t bytes)
{
    uint8_t *row = graphic->row + 1, kind = graphic->row[0];
    const uint8_t *above = graphic->before + 1;
    size_t apart = (graphic->channels * graphic->bits + 7) / 8;
    for (size_t i = 0; kind != 0 && i < bytes; i++) {
        int left = i >= apart ? row[i - apart] : 0, corner = i >= apart ? above[i - apart] : 0;
        int guess = kind == 1   ? left
                    : kind == 2 ? above[i]
                    : kind == 3 ? (left + above[i]) / 2
                                : nearest(left, above[i], corner);
        row[i] = (uint8_t)(row[i] + guess);
    }
    return kind <= 4;
}

/* A number of a row, as it is of 255. */
static uint32_t sample(const struct graphic *graphic, uint32_t place)
{
    const uint8_t *row = graphic->row + 1;
    if (graphic->bits == 16)
        return row[2 * (size_t)place];
    uint32_t found = luthier_element(row, place, graphic->bits);
    return graphic->kind == LISTED ? found : found * (255 / ((1u << graphic->bits) - 1));
}

static void put_row(struct graphic *graphic)
{
    struct luthier_image *image = graphic->image;
    const uint8_t *at = places(graphic);
    uint32_t y = at[1] + graphic->line * at[3], pixels = along(image->width, at[0], at[2]);
    for (uint32_t i = 0; i < pixels && !graphic->wrong; i++) {
        uint32_t x = at[0] + i * at[2], first = i * graphic->channels;
        uint32_t one = sample(graphic, first);
        if (graphic->kind == LISTED && one >= graphic->colours) {
            graphic->wrong = true;
        } else if (graphic->kind == LISTED) {
            const uint8_t *colour = graphic->palette + 3 * one;
            luthier_put(image, y, x, colour[0], colour[1], colour[2]);
        } else if (graphic->channels < 3) {
            luthier_put_grey(image, y, x, one);
        } else {
            uint32_t two = sample(graphic, first + 1), three = sample(graphic, first + 2);
            luthier_put(image, y, x, one, two, three);
        }
    }
}

static bool take_rows(void *context, const uint8_t *bytes, size_t count)
{
    struct graphic *graphic = context;
    while (count > 0 && !graphic->wrong && has_rows(graphic)) {
        size_t room = row_bytes(graphic) + 1;
        size_t part = count < room - graphic->filled ? count : room - graphic->filled;
        memcpy(graphic->row + graphic->filled, bytes, part);
        graphic->filled += part;
        bytes += part;
        count -= part;
        if (graphic->filled < room)
            return true;
        if (!unfilter(graphic, room - 1)) {
            graphic->wrong = true;
            return false;
        }
        put_row(graphic);
        uint8_t *row = graphic->row;
        graphic->row = graphic->before;
        graphic->before = row;
        graphic->filled = 0;
        graphic->line++;
    }
    return !graphic->wrong && has_rows(graphic);
}

luthier_reading luthier_read_png(struct luthier_image *image)
{
    struct graphic graphic = {.image = image, .at = SIGNATURE};
    if (!read_header(&graphic) || !find_pixels(&graphic))
        return LUTHIER_BROKEN;
    if (!luthier_begin(image, image->height, image->width))
        return LUTHIER_READ;
    graphic.row = image->work + LUTHIER_INFLATE;
    graphic.before = graphic.row + 8 * (size_t)image->most_width + 1;
    memset(graphic.before, 0, row_bytes(&graphic) + 1);
    struct luthier_stream stream = {&graphic, more_pixels, take_rows, image->work};
    bool well = luthier_inflate(&stream);
    return well && !graphic.wrong && !has_rows(&graphic) ? LUTHIER_READ : LUTHIER_BROKEN;
}
