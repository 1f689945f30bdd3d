/* Instructions of the DSP extension by their names, in C where there are none. A word holds two int16 or four int8;
 * `odd` forms take bytes 1 and 3 where the plain ones take 0 and 2. */
#ifndef EK_SIMD_H
#define EK_SIMD_H

#include <stdint.h>

#ifdef __ARM_FEATURE_DSP

#define EK_INSTRUCTION_OF_1(name, text)                                                                                \
    static inline uint32_t name(uint32_t x)                                                                            \
    {                                                                                                                  \
        uint32_t result;                                                                                               \
        __asm(text : "=r"(result) : "r"(x));                                                                           \
        return result;                                                                                                 \
    }
#define EK_INSTRUCTION_OF_2(name, text)                                                                                \
    static inline uint32_t name(uint32_t x, uint32_t y)                                                                \
    {                                                                                                                  \
        uint32_t result;                                                                                               \
        __asm(text : "=r"(result) : "r"(x), "r"(y));                                                                   \
        return result;                                                                                                 \
    }
EK_INSTRUCTION_OF_1(ek_sxtb16, "sxtb16 %0, %1")
EK_INSTRUCTION_OF_1(ek_sxtb16_odd, "sxtb16 %0, %1, ror #8")
EK_INSTRUCTION_OF_2(ek_sxtab16, "sxtab16 %0, %1, %2")
EK_INSTRUCTION_OF_2(ek_sxtab16_odd, "sxtab16 %0, %1, %2, ror #8")
#undef EK_INSTRUCTION_OF_1
#undef EK_INSTRUCTION_OF_2

static inline int32_t ek_smlad(uint32_t x, uint32_t y, int32_t sum)
{
    int32_t result;
    __asm("smlad %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(y), "r"(sum));
    return result;
}

#else

static inline uint32_t ek_halves(uint32_t x, uint32_t y)
{
    return (x & 0xffffu) | (y << 16);
}

static inline uint32_t ek_sxtb16(uint32_t x)
{
    return ek_halves((uint32_t)(int8_t)(x & 0xffu), (uint32_t)(int8_t)(x >> 16 & 0xffu));
}

static inline uint32_t ek_sxtb16_odd(uint32_t x)
{
    return ek_sxtb16(x >> 8);
}

static inline uint32_t ek_sxtab16(uint32_t x, uint32_t y)
{
    const uint32_t widened = ek_sxtb16(y);
    return ek_halves(x + widened, (x >> 16) + (widened >> 16));
}

static inline uint32_t ek_sxtab16_odd(uint32_t x, uint32_t y)
{
    return ek_sxtab16(x, y >> 8);
}

/* Both products of the halves and the sum, modulo 2^32. */
static inline int32_t ek_smlad(uint32_t x, uint32_t y, int32_t sum)
{
    const int32_t lower = (int16_t)(x & 0xffffu) * (int16_t)(y & 0xffffu);
    const int32_t upper = (int16_t)(x >> 16) * (int16_t)(y >> 16);
    return (int32_t)((uint32_t)lower + (uint32_t)upper + (uint32_t)sum);
}

#endif
#endif
