/* The runtime as a shared library for edgekit on this machine (edgekit/harness/mcu_library.py).
 *
 * No state: the caller owns the model struct, the file and the memory. The memory is guard, arena, guard; after every
 * run both guards must be as they were, or a kernel wrote outside the arena.
 */
#include <string.h>

#include "edgekit/runtime.h"

#define GUARD_BYTES 64u  /* a multiple of EK_ALIGN */
#define GUARD_BYTE 0xc3
#define ARENA_BYTE 0x5a  /* never 0: a kernel that counts on cleared memory is found on the host */

uint32_t ek_host_model_bytes(void)
{
    return sizeof(ek_model);
}

uint32_t ek_host_guard_bytes(void)
{
    return GUARD_BYTES;
}

/* An ek_status. `memory` holds the arena and two guards. */
int32_t ek_host_open(ek_model *model, const uint8_t *file, uint32_t bytes, uint8_t *memory, uint32_t memory_bytes,
                     uint32_t *bad_operator)
{
    if (memory_bytes < 2 * GUARD_BYTES) {
        return EK_ARENA_TOO_SMALL;
    }
    memset(memory, GUARD_BYTE, memory_bytes);
    memset(memory + GUARD_BYTES, ARENA_BYTE, memory_bytes - 2 * GUARD_BYTES);
    return ek_open(model, file, bytes, memory + GUARD_BYTES, memory_bytes - 2 * GUARD_BYTES, bad_operator);
}

static int32_t guards_intact(const ek_model *model)
{
    const uint8_t *below = model->arena - GUARD_BYTES;
    const uint8_t *above = model->arena + model->arena_bytes;
    for (uint32_t i = 0; i < GUARD_BYTES; i++) {
        if (below[i] != GUARD_BYTE || above[i] != GUARD_BYTE) {
            return 0;
        }
    }
    return 1;
}

/* 1, or 0 if a kernel wrote outside the arena. */
int32_t ek_host_run(const ek_model *model)
{
    ek_run(model);
    return guards_intact(model);
}

int32_t ek_host_run_operator(const ek_model *model, uint32_t index)
{
    ek_run_operator(model, index);
    return guards_intact(model);
}
