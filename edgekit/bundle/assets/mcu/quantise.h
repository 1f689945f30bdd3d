/* Between real numbers and the int8 that models take and give: real = scale * (stored - zero_point). */
#ifndef EDGEKIT_QUANTISE_H
#define EDGEKIT_QUANTISE_H

#include <stdint.h>

/* As LiteRT's QUANTIZE: value / scale in float32, rounded, halves away from zero, plus the zero point; what does not
 * fit becomes -128 or 127, and a NaN the zero point. Needs IEEE arithmetic: no -ffast-math. */
static inline int8_t edgekit_quantise(float value, float scale, int32_t zero_point)
{
    const float ratio = value / scale;
    if (ratio != ratio) {
        return (int8_t)zero_point;
    }
    if (ratio > 512.0f) { /* before the conversion, which is undefined for what an int32 can't hold */
        return 127;
    }
    if (ratio < -512.0f) {
        return -128;
    }
    int32_t stored = (int32_t)ratio; /* towards zero; what is left is exact */
    const float rest = ratio - (float)stored;
    stored += (rest >= 0.5f ? 1 : 0) - (rest <= -0.5f ? 1 : 0) + zero_point;
    return (int8_t)(stored < -128 ? -128 : stored > 127 ? 127 : stored);
}

/* As LiteRT's DEQUANTIZE: one float32 product. */
static inline float edgekit_dequantise(int8_t stored, float scale, int32_t zero_point)
{
    return scale * (float)(stored - zero_point);
}

#endif
