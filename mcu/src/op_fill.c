#include "edgekit/op_fill.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_fill *r = record;
    return ek_in_arena(limits, r->output, r->bytes) && ek_is_int8(r->value) ? EK_OK : EK_BAD_OPERATOR;
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    (void)data;
    const ek_fill *r = record;
    memset(arena + r->output, r->value, (size_t)r->bytes);
}

const ek_operator ek_fill_portable = {EK_OP_FILL, sizeof(ek_fill), check, run};
