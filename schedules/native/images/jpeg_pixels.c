/* Samples of JPEG's coefficients, and pixels of these, number by number as libjpeg-turbo has them:
 * by its accurate transformation in whole numbers (`jidctint.c`, of C. Loeffler, A. Ligtenberg and
 * G. Moschytz, "Practical fast 1-D DCT algorithms with 11 multiplications", 1989), and with chroma
 * that is interpolated, as the ONNX standard has it. */
#include "jpeg.h"

#include <string.h>

#define FRACTION 13 /* bits of the constants' */

/* Eight numbers, `apart` elements from one to the next, but for a shift by `bits`. */
static void transform(int64_t *at, size_t apart, unsigned bits)
{
    int64_t half = 1ll << (bits - 1), z1, z2, z3, z4, z5;
    z1 = (at[2 * apart] + at[6 * apart]) * 4433;
    int64_t even2 = z1 - at[6 * apart] * 15137, even3 = z1 + at[2 * apart] * 6270;
    int64_t even0 = (at[0] + at[4 * apart]) * (1 << FRACTION);
    int64_t even1 = (at[0] - at[4 * apart]) * (1 << FRACTION);
    int64_t even[4] = {even0 + even3, even1 + even2, even1 - even2, even0 - even3};
    int64_t odd0 = at[7 * apart], odd1 = at[5 * apart], odd2 = at[3 * apart], odd3 = at[apart];
    z1 = odd0 + odd3;
    z2 = odd1 + odd2;
    z3 = odd0 + odd2;
    z4 = odd1 + odd3;
    z5 = (z3 + z4) * 9633;
    z1 *= -7373;
    z2 *= -20995;
    z3 = z3 * -16069 + z5;
    z4 = z4 * -3196 + z5;
    int64_t odd[4] = {odd3 * 12299 + z1 + z4, odd2 * 25172 + z2 + z3, odd1 * 16819 + z2 + z4,
                      odd0 * 2446 + z1 + z3};
    for (size_t i = 0; i < 4; i++) {
        at[i * apart] = (even[i] + odd[i] + half) >> bits;
        at[(7 - i) * apart] = (even[i] - odd[i] + half) >> bits;
    }
}

static uint8_t clipped(int64_t number)
{
    return (uint8_t)(number < 0 ? 0 : number > 255 ? 255 : number);
}

/* Whether all of a column but its first number is 0. */
static bool is_flat(const int16_t *column)
{
    return (column[8] | column[16] | column[24] | column[32] | column[40] | column[48] |
            column[56]) == 0;
}

static void make_samples(const struct component *component, int16_t *block)
{
    int64_t numbers[64];
    uint8_t *samples = (uint8_t *)block;
    for (size_t i = 0; i < 64; i++)
        numbers[i] = (int64_t)block[i] * component->steps[i];
    for (size_t i = 0; i < 8; i++) {
        if (!is_flat(block + i)) {
            transform(numbers + i, 8, FRACTION - 2);
            continue;
        }
        int64_t same = numbers[i] * 4; /* what comes of it */
        for (size_t k = 0; k < 8; k++)
            numbers[i + 8 * k] = same;
    }
    for (size_t i = 0; i < 8; i++)
        transform(numbers + 8 * i, 1, FRACTION + 5);
    for (size_t i = 0; i < 64; i++)
        samples[i] = clipped(numbers[i] + 128);
}

/* A row of a component's samples, from as many blocks. */
static void copy_line(const struct component *component, uint32_t y, uint8_t *line)
{
    const int16_t *block = component->blocks + (size_t)(y / 8) * component->wide * 64;
    for (uint32_t i = 0; i < component->wide; i++)
        memcpy(line + 8 * (size_t)i, (const uint8_t *)(block + 64 * (size_t)i) + y % 8 * 8, 8);
}

/* A row of a component as long as the image's. `lines` has room for two of its own. */
static void fill_row(const struct frame *frame, const struct component *component, uint32_t y,
                     uint8_t *lines, uint8_t *row)
{
    uint32_t across = frame->across / component->across, down = frame->down / component->down;
    uint32_t width = frame->image->width, near = y / down, last = component->height - 1;
    uint32_t beside = y % 2 ? (near < last ? near + 1 : last) : (near > 0 ? near - 1 : 0);
    uint32_t own = component->width;
    bool smooth = down <= 2 && (across == 1 || (across == 2 && own > 2));
    uint8_t *line = lines, *other = lines + 8 * (size_t)component->wide;
    copy_line(component, near, line);
    if (!smooth || (across == 1 && down == 1)) {
        for (uint32_t x = 0; x < width; x++)
            row[x] = line[x / across];
        return;
    }
    if (down == 2)
        copy_line(component, beside, other);
    for (uint32_t x = 0; x < width; x++) {
        uint32_t at = x / across;
        uint32_t next = x % 2 ? (at + 1 < own ? at + 1 : at) : (at > 0 ? at - 1 : 0);
        uint32_t here = line[at], odd = x % 2;
        if (across == 1)
            row[x] = (uint8_t)((3 * here + other[at] + 1 + y % 2) >> 2);
        else if (down == 2)
            row[x] = (uint8_t)((3 * (3 * here + other[at]) + 3u * line[next] + other[next] + 8 -
                                odd) >> 4);
        else
            row[x] = (uint8_t)(at == next ? here : (3 * here + line[next] + 1 + odd) >> 2);
    }
}

/* Whether the components are brightness and two of colour. */
static bool is_luminous(const struct frame *frame)
{
    const struct component *of = frame->components;
    if (frame->is_jfif || frame->is_adobe)
        return frame->is_jfif || !frame->is_coloured;
    return !(of[0].id == 'R' && of[1].id == 'G' && of[2].id == 'B');
}

static void put_row(const struct frame *frame, uint32_t y, bool luminous)
{
    const struct luthier_image *image = frame->image;
    const uint8_t *row = frame->rows;
    size_t width = image->width;
    for (uint32_t x = 0; x < image->width; x++) {
        int32_t one = row[x];
        if (frame->count == 1) {
            luthier_put_grey(image, y, x, row[x]);
            continue;
        }
        int32_t two = row[width + x], three = row[2 * width + x];
        if (!luminous) {
            luthier_put(image, y, x, row[x], row[width + x], row[2 * width + x]);
            continue;
        }
        two -= 128;
        three -= 128;
        int32_t red = one + ((91881 * three + 32768) >> 16);
        int32_t green = one + ((-22554 * two - 46802 * three + 32768) >> 16);
        int32_t blue = one + ((116130 * two + 32768) >> 16);
        luthier_put(image, y, x, clipped(red), clipped(green), clipped(blue));
    }
}

void luthier_put_frame(struct frame *frame)
{
    bool luminous = is_luminous(frame);
    size_t width = frame->image->width;
    uint8_t *lines = frame->rows + COMPONENTS * width;
    for (uint32_t c = 0; c < frame->count; c++) {
        const struct component *component = &frame->components[c];
        size_t blocks = (size_t)component->wide * component->high;
        for (size_t i = 0; i < blocks; i++)
            make_samples(component, component->blocks + 64 * i);
    }
    for (uint32_t y = 0; y < frame->image->height; y++) {
        for (uint32_t c = 0; c < frame->count; c++)
            fill_row(frame, &frame->components[c], y, lines, frame->rows + c * width);
        put_row(frame, y, luminous);
    }
}
