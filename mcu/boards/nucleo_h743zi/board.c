/* NUCLEO-H743ZI and -H743ZI2. Registers: ST RM0433; pins and the 8 MHz clock from the ST-LINK: ST UM1974 and UM2407.
 * Never run by us. 400 MHz is what every revision of the chip can do. */
#include <string.h>

#include "blank.h"
#include "cache_m7.h"
#include "cortex_m.h"
#include "dwt.h"
#include "ring.h"

#define RCC(offset) EK_REG(0x58024400u + (offset))
#define RCC_CR RCC(0x00u)
#define RCC_CFGR RCC(0x10u)
#define PWR_CSR1 EK_REG(0x58024804u)
#define PWR_CR3 EK_REG(0x5802480Cu)
#define PWR_D3CR EK_REG(0x58024818u)
#define FLASH_ACR EK_REG(0x52002000u)
#define FLASH_KEYR(bank) EK_REG(0x52002004u + 0x100u * (bank))
#define FLASH_CR(bank) EK_REG(0x5200200Cu + 0x100u * (bank))
#define FLASH_SR(bank) EK_REG(0x52002010u + 0x100u * (bank))
#define FLASH_CCR(bank) EK_REG(0x52002014u + 0x100u * (bank))
#define GPIOD(offset) EK_REG(0x58020C00u + (offset))
#define USART(offset) EK_REG(0x40004800u + (offset)) /* USART3 */
#define USART_ISR USART(0x1Cu)

enum { CLOCK_HZ = 400000000, USART_HZ = 100000000, BAUD = 921600, USART_INTERRUPT = 39 };
enum { SECTOR = 128 * 1024, WORD = 32 /* bytes that flash takes at a time */ };
#define FLASH_ERRORS 0x07EE0000u

const ek_board ek_port_board = {
    .board = "nucleo_h743zi",
    .core = "cortex-m7",
    .clock_hz = CLOCK_HZ,
    .counts = EK_COUNTS_CYCLES,
    .counter_mul = 1,
    .counter_div = 1,
    .store_is_flash = 1,
    .store_write_bytes = WORD,
    .store_erase_bytes = SECTOR,
    EK_BOARD_MEMORY,
};

static ek_ring ring;
static volatile uint32_t overruns;

static void usart_interrupt(void)
{
    if ((USART_ISR & (1u << 3)) != 0) {
        USART(0x20u) = 1u << 3;
        overruns++;
    }
    while ((USART_ISR & (1u << 5)) != 0) {
        ek_ring_put(&ring, (uint8_t)USART(0x24u));
    }
}

__attribute__((section(".vectors.board"), used)) static void (*const vectors[USART_INTERRUPT + 1])(void) = {
    [USART_INTERRUPT] = usart_interrupt,
};

static void clocks_on(void)
{
    PWR_CR3 = (PWR_CR3 & ~7u) | 2u; /* supplied by the LDO; only the first write after power-on counts */
    while ((PWR_CSR1 & (1u << 13)) == 0) {
    }
    PWR_D3CR = 3u << 14; /* voltage scale 1 */
    while ((PWR_D3CR & (1u << 13)) == 0) {
    }
    RCC_CR |= (1u << 18) | (1u << 16); /* HSE from outside: 8 MHz of the ST-LINK */
    while ((RCC_CR & (1u << 17)) == 0) {
    }
    RCC_CR &= ~(1u << 24);
    while ((RCC_CR & (1u << 25)) != 0) {
    }
    RCC(0x28u) = 2u | (2u << 4);             /* PLL1 from HSE / 2 = 4 MHz */
    RCC(0x2Cu) = (2u << 2) | (1u << 16);     /* input 4 to 8 MHz, wide VCO, output P */
    RCC(0x30u) = (200u - 1u) | ((2u - 1u) << 9) | ((4u - 1u) << 16) | ((4u - 1u) << 24); /* * 200 / 2 = 400 MHz */
    RCC_CR |= 1u << 24;
    FLASH_ACR = 2u | (2u << 4); /* 200 MHz at scale 1 */
    while ((FLASH_ACR & 15u) != 2u) {
    }
    RCC(0x18u) = 8u | (4u << 4); /* D1: AHB / 2, APB3 / 2 */
    RCC(0x1Cu) = (4u << 4) | (4u << 8); /* D2: APB1 / 2, APB2 / 2: 100 MHz */
    RCC(0x20u) = 4u << 4;               /* D3: APB4 / 2 */
    while ((RCC_CR & (1u << 25)) == 0) {
    }
    RCC_CFGR = (RCC_CFGR & ~7u) | 3u;
    while ((RCC_CFGR & (7u << 3)) != (3u << 3)) {
    }
}

static void serial_on(void)
{
    RCC(0xE0u) |= 1u << 3;  /* GPIOD */
    RCC(0xE8u) |= 1u << 18; /* USART3 */
    (void)RCC(0xE8u);
    GPIOD(0x24u) = (GPIOD(0x24u) & ~0xFFu) | 0x77u; /* PD8, PD9: AF7, USART3 */
    GPIOD(0x0Cu) = (GPIOD(0x0Cu) & ~(3u << 18)) | (1u << 18);
    GPIOD(0x00u) = (GPIOD(0x00u) & ~(15u << 16)) | (10u << 16);
    USART(0x0Cu) = (USART_HZ + BAUD / 2u) / BAUD;
    USART(0x00u) = (1u << 29) | (1u << 5) | (1u << 3) | (1u << 2); /* FIFO, interrupt at a received byte */
    USART(0x00u) |= 1u;
    ek_interrupt_enable(USART_INTERRUPT);
}

void ek_port_init(void)
{
    clocks_on();
    ek_caches_on();
    serial_on();
    ek_dwt_start();
}

int ek_port_getc(void)
{
    return ek_ring_get(&ring);
}

void ek_board_send(uint8_t byte)
{
    while ((USART_ISR & (1u << 7)) == 0) {
    }
    USART(0x28u) = byte;
}

void ek_board_drain(void)
{
    while ((USART(0x00u) & 1u) != 0 && (USART_ISR & (1u << 6)) == 0) {
    }
}

uint32_t ek_port_overruns(void)
{
    return overruns + ring.lost;
}

static uint32_t flash_wait(uint32_t bank)
{
    while ((FLASH_SR(bank) & 5u) != 0) { /* BSY, QW */
    }
    const uint32_t errors = FLASH_SR(bank) & FLASH_ERRORS;
    FLASH_CCR(bank) = errors;
    return errors;
}

static void flash_unlock(uint32_t bank)
{
    if ((FLASH_CR(bank) & 1u) != 0) {
        FLASH_KEYR(bank) = 0x45670123u;
        FLASH_KEYR(bank) = 0xCDEF89ABu;
    }
    flash_wait(bank);
}

static void flash_lock(uint32_t bank)
{
    FLASH_CR(bank) = 1u;
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    uint32_t errors = 0;
    for (uint32_t start = offset / SECTOR * SECTOR; start < offset + bytes && errors == 0; start += SECTOR) {
        const uint32_t sector = start / SECTOR + 1u, bank = sector / 8u; /* the agent is sector 0 */
        if (ek_is_blank(ek_ld_store + start, SECTOR)) {
            continue;
        }
        flash_unlock(bank);
        FLASH_CR(bank) = ((sector % 8u) << 8) | (3u << 4) | (1u << 2); /* 64 bits at a time, sector erase */
        FLASH_CR(bank) |= 1u << 7;
        ek_barrier();
        errors = flash_wait(bank);
        flash_lock(bank);
        ek_cache_forget(ek_ld_store + start, SECTOR);
    }
    return errors;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint32_t errors = 0;
    for (uint32_t at = 0; at < count && errors == 0; at += WORD) {
        const uint32_t bank = ((offset + at) / SECTOR + 1u) / 8u;
        uint32_t words[WORD / 4];
        memcpy(words, bytes + at, WORD);
        flash_unlock(bank);
        FLASH_CR(bank) = (3u << 4) | (1u << 1);
        ek_barrier();
        for (uint32_t i = 0; i < WORD / 4; i++) {
            EK_REG(ek_ld_store + offset + at + 4u * i) = words[i];
        }
        ek_barrier();
        errors = flash_wait(bank);
        flash_lock(bank);
    }
    ek_cache_forget(ek_ld_store + offset, count);
    return errors;
}
