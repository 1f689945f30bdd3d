/* Fixed-point arithmetic, bit-exact with TFLite's reference kernels (gemmlowp's functions, double rounding). */
#ifndef EDGEKIT_QUANT_H
#define EDGEKIT_QUANT_H

#include <stdint.h>

/* a + b modulo 2^32, without the undefined behaviour of signed overflow. */
static inline int32_t ek_wrap_add(int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* x * 2^shift modulo 2^32; shift 0..31. */
static inline int32_t ek_wrap_shift_left(int32_t x, int32_t shift)
{
    return (int32_t)((uint32_t)x << shift);
}

static inline int32_t ek_clamp(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* gemmlowp's SaturatingRoundingDoublingHighMul for b >= 0: round(a * b / 2^31), halves up. gemmlowp rounds halves away
 * from zero by a nudge and a division that truncates; for every product that is this one shift. */
static inline int32_t ek_high_mul_positive(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* The same for any b; the one product that does not fit saturates. */
static inline int32_t ek_high_mul(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    return ek_high_mul_positive(a, b);
}

/* gemmlowp's RoundingDivideByPOT: x / 2^exponent, halves away from zero; exponent 0..31. */
static inline int32_t ek_rounding_shift_right(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << exponent) - 1);
    const int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> exponent) + ((x & mask) > threshold);
}

/* TFLite's MultiplyByQuantizedMultiplier: x * multiplier * 2^(shift - 31). multiplier >= 0, shift -31..30
 * (ek_multiplier_ok); what a shift to the left pushes out of 32 bits is lost. */
static inline int32_t ek_requantise(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift > 0) {
        return ek_high_mul_positive(ek_wrap_shift_left(x, shift), multiplier);
    }
    return ek_rounding_shift_right(ek_high_mul_positive(x, multiplier), -shift);
}

/* The same with one rounding, halves away from zero, as LiteRT's fully connected layers do it; saturates. */
static inline int32_t ek_requantise_once(int32_t x, int32_t multiplier, int32_t shift)
{
    const int64_t product = (int64_t)x * multiplier;
    const int32_t right = 31 - shift; /* 1..62 */
    const int64_t value = (product + ((int64_t)1 << (right - 1)) - (product < 0)) >> right;
    return value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* An accumulator as the int8 value that is stored. */
static inline int8_t ek_output(int32_t accumulator, int32_t multiplier, int32_t shift, int32_t zero_point,
                               int32_t act_min, int32_t act_max)
{
    const int32_t value = ek_wrap_add(ek_requantise(accumulator, multiplier, shift), zero_point);
    return (int8_t)ek_clamp(value, act_min, act_max);
}

#endif
