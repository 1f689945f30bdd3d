#include "operators.h"
#include "reduction.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    return ek_reduction_check(&((const ek_reduce_max *)record)->geometry, limits);
}

static void reduce(const void *record, const int8_t *first, int32_t count, int8_t *output)
{
    const ek_reduction *g = &((const ek_reduce_max *)record)->geometry;
    int32_t most[EK_REDUCE_BLOCK];
    for (int32_t c = 0; c < count; c++) {
        most[c] = INT8_MIN;
    }
    for (int32_t i = 0; i < g->reduced[0]; i++) {
        for (int32_t j = 0; j < g->reduced[1]; j++) {
            const int8_t *values = first + i * g->reduced_strides[0] + j * g->reduced_strides[1];
            for (int32_t k = 0; k < g->reduced[2]; k++, values += g->reduced_strides[2]) {
                for (int32_t c = 0; c < count; c++) {
                    most[c] = ek_greatest(most[c], values[c * g->kept_strides[2]]);
                }
            }
        }
    }
    for (int32_t c = 0; c < count; c++) {
        output[c] = (int8_t)most[c];
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    ek_reduction_run(&((const ek_reduce_max *)record)->geometry, record, reduce, arena);
}

const ek_operator ek_reduce_max_portable = {EK_OP_REDUCE_MAX, sizeof(ek_reduce_max), check, run};
