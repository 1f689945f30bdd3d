#include "sha256.h"

#include <string.h>

#include "sha256_block.h"

static void put_word(uint8_t *at, uint32_t word)
{
    for (uint32_t i = 0; i < 4; i++) {
        at[i] = (uint8_t)(word >> (24 - 8 * i));
    }
}

void ek_sha256(const uint8_t *bytes, uint32_t count, uint8_t digest[EK_SHA256_BYTES])
{
    uint32_t hash[8] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au,
                        0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u};
    uint8_t last[BLOCK];
    const uint32_t bits = count << 3;
    for (; count >= BLOCK; count -= BLOCK, bytes += BLOCK) {
        add_block(hash, bytes);
    }
    memset(last, 0, sizeof last);
    if (count) {
        memcpy(last, bytes, count);
    }
    last[count] = 0x80;
    if (count > BLOCK - 9) {
        add_block(hash, last);
        memset(last, 0, sizeof last);
    }
    put_word(last + BLOCK - 4, bits);
    add_block(hash, last);
    for (uint32_t i = 0; i < 8; i++) {
        put_word(digest + 4 * i, hash[i]);
    }
}
