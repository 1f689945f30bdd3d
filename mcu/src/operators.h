/* Every operator of this runtime. src/table.c lists those that a build has. */
#ifndef EK_OPERATORS_H
#define EK_OPERATORS_H

#include "edgekit/runtime.h"

/* src/op_*.c: portable. The DSP variants hand them the layouts that they do not take themselves. */
extern const ek_operator ek_conv_portable;
extern const ek_operator ek_depthwise_portable;
extern const ek_operator ek_add_portable;
extern const ek_operator ek_mul_portable;
extern const ek_operator ek_squared_difference_portable;
extern const ek_operator ek_minmax_portable;
extern const ek_operator ek_average_pool_portable;
extern const ek_operator ek_max_pool_portable;
extern const ek_operator ek_reduce_portable;
extern const ek_operator ek_reduce_max_portable;
extern const ek_operator ek_softmax_portable;
extern const ek_operator ek_lookup_portable;
extern const ek_operator ek_copy_portable;
extern const ek_operator ek_fill_portable;
extern const ek_operator ek_resize_bilinear_portable;
extern const ek_operator ek_resize_nearest_portable;
extern const ek_operator ek_batch_matmul_portable;
extern const ek_operator ek_prelu_portable;

/* src/dsp/, with EK_DSP. */
extern const ek_operator ek_conv_dsp;
extern const ek_operator ek_depthwise_dsp;
extern const ek_operator ek_add_dsp;
extern const ek_operator ek_batch_matmul_dsp;

/* host/dsp_layouts.c, with EK_HOST_LAYOUTS: the layouts of src/dsp on a machine that has no such core. */
extern const ek_operator ek_conv_host;
extern const ek_operator ek_depthwise_host;

#endif
