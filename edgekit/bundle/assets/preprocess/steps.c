static const struct ek_preprocess_steps steps = {
    .channels = @CHANNELS@,
    .height = @HEIGHT@,
    .width = @WIDTH@,
    .channels_last = @CHANNELS_LAST@,
    .base_height = @BASE_HEIGHT@,
    .base_width = @BASE_WIDTH@,
    .interpolation = @INTERPOLATION@,
@STATISTICS@
};
