/* Softmax of rows of int8; the output has scale 1/256 and zero point -128. */
#ifndef EDGEKIT_OP_SOFTMAX_H
#define EDGEKIT_OP_SOFTMAX_H

#include "edgekit/model.h"

#define EK_SOFTMAX_MOST 4095 /* a row's length: the sum of so many exponentials fits Q12.19 */

/* exp(beta * scale * (value - greatest of the row)) depends on a difference of 0 to 255 only: table[-difference] is
 * that exponential in Q0.31 as the reference's fixed-point arithmetic makes it, 0 where the reference leaves it out. */
typedef struct {
    ek_op_head head;
    int32_t input, output; /* arena; the output may lie over the input, from its start or before */
    int32_t rows, depth;
    int32_t table;         /* data: 256 int32 */
} ek_softmax;

#endif
