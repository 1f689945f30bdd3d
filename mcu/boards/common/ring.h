/* Received bytes on their way from an interrupt to the agent: one writer, one reader, no lock. */
#ifndef EDGEKIT_RING_H
#define EDGEKIT_RING_H

#include <stdint.h>

#include "frames.h"

#define EK_RX_BYTES 8192u /* a power of two; twice what the protocol's window can fill */

_Static_assert(EK_RX_BYTES >= EK_RING_BYTES, "a whole window must fit");

typedef struct {
    volatile uint32_t written, read; /* how many so far; they wrap */
    volatile uint32_t lost;
    volatile uint8_t bytes[EK_RX_BYTES];
} ek_ring;

static inline void ek_ring_put(ek_ring *ring, uint8_t byte)
{
    const uint32_t written = ring->written;
    if (written - ring->read >= EK_RX_BYTES) {
        ring->lost++;
        return;
    }
    ring->bytes[written % EK_RX_BYTES] = byte;
    ring->written = written + 1;
}

static inline int ek_ring_get(ek_ring *ring)
{
    const uint32_t read = ring->read;
    if (ring->written == read) {
        return -1;
    }
    const int byte = ring->bytes[read % EK_RX_BYTES];
    ring->read = read + 1;
    return byte;
}

#endif
