#include "edgekit/op_minmax.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_minmax *r = record;
    return ek_is_flag(r->maximum) ? ek_broadcast_check(&r->geometry, limits) : EK_BAD_OPERATOR;
}

static void row(const void *record, const int8_t *a, int32_t a_stride, const int8_t *b, int32_t b_stride,
                int8_t *output, int32_t count)
{
    const bool maximum = ((const ek_minmax *)record)->maximum;
    for (int32_t i = 0; i < count; i++, a += a_stride, b += b_stride) {
        output[i] = (*a > *b) == maximum ? *a : *b;
    }
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    ek_broadcast_run(&((const ek_minmax *)record)->geometry, record, row, arena, data);
}

const ek_operator ek_minmax_portable = {EK_OP_MINMAX, sizeof(ek_minmax), check, run};
