/* The loops over the batches of a product of matrices. */
#ifndef EK_MATMUL_H
#define EK_MATMUL_H

#include "edgekit/op_batch_matmul.h"
#include "op_common.h"

/* One product: r->rows by r->columns outputs, dense. */
typedef void ek_multiplier(const ek_batch_matmul *r, const int8_t *a, const int8_t *b, int8_t *output);

static inline void ek_matmul_run(const ek_batch_matmul *r, uint8_t *arena, const uint8_t *data, ek_multiplier *multiply)
{
    const int8_t *a = (const int8_t *)((r->a_constant ? data : arena) + r->a);
    const int8_t *b = (const int8_t *)((r->b_constant ? data : arena) + r->b);
    int8_t *output = (int8_t *)(arena + r->output);
    const int32_t *sa = r->a_batch_strides, *sb = r->b_batch_strides;
    for (int32_t i = 0; i < r->batches[0]; i++) {
        for (int32_t j = 0; j < r->batches[1]; j++) {
            for (int32_t k = 0; k < r->batches[2]; k++, output += r->rows * r->columns) {
                multiply(r, a + i * sa[0] + j * sa[1] + k * sa[2], b + i * sb[0] + j * sb[1] + k * sb[2], output);
            }
        }
    }
}

#endif
