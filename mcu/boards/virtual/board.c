/* The virtual boards: QEMU's mps2-an386 (Cortex-M4), mps2-an500 (M7) and mps3-an547 (M55), Arm's CMSDK peripherals.
 *
 * Run under `-icount shift=6,align=off,sleep=off` every instruction takes 64 ns of the machine's time, so its clock
 * counts instructions. Time means nothing else here. */
#include <string.h>

#include "cortex_m.h"

#if defined(EK_BOARD_M55)
#define UART 0x59303000u
#define UART_RECEIVE_INTERRUPT 33u
#define NAME "virtual_cortex_m55"
#define CORE "cortex-m55"
#define CLOCK_HZ 32000000u
#define COUNTER_CONTROL EK_REG(0x58100000u) /* SSE-300 system counter, CNTCR; bit 0: runs */
#define COUNTER_LOW EK_REG(0x58000000u)     /* timer 0, CNTPCT */
#define COUNTER_HIGH EK_REG(0x58000004u)
#else
#define UART 0x40004000u
#define UART_RECEIVE_INTERRUPT 0u
#define TIMER 0x40000000u
#if defined(EK_BOARD_M7)
#define NAME "virtual_cortex_m7"
#define CORE "cortex-m7"
#else
#define NAME "virtual_cortex_m4"
#define CORE "cortex-m4"
#endif
#define CLOCK_HZ 25000000u
#endif

#ifndef EMPTY_BEFORE_SLEEP
#define EMPTY_BEFORE_SLEEP 16u
#endif

#define UART_DATA EK_REG(UART + 0x0u)
#define UART_STATE EK_REG(UART + 0x4u) /* bit 0: transmitter full, 1: received, 3: receiver overrun */
#define UART_CTRL EK_REG(UART + 0x8u)  /* bit 0: transmit, 1: receive, 3: interrupt at a received byte */
#define UART_INTCLEAR EK_REG(UART + 0xCu)
#define UART_BAUDDIV EK_REG(UART + 0x10u)

const ek_board ek_port_board = {
    .board = NAME,
    .core = CORE,
    .clock_hz = CLOCK_HZ,
    .counts = EK_COUNTS_INSTRUCTIONS,
    .counter_mul = 1,
    .counter_div = 1,
    .store_is_flash = 0,
    .store_write_bytes = 1,
    .store_erase_bytes = 0,
    EK_BOARD_MEMORY,
};

static uint32_t overruns;

/* -- instructions -------------------------------------------------------------------------------------------------- */

#if defined(EK_BOARD_M55)

/* 64 bits that stand still while the core sleeps. A tick is 31.25 ns and an instruction 64 ns: after n instructions
 * there are floor(2.048 n) ticks, from which n follows exactly. */
static void counter_start(void)
{
    COUNTER_CONTROL = 1;
}

static void counter_stop(void)
{
}

uint32_t ek_port_counter(void)
{
    uint32_t high, low;
    do {
        high = COUNTER_HIGH;
        low = COUNTER_LOW;
    } while (high != COUNTER_HIGH);
    return (uint32_t)(((((uint64_t)high << 32) | low) * 125u + 255u) >> 8);
}

#else

#define TIMER_CTRL EK_REG(TIMER + 0x0u) /* bit 0: runs, 3: sets its interrupt flag when it wraps */
#define TIMER_VALUE EK_REG(TIMER + 0x4u)
#define TIMER_RELOAD EK_REG(TIMER + 0x8u)
#define TIMER_WRAPPED EK_REG(TIMER + 0xCu)

static uint32_t counted; /* until the timer was started last */
static uint32_t wraps;   /* since then */

/* A tick is 40 ns and an instruction 64 ns: n instructions after the start there have been floor(1.6 n) ticks, from
 * which n follows exactly, as long as it is taken from the start and not from a difference of ticks. The wrap is a flag
 * to look at, not an interrupt, which would be counted. */
static void counter_start(void)
{
    wraps = 0;
    TIMER_RELOAD = 0xFFFFFFFFu;
    TIMER_WRAPPED = 1;
    TIMER_CTRL = 9;
}

/* A running timer would let QEMU skip the whole of a wait, and take the time for it from the next wrap. */
static void counter_stop(void)
{
    counted = ek_port_counter();
    TIMER_CTRL = 0;
}

uint32_t ek_port_counter(void)
{
    uint32_t ticks = ~TIMER_VALUE;
    if (TIMER_WRAPPED != 0) {
        TIMER_WRAPPED = 1;
        wraps++;
        ticks = ~TIMER_VALUE;
    }
    return counted + (uint32_t)(((((uint64_t)wraps << 32) | ticks) * 5u + 7u) >> 3);
}

#endif

/* -- serial -------------------------------------------------------------------------------------------------------- */

#if !defined(EK_BOARD_M55)
#define MPU_CTRL EK_REG(0xE000ED94u)
#define MPU_RNR EK_REG(0xE000ED98u)
#define MPU_RBAR EK_REG(0xE000ED9Cu)
#define MPU_RASR EK_REG(0xE000EDA0u)

/* No access to the 32 KB under the stack: these two machines ignore writes to where no memory is. */
static void guard_stack(void)
{
    MPU_RNR = 0;
    MPU_RBAR = 0x1FFF8000u;
    MPU_RASR = (1u << 28) | (14u << 1) | 1u;
    MPU_CTRL = 4u | 1u; /* all else as without */
    ek_barrier();
}
#else
static void guard_stack(void)
{
}
#endif

void ek_port_init(void)
{
    guard_stack();
    /* No interrupt is ever taken: a pending one only ends the sleep below. */
    ek_interrupts_off();
    UART_BAUDDIV = 16;
    UART_CTRL = 1u | 2u | 8u;
    if ((UART_STATE & 2u) == 0) {
        (void)UART_DATA; /* makes QEMU ask again whether it may hand a byte over */
    }
    ek_interrupt_enable(UART_RECEIVE_INTERRUPT);
    counter_start();
}

/* Sleep until a byte comes. A loop that only looks takes a whole core of the host, and holds the lock that QEMU needs
 * for handing the byte over. */
static void sleep_until_received(void)
{
    UART_INTCLEAR = 2;
    NVIC_ICPR(UART_RECEIVE_INTERRUPT / 32u) = 1u << (UART_RECEIVE_INTERRUPT % 32u);
    if ((UART_STATE & 2u) != 0) {
        return;
    }
    counter_stop();
    __asm volatile("dsb\n wfi" ::: "memory");
    counter_start();
}

int ek_port_getc(void)
{
    static uint32_t empty; /* how often in a row there was nothing: callers look once more before they wait */
    uint32_t state = UART_STATE;
    if ((state & 8u) != 0) {
        UART_STATE = 8u;
        overruns++;
    }
    if ((state & 2u) != 0) {
        empty = 0;
        return (int)(UART_DATA & 0xFFu);
    }
    if (++empty > EMPTY_BEFORE_SLEEP) {
        sleep_until_received();
    }
    return -1;
}

void ek_board_send(uint8_t byte)
{
    while ((UART_STATE & 1u) != 0) {
    }
    UART_DATA = byte;
}

void ek_board_drain(void)
{
    while ((UART_STATE & 1u) != 0) {
    }
}

uint32_t ek_port_overruns(void)
{
    return overruns;
}

/* -- store --------------------------------------------------------------------------------------------------------- */

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    (void)offset;
    (void)bytes;
    return 0;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    memcpy(ek_ld_store + offset, bytes, count);
    return 0;
}
