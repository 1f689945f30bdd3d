/* Convolution, int8 in and out, int32 accumulators; a fully connected layer is 1x1 over in_w rows. */
#ifndef EDGEKIT_OP_CONV_H
#define EDGEKIT_OP_CONV_H

#include "edgekit/model.h"

/* Order of the weights in data. */
#define EK_CONV_OHWI 0  /* [out_c][k_h][k_w][in_c / groups] */
/* For src/dsp/conv.c, groups == 1 only; bias, multiplier and shift are unused, all is in `weights`: a stream of int32,
 * 4 bytes aligned. K = k_h*k_w*in_c in the order (k_h, k_w, in_c), padded with zeros to a multiple of 4; out_c padded
 * with zero channels to a multiple of 4. Per four channels a, b, c, d:
 *   4 words: the starts of the sums: bias a, bias a + 256 * bias b, bias c, bias c + 256 * bias d (modulo 2^32);
 *   4 words per four k: (k, k+2) of a and b, (k, k+2) of c and d, (k+1, k+3) of a and b, (k+1, k+3) of c and d, where
 *     a word holds for the two k the int16 256 * b + a (256 * d + c), the lower k in the lower half;
 *   3 words per channel: multiplier, constant, exponent (ek_scaling in src/dsp/dsp.h).
 * The compiler promises |sum of b or d| < 2^23 and |sum of any| < 2^30 for every input.
 * Scratch: 4 * K bytes; 5 * K if in_c is no multiple of 4. */
#define EK_CONV_TILES 2
/* The same without the promise of 2^23: starts are the four biases, and a word's int16 holds the bytes (a, b). */
#define EK_CONV_TILES_PLAIN 3

/* How an accumulator is requantised (quant.h). */
#define EK_ROUND_TWICE 0 /* ek_requantise: TFLite's MultiplyByQuantizedMultiplier, convolutions */
#define EK_ROUND_ONCE 1  /* ek_requantise_once: LiteRT's fully connected layers */

/* out = clamp(output_zp + requantise(bias + sum(in * w))), with the requantisation that `rounding` names. Positions
 * outside the input count as input_zp; bias already holds the bias of the source minus input_zp * sum(w), so that
 * kernels multiply the stored values as they are. */
typedef struct {
    ek_op_head head;
    int32_t input, output;             /* arena offsets */
    int32_t scratch, scratch_bytes;    /* arena; multiple of 8; may be 0 bytes for EK_CONV_OHWI */
    int32_t in_h, in_w, in_c;
    int32_t out_h, out_w, out_c;
    int32_t k_h, k_w, stride_h, stride_w, dilation_h, dilation_w;
    int32_t pad_top, pad_left;         /* bottom and right follow from out_h, out_w */
    int32_t groups;
    int32_t input_zp, output_zp, act_min, act_max;
    int32_t layout;                    /* EK_CONV_... */
    int32_t rounding;                  /* EK_ROUND_... */
    int32_t weights, bias, multiplier, shift; /* data offsets; int32 per output channel (padded as the layout pads)
                                               * for the last three; shift as in TFLite: > 0 is to the left */
} ek_conv;

#endif
