#include "edgekit/op_lookup.h"

#include "op_common.h"
#include "operators.h"

static ek_status check(const void *record, const ek_limits *limits)
{
    const ek_lookup *r = record;
    const bool good = r->count >= 1 && ek_in_arena(limits, r->input, r->count) &&
                      ek_in_arena(limits, r->output, r->count) && ek_in_data(limits, r->table, 256);
    return good ? EK_OK : EK_BAD_OPERATOR;
}

static void run(const void *record, uint8_t *arena, const uint8_t *data)
{
    const ek_lookup *r = record;
    const uint8_t *table = data + r->table, *input = arena + r->input;
    uint8_t *output = arena + r->output;
    const int32_t count = r->count; /* stores through uint8_t * might change the record, for all the compiler knows */
    int32_t i = 0;
    for (; i + 4 <= count; i += 4) {
        const uint8_t a = table[input[i]], b = table[input[i + 1]];
        const uint8_t c = table[input[i + 2]], d = table[input[i + 3]];
        output[i] = a, output[i + 1] = b, output[i + 2] = c, output[i + 3] = d;
    }
    for (; i < count; i++) {
        output[i] = table[input[i]];
    }
}

const ek_operator ek_lookup_portable = {EK_OP_LOOKUP, sizeof(ek_lookup), check, run};
