/* Raspberry Pi Pico. Registers: the RP2040 datasheet; pins: the Pico datasheet. Never run by us. */
#include <string.h>

#include "blank.h"
#include "cortex_m.h"
#include "ring.h"
#include "xip.h"

#define RESETS_CLEAR EK_REG(0x4000F000u) /* writing a bit takes its block out of reset */
#define RESETS_SET EK_REG(0x4000E000u)
#define RESETS_DONE EK_REG(0x4000C008u)
#define XOSC(offset) EK_REG(0x40024000u + (offset))
#define CLOCKS(offset) EK_REG(0x40008000u + (offset))
#define PLL(offset) EK_REG(0x40028000u + (offset)) /* PLL_SYS */
#define GPIO0_CTRL EK_REG(0x40014004u)
#define GPIO1_CTRL EK_REG(0x4001400Cu)
#define UART(offset) EK_REG(0x40034000u + (offset)) /* UART0 */
#define UART_FR UART(0x18u)
#define DMA(offset) EK_REG(0x50000000u + (offset)) /* channel 0 */
#define DMA_LEFT DMA(0x08u)

enum { DMA_BLOCK = 1 << 2, IO_BLOCK = 1 << 5, PADS_BLOCK = 1 << 8, PLL_BLOCK = 1 << 12, UART_BLOCK = 1 << 22 };
enum { CLOCK_HZ = 125000000, SECTOR = 4096, PAGE = 256, RING_BITS = 13, DREQ_UART0_RX = 21 };

_Static_assert(1u << RING_BITS == EK_RX_BYTES, "the DMA wraps at the ring's size");

const ek_board ek_port_board = {
    .board = "rp2040",
    .core = "cortex-m0+",
    .clock_hz = CLOCK_HZ,
    .counts = EK_COUNTS_CYCLES,
    .counter_mul = 1,
    .counter_div = 1,
    .store_is_flash = 1,
    .store_write_bytes = 32,
    .store_erase_bytes = SECTOR,
    EK_BOARD_MEMORY,
};

/* Written by the DMA round and round: while flash is written nothing can run from it, no interrupt either. */
static _Alignas(EK_RX_BYTES) volatile uint8_t received[EK_RX_BYTES];
static uint32_t taken, overruns;
static volatile uint32_t counter_high; /* bits 24 to 31 of the cycle counter */

/* In place of start.c's empty entry. */
void ek_systick(void)
{
    counter_high += 1u << 24;
}

static void unreset(uint32_t blocks)
{
    RESETS_SET = blocks;
    RESETS_CLEAR = blocks;
    while ((RESETS_DONE & blocks) != blocks) {
    }
}

static void clocks_on(void)
{
    XOSC(0x0Cu) = 47;                       /* 1 ms until it is stable */
    XOSC(0x00u) = 0xAA0u | (0xFABu << 12);  /* 1 to 15 MHz, on: 12 MHz */
    while ((XOSC(0x04u) & (1u << 31)) == 0) {
    }
    CLOCKS(0x3Cu) &= ~1u; /* clk_sys from clk_ref, while the PLL is set */
    while ((CLOCKS(0x44u) & 1u) == 0) {
    }
    CLOCKS(0x30u) = 2; /* clk_ref from the crystal */
    while ((CLOCKS(0x38u) & 4u) == 0) {
    }
    unreset(PLL_BLOCK);
    PLL(0x00u) = 1;   /* 12 MHz * 125 / 6 / 2 = 125 MHz */
    PLL(0x08u) = 125;
    PLL(0x04u) &= ~((1u << 0) | (1u << 5)); /* power and VCO */
    while ((PLL(0x00u) & (1u << 31)) == 0) {
    }
    PLL(0x0Cu) = (6u << 16) | (2u << 12);
    PLL(0x04u) &= ~(1u << 3);
    CLOCKS(0x3Cu) = 0; /* the other source of clk_sys: PLL_SYS */
    CLOCKS(0x3Cu) = 1;
    while ((CLOCKS(0x44u) & 2u) == 0) {
    }
    CLOCKS(0x48u) = 1u << 11; /* clk_peri on, from clk_sys */
}

static void serial_on(void)
{
    unreset(DMA_BLOCK | IO_BLOCK | PADS_BLOCK | UART_BLOCK);
    UART(0x24u) = 8; /* 125 MHz / 16 / 921600 = 8 + 31 / 64 */
    UART(0x28u) = 31;
    UART(0x2Cu) = (3u << 5) | (1u << 4); /* 8 bits, FIFOs */
    UART(0x30u) = (1u << 0) | (1u << 8) | (1u << 9);
    UART(0x48u) = 1; /* received bytes go to the DMA */
    GPIO0_CTRL = 2;
    GPIO1_CTRL = 2;
    DMA(0x00u) = (uint32_t)(uintptr_t)&UART(0x00u);
    DMA(0x04u) = (uint32_t)(uintptr_t)received;
    DMA_LEFT = 0xFFFFFFFFu;
    DMA(0x0Cu) = 1u | (1u << 1) | (1u << 5) | (RING_BITS << 6) | (1u << 10) | (DREQ_UART0_RX << 15) | (1u << 21);
}

void ek_port_init(void)
{
    clocks_on();
    serial_on();
    SYST_RVR = 0xFFFFFFu;
    SYST_CVR = 0;
    SYST_CSR = 7; /* the core's clock, with interrupt, on */
}

uint32_t ek_port_counter(void)
{
    uint32_t high, low;
    do {
        high = counter_high;
        low = 0xFFFFFFu - SYST_CVR;
    } while (high != counter_high);
    return high | low;
}

int ek_port_getc(void)
{
    if ((UART(0x04u) & 8u) != 0) {
        UART(0x04u) = 8u; /* an overrun of the FIFO */
        overruns++;
    }
    const uint32_t count = 0xFFFFFFFFu - DMA_LEFT - taken;
    if (count == 0) {
        return -1;
    }
    if (count > EK_RX_BYTES) { /* the DMA has lapped us */
        overruns += count - EK_RX_BYTES;
        taken += count - EK_RX_BYTES;
    }
    return received[taken++ % EK_RX_BYTES];
}

void ek_board_send(uint8_t byte)
{
    while ((UART_FR & (1u << 5)) != 0) {
    }
    UART(0x00u) = byte;
}

void ek_board_drain(void)
{
    while ((UART_FR & (1u << 3)) != 0) {
    }
}

uint32_t ek_port_overruns(void)
{
    return overruns;
}

/* The boot ROM's functions (datasheet 2.8.3): found by two letters, and called with flash out of reach. */
typedef struct {
    void (*connect)(void);
    void (*leave_xip)(void);
    void (*erase)(uint32_t at, uint32_t bytes, uint32_t block_bytes, uint32_t block_command);
    void (*program)(uint32_t at, const uint8_t *bytes, uint32_t count);
    void (*flush)(void);
} rom_flash;

static void *rom_function(char first, char second)
{
    typedef void *(*lookup)(const uint16_t *table, uint32_t code);
    uint32_t rom = 0;
    __asm("" : "+r"(rom)); /* the compiler takes reading so low an address for a slip */
    /* Of the function table, of the data table, of the lookup. */
    const uint16_t *pointers = (const uint16_t *)(rom + 0x14u);
    return ((lookup)(uintptr_t)pointers[2])((const uint16_t *)(uintptr_t)pointers[0],
                                            (uint32_t)first | ((uint32_t)second << 8));
}

static rom_flash rom_find(void)
{
    rom_flash rom;
    *(void **)&rom.connect = rom_function('I', 'F');
    *(void **)&rom.leave_xip = rom_function('E', 'X');
    *(void **)&rom.erase = rom_function('R', 'E');
    *(void **)&rom.program = rom_function('R', 'P');
    *(void **)&rom.flush = rom_function('F', 'C');
    return rom;
}

/* Erase one sector if page is NULL, else program one page. In RAM, with interrupts off and everything it needs on the
 * stack. */
__attribute__((section(".ramcode"), noinline)) static void flash_change(const rom_flash *rom, uint32_t at,
                                                                        const uint8_t *page)
{
    const uint32_t before = ek_interrupts_off();
    rom->connect();
    rom->leave_xip();
    if (page == 0) {
        rom->erase(at, SECTOR, SECTOR, 0x20u); /* 20h: sector erase of 4 KB */
    } else {
        rom->program(at, page, PAGE);
    }
    rom->flush();
    ek_xip_read_03h();
    ek_interrupts_restore(before);
}

static uint32_t flash_offset(uint32_t store_offset)
{
    return (uint32_t)(uintptr_t)(ek_ld_store + store_offset) - 0x10000000u;
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    const rom_flash rom = rom_find();
    for (uint32_t start = offset / SECTOR * SECTOR; start < offset + bytes; start += SECTOR) {
        if (!ek_is_blank(ek_ld_store + start, SECTOR)) {
            flash_change(&rom, flash_offset(start), 0);
            if (!ek_is_blank(ek_ld_store + start, SECTOR)) {
                return 1;
            }
        }
    }
    return 0;
}

/* The ROM writes whole pages; ones leave what is there as it is. */
uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    const rom_flash rom = rom_find();
    uint8_t page[PAGE];
    for (uint32_t at = 0; at < count;) {
        const uint32_t inside = (offset + at) % PAGE;
        const uint32_t part = count - at < PAGE - inside ? count - at : PAGE - inside;
        memset(page, 0xFF, PAGE);
        memcpy(page + inside, bytes + at, part);
        flash_change(&rom, flash_offset(offset + at - inside), page);
        if (memcmp(ek_ld_store + offset + at, bytes + at, part) != 0) {
            return 2;
        }
        at += part;
    }
    return 0;
}
