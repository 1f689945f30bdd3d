/* The second stage of booting: the boot ROM copies the first 256 bytes of flash into RAM, checks the CRC in the last
 * four (mcu/build_boards.py puts it there) and runs them. It makes flash readable in place and starts the agent, whose
 * vectors follow. No stack may be assumed, nothing may be called, and it runs wherever it lies. */
#include "xip.h"

__attribute__((section(".boot2"), used, naked, noreturn)) void boot2(void);

void boot2(void)
{
    ek_xip_read_03h();
    __asm volatile("ldr r0, =0x10000100\n"
                   "ldr r1, =0xE000ED08\n"
                   "str r0, [r1]\n" /* VTOR */
                   "ldmia r0, {r0, r1}\n"
                   "msr msp, r0\n"
                   "bx r1\n"
                   ".ltorg\n");
    __builtin_unreachable();
}
