#include "operators.h"
#include "reduction.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_reduce *r = record;
    const bool good = ek_is_int8(r->input_zp) && ek_is_int8(r->output_zp) && ek_multiplier_ok(r->multiplier, r->shift);
    return good ? ek_reduction_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

/* Along runs: each output's inputs lie next to each other (a mean over the last axis). */
static void sum_runs(const ek_reduction *g, const int8_t *first, int32_t count, int32_t *sums)
{
    for (int32_t c = 0; c < count; c++, first += g->kept_strides[2]) {
        int32_t sum = 0;
        for (int32_t i = 0; i < g->reduced[0]; i++) {
            for (int32_t j = 0; j < g->reduced[1]; j++) {
                const int8_t *values = first + i * g->reduced_strides[0] + j * g->reduced_strides[1];
                for (int32_t k = 0; k < g->reduced[2]; k++) {
                    sum += values[k];
                }
            }
        }
        sums[c] = sum;
    }
}

/* Across: neighbouring outputs' inputs lie next to each other (a mean over height and width). */
static void sum_across(const ek_reduction *g, const int8_t *first, int32_t count, int32_t *sums)
{
    const int32_t stride = g->kept_strides[2];
    for (int32_t c = 0; c < count; c++) {
        sums[c] = 0;
    }
    for (int32_t i = 0; i < g->reduced[0]; i++) {
        for (int32_t j = 0; j < g->reduced[1]; j++) {
            const int8_t *values = first + i * g->reduced_strides[0] + j * g->reduced_strides[1];
            for (int32_t k = 0; k < g->reduced[2]; k++, values += g->reduced_strides[2]) {
                for (int32_t c = 0; c < count; c++) {
                    sums[c] += values[c * stride];
                }
            }
        }
    }
}

static void reduce(const void *record, const int8_t *first, int32_t count, int8_t *output)
{
    const ek_reduce *r = record;
    const ek_reduction *g = &r->geometry;
    int32_t sums[EK_REDUCE_BLOCK];
    if (g->reduced_strides[2] == 1) {
        sum_runs(g, first, count, sums);
    } else {
        sum_across(g, first, count, sums);
    }
    const int32_t zeros = r->input_zp * g->reduced[0] * g->reduced[1] * g->reduced[2];
    for (int32_t c = 0; c < count; c++) {
        output[c] = ek_output(sums[c] - zeros, r->multiplier, r->shift, r->output_zp, INT8_MIN, INT8_MAX);
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    ek_reduction_run(&((const ek_reduce *)record)->geometry, record, reduce, arena);
}

const ek_operator ek_reduce_portable = {EK_OP_REDUCE, sizeof(ek_reduce), check, run};
