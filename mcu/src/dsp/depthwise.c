/* Depthwise convolution with the DSP extension: EK_DEPTHWISE_PLANES and EK_DEPTHWISE_TAPS here, other layouts by the
 * portable kernel. */
#include "../operators.h"
#include "streams.h"
#include "tiles.h"

#define GROUP EK_GROUP              /* channels that are read together */
#define RAW_COLUMNS 16              /* made at a time where the assembly can't store */
#define TAP_UNROLL 5                /* pairs of taps in the unrolled block, and the bytes of code of each */
#define TAP_PAIR_CODE 60
#define THUMB 1u

/* ---- EK_DEPTHWISE_PLANES ---- */

/* Four channels on their way through the image. */
typedef struct {
    const ek_depthwise *record;
    const int8_t *input;
    int8_t *output;
    const int32_t *stream;
    int32_t *planes;
    int32_t columns;                /* of a plane */
    const int8_t *outside;          /* four times input_zp */
} pass;

/* Input rows `row` and `row + 1` into word `slot` of the planes. */
static void pack_rows(const pass *p, int32_t row, int32_t slot)
{
    const ek_depthwise *dw = p->record;
    ek_rows rows = {.columns = ek_clamp(dw->in_w, 0, p->columns - dw->pad_left)};
    for (int32_t i = 0; i < GROUP; i++) {
        rows.to[i] = p->planes + (i * p->columns + dw->pad_left) * 2 + slot;
    }
    for (int32_t i = 0; i < 2; i++) {
        const bool inside = row + i >= 0 && row + i < dw->in_h;
        rows.rows[i] = inside ? p->input + (row + i) * dw->in_w * dw->in_c : p->outside;
        rows.steps[i] = inside ? dw->in_c : 0;
    }
    ek_pack_rows(&rows);
}

/* Two output rows of one channel from their sums. */
static void rows_by_sums(const pass *p, ek_planes_function *kernel, ek_planes call, const int32_t *stream)
{
    const ek_scaling scaling = ek_plane_scaling(stream);
    int8_t *out = call.out;
    int32_t sums[2 * RAW_COLUMNS];
    call.stream_end = stream + EK_PLANE_WORDS;
    call.out = (int8_t *)sums;
    for (int32_t left = p->record->out_w; left > 0; left -= RAW_COLUMNS, call.plane += 2 * RAW_COLUMNS) {
        const int32_t columns = ek_clamp(left, 1, RAW_COLUMNS);
        call.bytes = columns * 8;
        kernel(stream, &call);
        for (int32_t i = 0; i < columns; i++, out += call.pixel_step) {
            out[call.row_step] = ek_scaled(sums[2 * i + 1], scaling, EK_ROUND_TWICE);
            out[0] = ek_scaled(sums[2 * i], scaling, EK_ROUND_TWICE);
        }
    }
}

static void two_rows(const pass *p, int32_t y, bool raw)
{
    const ek_depthwise *dw = p->record;
    const int32_t row_bytes = dw->out_w * dw->out_c;
    const bool odd = (y / 2) % 2 != 0;
    ek_planes call = {
        .plane = p->planes,
        .pitch = p->columns * 8,
        .out = p->output + y * row_bytes,
        .row_step = y + 1 < dw->out_h ? row_bytes : 0,
        .pixel_step = dw->out_c,
        .bytes = dw->out_w * 8,
        .stream_end = p->stream + GROUP * EK_PLANE_WORDS,
    };
    if (!raw) {
        (odd ? ek_planes_odd : ek_planes_even)(p->stream, &call);
        return;
    }
    for (int32_t i = 0; i < GROUP; i++, call.out++, call.plane += p->columns * 2) {
        rows_by_sums(p, odd ? ek_planes_odd_raw : ek_planes_even_raw, call, p->stream + i * EK_PLANE_WORDS);
    }
}

static void run_planes(const ek_depthwise *dw, uint8_t *arena, const uint8_t *data)
{
    const uint32_t outside = ek_widened(dw->input_zp);
    const int32_t outside_bytes = (int32_t)ek_four_times(dw->input_zp);
    pass p = {
        .record = dw,
        .planes = (void *)(arena + dw->scratch),
        .columns = dw->out_w + 2,
        .outside = (const int8_t *)&outside_bytes,
    };
    for (int32_t i = 0; i < GROUP * p.columns * 2; i++) {
        p.planes[i] = (int32_t)outside;
    }
    for (int32_t c = 0; c < dw->out_c; c += GROUP) {
        p.input = (const int8_t *)(arena + dw->input) + c;
        p.output = (int8_t *)(arena + dw->output) + c;
        p.stream = (const int32_t *)(const void *)(data + dw->weights) + c * EK_PLANE_WORDS;
        bool raw = false;
        for (int32_t i = 0; i < GROUP; i++) {
            raw |= !ek_scaling_fast(ek_plane_scaling(p.stream + i * EK_PLANE_WORDS));
        }
        pack_rows(&p, -dw->pad_top, 0);
        for (int32_t y = 0; y < dw->out_h; y += 2) {
            pack_rows(&p, y + 2 - dw->pad_top, 1 - (y / 2) % 2);
            two_rows(&p, y, raw);
        }
    }
}

/* ---- EK_DEPTHWISE_TAPS ---- */

/* Arena offsets of what the window at (y0, x0) reads. A last odd tap is paired with itself, with a weight of 0. */
static void locate(const ek_depthwise *dw, int32_t *to, int32_t outside, int32_t y0, int32_t x0)
{
    for (int32_t ky = 0, iy = y0; ky < dw->k_h; ky++, iy += dw->dilation_h) {
        const bool inside = iy >= 0 && iy < dw->in_h;
        const int32_t row = dw->input + (inside ? iy : 0) * dw->in_w * dw->in_c; /* far outside it would overflow */
        for (int32_t kx = 0, ix = x0; kx < dw->k_w; kx++, ix += dw->dilation_w) {
            *to++ = inside && ix >= 0 && ix < dw->in_w ? row + ix * dw->in_c : outside;
        }
    }
    if (dw->k_h * dw->k_w % 2 != 0) {
        *to = to[-1];
    }
}

static uintptr_t tap_entry(const char *steps, int32_t pairs)
{
    const int32_t first = pairs % TAP_UNROLL;
    return ((uintptr_t)steps + (uintptr_t)(first == 0 ? 0 : (TAP_UNROLL - first) * TAP_PAIR_CODE)) | THUMB;
}

/* All channels of one output pixel where the assembly can't store. */
static void pixel_by_sums(const ek_depthwise *dw, const int32_t *stream, ek_tap_call call)
{
    const int32_t words = ek_tap_words(dw);
    for (int32_t c = 0; c < dw->out_c; c += GROUP, call.base += GROUP, stream += words) {
        ek_taps_raw(stream, &call);
        for (int32_t i = 0; i < GROUP; i++) {
            const ek_scaling scaling = ek_group_scaling(stream, words, i);
            call.base[call.out + i] = ek_scaled(call.sums[i], scaling, EK_ROUND_TWICE);
        }
    }
}

static bool any_raw_tap(const ek_depthwise *dw, const int32_t *stream)
{
    const int32_t words = ek_tap_words(dw);
    for (int32_t c = 0; c < dw->out_c; c++) {
        if (!ek_scaling_fast(ek_group_scaling(stream, words, c))) {
            return true;
        }
    }
    return false;
}

/* One output row. Where the whole window is inside, the offsets of the first such pixel serve for the others: the base
 * moves instead. */
static void row_of_taps(const ek_depthwise *dw, const int32_t *stream, ek_tap_call call, int32_t *offsets, int32_t y0)
{
    const int32_t outside = dw->scratch + 8 * ek_tap_pairs(dw);
    const int32_t step = dw->stride_w * dw->in_c, right = dw->in_w - (dw->k_w - 1) * dw->dilation_w;
    const bool row_inside = y0 >= 0 && y0 + (dw->k_h - 1) * dw->dilation_h < dw->in_h;
    int8_t *const arena = call.base;
    const bool raw = call.sums != NULL;
    bool located = false;
    int32_t out = call.out;
    for (int32_t x = 0, x0 = -dw->pad_left; x < dw->out_w; x++, x0 += dw->stride_w, out += dw->out_c) {
        const bool inside = row_inside && x0 >= 0 && x0 < right;
        if (inside && located) {
            call.base += step;
        } else {
            call.base = arena;
            locate(dw, offsets, outside, y0, x0);
            located = inside;
        }
        call.out = out - (int32_t)(call.base - arena);
        if (raw) {
            pixel_by_sums(dw, stream, call);
        } else {
            ek_taps(stream, &call);
        }
    }
}

static void run_taps(const ek_depthwise *dw, uint8_t *arena, const uint8_t *data)
{
    const int32_t pairs = ek_tap_pairs(dw);
    const int32_t *stream = (const void *)(data + dw->weights);
    int32_t *offsets = (void *)(arena + dw->scratch);
    int32_t sums[GROUP];
    const bool raw = any_raw_tap(dw, stream);
    ek_tap_call call = {
        .offsets = offsets,
        .entry = tap_entry(raw ? ek_taps_raw_steps : ek_taps_steps, pairs),
        .offsets_end = offsets + 2 * pairs,
        .out = dw->output,
        .stream_end = stream + dw->out_c / GROUP * ek_tap_words(dw),
        .base = (int8_t *)arena,
        .sums = raw ? sums : NULL,
    };
    memset(arena + dw->scratch + 8 * pairs, dw->input_zp, (size_t)dw->out_c);
    for (int32_t y = 0; y < dw->out_h; y++, call.out += dw->out_w * dw->out_c) {
        row_of_taps(dw, stream, call, offsets, y * dw->stride_h - dw->pad_top);
    }
}

/* ---- both ---- */

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_depthwise *dw = record;
    if (!ek_depthwise_in_stream(dw)) {
        ek_depthwise_portable.run(record, arena, data);
        return;
    }
    if (dw->layout == EK_DEPTHWISE_PLANES) {
        run_planes(dw, arena, data);
    } else {
        run_taps(dw, arena, data);
    }
    ek_narrow((void *)(arena + dw->output), dw->out_h * dw->out_w * dw->out_c, dw->act_min, dw->act_max);
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_depthwise *dw = record;
    return ek_depthwise_in_stream(dw) ? ek_depthwise_stream_check(dw, limits)
                                      : ek_depthwise_portable.check(record, limits);
}

const ek_operator ek_depthwise_dsp = {EK_OP_DEPTHWISE, sizeof(ek_depthwise), check, run};
