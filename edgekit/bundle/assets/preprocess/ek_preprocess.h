/* From an RGB picture to a model's input tensor: resize to cover, crop the centre, normalise.
 *
 * Computes the same bits as edgekit's Python (Pillow's resampling of 8-bit pictures, then float32), Kotlin and Swift.
 * That needs IEEE arithmetic as it is written: compile with -ffp-contract=off and without -ffast-math; where float is
 * evaluated in a wider type (32-bit x86 without SSE2) it does not compile. No allocation, no libm, no global state. */
#ifndef EK_PREPROCESS_H
#define EK_PREPROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EK_PREPROCESS_MAX_SIDE 16384u /* of a picture, an input and its base */

enum ek_interpolation { EK_NEAREST, EK_BILINEAR, EK_BOX, EK_BICUBIC };

enum ek_preprocess_status {
    EK_PREPROCESS_OK,
    EK_PREPROCESS_NULL,           /* a pointer that is needed is null */
    EK_PREPROCESS_BAD_STEPS,      /* channels, a side or the interpolation is out of range */
    EK_PREPROCESS_BAD_SIZE,       /* the picture has a side of 0 or above EK_PREPROCESS_MAX_SIDE */
    EK_PREPROCESS_BAD_STRIDE,     /* the stride is shorter than a row, or the picture is larger than the memory */
    EK_PREPROCESS_SCRATCH_TOO_SMALL
};

/* The picture is resized so that it covers base_width x base_height, and its centre of width x height pixels is kept.
 * The input has one picture: channels x height x width, or height x width x channels with channels_last. */
struct ek_preprocess_steps {
    uint32_t channels;             /* 3: RGB; 1: grey, luma of BT.601 */
    uint32_t height, width;        /* of the input */
    bool channels_last;
    uint32_t base_height, base_width;
    enum ek_interpolation interpolation;
    const float *mean, *std;       /* one per channel, of values in 0..1; for a float input */
    const int8_t (*table)[256];    /* [channel][pixel value]; makes the input int8, and mean and std are not read */
};

/* How much scratch memory a picture of this size takes; 0 if steps are null or anything is out of range. */
size_t ek_preprocess_scratch_bytes(const struct ek_preprocess_steps *steps, uint32_t width, uint32_t height);

/* Fills the input from one picture.
 *
 * rgb:     upright (turned by its EXIF tag already), 3 bytes per pixel, rows `stride` bytes apart from the top down
 * scratch: at least ek_preprocess_scratch_bytes(), of any alignment; holds nothing between calls
 * input:   channels * height * width float, or int8_t with steps->table; overlaps neither rgb nor scratch */
enum ek_preprocess_status ek_preprocess(const struct ek_preprocess_steps *steps, const uint8_t *rgb, uint32_t width,
                                        uint32_t height, size_t stride, void *scratch, size_t scratch_bytes,
                                        void *input);

#ifdef __cplusplus
}
#endif

#endif
