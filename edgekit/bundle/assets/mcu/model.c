/* @NAME@.h has what this is for; @NAME@_model.c has weights and operators. */
#include "@NAME@.h"

#include "@NAME@_model.h"
@INCLUDES@
@NAME@_status @NAME@_init(void)
{
    return @NAME@_model_check() == EK_OK ? @BIG@_OK : @BIG@_DAMAGED;
}

@NAME@_status @NAME@_invoke_in(
    void *arena, size_t arena_bytes, @PARAMETERS@)
{
    if (arena == NULL || (uintptr_t)arena % @BIG@_ARENA_ALIGN != 0 || arena_bytes < @BIG@_ARENA_BYTES) {
        return @BIG@_BAD_ARGUMENT;
    }
    @NAME@_model_run_in(arena, @ARGUMENTS@);
    return @BIG@_OK;
}

#ifndef @BIG@_CALLERS_ARENA
static _Alignas(@BIG@_ARENA_ALIGN) uint8_t own_arena[@BIG@_ARENA_BYTES];

@NAME@_status @NAME@_invoke(@PARAMETERS@)
{
    return @NAME@_invoke_in(own_arena, sizeof own_arena, @ARGUMENTS@);
}

uint8_t *@NAME@_arena(void)
{
    return own_arena;
}
#endif
@EXTRAS@
