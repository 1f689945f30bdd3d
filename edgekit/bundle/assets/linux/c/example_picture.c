/* The first input from the picture. */
static int read_picture(const struct options *options, struct tensors *tensors)
{
    const size_t bytes = (size_t)options->width * (size_t)options->height * 3;
    uint8_t *rgb = malloc(bytes + 1);
    FILE *file = rgb ? fopen(options->picture, "rb") : NULL;
    int status = -1;
    tensors->samples = 1;
    tensors->inputs[0] = malloc(@API@_contract.inputs[0].bytes);
    if (!file || !tensors->inputs[0]) {
        fprintf(stderr, PROGRAM ": %s can't be read: %s\n", options->picture, strerror(errno));
    } else if (fread(rgb, 1, bytes + 1, file) != bytes) {
        fprintf(stderr, PROGRAM ": %s has not %zu bytes, %d x %d pixels of RGB\n", options->picture, bytes,
                options->width, options->height);
    } else {
        status = @API@_preprocess(rgb, (uint32_t)options->width, (uint32_t)options->height,
                                  (size_t)options->width * 3, tensors->inputs[0]);
        if (status != EK_OK) {
            fail(ek_last_error());
        }
    }
    if (file) {
        fclose(file);
    }
    free(rgb);
    return status == EK_OK ? 0 : 1;
}
