/* What a board gives to the agent. mcu/boards/<board>/ defines all of it; mcu/boards/host/ does so for a pty. */
#ifndef EDGEKIT_PORT_H
#define EDGEKIT_PORT_H

#include <stdint.h>

#include "edgekit/model.h"

enum { EK_COUNTS_NOTHING = 0, EK_COUNTS_CYCLES = 1, EK_COUNTS_INSTRUCTIONS = 2, EK_COUNTS_NANOSECONDS = 3 };

typedef struct {
    const char *board;              /* as in the device profile: "stm32f746g_disco" */
    const char *core;               /* "cortex-m7" */
    uint32_t clock_hz;
    uint32_t counts;                /* EK_COUNTS_...: the unit of counter * counter_mul / counter_div */
    uint32_t counter_mul, counter_div;
    uint32_t sram_bytes;            /* of the board, true length */
    uint32_t flash_bytes;
    uint8_t *arena;                 /* EK_ALIGN-aligned; activations and scratch of the loaded model */
    uint32_t arena_bytes;
    const uint8_t *store;           /* EK_ALIGN-aligned; where a model is loaded: RAM or flash */
    uint32_t store_bytes;
    uint32_t store_is_flash;
    uint32_t store_write_bytes;     /* writes are multiples of it, at multiples of it (a power of two, <= 32) */
    uint32_t store_erase_bytes;     /* ek_port_store_begin() erases whole blocks, none of them larger, and none across a
                                     * multiple of it in memory (a power of two); 0 for RAM */
} ek_board;

extern const ek_board ek_port_board;

void ek_port_init(void);                                    /* clocks, UART, counter; paints the stack */
/* Next received byte, or -1: does not wait. A UART needs an interrupt and a ring of EK_RING_BYTES (frames.h) behind
 * it, so that nothing is lost while the agent runs a model or writes flash. */
int ek_port_getc(void);
void ek_port_write(const uint8_t *bytes, uint32_t count);   /* waits until it is on its way */
uint32_t ek_port_overruns(void);                            /* received bytes lost so far */
uint32_t ek_port_counter(void);                             /* free-running, 32 bits, wraps */
/* Prepare [offset, offset + bytes) of the store for writing (erase flash). 0, or an error number of the board. */
uint32_t ek_port_store_begin(uint32_t offset, uint32_t bytes);
uint32_t ek_port_store_write(uint32_t offset, const uint8_t *bytes, uint32_t count);
uint32_t ek_port_stack_used(void);                          /* high-water mark in bytes, by painting */
void ek_port_stack_repaint(void);
uint32_t ek_port_static_bytes(void);                        /* .data + .bss without arena, store and stack */
void ek_port_reset(void);                                   /* does not return */

#endif
