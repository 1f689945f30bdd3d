#include "edgekit/op_add.h"

#include "op_common.h"
#include "operators.h"

#define LEFT 20 /* bits; TFLite's left_shift for int8 */

/* The operand with the larger scale has the multiplier 1/2: no rounding there. */
static inline bool is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == 1 << 30 && shift == 0;
}

/* At most 1, and one of them 1/2 exactly. */
static bool operands_ok(const ek_add *r)
{
    const bool a = is_half(r->a_multiplier, r->a_shift), b = is_half(r->b_multiplier, r->b_shift);
    return (a || b) && ek_multiplier_ok(r->a_multiplier, r->a_shift) && r->a_shift <= 0 &&
           ek_multiplier_ok(r->b_multiplier, r->b_shift) && r->b_shift <= 0;
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_add *r = record;
    const bool good = ek_is_flag(r->subtract) && ek_is_int8(r->b_zp) &&
                      ek_output_ok(r->a_zp, r->output_zp, r->act_min, r->act_max) &&
                      operands_ok(r) && ek_multiplier_ok(r->output_multiplier, r->output_shift) &&
                      r->output_shift <= 0;
    return good ? ek_broadcast_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

static inline int32_t halved(int32_t value, int32_t zp)
{
    return (value - zp) * (1 << (LEFT - 1));
}

static inline int32_t scaled(ek_scaler scaler, int32_t value, int32_t zp)
{
    return ek_scale(scaler, (value - zp) * (1 << LEFT));
}

typedef struct {
    const int8_t *values;
    int32_t stride, zp, sign; /* sign: 1 or -1 */
} operand;

/* x has the multiplier 1/2. Inlined with constant strides and signs where that pays. */
static inline __attribute__((always_inline)) void row_of(const ek_add *r, operand x, operand y, ek_scaler y_scaler,
                                                         ek_scaler scaler, int8_t *output, int32_t count)
{
    const int32_t zp = r->output_zp, least = r->act_min, greatest = r->act_max;
    int32_t other = y.sign * scaled(y_scaler, *y.values, y.zp);
    for (int32_t i = 0; i < count; i++, x.values += x.stride, y.values += y.stride) {
        if (y.stride != 0) {
            other = y.sign * scaled(y_scaler, *y.values, y.zp);
        }
        const int32_t sum = x.sign * halved(*x.values, x.zp) + other;
        output[i] = (int8_t)ek_clamp(ek_scale(scaler, sum) + zp, least, greatest);
    }
}

static void row(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                int8_t *output, int32_t count)
{
    const ek_add *r = record;
    const bool swapped = is_half(r->b_multiplier, r->b_shift);
    const operand one = {a, a_stride, r->a_zp, 1}, other = {b, b_stride, r->b_zp, r->subtract ? -1 : 1};
    operand x = swapped ? other : one, y = swapped ? one : other;
    ek_scaler y_scaler = swapped ? ek_scaler_of(r->a_multiplier, r->a_shift)
                                 : ek_scaler_of(r->b_multiplier, r->b_shift);
    ek_scaler scaler = ek_scaler_of(r->output_multiplier, r->output_shift);
    if (x.stride == 1 && y.stride == 1 && !r->subtract && y_scaler.away && scaler.away) {
        x.stride = y.stride = x.sign = y.sign = 1;
        y_scaler.away = scaler.away = -1;
        row_of(r, x, y, y_scaler, scaler, output, count);
    } else {
        row_of(r, x, y, y_scaler, scaler, output, count);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_broadcast_run(&((const ek_add *)record)->geometry, record, row, arena, data);
}

const ek_operator ek_add_portable = {EK_OP_ADD, sizeof(ek_add), check, run};
