/* Innermost loops of the DSP operators: conv_tile.S and depthwise_tile.S; tiles.c for a processor without the DSP
 * extension (the host, where compiled models are checked and the code around the loops runs under sanitizers). */
#ifndef EK_TILES_H
#define EK_TILES_H

#include <stdint.h>

/* ---- convolution ---- */

/* As conv_tile.S has it in its frame. */
typedef struct {
    const int16_t *columns;
    uintptr_t entry;                /* into the unrolled block */
    const int16_t *columns_end;
    int8_t *out;                    /* sums: int32_t, from a first pixel's four to a second's */
    int32_t out_step;               /* bytes from the first to the second pixel */
    const int32_t *stream_end;
    uintptr_t finish;
} ek_tile;

typedef void ek_tile_function(const int32_t *stream, const ek_tile *tile);

/* A function and the places in it that ek_tile names. */
#define EK_TILE(name)                                                                                                  \
    ek_tile_function name;                                                                                             \
    extern const char name##_steps[], name##_store[], name##_once[], name##_raw[];
EK_TILE(ek_conv_fused1)
EK_TILE(ek_conv_fused2)
EK_TILE(ek_conv_plain1)
EK_TILE(ek_conv_plain2)
#undef EK_TILE

/* Four int8 at a time as the int16 pairs (0, 2) and (1, 3), of one pixel beside the other's place or of both. */
void ek_widen1(int16_t *columns, const int8_t *pixel, int32_t fours);
void ek_widen2(int16_t *columns, const int8_t *first, const int8_t *second, int32_t fours);
/* The window of a 3x3 convolution of three channels: rows of 9 bytes, `row_bytes` apart; K is 28. */
void ek_widen_3x3x3(int16_t *columns, const int8_t *window, int32_t row_bytes);

/* ---- depthwise convolution; as depthwise_tile.S has them in its frames ---- */

typedef struct {
    const int32_t *plane;
    int32_t pitch;                  /* bytes to the next channel's */
    int8_t *out;                    /* sums: int32_t, of both rows */
    int32_t row_step, pixel_step;
    int32_t bytes;                  /* of the columns of one plane that are to be made */
    const int32_t *stream_end;
} ek_planes;

typedef struct {
    int32_t *to[4];
    const int8_t *rows[2];
    int32_t steps[2], columns;
} ek_rows;

typedef struct {
    const int32_t *offsets;         /* of each tap's pixel, from base */
    uintptr_t entry;
    const int32_t *offsets_end;
    int32_t out;                    /* offset of the output pixel, from base */
    const int32_t *stream_end;
    int8_t *base;                   /* plus the number of the first channel */
    int32_t *sums;
} ek_tap_call;

typedef void ek_planes_function(const int32_t *stream, const ek_planes *planes);
ek_planes_function ek_planes_even, ek_planes_odd, ek_planes_even_raw, ek_planes_odd_raw;
void ek_pack_rows(const ek_rows *rows);
void ek_taps(const int32_t *stream, const ek_tap_call *call);
void ek_taps_raw(const int32_t *stream, const ek_tap_call *call);
extern const char ek_taps_steps[], ek_taps_raw_steps[];

/* ---- products of matrices ---- */

/* One row by four columns that lie beside each other; `row` to `row_end` is a multiple of four k, and not empty. */
typedef struct {
    const int8_t *row, *columns;
    int32_t next;                   /* bytes from k to k + 1 of the columns */
    const int8_t *row_end;
    uint32_t minus_zp;              /* of the row, as two int16 */
    int32_t *sums;
} ek_matmul_call;

void ek_matmul_beside(const ek_matmul_call *call);

#endif
