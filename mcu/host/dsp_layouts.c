/* The weight layouts of src/dsp on this machine, so that it runs the very file that the board runs.
 *
 * A stream is taken apart into the layout of the portable kernel, which then does the work. What the compiler promises
 * about the stream (op_conv.h, op_depthwise.h) makes that the same to the last bit. The checks are those of src/dsp.
 */
#include <stdio.h>
#include <stdlib.h>

#include "dsp/streams.h"
#include "operators.h"

/* What the portable kernels take as data. */
typedef struct {
    int32_t *bias, *multiplier, *shift;
    int8_t *weights;
} unpacked;

static unpacked make_unpacked(int32_t channels, int64_t weights)
{
    int32_t *words = malloc((size_t)channels * 12 + (size_t)weights);
    if (words == NULL) { /* not more than a few times the file: this machine is at its end */
        fputs("no memory for the weights of a layer\n", stderr);
        abort();
    }
    return (unpacked){words, words + channels, words + 2 * channels, (int8_t *)(words + 3 * channels)};
}

static void set_scaling(unpacked *to, int32_t channel, ek_scaling s)
{
    to->multiplier[channel] = s.multiplier;
    to->shift[channel] = s.exponent > 31 ? 64 - s.exponent : -s.exponent;
}

/* The lower (0) or upper (1) int16 of a word. */
static int32_t half_of(int32_t word, int32_t upper)
{
    return (int16_t)(upper ? word >> 16 : word);
}

static const int32_t *words_at(const uint8_t *data, int32_t offset)
{
    return (const void *)(data + offset);
}

/* EK_CONV_TILES and EK_CONV_TILES_PLAIN. */

static int64_t conv_taps(const ek_conv *conv)
{
    return (int64_t)conv->k_h * conv->k_w * conv->in_c;
}

static int8_t tile_weight(const int32_t *group, int32_t lane, bool fused, int32_t k)
{
    const int32_t both = half_of(group[EK_STARTS + (k >> 2) * EK_GROUP + (k & 1) * 2 + (lane >> 1)], (k >> 1) & 1);
    const int32_t first = (int8_t)both;
    if (lane % 2 == 0) {
        return (int8_t)first;
    }
    return (int8_t)((fused ? both - first : both) >> 8);
}

static int32_t tile_bias(const int32_t *group, int32_t lane, bool fused)
{
    if (!fused || lane % 2 == 0) {
        return group[lane];
    }
    return (int32_t)((uint32_t)group[lane] - (uint32_t)group[lane - 1]) >> 8;
}

static void run_conv(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_conv *conv = record;
    if (conv->layout == EK_CONV_OHWI) {
        ek_conv_portable.run(record, arena, data);
        return;
    }
    const bool fused = conv->layout == EK_CONV_TILES;
    const int32_t taps = (int32_t)conv_taps(conv), group_words = ek_conv_group_words(conv);
    unpacked to = make_unpacked(conv->out_c, (int64_t)conv->out_c * taps);
    for (int32_t c = 0; c < conv->out_c; c++) {
        const int32_t *group = words_at(data, conv->weights) + c / EK_GROUP * group_words;
        const int32_t lane = c % EK_GROUP;
        for (int32_t k = 0; k < taps; k++) {
            to.weights[c * taps + k] = tile_weight(group, lane, fused, k);
        }
        to.bias[c] = tile_bias(group, lane, fused);
        set_scaling(&to, c, ek_group_scaling(group, group_words, lane));
    }
    ek_conv plain = *conv;
    plain.layout = EK_CONV_OHWI;
    plain.bias = 0, plain.multiplier = conv->out_c * 4, plain.shift = conv->out_c * 8, plain.weights = conv->out_c * 12;
    ek_conv_portable.run(&plain, arena, (const uint8_t *)to.bias);
    free(to.bias);
}

static ek_status check_conv(const void *record, const ek_limits *limits)
{
    const ek_conv *conv = record;
    return ek_conv_in_tiles(conv) ? ek_conv_tiles_check(conv, limits) : ek_conv_portable.check(record, limits);
}

const ek_operator ek_conv_host = {EK_OP_CONV, sizeof(ek_conv), check_conv, run_conv};

/* EK_DEPTHWISE_PLANES and EK_DEPTHWISE_TAPS. */

static void unpack_plane(const int32_t *stream, int32_t channel, int32_t channels, unpacked *to)
{
    const int32_t *words = stream + channel * EK_PLANE_WORDS;
    for (int32_t kx = 0; kx < 3; kx++) {
        to->weights[(0 + kx) * channels + channel] = (int8_t)half_of(words[2 * kx], 0);
        to->weights[(3 + kx) * channels + channel] = (int8_t)half_of(words[2 * kx], 1);
        to->weights[(6 + kx) * channels + channel] = (int8_t)half_of(words[2 * kx + 1], 1);
    }
    to->bias[channel] = words[6];
    set_scaling(to, channel, ek_plane_scaling(words));
}

static void unpack_taps(const ek_depthwise *dw, const int32_t *stream, int32_t channel, unpacked *to)
{
    const int32_t words = ek_tap_words(dw);
    const int32_t *group = stream + channel / EK_GROUP * words;
    for (int32_t k = 0; k < dw->k_h * dw->k_w; k++) {
        const int32_t word = group[EK_STARTS + k / 2 * EK_GROUP + channel % EK_GROUP];
        to->weights[k * dw->out_c + channel] = (int8_t)half_of(word, k % 2);
    }
    to->bias[channel] = group[channel % EK_GROUP];
    set_scaling(to, channel, ek_group_scaling(stream, words, channel));
}

static void run_depthwise(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_depthwise *dw = record;
    if (dw->layout == EK_DEPTHWISE_HWC) {
        ek_depthwise_portable.run(record, arena, data);
        return;
    }
    unpacked to = make_unpacked(dw->out_c, (int64_t)dw->out_c * dw->k_h * dw->k_w);
    const int32_t *stream = words_at(data, dw->weights);
    for (int32_t c = 0; c < dw->out_c; c++) {
        if (dw->layout == EK_DEPTHWISE_PLANES) {
            unpack_plane(stream, c, dw->out_c, &to);
        } else {
            unpack_taps(dw, stream, c, &to);
        }
    }
    ek_depthwise plain = *dw;
    plain.layout = EK_DEPTHWISE_HWC;
    plain.bias = 0, plain.multiplier = dw->out_c * 4, plain.shift = dw->out_c * 8, plain.weights = dw->out_c * 12;
    ek_depthwise_portable.run(&plain, arena, (const uint8_t *)to.bias);
    free(to.bias);
}

static ek_status check_depthwise(const void *record, const ek_limits *limits)
{
    const ek_depthwise *dw = record;
    return ek_depthwise_in_stream(dw) ? ek_depthwise_stream_check(dw, limits)
                                      : ek_depthwise_portable.check(record, limits);
}

const ek_operator ek_depthwise_host = {EK_OP_DEPTHWISE, sizeof(ek_depthwise), check_depthwise, run_depthwise};
