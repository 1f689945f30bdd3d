/* Innermost loops of dsp/depthwise.c, Cortex-M with the DSP extension. Requantising is that of conv_tile.S. */
#ifdef __ARM_FEATURE_DSP /* else tiles.c */
    .syntax unified
    .thumb
    .section .text.ek_depthwise_tile, "ax", %progbits

/* x: the sum, doubled on the way; m, C and e as in conv_tile.S */
.macro requantise x, m, C, e, spare
    lsl     \x, \x, #1
    add     \spare, \C, \x, asr #31
    smmlar  \x, \x, \m, \spare
    asr     \x, \x, \e
    ssat    \x, #8, \x
.endm

/* ---- 3x3, stride 1: EK_DEPTHWISE_PLANES -------------------------------------------------------------------------
 * A plane holds one channel of four input rows as columns of two words, (row y, row y+1) and (row y+2, row y+3), int16
 * each; in every second call the two have changed places (`upper` and `lower` say where they are). One column of the
 * plane takes part in three columns of the output rows y and y+1: 12 multiply instructions per two outputs.
 */

/* Frame. */
    .equ BIAS, 0            /* twice */
    .equ SHIFT, 8
    .equ BYTES, 12
    .equ STEPS, 16          /* from row to row, from pixel to pixel of the output */
    .equ END, 24
    .equ STREAM, 28
    .equ PLANE, 32          /* and the pitch from plane to plane */
    .equ OUT, 40            /* and the end of the stream */

/* r4-r9 taps, r10 and r11 the sums of rows y and y+1 */
.macro taps w01, w12, upper, lower
    smlad   r10, \upper, \w01, r10
    smlatb  r11, \upper, \w01, r11
    smlabt  r10, \lower, \w12, r10
    smlad   r11, \lower, \w12, r11
.endm

.macro column upper, lower
    ldrd    r10, r11, [sp, #BIAS]
    ldrd    r2, r3, [r0], #8
    taps    r4, r5, \upper, \lower
    ldrd    r2, r3, [r0]
    taps    r6, r7, \upper, \lower
    ldrd    r2, r3, [r0, #8]
    taps    r8, r9, \upper, \lower
.endm

/* A row step of 0 leaves only row y. */
.macro store_column
    ldr     r2, [sp, #SHIFT]
    requantise r10, r12, lr, r2, r3
    requantise r11, r12, lr, r2, r3
    ldrd    r2, r3, [sp, #STEPS]
    strb    r11, [r1, r2]
    strb    r10, [r1]
    add     r1, r1, r3
.endm

/* void name(const int32_t *stream, const struct ek_planes *planes); raw: the sums of both rows, column by column */
.macro planes name, upper, lower, raw
    .balign 4
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    ldmia   r1, {r2-r8}             /* plane, pitch, out, row step, pixel step, bytes, end of the stream */
    sub     sp, sp, #52
    strd    r5, r6, [sp, #STEPS]
    strd    r2, r3, [sp, #PLANE]
    strd    r4, r8, [sp, #OUT]
    str     r7, [sp, #BYTES]
1:  ldmia   r0!, {r4-r12, lr}       /* taps, bias, e, m, C */
    str     r0, [sp, #STREAM]
    strd    r10, r10, [sp, #BIAS]
    str     r11, [sp, #SHIFT]
    ldr     r0, [sp, #PLANE]
    ldr     r3, [sp, #BYTES]
    ldr     r1, [sp, #OUT]
    add     r2, r0, r3
    str     r2, [sp, #END]
  .if \raw
2:  column  \upper, \lower
    strd    r10, r11, [r1], #8
  .else
    tst     r3, #8
    bne     3f
2:  column  \upper, \lower
    store_column
3:  column  \upper, \lower
    store_column
  .endif
    ldr     r2, [sp, #END]
    cmp     r0, r2
    bne.w   2b
    ldrd    r2, r3, [sp, #PLANE]
    add     r2, r2, r3
    str     r2, [sp, #PLANE]
    ldrd    r2, r3, [sp, #OUT]
    adds    r2, r2, #1
    str     r2, [sp, #OUT]
    ldr     r0, [sp, #STREAM]
    cmp     r0, r3
    bne.w   1b
    add     sp, sp, #52
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    planes ek_planes_even, r2, r3, 0
    planes ek_planes_odd, r3, r2, 0
    planes ek_planes_even_raw, r2, r3, 1
    planes ek_planes_odd_raw, r3, r2, 1

/* void ek_pack_rows(const struct ek_rows *rows): two rows of four channels into one word of the columns of four planes.
 * Four bytes of two pixels become (first, second) pairs with two PKH and four SXTB16. */
    .balign 4
    .global ek_pack_rows
    .type   ek_pack_rows, %function
    .thumb_func
ek_pack_rows:
    push    {r4-r11, lr}
    ldmia   r0, {r0-r8}             /* four planes, two rows, their steps, columns */
1:  ldr     r9, [r4]
    ldr     r10, [r5]
    add     r4, r4, r6
    add     r5, r5, r7
    pkhbt   r11, r9, r10, lsl #16
    pkhtb   r12, r10, r9, asr #16
    sxtb16  r9, r11
    sxtb16  r10, r11, ror #8
    str     r9, [r0], #8
    str     r10, [r1], #8
    sxtb16  r9, r12
    sxtb16  r10, r12, ror #8
    str     r9, [r2], #8
    str     r10, [r3], #8
    subs    r8, r8, #1
    bne     1b
    pop     {r4-r11, pc}
    .size   ek_pack_rows, . - ek_pack_rows

/* ---- any window: EK_DEPTHWISE_TAPS ------------------------------------------------------------------------------
 * One output pixel, four channels at a time; for each tap the offset of its input pixel. Two taps of four channels are
 * paired as in ek_pack_rows: 15 instructions for 8 products.
 */
    .equ OFFSETS, 0         /* struct ek_tap_call of tiles.h */
    .equ ENTRY, 4
    .equ TAPS_OUT, 12
    .equ TAPS_STREAM_END, 16
    .equ SUMS, 24

/* r12 base and channel; r4-r7 sums; all 32-bit encodings */
.macro two_taps
    ldrd    r2, r3, [r1], #8
    ldr.w   r2, [r2, r12]
    ldr.w   r3, [r3, r12]
    pkhbt   r8, r2, r3, lsl #16
    pkhtb   r9, r3, r2, asr #16
    ldrd    r10, r11, [r0], #8
    sxtb16  r2, r8
    sxtb16  r3, r8, ror #8
    smlad   r4, r2, r10, r4
    smlad   r5, r3, r11, r5
    ldrd    r10, r11, [r0], #8
    sxtb16  r2, r9
    sxtb16  r3, r9, ror #8
    smlad   r6, r2, r10, r6
    smlad   r7, r3, r11, r7
.endm

.macro tap_channel x
    ldmia   r0!, {r8-r10}
    requantise \x, r8, r9, r10, r11
.endm

.macro tap_kernel name, raw
    .balign 4
    .global \name
    .type   \name, %function
    .thumb_func
\name:
    push    {r4-r11, lr}
    ldmia   r1, {r2-r8}
    push    {r2-r8}
    mov     lr, r4
    mov     r12, r7
1:  ldr     r1, [sp, #OFFSETS]
    ldmia   r0!, {r4-r7}
    ldr     pc, [sp, #ENTRY]
    .balign 4
    .global \name\()_steps
\name\()_steps:
  .rept 5
    two_taps
  .endr
    cmp     r1, lr
    bne.w   \name\()_steps
  .if \raw
    ldr     r11, [sp, #SUMS]
    stmia   r11!, {r4-r7}
  .else
    tap_channel r4
    tap_channel r5
    tap_channel r6
    tap_channel r7
    bfi     r4, r5, #8, #8
    bfi     r4, r6, #16, #8
    bfi     r4, r7, #24, #8
    ldr     r11, [sp, #TAPS_OUT]
    str     r4, [r11, r12]
    add     r12, r12, #4
    ldr     r11, [sp, #TAPS_STREAM_END]
    cmp     r0, r11
    bne.w   1b
  .endif
    add     sp, sp, #28
    pop     {r4-r11, pc}
    .size   \name, . - \name
.endm

    tap_kernel ek_taps, 0
    tap_kernel ek_taps_raw, 1
#endif
