/* The model @NAME@. Made by edgekit; do not edit. */
#include "model_@API@.h"

@INCLUDES@
/* What the files take and give. */
static const struct ek_tensor inputs[] = {
@INPUTS@
};

static const struct ek_tensor outputs[] = {
@OUTPUTS@
};

static const struct ek_variant variants[] = {
@VARIANTS@
};
@DEVICES@
const struct ek_contract @API@_contract = {
    .name = @NAME_STRING@,
    .variants = variants,
    .variant_count = @VARIANT_COUNT@,
    .devices = @DEVICE_TABLE@,
    .device_count = @DEVICE_COUNT@,
    .inputs = inputs,
    .input_count = @INPUT_COUNT@,
    .outputs = outputs,
    .output_count = @OUTPUT_COUNT@,
};
@LABELS@
int @API@_open(struct @API@ *self, const char *bundle, const char *variant, int threads)
{
    return ek_open(&@API@_contract, bundle, variant, threads, &self->model);
}

int @API@_run(struct @API@ *self, @PARAMETERS@)
{
    const void *const from[] = {@FROM@};
    void *const to[] = {@TO@};
    return ek_run(self->model, from, to);
}
@PREPROCESS@
void @API@_close(struct @API@ *self)
{
    ek_close(self->model);
    self->model = NULL;
}
