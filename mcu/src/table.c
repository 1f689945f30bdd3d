/* The operators of this build, one row each. */
#include "operators.h"

const ek_operator *const ek_operators[] = {
#if defined(EK_DSP)
    &ek_conv_dsp,
    &ek_depthwise_dsp,
    &ek_add_dsp,
    &ek_batch_matmul_dsp,
#elif defined(EK_HOST_LAYOUTS)
    &ek_conv_host,
    &ek_depthwise_host,
    &ek_add_portable,
    &ek_batch_matmul_portable,
#else
    &ek_conv_portable,
    &ek_depthwise_portable,
    &ek_add_portable,
    &ek_batch_matmul_portable,
#endif
    &ek_mul_portable,
    &ek_squared_difference_portable,
    &ek_minmax_portable,
    &ek_average_pool_portable,
    &ek_max_pool_portable,
    &ek_reduce_portable,
    &ek_reduce_max_portable,
    &ek_softmax_portable,
    &ek_lookup_portable,
    &ek_copy_portable,
    &ek_fill_portable,
    &ek_resize_bilinear_portable,
    &ek_resize_nearest_portable,
    &ek_prelu_portable,
};

const uint32_t ek_operator_count = sizeof ek_operators / sizeof ek_operators[0];
