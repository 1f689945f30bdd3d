/* nRF52840-DK (PCA10056). Registers: Nordic's nRF52840 Product Specification; pins: its DK user guide. Never run by us.
 *
 * The core stands still for 41 us per written word and 85 ms per erased page, longer than the UART's six bytes last.
 * The DK's interface chip detects flow control by RTS and CTS, so it is on, and the UART holds the sender back. */
#include <string.h>

#include "blank.h"
#include "cortex_m.h"
#include "dwt.h"
#include "ring.h"

#define CLOCK_HFCLKSTART EK_REG(0x40000000u)
#define CLOCK_HFCLKSTARTED EK_REG(0x40000100u)
#define UART(offset) EK_REG(0x40002000u + (offset))
#define UART_STARTRX UART(0x000u)
#define UART_STARTTX UART(0x008u)
#define UART_RXDRDY UART(0x108u)
#define UART_TXDRDY UART(0x11Cu)
#define UART_ERROR UART(0x124u)
#define UART_ERRORSRC UART(0x480u)
#define NVMC_READY EK_REG(0x4001E400u)
#define NVMC_CONFIG EK_REG(0x4001E504u) /* 0: read, 1: write, 2: erase */
#define NVMC_ERASEPAGE EK_REG(0x4001E508u)
#define NVMC_ICACHECNF EK_REG(0x4001E540u)
#define P0_OUTSET EK_REG(0x50000508u)
#define P0_DIRSET EK_REG(0x50000518u)

enum { RTS = 5, TXD = 6, CTS = 7, RXD = 8, UART_INTERRUPT = 2, PAGE = 4096, NO_READY = 1 };

const ek_board ek_port_board = {
    .board = "nrf52840_dk",
    .core = "cortex-m4",
    .clock_hz = 64000000u,
    .counts = EK_COUNTS_CYCLES,
    .counter_mul = 1,
    .counter_div = 1,
    .store_is_flash = 1,
    .store_write_bytes = 4,
    .store_erase_bytes = PAGE,
    EK_BOARD_MEMORY,
};

static ek_ring ring;
static volatile uint32_t overruns;
static uint32_t is_sending;

static void uart_interrupt(void)
{
    if (UART_ERROR != 0) {
        UART_ERROR = 0;
        const uint32_t errors = UART_ERRORSRC;
        UART_ERRORSRC = errors;
        overruns += errors & 1u;
    }
    while (UART_RXDRDY != 0) {
        UART_RXDRDY = 0; /* before the byte is taken: taking it may raise the next event at once */
        ek_ring_put(&ring, (uint8_t)UART(0x518u));
    }
}

__attribute__((section(".vectors.board"), used)) static void (*const vectors[UART_INTERRUPT + 1])(void) = {
    [UART_INTERRUPT] = uart_interrupt,
};

void ek_port_init(void)
{
    NVMC_ICACHECNF = 1;
    CLOCK_HFCLKSTARTED = 0;
    CLOCK_HFCLKSTART = 1; /* the crystal: the internal oscillator is too far off for this rate */
    while (CLOCK_HFCLKSTARTED == 0) {
    }
    P0_OUTSET = (1u << TXD) | (1u << RTS);
    P0_DIRSET = (1u << TXD) | (1u << RTS);
    EK_REG(0x50000700u + 4u * RXD) = 3u << 2; /* PIN_CNF: input, pulled up: silent without a partner */
    EK_REG(0x50000700u + 4u * CTS) = 1u << 2; /* pulled down: may send without a partner */
    UART(0x508u) = RTS;
    UART(0x50Cu) = TXD;
    UART(0x510u) = CTS;
    UART(0x514u) = RXD;
    UART(0x524u) = 0x0EBEDFA4u; /* 921600 baud, really 941176 */
    UART(0x56Cu) = 1;           /* flow control, no parity, one stop bit */
    UART(0x500u) = 4;
    UART(0x304u) = (1u << 2) | (1u << 9); /* INTENSET: RXDRDY, ERROR */
    UART_STARTRX = 1;
    UART_STARTTX = 1;
    ek_interrupt_enable(UART_INTERRUPT);
    ek_dwt_start();
}

int ek_port_getc(void)
{
    return ek_ring_get(&ring);
}

void ek_board_drain(void)
{
    while (is_sending != 0 && UART_TXDRDY == 0) {
    }
}

void ek_board_send(uint8_t byte)
{
    ek_board_drain();
    UART_TXDRDY = 0;
    UART(0x51Cu) = byte;
    is_sending = 1;
}

uint32_t ek_port_overruns(void)
{
    return overruns + ring.lost;
}

static uint32_t nvmc_wait(void)
{
    for (uint32_t tries = 0; tries < 64000000u; tries++) {
        if ((NVMC_READY & 1u) != 0) {
            return 0;
        }
    }
    return NO_READY;
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    uint32_t error = 0;
    for (uint32_t start = offset / PAGE * PAGE; start < offset + bytes && error == 0; start += PAGE) {
        if (ek_is_blank(ek_ld_store + start, PAGE)) {
            continue;
        }
        NVMC_CONFIG = 2;
        ek_barrier();
        NVMC_ERASEPAGE = (uint32_t)(uintptr_t)(ek_ld_store + start);
        error = nvmc_wait();
        NVMC_CONFIG = 0;
        ek_barrier();
    }
    return error;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint32_t error = 0;
    NVMC_CONFIG = 1;
    ek_barrier();
    for (uint32_t at = 0; at < count && error == 0; at += 4) {
        uint32_t word;
        memcpy(&word, bytes + at, 4);
        EK_REG(ek_ld_store + offset + at) = word;
        error = nvmc_wait();
    }
    NVMC_CONFIG = 0;
    ek_barrier();
    return error;
}
