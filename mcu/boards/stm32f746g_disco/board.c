/* STM32F746G-DISCO. Registers: ST RM0385 (STM32F75xxx and F74xxx); pins and crystal: ST UM1907. Never run by us. */
#include <string.h>

#include "blank.h"
#include "cache_m7.h"
#include "cortex_m.h"
#include "dwt.h"
#include "ring.h"

#define RCC(offset) EK_REG(0x40023800u + (offset))
#define RCC_CR RCC(0x00u)
#define RCC_PLLCFGR RCC(0x04u)
#define RCC_CFGR RCC(0x08u)
#define RCC_AHB1ENR RCC(0x30u)
#define RCC_APB1ENR RCC(0x40u)
#define RCC_APB2ENR RCC(0x44u)
#define PWR_CR1 EK_REG(0x40007000u)
#define PWR_CSR1 EK_REG(0x40007004u)
#define FLASH_ACR EK_REG(0x40023C00u)
#define FLASH_KEYR EK_REG(0x40023C04u)
#define FLASH_SR EK_REG(0x40023C0Cu)
#define FLASH_CR EK_REG(0x40023C10u)
#define GPIOA(offset) EK_REG(0x40020000u + (offset))
#define GPIOB(offset) EK_REG(0x40020400u + (offset))
#define USART(offset) EK_REG(0x40011000u + (offset)) /* USART1 */
#define USART_ISR USART(0x1Cu)
#define DMA_LIFCR EK_REG(0x40026408u)
#define DMA_CR EK_REG(0x40026440u) /* DMA2, stream 2 */
#define DMA_NDTR EK_REG(0x40026444u)
#define DMA_PAR EK_REG(0x40026448u)
#define DMA_M0AR EK_REG(0x4002644Cu)

enum { CLOCK_HZ = 216000000, USART_HZ = 108000000, BAUD = 921600, SECTOR = 256 * 1024 };
enum { FLASH_BUSY = 1 << 16, FLASH_ERRORS = 0xF2 };

const ek_board ek_port_board = {
    .board = "stm32f746g_disco",
    .core = "cortex-m7",
    .clock_hz = CLOCK_HZ,
    .counts = EK_COUNTS_CYCLES,
    .counter_mul = 1,
    .counter_div = 1,
    .store_is_flash = 1,
    .store_write_bytes = 4,
    .store_erase_bytes = SECTOR,
    EK_BOARD_MEMORY,
};

/* Written by the DMA round and round. The core stands still while this flash is written or erased, for longer than the
 * UART can keep a byte; the DMA goes on. */
static volatile uint8_t received[EK_RX_BYTES];
static uint32_t taken, overruns;

static void clocks_on(void)
{
    RCC_APB1ENR |= 1u << 28; /* PWR */
    (void)RCC_APB1ENR;
    PWR_CR1 |= 3u << 14;     /* voltage scale 1 */
    RCC_CR |= 1u << 16;      /* HSE, 25 MHz */
    while ((RCC_CR & (1u << 17)) == 0) {
    }
    RCC_CR &= ~(1u << 24); /* PLL off while it is set: 25 MHz / 25 * 432 / 2 = 216 MHz, / 9 = 48 MHz */
    while ((RCC_CR & (1u << 25)) != 0) {
    }
    RCC_PLLCFGR = 25u | (432u << 6) | (1u << 22) | (9u << 24) | (2u << 28); /* bits 28 to 31 as at reset */
    RCC_CR |= 1u << 24;
    PWR_CR1 |= 1u << 16; /* over-drive, needed above 180 MHz */
    while ((PWR_CSR1 & (1u << 16)) == 0) {
    }
    PWR_CR1 |= 1u << 17;
    while ((PWR_CSR1 & (1u << 17)) == 0) {
    }
    FLASH_ACR = 7u | (1u << 8) | (1u << 9); /* 7 wait states, prefetch, ART */
    while ((FLASH_ACR & 15u) != 7u) {
    }
    while ((RCC_CR & (1u << 25)) == 0) {
    }
    RCC_CFGR = 2u | (5u << 10) | (4u << 13); /* from the PLL; APB1 / 4, APB2 / 2 */
    while ((RCC_CFGR & (3u << 2)) != (2u << 2)) {
    }
}

static void serial_on(void)
{
    RCC_AHB1ENR |= (1u << 0) | (1u << 1) | (1u << 22); /* GPIOA, GPIOB, DMA2 */
    RCC_APB2ENR |= 1u << 4;                            /* USART1 */
    (void)RCC_APB2ENR;
    GPIOA(0x24u) = (GPIOA(0x24u) & ~(15u << 4)) | (7u << 4); /* PA9: AF7, USART1_TX */
    GPIOA(0x00u) = (GPIOA(0x00u) & ~(3u << 18)) | (2u << 18);
    GPIOB(0x20u) = (GPIOB(0x20u) & ~(15u << 28)) | (7u << 28); /* PB7: AF7, USART1_RX */
    GPIOB(0x0Cu) = (GPIOB(0x0Cu) & ~(3u << 14)) | (1u << 14);  /* pulled up: silent without a partner */
    GPIOB(0x00u) = (GPIOB(0x00u) & ~(3u << 14)) | (2u << 14);
    DMA_CR = 0;
    while ((DMA_CR & 1u) != 0) {
    }
    DMA_LIFCR = 0x3Du << 16;
    DMA_PAR = (uint32_t)(uintptr_t)&USART(0x24u); /* RDR */
    DMA_M0AR = (uint32_t)(uintptr_t)received;
    DMA_NDTR = EK_RX_BYTES;
    DMA_CR = (4u << 25) | (3u << 16) | (1u << 10) | (1u << 8); /* channel 4, urgent, next address, circular */
    DMA_CR |= 1u;
    USART(0x0Cu) = (USART_HZ + BAUD / 2u) / BAUD; /* BRR */
    USART(0x08u) = 1u << 6;                       /* CR3: received bytes go to the DMA */
    USART(0x00u) = (1u << 0) | (1u << 2) | (1u << 3);
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
    if ((USART_ISR & (1u << 3)) != 0) {
        USART(0x20u) = 1u << 3; /* an overrun: bytes were lost, we can't know how many */
        overruns++;
    }
    if ((EK_RX_BYTES - DMA_NDTR) % EK_RX_BYTES == taken) {
        return -1;
    }
    const int byte = received[taken];
    taken = (taken + 1) % EK_RX_BYTES;
    return byte;
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
    return overruns;
}

static uint32_t flash_wait(void)
{
    while ((FLASH_SR & FLASH_BUSY) != 0) {
    }
    const uint32_t errors = FLASH_SR & FLASH_ERRORS;
    FLASH_SR = errors;
    return errors;
}

static void flash_unlock(void)
{
    if ((FLASH_CR & (1u << 31)) != 0) {
        FLASH_KEYR = 0x45670123u;
        FLASH_KEYR = 0xCDEF89ABu;
    }
    flash_wait();
}

static void flash_lock(void)
{
    FLASH_CR = 1u << 31;
}

uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes)
{
    uint32_t errors = 0;
    flash_unlock();
    for (uint32_t start = offset / SECTOR * SECTOR; start < offset + bytes && errors == 0; start += SECTOR) {
        const uint32_t sector = start / SECTOR + 5u; /* the agent has sectors 0 to 4 */
        if (ek_is_blank(ek_ld_store + start, SECTOR)) {
            continue;
        }
        FLASH_CR = (2u << 8) | (sector << 3) | 2u; /* 32 bits at a time (2.7 to 3.6 V), sector erase */
        FLASH_CR |= 1u << 16;
        ek_barrier();
        errors = flash_wait();
        ek_cache_forget(ek_ld_store + start, SECTOR);
    }
    flash_lock();
    return errors;
}

uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint32_t errors = 0;
    flash_unlock();
    FLASH_CR = (2u << 8) | 1u;
    for (uint32_t at = 0; at < count && errors == 0; at += 4) {
        uint32_t word;
        memcpy(&word, bytes + at, 4);
        EK_REG(ek_ld_store + offset + at) = word;
        ek_barrier();
        errors = flash_wait();
    }
    flash_lock();
    ek_cache_forget(ek_ld_store + offset, count);
    return errors;
}
