
/* The first input from an upright picture: 8-bit RGB, rows `stride` bytes apart from the top down, sides of up to
 * EK_PREPROCESS_MAX_SIDE pixels. The same bits as from edgekit's Python. */
int @API@_preprocess(const uint8_t *rgb, uint32_t width, uint32_t height, size_t stride, @TYPE@ *@PARAMETER@);
