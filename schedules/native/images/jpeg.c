/* JPEG of 8 bits with Huffman codes, sequential or progressive: grey, or of three components. */
#include "jpeg.h"

#include <string.h>

#define MOST_SCANS 200 /* a small file could have ever more of a large image */

_Static_assert(sizeof(struct frame) + 64 < LUTHIER_WORK, "a frame is at the beginning of the work");

enum { FRAME_BASELINE = 0xc0, FRAME_EXTENDED, FRAME_PROGRESSIVE, CODES = 0xc4, EXTENSION = 0xc8,
       ARITHMETIC = 0xcc, FRAME_LAST = 0xcf, END = 0xd9, SCAN = 0xda, STEPS = 0xdb, RESTART = 0xdd,
       JFIF = 0xe0, ADOBE = 0xee };

struct segment {
    const uint8_t *at;
    uint32_t size, kind;
};

static uint32_t number(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

/* The next marker and what it has; whether there is one that is whole. */
static bool next_segment(struct frame *frame, struct segment *segment)
{
    const struct luthier_image *image = frame->image;
    size_t at = frame->at;
    while (at + 1 < image->size &&
           (image->data[at] != 0xff || image->data[at + 1] == 0xff || image->data[at + 1] == 0))
        at++;
    if (!luthier_there(image, at, 2))
        return false;
    segment->kind = image->data[at + 1];
    segment->at = image->data + at + 2;
    segment->size = 0;
    frame->at = at + 2;
    if ((segment->kind >= 0xd0 && segment->kind <= END) || segment->kind == 1)
        return true;
    if (!luthier_there(image, frame->at, 2) || number(segment->at) < 2 ||
        !luthier_there(image, frame->at, number(segment->at)))
        return false;
    segment->size = number(segment->at) - 2;
    segment->at += 2;
    frame->at += segment->size + 2;
    return true;
}

static bool read_steps(struct frame *frame, const struct segment *segment)
{
    const uint8_t *at = segment->at, *end = at + segment->size;
    while (at < end) {
        uint32_t wide = *at >> 4, table = *at & 15;
        at++;
        if (wide > 1 || table > 3 || end - at < (wide ? 128 : 64))
            return false;
        for (uint32_t i = 0; i < 64; i++, at += wide + 1)
            frame->steps[table][luthier_zigzag[i]] = (uint16_t)(wide ? number(at) : *at);
    }
    return true;
}

static bool make_codes(struct codes *codes, const uint8_t *counts, const uint8_t *symbols)
{
    uint32_t code = 0, place = 0;
    memset(codes, 0, sizeof *codes);
    for (uint32_t n = 1; n <= 16; n++, code <<= 1) {
        codes->offset[n] = (int32_t)place - (int32_t)code;
        if (code + counts[n - 1] > 1u << n)
            return false;
        for (uint32_t i = 0; i < counts[n - 1]; i++, code++, place++) {
            codes->symbols[place] = symbols[place];
            uint32_t first = code << FAST >> n, times = n <= FAST ? 1u << (FAST - n) : 0;
            for (uint32_t k = 0; k < times; k++)
                codes->fast[first + k] = (uint16_t)(symbols[place] | n << 8);
        }
        codes->beyond[n] = code;
    }
    return codes->there = true;
}

static bool read_codes(struct frame *frame, const struct segment *segment)
{
    const uint8_t *at = segment->at, *end = at + segment->size;
    while (at < end) {
        uint32_t further = *at >> 4, table = *at & 15, count = 0;
        if (further > 1 || table > 3 || end - at < 17)
            return false;
        for (uint32_t n = 0; n < 16; n++)
            count += at[1 + n];
        if (count > 256 || end - at - 17 < (int64_t)count ||
            !make_codes(&frame->codes[further][table], at + 1, at + 17))
            return false;
        at += 17 + count;
    }
    return true;
}

/* Lays out the components' blocks, and rows of samples after them. */
static void lay_out(struct frame *frame)
{
    const struct luthier_image *image = frame->image;
    uint32_t wide = (image->width + 8 * frame->across - 1) / (8 * frame->across);
    uint32_t high = (image->height + 8 * frame->down - 1) / (8 * frame->down);
    uint8_t *at = image->work + LUTHIER_WORK, *begin = at;
    for (uint32_t c = 0; c < frame->count; c++) {
        struct component *each = &frame->components[c];
        each->wide = wide * each->across;
        each->high = high * each->down;
        each->width = (image->width * each->across + frame->across - 1) / frame->across;
        each->height = (image->height * each->down + frame->down - 1) / frame->down;
        each->blocks = (int16_t *)at;
        at += (size_t)each->wide * each->high * 64 * sizeof(int16_t);
    }
    memset(begin, 0, (size_t)(at - begin));
    frame->rows = at;
}

static luthier_reading read_frame(struct frame *frame, const struct segment *segment)
{
    struct luthier_image *image = frame->image;
    const uint8_t *at = segment->at;
    if (segment->kind > FRAME_PROGRESSIVE)
        return LUTHIER_UNSUPPORTED;
    if (frame->count > 0 || segment->size < 6 || segment->size < 6 + 3u * at[5])
        return LUTHIER_BROKEN;
    uint32_t height = number(at + 1), width = number(at + 3), count = at[5];
    if (at[0] != 8 || height == 0 || (count != 1 && count != 3))
        return LUTHIER_UNSUPPORTED;
    if (width == 0)
        return LUTHIER_BROKEN;
    frame->progressive = segment->kind == FRAME_PROGRESSIVE;
    frame->count = count;
    for (uint32_t c = 0; c < count; c++) {
        const uint8_t *one = at + 6 + 3 * c;
        struct component *each = &frame->components[c];
        each->id = one[0];
        each->across = count == 1 ? 1 : one[1] >> 4; /* of one there is nothing to be beside */
        each->down = count == 1 ? 1 : one[1] & 15;
        each->table = one[2];
        if (each->across == 0 || each->across > 4 || each->down == 0 || each->down > 4 ||
            each->table > 3)
            return LUTHIER_BROKEN;
        frame->across = each->across > frame->across ? each->across : frame->across;
        frame->down = each->down > frame->down ? each->down : frame->down;
    }
    for (uint32_t c = 0; c < count; c++)
        if (frame->across % frame->components[c].across || frame->down % frame->components[c].down)
            return LUTHIER_UNSUPPORTED;
    if (luthier_begin(image, height, width))
        lay_out(frame);
    return LUTHIER_READ;
}

static struct component *named(struct frame *frame, uint32_t id)
{
    for (uint32_t c = 0; c < frame->count; c++)
        if (frame->components[c].id == id)
            return &frame->components[c];
    return NULL;
}

/* What a scan is of; whether that can be, and its codes are there. */
static bool read_header(struct frame *frame, const struct segment *segment, struct scan *scan)
{
    const uint8_t *at = segment->at;
    uint32_t count = segment->size > 0 ? at[0] : 0;
    if (count == 0 || count > frame->count || segment->size != 4 + 2 * count)
        return false;
    const uint8_t *rest = at + 1 + 2 * count;
    *scan = (struct scan){.count = count, .last = 63};
    if (frame->progressive) {
        uint32_t high = rest[2] >> 4;
        scan->first = rest[0];
        scan->last = rest[1];
        scan->low = rest[2] & 15;
        scan->refines = high > 0;
        if (scan->last > 63 || scan->first > scan->last || scan->low > 13 ||
            (scan->refines && high != scan->low + 1) || (scan->first == 0 && scan->last > 0) ||
            (scan->first > 0 && count > 1))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct component *each = named(frame, at[1 + 2 * i]);
        uint32_t dc = at[2 + 2 * i] >> 4, ac = at[2 + 2 * i] & 15;
        for (uint32_t k = 0; k < i; k++)
            if (scan->of[k] == each)
                return false;
        if (each == NULL || dc > 3 || ac > 3)
            return false;
        scan->of[i] = each;
        each->dc = &frame->codes[0][dc];
        each->ac = &frame->codes[1][ac];
        if ((scan->first == 0 && !scan->refines && !each->dc->there) ||
            (scan->last > 0 && !each->ac->there))
            return false;
        if (!each->scanned)
            memcpy(each->steps, frame->steps[each->table], sizeof each->steps);
        each->scanned = true;
    }
    return true;
}

/* Notes whose colours they are. */
static void note_application(struct frame *frame, const struct segment *segment)
{
    if (segment->kind == JFIF && segment->size >= 5 && memcmp(segment->at, "JFIF", 5) == 0)
        frame->is_jfif = true;
    if (segment->kind == ADOBE && segment->size >= 12 && memcmp(segment->at, "Adobe", 5) == 0) {
        frame->is_adobe = true;
        frame->is_coloured = segment->at[11] == 0;
    }
}

/* What comes before the first scan, until the sizes are known; then all scans. */
static luthier_reading read_segments(struct frame *frame)
{
    uint32_t scans = 0;
    struct segment segment;
    for (;;) {
        bool well = true;
        if (!next_segment(frame, &segment))
            return LUTHIER_BROKEN;
        uint32_t kind = segment.kind;
        if (kind == END)
            break;
        if (kind == STEPS) {
            well = read_steps(frame, &segment);
        } else if (kind == CODES) {
            well = read_codes(frame, &segment);
        } else if (kind == RESTART) {
            well = segment.size >= 2;
            frame->restart = well ? number(segment.at) : 0;
        } else if (kind == JFIF || kind == ADOBE) {
            note_application(frame, &segment);
        } else if (kind == ARITHMETIC || kind == EXTENSION) {
            return LUTHIER_UNSUPPORTED;
        } else if (kind >= FRAME_BASELINE && kind <= FRAME_LAST) {
            luthier_reading reading = read_frame(frame, &segment);
            bool fits = frame->image->height <= frame->image->most_height &&
                        frame->image->width <= frame->image->most_width;
            if (reading != LUTHIER_READ || !fits)
                return reading;
        } else if (kind == SCAN) {
            struct scan scan;
            well = frame->count > 0 && read_header(frame, &segment, &scan);
            if (++scans > MOST_SCANS)
                return LUTHIER_UNSUPPORTED;
            well = well && luthier_read_scan(frame, &scan);
        }
        if (!well)
            return LUTHIER_BROKEN;
    }
    for (uint32_t c = 0; c < frame->count; c++)
        if (!frame->components[c].scanned)
            return LUTHIER_BROKEN;
    if (frame->count == 0)
        return LUTHIER_BROKEN;
    luthier_put_frame(frame);
    return LUTHIER_READ;
}

luthier_reading luthier_read_jpeg(struct luthier_image *image)
{
    struct frame *frame = (struct frame *)image->work;
    memset(frame, 0, sizeof *frame);
    frame->image = image;
    frame->at = 2;
    return read_segments(frame);
}
