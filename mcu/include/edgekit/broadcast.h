/* The geometry that all element-wise operators of two operands share: strided operands, dense output. */
#ifndef EDGEKIT_BROADCAST_H
#define EDGEKIT_BROADCAST_H

#include "edgekit/runtime.h"

#define EK_BROADCAST_RANK 5

/* Dimensions from the outermost on; the compiler merges what can be merged, so that equal shapes are one row. A stride
 * of 0 repeats the operand along that dimension. An operand that has the output's shape may lie where the output is. */
typedef struct {
    int32_t a, b;                    /* arena offsets, or data offsets where the flag says so */
    int32_t a_constant, b_constant;
    int32_t output;
    int32_t dims[EK_BROADCAST_RANK];
    int32_t a_strides[EK_BROADCAST_RANK], b_strides[EK_BROADCAST_RANK]; /* bytes */
} ek_broadcast;

/* One run along the innermost dimension. */
typedef void (*ek_row)(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                       int8_t *output, int32_t count);

ek_status ek_broadcast_check(const ek_broadcast *geometry, const ek_limits *limits);
void ek_broadcast_run(const ek_broadcast *geometry, const void *record, ek_row row, uint8_t *arena,
                      const uint8_t *data);

#endif
