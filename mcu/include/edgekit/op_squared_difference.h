/* (a - b)^2 of int8 operands with quantisations of their own. */
#ifndef EDGEKIT_OP_SQUARED_DIFFERENCE_H
#define EDGEKIT_OP_SQUARED_DIFFERENCE_H

#include "edgekit/broadcast.h"

/* Each operand, less its zero point and shifted left by 7, is requantised by its multiplier; the square of the
 * difference by the output's. a_shift and b_shift are to the right (<= 0). */
typedef struct {
    ek_op_head head;
    ek_broadcast geometry;
    int32_t a_zp, a_multiplier, a_shift;
    int32_t b_zp, b_multiplier, b_shift;
    int32_t output_zp, output_multiplier, output_shift;
} ek_squared_difference;

#endif
