/* The caches of the Cortex-M7 (Armv7-M Architecture Reference Manual, B2.2.7 and B3.2). */
#include "cache_m7.h"

#include "cortex_m.h"

#define CCSIDR EK_REG(0xE000ED80u)
#define CSSELR EK_REG(0xE000ED84u)
#define ICIALLU EK_REG(0xE000EF50u)
#define DCIMVAC EK_REG(0xE000EF5Cu)
#define DCISW EK_REG(0xE000EF60u)

enum { LINE = 32 };

void ek_caches_on(void)
{
    ek_barrier();
    ICIALLU = 0;
    CSSELR = 0; /* the data cache of level 1 */
    ek_barrier();
    const uint32_t sets = ((CCSIDR >> 13) & 0x7FFFu) + 1, ways = ((CCSIDR >> 3) & 0x3FFu) + 1;
    for (uint32_t set = 0; set < sets; set++) {
        for (uint32_t way = 0; way < ways; way++) {
            DCISW = (way << 30) | (set << 5); /* both caches of the M7 have four ways and lines of 32 bytes */
        }
    }
    ek_barrier();
    SCB_CCR |= (1u << 17) | (1u << 16);
    ek_barrier();
}

void ek_cache_forget(const uint8_t *start, uint32_t bytes)
{
    ek_barrier();
    const uint32_t end = (uint32_t)(uintptr_t)start + bytes;
    for (uint32_t line = (uint32_t)(uintptr_t)start & ~(uint32_t)(LINE - 1); line < end; line += LINE) {
        DCIMVAC = line;
    }
    ek_barrier();
}
