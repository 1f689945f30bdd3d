#include "edgekit/op_prelu.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_prelu *r = record;
    const bool good = ek_is_int8(r->input_zp) && ek_is_int8(r->alpha_zp) && ek_is_int8(r->output_zp) &&
                      ek_multiplier_ok(r->positive_multiplier, r->positive_shift) &&
                      ek_multiplier_ok(r->negative_multiplier, r->negative_shift);
    return good ? ek_broadcast_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

static void row(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                int8_t *output, int32_t count)
{
    const ek_prelu *r = record;
    for (int32_t i = 0; i < count; i++, a += a_stride, b += b_stride) {
        const int32_t x = *a - r->input_zp;
        output[i] = x >= 0 ? ek_output(x, r->positive_multiplier, r->positive_shift, r->output_zp, INT8_MIN, INT8_MAX)
                           : ek_output(x * (*b - r->alpha_zp), r->negative_multiplier, r->negative_shift,
                                       r->output_zp, INT8_MIN, INT8_MAX);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_broadcast_run(&((const ek_prelu *)record)->geometry, record, row, arena, data);
}

const ek_operator ek_prelu_portable = {EK_OP_PRELU, sizeof(ek_prelu), check, run};
