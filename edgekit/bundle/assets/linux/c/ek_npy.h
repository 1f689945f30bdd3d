/* Stacks of samples as plain .npy files (numpy's format), and single values of a tensor. For examples and tests. */
#ifndef EK_NPY_H
#define EK_NPY_H

#include "ek_model.h"

/* A file with a leading axis over the samples in front of the tensor's own shape. On EK_OK the caller frees `*data`,
 * which holds `*samples` times tensor->bytes. */
int ek_npy_read(const char *path, const struct ek_tensor *tensor, void **data, size_t *samples);

int ek_npy_write(const char *path, const struct ek_tensor *tensor, const void *data, size_t samples);

/* Element `index` of one tensor as a number. */
double ek_value(const struct ek_tensor *tensor, const void *data, size_t index);

#endif
