/* How deep the stack went, by painting. It lies at the start of SRAM, so that an overflow faults instead of writing
 * into somebody's data. */
#include "cortex_m.h"

enum { PAINT = 0xA5, BELOW = 64 }; /* bytes under the stack pointer that are left alone: this function's own */

static uint8_t *stack_pointer(void)
{
    uint8_t *pointer;
    __asm volatile("mov %0, sp" : "=r"(pointer));
    return pointer;
}

void ek_port_stack_repaint(void)
{
    uint32_t *end = (uint32_t *)(void *)(stack_pointer() - BELOW);
    for (uint32_t *word = (uint32_t *)(void *)ek_ld_stack; word < end; word++) {
        *(volatile uint32_t *)word = PAINT * 0x01010101u; /* volatile: memset would push onto what is painted */
    }
}

uint32_t ek_port_stack_used(void)
{
    const uint8_t *byte = ek_ld_stack;
    while (byte < ek_ld_stack_end && *byte == PAINT) {
        byte++;
    }
    return (uint32_t)(ek_ld_stack_end - byte);
}

uint32_t ek_port_static_bytes(void)
{
    return (uint32_t)(ek_ld_data_end - ek_ld_data) + (uint32_t)(ek_ld_bss_end - ek_ld_bss);
}
