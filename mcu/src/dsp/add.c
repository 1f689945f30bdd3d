/* Addition with the DSP extension: operands of equal shape; everything else by the portable kernel.
 *
 * With sums in 2^-20 of the greater scale and everything doubled for SMMLAR, the requantisation is that of conv_tile.S.
 */
#include "../operators.h"
#include "dsp.h"
#include "edgekit/op_add.h"

#define LEFT 20           /* bits; TFLite's left_shift for int8 */
#define MOST_EXPONENT 21  /* with which the constants below fit 32 bits: values are < 2^28 before the shift */

static bool is_half(int32_t multiplier, int32_t shift)
{
    return multiplier == 1 << 30 && shift == 0;
}

/* x has the multiplier 1/2, which loses no bit. */
static void add(const int8_t *x, const int8_t *y, ek_shifter ys, ek_shifter sum, int32_t x_zp, int32_t y_zp,
                int8_t *output, int32_t count)
{
    const int32_t x_start = -x_zp * (1 << LEFT), y_start = -y_zp * (1 << (LEFT + 1));
    for (int32_t i = 0; i < count; i++) {
        const int32_t other = ek_shifted(ys, y[i] * (1 << (LEFT + 1)) + y_start);
        output[i] = (int8_t)ek_saturated(ek_shifted(sum, x[i] * (1 << LEFT) + x_start + 2 * other));
    }
}

static void add_halves(const int8_t *x, const int8_t *y, ek_shifter sum, int32_t zps, int8_t *output, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        output[i] = (int8_t)ek_saturated(ek_shifted(sum, (x[i] + y[i] - zps) * (1 << LEFT)));
    }
}

/* One row of both operands side by side, and shifts that ek_shifter_of() can express. */
static bool mine(const ek_add *r)
{
    const ek_broadcast *g = &r->geometry;
    bool row = g->a_strides[EK_BROADCAST_RANK - 1] == 1 && g->b_strides[EK_BROADCAST_RANK - 1] == 1;
    for (int32_t i = 0; i < EK_BROADCAST_RANK - 1; i++) {
        row &= g->dims[i] == 1;
    }
    const bool a_half = is_half(r->a_multiplier, r->a_shift), b_half = is_half(r->b_multiplier, r->b_shift);
    const bool shifts = (a_half || ek_between(r->a_shift, -MOST_EXPONENT, -1)) &&
                        (b_half || ek_between(r->b_shift, -MOST_EXPONENT, -1)) &&
                        ek_between(r->output_shift, -MOST_EXPONENT, -1);
    return row && shifts && r->subtract == 0;
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_add *r = record;
    if (!mine(r)) {
        ek_add_portable.run(record, arena, data);
        return;
    }
    const ek_broadcast *g = &r->geometry;
    const int8_t *a = (const void *)(g->a_constant ? data + g->a : arena + g->a);
    const int8_t *b = (const void *)(g->b_constant ? data + g->b : arena + g->b);
    int8_t *output = (void *)(arena + g->output);
    const int32_t count = g->dims[EK_BROADCAST_RANK - 1];
    const ek_shifter sum = ek_shifter_of(r->output_multiplier, r->output_shift, r->output_zp);
    const bool a_half = is_half(r->a_multiplier, r->a_shift), b_half = is_half(r->b_multiplier, r->b_shift);
    if (a_half && b_half) {
        add_halves(a, b, sum, r->a_zp + r->b_zp, output, count);
    } else if (a_half) {
        add(a, b, ek_shifter_of(r->b_multiplier, r->b_shift, 0), sum, r->a_zp, r->b_zp, output, count);
    } else {
        add(b, a, ek_shifter_of(r->a_multiplier, r->a_shift, 0), sum, r->b_zp, r->a_zp, output, count);
    }
    ek_narrow(output, count, r->act_min, r->act_max);
}

static ek_status check(const void *record, const ek_limits *limits)
{
    return ek_add_portable.check(record, limits);
}

const ek_operator ek_add_dsp = {EK_OP_ADD, sizeof(ek_add), check, run};
