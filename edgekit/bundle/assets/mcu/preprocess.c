
/* What each value of a pixel becomes, per channel: normalised and quantised. */
static const int8_t table[@CHANNELS@][256] = {
@TABLE@
};

@STEPS@
size_t @NAME@_preprocess_scratch_bytes(uint32_t width, uint32_t height)
{
    return ek_preprocess_scratch_bytes(&steps, width, height);
}

@NAME@_status @NAME@_preprocess(
    const uint8_t *rgb, uint32_t width, uint32_t height, size_t stride, void *scratch, size_t scratch_bytes,
    int8_t *@INPUT@)
{
    const enum ek_preprocess_status status =
        ek_preprocess(&steps, rgb, width, height, stride, scratch, scratch_bytes, @INPUT@);
    return status == EK_PREPROCESS_OK ? @BIG@_OK : @BIG@_BAD_ARGUMENT;
}
