/* The floating-point mode of kernels, whatever mode the program runs in: IEEE 754's default, which
 * rounds to nearest, keeps subnormal numbers and traps nothing. So a result does not depend on the
 * program's mode, or on which thread did a chunk: threads inherit the mode of whoever made them.
 *
 * It lies in MXCSR (Intel's SDM, volume 1, section 10.2.3). The x87 unit has a mode of its own, but
 * code for x86-64 computes nothing there short of long double. */
#ifndef LUTHIER_FLOAT_MODE_H
#define LUTHIER_FLOAT_MODE_H

#include <stdbool.h>

#if defined(__x86_64__)
#define LUTHIER_FLOAT_CONTROL 0xffc0u /* flush to zero, rounding, masks, subnormals are zeros */
#define LUTHIER_FLOAT_MODE 0x1fbfu    /* all masked; all flags are set, so that no kernel sets one */

static inline unsigned luthier_float_mode(void)
{
    return __builtin_ia32_stmxcsr();
}

static inline void luthier_set_float_mode(unsigned mode)
{
    __builtin_ia32_ldmxcsr(mode);
}
#else
#define LUTHIER_FLOAT_CONTROL 0u
#define LUTHIER_FLOAT_MODE 0u

static inline unsigned luthier_float_mode(void)
{
    return 0;
}

static inline void luthier_set_float_mode(unsigned mode)
{
    (void)mode;
}
#endif

/* Takes on the mode of kernels; returns the one before, for `luthier_leave_float_mode`. Costs next
 * to nothing where the thread has it already. */
static inline unsigned luthier_enter_float_mode(void)
{
    unsigned before = luthier_float_mode();
    if (before != LUTHIER_FLOAT_MODE)
        luthier_set_float_mode(LUTHIER_FLOAT_MODE);
    return before;
}

static inline void luthier_leave_float_mode(unsigned before)
{
    if (before != LUTHIER_FLOAT_MODE)
        luthier_set_float_mode(before);
}

/* Whether code in this mode computes what kernels would: its flags may differ. */
static inline bool luthier_same_float_mode(unsigned mode)
{
    return ((mode ^ LUTHIER_FLOAT_MODE) & LUTHIER_FLOAT_CONTROL) == 0;
}

#endif
