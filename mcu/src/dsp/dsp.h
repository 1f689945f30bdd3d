/* What the DSP operators share. */
#ifndef EK_DSP_H
#define EK_DSP_H

#include "edgekit/check.h"
#include "edgekit/op_conv.h"
#include "edgekit/quant.h"
#include "simd.h"

/* How a channel's sum becomes an output, as the compiler (edgekit/convert/mcu/lower/dsp.py) writes it. With an exponent
 * e of 1..31, what the assembly can do, C being 2^(e - 1) + (output_zp << e):
 *   EK_ROUND_TWICE: (round_half_up(sum * multiplier / 2^31) + C - (sum < 0)) >> e
 *   EK_ROUND_ONCE: (floor(sum * multiplier / 2^31) + C) >> e, where no sum can end in a half.
 * Otherwise e is the exponent, or for 65..95 64 less, C is output_zp, and the formula is quant.h's with shift == -e. */
typedef struct {
    int32_t multiplier, constant, exponent;
} ek_scaling;

static inline ek_scaling ek_scaling_at(const int32_t *words)
{
    return (ek_scaling){words[0], words[1], words[2]};
}

static inline bool ek_scaling_fast(ek_scaling s)
{
    return ek_between(s.exponent, 1, 31);
}

static inline bool ek_scaling_ok(ek_scaling s)
{
    return s.multiplier >= 0 && (ek_between(s.exponent, -30, 31) || ek_between(s.exponent, 65, 95));
}

static inline int8_t ek_scaled(int32_t sum, ek_scaling s, int32_t rounding)
{
    int32_t value;
    if (ek_scaling_fast(s)) {
        const int64_t product = (int64_t)sum * s.multiplier;
        const bool once = rounding == EK_ROUND_ONCE;
        value = (int32_t)((product + (once ? 0 : (int64_t)1 << 30)) >> 31);
        value = ek_wrap_add(ek_wrap_add(value, s.constant), !once && sum < 0 ? -1 : 0) >> s.exponent;
    } else {
        const int32_t shift = s.exponent > 31 ? 64 - s.exponent : -s.exponent;
        value = rounding == EK_ROUND_ONCE ? ek_requantise_once(sum, s.multiplier, shift)
                                          : ek_requantise(sum, s.multiplier, shift);
        value = ek_wrap_add(value, s.constant);
    }
    return (int8_t)ek_clamp(value, -128, 127);
}

/* acc + x * y / 2^32, halves up; modulo 2^32. */
static inline int32_t ek_smmlar(int32_t x, int32_t y, int32_t acc)
{
#ifdef __ARM_FEATURE_DSP
    int32_t result;
    __asm("smmlar %0, %1, %2, %3" : "=r"(result) : "r"(x), "r"(y), "r"(acc));
    return result;
#else
    return ek_wrap_add((int32_t)(((int64_t)x * y + ((int64_t)1 << 31)) >> 32), acc);
#endif
}

static inline int32_t ek_saturated(int32_t x)
{
#ifdef __ARM_FEATURE_DSP
    int32_t result;
    __asm("ssat %0, #8, %1" : "=r"(result) : "r"(x));
    return result;
#else
    return ek_clamp(x, -128, 127);
#endif
}

/* A requantisation with a shift of -21..-1 of values below 2^30, by which it is that of conv_tile.S. */
typedef struct {
    int32_t multiplier, constant, exponent;
} ek_shifter;

static inline ek_shifter ek_shifter_of(int32_t multiplier, int32_t shift, int32_t zero_point)
{
    return (ek_shifter){multiplier, (1 << (-shift - 1)) + zero_point * (1 << -shift), -shift};
}

/* Of the doubled value; the zero point is in, saturation is not. */
static inline int32_t ek_shifted(ek_shifter s, int32_t doubled)
{
    return ek_smmlar(doubled, s.multiplier, s.constant + (doubled >> 31)) >> s.exponent;
}

/* The greater (or, with `least`, the smaller) of four int8 each. */
static inline uint32_t ek_four_greatest(uint32_t a, uint32_t b, bool least)
{
#ifdef __ARM_FEATURE_DSP
    uint32_t result; /* SSUB8 leaves the signs of a - b for SEL */
    __asm("ssub8 %0, %1, %2\n\tsel %0, %3, %4"
          : "=&r"(result)
          : "r"(a), "r"(b), "r"(least ? b : a), "r"(least ? a : b)
          : "cc");
    return result;
#else
    uint32_t result = 0;
    for (uint32_t bits = 0; bits < 32; bits += 8) {
        const bool greater = (int8_t)(a >> bits) >= (int8_t)(b >> bits);
        result |= ((greater != least ? a : b) >> bits & 0xffu) << bits;
    }
    return result;
#endif
}

static inline uint32_t ek_four_times(int32_t value)
{
    return ((uint32_t)value & 0xffu) * 0x01010101u;
}

/* For activations narrower than int8, after the kernels have saturated to int8. */
static inline void ek_narrow(int8_t *values, int32_t count, int32_t low, int32_t high)
{
    if (low == -128 && high == 127) {
        return;
    }
    const uint32_t lows = ek_four_times(low), highs = ek_four_times(high);
    for (; count >= 4; count -= 4, values += 4) {
        uint32_t four;
        memcpy(&four, values, sizeof four);
        four = ek_four_greatest(ek_four_greatest(four, lows, false), highs, true);
        memcpy(values, &four, sizeof four);
    }
    for (; count > 0; count--, values++) {
        *values = (int8_t)ek_clamp(*values, low, high);
    }
}

/* A byte as two int16: what the kernels see of a pixel outside of the image. */
static inline uint32_t ek_widened(int32_t value)
{
    return ((uint32_t)value & 0xffffu) * 0x10001u;
}

#endif
