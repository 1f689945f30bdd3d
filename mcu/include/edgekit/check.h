/* What the operators' check() functions share. Sums and products are in 64 bits: the numbers come from outside. */
#ifndef EDGEKIT_CHECK_H
#define EDGEKIT_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "edgekit/runtime.h"

/* Bounds of a window's numbers, so that no position that a kernel computes leaves int32. */
#define EK_MAX_SIDE 1048575    /* height, width, padding; a 1x1 convolution may be one long row */
#define EK_MAX_STEP 1024       /* kernel side, stride, dilation */
#define EK_MAX_CHANNELS 1048575
#define EK_MAX_TAPS 131071     /* products per sum: 131071 * 128 * 128 < 2^31 */

/* The fields in_h ... pad_left, as they follow each other in ek_conv and ek_depthwise. */
typedef struct {
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t k_h, k_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
} ek_window;

static inline bool ek_between(int32_t value, int32_t low, int32_t high)
{
    return value >= low && value <= high;
}

static inline bool ek_is_int8(int32_t value)
{
    return ek_between(value, -128, 127);
}

/* Whether [offset, offset + bytes) lies in [0, limit). */
static inline bool ek_inside(int64_t offset, int64_t bytes, uint32_t limit)
{
    return offset >= 0 && bytes >= 0 && bytes <= (int64_t)limit && offset <= (int64_t)limit - bytes;
}

static inline bool ek_in_arena(const ek_limits *limits, int32_t offset, int64_t bytes)
{
    return ek_inside(offset, bytes, limits->arena_bytes);
}

static inline bool ek_in_data(const ek_limits *limits, int32_t offset, int64_t bytes)
{
    return ek_inside(offset, bytes, limits->data_bytes);
}

/* `count` int32 in data, aligned. */
static inline bool ek_words_in_data(const ek_limits *limits, int32_t offset, int64_t count)
{
    return offset % 4 == 0 && count >= 0 && count <= INT32_MAX && ek_in_data(limits, offset, 4 * count);
}

/* `scratch` as every record has it: in the arena, a multiple of 8, of at least `needed` bytes. */
static inline bool ek_scratch_ok(const ek_limits *limits, int32_t offset, int32_t bytes, int64_t needed)
{
    return bytes >= needed && offset % 8 == 0 && ek_in_arena(limits, offset, bytes);
}

/* What ek_requantise() asks of one multiplier and shift. */
static inline bool ek_multiplier_ok(int32_t multiplier, int32_t shift)
{
    return multiplier >= 0 && ek_between(shift, -31, 30);
}

/* The same for arrays in data, as convolutions have them. */
static inline bool ek_multipliers_ok(const ek_limits *limits, int32_t multiplier, int32_t shift, int64_t count)
{
    if (!ek_words_in_data(limits, multiplier, count) || !ek_words_in_data(limits, shift, count)) {
        return false;
    }
    const int32_t *multipliers = (const int32_t *)(const void *)(limits->data + multiplier);
    const int32_t *shifts = (const int32_t *)(const void *)(limits->data + shift);
    for (int64_t i = 0; i < count; i++) {
        if (!ek_multiplier_ok(multipliers[i], shifts[i])) {
            return false;
        }
    }
    return true;
}

/* `in_h` points at the record's field of that name. */
static inline ek_window ek_window_of(const void *record, uint32_t offset_of_in_h)
{
    ek_window window;
    memcpy(&window, (const uint8_t *)record + offset_of_in_h, sizeof window);
    return window;
}

/* Whether every number is in range, and input and output lie in the arena. Windows may hang over, or lie outside. */
static inline bool ek_window_ok(const ek_limits *limits, const ek_window *w, int32_t input, int32_t output)
{
    bool sides = ek_between(w->in_h, 1, EK_MAX_SIDE) && ek_between(w->in_w, 1, EK_MAX_SIDE) &&
                 ek_between(w->out_h, 1, EK_MAX_SIDE) && ek_between(w->out_w, 1, EK_MAX_SIDE) &&
                 ek_between(w->pad_top, 0, EK_MAX_SIDE) && ek_between(w->pad_left, 0, EK_MAX_SIDE);
    bool steps = ek_between(w->k_h, 1, EK_MAX_STEP) && ek_between(w->k_w, 1, EK_MAX_STEP) &&
                 ek_between(w->stride_h, 1, EK_MAX_STEP) && ek_between(w->stride_w, 1, EK_MAX_STEP) &&
                 ek_between(w->dilation_h, 1, EK_MAX_STEP) && ek_between(w->dilation_w, 1, EK_MAX_STEP);
    bool channels = ek_between(w->in_c, 1, EK_MAX_CHANNELS) && ek_between(w->out_c, 1, EK_MAX_CHANNELS);
    return sides && steps && channels && ek_in_arena(limits, input, (int64_t)w->in_h * w->in_w * w->in_c) &&
           ek_in_arena(limits, output, (int64_t)w->out_h * w->out_w * w->out_c);
}

/* Zero points and the clamp of an int8 output. */
static inline bool ek_output_ok(int32_t input_zp, int32_t output_zp, int32_t act_min, int32_t act_max)
{
    return ek_is_int8(input_zp) && ek_is_int8(output_zp) && ek_is_int8(act_min) && ek_is_int8(act_max) &&
           act_min <= act_max;
}

#endif
