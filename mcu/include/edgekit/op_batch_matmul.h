/* Products of int8 matrices, over up to three batch dimensions. */
#ifndef EDGEKIT_OP_BATCH_MATMUL_H
#define EDGEKIT_OP_BATCH_MATMUL_H

#include "edgekit/model.h"

#define EK_MATMUL_RANK 3
#define EK_MATMUL_MOST 33000 /* depth: so many products of differences of up to 255 fit an int32 */

/* output[i][j] = output_zp + requantise(sum over k of (a[i][k] - a_zp) * (b[k][j] - b_zp)), the output dense. Operands
 * are read through strides, in bytes: a transposed one has its strides exchanged, a repeated one has 0 in a batch
 * dimension. The fast cases: depth strides of 1 on both sides, or a column stride of 1. */
typedef struct {
    ek_op_head head;
    int32_t a, b;
    int32_t a_constant, b_constant; /* 1: in data */
    int32_t output;
    int32_t batches[EK_MATMUL_RANK], a_batch_strides[EK_MATMUL_RANK], b_batch_strides[EK_MATMUL_RANK];
    int32_t rows, depth, columns;
    int32_t a_row_stride, a_depth_stride, b_depth_stride, b_column_stride;
    int32_t a_zp, b_zp, output_zp, multiplier, shift;
} ek_batch_matmul;

#endif
