/* AMX's instructions on a processor without them: each traps, and is then done here, in memory.
 *
 * What they mean is Intel's SDM, volume 2, word for word where that says how sums are rounded. What
 * a processor would refuse (tiles that are not configured, or do not go together) stays a trap. */
#define _GNU_SOURCE
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64, MOST_BYTES = 15 };
enum { NONE, P66, F3, F2 }; /* VEX's two bits for a prefix */

typedef struct {
    int rows, wide; /* wide: bytes of a row */
    uint8_t data[ROWS][ROW_BYTES];
} tile;

typedef struct {
    int opcode, prefix, mod, reg, rm, vvvv, length;
    uint8_t *address;
    int64_t stride;
} instruction;

static tile tiles[TILES];
static int is_configured;
static struct sigaction before;
int64_t tiles_done; /* instructions since the last installation */

static const int registers[16] = {
    REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static int64_t displacement(const uint8_t *code, int bytes)
{
    int32_t word;
    if (bytes != 4)
        return bytes == 0 ? 0 : (int8_t)*code;
    memcpy(&word, code, 4);
    return word;
}

/* VEX of three bytes, an opcode, ModRM, and what that says of memory (SDM, volume 2, chapter 2). */
static int decode(const uint8_t *code, const greg_t *values, instruction *found)
{
    if (code[0] != 0xc4 || (code[1] & 0x1f) != 2 || (code[2] & 0x84) != 0)
        return 0;
    int index_high = (~code[1] >> 6 & 1) * 8, base_high = (~code[1] >> 5 & 1) * 8;
    int modrm = code[4], at = 5;
    *found = (instruction){.opcode = code[3],
                           .prefix = code[2] & 3,
                           .mod = modrm >> 6,
                           .reg = modrm >> 3 & 7,
                           .rm = modrm & 7,
                           .vvvv = ~code[2] >> 3 & 15};
    if (found->mod != 3) {
        int bytes = found->mod == 1 ? 1 : found->mod == 2 ? 4 : 0, base = found->rm, has_base = 1;
        int from_here = 0;
        if (found->rm == 4) {
            int sib = code[at++], index = (sib >> 3 & 7) + index_high;
            base = sib & 7;
            if (index != 4)
                found->stride = (int64_t)((uint64_t)values[registers[index]] << (sib >> 6));
            has_base = base != 5 || found->mod != 0;
        } else if (found->rm == 5 && found->mod == 0) {
            has_base = 0;
            from_here = 1;
        }
        if (!has_base)
            bytes = 4;
        int64_t where = displacement(code + at, bytes);
        at += bytes;
        if (has_base)
            where += values[registers[base + base_high]];
        if (from_here)
            where += (int64_t)(intptr_t)(code + at);
        found->address = (uint8_t *)(intptr_t)where;
    }
    found->length = at;
    return 1;
}

static int configure(const uint8_t *image)
{
    if (image[0] != 1 || image[1] != 0)
        return 0;
    for (int i = 2; i < 64; i++)
        if ((i < 16 || (i >= 16 + 2 * TILES && i < 48) || i >= 48 + TILES) && image[i] != 0)
            return 0;
    for (int i = 0; i < TILES; i++) {
        int wide = image[16 + 2 * i] + 256 * image[17 + 2 * i], rows = image[48 + i];
        if (wide > ROW_BYTES || rows > ROWS || (wide == 0) != (rows == 0))
            return 0;
        memset(&tiles[i], 0, sizeof tiles[i]);
        tiles[i].wide = wide;
        tiles[i].rows = rows;
    }
    is_configured = 1;
    return 1;
}

static int load(tile *to, const uint8_t *from, int64_t stride)
{
    memset(to->data, 0, sizeof to->data);
    for (int row = 0; row < to->rows; row++)
        memcpy(to->data[row], from + row * stride, (size_t)to->wide);
    return to->rows != 0;
}

static int store(const tile *from, uint8_t *to, int64_t stride)
{
    for (int row = 0; row < from->rows; row++)
        memcpy(to + row * stride, from->data[row], (size_t)from->wide);
    return from->rows != 0;
}

static int go_together(const tile *c, const tile *a, const tile *b)
{
    return c != a && c != b && a != b && c->rows != 0 && c->rows == a->rows &&
           c->wide == b->wide && a->wide == 4 * b->rows && c->wide % 4 == 0;
}

static int32_t number(uint8_t byte, int is_signed)
{
    return is_signed ? (int8_t)byte : byte;
}

static int add_bytes(tile *c, const tile *a, const tile *b, int a_signed, int b_signed)
{
    if (!go_together(c, a, b))
        return 0;
    for (int m = 0; m < c->rows; m++)
        for (int n = 0; n < c->wide / 4; n++) {
            uint32_t total;
            memcpy(&total, &c->data[m][4 * n], 4);
            for (int k = 0; k < a->wide; k++)
                total += (uint32_t)(number(a->data[m][k], a_signed) *
                                    number(b->data[k / 4][4 * n + k % 4], b_signed));
            memcpy(&c->data[m][4 * n], &total, 4);
        }
    return 1;
}

static float flushed(float x)
{
    return fpclassify(x) == FP_SUBNORMAL ? copysignf(0.0f, x) : x;
}

static float widened(const uint8_t *at)
{
    uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 24;
    float value;
    memcpy(&value, &bits, 4);
    return flushed(value);
}

/* The even places of a tile's depth and the odd ones are added up apart, and then to the sum. */
static int add_bfloat16(tile *c, const tile *a, const tile *b)
{
    if (!go_together(c, a, b))
        return 0;
    for (int m = 0; m < c->rows; m++)
        for (int n = 0; n < c->wide / 4; n++) {
            float sums[2] = {0, 0}, total;
            for (int k = 0; k < b->rows; k++)
                for (int i = 0; i < 2; i++)
                    sums[i] = flushed(fmaf(widened(&a->data[m][4 * k + 2 * i]),
                                           widened(&b->data[k][4 * n + 2 * i]), sums[i]));
            memcpy(&total, &c->data[m][4 * n], 4);
            total = flushed(flushed(total) + flushed(sums[0] + sums[1]));
            memcpy(&c->data[m][4 * n], &total, 4);
        }
    return 1;
}

static int execute(const instruction *i)
{
    tile *reg = &tiles[i->reg & 7], *rm = &tiles[i->rm], *vvvv = &tiles[i->vvvv & 7];
    int in_memory = i->mod != 3;
    if (i->opcode == 0x49 && i->prefix == NONE && in_memory && i->reg == 0)
        return configure(i->address);
    if (!is_configured)
        return 0;
    if (i->opcode == 0x49 && i->prefix == NONE && i->reg == 0 && i->rm == 0)
        return !(is_configured = 0);
    if (i->opcode == 0x49 && i->prefix == F2 && !in_memory)
        return memset(reg->data, 0, sizeof reg->data) != NULL && reg->rows != 0;
    if (i->opcode == 0x4b && in_memory && i->rm == 4)
        return i->prefix == F3 ? store(reg, i->address, i->stride)
                               : i->prefix != NONE && load(reg, i->address, i->stride);
    if (i->opcode == 0x5e && !in_memory)
        return add_bytes(reg, rm, vvvv, i->prefix == F2 || i->prefix == F3,
                         i->prefix == F2 || i->prefix == P66);
    if (i->opcode == 0x5c && !in_memory && i->prefix == F3)
        return add_bfloat16(reg, rm, vvvv);
    return 0;
}

static void on_trap(int signal, siginfo_t *info, void *context)
{
    greg_t *values = ((ucontext_t *)context)->uc_mcontext.gregs;
    instruction found;
    (void)info;
    if (decode((const uint8_t *)values[REG_RIP], values, &found) && execute(&found)) {
        values[REG_RIP] += found.length;
        tiles_done++;
        return;
    }
    sigaction(signal, &before, NULL); /* it traps again, for whoever was there before */
}

int tiles_install(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    tiles_done = 0;
    return sigaction(SIGILL, &action, &before);
}

int tiles_remove(void)
{
    return sigaction(SIGILL, &before, NULL);
}

int tiles_are_released(void)
{
    return !is_configured;
}

void tiles_configure(void)
{
    static uint8_t image[64] = {1};
    for (int tile = 0; tile < 8; tile++) { /* one row of 4 bytes */
        image[16 + 2 * tile] = 4;
        image[48 + tile] = 1;
    }
    __asm__ volatile("ldtilecfg (%0)" : : "a"(image) : "memory");
}
