/* Every int8 -> int8 function of one value: output[i] = table[(uint8_t)input[i]]. */
#ifndef EDGEKIT_OP_LOOKUP_H
#define EDGEKIT_OP_LOOKUP_H

#include "edgekit/model.h"

typedef struct {
    ek_op_head head;
    int32_t input, output; /* arena; may be equal */
    int32_t count;
    int32_t table;         /* data: 256 int8, for the inputs 0, 1, ... 127, -128, ... -1 */
} ek_lookup;

#endif
