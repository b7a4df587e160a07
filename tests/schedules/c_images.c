/* Reads each file that is named, and many damaged ones of it, into memory of its exact size. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t luthier_decode_image(const uint8_t *data, int32_t size, uint8_t *result, int32_t most_height,
                             int32_t most_width, int32_t pitch, int32_t order, uint8_t *work);

static uint32_t state = 1;

static uint32_t next(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* Whether pixels came of it. */
static int read_one(const uint8_t *data, size_t size, int32_t most, int32_t order)
{
    int32_t pitch = order == 2 ? most : 3 * most;
    size_t room = 65536 + 6 * ((size_t)most + 32) * ((size_t)most + 32);
    uint8_t *own = malloc(size), *work = aligned_alloc(64, (room + 63) / 64 * 64);
    uint8_t *result = malloc((size_t)pitch * (size_t)(most + 1));
    memcpy(own, data, size);
    memset(work, 0xa5, room);
    luthier_decode_image(own, (int32_t)size, result, most, most, pitch, order, work);
    int there = result[0] | result[1] | result[2] | result[3];
    free(own);
    free(work);
    free(result);
    return there != 0;
}

int main(int count, char **names)
{
    long times = strtol(names[1], NULL, 10), read = 0;
    for (int i = 2; i < count; i++) {
        static uint8_t file[1 << 20];
        FILE *stream = fopen(names[i], "rb");
        size_t size = fread(file, 1, sizeof file, stream);
        fclose(stream);
        if (!read_one(file, size, 64, (int32_t)(next() % 3)))
            return fprintf(stderr, "%s is not read\n", names[i]), 1;
        read_one(file, size, 16, 0); /* there is no room */
        for (long k = 0; k < times; k++) {
            uint8_t *damaged = malloc(size);
            memcpy(damaged, file, size);
            for (uint32_t flips = next() % 4; flips > 0; flips--) {
                size_t at = next() % (next() % 2 ? size : size < 64 ? size : 64);
                damaged[at] = next() % 2 ? (uint8_t)next() : (uint8_t)(damaged[at] ^ 1u << next() % 8);
            }
            size_t left = next() % 3 ? size : next() % size;
            read += read_one(damaged, left, 64, (int32_t)(next() % 3));
            free(damaged);
        }
    }
    printf("%ld\n", read);
    return 0;
}
