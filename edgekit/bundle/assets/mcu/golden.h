/* The golden inputs of @NAME@ on this core: a part of no product. */
#ifndef @BIG@_GOLDEN_H
#define @BIG@_GOLDEN_H

#include "@NAME@.h"

#ifdef __cplusplus
extern "C" {
#endif

#define @BIG@_GOLDEN_SAMPLES @SAMPLES@

/* Whether every output is, bit by bit, what it was where this library was made: OK, DIFFERS, or what failed before.
 * Takes @NAME@_init() first@PREPROCESSED@. */
@NAME@_status @NAME@_self_test_in(void *arena, size_t arena_bytes);

#ifndef @BIG@_CALLERS_ARENA
@NAME@_status @NAME@_self_test(void);
#endif

#ifdef __cplusplus
}
#endif

#endif
