/* x where x >= 0, else alpha * x, with alpha (operand b) broadcast. */
#ifndef EDGEKIT_OP_PRELU_H
#define EDGEKIT_OP_PRELU_H

#include "edgekit/broadcast.h"

typedef struct {
    ek_op_head head;
    ek_broadcast geometry;                         /* a: the input, b: alpha */
    int32_t input_zp, alpha_zp, output_zp;
    int32_t positive_multiplier, positive_shift;   /* of x */
    int32_t negative_multiplier, negative_shift;   /* of alpha * x */
} ek_prelu;

#endif
