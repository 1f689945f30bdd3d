#include "edgekit/op_squared_difference.h"

#include "op_common.h"
#include "operators.h"

#define LEFT 7 /* bits; TFLite's left_shift */

/* At most 1/2, as the reference has it: then the square of the difference fits 32 bits. */
static bool at_most_half(int32_t multiplier, int32_t shift)
{
    return ek_multiplier_ok(multiplier, shift) && (shift < 0 || (shift == 0 && multiplier <= 1 << 30));
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_squared_difference *r = record;
    const bool good = ek_is_int8(r->a_zp) && ek_is_int8(r->b_zp) && ek_is_int8(r->output_zp) &&
                      at_most_half(r->a_multiplier, r->a_shift) && at_most_half(r->b_multiplier, r->b_shift) &&
                      ek_multiplier_ok(r->output_multiplier, r->output_shift) && r->output_shift <= 0;
    return good ? ek_broadcast_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

static void row(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                int8_t *output, int32_t count)
{
    const ek_squared_difference *r = record;
    const ek_scaler a_scaler = ek_scaler_of(r->a_multiplier, r->a_shift);
    const ek_scaler b_scaler = ek_scaler_of(r->b_multiplier, r->b_shift);
    const ek_scaler scaler = ek_scaler_of(r->output_multiplier, r->output_shift);
    const int32_t a_zp = r->a_zp, b_zp = r->b_zp, output_zp = r->output_zp;
    int32_t right = ek_scale(b_scaler, (*b - b_zp) * (1 << LEFT));
    for (int32_t i = 0; i < count; i++, a += a_stride, b += b_stride) {
        if (b_stride != 0) {
            right = ek_scale(b_scaler, (*b - b_zp) * (1 << LEFT));
        }
        const int32_t difference = ek_scale(a_scaler, (*a - a_zp) * (1 << LEFT)) - right;
        output[i] = (int8_t)ek_clamp(ek_scale(scaler, difference * difference) + output_zp, INT8_MIN, INT8_MAX);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_broadcast_run(&((const ek_squared_difference *)record)->geometry, record, row, arena, data);
}

const ek_operator ek_squared_difference_portable = {EK_OP_SQUARED_DIFFERENCE, sizeof(ek_squared_difference), check,
                                                    run};
