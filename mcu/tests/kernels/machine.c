/* Output and exit by semihosting; CMSDK timer 0 for a clock. */
#include "machine.h"

#include <stddef.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CPACR REGISTER(0xE000ED88u)
#define TIMER_CONTROL REGISTER(TIMER)
#define TIMER_VALUE REGISTER(TIMER + 4u)
#define TIMER_RELOAD REGISTER(TIMER + 8u)
#define SYS_WRITE0 0x04u
#define SYS_EXIT_EXTENDED 0x20u
#define APPLICATION_EXIT 0x20026u

extern uint32_t data_source, data_start, data_end, bss_start, bss_end, stack_end;
int main(void);
void reset(void);
void fault(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_end, (const void *)reset, (const void *)fault, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};

static uint8_t arena[ARENA_BYTES] __attribute__((aligned(16)));

static void host(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = argument;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text)
{
    host(SYS_WRITE0, text);
}

void print_number(uint32_t value)
{
    char digits[11];
    char *at = digits + sizeof digits - 1;
    *at = '\0';
    do {
        *--at = (char)('0' + value % 10u);
        value /= 10u;
    } while (value != 0u);
    print(at);
}

/* 25 MHz ticks of 40 ns; an instruction is 64 ns with -icount shift=6. */
uint32_t instructions(void)
{
    return (uint32_t)((uint64_t)(0xffffffffu - TIMER_VALUE) * 40u / 64u);
}

uint8_t *machine_arena(uint32_t bytes)
{
    return bytes <= sizeof arena ? arena : NULL;
}

const uint8_t *machine_data(const uint8_t *data, uint32_t bytes)
{
    (void)bytes;
    return data;
}

static void leave(uint32_t code)
{
    const uint32_t block[2] = {APPLICATION_EXIT, code};
    host(SYS_EXIT_EXTENDED, block);
    for (;;) {
    }
}

void fault(void)
{
    print("fault\n");
    leave(9u);
}

__attribute__((noreturn)) void reset(void)
{
    CPACR |= 0xfu << 20; /* FPU and vector extension on */
    __asm volatile("dsb\n isb");
    for (uint32_t *from = &data_source, *to = &data_start; to < &data_end;) {
        *to++ = *from++;
    }
    for (uint32_t *to = &bss_start; to < &bss_end;) {
        *to++ = 0u;
    }
    TIMER_CONTROL = 0u;
    TIMER_RELOAD = 0xffffffffu;
    TIMER_VALUE = 0xffffffffu;
    TIMER_CONTROL = 1u;
    leave((uint32_t)main());
    for (;;) {
    }
}
