/* tiles.h in C, for processors without the DSP extension: the same results from the same arguments, not fast. */
#include "tiles.h"

#include "streams.h"

#ifndef __ARM_FEATURE_DSP

/* Places in the assembly, told apart by their addresses only. */
#define PLACES(name)                                                                                                   \
    _Alignas(4) const char name##_steps[4] = {0};                                                                      \
    _Alignas(4) const char name##_store[4] = {0};                                                                      \
    _Alignas(4) const char name##_once[4] = {0};                                                                       \
    _Alignas(4) const char name##_raw[4] = {0};
PLACES(ek_conv_fused1)
PLACES(ek_conv_fused2)
PLACES(ek_conv_plain1)
PLACES(ek_conv_plain2)
_Alignas(4) const char ek_taps_steps[4] = {0};
_Alignas(4) const char ek_taps_raw_steps[4] = {0};

static int32_t low(int32_t word)
{
    return (int16_t)((uint32_t)word & 0xffffu);
}

static int32_t high(int32_t word)
{
    return (int16_t)((uint32_t)word >> 16);
}

/* acc + both products of the halves, modulo 2^32 */
static int32_t smlad(int32_t a, int32_t b, int32_t acc)
{
    return ek_smlad((uint32_t)a, (uint32_t)b, acc);
}

static int32_t pair(int32_t first, int32_t second)
{
    return (int32_t)(((uint32_t)first & 0xffffu) | ((uint32_t)second << 16));
}

/* Bytes 0 and 2, or 1 and 3, of a word as two int16. */
static int32_t sxtb16(int32_t word, int32_t odd)
{
    const uint32_t bits = (uint32_t)word >> (8 * odd);
    return pair((int8_t)(bits & 0xffu), (int8_t)(bits >> 16 & 0xffu));
}

static int32_t word_at(const void *bytes)
{
    int32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

/* ---- convolution ---- */

/* The sums of one group of four channels; returns where its scalings stand in the stream. */
static const int32_t *add_up(const int32_t *stream, const ek_tile *tile, int32_t pixels, bool fused, int32_t (*sums)[4])
{
    for (int32_t p = 0; p < pixels; p++) {
        memcpy(sums[p], stream, sizeof sums[p]);
    }
    stream += 4;
    for (const int16_t *column = tile->columns; column != tile->columns_end; column += 4, stream += 2) {
        for (int32_t p = 0; p < pixels; p++) {
            const int32_t pixel = word_at(column + 2 * p);
            for (int32_t i = 0; i < 2; i++) {
                const int32_t second = fused ? stream[i] : sxtb16(stream[i], 1);
                sums[p][2 * i] = smlad(pixel, sxtb16(stream[i], 0), sums[p][2 * i]);
                sums[p][2 * i + 1] = smlad(pixel, second, sums[p][2 * i + 1]);
            }
        }
    }
    for (int32_t p = 0; fused && p < pixels; p++) {
        for (int32_t i = 0; i < 4; i += 2) {
            sums[p][i + 1] = (int32_t)((uint32_t)sums[p][i + 1] - (uint32_t)sums[p][i]) >> 8;
        }
    }
    return stream;
}

static void make(const int32_t *stream, const ek_tile *tile, int32_t pixels, bool fused, const char *raw,
                 const char *once)
{
    const int32_t rounding = tile->finish == ((uintptr_t)once | 1u) ? EK_ROUND_ONCE : EK_ROUND_TWICE;
    int32_t sums[2][4];
    int8_t *out = tile->out;
    if (tile->finish == ((uintptr_t)raw | 1u)) {
        add_up(stream, tile, pixels, fused, sums);
        for (int32_t i = 0; i < 4 * pixels; i++) {
            const int32_t twice = ek_wrap_shift_left(sums[i / 4][i % 4], 1);
            memcpy(out + 4 * i, &twice, sizeof twice);
        }
        return;
    }
    for (; stream != tile->stream_end; out += 4, stream += 12) {
        stream = add_up(stream, tile, pixels, fused, sums);
        for (int32_t i = 0; i < 4 * pixels; i++) {
            const ek_scaling scaling = ek_scaling_at(stream + i % 4 * 3);
            out[i / 4 * tile->out_step + i % 4] = ek_scaled(sums[i / 4][i % 4], scaling, rounding);
        }
    }
}

#define TILE(name, pixels, fused)                                                                                      \
    void name(const int32_t *stream, const ek_tile *tile)                                                              \
    {                                                                                                                  \
        make(stream, tile, pixels, fused, name##_raw, name##_once);                                                    \
    }
TILE(ek_conv_fused1, 1, true)
TILE(ek_conv_fused2, 2, true)
TILE(ek_conv_plain1, 1, false)
TILE(ek_conv_plain2, 2, false)

void ek_widen1(int16_t *columns, const int8_t *pixel, int32_t fours)
{
    for (; fours > 0; fours--, columns += 8, pixel += 4) {
        const int16_t widened[4] = {pixel[0], pixel[2], pixel[1], pixel[3]};
        memcpy(columns, widened, 4);
        memcpy(columns + 4, widened + 2, 4);
    }
}

void ek_widen2(int16_t *columns, const int8_t *first, const int8_t *second, int32_t fours)
{
    ek_widen1(columns, first, fours);
    ek_widen1(columns + 2, second, fours);
}

void ek_widen_3x3x3(int16_t *columns, const int8_t *window, int32_t row_bytes)
{
    int8_t bytes[28] = {0};
    for (int32_t row = 0; row < 3; row++) {
        memcpy(bytes + 9 * row, window + row * row_bytes, 9);
    }
    ek_widen1(columns, bytes, 7);
}

/* ---- depthwise convolution ---- */

/* Sums of rows y and y + 1 at one column; `upper` is the word of the columns that holds rows y and y + 1. */
static void column_sums(const int32_t *stream, const int32_t *plane, int32_t upper, int32_t sums[2])
{
    sums[0] = sums[1] = stream[6];
    for (int32_t i = 0; i < 3; i++) {
        const int32_t above = plane[2 * i + upper], below = plane[2 * i + 1 - upper];
        const int32_t w01 = stream[2 * i], w12 = stream[2 * i + 1];
        sums[0] = ek_wrap_add(smlad(above, w01, sums[0]), low(below) * high(w12));
        sums[1] = ek_wrap_add(smlad(below, w12, sums[1]), high(above) * low(w01));
    }
}

static void planes(const int32_t *stream, const ek_planes *call, int32_t upper, bool raw)
{
    int8_t *first = call->out;
    const int32_t *plane = call->plane;
    for (; stream != call->stream_end; stream += EK_PLANE_WORDS, first++, plane += call->pitch / 4) {
        const ek_scaling scaling = {stream[8], stream[9], stream[7]};
        int8_t *out = first;
        for (int32_t x = 0; x < call->bytes / 8; x++) {
            int32_t sums[2];
            column_sums(stream, plane + 2 * x, upper, sums);
            if (raw) {
                memcpy(out, sums, sizeof sums);
                out += sizeof sums;
                continue;
            }
            out[call->row_step] = ek_scaled(sums[1], scaling, EK_ROUND_TWICE);
            out[0] = ek_scaled(sums[0], scaling, EK_ROUND_TWICE);
            out += call->pixel_step;
        }
    }
}

void ek_planes_even(const int32_t *stream, const ek_planes *call)
{
    planes(stream, call, 0, false);
}

void ek_planes_odd(const int32_t *stream, const ek_planes *call)
{
    planes(stream, call, 1, false);
}

void ek_planes_even_raw(const int32_t *stream, const ek_planes *call)
{
    planes(stream, call, 0, true);
}

void ek_planes_odd_raw(const int32_t *stream, const ek_planes *call)
{
    planes(stream, call, 1, true);
}

void ek_pack_rows(const ek_rows *rows)
{
    for (int32_t x = 0; x < rows->columns; x++) {
        for (int32_t c = 0; c < 4; c++) {
            rows->to[c][2 * x] = pair(rows->rows[0][x * rows->steps[0] + c], rows->rows[1][x * rows->steps[1] + c]);
        }
    }
}

static const int32_t *tap_sums(const int32_t *stream, const ek_tap_call *call, const int8_t *base, int32_t sums[4])
{
    memcpy(sums, stream, 4 * sizeof sums[0]);
    stream += 4;
    for (const int32_t *offset = call->offsets; offset != call->offsets_end; offset += 2) {
        for (int32_t c = 0; c < 4; c++, stream++) {
            sums[c] = smlad(pair(base[offset[0] + c], base[offset[1] + c]), *stream, sums[c]);
        }
    }
    return stream;
}

void ek_taps(const int32_t *stream, const ek_tap_call *call)
{
    for (int8_t *base = call->base; stream != call->stream_end; base += 4) {
        int32_t sums[4];
        stream = tap_sums(stream, call, base, sums);
        for (int32_t c = 0; c < 4; c++, stream += 3) {
            base[call->out + c] = ek_scaled(sums[c], ek_scaling_at(stream), EK_ROUND_TWICE);
        }
    }
}

void ek_taps_raw(const int32_t *stream, const ek_tap_call *call)
{
    tap_sums(stream, call, call->base, call->sums);
}

/* ---- products of matrices ---- */

void ek_matmul_beside(const ek_matmul_call *call)
{
    const int32_t minus_zp = low((int32_t)call->minus_zp);
    const int8_t *columns = call->columns;
    memset(call->sums, 0, 4 * sizeof call->sums[0]);
    for (const int8_t *at = call->row; at != call->row_end; at++, columns += call->next) {
        for (int32_t c = 0; c < 4; c++) {
            call->sums[c] += (*at + minus_zp) * columns[c];
        }
    }
}

#else
typedef int ek_tiles_are_assembly; /* a translation unit must not be empty */
#endif
