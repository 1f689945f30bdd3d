/* Golden inputs and outputs of @NAME@: @SOURCE@. */
#include "@NAME@_golden.h"

#define SAMPLES @BIG@_GOLDEN_SAMPLES

@ARRAYS@
static int differs(const int8_t *given, const int8_t *expected, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (given[i] != expected[i]) {
            return 1;
        }
    }
    return 0;
}

/* No output of an earlier run may pass for one of this. */
static void spoil(int8_t *given, const int8_t *expected, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        given[i] = (int8_t)~expected[i];
    }
}
@PREPROCESS@
@NAME@_status @NAME@_self_test_in(void *arena, size_t arena_bytes)
{
    @NAME@_status status = @FIRST@;
    for (uint32_t i = 0; i < SAMPLES && status == @BIG@_OK; i++) {
@SPOIL@
        status = @NAME@_invoke_in(arena, arena_bytes, @ARGUMENTS@);
        if (status == @BIG@_OK && (@DIFFERS@)) {
            status = @BIG@_DIFFERS;
        }
    }
    return status;
}

#ifndef @BIG@_CALLERS_ARENA
@NAME@_status @NAME@_self_test(void)
{
    return @NAME@_self_test_in(@NAME@_arena(), @BIG@_ARENA_BYTES);
}
#endif
