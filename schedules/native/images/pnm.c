/* Portable bit, grey and pixel maps, in text or in bytes. */
#include "image.h"

#define MOST_SIDE (1u << 30)

struct reader {
    const uint8_t *at, *end;
};

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Goes to the next byte that is neither space nor in a comment; whether there is one. */
static bool skip(struct reader *reader)
{
    while (reader->at < reader->end && (is_space(*reader->at) || *reader->at == '#')) {
        if (*reader->at == '#')
            while (reader->at < reader->end && *reader->at != '\n' && *reader->at != '\r')
                reader->at++;
        else
            reader->at++;
    }
    return reader->at < reader->end;
}

/* The next whole number; whether there is one that is not above `most`. */
static bool number(struct reader *reader, uint32_t most, uint32_t *found)
{
    uint64_t value = 0;
    if (!skip(reader) || *reader->at < '0' || *reader->at > '9')
        return false;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' && value <= most)
        value = value * 10 + (*reader->at++ - '0');
    *found = (uint32_t)value;
    return value <= most;
}

/* The next bit in text, of which no space separates others. */
static bool bit(struct reader *reader, uint32_t *found)
{
    if (!skip(reader) || *reader->at < '0' || *reader->at > '1')
        return false;
    *found = *reader->at++ - '0';
    return true;
}

struct map {
    bool bits, text;
    uint32_t channels, most;
    uint64_t stride;
};

/* The next number of a pixel, as it is of 255; whether there is one. In bytes they were counted. */
static bool sample(struct reader *reader, const struct map *map, uint32_t *found)
{
    uint32_t value;
    if (map->text) {
        if (!number(reader, map->most, &value))
            return false;
    } else if (map->most < 256) {
        value = *reader->at++;
    } else {
        value = (uint32_t)reader->at[0] << 8 | reader->at[1];
        reader->at += 2;
    }
    value = value > map->most ? map->most : value;
    *found = (value * 510 + map->most) / (2 * map->most);
    return true;
}

static bool read_row(const struct luthier_image *image, struct reader *reader,
                     const struct map *map, uint32_t y)
{
    const uint8_t *row = reader->at;
    for (uint32_t x = 0; x < image->width; x++) {
        uint32_t of[3];
        if (map->bits) {
            if (!map->text)
                of[0] = luthier_element(row, x, 1);
            else if (!bit(reader, &of[0]))
                return false;
            luthier_put_grey(image, y, x, of[0] ? 0 : 255);
            continue;
        }
        for (uint32_t c = 0; c < map->channels; c++)
            if (!sample(reader, map, &of[c]))
                return false;
        if (map->channels == 1)
            luthier_put_grey(image, y, x, of[0]);
        else
            luthier_put(image, y, x, of[0], of[1], of[2]);
    }
    if (map->bits && !map->text)
        reader->at += map->stride;
    return true;
}

luthier_reading luthier_read_pnm(struct luthier_image *image)
{
    struct reader reader = {image->data + 2, image->data + image->size};
    uint32_t kind = image->data[1] - '0', height, width;
    struct map map = {.bits = kind % 3 == 1, .text = kind <= 3, .channels = kind % 3 ? 1 : 3};
    map.most = 1;
    if (!number(&reader, MOST_SIDE, &width) || !number(&reader, MOST_SIDE, &height) ||
        (!map.bits && !number(&reader, 65535, &map.most)))
        return LUTHIER_BROKEN;
    if (width == 0 || height == 0 || map.most == 0)
        return LUTHIER_BROKEN;
    map.stride = (uint64_t)width * map.channels * (map.most > 255 ? 2 : 1);
    if (map.bits)
        map.stride = ((uint64_t)width + 7) / 8;
    if (!map.text) { /* one space, then bytes */
        if (reader.at == reader.end || !is_space(*reader.at))
            return LUTHIER_BROKEN;
        reader.at++;
        if (map.stride * height > (uint64_t)(reader.end - reader.at))
            return LUTHIER_BROKEN;
    }
    if (!luthier_begin(image, height, width))
        return LUTHIER_READ;
    for (uint32_t y = 0; y < height; y++)
        if (!read_row(image, &reader, &map, y))
            return LUTHIER_BROKEN;
    return LUTHIER_READ;
}
