/* Runs the cases that tests/mcu_kernel_cases.py made and prints one line per case: number, instructions, and "ok",
 * "differs at N: VALUE" or "refused N". Exit code 1 if any case failed.
 *
 * A case: a test_case, then record, ranges (offset, bytes: what may change), data, arena before, arena after where
 * ranges[0] says so; each part padded to 16 bytes.
 */
#include <string.h>

#include "../../src/operators.h"
#include "machine.h"

typedef struct {
    uint32_t total_bytes, record_bytes, arena_bytes, data_bytes, ranges;
    uint32_t damaged; /* the record: it may be refused, and only must not do harm */
    uint32_t reserved[2];
} test_case;

typedef struct {
    uint32_t offset, bytes;
} range;

extern const uint8_t test_cases[], test_cases_end[];

static uint32_t padded(uint32_t bytes)
{
    return (bytes + 15u) & ~15u;
}

static const ek_operator *operator_of(uint32_t kind)
{
    for (uint32_t i = 0; i < ek_operator_count; i++) {
        if (ek_operators[i]->kind == kind) {
            return ek_operators[i];
        }
    }
    return NULL;
}

/* Position of the first wrong byte, or arena_bytes: ranges[0] must be as expected, what is in no range unchanged. */
static uint32_t first_difference(const test_case *c, const range *ranges, const uint8_t *arena,
                                 const uint8_t *before, const uint8_t *after)
{
    for (uint32_t i = 0; i < c->arena_bytes; i++) {
        bool may_change = false;
        for (uint32_t r = 1; r < c->ranges; r++) {
            may_change |= i - ranges[r].offset < ranges[r].bytes;
        }
        if (i - ranges[0].offset < ranges[0].bytes ? arena[i] != after[i - ranges[0].offset]
                                                    : !may_change && arena[i] != before[i]) {
            return i;
        }
    }
    return c->arena_bytes;
}

static bool run_case(const test_case *c, uint32_t number)
{
    uint8_t *arena = machine_arena(c->arena_bytes);
    const uint8_t *record = (const uint8_t *)(c + 1);
    const range *ranges = (const void *)(record + padded(c->record_bytes));
    const uint8_t *data = (const uint8_t *)ranges + padded(c->ranges * (uint32_t)sizeof(range));
    const uint8_t *before = data + padded(c->data_bytes);
    const uint8_t *after = before + padded(c->arena_bytes);
    const ek_operator *op = operator_of(((const ek_op_head *)(const void *)record)->kind);
    data = machine_data(data, c->data_bytes);
    const ek_limits limits = {c->arena_bytes, c->data_bytes, data};
    print_number(number);
    if (arena == NULL) {
        print(" 0 has no room\n");
        return false;
    }
    memcpy(arena, before, c->arena_bytes);
    const ek_status status = op == NULL || op->bytes != c->record_bytes ? EK_NO_OPERATOR : op->check(record, &limits);
    if (status != EK_OK) {
        print(" 0 refused ");
        print_number((uint32_t)status);
        print("\n");
        return c->damaged != 0u;
    }
    const uint32_t start = instructions();
    op->run(record, arena, data);
    print(" ");
    print_number(instructions() - start);
    const uint32_t wrong = c->damaged != 0u ? c->arena_bytes : first_difference(c, ranges, arena, before, after);
    if (wrong == c->arena_bytes) {
        print(" ok\n");
        return true;
    }
    print(" differs at ");
    print_number(wrong);
    print(": ");
    print_number(arena[wrong]);
    print("\n");
    return false;
}

int main(void)
{
    bool good = true;
    uint32_t number = 0;
    for (const uint8_t *at = test_cases; at < test_cases_end; number++) {
        const test_case *c = (const void *)at;
        good &= run_case(c, number);
        at += c->total_bytes;
    }
    print("end\n");
    return good ? 0 : 1;
}
