
static const uint8_t picture[@PICTURE_HEIGHT@ * @PICTURE_WIDTH@ * 3] = {
@PICTURE@
};
static const int8_t from_picture[@BIG@_@INPUT_BIG@_BYTES] = {
@EXPECTED@
};
static uint8_t scratch[@SCRATCH_BYTES@];
static int8_t preprocessed[@BIG@_@INPUT_BIG@_BYTES];

static @NAME@_status test_preprocessing(void)
{
    spoil(preprocessed, from_picture, sizeof preprocessed);
    const @NAME@_status status = @NAME@_preprocess(
        picture, @PICTURE_WIDTH@, @PICTURE_HEIGHT@, @PICTURE_WIDTH@ * 3, scratch, sizeof scratch, preprocessed);
    if (status == @BIG@_OK && differs(preprocessed, from_picture, sizeof preprocessed)) {
        return @BIG@_DIFFERS;
    }
    return status;
}

static @NAME@_status test_before(void)
{
    const @NAME@_status status = @NAME@_init();
    return status == @BIG@_OK ? test_preprocessing() : status;
}
