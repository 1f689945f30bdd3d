/* Moving bytes without looking at them: slices, transpositions, concatenation, padding, broadcasts. */
#ifndef EDGEKIT_OP_COPY_H
#define EDGEKIT_OP_COPY_H

#include "edgekit/model.h"

#define EK_COPY_RANK 6

/* For every position, from the outermost dimension on: `bytes` bytes from input to output. A stride of 0 of the input
 * repeats it. With fill_bytes > 0 that many bytes from `output` on are set to fill_value first (padding). Nothing is
 * read ahead, and a run goes from low to high addresses: how far an output may reach into its input follows from the
 * strides (edgekit/convert/mcu/lower/geometry.py). */
typedef struct {
    ek_op_head head;
    int32_t input, input_constant, output; /* input: in data where input_constant is 1 */
    int32_t bytes;
    int32_t dims[EK_COPY_RANK], input_strides[EK_COPY_RANK], output_strides[EK_COPY_RANK]; /* bytes */
    int32_t output_start;                  /* bytes from `output` to the first position */
    int32_t input_start;
    int32_t fill_bytes, fill_value;
} ek_copy;

#endif
