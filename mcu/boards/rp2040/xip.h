/* How the flash chip is read in place: RP2040 datasheet, 4.10 (SSI). */
#ifndef EDGEKIT_XIP_H
#define EDGEKIT_XIP_H

#include <stdint.h>

#define SSI(offset) (*(volatile uint32_t *)(0x18000000u + (offset)))

/* Command 03h with 24 bits of address on one wire, which every serial flash understands, at a quarter of the system
 * clock. The faster commands on four wires differ from chip to chip. */
__attribute__((always_inline)) static inline void ek_xip_read_03h(void)
{
    SSI(0x08u) = 0;                                     /* SSIENR: off while it is set */
    SSI(0x14u) = 4;                                     /* BAUDR */
    SSI(0x00u) = (31u << 16) | (3u << 8);               /* CTRLR0: frames of 32 bits, EEPROM read */
    SSI(0x04u) = 0;                                     /* CTRLR1: one frame at a time */
    SSI(0xF4u) = (0x03u << 24) | (2u << 8) | (6u << 2); /* SPI_CTRLR0: 8 bits of command, 24 of address */
    SSI(0x08u) = 1;
}

#endif
