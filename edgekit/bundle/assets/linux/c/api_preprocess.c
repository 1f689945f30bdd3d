
@STEPS@
int @API@_preprocess(const uint8_t *rgb, uint32_t width, uint32_t height, size_t stride, @TYPE@ *@PARAMETER@)
{
    const size_t bytes = ek_preprocess_scratch_bytes(&steps, width, height);
    void *scratch = malloc(bytes ? bytes : 1);
    if (!scratch) {
        return ek_fail(EK_NO_MEMORY, "There is no memory left.");
    }
    const enum ek_preprocess_status status =
        ek_preprocess(&steps, rgb, width, height, stride, scratch, bytes, @PARAMETER@);
    free(scratch);
    if (status != EK_PREPROCESS_OK) {
        return ek_fail(EK_WRONG_ARGUMENT, "A picture of %u x %u pixels can't be preprocessed (status %d).",
                       (unsigned)width, (unsigned)height, (int)status);
    }
    return EK_OK;
}
