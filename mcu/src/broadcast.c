#include "edgekit/broadcast.h"

#include "op_common.h"

ek_status ek_broadcast_check(const ek_broadcast *g, const ek_limits *limits)
{
    const int64_t a_bytes = ek_extent(g->dims, g->a_strides, EK_BROADCAST_RANK, 1);
    const int64_t b_bytes = ek_extent(g->dims, g->b_strides, EK_BROADCAST_RANK, 1);
    const bool good = ek_in_arena(limits, g->output, ek_count(g->dims, EK_BROADCAST_RANK)) &&
                      ek_operand_ok(limits, g->a_constant, g->a, a_bytes) &&
                      ek_operand_ok(limits, g->b_constant, g->b, b_bytes);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

void ek_broadcast_run(const ek_broadcast *g, const void *record, ek_row row, uint8_t *arena, const uint8_t *data)
{
    const int8_t *a = (const int8_t *)((g->a_constant ? data : arena) + g->a);
    const int8_t *b = (const int8_t *)((g->b_constant ? data : arena) + g->b);
    int8_t *output = (int8_t *)(arena + g->output);
    const int32_t *dims = g->dims, *sa = g->a_strides, *sb = g->b_strides;
    for (int32_t i = 0; i < dims[0]; i++) {
        for (int32_t j = 0; j < dims[1]; j++) {
            for (int32_t k = 0; k < dims[2]; k++) {
                const int32_t a_start = i * sa[0] + j * sa[1] + k * sa[2];
                const int32_t b_start = i * sb[0] + j * sb[1] + k * sb[2];
                for (int32_t l = 0; l < dims[3]; l++) {
                    row(record, a + a_start + l * sa[3], sa[4], b + b_start + l * sb[3], sb[4], output, dims[4]);
                    output += dims[4];
                }
            }
        }
    }
}
