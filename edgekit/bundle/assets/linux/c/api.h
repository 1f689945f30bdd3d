/* The model @NAME@ as C functions. Made by edgekit; do not edit.
 *
 * Variants: @VARIANTS@. Each file is verified by its sha256 before it is loaded. Tensors are in
 * row-major order. Every function but the last answers an enum ek_status; ek_last_error() says more in words. */
#ifndef MODEL_@UPPER@_H
#define MODEL_@UPPER@_H

#include "ek_model.h"
@PREPROCESS_INCLUDE@
#ifdef __cplusplus
extern "C" {
#endif

/* How many elements each tensor has. */
@COUNTS@

extern const struct ek_contract @API@_contract;
@LABELS_DECLARED@
struct @API@ {
    struct ek_model *model;
};

/* bundle: the bundle's folder. variant: one of those above, or null for the one that was measured best on this device
 * (the first one if this device was not measured). threads: 0 for as many as were measured best.
 * On failure nothing is left to close. */
int @API@_open(struct @API@ *self, const char *bundle, const char *variant, int threads);

/* One inference. One thread at a time may use `self`. */
int @API@_run(struct @API@ *self, @PARAMETERS@);
@PREPROCESS_DECLARED@
void @API@_close(struct @API@ *self);

#ifdef __cplusplus
}
#endif

#endif
