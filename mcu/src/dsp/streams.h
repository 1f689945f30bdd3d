/* The weight streams of op_conv.h and op_depthwise.h: where their parts stand, and the checks of records that use them.
 * Boards with the DSP extension (src/dsp) and the host (host/dsp_layouts.c) take and refuse the same records. */
#ifndef EK_STREAMS_H
#define EK_STREAMS_H

#include <stddef.h>

#include "dsp.h"
#include "edgekit/op_depthwise.h"

#define EK_GROUP 4                  /* channels that lie together */
#define EK_STARTS 4                 /* words before a group's weights */
#define EK_SCALINGS 12              /* words after them */

/* Of one channel in groups of `words` words. */
static inline ek_scaling ek_group_scaling(const int32_t *stream, int32_t words, int32_t channel)
{
    return ek_scaling_at(stream + (channel / EK_GROUP + 1) * words - EK_SCALINGS + channel % EK_GROUP * 3);
}

/* Whether `channels` channels in whole groups of `words` words lie in data, with scalings that can be carried out. */
static inline bool ek_groups_ok(const ek_limits *limits, int32_t weights, int32_t channels, int32_t words)
{
    const int64_t groups = ((int64_t)channels + EK_GROUP - 1) / EK_GROUP;
    if (!ek_words_in_data(limits, weights, groups * words)) {
        return false;
    }
    const int32_t *stream = (const void *)(limits->data + weights);
    for (int32_t c = 0; c < channels; c++) {
        if (!ek_scaling_ok(ek_group_scaling(stream, words, c))) {
            return false;
        }
    }
    return true;
}

/* ---- EK_CONV_TILES and EK_CONV_TILES_PLAIN ---- */

static inline bool ek_conv_in_tiles(const ek_conv *conv)
{
    return conv->layout == EK_CONV_TILES || conv->layout == EK_CONV_TILES_PLAIN;
}

/* K / 4, rounded up. */
static inline int64_t ek_conv_fours(const ek_conv *conv)
{
    return ((int64_t)conv->k_h * conv->k_w * conv->in_c + 3) / 4;
}

/* With at most EK_MAX_TAPS. */
static inline int32_t ek_conv_group_words(const ek_conv *conv)
{
    return EK_STARTS + (int32_t)ek_conv_fours(conv) * EK_GROUP + EK_SCALINGS;
}

static inline ek_status ek_conv_tiles_check(const ek_conv *conv, const ek_limits *limits)
{
    const ek_window window = ek_window_of(conv, offsetof(ek_conv, in_h));
    /* The columns, and one window's bytes where it has to be put together. */
    const int64_t scratch = ek_conv_fours(conv) * (conv->in_c % 4 == 0 ? 16 : 20);
    const bool good = ek_window_ok(limits, &window, conv->input, conv->output) &&
                      (int64_t)conv->k_h * conv->k_w * conv->in_c <= EK_MAX_TAPS && conv->groups == 1 &&
                      ek_between(conv->rounding, EK_ROUND_TWICE, EK_ROUND_ONCE) &&
                      ek_groups_ok(limits, conv->weights, conv->out_c, ek_conv_group_words(conv)) &&
                      ek_scratch_ok(limits, conv->scratch, conv->scratch_bytes, scratch) &&
                      ek_output_ok(conv->input_zp, conv->output_zp, conv->act_min, conv->act_max);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

/* ---- EK_DEPTHWISE_PLANES ---- */

#define EK_PLANE_WORDS 10           /* per channel: taps, bias, exponent, multiplier, constant */

static inline ek_scaling ek_plane_scaling(const int32_t *channel)
{
    return (ek_scaling){channel[8], channel[9], channel[7]};
}

static inline bool ek_planes_ok(const ek_depthwise *dw, const ek_limits *limits)
{
    const bool shape = dw->k_h == 3 && dw->k_w == 3 && dw->stride_h == 1 && dw->stride_w == 1 && dw->dilation_h == 1 &&
                       dw->dilation_w == 1 && dw->pad_top <= 2 && dw->pad_left <= 2 && dw->order == EK_ORDER_CHANNELS;
    const bool in_place = dw->input != dw->output || (dw->in_h == dw->out_h && dw->in_w == dw->out_w);
    if (!shape || !in_place || !ek_words_in_data(limits, dw->weights, (int64_t)dw->out_c * EK_PLANE_WORDS) ||
        !ek_scratch_ok(limits, dw->scratch, dw->scratch_bytes, ((int64_t)dw->out_w + 2) * 8 * EK_GROUP)) {
        return false;
    }
    const int32_t *stream = (const void *)(limits->data + dw->weights);
    for (int32_t c = 0; c < dw->out_c; c++, stream += EK_PLANE_WORDS) {
        if (!ek_scaling_ok(ek_plane_scaling(stream))) {
            return false;
        }
    }
    return true;
}

/* ---- EK_DEPTHWISE_TAPS ---- */

/* Of taps, rounded up; with at most EK_MAX_STEP by EK_MAX_STEP taps. */
static inline int32_t ek_tap_pairs(const ek_depthwise *dw)
{
    return (dw->k_h * dw->k_w + 1) / 2;
}

static inline int32_t ek_tap_words(const ek_depthwise *dw)
{
    return EK_STARTS + ek_tap_pairs(dw) * EK_GROUP + EK_SCALINGS;
}

static inline bool ek_taps_ok(const ek_depthwise *dw, const ek_limits *limits)
{
    /* The offsets of the taps must stay as they are while outputs are written. */
    const int64_t output_end = dw->output + (int64_t)dw->out_h * dw->out_w * dw->out_c;
    const bool apart = dw->output >= (int64_t)dw->scratch + dw->scratch_bytes || output_end <= dw->scratch;
    return dw->k_h * dw->k_w <= EK_MAX_TAPS && dw->order == EK_ORDER_ROWS && apart &&
           ek_groups_ok(limits, dw->weights, dw->out_c, ek_tap_words(dw)) &&
           ek_scratch_ok(limits, dw->scratch, dw->scratch_bytes, 8 * (int64_t)ek_tap_pairs(dw) + dw->out_c);
}

/* ---- both ---- */

static inline bool ek_depthwise_in_stream(const ek_depthwise *dw)
{
    return dw->layout == EK_DEPTHWISE_PLANES || dw->layout == EK_DEPTHWISE_TAPS;
}

static inline ek_status ek_depthwise_stream_check(const ek_depthwise *dw, const ek_limits *limits)
{
    const ek_window window = ek_window_of(dw, offsetof(ek_depthwise, in_h));
    const bool channels = dw->in_c == dw->out_c && dw->in_c % EK_GROUP == 0 && dw->depth_multiplier == 1;
    const bool good = channels && ek_window_ok(limits, &window, dw->input, dw->output) &&
                      ek_output_ok(dw->input_zp, dw->output_zp, dw->act_min, dw->act_max) &&
                      (dw->layout == EK_DEPTHWISE_PLANES ? ek_planes_ok(dw, limits) : ek_taps_ok(dw, limits));
    return good ? EK_OK : EK_BAD_OPERATOR;
}

#endif
