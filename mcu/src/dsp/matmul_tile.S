/* Innermost loop of dsp/batch_matmul.c, Cortex-M with the DSP extension: one row by four columns that lie beside each
 * other, four k at a time: 32 instructions for 16 products.
 *
 * void ek_matmul_beside(const ek_matmul_call *call); struct in tiles.h. A word of b holds four columns of one k; those
 * of k and k+2 are paired as in depthwise_tile.S, and multiplied by the pair (k, k+2) of the row less its zero point.
 */
#ifdef __ARM_FEATURE_DSP /* else tiles.c */
    .syntax unified
    .thumb
    .section .text.ek_matmul_tile, "ax", %progbits

/* r1 at the first of the two words of b, r2 from k to k+1, `a` the row's pair; r4-r7 sums */
.macro two_k a
    ldr     r10, [r1]
    ldr     r12, [r1, r2, lsl #1]
    pkhbt   r11, r10, r12, lsl #16
    pkhtb   r12, r12, r10, asr #16
    sxtb16  r10, r11
    smlad   r4, \a, r10, r4
    sxtb16  r11, r11, ror #8
    smlad   r5, \a, r11, r5
    sxtb16  r10, r12
    smlad   r6, \a, r10, r6
    sxtb16  r12, r12, ror #8
    smlad   r7, \a, r12, r7
.endm

    .balign 4
    .global ek_matmul_beside
    .type   ek_matmul_beside, %function
    .thumb_func
ek_matmul_beside:
    push    {r4-r11, lr}
    push    {r0}
    mov     r8, r0
    ldmia   r8, {r0, r1, r2, r3, lr} /* row, columns, from k to k+1, end of the row, minus its zero point */
    mov     r4, #0
    mov     r5, #0
    mov     r6, #0
    mov     r7, #0
1:  ldr     r10, [r0], #4
    sxtab16 r8, lr, r10
    sxtab16 r9, lr, r10, ror #8
    two_k   r8
    add     r1, r1, r2
    two_k   r9
    add     r1, r1, r2
    add     r1, r1, r2, lsl #1
    cmp     r0, r3
    bne     1b
    pop     {r0}
    ldr     r0, [r0, #20]
    stmia   r0!, {r4-r7}
    pop     {r4-r11, pc}
    .size   ek_matmul_beside, . - ek_matmul_beside
#endif
