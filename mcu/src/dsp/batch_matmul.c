/* Products of matrices with the DSP extension: depth in steps of four, one row by four columns. Operands whose strides
 * this does not fit are multiplied by the portable kernel. */
#include "../matmul.h"
#include "../operators.h"
#include "dsp.h"
#include "tiles.h"

#define COLUMNS 4
#define FOUR 4             /* k at a time */
#define MOST_DEPTH 16000   /* sums of differences of up to 255 below 2^30 */
#define MOST_EXPONENT 21   /* with which ek_shifted()'s constant fits 32 bits */

/* The row of a, less a_zp, and how a sum becomes an output. */
typedef struct {
    const int8_t *values;
    uint32_t minus_zp;     /* as two int16 */
    int32_t zeros;         /* b_zp times the sum of the row less a_zp */
} left;

static inline uint32_t load(const int8_t *four)
{
    uint32_t word;
    memcpy(&word, four, sizeof word);
    return word;
}

/* Four k of one column: `even` are the products of k 0 and 2. */
static inline int32_t step(uint32_t a_even, uint32_t a_odd, uint32_t b, int32_t sum)
{
    return ek_smlad(a_odd, ek_sxtb16_odd(b), ek_smlad(a_even, ek_sxtb16(b), sum));
}

/* Columns of which each lies in one piece. */
static void columns_in_pieces(const ek_batch_matmul *r, left a, const int8_t *b, int32_t *sums)
{
    const int8_t *b1 = b + r->b_column_stride, *b2 = b1 + r->b_column_stride, *b3 = b2 + r->b_column_stride;
    const int8_t *const end = a.values + r->depth / FOUR * FOUR;
    int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (const int8_t *at = a.values; at != end; at += FOUR, b += FOUR, b1 += FOUR, b2 += FOUR, b3 += FOUR) {
        const uint32_t word = load(at);
        const uint32_t even = ek_sxtab16(a.minus_zp, word), odd = ek_sxtab16_odd(a.minus_zp, word);
        s0 = step(even, odd, load(b), s0);
        s1 = step(even, odd, load(b1), s1);
        s2 = step(even, odd, load(b2), s2);
        s3 = step(even, odd, load(b3), s3);
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

/* Columns that lie beside each other. */
static void columns_beside(const ek_batch_matmul *r, left a, const int8_t *b, int32_t *sums)
{
    const int8_t *const end = a.values + r->depth / FOUR * FOUR;
    if (end == a.values) {
        sums[0] = sums[1] = sums[2] = sums[3] = 0;
        return;
    }
    const ek_matmul_call call = {a.values, b, r->b_depth_stride, end, a.minus_zp, sums};
    ek_matmul_beside(&call);
}

/* What the steps of four k leave over, from `k` on, for `count` columns. */
static inline void add_rest(const ek_batch_matmul *r, left a, const int8_t *b, int32_t k, int32_t count, int32_t *sums)
{
    for (; k < r->depth; k++) {
        const int32_t value = a.values[k] - r->a_zp;
        const int8_t *at = b + k * r->b_depth_stride;
        for (int32_t c = 0; c < count; c++, at += r->b_column_stride) {
            sums[c] += value * *at;
        }
    }
}

static void four_columns(const ek_batch_matmul *r, left a, const int8_t *b, int32_t *sums)
{
    if (r->b_depth_stride == 1) {
        columns_in_pieces(r, a, b, sums);
    } else {
        columns_beside(r, a, b, sums);
    }
    add_rest(r, a, b, r->depth / FOUR * FOUR, COLUMNS, sums);
}

static void multiply(const ek_batch_matmul *r, const int8_t *a, const int8_t *b, int8_t *output)
{
    const ek_shifter shifter = ek_shifter_of(r->multiplier, r->shift, r->output_zp);
    left row = {a, ek_widened(-r->a_zp), 0};
    for (int32_t i = 0; i < r->rows; i++, row.values += r->a_row_stride) {
        row.zeros = 0;
        for (int32_t k = 0; k < r->depth; k++) {
            row.zeros += row.values[k] - r->a_zp;
        }
        row.zeros *= r->b_zp;
        for (int32_t j = 0; j < r->columns; j += COLUMNS) {
            const int8_t *columns = b + j * r->b_column_stride;
            const int32_t count = r->columns - j < COLUMNS ? r->columns - j : COLUMNS;
            int32_t sums[COLUMNS] = {0};
            if (count == COLUMNS) {
                four_columns(r, row, columns, sums);
            } else {
                add_rest(r, row, columns, 0, count, sums);
            }
            for (int32_t c = 0; c < count; c++) {
                *output++ = (int8_t)ek_saturated(ek_shifted(shifter, 2 * (sums[c] - row.zeros)));
            }
        }
    }
}

static bool mine(const ek_batch_matmul *r)
{
    return r->a_depth_stride == 1 && (r->b_depth_stride == 1 || r->b_column_stride == 1) && r->depth <= MOST_DEPTH &&
           ek_between(r->shift, -MOST_EXPONENT, -1);
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_batch_matmul *r = record;
    if (!mine(r)) {
        ek_batch_matmul_portable.run(record, arena, data);
        return;
    }
    ek_matmul_run(r, arena, data, multiply);
}

static ek_status check(const void *record, const ek_limits *limits)
{
    return ek_batch_matmul_portable.check(record, limits);
}

const ek_operator ek_batch_matmul_dsp = {EK_OP_BATCH_MATMUL, sizeof(ek_batch_matmul), check, run};
