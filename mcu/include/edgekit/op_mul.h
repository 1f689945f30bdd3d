/* Multiplication of int8 operands. */
#ifndef EDGEKIT_OP_MUL_H
#define EDGEKIT_OP_MUL_H

#include "edgekit/broadcast.h"

/* output = clamp(output_zp + requantise((a - a_zp) * (b - b_zp))) */
typedef struct {
    ek_op_head head;
    ek_broadcast geometry;
    int32_t a_zp, b_zp, output_zp, multiplier, shift;
    int32_t act_min, act_max;
} ek_mul;

#endif
