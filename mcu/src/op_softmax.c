#include "edgekit/op_softmax.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_softmax *r = record;
    const int64_t bytes = (int64_t)r->rows * r->depth;
    if (r->rows < 1 || !ek_between(r->depth, 1, EK_SOFTMAX_MOST) || !ek_in_arena(limits, r->input, bytes) ||
        !ek_in_arena(limits, r->output, bytes) || !ek_words_in_data(limits, r->table, 256)) {
        return EK_BAD_OPERATOR;
    }
    /* An output over inputs still to be read could put a value there that is above the greatest, and the table has
     * nothing for a negative difference. */
    if (r->output > r->input && !ek_disjoint(r->input, bytes, r->output, bytes)) {
        return EK_BAD_OPERATOR;
    }
    const int32_t *table = (const int32_t *)(const void *)(limits->data + r->table);
    for (int32_t i = 0; i < 256; i++) {
        if (table[i] < 0) {
            return EK_BAD_OPERATOR;
        }
    }
    return table[0] == INT32_MAX ? EK_OK : EK_BAD_OPERATOR; /* exp(0): a sum of at least one */
}

/* 1 / (1 + x) for x in [0, 1), Q0.31: gemmlowp's three steps of Newton and Raphson on x in Q2.29. */
static int32_t one_over_one_plus(int32_t x)
{
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t estimate = 1515870810 + ek_high_mul(half_denominator, -1010580540); /* 48/17 - 32/17 * d */
    for (int32_t i = 0; i < 3; i++) {
        const int32_t error = (1 << 29) - ek_high_mul(half_denominator, estimate);
        estimate += ek_high_mul(estimate, error) * 4;
    }
    return estimate >= 1 << 30 ? INT32_MAX : estimate * 2;
}

static void softmax_row(const int8_t *input, int8_t *output, int32_t depth, const int32_t *table)
{
    int32_t most = INT8_MIN;
    for (int32_t i = 0; i < depth; i++) {
        most = ek_greatest(most, input[i]);
    }
    uint32_t sum = 0; /* Q12.19 */
    for (int32_t i = 0; i < depth; i++) {
        sum += (uint32_t)ek_rounding_shift_right(table[most - input[i]], 12);
    }
    const int32_t zeros = __builtin_clz(sum);
    const int32_t scale = one_over_one_plus((int32_t)((sum << zeros) - 0x80000000u));
    const int32_t exponent = 35 - zeros;
    if (exponent > 31) { /* the sum is 512 or more: LiteRT stops there, and every share rounds to 0 */
        memset(output, -128, (size_t)depth);
        return;
    }
    for (int32_t i = 0; i < depth; i++) {
        const int32_t share = ek_rounding_shift_right(ek_high_mul_positive(scale, table[most - input[i]]), exponent);
        output[i] = (int8_t)ek_least(share - 128, INT8_MAX);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_softmax *r = record;
    const int32_t *table = (const int32_t *)(const void *)(data + r->table);
    for (int32_t row = 0; row < r->rows; row++) {
        const int32_t start = row * r->depth;
        softmax_row((const int8_t *)(arena + r->input) + start, (int8_t *)(arena + r->output) + start, r->depth, table);
    }
}

const ek_operator ek_softmax_portable = {EK_OP_SOFTMAX, sizeof(ek_softmax), check, run};
