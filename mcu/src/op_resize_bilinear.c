#include "edgekit/op_resize.h"
#include "op_common.h"
#include "operators.h"

#define ONE 1024 /* a pixel */

/* Where one output position lies along one axis: between two input positions, `part` / ONE from the lower. */
typedef struct {
    int32_t low, high, part;
} place;

static bool axis_ok(int32_t input, int32_t output, int32_t scale, int32_t offset)
{
    return ek_between(input, 1, EK_MAX_SIDE) && ek_between(output, 1, EK_MAX_SIDE) && scale >= 0 &&
           ek_between(offset, -ONE / 2, INT32_MAX) &&
           (int64_t)(output - 1) * scale + offset < (int64_t)input * ONE;
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_resize_bilinear *r = record;
    const bool good = axis_ok(r->in_h, r->out_h, r->scale_h, r->offset_h) &&
                      axis_ok(r->in_w, r->out_w, r->scale_w, r->offset_w) &&
                      ek_between(r->channels, 1, EK_MAX_CHANNELS) &&
                      ek_in_arena(limits, r->input, (int64_t)r->in_h * r->in_w * r->channels) &&
                      ek_in_arena(limits, r->output, (int64_t)r->out_h * r->out_w * r->channels);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static place place_of(int32_t position, int32_t scale, int32_t offset, int32_t input)
{
    const int32_t exact = position * scale + offset;
    const int32_t low = exact > 0 ? exact / ONE : 0;
    const int32_t high = ek_least((exact + ONE - 1) / ONE, input - 1);
    return (place){low, high, exact - low * ONE};
}

/* Halves away from zero, as the reference rounds. */
static inline int8_t rounded(int32_t sum)
{
    const int32_t half = ONE * (ONE / 2);
    return (int8_t)((sum > 0 ? sum + half : sum - half) / (ONE * ONE));
}

static void pixel(const int8_t *row0, const int8_t *row1, place x, int32_t part, int32_t channels, int8_t *output)
{
    const int8_t *a = row0 + x.low * channels, *b = row1 + x.low * channels;
    const int8_t *c = row0 + x.high * channels, *d = row1 + x.high * channels;
    const int32_t wa = (ONE - part) * (ONE - x.part), wb = part * (ONE - x.part);
    const int32_t wc = (ONE - part) * x.part, wd = part * x.part;
    for (int32_t i = 0; i < channels; i++) {
        output[i] = rounded(a[i] * wa + b[i] * wb + c[i] * wc + d[i] * wd);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    const ek_resize_bilinear *r = record;
    const int8_t *input = (const int8_t *)(arena + r->input);
    int8_t *output = (int8_t *)(arena + r->output);
    const int32_t row = r->in_w * r->channels;
    for (int32_t i = 0; i < r->out_h; i++) {
        const place y = place_of(i, r->scale_h, r->offset_h, r->in_h);
        for (int32_t j = 0; j < r->out_w; j++, output += r->channels) {
            const place x = place_of(j, r->scale_w, r->offset_w, r->in_w);
            pixel(input + y.low * row, input + y.high * row, x, y.part, r->channels, output);
        }
    }
}

const ek_operator ek_resize_bilinear_portable = {EK_OP_RESIZE_BILINEAR, sizeof(ek_resize_bilinear), check, run};
