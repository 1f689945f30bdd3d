#include "edgekit/op_mul.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_mul *r = record;
    const bool good = ek_is_int8(r->b_zp) && ek_output_ok(r->a_zp, r->output_zp, r->act_min, r->act_max) &&
                      ek_multiplier_ok(r->multiplier, r->shift);
    return good ? ek_broadcast_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

/* Inlined with constant strides where that pays. */
static inline __attribute__((always_inline)) void row_of(const ek_mul *r, const int8_t *a, int32_t a_stride,
                                                         const int8_t *b, int32_t b_stride, ek_scaler scaler,
                                                         int8_t *output, int32_t count)
{
    const int32_t a_zp = r->a_zp, b_zp = r->b_zp, zp = r->output_zp, least = r->act_min, greatest = r->act_max;
    for (int32_t i = 0; i < count; i++, a += a_stride, b += b_stride) {
        output[i] = (int8_t)ek_clamp(ek_scale(scaler, (*a - a_zp) * (*b - b_zp)) + zp, least, greatest);
    }
}

/* A multiplier of 1 or more: the product is shifted to the left first. */
static void row_shifted_left(const ek_mul *r, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                             int8_t *output, int32_t count)
{
    for (int32_t i = 0; i < count; i++, a += a_stride, b += b_stride) {
        const int32_t product = (*a - r->a_zp) * (*b - r->b_zp);
        output[i] = ek_output(product, r->multiplier, r->shift, r->output_zp, r->act_min, r->act_max);
    }
}

static void row(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                int8_t *output, int32_t count)
{
    const ek_mul *r = record;
    if (r->shift > 0) {
        row_shifted_left(r, a, a_stride, b, b_stride, output, count);
        return;
    }
    ek_scaler scaler = ek_scaler_of(r->multiplier, r->shift);
    if (a_stride == 1 && b_stride == 1 && scaler.away) {
        scaler.away = -1;
        row_of(r, a, 1, b, 1, scaler, output, count);
    } else if (a_stride == 1 && b_stride == 0 && scaler.away) {
        scaler.away = -1;
        row_of(r, a, 1, b, 0, scaler, output, count);
    } else {
        row_of(r, a, a_stride, b, b_stride, scaler, output, count);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_broadcast_run(&((const ek_mul *)record)->geometry, record, row, arena, data);
}

const ek_operator ek_mul_portable = {EK_OP_MUL, sizeof(ek_mul), check, run};
