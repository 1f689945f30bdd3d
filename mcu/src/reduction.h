/* The loops over a reduction: `EK_REDUCE_BLOCK` neighbouring outputs at a time. */
#ifndef EK_REDUCTION_H
#define EK_REDUCTION_H

#include "edgekit/op_reduce.h"
#include "op_common.h"

#define EK_REDUCE_BLOCK 8

/* Reduce `count` (at most EK_REDUCE_BLOCK) neighbouring outputs; `first` is the first input of the first. */
typedef void (*ek_reducer)(const void *record, const int8_t *first, int32_t count, int8_t *output);

static inline ek_status ek_reduction_check(const ek_reduction *g, const ek_limits *limits)
{
    const int64_t kept = ek_extent(g->kept, g->kept_strides, EK_REDUCE_RANK, 1);
    const int64_t reduced = ek_extent(g->reduced, g->reduced_strides, EK_REDUCE_RANK, 1);
    const int64_t outputs = ek_count(g->kept, EK_REDUCE_RANK), count = ek_count(g->reduced, EK_REDUCE_RANK);
    /* Work in proportion to the input: a record can't make the runtime hang. */
    const bool good = kept > 0 && reduced > 0 && outputs > 0 && count > 0 && count <= EK_MOST_SUMMED &&
                      outputs * count <= (int64_t)limits->arena_bytes &&
                      ek_in_arena(limits, g->input, kept + reduced - 1) && ek_in_arena(limits, g->output, outputs);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static inline void ek_reduction_run(const ek_reduction *g, const void *record, ek_reducer reduce, uint8_t *arena)
{
    const int8_t *input = (const int8_t *)(arena + g->input);
    int8_t *output = (int8_t *)(arena + g->output);
    for (int32_t i = 0; i < g->kept[0]; i++) {
        for (int32_t j = 0; j < g->kept[1]; j++) {
            const int8_t *first = input + i * g->kept_strides[0] + j * g->kept_strides[1];
            for (int32_t k = 0; k < g->kept[2]; k += EK_REDUCE_BLOCK) {
                const int32_t count = ek_least(EK_REDUCE_BLOCK, g->kept[2] - k);
                reduce(record, first + k * g->kept_strides[2], count, output);
                output += count;
            }
        }
    }
}

#endif
