/* Addition and subtraction of int8 operands with quantisations of their own. */
#ifndef EDGEKIT_OP_ADD_H
#define EDGEKIT_OP_ADD_H

#include "edgekit/broadcast.h"

/* Each operand, less its zero point and shifted left by 20, is requantised by its multiplier; the sum (or difference
 * a-b) is requantised by the output's: TFLite's reference ADD and SUB. The multipliers are scale / (2 * larger scale),
 * so one of them is 1/2 (2^30, shift 0) and the other less; the output's shift is not to the left. */
typedef struct {
    ek_op_head head;
    ek_broadcast geometry;
    int32_t subtract;
    int32_t a_zp, a_multiplier, a_shift;
    int32_t b_zp, b_multiplier, b_shift;
    int32_t output_zp, output_multiplier, output_shift;
    int32_t act_min, act_max;
} ek_add;

#endif
