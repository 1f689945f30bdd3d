/* Depthwise convolution, int8; the arithmetic of op_conv.h. Output channel c reads input channel
 * c / depth_multiplier. */
#ifndef EDGEKIT_OP_DEPTHWISE_H
#define EDGEKIT_OP_DEPTHWISE_H

#include "edgekit/model.h"

/* Order of the weights in data. */
#define EK_DEPTHWISE_HWC 0  /* [k_h][k_w][out_c] */
/* For src/dsp/depthwise.c, depth_multiplier == 1 and a multiple of 4 channels; bias, multiplier and shift are unused,
 * all is in `weights`, streams of int32, 4 bytes aligned. The compiler promises |sum| < 2^30 for every input.
 *
 * PLANES: 3x3, stride and dilation 1, pad_top and pad_left <= 2, EK_ORDER_CHANNELS. Ten words per channel: for each kx
 * the int16 pairs (w[0][kx], w[1][kx]) and (w[1][kx], w[2][kx]); bias; exponent, multiplier, constant (ek_scaling in
 * src/dsp/dsp.h). Scratch: 32 * (out_w + 2) bytes. */
#define EK_DEPTHWISE_PLANES 2
/* TAPS: any window, EK_ORDER_ROWS. Per four channels: 4 words: the biases; 4 words per two taps (in the order k_h, k_w,
 * padded with zeros to an even number): per channel the int16 pair of its two taps; 3 words per channel: multiplier,
 * constant, exponent. Scratch: 4 bytes per tap, of the even number, and a byte per channel. */
#define EK_DEPTHWISE_TAPS 3

/* Order of the work: what may share memory with what (see edgekit/convert/mcu/steps.py). */
#define EK_ORDER_ROWS 0      /* output row by output row, all channels: the output may trail the input by some rows */
#define EK_ORDER_CHANNELS 1  /* channel by channel over the whole image: output == input address, or disjoint */

/* Scratch. The portable kernel needs none, except for EK_ORDER_CHANNELS with output == input, where it keeps the rows
 * of one channel that it overwrites: min(pad_top + 1, in_h) * in_w bytes, rounded up to a multiple of 8. */

typedef struct {
    ek_op_head head;
    int32_t input, output;
    int32_t scratch, scratch_bytes;
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t k_h, k_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;
    int32_t depth_multiplier;
    int32_t input_zp, output_zp, act_min, act_max;
    int32_t layout, order;
    int32_t weights, bias, multiplier, shift;
} ek_depthwise;

#endif
