/* @TITLE@: an int8 model, compiled by edgekit @VERSION@ for @CORES@.
 *
 *     if (@NAME@_init() != @BIG@_OK) { ... }          once: is the flash intact?
 *     @NAME@_invoke(@ARGUMENTS@);
 *
 * README.md tells how to build it. Nothing is allocated; besides the stack the arena is all the memory it has. */
#ifndef @BIG@_H
#define @BIG@_H

#include <stddef.h>
#include <stdint.h>

#include "edgekit/quantise.h"

#ifdef __cplusplus
extern "C" {
#endif

/* BAD_ARGUMENT: an arena that is null, too small or not aligned; a picture without size, and the like
 * DAMAGED:      weights or records are not what edgekit wrote: flash that was overwritten or has aged
 * DIFFERS:      self test: an output is not, bit by bit, what it was where this library was made */
typedef enum {
    @BIG@_OK = 0,
    @BIG@_BAD_ARGUMENT = 1,
    @BIG@_DAMAGED = 2,
    @BIG@_DIFFERS = 3
} @NAME@_status;

#define @BIG@_ARENA_BYTES @ARENA_BYTES@ /* RAM; the static arena has so many */
#define @BIG@_ARENA_ALIGN 16
#define @BIG@_CONSTANTS_BYTES @CONSTANTS_BYTES@ /* flash: weights and tables; code comes on top */
#define @BIG@_SOURCE_SHA256 "@SHA256@" /* of the .tflite */

@TENSORS@
/* Checks, once after a reset, that all @CONSTANTS_BYTES@ bytes of weights and tables and every record are in memory as
 * edgekit wrote them (CRC-32), and that no record leaves arena or weights. OK or DAMAGED; runs don't ask again. */
@NAME@_status @NAME@_init(void);

/* One inference in memory of yours, aligned to ARENA_ALIGN, which holds nothing between runs. Inputs and outputs are
 * dense int8. An input that is null has to lie in the arena already, at its OFFSET, and does not survive the run; an
 * output that is null is to be read there. Different arenas may run at the same time. */
@NAME@_status @NAME@_invoke_in(
    void *arena, size_t arena_bytes, @PARAMETERS@);

/* The same in the static arena, which @NAME@_arena() gives; one run at a time. Compile everything with
 * @BIG@_CALLERS_ARENA defined to be without it. */
#ifndef @BIG@_CALLERS_ARENA
@NAME@_status @NAME@_invoke(@PARAMETERS@);
uint8_t *@NAME@_arena(void);
#endif

@EXTRAS@#ifdef __cplusplus
}
#endif

#endif
