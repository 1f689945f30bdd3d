/* Mean, sum and maximum over any axes, int8. */
#ifndef EDGEKIT_OP_REDUCE_H
#define EDGEKIT_OP_REDUCE_H

#include "edgekit/model.h"

#define EK_REDUCE_RANK 3

/* Dimensions from the outermost on, merged by the compiler: those that stay, in the order of the dense output, and
 * those that vanish. Strides are the input's, in bytes. */
typedef struct {
    int32_t input, output;
    int32_t kept[EK_REDUCE_RANK], kept_strides[EK_REDUCE_RANK];
    int32_t reduced[EK_REDUCE_RANK], reduced_strides[EK_REDUCE_RANK];
} ek_reduction;

/* output = clamp(output_zp + requantise(sum of (input - input_zp))); a mean has 1 / count in its multiplier. */
typedef struct {
    ek_op_head head;
    ek_reduction geometry;
    int32_t input_zp, output_zp, multiplier, shift;
} ek_reduce;

typedef struct {
    ek_op_head head;
    ek_reduction geometry;
} ek_reduce_max;

#endif
