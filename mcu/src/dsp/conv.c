/* Convolution with the DSP extension: EK_CONV_TILES and EK_CONV_TILES_PLAIN here, other layouts by the portable kernel.
 *
 * Two output pixels at a time: their windows are widened into scratch (the columns), then all output channels are made
 * by conv_tile.S, four at a time. Outputs are written in raster order after both windows have been read.
 */
#include "../operators.h"
#include "streams.h"
#include "tiles.h"

#define GROUP EK_GROUP              /* output channels that are made together */
#define THUMB 1u

/* One shape of tile. `four_bytes` is the code of the unrolled block for four k, of which it has `unroll`. */
typedef struct {
    ek_tile_function *run;
    const char *steps, *store[2], *raw; /* store by EK_ROUND_... */
    int32_t unroll, four_bytes;
} shape;

#define SHAPE(name, unroll, four_bytes)                                                                                \
    {                                                                                                                  \
        name, name##_steps, {name##_store, name##_once}, name##_raw, unroll, four_bytes                                \
    }
static const shape shapes[2][2] = {
    {SHAPE(ek_conv_fused1, 8, 64), SHAPE(ek_conv_fused2, 8, 96)},
    {SHAPE(ek_conv_plain1, 4, 88), SHAPE(ek_conv_plain2, 4, 120)},
};

/* One call of the operator. */
typedef struct {
    const ek_conv *record;
    const int8_t *input;
    const int32_t *stream;
    int16_t *columns;
    int8_t *bytes;                  /* one window, where its rows are no multiples of four bytes */
    bool stem;                      /* 3x3 of three channels, as most models begin */
    int32_t fours;                  /* K / 4, rounded up */
    int32_t group_words;
    int32_t groups;                 /* whole ones */
    int32_t rest;                   /* output channels of the last, unless it is whole */
    bool raw;                       /* some scaling is not for the assembly */
    ek_tile tile[2];                /* for one pixel and for two */
} call;

/* Where two pixels' windows lie. */
typedef struct {
    int32_t y[2], x[2];             /* of their first tap, in the input; may be outside */
} place;

static bool any_raw(const call *k)
{
    for (int32_t c = 0; c < k->record->out_c; c++) {
        if (!ek_scaling_fast(ek_group_scaling(k->stream, k->group_words, c))) {
            return true;
        }
    }
    return false;
}

static ek_tile tile_of(const call *k, const shape *s)
{
    const int32_t first = k->fours % s->unroll;
    const int32_t skipped = first == 0 ? 0 : s->unroll - first;
    return (ek_tile){
        .columns = k->columns,
        .entry = ((uintptr_t)s->steps + (uintptr_t)(skipped * s->four_bytes)) | THUMB,
        .columns_end = k->columns + k->fours * 8,
        .out_step = k->record->out_c,
        .stream_end = k->stream + k->groups * k->group_words,
        .finish = (uintptr_t)s->store[k->record->rounding] | THUMB,
    };
}

/* One group that the assembly can't store: its sums come back doubled. */
static void group_by_sums(const call *k, const shape *s, ek_tile tile, int32_t group, int32_t pixels, int8_t *out)
{
    const int32_t out_c = k->record->out_c;
    const int32_t channels = out_c - group * GROUP < GROUP ? out_c - group * GROUP : GROUP;
    int32_t sums[2 * GROUP];
    tile.out = (int8_t *)sums;
    tile.finish = (uintptr_t)s->raw | THUMB;
    s->run(k->stream + group * k->group_words, &tile);
    for (int32_t c = 0; c < channels; c++) {
        const ek_scaling scaling = ek_group_scaling(k->stream, k->group_words, group * GROUP + c);
        for (int32_t p = 0; p < pixels; p++) {
            out[p * out_c + group * GROUP + c] = ek_scaled(sums[p * GROUP + c] / 2, scaling, k->record->rounding);
        }
    }
}

/* All output channels of one or two pixels, from the columns. */
static void make(call *k, int32_t pixels, int8_t *out)
{
    const shape *s = &shapes[k->record->layout == EK_CONV_TILES_PLAIN][pixels - 1];
    ek_tile *tile = &k->tile[pixels - 1];
    if (k->raw) {
        for (int32_t group = 0; group < k->groups + (k->rest != 0); group++) {
            group_by_sums(k, s, *tile, group, pixels, out);
        }
        return;
    }
    if (k->groups != 0) {
        tile->out = out;
        s->run(k->stream, tile);
    }
    if (k->rest != 0) {
        group_by_sums(k, s, *tile, k->groups, pixels, out);
    }
}

static int16_t *fill(int16_t *columns, int32_t value, int32_t fours)
{
    const uint32_t pair = ek_widened(value);
    for (uint32_t *words = (void *)columns; fours > 0; fours--, words += 4, columns += 8) {
        words[0] = pair;
        words[2] = pair;
    }
    return columns;
}

/* Row `ky` of one window into its columns; in_c is a multiple of 4. */
static void widen_row(const call *k, int16_t *columns, int32_t iy, int32_t x0)
{
    const ek_conv *conv = k->record;
    const int32_t fours = conv->in_c / 4;
    if (iy < 0 || iy >= conv->in_h) {
        fill(columns, conv->input_zp, conv->k_w * fours);
        return;
    }
    const int8_t *row = k->input + iy * conv->in_w * conv->in_c;
    for (int32_t kx = 0, run = 1; kx < conv->k_w; kx += run) {
        const int32_t ix = x0 + kx * conv->dilation_w;
        run = 1;
        if (ix < 0 || ix >= conv->in_w) {
            columns = fill(columns, conv->input_zp, fours);
            continue;
        }
        if (conv->dilation_w == 1) {
            run = ek_clamp(conv->in_w - ix, 1, conv->k_w - kx);
        }
        ek_widen1(columns, row + ix * conv->in_c, run * fours);
        columns += run * fours * 8;
    }
}

static bool whole_rows(const ek_conv *conv, int32_t x0)
{
    return conv->dilation_w == 1 && x0 >= 0 && x0 + conv->k_w <= conv->in_w;
}

static void widen_by_fours(const call *k, int16_t *columns, int32_t y0, int32_t x0)
{
    const ek_conv *conv = k->record;
    const int32_t row_columns = conv->k_w * conv->in_c * 2;
    for (int32_t ky = 0; ky < conv->k_h; ky++, columns += row_columns) {
        widen_row(k, columns, y0 + ky * conv->dilation_h, x0);
    }
}

/* The last word overlaps the one before it where `count` is no multiple of four. */
static inline void copy(int8_t *to, const int8_t *from, int32_t count)
{
    if (count < 4) {
        for (int32_t i = 0; i < count; i++) {
            to[i] = from[i];
        }
        return;
    }
    for (int32_t i = 0; i < count - 4; i += 4) {
        memcpy(to + i, from + i, 4);
    }
    memcpy(to + count - 4, from + count - 4, 4);
}

/* One window byte by byte, then widened. */
static void widen_by_bytes(const call *k, int16_t *columns, int32_t y0, int32_t x0)
{
    const ek_conv *conv = k->record;
    const int32_t in_c = conv->in_c, row_bytes = conv->in_w * in_c;
    const bool whole = whole_rows(conv, x0);
    if (k->stem && whole && y0 >= 0 && y0 + 3 <= conv->in_h) {
        ek_widen_3x3x3(columns, k->input + y0 * row_bytes + x0 * in_c, row_bytes);
        return;
    }
    int8_t *to = k->bytes;
    for (int32_t ky = 0; ky < conv->k_h; ky++) {
        const int32_t iy = y0 + ky * conv->dilation_h;
        const bool inside = iy >= 0 && iy < conv->in_h;
        const int8_t *row = k->input + (inside ? iy : 0) * row_bytes;
        if (inside && whole) {
            copy(to, row + x0 * in_c, conv->k_w * in_c);
            to += conv->k_w * in_c;
            continue;
        }
        for (int32_t kx = 0; kx < conv->k_w; kx++, to += in_c) {
            const int32_t ix = x0 + kx * conv->dilation_w;
            if (inside && ix >= 0 && ix < conv->in_w) {
                copy(to, row + ix * in_c, in_c);
            } else {
                memset(to, conv->input_zp, (size_t)in_c);
            }
        }
    }
    ek_widen1(columns, k->bytes, k->fours);
}

/* Any windows. */
static void widen(const call *k, const place *at, int32_t pixels)
{
    for (int32_t p = 0; p < pixels; p++) {
        if (k->record->in_c % 4 == 0) {
            widen_by_fours(k, k->columns + 2 * p, at->y[p], at->x[p]);
        } else {
            widen_by_bytes(k, k->columns + 2 * p, at->y[p], at->x[p]);
        }
    }
}

static bool pointwise(const ek_conv *conv)
{
    return conv->k_h == 1 && conv->k_w == 1 && conv->stride_h == 1 && conv->stride_w == 1 && conv->pad_top == 0 &&
           conv->pad_left == 0 && conv->in_h == conv->out_h && conv->in_w == conv->out_w && conv->in_c % 4 == 0;
}

/* The input and the output are rows of pixels, one for one. */
static void run_pointwise(call *k, int8_t *out)
{
    const int32_t in_c = k->record->in_c, out_c = k->record->out_c;
    const int8_t *pixel = k->input;
    int32_t left = k->record->out_h * k->record->out_w;
    for (; left >= 2; left -= 2, pixel += 2 * in_c, out += 2 * out_c) {
        ek_widen2(k->columns, pixel, pixel + in_c, k->fours);
        make(k, 2, out);
    }
    if (left != 0) {
        ek_widen1(k->columns, pixel, k->fours);
        make(k, 1, out);
    }
}

/* Two pixels beside each other with both windows inside the image. */
static inline void widen_inside(const call *k, int32_t y0, int32_t x0)
{
    const ek_conv *conv = k->record;
    const int32_t row_bytes = conv->in_w * conv->in_c, step = conv->stride_w * conv->in_c;
    const int8_t *window = k->input + y0 * row_bytes + x0 * conv->in_c;
    if (k->stem) {
        ek_widen_3x3x3(k->columns, window, row_bytes);
        ek_widen_3x3x3(k->columns + 2, window + step, row_bytes);
        return;
    }
    const int32_t fours = conv->k_w * conv->in_c / 4;
    int16_t *columns = k->columns;
    for (int32_t ky = 0; ky < conv->k_h; ky++, columns += fours * 8, window += conv->dilation_h * row_bytes) {
        ek_widen2(columns, window, window + step, fours);
    }
}

static void run_windows(call *k, int8_t *out)
{
    const ek_conv *conv = k->record;
    const bool simple = k->stem || (conv->in_c % 4 == 0 && conv->dilation_w == 1);
    const int32_t last_y = conv->in_h - (conv->k_h - 1) * conv->dilation_h - 1;
    const int32_t last_x = conv->in_w - conv->k_w - conv->stride_w; /* of the first of two pixels */
    int32_t y = 0, x = 0;
    for (int32_t left = conv->out_h * conv->out_w; left > 0; left -= 2, out += 2 * conv->out_c) {
        const int32_t y0 = y * conv->stride_h - conv->pad_top, x0 = x * conv->stride_w - conv->pad_left;
        if (simple && x + 2 <= conv->out_w && x0 >= 0 && x0 <= last_x && y0 >= 0 && y0 <= last_y) {
            widen_inside(k, y0, x0);
            make(k, 2, out);
            x += 2;
            if (x == conv->out_w) {
                x = 0;
                y++;
            }
            continue;
        }
        const int32_t count = left == 1 ? 1 : 2;
        place at = {{0, 0}, {0, 0}};
        for (int32_t p = 0; p < count; p++) {
            at.y[p] = y * conv->stride_h - conv->pad_top;
            at.x[p] = x * conv->stride_w - conv->pad_left;
            if (++x == conv->out_w) {
                x = 0;
                y++;
            }
        }
        widen(k, &at, count);
        make(k, count, out);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_conv *conv = record;
    if (!ek_conv_in_tiles(conv)) {
        ek_conv_portable.run(record, arena, data);
        return;
    }
    call k = {
        .record = conv,
        .input = (const void *)(arena + conv->input),
        .stream = (const void *)(data + conv->weights),
        .columns = (void *)(arena + conv->scratch),
        .fours = (int32_t)ek_conv_fours(conv),
        .group_words = ek_conv_group_words(conv),
        .groups = conv->out_c / GROUP,
        .rest = conv->out_c % GROUP,
    };
    k.bytes = (int8_t *)(k.columns + k.fours * 8);
    k.raw = any_raw(&k);
    k.stem = conv->k_h == 3 && conv->k_w == 3 && conv->in_c == 3 && conv->dilation_h == 1 && conv->dilation_w == 1;
    const shape *kinds = shapes[conv->layout == EK_CONV_TILES_PLAIN];
    k.tile[0] = tile_of(&k, &kinds[0]);
    k.tile[1] = tile_of(&k, &kinds[1]);
    int8_t *out = (void *)(arena + conv->output);
    if (pointwise(conv)) {
        run_pointwise(&k, out);
    } else {
        run_windows(&k, out);
    }
    ek_narrow(out, conv->out_h * conv->out_w * conv->out_c, conv->act_min, conv->act_max);
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_conv *conv = record;
    return ek_conv_in_tiles(conv) ? ek_conv_tiles_check(conv, limits) : ek_conv_portable.check(record, limits);
}

const ek_operator ek_conv_dsp = {EK_OP_CONV, sizeof(ek_conv), check, run};
