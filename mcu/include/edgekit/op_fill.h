/* One int8 value everywhere. */
#ifndef EDGEKIT_OP_FILL_H
#define EDGEKIT_OP_FILL_H

#include "edgekit/model.h"

typedef struct {
    ek_op_head head;
    int32_t output, bytes;
    int32_t value;
} ek_fill;

#endif
