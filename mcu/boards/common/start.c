/* From reset to main(), the core's vectors, and what happens at a fault. */
#include "cortex_m.h"

void ek_start(void) __attribute__((noreturn));
void ek_fault(void) __attribute__((noreturn, used));
void ek_fault_report(const uint32_t *frame) __attribute__((noreturn, used));

__attribute__((weak)) void ek_systick(void)
{
    ek_fault();
}

/* Interrupts of the board follow in section .vectors.board, which the board may define. */
__attribute__((section(".vectors.core"), used)) static const struct {
    uint8_t *stack;
    void (*handler[15])(void);
} vectors = {
    ek_ld_stack_end,
    {ek_start, ek_fault, ek_fault, ek_fault, ek_fault, ek_fault, ek_fault, 0, 0, 0, ek_fault, ek_fault, 0, ek_fault,
     ek_systick},
};

static void copy_and_clear(void)
{
    const uint32_t *from = (const uint32_t *)(const void *)ek_ld_data_load;
    for (uint32_t *to = (uint32_t *)(void *)ek_ld_data; to < (uint32_t *)(void *)ek_ld_data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = (uint32_t *)(void *)ek_ld_bss; to < (uint32_t *)(void *)ek_ld_bss_end;) {
        *to++ = 0;
    }
}

void ek_start(void)
{
    SCB_VTOR = (uint32_t)(uintptr_t)&vectors;
#if defined(__ARM_FP)
    SCB_CPACR |= 0xFu << 20; /* CP10 and CP11: the floating-point unit */
    ek_barrier();
#endif
#if !defined(__ARM_ARCH_6M__)
    /* Memory, bus and usage faults have their own vectors: with a broken stack a bus fault then becomes a hard fault,
     * while a hard fault that can't push its frame is the core's lockup. */
    SCB_SHCSR |= 7u << 16;
#endif
    copy_and_clear();
    ek_port_stack_repaint();
    main();
    ek_port_reset();
}

void ek_port_reset(void)
{
    ek_board_drain();
    ek_barrier();
    SCB_AIRCR = 0x05FA0004u; /* key, SYSRESETREQ */
    ek_barrier();
    for (;;) {
    }
}

/* The stack may be what is broken: the report runs on a fresh one. Armv6-M cannot push through r8, so plain moves. */
__attribute__((naked)) void ek_fault(void)
{
    __asm volatile("cpsid i\n"
                   "mrs r0, msp\n"
                   "ldr r1, =ek_ld_stack_end\n"
                   "msr msp, r1\n"
                   "ldr r1, =ek_fault_report\n"
                   "bx r1\n");
}

static void send_text(const char *text)
{
    while (*text != 0) {
        ek_board_send((uint8_t)*text++);
    }
}

static void send_hex(const char *name, uint32_t value)
{
    send_text(name);
    for (int32_t shift = 28; shift >= 0; shift -= 4) {
        ek_board_send((uint8_t)"0123456789abcdef"[(value >> shift) & 15u]);
    }
}

/* Frames end with a zero byte and carry a CRC: a zero closes whatever frame was on its way, the text is no frame, and
 * another zero closes the text. The host sees at most one damaged frame, and then the freshly started agent. */
void ek_fault_report(const uint32_t *frame)
{
    ek_board_send(0);
    send_text("FAULT");
#if !defined(__ARM_ARCH_6M__)
    send_hex(" cfsr=", SCB_CFSR);
    send_hex(" hfsr=", SCB_HFSR);
#endif
    /* A frame that could not be pushed lies outside of the stack: its pc and lr would be anything. */
    if ((const uint8_t *)frame >= ek_ld_stack && (const uint8_t *)(frame + 8) <= ek_ld_stack_end) {
        send_hex(" lr=", frame[5]);
        send_hex(" pc=", frame[6]);
    } else {
        send_hex(" sp=", (uint32_t)(uintptr_t)frame);
    }
    ek_board_send(0);
    ek_port_reset();
}
