#include "matmul.h"
#include "operators.h"

#define COLUMNS 4 /* at a time */

static int64_t operand_bytes(const ek_batch_matmul *r, const int32_t *batch_strides, const int32_t *dims,
                             const int32_t *strides)
{
    const int64_t batches = ek_extent(r->batches, batch_strides, EK_MATMUL_RANK, 1);
    const int64_t matrix = ek_extent(dims, strides, 2, 1);
    return batches < 0 || matrix < 0 ? -1 : batches + matrix - 1;
}

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_batch_matmul *r = record;
    const int64_t a = operand_bytes(r, r->a_batch_strides, (const int32_t[]){r->rows, r->depth},
                                    (const int32_t[]){r->a_row_stride, r->a_depth_stride});
    const int64_t b = operand_bytes(r, r->b_batch_strides, (const int32_t[]){r->depth, r->columns},
                                    (const int32_t[]){r->b_depth_stride, r->b_column_stride});
    const int64_t batches = ek_count(r->batches, EK_MATMUL_RANK);
    const int64_t matrix = ek_count((const int32_t[]){r->rows, r->columns}, 2);
    const bool good = batches > 0 && matrix > 0 && batches <= (int64_t)limits->arena_bytes &&
                      matrix <= (int64_t)limits->arena_bytes && ek_between(r->depth, 1, EK_MATMUL_MOST) &&
                      ek_in_arena(limits, r->output, batches * matrix) &&
                      ek_operand_ok(limits, r->a_constant, r->a, a) && ek_operand_ok(limits, r->b_constant, r->b, b) &&
                      ek_is_int8(r->a_zp) && ek_is_int8(r->b_zp) && ek_is_int8(r->output_zp) &&
                      ek_multiplier_ok(r->multiplier, r->shift);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static inline int8_t output_of(const ek_batch_matmul *r, int32_t sum)
{
    return ek_output(sum, r->multiplier, r->shift, r->output_zp, INT8_MIN, INT8_MAX);
}

/* COLUMNS outputs of one row. `zeros` is b_zp times the sum of the row less a_zp. Inlined with constant steps. */
static inline __attribute__((always_inline)) void four(const ek_batch_matmul *r, const int8_t *a, int32_t a_step,
                                                       const int8_t *b, int32_t b_step, int32_t zeros, int8_t *output)
{
    const int8_t *b1 = b + r->b_column_stride, *b2 = b1 + r->b_column_stride, *b3 = b2 + r->b_column_stride;
    const int32_t a_zp = r->a_zp;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int32_t k = r->depth; k > 0; k--) {
        const int32_t value = *a - a_zp;
        s0 += value * *b;
        s1 += value * *b1;
        s2 += value * *b2;
        s3 += value * *b3;
        a += a_step, b += b_step, b1 += b_step, b2 += b_step, b3 += b_step;
    }
    output[0] = output_of(r, s0 - zeros);
    output[1] = output_of(r, s1 - zeros);
    output[2] = output_of(r, s2 - zeros);
    output[3] = output_of(r, s3 - zeros);
}

/* Neighbouring columns lie next to each other. */
static inline __attribute__((always_inline)) void four_neighbours(const ek_batch_matmul *r, const int8_t *a,
                                                                  const int8_t *b, int32_t zeros, int8_t *output)
{
    const int32_t a_step = r->a_depth_stride, b_step = r->b_depth_stride, a_zp = r->a_zp;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int32_t k = r->depth; k > 0; k--, a += a_step, b += b_step) {
        const int32_t value = *a - a_zp;
        s0 += value * b[0];
        s1 += value * b[1];
        s2 += value * b[2];
        s3 += value * b[3];
    }
    output[0] = output_of(r, s0 - zeros);
    output[1] = output_of(r, s1 - zeros);
    output[2] = output_of(r, s2 - zeros);
    output[3] = output_of(r, s3 - zeros);
}

static int8_t one(const ek_batch_matmul *r, const int8_t *a, const int8_t *b, int32_t zeros)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < r->depth; k++) {
        sum += (a[k * r->a_depth_stride] - r->a_zp) * b[k * r->b_depth_stride];
    }
    return output_of(r, sum - zeros);
}

static void multiply(const ek_batch_matmul *r, const int8_t *a, const int8_t *b, int8_t *output)
{
    for (int32_t i = 0; i < r->rows; i++, a += r->a_row_stride, output += r->columns) {
        int32_t zeros = 0;
        for (int32_t k = 0; k < r->depth; k++) {
            zeros += a[k * r->a_depth_stride] - r->a_zp;
        }
        zeros *= r->b_zp;
        int32_t j = 0;
        for (; j + COLUMNS <= r->columns; j += COLUMNS) {
            const int8_t *columns = b + j * r->b_column_stride;
            if (r->b_column_stride == 1) {
                four_neighbours(r, a, columns, zeros, output + j);
            } else if (r->a_depth_stride == 1 && r->b_depth_stride == 1) {
                four(r, a, 1, columns, 1, zeros, output + j);
            } else {
                four(r, a, r->a_depth_stride, columns, r->b_depth_stride, zeros, output + j);
            }
        }
        for (; j < r->columns; j++) {
            output[j] = one(r, a, b + j * r->b_column_stride, zeros);
        }
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_matmul_run(record, arena, data, multiply);
}

const ek_operator ek_batch_matmul_portable = {EK_OP_BATCH_MATMUL, sizeof(ek_batch_matmul), check, run};
