/* Innermost loops of dsp/conv.c, Cortex-M with the DSP extension (M4, M7, M33, M55): 1 or 2 pixels x 4 channels.
 *
 * Weights come as a stream of groups of four output channels a, b, c, d (EK_CONV_TILES, op_conv.h), activations as
 * "columns": per two k the int16 pairs of the pixels, side by side. A word of a fused stream holds two int16 lanes
 * 256 * b + a: multiplied as it is, it adds A + 256 * B to b's accumulator; widened by SXTB16, A to a's. So one SXTB16
 * per two channels does, and b is had back as (b's accumulator - a's) >> 8, whatever wrapped around in between. Two k
 * of 2 x 4 outputs take 12 instructions for 16 products.
 *
 * The sums run through a block of unrolled steps that is entered in the middle, so that no remainder is left over.
 *
 * Requantising: with x = 2 * sum, SMMLAR makes round_half_up(x * m / 2^32) + C, C = 2^(e - 1) + (output_zp << e), minus
 * one for a negative sum; the shift by e then is RoundingDivideByPOT (halves away from zero) and the zero point in one.
 * Rounding once (EK_ROUND_ONCE) is SMMLA without any of that; the compiler keeps it to sums that can't reach a half.
 */
#ifdef __ARM_FEATURE_DSP /* else tiles.c */
    .syntax unified
    .thumb
    .section .text.ek_conv_tile, "ax", %progbits

/* Offsets in the frame, as in struct ek_tile of tiles.h. */
    .equ COLUMNS, 0
    .equ ENTRY, 4
    .equ COLUMNS_END, 8
    .equ OUT, 12
    .equ OUT_STEP, 16
    .equ STREAM_END, 20
    .equ FINISH, 24

/* r0 stream, r1 columns, r4-r7 sums of the first pixel (a, b, c, d), r8-r11 of the second; all 32-bit encodings */
.macro fused_step2
    ldrd    r2, r3, [r0], #8
    ldrd    r12, lr, [r1], #8
    smlad   r5, r12, r2, r5
    smlad   r9, lr, r2, r9
    smlad   r7, r12, r3, r7
    smlad   r11, lr, r3, r11
    sxtb16  r2, r2
    sxtb16  r3, r3
    smlad   r4, r12, r2, r4
    smlad   r8, lr, r2, r8
    smlad   r6, r12, r3, r6
    smlad   r10, lr, r3, r10
.endm

.macro fused_step1
    ldrd    r2, r3, [r0], #8
    ldr.w   r12, [r1], #8
    smlad   r5, r12, r2, r5
    smlad   r7, r12, r3, r7
    sxtb16  r2, r2
    sxtb16  r3, r3
    smlad   r4, r12, r2, r4
    smlad   r6, r12, r3, r6
.endm

.macro plain_half2 a0, b0, a1, b1
    ldr.w   r2, [r0], #4
    sxtb16  r3, r2, ror #8
    sxtb16  r2, r2
    smlad   \a0, r12, r2, \a0
    smlad   \b0, r12, r3, \b0
    smlad   \a1, lr, r2, \a1
    smlad   \b1, lr, r3, \b1
.endm

.macro plain_step2
    ldrd    r12, lr, [r1], #8
    plain_half2 r4, r5, r8, r9
    plain_half2 r6, r7, r10, r11
.endm

.macro plain_half1 a0, b0
    ldr.w   r2, [r0], #4
    sxtb16  r3, r2, ror #8
    sxtb16  r2, r2
    smlad   \a0, r12, r2, \a0
    smlad   \b0, r12, r3, \b0
.endm

.macro plain_step1
    ldr.w   r12, [r1], #8
    plain_half1 r4, r5
    plain_half1 r6, r7
.endm

/* r2 m, r3 C, r12 e */
.macro requantise x, once
  .if \once
    smmla   \x, \x, r2, r3
  .else
    add     lr, r3, \x, asr #31
    smmlar  \x, \x, r2, lr
  .endif
    asr     \x, \x, r12
    ssat    \x, #8, \x
.endm

/* Twice the sum of a channel b from both sums of its pair. */
.macro unfuse b, a
    sub     \b, \b, \a
    asr     \b, \b, #7
.endm

.macro unfuse_all fused, pixels
  .if \fused
    unfuse  r5, r4
    unfuse  r7, r6
   .if \pixels == 2
    unfuse  r9, r8
    unfuse  r11, r10
   .endif
  .else
    lsl     r5, r5, #1
    lsl     r7, r7, #1
   .if \pixels == 2
    lsl     r9, r9, #1
    lsl     r11, r11, #1
   .endif
  .endif
    lsl     r4, r4, #1
    lsl     r6, r6, #1
  .if \pixels == 2
    lsl     r8, r8, #1
    lsl     r10, r10, #1
  .endif
.endm

/* r0 stands at the channel's multiplier, constant and exponent */
.macro channel once, pixels, first, second
    ldmia   r0!, {r2, r3, r12}
    requantise \first, \once
  .if \pixels == 2
    requantise \second, \once
  .endif
.endm

.macro pack a, b, c, d
    bfi     \a, \b, #8, #8
    bfi     \a, \c, #16, #8
    bfi     \a, \d, #24, #8
.endm

/* The group's outputs from its sums, then the next group, at 1b in `tile`. */
.macro finish name, fused, pixels, once
    .balign 4
    .global \name
\name:
    unfuse_all \fused, \pixels
    channel \once, \pixels, r4, r8
    channel \once, \pixels, r5, r9
    channel \once, \pixels, r6, r10
    channel \once, \pixels, r7, r11
    pack    r4, r5, r6, r7
  .if \pixels == 2
    pack    r8, r9, r10, r11
    ldrd    r2, r3, [sp, #OUT]
    str     r8, [r2, r3]
  .else
    ldr     r2, [sp, #OUT]
  .endif
    str     r4, [r2], #4
    str     r2, [sp, #OUT]
    ldr     r3, [sp, #STREAM_END]
    cmp     r0, r3
    bne.w   1b
    add     sp, sp, #28
    pop     {r4-r11, pc}
.endm

/* void name(const int32_t *stream, const struct ek_tile *tile) and its places to enter: name_steps, the unrolled block
 * of `unroll` times four k; name_store, name_once and name_raw, what to do with the sums. */
.macro tile name, step, fused, pixels, unroll
    .balign 4
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    ldmia   r1, {r2-r8}
    push    {r2-r8}
1:  ldr     r1, [sp, #COLUMNS]
    ldmia   r0!, {r4-r7}
  .if \pixels == 2
    mov     r8, r4
    mov     r9, r5
    mov     r10, r6
    mov     r11, r7
  .endif
    ldr     pc, [sp, #ENTRY]
    .balign 4
    .global \name\()_steps
\name\()_steps:
  .rept 2 * \unroll
    \step
  .endr
    ldr     r2, [sp, #COLUMNS_END]
    cmp     r1, r2
    bne.w   \name\()_steps
    ldr     pc, [sp, #FINISH]

    finish  \name\()_store, \fused, \pixels, 0
    finish  \name\()_once, \fused, \pixels, 1

/* Twice every sum, as int32, and nothing else: for one group whose shifts the code above does not cover. */
    .balign 4
    .global \name\()_raw
\name\()_raw:
    unfuse_all \fused, \pixels
    ldr     r2, [sp, #OUT]
  .if \pixels == 2
    stmia   r2!, {r4-r11}
  .else
    stmia   r2!, {r4-r7}
  .endif
    add     sp, sp, #28
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    tile ek_conv_fused2, fused_step2, 1, 2, 8
    tile ek_conv_fused1, fused_step1, 1, 1, 8
    tile ek_conv_plain2, plain_step2, 0, 2, 4
    tile ek_conv_plain1, plain_step1, 0, 1, 4

/* int16_t *ek_widen2(int16_t *columns, const int8_t *first, const int8_t *second, uint32_t fours): both pixels. */
    .balign 4
    .global ek_widen2
    .type   ek_widen2, %function
    .thumb_func
ek_widen2:
    push    {r4-r7, lr}
1:  ldr     r12, [r1], #4
    ldr     lr, [r2], #4
    sxtb16  r4, r12
    sxtb16  r5, lr
    sxtb16  r6, r12, ror #8
    sxtb16  r7, lr, ror #8
    stmia   r0!, {r4-r7}
    subs    r3, r3, #1
    bne     1b
    pop     {r4-r7, pc}
    .size   ek_widen2, . - ek_widen2

/* int16_t *ek_widen1(int16_t *columns, const int8_t *pixel, uint32_t fours): one pixel, beside the other's place. */
    .balign 4
    .global ek_widen1
    .type   ek_widen1, %function
    .thumb_func
ek_widen1:
1:  ldr     r12, [r1], #4
    sxtb16  r3, r12
    sxtb16  r12, r12, ror #8
    str     r12, [r0, #8]
    str     r3, [r0], #16
    subs    r2, r2, #1
    bne     1b
    bx      lr
    .size   ek_widen1, . - ek_widen1

/* void ek_widen_3x3x3(int16_t *columns, const int8_t *window, int32_t row_bytes): 3 rows of 9 bytes, one pixel, K = 28.
 * Reads one word across the start of the second and of the third row, none across the ends of the window. */
.macro widen_word x, spare
    sxtb16  \spare, \x
    sxtb16  \x, \x, ror #8
    str     \x, [r0, #8]
    str     \spare, [r0], #16
.endm

    .balign 4
    .global ek_widen_3x3x3
    .type   ek_widen_3x3x3, %function
    .thumb_func
ek_widen_3x3x3:
    push    {r4, r5, r6, lr}
    ldr     r4, [r1]
    ldr     r5, [r1, #4]
    ldrb    r6, [r1, #8]
    add     r1, r1, r2
    widen_word r4, r12
    widen_word r5, r12
    ldr     r4, [r1, #-1]
    ldr     r5, [r1, #3]
    bfi     r4, r6, #0, #8
    ldrh    r6, [r1, #7]
    add     r1, r1, r2
    widen_word r4, r12
    widen_word r5, r12
    ldr     r4, [r1, #-2]
    ldr     r5, [r1, #2]
    bfi     r4, r6, #0, #16
    ldr     r6, [r1, #5]
    lsr     r6, r6, #8
    widen_word r4, r12
    widen_word r5, r12
    widen_word r6, r12
    pop     {r4, r5, r6, pc}
    .size   ek_widen_3x3x3, . - ek_widen_3x3x3
#endif
