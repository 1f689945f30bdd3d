/* What both pools share: the geometry's check, and a window's part that lies in the input. */
#ifndef EK_POOL_H
#define EK_POOL_H

#include "edgekit/op_pool.h"
#include "op_common.h"

#define EK_POOL_BLOCK 8 /* channels at a time */

/* The part of one output position's window that lies in the input. */
typedef struct {
    const int8_t *first;
    int32_t rows, columns;
} ek_pool_window;

static inline bool ek_pool_axis_ok(int32_t input, int32_t output, int32_t kernel, int32_t stride, int32_t pad)
{
    return ek_between(input, 1, EK_MAX_SIDE) && ek_between(output, 1, EK_MAX_SIDE) &&
           ek_between(kernel, 1, EK_MAX_SIDE) && ek_between(stride, 1, EK_MAX_SIDE) && ek_between(pad, 0, kernel - 1) &&
           (int64_t)(output - 1) * stride - pad < input;
}

static inline ek_status ek_pool_check(const void *record, const ek_limits *limits)
{
    const ek_pool *r = record;
    const bool good = ek_pool_axis_ok(r->in_h, r->out_h, r->k_h, r->stride_h, r->pad_top) &&
                      ek_pool_axis_ok(r->in_w, r->out_w, r->k_w, r->stride_w, r->pad_left) &&
                      ek_between(r->channels, 1, EK_MAX_CHANNELS) && (int64_t)r->in_h * r->in_w <= EK_MOST_SUMMED &&
                      ek_output_ok(0, 0, r->act_min, r->act_max) &&
                      ek_in_arena(limits, r->input, (int64_t)r->in_h * r->in_w * r->channels) &&
                      ek_in_arena(limits, r->output, (int64_t)r->out_h * r->out_w * r->channels);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static inline ek_pool_window ek_pool_at(const ek_pool *r, const int8_t *input, int32_t y, int32_t x)
{
    const int32_t top = y * r->stride_h - r->pad_top, left = x * r->stride_w - r->pad_left;
    const int32_t first_y = ek_greatest(top, 0), first_x = ek_greatest(left, 0);
    return (ek_pool_window){
        .first = input + (first_y * r->in_w + first_x) * r->channels,
        .rows = ek_least(top + r->k_h, r->in_h) - first_y,
        .columns = ek_least(left + r->k_w, r->in_w) - first_x,
    };
}

/* One output position's `channels` (at most EK_POOL_BLOCK) channels; `first` is the first of them. */
typedef void ek_pooler(const ek_pool *r, const ek_pool_window *w, const int8_t *first, int32_t channels,
                       int8_t *output);

/* Inlined, so that `pool` is compiled once for whole blocks, with their constant length. */
static inline __attribute__((always_inline)) void ek_pool_run(const ek_pool *r, uint8_t *arena, ek_pooler *pool)
{
    const int8_t *input = (const int8_t *)(arena + r->input);
    int8_t *output = (int8_t *)(arena + r->output);
    for (int32_t y = 0; y < r->out_h; y++) {
        for (int32_t x = 0; x < r->out_w; x++, output += r->channels) {
            const ek_pool_window window = ek_pool_at(r, input, y, x);
            int32_t c = 0;
            for (; c + EK_POOL_BLOCK <= r->channels; c += EK_POOL_BLOCK) {
                pool(r, &window, window.first + c, EK_POOL_BLOCK, output + c);
            }
            if (c < r->channels) {
                pool(r, &window, window.first + c, r->channels - c, output + c);
            }
        }
    }
}

#endif
