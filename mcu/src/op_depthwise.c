/* Depthwise convolution, portable: EK_DEPTHWISE_HWC, both orders, every geometry. */
#include <stddef.h>

#include "edgekit/check.h"
#include "edgekit/op_depthwise.h"
#include "edgekit/quant.h"
#include "operators.h"

/* How one call reads its weights and parameters. */
typedef struct {
    const ek_depthwise *record;
    const int8_t *weights;
    const int32_t *bias, *multiplier, *shift;
} call;

/* One input row of one channel, or NULL where the row is outside; values are `step` apart. */
typedef struct {
    const int8_t *values;
    int32_t step;
} line;

/* Rows of one channel that in-place work keeps, since it has overwritten them or is about to. */
static int32_t kept_rows(const ek_depthwise *dw)
{
    return ek_clamp(dw->pad_top + 1, 1, dw->in_h);
}

static bool in_place(const ek_depthwise *dw)
{
    return dw->order == EK_ORDER_CHANNELS && dw->input == dw->output;
}

static call call_of(const ek_depthwise *dw, const uint8_t *data)
{
    return (call){
        .record = dw,
        .weights = (const void *)(data + dw->weights),
        .bias = (const void *)(data + dw->bias),
        .multiplier = (const void *)(data + dw->multiplier),
        .shift = (const void *)(data + dw->shift),
    };
}

/* One row of the kernel. */
static int32_t sum_row(const call *k, line in, int32_t x0, const int8_t *weights)
{
    const ek_depthwise *dw = k->record;
    int32_t sum = 0;
    if (in.values != NULL && x0 >= 0 && x0 + (dw->k_w - 1) * dw->dilation_w < dw->in_w) {
        const int8_t *value = in.values + x0 * in.step;
        const int32_t step = dw->dilation_w * in.step;
        for (int32_t kx = 0; kx < dw->k_w; kx++) {
            sum += value[kx * step] * weights[kx * dw->out_c];
        }
        return sum;
    }
    int32_t ix = x0;
    for (int32_t kx = 0; kx < dw->k_w; kx++, ix += dw->dilation_w, weights += dw->out_c) {
        const bool inside = in.values != NULL && ix >= 0 && ix < dw->in_w;
        sum += (inside ? in.values[ix * in.step] : dw->input_zp) * *weights;
    }
    return sum;
}

static int8_t finish(const call *k, int32_t channel, int32_t sum)
{
    const ek_depthwise *dw = k->record;
    return ek_output(ek_wrap_add(k->bias[channel], sum), k->multiplier[channel], k->shift[channel], dw->output_zp,
                     dw->act_min, dw->act_max);
}

/* One output value straight from the image. `input` is the channel at position (0, 0). */
static int8_t value_at(const call *k, const int8_t *input, int32_t channel, int32_t y, int32_t x)
{
    const ek_depthwise *dw = k->record;
    const int8_t *weights = k->weights + channel;
    const int32_t x0 = x * dw->stride_w - dw->pad_left;
    int32_t iy = y * dw->stride_h - dw->pad_top;
    int32_t sum = 0;
    for (int32_t ky = 0; ky < dw->k_h; ky++, iy += dw->dilation_h, weights += dw->k_w * dw->out_c) {
        const bool inside = iy >= 0 && iy < dw->in_h;
        const line in = {inside ? input + iy * dw->in_w * dw->in_c : NULL, dw->in_c};
        sum += sum_row(k, in, x0, weights);
    }
    return finish(k, channel, sum);
}

/* Output bytes in raster order, each after all of its input was read: the output may trail the input by rows. */
static void run_rows(const call *k, const int8_t *input, int8_t *output)
{
    const ek_depthwise *dw = k->record;
    for (int32_t y = 0; y < dw->out_h; y++) {
        for (int32_t x = 0; x < dw->out_w; x++) {
            for (int32_t from = 0, channel = 0; from < dw->in_c; from++) {
                for (int32_t m = 0; m < dw->depth_multiplier; m++, channel++) {
                    *output++ = value_at(k, input + from, channel, y, x);
                }
            }
        }
    }
}

/* Output row y of one channel over its own input. Rows up to y are read from the ring, of which `slot` is row y's;
 * later rows are still in the image. */
static void row_in_place(const call *k, int8_t *image, const int8_t *ring, int32_t slot, int32_t channel, int32_t y)
{
    const ek_depthwise *dw = k->record;
    const int32_t kept = kept_rows(dw), row_bytes = dw->in_w * dw->in_c;
    for (int32_t x = 0; x < dw->out_w; x++) {
        const int8_t *weights = k->weights + channel;
        int32_t iy = y - dw->pad_top;
        int32_t sum = 0;
        for (int32_t ky = 0; ky < dw->k_h; ky++, iy += dw->dilation_h, weights += dw->k_w * dw->out_c) {
            line in = {NULL, 0};
            if (iy > y && iy < dw->in_h) {
                in = (line){image + iy * row_bytes, dw->in_c};
            } else if (iy >= 0 && iy <= y) {
                const int32_t back = slot - (y - iy);
                in = (line){ring + (back < 0 ? back + kept : back) * dw->in_w, 1};
            }
            sum += sum_row(k, in, x - dw->pad_left, weights);
        }
        image[y * row_bytes + x * dw->in_c] = finish(k, channel, sum);
    }
}

static void run_in_place(const call *k, int8_t *image, int8_t *ring)
{
    const ek_depthwise *dw = k->record;
    const int32_t kept = kept_rows(dw);
    for (int32_t channel = 0; channel < dw->out_c; channel++) {
        for (int32_t y = 0, slot = 0; y < dw->out_h; y++) {
            const int8_t *row = image + y * dw->in_w * dw->in_c + channel;
            for (int32_t x = 0; x < dw->in_w; x++) {
                ring[slot * dw->in_w + x] = row[x * dw->in_c];
            }
            row_in_place(k, image + channel, ring, slot, channel, y);
            slot = slot + 1 == kept ? 0 : slot + 1;
        }
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_depthwise *dw = record;
    const call k = call_of(dw, data);
    if (in_place(dw)) {
        run_in_place(&k, (void *)(arena + dw->output), (void *)(arena + dw->scratch));
    } else {
        run_rows(&k, (const void *)(arena + dw->input), (void *)(arena + dw->output));
    }
}

static bool weights_ok(const ek_depthwise *dw, const ek_limits *limits)
{
    const int64_t taps = (int64_t)dw->k_h * dw->k_w;
    return taps <= EK_MAX_TAPS && ek_in_data(limits, dw->weights, dw->out_c * taps) &&
           ek_words_in_data(limits, dw->bias, dw->out_c) &&
           ek_multipliers_ok(limits, dw->multiplier, dw->shift, dw->out_c);
}

/* In place: every position of the output has its own input below it, and the ring fits. */
static bool in_place_ok(const ek_depthwise *dw)
{
    const bool same = dw->in_h == dw->out_h && dw->in_w == dw->out_w && dw->depth_multiplier == 1;
    const bool dense = (dw->stride_h == 1 || dw->out_h == 1) && (dw->stride_w == 1 || dw->out_w == 1);
    return same && dense && dw->scratch_bytes >= (int64_t)kept_rows(dw) * dw->in_w;
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_depthwise *dw = record;
    const ek_window window = ek_window_of(dw, offsetof(ek_depthwise, in_h));
    if (dw->layout != EK_DEPTHWISE_HWC || !ek_between(dw->order, EK_ORDER_ROWS, EK_ORDER_CHANNELS)) {
        return EK_NO_OPERATOR;
    }
    if (!ek_window_ok(limits, &window, dw->input, dw->output) ||
        !ek_scratch_ok(limits, dw->scratch, dw->scratch_bytes, 0) ||
        !ek_output_ok(dw->input_zp, dw->output_zp, dw->act_min, dw->act_max)) {
        return EK_BAD_OPERATOR;
    }
    const bool channels = dw->depth_multiplier >= 1 && (int64_t)dw->in_c * dw->depth_multiplier == dw->out_c;
    const bool memory = !in_place(dw) || in_place_ok(dw);
    return channels && memory && weights_ok(dw, limits) ? EK_OK : EK_BAD_OPERATOR;
}

const ek_operator ek_depthwise_portable = {EK_OP_DEPTHWISE, sizeof(ek_depthwise), check, run};
