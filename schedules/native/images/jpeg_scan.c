/* Coefficients of JPEG's scans, sequential and progressive. */
#include "jpeg.h"

const uint8_t luthier_zigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

struct reader {
    const uint8_t *at, *end;
    uint64_t bits; /* the next one highest of `held` */
    unsigned held, lacking; /* lacking: of these, that the data have no more: zeros */
    uint32_t none; /* blocks that follow without further coefficients */
    bool wrong;
};

static void need(struct reader *reader, unsigned count)
{
    while (reader->held < count) {
        uint32_t byte = 0;
        bool marked = reader->at < reader->end && reader->at[0] == 0xff;
        if (marked && reader->end - reader->at > 1 && reader->at[1] == 0) {
            byte = 0xff;
            reader->at += 2;
        } else if (!marked && reader->at < reader->end) {
            byte = *reader->at++;
        } else {
            reader->lacking += 8;
        }
        reader->bits = reader->bits << 8 | byte;
        reader->held += 8;
    }
}

static uint32_t take(struct reader *reader, unsigned count)
{
    need(reader, count);
    reader->held -= count;
    if (reader->lacking > reader->held)
        reader->wrong = true;
    return (uint32_t)(reader->bits >> reader->held) & ((1u << count) - 1);
}

static uint32_t symbol(struct reader *reader, const struct codes *codes)
{
    need(reader, 16);
    uint32_t next = (uint32_t)(reader->bits >> (reader->held - 16)) & 0xffff;
    uint32_t found = codes->fast[next >> (16 - FAST)];
    if (found != 0) {
        take(reader, found >> 8);
        return found & 255;
    }
    for (unsigned n = FAST + 1; n <= 16; n++) {
        uint32_t code = next >> (16 - n);
        if (code < codes->beyond[n]) {
            take(reader, n);
            return codes->symbols[(uint32_t)(codes->offset[n] + (int32_t)code) & 255];
        }
    }
    reader->wrong = true;
    return 0;
}

/* A number of so many bits, of which the first half are below 0. */
static int32_t signed_number(struct reader *reader, uint32_t bits)
{
    if (bits == 0)
        return 0;
    if (bits > 15) {
        reader->wrong = true;
        return 0;
    }
    int32_t found = (int32_t)take(reader, bits);
    return found < 1 << (bits - 1) ? found - (1 << bits) + 1 : found;
}

static void first_coefficient(struct reader *reader, const struct scan *scan,
                              struct component *component, int16_t *block)
{
    if (scan->refines) {
        block[0] = (int16_t)(block[0] | (int32_t)(take(reader, 1) << scan->low));
        return;
    }
    int32_t change = signed_number(reader, symbol(reader, component->dc));
    component->before = (int16_t)(component->before + change);
    block[0] = (int16_t)((uint32_t)component->before << scan->low);
}

/* Further coefficients, or higher bits of them. */
static void coefficients(struct reader *reader, const struct scan *scan,
                         const struct component *component, int16_t *block, uint32_t first)
{
    if (reader->none > 0) {
        reader->none--;
        return;
    }
    for (uint32_t k = first; k <= scan->last && !reader->wrong; k++) {
        uint32_t found = symbol(reader, component->ac), zeros = found >> 4, bits = found & 15;
        if (bits == 0 && zeros < 15) {
            if (first == scan->first) /* in a progressive one */
                reader->none = (1u << zeros) - 1 + take(reader, zeros);
            return;
        }
        k += zeros;
        if (bits == 0)
            continue;
        int32_t number = signed_number(reader, bits);
        if (k > scan->last)
            reader->wrong = true;
        else
            block[luthier_zigzag[k]] = (int16_t)((uint32_t)number << scan->low);
    }
}

/* The next bit of a coefficient that is not 0. */
static void refine(struct reader *reader, int16_t *coefficient, int32_t one)
{
    if (take(reader, 1) && !(*coefficient & one))
        *coefficient = (int16_t)(*coefficient + (*coefficient < 0 ? -one : one));
}

/* Further bits of coefficients, and those that become other than 0 by these. */
static void refinements(struct reader *reader, const struct scan *scan,
                        const struct component *component, int16_t *block)
{
    int32_t one = 1 << scan->low;
    uint32_t k = scan->first;
    for (; reader->none == 0 && k <= scan->last && !reader->wrong; k++) {
        uint32_t found = symbol(reader, component->ac), zeros = found >> 4, bits = found & 15;
        int32_t number = 0;
        if (bits > 1)
            reader->wrong = true;
        if (bits == 0 && zeros < 15) {
            reader->none = (1u << zeros) + take(reader, zeros);
            break;
        }
        if (bits == 1)
            number = take(reader, 1) ? one : -one;
        for (; k <= scan->last; k++) {
            int16_t *each = &block[luthier_zigzag[k]];
            if (*each != 0)
                refine(reader, each, one);
            else if (zeros-- == 0)
                break;
        }
        if (number != 0 && k <= scan->last)
            block[luthier_zigzag[k]] = (int16_t)number;
    }
    if (reader->none == 0)
        return;
    for (; k <= scan->last; k++)
        if (block[luthier_zigzag[k]] != 0)
            refine(reader, &block[luthier_zigzag[k]], one);
    reader->none--;
}

static void read_block(struct reader *reader, const struct scan *scan, struct component *component,
                       uint32_t x, uint32_t y)
{
    int16_t *block = component->blocks + ((size_t)y * component->wide + x) * 64;
    if (scan->first == 0)
        first_coefficient(reader, scan, component, block);
    if (scan->last > 0 && scan->refines)
        refinements(reader, scan, component, block);
    else if (scan->last > 0)
        coefficients(reader, scan, component, block, scan->first > 0 ? scan->first : 1);
}

/* Begins anew after a marker that says so; whether it is there. */
static bool restart(struct reader *reader, const struct scan *scan)
{
    reader->held = reader->lacking = 0;
    reader->bits = 0;
    reader->none = 0;
    for (uint32_t i = 0; i < scan->count; i++)
        scan->of[i]->before = 0;
    if (reader->end - reader->at < 2 || reader->at[0] != 0xff || (reader->at[1] & 0xf8) != 0xd0)
        return false;
    reader->at += 2;
    return true;
}

bool luthier_read_scan(struct frame *frame, const struct scan *scan)
{
    const struct luthier_image *image = frame->image;
    struct reader reader = {.at = image->data + frame->at, .end = image->data + image->size};
    struct component *only = scan->count == 1 ? scan->of[0] : NULL;
    /* One component's blocks are those with samples that count; of several, they come by MCUs. */
    uint32_t wide = only ? (only->width + 7) / 8 : scan->of[0]->wide / scan->of[0]->across;
    uint32_t high = only ? (only->height + 7) / 8 : scan->of[0]->high / scan->of[0]->down;
    for (uint32_t i = 0; i < scan->count; i++)
        scan->of[i]->before = 0;
    uint64_t done = 0;
    for (uint32_t y = 0; y < high; y++)
        for (uint32_t x = 0; x < wide; x++, done++) {
            if (frame->restart > 0 && done > 0 && done % frame->restart == 0 &&
                !restart(&reader, scan))
                return false;
            if (only)
                read_block(&reader, scan, only, x, y);
            for (uint32_t i = 0; i < scan->count && !only; i++) {
                struct component *each = scan->of[i];
                for (uint32_t b = 0; b < each->across * each->down; b++)
                    read_block(&reader, scan, each, x * each->across + b % each->across,
                               y * each->down + b / each->across);
            }
            if (reader.wrong)
                return false;
        }
    frame->at = (size_t)(reader.at - image->data);
    return true;
}
