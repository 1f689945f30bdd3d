/* The lesser or greater of two int8 operands, as they are stored. */
#ifndef EDGEKIT_OP_MINMAX_H
#define EDGEKIT_OP_MINMAX_H

#include "edgekit/broadcast.h"

typedef struct {
    ek_op_head head;
    ek_broadcast geometry;
    int32_t maximum; /* 0: the lesser, 1: the greater */
} ek_minmax;

#endif
