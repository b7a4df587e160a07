/* Which features this CPU has, by CPUID and what the system saves of its registers (XCR0).
 * Names are Linux's; bits are from Intel's SDM, volume 2A, CPUID, and AMD's APM, volume 3. */
#define _GNU_SOURCE
#include "program.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ECX1, EBX7, ECX7, EDX7, EAX7_1, REGISTERS };

typedef struct {
    const char *name;
    int source;
    int bit;
    unsigned state; /* bits of XCR0 */
} feature;

#define YMM 0x06u
#define ZMM 0xe6u
#define TILES 0x60000u

/* Linux lets a process use the tiles' data, 8 KiB of state a thread, once it asked (arch_prctl(2),
 * Documentation/arch/x86/xstate.rst). The answer stays the same, and asking again does no harm. */
#define REQUEST_PERMISSION 0x1023 /* ARCH_REQ_XCOMP_PERM */
#define TILE_DATA 18              /* its bit of XCR0 */

static const feature known[] = {
    {"sse3", ECX1, 0, 0},         {"ssse3", ECX1, 9, 0},       {"sse4_1", ECX1, 19, 0},
    {"sse4_2", ECX1, 20, 0},      {"popcnt", ECX1, 23, 0},     {"avx", ECX1, 28, YMM},
    {"fma", ECX1, 12, YMM},       {"f16c", ECX1, 29, YMM},     {"bmi1", EBX7, 3, 0},
    {"bmi2", EBX7, 8, 0},         {"avx2", EBX7, 5, YMM},      {"avx512f", EBX7, 16, ZMM},
    {"avx512dq", EBX7, 17, ZMM},  {"avx512cd", EBX7, 28, ZMM}, {"avx512bw", EBX7, 30, ZMM},
    {"avx512vl", EBX7, 31, ZMM},   {"avx512_vnni", ECX7, 11, ZMM},
    {"avx512vbmi", ECX7, 1, ZMM},  {"avx_vnni", EAX7_1, 4, YMM},
    {"avx512_bf16", EAX7_1, 5, ZMM}, {"amx_bf16", EDX7, 22, TILES},
    {"amx_tile", EDX7, 24, TILES}, {"amx_int8", EDX7, 25, TILES},
};

static unsigned saved_state(unsigned ecx1)
{
    if ((ecx1 >> 27 & 1) == 0) /* OSXSAVE */
        return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    return low;
}

static int has(const char *name, const unsigned *registers, unsigned state)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return (registers[known[i].source] >> known[i].bit & 1) != 0 &&
                   (state & known[i].state) == known[i].state;
    return 0;
}

const char *luthier_missing_feature(const char *const *features, size_t count)
{
    unsigned eax, ebx, ecx, edx, registers[REGISTERS] = {0};
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        registers[ECX1] = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        registers[EBX7] = ebx;
        registers[ECX7] = ecx;
        registers[EDX7] = edx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
            registers[EAX7_1] = eax;
    }
    unsigned state = saved_state(registers[ECX1]);
    for (size_t i = 0; i < count; i++)
        if (!has(features[i], registers, state))
            return features[i];
        else if (strcmp(features[i], "amx_tile") == 0 &&
                 syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) != 0)
            return "amx_tile, which the system does not let this process use";
    return NULL;
}

#else

const char *luthier_missing_feature(const char *const *features, size_t count)
{
    return count > 0 ? features[0] : NULL;
}

#endif
