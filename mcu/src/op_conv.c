/* Convolution, portable: EK_CONV_OHWI, every geometry, no scratch.
 *
 * Output bytes are written in raster order, each position after all of its input has been read. That is what the
 * overlap rule of edgekit/convert/mcu/steps.py asks: 1x1 without padding may trail pixel by pixel, all else row by row.
 */
#include <stddef.h>

#include "edgekit/check.h"
#include "edgekit/op_conv.h"
#include "edgekit/quant.h"
#include "operators.h"

/* One output channel's weights and the input channels that it reads. */
typedef struct {
    const int8_t *input;       /* first input channel of the group, at position (0, 0) */
    const int8_t *weights;     /* tap 0 */
    int32_t depth;             /* input channels of the group */
    int8_t outside;            /* input_zp */
} filter;

static int64_t taps_of(const ek_conv *conv)
{
    return (int64_t)conv->k_h * conv->k_w * (conv->in_c / conv->groups);
}

/* The taps [first, first + count) with the input bytes at `input`, or `step` == 0: all with the same byte. */
static inline int32_t dot(const filter *f, const int8_t *input, int32_t step, int32_t first, int32_t count)
{
    const int8_t *weights = f->weights + first;
    int32_t sum = 0;
    for (int32_t i = 0; i < count; i++) {
        sum += weights[i] * input[i * step];
    }
    return sum;
}

/* One row of the kernel over input row `iy`, from input column x0 on. */
static int32_t sum_row(const ek_conv *conv, const filter *f, int32_t iy, int32_t x0, int32_t first)
{
    const int32_t depth = f->depth;
    if (iy < 0 || iy >= conv->in_h) {
        return dot(f, &f->outside, 0, first, conv->k_w * depth);
    }
    const int8_t *row = f->input + iy * conv->in_w * conv->in_c;
    const bool contiguous = conv->dilation_w == 1 && depth == conv->in_c;
    int32_t sum = 0;
    for (int32_t kx = 0, columns = 1; kx < conv->k_w; kx += columns) {
        const int32_t ix = x0 + kx * conv->dilation_w;
        columns = 1;
        if (ix < 0 || ix >= conv->in_w) {
            sum += dot(f, &f->outside, 0, first + kx * depth, depth);
            continue;
        }
        if (contiguous) {
            columns = ek_clamp(conv->in_w - ix, 1, conv->k_w - kx);
        }
        sum += dot(f, row + ix * conv->in_c, 1, first + kx * depth, columns * depth);
    }
    return sum;
}

static int32_t sum_window(const ek_conv *conv, const filter *f, int32_t y, int32_t x)
{
    const int32_t x0 = x * conv->stride_w - conv->pad_left;
    int32_t iy = y * conv->stride_h - conv->pad_top;
    int32_t sum = 0;
    for (int32_t ky = 0; ky < conv->k_h; ky++, iy += conv->dilation_h) {
        sum += sum_row(conv, f, iy, x0, ky * conv->k_w * f->depth);
    }
    return sum;
}

static int8_t output_of(const ek_conv *conv, int32_t sum, int32_t multiplier, int32_t shift)
{
    if (conv->rounding == EK_ROUND_TWICE) {
        return ek_output(sum, multiplier, shift, conv->output_zp, conv->act_min, conv->act_max);
    }
    const int32_t value = ek_clamp(ek_requantise_once(sum, multiplier, shift), -65536, 65536);
    return (int8_t)ek_clamp(value + conv->output_zp, conv->act_min, conv->act_max);
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_conv *conv = record;
    const int32_t *bias = (const void *)(data + conv->bias);
    const int32_t *multiplier = (const void *)(data + conv->multiplier);
    const int32_t *shift = (const void *)(data + conv->shift);
    const int8_t *input = (const void *)(arena + conv->input);
    const int8_t *weights = (const void *)(data + conv->weights);
    int8_t *output = (void *)(arena + conv->output);
    const int32_t taps = (int32_t)taps_of(conv);
    const int32_t group_channels = conv->out_c / conv->groups;
    filter f = {input, weights, conv->in_c / conv->groups, (int8_t)conv->input_zp};
    for (int32_t y = 0; y < conv->out_h; y++) {
        for (int32_t x = 0; x < conv->out_w; x++) {
            f.input = input;
            for (int32_t c = 0, in_group = 0; c < conv->out_c; c++, in_group++) {
                if (in_group == group_channels) {
                    in_group = 0;
                    f.input += f.depth;
                }
                f.weights = weights + c * taps;
                const int32_t sum = ek_wrap_add(bias[c], sum_window(conv, &f, y, x));
                *output++ = output_of(conv, sum, multiplier[c], shift[c]);
            }
        }
    }
}

static bool weights_ok(const ek_conv *conv, const ek_limits *limits)
{
    const int64_t taps = taps_of(conv);
    return taps <= EK_MAX_TAPS && ek_in_data(limits, conv->weights, conv->out_c * taps) &&
           ek_words_in_data(limits, conv->bias, conv->out_c) &&
           ek_multipliers_ok(limits, conv->multiplier, conv->shift, conv->out_c);
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_conv *conv = record;
    const ek_window window = ek_window_of(conv, offsetof(ek_conv, in_h));
    if (conv->layout != EK_CONV_OHWI) {
        return EK_NO_OPERATOR;
    }
    if (!ek_window_ok(limits, &window, conv->input, conv->output) ||
        !ek_scratch_ok(limits, conv->scratch, conv->scratch_bytes, 0) ||
        !ek_between(conv->rounding, EK_ROUND_TWICE, EK_ROUND_ONCE) ||
        !ek_output_ok(conv->input_zp, conv->output_zp, conv->act_min, conv->act_max)) {
        return EK_BAD_OPERATOR;
    }
    const bool groups = conv->groups >= 1 && conv->in_c % conv->groups == 0 && conv->out_c % conv->groups == 0;
    return groups && weights_ok(conv, limits) ? EK_OK : EK_BAD_OPERATOR;
}

const ek_operator ek_conv_portable = {EK_OP_CONV, sizeof(ek_conv), check, run};
