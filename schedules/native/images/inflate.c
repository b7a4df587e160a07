#include "inflate.h"

#include <string.h>

#define LONGEST 15   /* bits of a code */
#define FAST 10      /* of a code that a table finds at once */
#define LITERALS 288
#define DISTANCES 32

/* Codes of symbols, the shorter ones first, and of one length in order: `count` of each length.
 * `fast` has for the next bits, the first one lowest, symbol << 4 | length; 0 where it is longer. */
struct codes {
    uint16_t count[LONGEST + 1];
    uint16_t symbols[LITERALS];
    uint16_t fast[1 << FAST];
};

struct inflater {
    const struct luthier_stream *stream;
    const uint8_t *at, *end;
    uint64_t bits; /* that come next, the first one lowest */
    unsigned held; /* of them */
    unsigned lacking; /* of these, that the stream has no more: zeros */
    size_t filled; /* bytes of the window since its beginning, of which `given` were taken */
    size_t given;
    bool wrapped;  /* the window was full before */
    bool enough;   /* no more are wanted */
    struct codes literals, distances;
};

_Static_assert(sizeof(struct inflater) <= LUTHIER_INFLATE - LUTHIER_WINDOW, "it is in the work");

/* Lets there be so many bits, at most 32. */
static void need(struct inflater *z, unsigned count)
{
    while (z->held < count) {
        uint64_t byte = 0;
        while (z->at == z->end) {
            size_t size;
            if (z->lacking > 0 || !z->stream->more(z->stream->context, &z->at, &size)) {
                z->at = z->end = NULL;
                break;
            }
            z->end = z->at + size;
        }
        if (z->at != z->end)
            byte = *z->at++;
        else
            z->lacking += 8;
        z->bits |= byte << z->held;
        z->held += 8;
    }
}

static uint32_t take_bits(struct inflater *z, unsigned count)
{
    need(z, count);
    uint32_t found = (uint32_t)(z->bits & ((1ull << count) - 1));
    z->bits >>= count;
    z->held -= count;
    return found;
}

/* Whether bits were taken that the stream has not. */
static bool is_over(const struct inflater *z)
{
    return z->lacking > z->held;
}

/* Whether these lengths, 0 for symbols without one, are those of codes. One code alone may be
 * shorter than it need be. */
static bool make_codes(struct codes *codes, const uint8_t *lengths, unsigned count)
{
    uint16_t first[LONGEST + 1];
    memset(codes, 0, sizeof *codes);
    for (unsigned i = 0; i < count; i++)
        codes->count[lengths[i]]++;
    unsigned used = count - codes->count[0];
    codes->count[0] = 0;
    int32_t left = 1;
    first[0] = 0;
    for (unsigned n = 1; n <= LONGEST; n++) {
        left = 2 * left - codes->count[n];
        if (left < 0)
            return false;
        first[n] = (uint16_t)(first[n - 1] + codes->count[n - 1]);
    }
    if (left > 0 && used > 1)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (lengths[i] != 0)
            codes->symbols[first[lengths[i]]++] = (uint16_t)i;
    unsigned code = 0, place = 0;
    for (unsigned n = 1; n <= FAST; n++, code <<= 1)
        for (unsigned k = 0; k < codes->count[n]; k++, code++, place++) {
            unsigned turned = 0;
            for (unsigned b = 0; b < n; b++)
                turned |= (code >> b & 1) << (n - 1 - b);
            for (unsigned more = turned; more < 1u << FAST; more += 1u << n)
                codes->fast[more] = (uint16_t)(codes->symbols[place] << 4 | n);
        }
    return true;
}

/* The next symbol; LITERALS, which is none, where no code is there. */
static unsigned symbol(struct inflater *z, const struct codes *codes)
{
    need(z, LONGEST);
    unsigned found = codes->fast[z->bits & ((1u << FAST) - 1)];
    if (found != 0) {
        z->bits >>= found & 15;
        z->held -= found & 15;
        return found >> 4;
    }
    int32_t code = 0, first = 0, place = 0;
    for (unsigned n = 1; n <= LONGEST; n++) {
        code |= (int32_t)(z->bits >> (n - 1) & 1);
        int32_t count = codes->count[n];
        if (code - count < first) {
            z->bits >>= n;
            z->held -= n;
            return codes->symbols[place + (code - first)];
        }
        place += count;
        first = (first + count) << 1;
        code <<= 1;
    }
    return LITERALS;
}

/* Lets what was inflated be taken. */
static void give(struct inflater *z)
{
    if (!z->enough)
        z->enough = !z->stream->take(z->stream->context, z->stream->work + z->given,
                                     z->filled - z->given);
    z->given = z->filled;
    if (z->filled == LUTHIER_WINDOW) {
        z->filled = z->given = 0;
        z->wrapped = true;
    }
}

static inline void put(struct inflater *z, uint8_t byte)
{
    z->stream->work[z->filled++] = byte;
    if (z->filled == LUTHIER_WINDOW)
        give(z);
}

static bool copy_stored(struct inflater *z)
{
    take_bits(z, z->held % 8);
    uint32_t count = take_bits(z, 16), check = take_bits(z, 16);
    if (count != (~check & 0xffff))
        return false;
    while (count-- > 0 && !is_over(z) && !z->enough)
        put(z, (uint8_t)take_bits(z, 8));
    return true;
}

/* Codes of all literals and lengths that are known without being said. */
static bool fixed_codes(struct inflater *z)
{
    uint8_t lengths[LITERALS];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    make_codes(&z->literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    return make_codes(&z->distances, lengths, DISTANCES);
}

static bool read_codes(struct inflater *z)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERALS + DISTANCES] = {0};
    unsigned literals = take_bits(z, 5) + 257, distances = take_bits(z, 5) + 1;
    unsigned count = take_bits(z, 4) + 4, every = literals + distances, i = 0;
    if (literals > 286 || distances > 30)
        return false;
    for (unsigned k = 0; k < count; k++)
        lengths[order[k]] = (uint8_t)take_bits(z, 3);
    if (!make_codes(&z->literals, lengths, 19))
        return false;
    memset(lengths, 0, sizeof lengths);
    while (i < every) {
        unsigned found = symbol(z, &z->literals);
        if (found > 18 || is_over(z) || (found == 16 && i == 0))
            return false;
        if (found < 16) {
            lengths[i++] = (uint8_t)found;
            continue;
        }
        unsigned least = found == 18 ? 11 : 3, bits = found == 16 ? 2 : found == 17 ? 3 : 7;
        unsigned times = least + take_bits(z, bits);
        if (times > every - i)
            return false;
        memset(lengths + i, found == 16 ? lengths[i - 1] : 0, times);
        i += times;
    }
    return lengths[256] != 0 && make_codes(&z->literals, lengths, literals) &&
           make_codes(&z->distances, lengths + literals, distances);
}

static bool copy_coded(struct inflater *z)
{
    static const uint16_t lengths[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                         31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t starts[30] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                        33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                        1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    while (!z->enough) {
        unsigned found = symbol(z, &z->literals);
        if (found < 256) {
            put(z, (uint8_t)found);
            if (is_over(z))
                return false;
            continue;
        }
        if (found == 256 || found > 285 || is_over(z))
            return found == 256 && !is_over(z);
        unsigned length = lengths[found - 257] + take_bits(z, length_bits[found - 257]);
        unsigned coded = symbol(z, &z->distances);
        if (coded > 29)
            return false;
        unsigned distance = starts[coded] + take_bits(z, coded < 2 ? 0 : coded / 2 - 1);
        if (is_over(z) || (distance > z->filled && !z->wrapped))
            return false;
        for (size_t from = z->filled + LUTHIER_WINDOW - distance; length-- > 0; from++)
            put(z, z->stream->work[from % LUTHIER_WINDOW]);
    }
    return true;
}

bool luthier_inflate(const struct luthier_stream *stream)
{
    /* Callers may have a small stack. */
    struct inflater *z = (struct inflater *)(stream->work + LUTHIER_WINDOW);
    memset(z, 0, sizeof *z);
    z->stream = stream;
    uint32_t method = take_bits(z, 8), flags = take_bits(z, 8);
    if (is_over(z) || method % 16 != 8 || method / 16 > 7 || (method * 256 + flags) % 31 != 0 ||
        flags & 32)
        return false;
    for (bool last = false; !last && !z->enough;) {
        last = take_bits(z, 1) == 1;
        uint32_t kind = take_bits(z, 2);
        bool well = kind == 0   ? copy_stored(z)
                    : kind == 1 ? fixed_codes(z) && copy_coded(z)
                                : kind == 2 && read_codes(z) && copy_coded(z);
        if (!well || is_over(z))
            return z->enough;
        give(z);
    }
    return true;
}
