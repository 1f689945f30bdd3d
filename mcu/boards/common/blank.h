/* Flash that is blank already is not erased again: that saves seconds, and wear. */
#ifndef EDGEKIT_BLANK_H
#define EDGEKIT_BLANK_H

#include <stdint.h>

static inline uint32_t ek_is_blank(const uint8_t *start, uint32_t bytes)
{
    const uint32_t *word = (const uint32_t *)(const void *)start;
    for (uint32_t i = 0; i < bytes / 4u; i++) {
        if (word[i] != 0xFFFFFFFFu) {
            return 0;
        }
    }
    return 1;
}

#endif
