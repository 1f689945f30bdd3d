/* What the kernel tests need of a machine: machine.c is QEMU's mps2 and mps3 boards, host/machine.c this computer. */
#ifndef EK_TEST_MACHINE_H
#define EK_TEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

void print(const char *text);
void print_number(uint32_t value);
uint32_t instructions(void); /* executed so far; with -icount shift=6. Wraps after some 10^9. */

uint8_t *machine_arena(uint32_t bytes); /* 16-byte aligned; NULL if there is not so much */
const uint8_t *machine_data(const uint8_t *data, uint32_t bytes); /* the same bytes, where reading past them is seen */

#endif
