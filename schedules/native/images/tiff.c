/* Tagged image files: the first image, in strips that are not compressed, of 1, 4, 8 or 16 bits. */
#include "image.h"

#define ENTRY 12

enum { WIDTH = 256, HEIGHT, BITS, COMPRESSION, LIGHT = 262, OFFSETS = 273, CHANNELS = 277, ROWS,
       COUNTS, PLANES = 284, COLOURS = 320 };
enum { WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE };

/* An entry of the directory: `count` numbers of `bytes` each, from `at` on. */
struct field {
    uint64_t at;
    uint32_t count, bytes;
};

struct tagged {
    const struct luthier_image *image;
    bool high_first;
    struct field offsets, counts, colours;
    uint32_t bits, light, channels, rows;
};

static uint32_t number(const struct tagged *tagged, uint64_t at, uint32_t bytes)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < bytes; i++) {
        uint32_t byte = tagged->image->data[at + i];
        found |= byte << 8 * (tagged->high_first ? bytes - 1 - i : i);
    }
    return found;
}

/* A number of a field that is there. */
static uint32_t element(const struct tagged *tagged, const struct field *field, uint32_t index)
{
    return number(tagged, field->at + (uint64_t)index * field->bytes, field->bytes);
}

/* Whether an entry has whole numbers that are in the file. */
static bool read_field(const struct tagged *tagged, uint64_t at, struct field *field)
{
    uint32_t kind = number(tagged, at + 2, 2);
    field->count = number(tagged, at + 4, 4);
    field->bytes = kind == 1 ? 1 : kind == 3 ? 2 : kind == 4 ? 4 : 0;
    uint64_t size = (uint64_t)field->count * field->bytes;
    field->at = size > 4 ? number(tagged, at + 8, 4) : at + 8;
    return size > 0 && luthier_there(tagged->image, field->at, size);
}

/* Notes what an entry says; BROKEN where it cannot be, UNSUPPORTED where it is not read. */
static luthier_reading note(struct tagged *tagged, struct luthier_image *image, uint64_t at)
{
    uint32_t tag = number(tagged, at, 2);
    struct field field;
    bool matters = (tag >= WIDTH && tag <= COMPRESSION) || tag == LIGHT || tag == OFFSETS ||
                   (tag >= CHANNELS && tag <= COUNTS) || tag == PLANES || tag == COLOURS;
    if (!matters)
        return LUTHIER_READ;
    if (!read_field(tagged, at, &field))
        return LUTHIER_BROKEN;
    uint32_t first = element(tagged, &field, 0);
    switch (tag) {
    case WIDTH:
        image->width = first;
        break;
    case HEIGHT:
        image->height = first;
        break;
    case BITS:
        tagged->bits = first;
        for (uint32_t i = 1; i < field.count; i++)
            if (element(tagged, &field, i) != first)
                return LUTHIER_UNSUPPORTED;
        break;
    case COMPRESSION:
        return first == 1 ? LUTHIER_READ : LUTHIER_UNSUPPORTED;
    case LIGHT:
        tagged->light = first;
        break;
    case OFFSETS:
        tagged->offsets = field;
        break;
    case CHANNELS:
        tagged->channels = first;
        break;
    case ROWS:
        tagged->rows = first;
        break;
    case COUNTS:
        tagged->counts = field;
        break;
    case PLANES:
        return first == 1 ? LUTHIER_READ : LUTHIER_UNSUPPORTED;
    default:
        tagged->colours = field;
    }
    return LUTHIER_READ;
}

static luthier_reading read_directory(struct tagged *tagged, struct luthier_image *image)
{
    uint64_t at = luthier_there(image, 4, 4) ? number(tagged, 4, 4) : image->size;
    if (!luthier_there(image, at, 2))
        return LUTHIER_BROKEN;
    uint32_t entries = number(tagged, at, 2);
    if (!luthier_there(image, at + 2, (uint64_t)entries * ENTRY))
        return LUTHIER_BROKEN;
    for (uint32_t i = 0; i < entries; i++) {
        luthier_reading reading = note(tagged, image, at + 2 + (uint64_t)i * ENTRY);
        if (reading != LUTHIER_READ)
            return reading;
    }
    if (image->width == 0 || image->height == 0 || image->width > INT32_MAX ||
        image->height > INT32_MAX || tagged->rows == 0 || tagged->channels == 0)
        return LUTHIER_BROKEN;
    uint32_t bits = tagged->bits, light = tagged->light, least = light == RGB ? 3 : 1;
    bool whole = bits == 8 || bits == 16, few = bits == 1 || bits == 4;
    if (light > PALETTE || !(whole || (few && tagged->channels == 1)) || tagged->channels > 8 ||
        (light == PALETTE && bits == 16))
        return LUTHIER_UNSUPPORTED;
    bool listed = tagged->colours.bytes == 2 && tagged->colours.count >= 3u << bits;
    if (tagged->offsets.count == 0 || tagged->counts.count == 0)
        return LUTHIER_UNSUPPORTED; /* it may be in tiles */
    return tagged->channels < least || (light == PALETTE && !listed) ? LUTHIER_BROKEN
                                                                     : LUTHIER_READ;
}

/* A number of a row as it is of 255; in a palette itself. */
static uint32_t sample(const struct tagged *tagged, const uint8_t *row, uint32_t place)
{
    if (tagged->bits == 16)
        return row[2 * (size_t)place + !tagged->high_first];
    uint32_t found = luthier_element(row, place, tagged->bits), most = (1u << tagged->bits) - 1;
    return tagged->light == PALETTE ? found : found * (255 / most);
}

static void put_row(const struct tagged *tagged, const uint8_t *row, uint32_t y)
{
    const struct luthier_image *image = tagged->image;
    for (uint32_t x = 0; x < image->width; x++) {
        uint32_t first = x * tagged->channels, one = sample(tagged, row, first);
        if (tagged->light == RGB) {
            luthier_put(image, y, x, one, sample(tagged, row, first + 1),
                        sample(tagged, row, first + 2));
        } else if (tagged->light == PALETTE) {
            uint32_t of[3];
            for (uint32_t c = 0; c < 3; c++)
                of[c] = element(tagged, &tagged->colours, (c << tagged->bits) + one) >> 8;
            luthier_put(image, y, x, of[0], of[1], of[2]);
        } else {
            luthier_put_grey(image, y, x, tagged->light == WHITE_IS_ZERO ? 255 - one : one);
        }
    }
}

luthier_reading luthier_read_tiff(struct luthier_image *image)
{
    struct tagged tagged = {.image = image, .high_first = image->data[0] == 'M'};
    tagged.bits = tagged.channels = 1;
    tagged.rows = UINT32_MAX;
    luthier_reading reading = read_directory(&tagged, image);
    if (reading != LUTHIER_READ || !luthier_begin(image, image->height, image->width))
        return reading;
    uint64_t stride = ((uint64_t)image->width * tagged.channels * tagged.bits + 7) / 8;
    for (uint32_t y = 0; y < image->height; y++) {
        uint32_t strip = y / tagged.rows, line = y % tagged.rows;
        if (strip >= tagged.offsets.count || strip >= tagged.counts.count)
            return LUTHIER_BROKEN;
        uint64_t at = element(&tagged, &tagged.offsets, strip);
        uint64_t held = element(&tagged, &tagged.counts, strip);
        if ((line + 1) * stride > held || !luthier_there(image, at, (line + 1) * stride))
            return LUTHIER_BROKEN;
        put_row(&tagged, image->data + at + line * stride, y);
    }
    return LUTHIER_READ;
}
