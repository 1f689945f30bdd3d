/* The vectors of a Cortex-M, and its floating-point unit switched on. */
#include <stdint.h>

#define CPACR (*(volatile uint32_t *)0xE000ED88u)

extern uint32_t stack_end;
void _start(void);

static void reset(void)
{
    CPACR |= 0xF00000u;
    _start();
}

static void fault(void)
{
    for (;;)
        ;
}

__attribute__((section(".vectors"), used)) static const void *const vectors[8] = {
    &stack_end, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
