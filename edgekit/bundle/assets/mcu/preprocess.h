/* A picture as the first input: resized to cover @BASE_WIDTH@ x @BASE_HEIGHT@ (@INTERPOLATION@), its centre of
 * @WIDTH@ x @HEIGHT@ pixels, normalised and quantised; the same bits as edgekit's Python. OK or BAD_ARGUMENT.
 *
 * rgb:     upright, 3 bytes per pixel, rows `stride` bytes apart from the top down
 * scratch: @NAME@_preprocess_scratch_bytes() bytes, which is 0 for a picture that can't be taken */
size_t @NAME@_preprocess_scratch_bytes(uint32_t width, uint32_t height);
@NAME@_status @NAME@_preprocess(
    const uint8_t *rgb, uint32_t width, uint32_t height, size_t stride, void *scratch, size_t scratch_bytes,
    int8_t *@INPUT@);
