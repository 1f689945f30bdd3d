/* The cycle counter of Armv7-M and later (Architecture Reference Manual, C1.8): 32 bits at the core's clock. */
#include "cortex_m.h"
#include "dwt.h"

#define DEMCR EK_REG(0xE000EDFCu)
#define DWT_CTRL EK_REG(0xE0001000u)
#define DWT_CYCCNT EK_REG(0xE0001004u)
#define DWT_LAR EK_REG(0xE0001FB0u)

void ek_dwt_start(void)
{
    DEMCR |= 1u << 24;     /* TRCENA */
    DWT_LAR = 0xC5ACCE55u; /* the Cortex-M7 locks it against software; elsewhere the write does nothing */
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
}

uint32_t ek_port_counter(void)
{
    return DWT_CYCCNT;
}
