/* Average and maximum over windows, int8, input and output with the same quantisation. Every window must hold at least
 * one input position; those outside the input don't count. Output pixel by output pixel; within one, channels from the
 * first on, each written when its window and those of the channels before it have been read. */
#ifndef EDGEKIT_OP_POOL_H
#define EDGEKIT_OP_POOL_H

#include "edgekit/model.h"

typedef struct {
    ek_op_head head;
    int32_t input, output;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t k_h, k_w, stride_h, stride_w;
    int32_t pad_top, pad_left;
    int32_t act_min, act_max;
} ek_pool;

#endif
