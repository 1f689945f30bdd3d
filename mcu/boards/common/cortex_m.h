/* What every Cortex-M board here shares: registers of the core, start-up, stack, counters. */
#ifndef EDGEKIT_CORTEX_M_H
#define EDGEKIT_CORTEX_M_H

#include <stdint.h>

#include "port.h"

#define EK_REG(address) (*(volatile uint32_t *)(address))

/* System control space (Armv7-M and Armv8-M Architecture Reference Manuals, chapter B3). */
#define SYST_CSR EK_REG(0xE000E010u)
#define SYST_RVR EK_REG(0xE000E014u)
#define SYST_CVR EK_REG(0xE000E018u)
#define NVIC_ISER(n) EK_REG(0xE000E100u + 4u * (n))
#define NVIC_ICPR(n) EK_REG(0xE000E280u + 4u * (n))
#define SCB_VTOR EK_REG(0xE000ED08u)
#define SCB_AIRCR EK_REG(0xE000ED0Cu)
#define SCB_CCR EK_REG(0xE000ED14u)
#define SCB_SHCSR EK_REG(0xE000ED24u)
#define SCB_CFSR EK_REG(0xE000ED28u)
#define SCB_HFSR EK_REG(0xE000ED2Cu)
#define SCB_CPACR EK_REG(0xE000ED88u)

static inline void ek_barrier(void)
{
    __asm volatile("dsb\n isb" ::: "memory");
}

static inline uint32_t ek_interrupts_off(void)
{
    uint32_t before;
    __asm volatile("mrs %0, primask\n cpsid i" : "=r"(before)::"memory");
    return before;
}

static inline void ek_interrupts_restore(uint32_t before)
{
    __asm volatile("msr primask, %0" ::"r"(before) : "memory");
}

static inline void ek_interrupt_enable(uint32_t number)
{
    NVIC_ICPR(number / 32u) = 1u << (number % 32u);
    NVIC_ISER(number / 32u) = 1u << (number % 32u);
}

/* From the linker script (sections.ld). Only the addresses of these mean anything. */
extern uint8_t ek_ld_data_load[], ek_ld_data[], ek_ld_data_end[], ek_ld_bss[], ek_ld_bss_end[];
extern uint8_t ek_ld_stack[], ek_ld_stack_end[], ek_ld_arena[], ek_ld_arena_bytes[], ek_ld_store[], ek_ld_store_bytes[];
extern uint8_t ek_ld_sram_bytes[], ek_ld_flash_bytes[];

/* The linker's numbers are addresses of nothing, which C allows as constants only by way of this cast. */
#define EK_LD_NUMBER(symbol) ((uint32_t)(uintptr_t)(symbol))

/* What sections.ld fills in of an ek_board. */
#define EK_BOARD_MEMORY \
    .sram_bytes = EK_LD_NUMBER(ek_ld_sram_bytes), .flash_bytes = EK_LD_NUMBER(ek_ld_flash_bytes), \
    .arena = ek_ld_arena, .arena_bytes = EK_LD_NUMBER(ek_ld_arena_bytes), \
    .store = ek_ld_store, .store_bytes = EK_LD_NUMBER(ek_ld_store_bytes)

int main(void);
void ek_systick(void); /* SysTick's interrupt; a fault unless the board defines it */
void ek_port_reset(void) __attribute__((noreturn));

/* Used by ek_port_write() and by the fault handler: send with what still works then. No interrupt is served any more and
 * the stack may be gone, so it waits for the transmitter by looking at it. Each board defines it. */
void ek_board_send(uint8_t byte);
/* Wait until the last byte has left. */
void ek_board_drain(void);

#endif
