/* Resizing of height and width, int8. */
#ifndef EDGEKIT_OP_RESIZE_H
#define EDGEKIT_OP_RESIZE_H

#include "edgekit/model.h"

/* Position y of the output lies at y * scale_h + offset in the input, in 1/1024 of a pixel. */
typedef struct {
    ek_op_head head;
    int32_t input, output;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t scale_h, scale_w, offset_h, offset_w;
} ek_resize_bilinear;

typedef struct {
    ek_op_head head;
    int32_t input, output;
    int32_t in_h, in_w, channels;
    int32_t out_h, out_w;
    int32_t rows, columns; /* data: int32 per output row (column): that of the input */
} ek_resize_nearest;

#endif
