/* Reads a batch of cases (tests/e2e/test_bundle_preprocessing.py writes it), writes every tensor's bytes.
 * Every block of memory is exactly as large as it is said to be, so that a sanitizer sees any byte beside it. */
#include <stdio.h>
#include <stdlib.h>

#include "ek_preprocess.h"

enum { CHANNELS, HEIGHT, WIDTH, LAST, BASE_HEIGHT, BASE_WIDTH, INTERPOLATION, INT8, PICTURE_WIDTH, PICTURE_HEIGHT,
       PADDING, HEADER };

static void *block(size_t bytes, FILE *from)
{
    void *made = malloc(bytes);
    if (!made || (from && fread(made, 1, bytes, from) != bytes))
        exit(2);
    return made;
}

int main(int count, char **arguments)
{
    uint32_t header[HEADER];
    FILE *cases = count == 3 ? fopen(arguments[1], "rb") : NULL;
    FILE *results = count == 3 ? fopen(arguments[2], "wb") : NULL;
    if (!cases || !results)
        return 2;
    for (unsigned number = 0; fread(header, sizeof header, 1, cases) == 1; number++) {
        float *mean = block(header[CHANNELS] * sizeof(float), cases);
        float *std = block(header[CHANNELS] * sizeof(float), cases);
        int8_t(*table)[256] = header[INT8] ? block(header[CHANNELS] * sizeof *table, cases) : NULL;
        size_t row = (size_t)header[PICTURE_WIDTH] * 3, stride = row + header[PADDING];
        uint8_t *rgb = block(stride * (header[PICTURE_HEIGHT] - 1) + row, NULL);
        for (uint32_t y = 0; y < header[PICTURE_HEIGHT]; y++)
            if (fread(rgb + y * stride, 1, row, cases) != row)
                return 2;
        struct ek_preprocess_steps steps = {
            header[CHANNELS], header[HEIGHT], header[WIDTH], header[LAST], header[BASE_HEIGHT], header[BASE_WIDTH],
            (enum ek_interpolation)header[INTERPOLATION], table ? NULL : mean, table ? NULL : std,
            (const int8_t(*)[256])table};
        size_t needed = ek_preprocess_scratch_bytes(&steps, header[PICTURE_WIDTH], header[PICTURE_HEIGHT]);
        size_t values = (size_t)header[CHANNELS] * header[HEIGHT] * header[WIDTH];
        size_t bytes = values * (table ? sizeof(int8_t) : sizeof(float)), offset = number % 4;
        uint8_t *scratch = block(needed + offset, NULL);
        void *input = block(bytes, NULL);
        int status = ek_preprocess(&steps, rgb, header[PICTURE_WIDTH], header[PICTURE_HEIGHT], stride, scratch + offset,
                                   needed, input);
        if (needed == 0 || status != EK_PREPROCESS_OK || fwrite(input, 1, bytes, results) != bytes) {
            fprintf(stderr, "case %u: status %d, %zu bytes of scratch\n", number, status, needed);
            return 1;
        }
        free(mean), free(std), free(table), free(rgb), free(scratch), free(input);
    }
    return fclose(results) ? 2 : 0;
}
